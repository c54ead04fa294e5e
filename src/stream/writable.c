#include "stream/writable.h"

#include "core/blame.h"
#include "core/error.h"
#include "core/ticks.h"

static void clear_buffer(lua_State *L, cnet_stream *s, int self);
static void finish_maybe(lua_State *L, cnet_stream *s, int self, bool sync);

/* ---- callbacks ---- */

/* Calls the function at index fn with the error at index err, or with nil. */
static void call_callback(lua_State *L, cnet_stream *s, int self, int fn, int err) {
  lua_pushvalue(L, fn);
  if (err) {
    lua_pushvalue(L, err);
  } else {
    lua_pushnil(L);
  }
  cnet_blame_call(L, cnet_stream_runtime(s), self, 1);
}

/* The same for the callbacks of several writes that went out together. */
static void call_callbacks(lua_State *L, cnet_stream *s, int self, int callback, int err) {
  if (lua_isfunction(L, callback)) {
    call_callback(L, s, self, callback, err);
  } else if (lua_istable(L, callback)) {
    lua_Integer i, n = (lua_Integer)lua_rawlen(L, callback);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, callback, i);
      if (lua_isfunction(L, -1)) call_callback(L, s, self, lua_gettop(L), err);
      lua_pop(L, 1);
    }
  }
}

static int tick_call(lua_State *L) { /* (stream, callback, err) */
  lua_settop(L, 3);
  call_callback(L, lua_touserdata(L, 1), 1, 2, 3);
  return 0;
}

void cnet_writable_tick_callback(lua_State *L, cnet_stream *s, int self, int callback, int err) {
  lua_pushcfunction(L, tick_call);
  lua_pushvalue(L, self);
  lua_pushvalue(L, callback);
  lua_pushvalue(L, err);
  cnet_tick(L, cnet_stream_runtime(s), 3);
}

/* Pushes the error that waiting callbacks get: the stream's own, or ERR_STREAM_DESTROYED. */
static void push_cause(lua_State *L, cnet_stream *s, int self, const char *what) {
  if ((s->state & CNET_ERRORED) && cnet_class_slot(L, self, CNET_SLOT_ERRORED) != LUA_TNIL) return;
  if (s->state & CNET_ERRORED) lua_pop(L, 1);
  cnet_error_push(L, "Error", "ERR_STREAM_DESTROYED", "Cannot call %s after a stream was destroyed", what);
}

/* Calls what waits for 'finish', with the error on top (nil: none), which it pops. */
static void call_finished_callbacks(lua_State *L, cnet_stream *s, int self) {
  int err = lua_gettop(L);
  if (s->wstate & CNET_W_ON_FINISHED) {
    cnet_class_slot(L, self, CNET_SLOT_ON_FINISHED);
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_ON_FINISHED);
    s->wstate &= ~(unsigned)CNET_W_ON_FINISHED;
    call_callbacks(L, s, self, err + 1, err);
  }
  lua_settop(L, err - 1);
}

/* ---- the buffer ---- */

size_t cnet_writable_buffered(const cnet_stream *s) { return s->w_length - s->w_writing; }

static void reset_buffer(lua_State *L, cnet_stream *s, int self) {
  if (s->wstate & CNET_W_BUFFERED) {
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_WRITE_BUFFER);
  }
  s->wstate |= CNET_W_ALL_NOOP;
  s->wstate &= ~(unsigned)CNET_W_BUFFERED;
  s->w_first = 1;
  s->w_last = 0;
}

/* Whatever allocates may run the script's finalizers, and these may write to this very stream: what is asked of its
 * state holds only until then. With the slots made, setting one allocates nothing. */
static void make_slots(lua_State *L, int self) {
  cnet_class_push_slots(L, self);
  lua_pop(L, 1);
}

static void buffer_write(lua_State *L, cnet_stream *s, int self, int chunk, int callback) {
  if (!(s->wstate & CNET_W_BUFFERED)) {
    make_slots(L, self);
    lua_createtable(L, 4, 0);
    if (s->wstate & CNET_W_BUFFERED) { /* a finalizer has written */
      lua_pop(L, 1);
    } else {
      cnet_class_set_slot(L, self, CNET_SLOT_WRITE_BUFFER);
      s->w_first = 1;
      s->w_last = 0;
      s->wstate |= CNET_W_BUFFERED;
    }
  }
  cnet_class_slot(L, self, CNET_SLOT_WRITE_BUFFER);
  lua_pushvalue(L, chunk);
  lua_rawseti(L, -2, 2 * s->w_last + 1);
  if (callback) {
    lua_pushvalue(L, callback);
    s->wstate &= ~(unsigned)CNET_W_ALL_NOOP;
  } else {
    lua_pushboolean(L, 0);
  }
  lua_rawseti(L, -2, 2 * s->w_last + 2);
  s->w_last++;
  lua_pop(L, 1);
}

