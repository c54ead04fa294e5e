-- Names: they are looked up in a thread of libuv, and whatever happens meanwhile does no harm. No spec needs a name
-- server: the names that fail cannot be asked for.

local net = require "cnet"
local support = require "spec.support"

local LONG = ("x"):rep(70) .. ".b" -- a label of more than 63 bytes
local HUGE = ("x"):rep(300)

describe("listening on a name", function()
  after_each(support.clean)

  it("listens on what it means, once it is found", function()
    local note, log = support.recorder()
    local server = net.createServer(function(socket) socket:end_ "hello" end)
    server:on("listening", function() note "listening" end)
    assert.equal(server, server:listen(0, "localhost", function()
      local address = server:address()
      assert.truthy(address.address == "127.0.0.1" or address.address == "::1", address.address)
      assert.equal(address.address == "::1" and "IPv6" or "IPv4", address.family)
      net.connect(address.port, "localhost"):on("data", function(data)
        note(data)
        server:close()
      end)
    end))
    assert.is_false(server.listening)
    assert.is_nil(server:address())
    net.nextTick(note, "tick")
    support.run()
    assert.same({"tick", "listening", "hello"}, log)
  end)

  it("takes the name from the options too", function()
    local called = 0
    local server = net.createServer()
    server:listen({port = 0, host = "localhost"}, function()
      called = called + 1
      server:close()
    end)
    support.run()
    assert.equal(1, called)
  end)

  it("is refused for a name with a NUL in it, which would be cut there", function()
    for _, host in ipairs { "localhost\0", "localhost\0.example", "\0", "127.0.0.1\0x" } do
      local server = net.createServer()
      local err = support.caught(server.listen, server, 0, host)
      assert.equal("ERR_INVALID_ARG_VALUE", err.code)
      assert.equal("The argument 'hostname' must be a string without null bytes. Received '"
        .. host:gsub("%z", "\\x00") .. "'", err.message)
      assert.equal("ERR_INVALID_ARG_VALUE", support.caught(server.listen, server, { port = 0, host = host }).code)
      assert.is_false(server.listening)
      assert.same({}, support.pinned())
      server:listen(0, "127.0.0.1", function() server:close() end)
      support.run()
    end
  end)

  it("asks a thread; an address needs none", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local function threads()
        local pipe = io.popen(("ls /proc/%d/task"):format(net.process.pid))
        local _, n = pipe:read "a":gsub("\n", "")
        pipe:close()
        return n
      end
      local function listen(host)
        local server = net.createServer()
        server:listen(0, host, function() server:close() end)
        net.run()
        return threads()
      end
      local first = listen "127.0.0.1"
      print(first == 1, listen "localhost" > first)
    ]]
    assert.equal("", err)
    assert.equal("true\ttrue\n", out)
    assert.equal(0, code)
  end)

  it("gives Node's error for a name that is not there, directly from the lookup", function()
    for _, name in ipairs {"a..b", LONG} do
      local note, log = support.recorder()
      local server = net.createServer()
      server:on("listening", function() note "listening" end)
      server:on("close", function() note "close" end)
      server:on("error", function(...)
        local err = ...
        note "error"
        assert.equal(1, select("#", ...))
        assert.equal("getaddrinfo ENOTFOUND " .. name, err.message)
        assert.equal("ENOTFOUND", err.code)
        assert.equal(-3008, err.errno)
        assert.equal("getaddrinfo", err.syscall)
        assert.equal(name, err.hostname)
        assert.equal("Error", err.name)
        assert.is_nil(err.address)
        assert.is_nil(err.port)
        assert.is_false(server.listening)
        net.nextTick(note, "tick of error")
      end)
      server:listen(1, name)
      net.nextTick(note, "tick of listen")
      support.run()
      assert.same({"tick of listen", "error", "close", "tick of error"}, log)
    end
  end)

  it("gives Node's error for a name that cannot be one, in a later turn", function()
    for _, name in ipairs {HUGE, "\xff\xfe"} do
      local note, log = support.recorder()
      local server = net.createServer()
      server:on("error", function(err)
        note "error"
        assert.equal("getaddrinfo EINVAL " .. name, err.message)
        assert.equal("EINVAL", err.code)
        assert.equal(-22, err.errno)
        assert.equal("getaddrinfo", err.syscall)
        assert.equal(name, err.hostname)
      end)
      server:on("close", function() note "close" end)
      server:listen(0, name)
      net.nextTick(note, "tick")
      support.run()
      assert.same({"tick", "error", "close"}, log)
    end
  end)

  it("is over when the server is closed: nothing comes of it", function()
    for _, name in ipairs {"localhost", "a..b", HUGE} do
      local note, log = support.recorder()
      local server = net.createServer()
      for _, event in ipairs {"listening", "error", "close"} do server:on(event, function() note(event) end) end
      server:listen(0, name)
      net.nextTick(function() server:close(function(err) note(err.code) end) end)
      support.run()
      assert.same({"close", "ERR_SERVER_NOT_RUNNING"}, log)
      assert.is_false(server.listening)
    end
  end)

  it("is superseded by another listen, whichever lookup ends first", function()
    for _, first in ipairs {"localhost", "a..b", HUGE, "127.0.0.2"} do
      local note, log = support.recorder()
      local server = net.createServer()
      server:on("error", function(err) note(err) end)
      server:on("listening", function()
        note(server:address().address)
        net.setImmediate(function() server:close() end)
      end)
      server:listen(0, first)
      server:listen(0, "127.0.0.3")
      support.run()
      assert.same({"127.0.0.3"}, log)
      local path = support.path()
      server:removeAllListeners "listening"
      server:listen(0, first)
      server:listen(path, function()
        note(server:address() == path)
        net.setImmediate(function() server:close() end)
      end)
      support.run()
      assert.same({"127.0.0.3", "true"}, log)
    end
  end)

  it("keeps the server alive, without any reference", function()
    local listened
    local seen = setmetatable({}, {__mode = "k"})
    do
      local server = net.createServer()
      seen[server] = true
      server:on("listening", function()
        listened = true
        server:close()
      end)
      server:listen(0, "localhost")
    end
    collectgarbage()
    collectgarbage()
    support.run()
    assert.is_true(listened)
    collectgarbage()
    collectgarbage()
    assert.is_nil(next(seen))
  end)

  it("keeps the loop alive even if the server is unref'd, until it is done", function()
    local listened = false
    local server = net.createServer():unref()
    server:listen(0, "localhost", function() listened = true end)
    support.run()
    assert.is_true(listened)
    server:close()
  end)

  it("survives net.stop and errors: the answer comes in the next net.run", function()
    local note, log = support.recorder()
    local server = net.createServer()
    server:listen(0, "localhost", function() note "listening" server:close() end)
    net.nextTick(function() error({}) end)
    assert.equal("table", type(support.caught(support.run)))
    net.nextTick(net.stop)
    assert.is_true(net.run())
    assert.same({}, log)
    support.run()
    assert.same({"listening"}, log)
  end)

  it("works many times at once", function()
    local n = 0
    for i = 1, 60 do
      local server = net.createServer()
      server:on("listening", function() n = n + 1 server:close() end)
      server:on("error", function() n = n + 1 end)
      server:listen(0, i % 3 == 0 and "a..b" or "localhost")
      if i % 5 == 0 then
        n = n + 1
        server:close()
      end
    end
    support.run()
    assert.equal(60, n)
  end)

  it("works from a coroutine that is gone by then", function()
    local main
    coroutine.wrap(function()
      local server = net.createServer()
      server:listen(0, "localhost", function()
        main = select(2, coroutine.running())
        server:close()
      end)
    end)()
    collectgarbage()
    support.run()
    assert.is_true(main)
  end)
