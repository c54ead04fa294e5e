-- What all objects of cnet have in common: methods, properties, the script's own fields, what a script adds to a
-- class, and that nothing a script calls can be a fault.

local support = require "spec.support"
local net = require "cnet"

-- One object of each class, by the class's name.
local function objects()
  local timeout, immediate = net.setTimeout(print, 1), net.setImmediate(print)
  net.clearTimeout(timeout)
  net.clearImmediate(immediate)
  local controller = net.AbortController()
  return {
    EventEmitter = net.EventEmitter(),
    Server = net.Server(),
    Socket = net.Socket(),
    AbortController = controller,
    AbortSignal = controller.signal,
    Timeout = timeout,
    Immediate = immediate,
    process = net.process,
    BlockList = net.BlockList and net.BlockList(),
    SocketAddress = net.SocketAddress and net.SocketAddress(),
    BoundSocket = net.BoundSocket(),
  }
end

local classes = {}
for _, name in ipairs {
  "EventEmitter", "Server", "Socket", "AbortController", "BlockList", "SocketAddress", "BoundSocket",
} do
  classes[name] = net[name]
end

-- Those that no script can change.
local readonly = {
  Server = { "listening", "_handle" },
  Socket = {
    "connecting", "pending", "destroyed", "readyState", "bytesRead", "bytesWritten", "bufferSize", "server",
    "localAddress", "localPort", "localFamily", "remoteAddress", "remotePort", "remoteFamily", "readableFlowing",
    "readableLength", "readableEnded", "writableLength", "writableEnded", "writableFinished", "writableNeedDrain",
    "writableHighWaterMark", "readableHighWaterMark", "readable", "writable",
  },
  AbortController = { "signal" },
  AbortSignal = { "aborted", "reason" },
  process = { "pid" },
}

describe("every object", function()
  after_each(support.clean)

  it("keeps the fields a script adds", function()
    for name, object in pairs(objects()) do
      local value = {}
      assert.is_nil(object.user, name)
      object.user = value
      object[1] = "one"
      object[value] = false
      assert.equal(value, object.user, name)
      assert.equal("one", object[1], name)
      assert.is_false(object[value], name)
      object.user, object[1], object[value] = nil, nil, nil
      assert.is_nil(object.user, name)
    end
  end)

  it("keeps them to itself", function()
    local a, b = net.Socket(), net.Socket()
    a.user = 1
    assert.is_nil(b.user)
    assert.is_nil(net.Socket.user)
  end)

  it("keeps them as long as it lives, and no longer", function()
    local weak = setmetatable({}, { __mode = "v" })
    local socket = net.Socket()
    socket.user = {}
    weak.user = socket.user
    collectgarbage()
    assert.is_table(weak.user)
    socket = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak.user)
  end)

  it("lets a field hide a method of the same name, until it is nil", function()
    for name, object in pairs(objects()) do
      local method = object.on and "on" or object.ref and "ref" or object.abort and "abort" or object.throwIfAborted
        and "throwIfAborted" or object.check and "check"
      if method then
        local original = object[method]
        local called
        object[method] = function(...) called = { ... } end
        object[method](object, 1)
        assert.same(object, called[1], name)
        assert.equal(1, called[2], name)
        object[method] = nil
        assert.equal(original, object[method], name)
      end
    end
  end)

  it("lets a script wrap a method of one object", function()
    local log, list = support.recorder()
    local emitter = net.EventEmitter():on("x", log)
    local emit = emitter.emit
    emitter.emit = function(self, ...)
      log("emit", ...)
      return emit(self, ...)
    end
    assert.is_true(emitter:emit("x", 1))
    assert.same({ "emit x 1", "1" }, list)
  end)

  it("answers nil for what it has not, and for any key", function()
    for name, object in pairs(objects()) do
      for _, key in ipairs { "nothing", "__index", "__gc", "", 0, 1.5, true, print, {} } do
        assert.is_nil(object[key], name)
      end
      assert.is_nil(object[nil], name)
      assert.is_nil(object[0 / 0], name)
      assert.is_false((pcall(function() object[nil] = 1 end)), name)
      assert.is_false((pcall(function() object[0 / 0] = 1 end)), name)
    end
  end)

  it("names the read-only property that is assigned, and keeps its value", function()
    for name, object in pairs(objects()) do
      for _, property in ipairs(readonly[name] or {}) do
        local before = object[property]
        local err = support.caught(function() object[property] = "changed" end)
        assert.matches("'" .. property .. "'", tostring(err), 1, true)
        assert.matches("^Cannot assign to read%-only property", err.message)
        assert.matches("^spec/class_spec%.lua:%d+: ", tostring(err))
        assert.equal("TypeError", err.name)
        assert.equal(before, object[property], name .. "." .. property)
        assert.is_false((pcall(function() object[property] = nil end)), name .. "." .. property)
      end
    end
  end)

  it("names the method that does what an assignment would do in Node", function()
    local socket, server = net.Socket(), net.Server()
    for name, method in pairs {
      destroyed = "destroy", connecting = "connect", readable = "pause", readableFlowing = "resume", writable = "end_",
      server = "destroy", connections = "getConnections",
    } do
      local object = name == "connections" and server or socket
      for _, value in ipairs { true, 0, "x", { nil } } do
        local err = support.caught(function() object[name] = value end)
        assert.equal("ERR_INVALID_STATE", err.code)
        local named = err.message:match("^Cannot assign to read%-only property '" .. name .. "': call (.*) instead$")
        assert.matches(":" .. method .. "(", named, 1, true)
        assert.matches("^spec/class_spec%.lua:%d+: ", tostring(err))
        for called in named:gmatch ":([%w_]+)%(" do
          if called ~= "send" then assert.is_function(object[called], called) end
        end
      end
      support.caught(function() object[name] = nil end)
    end
    assert.is_false(socket.destroyed)
    assert.is_true(socket.readable and socket.writable)
  end)

  it("takes the value of a property that can be assigned, and no other place keeps it", function()
    local server = net.Server()
    server.maxConnections = 5
    assert.equal(5, server.maxConnections)
    server.maxConnections = nil
    assert.is_nil(server.maxConnections)
  end)

  it("hides its metatable", function()
    for name, object in pairs(objects()) do
      assert.is_false(getmetatable(object), name)
      assert.is_false((pcall(setmetatable, object, {})), name)
    end
  end)

  it("says what it is", function()
    for name, object in pairs(objects()) do
      assert.matches(name, tostring(object), 1, true)
    end
    for name, class in pairs(classes) do assert.matches(name .. "$", tostring(class)) end
    for _, name in ipairs { "EventEmitter", "Server", "Socket" } do
      assert.matches("^net%." .. name, tostring(net[name]()))
      assert.equal("net." .. name, tostring(net[name]))
    end
  end)

  it("that never opened anything is ordinary garbage", function()
    local weak = setmetatable({}, { __mode = "k" })
    local all = objects()
    all.process = nil
    for name, object in pairs(all) do
      if object.on then object:on("x", function() return object end) end
      weak[object] = name
    end
    all = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.same({}, { next(weak) and weak[next(weak)] })
  end)
