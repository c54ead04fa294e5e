#include "stream/readable.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/blame.h"
#include "core/error.h"
#include "core/received.h"
#include "core/ticks.h"
#include "stream/read_buffer.h"
#include "stream/writable.h"

#define MAX_HIGH_WATER_MARK 0x40000000

/* What else than a count read() may be told: all there is; and nothing, which unlike 0 says that it was heard. */
enum { READ_ALL = -1, READ_NONE = -2 };

static void flow(lua_State *L, cnet_stream *s, int self);
static void end_readable(lua_State *L, cnet_stream *s, int self);

static bool is_flowing(const cnet_stream *s) { return s->state & CNET_R_FLOWING; }

/* ---- 'readable' ---- */

static void emit_readable_now(lua_State *L, cnet_stream *s, int self) {
  if (!(s->state & (CNET_DESTROYED | CNET_ERRORED)) && (s->r_length > 0 || (s->state & CNET_R_ENDED))) {
    cnet_emit(L, self, "readable", 0);
    s->state &= ~(unsigned)CNET_R_EMITTED_READABLE;
  }
  if (!(s->state & (CNET_R_FLOWING | CNET_R_ENDED)) && s->r_length <= s->r_high_water_mark)
    s->state |= CNET_R_NEED_READABLE;
  flow(L, s, self);
}

static int tick_emit_readable(lua_State *L) {
  emit_readable_now(L, lua_touserdata(L, 1), 1);
  return 0;
}

static void emit_readable(lua_State *L, cnet_stream *s, int self) {
  s->state &= ~(unsigned)CNET_R_NEED_READABLE;
  if (s->state & CNET_R_EMITTED_READABLE) return;
  s->state |= CNET_R_EMITTED_READABLE;
  cnet_tick_object(L, cnet_stream_runtime(s), tick_emit_readable, self);
}

static int tick_read_more(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  while (!(s->state & (CNET_R_READING | CNET_R_ENDED)) &&
         (s->r_length < s->r_high_water_mark || (is_flowing(s) && s->r_length == 0))) {
    size_t length = s->r_length;
    cnet_readable_read(L, s, 1, 0);
    lua_pop(L, 1);
    if (length == s->r_length) break;
  }
  s->state &= ~(unsigned)CNET_R_READING_MORE;
  return 0;
}

static void maybe_read_more(lua_State *L, cnet_stream *s, int self) {
  if (s->state & CNET_R_READING_MORE) return;
  s->state |= CNET_R_READING_MORE;
  cnet_tick_object(L, cnet_stream_runtime(s), tick_read_more, self);
}

/* ---- push ---- */

static bool can_push_more(const cnet_stream *s) {
  return !(s->state & CNET_R_ENDED) && (s->r_length < s->r_high_water_mark || s->r_length == 0);
}

static void forget_full_pipes(lua_State *L, cnet_stream *s, int self) {
  if (!(s->state & CNET_R_AWAIT_DRAIN)) return;
  s->state &= ~(unsigned)CNET_R_AWAIT_DRAIN;
  lua_pushnil(L);
  cnet_class_set_slot(L, self, CNET_SLOT_AWAIT_DRAIN);
}

/* Asks the handle for more if the buffer has room. */
static void do_read(lua_State *L, cnet_stream *s, int self) {
  s->state |= CNET_R_READING | CNET_R_SYNC;
  if (s->r_length == 0) s->state |= CNET_R_NEED_READABLE;
  s->ops->read(L, s, self);
  s->state &= ~(unsigned)CNET_R_SYNC;
}

/* A chunk was handed over. Where the stream flows on, with all handed over and nothing asked for yet, it reads on at
 * once: Node does so in a tick, and nothing can tell. */
static void go_on(lua_State *L, cnet_stream *s, int self) {
  if ((s->state & (CNET_R_FLOWING | CNET_R_READING | CNET_R_READING_MORE | CNET_R_ENDED | CNET_DESTROYED |
                   CNET_ERRORED)) == CNET_R_FLOWING &&
      s->r_length == 0) {
    do_read(L, s, self);
  } else {
    maybe_read_more(L, s, self);
  }
}

