#include "connector.h"

#include <math.h>
#include <netdb.h>
#include <string.h>

#include "args.h"
#include "error.h"
#include "lookup.h"
#include "readable.h"
#include "socket.h"
#include "socket_options.h"
#include "writable.h"

/* One connect() is a table, the plan: socket, host, port, localAddress, localPort, and for several attempts timeout,
 * addresses, current, errors, timer. One attempt is a table too: plan, index, address, port, family, over. */

static int field(lua_State *L, int table, const char *name) { return lua_getfield(L, table, name); }

static void set_field(lua_State *L, int table, const char *name, int value) {
  lua_pushvalue(L, value);
  lua_setfield(L, table, name);
}

static const char *string_field(lua_State *L, int table, const char *name) {
  const char *text = field(L, table, name) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1); /* the table keeps it */
  return text;
}

static lua_Integer integer_field(lua_State *L, int table, const char *name) {
  lua_Integer n;
  field(L, table, name);
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

static void set_integer(lua_State *L, int table, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, table, name);
}

/* ---- one attempt ---- */

/* Binds to the plan's local address; 0, or the error, which is pushed. */
static int bind_local(lua_State *L, cnet_socket *s, int plan, int family) {
  const char *ip = string_field(L, plan, "localAddress");
  int port = (int)integer_field(L, plan, "localPort"), status;
  cnet_address bound;
  if (!ip && port == 0) return 0;
  if (!ip) ip = family == 4 ? "0.0.0.0" : "::";
  status = cnet_handle_bind(s->handle, ip, port, 0, false);
  /* EADDRINUSE may not show before connect, which would then bind to some other port */
  if (status == 0 && port > 0) {
    status = cnet_handle_sockname(s->handle, &bound);
    if (status == 0 && bound.port != port) status = UV_EADDRINUSE;
  }
  if (status < 0) cnet_error_push_endpoint(L, status, "bind", ip, port, NULL);
  return status;
}

/* Pushes the error of the attempt at index attempt. */
static void push_connect_error(lua_State *L, int attempt, int status) {
  int plan, port = (int)integer_field(L, attempt, "port");
  const char *address = string_field(L, attempt, "address"), *ip;
  lua_Integer local_port;
  field(L, attempt, "plan");
  plan = lua_gettop(L);
  ip = string_field(L, plan, "localAddress");
  local_port = integer_field(L, plan, "localPort");
  if (ip && local_port) {
    lua_pushfstring(L, "%s:%d", ip, (int)local_port);
    cnet_error_push_endpoint(L, status, "connect", address, port, lua_tostring(L, -1));
    lua_pushstring(L, ip);
    lua_setfield(L, -2, "localAddress");
    set_integer(L, lua_gettop(L), "localPort", local_port);
  } else {
    cnet_error_push_endpoint(L, status, "connect", address, port, NULL);
  }
  lua_replace(L, plan);
  lua_settop(L, plan);
}

