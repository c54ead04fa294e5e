#include "server/server.h"

#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "server/errors.h"
#include "server/holders.h"
#include "server/listening.h"
#include "text/block_list.h"

static cnet_server *self_server(lua_State *L) { return cnet_class_self(L, CNET_SERVER); }

/* The callback of a close() that had nothing to close. Upvalue 2: the callback. */
static int listener_not_running(lua_State *L) {
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  cnet_error_push(L, "Error", "ERR_SERVER_NOT_RUNNING", "Server is not running.");
  lua_call(L, 1, 0);
  return 0;
}

static int method_close(lua_State *L) {
  cnet_server *s = self_server(L);
  lua_settop(L, 2);
  if (lua_isfunction(L, 2)) {
    if (!cnet_server_is_listening(s)) cnet_emitter_push_listener(L, listener_not_running, 1);
    cnet_emitter_once(L, 1, "close");
  }
  cnet_server_close(L, s, 1);
  lua_settop(L, 1);
  return 1;
}

/* ---- the other methods ---- */

/* Pushes what the primary said of where it listens for the server: a table, or nil if that is a path. */
static int push_sockname(lua_State *L, int self) {
  int top = lua_gettop(L);
  if (cnet_class_slot(L, self, CNET_SLOT_SERVER_SHARE) != LUA_TTABLE || lua_getfield(L, -1, "sockname") != LUA_TTABLE) {
    lua_settop(L, top);
    lua_pushnil(L);
    return LUA_TNIL;
  }
  lua_remove(L, -2);
  return LUA_TTABLE;
}

/* Replaces the table on top by a copy, which the caller may have. */
static void copy_table(lua_State *L) {
  int from = lua_gettop(L);
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, from + 1);
  }
  lua_replace(L, from);
}

static int method_address(lua_State *L) {
  cnet_server *s = self_server(L);
  cnet_address address;
  int status;
  if (s->remote && push_sockname(L, 1) == LUA_TTABLE) {
    copy_table(L);
    return 1;
  }
  if (!s->handle || s->handle->kind != CNET_HANDLE_TCP) {
    cnet_class_slot(L, 1, CNET_SLOT_SERVER_PATH);
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
  cnet_server_set_ref(s, on);
  lua_settop(L, 1);
  return 1;
}

static int method_ref(lua_State *L) { return set_ref(L, true); }

static int method_unref(lua_State *L) { return set_ref(L, false); }

/* In a worker whose primary listens for the server, that must know too. */
static int set_paused(lua_State *L, bool paused) {
  cnet_server *s = self_server(L);
  lua_settop(L, 1);
  if (s->paused == paused) return 1;
  if (s->remote) {
    cnet_class_slot(L, 1, CNET_SLOT_SERVER_SHARE);
    cnet_server_primary(cnet_server_runtime(s))->pause(L, 2, paused);
  }
  cnet_server_set_paused(L, s, paused);
  lua_settop(L, 1);
  return 1;
}

static int method_pause(lua_State *L) { return set_paused(L, true); }

static int method_resume(lua_State *L) { return set_paused(L, false); }

/* ---- properties ---- */

static int get_listening(lua_State *L) {
  lua_pushboolean(L, cnet_server_is_listening(self_server(L)));
  return 1;
}

static int get_max_connections(lua_State *L) {
  self_server(L);
  cnet_class_slot(L, 1, CNET_SLOT_SERVER_MAX_CONNECTIONS);
  return 1;
}

/* As in Node anything can be assigned: false and "" count as 0, which lets nobody in, and what is not a number, such as
 * nil, sets no limit. */
static int set_max_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  double n = cnet_to_number(L, 3);
  lua_settop(L, 3);
  cnet_class_set_slot(L, 1, CNET_SLOT_SERVER_MAX_CONNECTIONS);
  s->max_connections = isnan(n) ? HUGE_VAL : n;
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
  if (!cnet_server_is_listening(self_server(L))) return 0;
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

static size_t high_water_mark_of(lua_Number n) { return n >= 0 ? cnet_to_size(n) : CNET_DEFAULT_HIGH_WATER_MARK; }

static int get_high_water_mark(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)self_server(L)->accept.high_water_mark);
  return 1;
}

static int set_high_water_mark(lua_State *L) {
  self_server(L)->accept.high_water_mark = high_water_mark_of(cnet_to_number(L, 3));
  return 0;
}

/* ---- the class ---- */