/* Adds the string on top, which it pops. */
static void add_chunk(lua_State *L, cnet_stream *s, int self, bool front) {
  if ((s->state & (CNET_R_FLOWING | CNET_R_SYNC | CNET_R_DATA_LISTENING)) == (CNET_R_FLOWING | CNET_R_DATA_LISTENING) &&
      s->r_length == 0) {
    forget_full_pipes(L, s, self);
    s->state |= CNET_R_DID_READ;
    cnet_emit_hot(L, self, s->ops->class);
    go_on(L, s, self);
  } else {
    (front ? cnet_read_buffer_prepend : cnet_read_buffer_append)(L, s, self);
    if (s->state & CNET_R_NEED_READABLE) emit_readable(L, s, self);
    maybe_read_more(L, s, self);
  }
}

bool cnet_readable_push(lua_State *L, cnet_stream *s, int self, const char *data, size_t size) {
  const unsigned flows = CNET_R_FLOWING | CNET_R_DATA_LISTENING;
  if (s->state & CNET_R_ENDED) { /* a script has ended it, by unshift(nil) */
    cnet_error_push(L, "Error", "ERR_STREAM_PUSH_AFTER_EOF", "stream.push() after EOF");
    cnet_stream_destroy_top(L, s, self);
    return false;
  }
  if (s->state & (CNET_DESTROYED | CNET_ERRORED)) return false;
  s->state &= ~(unsigned)CNET_R_READING;
  if ((s->state & (flows | CNET_R_SYNC | CNET_R_DECODER | CNET_R_AWAIT_DRAIN)) == flows && s->r_length == 0) {
    /* what follows below, for the listener that is alone, or the pipe */
    int type = lua_getiuservalue(L, self, s->ops->class->hot_listener);
    s->state |= CNET_R_DID_READ;
    if (type == LUA_TFUNCTION) {
      lua_pushlstring(L, data, size);
      cnet_blame_call(L, cnet_stream_runtime(s), self, 1);
      go_on(L, s, self);
      return can_push_more(s);
    }
    if (type == LUA_TUSERDATA) {
      size_t passed = s->ops->pass(L, lua_gettop(L), data, size);
      data += passed;
      size -= passed;
    }
    lua_pop(L, 1);
    if (size == 0) {
      go_on(L, s, self);
      return can_push_more(s);
    }
  }
  if (s->state & CNET_R_DECODER) {
    cnet_decoder_push(L, &s->decoder, data, size);
    if (lua_rawlen(L, -1) == 0) {
      lua_pop(L, 1);
      maybe_read_more(L, s, self);
      return can_push_more(s);
    }
  } else {
    lua_pushlstring(L, data, size);
  }
  add_chunk(L, s, self, false);
  return can_push_more(s);
}

void cnet_readable_push_end(lua_State *L, cnet_stream *s, int self) {
  s->state &= ~(unsigned)CNET_R_READING;
  if (s->state & CNET_R_ENDED) return;
  if (s->state & CNET_R_DECODER) {
    cnet_decoder_push_end(L, &s->decoder);
    if (lua_rawlen(L, -1) > 0) {
      cnet_read_buffer_append(L, s, self);
    } else {
      lua_pop(L, 1);
    }
  }
  s->state |= CNET_R_ENDED;
  if ((s->state & CNET_R_SYNC) && !(s->state & (CNET_R_FLOWING | CNET_R_NEED_READABLE)) &&
      cnet_emitter_count(L, self, "readable") == 0) {
    s->state |= CNET_R_EOF_UNHEARD;
  } else if (s->state & CNET_R_SYNC) {
    emit_readable(L, s, self);
  } else {
    s->state &= ~(unsigned)CNET_R_NEED_READABLE;
    s->state |= CNET_R_EMITTED_READABLE;
    emit_readable_now(L, s, self);
  }
}

