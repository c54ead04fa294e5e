-- net.BoundSocket: a local address that is taken at once, and used later, once, by a server or a socket. What is
-- expected is what Node 26 does; sent to other processes they are in handoff_spec.lua.

local net = require "cnet"
local children = require "spec.support.children"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local HOST <const> = "127.0.0.1"
local ADOPTED <const> = "The bound socket has already been adopted by a server or socket"

local function refuses_as_adopted(fn, ...)
  local err = support.caught(fn, ...)
  assert.same({ "Error", "ERR_SOCKET_HANDLE_ADOPTED", ADOPTED }, { err.name, err.code, err.message })
end

-- Waits for the socket's 'close'; returns its events 'error' and 'close', and what it has read.
local function outcome(socket)
  local log, list = support.recorder()
  local closed
  local got = not socket.destroyed and socket.connecting and sockets.collect(socket)
  socket:on("error", function(err) log("error", err.code) end)
  socket:on("close", function(failed)
    log("close", failed)
    closed = true
  end)
  sockets.wait(function() return closed end)
  return list, got and got.text
end

describe("net.BoundSocket", function()
  after_each(support.clean)

  it("has its address at once: of the family of the host, or of all addresses", function()
    for _, case in ipairs {
      { nil, "0.0.0.0", "IPv4" }, { {}, "0.0.0.0", "IPv4" }, { { host = HOST }, HOST, "IPv4" },
      { { host = "::1" }, "::1", "IPv6" }, { { host = "::" }, "::", "IPv6" },
      { { ipv6Only = true }, "::", "IPv6" }, { { ipv6Only = false }, "0.0.0.0", "IPv4" },
      { { host = HOST, ipv6Only = true }, HOST, "IPv4" }, { { host = HOST, reusePort = true }, HOST, "IPv4" },
      { { host = HOST, port = "0" }, HOST, "IPv4" }, { { host = "::1%nothing" }, "::1", "IPv6" },
    } do
      local bound <close> = net.BoundSocket(case[1])
      local address = bound:address()
      assert.same({ case[2], case[3], "integer", true },
        { address.address, address.family, math.type(address.port), address.port > 0 })
      assert.same(address, bound:address())
      assert.is_false(bound.isPipe)
      assert.is_true(bound:fd() > 2)
    end
  end)

  it("refuses wrong options, in Node's order and words", function()
    local function received(value, of) return ("Received type %s (%s)"):format(of or type(value), value) end
    local host = "The property 'options.host' must be a numeric IP address; net.BoundSocket does not perform DNS " ..
      "resolution. Received '%s'"
    local exclusive = "The argument 'options' path is mutually exclusive with host, port, ipv6Only, and reusePort. " ..
      "Received type table"
    for _, case in ipairs {
      { 5, "ERR_INVALID_ARG_TYPE", 'The "options" argument must be of type table. Received type number (5)' },
      { "x", "ERR_INVALID_ARG_TYPE", 'The "options" argument must be of type table. Received type string (\'x\')' },
      { { port = -1, ipv6Only = 1, reusePort = 1, host = 3 }, "ERR_SOCKET_BAD_PORT",
        "options.port should be >= 0 and < 65536. " .. received(-1) .. "." },
      { { port = 65536 }, "ERR_SOCKET_BAD_PORT",
        "options.port should be >= 0 and < 65536. " .. received(65536) .. "." },
      { { port = true }, "ERR_SOCKET_BAD_PORT", "options.port should be >= 0 and < 65536. " .. received(true) .. "." },
      { { ipv6Only = 1, reusePort = 1, host = 3 }, "ERR_INVALID_ARG_TYPE",
        'The "options.ipv6Only" property must be of type boolean. ' .. received(1) },
      { { reusePort = 1, host = 3 }, "ERR_INVALID_ARG_TYPE",
        'The "options.reusePort" property must be of type boolean. ' .. received(1) },
      { { host = 5 }, "ERR_INVALID_ARG_TYPE", 'The "options.host" property must be of type string. ' .. received(5) },
      { { host = "localhost" }, "ERR_INVALID_ARG_VALUE", host:format "localhost" },
      { { host = "" }, "ERR_INVALID_ARG_VALUE", host:format "" },
      { { host = HOST .. "\0" }, "ERR_INVALID_ARG_VALUE", host:format(HOST .. "\\x00") },
      { { path = 5 }, "ERR_INVALID_ARG_TYPE", 'The "options.path" property must be of type string. ' .. received(5) },
      { { path = false }, "ERR_INVALID_ARG_TYPE",
        'The "options.path" property must be of type string. ' .. received(false) },
      { { path = 5, port = 1 }, "ERR_INVALID_ARG_VALUE", exclusive },
      { { path = "x", host = HOST }, "ERR_INVALID_ARG_VALUE", exclusive },
      { { path = "x", ipv6Only = false }, "ERR_INVALID_ARG_VALUE", exclusive },
      { { path = "x", reusePort = false }, "ERR_INVALID_ARG_VALUE", exclusive },
    } do
      local err = support.caught(net.BoundSocket, case[1])
      assert.same({ case[2], case[3] }, { err.code, err.message })
      assert.equal(case[2] == "ERR_SOCKET_BAD_PORT" and "RangeError" or "TypeError", err.name)
    end
  end)

  it("raises what the kernel says", function()
    local server = sockets.server(nil, { port = 0, host = HOST })
    local port = server:address().port
    for _, host in ipairs { HOST, "0.0.0.0" } do
      local err = support.caught(net.BoundSocket, { host = host, port = port })
      assert.same({ ("bind EADDRINUSE %s:%d"):format(host, port), "EADDRINUSE", "bind", host, port, "number" },
        { err.message, err.code, err.syscall, err.address, err.port, type(err.errno) })
    end
    server:close()
    local err = support.caught(net.BoundSocket, { host = "192.0.2.1" })
    assert.same({ "bind EADDRNOTAVAIL 192.0.2.1", "192.0.2.1" }, { err.message, err.address, err.port })
    err = support.caught(net.BoundSocket, { host = "fe80::1%nothing" })
    assert.equal("bind EINVAL fe80::1%nothing", err.message)
    support.run()
  end)

  it("binds beside another one, as long as neither listens, or with reusePort even then", function()
    local first <close> = net.BoundSocket { host = HOST }
    local second <close> = net.BoundSocket { host = HOST, port = first:address().port }
    assert.same(first:address(), second:address())
    local third = net.BoundSocket { host = HOST, reusePort = true }
    local server = net.createServer():listen(third)
    local fourth <close> = net.BoundSocket { host = HOST, port = server:address().port, reusePort = true }
    assert.equal(server:address().port, fourth:address().port)
    server:close()
    support.run()
  end)

  it("is used up by close, which closes the descriptor", function()
    local before = children.sockets()
    local bound = net.BoundSocket()
    local bound_to_path = net.BoundSocket { path = support.path() }
    assert.equal(before + 2, children.sockets())
    for _, it in ipairs { bound, bound_to_path } do
      assert.is_nil(it:close())
      for _, name in ipairs { "address", "fd", "close" } do refuses_as_adopted(it[name], it) end
      refuses_as_adopted(net.Socket, { handle = it })
      local server = net.createServer()
      refuses_as_adopted(server.listen, server, it)
      refuses_as_adopted(server.listen, server, { handle = it })
      assert.is_false(server.listening)
      assert.is_nil(server:address())
      do local _ <close> = it end
    end
    assert.equal(before, children.sockets())
    assert.same({ false, true }, { bound.isPipe, bound_to_path.isPipe })
  end)

  it("is closed by <close>, if nobody has taken it", function()
    local kept
    do
      local bound <close> = net.BoundSocket()
      local taken <close> = net.BoundSocket { host = HOST }
      kept = { bound, net.createServer():listen(taken) }
    end
    refuses_as_adopted(kept[1].fd, kept[1])
    assert.equal(HOST, kept[2]:address().address)
    kept[2]:close()
    support.run()
  end)

  it("is garbage when it is forgotten, bound to a path too, and a socket over one that never connects", function()
    local before, path = children.sockets(), support.path()
    local function forget()
      net.BoundSocket()
      net.BoundSocket { path = path }
      net.Socket { handle = net.BoundSocket() }
      assert.is_true(support.exists(path))
    end
    forget()
    assert.equal(before, children.sockets())
    assert.is_false(support.exists(path))
  end)

  it("keeps no loop going, and is closed with the state without a word", function()
    local path = support.path()
    for _, open in ipairs { "net.BoundSocket()", "net.BoundSocket { path = arg[1] }",
      "net.Socket { handle = net.BoundSocket { path = arg[1] } }" } do
      for _, finish in ipairs { "", "net.setImmediate(os.exit, 0, true) net.run()", "os.exit(0, true)" } do
        local out, err, code = support.lua(
          "net = require 'cnet' bound = " .. open .. " print(net.run()) io.stdout:flush() " .. finish, path)
        assert.same({ "false\n", "", 0 }, { out, err, code })
        assert.is_false(support.exists(path))
      end
    end
  end)

  it("says what it is", function()
    local bound = net.BoundSocket { host = HOST }
    local port = bound:address().port
    assert.equal(("net.BoundSocket (127.0.0.1:%d)"):format(port), tostring(bound))
    local server = net.createServer():listen(bound)
    assert.equal("net.BoundSocket (adopted)", tostring(bound))
    assert.equal(("net.Server (127.0.0.1:%d)"):format(port), tostring(server))
    server:close()
    bound = net.BoundSocket { host = "::1" }
    assert.equal(("net.BoundSocket ([::1]:%d)"):format(bound:address().port), tostring(bound))
    bound:close()
    assert.equal("net.BoundSocket (closed)", tostring(bound))
    local abstract <close> = net.BoundSocket { path = "\0cnet " .. net.process.pid }
    assert.equal("net.BoundSocket (\0cnet " .. net.process.pid .. ")", tostring(abstract))
    assert.equal("net.BoundSocket", tostring(net.BoundSocket))
    support.run()
  end)

  it("has no events, and takes fields and methods of the script's", function()
    local bound <close> = net.BoundSocket()
    assert.is_nil(bound.on)
    assert.is_nil(bound.ref)
    bound.user = "me"
    assert.equal("me", bound.user)
    assert.equal("ERR_INVALID_STATE", support.caught(function() bound.isPipe = true end).code)
    function net.BoundSocket:port() return self:address().port end
    assert.equal(bound:address().port, bound:port())
    net.BoundSocket.port = nil
  end)

  it("is no standard descriptor of a child", function()
    local bound <close> = net.BoundSocket()
    local fork = require "cnet.child_process".fork
    local err = support.caught(fork, "x", {}, { stdio = { bound, "inherit", "inherit", "ipc" } })
    assert.equal("ERR_INVALID_ARG_VALUE", err.code)
    assert.is_true(bound:fd() > 2)
  end)
end)

