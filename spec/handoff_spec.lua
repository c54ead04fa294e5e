-- Servers, sockets and net.BoundSockets that go from one process to another, between cnet and Node in all directions.

local net = require "cnet"
local support = require "spec.support"
local children = require "spec.support.children"
local node = require "spec.support.node"
local sockets = require "spec.support.sockets"

local HOST <const> = "127.0.0.1"

-- What a child does with what it gets, the same in cnet and in Node. A socket is answered with the child's kind, what
-- comes on it is told by a message; "end" ends the last one.
local CHILDREN <const> = {
  cnet = [[
    local last
    local function take(socket)
      last = socket
      socket:on("error", function() end)
      socket:on("data", function(chunk) process:send("data " .. chunk) end)
    end
    process:on("message", function(message, handle)
      if message == "server" then
        handle:on("connection", function(socket) socket:end_ "cnet" socket:resume() end)
        process:on("disconnect", function() handle:close() end)
        process:send "serves"
      elseif message == "socket" then
        take(handle)
        handle:write "cnet"
        process:send "has it"
      elseif message == "bound" then
        local server = net.createServer(function(socket) socket:end_ "cnet" socket:resume() end)
        local address = handle:address()
        server:listen(handle, function() process:send { listens = address, same = server:address() } end)
        process:on("disconnect", function() server:close() end)
      elseif message == "connect" then
        local port = handle:address().port
        last = net.Socket { handle = handle }
        last:connect(1, "127.0.0.1")
        process:send { from = last.localPort == port }
        last:on("error", function() end)
        last:destroy()
      elseif message == "none" then
        process:send(handle == nil and "nothing" or "something")
      elseif message == "end" then
        last:end_()
      elseif message == "destroy" then
        last:destroy()
      end
    end)
  ]],
  node = [[
    let last;
    const take = (socket) => {
      last = socket;
      socket.on('error', () => {}).on('data', (chunk) => process.send('data ' + chunk));
    };
    process.on('message', (message, handle) => {
      if (message === 'server') {
        handle.on('connection', (socket) => socket.end('node').resume());
        process.on('disconnect', () => handle.close());
        process.send('serves');
      } else if (message === 'socket') {
        take(handle);
        handle.write('node');
        process.send('has it');
      } else if (message === 'bound') {
        const server = net.createServer((socket) => socket.end('node').resume()), address = handle.address();
        server.listen(handle, () => process.send({ listens: address, same: server.address() }));
        process.on('disconnect', () => server.close());
      } else if (message === 'connect') {
        const { port } = handle.address();
        last = new net.Socket({ handle });
        last.connect(1, '127.0.0.1');
        process.send({ from: last.localPort === port });
        last.on('error', () => {}).destroy();
      } else if (message === 'none') {
        process.send(handle === undefined ? 'nothing' : 'something');
      } else if (message === 'end') {
        last.end();
      } else if (message === 'destroy') {
        last.destroy();
      }
    });
  ]],
}

-- Defines a spec that needs Node.
local function it_with_node(name, fn)
  it(name, function()
    if not node.path then return pending(node.missing) end
    fn()
  end)
end

-- What defines a spec with the kind at the other end.
local function it_at(kind) return kind == "node" and it_with_node or it end

local function fork(kind)
  if kind == "cnet" then return children.fork(CHILDREN.cnet) end
  return children.node(CHILDREN.node)
end

-- Connects, and calls done with all that comes until the end.
local function get(address, done)
  local options = type(address) == "string" and { path = address } or { host = HOST, port = address.port }
  local text = ""
  local client = net.connect(options)
  client:on("data", function(chunk) text = text .. chunk end)
  client:on("error", function(err) text = text .. err.code end)
  client:on("close", function() done(text) end)
  return client
end

-- The same n times, one after the other; done({text -> how often}).
local function get_many(n, address, done)
  local got = {}
  local function again()
    if n == 0 then return done(got) end
    n = n - 1
    get(address, function(text)
      got[text] = (got[text] or 0) + 1
      again()
    end)
  end
  again()
