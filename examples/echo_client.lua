-- Client of the echo server: sends a text, prints the reply, and ends when the server has sent all. Exit status 1 if it
-- cannot connect or loses the connection.
--
--   lua5.4 examples/echo_client.lua [port|path] [text...]     default: 7000; without a text, what comes on stdin
--
-- Try it, with examples/echo_server.lua running: `lua5.4 examples/echo_client.lua 7000 hello there`,
-- `ls | lua5.4 examples/echo_client.lua`, or without either and type (Ctrl-D ends it). It needs no echo server:
-- `printf 'GET / HTTP/1.0\r\n\r\n' | lua5.4 examples/echo_client.lua 8080` talks to examples/static_http.lua.

local net = require "cnet"

local where = arg[1] or 7000
local socket = tonumber(where) and net.connect(where, "127.0.0.1") or net.connect(where)
local failed = false
local stdin

socket:on("data", function(chunk)
  if not (io.write(chunk) and io.flush()) then socket:destroy() end -- nobody reads what we print: `... | head -1`
end)
socket:on("error", function(err)
  io.stderr:write("echo_client: ", tostring(err), "\n") -- connect ECONNREFUSED 127.0.0.1:7000
  failed = true
end)
socket:on("close", function()
  if stdin then stdin:destroy() end -- what we still wait for there would keep net.run() going
end)

-- Passes stdin on: no faster than the socket takes it, and its end becomes the end of what we send.
local function pass_on(input)
  input:on("data", function(chunk)
    if not socket:write(chunk) then input:pause() end
  end)
  input:on("end", function() socket:end_() end)
  input:on("error", function(err) socket:destroy(err) end)
  socket:on("drain", function() input:resume() end)
end

if arg[2] then
  socket:end_(table.concat(arg, " ", 2) .. "\n") -- waits for the connection
else
  local is_stream, input = pcall(function() return net.process.stdin end)
  if is_stream then
    stdin = input
    pass_on(stdin)
  else
    socket:end_(io.read("a")) -- a plain file is no pipe, socket or terminal
  end
end

local function stop() socket:destroy() end
net.process:once("SIGINT", stop)
net.process:once("SIGTERM", stop)

net.run()
os.exit(not failed, true)
