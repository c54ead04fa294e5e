-- What the runner does with specs that fail and hang: each is named as it falls, and none holds the run up for ever.

local support = require "spec.support"

-- What busted says of specs, when a hang is one after 50 ms in the loop and 300 in all. Its lua5.4 is its only process,
-- so that a kill of it is seen here.
local function busted(specs)
  local file = support.file('local support, net = require "spec.support", require "cnet"\n' .. specs, "_spec.lua")
  local command = [[CNET_SPEC_LIMIT=50 exec %s lua5.4 "$(command -v busted)" --ignore-lua --cpath='%s' %s 2>&1]]
  local pipe = assert(io.popen(command:format(support.timeout, support.absolute(package.cpath), file)))
  local text = pipe:read "a"
  local _, how, code = pipe:close()
  if how == "signal" or code > 128 then code = "killed" end
  text = text:gsub(file:gsub("%p", "%%%0"), "FILE"):gsub("0x%x+", "0x")
  return text, code
end

-- The lines of the text that begin with "# ", but the traceback and the details.
local function told(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do
    if line:find "^# this" or line:find "^# busted" or line:find "^# FILE" then lines[#lines + 1] = line end
  end
  return lines
end

describe("a run of the specs", function()
  after_each(support.clean)

  it("names each spec that fails at once, then counts them", function()
    if support.valgrind then return pending "a busted of its own takes too long under valgrind" end
    local text, code = busted [[
      it("is good", function() end)
      it("is wrong", function() assert.equal(1, 2) end)
      it("raises", function() error("oops", 0) end)
      it("leaves something", function()
        finally(support.clean)
        net.setTimeout(print, 1e6)
      end)
      it("is good too", function() end)
    ]]
    assert.matches("^%+\n# FILE:3: is wrong\n# FILE:3: Expected[^+]*\n# %(number%) 1\n%-\n"
      .. "# FILE:4: raises\n# FILE:4: oops\n%*\n"
      .. "# FILE:5: leaves something\n# %./spec[^ ]* the spec left something behind: [^+]*%*%+\n", text)
    assert.matches("\n2 successes / 1 failure / 2 errors / 0 pending ", text)
    assert.not_equal(0, code)
  end)

  it("goes on after a spec that hangs in the loop, in a program or in Lua, and names it", function()
    if support.valgrind then return pending "a busted of its own takes too long under valgrind" end
    local text, code = busted [[
      it("waits in the loop", function()
        net.setInterval(function() end, 1)
        support.run()
      end)
      it("waits for what never comes", function()
        net.setInterval(function() end, 1)
        support.run_until(function() end)
      end)
      it("runs a script that hangs", function() support.lua "while true do end" end)
      it("waits for a program", function() assert(os.execute "sleep 3600; sleep 3600") end)
      it("turns in Lua", function() while true do end end)
      it("is good", function() end)
    ]]
    assert.same({
      "# FILE:2: waits in the loop",
      "# FILE:4: the loop was still running after 50 ms: Timeout (0x)",
      "# FILE:6: waits for what never comes",
      "# FILE:8: what the spec waited for never came: Timeout (0x)",
      "# FILE:10: runs a script that hangs",
      "# FILE:10: the program was still running after 200 ms; it wrote \"\" and \"\"",
      "# this spec hangs: FILE:11: waits for a program (number 5)",
      "# FILE:11: waits for a program",
      "# FILE:11: signal",
      "# this spec hangs: FILE:12: turns in Lua (number 6)",
      "# FILE:12: turns in Lua",
      "# FILE:12: interrupted!",
    }, told(text))
    assert.matches("\n1 success / 1 failure / 4 errors / 0 pending ", text)
    assert.not_equal(0, code)
  end)

  it("is ended by a spec that hangs in C, or that ends the process, and names it", function()
    if support.valgrind then return pending "a busted of its own takes too long under valgrind" end
    local text, code = busted [[
      it("turns in C", function() ("a"):rep(60):find(("a*"):rep(40) .. "b") end)
      it("is never seen", function() end)
    ]]
    assert.same({
      "# this spec hangs: FILE:2: turns in C (number 2)",
      "# this spec hangs, and nothing but a kill ends it: FILE:2: turns in C (number 2)",
    }, told(text))
    assert.equal("killed", code)
    text, code = busted [[ it("exits", function() os.exit(7) end) ]]
    assert.same({ "# busted ended in the middle of: FILE:2: exits (number 2)" }, told(text))
    assert.equal(7, code)
  end)
end)
