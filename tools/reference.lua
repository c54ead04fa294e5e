-- Makes docs/reference.md of types/.
--
--   lua5.4 tools/reference.lua            writes it
--   lua5.4 tools/reference.lua --check    fails if it is not what would be written
--
-- As a module, require "tools.reference"() gives the text; spec/docs_spec.lua compares it with the file.

local annotations = require "tools.annotations"

local FILE <const> = "docs/reference.md"

local HEAD <const> = [[
# Reference

<!-- Made of types/ by `lua5.4 tools/reference.lua`: change those and run it. -->

Every name of cnet, as an editor shows it. `name?` may be left out, or be nil. Times are milliseconds and sizes are
bytes, unless said otherwise. "Raises" names errors that are thrown at the caller; [errors.md](errors.md) tells the
cause and the cure of each code. A link to Node leads to the page that says more: it holds, but for what is said here.
]]

-- What an object of the class is called in the examples of its methods.
local VARIABLES <const> = {
  cnet = "net", ["cnet.cluster"] = "cluster", ["net.EventEmitter"] = "emitter", ["net.Server"] = "server",
  ["net.Socket"] = "socket", ["net.process"] = "net.process", ["net.BlockList"] = "list",
  ["net.SocketAddress"] = "address", ["net.Native"] = "native", ["net.BoundSocket"] = "bound",
  ["net.Channel"] = "channel", Timeout = "timeout", Immediate = "immediate",
  AbortController = "controller", AbortSignal = "signal",
  ["cnet.child_process"] = "child_process", ChildProcess = "child", ["cluster.Worker"] = "worker",
}

local model, out

