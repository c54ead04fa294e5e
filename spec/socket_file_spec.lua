-- The file of a Unix server: its server removes it, and no other file that has come to stand in its place.

local net = require "cnet"
local children = require "spec.support.children"
local clusters = require "spec.support.clusters"
local sockets = require "spec.support.sockets"
local support = require "spec.support"

after_each(children.clean)

local has_luv = pcall(require, "luv")

-- A server that answers each client with the word.
local function server_at(path, word)
  return sockets.server(function(socket) socket:end_(word) end, { path = path })
end

-- What the server at the path says, or the code of the error.
local function ask(path)
  local text
  local client = net.connect(path)
  local got = sockets.collect(client)
  client:on("error", function(err) text = err.code end)
  client:on("close", function() text = text or got.text end)
  sockets.wait(function() return text end)
  return text
end

local function close(server)
  server:close()
  sockets.settle()
end

-- Puts something else at the path of a server that listens. Each returns what `kind` says of it afterwards.
local replacements = {
  ["an ordinary file"] = function(path)
    assert(os.remove(path))
    local file = assert(io.open(path, "w"))
    file:write "text"
    file:close()
    return "regular file"
  end,
  ["an empty file that is renamed there"] = function(path)
    assert(os.rename(support.file "", path))
    return "regular empty file"
  end,
  ["a directory"] = function(path)
    assert(os.remove(path))
    assert(os.execute("mkdir " .. path))
    return "directory"
  end,
  ["a symbolic link to the very socket"] = function(path)
    assert(os.rename(path, path .. ".moved"))
    assert(os.execute(("ln -s %s.moved %s"):format(path, path)))
    return "symbolic link"
  end,
  ["a link that leads nowhere"] = function(path)
    assert(os.remove(path))
    assert(os.execute("ln -s /nothing/here " .. path))
    return "symbolic link"
  end,
}

-- What `stat` calls the file, or nil.
local function kind(path)
  local pipe = io.popen(("stat -c %%F %s 2>/dev/null"):format(path))
  local text = pipe:read "l"
  pipe:close()
  return text
end

local function remove(path) os.execute(("rm -rf %s %s.moved"):format(path, path)) end

describe("the file of a server's path", function()
  it("is removed at close, at once", function()
    local path = support.path()
    local server = server_at(path, "one")
    assert.equal("socket", kind(path))
    server:close()
    assert.is_nil(kind(path))
    support.run()
  end)

  it("of a new server stays when the old one closes, and goes with its own", function()
    local path = support.path()
    local old = server_at(path, "old")
    for i = 1, 5 do -- the next one's file has the inode of none that is still open
      assert(os.remove(path))
      local new = server_at(path, "new " .. i)
      close(old)
      assert.equal("socket", kind(path))
      assert.equal("new " .. i, ask(path))
      old = new
    end
    close(old)
    assert.is_nil(kind(path))
    assert.equal("ENOENT", ask(path))
    support.run()
  end)

  it("of a new server stays that was renamed there while the old one listened", function()
    local path, other = support.path(), support.path()
    local old, new = server_at(path, "old"), server_at(other, "new")
    assert(os.rename(other, path))
    close(old)
    assert.equal("new", ask(path))
    close(new)
    assert.equal("socket", kind(path)) -- it made the file under another name
    support.run()
  end)

  it("of a new server in another process stays too", function()
    local path = support.path()
    local old = server_at(path, "old")
    assert(os.remove(path))
    local child = children.fork([[
      local server = net.createServer(function(socket) socket:end_ "child" end)
      server:listen(arg[1], function() process:send "listening" end)
      process:on("disconnect", function() server:close() end)
    ]], { path })
    local messages = children.messages(child)
    support.run_until(function() return messages.n == 1 end)
    close(old)
    assert.equal("child", ask(path))
    child:disconnect()
    support.run()
    assert.is_nil(kind(path))
  end)

  for name, replace in pairs(replacements) do
    it("stays if it is " .. name, function()
      local path = support.path()
      local server = server_at(path, "one")
      local is = replace(path)
      close(server)
      assert.equal(is, kind(path))
      support.run()
      remove(path)
    end)
  end

  it("stays where it was moved to", function()
    local path = support.path()
    local server = server_at(path, "one")
    assert(os.rename(path, path .. ".moved"))
    assert.equal("one", ask(path .. ".moved"))
    close(server)
    assert.equal("socket", kind(path .. ".moved"))
    support.run()
    remove(path)
  end)

  it("stays if another server's listen fails on it", function()
    local path = support.path()
    local server = server_at(path, "one")
    local code
    net.createServer():on("error", function(err) code = err.code end):listen(path)
    sockets.settle()
    assert.equal("EADDRINUSE", code)
    assert.equal("one", ask(path))
    close(server)
    assert.is_nil(kind(path))
    support.run()
  end)

  it("is removed when the same server listens again elsewhere, and when it is closed by <close>", function()
    local first, second = support.path(), support.path()
    local server = server_at(first, "one")
    server:close()
    server:listen(second)
    assert.same({ nil, "socket" }, { kind(first), kind(second) })
    sockets.settle()
    do
      local scoped <close> = server -- luacheck: ignore
    end
    assert.is_nil(kind(second))
    support.run()
  end)

  it("has the path that is in it, not one that it begins with", function()
    local path = support.path()
    local server, longer = server_at(path, "one"), server_at(path .. "x", "two")
    close(server)
    assert.equal("two", ask(path .. "x"))
    close(longer)
    assert.same({}, { kind(path), kind(path .. "x") })
    support.run()
  end)

  it("is removed by a server that a child has too, and stays when the child closes", function()
    local path = support.path()
    local server = server_at(path, "parent")
    local child = children.fork [[
      process:on("message", function(message, server)
        server:on("connection", function(socket) socket:end_ "child" end)
        server:close(function() process:send "closed" process:disconnect() end)
      end)
    ]]
    local messages = children.messages(child)
    child:send("server", server)
    support.run_until(function() return messages.n == 1 end)
    assert.equal("closed", messages[1])
    assert.equal("parent", ask(path))
    close(server)
    assert.is_nil(kind(path))
    support.run()
  end)
end)

