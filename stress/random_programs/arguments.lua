-- Arguments for random calls, right ones by their annotated types, and wrong ones.
--
--   local arguments = require("stress.random_programs.arguments").new(model, world)
--   arguments.right(type, name)     a value of the type; the parameter's name tells which of them make sense
--   arguments.wrong()               any value
--   arguments.list(params)          a table with n: for a call, now and then wrong in number, order or type
--
-- world has object(class), listener(), act() (which makes a random call), folder (a name that nobody else has) and
-- wrongness, from 0 to 1.
--
-- Whole numbers that are no port or time are never those of descriptors that the program needs: 0, or 256 and more,
-- which its limit makes impossible; those that it may take are from 230 on (see fence.c).

local net = require "cnet"

local arguments = {}

local random = math.random

local function pick(list) return list[random(#list)] end

local INTEGERS <const> = {
  -1, 0, -0x80000000, 256, 300, 1024, 65535, 65536, 0x7fffffff, 0x80000000, 0xffffffff, 1 << 53, math.maxinteger,
  math.mininteger,
}
local NUMBERS <const> = { 0.5, -0.5, -0.0, 1e15, 1e308, -1e308, 1 / 0, -1 / 0, 0 / 0, 300.0 }
local STRINGS <const> = {
  "", "\0", "a\0b", "x", "no such thing", "constructor", "__index", "__gc", "0x10", "1e3", " 80", "-1", "0", "65536",
  "\255\254", "\u{20ac}", "%s%n%d", ("x"):rep(200), ("/y"):rep(3000), ("\0"):rep(70000), "error", "close", "data",
}
local WORDS <const> = {
  host = { "127.0.0.1", "127.0.0.1", "localhost", "::1", "127.0.0.2", "::", "0.0.0.0", "::ffff:127.0.0.1", "nowhere" },
  address = { "127.0.0.1", "::1", "10.0.0.1", "1.2.3.4", "fe80::1%lo", "::ffff:1.2.3.4", "1.2.3", ":::", "256.1.1.1" },
  cidr = { "127.0.0.0/8", "10.0.0.0/0", "::/0", "fe80::/10", "1.2.3.4/33", "/", "::1/129", "1.2.3.4/-1", "::1/1e1" },
  family = { "ipv4", "ipv6", "IPv4", "IPv6", 4, 6, 0, 5 },
  encoding = { "utf8", "UTF-8", "latin1", "binary", "ascii", "hex", "base64", "base64url", "utf16le" },
  mode = { "default", "once", "nowait" },
  signal = { "SIGTERM", "SIGKILL", "SIGUSR1", "SIGHUP", "SIGCONT", 0, 9, 15, 64, "SIGNONE" },
  flags = { "lookup", "readable", "end_" },
}
WORDS.localAddress, WORDS.network, WORDS.start, WORDS.last = WORDS.host, WORDS.address, WORDS.address, WORDS.address
WORDS.killSignal = WORDS.signal

local function chunk()
  local sizes = { 0, 1, 2, 3, 10, 100, 1000, 16384, 70000 }
  return (pick { "x", "\0", "ab", "\u{20ac}", "\255", "7f", "QUJD" }):rep(pick(sizes))
end

function arguments.new(model, world)
  local self, by_name = {}, {}

  -- ---- tables that are not what they seem ----

  local METAMETHODS <const> = { "__index", "__newindex", "__tostring", "__call", "__len", "__eq", "__lt", "__concat",
    "__close", "__gc", "__pairs" }

  local function metamethod()
    return function(_, key)
      local what = random(8)
      if what == 1 then error "metamethod" end
      if what == 2 then error(setmetatable({}, { __tostring = function() error "in __tostring" end })) end
      if what <= 5 then world.act() end
      if what == 6 then return world.object(pick { "net.Socket", "net.Server" }) end
      if math.type(key) == "integer" and key > 3 then return nil end -- an array that ends
      return what == 7 and "text" or nil
    end
  end

  local function strange()
    local metatable = {}
    for _, name in ipairs(METAMETHODS) do
      if random(3) == 1 then metatable[name] = metamethod() end
    end
    if random(6) == 1 then metatable.__name = pick { "net.Socket", "x", 5 } end
    if random(9) == 1 then metatable.__metatable = false end
    return setmetatable({}, metatable)
  end

  -- What looks like something of ours.
  local function false_object()
    return {
      on = random(2) == 1 and world.listener() or nil, once = world.listener(), emit = world.listener(),
      write = random(2) == 1 and world.listener() or 5, end_ = world.listener(), removeListener = world.listener(),
      _handle = random(3) == 1 and self.wrong() or nil, fd = random(3) == 1 and by_name.fd() or nil,
      message = random(3) == 1 and self.wrong() or nil, code = "EFALSE", aborted = random(2) == 1,
    }
  end

  local makers = {
    function() return nil end,
    function() return random(2) == 1 end,
    function() return pick(INTEGERS) end,
    function() return pick(NUMBERS) end,
    function() return pick(STRINGS) end,
    function() return pick(STRINGS) end,
    function() return {} end,
    function() return { self.wrong(), self.wrong() } end,
    strange,
    false_object,
    function() return world.listener() end,
    function() return coroutine.create(function() coroutine.yield() end) end,
    function() return net.errorMonitor end,
    function() return io.stdout end,
    function() return world.object(pick(world.classes)) end,
    function() return world.object(pick(world.classes)) end,
    function() return pick { net, net.Socket, net.Server, net.EventEmitter, net.Error } end,
    function() return net.Error(pick(STRINGS), { code = self.deep and 5 or "X" }) end,
  }

  local depth = 0
  function self.wrong()
    if depth > 4 then return nil end
    depth = depth + 1
    local value = pick(makers)()
    depth = depth - 1
    return value
  end

  -- ---- by name ----

  for name, list in pairs(WORDS) do
    by_name[name] = function() return pick(list) end
  end

  -- A port where somebody listens, mostly.
  function by_name.port()
    local server = random(4) > 1 and world.object "net.Server"
    local found, address = pcall(function() return server:address() end)
    local port = found and type(address) == "table" and address.port or 0
    return random(8) == 1 and tostring(port) or port
  end

  function by_name.path()
    return pick { "a.sock", "a.sock", "b.sock", "b.sock", "./c.sock", "none/d.sock", "\0" .. world.folder, "",
      ("p"):rep(107), ("p"):rep(108), ("p"):rep(300), "a\0b", "." }
  end

  function by_name.fd() return random(8) == 1 and pick(INTEGERS) or 229 + random(13) end

  function by_name.ms() return random(6) == 1 and pick(NUMBERS) or random(0, 20) end

  function by_name.n() return random(6) == 1 and pick(NUMBERS) or random(0, 20) end

  function by_name.size() return random(6) == 1 and pick(NUMBERS) or random(0, 100) end

  function by_name.highWaterMark() return random(6) == 1 and pick(INTEGERS) or pick { 0, 1, 10, 16384, 1 << 20 } end

  function by_name.prefix() return random(-1, 130) end

  function by_name.event() return pick(world.events) end

  function by_name.script() return random(5) == 1 and pick(STRINGS) or arg[0] end

  function by_name.exec() return by_name.script() end

  function by_name.execPath() return random(5) == 1 and pick(STRINGS) or nil end

  function by_name.execArgv() return random(5) == 1 and { "-v", pick(STRINGS) } or nil end

  function by_name.cwd() return random(5) == 1 and pick(STRINGS) or nil end

  -- Without the sanitizer's library in it a child could not load cnet.
  function by_name.env() return random(5) == 1 and { A = pick(STRINGS), B = self.wrong() } or nil end

  function by_name.uid() return nil end

  function by_name.serialization() return random(5) == 1 and pick(STRINGS) or nil end

  function by_name.stdio()
    if random(3) == 1 then return pick { "pipe", "inherit", "ignore", "overlapped", "ipc", "" } end
    local list = {}
    for i = 1, random(0, 6) do
      list[i] = pick { "pipe", "ignore", "ipc", "inherit", by_name.fd(), world.object "net.Socket", strange() }
    end
    return list
  end

  -- Calls back as a lookup does, now or later, with what one may give or not.
  function by_name.lookup()
    return function(_, options, back)
      local list = {}
      for i = 1, random(0, 4) do
        local six = random(3) == 1
        list[i] = { address = six and "::1" or pick { "127.0.0.1", "127.0.0.2", "127.0.0.3" }, family = six and 6 or 4 }
        if random() < world.wrongness / 4 then list[i] = self.wrong() end
      end
      local all = type(options) == "table" and options.all
      local function answer()
        if random(8) == 1 then return back(self.wrong(), self.wrong(), self.wrong()) end
        if all then return back(nil, list) end
        return back(nil, "127.0.0.1", 4)
      end
      if random(3) == 1 then return net.setImmediate(answer) end
      answer()
      if random(10) == 1 then answer() end
    end
  end

  function by_name.data() return chunk() end

  function by_name.message()
    return pick { 1, 0.5, "text", true, { 1, 2, { a = "b" } }, { x = chunk() }, "\255", 0 / 0, {}, strange(), print,
      { cmd = "NODE_" .. pick { "HANDLE", "HANDLE_ACK", "HANDLE_NACK", "CLUSTER", "X" }, act = pick(STRINGS), key = 1,
        type = "net.Socket", msg = { 1 }, ack = 1, seq = 1 } }
  end

  by_name.timeout, by_name.keepAliveInitialDelay, by_name.initialDelay = by_name.ms, by_name.ms, by_name.ms
  by_name.connectTimeout, by_name.autoSelectFamilyAttemptTimeout, by_name.interval = by_name.ms, by_name.ms, by_name.ms
  by_name.chunk, by_name.backlog, by_name.count, by_name.tos = by_name.data, by_name.n, by_name.n, by_name.size
  by_name.readableHighWaterMark, by_name.writableHighWaterMark = by_name.highWaterMark, by_name.highWaterMark
  by_name.gid, by_name.localPort, by_name.hints = by_name.uid, by_name.port, by_name.size

  self.lookup, self.message, self.port = by_name.lookup, by_name.message, by_name.port

  -- Names of which any type will do are told by the type alone.
  local typed = { signal = "AbortSignal" }

  -- ---- by type ----

  local function by_fields(fields)
    local value = {}
    local density = random(4)
    for _, field in ipairs(fields) do
      if random(4) <= (field.optional and density == 4 and 2 or 1) or not field.optional then
        local key = field.name:match '^%[?"(.-)"%]?$' or field.name
        value[key] = random() < world.wrongness / 4 and self.wrong() or self.right(field.type, field.name)
      end
    end
    if random() < world.wrongness / 4 then setmetatable(value, getmetatable(strange())) end
    return value
  end

  local function all_fields(class)
    local fields = table.move(class.fields, 1, #class.fields, 1, {})
    local parent = class.parent and model.classes[class.parent]
    return parent and table.move(parent.fields, 1, #parent.fields, #fields + 1, fields) or fields
  end

  local plain = {
    any = function() return self.wrong() end,
    integer = function() return pick(INTEGERS) end,
    number = function() return random(2) == 1 and pick(NUMBERS) or pick(INTEGERS) end,
    string = function() return pick(STRINGS) end,
    boolean = function() return random(2) == 1 end,
    table = function() return random(2) == 1 and {} or strange() end,
    ["function"] = function() return world.listener() end,
    lightuserdata = function() return net.errorMonitor end,
    self = function() return self.wrong() end,
    T = function() return world.object "net.Socket" end, -- of pipe
    ["nil"] = function() return nil end,
  }

  local kinds = {
    literal = function(t) return t.value end,
    optional = function(t, name)
      if random(4) == 1 then return nil end
      return self.right(t.of, name)
    end,
    fun = function() return world.listener() end,
    table = function(t) return by_fields(t.fields) end,
    array = function(t, name)
      local list = {}
      for i = 1, random(0, 3) do list[i] = self.right(t.of, name) end
      return list
    end,
    union = function(t, name) return self.right(pick(t), name) end,
    name = function(t, name)
      local alias, class = model.aliases[t.name], model.classes[t.name]
      if alias and alias.type then return self.right(alias.type, name) end
      if alias then return pick(alias.values).value end
      if plain[t.name] then return plain[t.name]() end
      if class and not class.variable then return by_fields(all_fields(class)) end
      return class and world.object(t.name) or {}
    end,
  }

  function self.right(t, name)
    depth = depth + 1
    local value
    if depth > 6 then
      value = nil
    elseif by_name[name] and typed[name] ~= t.name and (t.kind ~= "fun" or name == "lookup") and t.kind ~= "table"
      and not (t.kind == "name" and model.classes[t.name]) and random(12) > 1 then
      value = by_name[name]()
    else
      value = kinds[t.kind](t, name)
    end
    depth = depth - 1
    return value
  end

  -- ---- the arguments of a call ----

  function self.list(params)
    local list = { n = #params }
    for i, param in ipairs(params) do
      if param.name == "..." then
        list.n = i - 1 + random(0, 3)
        for j = i, list.n do list[j] = self.wrong() end
      elseif random() < world.wrongness then
        list[i] = self.wrong()
      else
        list[i] = self.right(param.type or { kind = "name", name = "any" }, param.name)
      end
    end
    if random() < world.wrongness / 2 then list.n = random(0, list.n) end
    if random() < world.wrongness / 2 then
      list.n = list.n + 1
      list[list.n] = self.wrong()
    end
    if list.n > 1 and random() < world.wrongness / 3 then
      local i, j = random(list.n), random(list.n)
      list[i], list[j] = list[j], list[i]
    end
    return list
  end

  return self
end

return arguments
