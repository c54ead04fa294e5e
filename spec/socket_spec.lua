-- The life of a net.Socket: its states, destroy in all forms, half-open connections, connecting again, `fd`, `<close>`,
-- garbage collection. What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

local function states(socket)
  local s = socket
  return ("%s %s %s %s %s"):format(s.connecting, s.pending, s.readyState, s.destroyed, s.closed)
end

local each_kind = sockets.each_kind

describe("net.Socket", function()
  after_each(support.clean)

  -- ---- made ----

  it("is made by net.Socket(options), net.Socket() and net.Stream", function()
    for _, socket in ipairs { net.Socket(), net.Socket {}, net.Stream(), net.Socket { allowHalfOpen = true } } do
      assert.equal("false true open false false", states(socket))
      assert.is_nil(socket.errored)
      assert.is_nil(socket.server)
      assert.is_true(socket.readable)
      assert.is_true(socket.writable)
      assert.equal(1, socket:listenerCount "end")
      assert.same({ "end" }, socket:eventNames())
    end
    assert.is_false(net.Socket().allowHalfOpen)
    assert.is_true(net.Socket({ allowHalfOpen = true }).allowHalfOpen)
    assert.equal(net.Socket, net.Stream)
  end)

  it("refuses object mode", function()
    for _, name in ipairs { "objectMode", "readableObjectMode", "writableObjectMode" } do
      local err = caught(net.Socket, { [name] = true })
      assert.equal("ERR_INVALID_ARG_VALUE", err.code)
      assert.equal(("The property 'options.%s' is not supported. Received true"):format(name), err.message)
      assert.truthy(net.Socket { [name] = false })
    end
  end)

  it("takes highWaterMark for both sides, or one for each", function()
    local function marks(options)
      local socket = net.Socket(options)
      return { socket.readableHighWaterMark, socket.writableHighWaterMark }
    end
    assert.same({ 65536, 65536 }, marks {})
    assert.same({ 100, 100 }, marks { highWaterMark = 100 })
    assert.same({ 0, 0 }, marks { highWaterMark = 0 })
    assert.same({ 7, 65536 }, marks { readableHighWaterMark = 7 })
    assert.same({ 65536, 8 }, marks { writableHighWaterMark = 8 })
    assert.same({ 100, 100 }, marks { highWaterMark = 100, readableHighWaterMark = 7 })
    for _, bad in ipairs { -1, 1.5, "100", true, {} } do
      assert.equal("ERR_INVALID_ARG_VALUE", caught(net.Socket, { highWaterMark = bad }).code)
    end
  end)

  it("can be made without one of its sides", function()
    local deaf = net.Socket { readable = false }
    assert.is_false(deaf.readable)
    assert.is_true(deaf.writable)
    assert.equal("writeOnly", deaf.readyState)
    local dumb = net.Socket { writable = false }
    assert.is_true(dumb.readable)
    assert.is_false(dumb.writable)
    assert.equal("readOnly", dumb.readyState)
  end)

  it("does not let its states be assigned", function()
    local socket = net.Socket()
    for _, name in ipairs { "connecting", "pending", "readyState", "destroyed", "closed", "errored", "bytesRead",
      "readable", "remotePort", "server" } do
      local err = caught(function() socket[name] = 1 end)
      assert.truthy(tostring(err):find(name, 1, true), name)
    end
    socket.user = "me"
    assert.equal("me", socket.user)
    assert.is_nil(socket.nothing)
  end)

  it("takes what is added to the class, and a field hides a method", function()
    local socket = net.Socket()
    function net.Socket.hello(self) return self, "hello" end
    local self, text = socket:hello()
    net.Socket.hello = nil
    assert.equal(socket, self)
    assert.equal("hello", text)
    assert.is_nil(socket.hello)
    local write = socket.write
    socket.write = function() return "mine" end
    assert.equal("mine", socket:write "x")
    socket.write = nil
    assert.equal(write, socket.write)
  end)

  it("raises for a self that is no socket", function()
    local socket, server = net.Socket(), net.Server()
    for _, name in ipairs { "write", "end_", "destroy", "destroySoon", "resetAndDestroy", "read", "unshift", "pause",
      "resume", "isPaused", "connect", "address", "ref", "unref", "setTimeout", "setNoDelay", "setKeepAlive", "cork",
      "uncork" } do
      for _, self in ipairs { 1, "x", {}, server, net.EventEmitter(), io.stdout, print } do
        assert.is_false(pcall(socket[name], self, 1), name)
      end
      assert.is_false(pcall(socket[name]), name)
    end
    assert.equal("false true open false false", states(socket))
  end)

  it("says what it is and where", function()
    local fresh = net.Socket()
    assert.equal("net.Socket (new)", tostring(fresh))
    local server = sockets.server(function(peer) peer:destroy() end)
    local port = server:address().port
    fresh:connect(port, "127.0.0.1")
    assert.equal("net.Socket (connecting)", tostring(fresh))
    fresh:resume()
    local seen
    fresh:on("connect", function()
      seen = tostring(fresh)
      server:close()
    end)
    support.run()
    assert.equal(("net.Socket (127.0.0.1:%d)"):format(port), seen)
    assert.equal("net.Socket (destroyed)", tostring(fresh))
    local client, peer = sockets.pair { kind = "unix" }
    assert.truthy(tostring(client):find "^net%.Socket %(")
    client:destroy()
    peer:destroy()
    support.run()
  end)

  -- ---- states ----

  each_kind(function(kind)
    it("goes through its states (" .. kind .. ")", function()
      local note, log = recorder()
      local server = sockets.server(function(peer)
        peer:resume()
        peer:on("end", function() peer:end_() end)
      end, sockets.kinds[kind](), { allowHalfOpen = true })
      local socket = net.Socket()
      note("new", states(socket))
      local returned = socket:connect(sockets.address_of(server))
      assert.equal(socket, returned)
      note("connecting", states(socket))
      socket:on("connect", function() note("connect", states(socket)) end)
      socket:on("ready", function()
        note("ready", states(socket))
        socket:end_()
        note("ended", states(socket))
      end)
      socket:on("finish", function() note("finish", states(socket)) end)
      socket:on("end", function() note("end", states(socket)) end)
      socket:on("close", function() note("close", states(socket)) server:close() end)
      socket:resume()
      support.run()
      assert.same({
        "new false true open false false",
        "connecting true true opening false false",
        "connect false false open false false",
        "ready false false open false false",
        "ended false false readOnly false false",
        "finish false false readOnly false false",
        "end false false closed false false",
        "close false true closed true true",
      }, log)
      assert.is_nil(socket.errored)
      assert.equal("false true closed true true", states(socket))
    end)

    it("is writeOnly between the peer's end and its own when half-open is allowed (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind, client = { allowHalfOpen = true } }
      local note, log = recorder()
      sockets.watch(client, note)
      local got = sockets.collect(peer)
      client:resume()
      peer:end_()
      sockets.wait(function() return client.readableEnded end)
      sockets.settle()
      assert.equal("false false writeOnly false false", states(client))
      assert.is_false(client.readable)
      assert.is_true(client.writable)
      assert.is_true(client:write "late")
      client:end_ " answer"
      support.run()
      assert.equal("late answer", got.text)
      assert.same({ "resume", "end", "finish", "close false" }, log)
    end)

    it("ends itself after the peer's end (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local note, log = recorder()
      sockets.watch(client, note)
      client:on("end", function()
        note("writable", client.writable, client.writableEnded)
        net.nextTick(function() note("tick", client.writable, client.writableEnded) end)
      end)
      local got = sockets.collect(peer)
      peer:end_ "bye"
      client:on("end", function() assert.is_true(client:write "last words") end)
      client:resume()
      support.run()
      assert.equal("last words", got.text)
      assert.same({
        "resume", "end", "writable true false", "tick true false", "finish", "close false",
      }, log)
    end)

    it("goes on receiving after its own end, for as long as the peer sends (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind, server = { allowHalfOpen = true } }
      local got = sockets.collect(client)
      local closed = false
      client:on("close", function() closed = true end)
      peer:resume()
      client:end_()
      sockets.wait(function() return peer.readableEnded and client.writableFinished end)
      for i = 1, 5 do
        peer:write("part " .. i .. ";")
        sockets.wait(function() return #got.text == 7 * i end)
      end
      assert.is_false(closed)
      assert.equal("readOnly", client.readyState)
      peer:end_()
      support.run()
      assert.is_true(closed)
      assert.equal("part 1;part 2;part 3;part 4;part 5;", got.text)
    end)
  end)

  it("can be given half-open rules at any time", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    client.allowHalfOpen = true
    client:resume()
    peer:end_()
    peer:resume()
    sockets.wait(function() return client.readableEnded end)
    sockets.settle()
    assert.equal("writeOnly", client.readyState)
    assert.same({ "resume", "end" }, log)
    client:end_()
    support.run()
    assert.same({ "resume", "end", "finish", "close false" }, log)
  end)

  it("answers a write after the automatic end with EPIPE", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    client:resume()
    peer:resume()
    peer:end_()
    client:on("finish", function()
      note("write", client:write("x", sockets.callback(note, "callback")))
      note("then", client.destroyed, client.errored.code, client.errored.message)
    end)
    support.run()
    assert.same({
      "resume", "end", "finish", "write false",
      "then true EPIPE This socket has been ended by the other party",
      "callback EPIPE", "error EPIPE", "close true",
    }, log)
  end)

  -- ---- destroy ----

  it("destroy of a fresh socket: close in a tick, without an argument", function()
    local socket = net.Socket()
    local note, log = recorder()
    socket:on("close", function(...) note("close", select("#", ...)) end)
    assert.equal(socket, socket:destroy())
    assert.equal("false true closed true true", states(socket))
    net.nextTick(note, "tick")
    note "sync"
    support.run()
    assert.same({ "sync", "close 0", "tick" }, log)
  end)

  it("destroy(err) of a fresh socket: error, then close", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    local err = net.Error "why"
    socket:destroy(err)
    assert.equal(err, socket.errored)
    support.run()
    assert.same({ "error why", "close" }, log)
    assert.equal(err, socket.errored)
  end)

  each_kind(function(kind)
    it("destroys at once and tells of it later (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local note, log = recorder()
      sockets.watch(client, note)
      sockets.watch(peer, note, "peer ")
      peer:resume()
      local server = peer.server
      assert.truthy(server)
      assert.equal(client, client:destroy())
      note(states(client))
      assert.is_nil(client.localAddress)
      assert.is_nil(client.localPort)
      assert.same({}, client:address())
      assert.is_false(client.readable)
      assert.is_false(client.writable)
      support.run()
      assert.equal("false true closed true true", table.remove(log, 1))
      local own, others = {}, {}
      for _, line in ipairs(log) do
        table.insert(line:find "^peer" and others or own, line)
      end
      assert.same({ "close false" }, own)
      assert.same({ "peer resume", "peer end", "peer finish", "peer close false" }, others)
    end)

    it("tells an error before the close (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local note, log = recorder()
      sockets.watch(client, note)
      peer:resume()
      local err = { message = "mine", code = "E_MINE" }
      client:on("error", function(e)
        assert.equal(err, e)
        note("in error", states(client))
      end)
      client:destroy(err)
      client:destroy(net.Error "later")
      client:destroy()
      assert.equal(err, client.errored)
      support.run()
      assert.same({ "error E_MINE", "in error false true closed true true", "close true" }, log)
    end)
  end)

  it("drops an error that comes after a plain destroy", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:destroy()
    client:destroy(net.Error "late")
    assert.is_nil(client.errored)
    support.run()
    assert.same({ "close false" }, log)
  end)

  it("passes any value as an error", function()
    for _, value in ipairs { "text", 5, true } do
      local socket = net.Socket()
      local got, hits = nil, 0
      socket:on("error", function(e)
        got = e
        hits = hits + 1
      end)
      socket:destroy(value)
      support.run()
      assert.equal(value, got)
      assert.equal(1, hits)
    end
  end)

  it("takes what JavaScript counts as false for no error", function()
    for _, nothing in ipairs { false, 0, 0.0, -0.0, "", 0 / 0 } do
      local socket = net.Socket()
      local note, log = recorder()
      sockets.watch(socket, note)
      socket:destroy(nothing)
      assert.is_nil(socket.errored)
      support.run()
      assert.same({ "close" }, log, tostring(nothing))

      local client, peer = sockets.pair()
      note, log = recorder()
      sockets.watch(client, note)
      peer:resume()
      client:destroy(nothing)
      client:write("x", sockets.callback(note, "write"))
      assert.is_nil(client.errored)
      support.run()
      assert.same({ "write ERR_STREAM_DESTROYED", "close false" }, log, tostring(nothing))
    end
  end)

  it("lets an unheard error leave net.run, and closes all the same", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("close", function(...) note("close", ...) end)
    peer:resume()
    local err = net.Error "unheard"
    client:destroy(err)
    assert.equal(err, caught(net.run))
    assert.same({}, log)
    support.run()
    assert.same({ "close true" }, log)
  end)

  it("gives no data and no end after destroy, though the peer goes on", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    local hits = 0
    client:on("data", function()
      hits = hits + 1
      client:destroy()
    end)
    client:on("data", function() hits = hits + 10 end) -- the same emit goes on
    peer:on("error", function() end)
    for _ = 1, 20 do peer:write(("x"):rep(100000)) end
    peer:end_()
    support.run()
    assert.equal(11, hits)
    assert.same({ "resume", "close false" }, log)
  end)

  it("destroySoon sends all first", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    local got = sockets.count(peer)
    local size = 8 * 1024 * 1024
    client:write(("x"):rep(size))
    client:destroySoon()
    assert.is_false(client.destroyed)
    assert.is_true(client.writableEnded)
    support.run()
    assert.equal(size, got.length)
    assert.is_true(got.ended)
    assert.same({ "finish", "close false" }, log)
  end)

  it("destroySoon while connecting waits for the connection and the data", function()
    local got
    local server = sockets.server(function(peer) got = sockets.collect(peer) end)
    local client = net.connect(server:address().port, "127.0.0.1")
    local note, log = recorder()
    sockets.watch(client, note)
    client:write "early"
    client:destroySoon()
    client:on("close", function() server:close() end)
    support.run()
    assert.equal("early", got.text)
    assert.is_true(got.ended)
    assert.equal("close false", log[#log])
    assert.equal("finish", log[#log - 1])
  end)

  it("destroySoon of a finished socket destroys it at once", function()
    local client, peer = sockets.pair { server = { allowHalfOpen = true } }
    peer:resume()
    client:end_()
    sockets.wait(function() return client.writableFinished end)
    client:destroySoon()
    assert.is_true(client.destroyed)
    peer:end_()
    support.run()
  end)

  it("resetAndDestroy makes the peer's read fail", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    local peer_note, theirs = recorder()
    sockets.watch(client, note)
    sockets.watch(peer, peer_note)
    local err
    peer:on("error", function(e) err = e end)
    peer:resume()
    assert.equal(client, client:resetAndDestroy())
    assert.is_true(client.destroyed)
    assert.equal(client, client:resetAndDestroy())
    support.run()
    assert.same({ "close false" }, log)
    assert.same({ "resume", "error ECONNRESET", "close true" }, theirs)
    assert.equal("read ECONNRESET", err.message)
    assert.equal("read", err.syscall)
    assert.equal(-104, err.errno)
    assert.equal(err, peer.errored)
  end)

  it("resetAndDestroy while connecting happens inside the connect event", function()
    local theirs
    local server = sockets.server(function(peer)
      local note
      note, theirs = recorder()
      sockets.watch(peer, note)
      peer:resume()
    end)
    local client = net.connect(server:address().port, "127.0.0.1")
    local note, log = recorder()
    client:on("close", function(...) note("close", ...) server:close() end)
    client:on("connect", function() note("connect", client.destroyed) end)
    client:on("ready", function() note "ready" end)
    client:resetAndDestroy()
    client:on("connect", function() note("connect", client.destroyed) end)
    assert.is_false(client.destroyed)
    support.run()
    assert.same({ "connect false", "connect true", "ready", "close false" }, log)
    if theirs then assert.same({ "resume", "error ECONNRESET", "close true" }, theirs) end
  end)

  it("resetAndDestroy of a fresh socket is an error event", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    assert.equal(socket, socket:resetAndDestroy())
    support.run()
    assert.same({ "error ERR_SOCKET_CLOSED", "close" }, log)
    assert.equal("Socket is closed", socket.errored.message)
  end)

  it("resetAndDestroy is refused for a Unix socket", function()
    local client, peer = sockets.pair { kind = "unix" }
    local err = caught(client.resetAndDestroy, client)
    assert.equal("ERR_INVALID_HANDLE_TYPE", err.code)
    assert.equal("This handle type cannot be sent", err.message)
    assert.is_false(client.destroyed)
    local got = sockets.collect(peer)
    client:end_ "fine"
    client:resume()
    support.run()
    assert.equal("fine", got.text)
  end)

  it("is left alone by methods that come after the close", function()
    local client, peer = sockets.pair()
    peer:resume()
    client:destroy()
    support.run()
    local note, log = recorder()
    sockets.watch(client, note)
    assert.equal(client, client:destroy())
    assert.equal(client, client:resume())
    assert.equal(client, client:pause())
    assert.equal(client, client:ref())
    assert.equal(client, client:unref())
    assert.equal(client, client:setTimeout(10))
    assert.equal(client, client:setNoDelay(true))
    assert.equal(client, client:setKeepAlive(true, 1000))
    assert.is_nil(client:read())
    client:cork()
    client:uncork()
    client:destroySoon()
    assert.is_false(client:write("x", sockets.callback(note, "callback")))
    assert.equal(client, client:end_())
    support.run()
    assert.same({ "callback ERR_STREAM_DESTROYED" }, log)
  end)

  -- ---- once more ----

  each_kind(function(kind)
    it("connects again after its close (" .. kind .. ")", function()
      local accepted = 0
      local server = sockets.server(function(peer)
        accepted = accepted + 1
        peer:end_("hello " .. accepted)
        peer:resume()
      end, sockets.kinds[kind]())
      local target = sockets.address_of(server)
      local note, log = recorder()
      local socket = net.Socket()
      socket:on("connect", function() note("connect", socket.bytesRead, socket.bytesWritten, states(socket)) end)
      socket:on("data", function(chunk) note("data", chunk) end)
      socket:on("end", function() note "end" end)
      socket:on("close", function(failed)
        note("close", failed, socket.bytesRead, socket.bytesWritten)
        if accepted < 3 then
          socket:connect(target)
          socket:write(("x"):rep(accepted))
        else
          server:close()
        end
      end)
      socket:connect(target)
      support.run()
      assert.same({
        "connect 0 0 false false open false false", "data hello 1", "end", "close false 7 0",
        "connect 0 1 false false open false false", "data hello 2", "end", "close false 7 1",
        "connect 0 2 false false open false false", "data hello 3", "end", "close false 7 2",
      }, log)
    end)
  end)

  it("connects again after a failure", function()
    local server = sockets.server(function(peer) peer:end_() end)
    local port, refusing = server:address().port, sockets.refusing_port()
    local socket = net.Socket()
    local note, log = recorder()
    socket:on("connect", function() note("connect", socket.errored) end)
    socket:on("error", function(err) note("error", err.code, socket.errored == err) end)
    socket:on("close", function(failed)
      note("close", failed)
      if failed then
        socket:connect(port, "127.0.0.1")
        note("errored", socket.errored)
      else
        server:close()
      end
    end)
    socket:resume()
    socket:connect(refusing, "127.0.0.1")
    support.run()
    assert.same({ "error ECONNREFUSED true", "close true", "errored nil", "connect nil", "close false" }, log)
  end)

  -- ---- fd ----

  it("refuses descriptors that are none, or of nothing to connect with", function()
    local function code(fd) return caught(net.Socket, { fd = fd }).code end
    assert.equal("ERR_INVALID_ARG_TYPE", code "1")
    assert.equal("ERR_INVALID_ARG_TYPE", code {})
    assert.equal("ERR_OUT_OF_RANGE", code(-1))
    assert.equal("ERR_OUT_OF_RANGE", code(1.5))
    assert.equal("ERR_OUT_OF_RANGE", code(2 ^ 31))
    local err = caught(net.Socket, { fd = 99999 })
    assert.equal("ERR_INVALID_FD_TYPE", err.code)
    assert.equal("TypeError", err.name)
    assert.equal("Unsupported fd type: UNKNOWN", err.message)
    local out = support.lua([[
      local net = require "cnet"
      print(select(2, pcall(net.Socket, { fd = 0 })).message)
      print(select(2, pcall(net.Socket, 0)).code)
    ]])
    assert.equal("Unsupported fd type: FILE\nERR_INVALID_FD_TYPE\n", out)
  end)

  it("refuses a descriptor that another socket has, though that does not read", function()
    local out, err, code = support.lua {
      [[
      local net = require "cnet"
      local first = net.Socket { fd = 0, manualStart = true }
      local made, second = pcall(net.Socket, { fd = 0, manualStart = true })
      print(made, made or second.code)
      first:destroy()
      net.run()
      if made then second:resume() end
      net.run()
      ]],
      prefix = [[sh -c 'printf "text" | "$@"' sh]],
    }
    assert.same({ "false\tEEXIST\n", "", 0 }, { out, err, code })
  end)

  it("reads a pipe by its descriptor", function()
    local out, err, code = support.lua {
      [[
      local net = require "cnet"
      local socket = net.Socket { fd = 0, writable = false }
      print(socket.connecting, socket.pending, socket.readyState)
      socket:on("data", function(chunk) io.write(chunk) end)
      socket:on("end", function() print "end" end)
      socket:on("close", function(failed) print("close", failed, socket.bytesRead) end)
      net.run()
      ]],
      prefix = [[sh -c 'printf "one\ntwo\n" | "$@"' sh]],
    }
    assert.equal("false\tfalse\treadOnly\none\ntwo\nend\nclose\tfalse\t8\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("writes to a pipe by its descriptor", function()
    local out, err, code = support.lua {
      [[
      local net = require "cnet"
      local socket = net.Socket { fd = 5, readable = false }
      socket:on("close", function(failed) io.stderr:write("close ", tostring(failed), "\n") end)
      socket:write("to the ", function(e) io.stderr:write("written ", tostring(e), "\n") end)
      socket:end_("pipe\n")
      net.run()
      ]],
      prefix = [[sh -c '"$@" 5>&1 | cat' sh]],
    }
    assert.equal("to the pipe\n", out)
    assert.equal("written nil\nclose false\n", err)
    assert.equal(0, code)
  end)

  it("goes on with a TCP connection by its descriptor", function()
    local note, log = recorder()
    local got
    local server = sockets.server(function(peer)
      got = sockets.collect(peer)
      peer:on("error", function(e) note("error", e.code) end)
      peer:on("close", function(failed) note("close", failed) end)
    end)
    local port = server:address().port
    local out, err, code = support.lua {
      [[
      local net = require "cnet"
      local socket = net.Socket { fd = 7 }
      print(socket.connecting, socket.readyState, socket.remotePort == tonumber(arg[1]), socket.remoteAddress)
      socket:end_ "through fd 7"
      socket:destroySoon()
      net.run()
      ]],
      prefix = ("bash -c 'exec 7<>/dev/tcp/127.0.0.1/%d && exec \"$@\"' sh"):format(port),
    }
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal("false\topen\tfalse\t127.0.0.1\n", (out:gsub("true", "false")))
    sockets.wait(function() return #log > 0 end)
    server:close()
    support.run()
    assert.equal("through fd 7", got.text)
    assert.same({ "close false" }, log)
  end)

  -- ---- a signal ----

  it("is destroyed by its signal", function()
    local controller = net.AbortController()
    local client, peer = sockets.pair { client = { signal = controller.signal } }
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    controller:abort()
    assert.is_true(client.destroyed)
    support.run()
    assert.same({ "error ABORT_ERR", "close true" }, log)
    assert.equal("AbortError", client.errored.name)
    assert.equal("The operation was aborted", client.errored.message)
  end)

  it("does not mind a signal that comes after its close", function()
    local controller = net.AbortController()
    local client, peer = sockets.pair { client = { signal = controller.signal } }
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:destroy()
    support.run()
    controller:abort()
    support.run()
    assert.same({ "close false" }, log)
  end)

  it("refuses what is no signal", function()
    for _, bad in ipairs { 1, "x", {}, true, net.EventEmitter() } do
      local err = caught(net.Socket, { signal = bad })
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.truthy(err.message:find('The "options.signal" property must be an instance of AbortSignal', 1, true))
    end
  end)

  -- ---- <close> ----

  it("is destroyed at the end of the block it is local <close> in", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    do
      local closing <close> = client
      assert.is_false(closing.destroyed)
    end
    assert.is_true(client.destroyed)
    support.run()
    assert.same({ "close false" }, log)
  end)

  it("is destroyed by <close> without an error of its own when the block raises", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    local err = caught(function()
      local closing <close> = client
      assert(closing)
      error("out of here", 0)
    end)
    assert.equal("out of here", err)
    assert.is_true(client.destroyed)
    assert.is_nil(client.errored)
    support.run()
    assert.same({ "close false" }, log)
  end)

  it("can be closed twice by <close>", function()
    local socket = net.Socket()
    local hits = 0
    socket:on("close", function() hits = hits + 1 end)
    do
      local one <close> = socket
      local two <close> = socket
      one:destroy()
      two:destroy()
    end
    support.run()
    assert.equal(1, hits)
  end)

  -- ---- garbage ----

  local function collected(weak)
    for _ = 1, 4 do collectgarbage() end
    return next(weak) == nil
  end

  it("is garbage when it never opened anything", function()
    local weak = setmetatable({}, { __mode = "k" })
    for i = 1, 100 do
      local socket = net.Socket { highWaterMark = i }
      socket:on("data", function() socket:pause() end)
      socket:on("close", function() return socket end)
      socket.itself = socket
      socket:setTimeout(0)
      socket:setKeepAlive(true)
      weak[socket] = true
    end
    net.run "nowait"
    assert.is_true(collected(weak))
  end)

  it("is garbage when it is closed, whatever it had", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local controller = net.AbortController()
      local client, peer = sockets.pair { client = { signal = controller.signal, timeout = 100000 } }
      for _, socket in ipairs { client, peer } do
        weak[socket] = true
        socket.itself = socket
        socket:on("data", function() return socket end)
        socket:write(("x"):rep(1000000), function() return socket end)
        socket:setTimeout(100000, function() return socket end)
      end
      client:end_()
      peer:end_()
    end
    support.run()
    assert.is_true(collected(weak))
  end)

  it("stays alive without a reference while it is open", function()
    local text
    do
      local server = net.createServer()
      server:listen(0, "127.0.0.1", function()
        net.connect(server:address().port, "127.0.0.1"):end_ "still here"
      end)
      server:on("connection", function(peer)
        peer:on("data", function(chunk)
          for _ = 1, 3 do collectgarbage() end
          text = chunk
          server:close()
        end)
      end)
    end
    for _ = 1, 3 do collectgarbage() end
    support.run()
    assert.equal("still here", text)
  end)

  it("leaves nothing behind after many connections", function()
    local open, most = 0, 0
    local server
    server = sockets.server(function(peer)
      open = open + 1
      most = math.max(most, open)
      peer:on("close", function() open = open - 1 end)
      peer:on("data", function(chunk) peer:write(chunk) end)
    end)
    local done = 0
    for i = 1, 200 do
      local client = net.connect(server:address().port, "127.0.0.1", function(...) assert(select("#", ...) == 0) end)
      local text = ("%d;"):format(i)
      client:on("data", function(chunk)
        assert(chunk == text)
        if i % 3 == 0 then
          client:destroy()
        elseif i % 3 == 1 then
          client:end_()
        else
          client:resetAndDestroy()
        end
      end)
      client:on("close", function()
        done = done + 1
        if done == 200 then server:close() end
      end)
      client:write(text)
    end
    server:on("connection", function(peer) peer:on("error", function(err) assert(err.code == "ECONNRESET") end) end)
    support.run()
    assert.equal(200, done)
    assert.equal(0, open)
    assert.truthy(most > 1)
  end)
end)
