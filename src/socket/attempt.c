#include "socket/attempt.h"

#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/pins.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "handle/requests.h"
#include "socket/options.h"
#include "stream/readable.h"
#include "text/address.h"
#include "text/block_list.h"

/* ---- one attempt ---- */

/* Node binds and connects by the family it was told: an address of the other one is EINVAL. */
static bool has_family(const char *ip, int family) { return cnet_is_ip(ip, strlen(ip)) == family; }

static lua_Number local_port_of(lua_State *L, int plan) {
  lua_Number port;
  lua_getfield(L, plan, "localPort");
  port = lua_tonumber(L, -1);
  lua_pop(L, 1);
  return port;
}

/* Binds to the plan's local address; 0, or the error, which is pushed. As in Node the port is any number: what is none
 * is bound as its lowest bits say, and told as a port that is in use. */
static int bind_local(lua_State *L, cnet_socket *s, int plan, int family) {
  const char *ip = cnet_get_string(L, plan, "localAddress");
  lua_Number port = local_port_of(L, plan);
  int status;
  cnet_address bound;
  if (!ip && port == 0) return 0;
  if (!ip) ip = family == 4 ? "0.0.0.0" : "::";
  status = has_family(ip, family) ? cnet_handle_bind(s->handle, ip, cnet_trunc32(port), 0, false) : UV_EINVAL;
  /* EADDRINUSE may not show before connect, which would then bind to some other port */
  if (status == 0 && port > 0) {
    status = cnet_handle_sockname(s->handle, &bound);
    if (status == 0 && bound.port != port) status = UV_EADDRINUSE;
  }
  if (status < 0) {
    lua_pushstring(L, ip);
    cnet_error_push_endpoint(L, status, "bind", lua_gettop(L), port, NULL);
    lua_remove(L, -2);
  }
  return status;
}

/* Pushes the error of the attempt at index attempt. */
static void push_connect_error(lua_State *L, int attempt, int status) {
  int plan, address, port = cnet_get_int(L, attempt, "port");
  const char *ip;
  bool local;
  lua_getfield(L, attempt, "plan");
  lua_getfield(L, attempt, "address");
  address = lua_gettop(L);
  plan = address - 1;
  ip = cnet_get_string(L, plan, "localAddress");
  local = local_port_of(L, plan) != 0;
  if (!ip) ip = cnet_get_integer(L, attempt, "family") == 4 ? "0.0.0.0" : "::";
  if (local) {
    lua_getfield(L, plan, "localPort");
    lua_pushfstring(L, "%s:%s", ip, lua_tostring(L, -1));
    cnet_error_push_endpoint(L, status, "connect", address, port, lua_tostring(L, -1));
    lua_pushstring(L, ip);
    lua_setfield(L, -2, "localAddress");
    lua_getfield(L, plan, "localPort");
    lua_setfield(L, -2, "localPort");
  } else {
    cnet_error_push_endpoint(L, status, "connect", address, port, NULL);
  }
  lua_replace(L, plan);
  lua_settop(L, plan);
}

/* The error of a connect() that failed at once shows the local address, as far as there is one. */
static void push_immediate_error(lua_State *L, cnet_socket *s, int attempt, int status) {
  cnet_address local;
  int address = lua_gettop(L) + 1;
  lua_getfield(L, attempt, "address");
  if (cnet_handle_sockname(s->handle, &local) == 0 && local.family) {
    lua_pushfstring(L, "%s:%d", local.ip, local.port);
  } else {
    lua_pushliteral(L, "undefined:undefined");
  }
  cnet_error_push_endpoint(L, status, "connect", address, cnet_get_int(L, attempt, "port"), lua_tostring(L, -1));
  lua_replace(L, address);
  lua_settop(L, address);
}

/* Emits an attempt's event with its address, port and family, and, if err is not 0, the error at index err. */
static void emit_attempt(lua_State *L, int self, const char *event, int attempt, int err) {
  lua_getfield(L, attempt, "address");
  lua_getfield(L, attempt, "port");
  lua_getfield(L, attempt, "family");
  if (err) lua_pushvalue(L, err);
  cnet_emit(L, self, event, err ? 4 : 3);
}

