-- A socket that connects again after its 'close', and again: each life hears its own data and events, all of them,
-- once, and nothing of the life before.

local net = require "cnet"
local sockets = require "spec.support.sockets"
local support = require "spec.support"

local each_kind, recorder = sockets.each_kind, support.recorder

local LIVES <const> = 3

-- Reads a socket in one of the ways there are; got(text) is told what came. Listeners stay from life to life.
local READERS <const> = {
  flowing = function(socket, got) socket:on("data", got) end,
  readable = function(socket, got)
    socket:on("readable", function()
      local text = socket:read()
      if text then got(text) end
    end)
  end,
  ["readable, byte by byte"] = function(socket, got)
    socket:on("readable", function()
      local text = ""
      repeat
        local byte = socket:read(1)
        text = text .. (byte or "")
      until not byte
      if #text > 0 then got(text) end
    end)
  end,
  ["readable and data"] = function(socket, got)
    socket:on("readable", function() while socket:read() do end end)
    socket:on("data", got)
  end,
  ["paused and resumed"] = function(socket, got)
    socket:on("data", got)
    socket:on("connect", function()
      socket:pause()
      net.setImmediate(function() socket:resume() end)
    end)
  end,
  ["setEncoding"] = function(socket, got)
    socket:setEncoding "utf8"
    socket:on("data", got)
  end,
  ["setEncoding, readable"] = function(socket, got)
    socket:setEncoding "hex"
    socket:on("readable", function()
      local text = socket:read()
      if text then got((text:gsub("%x%x", function(pair) return string.char(tonumber(pair, 16)) end))) end
    end)
  end,
  piped = function(socket, got)
    local into = net.EventEmitter()
    into.write = function(_, chunk) got(chunk) return true end
    into.end_ = function() end
    socket:pipe(into)
    socket:on("close", function() if #socket:listeners "data" == 0 then socket:pipe(into) end end)
  end,
}

-- How a life ends once the greeting is here, and what is heard of it.
local ENDINGS <const> = {
  ["a clean end"] = {
    act = function(_, peer) peer:end_() end,
    log = { "end", "finish", "close false" },
  },
  ["its own end"] = {
    act = function(socket, peer)
      peer:on("end", function() peer:end_() end)
      socket:end_()
    end,
    log = { "finish", "end", "close false" },
  },
  ["destroy()"] = {
    act = function(socket) socket:destroy() end,
    log = { "close false" },
  },
  ["destroy(err)"] = {
    act = function(socket) socket:destroy(net.Error("boom", { code = "BOOM" })) end,
    log = { "error BOOM", "close true" },
  },
  ["a reset"] = {
    act = function(_, peer) peer:resetAndDestroy() end,
    log = { "error ECONNRESET", "close true" },
    tcp_only = true,
  },
}

local function watch(socket, note)
  for _, name in ipairs { "connect", "end", "finish" } do socket:on(name, function() note(name) end) end
  socket:on("error", function(err) note("error", err.code) end)
  socket:on("close", function(failed) note("close", failed) end)
end

-- A server that greets each client with "life N" and keeps its end; server.peers are they.
local function greeter(kind)
  local peers = {}
  local server = sockets.server(function(peer)
    peers[#peers + 1] = peer
    peer:on("error", function() end)
    peer:resume()
    peer:write("life " .. #peers)
  end, sockets.kinds[kind or "tcp"](), { allowHalfOpen = true })
  server.peers = peers
  return server
end

describe("a socket that connects again", function()
  after_each(support.clean)

  each_kind(function(kind)
    for how, read in pairs(READERS) do
      for name, ending in pairs(ENDINGS) do
        if kind == "tcp" or not ending.tcp_only then
          it(("hears each life (%s, %s, %s)"):format(how, name, kind), function()
            local server = greeter(kind)
            local target = sockets.address_of(server)
            local socket, life, text = net.Socket(), 1, ""
            local note, log = recorder()
            read(socket, function(chunk)
              text = text .. chunk
              if text ~= "life " .. life then return end
              note(text)
              text = ""
              assert.equal(#log[#log], socket.bytesRead)
              net.setImmediate(function() ending.act(socket, server.peers[life]) end)
            end)
            watch(socket, note)
            socket:on("close", function()
              server.peers[life]:destroy()
              assert.is_true(socket.destroyed)
              life = life + 1
              if life > LIVES then
                server:close()
                return
              end
              socket:connect(target)
              assert.is_nil(socket.errored)
              assert.is_false(socket.destroyed)
              assert.equal(0, socket.bytesRead)
              assert.equal("opening", socket.readyState)
            end)
            socket:connect(target)
            support.run()
            local expected = {}
            for i = 1, LIVES do
              expected[#expected + 1] = "connect"
              expected[#expected + 1] = "life " .. i
              table.move(ending.log, 1, #ending.log, #expected + 1, expected)
            end
            assert.same(expected, log)
            assert.equal("", text)
          end)
        end
      end
    end
  end)

  for how, read in pairs(READERS) do
    it("hears its data after connects that failed (" .. how .. ")", function()
      local server, refusing = greeter(), sockets.refusing_port()
      local socket, failures = net.Socket(), 0
      local note, log = recorder()
      read(socket, function(chunk)
        note(chunk)
        net.setImmediate(function() server.peers[1]:end_() end)
      end)
      watch(socket, note)
      socket:on("close", function(failed)
        if not failed then
          server:close()
          server.peers[1]:destroy()
          return
        end
        failures = failures + 1
        socket:connect(failures < 3 and refusing or server:address().port, "127.0.0.1")
      end)
      socket:connect(refusing, "127.0.0.1")
      support.run()
      assert.same({
        "error ECONNREFUSED", "close true", "error ECONNREFUSED", "close true", "error ECONNREFUSED", "close true",
        "connect", "life 1", "end", "finish", "close false",
      }, log)
    end)
  end

  it("hears the listeners that it is given between its lives", function()
    for event, other in pairs { data = "readable", readable = "data" } do
      local server = greeter()
      local target = sockets.address_of(server)
      local note, log = recorder()
      local socket = net.connect(target)
      local function hear(name)
        socket:on(name, function(chunk)
          chunk = chunk or socket:read()
          if chunk then note(name, chunk) end
          server.peers[#server.peers]:end_()
        end)
      end
      hear(event)
      watch(socket, note)
      socket:once("close", function()
        socket:removeAllListeners(event)
        hear(other)
        socket:connect(target)
        socket:once("close", function() server:close() end)
      end)
      support.run()
      assert.same({
        "connect", event .. " life 1", "end", "finish", "close false",
        "connect", other .. " life 2", "end", "finish", "close false",
      }, log)
    end
  end)

  -- ---- nothing of the life before ----

  it("does not read what its last life has left", function()
    local server = greeter()
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    socket:on("readable", function()
      if #server.peers == 1 then
        note("waits", socket.readableLength)
        socket:destroy()
      else
        note("read", socket:read())
        server.peers[2]:destroy()
        socket:destroy()
        server:close()
      end
    end)
    socket:once("close", function()
      server.peers[1]:destroy()
      socket:connect(target)
      note("waits", socket.readableLength)
    end)
    support.run()
    assert.same({ "waits 6", "waits 0", "read life 2" }, log)
  end)

  it("does not read what a paused life was sent, and stays paused", function()
    local server = greeter()
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    socket:on("data", note)
    socket:read(0) -- so that it reads, paused as it is
    socket:pause()
    support.run_until(function() return socket.readableLength == 6 end)
    socket:destroy()
    support.run_until(function() return socket.closed and #server.peers == 1 end)
    sockets.settle()
    socket:connect(target)
    socket:read(0)
    assert.is_true(socket:isPaused())
    support.run_until(function() return socket.readableLength > 0 end)
    assert.equal(6, socket.readableLength)
    assert.same({}, log)
    socket:resume()
    support.run_until(function() return #log > 0 end)
    assert.same({ "life 2" }, log)
    server:close()
    sockets.finish(socket, server.peers[1], server.peers[2])
  end)

  it("forgets the half of a character that its last life has held back", function()
    local greetings, peers = { "a\xE2\x82", "\xACb" }, {}
    local server = sockets.server(function(peer)
      peers[#peers + 1] = peer
      peer:on("error", function() end)
      peer:write(greetings[#peers])
    end)
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    socket:setEncoding "utf8"
    socket:on("data", function(chunk)
      note(chunk)
      socket:destroy()
    end)
    socket:once("close", function()
      socket:connect(target)
      socket:once("close", function() server:close() end)
    end)
    support.run_until(function() return not server.listening end)
    assert.same({ "a", "\u{FFFD}b" }, log)
    assert.equal("utf8", socket.readableEncoding)
    sockets.finish(table.unpack(peers))
  end)

  -- However early the script's own 'close' listener is called.
  for _, when in ipairs { "before", "after" } do
    it("does not send what waited for a connect that failed (connecting " .. when .. " the write hears)", function()
      local note, log = recorder()
      local heard = {}
      local server = sockets.server(function(peer)
        heard = sockets.collect(peer)
        peer:on("end", function() peer:end_() end)
      end)
      local refusing, port = sockets.refusing_port(), server:address().port
      local socket, closes = net.Socket(), 0
      local function again(failed)
        note("close", failed)
        closes = closes + 1
        if not failed then return server:close() end
        socket:connect(closes < 3 and refusing or port, "127.0.0.1")
        socket:write("new " .. closes, sockets.callback(note, "write " .. closes))
        if closes == 3 then socket:end_(sockets.callback(note, "end")) end
      end
      if when == "before" then socket:on("close", again) end
      socket:on("error", function(err) note("error", err.code) end)
      socket:resume()
      socket:connect(refusing, "127.0.0.1")
      socket:write("old 1", sockets.callback(note, "write 0"))
      socket:write("old 2", sockets.callback(note, "queued"))
      socket:end_(sockets.callback(note, "never"))
      if when == "after" then socket:on("close", again) end
      support.run()
      assert.equal("new 3", heard.text)
      local counts, order = {}, {}
      for _, line in ipairs(log) do
        counts[line] = (counts[line] or 0) + 1
        if line:find "^error" or line:find "^close" then order[#order + 1] = line end
      end
      assert.same({
        "error ECONNREFUSED", "close true", "error ECONNREFUSED", "close true", "error ECONNREFUSED", "close true",
        "close false",
      }, order)
      local early = "ERR_SOCKET_CLOSED_BEFORE_CONNECTION"
      local expected = { "write 0 " .. early, "write 1 " .. early, "write 2 " .. early, "write 3 nil", "end nil" }
      for _, line in ipairs(expected) do
        assert.equal(1, counts[line], line)
      end
      local callbacks = 0
      for line in pairs(counts) do
        if line:find "^queued" or line:find "^never" then
          callbacks = callbacks + 1
          assert.equal(1, counts[line])
          assert.is_nil(line:find " nil$")
        end
      end
      assert.equal(2, callbacks)
      assert.equal(0, socket.writableLength)
    end)
  end

  it("has no more listeners of its own in each life", function()
    local refusing = sockets.refusing_port()
    local socket, lives, most = net.Socket(), 0, 0
    socket:on("error", function() end)
    socket:on("readable", function() end)
    socket:on("close", function()
      lives = lives + 1
      if lives == 20 then return end
      socket:connect(refusing, "127.0.0.1")
      socket:write "x"
      socket:end_()
      for _, name in ipairs { "connect", "close", "finish" } do most = math.max(most, socket:listenerCount(name)) end
    end)
    socket:connect(refusing, "127.0.0.1")
    support.run()
    assert.equal(20, lives)
    assert.is_true(most <= 4, most)
  end)

  it("is not held back by cork, nor by a write that filled its last life", function()
    local server = greeter()
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    socket:on("data", function(chunk)
      note(chunk)
      if #server.peers == 1 then
        socket:cork()
        note(socket:write(("x"):rep(1000000), sockets.callback(note, "corked")))
        socket:destroy()
      else
        note(socket:write("y", sockets.callback(note, "written")))
      end
    end)
    socket:on("drain", function() note "drain" end)
    socket:once("close", function()
      socket:connect(target)
      note(socket.writableNeedDrain, socket.writableCorked, socket.writableLength)
      socket:on("close", function() server:close() end)
    end)
    support.run_until(function() return server.peers[2] and server.peers[2].bytesRead == 1 end)
    socket:end_()
    server.peers[1]:destroy()
    server.peers[2]:end_()
    support.run()
    assert.same({
      "life 1", "false", "corked ERR_STREAM_DESTROYED", "false 0 0", "life 2", "true", "written nil",
    }, log)
  end)

  it("is not reset, nor destroyed at 'finish', because its last life was to be", function()
    local server, refusing = greeter(), sockets.refusing_port()
    local note, log = recorder()
    local socket = net.connect(refusing, "127.0.0.1")
    watch(socket, note)
    socket:on("data", note)
    socket:resetAndDestroy()
    socket:destroySoon()
    socket:once("close", function()
      socket:connect(server:address().port, "127.0.0.1")
      socket:end_()
      server.peers[1] = nil
      server:once("connection", function(peer) peer:on("end", function() peer:end_ "late" end) end)
      socket:once("close", function() server:close() end)
    end)
    support.run()
    local all = table.concat(log, ", "):gsub("life 1, late", "life 1late"):gsub("finish, life 1", "life 1, finish")
    assert.truthy(all:find("^error ECONNREFUSED, close true, connect, "), all)
    assert.truthy(all:find("late", 1, true), all)
    assert.truthy(all:find("end, close false$"), all)
    assert.equal(1, select(2, all:gsub("finish", "")))
  end)

  it("is not connected by what a lookup of its last life finds", function()
    local server = greeter()
    local wrong = sockets.server(function() error "the old lookup was taken" end)
    local port = server:address().port
    local note, log = recorder()
    local answer
    local socket = net.connect {
      port = wrong:address().port, host = "old.invalid", lookup = function(_, _, callback) answer = callback end,
    }
    watch(socket, note)
    socket:on("data", function(chunk)
      note(chunk)
      server.peers[1]:end_()
    end)
    socket:once("close", function()
      socket:connect {
        port = port,
        host = "new.invalid",
        lookup = function(_, _, callback)
          local found = { { address = "127.0.0.1", family = 4 } }
          answer(nil, found)
          net.setImmediate(callback, nil, found)
        end,
      }
      socket:once("close", function() server:close() wrong:close() end)
    end)
    socket:destroy()
    support.run()
    assert.same({ "close false", "connect", "life 1", "end", "finish", "close false" }, log)
  end)

  -- ---- before the 'close' of the last life ----

  it("is not ended by what is left to do of a life that it has destroyed", function()
    local server = greeter()
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    watch(socket, note)
    socket:once("data", function()
      socket:on("data", function(chunk)
        note(chunk)
        server.peers[2]:end_()
      end)
      server.peers[1]:pause()
      socket:write(("x"):rep(20000000), sockets.callback(note, "in flight"))
      socket:write("y", sockets.callback(note, "queued"))
      socket:end_(sockets.callback(note, "end"))
      socket:destroy():connect(target)
      socket:write("z", sockets.callback(note, "new"))
    end)
    socket:on("end", function()
      server:close()
      server.peers[1]:destroy()
    end)
    support.run()
    local counts = {}
    for _, line in ipairs(log) do counts[line] = (counts[line] or 0) + 1 end
    assert.equal(1, counts["new nil"])
    assert.equal(1, counts["life 2"])
    assert.equal(1, counts["finish"])
    assert.equal(1, counts["end"])
    assert.equal(2, counts["close false"])
    assert.is_nil(counts["in flight nil"])
    assert.is_nil(counts["queued nil"])
    assert.is_nil(counts["end nil"])
    assert.equal("close false", log[#log])
    local answered = 0
    for line, n in pairs(counts) do
      if line:find "^in flight" or line:find "^queued" or line:find "^end E" then answered = answered + n end
    end
    assert.equal(3, answered)
    assert.equal(0, socket.writableLength)
  end)
end)
