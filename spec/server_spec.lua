-- net.Server: its options, events and their order, its life, its connections. What listen takes is in
-- listen_options_spec.lua. Most expectations are what node v26 does.

local net = require "cnet"
local support = require "spec.support"

local HOST = "127.0.0.1"

-- A server on a random port; on_listening(server, port).
local function serve(options, on_connection, on_listening)
  local server = net.createServer(options, on_connection)
  server:listen(0, HOST, function() on_listening(server, server:address().port) end)
  return server
end

-- Connects and reads to the end. Calls back with all that was read once the socket is closed.
local function visit(port, done)
  local parts = {}
  local client = net.connect(port, HOST)
  client:on("data", function(data) parts[#parts + 1] = data end)
  client:on("error", function(err) parts[#parts + 1] = err.code end)
  client:on("close", function() if done then done(table.concat(parts)) end end)
  return client
end

-- Opens n connections and calls back with both ends of each, once all are there.
local function connect_many(server, n, done)
  local clients, sockets = {}, {}
  local waiting = 2 * n
  local function one()
    waiting = waiting - 1
    if waiting == 0 then done(clients, sockets) end
  end
  server:on("connection", function(socket) sockets[#sockets + 1] = socket one() end)
  for i = 1, n do
    clients[i] = net.connect(server:address().port, HOST, one)
    clients[i]:resume()
  end
end

local function note_events(emitter, note, name, ...)
  for _, event in ipairs {...} do
    emitter:on(event, function(...) note(name, event, ...) end)
  end
end

local function collect()
  collectgarbage()
  collectgarbage()
end

describe("net.createServer and net.Server", function()
  after_each(support.clean)

  it("make a server that is an EventEmitter and listens nowhere", function()
    for _, make in ipairs {net.createServer, net.Server} do
      local server = make()
      assert.equal("userdata", type(server))
      assert.is_false(server.listening)
      assert.is_nil(server:address())
      assert.is_nil(server._handle)
      assert.equal(net.EventEmitter.on, server.on)
      assert.equal(net.Server.listen, server.listen)
      assert.equal(0, #server:eventNames())
      assert.equal("net.Server (not listening)", tostring(server))
    end
    assert.not_equal(net.createServer(), net.createServer())
  end)

  it("take options and a listener, each of them or none", function()
    local function listener() end
    for _, make in ipairs {net.createServer, net.Server} do
      assert.same({listener}, make(listener):listeners "connection")
      assert.same({listener}, make({}, listener):listeners "connection")
      assert.same({listener}, make(nil, listener):listeners "connection")
      assert.same({}, make {}:listeners "connection")
      assert.same({}, make(nil):listeners "connection")
      assert.same({}, make({}, "no listener"):listeners "connection") -- ignored, as in Node
      assert.same({}, make({}, {}):listeners "connection")
    end
  end)

  it("refuse other options", function()
    for value, received in pairs {[1] = "type number (1)", x = "type string ('x')", [true] = "type boolean (true)"} do
      for _, make in ipairs {net.createServer, net.Server} do
        local err = support.caught(make, value)
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.equal("TypeError", err.name)
        assert.equal([[The "options" argument must be of type table. Received ]] .. received, err.message)
      end
    end
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.createServer, net.createServer()).code)
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.createServer, io.stdout).code)
  end)

  it("check keepAliveInitialDelay and highWaterMark", function()
    for _, key in ipairs {"keepAliveInitialDelay", "highWaterMark"} do
      for value, received in pairs {["1"] = "type string ('1')", [true] = "type boolean (true)", [{}] = "type table"} do
        local err = support.caught(net.createServer, {[key] = value})
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.equal(([[The "options.%s" property must be of type number. Received %s]]):format(key, received),
          err.message)
      end
    end
  end)

  it("keep the options as properties, with Node's defaults", function()
    local server = net.createServer()
    assert.is_false(server.allowHalfOpen)
    assert.is_false(server.pauseOnConnect)
    assert.is_false(server.noDelay)
    assert.is_false(server.keepAlive)
    assert.equal(0, server.keepAliveInitialDelay)
    assert.equal(65536, server.highWaterMark)
    server = net.createServer {allowHalfOpen = true, pauseOnConnect = 1, noDelay = "yes", keepAlive = {},
      keepAliveInitialDelay = 5500, highWaterMark = 7}
    assert.is_true(server.allowHalfOpen)
    assert.is_true(server.pauseOnConnect)
    assert.is_true(server.noDelay)
    assert.is_true(server.keepAlive)
    assert.equal(5, server.keepAliveInitialDelay)
    assert.equal("integer", math.type(server.keepAliveInitialDelay))
    assert.equal(7, server.highWaterMark)
    server = net.createServer {allowHalfOpen = 0, keepAliveInitialDelay = -1, highWaterMark = -1}
    assert.is_false(server.allowHalfOpen)
    assert.equal(0, server.keepAliveInitialDelay)
    assert.equal(65536, server.highWaterMark)
    for _, n in ipairs {0 / 0, math.huge, -math.huge, 2 ^ 53, math.mininteger} do
      net.createServer {keepAliveInitialDelay = n, highWaterMark = n}
    end
    server.allowHalfOpen = true
    server.pauseOnConnect = true
    server.noDelay = true
    server.keepAlive = true
    assert.is_true(server.allowHalfOpen and server.pauseOnConnect and server.noDelay and server.keepAlive)
    server.keepAliveInitialDelay = 7 -- seconds, as the property reads
    server.highWaterMark = 9
    assert.equal(7, server.keepAliveInitialDelay)
    assert.equal(9, server.highWaterMark)
  end)

  it("let a script add fields and methods, and hide methods", function()
    local server = net.createServer()
    server.user = "u"
    assert.equal("u", server.user)
    local real = server.close
    local closes = 0
    server.close = function(...) closes = closes + 1 return real(...) end
    server:listen(0)
    server:close()
    support.run()
    assert.equal(1, closes)
    server.close = nil
    assert.equal(real, server.close)
    net.Server.hello = function(self) return self end
    assert.equal(server, server:hello())
    assert.is_nil(net.Socket().hello)
    net.Server.hello = nil
    assert.is_nil(server.hello)
    assert.is_nil(server.nothing)
  end)

  it("raise for a read-only property, by name", function()
    local server = net.createServer()
    for _, name in ipairs {"listening", "connections", "_handle"} do
      local err = support.caught(function() server[name] = 1 end)
      assert.truthy(tostring(err):find(name, 1, true), tostring(err))
      assert.truthy(tostring(err):find "server_spec.lua:%d+")
    end
  end)

  it("check the self of every method and property", function()
    local server = net.createServer()
    local others = {{}, 1, "x", true, print, io.stdout, net, net.Socket(), net.EventEmitter(), net.Server}
    for _, name in ipairs {"listen", "close", "address", "getConnections", "closeAllConnections",
      "closeIdleConnections", "ref", "unref"} do
      for _, other in ipairs(others) do
        local err = support.caught(server[name], other, function() error "never called" end)
        assert.equal("ERR_INVALID_THIS", err.code)
      end
      assert.equal("ERR_INVALID_THIS", support.caught(server[name]).code)
    end
    support.run()
  end)
end)

describe("a server's events", function()
  after_each(support.clean)

  -- Runs one client that ends with "ping" against a server that closes itself and answers "pong".
  local function trace(answer)
    local note, log = support.recorder()
    local server
    server = net.createServer(function(socket)
      note "S connection"
      server:close(function(...) note("server close cb", ...) end)
      note_events(socket, note, "S", "data", "end", "finish", "close")
      answer(socket, function() note "S end-cb" end)
    end)
    server:on("listening", function(...)
      note("listening ev", ...)
      local client = net.connect(server:address().port, HOST)
      note_events(client, note, "C", "connect", "ready", "data", "end", "finish", "close")
      client:end_("ping", function() note "C end-cb" end)
    end)
    server:on("close", function(...) note("server close ev", ...) end)
    assert.equal(server, server:listen(0, function(...) note("listening cb", ...) end))
    support.run()
    return log
  end

  it("come in Node's order from listening to close", function()
    assert.same({"listening ev", "listening cb", "S connection", "C connect", "C ready", "C end-cb", "C finish",
      "S data ping", "S end-cb", "S finish", "S end", "server close ev", "server close cb", "C data pong",
      "S close false", "C end", "C close false"},
      trace(function(socket, done)
        socket:on("data", function() socket:end_("pong", done) end)
      end))
    assert.same({"listening ev", "listening cb", "S connection", "C connect", "C ready", "S end-cb", "S finish",
      "C end-cb", "C finish", "C data pong", "S data ping", "C end", "S end", "server close ev", "server close cb",
      "S close false", "C close false"},
      trace(function(socket, done) socket:end_("pong", done) end))
  end)

  it("'connection' has the socket, which knows its server and both addresses", function()
    local count = 0
    serve(nil, function(...)
      count = count + 1
      local socket = ...
      assert.equal(1, select("#", ...))
      assert.equal(socket.server:address().port, socket.localPort)
      assert.equal(HOST, socket.localAddress)
      assert.equal(HOST, socket.remoteAddress)
      assert.equal("IPv4", socket.remoteFamily)
      assert.equal("integer", math.type(socket.remotePort))
      assert.is_false(socket.connecting)
      assert.equal("open", socket.readyState)
      socket.server:close()
      socket:end_()
    end, function(_, port) visit(port) end)
    support.run()
    assert.equal(1, count)
  end)

  it("run all ticks of one 'connection' before the next", function()
    local note, log = support.recorder()
    local n = 0
    serve(nil, function(socket)
      n = n + 1
      note("connection", n)
      net.nextTick(note, "tick", n)
      if n == 3 then socket.server:close() end
      socket:end_()
    end, function(_, port) for _ = 1, 3 do visit(port) end end)
    support.run()
    assert.same({"connection 1", "tick 1", "connection 2", "tick 2", "connection 3", "tick 3"}, log)
  end)

  it("do not pass the server, which a listener finds as socket.server", function()
    local got
    local server = net.createServer()
    server:on("listening", function(...) got = table.pack(...) server:close() end)
    server:listen(0)
    support.run()
    assert.equal(0, got.n)
  end)

  it("come again each time it listens", function()
    local note, log = support.recorder()
    local server = net.createServer()
    local rounds = 0
    server:on("listening", function()
      rounds = rounds + 1
      note("listening", rounds)
      server:close()
    end)
    server:on("close", function()
      note("close", rounds)
      if rounds < 3 then server:listen(0) end
    end)
    server:listen(0, HOST)
    support.run()
    assert.same({"listening 1", "close 1", "listening 2", "close 2", "listening 3", "close 3"}, log)
  end)
end)

describe("a server's options for its sockets", function()
  after_each(support.clean)

  local function accepted(options, check)
    local checked = 0
    local server
    server = serve(options, function(socket)
      check(socket)
      checked = checked + 1
      server:close()
      socket:destroy()
    end, function(_, port) visit(port) end)
    support.run()
    assert.equal(1, checked)
  end

  it("allowHalfOpen: the socket ends when the script ends it", function()
    local note, log = support.recorder()
    local answer
    serve({allowHalfOpen = true}, function(socket)
      assert.is_true(socket.allowHalfOpen)
      socket.server:close()
      note_events(socket, note, "S", "end", "close")
      socket:resume()
      socket:on("end", function()
        net.setImmediate(function()
          note(socket.readyState)
          socket:end_ "late"
        end)
      end)
    end, function(_, port)
      visit(port, function(data) answer = data end):end_()
    end)
    support.run()
    assert.equal("late", answer)
    assert.same({"S end", "writeOnly", "S close false"}, log)
    accepted(nil, function(socket) assert.is_false(socket.allowHalfOpen) end)
  end)

  it("pauseOnConnect: nothing is read before resume", function()
    local note, log = support.recorder()
    serve({pauseOnConnect = true}, function(socket)
      socket.server:close()
      socket:on("data", note) -- of itself this would start the flow
      note(socket:isPaused(), socket.bytesRead)
      -- a second connection of the loop to itself: by then the first one's bytes have long been there
      local other = net.createServer(function(s) s:end_() end)
      other:listen(0, HOST, function()
        visit(other:address().port, function()
          other:close()
          note(socket:isPaused(), socket.bytesRead)
          socket:resume()
        end)
      end)
    end, function(_, port) visit(port):end_ "hello" end)
    support.run()
    assert.same({"true 0", "true 0", "hello"}, log)
  end)

  it("highWaterMark: of both directions", function()
    accepted({highWaterMark = 0}, function(socket)
      assert.equal(0, socket.readableHighWaterMark)
      socket.server.highWaterMark = 5
      assert.equal(0, socket.readableHighWaterMark)
      assert.equal(5, socket.server.highWaterMark)
    end)
    accepted({highWaterMark = 7}, function(socket)
      assert.equal(7, socket.readableHighWaterMark)
      assert.equal(7, socket.writableHighWaterMark)
    end)
    accepted(nil, function(socket)
      assert.equal(65536, socket.readableHighWaterMark)
      assert.equal(65536, socket.writableHighWaterMark)
    end)
  end)

  it("noDelay, keepAlive, keepAliveInitialDelay: are set on the connection before 'connection'", function()
    if not os.execute "command -v ss >/dev/null" then
      pending "needs ss to see the socket's options"
      return
    end
    local function timers(options)
      local line
      accepted(options, function(socket)
        local command = "env -u LD_PRELOAD ss -tnoH state established '( sport = :%d )'" -- not under ASan: it leaks
        local pipe = io.popen(command:format(socket.localPort))
        line = pipe:read "a"
        pipe:close()
      end)
      return line
    end
    local plain = timers(nil)
    if plain == "" then
      pending "ss shows nothing here"
      return
    end
    assert.falsy(plain:find "keepalive")
    assert.truthy(timers {keepAlive = true}:find "timer:%(keepalive,%d+min")
    assert.truthy(timers {keepAlive = true, keepAliveInitialDelay = 40000}:find "timer:%(keepalive,[34]%d")
  end)

  it("apply as they are when the connection comes", function()
    local server = net.createServer()
    local seen = {}
    server:on("connection", function(socket)
      seen[#seen + 1] = socket.allowHalfOpen
      socket:destroy()
    end)
    server:listen(0, HOST, function()
      visit(server:address().port, function()
        server.allowHalfOpen = true
        visit(server:address().port, function() server:close() end)
      end)
    end)
    support.run()
    assert.same({false, true}, seen)
  end)
end)

describe("server.listening, address and tostring", function()
  after_each(support.clean)

  it("tell the state, at each step of a server on a port", function()
    local server = net.createServer()
    assert.is_false(server.listening)
    assert.is_nil(server:address())
    server:listen(0, HOST)
    assert.is_false(server.listening)
    assert.is_nil(server:address())
    assert.equal("net.Server (not listening)", tostring(server))
    server:on("listening", function()
      assert.is_true(server.listening)
      local address = server:address()
      assert.same({address = HOST, family = "IPv4", port = address.port}, address)
      assert.equal(("net.Server (%s:%d)"):format(HOST, address.port), tostring(server))
      assert.not_equal(address, server:address()) -- a table of its own each time
      server:close()
      assert.is_false(server.listening)
      assert.is_nil(server:address())
      assert.equal("net.Server (not listening)", tostring(server))
    end)
    support.run()
    assert.is_false(server.listening)
    assert.is_nil(server:address())
  end)

  it("write an IPv6 address in brackets", function()
    local server = net.createServer():listen(0)
    local address = server:address()
    if address.family == "IPv6" then assert.equal(("net.Server ([::]:%d)"):format(address.port), tostring(server)) end
    server:close()
    support.run()
  end)

  it("tell the path, which address goes on telling, as in Node", function()
    local path = support.path()
    local server = net.createServer():listen(path)
    assert.is_true(server.listening)
    assert.equal(path, server:address())
    assert.equal(("net.Server (%s)"):format(path), tostring(server))
    server:close()
    assert.is_false(server.listening)
    assert.equal(path, server:address())
    support.run()
    assert.equal(path, server:address())
    server:listen(0)
    assert.equal("table", type(server:address()))
    server:close()
    support.run()
  end)
end)

describe("server:close", function()
  after_each(support.clean)

  it("lets go of the port in the call, and emits 'close' in a tick", function()
    local note, log = support.recorder()
    local server = net.createServer():listen(0)
    local port = server:address().port
    server:on("close", function(...) note("close", select("#", ...)) end)
    server:on("listening", function() note "listening" end)
    assert.equal(server, server:close(function(...) note("callback", select("#", ...)) end))
    assert.equal(0, #log)
    local second = net.createServer():listen(port)
    assert.equal(port, second:address().port)
    second:close()
    net.nextTick(note, "tick after")
    support.run()
    assert.same({"close 0", "callback 0", "tick after"}, log)
  end)

  it("waits for the connections, and comes before the last one's own 'close'", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 3, function(clients, sockets)
        server:on("close", function() note "server" end)
        for i, socket in ipairs(sockets) do socket:on("close", function() note("socket", i) end) end
        server:close(function() note "callback" end)
        sockets[2]:destroy()
        clients[1]:destroy() -- then its socket ends by itself
        sockets[1]:on("close", function()
          note "last"
          sockets[3]:destroy()
        end)
      end)
    end)
    support.run()
    assert.same({"socket 2", "socket 1", "last", "server", "callback", "socket 3"}, log)
  end)

  it("refuses new clients while connections are open, which it does not touch", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, nil, function(_, port)
      connect_many(server, 1, function(clients, sockets)
        server:close()
        assert.is_false(server.listening)
        visit(port, function(text)
          note(text)
          sockets[1]:end_ "still here"
        end)
        clients[1]:on("data", note)
      end)
    end)
    server:on("close", function() note "close" end)
    support.run()
    assert.same({"ECONNREFUSED", "still here", "close"}, log)
  end)

  it("gives ERR_SERVER_NOT_RUNNING to the callback of a server that does not listen", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("close", function(...) note("close", select("#", ...)) end)
    local err
    assert.equal(server, server:close(function(...)
      note("callback", select("#", ...))
      err = ...
    end))
    assert.is_nil(err)
    support.run()
    assert.same({"close 0", "callback 1"}, log)
    assert.equal("ERR_SERVER_NOT_RUNNING", err.code)
    assert.equal("Server is not running.", err.message)
    assert.equal("Error", err.name)
    assert.equal(0, server:listenerCount "close" - 1)
  end)

  it("emits for each call without connections, and tells the callbacks of the later ones", function()
    local note, log = support.recorder()
    local server = net.createServer():listen(0)
    server:on("close", function() note "close" end)
    server:close(function(err) note("first", err) end)
    server:close(function(err) note("second", err.code) end)
    server:close("no function")
    server:close()
    support.run()
    assert.same({"close", "first nil", "second ERR_SERVER_NOT_RUNNING", "close", "close", "close"}, log)
  end)

  it("emits once for all calls while there were connections", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 1, function(clients)
        server:on("close", function() note "close" end)
        server:close(function(err) note("first", err) end)
        server:close(function(err) note("second", err.code) end)
        clients[1]:destroy()
      end)
    end)
    support.run()
    assert.same({"close", "first nil", "second ERR_SERVER_NOT_RUNNING"}, log)
  end)

  it("then listen works in the same tick: both events follow", function()
    local note, log = support.recorder()
    local server = net.createServer():listen(0)
    server:on("close", function() note "close" end)
    server:on("listening", function() note "listening" end)
    local port = server:address().port
    server:close()
    server:listen(port)
    assert.is_true(server.listening)
    assert.equal(port, server:address().port)
    net.run "nowait"
    -- the 'listening' of the first listen is told too: by then the server listens, as in Node
    assert.same({"listening", "close", "listening"}, log)
    server:close()
    support.run()
  end)

  it("before 'listening' suppresses that", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("close", function() note "close" end)
    server:on("listening", function() note "listening" end)
    server:listen(0)
    server:close()
    server:listen(support.path())
    server:close()
    support.run()
    assert.same({"close", "close"}, log)
  end)

  it("in the lookup of the host discards it", function()
    for _, host in ipairs {HOST, "localhost"} do
      local note, log = support.recorder()
      local server = net.createServer()
      server:on("close", function() note "close" end)
      server:on("listening", function() note "listening" end)
      server:on("error", function(err) note(err) end)
      server:listen(0, host, function() note "callback" end)
      server:close(function(err) note(err.code) end)
      support.run()
      assert.same({"close", "ERR_SERVER_NOT_RUNNING"}, log)
    end
  end)

  it("resets clients that nobody accepted", function()
    local server = net.createServer(function() error "never" end):listen(0)
    local codes = {}
    for _ = 1, 3 do
      local client = net.connect(server:address().port, HOST)
      client:on("error", function(err) codes[#codes + 1] = err.code end)
      client:resume()
    end
    net.nextTick(function() server:close() end)
    support.run()
    for _, code in ipairs(codes) do assert.truthy(code == "ECONNRESET" or code == "ECONNREFUSED", code) end
  end)

  it("works inside the listener of 'connection'", function()
    local count = 0
    local server
    server = net.createServer(function(socket)
      count = count + 1
      server:close()
      socket:end_ "first"
    end)
    local answers = {}
    server:listen(0, HOST, function()
      for _ = 1, 4 do visit(server:address().port, function(text) answers[#answers + 1] = text end) end
    end)
    support.run()
    assert.equal(1, count)
    assert.equal(4, #answers)
    local good = 0
    for _, text in ipairs(answers) do if text == "first" then good = good + 1 end end
    assert.equal(1, good)
  end)

  it("is what <close> does, without harm to a server that is closed", function()
    local note, log = support.recorder()
    local kept
    do
      local server <close> = net.createServer():listen(0)
      server:on("close", function() note "close" end)
      kept = server
    end
    assert.is_false(kept.listening)
    do
      local same <close> = kept
      assert.truthy(same)
    end
    do
      local never <close> = net.createServer():on("close", function() note "never" end)
      assert.truthy(never)
    end
    support.run()
    assert.same({"close"}, log)
    assert.is_false((pcall(function()
      local server <close> = net.createServer():listen(0)
      kept = server
      error "in the block"
    end)))
    assert.is_false(kept.listening)
    support.run()
  end)

  it("is what <close> does with a lookup on its way", function()
    local note, log = support.recorder()
    do
      local server <close> = net.createServer():listen(0, "localhost", function() note "listening" end)
      server:on("close", function() note "close" end)
    end
    support.run()
    assert.same({"close"}, log)
  end)
end)

describe("server:getConnections", function()
  after_each(support.clean)

  it("tells the number of connections in a tick, never inside the call", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 3, function(_, sockets)
        net.nextTick(note, "tick before")
        assert.equal(server, server:getConnections(function(...) note("count", ...) end))
        assert.equal(0, #log)
        net.nextTick(note, "tick after")
        sockets[1]:destroy()
        server:getConnections(function(err, count)
          note("then", err, count, math.type(count))
          server:close()
          sockets[2]:destroy()
          sockets[3]:destroy()
          server:getConnections(function(_, n) note("last", n) end)
        end)
      end)
    end)
    support.run()
    assert.same({"tick before", "count nil 3", "tick after", "then nil 2 integer", "last 0"}, log)
  end)

  it("works before listening and after close", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:getConnections(note)
    server:listen(0)
    server:getConnections(note)
    server:close(function() server:getConnections(note) end)
    support.run()
    assert.same({"nil 0", "nil 0", "nil 0"}, log)
  end)

  it("needs a function", function()
    local server = net.createServer()
    for value, received in pairs {[1] = "type number (1)", [{}] = "type table", x = "type string ('x')"} do
      local err = support.caught(server.getConnections, server, value)
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.equal([[The "callback" argument must be of type function. Received ]] .. received, err.message)
    end
    assert.equal([[The "callback" argument must be of type function. Received nil]],
      support.caught(server.getConnections, server).message)
    support.run()
  end)
end)

describe("server.connections", function() -- with sockets in child processes: handoff_spec.lua
  after_each(support.clean)

  it("is the number of connections, with one line on stderr in a process", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local server = net.createServer()
      print(server.connections, math.type(server.connections), net.createServer().connections)
      server:on("connection", function(socket)
        print(server.connections)
        socket:destroy()
        print(server.connections)
        server:close()
      end)
      server:listen(0, function() net.connect(server:address().port, "127.0.0.1"):resume() end)
      net.run()
    ]]
    assert.equal("0\tinteger\t0\n1\n0\n", out)
    assert.equal(0, code)
    local _, lines = err:gsub("\n", "")
    assert.equal(1, lines)
    assert.truthy(err:find "deprecated")
    assert.truthy(err:find "getConnections")
  end)

  it("says nothing to who does not read it", function()
    local _, err = support.lua [[
      local net = require "cnet"
      local server = net.createServer():listen(0)
      server:getConnections(function() server:close() end)
      net.run()
    ]]
    assert.equal("", err)
  end)
end)

describe("a listen with arguments that are refused", function()
  after_each(support.clean)

  it("gives up the one before it whose host is being looked up, as in Node", function()
    for _, bad in ipairs {{-1}, {{}}, {{port = 0, host = 5}}} do
      local server = net.createServer()
      server:on("listening", error)
      server:listen(0, HOST)
      assert.is_false(pcall(server.listen, server, table.unpack(bad)))
      support.run()
      assert.is_false(server.listening)
    end
  end)
end)

describe("server.maxConnections", function()
  after_each(support.clean)

  it("lets the clients beyond it go, with 'drop'", function()
    local note, log = support.recorder()
    local drops, answers = {}, {}
    local server, held
    server = net.createServer(function(socket)
      note "connection"
      held = socket
    end)
    assert.is_nil(server.maxConnections)
    server.maxConnections = 1
    assert.equal(1, server.maxConnections)
    server:on("drop", function(...)
      note("drop", select("#", ...))
      drops[#drops + 1] = ...
    end)
    server:listen(0, HOST, function()
      local port = server:address().port
      local first = net.connect(port, HOST)
      first:on("close", function() server:close() end)
      first:resume()
      first:on("connect", function()
        local ports, left = {}, 3
        for i = 1, 3 do
          local client = net.connect(port, HOST)
          note_events(client, function(...) answers[#answers + 1] = i .. " " .. table.concat({...}, " ", 2, 2) end,
            "C", "connect", "end", "close")
          client:on("connect", function() ports[#ports + 1] = client.localPort end)
          client:on("error", function(err) assert.equal("ECONNRESET", err.code) end)
          client:resume()
          client:on("close", function()
            left = left - 1
            if left > 0 then return end
            assert.equal(3, #drops)
            table.sort(ports)
            table.sort(drops, function(a, b) return a.remotePort < b.remotePort end)
            for n, drop in ipairs(drops) do
              assert.same({localAddress = HOST, localPort = port, localFamily = "IPv4", remoteAddress = HOST,
                remotePort = ports[n], remoteFamily = "IPv4", reason = "maxConnections"}, drop)
              assert.equal("integer", math.type(drop.localPort))
              assert.equal("integer", math.type(drop.remotePort))
            end
            held:destroy()
          end)
        end
      end)
    end)
    support.run()
    assert.same({"connection", "drop 1", "drop 1", "drop 1"}, log)
    local closes = 0
    for _, text in ipairs(answers) do if text:find "close" then closes = closes + 1 end end
    assert.equal(3, closes)
  end)

  it("counts the sockets that are not destroyed, and is read for each client", function()
    local note, log = support.recorder()
    local server
    server = net.createServer(function(socket)
      note "connection"
      socket:destroy()
    end)
    server.maxConnections = 1
    server:on("drop", function() note "drop" end)
    server:listen(0, HOST, function()
      local port = server:address().port
      visit(port, function()
        visit(port, function()
          server.maxConnections = nil -- no limit
          visit(port, function() server:close() end)
        end)
      end)
    end)
    support.run()
    assert.same({"connection", "connection", "connection"}, log)
  end)

  it("of nil, or what is not a number, is no limit", function()
    for _, value in ipairs {"x", {}, print, 0 / 0, math.huge, "none"} do
      local server = net.createServer(function(socket)
        if socket.server.limit == socket.server.seen + 1 then socket.server:close() end
        socket.server.seen = socket.server.seen + 1
        socket:end_()
      end)
      server.seen, server.limit = 0, 3
      if value ~= "none" then
        server.maxConnections = value
        if value == value then assert.equal(value, server.maxConnections) end
      else
        server.maxConnections = 1
        server.maxConnections = nil
        assert.is_nil(server.maxConnections)
      end
      server:on("drop", error)
      server:listen(0, HOST, function() for _ = 1, 3 do visit(server:address().port) end end)
      support.run()
      assert.equal(3, server.seen)
    end
  end)

  it("of 0, or what counts as 0, or less, lets nobody in, as in Node", function()
    for _, value in ipairs {0, false, "", -1, -math.huge, "0", "-1"} do
      local note, log = support.recorder()
      local server = net.createServer(function() note "connection" end)
      server.maxConnections = value
      server:on("drop", function()
        note "drop"
        server:close()
      end)
      server:listen(0, HOST, function() visit(server:address().port) end)
      support.run()
      assert.same({"drop"}, log)
    end
  end)

  it("can be written as a text of a number, as in Node", function()
    local drops = 0
    local server
    server = serve(nil, function(socket)
      net.setImmediate(function() visit(server:address().port, function() socket:destroy() end) end)
    end, function(_, port) visit(port) end)
    server.maxConnections = "1"
    server:on("drop", function() drops = drops + 1 server:close() end)
    support.run()
    assert.equal(1, drops)
  end)

  it("on a path tells nothing of whom it drops", function()
    local path = support.path()
    local got
    local server = net.createServer(function() end)
    server.maxConnections = 1
    local first
    server:on("drop", function(...)
      got = table.pack(...)
      server:close()
      first:destroy()
    end)
    server:listen(path, function()
      first = net.connect(path, function() net.connect(path):on("error", print):resume() end)
    end)
    support.run()
    assert.same({ n = 0 }, got)
  end)

  it("keeps a listener of 'drop' that throws from breaking anything", function()
    local note, log = support.recorder()
    local server, held
    server = serve(nil, function(socket) held = socket end, function(_, port)
      net.connect(port, HOST, function()
        visit(port, function() note "dropped" server:close() held:destroy() end)
      end):resume()
    end)
    server.maxConnections = 1
    server:on("drop", function() error({}) end)
    assert.equal("table", type(support.caught(support.run)))
    assert.is_true(server.listening)
    support.run()
    assert.same({"dropped"}, log)
  end)

  it("has dropMaxConnection beside it, for clusters (cluster_child_spec.lua)", function()
    local server = net.createServer()
    assert.is_false(server.dropMaxConnection)
    server.dropMaxConnection = true
    assert.is_true(server.dropMaxConnection)
    server.dropMaxConnection = 0
    assert.is_false(server.dropMaxConnection)
  end)
end)

describe("server:closeAllConnections", function()
  after_each(support.clean)

  it("destroys every open socket of the server, and of no other", function()
    local note, log = support.recorder()
    local server, other
    other = serve(nil, nil, function()
      connect_many(other, 1, function(other_clients, other_sockets)
        server = serve(nil, nil, function()
          connect_many(server, 3, function(clients, sockets)
            for i = 1, 3 do
              sockets[i]:on("close", function(failed) note("socket closed", failed) end)
              clients[i]:on("close", function() note "client closed" end)
            end
            assert.equal(server, server:closeAllConnections())
            for i = 1, 3 do assert.is_true(sockets[i].destroyed) end
            assert.is_false(other_sockets[1].destroyed)
            assert.is_true(server.listening)
            server:getConnections(function(_, count) note("count", count) end)
            server:closeAllConnections()
            other_clients[1]:on("data", function(text)
              note(text)
              other:close()
              other_clients[1]:destroy()
            end)
            server:close(function()
              note "server closed"
              other_sockets[1]:write "still here"
            end)
          end)
        end)
      end)
    end)
    support.run()
    assert.equal("count 0", log[1])
    assert.equal("server closed", log[2])
    table.sort(log)
    assert.same({"client closed", "client closed", "client closed", "count 0", "server closed",
      "socket closed false", "socket closed false", "socket closed false", "still here"}, log)
  end)

  it("is harmless without connections, in every state", function()
    local server = net.createServer()
    assert.equal(server, server:closeAllConnections())
    server:listen(0)
    assert.equal(server, server:closeAllConnections())
    server:close()
    assert.equal(server, server:closeAllConnections())
    support.run()
  end)

  it("lets a closed server emit its 'close'", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 2, function()
        server:close(function() note "close" end)
        net.setImmediate(function()
          note "still waiting"
          server:closeAllConnections()
        end)
      end)
    end)
    support.run()
    assert.same({"still waiting", "close"}, log)
  end)
end)

describe("server:closeIdleConnections", function()
  after_each(support.clean)

  it("destroys those that had no activity for so long, and no other", function()
    local server
    local seen = {}
    server = serve(nil, nil, function()
      connect_many(server, 3, function(clients, sockets)
        for _, socket in ipairs(sockets) do socket:resume() end
        assert.equal(server, server:closeIdleConnections(60000))
        for i = 1, 3 do assert.is_false(sockets[i].destroyed) end
        net.setTimeout(function()
          -- now the first one of them is heard
          sockets[1]:once("data", function()
            assert.equal(server, server:closeIdleConnections(30))
            for i = 1, 3 do seen[i] = sockets[i].destroyed end
            server:close()
            for i = 1, 3 do clients[i]:destroy() end
          end)
          for i = 1, 3 do
            if clients[i].localPort == sockets[1].remotePort then clients[i]:write "x" end
          end
        end, 60)
      end)
    end)
    support.run()
    assert.same({false, true, true}, seen)
  end)

  it("of 0 destroys all, of a long time none", function()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 2, function(_, sockets)
        for _, long in ipairs {1e6, 1e15, math.huge} do server:closeIdleConnections(long) end
        assert.is_false(sockets[1].destroyed or sockets[2].destroyed)
        server:closeIdleConnections(0)
        assert.is_true(sockets[1].destroyed and sockets[2].destroyed)
        server:close()
      end)
    end)
    support.run()
  end)

  it("checks its argument", function()
    local server = net.createServer()
    for _, value in ipairs {"x", "5", true, {}} do
      assert.equal("ERR_INVALID_ARG_TYPE", support.caught(server.closeIdleConnections, server, value).code)
    end
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(server.closeIdleConnections, server).code)
    assert.equal("ERR_OUT_OF_RANGE", support.caught(server.closeIdleConnections, server, -1).code)
    assert.equal("ERR_OUT_OF_RANGE", support.caught(server.closeIdleConnections, server, 0 / 0).code)
  end)
end)

describe("server:ref and unref", function()
  after_each(support.clean)

  it("return the server, and let the loop end while it listens", function()
    local server = net.createServer():listen(0)
    assert.equal(server, server:unref())
    assert.is_false(net.run())
    assert.is_true(server.listening)
    assert.equal(server, server:unref():ref():ref())
    assert.is_true(net.run "nowait")
    server:close()
    assert.is_false(net.run())
  end)

  it("are remembered from before listen, and by the next listen", function()
    local server = net.createServer()
    assert.equal(server, server:unref())
    for _, form in ipairs {0, {port = 0, host = HOST}, support.path()} do
      local listened = false
      server:once("listening", function() listened = true end)
      server:listen(form)
      support.run()
      assert.is_true(listened)
      assert.is_true(server.listening)
      server:close()
      support.run()
    end
    server:ref():listen(0)
    assert.is_true(net.run "nowait")
    server:close()
    support.run()
  end)

  it("leave the connections as they are", function()
    local note, log = support.recorder()
    local server
    server = serve(nil, function(socket)
      server:unref()
      socket:on("data", function(data) socket:end_(data) end)
    end, function(_, port)
      local client = visit(port, note)
      client:write "echo"
    end)
    assert.is_false(support.run())
    assert.same({"echo"}, log)
    assert.is_true(server.listening)
    server:close()
  end)

  it("of an unref'd server accept while something else is alive", function()
    local answer
    local server = net.createServer(function(socket) socket:end_ "hello" end):unref()
    server:listen(0, HOST, function() visit(server:address().port, function(text) answer = text end) end)
    support.run()
    assert.equal("hello", answer)
    server:close()
  end)
end)

describe("a listen that fails", function()
  after_each(support.clean)

  -- A server that cannot listen: its port is taken by `holder`.
  local function taken()
    local holder = net.createServer():listen(0, HOST):unref()
    net.run()
    return holder, holder:address().port
  end

  it("emits 'error' in a tick, then 'close' in the next", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server = net.createServer()
    server:on("error", function(err)
      note("error", err.code, server.listening, server:address())
      net.nextTick(note, "tick of error")
    end)
    server:on("close", function(...) note("close", select("#", ...)) end)
    server:on("listening", function() note "listening" end)
    server:listen {port = port} -- in the call
    net.nextTick(note, "tick after listen")
    assert.is_false(server.listening)
    assert.equal(0, #log)
    net.run "nowait"
    assert.same({"error EADDRINUSE false nil", "tick after listen", "close 0", "tick of error"}, log)
    server:listen(port, HOST)
    net.run "nowait"
    assert.same({"error EADDRINUSE false nil", "close 0", "tick of error"}, {table.unpack(log, 5)})
    holder:close()
  end)

  it("brings the callbacks of close() calls that wait, each once", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server = net.createServer()
    server:on("error", function() server:close(function(err) note("callback", err.code) end) end)
    server:listen {port = port}
    net.run "nowait"
    assert.same({"callback ERR_SERVER_NOT_RUNNING"}, log)
    holder:close()
  end)

  it("emits each of both once, for every way it can fail", function()
    local holder, port = taken()
    local path = support.path() .. "/none"
    for _, form in ipairs {{port = port, host = HOST}, {port = port}, {port = 0, host = "192.0.2.99"}, {path = path},
      {fd = 9999}, {port = 0, host = "a..b"}} do
      local note, log = support.recorder()
      local server = net.createServer()
      note_events(server, function(_, event) note(event) end, "", "error", "close", "listening")
      server:listen(form)
      net.run "nowait"
      support.run()
      assert.same({"error", "close"}, log)
    end
    holder:close()
  end)

  it("emits 'close' with the callbacks of close that wait", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 1, function(clients)
        server:on("error", function(err) note("error", err.code) clients[1]:destroy() end)
        server:on("close", function() note "close" end)
        server:close(function(err) note("callback", err) end)
        server:listen(port, HOST)
      end)
    end)
    support.run()
    assert.same({"error EADDRINUSE", "close", "callback nil"}, log)
    holder:close()
  end)

  it("emits 'close' once the last connection is gone", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server
    server = serve(nil, nil, function()
      connect_many(server, 2, function(_, sockets)
        server:close()
        server:on("close", function() note "close" end)
        server:on("error", function(err)
          note("error", err.code)
          sockets[1]:on("close", function() note "first gone" net.setImmediate(function() sockets[2]:destroy() end) end)
          net.setImmediate(function() note "still open" sockets[1]:destroy() end)
        end)
        server:listen(port, HOST)
      end)
    end)
    support.run()
    assert.same({"error EADDRINUSE", "still open", "first gone", "close"}, log)
    holder:close()
  end)

  it("emits 'close' even if nobody hears the error, which leaves net.run", function()
    for _, form in ipairs {{port = 0, host = "192.0.2.99"}, {port = 0, host = "a..b"}, {fd = 9999},
      {path = "/none/none"}} do
      local note, log = support.recorder()
      local server = net.createServer()
      server:on("close", function() note "close" end)
      server:listen(form)
      local err = support.caught(support.run)
      assert.truthy(err.code == "EADDRNOTAVAIL" or err.code == "ENOTFOUND" or err.code == "EINVAL"
        or err.code == "EACCES", err.code)
      assert.equal(0, #log)
      support.run()
      assert.same({"close"}, log)
    end
  end)

  it("emits 'close' even if the listener of 'error' throws", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server = net.createServer()
    local value = {}
    server:on("error", function() error(value) end)
    server:on("close", function() note "close" end)
    server:listen(port, HOST)
    assert.equal(value, support.caught(support.run))
    support.run()
    assert.same({"close"}, log)
    holder:close()
  end)

  it("can be tried again in the handler: then there is no 'close' until that ends", function()
    for _, again in ipairs {{port = 0}, {port = 0, host = HOST}, {port = 0, host = "localhost"}} do
      local note, log = support.recorder()
      local holder, port = taken()
      local server = net.createServer()
      server:on("error", function(err) note(err.code) server:listen(again) end)
      server:on("close", function() note "close" end)
      server:on("listening", function() note "listening" net.setImmediate(function() server:close() end) end)
      server:listen(port, HOST)
      support.run()
      assert.same({"EADDRINUSE", "listening", "close"}, log)
      holder:close()
    end
  end)

  it("each time it fails again there is another 'error', and one 'close' at the end", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server = net.createServer()
    local tries = 0
    server:on("error", function(err)
      tries = tries + 1
      note(tries, err.code)
      if tries < 3 then server:listen(port, HOST) end
    end)
    server:on("close", function() note "close" end)
    server:listen(port, HOST)
    support.run()
    assert.same({"1 EADDRINUSE", "2 EADDRINUSE", "3 EADDRINUSE", "close"}, log)
    holder:close()
  end)

  it("can be tried again after 'close' too", function()
    local note, log = support.recorder()
    local holder, port = taken()
    local server = net.createServer()
    server:on("error", function(err) note(err.code) end)
    server:once("close", function()
      note "close"
      holder:close()
      server:listen(port, HOST, function() note "listening" server:close() end)
    end)
    server:listen(port, HOST)
    support.run()
    assert.same({"EADDRINUSE", "close", "listening"}, log)
  end)

  it("is not what an 'error' is that a script emits", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:on("error", function(err) note("error", err) end)
    server:on("close", function() note "close" end)
    server:emit("error", "mine")
    support.run()
    server:listen(0)
    server:emit("error", net.Error "another")
    net.run "nowait"
    assert.is_true(server.listening)
    assert.same({"error mine", "error another"}, log)
    server:close()
    support.run()
    assert.same({"error mine", "error another", "close"}, log)
  end)
end)

describe("an error in a listener", function()
  after_each(support.clean)

  it("of 'connection' leaves the server, the socket and other connections as they are", function()
    local note, log = support.recorder()
    local server
    local n = 0
    local value = setmetatable({}, {__tostring = function() return "thrown" end})
    server = net.createServer(function(socket)
      n = n + 1
      local number = n
      socket:on("data", function(data) socket:end_(number .. data) end)
      if number == 2 then error(value) end
    end)
    server:listen(0, HOST, function()
      local port = server:address().port
      local left = 3
      for i = 1, 3 do
        local client
        client = visit(port, function(text)
          note(text:sub(-1) .. " " .. #text)
          left = left - 1
          if left == 0 then server:close() end
        end)
        client:write(tostring(i))
      end
    end)
    assert.equal(value, support.caught(support.run))
    assert.is_true(server.listening)
    assert.is_false(support.run())
    assert.equal(3, n)
    table.sort(log)
    assert.same({"1 2", "2 2", "3 2"}, log)
  end)

  it("of 'listening', 'close', or a callback leaves net.run, and all goes on", function()
    local note, log = support.recorder()
    local server = net.createServer(function(socket) socket:end_ "hello" end)
    server:once("listening", function() error({"listening"}) end)
    server:listen(0, HOST, function() note "not reached in this emit" end)
    assert.same({"listening"}, support.caught(support.run))
    assert.is_true(server.listening)
    local port = server:address().port
    visit(port, function(text)
      note(text)
      server:on("close", function() error({"close"}) end)
      server:close()
    end)
    assert.same({"close"}, support.caught(support.run))
    server:getConnections(function() error({"count"}) end)
    assert.same({"count"}, support.caught(support.run))
    assert.is_false(support.run())
    assert.same({"hello"}, log)
  end)
end)

describe("the garbage collector", function()
  after_each(support.clean)

  it("leaves an open server alone that nobody refers to", function()
    local port
    local hits = 0
    net.createServer(function(socket)
      hits = hits + 1
      socket:end_ "hello"
      if hits == 2 then socket.server:close() end
    end):listen(0)
    collect()
    local server = support.pinned()[1]
    port = server:address().port
    server = nil -- luacheck: ignore
    local answers = {}
    visit(port, function(text)
      answers[1] = text
      collect()
      visit(port, function(again) answers[2] = again end)
    end)
    support.run()
    assert.same({"hello", "hello"}, answers)
  end)

  it("collects a server that was closed, one that failed, and one that never listened", function()
    local seen = setmetatable({}, {__mode = "k"})
    local function add(server)
      seen[server] = true
      server:on("connection", function() return server end) -- a cycle through a closure
      server.self = server
      return server
    end
    do
      add(net.createServer())
      add(net.createServer()):listen(0):close()
      local looking = add(net.createServer())
      looking:listen(0, "localhost")
      looking:close()
      add(net.createServer()):listen(support.path()):close()
      add(net.createServer()):on("error", function() end):listen(0, "192.0.2.99")
      local served
      served = add(net.createServer(function(socket) socket:end_() served:close() end))
      served:listen(0, HOST, function() visit(served:address().port) end)
      local aborted = net.AbortController()
      add(net.createServer()):listen {port = 0, signal = aborted.signal}
      aborted:abort()
    end
    support.run()
    collect()
    assert.is_nil(next(seen))
  end)

  it("leaves nothing pinned after 300 rounds of listen, serve and close", function()
    local rounds = 0
    local function round()
      rounds = rounds + 1
      if rounds > 300 then return end
      local server
      server = net.createServer(function(socket) socket:end_ "x" server:close() end)
      server:on("close", round)
      server:listen(0, HOST, function() visit(server:address().port) end)
    end
    round()
    support.run()
    assert.equal(301, rounds)
    assert.equal(0, #support.pinned())
    collect()
    local before = collectgarbage "count"
    rounds = 0
    round()
    support.run()
    collect()
    assert.truthy(collectgarbage "count" - before < 64, "memory grows")
  end)
end)

describe("lua_close", function()
  it("closes servers and connections in every state silently, and calls no Lua function", function()
    local path = support.path()
    local out, err, code = support.lua([[
      local net = require "cnet"
      local function never() print "called" end
      local function server(...)
        local s = net.createServer(never)
        s:on("close", never)
        s:on("listening", function() end)
        s:on("error", never)
        return s:listen(...)
      end
      server(0)
      server(arg[1])
      local port
      local main = net.createServer(function(socket)
        socket:on("close", never)
        net.stop()
      end)
      main:on("close", never)
      main:listen(0, "127.0.0.1", function()
        local client = net.connect(main:address().port, "127.0.0.1")
        client:on("close", never)
        client:write "hello"
      end)
      net.run()
      server(0, "localhost") -- a lookup that is not done
      server(0, "127.0.0.1") -- one that waits for a tick
      server(0):close(never) -- a close that is not told
      main:getConnections(never)
      local shared = net.createServer():listen(main)
      print("end", shared.listening)
    ]], path)
    assert.equal("end\ttrue\n", out)
    assert.equal("", err)
    assert.equal(0, code)
    assert.is_false(support.exists(path))
    support.clean()
  end)

  it("inside a callback closes descriptors and removes socket files", function()
    local path = support.path()
    local out, err, code = support.lua([[
      local net = require "cnet"
      local server = net.createServer(function() os.exit(7, true) end)
      server:on("close", function() print "called" end)
      server:listen(arg[1], function() net.connect(arg[1]) end)
      net.run()
    ]], path)
    assert.equal("", out)
    assert.equal("", err)
    assert.equal(7, code)
    assert.is_false(support.exists(path))
    support.clean()
  end)

  it("makes methods errors, not faults, in finalizers that run after it", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local server = net.createServer()
      keep = setmetatable({}, {__gc = function()
        for _, name in ipairs {"listen", "close", "address", "ref", "unref", "closeAllConnections"} do
          pcall(server[name], server)
        end
        pcall(server.getConnections, server, print)
        pcall(net.createServer)
        pcall(tostring, server)
        pcall(function() return server.listening, server.connections, server.maxConnections end)
        print "survived"
      end})
      local open = net.createServer():listen(0)
      keep2 = setmetatable({}, {__gc = function() pcall(open.close, open) pcall(open.address, open) end})
      net.setImmediate(function() end)
      net.run "nowait"
    ]]
    assert.equal("survived\n", out)
    assert.equal("", (err:gsub("cnet: server.connections[^\n]*\n", "")))
    assert.equal(0, code)
  end)
end)

describe("many clients", function()
  after_each(support.clean)

  it("are served at once: 1,000 in one process, or as many as the descriptors allow", function()
    local out, err, code = support.lua {[[
      local net = require "cnet"
      local pipe = io.popen "ulimit -n"
      local n = math.min(1000, (tonumber(pipe:read "l") or 4000) // 2 - 50)
      pipe:close()
      local accepted, echoed, closed, most = 0, 0, 0, 0
      local server = net.createServer(function(socket)
        accepted = accepted + 1
        socket:on("data", function(data) socket:write(data) end)
      end)
      server:listen(0, "127.0.0.1", function()
        local port = server:address().port
        local clients = {}
        for i = 1, n do
          local word = ("client %d;"):format(i)
          local client = net.connect(port, "127.0.0.1")
          clients[i] = client
          local got = ""
          client:write(word)
          client:on("error", function(e) print("error", e) end)
          client:on("data", function(data)
            got = got .. data
            if #got < #word then return end
            assert(got == word, got)
            echoed = echoed + 1
            if echoed < n then return end
            server:getConnections(function(_, count)
              most = count
              server:close(function() print "server closed" end)
              for _, other in ipairs(clients) do other:end_() end
            end)
          end)
          client:on("close", function(failed)
            assert(not failed)
            closed = closed + 1
          end)
        end
      end)
      net.run()
      print(accepted == n, echoed == n, closed == n, most == n, n >= 400)
    ]], prefix = [[sh -c 'ulimit -n 4096 2>/dev/null || ulimit -n "$(ulimit -Hn)"; exec "$@"' sh]]}
    assert.equal("", err)
    assert.equal("server closed\ntrue\ttrue\ttrue\ttrue\ttrue\n", out)
    assert.equal(0, code)
  end)

  it("can come in waves, none is lost and none is served twice", function()
    local served, answers, waves = 0, 0, 20
    local server
    server = net.createServer({noDelay = true}, function(socket)
      served = served + 1
      socket:end_(tostring(served))
    end)
    local seen = {}
    local function wave(n)
      if n == 0 then server:close() return end
      local left = 25
      for _ = 1, 25 do
        visit(server:address().port, function(text)
          assert.is_nil(seen[text])
          seen[text] = true
          answers = answers + 1
          left = left - 1
          if left == 0 then wave(n - 1) end
        end)
      end
    end
    server:listen(0, HOST, function() wave(waves) end)
    support.run()
    assert.equal(waves * 25, served)
    assert.equal(waves * 25, answers)
  end)
end)

describe("a server with a blockList", function()
  it("closes connections of blocked addresses without 'connection'", function()
    local list = net.BlockList()
    list:addAddress(HOST)
    local server = net.createServer({ blockList = list }, function() error "never reached" end)
    local note, log = support.recorder()
    server:listen(0, HOST, function()
      local client = net.connect(server:address().port, HOST)
      client:on("error", function() end) -- closed unread: a reset is possible
      client:resume()
      client:on("close", function()
        server:getConnections(function(_, n)
          note("closed", n)
          server:close(function() note "server closed" end)
        end)
      end)
    end)
    support.run()
    assert.same({ "closed 0", "server closed" }, log)
    assert.is_false(pcall(net.createServer, { blockList = {} }))
  end)

  it("serves others while blocked addresses come in crowds larger than maxConnections", function()
    local list = net.BlockList()
    list:addAddress "127.0.0.2"
    local note, log = support.recorder()
    local server = net.createServer({ blockList = list }, function(socket)
      note("connection from", socket.remoteAddress)
      socket:end_()
    end)
    server.maxConnections = 2
    server:on("drop", function(info)
      note("drop", info.reason, info.remoteAddress, info.remoteFamily, math.type(info.remotePort), info.localAddress)
    end)
    server:listen(0, HOST, function()
      local left = 6
      for i = 1, left do -- all of them wait before the first is accepted
        local client = net.connect({
          port = server:address().port,
          host = HOST,
          localAddress = i < left and "127.0.0.2" or "127.0.0.3",
        })
        client:on("error", function() end)
        client:resume()
        client:on("close", function()
          left = left - 1
          if left == 0 then server:close() end
        end)
      end
    end)
    support.run()
    table.sort(log)
    local drop = "drop blockList 127.0.0.2 IPv4 integer 127.0.0.1"
    assert.same({ "connection from 127.0.0.3", drop, drop, drop, drop, drop }, log)
  end)
end)
