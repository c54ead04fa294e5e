-- Encodings of a net.Socket: setEncoding, and the encodings of write, end_ and setDefaultEncoding. What is decoded is
-- what node v26's StringDecoder gives, what is encoded what its Buffer.from gives.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local caught, recorder = support.caught, support.recorder

local BAD = "\u{FFFD}"
local NAMES = { -- as they may be written, and as readableEncoding shows them
  ["utf8"] = "utf8", ["utf-8"] = "utf8", ["UTF-8"] = "utf8", ["Utf8"] = "utf8", ["latin1"] = "latin1",
  ["Latin1"] = "latin1", ["binary"] = "latin1", ["BINARY"] = "latin1", ["ascii"] = "ascii", ["ASCII"] = "ascii",
  ["hex"] = "hex", ["HEX"] = "hex", ["base64"] = "base64", ["BASE64"] = "base64", ["base64url"] = "base64url",
  ["Base64URL"] = "base64url",
}
local UNKNOWN = { "hex\0", "f\0oo", "utf7", "utf", "utf88", "hexx", " hex", "hex ", "buffer64", 1, 1.5, true, false, {},
  print }

-- What shows that a packet has come, be it all held back: the count of bytes.
local function send(from, to, packet)
  if packet == "" then return end
  local expected = to.bytesRead + #packet
  from:write(packet)
  support.run_until(function() return to.bytesRead >= expected end)
  sockets.settle()
  assert.equal(expected, to.bytesRead)
end

