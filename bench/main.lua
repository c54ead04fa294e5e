-- Measures echo servers side by side and prints how they compare to raw libuv. Started by run.sh.
--
--   sh bench/run.sh [--quick] [--only ROW,...] [--servers NAME,...] [--write]
--
--   --quick     a second or two for each row: shows that all works and every byte is right, not how fast
--   --only      these rows: e1 e50 e1000 big deep split stream pipe churn idle instructions syscalls splitcalls
--   --servers   these servers: raw cnet luv node cqueues (raw, the reference, is always there)
--   --write     writes docs/bench.svg, and the table of README.md
--
-- Times are ratios to raw libuv, taken within one run (bench/load.c says how), and higher is better: CPU is the
-- reference's CPU time per message over the server's, latencies are the reference's over the server's.
-- Exit status 1 if a server failed or sent a wrong byte.

package.path = "bench/?.lua;" .. package.path

local report = require "report"

-- A server's modes are what the first argument of its program may be; version is a command that fails without it.
local all_servers = {
  { id = "raw", title = "raw libuv", command = "build-bench/echo_raw", modes = "echo split pipe",
    version = "echo libuv $(pkg-config --modversion libuv)" },
  { id = "cnet", title = "cnet", command = "lua5.4 bench/echo_cnet.lua", modes = "echo split pipe",
    version = "echo cnet $(git describe --always --dirty), $(lua5.4 -v | cut -d ' ' -f 1,2)" },
  { id = "luv", title = "luv", command = "lua5.4 bench/echo_luv.lua", modes = "echo split", package = "lua-luv",
    version = [[lua5.4 -e 'print("luv on libuv " .. require "luv".version_string())']] },
  { id = "node", title = "Node", command = "node bench/echo_node.js", modes = "echo split pipe", package = "nodejs",
    version = [[node -p '"Node " + process.version + " on libuv " + process.versions.uv']], compiles = true },
  { id = "cqueues", title = "cqueues", command = "lua5.4 bench/echo_cqueues.lua", modes = "echo split",
    package = "lua-cqueues",
    version = "lua5.4 -e 'require [[cqueues]]' && echo cqueues $(dpkg-query -W -f '${Version}' lua-cqueues)" },
}

-- kind "times": options of load, the slice in ms. kind "idle": connections. kind "count": what, and options of load.
local all_rows = {
  { id = "e1", title = "64 B × 1 connection", kind = "times", load = "-c 1", slice = 10 },
  { id = "e50", title = "64 B × 50 connections", kind = "times", load = "-c 50", slice = 10 },
  { id = "e1000", title = "64 B × 1000 connections", kind = "times", load = "-c 1000", slice = 25 },
  { id = "big", title = "16 KiB × 50 connections", kind = "times", load = "-c 50 -s 16384", slice = 10 },
  { id = "deep", title = "64 B × 50, 16 in flight", kind = "times", load = "-c 50 -d 16", slice = 10 },
  { id = "split", title = "16 small writes per request", kind = "times", load = "-c 50 -s 1024", slice = 15,
    mode = "split" },
  { id = "stream", title = "streams of 64 KiB × 8", kind = "times", load = "-c 8 -s 65536 -d 4", slice = 15 },
  { id = "pipe", title = "socket:pipe(socket), 64 B × 50", kind = "times", load = "-c 50", slice = 10, mode = "pipe" },
  { id = "churn", title = "connect, echo, close", kind = "times", load = "-m churn -c 16", slice = 15 },
  { id = "idle", title = "bytes per idle connection", kind = "idle", connections = 10000 },
  { id = "instructions", title = "instructions per 64 B echo", kind = "count", load = "-c 50" },
  { id = "syscalls", title = "system calls per 64 B echo", kind = "count", load = "-c 50" },
  { id = "splitcalls", title = "system calls per 16 small writes", kind = "count", load = "-c 50 -s 1024",
    what = "syscalls", mode = "split" },
}

local function usage(message)
  if message then io.stderr:write(message, "\n") end
  for line in io.lines "bench/main.lua" do
    local text = line:match "^%-%- ?(.*)"
    if not text then break end
    (message and io.stderr or io.stdout):write(text, "\n")
  end
  os.exit(message and 2 or 0)
end

