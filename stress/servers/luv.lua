-- The server of the trials on luv: lua5.4 stress/servers/luv.lua MODE [SIZE]. See cnet.lua; without the modes that luv
-- has nothing for.

local uv = require "luv"

local mode, size = arg[1], math.tointeger(tonumber(arg[2] or 0))
local counts = { accepted = 0, closed = 0 }
local function count(name, n) counts[name] = (counts[name] or 0) + (n or 1) end

local function close(socket)
  if not socket:is_closing() then socket:close(function() count "closed" end) end
end

local function failed(socket, err)
  if not socket:is_closing() then count("error_" .. err:match "^[%w_]+") end
  close(socket)
end

-- Closes once all is written.
local function finish(socket)
  if not socket:shutdown(function() close(socket) end) then close(socket) end -- it was shut down before
end

local serve = {}

function serve.echo(socket)
  return function(chunk)
    count("bytes", #chunk)
    socket:write(chunk, function(err) if err then failed(socket, err) end end)
  end
end

function serve.late(socket)
  local parts = {}
  return function(chunk) parts[#parts + 1] = chunk end, function() socket:write(table.concat(parts)) end
end

local bytes = ("0123456789abcdef"):rep(size // 16)
function serve.big(socket)
  socket:write(bytes, function(err)
    count(err and "cut" or "written")
    if err then failed(socket, err) end
  end)
  return function() end
end

local server = uv.new_tcp()
server:bind("0.0.0.0", 0)
server:listen(4096, function(err)
  if err then return count("server_error_" .. err:match "^[%w_]+") end
  local socket = uv.new_tcp()
  local ok, _, code = server:accept(socket)
  if not ok then
    socket:close()
    return count("server_error_" .. code)
  end
  count "accepted"
  socket:nodelay(true)
  local data, ended = serve[mode](socket)
  socket:read_start(function(read_err, chunk)
    if chunk then return data(chunk) end
    if read_err then return failed(socket, read_err) end
    if ended then ended() end
    finish(socket)
  end)
  if mode == "big" then socket:shutdown() end
end)
print(server:getsockname().port)
io.stdout:flush()

local stdin = uv.new_pipe()
stdin:open(0)
stdin:read_start(function(_, text)
  if not text then os.exit(0) end
  for _ = 1, select(2, text:gsub("report\n", "")) do
    collectgarbage()
    collectgarbage()
    counts.open = counts.accepted - counts.closed
    for name, value in pairs(counts) do io.write(name, "=", value, " ") end
    print()
    io.stdout:flush()
  end
end)
uv.run()
