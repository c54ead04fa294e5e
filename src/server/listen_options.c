#include "server/listen_options.h"

#include <lauxlib.h>
#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "text/address.h"

int cnet_listen_callback(lua_State *L) {
  int last = lua_gettop(L);
  return last >= 2 && lua_isfunction(L, last) ? last : 0;
}

/* listen(port, 511), listen(port, host, 511): a second or third argument that counts as a number above 0 */
static int backlog_argument(lua_State *L, int argc) {
  int i;
  for (i = 3; i <= 4 && i < argc + 2; i++) {
    double n = cnet_to_number(L, i);
    if (n > 0) return n < 65535 ? (int)n : 65535;
  }
  return 0;
}

static bool flag(lua_State *L, int options, const char *name) {
  bool is;
  if (!options) return false;
  lua_getfield(L, options, name);
  is = cnet_truthy(L, -1);
  lua_pop(L, 1);
  return is;
}

/* Leaves the field, or nil, on the stack. */
static int field(lua_State *L, int options, const char *name) {
  if (options) return lua_getfield(L, options, name);
  lua_pushnil(L);
  return LUA_TNIL;
}

/* Looks for a handle in options._handle and options.handle; whatever stands there takes the options' place. */
static void find_handle(lua_State *L, bool (*is_handle)(lua_State *, int), cnet_listen_options *out) {
  static const char *const names[] = {"_handle", "handle", NULL};
  int i;
  if (is_handle(L, out->options)) {
    out->handle = out->options;
    out->options = 0;
    return;
  }
  for (i = 0; lua_istable(L, out->options) && names[i]; i++) {
    lua_getfield(L, out->options, names[i]);
    if (is_handle(L, -1)) {
      out->handle = lua_gettop(L);
      out->options = 0;
      return;
    }
    if (lua_istable(L, -1)) {
      out->options = lua_gettop(L);
      return;
    }
    lua_pop(L, 1);
  }
}

static void bad_options(lua_State *L, const cnet_listen_options *out, bool has_key) {
  if (has_key) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE",
                    "The argument 'options' is invalid: it needs a port (a number or a string) or a path");
  } else {
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE",
                    "The argument 'options' must have the property \"port\" or \"path\"%s",
                    out->options ? "" : ": this has no open handle");
  }
  cnet_error_throw(L);
}

/* No port, which is nil, is any port that is free. */
static void parse_port(lua_State *L, int port, int host, cnet_listen_options *out) {
  out->kind = CNET_LISTEN_PORT;
  out->port = port ? cnet_check_port(L, port, "options.port", true) : 0;
  if (!host || !cnet_truthy(L, host)) return;
  out->host = cnet_check_host(L, host);
}

static void parse_path(lua_State *L, int path, cnet_listen_options *out) {
  out->kind = CNET_LISTEN_PATH;
  out->path = lua_tolstring(L, path, &out->path_length);
  if (!out->options) return;
  if (out->path[0] == '\0' && (flag(L, out->options, "readableAll") || flag(L, out->options, "writableAll"))) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE",
                    "The argument 'options' cannot have readableAll or writableAll with an abstract path");
    cnet_error_throw(L);
  }
  out->readable_all = field(L, out->options, "readableAll") == LUA_TBOOLEAN && lua_toboolean(L, -1);
  out->writable_all = field(L, out->options, "writableAll") == LUA_TBOOLEAN && lua_toboolean(L, -1);
}

/* Is a number of 0 or more there? One that no descriptor can have is read as -1, which listening on will tell. */
static bool read_fd(lua_State *L, int index, int *fd) {
  lua_Number n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  *fd = n >= 0 && n <= 2147483647.0 && n == floor(n) ? (int)n : -1;
  return n >= 0;
}

/* listen{...} */
static void parse_table(lua_State *L, cnet_listen_options *out) {
  static const char names[] =
      "port host path fd handle _handle backlog exclusive reusePort ipv6Only readableAll writableAll "
      "signal";
  int port, path, host;
  cnet_strict_options(L, cnet_runtime_of(L), out->options, "server:listen", names, "");
  if (field(L, out->options, "ipv6Only") == LUA_TBOOLEAN) out->ipv6_only = lua_toboolean(L, -1);
  out->exclusive = flag(L, out->options, "exclusive");
  out->reuse_port = flag(L, out->options, "reusePort");
  field(L, out->options, "fd");
  if (read_fd(L, -1, &out->fd)) {
    out->kind = CNET_LISTEN_FD;
    return;
  }
  if (field(L, out->options, "backlog") != LUA_TNIL) {
    double n = cnet_to_number(L, -1);
    if (n > 0) out->backlog = n < 65535 ? (int)n : 65535;
  }
  field(L, out->options, "port");
  field(L, out->options, "path");
  field(L, out->options, "host");
  host = lua_gettop(L);
  path = host - 1;
  port = host - 2;
  if (lua_type(L, port) == LUA_TNUMBER || lua_type(L, port) == LUA_TSTRING) {
    parse_port(L, port, host, out);
  } else if (lua_type(L, path) == LUA_TSTRING && lua_rawlen(L, path) > 0 && cnet_is_pipe_name(L, path)) {
    parse_path(L, path, out);
  } else {
    bad_options(L, out, !lua_isnil(L, port) || !lua_isnil(L, path));
  }
}

void cnet_listen_parse(lua_State *L, bool (*is_handle)(lua_State *L, int index), cnet_listen_options *out) {
  int argc = lua_gettop(L) - 1, host;
  memset(out, 0, sizeof *out);
  out->callback = cnet_listen_callback(L);
  if (lua_gettop(L) < 4) lua_settop(L, 4);
  out->backlog = backlog_argument(L, argc);
  luaL_checkstack(L, 20, NULL);
  host = lua_type(L, 3) == LUA_TSTRING ? 3 : 0;
  if (lua_istable(L, 2) || lua_isuserdata(L, 2)) {
    out->options = 2;
    find_handle(L, is_handle, out);
    if (out->handle) {
      out->kind = CNET_LISTEN_HANDLE;
    } else if (lua_istable(L, out->options)) {
      parse_table(L, out);
    } else {
      out->options = 0;
      bad_options(L, out, false);
    }
  } else if (lua_isnil(L, 2) || lua_isfunction(L, 2)) {
    parse_port(L, 0, host, out);
  } else if (cnet_is_pipe_name(L, 2)) {
    cnet_address_check_path(L, 2, 3, "listen", false);
    parse_path(L, 2, out);
  } else if (lua_type(L, 2) == LUA_TNUMBER || lua_type(L, 2) == LUA_TSTRING) {
    parse_port(L, 2, host, out);
  } else {
    bad_options(L, out, true);
  }
}
