-- Reads types/: the LuaCATS annotations, as tables. Used by tools/reference.lua and the specs.
--
--   local annotations = require "tools.annotations"
--   local model = annotations.read("types/cnet.lua", ...)   raises an error with file and line for what it cannot read
--
-- model.classes and model.aliases are arrays, and tables by name. A class has name, parent, doc, overloads (types of
-- calls), fields, methods and events; see the functions below for what each of those has.
--
-- A type is a table: { kind = "name", name =, args = }, "literal" (value), "union" (of 1..n), "array" (of), "optional"
-- (of), "fun" (params, returns) or "table" (fields); annotations.text gives it back as text.

local annotations = {}

-- ---- types ----

local BUILT_IN <const> = {
  ["nil"] = true, any = true, boolean = true, string = true, number = true, integer = true, ["function"] = true,
  table = true, thread = true, userdata = true, lightuserdata = true, self = true,
}

local parse_type

local function take(p, pattern)
  local from, to, capture = p.text:find("^%s*(" .. pattern .. ")", p.at)
  if not from then return nil end
  p.at = to + 1
  return capture
end

local function expect(p, pattern, what)
  return take(p, pattern) or error(("%s: expected %s at '%s'"):format(p.where, what, p.text:sub(p.at)), 0)
end

-- name?: type, name, ...: type, up to what `stop` matches. Array of { name =, type =, optional = }.
local function parse_list(p, stop)
  local list = {}
  if take(p, stop) then return list end
  repeat
    local name = take(p, "%.%.%.") or take(p, "[%a_][%w_]*") or expect(p, '%[?"[^"]*"%]?', "a name")
    local item = { name = name, optional = take(p, "%?") ~= nil }
    if take(p, ":") then item.type = parse_type(p) end
    list[#list + 1] = item
  until not take(p, ",")
  expect(p, stop, "the end of the list")
  return list
end

local function parse_fun(p)
  local fn = { kind = "fun", params = parse_list(p, "%)"), returns = {} }
  if take(p, ":") then
    repeat fn.returns[#fn.returns + 1] = parse_type(p) until not take(p, ",")
  end
  return fn
end

local function parse_primary(p)
  if take(p, "fun%s*%(") then return parse_fun(p) end
  if take(p, "{") then return { kind = "table", fields = parse_list(p, "}") } end
  if take(p, "%(") then
    local inner = parse_type(p)
    expect(p, "%)", "')'")
    return inner
  end
  local literal = take(p, '"[^"]*"') or take(p, "%-?%d+")
  if literal then return { kind = "literal", value = tonumber(literal) or literal:sub(2, -2) } end
  local name = expect(p, "[%a_][%w_.]*", "a type")
  if name == "true" or name == "false" then return { kind = "literal", value = name == "true" } end
  local node = { kind = "name", name = name }
  if take(p, "<") then
    node.args = {}
    repeat node.args[#node.args + 1] = parse_type(p) until not take(p, ",")
    expect(p, ">", "'>'")
  end
  return node
end

function parse_type(p)
  local union = { kind = "union" }
  repeat
    local node = parse_primary(p)
    while take(p, "%[%]") do node = { kind = "array", of = node } end
    if take(p, "%?") then node = { kind = "optional", of = node } end
    union[#union + 1] = node
  until not take(p, "|")
  return #union == 1 and union[1] or union
end

-- Reads a type at the beginning of the text; returns it and the rest.
local function read_type(text, where)
  local p = { text = text, at = 1, where = where }
  local node = parse_type(p)
  return node, (text:sub(p.at):gsub("^%s+", ""))
end

local text_of

local function text_of_list(list)
  local parts = {}
  for i, item in ipairs(list) do
    parts[i] = item.name .. (item.optional and "?" or "") .. (item.type and ": " .. text_of(item.type) or "")
  end
  return table.concat(parts, ", ")
end

local writers = {
  literal = function(t) return type(t.value) == "string" and '"' .. t.value .. '"' or tostring(t.value) end,
  array = function(t)
    local plain = t.of.kind == "name" or t.of.kind == "literal"
    return (plain and "%s[]" or "(%s)[]"):format(text_of(t.of))
  end,
  optional = function(t) return text_of(t.of) .. "?" end,
  table = function(t) return "{ " .. text_of_list(t.fields) .. " }" end,
  name = function(t)
    if not t.args then return t.name end
    local parts = {}
    for i, arg in ipairs(t.args) do parts[i] = text_of(arg) end
    return t.name .. "<" .. table.concat(parts, ", ") .. ">"
  end,
  union = function(t)
    local parts = {}
    for i, part in ipairs(t) do parts[i] = text_of(part) end
    return table.concat(parts, "|")
  end,
  fun = function(t)
    local parts = {}
    for i, part in ipairs(t.returns) do parts[i] = text_of(part) end
    return "fun(" .. text_of_list(t.params) .. ")" .. (#parts > 0 and ": " .. table.concat(parts, ", ") or "")
  end,
}

function text_of(t) return writers[t.kind](t) end

annotations.text = text_of
annotations.text_of_list = text_of_list

-- Calls visit(name) for each class or alias that the type names.
local function each_name(t, visit)
  if t.kind == "name" and not BUILT_IN[t.name] then visit(t.name) end
  for _, part in ipairs(t.kind == "union" and t or t.args or t.returns or {}) do each_name(part, visit) end
  if t.of then each_name(t.of, visit) end
  for _, item in ipairs(t.params or t.fields or {}) do
    if item.type then each_name(item.type, visit) end
  end
end

-- ---- blocks ----

-- A block is the annotation lines above a line of Lua, or above an empty line.
local function new_block() return { doc = {}, params = {}, returns = {}, overloads = {}, fields = {}, values = {} } end

-- The text that stands above the tag belongs to it.
local function take_doc(block)
  local doc = table.concat(block.doc, "\n"):gsub("^%s+", ""):gsub("%s+$", "")
  block.doc = {}
  return doc
end

-- `name[?] type [text]`
local function read_named(text, where)
  local name, optional, rest = text:match "^([%w_.]+)(%??)%s+(.+)$"
  if not name then error(where .. ": no name and type in '" .. text .. "'", 0) end
  local node, doc = read_type(rest, where)
  return { name = name, optional = optional == "?", type = node, doc = doc }
end

local tags = {}

function tags.class(block, text, where)
  local name, parent = text:match "^([%w_.]+)%s*:?%s*([%w_.]*)$"
  if not name then error(where .. ": no class in '" .. text .. "'", 0) end
  block.class = {
    name = name, parent = parent ~= "" and parent or nil, doc = take_doc(block), where = where,
    overloads = {}, fields = {}, methods = {}, events = {}, once = {},
  }
end

-- A field: name, type, optional, doc, where.
function tags.field(block, text, where)
  local field = read_named(text, where)
  field.where = where
  local above = take_doc(block)
  if above ~= "" then field.doc = above end
  block.fields[#block.fields + 1] = field
end

function tags.alias(block, text, where)
  local name, rest = text:match "^([%w_.]+)%s*(.*)$"
  block.alias = { name = name, doc = take_doc(block), where = where, values = block.values }
  if rest ~= "" then block.alias.type = read_type(rest, where) end
end

function tags.param(block, text, where)
  text = text:gsub("^%.%.%.%s+", "... ")
  local name = text:match "^(%.%.%.)"
  local param
  if name then
    local node, doc = read_type(text:sub(5), where)
    param = { name = "...", type = node, doc = doc }
  else
    param = read_named(text, where)
  end
  block.params[#block.params + 1] = param
end

tags["return"] = function(block, text, where)
  local node, rest = read_type(text, where)
  block.returns[#block.returns + 1] = { type = node, name = rest }
end

function tags.overload(block, text, where)
  local node = read_type(text, where)
  if node.kind ~= "fun" then error(where .. ": an overload is a fun()", 0) end
  block.overloads[#block.overloads + 1] = node
end

function tags.operator() end

function tags.generic(block, text, where)
  local name, rest = text:match "^([%w_]+)%s*:%s*(.+)$"
  block.generic = { name = name, type = read_type(rest, where) }
end

function tags.private(block) block.private = true end

function tags.meta() end

-- | value # text
local function read_value(block, text, where)
  local node, rest = read_type(text, where)
  block.values[#block.values + 1] = { value = node.value, doc = rest:gsub("^#%s*", "") }
end

-- ---- the model ----

local function is_event(field)
  return (field.name == "on" or field.name == "once") and field.type.kind == "fun"
end

-- Splits the fields of a class into fields, and events by the literals of `event`: name, params, type, doc.
local function add_fields(class, fields)
  for _, field in ipairs(fields) do
    if is_event(field) then
      local event, listener = field.type.params[2].type, field.type.params[3].type
      local list = field.name == "on" and class.events or class.once
      local name = event.kind == "literal" and event.value or event.name
      if name ~= "any" then
        list[#list + 1] = {
          name = name, literal = event.kind == "literal", params = listener.params, type = field.type, doc = field.doc,
          where = field.where,
        }
      end
    else
      class.fields[#class.fields + 1] = field
    end
  end
end

local function close_class(model, block, variable)
  local class = block.class
  class.overloads = block.overloads
  class.variable = variable
  add_fields(class, block.fields)
  if model.classes[class.name] then error(class.where .. ": class " .. class.name .. " is there twice", 0) end
  model.classes[#model.classes + 1] = class
  model.classes[class.name] = class
end

-- A method: name, colon, params, returns, overloads, generic, doc, where.
local function close_method(variables, block, line, where)
  local variable, separator, name, params = line:match "^function ([%w_]+)([.:])([%w_]+)%((.-)%) end$"
  local class = variables[variable]
  if not class then error(where .. ": a method of no class: " .. line, 0) end
  local listed = {}
  for param in params:gmatch "[^,%s]+" do listed[#listed + 1] = param end
  for i = 1, math.max(#listed, #block.params) do
    local annotated = block.params[i] and block.params[i].name
    if listed[i] ~= annotated then
      error(("%s: parameter %d is %s, and %s in its annotation"):format(where, i, listed[i], annotated), 0)
    end
  end
  class.methods[#class.methods + 1] = {
    name = name, colon = separator == ":", params = block.params, returns = block.returns, overloads = block.overloads,
    generic = block.generic, doc = take_doc(block), where = where,
  }
end

local function close(model, variables, block, line, where)
  local variable = line:match "^local ([%w_]+) = {}$"
  if block.class then
    close_class(model, block, variable)
    if variable then variables[variable] = block.class end
  elseif block.alias then
    model.aliases[#model.aliases + 1] = block.alias
    model.aliases[block.alias.name] = block.alias
  elseif line:find "^function " then
    close_method(variables, block, line, where)
  elseif line ~= "" and not block.private and not line:find "^%-%-" and not line:find "^return " then
    error(where .. ": what is this? " .. line, 0)
  end
end

local function read_file(model, path)
  local variables, block, number = {}, new_block(), 0
  for line in io.lines(path) do
    number = number + 1
    local where = path .. ":" .. number
    local tag, text = line:match "^%-%-%-@(%w+)%s*(.*)$"
    if tag then
      if not tags[tag] then error(where .. ": unknown tag @" .. tag, 0) end
      tags[tag](block, text, where)
    elseif line:find "^%-%-%-|" then
      read_value(block, line:sub(5), where)
    elseif line:find "^%-%-%-" then
      block.doc[#block.doc + 1] = line:sub(4)
    else
      close(model, variables, block, line, where)
      block = new_block()
    end
  end
  close(model, variables, block, "", path)
end

-- Every type that is named must be there.
local function check_names(model)
  local function checker(where, generic)
    return function(name)
      if not model.classes[name] and not model.aliases[name] and name ~= generic then
        error(where .. ": no such type: " .. name, 0)
      end
    end
  end
  local function check(t, where, generic) each_name(t, checker(where, generic)) end
  for _, class in ipairs(model.classes) do
    if class.parent then checker(class.where)(class.parent) end
    for _, overload in ipairs(class.overloads) do check(overload, class.where) end
    for _, field in ipairs(class.fields) do check(field.type, field.where) end
    for _, event in ipairs(class.events) do check(event.type, event.where) end
    for _, method in ipairs(class.methods) do
      local generic = method.generic and method.generic.name
      for _, param in ipairs(method.params) do check(param.type, method.where, generic) end
      for _, result in ipairs(method.returns) do check(result.type, method.where, generic) end
      for _, overload in ipairs(method.overloads) do check(overload, method.where, generic) end
    end
  end
  for _, alias in ipairs(model.aliases) do
    if alias.type then check(alias.type, alias.where) end
  end
end

function annotations.read(...)
  local model = { classes = {}, aliases = {} }
  for _, path in ipairs { ... } do read_file(model, path) end
  check_names(model)
  return model
end

-- The files of this project.
annotations.files = { "types/cnet.lua", "types/cnet/child_process.lua", "types/cnet/cluster.lua" }

return annotations