-- What a socket of this encoding gives for each of the packets ("" for none), and at last for the end.
local function decoded(encoding, packets)
  local client, peer = sockets.pair()
  local results, ended, closed = {}, 0, 0
  local text = ""
  assert.equal(peer, peer:setEncoding(encoding))
  peer:on("data", function(chunk)
    assert.equal(0, ended)
    assert.not_equal("", chunk)
    text = text .. chunk
  end)
  peer:on("end", function() ended = ended + 1 end)
  peer:on("close", function() closed = closed + 1 end)
  local function take()
    results[#results + 1] = text
    text = ""
  end
  for _, packet in ipairs(packets) do
    send(client, peer, packet)
    take()
  end
  client:resume()
  client:end_()
  support.run()
  take()
  assert.same({ 1, 1 }, { ended, closed })
  return results
end

-- What a peer gets of write(text, encoding).
local function encoded(...)
  local client, peer = sockets.pair()
  local got = sockets.collect(peer)
  client:resume()
  client:end_(...)
  support.run()
  assert.is_true(got.ended)
  assert.equal(#got.text, client.bytesWritten)
  return got.text
end

describe("socket:setEncoding", function()
  after_each(support.clean)

  it("can be told to the constructor, for both ways", function()
    assert.equal("hex", net.Socket({ encoding = "HEX" }).readableEncoding)
    for _, nothing in ipairs { "", 0, false } do assert.is_nil(net.Socket({ encoding = nothing }).readableEncoding) end
    for _, name in ipairs { "encoding", "defaultEncoding" } do
      for _, bad in ipairs { "x", 5, true } do
        local err = support.caught(net.Socket, { [name] = bad })
        assert.equal("ERR_UNKNOWN_ENCODING", err.code)
        assert.truthy(err.message:find("Unknown encoding: " .. tostring(bad), 1, true))
      end
    end
    assert.equal("ERR_UNKNOWN_ENCODING", support.caught(net.Socket, { defaultEncoding = "" }).code)
    local got, server = "", nil
    server = net.createServer(function(peer)
      peer:on("data", function(data) peer:end_(data .. "!") end)
      server:close()
    end)
    server:listen(0, "127.0.0.1", function()
      local client = net.connect { port = server:address().port, host = "127.0.0.1", encoding = "hex",
        defaultEncoding = "base64" }
      client:on("data", function(data) got = got .. data end)
      client:write "aGk="
    end)
    support.run()
    assert.equal("686921", got)
  end)

  it("takes every name, in any case, and readableEncoding shows it", function()
    assert.is_nil(net.Socket().readableEncoding)
    for name, shown in pairs(NAMES) do
      local socket = net.Socket()
      assert.equal(socket, socket:setEncoding(name))
      assert.equal(shown, socket.readableEncoding)
    end
    local socket = net.Socket()
    assert.equal(socket, socket:setEncoding())
    assert.equal("utf8", socket.readableEncoding)
    for _, nothing in ipairs { false, "" } do -- Node takes "", and raises for false
      socket:setEncoding "hex"
      assert.equal(nothing == "", (pcall(socket.setEncoding, socket, nothing)))
      assert.equal(nothing == "" and "utf8" or "hex", socket.readableEncoding)
    end
    assert.is_false(pcall(function() socket.readableEncoding = "hex" end))
    assert.equal("utf8", socket.readableEncoding)
  end)

  it("refuses other names, and stays as it is", function()
    local socket = net.Socket():setEncoding "hex"
    for _, name in ipairs(UNKNOWN) do
      local err = caught(socket.setEncoding, socket, name)
      assert.equal("TypeError", err.name)
      assert.equal("ERR_UNKNOWN_ENCODING", err.code)
      assert.equal("Unknown encoding: " .. tostring(name), err.message)
      assert.equal("hex", socket.readableEncoding)
      assert.is_false(socket.destroyed)
    end
    for _, self in ipairs { 1, "x", {}, net.Server(), io.stdout } do
      assert.is_false(pcall(socket.setEncoding, self, "utf8"))
    end
  end)

  it("without it the bytes come as they are", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    client:resume()
    send(client, peer, "\xE2\x82")
    send(client, peer, "\xAC\xFF\0")
    client:end_()
    support.run()
    assert.same({ "\xE2\x82", "\xAC\xFF\0" }, got.chunks)
  end)

  -- { encoding, packets, what each gives, what the end gives }
  local CASES = {
    -- a character is whole or not there
    { "utf8", { "abc" }, "abc", "" },
    { "utf8", { "\xC3", "\xA9" }, "", "é", "" },
    { "utf8", { "a\xC3", "\xA9b" }, "a", "éb", "" },
    { "utf8", { "\xE2", "\x82", "\xAC" }, "", "", "€", "" },
    { "utf8", { "x\xE2\x82", "\xACy" }, "x", "€y", "" },
    { "utf8", { "\xF0", "\x9F", "\x98", "\x80" }, "", "", "", "😀", "" },
    { "utf8", { "\xF0\x9F", "\x98\x80\xF0\x9F\x98", "\x80" }, "", "😀", "😀", "" },
    { "utf8", { "\xE2\x82\xAC\xE2", "\x82\xAC" }, "€", "€", "" },
    { "utf8", { "\0", "a\0b" }, "\0", "a\0b", "" },
    { "utf8", { "\xEF\xBB", "\xBFx" }, "", "\u{FEFF}x", "" }, -- a byte order mark stays
    { "utf8", { "\xED\x9F\xBF\xEE\x80\x80\xF4\x8F\xBF\xBF" }, "\u{D7FF}\u{E000}\u{10FFFF}", "" },
    -- what is no character
    { "utf8", { "\xFF" }, BAD, "" },
    { "utf8", { "a\x80b" }, "a" .. BAD .. "b", "" },
    { "utf8", { "\xC0\x80" }, BAD .. BAD, "" },
    { "utf8", { "\xC1", "\xBF" }, "", BAD .. BAD, "" },
    { "utf8", { "\xE0\x80\x80" }, BAD .. BAD .. BAD, "" },
    { "utf8", { "\xED\xA0\x80" }, BAD .. BAD .. BAD, "" }, -- a surrogate
    { "utf8", { "\xF0\x80\x80\x80" }, BAD:rep(4), "" },
    { "utf8", { "\xF4\x90\x80\x80" }, BAD:rep(4), "" }, -- beyond U+10FFFF
    { "utf8", { "\xF5\x80" }, "", BAD .. BAD },
    { "utf8", { "\xE2\x82x" }, BAD .. "x", "" },
    { "utf8", { "\xE2\x82", "x" }, "", BAD .. "x", "" },
    { "utf8", { "\xE2", "\xE2\x82\xAC" }, "", BAD .. "€", "" },
    { "utf8", { "\xE2\x82", "\xC3", "\xA9" }, "", BAD, "é", "" },
    { "utf8", { "\xF0\x9F\x98", "€" }, "", BAD .. "€", "" },
    { "utf8", { "\x80", "\x80" }, BAD, BAD, "" },
    { "utf8", { "\xF8\x88\x80\x80\x80" }, BAD:rep(5), "" },
    -- a part at the end is one U+FFFD
    { "utf8", { "\xC3" }, "", BAD },
    { "utf8", { "abc\xE2\x82" }, "abc", BAD },
    { "utf8", { "\xF0", "\x9F", "\x98" }, "", "", "", BAD },
    { "utf8", { "\xE0\x80" }, "", BAD .. BAD },
    { "utf8", { "\xF0\x9F\xE2" }, BAD, BAD },
    { "utf8", {}, "" },
    -- each byte is two digits
    { "hex", { "\0\xFF", "a", "\xAB\xCD\xEF" }, "00ff", "61", "abcdef", "" },
    { "hex", {}, "" },
    -- groups of three bytes; the rest at the end
    { "base64", { "abc" }, "YWJj", "" },
    { "base64", { "a" }, "", "YQ==" },
    { "base64", { "ab" }, "", "YWI=" },
    { "base64", { "a", "b", "c" }, "", "", "YWJj", "" },
    { "base64", { "abcd", "ef" }, "YWJj", "ZGVm", "" },
    { "base64", { "ab", "cdefg", "h" }, "", "YWJjZGVm", "", "Z2g=" },
    { "base64", { "\xFB\xFF", "\xBF\xFF" }, "", "+/+/", "/w==" },
    { "base64", {}, "" },
    { "base64url", { "\xFB\xFF", "\xBF\xFF" }, "", "-_-_", "_w" },
    { "base64url", { "ab" }, "", "YWI" },
    -- the bytes as they came
    { "latin1", { "a\xC3", "\xA9\xFF\0" }, "a\xC3", "\xA9\xFF\0", "" },
    { "binary", { "\x80", "\xFF" }, "\x80", "\xFF", "" },
    -- without the high bit
    { "ascii", { "a\xE1\xFF", "\x80\x7F" }, "aa\x7F", "\0\x7F", "" },
  }

  local function shown(text) return (text:gsub("[^!-~]", function(c) return ("\\x%02X"):format(c:byte()) end)) end

  for _, case in ipairs(CASES) do
    local packets = {}
    for i, packet in ipairs(case[2]) do packets[i] = shown(packet) end
    it(("%s of [%s]"):format(case[1], table.concat(packets, " | ")), function()
      assert.same({ table.unpack(case, 3) }, decoded(case[1], case[2]))
    end)
  end

  it("utf8 never gives a part of a character, wherever the text is cut", function()
    local text = "aé€😀\u{7FF}\u{800}\u{FFFF}\u{10000}z"
    for size = 1, 7 do
      local packets = {}
      for at = 1, #text, size do packets[#packets + 1] = text:sub(at, at + size - 1) end
      local results = decoded("utf8", packets)
      for i, result in ipairs(results) do
        assert.truthy(utf8.len(result))
        -- and what is whole is not held back
        local came = #table.concat(packets, "", 1, math.min(i, #packets))
        local given = #table.concat(results, "", 1, i)
        assert.is_true(given <= came and came - given < 4)
      end
      assert.equal(text, table.concat(results))
      assert.equal("", results[#results])
    end
  end)

  it("all bytes come through hex, base64 and base64url, cut anywhere", function()
    local bytes = {}
    for i = 0, 255 do bytes[#bytes + 1] = string.char(i, 255 - i, i * 7 % 256) end
    local text = table.concat(bytes)
    local hex = text:gsub(".", function(c) return ("%02x"):format(c:byte()) end)
    for _, size in ipairs { 97, 256, 1000 } do
      local packets = {}
      for at = 1, #text, size do packets[#packets + 1] = text:sub(at, at + size - 1) end
      assert.equal(hex, table.concat(decoded("hex", packets)))
      assert.equal(text, encoded(table.concat(decoded("base64", packets)), "base64"))
      assert.equal(text, encoded(table.concat(decoded("base64url", packets)), "base64url"))
      assert.equal(text, table.concat(decoded("latin1", packets)))
    end
  end)

  it("much text in packets as the kernel cuts them is whole", function()
    local client, peer = sockets.pair()
    local pattern = "aé€😀\n"
    local text = pattern:rep(300000)
    local chunks = {}
    peer:setEncoding "utf8"
    peer:on("data", function(chunk)
      assert(utf8.len(chunk))
      chunks[#chunks + 1] = chunk
    end)
    client:resume()
    client:end_(text)
    support.run()
    assert.is_true(#chunks > 1)
    assert.is_true(table.concat(chunks) == text)
    assert.equal(#text, peer.bytesRead)
  end)

  it("a part at the end comes as a chunk before 'end', once", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:setEncoding "utf8"
    peer:on("data", function(chunk) note("data", chunk) end)
    sockets.watch(peer, note)
    client:resume()
    client:end_ "x\xE2\x82"
    support.run()
    assert.same({ "resume", "data x", "data " .. BAD, "end", "finish", "close false" }, log)
  end)

  it("a part at the end is there for read() too", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:setEncoding "utf8"
    peer:on("readable", function()
      local chunk = peer:read()
      while chunk do
        note("read", chunk)
        chunk = peer:read()
      end
    end)
    peer:on("end", function() note "end" end)
    client:resume()
    send(client, peer, "\xE2\x82")
    assert.same({}, log) -- nothing whole: not even a 'readable' with something in it
    assert.equal(0, peer.readableLength)
    client:end_()
    support.run()
    assert.same({ "read " .. BAD, "end" }, log)
  end)

  it("a part is dropped with the socket", function()
    local client, peer = sockets.pair()
    local note, log = recorder()
    peer:setEncoding "utf8"
    peer:on("data", note)
    sockets.watch(peer, note)
    client:on("error", function() end):resume()
    send(client, peer, "\xE2\x82")
    peer:destroy()
    support.run()
    assert.same({ "resume", "close false" }, log)
  end)

  it("what is buffered already is converted", function()
    for encoding, expected in pairs { utf8 = "a€", hex = "61e282ac", base64 = "YeKCrA==" } do
      local client, peer = sockets.pair()
      peer:pause()
      client:resume()
      send(client, peer, "a\xE2\x82")
      assert.equal(3, peer.readableLength)
      peer:setEncoding(encoding)
      assert.equal(({ utf8 = 1, hex = 6, base64 = 4 })[encoding], peer.readableLength)
      send(client, peer, "\xAC")
      local got = sockets.collect(peer)
      client:end_()
      peer:resume()
      support.run()
      assert.equal(expected, got.text)
    end
  end)

  it("what is buffered as text already stays that text, as one piece", function()
    local cases = {
      -- encoding before, bytes that come, encoding afterwards, what is read then
      { "utf8", { "ab" }, "hex", "ab" },
      { "utf8", { "a", "b" }, "base64", "ab" },
      { "hex", { "ab", "cd" }, "utf8", "61626364" },
      { "hex", { "\xE9A" }, "base64", "e941" },
      { "latin1", { "\xE9A" }, "utf8", "\xE9A" },
      { "ascii", { "\xE9A" }, "hex", "iA" },
      { "base64", { "abc" }, "hex", "YWJj" },
    }
    for _, case in ipairs(cases) do
      local client, peer = sockets.pair()
      peer:setEncoding(case[1]):pause()
      for _, chunk in ipairs(case[2]) do send(client, peer, chunk) end
      peer:setEncoding(case[3])
      assert.equal(case[3], peer.readableEncoding)
      assert.equal(#case[4], peer.readableLength)
      local got = sockets.collect(peer)
      peer:resume()
      sockets.settle()
      assert.same({ case[4] }, got.chunks)
      client:destroy()
      peer:destroy()
      support.run()
    end
  end)

  it("converts and keeps the rest of what was read in part", function()
    local socket = net.Socket()
    socket:unshift "abcd"
    assert.equal("a", socket:read(1))
    socket:setEncoding "hex"
    assert.equal(6, socket.readableLength)
    assert.equal("62", socket:read(2))
    socket:setEncoding "base64"
    assert.equal("6364", socket:read())
  end)

  it("drops what the encoding before held back", function()
    local client, peer = sockets.pair()
    peer:setEncoding "utf8":pause()
    send(client, peer, "a\xE2\x82")
    peer:setEncoding "utf8"
    send(client, peer, "\xAC")
    assert.equal("a\u{FFFD}", peer:read())
    client:destroy()
    peer:destroy()
    support.run()
  end)

  it("works from within a 'data' listener", function()
    local client, peer = sockets.pair()
    local chunks = {}
    peer:on("data", function(chunk)
      chunks[#chunks + 1] = chunk
      peer:setEncoding "hex"
    end)
    client:resume()
    send(client, peer, "ab")
    send(client, peer, "cd")
    client:end_()
    support.run()
    assert.same({ "ab", "6364" }, chunks)
  end)

  it("counts bytesRead in bytes, readableLength in the text's", function()
    local client, peer = sockets.pair()
    peer:pause()
    peer:setEncoding "hex"
    client:resume()
    send(client, peer, "abcde")
    assert.equal(5, peer.bytesRead)
    assert.equal(10, peer.readableLength)
    assert.equal("6162", peer:read(4))
    assert.equal(6, peer.readableLength)
    assert.equal("636465", peer:read())
    assert.is_nil(peer:read())
    peer:destroy()
    client:destroy()
    support.run()
  end)

  it("read(n) takes a whole character where n would cut one", function()
    local client, peer = sockets.pair()
    peer:pause()
    peer:setEncoding "utf8"
    client:resume()
    send(client, peer, "a€b😀é")
    assert.equal(11, peer.readableLength)
    assert.equal("a€", peer:read(2))
    assert.equal(7, peer.readableLength)
    assert.equal("b", peer:read(1))
    assert.equal("😀", peer:read(3))
    assert.equal(2, peer.readableLength)
    assert.is_nil(peer:read(3))
    assert.equal("é", peer:read(1))
    assert.equal(0, peer.readableLength)
    assert.is_nil(peer:read(1))
    -- over two packets
    send(client, peer, "x\xE2")
    send(client, peer, "\x82\xACy")
    assert.equal("x€", peer:read(2))
    assert.equal("y", peer:read(1))
    peer:destroy()
    client:destroy()
    support.run()
  end)

  it("is kept when the socket connects again, without what was held back", function()
    local server = sockets.server(function(peer)
      peer:end_ "x\xE2\x82"
      peer:resume()
    end)
    local target = sockets.address_of(server)
    local note, log = recorder()
    local socket = net.connect(target)
    local rounds = 0
    socket:setEncoding "utf8"
    socket:on("data", note)
    socket:on("end", function() note "end" end)
    socket:on("close", function()
      rounds = rounds + 1
      if rounds == 1 then
        socket:connect(target)
      else
        server:close()
      end
    end)
    support.run()
    assert.equal("utf8", socket.readableEncoding)
    assert.same({ "x", BAD, "end", "x", BAD, "end" }, log)
  end)
end)

describe("socket:unshift with an encoding", function()
  after_each(support.clean)

  -- What is read of unshift(text, encoding) after setEncoding(decoder); node v26's answers
  local CASES = {
    [false] = { [false] = "7a7a", utf8 = "7a7a", hex = "zz", base64 = "\xED\xAE\xDA", latin1 = "7a7a" },
    utf8 = { [false] = "7a7a", utf8 = "7a7a", hex = "zz", base64 = ("\u{FFFD}"):rep(3), latin1 = "7a7a" },
    hex = { [false] = "37613761", utf8 = "37613761", hex = "7a7a", base64 = "edaeda", latin1 = "37613761" },
    base64 = { [false] = "N2E3YQ==", utf8 = "N2E3YQ==", hex = "eno=", base64 = "7a7a", latin1 = "N2E3YQ==" },
    base64url = { [false] = "N2E3YQ", hex = "eno", base64 = "7a7a", base64url = "7a7a" },
    latin1 = { [false] = "7a7a", utf8 = "7a7a", hex = "zz", base64 = "\xED\xAE\xDA", latin1 = "7a7a" },
    ascii = { [false] = "7a7a", ascii = "7a7a", hex = "zz", base64 = "m.Z" },
  }

  for decoder, answers in pairs(CASES) do
    it(("gives text as %s"):format(decoder or "bytes"), function()
      for encoding, expected in pairs(answers) do
        local socket = net.Socket()
        if decoder then socket:setEncoding(decoder) end
        assert.is_true(socket:unshift("7a7a", encoding or nil))
        assert.equal(expected, socket:read(), tostring(encoding))
        socket:unshift("7a7a", encoding or nil)
        socket:unshift("7a7a", encoding or nil)
        assert.equal(2 * #expected, socket.readableLength)
        assert.equal(expected .. expected, socket:read())
      end
    end)
  end

  it("takes nil, \"\" and false for none, and leaves text of the same encoding as it is", function()
    local socket = net.Socket():setEncoding "hex"
    for _, none in ipairs { "", false, 0 } do
      socket:unshift("zz", none)
      assert.equal("7a7a", socket:read())
    end
    socket:unshift "zz"
    assert.equal("7a7a", socket:read())
    socket:unshift("yy", "hex")
    assert.equal("yy", socket:read())
    socket:unshift("7A", "HEX") -- Node compares names as they are written: this one goes through the bytes
    assert.equal("7a", socket:read())
  end)

  it("does not touch what the decoder holds back", function()
    local client, peer = sockets.pair()
    peer:setEncoding "base64":pause()
    send(client, peer, "zzzy")
    peer:unshift "a"
    send(client, peer, "yy")
    assert.equal("YQ==enp6eXl5", peer:read())
    client:destroy()
    peer:destroy()
    support.run()
  end)

  it("raises for one that is unknown, and puts nothing back", function()
    for _, decoder in ipairs { false, "utf8", "hex" } do
      local socket = net.Socket()
      if decoder then socket:setEncoding(decoder) end
      for _, name in ipairs(UNKNOWN) do
        if name then
          local err = caught(socket.unshift, socket, "61", name)
          assert.equal("ERR_UNKNOWN_ENCODING", err.code)
        end
      end
      assert.equal(0, socket.readableLength)
      assert.is_false(socket.destroyed)
    end
  end)
end)

describe("an encoding of what is written", function()
  after_each(support.clean)

  local CASES = {
    { "aé€\xFF\0", "utf8", "aé€\xFF\0" }, -- a Lua string is bytes already
    { "aé\xFF", "UTF-8", "aé\xFF" },
    { "a\xE9\xFF", "latin1", "a\xE9\xFF" },
    { "a\xE9\xFF", "binary", "a\xE9\xFF" },
    { "a\xE9\xFF", "ascii", "a\xE9\xFF" },
    { "a\xE9", nil, "a\xE9" },
    { "61ff0A", "hex", "a\xFF\n" },
    { "616", "hex", "a" },
    { "61xx62", "hex", "a" },
    { "6x62", "hex", "" },
    { "zz", "hex", "" },
    { "", "hex", "" },
    { "YWJj", "base64", "abc" },
    { "YWI=", "base64", "ab" },
    { "YWI", "base64", "ab" },
    { "YQ==", "base64", "a" },
    { "Y", "base64", "" },
    { "YW\nJ j.", "base64", "abc" },
    { "YWJj\0ZGVm", "base64", "abcdef" },
    { "+/-_", "base64", "\xFB\xFF\xBF" },
    { "+/-_", "base64url", "\xFB\xFF\xBF" },
    { "YWI=YWI=", "base64", "ab" }, -- "=" is the end
    { "YWJj=YWJj", "base64url", "abc" },
    { "=YWJj", "base64", "" },
    { "", "base64", "" },
  }

  for _, case in ipairs(CASES) do
    local text, encoding, expected = case[1], case[2], case[3]
    it(("%q as %s"):format(text, encoding), function()
      assert.equal(expected, encoded(text, encoding))
    end)
  end

  it("is taken by write and end_, with a callback and without one", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local note, log = recorder()
    client:resume()
    client:write("61", "hex")
    client:write("62", "HEX", sockets.callback(note, "hex"))
    client:write("c", sockets.callback(note, "none"))
    client:write("d", nil, sockets.callback(note, "nil"))
    client:write("ZQ==", "base64", sockets.callback(note, "base64"))
    client:write("zz", "hex", sockets.callback(note, "empty"))
    client:end_("Zg", "base64url", sockets.callback(note, "end"))
    support.run()
    assert.equal("abcdef", got.text)
    assert.same({ "hex nil", "none nil", "nil nil", "base64 nil", "empty nil", "end nil" }, log)
    assert.equal(6, client.bytesWritten)
  end)

  it("is taken before the connection, corked and queued, each write with its own", function()
    local got
    local server
    server = sockets.server(function(peer)
      got = sockets.collect(peer)
      server:close()
    end)
    local client = net.connect(sockets.address_of(server))
    client:resume()
    client:write("6162", "hex")
    assert.equal(2, client.writableLength)
    assert.equal(2, client.bytesWritten)
    client:cork()
    client:write("YWJj", "base64")
    client:write "é"
    client:write("6", "hex")
    assert.equal(7, client.writableLength)
    client:uncork()
    client:end_("7a", "hex")
    support.run()
    assert.equal("ababcéz", got.text)
    assert.equal(8, client.bytesWritten)
  end)

  it("can be set for all writes, and one given goes before it", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    client:resume()
    assert.equal(client, client:setDefaultEncoding "HEX")
    client:write "6162"
    client:write("6364", "utf8")
    client:write("65", nil)
    client:write("66", function() end)
    assert.equal(client, client:setDefaultEncoding "base64")
    client:write "Zw=="
    client:setDefaultEncoding "utf8"
    client:write "h"
    client:setDefaultEncoding "hex"
    client:end_ "69"
    support.run()
    assert.equal("ab6364efghi", got.text)
    assert.is_nil(client.readableEncoding)
  end)

  it("can be set before the connection and for names in any case", function()
    for name in pairs(NAMES) do
      local socket = net.Socket()
      assert.equal(socket, socket:setDefaultEncoding(name))
    end
    local got
    local server
    server = sockets.server(function(peer)
      got = sockets.collect(peer)
      server:close()
    end)
    local client = net.Socket():setDefaultEncoding "hex"
    client:connect(sockets.address_of(server)):resume()
    client:end_ "6f6b"
    support.run()
    assert.equal("ok", got.text)
  end)

  it("that is unknown raises, and nothing is written or destroyed", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    local note, log = recorder()
    sockets.watch(client, note)
    client:resume()
    local function never() note "called" end
    for _, name in ipairs(UNKNOWN) do
      for _, method in ipairs { "write", "end_", "setDefaultEncoding" } do
        local err
        if method == "setDefaultEncoding" then
          err = caught(client.setDefaultEncoding, client, name)
        elseif type(name) == "function" then
          break -- is the callback there
        elseif name == false then
          break -- is none, as in Node: see the next
        else
          err = caught(client[method], client, "61", name, never)
        end
        assert.equal("TypeError", err.name)
        assert.equal("ERR_UNKNOWN_ENCODING", err.code)
        assert.equal("Unknown encoding: " .. tostring(name), err.message)
      end
    end
    assert.equal("ERR_UNKNOWN_ENCODING", caught(client.setDefaultEncoding, client).code)
    assert.equal("ERR_UNKNOWN_ENCODING", caught(client.write, client, "61", "hex\0").code)
    assert.equal(0, client.writableLength)
    assert.equal(0, client.bytesWritten)
    assert.is_true(client.writable)
    assert.is_false(client.destroyed)
    client:end_ "61" -- the default is still utf8
    support.run()
    assert.equal("61", got.text)
    assert.same({ "resume", "finish", "end", "close false" }, log)
  end)

  it("is none where it is nil, false, 0 or \"\": the default is taken", function()
    local client, peer = sockets.pair()
    local got = sockets.collect(peer)
    client:resume():setDefaultEncoding "hex"
    for _, none in ipairs { false, 0, "", 0 / 0 } do client:write("61", none) end
    client:end_("62", false)
    support.run()
    assert.equal("aaaab", got.text)
    local err = caught(net.Socket().setDefaultEncoding, net.Socket(), "")
    assert.equal("Unknown encoding: ", err.message)
  end)

  it("goes through both ends: what is written as text arrives as the same text", function()
    for _, name in ipairs { "utf8", "latin1", "hex", "base64", "base64url" } do
      local text = ({ hex = "00ff61", base64 = "AP9h+/8=", base64url = "AP9h-_8" })[name] or "plain text"
      local client, peer = sockets.pair { kind = "unix" }
      peer:setEncoding(name)
      local got = sockets.collect(peer)
      client:resume()
      client:end_(text, name)
      support.run()
      assert.equal(text, got.text)
    end
  end)
end)
