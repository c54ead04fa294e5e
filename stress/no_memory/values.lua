-- Timers, ticks, immediates, addresses, block lists, encodings.
local net = require "cnet"
arm()

local timer = net.setInterval(function() end, 1)
net.setTimeout(function(...) net.clearInterval(timer) return ... end, 3, "a", {})
net.setImmediate(function() net.nextTick(function() end, 1, 2) end)
local list = net.BlockList()
list:addAddress "1.2.3.4"
list:addRange("10.0.0.1", "10.0.0.9")
list:addSubnet("::1", 64, "ipv6")
local _ = { list:check "1.2.3.4", list.rules, net.isIP "::1", net.isIPv4 "1.2.3.4", tostring(list) }
local address = net.SocketAddress { address = "::1", family = "ipv6", port = 80 }
_ = { tostring(address), net.SocketAddress.parse "1.2.3.4:80", address.flowlabel }
net.run()
