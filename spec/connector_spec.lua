-- How a socket connects: every form of connect and createConnection, lookups, the events of an attempt in their order,
-- several addresses (happy eyeballs), and bad input. What is expected is what node v26 does.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

-- A server that says the port it was reached at, and closes after so many connections.
local function greeter(connections, where)
  local left = connections or 1
  local server
  server = sockets.server(function(peer)
    left = left - 1
    if left == 0 then server:close() end
    peer:on("error", function() end)
    peer:end_ "hello"
    peer:resume()
  end, where)
  return server
end

-- A lookup that answers with addresses: "127.0.0.1", or "127.0.0.1 127.0.0.2" for those who ask for all.
local function answers(text, note)
  return function(host, options, callback)
    if note then note("asked", host, options.family, options.hints, options.all) end
    if options.all then
      local list = {}
      for address in text:gmatch "%S+" do
        list[#list + 1] = { address = address, family = net.isIP(address) }
      end
      callback(nil, list)
    else
      local address = text:match "%S+"
      callback(nil, address, net.isIP(address))
    end
  end
end

local function has_ipv6()
  local server = net.createServer()
  local ok = true
  server:on("error", function() ok = false end)
  server:listen({ port = 0, host = "::1" }, function() server:close() end)
  support.run()
  return ok
end

describe("connect", function()
  after_each(support.clean)

  -- ---- forms ----

  it("takes port, host and callback, options and callback, or a path", function()
    local tcp = greeter(0)
    local port = tcp:address().port
    local path = support.path()
    local unix = greeter(0, { path = path })
    local forms = {
      { port },
      { port, "127.0.0.1" },
      { port, "CB" },
      { port, "127.0.0.1", "CB" },
      { port, nil, "CB" },
      { tostring(port), "127.0.0.1" },
      { (" 0x%x "):format(port), "127.0.0.1", "CB" },
      { { port = port } },
      { { port = tostring(port), host = "127.0.0.1" }, "CB" },
      { { port = port + 0.0, host = "localhost", family = 4 }, "CB" },
      { path },
      { path, "CB" },
      { { path = path } },
      { { path = path }, "CB" },
      { { path = path, port = 1 }, "CB" },
      { { path = path, port = "not even looked at" } },
      { { path = "", port = port } },
    }
    for i, form in ipairs(forms) do
      for _, connect in ipairs { net.connect, net.createConnection, "method" } do
        local called = 0
        local arguments = { n = 0 }
        local has_callback = false
        for k = 1, 3 do
          if form[k] ~= nil then arguments.n = k end
          arguments[k] = form[k]
          if form[k] == "CB" then
            has_callback = true
            arguments[k] = function(...)
              assert(select("#", ...) == 0)
              called = called + 1
            end
          end
        end
        local socket
        if connect == "method" then
          socket = net.Socket()
          assert.equal(socket, socket:connect(table.unpack(arguments, 1, arguments.n)))
        else
          socket = connect(table.unpack(arguments, 1, arguments.n))
        end
        assert.is_true(socket.connecting, i)
        local got = sockets.collect(socket)
        sockets.wait(function() return socket.closed end)
        assert.equal("hello", got.text, i)
        assert.equal(has_callback and 1 or 0, called, i)
        assert.equal(0, socket:listenerCount "connect", i)
      end
    end
    tcp:close()
    unix:close()
    support.run()
  end)

  it("passes net.connect's options to the socket, and not those of socket:connect", function()
    local server = greeter(2)
    local port = server:address().port
    local made = net.connect { port = port, host = "127.0.0.1", allowHalfOpen = true, timeout = 5000,
      highWaterMark = 77 }
    assert.is_true(made.allowHalfOpen)
    assert.equal(5000, made.timeout)
    assert.equal(77, made.readableHighWaterMark)
    local plain = net.Socket()
    plain:connect { port = port, host = "127.0.0.1", allowHalfOpen = true, timeout = 5000, highWaterMark = 77 }
    assert.is_false(plain.allowHalfOpen)
    assert.is_nil(plain.timeout)
    assert.equal(65536, plain.readableHighWaterMark)
    for _, socket in ipairs { made, plain } do
      socket:on("end", function() socket:end_() end)
      socket:resume()
    end
    support.run()
  end)

  it("connects from a coroutine that ends", function()
    local server = greeter()
    local got
    coroutine.wrap(function()
      got = sockets.collect(net.connect(server:address().port, "127.0.0.1", function()
        assert(select(2, coroutine.running()))
      end))
    end)()
    collectgarbage()
    support.run()
    assert.equal("hello", got.text)
  end)

  -- ---- events, in order ----

  it("to an address: no lookup, the attempt in a tick, connect, ready", function()
    local server = greeter()
    local port = server:address().port
    local note, log = recorder()
    local socket = net.Socket()
    socket:connect(port, "127.0.0.1")
    sockets.watch(socket, note)
    net.nextTick(note, "tick")
    note "sync"
    socket:on("connect", function() net.nextTick(note, "tick of connect") end)
    socket:resume()
    support.run()
    assert.same({
      "sync", ("connectionAttempt 127.0.0.1 %d 4"):format(port), "tick", "resume", "connect", "ready",
      "tick of connect", "end", "finish", "close false",
    }, log)
    assert.is_nil(socket.autoSelectFamilyAttemptedAddresses)
  end)

  it("to a name: lookup, the attempt, connect, ready", function()
    local server = greeter()
    local port = server:address().port
    local note, log = recorder()
    local socket = net.Socket()
    sockets.watch(socket, note)
    socket:connect { port = port, host = "localhost", family = 4 }
    assert.same({}, log)
    socket:resume()
    support.run()
    assert.same({
      "resume", "lookup nil 127.0.0.1 4 localhost", ("connectionAttempt 127.0.0.1 %d 4"):format(port), "connect",
      "ready", "end", "finish", "close false",
    }, log)
  end)

  it("to a path: the attempt inside connect()", function()
    local path = support.path()
    greeter(1, { path = path })
    local note, log = recorder()
    local socket = net.Socket()
    socket:on("connectionAttempt", function(...) note("attempt", select("#", ...), (...)) end)
    socket:on("connect", function() note "connect" end)
    socket:connect(path)
    assert.equal(1, #log)
    assert.truthy(log[1]:find(path, 1, true))
    socket:resume()
    support.run()
    assert.equal("connect", log[2])
    assert.equal(2, #log)
  end)

  it("to an abstract path", function()
    local path = "\0cnet-spec-" .. support.path()
    greeter(1, { path = path })
    local got = sockets.collect(net.connect(path))
    support.run()
    assert.equal("hello", got.text)
  end)

  it("to IPv6", function()
    if not has_ipv6() then return pending "no IPv6 here" end
    local server = greeter(1, { port = 0, host = "::1" })
    local note, log = recorder()
    local socket = net.connect(server:address().port, "::1")
    socket:on("connect", function() note(socket.remoteAddress, socket.remoteFamily, socket.localFamily) end)
    socket:resume()
    support.run()
    assert.same({ "::1 IPv6 IPv6" }, log)
  end)

  it("tells nothing but the close when it is destroyed before the outcome", function()
    local server = sockets.server(function(peer) peer:on("error", function() end) end)
    local port = server:address().port
    local target = { { port = port, host = "127.0.0.1" }, { port = port, host = "localhost" },
      { port = port, host = "x.invalid", lookup = function() end } }
    for _, options in ipairs(target) do
      local note, log = recorder()
      local socket = net.Socket()
      sockets.watch(socket, note)
      socket:connect(options, function() note "callback" end)
      assert.equal(socket, socket:destroy())
      assert.is_false(socket.connecting)
      sockets.wait(function() return #log > 0 end)
      sockets.settle()
      assert.same({ "close false" }, log)
    end
    server:close()
    support.run()
  end)

  it("looks up no more for a socket that was destroyed meanwhile", function()
    for _, all in ipairs { true, false } do
      local note, log = recorder()
      local answer
      local socket = net.connect {
        port = 1, host = "x.invalid", autoSelectFamily = all,
        lookup = function(_, _, callback) answer = callback end,
      }
      sockets.watch(socket, note)
      socket:destroy()
      support.run()
      if all then answer(nil, { { address = "127.0.0.1", family = 4 } }) else answer(nil, "127.0.0.1", 4) end
      support.run()
      assert.same(all and { "close false" } or { "close false", "lookup nil 127.0.0.1 4 x.invalid" }, log)
    end
  end)

  -- ---- failure ----

  it("refused: attempt, its failure, error in a tick, close", function()
    local port = sockets.refusing_port()
    local note, log = recorder()
    local socket = net.connect(port, "127.0.0.1")
    sockets.watch(socket, note)
    local failure
    socket:on("connectionAttemptFailed", function(_, _, _, err) failure = err end)
    socket:on("error", function(err)
      assert.equal(failure, err)
      assert.is_true(socket.destroyed)
      assert.is_false(socket.connecting)
    end)
    support.run()
    assert.same({
      ("connectionAttempt 127.0.0.1 %d 4"):format(port),
      ("connectionAttemptFailed 127.0.0.1 %d 4 ECONNREFUSED"):format(port), "error ECONNREFUSED", "close true",
    }, log)
    assert.equal(("connect ECONNREFUSED 127.0.0.1:%d"):format(port), failure.message)
    assert.same({ "ECONNREFUSED", -111, "connect", "127.0.0.1", port },
      { failure.code, failure.errno, failure.syscall, failure.address, failure.port })
    assert.equal(failure, socket.errored)
  end)

  it("names no port when the port is 0", function()
    local socket = net.connect(0, "127.0.0.1")
    local err
    socket:on("error", function(e) err = e end)
    support.run()
    assert.equal("connect ECONNREFUSED 127.0.0.1 - Local (0.0.0.0:0)", (err.message
      :gsub("127%.0%.0%.1$", "127.0.0.1 - Local (0.0.0.0:0)")))
    assert.equal("ECONNREFUSED", err.code)
  end)

  it("tells of a path that is not there, not a socket, or too long", function()
    local missing, plain = support.path(), support.path()
    assert(io.open(plain, "w")):close()
    local long = "/tmp/" .. ("x"):rep(200)
    for _, case in ipairs {
      { missing, "ENOENT", "connect ENOENT " .. missing },
      { plain, "ECONNREFUSED", "connect ECONNREFUSED " .. plain },
      { long, "EINVAL" },
      { "\0cnet-spec-nobody-" .. missing, "ECONNREFUSED" },
    } do
      local note, log = recorder()
      local socket = net.connect(case[1])
      local err
      socket:on("error", function(e)
        err = e
        note("error", e.code)
      end)
      socket:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({ "error " .. case[2], "close true" }, log)
      assert.equal("connect", err.syscall)
      assert.is_nil(err.port)
      if case[3] then assert.equal(case[3], err.message) end
      if case[3] then assert.equal(case[1], err.address) end
    end
  end)

  it("tells of a name that cannot be found, after 'lookup'", function()
    local failure = net.Error("getaddrinfo ENOTFOUND x.invalid", { code = "ENOTFOUND" })
    for _, all in ipairs { true, false } do
      local note, log = recorder()
      local socket = net.connect {
        port = 1, host = "x.invalid", autoSelectFamily = all,
        lookup = function(_, _, callback) net.nextTick(callback, failure) end,
      }
      socket:on("lookup", function(err, address, family, host)
        note("lookup", err == failure, address, family, host)
        net.nextTick(note, "tick")
      end)
      socket:on("connectionAttempt", function() note "never" end)
      socket:on("error", function(err) note("error", err == failure) end)
      socket:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({ "lookup true nil nil x.invalid", "tick", "error true", "close true" }, log)
    end
  end)

  it("leaves net.run with an error that nobody hears", function()
    local socket = net.connect(sockets.refusing_port(), "127.0.0.1")
    local closed
    socket:on("close", function(failed) closed = failed end)
    local err = caught(net.run)
    assert.equal("ECONNREFUSED", err.code)
    support.run()
    assert.is_true(closed)
  end)

  it("fails with EALREADY when it connects while connecting", function()
    local server = sockets.server(function(peer) peer:on("error", function() end) end)
    local port = server:address().port
    local note, log = recorder()
    local socket = net.connect(port, "127.0.0.1")
    socket:connect(port, "127.0.0.1")
    socket:on("error", function(err) note("error", err.code, err.syscall) end)
    socket:on("connect", function() note "connect" end)
    socket:on("close", function(failed)
      note("close", failed)
      server:close()
    end)
    support.run()
    assert.same({ "error EALREADY connect", "close true" }, log)
  end)

  it("fails with EISCONN when it connects to a path while connecting, and is over then", function()
    for _, path in ipairs { support.path(), "\0cnet-spec-" .. support.path() } do
      local server
      server = sockets.server(function(peer)
        peer:on("error", function() end):resume()
        peer:on("close", function() server:close() end)
      end, { path = path })
      local note, log = recorder()
      local socket = net.connect(path)
      sockets.watch(socket, note)
      assert.is_false(pcall(socket.connect, socket, { path = 5 })) -- does no harm to what is under way
      socket:connect(path)
      support.run()
      if path:find "^%z" then -- such a connection is there at once
        assert.same({ "error EISCONN", "close true" }, table.move(log, #log - 1, #log, 1, {}))
      else
        assert.same({ "connectionAttempt " .. path .. " nil nil",
          "connectionAttemptFailed " .. path .. " nil nil EISCONN", "error EISCONN", "close true" }, log)
      end
    end
    local path = support.path()
    local note, log = recorder()
    local socket = net.connect(path):connect(path)
    socket:on("error", function(err) note(err.message) end):on("close", note)
    support.run()
    assert.same({ "connect ENOENT " .. path, "true" }, log)
  end)

  it("is not given up for the end of an attempt that was: destroy, connect", function()
    local path = support.path()
    local server
    server = sockets.server(function(peer) peer:resume():on("error", function() end) end, { path = path })
    local note, log = recorder()
    local socket = net.connect(path)
    sockets.watch(socket, note)
    socket:destroy():connect(path)
    sockets.settle()
    assert.same({ "connectionAttempt " .. path .. " nil nil", "connect", "ready", "close false" }, log)
    assert.equal("open", socket.readyState)
    server:close()
    socket:destroy()
    support.run()
  end)

  it("keeps the callback of a failed connect for the next one", function()
    local server = greeter()
    local port, hits = server:address().port, 0
    local socket = net.Socket()
    local function callback() hits = hits + 1 end
    socket:connect(sockets.refusing_port(), "127.0.0.1", callback)
    socket:on("error", function() end)
    socket:once("close", function()
      assert.equal(0, hits)
      socket:connect(port, "127.0.0.1", callback)
      socket:resume()
    end)
    support.run()
    assert.equal(2, hits)
  end)

  -- ---- local address ----

  it("connects from the local address and port it is told", function()
    local server = greeter()
    local port = server:address().port
    local reserved = sockets.refusing_port()
    local socket = net.connect { port = port, host = "127.0.0.1", localAddress = "127.0.0.5", localPort = reserved }
    local from
    server:on("connection", function(peer) from = peer.remoteAddress .. " " .. peer.remotePort end)
    socket:on("connect", function()
      assert.equal("127.0.0.5", socket.localAddress)
      assert.equal(reserved, socket.localPort)
    end)
    socket:resume()
    support.run()
    assert.equal("127.0.0.5 " .. reserved, from)
  end)

  it("names the local end of a connection that was refused", function()
    local port, reserved = sockets.refusing_port(), sockets.refusing_port()
    local socket = net.connect { port = port, host = "127.0.0.1", localAddress = "127.0.0.5", localPort = reserved }
    local err
    socket:on("error", function(e) err = e end)
    support.run()
    assert.equal(("connect ECONNREFUSED 127.0.0.1:%d - Local (127.0.0.5:%d)"):format(port, reserved), err.message)
    assert.equal("127.0.0.5", err.localAddress)
    assert.equal(reserved, err.localPort)
  end)

  it("names it also where only the port was told, for each address", function()
    local port, reserved = sockets.refusing_port(), sockets.refusing_port()
    local err
    net.connect { port = port, host = "127.0.0.1", localPort = reserved }:on("error", function(e) err = e end)
    support.run()
    assert.equal(("connect ECONNREFUSED 127.0.0.1:%d - Local (0.0.0.0:%d)"):format(port, reserved), err.message)
    assert.equal("0.0.0.0", err.localAddress)
    assert.equal(reserved, err.localPort)
    local socket = net.connect { port = port, host = "x.invalid", localPort = reserved,
      lookup = answers(has_ipv6() and "127.0.0.1 ::1" or "127.0.0.1 127.0.0.2") }
    socket:on("error", function(e) err = e end)
    support.run()
    assert.equal("0.0.0.0", err.errors[1].localAddress)
    if has_ipv6() then
      assert.equal(("connect ECONNREFUSED ::1:%d - Local (:::%d)"):format(port, reserved), err.errors[2].message)
    end
  end)

  it("binds to no local address of the other family", function()
    for host, other in pairs { ["127.0.0.1"] = "::1", ["::1"] = "127.0.0.1" } do
      local note, log = recorder()
      local socket = net.connect { port = 1, host = host, localAddress = other }
      socket:on("connectionAttempt", note)
      socket:on("error", function(err) note(err.message, err.syscall, err.address, err.port) end)
      socket:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({ ("bind EINVAL %s bind %s nil"):format(other, other), "close true" }, log)
    end
  end)

  it("tells when the local end cannot be had", function()
    local server = sockets.server()
    local port = server:address().port
    local note, log = recorder()
    local socket = net.connect { port = port, host = "127.0.0.1", localAddress = "127.0.0.1", localPort = port }
    sockets.watch(socket, note)
    support.run_until(function() return socket.closed and #log >= 2 end)
    server:close()
    support.run()
    assert.same({ "error EADDRINUSE", "close true" }, log)
    assert.equal(("bind EADDRINUSE 127.0.0.1:%d"):format(port), socket.errored.message)
    assert.equal("bind", socket.errored.syscall)

    socket = net.connect { port = port, host = "127.0.0.1", localAddress = "192.0.2.77" }
    socket:on("error", function() end)
    support.run()
    assert.equal("EADDRNOTAVAIL", socket.errored.code)
    assert.equal("bind", socket.errored.syscall)
  end)

  -- ---- lookup ----

  it("asks a custom lookup, once, with what Node passes", function()
    local note, log = recorder()
    local function ask(options)
      options.port = 1
      options.host = options.host or "x.invalid"
      options.lookup = function(host, o, callback)
        note(host, o.family, o.hints, o.all)
        assert(type(callback) == "function")
      end
      net.connect(options):destroy()
    end
    ask {}
    ask { autoSelectFamily = false }
    ask { family = 4 }
    ask { family = 6 }
    ask { family = "IPv4" }
    ask { family = "IPv6" }
    ask { family = 0 }
    ask { localAddress = "127.0.0.1" }
    ask { hints = 8 }
    ask { family = 4, hints = 16 }
    support.run()
    assert.same({
      "x.invalid nil 32 true", "x.invalid nil 32 nil", "x.invalid 4 0 nil", "x.invalid 6 0 nil", "x.invalid 4 0 nil",
      "x.invalid 6 0 nil", "x.invalid 0 32 true", "x.invalid nil 32 nil", "x.invalid nil 8 true",
      "x.invalid 4 16 nil",
    }, log)
  end)

  it("asks no lookup for an address or a path", function()
    local server = greeter()
    local socket = net.connect {
      port = server:address().port, host = "127.0.0.1", lookup = function() error "never asked" end,
    }
    socket:resume()
    support.run()
    assert.is_nil(socket.errored)
  end)

  it("takes an answer inside the call, in a tick, and later; the first one only", function()
    for _, all in ipairs { true, false } do
      for _, when in ipairs { function(fn) fn() end, net.nextTick, net.setImmediate } do
        local server = greeter()
        local give = answers "127.0.0.1"
        local socket = net.connect {
          port = server:address().port, host = "x.invalid", autoSelectFamily = all,
          lookup = function(...)
            local arguments = table.pack(...)
            when(function() give(table.unpack(arguments)) end)
          end,
        }
        local got = sockets.collect(socket)
        support.run()
        assert.equal("hello", got.text)
      end
    end
  end)

  it("lets an error that a lookup raises reach the caller of connect", function()
    local socket = net.Socket()
    local err = caught(socket.connect, socket, {
      port = 1, host = "x.invalid", lookup = function() error("in lookup", 0) end,
    })
    assert.equal("in lookup", err)
    socket:destroy()
    support.run()
  end)

  it("fails with an answer that is no address, or of no family", function()
    local function ask(...)
      local answer = table.pack(...)
      local socket = net.connect {
        port = 80, host = "x.invalid", autoSelectFamily = false,
        lookup = function(_, _, callback) callback(nil, table.unpack(answer, 1, answer.n)) end,
      }
      local note, log = recorder()
      socket:on("error", function() note "error" end)
      socket:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({ "error", "close true" }, log)
      return socket.errored
    end
    for _, bad in ipairs { "nonsense", "", "127.0.0.256", 5, {}, true } do
      local err = ask(bad, 4)
      assert.equal("ERR_INVALID_IP_ADDRESS", err.code)
      assert.truthy(err.message:find "^Invalid IP address: ")
    end
    assert.equal("Invalid IP address: nonsense", ask("nonsense", 4).message)
    assert.equal("ERR_INVALID_IP_ADDRESS", ask().code)
    for _, bad in ipairs { 7, 0, "x", {} } do
      local err = ask("127.0.0.1", bad)
      assert.equal("ERR_INVALID_ADDRESS_FAMILY", err.code)
      assert.equal("RangeError", err.name)
    end
    for family, text in pairs { [7] = "7", [math.huge] = "Infinity", ["a\0b"] = "a\0b", [false] = "false" } do
      local err = ask("127.0.0.1", family)
      assert.equal("Invalid address family: " .. text .. " x.invalid:80", err.message)
      assert.same({ "x.invalid", 80, "integer" }, { err.host, err.port, math.type(err.port) })
    end
    assert.equal("Invalid address family: nil x.invalid:80", ask("127.0.0.1").message)
    assert.equal("Invalid address family: NaN x.invalid:80", ask("127.0.0.1", 0 / 0).message)
  end)

  it("fails with an address of another family than the answer says", function()
    for family, address in pairs { [4] = "::1", [6] = "127.0.0.1" } do
      local note, log = recorder()
      local socket = net.connect { port = 1, host = "x.invalid", family = family,
        lookup = function(_, _, callback) net.nextTick(callback, nil, address, family) end }
      sockets.watch(socket, note)
      support.run()
      assert.same({ ("lookup nil %s %d x.invalid"):format(address, family),
        ("connectionAttempt %s 1 %d"):format(address, family), "error EINVAL", "close true" }, log)
      assert.truthy(socket.errored.message:find("connect EINVAL " .. address .. ":1", 1, true))
    end
    local count = 0
    local socket = net.connect { port = 1, host = "x.invalid", lookup = function(_, _, callback)
      net.nextTick(callback, nil, { { address = "::1", family = 4 }, { address = "127.0.0.1", family = 6 } })
    end }
    socket:on("connectionAttemptFailed", function(_, _, _, err)
      assert.equal("EINVAL", err.code)
      count = count + 1
    end)
    socket:on("error", function() end)
    support.run()
    assert.equal(2, count)
    assert.equal(2, #socket.errored.errors)
  end)

  it("gives its own lookup the hints as they are, and ours only what it knows", function()
    for _, hints in ipairs { "x", true, 1048576, -1, {}, 0, false, "" } do
      local got
      net.connect { port = 1, host = "x.invalid", family = 0, hints = hints,
        lookup = function(_, options, callback)
          got = options.hints
          callback(net.Error "no")
        end }:on("error", function() end)
      support.run()
      if hints == 0 or hints == false or hints == "" then
        assert.equal("integer", math.type(got))
      else
        assert.equal(hints, got)
      end
    end
    local function ask(hints) net.connect { port = 1, host = "localhost", hints = hints }:destroy() end
    assert.equal("ERR_INVALID_ARG_TYPE", caught(ask, "x").code)
    assert.equal("ERR_INVALID_ARG_TYPE", caught(ask, true).code)
    assert.equal("ERR_INVALID_ARG_VALUE", caught(ask, 1048576).code)
    assert.equal("ERR_INVALID_ARG_VALUE", caught(ask, -1).code)
    ask(false)
    ask ""
    support.run()
  end)

  it("takes each character of a text, and what is no table in a list, for an answer without an address", function()
    for answer, times in pairs { ["12"] = 2, [{ "x", 5 }] = 2, [{ "x", { address = "nonsense", family = 4 } }] = 2 } do
      local note, log = recorder()
      local socket = net.connect { port = 1, host = "x.invalid",
        lookup = function(_, _, callback) net.nextTick(callback, nil, answer, 4) end }
      local lookups = 0
      socket:on("lookup", function(err, _, _, host)
        assert.is_nil(err)
        assert.equal("x.invalid", host)
        lookups = lookups + 1
      end)
      sockets.watch(socket, note)
      support.run()
      assert.equal(times, lookups)
      assert.equal("close true", log[#log])
      assert.equal("ERR_INVALID_IP_ADDRESS", socket.errored.code)
    end
  end)

  it("takes an error that JavaScript counts as false for none", function()
    local server = greeter(8)
    for _, nothing in ipairs { false, 0, "", 0 / 0 } do
      for _, all in ipairs { true, false } do
        local got = sockets.collect(net.connect {
          host = "x.invalid", port = server:address().port, autoSelectFamily = all,
          lookup = function(_, _, callback)
            if all then
              callback(nothing, { { address = "127.0.0.1", family = 4 } })
            else
              callback(nothing, "127.0.0.1", 4)
            end
          end,
        })
        support.run_until(function() return got.ended end)
        assert.equal("hello", got.text)
      end
    end
    support.run()
  end)

  it("survives a lookup that answers all with nonsense", function()
    for _, bad in ipairs { 5, "127.0.0.1", true, {}, { 1 }, { {} }, { { address = 5 } }, { { address = "x" } },
      { { address = "127.0.0.1" } }, { { address = "127.0.0.1", family = "x" } } } do
      local socket = net.connect {
        port = 80, host = "x.invalid", lookup = function(_, _, callback) callback(nil, bad) end,
      }
      local note, log = recorder()
      socket:on("error", function(err) note("error", err.code ~= nil) end)
      socket:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({ "error true", "close true" }, log)
    end
  end)

  it("survives a lookup that answers twice", function()
    for _, all in ipairs { true, false } do
      local server = sockets.server(function(peer)
        peer:on("error", function() end)
        peer:end_()
        peer:resume()
      end)
      local give = answers "127.0.0.1"
      local socket = net.connect {
        port = server:address().port, host = "x.invalid", autoSelectFamily = all,
        lookup = function(...)
          give(...)
          give(...)
        end,
      }
      local closes = 0
      socket:on("error", function() end)
      socket:on("close", function()
        closes = closes + 1
        server:close()
      end)
      socket:resume()
      support.run()
      assert.equal(1, closes)
    end
  end)

  it("finds localhost through the resolver", function()
    local server = greeter(1, { port = 0 })
    local socket = net.connect(server:address().port)
    local hosts = {}
    socket:on("lookup", function(err, address, family, host)
      assert(err == nil)
      assert(net.isIP(address) == family)
      hosts[host] = true
    end)
    local got = sockets.collect(socket)
    support.run()
    assert.same({ localhost = true }, hosts)
    assert.equal("hello", got.text)
  end)

  -- ---- several addresses ----

  describe("with several addresses", function()
    it("tries the next when one refuses, on a new handle each", function()
      local server = greeter(1, { port = 0, host = "127.0.0.3" })
      local port = server:address().port
      local note, log = recorder()
      local socket = net.connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2 127.0.0.3 127.0.0.4",
      }
      sockets.watch(socket, note)
      local got = sockets.collect(socket)
      socket:on("connect", function()
        assert.equal("127.0.0.3", socket.remoteAddress)
        assert.same({ "127.0.0.1:" .. port, "127.0.0.2:" .. port, "127.0.0.3:" .. port },
          socket.autoSelectFamilyAttemptedAddresses)
      end)
      support.run()
      local expected = {
        "connectionAttemptFailed 127.0.0.1 P 4 ECONNREFUSED", "connectionAttempt 127.0.0.2 P 4",
        "connectionAttemptFailed 127.0.0.2 P 4 ECONNREFUSED", "connectionAttempt 127.0.0.3 P 4", "connect", "ready",
        "end", "finish", "close false",
      }
      for i, line in ipairs(expected) do expected[i] = line:gsub(" P ", " " .. port .. " ") end
      for i = #log, 1, -1 do if log[i] == "resume" then table.remove(log, i) end end
      assert.same(expected, log)
      assert.equal("hello", got.text)
    end)

    it("fails with one error that has them all", function()
      local port = sockets.refusing_port()
      local socket = net.connect { port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2" }
      local note, log = recorder()
      sockets.watch(socket, note)
      support.run()
      assert.same({
        ("connectionAttemptFailed 127.0.0.1 %d 4 ECONNREFUSED"):format(port),
        ("connectionAttempt 127.0.0.2 %d 4"):format(port),
        ("connectionAttemptFailed 127.0.0.2 %d 4 ECONNREFUSED"):format(port),
        "error ECONNREFUSED", "close true",
      }, log)
      local err = socket.errored
      assert.equal("AggregateError", err.name)
      assert.equal(("connect ECONNREFUSED x.invalid:%d (127.0.0.1, 127.0.0.2)"):format(port), err.message)
      assert.equal(err.message, tostring(err))
      assert.equal("ECONNREFUSED", err.code)
      assert.equal(2, #err.errors)
      for i, one in ipairs(err.errors) do
        assert.equal(("connect ECONNREFUSED 127.0.0.%d:%d"):format(i, port), one.message)
        assert.equal("127.0.0." .. i, one.address)
        assert.equal(port, one.port)
      end
    end)

    it("names in that error what was tried, whatever each failed with", function()
      local list = net.BlockList()
      list:addAddress "127.0.0.1"
      local port = sockets.refusing_port()
      local answer = { { address = "127.0.0.1", family = 4 }, { address = "127.0.0.2", family = 4 } }
      local socket = net.connect {
        port = port, host = "y.invalid", blockList = list, lookup = function(_, _, done) done(nil, answer) end,
      }
      socket:on("error", function() end)
      socket:on("connectionAttemptFailed", function() answer[2].address = nil end) -- is the lookup's own
      support.run()
      local err = socket.errored
      assert.equal("ERR_IP_BLOCKED", err.code)
      assert.equal(("connect ERR_IP_BLOCKED y.invalid:%d (127.0.0.1, nil)"):format(port), err.message)
      assert.same({ "ERR_IP_BLOCKED", "ECONNREFUSED" }, { err.errors[1].code, err.errors[2].code })
    end)

    it("emits 'lookup' for each answer, and tries each address once", function()
      local port = sockets.refusing_port()
      local note, log = recorder()
      local socket = net.Socket()
      socket:on("lookup", function(err, address, family, host) note(err, address, family, host) end)
      socket:on("error", function(err) note("errors", #err.errors) end)
      socket:connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.2 127.0.0.1 127.0.0.2 127.0.0.1",
      }
      support.run()
      assert.same({
        "nil 127.0.0.2 4 x.invalid", "nil 127.0.0.1 4 x.invalid", "nil 127.0.0.2 4 x.invalid",
        "nil 127.0.0.1 4 x.invalid", "errors 2",
      }, log)
      assert.same({ "127.0.0.2:" .. port, "127.0.0.1:" .. port }, socket.autoSelectFamilyAttemptedAddresses)
    end)

    it("alternates between the families, beginning with the first one's", function()
      if not has_ipv6() then return pending "no IPv6 here" end
      local port = sockets.refusing_port()
      local function order(text)
        local list = {}
        local socket = net.Socket()
        socket:on("connectionAttempt", function(address) list[#list + 1] = address end)
        socket:on("error", function() end)
        socket:connect { port = port, host = "x.invalid", lookup = answers(text) }
        support.run()
        return table.concat(list, " ")
      end
      assert.equal("127.0.0.1 ::1 127.0.0.2 127.0.0.3", order "127.0.0.1 127.0.0.2 127.0.0.3 ::1")
      assert.equal("::1 127.0.0.1 127.0.0.2", order "::1 127.0.0.1 127.0.0.2")
      assert.equal("127.0.0.1 ::1 127.0.0.2", order "127.0.0.1 127.0.0.2 ::1")
    end)

    it("connects plainly when one address is left", function()
      local port = sockets.refusing_port()
      local socket = net.connect {
        port = port, host = "x.invalid",
        lookup = function(_, _, callback)
          callback(nil, { { address = "nonsense", family = 4 }, { address = "127.0.0.1", family = 4 },
            { address = "127.0.0.1", family = 5 } })
        end,
      }
      local err
      socket:on("error", function(e) err = e end)
      support.run()
      assert.equal("Error", err.name)
      assert.is_nil(err.errors)
      assert.equal(("connect ECONNREFUSED 127.0.0.1:%d"):format(port), err.message)
      assert.is_nil(socket.autoSelectFamilyAttemptedAddresses)
    end)

    it("fails by the first answer when none is an address", function()
      local function ask(list)
        local socket = net.connect {
          port = 1, host = "x.invalid", lookup = function(_, _, callback) callback(nil, list) end,
        }
        socket:on("error", function() end)
        support.run()
        return socket.errored
      end
      assert.equal("ERR_INVALID_IP_ADDRESS",
        ask { { address = "x", family = 4 }, { address = "127.0.0.1", family = 5 } }.code)
      local err = ask { { address = "127.0.0.1", family = 5 }, { address = "x", family = 4 } }
      assert.same({ "ERR_INVALID_ADDRESS_FAMILY", "x.invalid", 1 }, { err.code, err.host, err.port })
    end)

    it("goes on to the next address when one does not answer in time", function()
      local port, stop = sockets.silent "127.0.0.1"
      local server = greeter(1, { port = port, host = "127.0.0.2" })
      local note, log = recorder()
      local socket = net.connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2", autoSelectFamilyAttemptTimeout = 20,
      }
      sockets.watch(socket, note)
      local got = sockets.collect(socket)
      sockets.wait(function() return socket.closed and log[#log] == "close false" end)
      stop()
      support.run()
      for i = #log, 1, -1 do if log[i] == "resume" then table.remove(log, i) end end
      assert.same({
        ("connectionAttemptTimeout 127.0.0.1 %d 4"):format(port), ("connectionAttempt 127.0.0.2 %d 4"):format(port),
        "connect", "ready", "end", "finish", "close false",
      }, log)
      assert.equal("hello", got.text)
      assert.is_false(server.listening)
    end)

    it("counts an attempt that timed out among the errors", function()
      local port, stop = sockets.silent "127.0.0.1"
      local socket = net.connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2", autoSelectFamilyAttemptTimeout = 10,
      }
      local note, log = recorder()
      sockets.watch(socket, note)
      sockets.wait(function() return log[#log] == "close true" end)
      stop()
      support.run()
      assert.same({
        ("connectionAttemptTimeout 127.0.0.1 %d 4"):format(port), ("connectionAttempt 127.0.0.2 %d 4"):format(port),
        ("connectionAttemptFailed 127.0.0.2 %d 4 ECONNREFUSED"):format(port), "error ETIMEDOUT", "close true",
      }, log)
      local codes = {}
      for i, err in ipairs(socket.errored.errors) do codes[i] = err.code end
      assert.same({ "ETIMEDOUT", "ECONNREFUSED" }, codes)
    end)

    it("has no timeout for the last address, nor for the only one", function()
      local port, stop = sockets.silent "127.0.0.1"
      local refused = net.connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.2 127.0.0.1", autoSelectFamilyAttemptTimeout = 10,
      }
      local single = net.connect {
        port = port, host = "x.invalid", lookup = answers "127.0.0.1", autoSelectFamilyAttemptTimeout = 10,
      }
      local note, log = recorder()
      for _, socket in ipairs { refused, single } do
        socket:on("connectionAttemptTimeout", function() note "never" end)
        socket:on("error", function(err) note("error", err.code) end)
        socket:on("close", function(failed) note("close", failed) end)
      end
      local waited
      net.setTimeout(function() waited = true end, 60)
      sockets.wait(function() return waited end)
      assert.same({}, log)
      assert.is_true(refused.connecting)
      assert.is_true(single.connecting)
      refused:destroy()
      single:destroy()
      stop()
      support.run()
      assert.same({ "close false", "close false" }, log)
    end)

    it("can be destroyed in each of its events", function()
      for _, event in ipairs { "lookup", "connectionAttempt", "connectionAttemptFailed", "connect" } do
        local server = sockets.server(function(peer) peer:on("error", function() end) end,
          { port = 0, host = "127.0.0.2" })
        local note, log = recorder()
        local socket = net.Socket()
        local hits = 0
        socket:on(event, function()
          hits = hits + 1
          socket:destroy()
        end)
        socket:on("error", function(err) note("error", err.code) end)
        socket:on("close", function(failed)
          note("close", failed)
          server:close()
        end)
        socket:connect { port = server:address().port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2" }
        support.run()
        assert.same({ "close false" }, log, event)
        if event ~= "connectionAttempt" then assert.equal(1, hits, event) end
      end
    end)

    it("can be destroyed while an attempt is under way, and in its timeout", function()
      local port, stop = sockets.silent "127.0.0.1"
      local options = {
        port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2", autoSelectFamilyAttemptTimeout = 15,
      }
      local note, log = recorder()
      local early = net.connect(options)
      sockets.watch(early, note)
      early:destroy()
      sockets.wait(function() return log[#log] == "close false" end)
      assert.same({ ("connectionAttemptFailed 127.0.0.1 %d 4 ECANCELED"):format(port), "close false" }, log)

      note, log = recorder()
      local late = net.connect(options)
      late:on("connectionAttemptTimeout", function() late:destroy() end)
      sockets.watch(late, note)
      sockets.wait(function() return log[#log] == "close false" end)
      assert.same({ ("connectionAttemptTimeout 127.0.0.1 %d 4"):format(port), "close false" }, log)
      stop()
      support.run()
    end)

    it("keeps what was written early for the address that answers", function()
      local got
      local server = sockets.server(function(peer) got = sockets.collect(peer) end, { port = 0, host = "127.0.0.2" })
      local note, log = recorder()
      local socket = net.connect {
        port = server:address().port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2",
      }
      socket:setNoDelay(true)
      socket:setTimeout(10000)
      socket:write("early ", sockets.callback(note, "early"))
      socket:end_("bird", sockets.callback(note, "end"))
      socket:on("close", function() server:close() end)
      socket:resume()
      support.run()
      assert.equal("early bird", got.text)
      assert.same({ "early nil", "end nil" }, log)
    end)

    it("begins anew with another connect after the failure", function()
      local refusing = sockets.refusing_port()
      local server = greeter(1, { port = 0, host = "127.0.0.2" })
      local port = server:address().port
      local socket = net.Socket()
      local note, log = recorder()
      socket:on("error", function(err) note("error", err.code, #socket.autoSelectFamilyAttemptedAddresses) end)
      socket:on("connect", function() note("connect", #socket.autoSelectFamilyAttemptedAddresses) end)
      socket:on("close", function(failed)
        note("close", failed)
        if failed then
          socket:connect { port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2" }
        end
      end)
      socket:resume()
      socket:connect { port = refusing, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2 127.0.0.3" }
      support.run()
      assert.same({ "error ECONNREFUSED 3", "close true", "connect 2", "close false" }, log)
    end)

    it("goes on after an error in an attempt's listener", function()
      local server = greeter(1, { port = 0, host = "127.0.0.2" })
      local socket = net.Socket()
      local got = sockets.collect(socket)
      socket:connect {
        port = server:address().port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2",
      }
      local once = true
      socket:on("close", function() once = false end)
      support.run()
      assert.equal("hello", got.text)
      assert.is_false(once)
    end)
  end)

  it("is on by default, and can be switched", function()
    local asked
    local function ask(options)
      options.port = 1
      options.host = "x.invalid"
      options.lookup = function(_, o) asked = o.all or false end
      net.connect(options):destroy()
      support.run()
      return asked
    end
    assert.is_true(net.getDefaultAutoSelectFamily())
    assert.is_true(ask {})
    net.setDefaultAutoSelectFamily(false)
    assert.is_false(net.getDefaultAutoSelectFamily())
    assert.is_false(ask {})
    assert.is_true(ask { autoSelectFamily = true })
    net.setDefaultAutoSelectFamily(true)
    assert.is_true(ask {})
    assert.is_false(ask { autoSelectFamily = false })
    for _, bad in ipairs { 1, "true", {}, print } do
      assert.equal("ERR_INVALID_ARG_TYPE", caught(net.setDefaultAutoSelectFamily, bad).code)
    end
    assert.equal("ERR_INVALID_ARG_TYPE", caught(net.setDefaultAutoSelectFamily).code)
    assert.is_true(net.getDefaultAutoSelectFamily())
  end)

  it("has a default attempt timeout of 500 ms, at least 10", function()
    local get, set = net.getDefaultAutoSelectFamilyAttemptTimeout, net.setDefaultAutoSelectFamilyAttemptTimeout
    assert.equal(500, get())
    set(5)
    assert.equal(10, get())
    set(100)
    assert.equal(100, get())
    for _, bad in ipairs { 0, -1, 1.5, 2 ^ 31, 0 / 0 } do
      assert.equal("ERR_OUT_OF_RANGE", caught(set, bad).code)
    end
    for _, bad in ipairs { "100", true, {} } do assert.equal("ERR_INVALID_ARG_TYPE", caught(set, bad).code) end
    assert.equal(100, get())
    set(500)
  end)

  it("uses the default attempt timeout", function()
    local port, stop = sockets.silent "127.0.0.1"
    net.setDefaultAutoSelectFamilyAttemptTimeout(10)
    local socket = net.connect { port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2" }
    net.setDefaultAutoSelectFamilyAttemptTimeout(500)
    local timeouts = 0
    socket:on("connectionAttemptTimeout", function() timeouts = timeouts + 1 end)
    socket:on("error", function() end)
    sockets.wait(function() return socket.closed end)
    stop()
    support.run()
    assert.equal(1, timeouts)
  end)

  -- ---- a signal ----

  it("never connects when its signal was aborted before", function()
    local server = sockets.server(function() error "never reached" end)
    local controller = net.AbortController()
    controller:abort()
    for _, options in ipairs { { port = server:address().port, host = "127.0.0.1" }, { path = support.path() },
      { port = server:address().port, host = "x.invalid", lookup = function() error "never asked" end } } do
      options.signal = controller.signal
      local note, log = recorder()
      local socket = net.connect(options)
      sockets.watch(socket, note)
      sockets.wait(function() return #log >= 2 end)
      sockets.settle()
      local attempts = 0
      for i = #log, 1, -1 do
        if log[i]:find "^connectionAttempt" then attempts = attempts + 1 end
      end
      assert.equal(0, attempts)
      assert.equal("error ABORT_ERR", log[1])
      assert.truthy(log[2]:find "^close")
      assert.equal(2, #log)
      assert.is_true(socket.destroyed)
    end
    server:close()
    support.run()
  end)

  it("connects again after the close of an abort", function()
    local server = greeter()
    local port = server:address().port
    local controller = net.AbortController()
    controller:abort()
    local note, log = recorder()
    local socket = net.connect { port = port, host = "127.0.0.1", signal = controller.signal }
    socket:on("error", function(err) note("error", err.code) end)
    socket:on("connect", function() note "connect" end)
    socket:on("close", function(failed)
      note("close", failed)
      if #log == 2 then socket:connect(port, "127.0.0.1"):resume() end
    end)
    support.run()
    assert.same({ "error ABORT_ERR", "close nil", "connect", "close false" }, log)
  end)

  it("is given up when its signal is aborted meanwhile", function()
    local port, stop = sockets.silent "127.0.0.1"
    for _, options in ipairs { { port = port, host = "127.0.0.1" },
      { port = port, host = "x.invalid", lookup = answers "127.0.0.1 127.0.0.2" } } do
      local controller = net.AbortController()
      options.signal = controller.signal
      local note, log = recorder()
      local socket = net.connect(options)
      socket:on("error", function(err) note("error", err.code) end)
      socket:on("close", function(failed) note("close", failed) end)
      sockets.settle()
      assert.is_true(socket.connecting)
      controller:abort()
      assert.is_false(socket.connecting)
      sockets.wait(function() return #log == 2 end)
      sockets.settle()
      assert.same({ "error ABORT_ERR", "close true" }, log)
    end
    stop()
    support.run()
  end)

  -- ---- bad input ----

  describe("refuses", function()
    local function refused(...)
      local socket = net.Socket()
      local err = caught(socket.connect, socket, ...)
      socket:destroy()
      support.run()
      return err
    end

    it("a call without port and path", function()
      for _, arguments in ipairs { { n = 0 }, { n = 1 }, { n = 1, {} }, { n = 1, { host = "x" } },
        { n = 2, nil, function() end }, { n = 2, {}, function() end } } do
        local err = refused(table.unpack(arguments, 1, arguments.n))
        assert.equal("ERR_MISSING_ARGS", err.code)
        assert.equal("TypeError", err.name)
        assert.equal('The "options" or "port" or "path" argument must be specified', err.message)
      end
    end)

    it("a path that is no string", function()
      for _, bad in ipairs { 5, true, {}, print } do
        local err = refused { path = bad }
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "options.path" property must be of type string', 1, true))
      end
    end)

    it("a port that is none", function()
      for _, bad in ipairs { true, false, {}, print } do
        local err = refused { port = bad }
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "options.port" property must be one of type number or string', 1, true))
      end
      for _, bad in ipairs { "", " ", "x", -1, 65536, 1.5, 0 / 0, 1 / 0, "65536", "1.5", "-1" } do
        local err = refused { port = bad, host = "127.0.0.1" }
        assert.equal("ERR_SOCKET_BAD_PORT", err.code, tostring(bad))
        assert.equal("RangeError", err.name)
        assert.truthy(err.message:find("^Port should be >= 0 and < 65536%. Received "))
      end
      assert.equal("Port should be >= 0 and < 65536. Received type number (65536).", refused(65536).message)
      assert.equal("Port should be >= 0 and < 65536. Received type string ('x').", refused({ port = "x" }).message)
    end)

    it("a local address or port that is none", function()
      for _, bad in ipairs { "foo", "127.0.0.1.", 5, {} } do
        local err = refused { port = 1, localAddress = bad }
        assert.equal("ERR_INVALID_IP_ADDRESS", err.code)
        assert.equal("TypeError", err.name)
      end
      assert.equal("Invalid IP address: foo", refused({ port = 1, localAddress = "foo" }).message)
      for _, bad in ipairs { "80", true, {} } do
        local err = refused { port = 1, localPort = bad }
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "options.localPort" property must be of type number. Received ', 1, true))
      end
    end)

    it("a family, hints, host or lookup that is none", function()
      for _, bad in ipairs { 5, 44, "ipv4", "4", true, {} } do
        assert.equal("ERR_INVALID_ARG_VALUE", refused({ port = 1, host = "x.invalid", family = bad }).code)
      end
      for _, bad in ipairs { 1, 64, -1 } do
        assert.equal("ERR_INVALID_ARG_VALUE", refused({ port = 1, host = "x.invalid", hints = bad }).code)
      end
      for _, bad in ipairs { 5, "x", {}, true } do
        local err = refused { port = 1, host = "x.invalid", lookup = bad }
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "options.lookup" property must be of type function. Received ', 1, true))
      end
      for _, bad in ipairs { 5, {}, true, print } do
        local err = refused { port = 1, host = bad }
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.truthy(err.message:find('The "options.host" property must be of type string. Received ', 1, true))
        local lookup = refused { port = 1, host = bad, lookup = function() error "asked" end }
        assert.equal(err.message, lookup.message)
        assert.equal(err.message, refused({ port = "x", host = bad, localAddress = "x" }).message)
      end
    end)

    it("a host with a NUL in it, which would be cut there", function()
      local function never() error "asked" end
      for _, host in ipairs { "localhost\0", "localhost\0.example", "\0", "127.0.0.1\0x", "::1\0" } do
        for _, lookup in ipairs { false, never } do
          local err = refused { port = 1, host = host, lookup = lookup or nil }
          assert.equal("ERR_INVALID_ARG_VALUE", err.code)
          assert.equal("TypeError", err.name)
          assert.equal("The property 'options.host' must be a string without null bytes. Received '"
            .. host:gsub("%z", "\\x00") .. "'", err.message)
        end
        assert.equal("ERR_INVALID_ARG_VALUE", refused(1, host).code)
        assert.equal("ERR_INVALID_IP_ADDRESS", refused({ port = 1, localAddress = host }).code)
      end
      assert.equal("Invalid IP address: ::1\0", refused({ port = 1, localAddress = "::1\0" }).message)
    end)

    it("an autoSelectFamily that is none", function()
      for _, bad in ipairs { 1, "true", {} } do
        assert.equal("ERR_INVALID_ARG_TYPE", refused({ port = 1, autoSelectFamily = bad }).code)
      end
      for _, bad in ipairs { 0, -1, 1.5 } do
        assert.equal("ERR_OUT_OF_RANGE", refused({ port = 1, autoSelectFamilyAttemptTimeout = bad }).code)
      end
      for _, bad in ipairs { "100", {}, true } do
        assert.equal("ERR_INVALID_ARG_TYPE", refused({ port = 1, autoSelectFamilyAttemptTimeout = bad }).code)
      end
    end)

    it("what net.connect is given, and leaves no socket open", function()
      for _, options in ipairs { { port = 70000 }, { port = 1, host = "x.invalid", lookup = 5 }, { path = 5 },
        { port = 1, host = "x.invalid", timeout = 10000, lookup = function() error "in lookup" end }, {} } do
        assert.is_false(pcall(net.connect, options))
        sockets.settle()
        assert.same({}, support.pinned())
      end
    end)

    -- Options that are refused after the socket is said to be connecting
    local LATE = { { port = "x" }, { path = 5 }, { port = 1, localAddress = "x" }, { port = 1, localPort = "x" },
      { port = 1, host = 5 }, { port = 1, host = "x.invalid", lookup = 5 },
      { port = 1, host = "x.invalid", family = 7 }, { port = 1, host = "x.invalid", hints = 12345 } }

    it("and leaves nothing pinned and no timer running", function()
      for _, options in ipairs(LATE) do
        options.connectTimeout = 5
        local note, log = recorder()
        local socket = net.Socket()
        sockets.watch(socket, note)
        assert.is_false(pcall(socket.connect, socket, options))
        assert.same({}, support.pinned())
        net.setTimeout(note, 20, "later")
        support.run()
        assert.same({ "later" }, log)
        socket:setTimeout(5, note)
        assert.is_false(pcall(socket.connect, socket, options)) -- which begins the timeout anew
        net.setTimeout(note, 20, "later")
        support.run()
        assert.same({ "later", "timeout", "", "later" }, log)
        assert.same({}, support.pinned())
        local weak = setmetatable({ socket }, { __mode = "v" })
        socket = nil -- luacheck: ignore 311
        collectgarbage()
        collectgarbage()
        assert.is_nil(weak[1])
      end
    end)

    it("and leaves the socket as Node does: connecting, until it is destroyed", function()
      for _, options in ipairs(LATE) do
        local note, log = recorder()
        local socket = net.Socket()
        sockets.watch(socket, note)
        assert.is_false(pcall(socket.connect, socket, options, note))
        assert.same({ true, true, "opening", false, 2 },
          { socket.connecting, socket.pending, socket.readyState, socket.destroyed, socket:listenerCount "connect" })
        assert.same({}, socket:address())
        assert.is_true(socket:write("x", sockets.callback(note, "write")))
        support.run()
        assert.same({}, log)
        socket:destroy()
        assert.same({ false, true, "closed" }, { socket.connecting, socket.pending, socket.readyState })
        support.run()
        assert.same({ "close false", "write ERR_SOCKET_CLOSED_BEFORE_CONNECTION" }, log)
      end
    end)

    it("and a later connect sends what was written meanwhile, and calls both callbacks", function()
      local server = greeter()
      local note, log = recorder()
      local socket = net.Socket()
      sockets.watch(socket, note)
      assert.is_false(pcall(socket.connect, socket, { port = 1, localAddress = "x" }, function() note "first" end))
      socket:write("abc", sockets.callback(note, "write"))
      local port = server:address().port
      socket:connect({ port = port, host = "127.0.0.1" }, function() note "second" end)
      socket:resume()
      support.run()
      assert.same({ ("connectionAttempt 127.0.0.1 %d 4"):format(port), "resume", "connect", "first", "write nil",
        "second", "ready", "end", "finish", "close false" }, log)
    end)

    it("and does not disturb a connect that is under way", function()
      for _, lookup in ipairs { false, answers "127.0.0.1" } do
        for _, options in ipairs(LATE) do
          local server = greeter()
          local target = { port = server:address().port, host = lookup and "x.invalid" or "127.0.0.1",
            lookup = lookup or nil }
          local socket = net.Socket()
          local got = sockets.collect(socket:connect(target))
          assert.is_false(pcall(socket.connect, socket, options))
          socket = nil -- luacheck: ignore 311
          collectgarbage()
          support.run_until(function() return got.ended end)
          assert.equal("hello", got.text)
          server:close()
          support.run()
        end
      end
    end)

    it("and does not keep the socket from connecting later", function()
      local server = greeter()
      local socket = net.Socket()
      assert.equal("ERR_MISSING_ARGS", caught(socket.connect, socket).code)
      assert.is_false(socket.connecting)
      assert.equal("ERR_SOCKET_BAD_PORT", caught(socket.connect, socket, 70000).code)
      assert.is_true(socket.connecting) -- as in Node
      local got = sockets.collect(socket)
      socket:connect(server:address().port, "127.0.0.1")
      support.run()
      assert.equal("hello", got.text)
    end)
  end)
end)

describe("a socket with a blockList", function()
  after_each(support.clean)

  local BLOCKED = "127.0.0.2"

  -- What a connect with such a list tells; the port is shown as P.
  local function events(options, list)
    local note, log = recorder()
    local socket = net.Socket { blockList = list }
    options.port = options.port or sockets.refusing_port()
    sockets.watch(socket, note)
    socket:on("connect", function() socket:destroy() end)
    socket:connect(options)
    support.run()
    for i, line in ipairs(log) do log[i] = line:gsub(" " .. options.port .. " ", " P ") end
    return log, socket
  end

  local function list_of(...)
    local list = net.BlockList()
    for _, address in ipairs { ... } do
      list:addAddress(address, net.isIP(address) == 6 and "ipv6" or "ipv4")
    end
    return list
  end

  it("tells of the attempt before the error, for an only address", function()
    for _, options in ipairs {
      { host = BLOCKED }, { host = "::ffff:" .. BLOCKED }, { host = "x.invalid", lookup = answers(BLOCKED) },
      { host = "x.invalid", lookup = answers(BLOCKED), autoSelectFamily = false },
      { host = "x.invalid", lookup = answers(BLOCKED), localAddress = "127.0.0.3" },
    } do
      local address = options.host:find "x" and BLOCKED or options.host
      local log, socket = events(options, list_of(BLOCKED))
      local expected = { ("connectionAttempt %s P %d"):format(address, net.isIP(address)), "error ERR_IP_BLOCKED",
        "close true" }
      if log[1] == "resume" then table.remove(log, 1) end
      if log[1]:find "^lookup" then table.remove(log, 1) end
      assert.same(expected, log)
      assert.equal(("IP(%s) is blocked by net.BlockList"):format(address), socket.errored.message)
      assert.is_nil(socket.errored.syscall)
    end
  end)

  it("binds first: a local port that is taken is the error", function()
    local server = net.createServer():listen(0, "127.0.0.1")
    support.run_until(function() return server.listening end)
    local port = server:address().port
    server:unref()
    local log = events({ host = BLOCKED, localAddress = "127.0.0.1", localPort = port }, list_of(BLOCKED))
    assert.same({ "error EADDRINUSE", "close true" }, log)
    server:close()
    support.run()
  end)

  it("asks the list after 'connectionAttempt', whose listener may change it or destroy the socket", function()
    local list = list_of(BLOCKED)
    local note, log = recorder()
    local socket = net.Socket { blockList = list }
    sockets.watch(socket, note)
    socket:once("connectionAttempt", function() list:clear() end)
    socket:connect(sockets.refusing_port(), BLOCKED)
    support.run()
    assert.equal("error ECONNREFUSED", log[#log - 1])
    list = list_of(BLOCKED)
    socket = net.Socket { blockList = list }
    note, log = recorder()
    sockets.watch(socket, note)
    socket:once("connectionAttempt", function() socket:destroy() end)
    socket:connect(1, BLOCKED)
    support.run()
    assert.same({ ("connectionAttempt %s 1 4"):format(BLOCKED), "close false" }, log)
  end)

  it("passes over those of several that are blocked: 'connectionAttemptFailed' without an attempt", function()
    local server = greeter(1, { port = 0, host = "127.0.0.1" })
    local port = server:address().port
    local log, socket = events({ port = port, host = "x.invalid", lookup = answers(BLOCKED .. " 127.0.0.1") },
      list_of(BLOCKED))
    assert.same({
      "lookup nil 127.0.0.2 4 x.invalid", "lookup nil 127.0.0.1 4 x.invalid",
      "connectionAttemptFailed 127.0.0.2 P 4 ERR_IP_BLOCKED", "connectionAttempt 127.0.0.1 P 4", "connect", "ready",
      "close false",
    }, log)
    assert.same({ "127.0.0.1:" .. port }, socket.autoSelectFamilyAttemptedAddresses)
  end)

  it("fails with one error if all of several are blocked, or refuse", function()
    local log, socket = events({ host = "x.invalid", lookup = answers "::1 127.0.0.1 127.0.0.2" },
      list_of("::1", BLOCKED))
    assert.same({
      "lookup nil ::1 6 x.invalid", "lookup nil 127.0.0.1 4 x.invalid", "lookup nil 127.0.0.2 4 x.invalid",
      "connectionAttemptFailed ::1 P 6 ERR_IP_BLOCKED", "connectionAttempt 127.0.0.1 P 4",
      "connectionAttemptFailed 127.0.0.1 P 4 ECONNREFUSED", "connectionAttemptFailed 127.0.0.2 P 4 ERR_IP_BLOCKED",
      "error ERR_IP_BLOCKED", "close true",
    }, log)
    local codes = {}
    for i, err in ipairs(socket.errored.errors) do codes[i] = err.code end
    assert.same({ "ERR_IP_BLOCKED", "ECONNREFUSED", "ERR_IP_BLOCKED" }, codes)
  end)

  it("ends when a listener of 'connectionAttemptFailed' destroys it", function()
    local note, log = recorder()
    local socket = net.Socket { blockList = list_of(BLOCKED) }
    socket:on("connectionAttemptFailed", function(address) note("failed", address) socket:destroy() end)
    socket:on("connectionAttempt", function() note "never" end)
    socket:on("close", function(...) note("close", ...) end)
    socket:connect { port = 1, host = "x.invalid", lookup = answers(BLOCKED .. " 127.0.0.1") }
    support.run()
    assert.same({ "failed " .. BLOCKED, "close false" }, log)
  end)

  it("takes the list when it is made, not at connect, and nothing false for one", function()
    local server = greeter(2, { port = 0, host = "127.0.0.1" })
    local port = server:address().port
    for _, value in ipairs { false, 0, "" } do
      assert.is_true(pcall(net.Socket, { blockList = value }))
      assert.is_true(pcall(net.createServer, { blockList = value }))
    end
    for _, value in ipairs { true, 1, "x", {}, net.BlockList } do
      for _, make in ipairs { net.Socket, net.createServer } do
        local err = caught(make, { blockList = value })
        assert.equal("ERR_INVALID_ARG_TYPE", err.code)
        assert.matches('^The "options.blockList" property must be an instance of net.BlockList', err.message)
      end
    end
    for _, make in ipairs {
      function() return net.Socket():connect { port = port, host = "127.0.0.1", blockList = list_of "127.0.0.1" } end,
      function() return net.connect { port = port, host = "127.0.0.1", blockList = list_of(BLOCKED) } end,
    } do
      local got = sockets.collect(make())
      support.run_until(function() return got.ended end)
      assert.equal("hello", got.text)
    end
    support.run()
    local err
    local blocked = net.connect { port = port, host = "127.0.0.1", blockList = list_of "127.0.0.1" }
    blocked:on("error", function(e) err = e end)
    support.run()
    assert.equal("ERR_IP_BLOCKED", err.code)
  end)
end)

describe("connect with an address where the path belongs", function()
  after_each(support.clean)

  local function each_way(check, ...)
    check(net.connect, ...)
    check(net.createConnection, ...)
    local socket = net.Socket()
    check(socket.connect, socket, ...)
    assert.is_false(socket.connecting)
  end

  it("shows what the call should be", function()
    local address = "The argument 'path' is an address: call connect(%s), or connect{ path = ... } for a file of " ..
      "this name. Received "
    local order = "The argument 'port' must come before the host: call connect(%s). Received "
    local function f() end
    for _, case in ipairs {
      { address, '8080, "127.0.0.1"', "127.0.0.1", 8080 },
      { address, 'port, "127.0.0.1"', "127.0.0.1", f },
      { address, '80, "::1"', "::1", 80, f },
      { address, '8080, "127.0.0.1"', "127.0.0.1:8080" },
      { address, '8080, "::1"', "[::1]:8080", f },
      { order, '8080, "localhost"', "localhost", 8080, f },
      { order, '1, "echo.sock"', "echo.sock", 1.0 },
      { order, '1, host', ("x"):rep(100), 1 },
      { order, '80, "8080"', "8080", 80 },
    } do
      local expected = case[1]:format(case[2])
      each_way(function(...)
        local err = support.caught(...)
        assert.equal("ERR_INVALID_ARG_VALUE", err.code)
        assert.equal(expected, err.message:sub(1, #expected))
      end, table.unpack(case, 3))
    end
  end)

  it("takes everything else for a path", function()
    for _, target in ipairs { "echo.sock", "./127.0.0.1", "localhost", "[::1]", { path = "127.0.0.1" } } do
      local socket = net.connect(target)
      socket:on("error", function() end)
      support.run()
      assert.equal("ENOENT", socket.errored.code)
    end
  end)
end)
