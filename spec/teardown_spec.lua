-- The end of a state from wherever a script can ask for it, and what outlives its script: a module loaded twice, a
-- table that was emptied, coroutines that are gone. The end from a host in C is tried by stress/teardown.sh; more of
-- the end of a state is in runtime_spec.lua.

local support = require "spec.support"
local children = require "spec.support.children"

after_each(support.clean)

-- Opens one of each kind in each state, among them some that close; all that could be called prints.
local PRELUDE = [[
  local net = require "cnet"
  local child_process = require "cnet.child_process"
  local path, other, script = arg[1], arg[2], arg[3]
  local opened
  local function called(what) return function() if opened then print("called: " .. what) end end end
  local function loud(object, what)
    for event in ("listening connection data end finish close error drain timeout"):gmatch "%a+" do
      object:on(event, called(what .. " " .. event))
    end
    return object
  end
  local function open()
    loud(net.Server(), "server"):listen(0)
    loud(net.Server(), "path server"):listen(other)
    loud(net.Server(), "closing server"):listen(0):close(called "close callback")
    for _ = 1, 3 do loud(net.Server(), "lookup server"):listen(0, "localhost") end
    loud(net.connect(other), "client"):write(("x"):rep(1e6), called "write callback")
    loud(net.connect(other), "destroyed client"):destroy()
    loud(net.connect(1, "localhost"), "lookup client"):setTimeout(5)
    net.setTimeout(called "timer", 1)
    net.setImmediate(called "immediate")
    net.nextTick(called "tick")
    opened = true
  end
  local function leave()
    if opened then print "left twice" end
    open()
    os.exit(7, true)
  end
  -- a connected pair: each(socket, client), once both are there
  local function pair(each, where)
    local client, socket
    local function both() if client and socket then each(socket, client) end end
    local server = net.createServer { allowHalfOpen = true }
    server:on("connection", function(s) socket = s server:close() both() end)
    server:listen(where or path, function()
      local address = server:address()
      local c
      c = net.connect(type(address) == "table" and address.port or address)
      c:on("connect", function() client = c both() end)
    end)
  end
  local function fork(code) return child_process.fork(script, { code }) end
]]

-- What a forked child runs: the code it was given.
local CHILD = [[ assert(load(arg[1], "=child", "t", setmetatable({ net = net, process = process }, { __index = _G })))()
  net.run() ]]

