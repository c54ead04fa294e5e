-- docs/ and README.md: the programs in them run, the links lead somewhere, the reference is what types/ says, and every
-- error code has its entry.

local annotations = require "tools.annotations"
local attack = require "spec.support.attack"
local markdown = require "spec.support.markdown"
local reference = require "tools.reference"
local support = require "spec.support"

local function read(path)
  local file = assert(io.open(path, "rb"))
  local text = file:read "a"
  file:close()
  return text
end

local function list(command)
  local found = {}
  local pipe = assert(io.popen(command))
  for line in pipe:lines() do found[#found + 1] = line end
  pipe:close()
  return found
end

local pages = list "ls README.md docs/*.md examples/README.md"

describe("the programs in the docs", function()
  after_each(support.clean)

  for _, page in ipairs(pages) do
    for _, block in ipairs(markdown.blocks(page)) do
      if block.language == "lua" then
        it(("compile: %s:%d"):format(page, block.line), function()
          local _, err = load(block.text, "=" .. page .. ":" .. block.line)
          assert.is_nil(err)
        end)
      end
    end

    for _, block in ipairs(markdown.programs(page)) do
      local title = ("run: %s:%d"):format(page, block.line)
      local missing = markdown.missing(block)
      if missing ~= "" then
        pending(title .. " needs " .. missing)
      elseif support.valgrind then
        pending(title .. " takes seconds under valgrind, and calls nothing that other specs do not")
      else
        it(title, function()
          local out, err, code = markdown.run(block)
          assert.equal("", err)
          assert.equal(0, code)
          if block.output then assert.equal(block.output, out) end
        end)
      end
    end
  end

  -- A program may print errors, but none may end it.
  local function check(out, err, code)
    assert.falsy(err:find("lua5.4: ", 1, true), err) -- how a script ends by an error, that of a child too
    assert.falsy((err .. out):find("write after end", 1, true), err .. out)
    assert.equal(0, code, err .. out)
  end

  for _, page in ipairs(pages) do
    for _, block in ipairs(support.valgrind and {} or markdown.programs(page)) do
      local where = ("%s:%d"):format(page, block.line)
      if markdown.missing(block) ~= "" then
        pending(where .. " needs " .. markdown.missing(block))
      elseif markdown.is_server(block) then
        it("survive clients that reset, end early and send garbage: " .. where, function()
          local out, err, code, targets, attacked = markdown.attack_server(block)
          check(out, err, code)
          -- one that goes on until its try has ended it
          if block.try and block.try:find "done%(%)" then assert.equal(targets, attacked) end
        end)
      elseif block.text:find "net%.connect%(" then
        it("survive servers that reset, end early and send garbage: " .. where, function()
          for name in pairs(attack.servers) do check(markdown.attack_client(block, name)) end
        end)
      end
    end
  end

  it("are there", function()
    local count = 0
    for _, page in ipairs(pages) do count = count + #markdown.programs(page) end
    assert.is_true(count > 20, count .. " programs")
  end)
end)

describe("the reference", function()
  it("is what lua5.4 tools/reference.lua makes of types/", function()
    assert.is_true(reference() == read "docs/reference.md", "run lua5.4 tools/reference.lua")
  end)
end)

-- As GitHub makes them of headings.
local function anchors(text)
  local set = {}
  for heading in ("\n" .. text):gmatch "\n#+ ([^\n]+)" do
    heading = heading:gsub("%[([^%]]*)%]%([^)]*%)", "%1")
    set[heading:lower():gsub("[^%w_%- ]", ""):gsub(" ", "-")] = true
  end
  return set
end

describe("the links in the docs", function()
  for _, page in ipairs(pages) do
    it("lead somewhere: " .. page, function()
      local text = read(page):gsub("\n```.-\n```", ""):gsub("`[^`\n]*`", "")
      local folder = page:match "^(.*/)" or ""
      for target in text:gmatch "%]%(([^)]+)%)" do
        if not target:find "^https?://" then
          local path, anchor = target:match "^([^#]*)#?(.*)$"
          local file = path == "" and page or folder .. path
          assert.is_true(support.exists(file), target)
          if anchor ~= "" then assert.is_true(anchors(read(file))[anchor], target) end
        end
      end
    end)
  end
end)

describe("the pages", function()
  it("are all reached from the README", function()
    local text = read "README.md"
    for _, page in ipairs(list "ls docs/*.md") do assert.is_truthy(text:find("](" .. page .. ")", 1, true), page) end
  end)
end)

describe("the page of errors", function()
  local text = read "docs/errors.md"
  local source = table.concat((function()
    local parts = {}
    for i, path in ipairs(list "find src -name '*.c'") do parts[i] = read(path) end
    return parts
  end)())

  -- libuv's codes that no script sees.
  local INNER <const> = {
    EOF = true, -- becomes 'end'
    EBUSY = true, -- the loop is closed until libuv says otherwise
    EAI = true, -- the beginning of EAI_NONAME and its like, which become ENOTFOUND
  }

  it("has every code that the sources raise", function()
    for code in source:gmatch '"(ERR_[%u_%d]+)"' do
      assert.is_truthy(text:find("\n### " .. code .. "\n", 1, true), code)
    end
    for code in source:gmatch "UV_(E%u[%u%d]*)" do
      if not INNER[code] then assert.is_truthy(text:find("[\n ]" .. code .. "[\n,]"), code) end
    end
  end)

  it("has no code that is none", function()
    local codes = {}
    for _, item in ipairs(annotations.read(table.unpack(annotations.files)).aliases["net.ErrorCode"].values) do
      codes[item.value] = true
    end
    for code in text:gmatch "\n### (ERR_[%u_%d]+)\n" do assert.is_true(codes[code], code) end
  end)

  -- Each entry quotes its message as `text`, with … for what differs.
  it("quotes the messages as they are", function()
    local count = 0
    local joined = source:gsub('"%s*\n%s*"', "") -- a string of C that goes on in the next line
    for code, message in text:gmatch "\n### (ERR_[%u_%d]+)\n\n`([^`]+)`" do
      for part in (message:gsub("%s+", " ") .. "…"):gmatch "(.-)…" do
        part = part:gsub("^%s+", ""):gsub("%s+$", "")
        local escaped = part:gsub('"', '\\"')
        assert.is_truthy(joined:find(escaped, 1, true), code .. ": " .. part)
      end
      count = count + 1
    end
    assert.is_true(count > 30, count .. " messages")
  end)
end)
