#include "socket/socket.h"

#include <stdlib.h>

#include "core/error.h"
#include "core/pins.h"
#include "core/ticks.h"
#include "handle/gather.h"
#include "handle/requests.h"
#include "stream/readable.h"
#include "stream/writable.h"

/* ---- timers ---- */

static void free_timer(cnet_timer **timer) {
  if (*timer) cnet_timer_stop(*timer);
  free(*timer);
  *timer = NULL;
}

void cnet_socket_drop_timer(lua_State *L, cnet_socket *s, cnet_timer **timer) {
  if (!*timer) return;
  cnet_unpin(L, cnet_stream_runtime(&s->stream), *timer);
  free_timer(timer);
}

void cnet_socket_drop_timers(lua_State *L, cnet_socket *s) {
  cnet_socket_drop_timer(L, s, &s->timer);
  cnet_socket_drop_timer(L, s, &s->connect_timer);
}

void cnet_socket_free_timers(cnet_socket *s) {
  free_timer(&s->timer);
  free_timer(&s->connect_timer);
}

void cnet_socket_start_timer(lua_State *L, cnet_socket *s, int self, cnet_timer **timer,
                             void (*fire)(lua_State *, cnet_timer *), lua_Number ms) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  if (s->collected) luaL_error(L, "the socket was collected"); /* nobody would free the timer */
  if (!*timer) {
    *timer = calloc(1, sizeof **timer);
    if (!*timer) luaL_error(L, "not enough memory");
    (*timer)->fire = fire;
  }
  cnet_pin(L, rt, *timer, self);
  cnet_timer_start(L, rt, *timer, ms);
}

void cnet_socket_touch(lua_State *L, cnet_socket *s, int self) {
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  s->last_active = uv_now(rt->loop);
  if (!s->timer) return;
  if (!cnet_timer_is_active(s->timer)) cnet_pin(L, rt, s->timer, self);
  cnet_timer_refresh(s->timer);
}

/* ---- reading ---- */

static int listener_read(lua_State *L);

void cnet_socket_once_connected(lua_State *L, int self, lua_CFunction fn) {
  cnet_emitter_push_listener(L, fn, 0);
  cnet_emitter_once(L, self, "connect");
}

/* The handle will tell the socket something, which one over a net.BoundSocket is not pinned for yet. */
static void keep(lua_State *L, cnet_socket *s, int self) {
  if (!s->handle->place) cnet_handle_pin(L, s->handle, self);
}

static void socket_read(lua_State *L, cnet_stream *stream, int self) {
  cnet_socket *s = (cnet_socket *)stream;
  int status;
  if (s->connecting || !s->handle) {
    cnet_socket_once_connected(L, self, listener_read);
  } else if (!s->handle->reading) {
    keep(L, s, self);
    status = cnet_handle_read_start(s->handle);
    if (status < 0) {
      cnet_error_push_system(L, status, "read");
      cnet_stream_destroy_top(L, stream, self);
    }
  }
}

static int listener_read(lua_State *L) {
  cnet_stream *s = cnet_emitter_push_self(L, CNET_SOCKET);
  socket_read(L, s, lua_gettop(L));
  return 0;
}

static void stop_reading(lua_State *L, cnet_socket *s, int self) {
  int status;
  if (!s->handle) return;
  status = cnet_handle_read_stop(s->handle);
  if (status < 0 && !(s->stream.state & CNET_DESTROYED)) {
    cnet_error_push_system(L, status, "read");
    cnet_stream_destroy_top(L, &s->stream, self);
  }
}

static void on_read(lua_State *L, int self, ssize_t nread, const char *data) {
  cnet_socket *s = cnet_socket_at(L, self);
  cnet_handle *h = s->handle;
  cnet_socket_touch(L, s, self);
  if (nread > 0) {
    s->bytes_read += (uint64_t)nread;
    if (s->stream.state & CNET_DESTROYED) return;
    if (!cnet_readable_push(L, &s->stream, self, data, (size_t)nread) && s->handle == h) stop_reading(L, s, self);
  } else if (nread != UV_EOF) {
    cnet_error_push_system(L, (int)nread, "read"); /* below 0: a libuv error */
    cnet_stream_destroy_top(L, &s->stream, self);
  } else if (!(s->stream.state & CNET_R_END_EMITTED)) {
    cnet_readable_push_end(L, &s->stream, self);
    cnet_readable_read(L, &s->stream, self, 0);
    lua_pop(L, 1);
  }
}

/* ---- writing ---- */

/* Node writes a text that may need no more than 16384 bytes from the stack, and forgets to count it if that fails. */
enum { UNCOUNTED_TEXT = 16384 / 3 };

