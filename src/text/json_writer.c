#include "text/json_writer.h"

#include <lauxlib.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "text/encoding.h"
#include "text/json_reader.h"
#include "text/json_text.h"

enum { DEEPEST = 1000, LONGEST_NUMBER = 32 };

static void refuse(lua_State *L, const char *why) {
  cnet_error_push(L, "TypeError", "ERR_INVALID_ARG_VALUE", "The message %s", why);
  cnet_error_throw(L);
}

static void refuse_bytes(lua_State *L) {
  refuse(L, "holds a string that is not UTF-8: encode bytes as text, with base64 for example");
}

/* ---- texts ---- */

static void write_escape(cnet_block *out, unsigned char c) {
  static const char letters[] = "btn\0fr"; /* of 8 to 13 */
  char *at = cnet_block_reserve(out, 7);
  *at++ = '\\';
  if (c == '"' || c == '\\') {
    *at = (char)c;
    out->size += 2;
  } else if (c >= '\b' && c <= '\r' && c != '\v') {
    *at = letters[c - '\b'];
    out->size += 2;
  } else {
    snprintf(at, 6, "u%04x", c);
    out->size += 6;
  }
}

static void write_string(cnet_block *out, int index) {
  size_t size, run;
  const char *text = lua_tolstring(out->L, index, &size);
  cnet_block_reserve(out, size + 2);
  cnet_block_put(out, '"');
  for (;;) {
    run = cnet_json_run(text, size);
    cnet_block_add(out, text, run);
    text += run;
    size -= run;
    if (size == 0) break;
    if ((unsigned char)*text >= 0x80) refuse_bytes(out->L);
    write_escape(out, (unsigned char)*text++);
    size--;
  }
  cnet_block_put(out, '"');
}

/* ---- numbers ---- */

static void write_whole(cnet_block *out, uint64_t n) {
  char digits[20];
  size_t i = sizeof digits;
  do digits[--i] = (char)('0' + n % 10);
  while ((n /= 10) > 0);
  cnet_block_add(out, digits + i, sizeof digits - i);
}

static void write_integer(cnet_block *out, lua_Integer n) {
  if (n < 0) cnet_block_put(out, '-');
  write_whole(out, n < 0 ? 0 - (uint64_t)n : (uint64_t)n);
}

/* Writes the fraction rest / 2^bits with the fewest digits by which it is nearer than half a step of the float, unit,
 * to what is read of them. All is exact: free-format printing as Steele and White have it, where 64 bits are enough. */
static void write_fraction(cnet_block *out, uint64_t rest, int bits) {
  uint64_t one = (uint64_t)1 << bits, unit = 1, digit;
  bool low, high;
  for (;;) {
    rest *= 10;
    unit *= 10;
    digit = rest >> bits;
    rest &= one - 1;
    low = rest < unit;
    high = rest + unit > one;
    if (low || high) break;
    cnet_block_put(out, (char)('0' + digit));
  }
  if (high && (!low || rest > one / 2)) digit++; /* which is no 9: the digit before would have been the last */
  cnet_block_put(out, (char)('0' + digit));
}

/* Is it one from 2^-7 to 2^53, as most are? Then it is written, ten times as fast as by printf. */
static bool write_common(cnet_block *out, double n) {
  int exponent, bits;
  double part = frexp(fabs(n), &exponent);
  uint64_t halves; /* of its last bit */
  bits = 54 - exponent;
  if (bits < 1 || bits > 60 || part <= 0.5) return false; /* below a power of 2 the steps are smaller */
  halves = (uint64_t)ldexp(part, 54);
  if (n < 0) cnet_block_put(out, '-');
  write_whole(out, halves >> bits);
  cnet_block_put(out, '.');
  write_fraction(out, halves & (((uint64_t)1 << bits) - 1), bits);
  return true;
}

/* With the fewest digits, from 15 on, that say which one it is. */
static void write_float(cnet_block *out, double n) {
  char *text, *point;
  int digits = 15, size;
  if (write_common(out, n)) return;
  text = cnet_block_reserve(out, LONGEST_NUMBER);
  do {
    size = snprintf(text, LONGEST_NUMBER, "%.*g", digits, n);
  } while (digits++ < 17 && strtod(text, NULL) != n);
  point = strchr(text, ','); /* of the host's locale */
  if (point) *point = '.';
  out->size += (size_t)size;
  if (!strpbrk(text, ".e")) cnet_block_literal(out, ".0"); /* a float it is, and will be again */
}

static void write_number(cnet_block *out, int index) {
  lua_State *L = out->L;
  if (lua_isinteger(L, index)) {
    write_integer(out, lua_tointeger(L, index));
  } else if (isfinite(lua_tonumber(L, index))) {
    write_float(out, lua_tonumber(L, index));
  } else {
    cnet_block_literal(out, "null");
  }
}

/* ---- tables ---- */

static bool has_field_n(lua_State *L, int key, int value) {
  return lua_type(L, key) == LUA_TSTRING && strcmp(lua_tostring(L, key), "n") == 0 && lua_type(L, value) == LUA_TNUMBER;
}

enum { MOST_NULLS = 1000000 }; /* of a table.pack that is mostly holes: a number of a script's has no end */

/* Is the table at index to be an array, and how long? A field n is the length of a table.pack, if it can be. */
static bool is_array(lua_State *L, int index, lua_Integer *length) {
  lua_Integer key, count = 0, highest = 0, n = 0;
  bool packed = false;
  for (lua_pushnil(L); lua_next(L, index); lua_pop(L, 1)) {
    if (lua_isinteger(L, -2) && (key = lua_tointeger(L, -2)) > 0) {
      if (key > highest) highest = key;
      count++;
    } else if (has_field_n(L, -2, -1)) {
      packed = true;
      n = lua_tointeger(L, -1);
    } else {
      lua_pop(L, 2);
      return false;
    }
  }
  *length = packed ? n : highest;
  if (packed) return highest > 0 && n >= highest && (n - 11) / 2 < highest && (n <= MOST_NULLS || n / 2 < count);
  return highest <= 10 || highest / 2 < count || highest == 2 * count;
}

