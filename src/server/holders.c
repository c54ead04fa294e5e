#include "server/holders.h"

#include <stdatomic.h>
#include <stdio.h>

#include "core/args.h"
#include "core/ticks.h"

static cnet_server *self_server(lua_State *L) { return cnet_class_self(L, CNET_SERVER); }

void cnet_server_add_holder(lua_State *L, int self) {
  cnet_class_slot_table(L, self, CNET_SLOT_SERVER_HOLDERS);
  lua_insert(L, -2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

typedef struct {
  lua_Integer last; /* key that was given out */
} keys;

static const cnet_room room = {sizeof(keys), NULL};

void cnet_server_push_key(lua_State *L, int self) {
  keys *k = cnet_runtime_room(L, cnet_server_runtime(cnet_server_at(L, self)), &room);
  if (cnet_class_slot(L, self, CNET_SLOT_SERVER_KEY) != LUA_TNIL) return;
  lua_pop(L, 1);
  lua_pushfstring(L, "cnet:%d:%I", (int)uv_os_getpid(), (LUAI_UACINT)++k->last);
  lua_pushvalue(L, -1);
  cnet_class_set_slot(L, self, CNET_SLOT_SERVER_KEY);
}

static void remove_holder(lua_State *L, int holders, lua_Integer i) {
  for (; lua_rawgeti(L, holders, i + 1) != LUA_TNIL; i++) lua_rawseti(L, holders, i);
  lua_rawseti(L, holders, i);
}

/* Asks each holder, with the function at index callback, and forgets those that are gone; *left counts who has not
 * answered. */
static void ask_holders(lua_State *L, int self, const char *what, int callback, unsigned *left) {
  lua_Integer i = 1;
  int holders, top = lua_gettop(L);
  if (cnet_class_slot(L, self, CNET_SLOT_SERVER_HOLDERS) == LUA_TNIL) {
    lua_settop(L, top);
    return;
  }
  holders = lua_gettop(L);
  while (lua_rawgeti(L, holders, i) != LUA_TNIL) {
    lua_pushstring(L, what);
    lua_pushvalue(L, callback);
    ++*left; /* before the call: the answer may come inside it */
    lua_call(L, 2, 1);
    if (lua_toboolean(L, -1)) {
      i++;
    } else {
      --*left;
      remove_holder(L, holders, i);
    }
    lua_settop(L, holders);
  }
  lua_settop(L, top);
}

/* ---- counting ---- */

/* A getConnections on its way: a userdata with the callback as its user value, until that is called. */
typedef struct {
  unsigned left;
  lua_Integer total;
} counting;

/* Calls the callback in a tick, once, with the error at index err (0: none) or with the sum. */
static void finish_counting(lua_State *L, int index, int err) {
  counting *c = lua_touserdata(L, index);
  if (lua_getiuservalue(L, index, 1) != LUA_TFUNCTION) {
    lua_pop(L, 1);
    return;
  }
  lua_pushnil(L);
  lua_setiuservalue(L, index, 1);
  if (err) {
    lua_pushvalue(L, err);
    cnet_tick(L, cnet_runtime_of(L), 1);
  } else {
    lua_pushnil(L);
    lua_pushinteger(L, c->total);
    cnet_tick(L, cnet_runtime_of(L), 2);
  }
}

static int listener_count(lua_State *L) { /* (err, count); upvalue 2: the counting */
  counting *c = lua_touserdata(L, lua_upvalueindex(2));
  lua_Integer count = lua_tointeger(L, 2);
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  c->left--;
  if (count > 0) c->total += count < LUA_MAXINTEGER - c->total ? count : LUA_MAXINTEGER - c->total;
  if (!lua_isnil(L, 1)) {
    finish_counting(L, 3, 1);
  } else if (c->left == 0) {
    finish_counting(L, 3, 0);
  }
  return 0;
}

static int method_get_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  counting *c;
  cnet_check_function(L, 2, "callback");
  lua_settop(L, 2);
  c = lua_newuserdatauv(L, sizeof *c, 1);
  c->left = 1; /* this call: the answer must wait until all are asked */
  c->total = s->group.count;
  lua_pushvalue(L, 2);
  lua_setiuservalue(L, 3, 1);
  lua_pushvalue(L, 3);
  cnet_emitter_push_listener(L, listener_count, 1);
  ask_holders(L, 1, "count", 4, &c->left);
  if (--c->left == 0) finish_counting(L, 3, 0);
  lua_settop(L, 1);
  return 1;
}

static int get_connections(lua_State *L) {
  static atomic_flag warned = ATOMIC_FLAG_INIT;
  cnet_server *s = self_server(L);
  if (!atomic_flag_test_and_set(&warned))
    fprintf(stderr, "cnet: server.connections is deprecated. Use server:getConnections(callback) instead.\n");
  if (cnet_class_slot(L, 1, CNET_SLOT_SERVER_HOLDERS) != LUA_TNIL) return 0; /* getConnections alone can tell */
  lua_pushinteger(L, s->group.count);
  return 1;
}

CNET_CLASS_REFUSE(set_connections, "connections", "server:getConnections(callback) or server:closeAllConnections()")

/* ---- closing ---- */

static int listener_closed(lua_State *L) { /* upvalue 2: the server */
  cnet_server *s = cnet_server_at(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  s->closing_holders--;
  cnet_server_emit_close_if_drained(L, s, 1);
  return 0;
}

void cnet_server_await_holders(lua_State *L, cnet_server *s, int self) {
  lua_pushvalue(L, self);
  cnet_emitter_push_listener(L, listener_closed, 1);
  s->closing_holders++; /* an answer inside the call is not the last word */
  ask_holders(L, self, "close", lua_gettop(L), &s->closing_holders);
  s->closing_holders--;
  lua_pop(L, 1);
}

const cnet_member cnet_server_holders_members[] = {{"getConnections", method_get_connections, NULL, NULL},
                                                   {"connections", NULL, get_connections, set_connections},
                                                   {NULL, NULL, NULL, NULL}};
