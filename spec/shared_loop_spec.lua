-- net.useLuv: cnet and luv on one loop. Every spec is a program of its own, since a state that has gone over to luv's
-- loop does not come back.

local support = require "spec.support"

local luv_file = package.searchpath("luv", package.cpath)

if not luv_file or not pcall(require, "luv") then
  describe("net.useLuv", function()
    it("beside luv", function() pending "luv is not there: apt-get install lua-luv" end)
  end)
  return
end

local BEGIN = "local uv, net = require 'luv', require 'cnet' net.useLuv() "
local OTHER_ORDER = "local net, uv = require 'cnet', require 'luv' net.useLuv() "
local runners = { "uv", "net" }

-- A program; returns its lines, what it wrote to stderr, its exit code, and the signal that ended it.
local function run(script, ...)
  local out, err, code, signal = support.lua(script, ...)
  local lines = {}
  for line in out:gmatch "[^\n]+" do lines[#lines + 1] = line end
  return lines, err, code, signal
end

-- The same for a program that must end well.
local function lines_of(script, ...)
  local lines, err, code, signal = run(script, ...)
  assert.equal("", err)
  assert.equal(0, code, signal)
  return lines
end

describe("net.useLuv", function()
  after_each(support.clean)

  it("returns luv, as often as it is called, and then the loop is luv's", function()
    for _, begin in ipairs { BEGIN, OTHER_ORDER } do
      assert.same({ "true", "true", "true" }, lines_of(begin .. [[
        print(net.useLuv() == uv)
        print(net.useLuv() == uv)
        print(net.backendFd() == uv.backend_fd())
      ]]))
    end
  end)

  for _, order in ipairs { "luv first", "cnet first" } do
    for _, runner in ipairs(runners) do
      it("lets both do all their work, " .. order .. ", under " .. runner .. ".run()", function()
        local lines = lines_of((order == "luv first" and BEGIN or OTHER_ORDER) .. runner .. [[.run("nowait")
          local server
          server = net.createServer(function(socket) socket:pipe(socket) end)
          server:listen(0, "127.0.0.1", function()
            local text, client = "", net.connect(server:address().port, "localhost")
            client:on("data", function(chunk) text = text .. chunk end)
            client:on("end", function() print("cnet: echo " .. text) server:close() end)
            client:end_ "hello"
          end)
          net.setTimeout(print, 5, "cnet: timer")
          net.setImmediate(print, "cnet: immediate")
          net.nextTick(print, "cnet: tick")
          net.process:on("SIGUSR2", function(name)
            print("cnet: signal " .. name)
            net.process:removeAllListeners()
          end)

          local timer = uv.new_timer()
          timer:start(5, 0, function()
            print "luv: timer"
            timer:close()
            uv.kill(uv.os_getpid(), "sigusr2")
          end)
          uv.fs_stat("/", function(_, stat) print("luv: file " .. stat.type) end)
          uv.getaddrinfo("127.0.0.1", nil, { socktype = "stream" }, function(_, found)
            print("luv: lookup " .. found[1].addr)
          end)
          local child
          child = uv.spawn("true", {}, function(code)
            print("luv: process " .. code)
            child:close()
          end)
          print("alive at the end: " .. tostring(]] .. runner .. ".run()))")
        assert.equal("alive at the end: false", table.remove(lines))
        table.sort(lines)
        assert.same({
          "cnet: echo hello", "cnet: immediate", "cnet: signal SIGUSR2", "cnet: tick", "cnet: timer",
          "luv: file directory", "luv: lookup 127.0.0.1", "luv: process 0", "luv: timer",
        }, lines)
      end)
    end

    it("keeps a loop alive for what is only luv's, or only cnet's, " .. order, function()
      assert.same({ "luv", "cnet" }, lines_of((order == "luv first" and BEGIN or OTHER_ORDER) .. [[
        local timer = uv.new_timer()
        timer:start(5, 0, function() print "luv" timer:close() end)
        net.run()
        net.setTimeout(print, 5, "cnet")
        uv.run()
      ]]))
    end)
  end

  it("runs ticks after each of cnet's callbacks, and in the next turn those that luv's callbacks queue", function()
    for _, runner in ipairs(runners) do
      local lines = lines_of(BEGIN .. [[
        net.nextTick(print, "from the script")
        for i = 1, 2 do
          net.setTimeout(function() print("timer " .. i) net.nextTick(print, "tick " .. i) end, 1)
        end
        local start = os.clock() -- the timers are due when the loop begins
        while os.clock() - start < 0.005 do end
        local timer = uv.new_timer()
        timer:start(20, 0, function()
          timer:close()
          print "luv"
          net.nextTick(print, "from luv")
        end)
        ]] .. runner .. ".run()")
      assert.same({ "from the script", "timer 1", "tick 1", "timer 2", "tick 2", "luv", "from luv" }, lines)
    end
  end)

  it("writes what a luv callback writes", function()
    assert.same({ "one two" }, lines_of(BEGIN .. [[
      local server = net.createServer(function(socket)
        local timer = uv.new_timer()
        timer:start(1, 0, function()
          timer:close()
          socket:write "one "
          socket:end_ "two"
        end)
      end)
      server:listen(0, "127.0.0.1", function()
        local text = ""
        net.connect(server:address().port, "127.0.0.1")
          :on("data", function(chunk) text = text .. chunk end)
          :on("close", function() print(text) server:close() end)
      end)
      uv.run()
    ]]))
  end)

  it("stops either runner by either module, and goes on in the other one", function()
    for _, stop in ipairs { "net.stop", "uv.stop" } do
      for i, runner in ipairs(runners) do
        assert.same({ "true", "later", "false" }, lines_of(BEGIN .. ([[
          net.setTimeout(function()
            %s()
            net.setTimeout(print, 1, "later")
          end, 1)
          print(%s.run())
          print(%s.run())
        ]]):format(stop, runner, runners[3 - i])))
      end
    end
  end)

  describe("and errors:", function()
    it("under net.run they leave it, and the rest goes on, also under uv.run", function()
      for _, runner in ipairs(runners) do
        assert.same({ "false\tlost", "true\tfalse", "second", "tick", "third" }, lines_of(BEGIN .. [[
          local err = net.Error "lost"
          local list = {}
          net.setImmediate(function() error(err) end)
          net.setImmediate(function() list[#list + 1] = "second" net.nextTick(table.insert, list, "tick") end)
          net.setImmediate(function() list[#list + 1] = "third" end)
          local good, value = pcall(net.run)
          assert(value == err)
          print(good, value)
          print(pcall(]] .. runner .. [[.run))
          print(table.concat(list, "\n"))
        ]]))
      end
    end)

    it("net.run's handler sees the callback's stack", function()
      local lines = lines_of(BEGIN .. [[

        net.setTimeout(function() error "here" end, 1)
        print(select(2, pcall(net.run, debug.traceback)))
      ]])
      assert.matches("%.lua:2: here$", lines[1])
      assert.matches("%.lua:2: in function <", table.concat(lines, "\n"))
    end)

    it("under uv.run they leave by luv's way: a line, a traceback, the end of the program", function()
      local lines, err, code, signal = run(BEGIN .. [[

        net.setTimeout(function() error(net.Error "of an object") end, 1)
        print(pcall(uv.run))
      ]])
      assert.same({}, lines)
      assert.matches("^Uncaught Error: of an object\nstack traceback:\n", err)
      assert.matches("%.lua:2: in function <", err)
      assert.equal(255, code or 128 + signal)
    end)

    it("under uv.run an 'error' that nobody hears leaves so too", function()
      local _, err, code, signal = run(BEGIN .. "net.connect '/nowhere/at.all' uv.run()")
      assert.matches("^Uncaught Error: connect ENOENT /nowhere/at%.all\n", err)
      assert.equal(255, code or 128 + signal)
    end)
  end)

  describe("refuses, and says why:", function()
    local function why(script, prefix)
      local lines = lines_of {
        "local function why(fn) print((select(2, pcall(fn)))) end " .. script, prefix = prefix,
      }
      assert.equal(1, #lines)
      return lines[1]
    end

    it("luv that is not loaded", function()
      assert.matches('^net%.useLuv%(%): luv is not loaded: require "luv" first$',
        why "why(require 'cnet'.useLuv)")
    end)

    it("what is not luv", function()
      for _, value in ipairs { "{}", "{ run = 1 }", "{ run = print }", "{ run = function() end }" } do
        assert.matches("package%.loaded%.luv is not luv", why("package.loaded.luv = " .. value .. [[
          why(require 'cnet'.useLuv)]]))
      end
    end)

    it("something that is open or under way", function()
      for _, open in ipairs {
        "net.createServer():listen(0)", "net.connect(1, 'localhost'):on('error', function() end)",
        "net.setTimeout(print, 1)", "net.process:on('SIGUSR2', print)",
        "require 'cnet.child_process'.fork('/dev/null')",
      } do
        assert.matches("something is open or under way already", why("local net = require 'cnet' require 'luv' " ..
          open .. " why(net.useLuv) net.process.exit = nil io.stdout:flush() net.process:exit(0)"))
      end
    end)

    it("a loop that runs", function()
      assert.matches("the loop is running", why [[
        local net = require 'cnet' require 'luv'
        net.nextTick(why, net.useLuv)
        net.run()
      ]])
    end)

    it("a luv that is linked to another libuv, and names both", function()
      local pipe = assert(io.popen("ldd '" .. luv_file .. "' 2>/dev/null"))
      local libuv = pipe:read "a":match "libuv%.so%.1 => (%S+)"
      pipe:close()
      if not libuv then return pending "luv is not linked to a shared libuv here" end
      -- a copy of libuv that calls itself by another name, and a luv that asks for that one
      local folder = support.path()
      local command = "mkdir %s && cd %s && " ..
        "sed 's/libuv\\.so\\.1/libuv.so.9/g' %s >libuv.so.9 && sed 's/libuv\\.so\\.1/libuv.so.9/g' %s >luv.so"
      assert(os.execute(command:format(folder, folder, libuv, luv_file)))
      local text = why(
        ("package.cpath = %q .. package.cpath require 'luv' why(require 'cnet'.useLuv)"):format(folder .. "/?.so;"),
        "env LD_LIBRARY_PATH=" .. folder)
      os.execute("rm -r " .. folder)
      assert.matches("luv and cnet are linked to two libuvs: luv to %S+/libuv%.so%.9 %(1%.", text)
      assert.matches("cnet to %S*libuv%.so%.1 %(1%.", text)
    end)
  end)

  describe("keeps to its own handles:", function()
    it("uv.walk meets only luv's, and a script may close all that it is shown", function()
      assert.same({ "hello", "false" }, lines_of(BEGIN .. [[
        local server = net.createServer(function(socket) socket:pipe(socket) end):listen(0, "127.0.0.1")
        local client
        server:on("listening", function()
          client = net.connect(server:address().port, "127.0.0.1")
          client:on("data", function(chunk) print(chunk) client:destroy() server:close() end)
          local timer = uv.new_timer()
          timer:start(1, 1, function()
            for _ = 1, 2 do
              uv.walk(function(handle)
                if not handle:is_closing() then handle:close() end
              end)
            end
            assert(timer:is_closing())
            client:write "hello"
          end)
        end)
        print(uv.run())
      ]]))
    end)

    it("uv.loop_close says that the loop is in use", function()
      assert.same({ "nil\tEBUSY", "timer" }, lines_of(BEGIN .. [[
        local _, _, code = uv.loop_close()
        print(nil, code)
        net.setTimeout(print, 1, "timer")
        net.run()
      ]]))
    end)
  end)

  describe("in a loop inside of a callback", function()
    for _, runner in ipairs(runners) do
      it("of cnet's, keeps what comes until the callback is over; under " .. runner .. ".run()", function()
        for _, mode in ipairs { "default", "once", "nowait" } do
          assert.same({ "in", "out", "hello", "closed" }, lines_of(BEGIN .. ([[
            local server
            server = net.createServer(function(socket)
              socket:on("data", function(chunk)
                print "in"
                socket:end_(chunk)
                uv.run "%s"
                collectgarbage()
                print "out"
              end)
            end)
            server:listen(0, "127.0.0.1", function()
              local client = net.connect(server:address().port, "127.0.0.1")
              client:on("data", print)
              client:on("close", function() print "closed" server:close() end)
              client:write "hello"
            end)
            %s.run()
          ]]):format(mode, runner)))
        end
      end)

      it("of cnet's that has destroyed its socket, under " .. runner .. ".run()", function()
        assert.same({ "out", "close" }, lines_of(BEGIN .. [[
          local server
          server = net.createServer(function(socket)
            socket:on("close", function() print "close" server:close() end)
            socket:on("data", function()
              socket:destroy()
              for _ = 1, 3 do uv.run "nowait" end
              print "out"
            end)
          end)
          server:listen(0, "127.0.0.1", function()
            net.connect(server:address().port, "127.0.0.1"):on("error", function() end):write "x"
          end)
          ]] .. runner .. ".run()"))
      end)
    end

    it("net.run is an error", function()
      assert.same({ "net.run() is running already: call it outside of callbacks" }, lines_of(BEGIN .. [[
        net.setTimeout(function() print((select(2, pcall(net.run)))) end, 1)
        uv.run()
      ]]))
    end)
  end)

  describe("at the end", function()
    -- A server, both ends of a connection with bytes that wait, a path, timers, a child and a lookup; then what `how`
    -- says, in the callback that it names.
    local OPEN = [[
      local where = arg[1]
      local function here(name)
        if name == where then io.stdout:write(name) os.exit(0, true) end
      end
      local early = net.Socket()
      local function open()
        local server = net.createServer():listen(0, "127.0.0.1")
        server:on("listening", function()
          here "listening"
          early:connect(server:address().port, "127.0.0.1", function() here "connect" end)
          early:on("data", function() here "data" early:destroy() end)
          early:on("close", function() here "close" server:close(function() here "server" end) end)
          early:on("error", function() end)
        end)
        server:on("connection", function(socket)
          here "connection"
          socket:write(("x"):rep(4000000))
          socket:on("error", function() end)
        end)
        net.createServer():listen(arg[2])
        net.setTimeout(function() here "timeout" end, 1)
        net.setImmediate(function() here "immediate" end)
        net.nextTick(function() here "tick" end)
        net.process:on("SIGUSR2", function() here "signal" end)
        require "cnet.child_process".fork("/dev/null"):on("exit", function() here "exit" end)
        net.connect(1, "localhost"):on("error", function() here "lookup" end)
        local timer = uv.new_timer()
        timer:start(5, 0, function() here "luv" uv.kill(uv.os_getpid(), "sigusr2") end)
      end
    ]]
    local places = {
      "listening", "connect", "data", "close", "server", "connection", "timeout", "immediate", "tick", "signal", "exit",
      "lookup", "luv",
    }
    for _, order in ipairs { "luv first", "cnet first" } do
      local begin = (order == "luv first" and "local uv, net = require 'luv', require 'cnet'"
        or "local net, uv = require 'cnet', require 'luv'") .. OPEN:gsub("local function open", "net.useLuv() %0")

      for _, runner in ipairs(runners) do
        it("closes all, wherever os.exit is called; " .. order .. ", under " .. runner .. ".run()", function()
          for _, place in ipairs(places) do
            local path = support.path()
            assert.same({ place }, lines_of(begin .. "open() " .. runner .. ".run()", place, path))
            assert.is_false(support.exists(path), place)
          end
        end)
      end

      it("closes what a script leaves open, and says that it was never run; " .. order, function()
        local path = support.path()
        local lines, err, code = run(begin .. "open()", "", path)
        assert.same({}, lines)
        assert.equal("cnet: the script ended with something still open, and never called net.run() or uv.run()\n", err)
        assert.equal(0, code)
        assert.is_false(support.exists(path))
      end)

      it("survives finalizers that are older; " .. order, function()
        local program = "local late = setmetatable({}, { __gc = function(self) self[1]() end }) " .. begin .. [[
          late[1] = function()
            print(pcall(net.createServer))
            pcall(early.destroy, early)
          end
          net.setTimeout(net.stop, 1)
          open()
          net.run()
        ]]
        assert.same({ "false\tcnet is closed: the Lua state is closing" }, lines_of(program, "", support.path()))
      end)
    end
  end)

  for _, runner in ipairs(runners) do
    it("leaves to 'handlerError' what it is for, under " .. runner .. ".run()", function()
      assert.same({
        "handlerError\tan error\ttrue", "luv: timer", "handlerError\tin a tick\ttrue", "closed",
      }, lines_of(BEGIN .. [[
        local server, turn = nil, 0
        server = net.createServer(function(socket)
          turn = turn + 1
          if turn == 1 then error("an error", 0) end
          socket:end_("x", function() error("in a tick", 0) end)
        end)
        server:on("handlerError", function(err, socket) print("handlerError", err, socket.server == server) end)
        server:on("close", function() print "closed" end)
        local function visit(done)
          local client = net.connect(server:address().port, "127.0.0.1")
          client:on("error", function() end):on("close", done):resume()
        end
        server:listen(0, "127.0.0.1", function()
          visit(function()
            local timer = uv.new_timer()
            timer:start(1, 0, function()
              timer:close()
              print "luv: timer"
              visit(function() server:close() end)
            end)
          end)
        end)
        ]] .. runner .. [[.run()
      ]]))
    end)
  end

  it("takes the channel of a forked child over", function()
    local child = support.file(("package.cpath = %q "):format(support.absolute(package.cpath)) .. BEGIN .. [[
      net.process:on("message", function(message, server)
        server:close()
        local timer = uv.new_timer()
        timer:start(1, 0, function()
          timer:close()
          net.process:send(message .. " back", function() net.process:disconnect() end)
        end)
      end)
      uv.run()
    ]])
    assert.same({ "hello back", "0" }, lines_of(([[
      local net = require "cnet"
      local child = require "cnet.child_process".fork(%q)
      local server = net.createServer()
      server:listen(0, "127.0.0.1", function() child:send("hello", server) server:close() end)
      child:on("message", function(message) print(message) end)
      child:on("exit", function(code) print(code) end)
      net.run()
    ]]):format(child)))
  end)
end)
