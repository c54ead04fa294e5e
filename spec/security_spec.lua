-- What must hold whoever is at the other end: no SIGPIPE, no file of a socket open to more than was asked for, no
-- descriptor in another program's hands, no reading past what was given.

local net = require "cnet"
local support = require "spec.support"
local children = require "spec.support.children"
local sockets = require "spec.support.sockets"

after_each(support.clean)

-- The sanitizers' search for leaks wants to be the tracer itself.
local STRACE = "env ASAN_OPTIONS=detect_leaks=0 strace -f -s 200 -o %s -e trace=openat,%s"
local has_strace = not support.valgrind and
  os.execute(STRACE:format("/dev/null", "bind") .. " true 2>/dev/null") == true

-- Runs a script as support.lua does; returns what it wrote, and those of its system calls as lines, in the thread and
-- process that loaded cnet, and from then on.
local function traced(calls, script, ...)
  local name = support.file ""
  local out, err, code = support.lua({
    script,
    prefix = [[sh -c 'umask 077; exec "$@"' sh ]] .. STRACE:format(name, calls),
  }, ...)
  assert.same({ "", 0 }, { err, code })
  local lines, unfinished, ours = {}, nil, nil
  for line in io.lines(name) do
    local pid, text = line:match "^(%d+)%s+(.*)"
    if not ours and line:find "cnet%.so.*O_CLOEXEC" and not line:find " = %-1" then ours = pid end
    if pid == ours and text:find "^[%l<]" then
      local begun = text:match "^(.*) <unfinished %.%.%.>$"
      if begun then
        unfinished = begun
      else
        lines[#lines + 1] = text:gsub("^<%.%.%. [%w_]+ resumed>", unfinished or "")
      end
    end
  end
  return out, lines
end

-- ---- SIGPIPE ----

describe("SIGPIPE", function()
  -- Each writes until the other end's absence is told, in each way a script can write.
  local WRITES = [[
    local net = require "cnet"
    local ends = 0
    local big = ("x"):rep(1e6)
    local ways = {
      function(s) s:write "x" end,
      function(s) s:write(big) end,
      function(s) s:write("x", function() end) end,
      function(s) s:cork() s:write "x" s:write(big) s:uncork() end,
      function(s) for _ = 1, 40 do s:write "x" end end,
      function(s) s:end_ "x" end,
      function(s) s:end_(big) end,
      function(s) s:write "x" s:destroySoon() end,
      function(s) s:write(big) os.exit(0, true) end,
    }
    local left = #ways
    local function try(way, where)
      local server = net.createServer()
      server:listen(where)
      server:on("connection", function(socket)
        server:close()
        socket:on("error", function() end)
        socket:on("close", function() ends = ends + 1 end)
        socket:once("data", function()
          -- the client is gone, and its end not yet read: the kernel says EPIPE
          socket:pause()
          way(socket)
          local n = 0
          socket:on("error", function() n = n + 1 end)
          local timer
          timer = net.setInterval(function()
            if socket.destroyed or socket.writableEnded then return net.clearTimeout(timer), socket:destroy() end
            way(socket)
          end, 1)
        end)
      end)
      server:on("listening", function()
        local address = server:address()
        local client = net.connect(type(address) == "table" and address.port or address)
        client:on("error", function() end)
        client:write("x", function()
          if type(address) == "table" then client:resetAndDestroy() else client:destroy() end
        end)
      end)
      net.run()
    end
    local which = tonumber(arg[1])
    try(ways[which], arg[2] == "tcp" and 0 or arg[2])
    print(which == #ways or ends)
  ]]

  for _, kind in ipairs { "tcp", "unix" } do
    it("is never raised by a write whose reader is gone, " .. kind, function()
      for way = 1, 9 do
        local out, err, code, signal = support.lua({ WRITES, prefix = support.prefix.sigpipe }, way,
          kind == "tcp" and "tcp" or support.path())
        assert.same({ way < 9 and "1\n" or "", "", 0 }, { out, err, code or signal }, "way " .. way)
      end
    end)
  end

  it("is never raised by a channel whose other end is gone, at either end", function()
    local out, err, code, signal = support.lua({ [[
      local net, child_process = require "cnet", require "cnet.child_process"
      local server = net.Server():listen(0)
      local function try(script, more)
        local child = child_process.fork(script, {}, { silent = true })
        local codes = {}
        child:on("error", function(err) codes[#codes + 1] = err.code end)
        child.stdin:on("error", function(err) codes[#codes + 1] = err.code end)
        child:once("message", function()
          for _ = 1, 200 do
            child:send((("x"):rep(1000)))
            child:send("x", server)
            child.stdin:write(("x"):rep(10000))
          end
          if more then more(child) end
        end)
        child:on("close", function(code, signal) print("close", code, signal) end)
      end
      try(arg[1]) try(arg[2]) try(arg[3], function(child) child:disconnect() end)
      net.setTimeout(function() server:close() end, 300)
      net.run()
    ]], prefix = support.prefix.sigpipe },
      -- ends at once; closes its end and writes on; writes to a parent that hears no more, and sent it servers
      children.script "process:send('x', function() os.exit(0) end) net.run()",
      children.script [[
        process:send("x", function()
          process:disconnect()
          for _ = 1, 100 do pcall(process.send, process, "x", function() end) end
        end)
        net.run()
      ]],
      children.script [[
        process:on("error", function() end)
        process:on("disconnect", function() os.exit(0, true) end)
        process:send("x", function()
          for _ = 1, 5000 do process:send(("x"):rep(1000), function() end) end
        end)
        net.run()
      ]])
    assert.equal("", err)
    assert.same({ 3, 0 }, { select(2, out:gsub("close\t0\tnil\n", "")), code or signal }, out)
  end)

  it("ends a forked child as any program: the child does not inherit that it is ignored", function()
    local child = children.sh "kill -PIPE $$; exit 5"
    local code, signal
    child:on("exit", function(...) code, signal = ... end)
    support.run()
    assert.same({ nil, "SIGPIPE" }, { code, signal })
  end)
end)

-- ---- the files of Unix sockets ----

describe("the file of a Unix socket", function()
  -- What is done to the path P, in order.
  local function steps(options)
    local path = support.path()
    local _, lines = traced("umask,bind,listen,chmod,fchmod,fchmodat,rename,link", ([[
      local net = require "cnet"
      local server
      server = net.createServer():listen({ path = arg[1], %s }, function() server:close() end)
      net.run()
    ]]):format(options), path)
    local list = {}
    for _, line in ipairs(lines) do
      local call = line:match "^%l+"
      if call ~= "openat" then
        list[#list + 1] = call:find "chmod" and line:gsub(path:gsub("%p", "%%%0"), "P"):gsub("%s+=.*", "") or call
      end
    end
    return list
  end

  it("is made with the mode that the umask gives, and opened only after, as far as was asked", function()
    if not has_strace then return pending "no strace" end
    assert.same({ "bind", "listen" }, steps "")
    for options, mode in pairs { ["readableAll = true"] = "744", ["writableAll = true"] = "722",
      ["readableAll = true, writableAll = true"] = "766" } do
      local list = steps(options)
      assert.same({ "bind", "listen" }, { list[1], list[2] })
      assert.equal('chmod("P", 0140' .. mode .. ")", list[3])
      assert.equal(3, #list)
    end
  end)

  for mask, modes in pairs {
    ["000"] = { "srwxrwxrwx", "srwxrwxrwx", "srwxrwxrwx" }, -- what the script's umask says
    ["022"] = { "srwxr-xr-x", "srwxr-xr-x", "srwxrwxrwx" },
    ["027"] = { "srwxr-x---", "srwxr-xr--", "srwxrwxrw-" },
    ["177"] = { "srw-------", "srw-r--r--", "srw-rw-rw-" },
  } do
    it("has no wider mode than the umask and the options give, umask " .. mask, function()
      local out, err, code = support.lua({ [[
        local net = require "cnet"
        for _, options in ipairs { {}, { readableAll = true }, { readableAll = true, writableAll = true } } do
          options.path = arg[1]
          local server
          server = net.createServer():listen(options, function()
            local pipe = io.popen("stat -c %A " .. arg[1])
            print(pipe:read "l")
            pipe:close()
            server:close()
          end)
          net.run()
        end
      ]], prefix = ([[sh -c 'umask %s; exec "$@"' sh]]):format(mask) }, support.path())
      assert.same({ table.concat(modes, "\n") .. "\n", "", 0 }, { out, err, code })
    end)
  end

  it("is not removed or changed if it is another's", function()
    local path = support.path()
    local file = assert(io.open(path, "w"))
    file:write "precious"
    file:close()
    for _, name in ipairs { path, path .. "2" } do
      if name ~= path then assert(os.execute(("ln -s %s %s"):format(path, name))) end
      local err
      net.createServer():on("error", function(e) err = e.code end)
        :listen { path = name, readableAll = true, writableAll = true }
      support.run()
      assert.equal("EADDRINUSE", err)
    end
    os.remove(path .. "2")
    file = assert(io.open(path))
    assert.equal("precious", file:read "a")
    file:close()
  end)
end)

-- ---- descriptors ----

describe("descriptors", function()
  -- Opens one of all that has one.
  local OPEN = [[
    local net, child_process = require "cnet", require "cnet.child_process"
    local path, script = arg[1], arg[2]
    local servers = { net.Server():listen(0), net.Server():listen { port = 0, reusePort = true },
      net.Server():listen(path), net.Server():listen("\0" .. path) }
    local sockets, waiting = {}, 2 * #servers + 2
    local look, child
    local function come()
      waiting = waiting - 1
      if waiting == 0 then look() end
      if waiting ~= 2 then return end
      child:send("server", servers[1]) -- only now: the child accepts, too, what comes there
      child:send("server", servers[3])
    end
    for i, server in ipairs(servers) do
      server:on("connection", function(socket) sockets[#sockets + 1] = socket come() end)
      server:on("listening", function()
        local address = server:address()
        local client
        client = net.connect(type(address) == "table" and address.port or address, come)
        sockets[#sockets + 1] = client
      end)
    end
    net.process:on("SIGUSR2", print)
    net.setTimeout(print, 1e6):unref()
    child = child_process.fork(script, {}, { silent = true })
    child:on("message", function(message, handle)
      sockets[#sockets + 1] = handle
      come()
    end)
    local stop = function()
      for _, server in ipairs(servers) do server:close() end
      for _, socket in ipairs(sockets) do (socket.destroy or socket.close)(socket) end
      child:kill()
    end
  ]]
  -- Sends back what it was sent, as a handle.
  local CHILD = [[
    process:on("message", function(message, handle) process:send(message, handle) end)
    net.run()
  ]]

  it("are none but the standard ones in other programs, forked children, and during a lookup", function()
    if support.valgrind then return pending "valgrind has descriptors of its own" end
    local out, err, code = support.lua([[
      local function list() -- what a program that is started has; the first is what it lists
        local pipe = io.popen "ls /proc/self/fd | wc -l; readlink /proc/self/fd/* | grep -v '^pipe:' | sort"
        local text = pipe:read "a"
        pipe:close()
        return text
      end
      local before = list()
    ]] .. OPEN .. [[
      look = function()
        for i = 1, 4 do net.connect(1, "localhost"):on("error", function() end) end
        print(list() == before)
        local other = child_process.fork(arg[3], {}, { execPath = "sh" })
        other:on("message", function(message) print(message - before:match "%d+") end)
        other:on("close", stop)
      end
      net.run()
      print(list() == before)
    ]], support.path(), children.script(CHILD),
      support.file "unset LD_PRELOAD; ls /proc/self/fd | wc -l >&3")
    assert.same({ "true\n1\ntrue\n", "", 0 }, { out, err, code }) -- a child has its channel more
  end)

  it("are close-on-exec from the very call that makes them", function()
    if not has_strace then return pending "no strace" end
    local out, lines = traced(
      "socket,socketpair,accept,accept4,epoll_create,epoll_create1,eventfd,eventfd2,pipe,pipe2,dup,recvmsg,fcntl",
      OPEN .. "look = function() print 'all' stop() end net.run()", support.path(), children.script(CHILD))
    assert.equal("all\n", out)
    local seen = {}
    for _, line in ipairs(lines) do
      local call = line:match "^[%w_]+"
      if call == "openat" then
        if line:find '"/dev/' then assert.matches("O_CLOEXEC", line) end
      elseif call == "fcntl" then
        assert.falsy(line:find "F_DUPFD[^_]", line)
      elseif call ~= "recvmsg" or line:find "SCM_RIGHTS" then
        seen[call] = true
        if not line:find " = %-1" then assert.matches("CLOEXEC", line) end
      end
    end
    for _, call in ipairs { "socket", "socketpair", "accept4", "epoll_create1", "eventfd2", "pipe2", "recvmsg" } do
      assert.is_true(seen[call], call)
    end
  end)
end)

-- ---- what comes from outside ----

describe("no text", function()
  local CODES <const> = { ERR_INVALID_ADDRESS = true, ERR_INVALID_ARG_VALUE = true, ERR_OUT_OF_RANGE = true }

  it("makes a parser read past its end: every beginning, and every text with one byte changed", function()
    local list, tried = net.BlockList(), 0
    -- Does fn take it? If not, it must say that this is not an address.
    local function takes(fn, ...)
      local ok, err = pcall(fn, ...)
      if not ok and not CODES[err.code] then error(err) end
      return ok
    end
    local function try(text)
      local is_ip = net.isIP(text)
      for version, family in pairs { [4] = "ipv4", [6] = "ipv6" } do
        local good = takes(net.SocketAddress, { address = text, family = family })
        -- isIP has rules for the zone, which the system's parser does not look at
        local agree = good == (is_ip == version) or good and text:find("%", 1, true)
        agree = agree and not list:check(text, family)
        agree = agree and good == takes(list.addAddress, list, text, family) and good == list:check(text, family)
        agree = agree and good == takes(list.addSubnet, list, text, 8, family)
        agree = agree and good == takes(list.addRange, list, text, text, family)
        if not agree then error(("%s: the parsers do not agree on %q"):format(family, text)) end
        list:clear()
      end
      takes(net.SocketAddress.parse, text)
      takes(list.addCIDR, list, text)
      list:clear()
      tried = tried + 1
    end
    for _, text in ipairs { "255.255.255.255/32", "[ffff:ffff:ffff:ffff:ffff:ffff:255.255.255.255%lo]:65535",
      "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128", "::ffff:1.2.3.4", "fe80::1%eth0:99999999999999999999",
      "1:2:3:4:5:6:7::", "::", ("1"):rep(1000), (":"):rep(1000), ("%"):rep(1000), ("1."):rep(1000) } do
      for i = 0, math.min(#text, 60) do
        try(text:sub(1, i))
        try(text:sub(i + 1))
        for _, byte in ipairs { "\0", ".", ":", "%", "/", "[", "]", "9", "f", "\xff" } do
          if i > 0 then try(text:sub(1, i - 1) .. byte .. text:sub(i + 1)) end
        end
      end
    end
    assert.is_true(tried > 4000)
  end)

  -- What Node makes of text in hex and base64: it takes what is good, and stops at what is bad, or passes over it.
  local function bytes_of_hex(text)
    local bytes = {}
    for pair in text:gmatch ".." do
      if not pair:find "^%x%x$" then break end
      bytes[#bytes + 1] = string.char(tonumber(pair, 16))
    end
    return table.concat(bytes)
  end

  local DIGITS <const> = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"

  local function bytes_of_base64(text)
    local bytes, bits, count = {}, 0, 0
    for digit in text:match("^[^=]*"):gmatch "[%w+/]" do
      bits, count = bits << 6 | (DIGITS:find(digit, 1, true) - 1), count + 6
      if count >= 8 then
        count = count - 8
        bytes[#bytes + 1] = string.char(bits >> count & 255)
      end
    end
    return table.concat(bytes)
  end

  local function base64_of(bytes)
    return (bytes:gsub("..?.?", function(three)
      local a, b, c = three:byte(1, 3)
      local bits = a << 16 | (b or 0) << 8 | (c or 0)
      return (("...."):gsub("()%.", function(i)
        if i > #three + 1 then return "=" end
        local digit = bits >> 24 - 6 * i & 63
        return DIGITS:sub(digit + 1, digit + 1)
      end))
    end))
  end

  local function same(text) return text end

  local TEXT <const> = "aé€\u{1F600}\xF0\x9F\x98\xC3Zm9vYg==00ffzz"

  for encoding, how in pairs {
    utf8 = { TEXT, same, function() return "aé€\u{1F600}\u{FFFD}\u{FFFD}Zm9vYg==00ffzz" end },
    latin1 = { TEXT, same, same },
    ascii = { TEXT, same, function(bytes)
      return (bytes:gsub(".", function(byte) return string.char(byte:byte() & 127) end))
    end },
    hex = { "00ffFF7f0é123456789abcdef", bytes_of_hex, function(bytes)
      return (bytes:gsub(".", function(byte) return ("%02x"):format(byte:byte()) end))
    end },
    base64 = { "Zm9vYmFyé\0Zm9 vYm+/\xFFFyAA==Zm9v", bytes_of_base64, base64_of },
  } do
    it("makes a decoder read past its end, whatever was cut where: " .. encoding, function()
      local text, bytes_of, shown = table.unpack(how)
      for cut = 0, #text do
        local first, last = text:sub(1, cut), text:sub(cut + 1)
        local client, peer = sockets.pair { kind = "unix" }
        local got = sockets.collect(client:setEncoding(encoding))
        peer:write(first, encoding)
        -- the two parts come in two packets
        sockets.wait(function() return client.bytesRead == #bytes_of(first) end)
        peer:end_(last, encoding)
        peer:resume()
        support.run()
        assert.is_true(got.ended)
        assert.equal(shown(bytes_of(first) .. bytes_of(last)), got.text, "cut at " .. cut)
      end
    end)
  end
end)
