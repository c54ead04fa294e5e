-- What the socket specs share: connected pairs, their events as a log, what the kernel says of a socket, and addresses
-- that refuse or do not answer.

local net = require "cnet"
local support = require "spec.support"

local sockets = {}

-- Both kinds of a stream socket: `for kind, where in pairs(sockets.kinds)`, where() being what listen takes.
sockets.kinds = {
  tcp = function() return { port = 0, host = "127.0.0.1" } end,
  unix = function() return { path = support.path() } end,
}

-- What net.connect takes to reach a listening server.
function sockets.address_of(server)
  local address = server:address()
  if type(address) == "string" then return { path = address } end
  return { host = address.address, port = address.port }
end

-- support.run_until, after what the ticks do: net.run "once" would run them and then wait for something else.
function sockets.wait(done, limit)
  net.run "nowait"
  support.run_until(done, limit)
end

-- A listening server. `on_connection` may be nil.
function sockets.server(on_connection, where, options)
  local server = net.createServer(options or {}, on_connection)
  server:listen(where or sockets.kinds.tcp())
  sockets.wait(function() return server.listening end)
  return server
end

-- Both ends of a fresh connection, client first; the loop has come to rest and the server is closed.
-- options: kind = "tcp" or "unix", server = createServer's options, client = net.connect's.
function sockets.pair(options)
  options = options or {}
  local peer, connected
  local where = sockets.kinds[options.kind or "tcp"]()
  local server = sockets.server(function(socket) peer = socket end, where, options.server)
  local target = sockets.address_of(server)
  for key, value in pairs(options.client or {}) do target[key] = value end
  local client = net.connect(target, function() connected = true end)
  sockets.wait(function() return connected and peer end)
  server:close()
  sockets.settle()
  return client, peer
end

-- Lets what is due now happen, without waiting for anything.
function sockets.settle()
  for _ = 1, 3 do net.run "nowait" end
end

local EVENTS = {
  "lookup", "connectionAttempt", "connectionAttemptFailed", "connectionAttemptTimeout", "connect", "ready", "end",
  "finish", "drain", "timeout", "pause", "resume",
}

local function code_of(value)
  if type(value) == "table" and value.message then return value.code or value.message end
  return value
end

-- Writes all events of the socket, but 'data' and 'readable', to the log; an error as its code.
function sockets.watch(socket, note, prefix)
  prefix = prefix or ""
  for _, name in ipairs(EVENTS) do
    socket:on(name, function(...)
      local values = table.pack(...)
      for i = 1, values.n do values[i] = code_of(values[i]) end
      note(prefix .. name, table.unpack(values, 1, values.n))
    end)
  end
  socket:on("error", function(err) note(prefix .. "error", code_of(err)) end)
  socket:on("close", function(...) note(prefix .. "close", ...) end)
  return socket
end

-- A function for callbacks: notes the name and the code of the error it got, or nil.
function sockets.callback(note, name)
  return function(...)
    assert(select("#", ...) <= 1, "a callback gets one argument at most")
    note(name, code_of((...)))
  end
end