/* Pushes chunk and callback of buffered write i; `buffer` is the buffer's index. */
static void push_buffered(lua_State *L, int buffer, lua_Integer i) {
  lua_rawgeti(L, buffer, 2 * i - 1);
  lua_rawgeti(L, buffer, 2 * i);
}

static void error_buffer(lua_State *L, cnet_stream *s, int self) {
  int top = lua_gettop(L);
  if (s->wstate & CNET_W_WRITING) return;
  if (s->wstate & CNET_W_BUFFERED) {
    lua_Integer i, first = s->w_first, last = s->w_last;
    cnet_class_slot(L, self, CNET_SLOT_WRITE_BUFFER);
    for (i = first; i <= last; i++) {
      push_buffered(L, top + 1, i);
      s->w_length -= lua_rawlen(L, top + 2);
      s->w_first = i + 1;
      s->pendingcb--;
      if (lua_isfunction(L, top + 3)) {
        push_cause(L, s, self, "write");
        call_callback(L, s, self, top + 3, top + 4);
      }
      lua_settop(L, top + 1);
    }
  }
  push_cause(L, s, self, "end");
  call_finished_callbacks(L, s, self);
  reset_buffer(L, s, self);
  lua_settop(L, top);
}

int cnet_writable_tick_error_buffer(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (s->state & CNET_DESTROYED) error_buffer(L, s, 1); /* else it connects again, and all was said */
  return 0;
}

/* ---- another life ---- */

/* The callback, or each of the array, at index callback gets the error at index err in a tick. */
static void tick_callbacks(lua_State *L, cnet_stream *s, int self, int callback, int err) {
  if (lua_isfunction(L, callback)) {
    cnet_writable_tick_callback(L, s, self, callback, err);
  } else if (lua_istable(L, callback)) {
    lua_Integer i, n = (lua_Integer)lua_rawlen(L, callback);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, callback, i);
      if (lua_isfunction(L, -1)) cnet_writable_tick_callback(L, s, self, lua_gettop(L), err);
      lua_pop(L, 1);
    }
  }
}

void cnet_writable_give_up(lua_State *L, cnet_stream *s, int self, int err) {
  int top = lua_gettop(L);
  luaL_checkstack(L, 8, NULL);
  if (s->wstate & CNET_W_WRITE_CALLBACK) {
    cnet_class_slot(L, self, CNET_SLOT_WRITE_CALLBACK);
    tick_callbacks(L, s, self, top + 1, err);
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_WRITE_CALLBACK);
  }
  s->wstate &= ~(unsigned)(CNET_W_WRITING | CNET_W_EXPECT_CALLBACK | CNET_W_WRITE_CALLBACK);
  s->w_length -= s->w_writing;
  s->w_writing = 0;
  s->pendingcb--;
  lua_settop(L, top);
  clear_buffer(L, s, self);
  if (s->wstate & CNET_W_ENDING) finish_maybe(L, s, self, true);
}

void cnet_writable_renew(lua_State *L, cnet_stream *s, int self) {
  int top = lua_gettop(L);
  while ((s->wstate & CNET_W_BUFFERED) && s->w_first <= s->w_last) {
    cnet_class_slot(L, self, CNET_SLOT_WRITE_BUFFER);
    push_buffered(L, top + 1, s->w_first);
    push_cause(L, s, self, "write");
    tick_callbacks(L, s, self, top + 3, top + 4);
    s->w_length -= lua_rawlen(L, top + 2);
    s->w_first++;
    s->pendingcb--;
    lua_settop(L, top);
  }
  if (s->wstate & CNET_W_ON_FINISHED) {
    cnet_class_slot(L, self, CNET_SLOT_ON_FINISHED);
    push_cause(L, s, self, "end");
    tick_callbacks(L, s, self, top + 1, top + 2);
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_ON_FINISHED);
    s->wstate &= ~(unsigned)CNET_W_ON_FINISHED;
  }
  reset_buffer(L, s, self);
  s->corked = 0;
  s->wstate &= ~(unsigned)CNET_W_NEED_DRAIN;
  lua_settop(L, top);
}

