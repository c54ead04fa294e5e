-- proxy.lua: passes connections on to another server, over TCP or a Unix socket on either side. pipe() does the work
-- both ways: a slow reader slows the writer down (backpressure), and the end of one direction leaves the other open
-- until it ends too (half-close).
--
--   lua5.4 proxy.lua 8000 127.0.0.1:7000         listens on port 8000, connects to port 7000
--   lua5.4 proxy.lua /tmp/front.sock /tmp/back.sock
--   nc 127.0.0.1 8000
local net = require "cnet"

io.stdout:setvbuf "line" -- so that a line is seen at once in a log file too

local from, to = arg[1], arg[2]
if not to then
  io.stderr:write("usage: proxy.lua PORT|PATH HOST:PORT|PATH\n")
  os.exit(2)
end

-- "127.0.0.1:7000", "[::1]:7000" and "7000" are TCP addresses, anything else is a path.
local function target(text)
  local host, port = text:match "^%[?(.-)%]?:(%d+)$"
  if tonumber(text) then host, port = "127.0.0.1", text end
  local options = port and { host = host, port = tonumber(port) } or { path = text }
  options.allowHalfOpen = true
  return options
end

local open = 0

local server = net.createServer({ allowHalfOpen = true }, function(client)
  local upstream = net.connect(target(to))
  open = open + 1
  client:pipe(upstream)
  upstream:pipe(client)
  -- What fails on one side must not leave the other side waiting.
  client:on("error", function(err) print("client: " .. err) upstream:destroy() end)
  upstream:on("error", function(err) print("upstream: " .. err) client:destroy() end)
  client:on("close", function()
    upstream:destroy()
    open = open - 1
  end)
  upstream:on("close", function() if not client.writableEnded then client:destroy() end end)
end)

server:on("error", function(err)
  io.stderr:write(tostring(err), "\n")
  net.process:exit(1)
end)

server:listen(tonumber(from) and { port = tonumber(from), host = "127.0.0.1" } or { path = from }, function()
  local address = server:address()
  local where = type(address) == "string" and address or address.address .. ":" .. address.port
  print("passing " .. where .. " on to " .. to)
end)

for _, signal in ipairs { "SIGINT", "SIGTERM" } do
  net.process:once(signal, function()
    print(("stopping, %d open"):format(open))
    server:close()
    server:closeAllConnections()
  end)
end

net.run()
