-- The echo server on cqueues: lua5.4 bench/echo_cqueues.lua [echo|split]
-- Prints the port it listens on. split: answers in pieces of 64 bytes.

local cqueues = require "cqueues"
local cqueues_socket = require "cqueues.socket"

local PIECE = 64

local modes = {}

function modes.echo(socket, chunk) socket:write(chunk) end

function modes.split(socket, chunk)
  for at = 1, #chunk, PIECE do socket:write(chunk:sub(at, at + PIECE - 1)) end
end

local answer = assert(modes[arg[1] or "echo"])

local server = cqueues_socket.listen { host = "127.0.0.1", port = 0 }
server:listen()
local _, _, port = server:localname()
print(port)
io.stdout:flush()

local loop = cqueues.new()
loop:wrap(function()
  for socket in server:clients { nodelay = true } do
    loop:wrap(function()
      socket:setmode("bn", "bn") -- binary, and what is written goes out at once
      while true do
        local chunk = socket:read(-65536)
        if not chunk then break end
        answer(socket, chunk)
      end
      socket:close()
    end)
  end
end)
assert(loop:loop())
