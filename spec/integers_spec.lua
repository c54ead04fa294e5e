-- Numbers of a script, or of another process, that are more than a narrow integer holds: sizes, counters, descriptors,
-- ports, positions. None of them may become another number on its way.
local support = require "spec.support"
local huge = require "spec.support.huge"

after_each(support.clean)

-- Runs a program with strings of more than 4 GiB; returns what it wrote, or nil where it cannot be.
local function with_huge_strings(script, ...)
  local module, why = huge.module()
  if not module then return nil, why end
  local out, err, code, signal = support.lua(huge.program .. script, module, ...)
  assert.same({"", 0, nil}, {err, code, signal})
  if out == huge.NO_MEMORY then return nil, out end
  return out
end

describe("a string of more than 4 GiB", function()
  it("is written whole", function()
    local out, why = with_huge_strings([[
      local net = require "cnet"
      local text, got, last = huge("head", 4, ("x"):rep(1000)), 0, nil
      print(#text == (1 << 32) + 1000)
      local server
      server = net.createServer(function(socket)
        socket:on("data", function(data) got, last = got + #data, data end)
        socket:on("end", function()
          print("got", got == #text and "all" or got, last:sub(-1000) == ("x"):rep(1000))
          server:close()
        end)
      end)
      server:listen(arg[2], function()
        local client = net.connect(arg[2])
        print("taken", client:write(text, function(err)
          print("written", err, client.bytesWritten == #text, client.writableLength)
          client:end_()
        end), client.writableLength == #text)
      end)
      net.run()
    ]], support.path())
    if not out then return pending(why) end
    assert.equal("true\ntaken\tfalse\ttrue\nwritten\tnil\ttrue\t0\ngot\tall\ttrue\n", out)
  end)
end)
