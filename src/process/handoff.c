#include "process/handoff.h"

#include <string.h>

#include "core/error.h"
#include "handle/bound_socket.h"
#include "process/socket_list.h"
#include "server/server.h"
#include "socket/class.h"
#include "stream/readable.h"

static cnet_server *server_at(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_SERVER);
}

static cnet_socket *socket_at(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_SOCKET);
}

/* As in Node one at a path stays here. */
static bool check_bound(lua_State *L, const cnet_bound_socket *b) {
  if (cnet_bound_socket_is_pipe(b)) return false;
  if (!cnet_bound_socket_is_spent(b)) return true;
  cnet_error_push(
      L, "Error", "ERR_WORKER_HANDLE_NOT_TRANSFERABLE",
      "net.BoundSocket cannot be transferred in its current state; it must be a freshly created or accepted "
      "handle that has not started reading and has no pending writes");
  cnet_error_throw(L);
  return false;
}

void cnet_handoff_check(lua_State *L, cnet_runtime *rt, int handle) {
  const cnet_socket *s = socket_at(L, rt, handle);
  const cnet_bound_socket *b = cnet_bound_socket_test(L, rt, handle);
  bool good = s   ? !s->handle || s->handle->kind == CNET_HANDLE_TCP || s->handle->kind == CNET_HANDLE_PIPE
              : b ? check_bound(L, b)
                  : server_at(L, rt, handle) || cnet_native_test(L, rt, handle);
  if (good) return;
  cnet_error_push(L, "TypeError", "ERR_INVALID_HANDLE_TYPE", "This handle type cannot be sent");
  cnet_error_throw(L);
}

/* ---- going out ---- */

/* Pushes a net.Native over a duplicate of the handle: the object keeps its own, and may close it at any time. */
static int push_duplicate(lua_State *L, cnet_handle *h, cnet_packed *out) {
  int status;
  cnet_native *n = cnet_native_push(L, h->rt);
  n->handle = cnet_handle_duplicate(h, &status);
  out->owned = true;
  if (n->handle) return 1;
  lua_pop(L, 1);
  return status;
}

static int pack_server(lua_State *L, cnet_server *s, cnet_packed *out) {
  int status;
  out->type = "net.Server";
  if (!s->handle) return 0;
  status = push_duplicate(L, s->handle, out);
  if (status > 0) lua_pushnil(L);
  return status;
}

/* Pushes the key of the server that has accepted the socket, nil if none has. */
static void push_key(lua_State *L, cnet_runtime *rt, int channel, int socket) {
  int server = lua_gettop(L) + 1;
  lua_getiuservalue(L, socket, CNET_SOCKET_OWNER);
  if (server_at(L, rt, server)) {
    cnet_socket_list_send(L, channel, server);
  } else {
    lua_pushnil(L);
  }
  lua_remove(L, server);
}

/* Without keepOpen the socket's own handle goes, and is closed here once it has arrived. */
static int pack_socket(lua_State *L, cnet_runtime *rt, cnet_socket *s, int channel, int socket, bool keep_open,
                       cnet_packed *out) {
  int status = 1, native = lua_gettop(L) + 1;
  out->type = "net.Socket";
  if (!s->handle || s->connecting || s->handle->life != CNET_HANDLE_OPEN) return 0;
  if (keep_open) {
    status = push_duplicate(L, s->handle, out);
    if (status > 0) push_key(L, rt, channel, socket);
    return status;
  }
  cnet_native_push(L, rt);
  push_key(L, rt, channel, socket); /* before it leaves: the server, if that was its last, has to wait */
  ((cnet_native *)lua_touserdata(L, native))->handle = cnet_socket_detach(L, s, socket);
  out->owned = out->retry = true;
  return status;
}

/* Its own handle goes, whatever keepOpen says: here nobody has it any more. */
static int pack_bound(lua_State *L, cnet_runtime *rt, cnet_bound_socket *b, cnet_packed *out) {
  cnet_native *n = cnet_native_push(L, rt);
  if (cnet_bound_socket_is_spent(b)) { /* while it waited for its turn */
    lua_pop(L, 1);
    return UV_EBADF;
  }
  n->handle = cnet_bound_socket_take(L, b);
  lua_pushnil(L);
  out->type = "net.BoundSocket";
  out->owned = out->retry = true;
  return 1;
}

int cnet_handoff_pack(lua_State *L, int channel, int handle, bool keep_open, cnet_packed *out) {
  cnet_runtime *rt = cnet_channel_at(L, channel)->object.rt;
  cnet_bound_socket *bound = cnet_bound_socket_test(L, rt, handle);
  cnet_server *server = server_at(L, rt, handle);
  cnet_socket *socket = socket_at(L, rt, handle);
  cnet_native *native = cnet_native_test(L, rt, handle);
  if (server) return pack_server(L, server, out);
  if (socket) return pack_socket(L, rt, socket, channel, handle, keep_open, out);
  if (bound) return pack_bound(L, rt, bound, out);
  if (!native || !native->handle) return 0;
  out->type = "net.Native";
  lua_pushvalue(L, handle);
  lua_pushnil(L);
  return 1;
}

/* ---- coming in ---- */

static void push_socket(lua_State *L, int channel, int envelope, cnet_native *n) {
  cnet_socket *s = cnet_socket_wrap(L, n);
  int socket = lua_gettop(L);
  if (lua_getfield(L, envelope, "key") != LUA_TNIL) cnet_socket_list_add(L, channel, socket + 1, socket);
  lua_settop(L, socket);
  cnet_readable_read(L, &s->stream, socket, 0);
  lua_settop(L, socket);
}

void cnet_handoff_unpack(lua_State *L, int channel, int envelope, int native) {
  cnet_runtime *rt = cnet_channel_at(L, channel)->object.rt;
  cnet_native *n = cnet_native_test(L, rt, native);
  const char *type;
  int top = lua_gettop(L);
  lua_getfield(L, envelope, "type");
  type = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
  if (!n || !n->handle) {
    lua_pushnil(L);
  } else if (strcmp(type, "net.Socket") == 0) {
    push_socket(L, channel, envelope, n);
  } else if (strcmp(type, "net.Server") == 0) {
    cnet_server_push_over(L, n);
  } else if (strcmp(type, "net.BoundSocket") == 0) {
    cnet_bound_socket_push_over(L, n);
  } else if (strcmp(type, "net.Native") == 0) {
    lua_pushvalue(L, native);
  } else { /* a datagram socket, or what a later Node may send */
    cnet_native_close(n);
    lua_pushnil(L);
  }
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}