/* The error of a connect() that failed at once shows the local address, as far as there is one. */
static void push_immediate_error(lua_State *L, cnet_socket *s, int attempt, int status) {
  cnet_address local;
  int top = lua_gettop(L);
  if (cnet_handle_sockname(s->handle, &local) == 0 && local.family) {
    lua_pushfstring(L, "%s:%d", local.ip, local.port);
  } else {
    lua_pushliteral(L, "undefined:undefined");
  }
  cnet_error_push_endpoint(L, status, "connect", string_field(L, attempt, "address"),
                           (int)integer_field(L, attempt, "port"), lua_tostring(L, -1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* Emits an attempt's event with its address, port and family, and, if err is not 0, the error at index err. */
static void emit_attempt(lua_State *L, int self, const char *event, int attempt, int err) {
  field(L, attempt, "address");
  field(L, attempt, "port");
  field(L, attempt, "family");
  if (err) lua_pushvalue(L, err);
  cnet_emit(L, self, event, err ? 4 : 3);
}

/* Pushes a new attempt of the plan. */
static int push_attempt(lua_State *L, int plan, const char *address, int family) {
  lua_createtable(L, 0, 6);
  set_field(L, lua_gettop(L), "plan", plan);
  lua_pushstring(L, address);
  lua_setfield(L, -2, "address");
  if (family) {
    set_integer(L, lua_gettop(L), "port", integer_field(L, plan, "port"));
    set_integer(L, lua_gettop(L), "family", family);
  }
  return lua_gettop(L);
}

static void on_connect(lua_State *L, int self, int attempt, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  if (s->stream.state & CNET_DESTROYED) return;
  s->connecting = false;
  if (status == 0) {
    cnet_socket_on_connected(L, s, self);
    return;
  }
  push_connect_error(L, attempt, status);
  emit_attempt(L, self, "connectionAttemptFailed", attempt, lua_gettop(L));
  cnet_stream_destroy_top(L, &s->stream, self);
}

static int start_connect(lua_State *L, cnet_socket *s, int self, int attempt, cnet_request_done done) {
  const char *address = string_field(L, attempt, "address");
  int status;
  cnet_pin(L, cnet_stream_runtime(&s->stream), s->handle, self);
  lua_pushvalue(L, attempt);
  if (integer_field(L, attempt, "family") != 0)
    return cnet_handle_connect(L, s->handle, self, address, (int)integer_field(L, attempt, "port"), done);
  lua_pushvalue(L, attempt);
  field(L, attempt, "address");
  status = (int)lua_rawlen(L, -1);
  lua_pop(L, 2);
  return cnet_handle_connect_path(L, s->handle, self, address, (size_t)status, done);
}

/* Connects to one address; family 0 means a path. */
static void connect_one(lua_State *L, cnet_socket *s, int self, int plan, int attempt) {
  int status, family = (int)integer_field(L, attempt, "family");
  if (family && bind_local(L, s, plan, family) < 0) {
    cnet_stream_destroy_top(L, &s->stream, self);
    return;
  }
  emit_attempt(L, self, "connectionAttempt", attempt, 0);
  if (!s->handle || !s->connecting) return; /* a listener destroyed it */
  status = start_connect(L, s, self, attempt, on_connect);
  if (status == 0) return;
  push_immediate_error(L, s, attempt, status);
  cnet_stream_destroy_top(L, &s->stream, self);
}

/* ---- several attempts ---- */

typedef struct {
  cnet_timer timer; /* first; its object's user value is the attempt */
} attempt_timer;

static void connect_next(lua_State *L, cnet_socket *s, int self, int plan, bool cancelled);

static int attempt_timer_gc(lua_State *L) {
  cnet_timer_stop(lua_touserdata(L, 1));
  return 0;
}

static void stop_attempt_timer(lua_State *L, int plan) {
  attempt_timer *timer = NULL;
  if (field(L, plan, "timer") == LUA_TUSERDATA) timer = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!timer) return;
  cnet_timer_stop(&timer->timer);
  if (timer->timer.rt) cnet_unpin(L, timer->timer.rt, timer);
  lua_pushnil(L);
  lua_setfield(L, plan, "timer");
}

/* Pops an error and adds it to the plan's. */
static void add_error(lua_State *L, int plan) {
  field(L, plan, "errors");
  lua_insert(L, -2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

static void on_attempt_timeout(lua_State *L, cnet_timer *timer) {
  cnet_runtime *rt = timer->rt;
  int attempt, plan, self;
  cnet_socket *s;
  cnet_pin_push(L, rt, timer);
  cnet_unpin(L, rt, timer);
  lua_getiuservalue(L, -1, 1);
  attempt = lua_gettop(L);
  field(L, attempt, "plan");
  plan = lua_gettop(L);
  field(L, plan, "socket");
  self = lua_gettop(L);
  s = cnet_socket_at(L, self);
  emit_attempt(L, self, "connectionAttemptTimeout", attempt, 0);
  lua_pushboolean(L, 1);
  lua_setfield(L, attempt, "over");
  push_connect_error(L, attempt, UV_ETIMEDOUT);
  add_error(L, plan);
  if (!s->connecting) return;
  connect_next(L, s, self, plan, false);
}

static void start_attempt_timer(lua_State *L, cnet_runtime *rt, int plan, int attempt) {
  attempt_timer *timer = lua_newuserdatauv(L, sizeof *timer, 1);
  int object = lua_gettop(L);
  memset(timer, 0, sizeof *timer);
  timer->timer.fire = on_attempt_timeout;
  timer->timer.ref = true;
  if (luaL_newmetatable(L, "cnet.attempt")) {
    lua_pushcfunction(L, attempt_timer_gc);
    lua_setfield(L, -2, "__gc");
  }
  lua_setmetatable(L, object);
  lua_pushvalue(L, attempt);
  lua_setiuservalue(L, object, 1);
  cnet_pin(L, rt, timer, object);
  set_field(L, plan, "timer", object);
  lua_pop(L, 1);
  cnet_timer_start(L, rt, &timer->timer, (lua_Number)integer_field(L, plan, "timeout"));
}

static void on_attempt(lua_State *L, int self, int attempt, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  int plan;
  field(L, attempt, "over");
  field(L, attempt, "plan");
  plan = lua_gettop(L);
  if (lua_toboolean(L, -2)) return; /* it has timed out, and its handle is closed */
  stop_attempt_timer(L, plan);
  if (status == 0 && integer_field(L, attempt, "index") == integer_field(L, plan, "current")) {
    on_connect(L, self, attempt, status);
  } else if (status < 0) {
    push_connect_error(L, attempt, status);
    lua_pushvalue(L, -1);
    add_error(L, plan);
    emit_attempt(L, self, "connectionAttemptFailed", attempt, lua_gettop(L));
    if (s->connecting) connect_next(L, s, self, plan, status == UV_ECANCELED);
  }
}

/* All addresses are tried: the socket fails with what each of them said. */
static void give_up(lua_State *L, cnet_socket *s, int self, int plan) {
  lua_Integer i, n;
  int errors;
  field(L, plan, "errors");
  errors = lua_gettop(L);
  n = (lua_Integer)lua_rawlen(L, errors);
  if (n == 0) {
    cnet_error_push(L, "Error", "ERR_SOCKET_CONNECTION_TIMEOUT", "Socket connection timeout");
  } else {
    luaL_checkstack(L, (int)n + 8, NULL);
    for (i = 1; i <= n; i++) lua_rawgeti(L, errors, i);
    cnet_error_push_aggregate(L, (int)n);
  }
  cnet_stream_destroy_top(L, &s->stream, self);
}

/* Closes the handle of the last attempt and gives the socket a fresh one. */
static int renew_handle(lua_State *L, cnet_socket *s, int self) {
  int status;
  cnet_handle *h = cnet_handle_new(cnet_stream_runtime(&s->stream), CNET_HANDLE_TCP, &status);
  if (!h) return status;
  if (s->handle) cnet_handle_close(L, s->handle, NULL, 0);
  cnet_socket_set_handle(L, s, self, h);
  return 0;
}

/* Starts the attempt at index attempt; an error at once is pushed. */
static int try_address(lua_State *L, cnet_socket *s, int self, int plan, int attempt) {
  int status = bind_local(L, s, plan, (int)integer_field(L, attempt, "family"));
  if (status < 0) return status;
  emit_attempt(L, self, "connectionAttempt", attempt, 0);
  if (!s->handle || !s->connecting) return 0;
  cnet_class_slot(L, self, CNET_SLOT_ATTEMPTED);
  lua_pushfstring(L, "%s:%d", string_field(L, attempt, "address"), (int)integer_field(L, attempt, "port"));
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
  status = start_connect(L, s, self, attempt, on_attempt);
  if (status < 0) {
    push_immediate_error(L, s, attempt, status);
    lua_pushvalue(L, -1);
    emit_attempt(L, self, "connectionAttemptFailed", attempt, lua_gettop(L));
    lua_pop(L, 1);
  }
  return status;
}

static void connect_next(lua_State *L, cnet_socket *s, int self, int plan, bool cancelled) {
  int top = lua_gettop(L), status = -1;
  lua_Integer current, n;
  luaL_checkstack(L, 30, NULL);
  stop_attempt_timer(L, plan);
  field(L, plan, "addresses");
  n = (lua_Integer)lua_rawlen(L, -1);
  while (status < 0 && s->connecting && !s->aborted) {
    current = integer_field(L, plan, "current") + 1;
    if (cancelled || current > n) {
      give_up(L, s, self, plan);
      break;
    }
    set_integer(L, plan, "current", current);
    if (current > 1 && renew_handle(L, s, self) < 0) break;
    lua_rawgeti(L, top + 1, current);
    push_attempt(L, plan, string_field(L, top + 2, "address"), (int)integer_field(L, top + 2, "family"));
    set_integer(L, top + 3, "index", current);
    status = try_address(L, s, self, plan, top + 3);
    if (status < 0) {
      add_error(L, plan);
    } else if (current < n && s->connecting) {
      start_attempt_timer(L, cnet_stream_runtime(&s->stream), plan, top + 3);
    }
    lua_settop(L, top + 1);
  }
  lua_settop(L, top);
}

/* ---- lookup ---- */

static int tick_destroy(lua_State *L) { /* (socket, error) */
  cnet_stream_destroy(L, lua_touserdata(L, 1), 1, 2);
  return 0;
}

/* Pops an error; the socket fails with it in a tick: a script may not have added its listeners yet. */
static void fail_in_tick(lua_State *L, cnet_socket *s, int self) {
  lua_pushcfunction(L, tick_destroy);
  lua_insert(L, -2);
  lua_pushvalue(L, self);
  lua_insert(L, -2);
  cnet_tick(L, cnet_stream_runtime(&s->stream), 2);
}

/* Is there an address at index ip, of the family at index family? Else pushes the error. */
static bool check_address(lua_State *L, int plan, int ip, int family) {
  size_t length;
  const char *text = lua_type(L, ip) == LUA_TSTRING ? lua_tolstring(L, ip, &length) : NULL;
  lua_Number n = lua_type(L, family) == LUA_TNUMBER ? lua_tonumber(L, family) : 0;
  if (!text || !cnet_is_ip(text, length)) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_IP_ADDRESS", "Invalid IP address: %s", luaL_tolstring(L, ip, NULL));
  } else if (n != 4 && n != 6) {
    cnet_error_push(L, "RangeError", "ERR_INVALID_ADDRESS_FAMILY", "Invalid address family: %s %s:%d",
                    luaL_tolstring(L, family, NULL), string_field(L, plan, "host"),
                    (int)integer_field(L, plan, "port"));
  } else {
    return true;
  }
  return false;
}

static void emit_lookup(lua_State *L, int self, int plan, int err, int ip, int family) {
  int i;
  const int indexes[] = {err, ip, family};
  for (i = 0; i < 3; i++) {
    if (indexes[i]) {
      lua_pushvalue(L, indexes[i]);
    } else {
      lua_pushnil(L);
    }
  }
  field(L, plan, "host");
  cnet_emit(L, self, "lookup", 4);
}

/* (err, ip, family) of one address; upvalues: 2 socket, 3 plan */
static int on_lookup_one(lua_State *L) {
  cnet_socket *s = cnet_socket_at(L, lua_upvalueindex(2));
  int self = 4, plan = 5;
  lua_settop(L, 3);
  if (lua_istable(L, 2)) { /* our own lookup gives a list */
    lua_rawgeti(L, 2, 1);
    field(L, 4, "family");
    lua_replace(L, 3);
    field(L, 4, "address");
    lua_replace(L, 2);
    lua_settop(L, 3);
  }
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  emit_lookup(L, self, plan, 1, 2, 3);
  if (!s->connecting) return 0;
  if (cnet_is_error(L, 1)) {
    lua_pushvalue(L, 1);
    fail_in_tick(L, s, self);
  } else if (!check_address(L, plan, 2, 3)) {
    fail_in_tick(L, s, self);
  } else {
    cnet_socket_touch(s);
    connect_one(L, s, self, plan, push_attempt(L, plan, lua_tostring(L, 2), (int)lua_tointeger(L, 3)));
  }
  return 0;
}

/* Puts the entry at index entry into one of two lists at index lists, by family, unless its address is there. */
static void sort_in(lua_State *L, int lists, int entry, int which) {
  lua_Integer i, n;
  bool known = false;
  lua_rawgeti(L, lists, which);
  n = (lua_Integer)lua_rawlen(L, -1);
  for (i = 1; i <= n && !known; i++) {
    lua_rawgeti(L, -1, i);
    lua_getfield(L, -1, "address");
    lua_getfield(L, entry, "address");
    known = lua_rawequal(L, -1, -2);
    lua_pop(L, 3);
  }
  if (!known) {
    lua_pushvalue(L, entry);
    lua_rawseti(L, -2, n + 1);
  }
  lua_pop(L, 1);
}

/* Pushes the addresses to try, of the two lists in turn. */
static lua_Integer push_alternating(lua_State *L, int lists) {
  lua_Integer i, n = 0;
  int which, out, found = 1;
  lua_newtable(L);
  out = lua_gettop(L);
  for (i = 1; found; i++) {
    found = 0;
    for (which = 1; which <= 2; which++) {
      lua_rawgeti(L, lists, which);
      if (lua_rawgeti(L, -1, i) != LUA_TNIL) {
        found = 1;
        lua_rawseti(L, out, ++n);
        lua_pop(L, 1);
      } else {
        lua_pop(L, 2);
      }
    }
  }
  return n;
}

/* Emits 'lookup' for each address of the list at index list, and pushes those that can be tried, alternating between
 * the families, beginning with the first one's. False if the socket is gone meanwhile. */
static bool push_candidates(lua_State *L, cnet_socket *s, int self, int plan, int list, lua_Integer *count) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, list);
  lua_Number first = 0;
  int lists, top = lua_gettop(L);
  lua_createtable(L, 2, 0);
  lists = lua_gettop(L);
  lua_newtable(L);
  lua_rawseti(L, lists, 1);
  lua_newtable(L);
  lua_rawseti(L, lists, 2);
  for (i = 1; i <= n; i++) {
    int entry = lists + 1;
    if (lua_rawgeti(L, list, i) == LUA_TTABLE) {
      field(L, entry, "address");
      field(L, entry, "family");
      emit_lookup(L, self, plan, 0, entry + 1, entry + 2);
      if (!s->connecting) return false;
      if (check_address(L, plan, entry + 1, entry + 2)) {
        lua_Number family = lua_tonumber(L, entry + 2);
        if (first == 0) first = family;
        sort_in(L, lists, entry, family == first ? 1 : 2);
      }
    }
    lua_settop(L, lists);
  }
  *count = push_alternating(L, lists);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return true;
}

/* (err, list) of all addresses; upvalues: 2 socket, 3 plan */
static int on_lookup_all(lua_State *L) {
  cnet_socket *s = cnet_socket_at(L, lua_upvalueindex(2));
  int self = 3, plan = 4, candidates = 5;
  lua_Integer n;
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  if (!s->connecting) return 0;
  if (cnet_is_error(L, 1)) {
    emit_lookup(L, self, plan, 1, 0, 0);
    lua_pushvalue(L, 1);
    fail_in_tick(L, s, self);
    return 0;
  }
  if (!lua_istable(L, 2)) {
    check_address(L, plan, 2, 2);
    fail_in_tick(L, s, self);
    return 0;
  }
  if (!push_candidates(L, s, self, plan, 2, &n)) return 0;
  if (n == 0) { /* fails on the first one */
    if (lua_rawgeti(L, 2, 1) != LUA_TTABLE) lua_newtable(L);
    field(L, lua_gettop(L), "address");
    field(L, lua_gettop(L) - 1, "family");
    check_address(L, plan, lua_gettop(L) - 1, lua_gettop(L));
    fail_in_tick(L, s, self);
    return 0;
  }
  cnet_socket_touch(s);
  if (n == 1) {
    lua_rawgeti(L, candidates, 1);
    connect_one(L, s, self, plan,
                push_attempt(L, plan, string_field(L, 6, "address"), (int)integer_field(L, 6, "family")));
    return 0;
  }
  set_field(L, plan, "addresses", candidates);
  set_integer(L, plan, "current", 0);
  lua_newtable(L);
  lua_setfield(L, plan, "errors");
  lua_newtable(L);
  cnet_class_set_slot(L, self, CNET_SLOT_ATTEMPTED);
  connect_next(L, s, self, plan, false);
  return 0;
}

static int tick_connect_ip(lua_State *L) { /* (socket, plan, family) */
  cnet_socket *s = cnet_socket_at(L, 1);
  int family = (int)lua_tointeger(L, 3);
  lua_settop(L, 2);
  if (s->connecting) connect_one(L, s, 1, 2, push_attempt(L, 2, string_field(L, 2, "host"), family));
  return 0;
}

/* ---- options ---- */

/* Leaves options.family on the stack, 'IPv4' and 'IPv6' as 4 and 6, and returns it if it is one of the two. */
static int push_family(lua_State *L, int options) {
  lua_Number n;
  if (field(L, options, "family") == LUA_TSTRING) {
    const char *name = lua_tostring(L, -1);
    int family = strcmp(name, "IPv4") == 0 ? 4 : strcmp(name, "IPv6") == 0 ? 6 : 0;
    if (family) {
      lua_pushinteger(L, family);
      lua_replace(L, -2);
    }
  }
  n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : 0;
  return n == 4 ? 4 : n == 6 ? 6 : 0;
}

/* What our own lookup takes: 4, 6, 0 or nothing. */
static void check_family(lua_State *L, int index) {
  lua_Number n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  if (!lua_isnil(L, index) && n != 0 && n != 4 && n != 6)
    cnet_error_arg_value(L, "property", "options.family", index, "must be one of: 0, 4, 6");
}

static int check_hints(lua_State *L, int options, int family) {
  int hints = 0;
  if (field(L, options, "hints") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER) cnet_error_arg_type(L, "argument", "options.hints", "of type number", -1);
    hints = cnet_trunc32(lua_tonumber(L, -1));
    if (hints & ~(AI_ADDRCONFIG | AI_ALL | AI_V4MAPPED)) cnet_error_arg_value(L, "argument", "hints", -1, "is invalid");
  }
  lua_pop(L, 1);
  return hints == 0 && family == 0 ? AI_ADDRCONFIG : hints;
}

