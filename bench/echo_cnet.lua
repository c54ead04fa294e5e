-- The echo server on cnet: lua5.4 bench/echo_cnet.lua [echo|split|pipe]
-- Prints the port it listens on. split: answers in pieces of 64 bytes. pipe: socket:pipe(socket).

local net = require "cnet"

local PIECE = 64

local modes = {}

function modes.echo(socket)
  socket:on("data", function(chunk) socket:write(chunk) end)
end

function modes.split(socket)
  socket:on("data", function(chunk)
    for at = 1, #chunk, PIECE do socket:write(chunk:sub(at, at + PIECE - 1)) end
  end)
end

function modes.pipe(socket) socket:pipe(socket) end

local serve = assert(modes[arg[1] or "echo"])

local server = net.createServer({ noDelay = true }, function(socket)
  serve(socket)
  socket:on("error", function() end)
end)
server:listen(0, "127.0.0.1", function()
  print(server:address().port)
  io.stdout:flush()
end)
net.run()