static void write_value(cnet_block *out, int index, int depth);

static void write_array(cnet_block *out, int index, lua_Integer length, int depth) {
  lua_State *L = out->L;
  lua_Integer i;
  cnet_block_put(out, '[');
  for (i = 1; i <= length; i++) {
    if (i > 1) cnet_block_put(out, ',');
    lua_rawgeti(L, index, i);
    write_value(out, index + 1, depth);
    lua_settop(L, index);
  }
  cnet_block_put(out, ']');
}

static void write_key(cnet_block *out, int index) {
  lua_State *L = out->L;
  if (lua_type(L, index) == LUA_TSTRING) {
    write_string(out, index);
  } else if (lua_type(L, index) == LUA_TNUMBER) {
    cnet_block_put(out, '"');
    write_number(out, index);
    cnet_block_put(out, '"');
  } else {
    refuse(L, "holds a table with a key that is no string or number");
  }
}

static void write_object(cnet_block *out, int index, int depth) {
  lua_State *L = out->L;
  bool first = true;
  cnet_block_put(out, '{');
  for (lua_pushnil(L); lua_next(L, index); lua_settop(L, index + 1)) {
    if (!first) cnet_block_put(out, ',');
    first = false;
    write_key(out, index + 1);
    cnet_block_put(out, ':');
    write_value(out, index + 2, depth);
  }
  cnet_block_put(out, '}');
}

/* Adds the JSON text on top. A line has no end inside, which JSON takes for a blank. */
static void write_text(cnet_block *out) {
  lua_State *L = out->L;
  size_t size, i, n;
  bool whole;
  const char *text = lua_tolstring(L, -1, &size);
  char *at;
  if (!cnet_json_read(L, text, size)) {
    lua_getfield(L, -1, "message");
    lua_pushfstring(L, "holds a value whose __tojson returned other than JSON: %s", lua_tostring(L, -1));
    refuse(L, lua_tostring(L, -1));
  }
  lua_pop(L, 1);
  for (i = 0; i < size; i += n) {
    n = cnet_utf8_part(text + i, size - i, &whole);
    if (!whole) refuse_bytes(L);
  }
  at = cnet_block_reserve(out, size);
  for (i = 0; i < size; i++) at[i] = text[i] == '\n' ? ' ' : text[i];
  out->size += size;
}

/* Does the metatable of the table at index say how it is written? Then it is done. */
static bool write_custom(cnet_block *out, int index) {
  lua_State *L = out->L;
  if (luaL_getmetafield(L, index, "__tojson") == LUA_TNIL) return false;
  lua_pushvalue(L, index);
  lua_call(L, 1, 1);
  if (lua_type(L, -1) != LUA_TSTRING) refuse(L, "holds a value whose __tojson returned no text");
  write_text(out);
  lua_settop(L, index);
  return true;
}

static bool is_object(lua_State *L, int index) {
  bool is = false;
  if (luaL_getmetafield(L, index, "__jsontype") != LUA_TNIL) {
    is = lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "object") == 0;
    lua_pop(L, 1);
  }
  return is;
}

/* The table is on top. */
static void write_table(cnet_block *out, int index, int depth) {
  lua_State *L = out->L;
  lua_Integer length;
  bool meta;
  luaL_checkstack(L, 20, "message is nested too deeply");
  meta = lua_getmetatable(L, index);
  if (meta) lua_pop(L, 1);
  if (meta && write_custom(out, index)) return;
  if (depth > DEEPEST) refuse(L, "is nested too deeply, or holds itself");
  if (is_array(L, index, &length) && !(meta && length == 0 && is_object(L, index))) {
    write_array(out, index, length, depth);
  } else {
    write_object(out, index, depth);
  }
}

/* ---- values ---- */

static void refuse_type(lua_State *L, int index) {
  lua_pushfstring(L, "holds a %s, which JSON has not", luaL_typename(L, index));
  refuse(L, lua_tostring(L, -1));
}

/* It is on top. */
static void write_value(cnet_block *out, int index, int depth) {
  lua_State *L = out->L;
  switch (lua_type(L, index)) {
    case LUA_TSTRING:
      write_string(out, index);
      break;
    case LUA_TNUMBER:
      write_number(out, index);
      break;
    case LUA_TBOOLEAN:
      if (lua_toboolean(L, index)) {
        cnet_block_literal(out, "true");
      } else {
        cnet_block_literal(out, "false");
      }
      break;
    case LUA_TTABLE:
      write_table(out, index, depth + 1);
      break;
    case LUA_TNIL:
      cnet_block_literal(out, "null");
      break;
    default:
      if (!lua_islightuserdata(L, index) || lua_touserdata(L, index)) refuse_type(L, index);
      cnet_block_literal(out, "null");
  }
}

void cnet_json_write(cnet_block *out, int index) {
  lua_pushvalue(out->L, index);
  write_value(out, lua_gettop(out->L), 0);
  lua_pop(out->L, 1);
}

void cnet_json_push(lua_State *L, int index) {
  cnet_block text;
  index = lua_absindex(L, index);
  lua_pushnil(L);
  cnet_block_begin(L, &text);
  cnet_json_write(&text, index);
  lua_pushlstring(L, text.at, text.size);
  lua_remove(L, text.index);
}

void cnet_json_push_null(lua_State *L) { lua_pushlightuserdata(L, NULL); }
