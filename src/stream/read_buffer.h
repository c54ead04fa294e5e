/* What a stream has read and nobody has taken: strings in the order they came, the first of them perhaps partly taken.
 *
 * Wing stream, below stream/readable.c. They stand in the slot CNET_SLOT_READ_BUFFER at r_first .. r_last; r_length
 * counts their bytes. What allocates here may run the script's finalizers, and these may read from this very stream. */
#ifndef CNET_READ_BUFFER_H
#define CNET_READ_BUFFER_H

#include "stream/stream.h"

/* Appends the string on top, which it pops. */
void cnet_read_buffer_append(lua_State *L, cnet_stream *s, int self);
/* Puts the string on top, which it pops, before all that is there. */
void cnet_read_buffer_prepend(lua_State *L, cnet_stream *s, int self);
/* Takes n bytes, at most what is there, and pushes them as one string; of UTF-8 text the rest of a character too.
 * Returns how many it took: none, if a finalizer has taken all. */
size_t cnet_read_buffer_take(lua_State *L, cnet_stream *s, int self, size_t n);
/* Forgets all that is there. */
void cnet_read_buffer_clear(lua_State *L, cnet_stream *s, int self);

#endif
