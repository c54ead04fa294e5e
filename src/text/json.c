#include "text/json.h"

#include <ctype.h>
#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "text/json_syntax.h"

enum { DEEPEST = 1000, MOST_PACKED = 1000000 /* by table.pack: Lua's stack has no room for more */ };

/* ---- the library ---- */

static int require_library(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "dkjson");
  lua_call(L, 1, 1);
  return 1;
}

/* Pushes the library and returns true; or pushes an error and returns false. */
static bool push_library(lua_State *L) {
  lua_getfield(L, LUA_REGISTRYINDEX, LUA_LOADED_TABLE);
  lua_getfield(L, -1, "dkjson");
  lua_remove(L, -2);
  if (lua_istable(L, -1)) return true;
  lua_pop(L, 1);
  lua_pushcfunction(L, require_library);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK || !lua_istable(L, -1)) {
    cnet_error_push(L, "Error", "ERR_MODULE_NOT_FOUND",
                    "messages between processes need the Lua library dkjson. Install it with `luarocks install dkjson` "
                    "or as lua-dkjson. %s",
                    lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
    lua_remove(L, -2);
    return false;
  }
  return true;
}

void cnet_json_load(lua_State *L) {
  if (!push_library(L)) cnet_error_throw(L);
  lua_pop(L, 1);
}

void cnet_json_push_null(lua_State *L) {
  if (!push_library(L)) cnet_error_throw(L);
  lua_getfield(L, -1, "null");
  lua_remove(L, -2);
}

/* The bytes of the character that begins at p, of at most n; 0 if none does. */
static size_t character(const unsigned char *p, size_t n) {
  size_t i, size = p[0] < 0x80 ? 1 : p[0] < 0xC2 ? 0 : p[0] < 0xE0 ? 2 : p[0] < 0xF0 ? 3 : p[0] < 0xF5 ? 4 : 0;
  if (size > n) return 0;
  for (i = 1; i < size; i++)
    if ((p[i] & 0xC0) != 0x80) return 0;
  if (size > 2) { /* neither longer than need be, nor a surrogate, nor beyond U+10FFFF */
    unsigned second = p[1];
    if ((p[0] == 0xE0 && second < 0xA0) || (p[0] == 0xED && second > 0x9F) || (p[0] == 0xF0 && second < 0x90) ||
        (p[0] == 0xF4 && second > 0x8F))
      return 0;
  }
  return size;
}

/* ---- encoding ----
 * dkjson does it. What it would write wrongly is replaced before by its text: floats, of which it writes 14 digits, and
 * tables whose field n it would take for the length of an array. */

static void refuse(lua_State *L, const char *why) {
  cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE", "The message %s", why);
  cnet_error_throw(L);
}

static void check_text(lua_State *L, int index) {
  size_t n, size;
  const char *text = lua_tolstring(L, index, &n);
  for (; n > 0; text += size, n -= size) {
    size = character((const unsigned char *)text, n);
    if (size == 0) refuse(L, "holds a string that is not UTF-8: encode bytes as text, with base64 for example");
  }
}

