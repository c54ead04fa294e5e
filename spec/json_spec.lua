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

  it("escapes what must be, and what JavaScript once took for the end of a line", function()
    assert.equal([["\"\\/\b\f\n\r\t\u0000\u001f\u007fé\u2028]] .. "\u{1F600}\"\n",
      written("\"\\/\b\f\n\r\t\0\31\127é\u{2028}\u{1F600}"))
  end)

  it("has whole numbers without a point, and floats with one", function()
    assert.equal("1\n-7\n9223372036854775807\n-9223372036854775808\n",
      written(1, -7, math.maxinteger, math.mininteger))
    assert.equal("2.0\n-0.0\n0.5\n0.1\n0.30000000000000004\n9007199254740992.0\n1e+300\n",
      written(2.0, -0.0, 0.5, 0.1, 0.1 + 0.2, 2.0 ^ 53, 1e300))
  end)

  it("has null for what is no number, and for a hole", function()
    assert.equal("[null,null,null]\n[1,null,3]\nnull\n", written({ 0 / 0, 1 / 0, -1 / 0 }, { 1, nil, 3 }, 0 / 0))
  end)

  it("has dkjson's null for null", function()
    local null = require("dkjson").null
    assert.equal('null\n[null]\n{"a":null}\n', written(null, { null }, { a = null }))
  end)

  it("is an array if its keys are, an object else", function()
    assert.equal('[]\n[[]]\n{"a":[]}\n', written({}, { {} }, { a = {} }))
    assert.equal('{"x":1}\n{"1.5":2}\n{"0":3}\n{"-1":4}\n',
      written({ x = 1 }, { [1.5] = 2 }, { [0] = 3 }, { [-1] = 4 }))
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

  it("refuses what JSON has not, with a reason", function()
    local child = children.reader()
    local function refused(message)
      local err = support.caught(child.send, child, message)
      assert.equal("ERR_INVALID_ARG_VALUE", err.code)
      assert.equal("TypeError", err.name)
      return err.message
    end
    for _, bytes in ipairs { "\xff", "a\x80", "\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe2\x82" } do
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
    local got = read('"a\xffb"', '"\xe2\x82"', '"\xc3"', '["\x80\x80"]', '"é"')
    assert.same({ "a\u{FFFD}b", "\u{FFFD}\u{FFFD}", "\u{FFFD}", { "\u{FFFD}\u{FFFD}" }, "é", n = 5 }, got)
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

  it("may be nested deeply", function()
    local got = read(("["):rep(5000) .. ("]"):rep(5000))
    assert.equal(1, got.n)
    local _, errors = read(("["):rep(1000000))
    assert.equal(1, #errors)
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
  end)

  it("keeps floats to the last bit", function()
    local floats = { 0.1 + 0.2, 1 / 3, 5e-324,
      2.2250738585072014e-308, 1.7976931348623157e308, 2.0 ^ 53 + 2, 1e22, 1e23 }
    for _ = 1, 500 do
      local n = string.unpack("d", string.pack("i8", math.random(0)))
      if n - n == 0 then floats[#floats + 1] = n end
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
    local four = text:rep(4)
    local back = echoed(four)
    assert.truthy(back == four)
  end)
end)

describe("dkjson", function()
  after_each(support.clean)

  local NOWHERE = { prefix = "env LUA_PATH=/nowhere/?.lua LUA_PATH_5_4=/nowhere/?.lua" }

  local function without(script)
    return support.lua { script, prefix = NOWHERE.prefix }
  end

  it("is not needed by who sends no messages", function()
    local out, err, code = without [[ print(pcall(require, "dkjson")) local net = require "cnet"
      require "cnet.child_process" print(net.run()) ]]
    assert.truthy(out:find "^false")
    assert.truthy(out:find "false\n$")
    assert.equal("", err)
    assert.equal(0, code)
  end)

  it("if it is missing, fork says how to install it", function()
    local out = without [[ require "cnet" print(pcall(require("cnet.child_process").fork, "x.lua")) ]]
    assert.truthy(out:find("luarocks install dkjson", 1, true))
    assert.truthy(out:find("lua-dkjson", 1, true))
    assert.truthy(out:find("no file '/nowhere/dkjson.lua'", 1, true))
  end)

  it("if it is missing in a child, send raises and what comes is an 'error', after which the rest goes on", function()
    local paths = ("package.cpath = %q package.path = '/nowhere/?.lua' "):format(support.absolute(package.cpath))
    local name = support.file(paths .. [[
      local net = require "cnet"
      print(pcall(net.process.send, net.process, 1))
      net.process:on("error", function(err) print("error", err.code) end)
      net.process:on("message", error)
      net.run()
    ]])
    local child = require("cnet.child_process").fork(name, {}, { silent = true })
    local out = ""
    child.stdout:on("data", function(chunk) out = out .. chunk end)
    child:send(1)
    child:send(2)
    child.stdout:on("data", function() if out:find "error.*error" then child:disconnect() end end)
    support.run()
    assert.truthy(out:find("luarocks install dkjson", 1, true))
    assert.truthy(out:find "\nerror\tERR_MODULE_NOT_FOUND\nerror\tERR_MODULE_NOT_FOUND\n$")
  end)
end)