end)

describe("listening on a name with several addresses", function()
  after_each(support.clean)

  -- A resolver for which a name is the answer: addresses with commas between them.
  local RESOLVER <const> = [[
      #include <arpa/inet.h>
      #include <netdb.h>
      #include <stdlib.h>
      #include <string.h>
      static struct addrinfo *make(const char *ip) {
        struct addrinfo *info = calloc(1, sizeof *info + sizeof(struct sockaddr_in6));
        struct sockaddr_in *in = (void *)(info + 1);
        struct sockaddr_in6 *in6 = (void *)(info + 1);
        info->ai_family = strchr(ip, ':') ? AF_INET6 : AF_INET;
        info->ai_addrlen = strchr(ip, ':') ? sizeof *in6 : sizeof *in;
        info->ai_addr = (void *)(info + 1);
        info->ai_addr->sa_family = info->ai_family;
        info->ai_socktype = SOCK_STREAM;
        if (info->ai_family == AF_INET6) {
          inet_pton(AF_INET6, ip, &in6->sin6_addr);
          in6->sin6_scope_id = 1;
        } else {
          inet_pton(AF_INET, ip, &in->sin_addr);
        }
        return info;
      }
      /* The name is the answer: addresses with commas between them. */
      int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
        char copy[200], *rest = strncpy(copy, name, sizeof copy - 1), *ip;
        (void)service, (void)hints;
        for (*found = NULL; (ip = strtok_r(rest, ",", &rest)); found = &(*found)->ai_next) *found = make(ip);
        return 0;
      }
      void freeaddrinfo(struct addrinfo *info) {
        while (info) {
          struct addrinfo *next = info->ai_next;
          free(info);
          info = next;
        }
      }
  ]]

  it("takes the first that is not link-local, or the first if all are", function()
    local library, why = support.compile(RESOLVER, "-D_GNU_SOURCE")
    if not library then return pending(why) end
    local out, err, code = support.lua({
      [[
        local net = require "cnet"
        for _, name in ipairs {
          "127.0.0.1,127.0.0.2", "fe80::1,127.0.0.1", "fe80::1,febf:ffff::2,127.0.0.3,127.0.0.4",
          "fe80::1,fec0::1,127.0.0.1", "fe80::1,fe80::2", "fe7f::1,127.0.0.1",
        } do
          local server = net.createServer()
          server:on("error", function(e) print(name, e.syscall, (e.address:gsub("%%.*", ""))) end)
          server:listen(0, name, function()
            print(name, "listening", server:address().address)
            server:close()
          end)
          net.run()
        end
      ]],
      prefix = ("env LD_PRELOAD=%s:%s"):format(os.getenv "LD_PRELOAD" or "", library),
    })
    assert.equal(table.concat({
      "127.0.0.1,127.0.0.2\tlistening\t127.0.0.1",
      "fe80::1,127.0.0.1\tlistening\t127.0.0.1",
      "fe80::1,febf:ffff::2,127.0.0.3,127.0.0.4\tlistening\t127.0.0.3",
      "fe80::1,fec0::1,127.0.0.1\tlisten\tfec0::1",
      "fe80::1,fe80::2\tlisten\tfe80::1",
      "fe7f::1,127.0.0.1\tlisten\tfe7f::1",
    }, "\n") .. "\n", out)
    assert.same({ "", 0 }, { err, code })
  end)
