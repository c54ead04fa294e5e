-- A random program: calls of every function and method that types/ knows, with right and wrong arguments, from wherever
-- a script can make them. Nothing it does may be more than an error. Started by random_programs.sh, which tells how to
-- run one again.
--
--   lua5.4 random_programs.lua SEED [CALLS]     in an empty folder; writes the calls to the file `trace` there
--
-- Prints "calls N reads N forks N end MODE status S" in the end: S is the exit status that is to come, unless a
-- sanitizer has something to say. If something is still alive after all was closed, or if it takes too long, it says so
-- in the file `failed-` with the number of the process.

local seed = math.tointeger(arg[1]) or 1
local is_child = os.getenv "NODE_CHANNEL_FD" ~= nil
local CALLS <const> = is_child and 150 or math.tointeger(arg[2]) or 2500
local LIMIT <const> = is_child and 5 or 120 -- s, for the calls
local CLOSING <const> = 30 -- s
local MOST_FORKS <const> = 3
local POOL <const> = 12 -- objects of each class

math.randomseed(seed + (is_child and 1 << 32 or 0))

local root = arg[0]:match "^(.*)stress/random_programs%.lua$" or ""
package.path = root .. "?.lua;" .. package.path
package.cpath = (os.getenv "CNET_CPATH" or root .. "build/?.so") .. ";" .. package.cpath

local net = require "cnet"
local annotations = require "tools.annotations"

local random, pcall = math.random, pcall

