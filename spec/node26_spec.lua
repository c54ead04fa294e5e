-- What Node has done otherwise since v20, and stands in no other spec: the marks, a socket that ends before it ever
-- connects, destroyed ones, pipes whose destination raises, warnings of timers, fork's timeout. What is expected is
-- what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"
local children = require "spec.support.children"

local caught, recorder = support.caught, support.recorder

describe("the high water mark of 64 KiB", function()
  after_each(support.clean)

  it("is that of both halves of every socket", function()
    local client, peer = sockets.pair()
    for _, socket in ipairs { client, peer, net.Socket(), net.Socket {} } do
      assert.same({ 65536, 65536 }, { socket.readableHighWaterMark, socket.writableHighWaterMark })
    end
    assert.equal(65536, net.createServer().highWaterMark)
    assert.equal(65536, net.createServer({ highWaterMark = -1 }).highWaterMark)
    client:destroy()
    peer:destroy()
    support.run()
  end)

  it("makes write false, and 'drain' follows", function()
    local server
    server = sockets.server(function(peer)
      server:close()
      peer:resume()
    end)
    local note, log = recorder()
    local client = net.connect(sockets.address_of(server))
    client:on("drain", function()
      note("drain", client.writableLength)
      client:end_():resume()
    end)
    assert.is_true(client:write(("x"):rep(65535)))
    assert.is_false(client.writableNeedDrain)
    assert.is_false(client:write "x")
    assert.is_true(client.writableNeedDrain)
    support.run()
    assert.same({ "drain 0" }, log)
  end)

  it("counts the whole chunk of which a pipe has written a part", function()
    local client, source = sockets.pair { kind = "unix" } -- where a block that fits into the kernel comes in one piece
    local destination, far = sockets.pair { kind = "unix" }
    for _, socket in ipairs { client, destination } do socket:resume() end
    local blocks, block = 0, ("x"):rep(65536)
    source:pipe(destination)
    repeat
      assert(blocks < 1000)
      blocks = blocks + 1
      client:write(block)
      support.run_until(function() return source.bytesRead == blocks * #block end)
    until destination.writableLength > 0
    assert.equal(#block, destination.writableLength)
    assert.is_true(source:isPaused())
    assert.equal(blocks * #block, destination.bytesWritten)
    local got = sockets.count(far)
    client:end_()
    support.run()
    assert.equal(blocks * #block, got.length)
    assert.equal(blocks * #block, destination.bytesWritten)
    assert.equal(0, destination.writableLength)
  end)
end)

describe("a socket that was never connected", function()
  after_each(support.clean)

  it("finishes in a tick when it is ended", function()
    local note, log = recorder()
    local socket = net.Socket()
    for _, event in ipairs { "prefinish", "finish", "end", "close", "error" } do
      socket:on(event, function() note(event) end)
    end
    socket:end_(function(err) note("callback", err) end)
    assert.same({ "prefinish" }, log)
    assert.same({ true, false, false }, { socket.writableEnded, socket.writableFinished, socket.writable })
    net.nextTick(note, "tick")
    support.run()
    assert.same({ "prefinish", "callback nil", "finish", "tick" }, log)
    assert.is_true(socket.writableFinished)
    assert.is_false(socket.destroyed)
    socket:end_(function(err) note("again", err.code) end)
    support.run()
    assert.equal("again ERR_STREAM_ALREADY_FINISHED", log[#log])
  end)

  it("closes after destroySoon", function()
    local note, log = recorder()
    local socket = net.Socket()
    for _, event in ipairs { "finish", "end", "close", "error" } do socket:on(event, function() note(event) end) end
    socket:destroySoon()
    assert.is_false(socket.destroyed)
    support.run()
    assert.same({ "finish", "close" }, log)
    assert.is_true(socket.destroyed)
  end)

  it("closes by itself when it has nothing to read either", function()
    local note, log = recorder()
    local socket = net.Socket { readable = false }
    socket:on("finish", function() note "finish" end):on("close", function() note "close" end)
    socket:end_()
    support.run()
    assert.same({ "finish", "close" }, log)
  end)

  -- Node forgets the end, and the connection hangs.
  for _, when in ipairs { "in the same turn", "after 'finish'" } do
    it("keeps the end, and tells the peer once it connects " .. when, function()
      local note, log = recorder()
      local server
      server = sockets.server(function(peer)
        server:close()
        peer:on("data", function(chunk) note("data", chunk) end)
        peer:on("end", function()
          note "peer's end"
          peer:end_()
        end)
      end)
      local socket = net.Socket()
      socket:on("finish", function() note "finish" end):on("close", function() note "close" end)
      socket:end_(function(err) note("callback", err) end)
      if when == "after 'finish'" then support.run_until(function() return log[2] end) end
      socket:connect(sockets.address_of(server))
      socket:write "text"
      socket:resume()
      support.run()
      local first = when == "after 'finish'" and { "callback nil", "finish" } or {}
      local second = when == "after 'finish'" and { "finish" } or { "callback nil", "finish" }
      local all = table.concat(log, ", ")
      assert.equal(#first + #second + 3, #log, all)
      for i, line in ipairs(first) do assert.equal(line, log[i]) end
      assert.equal("close", log[#log])
      assert.truthy(all:find("data text, peer's end", 1, true) or all:find("data text, finish, peer's end", 1, true)
        or all:find("data text, callback nil, finish, peer's end", 1, true)
        or all:find("finish, data text, peer's end", 1, true), all)
      assert.is_true(socket.writableFinished)
    end)
  end

  it("forgets the end when it is destroyed", function()
    local server = sockets.server(function(peer) peer:on("data", function(chunk) peer:end_(chunk) end) end)
    local socket = net.Socket()
    local got
    socket:end_()
    socket:destroy()
    socket:once("close", function()
      socket:connect(sockets.address_of(server), function()
        server:close()
        assert.is_true(socket.writable)
        net.setImmediate(function() socket:write "still writable" end)
      end)
      got = sockets.collect(socket)
    end)
    support.run()
    assert.equal("still writable", got.text)
  end)
end)

describe("a destroyed socket", function()
  after_each(support.clean)

  it("is neither paused nor resumed", function()
    for _, state in ipairs { "flowing", "paused", "new" } do
      local client, peer = sockets.pair()
      if state == "flowing" then client:resume() end
      if state == "paused" then client:pause() end
      sockets.settle()
      local flowing, paused = client.readableFlowing, client:isPaused()
      client:destroy()
      local note, log = recorder()
      client:on("pause", function() note "pause" end):on("resume", function() note "resume" end)
      for _ = 1, 2 do
        assert.equal(client, client:pause())
        assert.equal(client, client:resume())
        client:on("data", function() end)
        assert.same({ flowing, paused }, { client.readableFlowing, client:isPaused() })
        support.run_until(function() return client.closed end)
      end
      peer:destroy()
      support.run()
      assert.same({}, log)
      assert.equal(state == "paused", paused)
    end
  end)
end)

describe("setEncoding after the end was read", function()
  after_each(support.clean)

  for _, case in ipairs { { "a\xE2\x82", "a\u{FFFD}", "utf8" }, { "\xC3", "\u{FFFD}", "utf8" },
    { "ab", "YWI=", "base64" }, { "a€", "a€", "utf8" } } do
    it(("gives what is left of a character: %q"):format(case[1]), function()
      local client, peer = sockets.pair()
      peer:end_(case[1])
      support.run_until(function() return client.readableLength == #case[1] end)
      for _ = 1, 5 do sockets.settle() end -- the end comes behind the bytes
      client:setEncoding(case[3])
      local got = sockets.collect(client)
      peer:resume()
      support.run()
      assert.equal(case[2], got.text)
      assert.is_true(client.readableEnded)
    end)
  end
end)

describe("pipe", function()
  after_each(support.clean)

  it("destroys a destination whose write raises, and leaves the source", function()
    local client, source = sockets.pair()
    local destination, far = sockets.pair()
    far:on("error", function() end):resume()
    local note, log = recorder()
    local boom = net.Error "boom"
    function destination.write() error(boom) end
    destination:on("unpipe", function(from) note("unpipe", from == source) end)
    destination:on("error", function(err) note("error", err == boom) end)
    destination:on("close", function(failed) note("close", failed) end)
    source:pipe(destination)
    client:write "lost"
    support.run_until(function() return #log == 3 end)
    assert.same({ "unpipe true", "error true", "close true" }, log)
    assert.equal(boom, destination.errored)
    assert.same({ false, true, 0 }, { source.destroyed, source:isPaused(), source:listenerCount "data" })
    local got = sockets.collect(source)
    source:resume()
    client:resume()
    client:end_ "next"
    support.run()
    assert.equal("next", got.text)
  end)

  it("hands on whatever its write, or what hears that the source is paused, raises", function()
    for _, case in ipairs { { "text" }, { false }, { nil }, { { message = "m" } }, { "in pause", true } } do
      local client, source = sockets.pair()
      local got
      local destination = net.EventEmitter()
      function destination.write()
        if case[2] then return false end
        error(case[1], 0)
      end
      function destination.end_() end
      function destination.destroy(self, ...) got = table.pack(self == destination, ...) end
      source:pipe(destination)
      if case[2] then source:on("pause", function() error("in pause", 0) end) end
      client:write "x"
      support.run_until(function() return got end)
      assert.same({ n = 2, true, case[1] }, got)
      assert.equal(1, source:listenerCount "data") -- an emitter's destroy may do nothing
      source:destroy()
      client:destroy()
      support.run()
    end
  end)

  it("lets the error of a destination that cannot be destroyed leave net.run", function()
    local client, source = sockets.pair()
    local destination = net.EventEmitter()
    function destination.write() error("raised", 0) end
    function destination.end_() end
    source:pipe(destination)
    client:write "x"
    assert.equal("raised", caught(support.run))
    source:destroy()
    client:destroy()
    support.run()
  end)

  local function sink(into)
    local destination = net.EventEmitter()
    function destination.write(_, chunk)
      into.text = into.text .. chunk
      return not into.full
    end
    function destination.end_() end
    return destination
  end

  it("flows on to the others when one that was full fails", function()
    local client, source = sockets.pair()
    local failing, far = sockets.pair()
    far:on("error", function() end):resume()
    function failing.write() return false end
    local errors = 0
    failing:on("error", function() errors = errors + 1 end)
    local got = { text = "" }
    source:pipe(failing)
    source:pipe(sink(got))
    client:write "one "
    support.run_until(function() return got.text == "one " end)
    assert.is_true(source:isPaused())
    client:write "two"
    failing:destroy(net.Error "gone")
    support.run_until(function() return got.text == "one two" end)
    assert.equal(1, errors)
    assert.is_false(source:isPaused())
    source:destroy()
    client:destroy()
    support.run()
  end)

  it("flows on when one of several that was full once is taken off, as in Node", function()
    local client, source = sockets.pair()
    local first, second = { text = "", full = true }, { text = "" }
    local one, two = sink(first), sink(second)
    source:pipe(one)
    source:pipe(two)
    client:write "x"
    support.run_until(function() return second.text == "x" end)
    assert.is_true(source:isPaused())
    first.full = false
    one:emit "drain"
    assert.is_false(source:isPaused())
    source:pause()
    source:unpipe(one)
    assert.is_false(source:isPaused())
    source:unpipe(two)
    assert.is_true(source:isPaused())
    source:destroy()
    client:destroy()
    support.run()
  end)
end)

describe("net.setTimeout and setInterval", function()
  local function warnings(code)
    local _, err, status = support.lua("local net = require 'cnet'\n" .. code .. "\nnet.run()")
    assert.equal(0, status, err)
    return err
  end

  it("warn once of a negative time, and take 1 ms", function()
    local script = [[
      local n, left = 0, 3
      local function tick() n = n + 1 if n == left then io.stderr:write "fired\n" end end
      net.setTimeout(tick, %s)
      net.setTimeout(tick, -3)
      local interval interval = net.setInterval(function() net.clearInterval(interval) tick() end, -4)
    ]]
    for given, shown in pairs { ["-7"] = "-7", ["-0.5"] = "-0.5", ["-1e21"] = "-1e+21", ["'-8'"] = "-8",
      ["-math.huge"] = "-Infinity" } do
      assert.equal(("TimeoutNegativeWarning: %s is a negative number.\nTimeout duration was set to 1.\nfired\n"):format(
        shown), warnings(script:format(given)))
    end
  end)

  it("warn once of what is not a number", function()
    for _, given in ipairs { "0/0", "'x'", "{}", "print" } do
      assert.equal("TimeoutNaNWarning: NaN is not a number.\nTimeout duration was set to 1.\nfired\n", warnings(([[
        net.setTimeout(function() io.stderr:write "fired\n" end, %s)
        net.setInterval(function() os.exit(0, true) end, %s)
      ]]):format(given, given)))
    end
  end)

  it("warn of nothing that is a time", function()
    assert.equal("", warnings [[
      for _, ms in ipairs { 0, -0.0, 0.5, 1, "2", "", "0x1", true, false } do net.setTimeout(print, ms) end
      net.setTimeout(print)
      net.setTimeout(print, nil)
    ]])
  end)
end)

describe("fork's timeout", function()
  after_each(children.clean)

  it("holds the loop after the exit, until 'close'", function()
    for _, timeout in ipairs { 600000, 0 } do
      local fifo = support.path()
      assert(os.execute("mkfifo " .. fifo))
      local child = children.sh("cat " .. fifo .. " 3>&- &", nil, { silent = true, timeout = timeout })
      local exited, disconnected, closed
      child:on("exit", function() exited = true end):on("disconnect", function() disconnected = true end)
      child:on("close", function() closed = true end)
      support.run_until(function() return exited and disconnected end)
      child.stdout:unref() -- cat has it, and waits for somebody who writes
      child.stderr:unref()
      if timeout == 0 then support.run() end -- it ends, for nothing holds it
      for _ = 1, 10 do assert.equal(timeout > 0, net.run "nowait") end
      assert.is_nil(closed)
      child.stdout:ref()
      child.stderr:ref()
      assert(io.open(fifo, "w")):close()
      support.run()
      assert.is_true(closed)
      os.remove(fifo)
    end
  end)

  it("is over at 'close'", function()
    local note, log = recorder()
    local child = children.sh("exit 3", nil, { timeout = 600000 })
    child:on("exit", function(code) note("exit", code) end)
    child:on("close", function(code) note("close", code) end)
    support.run()
    assert.same({ "exit 3", "close 3" }, log)
    assert.is_false(child.killed)
  end)

  it("is over at the 'close' of what could not be started", function()
    local note, log = recorder()
    local child = children.start("x", {}, { execPath = "/nowhere/at/all", timeout = 600000 })
    child:on("error", function(err) note("error", err.code) end)
    child:on("close", function() note "close" end)
    support.run()
    assert.same({ "error ENOENT", "close" }, log)
  end)

  it("kills, and sends nothing after the exit", function()
    local note, log = recorder()
    local child = children.sh("exec sleep 60", nil, { timeout = 1 })
    child:on("exit", function(code, signal) note("exit", code, signal) end)
    support.run()
    assert.same({ "exit nil SIGTERM" }, log)
    assert.is_true(child.killed)
  end)

  it("that is too long for a timer is 1 ms, with the warning", function()
    local _, err, status = support.lua [[
      local net = require "cnet"
      local child = require("cnet.child_process").fork("-", {}, { execPath = "sh",
        execArgv = { "-c", "exec sleep 60" }, timeout = 1 << 40 })
      child:on("exit", function(_, signal) io.stderr:write("exit ", tostring(signal), "\n") end)
      net.run()
    ]]
    assert.equal(0, status)
    assert.truthy(err:find("TimeoutOverflowWarning: 1099511627776 does not fit into a 32-bit signed integer.\n"
      .. "Timeout duration was set to 1.\n", 1, true), err)
    assert.truthy(err:find("exit SIGTERM\n", 1, true), err)
  end)
end)