end)

describe("a class", function()
  after_each(support.clean)

  it("gives what a script adds to all its objects, the old ones too, and to no other's", function()
    local old = net.Socket()
    net.Socket.hello = function(...) return (...), "hello", select(2, ...) end
    local new = net.Socket()
    for _, socket in ipairs { old, new } do
      local self, word, more = socket:hello "more"
      assert.equal(socket, self)
      assert.equal("hello", word)
      assert.equal("more", more)
    end
    assert.is_nil(net.Server().hello)
    assert.is_nil(net.EventEmitter().hello)
    assert.is_nil(net.EventEmitter.hello)
    net.Socket.hello = nil
    assert.is_nil(old.hello)
  end)

  it("gives the sockets of a server what is added to net.Socket", function()
    local server, met = net.Server()
    net.Socket.hello = function() return "hello" end
    server:on("connection", function(socket)
      met = socket:hello()
      socket:destroy()
      server:close()
    end)
    server:listen(support.path(), function() net.connect(server:address()):on("close", function() end) end)
    support.run()
    net.Socket.hello = nil
    assert.equal("hello", met)
  end)

  it("has what net.EventEmitter has and a script adds to that", function()
    net.EventEmitter.hello = function() return "emitter" end
    for _, name in ipairs { "EventEmitter", "Server", "Socket", "process" } do
      assert.equal("emitter", objects()[name]:hello(), name)
    end
    assert.equal("emitter", net.Server.hello())
    net.Socket.hello = function() return "socket" end
    assert.equal("socket", net.Socket():hello())
    assert.equal("emitter", net.Server():hello())
    net.Socket.hello = nil
    assert.equal("emitter", net.Socket():hello())
    net.EventEmitter.hello = nil
    assert.is_nil(net.Socket().hello)
  end)

  it("lets a script replace a method for all its objects", function()
    local original, socket = net.Socket.pause, net.Socket()
    net.Socket.pause = function(self) return original(self), "mine" end
    assert.equal("mine", select(2, socket:pause()))
    net.Socket.pause = original
    assert.equal(1, select("#", socket:pause()))
  end)

  it("does not let a script replace a property", function()
    local socket = net.Socket()
    net.Socket.hello = 1
    rawset(net.Socket, "destroyed", nil)
    assert.is_false(socket.destroyed)
    net.Socket.hello = nil
  end)

  it("is what a second require of the module gives", function()
    local again = package.loadlib(assert(package.searchpath("cnet", package.cpath)), "luaopen_cnet")()
    assert.not_equal(net, again)
    for name, class in pairs(classes) do assert.equal(class, again[name]) end
    assert.equal(net.Error, again.Error)
    assert.equal(net.errorMonitor, again.errorMonitor)
    local ran
    again.nextTick(function() ran = true end)
    support.run()
    assert.is_true(ran)
  end)

  it("survives a script that breaks its metatable", function()
    local metatable = getmetatable(net.Socket)
    local index = metatable.__index
    assert.is_false((pcall(metatable.__call)))
    metatable.__index = nil
    local socket = net.Socket()
    assert.is_nil(socket.on)
    assert.equal(socket, socket:destroy())
    support.run()
    metatable.__index = index
    assert.is_function(socket.on)
    metatable.__index = function() error("index", 0) end
    assert.equal("index", support.caught(function() return socket.nothing end))
    metatable.__index = index
  end)
end)

