-- Leaves everything open, in every state: listening, connecting, connected, with much queued, ending, closing, paused.
local net = require "cnet"

local function connect(address)
  if type(address) == "string" then return net.connect(address) end
  return net.connect(address.port, "127.0.0.1")
end
local rounds = state % 4 -- how far it gets: not at all, a turn, until much is queued, stopped in the middle of it
local path = ("/tmp/cnet-teardown-%d-%d"):format(net.process.pid, state)

local function serve(...)
  local server
  server = net.createServer({ allowHalfOpen = true }, function(socket)
    socket:on("error", function() end)
    socket:write(("y"):rep(300000), function() end)
    if state % 3 == 0 then socket:pipe(socket) elseif state % 3 == 1 then socket:pause() end
    socket:on("data", function()
      if rounds == 3 then
        socket:write(("z"):rep(100000))
        net.stop()
      end
    end)
    socket:setTimeout(3, function() socket:write "t" end)
  end)
  server:listen(...)
  server:on("listening", function()
    local address = server:address()
    for i = 1, 4 do
      local client = connect(address)
      client:on("error", function() end)
      client:write(("x"):rep(1000000), function() end)
      if i == 1 then client:end_() elseif i == 2 then client:destroySoon() end
      net.setImmediate(function() client:resume() end)
    end
  end)
  return server
end

local servers = { serve(0), serve(path), serve("\0" .. path), serve(0, "127.0.0.1") }
servers[5] = net.createServer():listen(servers[1])
servers[6] = net.createServer():listen(0):close()
servers[7] = net.createServer():on("error", function() end):listen(0, "slow.name")
for i = 1, 6 do net.connect(1, (i % 2 == 0 and "slow" or "fast") .. i):on("error", function() end) end
net.connect(1, "127.0.0.1"):on("error", function() end)
net.connect("/none"):on("error", function() end):destroy()
net.setTimeout(function() end, 1e6)
net.setInterval(function() end, 1)
net.setImmediate(function() net.setImmediate(function() end) end)
net.nextTick(function() end)
if state % 8 == 0 then net.process:on("SIGUSR2", function() end) end
coroutine.wrap(function()
  net.createServer():listen(0)
  coroutine.yield()
end)()
if rounds == 0 then net.run "nowait" end
if rounds == 1 then net.run "once" end
if rounds == 2 then
  net.setTimeout(net.stop, 3)
  net.run()
end
if rounds == 3 then
  net.setTimeout(net.stop, 20)
  net.run()
end
if state % 5 == 0 then
  package.loaded.cnet = nil
  require "cnet".createServer():listen(0)
end
