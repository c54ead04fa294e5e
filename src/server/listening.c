#include "server/listening.h"

#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/ticks.h"
#include "event/abort.h"
#include "handle/bound_socket.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "server/holders.h"
#include "server/listen_handle.h"
#include "socket/lookup.h"
#include "text/address.h"

/* ---- the primary of a cluster ---- */

typedef struct {
  const cnet_primary_ops *primary;
} state;

static const cnet_room room = {sizeof(state), NULL};

void cnet_server_set_primary(lua_State *L, const cnet_primary_ops *ops) {
  state *s = cnet_runtime_room(L, cnet_runtime_open(L), &room);
  s->primary = ops;
}

const cnet_primary_ops *cnet_server_primary(const cnet_runtime *rt) {
  const state *s = cnet_rooms_find(&rt->rooms, &room);
  return s ? s->primary : NULL;
}

/* ---- close ---- */

/* The server no longer listens through the primary, if it did. */
static void leave_primary(lua_State *L, int self) {
  const cnet_primary_ops *primary = cnet_server_primary(cnet_server_runtime(cnet_server_at(L, self)));
  if (!primary) return;
  if (cnet_class_slot(L, self, CNET_SLOT_SERVER_SHARE) != LUA_TNIL) {
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_SERVER_SHARE);
    primary->leave(L, lua_gettop(L));
  }
  lua_pop(L, 1);
}

void cnet_server_close(lua_State *L, cnet_server *s, int self) {
  s->listening_id++;
  s->beginning = false;
  cnet_server_disown(L, s);
  leave_primary(L, self);
  cnet_server_await_holders(L, s, self);
  cnet_server_emit_close_if_drained(L, s, self);
}

/* ---- the outcome ---- */

static bool is_handle(lua_State *L, int index) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_server *server = cnet_class_test(L, rt, index, CNET_SERVER);
  cnet_socket *socket = server ? NULL : cnet_class_test(L, rt, index, CNET_SOCKET);
  cnet_native *native = server || socket ? NULL : cnet_native_test(L, rt, index);
  return (server && server->handle) || (socket && socket->handle) || (native && native->handle) ||
         cnet_bound_socket_test(L, rt, index);
}

/* The handle of what is_handle has found. A net.Native's and a net.BoundSocket's is taken over, and is nobody else's to
 * share. */
static cnet_handle *handle_at(lua_State *L, int index, bool *taken) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_server *server = cnet_class_test(L, rt, index, CNET_SERVER);
  cnet_native *native = cnet_native_test(L, rt, index);
  cnet_bound_socket *bound = cnet_bound_socket_test(L, rt, index);
  *taken = native || bound;
  if (native) return cnet_native_take(native);
  if (bound) return cnet_bound_socket_take(L, bound);
  return server ? server->handle : cnet_socket_at(L, index)->handle;
}

/* (server, listening id): 'close' after a failed listen, unless something was begun since */
static int tick_close_after_failure(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (s->listening_id != lua_tointeger(L, 2)) return 0;
  if (cnet_server_is_drained(s)) cnet_emit(L, 1, "close", 0);
  return 0;
}

/* Emits the error on top, which it pops. The 'close' is queued first: it comes even if nobody hears the error. */
static void fail(lua_State *L, cnet_server *s, int self) {
  lua_pushcfunction(L, tick_close_after_failure);
  lua_pushvalue(L, self);
  lua_pushinteger(L, s->listening_id);
  cnet_tick(L, cnet_server_runtime(s), 2);
  cnet_emit(L, self, "error", 1);
}

static int tick_fail(lua_State *L) { /* (server, error) */
  lua_settop(L, 2);
  fail(L, lua_touserdata(L, 1), 1);
  return 0;
}

static int tick_listening(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (cnet_server_is_listening(s)) cnet_emit(L, 1, "listening", 0);
  return 0;
}

/* What address() tells of a server on a path. */
static void remember_path(lua_State *L, int self, const cnet_listen_options *o) {
  const cnet_bound_socket *bound =
      o->handle ? cnet_bound_socket_test(L, cnet_server_runtime(cnet_server_at(L, self)), o->handle) : NULL;
  if (o->kind == CNET_LISTEN_PATH) {
    lua_pushlstring(L, o->path, o->path_length);
  } else if (bound && !cnet_bound_socket_is_spent(bound)) {
    cnet_bound_socket_push_path(L, o->handle);
  } else {
    return;
  }
  cnet_class_set_slot(L, self, CNET_SLOT_SERVER_PATH);
}

