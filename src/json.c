#include "json.h"

#include <lauxlib.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"

static const char library_key = 0; /* registry: the library's table */

enum { DEEPEST = 1000 };

/* ---- the library ---- */

static int require_library(lua_State *L) {
  lua_getglobal(L, "require");
  lua_pushliteral(L, "dkjson");
  lua_call(L, 1, 1);
  return 1;
}

static void push_library(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &library_key) == LUA_TTABLE) return;
  lua_pop(L, 1);
  lua_pushcfunction(L, require_library);
  if (lua_pcall(L, 0, 1, 0) != LUA_OK || !lua_istable(L, -1)) {
    cnet_error_push(L, "Error", "ERR_MODULE_NOT_FOUND",
                    "messages between processes need the Lua library dkjson. Install it with `luarocks install dkjson` "
                    "or as lua-dkjson. %s",
                    lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
    cnet_error_throw(L);
  }
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &library_key);
}

void cnet_json_load(lua_State *L) {
  push_library(L);
  lua_pop(L, 1);
}

void cnet_json_push_null(lua_State *L) {
  push_library(L);
  lua_getfield(L, -1, "null");
  lua_remove(L, -2);
}

/* ---- text that is not UTF-8 ---- */

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

static bool is_utf8(const char *text, size_t n) {
  while (n > 0) {
    size_t size = character((const unsigned char *)text, n);
    if (size == 0) return false;
    text += size;
    n -= size;
  }
  return true;
}

/* Replaces the text at index by one with U+FFFD for each byte that belongs to no character, as Node reads it. */
static void repair_utf8(lua_State *L, int index) {
  size_t n;
  const char *text = lua_tolstring(L, index, &n);
  luaL_Buffer b;
  if (is_utf8(text, n)) return;
  luaL_buffinit(L, &b);
  while (n > 0) {
    size_t size = character((const unsigned char *)text, n);
    if (size == 0) {
      luaL_addstring(&b, "\xEF\xBF\xBD");
      size = 1;
    } else {
      luaL_addlstring(&b, text, size);
    }
    text += size;
    n -= size;
  }
  luaL_pushresult(&b);
  lua_replace(L, index);
}

/* ---- what is to be encoded ---- */

static int number_to_json(lua_State *L) { /* upvalue 1: the text of a float */
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

/* dkjson writes floats with 14 digits: where that is not the same number, pushes what it encodes as the whole one. */
static bool push_exact(lua_State *L, int index) {
  char text[64], *point;
  lua_Number n = lua_tonumber(L, index);
  if (lua_isinteger(L, index) || !isfinite(n)) return false;
  snprintf(text, sizeof text, "%.14g", n);
  if (strtod(text, NULL) == n) return false;
  snprintf(text, sizeof text, "%.16g", n);
  if (strtod(text, NULL) != n) snprintf(text, sizeof text, "%.17g", n);
  point = strchr(text, ','); /* of the host's locale */
  if (point) *point = '.';
  lua_createtable(L, 0, 0);
  lua_createtable(L, 0, 1);
  lua_pushstring(L, text);
  lua_pushcclosure(L, number_to_json, 1);
  lua_setfield(L, -2, "__tojson");
  lua_setmetatable(L, -2);
  return true;
}

static void check_text(lua_State *L, int index) {
  size_t n;
  const char *text = lua_tolstring(L, index, &n);
  if (is_utf8(text, n)) return;
  cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE",
                  "The message holds a string that is not UTF-8: encode bytes as text, with base64 for example");
  cnet_error_throw(L);
}

static bool push_replacement(lua_State *L, int index, int depth);

/* Pushes a shallow copy of the table at index, with its metatable. */
static void push_copy(lua_State *L, int index) {
  lua_newtable(L);
  lua_pushnil(L);
  while (lua_next(L, index)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  if (lua_getmetatable(L, index)) lua_setmetatable(L, -2);
}

static bool push_table_replacement(lua_State *L, int index, int depth) {
  int copy = 0, top = lua_gettop(L);
  if (depth > DEEPEST) {
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE", "The message is nested too deeply, or holds itself");
    cnet_error_throw(L);
  }
  luaL_checkstack(L, 8, "message is nested too deeply");
  lua_pushnil(L); /* where the copy will be */
  lua_pushnil(L);
  while (lua_next(L, index)) {
    int value = lua_gettop(L);
    if (lua_type(L, value - 1) == LUA_TSTRING) check_text(L, value - 1);
    if (push_replacement(L, value, depth + 1)) {
      if (!copy) {
        push_copy(L, index);
        copy = top + 1;
        lua_replace(L, copy);
      }
      lua_pushvalue(L, value - 1);
      lua_insert(L, -2);
      lua_rawset(L, copy);
    }
    lua_settop(L, value - 1);
  }
  lua_settop(L, copy ? copy : top);
  return copy != 0;
}

/* If dkjson would encode the value at index wrongly, pushes what it encodes right; raises for what it must not see. */
static bool push_replacement(lua_State *L, int index, int depth) {
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      check_text(L, index);
      return false;
    case LUA_TNUMBER:
      return push_exact(L, index);
    case LUA_TTABLE:
      return push_table_replacement(L, index, depth);
    default:
      return false; /* dkjson tells of what it does not know */
  }
}

/* ---- both ways ---- */

/* Calls the library's function with the value on top; leaves its results, or the error and returns false. */
static bool call_library(lua_State *L, const char *name, int nresults) {
  push_library(L);
  lua_getfield(L, -1, name);
  lua_remove(L, -2);
  lua_insert(L, -2);
  return lua_pcall(L, 1, nresults, 0) == LUA_OK;
}

void cnet_json_encode(lua_State *L, int index) {
  index = lua_absindex(L, index);
  if (!push_replacement(L, index, 0)) lua_pushvalue(L, index);
  if (!call_library(L, "encode", 1) || lua_type(L, -1) != LUA_TSTRING) {
    luaL_tolstring(L, -1, NULL);
    cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE", "The message cannot be sent as JSON: %s",
                    lua_tostring(L, -1));
    cnet_error_throw(L);
  }
}

static bool fail(lua_State *L, int top, const char *reason) {
  cnet_error_push(L, "SyntaxError", "ERR_IPC_INVALID_MESSAGE", "A message that came is no JSON: %s", reason);
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
  return false;
}

bool cnet_json_decode(lua_State *L, int index) {
  int top = lua_gettop(L);
  size_t size, end;
  const char *text;
  lua_pushvalue(L, index);
  repair_utf8(L, top + 1);
  lua_pushvalue(L, top + 1);
  if (!call_library(L, "decode", 3)) return fail(L, top, lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
  if (!lua_isnil(L, -1)) return fail(L, top, lua_isstring(L, -1) ? lua_tostring(L, -1) : "");
  text = lua_tolstring(L, top + 1, &size);
  for (end = (size_t)lua_tointeger(L, -2) - 1; end < size; end++)
    if (!strchr(" \t\r\n", text[end]) || text[end] == '\0') return fail(L, top, "there is more after its end");
  lua_remove(L, top + 1);
  lua_settop(L, top + 1);
  return true;
}