/* ---- writing ---- */

/* Hands the string or array at index data to the handle; callback is an index or 0. */
static void do_write(lua_State *L, cnet_stream *s, int self, size_t size, int data, int callback) {
  s->w_writing = size;
  if (callback && lua_toboolean(L, callback)) {
    lua_pushvalue(L, callback);
    cnet_class_set_slot(L, self, CNET_SLOT_WRITE_CALLBACK);
    s->wstate |= CNET_W_WRITE_CALLBACK;
  }
  s->wstate |= CNET_W_WRITING | CNET_W_SYNC | CNET_W_EXPECT_CALLBACK;
  if (s->state & CNET_DESTROYED) {
    cnet_error_push(L, "Error", "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
    cnet_writable_on_write(L, s, self, lua_gettop(L));
    lua_pop(L, 1);
  } else {
    s->ops->write(L, s, self, data);
  }
  s->wstate &= ~(unsigned)CNET_W_SYNC;
}

/* All that is buffered, as one vectored write. */
static void write_all(lua_State *L, cnet_stream *s, int self, int buffer) {
  lua_Integer i, n = s->w_last - s->w_first + 1, last;
  bool noop = s->wstate & CNET_W_ALL_NOOP;
  int chunks, callbacks;
  lua_createtable(L, cnet_places(n), 0);
  lua_createtable(L, noop ? 0 : cnet_places(n), 0);
  chunks = lua_gettop(L) - 1;
  callbacks = lua_gettop(L);
  last = s->w_last; /* only now: see make_slots */
  n = last - s->w_first + 1;
  noop = s->wstate & CNET_W_ALL_NOOP;
  for (i = 1; i <= n; i++) {
    push_buffered(L, buffer, s->w_first + i - 1);
    if (noop) {
      lua_pop(L, 1);
    } else {
      lua_rawseti(L, callbacks, i);
    }
    lua_rawseti(L, chunks, i);
  }
  s->pendingcb -= (uint32_t)(n - 1); /* of n that are kept in memory */
  do_write(L, s, self, s->w_length, chunks, noop ? 0 : callbacks);
  if (s->w_last > last) {
    s->w_first = last + 1;
  } else {
    reset_buffer(L, s, self);
  }
}

static bool may_clear_buffer(const cnet_stream *s) {
  return !(s->state & CNET_DESTROYED) && s->corked == 0 &&
         (s->wstate & (CNET_W_BUFFER_PROCESSING | CNET_W_BUFFERED)) == CNET_W_BUFFERED && s->w_first <= s->w_last;
}

static void clear_buffer(lua_State *L, cnet_stream *s, int self) {
  int top = lua_gettop(L);
  if (!may_clear_buffer(s)) return;
  luaL_checkstack(L, 20, NULL);
  s->wstate |= CNET_W_BUFFER_PROCESSING;
  cnet_class_slot(L, self, CNET_SLOT_WRITE_BUFFER);
  if (s->w_last > s->w_first) {
    write_all(L, s, self, top + 1);
  } else {
    push_buffered(L, top + 1, s->w_first++);
    do_write(L, s, self, lua_rawlen(L, top + 2), top + 2, top + 3);
    if (s->w_first > s->w_last) reset_buffer(L, s, self);
  }
  s->wstate &= ~(unsigned)CNET_W_BUFFER_PROCESSING;
  lua_settop(L, top);
  if (!(s->wstate & CNET_W_WRITING)) clear_buffer(L, s, self); /* what a finalizer has written meanwhile */
}

/* ---- after a write ---- */

/* callback is an index, 0 for none */
static void after_write(lua_State *L, cnet_stream *s, int self, lua_Integer count, int callback) {
  s->wstate &= ~(unsigned)CNET_W_AFTER_WRITE_PENDING;
  if ((s->wstate & (CNET_W_ENDING | CNET_W_NEED_DRAIN)) == CNET_W_NEED_DRAIN && !(s->state & CNET_DESTROYED) &&
      s->w_length == 0) {
    s->wstate &= ~(unsigned)CNET_W_NEED_DRAIN;
    cnet_emit(L, self, "drain", 0);
  }
  while (count-- > 0) {
    s->pendingcb--;
    if (callback) call_callbacks(L, s, self, callback, 0);
  }
  if (s->state & CNET_DESTROYED) error_buffer(L, s, self);
  if (s->wstate & CNET_W_ENDING) finish_maybe(L, s, self, true);
}

static int tick_after_write(lua_State *L) {
  after_write(L, lua_touserdata(L, 1), 1, 1, 0);
  return 0;
}

/* (stream, {callback, count}) */
static int tick_after_writes(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  s->wstate &= ~(unsigned)CNET_W_TICK_INFO;
  lua_pushnil(L);
  cnet_class_set_slot(L, 1, CNET_SLOT_TICK_INFO);
  lua_rawgeti(L, 2, 1);
  lua_rawgeti(L, 2, 2);
  after_write(L, s, 1, lua_tointeger(L, 4), 3);
  return 0;
}

static void on_write_error(lua_State *L, cnet_stream *s, int self, int err, int callback) {
  s->pendingcb--;
  call_callbacks(L, s, self, callback, err);
  error_buffer(L, s, self);
  cnet_stream_destroy(L, s, self, err);
}

static int tick_on_write_error(lua_State *L) { /* (stream, err, callback) */
  lua_settop(L, 3);
  on_write_error(L, lua_touserdata(L, 1), 1, 2, 3);
  return 0;
}

/* A write that was done inside write(): its callback waits for a tick, one tick for all that share it. */
static void on_write_sync(lua_State *L, cnet_stream *s, int self, int callback) {
  cnet_runtime *rt = cnet_stream_runtime(s);
  bool need_drain = (s->wstate & CNET_W_NEED_DRAIN) && s->w_length == 0;
  if (!callback) {
    if (!(s->wstate & CNET_W_AFTER_WRITE_PENDING) && need_drain) {
      cnet_tick_object(L, rt, tick_after_write, self);
      s->wstate |= CNET_W_AFTER_WRITE_PENDING;
    } else {
      s->pendingcb--;
      if (s->wstate & CNET_W_ENDING) finish_maybe(L, s, self, true);
    }
    return;
  }
  if (s->wstate & CNET_W_TICK_INFO) {
    int info;
    cnet_class_slot(L, self, CNET_SLOT_TICK_INFO);
    info = lua_gettop(L);
    lua_rawgeti(L, info, 1);
    if (lua_rawequal(L, -1, callback)) {
      lua_rawgeti(L, info, 2);
      lua_pushinteger(L, lua_tointeger(L, -1) + 1);
      lua_rawseti(L, info, 2);
      lua_settop(L, info - 1);
      return;
    }
    lua_settop(L, info - 1);
  }
  lua_pushcfunction(L, tick_after_writes);
  lua_pushvalue(L, self);
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, callback);
  lua_rawseti(L, -2, 1);
  lua_pushinteger(L, 1);
  lua_rawseti(L, -2, 2);
  lua_pushvalue(L, -1);
  cnet_class_set_slot(L, self, CNET_SLOT_TICK_INFO);
  cnet_tick(L, rt, 2);
  s->wstate |= CNET_W_TICK_INFO | CNET_W_AFTER_WRITE_PENDING;
}