describe("a method", function()
  after_each(support.clean)

  -- All methods of an object, by name.
  local methods = {
    Timeout = { "refresh", "ref", "unref", "hasRef", "close" },
    Immediate = { "ref", "unref", "hasRef" },
    AbortSignal = { "throwIfAborted", "addEventListener", "removeEventListener" },
    process = { "exit" },
  }

  -- functions of the class, not of its objects
  local static = { isBlockList = true, isSocketAddress = true, parse = true }

  local function methods_of(name, object)
    local found = {}
    for method, fn in pairs(classes[name] or {}) do
      if type(fn) == "function" and not static[method] then found[method] = fn end
    end
    for _, method in ipairs(methods[name] or {}) do found[method] = object[method] end
    return found
  end

  it("raises an error that names the class when self is anything else", function()
    local all = objects()
    for name, object in pairs(all) do
      local n = 0
      for method, fn in pairs(methods_of(name, object)) do
        n = n + 1
        local label = name .. ":" .. method
        local function refused(...)
          local ok, err = pcall(fn, ...)
          assert.is_false(ok, label)
          assert.equal("ERR_INVALID_THIS", type(err) == "table" and err.code or label)
          assert.matches(name .. " expected as self, got ", err.message, 1, true)
        end
        refused()
        refused(nil)
        for _, value in ipairs {
          0, "x", true, {}, print, io.stdout, coroutine.create(print), net.errorMonitor, net, classes[name] or {},
          setmetatable({}, { __index = object, __name = "net." .. name }), net.Error "x",
        } do
          refused(value)
          refused(value, "x", print)
        end
        for other, stranger in pairs(all) do
          if other ~= name and not (name == "EventEmitter" and stranger.on) then refused(stranger) end
        end
      end
      assert.is_true(n > 0, name)
    end
  end)

  it("hints at the colon", function()
    local err = support.caught(net.Server.listen)
    assert.equal("net.Server expected as self, got nil (called with '.' instead of ':'?)", err.message)
  end)

  -- In a program of its own, since a fault would end this one.
  it("is an error or does nothing whatever it is called with, on objects alive, closed and destroyed", function()
    local out, err, code, signal = support.lua [==[
      local net = require "cnet"
      local support = require "spec.support"
      io.stderr:setvbuf "full"
      local values = {
        nil, true, false, 0, -1, 1, 1.5, 2^31, 2^53, 1e308, 1/0, -1/0, 0/0, math.mininteger,
        "", "0", "x", "::1", "127.0.0.1", "\0x", ("x"):rep(70000), {}, {port = 0}, {port = {}}, {path = 5},
        {path = ""}, {fd = -1}, {fd = 1e9}, {fd = 99}, {host = {}}, {port = 0, host = "127.0.0.1", backlog = "x"},
        {port = 0, signal = {}}, {highWaterMark = -1}, setmetatable({}, {__index = function() error("index", 0) end,
          __tostring = function() error "text" end, __len = function() return -1 end, __name = 5}),
        print, function() error("called", 0) end, function() return 5 end, coroutine.create(print), io.stdout,
        net.errorMonitor, net, net.Server, net.Error "x",
      }
      local n = 43
      assert(not values[n + 1] and values[n])
      local function made()
        local controller = net.AbortController()
        local list = {net.EventEmitter(), net.Server(), net.Socket(), net.Server():listen(0, "127.0.0.1"),
          net.Server():listen(0), net.Server():listen(0):close(), net.Socket():destroy(), net.connect(1, "127.0.0.1"),
          net.connect(1, "127.0.0.1"):destroy(), net.setTimeout(print, 1e6), net.setImmediate(function() end),
          controller, controller.signal, net.process}
        list[#list + 1] = net.setTimeout(print, 1):close()
        if net.BlockList then list[#list + 1] = net.BlockList() end
        if net.SocketAddress then list[#list + 1] = net.SocketAddress() end
        list[#list + 1] = net.BoundSocket()
        return list
      end
      local names = {}
      for _, class in pairs(net) do
        for name, fn in pairs(type(class) == "table" and class or {}) do
          names[name] = type(fn) == "function" or nil
        end
      end
      for _, name in ipairs {"refresh", "ref", "unref", "hasRef", "throwIfAborted", "addEventListener",
        "removeEventListener"} do names[name] = true end
      local sorted = {}
      for name in pairs(names) do sorted[#sorted + 1] = name end
      table.sort(sorted)
      math.randomseed(1)
      local function pick() return values[math.random(n)] end
      local calls = 0
      local function try(fn, ...)
        calls = calls + 1
        local ok, err = pcall(fn, ...)
        if not ok then assert(err ~= nil) pcall(tostring, err) end
      end
      local function round(each)
        for i, object in ipairs(made()) do
          if object.on then pcall(object.on, object, "error", function() end) end
          for _, name in ipairs(sorted) do
            local fn = object[name]
            if fn then for _ = 1, each do try(fn, object, pick(), pick(), pick(), pick()) end try(fn, object) end
          end
          for _ = 1, each do
            try(function() object[pick()] = pick() end)
            try(function() return object[pick()] end)
          end
        end
      end
      local skip = {run = true}
      local functions = {}
      for name, fn in pairs(net) do if not skip[name] then functions[#functions + 1] = name end end
      table.sort(functions)
      for i = 1, 3 do
        round(2)
        for _, name in ipairs(functions) do
          for _ = 1, 5 do try(net[name], pick(), pick(), pick()) end
        end
        net.setImmediate(function() round(1) end)
        for _ = 1, 20 do pcall(net.run, "nowait") end
        collectgarbage()
        support.reset()
      end
      for _, object in ipairs(support.pinned()) do print("pinned", object) end
      print(calls > 3000 and "done" or calls)
      os.exit(0, true)
    ]==]
    assert.same({ "done", 0 }, { out:match "([^\n]*)\n$", code or signal }, err)
    assert.is_nil(out:match "pinned[^\n]*")
  end)

  it("raises after lua_close, when older objects are finalized, whatever it is", function()
    local out, err, code = support.lua [==[
      local old = setmetatable({}, {__gc = function(old)
        local raised = 0
        for _, object in ipairs(old.list) do
          pcall(tostring, object)
          for name, fn in pairs(old.methods) do
            local method = object[name]
            if method and name ~= "exit" then
              assert(not pcall(method, object, "x", print))
              assert(not pcall(method, object))
              raised = raised + 1
            end
          end
          pcall(function() object.field = 1 end)
          for _, name in ipairs {"listening", "connections", "localPort", "remoteAddress", "readyState", "bytesRead",
            "pid", "_handle", "writableLength", "bufferSize", "stdin", "reason"} do
            pcall(function() return object[name] end)
          end
        end
        for name, fn in pairs(old.net) do pcall(fn, print, 1) pcall(fn) end
        assert(not pcall(old.net.run) and not pcall(old.net.Server) and not pcall(old.net.setTimeout, print, 1))
        print(raised > 50 and "raised")
      end})
      local net = require "cnet"
      old.net, old.methods = net, {}
      for _, class in pairs(net) do
        if type(class) == "table" then for name, fn in pairs(class) do old.methods[name] = fn end end
      end
      local controller = net.AbortController()
      old.list = {net.EventEmitter(), net.Server(), net.Server():listen(0), net.Socket(),
        net.connect(1, "127.0.0.1"):on("error", print), net.Socket():destroy(), net.setTimeout(print, 1e6),
        net.setImmediate(function() end), controller, controller.signal, net.process}
      net.nextTick(net.stop)
      net.run()
    ]==]
    assert.same({ "raised\n", "", 0 }, { out, err, code })
  end)
end)
