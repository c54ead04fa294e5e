-- Bytes read as text, all at once and in parts: the text is the same. Text that was made of bytes gives these bytes
-- when it is written; any other text gives some. The first bytes of the input say which encoding, and where it is cut.

local ENCODINGS <const> = { "utf8", "hex", "base64", "base64url", "latin1", "ascii" }
local EXACT <const> = { hex = true, base64 = true, base64url = true, latin1 = true }

return function(input)
  if #input < 3 then return end
  local first, second, third = input:byte(1, 3)
  local encoding, bytes = ENCODINGS[first % #ENCODINGS + 1], input:sub(4)
  local a, b = second % (#bytes + 1), third % (#bytes + 1)
  if a > b then a, b = b, a end
  local text = decode(encoding, bytes)
  assert(decode(encoding, bytes:sub(1, a), bytes:sub(a + 1, b), bytes:sub(b + 1)) == text)
  if EXACT[encoding] then assert(encode(encoding, text) == bytes) end
  if encoding == "utf8" then assert(utf8.len(text)) end
  if encoding == "ascii" then assert(not text:find "[\128-\255]") end
  if encoding == "hex" then assert(#text == 2 * #bytes) end
  assert(#encode(encoding, bytes) <= #bytes)
end
