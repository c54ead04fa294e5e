#include "socket/options.h"

#include <math.h>
#include <stdint.h>
#include <stdlib.h>

#include "core/args.h"
#include "core/error.h"
#include "core/pins.h"
#include "core/strict.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "stream/writable.h"

static cnet_socket *self_socket(lua_State *L) { return cnet_class_self(L, CNET_SOCKET); }

/* ---- TCP options ---- */

static int method_set_no_delay(lua_State *L) {
  cnet_socket *s = self_socket(L);
  bool on;
  lua_settop(L, 2);
  on = lua_isnil(L, 2) || cnet_truthy(L, 2);
  if (on != s->no_delay || !s->handle) {
    s->no_delay = on;
    if (s->handle) cnet_handle_set_nodelay(s->handle, on);
  }
  lua_settop(L, 1);
  return 1;
}

/* ~~(ms / 1000) */
static int seconds_at(lua_State *L, int index) { return cnet_trunc32(cnet_to_number(L, index) / 1000); }

/* As Node's binding reads an optional number: what is negative, or not a whole number, counts as absent. */
static int opt_count(lua_State *L, int index) {
  lua_Number n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  if (!(n >= 0 && n <= UINT32_MAX) || n != floor(n)) return CNET_KEEP_ALIVE_DEFAULT;
  return n < INT32_MAX ? (int)n : INT32_MAX;
}

static int opt_interval(lua_State *L, int index) {
  int seconds = lua_isnil(L, index) ? CNET_KEEP_ALIVE_DEFAULT : seconds_at(L, index);
  return seconds < 0 ? CNET_KEEP_ALIVE_DEFAULT : seconds;
}

/* setKeepAlive(enable, initialDelay, interval, count), or one table with these fields */
static int method_set_keep_alive(lua_State *L) {
  static const char *const fields[] = {"enable", "initialDelay", "interval", "count"};
  cnet_socket *s = self_socket(L);
  bool on, changed;
  int i, delay, interval, count;
  lua_settop(L, 5);
  if (lua_istable(L, 2)) {
    cnet_strict_options(L, cnet_runtime_of(L), 2, "socket:setKeepAlive", "enable initialDelay interval count", "");
    for (i = 0; i < 4; i++) lua_getfield(L, 2, fields[i]);
    for (i = 5; i >= 2; i--) lua_replace(L, i);
  }
  on = cnet_truthy(L, 2);
  delay = seconds_at(L, 3);
  interval = opt_interval(L, 4);
  count = opt_count(L, 5);
  changed =
      on != s->keep_alive ||
      (on && (delay != s->keep_alive_delay || interval != s->keep_alive_interval || count != s->keep_alive_count));
  s->keep_alive = on;
  s->keep_alive_delay = delay;
  s->keep_alive_interval = interval;
  s->keep_alive_count = count;
  if (s->handle && changed) cnet_handle_set_keepalive(s->handle, on, delay, interval, count);
  lua_settop(L, 1);
  return 1;
}

/* As in Node, what is not a TCP socket keeps the number and does nothing with it. */
static bool has_type_of_service(const cnet_socket *s) { return s->handle && s->handle->kind == CNET_HANDLE_TCP; }

static short check_type_of_service(lua_State *L, int index, const char *kind, const char *name) {
  lua_Number tos = lua_tonumber(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) cnet_error_arg_type(L, kind, name, "of type number", index);
  if (!isfinite(tos) || tos != floor(tos)) cnet_error_out_of_range(L, name, "an integer", index);
  if (!(tos >= 0 && tos <= 255)) cnet_error_out_of_range(L, name, ">= 0 && <= 255", index);
  return (short)tos;
}

void cnet_socket_read_type_of_service(lua_State *L, cnet_socket *s, int options) {
  if (lua_getfield(L, options, "typeOfService") != LUA_TNIL)
    s->type_of_service = check_type_of_service(L, lua_gettop(L), "property", "options.typeOfService");
  lua_pop(L, 1);
}

static int method_set_type_of_service(lua_State *L) {
  cnet_socket *s = self_socket(L);
  short tos, before = s->type_of_service;
  int status = 0;
  if (isnan(lua_tonumber(L, 2))) return cnet_error_arg_type(L, "argument", "tos", "of type number", 2);
  tos = check_type_of_service(L, 2, "argument", "tos");
  s->type_of_service = tos;
  if (has_type_of_service(s) && tos != before) status = cnet_handle_set_tos(s->handle, tos);
  if (status < 0) {
    cnet_error_push_system(L, status, "setTypeOfService");
    return cnet_error_throw(L);
  }
  lua_settop(L, 1);
  return 1;
}

