-- The wire between two processes: lines, acknowledgements, order, and its end. The other side is sh, which writes what
-- it is told.

local net = require "cnet"
local support = require "spec.support"
local finalizers = require "spec.support.finalizers"
local sockets = require "spec.support.sockets"
local children = require "spec.support.children"

local ACK, NACK = [[{"cmd":"NODE_HANDLE_ACK"}]], [[{"cmd":"NODE_HANDLE_NACK"}]]

-- A script for sh: `tell LINE` sends a line, `hear` waits for one and prints it to stdout.
local function peer(script, options)
  options = options or {}
  options.silent = true
  local child = children.sh([[
    tell() { printf '%s\n' "$1" >&3; }
    hear() { IFS= read -r line <&3 && printf '%s\n' "$line"; }
  ]] .. script, nil, options)
  local heard = {}
  local rest = ""
  child.stdout:on("data", function(chunk)
    rest = (rest .. chunk):gsub("([^\n]*)\n", function(line)
      heard[#heard + 1] = line
      return ""
    end)
  end)
  return child, heard
end

local function code_of(value) return type(value) == "table" and value.code or value end

describe("the lines of a channel", function()
  after_each(support.clean)

  it("may come many at a time, and a line in many parts", function()
    local child = children.sh [[
      printf '1\n2\n"th' >&3; sleep 0.05; printf 'r\303' >&3; sleep 0.05; printf '\251e"\n' >&3; sleep 0.05
      printf '4\n5' >&3
    ]]
    local got = children.messages(child)
    support.run()
    assert.same({ 1, 2, "thrée", 4, n = 4 }, got) -- the last line has no end
  end)

  it("may be many", function()
    local lines = {}
    for i = 1, 20000 do lines[i] = tostring(i) end
    local child = children.writer(table.concat(lines, "\n") .. "\n")
    local got = children.messages(child)
    support.run()
    assert.equal(20000, got.n)
    for i = 1, 20000 do assert.equal(i, got[i]) end
  end)

  it("unknown NODE_ commands are no messages, but what only looks like one is", function()
    local child = children.writer(table.concat({
      [[{"cmd":"NODE_NEWS","x":1}]], [[{"cmd":"NODE_"}]], [[{"cmd":5}]], [=[["NODE_X"]]=], [[{"cmd":"node_x"}]],
      [[{"cmd":"NODE_X"}]], [["NODE_X"]], "",
    }, "\n"))
    local got = children.messages(child)
    local internal = {}
    child:on("internalMessage", function(message) internal[#internal + 1] = message.cmd end)
    support.run()
    assert.same({ { cmd = "NODE_" }, { cmd = 5 }, { "NODE_X" }, { cmd = "node_x" }, "NODE_X", n = 5 }, got)
    assert.same({ "NODE_NEWS", "NODE_X" }, internal)
  end)

  it("an 'error' nobody hears leaves net.run, and the lines after it come", function()
    local child = children.writer '1\nbroken\n2\n'
    local got = children.messages(child)
    local err = support.caught(support.run)
    assert.equal("ERR_IPC_INVALID_MESSAGE", err.code)
    support.run()
    assert.same({ 1, 2, n = 2 }, got)
  end)

  it("acknowledgements of nothing are nothing", function()
    local child = children.writer(ACK .. "\n1\n" .. NACK .. "\n" .. ACK .. "\n2\n")
    local got = children.messages(child)
    support.run()
    assert.same({ 1, 2, n = 2 }, got)
  end)
end)

describe("a handle on its way", function()
  after_each(support.clean)

  it("makes all that follows wait until it is acknowledged", function()
    local child, heard = peer [[
      hear; sleep 0.1; echo acknowledges; tell '{"cmd":"NODE_HANDLE_ACK"}'; hear; hear
    ]]
    local server = sockets.server()
    local note, log = support.recorder()
    assert.is_true(child:send("server", server, function(...) note("server", ...) end))
    assert.is_true(child:send("one", function(...) note("one", ...) end))
    assert.is_false(child:send("two", function(...) note("two", ...) end)) -- more than one waits
    assert.is_true(child.connected)
    child:on("close", function() server:close() end)
    support.run()
    assert.same({ [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"server"}]], "acknowledges", '"one"', '"two"' },
      heard)
    assert.same({ "server nil", "one nil", "two nil" }, log)
  end)

  it("goes one at a time", function()
    local child, heard = peer [[
      hear; sleep 0.05; echo first; tell '{"cmd":"NODE_HANDLE_ACK"}'; hear; hear; sleep 0.05; echo second
      tell '{"cmd":"NODE_HANDLE_ACK"}'; hear
    ]]
    local server = sockets.server()
    child:send("a", server)
    child:send "between"
    child:send("b", server)
    child:send "after"
    child:on("close", function() server:close() end)
    support.run()
    assert.same({ [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"a"}]], "first", '"between"',
      [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"b"}]], "second", '"after"' }, heard)
  end)

  it("lets acknowledgements pass", function()
    local child, heard = peer [[
      hear; tell '{"cmd":"NODE_HANDLE","type":"net.Socket","msg":"no descriptor"}'; hear
      tell '{"cmd":"NODE_HANDLE_ACK"}'; hear
    ]]
    local server = sockets.server()
    local got = children.messages(child)
    child:send("a", server)
    child:send "after"
    child:on("close", function() server:close() end)
    support.run()
    assert.same({ [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"a"}]], NACK, '"after"' }, heard)
    assert.equal(0, got.n)
  end)

  it("delays disconnect until it is acknowledged and the rest is out", function()
    local server = sockets.server()
    local child, heard = peer [[ hear; sleep 0.1; tell '{"cmd":"NODE_HANDLE_ACK"}'; hear; hear || echo end ]]
    local note, log = support.recorder()
    children.note(child, note)
    child:send("a", server)
    child:send "after"
    child:disconnect()
    assert.is_false(child.connected)
    assert.is_false(child:send("never", function(err) note("never", err.code) end))
    child:on("close", function() server:close() end)
    support.run()
    assert.same({ [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"a"}]], '"after"', "end" }, heard)
    assert.same({ "spawn", "never ERR_IPC_CHANNEL_CLOSED", "disconnect", "exit 0 nil", "close 0 nil" },
      children.settled(log))
  end)

  it("that is not received is sent again three times, if it is a socket, and then dropped with a word", function()
    local script = support.file [[
      for i in 1 2 3 4; do read -r line; echo "$line"; echo '{"cmd":"NODE_HANDLE_NACK"}' >&3; done
      read -r line; echo "$line"
    ]]
    local out, err, code = support.lua({ ([[
      local net, child_process = require "cnet", require "cnet.child_process"
      local child = child_process.fork("-c", { ". %s <&3" }, { execPath = "sh" })
      local server = net.createServer(function(socket)
        child:send("socket", socket, function(...) print("callback", ...) io.stdout:flush() end)
        child:send "after"
      end)
      server:listen(0, "127.0.0.1", function()
        local client = net.connect(server:address().port, "127.0.0.1")
        client:on("error", print)
        client:on("end", function() server:close() end)
        client:resume()
      end)
      net.run()
    ]]):format(script), prefix = "env LUA_PATH=" .. ("'%s'"):format(package.path) })
    local heard, calls = {}, 0
    for line in out:gmatch "[^\n]+" do
      if line == "callback\tnil" then
        calls = calls + 1
      else
        heard[#heard + 1] = line:match '"type":"net.Socket"' or line
      end
    end
    local again = '"type":"net.Socket"'
    assert.same({ again, again, again, again, '"after"' }, heard)
    assert.equal(1, calls)
    assert.equal("cnet: SentHandleNotReceivedWarning: Handle did not reach the receiving process correctly\n", err)
    assert.equal(0, code)
  end)

  it("that is not received is not sent again if it is a server", function()
    local child, heard = peer [[ hear; tell '{"cmd":"NODE_HANDLE_NACK"}'; hear ]]
    local server = sockets.server()
    child:send("a", server)
    child:send "after"
    child:on("close", function() server:close() end)
    support.run()
    assert.same({ [[{"cmd":"NODE_HANDLE","type":"net.Server","msg":"a"}]], '"after"' }, heard)
  end)

  it("ends with a peer that dies before it acknowledges: callbacks get errors, nothing stays open", function()
    local before = children.sockets()
    local client, socket = sockets.pair()
    local child = peer [[ hear; sleep 0.05; kill -9 $$ ]]
    local note, log = support.recorder()
    children.note(child, note)
    child:send("socket", socket, function(err) note("sent", code_of(err)) end)
    child:send("one", function(err) note("one", code_of(err)) end)
    child:send "no callback"
    client:on("error", function() end)
    client:on("close", function() note "client closed" end)
    client:resume()
    support.run()
    assert.same("spawn", log[1])
    assert.same("sent nil", log[2])
    local rest = table.concat(log, ", ", 3)
    for _, part in ipairs { "one ERR_IPC_CHANNEL_CLOSED", "disconnect", "exit nil SIGKILL", "close nil SIGKILL",
      "client closed" } do
      assert.truthy(rest:find(part, 1, true), rest)
    end
    assert.equal(before, children.sockets())
  end)

  it("with an envelope around its envelope is unwrapped, and acknowledged once", function()
    local client, socket = sockets.pair()
    local child = children.fork [[
      -- sends the socket on as Node sends one again: raw, its first envelope as the message
      process:on("message", function(_, socket)
        local native = net.process.channel and socket
        process:send({ cmd = "NODE_HANDLE", type = "net.Socket", msg = "wrapped" }, native, function()
          process:disconnect()
        end)
      end)
      net.run()
    ]]
    local got, handle = children.messages(child), nil
    child:on("message", function(_, received) handle = received end)
    child:send("socket", socket)
    client:resume()
    support.run_until(function() return got.n == 1 end)
    assert.same({ "wrapped", n = 1 }, got)
    assert.equal(client.localPort, handle.remotePort)
    handle:destroy()
    support.run()
  end)

  it("of no kind that is known is acknowledged, and its message comes alone", function()
    local name = support.file "text"
    for _, target in ipairs { name, "/dev/null", "." } do
      -- perl sends any descriptor
      local child = children.sh(([[
        exec perl -e 'use Socket; open(my $f, "<", $ARGV[0]) || opendir($f, $ARGV[0]) || die;
          my $line = qq({"cmd":"NODE_HANDLE","type":"net.Socket","msg":"file"}\n);
          my $control = pack("Q i i i", 20, 1, 1, fileno($f)) . "\0" x 4;
          my $iov = pack("P Q", $line, length $line);
          my $msg = pack("Q L x4 P Q P Q i x4", 0, 0, $iov, 1, $control, length $control, 0);
          syscall(46, 3, $msg, 0) > 0 or die "sendmsg: $!";
          open(my $channel, "<&=", 3); print scalar <$channel>' %s
      ]]):format(target == "." and name or target), nil, { silent = true })
      local got = children.messages(child)
      local handle, text = "none", ""
      child:on("message", function(_, received) handle = received end)
      child.stdout:on("data", function(chunk) text = text .. chunk end)
      child.stderr:on("data", function(chunk) text = text .. chunk end)
      support.run()
      assert.equal(ACK .. "\n", text)
      assert.same({ "file", n = 1 }, got)
      assert.is_nil(handle)
    end
  end)
end)

