-- The echo server on luv: lua5.4 bench/echo_luv.lua [echo|split]
-- Prints the port it listens on. split: answers in pieces of 64 bytes.

local uv = require "luv"

local PIECE = 64

local modes = {}

function modes.echo(socket, chunk) socket:write(chunk) end

function modes.split(socket, chunk)
  for at = 1, #chunk, PIECE do socket:write(chunk:sub(at, at + PIECE - 1)) end
end

local answer = assert(modes[arg[1] or "echo"])

local function close(socket)
  if not socket:is_closing() then socket:close() end
end

local server = uv.new_tcp()
server:bind("127.0.0.1", 0)
server:listen(511, function()
  local socket = uv.new_tcp()
  server:accept(socket)
  socket:nodelay(true)
  socket:read_start(function(err, chunk)
    if chunk then
      answer(socket, chunk)
    elseif err then
      close(socket)
    else
      socket:shutdown(function() close(socket) end)
    end
  end)
end)
print(server:getsockname().port)
io.stdout:flush()
uv.run()
