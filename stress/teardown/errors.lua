-- Each callback raises by longjmp out of C, in a listener, a coroutine, a metamethod; the host calls net.run again and
-- again. Nothing may be lost: at the end all is closed.
local net = require "cnet"

local function connect(address)
  if type(address) == "string" then return net.connect(address) end
  return net.connect(address.port, "127.0.0.1")
end
local closed, opened = 0, 0
local value = state % 3 == 0 and "an error" or state % 3 == 1 and net.Error "x" or {}
local function raise() jump(value) end
local odd = setmetatable({}, { __index = raise, __call = raise, __tostring = raise })

local function each(emitter)
  opened = opened + 1
  emitter:on("error", function() end)
  emitter:on("close", function()
    closed = closed + 1
    jump(value)
  end)
  for _, name in ipairs { "drain", "timeout", "listening", "drop" } do
    emitter:on(name, function() jump(value) end)
  end
  return emitter
end

local function serve(...)
  local server
  server = each(net.createServer(function(socket)
    each(socket)
    socket:once("data", function()
      socket:resume()
      socket:write(("y"):rep(100000), raise)
      socket:end_("end", coroutine.wrap(function() jump(value) end))
    end)
    server:getConnections(function()
      server:close(raise)
      coroutine.wrap(jump)(value)
    end)
  end))
  server:listen(...)
  server:prependListener("listening", function()
    local address = server:address()
    local client = each(connect(address))
    -- not before: an error while 'connect' is told skips the rest of that step, as in Node
    client:on("connect", function() net.setImmediate(function() client:write("x", raise) end) end)
    client:on("data", function() jump(value) end)
    client:on("end", function() client:end_() end)
    client:setTimeout(2, raise)
  end)
end

serve(0)
serve(0, "127.0.0.1")
serve("\0cnet-teardown-" .. net.process.pid .. "-" .. state)
each(net.connect(1, "slow"))
each(net.connect("/none"))
net.setTimeout(function() local _ = odd.x end, 1)
net.setImmediate(function() return tostring(odd) end)
net.nextTick(function() odd() end)
net.nextTick(jump, value)
setmetatable({}, { __gc = raise })

return function()
  net.run()
  if closed ~= opened then error(("BAD: %d of %d closed"):format(closed, opened), 0) end
  -- and once more with much open, for lua_close
  for _ = 1, 3 do serve(0) end
  net.setImmediate(net.stop)
  pcall(net.run)
end