/* unshift's chunk and encoding at 2 and 3 become what is buffered: bytes, or text as setEncoding wants it. As in Node
 * text said to be in that encoding already, by the name that readableEncoding shows, is not looked at. */
static void convert_unshifted(lua_State *L, const cnet_stream *s) {
  cnet_encoding given = cnet_opt_encoding(L, 3, CNET_UTF8), shown = (cnet_encoding)s->decoder.encoding;
  bool decodes = s->state & CNET_R_DECODER;
  const char *name = cnet_truthy(L, 3) ? lua_tostring(L, 3) : "utf8";
  if (!decodes || strcmp(name, cnet_encoding_name(shown)) != 0) {
    cnet_encoding_push_bytes(L, 2, given);
    if (decodes) cnet_encoding_push_text(L, lua_gettop(L), shown);
    lua_replace(L, 2);
  }
  lua_settop(L, 2);
}

int cnet_readable_method_unshift(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  lua_settop(L, 3);
  if (lua_isnil(L, 2)) {
    cnet_readable_push_end(L, s, 1);
    lua_pushboolean(L, 0);
    return 1;
  }
  if (lua_type(L, 2) != LUA_TSTRING) {
    cnet_received_push_typed(L, 2);
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_TYPE",
                    "The \"chunk\" argument must be of type string. Received %s", lua_tostring(L, -1));
    cnet_stream_destroy_top(L, s, 1);
    lua_pushboolean(L, 0);
    return 1;
  }
  convert_unshifted(L, s);
  if (lua_rawlen(L, 2) == 0) {
    /* nothing to put back */
  } else if (s->state & CNET_R_END_EMITTED) {
    cnet_error_push(L, "Error", "ERR_STREAM_UNSHIFT_AFTER_END_EVENT", "stream.unshift() after end event");
    cnet_stream_destroy_top(L, s, 1);
  } else if (s->state & (CNET_DESTROYED | CNET_ERRORED)) {
    lua_pushboolean(L, 0);
    return 1;
  } else {
    lua_pushvalue(L, 2);
    add_chunk(L, s, 1, true);
  }
  lua_pushboolean(L, can_push_more(s));
  return 1;
}

/* ---- read ---- */

static size_t how_much_to_read(lua_State *L, cnet_stream *s, int self, double n) {
  if (n == 0 || n == READ_NONE || (s->r_length == 0 && (s->state & CNET_R_ENDED))) return 0;
  if (n < 0) {
    if (is_flowing(s) && s->r_length > 0) { /* a flowing stream hands its chunks on one by one */
      size_t size;
      cnet_class_slot(L, self, CNET_SLOT_READ_BUFFER);
      lua_rawgeti(L, -1, s->r_first);
      size = lua_rawlen(L, -1) - s->r_offset;
      lua_pop(L, 2);
      return size;
    }
    return s->r_length;
  }
  if (n <= (double)s->r_length) return (size_t)n;
  return s->state & CNET_R_ENDED ? s->r_length : 0;
}

static size_t next_power_of_two(double n) {
  size_t power = 1;
  while ((double)power < n) power *= 2;
  return power;
}

