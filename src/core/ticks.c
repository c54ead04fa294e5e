#include "core/ticks.h"

/* A queue in a table, two slots for each tick: the function, and its argument. Several arguments are packed into a
 * table of our own, so a single argument that is a table is packed too. */

static void tick_put(lua_State *L, cnet_runtime *rt) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks.table); /* fn, argument, queue */
  lua_insert(L, -3);
  lua_rawseti(L, -3, rt->ticks.tail + 1);
  lua_rawseti(L, -2, rt->ticks.tail);
  rt->ticks.tail += 2;
  lua_pop(L, 1);
  if (rt->luv.guard && !rt->turn.in_body) cnet_runtime_want_ticker(rt, true);
}

void cnet_tick(lua_State *L, cnet_runtime *rt, int nargs) {
  if (nargs == 0) {
    lua_pushboolean(L, 0); /* false alone stands for no argument */
  } else if (nargs > 1 || lua_istable(L, -1) || lua_isboolean(L, -1) || lua_isnil(L, -1)) {
    int i, first = lua_gettop(L) - nargs + 1;
    lua_createtable(L, nargs, 1);
    lua_insert(L, first);
    for (i = nargs; i > 0; i--) lua_rawseti(L, first, i);
    lua_pushinteger(L, nargs);
    lua_setfield(L, first, "n");
  }
  tick_put(L, rt);
}

void cnet_tick_object(lua_State *L, cnet_runtime *rt, lua_CFunction fn, int index) {
  index = lua_absindex(L, index);
  lua_pushcfunction(L, fn);
  lua_pushvalue(L, index);
  tick_put(L, rt);
}

void cnet_ticks_move(lua_State *L, cnet_runtime *rt, lua_Integer from, lua_Integer to) {
  lua_Integer n = rt->ticks.tail - from, i, k;
  int moved = lua_gettop(L) + 2;
  if (n <= 0 || to >= from) return;
  luaL_checkstack(L, 10, NULL);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks.table);
  for (i = 0; i < n; i += 2) {
    lua_rawgeti(L, moved - 1, from + i);
    lua_rawgeti(L, moved - 1, from + i + 1);
    for (k = from + i; k > to + i; k -= 2) {
      lua_rawgeti(L, moved - 1, k - 1);
      lua_rawseti(L, moved - 1, k + 1);
      lua_rawgeti(L, moved - 1, k - 2);
      lua_rawseti(L, moved - 1, k);
    }
    lua_rawseti(L, moved - 1, to + i + 1);
    lua_rawseti(L, moved - 1, to + i);
  }
  lua_settop(L, moved - 2);
}

static int unpack_arguments(lua_State *L) {
  int i, n, pack = lua_gettop(L);
  lua_getfield(L, pack, "n");
  n = (int)lua_tointeger(L, -1); /* what cnet_tick had on the stack */
  lua_pop(L, 1);
  luaL_checkstack(L, n + 1, "too many arguments");
  for (i = 1; i <= n; i++) lua_rawgeti(L, pack, i);
  lua_remove(L, pack);
  return n;
}

void cnet_ticks_run(lua_State *L, cnet_runtime *rt, int queue) {
  lua_Integer left = (rt->ticks.tail - rt->ticks.head) / 2;
  while (left-- > 0 && !rt->turn.stopped) {
    int nargs = 1;
    lua_rawgeti(L, queue, rt->ticks.head);
    lua_rawgeti(L, queue, rt->ticks.head + 1);
    lua_pushnil(L);
    lua_rawseti(L, queue, rt->ticks.head);
    lua_pushnil(L);
    lua_rawseti(L, queue, rt->ticks.head + 1);
    rt->ticks.head += 2;
    if (rt->ticks.head == rt->ticks.tail && !rt->flush) rt->ticks.head = rt->ticks.tail = 1; /* see cnet_ticks_move */
    if (lua_istable(L, -1)) {
      nargs = unpack_arguments(L);
    } else if (lua_isboolean(L, -1)) {
      lua_pop(L, 1);
      nargs = 0;
    }
    lua_call(L, nargs, 0);
  }
}
