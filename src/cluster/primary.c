#include "cluster/primary.h"

#include "cluster/cluster.h"
#include "cluster/query.h"
#include "cluster/round_robin.h"
#include "cluster/settings.h"
#include "cluster/shared_handle.h"
#include "cluster/wire.h"
#include "core/args.h"
#include "core/error.h"
#include "core/ticks.h"
#include "process/ipc.h"
#include "text/json_writer.h"

static cnet_runtime *runtime_of(lua_State *L, int self) { return ((cnet_object *)lua_touserdata(L, self))->rt; }

static bool is_round_robin(lua_State *L) {
  bool is = cnet_cluster_push(L)->policy == CNET_SCHED_RR;
  lua_pop(L, 1);
  return is;
}

/* ---- what workers listen by ---- */

static bool remove_from(lua_State *L, int shared, int worker) {
  return is_round_robin(L) ? cnet_round_robin_remove(L, shared, worker) : cnet_shared_handle_remove(L, shared, worker);
}

/* The worker lets go of what has the key at index key. */
static void release(lua_State *L, int worker, int key) {
  int top = lua_gettop(L);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  lua_pushvalue(L, key);
  if (lua_rawget(L, top + 1) != LUA_TNIL && remove_from(L, top + 2, worker)) {
    lua_pushvalue(L, key);
    lua_pushnil(L);
    lua_rawset(L, top + 1);
  }
  lua_settop(L, top);
}

static void release_all(lua_State *L, int worker) {
  int shares = lua_gettop(L) + 1, key = shares + 1;
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  for (lua_pushnil(L); lua_next(L, shares);) {
    if (remove_from(L, key + 1, worker)) {
      lua_pushvalue(L, key);
      lua_pushnil(L);
      lua_rawset(L, shares);
    }
    lua_settop(L, key);
  }
  lua_settop(L, shares - 1);
}

/* Pushes what has the key at index key, made as the query asks if it is not there; or nothing, returning an error. */
static int push_share(lua_State *L, int key, int query) {
  int shares = lua_gettop(L) + 1, status;
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  lua_pushvalue(L, key);
  if (lua_rawget(L, shares) == LUA_TNIL) {
    lua_pop(L, 1);
    status = is_round_robin(L) ? cnet_round_robin_open(L, key, query) : cnet_shared_handle_open(L, query);
    if (status < 0) {
      lua_settop(L, shares - 1);
      return status;
    }
    lua_pushvalue(L, key);
    lua_pushvalue(L, shares + 1);
    lua_rawset(L, shares);
  }
  lua_remove(L, shares);
  return 0;
}

/* ---- messages of workers ---- */

static void act_online(lua_State *L, int worker, int message, int native) {
  (void)message;
  (void)native;
  cnet_worker_set_state(L, worker, "online");
  cnet_emit(L, worker, "online", 0);
  lua_pushvalue(L, worker);
  cnet_cluster_emit(L, "online", 1);
}

/* Pushes the answer to the message, which JSON's null, not absence, says is without an error or data. */
static void push_answer(lua_State *L, int message, int key, int status) {
  int answer = lua_gettop(L) + 1;
  lua_createtable(L, 0, 8);
  if (status == 0 && is_round_robin(L)) {
    cnet_json_push_null(L);
    lua_setfield(L, answer, "errno");
  } else {
    cnet_set_integer(L, answer, "errno", status);
  }
  cnet_set_value(L, answer, "key", key);
  lua_getfield(L, message, "seq");
  lua_setfield(L, answer, "ack");
  if (lua_getfield(L, message, "data") == LUA_TNIL) {
    lua_pop(L, 1);
    cnet_json_push_null(L);
  }
  lua_setfield(L, answer, "data");
}

static void act_query_server(lua_State *L, int worker, int message, int native) {
  int key = lua_gettop(L) + 1, answer = key + 1, share = key + 2, status;
  (void)native;
  if (cnet_worker_exits_after_disconnect(L, worker)) return;
  cnet_query_push_place(L, message);
  lua_pushfstring(L, ":%I", (LUAI_UACINT)cnet_get_integer(L, message, "index"));
  lua_concat(L, 2);
  status = push_share(L, key, message);
  push_answer(L, message, key, status);
  if (status < 0) {
    cnet_wire_send(L, worker, answer, 0, 0);
    return;
  }
  lua_insert(L, answer);
  if (is_round_robin(L)) {
    cnet_round_robin_answer(L, share, answer);
    cnet_wire_send(L, worker, answer, 0, 0);
    cnet_round_robin_add(L, share, worker);
  } else {
    cnet_shared_handle_add(L, share, worker);
    cnet_wire_send(L, worker, answer, share + 1, 0);
  }
}

