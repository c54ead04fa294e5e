-- server:pause() and resume(): who is not taken from the kernel, and when.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"
local clusters = require "spec.support.clusters"

local HOST = "127.0.0.1"

after_each(support.clean)

-- Connects to the server; what comes is noted, with the name.
local function visit(server, note, name)
  local target = sockets.address_of(server)
  local client = net.connect(target)
  client:on("connect", function() note(name .. " connected") end)
  client:on("data", function(chunk) note(name .. " got " .. chunk) end)
  client:on("error", function(err) note(name .. " " .. err.code) end)
  client:on("close", function() note(name .. " closed") end)
  return client
end

-- Goes on until nothing more happens, though something is alive.
local function settle()
  for _ = 1, 20 do net.run "nowait" end
end

local function count_of(list, text)
  local n = 0
  for _, entry in ipairs(list) do if entry == text then n = n + 1 end end
  return n
end

for kind, where in pairs(sockets.kinds) do
  describe("a paused server, " .. kind, function()
    it("takes nobody until it resumes, and then all who wait, outside of the call", function()
      local note, log = support.recorder()
      local server = sockets.server(function(socket)
        note "connection"
        socket:end_ "hi"
      end, where())
      assert.equal(server, server:pause())
      for i = 1, 3 do visit(server, note, "c" .. i) end
      settle()
      assert.equal(0, count_of(log, "connection"))
      assert.is_true(server.listening)
      assert.is_true(net.run "nowait") -- it keeps the loop alive
      server:getConnections(function(_, n) note("count " .. n) end)
      settle()
      assert.equal(1, count_of(log, "count 0"))
      net.setImmediate(function()
        assert.equal(server, server:resume())
        note "resumed"
        assert.equal(0, count_of(log, "connection"))
      end)
      support.run_until(function() return count_of(log, "connection") == 3 end)
      server:close()
      support.run()
      for i = 1, 3 do assert.equal(1, count_of(log, "c" .. i .. " got hi")) end
    end)

    it("was paused before it listened, and stays so over close and listen", function()
      local note, log = support.recorder()
      local server = net.createServer(function(socket)
        note "connection"
        socket:destroy()
      end):pause():pause()
      for _ = 1, 2 do
        server:listen(where())
        sockets.wait(function() return server.listening end)
        settle()
        visit(server, note, "c")
        settle()
        assert.equal(0, count_of(log, "connection"))
        server:close()
        settle()
      end
      assert.equal(2, count_of(log, "c closed")) -- the kernel's, and the one in hand
      server:resume()
      server:listen(where())
      sockets.wait(function() return server.listening end)
      visit(server, note, "last")
      support.run_until(function() return count_of(log, "connection") == 1 end)
      server:close()
      support.run()
    end)
  end)
end

