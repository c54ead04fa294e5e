-- Echo server: sends back what it is sent, to any number of clients. It reads no faster than a client takes its echo
-- (backpressure), and a client that has sent all (half-close) still gets the rest of its echo.
--
--   lua5.4 examples/echo_server.lua [port|path] [host]     default: 7000 127.0.0.1; port 0 is any free port
--
-- Try it: `nc 127.0.0.1 7000` and type, or `lua5.4 examples/echo_client.lua 7000 hello`.
-- With a path (/tmp/echo.sock) it listens on a Unix socket: `nc -U /tmp/echo.sock`. Ctrl-C stops it and removes the
-- path; after a kill -9 the path stays, and listening there says EADDRINUSE until you remove it.

local net = require "cnet"

io.stdout:setvbuf("line") -- so that a line is seen at once in a log file too

local function complain(...) io.stderr:write(table.concat({ "echo_server: ", ... }), "\n") end

local function text_of(address)
  if type(address) == "string" then return address end
  return (address.family == "IPv6" and "[%s]:%d" or "%s:%d"):format(address.address, address.port)
end

-- allowHalfOpen: the client's 'end' leaves our side open, until what it sent has been sent back.
local server = net.createServer({ allowHalfOpen = true }, function(socket)
  socket:on("data", function(chunk)
    if not socket:write(chunk) then socket:pause() end -- the client does not read: no more from it, until 'drain'
  end)
  socket:on("drain", function() socket:resume() end)
  socket:on("end", function() socket:end_() end)
  socket:on("error", function(err) complain("a client was lost: ", tostring(err)) end) -- 'close' follows by itself
end)

local failed = false
server:on("error", function(err)
  complain(tostring(err))
  failed = not server.listening
end)
server:on("listening", function() print("listening on " .. text_of(server:address())) end)

local function stop()
  server:close()
  server:closeAllConnections() -- nothing is left open, so net.run() returns
end
net.process:once("SIGINT", stop)
net.process:once("SIGTERM", stop)

server:listen(arg[1] or 7000, arg[2] or "127.0.0.1") -- a path is a path, and has no host
net.run()
os.exit(not failed, true)