bool cnet_readable_read(lua_State *L, cnet_stream *s, int self, double wanted) {
  int top = lua_gettop(L);
  size_t n;
  bool got;
  luaL_checkstack(L, 20, NULL);
  if (wanted > (double)s->r_high_water_mark) s->r_high_water_mark = next_power_of_two(wanted);
  if (wanted != 0) s->state &= ~(unsigned)(CNET_R_EMITTED_READABLE | CNET_R_EOF_UNHEARD);
  if (wanted == 0 && (s->state & CNET_R_NEED_READABLE) &&
      ((s->r_high_water_mark != 0 ? s->r_length >= s->r_high_water_mark : s->r_length > 0) ||
       (s->state & CNET_R_ENDED))) {
    if (s->r_length == 0 && (s->state & CNET_R_ENDED)) {
      end_readable(L, s, self);
    } else {
      emit_readable(L, s, self);
    }
    lua_pushnil(L);
    return false;
  }
  n = how_much_to_read(L, s, self, wanted);
  if (n == 0 && (s->state & CNET_R_ENDED)) {
    if (s->r_length == 0) end_readable(L, s, self);
    lua_pushnil(L);
    return false;
  }
  if (((s->state & CNET_R_NEED_READABLE) || s->r_length == 0 || s->r_length - n < s->r_high_water_mark) &&
      !(s->state & (CNET_R_READING | CNET_R_ENDED | CNET_DESTROYED | CNET_ERRORED))) {
    do_read(L, s, self);
    if (!(s->state & CNET_R_READING)) n = how_much_to_read(L, s, self, wanted);
  }
  n = n > 0 && s->r_length > 0 ? cnet_read_buffer_take(L, s, self, n) : 0;
  got = n > 0;
  if (got) {
    forget_full_pipes(L, s, self);
  } else {
    if (s->r_length <= s->r_high_water_mark) s->state |= CNET_R_NEED_READABLE;
    lua_settop(L, top);
    lua_pushnil(L);
  }
  if (s->r_length == 0) {
    if (!(s->state & CNET_R_ENDED)) s->state |= CNET_R_NEED_READABLE;
    if (wanted != (double)n && (s->state & CNET_R_ENDED)) end_readable(L, s, self);
  }
  if (got && !(s->state & (CNET_ERROR_EMITTED | CNET_CLOSE_EMITTED))) {
    s->state |= CNET_R_DID_READ;
    lua_pushvalue(L, -1);
    cnet_emit_hot(L, self, s->ops->class);
  }
  return got;
}

/* As JavaScript's parseInt reads it: no number at all asks for all there is. */
static double wanted_count(lua_State *L, int index) {
  double n;
  char *end = NULL;
  if (lua_type(L, index) == LUA_TSTRING) {
    const char *text = lua_tostring(L, index);
    n = (double)strtoll(text, &end, 10);
    if (end == text) return READ_ALL;
  } else if (lua_type(L, index) == LUA_TNUMBER) {
    n = trunc(lua_tonumber(L, index));
  } else {
    return READ_ALL;
  }
  if (!isfinite(n)) return READ_ALL;
  return n < 0 ? READ_NONE : n;
}

int cnet_readable_method_read(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  double n = wanted_count(L, 2);
  if (n > MAX_HIGH_WATER_MARK) return cnet_error_out_of_range(L, "size", "<= 1GiB", 2);
  cnet_readable_read(L, s, 1, n);
  return 1;
}

/* ---- 'end' ---- */

static int tick_end_writable(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  bool ended = s->state & CNET_R_END_EMITTED; /* not if the socket has begun to connect again */
  if (ended && cnet_writable_is_writable(s)) cnet_writable_end(L, s, 1, 0, 0);
  return 0;
}

static int tick_end_readable(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  const unsigned mask = CNET_ERRORED | CNET_CLOSE_EMITTED | CNET_R_ENDED | CNET_R_END_EMITTED;
  if ((s->state & mask) != CNET_R_ENDED || s->r_length > 0) return 0;
  s->state |= CNET_R_END_EMITTED;
  cnet_emit(L, 1, "end", 0);
  if (cnet_writable_is_writable(s) && !s->allow_half_open) {
    cnet_tick_object(L, cnet_stream_runtime(s), tick_end_writable, 1);
  } else if (s->wstate & (CNET_W_FINISHED | CNET_W_OFF)) {
    cnet_stream_destroy(L, s, 1, 0);
  }
  return 0;
}

static void end_readable(lua_State *L, cnet_stream *s, int self) {
  if (s->state & CNET_R_END_EMITTED) return;
  s->state |= CNET_R_ENDED;
  cnet_tick_object(L, cnet_stream_runtime(s), tick_end_readable, self);
}