int cnet_attempt_push(lua_State *L, int plan, const char *address, int family) {
  lua_createtable(L, 0, 6);
  cnet_set_value(L, lua_gettop(L), "plan", plan);
  lua_pushstring(L, address);
  lua_setfield(L, -2, "address");
  if (family) {
    cnet_set_integer(L, lua_gettop(L), "port", cnet_get_integer(L, plan, "port"));
    cnet_set_integer(L, lua_gettop(L), "family", family);
  }
  return lua_gettop(L);
}

bool cnet_attempt_is_awaited(lua_State *L, const cnet_socket *s, int plan) {
  return s->connecting && cnet_get_integer(L, plan, "life") == s->life;
}

/* The connection is there. */
static void connected(lua_State *L, cnet_socket *s, int self) {
  cnet_socket_touch(L, s, self);
  cnet_socket_apply_options(s);
  cnet_emit(L, self, "connect", 0);
  cnet_emit(L, self, "ready", 0);
  if (s->handle && !cnet_readable_is_paused(&s->stream)) {
    cnet_readable_read(L, &s->stream, self, 0);
    lua_pop(L, 1);
  }
  cnet_socket_end_if_kept(L, s, self);
}

static void on_connect(lua_State *L, int self, int attempt, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  bool awaited;
  lua_getfield(L, attempt, "plan");
  awaited = cnet_attempt_is_awaited(L, s, lua_gettop(L));
  lua_pop(L, 1);
  if (!awaited) return; /* destroyed meanwhile, and perhaps connected anew */
  s->connecting = false;
  cnet_socket_drop_timer(L, s, &s->connect_timer);
  if (status == 0) {
    connected(L, s, self);
    return;
  }
  push_connect_error(L, attempt, status);
  emit_attempt(L, self, "connectionAttemptFailed", attempt, lua_gettop(L));
  cnet_stream_destroy_top(L, &s->stream, self);
}

static int start_connect(lua_State *L, cnet_socket *s, int self, int attempt, cnet_request_done done) {
  const char *address = cnet_get_string(L, attempt, "address");
  int status, family = cnet_get_int(L, attempt, "family");
  size_t length;
  if (family && !has_family(address, family)) return UV_EINVAL;
  if (cnet_handle_is_closing(s->handle)) return UV_EBADF; /* by a server that holds it too */
  if (s->handle->life != CNET_HANDLE_OPEN) return UV_EISCONN;
  status = family ? cnet_socket_prepare_buffers(s, family) : 0;
  if (status < 0) return status;
  cnet_handle_pin(L, s->handle, self);
  lua_getfield(L, attempt, "plan");
  cnet_set_value(L, lua_gettop(L), "attempt", attempt);
  lua_pop(L, 1);
  lua_pushvalue(L, attempt);
  if (family) return cnet_handle_connect(L, s->handle, self, address, cnet_get_int(L, attempt, "port"), done);
  lua_pushvalue(L, attempt);
  lua_getfield(L, attempt, "address");
  length = lua_rawlen(L, -1);
  lua_pop(L, 2);
  return cnet_handle_connect_path(L, s->handle, self, address, length, done);
}

/* Does the socket's blockList forbid the attempt's address? Then the error is pushed. */
static bool is_blocked(lua_State *L, int self, int attempt) {
  int top = lua_gettop(L), family = cnet_get_int(L, attempt, "family");
  const char *ip = cnet_get_string(L, attempt, "address");
  bool blocked = family != 0 && cnet_class_slot(L, self, CNET_SLOT_BLOCK_LIST) != LUA_TNIL &&
                 cnet_block_list_blocks(L, -1, ip, family);
  lua_settop(L, top);
  if (blocked) cnet_error_push(L, "Error", "ERR_IP_BLOCKED", "IP(%s) is blocked by net.BlockList", ip);
  return blocked;
}

