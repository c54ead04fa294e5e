-- What both halves of a socket share: the order of error, end, finish and close, that nothing comes after the close,
-- and that an error in a listener takes nothing with it. What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder, callback = support.caught, support.recorder, sockets.callback

-- Runs the loop to its end through all errors, and returns them.
local function run_through_errors()
  local errors = {}
  for _ = 1, 1000 do
    local ok, result = pcall(net.run)
    if not ok then
      errors[#errors + 1] = result
    elseif not result then
      break
    end
  end
  return errors
end

describe("a stream", function()
  after_each(support.clean)

  -- ---- destroy in every event ----

  local orders = {
    connect = { "connect", "ready", "close false" },
    ready = { "connect", "ready", "close false" },
    data = { "connect", "ready", "data", "close false" },
    readable = { "connect", "ready", "readable", "close false" },
    ["end"] = { "connect", "ready", "data", "end", "close false" },
    finish = { "connect", "ready", "data", "finish", "close false" },
  }

  for _, kind in ipairs { "tcp", "unix" } do
    for event, expected in pairs(orders) do
      it(("is closed once and tells nothing more when destroyed in '%s' (%s)"):format(event, kind), function()
        local server = sockets.server(function(peer)
          peer:on("error", function() end)
          peer:resume()
          peer:write "data"
          if event == "end" then peer:end_() end
        end, sockets.kinds[kind]())
        local note, log = recorder()
        local client = net.Socket { allowHalfOpen = true }
        for _, name in ipairs { "connect", "ready", "data", "readable", "end", "finish", "error", "close" } do
          local listened = name ~= "readable" and name ~= "data" or name == event
            or (name == "data" and event ~= "readable")
          if listened then
            client:on(name, function(value)
              if name == "data" then value = nil end
              if value == nil then note(name) else note(name, value) end
              if name == event then
                client:destroy()
                assert.is_true(client.destroyed)
                client:write "never sent"
                client:end_()
                client:resume()
                client:unshift "never read"
              elseif name == "data" and event == "finish" then
                client:end_()
              elseif name == "close" then
                server:close()
              end
            end)
          end
        end
        if event == "readable" then client:on("readable", function() note(tostring(client:read())) end) end
        client:connect(sockets.address_of(server))
        support.run()
        if event == "readable" then assert.truthy(table.remove(log, 4)) end -- the same emit goes on
        assert.same(expected, log)
      end)
    end
  end

  it("is closed once when it is destroyed in 'close' and in 'error' again", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:resume()
    client:on("error", function(err)
      note("error", err.message)
      client:destroy(net.Error "second")
    end)
    client:on("close", function(failed)
      note("close", failed)
      client:destroy(net.Error "third")
    end)
    client:destroy(net.Error "first")
    support.run()
    assert.same({ "error first", "close true" }, log)
    assert.equal("first", client.errored.message)
  end)

  it("is closed when it is destroyed in a write callback and in a drain", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    peer:resume()
    client:write("a", function()
      note "a"
      client:destroy()
    end)
    client:write("b", callback(note, "b"))
    support.run()
    assert.same({ "a", "b nil", "close false" }, log)

    client, peer = sockets.pair { server = { pauseOnConnect = true } }
    note, log = recorder()
    peer:on("error", function() end)
    client:on("drain", function()
      note "drain"
      client:destroy()
    end)
    client:on("close", function(failed) note("close", failed) end)
    client:write(("x"):rep(16 * 1024 * 1024), callback(note, "huge"))
    peer:resume()
    support.run()
    assert.same({ "drain", "huge nil", "close false" }, log)
  end)

  -- ---- order of both ends ----

  for _, kind in ipairs { "tcp", "unix" } do
    it("tells end and finish before close, on both ends (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local client_note, client_log = recorder()
      local peer_note, peer_log = recorder()
      sockets.watch(client, client_note)
      sockets.watch(peer, peer_note)
      for _, socket in ipairs { client, peer } do
        for _, event in ipairs { "end", "finish" } do
          socket:on(event, function() assert.is_false(socket.destroyed) end)
        end
        socket:on("close", function()
          assert.is_true(socket.destroyed)
          assert.is_true(socket.readableEnded)
          assert.is_true(socket.writableFinished)
        end)
      end
      client:resume()
      peer:resume()
      client:end_()
      support.run()
      assert.same({ "resume", "end", "finish", "close false" }, peer_log)
      table.sort(client_log)
      assert.same({ "close false", "end", "finish", "resume" }, client_log)
    end)

    it("ends in order when both ends end at the same time (" .. kind .. ")", function()
      local client, peer = sockets.pair { kind = kind }
      local logs = {}
      for i, socket in ipairs { client, peer } do
        local note
        note, logs[i] = recorder()
        sockets.watch(socket, note)
        socket:resume()
      end
      client:end_ "a"
      peer:end_ "b"
      support.run()
      for _, log in ipairs(logs) do
        assert.equal("close false", table.remove(log))
        table.sort(log)
        assert.same({ "end", "finish", "resume" }, log)
      end
    end)
  end

  it("tells the server's close before the last socket's", function()
    local note, log = recorder()
    local server
    server = sockets.server(function(peer)
      server:close(function() note "server" end)
      peer:on("close", function() note "peer" end)
      peer:resume()
    end)
    local client = net.connect(server:address().port, "127.0.0.1")
    client:end_()
    support.run()
    assert.same({ "server", "peer" }, log)
  end)

  it("tells of the close in the closing phase, after immediates", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    client:on("data", function()
      net.setImmediate(note, "immediate")
      net.nextTick(note, "tick")
      client:destroy()
    end)
    client:on("close", function() note "close" end)
    peer:on("error", function() end)
    peer:resume()
    peer:write "x"
    support.run()
    assert.same({ "tick", "immediate", "close" }, log)
  end)

  -- ---- hadError ----

  it("says in 'close' whether there was an error", function()
    local cases = {
      { function(client) client:destroy() end, "false" },
      { function(client) client:destroy(net.Error "x") end, "true" },
      { function(client) client:end_() end, "false" },
      { function(client) client:end_() client:write "x" end, "true" },
      { function(client) client:resetAndDestroy() end, "false" },
      { function(_, peer) peer:resetAndDestroy() end, "true" },
      { function(_, peer) peer:destroy() end, "false" },
      { function(client) client:emit("error", net.Error "by hand") client:destroy() end, "false" },
    }
    for i, case in ipairs(cases) do
      local client, peer = sockets.pair()
      local seen = {}
      client:on("error", function() end)
      peer:on("error", function() end)
      client:on("close", function(...)
        assert(select("#", ...) == 1)
        seen[#seen + 1] = tostring((...))
      end)
      client:resume()
      peer:resume()
      case[1](client, peer)
      support.run()
      assert.same({ case[2] }, seen, "case " .. i)
    end
  end)

  -- ---- errors in listeners ----

  it("closes though its error listener raises", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:resume()
    client:on("error", function(err)
      note("error", err.message)
      error("in the listener", 0)
    end)
    client:on("close", function(failed) note("close", failed) end)
    client:destroy(net.Error "first")
    assert.same({ "in the listener" }, run_through_errors())
    assert.same({ "error first", "close true" }, log)
  end)

  it("skips the automatic end when an 'end' listener raises, as Node does", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    sockets.watch(client, note)
    client:on("end", function() error("in end", 0) end)
    client:resume()
    peer:end_()
    assert.equal("in end", caught(net.run))
    sockets.settle()
    assert.same({ "resume", "end" }, log)
    assert.is_true(client.writable)
    client:end_()
    peer:resume()
    support.run()
    assert.same({ "resume", "end", "finish" }, { log[1], log[2], log[3] })
    client:destroy()
    support.run()
    assert.equal("close false", log[#log])
  end)

  it("skips 'ready' and begins no reading when a 'connect' listener raises, as Node does", function()
    local server = sockets.server(function(peer)
      peer:on("error", function() end)
      peer:end_ "hello"
    end)
    local client = net.connect(server:address().port, "127.0.0.1")
    local note, log = recorder()
    client:on("connect", function()
      note "connect"
      error("in connect", 0)
    end)
    client:on("connect", function() note "never" end)
    client:on("ready", function() note "ready" end)
    client:on("data", function(chunk) note("data", chunk) end)
    client:on("close", function(failed)
      note("close", failed)
      server:close()
    end)
    assert.equal("in connect", caught(net.run))
    assert.is_false(client.connecting)
    assert.equal("open", client.readyState)
    for _ = 1, 20 do sockets.settle() end
    assert.same({ "connect" }, log)
    assert.equal(0, client.bytesRead)
    client:destroy()
    support.run()
    assert.same({ "connect", "close false" }, log)
  end)

  it("keeps apart what fails: many sockets, each with an error in another event", function()
    local server = sockets.server(function(peer)
      peer:on("data", function(chunk) peer:write(chunk) end)
    end)
    local port = server:address().port
    local events = { "ready", "data", "end", "finish", "close", "none" }
    local logs, left, expected = {}, #events * 5, {}
    for round = 1, 5 do
      for _, event in ipairs(events) do
        local client = net.connect(port, "127.0.0.1")
        local name = event .. round
        local note
        note, logs[name] = recorder()
        if event ~= "none" then expected[#expected + 1] = name end
        local function heard(what)
          note(what)
          if what == "close" then
            left = left - 1
            if left == 0 then server:close() end
          end
          if what == event then error(name, 0) end
        end
        client:on("ready", function() heard "ready" end)
        client:on("data", function(chunk)
          assert(chunk == name)
          client:end_()
          heard "data"
        end)
        client:on("end", function()
          if event == "end" then client:destroySoon() end -- the error skips the automatic end
          heard "end"
        end)
        client:on("finish", function() heard "finish" end)
        client:on("close", function() heard "close" end)
        client:write(name)
      end
    end
    local errors = run_through_errors()
    table.sort(errors)
    table.sort(expected)
    assert.same(expected, errors)
    assert.equal(0, left)
    for name, log in pairs(logs) do
      table.sort(log)
      if name:find "^end" then
        assert.same({ "close", "data", "end" }, { log[1], log[2], log[3] }, name)
      else
        assert.same({ "close", "data", "end", "finish", "ready" }, log, name)
      end
    end
  end)

  it("gives each socket its own errors when a burst of resets comes", function()
    local peers = {}
    local server = sockets.server(function(peer)
      peers[#peers + 1] = peer
      peer:resume()
    end)
    local port = server:address().port
    local clients, logs = {}, {}
    for i = 1, 40 do
      local note
      note, logs[i] = recorder()
      clients[i] = net.connect(port, "127.0.0.1")
      clients[i]:on("error", function(err) note("error", err.code) end)
      clients[i]:on("close", function(failed) note("close", failed) end)
      clients[i]:resume()
    end
    sockets.wait(function() return #peers == 40 end)
    sockets.settle()
    local by_port = {}
    for _, peer in ipairs(peers) do by_port[peer.remotePort] = peer end
    for i, client in ipairs(clients) do
      local peer = by_port[client.localPort]
      if i % 2 == 0 then peer:resetAndDestroy() else peer:end_() end
    end
    server:close()
    support.run()
    for i, log in ipairs(logs) do
      assert.same(i % 2 == 0 and { "error ECONNRESET", "close true" } or { "close false" }, log, i)
    end
  end)
end)
