-- HTTP/1.1 server on all cores: a primary that listens, and a worker process for each core that answers. Shows a
-- cluster: a worker that dies is replaced, and a stop lets the requests under way finish.
--
--   lua5.4 examples/cluster_http.lua [port] [workers]     default: 8080, one for each core
--
-- Try it: `curl http://127.0.0.1:8080/` some times: the workers take turns. `curl http://127.0.0.1:8080/slow` answers
-- after a second: Ctrl-C meanwhile waits for it. `kill -9` one of the workers: another one takes its place.

local cluster = require "cnet.cluster"
local net = require "cnet"

local HEAD_LIMIT <const> = 16 * 1024 -- bytes of a request's head
local IDLE <const> = 15000 -- ms without any activity before a connection is closed
local GRACE <const> = 5000 -- ms for the requests under way when the server stops
local BREATH <const> = 1000 -- ms before a worker that lived shorter than that is replaced

local function complain(...) io.stderr:write("cluster_http: ", ...) end

local function core_count()
  local pipe = io.popen("getconf _NPROCESSORS_ONLN 2>/dev/null")
  local n = pipe and pipe:read("n")
  if pipe then pipe:close() end
  return math.tointeger(n) or 2
end

local port = tonumber(arg[1] or 8080)
local worker_count = math.tointeger(tonumber(arg[2])) or core_count()
if not port or worker_count < 1 then
  io.stderr:write("usage: lua5.4 ", arg[0], " [port] [workers]\n")
  os.exit(2)
end

-- ---- the primary ----

local function run_primary()
  local stopping, failed = false, false
  local listening = {} -- workers that have listened, and since when

  local function fork()
    if not stopping then cluster.fork() end
  end

  -- The workers close what is idle when they hear of it, and cnet closes their servers and waits for the rest.
  local function stop()
    if stopping then return end
    stopping = true
    local left = {}
    for _, worker in pairs(cluster.workers) do
      left[#left + 1] = worker
      worker:send("stop", function() end) -- it may be dead already, and we not know it
    end
    cluster.disconnect()
    net.setTimeout(function()
      for _, worker in ipairs(left) do
        if not worker:isDead() then worker:kill() end
      end
    end, GRACE):unref() -- keeps nothing alive
  end

  cluster:on("listening", function(worker, address)
    if not next(listening) then print(("listening on http://127.0.0.1:%d/"):format(address.port)) end
    listening[worker] = os.time()
  end)
  cluster:on("exit", function(worker, code, signal)
    local since = listening[worker]
    listening[worker] = nil
    if stopping then return end
    complain(("worker %d (pid %d) died with %s\n"):format(worker.id, worker.process.pid, signal or code))
    if not since then -- the next one would fare no better
      failed = true
      stop()
    elseif os.time() - since > BREATH // 1000 then
      fork()
    else
      net.setTimeout(fork, BREATH)
    end
  end)
  net.process:once("SIGINT", stop)
  net.process:once("SIGTERM", stop)

  for _ = 1, worker_count do fork() end
  net.run()
  os.exit(not failed, true)
end

-- ---- a worker ----
-- conn.input is what is not answered yet; conn.busy: an answer is under way; conn.closing: it gets no further answer.

local connections = {}
local stopping = false

local ANSWER <const> = table.concat({
  "HTTP/1.1 %s", "Content-Type: text/plain; charset=utf-8", "Content-Length: %d", "Connection: %s", "\r\n",
}, "\r\n")

local function finish(conn)
  conn.closing = true
  conn.socket:end_()
end

local function answer(conn, status, body, keep_alive, head_only)
  keep_alive = keep_alive and not stopping
  conn.busy = false
  conn.socket:write(ANSWER:format(status, #body, keep_alive and "keep-alive" or "close") .. (head_only and "" or body))
  if not keep_alive then finish(conn) end
end

local advance

local function respond(conn, head)
  local method, target, minor = head:match("^(%u+) (%S+) HTTP/1%.(%d)\r?\n")
  if not method then return answer(conn, "400 Bad Request", "400 Bad Request\n", false) end
  if method ~= "GET" and method ~= "HEAD" then
    return answer(conn, "501 Not Implemented", "501 Not Implemented\n", false)
  end
  local option = (head:lower():match("\nconnection:[ \t]*([%w-]+)"))
  local keep_alive = option == "keep-alive" or minor ~= "0" and option ~= "close"
  local body = ("worker %d, pid %d\n"):format(cluster.worker.id, net.process.pid)
  conn.busy = true
  if target ~= "/slow" then return answer(conn, "200 OK", body, keep_alive, method == "HEAD") end
  net.setTimeout(function()
    if conn.socket.destroyed then return end
    answer(conn, "200 OK", body, keep_alive, method == "HEAD")
    advance(conn)
  end, 1000)
end

-- Answers what requests there are, in their order; the client may send the next one before it has the answer.
function advance(conn)
  while not conn.busy and not conn.closing do
    local last, after = conn.input:match("\n()\r?\n()")
    if not last then
      if #conn.input > HEAD_LIMIT then return answer(conn, "431 Too Large", "431 Too Large\n", false) end
      if conn.ended or stopping then finish(conn) end
      return
    end
    local head = conn.input:sub(1, last - 1)
    conn.input = conn.input:sub(after)
    respond(conn, head)
  end
end

local function on_connection(socket)
  local conn = { socket = socket, input = "" }
  connections[conn] = true
  socket:on("data", function(chunk)
    if conn.closing then return end
    conn.input = conn.input .. chunk
    if #conn.input > 4 * HEAD_LIMIT then return socket:destroy() end -- it does not wait for answers
    advance(conn)
  end)
  socket:on("end", function()
    conn.ended = true
    if not conn.busy and not conn.closing then finish(conn) end
  end)
  socket:on("error", function(err)
    if err.code ~= "ECONNRESET" and err.code ~= "EPIPE" then complain(tostring(err), "\n") end
  end)
  socket:on("close", function() connections[conn] = nil end)
end

local function run_worker()
  local server = net.createServer({ allowHalfOpen = true, noDelay = true }, on_connection)
  server:on("error", function(err)
    complain(tostring(err), "\n")
    if not server.listening then net.process:exit(1) end
  end)
  cluster.worker:on("message", function(message)
    if message ~= "stop" then return end
    stopping = true -- each answer from now on says "Connection: close"
    for conn in pairs(connections) do
      if not conn.busy and not conn.closing then finish(conn) end
    end
  end)
  -- Ctrl-C reaches the workers too: it is the primary that stops them.
  net.process:on("SIGINT", function() end)
  net.setInterval(function() server:closeIdleConnections(IDLE) end, IDLE // 3):unref()
  server:listen({ port = port, host = "127.0.0.1" })
  net.run()
end

io.stdout:setvbuf("line")
if cluster.isPrimary then run_primary() else run_worker() end
