-- The rooms of src/, from their #include lines: a file includes lower layers, or a file of a room listed before its own
-- in its own layer, and nothing else.

-- In order. A room is a .c and its .h.
local layers = {
  { "room", "socket_file", "runtime", "pins", "ticks", "received", "error", "protect", "interrupt", "loop", "class", "args",
    "address", "unix_address", "timer_list", "encoding", "signals", "strict", "version" },
  { "emitter", "timer", "immediate", "handle", "handle_listen", "handle_options", "handle_requests", "gather", "native",
    "listen_options", "listener", "lookup", "abort", "socket_address", "block_list", "path" },
  { "stream", "writable", "read_buffer", "readable", "renewal" },
  { "socket", "socket_options", "socket_state", "socket_class", "attempt", "connector", "pipe" },
  { "server_connections", "server_holders", "server_listen", "server" },
  { "json_syntax", "json", "channel", "socket_list", "handoff", "ipc", "process", "spawn_options", "child_process",
    "shared_loop", "cluster", "cluster_settings", "worker", "cluster_wire", "cluster_query", "round_robin",
    "shared_handle", "cluster_primary", "cluster_child" },
  { "cnet" },
}

local rank, count = {}, 0
for _, layer in ipairs(layers) do
  for _, room in ipairs(layer) do
    count = count + 1
    rank[room] = count
  end
end

local function room_of(file) return (file:gsub("%.[ch]$", "")) end

local sources = {}
do
  local pipe = assert(io.popen "ls src")
  for file in pipe:lines() do
    if file:find "%.[ch]$" then sources[#sources + 1] = file end
  end
  pipe:close()
end

-- The files of cnet that a file includes, and its other includes.
local function includes(file)
  local ours, others = {}, {}
  for line in io.lines("src/" .. file) do
    local name = line:match '^%s*#%s*include%s*"([^"]*)"'
    if name then ours[#ours + 1] = name end
    name = line:match "^%s*#%s*include%s*<([^>]*)>"
    if name then others[#others + 1] = name end
  end
  return ours, others
end

describe("the files of src", function()
  it("are all in the list of layers", function()
    assert.is_true(#sources > 20)
    for _, file in ipairs(sources) do
      assert.is_truthy(rank[room_of(file)], file .. " is in no layer: add it to spec/layers_spec.lua")
    end
  end)

  it("include lower layers, or rooms listed before their own, and nothing else", function()
    local wrong = {}
    for _, file in ipairs(sources) do
      for _, name in ipairs(includes(file)) do
        local own = room_of(name) == room_of(file)
        local lower = (rank[room_of(name)] or math.huge) < (rank[room_of(file)] or 0)
        if not own and not lower then wrong[#wrong + 1] = file .. " includes " .. name end
      end
    end
    assert.same({}, wrong)
  end)

  it("include only files that are there, each once, its own header first", function()
    local exists = {}
    for _, file in ipairs(sources) do exists[file] = true end
    for _, file in ipairs(sources) do
      local seen = {}
      local ours = includes(file)
      for _, name in ipairs(ours) do
        assert.is_true(exists[name] == true, file .. " includes " .. name)
        assert.is_nil(seen[name], file .. " includes " .. name .. " twice")
        seen[name] = true
      end
      local header = room_of(file) .. ".h"
      if file:find "%.c$" and exists[header] then assert.equal(header, ours[1], file) end
    end
  end)

  it("come in pairs: no header without a source", function()
    local exists = {}
    for _, file in ipairs(sources) do exists[file] = true end
    for _, file in ipairs(sources) do
      if file:find "%.h$" then assert.is_true(exists[room_of(file) .. ".c"] == true, file) end
    end
  end)

  it("are all in the rock", function()
    local rock = {}
    assert(loadfile("cnet-scm-1.rockspec", "t", rock))()
    local listed = {}
    for _, path in ipairs(rock.build.modules.cnet.sources) do listed[path] = true end
    for _, file in ipairs(sources) do
      if file:find "%.c$" then assert.is_true(listed["src/" .. file] == true, file .. " is not in the rockspec") end
      listed["src/" .. file] = nil
    end
    assert.is_nil(next(listed))
  end)
end)

describe("the layers", function()
  -- abort.c calls one so that a listener's error does not keep the next ones from hearing the event, connector.c one so
  -- that net.connect leaves no handle behind when it raises, json.c one for the library: none is a way in from libuv.
  it("enter Lua from libuv by one door: lua_pcall is called in protect.c only", function()
    for _, file in ipairs(sources) do
      if file ~= "protect.c" and file ~= "abort.c" and file ~= "connector.c" and file ~= "json.c" then
        for line in io.lines("src/" .. file) do
          assert.is_nil(line:match "%f[%w_]lua_pcallk?%s*%(", file .. ": " .. line)
        end
      end
    end
  end)
end)
