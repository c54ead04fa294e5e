-- Chat server: what one client writes, all the others read. Shows how to keep many clients, how to cut a stream of
-- packets into lines, and how to stay safe from those who send lines without end or do not read.
--
--   lua5.4 examples/chat_server.lua [port] [host]     default: 7001 127.0.0.1; host :: is every address
--
-- Try it: `nc 127.0.0.1 7001` in two terminals; then type, or /name Ada, /who, /quit. Ctrl-C tells everybody and stops.

local net = require "cnet"

local LINE_LIMIT <const> = 1024 -- bytes in a line; a longer one is thrown away
local QUEUE_LIMIT <const> = 256 * 1024 -- bytes that wait for a client to read them; with more it has to go
local GRACE <const> = 3000 -- ms that a client gets to read the last words

local function usage()
  io.stderr:write("usage: lua5.4 ", arg[0], " [port] [host]\n")
  os.exit(2)
end

local port = tonumber(arg[1] or 7001) or usage()
local host = arg[2] or "127.0.0.1"
local clients, count = {}, 0 -- clients: by lower-case name

io.stdout:setvbuf("line")

local function is_here(client) return clients[client.name:lower()] == client end

local function broadcast(text, except)
  for _, client in pairs(clients) do
    if client ~= except then client:send(text) end
  end
end

-- Takes the client off the list and tells the others. No broadcast here: one may be running.
local function forget(client, news)
  clients[client.name:lower()] = nil
  if news then net.nextTick(broadcast, "* " .. client.name .. " " .. news) end
end

-- Says goodbye: the last words go out after what is queued; one who does not read them either is cut off.
local function dismiss(client, words, news)
  forget(client, news)
  client.socket:end_("* " .. words .. "\n")
  local timer = net.setTimeout(function() client.socket:destroy() end, GRACE)
  client.socket:once("close", function() net.clearTimeout(timer) end)
end

local function send(client, text)
  local flushed = client.socket:write(text .. "\n")
  if not flushed and is_here(client) and client.socket.writableLength > QUEUE_LIMIT then
    dismiss(client, "You read too slowly. Goodbye.", "was too slow and had to go")
  end
end

local commands = {}

function commands.name(client, name)
  if not name:find("^[%w_-]+$") or #name > 20 then
    return client:send("* A name is 1 to 20 letters, digits, - or _: /name Ada")
  end
  local holder = clients[name:lower()]
  if holder and holder ~= client then return client:send("* That name is taken.") end
  local old = client.name
  clients[old:lower()] = nil
  client.name, clients[name:lower()] = name, client
  broadcast("* " .. old .. " is now " .. name)
end

function commands.who(client)
  local names = {}
  for _, other in pairs(clients) do names[#names + 1] = other.name end
  table.sort(names)
  client:send("* Here: " .. table.concat(names, ", "))
end

function commands.quit(client)
  dismiss(client, "Goodbye.", "has left")
end

local function on_line(client, line)
  line = line:gsub("%c", "") -- no escape sequences for the terminals of others
  local name, argument = line:match("^/(%S*)%s*(.-)%s*$")
  if name then
    local command = commands[name:lower()]
    if command then return command(client, argument) end
    client:send("* The commands are /name X, /who and /quit.")
  elseif line:find("%S") then
    broadcast(client.name .. ": " .. line, client)
  end
end

-- A packet may hold half a line or ten of them: client.rest is the beginning of a line whose end has not come.
local function on_data(client, chunk)
  local text, from = client.rest .. chunk, 1
  local to = text:find("\n", 1, true)
  while to do
    local line = text:sub(from, to - 1)
    from = to + 1
    to = text:find("\n", from, true)
    if client.skipping then
      client.skipping = false -- the end of the line that was too long
    elseif #line > LINE_LIMIT then
      client:send("* That line was too long.")
    else
      on_line(client, line)
    end
    if not is_here(client) then return end -- it said /quit, or was too slow
  end
  client.rest = client.skipping and "" or text:sub(from)
  if #client.rest > LINE_LIMIT then
    client:send("* That line was too long.")
    client.rest, client.skipping = "", true
  end
end

local server = net.createServer({ keepAlive = true, keepAliveInitialDelay = 60000 }, function(socket)
  count = count + 1
  local client = { socket = socket, name = "guest" .. count, rest = "", send = send }
  while clients[client.name] do client.name = client.name .. "_" end -- somebody took it with /name
  clients[client.name] = client

  local function leave()
    if is_here(client) then forget(client, "has left") end
  end
  socket:on("data", function(chunk)
    if is_here(client) then on_data(client, chunk) end
  end)
  socket:on("end", leave) -- it hung up; our side ends by itself, and takes no more writes
  socket:on("close", leave) -- it was cut off
  socket:on("error", function(err)
    if err.code == "ECONNRESET" or err.code == "EPIPE" then return end -- cut off: what 'close' tells too
    io.stderr:write("chat_server: ", client.name, ": ", tostring(err), "\n")
  end)

  client:send("* Welcome, " .. client.name .. ". The commands are /name X, /who and /quit.")
  broadcast("* " .. client.name .. " has come", client)
end)

local failed = false
server:on("error", function(err)
  io.stderr:write("chat_server: ", tostring(err), "\n")
  failed = not server.listening
end)
server:on("listening", function()
  local address = server:address()
  local form = address.family == "IPv6" and "listening on [%s]:%d" or "listening on %s:%d"
  print(form:format(address.address, address.port))
end)

local function stop()
  server:close()
  for _, client in pairs(clients) do dismiss(client, "The server is going down. Goodbye.") end
end
net.process:once("SIGINT", stop)
net.process:once("SIGTERM", stop)

server:listen(port, host)
net.run()
os.exit(not failed, true)
