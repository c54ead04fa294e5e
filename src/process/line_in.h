/* The beginning of a line that came, while its end has not.
 *
 * Wing process. It grows in place where realloc can do so, and is Lua's allocator's, which may have a limit. */
#ifndef CNET_LINE_IN_H
#define CNET_LINE_IN_H

#include <lua.h>
#include <stddef.h>

typedef struct {
  char *bytes; /* NULL without room */
  size_t size, room;
} cnet_line_in;

void cnet_line_in_add(lua_State *L, cnet_line_in *line, const char *bytes, size_t size);
/* Empties it. Some room is kept for the next line. */
void cnet_line_in_drop(lua_State *L, cnet_line_in *line);
void cnet_line_in_free(lua_State *L, cnet_line_in *line);

#endif
