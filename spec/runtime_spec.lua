-- The loop: net.run and net.stop, the tick queue, errors that leave net.run, coroutines, Ctrl-C, the end of a state.

local support = require "spec.support"
local limits = require "spec.support.limits"
local net = require "cnet"

describe("net.run", function()
  after_each(support.clean)

  it("returns false at once when nothing is alive, in every mode", function()
    for _, mode in ipairs { "default", "once", "nowait" } do
      assert.is_false(net.run(mode))
      assert.equal(1, select("#", net.run(mode)))
    end
    assert.is_false(net.run())
    assert.is_false(net.run(nil))
    assert.is_false(net.run(nil, nil))
    assert.is_false(net.run(nil, print))
    assert.is_false(net.run(print))
    assert.is_false(net.run("nowait", print))
  end)

  it("runs until nothing keeps the loop alive", function()
    local log, list = support.recorder()
    net.setTimeout(function()
      log "timer"
      net.setImmediate(function()
        log "immediate"
        net.nextTick(function()
          log "tick"
          net.setTimeout(log, 1, "last")
        end)
      end)
    end, 1)
    assert.is_false(support.run())
    assert.same({ "timer", "immediate", "tick", "last" }, list)
  end)

  it("in mode once waits for something to happen, and tells what is still alive", function()
    local log, list = support.recorder()
    net.setTimeout(log, 5, "first")
    local never = net.setTimeout(log, 60000, "never"):unref()
    local later = net.setTimeout(log, 60000, "later")
    support.run_until(function() return #list > 0 end)
    assert.same({ "first" }, list)
    net.clearTimeout(later)
    net.setTimeout(log, 1, "second")
    while net.run "once" do end
    assert.same({ "first", "second" }, list)
    net.clearTimeout(never)
  end)

  it("in mode nowait never waits", function()
    local log, list = support.recorder()
    local timer = net.setTimeout(log, 60000, "never")
    assert.is_true(net.run "nowait")
    net.setImmediate(log, "immediate")
    assert.is_true(net.run "nowait")
    assert.same({ "immediate" }, list)
    net.clearTimeout(timer)
    assert.is_false(net.run "nowait")
  end)

  it("names the modes when it gets another, and wants a function as handler", function()
    for _, mode in ipairs { "often", "", 5, true, {} } do
      local err = support.caught(net.run, mode)
      assert.equal("ERR_INVALID_ARG_VALUE", err.code)
      assert.matches("must be one of 'default', 'once', 'nowait'", err.message, 1, true)
    end
    for _, handler in ipairs { 5, "x", true, {} } do
      local err = support.caught(net.run, "default", handler)
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
      assert.matches('The "handler" argument must be of type function', err.message, 1, true)
    end
  end)

  it("inside a callback is an error that hurts nobody", function()
    local log, list = support.recorder()
    local function try(what)
      local ok, err = pcall(net.run, "nowait")
      log(what, not ok and tostring(err):match "net%.run%(%) .*")
    end
    local path = support.path()
    local server = net.Server()
    server:on("connection", function(socket)
      try "connection"
      server:close()
      socket:on("data", function() try "data" end):on("close", function() try "close" end)
    end)
    server:listen(path, function()
      try "listening"
      net.connect(path, function() try "connect" end):end_ "x"
    end)
    net.nextTick(try, "tick")
    net.setTimeout(try, 1, "timer")
    net.setImmediate(function() coroutine.wrap(try) "coroutine" end)
    support.run()
    local seen = {}
    for _, line in ipairs(list) do
      seen[line:match "^%S+"] = line:match "^%S+ (.*)$"
    end
    for _, what in ipairs { "tick", "listening", "connect", "connection", "data", "close", "coroutine", "timer" } do
      assert.equal("net.run() is running already: call it outside of callbacks", seen[what], what)
    end
  end)

  it("inside its own message handler is an error too", function()
    local ok, err
    net.nextTick(error, "x")
    pcall(net.run, function()
      ok, err = pcall(net.run)
    end)
    assert.is_false(ok)
    assert.matches("is running already", tostring(err))
  end)

  it("inside a finalizer is an error", function()
    local results = {}
    local function attempt() results[#results + 1] = table.pack(pcall(net.run)) end
    net.nextTick(function() end)
    setmetatable({}, { __gc = function() attempt() end })
    setmetatable({}, { __gc = attempt })
    setmetatable({}, { __gc = function() pcall(pcall, attempt) end })
    setmetatable({}, { __gc = function() coroutine.wrap(attempt)() end })
    collectgarbage()
    collectgarbage()
    assert.equal(4, #results)
    for _, result in ipairs(results) do
      assert.is_false(result[1])
      assert.matches("cannot be called in a finalizer", tostring(result[2]))
    end
    assert.is_false(support.run())
  end)

  it("may be called by a __close metamethod", function()
    local ran
    do
      local closing <close> = setmetatable({}, { -- luacheck: ignore
        __close = function()
          net.nextTick(function() ran = true end)
          support.run()
        end,
      })
    end
    assert.is_true(ran)
  end)

  it("leaves the stack as it was, however often it is called", function()
    for i = 1, 20000 do
      if i % 1000 == 0 then net.nextTick(error, "x") end
      pcall(net.run, "nowait", tostring)
    end
    local n = 0
    for _ = 1, 300 do
      coroutine.wrap(function()
        net.nextTick(function() n = n + 1 end)
        net.run()
      end)()
    end
    assert.equal(300, n)
  end)
end)

describe("net.stop", function()
  after_each(support.clean)

  it("lets the current callback finish, and nothing else begin", function()
    local log, list = support.recorder()
    net.setTimeout(function()
      log "a"
      net.nextTick(log, "tick")
      net.setImmediate(log, "immediate")
      net.stop()
      net.stop()
      log "a ends"
    end, 1)
    net.setTimeout(log, 1, "b")
    assert.is_true(support.run())
    assert.same({ "a", "a ends" }, list)
    assert.is_false(support.run())
    assert.same({ "a", "a ends", "tick", "b", "immediate" }, list)
  end)

  it("makes net.run return false if nothing is alive any more", function()
    net.setTimeout(net.stop, 1)
    assert.is_false(support.run())
  end)

  it("counts what has not run yet as alive", function()
    net.nextTick(net.stop)
    net.nextTick(function() end)
    assert.is_true(support.run())
    assert.is_false(support.run())
  end)

  it("does nothing outside of net.run", function()
    local ran
    net.stop()
    net.nextTick(function() ran = true end)
    net.stop()
    assert.is_false(support.run())
    assert.is_true(ran)
  end)

  it("stops net.run in all its modes", function()
    for _, mode in ipairs { "default", "once", "nowait" } do
      local log, list = support.recorder()
      net.nextTick(function() net.stop() log "a" end)
      net.nextTick(log, "b")
      assert.is_true(net.run(mode))
      assert.same({ "a" }, list)
      net.run(mode)
      assert.same({ "a", "b" }, list)
    end
  end)
end)

describe("net.nextTick", function()
  after_each(support.clean)

  it("never calls inside the call, but when net.run starts, in order, with the arguments", function()
    local log, list = support.recorder()
    net.nextTick(log)
    net.nextTick(log, "a")
    net.nextTick(log, nil)
    net.nextTick(log, "b", nil, false)
    net.nextTick(log, false)
    local value = {}
    net.nextTick(function(...)
      assert.equal(1, select("#", ...))
      assert.equal(value, (...))
      log "table"
    end, value)
    assert.same({}, list)
    assert.is_false(support.run())
    assert.same({ "", "a", "nil", "b nil false", "false", "table" }, list)
  end)

  it("returns nothing and takes functions only", function()
    assert.equal(0, select("#", net.nextTick(tostring, "")))
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.nextTick).code)
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.nextTick, "x", 1).code)
    assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.nextTick, setmetatable({}, { __call = print })).code)
  end)

  it("empties the queue with what ticks add, before anything else happens", function()
    local log, list = support.recorder()
    net.setImmediate(log, "immediate")
    local timer = net.setTimeout(log, 0, "timer"):unref()
    net.nextTick(function()
      log "1"
      net.nextTick(function()
        log "3"
        net.nextTick(log, "4")
      end)
    end)
    net.nextTick(log, "2")
    support.run()
    assert.same({ "1", "2", "3", "4" }, { table.unpack(list, 1, 4) })
    net.clearTimeout(timer)
  end)

  it("empties it after every callback from the loop", function()
    local log, list = support.recorder()
    for _, name in ipairs { "a", "b" } do
      net.setTimeout(function()
        log("timer", name)
        net.nextTick(log, "tick of timer", name)
        net.setImmediate(function()
          log("immediate", name)
          net.nextTick(log, "tick of immediate", name)
        end)
      end, 1)
    end
    support.run()
    assert.same({
      "timer a", "tick of timer a", "timer b", "tick of timer b",
      "immediate a", "tick of immediate a", "immediate b", "tick of immediate b",
    }, list)
  end)

  it("is the one queue of the script's ticks and cnet's own events", function()
    local log, list = support.recorder()
    local server = net.Server():on("listening", function() log "listening" end):on("close", function() log "close" end)
    net.nextTick(log, "before")
    server:listen(support.path())
    net.nextTick(log, "between")
    net.nextTick(function() server:close() end)
    net.nextTick(log, "after")
    support.run()
    assert.same({ "before", "listening", "between", "after", "close" }, list)
  end)

  it("goes on with the other ticks in the next net.run when one raises", function()
    local log, list = support.recorder()
    net.nextTick(log, "a")
    net.nextTick(function()
      net.nextTick(log, "c")
      error "x"
    end)
    net.nextTick(log, "b")
    assert.is_false((pcall(net.run)))
    assert.same({ "a" }, list)
    assert.is_false(support.run())
    assert.same({ "a", "b", "c" }, list)
  end)

  it("takes a million ticks, and keeps nothing of them", function()
    local n = 0
    local function count() n = n + 1 end
    for _ = 1, 100000 do net.nextTick(count) end
    support.run()
    assert.equal(100000, n)
    local function again()
      n = n - 1
      if n > 0 then net.nextTick(again) end
    end
    net.nextTick(again)
    support.run()
    assert.equal(0, n)
    local weak = setmetatable({}, { __mode = "v" })
    weak[1] = {}
    net.nextTick(function() end, weak[1])
    net.nextTick(function() end, weak[1], 2)
    support.run()
    collectgarbage()
    assert.is_nil(weak[1])
  end)