local function chance(p) return random() < p end
local function pick(list) return list[random(#list)] end

-- ---- what kind of program this is ----

local with_children = not is_child and chance(0.1)
local child_process = (is_child or with_children) and require "cnet.child_process"
local cluster = (is_child or with_children and chance(0.5)) and require "cnet.cluster"
local modules = { cnet = net, ["cnet.child_process"] = child_process or nil, ["cnet.cluster"] = cluster or nil }

local endings = { "closed", "closed", "closed", "closed", "open", "os.exit", "process.exit", "error" }
local ending = is_child and "closed" or pick(endings)
local throwing = pick { 0, 0.01, 0.05 } -- how many of the listeners
local destructive = pick { 0.05, 0.2, 1 } -- how many of the calls that end things are made
local spoiled = chance(0.05) -- may classes be changed?
local crowded = chance(0.1) -- are there descriptors for everything?
local yields_often = chance(0.2)

local world = {
  wrongness = pick { 0.02, 0.1, 0.4 },
  folder = ("cnet-random-%d-%d"):format(seed, net.process.pid),
  classes = {},
  events = { net.errorMonitor, 5, true, "", "no such event", 0 / 0 },
}

local COLLECTORS <const> = {
  function() collectgarbage("incremental", 200, 100, 13) end,
  function() collectgarbage("generational", 20, 100) end,
  function() collectgarbage("generational", 1, 1) end,
  function() collectgarbage("incremental", 1, 1000, 1) end, -- a step with nearly every allocation
  function() collectgarbage("incremental", 4, 100, 4) end,
}
pick(COLLECTORS)()

-- ---- what there is to call ----

for i, path in ipairs(annotations.files) do annotations.files[i] = root .. path end
local model = annotations.read(table.unpack(annotations.files))

-- The methods and metatables of the classes, as class.c has them in the registry.
local real = {}
for key, value in pairs(debug.getregistry()) do
  local index = type(key) == "userdata" and type(value) == "table" and rawget(value, "__index")
  if type(index) == "function" and rawget(value, "__name") then
    local _, methods = debug.getupvalue(index, 2)
    local copy = {}
    for name, method in pairs(methods) do copy[name] = method end
    real[value.__name] = { table = methods, methods = copy }
  end
end

local function class_of(value)
  local metatable = type(value) == "userdata" and debug.getmetatable(value)
  return metatable and real[metatable.__name] and metatable.__name or nil
end

-- Those that end the process are left to `finish`, and what makes processes is counted.
local FORBIDDEN <const> = { ["net.process.exit"] = true }
local ENDING <const> = {
  close = true, destroy = true, destroySoon = true, end_ = true, resetAndDestroy = true, removeAllListeners = true,
  closeAllConnections = true, disconnect = true, kill = true, stop = true, abort = true, clear = true, unref = true,
}
local FORKS <const> = { ["cnet.child_process.fork"] = true, ["cnet.cluster.fork"] = true }

local functions, methods, constructors, fields = {}, {}, {}, {} -- methods and fields by the name of the class

local function add_signatures(list, item, class, has_self)
  local function params_of(fun)
    local params = table.move(fun.params, 1, #fun.params, 1, {})
    if has_self and params[1] and params[1].name == "self" then table.remove(params, 1) end
    return params
  end
  local entry = { name = item.name, class = class.name, params = { item.params and params_of(item) } }
  for _, overload in ipairs(item.overloads or {}) do entry.params[#entry.params + 1] = params_of(overload) end
  if #entry.params > 0 and not FORBIDDEN[class.name .. "." .. item.name] then list[#list + 1] = entry end
end

for _, class in ipairs(model.classes) do
  if class.name == "cnet" or modules[class.name] then
    for _, method in ipairs(class.methods) do
      if modules[class.name] then add_signatures(functions, method, class, true) end
    end
    for _, field in ipairs(class.fields) do
      local made = field.type.kind == "name" and model.classes[field.type.name]
      if made and #made.overloads > 0 then
        add_signatures(constructors, { name = field.name, overloads = made.overloads }, class)
      end
    end
  end
  if real[class.name] then
    world.classes[#world.classes + 1] = class.name
    local own, names, seen = {}, {}, {}
    local at = class
    repeat
      for _, method in ipairs(at.methods) do
        if not seen[method.name] then add_signatures(own, method, class, true) end
        seen[method.name] = true
      end
      for _, field in ipairs(at.fields) do
        names[#names + 1] = field.name
        local fun = field.type.kind == "fun" and field.type or field.type.of
        if fun and fun.kind == "fun" then
          add_signatures(own, { name = field.name, params = fun.params }, class, true)
        end
      end
      at = at.parent and model.classes[at.parent]
    until not at
    methods[class.name], fields[class.name] = own, names
  end
  for _, event in ipairs(class.events) do
    if event.literal then world.events[#world.events + 1] = event.name end
  end
end
local HEARD <const> = { "data", "data", "readable", "end", "connection", "connect", "close", "error", "error", "drain",
  "finish", "timeout", "listening", "message", "exit", "lookup", "newListener", "removeListener", "abort", "SIGUSR2" }
table.move(HEARD, 1, #HEARD, #world.events + 1, world.events)

-- ---- the trace ----

local trace = not is_child and assert(io.open("trace", "w"))
if trace then trace:setvbuf "line" end

local function show(value)
  local kind = type(value)
  if kind == "string" then return ("%q"):format(value:sub(1, 40)) .. (#value > 40 and ".." .. #value or "") end
  if kind == "number" or kind == "nil" or kind == "boolean" then return tostring(value) end
  if kind == "table" then
    local parts = {}
    for key, item in next, value do
      if #parts > 8 then break end
      parts[#parts + 1] = tostring(type(key) == "string" and key or type(key)) .. "="
        .. (type(item) == "table" and "{}" or show(item))
    end
    return "{" .. table.concat(parts, ",") .. (debug.getmetatable(value) and ",meta" or "") .. "}"
  end
  return ("%s:%p"):format(class_of(value) or kind, value)
end

local depth = 0

local function note(what, name, self, list)
  if not trace then return end
  local parts = {}
  for i = 1, list and list.n or 0 do parts[i] = show(list[i]) end
  trace:write(("%s%s %s %s(%s)\n"):format((" "):rep(depth), what, show(self), name, table.concat(parts, ", ")))
end

-- ---- the objects ----

local pool = {}
for _, name in ipairs(world.classes) do pool[name] = {} end

local function keep(value)
  local class = class_of(value)
  local list = class and pool[class]
  if not list then return end
  list[#list < POOL and #list + 1 or random(POOL)] = value
end

local arguments
local calls, reads, forks, over = 0, 0, 0, false
local patience = 0 -- ms for which few calls are made, so that a child can take part

local function constructor_of(class)
  for _, item in ipairs(constructors) do
    local module = modules[item.class]
    if module and real[class] and rawequal(module[item.name], real[class].table) then return module[item.name], item end
  end
end

function world.object(class)
  local list = pool[class]
  if list and #list > 0 and not chance(0.03) then return pick(list) end
  if class == "Timeout" then
    keep(net.setTimeout(world.listener(), random(0, 10)))
  elseif class == "Immediate" then
    keep(net.setImmediate(world.listener()))
  elseif class == "AbortSignal" then
    keep(net.AbortController().signal)
  elseif class == "net.process" then
    return net.process
  elseif class == "cnet.cluster" then
    return cluster or nil
  elseif list and class ~= "ChildProcess" then
    local make, item = constructor_of(class)
    if make then
      local made, object = pcall(make, table.unpack(arguments.list(pick(item.params)), 1, 3))
      if made then keep(object) end
    end
  end
  return list and list[#list]
end

-- ---- calls ----

local raised = {} -- messages by how often they came: RANDOM_ERRORS=1 shows them in the end

local function remember(err)
  if type(err) == "table" then err = rawget(err, "code") or rawget(err, "message") end
  if type(err) == "string" then
    err = err:gsub("0x%x+", "0x"):gsub("%d+", "N"):sub(1, 90)
    raised[err] = (raised[err] or 0) + 1
  end
end

-- Values worth keeping go into the pool.
local function take(ok, ...)
  if not ok then remember((...)) end
  for i = 1, math.min(select("#", ...), 4) do keep((select(i, ...))) end
end

local in_use -- the object of the call that is being made

-- One call in 40 lets its error through, where that is another test.
local function invoke(what, name, fn, self, has_self, list)
  calls = calls + 1
  note(what, name, self, list)
  in_use = self
  if throwing > 0 and depth > 1 and chance(throwing / 2) then
    take(true, fn(table.unpack(has_self and { self, table.unpack(list, 1, list.n) } or list, 1,
      list.n + (has_self and 1 or 0))))
  elseif has_self then
    take(pcall(fn, self, table.unpack(list, 1, list.n)))
  else
    take(pcall(fn, table.unpack(list, 1, list.n)))
  end
end

local function call_function()
  local item = pick(functions)
  if ENDING[item.name] and not chance(destructive) then return end
  if FORKS[item.class .. "." .. item.name] then
    if forks >= MOST_FORKS or is_child then return end
    forks = forks + 1
  end
  local list = arguments.list(pick(item.params))
  invoke(item.class, item.name, modules[item.class][item.name], nil, false, list)
end

local function call_method()
  local class = chance(0.5) and pick { "net.Socket", "net.Server" } or pick(world.classes)
  local item = pick(methods[class])
  if ENDING[item.name] and not chance(destructive) then return end
  if FORKS[class .. "." .. item.name] then return end
  local self = world.object(class)
  if self == nil then return end
  local list = arguments.list(pick(item.params))
  local found, fn = pcall(function() return self[item.name] end)
  fn = found and type(fn) == "function" and fn or real[class].methods[item.name]
  if fn then invoke(class, item.name, fn, self, true, list) end
end

local function call_with_wrong_self()
  local class = pick(world.classes)
  local item = pick(methods[class])
  local fn = real[class].methods[item.name]
  if fn and not FORKS[class .. "." .. item.name] then
    invoke("wrong self " .. class, item.name, fn, arguments.wrong(), true, arguments.list(pick(item.params)))
  end
end

local function construct()
  local item = pick(constructors)
  local module = modules[item.class]
  if module and item.name ~= "ChildProcess" then
    invoke("new", item.name, module[item.name], nil, false, arguments.list(pick(item.params)))
  end
end

local function read_field()
  local class = pick(world.classes)
  local object, name = world.object(class), pick(fields[class]) or "x"
  if name == "connections" and not chance(0.01) then return end -- it prints a line
  reads = reads + 1
  note("read", name, object)
  take(pcall(function() return object[name] end))
end

local function write_field()
  local class = pick(world.classes)
  local object = world.object(class)
  local name = chance(0.5) and pick(fields[class]) or chance(0.2) and pick(methods[class]).name or "own"
  local value = arguments.wrong()
  reads = reads + 1
  note("write", tostring(name), object, { n = 1, value })
  take(pcall(function() object[name] = value end))
end

local OPERATIONS <const> = {
  function(a) return tostring(a) end, function(a, b) return a .. b end, function(a) return #a end,
  function(a, b) return a == b end, function(a, b) return a < b end, function(a, b) return a[b] end,
  function(a, b) a[b] = b end, function(a, b) return a(b) end, function(a) return next(a) end,
  function(a) return getmetatable(a).__index end, function(a) return pairs(a)(a) end,
}

local function operate()
  local object, other = world.object(pick(world.classes)), arguments.wrong()
  reads = reads + 1
  local i = random(#OPERATIONS)
  note("operation " .. i, "", object, { n = 1, other })
  take(pcall(OPERATIONS[i], object, other))
end

-- ---- places to call from ----

local function collect()
  local what = random(20)
  if what == 1 then
    collectgarbage()
  elseif what == 2 then
    pick(COLLECTORS)()
  else
    collectgarbage("step", pick { 0, 1, 10 })
  end
end

local function from_coroutine()
  local co = coroutine.create(function()
    world.act()
    coroutine.yield(world.act())
    if chance(0.2) then error "dies" end
    world.act()
  end)
  pcall(coroutine.resume, co)
  if chance(0.7) then pcall(coroutine.resume, co) end
  if chance(0.2) then pcall(coroutine.close, co) end
end

-- Ends the object whose method runs, in the middle of it; a child's channel too, for one that is sent.
local function pull_away()
  local class = class_of(in_use)
  if not class or over then return end
  local item = pick(methods[class])
  for _ = 1, 30 do
    if ENDING[item.name] then break end
    item = pick(methods[class])
  end
  note("pull away", item.name, in_use)
  local found, fn = pcall(function() return in_use[item.name] end)
  if found and type(fn) == "function" then pcall(fn, in_use) end
end

local function from_finalizer()
  local away = chance(destructive / 2)
  for _ = 1, random(5) do
    setmetatable({ world.object(pick(world.classes)) }, { __gc = function(self)
      keep(self[1]) -- it lives again
      world.act()
      if away then pull_away() end
      if chance(0.1) then error "in __gc" end
    end })
  end
end

-- A call with finalizers at each of its allocations, of which some call the same object.
local function amid_finalizers()
  local inside, begun, left = false, false, 20000
  local metatable = { __gc = function()
    begun = true
    if not inside or over or chance(0.9) then return end
    local class = class_of(in_use)
    local item = class and pick(methods[class])
    if not item or ENDING[item.name] and not chance(destructive) or FORKS[class .. "." .. item.name] then return end
    local fn = real[class].methods[item.name]
    if fn then invoke("amid " .. class, item.name, fn, in_use, true, arguments.list(pick(item.params))) end
  end }
  collectgarbage "stop"
  for _ = 1, 300 do setmetatable({}, metatable) end
  collectgarbage("incremental", 4, 100, 1) -- from now on a step, of ten finalizers, for each allocation
  repeat
    left = left - 1
    collectgarbage "step"
  until begun or left == 0
  collectgarbage "restart"
  inside = true
  world.act()
  inside = false
  pick(COLLECTORS)()
end

local function from_close()
  pcall(function()
    local object = chance(destructive) and world.object(pick(world.classes)) or nil
    local closing <close> = setmetatable({}, { __close = function() world.act() end }) -- luacheck: ignore
    note("close", "<close>", object)
    local same <close> = object -- luacheck: ignore
    world.act()
    if chance(0.3) then error "leaves the block" end
  end)
end

local function from_later()
  local later = pick { net.setTimeout, net.setImmediate, net.nextTick, net.setInterval }
  local listener = world.listener()
  local made, timer = pcall(later, listener, later == net.setTimeout and random(0, 5) or random(2, 9))
  if made then keep(timer) end
end

-- Servers and sockets that talk to each other.
local function spawn_server()
  local made, server = pcall(net.createServer, chance(0.3) and { allowHalfOpen = chance(0.5),
    pauseOnConnect = chance(0.2), highWaterMark = pick { 1, 100, 16384 } } or nil)
  if not made then return end
  keep(server)
  pcall(server.on, server, "connection", function(socket)
    keep(socket)
    if chance(0.9) then socket:on("error", world.listener()) end
    if chance(0.4) then socket:pipe(socket) elseif chance(0.6) then socket:on("data", world.listener()) end
    world.act()
  end)
  if chance(0.9) then pcall(server.on, server, "error", world.listener()) end
  note("spawn", "listen", server)
  calls = calls + 1
  take(pcall(server.listen, server, table.unpack(pick { { 0, "127.0.0.1" }, { 0 }, { 0, "::1" }, { "a.sock" },
    { "b.sock" }, { "\0" .. world.folder } })))
end

local function spawn_client()
  local server = world.object "net.Server"
  local found, address = pcall(function() return server:address() end)
  if not found or not address then return end
  note("spawn", "connect", server)
  calls = calls + 1
  local made, socket = pcall(net.connect, type(address) == "table" and { port = address.port, host = address.address,
    allowHalfOpen = chance(0.2) } or address)
  if not made or type(socket) ~= "userdata" then return end
  keep(socket)
  if chance(0.9) then pcall(socket.on, socket, "error", world.listener()) end
  for _ = 1, random(4) do pcall(socket.on, socket, pick(HEARD), world.listener()) end
  if chance(0.7) then pcall(socket.write, socket, ("hello"):rep(random(0, 3000))) end
end

local SPOILED <const> = { "net.Socket", "net.Server", "net.EventEmitter" }

-- Several calls of one object, one after the other, so that it comes into states that single ones never reach.
local function stay()
  local class = chance(0.7) and "net.Socket" or pick(world.classes)
  local self, item = world.object(class), nil
  if self == nil then return end
  for _ = 1, random(3, 10) do
    item = chance(0.3) and item or pick(methods[class])
    if over then return end
    if ENDING[item.name] and not chance(destructive / 2) or FORKS[class .. "." .. item.name] then item = nil end
    local fn = item and real[class].methods[item.name]
    item = item or pick(methods[class])
    if fn then invoke(class, item.name, fn, self, true, arguments.list(pick(item.params))) end
  end
end

-- A connection to a name of several addresses, of which some answer, some refuse and some say nothing.
local function spawn_attempts()
  local server = world.object "net.Server"
  local found, address = pcall(function() return server:address() end)
  local port = chance(0.4) and math.tointeger(os.getenv "FENCE_SILENT_PORT")
    or found and type(address) == "table" and address.port or 1
  note("spawn", "attempts", server, { n = 1, port })
  calls = calls + 1
  take(pcall(function()
    local socket = net.connect { port = port, host = "several", autoSelectFamilyAttemptTimeout = 10,
      lookup = arguments.lookup(), connectTimeout = chance(0.3) and random(100) or nil,
      localPort = chance(0.1) and arguments.port() or nil }
    keep(socket)
    if chance(0.9) then socket:on("error", world.listener()) end
    socket:on(pick(HEARD), world.listener())
    return socket
  end))
end

-- What a child gets sent, that it may do the same.
local function talk_to_child()
  if not child_process then return end
  local child = is_child and net.process or world.object "ChildProcess"
  if not is_child and (not child or chance(0.02)) and forks < MOST_FORKS then
    forks = forks + 1
    local made, new
    if cluster and chance(0.7) then
      made, new = pcall(cluster.fork)
      new = made and new.process
    else
      made, new = pcall(child_process.fork, arg[0], { seed }, { stdio = { "ignore", "ignore", "ignore", "ipc" } })
    end
    note("spawn", "fork", new)
    if not new or not made then return end
    child = new
    keep(child)
    patience = 500
    pcall(child.on, child, "error", world.listener())
    pcall(child.on, child, "message", world.listener())
  end
  if not child or over then return end
  local what = pick { "net.Socket", "net.Socket", "net.Server", "net.Native" }
  local handle = chance(0.6) and world.object(what) or nil
  invoke("talk", "send", function(self, ...) return self:send(...) end, child, true,
    { n = 4, arguments.message(), handle, chance(0.2) and { keepOpen = true } or nil, world.listener() })
end

local function set_limit()
  local server = world.object "net.Server"
  note("write", "maxConnections", server)
  pcall(function() server.maxConnections = pick { 0, 1, 2, 5 } end)
end

local function spoil()
  if not spoiled then return end
  local class = pick(SPOILED)
  local name = pick(methods[class]).name
  note("spoil", name, class)
  real[class].table[name] = arguments.wrong()
end

local ACTS <const> = {
  { 40, call_method }, { 12, call_function }, { 4, call_with_wrong_self }, { 3, construct }, { 4, read_field },
  { 2, write_field }, { 2, operate }, { 4, collect }, { 2, from_coroutine }, { 2, from_finalizer }, { 2, from_close },
  { 4, from_later }, { 2, spawn_server }, { 5, spawn_client }, { 2, stay }, { 1, amid_finalizers },
  { 1, spawn_attempts }, { 0.5, set_limit }, { child_process and 12 or 0, talk_to_child }, { 0.2, spoil },
}
local total = 0
for _, row in ipairs(ACTS) do total = total + row[1] end

local finish

function world.act()
  if over or depth > 12 then return end
  if calls >= CALLS then
    over = true
    if depth > 0 then finish() end
    return
  end
  depth = depth + 1
  local at = random() * total
  local ok, err = true, nil
  for _, row in ipairs(ACTS) do
    at = at - row[1]
    if at <= 0 then
      ok, err = pcall(row[2])
      break
    end
  end
  depth = depth - 1
  if not ok and throwing > 0 then error(err, 0) end
end

-- A function for whatever calls one; it knows itself, so that it can remove itself.
local function plain_listener()
  local self
  local fate, others = random(), random(0, 2)
  function self(...)
    take(true, ...)
    if over then return end
    for _ = 1, others do world.act() end
    if chance(0.1) then
      local class = pick { "net.Socket", "net.Server", "net.EventEmitter" }
      local object, off = world.object(class), real["net.EventEmitter"].methods.removeListener
      pcall(off, object, pick(world.events), self)
    end
    if fate < throwing then error(arguments.wrong(), 0) end
    if fate > 0.99 then pcall(net.stop) end
    if fate > 0.95 and fate < 0.97 then pcall(coroutine.yield, 1) end
    if fate > 0.94 and fate < 0.95 and throwing > 0 then coroutine.yield() end
    if type((...)) == "function" or type((select(3, ...))) == "function" then -- a callback, as a lookup has it
      local back = type((...)) == "function" and ... or select(3, ...)
      pcall(back, nil, pick { "127.0.0.1", "::1", "x" }, pick { 4, 6, 5 })
    end
    return arguments.wrong()
  end
  return self
end

function world.listener()
  if chance(yields_often and 0.2 or 0.02) then
    return coroutine.wrap(function(...)
      take(true, ...)
      world.act()
      coroutine.yield()
      world.act()
    end)
  end
  return plain_listener()
end

arguments = require("stress.random_programs.arguments").new(model, world)

-- ---- the end ----

local function report(status)
  if is_child then return end
  print(("calls %d reads %d forks %d end %s status %d"):format(calls, reads, forks, ending, status))
  if os.getenv "RANDOM_ERRORS" then
    for text, n in pairs(raised) do print("raised", n, text) end
  end
  io.stdout:flush()
end

-- The last call, where it was made: in the main program, or in a callback.
function finish()
  if ending == "os.exit" then
    report(7)
    if chance(0.3) then
      coroutine.wrap(function() os.exit(7, true) end)()
    else
      os.exit(7, true)
    end
  elseif ending == "process.exit" then
    report(8)
    real["net.process"].methods.exit(net.process, 8)
  end
  pcall(net.stop)
end

local function fail(message)
  local file = io.open("failed-" .. net.process.pid, "w") -- a child has no output
  if file then
    file:write(message, "\n")
    file:close()
  end
  os.exit(3)
end

-- ---- what is left when all was closed ----

local pins

local function pinned()
  local list = {}
  if not pins then
    local probe = net.setImmediate(print)
    for key, value in pairs(debug.getregistry()) do
      if math.type(key) == "integer" and type(value) == "table" then
        for _, object in next, value do
          if rawequal(object, probe) then pins = value end
        end
      end
    end
    net.clearImmediate(probe)
  end
  for _, object in next, pins do list[#list + 1] = object end
  return list
end

local function descriptors()
  local list = {}
  for fd = 0, 255 do
    local file = io.open("/proc/self/fdinfo/" .. fd)
    if file then
      file:close()
      list[#list + 1] = fd
    end
  end
  return list
end

local function nothing() end

local function method(class, name, ...) pcall(real[class].methods[name], ...) end

local function describe(list)
  local texts = {}
  for i, object in ipairs(list) do texts[i] = tostring(object):sub(1, 60) end
  return table.concat(texts, ", ")
end

local function close_object(object, late)
  local class = class_of(object)
  if not class then return end
  for name in pairs(real[class].methods) do pcall(function() object[name] = nil end) end
  method("net.EventEmitter", "removeAllListeners", object)
  method("net.EventEmitter", "on", object, "error", nothing)
  if class == "Timeout" then pcall(net.clearTimeout, object) end
  if class == "Immediate" then pcall(net.clearImmediate, object) end
  if class == "net.Socket" then method(class, "destroy", object) end
  if class == "net.Server" then
    method(class, "closeAllConnections", object)
    method(class, "close", object)
  end
  if class == "ChildProcess" then
    if not late then pcall(function() object:disconnect() end) end
    if late then method(class, "kill", object, "SIGKILL") end
  end
  if class == "net.Native" then method(class, "close", object) end
end

local function close_all()
  local deadline = os.time() + CLOSING
  local late = os.time() + 4 -- for children, which end by themselves when they are let go
  for class, copy in pairs(real) do
    for name, fn in pairs(copy.methods) do real[class].table[name] = fn end
  end
  method("net.EventEmitter", "removeAllListeners", net.process)
  local alive, left, ok
  repeat
    for _, object in ipairs(pinned()) do close_object(object, os.time() > late) end
    for _, list in pairs(pool) do
      for _, object in ipairs(list) do close_object(object, os.time() > late) end
    end
    if is_child then pcall(function() net.process:disconnect() end) end
    local pause = net.setTimeout(function() end, 1)
    ok, alive = pcall(net.run, "once")
    net.clearTimeout(pause)
    if ok then ok, alive = pcall(net.run, "nowait") end
    left = pinned()
  until ok and not alive and #left == 0 or os.time() > deadline
  if is_child and #left > 0 then os.exit(0, true) end -- a parent that reads no more
  if not ok or alive or #left > 0 then
    fail(("not closed: run gave %s %s, pinned: %s"):format(ok, alive, describe(left)))
  end
end

-- ---- the program ----

local before -- descriptors
do -- what cnet opens once
  local server = net.createServer():listen(0, "127.0.0.1")
  net.run "nowait"
  net.process:once("SIGUSR1", function() end):removeAllListeners()
  server:close()
  net.run()
  before = #descriptors()
end

local kept = {} -- descriptors, so that there are none for the program
if crowded and not is_child then
  for i = 1, 200 do kept[i] = io.open "/dev/null" end
end

local start = os.time()
local ticker = net.setInterval(function()
  if over then
    net.stop()
    return
  end
  patience = patience - 1
  if patience % 10 > 0 and patience > 0 then return end
  world.act()
end, is_child and 30 or 1)

if is_child then
  net.process:on("message", function(...)
    take(true, ...)
    for _ = 1, 3 do world.act() end
  end)
  net.process:on("disconnect", function() over = true end)
elseif cluster then
  if chance(0.4) then cluster.schedulingPolicy = cluster.SCHED_NONE end
  cluster:on("message", world.listener())
  cluster:on("listening", function(_, address) -- where a worker listens
    if not address.port or address.port < 1 then return end
    take(pcall(net.connect, address.port, "127.0.0.1"))
    take(pcall(net.connect, address.port, "127.0.0.1"))
  end)
end

for _ = 1, random(3) do spawn_server() end

while not over do
  if os.time() - start > LIMIT then
    if is_child then break end
    fail(("%d calls in %d s"):format(calls, LIMIT))
  end
  for _ = 1, (is_child or patience > 0) and 1 or random(0, 20) do pcall(world.act) end
  if #kept > 0 and chance(0.1) then
    for _ = 1, random(#kept) do
      local file = table.remove(kept)
      file:close()
    end
  end
  if over then break end
  local mode = pick { "default", "default", "once", "nowait" }
  note("run", mode)
  local ok, err = pcall(net.run, mode, chance(0.2) and debug.traceback or nil)
  if not ok then remember(err) end
end
over = true
net.clearInterval(ticker)
for _, file in ipairs(kept) do file:close() end

if ending == "open" then
  report(0)
elseif ending == "os.exit" or ending == "process.exit" then
  finish() -- the last call was none of a callback
elseif ending == "error" then
  report(1)
  error "the program's end"
else
  close_all()
  pool, arguments = nil, nil
  collectgarbage()
  collectgarbage()
  pcall(net.run, "nowait")
  collectgarbage()
  local now = #descriptors()
  -- those that were there to be taken are fewer now
  if now > before then
    fail(("%d descriptors were open before, and %d are in the end: %s"):format(before, now, describe(descriptors())))
  end
  if #pinned() > 0 then fail("pinned: " .. describe(pinned())) end
  report(0)
end
