-- A child that sends and gets messages, a socket among them.
local net = require "cnet"
local child_process = require "cnet.child_process"

local name = os.tmpname()
local file = io.open(name, "w")
file:write([[ LD_PRELOAD=$ASAN_LIBRARY exec lua5.4 -e '
  package.cpath = os.getenv "CNET_CPATH"
  local net = require "cnet"
  net.process:on("message", function(message, socket)
    if socket then socket:end_ "bye" end
    net.process:send(message)
    if message == "last" then net.process:disconnect() end
  end)
  net.run()' ]])
file:close()
arm()
local watchdog = net.setTimeout(function() disarm() error "HANG" end, 8000):unref()
local child
local done, err = pcall(function()
  child = child_process.fork(name, {}, { execPath = "sh", stdio = { "ignore", "ignore", "ignore", "ipc" } })
  child:on("message", function() end)
  child:on("error", function() child:kill() end) -- a message that could not be sent, or read
  local server
  server = net.createServer(function(socket)
    child:send({ a = { 1, 2.5, "x" } }, socket, function() end)
    for _ = 1, 60 do child:send(("gathered"):rep(1000)) end -- behind the socket
    child:send(("large"):rep(60000), nil, nil, function() end)
    child:send "last"
    server:getConnections(function() end)
    server:close()
  end)
  server:listen(0, "127.0.0.1", function()
    net.connect(server:address().port, "127.0.0.1"):on("error", function() end):resume()
  end)
  net.run()
end)
disarm()
net.clearTimeout(watchdog)
if child then child:kill "SIGKILL" end
os.remove(name)
if not done then error(err, 0) end
