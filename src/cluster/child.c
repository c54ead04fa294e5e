#include "cluster/child.h"

#include <stdlib.h>

#include "cluster/cluster.h"
#include "cluster/query.h"
#include "cluster/wire.h"
#include "cluster/worker_clients.h"
#include "core/args.h"
#include "process/ipc.h"
#include "process/process.h"
#include "server/listening.h"

/* A share is a table: server; message, the query, which 'listening' repeats; listener, of the server's 'listening';
 * place, where its index is counted; order, in which the primary was asked; key, by which the primary knows it, if it
 * does; sockname; over, once it has ended; and what worker_clients.c keeps there.
 * CNET_SLOT_CLUSTER_SHARES has those that listen, by key, and CNET_SLOT_CLUSTER_ASKED those that wait for an answer. */

/* ---- places: a worker that listens on the same again tells the primary so by an index ---- */

static void push_place(lua_State *L, int share) {
  lua_getfield(L, share, "place");
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_PLACES);
  lua_insert(L, -2);
}

/* Sets the share's place, and gives it an index that no other share there has: the primary may not bear that. */
static void take_index(lua_State *L, int share, int message) {
  int top = lua_gettop(L);
  lua_Integer next;
  cnet_query_push_place(L, message);
  lua_setfield(L, share, "place");
  push_place(L, share);
  if (lua_gettable(L, -2) == LUA_TNIL) {
    lua_pop(L, 1);
    lua_createtable(L, 0, 2);
    push_place(L, share);
    lua_pushvalue(L, top + 2);
    lua_settable(L, -3);
    lua_settop(L, top + 2);
  }
  cnet_set_integer(L, share, "order", ++cnet_cluster_push(L)->last_order);
  lua_settop(L, top + 2);
  next = cnet_get_integer(L, top + 2, "next");
  cnet_set_integer(L, top + 2, "next", next + 1);
  cnet_set_integer(L, top + 2, "count", cnet_get_integer(L, top + 2, "count") + 1);
  cnet_set_integer(L, message, "index", next);
  lua_settop(L, top);
}

static void free_index(lua_State *L, int share) {
  int top = lua_gettop(L);
  push_place(L, share);
  if (lua_gettable(L, -2) == LUA_TTABLE) {
    lua_Integer count = cnet_get_integer(L, -1, "count") - 1;
    cnet_set_integer(L, lua_gettop(L), "count", count);
    if (count == 0) {
      lua_settop(L, top);
      push_place(L, share);
      lua_pushnil(L);
      lua_settable(L, -3);
    }
  }
  lua_settop(L, top);
}

/* ---- messages to the primary ---- */

static void push_worker(lua_State *L) {
  cnet_cluster_push(L);
  cnet_class_slot(L, -1, CNET_SLOT_CLUSTER_WORKER);
  lua_remove(L, -2);
}

/* Sends the message on top, which it pops, with the callback at index callback (0: none). */
static bool tell(lua_State *L, int callback) {
  int message = lua_gettop(L);
  bool sent;
  push_worker(L);
  sent = cnet_wire_send(L, message + 1, message, 0, callback);
  lua_settop(L, message - 1);
  return sent;
}

/* ---- listening ---- */

static bool is_over(lua_State *L, int share) { return cnet_option_true(L, share, "over"); }

/* Is the share one that waits for an answer? */
static void set_asked(lua_State *L, int share, bool asked) {
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_ASKED);
  lua_pushvalue(L, share);
  if (asked) {
    lua_pushboolean(L, 1);
  } else {
    lua_pushnil(L);
  }
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* Its 'listening' will not come any more, or is another listening's. */
static void remove_listener(lua_State *L, int share) {
  int server = lua_gettop(L) + 1;
  lua_getfield(L, share, "server");
  lua_getfield(L, share, "listener");
  cnet_emitter_off(L, server, "listening");
  lua_settop(L, server - 1);
}

