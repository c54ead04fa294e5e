-- Node, at the other end of the specs of several processes: the version whose behaviour cnet follows, or a later one.
-- CNET_NODE names it, as in .ci/run, which also leaves it in a cache; else the system's, if that is new enough.

local node = {}

local VERSION <const> = 26

local function version(path)
  local pipe = io.popen(("env -u LD_PRELOAD '%s' --version 2>/dev/null"):format(path))
  local major = pipe:read("a"):match "^v(%d+)%."
  pipe:close()
  return major and tonumber(major) or 0
end

local function cached()
  local cache = os.getenv "XDG_CACHE_HOME" or (os.getenv "HOME" or "") .. "/.cache"
  local pipe = io.popen(("ls '%s'/cnet-node/node_modules/node-linux-*/bin/node 2>/dev/null"):format(cache))
  local path = pipe:read "l"
  pipe:close()
  return path
end

local function find()
  local named = os.getenv "CNET_NODE"
  if named then
    assert(version(named) >= VERSION, ("CNET_NODE=%s is no Node %d or later"):format(named, VERSION))
    return named
  end
  for _, path in ipairs { cached() or "node", "node" } do
    if version(path) >= VERSION then return path end
  end
end

-- The program; nil if there is none, and why a spec that needs it is pending.
node.path = find()
node.missing = ("Node %d is not installed"):format(VERSION)

return node