void cnet_writable_on_write(lua_State *L, cnet_stream *s, int self, int err) {
  int top = lua_gettop(L), callback = 0;
  bool sync = s->wstate & CNET_W_SYNC;
  if (!(s->wstate & CNET_W_EXPECT_CALLBACK)) return; /* it was given up: the socket connects again */
  luaL_checkstack(L, 20, NULL);
  if (s->wstate & CNET_W_WRITE_CALLBACK) {
    cnet_class_slot(L, self, CNET_SLOT_WRITE_CALLBACK);
    callback = lua_gettop(L);
    lua_pushnil(L);
    cnet_class_set_slot(L, self, CNET_SLOT_WRITE_CALLBACK);
  }
  s->wstate &= ~(unsigned)(CNET_W_WRITING | CNET_W_EXPECT_CALLBACK | CNET_W_WRITE_CALLBACK);
  s->w_length -= s->w_writing;
  s->w_writing = 0;
  if (cnet_is_error(L, err)) {
    cnet_stream_set_errored(L, s, self, err);
    if (!callback) lua_pushnil(L);
    if (sync) {
      lua_pushcfunction(L, tick_on_write_error);
      lua_pushvalue(L, self);
      lua_pushvalue(L, err);
      lua_pushvalue(L, top + 1);
      cnet_tick(L, cnet_stream_runtime(s), 3);
    } else {
      on_write_error(L, s, self, err, top + 1);
    }
  } else {
    if (s->wstate & CNET_W_BUFFERED) clear_buffer(L, s, self);
    if (sync) {
      on_write_sync(L, s, self, callback);
    } else {
      after_write(L, s, self, 1, callback);
    }
  }
  lua_settop(L, top);
}

