#include "cluster/wire.h"

#include <string.h>

#include "cluster/cluster.h"
#include "core/args.h"
#include "process/ipc.h"

static const char worker_key = 0; /* among the slots of a process: its worker */

void cnet_wire_push(lua_State *L, const char *act) {
  lua_createtable(L, 0, 8);
  lua_pushstring(L, act);
  lua_setfield(L, -2, "act");
}

bool cnet_wire_send(lua_State *L, int worker, int message, int native, int callback) {
  int top = lua_gettop(L);
  cnet_cluster *cluster;
  lua_Integer seq;
  bool sent;
  luaL_checkstack(L, 8, NULL);
  cnet_worker_push_process(L, worker);
  cluster = cnet_cluster_push(L);
  if (lua_isnil(L, top + 1) || !cnet_ipc_is_connected(L, top + 1)) {
    lua_settop(L, top);
    return false;
  }
  seq = cluster->seq++;
  lua_pushliteral(L, "NODE_CLUSTER");
  lua_setfield(L, message, "cmd");
  cnet_set_integer(L, message, "seq", seq);
  if (callback) {
    cnet_class_slot_table(L, worker, CNET_SLOT_WORKER_WAITING); /* the callbacks */
    lua_pushvalue(L, callback);
    lua_rawseti(L, -2, seq);
  }
  sent = cnet_ipc_send(L, top + 1, message, native);
  if (!sent && callback) {
    lua_pushnil(L);
    lua_rawseti(L, top + 3, seq);
  }
  lua_settop(L, top);
  return sent;
}

/* Is the message an answer that is waited for? Pushes its callback then. */
static bool take_callback(lua_State *L, int worker, int message) {
  int top = lua_gettop(L), whole;
  lua_Integer seq;
  lua_getfield(L, message, "ack");
  seq = lua_tointegerx(L, -1, &whole);
  if (whole && cnet_class_slot(L, worker, CNET_SLOT_WORKER_WAITING) == LUA_TTABLE &&
      lua_rawgeti(L, -1, seq) == LUA_TFUNCTION) {
    lua_pushnil(L);
    lua_rawseti(L, -3, seq);
    lua_replace(L, top + 1);
    lua_settop(L, top + 1);
    return true;
  }
  lua_settop(L, top);
  return false;
}

static void run_act(lua_State *L, int worker, int message, int native) {
  const cnet_wire_row *row = cnet_worker_at(L, worker)->acts;
  const char *act = cnet_get_string(L, message, "act");
  for (; act && row->act; row++) {
    if (strcmp(act, row->act) != 0) continue;
    row->run(L, worker, message, native);
    return;
  }
  if (native) cnet_native_close(lua_touserdata(L, native)); /* nobody wants it */
}

static void on_internal(lua_State *L, int process, int message, int native) {
  int worker, top = lua_gettop(L);
  const char *cmd = cnet_get_string(L, message, "cmd");
  if (!cmd || strcmp(cmd, "NODE_CLUSTER") != 0) return;
  if (native && !cnet_native_test(L, ((cnet_object *)lua_touserdata(L, process))->rt, native))
    native = 0; /* a socket or a server, which no message of a cluster has */
  cnet_class_push_slots(L, process);
  lua_rawgetp(L, -1, &worker_key);
  worker = lua_gettop(L);
  if (take_callback(L, worker, message)) {
    lua_pushvalue(L, message);
    if (native) {
      lua_pushvalue(L, native);
    } else {
      lua_pushnil(L);
    }
    lua_call(L, 2, 0);
  } else {
    run_act(L, worker, message, native);
  }
  lua_settop(L, top);
}

void cnet_wire_open(lua_State *L, int worker, const cnet_wire_row *acts) {
  int process = lua_gettop(L) + 1;
  cnet_worker_at(L, worker)->acts = acts;
  cnet_worker_push_process(L, worker);
  cnet_class_push_slots(L, process);
  lua_pushvalue(L, worker);
  lua_rawsetp(L, -2, &worker_key);
  cnet_ipc_on_internal(L, process, on_internal);
  lua_settop(L, process - 1);
}

void cnet_wire_end(lua_State *L, int worker) {
  int waiting = lua_gettop(L) + 1;
  if (cnet_class_slot(L, worker, CNET_SLOT_WORKER_WAITING) == LUA_TTABLE) {
    lua_pushnil(L);
    cnet_class_set_slot(L, worker, CNET_SLOT_WORKER_WAITING);
    for (lua_pushnil(L); lua_next(L, waiting);) lua_call(L, 0, 0);
  }
  lua_settop(L, waiting - 1);
}
