-- How long the specs wait before they call something hung, in milliseconds. Only a spec that hangs waits that long:
-- each limit is ten times what the slowest spec needs, or more. .ci/run sets CNET_SPEC_LIMIT where programs run slower.

local loop = tonumber(os.getenv "CNET_SPEC_LIMIT") or 5000

return {
  loop = loop, -- one run of the loop
  program = 4 * loop, -- a program that a spec starts
  spec = 6 * loop, -- a whole spec, whatever it is doing: see watch.lua
}