static void read_options(lua_State *L, const cnet_runtime *rt, int options, cnet_socket_options *out) {
  static const char names[] =
      "allowHalfOpen pauseOnConnect noDelay keepAlive keepAliveInitialDelay highWaterMark blockList";
  out->high_water_mark = CNET_DEFAULT_HIGH_WATER_MARK;
  if (!options) return;
  cnet_strict_options(L, rt, options, "net.createServer", names, "");
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
  lua_getfield(L, options, "blockList");
  if (!cnet_truthy(L, -1)) {
    lua_pop(L, 1);
    return;
  }
  cnet_block_list_check_option(L, rt, -1, "options.blockList");
  cnet_class_set_slot(L, self, CNET_SLOT_SERVER_BLOCK_LIST);
}

static cnet_server *new_server(lua_State *L, cnet_runtime *rt, int options) {
  cnet_server *s = cnet_class_new(L, rt, sizeof *s, CNET_USERVALUES);
  cnet_emitter_init(&s->emitter);
  s->max_connections = HUGE_VAL;
  cnet_server_init_connections(s);
  read_options(L, rt, options, &s->accept);
  if (options) read_block_list(L, rt, options, lua_gettop(L));
  cnet_class_dress(L, &cnet_server_class);
  return s;
}

void cnet_server_push_over(lua_State *L, cnet_native *native) {
  cnet_server *s = new_server(L, native->object.rt, 0);
  if (cnet_server_listen_on(L, s, lua_gettop(L), native) == 0) return;
  cnet_native_close(native);
  lua_pop(L, 1);
  lua_pushnil(L);
}

/* net.Server([options][, listener]) */
static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  int listener = lua_isfunction(L, 1) ? 1 : lua_isfunction(L, 2) ? 2 : 0;
  lua_settop(L, 2);
  if (!lua_isnil(L, 1) && !lua_istable(L, 1) && !lua_isfunction(L, 1))
    return cnet_error_arg_type(L, "argument", "options", "of type table", 1);
  new_server(L, rt, lua_istable(L, 1) ? 1 : 0);
  if (listener) {
    lua_pushvalue(L, listener);
    cnet_emitter_on(L, 3, "connection");
  }
  return 1;
}

static int server_gc(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  s->collected = true;
  cnet_server_errors_finalize(s);
  if (s->handle && !s->emitter.object.rt->closed) cnet_handle_remove_server(s->handle, s->paused);
  cnet_handle_finalize(s->emitter.object.rt, &s->handle);
  cnet_timer_stop(&s->remote_ref);
  return 0;
}

static int server_close(lua_State *L) { /* __close */
  cnet_server *s = self_server(L);
  if (cnet_server_is_listening(s) || s->beginning) cnet_server_close(L, s, 1);
  return 0;
}

static int server_tostring(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  cnet_address address;
  lua_settop(L, 1);
  if (!cnet_server_is_listening(s)) {
    lua_pushliteral(L, "net.Server (not listening)");
  } else if (s->remote && push_sockname(L, 1) == LUA_TTABLE) {
    const char *ip = cnet_get_string(L, 2, "address");
    lua_pushfstring(L, ip && strchr(ip, ':') ? "net.Server ([%s]:%d)" : "net.Server (%s:%d)", ip,
                    cnet_get_int(L, 2, "port"));
  } else if (s->remote || s->handle->kind != CNET_HANDLE_TCP) {
    lua_settop(L, 1);
    cnet_class_slot(L, 1, CNET_SLOT_SERVER_PATH);
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
    {"listen", cnet_server_method_listen, NULL, NULL},
    {"close", method_close, NULL, NULL},
    {"address", method_address, NULL, NULL},
    {"pause", method_pause, NULL, NULL},
    {"resume", method_resume, NULL, NULL},
    {"ref", method_ref, NULL, NULL},
    {"unref", method_unref, NULL, NULL},
    {"listening", NULL, get_listening, NULL},
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

static const cnet_member *const more[] = {cnet_server_connections_members, cnet_server_holders_members, NULL};

static const char events[] = "close connection drop handlerError listening";

const cnet_class cnet_server_class = {.id = CNET_SERVER,
                                      .events = events,
                                      .name = "net.Server",
                                      .parent = &cnet_emitter_class,
                                      .members = members,
                                      .more = more,
                                      .construct = construct,
                                      .gc = server_gc,
                                      .tostring = server_tostring,
                                      .close = server_close,
                                      .on_listeners = cnet_server_errors_on_listeners};

static int net_create_server(lua_State *L) {
  cnet_runtime_check(L, cnet_runtime_of(L));
  return construct(L);
}

void cnet_server_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"createServer", net_create_server}, {NULL, NULL}};
  cnet_server_errors_register(L);
  cnet_class_define(L, &cnet_server_class);
  lua_setfield(L, -2, "Server");
  cnet_runtime_set_functions(L, functions);
}
