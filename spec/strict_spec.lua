-- net.strict and CNET_STRICT: a misspelt name of an event or an option is an error that suggests the right one.

local annotations = require "tools.annotations"
local child_process = require "cnet.child_process"
local cluster = require "cnet.cluster"
local net = require "cnet"
local support = require "spec.support"

local model = annotations.read(table.unpack(annotations.files))

local function ignore() end

local function message(fn, ...)
  local err = support.caught(fn, ...)
  assert.equal("ERR_INVALID_ARG_VALUE", err.code)
  assert.equal("TypeError", err.name)
  return err.message
end

-- What has the events of a class of the annotations.
local emitters = {
  ["net.Server"] = net.createServer(), ["net.Socket"] = net.Socket(), ["net.process"] = net.process,
  AbortSignal = net.AbortController().signal, ["cnet.cluster"] = cluster,
}

-- Who reads options, by the annotated class of those options: called with a table, it raises for an unknown name.
local readers = {
  ["net.ServerOptions"] = { "net.createServer", net.createServer },
  ["net.ListenOptions"] = { "server:listen", function(options) net.createServer():listen(options) end },
  ["net.ConnectOptions"] = { "net.connect", net.connect },
  ["net.KeepAliveOptions"] = {
    "socket:setKeepAlive", function(options) net.Socket():setKeepAlive(options) end,
  },
  ["net.PipeOptions"] = { "socket:pipe", function(options) net.Socket():pipe(net.Socket(), options) end },
  ["net.BoundSocketOptions"] = { "net.BoundSocket", net.BoundSocket },
  ["net.SocketAddressOptions"] = { "net.SocketAddress", net.SocketAddress },
  ["child_process.ForkOptions"] = {
    "child_process.fork", function(options) child_process.fork("/dev/null", nil, options) end,
  },
  ["cluster.Settings"] = { "cluster.setupPrimary", cluster.setupPrimary },
}

