-- A child that answers, with messages and sockets on their way to it when the state ends.
local net = require "cnet"
local child_process = require "cnet.child_process"
local script = "/tmp/cnet-teardown-" .. net.process.pid .. ".sh"
local file = assert(io.open(script, "w"))
file:write [[unset LD_PRELOAD; printf '"ready"\n' >&3; cat <&3 >/dev/null]]
file:close()
local server = net.createServer():listen(0)
local child = child_process.fork(script, {}, { execPath = "sh", silent = state % 2 == 0 })
child:on("error", function() end)
child:on("message", function()
  for _ = 1, 20 do
    child:send(("x"):rep(20000), function() end)
    child:send("server", server)
  end
  if state % 3 == 0 then child:disconnect() end
  if state % 3 == 1 then child:kill() end
  net.stop()
end)
if state % 4 ~= 0 then net.run() end
if state % 4 == 1 then net.run "nowait" end