end)

describe("an error in a callback", function()
  after_each(support.clean)

  it("leaves net.run as the very same value", function()
    local unique = {}
    for _, value in ipairs { "text", 42, 1.5, true, false, unique, print, net.Error "x", io.stdout } do
      net.nextTick(function() error(value, 0) end)
      local ok, err = pcall(net.run)
      assert.is_false(ok)
      assert.equal(value, err)
      assert.is_false(net.run())
    end
  end)

  it("may be nil", function()
    net.nextTick(error)
    net.nextTick(function() error(nil) end)
    for _ = 1, 2 do
      local result = table.pack(pcall(net.run))
      assert.equal(2, result.n)
      assert.is_false(result[1])
      assert.is_nil(result[2])
    end
    assert.is_false(net.run())
  end)

  it("keeps its own position, and gets none of net.run's", function()
    net.nextTick(function() error "text" end)
    assert.matches("^spec/runtime_spec%.lua:%d+: text$", support.caught(net.run))
  end)

  it("is not kept by the runtime once it is gone", function()
    local weak = setmetatable({}, { __mode = "v" })
    net.nextTick(function()
      weak[1] = {}
      error(weak[1])
    end)
    assert.is_false((pcall(net.run)))
    collectgarbage()
    collectgarbage()
    assert.is_nil(weak[1])
  end)

  it("calls the handler where it is raised, as xpcall does, and raises what that returns", function()
    local function culprit() error "text" end
    net.nextTick(function() culprit() end)
    local traceback = support.caught(net.run, debug.traceback)
    assert.matches("^spec/runtime_spec%.lua:%d+: text\nstack traceback:", traceback)
    assert.matches("in upvalue 'culprit'", traceback, 1, true)

    for _, mode in ipairs { "default", "once", "nowait" } do
      net.nextTick(error, "x", 0)
      assert.equal("handled x", support.caught(net.run, mode, function(err) return "handled " .. err end))
    end
    net.nextTick(error, "x", 0)
    assert.is_nil(support.caught(net.run, function() end))
  end)

  it("calls the handler for an 'error' event that nobody hears, and for an error of a later turn", function()
    local function handler(err) return { err } end
    net.Socket():destroy { message = "text" }
    assert.equal("text", support.caught(net.run, handler)[1].message)
    net.setTimeout(error, 1, "timer", 0)
    assert.same({ "timer" }, support.caught(net.run, handler))
    net.setImmediate(error, "immediate", 0)
    assert.same({ "immediate" }, support.caught(net.run, handler))
  end)

  it("is not changed by the handler of another net.run", function()
    local called = 0
    local function handler() called = called + 1 end
    assert.is_false(net.run(handler))
    net.nextTick(error, "plain", 0)
    assert.equal("plain", support.caught(net.run))
    assert.equal(0, called)
    net.nextTick(function() pcall(error, "caught inside") end)
    assert.is_false(net.run(handler))
    assert.equal(0, called)
  end)

  it("survives a handler that raises", function()
    net.nextTick(error, "x", 0)
    local ok = pcall(net.run, function() error "again" end)
    assert.is_false(ok)
    net.nextTick(error, "x", 0)
    local results = { pcall(net.run, function(err) return err, "more" end) }
    assert.same({ false, "x" }, results)
    assert.is_false(net.run())
  end)

  it("may be a stack overflow", function()
    local function deep() return deep() + 1 end
    net.nextTick(deep)
    assert.matches("stack overflow", tostring(support.caught(net.run)))
    net.nextTick(deep)
    assert.is_string(support.caught(net.run, debug.traceback))
    local ran
    net.nextTick(function() ran = true end)
    assert.is_false(net.run())
    assert.is_true(ran)
  end)
end)

