-- line_client.lua: a client for any server that speaks in lines (SMTP, Redis, the chat server beside this file): what
-- you type goes to the server, what it says is printed, each line as a line however the packets were cut.
--
--   lua5.4 line_client.lua 127.0.0.1 7001        a terminal, or
--   printf 'PING\r\n' | lua5.4 line_client.lua 127.0.0.1 6379
local net = require "cnet"

local host, port = arg[1], tonumber(arg[2])
if not host or not port and not host:find "/" then
  io.stderr:write("usage: line_client.lua HOST PORT, or line_client.lua /PATH\n")
  os.exit(2)
end

-- Calls fn for each whole line of a stream, and for what is left at its end.
local function each_line(stream, fn)
  local rest = ""
  stream:on("data", function(chunk)
    rest = rest .. chunk
    local from, to = 1, rest:find("\n", 1, true)
    while to do
      fn((rest:sub(from, to - 1):gsub("\r$", "")))
      from = to + 1
      to = rest:find("\n", from, true)
    end
    rest = rest:sub(from)
  end)
  stream:on("end", function()
    if rest ~= "" then fn(rest) end
  end)
end

local socket = net.connect(port and { host = host, port = port } or { path = host })
local stdin = net.process.stdin

socket:setEncoding "utf8"
socket:on("connect", function()
  io.stderr:write("connected to ", port and socket.remoteAddress .. ":" .. socket.remotePort or host, "\n")
  each_line(stdin, function(line)
    if not socket:write(line .. "\r\n") then -- the server is slow: type no faster than it reads
      stdin:pause()
      socket:once("drain", function() stdin:resume() end)
    end
  end)
  stdin:on("end", function() socket:end_() end)
end)

each_line(socket, print)

local failed = false
socket:on("error", function(err)
  failed = true
  io.stderr:write(tostring(err), "\n")
end)
socket:on("close", function()
  stdin:destroy()
  io.stderr:write "closed\n"
end)

net.run()
os.exit(failed and 1 or 0, true)
