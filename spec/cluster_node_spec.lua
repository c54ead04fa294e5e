-- Clusters of Node and cnet: the primary of the one, workers of both.

local support = require "spec.support"
local clusters = require "spec.support.clusters"
local node = require "spec.support.node"

after_each(support.clean)

local NODE_WORKER = [[
  const net = require('net'), cluster = require('cluster');
  const server = net.createServer((socket) => {
    socket.on('error', () => {});
    if (process.env.HOLD) socket.write('node'); else socket.end('node');
  });
  if (process.env.MAX) server.maxConnections = +process.env.MAX;
  server.listen(process.env.SOCKET || { port: +process.env.PORT || 0, host: process.env.HOST });
  server.on('error', (err) => { process.send(err.message.replace(/\d{5}/, 'N')); process.disconnect(); });
  process.on('message', (message, socket) => {
    if (message === 'socket') socket.end('node has it');
    if (message === 'leave') cluster.worker.disconnect();
    if (message === 'kill') cluster.worker.kill();
  });
]]

local LUA_WORKER = [[
  local cluster, net = require "cnet.cluster", require "cnet"
  local server = net.createServer(function(socket)
    socket:on("error", function() end)
    if os.getenv "HOLD" then socket:write "lua" else socket:end_ "lua" end
  end)
  server.maxConnections = tonumber(os.getenv "MAX")
  local path = os.getenv "SOCKET"
  server:listen(path and { path = path } or { port = tonumber(os.getenv "PORT") or 0, host = os.getenv "HOST" })
  server:on("error", function(err)
    net.process:send((err.message:gsub("%d%d%d%d%d", "N")))
    net.process:disconnect()
  end)
  net.process:on("message", function(message, socket)
    if message == "socket" then socket:end_ "lua has it" end
    if message == "leave" then cluster.worker:disconnect() end
    if message == "kill" then cluster.worker:kill() end
    if message == "pause" or message == "resume" or message == "close" then
      server[message](server)
      net.process:send(message .. "d")
    end
  end)
  net.run()
]]

local NODE_PRELUDE = [[
  const cluster = require('cluster'), net = require('net'), node = process.execPath;
  if (process.argv[4] === 'none') cluster.schedulingPolicy = cluster.SCHED_NONE;
  const say = (...list) => console.log(list.map((x) => x === undefined ? 'nil' : typeof x === 'string' ? x :
    JSON.stringify(x)).join(' '));
  const fork = (kind, env) => {
    process.execPath = kind === 'lua' ? 'lua5.4' : node;
    cluster.setupPrimary({ exec: process.argv[kind === 'lua' ? 3 : 2], args: [], execArgv: [] });
    const worker = cluster.fork({ ...env, LD_PRELOAD: kind === 'lua' ? process.argv[5] : '' });
    process.execPath = node;
    return worker;
  };
  const get = (port, done) => {
    let text = '';
    const socket = net.connect(typeof port === 'number' ? { port, host: '127.0.0.1' } : { path: port });
    return socket.on('data', (chunk) => text += chunk).on('error', (err) => text += err.code)
      .on('close', () => done(text));
  };
  const getMany = (n, port, done, got = {}) => n === 0 ? done(got) :
    get(port, (text) => { got[text] = (got[text] || 0) + 1; getMany(n - 1, port, done, got); });
  const listening = (n, fn) => cluster.on('listening', (worker, address) => { if (--n === 0) fn(address); });
  // Once it has sent a handle, a channel does not keep Node's loop alive: without this, 'disconnect' may be missing
  // where 'exit' comes first.
  const alive = setInterval(() => {}, 1000);
  let left = 0;
  const over = () => { if (--left === 0) clearInterval(alive); };
  cluster.on('fork', () => left += 2).on('disconnect', over).on('exit', over);
]]

-- Node's primary; in it fork("node" or "lua", env) makes workers.
local function node_primary(policy, script)
  local primary, worker = support.file(NODE_PRELUDE .. script), support.file(NODE_WORKER)
  local lua = support.file(("package.cpath = %q\n"):format(package.cpath) .. LUA_WORKER)
  local preload = os.getenv "LD_PRELOAD" or "" -- a sanitizer's library is for cnet, not for Node
  local command = "env -u LD_PRELOAD " .. support.timeout .. "'%s' %s %s %s %s '%s' 2>&1"
  local pipe = io.popen(command:format(node.path, primary, worker, lua, policy, preload))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  assert(pipe:close(), table.concat(lines, "\n"))
  return lines
end