void cnet_attempt_one(lua_State *L, cnet_socket *s, int self, int plan, int attempt) {
  int status, family = cnet_get_int(L, attempt, "family");
  if (family && bind_local(L, s, plan, family) < 0) {
    cnet_stream_destroy_top(L, &s->stream, self);
    return;
  }
  emit_attempt(L, self, "connectionAttempt", attempt, 0);
  if (!s->handle || !s->connecting) return; /* a listener destroyed it */
  if (is_blocked(L, self, attempt)) {
    cnet_stream_destroy_top(L, &s->stream, self);
    return;
  }
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
  if (lua_getfield(L, plan, "timer") == LUA_TUSERDATA) timer = lua_touserdata(L, -1);
  lua_pop(L, 1);
  if (!timer) return;
  cnet_timer_stop(&timer->timer);
  if (timer->timer.rt) cnet_unpin(L, timer->timer.rt, timer);
  lua_pushnil(L);
  lua_setfield(L, plan, "timer");
}

/* Pops an error and adds it to the plan's. */
static void add_error(lua_State *L, int plan) {
  lua_getfield(L, plan, "errors");
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
  lua_getfield(L, attempt, "plan");
  plan = lua_gettop(L);
  lua_getfield(L, plan, "socket");
  self = lua_gettop(L);
  s = cnet_socket_at(L, self);
  emit_attempt(L, self, "connectionAttemptTimeout", attempt, 0);
  lua_pushboolean(L, 1);
  lua_setfield(L, attempt, "over");
  push_connect_error(L, attempt, UV_ETIMEDOUT);
  add_error(L, plan);
  if (!cnet_attempt_is_awaited(L, s, plan)) return;
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
  cnet_set_value(L, plan, "timer", object);
  lua_pop(L, 1);
  cnet_timer_start(L, rt, &timer->timer, (lua_Number)cnet_get_integer(L, plan, "timeout"));
}

static void on_attempt(lua_State *L, int self, int attempt, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  int plan;
  lua_getfield(L, attempt, "over");
  lua_getfield(L, attempt, "plan");
  plan = lua_gettop(L);
  if (lua_toboolean(L, -2)) return; /* it has timed out, and its handle is closed */
  stop_attempt_timer(L, plan);
  if (status == 0 && cnet_get_integer(L, attempt, "index") == cnet_get_integer(L, plan, "current")) {
    on_connect(L, self, attempt, status);
  } else if (status < 0) {
    push_connect_error(L, attempt, status);
    lua_pushvalue(L, -1);
    add_error(L, plan);
    emit_attempt(L, self, "connectionAttemptFailed", attempt, lua_gettop(L));
    if (cnet_attempt_is_awaited(L, s, plan)) connect_next(L, s, self, plan, status == UV_ECANCELED);
  }
}

/* Pushes "connect ECONNREFUSED localhost:80 (::1, 127.0.0.1)": the code is that of the first error. Node has no message
 * here, which leaves a log without the one thing that everybody looks for. */
static void push_aggregate_message(lua_State *L, int plan, int errors) {
  lua_Integer i, tried = cnet_get_integer(L, plan, "current");
  luaL_Buffer b;
  int top = lua_gettop(L);
  lua_getfield(L, plan, "addresses");
  lua_rawgeti(L, errors, 1);
  lua_getfield(L, top + 2, "code");
  lua_getfield(L, plan, "host");
  luaL_buffinit(L, &b);
  lua_pushfstring(L, "connect %s %s:%d (", lua_tostring(L, top + 3), lua_tostring(L, top + 4),
                  cnet_get_int(L, plan, "port"));
  luaL_addvalue(&b);
  for (i = 1; i <= tried; i++) {
    if (i > 1) luaL_addstring(&b, ", ");
    lua_rawgeti(L, top + 1, i);
    lua_getfield(L, -1, "address"); /* the entry is the lookup's, which may have changed it */
    lua_remove(L, -2);
    luaL_tolstring(L, -1, NULL);
    lua_remove(L, -2);
    luaL_addvalue(&b);
  }
  luaL_addchar(&b, ')');
  luaL_pushresult(&b);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}

