-- net.EventEmitter: Node's, whole. What is expected here is what node v26 does.

local support = require "spec.support"
local net = require "cnet"

local function each_emitter(check)
  check(net.EventEmitter())
  check(net.Server())
  check(net.Socket())
end

local function count(...) return select("#", ...) end

describe("an event whose name is a number", function()
  it("has the name that JavaScript makes of it", function()
    local emitter, log = net.EventEmitter(), {}
    emitter:on(1.0, function() log[#log + 1] = "one" end)
    emitter:on(1.5, function() log[#log + 1] = "one and a half" end)
    assert.is_true(emitter:emit(1))
    assert.is_true(emitter:emit "1")
    assert.is_true(emitter:emit "1.5")
    assert.same({ "one", "one", "one and a half" }, log)
    assert.same({ "1", "1.5" }, emitter:eventNames())
  end)
end)

describe("adding and emitting", function()
  after_each(support.clean)

  it("calls the listeners inside emit, in the order they were added", function()
    each_emitter(function(emitter)
      local log, list = support.recorder()
      emitter:on("x", function() log "first" end)
      emitter:addListener("x", function() log "second" end)
      emitter:on("y", function() log "other" end)
      emitter:emit "x"
      log "after"
      assert.same({ "first", "second", "after" }, list)
    end)
  end)

  it("passes a listener the arguments of emit and nothing else", function()
    local emitter = net.EventEmitter()
    local got
    emitter:on("x", function(...) got = table.pack(...) end)
    emitter:emit "x"
    assert.equal(0, got.n)
    local value = {}
    emitter:emit("x", nil, value, false, nil)
    assert.equal(4, got.n)
    assert.is_nil(got[1])
    assert.equal(value, got[2])
    assert.is_false(got[3])
  end)

  it("gives every listener the same arguments", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    for i = 1, 3 do emitter:on("x", function(a, b) log(i, a, b) end) end
    emitter:emit("x", 1, 2)
    assert.same({ "1 1 2", "2 1 2", "3 1 2" }, list)
  end)

  it("tells by emit's result whether anyone listened", function()
    each_emitter(function(emitter)
      assert.is_false(emitter:emit "x")
      emitter:on("x", function() return false end)
      assert.is_true(emitter:emit "x")
      assert.equal(1, count(emitter:emit "x"))
      emitter:removeAllListeners "x"
      assert.is_false(emitter:emit "x")
    end)
  end)

  it("returns the emitter from all that adds or removes", function()
    each_emitter(function(emitter)
      local function f() end
      for _, name in ipairs {
        "on", "addListener", "once", "prependListener", "prependOnceListener", "off", "removeListener",
      } do
        assert.equal(emitter, emitter[name](emitter, "x", f), name)
      end
      assert.equal(emitter, emitter:removeAllListeners "x")
      assert.equal(emitter, emitter:setMaxListeners(3))
    end)
  end)

  it("adds the same function as often as it is told to", function()
    local emitter, n = net.EventEmitter(), 0
    local function f() n = n + 1 end
    emitter:on("x", f):on("x", f):on("x", f)
    emitter:emit "x"
    assert.equal(3, n)
    assert.equal(3, emitter:listenerCount "x")
  end)

  it("puts prepended listeners first", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:on("x", function() log "a" end)
    emitter:prependListener("x", function() log "b" end)
    emitter:prependOnceListener("x", function() log "c" end)
    emitter:on("x", function() log "d" end)
    emitter:emit "x"
    emitter:emit "x"
    assert.same({ "c", "b", "a", "d", "b", "a", "d" }, list)
  end)

  it("takes any value but nil as the name of an event; a number is its digits", function()
    local emitter, name, n = net.EventEmitter(), {}, 0
    local function f() n = n + 1 end
    emitter:on(name, f):on(true, f):on(print, f):on(1, f):on(0 / 0, f):on("", f)
    assert.is_true(emitter:emit(name))
    assert.is_true(emitter:emit(true))
    assert.is_true(emitter:emit(print))
    assert.is_true(emitter:emit "1")
    assert.is_true(emitter:emit(1))
    assert.is_true(emitter:emit(0 / 0))
    assert.is_true(emitter:emit "")
    assert.is_false(emitter:emit {})
    assert.equal(7, n)
    for _, method in ipairs { "on", "emit", "listenerCount", "listeners", "rawListeners", "off" } do
      local err = support.caught(emitter[method], emitter, nil, f)
      assert.equal("ERR_INVALID_ARG_TYPE", err.code)
    end
  end)

  it("keeps an event whose name looks like one of its own keys apart", function()
    local emitter, n = net.EventEmitter(), 0
    emitter:on("warned", function() n = n + 1 end):on("n", function() n = n + 1 end)
    for i = 1, 3 do emitter:on(i, function() n = n + 1 end) end
    assert.is_true(emitter:emit "warned")
    assert.is_true(emitter:emit(2))
    assert.equal(2, n)
    assert.same({ "warned", "n", "1", "2", "3" }, emitter:eventNames())
  end)

  it("refuses a listener that is no function, and says what it got", function()
    each_emitter(function(emitter)
      for _, name in ipairs {
        "on", "addListener", "once", "prependListener", "prependOnceListener", "off", "removeListener",
      } do
        local function message(...)
          local err = support.caught(emitter[name], emitter, "x", ...)
          assert.equal("ERR_INVALID_ARG_TYPE", err.code)
          assert.equal("TypeError", err.name)
          return err.message
        end
        local start = 'The "listener" argument must be of type function. Received '
        assert.equal(start .. "nil", message())
        assert.equal(start .. "nil", message(nil))
        assert.equal(start .. "type number (1)", message(1))
        assert.equal(start .. "type string ('text')", message "text")
        assert.equal(start .. "type boolean (false)", message(false))
        assert.equal(start .. "an instance of net.EventEmitter", message(net.EventEmitter()))
      end
      assert.equal(0, emitter:listenerCount "x")
    end)
  end)

  it("leaves a listener's error to the caller of emit, and skips the listeners after it", function()
    local emitter, value = net.EventEmitter(), {}
    local log, list = support.recorder()
    emitter:on("x", function() log "a" end)
    emitter:on("x", function() log "b" error(value) end)
    emitter:on("x", function() log "c" end)
    assert.equal(value, support.caught(emitter.emit, emitter, "x"))
    assert.same({ "a", "b" }, list)
    assert.equal(3, emitter:listenerCount "x")
  end)

  it("survives an emit that never ends, and goes on after it", function()
    local emitter, depth = net.EventEmitter(), 0
    emitter:on("x", function() depth = depth + 1 emitter:emit "x" end)
    assert.matches("stack overflow", tostring(support.caught(emitter.emit, emitter, "x")))
    assert.is_true(depth > 50)
    emitter:on("y", function() depth = 0 end):emit "y"
    assert.equal(0, depth)
  end)

  it("survives more arguments than the stack holds", function()
    local emitter = net.EventEmitter()
    local got
    emitter:on("x", function(...) got = count(...) end)
    emitter:emit("x", table.unpack({}, 1, 10000))
    assert.equal(10000, got)
    pcall(emitter.emit, emitter, "x", table.unpack({}, 1, 400000))
    emitter:setMaxListeners(0)
    for _ = 1, 5000 do emitter:on("many", function() end) end
    assert.is_true(emitter:emit("many", 1, 2, 3))
    assert.is_true(coroutine.wrap(function() return emitter:emit("many", 1, 2, 3) end)()) -- a stack that is small yet
  end)

  it("is ordinary garbage together with a listener that refers to it", function()
    local weak = setmetatable({}, { __mode = "k" })
    do
      local emitter = net.EventEmitter()
      emitter:on("x", function() return emitter end):once("y", function() return emitter end)
      emitter.me = emitter
      weak[emitter] = true
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(weak))
  end)
end)

describe("once", function()
  after_each(support.clean)

  it("calls once, with the arguments, and no more", function()
    each_emitter(function(emitter)
      local log, list = support.recorder()
      emitter:once("x", log)
      assert.is_true(emitter:emit("x", "a", nil, 1))
      assert.is_false(emitter:emit("x", "b"))
      assert.same({ "a nil 1" }, list)
      assert.equal(0, emitter:listenerCount "x")
    end)
  end)

  it("removes the listener before it calls it", function()
    local emitter, n = net.EventEmitter(), 0
    emitter:once("x", function()
      n = n + 1
      assert.equal(0, emitter:listenerCount "x")
      assert.is_false(emitter:emit "x")
    end)
    emitter:emit "x"
    assert.equal(1, n)
  end)

  it("calls once though two emits that copied the listeners meet", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local again = true
    emitter:on("x", function()
      log "on"
      if again then
        again = false
        emitter:emit "x"
      end
    end)
    emitter:once("x", function() log "once" end)
    emitter:emit "x"
    assert.same({ "on", "on", "once" }, list)
  end)

  it("is over after its listener raised", function()
    local emitter = net.EventEmitter()
    emitter:once("x", function() error "text" end)
    assert.is_false((pcall(emitter.emit, emitter, "x")))
    assert.is_false(emitter:emit "x")
  end)

  it("may be taken back by the function it was given", function()
    local emitter = net.EventEmitter()
    local function f() error "called" end
    emitter:once("x", f):off("x", f)
    emitter:prependOnceListener("x", f):on("x", print):removeListener("x", f)
    assert.equal(1, emitter:listenerCount "x")
    assert.same({ print }, emitter:listeners "x")
  end)
end)

describe("removing", function()
  after_each(support.clean)

  it("takes out one, and of several the one that was added last", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local function f() log "f" end
    emitter:on("x", f):on("x", function() log "g" end):on("x", f)
    emitter:off("x", f)
    emitter:emit "x"
    assert.same({ "f", "g" }, list)
    emitter:off("x", f)
    emitter:emit "x"
    assert.same({ "f", "g", "g" }, list)
  end)

  it("does nothing for a function that does not listen", function()
    local emitter = net.EventEmitter()
    emitter:off("x", print)
    emitter:on("x", tostring):off("x", print):off("y", tostring)
    emitter:on("x", tostring):off("x", print)
    assert.equal(2, emitter:listenerCount "x")
  end)

  it("does not change who hears the event that is being emitted; adding neither", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local function removed() log "removed" end
    emitter:on("x", function()
      log "first"
      emitter:off("x", removed)
      emitter:on("x", function() log "added" end)
      emitter:prependListener("x", function() log "before" end)
    end)
    emitter:on("x", removed)
    emitter:emit "x"
    assert.same({ "first", "removed" }, list)
  end)

  it("does not change who hears it when all are removed meanwhile", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:on("x", function() emitter:removeAllListeners() log "a" end)
    emitter:on("x", function() log "b" end)
    emitter:once("x", function() log "c" end)
    emitter:emit "x"
    emitter:emit "x"
    assert.same({ "a", "b", "c" }, list)
  end)

  it("removes all listeners of one event, or of all", function()
    local emitter = net.EventEmitter()
    emitter:on("x", print):on("x", print):on("y", print)
    emitter:removeAllListeners "x"
    assert.same({ "y" }, emitter:eventNames())
    emitter:removeAllListeners "never"
    emitter:on("x", print):removeAllListeners()
    assert.same({}, emitter:eventNames())
    assert.is_false(emitter:emit "y")
  end)
end)

describe("'newListener' and 'removeListener'", function()
  after_each(support.clean)

  it("tells of a listener before it is added, with the function the script gave", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local function f() end
    emitter:on("newListener", function(name, fn)
      assert.equal(f, fn)
      log("new", name, emitter:listenerCount(name))
    end)
    emitter:on("x", f):once("x", f):prependOnceListener("y", f)
    assert.same({ "new x 0", "new x 1", "new y 0" }, list)
  end)

  it("lets a listener that 'newListener' adds go first", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:once("newListener", function(name) emitter:on(name, function() log "B" end) end)
    emitter:on("x", function() log "A" end)
    emitter:emit "x"
    assert.same({ "B", "A" }, list)
  end)

  it("does not tell the first 'newListener' listener of itself, but of the next one", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:on("newListener", log)
    local function second() end
    emitter:on("newListener", second)
    assert.same({ "newListener " .. tostring(second) }, list)
  end)

  it("adds nothing if a 'newListener' listener raises", function()
    local emitter = net.EventEmitter()
    emitter:once("newListener", function() error("no", 0) end)
    assert.equal("no", support.caught(emitter.on, emitter, "x", print))
    assert.equal(0, emitter:listenerCount "x")
  end)

  it("tells of a removal when it is done, with the function the script gave", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local function f() log "f" end
    emitter:on("removeListener", function(name, fn)
      assert.equal(f, fn)
      log("removed", name, emitter:listenerCount(name))
    end)
    emitter:on("x", f):on("x", f):off("x", f):off("x", f):off("x", f)
    emitter:once("y", f):off("y", f)
    emitter:once("z", f):emit "z"
    assert.same({ "removed x 1", "removed x 0", "removed y 0", "removed z 0", "f" }, list)
  end)

  it("tells of each listener that removeAllListeners removes, the last first, its own listeners at the end", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    local names = {}
    local function named(name)
      local function f() end
      names[f] = name
      return f
    end
    local teller = function(event, fn) log(event, names[fn]) end
    names[teller] = "teller"
    emitter:on("x", named "x1"):once("x", named "x2"):on("removeListener", teller):on("y", named "y1")
    emitter:removeAllListeners "x"
    assert.same({ "x x2", "x x1" }, list)
    emitter:on("x", named "x3"):on("removeListener", named "other")
    emitter:removeAllListeners()
    assert.same({ "x x2", "x x1", "y y1", "x x3", "removeListener other" }, list)
    assert.same({}, emitter:eventNames())
  end)

  it("removes what was there, and not what is added meanwhile", function()
    local emitter = net.EventEmitter()
    local function f() end
    local added = 0
    emitter:on("x", f):on("x", print):on("removeListener", function(event, fn)
      if event ~= "x" then return end
      added = added + 1
      assert(added <= 2, "it goes on for ever")
      emitter:on("x", fn)
    end)
    emitter:removeAllListeners "x"
    assert.equal(2, added)
    assert.same({ print, f }, emitter:listeners "x")
  end)
end)

describe("'error'", function()
  after_each(support.clean)

  it("is like any other event while someone listens", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:on("error", log)
    assert.is_true(emitter:emit("error", "text", 2))
    assert.is_true(emitter:emit "error")
    assert.same({ "text 2", "" }, list)
  end)

  it("that nobody hears raises an Error as it is", function()
    each_emitter(function(emitter)
      local plain = { message = "text" }
      local made = net.Error "text"
      local object = net.EventEmitter()
      object.message = "an object may be one"
      for _, value in ipairs { plain, made, object } do
        assert.equal(value, support.caught(emitter.emit, emitter, "error", value, "more"))
      end
      assert.is_nil(made.context)
    end)
  end)

  it("that nobody hears raises ERR_UNHANDLED_ERROR for what is none, with it as context", function()
    local emitter = net.EventEmitter()
    local function raised(...)
      local err = support.caught(emitter.emit, emitter, "error", ...)
      assert.equal("ERR_UNHANDLED_ERROR", err.code)
      assert.equal("Error", err.name)
      assert.equal((...), err.context)
      return tostring(err)
    end
    local number, bare = { message = 1 }, {}
    assert.equal("Unhandled error. ('text')", raised "text")
    assert.equal("Unhandled error. (nil)", raised())
    assert.equal("Unhandled error. (nil)", raised(nil))
    assert.equal("Unhandled error. (false)", raised(false))
    assert.equal("Unhandled error. (42)", raised(42))
    assert.equal("Unhandled error. (" .. tostring(bare) .. ")", raised(bare))
    assert.equal("Unhandled error. (" .. tostring(number) .. ")", raised(number))
  end)

  it("raises what an odd value's own metamethods raise", function()
    local emitter = net.EventEmitter()
    local function raised(metatable)
      return support.caught(emitter.emit, emitter, "error", setmetatable({}, metatable))
    end
    assert.equal("index", raised { __index = function() error("index", 0) end })
    assert.equal("tostring", raised { __tostring = function() error("tostring", 0) end })
    assert.matches("must return a string", tostring(raised { __tostring = function() return {} end }))
  end)

  it("is heard by net.errorMonitor first, which does not handle it", function()
    each_emitter(function(emitter)
      local log, list = support.recorder()
      local err = net.Error "text"
      emitter:on(net.errorMonitor, function(...) log("monitor", count(...), ...) end)
      assert.equal(err, support.caught(emitter.emit, emitter, "error", err))
      emitter:prependListener("error", function() log "listener" end)
      assert.is_true(emitter:emit("error", err, 2))
      emitter:emit("other", err)
      assert.same({ "monitor 1 text", "monitor 2 text 2", "listener" }, list)
    end)
  end)

  it("lets a monitor add the listener that handles it", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:once(net.errorMonitor, function() emitter:on("error", log) end)
    assert.is_true(emitter:emit("error", "text"))
    assert.same({ "text" }, list)
    assert.equal(0, emitter:listenerCount(net.errorMonitor))
  end)

  it("counts net.errorMonitor as an event of its own", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    assert.is_false(emitter:emit(net.errorMonitor))
    emitter:on(net.errorMonitor, log)
    assert.is_true(emitter:emit(net.errorMonitor, "direct"))
    assert.same({ net.errorMonitor }, emitter:eventNames())
    assert.same({ "direct" }, list)
    assert.equal(0, emitter:listenerCount "error")
  end)
end)

describe("what tells of listeners", function()
  after_each(support.clean)

  it("listenerCount counts all, or those that are one function", function()
    local emitter = net.EventEmitter()
    local function f() end
    assert.equal(0, emitter:listenerCount "x")
    emitter:on("x", f)
    assert.equal(1, emitter:listenerCount("x", f))
    emitter:on("x", print):once("x", f)
    assert.equal(3, emitter:listenerCount "x")
    assert.equal(2, emitter:listenerCount("x", f))
    assert.equal(0, emitter:listenerCount("x", tostring))
    assert.equal("integer", math.type(emitter:listenerCount "x"))
    emitter:once("y", f)
    assert.equal(1, emitter:listenerCount("y", f))
  end)

  it("listeners gives a copy, of the functions the script gave", function()
    local emitter = net.EventEmitter()
    local function f() end
    emitter:once("x", f)
    assert.same({ f }, emitter:listeners "x")
    emitter:on("x", print)
    local list = emitter:listeners "x"
    assert.same({ f, print }, list)
    list[1], list[2] = nil, nil
    assert.equal(2, emitter:listenerCount "x")
    assert.same({}, emitter:listeners "y")
  end)

  it("rawListeners gives what wraps a once listener; calling it fires and removes that", function()
    local emitter = net.EventEmitter()
    local log, list = support.recorder()
    emitter:on("x", log):once("x", log)
    local raw = emitter:rawListeners "x"
    assert.equal(2, #raw)
    assert.equal(log, raw[1])
    assert.is_function(raw[2])
    assert.not_equal(log, raw[2])
    raw[2]("direct", 2)
    raw[2] "no more"
    assert.same({ "direct 2" }, list)
    assert.equal(1, emitter:listenerCount "x")
    assert.same({}, emitter:rawListeners "y")
    emitter:once("y", log)
    emitter:off("y", emitter:rawListeners("y")[1])
    assert.equal(0, emitter:listenerCount "y")
  end)

  it("eventNames gives the names in the order of their first listeners", function()
    local emitter = net.EventEmitter()
    local name = {}
    emitter:on("b", print):on("a", print):on(name, print):on("b", print)
    assert.same({ "b", "a", name }, emitter:eventNames())
    emitter:off("b", print)
    assert.same({ "b", "a", name }, emitter:eventNames())
    emitter:off("b", print):on("b", print)
    assert.same({ "a", name, "b" }, emitter:eventNames())
    emitter:eventNames()[1] = nil
    assert.equal(3, #emitter:eventNames())
    assert.same({}, net.EventEmitter():eventNames())
  end)
end)

describe("the limit of listeners", function()
  after_each(support.clean)

  it("is 10, and what setMaxListeners says", function()
    local emitter = net.EventEmitter()
    assert.equal(10, emitter:getMaxListeners())
    assert.equal("integer", math.type(emitter:getMaxListeners()))
    assert.equal(3, emitter:setMaxListeners(3):getMaxListeners())
    assert.equal(0, emitter:setMaxListeners(0.0):getMaxListeners())
    assert.equal(2.5, emitter:setMaxListeners(2.5):getMaxListeners())
    assert.equal(math.huge, emitter:setMaxListeners(math.huge):getMaxListeners())
    assert.equal(10, net.EventEmitter():getMaxListeners())
  end)

  it("must be a number of 0 or more", function()
    local emitter = net.EventEmitter()
    local function raised(value) return support.caught(emitter.setMaxListeners, emitter, value) end
    for _, value in ipairs { "10", {}, true } do
      assert.equal("ERR_INVALID_ARG_TYPE", raised(value).code)
    end
    assert.equal("ERR_INVALID_ARG_TYPE", raised(nil).code)
    assert.equal("ERR_OUT_OF_RANGE", raised(-1).code)
    assert.equal("ERR_OUT_OF_RANGE", raised(0 / 0).code)
    assert.equal('The value of "setMaxListeners" is out of range. It must be >= 0. Received -1', raised(-1).message)
    assert.equal(10, emitter:getMaxListeners())
  end)

  it("is passed with one warning on stderr for each event, and nothing else happens", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local n, emitter = 0, net.EventEmitter()
      for _ = 1, 30 do emitter:on("data", function() n = n + 1 end) end
      emitter:emit "data"
      print(n)
      local server = net.Server():setMaxListeners(1)
      server:once("x", print):prependListener("x", print):on("x", print)
      local quiet = net.EventEmitter():setMaxListeners(0)
      for _ = 1, 100 do quiet:on("x", print) end
      quiet:setMaxListeners(math.huge):on("x", print)
      local ten = net.EventEmitter()
      for _ = 1, 10 do ten:on("x", print) end
    ]]
    assert.equal("30\n", out)
    assert.equal(
      "MaxListenersExceededWarning: Possible EventEmitter memory leak detected. 11 data listeners added to "
        .. "[net.EventEmitter]. MaxListeners is 10. Use emitter:setMaxListeners() to increase limit\n"
        .. "MaxListenersExceededWarning: Possible EventEmitter memory leak detected. 2 x listeners added to "
        .. "[net.Server]. MaxListeners is 1. Use emitter:setMaxListeners() to increase limit\n",
      err
    )
    assert.equal(0, code)
  end)

  it("warns anew once the listeners had gone down to one", function()
    local _, err = support.lua [[
      local emitter = require "cnet".EventEmitter()
      for _ = 1, 11 do emitter:on("x", print) end
      for _ = 1, 9 do emitter:off("x", print) end
      for _ = 1, 9 do emitter:on("x", print) end
      for _ = 1, 10 do emitter:off("x", print) end
      for _ = 1, 10 do emitter:on("x", print) end
    ]]
    assert.equal(2, select(2, err:gsub("MaxListenersExceededWarning", "")))
  end)
end)