end)

describe("lua_close with a lookup on its way", function()
  it("waits for it silently, and calls nothing", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      local over = false
      local function heard() if over then print "called" end end
      for _, host in ipairs {"localhost", "a..b", ("x"):rep(300)} do
        local server = net.createServer()
        for _, event in ipairs {"listening", "error", "close"} do server:on(event, heard) end
        for _ = 1, 10 do
          server:listen(0, host)
        end
      end
      net.run "nowait"
      over = true
      os.exit(5, true)
    ]]
    assert.equal("", out)
    assert.equal("", err)
    assert.equal(5, code)
  end)

  it("waits for those that a thread has begun, not for the others, in a callback and outside", function()
    local library, why = support.compile [[
      #define _GNU_SOURCE
      #include <netdb.h>
      #include <unistd.h>
      int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
        (void)name, (void)service, (void)hints, (void)found;
        if (write(1, ".", 1) == 1) usleep(50000);
        return EAI_NONAME;
      }
    ]]
    if not library then return pending(why) end
    for _, leave in ipairs { "net.run 'nowait'", "net.nextTick(os.exit, 0, true) net.run()",
      "net.setImmediate(os.exit, 0, true) net.run()" } do
      local out, err, code = support.lua({
        "local net = require 'cnet' for i = 1, 200 do net.connect(1, 'name' .. i):on('error', print) end " .. leave,
        prefix = ("env LD_PRELOAD=%s:%s UV_THREADPOOL_SIZE=4"):format(os.getenv "LD_PRELOAD" or "", library),
      })
      assert.matches("^%.?%.?%.?%.?$", out)
      assert.same({ "", 0 }, { err, code })
    end
  end)

  it("tells on stderr that the loop was never run", function()
    local out, err, code = support.lua [[
      require "cnet".createServer(print):listen(0, "localhost", print)
    ]]
    assert.equal("", out)
    assert.equal(0, code)
    local _, lines = err:gsub("\n", "")
    assert.equal(1, lines)
    assert.truthy(err:find("net.run", 1, true))
  end)

  it("works inside a callback too", function()
    local out, err, code = support.lua [[
      local net = require "cnet"
      for _ = 1, 8 do net.createServer():on("close", print):listen(0, "localhost", print) end
      net.nextTick(function() os.exit(6, true) end)
      net.run()
    ]]
    assert.equal("", out)
    assert.equal("", err)
    assert.equal(6, code)
  end)
end)
