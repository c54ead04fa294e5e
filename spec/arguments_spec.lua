-- nil as an argument: in the middle it stands for one that is left out, and at the end it is as if it were not there.
-- Every function with optional arguments is called with each choice of them, with nil in the place of those that are
-- left out and with more of it behind the last one.

local child_process = require "cnet.child_process"
local net = require "cnet"
local children = require "spec.support.children"
local clusters = require "spec.support.clusters"
local sockets = require "spec.support.sockets"
local support = require "spec.support"

after_each(children.clean)

local HOST = "127.0.0.1"

-- What a server without a host listens on.
local any
do
  local server = net.createServer():listen(0)
  any = server:address().address
  server:close()
  net.run()
end

-- Calls fn(has, text, ...) for each choice of the slots, in their order: { name, value } and { name, value, true } for
-- one that is always given. `has` is the set of names that are given, `...` the arguments.
local function each(slots, fn)
  local optional = {}
  for i, slot in ipairs(slots) do
    if not slot[3] then optional[#optional + 1] = i end
  end
  for choice = 0, (1 << #optional) - 1 do
    local has, args, last = {}, {}, 0
    for _, slot in ipairs(slots) do has[slot[1]] = slot[3] end
    for bit, i in ipairs(optional) do has[slots[i][1]] = choice >> (bit - 1) & 1 == 1 or nil end
    for i, slot in ipairs(slots) do
      if has[slot[1]] then args[i], last = slot[2], i end
    end
    for _, trailing in ipairs { 0, 1, 2, 5 } do
      local text = {}
      for i = 1, last + trailing do text[i] = args[i] == nil and "nil" or slots[i][1] end
      fn(has, table.concat(text, ", "), table.unpack(args, 1, last + trailing))
    end
  end
end

-- A function that counts its calls in the second value's `n`.
local function counter()
  local count = { n = 0 }
  return function(...)
    count.n = count.n + 1
    count[count.n] = table.pack(...)
  end, count
end

-- ---- listen ----

describe("server:listen", function()
  -- Listens, closes, and tells where it was and how often the callback was called.
  local function listens(text, callback, ...)
    local where, events = nil, 0
    local server = net.createServer()
    server:on("listening", function()
      events = events + 1
      where = server:address()
      server:close()
    end)
    server:listen(...)
    support.run()
    assert.equal(1, events, text)
    local calls = callback.n
    callback.n = 0
    return where, calls
  end

  local function check(slots, place)
    local callback, count = counter()
    slots[#slots + 1] = { "callback", callback }
    each(slots, function(has, text, ...)
      local where, calls = listens(text, count, ...)
      assert.equal(has.callback and 1 or 0, calls, text)
      place(has, where, text)
    end)
  end

  it("(port, host, backlog, callback): a host without a port is listened on, and no other address", function()
    check({ { "port", 0 }, { "host", HOST }, { "backlog", 5 } }, function(has, where, text)
      assert.equal(has.host and HOST or any, where.address, text)
    end)
  end)

  it("(port, host, callback), with a name of a host", function()
    check({ { "port", "0" }, { "host", "localhost" } }, function(has, where, text)
      if has.host then
        assert.is_true(where.address == HOST or where.address == "::1", text)
      else
        assert.equal(any, where.address, text)
      end
    end)
  end)

  it("(port, backlog, callback)", function()
    check({ { "port", 0 }, { "backlog", 5 } }, function(_, where, text) assert.equal(any, where.address, text) end)
  end)

  it("(path, backlog, callback)", function()
    local path = support.path()
    check({ { "path", path, true }, { "backlog", 5 } }, function(_, where) assert.equal(path, where) end)
    check({ { "path", path, true }, { "", nil }, { "backlog", 5 } }, function(_, where) assert.equal(path, where) end)
  end)

  it("(options, backlog, callback)", function()
    local options = { port = 0, host = HOST }
    check({ { "options", options, true }, { "backlog", 5 } }, function(_, where) assert.equal(HOST, where.address) end)
  end)

  it("(handle, backlog, callback)", function()
    for _, trailing in ipairs { 0, 1, 3 } do
      local first = sockets.server()
      local callback, count = counter()
      local second = net.createServer():listen(table.unpack({ first, nil, callback }, 1, 3 + trailing))
      sockets.wait(function() return count.n == 1 end)
      assert.equal(first:address().port, second:address().port)
      first:close()
      second:close()
      support.run()
      assert.equal(1, count.n)
    end
  end)

  it("(function, host): as Node, on the host", function()
    local where = listens("", { n = 0 }, function() error "not the last argument" end, HOST)
    assert.equal(HOST, where.address)
  end)

  it("takes the backlog behind nil too", function()
    local function queue(...)
      local path = support.path()
      local server = net.createServer():listen(path, ...)
      net.run "nowait"
      local refused
      local clients = {}
      for i = 1, 4 do
        clients[i] = net.connect(path):on("error", function(err) refused = err.code end)
      end
      net.run "nowait"
      for _, client in ipairs(clients) do client:destroy() end
      server:close()
      support.run()
      return refused
    end
    assert.is_nil(queue())
    assert.equal("EAGAIN", queue(2))
    assert.equal("EAGAIN", queue(nil, 2))
    assert.equal("EAGAIN", queue(nil, 2, nil))
    assert.equal("EAGAIN", queue(nil, 2, print, nil))
    assert.equal("EAGAIN", queue(2, nil, nil))
  end)

  it("in a worker of a cluster", function()
    for _, policy in ipairs(clusters.policies) do
      assert.same({ "127.0.0.1" }, clusters.run([[
        local server = net.createServer()
        server:listen(nil, "127.0.0.1", nil, function() say(server:address().address) end, nil)
      ]], [[
        cluster.fork(nil)
        cluster:on("message", function(worker, message) print(message) worker:destroy(nil) end)
      ]], { policy = policy }), policy)
    end
  end)
end)

-- ---- connect ----

-- Each of the ways to connect: new(...) returns the socket.
local ways = {
  ["net.connect"] = net.connect,
  ["net.createConnection"] = net.createConnection,
  ["socket:connect"] = function(...) return net.Socket():connect(...) end,
}

for name, connect in pairs(ways) do
  describe(name, function()
    -- Connects with each choice of the slots to the server, and counts what the callback and the events tell.
    local function check(server, slots)
      local callback, count = counter()
      local accepted = 0
      server:on("connection", function(socket)
        accepted = accepted + 1
        socket:resume()
      end)
      slots[#slots + 1] = { "callback", callback }
      each(slots, function(has, text, ...)
        local connected, closed = 0, false
        count.n, accepted = 0, 0
        local client = connect(...)
        client:on("connect", function()
          connected = connected + 1
          client:end_()
        end)
        client:on("close", function() closed = true end)
        client:resume()
        sockets.wait(function() return closed and accepted == 1 end)
        assert.same({ has.callback and 1 or 0, 1, 1 }, { count.n, connected, accepted }, text)
      end)
      server:close()
      support.run()
    end

    it("(port, host, callback)", function()
      local server = sockets.server()
      check(server, { { "port", server:address().port, true }, { "host", HOST } })
    end)

    it("(path, callback)", function()
      local server = sockets.server(nil, sockets.kinds.unix())
      check(server, { { "path", server:address(), true }, { "", nil } })
    end)

    it("(options, callback)", function()
      local server = sockets.server()
      check(server, { { "options", { port = server:address().port, host = HOST }, true } })
    end)

    it("without a port or a path raises ERR_MISSING_ARGS", function()
      for _, args in ipairs { { n = 0 }, { n = 1 }, { n = 3 }, { nil, HOST, n = 2 }, { nil, HOST, print, n = 4 } } do
        assert.equal("ERR_MISSING_ARGS", support.caught(connect, table.unpack(args, 1, args.n)).code)
      end
    end)
  end)
end

-- ---- a socket ----

describe("socket", function()
  it(":write(chunk, encoding, callback)", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local callback, count = counter()
    local wanted = {}
    local function check(slots)
      each(slots, function(has, text, ...)
        count.n = 0
        local before = #got.text
        client:write(...)
        wanted[#wanted + 1] = has.encoding and "a" or "61"
        support.run_until(function() return #got.text > before and (count.n > 0 or not has.callback) end)
        assert.equal(has.callback and 1 or 0, count.n, text)
      end)
    end
    check { { "chunk", "61", true }, { "encoding", "hex" }, { "callback", callback } }
    check { { "chunk", "61", true }, { "callback", callback } }
    assert.equal(table.concat(wanted), got.text)
    for _, trailing in ipairs { 0, 1, 3 } do
      local err = support.caught(client.write, client, table.unpack({ nil, nil, callback }, 1, 3 + trailing))
      assert.equal("ERR_STREAM_NULL_VALUES", err.code)
    end
    sockets.finish(client, peer)
  end)

  it(":end_(chunk, encoding, callback)", function()
    local callback, count = counter()
    local function check(slots)
      each(slots, function(has, text, ...)
        count.n = 0
        local client, peer = sockets.pair()
        local got = sockets.collect(peer)
        assert.equal(client, client:end_(...))
        support.run()
        assert.equal(has.chunk and (has.encoding and "a" or "61") or "", got.text, text)
        assert.equal(has.callback and 1 or 0, count.n, text)
        assert.is_true(got.ended)
      end)
    end
    check { { "chunk", "61" }, { "encoding", "hex" }, { "callback", callback } }
    check { { "chunk", "61" }, { "callback", callback } }
    check { { "callback", callback } }
  end)

  it(":setTimeout(ms, callback)", function()
    local socket = net.Socket()
    local callback = counter()
    each({ { "ms", 60000, true }, { "callback", callback } }, function(has, text, ...)
      assert.equal(socket, socket:setTimeout(...))
      assert.equal(60000, socket.timeout, text)
      assert.equal(has.callback and 1 or 0, socket:listenerCount "timeout", text)
      socket:removeAllListeners "timeout"
    end)
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(socket.setTimeout, socket, nil, callback).code)
    socket:setTimeout(0, nil)
  end)

  it(":setNoDelay(on) and :setKeepAlive(on, delay)", function()
    local client, peer = sockets.pair()
    local function told() return sockets.options(client) end
    if not told() then
      sockets.finish(client, peer)
      return pending "the kernel does not tell"
    end
    each({ { "on", false } }, function(has, text, ...)
      client:setNoDelay(...)
      assert.equal(not has.on, told().noDelay, text)
    end)
    each({ { "on", true }, { "delay", 90000 } }, function(has, text, ...)
      client:setKeepAlive(...)
      assert.equal(has.on or false, told().keepAlive, text)
      if has.on and has.delay then assert.equal(90, told().idle, text) end
    end)
    sockets.finish(client, peer)
  end)

  it(":unshift(chunk, encoding), :read(size) and :setEncoding(encoding)", function()
    local socket = net.Socket()
    each({ { "chunk", "6162", true }, { "encoding", "hex" } }, function(has, text, ...)
      socket:unshift(...)
      assert.equal(has.encoding and "ab" or "6162", socket:read(), text)
    end)
    each({ { "size", 1 } }, function(has, text, ...)
      socket:unshift "abc"
      assert.equal(has.size and "a" or "abc", socket:read(...), text)
      if has.size then assert.equal("bc", socket:read(nil), text) end
    end)
    each({ { "encoding", "hex" } }, function(has, text, ...)
      socket:setEncoding(...)
      assert.equal(has.encoding and "hex" or "utf8", socket.readableEncoding, text)
    end)
    socket:destroy(nil)
    support.run()
  end)

  it(":destroy(err)", function()
    each({ { "err", "reason" } }, function(has, text, ...)
      local note, log = support.recorder()
      local socket = sockets.watch(net.Socket(), note)
      assert.equal(socket, socket:destroy(...))
      support.run()
      assert.same(has.err and { "error reason", "close" } or { "close" }, log, text)
    end)
  end)

  it(":pipe(destination, options) and :unpipe(destination)", function()
    local from, to
    each({ { "options", { ["end"] = false } } }, function(has, text, ...)
      from, to = net.Socket(), net.Socket()
      assert.equal(to, from:pipe(to, ...))
      from:emit "end"
      assert.equal(not has.options, to.writableEnded, text)
      from:unpipe(to)
    end)
    from, to = net.Socket(), net.Socket()
    each({ { "destination", to } }, function(has, text, ...)
      local gone = {}
      local other = net.Socket():on("unpipe", function() gone[#gone + 1] = "other" end)
      to:on("unpipe", function() gone[#gone + 1] = "to" end)
      from:pipe(to)
      from:pipe(other)
      assert.equal(from, from:unpipe(...))
      assert.equal(has.destination and "to" or "to other", table.concat(gone, " "), text)
      from:unpipe()
      to:removeAllListeners "unpipe"
    end)
  end)

  it("options, of net.Socket and net.createServer", function()
    each({ { "options", { allowHalfOpen = true } } }, function(has, text, ...)
      assert.equal(has.options or false, net.Socket(...).allowHalfOpen, text)
    end)
    for _, make in ipairs { net.createServer, net.Server } do
      each({ { "options", { allowHalfOpen = true } }, { "listener", print } }, function(has, text, ...)
        local server = make(...)
        assert.equal(has.options or false, server.allowHalfOpen, text)
        assert.equal(has.listener and 1 or 0, server:listenerCount "connection", text)
      end)
      each({ { "listener", print } }, function(has, text, ...)
        assert.equal(has.listener and 1 or 0, make(...):listenerCount "connection", text)
      end)
    end
  end)
end)

-- ---- the rest ----

describe("a server's", function()
  it("close(callback) and getConnections(callback)", function()
    local callback, count = counter()
    each({ { "callback", callback } }, function(has, text, ...)
      count.n = 0
      local server = sockets.server()
      assert.equal(server, server:close(...))
      support.run()
      assert.equal(has.callback and 1 or 0, count.n, text)
    end)
    each({ { "callback", callback, true } }, function(_, text, ...)
      count.n = 0
      net.createServer():getConnections(...)
      support.run()
      assert.same({ 1, nil, 0 }, { count.n, count[1][1], count[1][2] }, text)
    end)
  end)
end)

describe("an emitter's", function()
  it("listenerCount(event, listener) and removeAllListeners(event)", function()
    local emitter = net.EventEmitter()
    emitter:on("x", print):on("x", type):on("y", print)
    each({ { "event", "x", true }, { "listener", print } }, function(has, text, ...)
      assert.equal(has.listener and 1 or 2, emitter:listenerCount(...), text)
    end)
    each({ { "event", "x" } }, function(has, text, ...)
      emitter:removeAllListeners():on("x", print):on("y", print):removeAllListeners(...)
      assert.equal(has.event and 1 or 0, #emitter:eventNames(), text)
    end)
  end)
end)

describe("nil that is handed on", function()
  local function count(...) return select("#", ...) end

  it("is counted: emit, nextTick, setImmediate, setTimeout and setInterval lose none", function()
    local got = {}
    local function note(name) return function(...) got[name] = count(...) end end
    net.EventEmitter():on("x", note "emit"):emit("x", nil, 1, nil, nil)
    net.EventEmitter():once("x", note "once"):emit("x", nil, nil)
    net.nextTick(note "nextTick", nil, 1, nil)
    net.setImmediate(note "setImmediate", nil, nil)
    net.setTimeout(note "setTimeout", nil, 1, nil, nil)
    net.setTimeout(note "nothing", 1)
    local interval
    interval = net.setInterval(function(...)
      note "setInterval"(...)
      net.clearInterval(interval)
    end, 1, nil)
    support.run()
    local wanted = { emit = 4, once = 2, nextTick = 3, setImmediate = 2, setTimeout = 3, nothing = 0, setInterval = 1 }
    assert.same(wanted, got)
  end)
end)

describe("an AbortController's", function()
  it("abort(reason), and its signal's addEventListener(type, listener, options)", function()
    each({ { "reason", "why" } }, function(has, text, ...)
      local controller = net.AbortController()
      controller:abort(...)
      assert.equal(has.reason and "why" or "This operation was aborted",
        has.reason and controller.signal.reason or controller.signal.reason.message, text)
    end)
    local listener, calls = counter()
    each({ { "type", "abort", true }, { "listener", listener, true }, { "options", { once = true } } },
      function(_, text, ...)
        calls.n = 0
        local controller = net.AbortController()
        controller.signal:addEventListener(...)
        controller:abort()
        assert.equal(1, calls.n, text)
      end)
  end)
end)

describe("addresses:", function()
  it("BlockList's methods with a family", function()
    local four, six = { "1.1.1.1", "1.1.1.9", 24 }, { "::1", "::9", 120 }
    local function check(method, back, ...)
      local places = { ... }
      for _, family in ipairs { "ipv4", "ipv6" } do
        local of = family == "ipv4" and four or six
        local slots = {}
        for i, place in ipairs(places) do slots[i] = { tostring(of[place]), of[place], true } end
        slots[#slots + 1] = { "family", family, family == "ipv6" }
        each(slots, function(_, text, ...)
          local list = net.BlockList()
          list[method](list, ...)
          assert.equal(1, #list.rules, text)
          assert.is_true(list:check(of[1], family), text)
          list[back](list, ...)
          assert.equal(0, #list.rules, text)
        end)
      end
    end
    check("addAddress", "removeAddress", 1)
    check("addRange", "removeRange", 1, 2)
    check("addSubnet", "removeSubnet", 1, 3)
    local list = net.BlockList()
    list:addCIDR("1.1.1.0/24", nil, nil)
    each({ { "address", "1.1.1.1", true }, { "family", "ipv4" } }, function(_, text, ...)
      assert.is_true(list:check(...), text)
    end)
  end)

  it("net.SocketAddress(options)", function()
    each({ { "options", { address = "1.2.3.4", port = 5 } } }, function(has, text, ...)
      local address = net.SocketAddress(...)
      assert.same(has.options and { "1.2.3.4", 5 } or { HOST, 0 }, { address.address, address.port }, text)
    end)
  end)
end)

describe("the module's", function()
  it("run(mode, handler)", function()
    local handled
    local function handler(err)
      handled = err
      return err
    end
    local function check(slots)
      each(slots, function(has, text, ...)
        handled = nil
        net.nextTick(error, "raised")
        assert.equal("raised", support.caught(net.run, ...), text)
        assert.equal(has.handler and "raised" or nil, handled, text)
      end)
    end
    check { { "mode", "once" }, { "handler", handler } }
    check { { "handler", handler } }
  end)

  it("Error(message, fields) and strict(on)", function()
    each({ { "message", "text" }, { "fields", { code = "E" } } }, function(has, text, ...)
      local err = net.Error(...)
      assert.same({ has.message and "text" or "", has.fields and "E" or nil }, { err.message, err.code }, text)
    end)
    local before = net.strict()
    each({ { "on", before } }, function(_, text, ...) assert.equal(before, net.strict(...), text) end)
  end)
end)

-- ---- other processes ----

describe("child_process.fork", function()
  it("(script, args, options)", function()
    local name = children.script [[process:send(tostring(arg[1]) .. " " .. tostring(os.getenv "WORD")) net.run()]]
    local function check(slots)
      each(slots, function(has, text, ...)
        local child = child_process.fork(...)
        local messages = children.messages(child)
        support.run()
        assert.equal((has.args and "one" or "nil") .. " " .. (has.options and "here" or "nil"), messages[1], text)
        assert.equal(1, messages.n, text)
      end)
    end
    local env = { WORD = "here" }
    for _, key in ipairs { "PATH", "LD_PRELOAD", "ASAN_OPTIONS", "LD_LIBRARY_PATH" } do env[key] = os.getenv(key) end
    check { { "script", name, true }, { "args", { "one" } }, { "options", { env = env } } }
    check { { "script", name, true }, { "options", { env = env } } }
  end)

  it("and a child's send(message, handle, options, callback)", function()
    local child = children.fork [[
      process:on("message", function(message, handle)
        if message == "end" then return process:disconnect() end
        process:send(message .. " " .. (handle and "handle" or "nothing"))
        if handle then handle:close() end
      end)
    ]]
    local server = sockets.server()
    local callback, count = counter()
    local answers = children.messages(child)
    local sent = 0
    local function check(slots)
      each(slots, function(has, text, ...)
        count.n = 0
        sent = sent + 1
        assert.is_true(child:send(...))
        support.run_until(function() return answers.n == sent and (count.n == 1 or not has.callback) end)
        assert.equal("word " .. (has.handle and "handle" or "nothing"), answers[sent], text)
        assert.equal(has.callback and 1 or 0, count.n, text)
      end)
    end
    check { { "message", "word", true }, { "handle", server }, { "options", {} }, { "callback", callback } }
    check { { "message", "word", true }, { "handle", server }, { "callback", callback } }
    check { { "message", "word", true }, { "callback", callback } }
    child:send("end", nil, nil, nil)
    server:close()
    support.run()
    assert.same({ 0, nil }, { child.exitCode, child.signalCode })
  end)

  it("and kill(signal), and process:send and process:exit(code) on the other side", function()
    each({ { "signal", "SIGINT" } }, function(has, text, ...)
      local child = children.sh "kill -STOP $$"
      assert.is_true(child:kill(...))
      child:kill "SIGCONT"
      support.run()
      assert.equal(has.signal and "SIGINT" or "SIGTERM", child.signalCode, text)
    end)
    each({ { "code", 3 } }, function(has, text, ...)
      local args = table.pack(...)
      for i = 1, args.n do args[i] = tostring(args[i]) end
      local child = children.fork(([[
        process:send("word", nil, nil, function() process:exit(%s) end, nil)
      ]]):format(table.concat(args, ", ")))
      local messages = children.messages(child)
      support.run()
      assert.same({ "word", has.code and 3 or 0 }, { messages[1], child.exitCode }, text)
    end)
  end)
end)

describe("a cluster's", function()
  it("setupPrimary(settings), fork(env), send, kill(signal) and disconnect(callback)", function()
    assert.same({ "nil nothing", "here nothing", "word", "SIGTERM", "SIGKILL", "gone" }, clusters.run([[
      net.process:on("message", function(message, handle) say(message) end)
      say(tostring(os.getenv "WORD") .. " " .. (arg[1] or "nothing"))
    ]], [[
      local step = 0
      local first, second, third
      local function next_step()
        step = step + 1
        if step == 1 then
          cluster.setupPrimary(nil)
          first = cluster.fork(nil, nil)
        elseif step == 2 then
          second = cluster.fork({ WORD = "here" }, nil)
        elseif step == 3 then
          second:send("word", nil, nil, function(err) assert(not err) end, nil)
        elseif step == 4 then
          first:kill(nil)
        elseif step == 5 then
          second:kill("SIGKILL", nil)
        else
          cluster.disconnect(function() print "gone" end, nil)
        end
      end
      cluster:on("message", function(_, message) print(message) next_step() end)
      cluster:on("exit", function(_, code, signal) print(signal or code) next_step() end)
      next_step()
    ]]))
  end)
end)
