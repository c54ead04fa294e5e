#include "core/block.h"

#include <stdint.h>
#include <string.h>

enum { SMALLEST = 512, LARGEST_SPARE = 65536 };

void cnet_block_begin(lua_State *L, cnet_block *b) {
  b->L = L;
  b->index = lua_gettop(L);
  b->at = lua_touserdata(L, b->index);
  b->room = b->at ? lua_rawlen(L, b->index) : 0;
  b->size = 0;
  b->kept = false;
}

void cnet_block_grow(cnet_block *b, size_t more) {
  size_t room = b->room < SMALLEST / 2 ? SMALLEST : 2 * b->room;
  char *bigger;
  if (more > PTRDIFF_MAX - b->size || b->room > PTRDIFF_MAX / 2) luaL_error(b->L, "not enough memory");
  if (room < b->size + more) room = b->size + more;
  bigger = lua_newuserdatauv(b->L, room, 0);
  if (b->size > 0) memcpy(bigger, b->at, b->size);
  lua_replace(b->L, b->index);
  b->at = bigger;
  b->room = room;
}

void cnet_block_add(cnet_block *b, const char *bytes, size_t size) {
  char *at = cnet_block_reserve(b, size);
  memcpy(at, bytes, size);
  b->size += size;
}

void cnet_block_take(lua_State *L, int object, int slot, cnet_block *b) {
  cnet_class_slot(L, object, slot);
  cnet_block_begin(L, b);
  if (!b->at) return;
  lua_pushnil(L);
  cnet_class_set_slot(L, object, slot);
}

void cnet_block_spare(lua_State *L, int object, int slot, const cnet_block *b) {
  if (b->room > LARGEST_SPARE || b->kept) return;
  lua_pushvalue(L, b->index);
  cnet_class_set_slot(L, object, slot);
}
