-- types/ against the module itself: what is there is annotated, what is annotated is there, and has that type.

local annotations = require "tools.annotations"
local child_process = require "cnet.child_process"
local cluster = require "cnet.cluster"
local net = require "cnet"
local support = require "spec.support"

local model = annotations.read(table.unpack(annotations.files))

local FIELDS <const> = 3 -- the user value of an object that holds the script's own fields

-- ---- the classes of cnet, as class.c has them in the registry ----

-- name -> { methods = class's table, properties = table by name }
local function find_classes()
  local classes = {}
  for key, value in pairs(debug.getregistry()) do
    local index = type(key) == "userdata" and type(value) == "table" and rawget(value, "__index")
    if type(index) == "function" and rawget(value, "__name") then
      local _, methods = debug.getupvalue(index, 2)
      local _, properties = debug.getupvalue(index, 3)
      classes[value.__name] = { methods = methods, properties = properties }
    end
  end
  return classes
end

local real = find_classes()

-- ---- helpers ----

local function set_of(list)
  local set = {}
  for _, item in ipairs(list) do set[item.name or item] = true end
  return set
end

local function names_of(set)
  local names = {}
  for name in pairs(set) do names[#names + 1] = name end
  table.sort(names)
  return names
end

local function without(set, other)
  local rest = {}
  for name in pairs(set) do
    if not other[name] then rest[name] = true end
  end
  return names_of(rest)
end

local function same_names(real_set, annotated_set, what)
  assert.same({}, without(real_set, annotated_set), what .. " without an annotation")
  assert.same({}, without(annotated_set, real_set), what .. " annotated, but not there")
end

-- Fields and methods of the annotated class and its parents.
local function members_of(class, kind)
  local set = {}
  repeat
    for _, item in ipairs(class[kind]) do set[item.name] = item end
    class = class.parent and model.classes[class.parent]
  until not class
  return set
end

local sources -- the text of all .c files of src/

local function source()
  if not sources then
    local parts = {}
    local pipe = assert(io.popen "find src -name '*.c'")
    for path in pipe:lines() do
      local file = assert(io.open(path))
      parts[#parts + 1] = file:read "a"
      file:close()
    end
    pipe:close()
    sources = table.concat(parts)
  end
  return sources
end

local function in_source(pattern)
  local set = {}
  for name in source():gmatch(pattern) do set[name] = true end
  return set
end

-- ---- does a value have an annotated type? ----

local is

local plain = {
  any = function() return true end,
  integer = function(v) return math.type(v) == "integer" end,
  lightuserdata = function(v) return type(v) == "userdata" and debug.getmetatable(v) == nil end,
}

local function is_class(name, value)
  if type(value) == "table" then return true end -- a table of ours, or the class's own
  local metatable = type(value) == "userdata" and debug.getmetatable(value)
  while metatable do
    local class = model.classes[metatable.__name]
    if metatable.__name == name then return true end
    metatable = class and class.parent and { __name = class.parent }
  end
  return false
end

local kinds = {
  literal = function(t, v) return t.value == v end,
  optional = function(t, v) return v == nil or is(t.of, v) end,
  fun = function(_, v) return type(v) == "function" end,
  table = function(_, v) return type(v) == "table" end,
  array = function(t, v)
    if type(v) ~= "table" then return false end
    for _, item in ipairs(v) do
      if not is(t.of, item) then return false end
    end
    return true
  end,
  union = function(t, v)
    for _, part in ipairs(t) do
      if is(part, v) then return true end
    end
    return false
  end,
  name = function(t, v)
    local alias = model.aliases[t.name]
    if alias and alias.type then return is(alias.type, v) end
    if alias then
      for _, item in ipairs(alias.values) do
        if item.value == v then return true end
      end
      return false
    end
    if plain[t.name] then return plain[t.name](v) end
    if model.classes[t.name] then return is_class(t.name, v) end
    return type(v) == t.name
  end,
}

function is(t, v) return kinds[t.kind](t, v) end

local function check_fields(object, class_name)
  local wrong = {}
  for name, field in pairs(members_of(model.classes[class_name], "fields")) do
    local value = object[name]
    if not (value == nil and field.optional or is(field.type, value)) then
      wrong[#wrong + 1] = ("%s is %s, not %s"):format(name, tostring(value), annotations.text(field.type))
    end
  end
  assert.same({}, wrong, class_name)
end

-- Do the fields of a table fit a class that is a table, and are they all annotated?
local function check_table(object, class_name)
  check_fields(object, class_name)
  local there = {}
  for name in pairs(object) do there[name] = true end
  assert.same({}, without(there, members_of(model.classes[class_name], "fields")), class_name)
end

-- ---- the specs ----

describe("the annotations", function()
  after_each(support.clean)

  it("have every member of the modules, and nothing else", function()
    for name, module in pairs {
      cnet = net,
      ["cnet.child_process"] = child_process,
      ["cnet.cluster"] = debug.getuservalue(cluster, FIELDS),
    } do
      local class, there, annotated = model.classes[name], {}, {}
      for key in pairs(module) do there[key] = true end
      for _, field in ipairs(class.fields) do annotated[field.name] = true end
      for _, method in ipairs(class.methods) do annotated[method.name] = true end
      if name == "cnet.cluster" then annotated.worker = nil end -- there is one in a worker: see below
      same_names(there, annotated, name)
      for _, method in ipairs(class.methods) do assert.equal("function", type(module[method.name]), method.name) end
    end
  end)

  it("have every method and property of every class, and nothing else", function()
    local count = 0
    for name, class in pairs(real) do
      local annotated = model.classes[name]
      if not annotated then
        assert.is_nil(next(class.methods), name .. " has methods, and no annotation")
        assert.is_nil(next(class.properties), name .. " has properties, and no annotation")
      elseif name ~= "cnet.cluster" then
        local methods = set_of(annotated.methods)
        local there, constants = {}, {}
        for member, value in pairs(class.methods) do
          (type(value) == "function" and there or constants)[member] = true
        end
        if name == "net.Socket" then
          assert.equal(class.methods.end_, class.methods["end"])
          there["end"] = nil -- a keyword: types/cnet.lua has it, but no class can
        end
        same_names(there, methods, name .. "'s methods")
        local properties, fields = constants, set_of(annotated.fields)
        for property in pairs(class.properties) do properties[property] = true end
        if name == "cluster.Worker" then
          for _, field in ipairs { "id", "process", "exitedAfterDisconnect", "state" } do properties[field] = true end
        end
        same_names(properties, fields, name .. "'s properties")
      end
      count = count + 1
    end
    assert.is_true(count > 15)
  end)

  it("have the parents of the classes, and their constructors", function()
    for name in pairs(real) do
      local annotated = model.classes[name]
      local short = name:match "^net%.(%u%w+)$" or name
      local class = net[short] or child_process[short] or name == "cluster.Worker" and cluster.Worker
      if annotated and type(class) == "table" then
        local metatable = debug.getmetatable(class)
        local parent = rawget(metatable, "__index")
        assert.equal(parent and tostring(parent) or nil, annotated.parent, name)
        local callable = metatable.__call ~= nil and name ~= "AbortSignal" -- which raises ERR_ILLEGAL_CONSTRUCTOR
        assert.equal(callable, #annotated.overloads > 0, name .. "'s constructor")
      end
    end
  end)

  it("have every event that is emitted, and nothing else", function()
    local emitted = in_source 'emit%(L,[^\n]-"(%l%a+)"'
    for event in pairs(in_source 'emit_%l+%(L,[^\n]-"(%l%a+)"') do emitted[event] = true end
    for _, event in ipairs { "newListener", "removeListener", "abort", "data", "pipe", "unpipe" } do
      assert.is_true(in_source('"(' .. event .. ')"')[event], event) -- emitted in other ways
      emitted[event] = true
    end
    emitted.internalMessage = nil -- of Node's own code, and as little for scripts as there
    local annotated = {}
    for _, class in ipairs(model.classes) do
      for _, event in ipairs(class.events) do
        if event.literal then annotated[event.name] = true end
      end
    end
    same_names(emitted, annotated, "events")
  end)

  it("have the same for once as for on", function()
    for _, class in ipairs(model.classes) do
      for i, event in ipairs(class.events) do
        assert.equal(annotations.text(event.type), annotations.text(class.once[i].type), class.name)
      end
      assert.equal(#class.events, #class.once, class.name)
    end
  end)

  it("have the names of signals", function()
    for _, signal in ipairs(model.aliases["net.SignalName"].values) do
      assert.is_truthy(source():find('"' .. signal.value .. '"', 1, true), signal.value)
    end
  end)

  it("have every error code, and nothing else", function()
    local codes = {}
    for _, item in ipairs(model.aliases["net.ErrorCode"].values) do
      codes[item.value] = true
      assert.is_true(#item.doc > 0, item.value)
    end
    same_names(in_source '"(ERR_[%u_%d]+)"', (function()
      local all = {}
      for code in pairs(codes) do
        if code ~= "ABORT_ERR" then all[code] = true end
      end
      return all
    end)(), "error codes")
    assert.is_true(codes.ABORT_ERR and in_source '"(ABORT_ERR)"'.ABORT_ERR)
    for _, path in ipairs(annotations.files) do
      for line in io.lines(path) do
        for code in line:gmatch "ERR_%u[%u_]+" do assert.is_true(codes[code], path .. ": " .. code) end
      end
    end
  end)

  it("have options that the sources read", function()
    for _, class in ipairs(model.classes) do
      if class.name:find "Options$" or class.name == "cluster.Settings" then
        for _, field in ipairs(class.fields) do
          assert.is_truthy(source():find('"' .. field.name .. '"', 1, true), class.name .. ": " .. field.name)
        end
      end
    end
  end)

  it("say something of each class, method, property and event, beside the link to Node", function()
    local function check(name, doc)
      assert.is_truthy(doc:gsub("%[Node%]%b()", ""):find "%w", name .. " has no text")
    end
    for _, class in ipairs(model.classes) do
      if class.variable then
        check(class.name, class.doc)
        for _, kind in ipairs { "methods", "events", "fields" } do
          for _, item in ipairs(class[kind]) do check(class.name .. "." .. item.name, item.doc) end
        end
      end
    end
  end)

  it("have lines of 120 columns, unless a tag needs more", function()
    for _, path in ipairs(annotations.files) do
      local number = 0
      for line in io.lines(path) do
        number = number + 1
        if not line:find "^%-%-%-@" then assert.is_true(utf8.len(line) <= 120, path .. ":" .. number) end
      end
    end
  end)
end)

describe("the annotated types", function()
  after_each(support.clean)

  it("are those of a new object's properties", function()
    check_fields(net, "cnet")
    check_fields(net.createServer(), "net.Server")
    check_fields(net.Socket(), "net.Socket")
    check_fields(net.AbortController(), "AbortController")
    check_fields(net.AbortController().signal, "AbortSignal")
    check_fields(net.BlockList(), "net.BlockList")
    check_fields(net.SocketAddress(), "net.SocketAddress")
    check_fields(net.BoundSocket(), "net.BoundSocket")
    check_fields(net.Error("x", { code = "ENOUSER" }), "net.Error")
    check_fields(cluster, "cnet.cluster")
  end)

  it("are those of a server and its sockets, over TCP and a Unix socket", function()
    for _, place in ipairs { 0, support.path() } do
      local checked = 0
      local server
      server = net.createServer(function(socket)
        check_fields(socket, "net.Socket")
        assert.equal(server, socket.server)
        socket:end_ "bye"
        server:close()
      end)
      server:listen(place, function()
        check_fields(server, "net.Server")
        local address = server:address()
        if type(address) == "table" then check_table(address, "net.Address") end
        local client = net.connect(type(address) == "table" and address.port or address)
        client:setEncoding "utf8"
        client:on("data", function()
          check_fields(client, "net.Socket")
          checked = checked + 1
        end)
        client:on("close", function() check_fields(client, "net.Socket") end)
      end)
      support.run()
      assert.equal(1, checked)
    end
  end)

  it("are those of errors", function()
    local seen = {}
    local function keep(err)
      check_table(err, "net.Error")
      seen[#seen + 1] = err.code
    end
    keep(support.caught(net.connect, -1))
    net.createServer():on("error", keep):listen { fd = 0xfffffff }
    net.connect({ port = 1, host = "127.0.0.1", localPort = 0 }):on("error", keep)
    net.connect(support.path()):on("error", keep)
    net.connect({ port = 1, host = "h", lookup = function(_, _, fn)
      fn(nil, { { address = "127.0.0.1", family = 4 }, { address = "127.0.0.2", family = 4 } })
    end }):on("error", function(err)
      keep(err)
      assert.equal(2, #err.errors)
      for _, inner in ipairs(err.errors) do check_table(inner, "net.Error") end
    end)
    support.run()
    table.sort(seen)
    assert.same({ "ECONNREFUSED", "ECONNREFUSED", "EINVAL", "ENOENT", "ERR_SOCKET_BAD_PORT" }, seen)
  end)

  it("are those of a child, and of who is let go", function()
    local child = child_process.fork(support.file "", { silent = true })
    check_fields(child, "ChildProcess")
    child:on("exit", function() check_fields(child, "ChildProcess") end)
    local dropped
    local server = net.createServer()
    server.maxConnections = 1
    server:on("drop", function(info)
      check_table(info, "net.DropInfo")
      dropped = true
      server:closeAllConnections()
      server:close()
    end)
    server:listen(0, function()
      for _ = 1, 2 do net.connect(server:address().port):on("error", function() end) end
    end)
    support.run()
    assert.is_true(dropped)
  end)

  it("are those of a cluster's primary and worker", function()
    local out, err, code = support.lua [[
      local cluster = require "cnet.cluster"
      local net = require "cnet"
      local function names(object)
        local list = {}
        for name in pairs(debug.getuservalue(object, 3)) do list[#list + 1] = name end
        table.sort(list)
        return table.concat(list, " ")
      end
      if cluster.isWorker then
        local server = net.createServer()
        server:listen(0, "127.0.0.1", function()
          local channel = net.process.channel
          net.setImmediate(function() -- after what tells the primary that it listens
            cluster.worker:send { cluster = names(cluster), worker = names(cluster.worker),
              process = cluster.worker.process == net.process and math.type(channel.fd) }
          end)
        end)
        net.run()
        return
      end
      cluster.setupPrimary { execArgv = { "-e", "package.cpath = [=[" .. package.cpath .. "]=]" } }
      local worker = cluster.fork()
      print(names(worker))
      worker:on("listening", function(address)
        print(address.address, address.addressType, math.type(address.port), worker.state)
      end)
      worker:on("message", function(message)
        print(message.cluster)
        print(message.worker)
        print(message.process)
        worker:disconnect()
      end)
      cluster:on("exit", function(_, status, signal) print(names(worker), status, signal, worker.state) end)
      net.run()
    ]]
    assert.equal("", err)
    assert.equal(0, code)
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    local worker = names_of(set_of(model.classes["cluster.Worker"].fields))
    assert.equal("id process state", lines[1])
    assert.equal("127.0.0.1\t4\tinteger\tlistening", lines[2])
    assert.equal("Worker isMaster isPrimary isWorker worker", lines[3])
    assert.equal("id process state", lines[4])
    assert.equal("integer", lines[5])
    assert.equal(table.concat(worker, " ") .. "\t0\tnil\tdead", lines[6])
  end)
end)
