-- How the texts of errors show a value that was received: in Node 26's words, with Lua's types.

local net = require "cnet"
local child_process = require "cnet.child_process"
local support = require "spec.support"

local NAN, INFINITY = 0 / 0, math.huge

-- What stands behind "Received ", or behind the last ": " of a text that has no such word.
local function received(fn, ...)
  local message = support.caught(fn, ...).message
  return message:match "Received (.*)$" or message:match ": (.*)$" or message:match "%((.*)%)$"
end

-- A function for each kind of text, which raises it for the value.
local function of_type(value) net.EventEmitter():on("x", value) end
local function of_value(value) net.SocketAddress { family = value } end
local function of_range(value) net.BlockList():addSubnet("1.1.1.1", value) end
local function of_port(value) net.createServer():listen(value) end
local function of_plain(value) net.Socket():setDefaultEncoding(value) end
local function of_unheard(value) net.EventEmitter():emit("error", value) end

describe("the text of an error", function()
  after_each(support.clean)

  it("shows the type and the value where the type is wrong, and with a port", function()
    for value, wanted in pairs {
      [98] = "type number (98)", [1.5] = "type number (1.5)", [INFINITY] = "type number (Infinity)",
      [-INFINITY] = "type number (-Infinity)", [true] = "type boolean (true)",
    } do
      assert.equal(wanted, received(of_type, value))
    end
    assert.equal("type number (NaN)", received(of_type, NAN))
    assert.equal("type number (NaN)", received(of_type, -NAN))
    assert.equal("type number (NaN).", received(of_port, NAN))
    assert.equal("type number (Infinity).", received(of_port, INFINITY))
    assert.equal("type number (-Infinity).", received(of_port, -INFINITY))
    assert.equal("type number (65536).", received(of_port, 65536))
    assert.equal([[type string ('x').]], received(net.connect, { port = "x" }))
  end)

  it("shows the bare value where the value is wrong", function()
    for value, wanted in pairs {
      [98] = "98", [1.5] = "1.5", [INFINITY] = "Infinity", [-INFINITY] = "-Infinity", [1 << 40] = "1099511627776",
      [true] = "true", [false] = "false", x = "'x'", [""] = "''",
      ["it's"] = [["it's"]], [ [[it's "x"]] ] = [[`it's "x"`]], [ [[it's "x" `y`]] ] = [['it\'s "x" `y`']],
      [ [[it's "x" ${y}]] ] = [['it\'s "x" ${y}']],
      ["a\0b\n\t\r\b\f\v\1\127\\"] = [['a\x00b\n\t\r\b\f\x0B\x01\x7F\\']],
      [("x"):rep(126)] = "'" .. ("x"):rep(126) .. "'",
      [("x"):rep(127)] = "'" .. ("x"):rep(127) .. "...",
      [("\n"):rep(100)] = "'" .. ("\\n"):rep(63) .. "\\...",
      [("é"):rep(200)] = "'" .. ("é"):rep(127) .. "...",
      [print] = "a function", [io.stdout] = "an instance of FILE*",
    } do
      assert.equal(wanted, received(of_value, value))
    end
    assert.equal("NaN", received(of_value, NAN))
    assert.equal("type table", received(of_value, {}))
  end)

  it("separates the digits of a whole number beyond 2^32 that is out of range", function()
    for value, wanted in pairs {
      [33] = "33", [-1] = "-1", [1.5] = "1.5", [1 << 32] = "4294967296", [(1 << 32) + 1] = "4_294_967_297",
      [-(1 << 32)] = "-4294967296", [-(1 << 32) - 1] = "-4_294_967_297", [2.0 ^ 40] = "1_099_511_627_776",
      [100000000000] = "100_000_000_000", [-100000000000] = "-100_000_000_000", [2.0 ^ 32 + 0.5] = "4294967296.5",
      [INFINITY] = "Infinity", [-INFINITY] = "-Infinity", [1e300] = "1e+300",
      [math.maxinteger] = "9_223_372_036_854_775_807", [math.mininteger] = "-9_223_372_036_854_775_808",
    } do
      assert.equal(wanted, received(of_range, value))
    end
    assert.equal("NaN", received(of_range, NAN))
    assert.equal("NaN", received(of_range, -NAN))
  end)

  it("has NaN and Infinity in every other place too", function()
    local child = child_process.fork("nothing", nil, { execPath = "true" })
    for value, wanted in pairs { [INFINITY] = "Infinity", [-INFINITY] = "-Infinity", [98] = "98" } do
      assert.equal(wanted, received(of_plain, value))
      assert.equal(wanted, received(of_unheard, value))
      assert.equal(wanted, received(net.connect, { port = 1, localAddress = value }))
      assert.equal(wanted, received(child.kill, child, value))
    end
    assert.equal("NaN", received(of_plain, NAN))
    assert.equal("NaN", received(of_unheard, -NAN))
    assert.equal("NaN", received(child.kill, child, NAN))
    child:kill()
    support.run()
    for _, fn in ipairs {
      function(n) net.Socket():setTimeout(n) end,
      function(n) net.Socket { highWaterMark = n } end,
      function(n) net.Socket { fd = n } end,
      function(n) net.EventEmitter():setMaxListeners(n) end,
      function(n) net.setDefaultAutoSelectFamilyAttemptTimeout(n) end,
      function(n) net.createServer():closeIdleConnections(n) end,
    } do
      assert.equal("NaN", received(fn, NAN))
      assert.equal("-Infinity", received(fn, -INFINITY))
    end
    assert.equal("type number (NaN)", received(function() net.Socket():setTypeOfService(NAN) end))
  end)

  it("shows an unheard error as text in quotes, to its end", function()
    assert.equal([['a\x00b']], received(of_unheard, "a\0b"))
    assert.equal([["it's"]], received(of_unheard, "it's"))
    assert.equal("'" .. ("x"):rep(1000) .. "'", received(of_unheard, ("x"):rep(1000)))
    local err = support.caught(of_unheard, "a\0b")
    assert.equal("a\0b", err.context)
  end)

  it("shows a signal to its end", function()
    local child = child_process.fork("nothing", nil, { execPath = "true" })
    assert.equal("a\0b", received(child.kill, child, "a\0b"))
    child:kill()
    support.run()
  end)

  it("cuts no character in two", function()
    assert.equal("type string ('" .. ("é"):rep(28) .. "')", received(of_type, ("é"):rep(28)))
    assert.equal("type string ('" .. ("é"):rep(25) .. "...')", received(of_type, ("é"):rep(29)))
    assert.equal("type string ('x" .. ("\u{1F600}"):rep(12) .. "...')", received(of_type, "x" .. ("\u{1F600}"):rep(20)))
  end)

  it("says that a number is to be whole before it says in what range", function()
    for _, value in ipairs { 1.5, INFINITY, -INFINITY, NAN } do
      for _, fn in ipairs {
        function(n) net.Socket { fd = n } end,
        net.setDefaultAutoSelectFamilyAttemptTimeout,
        function(n) net.connect { port = 1, autoSelectFamilyAttemptTimeout = n } end,
      } do
        assert.matches("It must be an integer%.", support.caught(fn, value).message)
      end
    end
    for _, value in ipairs { 1.5, INFINITY, -INFINITY } do
      local socket = net.Socket()
      assert.matches("It must be an integer%.", support.caught(socket.setTypeOfService, socket, value).message)
    end
  end)

  it("calls what is an option a property", function()
    for _, key in ipairs { "autoSelectFamilyAttemptTimeout", "localPort", "hints", "port" } do
      local err = support.caught(net.connect, { port = key ~= "port" and 1 or nil, [key] = true })
      assert.matches(('^The "options.%s" property must be '):format(key), err.message)
    end
    local err = support.caught(net.connect, { port = 1, hints = -1 })
    assert.equal("The argument 'hints' is invalid. Received 4294967295", err.message)
  end)
end)

describe("a timer's warning", function()
  it("says Infinity", function()
    local out, err = support.lua [[
      local net = require "cnet"
      net.setTimeout(print, math.huge)
      net.Socket():setTimeout(2^31)
      os.exit(0)
    ]]
    assert.equal("", out)
    assert.matches("^TimeoutOverflowWarning: Infinity does not fit into a 32%-bit signed integer%.\n", err)
    assert.matches("\nTimeoutOverflowWarning: 2147483648 does not fit", err)
  end)
end)