/* Gives the server the handle it was asked for. */
static int open_handle(lua_State *L, cnet_server *s, const cnet_listen_options *o, const char *ip,
                       cnet_listen_handle_place *at) {
  cnet_handle *given = NULL;
  bool taken = false;
  int status;
  if (o->handle) given = handle_at(L, o->handle, &taken);
  if (taken) {
    s->handle = given;
    memset(at, 0, sizeof *at);
    at->port = -1;
    return 0;
  }
  s->handle = cnet_listen_handle_open(cnet_server_runtime(s), o, ip, given, at, &status);
  return status;
}

/* The outcome of listening: 'listening' or 'error', in a tick. */
static void settle(lua_State *L, cnet_server *s, int self, int status, const cnet_listen_handle_place *at) {
  cnet_runtime *rt = cnet_server_runtime(s);
  if (status == 0) {
    if (s->handle) cnet_server_own(L, s, self, s->handle);
    if (s->unref) cnet_server_set_ref(s, false);
    cnet_tick_object(L, rt, tick_listening, self);
    return;
  }
  lua_pushcfunction(L, tick_fail);
  lua_pushvalue(L, self);
  if (at->address) lua_pushlstring(L, at->address, at->length);
  cnet_error_push_listen(L, status, at->address ? lua_gettop(L) : 0, at->port);
  if (at->address) lua_remove(L, -2);
  cnet_tick(L, rt, 2);
}

/* The handle cannot listen. One that is shared stays with the other holder: its connection is none of ours. */
static void drop_handle(cnet_server *s) {
  if (s->handle) cnet_handle_abandon(s->handle);
  s->handle = NULL;
}

static void set_modes(lua_State *L, cnet_server *s, const cnet_listen_options *o) {
  int mode = (o->readable_all ? UV_READABLE : 0) | (o->writable_all ? UV_WRITABLE : 0);
  int status = mode && s->handle ? cnet_handle_chmod(s->handle, mode) : 0;
  if (status == 0) return;
  cnet_handle_close(L, s->handle, NULL, 0);
  s->handle = NULL;
  cnet_error_push_system(L, status, "uv_pipe_chmod");
  cnet_error_throw(L);
}

/* Listens by itself. */
static void listen_here(lua_State *L, cnet_server *s, int self, const cnet_listen_options *o, const char *ip) {
  cnet_listen_handle_place at;
  int status = open_handle(L, s, o, ip, &at);
  if (status == 0) status = cnet_handle_listen(s->handle, o->backlog ? o->backlog : CNET_DEFAULT_BACKLOG);
  if (status < 0) drop_handle(s);
  settle(L, s, self, status, &at);
  set_modes(L, s, o);
}

int cnet_server_listen_on(lua_State *L, cnet_server *s, int self, cnet_native *native) {
  cnet_listen_handle_place at = {NULL, 0, -1};
  int status = cnet_handle_listen(native->handle, CNET_DEFAULT_BACKLOG);
  if (status < 0) return status;
  s->handle = cnet_native_take(native);
  settle(L, s, self, 0, &at);
  return 0;
}

/* ---- listen in a worker of a cluster ---- */

/* Upvalues of an answer's listener. The address is nil if none was asked for; the port and the backlog were ints. */
enum { ANSWER_SERVER = 2, ANSWER_ID, ANSWER_ADDRESS, ANSWER_PORT, ANSWER_BACKLOG, ANSWER_LAST = ANSWER_BACKLOG };

/* A port that was taken shows only here if the primary bound a handle and did not look: it has another port. */
static int check_port(lua_State *L, int share, const cnet_native *native, int port) {
  cnet_address address = {.port = port};
  if (port <= 0) return 0;
  if (native && native->handle) {
    cnet_handle_sockname(native->handle, &address);
  } else if (lua_getfield(L, share, "sockname") == LUA_TTABLE) {
    address.port = cnet_get_int(L, -1, "port");
  }
  return address.port == port ? 0 : UV_EADDRINUSE;
}

/* The server takes the handle, or none, and listens. */
static int begin_share(lua_State *L, cnet_server *s, int self, cnet_native *native, int backlog) {
  int status;
  if (!native) {
    cnet_server_own_remote(L, s, self);
    return 0;
  }
  s->handle = cnet_native_take(native);
  status = s->handle ? cnet_handle_listen(s->handle, backlog ? backlog : CNET_DEFAULT_BACKLOG) : UV_EBADF;
  if (status < 0) drop_handle(s);
  return status;
}

