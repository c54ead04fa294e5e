-- What the cluster specs share: programs that are a primary and its workers in one script, as clusters usually are, and
-- the same with Node at one end.

local support = require "spec.support"

local clusters = {}

-- Both policies: `for _, policy in ipairs(clusters.policies)`.
clusters.policies = { "rr", "none" }

-- What both sides have. A primary proves at its end that every worker has exited and no descriptor is left.
local PRELUDE = [[
local cluster, net = require "cnet.cluster", require "cnet"
io.stdout:setvbuf "line"
local function fds()
  local pipe = io.popen("ls -l /proc/" .. net.process.pid .. "/fd 2>&1 | grep -c socket:")
  local n = pipe:read "n"
  pipe:close()
  return n
end
local function count(t) local n = 0 for _ in pairs(t) do n = n + 1 end return n end
local function show(value)
  if type(value) ~= "table" then return tostring(value) end
  local keys = {}
  for key in pairs(value) do keys[#keys + 1] = tostring(key) end
  table.sort(keys)
  for i, key in ipairs(keys) do keys[i] = key .. "=" .. show(value[key]) end
  return "{" .. table.concat(keys, ",") .. "}"
end
local function texts(...)
  local list = table.pack(...)
  for i = 1, list.n do list[i] = show(list[i]) end
  return table.concat(list, " ", 1, list.n)
end
local function say(...) -- to the output, or in a worker to the primary, which does so
  if cluster.isPrimary then print(texts(...)) else net.process:send(texts(...)) end
end
local function signal(name, pid) os.execute("kill -" .. name .. " " .. pid) end
local function get(port, done) -- done(all that the server says)
  local text = ""
  local socket = net.connect(port, type(port) == "number" and "127.0.0.1" or nil)
  socket:on("data", function(chunk) text = text .. chunk end)
  socket:on("error", function(err) text = text .. err.code end)
  socket:on("close", function() done(text, socket) end)
  return socket
end
local function get_many(n, port, done) -- one after the other; done({text -> how often})
  local got = {}
  local function next_one()
    if n == 0 then return done(got) end
    n = n - 1
    get(port, function(text) got[text] = (got[text] or 0) + 1 next_one() end)
  end
  next_one()
end
local function listening(n, fn) -- fn(address) once n servers listen
  cluster:on("listening", function(_, address)
    n = n - 1
    if n == 0 then fn(address) end
  end)
end
local function hear() cluster:on("message", function(worker, message) print(worker.id .. " " .. message) end) end
if cluster.isWorker then
]]

local MIDDLE = [[
  net.run(debug.traceback)
else
  local forks, exits, before = 0, 0, fds()
  cluster:on("fork", function() forks = forks + 1 end)
  cluster:on("exit", function() exits = exits + 1 end)
]]

local END = [[
  net.run(debug.traceback)
  assert(forks == exits and count(cluster.workers) == 0, "a worker is left")
  collectgarbage() collectgarbage()
  net.run "nowait"
  assert(fds() == before, "a descriptor is left")
end
]]

local function lines_of(text)
  local lines = {}
  for line in text:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines
end

-- Runs a program whose workers run `worker` and whose primary runs `primary`; returns the lines that the primary wrote.
-- options: policy = "rr" or "none", args = { ... }, may_fail = stderr is returned too.
function clusters.run(worker, primary, options)
  options = options or {}
  local out, err, code = support.lua({
    PRELUDE .. worker .. MIDDLE .. primary .. END,
    prefix = "env NODE_CLUSTER_SCHED_POLICY=" .. (options.policy or "rr"),
  }, table.unpack(options.args or {}))
  if options.may_fail then return lines_of(out), err, code end
  assert(err == "" and code == 0, ("the program ended with %s: %s%s"):format(code, err, out))
  return lines_of(out)
end

return clusters
