#include "server.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "abort.h"
#include "args.h"
#include "block_list.h"
#include "error.h"
#include "listener.h"
#include "lookup.h"

enum { SLOT_PATH = 1, SLOT_BLOCK_LIST, SLOT_MAX_CONNECTIONS };

typedef struct {
  cnet_emitter emitter;
  cnet_handle *handle;
  cnet_socket_group group;
  cnet_socket_options accept;
  unsigned listening_id; /* each listen and close: what was begun before is void */
  bool looking_up;       /* a host, to listen on it */
  bool unref, drop_max_connection;
  lua_Number max_connections; /* 0: no limit */
} cnet_server;

static cnet_server *self_server(lua_State *L) { return cnet_class_self(L, CNET_SERVER); }

static cnet_runtime *runtime_of(const cnet_server *s) { return s->emitter.object.rt; }

/* ---- close ---- */

static int tick_emit_close(lua_State *L) {
  cnet_emit(L, 1, "close", 0);
  return 0;
}

static void emit_close_if_drained(lua_State *L, cnet_server *s, int self) {
  if (!s->handle && s->group.count == 0) cnet_tick_object(L, runtime_of(s), tick_emit_close, self);
}

static void on_socket_left(lua_State *L, int self) { emit_close_if_drained(L, lua_touserdata(L, self), self); }

/* The callback of a close() that had nothing to close. Upvalue 2: the callback. */
static int listener_not_running(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  cnet_error_push(L, "Error", "ERR_SERVER_NOT_RUNNING", "Server is not running.");
  lua_call(L, 1, 0);
  return 0;
}

static void close_server(lua_State *L, cnet_server *s, int self) {
  cnet_handle *h = s->handle;
  s->listening_id++;
  s->looking_up = false;
  s->handle = NULL;
  if (h) cnet_handle_close(L, h, NULL, 0);
  emit_close_if_drained(L, s, self);
}

static int method_close(lua_State *L) {
  cnet_server *s = self_server(L);
  lua_settop(L, 2);
  if (lua_isfunction(L, 2)) {
    if (!s->handle) cnet_emitter_push_listener(L, listener_not_running, 1);
    cnet_emitter_once(L, runtime_of(s), 1, "close");
  }
  close_server(L, s, 1);
  lua_settop(L, 1);
  return 1;
}

/* ---- accepting ---- */

static void set_endpoint(lua_State *L, int table, const char *prefix, const cnet_address *address) {
  if (address->family == 0) return;
  lua_pushfstring(L, "%sAddress", prefix);
  lua_pushstring(L, address->ip);
  lua_rawset(L, table);
  lua_pushfstring(L, "%sPort", prefix);
  lua_pushinteger(L, address->port);
  lua_rawset(L, table);
  lua_pushfstring(L, "%sFamily", prefix);
  lua_pushstring(L, cnet_address_family_name(address->family));
  lua_rawset(L, table);
}

/* The limit is reached: the client is let go, and 'drop' tells who it was. */
static void drop(lua_State *L, cnet_handle *listener, int self) {
  cnet_address local, remote;
  int status;
  cnet_handle *client = cnet_handle_accept(listener, &status);
  if (!client) return;
  cnet_handle_sockname(client, &local);
  cnet_handle_peername(client, &remote);
  cnet_handle_abandon(client); /* closed in this turn, once the listeners have run */
  if (listener->kind == CNET_HANDLE_TCP) {
    int data = lua_gettop(L) + 1;
    lua_createtable(L, 0, 6);
    set_endpoint(L, data, "local", &local);
    set_endpoint(L, data, "remote", &remote);
  }
  cnet_emit(L, self, "drop", listener->kind == CNET_HANDLE_TCP ? 1 : 0);
}

