-- Strings of more than 4 GiB that need no such memory, for programs of their own: a module in C makes Lua's allocator
-- map the same 64 MiB again and again behind the first ones. So such a string is what it should be for 64 MiB, and
-- repeats itself from there on.
--
--   local path, why = huge.module() -- nil and why there is none
--   support.lua(huge.program .. [[ ... local text = huge(4, "tail") ... ]], path)

local support = require "spec.support"

local huge = {}

local SOURCE <const> = [[
#define _GNU_SOURCE
#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <unistd.h>

enum { PIECE = 64 << 20, ALIAS = MAP_SHARED | MAP_FIXED | MAP_POPULATE };
#define HUGE_BLOCK ((size_t)1 << 32)

static lua_Alloc before;
static void *before_arg;

static size_t rounded(size_t size) { return (size + PIECE - 1) / PIECE * PIECE; }

static void *map(size_t size) {
  size_t at, all = rounded(size);
  int piece = memfd_create("huge", MFD_CLOEXEC); /* one for each: copying within the same memory is slow */
  bool good = piece >= 0 && ftruncate(piece, PIECE) == 0;
  char *block = mmap(NULL, all, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  for (at = PIECE; good && block != MAP_FAILED && at < all; at += PIECE)
    good = mmap(block + at, PIECE, PROT_READ | PROT_WRITE, ALIAS, piece, 0) != MAP_FAILED;
  if (piece >= 0) close(piece);
  return good && block != MAP_FAILED ? block : NULL;
}

static void *allocate(void *arg, void *block, size_t old, size_t size) {
  (void)arg;
  if (!block && size >= HUGE_BLOCK) return map(size);
  if (!block || old < HUGE_BLOCK) return before(before_arg, block, old, size);
  if (size == 0) munmap(block, rounded(old));
  return NULL;
}

int luaopen_huge(lua_State *L) {
  before = lua_getallocf(L, &before_arg);
  lua_setallocf(L, allocate, NULL);
  return 0;
}
]]

-- The path of the module, for a program's arg[1].
function huge.module()
  local flags = io.popen "pkg-config --cflags lua5.4"
  local found = flags and flags:read "l" or ""
  if flags then flags:close() end
  return support.compile(SOURCE, found .. " -Wl,-z,nodelete") -- Lua unloads it before it frees the last of its memory
end

-- How such a program begins: huge(head, n, tail) is a string of head, then blanks up to n GiB, and then tail. Where
-- there is no memory for it, the program ends, and has written huge.NO_MEMORY.
huge.NO_MEMORY = "no memory for a huge string\n"
huge.program = [[
  assert(package.loadlib(arg[1], "luaopen_huge"))()
  local function huge(head, gigabytes, tail)
    local piece = (" "):rep(1 << 26)
    local rest = "return function(head, piece, tail) return head" .. ("..piece"):rep(16 * gigabytes - 1) ..
      "..piece:sub(1 + #head)..tail end"
    local made, text = pcall(load(rest)(), head, piece, tail)
    if made then return text end
    print "no memory for a huge string"
    os.exit(0)
  end
]]

return huge