local function write(...) out[#out + 1] = table.concat { ... } end

-- As GitHub makes them of headings.
local function anchor(heading) return (heading:lower():gsub("[^%w_%- ]", ""):gsub(" ", "-")) end

-- ---- types as Markdown ----

local mark

local function mark_list(list, separator)
  local parts = {}
  for i, t in ipairs(list) do parts[i] = mark(t) end
  return table.concat(parts, separator)
end

local markers = {
  name = function(t)
    if t.args then return t.name .. "&lt;" .. mark_list(t.args, ", ") .. "&gt;" end
    if model.classes[t.name] or model.aliases[t.name] then return ("[%s](#%s)"):format(t.name, anchor(t.name)) end
    return t.name
  end,
  array = function(t) return t.of.kind == "union" and "(" .. mark(t.of) .. ")[]" or mark(t.of) .. "[]" end,
  optional = function(t) return mark(t.of) .. "?" end,
  union = function(t) return mark_list(t, " \\| ") end,
}

-- A type for a table's cell or a line of text.
function mark(t)
  local marker = markers[t.kind]
  return marker and marker(t) or "`" .. annotations.text(t):gsub("|", "\\|") .. "`"
end

-- ---- parts ----

-- Text for a table's cell.
local function cell(text) return (text:gsub("\n+", " "):gsub("|", "\\|")) end

local function text(doc)
  if doc ~= "" then write(doc, "\n\n") end
end

local function signature(name, params, returns, class)
  local listed = {}
  for _, param in ipairs(params) do
    if param.name ~= "self" then
      listed[#listed + 1] = annotations.text_of_list { param }
    end
  end
  local results = {}
  for i, result in ipairs(returns) do
    local t = annotations.text(result.type or result)
    results[i] = t == "self" and class or t
  end
  write(name, "(", table.concat(listed, ", "), ")", #results > 0 and " -> " .. table.concat(results, ", ") or "", "\n")
end

local function write_calls(name, method, class)
  write "```\n"
  local params = method.params
  if method.generic then -- shown by what it stands for
    params = {}
    for i, param in ipairs(method.params) do
      local is_generic = annotations.text(param.type) == method.generic.name
      local shown = is_generic and method.generic.type or param.type
      params[i] = { name = param.name, optional = param.optional, type = shown }
    end
  end
  signature(name, params, method.generic and { method.generic.type } or method.returns, class)
  for _, overload in ipairs(method.overloads) do signature(name, overload.params, overload.returns, class) end
  write "```\n\n"
end

local function write_method(class, method)
  local variable = VARIABLES[class.name]
  local name = method.colon and variable .. ":" .. method.name or method.name
  if not method.colon then
    local short = class.name:match "^net%.(%u%w+)$"
    name = (short and "net." .. short or variable) .. "." .. method.name
  end
  write("### ", name, "\n\n")
  write_calls(name, method, class.name)
  local listed = false
  for _, param in ipairs(method.params) do
    if param.doc ~= "" then
      write("- `", param.name, "`: ", param.doc, "\n")
      listed = true
    end
  end
  if listed then write "\n" end
  text(method.doc)
end

local function write_fields(fields, caption)
  if #fields == 0 then return end
  write("| ", caption, " | type | |\n| --- | --- | --- |\n")
  for _, field in ipairs(fields) do
    write("| `", field.name, field.optional and "?" or "", "` | ", mark(field.type), " | ", cell(field.doc), " |\n")
  end
  write "\n"
end

local function write_events(events)
  if #events == 0 then return end
  write "| event | arguments | |\n| --- | --- | --- |\n"
  for _, event in ipairs(events) do
    local arguments = {}
    for i, param in ipairs(event.params) do
      arguments[i] = "`" .. param.name .. (param.optional and "?`: " or "`: ") .. mark(param.type)
    end
    local name = event.literal and "'" .. event.name .. "'" or ("[%s](#%s)"):format(event.name, anchor(event.name))
    write("| ", name, " | ", table.concat(arguments, ", "), " | ", cell(event.doc), " |\n")
  end
  write "\n"
end

local function constructor_name(class)
  return class.name:find "%." and class.name or "net." .. class.name
end

local function write_class(class)
  write("## ", class.name, "\n\n")
  text(class.doc)
  if class.parent then write("It has all that [", class.parent, "](#", anchor(class.parent), ") has.\n\n") end
  if #class.overloads > 0 then
    write "```\n"
    for _, overload in ipairs(class.overloads) do
      signature(constructor_name(class), overload.params, overload.returns, class.name)
    end
    write "```\n\n"
  end
  write_events(class.events)
  write_fields(class.fields, class.variable and "property" or "field")
  for _, method in ipairs(class.methods) do write_method(class, method) end
end

local function write_alias(alias)
  write("## ", alias.name, "\n\n")
  text(alias.doc)
  if alias.type then write("```\n", annotations.text(alias.type), "\n```\n\n") end
  if #alias.values > 0 then
    for _, item in ipairs(alias.values) do
      write("- `\"", item.value, "\"`", item.doc ~= "" and ": " .. item.doc or "", "\n")
    end
    write "\n"
  end
end

-- ---- the whole ----

-- Modules first, then the classes one meets first; what is not named here follows in the order of the files.
local ORDER <const> = {
  "cnet", "net.Server", "net.Socket", "net.EventEmitter", "net.Error", "net.process",
  "cnet.child_process", "ChildProcess", "cnet.cluster", "cluster.Worker",
}

local function ordered()
  local list, placed = {}, {}
  for _, name in ipairs(ORDER) do
    list[#list + 1] = assert(model.classes[name], name)
    placed[name] = true
  end
  for _, class in ipairs(model.classes) do
    if not placed[class.name] then list[#list + 1] = class end
  end
  return list
end

local function write_contents(list)
  local main, rest = {}, {}
  for _, item in ipairs(list) do
    local link = ("[%s](#%s)"):format(item.name, anchor(item.name))
    local group = item.variable and main or rest
    group[#group + 1] = link
  end
  for _, alias in ipairs(model.aliases) do rest[#rest + 1] = ("[%s](#%s)"):format(alias.name, anchor(alias.name)) end
  write("\n", table.concat(main, ", "), "\n\nTables and values: ", table.concat(rest, ", "), "\n\n")
end

local function make()
  model = annotations.read(table.unpack(annotations.files))
  out = { HEAD }
  local list = ordered()
  write_contents(list)
  for _, class in ipairs(list) do write_class(class) end
  for _, alias in ipairs(model.aliases) do write_alias(alias) end
  return (table.concat(out):gsub("\n+$", "\n"))
end

-- ---- the program ----

local function main(option)
  local new = make()
  if option == "--check" then
    local file = io.open(FILE, "rb")
    local old = file and file:read "a"
    if file then file:close() end
    if old == new then return end
    io.stderr:write(FILE, " is not what types/ says: run lua5.4 tools/reference.lua\n")
    os.exit(1)
  end
  local file = assert(io.open(FILE, "wb"))
  file:write(new)
  file:close()
end

if ... == "tools.reference" then return make end
main(...)