static size_t size_of_data(lua_State *L, int data) {
  size_t size = 0;
  lua_Integer i, n;
  if (!lua_istable(L, data)) return lua_rawlen(L, data);
  n = (lua_Integer)lua_rawlen(L, data);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, data, i);
    size += lua_rawlen(L, -1);
    lua_pop(L, 1);
  }
  return size;
}

/* Only a handle that is closed cancels what it was asked for: the socket has another one by now. */
static bool is_of_last_life(const cnet_stream *s, int status) {
  return status == UV_ECANCELED && !(s->state & CNET_DESTROYED);
}

static void on_written(lua_State *L, int self, int value, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  (void)value;
  if (is_of_last_life(&s->stream, status)) {
    cnet_error_push_system(L, status, "write");
    cnet_writable_give_up(L, &s->stream, self, lua_gettop(L));
  } else if (status < 0) { /* ECANCELED, if the handle was closed first */
    cnet_error_push_system(L, status, "write");
    cnet_writable_on_write(L, &s->stream, self, lua_gettop(L));
  } else if (s->stream.state & CNET_DESTROYED) {
    cnet_writable_on_write(L, &s->stream, self, 0);
  } else {
    cnet_socket_touch(L, s, self);
    s->last_write_queue = 0;
    cnet_writable_on_write(L, &s->stream, self, 0);
  }
}

/* A part of what was gathered is still to go: as if it had just been written. */
static void on_unsent(lua_State *L, int self, int data, int status) {
  cnet_socket *s = cnet_socket_at(L, self);
  bool destroyed = s->stream.state & CNET_DESTROYED;
  if (status < 0 || !destroyed) s->bytes_written -= lua_rawlen(L, data); /* what can be written is counted again */
  if (destroyed) return;
  if (status < 0) cnet_handle_keep_error(s->handle, status);
  cnet_writable_write_through(L, &s->stream, self, data, 0);
}

static const cnet_handle_owner handle_owner = {NULL, on_read, on_unsent};

/* Is a write to it nothing but a write to its handle, at once? */
static bool is_plain(lua_State *L, cnet_socket *s, int self) {
  const unsigned busy = CNET_W_ENDING | CNET_W_WRITING | CNET_W_BUFFERED | CNET_W_NEED_DRAIN | CNET_W_OFF;
  bool plain = s->handle && !s->connecting && !(s->stream.wstate & busy) && s->stream.corked == 0 &&
               !(s->stream.state & (CNET_DESTROYED | CNET_ERRORED)) && s->stream.default_encoding <= CNET_ASCII &&
               cnet_handle_write_queue(s->handle) == 0;
  if (!plain) return false;
  plain = lua_getiuservalue(L, self, CNET_FIELDS) == LUA_TNIL; /* no write of the script's own */
  lua_pop(L, 1);
  return plain && cnet_class_has_method(L, &cnet_socket_class, "write");
}

static size_t socket_pass(lua_State *L, int destination, const char *data, size_t size) {
  cnet_socket *s = cnet_socket_at(L, destination);
  cnet_runtime *rt = cnet_stream_runtime(&s->stream);
  ssize_t sent;
  if (rt->flush) rt->flush(L, rt);
  if (!is_plain(L, s, destination)) return 0;
  sent = cnet_handle_write_now(s->handle, data, size);
  if (sent < 0) cnet_handle_keep_error(s->handle, (int)sent);
  if (sent <= 0) return 0; /* the error comes when the rest is written */
  cnet_socket_touch(L, s, destination);
  s->bytes_written += (uint64_t)sent;
  if ((size_t)sent < size && sent <= UINT32_MAX) s->stream.w_passed = (unsigned)sent;
  return (size_t)sent;
}

static bool socket_gather(lua_State *L, cnet_stream *stream, int self, int chunk) {
  cnet_socket *s = (cnet_socket *)stream;
  size_t size;
  const char *bytes;
  if (s->connecting || !s->handle) return false;
  keep(L, s, self);
  bytes = lua_tolstring(L, chunk, &size);
  if (!cnet_gather(L, s->handle, bytes, size, stream->w_high_water_mark)) return false;
  cnet_socket_touch(L, s, self);
  s->bytes_written += size;
  return true;
}

/* Pushes the error of the write that waits for the connection, and forgets what was to be written. */
static void push_closed_before_connection(lua_State *L, int self) {
  lua_pushnil(L);
  cnet_class_set_slot(L, self, CNET_SLOT_WAITING);
  cnet_error_push(L, "Error", "ERR_SOCKET_CLOSED_BEFORE_CONNECTION",
                  "Socket closed before the connection was established");
}

static int listener_closed_before_connection(lua_State *L) {
  cnet_stream *s = cnet_emitter_push_self(L, CNET_SOCKET);
  int self = lua_gettop(L);
  if (!(s->state & CNET_DESTROYED)) return 0; /* an earlier listener connects again: see cnet_socket_forget_waiting */
  push_closed_before_connection(L, self);
  cnet_writable_on_write(L, s, self, lua_gettop(L));
  return 0;
}

