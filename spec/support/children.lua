-- What the specs of fork and of messages share: children in Lua, sh and Node, and the proof that none is left.
--
--   local children = require "spec.support.children"
--   after_each(children.clean)

local net = require "cnet"
local child_process = require "cnet.child_process"
local support = require "spec.support"

local children = {}

local forked = {}

-- Does the file of the module as seen from another folder.
local function absolute_cpath()
  local path = assert(package.searchpath("cnet", package.cpath))
  if path:find "^/" then return path end
  local pipe = assert(io.popen "pwd")
  local here = pipe:read "l"
  pipe:close()
  return here .. "/" .. path
end

-- What stands before a Lua child's script, in one line so that the script's own lines keep their numbers.
children.prelude = ("package.cpath = %q; local net = require 'cnet'; local process = net.process; "):format(
  absolute_cpath())

-- The sockets among this process's descriptors: channels and pipes to children are such.
function children.sockets()
  local pipe = assert(io.popen("ls -l /proc/" .. net.process.pid .. "/fd 2>&1 | grep -c socket:"))
  local n = pipe:read "n"
  pipe:close()
  return n
end

local before = children.sockets()

-- A new file with the text; children.clean removes it.
function children.file(text)
  local path = support.path():gsub("%.sock$", "")
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
  return path
end

-- fork, of a file as it is.
function children.start(path, args, options)
  local child = child_process.fork(path, args or {}, options)
  forked[#forked + 1] = child
  return child
end

-- Forks a Lua program of this code, which has `net` and `process`; net.run() comes after it.
function children.fork(code, args, options)
  return children.start(children.file(children.prelude .. code .. "\nnet.run()"), args, options)
end

-- Forks a program of sh, whose channel is descriptor 3. What it starts knows nothing of a sanitizer: ps hangs with one.
function children.sh(code, args, options)
  options = options or {}
  options.execPath = support.sh
  return children.start(children.file("unset LD_PRELOAD; " .. code), args, options)
end

-- Forks a program of Node, which has `net`; no sanitizer, which is for cnet.
function children.node(code, args, options)
  options = options or {}
  options.execPath, options.execArgv = "env", { "-u", "LD_PRELOAD", "node" }
  return children.start(children.file("const net = require('net');" .. code), args, options)
end

function children.show(value)
  if type(value) ~= "table" then return tostring(value) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = key end
  table.sort(keys, function(a, b) return tostring(a) < tostring(b) end)
  for i, key in ipairs(keys) do keys[i] = tostring(key) .. "=" .. children.show(value[key]) end
  return "{" .. table.concat(keys, ",") .. "}"
end

-- The child's events from now on, each a text of its name and arguments.
function children.watch(child)
  local log, list = support.recorder()
  for _, name in ipairs { "spawn", "error", "exit", "disconnect", "close" } do
    child:on(name, function(...) log(name, ...) end)
  end
  child:on("message", function(message) log("message", children.show(message)) end)
  return list
end

-- The messages alone.
function children.messages(child)
  local list = {}
  child:on("message", function(message) list[#list + 1] = message end)
  return list
end

-- All that a readable stream gives, once the loop has ended.
function children.text(stream)
  local pieces = {}
  stream:on("data", function(piece) pieces[#pieces + 1] = piece end)
  return function() return table.concat(pieces) end
end

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

return children
