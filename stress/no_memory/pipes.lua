-- pipe between sockets over a Unix socket, with backpressure, and to an emitter of the script's own.
local net = require "cnet"
arm()

local path = os.tmpname()
os.remove(path)
local watchdog = net.setTimeout(function() disarm() error "HANG" end, 5000):unref()
local server = net.createServer(function(socket)
  socket:pipe(socket)
  socket:on("error", function() end)
end)
server:on("error", function() end)
server:listen(path, function()
  local client = net.connect(path)
  local sink = net.EventEmitter()
  sink.write = function() net.setImmediate(function() sink:emit "drain" end) return false end
  sink.end_ = function() end
  client:pipe(sink)
  client:on("end", function() server:close() end)
  client:on("error", function() server:close() end)
  client:end_(("0123456789"):rep(30000))
end)
local done, err = pcall(net.run)
net.clearTimeout(watchdog)
os.remove(path)
if not done then error(err, 0) end
