#include "socket/class.h"

#include <math.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "event/abort.h"
#include "handle/bound_socket.h"
#include "handle/listen.h"
#include "socket/options.h"
#include "socket/state.h"
#include "stream/readable.h"
#include "stream/writable.h"
#include "text/block_list.h"

static cnet_socket *self_socket(lua_State *L) { return cnet_class_self(L, CNET_SOCKET); }

/* ---- over a handle that is there ---- */

/* The handle of a client is there: the socket begins as its server has it. */
static void begin(lua_State *L, cnet_socket *s, int self, cnet_handle *h, int server, cnet_socket_group *group,
                  const cnet_socket_options *options) {
  cnet_socket_set_handle(L, s, self, h);
  cnet_socket_join(L, s, self, group, server);
  s->last_active = uv_now(h->rt->loop);
  s->stream.allow_half_open = options->allow_half_open;
  s->no_delay = options->no_delay;
  s->keep_alive = options->keep_alive;
  s->keep_alive_delay = options->keep_alive_delay;
  cnet_socket_apply_options(s);
  if (options->pause_on_create) {
    s->stream.state |= CNET_R_HAS_FLOWING;
  } else {
    cnet_readable_read(L, &s->stream, self, 0);
    lua_pop(L, 1);
  }
}

cnet_socket *cnet_socket_accept(lua_State *L, cnet_handle *listener, int server, cnet_socket_group *group,
                                const cnet_socket_options *options, int *status) {
  /* the object first: without memory for it the client still waits, and with it the handle has an owner */
  cnet_socket *s = cnet_socket_new(L, listener->rt, options->high_water_mark);
  cnet_handle *h = cnet_handle_accept(listener, status);
  if (!h) {
    lua_pop(L, 1);
    return NULL;
  }
  begin(L, s, lua_gettop(L), h, server, group, options);
  return s;
}

cnet_socket *cnet_socket_adopt(lua_State *L, cnet_native *client, int server, cnet_socket_group *group,
                               const cnet_socket_options *options) {
  cnet_socket *s = cnet_socket_new(L, client->object.rt, options->high_water_mark);
  begin(L, s, lua_gettop(L), cnet_native_take(client), server, group, options);
  return s;
}

cnet_handle *cnet_socket_detach(lua_State *L, cnet_socket *s, int self) {
  cnet_handle *h = s->handle;
  if (!h || s->connecting) return NULL;
  if (h->rt->flush) h->rt->flush(L, h->rt);
  cnet_handle_read_stop(h); /* what comes from now on is for the other process */
  s->handle = NULL;
  cnet_handle_disown(L, h);
  cnet_socket_drop_timers(L, s);
  cnet_socket_leave(L, s, self);
  return h;
}

cnet_socket *cnet_socket_wrap(lua_State *L, cnet_native *native) {
  cnet_socket *s = cnet_socket_new(L, native->object.rt, CNET_DEFAULT_HIGH_WATER_MARK);
  cnet_socket_set_handle(L, s, lua_gettop(L), cnet_native_take(native));
  return s;
}

/* ---- made by the script ---- */

static void check_object_mode(lua_State *L, int options) {
  static const char *const names[] = {"objectMode", "readableObjectMode", "writableObjectMode", NULL};
  int i;
  for (i = 0; names[i]; i++) {
    if (!cnet_option_true(L, options, names[i])) continue;
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE",
                    "The property 'options.%s' is not supported. Received true", names[i]);
    cnet_error_throw(L);
  }
}

/* readableHighWaterMark or writableHighWaterMark, else highWaterMark, else the default */
static size_t option_high_water_mark(lua_State *L, int options, const char *name) {
  lua_Number n;
  const char *used = "highWaterMark";
  size_t mark = CNET_DEFAULT_HIGH_WATER_MARK;
  if (lua_getfield(L, options, used) == LUA_TNIL) {
    lua_pop(L, 1);
    used = name;
    lua_getfield(L, options, used);
  }
  if (!lua_isnil(L, -1)) {
    n = lua_type(L, -1) == LUA_TNUMBER ? lua_tonumber(L, -1) : -1;
    if (!(n >= 0) || isinf(n) || n != floor(n)) {
      lua_pushfstring(L, "options.%s", used);
      cnet_error_arg_value(L, "property", lua_tostring(L, -1), -2, "is invalid");
    }
    mark = cnet_to_size(n);
  }
  lua_pop(L, 1);
  return mark;
}

