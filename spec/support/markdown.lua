-- Reads the Markdown of docs/ and runs the programs in it.
--
-- A block of Lua that calls net.run() is a program: it runs by itself, in a folder of its own, and must end well. What
-- stands behind it, with nothing but empty lines between, says more:
--
--   <!-- try               Lua that runs beside the program, when that calls net.run(): a client for a server, say. It
--   ...                    gets net, and done(), which ends the program.
--   -->
--   ```text                what the program prints
--   <!-- not alone -->     the block is only run by others of its page, or of any page if it is the guide's. They find
--                          it by the name in its first line: -- worker.lua
--
-- Ports 8000 to 8099 and paths below /tmp stand for free ones.

local net = require "cnet"
local support = require "spec.support"

local markdown = {}

local GUIDE <const> = "docs/guide.md"

-- Array of { path, line, language, text, try, output, alone }.
function markdown.blocks(path)
  local blocks, block, comment = {}, nil, nil
  local last -- the block that is not yet parted from what stands behind it
  local number = 0
  for line in io.lines(path) do
    number = number + 1
    if block then
      if line == "```" then
        local text = table.concat(block.lines, "\n") .. "\n"
        block.text = text
        if block.language == "text" and last then last.output = text end
        blocks[#blocks + 1] = block
        last = block.language == "lua" and block or nil
        block = nil
      else
        block.lines[#block.lines + 1] = line
      end
    elseif comment then
      if line == "-->" then
        last.try = table.concat(comment, "\n")
        comment = nil
      else
        comment[#comment + 1] = line
      end
    elseif line:find "^```" then
      block = { path = path, line = number, language = line:match "^```(%S*)", lines = {}, alone = true }
    elseif line == "<!-- try" then
      assert(last, ("%s:%d: a try of no program"):format(path, number))
      comment = {}
    elseif line == "<!-- not alone -->" then
      last.alone = false
    elseif line ~= "" then
      last = nil
    end
  end
  return blocks
end

local function is_program(block)
  return block.language == "lua" and block.alone and block.text:find "net%.run%(" ~= nil
end

function markdown.programs(path)
  local programs = {}
  for _, block in ipairs(markdown.blocks(path)) do
    if is_program(block) then programs[#programs + 1] = block end
  end
  return programs
end

local function name_of(block) return block.text:match "^%-%- ([%w_]+%.lua)\n" or "example.lua" end

-- The files that the guide tells to save, which programs of all pages may require.
local helpers_found
local function helpers()
  if not helpers_found then
    helpers_found = {}
    for _, block in ipairs(markdown.blocks(GUIDE)) do
      if not block.alone then helpers_found[name_of(block)] = true end
    end
  end
  return helpers_found
end

-- Libraries that a program needs and that are not there.
function markdown.missing(block)
  local missing = {}
  for name in block.text:gmatch 'require "([%w_.]+)"' do
    if not name:find "^cnet" and not helpers()[name .. ".lua"] and not package.searchpath(name, package.path) and
      not package.searchpath(name, package.cpath) then
      missing[#missing + 1] = name
    end
  end
  return table.concat(missing, ", ")
end

-- ---- running ----

-- Ports that nobody has: not among those that the kernel gives to whoever asks for any.
local next_port = 10000 + net.process.pid % 20000

local function free_port()
  local port
  repeat
    next_port = next_port + 1
    local server = net.createServer()
    server:on("listening", function() port = server:address().port end)
    server:on("error", function() end)
    server:listen(next_port, function() server:close() end)
    support.run()
  until port
  return port
end

-- The text with other ports and paths; `swap` remembers which stand for which.
local function replace(text, swap, folder)
  text = text:gsub("%f[%w]80%d%d%f[^%w]", function(port)
    swap[port] = swap[port] or tostring(free_port())
    return swap[port]
  end)
  return (text:gsub("/tmp/", folder .. "/"))
end

local function restore(text, swap, folder)
  for port, used in pairs(swap) do text = text:gsub("%f[%w]" .. used .. "%f[^%w]", port) end
  return (text:gsub(folder:gsub("%p", "%%%0") .. "/", "/tmp/"))
end

-- Stands before a program, in its first line, so that its lines keep their numbers. A process that it forks, which
-- runs the same file, tries nothing.
local PRELUDE <const> = table.concat({
  "package.cpath, package.path = %q, %q",
  "do local try, first = %s, not os.getenv 'NODE_CHANNEL_FD'",
  "local net = require 'cnet'",
  "local run = net.run",
  "function net.run(...)",
  "net.run = run",
  "if try and first then try(net, function() net.process:exit(0) end) end",
  "return run(...)",
  "end end ",
}, " ")

local function write(path, text)
  local file = assert(io.open(path, "wb"))
  file:write(text)
  file:close()
end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function source(block, swap, folder)
  local try = "nil"
  if block.try then
    local quoted = ("%q"):format(replace("local net, done = ... " .. block.try, swap, folder))
    try = "assert(load(" .. quoted:gsub("\\\n", "\\n") .. ", '=try'))"
  end
  local prelude = PRELUDE:format(support.absolute(package.cpath), "./?.lua;" .. support.absolute(package.path), try)
  return prelude .. replace(block.text, swap, folder)
end

-- Runs a program; returns what it printed, what it said on stderr, and its exit code, or nil if it hung.
function markdown.run(block)
  local folder = os.tmpname()
  os.remove(folder)
  assert(os.execute("mkdir " .. folder))
  local swap = {}
  for _, path in ipairs { GUIDE, block.path } do
    for _, other in ipairs(markdown.blocks(path)) do
      if not other.alone then write(folder .. "/" .. name_of(other), source(other, swap, folder)) end
    end
  end
  write(folder .. "/" .. name_of(block), source(block, swap, folder))
  local _, how, code = os.execute(("cd %s && exec %s lua5.4 %s </dev/null >out 2>err"):format(
    folder, support.timeout, name_of(block)))
  local out, err = read(folder .. "/out"), read(folder .. "/err")
  os.execute("rm -rf " .. folder)
  return restore(out, swap, folder), restore(err, swap, folder), how == "exit" and code or nil
end

-- ---- attacks ----

-- Does the program serve? A server that it makes to try itself out counts.
function markdown.is_server(block) return block.text:find ":listen%(" ~= nil end

local function tried(block, try)
  local copy = {}
  for key, value in pairs(block) do copy[key] = value end
  copy.try = try
  return markdown.run(copy)
end

-- Runs a server while clients attack each of its ports and paths, and then its own try, which tells whether it still
-- serves. Returns what markdown.run does, and how many ports and paths there are, and on how many somebody listened.
-- One that ends after its first client, or by itself, may have ended meanwhile, and well.
function markdown.attack_server(block)
  local targets, seen = {}, {}
  local function add(form, value)
    if seen[value] then return end
    seen[value] = true
    targets[#targets + 1] = form:format(value)
  end
  for port in block.text:gmatch "%f[%w]80%d%d%f[^%w]" do add("{ port = %s, host = '127.0.0.1' }", port) end
  for path in block.text:gmatch '"(/tmp/[^"]+)"' do add("{ path = '%s' }", path) end
  local longest = 0 -- a client that stays longer than the program's own time limit
  for ms in block.text:gmatch "socket:setTimeout%((%d+)" do longest = math.max(longest, tonumber(ms)) end
  -- Workers tell that they listen only once; what they say to whoever comes shows that they are alive.
  local try = block.text:find "cluster" and "net.connect(8080, '127.0.0.1'):once('data', done)" or block.try or ""
  local out, err, code = tried(block, ([[
    local attack, left = require "spec.support.attack", 0
    local function try()
      %s
    end
    local function served(target)
      left = left - 1
      io.stderr:write "attacked\n"
      if left > 0 then return end
      local socket = net.connect(target)
      socket:on("error", function() end) -- it has ended by itself
      socket:on("connect", function() socket:destroy() try() end)
    end
    for _, target in ipairs { %s } do
      left = left + 1
      attack.server(target, %d, function() served(target) end)
    end
  ]]):format(try, table.concat(targets, ", "), 3 * longest))
  local attacked
  err, attacked = err:gsub("attacked\n", "")
  return out, err, code, #targets, attacked
end

-- Runs a client whose server behaves as badly as that: a name in attack.servers.
function markdown.attack_client(block, name)
  local port = assert(block.text:match "%f[%w]80%d%d%f[^%w]")
  return tried(block, ([[
    local attack = require "spec.support.attack"
    attack.client(%s, attack.servers[%q])
  ]]):format(port, name))
end

return markdown