static void act_listening(lua_State *L, int worker, int message, int native) {
  static const char *const names[] = {"addressType", "address", "port", "fd", NULL};
  int i, info = lua_gettop(L) + 1;
  (void)native;
  lua_createtable(L, 0, 4);
  for (i = 0; names[i]; i++) {
    lua_getfield(L, message, names[i]);
    lua_setfield(L, info, names[i]);
  }
  cnet_worker_set_state(L, worker, "listening");
  lua_pushvalue(L, info);
  cnet_emit(L, worker, "listening", 1);
  lua_pushvalue(L, worker);
  lua_pushvalue(L, info);
  cnet_cluster_emit(L, "listening", 2);
}

static void pause_share(lua_State *L, int worker, int message, bool paused) {
  int shares = lua_gettop(L) + 1;
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_SHARES);
  if (lua_getfield(L, message, "key") != LUA_TNIL && is_round_robin(L) && lua_rawget(L, shares) != LUA_TNIL)
    cnet_round_robin_pause(L, shares + 1, worker, paused);
  lua_settop(L, shares - 1);
}

/* The answer tells the worker that it need keep no client: Node's primary knows of no pause, and does not answer. */
static void act_pause(lua_State *L, int worker, int message, int native) {
  int answer = lua_gettop(L) + 1;
  (void)native;
  pause_share(L, worker, message, true);
  lua_createtable(L, 0, 3);
  lua_getfield(L, message, "seq");
  lua_setfield(L, answer, "ack");
  cnet_wire_send(L, worker, answer, 0, 0);
}

static void act_resume(lua_State *L, int worker, int message, int native) {
  (void)native;
  pause_share(L, worker, message, false);
}

static void act_close(lua_State *L, int worker, int message, int native) {
  (void)native;
  if (lua_getfield(L, message, "key") != LUA_TNIL) release(L, worker, lua_gettop(L));
}

static void act_exited_after_disconnect(lua_State *L, int worker, int message, int native) {
  int answer = lua_gettop(L) + 1;
  (void)native;
  cnet_worker_set_exits_after_disconnect(L, worker, true);
  lua_createtable(L, 0, 3);
  lua_getfield(L, message, "seq");
  lua_setfield(L, answer, "ack");
  cnet_wire_send(L, worker, answer, 0, 0);
}

/* ---- workers leave ---- */

static int listener_call_back(lua_State *L) { /* what waited for there being no workers */
  lua_Integer i;
  lua_settop(L, 0);
  cnet_cluster_push(L);
  cnet_class_slot(L, 1, CNET_SLOT_CLUSTER_CALLBACKS);
  lua_pushnil(L);
  cnet_class_set_slot(L, 1, CNET_SLOT_CLUSTER_CALLBACKS);
  for (i = 1; lua_istable(L, 2) && lua_rawgeti(L, 2, i) != LUA_TNIL; i++) lua_call(L, 0, 0);
  return 0;
}

/* Takes the worker out of cluster.workers, which is the script's too. */
static void hide_worker(lua_State *L, int worker) {
  int top = lua_gettop(L);
  cnet_cluster_push(L);
  if (lua_getfield(L, -1, "workers") == LUA_TTABLE && lua_getfield(L, worker, "id") != LUA_TNIL) {
    lua_pushnil(L);
    lua_rawset(L, -3);
  }
  lua_settop(L, top);
}

/* The worker has exited and its channel has ended: it is none any more. */
static void remove_worker(lua_State *L, int worker) {
  int members = lua_gettop(L) + 1;
  lua_Integer i = 1;
  bool found = false;
  hide_worker(L, worker);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_MEMBERS);
  for (; !found && lua_rawgeti(L, members, i) != LUA_TNIL; i++) {
    found = lua_rawequal(L, -1, worker);
    lua_settop(L, members);
  }
  if (found) {
    for (i--; lua_rawgeti(L, members, i + 1) != LUA_TNIL; i++) lua_rawseti(L, members, i);
    lua_rawseti(L, members, i);
    if (lua_rawlen(L, members) == 0) {
      cnet_emitter_push_listener(L, listener_call_back, 0);
      lua_call(L, 0, 0);
    }
  }
  lua_settop(L, members - 1);
}

