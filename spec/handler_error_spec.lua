-- 'handlerError' of a server: the errors that listeners of its sockets let out.

local net = require "cnet"
local support = require "spec.support"

local HOST = "127.0.0.1"

-- A server with one client. on_socket(socket) is its 'connection'; events of what becomes of it are in the log that is
-- returned, with what left net.run(): that goes on until nothing is alive.
--   options: client = fun(client), handler = fun(err, socket), server = createServer's, run = net.run's handler
local function serve(on_socket, options)
  options = options or {}
  local note, log = support.recorder()
  local server, kept
  server = net.createServer(options.server or {}, function(socket)
    kept = socket
    socket:prependListener("close", function(failed) note("closed", failed) end)
    on_socket(socket, note)
  end)
  server:on("handlerError", function(...)
    local err, socket = ...
    note("handlerError", err, socket == kept, select("#", ...))
    if options.handler then options.handler(err, socket) end
  end)
  server:listen(0, HOST, function()
    local client = net.connect(server:address().port, HOST)
    client:on("error", function() end)
    client:on("close", function() server:close() end)
    if options.client then options.client(client, note) end
    client:resume()
  end)
  for _ = 1, 10 do
    local ok, result = pcall(support.run, nil, options.run)
    if ok then break end
    note("left", result)
    if kept then kept:destroy() end
  end
  assert(not net.run "nowait", "something is alive")
  return log
end

local function boom() error("boom", 0) end
local function send(client) client:write "x" end

