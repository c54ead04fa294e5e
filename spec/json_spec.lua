-- Messages as JSON: what a table, a number, a text becomes on the wire, and what becomes of what comes.

local support = require "spec.support"
local children = require "spec.support.children"

-- What the messages are on the wire: a line each.
local function written(...)
  local child, got = children.reader()
  for i = 1, select("#", ...) do child:send((select(i, ...))) end
  child:disconnect()
  support.run()
  return got.text
end

-- The messages that lines make, and the errors.
local function read(...)
  local child = children.writer(table.concat({ ... }, "\n") .. "\n")
  local messages, errors = children.messages(child), {}
  child:on("error", function(err) errors[#errors + 1] = err end)
  support.run()
  return messages, errors
end

local ECHO = [[ process:on("message", function(message) process:send(message) end) ]]

-- The messages after they went to a child and back.
local function echoed(...)
  local child, n = children.fork(ECHO), select("#", ...)
  local messages = children.messages(child)
  for i = 1, n do child:send((select(i, ...))) end
  child:on("message", function()
    if messages.n == n then child:disconnect() end
  end)
  support.run()
  assert.equal(n, messages.n)
  return table.unpack(messages, 1, n)
end

describe("a message that is sent", function()
  after_each(support.clean)

  it("is a line of JSON", function()
    assert.equal('"text"\n42\ntrue\nfalse\n{"a":1}\n[1,2]\n', written("text", 42, true, false, { a = 1 }, { 1, 2 }))
  end)

  it("escapes what must be, as JSON.stringify does", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u000b\u001f]] .. "\127é\u{2028}\u{1F600}\"\n",
      written("\"\\/\b\f\n\r\t\0\v\31\127é\u{2028}\u{1F600}"))
  end)

  it("escapes at any place of a text", function()
    for at = 0, 17 do
      local before, after = ("x"):rep(at), ("y"):rep(17 - at)
      for byte, escape in pairs { ['"'] = [[\"]], ["\\"] = [[\\]], ["\1"] = [[\u0001]], ["\31"] = [[\u001f]] } do
        assert.equal('"' .. before .. escape .. after .. '"\n', written(before .. byte .. after))
      end
      assert.equal('"' .. before .. " ~\127é" .. after .. '"\n', written(before .. " ~\127é" .. after))
    end
  end)

  it("has whole numbers without a point, and floats with one", function()
    assert.equal("1\n-7\n9223372036854775807\n-9223372036854775808\n",
      written(1, -7, math.maxinteger, math.mininteger))
    assert.equal("2.0\n-0.0\n0.5\n0.1\n0.30000000000000004\n9007199254740992.0\n1e+300\n",
      written(2.0, -0.0, 0.5, 0.1, 0.1 + 0.2, 2.0 ^ 53, 1e300))
  end)

  it("has as few digits of a float as say which it is", function()
    assert.equal("0.3333333333333333\n-2.9999999999999996\n1.0000000000000002\n0.9999999999999999\n12.34\n3.0\n",
      written(1 / 3, -3 + 2.0 ^ -51, 1 + 2.0 ^ -52, 1 - 2.0 ^ -53, 12.34, 3.0))
    assert.equal("9007199254740991.0\n4503599627370495.5\n0.0078125\n0.007\n1.5e-05\n1.7976931348623157e+308\n",
      written(2.0 ^ 53 - 1, 2.0 ^ 52 - 0.5, 2.0 ^ -7, 0.007, 1.5e-5, 1.7976931348623157e308))
  end)

  it("has null for what is no number, and for a hole", function()
    assert.equal("[null,null,null]\n[1,null,3]\nnull\n", written({ 0 / 0, 1 / 0, -1 / 0 }, { 1, nil, 3 }, 0 / 0))
  end)

  it("has null where a value says so itself", function()
    local null = setmetatable({}, { __tojson = function() return "null" end }) -- dkjson's is such a one
    assert.equal('null\n[null]\n{"a":null}\n', written(null, { null }, { a = null }))
  end)

  it("is an array if its keys are, an object else", function()
    assert.equal('[]\n[[]]\n{"a":[]}\n', written({}, { {} }, { a = {} }))
    assert.equal('{"x":1}\n{"1.5":2}\n{"0":3}\n{"-1":4}\n{"a\\"":5}\n',
      written({ x = 1 }, { [1.5] = 2 }, { [0] = 3 }, { [-1] = 4 }, { ['a"'] = 5 }))
    local both = written({ "a", x = 1 })
    assert.truthy(both == '{"1":"a","x":1}\n' or both == '{"x":1,"1":"a"}\n', both)
  end)

  it("with too many holes is an object", function()
    assert.equal('{"1000":1}\n', written({ [1000] = 1 }))
    assert.equal('{"9223372036854775807":1}\n', written({ [math.maxinteger] = 1 }))
    assert.equal("[null,null,null,1]\n", written({ [4] = 1 }))
  end)

  it("takes n for a field, but in a table.pack", function()
    assert.equal('{"n":3}\n{"n":0}\n{"n":1000000000}\n', written({ n = 3 }, { n = 0 }, { n = 1000000000 }))
    assert.equal("[1,null]\n[1,2]\n", written(table.pack(1, nil), table.pack(1, 2)))
    local huge = written({ "a", n = math.maxinteger })
    assert.truthy(huge:find '"1":"a"' and huge:find '"n":9223372036854775807')
    for _, n in ipairs { 10000000, 1 << 40, 1 << 62, math.maxinteger } do -- as an array it would have no end
      local text = written { [n] = "a", n = n }
      assert.truthy(text:find(('"%d":"a"'):format(n), 1, true) and text:find(('"n":%d'):format(n), 1, true))
    end
  end)

  it("reads its tables raw, but one that has __tojson, as Node calls toJSON", function()
    local date = setmetatable({}, { __tojson = function() return '"2000-01-01"' end })
    assert.equal('"2000-01-01"\n{"a":"2000-01-01"}\n', written(date, { a = date }))
    local table_with_all = setmetatable({ a = 1 }, {
      __index = function() error "never" end,
      __pairs = function() error "never" end,
      __len = function() error "never" end,
    })
    assert.equal('{"a":1}\n', written(table_with_all))
  end)

  it("has the text of __tojson in one line", function()
    local two = setmetatable({}, { __tojson = function() return '[1,\n2]' end })
    assert.equal('[1, 2]\n{"a":[1, 2]}\n', written(two, { a = two }))
  end)

  it("may be sent while another one is being written", function()
    local child, got = children.reader()
    child:send { setmetatable({}, { __tojson = function()
      child:send(("inner"):rep(1000))
      return "1"
    end }), ("outer"):rep(1000) }
    child:send "last"
    child:disconnect()
    support.run()
    assert.equal(('"%s"\n[1,"%s"]\n"last"\n'):format(("inner"):rep(1000), ("outer"):rep(1000)), got.text)
  end)

  local child
  local function refused(message)
    local err = support.caught(child.send, child, message)
    assert.equal("ERR_INVALID_ARG_VALUE", err.code)
    assert.equal("TypeError", err.name)
    return err.message
  end

  it("refuses what a __tojson returns other than JSON, and lets its error through", function()
    child = children.reader()
    local function made(...)
      local result = table.pack(...)
      return { setmetatable({}, { __tojson = function() return table.unpack(result, 1, result.n) end }) }
    end
    assert.equal("The message holds a value whose __tojson returned no text", refused(made()))
    assert.equal("The message holds a value whose __tojson returned no text", refused(made(nil, "reason")))
    assert.equal("The message holds a value whose __tojson returned no text", refused(made(1)))
    for _, text in ipairs { "", "1 2", "[1", "nul", "1\n2", '"\1"' } do
      assert.truthy(refused(made(text)):find "^The message holds a value whose __tojson returned other than JSON: .")
    end
    assert.truthy(refused(made '"\xff"'):find "not UTF%-8")
    local thrown = {}
    local raises = setmetatable({}, { __tojson = function() error(thrown) end })
    assert.equal(thrown, support.caught(child.send, child, raises))
    child:disconnect()
    support.run()
  end)

  it("may be nested 1000 levels deep, and no deeper", function()
    local got
    child, got = children.reader()
    local deep = {}
    for _ = 1, 999 do deep = { deep } end
    assert.equal("The message is nested too deeply, or holds itself", refused({ deep }))
    child:send(deep)
    child:disconnect()
    support.run()
    assert.equal(("["):rep(1000) .. ("]"):rep(1000) .. "\n", got.text)
  end)

  it("refuses what JSON has not, with a reason", function()
    child = children.reader()
    for _, bytes in ipairs { "\xff", "a\x80", ("plain"):rep(5) .. "\xff" .. ("plain"):rep(5), "é\xc3",
      "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" } do
      assert.equal("The message holds a string that is not UTF-8: encode bytes as text, with base64 for example",
        refused(bytes))
      assert.truthy(refused({ bytes }):find "not UTF%-8")
      assert.truthy(refused({ [bytes] = 1 }):find "not UTF%-8")
    end
    assert.equal("The message holds a function, which JSON has not", refused({ print }))
    assert.equal("The message holds a thread, which JSON has not", refused({ a = coroutine.create(print) }))
    assert.equal("The message holds a userdata, which JSON has not", refused({ io.stdout }))
    assert.equal("The message holds a table with a key that is no string or number", refused({ [{}] = 1 }))
    assert.equal("The message holds a table with a key that is no string or number", refused({ [true] = 1 }))
    local cycle = {}
    cycle.cycle = cycle
    assert.equal("The message is nested too deeply, or holds itself", refused(cycle))
    child:disconnect()
    support.run()
  end)

  it("may hold one table twice", function()
    local twice = { 1 }
    assert.equal("[[1],[1]]\n", written({ twice, twice }))
  end)
end)

describe("a message that comes", function()
  after_each(support.clean)

  it("may be any JSON value", function()
    local got = read('"text"', "42", "-1.5", "1e3", "true", "false", "null", "[1,null,3]", '{"a":{"b":[]}}', "{}", "[]")
    assert.equal(11, got.n)
    assert.same({ "text", 42, -1.5, 1000.0, true, false, nil, { 1, nil, 3 }, { a = { b = {} } }, {}, {}, n = 11 }, got)
    assert.equal("integer", math.type(got[2]))
    assert.equal("float", math.type(got[4]))
  end)

  it("may have blanks around it, and empty lines", function()
    local got, errors = read("", " 1", "\t2 \r", "", "\r", "   ", "3")
    assert.same({ 1, 2, 3, n = 3 }, got)
    assert.same({}, errors)
  end)

  it("has U+FFFD for what is no UTF-8, as Node reads it", function()
    local got = read('"a\xffb"', '"\xe2\x82"', '"\xc3"', '["\x80\x80"]', '"é"', '"\xf0\x9f\x98"', '"\xed\xa0\x80"',
      '"\xe2\x82\xe2\x82\xac"', '{"\xff":1}')
    local bad = "\u{FFFD}"
    assert.same({ "a" .. bad .. "b", bad, bad, { bad .. bad }, "é", bad, bad:rep(3), bad .. "\u{20AC}", { [bad] = 1 },
      n = 9 }, got)
  end)

  it("has U+FFFD for half a surrogate pair", function()
    local got = read([["\ud83d\ude00"]], [["\ud800"]], [["\udc00x"]], [["\ud800\u0041"]], [["\\ud800"]], [["\u00e9"]],
      [["\ud800\ud83d\ude00"]], [["a\ud8]])
    assert.same({ "\u{1F600}", "\u{FFFD}", "\u{FFFD}x", "\u{FFFD}A", [[\ud800]], "é", "\u{FFFD}\u{1F600}", n = 7 }, got)
  end)

  it("is an 'error' if it is broken, and the others come", function()
    for _, line in ipairs { "{", "nonsense", '"open', "1 2", '{"a":1}x', "[1", "{]", "\0", "'x'", '"a\\' } do
      local got, errors = read("1", line, "2")
      assert.same({ 1, 2, n = 2 }, got, line)
      assert.equal(1, #errors, line)
      assert.equal("ERR_IPC_INVALID_MESSAGE", errors[1].code)
      assert.equal("SyntaxError", errors[1].name)
      assert.truthy(errors[1].message:find "^A message that came is no JSON: .")
    end
  end)

  it("is broken where Node says so, whatever the library takes", function()
    local lines = { "[1 2]", '{"a" 1}', "{1:2}", "[1:2]", '{"a"1{"b":2}:0}', "/* */ 1", "1 // 2", "[1,]", '{"a":1,}',
      "[,1]", '{,"a":1}', "{[]:1}", '{"a"}', '{"a":}', "01", "1.", ".5", "-", "+1", "0x10", "1e", "1e+", "tru", "nullx",
      "NaN", "Infinity", '"\1"', '"\9"', [["\x41"]], [["\u12g4"]], [["\"]], "]", "}", "[}", "{]", "[[1]", "\0", "[1]]" }
    local got, errors = read(table.unpack(lines))
    assert.equal(0, got.n)
    assert.equal(#lines, #errors)
    local messages = {}
    for i, err in ipairs(errors) do messages[lines[i]] = err.message:match "^A message that came is no JSON: (.*)$" end
    assert.equal("unexpected 2 at byte 4", messages["[1 2]"])
    assert.equal("unexpected x at byte 3", messages[ [["\x41"]] ])
    assert.equal("unexpected byte 1 at byte 2", messages['"\1"'])
    assert.equal("it ends too early", messages["[[1]"])
    assert.equal("unexpected ] at byte 4", messages["[1]]"])
  end)

  it("may have all that JSON has", function()
    local got, errors = read([==[ {"" : [ ] , "a\/\"\\\b\f\n\r\t\u00e9" : [{ } ,{ "x" : -0.5E+2 } , [ [ ] , 0]] } ]==],
      "[ -0 , 10e-1 ]", "0", "-0.0", "1E2")
    assert.same({}, errors)
    local object = { [""] = {}, ['a/"\\\b\f\n\r\t\u{e9}'] = { {}, { x = -50 }, { {}, 0 } } }
    assert.same({ object, { 0, 1 }, 0, -0.0, 100, n = 5 }, got)
  end)

  it("has the last of values with the same key, an empty key, and a NUL in one", function()
    local got = read('{"a":1,"b":2,"a":3}', '{"a":1,"a":null}', [[{"":1,"a\u0000b":2}]])
    assert.same({ { a = 3, b = 2 }, {}, { [""] = 1, ["a\0b"] = 2 }, n = 3 }, got)
  end)

  it("has integers of 64 bits, and floats beyond", function()
    local got = read("9223372036854775807", "-9223372036854775808", "9223372036854775808", "100000000000000000000",
      "1e400", "-1e400", ("1"):rep(400), "0." .. ("3"):rep(400), "1e-400", "-0")
    assert.same({ math.maxinteger, math.mininteger, 2.0 ^ 63, 1e20, 1 / 0, -1 / 0, 1 / 0, 1 / 3, 0.0, 0, n = 10 }, got)
    local types = {}
    for i, n in ipairs(got) do types[i] = math.type(n):sub(1, 1) end
    assert.equal("iifffffffi", table.concat(types))
  end)

  it("is read alike in parts of any size", function()
    local line = [[{"a":[1,-2.5e3,"é\n\u00e9\ud83d\ude00",true,null],"b":{}}]]
    local child = children.sh("for b in " .. line:gsub(".", function(byte) return ("'\\%03o' "):format(byte:byte()) end)
      .. [['\n'; do printf "$b" >&3; sleep 0.001; done]])
    local got = children.messages(child)
    support.run()
    assert.same({ { a = { 1, -2500.0, "é\n\u{e9}\u{1F600}", true, nil }, b = {} }, n = 1 }, got)
  end)

  it("may have tables of any shapes beside each other", function()
    local parts, want = {}, {}
    for i = 1, 300 do
      local n = i * 37 % 40
      local array, object = {}, {}
      for k = 1, n do array[k], object["k" .. k] = k, { k } end
      want[2 * i - 1], want[2 * i] = array, object
      local fields = {}
      for k = 1, n do fields[k] = ('"k%d":[%d]'):format(k, k) end
      parts[i] = "[" .. table.concat(array, ",") .. "],{" .. table.concat(fields, ",") .. "}"
    end
    assert.same({ want, n = 1 }, read("[" .. table.concat(parts, ",") .. "]"))
  end)

  it("may be nested 30000 levels deep, and no deeper", function()
    local got = read(("["):rep(30000) .. ("]"):rep(30000), ('{"a":'):rep(30000) .. "1" .. ("}"):rep(30000))
    assert.equal(2, got.n)
    local array, object, depth = got[1], got[2], 0
    while array do array, object, depth = array[1], object.a, depth + 1 end
    assert.equal(30000, depth)
    assert.equal(1, object)
    for _, text in ipairs { "[", '{"a":' } do
      local _, errors = read(text:rep(30001), text:rep(1000000))
      assert.equal(2, #errors)
      assert.equal("A message that came is no JSON: it is nested too deeply", errors[1].message)
    end
  end)
end)

-- What is JSON and what is not, as JSON.parse has it.
local GOOD = { "1", "-1", "0", "-0", "0.5", "-0.5", "1e1", "1E1", "1e+1", "1e-1", "1.25e2", "1e400", "true",
  "false", "null", '""', '" "', '"\127"', '"/"', [["\/"]], [["\\"]], [["\""]], [["\b\f\n\r\t"]], [["\u0000"]],
  [["\uABCD\uabcd"]], [["\ud800"]], [["\udc00\ud800"]], "[]", "[ ]", "[[]]", "[1,2]", "[ 1 , 2 ]", "\t[\t1\t]\t",
  "{}", "{ }", '{"":1}', '{"a":{}}', '{ "a" : 1 , "b" : [ ] }', '{"a":1,"a":2}', '"\u{2028}"', '"\u{FEFF}"' }
local BAD = { "[", "]", "{", "}", "[}", "{]", "[1,]", "[,]", "[,1]", "[1 2]", "[1,,2]", "{,}", '{"a"}', '{"a":}',
  '{"a":1,}', "{a:1}", "{1:1}", "{'a':1}", '{"a" 1}', '{"a":1 "b":2}', '{"a":1]', "[1}", "[[1]", "[1]]", "1 2",
  "01", "-01", "-", "+1", ".5", "-.5", "1.", "1.e1", "1e", "1e+", "0x1", "1a", "1_0", "--1", "NaN", "Infinity",
  "-Infinity", "undefined", "tru", "True", "truex", "nul", "nulll", "fals", '"', '"a', '"\1"', '"\t"', [["\]],
  [["\"]], [["\a"]], [["\x41"]], [["\u"]], [["\u1"]], [["\u12g4"]], [["\u{41}"]], "'a'", "`a`", "/**/1", "//1",
  "1//", "\u{FEFF}1", "\u{A0}1", "\f1", "\v1", "\0", "1\0", '"a"b', '["a" "b"]', "[1;2]", "(1)" }

describe("the grammar", function()
  after_each(support.clean)

  it("is JSON's", function()
    local got, errors = read(table.unpack(GOOD))
    assert.equal(#GOOD, got.n)
    assert.same({}, errors)
    got, errors = read(table.unpack(BAD))
    assert.equal(0, got.n)
    assert.equal(#BAD, #errors)
  end)

  it("is that of Node's JSON.parse", function()
    if os.execute "node --version >/dev/null 2>&1" ~= true then return pending "node is not installed" end
    local child = children.node [[
      process.on('message', (texts) => process.send(texts.map((text) => {
        try { JSON.parse(text); return true; } catch { return false; }
      })));
    ]]
    local want, texts = {}, {}
    for i, text in ipairs(GOOD) do texts[i], want[i] = text, true end
    for _, text in ipairs(BAD) do
      texts[#texts + 1] = text
      want[#want + 1] = false
    end
    local answer
    child:send(texts)
    child:on("message", function(message)
      answer = message
      child:disconnect()
    end)
    support.run()
    assert.same(want, answer)
  end)
end)

describe("a message that goes and comes", function()
  after_each(support.clean)

  it("is the same", function()
    local sent = { "", "x\0y", "\u{2028}", true, { 1, 2, 3 },
      { a = { b = { c = "d" } } }, { n = 3 }, { x = 1, y = { {} } } }
    assert.same(sent, { echoed(table.unpack(sent)) })
  end)

  it("keeps integers integers and floats floats", function()
    local one, two, big, beyond = echoed(1, 2.0, 2 ^ 53 | 0, math.maxinteger)
    assert.equal("integer", math.type(one))
    assert.equal("float", math.type(two))
    assert.equal(9007199254740992, big)
    assert.equal("integer", math.type(big))
    assert.equal(math.maxinteger, beyond)
    local integers, i = { math.mininteger, math.maxinteger, 0 }, 1
    while i > 0 do
      integers[#integers + 1] = i
      integers[#integers + 1] = -i - 1
      i = i * 7 + 3
      if i > 1 << 60 then break end
    end
    local back = echoed(integers)
    assert.same(integers, back)
    for _, n in ipairs(back) do assert.equal("integer", math.type(n)) end
  end)

  it("keeps floats to the last bit", function()
    local floats = { 0.1 + 0.2, 1 / 3, 5e-324,
      2.2250738585072014e-308, 1.7976931348623157e308, 2.0 ^ 53 + 2, 1e22, 1e23 }
    for _ = 1, 500 do -- of all sizes, of common ones, and of decimal fractions
      local n = string.unpack("d", string.pack("i8", math.random(0)))
      if n - n == 0 then floats[#floats + 1] = n end
      floats[#floats + 1] = (math.random() - 0.5) * 10.0 ^ math.random(-4, 18)
      floats[#floats + 1] = math.random(1, 1000000) / 10.0 ^ math.random(0, 6)
    end
    for exponent = -70, 70 do -- and beside powers of two
      local power = 2.0 ^ exponent
      for _, n in ipairs { power, power * (1 + 2.0 ^ -52), power * (1 - 2.0 ^ -53) } do floats[#floats + 1] = -n end
    end
    local back = echoed(floats)
    for i, n in ipairs(floats) do assert.equal(string.pack("d", n), string.pack("d", back[i])) end
    assert.equal("-inf", tostring(1 / (echoed(-0.0))))
  end)

  it("an empty object stays one", function()
    local objects = read("{}", "[]", '{"a":{}}')
    local child, got = children.reader()
    for i = 1, 3 do child:send(objects[i]) end
    child:disconnect()
    support.run()
    assert.equal('{}\n[]\n{"a":{}}\n', got.text)
  end)

  it("may be huge", function()
    local text = ("0123456789abcdef"):rep(1 << 16) -- 1 MB
    local one = echoed(text)
    assert.truthy(one == text)
    if support.valgrind then return end
    local twenty = text:rep(20)
    local back = echoed(twenty)
    assert.truthy(back == twenty)
    local records = {}
    for i = 1, 50000 do records[i] = { id = i, name = "name\n" .. i, share = i / 7, tags = { "é" }, there = true } end
    assert.same(records, echoed(records))
  end)

  it("may be huge in the midst of small ones, which keep their order", function()
    local sent, size = {}, support.valgrind and 1 << 17 or 1 << 21
    for i = 1, 3100 do sent[i] = i % 1000 == 0 and ("h"):rep(size) .. i or { i, ("x"):rep(i % 300) } end
    assert.same(sent, { echoed(table.unpack(sent)) })
  end)

  it("is told of, once and in order, when many wait", function()
    local child, order, text = children.fork(ECHO), {}, ("x"):rep(1000)
    for i = 1, 2000 do
      child:send(text)
      if i % 100 == 0 then child:send(i, nil, nil, function(err) order[#order + 1] = err or i end) end
    end
    local got = 0
    child:on("message", function()
      got = got + 1
      if got == 2020 then child:disconnect() end
    end)
    support.run()
    assert.equal(2020, got)
    local want = {}
    for i = 100, 2000, 100 do want[#want + 1] = i end
    assert.same(want, order)
  end)

  it("is out although disconnect follows at once, and many wait", function()
    local child, got = children.reader()
    local want = {}
    for i = 1, 5000 do
      child:send(("y"):rep(200) .. i)
      want[i] = ('"%s%d"\n'):format(("y"):rep(200), i)
    end
    child:disconnect()
    support.run()
    assert.truthy(got.text == table.concat(want))
  end)
end)
