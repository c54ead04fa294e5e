#include "core/received.h"

#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- text ---- */

/* The bytes of the first n characters, as JavaScript counts them: one outside of the basic plane is two. */
static size_t prefix(const char *text, size_t length, size_t n) {
  size_t i, count = 0;
  for (i = 0; i < length; i++) {
    unsigned char c = (unsigned char)text[i];
    size_t units = (c & 0xC0) == 0x80 ? 0 : c >= 0xF0 ? 2 : 1;
    if (count + units > n) return i;
    count += units;
  }
  return length;
}

/* The escape of c, or NULL if it stands for itself. */
typedef const char *(*escape)(char c, char room[8]);

static const char *escape_json(char c, char room[8]) {
  static const char named[] = "\"\\\b\f\n\r\t", names[] = "\"\\bfnrt";
  const char *found = c ? strchr(named, c) : NULL;
  if (found) {
    room[0] = '\\';
    room[1] = names[found - named];
    room[2] = '\0';
    return room;
  }
  if ((unsigned char)c >= ' ') return NULL;
  snprintf(room, 8, "\\u%04x", (unsigned)(unsigned char)c);
  return room;
}

static const char *escape_inspected(char c, char room[8]) {
  if (c == '"') return NULL;
  if (c && strchr("\\\b\f\n\r\t", c)) return escape_json(c, room);
  if ((unsigned char)c >= ' ' && c != 0x7F) return NULL;
  snprintf(room, 8, "\\x%02X", (unsigned)(unsigned char)c);
  return room;
}

/* Adds the text between two quotes, which are escaped in it. */
static void add_quoted(luaL_Buffer *b, const char *text, size_t length, char quote, escape fn) {
  char room[8];
  size_t i;
  luaL_addchar(b, quote);
  for (i = 0; i < length; i++) {
    const char *escaped = fn(text[i], room);
    if (text[i] == quote && !escaped) luaL_addchar(b, '\\');
    if (escaped) {
      luaL_addstring(b, escaped);
    } else {
      luaL_addchar(b, text[i]);
    }
  }
}

/* "type string ('x')": of more than 28 characters the first 25, and as JSON if there is a ' in them. */
static void push_typed_text(lua_State *L, const char *text, size_t length) {
  bool cut = prefix(text, length, 28) < length;
  luaL_Buffer b;
  if (cut) length = prefix(text, length, 25);
  luaL_buffinit(L, &b);
  luaL_addstring(&b, "type string (");
  if (memchr(text, '\'', length)) {
    add_quoted(&b, text, length, '"', escape_json);
    luaL_addstring(&b, cut ? "...\")" : "\")");
  } else {
    luaL_addchar(&b, '\'');
    luaL_addlstring(&b, text, length);
    luaL_addstring(&b, cut ? "...')" : "')");
  }
  luaL_pushresult(&b);
}

/* The first of ' " ` that is not in the text, ' if all are. "${" would be code between backticks. */
static char choose_quote(const char *text, size_t length) {
  size_t i;
  if (!memchr(text, '\'', length)) return '\'';
  if (!memchr(text, '"', length)) return '"';
  if (memchr(text, '`', length)) return '\'';
  for (i = 1; i < length; i++)
    if (text[i - 1] == '$' && text[i] == '{') return '\'';
  return '`';
}

/* "'x'": of all that the first `most` characters. */
static void push_inspected_text(lua_State *L, const char *text, size_t length, size_t most) {
  char quote = choose_quote(text, length);
  size_t size, shown;
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  add_quoted(&b, text, prefix(text, length, most), quote, escape_inspected);
  luaL_addchar(&b, quote);
  luaL_pushresult(&b);
  text = lua_tolstring(L, -1, &size);
  shown = prefix(text, size, most);
  if (shown == size) return;
  lua_pushlstring(L, text, shown);
  lua_pushliteral(L, "...");
  lua_concat(L, 2);
  lua_remove(L, -2);
}

/* ---- numbers ---- */

static void push_number(lua_State *L, int index) {
  lua_Number n = lua_tonumber(L, index);
  if (isfinite(n)) {
    lua_pushvalue(L, index);
    lua_tostring(L, -1); /* in its place */
  } else {
    lua_pushstring(L, isnan(n) ? "NaN" : n > 0 ? "Infinity" : "-Infinity");
  }
}

/* "-1_099_511_627_776" of the digits on top, which it replaces. */
static void separate(lua_State *L) {
  size_t length, i;
  const char *digits = lua_tolstring(L, -1, &length);
  luaL_Buffer b;
  luaL_buffinit(L, &b);
  for (i = 0; i < length; i++) {
    if (i > 0 && digits[i - 1] != '-' && (length - i) % 3 == 0) luaL_addchar(&b, '_');
    luaL_addchar(&b, digits[i]);
  }
  luaL_pushresult(&b);
  lua_remove(L, -2);
}

void cnet_received_push_ranged(lua_State *L, int index) {
  lua_Number n = lua_type(L, index) == LUA_TNUMBER ? lua_tonumber(L, index) : 0;
  char text[32];
  index = lua_absindex(L, index);
  if (!(fabs(n) > 4294967296.0 && fabs(n) < 1e21) || n != floor(n)) {
    cnet_received_push_inspected(L, index, SIZE_MAX);
    return;
  }
  if (lua_isinteger(L, index)) {
    snprintf(text, sizeof text, LUA_INTEGER_FMT, (LUAI_UACINT)lua_tointeger(L, index));
  } else {
    snprintf(text, sizeof text, "%.0f", n);
  }
  lua_pushstring(L, text);
  separate(L);
}

/* ---- any value ---- */

void cnet_received_push_plain(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TNUMBER) {
    push_number(L, index);
  } else {
    luaL_tolstring(L, index, NULL);
  }
}

static void push_other(lua_State *L, int index) {
  int type = lua_type(L, index), name = type == LUA_TUSERDATA ? luaL_getmetafield(L, index, "__name") : LUA_TNIL;
  if (type == LUA_TNONE || type == LUA_TNIL) {
    lua_pushliteral(L, "nil");
  } else if (type == LUA_TFUNCTION) {
    lua_pushliteral(L, "a function");
  } else if (name == LUA_TSTRING) {
    lua_pushfstring(L, "an instance of %s", lua_tostring(L, -1));
  } else {
    lua_pushfstring(L, "type %s", lua_typename(L, type));
  }
  if (name != LUA_TNIL) lua_remove(L, -2);
}

void cnet_received_push_typed(lua_State *L, int index) {
  int type = lua_type(L, index);
  size_t length;
  const char *text = type == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
  if (text) {
    push_typed_text(L, text, length);
  } else if (type == LUA_TNUMBER) {
    push_number(L, index);
    lua_pushfstring(L, "type number (%s)", lua_tostring(L, -1));
    lua_remove(L, -2);
  } else if (type == LUA_TBOOLEAN) {
    lua_pushfstring(L, "type boolean (%s)", lua_toboolean(L, index) ? "true" : "false");
  } else {
    push_other(L, index);
  }
}

void cnet_received_push_inspected(lua_State *L, int index, size_t most) {
  int type = lua_type(L, index);
  size_t length;
  const char *text = type == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
  if (text) {
    push_inspected_text(L, text, length, most);
  } else if (type == LUA_TNUMBER) {
    push_number(L, index);
  } else if (type == LUA_TBOOLEAN) {
    lua_pushstring(L, lua_toboolean(L, index) ? "true" : "false");
  } else {
    push_other(L, index);
  }
}
