-- Rules and questions, one in a line: any text must be an error or a rule, what a rule names is blocked until the rule
-- is removed, and the texts of a list make the same list.

local function number(text) return math.tointeger(tonumber(text)) or text end

local KINDS <const> = {
  a = function(list, first, _, family)
    list:addAddress(first, family)
    assert(list:check(first, family))
  end,
  r = function(list, first, last, family)
    list:addRange(first, last, family)
    assert(list:check(first, family) and list:check(last, family))
  end,
  s = function(list, first, prefix, family)
    list:addSubnet(first, number(prefix), family)
    assert(list:check(first, family))
  end,
  c = function(list, cidr)
    list:addCIDR(cidr)
    local network = cidr:match "^(.-)/"
    assert(list:check(network, network:find ":" and "ipv6" or "ipv4"))
    local before = list.size
    list:removeCIDR(cidr)
    assert(list.size < before)
    list:addCIDR(cidr)
  end,
  m = function(list, first, second, family)
    list:addAddresses({ first, second }, family)
    assert(list:check(first, family) and list:check(second, family))
  end,
  n = function(list, first, second) list:addCIDRs { first, second } end,
  j = function(list, first, second) list:fromJSON { first .. " " .. second } end,
  J = function(list, first, second) list:fromJSON(first .. " " .. second) end,
  R = function(list, first, last, family) list:removeRange(first, last, family) end,
  S = function(list, first, prefix, family) list:removeSubnet(first, number(prefix), family) end,
  A = function(list, first, _, family) list:removeAddress(first, family) end,
  q = function(list, first, _, family) assert(type(list:check(first, family)) == "boolean") end,
}

local function is_ours(err)
  return type(err) == "table" and (type(err.code) == "string" or err.name == "SyntaxError")
end

-- Twice there and back: each time the newest becomes the oldest.
local function copy_of(list)
  local back, copy = net.BlockList(), net.BlockList()
  back:fromJSON(list:toJSON())
  copy:fromJSON(back:toJSON())
  return copy
end

return function(text)
  local list = net.BlockList()
  for line in text:gmatch "[^\n]+" do
    local kind, six, first, second = line:match "^(%a)(%d)([^ ]*) ?(.*)$"
    local act = KINDS[kind]
    if act then
      local ok, err = pcall(act, list, first, second, six == "6" and "ipv6" or "ipv4")
      if not ok and not is_ours(err) then error(err, 0) end
    end
  end
  assert(#list.rules == list.size)
  assert(table.concat(list.rules, "\n") == table.concat(copy_of(list).rules, "\n"))
  list:clear()
  assert(list.size == 0)
end
