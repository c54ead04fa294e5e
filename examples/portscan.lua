-- portscan.lua: which ports of this machine answer? Many connections at once, each with a limit of time, and, for a
-- name with several addresses, what net.connect tries one after the other ("happy eyeballs").
--
--   lua5.4 portscan.lua                 ports 1 to 1024 of localhost
--   lua5.4 portscan.lua 7000 7100 -v    a range, telling each attempt
local net = require "cnet"

local first, last = tonumber(arg[1]) or 1, tonumber(arg[2]) or 1024
local verbose = arg[#arg] == "-v"
local at_once, limit = 100, 500 -- connections, ms

local next_port, found, running = first, 0, 0

local function tell_attempts(socket)
  socket:on("connectionAttempt", function(address, port, family)
    print(("  trying %s:%d (IPv%d)"):format(address, port, family))
  end)
  socket:on("connectionAttemptFailed", function(address, port, _, err)
    print(("  %s:%d: %s"):format(address, port, err.code))
  end)
  socket:on("connectionAttemptTimeout", function(address, port)
    print(("  %s:%d is slow, trying the next"):format(address, port))
  end)
end

local function attempt(port, done)
  local socket = net.connect {
    host = "localhost",
    port = port,
    connectTimeout = limit,
    autoSelectFamilyAttemptTimeout = 50,
  }
  if verbose then tell_attempts(socket) end
  socket:on("connect", function()
    found = found + 1
    print(("%5d open at %s"):format(port, socket.remoteAddress))
    socket:destroy()
  end)
  socket:on("error", function(err)
    if err.code == "ETIMEDOUT" then print(("%5d does not answer"):format(port)) end
  end)
  socket:on("close", done)
end

local function fill()
  while running < at_once and next_port <= last do
    running = running + 1
    attempt(next_port, function()
      running = running - 1
      fill()
    end)
    next_port = next_port + 1
  end
  if running == 0 then print(("%d of %d ports open"):format(found, last - first + 1)) end
end

fill()
net.run()
