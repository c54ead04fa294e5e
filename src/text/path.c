#include "text/path.h"

#include <stdbool.h>
#include <string.h>
#include <uv.h>

enum { DIRECTORY_LIMIT = 4096 };

/* Appends the parts of the text to out, which begins with "/" for each part and ends without; returns its new end. */
static char *append_parts(char *out, char *end, const char *text, size_t length) {
  const char *stop = text + length, *slash;
  for (; text < stop; text = slash + 1) {
    size_t size;
    slash = memchr(text, '/', (size_t)(stop - text));
    if (!slash) slash = stop;
    size = (size_t)(slash - text);
    if (size == 2 && text[0] == '.' && text[1] == '.') {
      while (end > out && *--end != '/') {
      }
    } else if (size > 0 && !(size == 1 && text[0] == '.')) {
      *end++ = '/';
      memcpy(end, text, size);
      end += size;
    }
  }
  return end;
}

void cnet_path_push_absolute(lua_State *L, int path) {
  char here[DIRECTORY_LIMIT], *out, *end;
  size_t length, size = sizeof here;
  const char *text = lua_tolstring(L, path, &length);
  if (text[0] == '/') {
    size = 0;
  } else if (uv_cwd(here, &size) < 0) {
    lua_pushvalue(L, path);
    return;
  }
  out = end = lua_newuserdatauv(L, size + length + 3, 0);
  end = append_parts(out, end, here, size);
  end = append_parts(out, end, text, length);
  if (end == out) *end++ = '/';
  lua_pushlstring(L, out, (size_t)(end - out));
  lua_remove(L, -2);
}

/* The length of what both absolute paths begin with, in whole parts. */
static size_t common_parts(const char *a, size_t a_length, const char *b, size_t b_length) {
  size_t i, common = 0;
  for (i = 0;; i++) {
    bool a_ends = i == a_length || a[i] == '/', b_ends = i == b_length || b[i] == '/';
    if (a_ends && b_ends) common = i;
    if (i == a_length || i == b_length || a[i] != b[i]) return common;
  }
}

void cnet_path_push_shortest(lua_State *L, int path) {
  char here[DIRECTORY_LIMIT];
  size_t length, size = sizeof here, common, i, ups = 0;
  const char *text = lua_tolstring(L, path, &length), *rest;
  lua_pushvalue(L, path);
  if (text[0] != '/' || uv_cwd(here, &size) < 0) return;
  if (size == 1) size = 0; /* "/" */
  common = common_parts(here, size, text, length);
  for (i = common; i < size; i++) ups += here[i] == '/';
  rest = text + common;
  if (rest < text + length) rest++;
  i = length - (size_t)(rest - text);
  if (ups * 3 + i >= length || i == 0) return;
  lua_pop(L, 1);
  for (common = 0; common < ups; common++) lua_pushliteral(L, "../");
  lua_pushlstring(L, rest, i);
  lua_concat(L, (int)ups + 1); /* parts of a directory of fewer than DIRECTORY_LIMIT bytes */
}
