#include "stream/read_buffer.h"

#include <string.h>

void cnet_read_buffer_append(lua_State *L, cnet_stream *s, int self) {
  cnet_class_slot_table(L, self, CNET_SLOT_READ_BUFFER);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, s->r_last + 1);
  s->r_last++;
  s->r_length += lua_rawlen(L, -2);
  lua_pop(L, 2);
}

void cnet_read_buffer_clear(lua_State *L, cnet_stream *s, int self) {
  lua_pushnil(L);
  cnet_class_set_slot(L, self, CNET_SLOT_READ_BUFFER);
  s->r_first = 1;
  s->r_last = 0;
  s->r_offset = 0;
  s->r_length = 0;
}

/* The head, if it is partly read, is cut to what is left of it, so that another can be put before it. */
static void cut_head(lua_State *L, cnet_stream *s, int self) {
  while (s->r_offset > 0) {
    size_t size, offset = s->r_offset;
    const char *text;
    int head = lua_gettop(L) + 2;
    cnet_class_slot(L, self, CNET_SLOT_READ_BUFFER);
    lua_rawgeti(L, head - 1, s->r_first);
    text = lua_tolstring(L, head, &size);
    lua_pushlstring(L, text + offset, size - offset);
    lua_rawgeti(L, head - 1, s->r_first);
    if (s->r_offset == offset && lua_rawequal(L, head, -1)) { /* no finalizer has read meanwhile */
      lua_pop(L, 1);
      lua_rawseti(L, head - 1, s->r_first);
      s->r_offset = 0;
    }
    lua_settop(L, head - 2);
  }
}

void cnet_read_buffer_prepend(lua_State *L, cnet_stream *s, int self) {
  int chunk = lua_gettop(L);
  cut_head(L, s, self);
  if (s->r_length == 0) {
    cnet_read_buffer_append(L, s, self);
    return;
  }
  cnet_class_slot(L, self, CNET_SLOT_READ_BUFFER);
  if (s->r_first == 1) {
    lua_Integer i;
    for (i = s->r_last; i >= s->r_first; i--) {
      lua_rawgeti(L, chunk + 1, i);
      lua_rawseti(L, chunk + 1, i + 1);
    }
    s->r_first++;
    s->r_last++;
  }
  lua_pushvalue(L, chunk);
  lua_rawseti(L, chunk + 1, --s->r_first);
  s->r_length += lua_rawlen(L, chunk);
  lua_settop(L, chunk - 1);
}

/* A piece of UTF-8 text must not end inside a character: how many bytes to take so that it does not. */
static size_t whole_characters(const cnet_stream *s, const char *text, size_t take, size_t size) {
  if (!(s->state & CNET_R_DECODER) || s->decoder.encoding != CNET_UTF8) return take;
  while (take < size && ((unsigned char)text[take] & 0xC0) == 0x80) take++;
  return take;
}

/* Copies n bytes out of the buffer at index buffer and forgets them there; returns how many it took, which is more
 * where a character would have been cut. Allocates nothing: no finalizer can see the buffer half changed. */
static size_t copy_out(lua_State *L, cnet_stream *s, int buffer, char *out, size_t n) {
  size_t taken = 0;
  while (taken < n && s->r_first <= s->r_last) {
    size_t size, take;
    const char *text;
    lua_rawgeti(L, buffer, s->r_first);
    text = lua_tolstring(L, -1, &size) + s->r_offset;
    size -= s->r_offset;
    take = n - taken < size ? whole_characters(s, text, n - taken, size) : size;
    memcpy(out + taken, text, take);
    lua_pop(L, 1);
    taken += take;
    s->r_offset += take;
    if (take == size) {
      lua_pushnil(L);
      lua_rawseti(L, buffer, s->r_first++);
      s->r_offset = 0;
    }
  }
  s->r_length -= taken;
  return taken;
}

size_t cnet_read_buffer_take(lua_State *L, cnet_stream *s, int self, size_t n) {
  size_t taken;
  int buffer = lua_gettop(L) + 1;
  cnet_class_slot(L, self, CNET_SLOT_READ_BUFFER);
  lua_rawgeti(L, buffer, s->r_first);
  taken = lua_rawlen(L, -1);
  if (s->r_offset == 0 && (taken == n || (n >= s->r_length && s->r_first == s->r_last))) {
    lua_pushnil(L);
    lua_rawseti(L, buffer, s->r_first++);
    s->r_length -= taken;
    lua_remove(L, buffer);
  } else {
    luaL_Buffer out;
    char *bytes;
    lua_settop(L, buffer - 1);
    bytes = luaL_buffinitsize(L, &out, n + 4); /* + the rest of a character */
    cnet_class_slot(L, self, CNET_SLOT_READ_BUFFER);
    taken = copy_out(L, s, lua_gettop(L), bytes, n < s->r_length ? n : s->r_length);
    lua_pop(L, 1);
    luaL_pushresultsize(&out, taken);
  }
  if (s->r_length == 0) cnet_read_buffer_clear(L, s, self);
  return taken;
}
