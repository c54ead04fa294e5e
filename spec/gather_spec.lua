-- Small writes of one callback leave together when it returns: what may not be lost, and not be overtaken.

local net = require "cnet"
local finalizers = require "spec.support.finalizers"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

-- Runs fn(socket, client) in a callback of the socket; returns all that the client got until its end.
local function written(kind, fn, options)
  local client, socket = sockets.pair { kind = kind, server = options }
  local pieces, ended = {}, false
  client:on("data", function(chunk) pieces[#pieces + 1] = chunk end)
  client:on("error", function(err) pieces[#pieces + 1] = "<" .. err.code .. ">" end)
  client:on("close", function() ended = true end)
  socket:on("error", function() end)
  socket:once("data", function() fn(socket, client) end)
  client:write "go"
  support.run_until(function() return ended end)
  support.run()
  return table.concat(pieces), pieces
end

for kind in pairs(sockets.kinds) do
  describe("small writes of one callback, " .. kind, function()
    after_each(support.clean)

    it("arrive together and in order", function()
      local text, pieces = written(kind, function(socket)
        for i = 1, 16 do assert.is_true(socket:write(("%x"):format(i % 16))) end
        net.setImmediate(function() socket:end_() end)
      end)
      assert.equal("123456789abcdef0", text)
      assert.same({ "123456789abcdef0" }, pieces)
    end)

    it("count at once: bytesWritten, and nothing waits", function()
      local text = written(kind, function(socket)
        for i = 1, 5 do
          socket:write "abc"
          assert.equal(3 * i, socket.bytesWritten)
          assert.equal(0, socket.writableLength)
          assert.is_false(socket.writableNeedDrain)
        end
        socket:end_()
      end)
      assert.equal("abcabcabcabcabc", text)
    end)

    it("come before a write with a callback, a long one, corked ones and the end", function()
      local long, log = ("l"):rep(100000), {}
      local text = written(kind, function(socket)
        socket:write "1"
        socket:write("2", function() log[#log + 1] = "2" end)
        socket:write "3"
        socket:write(long)
        socket:write "4"
        socket:cork()
        socket:write "5"
        socket:write "6"
        socket:uncork()
        socket:write "7"
        socket:end_("8", function() log[#log + 1] = "end" end)
      end)
      assert.equal("123" .. long .. "45678", text)
      assert.same({ "2", "end" }, log)
    end)

    it("are read before a destroy", function()
      assert.equal("12", written(kind, function(socket)
        socket:write "1"
        socket:write "2"
        socket:destroy()
      end))
    end)

    it("that the kernel does not take at once are not lost when another handle closes meanwhile", function()
      local client, socket = sockets.pair { kind = kind, server = { highWaterMark = 1 << 30 } }
      local got = sockets.count(client)
      client:pause()
      local busy = sockets.server()
      local length = 0
      socket:once("data", function()
        for _ = 1, 8000 do
          socket:write(("x"):rep(1500))
          length = length + 1500
          net.createServer():on("error", function() end):listen(busy:address().port)
        end
        busy:close()
        socket:end_()
        client:resume()
      end)
      client:write "go"
      support.run()
      assert.equal(length, got.length)
    end)

    it("are read before destroySoon", function()
      assert.equal("12", written(kind, function(socket)
        socket:write "1"
        socket:write "2"
        socket:destroySoon()
      end))
    end)

    it("are there for another socket's listener only after they have left, as its own are", function()
      local a_client, a = sockets.pair { kind = kind }
      local b_client, b = sockets.pair { kind = kind }
      local order = {}
      local function note(name) return function(chunk) order[#order + 1] = name .. chunk end end
      a_client:on("data", note "a")
      b_client:on("data", note "b")
      net.setImmediate(function()
        for i = 1, 3 do
          a:write(tostring(i))
          b:write(tostring(i))
        end
        a:end_()
        b:end_()
      end)
      a:resume()
      b:resume()
      support.run()
      local by = { a = "", b = "" }
      for _, text in ipairs(order) do by[text:sub(1, 1)] = by[text:sub(1, 1)] .. text:sub(2) end
      assert.same({ a = "123", b = "123" }, by)
    end)

    it("of timers, immediates, ticks and coroutines are the same", function()
      assert.equal("timer tick tick of a tick immediate coroutine ", written(kind, function(socket)
        net.setTimeout(function()
          socket:write "timer "
          net.nextTick(function()
            socket:write "tick "
            net.nextTick(function() socket:write "tick of a tick " end)
          end)
          net.setImmediate(function()
            socket:write "immediate "
            coroutine.wrap(function()
              socket:write "corou"
              socket:write "tine "
              socket:end_()
            end)()
          end)
        end, 1)
      end))
    end)

    it("before an error of the listener are not lost, nor those after the next net.run", function()
      local client, socket = sockets.pair { kind = kind }
      local got = {}
      client:on("data", function(chunk) got[#got + 1] = chunk end)
      socket:once("data", function()
        socket:write "1"
        socket:write "2"
        error("in the middle", 0)
      end)
      client:write "go"
      assert.equal("in the middle", support.caught(support.run))
      net.nextTick(function()
        socket:write "3"
        socket:end_()
      end)
      client:on("end", function() client:end_() end)
      support.run()
      assert.equal("123", table.concat(got))
    end)

    it("before net.stop are out when net.run returns", function()
      local client, socket = sockets.pair { kind = kind }
      local got
      socket:once("data", function()
        socket:write "1"
        socket:write "2"
        net.stop()
      end)
      client:write "go"
      support.run()
      client:once("data", function(chunk) got = chunk end)
      sockets.wait(function() return got end)
      assert.equal("12", got)
      client:destroy()
      socket:destroy()
      support.run()
    end)

    it("up to the high water mark; then write says so, and 'drain' comes", function()
      local results, drained = {}, 0
      local text = written(kind, function(socket)
        for i = 1, 12 do results[i] = socket:write "12345678" end
        socket:on("drain", function()
          drained = drained + 1
          socket:end_()
        end)
        results[13] = socket:write(("x"):rep(64)) -- the kernel takes it at once
        results[14] = socket:write(("y"):rep(8000000))
        results[15] = socket:write "z"
      end, { highWaterMark = 64 })
      assert.is_true(("12345678"):rep(12) .. ("x"):rep(64) .. ("y"):rep(8000000) .. "z" == text)
      for i = 1, 13 do assert.is_true(results[i]) end
      assert.is_false(results[14])
      assert.is_false(results[15])
      assert.equal(1, drained)
    end)

    it("to a peer that reads late: all come, in order, with what could not go at once", function()
      local client, socket = sockets.pair { kind = kind }
      local sum, got, more = {}, {}, 0
      client:pause()
      local function burst()
        repeat
          more = more + 1
          local text = ("%06d,"):format(more)
          sum[#sum + 1] = text
        until not socket:write(text) or more % 500 == 0
        if more < 300000 and not socket.writableNeedDrain then return net.setImmediate(burst) end
        client:resume()
        if more >= 300000 then return socket:end_() end
        socket:once("drain", burst)
      end
      net.setImmediate(burst)
      client:on("data", function(chunk) got[#got + 1] = chunk end)
      socket:resume()
      support.run()
      assert.is_true(table.concat(sum) == table.concat(got))
    end)

    it("to a peer that is gone end in an 'error', once, and 'close'", function()
      local client, socket = sockets.pair { kind = kind, server = { allowHalfOpen = true } }
      local log, list = support.recorder()
      socket:on("error", function(err) log("error", err.code == "EPIPE" or err.code == "ECONNRESET") end)
      socket:on("close", function(had_error) log("close", had_error) end)
      client:destroy()
      net.setTimeout(function()
        local function again()
          if socket.destroyed then return end
          socket:write "1"
          socket:write "2"
          net.setImmediate(again)
        end
        again()
      end, 5)
      support.run()
      assert.same({ "error true", "close true" }, list)
    end)

    it("outside of callbacks leave at once", function()
      local got
      local server = sockets.server(function(socket) got = sockets.collect(socket) end, sockets.kinds[kind]())
      local address = server:address()
      local _, err, code = support.lua([[
        local net = require "cnet"
        local port = tonumber(arg[1])
        local client = net.connect(port and { port = port, host = "127.0.0.1" } or { path = arg[1] }, net.stop)
        net.run()
        client:write "1"
        client:write "2"
        os.exit(0) -- what has not left is lost
      ]], address.port or address)
      assert.same({ "", 0 }, { err, code })
      support.run_until(function() return got and got.ended end)
      assert.equal("12", got.text)
      server:close()
      support.run()
    end)
  end)
end

describe("what a callback wrote before the end of the program", function()
  after_each(support.clean)

  local function program(ending)
    return ([[
      local net = require "cnet"
      local server
      server = net.createServer(function(socket)
        socket:write "one "
        socket:write "two"
        %s
      end)
      server:listen(%q)
      net.run()
    ]]):format(ending, "%s")
  end

  for what, ending in pairs {
    ["net.process:exit"] = "net.process:exit(0)",
    ["os.exit with the state closed"] = "os.exit(0, true)",
    ["an error"] = "error 'enough'",
  } do
    it("arrives: " .. what, function()
      local path = support.path()
      local got = ""
      local function try()
        local client = net.connect(path)
        client:on("data", function(chunk) got = got .. chunk end)
        client:on("error", function(err) if err.code ~= "ECONNRESET" then net.setTimeout(try, 5) end end)
      end
      local file = support.file(("package.cpath = %q\n"):format(support.absolute(package.cpath)) ..
        program(ending):format(path))
      os.execute(("lua5.4 %s >/dev/null 2>&1 &"):format(file))
      try()
      support.run()
      assert.equal("one two", got)
    end)
  end
end)

describe("what was gathered and cannot be sent", function()
  it("may meet a finalizer that destroys its socket, or writes to it", function()
    for _, act in ipairs { "victim:destroy()", "victim:write(('y'):rep(3000))", "victim:end_()" } do
      finalizers.each(([[
        local victim
        local server = net.createServer({ pauseOnConnect = true }, function(socket) victim = socket end):listen(0)
        local peer = net.connect(server:address().port, "127.0.0.1"):on("error", function() end)
        while not victim or peer.connecting do net.run "once" end
        server:close()
        local errors, closes = 0, 0
        victim:on("error", function() errors = errors + 1 end):on("close", function() closes = closes + 1 end)
        peer:resetAndDestroy()
        net.run "nowait"
        net.setImmediate(function()
          victim:write(("x"):rep(3000))
          in_finalizer(function() %s end, function() assert(victim.bytesWritten >= 0) end)
        end)
        net.run()
        victim:destroy()
        net.run()
        assert(closes == 1 and errors <= 1, errors .. " " .. closes)
      ]]):format(act))
    end
  end)
end)
