-- net.BlockList and net.SocketAddress. What is expected is what Node 26 answers.

local net = require "cnet"
local finalizers = require "spec.support.finalizers"
local support = require "spec.support"

-- The call raises a net.Error with the code; gives it.
local function raises(code, fn, ...)
  local ok, err = pcall(fn, ...)
  assert.is_false(ok, "nothing raised, expected " .. code)
  assert.equal(code, err.code, tostring(err))
  return err
end

local function checks(list, family, expected)
  for address, blocked in pairs(expected) do
    assert.equal(blocked, list:check(address, family), address)
  end
end

local function address(text, family) return net.SocketAddress { address = text, family = family } end

describe("net.BlockList", function()
  after_each(support.clean)

  it("is empty at first", function()
    local list = net.BlockList()
    assert.same({}, list.rules)
    assert.equal(0, list.size)
    assert.is_false(list:check "1.1.1.1")
    assert.is_false(list:check("::1", "ipv6"))
    assert.truthy(tostring(list):find "^net%.BlockList")
    assert.equal("net.BlockList", tostring(net.BlockList))
  end)

  it("blocks addresses", function()
    local list = net.BlockList()
    assert.equal(0, select("#", list:addAddress "1.1.1.1"))
    list:addAddress("8592:757c:efae:4e45:fb5d:d62a:0d00:8e17", "ipv6")
    checks(list, nil, { ["1.1.1.1"] = true, ["1.1.1.2"] = false, ["1.1.1.0"] = false })
    checks(list, "ipv4", { ["1.1.1.1"] = true })
    checks(list, "ipv6", { ["8592:757c:efae:4e45:fb5d:d62a:0d00:8e17"] = true,
      ["8592:757C:EFAE:4E45:FB5D:D62A:D00:8E17"] = true, ["8592:757c:efae:4e45:fb5d:d62a:0d00:8e18"] = false,
      ["::1.1.1.1"] = false })
  end)

  it("blocks ranges with both ends", function()
    local list = net.BlockList()
    list:addRange("10.0.0.5", "10.0.1.3")
    list:addRange("::5", "::1:3", "ipv6")
    list:addRange("9.9.9.9", "9.9.9.9")
    list:addRange("127.255.255.255", "128.0.0.1")
    checks(list, "ipv4", { ["10.0.0.4"] = false, ["10.0.0.5"] = true, ["10.0.0.255"] = true, ["10.0.1.0"] = true,
      ["10.0.1.3"] = true, ["10.0.1.4"] = false, ["9.9.9.8"] = false, ["9.9.9.9"] = true, ["9.9.9.10"] = false,
      ["127.255.255.254"] = false, ["128.0.0.0"] = true, ["128.0.0.2"] = false })
    checks(list, "ipv6", { ["::4"] = false, ["::5"] = true, ["::ffff"] = true, ["::1:0"] = true, ["::1:3"] = true,
      ["::1:4"] = false })
  end)

  it("blocks subnets, whatever the bits that do not count", function()
    local list = net.BlockList()
    list:addSubnet("10.1.2.0", 23)
    list:addSubnet("192.168.1.77", 28)
    list:addSubnet("7.7.7.7", 32)
    list:addSubnet("2001:db8::", 33, "ipv6")
    list:addSubnet("fe80::1", 128, "ipv6")
    checks(list, "ipv4", { ["10.1.1.255"] = false, ["10.1.2.0"] = true, ["10.1.3.255"] = true, ["10.1.4.0"] = false,
      ["192.168.1.63"] = false, ["192.168.1.64"] = true, ["192.168.1.79"] = true, ["192.168.1.80"] = false,
      ["7.7.7.7"] = true, ["7.7.7.6"] = false })
    checks(list, "ipv6", { ["2001:db8::1"] = true, ["2001:db8:7fff:ffff::"] = true, ["2001:db8:8000::"] = false,
      ["2001:db7::"] = false, ["fe80::1"] = true, ["fe80::"] = false, ["fe80::1%lo"] = true })
  end)

  it("blocks everything of a family with a prefix of 0", function()
    local list = net.BlockList()
    list:addSubnet("1.2.3.4", 0)
    checks(list, "ipv4", { ["0.0.0.0"] = true, ["255.255.255.255"] = true })
    checks(list, "ipv6", { ["::1"] = false, ["::ffff:9.9.9.9"] = true })
    list = net.BlockList()
    list:addSubnet("::", 0, "ipv6")
    assert.is_true(list:check("::1", "ipv6"))
    assert.is_true(list:check "7.7.7.7") -- Node sees IPv4 as IPv4-mapped here
  end)

  it("looks inside IPv4-mapped IPv6 addresses, both ways", function()
    local list = net.BlockList()
    list:addAddress "1.1.1.1"
    list:addRange("10.0.0.1", "10.0.0.9")
    list:addSubnet("192.168.0.0", 16)
    checks(list, "ipv6", { ["::ffff:1.1.1.1"] = true, ["::ffff:1.1.1.2"] = false, ["::ffff:101:101"] = true,
      ["::FFFF:10.0.0.9"] = true, ["::ffff:10.0.0.10"] = false, ["::ffff:192.168.255.255"] = true,
      ["::1.1.1.1"] = false, ["::ffff:0:1.1.1.1"] = false })
    list = net.BlockList()
    list:addAddress("::ffff:2.2.2.2", "ipv6")
    list:addRange("::ffff:3.0.0.0", "::ffff:3.0.0.9", "ipv6")
    list:addSubnet("::ffff:4.0.0.0", 104, "ipv6")
    checks(list, "ipv4", { ["2.2.2.2"] = true, ["2.2.2.3"] = false, ["3.0.0.9"] = true, ["3.0.0.10"] = false,
      ["4.255.255.255"] = true, ["5.0.0.0"] = false })
  end)

  it("puts IPv4 into no range of IPv6 but an IPv4-mapped one", function()
    local list = net.BlockList()
    list:addRange("::", "ffff::", "ipv6")
    assert.is_true(list:check("::ffff:1.1.1.1", "ipv6"))
    assert.is_false(list:check "1.1.1.1")
  end)

  it("takes SocketAddress objects, whose family and not the argument's counts", function()
    local list = net.BlockList()
    list:addAddress(net.SocketAddress { address = "9.9.9.9", port = 8 }, 44)
    list:addRange(address "10.0.0.1", address "10.0.0.9", {})
    list:addSubnet(address("2001:db8::", "ipv6"), 32, "ipv4")
    assert.is_true(list:check "9.9.9.9")
    assert.is_true(list:check(address "10.0.0.5", 7))
    assert.is_true(list:check(address("2001:db8::77", "ipv6")))
    assert.is_false(list:check(net.SocketAddress()))
    assert.same({ "Address: IPv4 9.9.9.9", "Subnet: IPv6 2001:db8::/32", "Range: IPv4 10.0.0.1-10.0.0.9" }, list.rules)
    raises("ERR_OUT_OF_RANGE", list.addSubnet, list, address "1.1.1.1", 33)
  end)

  it("takes ranges of two families, as Node does", function()
    local list = net.BlockList()
    list:addRange("1.1.1.1", address("::ffff:2.2.2.2", "ipv6"))
    list:addRange(address("::", "ipv6"), "1.1.1.1")
    list:addRange(address "1.1.1.1", "::1", "ipv6")
    assert.same({ "Range: IPv4 1.1.1.1-::1", "Range: IPv6 ::-1.1.1.1", "Range: IPv4 1.1.1.1-::ffff:2.2.2.2" },
      list.rules)
    assert.is_true(list:check "2.2.2.2")
    assert.is_true(list:check("::ffff:1.1.1.2", "ipv6"))
    assert.is_false(list:check "1.1.1.0")
    local backwards = address("::ffff:2.2.2.2", "ipv6")
    raises("ERR_INVALID_ARG_VALUE", list.addRange, list, backwards, "1.1.1.1")
  end)

  it("lists its rules as Node words them: addresses, subnets, ranges, of each the newest first", function()
    local list = net.BlockList()
    list:addRange("10.0.0.1", "10.0.0.10")
    list:addAddress "1.1.1.1"
    list:addSubnet("192.168.1.77", 28)
    list:addAddress("0:0::00AB", "IPv6")
    list:addRange("::1", "::ff", "ipv6")
    list:addSubnet("8592:757c:efae:4e45::", 64.0, "ipv6")
    list:addAddress("::FFFF:1.2.3.4", "ipv6")
    list:addSubnet("192.168.1.77", 28)
    list:addRange("10.0.0.1", "10.0.0.10")
    assert.same({
      "Address: IPv6 ::ffff:1.2.3.4",
      "Address: IPv6 ::ab",
      "Address: IPv4 1.1.1.1",
      "Subnet: IPv4 192.168.1.77/28",
      "Subnet: IPv6 8592:757c:efae:4e45::/64",
      "Subnet: IPv4 192.168.1.77/28",
      "Range: IPv4 10.0.0.1-10.0.0.10",
      "Range: IPv6 ::1-::ff",
      "Range: IPv4 10.0.0.1-10.0.0.10",
    }, list.rules)
    assert.equal(9, list.size)
    assert.same(list.rules, list:toJSON())
    list.rules[1] = nil -- a copy
    assert.equal(9, #list.rules)
  end)

  it("has an address once, in its first place and as it was written last", function()
    local list = net.BlockList()
    list:addAddress "1.1.1.1"
    list:addAddress "2.2.2.2"
    list:addAddress(net.SocketAddress { address = "1.1.1.1", port = 80 })
    assert.same({ "Address: IPv4 2.2.2.2", "Address: IPv4 1.1.1.1" }, list.rules)
    list:addAddress("::ffff:1.1.1.1", "ipv6")
    assert.same({ "Address: IPv4 2.2.2.2", "Address: IPv6 ::ffff:1.1.1.1" }, list.rules)
    list:addAddresses { "1.1.1.1", "3.3.3.3", "3.3.3.3" }
    assert.same({ "Address: IPv4 3.3.3.3", "Address: IPv4 2.2.2.2", "Address: IPv4 1.1.1.1" }, list.rules)
    assert.equal(3, list.size)
    list:removeAddress "1.1.1.1"
    assert.is_false(list:check "1.1.1.1")
  end)

  it("knows its family in any case", function()
    local list = net.BlockList()
    list:addAddress("::1", "IPV6")
    list:addAddress("1.1.1.1", "iPv4")
    assert.is_true(list:check("::1", "Ipv6"))
    assert.is_true(list:check("1.1.1.1", "IPv4"))
  end)

  it("refuses addresses that are none", function()
    local list = net.BlockList()
    for _, text in ipairs { "", "x", "::1", "1.1.1", "1.1.1.1.1", "1.1.1.256", "01.1.1.1", "1.1.1.1 ", "1.1.1.1\0",
      "1.1.1.1%lo", "localhost" } do
      local err = raises("ERR_INVALID_ADDRESS", list.addAddress, list, text)
      assert.equal("Invalid socket address", err.message)
      assert.equal("Error", err.name)
      raises("ERR_INVALID_ADDRESS", list.addRange, list, text, "1.1.1.1")
      raises("ERR_INVALID_ADDRESS", list.addRange, list, "1.1.1.1", text)
      raises("ERR_INVALID_ADDRESS", list.addSubnet, list, text, 99)
      raises("ERR_INVALID_ADDRESS", list.removeAddress, list, text)
      assert.is_false(list:check(text))
    end
    for _, text in ipairs { "", "1.1.1.1", "::g", "1::2::3", "12345::", "::1\0", "%", ("1"):rep(50) } do
      raises("ERR_INVALID_ADDRESS", list.addAddress, list, text, "ipv6")
      assert.is_false(list:check(text, "ipv6"))
    end
    assert.equal(0, list.size)
  end)

  it("refuses values of other types", function()
    local list = net.BlockList()
    for _, value in ipairs { 1, true, {}, print, net.BlockList() } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.addAddress, list, value)
      assert.truthy(err.message:find('The "address" argument must be of type string. Received', 1, true))
      assert.equal("TypeError", err.name)
      raises("ERR_INVALID_ARG_TYPE", list.check, list, value)
      raises("ERR_INVALID_ARG_TYPE", list.addAddress, list, "1.1.1.1", value)
      raises("ERR_INVALID_ARG_TYPE", list.check, list, "1.1.1.1", value)
      raises("ERR_INVALID_ARG_TYPE", list.addRange, list, "1.1.1.1", value)
      raises("ERR_INVALID_ARG_TYPE", list.addSubnet, list, value, 8)
      raises("ERR_INVALID_ARG_TYPE", list.addCIDR, list, value)
    end
    raises("ERR_INVALID_ARG_TYPE", list.addAddress, list)
    raises("ERR_INVALID_ARG_TYPE", list.check, list)
    raises("ERR_INVALID_THIS", list.addAddress, "1.1.1.1")
    raises("ERR_INVALID_THIS", list.check, net.SocketAddress(), "1.1.1.1")
    assert.equal(0, list.size)
  end)

  it("refuses families that are none, but check does not", function()
    local list = net.BlockList()
    list:addSubnet("0.0.0.0", 0)
    for _, family in ipairs { "ipv5", "", "ipv", "ipv44", "4", "ipv4 " } do
      local err = raises("ERR_INVALID_ARG_VALUE", list.addAddress, list, "1.1.1.1", family)
      assert.truthy(err.message:find("The property 'options.family' is invalid. Received", 1, true))
      assert.is_false(list:check("1.1.1.1", family))
    end
    assert.is_false(list:check("1.1.1.1", "ipv6"))
    assert.is_false(list:check("::1", "ipv4"))
  end)

  it("refuses ranges that go backwards", function()
    local list = net.BlockList()
    local err = raises("ERR_INVALID_ARG_VALUE", list.addRange, list, "1.1.1.2", "1.1.1.1")
    assert.truthy(err.message:find("The argument 'start' must come before end. Received", 1, true))
    raises("ERR_INVALID_ARG_VALUE", list.addRange, list, "::2", "::1", "ipv6")
    assert.equal(0, list.size)
  end)

  it("refuses prefixes that are none", function()
    local list = net.BlockList()
    local range = 'The value of "prefix" is out of range. It must be '
    for _, n in ipairs { 33, -1, 256, -1000 } do
      local err = raises("ERR_OUT_OF_RANGE", list.addSubnet, list, "1.1.1.1", n)
      assert.equal(range .. ">= 0 && <= 32. Received " .. n, err.message)
      assert.equal("RangeError", err.name)
    end
    for _, n in ipairs { 8.5, 0 / 0, 1 / 0, -1 / 0 } do
      local err = raises("ERR_OUT_OF_RANGE", list.addSubnet, list, "1.1.1.1", n)
      assert.truthy(err.message:find(range .. "an integer. Received ", 1, true))
    end
    local err = raises("ERR_OUT_OF_RANGE", list.addSubnet, list, "::", 129, "ipv6")
    assert.equal(range .. ">= 0 && <= 128. Received 129", err.message)
    raises("ERR_INVALID_ARG_TYPE", list.addSubnet, list, "1.1.1.1", "8")
    raises("ERR_INVALID_ARG_TYPE", list.addSubnet, list, "1.1.1.1")
    list:addSubnet("1.1.1.1", -0.0) -- Node aborts
    assert.same({ "Subnet: IPv4 1.1.1.1/0" }, list.rules)
  end)

  it("has read-only rules and size", function()
    local list = net.BlockList()
    for _, name in ipairs { "rules", "size" } do
      local err = raises("ERR_INVALID_STATE", function() list[name] = 5 end)
      assert.truthy(err.message:find(name, 1, true))
    end
  end)

  it("isBlockList", function()
    assert.is_true(net.BlockList.isBlockList(net.BlockList()))
    for _, value in ipairs { 1, "x", {}, net.BlockList, net.SocketAddress(), net.Socket() } do
      assert.is_false(net.BlockList.isBlockList(value))
    end
    assert.is_false(net.BlockList.isBlockList())
  end)
end)