describe("a server over a net.BoundSocket", function()
  after_each(support.clean)

  for form, listen in pairs {
    ["listen(bound)"] = function(server, bound, fn) return server:listen(bound, fn) end,
    ["listen(bound, backlog)"] = function(server, bound, fn) return server:listen(bound, 5, fn) end,
    ["listen{handle = bound}"] = function(server, bound, fn) return server:listen({ handle = bound }, fn) end,
    ["listen{handle = bound}, whatever else is there"] = function(server, bound, fn)
      return server:listen({ handle = bound, port = -1, path = 5, signal = 5, fd = 99, readableAll = true }, fn)
    end,
  } do
    it(form .. " listens at once, takes it over and serves", function()
      local log, list = support.recorder()
      local bound = net.BoundSocket { host = HOST }
      local address, fd = bound:address(), bound:fd()
      local server = net.createServer(function(socket)
        log("connection", socket.localPort == address.port)
        socket:end_ "hello"
      end)
      assert.equal(server, listen(server, bound, function() log "listening" end))
      assert.is_true(server.listening)
      assert.same(address, server:address())
      for _, name in ipairs { "address", "fd", "close" } do refuses_as_adopted(bound[name], bound) end
      refuses_as_adopted(net.Socket, { handle = bound })
      assert.is_true(fd > 2)
      local client = net.connect(address.port, HOST)
      local _, text = outcome(client)
      server:close(function() log "close" end)
      support.run()
      assert.equal("hello", text)
      assert.same({ "listening", "connection true", "close" }, list)
    end)
  end

  it("is one that listens: a second listen is refused, and leaves what it was given", function()
    local first, second <close> = net.BoundSocket(), net.BoundSocket()
    local server = net.createServer():listen(first)
    assert.equal("ERR_SERVER_ALREADY_LISTEN", support.caught(server.listen, server, second).code)
    assert.is_true(second:fd() > 2)
    server:close()
    support.run()
  end)

  it("fails where another one listens by then", function()
    local log, list = support.recorder()
    local first = net.BoundSocket { host = HOST }
    local second = net.BoundSocket { host = HOST, port = first:address().port }
    local server, late = net.createServer():listen(first), net.createServer()
    late:on("listening", function() log "listening" end)
    late:on("error", function(err)
      log(err.message, err.code, err.syscall, err.address, err.port, late.listening, late:address())
    end)
    late:on("close", function()
      log "close"
      server:close()
    end)
    late:listen(second)
    refuses_as_adopted(second.fd, second)
    support.run()
    assert.same({ "listen EADDRINUSE: address already in use EADDRINUSE listen nil -1 false nil", "close" }, list)
  end)

  it("may be unref'ed, closed and listen again", function()
    local server = net.createServer():listen(net.BoundSocket()):unref()
    assert.is_false(support.run())
    server:close()
    server:listen(net.BoundSocket { host = HOST })
    assert.equal(HOST, server:address().address)
    server:close()
    support.run()
  end)

  it("listens on its path, and removes the file at close, unless another has taken its place", function()
    for _, replace in ipairs { false, true } do
      local path = support.path()
      local bound = net.BoundSocket { path = path }
      assert.same({ path, true, true }, { bound:address(), bound.isPipe, support.exists(path) })
      assert.equal("EADDRINUSE", support.caught(net.BoundSocket, { path = path }).code)
      local server = net.createServer(function(socket) socket:end_ "hello" end):listen(bound)
      assert.same({ path, ("net.Server (%s)"):format(path) }, { server:address(), tostring(server) })
      local _, text = outcome(net.connect(path))
      assert.equal("hello", text)
      if replace then os.rename(support.file "mine", path) end
      server:close()
      support.run()
      assert.equal(replace, support.exists(path))
    end
  end)

  it("listens on an abstract path", function()
    for _, path in ipairs { ("\0cnet bound %d"):format(net.process.pid), ("\0cnet\0%d"):format(net.process.pid) } do
      local bound = net.BoundSocket { path = path }
      assert.same({ path, true }, { bound:address(), bound.isPipe })
      local err = support.caught(net.BoundSocket, { path = path })
      assert.same({ "bind EADDRINUSE", "bind" }, { err.message, err.syscall, err.address })
      local server = net.createServer(function(socket) socket:end_ "hello" end):listen(bound)
      assert.equal(path, server:address())
      local _, text = outcome(net.connect { path = path })
      assert.equal("hello", text)
      server:close()
      support.run()
    end
  end)

  it("in a worker of a cluster is that worker's alone", function()
    local clusters = require "spec.support.clusters"
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "1 own true", "answer mine" }, clusters.run([[
        local bound = net.BoundSocket { host = "127.0.0.1" }
        local port = bound:address().port
        local server = net.createServer(function(socket) socket:end_ "mine" end)
        server:listen(bound)
        say("own " .. tostring(server.listening and server:address().port == port))
        net.process:send(port)
        net.process:on("message", function() server:close() net.process:disconnect() end)
      ]], [[
        cluster:on("message", function(worker, message)
          if math.type(message) ~= "integer" then return print(worker.id .. " " .. message) end
          get(message, function(text)
            print("answer " .. text)
            worker:send "done"
          end)
        end)
        cluster:on("listening", function() print "the primary was asked" end)
        cluster.fork()
      ]], { policy = policy }))
    end
  end)