/* Is the client whose socket is on top one that the server's blockList names? */
static bool is_blocked(lua_State *L, int self, cnet_socket *socket) {
  cnet_address address;
  bool blocked;
  if (cnet_class_slot(L, self, SLOT_BLOCK_LIST) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  blocked = socket->handle && cnet_handle_peername(socket->handle, &address) == 0 && address.family != 0 &&
            cnet_block_list_blocks(L, -1, address.ip, address.family);
  lua_pop(L, 1);
  return blocked;
}

static void on_connection(lua_State *L, int self, int status) {
  cnet_server *s = lua_touserdata(L, self);
  if (status == 0) {
    if (s->max_connections > 0 && s->group.count >= s->max_connections) {
      drop(L, s->handle, self);
      return;
    }
    cnet_socket *socket = cnet_socket_accept(L, s->handle, self, &s->group, &s->accept, &status);
    if (socket) {
      if (is_blocked(L, self, socket)) {
        cnet_stream_destroy(L, &socket->stream, lua_gettop(L), 0);
      } else {
        cnet_emit(L, self, "connection", 1);
      }
      return;
    }
  }
  cnet_error_push_system(L, status, "accept");
  cnet_emit(L, self, "error", 1);
}

static const cnet_handle_owner handle_owner = {on_connection, NULL};

/* ---- listen ---- */

static bool is_handle(lua_State *L, int index) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_server *server = cnet_class_test(L, rt, index, CNET_SERVER);
  cnet_socket *socket = server ? NULL : cnet_class_test(L, rt, index, CNET_SOCKET);
  return (server && server->handle) || (socket && socket->handle);
}

static cnet_handle *handle_at(lua_State *L, int index) {
  cnet_server *server = cnet_class_test(L, cnet_runtime_of(L), index, CNET_SERVER);
  return server ? server->handle : cnet_socket_at(L, index)->handle;
}

/* (server, listening id): 'close' after a failed listen, unless something was begun since */
static int tick_close_after_failure(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (s->listening_id != (unsigned)lua_tointeger(L, 2)) return 0;
  if (!s->handle && s->group.count == 0) cnet_emit(L, 1, "close", 0);
  return 0;
}

/* Emits the error on top, which it pops. The 'close' is queued first: it comes even if nobody hears the error. */
static void fail(lua_State *L, cnet_server *s, int self) {
  lua_pushcfunction(L, tick_close_after_failure);
  lua_pushvalue(L, self);
  lua_pushinteger(L, s->listening_id);
  cnet_tick(L, runtime_of(s), 2);
  cnet_emit(L, self, "error", 1);
}

static int tick_fail(lua_State *L) { /* (server, error) */
  lua_settop(L, 2);
  fail(L, lua_touserdata(L, 1), 1);
  return 0;
}

static int tick_listening(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (s->handle) cnet_emit(L, 1, "listening", 0);
  return 0;
}

/* Gives the server the handle it was asked for. */
static int open_handle(lua_State *L, cnet_server *s, int self, const cnet_listen_options *o, const char *ip,
                       cnet_listener_place *at) {
  int status;
  if (o->kind == CNET_LISTEN_PATH) {
    lua_pushlstring(L, o->path, o->path_length);
    cnet_class_set_slot(L, self, SLOT_PATH);
  }
  s->handle = cnet_listener_open(runtime_of(s), o, ip, o->handle ? handle_at(L, o->handle) : NULL, at, &status);
  return status;
}

