-- Sends messages to a child that sends them back. Started by messages.sh.
--
--   lua5.4 bench/messages_cnet.lua text|records|small COUNT [BYTES]
--
-- text, records: one at a time, of 20 MB each, a string or an array of small tables; small: of 200 bytes, all at once.
local net = require "cnet"

local kind, count, bytes = arg[1], tonumber(arg[2]), tonumber(arg[3] or 20000000)
local process = net.process
if kind == "child" then
  process:on("message", function(message) process:send(message) end)
  return net.run()
end

local child = require("cnet.child_process").fork(arg[0], { "child" })
local message
if kind == "text" then
  message = ("0123456789 abcdef "):rep(bytes // 18)
elseif kind == "records" then
  message = {}
  for i = 1, bytes // 96 do
    message[i] = { id = i, name = "name of " .. i, price = i / 7, tags = { "one", "two" }, there = true }
  end
else
  message = { id = 100000, name = "a message of 200 bytes", price = 1 / 3, tags = { "one", "two" },
    text = ("x"):rep(97) }
end

local done = 0
local function finish() child:disconnect() end
if count == 0 then finish() end
child:on("message", function(back)
  assert(type(back) == type(message) and #back == #message)
  done = done + 1
  if done == count then finish() elseif kind ~= "small" then child:send(message) end
end)
if kind == "small" then
  for _ = 1, count do child:send(message) end
elseif count > 0 then
  child:send(message)
end
net.run()
assert(done == count)
