-- Every form of server:listen, and everything it refuses. Most expectations are what node v26 does.

local net = require "cnet"
local support = require "spec.support"

-- What a server without a host listens on: IPv4's alone where there is no IPv6.
local any, any_family
do
  local server = net.createServer():listen(0)
  any, any_family = server:address().address, server:address().family
  server:close()
  net.run()
end
local has_ipv6 = any == "::"

-- Calls listen, and closes the server once it listens. Returns the events in their order, joined, and the rest:
-- `thrown`, or `listening` and `address` as they were right after the call, `bound` (the address when it listened),
-- `err` of its 'error'.
local function attempt(...)
  local note, log = support.recorder()
  local result = {}
  local server = net.createServer()
  server:on("listening", function()
    note "listening"
    result.bound = server:address()
    server:close()
  end)
  server:on("error", function(...)
    note "error"
    assert.equal(1, select("#", ...))
    result.err = ...
    assert.is_false(server.listening)
  end)
  server:on("close", function(...)
    assert.equal(0, select("#", ...))
    note "close"
  end)
  local ok, value = pcall(server.listen, server, ...)
  result.listening = server.listening
  result.address = server:address()
  if ok then
    assert.equal(server, value)
    net.run "nowait" -- first the ticks: "once" would wait after them, if another server is open
    support.run_until(function() return log[#log] == "close" end)
  else
    result.thrown = value
  end
  net.run "nowait" -- nothing more comes
  assert.is_false(server.listening)
  return table.concat(log, " "), result
end

local function assert_any_address(address)
  assert.same({address = any, family = any_family, port = address.port}, address)
  assert.equal("integer", math.type(address.port))
  assert.truthy(address.port > 0 and address.port < 65536)
end

-- The form listens in the call, on every address.
local function assert_random_port(...)
  local events, result = attempt(...)
  assert.equal("listening close", events)
  assert.is_true(result.listening)
  assert_any_address(result.bound)
  assert.same(result.bound, result.address)
end

-- The form listens after the call, on this address.
local function assert_listens_on(address, family, ...)
  local events, result = attempt(...)
  assert.equal("listening close", events)
  assert.is_false(result.listening)
  assert.is_nil(result.address)
  assert.same({address = address, family = family, port = result.bound.port}, result.bound)
  assert.equal("integer", math.type(result.bound.port))
end

local function assert_throws(name, code, message, ...)
  local events, result = attempt(...)
  assert.equal("", events)
  assert.is_false(result.listening)
  local err = assert(result.thrown, "nothing was thrown")
  assert.equal(code, err.code)
  assert.equal(name, err.name)
  assert.equal(message, err.message:sub(1, #message))
  assert.equal(err.message, tostring(err):match "listen_options_spec%.lua:%d+: (.*)") -- it says where
end

local function assert_bad_port(received, ...)
  local wanted = "options.port should be >= 0 and < 65536. Received " .. received .. "."
  assert_throws("RangeError", "ERR_SOCKET_BAD_PORT", wanted, ...)
end

local function assert_invalid(...)
  assert_throws("TypeError", "ERR_INVALID_ARG_VALUE", "The argument 'options' is invalid", ...)
end

local function assert_lacks(...)
  local wanted = [[The argument 'options' must have the property "port" or "path"]]
  assert_throws("TypeError", "ERR_INVALID_ARG_VALUE", wanted, ...)
end

local function assert_fails(code, errno, message, ...)
  local events, result = attempt(...)
  assert.equal("error close", events)
  assert.is_false(result.listening)
  local err = result.err
  assert.equal(code, err.code)
  assert.equal(errno, err.errno)
  assert.equal("listen", err.syscall)
  assert.equal("Error", err.name)
  assert.equal(message, err.message)
  assert.equal(message, tostring(err)) -- not the caller's fault: no position
  return err
end

-- The descriptors of this process: {[number] = what it is}.
local function descriptors()
  local list = {}
  local pipe = assert(io.popen(("ls -l /proc/%d/fd"):format(net.process.pid)))
  for line in pipe:lines() do
    local fd, what = line:match " (%d+) %-> (.*)$"
    if fd then list[math.tointeger(tonumber(fd))] = what end
  end
  pipe:close()
  return list
end

local function descriptor_of(pattern)
  for fd, what in pairs(descriptors()) do
    if what:find(pattern) then return fd end
  end
end

-- Is the path connectable? How many clients of n does a server that does not accept yet let wait at the path: the
-- others get EAGAIN. All but the last are let go at once, so that n may be larger than the limit of descriptors.
local function backlog_of(server, path, n)
  local note, log = support.recorder()
  for i = 1, n do
    local client = net.connect(path)
    client:on("error", function(err) note(err.message) end)
    if i < n then
      client:destroy()
    else
      client:on("connect", function() note "connect" client:destroy() end)
      client:on("close", function() server:close() end)
    end
  end
  support.run()
  return table.concat(log, " ")
end

describe("listen on a port", function()
  after_each(support.clean)

  it("takes a random one without arguments, with nil, 0 or a callback alone", function()
    local called = 0
    local function callback(...)
      assert.equal(0, select("#", ...))
      called = called + 1
    end
    assert_random_port()
    assert_random_port(nil)
    assert_random_port(0)
    assert_random_port("0")
    assert_random_port " 0 "
    assert_random_port "0x0"
    assert_random_port(0.0)
    assert_random_port {port = 0}
    assert_random_port {port = "0"}
    assert.equal(0, called)
    assert_random_port(callback)
    assert_random_port(nil, callback)
    assert_random_port(0, callback)
    assert_random_port(0, nil, callback)
    assert_random_port(0, nil, nil, callback)
    assert_random_port({port = 0}, callback)
    assert.equal(6, called)
  end)

  it("listens within the call if no host is given: 'listening' in a tick", function()
    local note, log = support.recorder()
    local server = net.createServer()
    net.nextTick(note, "tick before")
    server:on("listening", function() note "listening" server:close() end)
    server:listen(0, function() note "callback" end)
    net.nextTick(note, "tick after")
    assert.is_true(server.listening)
    assert_any_address(server:address())
    support.run()
    assert.same({"tick before", "listening", "callback", "tick after"}, log)
  end)

  it("listens on the very port that is asked for, as a number or a text of one", function()
    local first = net.createServer():listen(0)
    local port = first:address().port
    first:close()
    support.run()
    for _, form in ipairs {port, port + 0.0, tostring(port), (" %d "):format(port), ("0x%x"):format(port),
      {port = port}, {port = tostring(port)}, {port = port + 0.0}} do
      local events, result = attempt(form)
      assert.equal("listening close", events)
      assert.equal(port, result.bound.port)
      assert.equal("integer", math.type(result.bound.port))
    end
  end)

  it("reaches clients on every address without a host, IPv4 and IPv6", function()
    local note, log = support.recorder()
    local server = net.createServer(function(socket) note("connection", socket.remoteFamily) socket:end_() end)
    server:listen(0)
    local port = server:address().port
    local function try(host, after)
      net.connect(port, host):on("close", function(failed)
        note(host, failed)
        after()
      end):resume()
    end
    try("127.0.0.1", function()
      if not has_ipv6 then server:close() return end
      try("::1", function() server:close() end)
    end)
    support.run()
    local expected = {"connection " .. any_family, "127.0.0.1 false"}
    if has_ipv6 then
      expected[3] = "connection IPv6"
      expected[4] = "::1 false"
    end
    assert.same(expected, log)
  end)

  it("takes a host as the second argument or a key, and listens once it is looked up", function()
    assert_listens_on("127.0.0.1", "IPv4", 0, "127.0.0.1")
    assert_listens_on("127.0.0.1", "IPv4", 0, "127.0.0.1", 5)
    assert_listens_on("127.0.0.1", "IPv4", 0, "127.0.0.1", 5, function() end)
    assert_listens_on("127.0.0.1", "IPv4", 0, "127.0.0.1", function() end)
    assert_listens_on("127.0.0.1", "IPv4", "0", "127.0.0.1")
    assert_listens_on("127.0.0.1", "IPv4", {port = 0, host = "127.0.0.1"})
    assert_listens_on("127.0.0.2", "IPv4", {port = 0, host = "127.0.0.2", backlog = 7, exclusive = true})
    if has_ipv6 then
      assert_listens_on("::1", "IPv6", 0, "::1")
      assert_listens_on("::1", "IPv6", {port = 0, host = "0:0:0:0:0:0:0:1"})
      assert_listens_on("::", "IPv6", 0, "::")
    end
    assert_listens_on("0.0.0.0", "IPv4", 0, "0.0.0.0")
  end)

  it("listens only on the host that is given", function()
    local server = net.createServer(function() error "nobody can come this way" end)
    local failed
    server:listen(0, "127.0.0.2", function()
      net.connect(server:address().port, "127.0.0.1"):on("error", function(err)
        failed = err.code
        server:close()
      end)
    end)
    support.run()
    assert.equal("ECONNREFUSED", failed)
  end)

  it("takes a host that is false, 0 or empty, and a second argument that is no text, as none", function()
    assert_random_port {port = 0, host = ""}
    assert_random_port {port = 0, host = 0}
    assert_random_port {port = 0, host = false}
    assert_random_port(0, "")
    assert_random_port(0, true)
    assert_random_port(0, {})
    assert_random_port(0, 5)
    assert_random_port(0, nil, 5)
    assert_random_port(0, 5, function() end)
  end)

  it("refuses any other host", function()
    for value, received in pairs {[5] = "type number (5)", [true] = "type boolean (true)", [{}] = "type table",
      [print] = "a function"} do
      assert_throws("TypeError", "ERR_INVALID_ARG_TYPE",
        [[The "hostname" argument must be of type string. Received ]] .. received, {port = 0, host = value})
    end
  end)

  it("comes before a path", function()
    local path = support.path()
    assert_random_port {port = 0, path = path}
    assert.is_false(support.exists(path))
  end)

  it("refuses a port out of range", function()
    assert_bad_port("type number (-1)", -1)
    assert_bad_port("type number (65536)", 65536)
    assert_bad_port("type number (1.5)", 1.5)
    assert_bad_port("type string ('')", "")
    assert_bad_port("type string (' ')", " ")
    assert_bad_port("type string ('65536')", "65536")
    assert_bad_port("type string ('1.5')", "1.5")
    assert_bad_port("type number (NaN)", 0 / 0)
    assert_bad_port("type number (Infinity)", math.huge)
    assert_bad_port("type number (-Infinity)", -math.huge)
    assert_bad_port("type number (" .. math.maxinteger .. ")", math.maxinteger)
    assert_bad_port("type number (-1)", {port = -1})
    assert_bad_port("type number (65536)", {port = 65536, path = "unused"})
    assert_bad_port("type string ('-1')", {port = "-1"})
    assert_bad_port("type string ('abc')", {port = "abc"})
    assert_bad_port("type string ('')", {port = ""})
    assert_bad_port("type number (-1)", -1, "127.0.0.1", function() end)
  end)

  it("refuses what is neither port nor path", function()
    assert_invalid(true)
    assert_invalid(false)
    assert_invalid(coroutine.create(print))
    assert_invalid {port = true}
    assert_invalid {port = false}
    assert_invalid {port = {}}
    assert_invalid {port = print}
    assert_invalid {path = ""}
    assert_invalid {path = 0}
    assert_invalid {path = "80"}
    assert_invalid {path = {}}
    assert_invalid {path = true}
    assert_lacks {}
    assert_lacks {port = nil}
    assert_lacks {path = nil}
    assert_lacks {host = "127.0.0.1"}
    assert_lacks {backlog = 5, exclusive = true}
    assert_lacks {fd = -1}
    assert_lacks {fd = "0"}
    assert_lacks {fd = 0 / 0}
    assert_lacks {fd = true}
    assert_lacks({}, "127.0.0.1", 5)
    assert_lacks({}, function() error "never called" end)
    assert_lacks(io.stdout)
    assert_lacks(net.EventEmitter())
  end)

  it("tells where the call is that was refused", function()
    local err = support.caught(function() net.createServer():listen(-1) end)
    assert.truthy(tostring(err):find "^[^:]*spec/listen_options_spec%.lua:%d+: options%.port should be")
  end)

  it("keeps the callback of a call that was refused, for the next that succeeds", function()
    local note, log = support.recorder()
    local server = net.createServer()
    assert.is_false((pcall(server.listen, server, -1, function() note "first" end)))
    assert.is_false((pcall(server.listen, server, {}, function() note "second" end)))
    assert.equal(2, server:listenerCount "listening")
    server:listen(0, function() note "third" server:close() end)
    support.run()
    assert.same({"first", "second", "third"}, log)
    assert.equal(0, server:listenerCount "listening")
    server:listen(0, function() server:close() end)
    support.run()
    assert.equal(3, #log)
  end)

  it("passes an error of the options' __index on, and stays as it was", function()
    local server = net.createServer()
    local options = setmetatable({}, {__index = function(_, key) error({key}) end})
    assert.is_false((pcall(server.listen, server, options)))
    assert.is_false(server.listening)
    local given = setmetatable({}, {__index = {port = 0, host = "127.0.0.1"}})
    server:listen(given, function()
      assert.equal("127.0.0.1", server:address().address)
      server:close()
    end)
    support.run()
  end)

  it("closes its server in __index without harm", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("close", function() note "close" end)
    local options = setmetatable({}, {__index = function(_, key)
      server:close()
      return key == "port" and 0 or nil
    end})
    server:listen(options, function() server:close() end)
    support.run()
    assert.truthy(#log > 1)
    assert.is_false(server.listening)
  end)

  it("listens in __index of its own options once, and leaks nothing", function()
    local server = net.createServer()
    local options = setmetatable({}, {__index = function(_, key)
      if key == "port" and not server.listening then server:listen(0) end
      return key == "port" and 0 or nil
    end})
    assert.equal("ERR_SERVER_ALREADY_LISTEN", support.caught(server.listen, server, options).code)
    assert.is_true(server.listening)
    server:close()
    support.run()
  end)

  it("says what is wrong with a port in use", function()
    local server = net.createServer():listen(0)
    local port = server:address().port
    local wanted = "listen EADDRINUSE: address already in use " .. any .. ":" .. port
    local err = assert_fails("EADDRINUSE", -98, wanted, port)
    assert.equal(any, err.address)
    assert.equal(port, err.port)
    err = assert_fails("EADDRINUSE", -98, "listen EADDRINUSE: address already in use 127.0.0.1:" .. port,
      port, "127.0.0.1")
    assert.equal("127.0.0.1", err.address)
    assert.equal(port, err.port)
    assert.equal("integer", math.type(err.port))
    server:close()
    support.run()
  end)

  it("says what is wrong with an address that is not this machine's", function()
    local err = assert_fails("EADDRNOTAVAIL", -99,
      "listen EADDRNOTAVAIL: address not available 192.0.2.99:1", 1, "192.0.2.99")
    assert.equal("192.0.2.99", err.address)
    assert.equal(1, err.port)
    err = assert_fails("EADDRNOTAVAIL", -99, "listen EADDRNOTAVAIL: address not available 192.0.2.99",
      0, "192.0.2.99")
    assert.equal("192.0.2.99", err.address)
    assert.is_nil(err.port)
  end)

  it("says that a port is not allowed", function()
    local file = io.open "/proc/sys/net/ipv4/ip_unprivileged_port_start"
    local first = file and file:read "n" or 0
    if file then file:close() end
    if first < 2 then
      pending "every port is allowed to everyone here"
      return
    end
    local prefix = "setpriv --reuid 65534 --clear-groups --bounding-set -all --inh-caps -all"
    if not os.execute(prefix .. " true 2>/dev/null") then
      prefix = ""
      local is_root = os.execute '[ "$(id -u)" = 0 ]'
      if is_root then
        pending "needs setpriv to be someone who is not allowed"
        return
      end
    end
    local out, err, code = support.lua {[[
      local net = require "cnet"
      local function try(...)
        local server = net.createServer()
        server:on("error", function(e) print(e.message, e.code, e.errno, e.address, e.port) end)
        server:on("close", function() print "close" end)
        server:listen(...)
      end
      try(42, "127.0.0.1")
      try(42)
      net.run()
    ]], prefix = prefix}
    if err:find "Permission denied" or err:find "not found" then
      pending "someone else cannot read the files of this test"
      return
    end
    assert.equal("", err)
    assert.equal(0, code)
    local function line(address)
      return ("listen EACCES: permission denied %s:42\tEACCES\t-13\t%s\t42\n"):format(address, address)
    end
    -- without a host, what was tried last
    assert.equal(line "0.0.0.0" .. line "127.0.0.1" .. "close\nclose\n", out)
  end)
end)

describe("listen on a path", function()
  after_each(support.clean)

  it("listens within the call, and the path is the address", function()
    local path = support.path()
    for _, form in ipairs {path, {path = path}} do
      local events, result = attempt(form)
      assert.equal("listening close", events)
      assert.is_true(result.listening)
      assert.equal(path, result.address)
      assert.equal(path, result.bound)
      assert.is_false(support.exists(path))
    end
    local called = 0
    attempt(path, function() called = called + 1 end)
    attempt(path, 5, function() called = called + 1 end)
    attempt({path = path}, function() called = called + 1 end)
    assert.equal(3, called)
  end)

  it("takes every text for one that is no number of 0 or more", function()
    local folder = support.path() -- removed like a socket's file
    local out, err, code = support.lua {[[
      local net = require "cnet"
      for _, name in ipairs {"abc", "-1", "1a", "0x", "-0x1", "1 2", "NaN", "-Infinity", "nan", "inf", "0x1p4"} do
        local server = net.createServer():listen(name)
        server:on("error", function(err) print(err) end)
        print(name, server:address(), os.rename(name, name))
        server:close()
      end
      net.run()
    ]], prefix = ([[sh -c 'mkdir "%s" && cd "%s" && exec "$@"' sh]]):format(folder, folder)}
    assert.equal("", err)
    assert.equal(0, code)
    local lines = {}
    for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
    assert.equal(11, #lines)
    for _, line in ipairs(lines) do
      local name, address, exists = line:match "^(.*)\t(.*)\t(.*)$"
      assert.equal(name, address) -- a relative one stays relative
      assert.equal("true", exists)
    end
  end)

  it("takes the backlog from the second or third argument, or the options", function()
    local path = support.path()
    local function listening(...) return net.createServer():listen(...) end
    -- Linux lets one more wait than it was told
    assert.equal("connect", backlog_of(listening(path, 2), path, 3))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, 2), path, 4))
    assert.equal("connect", backlog_of(listening(path, nil, 2), path, 3))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, nil, 2), path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, "2"), path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, true, 5), path, 3))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, 0, 2), path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening(path, -3, 2), path, 4))
    assert.equal("connect", backlog_of(listening {path = path, backlog = 2}, path, 3))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening {path = path, backlog = 2}, path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening {path = path, backlog = "2"}, path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening({path = path, backlog = 2}, 9), path, 4))
    assert.equal("connect EAGAIN " .. path, backlog_of(listening({path = path}, 2), path, 4))
  end)

  it("lets 511 clients wait unless it is told otherwise", function()
    local file = io.open "/proc/sys/net/core/somaxconn"
    local most = file and file:read "n" or 511
    if file then file:close() end
    if most < 511 then
      pending "the system lets fewer wait"
      return
    end
    local path = support.path()
    for _, backlog in ipairs {false, 0, "x", -1, {}} do
      assert.equal("connect", backlog_of(net.createServer():listen {path = path, backlog = backlog or nil}, path, 512))
    end
    assert.equal("connect EAGAIN " .. path, backlog_of(net.createServer():listen(path), path, 513))
    assert.equal("connect", backlog_of(net.createServer():listen(path, 512), path, 513))
    assert.equal("connect", backlog_of(net.createServer():listen(path, math.huge), path, 513))
    assert.equal("connect", backlog_of(net.createServer():listen(path, 2 ^ 40), path, 513))
  end)

  it("opens the socket's file to everyone with readableAll and writableAll", function()
    local out, err, code = support.lua({[[
      local net = require "cnet"
      local path = arg[1]
      local function mode(options)
        options.path = path
        local server = net.createServer():listen(options)
        local pipe = io.popen("stat -c %A " .. path)
        io.write(pipe:read "l", "\n")
        pipe:close()
        server:close()
      end
      mode {}
      mode {readableAll = true}
      mode {writableAll = true}
      mode {readableAll = true, writableAll = true}
      mode {readableAll = false, writableAll = 1} -- true alone counts, as in Node
      net.run()
    ]], prefix = [[sh -c 'umask 077; exec "$@"' sh]]}, support.path())
    assert.equal("", err)
    assert.equal("srwx------\nsrwxr--r--\nsrwx-w--w-\nsrwxrw-rw-\nsrwx------\n", out)
    assert.equal(0, code)
  end)

  it("refuses to open an abstract name to everyone", function()
    for _, key in ipairs {"readableAll", "writableAll"} do
      assert_throws("TypeError", "ERR_INVALID_ARG_VALUE", "The argument 'options' ",
        {path = "\0cnet spec " .. net.process.pid, [key] = true})
    end
  end)

  it("says that something is there already, a socket, a file or a folder, and leaves it there", function()
    local path = support.path()
    local server = net.createServer():listen(path)
    local message = "listen EADDRINUSE: address already in use " .. path
    local err = assert_fails("EADDRINUSE", -98, message, path)
    assert.equal(path, err.address)
    assert.equal(-1, err.port)
    assert.is_true(support.exists(path))
    assert.is_true(server.listening)
    server:close()
    support.run()
    assert.is_false(support.exists(path))
    local file = assert(io.open(path, "w"))
    file:write "precious"
    file:close()
    assert_fails("EADDRINUSE", -98, message, {path = path})
    file = assert(io.open(path))
    assert.equal("precious", file:read "a")
    file:close()
    assert_fails("EADDRINUSE", -98, "listen EADDRINUSE: address already in use /", "/")
  end)

  it("says that the folder is not there", function()
    local path = support.path() .. "/none"
    local err = assert_fails("EACCES", -13, "listen EACCES: permission denied " .. path, path)
    assert.equal(path, err.address)
    assert.equal(-1, err.port)
  end)
