-- Whatever cnet allocates may run the script's finalizers, and these may do to an object what is being done to it: both
-- are to be done.

local finalizers = require "spec.support.finalizers"
local support = require "spec.support"

describe("a finalizer in the middle of", function()
  after_each(support.clean)

  it("a field's setting sets another one", function()
    finalizers.each [[
      local emitter = net.EventEmitter()
      in_finalizer(function() emitter.inner = n end, function() emitter.outer = n end)
      assert(emitter.outer == n and emitter.inner == n, n)
    ]]
  end)

  -- an emitter's first listener, a socket's of 'data', which C keeps apart, and the second, which needs a list
  for made, cases in pairs { ["net.EventEmitter()"] = { other = { 0, 1 } }, ["net.Socket()"] = { data = { 0, 1 } } } do
    for event, befores in pairs(cases) do
      for _, before in ipairs(befores) do
        it(("%s:on('%s') adds a listener, where %d are already"):format(made, event, before), function()
          finalizers.each(([[
            local emitter, event, before = %s, %q, %d
            local heard = {}
            local function listener(name) return function() heard[#heard + 1] = name end end
            for i = 1, before do emitter:on(event, listener(i)) end
            local inner, outer, other = listener "inner", listener "outer", listener "x"
            in_finalizer(function()
              emitter:on(event, inner)
              emitter:on("x", other)
            end, function() emitter:once(event, outer) end)
            emitter:emit(event)
            emitter:emit "x"
            assert(#heard == before + 3, n .. table.concat(heard, " "))
            assert(emitter:listenerCount(event) == before + 1)
            local count = 0
            for _, name in ipairs(emitter:eventNames()) do
              if name == event or name == "x" then count = count + 1 end
            end
            assert(count == 2, table.concat(emitter:eventNames(), " "))
            emitter:removeListener(event, inner)
            assert(emitter:listenerCount(event) == before)
            if emitter.destroy then emitter:destroy() end
          ]]):format(made, event, before))
        end)
      end
    end
  end

  -- what a socket has read, by what the finalizer does; "bc" stands before "d"
  local before = [[
    local function holding(...)
      local socket = net.Socket()
      for i = select("#", ...), 1, -1 do socket:unshift((select(i, ...))) end
      return socket
    end
    local got
    local function read(socket, count)
      local chunk = socket:read(count)
      got[#got + 1] = chunk
    end
    local function check(socket, expected)
      local length = socket.readableLength
      local rest = socket:read() or ""
      assert(#rest == length, length .. " was to be " .. #rest)
      assert(socket.readableLength == 0 and socket:read() == nil)
      socket:destroy()
      local bytes = { (table.concat(got) .. rest):byte(1, -1) }
      table.sort(bytes)
      assert(string.char(table.unpack(bytes)) == expected, n .. ": " .. table.concat(got, " ") .. " " .. rest)
    end
  ]]

  it("unshift() unshifts", function()
    finalizers.each([[
      for _, held in ipairs { "", "c", "cde" } do
        local socket = held == "" and net.Socket() or holding(held, "f")
        got = {}
        if #held == 3 then read(socket, 1) end
        in_finalizer(function() socket:unshift "b" end, function() socket:unshift "a" end)
        check(socket, "ab" .. held .. (held == "" and "" or "f"))
      end
    ]], before)
  end)

  it("unshift() reads all there is", function()
    finalizers.each([[
      for _, count in ipairs { 0, 1 } do
        local socket = holding("cde", "f")
        got = {}
        read(socket, count)
        in_finalizer(function() read(socket) end, function() socket:unshift "ab" end)
        check(socket, "abcdef")
      end
    ]], before)
  end)

  for what, call in pairs {
    ["read(1)"] = "read(socket, 1)",
    ["read(2)"] = "read(socket, 2)",
    ["read(4)"] = "read(socket, 4)",
    ["read(6)"] = "read(socket)",
    ["setEncoding()"] = "socket:setEncoding 'utf8'",
  } do
    it(what .. " reads, sets an encoding, unshifts or destroys", function()
      finalizers.each(([[
        for _, inner in ipairs { "read", "read 1", "setEncoding", "unshift", "destroy" } do
          local socket = holding("abc", "def")
          got = {}
          in_finalizer(function()
            if inner == "read" then
              read(socket)
            elseif inner == "read 1" then
              read(socket, 1)
            elseif inner == "setEncoding" then
              socket:setEncoding "latin1"
            elseif inner == "unshift" then
              socket:unshift "g"
            else
              socket:destroy()
            end
          end, function() %s end)
          check(socket, inner == "unshift" and "abcdefg" or "abcdef")
        end
      ]]):format(call), before)
    end)
  end

  it("pipe() pipes to another one", function()
    finalizers.each [[
      local source = net.Socket()
      local got = {}
      local function destination(name)
        local to = net.EventEmitter()
        function to:write(chunk) got[name] = (got[name] or "") .. chunk return true end
        function to:end_() end
        return to
      end
      local outer, inner = destination "outer", destination "inner"
      in_finalizer(function() source:pipe(inner) end, function() source:pipe(outer) end)
      source:emit("data", "x")
      assert(got.outer == "x" and got.inner == "x", n)
      source:unpipe()
      source:emit("data", "x")
      assert(got.outer == "x" and got.inner == "x", n)
      source:destroy()
    ]]
  end)

  it("destroy() destroys, or is told of once", function()
    finalizers.each [[
      for _, inner in ipairs { "destroy", "destroy with an error", "end_" } do
        local socket = net.Socket()
        local log = ""
        socket:on("error", function(err) log = log .. err.message .. " " end)
        socket:on("close", function(failed) log = log .. "close " end)
        in_finalizer(function()
          if inner == "end_" then
            socket:end_()
          else
            socket:destroy(inner ~= "destroy" and net.Error "E" or nil)
          end
        end, function() socket:destroy(net.Error "E") end)
        net.run()
        assert(log == "E close " or log == "close " and inner == "destroy", inner .. n .. log)
      end
    ]]
  end)

  it("end_() gives a callback too", function()
    finalizers.each [[
      local calls = {}
      local server
      server = net.createServer(function(socket) socket:resume() end)
      server:listen(0, "127.0.0.1", function()
        local client = net.connect(server:address().port, "127.0.0.1")
        client:resume()
        local function note(name) return function() calls[name] = (calls[name] or 0) + 1 end end
        local inner, outer = note "inner", note "outer"
        client:on("connect", function()
          in_finalizer(function() client:end_(inner) end, function() client:end_(outer) end)
        end)
        client:on("close", function() server:close() end)
      end)
      net.run()
      assert(calls.inner == 1 and calls.outer == 1, n)
    ]]
  end)
end)

describe("what was collected", function()
  after_each(support.clean)

  it("does not connect or listen any more: nobody would close its handle", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      do -- finalizers run in the opposite order of their making: those of socket and server are the first
        local older = setmetatable({}, { __gc = function(self)
          print(pcall(self.socket.connect, self.socket, 1))
          print(pcall(self.server.listen, self.server, 0))
        end })
        older.socket, older.server = net.Socket(), net.Server()
      end
      collectgarbage()
      collectgarbage()
      net.run()
      print "over"
    ]]
    assert.matches("^false\t[^\n]*the socket was collected\nfalse\t[^\n]*the server was collected\nover\n$", out)
    assert.same({ "", 0 }, { err, code })
  end)

  it("sends no more messages, when lua_close runs a finalizer that does so", function()
    local name = support.file "exec cat >/dev/null" -- it reads none of the messages, and ends with its parent
    local out, err, code = support.lua({ [[
      local net = require "cnet"
      local child
      local function send(which)
        return setmetatable({}, { __gc = function()
          print(which, child:send "x", child:send(("x"):rep(100000)), child.connected)
        end })
      end
      local older = send "older" -- its finalizer runs after those of the child and its channel
      child = require("cnet.child_process").fork(arg[1], {}, { execPath = arg[2], silent = true })
      for _ = 1, 500 do child:send(("x"):rep(1000)) end -- some of them wait
      local younger = send "younger"
      net.run "nowait"
    ]] }, name, support.sh)
    assert.equal("younger\tfalse\tfalse\ttrue\nolder\tfalse\tfalse\tfalse\n", out)
    assert.same({ "", 0 }, { err, code })
  end)
end)
