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
list:addAddresses { "5.6.7.8", net.SocketAddress(), "1.2.3.4" }
list:addCIDRs(net.BlockList.PRIVATE_RANGES)
list:fromJSON(list:toJSON())
list:fromJSON '["Address: IPv6 ::7", "Range: IPv4 1.1.1.1-1.1.1.9"]'
list:removeCIDR "10.0.0.0/8"
local many, size = {}, list.size
for i = 1, 20 do many[i] = "9.9.9." .. i end
local added, why = pcall(list.addAddresses, list, many)
disarm() -- all or none, and the list is sound
assert(list.size == size + (added and 20 or 0) and #list.rules == list.size)
assert(list:check "9.9.9.1" == added and list:check "9.9.9.20" == added)
arm()
if not added then error(why, 0) end
list:removeRange("10.0.0.1", "10.0.0.9")
local _ = { list:check "1.2.3.4", list.rules, net.isIP "::1", net.isIPv4 "1.2.3.4", tostring(list) }
local address = net.SocketAddress { address = "::1", family = "ipv6", port = 80 }
_ = { tostring(address), net.SocketAddress.parse "1.2.3.4:80", address.flowlabel }
net.run()
