-- net.Error and the errors of cnet: what they are, what they say, and how any other value may stand for one.

local support = require "spec.support"
local net = require "cnet"

-- The line this is called from, as positions begin with it.
local function here(offset)
  local info = debug.getinfo(2, "Sl")
  return ("%s:%d: "):format(info.short_src, info.currentline + (offset or 0))
end

-- The error that comes as the object's 'error' event.
local function heard(object)
  local err
  object:on("error", function(e)
    assert.is_nil(err)
    err = e
  end)
  support.run()
  return assert(err, "no 'error' event")
end

local function fields_of(err)
  local fields = {}
  for key, value in next, err do fields[key] = value end
  return fields
end

describe("net.Error", function()
  after_each(support.clean)

  it("makes an error with a name and a message", function()
    local err = net.Error "text"
    assert.same({ name = "Error", message = "text" }, fields_of(err))
    assert.equal("text", tostring(err))
    assert.equal("net.Error", tostring(net.Error))
  end)

  it("copies the fields, which may also name it and number it", function()
    local given = { name = "MyError", code = "E_MINE", errno = -5, inner = {} }
    local err = net.Error("text", given)
    given.later = true
    assert.equal("MyError", err.name)
    assert.equal("text", err.message)
    assert.equal("E_MINE", err.code)
    assert.equal(-5, err.errno)
    assert.equal(given.inner, err.inner)
    assert.is_nil(err.later)
    assert.equal("text", tostring(err))
  end)

  it("takes any message: its text", function()
    assert.equal("", net.Error().message)
    assert.equal("", net.Error(nil).message)
    assert.equal("12", net.Error(12).message)
    assert.equal("false", net.Error(false).message)
    local metatable = { __tostring = function() return "shown" end }
    assert.equal("shown", net.Error(setmetatable({}, metatable)).message)
    assert.equal("a\0b", tostring(net.Error "a\0b"))
    metatable.__tostring = function() error("thrown", 0) end
    assert.equal("thrown", support.caught(net.Error, setmetatable({}, metatable)))
  end)

  it("refuses fields that are no table", function()
    local err = support.caught(net.Error, "text", 5)
    assert.equal("ERR_INVALID_ARG_TYPE", err.code)
    assert.equal('The "fields" argument must be of type table. Received type number (5)', err.message)
  end)

  it("has a text though it has no message", function()
    assert.equal("Error", tostring(net.Error()))
    assert.equal("MyError [E_MINE]", tostring(net.Error(nil, { name = "MyError", code = "E_MINE" })))
    local err = net.Error "text"
    err.message, err.name = nil, nil
    assert.is_string(tostring(err))
    err.name, err.code = {}, {}
    assert.is_string(tostring(err))
  end)

  it("is joined by .. on both sides", function()
    local err = net.Error "text"
    assert.equal("a text", "a " .. err)
    assert.equal("text b", err .. " b")
    assert.equal("texttext", err .. err)
    assert.equal("1text2", 1 .. err .. 2)
    assert.equal("niltext", nil .. err)
    assert.equal("a texttrue", "a " .. err .. true)
  end)

  it("gives every error what a script adds to it", function()
    local made = net.Error "text"
    net.Error.describe = function(self) return "<" .. self.message .. ">" end
    assert.equal("<text>", made:describe())
    assert.equal("<other>", net.Error("other"):describe())
    local thrown = support.caught(net.nextTick)
    assert.equal("<" .. thrown.message .. ">", thrown:describe())
    net.Error.describe = nil
    assert.is_nil(made.describe)
  end)

  it("is a table a script may change", function()
    local err = net.Error "text"
    err.message = "changed"
    err.extra = 1
    assert.equal("changed", tostring(err))
    assert.equal(1, err.extra)
  end)
end)

