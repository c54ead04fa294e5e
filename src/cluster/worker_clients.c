#include "cluster/worker_clients.h"

#include "cluster/cluster.h"
#include "core/args.h"
#include "core/ticks.h"
#include "server/connections.h"

/* Fields of a share (see cluster_child.c) that only this room has: held, an array of {seq, net.Native} that no answer
 * was given for; asked, once the primary was told of a pause with a question; keeps, once it has answered that. */

/* Pushes the share of a server that listens under the message's key, nil if there is none any more. */
static bool push_share(lua_State *L, int message) {
  int shares = lua_gettop(L) + 1;
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  if (lua_getfield(L, message, "key") == LUA_TNIL || lua_rawget(L, shares) != LUA_TTABLE) {
    lua_settop(L, shares - 1);
    lua_pushnil(L);
    return false;
  }
  lua_replace(L, shares);
  lua_settop(L, shares);
  return true;
}

/* Pushes the share's server, and returns it if its primary listens for it. */
static cnet_server *push_server(lua_State *L, int share) {
  cnet_server *s;
  lua_getfield(L, share, "server");
  s = cnet_server_at(L, -1);
  return s->remote ? s : NULL;
}

static void push_worker(lua_State *L) {
  cnet_cluster_push(L);
  cnet_class_slot(L, -1, CNET_SLOT_CLUSTER_WORKER);
  lua_remove(L, -2);
}

static void answer(lua_State *L, int seq, bool accepted) {
  int top = lua_gettop(L);
  push_worker(L);
  lua_createtable(L, 0, 4);
  cnet_set_value(L, top + 2, "ack", seq);
  lua_pushboolean(L, accepted);
  lua_setfield(L, top + 2, "accepted");
  cnet_wire_send(L, top + 1, top + 2, 0, 0);
  lua_settop(L, top);
}

/* The primary hears first whether the client is taken: then another worker can have it. share is 0 if there is none. */
static void serve(lua_State *L, int share, int seq, cnet_native *client) {
  int top = lua_gettop(L);
  cnet_server *s = share ? push_server(L, share) : NULL;
  bool accepted = s && client && client->handle && (!cnet_server_is_full(s) || s->drop_max_connection);
  answer(L, seq, accepted);
  if (accepted) {
    cnet_server_adopt(L, top + 1, client);
  } else if (client) {
    cnet_native_close(client);
  }
  lua_settop(L, top);
}

void cnet_worker_clients_act(lua_State *L, int worker, int message, int native) {
  int share = lua_gettop(L) + 1, seq = share + 1;
  cnet_native *client = native ? lua_touserdata(L, native) : NULL;
  bool found = push_share(L, message);
  const cnet_server *s;
  (void)worker;
  lua_getfield(L, message, "seq");
  s = found ? push_server(L, share) : NULL;
  if (!s || !s->paused || !client || !client->handle || cnet_option_true(L, share, "keeps")) {
    bool refused = s && s->paused;
    serve(L, found && !refused ? share : 0, seq, client);
    lua_settop(L, share - 1);
    return;
  }
  if (lua_getfield(L, share, "held") == LUA_TNIL) {
    lua_createtable(L, 1, 0);
    cnet_set_value(L, share, "held", lua_gettop(L));
  } else {
    lua_pushvalue(L, -1);
  }
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, seq);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, native);
  lua_rawseti(L, -2, 2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_settop(L, share - 1);
}

/* Takes the client that was held first out of the array at index held, and pushes its seq and itself. */
static bool take_held(lua_State *L, int held) {
  lua_Integer i;
  int first = lua_gettop(L) + 1;
  if (!lua_istable(L, held) || lua_rawgeti(L, held, 1) == LUA_TNIL) {
    lua_settop(L, first - 1);
    return false;
  }
  for (i = 1; lua_rawgeti(L, held, i + 1) != LUA_TNIL; i++) lua_rawseti(L, held, i);
  lua_rawseti(L, held, i);
  lua_rawgeti(L, first, 1);
  lua_rawgeti(L, first, 2);
  lua_remove(L, first);
  return true;
}

void cnet_worker_clients_refuse(lua_State *L, int share) {
  int held = lua_gettop(L) + 1;
  lua_getfield(L, share, "held");
  while (take_held(L, held)) {
    serve(L, 0, held + 1, lua_touserdata(L, held + 2));
    lua_settop(L, held);
  }
  lua_settop(L, held - 1);
}

/* (answer), or nothing if the channel has ended; upvalue 2: the share. The primary keeps its clients in a pause:
 * another worker may have those that came before it knew. */
static int listener_paused(lua_State *L) {
  enum { ANSWER = 1, SHARE, SERVER };
  const cnet_server *s;
  lua_settop(L, ANSWER);
  if (lua_isnil(L, ANSWER)) return 0;
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushboolean(L, 1);
  lua_setfield(L, SHARE, "keeps");
  s = push_server(L, SHARE);
  if (s && s->paused) cnet_worker_clients_refuse(L, SHARE);
  return 0;
}

/* One for each client that was held: a listener that raises an error must not keep the next one waiting. */
static int tick_serve_held(lua_State *L) { /* upvalue 2: the share */
  enum { SHARE = 1, HELD, SERVER };
  const cnet_server *s;
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_getfield(L, SHARE, "held");
  s = push_server(L, SHARE);
  if (s && !s->paused && take_held(L, HELD)) serve(L, SHARE, SERVER + 1, lua_touserdata(L, SERVER + 2));
  return 0;
}

static void serve_held(lua_State *L, int share) {
  lua_Integer n;
  if (lua_getfield(L, share, "held") == LUA_TTABLE) {
    for (n = (lua_Integer)lua_rawlen(L, -1); n > 0; n--) {
      lua_pushvalue(L, share);
      cnet_emitter_push_listener(L, tick_serve_held, 1);
      cnet_tick(L, cnet_runtime_open(L), 0);
    }
  }
  lua_pop(L, 1);
}

void cnet_worker_clients_pause(lua_State *L, int share, bool paused) {
  int worker = lua_gettop(L) + 1, message = worker + 1, callback = 0;
  push_worker(L);
  cnet_wire_push(L, paused ? "pause" : "resume");
  lua_getfield(L, share, "key");
  lua_setfield(L, message, "key");
  if (paused && !cnet_option_true(L, share, "asked")) { /* Node's never answers: one question must do */
    lua_pushboolean(L, 1);
    lua_setfield(L, share, "asked");
    lua_pushvalue(L, share);
    cnet_emitter_push_listener(L, listener_paused, 1);
    callback = lua_gettop(L);
  }
  cnet_wire_send(L, worker, message, 0, callback);
  if (!paused) serve_held(L, share);
  lua_settop(L, worker - 1);
}