/* The field says at the latest now whether the end was meant. */
static void settle_state(lua_State *L, int worker, const char *state) {
  cnet_worker_set_exits_after_disconnect(L, worker, cnet_worker_exits_after_disconnect(L, worker));
  cnet_worker_set_state(L, worker, state);
}

static int listener_exit(lua_State *L) { /* (code, signal); upvalue 2: the worker */
  enum { WORKER = 3 };
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (!cnet_worker_is_connected(L, WORKER)) {
    release_all(L, WORKER);
    remove_worker(L, WORKER);
  }
  settle_state(L, WORKER, "dead");
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  cnet_emit(L, WORKER, "exit", 2);
  lua_insert(L, 1);
  cnet_cluster_emit(L, "exit", 3);
  return 0;
}

static int listener_disconnect(lua_State *L) { /* upvalue 2: the worker */
  enum { WORKER = 1 };
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  release_all(L, WORKER);
  cnet_wire_end(L, WORKER);
  if (cnet_worker_is_dead(L, WORKER)) remove_worker(L, WORKER);
  settle_state(L, WORKER, "disconnected");
  cnet_emit(L, WORKER, "disconnect", 0);
  cnet_cluster_emit(L, "disconnect", 1);
  return 0;
}

static int listener_error(lua_State *L) { /* upvalue 2: the worker */
  enum { WORKER = 1 };
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  if (cnet_worker_is_dead(L, WORKER) && !cnet_worker_is_connected(L, WORKER))
    remove_worker(L, WORKER); /* never lived */
  return 0;
}

static int listener_message(lua_State *L) { /* (message, handle); upvalue 2: the worker */
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  cnet_cluster_emit(L, "message", 3);
  return 0;
}

/* ---- methods of workers ---- */

static int method_disconnect(lua_State *L) {
  cnet_worker *w = cnet_class_self(L, CNET_WORKER);
  lua_settop(L, 1);
  cnet_worker_set_exits_after_disconnect(L, 1, true);
  cnet_wire_push(L, "disconnect");
  if (!w->leaving) cnet_wire_send(L, 1, 2, 0, 0); /* a second one makes a worker of Node's drop its connections */
  w->leaving = true;
  release_all(L, 1);
  hide_worker(L, 1);
  lua_settop(L, 1);
  return 1;
}

/* destroy([signal]) */
static int method_destroy(lua_State *L) {
  cnet_class_self(L, CNET_WORKER);
  lua_settop(L, 2);
  cnet_worker_push_process(L, 1);
  if (lua_isnil(L, 3)) return luaL_error(L, "this worker has no process");
  lua_getfield(L, 3, "kill");
  lua_insert(L, 3);
  if (cnet_truthy(L, 2)) {
    lua_pushvalue(L, 2);
  } else {
    lua_pushliteral(L, "SIGTERM");
  }
  lua_call(L, 2, 0);
  return 0;
}

/* ---- fork ---- */

static void hear(lua_State *L, int emitter, const char *event, lua_CFunction fn, int worker, bool once) {
  lua_pushvalue(L, worker);
  cnet_emitter_push_listener(L, fn, 1);
  (once ? cnet_emitter_once : cnet_emitter_on)(L, emitter, event);
}

static int tick_fork(lua_State *L) { /* (worker) */
  lua_settop(L, 1);
  cnet_cluster_emit(L, "fork", 1);
  return 0;
}

/* The worker is among the others from now on. */
static void add_worker(lua_State *L, int worker, lua_Integer id) {
  int top = lua_gettop(L);
  cnet_emitter_push_listener(L, tick_fork, 0);
  lua_pushvalue(L, worker);
  cnet_tick(L, runtime_of(L, worker), 1);
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_MEMBERS);
  lua_pushvalue(L, worker);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  cnet_cluster_push(L);
  if (lua_getfield(L, -1, "workers") == LUA_TTABLE) {
    lua_pushvalue(L, worker);
    lua_rawseti(L, -2, id);
  }
  lua_settop(L, top);
}