describe("an error of the caller's arguments", function()
  after_each(support.clean)

  it("begins its text, not its message, with the caller's position", function()
    local where, err = here(), support.caught(function() net.nextTick(5) end)
    assert.equal('The "callback" argument must be of type function. Received type number (5)', err.message)
    assert.equal(where .. err.message, tostring(err))
    assert.equal(where .. err.message .. "!", err .. "!")
    assert.equal("TypeError", err.name)
    assert.equal("ERR_INVALID_ARG_TYPE", err.code)
    assert.is_nil(err.errno)
    assert.is_nil(err.syscall)
  end)

  it("has the position of the script's line, through pcall and in a coroutine too", function()
    local server = net.Server()
    local where, _, err = here(), pcall(server.listen, server, 65536)
    assert.equal(where .. "options.port should be >= 0 and < 65536. Received type number (65536).", tostring(err))
    _, err = coroutine.resume(coroutine.create(function()
      where = here(1)
      server:on("x")
    end))
    assert.equal(where .. 'The "listener" argument must be of type function. Received nil', tostring(err))
    assert.is_false(server.listening)
  end)

  it("shows what was received as Lua would name it", function()
    local function received(value)
      return support.caught(net.nextTick, value).message:match "Received (.*)$"
    end
    assert.equal("nil", received(nil))
    assert.equal("type boolean (true)", received(true))
    assert.equal("type number (1)", received(1))
    assert.equal("type number (1.5)", received(1.5))
    assert.equal("type number (1.0)", received(1.0))
    assert.equal("type string ('')", received "")
    assert.equal("type string ('" .. ("x"):rep(28) .. "')", received(("x"):rep(28)))
    assert.equal("type string ('" .. ("x"):rep(25) .. "...')", received(("x"):rep(29)))
    assert.equal([[type string ("it's")]], received "it's")
    local text = "it's \"q\" \\ \n\1" .. ("x"):rep(30)
    assert.equal([[type string ("it's \"q\" \\ \n\u0001xxxxxxxxxxxx...")]], received(text))
    assert.equal("type table", received {})
    assert.equal("type thread", received(coroutine.create(print)))
    assert.equal("an instance of net.Server", received(net.Server()))
    assert.equal("an instance of FILE*", received(io.stdout))
    assert.equal("type userdata", received(net.errorMonitor))
    local emitter = net.EventEmitter()
    assert.matches("Received a function$", support.caught(emitter.setMaxListeners, emitter, print).message)
  end)

  it("shows what has a NUL in it to its end", function()
    local emitter = net.EventEmitter()
    local received = "Received type string ('a\0b')"
    local err = support.caught(emitter.on, emitter, "x", "a\0b")
    assert.equal('The "listener" argument must be of type function. ' .. received, err.message)
    err = support.caught(net.connect, { port = "a\0b" })
    assert.equal("Port should be >= 0 and < 65536. " .. received .. ".", err.message)
    err = support.caught(emitter.emit, emitter, "error", "a\0b")
    assert.equal([[Unhandled error. ('a\x00b')]], err.message)
    assert.equal("a\0b", err.context)
  end)

  it("leaves the argument itself alone", function()
    local number = 12
    pcall(net.nextTick, number)
    assert.equal("integer", math.type(number))
    local options = setmetatable({}, { __index = function() error("read", 0) end })
    assert.equal("read", support.caught(net.Server().listen, net.Server(), options))
  end)
end)