static int method_get_type_of_service(lua_State *L) {
  cnet_socket *s = self_socket(L);
  int tos = s->type_of_service < 0 ? 0 : s->type_of_service;
  int status = has_type_of_service(s) ? cnet_handle_get_tos(s->handle, &tos) : 0;
  if (status < 0) {
    cnet_error_push_system(L, status, "getTypeOfService");
    return cnet_error_throw(L);
  }
  lua_pushinteger(L, tos);
  return 1;
}

/* ---- the kernel's buffers ---- */

static int apply_buffers(cnet_socket *s) {
  int which, status = 0;
  for (which = CNET_RECV_BUFFER; which <= CNET_SEND_BUFFER && status == 0; which++) {
    int size = s->buffer_sizes[which]; /* a copy: what is set is written there as the kernel has it */
    if (size > 0) status = cnet_handle_buffer_size(s->handle, (cnet_buffer)which, &size);
  }
  return status;
}

int cnet_socket_prepare_buffers(cnet_socket *s, int family) {
  int status;
  if (s->buffer_sizes[CNET_RECV_BUFFER] == 0 && s->buffer_sizes[CNET_SEND_BUFFER] == 0) return 0;
  status = cnet_handle_open_socket(s->handle, family);
  return status < 0 ? status : apply_buffers(s);
}

static int throw_buffer_size(lua_State *L, int status, cnet_buffer which) {
  const char *syscall = which == CNET_RECV_BUFFER ? "uv_recv_buffer_size" : "uv_send_buffer_size";
  char name[64], text[256];
  cnet_error_push(L, "SystemError", "ERR_SOCKET_BUFFER_SIZE", "Could not get or set buffer size: %s returned %s (%s)",
                  syscall, uv_err_name_r(status, name, sizeof name), uv_strerror_r(status, text, sizeof text));
  cnet_set_integer(L, lua_gettop(L), "errno", status);
  lua_pushstring(L, syscall);
  lua_setfield(L, -2, "syscall");
  return cnet_error_throw(L);
}

static bool has_descriptor(const cnet_socket *s) { return s->handle && cnet_handle_fd(s->handle) >= 0; }

static int set_buffer_size(lua_State *L, cnet_buffer which) {
  cnet_socket *s = self_socket(L);
  lua_Number n = lua_type(L, 2) == LUA_TNUMBER ? lua_tonumber(L, 2) : 0;
  int status = 0, size;
  if (!(n >= 1 && n <= INT32_MAX) || n != floor(n)) {
    cnet_error_push(L, "TypeError", "ERR_SOCKET_BAD_BUFFER_SIZE", "Buffer size must be a positive integer");
    return cnet_error_throw(L);
  }
  size = (int)n;
  if (has_descriptor(s)) status = cnet_handle_buffer_size(s->handle, which, &size);
  if (status < 0) return throw_buffer_size(L, status, which);
  s->buffer_sizes[which] = (int)n;
  lua_settop(L, 1);
  return 1;
}

static int get_buffer_size(lua_State *L, cnet_buffer which) {
  cnet_socket *s = self_socket(L);
  int size = 0, status = 0;
  if (has_descriptor(s)) {
    status = cnet_handle_buffer_size(s->handle, which, &size);
  } else {
    size = s->buffer_sizes[which];
  }
  if (status < 0) return throw_buffer_size(L, status, which);
  if (size > 0) {
    lua_pushinteger(L, size);
  } else {
    lua_pushnil(L);
  }
  return 1;
}

static int method_set_recv_buffer_size(lua_State *L) { return set_buffer_size(L, CNET_RECV_BUFFER); }

static int method_set_send_buffer_size(lua_State *L) { return set_buffer_size(L, CNET_SEND_BUFFER); }

static int method_get_recv_buffer_size(lua_State *L) { return get_buffer_size(L, CNET_RECV_BUFFER); }

static int method_get_send_buffer_size(lua_State *L) { return get_buffer_size(L, CNET_SEND_BUFFER); }

/* Of a Unix socket, whose descriptor libuv makes while it connects, the buffers are set now. */
void cnet_socket_apply_options(cnet_socket *s) {
  if (!s->handle) return;
  if (s->handle->kind == CNET_HANDLE_PIPE) apply_buffers(s);
  if (s->no_delay) cnet_handle_set_nodelay(s->handle, true);
  if (s->type_of_service >= 0 && s->handle->kind == CNET_HANDLE_TCP) cnet_handle_set_tos(s->handle, s->type_of_service);
  if (s->keep_alive)
    cnet_handle_set_keepalive(s->handle, true, s->keep_alive_delay, s->keep_alive_interval, s->keep_alive_count);
}