-- Reads all; returns a table whose `text` is what came so far, and `ended`.
function sockets.collect(socket)
  local got = { text = "", chunks = {} }
  socket:on("data", function(chunk)
    got.chunks[#got.chunks + 1] = chunk
    got.text = table.concat(got.chunks)
  end)
  socket:on("end", function() got.ended = true end)
  return got
end

-- The same for much data: only its length, and whether it is the repetition of one pattern.
function sockets.count(socket)
  local got = { length = 0 }
  socket:on("data", function(chunk) got.length = got.length + #chunk end)
  socket:on("end", function() got.ended = true end)
  return got
end

-- ---- the kernel's view ----

local OPTIONS = [[
use strict; use Socket;
my ($pid, $local, $remote) = @ARGV;
my $pidfd = syscall(434, $pid + 0, 0);
exit 3 if $pidfd < 0;
opendir(my $d, "/proc/$pid/fd") or exit 3;
for my $n (grep { /^\d+$/ } readdir $d) {
  next unless (readlink("/proc/$pid/fd/$n") // "") =~ /^socket/;
  my $fd = syscall(438, $pidfd, $n + 0, 0);
  exit 3 if $fd < 0;
  open(my $s, "+<&=", $fd) or exit 3;
  my ($name, $peer) = (getsockname($s), getpeername($s));
  next unless $name && $peer && sockaddr_family($name) == AF_INET;
  next unless (sockaddr_in($name))[0] == $local && (sockaddr_in($peer))[0] == $remote;
  my $get = sub { unpack "i", getsockopt($s, $_[0], $_[1]) };
  print join(" ", $get->(6, 1), $get->(1, 9), $get->(6, 4), $get->(6, 5), $get->(6, 6)), "\n";
  exit 0;
}
print "no such socket\n";
]]

local function under_valgrind()
  local maps = io.open "/proc/self/maps"
  local found = maps and maps:read("a"):find("vgpreload", 1, true)
  if maps then maps:close() end
  return found ~= nil
end

-- What getsockopt says of a connected TCP socket of this process: noDelay, keepAlive, and its idle, interval (both in
-- s) and count. Perl asks, which every Debian has; nil where it may not ask, and under valgrind, which cannot do that.
function sockets.options(socket)
  if under_valgrind() then return nil end
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write(OPTIONS)
  file:close()
  local stat = assert(io.open "/proc/self/stat")
  local pid = stat:read "n"
  stat:close()
  local command = "exec env -u LD_PRELOAD perl %s %d %d %d"
  local pipe = io.popen(command:format(name, pid, socket.localPort, socket.remotePort))
  local line = pipe:read "l"
  local _, _, code = pipe:close()
  os.remove(name)
  if code == 3 then return nil end
  local values = {}
  for n in assert(line, "perl gave no answer"):gmatch "%d+" do values[#values + 1] = math.tointeger(n) end
  assert(#values == 5, line)
  return {
    noDelay = values[1] ~= 0,
    keepAlive = values[2] ~= 0,
    idle = values[3],
    interval = values[4],
    count = values[5],
  }
end

-- ---- addresses ----

-- A port of the loopback addresses where nothing listens.
function sockets.refusing_port()
  local server = sockets.server(nil, { port = 0, host = "0.0.0.0" })
  local port = server:address().port
  server:close()
  sockets.settle()
  return port
end

local SILENT = [[
local net = require "cnet"
local server = net.createServer()
server:listen({ port = tonumber(arg[2]), host = arg[1], backlog = 1 }, net.stop)
net.run()
print(server:address().port)
io.stdout:flush()
io.read() -- until the spec closes the pipe; the loop does not run, so nothing is accepted
server:close()
net.run()
]]

-- A listener on the address that answers no connect, because its queue is full, in a program of its own. Returns its
-- port, and a function that ends it.
function sockets.silent(ip, port)
  local name = os.tmpname()
  local file = assert(io.open(name, "w"))
  file:write("package.cpath = ", ("%q"):format(package.cpath), " ", SILENT)
  file:close()
  assert(os.execute(("mkfifo %s.fifo"):format(name)))
  local pipe = io.popen(("exec lua5.4 %s %s %d >%s.fifo"):format(name, ip, port or 0, name), "w")
  file = assert(io.open(name .. ".fifo"))
  local bound = file:read "n"
  file:close()
  os.remove(name .. ".fifo")
  os.remove(name)
  assert(bound, "no silent listener")
  local fillers, connected = {}, 0
  for i = 1, 2 do
    fillers[i] = net.connect({ host = ip, port = bound }, function() connected = connected + 1 end)
    fillers[i]:on("error", function() end)
  end
  sockets.wait(function() return connected == 2 end)
  return bound, function()
    for _, socket in ipairs(fillers) do socket:destroy() end
    sockets.settle()
    pipe:close()
  end
end

-- Defines the same specs for TCP and for Unix sockets.
function sockets.each_kind(run)
  for _, kind in ipairs { "tcp", "unix" } do run(kind) end
end

-- Destroys the sockets and runs the loop until they are gone.
function sockets.finish(...)
  for _, socket in ipairs { ... } do socket:destroy() end
  support.run()
end

return sockets