/* All addresses are tried: the socket fails with what each of them said. */
static void give_up(lua_State *L, cnet_socket *s, int self, int plan) {
  lua_getfield(L, plan, "errors");
  if (lua_rawlen(L, -1) == 0) {
    cnet_error_push(L, "Error", "ERR_SOCKET_CONNECTION_TIMEOUT", "Socket connection timeout");
  } else {
    push_aggregate_message(L, plan, lua_gettop(L));
    cnet_error_push_aggregate(L);
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

/* Emits 'connectionAttemptFailed' with the error on top, which it leaves. */
static void emit_failed(lua_State *L, int self, int attempt) {
  int err = lua_gettop(L);
  emit_attempt(L, self, "connectionAttemptFailed", attempt, err);
  lua_settop(L, err);
}

/* Starts the attempt at index attempt; an error at once is pushed. */
static int try_address(lua_State *L, cnet_socket *s, int self, int plan, int attempt) {
  int status = bind_local(L, s, plan, cnet_get_int(L, attempt, "family"));
  if (status < 0) return status;
  if (is_blocked(L, self, attempt)) { /* other than an only address, one of several is not even attempted */
    emit_failed(L, self, attempt);
    return UV_EACCES;
  }
  emit_attempt(L, self, "connectionAttempt", attempt, 0);
  if (!s->handle || !s->connecting) return 0;
  cnet_class_slot(L, self, CNET_SLOT_ATTEMPTED);
  lua_pushfstring(L, "%s:%d", cnet_get_string(L, attempt, "address"), cnet_get_int(L, attempt, "port"));
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
  status = start_connect(L, s, self, attempt, on_attempt);
  if (status < 0) {
    push_immediate_error(L, s, attempt, status);
    emit_failed(L, self, attempt);
  }
  return status;
}

static void connect_next(lua_State *L, cnet_socket *s, int self, int plan, bool cancelled) {
  int top = lua_gettop(L), status = -1;
  lua_Integer current, n;
  luaL_checkstack(L, 30, NULL);
  stop_attempt_timer(L, plan);
  lua_getfield(L, plan, "addresses");
  n = (lua_Integer)lua_rawlen(L, -1);
  while (status < 0 && s->connecting && !s->aborted) {
    current = cnet_get_integer(L, plan, "current") + 1;
    if (cancelled || current > n) {
      give_up(L, s, self, plan);
      break;
    }
    cnet_set_integer(L, plan, "current", current);
    if (current > 1 && renew_handle(L, s, self) < 0) break;
    lua_rawgeti(L, top + 1, current);
    cnet_attempt_push(L, plan, cnet_get_string(L, top + 2, "address"), cnet_get_int(L, top + 2, "family"));
    cnet_set_integer(L, top + 3, "index", current);
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

void cnet_attempt_all(lua_State *L, cnet_socket *s, int self, int plan, int addresses) {
  cnet_set_value(L, plan, "addresses", addresses);
  cnet_set_integer(L, plan, "current", 0);
  lua_newtable(L);
  lua_setfield(L, plan, "errors");
  lua_newtable(L);
  cnet_class_set_slot(L, self, CNET_SLOT_ATTEMPTED);
  connect_next(L, s, self, plan, false);
}

/* ---- connectTimeout ---- */

/* The error names the address that does not answer, or the host whose address is not known yet. */
static void push_timeout_error(lua_State *L, int plan) {
  if (lua_getfield(L, plan, "attempt") != LUA_TNIL) {
    push_connect_error(L, lua_gettop(L), UV_ETIMEDOUT);
    return;
  }
  lua_getfield(L, plan, "host");
  cnet_error_push_endpoint(L, UV_ETIMEDOUT, "connect", lua_gettop(L), cnet_get_int(L, plan, "port"), NULL);
  lua_getfield(L, -1, "address");
  lua_setfield(L, -2, "hostname");
  lua_pushnil(L);
  lua_setfield(L, -2, "address");
}

static void on_connect_timeout(lua_State *L, cnet_timer *timer) {
  int self;
  cnet_pin_push(L, timer->rt, timer);
  self = lua_gettop(L);
  cnet_class_slot(L, self, CNET_SLOT_PLAN);
  push_timeout_error(L, self + 1);
  cnet_stream_destroy_top(L, &cnet_socket_at(L, self)->stream, self);
}

void cnet_attempt_start_timeout(lua_State *L, cnet_socket *s, int self, int plan, lua_Number ms) {
  lua_pushvalue(L, plan);
  cnet_class_set_slot(L, self, CNET_SLOT_PLAN);
  cnet_socket_start_timer(L, s, self, &s->connect_timer, on_connect_timeout, ms);
  cnet_timer_set_ref(s->connect_timer, !s->unrefed);
}
