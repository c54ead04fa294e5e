#include "handle/native.h"

#include "handle/options.h"

static cnet_native *self_native(lua_State *L) { return cnet_class_self(L, CNET_NATIVE); }

cnet_native *cnet_native_test(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_NATIVE);
}

cnet_handle *cnet_native_take(cnet_native *n) {
  cnet_handle *h = n->handle;
  n->handle = NULL;
  return h;
}

void cnet_native_close(cnet_native *n) {
  cnet_handle *h = cnet_native_take(n);
  if (h) cnet_handle_abandon(h);
}

/* ---- the class ---- */

static int method_close(lua_State *L) {
  cnet_native_close(self_native(L));
  return 0;
}

static int get_fd(lua_State *L) { /* -1 once it is taken or closed, as Node's handles have it */
  cnet_native *n = self_native(L);
  lua_pushinteger(L, n->handle ? cnet_handle_fd(n->handle) : -1);
  return 1;
}

static int native_gc(lua_State *L) {
  cnet_native *n = lua_touserdata(L, 1);
  cnet_handle_finalize(n->object.rt, &n->handle);
  return 0;
}

static int native_tostring(lua_State *L) {
  cnet_native *n = lua_touserdata(L, 1);
  cnet_address address;
  if (!n->handle) {
    lua_pushliteral(L, "net.Native (closed)");
  } else if (cnet_handle_sockname(n->handle, &address) == 0) {
    lua_pushfstring(L, address.family == 6 ? "net.Native ([%s]:%d)" : "net.Native (%s:%d)", address.ip, address.port);
  } else {
    lua_pushliteral(L, "net.Native (pipe)");
  }
  return 1;
}

static const cnet_member members[] = {
    {"close", method_close, NULL, NULL}, {"fd", NULL, get_fd, NULL}, {NULL, NULL, NULL, NULL}};

static const cnet_class native_class = {.id = CNET_NATIVE,
                                        .name = "net.Native",
                                        .members = members,
                                        .gc = native_gc,
                                        .tostring = native_tostring,
                                        .close = method_close};

cnet_native *cnet_native_push(lua_State *L, cnet_runtime *rt) {
  cnet_native *n = cnet_class_new(L, rt, sizeof *n, CNET_USERVALUES);
  cnet_class_dress(L, &native_class);
  return n;
}

void cnet_native_register(lua_State *L) {
  cnet_class_define(L, &native_class);
  lua_pop(L, 1);
}
