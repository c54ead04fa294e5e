-- What main.lua measured, as text, Markdown and SVG. A result is a row: id, title, figures by the server's id, and
-- kind: "times" (ratios to the first server, which is the reference) or "counts" (one number for each server).

local report = {}

local LATENCIES = { "p50", "p99", "p999" }

local function ratio(value) return value and ("%.2f"):format(value) or "–" end

-- Of nanoseconds.
local function duration(ns)
  local us = ns / 1000
  if us >= 10000 then return ("%.0f ms"):format(us / 1000) end
  return (us < 1 and "%.2f µs" or us < 10 and "%.1f µs" or "%.0f µs"):format(us)
end

local function grouped(number)
  local digits = ("%.0f"):format(number)
  return (digits:reverse():gsub("(%d%d%d)", "%1,"):reverse():gsub("^,", ""))
end

local function count(value)
  if not value then return "–" end
  return value < 100 and ("%.2f"):format(value) or grouped(value)
end

local function of_kind(results, kind)
  local list = {}
  for _, result in ipairs(results) do
    if result.kind == kind then list[#list + 1] = result end
  end
  return list
end

local function notes(about)
  return (about.quick and "A quick run: not to be quoted. " or "") .. about.machine .. ". " .. about.versions .. "."
end

-- ---- for a terminal ----

function report.text(result, servers)
  local lines = {}
  if result.kind == "counts" then
    lines[1] = ("  %s:"):format(result.title)
    for _, server in ipairs(servers) do
      lines[#lines + 1] = ("    %-10s %10s"):format(server.title, count(result.figures[server.id]))
    end
  else
    lines[1] = "              CPU   rate    p50    p99  p99.9"
    for _, server in ipairs(servers) do
      local figures = result.figures[server.id]
      if figures and not figures.broken then
        local ratios, own = {}, {}
        for k, name in ipairs { "cpu", "rate", "p50", "p99", "p999" } do
          ratios[k] = ("%6.2f"):format(figures[name .. "_ratio"])
          own[k] = name == "rate" and grouped(figures.rate) .. "/s" or duration(figures[name])
        end
        lines[#lines + 1] = ("  %-10s %s   %s; %d of %d rounds clean"):format(server.title, table.concat(ratios, " "),
          table.concat(own, ", "), figures.clean, figures.rounds)
      end
    end
  end
  return table.concat(lines, "\n") .. "\n"
end

-- ---- Markdown ----

local function markdown_table(lines, head, servers, results, cell)
  local titles, rule = { head }, { "---" }
  for _, server in ipairs(servers) do
    titles[#titles + 1] = server.title
    rule[#rule + 1] = "---:"
  end
  lines[#lines + 1] = "| " .. table.concat(titles, " | ") .. " |"
  lines[#lines + 1] = "| " .. table.concat(rule, " | ") .. " |"
  for _, result in ipairs(results) do
    local cells = { result.title }
    for _, server in ipairs(servers) do cells[#cells + 1] = cell(result.figures[server.id]) end
    lines[#lines + 1] = "| " .. table.concat(cells, " | ") .. " |"
  end
  lines[#lines + 1] = ""
end

local function times_cell(figures)
  if not figures then return "–" end
  if figures.broken then return "failed" end
  return ("**%s** · %s · %s"):format(ratio(figures.cpu_ratio), ratio(figures.rate_ratio), ratio(figures.p99_ratio))
end

function report.markdown(results, servers, about)
  local lines, times, counts = {}, of_kind(results, "times"), of_kind(results, "counts")
  if #times > 0 then
    markdown_table(lines, "to raw libuv: **CPU** · throughput · p99, higher is better",
      { table.unpack(servers, 2) }, times, times_cell)
  end
  if #counts > 0 then markdown_table(lines, "counted: lower is better", servers, counts, count) end
  lines[#lines + 1] = notes(about)
  return table.concat(lines, "\n")
end

local function read(path)
  local file = assert(io.open(path))
  local text = file:read "a"
  file:close()
  return text
end

local function write(path, text)
  local file = assert(io.open(path, "w"))
  file:write(text)
  assert(file:close())
  print("wrote " .. path)
end

-- Between the two marker comments.
function report.write_readme(path, svg, ...)
  local begin, finish = "<!-- bench -->\n", "<!-- /bench -->"
  local text = read(path)
  local _, from = text:find(begin, 1, true)
  local to = text:find(finish, 1, true)
  assert(from and to and from < to, "no markers in " .. path)
  local body = ("\n![The same as a chart, with all percentiles](%s)\n\n%s\n\n"):format(svg, report.markdown(...))
  write(path, text:sub(1, from) .. body .. text:sub(to))
end

-- ---- SVG ----

local LEFT, COLUMN, MARGIN, BAR = 270, 146, 20, 72
local TIMES_HEIGHT, COUNT_HEIGHT = 56, 26

-- It brings its own background, so that it can be read on any page; dark where the reader's system is.
local STYLE = [[
  text { font: 13px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif; fill: #24292f }
  .head { font-weight: 600 } .big { font-weight: 600; font-size: 15px } .small { font-size: 11px; fill: #57606a }
  .card { fill: #ffffff; stroke: #d0d7de } .rule { stroke: #d0d7de } .bar { fill: #afb8c1 } .own { fill: #2da44e }
  .track { fill: #eaeef2 }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 } .small { fill: #9198a1 } .card { fill: #161b22; stroke: #30363d } .rule { stroke: #30363d }
    .bar { fill: #6e7681 } .own { fill: #3fb950 } .track { fill: #21262d }
  }]]

local function escape(text) return (text:gsub("[&<>]", { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;" })) end

local function text_at(lines, x, y, class, text)
  lines[#lines + 1] = ('<text x="%d" y="%d" class="%s">%s</text>'):format(x, y, class, escape(text))
end

local function bar_at(lines, x, y, server, value)
  local own = server.id == "cnet" and "own" or "bar"
  local width = math.floor(BAR * math.min(value, 1.25) / 1.25 + 0.5)
  lines[#lines + 1] = ('<rect x="%d" y="%d" width="%d" height="9" rx="2" class="track"/>'):format(x, y, BAR)
  lines[#lines + 1] = ('<rect x="%d" y="%d" width="%d" height="9" rx="2" class="%s"/>'):format(x, y, width, own)
  local one = x + BAR / 1.25
  lines[#lines + 1] = ('<path d="M%.1f %dv13" class="rule"/>'):format(one, y - 2)
end

local function times_at(lines, x, y, server, figures, is_reference)
  if not figures or figures.broken then
    text_at(lines, x, y + 20, "small", figures and "failed" or "–")
    return
  end
  local latencies = {}
  for i, name in ipairs(LATENCIES) do
    local value = figures[name .. (is_reference and "" or "_ratio")]
    latencies[i] = is_reference and ("%.0f"):format(value / 1000) or ratio(value)
  end
  if is_reference then
    text_at(lines, x, y + 20, "big", duration(figures.cpu))
    text_at(lines, x, y + 35, "small", grouped(figures.rate) .. " /s")
    latencies[#latencies] = latencies[#latencies] .. " µs"
  else
    text_at(lines, x, y + 20, "big", ratio(figures.cpu_ratio))
    bar_at(lines, x + 42, y + 11, server, figures.cpu_ratio)
    text_at(lines, x, y + 35, "small", ratio(figures.rate_ratio))
  end
  text_at(lines, x, y + 49, "small", table.concat(latencies, " · "))
end

local function head_at(lines, y, title, servers)
  text_at(lines, MARGIN, y, "head", title)
  for i, server in ipairs(servers) do text_at(lines, LEFT + (i - 1) * COLUMN, y, "head", server.title) end
end

local function rule_at(lines, y, width)
  lines[#lines + 1] = ('<path d="M%d %d.5H%d" class="rule"/>'):format(MARGIN, y, width - MARGIN)
end

function report.write_svg(path, results, servers, about)
  local lines, width, y = {}, LEFT + #servers * COLUMN + MARGIN, 34
  local times, counts = of_kind(results, "times"), of_kind(results, "counts")
  if #times > 0 then
    head_at(lines, y, "CPU time per message", servers)
    text_at(lines, MARGIN, y + 17, "small", "and below it throughput and latency")
    for i = 1, #servers do
      text_at(lines, LEFT + (i - 1) * COLUMN, y + 17, "small", i == 1 and "1.00, which is" or "ratio, higher is better")
    end
    y = y + 28
    for _, result in ipairs(times) do
      rule_at(lines, y, width)
      text_at(lines, MARGIN, y + 20, "", result.title)
      text_at(lines, MARGIN, y + 35, "small", "throughput")
      text_at(lines, MARGIN, y + 49, "small", "latency p50 · p99 · p99.9")
      for i, server in ipairs(servers) do
        times_at(lines, LEFT + (i - 1) * COLUMN, y, server, result.figures[server.id], i == 1)
      end
      y = y + TIMES_HEIGHT
    end
    y = y + 34
  end
  if #counts > 0 then
    head_at(lines, y, "Counts", servers)
    text_at(lines, MARGIN, y + 17, "small", "lower is better")
    y = y + 28
    for _, result in ipairs(counts) do
      rule_at(lines, y, width)
      text_at(lines, MARGIN, y + 18, "", result.title)
      for i, server in ipairs(servers) do
        text_at(lines, LEFT + (i - 1) * COLUMN, y + 18, i > 1 and server.id == "cnet" and "head" or "",
          count(result.figures[server.id]))
      end
      y = y + COUNT_HEIGHT
    end
    y = y + 10
  end
  for line in (notes(about) .. "\n"):gsub("%. ", ".\n"):gmatch "(.-)\n" do
    text_at(lines, MARGIN, y + 14, "small", line)
    y = y + 16
  end
  local height = y + MARGIN
  os.execute("mkdir -p " .. path:match "^(.*)/")
  write(path, ('<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" role="img">\n'
    .. "<title>How fast cnet is, next to raw libuv and others</title>\n<style>\n%s\n</style>\n"
    .. '<rect x="0.5" y="0.5" width="%d" height="%d" rx="8" class="card"/>\n%s\n</svg>\n'):format(width, height, width,
    height, STYLE, width - 1, height - 1, table.concat(lines, "\n")))
end

return report
