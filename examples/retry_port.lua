-- Waits for a port: when it is in use (EADDRINUSE), tries again each second, up to 10 times, as Node's documentation of
-- net.Server shows. Exit status 1 if it never got the port.
--
--   lua5.4 examples/retry_port.lua [port] [tries]     default: 7000 10
--
-- Try it: start examples/echo_server.lua, then this one, and stop the first. `nc 127.0.0.1 7000` then says hello.

local net = require "cnet"

local function usage()
  io.stderr:write("usage: lua5.4 ", arg[0], " [port] [tries]\n")
  os.exit(2)
end

local port = tonumber(arg[1] or 7000) or usage()
local tries = tonumber(arg[2] or 10) or usage()
local tried = 0
local failed = false
local timer

io.stdout:setvbuf("line")

local server = net.createServer(function(socket)
  socket:on("error", function(err) io.stderr:write("retry_port: a client was lost: ", tostring(err), "\n") end)
  socket:end_("Hello from the server that waited.\n")
  socket:resume() -- nobody reads what the client sends: without this its end would not be seen either
end)

local function listen()
  tried = tried + 1
  server:listen(port, "127.0.0.1")
end

server:on("error", function(err)
  if err.code == "EADDRINUSE" and tried < tries then
    print(err .. ": trying again in a second")
    timer = net.setTimeout(listen, 1000)
  else
    io.stderr:write("retry_port: ", tostring(err), "\n")
    failed = not server.listening
  end
end)
server:on("listening", function()
  local address = server:address()
  print(("listening on %s:%d"):format(address.address, address.port))
end)

local function stop()
  net.clearTimeout(timer)
  server:close()
  server:closeAllConnections()
end
net.process:once("SIGINT", stop)
net.process:once("SIGTERM", stop)

listen()
net.run()
os.exit(not failed, true)
