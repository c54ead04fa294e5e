-- A connection that the peer resets is an 'error' ECONNRESET and 'close'(true), never an 'end', however the socket is
-- read; an end that comes together with data is an 'end'; and what was cut off is not called done.

local net = require "cnet"
local support = require "spec.support"
local sockets = require "spec.support.sockets"

local RESETS = 100
local TEXT = "fourteen bytes"

-- How the socket of the server is read: each begins at once, or when the reset has come if `later`.
local readers = {
  flowing = function(socket) socket:on("data", function() end):resume() end,
  resumed = function(socket) socket:resume() end,
  readable = function(socket) socket:on("readable", function() socket:read() end) end,
  decoding = function(socket) socket:setEncoding("utf8"):on("data", function() end):resume() end,
  piped = function(socket)
    local destination = net.Socket()
    destination.write = function() return true end
    destination.end_ = function() return destination end
    socket:pipe(destination)
  end,
}

-- Of each connection the events that tell how it ended.
local function ends(socket, note)
  local events = {}
  socket:on("error", function(err) events[#events + 1] = ("error %s %s"):format(err.code, err.message) end)
  socket:on("end", function() events[#events + 1] = "end" end)
  socket:on("close", function(failed)
    events[#events + 1] = "close " .. tostring(failed)
    note(table.concat(events, ", "))
  end)
end

-- What the sockets of a server see if each client writes and then leaves: a list with a text for each, sorted out.
-- `leave(client)` is called when the server's socket is there.
local function seen(kind, options, read, leave)
  local note, log = support.recorder()
  local accepted, clients, left = {}, {}, 0
  local server = sockets.server(function(socket)
    ends(socket, note)
    if options.unread then socket:write "nobody reads this" end
    accepted[#accepted + 1] = socket
    if not options.later then read(socket) end
  end, sockets.kinds[kind](), options.server)
  for i = 1, RESETS do
    clients[i] = net.connect(sockets.address_of(server)):on("error", function() end)
    if options.unread then clients[i]:pause() end
  end
  local function connected()
    for i = 1, RESETS do if clients[i].pending then return false end end
    return #accepted == RESETS
  end
  support.run_until(connected)
  for i = 1, RESETS do
    clients[i]:on("close", function() left = left + 1 end)
    clients[i]:write(TEXT)
    leave(clients[i])
  end
  if options.later then
    support.run_until(function() return left == RESETS end)
    for i = 1, RESETS do read(accepted[i]) end
  end
  server:close()
  support.run()
  local counts = {}
  for _, text in ipairs(log) do counts[text] = (counts[text] or 0) + 1 end
  return counts
end

local RESET = { ["error ECONNRESET read ECONNRESET, close true"] = RESETS }

local variants = {
  { "as they come", {} },
  { "once it is there", { later = true, server = { pauseOnConnect = true } } },
  { "half open, as they come", { server = { allowHalfOpen = true } } },
  { "half open, once it is there", { later = true, server = { allowHalfOpen = true, pauseOnConnect = true } } },
}

describe("a reset that comes together with data", function()
  after_each(support.clean)

  for name, read in pairs(readers) do
    for _, variant in ipairs(variants) do
      it(("is an error for a %s socket, %s"):format(name, variant[1]), function()
        assert.same(RESET, seen("tcp", variant[2], read, function(client) client:resetAndDestroy() end))
      end)

      it(("is one over a Unix socket if bytes are unread there: %s, %s"):format(name, variant[1]), function()
        local options = { unread = true }
        for key, value in pairs(variant[2]) do options[key] = value end
        assert.same(RESET, seen("unix", options, read, function(client) client:destroy() end))
      end)
    end
  end

  it("a plain close of a Unix socket is an end and stays one", function()
    assert.same({ ["end, close false"] = RESETS },
      seen("unix", {}, readers.flowing, function(client) client:destroy() end))
    assert.same({ ["end, close false"] = RESETS },
      seen("unix", variants[2][2], readers.readable, function(client) client:destroy() end))
  end)

  it("gives what was read before it, and the error once", function()
    local note, log = support.recorder()
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    sockets.watch(peer, note)
    client:write(TEXT)
    client:resetAndDestroy()
    sockets.settle()
    peer:on("data", function(chunk) note("data", chunk) end):resume()
    support.run()
    assert.same({ "resume", "data " .. TEXT, "error ECONNRESET", "close true" }, log)
    assert.equal(#TEXT, peer.bytesRead)
    assert.is_true(peer.destroyed)
  end)

  it("is told after net.stop() too", function()
    local note, log = support.recorder()
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    sockets.watch(peer, note)
    client:write(TEXT)
    client:resetAndDestroy()
    sockets.settle()
    peer:on("data", function(chunk) note("data", chunk) net.stop() end):resume()
    repeat until not net.run()
    assert.same({ "resume", "data " .. TEXT, "error ECONNRESET", "close true" }, log)
  end)
end)

describe("an end that comes together with data", function()
  after_each(support.clean)

  -- A pipe that gives one packet for each read, as a terminal gives one line.
  it("comes after all of the data, though a read gives only a part of it", function()
    local library, why = support.compile([[
      #define _GNU_SOURCE
      #include <fcntl.h>
      #include <lauxlib.h>
      #include <string.h>
      #include <unistd.h>
      static int packets(lua_State *L) { /* (text, ...): the reading end of a pipe with a packet for each */
        int fds[2], i;
        if (pipe2(fds, O_DIRECT | O_CLOEXEC) != 0) return luaL_error(L, "no pipe of packets");
        for (i = 1; i <= lua_gettop(L); i++) {
          const char *text = luaL_checkstring(L, i);
          if (write(fds[1], text, strlen(text)) < 0) return luaL_error(L, "not written");
        }
        close(fds[1]);
        lua_pushinteger(L, fds[0]);
        return 1;
      }
      int luaopen_packets(lua_State *L) {
        lua_pushcfunction(L, packets);
        return 1;
      }
    ]], "$(pkg-config --cflags lua5.4)")
    if not library then return pending(why) end
    local packets = assert(package.loadlib(library, "luaopen_packets"))()
    local note, log = support.recorder()
    local socket = net.Socket { fd = packets("one", "two", "three"), readable = true, writable = false }
    socket:on("data", function(chunk) note("data", chunk) end)
    socket:on("end", function() note "end" end)
    socket:on("close", function(failed) note("close", failed) end)
    support.run()
    assert.same({ "data one", "data two", "data three", "end", "close false" }, log)
  end)
end)

-- ---- writes that were cut off ----

-- A client with a write in flight to a peer that does not read, and two that wait behind it.
local function stuck(note, kind)
  local client, peer = sockets.pair { kind = kind, server = { pauseOnConnect = true } }
  sockets.watch(client, note)
  peer:on("error", function() end)
  client:write(("x"):rep(8000000), sockets.callback(note, "in flight"))
  client:write("two", sockets.callback(note, "queued"))
  client:write "three"
  return client, peer
end

describe("a write that is cut off", function()
  after_each(support.clean)

  local ways = {
    ["destroy()"] = { "in flight ECANCELED", "queued ECANCELED", "end ECANCELED", "close false",
      function(client) client:destroy() end },
    ["destroy(err)"] = { "error mine", "in flight ECANCELED", "queued mine", "end mine", "close true",
      function(client) client:destroy(net.Error "mine") end },
    ["a reset by the peer"] = { "error ECONNRESET", "in flight ECANCELED", "queued ECONNRESET", "end ECONNRESET",
      "close true", function(client, peer)
        client:resume()
        peer:resetAndDestroy()
      end },
    ["resetAndDestroy()"] = { "in flight ECANCELED", "queued ECANCELED", "end ECANCELED", "close false",
      function(client) client:resetAndDestroy() end },
  }
  for name, way in pairs(ways) do
    for _, last in ipairs { "end_(fn)", "end_(data, fn)" } do
      it(("calls back with an error, once: %s after %s"):format(name, last), function()
        local note, log = support.recorder()
        local client, peer = stuck(note, "tcp")
        if last == "end_(fn)" then
          client:end_(sockets.callback(note, "end"))
        else
          client:end_("last", sockets.callback(note, "end"))
        end
        way[#way](client, peer)
        support.run_until(function() return #log > 0 and log[#log]:find "^close" end)
        peer:destroy()
        support.run()
        if log[1] == "resume" then table.remove(log, 1) end
        assert.same(table.move(way, 1, #way - 1, 1, {}), log)
        assert.equal(0, client.writableLength)
      end)
    end
  end

  it("tells libuv's error in Node's words", function()
    local err
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    peer:on("error", function() end)
    client:write(("x"):rep(8000000), function(e) err = e end)
    client:destroy()
    support.run_until(function() return err end)
    peer:destroy()
    support.run()
    assert.same({ "write ECANCELED", "ECANCELED", "write" }, { err.message, err.code, err.syscall })
    assert.equal("integer", math.type(err.errno))
    assert.equal(err, client.errored)
  end)

  it("that is corked gets ERR_STREAM_DESTROYED", function()
    local note, log = support.recorder()
    local client, peer = sockets.pair()
    sockets.watch(client, note)
    client:cork()
    client:write("one", sockets.callback(note, "one"))
    client:write("two", sockets.callback(note, "two"))
    client:destroy()
    peer:resume()
    support.run()
    assert.same({ "one ERR_STREAM_DESTROYED", "two ERR_STREAM_DESTROYED", "close false" }, log)
  end)
end)

-- ---- writes that fail ----

describe("a write to a connection that was reset", function()
  after_each(support.clean)

  -- A socket whose peer has reset it, which it does not know yet.
  local function reset_pair(note)
    local client, peer = sockets.pair { server = { pauseOnConnect = true } }
    sockets.watch(peer, note)
    client:resetAndDestroy()
    sockets.settle()
    return peer
  end

  local function ticks(note, name, depth)
    net.nextTick(function()
      note("tick " .. name .. depth)
      if depth < 3 then ticks(note, name, depth + 1) end
    end)
  end

  local function in_callback(fn)
    net.setImmediate(fn)
    support.run()
  end

  it("is an error after the ticks that were queued by then, not after those that they queue", function()
    local note, log = support.recorder()
    local peer = reset_pair(note)
    in_callback(function()
      ticks(note, "a", 1)
      peer:write "x"
      ticks(note, "b", 1)
      note("sync", peer.destroyed)
      net.nextTick(function() note("destroyed", peer.destroyed) end)
    end)
    assert.same({
      "sync false", "tick a1", "tick b1", "destroyed true", "tick a2", "error ECONNRESET", "tick b2", "tick a3",
      "tick b3", "close true",
    }, log)
  end)

  it("in a tick too", function()
    local note, log = support.recorder()
    local peer = reset_pair(note)
    in_callback(function()
      net.nextTick(function()
        peer:write "x"
        ticks(note, "b", 1)
      end)
    end)
    assert.same({ "tick b1", "error ECONNRESET", "tick b2", "tick b3", "close true" }, log)
  end)

  it("leaves the socket undestroyed when end_ returns", function()
    local note, log = support.recorder()
    local peer = reset_pair(note)
    in_callback(function()
      peer:write "x"
      peer:end_(sockets.callback(note, "end"))
      note("sync", peer.destroyed)
      ticks(note, "a", 3)
    end)
    assert.same({ "sync false", "end ECONNRESET", "tick a3", "error ECONNRESET", "close true" }, log)
  end)

  it("does not count, and shows in errored at once", function()
    local note, log = support.recorder()
    local peer = reset_pair(note)
    in_callback(function()
      peer:write "x"
      note(peer.bytesWritten, peer.errored and peer.errored.code)
    end)
    assert.same({ "0 ECONNRESET", "error ECONNRESET", "close true" }, log)
  end)

  it("by a pipe tells the reset, not what came of it", function()
    local note, log = support.recorder()
    local peer = reset_pair(note)
    local source, sender = sockets.pair()
    source:pipe(peer)
    sender:end_ "x"
    source:on("close", function() note "source closed" end)
    support.run_until(function() return log[#log] == "close true" end)
    source:destroy()
    support.run()
    assert.same({ "error ECONNRESET", "close true", "source closed" }, log)
  end)
end)