/* The outcome of listening: 'listening' or 'error', in a tick. */
static void settle(lua_State *L, cnet_server *s, int self, int status, const cnet_listener_place *at) {
  cnet_runtime *rt = runtime_of(s);
  if (status == 0) {
    cnet_handle_own(L, s->handle, self, &handle_owner);
    if (s->unref) cnet_handle_ref(s->handle, false);
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
  int status = mode && s->handle ? uv_pipe_chmod(&s->handle->uv.pipe, mode) : 0;
  if (status == 0) return;
  cnet_handle_close(L, s->handle, NULL, 0);
  s->handle = NULL;
  cnet_error_push_system(L, status, "uv_pipe_chmod");
  cnet_error_throw(L);
}

/* ---- listen on a host's name ---- */

/* (err, list); upvalues: 2 server, 3 listening id, 4 port, 5 backlog, 6 flags */
static int listener_lookup(lua_State *L) {
  cnet_server *s = lua_touserdata(L, lua_upvalueindex(2));
  cnet_listen_options o = {.kind = CNET_LISTEN_PORT};
  cnet_listener_place at;
  int status, flags = (int)lua_tointeger(L, lua_upvalueindex(6));
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (s->listening_id != (unsigned)lua_tointeger(L, lua_upvalueindex(3))) return 0;
  s->looking_up = false;
  if (!lua_isnil(L, 1)) {
    lua_pushvalue(L, 1);
    fail(L, s, 3);
    return 0;
  }
  o.port = (int)lua_tointeger(L, lua_upvalueindex(4));
  o.backlog = (int)lua_tointeger(L, lua_upvalueindex(5));
  o.ipv6_only = flags & 1;
  o.reuse_port = flags & 2;
  lua_rawgeti(L, 2, 1);
  lua_getfield(L, -1, "address");
  status = open_handle(L, s, 3, &o, lua_tostring(L, -1), &at);
  if (status == 0) status = cnet_handle_listen(s->handle, o.backlog ? o.backlog : CNET_DEFAULT_BACKLOG);
  if (status < 0) drop_handle(s);
  settle(L, s, 3, status, &at);
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
  lua_pushinteger(L, (o->ipv6_only ? 1 : 0) | (o->reuse_port ? 2 : 0));
  cnet_emitter_push_listener(L, listener_lookup, 5);
  s->looking_up = true;
  if (family) {
    push_literal_result(L, o->host, family);
    cnet_tick(L, runtime_of(s), 2);
  } else {
    cnet_lookup(L, runtime_of(s), o->host, 0, 0);
  }
}

/* ---- the signal option ---- */

static int listener_abort(lua_State *L) { /* upvalue 2: the server */
  cnet_server *s = lua_touserdata(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  close_server(L, s, 1);
  return 0;
}

static void use_signal(lua_State *L, cnet_server *s, int self, int options) {
  cnet_runtime *rt = runtime_of(s);
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
    cnet_abort_add_until_close(L, rt, signal, self);
  }
  lua_settop(L, top);
}

static void check_no_handle(lua_State *L, const cnet_server *s) {
  if (!s->handle) return;
  cnet_error_push(L, "Error", "ERR_SERVER_ALREADY_LISTEN",
                  "Listen method has been called more than once without closing.");
  cnet_error_throw(L);
}

static int method_listen(lua_State *L) {
  cnet_server *s = self_server(L);
  cnet_listen_options o;
  cnet_listener_place at;
  int status, callback = cnet_listen_callback(L);
  check_no_handle(L, s);
  if (callback) {
    lua_pushvalue(L, callback);
    cnet_emitter_once(L, runtime_of(s), 1, "listening");
  }
  cnet_listen_parse(L, is_handle, &o);
  s->listening_id++;
  s->looking_up = false;
  use_signal(L, s, 1, o.options);
  check_no_handle(L, s); /* an __index of the options, or a 'newListener', may have called listen */
  if (o.host) {
    lookup_and_listen(L, s, 1, &o);
  } else {
    status = open_handle(L, s, 1, &o, NULL, &at);
    if (status == 0) status = cnet_handle_listen(s->handle, o.backlog ? o.backlog : CNET_DEFAULT_BACKLOG);
    if (status < 0) drop_handle(s);
    settle(L, s, 1, status, &at);
    set_modes(L, s, &o);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- the other methods ---- */

static int method_address(lua_State *L) {
  cnet_server *s = self_server(L);
  cnet_address address;
  int status;
  if (!s->handle || s->handle->kind != CNET_HANDLE_TCP) {
    cnet_class_slot(L, 1, SLOT_PATH);
    return 1;
  }
  status = cnet_handle_sockname(s->handle, &address);
  if (status < 0) {
    cnet_error_push_system(L, status, "address");
    return cnet_error_throw(L);
  }
  cnet_address_push(L, &address);
  return 1;
}

static int set_ref(lua_State *L, bool on) {
  cnet_server *s = self_server(L);
  s->unref = !on;
  if (s->handle) cnet_handle_ref(s->handle, on);
  lua_settop(L, 1);
  return 1;
}

static int method_ref(lua_State *L) { return set_ref(L, true); }

static int method_unref(lua_State *L) { return set_ref(L, false); }

static int method_get_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  cnet_check_function(L, 2, "callback");
  lua_settop(L, 2);
  lua_pushnil(L);
  lua_pushinteger(L, s->group.count);
  cnet_tick(L, runtime_of(s), 2);
  return 1;
}

/* Destroys the sockets that were idle since the loop's time `since`. */
static void close_connections(lua_State *L, cnet_server *s, uint64_t since) {
  cnet_socket *socket, *next;
  for (socket = s->group.first; socket; socket = next) {
    next = socket->next;
    if (socket->last_active > since || !socket->handle) continue;
    cnet_pin_push(L, runtime_of(s), socket->handle);
    if (lua_touserdata(L, -1) == socket) cnet_stream_destroy(L, &socket->stream, lua_gettop(L), 0);
    lua_pop(L, 1);
  }
}

static int method_close_all_connections(lua_State *L) {
  close_connections(L, self_server(L), UINT64_MAX);
  lua_settop(L, 1);
  return 1;
}

static int method_close_idle_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  uint64_t now = uv_now(runtime_of(s)->loop);
  lua_Number ms = lua_tonumber(L, 2);
  if (lua_type(L, 2) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", "msecs", "of type number", 2);
  if (!(ms >= 0)) return cnet_error_out_of_range(L, "msecs", "a non-negative number", 2);
  if (ms <= (lua_Number)now) close_connections(L, s, now - (uint64_t)ms);
  lua_settop(L, 1);
  return 1;
}

/* ---- properties ---- */

static int get_listening(lua_State *L) {
  lua_pushboolean(L, self_server(L)->handle != NULL);
  return 1;
}

static int get_connections(lua_State *L) {
  static atomic_flag warned = ATOMIC_FLAG_INIT;
  cnet_server *s = self_server(L);
  if (!atomic_flag_test_and_set(&warned))
    fprintf(stderr, "cnet: server.connections is deprecated. Use server:getConnections(callback) instead.\n");
  lua_pushinteger(L, s->group.count);
  return 1;
}

static int get_max_connections(lua_State *L) {
  self_server(L);
  cnet_class_slot(L, 1, SLOT_MAX_CONNECTIONS);
  return 1;
}

/* As in Node anything can be assigned; what is no number above 0 is no limit. */
static int set_max_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  double n = cnet_truthy(L, 3) ? cnet_to_number(L, 3) : 0;
  lua_settop(L, 3);
  cnet_class_set_slot(L, 1, SLOT_MAX_CONNECTIONS);
  s->max_connections = n > 0 ? n : 0;
  return 0;
}

static int get_drop_max_connection(lua_State *L) {
  lua_pushboolean(L, self_server(L)->drop_max_connection);
  return 1;
}

static int set_drop_max_connection(lua_State *L) {
  self_server(L)->drop_max_connection = cnet_truthy(L, 3);
  return 0;
}

static int get_handle(lua_State *L) { /* what listen{_handle = ...} takes: the server stands for its handle */
  if (!self_server(L)->handle) return 0;
  lua_settop(L, 1);
  return 1;
}

#define BOOLEAN_OPTION(name, field)                   \
  static int get_##name(lua_State *L) {               \
    lua_pushboolean(L, self_server(L)->accept.field); \
    return 1;                                         \
  }                                                   \
  static int set_##name(lua_State *L) {               \
    self_server(L)->accept.field = cnet_truthy(L, 3); \
    return 0;                                         \
  }