/* The net.BoundSocket at index bound is used up: its handle is to connect. */
static void adopt_bound(lua_State *L, cnet_socket *s, int self, int bound) {
  cnet_bound_socket *b = cnet_bound_socket_test(L, cnet_stream_runtime(&s->stream), bound);
  if (!cnet_bound_socket_is_spent(b)) {
    cnet_bound_socket_push_path(L, bound);
    cnet_class_set_slot(L, self, CNET_SLOT_BOUND_PATH);
  }
  cnet_socket_set_handle(L, s, self, cnet_bound_socket_take(L, b));
  cnet_handle_unpin(L, s->handle); /* till it connects, or reads or writes in vain, nobody but the script knows it */
  s->bound = true;
}

/* {handle = native}: what came from another process; or {handle = bound} */
static void take_handle(lua_State *L, cnet_socket *s, int self, int options) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  int handle = lua_gettop(L) + 1;
  if (lua_getfield(L, options, "handle") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (cnet_bound_socket_test(L, rt, handle)) {
    adopt_bound(L, s, self, handle);
  } else {
    cnet_native *native = cnet_native_test(L, rt, handle);
    if (!native || !native->handle)
      cnet_error_arg_type(L, "property", "options.handle", "a net.BoundSocket or an open net.Native", handle);
    cnet_socket_set_handle(L, s, self, cnet_native_take(native));
  }
  lua_pop(L, 1);
}

/* {fd = n}: a TCP connection or a pipe that is open already */
static void open_fd(lua_State *L, cnet_socket *s, int self, int options) {
  lua_Number fd;
  cnet_handle_kind kind;
  cnet_handle *h;
  int status;
  if (lua_getfield(L, options, "fd") == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (lua_type(L, -1) != LUA_TNUMBER) cnet_error_arg_type(L, "argument", "fd", "of type number", -1);
  fd = lua_tonumber(L, -1);
  if (!isfinite(fd) || fd != floor(fd)) cnet_error_out_of_range(L, "fd", "an integer", -1);
  if (!(fd >= 0 && fd <= INT32_MAX)) cnet_error_out_of_range(L, "fd", ">= 0 && <= 2147483647", -1);
  lua_pop(L, 1);
  if (cnet_handle_guess((int)fd, &kind) < 0 || kind == CNET_HANDLE_TTY) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_FD_TYPE", "Unsupported fd type: %s", cnet_handle_fd_type((int)fd));
    cnet_error_throw(L);
  }
  h = cnet_handle_new(cnet_stream_runtime(&s->stream), kind, &status);
  if (h) status = cnet_handle_open(h, (int)fd);
  if (status < 0) {
    if (h) cnet_handle_abandon(h);
    cnet_error_push_system(L, status, "open");
    cnet_error_throw(L);
  }
  cnet_socket_set_handle(L, s, self, h);
}

static int listener_abort(lua_State *L) { /* upvalues: 2 the socket, 3 its signal */
  cnet_socket *s = lua_touserdata(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  s->aborted = true;
  cnet_abort_push_error(L, 2);
  cnet_stream_destroy_top(L, &s->stream, 1);
  return 0;
}

static void use_signal(lua_State *L, cnet_socket *s, int self, int options) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  if (lua_getfield(L, options, "signal") != LUA_TNIL) {
    int signal = lua_gettop(L);
    cnet_abort_check(L, rt, signal, "options.signal");
    if (cnet_abort_is_aborted(L, signal)) {
      s->aborted = true;
      cnet_abort_push_error(L, signal);
      cnet_stream_destroy_top(L, &s->stream, self);
    } else {
      lua_pushvalue(L, self);
      lua_pushvalue(L, signal);
      cnet_emitter_push_listener(L, listener_abort, 2);
      cnet_abort_add_until(L, signal, self, "close");
    }
  }
  lua_pop(L, 1);
}

static void read_encodings(lua_State *L, cnet_stream *s, int options) {
  lua_getfield(L, options, "encoding");
  if (cnet_truthy(L, -1)) {
    cnet_decoder_init(&s->decoder, cnet_check_encoding(L, lua_gettop(L)));
    s->state |= CNET_R_DECODER;
  }
  if (lua_getfield(L, options, "defaultEncoding") != LUA_TNIL)
    s->default_encoding = (unsigned char)cnet_check_encoding(L, lua_gettop(L));
  lua_pop(L, 2);
}

