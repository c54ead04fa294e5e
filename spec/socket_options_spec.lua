-- A socket's options, timeout, ref, addresses and counters. What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

local finish, each_kind = sockets.finish, sockets.each_kind

describe("setTimeout", function()
  after_each(support.clean)

  it("refuses what is no duration, and what is no callback", function()
    local socket = net.Socket()
    for _, bad in ipairs { "100", true, {}, print } do
      local err = caught(socket.setTimeout, socket, bad)
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.truthy(err.message:find('The "msecs" argument must be of type number. Received ', 1, true))
    end
    assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.setTimeout, socket).code)
    for _, bad in ipairs { -1, 1 / 0, -1 / 0, 0 / 0 } do
      local err = caught(socket.setTimeout, socket, bad)
      assert.equal("ERR_OUT_OF_RANGE", err.code)
      assert.equal("RangeError", err.name)
    end
    assert.equal('The value of "msecs" is out of range. It must be a non-negative finite number. Received -1',
      caught(socket.setTimeout, socket, -1).message)
    for _, bad in ipairs { "x", 1, {}, true } do
      for _, ms in ipairs { 0, 10 } do
        assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.setTimeout, socket, ms, bad).code)
      end
    end
    socket:destroy()
    support.run()
  end)

  it("returns the socket, and the property says what was set", function()
    local socket = net.Socket()
    assert.is_nil(socket.timeout)
    assert.equal(socket, socket:setTimeout(0))
    assert.equal(0, socket.timeout)
    assert.equal(socket, socket:setTimeout(5000, nil))
    assert.equal(5000, socket.timeout)
    assert.equal("integer", math.type(socket.timeout))
    socket:setTimeout(1.5)
    assert.equal(1.5, socket.timeout)
    socket:setTimeout(20.0)
    assert.equal("integer", math.type(socket.timeout))
    assert.equal(0, socket:listenerCount "timeout")
    socket:destroy()
    support.run()
  end)

  it("is what an assignment to the property does", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("timeout", function() note("timeout", client.timeout) client:destroy() end)
    peer:on("timeout", function() note "never" end)
    peer.timeout = 10
    assert.equal(10, peer.timeout)
    peer.timeout = 0
    assert.equal(0, peer.timeout)
    peer.timeout = 10
    peer.timeout = nil
    assert.is_nil(peer.timeout)
    for bad, code in pairs { ["100"] = "ERR_INVALID_ARG_TYPE", [true] = "ERR_INVALID_ARG_TYPE",
      [-1] = "ERR_OUT_OF_RANGE", [1 / 0] = "ERR_OUT_OF_RANGE" } do
      local err = caught(function() client.timeout = bad end)
      assert.equal(code, err.code)
      assert.truthy(err.message:find('"msecs"', 1, true))
    end
    client.timeout = 15.0
    assert.equal("integer", math.type(client.timeout))
    assert.equal(0, client:listenerCount "timeout" - 1)
    net.setTimeout(function() peer:destroy() end, 60)
    support.run()
    assert.same({ "timeout 15" }, log)
    client.timeout = 20 -- as setTimeout, nothing once it is destroyed
    assert.equal(15, client.timeout)
  end)

  it("adds the callback as a listener used once; 0 takes it off", function()
    local socket = net.Socket()
    local function callback() end
    socket:setTimeout(1000, callback)
    assert.equal(1, socket:listenerCount "timeout")
    assert.equal(callback, socket:listeners "timeout"[1])
    socket:setTimeout(1000, callback)
    assert.equal(2, socket:listenerCount "timeout")
    socket:setTimeout(0)
    assert.equal(2, socket:listenerCount "timeout")
    socket:setTimeout(0, callback)
    assert.equal(1, socket:listenerCount "timeout")
    socket:setTimeout(0, callback)
    assert.equal(0, socket:listenerCount "timeout")
    socket:destroy()
    support.run()
  end)

  each_kind(function(kind)
    it("tells of idleness once, and closes nothing (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      peer:resume()
      local note, log = recorder()
      sockets.watch(client, note)
      client:setTimeout(15, function() note "callback" end)
      net.setTimeout(function() end, 80)
      sockets.wait(function() return #log > 0 end)
      assert.same({ "timeout", "callback" }, log)
      local waited
      net.setTimeout(function() waited = true end, 50)
      sockets.wait(function() return waited end)
      assert.same({ "timeout", "callback" }, log)
      assert.is_false(client.destroyed)
      client:end_()
      client:resume()
      support.run()
    end)
  end)

  it("fires again after the next activity", function()
    local client, peer = sockets.pair()
    peer:resume()
    client:resume()
    local hits = 0
    client:on("timeout", function()
      hits = hits + 1
      if hits == 1 then
        client:write "activity of ours"
      elseif hits == 2 then
        peer:write "activity of theirs"
      else
        client:end_()
      end
    end)
    client:setTimeout(10)
    support.run()
    assert.equal(3, hits)
  end)

  it("begins anew with data that comes, and with data that goes", function()
    for _, who in ipairs { "client", "peer" } do
      local client, peer = sockets.pair()
      client:resume()
      peer:resume()
      local beats, at = 0, nil
      client:setTimeout(60, function() at = beats end)
      local writer = who == "client" and client or peer
      local interval
      interval = net.setInterval(function()
        beats = beats + 1
        if beats <= 8 then writer:write "beat" else net.clearInterval(interval) end
      end, 20)
      sockets.wait(function() return at end)
      assert.truthy(at >= 8, who .. ": idle after " .. at .. " beats")
      finish(client, peer)
      net.clearInterval(interval)
    end
  end)

  it("works on a socket that never connects, and holds no loop", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    socket:setTimeout(5, function() note "callback" end)
    support.run()
    assert.same({}, log)
    net.setTimeout(function() end, 40)
    support.run()
    assert.same({ "timeout", "callback" }, log)
    socket:destroy()
    support.run()
  end)

  it("does not keep the loop alive", function()
    local client, peer = sockets.pair()
    client:setTimeout(3600 * 1000)
    peer:setTimeout(3600 * 1000)
    client:unref()
    peer:unref()
    assert.is_false(support.run())
    client:ref()
    peer:ref()
    finish(client, peer)
  end)

  it("runs while a lookup or a connection takes its time", function()
    local answer
    local socket = net.connect {
      host = "slow.invalid", port = 1, timeout = 10,
      lookup = function(_, _, callback) answer = callback end,
    }
    assert.equal(10, socket.timeout)
    local note, log = recorder()
    socket:on("timeout", function()
      note("timeout", socket.connecting)
      answer(net.Error("slow", { code = "E_SLOW" }))
    end)
    socket:on("error", function(err) note("error", err.code) end)
    socket:on("close", function(failed) note("close", failed) end)
    net.setTimeout(function() end, 60)
    support.run()
    assert.same({ "timeout true", "error E_SLOW", "close true" }, log)
  end)

  it("is over with destroy, and does nothing afterwards", function()
    local client, peer = sockets.pair()
    local hits = 0
    client:setTimeout(5, function() hits = hits + 1 end)
    peer:resume()
    client:destroy()
    assert.equal(client, client:setTimeout(1, function() hits = hits + 1 end))
    assert.equal(client, client:setTimeout "not even looked at")
    assert.equal(5, client.timeout)
    net.setTimeout(function() end, 30)
    support.run()
    assert.equal(0, hits)
  end)

  it("can be set, changed and stopped inside its own event", function()
    local client, peer = sockets.pair()
    peer:resume()
    local note, log = recorder()
    client:on("timeout", function()
      note(client.timeout)
      if #log == 1 then
        client:setTimeout(5)
      elseif #log == 2 then
        client:setTimeout(0)
        net.setTimeout(function() client:destroy() end, 30)
      end
    end)
    client:setTimeout(10)
    net.setTimeout(function() end, 60)
    support.run()
    assert.same({ "10", "5" }, log)
  end)

  it("lets its error leave net.run, and the socket goes on", function()
    local client, peer = sockets.pair()
    peer:resume()
    client:setTimeout(5, function() error("in timeout", 0) end)
    assert.equal("in timeout", caught(net.run))
    assert.is_false(client.destroyed)
    client:end_()
    support.run()
  end)

  it("is put off while a big write makes progress, and comes when that stops #timing", function()
    local client, peer = sockets.pair { kind = "unix", server = { pauseOnConnect = true } }
    local beats, at = 0, {}
    client:write(("x"):rep(16 * 1024 * 1024))
    client:setTimeout(150)
    client:on("timeout", function()
      at[#at + 1] = beats
      client:destroy()
      peer:destroy()
    end)
    -- the peer takes a little every few ms, for longer than the timeout, and then nothing more
    peer:on("error", function() end)
    peer:on("data", function() peer:pause() end)
    local interval
    interval = net.setInterval(function()
      beats = beats + 1
      if beats == 60 then return net.clearInterval(interval) end
      peer:resume()
    end, 5)
    support.run()
    assert.same({ 60 }, at)
  end)

  it("clamps what is too long, with a warning", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local socket = net.Socket()
      socket:setTimeout(2 ^ 31)
      print(socket.timeout)
    ]]
    assert.equal(0, code)
    assert.equal("2147483648\n", out)
    assert.truthy(err:find("2147483648 does not fit into a 32-bit signed integer", 1, true), err)
  end)

  it("serves thousands of sockets", function()
    local fired = 0
    local list = {}
    for i = 1, 3000 do
      list[i] = net.Socket()
      list[i]:setTimeout(10 + i % 5, function() fired = fired + 1 end)
    end
    for i = 1, 3000, 3 do list[i]:destroy() end
    net.setTimeout(function() end, 60)
    support.run()
    assert.equal(2000, fired)
    for _, socket in ipairs(list) do socket:destroy() end
    support.run()
  end)

  it("is an error on a socket that was collected: nobody would free the timer", function()
    local errors = {}
    local function collect()
      -- finalizers run in the opposite order of their making: the socket's is the first
      local older = setmetatable({}, { __gc = function(self)
        for _, ms in ipairs { 1000, 0 } do
          local ok, err = pcall(self.socket.setTimeout, self.socket, ms)
          errors[#errors + 1] = ok and "none" or err
        end
      end })
      older.socket = net.Socket()
    end
    collect()
    collectgarbage()
    assert.same({ "the socket was collected", "none" }, errors)
  end)
end)

