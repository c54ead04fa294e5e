-- Static HTTP/1.1 server: serves the files of a directory to browsers, with keep-alive and pipelining. Shows a protocol
-- parsed from a stream, large files sent no faster than each client reads, and connections closed when idle.
--
--   lua5.4 examples/static_http.lua [dir] [port] [host]     default: . 8080 127.0.0.1
--
-- Try it: `lua5.4 examples/static_http.lua examples`, then `curl -i http://127.0.0.1:8080/README.md`, or a browser, or
-- `wrk -c100 -d5s http://127.0.0.1:8080/README.md`. A directory is its index.html; names that begin with a dot are not
-- served; symbolic links are followed. Ctrl-C lets the answers under way finish, and stops.

local net = require "cnet"

local HEAD_LIMIT <const> = 16 * 1024 -- bytes of a request's head
local BODY_LIMIT <const> = 64 * 1024 -- bytes of a request's body (which nobody here needs)
local CHUNK <const> = 64 * 1024 -- bytes of a file that are read at once
local IDLE <const> = 15000 -- ms without any activity before a connection is closed
local GRACE <const> = 5000 -- ms for the answers under way when the server stops

local function usage()
  io.stderr:write("usage: lua5.4 ", arg[0], " [dir] [port] [host]\n")
  os.exit(2)
end

local root = (arg[1] or "."):gsub("(.)/+$", "%1")
local port = tonumber(arg[2] or 8080) or usage()
local host = arg[3] or "127.0.0.1"

local HEAD <const> = table.concat({
  "HTTP/1.1 %d %s", "Date: %s", "Content-Type: %s", "Content-Length: %d", "Connection: %s", "%s\r\n",
}, "\r\n")

local REASONS <const> = {
  [200] = "OK", [301] = "Moved Permanently", [400] = "Bad Request", [403] = "Forbidden", [404] = "Not Found",
  [405] = "Method Not Allowed", [411] = "Length Required", [413] = "Content Too Large",
  [431] = "Request Header Fields Too Large", [503] = "Service Unavailable", [505] = "HTTP Version Not Supported",
}

local TYPES <const> = {
  html = "text/html; charset=utf-8", htm = "text/html; charset=utf-8", css = "text/css; charset=utf-8",
  js = "text/javascript; charset=utf-8", mjs = "text/javascript; charset=utf-8", json = "application/json",
  txt = "text/plain; charset=utf-8", md = "text/plain; charset=utf-8", lua = "text/plain; charset=utf-8",
  xml = "application/xml", svg = "image/svg+xml", png = "image/png", jpg = "image/jpeg", jpeg = "image/jpeg",
  gif = "image/gif", webp = "image/webp", ico = "image/x-icon", woff2 = "font/woff2", mp3 = "audio/mpeg",
  mp4 = "video/mp4", webm = "video/webm", pdf = "application/pdf", wasm = "application/wasm", gz = "application/gzip",
}

-- ---- files ----

local ENOENT <const>, EACCES <const>, EISDIR <const>, ENFILE <const>, EMFILE <const> = 2, 13, 21, 23, 24
local STATUS_OF <const> = { [EACCES] = 403, [ENFILE] = 503, [EMFILE] = 503 }

-- Gives the open file and its size, or nil and the errno: EISDIR for a directory, which io.open opens too.
local function open(path)
  local file, _, errno = io.open(path, "rb")
  if not file then return nil, errno end
  _, _, errno = file:read(0) -- an empty file gives no errno here
  local size = not errno and file:seek("end")
  if size then
    file:seek("set")
    return file, size
  end
  file:close()
  return nil, errno or ENOENT
end

if select(2, open(root .. "/.")) ~= EISDIR then
  io.stderr:write("static_http: not a directory: ", root, "\n")
  os.exit(1)
end