describe("a system error", function()
  after_each(support.clean)

  it("says what Node says, with code, errno, syscall, address and port", function()
    local first = net.Server():listen(0, "127.0.0.1")
    local port, err
    first:on("listening", function()
      port = first:address().port
      local second = net.Server():on("error", function(e) err = e end)
      second:on("close", function() first:close() end)
      second:listen(port, "127.0.0.1")
    end)
    support.run()
    assert.same({
      name = "Error",
      message = "listen EADDRINUSE: address already in use 127.0.0.1:" .. port,
      code = "EADDRINUSE",
      errno = -98,
      syscall = "listen",
      address = "127.0.0.1",
      port = port,
    }, fields_of(err))
    assert.equal("integer", math.type(err.errno))
    assert.equal("integer", math.type(err.port))
    assert.equal(err.message, tostring(err))
  end)

  it("of a path has the path as its address and port -1", function()
    local path = support.path()
    local first = net.Server():listen(path)
    local second = net.Server():listen(path)
    second:on("close", function() first:close() end)
    assert.same({
      name = "Error",
      message = "listen EADDRINUSE: address already in use " .. path,
      code = "EADDRINUSE",
      errno = -98,
      syscall = "listen",
      address = path,
      port = -1,
    }, fields_of(heard(second)))
  end)

  it("of a connection that is refused says where to", function()
    local server = net.Server():listen(0, "127.0.0.1")
    local port
    server:on("listening", function()
      port = server:address().port
      server:close()
    end)
    support.run()
    assert.same({
      name = "Error",
      message = "connect ECONNREFUSED 127.0.0.1:" .. port,
      code = "ECONNREFUSED",
      errno = -111,
      syscall = "connect",
      address = "127.0.0.1",
      port = port,
    }, fields_of(heard(net.connect(port, "127.0.0.1"))))
    local path = support.path()
    assert.same({
      name = "Error",
      message = "connect ENOENT " .. path,
      code = "ENOENT",
      errno = -2,
      syscall = "connect",
      address = path,
    }, fields_of(heard(net.connect(path))))
  end)

  it("of a name that is none has the name as hostname", function()
    local name = ("x"):rep(64) .. ".invalid" -- no label is that long: nobody is asked
    local err = heard(net.Server():listen(0, name))
    assert.equal("getaddrinfo", err.syscall)
    assert.equal(name, err.hostname)
    assert.equal("integer", math.type(err.errno))
    assert.equal(("getaddrinfo %s %s"):format(err.code, name), err.message)
    assert.is_nil(err.address)
    assert.is_nil(err.port)
  end)

  it("that nobody hears leaves net.run as that object, without a position", function()
    local path = support.path() .. "/none/x"
    net.Server():listen(path)
    local err = support.caught(support.run)
    assert.equal("EACCES", err.code)
    assert.equal("listen EACCES: permission denied " .. path, tostring(err))
    assert.is_false(support.run())
  end)
end)

describe("any value as an Error", function()
  after_each(support.clean)

  -- The values, by what they are; all but nil and false.
  local function values()
    local object = net.EventEmitter()
    object.message = "an object"
    return {
      text = "text",
      number = 42,
      yes = true,
      empty = {},
      plain = { message = "plain" },
      object = object,
      made = net.Error "made",
    }
  end

  it("is passed on as it is by destroy", function()
    for what, value in pairs(values()) do
      local socket, log, list = net.Socket(), support.recorder()
      local got
      socket:on("error", function(...)
        got = table.pack(...)
        log "error"
      end)
      socket:on("close", function() log "close" end)
      socket:destroy(value)
      support.run()
      assert.equal(1, got.n, what)
      assert.equal(value, got[1], what)
      assert.same({ "error", "close" }, list, what)
    end
  end)

  it("leaves net.run as it is when it counts as one and nobody hears it", function()
    local all = values()
    for _, what in ipairs { "plain", "object", "made" } do
      net.Socket():destroy(all[what])
      assert.equal(all[what], support.caught(support.run), what)
      assert.is_false(support.run())
    end
  end)

  it("leaves net.run as the context of ERR_UNHANDLED_ERROR when it counts as none", function()
    local all = values()
    for _, what in ipairs { "text", "number", "yes", "empty" } do
      net.Socket():destroy(all[what])
      local err = support.caught(support.run)
      assert.equal("ERR_UNHANDLED_ERROR", err.code, what)
      assert.equal(all[what], err.context, what)
      assert.is_false(support.run())
    end
  end)

  it("is thrown as it is", function()
    for what, value in pairs(values()) do
      net.nextTick(error, value, 0)
      assert.equal(value, support.caught(support.run), what)
    end
  end)
end)
