-- What the specs of several processes share: children in Lua, sh and Node, what goes over a channel as it stands on the
-- wire, and what the system knows of a process.

local net = require "cnet"
local child_process = require "cnet.child_process"
local support = require "spec.support"

local processes = {}

-- ---- programs ----

-- The name of a file with a program in Lua, where `net` and `process` are there, and the cnet under test.
function processes.script(source)
  return support.file(
    ("package.cpath, package.path = %q, %q local net = require 'cnet' local process = net.process; "):format(
      support.absolute(package.cpath), package.path) .. source)
end

-- Forks a program in Lua.
function processes.lua(source, options, args)
  return child_process.fork(processes.script(source), args or {}, options)
end

-- Forks a program in sh, which finds its channel at descriptor 3.
function processes.sh(source, options, args)
  options = options or {}
  options.execPath = support.sh
  return child_process.fork(support.file(source), args or {}, options)
end

processes.ECHO = [[ process:on("message", function(message) process:send(message) end) net.run() ]]

-- ---- what a channel carries ----

-- A child that writes the bytes to its channel as they are, and ends.
function processes.writer(bytes, options)
  local name = support.file(bytes)
  return processes.sh("exec cat <" .. name .. " >&3", options)
end

-- A child that reads its channel until that ends; the table's `text` is what came.
function processes.reader()
  local child = processes.sh("exec cat <&3", { silent = true })
  local got = { text = "" }
  child.stdout:on("data", function(chunk) got.text = got.text .. chunk end)
  return child, got
end

-- All messages of a child until its end, with `n`: nil may be among them.
function processes.messages(child)
  local list = { n = 0 }
  child:on("message", function(message)
    list.n = list.n + 1
    list[list.n] = message
  end)
  return list
end

-- Notes the events of a child as they come.
function processes.watch(child, note, prefix)
  prefix = prefix or ""
  for _, name in ipairs { "spawn", "disconnect", "exit", "close" } do
    child:on(name, function(...) note(prefix .. name, ...) end)
  end
  child:on("error", function(err) note(prefix .. "error", type(err) == "table" and err.code or err) end)
  return child
end

-- ---- what the system knows ----

local function output_of(command)
  local pipe = assert(io.popen(command))
  local text = pipe:read "a"
  pipe:close()
  return text
end

-- How many sockets a process has open, a channel is one too (this one without pid, once all that is closed is gone).
-- Nothing else: what counts hangs on a pipe, and libuv opens some descriptors when they are first needed.
function processes.sockets(pid)
  for _ = 1, pid and 0 or 3 do
    collectgarbage()
    net.run "nowait"
  end
  return tonumber(output_of(("ls -l /proc/%d/fd | grep -c socket:"):format(pid or net.process.pid)))
end

-- Is there a process of this number that has not ended?
function processes.exists(pid)
  local state = output_of(("sed -n 's/^State:[[:space:]]*//p' /proc/%d/status 2>/dev/null"):format(pid))
  return state ~= "" and not state:find "^[ZX]"
end

function processes.signal(pid, name) os.execute(("kill -%s %d"):format(name, pid)) end

-- Waits, the loop running, until the process has ended.
function processes.wait_for_end(pid)
  local deadline = os.time() + 20
  while processes.exists(pid) and os.time() < deadline do
    net.setTimeout(net.stop, 10)
    net.run()
  end
  assert(not processes.exists(pid), "the process lives on")
end

return processes
