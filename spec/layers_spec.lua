-- The files of src/, held to the order that tools/wings.lua states: a file includes lower wings, or a room listed
-- before its own in its own wing, and nothing else.

local order = dofile "tools/wings.lua"

local rank, wing_of, count = {}, {}, 0 -- by room: "core/runtime"
for _, wing in ipairs(order.wings) do
  for i = 2, #wing do
    for name in wing[i][1]:gmatch "[%w_]+" do
      local room = wing[1] .. "/" .. name
      count = count + 1
      rank[room] = count
      wing_of[room] = wing[1]
    end
  end
end
rank.cnet = count + 1 -- luaopen_*, above all

local function room_of(file) return (file:gsub("%.[ch]$", "")) end

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local sources = {} -- "core/runtime.c"
do
  local pipe = assert(io.popen "find src -type f | sort")
  for path in pipe:lines() do sources[#sources + 1] = path:sub(#"src/" + 1) end
  pipe:close()
end

-- The files of cnet that a file includes.
local function includes(file)
  local ours = {}
  for line in io.lines("src/" .. file) do
    ours[#ours + 1] = line:match '^%s*#%s*include%s*"([^"]*)"'
  end
  return ours
end

describe("the files of src", function()
  it("are all in the order of the wings, and in their folder", function()
    assert.is_true(#sources > 20)
    for _, file in ipairs(sources) do
      assert.is_truthy(file:find "%.[ch]$", file)
      assert.is_truthy(rank[room_of(file)], file .. " is in no wing: add it to tools/wings.lua")
    end
    for room in pairs(rank) do assert.is_true(pcall(read, "src/" .. room .. ".c"), room) end
  end)

  it("include lower wings, or rooms listed before their own, and nothing else", function()
    local wrong = {}
    for _, file in ipairs(sources) do
      for _, name in ipairs(includes(file)) do
        local own = room_of(name) == room_of(file)
        local lower = (rank[room_of(name)] or math.huge) < rank[room_of(file)]
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

  it("have headers that name their wing", function()
    for _, file in ipairs(sources) do
      if file:find "%.h$" then
        local comment = read("src/" .. file):match "^/%*.-%*/"
        assert.equal(wing_of[room_of(file)], comment and comment:match "Wing (%w+)", file)
      end
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

  it("stand in README's table as they are", function()
    local readme = read "README.md"
    assert.equal(order.with_table(readme), readme, "run lua5.4 tools/wings.lua --write")
  end)
end)

describe("the wings", function()
  -- abort.c calls one so that a listener's error does not keep the next ones from hearing the event, connector.c one so
  -- that net.connect leaves no handle behind when it raises, json.c one for the library, pipe.c one so that a
  -- destination whose write raises ends alone: none is a way in from libuv.
  it("enter Lua from libuv by one door: lua_pcall is called in protect.c only", function()
    local may = { ["core/protect.c"] = true, ["event/abort.c"] = true, ["socket/connector.c"] = true,
      ["socket/pipe.c"] = true, ["text/json.c"] = true }
    for _, file in ipairs(sources) do
      if not may[file] then
        for line in io.lines("src/" .. file) do
          assert.is_nil(line:match "%f[%w_]lua_pcallk?%s*%(", file .. ": " .. line)
        end
      end
    end
  end)

  it("ask libuv of a stream handle in the wing handle only", function()
    local calls = { "uv_tcp_", "uv_pipe_", "uv_tty_", "uv_read_", "uv_write", "uv_try_write", "uv_listen", "uv_accept",
      "uv_shutdown", "uv_stream_", "uv_guess_handle" }
    for _, file in ipairs(sources) do
      if not file:find "^handle/" then
        for line in io.lines("src/" .. file) do
          for _, call in ipairs(calls) do
            assert.is_nil(line:match("%f[%w_]" .. call .. "[%w_]*%("), file .. ": " .. line)
          end
        end
      end
    end
  end)
end)
