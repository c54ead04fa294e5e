-- cnet.cluster: a primary, its workers, and what the script sees of them. What follows Node was compared with it.

local support = require "spec.support"
local clusters = require "spec.support.clusters"

after_each(support.clean)

-- A worker that says which of two it is to whoever connects.
local GREETER = [[
  net.createServer(function(socket) socket:end_(os.getenv "NODE_NAME") end):listen(0)
]]

describe("the module cnet.cluster", function()
  it("is an emitter with Node's names, in a primary", function()
    local lines = clusters.run("", [[
      say(cluster.isPrimary, cluster.isMaster, cluster.isWorker, cluster.worker)
      say(cluster.workers, cluster.settings, cluster.SCHED_NONE, cluster.SCHED_RR, cluster.schedulingPolicy)
      say(cluster.setupMaster == cluster.setupPrimary, require "cnet.cluster" == cluster, require "cnet" == net)
      say(tostring(cluster):match "^cnet.cluster", tostring(cluster.Worker))
      cluster:once("mine", say)
      cluster:emit("mine", 1, 2)
      cluster.mine = "the script's"
      say(cluster.mine)
    ]])
    assert.same({ "true true false nil", "{} {} 1 2 2", "true true true", "cnet.cluster cluster.Worker", "1 2",
      "the script's" }, lines)
  end)

  it("can be loaded alone, before or after cnet, and gives the same objects", function()
    assert.equal("true\ntrue\n", (support.lua [[
      local cluster = require "cnet.cluster"
      print(package.loaded.cnet == require "cnet")
      package.loaded["cnet.cluster"] = nil
      print(require "cnet.cluster" == cluster)
    ]]))
  end)

  it("has the worker in a worker, and nothing of a primary", function()
    assert.same({
      "1 false false true true nil", "1 online nil true false nil", "nil nil nil nil nil", "nil nil nil",
      "1 exit 0 nil true",
    }, clusters.run([[
      local worker = cluster.worker
      say(worker.id, cluster.isPrimary, cluster.isMaster, cluster.isWorker, worker.process == net.process)
      say(worker.id, worker.state, worker.exitedAfterDisconnect, worker:isConnected(), worker:isDead())
      say(cluster.fork, cluster.workers, cluster.settings, cluster.disconnect)
      say(os.getenv "NODE_UNIQUE_ID", os.getenv "NODE_CHANNEL_FD")
      worker:disconnect()
    ]], [[
      local worker = cluster.fork()
      worker:on("message", say)
      worker:on("exit", function(...) say(worker.id, "exit", texts(...), worker.exitedAfterDisconnect) end)
    ]]))
  end)

  it("takes its functions with a dot and with a colon", function()
    assert.same({ "true", "1", "2", "exit", "exit", "back" }, clusters.run("", [[
      cluster:setupPrimary { silent = true }
      cluster.setupPrimary {}
      say(cluster.settings.silent)
      cluster:fork { A = 1 }
      cluster.fork()
      local online = 0
      cluster:on("online", function()
        online = online + 1
        say(online)
        if online == 2 then cluster:disconnect(function() net.nextTick(say, "back") end) end
      end)
      cluster:on("exit", function() say "exit" end)
    ]]))
  end)

  it("raises errors for wrong arguments and a wrong self", function()
    assert.same({
      "ERR_INVALID_ARG_TYPE", "ERR_INVALID_ARG_TYPE", "ERR_INVALID_THIS", "ERR_INVALID_THIS", "ERR_INVALID_ARG_TYPE",
      "Bad cluster.schedulingPolicy: both", "0 none nil", "false", "false", "false false",
    }, clusters.run("", [[
      local function code(fn, ...)
        local _, err = pcall(fn, ...)
        return err.code or err.message
      end
      say(code(cluster.fork, 1))
      say(code(cluster.setupPrimary, "x"))
      say(code(cluster.Worker.disconnect, {}))
      say(code(cluster.Worker.isDead))
      say(code(cluster.Worker, { process = {} }))
      cluster.schedulingPolicy = "both"
      say(select(2, pcall(cluster.fork)).message)
      local worker = cluster.Worker()
      say(worker.id, worker.state, worker.process)
      say((pcall(worker.send, worker, 1)))
      say((pcall(worker.kill, worker)))
      say(worker:isConnected(), worker:isDead())
    ]]))
  end)
end)