describe("a relative path", function()
  -- luv has chdir, which plain Lua has not
  local BEGIN = [[
    local net, uv = require "cnet", require "luv"
    assert(uv.chdir(arg[1]))
    local function exists(path) return (uv.fs_lstat(path) or {}).type end
    uv.fs_mkdir("one", 511) uv.fs_mkdir("two", 511)
    uv.chdir "one"
    local server = net.createServer():listen("name.sock")
    net.run "nowait"
    assert(exists(arg[1] .. "/one/name.sock") == "socket")
  ]]

  local function run(code)
    if not has_luv then return pending "no luv" end
    local folder = support.path()
    assert(os.execute("mkdir " .. folder))
    local out, err, exit = support.lua(BEGIN .. code, folder)
    remove(folder)
    assert.same({ "", 0 }, { err, exit })
    return out
  end

  it("is the file that was made, wherever the process has gone meanwhile", function()
    assert.equal("nil nil", run [[
      uv.chdir "../two"
      server:close()
      io.write(tostring(exists(arg[1] .. "/one/name.sock")), " ", tostring(exists "name.sock"))
      net.run()
    ]] or "nil nil")
  end)

  it("is no file of that name in another folder", function()
    assert.equal("nil socket", run [[
      uv.chdir "../two"
      local other = net.createServer():listen("name.sock")
      server:close()
      io.write(tostring(exists(arg[1] .. "/one/name.sock")), " ", tostring(exists "name.sock"))
      other:close()
      net.run()
      assert(not exists "name.sock")
    ]] or "nil socket")
  end)

  it("in a folder that was removed is removed with it", function()
    assert.equal("", run [[
      uv.fs_unlink "name.sock"
      uv.chdir ".."
      uv.fs_rmdir "one"
      server:close()
      net.run()
    ]] or "")
  end)

  it("whose whole name would be too long is removed under the short one", function()
    assert.equal("nil", run [[
      for _ = 1, 42 do
        local name = ("x"):rep(100)
        assert(uv.fs_mkdir(name, 511))
        assert(uv.chdir(name))
      end
      local deep = net.createServer():listen("deep.sock")
      assert(exists "deep.sock" == "socket")
      deep:close()
      io.write(tostring(exists "deep.sock"))
      server:close()
      net.run()
    ]] or "nil")
  end)
end)

describe("the end of a program", function()
  local ends = {
    ["lua_close"] = "net.run 'nowait'",
    ["os.exit in a callback"] = "net.setImmediate(os.exit, 0, true) net.run()",
    ["net.process:exit in a callback"] = "net.setImmediate(function() net.process:exit(0) end) net.run()",
    ["os.exit in a close callback"] = [[
      net.createServer():listen(0):close(function() os.exit(0, true) end) net.run()]],
    ["an error"] = "net.setImmediate(error, 'raised') assert(not pcall(net.run))",
  }

  for name, ending in pairs(ends) do
    it("removes what it made, and nothing else: " .. name, function()
      local path, taken = support.path(), support.path()
      local out, err, code = support.lua(([[
        local net = require "cnet"
        server = net.createServer():listen(arg[1])
        local other = net.createServer():listen(arg[2])
        net.run "nowait"
        assert(os.remove(arg[2]))
        assert(io.open(arg[2], "w")):close()
        %s
      ]]):format(ending), path, taken)
      assert.same({ "", 0 }, { out, code })
      assert.truthy(err == "" or err:find "never called net.run" == nil)
      assert.is_nil(kind(path))
      assert.equal("regular empty file", kind(taken))
    end)
  end

  it("removes the files of luv's loop too", function()
    if not has_luv then return pending "no luv" end
    local path, taken = support.path(), support.path()
    local out, err, code = support.lua([[
      local uv, net = require "luv", require "cnet"
      net.useLuv()
      net.createServer():listen(arg[1])
      net.createServer():listen(arg[2])
      net.run "nowait"
      assert(os.remove(arg[2]))
      assert(io.open(arg[2], "w")):close()
    ]], path, taken)
    assert.same({ "", "", 0 }, { out, err, code })
    assert.same({ nil, "regular empty file" }, { kind(path), kind(taken) })
  end)
end)

describe("a cluster's path", function()
  for _, policy in ipairs(clusters.policies) do
    it("is removed by the primary, unless another file has its place, policy " .. policy, function()
      for _, taken in ipairs { false, true } do
        local path = support.path()
        assert.same({ "hello", taken and "there" or "gone" }, clusters.run([[
          net.createServer(function(socket) socket:end_ "hello" end):listen(arg[1])
        ]], [[
          local function exists(path) local found = os.rename(path, path) return found and "there" or "gone" end
          for _ = 1, 2 do cluster.fork() end
          listening(2, function()
            get(arg[1], function(text)
              print(text)
              if arg[2] == "true" then
                assert(os.remove(arg[1]))
                assert(io.open(arg[1], "w")):close()
              end
              cluster.disconnect(function() print(exists(arg[1])) end)
            end)
          end)
        ]], { policy = policy, args = { path, tostring(taken) } }))
      end
    end)
  end
end)
