-- What bad_network.lua and load.lua share: a server in a process of its own (servers/), its counts and what the system
-- knows of it, many clients at a time, checks, and the lines that are printed.
--
--   local trial = require "stress.trial"
--   trial.main(function(kind) ... end)        -- for each server asked for; inside, what waits may be called

local net = require "cnet"
local child_process = require "cnet.child_process"

local trial = { failures = 0 }

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

-- ---- sizes ----

local quick = false

-- How many of something a trial takes: in full, or with --quick.
function trial.scale(full, small) return quick and small or full end

-- How many clients there may be at once: n, or what the limit of descriptors leaves.
function trial.room(n)
  local limit = tonumber(read "/proc/self/limits":match "Max open files%s+(%d+)") or math.huge
  return math.tointeger(math.min(n, limit - 100))
end

-- ---- waiting ----

-- Calls begin(done) and returns what done is called with, while the loop runs.
function trial.await(begin)
  local co, waiting, results = coroutine.running(), false, nil
  begin(function(...)
    if results then return end
    results = table.pack(...)
    if not waiting then return end
    local ok, err = coroutine.resume(co)
    if not ok then error(debug.traceback(co, tostring(err)), 0) end
  end)
  waiting = true
  if not results then coroutine.yield() end
  return table.unpack(results, 1, results.n)
end

function trial.sleep(ms)
  trial.await(function(done) net.setTimeout(done, ms) end)
end

-- Calls one(i, done) for i = 1 .. total, at_once of them at a time, and returns once each has called done: how often
-- with which outcome, 0 for what never came.
function trial.many(total, at_once, one)
  local outcomes = setmetatable({}, { __index = function() return 0 end })
  trial.await(function(all_done)
    local begun, over = 0, 0
    local function next_one()
      if begun == total then return end
      begun = begun + 1
      local called
      one(begun, function(outcome)
        if called then return end
        called = true
        over = over + 1
        if outcome then outcomes[outcome] = outcomes[outcome] + 1 end
        if over == total then all_done() else net.setImmediate(next_one) end
      end)
    end
    for _ = 1, math.min(at_once, total) do next_one() end
  end)
  return outcomes
end

-- Runs all of the functions at the same time; returns what they return, in a list.
function trial.together(...)
  local bodies, results = { ... }, {}
  trial.many(#bodies, #bodies, function(i, done)
    coroutine.wrap(function()
      results[i] = bodies[i]()
      done()
    end)()
  end)
  return results
end

-- ---- the end of a trial that hangs ----

local servers, watchdog = {}, nil

local function give_up()
  print "  FAILED: nothing moves any more"
  for server in pairs(servers) do server.child:kill "SIGKILL" end
  os.exit(1)
end

local function watch()
  if watchdog then return watchdog:refresh() end
  watchdog = net.setTimeout(give_up, quick and 60000 or 180000)
  watchdog:unref()
end

-- ---- a server ----

local Server = {}
Server.__index = Server

local programs = {
  cnet = { "lua5.4", "stress/servers/cnet.lua" },
  luv = { "lua5.4", "stress/servers/luv.lua" },
  node = { "node", "--expose-gc", "stress/servers/node.js" },
}

