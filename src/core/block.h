/* Bytes that grow: a text that is being written, in a userdata.
 *
 * Wing core. A plain userdata, so that an error loses nothing, the collector and an allocator with a limit know of it,
 * and libuv may still look at one that is pinned while lua_close runs finalizers. */
#ifndef CNET_BLOCK_H
#define CNET_BLOCK_H

#include "core/class.h"

typedef struct {
  lua_State *L;
  int index; /* of the userdata, which a bigger one replaces */
  char *at;
  size_t size, room;
  bool kept; /* the userdata is somebody else's by now, who reads it: it is no spare */
} cnet_block;

/* Begins an empty one in the userdata on top, whatever it held; nil there: in one that is yet to be made. */
void cnet_block_begin(lua_State *L, cnet_block *b);
/* Makes room for so many bytes more. */
void cnet_block_grow(cnet_block *b, size_t more);

static inline char *cnet_block_reserve(cnet_block *b, size_t more) {
  if (b->room - b->size < more) cnet_block_grow(b, more);
  return b->at + b->size;
}

static inline void cnet_block_put(cnet_block *b, char c) {
  *cnet_block_reserve(b, 1) = c;
  b->size++;
}

void cnet_block_add(cnet_block *b, const char *bytes, size_t size);
#define cnet_block_literal(b, text) cnet_block_add(b, "" text, sizeof(text) - 1)

/* Takes the one that is spare in a slot of the object at index object, or pushes a new one: whoever comes while it is
 * in use finds none there. */
void cnet_block_take(lua_State *L, int object, int slot, cnet_block *b);
/* Leaves it there for the next one, unless it has grown large. */
void cnet_block_spare(lua_State *L, int object, int slot, const cnet_block *b);

#endif