static int text_to_json(lua_State *L) { /* upvalue 1: the text */
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

/* Pushes a table that dkjson writes as the text on top, which it replaces. */
static void wrap_text(lua_State *L) {
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_rotate(L, -3, -1);
  lua_pushcclosure(L, text_to_json, 1);
  lua_setfield(L, -2, "__tojson");
  lua_setmetatable(L, -2);
}

/* Pushes what dkjson writes as the number at index to the last bit. */
static void push_exact(lua_State *L, int index) {
  char text[64], *point;
  lua_Number n = lua_tonumber(L, index);
  int digits = 14;
  do snprintf(text, sizeof text, "%.*g", digits, n);
  while (strtod(text, NULL) != n && ++digits <= 17);
  point = strchr(text, ','); /* of the host's locale */
  if (point) *point = '.';
  if (lua_isinteger(L, index)) {
    snprintf(text, sizeof text, LUA_INTEGER_FMT, lua_tointeger(L, index));
  } else if (!isfinite(n)) {
    strcpy(text, "null");
  } else if (!strpbrk(text, ".e")) {
    strcat(text, ".0"); /* a float it was, and will be again */
  }
  lua_pushstring(L, text);
  wrap_text(L);
}

/* Would dkjson cut the float at index? (Of infinities and NaN it makes null.) */
static bool is_cut(lua_State *L, int index) {
  char text[64];
  lua_Number n = lua_tonumber(L, index);
  if (lua_isinteger(L, index) || !isfinite(n)) return false;
  snprintf(text, sizeof text, "%.14g", n);
  return strtod(text, NULL) != n;
}

/* Would dkjson take the table at index for an array because of its field n, which is no table.pack's? */
static bool is_misread(lua_State *L, int index) {
  lua_Integer n = 0, highest = 0;
  bool number = false;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && lua_tointeger(L, -2) > 0) {
      if (lua_tointeger(L, -2) > highest) highest = lua_tointeger(L, -2);
    } else if (lua_type(L, -2) == LUA_TSTRING && strcmp(lua_tostring(L, -2), "n") == 0 &&
               lua_type(L, -1) == LUA_TNUMBER) {
      number = true;
      n = lua_tointeger(L, -1);
    } else { /* a key that no array has: dkjson sees that too */
      lua_pop(L, 2);
      return false;
    }
  }
  return number && (highest == 0 || n < highest || n > MOST_PACKED || n > 2 * highest + 10);
}

/* Pushes a shallow copy of the table at index. */
static void push_copy(lua_State *L, int index) {
  lua_newtable(L);
  for (lua_pushnil(L); lua_next(L, index);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
}

static bool has_metafield(lua_State *L, int index, const char *name) {
  if (luaL_getmetafield(L, index, name) == LUA_TNIL) return false;
  lua_pop(L, 1);
  return true;
}

static void check_key(lua_State *L, int index) {
  if (lua_type(L, index) == LUA_TSTRING) {
    check_text(L, index);
  } else if (lua_type(L, index) != LUA_TNUMBER) {
    refuse(L, "holds a table with a key that is no string or number");
  }
}

static void refuse_type(lua_State *L, int index) {
  lua_pushfstring(L, "holds a %s, which JSON has not", luaL_typename(L, index));
  refuse(L, lua_tostring(L, -1));
}

static bool push_replacement(lua_State *L, int index, int depth);

/* Pushes a copy of the table at index, if anything in it is to be replaced, or dkjson would read it by __pairs. */
static bool push_table_replacement(lua_State *L, int index, int depth) {
  int top = lua_gettop(L), copy = top + 1, key = top + 2, value = top + 3;
  bool misread, replaced;
  if (has_metafield(L, index, "__tojson")) return false; /* dkjson's null is one */
  if (depth > DEEPEST) refuse(L, "is nested too deeply, or holds itself");
  luaL_checkstack(L, 20, "message is nested too deeply");
  misread = is_misread(L, index);
  if (has_metafield(L, index, "__pairs")) {
    push_copy(L, index);
  } else {
    lua_pushnil(L); /* where it will be */
  }
  for (lua_pushnil(L); lua_next(L, index); lua_settop(L, key)) {
    check_key(L, key);
    if (misread && lua_type(L, key) == LUA_TSTRING) {
      push_exact(L, value); /* n, hidden from dkjson, which looks for a number */
      replaced = true;
    } else {
      replaced = push_replacement(L, value, depth + 1);
    }
    if (!replaced) continue;
    if (lua_isnil(L, copy)) {
      push_copy(L, index);
      lua_replace(L, copy);
    }
    lua_pushvalue(L, key);
    lua_pushvalue(L, value + 1);
    lua_rawset(L, copy);
  }
  if (!lua_isnil(L, copy)) return true;
  lua_settop(L, top);
  return false;
}

/* If dkjson would write the value at index wrongly, pushes what it writes right; raises for what it must not see. */
static bool push_replacement(lua_State *L, int index, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      check_text(L, index);
      return false;
    case LUA_TNUMBER:
      if (!is_cut(L, index)) return false;
      push_exact(L, index);
      return true;
    case LUA_TTABLE:
      return push_table_replacement(L, index, depth);
    case LUA_TNIL:
    case LUA_TBOOLEAN:
      return false;
    default:
      refuse_type(L, index);
      return false;
  }
}

