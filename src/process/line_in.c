#include "process/line_in.h"

#include <lauxlib.h>
#include <string.h>

enum { SMALLEST = 4096, LONGEST_KEPT = 65536 };

static void resize(lua_State *L, cnet_line_in *line, size_t room) {
  void *ud;
  lua_Alloc alloc = lua_getallocf(L, &ud);
  char *bytes = alloc(ud, line->bytes, line->room, room);
  if (!bytes && room > 0) luaL_error(L, "not enough memory");
  line->bytes = bytes;
  line->room = room;
}

void cnet_line_in_add(lua_State *L, cnet_line_in *line, const char *bytes, size_t size) {
  if (line->room - line->size < size) {
    size_t room = line->room < SMALLEST ? SMALLEST : 2 * line->room;
    resize(L, line, room < line->size + size ? line->size + size : room);
  }
  memcpy(line->bytes + line->size, bytes, size);
  line->size += size;
}

void cnet_line_in_drop(lua_State *L, cnet_line_in *line) {
  line->size = 0;
  if (line->room > LONGEST_KEPT) resize(L, line, 0);
}

void cnet_line_in_free(lua_State *L, cnet_line_in *line) {
  line->size = 0;
  resize(L, line, 0);
}