-- Those of the list whose id is in NAME,NAME,...
local function choose(list, names)
  local chosen, known = {}, {}
  for _, entry in ipairs(list) do
    known[entry.id] = true
    if (","..names..","):find(","..entry.id..",", 1, true) then chosen[#chosen + 1] = entry end
  end
  for name in names:gmatch "[^,]+" do
    if not known[name] then usage("there is no " .. name) end
  end
  return chosen
end

local options = { rows = all_rows, servers = all_servers }
do
  local i = 1
  local function value()
    i = i + 1
    return arg[i] or usage(arg[i - 1] .. " needs a value")
  end
  while arg[i] do
    if arg[i] == "--quick" then options.quick = true
    elseif arg[i] == "--write" then options.write = true
    elseif arg[i] == "--only" then options.rows = choose(all_rows, value())
    elseif arg[i] == "--servers" then options.servers = choose(all_servers, "raw," .. value())
    elseif arg[i] == "--help" then usage()
    else usage("unknown option " .. arg[i]) end
    i = i + 1
  end
end

local failed = false

local function say(...)
  io.write(string.format(...), "\n")
  io.flush()
end

-- The lines that the command prints.
local function run(command)
  local pipe = assert(io.popen(command))
  local lines = {}
  for line in pipe:lines() do lines[#lines + 1] = line end
  local good = pipe:close()
  return lines, good
end

local function quote(text) return "'" .. text:gsub("'", "'\\''") .. "'" end

-- Keeps the servers that are installed, each with its version.
local function find_servers()
  local found = {}
  for _, server in ipairs(options.servers) do
    local lines, good = run("exec 2>/dev/null; " .. server.version)
    server.version = lines[1]
    if good then
      found[#found + 1] = server
    else
      say("%s is not installed (Debian: %s): left out", server.title, server.package)
    end
  end
  return found
end

local function able(servers, mode)
  local list = {}
  for _, server in ipairs(servers) do
    if server.modes:find(mode) then list[#list + 1] = server end
  end
  return list
end

-- Runs load on the servers; returns the figures of each, by its id.
local function load(arguments, servers, mode)
  local words = { "build-bench/load", arguments }
  for _, server in ipairs(servers) do words[#words + 1] = quote(server.command .. " " .. mode) end
  local figures = {}
  for _, line in ipairs(run(table.concat(words, " "))) do
    local server = servers[tonumber(line:match "^server=(%d+)")]
    local values = { broken = line:match "broken=(.*)" }
    for key, value in line:gmatch "(%w+_?%w*)=(%-?[%d.]+)" do values[key] = tonumber(value) end
    if server then figures[server.id] = values end
  end
  for _, server in ipairs(servers) do
    local own = figures[server.id] or { broken = "no figures" }
    figures[server.id] = own
    if own.broken then
      failed = true
      say("  %s: %s", server.title, own.broken)
    end
  end
  return figures
end

local measure = {}

function measure.times(row, servers)
  local mode = row.mode or "echo"
  local rounds, warm = math.ceil(2000 / row.slice), 500
  if options.quick then rounds, warm = math.ceil(100 / row.slice), 50 end
  local arguments = ("%s -t %d -r %d -w %d"):format(row.load, row.slice, rounds, warm)
  return { { id = row.id, title = row.title, kind = "times", figures = load(arguments, able(servers, mode), mode) } }
end

function measure.idle(row, servers)
  local figures = load("-m idle -c " .. (options.quick and 1000 or row.connections), servers, "echo")
  local fresh, used = {}, {}
  for id, values in pairs(figures) do
    fresh[id], used[id] = values.fresh, values.used
    row.connections = values.connections or row.connections
  end
  local title = ("%s, of %d"):format(row.title, row.connections)
  return { { id = row.id, title = title, kind = "counts", figures = fresh },
    { id = row.id, title = "the same after an echo on each", kind = "counts", figures = used } }
end

function measure.count(row, servers)
  local what, mode, figures = row.what or row.id, row.mode or "echo", {}
  if not run("command -v " .. (what == "syscalls" and "strace" or "valgrind"))[1] then
    say("  no tool to count %s: left out", what)
    return {}
  end
  for _, server in ipairs(able(servers, mode)) do
    if what == "instructions" and server.compiles then
      say("  %s: left out, valgrind would count its compiler", server.title)
    else
      local command = quote(server.command .. " " .. mode)
      figures[server.id] = tonumber(run(("sh bench/count.sh %s %s %s"):format(what, command, row.load))[1])
      failed = failed or not figures[server.id]
    end
  end
  return { { id = row.id, title = row.title, kind = "counts", figures = figures } }
end

-- Whether a wrong byte would be seen at all.
local function check_the_check()
  local said = table.concat(run "build-bench/load -c 2 -k 5000 'build-bench/echo_raw swap'")
  if said:find "WRONG BYTES" then return end
  say("a server that swaps two bytes was not found out: %s", said)
  os.exit(1)
end

local function machine()
  local cpu = run("grep -m 1 '^model name' /proc/cpuinfo")[1] or "unknown CPU"
  return ("%s, %s CPUs, %s, %s"):format(cpu:gsub("^.-: *", ""), run("nproc")[1], run("uname -sr")[1],
    os.date "!%Y-%m-%d")
end

check_the_check()
local servers = find_servers()
local about = { machine = machine(), quick = options.quick, versions = {} }
for i, server in ipairs(servers) do about.versions[i] = server.version end
about.versions = table.concat(about.versions, ", ")
say("%s\n%s", about.machine, about.versions)

local results = {}
for _, row in ipairs(options.rows) do
  say("\n%s", row.title)
  for _, result in ipairs(measure[row.kind](row, servers)) do
    results[#results + 1] = result
    io.write(report.text(result, servers))
    io.flush()
  end
end

say("\n%s", report.markdown(results, servers, about))
if options.write and not failed then
  report.write_svg("docs/bench.svg", results, servers, about)
  report.write_readme("README.md", "docs/bench.svg", results, servers, about)
end
if failed then say("A server failed: see above.") end
os.exit(not failed)