void cnet_json_encode(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (!push_library(L)) cnet_error_throw(L);
  lua_getfield(L, -1, "encode");
  lua_remove(L, -2);
  if (!push_replacement(L, index, 0)) lua_pushvalue(L, index);
  if (lua_pcall(L, 1, 1, 0) == LUA_OK && lua_type(L, -1) == LUA_TSTRING) return;
  luaL_tolstring(L, -1, NULL);
  cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE", "The message cannot be sent as JSON: %s",
                  lua_tostring(L, -1));
  cnet_error_throw(L);
}

/* ---- decoding ---- */

/* The UTF-16 unit of the escape at p, -1 if it is none. */
static int unit(const char *p, size_t n) {
  int i, value = 0;
  if (n < 6 || p[0] != '\\' || p[1] != 'u') return -1;
  for (i = 2; i < 6; i++) {
    int c = tolower((unsigned char)p[i]);
    if (!isxdigit(c)) return -1;
    value = 16 * value + (c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return value;
}

/* The bytes at p, of at most n, that can be taken as they are; 0 if they stand for no character. *bad: how many. */
static size_t sound(const char *p, size_t n, size_t *bad) {
  int first;
  *bad = 1;
  if (p[0] != '\\') return character((const unsigned char *)p, n);
  first = unit(p, n);
  if (first < 0) return n < 2 || (unsigned char)p[1] >= 0x80 ? 1 : 2;
  if ((first & 0xF800) != 0xD800) return 6;
  *bad = 6;
  return first < 0xDC00 && n >= 12 && (unit(p + 6, n - 6) & 0xFC00) == 0xDC00 ? 12 : 0;
}

/* Replaces the text at index by one with U+FFFD for each byte that belongs to no character, as Node reads it, and for
 * each half of a surrogate pair, as Node writes such a string. */
static void repair(lua_State *L, int index) {
  size_t n, i, size, bad, from = 0;
  const char *text = lua_tolstring(L, index, &n);
  luaL_Buffer b;
  for (i = 0; i < n && (size = sound(text + i, n - i, &bad)) > 0;) i += size;
  if (i >= n) return;
  luaL_buffinit(L, &b);
  for (i = 0; i < n; i += size) {
    size = sound(text + i, n - i, &bad);
    if (size > 0) continue;
    size = bad;
    luaL_addlstring(&b, text + from, i - from);
    luaL_addstring(&b, "\xEF\xBF\xBD");
    from = i + size;
  }
  luaL_addlstring(&b, text + from, n - from);
  luaL_pushresult(&b);
  lua_replace(L, index);
}

/* Calls the library with the text on top; leaves its results, or an error and returns false. */
static bool call_library(lua_State *L) {
  if (!push_library(L)) return false;
  lua_getfield(L, -1, "decode");
  lua_remove(L, -2);
  lua_insert(L, -2);
  return lua_pcall(L, 1, 3, 0) == LUA_OK;
}

/* Leaves the error on top, above index top; a text becomes the reason of one. */
static bool fail(lua_State *L, int top) {
  if (lua_type(L, -1) == LUA_TSTRING)
    cnet_error_push(L, "SyntaxError", "ERR_IPC_INVALID_MESSAGE", "A message that came is no JSON: %s",
                    lua_tostring(L, -1));
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return false;
}

/* Pushes why the text at index is no JSON; nothing if it is. */
static bool check_syntax(lua_State *L, int index) {
  size_t size, at;
  const char *text = lua_tolstring(L, index, &size);
  if (cnet_json_syntax_check(text, size, &at)) return true;
  if (at == size) {
    lua_pushliteral(L, "it ends too early");
  } else if (isprint((unsigned char)text[at])) {
    lua_pushfstring(L, "unexpected %c at byte %I", text[at], (LUAI_UACINT)at + 1);
  } else {
    lua_pushfstring(L, "unexpected byte %d at byte %I", (unsigned char)text[at], (LUAI_UACINT)at + 1);
  }
  return false;
}

bool cnet_json_decode(lua_State *L, int index) {
  int top = lua_gettop(L);
  lua_pushvalue(L, index);
  repair(L, top + 1);
  if (!check_syntax(L, top + 1) || !call_library(L) || !lua_isnil(L, -1)) return fail(L, top);
  lua_settop(L, top + 1);
  return true;
}
