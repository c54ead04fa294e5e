/* Runs a Lua script again and again in a state whose allocator fails at the first allocation, then at the second, and
 * so on, until a run needs none of its failures. Each run must end, in success or in an error, and the state must
 * close; the sanitizers tell of the rest. Started by no_memory.sh.
 *
 *   no_memory [-f FIRST] [-s STEP] [-m once|lasting] [-u] SCRIPT
 *
 * once: one allocation fails, with the retry that Lua makes after a collection; lasting: all from there on do, until
 * the script's end. -u: it is libuv's allocations that fail. The script calls arm() where the counting shall begin. */
#include <lauxlib.h>
#include <lualib.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

enum { LONGEST_RUN = 20 /* s */ };

static bool armed, lasting, of_uv;
static long counted, fail_at, failures;

static bool fails(void) {
  if (!armed) return false;
  counted++;
  if (counted < fail_at || (!lasting && counted > fail_at + (of_uv ? 0 : 1))) return false;
  failures++;
  return true;
}

static void *lua_memory(void *ud, void *block, size_t old, size_t size) {
  (void)ud;
  if (size == 0) {
    free(block);
    return NULL;
  }
  if (!of_uv && (!block || size > old) && fails()) return NULL;
  return realloc(block, size);
}

static void *uv_malloc_or_fail(size_t size) { return of_uv && fails() ? NULL : malloc(size); }
static void *uv_realloc_or_fail(void *block, size_t size) { return of_uv && fails() ? NULL : realloc(block, size); }
static void *uv_calloc_or_fail(size_t n, size_t size) { return of_uv && fails() ? NULL : calloc(n, size); }

static int arm(lua_State *L) {
  (void)L;
  armed = true;
  return 0;
}

static int disarm(lua_State *L) {
  (void)L;
  armed = false;
  return 0;
}

/* libuv ends the process where its array of descriptors cannot grow: it is made large enough before. */
static const char warm_up[] =
    "local net, servers = require 'cnet', {} "
    "for i = 1, 60 do servers[i] = net.createServer():listen(0) end net.run 'nowait' "
    "for i = 1, 60 do servers[i]:close() end net.run() collectgarbage()";

static int prepare(lua_State *L) {
  luaL_openlibs(L);
  if (of_uv && luaL_dostring(L, warm_up) != LUA_OK) return lua_error(L);
  lua_register(L, "arm", arm);
  lua_register(L, "disarm", disarm);
  return 0;
}

/* Returns whether the run met a failure. */
static bool run(const char *script, long n, bool *good) {
  lua_State *L = lua_newstate(lua_memory, NULL);
  int status;
  counted = failures = 0;
  fail_at = n;
  armed = false;
  if (!L) exit(2);
  alarm(LONGEST_RUN); /* a run that hangs is killed, and the shell says so */
  lua_pushcfunction(L, prepare);
  status = lua_pcall(L, 0, 0, 0);
  if (status == LUA_OK) status = luaL_loadfile(L, script);
  if (status == LUA_OK) status = lua_pcall(L, 0, 0, 0);
  armed = false;
  if (status != LUA_OK && failures == 0) {
    printf("%s: %s\n", script, lua_tostring(L, -1));
    *good = false;
  } else if (lua_type(L, -1) == LUA_TSTRING && strstr(lua_tostring(L, -1), "HANG")) {
    printf("%s: allocation %ld: %s\n", script, n, lua_tostring(L, -1));
    *good = false;
  }
  lua_settop(L, 0);
  lua_close(L);
  return failures > 0;
}

int main(int argc, char **argv) {
  long n = 1, step = 1, runs = 0;
  bool good = true;
  int option;
  while ((option = getopt(argc, argv, "f:s:m:u")) != -1) {
    if (option == 'f') n = atol(optarg);
    if (option == 's') step = atol(optarg);
    if (option == 'm') lasting = strcmp(optarg, "lasting") == 0;
    if (option == 'u') of_uv = true;
  }
  if (optind >= argc) return 2;
  if (uv_replace_allocator(uv_malloc_or_fail, uv_realloc_or_fail, uv_calloc_or_fail, free) != 0) return 2;
  setvbuf(stdout, NULL, _IOLBF, 0);
  for (;; n += step) {
    FILE *at = fopen("build-stress/at", "w"); /* for who looks into a crash */
    if (at) {
      fprintf(at, "%s allocation %ld\n", argv[optind], n);
      fclose(at);
    }
    runs++;
    if (!run(argv[optind], n, &good)) break;
  }
  printf("%s, %s%s: %ld runs, up to allocation %ld: %s\n", argv[optind], lasting ? "lasting" : "once",
         of_uv ? " (libuv's)" : "", runs, n, good ? "good" : "BAD");
  return good ? 0 : 1;
}