/* ---- write ---- */

/* Pushes the error of a write that cannot be, and makes it known; the callback gets it in a tick. */
static void refuse_write(lua_State *L, cnet_stream *s, int self, int callback) {
  if (s->wstate & CNET_W_ENDING) {
    cnet_error_push(L, "Error", "ERR_STREAM_WRITE_AFTER_END", "write after end");
  } else {
    cnet_error_push(L, "Error", "ERR_STREAM_DESTROYED", "Cannot call write after a stream was destroyed");
  }
  if (callback) cnet_writable_tick_callback(L, s, self, callback, lua_gettop(L));
  cnet_stream_destroy(L, s, self, lua_gettop(L));
}

void cnet_writable_flush(lua_State *L, cnet_stream *s) {
  cnet_runtime *rt = cnet_stream_runtime(s);
  if (rt->flush) rt->flush(L, rt);
}

bool cnet_writable_write(lua_State *L, cnet_stream *s, int self, int chunk, int callback) {
  const unsigned busy = CNET_W_ENDING | CNET_W_WRITING | CNET_W_BUFFERED | CNET_W_NEED_DRAIN | CNET_W_OFF;
  if (!callback && !(s->wstate & busy) && s->corked == 0 && !(s->state & (CNET_DESTROYED | CNET_ERRORED)) &&
      s->w_passed == 0 && s->ops->gather(L, s, self, chunk))
    return true;
  cnet_writable_flush(L, s);
  return cnet_writable_write_through(L, s, self, chunk, callback);
}

bool cnet_writable_write_through(lua_State *L, cnet_stream *s, int self, int chunk, int callback) {
  size_t size = lua_rawlen(L, chunk);
  bool ok;
  if ((s->wstate & CNET_W_ENDING) || (s->state & CNET_DESTROYED)) {
    refuse_write(L, s, self, callback);
    lua_pop(L, 1);
    return false;
  }
  if (callback) make_slots(L, self);
  s->pendingcb++;
  if ((s->wstate & CNET_W_WRITING) || (s->state & CNET_ERRORED) || s->corked > 0) {
    s->w_length += size;
    buffer_write(L, s, self, chunk, callback);
  } else {
    size += s->w_passed;
    s->w_length += size;
    do_write(L, s, self, size, chunk, callback);
  }
  s->w_passed = 0;
  ok = s->w_length < s->w_high_water_mark || s->w_length == 0;
  if (!ok) s->wstate |= CNET_W_NEED_DRAIN;
  return ok && !(s->state & (CNET_DESTROYED | CNET_ERRORED));
}

int cnet_writable_method_cork(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  cnet_writable_flush(L, s);
  if (s->corked < UINT32_MAX) s->corked++;
  return 0;
}

static void uncork(lua_State *L, cnet_stream *s, int self) {
  if (s->corked == 0) return;
  s->corked--;
  if (!(s->wstate & CNET_W_WRITING)) clear_buffer(L, s, self);
}

int cnet_writable_method_uncork(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  uncork(L, s, 1);
  return 0;
}

/* ---- end ---- */

static bool need_finish(const cnet_stream *s) {
  return (s->wstate & (CNET_W_ENDING | CNET_W_FINISHED | CNET_W_WRITING | CNET_W_BUFFERED)) == CNET_W_ENDING &&
         !(s->state & (CNET_DESTROYED | CNET_ERROR_EMITTED | CNET_CLOSE_EMITTED | CNET_ERRORED)) && s->w_length == 0;
}

static void finish(lua_State *L, cnet_stream *s, int self) {
  s->pendingcb--;
  s->wstate |= CNET_W_FINISHED;
  lua_pushnil(L);
  call_finished_callbacks(L, s, self);
  cnet_emit(L, self, "finish", 0);
  if (s->state & (CNET_R_END_EMITTED | CNET_R_OFF)) cnet_stream_destroy(L, s, self, 0);
}