BOOLEAN_OPTION(allow_half_open, allow_half_open)
BOOLEAN_OPTION(pause_on_connect, pause_on_create)
BOOLEAN_OPTION(no_delay, no_delay)
BOOLEAN_OPTION(keep_alive, keep_alive)

static int get_keep_alive_initial_delay(lua_State *L) {
  lua_pushinteger(L, self_server(L)->accept.keep_alive_delay);
  return 1;
}

static int set_keep_alive_initial_delay(lua_State *L) { /* in seconds, as Node's property is */
  int seconds = cnet_trunc32(cnet_to_number(L, 3));
  self_server(L)->accept.keep_alive_delay = seconds > 0 ? seconds : 0;
  return 0;
}

static size_t high_water_mark_of(lua_Number n) {
  if (!(n >= 0)) return CNET_DEFAULT_HIGH_WATER_MARK;
  return n < 9e15 ? (size_t)n : SIZE_MAX;
}

static int get_high_water_mark(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)self_server(L)->accept.high_water_mark);
  return 1;
}

static int set_high_water_mark(lua_State *L) {
  self_server(L)->accept.high_water_mark = high_water_mark_of(cnet_to_number(L, 3));
  return 0;
}

/* ---- the class ---- */

static void read_options(lua_State *L, int options, cnet_socket_options *out) {
  out->high_water_mark = CNET_DEFAULT_HIGH_WATER_MARK;
  if (!options) return;
  out->allow_half_open = cnet_option_true(L, options, "allowHalfOpen");
  out->pause_on_create = cnet_option_true(L, options, "pauseOnConnect");
  out->no_delay = cnet_option_true(L, options, "noDelay");
  out->keep_alive = cnet_option_true(L, options, "keepAlive");
  out->keep_alive_delay = cnet_option_seconds(L, options, "keepAliveInitialDelay");
  if (cnet_option_number(L, options, "highWaterMark")) {
    out->high_water_mark = high_water_mark_of(lua_tonumber(L, -1));
    lua_pop(L, 1);
  }
}