/* ---- ref ---- */

static int listener_ref(lua_State *L) {
  cnet_socket *s = cnet_emitter_push_self(L, CNET_SOCKET);
  if (s->handle) cnet_handle_ref(s->handle, true);
  return 0;
}

static int listener_unref(lua_State *L) {
  cnet_socket *s = cnet_emitter_push_self(L, CNET_SOCKET);
  if (s->handle) cnet_handle_ref(s->handle, false);
  return 0;
}

static int set_ref(lua_State *L, bool on) {
  cnet_socket *s = self_socket(L);
  lua_settop(L, 1);
  s->unrefed = !on;
  if (s->connect_timer) cnet_timer_set_ref(s->connect_timer, on);
  if (s->handle) {
    cnet_handle_ref(s->handle, on);
  } else {
    cnet_emitter_push_listener(L, on ? listener_ref : listener_unref, 0);
    cnet_emitter_once(L, 1, "connect");
  }
  return 1;
}

static int method_ref(lua_State *L) { return set_ref(L, true); }

static int method_unref(lua_State *L) { return set_ref(L, false); }

/* ---- timeout ---- */

/* No 'timeout' while a write makes progress: the queue shrank since the last look. */
static void on_timeout(lua_State *L, cnet_timer *timer) {
  cnet_runtime *rt = timer->rt;
  cnet_socket *s;
  int self;
  cnet_pin_push(L, rt, timer);
  self = lua_gettop(L);
  s = cnet_socket_at(L, self);
  if (s->last_write_queue > 0 && s->handle) {
    size_t queue = cnet_handle_write_queue(s->handle);
    if (queue != s->last_write_queue) {
      s->last_write_queue = queue;
      cnet_timer_refresh(timer);
      return;
    }
  }
  cnet_unpin(L, rt, timer);
  cnet_emit(L, self, "timeout", 0);
}

/* As the value at index says, in ms, which it returns. */
static lua_Number change_timeout(lua_State *L, cnet_socket *s, int index) {
  lua_Number ms;
  s->timeout = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : -1;
  ms = cnet_timer_check_duration(L, index, "msecs");
  cnet_socket_drop_timer(L, s, &s->timer);
  if (ms > 0) cnet_socket_start_timer(L, s, 1, &s->timer, on_timeout, ms);
  return ms;
}

static int method_set_timeout(lua_State *L) {
  cnet_socket *s = self_socket(L);
  lua_Number ms;
  lua_settop(L, 3);
  if (s->stream.state & CNET_DESTROYED) {
    lua_settop(L, 1);
    return 1;
  }
  ms = change_timeout(L, s, 2);
  if (!lua_isnil(L, 3)) {
    cnet_check_function(L, 3, "callback");
    lua_pushvalue(L, 3);
    (ms > 0 ? cnet_emitter_once : cnet_emitter_off)(L, 1, "timeout");
  }
  lua_settop(L, 1);
  return 1;
}

/* socket.timeout = ms is setTimeout(ms), and nil is what it was before: none. */
static int set_timeout(lua_State *L) { /* (self, name, ms) */
  cnet_socket *s = self_socket(L);
  lua_settop(L, 3);
  if (s->stream.state & CNET_DESTROYED) return 0;
  if (lua_isnil(L, 3)) {
    s->timeout = -1;
    cnet_socket_drop_timer(L, s, &s->timer);
  } else {
    change_timeout(L, s, 3);
  }
  return 0;
}

static int get_timeout(lua_State *L) {
  cnet_socket *s = self_socket(L);
  lua_Integer whole;
  if (s->timeout < 0) return 0;
  if (lua_numbertointeger(s->timeout, &whole) && (lua_Number)whole == s->timeout) {
    lua_pushinteger(L, whole);
  } else {
    lua_pushnumber(L, s->timeout);
  }
  return 1;
}

/* ---- addresses ---- */

static int method_address(lua_State *L) {
  cnet_socket *s = self_socket(L);
  cnet_address address;
  if (cnet_class_slot(L, 1, CNET_SLOT_BOUND_PATH) != LUA_TNIL) { /* as in Node it stays when the handle is gone */
    lua_createtable(L, 0, 1);
    lua_insert(L, -2);
    lua_setfield(L, -2, "address");
  } else if (s->handle && cnet_handle_sockname(s->handle, &address) == 0 && address.family != 0) {
    cnet_address_push(L, &address);
  } else {
    lua_newtable(L);
  }
  return 1;
}

static int push_local(lua_State *L, const char *field) {
  self_socket(L);
  lua_settop(L, 1);
  method_address(L);
  lua_getfield(L, -1, field);
  return 1;
}

