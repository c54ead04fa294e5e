#include "stream/stream.h"

#include "core/ticks.h"

void cnet_stream_init(cnet_stream *s, const cnet_stream_ops *ops, size_t high_water_mark) {
  cnet_emitter_init(&s->emitter);
  s->ops = ops;
  s->state = CNET_R_SYNC;
  s->wstate = CNET_W_SYNC | CNET_W_ALL_NOOP;
  s->r_high_water_mark = s->w_high_water_mark = high_water_mark;
  s->r_first = s->w_first = 1;
}

void cnet_stream_set_errored(lua_State *L, cnet_stream *s, int self, int err) {
  if (!cnet_is_error(L, err) || (s->state & CNET_ERRORED)) return;
  lua_pushvalue(L, err);
  cnet_class_set_slot(L, self, CNET_SLOT_ERRORED);
  s->state |= CNET_ERRORED;
}

/* ---- destroy ---- */

static int tick_emit_error_close(lua_State *L) { /* (stream, err) */
  cnet_stream *s = lua_touserdata(L, 1);
  lua_settop(L, 2);
  if (!(s->state & CNET_DESTROYED)) { /* it connects again already: this is still the error of the last time */
    cnet_emit(L, 1, "error", 1);
    return 0;
  }
  if (s->state & CNET_ERROR_EMITTED) {
    s->state |= CNET_CLOSE_EMITTED;
    return 0;
  }
  /* Node sets closeEmitted after the event, and not at all if a listener throws; nothing can tell the difference */
  s->state |= CNET_ERROR_EMITTED | CNET_CLOSE_EMITTED;
  cnet_emit(L, 1, "error", 1);
  return 0;
}

static int tick_emit_close(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (s->state & CNET_DESTROYED)
    s->state |= CNET_CLOSE_EMITTED; /* the event itself is net.Socket's, once the handle is closed */
  return 0;
}

void cnet_stream_on_destroyed(lua_State *L, cnet_stream *s, int self, int err) {
  cnet_runtime *rt = cnet_stream_runtime(s);
  if (s->state & CNET_CLOSED) return;
  cnet_stream_set_errored(L, s, self, err);
  s->state |= CNET_CLOSED;
  if (cnet_is_error(L, err)) {
    lua_pushcfunction(L, tick_emit_error_close);
    lua_pushvalue(L, self);
    lua_pushvalue(L, err);
    cnet_tick(L, rt, 2);
  } else {
    cnet_tick_object(L, rt, tick_emit_close, self);
  }
}

void cnet_stream_destroy(lua_State *L, cnet_stream *s, int self, int err) {
  if (s->state & CNET_DESTROYED) return;
  luaL_checkstack(L, 20, NULL);
  s->state |= CNET_DESTROYED; /* first: what allocates may run a finalizer that destroys it */
  if (s->wstate & (CNET_W_BUFFERED | CNET_W_ON_FINISHED))
    cnet_tick_object(L, cnet_stream_runtime(s), s->ops->tick_error_buffer, self);
  cnet_stream_set_errored(L, s, self, err);
  s->ops->destroy(L, s, self, err);
}

void cnet_stream_destroy_top(lua_State *L, cnet_stream *s, int self) {
  cnet_stream_destroy(L, s, self, lua_gettop(L));
  lua_pop(L, 1);
}
