#include "text/private_ranges.h"

#include <lauxlib.h>
#include <stddef.h>

#include "core/error.h"

static int frozen_next(lua_State *L) {                                      /* (list, last index) */
  lua_Integer i = (lua_Integer)((lua_Unsigned)luaL_checkinteger(L, 2) + 1); /* a script may give any: it wraps round */
  lua_settop(L, 1);
  lua_pushinteger(L, i);
  return lua_geti(L, 1, i) == LUA_TNIL ? 1 : 2;
}

static int frozen_pairs(lua_State *L) {
  lua_settop(L, 1);
  lua_pushcfunction(L, frozen_next);
  lua_insert(L, 1);
  lua_pushinteger(L, 0);
  return 3;
}

static int frozen_len(lua_State *L) {
  lua_pushinteger(L, (lua_Integer)lua_rawlen(L, lua_upvalueindex(1)));
  return 1;
}

static int frozen_newindex(lua_State *L) {
  cnet_error_push(L, "TypeError", "ERR_INVALID_STATE", "Cannot assign to read-only property 'PRIVATE_RANGES'");
  return cnet_error_throw(L);
}

void cnet_private_ranges_push(lua_State *L) {
  static const char *const ranges[] = {"10.0.0.0/8", "172.16.0.0/12",  "192.168.0.0/16", "127.0.0.0/8",
                                       "::1/128",    "169.254.0.0/16", "fe80::/10",      "fc00::/7"};
  static const luaL_Reg metamethods[] = {{"__pairs", frozen_pairs}, {"__newindex", frozen_newindex}, {NULL, NULL}};
  size_t i;
  lua_newtable(L);
  luaL_newlib(L, metamethods);
  lua_newtable(L);
  for (i = 0; i < sizeof ranges / sizeof *ranges; i++) {
    lua_pushstring(L, ranges[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  lua_pushvalue(L, -1);
  lua_pushcclosure(L, frozen_len, 1);
  lua_setfield(L, -3, "__len");
  lua_setfield(L, -2, "__index");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable");
  lua_setmetatable(L, -2);
}