static const cnet_wire_row acts[] = {{"online", act_online},
                                     {"queryServer", act_query_server},
                                     {"listening", act_listening},
                                     {"close", act_close},
                                     {"pause", act_pause},
                                     {"resume", act_resume},
                                     {"exitedAfterDisconnect", act_exited_after_disconnect},
                                     {NULL, NULL}};

/* fork([env]) */
static int cluster_fork(lua_State *L) {
  enum { ENV = 1, CLUSTER, SETTINGS, PROCESS, WORKER };
  cnet_cluster *cluster;
  lua_Integer id;
  cnet_runtime_check(L, cnet_runtime_of(L));
  cnet_cluster_take_arguments(L);
  lua_settop(L, ENV);
  if (!lua_isnil(L, ENV) && !lua_istable(L, ENV)) return cnet_error_arg_type(L, "argument", "env", "a table", ENV);
  cluster = cnet_cluster_push(L);
  cnet_cluster_settings_set_up(L, 0);
  id = ++cluster->last_id;
  cnet_cluster_settings_push_process(L, SETTINGS, ENV, id);
  cnet_worker_push(L, id, "none");
  hear(L, PROCESS, "error", listener_error, WORKER, false); /* before the worker's own, which may raise */
  cnet_worker_attach(L, WORKER, PROCESS);
  hear(L, WORKER, "message", listener_message, WORKER, false);
  hear(L, PROCESS, "exit", listener_exit, WORKER, true);
  hear(L, PROCESS, "disconnect", listener_disconnect, WORKER, true);
  cnet_wire_open(L, WORKER, acts);
  add_worker(L, WORKER, id);
  return 1;
}

/* ---- disconnect ---- */

/* Tells each worker that was not told before. */
static bool disconnect_all(lua_State *L) {
  int members = lua_gettop(L) + 1, worker = members + 1;
  lua_Integer i, n;
  cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_MEMBERS);
  n = (lua_Integer)lua_rawlen(L, members);
  for (i = 1; i <= n && lua_rawgeti(L, members, i) != LUA_TNIL; i++) {
    if (!cnet_worker_at(L, worker)->leaving && cnet_worker_is_connected(L, worker)) {
      lua_getfield(L, worker, "disconnect");
      lua_pushvalue(L, worker);
      lua_call(L, 1, 0);
    }
    lua_settop(L, members);
  }
  lua_settop(L, members - 1);
  return n > 0;
}

/* disconnect([callback]): unlike in Node the callback waits for all workers, not for the first one. */
static int cluster_disconnect(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  cnet_cluster_take_arguments(L);
  lua_settop(L, 1);
  if (!disconnect_all(L)) {
    cnet_emitter_push_listener(L, listener_call_back, 0);
    cnet_tick(L, rt, 0);
  }
  if (lua_isfunction(L, 1)) {
    cnet_cluster_push_table(L, CNET_SLOT_CLUSTER_CALLBACKS);
    lua_pushvalue(L, 1);
    lua_rawseti(L, 2, (lua_Integer)lua_rawlen(L, 2) + 1);
  }
  return 0;
}

/* ---- the module ---- */

static void set_boolean(lua_State *L, int self, const char *name, bool is) {
  lua_pushboolean(L, is);
  lua_setfield(L, self, name);
}

void cnet_cluster_primary_set(lua_State *L, int self) {
  static const luaL_Reg methods[] = {{"disconnect", method_disconnect}, {"destroy", method_destroy}, {NULL, NULL}};
  cnet_worker_define(L);
  cnet_runtime_set_functions(L, methods);
  lua_setfield(L, self, "Worker");
  cnet_round_robin_define(L);
  set_boolean(L, self, "isWorker", false);
  set_boolean(L, self, "isMaster", true);
  set_boolean(L, self, "isPrimary", true);
  lua_newtable(L);
  lua_setfield(L, self, "workers");
  cnet_cluster_settings_set(L, self);
  cnet_emitter_push_listener(L, cluster_fork, 0);
  lua_setfield(L, self, "fork");
  cnet_emitter_push_listener(L, cluster_disconnect, 0);
  lua_setfield(L, self, "disconnect");
}
