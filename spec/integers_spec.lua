-- Numbers of a script, or of another process, that are more than a narrow integer holds: sizes, counters, descriptors,
-- ports, positions. None of them may become another number on its way.
local net = require "cnet"
local support = require "spec.support"
local children = require "spec.support.children"
local clusters = require "spec.support.clusters"
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

  it("is no path, whatever the lowest bits of its size are", function()
    local out, why = with_huge_strings([[
      local net = require "cnet"
      local server
      server = net.createServer(function() print "connected" end):listen(arg[2], function()
        local path = huge(arg[2] .. "\0", 4, arg[2])
        net.connect({path = path}):on("error", function(err) print(err.code) server:close() end)
      end)
      net.run()
    ]], support.path())
    if not out then return pending(why) end
    assert.equal("EINVAL\n", out)
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

describe("cork", function()
  it("counts as often as it is called", function()
    local socket = net.Socket()
    for _ = 1, 70000 do socket:cork() end
    assert.equal(70000, socket.writableCorked)
    for _ = 1, 70000 do socket:uncork() end
    assert.equal(0, socket.writableCorked)
  end)
end)

describe("a highWaterMark", function()
  it("may be any whole number, and does not show as a negative one", function()
    for _, mark in ipairs {2 ^ 31, 2 ^ 32, 2 ^ 53} do
      local socket = net.Socket {highWaterMark = mark}
      assert.same({mark // 1 | 0, mark // 1 | 0}, {socket.readableHighWaterMark, socket.writableHighWaterMark})
      assert.equal(mark, net.createServer {highWaterMark = mark}.highWaterMark)
    end
    for _, mark in ipairs {2 ^ 63, 2 ^ 64, 1e300} do
      local socket = net.Socket {highWaterMark = mark}
      assert.same({math.maxinteger, math.maxinteger}, {socket.readableHighWaterMark, socket.writableHighWaterMark})
    end
    for _, mark in ipairs {2 ^ 63, 2 ^ 64, 1e300, math.huge} do
      local server = net.createServer {highWaterMark = mark}
      assert.equal(math.maxinteger, server.highWaterMark)
      server.highWaterMark = 5
      server.highWaterMark = mark
      assert.equal(math.maxinteger, server.highWaterMark)
    end
    assert.equal("ERR_INVALID_ARG_VALUE", support.caught(net.Socket, {highWaterMark = math.huge}).code)
    assert.equal("ERR_INVALID_ARG_VALUE", support.caught(net.Socket, {highWaterMark = 0 / 0}).code)
  end)
end)

describe("a descriptor", function()
  -- the highest of them is none that is open; the others are 1 but for their upper bits
  for _, fd in ipairs {2 ^ 31, 2 ^ 32 + 1, 2 ^ 40 + 1, 2 ^ 53, 2 ^ 31 // 1 | 0, (1 << 32) + 1, math.maxinteger} do
    it(("of %s is refused"):format(fd), function()
      assert.equal("ERR_OUT_OF_RANGE", support.caught(net.Socket, {fd = fd}).code)
      local code
      net.createServer():on("error", function(err) code = err.code end):listen {fd = fd}
      support.run()
      assert.equal("EINVAL", code)
      local fork = require "cnet.child_process".fork
      assert.equal("ERR_INVALID_ARG_VALUE", support.caught(fork, "x", {}, {stdio = {0, fd, 2, "ipc"}}).code)
      assert.equal("ERR_INVALID_ARG_VALUE", support.caught(fork, "x", {}, {stdio = {0, {fd = fd}, 2, "ipc"}}).code)
    end)
  end
end)

describe("a localPort", function()
  it("that is none is said to be in use, however its lowest bits are", function()
    local server = net.createServer(function(socket) socket:end_() end):listen(0)
    local log, wanted, closed = {}, {}, 0
    local ports = {65536, 2 ^ 32, (1 << 32) + 40002, 2 ^ 40 + 40003, 40004.5}
    for i, port in ipairs(ports) do
      local shown = math.tointeger(port) or port
      wanted[i] = ("EADDRINUSE bind EADDRINUSE 0.0.0.0:%s %s"):format(shown, shown)
      net.connect({port = server:address().port, host = "127.0.0.1", localPort = port})
        :on("connect", function() log[i] = "connected" end)
        :on("error", function(err) log[i] = ("%s %s %s"):format(err.code, err.message, err.port) end)
        :on("close", function()
          closed = closed + 1
          if closed == #ports then server:close() end
        end)
        :resume()
    end
    support.run()
    assert.same(wanted, log)
  end)
end)

describe("a number that no int holds", function()
  it("stays what it is as a signal, a code, a duration, a count", function()
    local socket = net.Socket()
    assert.equal("ERR_OUT_OF_RANGE", support.caught(socket.read, socket, 2 ^ 40).code)
    assert.equal("ERR_OUT_OF_RANGE", support.caught(socket.setTypeOfService, socket, 2 ^ 32 + 8).code)
    assert.equal("ERR_OUT_OF_RANGE", support.caught(net.setDefaultAutoSelectFamilyAttemptTimeout, 2 ^ 32 + 50).code)
    for _, port in ipairs {65536, 2 ^ 16 + 80, 2 ^ 32 + 80, 2 ^ 53} do
      assert.equal("ERR_SOCKET_BAD_PORT", support.caught(net.connect, port).code)
      local server = net.createServer()
      assert.equal("ERR_SOCKET_BAD_PORT", support.caught(server.listen, server, port).code)
    end
    socket:setKeepAlive(true, 2 ^ 53):setMaxListeners(2 ^ 53)
    assert.equal(1 << 53, socket:getMaxListeners())
    local server = net.createServer()
    server.maxConnections = 2 ^ 53
    assert.equal(2 ^ 53, server.maxConnections)
    local list = net.BlockList()
    assert.equal("ERR_OUT_OF_RANGE", support.caught(list.addSubnet, list, "10.0.0.0", 2 ^ 32 + 8).code)
    assert.equal("ERR_OUT_OF_RANGE", support.caught(net.SocketAddress, {family = "ipv6", flowlabel = 2 ^ 32 + 1}).code)
  end)

  it("is a process's exit code by its lowest eight bits, as in Node", function()
    for code, shown in pairs {[(1 << 33) + 7] = 7, [-156] = 100, [256] = 0} do
      local out, _, ended = support.lua([[
        local net = require "cnet"
        net.process:on("exit", function(code) print(code) end)
        net.process:exit(math.tointeger(arg[1]))
      ]], code)
      assert.same({code .. "\n", shown}, {out, ended})
    end
  end)
end)

describe("a number that came from another process", function()
  after_each(children.clean)

  it("is an error, if it is one, however its lowest bits are", function()
    local environment = {NODE_UNIQUE_ID = "1"}
    for _, name in ipairs {"PATH", "LD_PRELOAD", "ASAN_OPTIONS", "LSAN_OPTIONS"} do
      environment[name] = os.getenv(name)
    end
    local child = children.fork([[
      local server = net.createServer()
      require "cnet.cluster"
      server:on("error", function(err) process:send(err.code) process:disconnect() end)
      server:listen(0, function() process:send "listening" process:disconnect() end)
    ]], {}, {env = environment})
    local messages = children.messages(child)
    child:on("internalMessage", function(message)
      if message.act ~= "queryServer" then return end
      child:send {cmd = "NODE_CLUSTER", ack = message.seq, errno = -(1 << 32), key = "x", sockname = {port = 80}}
    end)
    support.run()
    assert.same({"Unknown system error -2147483648", n = 1}, messages)
  end)

  it("does not make a sum overflow", function()
    local server, total
    local sent = {}
    server = net.createServer(function(socket)
      local child = children.sh [[
        read -r handle <&3
        echo '{"cmd":"NODE_HANDLE_ACK"}' >&3
        read -r question <&3
        key=$(echo "$question" | grep -o 'cnet:[0-9]*:[0-9]*')
        echo '{"cmd":"NODE_SOCKET_COUNT","key":"'"$key"'","count":9223372036854775807}' >&3
        read -r rest <&3
      ]]
      sent[#sent + 1] = child
      child:send("take it", socket, function()
        if #sent < 2 then return net.connect(server:address().port):resume() end
        server:getConnections(function(err, count)
          total = err or count
          for _, one in ipairs(sent) do one:disconnect() end
          server:close()
        end)
      end)
    end):listen(0, function() net.connect(server:address().port):resume() end)
    support.run()
    assert.equal(math.maxinteger, total)
  end)

  it("is an index like no other", function()
    local lines = clusters.run([[
      net.process:on("internalMessage", function(message)
        if message.ack == 1000 or message.ack == 1001 then say(message.key) end
        if message.ack == 1001 then net.process:disconnect() end
      end)
      for i, index in ipairs {0, 1 << 32} do
        net.process:send {cmd = "NODE_CLUSTER", act = "queryServer", seq = 999 + i, index = index,
          address = "127.0.0.1", port = 0, addressType = 4}
      end
    ]], [[
      hear()
      cluster.fork()
    ]])
    assert.same({"1 127.0.0.1:0:4:undefined:0", "1 127.0.0.1:0:4:undefined:4294967296"}, lines)
  end)
end)
