#include "process/shared_loop.h"

#include <dlfcn.h>
#include <string.h>

#include "core/protect.h"
#include "process/ipc.h"
#include "process/process.h"

/* Three things make one loop of two modules' handles safe:
 *
 * - Both are linked to the same libuv, which is looked up in the very file that luv was loaded from.
 * - luv looks at the data of every handle of its loop (uv.walk) and takes it for its own. So ours have the data of a
 *   handle of luv's, the guard. Where luv keeps the guard for scripts stands another one, the dummy: what uv.walk shows
 *   for each of ours, and what a script that closes all that it is shown may close.
 * - luv closes its loop in a finalizer, with callbacks of its own. A finalizer that was made later comes first: it has
 *   closed our handles by then, and luv runs the loop until they are gone. */

static const char guard_key = 0; /* registry: what must live as long as the loop is shared */

typedef struct {
  uv_loop_t *(*loop)(lua_State *L);
  int (*pcall)(lua_State *L, int nargs, int nresults, int flags);
  void *uv_run;
} luv_symbols;

/* ---- is it one that we can share with? ---- */

static const char *file_of(void *address) {
  Dl_info info;
  return dladdr(address, &info) != 0 && info.dli_fname ? info.dli_fname : "?";
}

/* Pushes what luv says of its libuv. */
static void push_version(lua_State *L, int luv) {
  if (lua_getfield(L, luv, "version_string") != LUA_TFUNCTION) {
    lua_pop(L, 1);
    lua_pushliteral(L, "?");
    return;
  }
  lua_call(L, 0, 1);
  luaL_tolstring(L, -1, NULL);
  lua_remove(L, -2);
}

/* A function's address out of an object's: ISO C has no cast for it. */
static void copy_function(void *to, void *symbol) { memcpy(to, &symbol, sizeof symbol); }

/* Looks into the file that this function of luv's is from, and the libraries that it is linked to. */
static bool find_symbols(lua_CFunction function, luv_symbols *out) {
  Dl_info info;
  void *address, *file;
  memcpy(&address, &function, sizeof address);
  if (!function || dladdr(address, &info) == 0 || !info.dli_fname) return false;
  file = dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
  if (!file) file = dlopen(NULL, RTLD_LAZY); /* the program itself */
  if (!file) return false;
  copy_function(&out->loop, dlsym(file, "luv_loop"));
  copy_function(&out->pcall, dlsym(file, "luv_cfpcall"));
  out->uv_run = dlsym(file, "uv_run");
  dlclose(file);
  return true;
}

/* Raises unless luv and cnet call the same libuv. luv's functions are at index luv. */
static void check_luv(lua_State *L, int luv, luv_symbols *out) {
  int (*run)(uv_loop_t *, uv_run_mode) = uv_run;
  void *ours;
  memcpy(&ours, &run, sizeof ours);
  lua_getfield(L, luv, "run");
  if (!find_symbols(lua_tocfunction(L, -1), out) || !out->loop || !out->pcall)
    luaL_error(L, "net.useLuv(): package.loaded.luv is not luv, or one that cnet does not know");
  if (out->uv_run == ours) return;
  push_version(L, luv);
  luaL_error(L, "net.useLuv(): luv and cnet are linked to two libuvs: luv to %s (%s), cnet to %s (%s); %s",
             out->uv_run ? file_of(out->uv_run) : "one inside of it", lua_tostring(L, -1), file_of(ours),
             uv_version_string(), "build both with the shared library of the same one");
}

/* ---- the guard ---- */

/* Pushes a handle of luv's that does nothing. */
static void push_luv_handle(lua_State *L, int luv) {
  lua_getfield(L, luv, "new_idle");
  lua_call(L, 0, 1);
}

/* The handle of luv's object on top: it stands in the userdata, in luv's first versions, or is pointed to. NULL if it
 * is neither. */
static uv_handle_t *handle_of(lua_State *L, const uv_loop_t *loop) {
  void *object = lua_touserdata(L, -1);
  uv_handle_t *handle = object;
  if (object && lua_rawlen(L, -1) == sizeof(void *)) handle = *(uv_handle_t **)object;
  return handle && handle->loop == loop && handle->type == UV_IDLE && handle->data ? handle : NULL;
}