end)

describe("listen's ipv6Only", function()
  after_each(support.clean)

  -- Can a second server have the port on IPv4?
  local function leaves_ipv4(options)
    local note, log = support.recorder()
    local server, second = net.createServer(), net.createServer()
    second:on("listening", function() note "free" second:close() server:close() end)
    second:on("error", function(err) note(err.code) server:close() end)
    server:listen(options, function() second:listen(server:address().port, "0.0.0.0") end)
    support.run()
    assert.equal(1, #log)
    return log[1]
  end

  it("leaves the port free on IPv4, with a host and without", function()
    if not has_ipv6 then
      pending "there is no IPv6 here"
      return
    end
    assert.equal("EADDRINUSE", leaves_ipv4 {port = 0})
    assert.equal("EADDRINUSE", leaves_ipv4 {port = 0, host = "::"})
    assert.equal("EADDRINUSE", leaves_ipv4 {port = 0, ipv6Only = false})
    assert.equal("free", leaves_ipv4 {port = 0, ipv6Only = true})
    assert.equal("free", leaves_ipv4 {port = 0, host = "::", ipv6Only = true})
  end)

  it("means nothing to IPv4 addresses and paths, and only true counts", function()
    assert_listens_on("127.0.0.1", "IPv4", {port = 0, host = "127.0.0.1", ipv6Only = true})
    local events = attempt {path = support.path(), ipv6Only = true}
    assert.equal("listening close", events)
    if has_ipv6 then assert.equal("EADDRINUSE", leaves_ipv4 {port = 0, ipv6Only = 1}) end
  end)
end)

describe("listen's reusePort", function()
  after_each(support.clean)

  local function two(host, first_reuses, second_reuses)
    local note, log = support.recorder()
    local first, second = net.createServer(), net.createServer()
    second:on("listening", function()
      note "both"
      assert.equal(first:address().port, second:address().port)
      second:close()
      first:close()
    end)
    second:on("error", function(err) note(err.code) first:close() end)
    first:listen({port = 0, host = host, reusePort = first_reuses}, function()
      second:listen {port = first:address().port, host = host, reusePort = second_reuses}
    end)
    support.run()
    assert.equal(1, #log)
    return log[1]
  end

  it("lets two servers have one port if both ask for it", function()
    for _, host in ipairs {"127.0.0.1", "::1", false} do
      if has_ipv6 or host ~= "::1" then
        assert.equal("both", two(host, true, true))
        assert.equal("EADDRINUSE", two(host, true, false))
        assert.equal("EADDRINUSE", two(host, false, true))
        assert.equal("EADDRINUSE", two(host, nil, nil))
      end
    end
  end)

  it("lets both of them serve", function()
    local hits, clients, wanted = {0, 0}, 0, 64
    local servers = {}
    local function done()
      clients = clients + 1
      if clients == wanted then
        servers[1]:close()
        servers[2]:close()
      end
    end
    for i = 1, 2 do
      servers[i] = net.createServer(function(socket)
        hits[i] = hits[i] + 1
        socket:end_()
      end)
    end
    servers[1]:listen({port = 0, host = "127.0.0.1", reusePort = true}, function()
      local port = servers[1]:address().port
      servers[2]:listen({port = port, host = "127.0.0.1", reusePort = true}, function()
        for _ = 1, wanted do net.connect(port, "127.0.0.1"):on("close", done):resume() end
      end)
    end)
    support.run()
    assert.equal(wanted, hits[1] + hits[2])
    assert.truthy(hits[1] > 0 and hits[2] > 0)
  end)
end)

-- In a worker of a cluster it does: see cluster_child_spec.lua.
describe("listen's exclusive", function()
  after_each(support.clean)

  it("changes nothing without cluster", function()
    assert_random_port {port = 0, exclusive = true}
    local server = net.createServer():listen {port = 0, exclusive = true}
    local port = server:address().port
    assert_fails("EADDRINUSE", -98, ("listen EADDRINUSE: address already in use %s:%d"):format(any, port),
      {port = port, exclusive = true})
    server:close()
    support.run()
  end)
end)

describe("listen's signal", function()
  after_each(support.clean)

  -- Aborts in `step`: "before" the call, right "after" it, or once "listening".
  local function abort(step, options)
    local note, log = support.recorder()
    local controller = net.AbortController()
    options.signal = controller.signal
    local server = net.createServer()
    server:on("listening", function()
      note "listening"
      if step == "listening" then
        controller:abort()
        note(server.listening)
      end
    end)
    server:on("error", function(err) note(err) end)
    server:on("close", function() note "close" end)
    if step == "before" then controller:abort() end
    assert.equal(server, server:listen(options))
    if step == "after" then controller:abort() end
    net.nextTick(note, "tick")
    support.run()
    assert.is_false(server.listening)
    assert.equal(0, controller.signal:listenerCount "abort")
    assert.equal(1, server:listenerCount "close")
    return table.concat(log, " ")
  end

  it("closes the server", function()
    local path = support.path()
    assert.equal("listening false tick close", abort("listening", {port = 0}))
    assert.equal("tick listening false close", abort("listening", {port = 0, host = "127.0.0.1"}))
    assert.equal("tick listening false close", abort("listening", {port = 0, host = "localhost"}))
    assert.equal("listening false tick close", abort("listening", {path = path}))
    assert.is_false(support.exists(path))
  end)

  it("closes it before it listens too, and then there is no 'listening'", function()
    assert.equal("close tick", abort("after", {port = 0}))
    assert.equal("close tick", abort("after", {port = 0, host = "127.0.0.1"}))
    assert.equal("close tick", abort("after", {port = 0, host = "localhost"}))
    assert.equal("close tick", abort("after", {path = support.path()}))
  end)

  it("closes it in a tick if it is aborted already", function()
    assert.equal("tick close", abort("before", {port = 0}))
    assert.equal("tick close", abort("before", {port = 0, host = "127.0.0.1"}))
    assert.equal("tick close", abort("before", {port = 0, host = "localhost"}))
    local path = support.path()
    assert.equal("tick close", abort("before", {path = path}))
    assert.is_false(support.exists(path))
  end)

  it("is forgotten by a server that is closed", function()
    local controller = net.AbortController()
    local closes = 0
    local server = net.createServer()
    server:on("close", function() closes = closes + 1 end)
    server:listen({port = 0, signal = controller.signal}, function() server:close() end)
    assert.equal(1, controller.signal:listenerCount "abort")
    support.run()
    assert.equal(0, controller.signal:listenerCount "abort")
    controller:abort()
    support.run()
    assert.equal(1, closes)
  end)

  it("lets the open connections be", function()
    local controller = net.AbortController()
    local note, log = support.recorder()
    local server = net.createServer(function(socket)
      controller:abort()
      socket:on("data", function(data) socket:end_(data:upper()) end)
    end)
    server:on("close", function() note "close" end)
    server:listen({port = 0, host = "127.0.0.1", signal = controller.signal}, function()
      local client = net.connect(server:address().port, "127.0.0.1")
      client:write "hello"
      client:on("data", note)
    end)
    support.run()
    assert.same({"HELLO", "close"}, log)
  end)

  it("must be an AbortSignal", function()
    for _, value in ipairs {1, "x", {}, true, net.AbortController()} do
      assert_throws("TypeError", "ERR_INVALID_ARG_TYPE",
        [[The "options.signal" property must be an instance of AbortSignal. Received ]], {port = 0, signal = value})
    end
    assert_random_port {port = 0, signal = nil}
  end)
end)

describe("listen on another's handle", function()
  after_each(support.clean)

  -- Connects, and calls back once that is closed.
  local function visit(port, done)
    net.connect(port, "127.0.0.1"):on("close", done):resume()
  end

  for form, make in pairs {
    ["listen(server)"] = function(a) return a end,
    ["listen{_handle = server}"] = function(a) return {_handle = a} end,
    ["listen{handle = server}"] = function(a) return {handle = a} end,
    ["listen{_handle = server._handle}"] = function(a) return {_handle = a._handle} end,
    ["listen(server._handle)"] = function(a) return a._handle end,
  } do
    it(form .. " shares it: new connections go to the new server alone", function()
      local note, log = support.recorder()
      local a = net.createServer(function(socket) note "a" socket:end_() end)
      local b
      b = net.createServer(function(socket) note "b" assert.equal(b, socket.server) socket:end_() end)
      local closed = {a = 0, b = 0}
      a:on("close", function() closed.a = closed.a + 1 end)
      b:on("close", function() closed.b = closed.b + 1 end)
      a:listen(0, "127.0.0.1", function()
        local port = a:address().port
        visit(port, function()
          local value = make(a)
          local ok, err = pcall(b.listen, b, value, function() note "b listening" end)
          if not ok then
            a:close()
            error(err, 0)
          end
          assert.is_true(b.listening)
          assert.is_true(a.listening)
          assert.same(a:address(), b:address())
          visit(port, function()
            visit(port, function()
              b:close()
              a:close()
            end)
          end)
        end)
      end)
      support.run()
      assert.same({"a", "b listening", "b", "b"}, log)
      assert.same({a = 1, b = 1}, closed)
    end)
  end

  it("ends for both when one closes it", function()
    local note, log = support.recorder()
    local a, b = net.createServer(), net.createServer()
    a:on("close", function() note "a closed" end)
    b:on("close", function() note "b closed" end)
    a:listen(0, "127.0.0.1", function()
      local port = a:address().port
      b:listen(a)
      a:close()
      assert.is_true(b.listening)
      assert.truthy(tostring(b):find "^net.Server")
      assert.is_false((pcall(b.address, b)))
      net.connect(port, "127.0.0.1"):on("error", function(err)
        note(err.code)
        b:close()
        assert.is_false(b.listening)
      end)
    end)
    support.run()
    assert.same({"a closed", "ECONNREFUSED", "b closed"}, log)
  end)

  it("keeps nothing when every order of closing is tried", function()
    for _, order in ipairs {{1, 2, 3}, {3, 2, 1}, {2, 1, 3}, {2, 3, 1}, {1, 3, 2}, {3, 1, 2}} do
      local servers = {net.createServer(), net.createServer(), net.createServer()}
      local closed = 0
      for i = 1, 3 do servers[i]:on("close", function() closed = closed + 1 end) end
      servers[1]:listen(0)
      servers[2]:listen(servers[1])
      servers[3]:listen(servers[2])
      for _, i in ipairs(order) do servers[i]:close() end
      support.run()
      assert.equal(3, closed)
    end
  end)

  it("can share again after a close, and a collected holder does no harm", function()
    local a = net.createServer():listen(0)
    local seen = setmetatable({}, {__mode = "k"})
    for _ = 1, 3 do
      local b = net.createServer():listen(a)
      seen[b] = true
    end
    net.run "nowait"
    collectgarbage()
    collectgarbage()
    assert.is_true(a.listening)
    a:close()
    support.run()
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(seen))
  end)

  it("gives an error for a connected socket, which stays connected", function()
    local note, log = support.recorder()
    local server = net.createServer(function(socket) socket:pipe(socket) end)
    local second = net.createServer()
    server:listen(0, "127.0.0.1", function()
      local client = net.connect(server:address().port, "127.0.0.1")
      second:on("error", function(err)
        note(err.message, err.code, err.errno, err.syscall, err.address, err.port)
        assert.is_false(second.listening)
        client:end_ "still here"
      end)
      second:on("close", function() note "second closed" end)
      client:on("connect", function()
        second:listen(client)
        server:close()
      end)
      client:on("data", note)
      client:on("close", function(failed) note("client closed", failed) end)
    end)
    support.run()
    assert.same({"listen EINVAL: invalid argument EINVAL -22 listen nil -1", "second closed", "still here",
      "client closed false"}, log)
  end)

  it("gives Node's error for a server on a path, which goes on listening", function()
    local path = support.path()
    local a = net.createServer(function(socket) socket:end_ "hello" end)
    a:listen(path)
    local err = assert_fails("EEXIST", -17, "listen EEXIST: file already exists", a)
    assert.is_nil(err.address)
    assert.is_nil(err.port)
    assert.is_true(a.listening)
    local heard
    net.connect(path):on("data", function(data) heard = data a:close() end)
    support.run()
    assert.equal("hello", heard)
    assert.is_false(support.exists(path))
  end)

  it("refuses a server or socket that is not open, and tables without one", function()
    local closed = net.createServer():listen(0)
    closed:close()
    assert_lacks(closed)
    assert_lacks(net.createServer())
    assert_lacks(net.Socket())
    assert_lacks {_handle = closed}
    assert_lacks {_handle = {}}
    assert_lacks {handle = {}}
    support.run()
  end)

  it("refuses its own handle: it listens already", function()
    local server = net.createServer():listen(0)
    assert.equal("ERR_SERVER_ALREADY_LISTEN", support.caught(server.listen, server, server).code)
    assert.is_true(server.listening)
    server:close()
    support.run()
  end)
end)

describe("listen on a descriptor", function()
  after_each(support.clean)

  local function assert_no_listener(fd, code, errno, text)
    local message = ("listen %s: %s"):format(code or "EINVAL", text or "invalid argument")
    local err = assert_fails(code or "EINVAL", errno or -22, message, {fd = fd})
    assert.is_nil(err.address)
    assert.is_nil(err.port)
  end

  it("gives an error for one that is a regular file, and leaves that open", function()
    local name = os.tmpname()
    local file = assert(io.open(name, "w+"))
    file:write "precious"
    file:flush()
    local fd = assert(descriptor_of(name:gsub("%p", "%%%0") .. "$"))
    assert_no_listener(fd)
    file:seek "set"
    assert.equal("precious", file:read "a")
    file:close()
    os.remove(name)
  end)

  it("gives an error for a device, the loop's own descriptors, and one that is not open", function()
    local null = assert(io.open "/dev/null")
    assert_no_listener(assert(descriptor_of "^/dev/null$"))
    null:close()
    assert_no_listener(net.backendFd())
    local event = descriptor_of "eventfd"
    if event then assert_no_listener(event) end
    assert_no_listener(9999)
    assert_no_listener(2147483647)
    -- the loop has not suffered
    local ran = false
    net.setTimeout(function() ran = true end, 1)
    support.run()
    assert.is_true(ran)
  end)

  it("gives an error for a number that no descriptor can have", function()
    assert_no_listener(2147483648)
    assert_no_listener(2 ^ 40)
    assert_no_listener(math.maxinteger)
    assert_no_listener(1.5)
    assert_no_listener(math.huge)
  end)

  it("gives an error for a pipe, and lets nothing hang", function()
    local out, err, code = support.lua {[[
      local net = require "cnet"
      local server = net.createServer()
      server:on("error", function(e) print(e.message, e.code, e.errno, e.address, e.port) end)
      server:on("close", function() print "close" end)
      server:listen({fd = 0}, error)
      net.run()
      print(server.listening, server)
    ]], prefix = [[sh -c '{ echo text; } 2>/dev/null | "$@"' sh]]}
    assert.equal("", err)
    assert.equal("listen ENOTSOCK: socket operation on non-socket\tENOTSOCK\t-88\tnil\tnil\nclose\n" ..
      "false\tnet.Server (not listening)\n", out)
    assert.equal(0, code)
  end)

  it("gives an error for one this loop has open already, and does not close it", function()
    local before = descriptors()
    local server = net.createServer(function(socket) socket:end_ "hello" end):listen(0, "127.0.0.1")
    local heard
    server:on("listening", function()
      local port = server:address().port
      local fd
      for number, what in pairs(descriptors()) do
        if before[number] ~= what and what:find "socket" then fd = number end
      end
      assert.truthy(fd)
      local second = net.createServer()
      second:on("listening", error)
      second:on("error", function(err)
        assert.equal("EEXIST", err.code)
        net.connect(port, "127.0.0.1"):on("data", function(data) heard = data server:close() end)
      end)
      second:listen {fd = fd}
    end)
    support.run()
    assert.equal("hello", heard)
  end)

  -- perl-base, which every Debian has, opens a listening socket and becomes the script.
  local function inherit(perl, script, ...)
    if not os.execute "env -u LD_PRELOAD perl -MSocket -e 1 2>/dev/null" then
      pending "needs perl to open the socket"
      return
    end
    local out, err, code = support.lua({script, prefix = "perl -MSocket -e '$^F = 255; " .. perl ..
      "; open(STDIN, \"<&S\"); exec @ARGV'"}, ...)
    assert.equal("", err)
    assert.equal(0, code)
    return out
  end

  local serve_once = [[
    local net = require "cnet"
    local server
    server = net.createServer(function(socket)
      socket:on("data", function(data) socket:end_(data:upper()) end)
      server:close()
    end)
    server:on("close", function() print "close" end)
    server:on("error", print)
    server:listen({fd = 0, backlog = 5}, function()
      print "listening"
      local address = server:address()
      local client = address and net.connect(address.port, address.address) or net.connect(arg[1])
      client:write "hello"
      client:on("data", print)
      if address then print(address.address, address.family, math.type(address.port)) end
    end)
    print(server.listening)
    net.run()
  ]]

  it("serves on one that listens already, or is bound", function()
    local bind = [[socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die]]
    local expected = "true\nlistening\n127.0.0.1\tIPv4\tinteger\nHELLO\nclose\n"
    local out = inherit(bind .. "; listen(S, 5)", serve_once)
    if out then assert.equal(expected, out) end
    out = inherit(bind, serve_once)
    if out then assert.equal(expected, out) end
  end)

  it("may be a socket's that is destroyed while the server is paused, with a client in hand", function()
    local out = inherit([[socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die]], [[
      local net = require "cnet"
      local socket = net.Socket { fd = 0, allowHalfOpen = true }:setEncoding "utf8"
      local server = net.createServer(function() print "never" end):listen(socket):pause()
      while not server.listening do net.run "nowait" end
      local client = net.connect(server:address().port, "127.0.0.1"):on("error", function() end)
      for _ = 1, 20 do net.run "nowait" end
      socket:destroy()
      server:resume()
      server:close()
      client:destroy()
      print(net.run())
    ]])
    if out then assert.equal("false\n", out) end
  end)

  it("is told of what cannot be, where a socket holds the handle of a server too", function()
    local acts = {
      ["socket:end_()"] = "listening, conn, server closed, socket closed",
      ["socket:write 'short'"] = "listening, write EPIPE, socket closed, server closed",
      ["socket:write(('x'):rep(100000))"] = "listening, write EPIPE, socket closed, server closed",
      ["socket:resume()"] = "listening, conn, server closed, socket closed",
      ["socket:connect(1, '127.0.0.1')"] = "listening, connect EISCONN, socket closed, server closed",
      ["socket:resetAndDestroy()"] = "listening, socket closed, server closed",
      ["server:close() socket:write 'x' socket:write(('x'):rep(100000)) socket:end_()"] =
        "listening, server closed, write EBADF, socket closed",
      ["server:close() socket:connect(1, '127.0.0.1')"] =
        "listening, server closed, connect EBADF, socket closed",
      ["server:close() socket:destroy()"] = "listening, server closed, socket closed",
      ["server:close() net.setImmediate(function() socket:connect(1, '127.0.0.1') end)"] =
        "listening, server closed, connect EBADF, socket closed",
    }
    for act, expected in pairs(acts) do
      local out = inherit([[socket(S, PF_INET, SOCK_STREAM, 0); bind(S, sockaddr_in(0, INADDR_LOOPBACK)) or die]], [[
        local net = require "cnet"
        local log = {}
        local function note(text) return function() log[#log + 1] = text end end
        local function failed(err) log[#log + 1] = err.syscall .. " " .. err.code end
        local socket, server = net.Socket { fd = 0 }, net.createServer()
        socket:on("error", failed)
        socket:on("close", note "socket closed")
        server:on("error", failed)
        server:on("close", note "server closed")
        server:on("connection", function(peer)
          log[#log + 1] = "conn"
          peer:destroy()
          server:close(function() socket:destroy() end)
        end)
        server:on("listening", function()
          local port = server:address().port
          log[#log + 1] = "listening"
          ]] .. act .. [[

          net.setImmediate(function()
            if not socket.destroyed and server.listening then return net.connect(port, "127.0.0.1"):resume() end
            net.setImmediate(function()
              if server.listening then server:close() end
              socket:destroy()
            end)
          end)
        end)
        server:listen(socket)
        print(net.run(), table.concat(log, ", "))
      ]])
      if out then assert.equal(act .. ": false\t" .. expected .. "\n", act .. ": " .. out) end
    end
  end)

  it("serves on a Unix socket", function()
    local path = support.path()
    local out = inherit(([[socket(S, PF_UNIX, SOCK_STREAM, 0); bind(S, sockaddr_un("%s")) or die; listen(S, 5)]])
      :format(path), serve_once, path)
    if out then assert.equal("true\nlistening\nHELLO\nclose\n", out) end
  end)

  it("is beaten by a handle and beats a port", function()
    assert_no_listener(9999)
    assert_fails("EINVAL", -22, "listen EINVAL: invalid argument", {fd = 9999, port = 0, path = support.path()})
    local a = net.createServer():listen(0)
    local b = net.createServer():listen {_handle = a, fd = 9999}
    assert.is_true(b.listening)
    b:close()
    a:close()
    support.run()
  end)
end)

describe("listen twice", function()
  after_each(support.clean)

  it("is refused while the server listens, and nothing of the second call stays", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("listening", function() note "listening" server:close() end)
    server:listen(0)
    local address = server:address()
    for _, form in ipairs {0, {port = 0}, "/none/none", true, {}} do
      local err = support.caught(server.listen, server, form, function() note "never" end)
      assert.equal("ERR_SERVER_ALREADY_LISTEN", err.code)
      assert.equal("Listen method has been called more than once without closing.", err.message)
      assert.equal("Error", err.name)
    end
    assert.same(address, server:address())
    support.run()
    assert.same({"listening"}, log)
  end)

  it("supersedes a lookup that is not done", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("listening", function() note("listening", server:address().address) server:close() end)
    server:on("close", function() note "close" end)
    server:listen(0, "127.0.0.1", function() note "first" end)
    server:listen(0, "localhost", function() note "second" end)
    server:listen(0, "127.0.0.2", function() note "third" end)
    support.run()
    assert.same({"listening 127.0.0.2", "first", "second", "third", "close"}, log)
  end)
end)

describe("listen with an address where the path belongs", function()
  after_each(support.clean)

  local function message(...)
    local server = net.createServer()
    local err = support.caught(server.listen, server, ...)
    assert.equal("ERR_INVALID_ARG_VALUE", err.code)
    assert.is_false(server.listening)
    return err.message
  end

  it("shows what the call should be", function()
    local text = "The argument 'path' is an address: call listen(%s), or listen{ path = ... } for a file of this " ..
      "name. Received "
    for _, case in ipairs {
      { '8080, "127.0.0.1"', "127.0.0.1", 8080 },
      { '8080, "127.0.0.1"', "127.0.0.1", 8080.0, 511, function() end },
      { 'port, "127.0.0.1"', "127.0.0.1" },
      { 'port, "127.0.0.1"', "127.0.0.1", "8080" },
      { 'port, "0.0.0.0"', "0.0.0.0", function() end },
      { '80, "::"', "::", 80 },
      { '80, "fe80::1%lo"', "fe80::1%lo", 80 },
      { '8080, "127.0.0.1"', "127.0.0.1:8080" },
      { '65535, "::1"', "[::1]:65535" },
      { '0, "::ffff:1.2.3.4"', "[::ffff:1.2.3.4]:0", 511 },
    } do
      local expected = text:format(case[1])
      assert.equal(expected, message(table.unpack(case, 2)):sub(1, #expected))
    end
  end)

  it("takes everything else for a path", function()
    for _, name in ipairs {
      "echo.sock", "./127.0.0.1", "localhost", "1.2.3", "1.2.3.4.5", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:123456",
      ":8080", "[::1]", "[127.0.0.1]:80", "[]:80", " 127.0.0.1", "\0" .. "127.0.0.1",
    } do
      local server = net.createServer():listen(name, 128)
      assert.is_true(server.listening, name)
      assert.equal(name, server:address())
      server:close()
      support.run()
    end
    for _, name in ipairs { "127.0.0.1", "[::1]:80" } do
      local server = net.createServer():listen { path = name }
      assert.equal(name, server:address())
      server:close()
      support.run()
    end
  end)
end)
