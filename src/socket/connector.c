#include "socket/connector.h"

#include <math.h>
#include <netdb.h>
#include <stdint.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/received.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "socket/attempt.h"
#include "socket/class.h"
#include "socket/lookup.h"
#include "socket/options.h"
#include "stream/renewal.h"
#include "text/address.h"

/* The tables that stand for a connect() and its attempts are described in socket/attempt.h. */

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

/* ERR_INVALID_ADDRESS_FAMILY, with the place that was asked for. */
static void push_family_error(lua_State *L, int plan, int family) {
  int port = cnet_get_int(L, plan, "port"), host;
  lua_getfield(L, plan, "host");
  host = lua_gettop(L);
  lua_pushliteral(L, "Invalid address family: ");
  cnet_received_push_plain(L, family);
  lua_pushliteral(L, " ");
  cnet_received_push_plain(L, host);
  lua_pushfstring(L, ":%d", port);
  lua_concat(L, 5);
  cnet_error_push_text(L, "RangeError", "ERR_INVALID_ADDRESS_FAMILY");
  cnet_set_value(L, host + 1, "host", host);
  cnet_set_integer(L, host + 1, "port", port);
  lua_remove(L, host);
}

/* Is there an address at index ip, of the family at index family? Else pushes the error. */
static bool check_address(lua_State *L, int plan, int ip, int family) {
  size_t length;
  const char *text = lua_type(L, ip) == LUA_TSTRING ? lua_tolstring(L, ip, &length) : NULL;
  lua_Number n = lua_type(L, family) == LUA_TNUMBER ? lua_tonumber(L, family) : 0;
  if (!text || !cnet_is_ip(text, length)) {
    cnet_error_push_value(L, "TypeError", "ERR_INVALID_IP_ADDRESS", "Invalid IP address: ", ip);
  } else if (n != 4 && n != 6) {
    push_family_error(L, plan, family);
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
  lua_getfield(L, plan, "host");
  cnet_emit(L, self, "lookup", 4);
}

/* (err, ip, family) of one address; upvalues: 2 socket, 3 plan */
static int on_lookup_one(lua_State *L) {
  cnet_socket *s = cnet_socket_at(L, lua_upvalueindex(2));
  int self = 4, plan = 5;
  lua_settop(L, 3);
  if (lua_istable(L, 2) && lua_rawgeti(L, 2, 1) == LUA_TTABLE) { /* our own lookup gives a list */
    lua_getfield(L, 4, "family");
    lua_replace(L, 3);
    lua_getfield(L, 4, "address");
    lua_replace(L, 2);
  }
  lua_settop(L, 3);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  emit_lookup(L, self, plan, 1, 2, 3);
  if (!cnet_attempt_is_awaited(L, s, plan)) return 0;
  if (cnet_is_error(L, 1)) {
    lua_pushvalue(L, 1);
    fail_in_tick(L, s, self);
  } else if (!check_address(L, plan, 2, 3)) {
    fail_in_tick(L, s, self);
  } else {
    cnet_socket_touch(L, s, self);
    cnet_attempt_one(L, s, self, plan, cnet_attempt_push(L, plan, lua_tostring(L, 2), lua_tonumber(L, 3) == 4 ? 4 : 6));
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
    if (lua_rawgeti(L, list, i) != LUA_TTABLE) { /* it has no address */
      emit_lookup(L, self, plan, 0, 0, 0);
      if (!s->connecting) return false;
    } else {
      lua_getfield(L, entry, "address");
      lua_getfield(L, entry, "family");
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
  if (!cnet_attempt_is_awaited(L, s, plan)) return 0;
  if (cnet_is_error(L, 1)) {
    emit_lookup(L, self, plan, 1, 0, 0);
    lua_pushvalue(L, 1);
    fail_in_tick(L, s, self);
    return 0;
  }
  if (!lua_istable(L, 2)) { /* Node takes each character of a string for an entry, of which none has an address */
    size_t i, length = lua_type(L, 2) == LUA_TSTRING ? lua_rawlen(L, 2) : 0;
    for (i = 0; i < length && s->connecting; i++) emit_lookup(L, self, plan, 0, 0, 0);
    if (!s->connecting) return 0;
    lua_pushnil(L);
    check_address(L, plan, lua_gettop(L), lua_gettop(L));
    fail_in_tick(L, s, self);
    return 0;
  }
  if (!push_candidates(L, s, self, plan, 2, &n)) return 0;
  if (n == 0) { /* fails on the first one */
    if (lua_rawgeti(L, 2, 1) != LUA_TTABLE) lua_newtable(L);
    lua_getfield(L, lua_gettop(L), "address");
    lua_getfield(L, lua_gettop(L) - 1, "family");
    check_address(L, plan, lua_gettop(L) - 1, lua_gettop(L));
    fail_in_tick(L, s, self);
    return 0;
  }
  cnet_socket_touch(L, s, self);
  if (n == 1) {
    lua_rawgeti(L, candidates, 1);
    cnet_attempt_one(L, s, self, plan,
                     cnet_attempt_push(L, plan, cnet_get_string(L, 6, "address"), cnet_get_int(L, 6, "family")));
    return 0;
  }
  cnet_attempt_all(L, s, self, plan, candidates);
  return 0;
}

static int tick_connect_ip(lua_State *L) { /* (socket, plan, family) */
  cnet_socket *s = cnet_socket_at(L, 1);
  int family = (int)lua_tointeger(L, 3); /* 4 or 6 */
  lua_settop(L, 2);
  if (cnet_attempt_is_awaited(L, s, 2))
    cnet_attempt_one(L, s, 1, 2, cnet_attempt_push(L, 2, cnet_get_string(L, 2, "host"), family));
  return 0;
}

/* ---- options ---- */

/* Leaves options.family on the stack, 'IPv4' and 'IPv6' as 4 and 6, and returns it if it is one of the two. */
static int push_family(lua_State *L, int options) {
  lua_Number n;
  if (lua_getfield(L, options, "family") == LUA_TSTRING) {
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

/* Leaves options.hints on the stack, for a lookup of the script's as they are; Node's default if there are none. */
static int push_hints(lua_State *L, int options, int family) {
  lua_getfield(L, options, "hints");
  if (!cnet_truthy(L, -1)) {
    lua_pop(L, 1);
    lua_pushinteger(L, family == 0 ? AI_ADDRCONFIG : 0);
  }
  return lua_gettop(L);
}

/* What our own lookup takes. */
static int check_hints(lua_State *L, int index) {
  int hints;
  if (lua_type(L, index) != LUA_TNUMBER) cnet_error_arg_type(L, "property", "options.hints", "of type number", index);
  hints = cnet_trunc32(lua_tonumber(L, index));
  if (hints & ~(AI_ADDRCONFIG | AI_ALL | AI_V4MAPPED)) {
    lua_pushinteger(L, (lua_Integer)(uint32_t)hints);
    cnet_error_arg_value(L, "argument", "hints", -1, "is invalid");
  }
  return hints;
}

static int check_attempt_timeout(lua_State *L, int index, const char *kind, const char *name) {
  lua_Number n = lua_tonumber(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) return cnet_error_arg_type(L, kind, name, "of type number", index);
  if (!isfinite(n) || n != floor(n)) return cnet_error_out_of_range(L, name, "an integer", index);
  if (!(n >= 1 && n <= 2147483647.0)) return cnet_error_out_of_range(L, name, ">= 1 && <= 2147483647", index);
  return n < 10 ? 10 : (int)n;
}

enum { DEFAULT_ATTEMPT_TIMEOUT = 500 /* ms */ };

typedef struct {
  bool no_auto_select_family;
  int attempt_timeout; /* ms, 0 until it is set */
} defaults;

static const cnet_room room = {sizeof(defaults), NULL};

static defaults *defaults_of(lua_State *L, cnet_runtime *rt) { return cnet_runtime_room(L, rt, &room); }

static int default_attempt_timeout(lua_State *L, cnet_runtime *rt) {
  const defaults *d = defaults_of(L, rt);
  return d->attempt_timeout > 0 ? d->attempt_timeout : DEFAULT_ATTEMPT_TIMEOUT;
}

static bool check_auto_select(lua_State *L, cnet_runtime *rt, int options) {
  bool on = !defaults_of(L, rt)->no_auto_select_family;
  int type = lua_getfield(L, options, "autoSelectFamily");
  if (type != LUA_TNIL) {
    if (type != LUA_TBOOLEAN) cnet_error_arg_type(L, "property", "options.autoSelectFamily", "of type boolean", -1);
    on = lua_toboolean(L, -1);
  }
  lua_pop(L, 1);
  return on;
}

/* Pushes the plan of a connect to a host: checks what Node checks before the lookup. */
static int push_plan(lua_State *L, cnet_runtime *rt, int self, int options) {
  int plan, whole;
  lua_createtable(L, 0, 8);
  plan = lua_gettop(L);
  cnet_set_value(L, plan, "socket", self);
  cnet_set_integer(L, plan, "life", cnet_socket_at(L, self)->life);
  if (lua_getfield(L, options, "localAddress") != LUA_TNIL && cnet_truthy(L, -1)) {
    size_t length;
    const char *ip = lua_type(L, -1) == LUA_TSTRING ? lua_tolstring(L, -1, &length) : NULL;
    if (!ip || !cnet_is_ip(ip, length)) {
      cnet_error_push_value(L, "TypeError", "ERR_INVALID_IP_ADDRESS", "Invalid IP address: ", -1);
      cnet_error_throw(L);
    }
    lua_setfield(L, plan, "localAddress");
  }
  lua_settop(L, plan);
  if (lua_getfield(L, options, "localPort") != LUA_TNIL && cnet_truthy(L, -1)) {
    if (lua_type(L, -1) != LUA_TNUMBER) cnet_error_arg_type(L, "property", "options.localPort", "of type number", -1);
    if (lua_tointegerx(L, -1, &whole), whole) { /* 80.0 is 80 */
      cnet_set_integer(L, plan, "localPort", lua_tointeger(L, -1));
    } else {
      cnet_set_value(L, plan, "localPort", lua_gettop(L));
    }
  }
  lua_settop(L, plan);
  if (lua_getfield(L, options, "port") != LUA_TNIL) {
    if (lua_type(L, -1) != LUA_TNUMBER && lua_type(L, -1) != LUA_TSTRING)
      cnet_error_arg_type(L, "property", "options.port", "one of type number or string", -1);
    cnet_set_integer(L, plan, "port", cnet_check_port(L, -1, "Port", true));
  }
  lua_settop(L, plan);
  cnet_set_integer(L, plan, "timeout", default_attempt_timeout(L, rt));
  if (lua_getfield(L, options, "autoSelectFamilyAttemptTimeout") != LUA_TNIL)
    cnet_set_integer(L, plan, "timeout",
                     check_attempt_timeout(L, -1, "property", "options.autoSelectFamilyAttemptTimeout"));
  lua_settop(L, plan);
  return plan;
}

/* The script's own lookup(host, {family, hints, all}, callback); the callback is on top. */
static void custom_lookup(lua_State *L, int lookup, int host, int family, int hints, bool all) {
  int callback = lua_gettop(L);
  lua_pushvalue(L, lookup);
  lua_pushvalue(L, host);
  lua_createtable(L, 0, 3);
  cnet_set_value(L, callback + 3, "family", family);
  cnet_set_value(L, callback + 3, "hints", hints);
  if (all) {
    lua_pushboolean(L, 1);
    lua_setfield(L, callback + 3, "all");
  }
  lua_pushvalue(L, callback);
  lua_call(L, 3, 0);
  lua_settop(L, callback - 1);
}

/* The handle of a net.BoundSocket has its local address. */
static void check_bound(lua_State *L, int options) {
  bool given = lua_getfield(L, options, "localAddress") != LUA_TNIL;
  given = lua_getfield(L, options, "localPort") != LUA_TNIL || given;
  lua_pop(L, 2);
  if (given)
    cnet_error_arg_value(L, "argument", "options", options,
                         "localAddress and localPort cannot be used with an adopted bound socket");
}

/* The host is an address: the attempt follows in a tick, or is made now with a handle that is bound already, so that
 * the script can see at once which local address the kernel has chosen. */
static void connect_ip(lua_State *L, cnet_socket *s, int self, int plan, int family) {
  if (s->bound) {
    cnet_attempt_one(L, s, self, plan, cnet_attempt_push(L, plan, cnet_get_string(L, plan, "host"), family));
    return;
  }
  lua_pushcfunction(L, tick_connect_ip);
  lua_pushvalue(L, self);
  lua_pushvalue(L, plan);
  lua_pushinteger(L, family);
  cnet_tick(L, cnet_stream_runtime(&s->stream), 3);
}

/* Leaves more on the stack; returns the index of the plan. */
static int lookup_and_connect(lua_State *L, cnet_socket *s, int self, int options) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  int host = lua_gettop(L) + 1, plan = host + 1, lookup = host + 2, family, hints;
  const char *name;
  bool all;
  if (lua_getfield(L, options, "host") == LUA_TNIL || !cnet_truthy(L, -1)) {
    lua_pop(L, 1);
    lua_pushliteral(L, "localhost");
  }
  name = cnet_check_text(L, host, "property", "options.host");
  if (s->bound) check_bound(L, options);
  push_plan(L, rt, self, options);
  all = !s->bound && check_auto_select(L, rt, options); /* a handle that is bound has but one attempt */
  cnet_set_value(L, plan, "host", host);
  family = cnet_is_ip(name, strlen(name));
  if (family) {
    connect_ip(L, s, self, plan, family);
    return plan;
  }
  if (lua_getfield(L, options, "lookup") != LUA_TNIL && !lua_isfunction(L, lookup))
    cnet_error_arg_type(L, "property", "options.lookup", "of type function", lookup);
  family = push_family(L, options);
  hints = push_hints(L, options, family);
  all = all && family == 0 && !cnet_get_string(L, plan, "localAddress");
  lua_pushvalue(L, self);
  lua_pushvalue(L, plan);
  cnet_emitter_push_listener(L, all ? on_lookup_all : on_lookup_one, 2);
  if (!lua_isnil(L, lookup)) {
    custom_lookup(L, lookup, host, lookup + 1, hints, all);
  } else {
    int flags = check_hints(L, hints);
    check_family(L, lookup + 1);
    cnet_lookup(L, rt, name, family, flags);
  }
  return plan;
}

/* ---- connect ---- */

/* Replaces the arguments from index `first` on by an options table and the callback or nil. */
static void normalize(lua_State *L, int first) {
  int last;
  bool callback;
  cnet_trim_nils(L, first);
  last = lua_gettop(L);
  callback = last >= first && lua_isfunction(L, last);
  cnet_address_check_path(L, first, first + 1, "connect", true);
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
      cnet_set_value(L, lua_gettop(L), path ? "path" : "port", first);
      if (!path && last > first && lua_type(L, first + 1) == LUA_TSTRING)
        cnet_set_value(L, lua_gettop(L), "host", first + 1);
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
    cnet_socket_forget_last_life(L, s, self);
    s->life++;
  }
  s->write_after_fin = false;
  if (s->handle) return;
  if (s->collected) luaL_error(L, "the socket was collected"); /* nobody would close the handle */
  h = cnet_handle_new(cnet_stream_runtime(&s->stream), path ? CNET_HANDLE_PIPE : CNET_HANDLE_TCP, &status);
  if (!h) {
    cnet_error_push_system(L, status, "connect");
    cnet_error_throw(L);
  }
  cnet_socket_set_handle(L, s, self, h);
  /* not pinned before an attempt begins: till then a tick or a lookup knows the socket, or the arguments are refused
   * and nobody but the script does */
  cnet_handle_unpin(L, h);
  s->bytes_read = s->bytes_written = 0;
  cnet_stream_renew(L, &s->stream, self);
}

/* ms; 0 is none */
static lua_Number check_connect_timeout(lua_State *L, int options) {
  lua_Number ms = 0;
  if (lua_getfield(L, options, "connectTimeout") != LUA_TNIL)
    ms = cnet_timer_check_duration(L, -1, "options.connectTimeout");
  lua_pop(L, 1);
  return ms;
}

/* Connects to the path at index path; returns the index of the plan. */
static int connect_path(lua_State *L, cnet_socket *s, int self, int path) {
  int plan = lua_gettop(L) + 1;
  if (lua_type(L, path) != LUA_TSTRING) cnet_error_arg_type(L, "property", "options.path", "of type string", path);
  lua_createtable(L, 0, 2);
  cnet_set_value(L, plan, "socket", self);
  cnet_set_integer(L, plan, "life", s->life);
  lua_createtable(L, 0, 2);
  cnet_set_value(L, plan + 1, "plan", plan);
  cnet_set_value(L, plan + 1, "address", path);
  cnet_attempt_one(L, s, self, plan, plan + 1);
  return plan;
}

/* connect of the socket at index self with options and callback at the top, which it leaves there. */
static void connect_socket(lua_State *L, int self) {
  cnet_socket *s = cnet_socket_at(L, self);
  int callback = lua_gettop(L), options = callback - 1, path, plan;
  lua_Number timeout;
  bool is_path;
  luaL_checkstack(L, 30, NULL);
  cnet_strict_options(L, cnet_stream_runtime(&s->stream), options, "connect", cnet_socket_option_names, "");
  if (!lua_isnil(L, callback)) {
    lua_pushvalue(L, callback);
    cnet_emitter_once(L, self, "connect");
  }
  lua_getfield(L, options, "port");
  lua_getfield(L, options, "path");
  path = lua_gettop(L);
  if (lua_isnil(L, path) && lua_isnil(L, path - 1)) {
    cnet_error_push(L, "TypeError", "ERR_MISSING_ARGS",
                    "The \"options\" or \"port\" or \"path\" argument must be specified");
    cnet_error_throw(L);
  }
  is_path = s->bound && s->handle ? s->handle->kind != CNET_HANDLE_TCP : cnet_truthy(L, path);
  timeout = check_connect_timeout(L, options);
  if (s->aborted && !(s->stream.state & CNET_CLOSE_EMITTED)) {
    /* its signal was aborted: the error and the close are on their way, and there is no connection */
    lua_settop(L, callback);
    return;
  }
  s->aborted = false;
  renew(L, s, self, is_path);
  cnet_socket_touch(L, s, self);
  s->connecting = true;
  plan = is_path ? connect_path(L, s, self, path) : lookup_and_connect(L, s, self, options);
  if (timeout > 0 && s->connecting) cnet_attempt_start_timeout(L, s, self, plan, timeout);
  lua_settop(L, callback);
}

static int method_connect(lua_State *L) {
  cnet_class_self(L, CNET_SOCKET);
  normalize(L, 2);
  connect_socket(L, 1);
  lua_settop(L, 1);
  return 1;
}

static int connect_pushed(lua_State *L) { /* (socket, options, callback) */
  connect_socket(L, 1);
  return 0;
}

static int net_connect(lua_State *L) {
  int i;
  cnet_runtime_check(L, cnet_runtime_of(L));
  normalize(L, 1);
  cnet_strict_options(L, cnet_runtime_of(L), 1, "net.connect", cnet_socket_option_names, "");
  lua_pushcfunction(L, cnet_socket_class.construct);
  lua_pushvalue(L, 1);
  lua_call(L, 1, 1);
  lua_insert(L, 1); /* socket, options, callback */
  if (lua_getfield(L, 2, "timeout") != LUA_TNIL && cnet_truthy(L, -1)) {
    lua_getfield(L, 1, "setTimeout");
    lua_pushvalue(L, 1);
    lua_pushvalue(L, 4);
    lua_call(L, 2, 0);
  }
  lua_settop(L, 3);
  lua_pushcfunction(L, connect_pushed);
  for (i = 1; i <= 3; i++) lua_pushvalue(L, i);
  if (lua_pcall(L, 3, 0, 0) != LUA_OK) { /* nobody else has the socket, whose handle may be open */
    cnet_stream_destroy(L, &cnet_socket_at(L, 1)->stream, 1, 0);
    return lua_error(L);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- defaults ---- */

static int net_get_default_auto_select_family(lua_State *L) {
  lua_pushboolean(L, !defaults_of(L, cnet_runtime_of(L))->no_auto_select_family);
  return 1;
}

static int net_set_default_auto_select_family(lua_State *L) {
  if (!lua_isboolean(L, 1)) return cnet_error_arg_type(L, "argument", "value", "of type boolean", 1);
  defaults_of(L, cnet_runtime_of(L))->no_auto_select_family = !lua_toboolean(L, 1);
  return 0;
}

static int net_get_default_attempt_timeout(lua_State *L) {
  lua_pushinteger(L, default_attempt_timeout(L, cnet_runtime_of(L)));
  return 1;
}

static int net_set_default_attempt_timeout(lua_State *L) {
  defaults_of(L, cnet_runtime_of(L))->attempt_timeout = check_attempt_timeout(L, 1, "argument", "value");
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