static void read_options(lua_State *L, cnet_socket *s, int self, int options) {
  s->stream.allow_half_open = cnet_option_true(L, options, "allowHalfOpen");
  s->no_delay = cnet_option_true(L, options, "noDelay");
  s->keep_alive = cnet_option_true(L, options, "keepAlive");
  s->stream.r_high_water_mark = option_high_water_mark(L, options, "readableHighWaterMark");
  s->stream.w_high_water_mark = option_high_water_mark(L, options, "writableHighWaterMark");
  s->keep_alive_delay = cnet_option_seconds(L, options, "keepAliveInitialDelay");
  cnet_socket_read_type_of_service(L, s, options);
  read_encodings(L, &s->stream, options);
  if (lua_getfield(L, options, "readable") == LUA_TBOOLEAN && !lua_toboolean(L, -1))
    s->stream.state |= CNET_R_OFF | CNET_R_ENDED | CNET_R_END_EMITTED;
  if (lua_getfield(L, options, "writable") == LUA_TBOOLEAN && !lua_toboolean(L, -1))
    s->stream.wstate |= CNET_W_OFF | CNET_W_ENDING | CNET_W_FINISHED;
  lua_pop(L, 2);
  lua_getfield(L, options, "blockList");
  if (cnet_truthy(L, -1)) {
    cnet_block_list_check_option(L, cnet_stream_runtime(&s->stream), -1, "options.blockList");
    cnet_class_set_slot(L, self, CNET_SLOT_BLOCK_LIST);
  } else {
    lua_pop(L, 1);
  }
  if (lua_getfield(L, options, "signal") != LUA_TNIL) /* before a handle is taken, which a wrong one would cost */
    cnet_abort_check(L, cnet_stream_runtime(&s->stream), -1, "options.signal");
  lua_pop(L, 1);
  take_handle(L, s, self, options);
  open_fd(L, s, self, options);
  use_signal(L, s, self, options);
  if (s->handle && !s->bound && !(s->stream.state & CNET_R_OFF)) {
    if (cnet_option_true(L, options, "pauseOnCreate")) {
      s->stream.state |= CNET_R_HAS_FLOWING;
    } else if (!cnet_option_true(L, options, "manualStart")) {
      cnet_readable_read(L, &s->stream, self, 0);
      lua_pop(L, 1);
    }
  }
}

const char cnet_socket_option_names[] =
    "allowHalfOpen autoSelectFamily autoSelectFamilyAttemptTimeout blockList connectTimeout "
    "defaultEncoding encoding family fd handle highWaterMark hints host keepAlive keepAliveInitialDelay localAddress "
    "localPort "
    "lookup manualStart noDelay objectMode path pauseOnCreate port readable readableHighWaterMark "
    "readableObjectMode signal timeout typeOfService writable writableHighWaterMark writableObjectMode";

static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  cnet_socket *s;
  lua_settop(L, 1);
  cnet_strict_options(L, rt, 1, "net.Socket", cnet_socket_option_names, "");
  if (lua_type(L, 1) == LUA_TNUMBER) { /* the descriptor alone */
    lua_createtable(L, 0, 1);
    lua_insert(L, 1);
    lua_setfield(L, 1, "fd");
  }
  if (lua_istable(L, 1)) check_object_mode(L, 1);
  s = cnet_socket_new(L, rt, CNET_DEFAULT_HIGH_WATER_MARK);
  if (lua_istable(L, 1)) read_options(L, s, 2, 1);
  lua_settop(L, 2);
  return 1;
}

/* ---- methods ---- */

/* The bytes of write's or end_'s (chunk, encoding), in place of the chunk; raises for what cannot be written. */
static void check_chunk(lua_State *L, int chunk, int encoding, cnet_encoding default_encoding) {
  if (lua_type(L, chunk) != LUA_TSTRING) cnet_error_arg_type(L, "argument", "chunk", "of type string", chunk);
  cnet_encoding_push_bytes(L, chunk, cnet_opt_encoding(L, encoding, default_encoding));
  lua_replace(L, chunk);
}

