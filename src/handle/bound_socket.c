#include "handle/bound_socket.h"

#include <string.h>
#include <sys/socket.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "handle/listen.h"
#include "handle/options.h"

struct cnet_bound_socket {
  cnet_object object;
  cnet_handle *handle;    /* NULL once it is taken or closed */
  cnet_address address;   /* unless it is a pipe */
  bool is_pipe, is_taken; /* the second tells a handle that was taken from one that was closed */
};

enum { SLOT_PATH = 1 };

static cnet_bound_socket *self_bound(lua_State *L) { return cnet_class_self(L, CNET_BOUND_SOCKET); }

cnet_bound_socket *cnet_bound_socket_test(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_BOUND_SOCKET);
}

bool cnet_bound_socket_is_spent(const cnet_bound_socket *b) { return !b->handle; }

bool cnet_bound_socket_is_pipe(const cnet_bound_socket *b) { return b->is_pipe; }

void cnet_bound_socket_push_path(lua_State *L, int index) { cnet_class_slot(L, index, SLOT_PATH); }

static void check_unspent(lua_State *L, const cnet_bound_socket *b) {
  if (b->handle) return;
  cnet_error_push(L, "Error", "ERR_SOCKET_HANDLE_ADOPTED",
                  "The bound socket has already been adopted by a server or socket");
  cnet_error_throw(L);
}

cnet_handle *cnet_bound_socket_take(lua_State *L, cnet_bound_socket *b) {
  cnet_handle *h = b->handle;
  check_unspent(L, b);
  b->handle = NULL;
  b->is_taken = true;
  return h;
}

static void close_handle(cnet_bound_socket *b) {
  cnet_handle *h = b->handle;
  b->handle = NULL;
  if (h) cnet_handle_abandon(h);
}

/* ---- making one ---- */

static const cnet_class bound_class;

/* Pushes one without a handle: the handle is made when its owner is there. */
static cnet_bound_socket *push_empty(lua_State *L, cnet_runtime *rt) {
  cnet_bound_socket *b = cnet_class_new(L, rt, sizeof *b, CNET_USERVALUES);
  cnet_class_dress(L, &bound_class);
  return b;
}

void cnet_bound_socket_push_over(lua_State *L, cnet_native *native) {
  cnet_bound_socket *b = push_empty(L, native->object.rt);
  b->handle = cnet_native_take(native);
  if (b->handle && cnet_handle_sockname(b->handle, &b->address) == 0 && b->address.family != 0) return;
  close_handle(b);
  lua_pop(L, 1);
  lua_pushnil(L);
}

static bool check_boolean(lua_State *L, int index, const char *name) {
  if (!lua_isnil(L, index) && !lua_isboolean(L, index)) {
    lua_pushfstring(L, "options.%s", name);
    cnet_error_arg_type(L, "property", lua_tostring(L, -1), "of type boolean", index);
  }
  return lua_toboolean(L, index);
}

/* The options, where construct puts them. */
enum { OPTIONS = 1, PATH, HOST, PORT, IPV6_ONLY, REUSE_PORT };

/* What is left to the kernel here (a port in use) libuv tells no sooner than it is asked for the address. */
static void bind_address(lua_State *L, cnet_bound_socket *b, int port, unsigned flags, bool reuse_port) {
  const char *host = lua_tostring(L, HOST);
  int status;
  b->handle = cnet_handle_new(b->object.rt, CNET_HANDLE_TCP, &status);
  if (b->handle) status = cnet_handle_bind(b->handle, host, port, flags, reuse_port);
  if (status == 0) status = cnet_handle_sockname(b->handle, &b->address);
  if (status == 0) return;
  close_handle(b);
  cnet_error_push_endpoint(L, status, "bind", HOST, port, NULL);
  cnet_error_throw(L);
}

static void construct_address(lua_State *L, cnet_runtime *rt) {
  int port = lua_isnil(L, PORT) ? 0 : cnet_check_port(L, PORT, "options.port", true), family;
  bool ipv6_only = check_boolean(L, IPV6_ONLY, "ipv6Only"), reuse_port = check_boolean(L, REUSE_PORT, "reusePort");
  size_t length;
  const char *host;
  if (lua_isnil(L, HOST)) {
    lua_pushstring(L, ipv6_only ? "::" : "0.0.0.0");
    lua_replace(L, HOST);
  }
  if (lua_type(L, HOST) != LUA_TSTRING) cnet_error_arg_type(L, "property", "options.host", "of type string", HOST);
  host = lua_tolstring(L, HOST, &length);
  family = cnet_is_ip(host, length);
  if (family == 0)
    cnet_error_arg_value(L, "property", "options.host", HOST,
                         "must be a numeric IP address; net.BoundSocket does not perform DNS resolution");
  bind_address(L, push_empty(L, rt), port, ipv6_only && family == 6 ? UV_TCP_IPV6ONLY : 0, reuse_port);
}