local ENDS = {
  ["a listener of 'connect'"] = "pair(function() end) net.Server():listen(other .. '2', function() " ..
    "net.connect(other .. '2'):on('connect', leave) end)",
  ["a listener of 'ready', a TCP client's"] = [[
    local server = net.Server():listen(0, "127.0.0.1")
    server:on("listening", function() net.connect(server:address().port, "127.0.0.1"):on("ready", leave) end)
  ]],
  ["a listener of 'end'"] = "pair(function(s, c) s:on('end', leave):resume() c:end_() end)",
  ["a listener of 'readable'"] = "pair(function(s, c) s:on('readable', leave) c:write 'x' end)",
  ["a listener of 'error'"] = "net.connect('/none'):on('error', leave)",
  ["a listener of 'error' after a reset"] = [[
    pair(function(s, c) s:on("error", leave):resume() c:resetAndDestroy() end, 0)
  ]],
  ["a listener of a server's 'error'"] = "net.Server():on('error', leave):listen('/none/none')",
  ["a listener of 'timeout'"] = "pair(function(s) s:setTimeout(1, leave) end)",
  ["a listener of 'drain'"] = "pair(function(s, c) c:resume() s:on('drain', leave):write(('x'):rep(1e6)) end)",
  ["a listener of 'finish'"] = "pair(function(s, c) c:resume() s:on('finish', leave):end_ 'x' end)",
  ["the callback of end_"] = "pair(function(s, c) c:resume() s:end_('x', leave) end)",
  ["a listener of 'lookup'"] = "net.connect(1, 'localhost'):on('lookup', leave):on('error', function() end)",
  ["a lookup function"] = "net.setImmediate(net.connect, { port = 1, host = 'x.y', lookup = leave })",
  ["a listener of 'connectionAttempt'"] = "net.connect(1, 'localhost'):on('connectionAttempt', leave)",
  ["a listener of 'connectionAttemptFailed'"] = "net.connect(1, 'localhost'):on('connectionAttemptFailed', leave)",
  ["a listener of 'drop'"] = [[
    local server = net.Server():listen(path)
    server.maxConnections = 1
    server:on("drop", leave)
    server:on("listening", function() net.connect(path) net.connect(path) end)
  ]],
  ["a server's 'close' with others closing"] = [[
    for _ = 1, 5 do net.Server():listen(0):close(called "close before") end
    net.Server():listen(0):close(leave)
    for _ = 1, 5 do net.Server():listen(0):close(called "close after") end
  ]],
  ["a socket's 'close' with others closing"] = [[
    pair(function(s, c)
      local more = {}
      for i = 1, 5 do more[i] = net.Server():listen(0) end
      for i = 1, 2 do more[i]:close() end
      c:on("close", leave):destroy()
      s:destroy()
      for i = 3, 5 do more[i]:close(called "close after") end
    end)
  ]],
  ["the close of a reset"] = "pair(function(s, c) s:on('error', print) c:on('close', leave):resetAndDestroy() end, 0)",
  ["an interval"] = "net.setInterval(leave, 1) net.setTimeout(called 'timer', 1)",
  ["a write callback that failed"] = [[
    pair(function(s, c) s:on("error", function() end) c:destroy() s:write(("x"):rep(1e6), leave) end)
  ]],
  ["a piped socket"] = "pair(function(s, c) s:pipe(c) s:on('data', leave) c:write 'x' end)",
  ["a getConnections callback of a busy server"] = [[
    local server server = net.Server(function() server:getConnections(leave) end)
    server:listen(path, function() net.connect(path) end)
  ]],
  ["a listener of a signal"] = [[
    net.process:on("SIGUSR1", leave) net.setInterval(function() end, 1000)
    os.execute("kill -USR1 " .. net.process.pid)
  ]],
  ["a listener of SIGINT"] = [[
    net.process:on("SIGINT", leave) net.setInterval(function() end, 1000)
    io.popen("kill -INT " .. net.process.pid):close() -- os.execute would ignore it
  ]],
  ["a listener of 'abort'"] = [[
    local controller = net.AbortController()
    controller.signal:addEventListener("abort", leave)
    net.Server():listen { path = path, signal = controller.signal }
    net.setImmediate(function() controller:abort() end)
  ]],
  ["the close after an abort"] = [[
    local controller = net.AbortController()
    net.Server():on("close", leave):listen { path = path, signal = controller.signal }
    net.setImmediate(function() controller:abort() end)
  ]],
  ["a listener of a child's 'spawn'"] = "fork('process:disconnect()'):on('spawn', leave)",
  ["a listener of a child's 'message'"] = "fork('process:send(1)'):on('message', leave)",
  ["a listener of a child's 'disconnect'"] = "fork('process:disconnect()'):on('disconnect', leave)",
  ["a listener of a child's 'exit'"] = "fork('process:exit(1)'):on('exit', leave)",
  ["a listener of a child's 'close'"] = "fork('process:exit(1)'):on('close', leave)",
  ["a listener of a child's 'error'"] = "child_process.fork('x', {}, { execPath = '/none' }):on('error', leave)",
  ["the callback of a child's send"] = "fork('process:on(\"message\", rawlen)'):send(('x'):rep(1e6), leave)",
  ["the callback of a send with a server"] = [[
    local server = net.Server():listen(0)
    local child = "process:on('message', function(_, handle) handle:close() end)"
    server:on("listening", function() fork(child):send("x", server, leave) end)
  ]],
  ["a listener of a cluster's 'fork'"] = "cluster 'fork'",
  ["a listener of a cluster's 'online'"] = "cluster 'online'",
  ["a listener of a cluster's 'listening'"] = "cluster 'listening'",
  ["a listener of a cluster's 'disconnect'"] = "cluster 'disconnect'",
  ["a listener of a cluster's 'exit'"] = "cluster 'exit'",
  ["a listener of a cluster's 'message'"] = "cluster 'message'",
  ["the message handler of a callback"] = "net.setImmediate(error, 'x') net.run(leave)",
  ["a method of a closed over <close>"] = [[
    net.setImmediate(function()
      local guard <close> = setmetatable({}, { __close = leave })
      local server <close> = net.Server():listen(path)
    end)
  ]],
  ["a coroutine in a coroutine"] = "net.setImmediate(coroutine.wrap(function() coroutine.wrap(leave)() end))",
  ["a finalizer in a callback"] = [[
    net.setImmediate(function() setmetatable({}, { __gc = leave }) collectgarbage() end)
  ]],
}

