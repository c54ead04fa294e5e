-- cnet.child_process: fork, its options, and the ChildProcess. What follows Node was compared with it.

local net = require "cnet"
local child_process = require "cnet.child_process"
local support = require "spec.support"
local children = require "spec.support.children"

local fork, sh, watch = children.fork, children.sh, children.watch

after_each(children.clean)

local function code_of(fn, ...)
  local ok, err = pcall(fn, ...)
  return not ok and err.code or nil
end

-- What sends the arguments, then leaves.
local TELL = "process:send { arg[0], table.unpack(arg) }"

describe("the module cnet.child_process", function()
  it("has fork and the class, and comes alone or with cnet", function()
    assert.equal("function", type(child_process.fork))
    assert.equal("true\ttrue\n", (support.lua [[
      local child_process = require "cnet.child_process"
      print(package.loaded.cnet == require "cnet", require "cnet.child_process" == child_process)
    ]]))
    local child = fork "process:disconnect()"
    assert.truthy(tostring(child):find "^ChildProcess %(%d+%)$")
    assert.equal(("ChildProcess (%d)"):format(child.pid), tostring(child))
    support.run()
    assert.equal(("ChildProcess (%d, exited with 0)"):format(child.pid), tostring(child))
  end)
end)

describe("fork", function()
  it("runs a script with arguments, by this interpreter", function()
    local child = fork(TELL, { "one", 2, "drei vier" })
    local got = children.messages(child)
    assert.equal("integer", math.type(child.pid))
    assert.is_true(child.connected)
    assert.truthy(child.spawnfile:find "lua")
    assert.same({ child.spawnfile, child.spawnargs[2], "one", "2", "drei vier" }, child.spawnargs)
    support.run()
    assert.same({ { child.spawnargs[2], "one", "2", "drei vier" }, n = 1 }, got)
    assert.equal(0, child.exitCode)
    assert.is_nil(child.signalCode)
    assert.is_false(child.killed)
    assert.is_false(child.connected)
    assert.is_nil(child.channel)
  end)

  it("takes options in the place of arguments, nil for either, and {} for both", function()
    local path = children.script "process:send(#arg)"
    local forms = { {}, { nil, nil }, { {} }, { {}, {} }, { nil, { execArgv = {} } }, { { execArgv = {} } },
      { { "a" } } }
    local got = {}
    for i, form in ipairs(forms) do
      local child = child_process.fork(path, form[1], form[2])
      child:on("message", function(n) got[i] = n end)
    end
    support.run()
    assert.same({ 0, 0, 0, 0, 0, 0, 1 }, got)
  end)

  it("puts execArgv before the script", function()
    local child = fork("process:send(mine)", {}, { execArgv = { "-e", "mine = 'set'" } })
    local got = children.messages(child)
    support.run()
    assert.same({ "set", n = 1 }, got)
    assert.same({ child.spawnfile, "-e", "mine = 'set'", child.spawnargs[4] }, child.spawnargs)
  end)

  it("runs another program with execPath, found along PATH", function()
    local child = sh([[printf '"%s"\n' "$1" >&3]], { "arg" })
    local got = children.messages(child)
    support.run()
    assert.same({ "arg", n = 1 }, got)
    assert.equal(support.sh, child.spawnfile)
    assert.equal(support.sh, child.spawnargs[1])
  end)

  it("replaces the environment by env, and adds the channel to it", function()
    local child = sh([[printf '"%s %s %s %s %s"\n' "$A" "$B" "$HOME" "$NODE_CHANNEL_FD" \
      "$NODE_CHANNEL_SERIALIZATION_MODE" >&3]], {}, { env = { A = "x=y", B = 7 }, execPath = "sh" })
    local got = children.messages(child)
    support.run()
    assert.same({ "x=y 7  3 json", n = 1 }, got)
  end)

  it("inherits the environment without env, but no other channel", function()
    local child = sh [[printf '"%s %s"\n' "$HOME" "$NODE_CHANNEL_FD" >&3]]
    local got = children.messages(child)
    support.run()
    assert.same({ os.getenv "HOME" .. " 3", n = 1 }, got)
  end)

  it("a child's environment and its own children know nothing of the channel", function()
    local child = fork [[
      local pipe = io.popen "echo $NODE_CHANNEL_FD:$NODE_CHANNEL_SERIALIZATION_MODE:; ls /proc/self/fd | tr '\n' ' '"
      local names, fds = pipe:read("l", "l")
      pipe:close()
      process:send { os.getenv "NODE_CHANNEL_FD", names, process.channel.fd, fds:find("%f[%d]3%f[%D]") ~= nil,
        (io.open "/proc/self/fd/3") ~= nil }
    ]]
    local got = children.messages(child)
    support.run()
    -- descriptor 3 of the `ls` itself is the folder it lists
    assert.equal("::", got[1][2])
    assert.is_nil(got[1][1])
    assert.equal(3, got[1][3])
  end)

  it("a grandchild does not keep the channel open", function()
    local child = fork [[
      process:send(io.popen("sleep 3600 </dev/null >/dev/null 2>&1 & echo $!"):read "n")
      os.exit(0)
    ]]
    local ended = {}
    child:on("message", function(pid) ended.pid = pid end)
    child:on("close", function() ended.close = true end)
    finally(function() os.execute("kill " .. ended.pid) end)
    support.run()
    assert.is_true(ended.close)
  end)

  it("starts in cwd", function()
    local child = sh([[printf '"%s"\n' "$PWD" >&3]], {}, { cwd = "/usr" })
    local got = children.messages(child)
    support.run()
    assert.same({ "/usr", n = 1 }, got)
  end)

  it("takes uid, gid and detached", function()
    local pipe = io.popen "id -u; id -g"
    local uid, gid = pipe:read("n", "n")
    pipe:close()
    local child = sh([[printf '[%s, %s, %s, %s]\n' "$(id -u)" "$(id -g)" "$$" "$(ps -o pgid= -p $$)" >&3]], {},
      { uid = uid, gid = gid, detached = true })
    local got = children.messages(child)
    support.run()
    assert.same({ uid, gid, child.pid }, { got[1][1], got[1][2], got[1][3] })
    if got[1][4] then assert.equal(child.pid, got[1][4]) end
  end)

  it("raises Node's codes for bad arguments, and leaves nothing behind", function()
    local codes = {
      { "ERR_INVALID_ARG_TYPE" },
      { "ERR_INVALID_ARG_TYPE", 1 },
      { "ERR_INVALID_ARG_TYPE", {} },
      { "ERR_INVALID_ARG_TYPE", "x", 1 },
      { "ERR_INVALID_ARG_TYPE", "x", "y" },
      { "ERR_INVALID_ARG_TYPE", "x", {}, 1 },
      { "ERR_INVALID_ARG_TYPE", "x", {}, "y" },
      { "ERR_INVALID_ARG_VALUE", "x\0" },
      { "ERR_INVALID_ARG_VALUE", "x", { "\0" } },
      { "ERR_INVALID_ARG_TYPE", "x", { {} } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { execPath = "\0" } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { execPath = {} } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { execPath = true } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { execArgv = 1 } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { execArgv = { "\0" } } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { cwd = {} } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { cwd = "\0" } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { env = "A=1" } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { env = { A = "\0" } } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { env = { ["A\0"] = "" } } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { env = { "A=1" } } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { uid = "x" } },
      { "ERR_OUT_OF_RANGE", "x", {}, { uid = 1.5 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { uid = 0 / 0 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { uid = 1 << 31 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { gid = 1.5 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { gid = -(1 << 31) - 1 } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { cwd = 5 } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { cwd = true } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { timeout = "5" } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { timeout = true } },
      { "ERR_OUT_OF_RANGE", "x", {}, { timeout = 1.5 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { timeout = -1 } },
      { "ERR_OUT_OF_RANGE", "x", {}, { timeout = 1 << 53 } },
      { "ERR_INVALID_ARG_TYPE", "x", {}, { detached = 1, execPath = "/bin/true" } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { serialization = "advanced" } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { serialization = "xml" } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { serialization = true } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { stdio = "foo" } },
      { "ERR_CHILD_PROCESS_IPC_REQUIRED", "x", {}, { stdio = { "pipe" } } },
      { "ERR_CHILD_PROCESS_IPC_REQUIRED", "x", {}, { stdio = {} } },
      { "ERR_IPC_ONE_PIPE", "x", {}, { stdio = { "ipc", "ipc" } } },
      { "ERR_INVALID_SYNC_FORK_INPUT", "x", {}, { stdio = { "foo", "ipc" } } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { stdio = { {}, "ipc" } } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { stdio = { true, "ipc" } } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { stdio = { print, "ipc" } } },
      { "ERR_INVALID_ARG_VALUE", "x", {}, { stdio = { net.Socket(), "ipc" } } },
      { "EBADF", "x", {}, { stdio = { 777, "ipc" } } },
      { "ENOTDIR", "x", {}, { execPath = "/etc/passwd/x" } },
    }
    for i, row in ipairs(codes) do
      assert.equal(row[1], code_of(child_process.fork, table.unpack(row, 2, 4)), "row " .. i)
    end
    local err = support.caught(child_process.fork, "x", {}, { stdio = { 777, "ipc" } })
    assert.same({ "spawn EBADF", "spawn", -9 }, { err.message, err.syscall, err.errno })
    collectgarbage()
    collectgarbage()
    net.run "nowait"
  end)

  it("has Node's messages", function()
    local function message(...) return support.caught(child_process.fork, ...).message end
    assert.equal("The \"modulePath\" argument must be of type string. Received nil", message())
    assert.equal("Child process can have only one IPC pipe", message("x", {}, { stdio = { "ipc", "ipc" } }))
    assert.equal("Forked processes must have an IPC channel, missing value 'ipc' in options.stdio",
      message("x", {}, { stdio = { "pipe" } }))
  end)
end)

describe("stdio", function()
  it("silent: the child's output is read, its input written", function()
    local child = fork([[
      local line = io.read "l"
      io.stdout:write("out " .. line)
      io.stderr:write("err " .. io.read "a")
      os.exit(3)
    ]], {}, { silent = true })
    local out, err = children.text(child.stdout), children.text(child.stderr)
    local events = watch(child)
    assert.is_true(child.stdin.writable)
    assert.is_false(child.stdin.readable)
    assert.is_true(child.stdout.readable)
    assert.equal(child.stdin, child.stdio[1])
    assert.equal(child.stdout, child.stdio[2])
    assert.equal(child.stderr, child.stdio[3])
    assert.is_nil(child.stdio[4])
    child.stdin:write "first\n"
    child.stdin:end_ "rest"
    support.run()
    assert.equal("out first", out())
    assert.equal("err rest", err())
    assert.equal("spawn", events[1])
    assert.equal("close 3 nil", events[#events])
    assert.is_true(child.stdin.destroyed)
  end)

  it("is the parent's own otherwise", function()
    local out, err = support.lua({ [[
      local fork = require "cnet.child_process".fork
      local net = require "cnet"
      local name = arg[0] .. ".child"
      local file = io.open(name, "w")
      file:write("io.write(io.read 'a') io.stderr:write 'error'")
      file:close()
      local child = fork(name)
      assert(child.stdin == nil and child.stdout == nil and child.stderr == nil)
      assert(child.stdio.n == 4 and next(child.stdio) == "n")
      net.run()
      os.remove(name)
    ]], input = "input" })
    assert.equal("input", out)
    assert.equal("error", err)
  end)

  it("output that nobody reads is thrown away after 'exit', and 'close' comes", function()
    local child = fork("io.write(('x'):rep(1000)) io.stderr:write 'y'", {}, { silent = true })
    local events = watch(child)
    support.run()
    assert.equal("close 0 nil", events[#events])
  end)

  it("'close' waits for output that a grandchild still writes", function()
    local child = fork([[os.execute "(read line; echo late) <&0 &"]], {}, {
      stdio = { "pipe", "pipe", "inherit", "ipc" },
    })
    local log, list = support.recorder()
    local out = children.text(child.stdout)
    child.stdin:on("error", function() end)
    child:on("exit", function() log "exit" end)
    child:on("close", function() log("close", out()) end)
    support.run()
    assert.same({ "exit", "close late\n" }, list)
  end)

  it("takes the words alone, for all three", function()
    local program = [[echo out; echo err >&2; cat; printf '"done"\n' >&3]]
    for _, word in ipairs { "pipe", "overlapped" } do
      local child = sh(program, {}, { stdio = word, silent = false })
      local out, err, got = children.text(child.stdout), children.text(child.stderr), children.messages(child)
      child.stdin:end_ "in\n"
      support.run()
      assert.same({ "out\nin\n", "err\n", "done" }, { out(), err(), got[1] })
    end
    local child = sh(program, {}, { stdio = "ignore", silent = true })
    local got = children.messages(child)
    assert.is_nil(child.stdin)
    assert.is_nil(child.stdout)
    support.run()
    assert.same({ "done", n = 1 }, got)
  end)

  it("takes an array: words, numbers, holes, sockets, tables with fd; and the channel anywhere", function()
    local child = sh([[
      read line
      printf 'five' >&5
      printf '"%s %s %s"\n' "$NODE_CHANNEL_FD" "$line" "$(readlink /proc/self/fd/2)" >&4
    ]], {}, { stdio = { "pipe", -1, "ignore", nil, "ipc", "pipe" } })
    local got, five = children.messages(child), children.text(child.stdio[6])
    assert.equal(6, child.stdio.n)
    assert.is_nil(child.stdio[3])
    assert.is_nil(child.stdio[4])
    assert.is_nil(child.stdio[5])
    assert.is_true(child.stdout.readable)
    child.stdin:end_ "line\n"
    support.run()
    assert.same({ "4 line /dev/null", n = 1 }, got)
    assert.equal("five", five())
  end)

  it("passes a descriptor, a socket's and a server's", function()
    local path = support.path()
    local got = {}
    local server
    server = net.createServer(function(peer)
      local child = sh([[printf 'to the client'; printf '"%s"\n' "$(readlink /proc/self/fd/4 | cut -c1-6)" >&3]], {},
        { stdio = { "ignore", peer, 2, "ipc", server, { fd = 2 } } })
      child:on("message", function(message) got.message = message end)
      child:on("exit", function() peer:destroy() server:close() end)
    end):listen(path)
    net.connect(path):on("data", function(data) got.data = (got.data or "") .. data end)
    support.run()
    assert.same({ data = "to the client", message = "socket" }, got)
  end)

  it("is the default for what is neither a word nor an array, as in Node", function()
    local child = sh([[printf '1\n' >&3]], {}, { stdio = 5 })
    local got = children.messages(child)
    support.run()
    assert.same({ 1, n = 1 }, got)
  end)
end)

describe("what JavaScript takes for false", function()
  it("is false in silent, keepOpen and for no handle", function()
    for _, no in ipairs { 0, "", false } do
      local child = fork("process:once('message', function() process:disconnect() end)", {}, { silent = no })
      assert.is_nil(child.stdout)
      assert.is_true(child:send("x", no))
      support.run()
    end
    local server = net.createServer():listen(0, "127.0.0.1")
    local child = fork "process:once('message', function(_, socket) socket:destroy() process:disconnect() end)"
    local gone
    server:on("connection", function(socket)
      child:send("x", socket, { keepOpen = 0 })
      gone = socket.remoteAddress == nil
      server:close()
    end)
    server:on("listening", function() net.connect(server:address().port, "127.0.0.1"):resume():on("error", print) end)
    support.run()
    assert.is_true(gone)
  end)
end)

describe("the events of a child", function()
  it("come in Node's order", function()
    local child = fork "process:send 'hello' process:disconnect() net.setTimeout(function() os.exit(7) end, 1)"
    local events = watch(child)
    assert.same({}, events)
    support.run()
    assert.same({ "spawn", "message hello", "disconnect", "exit 7 nil", "close 7 nil" }, children.settled(events))
  end)

  it("tell of the close before the channel's end where that outlives the process, as in Node", function()
    local file = support.file ""
    local outlives = "while [ -e " .. file .. " ]; do sleep 0.01; done & exit 3"
    local child = children.start("x", {}, { execPath = support.sh, execArgv = { "-c", outlives } })
    local events = watch(child)
    child:on("exit", function() os.remove(file) end)
    support.run()
    assert.same({ "spawn", "exit 3 nil", "close 3 nil", "disconnect" }, events)
  end)

  it("end with the signal's name where one ended it", function()
    local child = fork "process:on('message', print)"
    local events = watch(child)
    child:on("spawn", function() child:kill() end)
    child:on("exit", function() events[#events + 1] = ("%s %s"):format(child.exitCode, child.signalCode) end)
    support.run()
    assert.same({ "spawn", "disconnect", "nil SIGTERM", "exit nil SIGTERM", "close nil SIGTERM" },
      children.settled(events))
    assert.is_true(child.killed)
    assert.truthy(tostring(child):find ", killed by SIGTERM%)$")
  end)

  it("have 'exit' before 'close' and after 'spawn' when the parent disconnects at once", function()
    local child = fork ""
    local events = watch(child)
    child:disconnect()
    support.run()
    table.sort(events)
    assert.same({ "close 0 nil", "disconnect", "exit 0 nil", "spawn" }, events)
  end)

  it("are an error, 'disconnect' and 'close' where the program is missing", function()
    local child = children.start("script", { "a" }, { execPath = "/no/such", execArgv = { "-q" }, silent = true })
    local events = watch(child)
    local err
    child:on("error", function(e) err = e end)
    assert.is_nil(child.pid)
    assert.is_nil(child.exitCode)
    assert.is_true(child.connected)
    assert.is_false(child:kill())
    assert.is_true(child.stdout.readable)
    child:ref()
    child:unref()
    support.run()
    assert.same({ "error spawn /no/such ENOENT", "disconnect", "close -2 nil" }, events)
    assert.equal("ENOENT", err.code)
    assert.equal(-2, err.errno)
    assert.equal("spawn /no/such", err.syscall)
    assert.equal("/no/such", err.path)
    assert.same({ "-q", "script", "a" }, err.spawnargs)
    assert.same({ "/no/such", "-q", "script", "a" }, child.spawnargs)
    assert.equal(-2, child.exitCode)
    assert.is_false(child.connected)
    assert.is_false(child.killed)
    assert.equal("ChildProcess (0, exited with -2)", tostring(child))
  end)

  it("are an error too for a file that is no program, and a missing folder", function()
    local first = children.start("x", {}, { execPath = "/etc/passwd" })
    local second = children.start("x", {}, { cwd = "/no/such", execPath = "/bin/true" })
    local events, more = watch(first), watch(second)
    support.run()
    assert.same({ "error spawn /etc/passwd EACCES", "close -13 nil", "disconnect" }, events)
    assert.same({ "error spawn /bin/true ENOENT", "close -2 nil", "disconnect" }, more)
  end)

  it("an error of a missing program that nobody hears leaves net.run, and the rest comes", function()
    local child = children.start("x", {}, { execPath = "/no/such" })
    local log, events = support.recorder()
    child:on("close", function(...) log("close", ...) end)
    assert.equal("ENOENT", support.caught(net.run).code)
    support.run()
    assert.same({ "close -2 nil" }, events)
  end)

  it("can each raise: nothing is lost, and 'close' still comes", function()
    for _, name in ipairs { "spawn", "message", "disconnect", "exit", "close" } do
      local child = fork "process:send 'one' process:send 'two'"
      local events = watch(child)
      child:once(name, function() error("from " .. name, 0) end)
      assert.equal("from " .. name, support.caught(support.run))
      support.run()
      assert.same({ "spawn", "message one", "message two", "disconnect", "exit 0 nil", "close 0 nil" },
        children.settled(events))
    end
  end)

  it("can each stop the loop", function()
    for _, name in ipairs { "spawn", "message", "disconnect", "exit", "close" } do
      local child = fork "process:send 'one'"
      local events = watch(child)
      child:once(name, net.stop)
      support.run()
      support.run()
      assert.same({ "spawn", "message one", "disconnect", "exit 0 nil", "close 0 nil" },
        children.settled(events))
    end
  end)

  it("can each fork again", function()
    for _, name in ipairs { "spawn", "message", "disconnect", "exit", "close" } do
      local child, second = fork "process:send 'one'"
      local events = watch(child)
      child:once(name, function() second = watch(fork "process:send 'two'") end)
      support.run()
      assert.equal("close 0 nil", children.settled(events)[#events])
      assert.same({ "spawn", "message two", "disconnect", "exit 0 nil", "close 0 nil" }, children.settled(second))
    end
  end)

  it("come for many children at once", function()
    local closed, codes = 0, {}
    for i = 1, 30 do
      sh("exit " .. i):on("close", function(code)
        closed = closed + 1
        codes[code] = true
      end)
    end
    support.run()
    assert.equal(30, closed)
    assert.equal(30, #codes)
  end)
end)

describe("kill", function()
  local function loop() return fork "process:on('message', print) process:send 'ready'" end

  it("takes a name, a number, or nothing; the child's end tells which", function()
    local forms = { SIGTERM = { n = 1 }, SIGKILL = { "SIGKILL", n = 1 }, SIGINT = { 2, n = 1 },
      SIGUSR2 = { "sigusr2", n = 1 }, SIGHUP = { 1.0, n = 1 } }
    for name, form in pairs(forms) do
      local child = sh "printf '1\\n' >&3; read line <&3"
      local signal
      child:on("exit", function(_, s) signal = s end)
      child:on("message", function() assert.is_true(child:kill(table.unpack(form, 1, form.n))) end)
      support.run()
      assert.equal(name, signal)
      assert.equal(name, child.signalCode)
      assert.is_nil(child.exitCode)
    end
  end)

  it("only asks with 0, and counts as killed then, as in Node", function()
    local child = loop()
    assert.is_true(child:kill(0))
    assert.is_true(child.killed)
    child:on("message", function() child:disconnect() end)
    support.run()
    assert.equal(0, child.exitCode)
    assert.is_false(child:kill(0))
  end)

  it("knows no other signals, alive or dead", function()
    local child = loop()
    local function all()
      for _, value in ipairs { "SIGFOO", "", "TERM", 999, -1, 1.5, 300, {}, true, false } do
        local err = support.caught(child.kill, child, value)
        assert.equal("ERR_UNKNOWN_SIGNAL", err.code)
        assert.equal("TypeError", err.name)
      end
      assert.equal("Unknown signal: SIGFOO", support.caught(child.kill, child, "SIGFOO").message)
    end
    all()
    assert.is_false(child.killed)
    child:on("close", all)
    child:kill "SIGKILL"
    support.run()
  end)

  it("is false for the dead, in 'exit' already", function()
    local child, in_exit = fork ""
    child:on("exit", function() in_exit = child:kill() end)
    support.run()
    assert.is_false(in_exit)
    assert.is_false(child:kill())
    assert.is_false(child:kill "SIGKILL")
    assert.is_false(child.killed)
  end)

  it("is what the end of a <close> variable does", function()
    local kept
    do
      local child <close> = loop()
      kept = child
      assert.is_false(child.killed)
    end
    assert.is_true(kept.killed)
    support.run()
    assert.equal("SIGTERM", kept.signalCode)
    do local again <close> = kept end -- luacheck: ignore
    local dead = fork ""
    support.run()
    do local again <close> = dead end -- luacheck: ignore
    assert.is_false(dead.killed)
  end)
end)

describe("what keeps the parent alive", function()
  it("is the process, and apart from it the channel", function()
    local child = fork "process:on('message', function() process:disconnect() end)"
    local events = watch(child)
    child:unref()
    assert.is_true(net.run "nowait") -- the channel
    child.channel:unref()
    assert.is_false(net.run "nowait")
    child:ref()
    assert.is_true(net.run "nowait")
    child:unref()
    child.channel:ref()
    assert.is_true(net.run "nowait")
    child:ref()
    child:send "leave"
    support.run()
    assert.equal("close 0 nil", events[#events])
  end)

  it("is nothing once both are unref'd: the program ends, and the child hears it", function()
    local name = children.script [[
      process:on("disconnect", function() io.write "disconnected" end)
      process:send "ready"
      net.run()
    ]]
    local out, _, code = support.lua(([[
      local net = require "cnet"
      local child = require "cnet.child_process".fork(%q)
      child:on("message", function() child:unref() child.channel:unref() end)
      print(net.run())
      local file = io.popen("while kill -0 " .. child.pid .. " 2>/dev/null; do
        grep -q Z /proc/" .. child.pid .. "/stat && break; [ $PPID = 1 ] || break; done")
    ]]):gsub("\n        ", " "):format(name))
    assert.equal(0, code)
    assert.truthy(out:find "^true\n" or out:find "^false\n")
  end)
end)

describe("a ChildProcess", function()
  it("is an emitter, whose own members are read-only but for send and disconnect", function()
    local child = fork "process:on('message', function() process:disconnect() end)"
    assert.is_false(pcall(function() child.pid = 1 end))
    assert.is_false(pcall(function() child.connected = false end))
    child.mine = 5
    assert.equal(5, child.mine)
    local heard
    child:once("mine", function(...) heard = { ... } end)
    child:emit("mine", 1, 2)
    assert.same({ 1, 2 }, heard)
    local send, sent = child.send
    child.send = function(_, message) sent = message end
    child:send "mine"
    assert.equal("mine", sent)
    child.send = nil
    send(child, "leave")
    support.run()
  end)

  it("refuses a wrong self", function()
    local child = fork ""
    for _, name in ipairs { "kill", "ref", "unref", "send", "disconnect" } do
      for _, value in ipairs { 1, {}, "x", net.Socket() } do
        assert.equal("ERR_INVALID_THIS", code_of(child[name], value), name)
      end
      assert.equal("ERR_INVALID_THIS", code_of(child[name]), name)
    end
    assert.equal("ERR_INVALID_THIS", code_of(child.kill, net.process))
    local channel = child.channel
    for _, name in ipairs { "ref", "unref" } do
      assert.equal("ERR_INVALID_THIS", code_of(channel[name], child))
      assert.equal("ERR_INVALID_THIS", code_of(channel[name]))
    end
    assert.truthy(tostring(channel):find "^net.Channel %(open%)$")
    assert.equal("integer", math.type(channel.fd))
    support.run()
    assert.equal("net.Channel (closed)", tostring(channel))
    assert.is_nil(channel.fd)
    channel:ref()
    channel:unref()
  end)

  it("lives without a reference from Lua while its process does", function()
    local closed
    fork("process:send 'x'"):on("close", function() closed = true end)
    collectgarbage()
    collectgarbage()
    support.run()
    assert.is_true(closed)
  end)
end)

describe("the end of the parent", function()
  local CHILD = [[
    local file = io.open(arg[1], "w")
    process:on("disconnect", function() file:write "disconnect" file:close() os.exit(0) end)
    process:on("message", function() end)
    process:send "ready"
    net.run()
  ]]

  -- Runs a parent of a child that writes to a pipe's end when it hears 'disconnect'; returns what came.
  local function parent(code)
    local fifo, script = support.path(), children.script(CHILD)
    os.execute("mkfifo " .. fifo)
    -- the reader holds the fifo until the child closes it
    local reader = io.popen(support.timeout .. "cat " .. fifo)
    local out, err = support.lua(([[
      local net = require "cnet"
      local fork = require "cnet.child_process".fork
      local child = fork(%q, { %q })
      child:on("message", function() %s end)
      net.run()
    ]]):format(script, fifo, code))
    local text = reader:read "a"
    reader:close()
    os.remove(fifo)
    return text, out, err
  end

  it("is heard by the child as 'disconnect', even by kill -9", function()
    assert.equal("disconnect", (parent "io.popen('kill -9 ' .. net.process.pid):close()"))
  end)

  it("is so by os.exit, with and without the state closed, with messages queued", function()
    for _, code in ipairs { "os.exit(0)", "os.exit(0, true)", "net.process:exit(0)",
      "for i = 1, 1000 do child:send(('x'):rep(1000)) end os.exit(0, true)",
      "for i = 1, 1000 do child:send(('x'):rep(1000), print) end net.process:exit(0)",
      "net.nextTick(function() os.exit(0, true) end)", "child.channel:unref() child:unref()" } do
      local text, out, err = parent(code)
      assert.same({ "disconnect", "", "" }, { text, out, err })
    end
  end)

  it("can come after net.run, by the end of the script", function()
    local text, out, err = parent "child:send(('x'):rep(1e6)) net.stop()"
    assert.same({ "disconnect", "", "" }, { text, out, err })
  end)

  it("can come before the loop has run", function()
    local script = children.script "net.run()"
    for _, code in ipairs { "", "child:send 'x'", "child:disconnect()", "child:kill()",
      "child:send 'x' os.exit(0, true)" } do
      local out, err, status = support.lua(([[
        local child = require "cnet.child_process".fork(%q)
        child:on("exit", print)
        %s
      ]]):format(script, code))
      assert.same({ "", 0 }, { out, status })
      assert.truthy(err == "" or err:find "never called net.run")
    end
  end)
end)