static int get_local_address(lua_State *L) { return push_local(L, "address"); }
static int get_local_port(lua_State *L) { return push_local(L, "port"); }
static int get_local_family(lua_State *L) { return push_local(L, "family"); }

bool cnet_socket_push_peer(lua_State *L, cnet_socket *s, int self) {
  cnet_address address;
  if (cnet_class_slot(L, self, CNET_SLOT_PEER) != LUA_TNIL) return true;
  if (!s->handle || s->connecting || cnet_handle_peername(s->handle, &address) < 0 || address.family == 0) return false;
  lua_pop(L, 1);
  cnet_address_push(L, &address);
  lua_pushvalue(L, -1);
  cnet_class_set_slot(L, self, CNET_SLOT_PEER);
  return true;
}

static int push_remote(lua_State *L, const char *field) {
  cnet_socket *s = self_socket(L);
  if (!cnet_socket_push_peer(L, s, 1)) return 0;
  lua_getfield(L, -1, field);
  return 1;
}

static int get_remote_address(lua_State *L) { return push_remote(L, "address"); }
static int get_remote_port(lua_State *L) { return push_remote(L, "port"); }
static int get_remote_family(lua_State *L) { return push_remote(L, "family"); }

/* Of anything but the connection of a Unix socket there are none. */
static int method_get_peer_credentials(lua_State *L) {
  cnet_socket *s = self_socket(L);
  cnet_credentials peer;
  int status = s->handle && !s->connecting ? cnet_handle_credentials(s->handle, &peer) : UV_ENOTSUP;
  lua_settop(L, 1);
  if (status == UV_ENOTSUP) {
    lua_pushnil(L);
    return 1;
  }
  if (status < 0) {
    cnet_error_push_system(L, status, "getsockopt");
    return cnet_error_throw(L);
  }
  lua_createtable(L, 0, 3);
  cnet_set_integer(L, 2, "pid", peer.pid);
  cnet_set_integer(L, 2, "uid", peer.uid);
  cnet_set_integer(L, 2, "gid", peer.gid);
  return 1;
}

/* ---- counters ---- */

static int get_bytes_read(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)self_socket(L)->bytes_read);
  return 1;
}

static int get_bytes_written(lua_State *L) {
  cnet_socket *s = self_socket(L);
  cnet_writable_flush(L, &s->stream); /* what cannot be written does not count */
  lua_pushinteger(L, (lua_Integer)(s->bytes_written + s->pending_bytes + cnet_writable_buffered(&s->stream)));
  return 1;
}

static int get_buffered(lua_State *L) {
  cnet_socket *s = self_socket(L);
  if (!s->handle) return 0;
  lua_pushinteger(L, (lua_Integer)s->stream.w_length);
  return 1;
}

const cnet_member cnet_socket_options_members[] = {{"setNoDelay", method_set_no_delay, NULL, NULL},
                                                   {"setKeepAlive", method_set_keep_alive, NULL, NULL},
                                                   {"setTimeout", method_set_timeout, NULL, NULL},
                                                   {"setTypeOfService", method_set_type_of_service, NULL, NULL},
                                                   {"getTypeOfService", method_get_type_of_service, NULL, NULL},
                                                   {"setRecvBufferSize", method_set_recv_buffer_size, NULL, NULL},
                                                   {"setSendBufferSize", method_set_send_buffer_size, NULL, NULL},
                                                   {"getRecvBufferSize", method_get_recv_buffer_size, NULL, NULL},
                                                   {"getSendBufferSize", method_get_send_buffer_size, NULL, NULL},
                                                   {"getPeerCredentials", method_get_peer_credentials, NULL, NULL},
                                                   {"address", method_address, NULL, NULL},
                                                   {"ref", method_ref, NULL, NULL},
                                                   {"unref", method_unref, NULL, NULL},
                                                   {"localAddress", NULL, get_local_address, NULL},
                                                   {"localPort", NULL, get_local_port, NULL},
                                                   {"localFamily", NULL, get_local_family, NULL},
                                                   {"remoteAddress", NULL, get_remote_address, NULL},
                                                   {"remotePort", NULL, get_remote_port, NULL},
                                                   {"remoteFamily", NULL, get_remote_family, NULL},
                                                   {"bytesRead", NULL, get_bytes_read, NULL},
                                                   {"bytesWritten", NULL, get_bytes_written, NULL},
                                                   {"bufferSize", NULL, get_buffered, NULL},
                                                   {"timeout", NULL, get_timeout, set_timeout},
                                                   {NULL, NULL, NULL, NULL}};
