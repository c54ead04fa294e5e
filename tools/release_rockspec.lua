-- The rockspec of a release, out of the one in the checkout: its sources stand in one place only.
--
--   lua5.4 tools/release_rockspec.lua 1.2.0 git+https://example.org/cnet.git > cnet-1.2.0-1.rockspec
--
-- The tag is v1.2.0, and src/core/version.h must have the version already.

local version, url = arg[1], arg[2]

local function fail(text)
  io.stderr:write("release_rockspec: ", text, "\n")
  os.exit(1)
end

local function read(name)
  local file = assert(io.open(name))
  local text = file:read "a"
  file:close()
  return text
end

if not url or not version:find "^%d+%.%d+%.%d+$" then
  fail "usage: lua5.4 tools/release_rockspec.lua X.Y.Z URL, in the checkout"
end
local in_source = read "src/core/version.h":match '#define CNET_VERSION "([^"]*)"'
if in_source ~= version then fail(("src/core/version.h says %s, not %s"):format(in_source, version)) end

local text, n = read "cnet-scm-1.rockspec":gsub('\nversion = "[^\n]*', ('\nversion = "%s-1"'):format(version))
local result, m = text:gsub("\nsource = [^\n]*", function()
  return ("\nsource = { url = %q, tag = %q }"):format(url, "v" .. version)
end)
assert(n == 1 and m == 1, "cnet-scm-1.rockspec is not what was expected")
io.write(result)
