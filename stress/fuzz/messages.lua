-- Lines that come over a channel, whole and in parts: the same messages and errors come of them, and what came can be
-- sent back. The first byte of the input says where it is cut.

local got, wrong

net.process:on("message", function(message)
  got[#got + 1] = message == nil and "nil" or message
  pcall(net.process.send, net.process, message) -- what JSON cannot say is an error
end)
net.process:on("error", function(err)
  assert(err.code == "ERR_IPC_INVALID_MESSAGE", err.code)
  wrong = wrong + 1
end)
net.process:on("disconnect", function() error "the channel has ended" end)

local function hear(...)
  got, wrong = {}, 0
  for _, part in ipairs { ... } do
    tell(part)
    net.run "nowait"
  end
  net.run "nowait"
  told()
  return #got, wrong, got
end

local function same(a, b, depth)
  if type(a) ~= type(b) then return false end
  if type(a) ~= "table" then return a == b or a ~= a end
  if depth > 100 then return true end
  for key, value in next, a do
    if not same(value, b[key], depth + 1) then return false end
  end
  return true
end

return function(input)
  if #input < 2 or #input > 2000 then return end
  local bytes = input:sub(2) .. "\n"
  local cut = input:byte(1) % #bytes
  local messages, errors, list = hear(bytes)
  local messages_again, errors_again, list_again = hear(bytes:sub(1, cut), bytes:sub(cut + 1))
  assert(messages == messages_again and errors == errors_again)
  assert(same(list, list_again, 0))
end