/* As in Node the empty path is a name that the kernel makes up: an abstract address of no length. */
static int bind_path(cnet_handle *h, const char *path, size_t length) {
  return length == 0 ? cnet_handle_open_abstract(h, path, 0, bind) : cnet_handle_bind_path(h, path, length);
}

static void construct_pipe(lua_State *L, cnet_runtime *rt) {
  int i, status;
  size_t length;
  const char *path;
  cnet_bound_socket *b;
  for (i = HOST; i <= REUSE_PORT; i++) {
    if (!lua_isnil(L, i))
      cnet_error_arg_value(L, "argument", "options", OPTIONS,
                           "path is mutually exclusive with host, port, ipv6Only, and reusePort");
  }
  if (lua_type(L, PATH) != LUA_TSTRING) cnet_error_arg_type(L, "property", "options.path", "of type string", PATH);
  path = lua_tolstring(L, PATH, &length);
  b = push_empty(L, rt);
  b->is_pipe = true;
  lua_pushvalue(L, PATH);
  cnet_class_set_slot(L, -2, SLOT_PATH);
  b->handle = cnet_handle_new(rt, CNET_HANDLE_PIPE, &status);
  if (b->handle) status = bind_path(b->handle, path, length);
  if (status == 0) return;
  close_handle(b);
  cnet_error_push_system(L, status, "bind");
  cnet_error_throw(L);
}

static int construct(lua_State *L) {
  static const char *const fields[] = {"path", "host", "port", "ipv6Only", "reusePort"};
  static const char names[] = "host port path ipv6Only reusePort";
  cnet_runtime *rt = cnet_runtime_open(L);
  size_t i;
  lua_settop(L, OPTIONS);
  if (lua_isnil(L, OPTIONS)) {
    lua_newtable(L);
    lua_replace(L, OPTIONS);
  }
  if (!lua_istable(L, OPTIONS)) return cnet_error_arg_type(L, "argument", "options", "of type table", OPTIONS);
  cnet_strict_options(L, rt, OPTIONS, "net.BoundSocket", names, "");
  for (i = 0; i < sizeof fields / sizeof *fields; i++) lua_getfield(L, OPTIONS, fields[i]);
  if (lua_isnil(L, PATH)) {
    construct_address(L, rt);
  } else {
    construct_pipe(L, rt);
  }
  return 1;
}

/* ---- the class ---- */

static int method_address(lua_State *L) {
  const cnet_bound_socket *b = self_bound(L);
  check_unspent(L, b);
  if (b->is_pipe) {
    cnet_bound_socket_push_path(L, 1);
  } else {
    cnet_address_push(L, &b->address);
  }
  return 1;
}

static int method_fd(lua_State *L) {
  const cnet_bound_socket *b = self_bound(L);
  check_unspent(L, b);
  lua_pushinteger(L, cnet_handle_fd(b->handle));
  return 1;
}

static int method_close(lua_State *L) {
  cnet_bound_socket *b = self_bound(L);
  check_unspent(L, b);
  close_handle(b);
  return 0;
}

static int bound_close(lua_State *L) { /* local bound <close> */
  close_handle(self_bound(L));
  return 0;
}

static int get_is_pipe(lua_State *L) {
  lua_pushboolean(L, self_bound(L)->is_pipe);
  return 1;
}

static int bound_gc(lua_State *L) {
  cnet_bound_socket *b = lua_touserdata(L, 1);
  cnet_handle_finalize(b->object.rt, &b->handle);
  return 0;
}

static int bound_tostring(lua_State *L) {
  const cnet_bound_socket *b = lua_touserdata(L, 1);
  lua_settop(L, 1);
  if (!b->handle) {
    lua_pushfstring(L, "net.BoundSocket (%s)", b->is_taken ? "adopted" : "closed");
  } else if (b->is_pipe) {
    lua_pushliteral(L, "net.BoundSocket (");
    cnet_bound_socket_push_path(L, 1);
    lua_pushliteral(L, ")");
    lua_concat(L, 3); /* by its length: an abstract name has a NUL */
  } else {
    lua_pushfstring(L, b->address.family == 6 ? "net.BoundSocket ([%s]:%d)" : "net.BoundSocket (%s:%d)", b->address.ip,
                    b->address.port);
  }
  return 1;
}

static const cnet_member members[] = {{"address", method_address, NULL, NULL},
                                      {"fd", method_fd, NULL, NULL},
                                      {"close", method_close, NULL, NULL},
                                      {"isPipe", NULL, get_is_pipe, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const cnet_class bound_class = {.id = CNET_BOUND_SOCKET,
                                       .name = "net.BoundSocket",
                                       .members = members,
                                       .construct = construct,
                                       .gc = bound_gc,
                                       .tostring = bound_tostring,
                                       .close = bound_close};

void cnet_bound_socket_register(lua_State *L) {
  cnet_class_define(L, &bound_class);
  lua_setfield(L, -2, "BoundSocket");
}
