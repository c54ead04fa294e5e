#include "text/json_reader.h"

#include <ctype.h>
#include <lauxlib.h>
#include <string.h>

#include "core/error.h"
#include "text/encoding.h"
#include "text/json_text.h"

enum {
  DEEPEST = 30000,
  SHORT_NUMBER = 64,
  PLACES = 8,  /* of Lua's stack, for a level and what is read in it */
  LIKENED = 8, /* levels */
  MOST = 1 << 20
};

/* Of each table that has begun and not ended, the stack has the table and the key of the value to come: a string in an
 * object, a number in an array. */
typedef struct {
  lua_State *L;
  const char *at, *stop;
  int depth, object; /* where the objects' metatable is */
  /* Of the outer levels: how many values the table that is open has, and how many the last one had. Such tables are
   * often alike, and making them large enough at once halves the time of reading. */
  int count[LIKENED], last[LIKENED];
  bool too_deep;
} reader;

static const char object_key = 0; /* in the registry: their metatable */

static bool is_at(const reader *r, char c) { return r->at < r->stop && *r->at == c; }

static bool take(reader *r, char c) {
  if (!is_at(r, c)) return false;
  r->at++;
  return true;
}

static void skip_blanks(reader *r) {
  while (is_at(r, ' ') || is_at(r, '\t') || is_at(r, '\n') || is_at(r, '\r')) r->at++;
}

/* ---- numbers and words ---- */

static bool take_word(reader *r, const char *word) {
  while (*word && take(r, *word)) word++;
  return *word == '\0';
}

static bool take_digits(reader *r) {
  const char *from = r->at;
  while (r->at < r->stop && *r->at >= '0' && *r->at <= '9') r->at++;
  return r->at > from;
}

static bool take_number(reader *r) {
  take(r, '-');
  if (!take(r, '0') && !take_digits(r)) return false;
  if (take(r, '.') && !take_digits(r)) return false;
  if (!take(r, 'e') && !take(r, 'E')) return true;
  if (!take(r, '+')) take(r, '-');
  return take_digits(r);
}

/* Lua reads it: as an integer if it can be one, and whatever the host's locale. */
static bool push_number(reader *r) {
  const char *from = r->at;
  char number[SHORT_NUMBER];
  size_t size;
  if (!take_number(r)) return false;
  size = (size_t)(r->at - from);
  if (size < sizeof number) {
    memcpy(number, from, size);
    number[size] = '\0';
    return lua_stringtonumber(r->L, number) > 0;
  }
  lua_pushlstring(r->L, from, size);
  if (lua_stringtonumber(r->L, lua_tostring(r->L, -1)) == 0) return false;
  lua_remove(r->L, -2);
  return true;
}

static bool push_word(reader *r) {
  if (is_at(r, 'n')) {
    lua_pushnil(r->L);
    return take_word(r, "null");
  }
  lua_pushboolean(r->L, is_at(r, 't'));
  return take_word(r, is_at(r, 't') ? "true" : "false");
}

/* ---- strings ---- */

static void add_character(luaL_Buffer *b, unsigned c) {
  if (c < 0x80) {
    luaL_addchar(b, (char)c);
    return;
  }
  if (c < 0x800) {
    luaL_addchar(b, (char)(0xC0 | c >> 6));
  } else {
    if (c < 0x10000) {
      luaL_addchar(b, (char)(0xE0 | c >> 12));
    } else {
      luaL_addchar(b, (char)(0xF0 | c >> 18));
      luaL_addchar(b, (char)(0x80 | (c >> 12 & 0x3F)));
    }
    luaL_addchar(b, (char)(0x80 | (c >> 6 & 0x3F)));
  }
  luaL_addchar(b, (char)(0x80 | (c & 0x3F)));
}

