-- Errors that 'handlerError' hears of, in listeners and callbacks; servers that pause; the kernel's buffers.
local net = require "cnet"
arm()

local HOST <const> = "127.0.0.1"
local watchdog = net.setTimeout(function() disarm() error "HANG" end, 5000):unref()
local turn = 0
local server
server = net.createServer(function(socket)
  turn = turn + 1
  socket:setSendBufferSize(10000)
  local _ = { socket:getRecvBufferSize(), socket:getPeerCredentials() }
  if turn == 1 then error "connection" end
  if turn == 2 then return socket:destroy(net.Error "unheard") end
  socket:on("data", function()
    socket:write("x", function() error "callback" end)
    if turn == 3 then error { "data" } end
  end)
  socket:on("close", function() error "close" end)
end)
server:on("handlerError", function(err, socket)
  if tostring(err):find "memory" then net.stop() end -- what it broke off, as a destroy, may never end
  if tostring(err):find "callback" then error(err) end
  return #tostring(socket)
end)
server:on("error", function() end)
server:pause():listen(0, HOST, function()
  local address, left = server:address(), 4
  for _ = 1, left do
    local client = net.Socket():setRecvBufferSize(10000)
    client:on("error", function() end)
    client:on("close", function()
      left = left - 1
      if left == 0 then server:close() end
    end)
    client:connect(address.port, HOST, function() client:write "x" end)
    client:resume()
  end
  net.setImmediate(function() server:resume() end)
end)
for _ = 1, 4 do
  local ok, err = pcall(net.run)
  if ok or tostring(err):find "memory" then break end
end
disarm()
net.clearTimeout(watchdog)
