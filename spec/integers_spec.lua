-- Numbers of a script, or of another process, that are more than a narrow integer holds: sizes, counters, descriptors,
-- ports, positions. None of them may become another number on its way.
local net = require "cnet"
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

describe("a handle", function()
  for _, count in ipairs {300, 70000} do
    it(("is shared by %d servers, and freed after the last"):format(count), function()
      local out, err, code, signal = support.lua([[
        local net = require "cnet"
        local count, closed, connected = math.tointeger(arg[1]), 0, 0
        local servers = {net.createServer():listen(0)}
        for i = 2, count do
          servers[i] = net.createServer(function(socket) connected = connected + 1 socket:end_() end):listen(servers[1])
        end
        for i = 1, count do servers[i]:on("close", function() closed = closed + 1 end) end
        net.connect(servers[count]:address().port, "127.0.0.1"):on("close", function()
          servers[1]:close()
          net.setTimeout(function() -- in a later turn: libuv has closed it
            for i = 2, count do servers[i]:close() end
          end, 1)
        end):resume()
        net.run()
        print(closed, connected)
      ]], count)
      assert.same({count .. "\t1\n", "", 0, nil}, {out, err, code, signal})
    end)
  end

  it("is closed once if its many servers are collected", function()
    local server = net.createServer():listen(0)
    for _ = 1, 300 do net.createServer():listen(server) end
    net.run "nowait"
    collectgarbage()
    collectgarbage()
    local heard
    net.connect(server:address().port):on("close", function(failed) heard = failed server:close() end):destroySoon()
    support.run()
    assert.is_false(heard)
  end)
end)