describe("a paused server", function()
  it("that is paused in 'connection' has taken one, and leaves the rest", function()
    local note, log = support.recorder()
    local server
    server = sockets.server(function(socket)
      note "connection"
      server:pause()
      socket:end_ "hi"
    end)
    for i = 1, 4 do visit(server, note, "c" .. i) end
    for n = 1, 4 do
      support.run_until(function() return count_of(log, "connection") == n end)
      settle()
      assert.equal(n, count_of(log, "connection"))
      server:resume()
    end
    server:close()
    support.run()
  end)

  it("that resumes and pauses again at once still takes nobody", function()
    local note, log = support.recorder()
    local server = sockets.server(function(socket) note "connection" socket:destroy() end)
    server:pause()
    visit(server, note, "c")
    settle()
    server:resume():pause()
    settle()
    assert.equal(0, count_of(log, "connection"))
    server:resume()
    support.run_until(function() return count_of(log, "connection") == 1 end)
    server:close()
    support.run()
  end)

  it("keeps the loop alive only if it is ref'd, and is closed with one in hand", function()
    local note, log = support.recorder()
    local server = sockets.server(function() note "connection" end)
    server:pause()
    visit(server, note, "c")
    settle()
    server:unref()
    server:close(function() note "server closed" end)
    server:resume()
    support.run()
    assert.equal(1, count_of(log, "server closed"))
    assert.equal(1, count_of(log, "c closed"))
    assert.equal(0, count_of(log, "connection"))
    server = net.createServer():pause():unref():listen(0, HOST)
    assert.is_false(net.run "nowait")
    server:close()
    support.run()
  end)

  it("is no other than one that stopped in between: the client in hand waits for both", function()
    local note, log = support.recorder()
    local server = sockets.server(function(socket) note "connection" socket:destroy() end)
    server:pause()
    local client = visit(server, note, "c")
    client:once("connect", function() net.stop() end)
    net.run()
    net.setImmediate(function()
      server:resume()
      net.stop()
    end)
    net.run()
    assert.equal(0, count_of(log, "connection"))
    support.run_until(function() return count_of(log, "connection") == 1 end)
    server:close()
    support.run()
  end)

  it("goes on to count, drop and refuse when it resumes", function()
    local note, log = support.recorder()
    local server = sockets.server(function() note "connection" end)
    server:on("drop", function(info) note("drop " .. info.reason) end)
    server.maxConnections = 1
    server:pause()
    for i = 1, 3 do visit(server, note, "c" .. i) end
    settle()
    server:resume()
    support.run_until(function() return count_of(log, "drop maxConnections") == 2 end)
    assert.equal(1, count_of(log, "connection"))
    server:close():closeAllConnections()
    support.run()
  end)

  it("that shares a handle takes clients until all of its holders are paused", function()
    local note, log = support.recorder()
    local function on_connection(socket)
      note "connection"
      socket:destroy()
    end
    local first = sockets.server(on_connection)
    local second = net.createServer(on_connection):listen(first)
    settle()
    first:pause()
    visit(first, note, "a")
    support.run_until(function() return count_of(log, "connection") == 1 end)
    second:pause()
    visit(first, note, "b")
    settle()
    assert.equal(1, count_of(log, "connection"))
    first:resume() -- the client comes to the second: the last one to listen has them all, as ever
    support.run_until(function() return count_of(log, "connection") == 2 end)
    first:pause()
    visit(first, note, "c")
    settle()
    assert.equal(2, count_of(log, "connection"))
    local third = net.createServer(on_connection):listen(first) -- is not paused
    support.run_until(function() return count_of(log, "connection") == 3 end)
    for _, server in ipairs { first, second, third } do server:close() end
    support.run()
  end)

  it("survives many turns, with clients that come and go", function()
    local served, left = 0, 60
    local server
    server = sockets.server(function(socket)
      served = served + 1
      socket:on("error", function() end)
      socket:end_ "x"
      server:pause()
      net.setImmediate(function() server:resume() end)
    end)
    for _ = 1, left do
      local client = net.connect(server:address().port, HOST)
      client:on("error", function() end):resume()
      client:on("close", function()
        left = left - 1
        if left == 0 then server:close() end
      end)
    end
    support.run()
    assert.equal(60, served)
  end)

  it("keeps the client in hand when another server begins to listen with its handle", function()
    local note, log = support.recorder()
    local a = sockets.server(function() note "to a" end)
    a:pause()
    local clients = { visit(a, note, "c1") }
    settle()
    local b = net.createServer(function(socket) note "to b" socket:end_ "hi" end):pause()
    b:listen(a)
    clients[2] = visit(a, note, "c2")
    settle()
    assert.equal(0, count_of(log, "to a") + count_of(log, "to b"))
    b:resume()
    support.run_until(function() return count_of(log, "to b") == 2 end)
    a:close()
    b:close()
    support.run()
    assert.equal(0, count_of(log, "to a"))
    for i = 1, #clients do assert.equal(1, count_of(log, "c" .. i .. " got hi")) end
  end)

  it("pauses also after the other holder of its handle was collected", function()
    local note, log = support.recorder()
    local a = sockets.server()
    local target = sockets.address_of(a)
    local b = net.createServer(function(socket) note "to b" socket:end_() end)
    b:listen(a)
    sockets.wait(function() return b.listening end)
    a = nil -- luacheck: ignore
    collectgarbage()
    collectgarbage()
    b:pause()
    local client = net.connect(target):on("error", function() end):resume()
    settle()
    assert.same({}, log)
    client:on("close", function() note "closed" end)
    b:resume()
    support.run_until(function() return #log == 2 end)
    b:close()
    support.run()
    assert.same({ "to b", "closed" }, log)
  end)
end)

-- ---- in a cluster ----

-- Says its name to each client; pauses and resumes when it is told to, and says so.
local WORKER = [[
  local name = "w" .. cluster.worker.id
  local server = net.createServer(function(socket)
    socket:on("error", function() end)
    socket:end_(name)
  end)
  if os.getenv "PAUSED" then server:pause() end
  net.process:on("message", function(message)
    if type(server[message]) == "function" then
      server[message](server)
      say(message .. "d")
    end
  end)
  server:listen { port = 0, host = "127.0.0.1" }
]]

-- Opens n connections at once; each(answer, how many there were).
local GET_ALL = [[
  local answers, got = 0, {}
  local function get_all(n, port, each)
    for _ = 1, n do
      get(port, function(text)
        answers = answers + 1
        got[text] = (got[text] or 0) + 1
        each(text, answers)
      end)
    end
  end
]]

describe("a paused server in a worker", function()
  it("leaves its clients to the others", function()
    assert.same({ "{w2=20}", "true" }, clusters.run(WORKER, GET_ALL .. [[
      local first = cluster.fork()
      cluster.fork()
      local port
      first:on("message", function(message)
        if message == "paused" then
          get_all(20, port, function(_, n)
            if n < 20 then return end
            say(got)
            first:send "resume"
          end)
        else
          get_many(4, port, function(more)
            say(more.w1 == 2)
            cluster.disconnect()
          end)
        end
      end)
      listening(2, function(address)
        port = address.port
        first:send "pause"
      end)
    ]]))
  end)

  it("leaves its clients to the others without round robin too, but for one that it has in hand", function()
    assert.same({ "30" }, clusters.run(WORKER, GET_ALL .. [[
      local first = cluster.fork()
      cluster.fork()
      local port
      first:on("message", function(message)
        if message ~= "paused" then return end
        get_all(30, port, function(_, n)
          if n == 29 then first:send "resume" end
          if n < 30 then return end
          say(n)
          cluster.disconnect()
        end)
      end)
      listening(2, function(address)
        port = address.port
        first:send "pause"
      end)
    ]], { policy = "none" }))
  end)

  it("was paused before it listened", function()
    assert.same({ "{w2=10}" }, clusters.run(WORKER, GET_ALL .. [[
      cluster.fork { PAUSED = "1" }
      listening(1, function()
        cluster.fork()
        listening(1, function(address)
          get_all(10, address.port, function(_, n)
            if n < 10 then return end
            say(got)
            cluster.disconnect()
          end)
        end)
      end)
    ]]))
  end)

  it("makes the primary take nobody while all of them are paused, and everybody after that", function()
    assert.same({ "0", "10 true" }, clusters.run(WORKER, GET_ALL .. [[
      local workers = { cluster.fork(), cluster.fork() }
      local port
      local paused, resumed = 0, false
      local function ask(word) for _, worker in ipairs(workers) do worker:send(word) end end
      cluster:on("message", function(_, message)
        if message ~= "paused" then return end
        paused = paused + 1
        if paused < 2 then return end
        local before = fds()
        get_all(10, port, function(_, n)
          assert(resumed)
          if n < 10 then return end
          say(n, (got.w1 or 0) + (got.w2 or 0) == 10)
          cluster.disconnect()
        end)
        local function later(turns, fn)
          if turns == 0 then return fn() end
          net.setImmediate(function() later(turns - 1, fn) end)
        end
        later(50, function()
          -- ten clients of our own, and the one in hand; the kernel has the others
          say(math.max(0, fds() - before - 11))
          resumed = true
          ask "resume"
        end)
      end)
      listening(2, function(address)
        port = address.port
        ask "pause"
      end)
    ]]))
  end)

  it("may end: the others have its clients, and the primary those that come next", function()
    assert.same({ "{w2=10}" }, clusters.run(WORKER, GET_ALL .. [[
      local first = cluster.fork()
      local port
      first:on("message", function()
        get_all(10, port, function(_, n)
          if n < 10 then return end
          say(got)
          cluster.disconnect()
        end)
        net.setImmediate(function() cluster.fork() end)
        listening(1, function() first:kill "SIGKILL" end)
      end)
      listening(1, function(address)
        port = address.port
        first:send "pause"
      end)
    ]]))
  end)

  it("closes, and another one has what it did not take", function()
    assert.same({ "{w2=10}" }, clusters.run(WORKER, GET_ALL .. [[
      local first, second = cluster.fork(), nil
      local port
      first:on("message", function(message)
        if message ~= "paused" then return end
        get_all(10, port, function(_, n)
          if n < 10 then return end
          say(got)
          cluster.disconnect()
        end)
        second = cluster.fork()
        second:on("listening", function() first:send "close" end)
      end)
      listening(1, function(address)
        port = address.port
        first:send "pause"
      end)
    ]]))
  end)
end)
