-- net.AbortController and AbortSignal, against what node v26 does.

local net = require "cnet"
local children = require "spec.support.children"
local sockets = require "spec.support.sockets"
local support = require "spec.support"

describe("net.AbortController", function()
  it("has a signal that is not aborted", function()
    local controller = net.AbortController()
    assert.is_false(controller.signal.aborted)
    assert.is_nil(controller.signal.reason)
    assert.is_nil(controller.signal.onabort)
    assert.equal(controller.signal, controller.signal)
    controller.signal:throwIfAborted()
    assert.truthy(tostring(controller):find "^AbortController")
    assert.truthy(tostring(controller.signal):find "^AbortSignal")
  end)

  it("aborts once, in the call, with an event", function()
    local controller = net.AbortController()
    local events = {}
    controller.signal:addEventListener("abort", function(...) events[#events + 1] = table.pack(...) end)
    controller:abort()
    assert.equal(1, #events)
    controller:abort()
    assert.equal(1, #events)
    assert.equal(1, events[1].n)
    assert.equal("abort", events[1][1].type)
    assert.equal(controller.signal, events[1][1].target)
    assert.is_true(controller.signal.aborted)
  end)

  it("gives Node's reason", function()
    local controller = net.AbortController()
    controller:abort()
    local reason = controller.signal.reason
    assert.equal("AbortError", reason.name)
    assert.equal("This operation was aborted", reason.message)
    assert.equal(20, reason.code)
    controller:abort "another"
    assert.equal(reason, controller.signal.reason)
    local ok, err = pcall(controller.signal.throwIfAborted, controller.signal)
    assert.is_false(ok)
    assert.equal(reason, err)
  end)

  it("takes any reason", function()
    for _, reason in ipairs {"why", 5, false, {}} do
      local controller = net.AbortController()
      controller:abort(reason)
      assert.equal(reason, controller.signal.reason)
      assert.is_true(controller.signal.aborted)
    end
  end)

  it("has aborted already when the listeners run", function()
    local controller = net.AbortController()
    local seen
    controller.signal:on("abort", function()
      seen = {controller.signal.aborted, controller.signal.reason}
      controller:abort "again"
    end)
    controller:abort "first"
    assert.same({true, "first"}, seen)
  end)

  it("calls every listener, in order, and raises an error of one in net.run", function()
    local controller = net.AbortController()
    local signal = controller.signal
    local log = {}
    local function note(word) return function() log[#log + 1] = word end end
    local twice = note "twice"
    signal:addEventListener("abort", note "a")
    signal.onabort = note "replaced"
    signal:once("abort", note "once")
    signal:addEventListener("abort", function() error {"oops"} end, {once = true})
    signal:addEventListener("abort", twice)
    signal:addEventListener("abort", twice, {once = true})
    signal.onabort = note "onabort"
    signal:on("abort", note "last")
    controller:abort()
    assert.same({"a", "onabort", "once", "twice", "last"}, log)
    assert.equal(4, signal:listenerCount "abort")
    local ok, err = pcall(net.run)
    assert.is_false(ok)
    assert.same({"oops"}, err)
    assert.is_false(net.run())
  end)

  it("forgets listeners that were removed", function()
    local controller = net.AbortController()
    local signal = controller.signal
    signal:addEventListener("abort", error)
    signal:removeEventListener("abort", error)
    signal:addEventListener("abort", print, {once = true})
    signal:removeEventListener("abort", print)
    signal.onabort = error
    assert.equal(error, signal.onabort)
    signal.onabort = nil
    signal.onabort = error
    signal.onabort = "no function"
    assert.is_nil(signal.onabort)
    assert.equal(0, signal:listenerCount "abort")
    controller:abort()
    assert.is_false(net.run())
  end)

  it("refuses misuse", function()
    local controller = net.AbortController()
    local signal = controller.signal
    local function code(f, ...)
      local ok, err = pcall(f, ...)
      assert.is_false(ok)
      return err.code
    end
    assert.equal("ERR_MISSING_ARGS", code(signal.addEventListener, signal, "abort"))
    assert.equal("ERR_MISSING_ARGS", code(signal.removeEventListener, signal))
    assert.equal("ERR_INVALID_ARG_TYPE", code(signal.addEventListener, signal, "abort", 5))
    assert.equal("ERR_INVALID_THIS", code(controller.abort, signal))
    assert.equal("ERR_INVALID_THIS", code(signal.throwIfAborted, controller))
    assert.equal("ERR_INVALID_THIS", code(signal.addEventListener, nil, "abort", print))
    assert.equal("ERR_ILLEGAL_CONSTRUCTOR", code(net.AbortSignal))
    for _, name in ipairs {"aborted", "reason"} do
      local ok, err = pcall(function() signal[name] = true end)
      assert.is_false(ok)
      assert.truthy(err.message:find(name, 1, true))
    end
    assert.is_false((pcall(function() controller.signal = 1 end)))
    signal.onabort = print
    pcall(signal:listeners "abort"[1])
    assert.is_false(signal.aborted)
  end)

  it("is garbage with its signal, whatever its listeners hold", function()
    local seen = setmetatable({}, {__mode = "k"})
    do
      local controller = net.AbortController()
      seen[controller] = true
      seen[controller.signal] = true
      controller.signal.onabort = function() return controller end
      controller.signal:on("abort", function() return controller end)
      local aborted = net.AbortController()
      seen[aborted.signal] = true
      aborted.signal:once("abort", function() return aborted end)
      aborted:abort(aborted)
    end
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(seen))
  end)
end)

-- A signal may live much longer than what it could abort, and holds that by its listener.
describe("the listener that an option signal adds", function()
  after_each(children.clean)

  -- Notes how many listeners the signal has in each of the events; returns the emitter.
  local function count(emitter, signal, events, note)
    for _, event in ipairs(events) do
      emitter:on(event, function() note(event, signal:listenerCount "abort") end)
    end
    return emitter
  end

  it("is there until a child exits", function()
    local note, log = support.recorder()
    local signal = net.AbortController().signal
    local child = children.fork("", nil, { signal = signal })
    note("fork", signal:listenerCount "abort")
    count(child, signal, { "spawn", "exit", "close" }, note)
    support.run()
    assert.same({ "fork 1", "spawn 1", "exit 0", "close 0" }, log)
  end)

  it("is there until the close of a child that could not be started", function()
    local note, log = support.recorder()
    local signal = net.AbortController().signal
    local child = children.fork("", nil, { signal = signal, execPath = "/no/such" })
    count(child, signal, { "error", "close" }, note)
    support.run()
    assert.same({ "error 1", "close 0" }, log)
  end)

  it("is gone when it has killed a child", function()
    local note, log = support.recorder()
    local controller = net.AbortController()
    local child = children.fork("process:on('disconnect', print)", nil, { signal = controller.signal })
    count(child, controller.signal, { "error", "exit", "close" }, note)
    controller:abort()
    support.run()
    assert.same({ "error 0", "exit 0", "close 0" }, log)
  end)

  it("is there until a server is closed", function()
    local note, log = support.recorder()
    local signal = net.AbortController().signal
    local server = net.createServer()
    for i = 1, 2 do
      server:listen { port = 0, signal = signal }
      note("listen", signal:listenerCount "abort")
      server:once("listening", function()
        note("listening", signal:listenerCount "abort")
        server:close()
      end)
      support.run()
      note(i, signal:listenerCount "abort")
    end
    assert.same({ "listen 1", "listening 1", "1 0", "listen 1", "listening 1", "2 0" }, log)
  end)

  it("is there until a socket is closed", function()
    local note, log = support.recorder()
    local signal = net.AbortController().signal
    local server = sockets.server(function(peer)
      peer:resume()
      peer:end_()
    end)
    local target = sockets.address_of(server)
    target.signal = signal
    local socket = count(net.connect(target), signal, { "connect", "end", "finish", "close" }, note)
    socket:resume()
    support.run_until(function() return socket.closed end)
    server:close()
    support.run()
    assert.same({ "connect 1", "end 1", "finish 1", "close 0" }, log)
    count(net.connect { port = target.port, host = target.host, signal = signal }, signal, { "error", "close" }, note)
    support.run()
    assert.same({ "error 1", "close 0" }, table.move(log, 5, #log, 1, {}))
  end)
end)