describe("cluster.setupPrimary", function()
  it("has the running script for its default, adds up, and emits 'setup' in a tick, as fork does", function()
    assert.same({
      "now", "{one,two} false {} nil true", "{} false {} /x",
      "setup {args=one+two,cwd=/x,exec=true,execArgv={},silent=false}",
      "setup {args=,cwd=/x,exec=true,execArgv={},silent=false}",
    }, clusters.run("", [[
      local function row(settings)
        return ("{%s} %s {%s} %s"):format(table.concat(settings.args, ","), settings.silent,
          table.concat(settings.execArgv), settings.cwd)
      end
      cluster:on("setup", function(settings)
        local copy = {}
        for key, value in pairs(settings) do copy[key] = value end
        copy.args = table.concat(settings.args, "+")
        copy.exec = settings.exec == arg[0]
        say("setup", copy)
      end)
      say "now"
      cluster.setupPrimary()
      say(row(cluster.settings), cluster.settings.exec == arg[0])
      cluster.settings.cwd = "/x"
      cluster.setupPrimary { args = {} }
      say(row(cluster.settings))
    ]], { args = { "one", "two" } }))
  end)

  it("starts what it is told to, with its arguments and the environment of fork", function()
    local script = support.file [[
      local net = require "cnet"
      net.process:send { arg[1], arg[2], os.getenv "MINE", os.getenv "HOME", os.getenv "NODE_UNIQUE_ID" }
      net.process:disconnect()
      net.run()
    ]]
    local home = os.getenv "HOME"
    assert.same({ "a b 7 " .. home }, clusters.run("", [[
      cluster.setupPrimary { exec = arg[1], args = { "a", "b" } }
      local cpath = package.cpath
      cluster:on("message", function(_, message) say(table.concat(message, " ")) end)
      cluster.fork { MINE = 7, LUA_CPATH = cpath }
    ]], { args = { script } }))
  end)

  it("can have another interpreter; one that is missing is an 'error' of the worker", function()
    assert.same({ "w spawn /no/such ENOENT", "1 true true", "disconnect 0" }, clusters.run("", [[
      cluster.setupPrimary { execPath = "/no/such" }
      forks = forks - 1 -- no exit will come
      local worker = cluster.fork()
      worker:on("error", function(err)
        say("w", err.message)
        say(count(cluster.workers), worker:isConnected(), worker:isDead())
      end)
      worker:on("disconnect", function() say("disconnect", count(cluster.workers)) end)
    ]]))
  end)

  it("freezes the policy at the first setup", function()
    for policy, number in pairs { rr = 2, none = 1, other = 2 } do
      assert.same({ tostring(number), "true" }, clusters.run(GREETER, [[
        say(cluster.schedulingPolicy)
        cluster.setupPrimary()
        cluster.schedulingPolicy = "nonsense"
        cluster.fork { NODE_NAME = "x" }
        listening(1, function(address)
          get(address.port, function(text) say(text == "x") cluster.disconnect() end)
        end)
      ]], { policy = policy }))
    end
  end)
end)

-- ---- events ----

-- Each event of the cluster and of the worker, with its arguments and the worker's state.
local LOG = [[
  local function log(worker)
    for _, event in ipairs { "online", "message", "listening", "disconnect", "exit", "error" } do
      worker:on(event, function(...) say("worker", event, texts(...)) end)
    end
  end
  for _, event in ipairs { "setup", "fork", "online", "message", "listening", "disconnect", "exit" } do
    cluster:on(event, function(worker, ...)
      if event == "setup" then return say "setup" end
      local text = texts(...):gsub("port=%d+", "port=N")
      say(event, worker.state, worker.exitedAfterDisconnect, count(cluster.workers), text)
    end)
  end
]]

