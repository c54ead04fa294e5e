#include "core/args.h"

#include <ctype.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/received.h"

void cnet_trim_nils(lua_State *L, int first) {
  int top = lua_gettop(L);
  while (top >= first && lua_isnil(L, top)) top--;
  lua_settop(L, top);
}

bool cnet_truthy(lua_State *L, int index) {
  int type = lua_type(L, index);
  if (type == LUA_TNUMBER) {
    lua_Number n = lua_tonumber(L, index);
    return n != 0 && !isnan(n);
  }
  if (type == LUA_TSTRING) return lua_rawlen(L, index) > 0;
  return lua_toboolean(L, index);
}

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* 0x, 0o, 0b: digits of the base up to the end */
static double parse_based(const char *text, const char *end, int base) {
  double n = 0;
  if (text == end) return NAN;
  for (; text < end; text++) {
    int digit = isdigit((unsigned char)*text)    ? *text - '0'
                : isxdigit((unsigned char)*text) ? tolower((unsigned char)*text) - 'a' + 10
                                                 : 99;
    if (digit >= base) return NAN;
    n = n * base + digit;
  }
  return n;
}

static int base_of(char c) {
  c = (char)tolower((unsigned char)c);
  return c == 'x' ? 16 : c == 'o' ? 8 : c == 'b' ? 2 : 0;
}

/* Decimal text, which Lua converts without regard to the locale; it takes more than JavaScript does: hexadecimal. */
static double parse_decimal(lua_State *L, const char *text, const char *end) {
  const char *c = text + (*text == '+' || *text == '-');
  size_t length = (size_t)(end - c);
  double n = NAN;
  if (length == 8 && memcmp(c, "Infinity", 8) == 0) return *text == '-' ? -INFINITY : INFINITY;
  for (; c < end; c++)
    if (!isdigit((unsigned char)*c) && !strchr(".eE+-", *c)) return NAN;
  lua_pushlstring(L, text, (size_t)(end - text));
  if (lua_stringtonumber(L, lua_tostring(L, -1)) == (size_t)(end - text) + 1) {
    n = lua_tonumber(L, -1);
    lua_pop(L, 1);
  }
  lua_pop(L, 1);
  return n;
}

static double parse_number(lua_State *L, const char *text, size_t length) {
  const char *end = text + length;
  while (text < end && is_blank(*text)) text++;
  while (end > text && is_blank(end[-1])) end--;
  if (text == end) return 0;
  if (memchr(text, '\0', (size_t)(end - text))) return NAN;
  if (end - text > 2 && text[0] == '0' && base_of(text[1])) return parse_based(text + 2, end, base_of(text[1]));
  return parse_decimal(L, text, end);
}

double cnet_to_number(lua_State *L, int index) {
  size_t length;
  const char *text;
  switch (lua_type(L, index)) {
    case LUA_TNUMBER:
      return lua_tonumber(L, index);
    case LUA_TBOOLEAN:
      return lua_toboolean(L, index);
    case LUA_TSTRING:
      text = lua_tolstring(L, index, &length);
      return parse_number(L, text, length);
    default:
      return NAN;
  }
}

int cnet_trunc32(double x) {
  if (isnan(x) || isinf(x)) return 0;
  x = fmod(trunc(x), 4294967296.0);
  if (x < 0) x += 4294967296.0;
  return (int)(int32_t)(uint32_t)x;
}

size_t cnet_to_size(lua_Number n) {
  const size_t largest = PTRDIFF_MAX;
  return n < (lua_Number)largest ? (size_t)n : largest;
}

bool cnet_is_pipe_name(lua_State *L, int index) {
  return lua_type(L, index) == LUA_TSTRING && !(cnet_to_number(L, index) >= 0);
}

static bool is_blank_string(lua_State *L, int index) {
  size_t i, length;
  const char *text = lua_tolstring(L, index, &length);
  for (i = 0; i < length; i++)
    if (!is_blank(text[i])) return false;
  return true;
}

int cnet_check_port(lua_State *L, int index, const char *name, bool allow_zero) {
  int type = lua_type(L, index);
  double n = type == LUA_TNUMBER || type == LUA_TSTRING ? cnet_to_number(L, index) : NAN;
  index = lua_absindex(L, index);
  if (!(n >= (allow_zero ? 0 : 1) && n <= 65535) || n != floor(n) ||
      (type == LUA_TSTRING && is_blank_string(L, index))) {
    cnet_received_push_typed(L, index);
    lua_pushfstring(L, "%s should be %s 0 and < 65536. Received ", name, allow_zero ? ">=" : ">");
    lua_insert(L, -2);
    lua_pushliteral(L, ".");
    lua_concat(L, 3);
    cnet_error_push_text(L, "RangeError", "ERR_SOCKET_BAD_PORT");
    cnet_error_throw(L);
  }
  return (int)n;
}

const char *cnet_check_text(lua_State *L, int index, const char *kind, const char *name) {
  size_t length = 0;
  const char *text = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
  if (!text) cnet_error_arg_type(L, kind, name, "of type string", index);
  if (strlen(text) != length) cnet_error_arg_value(L, kind, name, index, "must be a string without null bytes");
  return text;
}

const char *cnet_check_host(lua_State *L, int index) { return cnet_check_text(L, index, "argument", "hostname"); }

void cnet_check_function(lua_State *L, int index, const char *name) {
  if (!lua_isfunction(L, index)) cnet_error_arg_type(L, "argument", name, "of type function", index);
}

const char *cnet_get_string(lua_State *L, int table, const char *name) {
  const char *text = lua_getfield(L, table, name) == LUA_TSTRING ? lua_tostring(L, -1) : NULL;
  lua_pop(L, 1);
  return text;
}

lua_Integer cnet_get_integer(lua_State *L, int table, const char *name) {
  lua_Integer n;
  lua_getfield(L, table, name);
  n = lua_tointeger(L, -1);
  lua_pop(L, 1);
  return n;
}

int cnet_get_int(lua_State *L, int table, const char *name) {
  lua_Integer n = cnet_get_integer(L, table, name);
  return n > INT_MAX ? INT_MAX : n < INT_MIN ? INT_MIN : (int)n;
}

void cnet_set_integer(lua_State *L, int table, const char *name, lua_Integer n) {
  lua_pushinteger(L, n);
  lua_setfield(L, table, name);
}

void cnet_set_value(lua_State *L, int table, const char *name, int value) {
  lua_pushvalue(L, value);
  lua_setfield(L, table, name);
}

bool cnet_option_true(lua_State *L, int options, const char *name) {
  bool is;
  lua_getfield(L, options, name);
  is = cnet_truthy(L, -1);
  lua_pop(L, 1);
  return is;
}

bool cnet_option_number(lua_State *L, int options, const char *name) {
  if (lua_getfield(L, options, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  if (lua_type(L, -1) != LUA_TNUMBER) {
    lua_pushfstring(L, "options.%s", name);
    cnet_error_arg_type(L, "property", lua_tostring(L, -1), "of type number", -2);
  }
  return true;
}

int cnet_option_seconds(lua_State *L, int options, const char *name) {
  int seconds;
  if (!cnet_option_number(L, options, name)) return 0;
  seconds = cnet_trunc32(lua_tonumber(L, -1) / 1000);
  lua_pop(L, 1);
  return seconds > 0 ? seconds : 0;
}