describe("net.BlockList of later Nodes", function()
  after_each(support.clean)

  it("addCIDR takes a subnet as text and sees the family itself", function()
    local list = net.BlockList()
    for _, text in ipairs { "10.0.0.0/8", "2001:db8::/32", "1.2.3.4/32", "::ffff:5.0.0.0/104", "0.0.0.0/0" } do
      list:addCIDR(text)
    end
    assert.same({ "Subnet: IPv4 0.0.0.0/0", "Subnet: IPv6 ::ffff:5.0.0.0/104", "Subnet: IPv4 1.2.3.4/32",
      "Subnet: IPv6 2001:db8::/32", "Subnet: IPv4 10.0.0.0/8" }, list.rules)
    assert.is_true(list:check("2001:db8:1::", "ipv6"))
    for _, text in ipairs { "", "10.0.0.0", "::1" } do
      local err = raises("ERR_INVALID_ARG_VALUE", list.addCIDR, list, text)
      assert.truthy(err.message:find("The argument 'cidr' must contain a prefix length", 1, true))
    end
    for _, prefix in ipairs { "", "x", "08", "8 ", " 8", "8.0", "0x8", "+8", "-0", "8\0", "-", "9007199254740993",
      "9999999999999999999999" } do
      local err = raises("ERR_INVALID_ARG_VALUE", list.addCIDR, list, "10.0.0.0/" .. prefix)
      assert.truthy(err.message:find("The argument 'cidr' prefix length must be a valid integer", 1, true))
    end
    for _, text in ipairs { "10.0.0.0/33", "10.0.0.0/-1", "::/129", "::/99999999999", "::/100000000000000000000" } do
      raises("ERR_OUT_OF_RANGE", list.addCIDR, list, text)
    end
    for _, text in ipairs { "/8", "x/8", "10.0.0/8", ":/8", "10.0.0.0/8/8", "1.1.1.1\0/8", "10.0.0.0 /8" } do
      raises("ERR_INVALID_ADDRESS", list.addCIDR, list, text)
    end
    assert.equal(5, list.size)
  end)

  it("remove... takes one rule of that text away, the newest, and leaves the others", function()
    local list = net.BlockList()
    list:addRange("1.1.1.1", "1.1.1.1")
    list:addSubnet("1.1.1.1", 32)
    list:addSubnet("2.2.2.2", 32)
    list:addSubnet("1.1.1.1", 32)
    list:addRange("1.1.1.1", "1.1.1.2")
    list:addRange("1.1.1.1", "1.1.1.1")
    list:addAddress "1.1.1.1"
    assert.equal(0, select("#", list:removeAddress "1.1.1.1"))
    assert.equal(0, select("#", list:removeSubnet("1.1.1.1", 32)))
    assert.equal(0, select("#", list:removeRange("1.1.1.1", "1.1.1.1")))
    assert.same({ "Subnet: IPv4 2.2.2.2/32", "Subnet: IPv4 1.1.1.1/32", "Range: IPv4 1.1.1.1-1.1.1.2",
      "Range: IPv4 1.1.1.1-1.1.1.1" }, list.rules)
    list:removeRange("1.1.1.1", "1.1.1.2")
    list:removeRange("1.1.1.1", "1.1.1.1")
    assert.is_true(list:check "1.1.1.1")
    list:removeCIDR "1.1.1.1/32"
    assert.is_false(list:check "1.1.1.1")
    assert.same({ "Subnet: IPv4 2.2.2.2/32" }, list.rules)
  end)

  it("removeAddress knows an IPv4-mapped address, and asks for no port", function()
    local list = net.BlockList()
    list:addAddresses { "1.1.1.1", net.SocketAddress { address = "2.2.2.2", port = 80 }, "3.3.3.3" }
    list:removeAddress("::ffff:1.1.1.1", "ipv6")
    list:removeAddress "2.2.2.2"
    list:removeAddress(net.SocketAddress { address = "3.3.3.3", port = 80 })
    assert.equal(0, list.size)
  end)

  it("remove... does nothing where there is no such rule", function()
    local list = net.BlockList()
    list:addSubnet("10.1.1.1", 8)
    list:addRange("1.1.1.1", "1.1.1.9")
    list:removeSubnet("10.1.1.1", 9)
    list:removeSubnet("10.0.0.0", 8) -- the same network, but not the same text
    list:removeCIDR "10.9.9.9/8"
    list:removeSubnet("::ffff:10.1.1.1", 104, "ipv6")
    list:removeRange("1.1.1.1", "1.1.1.8")
    list:removeRange("1.1.1.9", "1.1.1.1")
    list:removeRange("::ffff:1.1.1.1", "::ffff:1.1.1.9", "ipv6")
    list:removeAddress "1.1.1.1"
    assert.same({ "Subnet: IPv4 10.1.1.1/8", "Range: IPv4 1.1.1.1-1.1.1.9" }, list.rules)
  end)

  it("removeSubnet and removeRange want the port and the flow label of the rule, as in Node", function()
    local list = net.BlockList()
    local with_port = net.SocketAddress { address = "1.1.1.1", port = 80 }
    local labelled = net.SocketAddress { address = "1::", family = "ipv6", flowlabel = 5 }
    list:addSubnet(with_port, 8)
    list:addRange("1.1.1.1", with_port)
    list:addRange(labelled, "2::", "ipv6")
    list:removeSubnet("1.1.1.1", 8)
    list:removeRange("1.1.1.1", "1.1.1.1")
    list:removeRange("1::", "2::", "ipv6")
    assert.equal(3, list.size)
    list:removeSubnet(with_port, 8)
    list:removeRange("1.1.1.1", with_port)
    list:removeRange(labelled, "2::", "ipv6")
    assert.equal(0, list.size)
  end)

  it("addAddresses adds all or, if one is wrong, none", function()
    local list = net.BlockList()
    assert.equal(0, select("#", list:addAddresses {}))
    assert.equal(0, select("#", list:addAddresses { "1.1.1.1", address "2.2.2.2", "3.3.3.3" }))
    list:addAddresses({ "::1", address "4.4.4.4" }, "IPv6")
    assert.same({ "Address: IPv4 4.4.4.4", "Address: IPv6 ::1", "Address: IPv4 3.3.3.3", "Address: IPv4 2.2.2.2",
      "Address: IPv4 1.1.1.1" }, list.rules)
    for _, wrong in ipairs { "x", "::1", "" } do
      raises("ERR_INVALID_ADDRESS", list.addAddresses, list, { "9.9.9.9", wrong })
    end
    for _, wrong in ipairs { 5, true, {}, list } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.addAddresses, list, { "9.9.9.9", wrong })
      assert.truthy(err.message:find('The "addresses[2]" argument must be of type string. Received', 1, true))
    end
    raises("ERR_INVALID_ARG_VALUE", list.addAddresses, list, { "9.9.9.9" }, "ipv5")
    raises("ERR_INVALID_ARG_TYPE", list.addAddresses, list, {}, 5)
    for _, value in ipairs { "9.9.9.9", 5, true, address "9.9.9.9" } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.addAddresses, list, value)
      assert.truthy(err.message:find('The "addresses" argument must be of type table. Received', 1, true))
    end
    raises("ERR_INVALID_ARG_TYPE", list.addAddresses, list)
    list:addAddresses({}, "ipv5") -- nobody looks at it
    list:addAddresses({ address "4.4.4.4" }, "ipv5")
    assert.equal(5, list.size)
  end)

  it("addCIDRs adds those before the first that is wrong, none if one has not the form", function()
    local list = net.BlockList()
    assert.equal(0, select("#", list:addCIDRs {}))
    assert.equal(0, select("#", list:addCIDRs { "10.0.0.0/8", "fe80::/10" }))
    assert.same({ "Subnet: IPv6 fe80::/10", "Subnet: IPv4 10.0.0.0/8" }, list.rules)
    for _, wrong in ipairs { "x", "1.1.1.1", "1.1.1.1/", "1.1.1.1/08" } do
      raises("ERR_INVALID_ARG_VALUE", list.addCIDRs, list, { "9.9.9.9/8", wrong })
    end
    for _, wrong in ipairs { 5, true, {} } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.addCIDRs, list, { "9.9.9.9/8", wrong })
      assert.truthy(err.message:find('The "cidrs[2]" argument must be of type string. Received', 1, true))
    end
    for _, value in ipairs { "9.9.9.9/8", 5 } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.addCIDRs, list, value)
      assert.truthy(err.message:find('The "cidrs" argument must be of type table. Received', 1, true))
    end
    assert.equal(2, list.size)
    raises("ERR_INVALID_ADDRESS", list.addCIDRs, list, { "1.0.0.0/8", "x/8", "2.0.0.0/8" })
    raises("ERR_OUT_OF_RANGE", list.addCIDRs, list, { "3.0.0.0/8", "1.1.1.1/33", "4.0.0.0/8" })
    assert.same({ "Subnet: IPv4 3.0.0.0/8", "Subnet: IPv4 1.0.0.0/8", "Subnet: IPv6 fe80::/10",
      "Subnet: IPv4 10.0.0.0/8" }, list.rules)
  end)

  it("takes arrays that have metamethods, and what these do", function()
    local list = net.BlockList()
    local texts = setmetatable({}, {
      __len = function() return 3 end,
      __index = function(_, i)
        list:clear()
        list:addAddress("9.9.9." .. i)
        return "1.1.1." .. i
      end,
    })
    list:addAddresses(texts)
    assert.same({ "Address: IPv4 1.1.1.3", "Address: IPv4 1.1.1.2", "Address: IPv4 1.1.1.1", "Address: IPv4 9.9.9.3" },
      list.rules)
    local endless = setmetatable({}, { __len = function() return math.maxinteger end })
    assert.is_false(pcall(list.addAddresses, list, endless))
    assert.is_false(pcall(list.addCIDRs, list, endless))
    assert.is_false(pcall(list.fromJSON, list, endless))
    local thrower = setmetatable({}, { __len = function() return 1 end, __index = function() error("mine", 0) end })
    for _, method in ipairs { "addAddresses", "addCIDRs", "fromJSON" } do
      local ok, err = pcall(list[method], list, thrower)
      assert.same({ false, "mine" }, { ok, err })
    end
    assert.equal(4, list.size)
  end)

  it("has the private ranges, which nobody can change", function()
    local ranges, list = net.BlockList.PRIVATE_RANGES, net.BlockList()
    local expected = { "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "127.0.0.0/8", "::1/128", "169.254.0.0/16",
      "fe80::/10", "fc00::/7" }
    assert.equal(8, #ranges)
    local found = {}
    for i, text in ipairs(ranges) do found[i] = text end
    assert.same(expected, found)
    found = {}
    for i, text in pairs(ranges) do found[i] = text end
    assert.same(expected, found)
    assert.equal(table.concat(expected, " "), table.concat(ranges, " "))
    assert.same(expected, { table.unpack(ranges) })
    assert.is_nil((pairs(ranges))(ranges, math.maxinteger))
    for _, key in ipairs { 1, 9, "x" } do
      raises("ERR_INVALID_STATE", function() ranges[key] = "0.0.0.0/0" end)
    end
    assert.is_false(pcall(setmetatable, ranges, nil))
    assert.is_false(getmetatable(ranges))
    list:addCIDRs(ranges)
    assert.equal(8, list.size)
    checks(list, "ipv4", { ["10.1.2.3"] = true, ["172.31.0.1"] = true, ["172.32.0.1"] = false, ["127.0.0.1"] = true })
    checks(list, "ipv6", { ["::1"] = true, ["fdff::"] = true, ["febf::"] = true, ["fec0::"] = false,
      ["2001::"] = false })
  end)

  it("fromJSON adds what toJSON gave, as a table and as JSON text", function()
    local list, copy = net.BlockList(), net.BlockList()
    list:addAddresses { "1.1.1.1", "2.2.2.2" }
    list:addSubnet("2001:db8::", 32, "ipv6")
    list:addRange("::ffff:1.2.3.4", "::ffff:1.2.3.9", "ipv6")
    assert.equal(0, select("#", copy:fromJSON(list:toJSON())))
    assert.same({ "Address: IPv4 1.1.1.1", "Address: IPv4 2.2.2.2", "Subnet: IPv6 2001:db8::/32",
      "Range: IPv6 ::ffff:1.2.3.4-::ffff:1.2.3.9" }, copy.rules)
    copy:fromJSON ' [ "Address: IPv4 3.3.3.3" ,\n"\\u0041ddress: IPv6 ::1", "\\"]" ] '
    assert.equal("Address: IPv6 ::1", copy.rules[1])
    assert.equal("Address: IPv4 3.3.3.3", copy.rules[2])
    copy:fromJSON {}
    copy:fromJSON "[]"
    assert.equal(6, copy.size)
  end)

  it("fromJSON finds a rule anywhere in a text, and passes over text that has none", function()
    local rules = {
      ["Address: IPv4 1.2.3.4"] = "Address: IPv4 1.2.3.4",
      ["(Address: IPv4 1.2.3.4567)"] = "Address: IPv4 1.2.3.456",
      ["Subnet: IPv4 Subnet: IPv4 1.1.1.1/081"] = "Subnet: IPv4 1.1.1.1/8",
      ["Range: IPv4 1.1.1.1-1.1.1.9-1.1.1.12"] = "Range: IPv4 1.1.1.1-1.1.1.9",
      ["Range: IPv4 1.1.1.1-1.1.1.9 Address: IPv4 1.1.1.3"] = "Address: IPv4 1.1.1.3",
      ["IPv6 subnet: ipv6 ABCD::/0160"] = "Subnet: IPv6 abcd::/16",
      ["Address: IPv6 ::1/64"] = "Address: IPv6 ::1",
      ["IPv4 Address: IPv6 ::9"] = "Address: IPv6 ::9",
      ["\0Address: IPv4 1.1.1.1\0"] = "Address: IPv4 1.1.1.1",
    }
    for text, rule in pairs(rules) do
      local list = net.BlockList()
      if rule:find "456" then
        raises("ERR_INVALID_ADDRESS", list.fromJSON, list, { text })
      else
        list:fromJSON { text }
        assert.same({ rule }, list.rules, text)
      end
    end
    local list = net.BlockList()
    list:fromJSON { "", "x", "address: ipv4 1.1.1.1", "address: ipv6 ::1", "Address: IPv4  1.1.1.1",
      "Address: IPv4 1.1.1", "Subnet: IPv4 1.1.1.1", "Subnet: IPv4 1.1.1.1/", "Subnet: IPv6 ::1/x",
      "Range: IPv6 ::1 - ::5", "Range: IPv4 1.1.1.1", "Address: IPv6 zz",
      "Subnet: IPv6 " .. ("1"):rep(46) .. "/8", "Address: IPv4 1.1.1.", "Address: IPv4 ", "IPv4", "IPv6" }
    assert.same({}, list.rules)
  end)

  it("fromJSON refuses what is no list of texts, and a wrong rule once those before it are there", function()
    local list = net.BlockList()
    for _, value in ipairs { 5, true, { 5 }, { "Address: IPv4 1.1.1.1", {} }, net.BlockList(), "{}", "[1]", "5", "null",
      '"Address: IPv4 1.1.1.1"', '[["Address: IPv4 1.1.1.1"]]', "[null]", '["Address: IPv4 1.1.1.1", null]',
      '{"1":"x"}' } do
      local err = raises("ERR_INVALID_ARG_TYPE", list.fromJSON, list, value)
      assert.truthy(err.message:find('The "data" argument must be of type string or string[]. Received', 1, true))
    end
    raises("ERR_INVALID_ARG_TYPE", list.fromJSON, list)
    for _, text in ipairs { "", "x", "[", '["', "[,]", '["x",]', "['x']" } do
      local ok, err = pcall(list.fromJSON, list, text)
      assert.is_false(ok)
      assert.equal("SyntaxError", err.name)
      assert.is_nil(err.code)
      assert.truthy(err.message:find("^The data is not valid JSON: "), err.message)
    end
    assert.equal(0, list.size)
    raises("ERR_OUT_OF_RANGE", list.fromJSON, list, { "Address: IPv4 1.1.1.1", "Subnet: IPv4 1.1.1.1/55",
      "Address: IPv4 2.2.2.2" })
    raises("ERR_INVALID_ARG_VALUE", list.fromJSON, list, { "Range: IPv4 1.1.1.2-1.1.1.1" })
    assert.same({ "Address: IPv4 1.1.1.1" }, list.rules)
  end)

  it("clear empties the list, which can be filled again", function()
    local list = net.BlockList()
    for i = 0, 255 do list:addAddress("1.2.3." .. i) end
    assert.equal(256, list.size)
    assert.equal("Address: IPv4 1.2.3.255", list.rules[1])
    assert.equal(0, select("#", list:clear()))
    assert.equal(0, list.size)
    assert.is_false(list:check "1.2.3.4")
    list:clear()
    list:addAddress "1.2.3.4"
    assert.is_true(list:check "1.2.3.4")
    assert.equal(1, list.size)
  end)

  it("survives finalizers that change the list while it grows or is listed", function()
    finalizers.each [[
      local list = net.BlockList()
      local function fill()
        list:clear()
        for i = 1, 8 do list:addRange("8.8.8." .. i, "8.8.8." .. i) end -- the next one makes a larger block
      end
      local function grow() for i = 1, 30 do list:addSubnet("9.9.9." .. i, 32) end end
      local function add_all() list:addAddresses { "1.1.1.1", "2.2.2.2", "3.3.3.3" } end
      fill()
      in_finalizer(grow, function() list:addRange("1.1.1.1", "1.1.1.9") end)
      assert(list.size == 39 and #list.rules == 39 and list:check "9.9.9.30" and list:check "1.1.1.5")
      fill()
      in_finalizer(grow, add_all)
      assert(list.size == 41 and #list.rules == 41 and list:check "3.3.3.3" and list:check "9.9.9.30")
      fill()
      in_finalizer(function() list:clear() end, add_all)
      assert(list.size == #list.rules and list:check "1.1.1.1" == list:check "3.3.3.3")
      fill()
      in_finalizer(grow, function() assert(#list.rules == 8 or #list.rules == 38) end)
      fill()
      in_finalizer(function() list:clear() end, function()
        for _, text in ipairs(list.rules) do assert(text:find "^Range: IPv4 8") end
      end)
      assert(list.size == 0)
    ]]
  end)
end)

describe("addAddresses", function()
  it("looks at what is there before it makes room for what a __len says", function()
    local list = net.BlockList()
    local err = support.caught(list.addAddresses, list, setmetatable({}, { __len = function() return 2147483647 end }))
    assert.equal("ERR_INVALID_ARG_TYPE", err.code)
    assert.equal(0, list.size)
  end)
end)

describe("a long net.BlockList", function()
  after_each(support.clean)

  -- A list kept the plain way: three arrays, the newest last.
  local function plain_list()
    local rules = { Address = {}, Subnet = {}, Range = {} }
    local plain = {}
    local function find(kind, rule)
      for i = #rules[kind], 1, -1 do
        local other = rules[kind][i]
        if other.first == rule.first and other.last == rule.last and (kind == "Address" or other.text == rule.text) then
          return i
        end
      end
    end
    function plain.add(kind, rule)
      local i = kind == "Address" and find(kind, rule)
      rules[kind][i or #rules[kind] + 1] = rule
    end
    function plain.remove(kind, rule)
      local i = find(kind, rule)
      if i then table.remove(rules[kind], i) end
    end
    function plain.rules()
      local texts = {}
      for _, kind in ipairs { "Address", "Subnet", "Range" } do
        for i = #rules[kind], 1, -1 do texts[#texts + 1] = kind .. ": " .. rules[kind][i].text end
      end
      return texts
    end
    function plain.check(n)
      for _, list in pairs(rules) do
        for _, rule in ipairs(list) do
          if n >= rule.first and n <= rule.last then return true end
        end
      end
      return false
    end
    return plain
  end

  it("does what a plain one does, whatever comes and goes", function()
    local seed = 1
    local function random(n)
      seed = (seed * 1103515245 + 12345) & 0x7fffffff
      return (seed >> 16) % n
    end
    local list, plain = net.BlockList(), plain_list()
    local function change()
      local mapped = random(3) == 0
      local family, shown = mapped and "ipv6" or "ipv4", mapped and "IPv6 " or "IPv4 "
      local function text(n) return (mapped and "::ffff:1.1.1." or "1.1.1.") .. n end
      local n, verb = random(64), random(5) < 3 and "add" or "remove"
      local kind = ({ "Address", "Subnet", "Range" })[random(3) + 1]
      if kind == "Address" then
        plain[verb](kind, { first = n, last = n, text = shown .. text(n) })
        list[verb .. kind](list, text(n), family)
      elseif kind == "Subnet" then
        local bits = random(4)
        local first, prefix = n >> bits << bits, (mapped and 128 or 32) - bits
        plain[verb](kind, { first = first, last = first + (1 << bits) - 1, text = shown .. text(n) .. "/" .. prefix })
        list[verb .. kind](list, text(n), prefix, family)
      else
        local last = n + random(3)
        plain[verb](kind, { first = n, last = last, text = shown .. text(n) .. "-" .. text(last) })
        list[verb .. kind](list, text(n), text(last), family)
      end
    end
    for round = 1, 200 do
      for _ = 1, 20 do change() end
      assert.same(plain.rules(), list.rules)
      assert.equal(#list.rules, list.size)
      for n = 0, 80 do
        local blocked = plain.check(n)
        if list:check("1.1.1." .. n) ~= blocked or list:check("::ffff:1.1.1." .. n, "ipv6") ~= blocked then
          error(("round %d: 1.1.1.%d"):format(round, n))
        end
      end
      if round % 50 == 0 then
        list:clear()
        plain = plain_list()
      end
    end
  end)

  local function texts(n, pattern)
    local all = {}
    for i = 0, n - 1 do all[i + 1] = pattern:format(i >> 16, i >> 8 & 255, i & 255) end
    return all
  end

  it("holds 100,000 rules of each kind, and lets them go in any order", function()
    local list, n = net.BlockList(), 100000
    local all = texts(n, "10.%d.%d.%d")
    list:addAddresses(all)
    for i = 1, n do list:addSubnet(all[i], 31) end
    for i = 1, n do list:addRange(all[i], all[i]) end
    assert.equal(3 * n, list.size)
    assert.equal(3 * n, #list.rules)
    for i = 1, n do
      list:removeSubnet(all[i * 7 % n + 1], 31)
      list:removeRange(all[i * 11 % n + 1], all[i * 11 % n + 1])
    end
    assert.equal(n, list.size)
    for i = n, 2, -1 do list:removeAddress(all[i]) end
    assert.same({ "Address: IPv4 10.0.0.0" }, list.rules)
  end)

  it("is as fast as a short one #timing", function()
    local function cost(n)
      local list = net.BlockList()
      local all = texts(n, "10.%d.%d.%d")
      list:addAddresses(all)
      for i = 1, n do list:addSubnet(("11.%d.%d.%d"):format(i >> 16, i >> 8 & 255, i & 255), 32) end
      local best = math.huge
      for _ = 1, 5 do
        local start = os.clock()
        for i = 1, 20000 do
          local text = all[i % n + 1]
          assert(list:check(text) and not list:check "12.0.0.0")
          list:removeAddress(text)
          list:addAddress(text)
        end
        best = math.min(best, os.clock() - start)
      end
      return best
    end
    local short, long = cost(500), cost(50000)
    assert.is_true(long < 20 * short, ("%.1f times the cost of one of a hundredth"):format(long / short))
  end)
end)

describe("net.SocketAddress", function()
  local function fields(a) return { a.address, a.family, a.port, a.flowlabel } end

  it("has Node's defaults", function()
    assert.same({ "127.0.0.1", "ipv4", 0, 0 }, fields(net.SocketAddress()))
    assert.same({ "127.0.0.1", "ipv4", 0, 0 }, fields(net.SocketAddress {}))
    assert.same({ "127.0.0.1", "ipv4", 0, 0 }, fields(net.SocketAddress { family = "ipv4" }))
    assert.same({ "::", "ipv6", 0, 0 }, fields(net.SocketAddress { family = "ipv6" }))
    assert.same({ "::", "ipv6", 0, 0 }, fields(net.SocketAddress { family = "IPv6" }))
    raises("ERR_INVALID_ADDRESS", net.SocketAddress, { family = "IPv4" }) -- its default is "::", in Node too
  end)

  it("has what it was given, the address in its short form", function()
    local function made(options) return fields(net.SocketAddress(options)) end
    assert.same({ "1.2.3.4", "ipv4", 80, 0 }, made { address = "1.2.3.4", port = 80 })
    assert.same({ "1.2.3.4", "ipv4", 80, 0 }, made { address = "1.2.3.4", port = "80", family = "IPV4" })
    assert.same({ "2001:db8::1", "ipv6", 443, 7 },
      made { address = "2001:0DB8:0:0:0:0:0:0001", family = "ipv6", port = 443.0, flowlabel = 7.0 })
    assert.same({ "::ffff:1.2.3.4", "ipv6", 65535, 1048575 },
      made { address = "::FFFF:102:304", family = "ipv6", port = 65535, flowlabel = 0xfffff })
    assert.same({ "fe80::1", "ipv6", 0, 0 }, made { address = "fe80::1%lo", family = "ipv6" })
    assert.same({ "127.0.0.1", "ipv4", 0, 0 }, made { flowlabel = 9 })
    assert.equal("integer", math.type(net.SocketAddress { port = 80.0 }.port))
    assert.equal("integer", math.type(net.SocketAddress { family = "ipv6", flowlabel = 5.0 }.flowlabel))
  end)

  it("can be made from another, or from any table", function()
    local one = net.SocketAddress { address = "::1", family = "ipv6", port = 5, flowlabel = 6 }
    assert.same(fields(one), fields(net.SocketAddress(one)))
    local inherited = setmetatable({}, { __index = { address = "9.9.9.9" } })
    assert.equal("9.9.9.9", net.SocketAddress(inherited).address)
    local thrower = setmetatable({}, { __index = function() error("mine", 0) end })
    local ok, err = pcall(net.SocketAddress, thrower)
    assert.is_false(ok)
    assert.equal("mine", err)
  end)

  it("refuses what Node refuses", function()
    for _, options in ipairs { "x", 5, true, print, net.BlockList() } do
      raises("ERR_INVALID_ARG_TYPE", net.SocketAddress, options)
    end
    for _, family in ipairs { "ipv5", "", 4, false, {} } do
      local err = raises("ERR_INVALID_ARG_VALUE", net.SocketAddress, { family = family })
      assert.truthy(err.message:find("The property 'options.family' is invalid. Received", 1, true))
    end
    local err = raises("ERR_INVALID_ARG_TYPE", net.SocketAddress, { address = 1 })
    assert.equal('The "options.address" property must be of type string. Received type number (1)', err.message)
    for _, text in ipairs { "", "x", "::1", "1.2.3.4:80", "1.2.3.4\0" } do
      raises("ERR_INVALID_ADDRESS", net.SocketAddress, { address = text })
    end
    for _, port in ipairs { -1, 65536, 1.5, "x", "", true, {} } do
      err = raises("ERR_SOCKET_BAD_PORT", net.SocketAddress, { port = port })
      assert.truthy(err.message:find("options.port should be >= 0 and < 65536. Received", 1, true))
    end
    for _, label in ipairs { -1, 2 ^ 32, 1.5, 0 / 0, 1 / 0 } do
      raises("ERR_OUT_OF_RANGE", net.SocketAddress, { flowlabel = label })
    end
    raises("ERR_OUT_OF_RANGE", net.SocketAddress, { flowlabel = 2 ^ 20, family = "ipv6" }) -- Node aborts
    err = raises("ERR_INVALID_ARG_TYPE", net.SocketAddress, { flowlabel = "1" })
    assert.equal('The "options.flowlabel" property must be of type number. Received type string (\'1\')', err.message)
  end)

  it("has read-only fields", function()
    local one = net.SocketAddress()
    for _, name in ipairs { "address", "port", "family", "flowlabel" } do
      raises("ERR_INVALID_STATE", function() one[name] = 1 end)
    end
  end)

  it("can be shown", function()
    assert.equal("net.SocketAddress (1.2.3.4:80)", tostring(net.SocketAddress { address = "1.2.3.4", port = 80 }))
    local one = net.SocketAddress { family = "ipv6", address = "::1", port = 443, flowlabel = 2 }
    assert.equal("net.SocketAddress ([::1]:443)", tostring(one))
    assert.same({ address = "::1", port = 443, family = "ipv6", flowlabel = 2 }, one:toJSON())
  end)

  it("isSocketAddress", function()
    assert.is_true(net.SocketAddress.isSocketAddress(net.SocketAddress()))
    for _, value in ipairs { 1, "x", {}, net.SocketAddress, net.BlockList(), net.Socket() } do
      assert.is_false(net.SocketAddress.isSocketAddress(value))
    end
    assert.is_false(net.SocketAddress.isSocketAddress())
  end)

  -- The cases of Node's own test among them.
  it("parse takes an address and a port, as URLs have them", function()
    local good = {
      ["1.2.3.4"] = { "1.2.3.4", "ipv4", 0, 0 },
      ["1.2.3.4:80"] = { "1.2.3.4", "ipv4", 80, 0 }, -- Node, by way of an http URL, gives port 0
      ["1.2.3.4:"] = { "1.2.3.4", "ipv4", 0, 0 },
      ["1.2.3.4:00443"] = { "1.2.3.4", "ipv4", 443, 0 },
      ["1.2.3.4.:65535"] = { "1.2.3.4", "ipv4", 65535, 0 },
      ["192.168.257:1"] = { "192.168.1.1", "ipv4", 1, 0 },
      ["256"] = { "0.0.1.0", "ipv4", 0, 0 },
      ["999999999:12"] = { "59.154.201.255", "ipv4", 12, 0 },
      ["0xffffffff"] = { "255.255.255.255", "ipv4", 0, 0 },
      ["0x.0x.0"] = { "0.0.0.0", "ipv4", 0, 0 },
      ["010.1"] = { "8.0.0.1", "ipv4", 0, 0 },
      ["[1:0::]"] = { "1::", "ipv6", 0, 0 },
      ["[1::8]:123"] = { "1::8", "ipv6", 123, 0 },
      ["[::1]:80"] = { "::1", "ipv6", 80, 0 },
      ["[::ffff:1.2.3.4]:"] = { "::ffff:1.2.3.4", "ipv6", 0, 0 },
    }
    for text, expected in pairs(good) do
      local one = net.SocketAddress.parse(text)
      assert.is_true(net.SocketAddress.isSocketAddress(one), text)
      assert.same(expected, fields(one), text)
    end
  end)

  it("parse gives nil for what is none, and refuses what is no string", function()
    for _, text in ipairs { "", ":", ":80", "not an ip", "abc.123", "259.1.1.1", "12:12:12", "1.2.3.4:65536",
      "1.2.3.4:x", "1.2.3.4:-1", "1.2.3.4 ", " 1.2.3.4", "1.2.3.4:80 ", "1.2.3.4:80/", "u@1.2.3.4", "1.2.3.4.5",
      "1..2", ".", "1.2.3.256", "4294967296", "08.1", "::1", "::1:80", "[::1", "[::1]80", "[::1]x:80", "[]", "[",
      "[]:80", "[1.2.3.4]", "[::1%lo]:80", "[::g]", "1.2.3.4\0:80", "[::1\0]", "1.2.3.4:8\0",
      "[" .. ("0"):rep(100) .. "]", ("1"):rep(100), "1.2.3.4:" .. ("9"):rep(100) } do
      assert.is_nil(net.SocketAddress.parse(text), text)
    end
    for _, value in ipairs { 1, true, {}, net.SocketAddress() } do
      raises("ERR_INVALID_ARG_TYPE", net.SocketAddress.parse, value)
    end
    raises("ERR_INVALID_ARG_TYPE", net.SocketAddress.parse)
  end)
end)
