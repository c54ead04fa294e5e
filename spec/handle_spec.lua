-- What lies below servers and sockets: descriptors that run out, paths and abstract names, files of sockets, what
-- programs inherit, and closing in every order.

local net = require "cnet"
local support = require "spec.support"

local HOST = "127.0.0.1"

-- The lines of a command's output that match.
local function count_lines(command, pattern)
  local n = 0
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do
    if line:find(pattern) then n = n + 1 end
  end
  pipe:close()
  return n
end

local function open_sockets()
  return count_lines(("ls -l /proc/%d/fd"):format(net.process.pid), "socket:")
end

-- A path of exactly n bytes where nothing is.
local function path_of(n)
  local path = support.path():gsub("%.sock$", "")
  assert(#path < n - 6)
  return path .. "_" .. ("x"):rep(n - #path - 6) .. ".sock"
end

-- Listens at the path and answers one client, which connects there. Returns what was heard.
local function meet(path)
  local note, log = support.recorder()
  local server
  server = net.createServer(function(socket)
    server:close()
    socket:end_ "hello"
  end)
  server:on("error", function(err) note(err.code) end)
  server:on("close", function() note "close" end)
  server:listen(path, function()
    assert.equal(path, server:address())
    local client = net.connect(path)
    client:on("data", note)
    client:on("error", function(err) note("client", err.code) server:close() end)
  end)
  support.run()
  return table.concat(log, " ")
end

describe("a server without a descriptor to spare", function()
  after_each(support.clean)

  local few = [[sh -c 'ulimit -n 96; exec "$@"' sh]]

  -- valgrind keeps a limit of its own
  local function limited()
    if not (os.getenv "LD_PRELOAD" or ""):find "vgpreload" then return true end
    pending "valgrind lets no program run out of descriptors"
    return false
  end

  it("lets the clients go that it cannot accept, and accepts again when descriptors are free", function()
    if not limited() then return end
    local path = support.path()
    for _, where in ipairs {"port", path} do
      local out, err, code = support.lua({[[
        local net = require "cnet"
        local accepted, failures = 0, 0
        local files = {}
        local function fill()
          while true do
            local file = io.open "/dev/null"
            if not file then break end
            files[#files + 1] = file
          end
        end
        local function free(n)
          for _ = 1, n do table.remove(files):close() end
        end
        local server = net.createServer(function(socket)
          accepted = accepted + 1
          socket:on("data", function(data) socket:write(data) end)
          socket:on("error", function() end)
        end)
        server:on("error", function() failures = failures + 1 end)
        local port = arg[1]
        local function connect() return net.connect(port, port ~= arg[1] and "127.0.0.1" or nil) end
        local old -- a connection that is there all the time
        local function ask_old(done)
          old:once("data", function(data) print("old connection", data) done() end)
          old:write "still here"
        end
        local rounds = 0
        local function round()
          rounds = rounds + 1
          if rounds > 3 then
            server:close(function() print("close", server.listening) end)
            old:end_()
            return
          end
          fill()
          free(5)
          local left = 5
          for _ = 1, 5 do -- they take what was freed: nothing is left to accept them with
            local client = connect()
            client:on("error", function(e) assert(e.code == "ECONNRESET" or e.code == "EPIPE", e) end)
            client:resume()
            client:on("close", function()
              left = left - 1
              if left > 0 then return end
              print("let go", accepted - rounds, server.listening)
              ask_old(function()
                free(#files // 2)
                local good = connect()
                good:write "hello"
                good:on("data", function(data) print("served", data) good:end_() end)
                good:on("close", round)
              end)
            end)
          end
        end
        server:listen(port == "port" and 0 or port, port == "port" and "127.0.0.1" or nil, function()
          if port == "port" then port = server:address().port end
          old = connect()
          old:on("connect", function() ask_old(round) end)
        end)
        net.run()
        print(accepted, failures <= 15)
      ]], prefix = few}, where)
      assert.equal("", err)
      local round = "let go\t0\tfalse\nold connection\tstill here\nserved\thello\n"
      round = round:gsub("false", "true")
      assert.equal("old connection\tstill here\n" .. round:rep(3) .. "close\tfalse\n4\ttrue\n", out)
      assert.equal(0, code)
    end
  end)

  it("says so when it cannot listen, and can listen later", function()
    if not limited() then return end
    local out, err, code = support.lua({[[
      local net = require "cnet"
      net.backendFd()
      local files = {}
      repeat
        local file = io.open "/dev/null"
        files[#files + 1] = file
      until not file
      for _, form in ipairs {{port = 0}, {port = 0, host = "127.0.0.1"}, {path = arg[1]}, {port = 0, reusePort = true},
        {path = "\0cnet spec " .. net.process.pid}} do
        local server = net.createServer()
        server:on("error", function(e)
          print((e.message:gsub("%c.*", "")):match "^listen EMFILE: too many open files", e.code, e.errno, e.syscall)
        end)
        server:once("close", function()
          local some = {table.unpack(files, 1, 10)}
          for i = 1, 10 do table.remove(files, 1) end
          for _, file in ipairs(some) do file:close() end
          server:listen(form, function()
            print "listening"
            server:close()
            repeat
              local file = io.open "/dev/null"
              files[#files + 1] = file
            until not file
          end)
        end)
        server:listen(form)
        net.run()
      end
    ]], prefix = few}, support.path())
    assert.equal("", err)
    local each = "listen EMFILE: too many open files\tEMFILE\t-24\tlisten\nlistening\n"
    assert.equal(each:rep(5), out)
    assert.equal(0, code)
  end)

  it("goes on accepting when accept fails: 'error' without 'close'", function()
    if not limited() then return end
    if tonumber(tostring(net):match "libuv %d+%.(%d+)") >= 45 then
      pending "libuv tells of it no more since 1.45"
      return
    end
    if not os.execute "prlimit --pid $$ --nofile >/dev/null 2>&1" then
      pending "needs prlimit to take all descriptors away from a program that runs"
      return
    end
    local out, err, code = support.lua [[
      local net = require "cnet"
      local function limit(n) os.execute(("prlimit --pid %d --nofile=%d:"):format(net.process.pid, n)) end
      local server = net.createServer(function(socket) print "connection" socket:end_() end)
      local errors = 0
      server:on("error", function(...)
        local e = ...
        errors = errors + 1
        if errors > 1 then os.exit(1, false) end -- libuv would ask for ever
        limit(256)
        print(select("#", ...), e.message, e.code, e.errno, e.syscall, e.address, e.port, server.listening)
      end)
      server:on("close", function() print "close" end)
      server:listen(0, "127.0.0.1", function()
        local client = net.connect(server:address().port, "127.0.0.1")
        client:on("close", function() server:close() end)
        client:resume()
        -- once the client is on its way not even the descriptors in reserve help
        net.nextTick(net.nextTick, limit, 4)
      end)
      net.run()
    ]]
    assert.equal("", err)
    assert.equal("1\taccept EMFILE\tEMFILE\t-24\taccept\tnil\tnil\ttrue\nconnection\nclose\n", out)
    assert.equal(0, code)
  end)
end)

describe("a path", function()
  after_each(support.clean)

  it("may have 107 bytes, and is refused with EINVAL beyond, never cut", function()
    assert.equal("hello close", meet(path_of(107)))
    for _, n in ipairs {108, 109, 200, 5000} do
      local note, log = support.recorder()
      local path = path_of(n)
      local server = net.createServer()
      server:on("error", function(err)
        note "error"
        assert.equal("listen EINVAL: invalid argument " .. path, err.message)
        assert.equal("EINVAL", err.code)
        assert.equal(-22, err.errno)
        assert.equal("listen", err.syscall)
        assert.equal(path, err.address)
        assert.equal(-1, err.port)
      end)
      server:on("close", function() note "close" end)
      server:on("listening", function() note "listening" end)
      server:listen(path)
      assert.is_false(server.listening)
      support.run()
      assert.same({"error", "close"}, log)
      assert.is_false(support.exists(path))
      assert.is_false(support.exists(path:sub(1, 107)))
    end
  end)

  it("is refused with EINVAL to connect to beyond, and if there is a NUL in it", function()
    local base = path_of(60)
    for _, path in ipairs {path_of(108), path_of(400), base .. "\0", base .. "\0more"} do
      local note, log = support.recorder()
      local client = net.connect(path)
      client:on("error", function(err) note(err.code, err.syscall) end)
      client:on("close", function(failed) note("close", failed) end)
      support.run()
      assert.same({"EINVAL connect", "close true"}, log)
      local server = net.createServer()
      server:on("error", function(err) note(err.code, err.syscall) end)
      server:listen(path)
      support.run()
      assert.equal("EINVAL listen", log[3])
      assert.is_false(support.exists(base))
    end
  end)

  it("loses its file when the server closes, however that happens", function()
    local path = support.path()
    local server = net.createServer():listen(path)
    assert.is_true(support.exists(path))
    server:close()
    assert.is_false(support.exists(path)) -- in the call
    support.run()
    do
      local scoped <close> = net.createServer():listen(path)
      assert.is_true(support.exists(path))
      assert.is_true(scoped.listening)
    end
    assert.is_false(support.exists(path))
    support.run()
    assert.equal("hello close", meet(path))
    assert.is_false(support.exists(path))
  end)

  it("is closed without harm if the file is gone by then", function()
    local note, log = support.recorder()
    local path = support.path()
    local server = net.createServer():listen(path)
    assert(os.remove(path))
    server:close(function(err) note("close", err) end)
    support.run()
    assert.same({"close nil"}, log)
  end)

  it("with a stale file is EADDRINUSE, until that is removed", function()
    local path = support.path()
    local _, err = support.lua([[
      require "cnet".createServer():listen(arg[1])
      os.exit(0, false)
    ]], path)
    assert.equal("", err)
    assert.is_true(support.exists(path))
    assert.equal("EADDRINUSE close", meet(path))
    assert.is_true(support.exists(path))
    local refused
    net.connect(path):on("error", function(e) refused = e end)
    support.run()
    assert.equal("connect ECONNREFUSED " .. path, refused.message)
    assert(os.remove(path))
    assert.equal("hello close", meet(path))
  end)

  it("serves connections that have no addresses", function()
    local path = support.path()
    local checked = 0
    local function check(socket)
      checked = checked + 1
      assert.is_nil(socket.remoteAddress)
      assert.is_nil(socket.remotePort)
      assert.is_nil(socket.localAddress)
      assert.same({}, socket:address())
    end
    local server
    server = net.createServer(function(socket)
      check(socket)
      server:close()
      socket:end_()
    end)
    server:listen(path, function()
      local client
      client = net.connect(path, function() check(client) end)
      client:resume()
    end)
    support.run()
    assert.equal(2, checked)
  end)
end)

describe("an abstract name", function()
  after_each(support.clean)

  local base = "\0cnet handle_spec " .. net.process.pid

  it("is listened on and connected to, and leaves no file", function()
    assert.equal("hello close", meet(base))
    assert.equal("hello close", meet(base .. ("x"):rep(107 - #base)))
  end)

  it("ends where the text ends: a NUL within is a byte like others", function()
    local note, log = support.recorder()
    local names = {base .. "\0a", base .. "\0b", base, base .. "\0"}
    local servers = {}
    local left = #names
    for i, name in ipairs(names) do
      servers[i] = net.createServer(function(socket) socket:end_(tostring(i)) end)
      servers[i]:on("error", function(err) note(err.code) end)
      servers[i]:listen(name)
      assert.equal(name, servers[i]:address())
    end
    for i, name in ipairs(names) do
      net.connect(name):on("data", function(data)
        assert.equal(tostring(i), data)
        left = left - 1
        if left == 0 then for _, server in ipairs(servers) do server:close() end end
      end)
    end
    support.run()
    assert.equal(0, left)
    assert.same({}, log)
  end)

  it("is shown as it is by tostring", function()
    local server = net.createServer():listen(base .. "\0more")
    assert.equal("net.Server (" .. base .. "\0more)", tostring(server))
    server:close()
    support.run()
  end)

  it("too long is EINVAL, taken is EADDRINUSE", function()
    assert.equal("EINVAL close", meet(base .. ("x"):rep(108 - #base)))
    local holder = net.createServer():listen(base .. "\0taken"):unref()
    assert.equal("EADDRINUSE close", meet(base .. "\0taken"))
    holder:close()
    support.run()
    assert.equal("hello close", meet(base .. "\0taken")) -- free again
  end)

  it("is named whole by errors", function()
    local name = base .. "\0taken"
    local holder = net.createServer():listen(name):unref()
    local err
    net.createServer():on("error", function(e) err = e end):listen(name)
    support.run()
    holder:close()
    support.run()
    assert.equal("EADDRINUSE", err.code)
    assert.equal(name, err.address)
    assert.equal("listen EADDRINUSE: address already in use " .. name, err.message)
    assert.equal(-1, err.port)
    net.connect(name):on("error", function(e) err = e end)
    support.run()
    assert.equal(name, err.address)
    assert.equal("connect ECONNREFUSED " .. name, err.message)
  end)

  it("where nobody listens is refused", function()
    local note, log = support.recorder()
    local client = net.connect(base .. " nobody")
    client:on("error", function(err) note(err.code) end)
    client:on("close", function(failed) note("close", failed) end)
    support.run()
    assert.same({"ECONNREFUSED", "close true"}, log)
  end)
end)

describe("descriptors", function()
  after_each(support.clean)

  it("are not inherited by other programs", function()
    local function inherited() return count_lines("ls -l /proc/self/fd", "socket:") end
    local before = inherited()
    local path = support.path()
    local looked
    local servers = {
      net.createServer():listen(0),
      net.createServer():listen {port = 0, reusePort = true},
      net.createServer():listen(path),
      net.createServer():listen("\0cnet cloexec " .. net.process.pid),
    }
    local ends, left = {}, 2 * #servers
    local function one(socket)
      ends[#ends + 1] = socket
      left = left - 1
      if left > 0 then return end
      looked = {open_sockets(), inherited()}
      for _, e in ipairs(ends) do e:destroy() end
      for _, server in ipairs(servers) do server:close() end
    end
    local open_before = open_sockets() - #servers
    for _, server in ipairs(servers) do
      server:on("connection", one)
      local address = server:address()
      local client
      client = net.connect(type(address) == "table" and address.port or address)
      client:on("connect", function() one(client) end)
    end
    support.run()
    assert.equal(open_before + 3 * #servers, looked[1])
    assert.equal(before, looked[2])
    assert.equal(open_before, open_sockets())
  end)

  it("are given back whatever becomes of a listen", function()
    local before = open_sockets()
    local holder = net.createServer():listen(0, HOST)
    local path = support.path()
    holder:on("listening", function()
      for _ = 1, 20 do
        for _, form in ipairs {{port = holder:address().port, host = HOST}, {port = 0, host = "192.0.2.99"},
          {path = "/none/none"}, {path = "/"}, {path = path_of(300)}, {fd = 9999}, {port = 0, host = "a..b"},
          {port = holder:address().port, host = HOST, reusePort = true}} do
          net.createServer():on("error", function() end):listen(form)
        end
        for _, form in ipairs {{port = 0}, {port = 0, host = HOST}, {path = path}, {path = "\0cnet x"}, holder} do
          local server = net.createServer():listen(form)
          if form ~= holder then server:close() end
        end
      end
      net.setImmediate(function() holder:close() end)
    end)
    support.run()
    assert.equal(before, open_sockets())
  end)
end)

describe("closing", function()
  after_each(support.clean)

  local orders = {{1, 2, 3}, {1, 3, 2}, {2, 1, 3}, {2, 3, 1}, {3, 1, 2}, {3, 2, 1}}

  -- Connects a client to a server, and calls done(server, client, socket) when both ends are there.
  local function pair(where, done)
    local server = net.createServer()
    local client, socket
    local function one()
      if client.readyState == "open" and socket then done(server, client, socket) end
    end
    server:on("connection", function(s) socket = s one() end)
    server:listen(where, function()
      local address = server:address()
      client = net.connect(type(address) == "table" and address.port or address)
      client:on("connect", one)
    end)
  end

  local ways = {
    destroy = function(socket) socket:destroy() end,
    end_ = function(socket) socket:resume() socket:end_() end,
    destroySoon = function(socket) socket:resume() socket:destroySoon() end,
    ["write and destroy"] = function(socket) socket:write(("x"):rep(1e6)) socket:destroy() end,
    resetAndDestroy = function(socket)
      if socket.remoteAddress then socket:resetAndDestroy() else socket:destroy() end
    end,
  }

  for name, close in pairs(ways) do
    it("in every order, with " .. name, function()
      local path = support.path()
      local before = open_sockets()
      for _, where in ipairs {0, path} do
        for _, order in ipairs(orders) do
          for _, apart in ipairs {false, true} do
            local closes = {}
            local objects
            pair(where, function(server, client, socket)
              if objects then return end
              objects = {server, client, socket}
              for i, object in ipairs(objects) do
                closes[i] = 0
                object:on("close", function() closes[i] = closes[i] + 1 end)
              end
              client:on("error", function() end)
              socket:on("error", function() end)
              client:resume()
              socket:resume()
              local function step(i)
                local object = objects[order[i]]
                if object == server then server:close() else close(object) end
                if i == 3 then return end
                if apart then net.setImmediate(step, i + 1) else step(i + 1) end
              end
              step(1)
            end)
            support.run()
            assert.same({1, 1, 1}, closes)
          end
        end
      end
      assert.equal(before, open_sockets())
    end)
  end

  it("the server while a client waits to be accepted, after net.stop", function()
    local note, log = support.recorder()
    local server = net.createServer(function(socket)
      note "connection"
      socket:destroy()
      net.stop()
    end)
    server:on("close", function() note "close" end)
    server:listen(0, HOST, function()
      for _ = 1, 3 do
        local client = net.connect(server:address().port, HOST)
        client:on("error", function(err) assert.equal("ECONNRESET", err.code) end)
        client:resume()
      end
    end)
    assert.is_true(net.run())
    assert.same({"connection"}, log)
    server:close()
    collectgarbage()
    support.run()
    assert.same({"connection", "close"}, log)
  end)

  it("nothing: clients that wait while the loop is stopped are accepted later, each once", function()
    local n = 0
    local server = net.createServer(function(socket)
      n = n + 1
      socket:end_()
      if n == 5 then socket.server:close() end
      net.stop()
    end)
    server:listen(0, HOST, function()
      for _ = 1, 5 do net.connect(server:address().port, HOST):resume() end
    end)
    local runs = 0
    while net.run() do
      runs = runs + 1
      assert.equal(runs, n)
    end
    assert.equal(5, n)
  end)

  it("clients before they are accepted, with and without a reset", function()
    local n, done = 0, 0
    local server
    server = net.createServer(function(socket)
      n = n + 1
      socket:on("error", function() end)
      socket:on("close", function()
        done = done + 1
        if done == 20 then server:close() end
      end)
      socket:resume()
      socket:end_ "hello"
    end)
    local path = support.path()
    server:listen(path)
    for _ = 1, 10 do net.connect(path):destroy() end -- connected in the call, gone in the call
    local second = net.createServer()
    second:on("connection", function(socket) server:emit("connection", socket) second.n = (second.n or 0) + 1
      if second.n == 10 then second:close() end
    end)
    second:listen(0, HOST, function()
      for _ = 1, 10 do
        local client
        client = net.connect(second:address().port, HOST, function() client:resetAndDestroy() end)
      end
    end)
    support.run()
    assert.equal(20, n)
    assert.equal(20, done)
  end)

  it("a server in the 'close' of its last connection, and a connection in the server's", function()
    local note, log = support.recorder()
    pair(0, function(server, client, socket)
      server:on("close", function() note "server" client:destroy() client:destroy() end)
      client:on("close", function() note "client" end)
      socket:on("close", function() note "socket" server:close() end)
      socket:destroy()
    end)
    support.run()
    assert.same({"socket", "server", "client"}, log)
  end)
end)
