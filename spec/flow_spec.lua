-- The short ways of bytes that flow: to a 'data' listener that is alone, and from socket to socket in a pipe. Whatever
-- is changed in the middle of a stream, no byte is lost, doubled or out of its place.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

-- Text in which each place can be told from the others.
local function numbers(count)
  local list = {}
  for i = 1, count do list[i] = ("%07d "):format(i) end
  return table.concat(list)
end

local send_the_rest

-- A server whose connections go to `serve`; what comes back for `text`, as one string. The second half is sent once
-- in_the_middle has changed something.
local function exchange(text, serve, kind)
  local pieces, closed = {}, false
  local server = sockets.server(serve, sockets.kinds[kind or "tcp"](), { allowHalfOpen = true })
  local client = net.connect(sockets.address_of(server))
  client:on("data", function(chunk) pieces[#pieces + 1] = chunk end)
  client:on("close", function() closed = true server:close() end)
  client:write(text:sub(1, #text // 2))
  function send_the_rest() client:end_(text:sub(#text // 2 + 1)) end
  support.run()
  assert.is_true(closed)
  return table.concat(pieces)
end

-- Calls `change` once a part of the first half has come.
local function in_the_middle(socket, change)
  local timer
  timer = net.setInterval(function()
    if socket.bytesRead < 1 then return end
    net.clearInterval(timer)
    change()
    send_the_rest()
  end, 0)
end

local TEXT <const> = numbers(200000)

describe("a 'data' listener", function()
  after_each(support.clean)

  -- What the server does with its listeners once some has come, and adds up to the text it got.
  local changes = {
    ["alone"] = function() end,
    ["joined by another one"] = function(socket) socket:on("data", function() end) end,
    ["joined by a 'readable' listener"] = function(socket)
      socket:on("readable", function() repeat until not socket:read() end) -- read emits 'data'
    end,
    ["paused and resumed"] = function(socket)
      socket:pause()
      net.setTimeout(function() socket:resume() end, 2)
    end,
    ["replaced"] = function(socket, add, listener)
      socket:off("data", listener)
      socket:on("data", function(chunk) add(chunk) end)
    end,
    ["replaced by a pipe"] = function(socket, add, listener)
      local sink = net.EventEmitter()
      sink.write = function(_, chunk) add(chunk) return true end
      sink.end_ = function() end
      socket:off("data", listener)
      socket:pipe(sink)
    end,
    ["with all listeners removed and one added"] = function(socket, add)
      socket:removeAllListeners "data"
      socket:on("data", function(chunk) add(chunk) end)
    end,
    ["with setEncoding"] = function(socket) socket:setEncoding "utf8" end,
    ["with bytes unshifted"] = function(socket)
      socket:pause()
      net.setImmediate(function() socket:resume() end)
    end,
  }
  for name, change in pairs(changes) do
    it("has each byte once, " .. name, function()
      local got = {}
      local function add(chunk) got[#got + 1] = chunk end
      assert.equal("done", exchange(TEXT, function(socket)
        local function listener(chunk) add(chunk) end
        socket:on("data", listener)
        in_the_middle(socket, function() change(socket, add, listener) end)
        socket:on("end", function() socket:end_ "done" end)
      end))
      assert.equal(#TEXT, #table.concat(got))
      assert.is_true(TEXT == table.concat(got))
    end)
  end

  it("may take itself away, add others and raise; the next chunk goes where it should", function()
    local log, list = support.recorder()
    local client, socket = sockets.pair()
    local function second(chunk)
      log("second", chunk)
      error("raised", 0)
    end
    local function first(chunk)
      log("first", chunk)
      socket:off("data", first)
      socket:on("data", second)
    end
    socket:on("data", first)
    local function send(text)
      client:write(text)
      local before = #list
      local ok, err = pcall(support.run_until, function() return #list > before end)
      if not ok then log(err) end
    end
    send "1"
    send "2"
    send "3"
    client:destroy()
    socket:destroy()
    support.run()
    assert.same({ "first 1", "second 2", "raised", "second 3", "raised" }, list)
  end)

  it("is called once by once, and by emit", function()
    local log, list = support.recorder()
    local client, socket = sockets.pair()
    socket:once("data", function(chunk) log("once", chunk) end)
    client:write "1"
    support.run_until(function() return #list == 1 end)
    socket:on("data", function(chunk) log("on", chunk) end)
    assert.is_true(socket:emit("data", "by hand"))
    client:write "2"
    support.run_until(function() return #list == 3 end)
    client:destroy()
    socket:destroy()
    support.run()
    assert.same({ "once 1", "on by hand", "on 2" }, list)
  end)
end)

for kind in pairs(sockets.kinds) do
  describe("a pipe between sockets, " .. kind, function()
    after_each(support.clean)

    local changes = {
      ["left alone"] = function() end,
      ["with a 'data' listener added"] = function(socket) socket:on("data", function() end) end,
      ["with a 'data' listener added and taken away"] = function(socket)
        local function listener() socket:off("data", listener) end
        socket:on("data", listener)
      end,
      ["paused and resumed"] = function(socket)
        socket:pause()
        net.setTimeout(function() socket:resume() end, 2)
      end,
      ["taken apart and made again"] = function(socket)
        socket:unpipe(socket)
        net.setTimeout(function() socket:pipe(socket) end, 2)
      end,
      ["with the destination corked"] = function(socket)
        socket:cork()
        net.setTimeout(function() socket:uncork() end, 2)
      end,
      ["with a write of the script's own"] = function(socket)
        local write = socket.write
        socket.write = function(self, ...) return write(self, ...) end
      end,
      ["with setEncoding"] = function(socket) socket:setEncoding "utf8" end,
      ["with a second destination"] = function(socket)
        local sink = net.EventEmitter()
        sink.write = function() return true end
        sink.end_ = function() end
        socket:pipe(sink)
      end,
      ["with a slow second destination"] = function(socket)
        local sink = net.EventEmitter()
        sink.write = function()
          net.setTimeout(function() sink:emit "drain" end, 1)
          return false
        end
        sink.end_ = function() end
        socket:pipe(sink)
      end,
    }
    for name, change in pairs(changes) do
      it("has each byte once, " .. name, function()
        local counted
        local text = exchange(TEXT, function(socket)
          socket:pipe(socket)
          in_the_middle(socket, function() change(socket) end)
          socket:on("close", function() counted = { socket.bytesRead, socket.bytesWritten } end)
        end, kind)
        assert.equal(#TEXT, #text)
        assert.is_true(TEXT == text)
        assert.same({ #TEXT, #TEXT }, counted)
      end)
    end

    it("leaves a place for what the script writes itself", function()
      local text = exchange(TEXT, function(socket)
        socket:pipe(socket)
        in_the_middle(socket, function() socket:write "<here>" end)
      end, kind)
      assert.equal(#TEXT + 6, #text)
      assert.is_true(TEXT == text:gsub("<here>", ""))
    end)

    it("stops when the destination is destroyed, and the source keeps the rest", function()
      local client, source = sockets.pair { kind = kind }
      local far, destination = sockets.pair { kind = kind }
      far:resume()
      source:pipe(destination)
      client:write "first"
      support.run_until(function() return far.bytesRead == 5 end)
      destination:destroy()
      sockets.settle()
      client:write "second"
      support.run_until(function() return source.readableLength == 6 end)
      assert.equal("second", source:read())
      client:destroy()
      source:destroy()
      support.run()
    end)
  end)
end
