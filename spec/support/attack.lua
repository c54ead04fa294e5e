-- Clients and servers that do what a program must survive: resets at every moment, early ends, garbage, silence. The
-- specs set them on the programs of docs/ and examples/.

local net = require "cnet"

local attack = {}

local PATIENCE <const> = 100 -- ms; an attacker is gone by then, whatever the other side does

local GARBAGE
do
  local bytes = {}
  for i = 0, 255 do bytes[i + 1] = string.char(i) end
  GARBAGE = table.concat(bytes):rep(8)
end
local LONG <const> = ("x"):rep(1 << 20) -- no line ends in it

local function reset(socket)
  if socket.remoteFamily then socket:resetAndDestroy() else socket:destroy() end -- a Unix socket cannot be reset
end

-- What clients do. `now` is called before there is a connection, `connected` once there is one.
local clients = {
  { now = function(socket) socket:destroy() end },
  { connected = reset },
  { connected = function(socket) socket:write("hello\n", function() reset(socket) end) end },
  { connected = function(socket)
    socket:write "hello\n"
    socket:once("data", function() reset(socket) end)
  end },
  { connected = function(socket)
    socket:write(LONG)
    net.setImmediate(reset, socket)
  end },
  { connected = function(socket) socket:resume():end_() end },
  { connected = function(socket) socket:end_ "no end of a line" end }, -- and it reads nothing
  { connected = function(socket) socket:resume():end_(GARBAGE) end },
  { connected = function(socket) socket:resume():end_(LONG) end },
  { connected = function(socket) socket:resume():end_ "one\ntwo\nquit\nquit\n\n\nthree" end },
  { options = { allowHalfOpen = true }, connected = function(socket) -- goes on, also after the other side's end
    local left = 5
    local function more()
      left = left - 1
      if left > 0 then socket:write "more\n" else socket:end_ "quit\n" end
    end
    socket:on("data", function() if left > 0 then more() end end)
    socket:on("end", function() while left > 0 do more() end end)
    more()
  end },
  { options = { allowHalfOpen = true }, connected = function(socket) socket:resume() end }, -- says nothing and stays
}

local function ignore() end

local function connect(target, options)
  local merged = {}
  for key, value in pairs(target) do merged[key] = value end
  for key, value in pairs(options or {}) do merged[key] = value end
  return net.connect(merged):on("error", ignore)
end

-- Calls fn once somebody listens on the target. Does not keep the loop alive for it.
function attack.wait_for(target, fn)
  local socket = connect(target)
  socket:on("connect", function()
    socket:destroy()
    fn()
  end)
  socket:on("error", function() net.setTimeout(attack.wait_for, 5, target, fn):unref() end)
end

-- Attacks the server at the target once it listens: all kinds of clients, four of each, at once and after one another.
-- `patience` (ms) is for how long the silent ones stay. Calls done() when all are gone.
function attack.server(target, patience, done)
  patience = math.max(patience, PATIENCE)
  local left = 4 * #clients
  local function gone()
    left = left - 1
    if left == 0 then done() end
  end
  attack.wait_for(target, function()
    for _ = 1, 4 do
      for _, kind in ipairs(clients) do
        local socket = connect(target, kind.options)
        local timer = net.setTimeout(function() socket:destroy() end, patience)
        socket:on("close", function()
          net.clearTimeout(timer)
          gone()
        end)
        if kind.connected then socket:on("connect", function() kind.connected(socket) end) end
        if kind.now then kind.now(socket) end
      end
    end
  end)
end

-- What servers do with the one client that they take.
attack.servers = {
  ["resets at once"] = reset,
  ["resets after bytes"] = function(socket) socket:write("hello\n", function() reset(socket) end) end,
  ["resets after a request"] = function(socket) socket:once("data", function() reset(socket) end) end,
  ["ends at once"] = function(socket) socket:resume():end_() end,
  ["sends garbage"] = function(socket) socket:resume():end_(GARBAGE) end,
  ["sends much garbage"] = function(socket) socket:resume():end_(LONG) end,
  ["sends lines in pieces, and goes on"] = function(socket)
    socket:setNoDelay()
    socket:resume()
    local pieces = { "o", "ne\nt", "wo\n", "three" }
    local function more(i)
      if not pieces[i] then return socket:end_() end
      socket:write(pieces[i], function() net.setTimeout(more, 5, i + 1) end)
    end
    more(1)
  end,
  ["says nothing, and leaves"] = function(socket) net.setTimeout(reset, PATIENCE // 2, socket) end,
}

-- Listens on what listen takes for one client, and does that to it. Calls `listening` with the address.
function attack.client(where, behave, listening)
  local server
  server = net.createServer({ allowHalfOpen = true }, function(socket)
    socket:on("error", ignore)
    server:close()
    behave(socket)
    local timer = net.setTimeout(function() socket:destroy() end, PATIENCE)
    socket:on("close", function() net.clearTimeout(timer) end)
  end)
  server:listen(where, listening and function() listening(server:address()) end)
end

return attack
