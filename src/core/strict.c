#include "core/strict.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/signals.h"

enum { LONGEST = 40 }; /* of the names that are compared */

/* ---- which name is meant ---- */

typedef struct {
  const char *name; /* what the script wrote */
  size_t length;
  const char *best;
  size_t best_length;
  size_t distance;
} search;

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

static bool same(char a, char b) { return tolower((unsigned char)a) == tolower((unsigned char)b); }

/* How many letters are missing, too many, wrong or swapped, whatever their case. */
static size_t distance(const char *a, size_t n, const char *b, size_t m) {
  size_t rows[3][LONGEST + 1], *before = rows[0], *last = rows[1], *now = rows[2], *spare, i, j;
  for (j = 0; j <= m; j++) last[j] = j;
  for (i = 1; i <= n; i++) {
    now[0] = i;
    for (j = 1; j <= m; j++) {
      now[j] = least(least(last[j], now[j - 1]) + 1, last[j - 1] + !same(a[i - 1], b[j - 1]));
      if (i > 1 && j > 1 && same(a[i - 1], b[j - 2]) && same(a[i - 2], b[j - 1]))
        now[j] = least(now[j], before[j - 2] + 1);
    }
    spare = before;
    before = last;
    last = now;
    now = spare;
  }
  return last[m];
}

/* One is the beginning of the other: "connect" where it is 'connection'. */
static bool is_prefix(const char *a, size_t n, const char *b, size_t m) {
  size_t i, shorter = least(n, m);
  for (i = 0; i < shorter; i++)
    if (!same(a[i], b[i])) return false;
  return shorter >= 3;
}

static void consider(search *s, const char *candidate, size_t length) {
  size_t d;
  if (s->length == 0 || s->length > LONGEST || length > LONGEST) return;
  d = distance(s->name, s->length, candidate, length);
  if (d > 1 + least(s->length, length) / 4) {
    if (!is_prefix(s->name, s->length, candidate, length)) return;
    d += LONGEST; /* anything nearer goes before it */
  }
  if (s->best && s->distance <= d) return;
  s->best = candidate;
  s->best_length = length;
  s->distance = d;
}

/* Steps through the words of a text: the length of the one at *word, 0 at the end. */
static size_t next_word(const char **word) {
  *word += strspn(*word, " ");
  return strcspn(*word, " ");
}

static bool is_among(const search *s, const char *names) {
  size_t length;
  for (; (length = next_word(&names)) > 0; names += length)
    if (length == s->length && memcmp(names, s->name, length) == 0) return true;
  return false;
}

static void consider_all(search *s, const char *names) {
  size_t length;
  for (; (length = next_word(&names)) > 0; names += length) consider(s, names, length);
}

/* ---- the error ---- */

/* "net.Server has no event 'conection'", these words are on top: raises with them, and what helps. */
static void fail(lua_State *L, const search *s, const char *names, const char *more) {
  if (s->best) {
    lua_pushliteral(L, ": did you mean '");
    lua_pushlstring(L, s->best, s->best_length);
    lua_pushliteral(L, "'?");
    lua_concat(L, 3);
  } else {
    lua_pushliteral(L, ": it has ");
    luaL_gsub(L, names, " ", ", ");
    lua_pushstring(L, *names != '\0' && *more != '\0' ? ", " : "");
    luaL_gsub(L, more, " ", ", ");
    lua_concat(L, 4);
  }
  lua_pushliteral(L, "net.strict: ");
  lua_insert(L, -3);
  lua_concat(L, 3);
  cnet_error_push_text(L, "TypeError", "ERR_INVALID_ARG_VALUE");
  cnet_error_throw(L);
}

static void begin(lua_State *L, search *s, int name) {
  size_t length;
  memset(s, 0, sizeof *s);
  s->name = lua_tolstring(L, name, &length);
  s->length = strlen(s->name) == length ? length : 0;
}

/* ---- events ---- */

/* Those that every emitter has. */
static const char common_events[] = "error newListener removeListener";

static bool is_signal(const char *name) {
  int i;
  for (i = 0; i < cnet_signals_count; i++)
    if (strcmp(cnet_signals[i].name, name) == 0) return true;
  return false;
}

void cnet_strict_check_event(lua_State *L, int self, int name) {
  const cnet_class *class = ((const cnet_object *)lua_touserdata(L, self))->class;
  search s;
  int i;
  if (!class->events || lua_type(L, name) != LUA_TSTRING) return;
  begin(L, &s, name);
  if (is_among(&s, class->events) || is_among(&s, common_events)) return;
  if (class->id == CNET_PROCESS && is_signal(s.name)) return;
  consider_all(&s, class->events);
  consider_all(&s, common_events);
  for (i = 0; class->id == CNET_PROCESS && i < cnet_signals_count; i++)
    consider(&s, cnet_signals[i].name, strlen(cnet_signals[i].name));
  lua_pushfstring(L, "%s has no event '%s'", class->name, s.name);
  fail(L, &s, class->events, common_events);
}

/* ---- options ---- */

void cnet_strict_check_options(lua_State *L, int options, const char *what, const char *names, const char *more) {
  search s;
  if (!lua_istable(L, options)) return;
  luaL_checkstack(L, 10, NULL);
  for (lua_pushnil(L); lua_next(L, options); lua_pop(L, 1)) {
    if (lua_type(L, -2) != LUA_TSTRING) continue;
    begin(L, &s, -2);
    if (is_among(&s, names) || is_among(&s, more)) continue;
    consider_all(&s, names);
    consider_all(&s, more);
    lua_pushfstring(L, "%s has no option '%s'", what, s.name);
    fail(L, &s, names, more);
  }
}

/* ---- the switch ---- */

typedef struct {
  bool on;
} state;

static const cnet_room room = {sizeof(state), NULL};

bool cnet_strict_is_on(const cnet_runtime *rt) {
  const state *s = cnet_rooms_find(&rt->rooms, &room);
  return s && s->on;
}

/* net.strict([on]): was it on? */
static int net_strict(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  state *s = cnet_runtime_room(L, rt, &room);
  bool was = s->on;
  lua_settop(L, 1);
  if (!lua_isnil(L, 1)) {
    if (!lua_isboolean(L, 1)) return cnet_error_arg_type(L, "argument", "on", "of type boolean", 1);
    s->on = lua_toboolean(L, 1);
  }
  lua_pushboolean(L, was);
  return 1;
}

void cnet_strict_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"strict", net_strict}, {NULL, NULL}};
  const char *wish = getenv("CNET_STRICT");
  state *s = cnet_runtime_room(L, cnet_runtime_open(L), &room);
  if (wish && *wish != '\0' && strcmp(wish, "0") != 0) s->on = true;
  cnet_runtime_set_functions(L, functions);
}