-- Starts a server in a mode of servers/cnet.lua; descriptors: how many it may have (as many as allowed).
function trial.start(kind, mode, size, descriptors)
  local words = { "sh", "-c", ('ulimit -n %s; exec "$@"'):format(descriptors or "$(ulimit -Hn)"), "sh" }
  for _, word in ipairs(programs[kind]) do words[#words + 1] = word end
  local child = child_process.fork(words[#words], { mode, tostring(size or 0) }, {
    execPath = "env",
    execArgv = table.pack(table.unpack(words, 1, #words - 1)),
    silent = true,
  })
  local self = setmetatable({ kind = kind, child = child, pid = child.pid, answers = {}, lost = 0 }, Server)
  child.stderr:on("data", function(text) io.stderr:write(text) end)
  child:on("exit", function(code, signal)
    if self.stopping then return end
    trial.check(false, "%s ended by itself: %s", kind, signal or code)
    error("the server has ended", 0)
  end)
  local text = ""
  child.stdout:on("data", function(chunk)
    text = text .. chunk
    for line in text:gmatch "([^\n]*)\n" do table.remove(self.answers, 1)(line) end
    text = text:match "[^\n]*$"
  end)
  servers[self] = true
  watch()
  self.port = tonumber(self:line())
  return self
end

-- The next line that the server prints, asked for by the text.
function Server:line(text)
  return trial.await(function(done)
    self.answers[#self.answers + 1] = done
    if text then self.child.stdin:write(text) end
  end)
end

-- What the server has counted since it started, 0 for what never came; it has collected its garbage then.
function Server:report()
  watch()
  local counts = setmetatable({}, { __index = function() return 0 end })
  for name, value in self:line("report\n"):gmatch "([%w_]+)=(%d+)" do counts[name] = math.tointeger(value) end
  return counts
end

-- The report once done(report) is true, or after 10 seconds.
function Server:settled(done)
  local report = self:report()
  for _ = 1, 200 do
    if done(report) then break end
    trial.sleep(50)
    report = self:report()
  end
  return report
end

-- The report once no connection is open any more, and so many were accepted: those that were reset may still wait.
function Server:idle(accepted)
  local report = self:settled(function(r)
    return r.open == 0 and r.accepted == r.closed and r.accepted >= (accepted or 0)
  end)
  self:must(report.open == 0 and report.accepted == report.closed, "%d of %d connections are still open", report.open,
    report.accepted)
  return report
end

local function status(pid, name)
  return tonumber(read(("/proc/%d/status"):format(pid)):match(name .. ":%s*(%d+)")) / 1024
end

-- MiB: what it has now, and the most it ever had.
function Server:memory() return status(self.pid, "VmRSS") end
function Server:peak() return status(self.pid, "VmHWM") end
function trial.memory() return status(net.process.pid, "VmRSS") end

function Server:descriptors()
  local pipe = assert(io.popen(("ls /proc/%d/fd | wc -l"):format(self.pid)))
  local n = pipe:read "n"
  pipe:close()
  return n
end

-- Runs round(false), to warm up, and round(true); then memory and descriptors have to be what they were between.
-- Returns the MiB and descriptors before and after, for the line.
function Server:steady(round)
  round(false)
  self:idle()
  local memory, descriptors = self:memory(), self:descriptors()
  round(true)
  self:idle()
  local memory_after, descriptors_after = self:memory(), self:descriptors()
  self:must(descriptors_after == descriptors, "%d descriptors, %d before", descriptors_after, descriptors)
  self:must(memory_after < memory + 2, "%.1f MiB, %.1f before", memory_after, memory)
  return ("%.1f -> %.1f MiB, %d -> %d descriptors"):format(memory, memory_after, descriptors, descriptors_after)
end

function Server:stop()
  self.stopping = true
  servers[self] = nil
  trial.await(function(done)
    self.child:on("close", done)
    self.child:kill "SIGKILL"
  end)
end

-- ---- clients ----

-- Where to connect to: another address of this machine for each n, so that ports do not run out.
function Server:at(n)
  return { port = self.port, host = ("127.1.%d.%d"):format(n // 200 % 100, n % 200 + 1) }
end

-- Connects, sends a message, waits for the same bytes, ends, and calls done("served"), or with what came instead:
-- "refused" for a clean end or a reset before the first byte, "cut" for one later, "wrong" for other bytes.
-- Returns the socket.
function Server:exchange(n, done, localAddress)
  local where = self:at(n)
  where.localAddress = localAddress
  local message, got = ("message %d of the trial\n"):format(n):rep(n % 7 + 1), ""
  local socket = net.connect(where)
  socket:on("connect", function() socket:write(message) end)
  socket:on("data", function(chunk)
    got = got .. chunk
    if #got >= #message then socket:end_() end
  end)
  socket:on("error", function() end)
  socket:on("close", function()
    local right = got == message:sub(1, #got)
    done(got == message and "served" or not right and "wrong" or got == "" and "refused" or "cut")
  end)
  return socket
end

-- ---- checks and lines ----

-- Notes and prints a failure unless the condition holds.
function trial.check(condition, message, ...)
  if condition then return end
  trial.failures = trial.failures + 1
  print("  FAILED: " .. message:format(...))
end

-- Checks what must hold for cnet; of another server it is only told.
function Server:must(condition, message, ...)
  if self.kind == "cnet" then
    trial.check(condition, message, ...)
  elseif not condition then
    print(("  (%s: %s)"):format(self.kind, message:format(...)))
  end
end

function trial.line(title, text, ...)
  print(("%-26s %s"):format(title, text:format(...)))
  io.stdout:flush()
end

-- Runs the trial for each server of the command line, and leaves with status 1 if a check failed.
function trial.main(body)
  local kinds = { "cnet" }
  for i, word in ipairs(arg) do
    if word == "--quick" then quick = true end
    if word == "--server" then kinds = { arg[i + 1] } end
  end
  assert(tonumber(read "/proc/sys/net/core/somaxconn") >= 4096, "net.core.somaxconn has to be 4096: clients queue here")
  local finished
  local co = coroutine.create(function()
    for _, kind in ipairs(kinds) do
      assert(programs[kind], "--server cnet, node or luv")
      body(kind)
    end
    finished = true
  end)
  net.setImmediate(function()
    local ok, err = coroutine.resume(co)
    if not ok then error(debug.traceback(co, tostring(err)), 0) end
  end)
  net.run(debug.traceback)
  trial.check(finished, "the trial came to no end: something never came")
  print(trial.failures == 0 and "ok" or ("%d checks FAILED"):format(trial.failures))
  os.exit(trial.failures == 0, true)
end

return trial