static bool write_after_fin(lua_State *L, cnet_socket *s, int callback) {
  cnet_error_push(L, "Error", "EPIPE", "This socket has been ended by the other party");
  if (callback) {
    cnet_writable_tick_callback(L, &s->stream, 1, callback, lua_gettop(L));
  }
  cnet_stream_destroy_top(L, &s->stream, 1);
  return false;
}

static int method_write(lua_State *L) {
  cnet_socket *s = self_socket(L);
  int callback;
  bool ok;
  if (lua_gettop(L) == 2 && lua_type(L, 2) == LUA_TSTRING && s->stream.default_encoding <= CNET_ASCII &&
      !s->write_after_fin) { /* what nearly every call is */
    lua_pushboolean(L, cnet_writable_write(L, &s->stream, 1, 2, 0));
    return 1;
  }
  lua_settop(L, 4);
  if (lua_isfunction(L, 3)) { /* write(chunk, callback) */
    lua_replace(L, 4);
    lua_pushnil(L);
    lua_insert(L, 3);
    lua_settop(L, 4);
  }
  callback = lua_isfunction(L, 4) ? 4 : 0;
  if (s->write_after_fin && (s->stream.wstate & CNET_W_ENDING)) {
    ok = write_after_fin(L, s, callback);
  } else {
    if (lua_isnil(L, 2)) {
      cnet_error_push(L, "TypeError", "ERR_STREAM_NULL_VALUES", "May not write null values to stream");
      return cnet_error_throw(L);
    }
    check_chunk(L, 2, 3, s->stream.default_encoding);
    ok = cnet_writable_write(L, &s->stream, 1, 2, callback);
  }
  lua_pushboolean(L, ok);
  return 1;
}

/* end_(), end_(chunk), end_(callback), end_(chunk, callback), end_(chunk, encoding, callback) */
static int method_end(lua_State *L) {
  cnet_socket *s = self_socket(L);
  int chunk, callback = 0;
  lua_settop(L, 4);
  for (chunk = 2; chunk <= 4 && !callback; chunk++)
    if (lua_isfunction(L, chunk)) callback = chunk;
  chunk = (callback == 2 || lua_isnil(L, 2)) ? 0 : 2;
  if (chunk) {
    if (callback == 3) {
      lua_pushnil(L);
      check_chunk(L, 2, 5, s->stream.default_encoding);
    } else {
      check_chunk(L, 2, 3, s->stream.default_encoding);
    }
  }
  cnet_writable_end(L, &s->stream, 1, chunk, callback);
  lua_settop(L, 1);
  return 1;
}

static int method_set_default_encoding(lua_State *L) {
  cnet_socket *s = self_socket(L);
  lua_settop(L, 2);
  s->stream.default_encoding = (unsigned char)cnet_check_encoding(L, 2);
  lua_settop(L, 1);
  return 1;
}

static int method_destroy(lua_State *L) {
  cnet_socket *s = self_socket(L);
  lua_settop(L, 2);
  cnet_stream_destroy(L, &s->stream, 1, lua_isnil(L, 2) ? 0 : 2);
  lua_settop(L, 1);
  return 1;
}

static int listener_destroy(lua_State *L) {
  cnet_stream *s = cnet_emitter_push_self(L, CNET_SOCKET);
  cnet_stream_destroy(L, s, lua_gettop(L), 0);
  return 0;
}

static int method_destroy_soon(lua_State *L) {
  cnet_socket *s = self_socket(L);
  if (cnet_writable_is_writable(&s->stream)) cnet_writable_end(L, &s->stream, 1, 0, 0);
  if (s->stream.wstate & CNET_W_FINISHED) {
    cnet_stream_destroy(L, &s->stream, 1, 0);
  } else {
    cnet_emitter_push_listener(L, listener_destroy, 0);
    cnet_emitter_once(L, 1, "finish");
  }
  return 0;
}

static int listener_reset(lua_State *L) {
  cnet_socket *s = cnet_emitter_push_self(L, CNET_SOCKET);
  s->reset_and_close = true;
  cnet_stream_destroy(L, &s->stream, lua_gettop(L), 0);
  return 0;
}