-- Each scenario makes callbacks that end with note(label): where it stops or raises, the callback is done all the same.
-- say(label) never does: an error in these listeners skips, as in Node, what the stream had to do after them.
local scenarios = {
  { "timers, immediates and ticks", function(note)
    local function noted(...)
      local label = table.concat({ ... }, " ")
      net.nextTick(note, "tick of " .. label)
      net.nextTick(note, "second tick of " .. label)
      note(label)
    end
    net.nextTick(noted, "start")
    for _, name in ipairs { "a", "b", "c" } do
      net.setTimeout(function()
        for i = 1, 2 do
          net.setImmediate(function()
            if i == 1 then net.setImmediate(noted, "second immediate", name) end
            noted("immediate", name, i)
          end)
        end
        noted("timer", name)
      end, 1)
    end
    local all_due = os.clock() + 0.003
    while os.clock() < all_due do end -- so that the three are due in the same turn
  end },

  { "closing", function(note)
    local path = support.path()
    local server = net.Server():listen(path)
    server:on("close", function() note "server close" end)
    server:on("connection", function(socket)
      socket:on("close", function()
        net.nextTick(note, "tick of socket close")
        note "socket close"
      end)
      local others = {}
      for i = 1, 3 do
        others[i] = net.Server():listen(support.path())
        others[i]:on("close", function()
          net.setImmediate(note, "immediate " .. i)
          note("other close " .. i)
        end)
      end
      server:close()
      for i = 1, 3 do others[i]:close() end
      socket:destroy()
      net.setImmediate(note, "immediate")
      net.nextTick(note, "tick of connection")
      note "connection"
    end)
    net.connect(path):on("error", function() end)
  end },

  { "a connection and all that comes of it", function(note, say)
    local path = support.path()
    local server = net.Server { allowHalfOpen = true }
    server:on("listening", function() note "listening" end)
    server:on("close", function() note "server close" end)
    server:on("connection", function(socket)
      socket:on("data", function(data)
        socket:write("echo " .. data, function()
          net.nextTick(note, "tick of written")
          note "server written"
        end)
        net.nextTick(note, "tick of data")
        note("server data " .. data)
      end)
      socket:on("end", function()
        server:getConnections(function(_, n) note("connections " .. n) end)
        socket:end_("bye", function() say "server ended" end)
        note "server end"
      end)
      socket:on("finish", function() say "server finish" end)
      socket:on("close", function()
        server:close()
        note "server socket close"
      end)
      net.nextTick(note, "tick of connection")
      note "connection"
    end)
    server:listen(path)
    local client = net.connect(path)
    client:on("connect", function()
      client:write("ping", function() note "written" end)
      net.nextTick(note, "tick of connect") -- an error in the listener itself would leave the socket not reading (Node)
    end)
    client:on("data", function(data)
      if data:find "echo" then client:end_() end
      note("data " .. data)
    end)
    client:on("end", function() say "end" end)
    client:on("finish", function() say "finish" end)
    client:on("close", function() note "close" end)
  end },

  { "several sockets that have data at once", function(note)
    local path = support.path()
    local server, sockets, clients = net.Server():listen(path), {}, {}
    server:on("connection", function(socket)
      local n = #sockets + 1
      sockets[n] = socket
      socket:on("data", function(data)
        net.nextTick(note, "tick of data " .. n)
        net.setImmediate(function()
          socket:destroy()
          note("immediate of data " .. n)
        end)
        note(("data %d %s"):format(n, data))
      end)
      if n == 3 then
        server:close()
        net.setImmediate(function()
          for i = 1, 3 do clients[i]:write(tostring(i)) end
        end)
      end
    end)
    for i = 1, 3 do clients[i] = net.connect(path) end
  end },

  { "a name lookup, a refused path, an 'error' and its 'close'", function(note)
    local server = net.Server()
    server:on("close", function() note "server close" end)
    server:listen(0, "127.0.0.1", function()
      local second = net.Server():listen(server:address().port, "127.0.0.1")
      second:on("close", function()
        server:close()
        note "second close"
      end)
      second:on("error", function(err)
        net.nextTick(note, "tick of error")
        note(err.code)
      end)
      note "listening"
    end)
    local client = net.connect(support.path())
    client:on("error", function(err) note(err.code) end)
    client:on("close", function() note "client close" end)
  end },
}

