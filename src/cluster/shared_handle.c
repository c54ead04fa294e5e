#include "cluster/shared_handle.h"

#include "cluster/query.h"
#include "handle/native.h"

enum { NATIVE = 1, WORKERS /* worker -> true */ };

int cnet_shared_handle_open(lua_State *L, int query) {
  cnet_runtime *rt = cnet_runtime_open(L);
  int self = lua_gettop(L) + 1, status;
  cnet_native *native;
  lua_createtable(L, 2, 0);
  lua_newtable(L);
  lua_rawseti(L, self, WORKERS);
  native = cnet_native_push(L, rt);
  lua_pushvalue(L, -1);
  lua_rawseti(L, self, NATIVE);
  native->handle = cnet_query_open(L, rt, query, &status);
  lua_settop(L, native->handle ? self : self - 1);
  return native->handle ? 0 : status;
}

void cnet_shared_handle_add(lua_State *L, int self, int worker) {
  lua_rawgeti(L, self, WORKERS);
  lua_pushvalue(L, worker);
  lua_pushboolean(L, 1);
  lua_rawset(L, -3);
  lua_pop(L, 1);
  lua_rawgeti(L, self, NATIVE);
}

bool cnet_shared_handle_remove(lua_State *L, int self, int worker) {
  int top = lua_gettop(L);
  bool had, last;
  lua_rawgeti(L, self, WORKERS);
  lua_pushvalue(L, worker);
  had = lua_rawget(L, top + 1) != LUA_TNIL;
  lua_pushvalue(L, worker);
  lua_pushnil(L);
  lua_rawset(L, top + 1);
  lua_pushnil(L);
  last = had && !lua_next(L, top + 1);
  if (last) {
    lua_rawgeti(L, self, NATIVE);
    cnet_native_close(lua_touserdata(L, -1));
  }
  lua_settop(L, top);
  return last;
}