/* ---- flow ---- */

static void flow(lua_State *L, cnet_stream *s, int self) {
  bool more = true;
  while (more && is_flowing(s)) {
    more = cnet_readable_read(L, s, self, READ_ALL);
    lua_pop(L, 1);
  }
}

static int tick_resume(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (!(s->state & CNET_R_READING)) cnet_readable_read(L, s, 1, 0);
  s->state &= ~(unsigned)CNET_R_RESUME_SCHEDULED;
  lua_settop(L, 1);
  cnet_emit(L, 1, "resume", 0);
  flow(L, s, 1);
  if ((s->state & (CNET_R_FLOWING | CNET_R_READING)) == CNET_R_FLOWING) cnet_readable_read(L, s, 1, 0);
  return 0;
}

void cnet_readable_resume(lua_State *L, cnet_stream *s, int self) {
  if (s->state & CNET_DESTROYED) return;
  if (!is_flowing(s)) {
    s->state |= CNET_R_HAS_FLOWING;
    if (!(s->state & CNET_R_READABLE_LISTENING)) s->state |= CNET_R_FLOWING;
    if (!(s->state & CNET_R_RESUME_SCHEDULED)) {
      s->state |= CNET_R_RESUME_SCHEDULED;
      cnet_tick_object(L, cnet_stream_runtime(s), tick_resume, self);
    }
  }
  s->state |= CNET_R_HAS_PAUSED;
  s->state &= ~(unsigned)CNET_R_PAUSED;
}

void cnet_readable_pause(lua_State *L, cnet_stream *s, int self) {
  if (s->state & CNET_DESTROYED) return;
  if ((s->state & (CNET_R_HAS_FLOWING | CNET_R_FLOWING)) != CNET_R_HAS_FLOWING) {
    s->state |= CNET_R_HAS_FLOWING;
    s->state &= ~(unsigned)CNET_R_FLOWING;
    cnet_emit(L, self, "pause", 0);
  }
  s->state |= CNET_R_HAS_PAUSED | CNET_R_PAUSED;
}

int cnet_readable_method_resume(lua_State *L) {
  cnet_readable_resume(L, cnet_class_self(L, CNET_SOCKET), 1);
  lua_settop(L, 1);
  return 1;
}

int cnet_readable_method_pause(lua_State *L) {
  cnet_readable_pause(L, cnet_class_self(L, CNET_SOCKET), 1);
  lua_settop(L, 1);
  return 1;
}

bool cnet_readable_is_paused(const cnet_stream *s) {
  return (s->state & CNET_R_PAUSED) || (s->state & (CNET_R_HAS_FLOWING | CNET_R_FLOWING)) == CNET_R_HAS_FLOWING;
}

int cnet_readable_method_is_paused(lua_State *L) {
  lua_pushboolean(L, cnet_readable_is_paused(cnet_class_self(L, CNET_SOCKET)));
  return 1;
}

bool cnet_readable_is_readable(const cnet_stream *s) {
  return !(s->state & (CNET_R_OFF | CNET_DESTROYED | CNET_ERROR_EMITTED | CNET_R_END_EMITTED));
}

/* What is buffered already becomes one chunk: bytes are decoded, and what is text by now stays that text. */
int cnet_readable_method_set_encoding(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  bool is_text = s->state & CNET_R_DECODER;
  cnet_encoding encoding = CNET_UTF8;
  lua_settop(L, 2); /* nil and "" are utf8; false and 0, unlike elsewhere, are not */
  if (lua_type(L, 2) == LUA_TSTRING ? lua_rawlen(L, 2) > 0 : !lua_isnil(L, 2)) encoding = cnet_check_encoding(L, 2);
  cnet_decoder_init(&s->decoder, encoding);
  s->state |= CNET_R_DECODER;
  if (s->r_length > 0) {
    size_t size;
    const char *bytes;
    cnet_read_buffer_take(L, s, 1, s->r_length);
    bytes = lua_tolstring(L, -1, &size);
    if (!is_text) cnet_decoder_push(L, &s->decoder, bytes, size);
    if (s->state & CNET_R_ENDED) { /* nothing follows that could complete a character */
      cnet_decoder_push_end(L, &s->decoder);
      lua_concat(L, 2);
    }
    if (lua_rawlen(L, -1) > 0) cnet_read_buffer_append(L, s, 1);
  }
  lua_settop(L, 1);
  return 1;
}

