-- Timers and immediates: Node's order, what keeps the loop alive, and what happens after an error or a stop.
-- Most expectations are what node v26 prints for the same script.

local net = require "cnet"
local support = require "spec.support"

-- Spins for ms of wall clock (io.popen-free, so that the loop's own clock is what moves).
local function busy(ms)
  local done = os.clock() + ms / 1000
  while os.clock() < done do end
end

-- Returns a log function and what it logged.
local function recorder()
  local log = {}
  return function(...) log[#log + 1] = table.concat({...}, " ") end, log
end

local cpath = package.cpath

-- Runs a script in a lua of its own; returns its output (stdout and stderr) and how it ended.
local function child(script)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write("package.cpath = ", ("%q"):format(cpath), "\nlocal net = require 'cnet'\n", script)
  file:close()
  local pipe = io.popen(support.timeout .. "lua5.4 " .. name .. " 2>&1")
  local output = pipe:read "a"
  local _, how, code = pipe:close()
  os.remove(name)
  return output, how, code
end

describe("net.setTimeout", function()
  after_each(function() net.run() end)

  it("calls once, with the arguments, after the time", function()
    local note, log = recorder()
    net.setTimeout(note, 1, "a", "b")
    assert.is_false(net.run())
    assert.is_false(net.run())
    assert.same({"a b"}, log)
  end)

  it("passes nil and table arguments as they are", function()
    local got
    local argument = {}
    net.setTimeout(function(...) got = table.pack(...) end, 1, nil, argument, nil)
    net.run()
    assert.equal(3, got.n)
    assert.equal(argument, got[2])
  end)

  it("runs timers of one duration in the order they were started, lists by when they are due #timing", function()
    local note, log = recorder()
    net.setTimeout(note, 200, "200")
    net.setTimeout(note, 100, "100a")
    net.setTimeout(note, 100.9, "100b")
    net.setTimeout(note, 0, "0")
    net.setTimeout(note, -5, "-5")
    net.setTimeout(note, nil, "nil")
    net.setTimeout(note, 0 / 0, "nan")
    net.setTimeout(note, "2", "string")
    net.run()
    assert.same({"0", "-5", "nil", "nan", "string", "100a", "100b", "200"}, log)
  end)

  it("counts from the time of the call, not from the beginning of the callback", function()
    local note, log = recorder()
    net.setTimeout(note, 10, "first")
    busy(20)
    net.setTimeout(note, 1, "second")
    net.run()
    assert.same({"first", "second"}, log)
  end)

  it("empties the tick queue between two timers", function()
    local note, log = recorder()
    net.setTimeout(function() note "a" net.nextTick(note, "tick") end, 1)
    net.setTimeout(note, 1, "b")
    net.run()
    assert.same({"a", "tick", "b"}, log)
  end)

  it("leaves what became due while a callback ran to the next turn", function()
    local note, log = recorder()
    net.setTimeout(function()
      net.setImmediate(note, "immediate")
      busy(30)
      note "long"
    end, 10)
    busy(5)
    net.setTimeout(note, 10, "due meanwhile")
    net.run()
    assert.same({"long", "immediate", "due meanwhile"}, log)
  end)

  it("starts timers from a callback that fire in a later turn", function()
    local note, log = recorder()
    net.setTimeout(function()
      net.setTimeout(note, 1, "timer")
      net.setImmediate(note, "immediate")
    end, 1)
    net.run()
    assert.same({"immediate", "timer"}, log)
  end)

  it("refuses what is no function", function()
    for _, f in ipairs {net.setTimeout, net.setInterval, net.setImmediate} do
      for _, value in ipairs {"x", 1, {}, true} do
        local ok, err = pcall(f, value, 1)
        assert.is_false(ok)
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find 'The "callback" argument must be of type function. Received')
      end
      assert.equal("ERR_INVALID_ARG_TYPE", select(2, pcall(f)).code)
    end
  end)

  it("warns of a time that is too long, and takes 1 ms", function()
    local output = child [[
      net.setTimeout(print, 2147483648, "one")
      net.setInterval(function() print "two" net.stop() end, math.huge)
      net.run()
    ]]
    assert.truthy(output:find("TimeoutOverflowWarning: 2147483648 does not fit into a 32-bit signed integer.\n" ..
                              "Timeout duration was set to 1.\n", 1, true))
    assert.truthy(output:find("TimeoutOverflowWarning: Infinity does not fit", 1, true))
    assert.truthy(output:find("one\ntwo\n", 1, true))
  end)

  it("keeps the order of many durations, also when some are cleared #timing", function()
    local fired, expected, last = 0, 0, -1
    for i = 1, 400 do
      local ms = (i * 7919) % 40 * 5 + 1
      local timer = net.setTimeout(function()
        fired = fired + 1
        if ms < last then expected = "out of order" end
        last = ms
      end, ms)
      if i % 40 < 13 then timer:close() else expected = expected + 1 end
    end
    net.run()
    assert.equal(expected, fired)
  end)

  it("works from a coroutine that is gone by then", function()
    local note, log = recorder()
    coroutine.wrap(function() net.setTimeout(function() note(tostring(select(2, coroutine.running()))) end, 1) end)()
    collectgarbage()
    net.run()
    assert.same({"true"}, log)
  end)
end)

describe("clearTimeout", function()
  it("takes the timer away, and the loop ends", function()
    local timer = net.setTimeout(error, 1e6)
    net.clearTimeout(timer)
    net.clearTimeout(timer)
    assert.is_false(net.run())
  end)

  it("ignores what is no timer", function()
    local immediate = net.setImmediate(function() end)
    for _, clear in ipairs {net.clearTimeout, net.clearInterval, net.clearImmediate} do
      clear()
      clear(nil)
      clear(1)
      clear "x"
      clear {}
      clear(io.stdout)
    end
    net.clearTimeout(immediate)
    net.clearImmediate(net.setTimeout(function() end, 1))
    assert.is_false(net.run())
  end)

  it("works on one that is due in the same turn", function()
    local note, log = recorder()
    local second, third
    net.setTimeout(function() note "first" net.clearTimeout(second) third:close() end, 2)
    second = net.setTimeout(note, 2, "second")
    third = net.setTimeout(note, 3, "third")
    busy(10)
    net.run()
    assert.same({"first"}, log)
  end)

  it("of the running timer makes refresh do nothing", function()
    local count = 0
    local timer
    timer = net.setTimeout(function()
      count = count + 1
      net.clearTimeout(timer)
      timer:refresh()
    end, 1)
    assert.is_false(net.run())
    assert.equal(1, count)
  end)
end)

describe("setInterval", function()
  it("goes on until it is cleared", function()
    local note, log = recorder()
    local interval
    interval = net.setInterval(function(word)
      note(word, #log)
      if #log == 3 then net.clearInterval(interval) end
    end, 1, "tick")
    assert.is_false(net.run())
    assert.same({"tick 0", "tick 1", "tick 2"}, log)
  end)

  it("stays active when its callback raises", function()
    local n = 0
    local interval
    interval = net.setInterval(function()
      n = n + 1
      if n == 3 then net.clearTimeout(interval) else error({n}) end
    end, 1)
    for i = 1, 2 do
      local ok, err = pcall(net.run)
      assert.is_false(ok)
      assert.same({i}, err)
    end
    assert.is_false(net.run())
    assert.equal(3, n)
  end)
end)

describe("a Timeout", function()
  it("has Node's methods", function()
    local timer = net.setTimeout(function() end, 1e6)
    assert.is_true(timer:hasRef())
    assert.equal(timer, timer:unref())
    assert.is_false(timer:hasRef())
    assert.equal(timer, timer:ref())
    assert.equal(timer, timer:refresh())
    assert.equal(timer, timer:close())
    assert.is_false(net.run())
    assert.truthy(tostring(timer):find "^Timeout")
    timer.mine = 1
    assert.equal(1, timer.mine)
  end)

  it("does not keep the loop alive when unref'd", function()
    local timer = net.setTimeout(error, 1e6):unref()
    local other = net.setInterval(error, 1e6)
    other:unref():unref()
    assert.is_false(net.run())
    timer:ref():ref()
    assert.is_true(net.run "nowait")
    timer:close()
    timer:ref()
    assert.is_false(net.run())
    other:close()
  end)

  it("fires unref'd while something else is alive", function()
    local note, log = recorder()
    net.setTimeout(note, 1, "unref'd"):unref()
    net.setTimeout(note, 15, "ref'd")
    net.run()
    assert.same({"unref'd", "ref'd"}, log)
  end)

  it("begins anew with refresh, before and after it has fired", function()
    local note, log = recorder()
    local timer = net.setTimeout(note, 20, "timer")
    net.setTimeout(function() timer:refresh() end, 10)
    net.setTimeout(note, 25, "25")
    net.run()
    assert.same({"25", "timer"}, log)
    timer:refresh()
    net.run()
    assert.same({"25", "timer", "timer"}, log)
  end)

  it("can refresh itself", function()
    local count = 0
    local timer
    timer = net.setTimeout(function()
      count = count + 1
      if count < 3 then timer:refresh() end
    end, 1)
    net.run()
    assert.equal(3, count)
  end)

  it("is cleared by <close>", function()
    do
      local timer <close> = net.setTimeout(error, 1e6)
      local immediate <close> = net.setImmediate(error)
      assert.truthy(timer and immediate)
    end
    assert.is_false(net.run())
  end)

  it("checks its self", function()
    local timer = net.setTimeout(function() end, 1)
    local immediate = net.setImmediate(function() end)
    for _, name in ipairs {"ref", "unref", "hasRef"} do
      for _, value in ipairs {1, {}, io.stdout, net} do
        assert.equal("ERR_INVALID_THIS", select(2, pcall(timer[name], value)).code)
        assert.equal("ERR_INVALID_THIS", select(2, pcall(immediate[name], value)).code)
      end
      assert.is_false((pcall(timer[name], immediate)))
      assert.is_false((pcall(immediate[name])))
    end
    net.run()
  end)

  it("is garbage once it is done or cleared, not before", function()
    local seen = setmetatable({}, {__mode = "k"})
    local fired = 0
    local function add(timer) seen[timer] = true return timer end
    add(net.setTimeout(function() fired = fired + 1 end, 1))
    add(net.setImmediate(function() fired = fired + 1 end))
    local interval = add(net.setInterval(function() end, 1))
    collectgarbage()
    collectgarbage()
    net.setTimeout(function() interval:close() end, 5)
    net.run()
    assert.equal(2, fired)
    interval = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(seen))
  end)
end)

describe("setImmediate", function()
  it("runs after the ticks, before timers of the next turn; those queued meanwhile wait", function()
    local note, log = recorder()
    net.setImmediate(function(word)
      note(word)
      net.nextTick(note, "tick")
      net.setImmediate(note, "third")
    end, "first")
    net.setImmediate(note, "second")
    assert.is_false(net.run())
    assert.same({"first", "tick", "second", "third"}, log)
    assert.is_false(net.run())
    assert.equal(4, #log)
  end)

  it("can be cleared, also by one that runs before it", function()
    local note, log = recorder()
    local second
    net.setImmediate(function() note "first" net.clearImmediate(second) end)
    second = net.setImmediate(note, "second")
    net.setImmediate(note, "third")
    net.run()
    assert.same({"first", "third"}, log)
    net.clearImmediate(second)
  end)

  it("does not keep the loop alive when unref'd", function()
    local immediate = net.setImmediate(function() end)
    assert.is_true(immediate:hasRef())
    assert.is_false(immediate:unref():hasRef())
    assert.is_false(immediate:unref():hasRef())
    assert.is_true(immediate:ref():hasRef())
    net.run()
    assert.is_false(immediate:hasRef())
    assert.is_false(immediate:ref():hasRef())
    local fired = false
    net.setImmediate(function() fired = true end):unref()
    net.setTimeout(function() end, 2)
    net.run()
    assert.is_true(fired)
  end)
end)

describe("after an error", function()
  it("the other timers of the turn run in the next net.run, in order", function()
    local note, log = recorder()
    net.setTimeout(function()
      note "t1"
      net.nextTick(note, "tick")
      net.setImmediate(note, "immediate")
      error "oops"
    end, 2)
    net.setTimeout(note, 2, "t2")
    net.setTimeout(note, 3, "t3")
    busy(10)
    assert.is_false((pcall(net.run)))
    assert.same({"t1"}, log)
    assert.is_false(net.run())
    assert.same({"t1", "t2", "tick", "t3", "immediate"}, log) -- as in Node: the tick is after the next one
  end)

  it("the other immediates run first thing in the next net.run, new ones in the turn after", function()
    local note, log = recorder()
    net.setImmediate(function()
      note "i1"
      net.setImmediate(note, "new")
      net.setTimeout(note, 1, "timer")
      busy(5)
      error "oops"
    end)
    net.setImmediate(note, "i2")
    assert.is_false((pcall(net.run)))
    assert.same({"i1"}, log)
    assert.is_false(net.run())
    assert.same({"i1", "i2", "timer", "new"}, log)
  end)

  it("of the last immediate the new ones follow at once", function()
    local note, log = recorder()
    net.setImmediate(function()
      net.setImmediate(note, "new")
      net.setTimeout(note, 1, "timer")
      busy(5)
      error "oops"
    end)
    assert.is_false((pcall(net.run)))
    assert.is_false(net.run())
    assert.same({"new", "timer"}, log)
  end)

  it("the value is the very same", function()
    for _, value in ipairs {{}, 5, false, print} do
      net.setTimeout(function() error(value) end, 1)
      assert.same({false, value}, {pcall(net.run)})
      net.setImmediate(function() error(value) end)
      assert.same({false, value}, {pcall(net.run)})
    end
    assert.is_false(net.run())
  end)
end)

describe("after net.stop", function()
  it("nothing runs until the next net.run, which goes on in order", function()
    local note, log = recorder()
    net.setTimeout(function() note "t1" net.stop() end, 1)
    net.setTimeout(note, 1, "t2")
    net.setTimeout(function() note "t3" net.stop() net.setImmediate(note, "immediate") end, 1)
    assert.is_true(net.run())
    assert.same({"t1"}, log)
    assert.is_true(net.run())
    assert.same({"t1", "t2", "t3"}, log)
    assert.is_false(net.run())
    assert.same({"t1", "t2", "t3", "immediate"}, log)
  end)

  it("immediates that the last one queued wait for the next turn", function()
    local note, log = recorder()
    net.setImmediate(function()
      net.setImmediate(note, "new")
      net.setTimeout(note, 1, "timer")
      busy(5)
      net.stop()
    end)
    assert.is_true(net.run())
    assert.is_false(net.run())
    assert.same({"timer", "new"}, log)
  end)
end)

describe("lua_close", function()
  it("with active timers is silent", function()
    local output, how, code = child [[
      net.setTimeout(print, 1e6, "a")
      net.setInterval(print, 1e6, "b"):unref()
      net.setImmediate(print, "c"):unref()
      net.setImmediate(net.stop)
      net.run()
      for i = 1, 100 do net.setTimeout(print, i * 1000) end
      net.setImmediate(print, "d")
      io.write "end"
    ]]
    assert.equal("c\nend", output)
    assert.equal("exit", how)
    assert.equal(0, code)
  end)

  it("in a callback is silent too, also when a finalizer starts a timer", function()
    local output, _, code = child [[
      net.setTimeout(print, 1e6)
      keep = setmetatable({}, {__gc = function() print(pcall(net.setTimeout, print, 1)) end})
      net.setTimeout(function() net.setImmediate(print, "never") os.exit(3, true) end, 1)
      net.setTimeout(print, 1, "never")
      net.run()
    ]]
    assert.equal(3, code)
    assert.truthy(output:find "^true\tTimeout")
    assert.falsy(output:find "never")
  end)
end)