static void fail_to_bind(lua_State *L, cnet_server *s, int self, int status) {
  int address = lua_gettop(L) + 1;
  lua_pushvalue(L, lua_upvalueindex(ANSWER_ADDRESS));
  cnet_error_push_endpoint(L, status, "bind", lua_isnil(L, address) ? 0 : address,
                           (int)lua_tointeger(L, lua_upvalueindex(ANSWER_PORT)), NULL);
  fail(L, s, self);
}

static int listener_answer(lua_State *L) { /* (share, status, native) */
  enum { SHARE = 1, STATUS, NATIVE, SELF };
  cnet_server *s = lua_touserdata(L, lua_upvalueindex(ANSWER_SERVER));
  const cnet_primary_ops *primary = cnet_server_primary(cnet_server_runtime(s));
  cnet_listen_handle_place at = {.port = (int)lua_tointeger(L, lua_upvalueindex(ANSWER_PORT))};
  int status;
  cnet_native *native;
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(ANSWER_SERVER));
  status = (int)lua_tointeger(L, STATUS);
  native = cnet_native_test(L, cnet_server_runtime(s), NATIVE);
  if (s->listening_id != lua_tointeger(L, lua_upvalueindex(ANSWER_ID))) { /* it is too late */
    if (native) cnet_native_close(native);
    primary->leave(L, SHARE);
    return 0;
  }
  s->beginning = false;
  if (status == 0) status = check_port(L, SHARE, native, at.port);
  if (status < 0) {
    if (native) cnet_native_close(native);
    primary->leave(L, SHARE);
    fail_to_bind(L, s, SELF, status);
    return 0;
  }
  status = begin_share(L, s, SELF, native, (int)lua_tointeger(L, lua_upvalueindex(ANSWER_BACKLOG)));
  if (status < 0) {
    primary->leave(L, SHARE);
  } else {
    lua_pushvalue(L, SHARE);
    cnet_class_set_slot(L, SELF, CNET_SLOT_SERVER_SHARE);
    if (s->remote && s->paused) primary->pause(L, SHARE, true);
  }
  at.address = lua_tolstring(L, lua_upvalueindex(ANSWER_ADDRESS), &at.length);
  settle(L, s, SELF, status, &at);
  return 0;
}

static void ask_primary(lua_State *L, cnet_server *s, int self, const cnet_listen_options *o, const char *ip) {
  lua_pushvalue(L, self);
  lua_pushinteger(L, s->listening_id);
  if (o->kind == CNET_LISTEN_PATH) {
    lua_pushlstring(L, o->path, o->path_length);
  } else {
    lua_pushstring(L, ip); /* NULL: nil */
  }
  lua_pushinteger(L, o->kind == CNET_LISTEN_PORT ? o->port : o->kind == CNET_LISTEN_PATH ? -1 : 0);
  lua_pushinteger(L, o->backlog);
  cnet_emitter_push_listener(L, listener_answer, ANSWER_LAST - 1);
  s->beginning = true;
  cnet_server_primary(cnet_server_runtime(s))->ask(L, self, o, ip);
}

static void listen_at(lua_State *L, cnet_server *s, int self, const cnet_listen_options *o, const char *ip) {
  bool alone = o->exclusive || o->reuse_port || o->kind == CNET_LISTEN_HANDLE;
  remember_path(L, self, o);
  if (cnet_server_primary(cnet_server_runtime(s)) && !alone) {
    ask_primary(L, s, self, o, ip);
  } else {
    listen_here(L, s, self, o, ip);
  }
}
/* ---- listen on a host's name ---- */

enum { IPV6_ONLY = 1, REUSE_PORT = 2, EXCLUSIVE = 4 };

/* Pushes the address to listen on of the list at index 2: the first that is not link-local, if there is one. Nobody
 * reaches a link-local one by the name alone, and binding it needs a zone, which a resolver may not tell. */
static const char *push_address(lua_State *L) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, 2), chosen = 1;
  for (i = n; i >= 1; i--) {
    lua_rawgeti(L, 2, i);
    if (!cnet_is_link_local(cnet_get_string(L, lua_gettop(L), "address"))) chosen = i;
    lua_pop(L, 1);
  }
  lua_rawgeti(L, 2, chosen);
  lua_getfield(L, -1, "address");
  lua_remove(L, -2);
  return lua_tostring(L, -1);
}

