-- socket:pipe and socket:unpipe: between sockets, and to an emitter of the script's own. What is expected is what node
-- v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

-- An emitter with write and end_ that notes all; write returns `answer`, or what it returns as a function.
local function sink(note, answer, name)
  local prefix = name and name .. " " or ""
  local self = net.EventEmitter()
  function self.write(me, chunk)
    assert(me == self)
    note(prefix .. "write", chunk)
    if type(answer) == "function" then return answer(chunk) end
    return answer
  end
  function self.end_(me, ...)
    assert(me == self)
    note(prefix .. "end_", ...)
  end
  self:on("pipe", function(source, ...) note(prefix .. "pipe", tostring(source):match "^net%.Socket", ...) end)
  self:on("unpipe", function(source, info, ...)
    note(prefix .. "unpipe", tostring(source):match "^net%.Socket", info.hasUnpiped, ...)
  end)
  return self
end

local INTERNAL = { "pipe", "unpipe" } -- what sink listens to itself

local function flowing(socket)
  return socket.readableFlowing
end

-- Both ends of a connection: `source` is to be piped, the client writes to it.
local function source_pair(options)
  local client, source = sockets.pair(options)
  client:resume()
  return client, source
end

-- Reads all; `text()` gives it at once, since there may be much of it.
local function collect(socket)
  local got = { chunks = {}, ended = false }
  socket:on("data", function(chunk) got.chunks[#got.chunks + 1] = chunk end)
  socket:on("end", function() got.ended = true end)
  function got.text() return table.concat(got.chunks) end
  return got
end

-- Lets the source get what the client writes.
local function feed(client, source, text)
  local expected = source.bytesRead + #text
  client:write(text)
  support.run_until(function() return source.bytesRead >= expected end)
  sockets.settle()
end

local finish = sockets.finish

-- Text that tells where each part of it belongs.
local function long_text(size)
  local blocks = {}
  for i = 1, size // 1024 do blocks[i] = string.pack(">I4", i * 2654435761 & 0xFFFFFFFF):rep(256) end
  return table.concat(blocks)
end

local each_kind = sockets.each_kind

describe("socket:pipe", function()
  after_each(support.clean)

  it("hands all on, then ends, and returns the destination", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    assert.equal(destination, source:pipe(destination))
    assert.same({ "pipe net.Socket" }, log) -- at once
    assert.same({ "pipe", "unpipe", "error", "close", "finish" }, destination:eventNames())
    assert.equal(1, source:listenerCount "data")
    assert.equal(2, source:listenerCount "end")
    assert.is_true(flowing(source))
    source:on("end", function() note "end" end)
    source:on("close", function(...) note("close", ...) end)
    feed(client, source, "a")
    feed(client, source, "b")
    assert.equal("write b", log[#log])
    client:end_ "c"
    support.run()
    assert.same({ "pipe net.Socket", "write a", "write b", "write c", "end_", "end", "close false" }, log)
  end)

  it("hands on what is buffered, and begins to read in a tick", function()
    local client, source = source_pair()
    source:pause()
    feed(client, source, "before")
    local note, log = recorder()
    source:pipe(sink(note, true))
    assert.same({ "pipe net.Socket" }, log)
    assert.is_true(flowing(source))
    assert.is_false(source:isPaused())
    sockets.settle()
    assert.same({ "pipe net.Socket", "write before" }, log)
    finish(client, source)
    assert.equal(2, #log)
  end)

  it("does not end the destination with {end = false}, in both spellings", function()
    for _, options in ipairs { { ["end"] = false }, { end_ = false } } do
      local client, source = source_pair()
      local note, log = recorder()
      local destination = sink(note, true)
      source:pipe(destination, options)
      source:on("end", function() note "end" end)
      client:end_ "x"
      support.run()
      assert.same({ "pipe net.Socket", "write x", "unpipe net.Socket false", "end" }, log)
      assert.same(INTERNAL, destination:eventNames())
      assert.equal(0, source:listenerCount "data")
    end
  end)

  it("ends it with every other option", function()
    for _, options in ipairs { {}, { ["end"] = true }, { ["end"] = 0 }, { end_ = 1 }, "end", 1, false } do
      local client, source = source_pair()
      local note, log = recorder()
      source:pipe(sink(note, true), options)
      client:end_()
      support.run()
      assert.same({ "pipe net.Socket", "end_" }, log)
    end
  end)

  it("leaves a socket writable with {end = false}", function()
    local client, source = source_pair()
    local destination, far = sockets.pair()
    local got = collect(far)
    destination:resume()
    source:pipe(destination, { ["end"] = false })
    source:on("end", function()
      assert.is_true(destination.writable)
      destination:end_ " and the end"
    end)
    client:end_ "the source"
    support.run()
    assert.equal("the source and the end", got.text())
    assert.is_true(got.ended)
  end)

  it("ends the destination in a tick when the source has ended before", function()
    local client, source = source_pair { server = { allowHalfOpen = true } }
    client:end_ "x"
    source:resume()
    local ended
    source:on("end", function() ended = true end)
    support.run_until(function() return ended end)
    sockets.settle()
    local note, log = recorder()
    local destination = sink(note, true)
    source:pipe(destination)
    assert.same({ "pipe net.Socket" }, log)
    sockets.settle()
    assert.same({ "pipe net.Socket", "end_" }, log)
    source:end_()
    support.run()
    assert.equal(2, #log)
  end)

  it("works before the source is connected, and before the destination is", function()
    local server, upstream
    local note, log = recorder()
    local got
    upstream = sockets.server(function(socket)
      got = collect(socket)
      upstream:close()
    end)
    server = sockets.server(function(socket)
      socket:end_ "hello"
      socket:resume()
      server:close()
    end)
    local source = net.Socket()
    local destination = net.Socket()
    source:pipe(destination)
    destination:on("pipe", note) -- too late
    source:connect(sockets.address_of(server))
    destination:connect(sockets.address_of(upstream)):resume()
    support.run()
    assert.equal("hello", got.text())
    assert.is_true(got.ended)
    assert.same({}, log)
  end)

  it("writes the text that setEncoding gives", function()
    local client, source = source_pair()
    local note, log = recorder()
    source:setEncoding "hex"
    source:pipe(sink(note, true))
    client:end_ "ab"
    support.run()
    assert.same({ "pipe net.Socket", "write 6162", "end_" }, log)
  end)

  it("takes any object with an emitter's methods", function()
    local client, source = source_pair()
    local note, log = recorder()
    local inner = net.EventEmitter()
    local object = setmetatable({
      write = function(_, chunk) note("write", chunk) end,
      end_ = function() note "end_" end,
    }, {
      __index = function(_, name)
        return function(_, ...) return inner[name](inner, ...) end
      end,
    })
    inner:on("pipe", function(from) note("pipe", from == source) end)
    inner:on("unpipe", function(from) note("unpipe", from == source) end)
    object.writableNeedDrain = false
    assert.equal(object, source:pipe(object))
    feed(client, source, "x")
    source:unpipe(object)
    source:pipe(object)
    client:end_ "y"
    support.run()
    assert.same({ "pipe true", "write x", "unpipe true", "pipe true", "write y", "end_" }, log)
  end)

  -- ---- bad destinations ----

  it("refuses what is no emitter, and changes nothing", function()
    local client, source = source_pair()
    local raising = setmetatable({}, { __index = function() error("no index", 0) end })
    for _, bad in ipairs { 1, "x", true, false, print, coroutine.create(print), {}, io.stdout } do
      local err = caught(source.pipe, source, bad)
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.equal("TypeError", err.name)
    end
    assert.equal("ERR_INVALID_ARG_TYPE", caught(source.pipe, source).code)
    assert.equal("no index", caught(source.pipe, source, raising))
    for _, self in ipairs { 1, "x", {}, net.Server(), net.EventEmitter() } do
      assert.is_false(pcall(source.pipe, self, client))
      assert.is_false(pcall(source.unpipe, self))
    end
    assert.equal(1, source:listenerCount "end")
    assert.equal(0, source:listenerCount "data")
    assert.is_nil(flowing(source))
    local got = collect(source)
    client:end_ "fine"
    support.run()
    assert.equal("fine", got.text())
    assert.is_true(got.ended)
  end)

  it("raises when data comes for a destination without write, and goes on", function()
    local client, source = source_pair()
    local destination = net.EventEmitter()
    source:pipe(destination)
    client:write "lost"
    assert.truthy(tostring(caught(support.run)):find "call a nil value")
    local note, log = recorder()
    destination.write = function(_, chunk) note("write", chunk) end
    destination.end_ = function() note "end_" end
    client:end_ "x"
    support.run()
    assert.same({ "write x", "end_" }, log)
  end)

  it("lets an error of write leave net.run, and goes on", function()
    local client, source = source_pair()
    local note, log = recorder()
    local what = {}
    local destination = sink(note, function(chunk) if chunk == "a" then error(what) end end)
    source:pipe(destination)
    client:write "a"
    assert.equal(what, caught(support.run))
    assert.is_true(flowing(source))
    client:end_ "b"
    support.run()
    assert.same({ "pipe net.Socket", "write a", "write b", "end_" }, log)
  end)

  -- ---- backpressure ----

  it("only false means full", function()
    local client, source = source_pair()
    local note, log = recorder()
    local answers = { nil, true, 0, "", {}, false }
    local i = 0
    local destination = sink(note, function()
      i = i + 1
      return answers[i]
    end)
    source:pipe(destination)
    source:on("pause", function() note "pause" end)
    source:on("resume", function() note "resume" end)
    for n = 1, 6 do
      assert.is_true(flowing(source))
      feed(client, source, tostring(n))
    end
    assert.is_false(flowing(source))
    assert.is_true(source:isPaused())
    feed(client, source, "7")
    assert.equal(1, source.readableLength)
    assert.same({ "pipe net.Socket", "resume", "write 1", "write 2", "write 3", "write 4", "write 5", "write 6",
      "pause" }, log)
    destination:emit "drain"
    assert.is_true(flowing(source))
    assert.equal(9, #log) -- in a tick
    sockets.settle()
    assert.same({ "resume", "write 7" }, { log[10], log[11] })
    finish(client, source)
    assert.equal(11, #log)
  end)

  it("waits for a destination that is full already", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    destination.writableNeedDrain = true
    source:pipe(destination)
    assert.is_false(flowing(source))
    assert.equal(1, destination:listenerCount "drain")
    feed(client, source, "x")
    assert.same({ "pipe net.Socket" }, log)
    destination:emit "drain"
    sockets.settle()
    assert.same({ "pipe net.Socket", "write x" }, log)
    finish(client, source)
  end)

  it("waits for a socket that is full already #timing", function()
    local client, source = source_pair()
    local destination, far = sockets.pair { client = { writableHighWaterMark = 1 } }
    destination:resume()
    local text = ("x"):rep(16 << 20)
    destination:write(text)
    assert.is_true(destination.writableNeedDrain)
    source:pipe(destination)
    assert.is_false(flowing(source))
    client:end_ "after"
    local got = collect(far)
    support.run()
    assert.is_true(got.text() == text .. "after")
    assert.is_true(got.ended)
  end)

  it("goes on once the slowest of several destinations has drained", function()
    local client, source = source_pair()
    local note, log = recorder()
    local a, b = sink(note, false, "a"), sink(note, false, "b")
    source:pipe(a)
    source:pipe(b)
    source:on("pause", function() note "pause" end)
    source:on("resume", function() note "resume" end)
    feed(client, source, "x")
    assert.is_false(flowing(source))
    a:emit "drain"
    assert.is_false(flowing(source))
    a:emit "drain" -- again: it is not b's
    assert.is_false(flowing(source))
    b:emit "drain"
    assert.is_true(flowing(source))
    feed(client, source, "y")
    assert.is_false(flowing(source))
    source:unpipe(a) -- a was full, and b still is
    assert.is_false(flowing(source))
    b:emit "drain"
    assert.is_true(flowing(source))
    sockets.settle()
    assert.same({ "a pipe net.Socket", "b pipe net.Socket", "resume", "a write x", "pause", "b write x", "resume",
      "a write y", "pause", "b write y", "a unpipe net.Socket false", "resume" }, log)
    finish(client, source)
  end)

  it("goes on when the only full one of several destinations is taken away", function()
    local client, source = source_pair()
    local note, log = recorder()
    local full, free = sink(note, false, "full"), sink(note, true, "free")
    source:pipe(full)
    source:pipe(free)
    feed(client, source, "x")
    assert.is_false(flowing(source))
    source:unpipe(full)
    assert.is_true(flowing(source))
    feed(client, source, "y")
    assert.same({ "full pipe net.Socket", "free pipe net.Socket", "full write x", "free write x",
      "full unpipe net.Socket false", "free write y" }, log)
    assert.same(INTERNAL, full:eventNames())
    finish(client, source)
  end)

  each_kind(function(kind)
    it("through a chain bounds what is in memory (" .. kind .. ")", function()
      local TOTAL, BLOCK = 48 << 20, 65521
      local pattern = {}
      for i = 1, BLOCK do pattern[i] = string.char(i * 31 % 251) end
      pattern = table.concat(pattern)
      -- client -> first [pipe] second -> third [pipe] fourth -> last
      local client, first = sockets.pair { kind = kind }
      local second, third = sockets.pair { kind = kind }
      local fourth, last = sockets.pair { kind = kind }
      for _, socket in ipairs { client, second, fourth } do socket:resume() end
      local sent, full = 0, 0
      local function write()
        local more = true
        while more and sent < TOTAL do
          local size = math.min(BLOCK, TOTAL - sent)
          sent = sent + size
          more = client:write(pattern:sub(1, size))
        end
        if sent == TOTAL then client:end_() end
        if not more then full = full + 1 end
      end
      client:on("drain", write)
      local mark = 65536 + 65536 -- a chunk may come on top of what is below the mark
      local function check()
        for _, socket in ipairs { first, third, last } do assert(socket.readableLength <= mark) end
        for _, socket in ipairs { second, fourth } do assert(socket.writableLength <= mark) end
        assert(client.writableLength <= 65536 + BLOCK)
      end
      last:pause()
      first:pipe(second)
      third:pipe(fourth)
      collectgarbage()
      local before = collectgarbage "count"
      write()
      -- until nothing moves
      local moved, still = -1, 0
      while still < 20 do
        net.run "nowait"
        check()
        local now = sent + first.bytesRead + third.bytesRead + last.bytesRead
        still = now == moved and still + 1 or 0
        moved = now
      end
      assert.is_true(sent < TOTAL)
      assert.is_true(full > 0)
      assert.is_true(first:isPaused() and third:isPaused())
      collectgarbage()
      assert.is_true(collectgarbage "count" - before < 1024)
      -- and then all comes
      local twice = pattern .. pattern
      local position, same, ended = 0, true, 0
      last:on("data", function(chunk)
        local at = position % BLOCK
        for from = 1, #chunk, BLOCK do
          local part = chunk:sub(from, from + BLOCK - 1)
          same = same and part == twice:sub(at + 1, at + #part)
        end
        position = position + #chunk
        check()
      end)
      last:on("end", function() ended = ended + 1 end)
      last:resume()
      support.run()
      assert.equal(TOTAL, position)
      assert.is_true(same)
      assert.equal(1, ended)
      for _, socket in ipairs { client, first, second, third, fourth, last } do assert.is_true(socket.closed) end
    end)
  end)

  -- ---- what becomes of the destination ----

  it("leaves a destination that fails; its error is heard by who listens", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    destination:on("error", function(err) note("error", err) end)
    source:pipe(destination)
    destination:emit("error", "boom")
    assert.same({ "pipe net.Socket", "unpipe net.Socket false", "error boom" }, log)
    assert.same({ "pipe", "unpipe", "error" }, destination:eventNames())
    assert.equal(1, destination:listenerCount "error")
    assert.is_false(flowing(source))
    assert.is_false(source.destroyed)
    finish(client, source)
    assert.equal(3, #log)
  end)

  it("raises an error of a destination that nobody listens to", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    source:pipe(destination)
    local err = net.Error "boom"
    assert.equal(err, caught(destination.emit, destination, "error", err))
    assert.same({ "pipe net.Socket", "unpipe net.Socket false" }, log)
    assert.same(INTERNAL, destination:eventNames())
    assert.is_false(flowing(source))
    finish(client, source)
  end)

  for _, event in ipairs { "close", "finish" } do
    it(("leaves a destination at its %q"):format(event), function()
      local client, source = source_pair()
      local note, log = recorder()
      local destination = sink(note, true)
      source:pipe(destination)
      destination:emit(event)
      assert.same({ "pipe net.Socket", "unpipe net.Socket false" }, log)
      assert.same(INTERNAL, destination:eventNames())
      assert.equal(0, source:listenerCount "data")
      assert.equal(1, source:listenerCount "end")
      assert.is_false(flowing(source))
      destination:emit(event)
      client:end_ "unread"
      sockets.settle()
      assert.equal(2, #log)
      finish(client, source)
      assert.equal(2, #log)
    end)
  end

  it("leaves a socket that was never connected with its error, heard or unheard", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = net.Socket()
    destination:on("unpipe", function(from) note("unpipe", from == source) end)
    sockets.watch(destination, note)
    source:pipe(destination)
    feed(client, source, "x")
    assert.same({ "unpipe true", "error ERR_SOCKET_CLOSED", "close" }, log)
    assert.is_false(flowing(source))
    assert.is_false(source.destroyed)
    assert.equal(0, source:listenerCount "data")

    local unheard = net.Socket()
    local closed = 0
    unheard:on("close", function() closed = closed + 1 end)
    source:pipe(unheard)
    client:write "y"
    local err = caught(support.run)
    assert.equal("ERR_SOCKET_CLOSED", err.code)
    sockets.settle()
    assert.equal(1, closed)
    assert.is_false(source.destroyed)
    finish(client, source)
  end)

  each_kind(function(kind)
    it("leaves a socket that is destroyed, and its data waits for the next one (" .. kind .. ")", function()
      local client, source = source_pair { kind = kind }
      local destination, far = sockets.pair { kind = kind }
      local note, log = recorder()
      far:on("error", function() end):resume()
      destination:on("unpipe", function() note "unpipe" end)
      destination:on("close", function(...) note("close", ...) end)
      source:pipe(destination)
      local got = collect(far)
      feed(client, source, "one ")
      support.run_until(function() return got.text() == "one " end)
      destination:destroy()
      assert.same({}, log)
      support.run_until(function() return #log == 2 end)
      assert.same({ "close false", "unpipe" }, log)
      assert.is_false(flowing(source))
      feed(client, source, "two ")
      assert.equal(4, source.readableLength)
      local next_note, next_log = recorder()
      source:pipe(sink(next_note, true))
      client:end_ "three"
      support.run()
      assert.equal("two three", (table.concat(next_log, "", 2):gsub("write ", ""):gsub("end_", "")))
      assert.equal(2, #log)
    end)
  end)

  it("leaves a socket whose peer has reset it", function()
    local client, source = source_pair()
    local destination, far = sockets.pair()
    local note, log = recorder()
    destination:on("unpipe", function() note "unpipe" end)
    sockets.watch(destination, note)
    source:pipe(destination)
    destination:resume()
    far:resetAndDestroy()
    support.run_until(function() return log[#log] == "close true" end)
    assert.same({ "resume", "unpipe", "error ECONNRESET", "close true" }, log)
    assert.is_false(source.destroyed)
    assert.is_false(flowing(source))
    assert.equal(1, source:listenerCount "end")
    finish(client, source)
  end)

  it("does not touch the destination when the source fails", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    source:pipe(destination)
    source:on("error", function(err) note("error", err.message) end)
    source:on("close", function(...) note("close", ...) end)
    source:destroy(net.Error "x")
    client:on("error", function() end)
    support.run()
    assert.same({ "pipe net.Socket", "error x", "close true" }, log) -- no end_: it did not end
    assert.equal(1, destination:listenerCount "finish")
  end)

  -- ---- several ----

  it("hands each chunk to every destination, in their order", function()
    local client, source = source_pair()
    local note, log = recorder()
    for _, name in ipairs { "a", "b", "c" } do source:pipe(sink(note, true, name)) end
    assert.equal(3, source:listenerCount "data")
    source:on("data", function(chunk) note("data", chunk) end)
    feed(client, source, "x")
    client:end_()
    support.run()
    assert.same({ "a pipe net.Socket", "b pipe net.Socket", "c pipe net.Socket", "a write x", "b write x", "c write x",
      "data x", "a end_", "b end_", "c end_" }, log)
  end)

  it("to the same destination twice writes twice, until it is taken away twice", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    source:pipe(destination)
    source:pipe(destination)
    feed(client, source, "x")
    source:unpipe(destination)
    assert.is_true(flowing(source))
    assert.equal(1, source:listenerCount "data")
    feed(client, source, "y")
    source:unpipe(destination)
    assert.is_false(flowing(source))
    assert.equal(0, source:listenerCount "data")
    assert.same(INTERNAL, destination:eventNames())
    assert.same({ "pipe net.Socket", "pipe net.Socket", "write x", "write x", "unpipe net.Socket false", "write y",
      "unpipe net.Socket false" }, log)
    finish(client, source)
  end)

  it("several sources can have one destination", function()
    local note, log = recorder()
    local destination = sink(note, true)
    local clients, sources = {}, {}
    for i = 1, 3 do
      clients[i], sources[i] = source_pair()
      sources[i]:pipe(destination, { ["end"] = false })
    end
    for i = 1, 3 do feed(clients[i], sources[i], tostring(i)) end
    sources[2]:unpipe(destination)
    feed(clients[2], sources[2], "unread")
    feed(clients[3], sources[3], "4")
    assert.is_true(flowing(sources[1]) and flowing(sources[3]))
    assert.is_false(flowing(sources[2]))
    assert.same({ "write 1", "write 2", "write 3", "unpipe net.Socket false", "write 4" }, { table.unpack(log, 4) })
    finish(table.unpack(clients))
    finish(table.unpack(sources))
  end)
end)

describe("socket:unpipe", function()
  after_each(support.clean)

  it("takes one destination away, and pauses with the last one", function()
    local client, source = source_pair()
    local note, log = recorder()
    local a, b = sink(note, true, "a"), sink(note, true, "b")
    source:pipe(a)
    source:pipe(b)
    sockets.settle()
    source:on("pause", function() note "pause" end)
    assert.equal(source, source:unpipe(a))
    assert.is_true(flowing(source))
    assert.same(INTERNAL, a:eventNames())
    feed(client, source, "x")
    assert.equal(source, source:unpipe(b))
    assert.is_false(flowing(source))
    assert.is_true(source:isPaused())
    assert.equal(0, source:listenerCount "data")
    assert.equal(1, source:listenerCount "end")
    feed(client, source, "y")
    assert.same({ "a pipe net.Socket", "b pipe net.Socket", "a unpipe net.Socket false", "b write x", "pause",
      "b unpipe net.Socket false" }, log)
    source:pipe(a)
    sockets.settle()
    assert.same({ "a pipe net.Socket", "a write y" }, { table.unpack(log, 7) })
    finish(client, source)
  end)

  it("without an argument takes all away, in their order", function()
    local client, source = source_pair()
    local note, log = recorder()
    local all = {}
    for i, name in ipairs { "a", "b", "c" } do all[i] = source:pipe(sink(note, true, name)) end
    sockets.settle()
    source:on("pause", function() note "pause" end)
    assert.equal(source, source:unpipe())
    assert.same({ "pause", "a unpipe net.Socket false", "b unpipe net.Socket false", "c unpipe net.Socket false" },
      { table.unpack(log, 4) })
    for _, destination in ipairs(all) do assert.same(INTERNAL, destination:eventNames()) end
    assert.is_false(flowing(source))
    assert.equal(0, source:listenerCount "data")
    assert.equal(source, source:unpipe())
    assert.equal(source, source:unpipe(all[1]))
    assert.equal(7, #log)
    finish(client, source)
  end)

  it("does nothing for what is not piped to", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination, other = sink(note, true), sink(note, true, "other")
    for _, what in ipairs { other, client, source, 1, "x", false, {}, print } do
      assert.equal(source, source:unpipe(what))
    end
    assert.is_nil(flowing(source))
    source:pipe(destination)
    for _, what in ipairs { other, client, source, 1, "x", false, {}, print } do
      assert.equal(source, source:unpipe(what))
    end
    assert.is_true(flowing(source))
    client:end_ "x"
    support.run()
    assert.same({ "pipe net.Socket", "write x", "end_" }, log)
    assert.equal(source, source:unpipe(destination))
    assert.equal("unpipe net.Socket false", log[4])
  end)

  it("within write stops at once", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination
    destination = sink(note, function()
      source:unpipe(destination)
      return false
    end)
    source:pipe(destination)
    feed(client, source, "x")
    assert.is_false(flowing(source))
    source:on("data", function(chunk) note("data", chunk) end)
    source:resume()
    feed(client, source, "y")
    assert.same({ "pipe net.Socket", "write x", "unpipe net.Socket false", "data y" }, log)
    finish(client, source)
  end)

  it("within write does not pause the source for the others", function()
    local client, source = source_pair()
    local note, log = recorder()
    local leaving, other
    leaving = sink(note, function()
      source:unpipe(leaving)
      return false
    end, "leaving")
    other = sink(note, true, "other")
    source:pipe(leaving)
    source:pipe(other)
    feed(client, source, "x")
    assert.is_true(flowing(source))
    client:end_ "y"
    support.run()
    assert.same({ "leaving pipe net.Socket", "other pipe net.Socket", "leaving write x",
      "leaving unpipe net.Socket false", "other write x", "other write y", "other end_" }, log)
  end)

  it("of a full destination lets the source go on with another one", function()
    local client, source = source_pair()
    local note, log = recorder()
    local full = sink(note, false, "full")
    source:pipe(full)
    feed(client, source, "x")
    source:unpipe(full)
    assert.is_false(flowing(source))
    assert.same(INTERNAL, full:eventNames())
    feed(client, source, "y")
    source:pipe(sink(note, true, "free"))
    sockets.settle()
    full:emit "drain"
    client:end_ "z"
    support.run()
    assert.same({ "full pipe net.Socket", "full write x", "full unpipe net.Socket false", "free pipe net.Socket",
      "free write y", "free write z", "free end_" }, log)
  end)

  it("within 'pipe', 'unpipe', and with listeners gone, is harmless", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    destination:once("pipe", function() source:unpipe(destination) end)
    source:pipe(destination)
    assert.equal(0, source:listenerCount "data")
    destination:on("unpipe", function() source:unpipe() end)
    source:pipe(destination)
    source:unpipe(destination)
    source:pipe(destination)
    destination:removeAllListeners()
    source:removeAllListeners "data"
    source:unpipe(destination)
    source:pipe(destination)
    source:pipe(destination)
    source:unpipe()
    assert.equal("pipe net.Socket unpipe net.Socket false pipe net.Socket unpipe net.Socket false pipe net.Socket",
      table.concat(log, " "))
    finish(client, source)
  end)

  it("an 'unpipe' of the script's own does no harm", function()
    local client, source = source_pair()
    local note, log = recorder()
    local destination = sink(note, true)
    destination:removeAllListeners()
    source:pipe(destination)
    for _, arguments in ipairs { {}, { source }, { source, 1 }, { client, {} }, { 1, {} }, { {}, {} } } do
      destination:emit("unpipe", table.unpack(arguments))
    end
    client:end_ "x"
    support.run()
    assert.same({ "write x", "end_" }, log)
  end)
end)

describe("pipes between sockets", function()
  after_each(support.clean)

  each_kind(function(kind)
    local HALF_OPEN = { allowHalfOpen = true }
    local SIZE = 8 << 20

    -- The server echoes by pipe. The client half-closes and reads nothing until ready(peer, go) calls go.
    local function echo(options, ready)
      local text = long_text(SIZE)
      local note, log = recorder()
      local server
      local client, began
      options.allowHalfOpen = true
      server = net.createServer(options, function(peer)
        assert.equal(peer, peer:pipe(peer))
        sockets.watch(peer, note, "peer ")
        ready(peer, function()
          if not began then
            began = true
            client:resume()
          end
        end)
        server:close()
      end)
      server:listen(sockets.kinds[kind]())
      support.run_until(function() return server.listening end)
      local target = sockets.address_of(server)
      target.allowHalfOpen = true
      client = net.connect(target)
      client:pause()
      local got = { chunks = {}, ended = 0, closed = 0 }
      client:on("data", function(chunk)
        assert(began)
        got.chunks[#got.chunks + 1] = chunk
      end)
      client:on("end", function() got.ended = got.ended + 1 end)
      client:on("close", function(had_error)
        assert.is_false(had_error)
        got.closed = got.closed + 1
      end)
      client:pause()
      client:end_(text)
      support.run()
      assert.is_true(began)
      assert.is_true(table.concat(got.chunks) == text)
      assert.same({ 1, 1 }, { got.ended, got.closed })
      assert.equal(SIZE, client.bytesRead)
      local counts = {}
      for _, line in ipairs(log) do counts[line] = (counts[line] or 0) + 1 end
      assert.same({ 1, 1, 1 }, { counts["peer end"], counts["peer finish"], counts["peer close false"] })
      assert.is_nil(counts["peer error"])
      return counts
    end

    it("an echo comes back whole to a client that half-closed and reads only when the server has all (" .. kind .. ")",
      function()
        local counts = echo({ highWaterMark = 2 * SIZE }, function(peer, go)
          peer:on("end", function()
            assert.equal(SIZE, peer.bytesRead)
            assert.is_true(peer.writableLength > 0) -- the rest waits for the client, behind the end
            go()
          end)
        end)
        assert.is_nil(counts["peer drain"])
        assert.equal(1, counts["peer pause"]) -- by the unpipe at its own finish
      end)

    it("an echo comes back whole to a client that reads only when the server is full (" .. kind .. ")", function()
      echo({}, function(peer, go)
        peer:on("pause", go)
        peer:on("end", go) -- where the kernel takes it all
        peer:on("data", function() assert(peer.writableLength <= 2 * 65536) end)
      end)
    end)

    it("a proxy hands both ways on, half-closes too (" .. kind .. ")", function()
      local question, answer = long_text(1 << 20), long_text(3 << 20):reverse()
      local heard
      local upstream, proxy
      upstream = sockets.server(function(socket)
        heard = collect(socket)
        socket:on("end", function() socket:end_(answer) end) -- only once the question has ended
        upstream:close()
      end, sockets.kinds[kind](), HALF_OPEN)
      local target = sockets.address_of(upstream)
      target.allowHalfOpen = true
      local near, far
      proxy = sockets.server(function(socket)
        near, far = socket, net.connect(target)
        near:pipe(far)
        far:pipe(near)
        proxy:close()
      end, sockets.kinds[kind](), HALF_OPEN)
      local entrance = sockets.address_of(proxy)
      entrance.allowHalfOpen = true
      local client = net.connect(entrance)
      local got = collect(client)
      local closed = 0
      client:on("close", function() closed = closed + 1 end)
      client:end_(question)
      support.run()
      assert.is_true(heard.text() == question)
      assert.is_true(got.text() == answer)
      assert.is_true(heard.ended and got.ended)
      assert.equal(1, closed)
      assert.is_true(near.closed and far.closed)
      assert.equal(0, near.readableLength + far.readableLength + near.writableLength + far.writableLength)
    end)
  end)

  it("are garbage once they are closed", function()
    local weak = setmetatable({}, { __mode = "k" })
    local function use()
      local client, source = source_pair()
      local destination, far = sockets.pair()
      destination:resume()
      far:resume()
      source:pipe(destination)
      client:end_ "x"
      for _, socket in ipairs { client, source, destination, far } do weak[socket] = true end
    end
    for _ = 1, 20 do use() end
    support.run()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)