/* Takes four hexadecimal digits. */
static bool take_unit(reader *r, unsigned *unit) {
  int i;
  *unit = 0;
  for (i = 0; i < 4; i++) {
    int c;
    if (r->at == r->stop || !isxdigit((unsigned char)*r->at)) return false;
    c = tolower((unsigned char)*r->at++);
    *unit = 16 * *unit + (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
  }
  return true;
}

/* After \u: a character, of two escapes if it is beyond U+FFFF. Half a pair is none. */
static bool take_escaped_unit(reader *r, luaL_Buffer *b) {
  unsigned first, second;
  const char *after;
  if (!take_unit(r, &first)) return false;
  if ((first & 0xF800) == 0xD800) {
    after = r->at;
    if (first < 0xDC00 && take(r, '\\') && take(r, 'u') && take_unit(r, &second) && (second & 0xFC00) == 0xDC00) {
      first = 0x10000 + ((first & 0x3FF) << 10 | (second & 0x3FF));
    } else {
      r->at = after;
      first = 0xFFFD;
    }
  }
  add_character(b, first);
  return true;
}

static bool take_escape(reader *r, luaL_Buffer *b) {
  static const char letters[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
  const char *letter;
  if (take(r, 'u')) return take_escaped_unit(r, b);
  if (r->at == r->stop || !*r->at) return false;
  letter = strchr(letters, *r->at);
  if (!letter) return false;
  r->at++;
  luaL_addchar(b, meanings[letter - letters]);
  return true;
}

/* Pushes the string whose first bytes, from `from` on, are plain. */
static bool push_mended(reader *r, const char *from) {
  luaL_Buffer b;
  bool whole;
  luaL_buffinit(r->L, &b);
  for (;;) {
    luaL_addlstring(&b, from, (size_t)(r->at - from));
    if (take(r, '"')) break;
    if (r->at == r->stop || (unsigned char)*r->at < ' ') return false;
    if ((unsigned char)*r->at >= 0x80) {
      r->at += cnet_utf8_part(r->at, (size_t)(r->stop - r->at), &whole);
      luaL_addstring(&b, "\xEF\xBF\xBD");
    } else if (take(r, '\\') && !take_escape(r, &b)) {
      return false;
    }
    from = r->at;
    r->at += cnet_json_run(from, (size_t)(r->stop - from));
  }
  luaL_pushresult(&b);
  return true;
}

static bool push_string(reader *r) {
  const char *from;
  if (!take(r, '"')) return false;
  from = r->at;
  r->at += cnet_json_run(from, (size_t)(r->stop - from));
  if (!is_at(r, '"')) return push_mended(r, from);
  lua_pushlstring(r->L, from, (size_t)(r->at - from));
  r->at++;
  return true;
}

/* ---- what holds values ---- */

static bool push_key(reader *r) {
  skip_blanks(r);
  if (!push_string(r)) return false;
  skip_blanks(r);
  return take(r, ':');
}

/* Begins a table; one that is not empty stays open, and *inside is set. */
static bool push_table(reader *r, bool *inside) {
  bool object = *r->at == '{';
  int places;
  if (r->depth == DEEPEST || !lua_checkstack(r->L, PLACES)) {
    r->too_deep = true;
    return false;
  }
  r->at++;
  skip_blanks(r);
  *inside = !is_at(r, object ? '}' : ']');
  places = *inside && r->depth < LIKENED ? r->last[r->depth] : 0;
  lua_createtable(r->L, object ? 0 : places, object ? places : 0);
  if (object) {
    lua_pushvalue(r->L, r->object);
    lua_setmetatable(r->L, -2);
  }
  if (!*inside) {
    r->at++;
    return true;
  }
  if (r->depth < LIKENED) r->count[r->depth] = 0;
  r->depth++;
  if (object) return push_key(r);
  lua_pushinteger(r->L, 1);
  return true;
}

/* Pushes a value, or begins a table. */
static bool push_value(reader *r, bool *inside) {
  *inside = false;
  skip_blanks(r);
  if (r->at == r->stop) return false;
  switch (*r->at) {
    case '"':
      return push_string(r);
    case '{':
    case '[':
      return push_table(r, inside);
    case 't':
    case 'f':
    case 'n':
      return push_word(r);
    default:
      return push_number(r);
  }
}

/* Puts the value on top into the table that it stands in, and ends all tables that end here. */
static bool put_value(reader *r) {
  lua_State *L = r->L;
  for (;;) {
    lua_Integer place = lua_type(L, -2) == LUA_TNUMBER ? lua_tointeger(L, -2) : 0;
    skip_blanks(r);
    if (place > 0) {
      lua_rawseti(L, -3, place);
      lua_pop(L, 1);
    } else {
      lua_rawset(L, -3);
    }
    if (r->depth <= LIKENED && r->count[r->depth - 1] < MOST) r->count[r->depth - 1]++;
    if (take(r, ',')) {
      if (place == 0) return push_key(r);
      lua_pushinteger(L, place + 1);
      return true;
    }
    if (!take(r, place > 0 ? ']' : '}')) return false;
    r->depth--;
    if (r->depth < LIKENED) r->last[r->depth] = r->count[r->depth];
    if (r->depth == 0) return true;
  }
}

static bool push_all(reader *r) {
  bool inside;
  do {
    if (!push_value(r, &inside)) return false;
    if (!inside && r->depth > 0 && !put_value(r)) return false;
  } while (r->depth > 0);
  skip_blanks(r);
  return r->at == r->stop;
}

/* ---- the whole ---- */

static void push_object_metatable(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &object_key) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_createtable(L, 0, 1);
  lua_pushliteral(L, "object");
  lua_setfield(L, -2, "__jsontype");
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &object_key);
}

/* Pushes why the text is no JSON. */
static void push_reason(const reader *r, const char *text) {
  if (r->too_deep) {
    lua_pushliteral(r->L, "it is nested too deeply");
  } else if (r->at == r->stop) {
    lua_pushliteral(r->L, "it ends too early");
  } else if (isprint((unsigned char)*r->at)) {
    lua_pushfstring(r->L, "unexpected %c at byte %I", *r->at, (LUAI_UACINT)(r->at - text) + 1);
  } else {
    lua_pushfstring(r->L, "unexpected byte %d at byte %I", (unsigned char)*r->at, (LUAI_UACINT)(r->at - text) + 1);
  }
}

bool cnet_json_read(lua_State *L, const char *text, size_t size) {
  reader r = {.L = L, .at = text, .stop = text + size};
  luaL_checkstack(L, PLACES, NULL);
  push_object_metatable(L);
  r.object = lua_gettop(L);
  if (push_all(&r)) {
    lua_remove(L, r.object);
    return true;
  }
  lua_settop(L, r.object - 1);
  push_reason(&r, text);
  cnet_error_push(L, "SyntaxError", "ERR_IPC_INVALID_MESSAGE", "A message that came is no JSON: %s",
                  lua_tostring(L, -1));
  lua_remove(L, -2);
  return false;
}