local TOKEN = {}

-- Runs the scenario; every note for whose number trips(number) is true is followed by trip(), which stops or raises.
-- Returns what was noted, and how often net.run was needed.
local function play(scenario, trip, trips)
  local list, runs, stopped, early = {}, 0, false, nil
  local function say(label)
    early = early or stopped and label
    list[#list + 1] = label
  end
  scenario(function(label)
    say(label)
    if trips(#list) then
      stopped = true
      trip()
    end
  end, say)
  local late
  local watchdog = net.setTimeout(function()
    late = true
    net.stop()
  end, limits.loop):unref()
  repeat
    local ok, result = pcall(net.run)
    if not ok and result ~= TOKEN then error(result, 0) end
    stopped, runs = false, runs + 1
    if late then error("the scenario does not end: " .. table.concat(list, ", ")) end
    if early then error(early .. " ran before net.run had returned") end
  until ok and not result
  net.clearTimeout(watchdog)
  assert.is_false(net.run())
  return list, runs
end

-- After an error Node calls the next callback of the phase first, and then the ticks.
local function without_ticks(list)
  local others = {}
  for _, label in ipairs(list) do
    if not label:find "tick" then others[#others + 1] = label end
  end
  return others
end

describe("after a stop or an error in a callback", function()
  after_each(support.clean)

  local function never() return false end
  local function always() return true end
  local trips = { { "error", function() error(TOKEN) end }, { "net.stop", net.stop } }

  for _, scenario in ipairs(scenarios) do
    for _, trip in ipairs(trips) do
      it(("(%s) nothing runs until net.run has returned, nothing is lost, the order goes on: %s")
        :format(trip[1], scenario[1]), function()
        local reference, runs = play(scenario[2], error, never)
        assert.is_true(#reference > 5)
        assert.equal(1, runs)
        for k = 1, #reference do
          local list = play(scenario[2], trip[2], function(n) return n == k end)
          local where = ("at %d, %s"):format(k, reference[k])
          if trip[1] == "error" then
            assert.equal(#reference, #list, where)
            assert.same(without_ticks(reference), without_ticks(list), where)
          else
            assert.same(reference, list, where)
          end
        end
      end)

      it(("(%s in each of them) the callbacks come all the same, once: %s"):format(trip[1], scenario[1]), function()
        local reference = play(scenario[2], error, never)
        local list, runs = play(scenario[2], trip[2], always)
        table.sort(reference)
        table.sort(list)
        assert.same(reference, list)
        assert.is_true(runs > #reference / 2)
      end)
    end
  end
end)

describe("after an error the rest of its phase comes before the ticks, as in Node:", function()
  after_each(support.clean)

  local function order_of(script)
    local note, log = support.recorder()
    script(note, function(label)
      note(label)
      net.nextTick(note, "tick of " .. label)
      error(label, 0)
    end)
    local ok, err
    repeat
      ok, err = pcall(net.run)
      if not ok then note("uncaught " .. err) end
    until ok
    return log
  end

  it("the timers that are due", function()
    assert.same({ "a", "uncaught a", "b", "tick of a", "c" }, order_of(function(note, fail)
      net.setTimeout(fail, 5, "a")
      net.setTimeout(note, 5, "b")
      net.setTimeout(note, 5, "c")
    end))
  end)

  it("the immediates, and new ones if there are no others", function()
    assert.same({ "a", "uncaught a", "b", "tick of a" }, order_of(function(note, fail)
      net.setImmediate(fail, "a")
      net.setImmediate(note, "b")
    end))
    assert.same({ "a", "uncaught a", "new", "tick of a" }, order_of(function(note, fail)
      net.setImmediate(function()
        net.setImmediate(note, "new")
        fail "a"
      end)
    end))
  end)

  it("also where a tick has raised", function()
    assert.same({ "a", "uncaught a", "timer", "b", "tick of a", "immediate" }, order_of(function(note, fail)
      net.setTimeout(function()
        net.nextTick(fail, "a")
        net.nextTick(note, "b")
        net.setImmediate(note, "immediate")
      end, 1)
      net.setTimeout(note, 1, "timer")
    end))
  end)

  it("the 'close' events, where the last immediate's tick has raised", function()
    assert.same({ "a", "uncaught a", "close", "b", "tick of a", "immediate" }, order_of(function(note, fail)
      local server = net.createServer(function(peer) peer:resume() end)
      server:listen(0, function()
        local client
        client = net.connect(server:address().port, function()
          net.setImmediate(function()
            server:close()
            client:on("close", function() note "close" end):destroy()
            net.nextTick(fail, "a")
            net.nextTick(note, "b")
            net.setImmediate(note, "immediate")
          end)
        end)
      end)
    end))
  end)

  it("after net.stop() not: the ticks are the first", function()
    local note, log = support.recorder()
    net.setImmediate(function()
      net.nextTick(note, "tick")
      net.stop()
    end)
    net.setImmediate(note, "b")
    net.run()
    net.run()
    assert.same({ "tick", "b" }, log)
  end)
end)

describe("for hosts with a loop of their own", function()
  after_each(support.clean)

  it("backendFd is a descriptor, the same each time", function()
    local fd = net.backendFd()
    assert.equal("integer", math.type(fd))
    assert.is_true(fd > 2)
    assert.equal(fd, net.backendFd())
  end)

  it("backendTimeout is -1 when nothing is due, ms until a timer is, 0 with ticks or immediates queued", function()
    -- a program of its own: a timer that was cleared may wake the loop once more
    local out, err = support.lua([[
      local net = require "cnet"
      local function timeout() print(net.backendTimeout()) end
      timeout()
      local server = net.Server():listen(arg[1])
      timeout()
      net.run "nowait"
      timeout()
      net.setImmediate(print, "immediate")
      timeout()
      net.run "nowait"
      timeout()
      net.nextTick(net.stop)
      net.nextTick(print, "tick")
      net.run()
      timeout()
      server:close()
      net.run()
      timeout()
      net.setTimeout(print, 5000):unref()
      timeout()
      net.setTimeout(print, 5000)
      local ms = net.backendTimeout()
      print(math.type(ms), ms > 4000 and ms <= 5000)
    ]], support.path())
    assert.same({ "-1\n0\n-1\n0\nimmediate\n-1\n0\ntick\n-1\n-1\ninteger\ttrue\n", "" }, { out, err })
  end)

  it("a loop of net.run('nowait') does all that net.run() does", function()
    local path, got = support.path(), nil
    local server = net.Server()
    server:on("connection", function(socket)
      socket:end_ "hello"
      server:close()
    end)
    server:listen(path)
    net.connect(path):on("data", function(data) got = data end)
    local deadline = os.time() + limits.loop // 1000
    while net.run "nowait" do assert.is_true(os.time() < deadline) end
    assert.equal("hello", got)
  end)

  it("another loop may wait for backendFd", function()
    -- waits for the descriptor as a host's poll would; 0 when time is up
    local library, why = support.compile([[
      #include <lua.h>
      #include <poll.h>
      static int wait(lua_State *L) {
        struct pollfd p = {(int)lua_tointegerx(L, 1, 0), POLLIN, 0};
        lua_pushinteger(L, poll(&p, 1, (int)lua_tointegerx(L, 2, 0)));
        return 1;
      }
      int luaopen_waiter(lua_State *L);
      int luaopen_waiter(lua_State *L) { lua_pushcclosure(L, wait, 0); return 1; }
    ]], "$(pkg-config --cflags lua5.4)")
    if not library then return pending(why) end
    local wait = assert(package.loadlib(library, "luaopen_waiter"))()
    local path, got = support.path(), nil
    local server = net.Server():listen(path)
    server:on("connection", function(socket)
      server:close()
      net.setTimeout(function() socket:end_ "hello" end, 20)
    end)
    net.connect(path):on("data", function(data) got = data end)
    local turns = 0
    while net.run "nowait" do
      local timeout = net.backendTimeout()
      turns = turns + 1
      assert.is_true(turns < 1000, "it spins")
      assert.is_true(wait(net.backendFd(), timeout < 0 and limits.loop or timeout) > 0 or timeout >= 0, "nothing came")
    end
    assert.equal("hello", got)
  end)
end)

describe("a coroutine", function()
  after_each(support.clean)

  it("may register callbacks and be gone: they run on the main thread", function()
    local log, list = support.recorder()
    local weak = setmetatable({}, { __mode = "k" })
    local function note(what)
      local _, main = coroutine.running()
      log(what, main, coroutine.isyieldable())
    end
    do
      local co = coroutine.create(function()
        net.nextTick(note, "tick")
        net.setTimeout(note, 1, "timer")
        net.setImmediate(function() note "immediate" end)
        local server = net.Server()
        server:on("connection", function(socket)
          note "connection"
          socket:destroy()
          server:close()
        end)
        server:listen(support.path(), function()
          note "listening"
          net.connect(server:address()):on("close", function() note "close" end)
        end)
        error "and die"
      end)
      weak[co] = true
      assert.is_false((coroutine.resume(co)))
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
    support.run()
    table.sort(list)
    assert.same({
      "close true false", "connection true false", "immediate true false", "listening true false", "tick true false",
      "timer true false",
    }, list)
  end)

  it("may call net.run: its callbacks run on the main thread, its errors end in the coroutine", function()
    local log, list = support.recorder()
    local unique = {}
    local co = coroutine.create(function()
      net.setTimeout(function() log(select(2, coroutine.running())) end, 1)
      log(support.run())
      net.nextTick(error, unique)
      log(select(2, pcall(net.run)) == unique)
      coroutine.yield()
      net.nextTick(error, unique)
      net.run(function(err) return err end)
    end)
    assert.is_true(coroutine.resume(co))
    assert.same({ "true", "false", "true" }, list)
    local ok, err = coroutine.resume(co)
    assert.is_false(ok)
    assert.equal(unique, err)
    assert.is_false(net.run())
  end)

  it("that called net.run can neither be resumed nor closed by a callback", function()
    local resumed, closed
    local co
    co = coroutine.create(function()
      net.nextTick(function()
        resumed = table.pack(coroutine.resume(co))
        closed = table.pack(pcall(coroutine.close, co))
      end)
      return "end", net.run()
    end)
    assert.same({ true, "end", false }, { coroutine.resume(co) })
    assert.is_false(resumed[1])
    assert.matches("cannot resume", resumed[2])
    assert.is_false(closed[1])
  end)

  it("cannot be yielded across a callback, which is an error and no more", function()
    net.nextTick(coroutine.yield)
    assert.matches("yield", support.caught(net.run))
    local err
    coroutine.wrap(function()
      net.nextTick(coroutine.yield)
      err = support.caught(net.run)
    end)()
    assert.matches("yield", err)
    local emitter = net.EventEmitter():on("x", coroutine.yield)
    assert.matches("yield", support.caught(coroutine.wrap(function() emitter:emit "x" end)))
    assert.is_false(net.run())
  end)

  it("may be resumed by callbacks: waiting in coroutines is a few lines", function()
    local log, list = support.recorder()
    local function sleep(ms)
      local co = coroutine.running()
      net.setTimeout(function() assert(coroutine.resume(co)) end, ms)
      coroutine.yield()
    end
    for _, name in ipairs { "a", "b" } do
      coroutine.wrap(function()
        for i = 1, 2 do
          sleep(1)
          log(name, i)
        end
      end)()
    end
    support.run()
    assert.same({ "a 1", "b 1", "a 2", "b 2" }, list)
  end)
end)

describe("what is open", function()
  after_each(support.clean)

  it("stays alive without a reference from Lua; closed, it is ordinary garbage", function()
    local weak = setmetatable({}, { __mode = "k" })
    local path, closes = support.path(), 0
    local function count() closes = closes + 1 end
    do
      local server = net.Server()
      weak[server] = "server"
      server:on("connection", function(socket)
        weak[socket] = "accepted"
        collectgarbage()
        socket:on("close", count):end_()
        server:close()
      end)
      server:on("close", count):listen(path)
      weak[net.connect(path):on("close", count)] = "client"
      weak[net.setTimeout(count, 2)] = "timer"
      weak[net.setImmediate(count)] = "immediate"
    end
    collectgarbage()
    collectgarbage()
    local alive = 0
    for _ in pairs(weak) do alive = alive + 1 end
    assert.equal(4, alive)
    support.run()
    assert.equal(5, closes)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak), weak[next(weak)])
  end)

  it("is pinned until its 'close', and not longer", function()
    local server = net.Server():listen(support.path())
    assert.equal(1, #support.pinned())
    server:close()
    support.run()
    assert.equal(0, #support.pinned())
  end)
end)

-- What follows ends programs, or sends them signals.

describe("Ctrl-C", function()
  after_each(support.clean)

  local prelude = [[
    local net = require "cnet"
    local pid = io.popen("echo $PPID"):read "n"
    local function kill() io.popen("kill -INT " .. pid):close() end
  ]]

  it("makes a sleeping net.run raise 'interrupted!', and nothing is lost", function()
    local out, err, code = support.lua(prelude .. [[
      local server = net.Server():listen(0)
      local killer = io.popen("read line; kill -INT " .. pid, "w")
      net.setImmediate(function() killer:write "go\n" killer:flush() end)
      net.setTimeout(function() print "too late" server:close() end, 60000)
      local ok, message = pcall(net.run)
      print(ok, message)
      print(server.listening)
      net.nextTick(print, "goes on")
      net.nextTick(os.exit, 0, true)
      net.run()
    ]])
    assert.equal("false\tinterrupted!\ntrue\ngoes on\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("ends a callback that never would, where it is, and calls the handler there", function()
    local out, _, code = support.lua(prelude .. [[
      local killer = io.popen("while read line; do kill -INT " .. pid .. "; done", "w")
      local function busy()
        killer:write "go\n"
        killer:flush()
        while true do end
      end
      net.nextTick(function() busy() end)
      print((select(2, pcall(net.run))))
      net.setTimeout(function() busy() end, 1)
      print((select(2, pcall(net.run, debug.traceback))))
      print(net.run())
    ]])
    local first, second, last = out:match "^([^\n]*)\n(.*)\n([^\n]*)\n$"
    assert.matches("interrupted!$", first)
    assert.matches("interrupted!\nstack traceback:", second)
    assert.matches("in upvalue 'busy'", second, 1, true)
    assert.equal("false", last)
    assert.equal(0, code)
  end)

  it("is once more lua's own after net.run", function()
    local out, err, code = support.lua(prelude .. [[
      net.setImmediate(kill)
      print(pcall(net.run))
      print((pcall(net.run)))
      print(select(2, pcall(function() kill() for _ = 1, 1e9 do end end)))
      print(debug.gethook())
    ]])
    assert.matches("^false\t[^\n]*interrupted!\ntrue\n[^\n]*interrupted!\n", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("does what it did before net.run when it comes a second time", function()
    if support.valgrind then return pending "a signal ends the program" end
    local out, _, code, signal = support.lua(prelude .. [[
      local busy = coroutine.wrap(function() kill() kill() kill() print "never" end)
      net.nextTick(busy) -- a hook on the main thread does not reach a coroutine
      print(pcall(net.run))
    ]])
    assert.equal("", out)
    assert.is_nil(code)
    assert.equal(2, signal)
  end)
end)

describe("the end of a state", function()
  after_each(support.clean)

  -- Opens one of everything; all that could be called prints.
  local everything = [[
    local net = require "cnet"
    local path = arg[1]
    local opened
    local function called(what) return function() if opened then print("called: " .. what) end end end
    local function loud(object, what)
      for event in ("listening connection data end finish close error drain timeout"):gmatch "%a+" do
        object:on(event, called(what .. " " .. event))
      end
      return object
    end
    local function open()
      loud(net.Server(), "tcp server"):listen(0)
      loud(net.Server(), "path server"):listen(path)
      loud(net.Server(), "lookup server"):listen(0, "localhost")
      loud(net.Server(), "closing server"):listen(0):close(called "close callback")
      loud(net.connect(path), "client"):write(("x"):rep(1e6), called "write callback")
      loud(net.connect(path), "client"):end_("x", called "end callback")
      loud(net.connect(path), "destroyed client"):destroy()
      loud(net.connect(1, "127.0.0.1"), "refused client")
      loud(net.connect(1, "localhost"), "lookup client"):setTimeout(5)
      loud(net.Socket(), "socket"):destroy()
      net.setTimeout(called "timer", 1)
      net.setInterval(called "interval", 1)
      net.setImmediate(called "immediate")
      net.nextTick(called "tick")
      opened = true
    end
  ]]

  it("with everything open is silent, calls nothing, and removes the socket's file", function()
    local path = support.path()
    local out, err, code = support.lua(everything .. [[
      net.run()
      open()
      io.stdout:write(os.rename(path, path) and "open" or "none")
    ]], path)
    assert.same({ "open", "", 0 }, { out, err, code })
    assert.is_false(support.exists(path))
  end)

  it("after a stop leaves out what had come meanwhile", function()
    local path = support.path()
    local out, err, code = support.lua(everything .. [[
      local server = net.Server()
      server:on("connection", function(socket)
        socket:write(("y"):rep(1e6), called "write callback")
        socket:on("close", called "close"):on("data", function()
          open()
          socket:destroy()
          net.stop()
        end)
      end)
      server:listen(0, "127.0.0.1", function()
        for i = 1, 3 do
          local client = net.connect(server:address().port, "127.0.0.1")
          client:on("data", function() client:write("x", called "client written") end):on("error", called "error")
        end
      end)
      io.stdout:write(tostring(net.run()))
    ]], path)
    assert.same({ "true", "", 0 }, { out, err, code })
    assert.is_false(support.exists(path))
  end)

  for where, script in pairs {
    ["a tick"] = "net.nextTick(leave)",
    ["a timer"] = "net.setTimeout(leave, 1)",
    ["an immediate"] = "net.setImmediate(leave)",
    ["a coroutine in a callback"] = "net.setImmediate(coroutine.wrap(leave))",
    ["a listener of 'listening'"] = "net.Server():listen(0, leave)",
    ["a listener of 'connection'"] = [[
      local server = net.Server(leave):listen(0, "127.0.0.1")
      server:on("listening", function() net.connect(server:address().port, "127.0.0.1") end)
    ]],
    ["a listener of 'data'"] = [[
      local server = net.Server(function(socket) socket:on("data", leave) end):listen(path .. "2")
      net.connect(path .. "2"):write "x"
    ]],
    ["a listener of 'close'"] = "net.Server():listen(0):close(leave)",
    ["a listener of a socket's 'close'"] = [[
      local server = net.Server():listen(path .. "2")
      net.connect(path .. "2"):on("connect", function() end):on("close", leave):end_():resume():destroySoon()
    ]],
    ["a write callback"] = [[
      local server = net.Server():listen(path .. "2")
      net.connect(path .. "2"):write("x", leave)
    ]],
    ["a getConnections callback"] = "net.Server():getConnections(leave)",
    ["the message handler"] = "net.nextTick(error) net.run(leave)",
  } do
    it("by os.exit(0, true) inside " .. where .. " is silent, calls nothing, and removes the socket's files", function()
      if support.valgrind then return pending "the memory is left to the exit" end
      local path = support.path()
      local out, err, code = support.lua(everything .. [[
        local function leave()
          open()
          io.stdout:write(os.rename(path, path) and "open" or "none")
          os.exit(0, true)
        end
      ]] .. script .. "\nnet.run()", path)
      assert.same({ "open", "", 0 }, { out, err, code })
      assert.is_false(support.exists(path))
      assert.is_false(support.exists(path .. "2"))
    end)
  end

  -- The sanitizers tell what was lost.
  it("by os.exit(0, true) inside a callback, with results that were to come in the next turn", function()
    if support.valgrind then return pending "the memory is left to the exit" end
    for where, script in pairs {
      ["the callback that began them"] = "begin(1) leave()",
      ["the first of them"] = "begin(1):on('error', leave) begin(2)",
    } do
      local out, err, code = support.lua([[
        local net = require "cnet"
        local name = arg[1]
        local function begin(n) return net.connect("\0" .. name .. n) end
        local function leave()
          begin(3)
          os.exit(0, true)
        end
        net.setImmediate(function() ]] .. script .. [[ end)
        net.run()
      ]], support.path())
      assert.same({ "", "", 0 }, { out, err, code }, where)
    end
  end)

  it("after an error that nobody caught says only what lua says", function()
    local path = support.path()
    local out, err, code = support.lua(everything .. [[
      net.nextTick(function() open() error(net.Error "text") end)
      net.run()
    ]], path)
    assert.equal("", out)
    assert.matches("^[^\n]*lua5%.4: text\n$", err)
    assert.equal(1, code)
    assert.is_false(support.exists(path))
  end)

  it("calls the script's own finalizers, for which cnet is closed or still works, and nothing of cnet's", function()
    local out, err, code = support.lua [[
      local function finalizer(what)
        return {__gc = function()
          print(what, pcall(net and net.nextTick or error, print, "never"))
        end}
      end
      old = setmetatable({}, finalizer "old")
      net = require "cnet"
      new = setmetatable({}, finalizer "new")
      net.run()
    ]]
    assert.matches("^new\ttrue\nold\tfalse\t.*cnet is closed", out)
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("says in one line on stderr that net.run was never called, if something was alive", function()
    local line = "cnet: the script ended with something still open, and never called net.run()\n"
    local function said(script)
      local out, err, code = support.lua("local net = require 'cnet' local path = arg[1] " .. script, support.path())
      assert.same({ "", 0 }, { out, code }, script)
      return err
    end
    assert.equal(line, said "net.createServer():listen(0)")
    assert.equal(line, said "net.createServer():listen(path) net.setTimeout(print, 1) net.nextTick(print)")
    assert.equal(line, said "net.setTimeout(print, 1)")
    assert.equal(line, said "net.nextTick(print)")
    assert.equal(line, said "net.setImmediate(print)")
    assert.equal(line, said "net.connect(path)")
    assert.equal("", said "")
    assert.equal("", said "net.createServer()")
    assert.equal("", said "net.setTimeout(print, 1):unref()")
    assert.equal("", said "net.Socket()")
    assert.equal("", said "net.run() net.createServer():listen(0)")
    assert.equal("", said "net.createServer():listen(0) net.run 'nowait'")
    if not support.valgrind then assert.equal("", said "net.createServer():listen(0) os.exit(0)") end
  end)
end)

describe("SIGPIPE", function()
  after_each(support.clean)

  local send = "os.execute 'kill -PIPE $PPID' print 'alive'"

  it("ends a lua that has not loaded cnet", function()
    if support.valgrind then return pending "a signal ends the program" end
    local _, _, _, signal = support.lua { send, prefix = support.prefix.sigpipe }
    assert.equal(13, signal)
  end)

  it("is ignored once the module is loaded, by the programs it starts too", function()
    local out, _, code = support.lua {
      "require 'cnet' " .. send .. " os.execute 'kill -PIPE $$; echo child'",
      prefix = support.prefix.sigpipe,
    }
    assert.equal("alive\nchild\n", out)
    assert.equal(0, code)
  end)

  it("is left to a handler that the host has set", function()
    local library, why = support.compile([[
      #include <signal.h>
      #include <unistd.h>
      static void on_signal(int n) { (void)n; if (write(1, "host\n", 5) < 0) _exit(9); }
      int luaopen_host(void *L) { (void)L; signal(SIGPIPE, on_signal); return 0; }
    ]], "")
    if not library then return pending(why) end
    local out, err, code = support.lua({
      "assert(package.loadlib(arg[1], 'luaopen_host'))() require 'cnet' " .. send,
      prefix = support.prefix.sigpipe,
    }, library)
    assert.same({ "host\nalive\n", "", 0 }, { out, err, code })
  end)
end)
