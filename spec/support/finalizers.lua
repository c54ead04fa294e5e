-- What the script's finalizers do in the middle of a call of cnet's, wherever it allocates.

local assert = require "luassert"

local support = require "spec.support"

local finalizers = {}

-- Runs the script for n = 1, 2 ... in a program of its own. `in_finalizer(act, fn)` calls act in a finalizer that runs
-- at the n-th allocation inside fn, or after fn, if there are not so many in any of the script's: then the script has
-- run for the last time. `before` is what comes first, once. Under valgrind, where a child takes seconds, it does not
-- try each n.
function finalizers.each(script, before)
  local out, err, code = support.lua([[
    local net = require "cnet"
    collectgarbage("incremental", 4, 100, 1) -- a step for each allocation, which runs ten finalizers, or twenty
    local STEP <const> = ]] .. (support.valgrind and 5 or 1) .. [[

    local n, more = 1 - STEP, true
    local function in_finalizer(act, fn)
      local inside, begun, count = false, false, 0
      local metatable = { __gc = function()
        begun = true
        if not inside then return end
        count = count + 1
        if count == 10 * n - 9 then act() end
      end }
      collectgarbage "stop"
      for _ = 1, 1000 do setmetatable({}, metatable) end
      repeat collectgarbage "step" until begun
      collectgarbage "restart"
      inside = true
      fn()
      inside = false
      collectgarbage()
      if count >= 10 * n - 9 then more = true else act() end
    end
    ]] .. (before or "") .. [[
    while more do
      n, more = n + STEP, false
      ]] .. script .. [[
      net.run()
    end
    print(n > 1 or "no finalizer ran")
  ]], support.sh)
  assert.same({ "true\n", "", 0 }, { out, err, code })
end

return finalizers
