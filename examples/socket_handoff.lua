-- Sockets handed to child processes: the parent accepts, reads the first line of each client and gives the connection
-- to the child of that name; the child answers from then on. Shows fork, send with a socket, and getConnections, which
-- asks the children too.
--
--   lua5.4 examples/socket_handoff.lua [port]     default: 8124; 0: any that is free
--
-- Try it: `nc 127.0.0.1 8124`, then type `upper` (or `reverse`), and lines. Ctrl-C stops it once the clients are gone,
-- a second Ctrl-C at once.

local net = require "cnet"
local child_process = require "cnet.child_process"

local NAMES <const> = { "upper", "reverse" }
local LINE_LIMIT <const> = 1024 -- bytes of a line
local PATIENCE <const> = 30000 -- ms for the first line

-- Calls on_line with each line of the socket, which begins with `text` that was read elsewhere. Its result true: the
-- rest, if there is any, is not for us.
local function read_lines(socket, text, on_line)
  local done = false
  local function take(chunk)
    text = text .. chunk
    while not done do
      local line, rest = text:match "^([^\n]-)\r?\n(.*)$"
      if not line then break end
      text = rest
      done = on_line(line, rest)
    end
    if #text > LINE_LIMIT then socket:destroy() end
  end
  socket:on("data", take)
  take ""
  return take
end

-- ---- a child ----

local function run_child(name)
  local answer = { upper = string.upper, reverse = string.reverse }
  net.process:on("message", function(first, socket)
    if not socket then return end -- the client was gone before it came here
    socket:on("error", function() end)
    read_lines(socket, first, function(line) socket:write(answer[name](line) .. "\n") end)
  end)
  -- Ctrl-C reaches the children too: it is the parent that ends them, by disconnect.
  net.process:on("SIGINT", function() end)
  net.run()
end

-- ---- the parent ----

local function fork(name)
  local child = child_process.fork(arg[0], { "--child", name })
  child:on("exit", function(code, signal) print(("%s ended with %s"):format(name, signal or code)) end)
  child:on("error", function(err) io.stderr:write(("socket_handoff: %s: %s\n"):format(name, err)) end)
  return child
end

local function run_parent(port)
  local children = {}
  for _, name in ipairs(NAMES) do children[name] = fork(name) end

  local server = net.createServer(function(socket)
    socket:setTimeout(PATIENCE, function() socket:destroy() end)
    socket:on("error", function() end)
    local take
    take = read_lines(socket, "", function(name, rest)
      local child = children[name]
      if not child or not child.connected then
        socket:end_("no such child; there is: " .. table.concat(NAMES, ", ") .. "\n")
      else
        socket:off("data", take)
        socket:pause()
        child:send(rest, socket) -- what we have read beyond the line goes with it
        print("a client for " .. name)
      end
      return true
    end)
  end)

  local stopping = false
  local function stop()
    if stopping then
      for _, child in pairs(children) do child:kill() end
      return
    end
    stopping = true
    server:getConnections(function(_, count)
      print(("closing; connections here and in the children: %s"):format(count or "unknown"))
    end)
    server:close(function() -- the children's clients are gone too
      for _, child in pairs(children) do
        if child.connected then child:disconnect() end
      end
    end)
  end
  net.process:on("SIGINT", stop)
  net.process:on("SIGTERM", stop)

  server:on("error", function(err)
    io.stderr:write("socket_handoff: ", tostring(err), "\n")
    for _, child in pairs(children) do child:disconnect() end
  end)
  server:listen(port, "127.0.0.1", function() print("listening on port " .. server:address().port) end)
  net.run()
end

io.stdout:setvbuf "line"
if arg[1] == "--child" then
  run_child(arg[2])
else
  run_parent(tonumber(arg[1] or 8124))
end
