-- busted's helper (see .busted). It prints a spec that fails at the moment it does, so that a run that is cut short has
-- told what it knew, and starts watch.sh, which names and interrupts a spec that hangs where no timer of the loop can:
-- in a loop of Lua or C, or waiting for a program.

local busted = require "busted"
local limits = require "spec.support.limits"

local state = os.tmpname() -- names the spec that is running; gone once all are over
local started = 0

local function write_state(text)
  local file = assert(io.open(state, "w"))
  file:write(text, "\n")
  file:close()
end

-- "spec/x_spec.lua:12: the outer name the inner name"
local function title(element)
  if element.descriptor == "file" then return element.name end
  local names, context = {}, element
  while context and context.descriptor ~= "file" and (context.name or context.descriptor) do
    table.insert(names, 1, context.name or context.descriptor)
    context = busted.parent(context)
  end
  local trace = element.trace or {}
  return ("%s:%s: %s"):format(trace.short_src or "?", trace.currentline or "?", table.concat(names, " "))
end

local function report(element, _, message)
  if type(message) == "table" then message = message.message or message end
  io.write(("\n%s\n%s\n"):format(title(element), tostring(message)):gsub("\n(.)", "\n# %1"), "")
  io.flush()
  return nil, true -- let the others hear of it too
end

local function note(element)
  started = started + 1 -- two specs of the same name are not the same spec
  write_state(("%s (number %d)"):format(title(element), started))
  return nil, true
end

busted.subscribe({ "file", "start" }, note) -- what stands outside of specs may hang as well
busted.subscribe({ "test", "start" }, note)
busted.subscribe({ "failure" }, report)
busted.subscribe({ "error" }, report)
busted.subscribe({ "exit" }, function()
  os.remove(state)
  return nil, true
end)

write_state "" -- not yet begun
local interval = math.min(0.5, limits.spec / 6000) -- in seconds
-- No sanitizer in the shell, and nothing that would keep busted's own descriptors.
os.execute(("LD_PRELOAD= bash spec/support/watch.sh $PPID '%s' %.3f %d </dev/null &"):format(
  state, interval, math.ceil(limits.spec / 1000 / interval)))
