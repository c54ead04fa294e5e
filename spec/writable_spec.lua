-- The writing half of a socket: write's answer, callbacks, 'drain', cork, end_ in all forms, and every error that a
-- write can meet. What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder, callback = support.caught, support.recorder, sockets.callback

local MiB = 1024 * 1024

-- More than the kernel takes while the other side reads nothing.
local HUGE = 16 * MiB

-- A pair whose client has written more than the kernel took.
local function full_pair(note, options)
  options = options or {}
  options.server = { pauseOnConnect = true, allowHalfOpen = options.half_open }
  local client, peer = sockets.pair(options)
  assert.is_false(client:write(("x"):rep(HUGE), callback(note, "huge")))
  assert.truthy(client.writableLength > 0)
  return client, peer
end

local each_kind = sockets.each_kind

describe("writing", function()
  after_each(support.clean)

  -- ---- write ----

  each_kind(function(kind)
    it("sends what it is given, in order (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local got = sockets.collect(peer)
      local parts = {}
      for i = 1, 2000 do
        parts[i] = ("%d:%s;"):format(i, ("x"):rep(i % 97))
        client:write(parts[i])
      end
      client:end_()
      client:resume()
      support.run()
      assert.equal(table.concat(parts), got.text)
      assert.is_true(got.ended)
      assert.equal(#got.text, client.bytesWritten)
    end)

    it("sends bytes of every value, and none for an empty string (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local got = sockets.collect(peer)
      local all = {}
      for i = 0, 255 do all[#all + 1] = string.char(i) end
      local text = table.concat(all)
      assert.is_true(client:write(""))
      assert.is_true(client:write(text))
      assert.is_true(client:write("", "utf8"))
      client:end_("")
      client:resume()
      support.run()
      assert.equal(text, got.text)
    end)

    it("sends much more than the kernel takes at once, whole (" .. kind .. ")", function()
      local note, log = recorder()
      local client, peer = full_pair(note, { kind = kind })
      local length, wrong = 0, false
      peer:on("data", function(chunk)
        length = length + #chunk
        if chunk:find("[^x]", 1) and not chunk:find "^x*y+$" then wrong = true end
      end)
      client:write(("y"):rep(5), callback(note, "more"))
      client:end_(callback(note, "end"))
      client:on("finish", function() note "finish" end)
      client:on("drain", function() note "drain" end)
      peer:resume()
      client:resume()
      support.run()
      assert.equal(HUGE + 5, length)
      assert.is_false(wrong)
      assert.same({ "huge nil", "more nil", "end nil", "finish" }, log)
    end)
  end)

  it("answers true while less than the high water mark waits", function()
    local server = sockets.server(function(peer) peer:resume() end)
    local client = net.connect { port = server:address().port, host = "127.0.0.1", highWaterMark = 10 }
    client:on("close", function() server:close() end)
    assert.is_true(client:write "123456789")
    assert.is_false(client.writableNeedDrain)
    assert.is_false(client:write "0")
    assert.is_true(client.writableNeedDrain)
    assert.is_false(client:write "")
    assert.equal(10, client.writableLength)
    assert.equal(10, client.writableHighWaterMark)
    local drains = 0
    client:on("drain", function()
      drains = drains + 1
      assert.equal(0, client.writableLength)
      assert.is_false(client.writableNeedDrain)
      client:end_()
    end)
    support.run()
    assert.equal(1, drains)
  end)

  it("answers true when the kernel took all of a big write", function()
    local client, peer = sockets.pair()
    client:on("drain", function() error "no drain is due" end)
    assert.is_true(client:write(("x"):rep(60000)))
    assert.equal(0, client.writableLength)
    peer:resume()
    client:end_()
    support.run()
  end)

  it("drains once, when the last byte is gone, before the callback", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    client:write("tail", callback(note, "tail"))
    client:on("drain", function()
      note("drain", client.writableLength)
      client:end_()
    end)
    client:on("close", function(failed) note("close", failed) end)
    peer:resume()
    support.run()
    assert.same({ "drain 0", "huge nil", "tail nil", "close false" }, log) -- the tail went out at once
  end)

  it("does not drain while another write is still on its way", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    client:write(("y"):rep(HUGE), callback(note, "second"))
    client:on("drain", function()
      note("drain", client.writableLength)
      client:end_()
    end)
    client:on("close", function(failed) note("close", failed) end)
    local got = sockets.count(peer)
    peer:resume()
    support.run()
    assert.equal(2 * HUGE, got.length)
    assert.same({ "huge nil", "drain 0", "second nil", "close false" }, log)
  end)

  it("drains no more after end_", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    sockets.watch(client, note)
    client:end_()
    assert.is_false(client.writableNeedDrain)
    peer:resume()
    client:resume()
    support.run()
    assert.same({ "resume", "huge nil", "finish", "end", "close false" }, log)
  end)

  it("calls each callback once, in order, in a tick, with nil", function()
    local client, peer = sockets.pair()
    peer:resume()
    local note, log = recorder()
    local function arguments(name)
      return function(...) note(name, select("#", ...), ...) end
    end
    client:write("a", arguments "a")
    net.nextTick(note, "tick")
    client:write("b", "utf8", arguments "b")
    client:write("c", nil, arguments "c")
    client:write("", arguments "empty")
    note "sync"
    sockets.settle()
    assert.same({ "sync", "a 1 nil", "tick", "b 1 nil", "c 1 nil", "empty 1 nil" }, log)
    client:end_()
    support.run()
  end)

  it("calls one function as often as it was given", function()
    local client, peer = sockets.pair()
    peer:resume()
    local hits = 0
    local function hit(err)
      assert(err == nil)
      hits = hits + 1
    end
    for i = 1, 100 do client:write("x", hit) assert.equal(0, hits, i) end
    client:end_("y", hit)
    support.run()
    assert.equal(101, hits)
  end)

  it("keeps the order of callbacks between writes that wait and writes that do not", function()
    local order, expected = {}, {}
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    for i = 1, 400 do
      expected[i] = i
      client:write(("x"):rep(i % 7 == 0 and 300000 or i), function(err)
        assert(err == nil)
        order[#order + 1] = i
      end)
    end
    client:end_(function() order[#order + 1] = "end" end)
    expected[401] = "end"
    peer:resume()
    client:resume()
    support.run()
    assert.same(expected, order)
  end)

  it("calls back in writes made inside callbacks, without growing the stack", function()
    local client, peer = sockets.pair()
    peer:resume()
    local left = 20000
    local function again()
      left = left - 1
      if left > 0 then client:write("x", again) else client:end_() end
    end
    client:write("x", again)
    support.run()
    assert.equal(0, left)
    assert.equal(20000, client.bytesWritten)
  end)

  -- ---- before connect ----

  each_kind(function(kind)
    it("keeps what is written before the connection (" .. kind .. ")", function()
      local got
      local server = sockets.server(function(peer) got = sockets.collect(peer) end, sockets.kinds[kind]())
      local note, log = recorder()
      local client = net.Socket()
      client:on("connect", function() note "connect" end)
      client:connect(sockets.address_of(server))
      assert.is_true(client:write("one ", callback(note, "one")))
      assert.is_true(client:write("two ", callback(note, "two")))
      assert.equal(8, client.writableLength)
      assert.equal(8, client.bytesWritten)
      assert.equal(8, client.bufferSize)
      client:end_("three", callback(note, "end"))
      assert.equal("opening", client.readyState)
      assert.is_true(client.writableEnded)
      client:on("ready", function() note("ready", client.bytesWritten) end)
      client:on("finish", function() note "finish" end)
      client:on("close", function(failed)
        note("close", failed)
        server:close()
      end)
      client:resume()
      support.run()
      assert.equal("one two three", got.text)
      assert.same({ "connect", "one nil", "ready 13", "two nil", "end nil", "finish", "close false" }, log)
    end)
  end)

  it("fails early writes when the socket is destroyed before it connects", function()
    local server = sockets.server(function(peer) peer:on("error", function() end) end)
    local client = net.connect(server:address().port, "127.0.0.1")
    local note, log = recorder()
    sockets.watch(client, note)
    client:write("a", callback(note, "a"))
    client:write("b", callback(note, "b"))
    client:end_("c", callback(note, "end"))
    client:destroy()
    client:on("close", function() server:close() end)
    support.run()
    assert.same({
      "close false", "a ERR_SOCKET_CLOSED_BEFORE_CONNECTION", "b ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
      "end ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
    }, log)
    assert.equal(0, client.writableLength)
  end)

  it("fails early writes with the connection's error", function()
    local client = net.connect(sockets.refusing_port(), "127.0.0.1")
    local note, log = recorder()
    client:write("a", callback(note, "a"))
    client:write("b", callback(note, "b"))
    client:end_("c", callback(note, "end"))
    client:on("error", function(err) note("error", err.code) end)
    client:on("close", function(failed) note("close", failed) end)
    support.run()
    assert.same({
      "error ECONNREFUSED", "a ERR_SOCKET_CLOSED_BEFORE_CONNECTION", "b ECONNREFUSED", "end ECONNREFUSED", "close true",
    }, log)
  end)

  it("is an error on a socket that never connected", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    assert.is_false(socket:write("x", callback(note, "callback")))
    assert.is_false(socket.destroyed)
    support.run()
    assert.same({ "callback ERR_SOCKET_CLOSED", "error ERR_SOCKET_CLOSED", "close" }, log)
    assert.equal("Socket is closed", socket.errored.message)
  end)

  -- ---- what cannot be written ----

  it("refuses nil and what is no string, and goes on", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local err = caught(client.write, client, nil)
    assert.equal("ERR_STREAM_NULL_VALUES", err.code)
    assert.equal("TypeError", err.name)
    assert.equal("May not write null values to stream", err.message)
    err = caught(function() client:write() end)
    assert.equal("ERR_STREAM_NULL_VALUES", err.code)
    assert.truthy(tostring(err):find "writable_spec.lua:%d+: May not write null")
    assert.equal("ERR_STREAM_NULL_VALUES", caught(client.write, client, nil, error).code)
    for _, bad in ipairs { 1, 1.5, true, false, {}, print, client, io.stdout, coroutine.create(print) } do
      for _, name in ipairs { "write", "end_" } do
        if not (name == "end_" and type(bad) == "function") then
          err = caught(client[name], client, bad, error)
          assert.equal("ERR_INVALID_ARG_TYPE", err.code)
          assert.truthy(err.message:find('The "chunk" argument must be of type string', 1, true), err.message)
        end
      end
    end
    assert.is_true(client.writable)
    assert.is_nil(client.errored)
    assert.equal(0, client.bytesWritten)
    client:end_ "fine"
    client:resume()
    support.run()
    assert.equal("fine", got.text)
  end)

  it("refuses unknown encodings, and goes on", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    for _, bad in ipairs { "nope", "utf-9", 5, {}, true } do
      for _, name in ipairs { "write", "end_" } do
        local err = caught(client[name], client, "x", bad, error)
        assert.equal("ERR_UNKNOWN_ENCODING", err.code)
        if type(bad) == "string" then assert.equal("Unknown encoding: " .. bad, err.message) end
      end
    end
    assert.is_true(client.writable)
    assert.equal(0, client.bytesWritten)
    client:end_ "fine"
    client:resume()
    support.run()
    assert.equal("fine", got.text)
  end)

  it("knows its encodings", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    client:write("a", "utf8")
    client:write("b", "UTF-8")
    client:write("c", "latin1")
    client:write("d", "binary")
    client:write("e", "ascii")
    client:write("66", "hex")
    client:write("Zw==", "base64")
    assert.equal(7, client.bytesWritten)
    client:end_("68", "hex")
    client:resume()
    support.run()
    assert.equal("abcdefgh", got.text)
  end)

  it("refuses bad chunks after end_ and destroy too", function()
    local socket = net.Socket()
    socket:end_()
    assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.write, socket, 5).code)
    socket:destroy()
    assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.write, socket, 5).code)
    assert.equal("ERR_STREAM_NULL_VALUES", caught(socket.write, socket, nil).code)
    assert.equal("ERR_UNKNOWN_ENCODING", caught(socket.write, socket, "x", "nope").code)
    support.run()
    assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.write, socket, 5).code)
  end)

  -- ---- end_ ----

  it("end_ takes nothing, data, a callback, and an encoding", function()
    local forms = {
      { {}, "" },
      { { "a" }, "a" },
      { { "63", "hex" }, "c" },
      { { "CB" }, "", true },
      { { "b", "CB" }, "b", true },
      { { "64", "hex", "CB" }, "d", true },
      { { "e", nil, "CB" }, "e", true },
      { { nil, nil, "CB" }, "", true },
      { { nil, "CB" }, "", true },
    }
    for i, form in ipairs(forms) do
      local client, peer = sockets.pair()
      local got = sockets.collect(peer)
      local arguments, hits = {}, 0
      for k = 1, 3 do
        arguments[k] = form[1][k]
        if arguments[k] == "CB" then
          arguments[k] = function(...)
            assert.equal(1, select("#", ...))
            assert.is_nil((...))
            assert.is_true(client.writableFinished)
            hits = hits + 1
          end
        end
      end
      client:resume()
      assert.equal(client, client:end_(table.unpack(arguments, 1, 3)))
      assert.equal("readOnly", client.readyState)
      assert.is_true(client.writableEnded)
      assert.is_false(client.writable)
      assert.is_false(client.writableFinished)
      support.run()
      assert.equal(form[2], got.text, i)
      assert.is_true(got.ended)
      assert.equal(form[3] and 1 or 0, hits, i)
    end
  end)

  it('has the name of Node too: socket["end"]', function()
    local socket = net.Socket()
    assert.equal(socket.end_, socket["end"])
  end)

  it("tells of the end after all writes, end_'s callbacks before finish", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    client:write("b", callback(note, "b"))
    client:end_("c", callback(note, "first end"))
    client:end_(callback(note, "second end"))
    client:on("finish", function() note("finish", client.writableFinished, client.writableLength) end)
    peer:resume()
    client:resume()
    support.run()
    assert.same({ "huge nil", "b nil", "first end nil", "second end nil", "finish true 0" }, log)
  end)

  it("end_ after finish: an error for the callback alone", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:resume()
    client:on("error", function(err) note("error", err.code) end)
    client:on("close", function(failed) note("close", failed) end)
    client:on("finish", function()
      note "finish"
      client:end_(callback(note, "late"))
      note "sync"
    end)
    client:end_()
    support.run()
    assert.same({ "finish", "sync", "late ERR_STREAM_ALREADY_FINISHED", "close false" }, log)
  end)

  it("end_ with data after end_: an error for both callbacks", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:resume()
    client:on("error", function(err) note("error", err.code) end)
    client:on("close", function(failed) note("close", failed) end)
    client:end_("last", callback(note, "first"))
    client:end_("more", callback(note, "second"))
    assert.is_true(client.destroyed)
    support.run()
    assert.same({
      "first ERR_STREAM_WRITE_AFTER_END", "error ERR_STREAM_WRITE_AFTER_END", "second ERR_STREAM_WRITE_AFTER_END",
      "close true",
    }, log)
  end)

  it("end_ with data after destroy: an error for the callback alone", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:destroy()
    client:end_("c", callback(note, "callback"))
    client:end_(function() note "never" end)
    support.run()
    assert.same({ "callback ERR_STREAM_DESTROYED", "close false" }, log)
  end)

  it("end_ of a fresh socket finishes it, and leaves it open", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    socket:on("prefinish", function() note "prefinish" end)
    socket:end_(callback(note, "end"))
    assert.same({ "prefinish" }, log)
    support.run()
    assert.same({ "prefinish", "end nil", "finish" }, log)
    assert.equal("readOnly", socket.readyState)
    assert.is_true(socket.writableFinished)
    socket:destroy()
    support.run()
    assert.same({ "prefinish", "end nil", "finish", "close" }, log)
  end)

  -- ---- errors ----

  it("write after end_: callback, error, close", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:end_()
    assert.is_false(client:write("x", callback(note, "callback")))
    assert.is_true(client.destroyed)
    assert.equal("write after end", client.errored.message)
    support.run()
    assert.same({ "callback ERR_STREAM_WRITE_AFTER_END", "error ERR_STREAM_WRITE_AFTER_END", "close true" }, log)
  end)

  it("write after end_ without a connection tells of one error", function()
    local socket = net.Socket()
    local note, log = recorder()
    sockets.watch(socket, note)
    socket:end_()
    socket:write("a", callback(note, "a"))
    socket:write("b", callback(note, "b"))
    support.run()
    assert.same({
      "finish", "a ERR_STREAM_WRITE_AFTER_END", "error ERR_STREAM_WRITE_AFTER_END", "close",
      "b ERR_STREAM_WRITE_AFTER_END",
    }, log)
  end)

  it("write after destroy: false, and an error for the callback alone", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:destroy()
    assert.is_false(client:write "x")
    assert.is_false(client:write("y", callback(note, "y")))
    client:on("close", function() client:write("z", callback(note, "z")) end)
    support.run()
    assert.same({ "y ERR_STREAM_DESTROYED", "close false", "z ERR_STREAM_DESTROYED" }, log)
    assert.is_nil(client.errored)
  end)

  each_kind(function(kind)
    it("fails what waits when it is destroyed, each callback once and before the close (" .. kind .. ")", function()
      local note, log = recorder()
      local client, peer = full_pair(note, { kind = kind })
      sockets.watch(client, note)
      peer:on("error", function() end)
      client:write("b", callback(note, "b"))
      client:write "no callback"
      client:write("c", callback(note, "c"))
      client:end_("d", callback(note, "end"))
      client:destroy()
      note "sync"
      peer:resume()
      support.run()
      assert.same({
        "sync", "huge ECANCELED", "b ECANCELED", "c ECANCELED", "end ECANCELED",
        "close false",
      }, log)
      assert.equal(0, client.writableLength)
    end)

    it("fails what waits with the error it is destroyed with (" .. kind .. ")", function()
      local note, log = recorder()
      local client, peer = full_pair(note, { kind = kind })
      sockets.watch(client, note)
      peer:on("error", function() end)
      client:write("b", callback(note, "b"))
      client:end_(callback(note, "end"))
      client:destroy(net.Error "mine")
      peer:resume()
      support.run()
      assert.same({ "error mine", "huge ECANCELED", "b mine", "end mine", "close true" }, log)
    end)
  end)

  it("fails what waits when the peer resets", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    sockets.watch(client, note)
    client:write("b", callback(note, "b"))
    client:end_("c", callback(note, "end"))
    peer:resetAndDestroy()
    support.run()
    assert.same({ "error ECONNRESET", "huge ECANCELED", "b ECONNRESET", "end ECONNRESET", "close true" }, log)
    assert.equal("ECONNRESET", client.errored.code)
    assert.equal(-104, client.errored.errno)
    local syscall = client.errored.syscall
    assert.truthy(syscall == "read" or syscall == "write", syscall)
  end)

  each_kind(function(kind)
    it("tells EPIPE of a peer that is gone (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind, client = { allowHalfOpen = true } }
      local note, log = recorder()
      client:pause() -- the peer's reset shows in the write, not in the read
      peer:destroy()
      sockets.settle()
      client:on("error", function(err) note("error", err.code, err.syscall, err.message) end)
      client:on("close", function(failed) note("close", failed) end)
      local failed
      local function on_written(err)
        if err and not failed then
          failed = err
          note("callback", err.code)
        end
      end
      for _ = 1, 100 do
        if client.destroyed then break end
        client:write("x", on_written)
        sockets.settle()
      end
      support.run()
      if log[1] == "error ECONNRESET read read ECONNRESET" then -- the kernel was quicker
        assert.same({ "error ECONNRESET read read ECONNRESET", "close true" }, log)
      else
        assert.same({ "callback EPIPE", "error EPIPE write write EPIPE", "close true" }, log)
        assert.equal(failed, client.errored)
        assert.equal(-32, failed.errno)
      end
    end)
  end)

  it("leaves net.run with an error of a write that nobody hears, and closes", function()
    local socket = net.Socket()
    local note, log = recorder()
    socket:on("close", function(...) note("close", ...) end)
    socket:write("x", callback(note, "callback"))
    assert.equal("ERR_SOCKET_CLOSED", caught(net.run).code)
    support.run()
    assert.same({ "callback ERR_SOCKET_CLOSED", "close" }, log)
  end)

  it("loses no callback to one that raises", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local note, log = recorder()
    client:write("a", function()
      note "a"
      error("in a", 0)
    end)
    client:write("b", callback(note, "b"))
    client:write("c", function()
      note "c"
      client:end_(callback(note, "end"))
    end)
    client:resume()
    assert.equal("in a", caught(net.run))
    support.run()
    assert.same({ "a", "b nil", "c", "end nil" }, log)
    assert.equal("abc", got.text)
  end)

  it("loses nothing when net.stop comes between the write and its completion", function()
    local note, log = recorder()
    local client, peer = full_pair(note)
    local got = sockets.count(peer)
    client:write("tail", callback(note, "tail"))
    client:end_(callback(note, "end"))
    client:resume()
    peer:on("data", function() net.stop() end)
    peer:resume()
    local runs = 0
    while net.run() do runs = runs + 1 end
    assert.truthy(runs > 10)
    assert.equal(HUGE + 4, got.length)
    assert.same({ "huge nil", "tail nil", "end nil" }, log)
  end)

  -- ---- cork ----

  it("keeps writes back while corked, and sends them as one", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local note, log = recorder()
    client:cork()
    assert.is_true(client:write("a", callback(note, "a")))
    client:cork()
    client:write("b", callback(note, "b"))
    client:write "c"
    assert.equal(2, client.writableCorked)
    assert.equal(3, client.writableLength)
    assert.equal(3, client.bytesWritten)
    sockets.settle()
    assert.equal("", got.text)
    client:uncork()
    assert.equal(1, client.writableCorked)
    sockets.settle()
    assert.equal("", got.text)
    client:uncork()
    assert.equal(0, client.writableCorked)
    client:uncork()
    assert.equal(0, client.writableCorked)
    assert.equal(0, client.writableLength)
    sockets.wait(function() return got.text == "abc" end)
    assert.same({ "abc" }, got.chunks)
    assert.same({ "a nil", "b nil" }, log)
    client:end_()
    support.run()
  end)

  it("answers false when what is corked reaches the mark, and drains", function()
    local client, peer = sockets.pair { client = { highWaterMark = 4 } }
    peer:resume()
    local drains = 0
    client:on("drain", function()
      drains = drains + 1
      client:end_()
    end)
    client:cork()
    assert.is_true(client:write "abc")
    assert.is_false(client:write "d")
    sockets.settle()
    assert.equal(0, drains)
    client:uncork()
    support.run()
    assert.equal(1, drains)
  end)

  it("opens every cork with end_", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    for _ = 1, 3 do client:cork() end
    client:write "a"
    client:end_ "b"
    assert.equal(0, client.writableCorked)
    client:resume()
    support.run()
    assert.equal("ab", got.text)
  end)

  it("fails corked writes when it is destroyed", function()
    local client, peer = sockets.pair()
    peer:resume()
    local note, log = recorder()
    client:on("close", function(failed) note("close", failed) end)
    client:cork()
    client:write("a", callback(note, "a"))
    client:write("b", callback(note, "b"))
    client:destroy()
    support.run()
    assert.same({ "a ERR_STREAM_DESTROYED", "b ERR_STREAM_DESTROYED", "close false" }, log)
  end)

  it("sends a thousand corked writes with their callbacks in order", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local order, parts = {}, {}
    client:cork()
    for i = 1, 1000 do
      parts[i] = i .. ","
      client:write(parts[i], i % 3 > 0 and function(err)
        assert(err == nil)
        order[#order + 1] = i
      end or nil)
    end
    client:uncork()
    client:end_()
    client:resume()
    support.run()
    assert.equal(table.concat(parts), got.text)
    local expected = {}
    for i = 1, 1000 do if i % 3 > 0 then expected[#expected + 1] = i end end
    assert.same(expected, order)
  end)

  -- A program of its own: where little is allocated, the collector comes round often.
  it("sends what finalizers write to the same socket in the middle of a write", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      collectgarbage("incremental", 4, 1000, 1) -- steps with nearly every allocation
      local sent, got, count = 0, 0, 0
      local function try(n, server)
        local client = net.connect(server:address().port, "127.0.0.1")
        local inside, passed = true, 0
        local function wait()
          setmetatable({}, { __gc = function()
            passed = passed + 1
            if not inside then return end
            if passed < n then return wait() end
            client:write "F"
            sent = sent + 1
            count = count + 1
          end })
        end
        client:on("connect", function()
          client:cork()
          wait()
          for _ = 1, 20 do client:write("x", function() end) end
          client:uncork()
          inside = false
          sent = sent + 20
          client:end_()
        end)
        client:resume()
      end
      local server
      server = net.createServer(function(socket)
        socket:on("data", function(chunk) got = got + #chunk end)
      end)
      server:listen(0, "127.0.0.1", function()
        local n = 0
        local timer
        timer = net.setInterval(function()
          n = n + 1
          if n <= 40 then return try(n, server) end
          timer:close()
          server:close()
        end, 1)
      end)
      net.setTimeout(function() print "it hangs" os.exit(1) end, 20000):unref()
      net.run()
      print(count > 3, sent == got or sent .. " sent, got " .. got)
    ]]
    assert.same({ "true\ttrue\n", "", 0 }, { out, err, code })
  end)
end)
