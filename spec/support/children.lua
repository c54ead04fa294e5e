-- What the specs of several processes share: children in Lua, sh and Node, what goes over a channel as it stands on the
-- wire, and the proof that none is left.
--
--   local children = require "spec.support.children"
--   after_each(children.clean)

local net = require "cnet"
local child_process = require "cnet.child_process"
local node = require "spec.support.node"
local support = require "spec.support"

local children = {}

-- ---- programs ----

local forked = {}

-- fork, of a file as it is.
function children.start(path, args, options)
  local child = child_process.fork(path, args or {}, options)
  forked[#forked + 1] = child
  return child
end

-- The name of a file with a program in Lua, where `net` and `process` are there, and the cnet under test: in one line,
-- so that the program's own lines keep their numbers.
function children.script(code)
  return support.file(
    ("package.cpath, package.path = %q, %q local net = require 'cnet' local process = net.process; "):format(
      support.absolute(package.cpath), package.path) .. code)
end

-- Forks a program in Lua; net.run() comes after it.
function children.fork(code, args, options)
  return children.start(children.script(code .. "\nnet.run()"), args, options)
end

-- Forks a program of sh, whose channel is descriptor 3. What it starts knows nothing of a sanitizer: ps hangs with one.
function children.sh(code, args, options)
  options = options or {}
  options.execPath = support.sh
  return children.start(support.file("unset LD_PRELOAD; " .. code), args, options)
end

-- Forks a program of Node, which has `net`; no sanitizer, which is for cnet.
function children.node(code, args, options)
  options = options or {}
  options.execPath, options.execArgv = "env", { "-u", "LD_PRELOAD", node.path }
  return children.start(support.file("const net = require('net');" .. code), args, options)
end

-- A child that writes the bytes to its channel as they are, and ends.
function children.writer(bytes, options)
  return children.sh("exec cat <" .. support.file(bytes) .. " >&3", nil, options)
end

-- A child that reads its channel until that ends; the table's `text` is what came.
function children.reader()
  local child = children.sh("exec cat <&3", nil, { silent = true })
  local got = { text = "" }
  child.stdout:on("data", function(chunk) got.text = got.text .. chunk end)
  return child, got
end

-- ---- what comes of them ----

-- All messages of a child until its end, with `n`: nil may be among them.
function children.messages(child)
  local list = { n = 0 }
  child:on("message", function(message)
    list.n = list.n + 1
    list[list.n] = message
  end)
  return list
end

-- All that a readable stream gives, once the loop has ended.
function children.text(stream)
  local pieces = {}
  stream:on("data", function(piece) pieces[#pieces + 1] = piece end)
  return function() return table.concat(pieces) end
end

function children.show(value)
  if type(value) ~= "table" then return tostring(value) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do keys[i] = tostring(key) .. "=" .. children.show(value[key]) end
  return "{" .. table.concat(keys, ",") .. "}"
end

-- Notes the events of a child as they come, of an error its code, with a prefix to their names.
function children.note(child, note, prefix)
  prefix = prefix or ""
  for _, name in ipairs { "spawn", "disconnect", "exit", "close" } do
    child:on(name, function(...) note(prefix .. name, ...) end)
  end
  child:on("error", function(err) note(prefix .. "error", type(err) == "table" and err.code or err) end)
  return child
end

-- The child's events from now on, messages too, each a text of its name and arguments.
function children.watch(child)
  local log, list = support.recorder()
  for _, name in ipairs { "spawn", "error", "exit", "disconnect", "close" } do
    child:on(name, function(...) log(name, ...) end)
  end
  child:on("message", function(message) log("message", children.show(message)) end)
  return list
end

-- ---- what is left of them ----

-- How many sockets are open here, once all that is closed is gone: channels and pipes to children are such.
function children.sockets()
  for _ = 1, 3 do
    collectgarbage()
    net.run "nowait"
  end
  local pipe = assert(io.popen(("ls -l /proc/%d/fd 2>/dev/null | grep -c socket:"):format(net.process.pid)))
  local n = pipe:read "n"
  pipe:close()
  return n
end

local before = children.sockets()

-- support.clean, and no child may be alive, no descriptor be left.
function children.clean()
  local left = {}
  for i, child in ipairs(forked) do
    if child.pid and not child.exitCode and not child.signalCode then
      left[#left + 1] = tostring(child)
      child:removeAllListeners()
      child:on("error", function() end)
      child:kill "SIGKILL"
      child:ref()
      pcall(support.run_until, function() return child.exitCode or child.signalCode end)
    end
    forked[i] = nil
  end
  if #left > 0 then
    support.reset()
    error("children were left: " .. table.concat(left, ", "), 0)
  end
  support.clean()
  local now = children.sockets()
  local more = now - before
  before = now
  if more > 0 then error(("%d descriptors were left"):format(more), 0) end
end

-- The events with 'exit' and 'close' as the last ones: the signal that tells of the end may overtake what is in the
-- channel, and then, as in Node, 'close' comes before 'disconnect'.
function children.settled(events)
  for _, last in ipairs { "exit", "close" } do
    for i, text in ipairs(events) do
      if text:find("^" .. last) then
        table.insert(events, table.remove(events, i))
        break
      end
    end
  end
  return events
end

return children
