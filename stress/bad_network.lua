-- Clients that reset, stall, read and write slowly, and flood, against a server in a process of its own; see
-- bad_network.sh. What they ask for is counted on both sides, and clients that behave are served all the while.

local net = require "cnet"
local trial = require "stress.trial"

local scale, room = trial.scale, trial.room

local function ignore() end

-- ---- connect and reset ----

local resets = {}

-- As soon as it is connected.
function resets.at_once(socket) socket:resetAndDestroy() end

-- With data on its way.
function resets.after_write(socket)
  socket:write("lost", function() socket:resetAndDestroy() end)
end

-- With the answer read.
function resets.after_answer(socket)
  socket:write "answer"
  socket:on("data", function() socket:resetAndDestroy() end)
end

local reset_kinds = { "at_once", "after_write", "after_answer" }

local function reset_clients(server, total)
  return trial.many(total, 100, function(i, done)
    if i % 10 == 0 then return server:exchange(i, done) end
    local socket = net.connect(server:at(i))
    socket:on("error", ignore)
    socket:on("close", function() done "reset" end)
    resets[reset_kinds[i % #reset_kinds + 1]](socket)
  end)
end

-- The server is stopped while they come and go: each is reset when it is accepted.
local function reset_before_accept(server, total)
  local accepted = server:idle().accepted -- there is room for all of them in its backlog
  server.child:kill "SIGSTOP"
  trial.many(total, total, function(i, done)
    local socket = net.connect(server:at(i))
    socket:on("error", ignore)
    socket:on("close", function() done() end)
    socket:resetAndDestroy()
  end)
  server.child:kill "SIGCONT"
  server:idle(accepted + total)
  return total
end

-- Clients that do not wait for an answer get ahead of the server, by as many as its backlog holds. It has had that many
-- at once before its memory is looked at.
local BACKLOG = room(4000)

local function connect_and_reset(kind)
  local server = trial.start(kind, "echo")
  local outcomes, before, accepted
  local steady = server:steady(function(full)
    local total = full and scale(110000, 6000) or scale(10000, 3000)
    accepted = server:report().accepted
    outcomes = reset_clients(server, total)
    server:idle(accepted + total)
    before = full and 0 or reset_before_accept(server, BACKLOG)
    for _ = 1, 10 do before = before + reset_before_accept(server, total // 200) end
    server:must(outcomes.served == total // 10, "served %d of %d", outcomes.served, total // 10)
    local report = server:idle()
    server:must(report.accepted - accepted == total + before, "accepted %d of %d", report.accepted - accepted,
      total + before)
  end)
  trial.line("connect and reset", "%d resets, %d of them before they were accepted; %d served between; %s",
    outcomes.reset + before, before, outcomes.served, steady)
  server:stop()
end

-- ---- half-open ----

-- Thousands connect and say nothing; the others are served as ever.
local function silent_clients(kind)
  local server = trial.start(kind, "echo")
  local outcomes, held
  local steady = server:steady(function()
    local sockets, total = {}, room(scale(8000, 1500))
    trial.many(total, 200, function(i, done)
      sockets[i] = net.connect(server:at(i), function() done() end)
      sockets[i]:on("error", ignore)
    end)
    held = server:settled(function(r) return r.open == total end).open
    server:must(held == total, "%d of %d are open", held, total)
    outcomes = trial.many(scale(2000, 300), 20, function(i, done) server:exchange(i, done) end)
    server:must(outcomes.served == scale(2000, 300), "served %d", outcomes.served)
    trial.many(total, total, function(i, done)
      sockets[i]:on("close", function() done() end)
      if i % 2 == 0 then sockets[i]:resetAndDestroy() else sockets[i]:destroy() end
    end)
  end)
  trial.line("silent clients", "%d held, %d served beside them; %s", held, outcomes.served, steady)
  server:stop()
end

-- Thousands end their side and go on reading: each gets its answer.
local function half_closed_clients(kind)
  local server = trial.start(kind, "late")
  local outcomes
  local steady = server:steady(function()
    local total = room(scale(5000, 1000))
    local all_ended = {}
    local ended = 0
    outcomes = trial.many(total, total, function(i, done)
      local got, message = "", ("half-closed %d"):format(i)
      local socket = net.connect { port = server.port, host = server:at(i).host, allowHalfOpen = true }
      socket:on("connect", function()
        socket:write(message)
        all_ended[i] = socket
        ended = ended + 1
        if ended == total then -- all stand open before the first half is closed
          for _, one in pairs(all_ended) do one:end_() end
        end
      end)
      socket:on("data", function(chunk) got = got .. chunk end)
      socket:on("error", ignore)
      socket:on("close", function() done(got == message and "served" or "lost") end)
    end)
    server:must(outcomes.served == total, "served %d of %d", outcomes.served, total)
  end)
  trial.line("half-closed clients", "%d served, %d lost; %s", outcomes.served, outcomes.lost, steady)
  server:stop()
end

-- ---- slow ----

local PATTERN = ("0123456789abcdef"):rep(8192)

-- Are these the bytes of the pattern from this place on?
local function is_pattern(chunk, place)
  local from = place % 16
  return #chunk + from <= #PATTERN and chunk == PATTERN:sub(from + 1, from + #chunk)
end

local function slow_readers(kind)
  local size = scale(512, 256) * 1024
  local server = trial.start(kind, "big", size)
  local outcomes
  local steady = server:steady(function()
    local total = room(scale(2000, 300))
    outcomes = trial.many(total, total, function(i, done)
      local got, wrong = 0, false
      local socket = net.connect(server:at(i))
      socket:on("data", function(chunk)
        wrong = wrong or not is_pattern(chunk, got)
        got = got + #chunk
        socket:pause()
        net.setTimeout(function() socket:resume() end, 50)
      end)
      socket:on("error", ignore)
      socket:on("close", function() done(wrong and "wrong" or got == size and "served" or "cut") end)
    end)
    server:must(outcomes.served == total, "served %d of %d", outcomes.served, total)
  end)
  trial.line("slow readers", "%d got all of %d KiB, %d cut, %d wrong; at most %.1f MiB; %s", outcomes.served,
    size // 1024, outcomes.cut, outcomes.wrong, server:peak(), steady)
  server:stop()
end

-- One byte at a time.
local function slow_writers(kind)
  local server = trial.start(kind, "echo")
  local outcomes
  local steady = server:steady(function()
    local total, size = room(scale(3000, 500)), 32
    outcomes = trial.many(total, total, function(i, done)
      local message, got, sent = ("%032d"):format(i), "", 0
      local socket = net.connect(server:at(i))
      local timer
      socket:on("connect", function()
        timer = net.setInterval(function()
          sent = sent + 1
          if sent <= size then socket:write(message:sub(sent, sent)) end
        end, 50)
      end)
      socket:on("data", function(chunk)
        got = got .. chunk
        if #got >= size then socket:end_() end
      end)
      socket:on("error", ignore)
      socket:on("close", function()
        if timer then net.clearInterval(timer) end
        done(got == message and "served" or "lost")
      end)
    end)
    server:must(outcomes.served == total, "served %d of %d", outcomes.served, total)
  end)
  trial.line("slow writers", "%d served, %d lost; %s", outcomes.served, outcomes.lost, steady)
  server:stop()
end

-- ---- a reset in the middle of a large write ----

-- Each reset has to be told by 'error', and each write to call back once: with an error or, as in Node where the socket
-- was destroyed before the write was over, without.
local function reset_in_write(kind)
  local size = 32 * 1024 * 1024 -- more than the kernel takes on both sides
  local server = trial.start(kind, "big", size)
  local outcomes, callbacks, told
  local steady = server:steady(function(full)
    local total = full and scale(5000, 500) or scale(1000, 300)
    if not full then reset_before_accept(server, BACKLOG) end
    local last = server:idle()
    outcomes = trial.many(total, 50, function(i, done)
      local got = 0
      local socket = net.connect(server:at(i))
      socket:on("data", function(chunk)
        got = got + #chunk
        if i % 25 > 0 then socket:resetAndDestroy() end
      end)
      socket:on("error", ignore)
      socket:on("close", function() done(i % 25 > 0 and "reset" or got == size and "served" or "lost") end)
    end)
    local report = server:idle(last.accepted + total)
    callbacks = report.cut + report.written - last.cut - last.written
    told = report.error_ECONNRESET + report.error_EPIPE - last.error_ECONNRESET - last.error_EPIPE
    server:must(callbacks == total, "%d of %d writes called back", callbacks, total)
    server:must(told == outcomes.reset, "%d of %d resets were told", told, outcomes.reset)
  end)
  trial.line("reset in a write of 32 MiB", "%d resets, %d 'error' of sockets, %d writes called back; %d served; %s",
    outcomes.reset, told, callbacks, outcomes.served, steady)
  server:stop()
end

-- ---- no descriptors left ----

-- More clients than descriptors, all waiting at once: some are served, the others let go; those that are served hold
-- theirs until all know; after that there is room again.
local function no_descriptors(kind)
  local server = trial.start(kind, "echo", 0, 100)
  local served, refused, after = 0, 0, 0
  local steady = server:steady(function(full)
    served, refused, after = 0, 0, 0
    for _ = 1, full and scale(50, 5) or 2 do
      local holders = {}
      server.child:kill "SIGSTOP"
      local connected = 0
      local outcomes = trial.many(300, 300, function(i, done)
        local socket = net.connect(server:at(i))
        socket:on("connect", function()
          socket:write "anybody there?"
          connected = connected + 1
          if connected == 300 then server.child:kill "SIGCONT" end -- all of them wait
        end)
        socket:on("data", function()
          holders[#holders + 1] = socket
          done "served"
        end)
        socket:on("error", ignore)
        socket:on("close", function() done "refused" end)
      end)
      served, refused = served + outcomes.served, refused + outcomes.refused
      server:must(outcomes.served > 50, "served only %d", outcomes.served)
      trial.many(#holders, #holders, function(i, done)
        holders[i]:on("close", function() done() end)
        holders[i]:destroy()
      end)
      server:idle()
      outcomes = trial.many(50, 50, function(i, done) server:exchange(i, done) end)
      after = after + outcomes.served
      server:must(outcomes.served == 50, "served %d of 50 once descriptors were free again", outcomes.served)
      server:idle()
    end
  end)
  local report = server:report()
  trial.line("no descriptors left", "%d served, %d let go, %d served when there were some; %d 'error'; %s",
    served, refused, after, report.server_error_EMFILE, steady)
  server:stop()
end

-- ---- maxConnections and blockList ----

local function max_connections(kind)
  if kind == "luv" then return trial.line("maxConnections", "luv has none") end
  local limit = 100
  local server = trial.start(kind, "full", limit)
  local outcomes, drops, freed
  local steady = server:steady(function(full)
    local total = full and scale(50000, 3000) or scale(5000, 1000)
    local dropped, holders = server:report().drop, {}
    trial.many(limit, limit, function(i, done)
      holders[i] = net.connect(server:at(i))
      holders[i]:on("connect", function() holders[i]:write "mine" end)
      holders[i]:once("data", function() done() end)
    end)
    outcomes = trial.many(total, 200, function(i, done) server:exchange(i, done) end)
    drops = server:report().drop - dropped
    server:must(outcomes.refused == total and drops == total, "refused %d of %d, with %d 'drop'", outcomes.refused,
      total, drops)
    local kept = trial.many(limit, limit, function(i, done)
      holders[i]:on("data", function(chunk) done(chunk == "still" and "kept" or "wrong") end)
      holders[i]:write "still"
    end)
    server:must(kept.kept == limit, "kept %d of %d", kept.kept, limit)
    for i = 1, limit do holders[i]:destroy() end
    server:idle()
    freed = trial.many(limit, limit, function(i, done) server:exchange(i, done) end).served
    server:must(freed == limit, "served %d of %d once there was room", freed, limit)
  end)
  trial.line("maxConnections 100", "%d let go, %d 'drop', the 100 kept, then %d served; %s", outcomes.refused, drops,
    freed, steady)
  server:stop()
end

-- Those that are blocked come in crowds larger than maxConnections; they must not take the place of the others.
local function block_list(kind)
  if kind ~= "cnet" then return trial.line("blockList", "%s has none for servers", kind) end
  local server = trial.start(kind, "blocking", 50)
  local blocked, refused, served = 0, nil, nil
  local steady = server:steady(function(full)
    local total = full and scale(50000, 3000) or scale(5000, 1000)
    local both = trial.together(function()
      return trial.many(total, 300, function(i, done) server:exchange(i, done, ("127.2.0.%d"):format(i % 200 + 1)) end)
    end, function()
      return trial.many(total // 10, 20, function(i, done) server:exchange(i, done, "127.3.0.1") end)
    end)
    refused, served = both[1].refused, both[2].served
    blocked = blocked + refused
    server:must(refused == total, "refused %d of %d that are blocked", refused, total)
    server:must(served == total // 10, "served %d of %d", served, total // 10)
    for _ = 1, 10 do -- all of them wait before the first is accepted
      server.child:kill "SIGSTOP"
      local connected = 0
      local crowd = trial.many(300, 300, function(i, done)
        local socket = server:exchange(i, done, i % 10 == 0 and "127.3.0.1" or "127.2.0.1")
        socket:on("connect", function()
          connected = connected + 1
          if connected == 300 then server.child:kill "SIGCONT" end
        end)
      end)
      server:must(crowd.served == 30 and crowd.refused == 270, "served %d, refused %d of a crowd", crowd.served,
        crowd.refused)
      blocked = blocked + crowd.refused
    end
  end)
  local report = server:report()
  server:must(report.drop == blocked, "%d 'drop' for %d that are blocked", report.drop, blocked)
  trial.line("blockList", "%d let go, %d others served beside them, %d 'drop'; %s", refused, served, report.drop,
    steady)
  server:stop()
end

trial.main(function(kind)
  connect_and_reset(kind)
  silent_clients(kind)
  half_closed_clients(kind)
  slow_readers(kind)
  slow_writers(kind)
  reset_in_write(kind)
  no_descriptors(kind)
  max_connections(kind)
  block_list(kind)
end)
