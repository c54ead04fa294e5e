#include "stream/renewal.h"

#include "stream/read_buffer.h"
#include "stream/readable.h"
#include "stream/writable.h"

/* The listeners that stay hear of the next connection what they heard of the last one. Node keeps what was read and
 * not taken, and never reads for a 'readable' listener again. */
static void renew_reading(lua_State *L, cnet_stream *s, int self) {
  static const char *const events[] = {"readable", "data"};
  const bool heard[] = {cnet_emitter_count(L, self, events[0]) > 0, (s->state & CNET_R_DATA_LISTENING) != 0};
  cnet_read_buffer_clear(L, s, self);
  if (s->state & CNET_R_DECODER) cnet_decoder_init(&s->decoder, (cnet_encoding)s->decoder.encoding);
  s->state &= ~(unsigned)(CNET_R_NEED_READABLE | CNET_R_EMITTED_READABLE | CNET_R_READABLE_LISTENING |
                          CNET_R_READING_MORE | CNET_R_EOF_UNHEARD);
  for (int i = 0; i < 2; i++) {
    if (!heard[i]) continue;
    lua_pushstring(L, events[i]);
    cnet_readable_on_listeners(L, self, lua_gettop(L), CNET_LISTENER_ADDED);
    lua_pop(L, 1);
  }
}

void cnet_stream_renew(lua_State *L, cnet_stream *s, int self) {
  bool lived = s->state & CNET_DESTROYED;
  luaL_checkstack(L, 20, NULL);
  if (lived) cnet_writable_renew(L, s, self); /* while nothing can be written: what allocates may run a finalizer */
  s->state &= ~(unsigned)(CNET_DESTROYED | CNET_CLOSED | CNET_CLOSE_EMITTED | CNET_ERRORED | CNET_ERROR_EMITTED |
                          CNET_R_READING | CNET_R_ENDED | CNET_R_END_EMITTED);
  s->wstate &= ~(unsigned)(CNET_W_FINAL_CALLED | CNET_W_PREFINISHED | CNET_W_ENDING | CNET_W_FINISHED);
  if (s->state & CNET_R_OFF) s->state |= CNET_R_ENDED | CNET_R_END_EMITTED;
  if (s->wstate & CNET_W_OFF) s->wstate |= CNET_W_ENDING | CNET_W_FINISHED;
  lua_pushnil(L);
  cnet_class_set_slot(L, self, CNET_SLOT_ERRORED);
  if (lived) renew_reading(L, s, self);
}
