-- net.isIP and its like, and net.SocketAddress, on any text: they must agree with each other, and an address must be
-- the same after it was written.

local function check(text)
  local family = net.isIP(text)
  assert(net.isIPv4(text) == (family == 4) and net.isIPv6(text) == (family == 6))
  local word = family == 6 and "ipv6" or "ipv4"
  local made, address = pcall(net.SocketAddress, { address = text, family = word })
  -- of a zone SocketAddress knows nothing
  if family > 0 and not text:find "%%" then assert(made, address) end
  if made then
    assert(net.isIP(address.address) == (word == "ipv6" and 6 or 4), address.address)
    local again = net.SocketAddress { address = address.address, family = word }
    assert(again.address == address.address)
  end
  local parsed = net.SocketAddress.parse(text)
  if parsed then
    assert(net.isIP(parsed.address) > 0 and parsed.port >= 0 and parsed.port <= 65535)
    local whole = (parsed.family == "ipv6" and "[%s]:%d" or "%s:%d"):format(parsed.address, parsed.port)
    local again = net.SocketAddress.parse(whole)
    assert(again.address == parsed.address and again.port == parsed.port and again.family == parsed.family)
    assert(tostring(parsed):find(whole, 1, true))
  end
end

return check
