-- What Nodes after v20 have, and what users asked for: connectTimeout, setTypeOfService and getTypeOfService,
-- setKeepAlive with interval and count, net.process.stdin.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

-- What an error has of its own, without its metatable.
local function fields_of(err)
  local fields = {}
  for key, value in next, err do fields[key] = value end
  return fields
end

describe("connectTimeout", function()
  after_each(support.clean)

  it("fails an attempt whose lookup takes longer", function()
    local note, log = recorder()
    local answer
    net.run "nowait" -- the loop's clock is right now
    net.setTimeout(note, 1, "not yet")
    local socket = net.connect {
      host = "never.invalid", port = 1, connectTimeout = 200,
      lookup = function(host, _, callback)
        note("lookup of", host)
        answer = callback
      end,
    }
    sockets.watch(socket, note)
    local err, state
    socket:on("error", function(e)
      err = e
      state = ("%s %s %s"):format(socket.connecting, socket.destroyed, socket.readyState)
    end)
    socket:write("x", sockets.callback(note, "write"))
    assert.is_true(socket.connecting)
    support.run()
    assert.same({ "lookup of never.invalid", "not yet", "error ETIMEDOUT", "close true",
      "write ERR_SOCKET_CLOSED_BEFORE_CONNECTION" }, log)
    assert.same({ name = "Error", message = "connect ETIMEDOUT never.invalid:1", code = "ETIMEDOUT", errno = -110,
      syscall = "connect", hostname = "never.invalid", port = 1 }, fields_of(err))
    assert.equal("false true closed", state)
    -- an answer that comes too late changes nothing
    answer(nil, "127.0.0.1", 4)
    support.run()
    assert.equal(5, #log)
    assert.is_nil(socket.timeout)
  end)

  it("fails an attempt that the peer does not answer", function()
    local port, stop = sockets.silent "127.0.0.1"
    local note, log = recorder()
    local socket = net.Socket()
    sockets.watch(socket, note)
    socket:connect({ host = "127.0.0.1", port = port, connectTimeout = 30 }, function() note "connected" end)
    support.run_until(function() return log[#log] == "close true" end)
    assert.same({ ("connectionAttempt 127.0.0.1 %d 4"):format(port), "error ETIMEDOUT", "close true" }, log)
    assert.same({ name = "Error", message = "connect ETIMEDOUT 127.0.0.1:" .. port, code = "ETIMEDOUT", errno = -110,
      syscall = "connect", address = "127.0.0.1", port = port }, fields_of(socket.errored))
    stop()
    support.run()
    assert.equal(3, #log)
  end)

  it("names the address of the attempt that was under way", function()
    local port, stop = sockets.silent "127.0.0.1"
    local err
    -- several addresses: the first refuses, the second does not answer
    local socket = net.connect {
      host = "two.invalid", port = port, connectTimeout = 30,
      lookup = function(_, _, callback)
        callback(nil, { { address = "127.0.0.2", family = 4 }, { address = "127.0.0.1", family = 4 } })
      end,
    }
    socket:on("error", function(e) err = e end)
    support.run_until(function() return err end)
    assert.same({ name = "Error", message = "connect ETIMEDOUT 127.0.0.1:" .. port, code = "ETIMEDOUT", errno = -110,
      syscall = "connect", address = "127.0.0.1", port = port }, fields_of(err))
    -- a local end is named as it is where a connection is refused
    err = nil
    local free = sockets.refusing_port()
    socket:connect {
      host = "127.0.0.1", port = port, connectTimeout = 30, localAddress = "127.0.0.1", localPort = free,
    }
    support.run_until(function() return err end)
    assert.equal(("connect ETIMEDOUT 127.0.0.1:%d - Local (127.0.0.1:%d)"):format(port, free), err.message)
    assert.equal(free, err.localPort)
    stop()
    support.run()
  end)

  it("names the path", function()
    local path = support.path()
    local server = sockets.server(nil, { path = path }):unref()
    local err
    for _, name in ipairs { path, "\0cnet-spec-" .. path } do
      local socket = net.connect { path = name, connectTimeout = 1 }
      socket:on("error", function(e) err = e end)
      local start = os.clock() -- net.run begins with what is due
      while os.clock() - start < 0.005 do end
      support.run()
      assert.same({ name = "Error", message = "connect ETIMEDOUT " .. name, code = "ETIMEDOUT", errno = -110,
        syscall = "connect", address = name }, fields_of(err))
      err = nil
    end
    server:close()
    support.run()
  end)

  it("keeps the loop alive while it runs, unless the socket is unref'd", function()
    local target = { host = "x.invalid", port = 1, connectTimeout = 20, lookup = function() end }
    local code
    local function heard(socket)
      code = nil
      return socket:on("error", function(err) code = err.code end)
    end
    heard(net.connect(target))
    assert.is_false(net.run())
    assert.equal("ETIMEDOUT", code)

    for _, unref in ipairs {
      function(socket) socket:unref():connect(target) end,
      function(socket) socket:connect(target):unref() end,
      function(socket) socket:ref():unref():connect(target):ref():unref() end,
    } do
      local socket = heard(net.Socket())
      unref(socket)
      assert.is_false(net.run())
      assert.is_nil(code)
      net.setTimeout(function() end, 40) -- it runs all the same
      assert.is_false(net.run())
      assert.equal("ETIMEDOUT", code)
    end

    -- ref undoes unref, and what was said of a handle is over with it
    local socket = heard(net.Socket()):unref():ref()
    socket:connect(target)
    assert.is_false(net.run())
    assert.equal("ETIMEDOUT", code)
    heard(socket):connect(target):unref():ref()
    assert.is_false(net.run())
    assert.equal("ETIMEDOUT", code)
    heard(socket):connect(target):unref():destroy()
    assert.is_false(net.run())
    assert.is_nil(code)
    heard(socket):connect(target)
    assert.is_false(net.run())
    assert.equal("ETIMEDOUT", code)
  end)

  it("goes on when a listener of a failed attempt has raised", function()
    local port = sockets.refusing_port()
    local socket = net.connect { host = "127.0.0.1", port = port, connectTimeout = 20 }
    local note, log = recorder()
    socket:on("connectionAttemptFailed", function() error "in listener" end)
    socket:on("error", note):on("close", note)
    assert.matches("in listener", caught(net.run))
    net.setTimeout(note, 50, "later")
    support.run() -- as in Node the socket is left as it is; no timer runs
    assert.same({ "later" }, log)
    socket:destroy()
    support.run()
  end)

  it("is raised where nobody listens to the error", function()
    local closed = 0
    net.connect { host = "x.invalid", port = 1, connectTimeout = 5, lookup = function() end }
      :on("close", function() closed = closed + 1 end)
    assert.equal("ETIMEDOUT", caught(support.run).code)
    support.run()
    assert.equal(1, closed)
  end)

  it("is over with the connection, and keeps nothing alive", function()
    for _, where in pairs(sockets.kinds) do
      local note, log = recorder()
      local server
      server = sockets.server(function(peer)
        server:close()
        peer:resume():end_()
      end, where())
      local target = sockets.address_of(server)
      target.connectTimeout = 3600 * 1000
      local socket = net.connect(target)
      socket:on("error", note):on("close", function(...) note("close", ...) end)
      socket:resume()
      support.run()
      assert.same({ "close false" }, log)
    end
  end)

  it("has no timer any more once there is a connection", function()
    local function pins(target)
      local client, peer = sockets.pair { client = target }
      local n = 0
      for _, object in ipairs(support.pinned()) do
        if object == client then n = n + 1 end
      end
      client:destroy()
      peer:destroy()
      support.run()
      return n
    end
    local plain = pins {}
    assert.is_true(plain > 0)
    assert.equal(plain, pins { connectTimeout = 3600 * 1000 })
    assert.equal(plain + 1, pins { timeout = 3600 * 1000, connectTimeout = 3600 * 1000 }) -- that of setTimeout
  end)

  it("is over with a failure or a destroy", function()
    local port = sockets.refusing_port()
    local note, log = recorder()
    local refused = net.connect { host = "127.0.0.1", port = port, connectTimeout = 3600 * 1000 }
    refused:on("error", function(err) note(err.code) end):on("close", function(...) note("close", ...) end)
    support.run()
    local target = { host = "x.invalid", port = 1, connectTimeout = 3600 * 1000, lookup = function() end }
    local destroyed = net.connect(target)
    destroyed:on("error", note):on("close", function(...) note("destroyed", ...) end)
    destroyed:destroy()
    support.run()
    assert.same({ "ECONNREFUSED", "close true", "destroyed false" }, log)
  end)

  it("counts anew for each connect, and not without being given", function()
    local note, log = recorder()
    local socket = net.Socket()
    local lookups = 0
    local target = { host = "x.invalid", port = 1, connectTimeout = 5, lookup = function() lookups = lookups + 1 end }
    socket:on("error", function(err) note(err.code) end)
    socket:on("close", function(...)
      note("close", ...)
      if lookups < 2 then
        socket:connect(target)
      elseif lookups == 2 then
        target.connectTimeout = nil
        socket:connect(target)
        net.setTimeout(function() socket:destroy() end, 20)
      end
    end)
    socket:connect(target)
    support.run()
    assert.equal(3, lookups)
    assert.same({ "ETIMEDOUT", "close true", "ETIMEDOUT", "close true", "close false" }, log)
  end)

  it("of 0 is none", function()
    local note, log = recorder()
    local socket = net.connect { host = "x.invalid", port = 1, connectTimeout = 0, lookup = function() end }
    socket:on("error", note):on("close", function(...) note("close", ...) end)
    net.setTimeout(function() socket:destroy() end, 20)
    support.run()
    assert.same({ "close false" }, log)
  end)

  it("goes beside setTimeout, which fails nothing", function()
    local note, log = recorder()
    local target = { host = "x.invalid", port = 1, timeout = 5, connectTimeout = 40, lookup = function() end }
    local socket = net.connect(target)
    socket:on("timeout", function() note("timeout", socket.connecting) end)
    socket:on("error", function(err) note(err.code) end):on("close", function(...) note("close", ...) end)
    support.run()
    assert.same({ "timeout true", "ETIMEDOUT", "close true" }, log)
    assert.equal(5, socket.timeout)
  end)

  it("refuses what is no duration", function()
    for value, code in pairs { [-1] = "ERR_OUT_OF_RANGE", [math.huge] = "ERR_OUT_OF_RANGE", x = "ERR_INVALID_ARG_TYPE",
      ["1"] = "ERR_INVALID_ARG_TYPE", [true] = "ERR_INVALID_ARG_TYPE", [{}] = "ERR_INVALID_ARG_TYPE" } do
      local socket = net.Socket()
      assert.equal(code, caught(socket.connect, socket, { host = "127.0.0.1", port = 1, connectTimeout = value }).code)
      socket:destroy()
    end
    local socket = net.Socket()
    assert.equal("ERR_OUT_OF_RANGE",
      caught(socket.connect, socket, { host = "127.0.0.1", port = 1, connectTimeout = 0 / 0 }).code)
    socket:destroy()
    support.run()
  end)
end)

describe("setTypeOfService and getTypeOfService", function()
  after_each(support.clean)

  it("refuse what is no number of a byte", function()
    local client, peer = sockets.pair()
    for _, socket in ipairs { net.Socket(), client } do
      for _, bad in ipairs { "1", true, false, {}, print } do
        local err = caught(socket.setTypeOfService, socket, bad)
        assert.equal("TypeError", err.name)
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "tos" argument must be of type number. Received ', 1, true))
      end
      assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.setTypeOfService, socket).code)
      local nan = caught(socket.setTypeOfService, socket, 0 / 0)
      assert.equal("ERR_INVALID_ARG_TYPE", nan.code)
      assert.truthy(nan.message:find('The "tos" argument must be of type number. Received type number (', 1, true))
      for bad, range in pairs { [-1] = ">= 0 && <= 255", [256] = ">= 0 && <= 255", [math.maxinteger] = ">= 0 && <= 255",
        [math.huge] = "an integer", [1.5] = "an integer" } do
        local err = caught(socket.setTypeOfService, socket, bad)
        assert.equal("RangeError", err.name)
        assert.equal("ERR_OUT_OF_RANGE", err.code)
        assert.truthy(err.message:find('"tos" is out of range. It must be ' .. range .. ". Received ", 1, true))
      end
      assert.equal("ERR_INVALID_ARG_TYPE", caught(socket.setTypeOfService, socket, 0 / 0).code)
      assert.equal(0, socket:getTypeOfService())
    end
    for _, self in ipairs { 1, "x", {}, net.Server(), io.stdout } do
      assert.is_false(pcall(client.setTypeOfService, self, 1))
      assert.is_false(pcall(client.getTypeOfService, self))
    end
    client:destroy()
    peer:destroy()
    support.run()
  end)

  it("keep the number of a socket that is not connected", function()
    local socket = net.Socket()
    assert.equal(0, socket:getTypeOfService())
    for _, tos in ipairs { 1, 255, 16.0, 0 } do
      assert.equal(socket, socket:setTypeOfService(tos))
      assert.equal(tos, socket:getTypeOfService())
      assert.equal("integer", math.type(socket:getTypeOfService()))
    end
  end)

  for _, host in ipairs { "127.0.0.1", "::1" } do
    it("reach the kernel of a connected socket, set before or after (" .. host .. ")", function()
      local server
      local probe = net.createServer():listen(0, host)
      local heard
      probe:on("error", function() heard = "none" end):on("listening", function() heard = "here" end)
      support.run_until(function() return heard end)
      if heard == "none" then return pending("no " .. host .. " here") end
      probe:close()
      local peer
      server = sockets.server(function(socket)
        peer = socket
        server:close()
      end, { port = 0, host = host })
      local port = server:address().port
      local client = net.Socket()
      client:setTypeOfService(16)
      local connected
      client:connect(port, host, function()
        assert.equal(16, client:getTypeOfService())
        connected = true
      end)
      support.run_until(function() return connected and peer end)
      assert.equal(0, peer:getTypeOfService())
      assert.equal(client, client:setTypeOfService(184))
      assert.equal(184, client:getTypeOfService())
      peer:setTypeOfService(32)
      assert.equal(32, peer:getTypeOfService())
      assert.equal(184, client:getTypeOfService())
      client:setTypeOfService(255) -- the last two bits are the kernel's on a TCP socket
      assert.equal(252, client:getTypeOfService() & 252)
      client:setTypeOfService(0)
      assert.equal(0, client:getTypeOfService() & 252)
      client:destroy()
      peer:destroy()
      support.run()
      assert.equal(0, client:getTypeOfService())
      assert.equal(client, client:setTypeOfService(8))
      assert.equal(8, client:getTypeOfService())
    end)
  end

  it("called while connecting raise EBADF until there is a descriptor, and the number counts then", function()
    local server
    server = sockets.server(function(peer)
      server:close()
      peer:resume()
    end)
    local note, log = recorder()
    local client = net.connect(sockets.address_of(server))
    client:on("connect", function()
      note(client:getTypeOfService())
      client:end_():resume()
    end)
    for _, name in ipairs { "setTypeOfService", "getTypeOfService" } do
      local err = caught(client[name], client, 40)
      assert.same({ "EBADF", name }, { err.code, err.syscall })
    end
    assert.equal(client, client:setTypeOfService(40)) -- the number is there already
    client:on("connectionAttempt", function()
      net.nextTick(function()
        note(client.connecting, client:getTypeOfService())
        client:setTypeOfService(72)
        note(client:getTypeOfService())
      end)
    end)
    support.run()
    assert.same({ "true 0", "72", "72" }, log)
  end)

  it("are an option of net.Socket and net.connect", function()
    for _, make in ipairs { net.Socket, net.connect } do
      for _, bad in ipairs { "16", true, {} } do
        local err = caught(make, { port = 1, typeOfService = bad })
        assert.same({ "TypeError", "ERR_INVALID_ARG_TYPE" }, { err.name, err.code })
        assert.truthy(err.message:find('The "options.typeOfService" property must be of type number. ', 1, true))
      end
      for bad, range in pairs { [300] = ">= 0 && <= 255", [-1] = ">= 0 && <= 255", [1.5] = "an integer",
        [math.huge] = "an integer" } do
        local err = caught(make, { port = 1, typeOfService = bad })
        assert.same({ "RangeError", "ERR_OUT_OF_RANGE" }, { err.name, err.code })
        assert.truthy(err.message:find('"options.typeOfService" is out of range. It must be ' .. range, 1, true))
      end
      assert.equal("ERR_OUT_OF_RANGE", caught(make, { port = 1, typeOfService = 0 / 0 }).code)
    end
    assert.equal(255, net.Socket { typeOfService = 255 }:getTypeOfService())
    for _, way in ipairs { "connect", "Socket", "method" } do
      local client, peer, connected
      local server = sockets.server(function(socket) peer = socket end)
      local target = sockets.address_of(server)
      target.typeOfService = way ~= "Socket" and 24 or nil
      if way == "connect" then
        client = net.connect(target)
      else
        client = net.Socket { typeOfService = way == "Socket" and 24 or nil }
        client:connect(target)
      end
      client:on("connect", function() connected = client:getTypeOfService() end)
      support.run_until(function() return connected and peer end)
      assert.equal(way == "method" and 0 or 24, connected)
      client:destroy()
      peer:destroy()
      server:close()
      support.run()
    end
  end)

  it("do nothing to a Unix socket but keep the number", function()
    local client, peer = sockets.pair { kind = "unix" }
    assert.equal(client, client:setTypeOfService(16))
    assert.equal(16, client:getTypeOfService())
    assert.equal(0, peer:getTypeOfService())
    client:destroy()
    peer:destroy()
    support.run()
  end)
end)

describe("setKeepAlive with interval and count", function()
  after_each(support.clean)

  local unknown
  before_each(function() unknown = false end)

  local function check(socket, expected)
    local options = sockets.options(socket)
    if not options then
      unknown = true
      return
    end
    for key, value in pairs(expected) do assert.equal(value, options[key], key) end
  end

  local function close(...)
    for _, socket in ipairs { ... } do socket:destroy() end
    support.run()
    if unknown then pending "the kernel does not let perl ask" end
  end

  -- One table, or Node's four arguments in turn.
  for form, set in pairs {
    table = function(socket, ...)
      local enable, delay, interval, count = ...
      return socket:setKeepAlive { enable = enable, initialDelay = delay, interval = interval, count = count }
    end,
    arguments = function(socket, ...) return socket:setKeepAlive(...) end,
  } do
    it("sets all of a connected socket (" .. form .. ")", function()
      local client, peer = sockets.pair()
      check(client, { keepAlive = false })
      assert.equal(client, set(client, true, 61000, 17000, 5))
      check(client, { keepAlive = true, idle = 61, interval = 17, count = 5 })
      check(peer, { keepAlive = false })
      close(client, peer)
    end)

    it("sets all at the connection when called before (" .. form .. ")", function()
      for _, early in ipairs { true, false } do
        local server, peer
        server = sockets.server(function(socket)
          peer = socket
          server:close()
        end)
        local client = net.Socket()
        local connected
        if early then set(client, true, 42500, 9900, 3) end
        client:connect(sockets.address_of(server), function()
          check(client, { keepAlive = true, idle = 42, interval = 9, count = 3 })
          connected = true
        end)
        if not early then set(client, true, 42500, 9900, 3) end
        support.run_until(function() return connected and peer end)
        close(client, peer)
      end
    end)

    it("changes each of them by itself (" .. form .. ")", function()
      local client, peer = sockets.pair()
      set(client, true, 61000, 17000, 5)
      set(client, true, 61000, 18000, 5)
      check(client, { keepAlive = true, idle = 61, interval = 18, count = 5 })
      set(client, true, 61000, 18000, 6)
      check(client, { keepAlive = true, idle = 61, interval = 18, count = 6 })
      set(client, true, 62000, 18000, 6)
      check(client, { keepAlive = true, idle = 62, interval = 18, count = 6 })
      close(client, peer)
    end)

    it("can be switched off and on (" .. form .. ")", function()
      local client, peer = sockets.pair()
      set(client, true, 61000, 17000, 5)
      set(client, false, 61000, 17000, 5)
      check(client, { keepAlive = false })
      set(client, true, 61000, 17000, 5)
      check(client, { keepAlive = true, idle = 61, interval = 17, count = 5 })
      set(client)
      check(client, { keepAlive = false })
      close(client, peer)
    end)

    it("probes every second and ten times unless it is told, as Node does (" .. form .. ")", function()
      local client, peer = sockets.pair()
      set(client, true, 33999)
      check(client, { keepAlive = true, idle = 33, interval = 1, count = 10 })
      set(client, true, 33000, 5000)
      check(client, { keepAlive = true, idle = 33, interval = 5, count = 10 })
      set(client, true, 33000, nil, 4)
      check(client, { keepAlive = true, idle = 33, interval = 1, count = 4 })
      for _, odd in ipairs { { -3000, -4 }, { -3000, 4.5 }, { -1000, "4" }, { nil, {} } } do
        set(client, true, 33000, odd[1], odd[2])
        check(client, { keepAlive = true, idle = 33, interval = 1, count = 10 })
      end
      close(client, peer)
    end)

    it("leaves the system's values alone if one of the three is 0 (" .. form .. ")", function()
      local client, peer = sockets.pair()
      local default = sockets.options(client)
      for _, values in ipairs { {}, { 0, 17000, 5 }, { 999, 17000, 5 }, { 61000, 999, 5 }, { 61000, 17000, 0 },
        { "x", 17000, 5 }, { 61000, {}, 5 } } do
        assert.equal(client, set(client, true, table.unpack(values, 1, 3)))
        check(client, { keepAlive = true, idle = default and default.idle, interval = default and default.interval,
          count = default and default.count })
        set(client, false)
      end
      close(client, peer)
    end)

    it("is harmless with odd values, on Unix sockets and after the close (" .. form .. ")", function()
      for _, kind in ipairs { "tcp", "unix" } do
        local client, peer = sockets.pair { kind = kind }
        for _, values in ipairs { { "x", {}, true }, { nil, 0 / 0 }, { math.huge, math.huge, math.huge },
          { 5000, 5000, 2 ^ 40 }, { 5000, 5000, 2 ^ 32 - 1 }, { -5000 }, { 5000, 5000, 200 },
          { math.maxinteger, math.mininteger, math.maxinteger } } do
          assert.equal(client, set(client, true, table.unpack(values, 1, 3)))
        end
        close(client, peer)
        assert.equal(client, set(client, true, 1000, 1000, 1))
      end
    end)
  end

  it("is off with a table that does not enable it", function()
    local client, peer = sockets.pair()
    for _, off in ipairs { { enable = false, initialDelay = 61000 }, { initialDelay = 61000 }, {} } do
      assert.equal(client, client:setKeepAlive(off))
      check(client, { keepAlive = false })
    end
    local raising = setmetatable({}, { __index = function() error("no index", 0) end })
    assert.equal("no index", caught(client.setKeepAlive, client, raising))
    close(client, peer)
  end)

  it("takes no table behind the switch", function()
    local client, peer = sockets.pair()
    local default = sockets.options(client)
    client:setKeepAlive(true, { initialDelay = 61000, interval = 17000, count = 5 })
    check(client, { keepAlive = true, idle = default and default.idle, interval = default and default.interval })
    close(client, peer)
  end)
end)

describe("net.process.stdin", function()
  after_each(support.clean)

  local PRELUDE = [[
    local net = require "cnet"
    io.stdout:setvbuf "no"
  ]]
  -- How to give stdin to "$@": each a shell script that gets the text as $text.
  local KINDS = {
    pipe = [[{ printf %s "$text"; } 2>/dev/null | "$@"]], -- who may end before it reads
    socket = [[exec perl -MSocket -e '
      socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die;
      if (fork() == 0) { close $a; syswrite $b, $ENV{text}; shutdown $b, 1; exit 0 }
      close $b;
      open STDIN, "<&", $a or die;
      exec @ARGV' "$@"]],
    tcp = [[exec perl -MIO::Socket::INET -e '
      my $server = IO::Socket::INET->new(Listen => 1, LocalAddr => "127.0.0.1", LocalPort => 0) or die;
      my $b = IO::Socket::INET->new(PeerAddr => "127.0.0.1", PeerPort => $server->sockport) or die;
      my $a = $server->accept or die;
      if (fork() == 0) { close $a; syswrite $b, $ENV{text}; shutdown $b, 1; exit 0 }
      close $b;
      close $server;
      open STDIN, "<&", $a or die;
      exec @ARGV' "$@"]],
    open = [[mkfifo "$fifo" && exec 3<>"$fifo" && printf %s "$text" >&3 && exec "$@" <"$fifo"]], -- never ends
    closed = [[exec "$@" <&-]],
    null = [[exec "$@" </dev/null]],
  }

  -- Runs the script with that kind of stdin. Perl and the shell are no place for the sanitizer's library.
  local function run(kind, text, script)
    local words = { "env", "fifo=" .. support.path(), "text='" .. text .. "'" }
    if KINDS[kind] then
      words[#words + 1] = "sh -c '" .. KINDS[kind]:gsub("'", "'\\''") .. "' sh"
    end
    local out, err, code, signal = support.lua {
      PRELUDE:gsub("\n", " ") .. script,
      prefix = table.concat(words, " "),
      input = text,
    }
    assert.equal("", err)
    assert.is_nil(signal)
    return out, code
  end

  local READ = [[
    local stdin = net.process.stdin
    print(tostring(stdin):match "^net%.Socket", stdin == net.process.stdin)
    print(stdin.readable, stdin.writable, stdin.readyState, stdin:isPaused(), stdin.readableFlowing)
    print(pcall(function() net.process.stdin = 1 end) or "read-only")
    stdin:on("data", function(chunk) print("data", chunk) end)
    stdin:on("end", function() print "end" end)
    stdin:on("error", function(err) print("error", err) end)
    stdin:on("close", function(...) print("close", ...) end)
    print("over", net.run())
    print(stdin == net.process.stdin, stdin.closed, stdin.bytesRead)
  ]]

  for _, kind in ipairs { "pipe", "socket", "tcp" } do
    it("is a socket that is read only (" .. kind .. ")", function()
      local out, code = run(kind, "some text", READ)
      assert.equal("net.Socket\ttrue\ntrue\tfalse\treadOnly\tfalse\tnil\nread-only\ndata\tsome text\nend\n"
        .. "close\tfalse\nover\tfalse\ntrue\ttrue\t9\n", out)
      assert.equal(0, code)
    end)

    it("ends at once where nothing comes (" .. kind .. ")", function()
      local out = run(kind, "", READ)
      assert.equal("net.Socket\ttrue\ntrue\tfalse\treadOnly\tfalse\tnil\nread-only\nend\nclose\tfalse\nover\tfalse\n"
        .. "true\ttrue\t0\n", out)
    end)

    it("answers a write with an error (" .. kind .. ")", function()
      local out = run(kind, "x", [[
        local stdin = net.process.stdin
        stdin:on("error", function(err) print("error", err.code) end)
        stdin:on("close", function(...) print("close", ...) end)
        print(stdin:write("y", function(err) print("callback", err.code) end))
        print("over", net.run())
      ]])
      assert.equal("false\ncallback\tERR_STREAM_WRITE_AFTER_END\nerror\tERR_STREAM_WRITE_AFTER_END\nclose\ttrue\n"
        .. "over\tfalse\n", out)
    end)
  end

  for kind, text in pairs { file = "some text", null = "", closed = "" } do
    it(("raises for what is no pipe, socket or terminal #timing (%s), each time"):format(kind), function()
      local out, code = run(kind, text, [[
        for _ = 1, 2 do
          local ok, err = pcall(function() return net.process.stdin end)
          print(ok, (tostring(err):match "net%.process%.stdin: .*"))
        end
        print("over", net.run(), (io.read "a"))
      ]])
      local why = "false\tnet.process.stdin: standard input is no pipe, socket or terminal; use io.stdin\n"
      assert.equal(why .. why .. "over\tfalse\t" .. text .. "\n", out)
      assert.equal(0, code)
    end)
  end

  it("keeps nothing alive until somebody reads, and nothing after unref or destroy", function()
    local out = run("open", "text", [[
      local stdin = net.process.stdin
      print("untouched", net.run())
      stdin:unref()
      stdin:on("data", function(chunk) print("data", chunk) end)
      print("unref", net.run())
      stdin:ref()
      stdin:on("data", function() stdin:destroy() end)
      stdin:on("close", function(...) print("close", ...) end)
      print("destroyed", net.run())
    ]])
    assert.equal("untouched\tfalse\nunref\tfalse\ndata\ttext\nclose\tfalse\ndestroyed\tfalse\n", out)
  end)

  it("leaves the bytes in the pipe as long as nobody reads", function()
    local out = run("pipe", "text", [[
      local stdin = net.process.stdin
      net.run()
      print(stdin.bytesRead, (io.read "a"))
    ]])
    assert.equal("0\ttext\n", out)
  end)

  it("has setEncoding, pause and read(n) as any socket", function()
    local out = run("pipe", "a€b", [[
      local stdin = net.process.stdin
      stdin:setEncoding "utf8"
      stdin:on("readable", function()
        local chunk = stdin:read(2)
        while chunk do
          print(chunk)
          chunk = stdin:read(2)
        end
      end)
      stdin:on("end", function() print "end" end)
      net.run()
    ]])
    assert.equal("a€\nb\nend\n", out)
  end)

  it("can be piped; much text comes whole", function()
    local name = support.path()
    local file = assert(io.open(name, "wb"))
    local parts = {}
    for i = 1, 200000 do parts[i] = ("line %d\n"):format(i) end
    local text = table.concat(parts)
    file:write(text)
    file:close()
    local out, err, code = support.lua({ PRELUDE:gsub("\n", " ") .. [[
      local server
      local got, ended = {}, 0
      server = net.createServer(function(peer)
        server:close()
        peer:on("data", function(chunk) got[#got + 1] = chunk end)
        peer:on("end", function() ended = ended + 1 end)
      end)
      server:listen(0, "127.0.0.1", function()
        local client = net.connect(server:address().port, "127.0.0.1")
        net.process.stdin:pipe(client:resume())
      end)
      net.run()
      got = table.concat(got)
      local file = io.open(arg[1], "rb")
      print(#got, got == file:read "a", ended)
    ]], prefix = "sh -c 'cat \"$0\" | \"$@\"' " .. name }, name)
    assert.equal("", err)
    assert.equal(0, code)
    assert.equal(("%d\ttrue\t1\n"):format(#text), out)
  end)
end)