-- Whether the primary hears first of the end of the channel or of the exit is the kernel's to choose, in Node too.
local function in_order(lines)
  for i = 1, #lines - 3 do
    if lines[i]:find "^worker exit" and lines[i + 2]:find "^worker disconnect" then
      table.move(lines, i, i + 3, i + 2)
      table.move(lines, i + 4, i + 5, i)
      lines[i + 4], lines[i + 5] = nil, nil
    end
  end
  return lines
end

-- The log of one worker that `act`, a function of the primary or the worker, brings to its end.
local function life(worker, act)
  local lines = clusters.run(([[
    local act = load([=[local cluster, net = ... %s]=])
    net.createServer():listen(0, function() net.process:send "hi" end)
    net.process:on("message", function() act(cluster, net) end)
  ]]):format(worker), LOG .. [[
    local worker = cluster.fork()
    log(worker)
    worker:on("message", function() worker:send "go" end)
    cluster:once("listening", function() net.setImmediate(function() ]] .. act .. [[ end) end)
  ]])
  local start = {
    "setup", "fork none nil 1 ", "worker online ", "online online nil 1 ",
  }
  for i, line in ipairs(start) do assert.equal(line, lines[i]) end
  local ends = {}
  for i = #start + 1, #lines do
    local line = lines[i]:gsub("port=%d+", "port=N")
    if not line:find "message" and not line:find "listening {" and not line:find "^listening" then
      ends[#ends + 1] = line
    end
  end
  return in_order(ends)
end

describe("the events of a cluster", function()
  it("come in Node's order, with its arguments", function()
    assert.same({
      "now none nil 1", "setup", "fork none nil 1 ",
      "worker online ", "online online nil 1 ",
      "message online nil 1 {a=1} nil", "worker message {a=1} nil",
      "worker listening {addressType=4,port=N}", "listening listening nil 1 {addressType=4,port=N}",
      "true true nil 0",
      "worker disconnect ", "disconnect disconnected true 0 ",
      "worker exit 0 nil", "exit dead true 0 0 nil",
    }, (function(lines)
      for i, line in ipairs(lines) do lines[i] = line:gsub("port=%d+", "port=N") end
      return in_order(lines)
    end)(clusters.run([[
      net.process:send { a = 1 }
      net.createServer():listen(0)
    ]], LOG .. [[
      local worker = cluster.fork()
      say("now", worker.state, worker.exitedAfterDisconnect, count(cluster.workers))
      log(worker)
      cluster:once("listening", function()
        say(worker:disconnect() == worker, worker.exitedAfterDisconnect, cluster.workers[1], count(cluster.workers))
      end)
    ]])))
  end)

  it("tell whether the exit was meant", function()
    local meant = {
      "worker disconnect ", "disconnect disconnected true 1 ", "worker exit 0 nil", "exit dead true 0 0 nil",
    }
    assert.same(meant, life("cluster.worker:disconnect()", ""))
    assert.same(meant, life("cluster.worker:kill()", ""))
    local function died(code, name)
      return {
        "worker disconnect ", "disconnect disconnected false 1 ",
        ("worker exit %s %s"):format(code, name), ("exit dead false 0 %s %s"):format(code, name),
      }
    end
    assert.same(died("3", "nil"), life("net.process:exit(3)", ""))
    assert.same(died("0", "nil"), life("net.process:disconnect()", ""))
    assert.same(died("nil", "SIGTERM"), life("", "worker:kill()"))
    assert.same(died("nil", "SIGHUP"), life("", "worker:destroy 'SIGHUP'"))
    assert.same(died("nil", "SIGKILL"), life("", "worker.process:kill 'SIGKILL'"))
  end)

  it("of a worker itself are 'message' and 'disconnect'", function()
    assert.same({ "1 worker go nil", "1 again true", "1 disconnecting", "true" }, clusters.run([[
      local worker = cluster.worker
      worker:on("message", function(...)
        say("worker", ...)
        worker:on("disconnect", function() io.stdout:write "" end)
        worker:send "again true"
        worker:disconnect()
        worker:send(worker.state)
        worker:disconnect()
      end)
    ]], [[
      hear()
      local worker = cluster.fork()
      worker:send "go"
      worker:on("exit", function() say(worker.exitedAfterDisconnect) end)
    ]]))
  end)

  it("carry sockets and servers with messages, from both sides", function()
    local lines = clusters.run([[
      cluster.worker:on("message", function(what, socket)
        socket:end_("hello from " .. cluster.worker.id)
        local server = net.createServer():listen({ port = 0, exclusive = true }, function() end)
        server:on("listening", function() net.process:send("server", server) server:close() end)
      end)
    ]], [[
      local worker = cluster.fork()
      local server = net.createServer({ pauseOnConnect = true }, function(socket)
        say("got", tostring(socket):match "^[%w.]+")
        worker:send("socket", socket)
      end)
      server:listen(0, "127.0.0.1", function()
        get(server:address().port, function(text) say(text) end)
      end)
      cluster:on("message", function(_, message, handle)
        say(tostring(handle):match "^[%w.]+")
        handle:close(function() say "closed" server:close() worker:disconnect() end)
      end)
    ]])
    table.sort(lines)
    assert.same({ "closed", "got net.Socket", "hello from 1", "net.Server" }, lines)
  end)

  it("an error of the channel is the worker's", function()
    assert.same({ "error ERR_IPC_CHANNEL_CLOSED", "false" }, clusters.run("", [[
      local worker = cluster.fork()
      worker:on("error", function(err) say("error", err.code) end)
      worker:on("disconnect", function() net.setImmediate(say, worker:send "late") end)
      cluster:on("online", function() worker:disconnect() end)
    ]]))
  end)
end)

describe("cluster.disconnect", function()
  it("calls back in a tick when there are no workers", function()
    assert.same({ "now", "back" }, clusters.run("", [[
      print(cluster.disconnect(function(...) say("back", ...) end))
      say "now"
    ]]))
  end)

  it("lets connections end, refuses new ones, and calls back once the last worker is gone", function()
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "0", "ECONNREFUSED", "hello", "hello", "true true 0" }, clusters.run([[
        net.createServer(function(socket)
          socket:on("data", function() socket:end_ "hello" end)
          net.process:send "connection"
        end):listen(0)
      ]], [[
        local workers = { cluster.fork(), cluster.fork() }
        local sockets, connections, port = {}, 0, nil
        listening(2, function(address)
          port = address.port
          for i = 1, 2 do sockets[i] = get(port, function(text) say(text) end) end
        end)
        cluster:on("message", function()
          connections = connections + 1
          if connections ~= 2 then return end
          cluster.disconnect(function() say(workers[1]:isDead(), workers[2]:isDead(), count(cluster.workers)) end)
          say(count(cluster.workers))
          local function try()
            get(port, function(text)
              if text ~= "ECONNREFUSED" then return try() end -- the workers have not closed it yet
              say(text)
              for i = 1, 2 do sockets[i]:write "x" end
            end):write "x"
          end
          try()
        end)
      ]], { policy = policy }))
    end
  end)
end)

describe("a message that only looks like one of the cluster's", function()
  after_each(support.clean)

  it("may have a socket with it", function()
    local out, err, code = support.lua [[
      local cluster = require "cnet.cluster"
      local net = require "cnet"
      if cluster.isWorker then
        local server
        server = net.createServer(function(socket)
          net.process:send({ cmd = "NODE_CLUSTER", act = "newconn", key = "x" }, socket)
          net.process:send({ cmd = "NODE_CLUSTER", act = "nothing" }, net.connect(server:address().port), function()
            net.process:disconnect()
            server:close()
          end)
        end)
        server:listen({ port = 0, host = "127.0.0.1", exclusive = true }, function()
          net.connect(server:address().port, "127.0.0.1"):on("error", function() end)
        end)
        net.setTimeout(function() os.exit(0) end, 500):unref()
        net.run()
        return
      end
      cluster.setupPrimary { execArgv = { "-e", "package.cpath = [=[" .. package.cpath .. "]=]" } }
      cluster.fork()
      cluster:on("exit", function() net.setImmediate(function() os.exit(0) end) end)
      net.run()
    ]]
    assert.same({ "", 0 }, { out, code }, err)
  end)
end)
