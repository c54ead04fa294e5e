#include "core/pins.h"

#include <stdlib.h>

void cnet_pin(lua_State *L, cnet_runtime *rt, const void *key, int index) {
  index = lua_absindex(L, index);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, key);
  lua_pop(L, 1);
}

void cnet_unpin(lua_State *L, cnet_runtime *rt, const void *key) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  if (lua_rawgetp(L, -1, key) != LUA_TNIL) {
    lua_pushnil(L);
    lua_rawsetp(L, -3, key);
  }
  lua_pop(L, 2);
}

int cnet_pin_push(lua_State *L, cnet_runtime *rt, const void *key) {
  int type;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  type = lua_rawgetp(L, -1, key);
  lua_remove(L, -2);
  return type;
}

int cnet_pin_place(lua_State *L, cnet_runtime *rt, int place, int index) {
  index = lua_absindex(L, index);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  lua_pushvalue(L, index);
  if (place == 0)
    place = rt->pins.free_count > 0 ? rt->pins.free_places[rt->pins.free_count - 1] : rt->pins.last_place + 1;
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
  /* given out only now: rawseti may have raised */
  if (rt->pins.free_count > 0 && place == rt->pins.free_places[rt->pins.free_count - 1]) {
    rt->pins.free_count--;
  } else if (place > rt->pins.last_place) {
    rt->pins.last_place = place;
  }
  return place;
}

void cnet_unpin_place(lua_State *L, cnet_runtime *rt, int place) {
  int *more;
  if (place == 0) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  lua_pushnil(L);
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
  if (rt->pins.free_count == rt->pins.free_size) {
    more = realloc(rt->pins.free_places, (size_t)(2 * rt->pins.free_size + 16) * sizeof *more);
    if (!more) return; /* the place is not used again */
    rt->pins.free_places = more;
    rt->pins.free_size = 2 * rt->pins.free_size + 16;
  }
  rt->pins.free_places[rt->pins.free_count++] = place;
}

int cnet_pin_push_place(lua_State *L, cnet_runtime *rt, int place) {
  int type;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  type = lua_rawgeti(L, -1, place);
  lua_remove(L, -2);
  return type;
}
