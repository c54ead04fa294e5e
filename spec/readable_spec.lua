-- The reading half of a socket: flowing and paused, 'readable' and read(n), unshift, the high water mark, and the end.
-- What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

local MiB = 1024 * 1024

-- Sends the chunks one by one, each only when the one before has been read from the kernel.
local function feed(from, to, ...)
  for _, chunk in ipairs { ... } do
    local before = to.bytesRead
    from:write(chunk)
    sockets.wait(function() return to.bytesRead >= before + #chunk end)
  end
  sockets.settle()
end

local finish, each_kind = sockets.finish, sockets.each_kind

describe("read(n)", function()
  after_each(support.clean)

  it("takes n as JavaScript's parseInt does; what is no number asks for all", function()
    local all = { 1 / 0, -1 / 0, 0 / 0, "word", "", true, {}, false }
    for i = 1, #all do
      local socket = net.Socket()
      socket:unshift "abcdef"
      assert.equal("abcdef", socket:read(all[i]))
      socket:destroy()
    end
    local counts = { [1.9] = 1, ["3x"] = 3, [" 2"] = 2, ["1e3"] = 1, [6] = 6 }
    for count, length in pairs(counts) do
      local socket = net.Socket()
      socket:unshift "abcdef"
      assert.equal(length, #socket:read(count))
      socket:destroy()
    end
    for _, none in ipairs { 0, -1, -0.5, "-1", "0", "0x10" } do
      local socket = net.Socket()
      socket:unshift "abcdef"
      assert.is_nil(socket:read(none))
      assert.equal(6, socket.readableLength)
      socket:destroy()
    end
    support.run()
  end)
end)

describe("reading", function()
  after_each(support.clean)

  -- ---- flowing ----

  it("flows, or not, as listeners, pause and resume say", function()
    local socket = net.Socket()
    assert.is_nil(socket.readableFlowing)
    assert.is_false(socket:isPaused())
    socket:on("end", function() end)
    assert.is_nil(socket.readableFlowing)
    assert.equal(socket, socket:on("data", function() end))
    assert.is_true(socket.readableFlowing)
    assert.equal(socket, socket:pause())
    assert.is_false(socket.readableFlowing)
    assert.is_true(socket:isPaused())
    assert.equal(socket, socket:resume())
    assert.is_true(socket.readableFlowing)
    assert.is_false(socket:isPaused())

    local paused = net.Socket()
    paused:pause()
    paused:on("data", function() end)
    assert.is_false(paused.readableFlowing)

    local readable = net.Socket()
    readable:on("readable", function() end)
    assert.is_false(readable.readableFlowing)
    assert.is_true(readable:isPaused())
    readable:resume()
    assert.is_false(readable.readableFlowing)
    support.run()
  end)

  it("tells of pause at once and of resume in a tick, once each", function()
    local socket = net.Socket()
    local note, log = recorder()
    socket:on("pause", function() note "pause" end)
    socket:on("resume", function() note "resume" end)
    socket:pause()
    socket:pause()
    assert.same({ "pause" }, log)
    socket:resume()
    socket:resume()
    assert.same({ "pause" }, log)
    support.run()
    assert.same({ "pause", "resume" }, log)
    socket:resume()
    support.run()
    assert.same({ "pause", "resume" }, log)
  end)

  each_kind(function(kind)
    it("gives every byte once, in order (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local got = sockets.collect(client)
      local parts = {}
      for i = 1, 30000 do parts[i] = ("%08d"):format(i) end
      peer:end_(table.concat(parts))
      support.run()
      assert.equal(table.concat(parts), got.text)
      assert.is_true(got.ended)
      assert.equal(240000, client.bytesRead)
      for _, chunk in ipairs(got.chunks) do assert.truthy(#chunk > 0 and #chunk <= 65536) end
    end)

    it("keeps the bytes as they come without an encoding (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local got = sockets.collect(client)
      feed(peer, client, "\xe2", "\x82", "\xac\0\xff", "\r\n")
      assert.same({ "\xe2", "\x82", "\xac\0\xff", "\r\n" }, got.chunks)
      finish(client, peer)
    end)

    it("keeps what comes while paused for the resume, in order (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local note, log = recorder()
      client:on("data", function(chunk)
        note(chunk, client.readableLength)
        client:pause()
      end)
      client:on("end", function() note "end" end)
      client:pause()
      feed(peer, client, "one", "two", "three")
      assert.same({}, log)
      assert.equal(11, client.readableLength)
      client:resume()
      assert.same({}, log)
      sockets.settle()
      assert.same({ "one 8" }, log)
      assert.is_true(client:isPaused())
      client:resume()
      sockets.settle()
      assert.same({ "one 8", "two 5" }, log)
      peer:end_()
      sockets.settle()
      client:resume()
      support.run_until(function() return #log == 4 or client.readableLength == 0 end)
      client:resume()
      support.run()
      assert.same({ "one 8", "two 5", "three 0", "end" }, log)
    end)
  end)

  it("pauses inside a data handler at once, and resumes in its tick", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:pause()
    feed(peer, client, "a", "b", "c")
    client:on("data", function(chunk)
      note(chunk)
      client:pause()
      net.nextTick(function()
        note "resume"
        client:resume()
      end)
    end)
    client:resume()
    sockets.settle()
    assert.same({ "a", "resume", "b", "resume", "c", "resume" }, log)
    finish(client, peer)
  end)

  it("drops what comes when the last data listener is gone and it still flows", function()
    local client, peer = sockets.pair()
    local got = {}
    local function take(chunk) got[#got + 1] = chunk end
    client:on("data", take)
    feed(peer, client, "one")
    client:off("data", take)
    assert.is_true(client.readableFlowing)
    feed(peer, client, "lost")
    client:on("data", take)
    feed(peer, client, "two")
    assert.same({ "one", "two" }, got)
    finish(client, peer)
  end)

  it("works before the connection too", function()
    local server = sockets.server(function(peer) peer:end_ "hello" end)
    local socket = net.Socket()
    socket:pause()
    local got = sockets.collect(socket)
    socket:connect(server:address().port, "127.0.0.1")
    server:on("connection", function() server:close() end)
    sockets.wait(function() return not socket.connecting end)
    sockets.settle()
    assert.equal("", got.text)
    assert.equal(0, socket.bytesRead)
    socket:resume()
    support.run()
    assert.equal("hello", got.text)
  end)

  -- ---- pauseOnConnect ----

  it("reads nothing from a socket of pauseOnConnect until it is resumed", function()
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    local got = sockets.collect(peer)
    client:write "early"
    client:end_()
    client:resume()
    sockets.settle()
    assert.is_false(peer.readableFlowing)
    assert.equal(0, peer.bytesRead)
    assert.equal("", got.text)
    peer:resume()
    support.run()
    assert.equal("early", got.text)
    assert.is_true(got.ended)
  end)

  -- ---- readable, read ----

  it("tells of data with 'readable' in a tick, and gives it by read()", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("readable", function()
      local chunk = client:read()
      note("readable", chunk)
      while chunk do chunk = client:read() end
    end)
    client:on("end", function() note "end" end)
    feed(peer, client, "one", "two")
    peer:end_ "three"
    support.run()
    assert.equal("readable one", log[1])
    assert.equal("readable two", log[2])
    assert.equal("readable three", log[3])
    assert.equal("end", log[#log])
    for i = 4, #log - 1 do assert.equal("readable nil", log[i]) end
    assert.truthy(#log <= 5)
  end)

  it("hears of kept data when a 'readable' listener is added", function()
    local client, peer = sockets.pair()
    feed(peer, client, "kept")
    local note, log = recorder()
    client:on("readable", function() note("readable", client.readableLength) end)
    assert.same({}, log)
    sockets.settle()
    assert.same({ "readable 4" }, log)
    finish(client, peer)
  end)

  it("lets 'readable' win over 'data', which then comes from read() alone", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("data", function(chunk) note("data", chunk) end)
    client:on("readable", function() note("readable", client.readableLength) end)
    feed(peer, client, "one")
    assert.same({ "readable 3" }, log)
    assert.equal("one", client:read())
    assert.same({ "readable 3", "data one" }, log)
    finish(client, peer)
  end)

  it("flows again when the last 'readable' listener is gone and there is one for 'data'", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(client)
    local function ignore() end
    client:on("readable", ignore)
    feed(peer, client, "one")
    assert.equal("", got.text)
    client:off("readable", ignore)
    sockets.settle()
    assert.equal("one", got.text)
    feed(peer, client, "two")
    assert.equal("onetwo", got.text)
    finish(client, peer)
  end)

  it("cuts and joins what is kept as read(n) asks", function()
    local client, peer = sockets.pair()
    client:pause()
    feed(peer, client, "abc", "def", "ghi")
    assert.equal(9, client.readableLength)
    assert.is_nil(client:read(0))
    assert.equal("a", client:read(1))
    assert.equal("bcd", client:read(3))
    assert.equal(5, client.readableLength)
    assert.is_nil(client:read(6))
    assert.equal(5, client.readableLength)
    assert.is_nil(client:read(-1))
    assert.equal("ef", client:read(2.9))
    assert.equal("ghi", client:read())
    assert.is_nil(client:read())
    assert.is_nil(client:read(1))
    assert.equal(0, client.readableLength)
    finish(client, peer)
  end)

  it("gives the rest by read(n) once the peer has ended", function()
    local client, peer = sockets.pair()
    client:on("readable", function() end)
    peer:end_ "abc"
    sockets.wait(function() return client.bytesRead == 3 end)
    for _ = 1, 5 do sockets.settle() end
    assert.is_false(client.readableEnded)
    local rest
    for _ = 1, 1000 do
      rest = client:read(10)
      if rest then break end
      net.run "nowait"
    end
    assert.equal("abc", rest)
    support.run()
    assert.is_true(client.readableEnded)
  end)

  it("emits 'data' for every read that gives something", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("readable", function() end)
    client:on("data", function(chunk) note("data", chunk) end)
    feed(peer, client, "abcd")
    client:read(1)
    client:read(9)
    client:read()
    client:read()
    assert.same({ "data a", "data bcd" }, log)
    finish(client, peer)
  end)

  it("raises the high water mark for a read above it, to a power of two", function()
    local socket = net.Socket()
    assert.is_nil(socket:read(65537))
    assert.equal(131072, socket.readableHighWaterMark)
    assert.is_nil(socket:read(100))
    assert.equal(131072, socket.readableHighWaterMark)
    local err = caught(socket.read, socket, 2 ^ 31)
    assert.equal("ERR_OUT_OF_RANGE", err.code)
  end)

  it("reads messages with their length in front", function()
    local client, peer = sockets.pair()
    local messages, need = {}, nil
    client:on("readable", function()
      while true do
        if not need then
          local head = client:read(4)
          if not head then break end
          need = ("<I4"):unpack(head)
        end
        local body = need == 0 and "" or client:read(need)
        if not body then break end
        messages[#messages + 1] = body
        need = nil
      end
    end)
    local expected, wire = {}, {}
    for i = 1, 50 do
      expected[i] = (string.char(96 + i % 26)):rep(i * i * 37 % 40000)
      wire[i] = ("<s4"):pack(expected[i])
    end
    local all = table.concat(wire)
    local at = 1
    local function more()
      if at > #all then return peer:end_() end
      local size = at * 7 % 5000 + 1
      peer:write(all:sub(at, at + size - 1), more)
      at = at + size
    end
    more()
    peer:resume()
    support.run()
    assert.equal(#expected, #messages)
    assert.same(expected, messages)
    assert.is_true(client.readableEnded)
  end)

  it("reads nothing on a socket that is fresh, connecting or closed", function()
    local socket = net.Socket()
    assert.is_nil(socket:read())
    assert.is_nil(socket:read(5))
    socket:destroy()
    support.run()
    assert.is_nil(socket:read())
  end)

  -- ---- unshift ----

  it("unshift puts bytes in front of what is kept", function()
    local client, peer = sockets.pair()
    client:pause()
    feed(peer, client, "cd", "ef")
    assert.is_true(client:unshift "b")
    assert.is_true(client:unshift "a")
    assert.equal(6, client.readableLength)
    assert.equal("abc", client:read(3))
    client:unshift "C"
    client:unshift "X"
    assert.equal("XCdef", client:read())
    finish(client, peer)
  end)

  it("unshift hands what was read too much to the next reader", function()
    local client, peer = sockets.pair()
    local header, body
    local function on_readable()
      local chunk = client:read()
      if not chunk then return end
      local head, rest = chunk:match "^(.-)\n\n(.*)$"
      header = head
      client:off("readable", on_readable)
      if #rest > 0 then client:unshift(rest) end
      body = sockets.collect(client)
    end
    client:on("readable", on_readable)
    feed(peer, client, "head\n\nbody starts")
    feed(peer, client, " and goes on")
    peer:end_()
    support.run()
    assert.equal("head", header)
    assert.equal("body starts and goes on", body.text)
    assert.is_true(body.ended)
  end)

  it("unshift of a thousand chunks gives them back the other way round", function()
    local client, peer = sockets.pair()
    client:pause()
    feed(peer, client, "end")
    local parts = {}
    for i = 1, 1000 do
      client:unshift(i .. ",")
      table.insert(parts, 1, i .. ",")
    end
    assert.equal(table.concat(parts) .. "end", client:read())
    finish(client, peer)
  end)

  it("unshift after the end is an error event, and so is what is no string", function()
    local client, peer = sockets.pair { client = { allowHalfOpen = true } }
    local note, log = recorder()
    client:resume()
    peer:end_()
    peer:resume()
    sockets.wait(function() return client.readableEnded end)
    sockets.watch(client, note)
    client:unshift "x"
    support.run()
    assert.same({ "error ERR_STREAM_UNSHIFT_AFTER_END_EVENT", "close true" }, log)

    local socket = net.Socket()
    note, log = recorder()
    sockets.watch(socket, note)
    assert.is_false(socket:unshift(5))
    support.run()
    assert.same({ "error ERR_INVALID_ARG_TYPE", "close" }, log)
  end)

  it("unshift(nil) ends the reading; what comes then is an error event", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    client:pause()
    assert.is_false(client:unshift(nil))
    peer:on("error", function() end):resume()
    peer:write "late"
    support.run()
    assert.same({ "pause", "error ERR_STREAM_PUSH_AFTER_EOF", "close true" }, log)
    assert.equal("stream.push() after EOF", client.errored.message)
  end)

  -- ---- the end ----

  it("ends without any reader when nothing was sent", function()
    for _, prepare in ipairs { function() end, function(client) client:pause() end } do
      local client, peer = sockets.pair()
      local note, log = recorder()
      prepare(client)
      client:on("end", function() note("end", client.readableEnded, client.readable) end)
      client:on("close", function(failed) note("close", failed) end)
      assert.is_false(client.readableEnded)
      peer:end_()
      support.run()
      assert.same({ "end true false", "close false" }, log)
    end
  end)

  it("ends only after all is consumed, and stays open until then", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:end_ "unread"
    sockets.wait(function() return client.bytesRead == 6 end)
    for _ = 1, 20 do sockets.settle() end
    assert.same({}, log)
    assert.is_false(client.readableEnded)
    assert.is_false(client.destroyed)
    assert.equal("unread", client:read())
    assert.same({}, log)
    net.nextTick(note, "tick")
    support.run()
    assert.same({ "end", "tick", "finish", "close false" }, log)
  end)

  it("puts the end off for what is unshifted just before it", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("end", function() note "end" end)
    peer:end_ "unread"
    sockets.wait(function() return client.bytesRead == 6 end)
    for _ = 1, 20 do sockets.settle() end
    assert.equal("unread", client:read())
    client:unshift "again"
    for _ = 1, 20 do sockets.settle() end
    assert.same({}, log)
    assert.equal("again", client:read())
    support.run()
    assert.same({ "end" }, log)
  end)

  it("gives the error of a reset at once, and keeps what was unread", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    feed(peer, client, "unread")
    sockets.watch(client, note)
    peer:resetAndDestroy()
    support.run()
    assert.same({ "error ECONNRESET", "close true" }, log)
    assert.equal(6, client.readableLength)
    assert.is_true(client.readableAborted)
    assert.is_false(client.readableEnded)
  end)

  it("tells with readableDidRead whether anything of it was handed over", function()
    for _, way in ipairs { "data", "read", "once", "pipe" } do
      local client, peer = sockets.pair()
      local before, at_data
      local function look() at_data = client.readableDidRead end
      feed(peer, client, "chunk")
      before = client.readableDidRead
      if way == "read" then
        client:read()
        look()
      elseif way == "pipe" then
        local sink = net.EventEmitter()
        sink.write = look
        sink.end_ = function() end
        client:pipe(sink)
      else
        client[way == "once" and "once" or "on"](client, "data", look)
        if way == "once" then client:on("data", function() end) end
      end
      client:resume()
      peer:end_()
      support.run()
      assert.same({ way, false, true }, { way, before, at_data })
    end
    assert.is_false(net.Socket().readableDidRead)
  end)

  it("ends once, though the end comes with data and while paused", function()
    local client, peer = sockets.pair()
    local ends = 0
    client:on("end", function() ends = ends + 1 end)
    client:pause()
    peer:end_ "x"
    sockets.wait(function() return client.bytesRead == 1 end)
    sockets.settle()
    assert.equal(0, ends)
    client:resume()
    support.run()
    assert.equal(1, ends)
  end)

  -- ---- the high water mark ----

  each_kind(function(kind)
    it("stops reading from the kernel when nobody reads, so that the peer feels it (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local size = 32 * MiB
      local written = false
      peer:write(("x"):rep(size), function() written = true end)
      local read = -1
      while client.bytesRead ~= read do
        read = client.bytesRead
        for _ = 1, 50 do sockets.settle() end
      end
      assert.truthy(client.readableLength >= 65536 and client.readableLength <= 65536 + 65536, client.readableLength)
      assert.equal(client.readableLength, client.bytesRead)
      assert.is_false(written)
      assert.truthy(peer.writableLength > 0)
      local got = sockets.count(client)
      peer:end_()
      support.run()
      assert.equal(size, got.length)
      assert.is_true(written)
    end)
  end)

  it("keeps memory bounded while a slow reader takes its time", function()
    local client, peer = sockets.pair()
    local size, sent, most = 16 * MiB, 0, 0
    local chunk = ("x"):rep(256 * 1024)
    local function send()
      while sent < size do
        sent = sent + #chunk
        if not peer:write(chunk) then return end
      end
      peer:end_()
    end
    peer:on("drain", send)
    local length = 0
    client:on("data", function(data)
      length = length + #data
      most = math.max(most, client.readableLength + peer.writableLength)
      client:pause()
      net.setImmediate(function() client:resume() end)
    end)
    collectgarbage()
    local before, peak, hits = collectgarbage "count", 0, 0
    client:on("data", function()
      hits = hits + 1
      if hits % 64 > 0 then return end
      collectgarbage()
      peak = math.max(peak, collectgarbage "count")
    end)
    send()
    peer:resume()
    support.run()
    assert.equal(size, length)
    assert.truthy(most <= 512 * 1024, most)
    assert.truthy(peak > 0 and peak - before < 1024, peak - before)
  end)

  it("reads up to the mark of its option", function()
    local client, peer = sockets.pair { client = { highWaterMark = 4 } }
    client:pause()
    feed(peer, client, "abc")
    feed(peer, client, "def")
    assert.equal(6, client.readableLength)
    peer:write "ghi"
    for _ = 1, 20 do sockets.settle() end
    assert.equal(6, client.bytesRead)
    assert.equal("ab", client:read(2))
    for _ = 1, 20 do sockets.settle() end
    assert.equal(6, client.bytesRead)
    assert.equal("c", client:read(1))
    sockets.wait(function() return client.bytesRead == 9 end)
    assert.equal("defghi", client:read())
    finish(client, peer)
  end)

  it("reads one byte at a time just as well", function()
    local client, peer = sockets.pair { client = { highWaterMark = 1 } }
    local got = sockets.collect(client)
    peer:setNoDelay(true)
    local text = ("0123456789"):rep(30)
    local at = 0
    local function send()
      at = at + 1
      if at > #text then return peer:end_() end
      peer:write(text:sub(at, at), send)
    end
    send()
    support.run()
    assert.equal(text, got.text)
    assert.is_true(got.ended)
  end)

  -- ---- errors in listeners ----

  it("loses nothing when a data listener raises in the middle of a burst, and touches no other socket", function()
    local server
    local received, failing = {}, {}
    server = sockets.server(function(peer)
      local id
      peer:on("data", function(chunk)
        id = id or #failing + 1
        if not failing[peer] then
          failing[peer] = true
          failing[#failing + 1] = peer
        end
        received[peer] = (received[peer] or "") .. chunk
        error("listener " .. #received[peer], 0)
      end)
    end)
    local clients, expected = {}, {}
    for i = 1, 5 do
      local parts = {}
      for k = 1, 200 do parts[k] = ("%d:%d;"):format(i, k) end
      expected[table.concat(parts)] = true
      local client = net.connect(server:address().port, "127.0.0.1")
      clients[i] = client
      client:on("close", function(failed) assert(failed == false) end)
      client:resume()
      for _, part in ipairs(parts) do client:write(part) end
      client:end_()
    end
    local errors, closed = 0, 0
    for _, client in ipairs(clients) do
      client:on("close", function()
        closed = closed + 1
        if closed == 5 then server:close() end
      end)
    end
    while true do
      local ok, alive = pcall(net.run)
      if ok and not alive then break end
      assert.truthy(tostring(alive):find "^listener %d+$", tostring(alive))
      errors = errors + 1
    end
    assert.truthy(errors >= 5)
    local count = 0
    for _, text in pairs(received) do
      assert.is_true(expected[text])
      count = count + 1
    end
    assert.equal(5, count)
    assert.equal(5, closed)
  end)

  it("goes on after an error in each kind of a reading listener", function()
    for _, event in ipairs { "data", "readable", "end", "pause", "resume", "close" } do
      local client, peer = sockets.pair()
      local got = ""
      if event == "readable" then
        client:on("readable", function()
          local chunk = client:read()
          got = got .. (chunk or "")
        end)
      else
        client:on("data", function(chunk) got = got .. chunk end)
      end
      local hits = 0
      client:on(event, function()
        hits = hits + 1
        if hits == 1 then error("in " .. event, 0) end
      end)
      peer:resume()
      peer:write "one"
      if event == "pause" then
        assert.equal("in pause", caught(client.pause, client))
        client:resume()
      end
      local failures = {}
      peer:end_ "two"
      while true do
        local ok, alive = pcall(net.run)
        if ok then break end
        failures[#failures + 1] = alive
        if event == "end" then client:end_() end -- what the error has skipped
      end
      assert.same(event == "pause" and {} or { "in " .. event }, failures)
      assert.equal("onetwo", got)
      assert.is_true(client.closed, event)
    end
  end)
end)

-- Several removals in one go are several looks at who listens, each in a tick: what a script does between them counts.
describe("a socket whose listeners change", function()
  after_each(support.clean)

  -- A socket where 'readable' and 'data' are listened to and `first` waits; the log has what is heard.
  local function listening()
    local client, peer = sockets.pair()
    local note, log = recorder()
    local function readable() note("readable", client.readableLength) end
    client:on("readable", readable)
    client:on("data", function(chunk) note("data", chunk) end)
    client:on("resume", function() note "resume" end)
    peer:write "first"
    support.run_until(function() return #log > 0 end)
    sockets.settle()
    assert.same({ "readable 5" }, log)
    log[1] = nil
    return client, peer, log, readable
  end

  local function more(client, peer, length)
    peer:write "second"
    support.run_until(function() return client.bytesRead == 11 end)
    sockets.settle()
    assert.equal(length, client.readableLength)
  end

  it("hears 'readable' on, where removeAllListeners took one and another was added", function()
    local client, peer, log, readable = listening()
    client:on("readable", print)
    client:removeAllListeners "readable"
    client:on("readable", readable)
    sockets.settle()
    assert.is_false(client.readableFlowing)
    more(client, peer, 11)
    assert.same({ "resume", "readable 11" }, log)
    sockets.finish(client, peer)
  end)

  it("flows, where each was told of to 'removeListener', as in Node", function()
    local client, peer, log, readable = listening()
    client:on("removeListener", function() end)
    client:removeAllListeners "readable"
    client:on("readable", readable)
    sockets.settle()
    assert.is_true(client.readableFlowing)
    more(client, peer, 0)
    assert.same({ "resume", "data first", "data second" }, log)
    sockets.finish(client, peer)
  end)

  it("flows, where a listener of once was removed while it was due, as in Node", function()
    local client, peer, log, readable = listening()
    client:off("readable", readable)
    client:on("readable", function() client:off("readable", readable) end)
    client:once("readable", readable)
    client:on("readable", function() end)
    sockets.settle()
    assert.is_false(client.readableFlowing)
    log[1] = nil
    more(client, peer, 0)
    assert.is_true(client.readableFlowing)
    assert.same({ "readable 11", "resume", "data first", "data second" }, log)
    sockets.finish(client, peer)
  end)

  it("keeps what waits when the last listeners are gone", function()
    for _, clear in ipairs {
      function(client) client:removeAllListeners() end,
      function(client) client:removeAllListeners "data" client:removeAllListeners "readable" end,
      function(client) client:removeAllListeners "readable" client:removeAllListeners "data" end,
      function(client) client:on("removeListener", function() end):removeAllListeners() end,
    } do
      local client, peer, log = listening()
      clear(client)
      client:on("error", function() end)
      sockets.settle()
      assert.is_nil(client.readableFlowing)
      more(client, peer, 11)
      assert.equal("firstsecond", client:read())
      assert.same({}, log)
      sockets.finish(client, peer)
    end
  end)

  it("hears 'readable' of an end that the script has made before it listened", function()
    local peer, client
    local note, log = recorder()
    local server = sockets.server(function(socket) peer = socket end, nil, { pauseOnConnect = true })
    client = net.connect(sockets.address_of(server))
    sockets.wait(function() return peer end)
    server:close()
    peer:on("end", function() note "end" end)
    peer:unshift(nil)
    sockets.settle()
    assert.same({}, log)
    peer:on("readable", function() note("readable", peer:read()) end)
    sockets.settle()
    assert.same({ "readable nil", "end" }, log)
    sockets.finish(client, peer)
  end)
end)
