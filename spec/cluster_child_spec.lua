-- How the servers of a cluster's worker listen: through the primary, or by themselves.

local support = require "spec.support"
local clusters = require "spec.support.clusters"

after_each(support.clean)

-- One worker that runs `script`, a coroutine: `listen(...)` gives the server and its error, and `used` is a port that
-- the primary itself listens on, `fd` its descriptor, if `with_fd` asks for it. Returns the lines that it says, with
-- ports as N, and those of 'listening'.
local function worker(policy, script, with_fd)
  local lines = clusters.run([[
    local used, fd = tonumber(os.getenv "USED"), tonumber(os.getenv "FD")
    local co
    local function message_of(err)
      local fields = {}
      for _, name in ipairs { "code", "errno", "syscall", "address", "port" } do
        fields[#fields + 1] = tostring(err[name])
      end
      return err.message .. " [" .. table.concat(fields, " ") .. "]"
    end
    local function listen(...)
      local server, failed = net.createServer(), nil
      server:on("error", function(err) failed = err end)
      server:on("close", function() if failed then coroutine.resume(co, server, message_of(failed)) end end)
      server:on("listening", function() net.setImmediate(function() coroutine.resume(co, server) end) end)
      server:listen(...)
      return coroutine.yield()
    end
    local function wait(ms) net.setTimeout(coroutine.resume, ms or 1, co) coroutine.yield() end
    co = coroutine.create(function()
      local ok, err = xpcall(function() ]] .. script .. [[ end, debug.traceback)
      if not ok then
        io.stderr:write(err, "\n")
        net.process:exit(1)
      end
      net.process:send "end"
    end)
    coroutine.resume(co)
  ]], [[
    local mine = net.createServer(function(socket) socket:destroy() end):listen(0)
    local port, fd = mine:address().port, nil
    for n = 3, arg[1] and 40 or 0 do -- the one that listens, by its number among the kernel's
      local pipe = io.popen(("readlink /proc/%d/fd/%d"):format(net.process.pid, n))
      local inode = (pipe:read "l" or ""):match "^socket:%[(%d+)%]"
      pipe:close()
      for line in io.lines "/proc/net/tcp6" do
        if inode and line:find(" " .. inode .. " ", 1, true) and line:find((":%04X "):format(port)) then fd = n end
      end
    end
    cluster.fork { USED = port, FD = fd }
    cluster:on("listening", function(_, address) say("event", address) end)
    cluster:on("message", function(_, message)
      if message ~= "end" then return print(message) end
      cluster.disconnect(function() mine:close() end)
    end)
    cluster:on("exit", function(_, code, name) say("exit", code, name) end)
  ]], { policy = policy, args = with_fd and { "fd" } })
  assert.equal("exit 0 nil", table.remove(lines))
  local events = {}
  for i = #lines, 1, -1 do
    lines[i] = lines[i]:gsub("%f[%d]%d%d%d%d%d%f[%D]", "N")
    if lines[i]:find "^event" then table.insert(events, 1, (table.remove(lines, i):gsub("^event ", ""))) end
  end
  return lines, events
end

for _, policy in ipairs(clusters.policies) do
  describe("a server of a worker, policy " .. policy, function()
    it("listens later, on what the primary says, and closes again", function()
      local lines, events = worker(policy, [[
        local server = listen(0)
        local address = server:address()
        say(server.listening, address.address, address.family, math.type(address.port), tostring(server))
        say(address ~= server:address(), server._handle ~= nil)
        server:on("close", function() say "close" end)
        server:close(function(...) say("closed", ...) end)
        say(server.listening, server:address(), tostring(server))
        wait()
        server:listen { port = 0, host = "127.0.0.1" }
        say(server.listening, pcall(server.listen, server) and server.listening)
        server:close()
        wait()
        server = listen(0, "127.0.0.1")
        say(tostring(server), select(2, pcall(server.listen, server, 0)).code)
        server:close()
      ]])
      assert.same({
        "true :: IPv6 integer net.Server ([::]:N)", "true true", "false nil net.Server (not listening)", "close",
        "closed", "false false", "close", "net.Server (127.0.0.1:N) ERR_SERVER_ALREADY_LISTEN",
      }, lines)
      assert.same({ "{addressType=4,port=N}", "{address=127.0.0.1,addressType=4,port=N}" }, events)
    end)

    it("shares port 0 with the same listen of other workers; a second one gets another port", function()
      local lines = clusters.run([[
        local first = net.createServer():listen(0)
        first:on("listening", function()
          local second = net.createServer():listen(0)
          second:on("listening", function()
            net.process:send { first:address().port, second:address().port }
          end)
        end)
      ]], [[
        local ports = {}
        for _ = 1, 3 do cluster.fork() end
        cluster:on("message", function(_, message)
          ports[#ports + 1] = message
          if #ports < 3 then return end
          say(ports[1][1] == ports[2][1] and ports[2][1] == ports[3][1])
          say(ports[1][2] == ports[2][2] and ports[2][2] == ports[3][2], ports[1][1] ~= ports[1][2])
          cluster.disconnect()
        end)
      ]], { policy = policy })
      assert.same({ "true", "true true" }, lines)
    end)

    it("fails as Node's: 'error' with the syscall bind, then 'close'", function()
      local lines, events = worker(policy, [[
        local port = listen(0):address().port
        say(select(2, listen(port)))
        say(select(2, listen { port = used }))
        say(select(2, listen { port = used, host = "127.0.0.1" }))
        say(select(2, listen { port = 0, host = "192.0.2.1" }))
        say(select(2, listen "/no/such/dir"))
        say(select(2, listen { fd = 999 }))
      ]])
      assert.same({
        "bind EADDRINUSE null:N [EADDRINUSE -98 bind nil N]",
        "bind EADDRINUSE null:N [EADDRINUSE -98 bind nil N]",
        "bind EADDRINUSE 127.0.0.1:N [EADDRINUSE -98 bind 127.0.0.1 N]",
        "bind EADDRNOTAVAIL 192.0.2.1 [EADDRNOTAVAIL -99 bind 192.0.2.1 nil]",
        "bind EACCES /no/such/dir [EACCES -13 bind /no/such/dir -1]",
        "bind EINVAL [EINVAL -22 bind nil nil]",
      }, lines)
      assert.equal("{addressType=4,port=N}", events[1])
    end)

    it("that failed can listen again, in its 'error' too, and warns of no listeners", function()
      assert.same({ "1", "2", "listening", "true" }, (worker(policy, [[
        local server, tries = net.createServer(), 0
        server:on("error", function(err)
          tries = tries + 1
          if tries <= 2 then say(tries) end
          server:listen(tries < 30 and used or 0)
        end)
        server:on("close", function() say "no close" end)
        server:on("listening", function() say "listening" end)
        server:listen(used)
        while not server.listening do wait() end
        say(tries == 30)
        server:removeAllListeners "close"
      ]])))
    end)

    it("listens by itself if it is exclusive, or reuses the port", function()
      local lines, events = worker(policy, [[
        local server = listen { port = 0, exclusive = true }
        say(tostring(server))
        local port = server:address().port
        say(select(2, listen { port = port, exclusive = true }))
        say(select(2, listen { port = port }))
        say(select(2, listen { port = port, host = "127.0.0.1", exclusive = true }))
        local a = listen { port = 0, reusePort = true }
        local b = listen { port = a:address().port, reusePort = true }
        say(a:address().port == b:address().port)
        server:close()
        a:close()
        b:close()
      ]])
      assert.same({
        "net.Server ([::]:N)",
        "listen EADDRINUSE: address already in use :::N [EADDRINUSE -98 listen :: N]",
        "bind EADDRINUSE null:N [EADDRINUSE -98 bind nil N]",
        "listen EADDRINUSE: address already in use 127.0.0.1:N [EADDRINUSE -98 listen 127.0.0.1 N]",
        "true",
      }, lines)
      assert.same({}, events)
    end)

    it("listens on a path, relative to its own folder, that workers share", function()
      local path = support.path()
      local lines = clusters.run([[
        local path = os.getenv "SOCKET"
        local server = net.createServer(function(socket) socket:end_ "hello" end)
        server:listen({ path = path, readableAll = true, writableAll = true }, function()
          say(server:address() == path, tostring(server) == "net.Server (" .. path .. ")")
        end)
        say(server.listening, server:address() == path)
      ]], [[
        local path = arg[1]
        local folder, name = path:match "^(.*)/([^/]*)$"
        hear()
        cluster.setupPrimary { cwd = folder, exec = arg[0]:find "^/" and arg[0] or nil }
        cluster.fork { SOCKET = "./x/../" .. name }
        cluster.fork { SOCKET = path }
        listening(2, function(address)
          say(address.address == path, address.addressType, address.port)
          get_many(6, path, function(got)
            say(got)
            local pipe = io.popen("stat -c %a " .. path)
            say(pipe:read "l")
            pipe:close()
            cluster.disconnect(function() net.setImmediate(function() say((os.rename(path, path))) end) end)
          end)
        end)
      ]], { policy = policy, args = { path } })
      table.sort(lines)
      assert.same({
        "1 false true", "1 true true", "2 false true", "2 true true", "777", "nil", "true -1 -1", "{hello=6}",
      }, lines)
    end)

    it("listens on a descriptor of the primary, which keeps it", function()
      local lines, events = worker(policy, [[
        local server = listen { fd = fd }
        say(server:address().port == used, server.listening)
        server:close()
        wait(20)
        server = listen { fd = fd }
        say(server:address().port == used)
        server:close()
        wait(20)
        local client = net.connect(used, "127.0.0.1", function() coroutine.resume(co) end)
        coroutine.yield()
        client:destroy()
      ]], true)
      assert.same({ "true true", "true" }, lines)
      assert.equal(2, #events)
    end)

    it("honours ipv6Only, with a host and without one", function()
      local lines = worker(policy, [[
        local server = listen { port = 0, ipv6Only = true }
        local port = server:address().port
        say(tostring(server))
        local other = listen { port = port, host = "127.0.0.1" }
        say(tostring(other))
        say(tostring(listen { port = 0, host = "::", ipv6Only = true }))
      ]])
      assert.same({ "net.Server ([::]:N)", "net.Server (127.0.0.1:N)", "net.Server ([::]:N)" }, lines)
    end)

    it("lets the last of several listens win, and a close before the answer", function()
      local lines, events = worker(policy, [[
        local server = net.createServer()
        server:on("close", function() say "close" end)
        server:on("listening", function() say("listening", tostring(server)) end)
        server:listen(0)
        server:listen(0, "127.0.0.1")
        while not server.listening do wait() end
        server:close()
        wait()
        server:listen(0)
        server:close()
        wait(20)
        say(server.listening)
        do local closed <close> = net.createServer():listen(0) end
      ]])
      assert.same({ "listening net.Server (127.0.0.1:N)", "close", "close", "false" }, lines)
      assert.same({ "{address=127.0.0.1,addressType=4,port=N}" }, events)
    end)

    it("hears an abort, and takes a callback", function()
      assert.same({ "listening true", "close", "close" }, (worker(policy, [[
        local controller = net.AbortController()
        local server = net.createServer()
        server:on("close", function() say "close" end)
        server:listen({ port = 0, signal = controller.signal }, function() say("listening", server.listening) end)
        while not server.listening do wait() end
        controller:abort()
        wait()
        server:listen { port = 0, signal = controller.signal }
        wait(20)
      ]])))
    end)

    it("serves: options, maxConnections, getConnections, closeAllConnections", function()
      local lines = clusters.run([[
        local server
        server = net.createServer({ pauseOnConnect = true, noDelay = true }, function(socket)
          server:getConnections(function(_, n)
            say(socket:isPaused(), socket.server == server, socket.remoteAddress, n)
            server:closeAllConnections()
          end)
        end)
        server:listen { port = 0, host = "127.0.0.1" }
      ]], [[
        hear()
        cluster.fork()
        listening(1, function(address)
          get(address.port, function(text) say("closed", text) cluster.disconnect() end)
        end)
      ]], { policy = policy })
      table.sort(lines)
      assert.same({ "1 true true 127.0.0.1 1", "closed " }, lines)
    end)

    it("with maxConnections and dropMaxConnection drops by itself", function()
      local lines = clusters.run([[
        local server = net.createServer(function(socket) say "connection" socket:write "hello" end)
        server.maxConnections = 1
        server.dropMaxConnection = true
        server:on("drop", function(data) say("drop", data.localAddress, data.remoteFamily) end)
        server:listen { port = 0, host = "127.0.0.1" }
      ]], [[
        cluster.fork()
        hear()
        listening(1, function(address)
          local first = get(address.port, function() cluster.disconnect() end)
          first:once("data", function()
            get(address.port, function(text)
              say("second", #text)
              first:end_()
            end)
          end)
        end)
      ]], { policy = policy })
      table.sort(lines)
      assert.same({ "1 connection", "1 drop 127.0.0.1 IPv4", "second 0" }, lines)
    end)

    it("keeps its worker alive until the channel is unref'd, and then by its own ref", function()
      local lines = clusters.run([[
        local server = net.createServer()
        if os.getenv "UNREF" then server:unref() end
        server:listen(0, function()
          net.process.channel:unref()
          net.process:send(tostring(server.listening))
        end)
      ]], [[
        hear()
        local first, second = cluster.fork { UNREF = 1 }, nil
        first:on("exit", function(...)
          say("first", ...)
          second = cluster.fork()
          second:on("message", function() net.setTimeout(function() say(second:isDead()) second:kill() end, 100) end)
          second:on("exit", function(...) say("second", ...) end)
        end)
      ]], { policy = policy })
      assert.same({ "1 true", "first 0 nil", "2 true", "false", "second nil SIGTERM" }, lines)
    end)
  end)
end

describe("a worker", function()
  it("shares the primary's handles if it knows only cnet", function()
    local script = support.file [[
      local net = require "cnet"
      net.createServer(function(socket) socket:end_ "plain" end):listen(0)
      net.run()
    ]]
    assert.same({ "{plain=4}", "exit 0 true" }, clusters.run("", [[
      cluster.setupPrimary { exec = arg[1] }
      cluster.fork { LUA_CPATH = package.cpath }
      cluster.fork { LUA_CPATH = package.cpath }
      listening(2, function(address)
        get_many(4, address.port, function(got)
          say(got)
          cluster.disconnect()
        end)
      end)
      cluster:once("exit", function(worker, code) say("exit", code, worker.exitedAfterDisconnect) end)
    ]], { args = { script } }))
  end)

  it("exits with 0 when its primary dies", function()
    local script = support.file(("package.cpath = %q\n"):format(package.cpath) .. [[
      local cluster, net = require "cnet.cluster", require "cnet"
      io.stdout:setvbuf "no"
      if cluster.isPrimary then
        cluster.fork()
        cluster:on("listening", function() net.process:send "ready" end)
      else
        net.process:on("exit", function(code) io.write("worker exit ", code, "\n") end)
        cluster.worker:on("disconnect", function() io.write "worker disconnect\n" end)
        net.createServer():listen(0)
      end
      net.run()
    ]])
    local lines = clusters.run("", [=[
      local child_process = require "cnet.child_process"
      local child = child_process.fork(arg[1], {}, { stdio = { "ignore", "pipe", "inherit", "ipc" } })
      local text = ""
      child:on("message", function() child:kill "SIGKILL" end)
      child:on("exit", say)
      child.stdout:on("data", function(chunk) text = text .. chunk end)
      child.stdout:on("end", function() io.write(text) end) -- once the worker has ended too
    ]=], { args = { script } })
    table.sort(lines)
    assert.same({ "nil SIGKILL", "worker disconnect", "worker exit 0" }, lines)
  end)

  it("that ends without a word leaves nothing behind in the primary", function()
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "true" }, clusters.run([[
        net.createServer(function(socket) socket:end_ "x" end):listen(tonumber(os.getenv "PORT"))
      ]], [[
        local free = net.createServer():listen(0)
        local port = free:address().port
        free:close()
        local rounds = 0
        cluster:on("listening", function(worker)
          get(port, function(text)
            assert(text == "x")
            worker.process:kill "SIGKILL"
          end)
        end)
        cluster:on("exit", function()
          rounds = rounds + 1
          get(port, function(text)
            assert(text == "ECONNREFUSED")
            if rounds < 3 then cluster.fork { PORT = port } else say(true) end
          end)
        end)
        cluster.fork { PORT = port }
      ]], { policy = policy }))
    end
  end)

  it("told to disconnect while the handle that it asked for is still on its way ends", function()
    assert.same({ "exit 0 nil true" }, clusters.run([[
      net.createServer():listen(0)
      signal("STOP", net.process.pid)
    ]], [[
      local worker = cluster.fork()
      cluster:on("online", function()
        worker:send(("x"):rep(3000000)) -- more than the channel takes while nobody reads: the handle waits behind it
        local asked = false
        worker.process:on("internalMessage", function(message) asked = asked or message.act == "queryServer" end)
        local timer
        timer = net.setInterval(function()
          local stat = io.open("/proc/" .. worker.process.pid .. "/stat")
          local state = stat:read("a"):match "%) (%a)"
          stat:close()
          if not asked or state ~= "T" then return end
          net.clearInterval(timer)
          worker:disconnect()
          signal("CONT", worker.process.pid)
        end, 5)
      end)
      cluster:on("exit", function(_, ...) say("exit", texts(...), worker.exitedAfterDisconnect) end)
    ]], { policy = "none" }))
  end)

  it("told to disconnect while it begins to listen, or after, ends", function()
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "exit 0 nil true", "exit 0 nil true" }, clusters.run([[
        if os.getenv "LATE" then
          net.process:on("disconnect", function() net.createServer():listen(0) end)
        else
          net.createServer():listen(0)
        end
      ]], [[
        cluster.fork()
        cluster.fork { LATE = 1 }
        cluster:on("online", function(worker) worker:disconnect() end)
        cluster:on("exit", function(worker, ...) say("exit", texts(...), worker.exitedAfterDisconnect) end)
      ]], { policy = policy }))
    end
  end)

  it("closes its servers in the order in which they came", function()
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "1 closed 1 2 3 4 5" }, clusters.run([[
        local up, closed = 0, {}
        for i = 1, 5 do
          local server = net.createServer()
          server:on("close", function()
            closed[#closed + 1] = i
            if #closed == 5 then say("closed", table.concat(closed, " ")) end
          end)
          server:listen(0, "127.0.0.1", function()
            up = up + 1
            if up == 5 then cluster.worker:disconnect() end
          end)
        end
      ]], "cluster.fork() hear()", { policy = policy }))
    end
  end)
end)
