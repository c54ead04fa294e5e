#include "cluster/query.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "core/args.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "server/listen_handle.h"
#include "text/json_writer.h"
#include "text/path.h"

/* ---- the worker asks ---- */

static void set_null(lua_State *L, int message, const char *name) {
  cnet_json_push_null(L);
  lua_setfield(L, message, name);
}

static void set_flag(lua_State *L, int message, const char *name, bool on) {
  if (!on) return;
  lua_pushboolean(L, 1);
  lua_setfield(L, message, name);
}

static void set_path(lua_State *L, int message, const cnet_listen_options *o) {
  lua_pushlstring(L, o->path, o->path_length);
  if (o->path[0] != '\0') { /* an abstract name is no path */
    cnet_path_push_absolute(L, lua_gettop(L));
    lua_remove(L, -2);
  }
  lua_setfield(L, message, "address");
  cnet_set_integer(L, message, "port", -1);
  cnet_set_integer(L, message, "addressType", -1);
  set_flag(L, message, "readableAll", o->readable_all);
  set_flag(L, message, "writableAll", o->writable_all);
}

/* Node takes ipv6Only for an address alone: without one it is said of the address that stands for all. */
static void set_port(lua_State *L, int message, const cnet_listen_options *o, const char *ip) {
  if (!ip && o->ipv6_only) ip = "::";
  cnet_set_integer(L, message, "port", o->port);
  cnet_set_integer(L, message, "addressType", ip && strchr(ip, ':') ? 6 : 4);
  if (ip) {
    lua_pushstring(L, ip);
    lua_setfield(L, message, "address");
    cnet_set_integer(L, message, "flags", o->ipv6_only ? UV_TCP_IPV6ONLY : 0);
  } else {
    set_null(L, message, "address");
  }
}

void cnet_query_set(lua_State *L, int message, const cnet_listen_options *o, const char *ip) {
  set_null(L, message, "data");
  cnet_set_integer(L, message, "backlog", o->backlog);
  if (o->kind == CNET_LISTEN_PATH) {
    set_path(L, message, o);
  } else if (o->kind == CNET_LISTEN_FD) {
    set_null(L, message, "address");
    set_null(L, message, "port");
    set_null(L, message, "addressType");
    cnet_set_integer(L, message, "fd", o->fd);
  } else {
    set_port(L, message, o, ip);
  }
}

/* Pushes the field as JavaScript prints it; null and an absent field cannot be told apart once they were read. */
static void push_field(lua_State *L, int message, const char *name, const char *absent) {
  int type = lua_getfield(L, message, name);
  if (type == LUA_TSTRING) return;
  if (type == LUA_TNUMBER) {
    lua_tostring(L, -1);
    return;
  }
  lua_pop(L, 1);
  lua_pushstring(L, absent);
}

void cnet_query_push_place(lua_State *L, int message) {
  push_field(L, message, "address", "null");
  lua_pushliteral(L, ":");
  push_field(L, message, "port", "null");
  lua_pushliteral(L, ":");
  push_field(L, message, "addressType", "null");
  lua_pushliteral(L, ":");
  push_field(L, message, "fd", "undefined");
  lua_concat(L, 7);
}

/* ---- the primary opens ---- */

/* A descriptor of the primary's own, which keeps it. */
static cnet_handle *open_fd(cnet_runtime *rt, int fd, int *status) {
  cnet_listen_options o = {.kind = CNET_LISTEN_FD, .fd = fcntl(fd, F_DUPFD_CLOEXEC, 3)};
  cnet_listen_handle_place at;
  cnet_handle *h;
  if (o.fd < 0) {
    *status = errno == EBADF ? UV_EINVAL : uv_translate_sys_error(errno);
    return NULL;
  }
  h = cnet_listen_handle_open(rt, &o, NULL, NULL, &at, status);
  if (!h) close(o.fd);
  return h;
}

/* What libuv puts off until listen, a port that is in use, is told now. */
static cnet_handle *check_port(cnet_handle *h, int port, int *status) {
  cnet_address address;
  if (port == 0 || (cnet_handle_sockname(h, &address) == 0 && address.port == port)) return h;
  cnet_handle_abandon(h);
  *status = UV_EADDRINUSE;
  return NULL;
}

static cnet_handle *open_port(lua_State *L, cnet_runtime *rt, int message, lua_Integer port, int *status) {
  cnet_listen_options o = {.kind = CNET_LISTEN_PORT};
  cnet_listen_handle_place at;
  cnet_handle *h;
  if (port > 65535) {
    *status = UV_EINVAL;
    return NULL;
  }
  o.port = (int)port;
  o.ipv6_only = cnet_get_integer(L, message, "flags") & UV_TCP_IPV6ONLY;
  h = cnet_listen_handle_open(rt, &o, cnet_get_string(L, message, "address"), NULL, &at, status);
  return h ? check_port(h, o.port, status) : NULL;
}

static cnet_handle *open_path(lua_State *L, cnet_runtime *rt, int message, int *status) {
  cnet_listen_options o = {.kind = CNET_LISTEN_PATH};
  cnet_listen_handle_place at;
  cnet_handle *h = NULL;
  int top = lua_gettop(L), mode;
  *status = UV_EINVAL;
  if (lua_getfield(L, message, "address") == LUA_TSTRING) {
    cnet_path_push_shortest(L, top + 1);
    o.path = lua_tolstring(L, top + 2, &o.path_length);
    h = cnet_listen_handle_open(rt, &o, NULL, NULL, &at, status);
  }
  mode = cnet_option_true(L, message, "readableAll") ? UV_READABLE : 0;
  mode |= cnet_option_true(L, message, "writableAll") ? UV_WRITABLE : 0;
  if (h && mode) *status = cnet_handle_chmod(h, mode);
  lua_settop(L, top);
  if (!h || *status == 0) return h;
  cnet_handle_abandon(h);
  return NULL;
}

cnet_handle *cnet_query_open(lua_State *L, cnet_runtime *rt, int message, int *status) {
  lua_Integer fd = lua_getfield(L, message, "fd") == LUA_TNUMBER ? lua_tointeger(L, -1) : -1, port;
  const char *type = cnet_get_string(L, message, "addressType");
  lua_getfield(L, message, "port");
  port = lua_isnil(L, -1) ? 0 : lua_tointeger(L, -1);
  lua_pop(L, 2);
  if (type && strncmp(type, "udp", 3) == 0) { /* a worker of Node's wants a socket for datagrams */
    *status = UV_ENOTSUP;
    return NULL;
  }
  if (fd >= 0) return open_fd(rt, fd > INT_MAX ? -1 : (int)fd, status);
  return port >= 0 ? open_port(L, rt, message, port, status) : open_path(L, rt, message, status);
}