describe("handlerError", function()
  after_each(support.clean)

  -- what raises: 'connection' gets the socket, and the client does this
  local sources = {
    { "'connection'", boom },
    { "a listener of 'data'", function(socket) socket:on("data", boom) end, send },
    { "a listener of 'data' that is read with others", function(socket)
      socket:on("data", boom)
      socket:on("data", function() error "the rest is not run" end)
    end, send },
    { "a listener of 'data' after setEncoding", function(socket) socket:setEncoding("hex"):on("data", boom) end, send },
    { "a listener used once", function(socket) socket:once("data", boom) end, send },
    { "a listener of 'readable'", function(socket) socket:on("readable", boom) end, send },
    { "a listener of 'end'", function(socket) socket:resume():on("end", boom) end, function(client) client:end_() end },
    { "a listener of 'drain'", function(socket)
      while socket:write(("x"):rep(100000)) do end
      socket:on("drain", boom)
    end },
    { "a listener of 'finish'", function(socket) socket:on("finish", boom):end_ "x" end },
    { "a listener of 'timeout'", function(socket) socket:setTimeout(1):on("timeout", boom) end },
    { "the callback of setTimeout", function(socket) socket:setTimeout(1, boom) end },
    { "a listener of 'pause', in a tick of the script's", function(socket)
      socket:on("pause", boom)
      net.nextTick(function()
        socket:pause()
        error "pause() has raised"
      end)
    end },
    { "a listener of an event of the script's", function(socket)
      socket:on("line", boom)
      net.setTimeout(function() socket:emit "line" end, 1)
    end },
    { "a listener of 'newListener'", function(socket)
      socket:on("newListener", boom)
      socket:on("data", boom)
    end },
    { "the callback of write", function(socket) socket:write("x", boom) end },
    { "the callback of a write that waits", function(socket) socket:write(("x"):rep(10000000), boom) end },
    { "the callback of end_", function(socket) socket:end_("x", boom) end },
    { "a coroutine that a listener runs", function(socket)
      socket:on("data", function()
        local ok, err = coroutine.resume(coroutine.create(boom))
        if not ok then error(err, 0) end
      end)
    end, send },
    { "a listener of another emitter, in the socket's", function(socket)
      local bus = net.EventEmitter():on("x", boom)
      socket:on("data", function() bus:emit "x" end)
    end, send },
    { "a listener of a socket of no server, in the socket's", function(socket)
      local other = net.Socket():on("x", boom)
      socket:on("data", function() other:emit "x" end)
    end, send },
    { "the destination of a pipe", function(socket)
      local sink = net.EventEmitter()
      sink.write, sink.end_ = boom, function() end
      socket:pipe(sink)
    end, send },
  }
  for _, source in ipairs(sources) do
    it("has the error of " .. source[1], function()
      assert.same({ "handlerError boom true 2", "closed false" }, serve(source[2], { client = source[3] }))
    end)
  end

  -- the socket is destroyed already: 'close' tells what of
  it("has the error of a listener of 'error'", function()
    assert.same({ "handlerError boom true 2", "closed true" }, serve(function(socket)
      socket:on("error", boom):destroy(net.Error "x")
    end))
  end)

  it("has the error of a listener of errorMonitor", function()
    assert.same({ "handlerError boom true 2", "closed true" }, serve(function(socket)
      socket:on(net.errorMonitor, boom):on("error", function() error "never" end):destroy(net.Error "x")
    end))
  end)

  it("has the error of a listener of 'close'", function()
    assert.same({ "closed false", "handlerError boom true 2" }, serve(function(socket)
      socket:on("close", boom):destroy()
    end))
  end)

  it("has the error of the callback of a write that is refused, or cut off", function()
    assert.same({ "handlerError write after end true 2", "closed true" }, serve(function(socket)
      socket:on("error", function() end):end_()
      socket:write("x", function(err) error(err, 0) end)
    end))
    local log = serve(function(socket)
      socket:write(("x"):rep(10000000), function(err) error(err.code, 0) end)
      net.setTimeout(function() socket:destroy() end, 1)
    end, { client = function(client) client:pause() net.setTimeout(function() client:resume() end, 20) end })
    table.sort(log)
    assert.same({ "closed false", "handlerError ECANCELED true 2" }, log)
  end)

  it("has an 'error' that nobody hears", function()
    assert.same({ "handlerError lost true 2", "closed true" }, serve(function(socket)
      socket:destroy(net.Error "lost")
    end))
    assert.same({ "handlerError read ECONNRESET true 2", "closed true" }, serve(function(socket) socket:resume() end, {
      client = function(client) client:on("connect", function() client:resetAndDestroy() end) end,
    }))
  end)

  it("has any value as it is", function()
    for _, value in ipairs { "text", 42, {}, print, false } do
      local got
      serve(function() error(value, 0) end, { handler = function(err) got = err end })
      assert.equal(value, got)
    end
    assert.matches("^handlerError .* true 2$", serve(function() error(nil) end)[1])
    local log = serve(function(socket) socket:destroy "a text" end)
    assert.same({ "handlerError Unhandled error. ('a text') true 2", "closed true" }, log)
  end)

  it("is for errors that would leave net.run, not for those that the script catches", function()
    assert.same({ "caught boom", "closed false" }, serve(function(socket, note)
      socket:on("x", boom)
      net.setTimeout(function()
        local _, err = pcall(socket.emit, socket, "x")
        note("caught", err)
        socket:destroy()
      end, 1)
    end))
  end)

  it("is not for timers, ticks and immediates of the script, whatever was caught in them before", function()
    for _, later in ipairs { net.setTimeout, net.setImmediate, net.nextTick } do
      local log = serve(function(socket)
        socket:on("x", boom)
        later(function()
          pcall(socket.emit, socket, "x")
          error("mine", 0)
        end, later == net.setTimeout and 1 or nil)
      end)
      assert.same({ "left mine", "closed false" }, log)
    end
  end)

  it("is not for sockets that are no server's, nor for a server without the listener", function()
    local heard = net.createServer(function() error "nobody comes here" end):listen(0, HOST)
    heard:on("handlerError", function() error "never" end)
    local clients = {}
    local server = net.createServer(boom):listen(0, HOST, function(...) assert.equal(0, select("#", ...)) end)
    server:once("listening", function()
      clients[1] = net.connect(server:address().port, HOST)
      clients[1]:on("error", function() end)
    end)
    assert.equal("boom", support.caught(support.run))
    clients[1]:on("x", boom)
    net.setImmediate(function() clients[1]:emit "x" end)
    assert.equal("boom", support.caught(support.run))
    for _, one in ipairs { heard, server } do one:close():closeAllConnections() end
    clients[1]:destroy()
    support.run()
  end)

  it("blames the socket whose listener raised it, inside of another's", function()
    local sockets, log = {}, {}
    local server
    server = net.createServer(function(socket)
      sockets[#sockets + 1] = socket
      socket:on("x", function() if socket == sockets[2] then boom() end end)
      socket:on("close", function() log[#log + 1] = socket == sockets[1] and "first closed" or "second closed" end)
      if #sockets < 2 then return end
      net.setTimeout(function() sockets[1]:emit "go" end, 1)
      sockets[1]:on("go", function() sockets[2]:emit "x" end)
    end)
    server:on("handlerError", function(err, socket)
      log[#log + 1] = err .. (socket == sockets[2] and " of the second" or " of another")
      net.setImmediate(function()
        net.setImmediate(function()
          log[#log + 1] = tostring(sockets[1].destroyed)
          server:close():closeAllConnections()
        end)
      end)
    end)
    server:listen(0, HOST, function()
      for _ = 1, 2 do net.connect(server:address().port, HOST):on("error", function() end):resume() end
    end)
    support.run()
    assert.same({ "boom of the second", "second closed", "false", "first closed" }, log)
  end)

  it("comes before the socket is destroyed: there may be a last word, behind what was written before", function()
    local got = ""
    local log = serve(function(socket)
      socket:on("data", function()
        socket:write "one "
        boom()
      end)
    end, {
      client = function(client)
        client:write "x"
        client:on("data", function(chunk) got = got .. chunk end)
      end,
      handler = function(_, socket)
        assert.equal(HOST, socket.remoteAddress)
        assert.is_false(socket.destroyed)
        socket:write "two"
      end,
    })
    assert.same({ "handlerError boom true 2", "closed false" }, log)
    assert.equal("one two", got)
  end)

  it("leaves net.run with an error of its own, and the socket is destroyed all the same", function()
    for _, source in ipairs { boom, function(socket) socket:end_("x", boom) end } do
      local kept, destroyed
      local server = net.createServer(function(socket)
        kept = socket
        source(socket)
      end)
      server:on("handlerError", function() error("worse", 0) end)
      server:listen(0, HOST, function()
        net.connect(server:address().port, HOST):on("error", function() end):on("close", function() server:close() end)
          :resume()
      end)
      local err = support.caught(support.run)
      destroyed = kept.destroyed
      support.run()
      assert.equal("worse", err)
      assert.is_true(destroyed)
    end
  end)

  it("leaves net.run with what a listener of a socket raises inside of it", function()
    local log = serve(function(socket)
      socket:on("x", function() error("inner", 0) end)
      boom()
    end, { handler = function(_, socket) socket:emit "x" end })
    assert.same({ "handlerError boom true 2", "left inner", "closed false" }, log)
  end)

  it("hears what comes after it, too", function()
    local log = serve(function(socket)
      socket:on("close", function() error("again", 0) end)
      boom()
    end)
    assert.same({ "handlerError boom true 2", "closed false", "handlerError again true 2" }, log)
  end)

  it("no longer has a listener: the error leaves net.run", function()
    local server
    local seen = 0
    server = net.createServer(boom)
    server:once("handlerError", function() seen = seen + 1 end)
    server:listen(0, HOST, function()
      for _ = 1, 2 do net.connect(server:address().port, HOST):on("error", function() end):resume() end
    end)
    assert.equal("boom", support.caught(support.run))
    assert.equal(1, seen)
    server:close():closeAllConnections()
    support.run()
  end)

  it("counts from when it is added, for sockets that are there", function()
    local note, log = support.recorder()
    local server
    server = net.createServer(function(socket)
      socket:on("data", boom)
      net.setImmediate(function()
        server:on("handlerError", function(err) note(err) end)
        socket:emit("data", "x")
      end)
      socket:on("close", function() server:close() end)
    end)
    server:listen(0, HOST, function()
      net.connect(server:address().port, HOST):on("error", function() end):resume()
    end)
    support.run()
    assert.same({ "boom" }, log)
  end)

  it("gets what net.run's handler makes of the error", function()
    local log = serve(function(socket) socket:on("data", function() error "here" end) end,
      { client = send, run = debug.traceback })
    assert.matches("handler_error_spec.lua:%d+: here\nstack traceback:.*handler_error_spec.lua", log[1])
    assert.equal("closed false", log[2])
    log = serve(boom, { run = function(err) return err:upper() end })
    assert.same({ "handlerError BOOM true 2", "closed false" }, log)
  end)

  it("has an error from 100,000 calls deep, and of a stack that is full", function()
    local function deep(n) return n == 0 and boom() or 1 + deep(n - 1) end
    local function endless() return 1 + endless() end
    assert.same({ "handlerError boom true 2", "closed false" }, serve(function() deep(100000) end))
    local log = serve(function(socket) socket:on("data", endless) end, { client = send })
    assert.matches("^handlerError .*stack overflow.* true 2$", log[1])
    assert.equal("closed false", log[2])
  end)

  it("does not keep net.stop from stopping", function()
    local note, log = support.recorder()
    local server
    server = net.createServer(function()
      net.setImmediate(note, "immediate")
      net.stop()
      boom()
    end)
    server:on("handlerError", function(err) note("handlerError", err) end)
    server:listen(0, HOST, function()
      net.connect(server:address().port, HOST):on("error", function() end):on("close", function() server:close() end)
        :resume()
    end)
    assert.is_true(net.run())
    note "stopped"
    support.run()
    assert.same({ "handlerError boom", "stopped", "immediate" }, log)
  end)

  it("lets the ticks of others go on, in their order, and net.run without a break", function()
    local note, log = support.recorder()
    local server
    server = net.createServer(function(socket)
      socket:on("x", boom)
      net.nextTick(note, "first tick")
      net.nextTick(function() socket:emit "x" end)
      net.nextTick(note, "last tick")
      net.setImmediate(note, "immediate")
    end)
    server:on("handlerError", function()
      note "handlerError"
      net.nextTick(note, "tick of handlerError")
    end)
    server:listen(0, HOST, function()
      net.connect(server:address().port, HOST):on("error", function() end):on("close", function() server:close() end)
        :resume()
    end)
    support.run()
    assert.same({ "first tick", "handlerError", "last tick", "tick of handlerError", "immediate" }, log)
  end)

  it("has one error for each tenth of 1000 connections, and the others are served", function()
    local errors, closed, echoed, left = 0, 0, 0, 1000
    local server
    server = net.createServer(function(socket)
      socket:on("data", function(chunk)
        if chunk == "0" then boom() end
        socket:write(chunk)
      end)
      socket:on("close", function() closed = closed + 1 end)
    end)
    server:on("handlerError", function(err, socket)
      assert.equal("boom", err)
      assert.equal(server, socket.server)
      errors = errors + 1
    end)
    local function visit(i)
      local client = net.connect(server:address().port, HOST)
      client:on("connect", function() client:write(tostring(i % 10)) end)
      client:on("data", function(chunk)
        if chunk == tostring(i % 10) then echoed = echoed + 1 end
        client:end_()
      end)
      client:on("error", function() end)
      client:on("close", function()
        left = left - 1
        if left == 0 then server:close() end
        if i <= 900 then visit(i + 100) end
      end)
    end
    server:listen(0, HOST, function() for i = 1, 100 do visit(i) end end)
    support.run()
    assert.same({ 100, 1000, 900 }, { errors, closed, echoed })
  end)

  it("has a listener that runs out of memory", function()
    if support.valgrind or os.getenv "LD_PRELOAD" then return end -- they need more address space than that
    local out, err = support.lua { [[
      local net = require "cnet"
      local server
      server = net.createServer(function(socket)
        socket:on("data", function() return #("x"):rep(2 ^ 30) end)
        socket:on("close", function() server:close() end)
      end)
      server:on("handlerError", function(err, socket) print(err, socket.server == server) end)
      server:listen(0, "127.0.0.1", function()
        net.connect(server:address().port, "127.0.0.1"):on("error", function() end):write "x"
      end)
      net.run()
      net.createServer():on("handlerError", print)
      net.setImmediate(function() return #("x"):rep(2 ^ 30) end)
      print(pcall(net.run))
    ]], prefix = "prlimit --as=600000000" }
    assert.equal("", err)
    assert.equal("not enough memory\ttrue\nfalse\tnot enough memory\n", out)
  end)

  it("leaves nothing behind of a server that was forgotten", function()
    for _ = 1, 3 do net.createServer():on("handlerError", print) end
    collectgarbage()
    collectgarbage()
    net.setImmediate(boom)
    assert.equal("boom", support.caught(support.run))
  end)

  it("is known to net.strict", function()
    net.strict(true)
    local ok, err = pcall(function() net.createServer():on("handlerErorr", print) end)
    net.strict(false)
    assert.is_false(ok)
    assert.matches("did you mean 'handlerError'", tostring(err))
  end)
end)