static int method_reset_and_destroy(lua_State *L) {
  cnet_socket *s = self_socket(L);
  lua_settop(L, 1);
  if (!s->handle) {
    cnet_error_push(L, "Error", "ERR_SOCKET_CLOSED", "Socket is closed");
    cnet_stream_destroy_top(L, &s->stream, 1);
  } else if (s->handle->kind != CNET_HANDLE_TCP) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_HANDLE_TYPE", "This handle type cannot be sent");
    return cnet_error_throw(L);
  } else if (s->connecting) {
    cnet_socket_once_connected(L, 1, listener_reset);
  } else {
    s->reset_and_close = true;
    cnet_stream_destroy(L, &s->stream, 1, 0);
  }
  lua_settop(L, 1);
  return 1;
}

void cnet_socket_forget_last_life(lua_State *L, cnet_socket *s, int self) {
  cnet_socket_forget_listener(L, self, "finish", listener_destroy);
  cnet_socket_forget_listener(L, self, "connect", listener_reset);
  cnet_socket_forget_waiting(L, s, self);
}

static int method_close(lua_State *L) { /* __close: (self, error) */
  cnet_socket *s = self_socket(L);
  cnet_stream_destroy(L, &s->stream, 1, 0);
  return 0;
}

static int socket_gc(lua_State *L) {
  cnet_socket *s = lua_touserdata(L, 1);
  s->collected = true;
  cnet_socket_free_timers(s);
  cnet_handle_finalize(s->stream.emitter.object.rt, &s->handle);
  cnet_socket_unlink(s);
  return 0;
}

static int socket_tostring(lua_State *L) {
  cnet_socket *s = lua_touserdata(L, 1);
  const char *state = s->connecting                      ? "connecting"
                      : s->stream.state & CNET_DESTROYED ? "destroyed"
                      : s->handle                        ? "open"
                                                         : "new";
  lua_settop(L, 1);
  if (s->handle && !s->connecting && cnet_socket_push_peer(L, s, 1)) {
    lua_getfield(L, 2, "address");
    lua_getfield(L, 2, "port");
    lua_pushfstring(L, "net.Socket (%s:%d)", lua_tostring(L, 3), (int)lua_tointeger(L, 4));
  } else {
    lua_pushfstring(L, "net.Socket (%s)", state);
  }
  return 1;
}

/* ---- the class ---- */

static const cnet_member members[] = {{"write", method_write, NULL, NULL},
                                      {"end_", method_end, NULL, NULL},
                                      {"end", method_end, NULL, NULL},
                                      {"destroy", method_destroy, NULL, NULL},
                                      {"destroySoon", method_destroy_soon, NULL, NULL},
                                      {"resetAndDestroy", method_reset_and_destroy, NULL, NULL},
                                      {"read", cnet_readable_method_read, NULL, NULL},
                                      {"unshift", cnet_readable_method_unshift, NULL, NULL},
                                      {"pause", cnet_readable_method_pause, NULL, NULL},
                                      {"resume", cnet_readable_method_resume, NULL, NULL},
                                      {"isPaused", cnet_readable_method_is_paused, NULL, NULL},
                                      {"setEncoding", cnet_readable_method_set_encoding, NULL, NULL},
                                      {"setDefaultEncoding", method_set_default_encoding, NULL, NULL},
                                      {"cork", cnet_writable_method_cork, NULL, NULL},
                                      {"uncork", cnet_writable_method_uncork, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const cnet_member *const more[] = {cnet_socket_options_members, cnet_socket_state_members, NULL};

static const char events[] =
    "close connect connectionAttempt connectionAttemptFailed connectionAttemptTimeout data drain end "
    "finish lookup pause pipe prefinish readable ready resume timeout unpipe";

const cnet_class cnet_socket_class = {.id = CNET_SOCKET,
                                      .events = events,
                                      .name = "net.Socket",
                                      .parent = &cnet_emitter_class,
                                      .members = members,
                                      .more = more,
                                      .construct = construct,
                                      .gc = socket_gc,
                                      .tostring = socket_tostring,
                                      .close = method_close,
                                      .on_listeners = cnet_readable_on_listeners,
                                      .hot_event = "data",
                                      .hot_listener = CNET_SOCKET_DATA};

void cnet_socket_register(lua_State *L) {
  cnet_class_define(L, &cnet_socket_class);
  lua_pushvalue(L, -1);
  lua_setfield(L, -3, "Stream");
  lua_setfield(L, -2, "Socket");
}