static void leave(lua_State *L, int share) {
  int top = lua_gettop(L);
  if (is_over(L, share)) return;
  lua_pushboolean(L, 1);
  lua_setfield(L, share, "over");
  remove_listener(L, share);
  free_index(L, share);
  cnet_worker_clients_refuse(L, share);
  if (lua_getfield(L, share, "key") != LUA_TNIL) {
    cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
    lua_pushvalue(L, top + 1);
    lua_pushnil(L);
    lua_rawset(L, -3);
    cnet_wire_push(L, "close");
    cnet_set_value(L, lua_gettop(L), "key", top + 1);
    tell(L, 0);
  }
  lua_settop(L, top);
}

/* The primary has a handle for the share, under this key, which is the one that tells them apart. */
static void take_key(lua_State *L, int share, int reply) {
  int top = lua_gettop(L);
  if (lua_getfield(L, reply, "key") == LUA_TNIL) {
    lua_settop(L, top);
    return;
  }
  cnet_set_value(L, share, "key", top + 1);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  lua_pushvalue(L, top + 1);
  lua_pushvalue(L, share);
  lua_rawset(L, -3);
  lua_getfield(L, reply, "sockname");
  lua_setfield(L, share, "sockname");
  lua_settop(L, top);
}

static int listener_reply(lua_State *L) { /* (reply, native), or nothing; upvalues: 2 share, 3 answer */
  enum { REPLY = 1, NATIVE, SHARE };
  int status;
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  set_asked(L, SHARE, false);
  if (lua_isnil(L, REPLY)) return 0;
  status = cnet_get_int(L, REPLY, "errno");
  if (status == 0) take_key(L, SHARE, REPLY);
  lua_pushvalue(L, lua_upvalueindex(3));
  lua_pushvalue(L, SHARE);
  lua_pushinteger(L, status);
  lua_pushvalue(L, NATIVE);
  lua_call(L, 3, 0);
  return 0;
}

static int listener_listening(lua_State *L) { /* upvalue 2: the share */
  enum { SHARE = 1, WORKER, MESSAGE };
  lua_Integer port;
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (is_over(L, SHARE)) return 0;
  push_worker(L);
  cnet_worker_set_state(L, WORKER, "listening");
  lua_getfield(L, SHARE, "message");
  lua_pushliteral(L, "listening");
  lua_setfield(L, MESSAGE, "act");
  lua_getfield(L, SHARE, "server");
  lua_getfield(L, -1, "address");
  lua_insert(L, -2);
  lua_call(L, 1, 1);
  port = lua_istable(L, -1) ? cnet_get_integer(L, -1, "port") : 0;
  if (port > 0) cnet_set_integer(L, MESSAGE, "port", port);
  lua_settop(L, MESSAGE);
  tell(L, 0);
  return 0;
}

static void ask(lua_State *L, int self, const cnet_listen_options *o, const char *ip) {
  int answer = lua_gettop(L), share = answer + 1, message = answer + 2;
  luaL_checkstack(L, 20, NULL);
  lua_createtable(L, 0, 8);
  cnet_wire_push(L, "queryServer");
  cnet_query_set(L, message, o, ip);
  take_index(L, share, message);
  cnet_set_value(L, share, "message", message);
  cnet_set_value(L, share, "server", self);
  lua_pushvalue(L, share);
  cnet_emitter_push_listener(L, listener_listening, 1);
  cnet_set_value(L, share, "listener", lua_gettop(L));
  cnet_emitter_once(L, self, "listening");
  set_asked(L, share, true);
  lua_pushvalue(L, share);
  lua_pushvalue(L, answer);
  cnet_emitter_push_listener(L, listener_reply, 2);
  lua_pushvalue(L, message);
  tell(L, message + 1); /* as in Node nothing happens if the channel has ended: the worker is about to exit */
  lua_settop(L, answer - 1);
}

static const cnet_primary_ops primary_ops = {ask, leave, cnet_worker_clients_pause};

/* ---- disconnecting ---- */

