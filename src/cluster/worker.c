#include "cluster/worker.h"

#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "process/child_process.h"
#include "process/ipc.h"

static const cnet_class worker_class;

void cnet_worker_push_process(lua_State *L, int worker) { cnet_class_slot(L, worker, CNET_SLOT_WORKER_PROCESS); }

/* Leaves the stack as it is. */
bool cnet_worker_is_connected(lua_State *L, int worker) {
  bool is;
  cnet_worker_push_process(L, worker);
  is = !lua_isnil(L, -1) && cnet_ipc_is_connected(L, lua_gettop(L));
  lua_pop(L, 1);
  return is;
}

bool cnet_worker_is_dead(lua_State *L, int worker) {
  cnet_runtime *rt = ((cnet_object *)lua_touserdata(L, worker))->rt;
  bool is;
  cnet_worker_push_process(L, worker);
  is = cnet_class_test(L, rt, -1, CNET_CHILD_PROCESS) && cnet_child_process_is_dead(L, lua_gettop(L));
  lua_pop(L, 1);
  return is;
}

bool cnet_worker_exits_after_disconnect(lua_State *L, int worker) {
  return cnet_option_true(L, worker, "exitedAfterDisconnect");
}

void cnet_worker_set_exits_after_disconnect(lua_State *L, int worker, bool on) {
  lua_pushboolean(L, on);
  lua_setfield(L, worker, "exitedAfterDisconnect");
}

void cnet_worker_set_state(lua_State *L, int worker, const char *state) {
  lua_pushstring(L, state);
  lua_setfield(L, worker, "state");
}

bool cnet_worker_has_state(lua_State *L, int worker, const char *state) {
  const char *now = cnet_get_string(L, worker, "state");
  return now && strcmp(now, state) == 0;
}

/* ---- methods ---- */

static cnet_worker *self_worker(lua_State *L) { return cnet_class_self(L, CNET_WORKER); }

static int method_send(lua_State *L) {
  int nargs = lua_gettop(L) - 1;
  self_worker(L);
  cnet_worker_push_process(L, 1);
  if (lua_isnil(L, -1)) return luaL_error(L, "this worker has no process");
  lua_replace(L, 1);
  lua_getfield(L, 1, "send");
  lua_insert(L, 1);
  lua_call(L, nargs + 1, LUA_MULTRET);
  return lua_gettop(L);
}

/* Calls what the script sees as destroy: it may have its own. */
static int method_kill(lua_State *L) {
  int nargs = lua_gettop(L);
  self_worker(L);
  lua_getfield(L, 1, "destroy");
  lua_insert(L, 1);
  lua_call(L, nargs, 0);
  return 0;
}

static int method_is_connected(lua_State *L) {
  self_worker(L);
  lua_pushboolean(L, cnet_worker_is_connected(L, 1));
  return 1;
}

static int method_is_dead(lua_State *L) {
  self_worker(L);
  lua_pushboolean(L, cnet_worker_is_dead(L, 1));
  return 1;
}

/* ---- what its process emits ---- */

static int emit_again(lua_State *L, const char *event) { /* upvalue 2: the worker */
  int nargs = lua_gettop(L);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_insert(L, 1);
  cnet_emit(L, 1, event, nargs);
  return 0;
}

static int listener_error(lua_State *L) { return emit_again(L, "error"); }

static int listener_message(lua_State *L) { return emit_again(L, "message"); }

void cnet_worker_attach(lua_State *L, int worker, int process) {
  cnet_set_value(L, worker, "process", process);
  lua_pushvalue(L, process);
  cnet_class_set_slot(L, worker, CNET_SLOT_WORKER_PROCESS);
  lua_pushvalue(L, worker);
  cnet_emitter_push_listener(L, listener_error, 1);
  cnet_emitter_on(L, process, "error");
  lua_pushvalue(L, worker);
  cnet_emitter_push_listener(L, listener_message, 1);
  cnet_emitter_on(L, process, "message");
}

/* ---- the class ---- */

cnet_worker *cnet_worker_push(lua_State *L, lua_Integer id, const char *state) {
  cnet_runtime *rt = cnet_runtime_open(L);
  cnet_worker *worker = cnet_class_new(L, rt, sizeof *worker, CNET_USERVALUES);
  int self = lua_gettop(L);
  cnet_emitter_init(&worker->emitter);
  cnet_class_dress(L, &worker_class);
  cnet_set_integer(L, self, "id", id);
  cnet_worker_set_state(L, self, state);
  return worker;
}

/* cluster.Worker([options]): id, state, process */
static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  enum { OPTIONS = 1, STATE, ID, PROCESS, WORKER };
  bool given = lua_istable(L, OPTIONS);
  lua_settop(L, OPTIONS);
  if (!given) {
    cnet_worker_push(L, 0, "none");
    return 1;
  }
  lua_getfield(L, OPTIONS, "state");
  lua_getfield(L, OPTIONS, "id");
  if (lua_getfield(L, OPTIONS, "process") != LUA_TNIL && !cnet_class_test(L, rt, PROCESS, CNET_PROCESS) &&
      !cnet_class_test(L, rt, PROCESS, CNET_CHILD_PROCESS))
    return cnet_error_arg_type(L, "property", "options.process", "an instance of ChildProcess", PROCESS);
  cnet_worker_push(L, cnet_trunc32(cnet_to_number(L, ID)),
                   cnet_truthy(L, STATE) && lua_isstring(L, STATE) ? lua_tostring(L, STATE) : "none");
  if (!lua_isnil(L, PROCESS)) cnet_worker_attach(L, WORKER, PROCESS);
  return 1;
}

static const cnet_member members[] = {{"send", method_send, NULL, NULL},
                                      {"kill", method_kill, NULL, NULL},
                                      {"isConnected", method_is_connected, NULL, NULL},
                                      {"isDead", method_is_dead, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const char events[] = "disconnect exit listening message online";

static const cnet_class worker_class = {.id = CNET_WORKER,
                                        .events = events,
                                        .name = "cluster.Worker",
                                        .parent = &cnet_emitter_class,
                                        .members = members,
                                        .construct = construct};

void cnet_worker_define(lua_State *L) { cnet_class_define(L, &worker_class); }