end

-- Calls fn once with the next message that is this text.
local function on_message(child, text, fn)
  local function listener(message)
    if message ~= text then return end
    child:off("message", listener)
    fn()
  end
  child:on("message", listener)
end

-- A server that sends its first connection to the child, and a client of it; fn(server, socket, client) once the child
-- has it. options: of send; listen: what to listen at.
local function send_socket(child, options, fn, listen)
  local server, client
  server = net.createServer({ pauseOnConnect = true, allowHalfOpen = true }, function(socket)
    child:send("socket", socket, options or {})
    on_message(child, "has it", function() fn(server, socket, client) end)
  end)
  server:listen(listen or { port = 0, host = HOST }, function()
    local address = server:address()
    client = net.connect(type(address) == "string" and { path = address } or { host = HOST, port = address.port })
    client:on("error", function() end)
  end)
  return server
end

for _, kind in ipairs { "cnet", "node" } do
  local it_there = it_at(kind)

  describe("a server that cnet sends to a child in " .. kind, function()
    after_each(children.clean)

    it_there("serves there, and goes on when it is closed here", function()
      local log, list = support.recorder()
      local child = fork(kind)
      local server = net.createServer(function() log "here" end)
      server:listen(0, HOST, function()
        local address = server:address()
        local more = child:send("server", server, function(err) log("sent", err) end)
        assert.is_boolean(more)
        on_message(child, "serves", function()
          log "serves"
          server:close(function()
            log "closed"
            get_many(3, address, function(got)
              log(children.show(got))
              child:disconnect()
            end)
          end)
        end)
      end)
      child:on("exit", log)
      support.run()
      assert.same({ "sent nil", "serves", "closed", ("{%s=3}"):format(kind), "0 nil" }, list)
    end)

    it_there("takes its turns with the one here and with those in other children", function()
      local all = { fork(kind), fork(kind) }
      local server = net.createServer(function(socket) socket:end_ "here" socket:resume() end)
      local serve, sum = 0, nil
      server:listen(0, HOST, function()
        for _, child in ipairs(all) do
          child:send("server", server)
          on_message(child, "serves", function()
            serve = serve + 1
            if serve < #all then return end
            get_many(20, server:address(), function(got)
              sum = (got.here or 0) + (got[kind] or 0)
              for _, other in ipairs(all) do other:disconnect() end
              server:close()
            end)
          end)
        end
      end)
      support.run()
      assert.equal(20, sum)
    end)

    it_there("may be at a path", function()
      local child, texts = fork(kind), {}
      local server = net.createServer()
      local path = support.path()
      server:listen(path, function()
        child:send("server", server)
        on_message(child, "serves", function()
          server:on("connection", function(socket) socket:end_(kind) socket:resume() end)
          get_many(3, path, function(got)
            texts[1] = children.show(got)
            child:disconnect()
            server:close()
          end)
        end)
      end)
      support.run()
      assert.same({ ("{%s=3}"):format(kind) }, texts)
    end)
  end)

  describe("a socket that cnet sends to a child in " .. kind, function()
    after_each(children.clean)

    it_there("is written and read there, and gone here without an event", function()
      local log, list = support.recorder()
      local child = fork(kind)
      child:on("message", function(message) log(message) end)
      send_socket(child, nil, function(server, socket, client)
        for _, name in ipairs { "end", "close", "data", "error" } do
          socket:on(name, function() log("here", name) end)
        end
        assert.is_nil(socket.remoteAddress)
        client:on("data", function(chunk)
          log("client", chunk)
          client:write "hello"
        end)
        child:on("message", function(message)
          if message ~= "data hello" then return end
          child:send "end"
          client:end_()
        end)
        client:on("close", function()
          server:close(function() child:disconnect() end)
        end)
      end)
      support.run()
      assert.same({ "has it", "client " .. kind, "data hello" }, list)
    end)

    it_there("has all that came before it went", function()
      local got = {}
      local child = fork(kind)
      local server
      server = net.createServer({ pauseOnConnect = true }, function(socket) child:send("socket", socket) end)
      server:listen(0, HOST, function()
        local client
        client = net.connect(server:address().port, HOST)
        client:write "early"
        client:resume()
        child:on("message", function(message)
          if message ~= "data early" then return end
          got[#got + 1] = message
          child:send "end"
          client:end_()
          client:on("close", function()
            server:close(function() child:disconnect() end)
          end)
        end)
      end)
      support.run()
      assert.same({ "data early" }, got)
    end)

    it_there("is counted by getConnections there, and awaited by close", function()
      local log, list = support.recorder()
      local child = fork(kind)
      send_socket(child, nil, function(server, _, client)
        assert.is_nil(server.connections)
        client:resume()
        server:getConnections(function(...)
          log("count", ...)
          server:close(function()
            log "closed"
            child:disconnect()
          end)
          server:getConnections(function(...)
            log("still", ...)
            child:send "end"
            client:end_()
          end)
        end)
      end)
      support.run()
      assert.same({ "count nil 1", "still nil 1", "closed" }, list)
    end)

    it_there("makes room for the next by maxConnections", function()
      local log, list = support.recorder()
      local child = fork(kind)
      local accepted = 0
      local server = net.createServer({ pauseOnConnect = true }, function(socket)
        accepted = accepted + 1
        if accepted > 1 then
          log "second"
          socket:destroy()
        else
          child:send("socket", socket)
        end
      end)
      server.maxConnections = 1
      server:on("drop", function() log "drop" end)
      server:listen(0, HOST, function()
        local first = net.connect(server:address().port, HOST)
        first:resume()
        on_message(child, "has it", function()
          get(server:address(), function()
            child:send "end"
            first:end_()
          end)
        end)
        first:on("close", function()
          server:close(function() child:disconnect() end)
        end)
      end)
      support.run()
      assert.same({ "second" }, list)
    end)

    it_there("stays here too with keepOpen", function()
      local log, list = support.recorder()
      local child = fork(kind)
      send_socket(child, { keepOpen = true }, function(server, socket, client)
        assert.equal(HOST, socket.remoteAddress)
        socket:write " and here"
        local text = ""
        client:on("data", function(chunk)
          text = text .. chunk
          if #text < #(kind .. " and here") then return end
          log(#text, text:find(kind, 1, true) ~= nil, text:find(" and here", 1, true) ~= nil)
          child:send "destroy" -- leaves the one here open
          server:getConnections(function(_, n)
            log("count", n)
            socket:end_ "!"
            client:end_()
          end)
        end)
        client:on("close", function()
          server:close(function()
            log "closed"
            child:disconnect()
          end)
        end)
        socket:resume()
      end)
      support.run()
      assert.equal(#kind + 9 .. " true true", list[1])
      assert.equal("closed", list[#list])
    end)

    it_there("may be at a path", function()
      local texts = {}
      local child = fork(kind)
      send_socket(child, nil, function(server, _, client)
        client:on("data", function(chunk)
          texts[#texts + 1] = chunk
          child:send "end"
          client:end_()
        end)
        client:on("close", function()
          server:close(function() child:disconnect() end)
        end)
      end, { path = support.path() })
      support.run()
      assert.same({ kind }, texts)
    end)

    it_there("ends with a child that dies, as do the questions", function()
      local log, list = support.recorder()
      local child = fork(kind)
      send_socket(child, nil, function(server, _, client)
        client:resume()
        client:on("close", function() log "client closed" end)
        child:on("exit", function()
          server:getConnections(function(...) log("count", ...) end)
          server:close(function() log "closed" end)
        end)
        child:kill "SIGKILL"
      end)
      support.run()
      table.sort(list)
      assert.same({ "client closed", "closed", "count nil 0" }, list)
    end)

    it_there("leaves a message alone when there is nothing to send", function()
      local answers = {}
      local child = fork(kind)
      local closed = net.Socket()
      closed:destroy()
      child:send("none", closed)
      child:send("none", net.Socket())
      child:send("none", net.createServer())
      child:send("none", nil)
      child:on("message", function(message)
        answers[#answers + 1] = message
        if #answers == 4 then child:disconnect() end
      end)
      support.run()
      assert.same({ "nothing", "nothing", "nothing", "nothing" }, answers)
    end)
  end)
end

for _, kind in ipairs { "cnet", "node" } do
  local it_there = it_at(kind)

  describe("a net.BoundSocket that cnet sends to a child in " .. kind, function()
    after_each(children.clean)

    for _, options in ipairs { {}, { keepOpen = true } } do
      it_there("listens there, and is used up here, whatever keepOpen says: " .. tostring(options.keepOpen), function()
        local log, list = support.recorder()
        local child = fork(kind)
        local bound = net.BoundSocket { host = HOST }
        local address = bound:address()
        assert.is_true(child:send("bound", bound, options, function(err) log("sent", err) end))
        for _, name in ipairs { "address", "fd", "close" } do
          assert.equal("ERR_SOCKET_HANDLE_ADOPTED", support.caught(bound[name], bound).code)
        end
        assert.equal("net.BoundSocket (adopted)", tostring(bound))
        child:on("message", function(message)
          assert.same({ listens = address, same = address }, message)
          get(address, function(text)
            log(text)
            child:disconnect()
          end)
        end)
        support.run()
        assert.same({ "sent nil", kind }, list)
      end)
    end

    it_there("connects there from its port", function()
      local child = fork(kind)
      local got = children.messages(child)
      child:send("connect", net.BoundSocket())
      child:on("message", function() child:disconnect() end)
      support.run()
      assert.same({ { from = true }, n = 1 }, got)
    end)

    it_there("is ours until its turn comes; one that is closed by then is an error, and the rest goes on", function()
      local log, list = support.recorder()
      local child = fork(kind)
      local first, second, third = net.BoundSocket(), net.BoundSocket(), net.BoundSocket()
      local port = third:address().port
      child:send("connect", first, function(err) log("first", err) end)
      child:send("connect", second, function(err) log("second", err and err.message) end)
      child:send("connect", third, function(err) log("third", err) end)
      child:send("none", nil)
      assert.is_true(second:fd() > 2)
      assert.equal(port, third:address().port)
      second:close()
      child:on("message", function(message)
        log(children.show(message))
        if message == "nothing" then child:disconnect() end
      end)
      support.run()
      assert.equal("ERR_SOCKET_HANDLE_ADOPTED", support.caught(third.fd, third).code)
      table.sort(list)
      assert.same({ "first nil", "nothing", "second write EBADF", "third nil", "{from=true}", "{from=true}" }, list)
    end)

    it_there("goes back and forth", function()
      local child = kind == "cnet" and children.fork [[
        process:on("message", function(message, handle) process:send(message, handle) process:disconnect() end)
      ]] or children.node [[
        process.on('message', (message, handle) => { process.send(message, handle); process.disconnect(); });
      ]]
      local log, list = support.recorder()
      local bound = net.BoundSocket { host = "::1" }
      local address, before = bound:address(), tostring(bound)
      child:on("message", function(message, back)
        log(message, back ~= bound, tostring(back) == before)
        assert.same(address, back:address())
        assert.is_false(back.isPipe)
        local server = net.createServer(function(socket) socket:end_ "back" socket:resume() end):listen(back)
        local text = ""
        net.connect(address.port, "::1"):on("data", function(chunk) text = text .. chunk end):on("close", function()
          log(text)
          server:close()
        end)
      end)
      child:send("it", bound)
      support.run()
      assert.same({ "it true true", "back" }, list)
    end)
  end)
end

describe("a net.BoundSocket that cannot be sent", function()
  after_each(children.clean)

  it("is refused when it is used up, or at a path, and stays", function()
    local child = children.fork(CHILDREN.cnet)
    local closed, at_path <close> = net.BoundSocket(), net.BoundSocket { path = support.path() }
    closed:close()
    for handle, expected in pairs {
      [closed] = {
        "Error", "ERR_WORKER_HANDLE_NOT_TRANSFERABLE", "net.BoundSocket cannot be transferred in its current state; " ..
          "it must be a freshly created or accepted handle that has not started reading and has no pending writes",
      },
      [at_path] = { "TypeError", "ERR_INVALID_HANDLE_TYPE", "This handle type cannot be sent" },
    } do
      local err = support.caught(child.send, child, "none", handle)
      assert.same(expected, { err.name, err.code, err.message })
    end
    assert.is_true(at_path:fd() > 2)
    child:disconnect()
    support.run()
  end)

  it("stays when the channel is closed", function()
    local log, list = support.recorder()
    local child = children.fork ""
    local bound <close> = net.BoundSocket()
    child:on("exit", function()
      assert.is_false(child:send("it", bound, function(err) log(err.code) end))
      assert.is_true(bound:fd() > 2)
    end)
    support.run()
    assert.same({ "ERR_IPC_CHANNEL_CLOSED" }, list)
  end)

  it("is nil at the other end if what came is at a path", function()
    local child = children.fork [[
      process:on("message", function(message, handle)
        process:send(message .. " " .. tostring(handle))
        process:disconnect()
      end)
    ]]
    local got = children.messages(child)
    local server = net.createServer():listen(support.path())
    -- an envelope in the envelope is how Node sends a handle again that has not arrived
    child:send({ cmd = "NODE_HANDLE", type = "net.BoundSocket", msg = "it" }, server)
    child:on("exit", function() server:close() end)
    support.run()
    assert.same({ "it nil", n = 1 }, got)
  end)
end)

-- ---- Node's parent ----

local NODE_PARENT <const> = [[
  const net = require('net'), { fork } = require('child_process');
  const child = fork(process.argv[2], [], {
    execPath: 'lua5.4', execArgv: [], env: { ...process.env, LD_PRELOAD: process.argv[3] },
  });
  const say = (...list) => console.log(list.join(' '));
  child.on('exit', (code, signal) => say('exit', code, signal));
  const onMessage = (text, fn) => {
    const listener = (message, handle) => {
      if (message !== text) return;
      child.off('message', listener);
      fn(handle);
    };
    child.on('message', listener);
  };
  const get = (address, done) => {
    let text = '';
    return net.connect(address.port, '127.0.0.1').on('data', (chunk) => text += chunk)
      .on('error', (err) => text += err.code).on('close', () => done(text));
  };
]]

-- Runs Node with this script, where child runs the Lua code; returns the lines it prints.
local function node_parent(script, code)
  local parent = support.file(NODE_PARENT .. script)
  local child = children.script((code or CHILDREN.cnet) .. "\nnet.run()")
  local preload = os.getenv "LD_PRELOAD" or ""
  local command = "env -u LD_PRELOAD " .. support.timeout .. "'%s' %s %s '%s' 2>&1"
  local pipe = io.popen(command:format(node.path, parent, child, preload))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  assert(pipe:close(), table.concat(lines, "\n"))
  return lines
end

describe("Node's parent", function()
  after_each(children.clean)

  it_with_node("sends a server to a child in cnet", function()
    assert.same({ "closed", "cnet", "cnet", "exit 0 " }, node_parent [[
      const server = net.createServer(() => say('here')).listen(0, '127.0.0.1', () => {
        const address = server.address();
        child.send('server', server);
        onMessage('serves', () => server.close(() => {
          say('closed');
          get(address, (text) => {
            say(text);
            get(address, (text) => {
              say(text);
              child.disconnect();
            });
          });
        }));
      });
    ]])
  end)

  it_with_node("sends a socket to a child in cnet, which counts it and tells when it is closed", function()
    assert.same({ "count  1", "client cnet", "client end", "closed", "exit 0 " }, node_parent [[
      const server = net.createServer({ pauseOnConnect: true }, (socket) => {
        child.send('socket', socket);
        onMessage('has it', () => server.getConnections((err, n) => {
          say('count', err, n);
          server.close(() => {
            say('closed');
            child.disconnect();
          });
          client.on('data', (chunk) => {
            say('client', chunk);
            child.send('end');
          });
          client.on('end', () => say('client end'));
        }));
      }).listen(0, '127.0.0.1', () => client = net.connect(server.address().port, '127.0.0.1'));
      let client;
    ]])
  end)

  it_with_node("gets a server from a child in cnet", function()
    assert.same({ "child or parent", "exit 0 " }, node_parent([[
      onMessage('server', (server) => {
        server.on('connection', (socket) => socket.end('child or parent'));
        get(server.address(), (text) => {
          say(text);
          server.close();
          child.disconnect();
        });
      });
    ]], [[
      local server = net.createServer(function(socket) socket:end_ "child or parent" end)
      server:listen(0, "127.0.0.1", function() process:send("server", server) end)
      process:on("disconnect", function() server:close() end)
    ]]))
  end)

  it_with_node("gets a socket from a child in cnet", function()
    assert.same({ "parent", "exit 0 " }, node_parent([[
      onMessage('socket', (socket) => socket.end('parent'));
      child.on('message', (port) => typeof port === 'number' && get({ port }, (text) => {
        say(text);
        child.disconnect();
      }));
    ]], [[
      local server
      server = net.createServer({ pauseOnConnect = true }, function(socket) process:send("socket", socket) end)
      server:listen(0, "127.0.0.1", function() process:send(server:address().port) end)
      process:on("disconnect", function() server:close() end)
    ]]))
  end)

  it_with_node("sends a net.BoundSocket to a child in cnet, which listens", function()
    assert.same({ "true true", "adopted", "cnet", "exit 0 " }, node_parent [[
      const bound = new net.BoundSocket({ host: '127.0.0.1' }), address = bound.address();
      child.on('message', ({ listens, same }) => {
        say(listens.port === address.port, same.address === address.address);
        try { bound.fd() } catch (err) { say(err.code === 'ERR_SOCKET_HANDLE_ADOPTED' ? 'adopted' : err) }
        get(address, (text) => {
          say(text);
          child.disconnect();
        });
      });
      child.send('bound', bound);
    ]])
  end)

  it_with_node("sends a net.BoundSocket to a child in cnet, which connects", function()
    assert.same({ "true", "exit 0 " }, node_parent [[
      child.on('message', ({ from }) => {
        say(from);
        child.disconnect();
      });
      child.send('connect', new net.BoundSocket());
    ]])
  end)

  it_with_node("gets a net.BoundSocket from a child in cnet", function()
    assert.same({ "true true false", "parent", "exit 0 " }, node_parent([[
      onMessage('bound', (bound) => {
        const address = bound.address();
        say(bound instanceof net.BoundSocket, address.address === '127.0.0.1', bound.isPipe);
        const server = net.createServer((socket) => socket.end('parent')).listen(bound, () => get(address, (text) => {
          say(text);
          server.close();
          child.disconnect();
        }));
      });
    ]], [[
      local bound = net.BoundSocket { host = "127.0.0.1" }
      process:send("bound", bound)
      assert(not pcall(bound.fd, bound))
      process:on("disconnect", function() end)
    ]]))
  end)
end)

describe("a handle that a child sends to cnet", function()
  after_each(children.clean)

  local SENDERS = {
    cnet = [[
      local server
      server = net.createServer({ pauseOnConnect = true }, function(socket) process:send("socket", socket) end)
      server:listen(0, "127.0.0.1", function() process:send("server", server) end)
      process:on("disconnect", function() server:close() end)
      process:on("message", function() end)
    ]],
    node = [[
      const server = net.createServer({ pauseOnConnect: true }, (socket) => process.send('socket', socket));
      server.listen(0, '127.0.0.1', () => process.send('server', server));
      process.on('disconnect', () => server.close());
    ]],
  }

  for kind, code in pairs(SENDERS) do
    it_at(kind)("is a server that listens and a socket that is connected: from " .. kind, function()
      local log, list = support.recorder()
      local child = kind == "cnet" and children.fork(code) or children.node(code)
      child:on("message", function(message, handle)
        if message == "server" then
          assert.is_true(handle.listening)
          local address = handle:address()
          handle:close() -- the child's own accepts, and sends us the socket
          get(address, function(text)
            log(text)
            child:disconnect()
          end)
        elseif message == "socket" then
          log(message, handle.readyState, handle.remoteAddress)
          handle:end_ "from the parent"
          handle:resume()
        end
      end)
      support.run()
      assert.same({ "socket open " .. HOST, "from the parent" }, list)
    end)
  end
end)

describe("send", function()
  after_each(children.clean)

  it("refuses what is no handle, with Node's error, and goes on", function()
    local child = children.fork(CHILDREN.cnet)
    for _, value in ipairs { {}, 1, "x", true, io.stdout, net.BlockList(), child } do
      local err = support.caught(child.send, child, "none", value)
      assert.equal("ERR_INVALID_HANDLE_TYPE", err.code)
      assert.equal("This handle type cannot be sent", err.message)
      assert.equal("TypeError", err.name)
    end
    child:disconnect()
    support.run()
  end)

  it("of a handle on a closed channel tells so, and leaves the handle", function()
    local log, list = support.recorder()
    local child = children.fork ""
    child:on("exit", function()
      local server = net.createServer()
      server:listen(0, HOST, function()
        assert.is_false(child:send("server", server, function(err) log(err.code) end))
        get(server:address(), log)
        server:on("connection", function(socket)
          socket:end_ "still here"
          socket:resume()
          server:close()
        end)
      end)
    end)
    support.run()
    assert.same({ "ERR_IPC_CHANNEL_CLOSED", "still here" }, list)
  end)

  it("sends a socket with the noDelay that was asked for, whatever long writes do to it, there too", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    if not sockets.options(client) then
      client:destroy()
      support.run()
      return pending "the kernel's view of a socket cannot be had here"
    end
    local child = children.fork [[
      process:on("message", function(_, socket)
        socket:write(("x"):rep(65536))
        socket:write("short", function()
          socket:destroy()
          process:send "written"
        end)
      end)
    ]]
    local messages = children.messages(child)
    local length = 0
    for round, wanted in ipairs { false, true } do
      local sent
      client:setNoDelay(wanted)
      client:write(("x"):rep(65536))
      child:send("it", client, { keepOpen = true }, function() sent = sockets.options(client) end)
      sockets.wait(function() return sent end)
      assert.equal(wanted, sent.noDelay)
      length = length + 2 * 65536 + 5
      sockets.wait(function() return #messages == round and #got.text == length end)
      assert.equal(wanted, sockets.options(client).noDelay)
    end
    child:disconnect()
    client:destroy()
    support.run()
  end)

  it("keeps the order of many handles and messages", function()
    local child = children.fork [[
      local n = 0
      process:on("message", function(message, handle)
        n = n + 1
        assert(message == n)
        if handle then handle:destroy() end
        if n == 40 then process:send "in order" process:disconnect() end
      end)
    ]]
    local got, sent = children.messages(child), 0
    local server
    server = net.createServer({ pauseOnConnect = true }, function(socket)
      sent = sent + 2
      child:send(sent - 1, socket)
      child:send(sent)
      if sent == 40 then server:close() end
    end)
    server:listen(0, HOST, function()
      for _ = 1, 20 do
        local client = net.connect(server:address().port, HOST)
        client:on("error", function() end)
        client:resume()
      end
    end)
    support.run()
    assert.same({ "in order", n = 1 }, got)
  end)
end)
