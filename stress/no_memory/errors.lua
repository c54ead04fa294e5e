-- What fails: names, ports, paths, arguments; errors of listeners; the events that tell.
local net = require "cnet"
arm()

local HOST <const> = "127.0.0.1"
local watchdog = net.setTimeout(function() disarm() error "HANG" end, 5000):unref()
local function note(err) return tostring(err) .. tostring(err.code) .. err.message end
local server = net.createServer():listen(0, HOST, function() end)
server:on("error", note)
net.setImmediate(function()
  local address = server:address()
  local second = net.createServer()
  second:on("error", function(err)
    note(err)
    server:close()
  end)
  if address then second:listen(address.port, HOST) else server:close() end
end)
net.connect("/nonexistent/socket"):on("error", note)
net.connect(1, HOST):on("error", note)
net.connect({ port = 1, host = "localhost" }):on("error", note)
net.connect({ port = 1, host = "x.invalid", lookup = function(_, _, done) done(net.Error("no", { code = "ENO" })) end })
  :on("error", note)
pcall(net.connect, { port = -1 })
pcall(net.createServer, 1)
pcall(function() return net.Socket():write(nil) end)
local controller = net.AbortController()
net.createServer():on("error", note):listen({ port = 0, host = HOST, signal = controller.signal })
controller:abort()
local emitter = net.EventEmitter()
emitter:once("x", function(...) return ... end)
emitter:prependListener("x", print)
emitter:off("x", print)
emitter:on("newListener", function() end)
emitter:emit("x", 1, 2, 3)
local _ = { emitter:eventNames(), emitter:listeners "x", emitter:listenerCount "x" }
net.run()
net.clearTimeout(watchdog)