end)

describe("a path for a net.BoundSocket", function()
  after_each(support.clean)

  it("that cannot be had is an error of bind", function()
    local path = support.path()
    for wrong, code in pairs {
      [path .. "/none/x"] = "EACCES", [path .. ("x"):rep(200)] = "EINVAL", [path .. "\0more"] = "EINVAL",
      ["\0" .. ("x"):rep(200)] = "EINVAL",
    } do
      local err = support.caught(net.BoundSocket, { path = wrong })
      assert.same({ "bind " .. code, code, "bind" }, { err.message, err.code, err.syscall, err.address, err.port })
    end
    assert.is_false(support.exists(path))
  end)

  it("has its file removed when it is closed unused", function()
    local path = support.path()
    net.BoundSocket { path = path }:close()
    assert.is_false(support.exists(path))
    local bound = net.BoundSocket { path = path }
    os.rename(support.file "mine", path)
    bound:close()
    assert.is_true(support.exists(path))
  end)

  it("may be empty: the kernel makes up a name", function()
    local server = sockets.server(function(socket) socket:end_ "hello" end, { path = support.path() })
    local bound = net.BoundSocket { path = "" }
    assert.same({ "", true }, { bound:address(), bound.isPipe })
    local socket = net.Socket { handle = bound }
    socket:connect(server:address())
    local _, text = outcome(socket)
    assert.equal("hello", text)
    server:close()
    support.run()
  end)
end)