describe("a socket's options", function()
  after_each(support.clean)

  it("return the socket in every state", function()
    local function check(socket)
      assert.equal(socket, socket:setNoDelay())
      assert.equal(socket, socket:setNoDelay(false))
      assert.equal(socket, socket:setKeepAlive())
      assert.equal(socket, socket:setKeepAlive(true))
      assert.equal(socket, socket:setKeepAlive(true, 1000))
      assert.equal(socket, socket:setKeepAlive { enable = true, initialDelay = 1000, interval = 1000, count = 2 })
      assert.equal(socket, socket:setKeepAlive(false))
      assert.equal(socket, socket:ref())
      assert.equal(socket, socket:unref())
      assert.equal(socket, socket:ref())
    end
    check(net.Socket())
    for _, kind in ipairs { "tcp", "unix" } do
      local client, peer = sockets.pair { kind = kind }
      check(client)
      check(peer)
      peer:resume()
      client:destroy()
      check(client)
      support.run()
      check(client)
    end
    local connecting = net.connect(sockets.refusing_port(), "127.0.0.1")
    connecting:on("error", function() end)
    check(connecting)
    support.run()
  end)

  -- What the kernel says, where it can be asked.
  local function kernel(socket)
    local options = sockets.options(socket)
    if not options then
      support.reset()
      pending "the kernel's view of a socket cannot be had here"
    end
    return options
  end

  it("reach the kernel on a connected socket", function()
    local client, peer = sockets.pair()
    local before = kernel(client)
    assert.is_false(before.noDelay)
    assert.is_false(before.keepAlive)
    client:setNoDelay()
    assert.is_true(kernel(client).noDelay)
    client:setNoDelay(false)
    assert.is_false(kernel(client).noDelay)
    client:setKeepAlive(true)
    local now = kernel(client)
    assert.is_true(now.keepAlive)
    assert.equal(before.idle, now.idle)
    client:setKeepAlive(true, 61999)
    now = kernel(client)
    assert.is_true(now.keepAlive)
    assert.equal(61, now.idle)
    client:setKeepAlive(true, 30000, 5000, 4)
    now = kernel(client)
    assert.same({ true, 30, 5, 4 }, { now.keepAlive, now.idle, now.interval, now.count })
    client:setKeepAlive(false)
    assert.is_false(kernel(client).keepAlive)
    finish(client, peer)
  end)

  it("are remembered before connect, and applied then", function()
    local server = sockets.server()
    local socket = net.Socket()
    socket:setNoDelay(true)
    socket:setKeepAlive { enable = true, initialDelay = 9000, interval = 3000, count = 6 }
    local now
    socket:connect(server:address().port, "127.0.0.1", function()
      now = sockets.options(socket) or false
      socket:destroy()
      server:closeAllConnections()
      server:close()
    end)
    support.run()
    if not now then return pending "the kernel's view of a socket cannot be had here" end
    assert.same({ true, true, 9, 3, 6 }, { now.noDelay, now.keepAlive, now.idle, now.interval, now.count })
  end)

  it("can be given to net.connect and to net.createServer", function()
    local given = { noDelay = true, keepAlive = true, keepAliveInitialDelay = 7500 }
    local client, peer = sockets.pair { client = given, server = given }
    for _, socket in ipairs { client, peer } do
      local now = kernel(socket)
      assert.same({ true, true, 7, 1, 10 }, { now.noDelay, now.keepAlive, now.idle, now.interval, now.count })
    end
    finish(client, peer)
  end)

  it("noDelay is the kernel's for a long write, so that its tail goes at once, until the next short one", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local long, sent = ("x"):rep(16384), 0
    local function no_delay_after(...)
      for _, chunk in ipairs { ... } do
        client:write(chunk)
        sent = sent + #chunk
      end
      sockets.wait(function() return #got.text == sent end)
      return kernel(client).noDelay
    end
    assert.is_false(no_delay_after "short")
    assert.is_true(no_delay_after(long))
    assert.is_true(no_delay_after(long))
    assert.is_false(no_delay_after(long:sub(2)))
    assert.is_true(no_delay_after("header", long))
    client:setNoDelay(true)
    assert.is_true(no_delay_after(long, "short"))
    client:setNoDelay(false)
    assert.is_false(no_delay_after "short")
    assert.is_true(no_delay_after(long))
    net.setImmediate(function() client:write "gathered" end)
    sockets.wait(function() return #got.text == sent + 8 end)
    assert.is_false(kernel(client).noDelay)
    finish(client, peer)
  end)

  it("refuse a delay that is no number when they are given", function()
    assert.equal("ERR_INVALID_ARG_TYPE", caught(net.Socket, { keepAliveInitialDelay = "x" }).code)
  end)
end)

describe("ref and unref", function()
  after_each(support.clean)

  each_kind(function(kind)
    it("say whether a connection keeps the loop alive (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      client:unref()
      peer:unref()
      assert.is_false(support.run())
      local got = sockets.collect(peer)
      client:write "still works"
      client:ref()
      sockets.wait(function() return got.text == "still works" end)
      peer:ref()
      client:end_()
      client:resume()
      support.run()
      assert.is_true(client.closed)
    end)
  end)

  it("are remembered before the connection", function()
    local server = sockets.server(function(peer) peer:unref() end)
    local socket = net.Socket()
    socket:unref()
    socket:connect(server:address().port, "127.0.0.1")
    socket:on("connect", function() server:close() end)
    assert.is_false(support.run())
    assert.is_false(socket.connecting)
    assert.is_false(socket.destroyed)
    socket:ref()
    socket:resetAndDestroy()
    support.reset()
  end)

  it("undo each other, however often they are called", function()
    local client, peer = sockets.pair()
    for _ = 1, 3 do client:unref() end
    client:ref()
    peer:unref()
    local late
    net.setTimeout(function()
      late = true
      client:destroy()
      peer:destroy()
    end, 20):unref()
    support.run()
    assert.is_true(late)
  end)
end)

describe("addresses", function()
  after_each(support.clean)

  it("mirror each other on both ends", function()
    local client, peer = sockets.pair()
    assert.same({ address = "127.0.0.1", family = "IPv4", port = client.localPort }, client:address())
    assert.equal(client.localAddress, peer.remoteAddress)
    assert.equal(client.localPort, peer.remotePort)
    assert.equal(client.localFamily, peer.remoteFamily)
    assert.equal(client.remoteAddress, peer.localAddress)
    assert.equal(client.remotePort, peer.localPort)
    assert.equal("IPv4", client.remoteFamily)
    assert.equal("integer", math.type(client.localPort))
    assert.equal("integer", math.type(client.remotePort))
    assert.are_not.equal(client:address(), client:address())
    finish(client, peer)
  end)

  it("are unknown before, and while it connects", function()
    local server = sockets.server(function(peer) peer:resume() end)
    local socket = net.Socket()
    local function unknown()
      assert.same({}, socket:address())
      for _, name in ipairs { "localAddress", "localPort", "localFamily", "remoteAddress", "remotePort",
        "remoteFamily" } do
        assert.is_nil(socket[name], name)
      end
    end
    unknown()
    socket:connect(server:address().port, "127.0.0.1")
    unknown()
    local port
    socket:on("connect", function()
      port = socket.remotePort
      socket:end_()
      socket:resume()
      server:close()
    end)
    socket:on("close", function()
      assert.same({}, socket:address())
      assert.is_nil(socket.localPort)
      assert.equal(port, socket.remotePort) -- what was read once is remembered
    end)
    support.run()
    assert.truthy(port)
    assert.equal("127.0.0.1", socket.remoteAddress)
  end)

  it("are unknown after destroy when nobody has asked before", function()
    local client, peer = sockets.pair()
    peer:resume()
    client:destroy()
    assert.is_nil(client.remoteAddress)
    assert.is_nil(client.remotePort)
    support.run()
    assert.is_nil(client.remoteFamily)
  end)

  it("are not those of the connection before", function()
    local first = sockets.server(function(peer) peer:end_() end)
    local second = sockets.server(function(peer) peer:end_() end)
    local socket = net.Socket()
    local ports = {}
    socket:on("connect", function() ports[#ports + 1] = socket.remotePort end)
    socket:resume()
    socket:on("close", function()
      if #ports == 1 then
        socket:connect(second:address().port, "127.0.0.1")
        assert.is_nil(socket.remotePort)
      else
        first:close()
        second:close()
      end
    end)
    local expected = { first:address().port, second:address().port }
    socket:connect(expected[1], "127.0.0.1")
    support.run()
    assert.same(expected, ports)
  end)

  it("are empty for Unix sockets", function()
    local client, peer = sockets.pair { kind = "unix" }
    for _, socket in ipairs { client, peer } do
      assert.same({}, socket:address())
      for _, name in ipairs { "localAddress", "localPort", "localFamily", "remoteAddress", "remotePort",
        "remoteFamily" } do
        assert.is_nil(socket[name], name)
      end
    end
    finish(client, peer)
  end)

  it("know the server of an accepted socket alone", function()
    local accepted
    local server = sockets.server(function(peer)
      accepted = peer
      peer:end_()
      peer:resume()
    end)
    local client = net.connect(server:address().port, "127.0.0.1")
    client:resume()
    client:on("connect", function() server:close() end)
    support.run()
    assert.equal(server, accepted.server)
    assert.is_nil(client.server)
  end)
end)

describe("counters", function()
  after_each(support.clean)

  each_kind(function(kind)
    it("count bytes, read or unread, sent or waiting, and outlive the socket (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      assert.equal(0, client.bytesRead)
      assert.equal(0, client.bytesWritten)
      assert.equal(0, client.bufferSize)
      client:write "12345"
      client:write("\xe2\x82\xac")
      client:write("6162", "hex")
      assert.equal(10, client.bytesWritten)
      sockets.wait(function() return peer.bytesRead == 10 end)
      assert.equal(10, peer.readableLength)
      peer:end_ "answer"
      peer:resume()
      client:resume()
      client:end_()
      support.run()
      assert.equal(10, client.bytesWritten)
      assert.equal(6, client.bytesRead)
      assert.equal(6, peer.bytesWritten)
      assert.equal(10, peer.bytesRead)
      assert.equal("integer", math.type(client.bytesWritten))
      assert.is_nil(client.bufferSize)
    end)
  end)

  it("leave out a short text that fails at once, as Node does, and count all else", function()
    for _, case in ipairs {
      { 0, function(socket) socket:write "abc" end },
      { 0, function(socket) socket:write(("x"):rep(5461)) end },
      { 5462, function(socket) socket:write(("x"):rep(5462)) end },
      { 6, function(socket)
        socket:cork()
        socket:write "abc"
        socket:write "def"
        socket:uncork()
      end },
    } do
      local server, code
      server = sockets.server(function(peer)
        server:close()
        net.setImmediate(function() peer:resetAndDestroy() end)
      end)
      local client = net.connect(sockets.address_of(server)):pause() -- so that no read tells of the reset
      client:on("error", function(err) code = err.code end)
      sockets.wait(function() return not server.listening end)
      sockets.settle()
      assert.is_nil(code)
      assert.equal("open", client.readyState)
      case[2](client)
      assert.equal(case[1], client.bytesWritten)
      support.run()
      assert.equal("ECONNRESET", code)
      assert.equal(case[1], client.bytesWritten)
    end
  end)

  it("count what waits before the connection and behind a full kernel", function()
    local socket = net.Socket()
    assert.is_nil(socket.bufferSize)
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    local size = 16 * 1024 * 1024
    client:write(("x"):rep(size))
    client:write "more"
    assert.equal(size + 4, client.bytesWritten)
    assert.equal(client.writableLength, client.bufferSize)
    assert.truthy(client.bufferSize >= 4)
    local got = sockets.count(peer)
    client:end_()
    client:resume()
    peer:resume()
    support.run()
    assert.equal(size + 4, got.length)
    assert.equal(size + 4, client.bytesWritten)
    socket:destroy()
    support.run()
  end)
end)

describe("the kernel's buffers", function()
  after_each(support.clean)

  local directions = { "Recv", "Send" }

  it("are set and told of, on both kinds of sockets", function()
    each_kind(function(kind)
      local client, peer = sockets.pair { kind = kind }
      for _, direction in ipairs(directions) do
        local set, get = "set" .. direction .. "BufferSize", "get" .. direction .. "BufferSize"
        for _, socket in ipairs { client, peer } do
          assert.equal("integer", math.type(socket[get](socket)))
          assert.equal(socket, socket[set](socket, 20000))
          assert.equal(40000, socket[get](socket)) -- as Linux does
          assert.equal(60000, socket[set](socket, 30000.0)[get](socket))
        end
      end
      finish(client, peer)
    end)
  end)

  it("are kept before a connection, and set in time for TCP's window", function()
    local socket = net.Socket()
    for _, direction in ipairs(directions) do
      assert.is_nil(socket["get" .. direction .. "BufferSize"](socket))
      assert.equal(socket, socket["set" .. direction .. "BufferSize"](socket, 5000))
      assert.equal(5000, socket["get" .. direction .. "BufferSize"](socket))
    end
    for _, target in ipairs { {}, { localAddress = "127.0.0.1" } } do
      local server = sockets.server(function(peer) peer:end_() end)
      local note, log = recorder()
      for key, value in pairs(sockets.address_of(server)) do target[key] = value end
      socket:once("connectionAttempt", function() note(socket:getRecvBufferSize()) end)
      socket:connect(target, function() note(socket:getRecvBufferSize(), socket:getSendBufferSize()) end)
      socket:resume():once("close", function()
        note(socket:getRecvBufferSize(), socket:getSendBufferSize())
        server:close()
      end)
      support.run()
      table.remove(log, 1) -- without a local address there is no socket yet
      assert.same({ "10000 10000", "5000 5000" }, log)
    end
    local server = sockets.server(function(peer) peer:end_() end, sockets.kinds.unix())
    local sent
    socket:connect(sockets.address_of(server), function() sent = socket:getSendBufferSize() end)
    socket:resume():once("close", function() server:close() end)
    support.run()
    assert.equal(10000, sent)
  end)

  it("are set for each address that is tried", function()
    local port = sockets.refusing_port()
    local server = net.createServer(function(peer) peer:end_() end):listen(port, "127.0.0.2")
    local socket = net.Socket():setRecvBufferSize(5000)
    local size
    socket:connect({
      port = port, host = "x.invalid",
      lookup = function(_, _, done)
        done(nil, { { address = "127.0.0.1", family = 4 }, { address = "127.0.0.2", family = 4 } })
      end,
    }, function() size = socket:getRecvBufferSize() end)
    socket:resume():on("close", function() server:close() end)
    support.run()
    assert.equal(10000, size)
  end)

  it("hold back a peer whose receiver does not read", function()
    local client, peer = sockets.pair { client = { highWaterMark = 1 } }
    client:pause()
    client:setRecvBufferSize(4000)
    peer:setSendBufferSize(4000)
    while peer:write(("x"):rep(10000)) do sockets.settle() end
    sockets.settle()
    assert.is_true(peer.writableLength > 0)
    client:destroy()
    peer:destroy()
    support.run()
  end)

  it("take whole numbers from 1 to 2147483647", function()
    local socket = net.Socket()
    for _, direction in ipairs(directions) do
      for _, bad in ipairs { 0, -1, 1.5, 2 ^ 31, 1 / 0, 0 / 0, "1000", true, {}, false } do
        local err = caught(socket["set" .. direction .. "BufferSize"], socket, bad)
        assert.equal("ERR_SOCKET_BAD_BUFFER_SIZE", err.code)
        assert.equal("TypeError", err.name)
        assert.equal("Buffer size must be a positive integer", err.message)
      end
      assert.equal("ERR_SOCKET_BAD_BUFFER_SIZE", caught(socket["set" .. direction .. "BufferSize"], socket).code)
      socket["set" .. direction .. "BufferSize"](socket, 2147483647)
    end
    socket:destroy()
    support.run()
  end)

  it("are no pipe's", function()
    local out = support.lua { [[
      local net = require "cnet"
      for _, name in ipairs { "getRecvBufferSize", "setSendBufferSize" } do
        local ok, err = pcall(net.process.stdin[name], net.process.stdin, 1000)
        print(ok, err.name, err.code, err.syscall, err.errno < 0, err.message)
      end
    ]], prefix = [[sh -c 'true | exec "$@"' sh]] }
    local text = "false\tSystemError\tERR_SOCKET_BUFFER_SIZE\t%s\ttrue\tCould not get or set buffer size: %s " ..
      "returned ENOTSOCK (socket operation on non-socket)\n"
    assert.equal(text:format("uv_recv_buffer_size", "uv_recv_buffer_size") ..
      text:format("uv_send_buffer_size", "uv_send_buffer_size"), out)
  end)
end)

describe("getPeerCredentials", function()
  after_each(support.clean)

  it("tells who is at the other end of a Unix socket", function()
    local client, peer = sockets.pair { kind = "unix" }
    local pipe = assert(io.popen "id -u; id -g")
    local uid, gid = pipe:read("n", "n")
    pipe:close()
    for _, socket in ipairs { client, peer } do
      local credentials = socket:getPeerCredentials()
      assert.same({ pid = net.process.pid, uid = uid, gid = gid }, credentials)
      for _, value in pairs(credentials) do assert.equal("integer", math.type(value)) end
    end
    finish(client, peer)
    assert.is_nil(client:getPeerCredentials())
  end)

  it("tells of another process", function()
    local path = support.path()
    local server = net.createServer()
    local pid
    server:on("connection", function(socket)
      pid = socket:getPeerCredentials().pid
      socket:end_()
      server:close()
    end)
    server:listen(path)
    local said = io.popen(("lua5.4 -e 'package.cpath = %q local net = require \"cnet\" print(net.process.pid) " ..
      "io.stdout:flush() net.connect(%q):resume() net.run()' & wait"):format(support.absolute(package.cpath), path))
    support.run()
    assert.equal(said:read "n", pid)
    said:close()
  end)

  it("is nil of a TCP socket, before and after a connection", function()
    assert.is_nil(net.Socket():getPeerCredentials())
    local client, peer = sockets.pair()
    assert.is_nil(client:getPeerCredentials())
    assert.is_nil(peer:getPeerCredentials())
    finish(client, peer)
    assert.equal(1, select("#", client:getPeerCredentials()))
  end)
end)
