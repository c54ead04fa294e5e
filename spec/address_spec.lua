-- What is an IP address: net.isIP, isIPv4, isIPv6, as node v26 answers. And how addresses are shown, from the sockaddr
-- of a handle.

local net = require "cnet"
local support = require "spec.support"

local caught = support.caught

local V4 = {
  "0.0.0.0", "127.0.0.1", "255.255.255.255", "1.2.3.4", "10.0.0.1", "192.168.100.200", "249.250.199.99", "0.0.0.1",
}

local V6 = {
  "::", "::1", "1::", "1:2:3:4:5:6:7:8", "0:0:0:0:0:0:0:0", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "AbCd::eF01",
  "0001:0002::0f", "fe80::1", "2001:db8::8a2e:370:7334",
  -- one gap, which may stand for a single group
  "1:2:3:4:5:6:7::", "::2:3:4:5:6:7:8", "1:2:3::5:6:7:8", "1::8", "0:0:0:0:0:0:0::", "::0:0:0:0:0:0:0",
  -- an IPv4 address in place of the last two groups
  "::1.2.3.4", "::ffff:1.2.3.4", "1::1.2.3.4", "1:2:3:4:5:6:1.2.3.4", "1:2:3:4:5::1.2.3.4",
  "ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255",
  -- a zone
  "fe80::1%eth0", "fe80::1%1", "::1%lo", "::%1", "fe80::1%a:b.c-D", "::1.2.3.4%x",
}

local NONE = {
  "", " ", ".", ":", ":::", "%", "%1", "localhost", "a", "g::", "::g",
  -- IPv4
  "1", "1.2", "1.2.3", "1.2.3.4.5", "1.2.3.", ".1.2.3", "1..2.3", "1.2.3.4.", "256.1.1.1", "1.2.3.256", "1.2.3.999",
  "1.2.3.1000", "01.2.3.4", "1.2.3.04", "00.0.0.0", "1.2.3.00", "0x7f.0.0.1", "127.1", "2130706433", "1.2.3.a",
  "-1.2.3.4", "+1.2.3.4", "1.2.3.4/8", "1.2.3.4:80", "127.0.0.1%lo",
  -- IPv6
  "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", "1:2:3:4:5:6:7:8::", "::1:2:3:4:5:6:7:8", "1::2::3", "1:::2", ":1", "1:",
  "::1:", ":1::", "12345::", "::fffff", "[::1]", "::1/64", "::1]:80",
  -- IPv4 in IPv6
  "1.2.3.4::", "::1.2.3", "::1.2.3.4.5", "::256.1.1.1", "::01.2.3.4", "::1.2.3.4:5", "1:2:3:4:5:6:7:1.2.3.4",
  "1:2:3:4:5:6::1.2.3.4", "::a.2.3.4",
  -- zones
  "::1%", "fe80::1%a b", "fe80::1%a_b", "fe80::1%a%b", "fe80::1%\u{e9}", "::1%\n", "::1%eth0\n", "::1%a/64",
  -- nothing before or after, not even what ends a C string
  " 127.0.0.1", "127.0.0.1 ", "127.0.0.1\n", "\n127.0.0.1", "127.0.0.1\0", "\000127.0.0.1", "127.0.0.1\0.example",
  " ::1", "::1 ", "::1\n", "::1\0", "::1%lo\0", "\0", "\xff", "\u{ff11}.2.3.4",
}

local function is(value) return { net.isIP(value), net.isIPv4(value), net.isIPv6(value) } end

describe("net.isIP, net.isIPv4 and net.isIPv6", function()
  after_each(support.clean)

  for _, text in ipairs(V4) do
    it(("know %q"):format(text), function() assert.same({ 4, true, false }, is(text)) end)
  end

  for _, text in ipairs(V6) do
    it(("know %q"):format(text), function() assert.same({ 6, false, true }, is(text)) end)
  end

  for _, text in ipairs(NONE) do
    it(("refuse %q"):format(text), function() assert.same({ 0, false, false }, is(text)) end)
  end

  it("know every number from 0 to 255 at each place, and no other", function()
    for n = 0, 1100 do
      local expected = n <= 255 and 4 or 0
      assert.equal(expected, net.isIP(("%d.0.0.0"):format(n)))
      assert.equal(expected, net.isIP(("0.%d.0.0"):format(n)))
      assert.equal(expected, net.isIP(("0.0.%d.0"):format(n)))
      assert.equal(expected, net.isIP(("0.0.0.%d"):format(n)))
      assert.equal(expected == 4 and 6 or 0, net.isIP(("::%d.0.0.1"):format(n)))
    end
  end)

  it("know every count of groups, with a gap at every place and without one", function()
    for groups = 0, 10 do
      local list = {}
      for i = 1, groups do list[i] = ("%x"):format(i) end
      assert.equal(groups == 8 and 6 or 0, net.isIP(table.concat(list, ":")))
      for at = 0, groups do
        local text = table.concat(list, ":", 1, at) .. "::" .. table.concat(list, ":", at + 1)
        assert.equal(groups <= 7 and 6 or 0, net.isIP(text), text)
      end
    end
  end)

  it("know hexadecimal digits only, each byte tried", function()
    for byte = 0, 255 do
      local char = string.char(byte)
      assert.equal(char:find "^[%x%%]$" and 6 or 0, net.isIP("::" .. char .. "1")) -- "%1" is a zone
      assert.equal(char:find "^%d$" and char ~= "0" and 4 or 0, net.isIP("1.1.1." .. char .. "1"))
      assert.equal((char:find "^[0-9A-Za-z.:-]$") and 6 or 0, net.isIP("::1%" .. char))
    end
  end)

  it("answer at once for huge text", function()
    for _, text in ipairs { "1", "1.", ":", "1:", "::1%", "%", "\0", "0" } do
      local huge = text:rep(1000000)
      assert.same({ 0, false, false }, is(huge))
    end
    assert.equal(6, net.isIP("::1%" .. ("z"):rep(1000000)))
    assert.equal(0, net.isIP("::1%" .. ("z"):rep(1000000) .. "_"))
  end)

  it("give whole numbers and booleans", function()
    assert.equal("integer", math.type(net.isIP "::1"))
    assert.equal("integer", math.type(net.isIP "x"))
    assert.equal("boolean", type(net.isIPv4 "x"))
    assert.equal(1, select("#", net.isIP "::1"))
  end)

  it("take what is no text and no object as no address", function()
    assert.same({ 0, false, false }, { net.isIP(), net.isIPv4(), net.isIPv6() })
    for _, value in pairs { 1, 127.1, true, false, 0 / 0, print, function() end, coroutine.create(print) } do
      assert.same({ 0, false, false }, is(value))
    end
    assert.same({ 0, false, false }, is(nil))
  end)

  it("take an object by its text", function()
    local function object(text)
      return setmetatable({}, { __tostring = function() return text end })
    end
    assert.same({ 4, true, false }, is(object "127.0.0.1"))
    assert.same({ 6, false, true }, is(object "::1"))
    assert.same({ 0, false, false }, is(object "x"))
    assert.same({ 0, false, false }, is(object "::1\0"))
    assert.same({ 0, false, false }, is {})
    assert.same({ 0, false, false }, is(net.Server()))
    assert.same({ 0, false, false }, is(io.stdout))
  end)

  it("pass on what __tostring raises, and refuse what it gives that is no text", function()
    local raised = {}
    local bad = setmetatable({}, { __tostring = function() error(raised) end })
    for _, fn in ipairs { net.isIP, net.isIPv4, net.isIPv6 } do
      assert.equal(raised, caught(fn, bad))
      assert.is_false(pcall(fn, setmetatable({}, { __tostring = function() return {} end })))
    end
  end)

  it("look at the first argument alone", function()
    assert.equal(4, net.isIP("1.2.3.4", "::1", {}))
    assert.equal(0, net.isIP(nil, "::1"))
  end)
end)

