-- Which cnet this is, and the libuv that it runs on; what print shows of the module and its objects.

local net = require "cnet"
local support = require "spec.support"

-- What require "cnet" gives, as text, where a library of this C code is asked before libuv; or nil and why not.
local function with_libuv(code)
  local library, why = support.compile(code)
  if not library then return nil, why end
  local preload = os.getenv "LD_PRELOAD"
  return support.lua {
    "print(select(2, pcall(require, 'cnet')))",
    prefix = ("env LD_PRELOAD='%s%s'"):format(preload and preload .. " " or "", library),
  }
end

local function says(hex, version)
  return ("unsigned uv_version(void) { return 0x%06x; } const char *uv_version_string(void) { return \"%s\"; }")
    :format(hex, version)
end

describe("require 'cnet'", function()
  after_each(support.clean)

  it("names the version", function()
    assert.matches("^cnet %S+$", net._VERSION)
    assert.matches("^" .. net._VERSION:gsub("%p", "%%%0") .. ": Node's net for Lua 5%.4, on libuv 1%.%d+%.%d+$",
      tostring(net))
  end)

  for _, case in ipairs {
    { "is older than the header that cnet was built with", says(0x012200, "1.34.0"), "1%.34%.0, which is older" },
    { "is another major version", says(0x020000, "2.0.0"), "2%.0%.0, which are two kinds" },
    {
      "has larger handles",
      says(0x016300, "1.99.0") .. " unsigned long uv_handle_size(int type) { (void)type; return 100000; }",
      "1%.99%.0, whose handles are larger",
    },
  } do
    it("raises an error that names both, if the libuv that is loaded " .. case[1], function()
      local text, why = with_libuv(case[2])
      if not text then return pending(why) end
      assert.matches("cnet was built with the header of libuv 1%.%d+%.%d+, but the libuv that is loaded is " ..
        case[3] .. ": build cnet again", text)
    end)
  end

  it("goes on with a later libuv", function()
    local text, why = with_libuv(says(0x016300, "1.99.0"))
    if not text then return pending(why) end
    assert.matches("on libuv 1%.99%.0", text)
  end)
end)

describe("print", function()
  after_each(support.clean)

  it("tells what an object is, and where", function()
    local path = support.path()
    local server, other, socket = net.createServer(), net.createServer(), net.Socket()
    assert.equal("net.Server (not listening)", tostring(server))
    assert.equal("net.Socket (new)", tostring(socket))
    assert.equal("net.Server", tostring(net.Server))
    assert.equal(("net.process (%d)"):format(net.process.pid), tostring(net.process))
    server:listen(0, "127.0.0.1", function()
      local where = "127.0.0.1:" .. server:address().port
      assert.equal(("net.Server (%s)"):format(where), tostring(server))
      socket:connect(server:address().port, "127.0.0.1", function()
        assert.equal(("net.Socket (%s)"):format(where), tostring(socket))
        socket:destroy()
        server:close()
      end)
      assert.equal("net.Socket (connecting)", tostring(socket))
    end)
    other:listen(path, function()
      assert.equal(("net.Server (%s)"):format(path), tostring(other))
      other:close()
    end)
    support.run()
    assert.equal("net.Socket (destroyed)", tostring(socket))
    assert.equal("net.Server (not listening)", tostring(server))
  end)

  it("tells an error's message, and of one that a caller made, where", function()
    local err = support.caught(function() net.createServer():listen(70000) end)
    assert.matches("version_spec%.lua:%d+: options%.port should be >= 0 and < 65536%. Received type number %(70000%)%.",
      tostring(err))
  end)
end)