static void socket_write(lua_State *L, cnet_stream *stream, int self, int data);

static int listener_write(lua_State *L) {
  cnet_stream *s;
  lua_settop(L, 0);
  s = cnet_emitter_push_self(L, CNET_SOCKET);
  cnet_emitter_push_listener(L, listener_closed_before_connection, 0);
  cnet_emitter_off(L, 1, "close");
  if (cnet_class_slot(L, 1, CNET_SLOT_WAITING) == LUA_TNIL) return 0;
  lua_pushnil(L);
  cnet_class_set_slot(L, 1, CNET_SLOT_WAITING);
  socket_write(L, s, 1, 2);
  return 0;
}

static void socket_write(lua_State *L, cnet_stream *stream, int self, int data) {
  cnet_socket *s = (cnet_socket *)stream;
  size_t size = size_of_data(L, data);
  bool async;
  int status;
  if (s->connecting) {
    s->pending_bytes = size;
    lua_pushvalue(L, data);
    cnet_class_set_slot(L, self, CNET_SLOT_WAITING);
    cnet_socket_once_connected(L, self, listener_write);
    cnet_emitter_push_listener(L, listener_closed_before_connection, 0);
    cnet_emitter_once(L, self, "close");
    return;
  }
  s->pending_bytes = 0;
  if (!s->handle) {
    cnet_error_push(L, "Error", "ERR_SOCKET_CLOSED", "Socket is closed");
    cnet_writable_on_write(L, stream, self, lua_gettop(L));
    lua_pop(L, 1);
    return;
  }
  cnet_socket_touch(L, s, self);
  status = cnet_handle_write(L, s->handle, self, data, on_written, &async);
  /* as in Node: what fails at once counts too, except a short text */
  if (status == 0 || lua_istable(L, data) || size > UNCOUNTED_TEXT) s->bytes_written += size;
  if (status < 0) {
    cnet_error_push_system(L, status, "write");
    cnet_writable_on_write(L, stream, self, lua_gettop(L));
    lua_pop(L, 1);
  } else if (!async) {
    cnet_writable_on_write(L, stream, self, 0);
  } else {
    s->last_write_queue = size;
  }
}

static void on_shutdown(lua_State *L, int self, int value, int status) {
  cnet_stream *s = lua_touserdata(L, self);
  (void)value;
  if (is_of_last_life(s, status)) {
    s->pendingcb--;
  } else { /* as in Node: the reading side, or the next write, tells what is wrong */
    cnet_writable_on_final(L, s, self, 0);
  }
}

static int listener_final(lua_State *L);

static void socket_final(lua_State *L, cnet_stream *stream, int self) {
  cnet_socket *s = (cnet_socket *)stream;
  int status;
  if (s->connecting) {
    s->final_waits = true;
    cnet_socket_once_connected(L, self, listener_final);
    return;
  }
  if (!s->handle) {
    s->end_kept = true;
    cnet_writable_on_final(L, stream, self, 0);
    return;
  }
  status = cnet_handle_shutdown(L, s->handle, self, on_shutdown);
  if (status == UV_ENOTCONN) {
    cnet_writable_on_final(L, stream, self, 0);
  } else if (status < 0) {
    cnet_error_push_system(L, status, "shutdown");
    cnet_writable_on_final(L, stream, self, lua_gettop(L));
    lua_pop(L, 1);
  }
}

static int listener_final(lua_State *L) {
  cnet_socket *s = cnet_emitter_push_self(L, CNET_SOCKET);
  if (!s->final_waits) return 0;
  s->final_waits = false;
  socket_final(L, &s->stream, lua_gettop(L));
  return 0;
}

/* ---- another life ---- */

void cnet_socket_forget_listener(lua_State *L, int self, const char *event, lua_CFunction fn) {
  lua_Integer n, left = cnet_emitter_count(L, self, event);
  do {
    n = left;
    cnet_emitter_push_listener(L, fn, 0);
    cnet_emitter_off(L, self, event);
    left = cnet_emitter_count(L, self, event);
  } while (left < n);
}

void cnet_socket_forget_waiting(lua_State *L, cnet_socket *s, int self) {
  static const lua_CFunction waiting[] = {listener_read, listener_write, listener_final};
  int top = lua_gettop(L);
  luaL_checkstack(L, 20, NULL);
  for (int i = 0; i < 3; i++) cnet_socket_forget_listener(L, self, "connect", waiting[i]);
  cnet_socket_forget_listener(L, self, "close", listener_closed_before_connection);
  if (s->final_waits) s->stream.pendingcb--;
  s->final_waits = s->end_kept = false;
  s->pending_bytes = s->last_write_queue = 0;
  if (cnet_class_slot(L, self, CNET_SLOT_WAITING) != LUA_TNIL) {
    push_closed_before_connection(L, self);
    cnet_writable_give_up(L, &s->stream, self, top + 2);
  }
  lua_settop(L, top);
}

