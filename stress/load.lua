-- Many connections at once, and very many one after another, against a server in a process of its own; see load.sh.
-- Every byte is checked, and memory has to be flat.

local net = require "cnet"
local trial = require "stress.trial"

local scale, room = trial.scale, trial.room

-- ---- held ----

local PADDING = ("."):rep(500)

-- Message n of connection i, of 20 bytes or some more, up to some 500.
local function message_of(i, n)
  return ("connection %d, message %d"):format(i, n) .. PADDING:sub(1, (i * 7 + n * 31) % 480)
end

-- Sends one message after the other, each when the one before came back, until over() is true.
local function talk(socket, i, counts, over, done)
  local n, got, message = 0, "", nil
  local function send()
    n = n + 1
    message = message_of(i, n)
    socket:write(message)
  end
  socket:on("data", function(chunk)
    counts.bytes = counts.bytes + #chunk
    got = got == "" and chunk or got .. chunk
    if #got < #message then return end
    if got ~= message then
      counts.wrong = counts.wrong + 1
      return socket:destroy()
    end
    counts.messages = counts.messages + 1
    got = ""
    if over() then
      counts.ended = counts.ended + 1
      socket:end_()
    else
      send()
    end
  end)
  socket:on("close", done)
  send()
end

local function held(kind)
  local total, seconds = room(scale(10000, 1000)), scale(60, 5)
  local server = trial.start(kind, "echo")
  local sockets, samples = {}, {}
  local before = server:memory()
  local counts = { messages = 0, bytes = 0, wrong = 0, ended = 0, errors = 0 }
  trial.many(total, 200, function(i, done)
    sockets[i] = net.connect(server:at(i), function() done() end)
    sockets[i]:on("error", function()
      counts.errors = counts.errors + 1
      done()
    end)
  end)
  local open = server:settled(function(r) return r.open == total end).open
  server:must(open == total, "%d of %d are open", open, total)
  local is_over = false
  net.setTimeout(function() is_over = true end, seconds * 1000)
  local sampler = net.setInterval(function()
    samples[#samples + 1] = ("%.1f"):format(server:memory())
  end, seconds * 1000 // 6 - 50)
  trial.many(total, total, function(i, done)
    talk(sockets[i], i, counts, function() return is_over end, function() done() end)
  end)
  net.clearInterval(sampler)
  local report = server:idle()
  server:must(counts.ended == total and counts.wrong == 0 and counts.errors == 0, "%d of %d came to a good end",
    counts.ended, total)
  server:must(report.bytes == counts.bytes, "%d bytes came, %d went back", report.bytes, counts.bytes)
  server:must(samples[#samples] - samples[1] < 4, "memory grew")
  trial.line(("%d held for %d s"):format(total, seconds), "%d messages, %d bytes, %d wrong, %d lost", counts.messages,
    counts.bytes, counts.wrong, total - counts.ended)
  trial.line("", "MiB of the server %.1f before, held: %s; of the client at the end %.1f", before,
    table.concat(samples, " "), trial.memory())
  server:stop()
end

-- ---- one after another ----

local function one_after_another(kind)
  local total = scale(1000000, 10000)
  local server = trial.start(kind, "echo")
  local samples, served = {}, 0
  local descriptors
  for tenth = 1, 10 do
    local outcomes = trial.many(total // 10, 8, function(i, done) server:exchange(tenth * total // 10 + i, done) end)
    served = served + outcomes.served
    server:idle()
    samples[tenth] = ("%.1f"):format(server:memory())
    descriptors = descriptors or server:descriptors()
    server:must(server:descriptors() == descriptors, "%d descriptors, %d before", server:descriptors(), descriptors)
  end
  server:must(served == total, "served %d of %d", served, total)
  server:must(samples[10] - samples[1] < 2, "memory grew")
  trial.line(("%d in turn"):format(total), "%d served, %d lost; %d descriptors", served, total - served, descriptors)
  trial.line("", "MiB of the server after each tenth: %s; of the client at the end %.1f", table.concat(samples, " "),
    trial.memory())
  server:stop()
end

trial.main(function(kind)
  held(kind)
  one_after_another(kind)
end)
