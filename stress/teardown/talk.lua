-- A state that lives while others do: servers and clients that talk, timers, a child, lookups, signals; closed when
-- much of it is done, and some is not.
local net = require "cnet"

local function connect(address)
  if type(address) == "string" then return net.connect(address) end
  return net.connect(address.port, "127.0.0.1")
end
local child_process = require "cnet.child_process"
local got, wanted, answered = 0, 200, false
local where = state % 2 == 0 and 0 or "\0cnet-talk-" .. net.process.pid .. "-" .. state
local server = net.createServer(function(socket) socket:pipe(socket) end)
local function over()
  if got >= wanted and answered then net.stop() end
end
server:listen(where, function()
  local address = server:address()
  for _ = 1, 4 do
    local client = connect(address)
    client:on("data", function(data)
      got = got + 1
      client:write(data)
      over()
    end)
    client:write("hello " .. state)
  end
end)
local child = child_process.fork("-c", { [[unset LD_PRELOAD; printf '"ready"\n' >&3; cat <&3 >/dev/null]] },
  { execPath = "sh" })
child:on("message", function()
  answered = true
  child:send(("x"):rep(1000))
  over()
end)
net.process:on("SIGUSR2", function() end)
if state % 3 == 0 then net.process:removeAllListeners "SIGUSR2" end
net.setInterval(function() collectgarbage "step" end, 1)
for i = 1, 3 do net.connect(1, "slow" .. i):on("error", function() end) end
net.BlockList():addSubnet("10.0.0.0", 8)
net.run()
if got < wanted then error("BAD: " .. got .. " answers", 0) end