-- The path of a request's target, decoded and with no empty or "." part; or nil and a status.
local function path_of(target)
  local path = target:gsub("^%a[%w+.-]*://[^/?#]*", ""):match("^[^?#]*")
  if path == "" and target:find("^%a") then path = "/" end -- http://host
  local bad = path:sub(1, 1) ~= "/"
  path = path:gsub("%%(%x?%x?)", function(hex)
    if #hex == 2 then return string.char(tonumber(hex, 16)) end
    bad = true
  end)
  if bad or path:find("\0", 1, true) then return nil, 400 end
  local parts = {}
  for part in path:gmatch("[^/]+") do
    if part ~= "." then
      if part:sub(1, 1) == "." then return nil, 404 end -- "..", and .git and its like
      parts[#parts + 1] = part
    end
  end
  return (#parts > 0 and "/" or "") .. table.concat(parts, "/") .. (path:find("/%.?$") and "/" or "")
end

-- ---- requests ----

-- Reads a head, without the empty line at its end; gives the request, or nil and a status.
local function parse(head)
  local method, target, major, minor = head:match("^(%u+) (%S+) HTTP/(%d)%.(%d)\r?\n")
  if not method then return nil, 400 end
  if major ~= "1" then return nil, 505 end
  local fields = {}
  for line in head:sub(head:find("\n", 1, true) + 1):gmatch("([^\n]*)\n") do
    local name, value = line:match("^([%w!#$%%&'*+.^_`|~-]+):[ \t]*(.*)$")
    value = name and value:match("^.*[^ \t\r]") or "" -- from the end: `(.-)[ \t\r]*$` is slow where blanks are many
    if not name or value:find("[\0\r]") then return nil, 400 end
    name = name:lower()
    fields[name] = fields[name] and fields[name] .. ", " .. value or value
  end
  if minor ~= "0" and not fields.host then return nil, 400 end
  if fields["transfer-encoding"] then return nil, 411 end
  local length = fields["content-length"] or "0"
  if not length:find("^%d+$") then return nil, 400 end
  if #length > 9 or tonumber(length) > BODY_LIMIT then return nil, 413 end

  local options = "," .. (fields.connection or ""):lower():gsub("[ \t]", "") .. ","
  local keep_alive
  if minor == "0" then
    keep_alive = options:find(",keep-alive,", 1, true) ~= nil
  else
    keep_alive = not options:find(",close,", 1, true)
  end
  -- Who expects a "100 Continue" may send its body or not once it has the answer: then no other request can follow.
  keep_alive = keep_alive and not fields.expect
  return { method = method, target = target, length = tonumber(length), keep_alive = keep_alive }
end

-- ---- connections ----
-- conn.input from conn.pos on is not yet looked at; conn.skip bytes of it are the body of the request before;
-- conn.file is what is being sent, conn.left bytes of it; conn.blocked: the client has to read first ('drain');
-- conn.ended: the client sends no more; conn.closing: it gets no further answer.

local connections = {}
local stopping = false
local date, date_time

local function http_date()
  local now = os.time()
  if now ~= date_time then date_time, date = now, os.date("!%a, %d %b %Y %H:%M:%S GMT", now) end
  return date
end

local function write(conn, data) conn.blocked = not conn.socket:write(data) end

local function close_file(conn)
  if conn.file then conn.file:close() end
  conn.file = nil
end

-- The end of our side; what the client still sends is read and thrown away, since a close would cut off the answer.
local function finish(conn)
  conn.closing = true
  conn.input, conn.pos = "", 1
  conn.socket:end_()
end

-- Sends the next chunk of the file, after `head` if it is the first.
local function send_chunk(conn, head)
  local chunk = conn.left == 0 and "" or conn.file:read(math.min(conn.left, CHUNK))
  if not chunk then -- the file was cut while we read it: that the answer breaks off says so
    close_file(conn)
    return conn.socket:destroy()
  end
  conn.left = conn.left - #chunk
  if conn.left == 0 then
    close_file(conn)
    write(conn, head .. chunk)
    if not conn.keep_alive then finish(conn) end
  else
    write(conn, head .. chunk)
  end
end

-- body: a string, or an open file with conn.left bytes.
local function reply(conn, request, status, kind, length, body, more)
  conn.keep_alive = request.keep_alive and not stopping
  local head = HEAD:format(status, REASONS[status], http_date(), kind, length,
    conn.keep_alive and "keep-alive" or "close", more or "")
  if request.method == "HEAD" then
    if type(body) ~= "string" then body:close() end
    body = ""
  end
  if type(body) ~= "string" then
    conn.file, conn.left = body, length
    return send_chunk(conn, head)
  end
  write(conn, head .. body)
  if not conn.keep_alive then finish(conn) end
end

local function reply_status(conn, request, status, more)
  local body = ("%d %s\n"):format(status, REASONS[status])
  reply(conn, request, status, "text/plain; charset=utf-8", #body, body, more)
end

local function answer(conn, request)
  if request.method ~= "GET" and request.method ~= "HEAD" then
    return reply_status(conn, request, 405, "Allow: GET, HEAD\r\n")
  end
  local path, status = path_of(request.target)
  if not path then return reply_status(conn, request, status) end
  if path:sub(-1) == "/" then path = path .. "index.html" end
  local file, size = open(root .. path)
  if file then
    local kind = TYPES[(path:match("%.(%w+)$") or ""):lower()] or "application/octet-stream"
    return reply(conn, request, 200, kind, size, file)
  end
  if size == EISDIR then -- links in its index.html are relative to "dir/"
    local location = path:gsub("[^%w/._~-]", function(c) return ("%%%02X"):format(c:byte()) end)
    return reply_status(conn, request, 301, "Location: " .. location .. "/\r\n")
  end
  reply_status(conn, request, STATUS_OF[size] or 404)
end

local REFUSED <const> = { method = "GET", keep_alive = false }

-- Takes the next request out of the input and answers it; false if it is not all there yet.
local function next_request(conn)
  local input = conn.input
  local skipped = math.min(conn.skip, #input - conn.pos + 1)
  conn.skip = conn.skip - skipped
  conn.pos = input:find("[^\r\n]", conn.pos + skipped) or #input + 1 -- empty lines before a request are let pass
  local last, after = input:match("\n()\r?\n()", conn.pos)
  if (last or #input + 1) - conn.pos > HEAD_LIMIT then
    reply_status(conn, REFUSED, 431)
    return true
  end
  if not last then
    conn.input, conn.pos = input:sub(conn.pos), 1
    return false
  end
  local request, status = parse(input:sub(conn.pos, last - 1))
  conn.pos = after
  if request then
    conn.skip = request.length
    answer(conn, request)
  else
    reply_status(conn, REFUSED, status)
  end
  return true
end

-- Goes on as far as it can: with the file that is being sent, then with the requests that have come.
local function advance(conn)
  while not (conn.blocked or conn.closing or conn.socket.destroyed) do
    if conn.file then
      send_chunk(conn, "")
      if conn.file and not conn.blocked then
        net.setImmediate(advance, conn) -- the other connections first
        return
      end
    elseif not next_request(conn) then
      if conn.socket:isPaused() then conn.socket:resume() end
      if conn.ended or stopping then finish(conn) end
      return
    end
  end
end

local server = net.createServer({ allowHalfOpen = true, noDelay = true }, function(socket)
  local conn = { socket = socket, input = "", pos = 1, skip = 0 }
  connections[conn] = true
  socket:on("data", function(chunk)
    if conn.closing then return end
    conn.input = conn.input:sub(conn.pos) .. chunk
    conn.pos = 1
    if not (conn.file or conn.blocked) then
      advance(conn)
    elseif #conn.input > HEAD_LIMIT then
      socket:pause() -- it sends requests faster than it reads the answers
    end
  end)
  socket:on("drain", function()
    conn.blocked = false
    advance(conn)
  end)
  socket:on("end", function()
    conn.ended = true
    if not (conn.file or conn.blocked or conn.closing) then finish(conn) end
  end)
  socket:on("error", function(err)
    if err.code ~= "ECONNRESET" and err.code ~= "EPIPE" then io.stderr:write("static_http: ", tostring(err), "\n") end
  end)
  socket:on("close", function()
    close_file(conn)
    connections[conn] = nil
  end)
end)

io.stdout:setvbuf("line")
local failed = false
server:on("error", function(err)
  io.stderr:write("static_http: ", tostring(err), "\n")
  failed = not server.listening
end)
server:on("listening", function()
  local address = server:address()
  local form = address.family == "IPv6" and "listening on http://[%s]:%d/" or "listening on http://%s:%d/"
  print(form:format(address.address, address.port))
end)
net.setInterval(function() server:closeIdleConnections(IDLE) end, IDLE // 3):unref() -- keeps nothing alive

local function stop()
  stopping = true -- each answer from now on says "Connection: close"
  server:close()
  for conn in pairs(connections) do
    if not (conn.file or conn.blocked or conn.closing) then finish(conn) end
  end
  net.setTimeout(function() server:closeAllConnections() end, GRACE):unref()
end
net.process:once("SIGINT", stop)
net.process:once("SIGTERM", stop)

server:listen(port, host)
net.run()
os.exit(not failed, true)