describe("a socket over a net.BoundSocket", function()
  after_each(support.clean)

  local function greeter(where)
    local peers = {}
    local server = sockets.server(function(socket)
      peers[#peers + 1] = socket.remotePort or "none"
      socket:end_ "hello"
    end, where or { port = 0, host = HOST })
    return server, peers
  end

  it("is not connected, and has the local address", function()
    local bound = net.BoundSocket { host = HOST }
    local address = bound:address()
    local socket = net.Socket { handle = bound, pauseOnCreate = true }
    refuses_as_adopted(bound.address, bound)
    refuses_as_adopted(net.Socket, { handle = bound })
    assert.same({ false, false, "open", HOST, address.port, "IPv4", true, true },
      { socket.connecting, socket.pending, socket.readyState, socket.localAddress, socket.localPort,
        socket.localFamily, socket.readable, socket.writable, socket.remoteAddress, socket.readableFlowing })
    assert.same(address, socket:address())
    assert.is_false(support.run())
    assert.same({ "close false" }, (outcome(socket:destroy())))
  end)

  it("connects from there within connect: the kernel's choice of an address is seen at once", function()
    local log, list = support.recorder()
    local server, peers = greeter()
    local bound = net.BoundSocket()
    local port, there = bound:address().port, server:address().port
    local socket = net.Socket { handle = bound }
    sockets.watch(socket, log)
    assert.equal("0.0.0.0", socket.localAddress)
    assert.equal(socket, socket:connect(there, HOST, function() log "callback" end))
    log("after", socket.connecting, socket.localAddress, socket.localPort == port)
    local _, text = outcome(socket)
    server:close()
    support.run()
    assert.same({ ("connectionAttempt %s %d 4"):format(HOST, there), "after true 127.0.0.1 true", "resume", "connect",
      "callback", "ready", "end", "finish", "close false" }, list)
    assert.same({ "hello", { port } }, { text, peers })
  end)

  it("is what net.connect makes of {handle = bound}", function()
    local server, peers = greeter()
    local bound = net.BoundSocket { host = HOST }
    local port = bound:address().port
    local socket = net.connect { handle = bound, port = server:address().port, host = HOST }
    assert.same({ true, port }, { socket.connecting, socket.localPort })
    local _, text = outcome(socket)
    server:close()
    support.run()
    assert.same({ "hello", port }, { text, peers[1] })
  end)

  it("looks a name up for one address, whatever autoSelectFamily says", function()
    local server, peers = greeter()
    local bound = net.BoundSocket { host = HOST }
    local port = bound:address().port
    local socket = net.Socket { handle = bound }
    local asked
    socket:connect {
      port = server:address().port, host = "a.name", autoSelectFamily = 5,
      lookup = function(_, options, callback)
        asked = options
        callback(nil, HOST, 4)
      end,
    }
    assert.is_true(socket.connecting)
    local _, text = outcome(socket)
    server:close()
    support.run()
    assert.same({ "hello", port }, { text, peers[1] })
    assert.is_nil(asked.all)
    assert.is_nil(socket.autoSelectFamilyAttemptedAddresses)
  end)

  it("refuses another local address, and connects then", function()
    local server, peers = greeter()
    local bound = net.BoundSocket { host = HOST }
    local port = bound:address().port
    local socket = net.Socket { handle = bound }
    for _, key in ipairs { "localPort", "localAddress" } do
      for _, value in ipairs { HOST, 0, false, {} } do
        local options = { port = server:address().port, host = HOST, [key] = value }
        local err = support.caught(socket.connect, socket, options)
        assert.equal("ERR_INVALID_ARG_VALUE", err.code)
        assert.equal("The argument 'options' localAddress and localPort cannot be used with an adopted bound " ..
          "socket. Received type table", err.message)
      end
    end
    socket:connect { port = server:address().port, host = HOST }
    local _, text = outcome(socket)
    server:close()
    support.run()
    assert.same({ "hello", port }, { text, peers[1] })
  end)

  it("tells later that nobody listens, at once that the families differ", function()
    local port = sockets.refusing_port()
    local socket = net.Socket { handle = net.BoundSocket { host = HOST } }
    local message
    socket:on("error", function(err) message = err.message end)
    socket:connect(port, HOST)
    assert.same({ true, false }, { socket.connecting, socket.destroyed })
    assert.same({ "error ECONNREFUSED", "close true" }, (outcome(socket)))
    assert.equal(("connect ECONNREFUSED %s:%d"):format(HOST, port), message)

    local bound = net.BoundSocket { host = HOST }
    local own = bound:address().port
    socket = net.Socket { handle = bound }
    socket:on("error", function(err) message = err.message end)
    socket:connect(port, "::1")
    assert.same({ false, true }, { socket.connecting, socket.destroyed })
    assert.same({ "error EAFNOSUPPORT", "close true" }, (outcome(socket)))
    assert.equal(("connect EAFNOSUPPORT ::1:%d - Local (%s:%d)"):format(port, HOST, own), message)
  end)

  it("asks its blockList", function()
    local list = net.BlockList()
    list:addAddress(HOST)
    local socket = net.Socket { handle = net.BoundSocket(), blockList = list }
    socket:connect(1, HOST)
    assert.same({ false, true }, { socket.connecting, socket.destroyed })
    assert.same({ "error ERR_IP_BLOCKED", "close true" }, (outcome(socket)))
  end)

  it("cannot read or write before, and may be ended", function()
    local function bound(path) return net.Socket { handle = net.BoundSocket { path = path } } end
    local name = "\0cnet early " .. net.process.pid
    for _, act in ipairs {
      function(socket) socket:write "x" end, function(socket) socket:resume() end,
      function(socket) socket:on("data", function() end) end, function(socket) socket:read(0) end,
    } do
      for _, path in ipairs { false, name } do
        for _, inside in ipairs { false, true } do
          local socket = bound(path or nil)
          local log, list = support.recorder()
          socket:on("error", function(err) log("error", err.code) end)
          socket:on("close", function(failed) log("close", failed) end)
          if inside then
            net.setImmediate(function()
              act(socket)
              socket = nil
              collectgarbage() -- what is to come keeps it
            end)
          else
            act(socket)
          end
          support.run()
          assert.matches("^error E[%u]+$", list[1])
          assert.same({ list[1], "close true" }, list)
        end
      end
    end
    for _, path in ipairs { false, name } do
      local socket = bound(path or nil)
      local log, list = support.recorder()
      sockets.watch(socket, log)
      socket:end_()
      support.run()
      assert.same({ "finish" }, list)
      socket:destroy()
      support.run()
      assert.same({ "finish", "close false" }, list)
    end
  end)

  it("queues what is written once it connects", function()
    local got
    local server = sockets.server(function(socket)
      got = sockets.collect(socket)
      socket:on("end", function() socket:end_() end)
    end, nil, { allowHalfOpen = true })
    local socket = net.Socket { handle = net.BoundSocket() }
    socket:connect(server:address().port, HOST)
    socket:write "one "
    socket:end_ "two"
    outcome(socket)
    server:close()
    support.run()
    assert.equal("one two", got.text)
  end)

  it("may be reset, destroyed, and connect again: from any port then", function()
    local server, peers = greeter()
    local bound = net.BoundSocket { host = HOST }
    local port = bound:address().port
    local socket = net.Socket { handle = bound }
    assert.same({ "close false" }, (outcome(socket:resetAndDestroy())))
    assert.is_nil(socket.localPort)
    socket:removeAllListeners()
    local err = support.caught(socket.connect, socket, { port = server:address().port, host = HOST, localPort = port })
    assert.equal("ERR_INVALID_ARG_VALUE", err.code) -- as in Node, though the handle is gone
    socket:connect(server:address().port, HOST)
    assert.is_true(socket.localPort ~= nil and socket.localPort ~= port) -- at once here too
    local _, text = outcome(socket)
    server:close()
    support.run()
    assert.same({ "hello", 1 }, { text, #peers })
  end)

  it("by an address takes no path, and by a path no port: Node trusts the handle", function()
    local socket = net.Socket { handle = net.BoundSocket { host = HOST } }
    socket:connect { path = support.path(), host = HOST } -- port 0
    assert.same({ "error ECONNREFUSED", "close true" }, (outcome(socket)))
    local path = support.path()
    socket = net.Socket { handle = net.BoundSocket { path = path } }
    local err = support.caught(socket.connect, socket, { port = 1, host = HOST })
    assert.same({ "ERR_INVALID_ARG_TYPE", 'The "options.path" property must be of type string. Received nil' },
      { err.code, err.message })
    assert.is_true(support.exists(path))
    socket:destroy()
    assert.is_false(support.exists(path))
    support.run()
  end)

  for kind, name in pairs { ["a file"] = support.path, ["an abstract path"] = function()
    return ("\0cnet client %d %d"):format(net.process.pid, math.random(1 << 30))
  end } do
    for target, at in pairs { ["a file"] = support.path, ["an abstract path"] = function()
      return ("\0cnet server %d %d"):format(net.process.pid, math.random(1 << 30))
    end } do
      it("by " .. kind .. " connects to " .. target .. ", and keeps its path as localAddress", function()
        local path = name()
        local server = greeter { path = at() }
        local socket = net.Socket { handle = net.BoundSocket { path = path } }
        assert.same({ path, { address = path } }, { socket.localAddress, socket:address(), socket.localPort })
        socket:connect { path = server:address() }
        assert.is_true(socket.connecting)
        local connected
        socket:on("connect", function() connected = socket.localAddress end)
        local list, text = outcome(socket)
        assert.same({ "hello", path, path, "close false" }, { text, connected, socket.localAddress, list[#list] })
        assert.is_false(support.exists(path))
        server:close()
        support.run()
      end)
    end
  end

  it("is left alone by wrong options of net.Socket", function()
    local bound <close> = net.BoundSocket()
    for _, wrong in ipairs { { highWaterMark = -5 }, { signal = 5 }, { encoding = "none" } } do
      wrong.handle = bound
      support.caught(net.Socket, wrong)
      assert.is_true(bound:fd() > 2)
    end
  end)

  it("is destroyed by a signal that is aborted", function()
    local controller = net.AbortController()
    controller:abort()
    local bound = net.BoundSocket()
    local socket = net.Socket { handle = bound, signal = controller.signal }
    refuses_as_adopted(bound.fd, bound)
    assert.equal("error ABORT_ERR", (outcome(socket))[1])
  end)

  it("wants a handle that can be had", function()
    for _, wrong in ipairs { 5, "x", {}, print, net.createServer(), net.BoundSocket } do
      local err = support.caught(net.Socket, { handle = wrong })
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.matches('^The "options.handle" property must be a net.BoundSocket or an open net.Native. Received ',
        err.message)
    end
  end)
end)