-- The worker listens, sends a message, and leaves.
local CLUSTER = [[
  local function cluster(event)
    local cluster = require "cnet.cluster"
    cluster.setupPrimary { exec = script, args = { "local server = net.Server():listen(0) " ..
      "server:on('listening', function() process:send 'x' process:disconnect() server:close() end)" } }
    if event then cluster:on(event, leave) end
    cluster.fork()
  end
]]

describe("os.exit(code, true)", function()
  for where, script in pairs(ENDS) do
    it("inside " .. where .. " is silent, calls nothing, and removes the socket's files", function()
      if support.valgrind then return pending "the memory is left to the exit" end
      local path, other = support.path(), support.path()
      local out, err, code = support.lua(PRELUDE .. CLUSTER .. script .. "\nnet.run()", path, other,
        children.script(CHILD))
      assert.same({ "", "", 7 }, { out, err, code })
      assert.is_false(support.exists(path))
      assert.is_false(support.exists(other))
    end)
  end

  for where, code in pairs {
    ["a listener of 'message'"] = "process:on('message', leave)",
    ["a listener of 'disconnect'"] = "process:on('disconnect', leave) process:disconnect()",
    ["the callback of send"] = "process:send('x', leave)",
    ["a listener of a server that came"] = "process:on('message', function(_, s) s:on('connection', leave) end)",
  } do
    it("inside " .. where .. " in a child ends it, and the parent goes on", function()
      if support.valgrind then return pending "the memory is left to the exit" end
      local out, err, status = support.lua(PRELUDE .. [[
        local server = net.Server():listen(0, "127.0.0.1")
        local child = fork("local function leave() for _ = 1, 3 do net.Server():listen(0):close(print) end " ..
          "net.connect(1, 'localhost') os.exit(7, true) end " .. arg[4])
        local client
        child:on("exit", function(...)
          print("exit", ...)
          server:close()
          if client then client:destroy() end
        end)
        server:on("connection", function(socket) socket:destroy() end)
        server:on("listening", function()
          local port = server:address().port
          child:send("x", server, function()
            server:close()
            client = net.connect(port, "127.0.0.1"):on("error", function() end)
          end)
        end)
        net.run()
      ]], "", "", children.script(CHILD), code)
      assert.same({ "exit\t7\tnil\n", 0 }, { out, status }, err)
    end)
  end
end)

-- ---- Ctrl-C ----

describe("Ctrl-C", function()
  it("after lua_close in a tick no longer reaches the loop that is gone", function()
    if support.valgrind then return pending "a signal ends the program" end
    local _, err, code, signal = support.lua [[
      old = setmetatable({}, { __gc = function()
        io.popen("kill -INT " .. pid):close()
        for _ = 1, 1000 do end
      end})
      local net = require "cnet"
      pid = net.process.pid
      net.nextTick(os.exit, 5, true)
      net.run()
    ]]
    assert.equal("", err)
    assert.is_true(code == 5 or signal == 2, tostring(code or signal))
  end)
end)

-- ---- older than the module ----