describe("net.strict", function()
  before_each(function() net.strict(true) end)
  after_each(function()
    net.strict(false)
    support.clean()
  end)

  it("is off at first, and tells what it was", function()
    assert.is_true(net.strict(false))
    assert.is_false(net.strict())
    assert.is_false(net.strict(nil))
    assert.is_false(net.strict(true))
    assert.is_true(net.strict())
    assert.is_true(net.strict(true))
  end)

  it("takes a boolean", function()
    for _, wrong in ipairs { 1, "true", {} } do
      assert.equal("ERR_INVALID_ARG_TYPE", support.caught(net.strict, wrong).code)
    end
    assert.is_true(net.strict())
  end)

  it("off: what is misspelt is ignored, as in Node", function()
    net.strict(false)
    local server = net.createServer { allowHalfOpn = true }
    assert.equal(server, server:on("conection", ignore))
    assert.equal(1, server:listenerCount "conection")
    net.SocketAddress { adress = "1.2.3.4" }
  end)

  it("is one for each state, and CNET_STRICT=1 turns it on", function()
    for value, expected in pairs { ["1"] = "true", yes = "true", ["0"] = "false", [""] = "false" } do
      local out, err = support.lua { "print(require 'cnet'.strict())", prefix = "env CNET_STRICT=" .. value }
      assert.equal("", err)
      assert.equal(expected .. "\n", out)
    end
    assert.equal("false\n", (support.lua { "print(require 'cnet'.strict())", prefix = "env -u CNET_STRICT" }))
  end)

  describe("and events:", function()
    local suggestions = {
      ["net.Server"] = {
        conection = "connection", connections = "connection", Connection = "connection", connect = "connection",
        cnonection = "connection", listen = "listening", lisening = "listening", closed = "close", CLOSE = "close",
        dorp = "drop", err = "error", newlistener = "newListener",
      },
      ["net.Socket"] = {
        dta = "data", onData = "data", Data = "data", connection = "connect", conect = "connect", ["end_"] = "end",
        timeOut = "timeout", drian = "drain", conectionAttempt = "connectionAttempt", readble = "readable",
      },
      ["net.process"] = { SIGTRM = "SIGTERM", sigint = "SIGINT", mesage = "message", disconect = "disconnect" },
      AbortSignal = { abrot = "abort", aborted = "abort" },
      ["cnet.cluster"] = { onlin = "online", fokr = "fork", listen = "listening" },
    }
    for class, names in pairs(suggestions) do
      it("a misspelt one of " .. class .. " suggests the right one", function()
        for wrong, right in pairs(names) do
          assert.equal(("net.strict: %s has no event '%s': did you mean '%s'?"):format(class, wrong, right),
            message(emitters[class].on, emitters[class], wrong, ignore))
          assert.equal(0, #emitters[class]:listeners(wrong))
        end
      end)
    end

    it("one like no other tells which there are", function()
      local server = emitters["net.Server"]
      assert.equal("net.strict: net.Server has no event 'recieve': it has close, connection, drop, handlerError, " ..
        "listening, error, newListener, removeListener", message(server.on, server, "recieve", ignore))
      for _, strange in ipairs { "", "\0", "data\0", ("x"):rep(1000), "\255", "%s%d" } do
        assert.matches("^net%.strict: net%.Socket has no event .*: it has close,",
          message(emitters["net.Socket"].on, emitters["net.Socket"], strange, ignore))
      end
    end)

    it("in every method that takes one", function()
      local server = net.createServer()
      for _, name in ipairs {
        "on", "addListener", "once", "prependListener", "prependOnceListener", "off", "removeListener",
        "listenerCount", "removeAllListeners",
      } do
        assert.matches("did you mean 'close'", message(server[name], server, "cloes", ignore), nil, name)
      end
      local signal = net.AbortController().signal
      assert.matches("did you mean 'abort'", message(signal.addEventListener, signal, "abrot", ignore))
    end)

    it("tell where the caller stands", function()
      local err = support.caught(function() net.createServer():on("cloes", ignore) end)
      assert.matches("^.*strict_spec%.lua:%d+: net%.strict: ", tostring(err))
    end)

    it("all that are annotated are known", function()
      for class, emitter in pairs(emitters) do
        local names = {}
        for _, event in ipairs(model.classes[class].events) do names[event.name] = true end
        assert.is_truthy(next(names), class)
        for name in pairs(names) do
          if name ~= "net.SignalName" then emitter:on(name, ignore):off(name, ignore) end
        end
      end
      net.process:on("SIGUSR2", ignore):off("SIGUSR2", ignore)
    end)

    it("of an emitter of the script's own are free, and so are names that are no strings", function()
      local mine = {}
      assert.equal(1, net.EventEmitter():on("whatever", ignore):listenerCount "whatever")
      assert.equal(1, net.Socket():on(mine, ignore):listenerCount(mine))
      assert.equal(1, net.createServer():on(net.errorMonitor, ignore):listenerCount(net.errorMonitor))
    end)
  end)

  describe("and options:", function()
    it("a misspelt one suggests the right one", function()
      for class, pair in pairs {
        ["net.ServerOptions"] = { "allowHalfOpn", "allowHalfOpen" }, ["net.ListenOptions"] = { "hots", "host" },
        ["net.ConnectOptions"] = { "prot", "port" }, ["net.KeepAliveOptions"] = { "Interval", "interval" },
        ["net.PipeOptions"] = { "End", "end" }, ["net.SocketAddressOptions"] = { "adress", "address" },
        ["child_process.ForkOptions"] = { "exceArgv", "execArgv" }, ["cluster.Settings"] = { "silnet", "silent" },
      } do
        local name, fn = table.unpack(readers[class])
        assert.equal(("net.strict: %s has no option '%s': did you mean '%s'?"):format(name, pair[1], pair[2]),
          message(fn, { port = class:find "Listen" and 0 or nil, [pair[1]] = 1 }))
      end
    end)

    it("of connect, and of send", function()
      assert.matches("connect has no option 'pathh': did you mean 'path'", message(function()
        net.Socket():connect { pathh = "/nowhere" }
      end))
      assert.matches("net%.Socket has no option 'allowhalfopen': did you mean 'allowHalfOpen'", message(function()
        net.Socket { allowhalfopen = true }
      end))
      local out = support.lua({ [[
        local net, child_process = require "cnet", require "cnet.child_process"
        net.strict(true)
        local child = child_process.fork("/dev/null")
        print(select(2, pcall(child.send, child, "text", nil, { keepopen = true })).message)
        net.run()
      ]] })
      assert.equal("net.strict: send has no option 'keepopen': did you mean 'keepOpen'?\n", out)
    end)

    it("are those that are annotated", function()
      for class, reader in pairs(readers) do
        local annotated, known = {}, {}
        local from = model.classes[class]
        repeat
          for _, field in ipairs(from.fields) do annotated[field.name] = true end
          from = from.parent and model.classes[from.parent]
        until not from
        local text = message(reader[2], { port = class:find "Listen" and 0 or nil, zzzzzzzz = 1 })
        for name in text:match ": it has (.*)$":gmatch "[%w_]+" do
          if not name:find "[oO]bjectMode$" then known[name] = true end -- known to be refused
        end
        assert.same(annotated, known, class)
      end
    end)

    it("that are right are taken, and a table that holds more than names is not looked into", function()
      local connected
      local server = net.createServer { noDelay = true, keepAlive = true, keepAliveInitialDelay = 1000 }
      server:listen { port = 0, host = "127.0.0.1", exclusive = true, backlog = 5 }
      server:on("listening", function()
        local client = net.connect { port = server:address().port, host = "127.0.0.1", "positional", [{}] = 1 }
        client:on("connect", function()
          connected = true
          server:close()
          client:destroy()
        end)
      end)
      support.run()
      assert.is_true(connected)
    end)
  end)
end)