static void end_channel(lua_State *L) {
  cnet_process_push(L);
  if (cnet_ipc_is_connected(L, lua_gettop(L))) cnet_ipc_disconnect(L, lua_gettop(L));
  lua_pop(L, 1);
}

static int listener_announced(lua_State *L) { /* whatever the reply is */
  end_channel(L);
  return 0;
}

/* The primary is to know that the exit is meant, before the channel ends. */
static void announce_exit(lua_State *L) {
  int top = lua_gettop(L);
  cnet_emitter_push_listener(L, listener_announced, 0);
  cnet_wire_push(L, "exitedAfterDisconnect");
  tell(L, top + 1);
  lua_settop(L, top);
}

/* A disconnect on its way: how many servers have connections left. */
typedef struct {
  unsigned left;
  bool told; /* by the primary, which then needs no announcement */
} leaving;

static void one_is_closed(lua_State *L, leaving *l) {
  if (--l->left > 0) return;
  if (l->told) {
    end_channel(L);
  } else {
    announce_exit(L);
  }
}

static int listener_closed(lua_State *L) { /* upvalue 2: the leaving */
  lua_settop(L, 0);
  one_is_closed(L, lua_touserdata(L, lua_upvalueindex(2)));
  return 0;
}

/* Puts the share at index share into the array at index list, which is in the order of the shares. */
static void insert_share(lua_State *L, int list, int share) {
  int top = lua_gettop(L);
  lua_Integer order = cnet_get_integer(L, share, "order"), i = (lua_Integer)lua_rawlen(L, list);
  for (; i > 0; i--) {
    lua_rawgeti(L, list, i);
    if (cnet_get_integer(L, top + 1, "order") < order) break;
    lua_rawseti(L, list, i + 1);
  }
  lua_settop(L, top);
  lua_pushvalue(L, share);
  lua_rawseti(L, list, i + 1);
}

/* Pushes an array of the servers that listen through the primary, or have asked it to, in the order in which they did:
 * that of a table's keys is another each time. */
static void push_servers(lua_State *L) {
  int list = lua_gettop(L) + 1, key = list + 2;
  lua_Integer i, n = 0;
  lua_newtable(L);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  for (lua_pushnil(L); lua_next(L, list + 1); lua_settop(L, key)) insert_share(L, list, key + 1);
  lua_settop(L, list);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_ASKED);
  for (lua_pushnil(L); lua_next(L, list + 1); lua_settop(L, key)) insert_share(L, list, key);
  lua_settop(L, list);
  lua_newtable(L);
  for (i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
    const cnet_server *s;
    lua_getfield(L, list + 2, "server");
    s = cnet_server_at(L, list + 3);
    if (cnet_server_is_listening(s) || s->beginning) lua_rawseti(L, list + 1, ++n);
    lua_settop(L, list + 1);
  }
  lua_settop(L, list + 1);
  lua_remove(L, list);
}

/* Closes the servers, waits for their connections, and ends the channel. */
static void disconnect(lua_State *L, int worker, bool told) {
  cnet_worker *w = cnet_worker_at(L, worker);
  int servers = lua_gettop(L) + 1;
  lua_Integer i;
  leaving *l;
  cnet_worker_set_exits_after_disconnect(L, worker, true);
  if (w->leaving) return; /* in Node a second one does not wait for the connections */
  w->leaving = true;
  push_servers(L);
  l = lua_newuserdatauv(L, sizeof *l, 0);
  l->left = 1;
  l->told = told;
  for (i = 1; lua_rawgeti(L, servers, i) != LUA_TNIL; i++) {
    cnet_server *s = cnet_server_at(L, servers + 2);
    l->left++;
    lua_pushvalue(L, servers + 1);
    cnet_emitter_push_listener(L, listener_closed, 1);
    cnet_emitter_once(L, servers + 2, "close");
    cnet_server_close(L, s, servers + 2);
    lua_settop(L, servers + 1);
  }
  lua_settop(L, servers + 1);
  one_is_closed(L, l);
  lua_settop(L, servers - 1);
}