static int check_attempt_timeout(lua_State *L, int index, const char *name) {
  lua_Number n = lua_tonumber(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", name, "of type number", index);
  if (n != floor(n)) return cnet_error_out_of_range(L, name, "an integer", index);
  if (!(n >= 1 && n <= 2147483647.0)) return cnet_error_out_of_range(L, name, ">= 1 && <= 2147483647", index);
  return n < 10 ? 10 : (int)n;
}

static bool check_auto_select(lua_State *L, cnet_runtime *rt, int options) {
  bool on = rt->default_auto_select_family;
  int type = field(L, options, "autoSelectFamily");
  if (type != LUA_TNIL) {
    if (type != LUA_TBOOLEAN) cnet_error_arg_type(L, "property", "options.autoSelectFamily", "of type boolean", -1);
    on = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return on;
}

/* Pushes the plan of a connect to a host: checks what Node checks before the lookup. */
static int push_plan(lua_State *L, cnet_runtime *rt, int self, int options) {
  int plan;
  lua_createtable(L, 0, 8);
  plan = lua_gettop(L);
  set_field(L, plan, "socket", self);
  if (field(L, options, "localAddress") != LUA_TNIL && cnet_truthy(L, -1)) {
    size_t length;
    const char *ip = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    if (!ip || !cnet_is_ip(ip, length)) {
      cnet_error_push(L, "TypeError", "ERR_INVALID_IP_ADDRESS", "Invalid IP address: %s", luaL_tolstring(L, -1, NULL));
      cnet_error_throw(L);
    }
    lua_setfield(L, plan, "localAddress");
  }
  lua_settop(L, plan);
  if (field(L, options, "localPort") != LUA_TNIL && cnet_truthy(L, -1)) {
    if (lua_type(L, -1) != LUA_TNUMBER) cnet_error_arg_type(L, "argument", "options.localPort", "of type number", -1);
    set_integer(L, plan, "localPort", cnet_trunc32(lua_tonumber(L, -1)));
  }
  lua_settop(L, plan);
  if (field(L, options, "port") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER && lua_type(L, -1) != LUA_TSTRING)
      cnet_error_arg_type(L, "property", "options.port", "one of type number or string", -1);
    set_integer(L, plan, "port", cnet_check_port(L, -1, "Port", true));
  }
  lua_settop(L, plan);
  set_integer(L, plan, "timeout", rt->default_attempt_timeout);
  if (field(L, options, "autoSelectFamilyAttemptTimeout") != LUA_TNIL)
    set_integer(L, plan, "timeout", check_attempt_timeout(L, -1, "options.autoSelectFamilyAttemptTimeout"));
  lua_settop(L, plan);
  return plan;
}

/* The script's own lookup(host, {family, hints, all}, callback); the callback is on top. */
static void custom_lookup(lua_State *L, int lookup, int host, int family, int hints, bool all) {
  int callback = lua_gettop(L);
  lua_pushvalue(L, lookup);
  lua_pushvalue(L, host);
  lua_createtable(L, 0, 3);
  set_field(L, callback + 3, "family", family);
  set_integer(L, callback + 3, "hints", hints);
  if (all) {
    lua_pushboolean(L, 1);
    lua_setfield(L, callback + 3, "all");
  }
  lua_pushvalue(L, callback);
  lua_call(L, 3, 0);
  lua_settop(L, callback - 1);
}

static void lookup_and_connect(lua_State *L, cnet_socket *s, int self, int options) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  int plan = push_plan(L, rt, self, options), host = plan + 1, lookup = plan + 2, family, hints;
  size_t length = 0;
  const char *name;
  bool all = check_auto_select(L, rt, options);
  if (field(L, options, "host") == LUA_TNIL || !cnet_truthy(L, -1)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "localhost");
  }
  name = lua_type(L, host) == LUA_TSTRING ? lua_tolstring(L, host, &length) : NULL;
  set_field(L, plan, "host", host);
  family = name ? cnet_is_ip(name, length) : 0;
  if (family) {
    lua_pushcfunction(L, tick_connect_ip);
    lua_pushvalue(L, self);
    lua_pushvalue(L, plan);
    lua_pushinteger(L, family);
    cnet_tick(L, rt, 3);
    return;
  }
  if (field(L, options, "lookup") != LUA_TNIL) cnet_check_function(L, lookup, "options.lookup");
  family = push_family(L, options);
  hints = check_hints(L, options, family);
  all = all && family == 0 && !string_field(L, plan, "localAddress");
  lua_pushvalue(L, self);
  lua_pushvalue(L, plan);
  cnet_emitter_push_listener(L, all ? on_lookup_all : on_lookup_one, 2);
  if (!lua_isnil(L, lookup)) {
    custom_lookup(L, lookup, host, lookup + 1, hints, all);
  } else {
    if (!name) cnet_error_arg_type(L, "argument", "hostname", "of type string", host);
    check_family(L, lookup + 1);
    cnet_lookup(L, rt, name, family, hints);
  }
}