describe("the end of a channel", function()
  after_each(support.clean)

  it("comes once what came before is delivered", function()
    local child = children.writer "1\n2\n3\n"
    local note, log = support.recorder()
    children.note(child, note)
    child:on("message", note)
    support.run()
    assert.same({ "spawn", "1 nil", "2 nil", "3 nil", "disconnect", "exit 0 nil", "close 0 nil" },
      children.settled(log))
  end)

  it("of the parent's making: 'disconnect', and the child may live on", function()
    local child = children.fork [[
      process:on("disconnect", function() net.setTimeout(function() process:exit(7) end, 20) end)
      net.run()
    ]]
    local note, log = support.recorder()
    children.note(child, note)
    assert.is_true(child.connected)
    child:on("spawn", function()
      child:disconnect()
      note("after", child.connected)
    end)
    support.run()
    assert.same({ "spawn", "after false", "disconnect", "exit 7 nil", "close 7 nil" }, log)
    assert.is_nil(child.channel)
    assert.is_false(child.connected)
  end)

  it("of the child's making", function()
    local child = children.fork([[
      print(process.connected, process.channel)
      process:disconnect()
      print(process.connected)
      process:on("disconnect", function() print("disconnect", process.connected, process.channel) end)
      net.setTimeout(print, 30, "lives on")
      net.run()
    ]], nil, { silent = true })
    local note, log = support.recorder()
    children.note(child, note)
    local got = sockets.collect(child.stdout)
    support.run()
    assert.same({ "spawn", "disconnect", "exit 0 nil", "close 0 nil" }, children.settled(log))
    assert.equal("true\tnet.Channel (open)\nfalse\ndisconnect\tfalse\tnil\nlives on\n", got.text)
  end)

  it("lets out what was sent before", function()
    local text = ("x"):rep(3000000)
    local child = children.fork [[
      process:on("message", function(m) size = #m end)
      process:on("disconnect", function() process:exit(size == 3000000 and 5 or 1) end)
      net.run()
    ]]
    local calls = 0
    child:send(text, function(err)
      assert.is_nil(err)
      calls = calls + 1
    end)
    child:disconnect()
    support.run()
    assert.equal(5, child.exitCode)
    assert.equal(1, calls)
  end)

  it("twice is an error, as is sending after it", function()
    local child = children.reader()
    local note, log = support.recorder()
    child:disconnect()
    local err = support.caught(child.disconnect, child) -- nobody hears it
    assert.equal("ERR_IPC_DISCONNECTED", err.code)
    assert.equal("IPC channel is already disconnected", err.message)
    child:on("error", function(e) note("error", e.code, e.message) end)
    child:disconnect()
    assert.is_false(child:send "x")
    assert.is_false(child:send("y", function(e) note("callback", e.code) end))
    note "now"
    support.run()
    assert.same({ "error ERR_IPC_DISCONNECTED IPC channel is already disconnected", "now",
      "error ERR_IPC_CHANNEL_CLOSED Channel closed", "callback ERR_IPC_CHANNEL_CLOSED" }, log)
  end)

  it("closes a peer's writes: the error of a send, without a callback, is an 'error' or nothing", function()
    local child = peer "exit 0"
    local note, log = support.recorder()
    child:on("spawn", function()
      -- it is gone, and we do not know it: a zombie, for the loop has not run
      os.execute(("until grep -q ') Z' /proc/%d/stat; do sleep 0.01; done"):format(child.pid))
      child:send("x", function(err) note(err.code, err.message, err.syscall) end)
      child:send "y"
    end)
    child:on("error", function(err) note("error", err.code) end)
    support.run()
    assert.same({ "EPIPE write EPIPE write", "error EPIPE" }, log)
  end)

  it("with much unwritten: each callback once, with an error", function()
    local child = peer "exec sleep 60"
    local calls, failed = 0, 0
    for _ = 1, 10 do
      child:send(("x"):rep(100000), function(err)
        calls = calls + 1
        if err then failed = failed + 1 end
      end)
    end
    child:send(("x"):rep(100000))
    child:on("error", error)
    child:kill "SIGKILL"
    support.run()
    assert.equal(10, calls)
    assert.is_true(failed > 0)
  end)
end)

describe("send", function()
  after_each(support.clean)

  it("returns false once the other side falls behind, true again when it has caught up", function()
    local child = children.fork([[
      process:on("message", function() end)
      io.read() -- until it is told to hear
      net.run()
    ]], nil, { silent = true })
    local half = ("x"):rep(200000)
    local results, calls = {}, 0
    for i = 1, 4 do
      results[i] = child:send(half, function(err)
        assert.is_nil(err)
        calls = calls + 1
        if calls < 4 then return end
        assert.is_true(child:send "small")
        child:disconnect()
      end)
    end
    assert.is_false(results[4])
    child.stdin:end_ "now\n"
    support.run()
    assert.equal(4, calls)
  end)

  it("calls back in a later tick, in order", function()
    local child = children.reader()
    local note, log = support.recorder()
    child:send("a", function(...) note("a", select("#", ...), ...) end)
    child:send("b", nil, function() note "b" end)
    child:send("c", nil, nil, function() note "c" end)
    child:send("d", nil, {}, function() note "d" end)
    note "now"
    child:disconnect()
    support.run()
    assert.same({ "now", "a 1 nil", "b", "c", "d" }, log)
  end)

  local before = [[
    local child_process = require "cnet.child_process"
    local function peer(script)
      local name = os.tmpname()
      local file = io.open(name, "w")
      file:write(script)
      file:close()
      local stdio = { "ignore", "pipe", "inherit", "ipc" }
      local child = child_process.fork(name, {}, { execPath = arg[1], stdio = stdio })
      child:on("close", function() os.remove(name) end)
      return child
    end
    local server = net.createServer():listen(0):unref()
  ]]

  it("calls back once, though a finalizer ends the channel in the middle of it", function()
    finalizers.each([[
      local child = peer "exec cat <&3"
      local calls, code = 0, nil
      child:on("close", function()
        assert(calls == 1, calls)
        assert(code == nil or code == "ERR_IPC_CHANNEL_CLOSED" or code == "EBADF", code)
      end)
      in_finalizer(function() child:disconnect() end, function()
        child:send({ 1, 2.5 }, n % 2 == 0 and server or nil, function(err)
          calls, code = calls + 1, err and err.code
        end)
      end)
      if n % 2 == 0 then child:kill() end -- it does not acknowledge the server
    ]], before)
  end)

  it("sends all, though a finalizer sends a handle in the middle of it", function()
    finalizers.each([[
      local child = peer [=[
        for i in 1 2 3; do read -r line; echo "$line"; echo '{"cmd":"NODE_HANDLE_ACK"}' >&3; done <&3
      ]=]
      local heard = ""
      child.stdout:on("data", function(chunk) heard = heard .. chunk end)
      local function inner()
        child:send("inner 1", server)
        child:send("inner 2", server)
      end
      in_finalizer(inner, function() child:send("outer", server) end)
      child:on("close", function()
        for _, message in ipairs { "outer", "inner 1", "inner 2" } do
          local _, times = heard:gsub(message, "")
          assert(times == 1, message .. " in: " .. heard)
        end
      end)
    ]], before)
  end)

  it("sends all that is short, long or told of behind what waits, though a finalizer sends meanwhile", function()
    finalizers.each([[
      local child = peer "exec cat <&3"
      local heard, calls = {}, 0
      child.stdout:on("data", function(chunk) heard[#heard + 1] = chunk end)
      local function called(err) calls = calls + (err and 100 or 1) end
      local function send(name)
        child:send { name .. " short", 2.5 }
        child:send(name .. " long" .. ("x"):rep(100000))
        child:send(name .. " short again")
        child:send(name .. " told", nil, nil, called)
      end
      local text = ("y"):rep(60000)
      for _ = 1, 6 do child:send(text) end -- more than the kernel takes
      in_finalizer(function() send "inner" end, function() send "outer" end)
      child:disconnect()
      child:on("close", function()
        local lines, all = {}, table.concat(heard)
        for line in all:gmatch "[^\n]+" do lines[#lines + 1] = line:match "^[%[\"]+%w+ [%w ]*" end
        local order = table.concat(lines, ",")
        for _, name in ipairs { "inner", "outer" } do
          for _, what in ipairs { " short", " long", " short again", " told" } do
            local _, times = (order .. ","):gsub('"' .. name .. what .. "x*,", "")
            assert(times == 1, name .. what .. " in: " .. order)
          end
        end
        assert(calls == 2, calls)
        assert(select(2, all:gsub(text, "")) == 6)
      end)
    ]], before)
  end)

  it("ends, though a finalizer disconnects in the middle of a send behind what waits", function()
    finalizers.each([[
      local child = peer "exec cat <&3 >/dev/null"
      local calls = 0
      local text = ("y"):rep(60000)
      for _ = 1, 6 do child:send(text) end
      in_finalizer(function() child:disconnect() end, function()
        child:send "short"
        child:send(text)
        child:send("told", nil, nil, function() calls = calls + 1 end)
      end)
      child:on("close", function() assert(calls == 1, calls) end)
      child:on("error", function(err) assert(err.code == "ERR_IPC_CHANNEL_CLOSED", err) end)
    ]], before)
  end)

  it("keeps each message whole, though a finalizer sends in the middle of one", function()
    finalizers.each([[
      local child = fork()
      local long = ("y"):rep(300000)
      in_finalizer(function() child:send { short = true } end, function()
        for _ = 1, 4 do child:send({ long }, function() end) end
      end)
      child:send "last"
    ]], [[
      local name = os.tmpname()
      local file = io.open(name, "w")
      file:write("package.cpath = ", ("%q"):format(package.cpath), [=[
        local net = require "cnet"
        local long, short = 0, 0
        net.process:on("error", function(err) print(err) os.exit(1) end)
        net.process:on("message", function(message)
          if message == "last" then
            net.process:send { long = long, short = short }
            net.process:disconnect()
          elseif message.short then short = short + 1
          else
            assert(#message[1] == 300000)
            long = long + 1
          end
        end)
        net.run()
      ]=])
      file:close()
      local function fork()
        local child = require("cnet.child_process").fork(name)
        local got
        child:on("message", function(message) got = message end)
        child:on("exit", function(code) assert(code == 0 and got.long == 4 and got.short == 1) end)
        return child
      end
    ]])
  end)
end)

describe("net.Channel", function()
  after_each(support.clean)

  it("tells its descriptor and its state", function()
    local child = children.reader()
    local channel = child.channel
    assert.equal("net.Channel (open)", tostring(channel))
    assert.equal("integer", math.type(channel.fd))
    child:disconnect()
    support.run()
    assert.equal("net.Channel (closed)", tostring(channel))
    assert.is_nil(channel.fd)
    channel:ref() -- nothing left to keep alive
    channel:unref()
    assert.is_false(net.run())
  end)

  it("refuses another self", function()
    local child = children.reader()
    for _, name in ipairs { "ref", "unref" } do
      for _, wrong in ipairs { {}, 1, "x", child, net.process } do
        assert.equal("ERR_INVALID_THIS", support.caught(child.channel[name], wrong).code)
      end
      assert.equal("ERR_INVALID_THIS", support.caught(child.channel[name]).code)
    end
    assert.is_false(pcall(function() child.channel.fd = 1 end))
    child:disconnect()
    support.run()
  end)
end)