-- cnet's primary, with the same fork.
local function lua_primary(policy, script)
  local worker = support.file(NODE_WORKER)
  local lua = support.file(("package.cpath = %q\n"):format(package.cpath) .. LUA_WORKER)
  return clusters.run("", [[
    local node, worker, lua = arg[1], arg[2], arg[3]
    local function fork(kind, env)
      cluster.setupPrimary {
        exec = kind == "lua" and lua or worker, execPath = kind == "lua" and "lua5.4" or node, args = {},
      }
      env = env or {}
      if kind == "node" then env.LD_PRELOAD = "" end
      return cluster.fork(env)
    end
  ]] .. script, { policy = policy, args = { node.path, worker, lua } })
end

-- Defines a spec that needs Node.
local function it_with_node(name, fn)
  it(name, function()
    if not node.path then return pending(node.missing) end
    fn()
  end)
end

-- Node's primary does not know of a pause, and gives a worker one client at a time.
describe("a paused server in a worker of Node's primary", function()
  local GET_ALL = [[
    const got = {};
    let answers = 0;
    const getAll = (n, port, each) => {
      for (let i = 0; i < n; i++) get(port, (text) => { got[text] = (got[text] || 0) + 1; each(++answers); });
    };
  ]]

  it_with_node("keeps one client until it resumes, and leaves the others to other workers", function()
    local lines = node_primary("rr", GET_ALL .. [[
      const lua = fork('lua', { HOST: '127.0.0.1' });
      fork('node', { HOST: '127.0.0.1' });
      listening(2, (address) => {
        lua.on('message', (message) => {
          if (message === 'resumed') return say(got.node, got.lua);
          getAll(20, address.port, (n) => {
            if (n === 19) { say(got.node, got.lua); lua.send('resume'); }
            if (n === 20) { say(got.node, got.lua); cluster.disconnect(); }
          });
        });
        lua.send('pause');
      });
    ]])
    table.sort(lines)
    assert.equal(3, #lines)
    assert.equal("19 1", lines[1])
    assert.equal("19 nil", lines[2])
  end)

  it_with_node("that closes gives it back", function()
    local lines = node_primary("rr", GET_ALL .. [[
      const lua = fork('lua', { HOST: '127.0.0.1' });
      fork('node', { HOST: '127.0.0.1' });
      listening(2, (address) => {
        lua.on('message', (message) => {
          if (message !== 'paused') return;
          getAll(20, address.port, (n) => {
            if (n === 19) lua.send('close');
            if (n === 20) { say(got); cluster.disconnect(); }
          });
        });
        lua.send('pause');
      });
    ]])
    assert.same({ '{"node":20}' }, lines)
  end)

  it_with_node("takes, when it is alone, what came in the pause, in its order", function()
    local lines = node_primary("rr", GET_ALL .. [[
      const lua = fork('lua', { HOST: '127.0.0.1' });
      listening(1, (address) => {
        lua.on('message', (message) => {
          if (message !== 'paused') return;
          getAll(5, address.port, (n) => { if (n === 5) { say(got); cluster.disconnect(); } });
          const later = (turns) => {
            if (turns > 0) return setImmediate(later, turns - 1);
            say(got);
            lua.send('resume');
          };
          later(50);
        });
        lua.send('pause');
      });
    ]])
    assert.same({ "{}", '{"lua":5}' }, lines)
  end)
end)

for _, policy in ipairs(clusters.policies) do
  describe("under Node's primary, policy " .. policy, function()
    it_with_node("a worker of cnet shares a port with one of Node", function()
      local lines = node_primary(policy, [[
        fork('lua', { HOST: '127.0.0.1' });
        fork('node', { HOST: '127.0.0.1' });
        listening(2, (address) => getMany(10, address.port, (got) => {
          say(process.argv[4] === 'rr' ? { lua: got.lua, node: got.node } : (got.lua || 0) + (got.node || 0));
          cluster.disconnect();
        }));
        cluster.on('disconnect', (worker) => say('disconnect', worker.exitedAfterDisconnect));
        cluster.on('exit', (worker, code, signal) => say('exit', code, signal, worker.exitedAfterDisconnect));
      ]])
      assert.equal(policy == "rr" and '{"lua":5,"node":5}' or "10", table.remove(lines, 1))
      table.sort(lines)
      assert.same({ "disconnect true", "disconnect true", "exit 0 null true", "exit 0 null true" }, lines)
    end)

    it_with_node("a worker of cnet shares a path with one of Node", function()
      local path = support.path()
      assert.same({ "true" }, node_primary(policy, ([[
        const path = %q;
        fork('lua', { SOCKET: path });
        fork('node', { SOCKET: path });
        listening(2, (address) => getMany(6, address.address, (got) => {
          say((got.lua || 0) + (got.node || 0) === 6);
          cluster.disconnect();
        }));
      ]]):format(path)))
    end)

    it_with_node("a worker of cnet is told of a port in use, and leaves and is killed as Node's", function()
      assert.same({ "bind EADDRINUSE null:N", "true 0", "true 0" }, node_primary(policy, [[
        const busy = net.createServer().listen(0, () => {
          fork('lua', { PORT: busy.address().port }).on('message', (message) => {
            say(message);
            busy.close();
            for (const how of ['leave', 'kill']) {
              const worker = fork('lua');
              worker.on('listening', () => worker.send(how));
              worker.on('exit', (code) => say(worker.exitedAfterDisconnect, code));
            }
          });
        });
      ]]))
    end)

    it_with_node("a worker of cnet gets sockets with messages", function()
      assert.same({ "lua has it" }, node_primary(policy, [[
        const worker = fork('lua');
        worker.on('listening', () => {
          const server = net.createServer({ pauseOnConnect: true }, (socket) => worker.send('socket', socket));
          server.listen(0, () => get(server.address().port, (text) => {
            say(text);
            server.close();
            worker.disconnect();
          }));
        });
      ]]))
    end)
  end)

  describe("under cnet's primary, policy " .. policy, function()
    it_with_node("a worker of Node shares a port with one of cnet", function()
      local lines = lua_primary(policy, [[
        fork("lua", { HOST = "127.0.0.1" })
        fork("node", { HOST = "127.0.0.1" })
        listening(2, function(address)
          get_many(10, address.port, function(got)
            say(os.getenv "NODE_CLUSTER_SCHED_POLICY" == "rr" and got or (got.lua or 0) + (got.node or 0))
            cluster.disconnect()
          end)
        end)
        cluster:on("disconnect", function(worker) say("disconnect", worker.exitedAfterDisconnect) end)
        cluster:on("exit", function(worker, ...) say("exit", texts(...), worker.exitedAfterDisconnect) end)
      ]])
      assert.equal(policy == "rr" and "{lua=5,node=5}" or "10", table.remove(lines, 1))
      table.sort(lines)
      assert.same({ "disconnect true", "disconnect true", "exit 0 nil true", "exit 0 nil true" }, lines)
    end)

    it_with_node("a worker of Node shares a path with one of cnet", function()
      local path = support.path()
      assert.same({ "6" }, lua_primary(policy, ([[
        local path = %q
        fork("lua", { SOCKET = path })
        fork("node", { SOCKET = path })
        listening(2, function(address)
          get_many(6, address.address, function(got)
            say((got.lua or 0) + (got.node or 0))
            cluster.disconnect()
          end)
        end)
      ]]):format(path)))
    end)

    it_with_node("a worker of Node is told of a port in use, and leaves and is killed as under Node's", function()
      assert.same({ "bind EADDRINUSE null:N", "true 0", "true 0" }, lua_primary(policy, [[
        local busy = net.createServer():listen(0)
        fork("node", { PORT = busy:address().port }):on("message", function(message)
          say(message)
          busy:close()
          for _, how in ipairs { "leave", "kill" } do
            local worker = fork "node"
            worker:on("listening", function() worker:send(how) end)
            worker:on("exit", function(code) say(worker.exitedAfterDisconnect, code) end)
          end
        end)
      ]]))
    end)

    it_with_node("a worker of Node gets sockets with messages", function()
      assert.same({ "node has it" }, lua_primary(policy, [[
        local worker = fork "node"
        worker:on("listening", function()
          local server = net.createServer({ pauseOnConnect = true }, function(socket) worker:send("socket", socket) end)
          server:listen(0, function()
            get(server:address().port, function(text)
              say(text)
              server:close()
              worker:disconnect()
            end)
          end)
        end)
      ]]))
    end)
  end)
end

describe("round robin between Node and cnet", function()
  it_with_node("gives what a full worker of cnet refuses to one of Node", function()
    assert.same({ '{"node":4}', "lua" }, node_primary("rr", [[
      fork('lua', { MAX: 1, HOLD: 1, HOST: '127.0.0.1' });
      fork('node', { HOST: '127.0.0.1' });
      listening(2, (address) => {
        const hold = () => {
          const socket = get(address.port, (text) => text === 'node' ? hold() : say(text));
          socket.on('data', (chunk) => chunk.toString() === 'lua' && getMany(4, address.port, (got) => {
            say(got);
            socket.end();
            cluster.disconnect();
          }));
        };
        hold();
      });
    ]]))
  end)

  it_with_node("gives what a full worker of Node refuses to one of cnet", function()
    assert.same({ "{lua=4}", "node" }, lua_primary("rr", [[
      fork("node", { MAX = 1, HOLD = 1, HOST = "127.0.0.1" })
      fork("lua", { HOST = "127.0.0.1" })
      listening(2, function(address)
        local function hold()
          local socket
          socket = get(address.port, function(text) if text == "lua" then hold() else say(text) end end)
          socket:on("data", function(chunk)
            if chunk ~= "node" then return end
            get_many(4, address.port, function(got)
              say(got)
              socket:end_()
              cluster.disconnect()
            end)
          end)
        end
        hold()
      end)
    ]]))
  end)
end)