/* ---- connect ---- */

/* Replaces the arguments from index `first` on by an options table and the callback or nil. */
static void normalize(lua_State *L, int first) {
  int last = lua_gettop(L);
  bool callback = last >= first && lua_isfunction(L, last);
  lua_pushvalue(L, callback ? last : last + 1);
  if (!callback) {
    lua_pushnil(L);
    lua_replace(L, last + 1);
  }
  if (last >= first && lua_istable(L, first)) {
    lua_pushvalue(L, first);
  } else {
    lua_createtable(L, 0, 2);
    if (last >= first && !lua_isnil(L, first)) {
      bool path = cnet_is_pipe_name(L, first);
      set_field(L, lua_gettop(L), path ? "path" : "port", first);
      if (!path && last > first && lua_type(L, first + 1) == LUA_TSTRING)
        set_field(L, lua_gettop(L), "host", first + 1);
    }
  }
  lua_insert(L, -2);
  while (lua_gettop(L) > first + 1) lua_remove(L, first);
}

/* A destroyed socket, or a fresh one, gets a handle and begins anew. */
static void renew(lua_State *L, cnet_socket *s, int self, bool path) {
  int status;
  cnet_handle *h;
  if (s->stream.state & CNET_DESTROYED) {
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_PEER);
  }
  s->write_after_fin = false;
  if (s->handle) return;
  h = cnet_handle_new(cnet_stream_runtime(&s->stream), path ? CNET_HANDLE_PIPE : CNET_HANDLE_TCP, &status);
  if (!h) {
    cnet_error_push_system(L, status, "connect");
    cnet_error_throw(L);
  }
  cnet_socket_set_handle(L, s, self, h);
  s->bytes_read = s->bytes_written = 0;
  cnet_stream_undestroy(L, &s->stream, self);
}