static void read_block_list(lua_State *L, cnet_runtime *rt, int options, int self) {
  if (lua_getfield(L, options, "blockList") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  cnet_block_list_check_option(L, rt, -1, "options.blockList");
  cnet_class_set_slot(L, self, SLOT_BLOCK_LIST);
}

/* net.Server([options][, listener]) */
static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  cnet_server *s;
  int listener = lua_isfunction(L, 1) ? 1 : lua_isfunction(L, 2) ? 2 : 0;
  lua_settop(L, 2);
  if (!lua_isnil(L, 1) && !lua_istable(L, 1) && !lua_isfunction(L, 1))
    return cnet_error_arg_type(L, "argument", "options", "of type table", 1);
  s = cnet_class_new(L, rt, sizeof *s, CNET_USERVALUES);
  cnet_emitter_init(&s->emitter);
  s->group.on_left = on_socket_left;
  read_options(L, lua_istable(L, 1) ? 1 : 0, &s->accept);
  if (lua_istable(L, 1)) read_block_list(L, rt, 1, 3);
  cnet_class_dress(L, rt, &cnet_server_class);
  if (listener) {
    lua_pushvalue(L, listener);
    cnet_emitter_on(L, rt, 3, "connection");
  }
  return 1;
}

static int server_gc(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (s->handle) cnet_handle_abandon(s->handle);
  s->handle = NULL;
  return 0;
}

static int server_close(lua_State *L) { /* __close */
  cnet_server *s = self_server(L);
  if (s->handle || s->looking_up) close_server(L, s, 1);
  return 0;
}

static int server_tostring(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  cnet_address address;
  lua_settop(L, 1);
  if (!s->handle) {
    lua_pushliteral(L, "net.Server (not listening)");
  } else if (s->handle->kind != CNET_HANDLE_TCP) {
    cnet_class_slot(L, 1, SLOT_PATH);
    if (!lua_isstring(L, -1)) lua_pushliteral(L, "pipe");
    lua_pushliteral(L, "net.Server (");
    lua_insert(L, -2);
    lua_pushliteral(L, ")");
    lua_concat(L, 3); /* by its length: an abstract name has a NUL */
  } else if (cnet_handle_sockname(s->handle, &address) == 0) {
    lua_pushfstring(L, address.family == 6 ? "net.Server ([%s]:%d)" : "net.Server (%s:%d)", address.ip, address.port);
  } else {
    lua_pushliteral(L, "net.Server (closed by another holder of its handle)");
  }
  return 1;
}

static const cnet_member members[] = {
    {"listen", method_listen, NULL, NULL},
    {"close", method_close, NULL, NULL},
    {"address", method_address, NULL, NULL},
    {"getConnections", method_get_connections, NULL, NULL},
    {"closeAllConnections", method_close_all_connections, NULL, NULL},
    {"closeIdleConnections", method_close_idle_connections, NULL, NULL},
    {"ref", method_ref, NULL, NULL},
    {"unref", method_unref, NULL, NULL},
    {"listening", NULL, get_listening, NULL},
    {"connections", NULL, get_connections, NULL},
    {"maxConnections", NULL, get_max_connections, set_max_connections},
    {"dropMaxConnection", NULL, get_drop_max_connection, set_drop_max_connection},
    {"allowHalfOpen", NULL, get_allow_half_open, set_allow_half_open},
    {"pauseOnConnect", NULL, get_pause_on_connect, set_pause_on_connect},
    {"noDelay", NULL, get_no_delay, set_no_delay},
    {"keepAlive", NULL, get_keep_alive, set_keep_alive},
    {"keepAliveInitialDelay", NULL, get_keep_alive_initial_delay, set_keep_alive_initial_delay},
    {"highWaterMark", NULL, get_high_water_mark, set_high_water_mark},
    {"_handle", NULL, get_handle, NULL},
    {NULL, NULL, NULL, NULL}};

const cnet_class cnet_server_class = {.id = CNET_SERVER,
                                      .name = "net.Server",
                                      .parent = &cnet_emitter_class,
                                      .members = members,
                                      .construct = construct,
                                      .gc = server_gc,
                                      .tostring = server_tostring,
                                      .close = server_close};

static int net_create_server(lua_State *L) {
  cnet_runtime_check(L, cnet_runtime_of(L));
  return construct(L);
}

void cnet_server_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"createServer", net_create_server}, {NULL, NULL}};
  cnet_class_define(L, &cnet_server_class);
  lua_setfield(L, -2, "Server");
  cnet_runtime_set_functions(L, functions);
}