describe("finalizers of objects older than the module", function()
  -- All it can reach is called, with the wrong arguments and with right ones.
  local CALL_ALL = [[
    local function call_all(net, objects)
      local n = 0
      for name, fn in pairs(net) do
        if type(fn) == "function" then
          pcall(fn) pcall(fn, 0, print) pcall(fn, function() print "called" end, 1)
          n = n + 1
        else
          pcall(function() return fn(0) end)
        end
      end
      for _, object in ipairs(objects) do
        for _, name in ipairs { "listen", "connect", "write", "end_", "destroy", "close", "on", "emit", "pipe",
          "address", "getConnections", "send", "kill", "disconnect", "ref", "unref", "abort", "setTimeout",
          "closeAllConnections",
          "addAddress", "check", "refresh", "cork", "uncork", "read", "resume", "pause", "setNoDelay" } do
          local found, method = pcall(function() return object[name] end)
          if found and method then
            pcall(method, object) pcall(method, object, "error", "x") pcall(method, object, 0, print)
            n = n + 1
          end
        end
        pcall(tostring, object)
        pcall(function() object.x = object.listening end)
      end
      return n
    end
  ]]

  for how, script in pairs {
    ["at the end of the script"] = "",
    ["in a callback"] = "net.setImmediate(os.exit, 0, true) net.run()",
    ["in a tick"] = "net.nextTick(os.exit, 0, true) net.run()",
    ["after an error"] = "error 'x'",
  } do
    it("may call everything of it, " .. how, function()
      if support.valgrind and how ~= "at the end of the script" then return pending "the memory is left to the exit" end
      local out, err, code = support.lua(CALL_ALL .. [[
        local objects, net = {}
        old = setmetatable({}, { __gc = function() print(call_all(net, objects) > 100) end})
        net = require "cnet"
        local child_process, cluster = require "cnet.child_process", require "cnet.cluster"
        local controller = net.AbortController()
        objects = { net.Server():listen(0), net.Server():listen(0, "localhost"), net.Socket(),
          net.connect(1, "localhost"):on("error", rawlen), net.EventEmitter(), net.BlockList(), net.SocketAddress {},
          net.BoundSocket(),
          controller, controller.signal, net.process,
          net.setTimeout(rawlen, 1e6), net.setImmediate(rawlen, ""), net.Error "x", cluster,
          child_process.fork("/none", {}, { execPath = "true" }), net.Server():listen(arg[1]) }
        objects[#objects + 1] = objects[1]._handle
        net.run "nowait"
      ]] .. script, support.path())
      assert.equal("true\n", out)
      err = err:gsub("cnet: server.connections[^\n]*\n", "")
      if how == "after an error" then
        assert.matches("lua5%.4: [^\n]*: x\nstack traceback:", err)
      else
        assert.same({ "", 0 }, { err, code })
      end
    end)
  end
end)

-- ---- what outlives its script ----

describe("the module", function()
  it("may be emptied and collected while things are open: they go on", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local run = net.run
      local weak = setmetatable({ net }, { __mode = "v" })
      local server = net.Server(function(socket) socket:pipe(socket) end):listen(0, "127.0.0.1")
      local connect = net.connect
      server:on("listening", function()
        collectgarbage()
        print(weak[1])
        local client = connect(server:address().port, "127.0.0.1")
        client:on("data", function(data) print(data) client:end_() server:close() end):write "echo"
      end)
      for key in pairs(net) do net[key] = nil end
      package.loaded.cnet, package.loaded["cnet.child_process"], net = nil, nil, nil
      collectgarbage() collectgarbage()
      print(run())
    ]]
    assert.same({ "nil\necho\nfalse\n", "", 0 }, { out, err, code })
  end)

  it("required anew knows the objects of the first, the same loop, ticks and timers", function()
    local out, err, code = support.lua([[
      local first = require "cnet"
      local server = first.Server():listen(0)
      local socket = first.Socket()
      local list = first.BlockList()
      local process, log = first.process, {}
      first.nextTick(function() log[#log + 1] = "tick 1" end)
      package.loaded.cnet = nil
      local net = require "cnet"
      net.nextTick(function() log[#log + 1] = "tick 2" end)
      print(net ~= first, net.Server == first.Server, net.Socket == first.Socket, net.process == process,
        net.errorMonitor == first.errorMonitor)
      list:addAddress "1.2.3.4"
      local filtered = net.Server { blockList = list }
      print(net.BlockList.isBlockList(list), net.Server.close == server.close)
      local shared = net.Server():listen(server)
      net.clearTimeout(first.setTimeout(print, 1, "never"))
      server:on("listening", function()
        net.Socket.connect(socket, server:address().port, "127.0.0.1")
        socket:on("connect", function() log[#log + 1] = "connect" first.stop() end)
      end)
      print(net.run())
      print(select(2, pcall(function() net.setImmediate(first.run) net.run() end)))
      socket:destroy() server:close() shared:close()
      print(first.run(), table.concat(log, ","))
      for _ = 1, 50 do package.loaded.cnet = nil require "cnet" end
      collectgarbage()
      local before = collectgarbage "count"
      for _ = 1, 50 do package.loaded.cnet = nil require "cnet" collectgarbage() end
      print(collectgarbage "count" - before < 8)
    ]])
    assert.equal("", err)
    assert.same({ "true\ttrue\ttrue\ttrue\ttrue", "true\ttrue", "true" },
      { out:match "([^\n]*)\n([^\n]*)\n([^\n]*)\n" })
    assert.matches("running already[^\n]*\nfalse\ttick 1,tick 2,connect\ntrue\n$", out)
    assert.equal(0, code)
  end)

  it("required anew in a child keeps the channel, and a cluster's worker its primary", function()
    local out, err, code = support.lua(PRELUDE .. [[
      fork("package.loaded.cnet = nil local again = require 'cnet' again.process:on('message', function(m) " ..
        "process:send(m) again.process:disconnect() end)"):on("message", function(m) print(m) end):send "echo"
      net.run()
      local cluster = require "cnet.cluster"
      cluster.setupPrimary { exec = script, args = { "package.loaded.cnet = nil net = require 'cnet' " ..
        "package.loaded['cnet.cluster'] = nil require 'cnet.cluster' net.Server():listen(0)" } }
      cluster:on("listening", function(worker) print "listening" worker:disconnect() end)
      cluster.fork()
      net.run()
    ]], "", "", children.script(CHILD))
    assert.same({ "echo\nlistening\n", "", 0 }, { out, err, code })
  end)

  it("first required in a coroutine, which is gone, works on", function()
    local out, err, code = support.lua [[
      local weak = setmetatable({}, { __mode = "k" })
      do
        local co = coroutine.create(function()
          local net = require "cnet"
          local server = net.Server(function(socket) print "connection" socket:destroy() coroutine.yield() end)
          server:listen(0, "127.0.0.1", function()
            net.connect(server:address().port, "127.0.0.1"):on("close", function() print "close" server:close() end)
          end)
          error "dead"
        end)
        weak[co] = true
        print(coroutine.resume(co))
      end
      collectgarbage() collectgarbage()
      print(next(weak))
      local net = require "cnet"
      local ok, message = pcall(net.run)
      print(ok, message)
      print(net.run())
    ]]
    assert.equal("", err)
    assert.equal(0, code)
    assert.matches("^false\t[^\n]*dead\nnil\n", out)
    assert.matches("connection\n", out)
    assert.matches("attempt to yield", out)
    assert.matches("close\nfalse\n$", out)
  end)
end)

describe("net.run in coroutines", function()
  it("that are closed, die or are collected afterwards, leaves what is open to the next", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local server = net.Server():listen(0, "127.0.0.1")
      local function once(how)
        local co = coroutine.create(function()
          local guard <close> = setmetatable({}, { __close = function() print("closed", how) end })
          net.nextTick(error, how)
          net.run()
        end)
        print(coroutine.resume(co))
        if how == "close" then print(coroutine.close(co)) end
      end
      once "close"
      once "forget"
      collectgarbage()
      local co = coroutine.create(function() net.nextTick(net.stop) net.run() coroutine.yield "yielded" end)
      print(coroutine.resume(co))
      print(coroutine.close(co), coroutine.status(co))
      local other = coroutine.wrap(function()
        net.nextTick(function() print(pcall(coroutine.close, co)) co = nil collectgarbage() net.stop() end)
        return net.run()
      end)
      print(other())
      net.setImmediate(function() print((coroutine.resume(coroutine.create(net.run)))) server:close() end)
      print(net.run())
    ]]
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal("false\tclose\nclosed\tclose\nfalse\tclose\nfalse\tforget\ntrue\tyielded\ntrue\tdead\n" ..
      "true\ttrue\ntrue\nfalse\nfalse\n", out)
  end)
end)