static void act_disconnect(lua_State *L, int worker, int message, int native) {
  (void)message;
  if (native) cnet_native_close(lua_touserdata(L, native));
  disconnect(L, worker, true);
}

/* ---- methods of cluster.worker ---- */

static int method_disconnect(lua_State *L) {
  cnet_class_self(L, CNET_WORKER);
  lua_settop(L, 1);
  if (!cnet_worker_has_state(L, 1, "disconnecting") && !cnet_worker_has_state(L, 1, "destroying")) {
    cnet_worker_set_state(L, 1, "disconnecting");
    disconnect(L, 1, false);
  }
  return 1;
}

static int listener_exit(lua_State *L) { return cnet_process_exit(L, 0); }

static int method_destroy(lua_State *L) {
  cnet_class_self(L, CNET_WORKER);
  lua_settop(L, 1);
  if (cnet_worker_has_state(L, 1, "destroying")) return 0;
  cnet_worker_set_exits_after_disconnect(L, 1, true);
  if (!cnet_worker_is_connected(L, 1)) return cnet_process_exit(L, 0);
  cnet_worker_set_state(L, 1, "destroying");
  announce_exit(L);
  cnet_worker_push_process(L, 1);
  cnet_emitter_push_listener(L, listener_exit, 0);
  cnet_emitter_once(L, 2, "disconnect");
  return 0;
}

/* ---- the worker begins ---- */

/* The primary is gone, or something else went wrong: a worker without its primary is of no use. */
static int listener_process_disconnect(lua_State *L) {
  enum { WORKER = 1 };
  lua_settop(L, 0);
  push_worker(L);
  cnet_emit(L, WORKER, "disconnect", 0);
  if (!cnet_worker_exits_after_disconnect(L, WORKER)) return cnet_process_exit(L, 0);
  cnet_wire_end(L, WORKER);
  return 0;
}

static void begin(lua_State *L, lua_Integer id) {
  static const cnet_wire_row acts[] = {
      {"newconn", cnet_worker_clients_act}, {"disconnect", act_disconnect}, {NULL, NULL}};
  static const luaL_Reg methods[] = {{"disconnect", method_disconnect}, {"destroy", method_destroy}, {NULL, NULL}};
  int process = lua_gettop(L), top = process;
  cnet_worker_define(L);
  cnet_runtime_set_functions(L, methods);
  cnet_cluster_push(L);
  cnet_worker_push(L, id, "online");
  cnet_worker_attach(L, top + 3, process);
  lua_pushvalue(L, -1);
  cnet_class_set_slot(L, top + 2, CNET_SLOT_CLUSTER_WORKER);
  cnet_emitter_push_listener(L, listener_process_disconnect, 0);
  cnet_emitter_once(L, process, "disconnect");
  cnet_wire_open(L, top + 3, acts);
  cnet_ipc_keep(L, process);
  cnet_server_set_primary(L, &primary_ops);
  cnet_wire_push(L, "online");
  cnet_wire_send(L, top + 3, top + 4, 0, 0);
  lua_settop(L, top);
}

void cnet_cluster_child_begin(lua_State *L) {
  const char *id = getenv("NODE_UNIQUE_ID");
  cnet_process_push(L);
  if (id && cnet_ipc_is_connected(L, lua_gettop(L))) {
    lua_Integer number = strtol(id, NULL, 10);
    unsetenv("NODE_UNIQUE_ID");
    begin(L, number);
  }
  lua_pop(L, 1);
}

static void set_role(lua_State *L, int self, const char *name, bool is) {
  lua_pushboolean(L, is);
  lua_setfield(L, self, name);
}

void cnet_cluster_child_set(lua_State *L, int self) {
  set_role(L, self, "isWorker", true);
  set_role(L, self, "isMaster", false);
  set_role(L, self, "isPrimary", false);
  cnet_class_slot(L, self, CNET_SLOT_CLUSTER_WORKER);
  lua_setfield(L, self, "worker");
  cnet_worker_define(L);
  lua_setfield(L, self, "Worker");
}
