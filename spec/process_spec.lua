-- net.process: signals as events, and exit. What ends or signals a process is tried on a child.

local net = require "cnet"
local support = require "spec.support"
local cpath = package.cpath

-- Runs a script in a lua of its own, with `kill(name)` that signals the script itself; returns its output (stdout and
-- stderr), how it ended and the code.
local function child(script)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write("package.cpath = ", ("%q"):format(cpath), "\nlocal net = require 'cnet'\n", [[
    local process = net.process
    local function kill(name) io.popen("kill -" .. name .. " " .. process.pid):close() end
    io.stdout:setvbuf "no"
  ]], script)
  file:close()
  local pipe = io.popen(support.timeout .. "lua5.4 " .. name .. " 2>&1")
  local output = pipe:read "a"
  local _, how, code = pipe:close()
  os.remove(name)
  return output, how, code
end

describe("net.process", function()
  it("is one emitter, with a pid", function()
    assert.equal("integer", math.type(net.process.pid))
    local stat = io.open "/proc/self/stat"
    if stat then
      assert.equal(stat:read "n", net.process.pid)
      stat:close()
    end
    assert.truthy(tostring(net.process):find "^net.process")
    local heard
    net.process:once("mine", function(...) heard = {...} end)
    assert.is_true(net.process:emit("mine", 1, 2))
    assert.same({1, 2}, heard)
    assert.is_false((pcall(function() net.process.pid = 1 end)))
  end)

  it("refuses SIGKILL and SIGSTOP", function()
    for _, name in ipairs {"SIGKILL", "SIGSTOP"} do
      for _, method in ipairs {"on", "once", "prependListener", "prependOnceListener"} do
        local ok, err = pcall(net.process[method], net.process, name, print)
        assert.is_false(ok)
        assert.equal("uv_signal_start EINVAL", err.message)
        assert.equal("EINVAL", err.code)
        assert.equal(-22, err.errno)
        assert.equal("uv_signal_start", err.syscall)
        assert.equal(0, net.process:listenerCount(name))
      end
    end
  end)

  it("watches every other signal, and gives it back", function()
    for name in ([[SIGHUP SIGINT SIGQUIT SIGILL SIGTRAP SIGABRT SIGIOT SIGBUS SIGFPE SIGUSR1 SIGSEGV SIGUSR2 SIGPIPE
        SIGALRM SIGTERM SIGCHLD SIGCONT SIGTSTP SIGTTIN SIGTTOU SIGURG SIGXCPU SIGXFSZ SIGVTALRM SIGPROF SIGIO SIGWINCH
        SIGSYS SIGNOTHING]]):gmatch "%S+" do
      net.process:on(name, print)
      net.process:prependOnceListener(name, print)
      assert.equal(2, net.process:listenerCount(name))
      net.process:removeAllListeners(name)
      assert.equal(0, net.process:listenerCount(name))
    end
    assert.is_false(net.run())
  end)

  it("a listener gets the name and the number, and keeps nothing alive #timing", function()
    local output, how, code = child [[
      process:on("SIGTERM", function(...) print("second", ...) end)
      process:prependListener("SIGTERM", function(...) print("first", ...) end)
      process:once("SIGHUP", print)
      print(net.run())
      net.setTimeout(function() kill "TERM" end, 1)
      net.setTimeout(function() kill "HUP" end, 5)
      net.setTimeout(print, 30, "end")
      print(net.run())
    ]]
    assert.equal("false\nfirst\tSIGTERM\t15\nsecond\tSIGTERM\t15\nSIGHUP\t1\nend\nfalse\n", output)
    assert.equal("exit", how)
    assert.equal(0, code)
  end)

  it("hears each of two names of a number", function()
    local output = child [[
      process:on("SIGIOT", print)
      process:once("SIGABRT", print)
      net.setTimeout(function() kill "ABRT" end, 1)
      net.setTimeout(function() end, 20)
      net.run()
    ]]
    local lines = {}
    for line in output:gmatch "[^\n]+" do lines[#lines + 1] = line end
    table.sort(lines)
    assert.same({"SIGABRT\t6", "SIGIOT\t6"}, lines)
  end)

  it("the default action is back once the last listener is gone", function()
    for _, remove in ipairs {
      "process:off('SIGTERM', listener) process:off('SIGTERM', listener)",
      "process:removeAllListeners 'SIGTERM'",
      "process:removeAllListeners()",
    } do
      local output = child([[
        local heard, listener = 0
        local function remove()
          process:once("SIGTERM", listener)
          ]] .. remove .. [[ print(process:listenerCount "SIGTERM")
          kill "TERM"
          print "not reached"
        end
        function listener()
          print "heard"
          heard = heard + 1
          if heard == 2 then net.setImmediate(remove) end
        end
        process:on("SIGTERM", listener)
        process:once("SIGTERM", listener)
        process:off("SIGTERM", print)
        kill "TERM"
        net.setTimeout(function() end, 20000) -- a watched signal keeps nothing alive
        net.run()
      ]])
      assert.truthy(output:find "^heard\nheard\n0\n")
      assert.falsy(output:find "not reached")
    end
  end)

  it("SIGPIPE is ignored again after a listener", function()
    local output = child [[
      process:on("SIGPIPE", print)
      process:removeAllListeners "SIGPIPE"
      kill "PIPE"
      io.write "alive"
    ]]
    assert.equal("alive", output)
  end)

  it("a signal that comes while net.run has stopped is heard in the next one", function()
    local output = child [[
      process:on("SIGTERM", print)
      net.setTimeout(function() kill "TERM" net.stop() end, 1)
      net.run()
      print "between"
      kill "TERM"
      net.setTimeout(function() end, 10)
      print(net.run())
    ]]
    assert.equal("between\nSIGTERM\t15\nSIGTERM\t15\nfalse\n", output)
  end)

  it("an error of a listener leaves net.run, and the other listeners' signals are not lost", function()
    local output = child [[
      process:on("SIGTERM", function() error({}) end)
      process:on("SIGHUP", print)
      net.setTimeout(function() kill "TERM" kill "HUP" end, 1)
      print((pcall(net.run)))
      net.setTimeout(print, 20, "end")
      print(net.run())
    ]]
    assert.equal("false\nSIGHUP\t1\nend\nfalse\n", output)
  end)
end)

describe("SIGINT", function()
  it("raises in net.run without a listener, is the listener's with one, and raises again after it", function()
    local output = child [[
      local function interrupt(ms) net.setTimeout(function() kill "INT" end, ms) end
      interrupt(1)
      print(pcall(net.run))
      process:on("SIGINT", print)
      interrupt(1)
      net.setTimeout(print, 20, "one")
      print(pcall(net.run))
      process:removeAllListeners "SIGINT"
      interrupt(1)
      print(pcall(net.run))
    ]]
    local result = {}
    for line in output:gmatch "[^\n]+" do result[#result + 1] = line:find "interrupted!" and "interrupted" or line end
    assert.same({"interrupted", "SIGINT\t2", "one", "true\tfalse", "interrupted"}, result)
  end)

  it("changes hands inside net.run", function()
    local output = child [[
      net.setTimeout(function()
        local timer = net.setTimeout(print, 20000) -- a watched signal keeps nothing alive
        process:on("SIGINT", function(...)
          print(...)
          net.clearTimeout(timer)
          net.setImmediate(function() process:removeAllListeners() kill "INT" end)
        end)
        kill "INT"
      end, 1)
      print((pcall(net.run)))
      print(net.run())
    ]]
    assert.equal("SIGINT\t2\nfalse\nfalse\n", output)
  end)

  it("gives lua its own handler back", function()
    local output = child [[
      process:on("SIGINT", print)
      process:removeAllListeners "SIGINT"
      print(select(2, pcall(function() kill "INT" for i = 1, 1e7 do end end)))
    ]]
    assert.truthy(output:find "interrupted!")
  end)
end)

describe("net.process:exit", function()
  it("emits 'exit' with the code, closes the state and exits", function()
    local output, how, code = child [[
      closed = setmetatable({}, {__gc = function() print "closed" end})
      process:on("exit", function(...) print("exit", ...) net.setTimeout(print, 1, "never") end)
      process:exit(3)
      print "never"
    ]]
    assert.equal("exit\t3\nclosed\n", output)
    assert.equal("exit", how)
    assert.equal(3, code)
  end)

  it("has 0 for a default, and takes whole numbers", function()
    local codes = {[""] = 0, ["nil"] = 0, ["5"] = 5, ["5.0"] = 5, ["'5'"] = 5, ["259"] = 3, ["-1"] = 255}
    for given, expected in pairs(codes) do
      local _, _, code = child("process:exit(" .. given .. ")")
      assert.equal(expected, code, given)
    end
    local function code(value)
      local ok, err = pcall(net.process.exit, net.process, value)
      assert.is_false(ok)
      return err.code
    end
    assert.equal("ERR_INVALID_ARG_TYPE", code "x")
    assert.equal("ERR_INVALID_ARG_TYPE", code {})
    assert.equal("ERR_INVALID_ARG_TYPE", code(true))
    assert.equal("ERR_OUT_OF_RANGE", code(1.5))
    assert.equal("ERR_INVALID_THIS", select(2, pcall(net.process.exit)).code)
  end)

  it("works in a callback, in a coroutine, in a signal and in 'exit' itself", function()
    for _, script in ipairs {
      "net.setTimeout(function() process:exit(7) end, 1)",
      "net.setImmediate(function() process:exit(7) end)",
      "net.nextTick(function() process:exit(7) end)",
      "net.setTimeout(coroutine.wrap(function() process:exit(7) end), 1)",
      "coroutine.wrap(function() net.setTimeout(error, 1e6) process:exit(7) end)()",
      "process:on('SIGTERM', function() process:exit(7) end) kill 'TERM' net.setTimeout(error, 1000)",
      "process:on('exit', function() process:exit(7) end) net.setTimeout(function() process:exit(3) end, 1)",
      "pcall(pcall, function() process:exit(7) end)",
    } do
      local output, how, code = child(script .. " net.run() print 'never'")
      assert.equal("", output)
      assert.equal("exit", how)
      assert.equal(7, code)
    end
  end)
end)
