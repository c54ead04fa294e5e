-- What the specs share: a run of the loop that cannot hang, event logs, socket paths, programs of their own, and the
-- proof that nothing is left behind.
--
--   local support = require "spec.support"
--   after_each(support.clean)

local limits = require "spec.support.limits"
local net = require "cnet"

local support = {}

local names = {} -- temporary files to remove

-- ---- what is alive ----

local pins

-- The runtime's table of what libuv can still call: the one in the registry that holds a fresh immediate.
local function find_pins()
  local probe = net.setImmediate(function() end)
  for key, value in pairs(debug.getregistry()) do
    if math.type(key) == "integer" and type(value) == "table" then
      for _, pinned in next, value do
        if rawequal(pinned, probe) then pins = value end
      end
    end
  end
  net.clearImmediate(probe)
  return assert(pins, "the runtime's pins are not in the registry")
end

-- A list of all that is pinned: open handles, requests in flight, active timers.
function support.pinned()
  local list = {}
  for _, object in pairs(pins or find_pins()) do list[#list + 1] = object end
  return list
end

local function describe_pins(list)
  local texts = {}
  for i, object in ipairs(list) do
    local text = tostring(object) -- a string is pinned while it is written, however long it is
    texts[i] = #text > 60 and ("%s... (%d bytes)"):format(text:sub(1, 60), #text) or text
  end
  table.sort(texts)
  return #texts == 0 and "nothing pinned" or table.concat(texts, ", ")
end

local function call(object, name, ...)
  local found, method = pcall(function() return object[name] end)
  if found and type(method) == "function" then pcall(method, object, ...) end
end

-- Closes all that is open, so that one failing spec does not take the next ones with it. A name lookup that a thread
-- has begun must come to its end first.
function support.reset()
  local deadline = os.time() + 10
  repeat
    for _, object in ipairs(support.pinned()) do
      if type(object) == "userdata" then
        call(object, "removeAllListeners")
        pcall(net.clearTimeout, object)
        pcall(net.clearImmediate, object)
        call(object, "destroy")
        call(object, "close")
        call(object, "kill", "SIGKILL")
      end
    end
    local ok, alive = pcall(net.run, "nowait")
  until ok and not alive and #support.pinned() == 0 or os.time() > deadline
end

-- Fails unless all is over: nothing keeps the loop alive, nothing is pinned. Removes the files of support.path.
function support.clean()
  for i = #names, 1, -1 do
    os.remove(names[i])
    names[i] = nil
  end
  local ok, alive = pcall(net.run, "nowait")
  collectgarbage()
  collectgarbage()
  local left = support.pinned()
  if ok and not alive and #left == 0 then return end
  local why = not ok and "the loop raised " .. tostring(alive)
    or ("the loop is %s, %s"):format(alive and "alive" or "not alive", describe_pins(left))
  support.reset()
  error("the spec left something behind: " .. why, 0)
end

-- ---- running ----

-- net.run("default", handler), but a loop that goes on for limit milliseconds fails the spec. Returns and raises what
-- net.run does.
function support.run(limit, handler)
  limit = limit or limits.loop
  local fired, watchdog
  watchdog = net.setTimeout(function()
    net.clearTimeout(watchdog)
    fired = describe_pins(support.pinned())
    net.stop()
  end, limit):unref()
  local result = table.pack(pcall(net.run, handler))
  net.clearTimeout(watchdog)
  if fired then
    support.reset()
    error(("the loop was still running after %d ms: %s"):format(limit, fired), 2)
  end
  if not result[1] then error(result[2], 0) end
  return table.unpack(result, 2, result.n)
end

-- Runs the loop until done() is true, however much else keeps it alive.
function support.run_until(done, limit)
  local waiting = true
  local watchdog = net.setTimeout(function() waiting = false end, limit or limits.loop):unref()
  local ok, err = pcall(function()
    while waiting and not done() and net.run "once" do end
  end)
  net.clearTimeout(watchdog)
  if not ok then error(err, 0) end
  if not done() then
    local left = describe_pins(support.pinned())
    support.reset()
    error("what the spec waited for never came: " .. left, 2)
  end
end

-- Returns log, list: log(...) appends its arguments, as texts with a blank between them, to the list.
function support.recorder()
  local list = {}
  return function(...)
    local texts = table.pack(...)
    for i = 1, texts.n do texts[i] = tostring(texts[i]) end
    list[#list + 1] = table.concat(texts, " ", 1, texts.n)
  end, list
end

-- The value that fn(...) raises; fails if it raises none.
function support.caught(fn, ...)
  local result = table.pack(pcall(fn, ...))
  if result[1] then error("an error was expected", 2) end
  return result[2]
end

-- ---- outside ----

-- A path for a Unix socket where nothing is. support.clean removes what the spec leaves there.
function support.path()
  local base = os.tmpname() -- stays until the end: nobody else gets this name
  names[#names + 1] = base
  names[#names + 1] = base .. ".sock"
  return base .. ".sock"
end

-- The name of a new file with the text in it; the name ends with the suffix, if any. support.clean removes it.
function support.file(text, suffix)
  local name = os.tmpname()
  names[#names + 1] = name
  if suffix then
    name = name .. suffix
    names[#names + 1] = name
  end
  local file = assert(io.open(name, "wb"))
  file:write(text)
  file:close()
  return name
end

-- Does a file of this name exist (a socket too)?
function support.exists(path) return (os.rename(path, path)) == true end

-- Are we under valgrind? It counts as lost what a program leaves that ends abruptly, Lua's own memory too.
support.valgrind = (os.getenv "LD_PRELOAD" or ""):find "vgpreload" ~= nil
-- A shell; valgrind is told to leave bash alone.
support.sh = support.valgrind and "bash" or "sh"

-- What may stand before a program's name: a variable, another handling of a signal ...
support.prefix = { sigpipe = "env --default-signal=PIPE" }

local function quote(text) return "'" .. tostring(text):gsub("'", "'\\''") .. "'" end

-- What stands before a command that may hang: it is killed after as long as a program may take, and says so on stderr.
support.timeout = ("timeout -v -s KILL %.3f "):format(limits.program / 1000)

-- Fails if that happened; err is what the command wrote to stderr, out what it wrote to stdout.
function support.check_timeout(err, out)
  local own, count = err:gsub("timeout: sending signal KILL[^\n]*\n", "")
  if count == 0 then return end
  error(("the program was still running after %d ms; it wrote %q and %q"):format(limits.program, out, own), 3)
end

local function take(name)
  local file = assert(io.open(name, "rb"))
  local text = file:read "a"
  file:close()
  os.remove(name)
  return text
end

-- The same search path for a program that is started in another folder.
function support.absolute(path)
  local pipe = assert(io.popen "pwd")
  local here = pipe:read "l"
  pipe:close()
  return (path:gsub("[^;]+", function(template)
    return template:find "^/" and template or here .. "/" .. template
  end))
end

-- Runs a script as a program of its own, where `cnet` is the one under test and `arg` the further arguments.
-- Returns what it wrote to stdout and to stderr, its exit code, or nil and the number of the signal that ended it.
-- `script` may be a table: { script, prefix = "env NAME=value", input = "text for stdin" }.
function support.lua(script, ...)
  local options = type(script) == "table" and script or { script }
  local base = os.tmpname()
  local out, err, source, input = base .. ".out", base .. ".err", base .. ".lua", base .. ".in"
  local file = assert(io.open(source, "wb"))
  -- one line, so that the script's own lines keep their numbers
  file:write("package.cpath = ", ("%q"):format(support.absolute(package.cpath)), " ", options[1])
  file:close()
  file = assert(io.open(input, "wb"))
  file:write(options.input or "")
  file:close()
  local words = { "exec", options.prefix or "", support.timeout, "lua5.4", quote(source) }
  for i = 1, select("#", ...) do words[#words + 1] = quote((select(i, ...))) end
  local command = ("%s <%s >%s 2>%s"):format(table.concat(words, " "), quote(input), quote(out), quote(err))
  local _, how, code = os.execute(command)
  os.remove(source)
  os.remove(input)
  os.remove(base)
  local signal
  if how == "signal" then
    signal, code = code, nil
  elseif code > 128 then -- how `timeout` passes it on
    signal, code = code - 128, nil
  end
  out, err = take(out), take(err)
  support.check_timeout(err, out)
  return out, err, code, signal
end

-- The path of a shared library made from C text, or nil and why there is none. support.clean removes it.
function support.compile(text, flags)
  local base = support.path()
  if support.valgrind then return nil, "valgrind would check the compiler too" end
  local file = assert(io.open(base .. ".c", "w"))
  file:write(text)
  file:close()
  local command = "LD_PRELOAD= cc -shared -fPIC %s -o %s %s.c 2>/dev/null"
  local built = os.execute(command:format(flags or "", base, base))
  os.remove(base .. ".c")
  if built then return base end
  return nil, "no C compiler, or no headers"
end

return support
