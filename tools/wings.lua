-- The one place that states the order of src/: its wings, in each the rooms (a .c and its .h), and what they are. A
-- file includes rooms that stand before its own, and nothing else. spec/layers_spec.lua holds the files to it: their
-- folders, their #include lines, the wing that each header names. README's table is made of it:
--
--   lua5.4 tools/wings.lua            prints the table
--   lua5.4 tools/wings.lua --write    puts it into README.md

local wings = {
  { "core",
    { "room runtime pins ticks",
      "what a Lua state has: its loop, what libuv may call, what runs next, what each room keeps" },
    { "received error", "error objects, and how their texts show a value" },
    { "blame protect interrupt loop", "whose error it is, the one door into Lua, Ctrl-C, `net.run`" },
    { "class block args", "classes as tables of members, bytes that grow, readers of arguments" },
    { "timer_list signals", "timers in their order, signals by name" },
    { "strict version", "`net.strict`: misspelt names; which cnet and which libuv this is" } },
  { "os",
    { "socket_file unix_address", "what differs between POSIX and Windows: the files and addresses of Unix sockets" } },
  { "text",
    { "encoding json_text json_reader json_writer", "text and bytes, Lua values as JSON" },
    { "address path", "IP addresses, absolute and relative paths" },
    { "socket_address rule_list rule_text private_ranges block_list",
      "`SocketAddress`, `BlockList`: its rules, their texts, the class" } },
  { "event",
    { "emitter timer immediate abort", "events, timers, `AbortController`" } },
  { "handle",
    { "handle options listen requests gather",
      "the libuv handle: its life, options, listening, writing and connecting; small writes that leave together" },
    { "native bound_socket", "handles that are nobody's yet: those of other processes, and `net.BoundSocket`" } },
  { "stream",
    { "stream writable read_buffer readable renewal",
      "the two halves of a stream, what they share, what was read and not taken, a life after destroy" } },
  { "socket",
    { "lookup", "name lookup" },
    { "socket options state class", "`net.Socket`: a stream over a handle, options, properties, the class" },
    { "attempt connector pipe", "connecting, `pipe`" } },
  { "server",
    { "listen_options listen_handle", "what `listen` was asked for, and the handle for it" },
    { "connections errors holders listening server",
      "`net.Server`: its connections, those in other processes, listening, the class" } },
  { "process",
    { "line_in line_out channel_out channel socket_list handoff ipc", "messages and handles between processes" },
    { "process spawn_options child_process shared_loop", "`net.process`, `fork`, `net.useLuv`" } },
  { "cluster",
    { "cluster settings worker wire worker_clients query", "what a cluster's primary and workers share" },
    { "round_robin shared_handle primary child", "the two sides of a cluster" } },
}

local function table_of_wings()
  local lines = { "| wing | files | what they are |", "| --- | --- | --- |" }
  for _, wing in ipairs(wings) do
    for i = 2, #wing do
      local files = wing[i][1]:gsub("[%w_]+", "`%0`")
      lines[#lines + 1] = ("| %s | %s | %s |"):format(i == 2 and "`" .. wing[1] .. "`" or "", files, wing[i][2])
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- The text of a README with the table of today in it.
local function with_table(readme)
  local before, after = readme:match "^(.-<!%-%- wings %-%->\n\n).-(\n<!%-%- /wings %-%->.*)$"
  return assert(before, "README.md has no place for the table") .. table_of_wings() .. after
end

if arg and arg[0] and arg[0]:find "wings%.lua$" then
  if arg[1] == "--write" then
    local file = assert(io.open("README.md", "r+b"))
    local text = with_table(file:read "a")
    file:close()
    file = assert(io.open("README.md", "wb"))
    file:write(text)
    file:close()
  else
    io.write(table_of_wings())
  end
end

return { wings = wings, with_table = with_table }