/* (err, list); upvalues: 2 server, 3 listening id, and ints: 4 port, 5 backlog, 6 flags */
static int listener_lookup(lua_State *L) {
  cnet_server *s = lua_touserdata(L, lua_upvalueindex(2));
  cnet_listen_options o = {.kind = CNET_LISTEN_PORT};
  int flags = (int)lua_tointeger(L, lua_upvalueindex(6));
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (s->listening_id != lua_tointeger(L, lua_upvalueindex(3))) return 0;
  s->beginning = false;
  if (!lua_isnil(L, 1)) {
    lua_pushvalue(L, 1);
    fail(L, s, 3);
    return 0;
  }
  o.port = (int)lua_tointeger(L, lua_upvalueindex(4));
  o.backlog = (int)lua_tointeger(L, lua_upvalueindex(5));
  o.ipv6_only = flags & IPV6_ONLY;
  o.reuse_port = flags & REUSE_PORT;
  o.exclusive = flags & EXCLUSIVE;
  listen_at(L, s, 3, &o, push_address(L));
  return 0;
}

static void push_literal_result(lua_State *L, const char *ip, int family) {
  lua_pushnil(L);
  lua_createtable(L, 1, 0);
  lua_createtable(L, 0, 2);
  lua_pushstring(L, ip);
  lua_setfield(L, -2, "address");
  lua_pushinteger(L, family);
  lua_setfield(L, -2, "family");
  lua_rawseti(L, -2, 1);
}

/* An address that needs no lookup is listened on in a tick, as in Node. */
static void lookup_and_listen(lua_State *L, cnet_server *s, int self, const cnet_listen_options *o) {
  int family = cnet_is_ip(o->host, strlen(o->host));
  lua_pushvalue(L, self);
  lua_pushinteger(L, s->listening_id);
  lua_pushinteger(L, o->port);
  lua_pushinteger(L, o->backlog);
  lua_pushinteger(L,
                  (o->ipv6_only ? IPV6_ONLY : 0) | (o->reuse_port ? REUSE_PORT : 0) | (o->exclusive ? EXCLUSIVE : 0));
  cnet_emitter_push_listener(L, listener_lookup, 5);
  s->beginning = true;
  if (family) {
    push_literal_result(L, o->host, family);
    cnet_tick(L, cnet_server_runtime(s), 2);
  } else {
    cnet_lookup(L, cnet_server_runtime(s), o->host, 0, 0);
  }
}

/* ---- the signal option ---- */

static int listener_abort(lua_State *L) { /* upvalue 2: the server */
  cnet_server *s = lua_touserdata(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  cnet_server_close(L, s, 1);
  return 0;
}

static void use_signal(lua_State *L, cnet_server *s, int self, int options) {
  cnet_runtime *rt = cnet_server_runtime(s);
  int top = lua_gettop(L), signal = top + 1;
  if (!options || lua_getfield(L, options, "signal") == LUA_TNIL) {
    lua_settop(L, top);
    return;
  }
  cnet_abort_check(L, rt, signal, "options.signal");
  lua_pushvalue(L, self);
  cnet_emitter_push_listener(L, listener_abort, 1);
  if (cnet_abort_is_aborted(L, signal)) {
    cnet_tick(L, rt, 0);
  } else {
    cnet_abort_add_until(L, signal, self, "close");
  }
  lua_settop(L, top);
}

static void check_not_listening(lua_State *L, const cnet_server *s) {
  if (!cnet_server_is_listening(s)) return;
  cnet_error_push(L, "Error", "ERR_SERVER_ALREADY_LISTEN",
                  "Listen method has been called more than once without closing.");
  cnet_error_throw(L);
}

int cnet_server_method_listen(lua_State *L) {
  cnet_server *s = cnet_class_self(L, CNET_SERVER);
  cnet_listen_options o;
  int callback;
  cnet_trim_nils(L, 2);
  callback = cnet_listen_callback(L);
  check_not_listening(L, s);
  if (s->collected) luaL_error(L, "the server was collected"); /* nobody would close the handle */
  if (callback) {
    lua_pushvalue(L, callback);
    cnet_emitter_once(L, 1, "listening");
  }
  s->listening_id++; /* as in Node also if the arguments are refused: a lookup that is under way is given up */
  s->beginning = false;
  cnet_listen_parse(L, is_handle, &o);
  s->listening_id++; /* an __index of the options may have called listen */
  s->beginning = false;
  use_signal(L, s, 1, o.options);
  check_not_listening(L, s); /* an __index of the options, or a 'newListener', may have called listen */
  if (o.host) {
    lookup_and_listen(L, s, 1, &o);
  } else {
    listen_at(L, s, 1, &o, NULL);
  }
  lua_settop(L, 1);
  return 1;
}
