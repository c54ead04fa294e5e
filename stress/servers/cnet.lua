-- The server of the trials on cnet: lua5.4 stress/servers/cnet.lua MODE [SIZE]
-- Prints the port it listens on, and for each line "report" that comes a line of what it has counted so far.

local net = require "cnet"

local mode, size = arg[1], math.tointeger(tonumber(arg[2] or 0))
local counts = {}
local function count(name, n) counts[name] = (counts[name] or 0) + (n or 1) end

local options, serve = {}, {}

function serve.echo(socket)
  socket:on("data", function(chunk)
    count("bytes", #chunk)
    socket:write(chunk)
  end)
end
serve.full = serve.echo -- with maxConnections
serve.blocking = serve.echo -- with a blockList, and maxConnections

-- Answers with what came once the client has ended.
function serve.late(socket)
  local parts = {}
  socket:on("data", function(chunk) parts[#parts + 1] = chunk end)
  socket:on("end", function() socket:end_(table.concat(parts)) end)
end

local bytes = ("0123456789abcdef"):rep(size // 16)
function serve.big(socket)
  socket:write(bytes, function(err) count(err and "cut" or "written") end)
  socket:end_()
end

if mode == "late" then options.allowHalfOpen = true end
if mode == "blocking" then
  options.blockList = net.BlockList()
  options.blockList:addSubnet("127.2.0.0", 16)
end

local server = net.createServer(options, function(socket)
  count "accepted"
  socket:on("error", function(err) count("error_" .. (err.code or "other")) end)
  socket:on("close", function() count "closed" end)
  serve[mode](socket)
end)
if mode == "full" or mode == "blocking" then server.maxConnections = size end
server:on("drop", function() count "drop" end)
server:on("error", function(err) count("server_error_" .. err.code) end)
server:listen({ port = 0, host = "0.0.0.0", backlog = 4096 }, function()
  print(server:address().port)
  io.stdout:flush()
end)

net.process.stdin:on("data", function(text)
  for _ = 1, select(2, text:gsub("report\n", "")) do
    server:getConnections(function(_, n)
      collectgarbage()
      collectgarbage()
      counts.open = n
      for name, value in pairs(counts) do io.write(name, "=", value, " ") end
      print()
      io.stdout:flush()
    end)
  end
end)
net.process.stdin:on("end", function() os.exit(0) end)
net.run()
