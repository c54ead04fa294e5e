-- How a cluster's connections get to its workers, and that none gets lost on the way.

local support = require "spec.support"
local clusters = require "spec.support.clusters"

after_each(support.clean)

-- Says which worker it is; MAX is its maxConnections, and then clients stay until they go.
local GREETER = [[
  local max = tonumber(os.getenv "MAX")
  local server = net.createServer(function(socket)
    socket:on("error", function() end)
    if max then socket:write("w" .. cluster.worker.id) else socket:end_("w" .. cluster.worker.id) end
  end)
  server.maxConnections = max
  server:on("drop", function() say "drop" end)
  server:listen { port = 0, host = "127.0.0.1" }
]]

describe("round robin", function()
  it("takes the workers in turn", function()
    assert.same({ "{w1=5,w2=5,w3=5}" }, clusters.run(GREETER, [[
      for _ = 1, 3 do cluster.fork() end
      listening(3, function(address)
        get_many(15, address.port, function(got)
          say(got)
          cluster.disconnect()
        end)
      end)
    ]]))
  end)

  it("serves many at once, more than there are workers", function()
    assert.same({ "300 true" }, clusters.run(GREETER, [[
      for _ = 1, 2 do cluster.fork() end
      listening(2, function(address)
        local left, got = 300, {}
        for _ = 1, 300 do
          get(address.port, function(text)
            got[text] = (got[text] or 0) + 1
            left = left - 1
            if left == 0 then
              say(got.w1 + got.w2, got.w1 > 50 and got.w2 > 50)
              cluster.disconnect()
            end
          end)
        end
      end)
    ]]))
  end)

  it("offers what a full worker refuses to another one, and waits with what all refuse", function()
    assert.same({ "{w1=1,w2=3}", "0", "{w1=2,w2=4}" }, clusters.run(GREETER, [[
      local clients, got, names, last = {}, {}, 0, nil
      hear()
      cluster.fork { MAX = 1 }
      cluster.fork { MAX = 3 }
      local function on_name(name, address)
        names = names + 1
        got[name] = (got[name] or 0) + 1
        if names == 4 then
          say(got)
          for i = 5, 6 do -- nobody has room for them
            clients[i] = net.connect(address.port, "127.0.0.1")
            clients[i]:on("data", function(chunk) on_name(chunk, address) end)
          end
          net.setTimeout(function()
            say(clients[5].bytesRead + clients[6].bytesRead)
            for i = 1, 4 do clients[i]:destroy() end
          end, 100)
        elseif names == 6 then
          -- both get the places in any order; the sum is what counts
          say { w1 = 2, w2 = 4, other = got.w1 + got.w2 ~= 6 or nil }
          for i = 5, 6 do clients[i]:destroy() end
          cluster.disconnect()
        end
      end
      listening(2, function(address)
        for i = 1, 4 do
          clients[i] = net.connect(address.port, "127.0.0.1")
          clients[i]:on("data", function(chunk) on_name(chunk, address) end)
        end
      end)
    ]]))
  end)

  it("does not turn in circles while all workers are full #timing", function()
    local lines = clusters.run(GREETER, [[
      cluster.fork { MAX = 1 }
      listening(1, function(address)
        local first = net.connect(address.port, "127.0.0.1")
        first:once("data", function()
          local waiting = get(address.port, function(text) say(text) end)
          waiting:once("data", function() waiting:destroy() cluster.disconnect() end)
          local offers, began = 0, os.clock()
          cluster.workers[1].process:on("internalMessage", function() offers = offers + 1 end)
          net.setTimeout(function()
            say(offers >= 3 and offers <= 30 or offers, os.clock() - began < 0.2)
            first:destroy()
          end, 300)
        end)
      end)
    ]])
    assert.same({ "true true", "w1" }, lines)
  end)

  it("loses no client with a worker that dies before it answers", function()
    assert.same({ "{w2=6}", "SIGKILL" }, clusters.run(GREETER, [[
      local first, second = cluster.fork(), cluster.fork()
      local port
      listening(2, function(address)
        port = address.port
        signal("STOP", first.process.pid)
        local got, left = {}, 6
        for _ = 1, 6 do -- one of them is offered to the worker that sleeps
          get(port, function(text)
            got[text] = (got[text] or 0) + 1
            left = left - 1
            if left == 1 then signal("KILL", first.process.pid) end
            if left > 0 then return end
            say(got)
            second:disconnect()
          end)
        end
      end)
      cluster:on("exit", function() if exits == 2 then say(first.process.signalCode) end end)
    ]]))
  end)

  it("lets a client go when the last worker dies before it answers", function()
    assert.same({ "''", "ECONNREFUSED" }, clusters.run(GREETER, [[
      local worker = cluster.fork()
      listening(1, function(address)
        signal("STOP", worker.process.pid)
        get(address.port, function(text)
          say("'" .. text .. "'")
          get(address.port, function(again) say(again) end)
        end):on("connect", function() net.setTimeout(signal, 20, "KILL", worker.process.pid) end)
      end)
    ]]))
  end)

  it("loses no client while workers come and go", function()
    assert.same({ "400 0" }, clusters.run(GREETER, [[
      local port, served, failed, left = nil, 0, 0, 400
      local stopping = false
      local function next_client()
        get(port, function(text)
          if text:find "^w%d+$" then served = served + 1 else failed = failed + 1 end
          left = left - 1
          if left == 0 then
            say(served, failed)
            stopping = true
            cluster.disconnect()
          elseif left >= 8 then
            next_client()
          end
        end)
      end
      for _ = 1, 3 do cluster.fork() end
      cluster:on("exit", function() if not stopping then cluster.fork() end end)
      listening(3, function(address)
        port = address.port
        for _ = 1, 8 do next_client() end
        local timer
        timer = net.setInterval(function() -- retires a worker whenever there are three
          if stopping then return net.clearInterval(timer) end
          local oldest, n = nil, 0
          for id, worker in pairs(cluster.workers) do
            if worker.state == "listening" then oldest, n = math.min(oldest or id, id), n + 1 end
          end
          if n == 3 then cluster.workers[oldest]:disconnect() end
        end, 1)
      end)
    ]]))
  end)

  it("hands over Unix clients too", function()
    local greeter = GREETER:gsub('{ port = 0, host = "127.0.0.1" }', '(os.getenv "SOCKET")')
    assert.same({ "{w1=3,w2=3}" }, clusters.run(greeter, [[
      cluster.fork { SOCKET = arg[1] }
      cluster.fork { SOCKET = arg[1] }
      listening(2, function(address)
        get_many(6, address.address, function(got)
          say(got)
          cluster.disconnect()
        end)
      end)
    ]], { args = { support.path() } }))
  end)

  it("carries what a client has sent already", function()
    assert.same({ "1048576" }, clusters.run([[
      net.createServer(function(socket)
        local n = 0
        socket:on("data", function(chunk) n = n + #chunk end)
        socket:on("end", function() socket:end_(tostring(n)) end)
      end):listen(0)
    ]], [[
      cluster.fork()
      listening(1, function(address)
        local socket = get(address.port, function(text) say(text) cluster.disconnect() end)
        socket:end_(("x"):rep(1024 * 1024))
      end)
    ]]))
  end)

  it("keeps a worker in turn whose listener raises an error, until that ends it", function()
    local lines, err = clusters.run([[
      net.createServer(function(socket)
        socket:end_ "x"
        error "mine"
      end):listen(0)
    ]], [[
      cluster.fork()
      listening(1, function(address) get(address.port, function() end) end)
      cluster:on("exit", function(worker, code) say("exit", code, worker.exitedAfterDisconnect) end)
    ]], { may_fail = true })
    assert.same({ "exit 1 false" }, lines)
    assert.matches("mine", err)
  end)
end)

describe("a shared handle", function()
  it("is accepted from by all workers, whatever the kernel thinks of it", function()
    assert.same({ "40 true" }, clusters.run(GREETER, [[
      for _ = 1, 3 do cluster.fork() end
      listening(3, function(address)
        get_many(40, address.port, function(got)
          local sum = 0
          for _, n in pairs(got) do sum = sum + n end
          say(sum, got.w1 ~= nil or got.w2 ~= nil or got.w3 ~= nil)
          cluster.disconnect()
        end)
      end)
    ]], { policy = "none" }))
  end)

  it("stays while one worker has it, and is closed with the last", function()
    assert.same({ "w2", "ECONNREFUSED" }, clusters.run(GREETER, [[
      local first, second = cluster.fork(), cluster.fork()
      listening(2, function(address)
        first:on("exit", function()
          get(address.port, function(text)
            say(text)
            second:kill()
          end)
        end)
        second:on("exit", function() get(address.port, function(text) say(text) end) end)
        first:disconnect()
      end)
    ]], { policy = "none" }))
  end)

  it("drops in a worker that is full", function()
    local lines = clusters.run(GREETER, [[
      hear()
      cluster.fork { MAX = 1 }
      listening(1, function(address)
        local first = get(address.port, function() cluster.disconnect() end)
        first:once("data", function()
          get(address.port, function(text)
            say("second '" .. text .. "'")
            first:end_()
          end)
        end)
      end)
    ]], { policy = "none" })
    table.sort(lines) -- whether the client or the primary is told first is not said
    assert.same({ "1 drop", "second ''" }, lines)
  end)
end)