-- server:address() of a server that listened there
local function listened(host)
  local server, address = net.createServer(), nil
  local failure
  server:on("error", function(err) failure = err end)
  server:listen(0, host, function()
    address = server:address()
    server:close()
  end)
  support.run()
  return address, failure
end

describe("an address of a handle", function()
  after_each(support.clean)

  it("is a table of address, family and port, and nothing else", function()
    local address = listened "127.0.0.1"
    assert.equal("integer", math.type(address.port))
    assert.is_true(address.port > 0 and address.port < 65536)
    assert.same({ address = "127.0.0.1", family = "IPv4", port = address.port }, address)
    assert.is_nil(getmetatable(address))
  end)

  it("is the number that was meant, in its shortest form", function()
    for host, shown in pairs {
      ["0.0.0.0"] = "0.0.0.0", ["127.1.2.3"] = "127.1.2.3", ["::1"] = "::1", ["0:0:0:0:0:0:0:1"] = "::1",
      ["0000::0001"] = "::1", ["::ffff:127.0.0.1"] = "::ffff:127.0.0.1", ["::ffff:7f00:1"] = "::ffff:127.0.0.1",
      ["::"] = "::",
    } do
      local address, failure = listened(host)
      if failure then -- no IPv6 here
        assert.truthy(host:find ":")
        assert.truthy(failure.code == "EAFNOSUPPORT" or failure.code == "EADDRNOTAVAIL", failure.code)
      else
        assert.equal(shown, address.address)
        assert.equal(shown:find ":" and "IPv6" or "IPv4", address.family)
      end
    end
  end)

  it("has no zone unless it is link-local", function()
    for _, host in ipairs { "::1%lo", "::1%1", "::1%nowhere" } do
      local address, failure = listened(host)
      if not failure then assert.equal("::1", address.address) end
    end
  end)

  -- { number, name, link-local address } of the interfaces, as Linux tells
  local function link_locals()
    local list, file = {}, io.open "/proc/net/if_inet6"
    for line in file and file:lines() or function() end do
      local digits, number, _, scope, flags, name = line:match "^(%x+) (%x+) (%x+) (%x+) (%x+)%s+(%S+)$"
      local usable = flags and tonumber(flags, 16) & 0x48 == 0 -- no duplicate, and not being tried for one
      if scope == "20" and usable then
        list[#list + 1] = { tonumber(number, 16), name, (digits:gsub("%x%x%x%x", "%0:"):sub(1, -2)) }
      end
    end
    if file then file:close() end
    return list
  end

  it("has the name of its interface if it is link-local, which may be meant by name or number", function()
    for _, found in ipairs(link_locals()) do
      local number, name, ip = table.unpack(found)
      if net.isIP(ip .. "%" .. name) == 6 then
        local by_name = assert(listened(ip .. "%" .. name))
        assert.equal("IPv6", by_name.family)
        assert.equal(6, net.isIP(by_name.address))
        assert.equal("%" .. name, by_name.address:match "%%.*$")
        assert.equal(by_name.address, assert(listened(ip .. "%" .. number)).address)
      end
    end
  end)

  it("that is link-local needs an interface that there is", function()
    for _, zone in ipairs { "", "%nowhere", "%4294967296", "%99999999999999999999", "%1x", "%0" } do
      local address, failure = listened("fe80::1" .. zone)
      assert.is_nil(address)
      assert.truthy(failure, zone)
      assert.truthy(failure.code == "EINVAL" or failure.code == "EAFNOSUPPORT", failure.code)
    end
  end)
end)