/* ---- listeners ---- */

static int tick_read_nothing(lua_State *L) {
  cnet_readable_read(L, lua_touserdata(L, 1), 1, 0);
  return 0;
}

static int tick_update_listening(lua_State *L) {
  cnet_stream *s = lua_touserdata(L, 1);
  if (cnet_emitter_count(L, 1, "readable") > 0) {
    s->state |= CNET_R_READABLE_LISTENING;
  } else {
    s->state &= ~(unsigned)CNET_R_READABLE_LISTENING;
  }
  if ((s->state & (CNET_R_HAS_PAUSED | CNET_R_PAUSED | CNET_R_RESUME_SCHEDULED)) ==
      (CNET_R_HAS_PAUSED | CNET_R_RESUME_SCHEDULED)) {
    s->state |= CNET_R_HAS_FLOWING | CNET_R_FLOWING;
  } else if (s->state & CNET_R_DATA_LISTENING) {
    cnet_readable_resume(L, s, 1);
  } else if (!(s->state & CNET_R_READABLE_LISTENING)) {
    s->state &= ~(unsigned)(CNET_R_HAS_FLOWING | CNET_R_FLOWING);
  }
  return 0;
}

static void on_added(lua_State *L, cnet_stream *s, int self, const char *name) {
  if (strcmp(name, "data") == 0) {
    s->state |= CNET_R_DATA_LISTENING;
    if (cnet_emitter_count(L, self, "readable") > 0) s->state |= CNET_R_READABLE_LISTENING;
    if ((s->state & (CNET_R_HAS_FLOWING | CNET_R_FLOWING)) != CNET_R_HAS_FLOWING) cnet_readable_resume(L, s, self);
  } else if (strcmp(name, "readable") == 0 && !(s->state & (CNET_R_END_EMITTED | CNET_R_READABLE_LISTENING))) {
    s->state |= CNET_R_READABLE_LISTENING | CNET_R_NEED_READABLE | CNET_R_HAS_FLOWING;
    s->state &= ~(unsigned)(CNET_R_FLOWING | CNET_R_EMITTED_READABLE);
    if (s->r_length > 0 || (s->state & CNET_R_EOF_UNHEARD)) emit_readable(L, s, self);
    if (s->r_length == 0 && !(s->state & CNET_R_READING))
      cnet_tick_object(L, cnet_stream_runtime(s), tick_read_nothing, self);
    s->state &= ~(unsigned)CNET_R_EOF_UNHEARD;
  }
}

void cnet_readable_on_listeners(lua_State *L, int self, int name, cnet_listener_change change) {
  cnet_stream *s = lua_touserdata(L, self);
  const char *event = name && lua_type(L, name) == LUA_TSTRING ? lua_tostring(L, name) : "";
  if (change == CNET_LISTENER_PREPENDED) return; /* as in Node, it starts no flow */
  if (change == CNET_LISTENER_ADDED) {
    on_added(L, s, self, event);
    return;
  }
  /* Node thinks that somebody hears 'data' still, if removeAllListeners took the last one: what waits would be lost */
  if ((name == 0 || strcmp(event, "data") == 0) && cnet_emitter_count(L, self, "data") == 0)
    s->state &= ~(unsigned)CNET_R_DATA_LISTENING;
  if (name == 0 || strcmp(event, "readable") == 0)
    cnet_tick_object(L, cnet_stream_runtime(s), tick_update_listening, self);
}