/* Puts the value on top where luv keeps its object at index `object`, in the registry. */
static bool put_in_place(lua_State *L, int object) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, LUA_REGISTRYINDEX);
  for (i = n; i > 0; i--) {
    bool found;
    lua_rawgeti(L, LUA_REGISTRYINDEX, i);
    found = lua_rawequal(L, -1, object);
    lua_pop(L, 1);
    if (!found) continue;
    lua_pushvalue(L, -1);
    lua_rawseti(L, LUA_REGISTRYINDEX, i);
    return true;
  }
  return false;
}

/* The state closes: before luv closes its loop. */
static int guard_gc(lua_State *L) {
  cnet_runtime **rt = lua_touserdata(L, 1);
  if (*rt) cnet_runtime_close(*rt);
  return 0;
}

/* Pushes what is to be kept: {guard, dummy, a finalizer that does nothing yet}. Returns the guard's handle. */
static uv_handle_t *push_guard(lua_State *L, int luv, const uv_loop_t *loop, cnet_runtime ***finalizer) {
  int kept = lua_gettop(L) + 1;
  uv_handle_t *handle;
  lua_createtable(L, 3, 0);
  push_luv_handle(L, luv);
  handle = handle_of(L, loop);
  lua_pushvalue(L, -1);
  lua_rawseti(L, kept, 1);
  push_luv_handle(L, luv);
  lua_pushvalue(L, -1);
  lua_rawseti(L, kept, 2);
  if (!handle || !put_in_place(L, kept + 1))
    luaL_error(L, "net.useLuv(): cnet does not know this version of luv: its handles are not where others have them");
  *finalizer = lua_newuserdatauv(L, sizeof **finalizer, 0);
  **finalizer = NULL;
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, guard_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_rawseti(L, kept, 3);
  lua_settop(L, kept);
  return handle;
}

/* ---- net.useLuv() ---- */

static int move_channel(void *channel) { return channel ? cnet_channel_move(channel) : 0; }

/* Pushes luv's functions. */
static void push_luv(lua_State *L) {
  luaL_getsubtable(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  if (lua_getfield(L, -1, "luv") != LUA_TTABLE) luaL_error(L, "net.useLuv(): luv is not loaded: require \"luv\" first");
  lua_remove(L, -2);
}

static int net_use_luv(lua_State *L) {
  enum { LUV = 1, KEPT, PROCESS };
  cnet_runtime *rt = cnet_runtime_of(L), **finalizer;
  luv_symbols symbols = {NULL, NULL, NULL};
  uv_loop_t *loop;
  uv_handle_t *guard;
  cnet_channel *channel;
  int status;
  cnet_runtime_check(L, rt);
  lua_settop(L, 0);
  push_luv(L);
  if (rt->luv.guard) return 1;
  if (rt->turn.running) return luaL_error(L, "net.useLuv(): the loop is running: call it before net.run()");
  check_luv(L, LUV, &symbols);
  loop = symbols.loop(L);
  if (luaL_getmetatable(L, "uv_loop.meta") != LUA_TTABLE || !loop)
    return luaL_error(L, "net.useLuv(): luv runs on a loop of the program that it is in: cnet can share only its own");
  lua_settop(L, LUV);
  guard = push_guard(L, LUV, loop, &finalizer);
  cnet_process_push(L);
  channel = cnet_ipc_channel(L, PROCESS);
  if (!cnet_runtime_has_open_only(rt, channel ? 1 : 0))
    return luaL_error(L, "net.useLuv(): something is open or under way already: call it right after require \"cnet\"");
  if (!rt->entry) cnet_protect_init(L, rt);
  lua_pushvalue(L, KEPT);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &guard_key);
  status = cnet_runtime_share(rt, loop, guard, move_channel, channel);
  if (status < 0) return luaL_error(L, "net.useLuv(): %s", uv_strerror(status));
  rt->luv.pcall = symbols.pcall;
  *finalizer = rt;
  lua_settop(L, LUV);
  return 1;
}

void cnet_shared_loop_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"useLuv", net_use_luv}, {NULL, NULL}};
  cnet_runtime_set_functions(L, functions);
}