/* connect of the socket at index self with options and callback at the top, which it leaves there. */
static void connect_socket(lua_State *L, int self) {
  cnet_socket *s = cnet_socket_at(L, self);
  int callback = lua_gettop(L), options = callback - 1, path;
  bool is_path;
  luaL_checkstack(L, 30, NULL);
  if (!lua_isnil(L, callback)) {
    lua_pushvalue(L, callback);
    cnet_emitter_once(L, cnet_stream_runtime(&s->stream), self, "connect");
  }
  field(L, options, "port");
  field(L, options, "path");
  path = lua_gettop(L);
  if (lua_isnil(L, path) && lua_isnil(L, path - 1)) {
    cnet_error_push(L, "TypeError", "ERR_MISSING_ARGS",
                    "The \"options\" or \"port\" or \"path\" argument must be specified");
    cnet_error_throw(L);
  }
  is_path = cnet_truthy(L, path);
  renew(L, s, self, is_path);
  cnet_socket_touch(s);
  s->connecting = true;
  if (s->aborted) {
    /* its signal was aborted before: there is an error and a close, and no connection */
  } else if (!is_path) {
    lookup_and_connect(L, s, self, options);
  } else if (lua_type(L, path) != LUA_TSTRING) {
    cnet_error_arg_type(L, "property", "options.path", "of type string", path);
  } else {
    lua_createtable(L, 0, 1);
    set_field(L, path + 1, "socket", self);
    lua_createtable(L, 0, 2);
    set_field(L, path + 2, "plan", path + 1);
    set_field(L, path + 2, "address", path);
    connect_one(L, s, self, path + 1, path + 2);
  }
  lua_settop(L, callback);
}

