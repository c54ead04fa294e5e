-- Every program of examples/, each as a process of its own, with clients that are no part of cnet where there are any:
-- curl, nc. CNET_EXAMPLES names another folder to take them from, as an installed rock has.

local net = require "cnet"
local attack = require "spec.support.attack"
local child_process = require "cnet.child_process"
local support = require "spec.support"
local children = require "spec.support.children"
local limits = require "spec.support.limits"

local folder = os.getenv "CNET_EXAMPLES" or "examples"
local cpath = "LUA_CPATH=" .. support.absolute(package.cpath) .. ";;"

local running = {}

-- Starts a program; `out` and `err` are what it has written so far, `code` and `signal` how it ended.
local function start(file, args, options)
  options.silent = true
  local child = child_process.fork(file, args, options)
  local program = { child = child, out = "", err = "" }
  for name, stream in pairs { out = child.stdout, err = child.stderr } do
    stream:setEncoding "utf8"
    stream:on("data", function(text) program[name] = program[name] .. text end)
  end
  child:on("close", function(code, signal)
    program.code, program.signal = code, signal
    running[program] = nil
  end)
  running[program] = true
  return program
end

local function example(name, ...)
  local args = table.pack(...)
  for i = 1, args.n do args[i] = tostring(args[i]) end
  return start(folder .. "/" .. name .. ".lua", args, { execPath = "env", execArgv = { cpath, "lua5.4" } })
end

-- A program that is not ours; no sanitizer, which is for cnet.
local function tool(name, ...) return start("-u", { "LD_PRELOAD", name, ... }, { execPath = "env" }) end

local function has(name) return os.execute("command -v " .. name .. " >/dev/null 2>&1") end

local function type_in(program, text) program.child.stdin:write(text) end
local function close_input(program) program.child.stdin:end_() end

-- Waits until the program has written what matches; returns the captures.
local function wait_for(program, pattern, stream)
  local found
  support.run_until(function()
    found = table.pack(program[stream or "out"]:match(pattern))
    return found[1] ~= nil or not running[program]
  end)
  assert(found[1], ("%s is not in %q, %q"):format(pattern, program.out, program.err))
  return table.unpack(found)
end

local function wait_for_end(program)
  support.run_until(function() return not running[program] end)
  return program
end

-- A signal, and the program ends as it should: it has nothing to complain about.
local function stop(program, signal)
  program.child:kill(signal or "SIGTERM")
  wait_for_end(program)
  assert.equal("", program.err)
  assert.same({ 0 }, { program.code, program.signal })
end

local function listening(program) return tonumber((wait_for(program, "listening on[^\n]-(%d+)/?\n"))) end

-- What a client gets who sends the text, says that this was all, and reads to the end.
local function answer_of(where, text)
  local got, over = "", false
  local client = net.connect(where)
  client:on("data", function(chunk) got = got .. chunk end)
  client:on("close", function() over = true end)
  client:end_(text)
  support.run_until(function() return over end)
  return got
end