static int tick_finish(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (s->wstate & CNET_W_PREFINISHED) {
    finish(L, s, 1);
  } else { /* it has begun to connect again */
    s->pendingcb--;
  }
  return 0;
}

static int tick_finish_if_needed(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (need_finish(s)) {
    finish(L, s, 1);
  } else {
    s->pendingcb--;
  }
  return 0;
}

void cnet_writable_on_final(lua_State *L, cnet_stream *s, int self, int err) {
  if (s->wstate & CNET_W_PREFINISHED) return;
  s->pendingcb--;
  if (cnet_is_error(L, err)) {
    lua_pushvalue(L, err);
    call_finished_callbacks(L, s, self);
    cnet_stream_destroy(L, s, self, err);
  } else if (need_finish(s)) {
    s->wstate |= CNET_W_PREFINISHED;
    cnet_emit(L, self, "prefinish", 0);
    s->pendingcb++;
    cnet_tick_object(L, cnet_stream_runtime(s), tick_finish, self);
  }
}

static void prefinish(lua_State *L, cnet_stream *s, int self) {
  if (s->wstate & (CNET_W_PREFINISHED | CNET_W_FINAL_CALLED)) return;
  s->wstate |= CNET_W_FINAL_CALLED | CNET_W_SYNC;
  s->pendingcb++;
  s->ops->final(L, s, self);
  s->wstate &= ~(unsigned)CNET_W_SYNC;
}

static void finish_maybe(lua_State *L, cnet_stream *s, int self, bool sync) {
  if (!need_finish(s)) return;
  prefinish(L, s, self);
  if (s->pendingcb != 0) return;
  if (sync) {
    s->pendingcb++;
    cnet_tick_object(L, cnet_stream_runtime(s), tick_finish_if_needed, self);
  } else if (need_finish(s)) {
    s->pendingcb++;
    finish(L, s, self);
  }
}

/* The callback waits for 'finish', or gets in a tick what is on top already: an error, or nil. */
static void when_finished(lua_State *L, cnet_stream *s, int self, int callback, bool refused) {
  int err = lua_gettop(L);
  if (!refused && !(s->wstate & CNET_W_FINISHED)) cnet_class_slot_table(L, self, CNET_SLOT_ON_FINISHED);
  if (!refused && (s->state & CNET_ERRORED)) {
    push_cause(L, s, self, "end");
    cnet_writable_tick_callback(L, s, self, callback, lua_gettop(L));
  } else if (refused || (s->wstate & CNET_W_FINISHED)) {
    cnet_writable_tick_callback(L, s, self, callback, err);
  } else {
    lua_pushvalue(L, callback);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    s->wstate |= CNET_W_ON_FINISHED;
  }
  lua_settop(L, err);
}

void cnet_writable_end(lua_State *L, cnet_stream *s, int self, int chunk, int callback) {
  int top = lua_gettop(L);
  bool refused = false;
  cnet_writable_flush(L, s);
  if (chunk) {
    refused = (s->wstate & CNET_W_ENDING) || (s->state & CNET_DESTROYED);
    if (refused) {
      refuse_write(L, s, self, 0);
    } else {
      cnet_writable_write_through(L, s, self, chunk, 0);
    }
  }
  if (s->corked > 0) {
    s->corked = 1;
    uncork(L, s, self);
  }
  if (refused) {
    /* the error is on top */
  } else if (!(s->wstate & CNET_W_ENDING) && !(s->state & CNET_ERRORED)) {
    s->wstate |= CNET_W_ENDING;
    finish_maybe(L, s, self, true);
    lua_pushnil(L);
  } else if (s->wstate & CNET_W_FINISHED) {
    cnet_error_push(L, "Error", "ERR_STREAM_ALREADY_FINISHED", "Cannot call end after a stream was finished");
    refused = true;
  } else if (s->state & CNET_DESTROYED) {
    cnet_error_push(L, "Error", "ERR_STREAM_DESTROYED", "Cannot call end after a stream was destroyed");
    refused = true;
  } else {
    lua_pushnil(L);
  }
  if (callback) when_finished(L, s, self, callback, refused);
  lua_settop(L, top);
}

bool cnet_writable_is_writable(const cnet_stream *s) {
  return !(s->wstate & (CNET_W_OFF | CNET_W_ENDING)) && !(s->state & (CNET_DESTROYED | CNET_ERRORED));
}