void cnet_socket_end_if_kept(lua_State *L, cnet_socket *s, int self) {
  if (!s->end_kept) return;
  s->end_kept = false;
  if (cnet_writable_is_writable(&s->stream)) cnet_writable_end(L, &s->stream, self, 0, 0);
}

/* ---- groups ---- */

void cnet_socket_join(lua_State *L, cnet_socket *s, int self, cnet_socket_group *group, int owner) {
  lua_pushvalue(L, owner);
  lua_setiuservalue(L, self, CNET_SOCKET_OWNER);
  s->group = group;
  s->next = group->first;
  if (s->next) s->next->previous = s;
  group->first = s;
  group->count++;
}

bool cnet_socket_unlink(cnet_socket *s) {
  cnet_socket_group *group = s->group;
  if (!group) return false;
  if (s->previous) {
    s->previous->next = s->next;
  } else {
    group->first = s->next;
  }
  if (s->next) s->next->previous = s->previous;
  s->group = NULL;
  s->next = s->previous = NULL;
  group->count--;
  return true;
}

void cnet_socket_leave(lua_State *L, cnet_socket *s, int self) {
  cnet_socket_group *group = s->group;
  if (!cnet_socket_unlink(s)) return;
  lua_getiuservalue(L, self, CNET_SOCKET_OWNER);
  group->on_left(L, lua_gettop(L));
  lua_pop(L, 1);
}

/* ---- destroy ---- */

static void emit_close(lua_State *L, int self, int failed) {
  lua_pushboolean(L, failed);
  cnet_emit(L, self, "close", 1);
}

static int tick_emit_close(lua_State *L) {
  cnet_emit(L, 1, "close", 0);
  return 0;
}

/* Tells whether 'close' will come of it: not, if a server holds the handle too and has closed it. */
static bool close_handle(lua_State *L, cnet_socket *s, int self, int failed) {
  cnet_handle *h = s->handle;
  bool told;
  int status = 0;
  s->handle = NULL;
  if (!cnet_handle_is_closing(h))
    cnet_handle_pin(L, h, self); /* where a server has taken it over, the server is pinned */
  if (s->reset_and_close) {
    told = cnet_handle_close_reset(L, h, emit_close, failed, &status);
  } else {
    told = cnet_handle_close(L, h, emit_close, failed);
  }
  s->reset_and_close = s->unrefed = false;
  if (status < 0) {
    cnet_error_push_system(L, status, "reset");
    cnet_emit(L, self, "error", 1);
  }
  return told;
}

static void socket_destroy(lua_State *L, cnet_stream *stream, int self, int err) {
  cnet_socket *s = (cnet_socket *)stream;
  bool told;
  s->connecting = s->end_kept = false;
  cnet_socket_drop_timers(L, s);
  told = s->handle && close_handle(L, s, self, cnet_is_error(L, err));
  cnet_stream_on_destroyed(L, stream, self, err);
  if (!told) cnet_tick_object(L, cnet_stream_runtime(stream), tick_emit_close, self);
  cnet_socket_leave(L, s, self);
}

static const cnet_stream_ops stream_ops = {
    &cnet_socket_class, socket_read,  socket_pass,    socket_gather,
    socket_write,       socket_final, socket_destroy, cnet_writable_tick_error_buffer};

void cnet_socket_set_handle(lua_State *L, cnet_socket *s, int self, cnet_handle *h) {
  s->handle = h;
  cnet_handle_own(L, h, self, &handle_owner);
}

/* ---- making one ---- */

/* After the 'end' of a socket that is not half-open, write() says that the other party has ended it. */
static int listener_end(lua_State *L) {
  cnet_socket *s = cnet_emitter_push_self(L, CNET_SOCKET);
  if (!s->stream.allow_half_open) s->write_after_fin = true;
  return 0;
}

cnet_socket *cnet_socket_new(lua_State *L, cnet_runtime *rt, size_t high_water_mark) {
  cnet_socket *s = cnet_class_new(L, rt, sizeof *s, CNET_SOCKET_USERVALUES);
  cnet_stream_init(&s->stream, &stream_ops, high_water_mark);
  s->timeout = -1;
  s->type_of_service = -1;
  s->keep_alive_interval = s->keep_alive_count = CNET_KEEP_ALIVE_DEFAULT;
  cnet_class_dress(L, &cnet_socket_class);
  cnet_emitter_push_listener(L, listener_end, 0);
  cnet_emitter_on(L, lua_gettop(L) - 1, "end");
  return s;
}
