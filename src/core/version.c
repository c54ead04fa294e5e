#include "core/version.h"

#include <lauxlib.h>
#include <uv.h>

/* Debian 11's, the oldest that the specs were run on. */
#define OLDEST_HEX 0x012800
#define OLDEST "1.40"

#if UV_VERSION_HEX < OLDEST_HEX
#error "cnet needs the header of libuv 1.40 or later"
#endif

/* Is any handle larger in the libuv that is loaded than in the header? Then it would write past ours. */
static int is_larger(void) {
  return uv_loop_size() > sizeof(uv_loop_t) || uv_handle_size(UV_TCP) > sizeof(uv_tcp_t) ||
         uv_handle_size(UV_NAMED_PIPE) > sizeof(uv_pipe_t) || uv_handle_size(UV_TTY) > sizeof(uv_tty_t) ||
         uv_handle_size(UV_TIMER) > sizeof(uv_timer_t) || uv_handle_size(UV_SIGNAL) > sizeof(uv_signal_t) ||
         uv_handle_size(UV_PROCESS) > sizeof(uv_process_t) || uv_handle_size(UV_ASYNC) > sizeof(uv_async_t) ||
         uv_req_size(UV_WRITE) > sizeof(uv_write_t) || uv_req_size(UV_CONNECT) > sizeof(uv_connect_t) ||
         uv_req_size(UV_SHUTDOWN) > sizeof(uv_shutdown_t) || uv_req_size(UV_GETADDRINFO) > sizeof(uv_getaddrinfo_t);
}

static const char *header_version(lua_State *L) {
  return lua_pushfstring(L, "%d.%d.%d", UV_VERSION_MAJOR, UV_VERSION_MINOR, UV_VERSION_PATCH);
}

/* libuv keeps what a program of an older header needs, so that a later one will do: of the same major version. */
void cnet_version_check(lua_State *L) {
  unsigned loaded = uv_version();
  const char *why = NULL;
  if (loaded >> 16 != UV_VERSION_MAJOR) {
    why = "which are two kinds";
  } else if (loaded >> 8 < UV_VERSION_HEX >> 8) {
    why = "which is older";
  } else if (is_larger()) {
    why = "whose handles are larger";
  }
  if (!why) return;
  luaL_error(L, "cnet was built with the header of libuv %s, but the libuv that is loaded is %s, %s: build cnet again",
             header_version(L), uv_version_string(), why);
}

static int net_tostring(lua_State *L) {
  lua_pushfstring(L, "cnet %s: Node's net for %s, on libuv %s", CNET_VERSION, LUA_VERSION, uv_version_string());
  return 1;
}

void cnet_version_register(lua_State *L) {
  lua_pushliteral(L, "cnet " CNET_VERSION);
  lua_setfield(L, -2, "_VERSION");
  lua_createtable(L, 0, 1);
  lua_pushcfunction(L, net_tostring);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2);
}