static int method_connect(lua_State *L) {
  cnet_class_self(L, CNET_SOCKET);
  normalize(L, 2);
  connect_socket(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int net_connect(lua_State *L) {
  cnet_runtime_check(L, cnet_runtime_of(L));
  normalize(L, 1);
  lua_pushcfunction(L, cnet_socket_class.construct);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_insert(L, 1); /* socket, options, callback */
  if (field(L, 2, "timeout") != LUA_TNIL && cnet_truthy(L, -1)) {
    lua_getfield(L, 1, "setTimeout");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 4);
    lua_call(L, 2, 0);
  }
  lua_settop(L, 3);
  connect_socket(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* ---- defaults ---- */

static int net_get_default_auto_select_family(lua_State *L) {
  lua_pushboolean(L, cnet_runtime_of(L)->default_auto_select_family);
  return 1;
}

static int net_set_default_auto_select_family(lua_State *L) {
  if (!lua_isboolean(L, 1)) return cnet_error_arg_type(L, "argument", "value", "of type boolean", 1);
  cnet_runtime_of(L)->default_auto_select_family = lua_toboolean(L, 1);
  return 0;
}

static int net_get_default_attempt_timeout(lua_State *L) {
  lua_pushinteger(L, cnet_runtime_of(L)->default_attempt_timeout);
  return 1;
}

static int net_set_default_attempt_timeout(lua_State *L) {
  cnet_runtime_of(L)->default_attempt_timeout = check_attempt_timeout(L, 1, "value");
  return 0;
}

void cnet_connector_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"connect", net_connect},
                                       {"createConnection", net_connect},
                                       {"getDefaultAutoSelectFamily", net_get_default_auto_select_family},
                                       {"setDefaultAutoSelectFamily", net_set_default_auto_select_family},
                                       {"getDefaultAutoSelectFamilyAttemptTimeout", net_get_default_attempt_timeout},
                                       {"setDefaultAutoSelectFamilyAttemptTimeout", net_set_default_attempt_timeout},
                                       {NULL, NULL}};
  static const luaL_Reg methods[] = {{"connect", method_connect}, {NULL, NULL}};
  cnet_runtime_set_functions(L, functions);
  cnet_class_define(L, &cnet_socket_class);
  cnet_runtime_set_functions(L, methods);
  lua_pop(L, 1);
}