describe("examples/", function()
  after_each(function()
    for program in pairs(running) do -- of a spec that failed, whose listeners may be gone
      running[program] = nil
      program.child:kill "SIGKILL"
      support.run_until(function() return program.child.exitCode or program.child.signalCode end)
    end
    children.clean()
  end)

  it("is a course that leaves none out", function()
    local pipe, file = assert(io.popen("ls " .. folder)), assert(io.open(folder .. "/README.md"))
    local page = file:read "a"
    file:close()
    local n = 0
    for name in pipe:lines() do
      if name:find "%.lua$" then
        n = n + 1
        assert(page:find("](" .. name .. ")", 1, true), name .. " is not in examples/README.md")
      end
    end
    pipe:close()
    assert.equal(10, n)
  end)

  for _, signal in ipairs { "SIGINT", "SIGTERM" } do
    it("echo_server, and echo_client over TCP, until " .. signal, function()
      local server = example("echo_server", 0)
      local port = listening(server)
      local client = wait_for_end(example("echo_client", port, "hello", "there"))
      assert.same({ "hello there", "", 0 }, { (client.out:gsub("\n$", "")), client.err, client.code })
      local big = ("0123456789abcdef"):rep(65536)
      assert.equal(big, answer_of(port, big))
      stop(server, signal)
    end)
  end

  it("echo_server, and echo_client over a Unix socket, from stdin", function()
    local path = support.path()
    local server = example("echo_server", path)
    wait_for(server, "listening on[^\n]*\n")
    local client = example("echo_client", path)
    type_in(client, "one\ntwo\n")
    wait_for(client, "one\ntwo\n")
    close_input(client)
    assert.equal(0, wait_for_end(client).code)
    stop(server)
    assert.is_false(support.exists(path))
  end)

  it("echo_client where nobody listens says so", function()
    local client = wait_for_end(example("echo_client", support.path(), "x"))
    assert.matches("ENOENT", client.err)
    assert.equal(1, client.code)
  end)

  it("echo_server, and nc", function()
    if not has "nc" then return pending "nc is not there: apt-get install netcat-openbsd" end
    local server = example("echo_server", 0)
    local client = tool("nc", "-N", "127.0.0.1", tostring(listening(server)))
    type_in(client, "hello from nc\n")
    wait_for(client, "^hello from nc\n$")
    close_input(client)
    assert.equal(0, wait_for_end(client).code)
    stop(server)
  end)

  it("retry_port waits for its port", function()
    local other = net.createServer():listen(0, "127.0.0.1")
    local port
    other:on("listening", function() port = other:address().port end)
    support.run_until(function() return port end)
    local server = example("retry_port", port)
    wait_for(server, "EADDRINUSE[^\n]*: trying again in a second\n")
    other:close()
    assert.equal(port, listening(server))
    assert.equal("Hello from the server that waited.\n", answer_of(port, "anything"))
    stop(server)
  end)

  it("chat_server, and two line_client", function()
    local server = example("chat_server", 0)
    local port = listening(server)
    local ada, bob = example("line_client", "127.0.0.1", port), example("line_client", "127.0.0.1", port)
    wait_for(ada, "connected", "err")
    wait_for(bob, "connected", "err")
    type_in(ada, "/name Ada\n")
    wait_for(bob, "Ada")
    type_in(ada, "good morning\n")
    wait_for(bob, "Ada[^\n]*good morning\n")
    type_in(bob, "/quit\n")
    assert.equal(0, wait_for_end(bob).code)
    server.child:kill "SIGTERM"
    assert.equal(0, wait_for_end(server).code)
    assert.equal(0, wait_for_end(ada).code)
  end)

  it("static_http serves files", function()
    local server = example("static_http", folder, 0)
    local port = listening(server)
    local file = assert(io.open(folder .. "/README.md", "rb"))
    local page = file:read "a"
    file:close()
    local got = answer_of(port, "GET /README.md HTTP/1.1\r\nHost: x\r\n\r\nGET /none HTTP/1.0\r\n\r\n")
    assert.matches("^HTTP/1%.1 200 OK\r\n", got)
    assert.is_truthy(got:find(page, 1, true))
    assert.matches("HTTP/1%.1 404 ", got)
    stop(server)
  end)

  it("static_http, and curl", function()
    if not has "curl" then return pending "curl is not there: apt-get install curl" end
    local server = example("static_http", folder, 0)
    local where = ("http://127.0.0.1:%d/"):format(listening(server))
    local curl = wait_for_end(tool("curl", "-sS", "-w", "%{http_code} ", where .. "echo_server.lua", where .. "none"))
    assert.equal(0, curl.code)
    assert.matches("^%-%- Echo server: .*200 .*404 $", curl.out)
    stop(server)
  end)

  it("line_client with input that ends", function()
    local server = net.createServer(function(socket) socket:pipe(socket) end):listen(0, "127.0.0.1")
    local port
    server:on("listening", function() port = server:address().port end)
    support.run_until(function() return port end)
    local client = example("line_client", "127.0.0.1", port)
    type_in(client, "first\nlast without an end")
    close_input(client)
    wait_for_end(client)
    server:close()
    assert.same({ "first\nlast without an end\n", 0 }, { client.out, client.code })
  end)

  it("proxy, between echo_client and echo_server", function()
    local server = example("echo_server", 0)
    local proxy = example("proxy", 0, "127.0.0.1:" .. listening(server))
    local port = tonumber((wait_for(proxy, "passing [^\n]-(%d+) on to ")))
    local client = wait_for_end(example("echo_client", port, "through", "two"))
    assert.same({ "through two", 0 }, { (client.out:gsub("\n$", "")), client.code })
    local big = ("fedcba9876543210"):rep(65536)
    assert.equal(big, answer_of(port, big))
    stop(proxy)
    assert.matches("stopping, 0 open\n$", proxy.out)
    stop(server)
  end)

  it("portscan finds the open one", function()
    local server = example("echo_server", 0)
    local port = listening(server)
    local scan = wait_for_end(example("portscan", port, port, "-v"))
    assert.matches(("%d open at 127%%.0%%.0%%.1\n"):format(port), scan.out)
    assert.matches("1 of 1 ports open\n$", scan.out)
    assert.matches("trying ", scan.out)
    assert.equal(0, scan.code)
    stop(server)
  end)

  it("cluster_http answers from each worker, and replaces a dead one", function()
    local server = example("cluster_http", 0, 2)
    local port = listening(server)
    local function ask()
      return answer_of(port, "GET / HTTP/1.0\r\n\r\n"):match "^HTTP/1%.1 200 OK\r\n.*\r\nworker (%d+), pid (%d+)\n$"
    end
    local pids, n, deadline = {}, 0, os.time() + limits.loop // 1000
    local function ask_for(count)
      while n < count do
        assert(os.time() < deadline, "no other worker answers")
        local id, pid = ask()
        assert(id)
        if not pids[id] then pids[id], n = pid, n + 1 end
      end
    end
    ask_for(2)
    os.execute("kill -KILL " .. pids["1"])
    wait_for(server, "worker 1 %(pid " .. pids["1"] .. "%) died with SIGKILL\n", "err")
    ask_for(3)
    server.err = ""
    stop(server)
  end)

  it("socket_handoff: the children answer", function()
    local server = example("socket_handoff", 0)
    local port = listening(server)
    for name, answer in pairs { upper = "HELLO\n", reverse = "olleh\n" } do
      assert.equal(answer, answer_of(port, name .. "\nhello\n"))
      wait_for(server, "a client for " .. name .. "\n")
    end
    assert.matches("^no such child", answer_of(port, "nobody\n"))
    stop(server)
    assert.matches("connections here and in the children: 0\n", server.out)
  end)

  -- ---- attacks ----

  -- A program may tell of errors, but none may end it or one that it forked.
  local function check(program)
    assert.falsy(program.err:find("lua5.4: ", 1, true), program.err)
    assert.falsy(program.err:find(" died ", 1, true), program.err)
    assert.falsy((program.out .. program.err):find("write after end", 1, true), program.err)
  end

  -- How to start each of those that listen, and what shows that it still serves.
  local servers = {
    echo_server = { args = { 0 }, serves = function(port) return answer_of(port, "hi") == "hi" end },
    retry_port = { args = { 0 }, serves = function(port) return answer_of(port, ""):find "^Hello" end },
    chat_server = { args = { 0 }, serves = function(port) return answer_of(port, "/quit\n"):find "Goodbye" end },
    static_http = {
      args = { folder, 0 },
      serves = function(port) return answer_of(port, "GET /README.md HTTP/1.0\r\n\r\n"):find " 200 OK\r\n" end,
    },
    proxy = { args = { 0 }, serves = function(port) return answer_of(port, "hi") == "hi" end, upstream = true },
    cluster_http = {
      args = { 0, 2 },
      serves = function(port) return answer_of(port, "GET / HTTP/1.0\r\n\r\n"):find "\nworker %d" end,
    },
    socket_handoff = {
      args = { 0 },
      serves = function(port) return answer_of(port, "upper\nhello\n") == "HELLO\n" end,
    },
  }

  for name, how in pairs(servers) do
    it(name .. " survives clients that reset, end early and send garbage", function()
      local upstream = how.upstream and example("echo_server", 0)
      if upstream then how.args[2] = "127.0.0.1:" .. listening(upstream) end
      local server = example(name, table.unpack(how.args))
      local port = tonumber((wait_for(server, "on [^\n]-(%d+)/?[ \n]")))
      local over
      attack.server({ host = "127.0.0.1", port = port }, 0, function() over = true end)
      support.run_until(function() return over end)
      assert.is_truthy(how.serves(port))
      for _, program in ipairs { server, upstream } do
        program.child:kill "SIGTERM"
        wait_for_end(program)
        check(program)
        assert.same({ 0 }, { program.code, program.signal })
      end
    end)
  end

  it("has no server that is not attacked", function()
    local pipe = assert(io.popen("grep -l ':listen(' " .. folder .. "/*.lua"))
    for path in pipe:lines() do assert.is_table(servers[path:match "([%w_]+)%.lua$"], path) end
    pipe:close()
  end)

  for _, name in ipairs { "echo_client", "line_client", "portscan" } do
    it(name .. " survives servers that reset, end early and send garbage", function()
      if support.valgrind then return pending "a program for each way takes a minute under valgrind" end
      for _, behave in pairs(attack.servers) do
        local port
        attack.client({ host = "127.0.0.1", port = 0 }, behave, function(address) port = address.port end)
        support.run_until(function() return port end)
        local args = { echo_client = { port, "hello" }, line_client = { "127.0.0.1", port }, portscan = { port, port } }
        local client = example(name, table.unpack(args[name]))
        if name == "line_client" then
          client.child.stdin:on("error", function() end) -- it may be gone already
          type_in(client, "hello\nthere\n")
          close_input(client)
        end
        check(wait_for_end(client))
        assert.is_number(client.code)
        support.run()
      end
    end)
  end
end)
