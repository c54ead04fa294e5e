#include "cluster/settings.h"

#include <stdlib.h>
#include <string.h>

#include "cluster/cluster.h"
#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "process/child_process.h"
#include "process/spawn_options.h"

extern char **environ;

static void copy_fields(lua_State *L, int from, int to) {
  if (!lua_istable(L, from)) return;
  for (lua_pushnil(L); lua_next(L, from);) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, to);
  }
}

/* Sets the script that runs now and its arguments; neither if there is none (lua -e, or another host). */
static void set_script(lua_State *L, int settings) {
  int args, top = lua_gettop(L);
  lua_Integer i;
  lua_newtable(L);
  args = top + 1;
  lua_pushvalue(L, args);
  lua_setfield(L, settings, "args");
  lua_pushglobaltable(L);
  lua_pushliteral(L, "arg");
  if (lua_rawget(L, args + 1) == LUA_TTABLE && lua_rawgeti(L, args + 2, -1) != LUA_TNIL) {
    lua_rawgeti(L, args + 2, 0);
    lua_setfield(L, settings, "exec");
    for (i = 1; lua_rawgeti(L, args + 2, i) != LUA_TNIL; i++) lua_rawseti(L, args, i);
  }
  lua_settop(L, top);
}

/* The first setup makes the policy what it is from then on. */
static void freeze_policy(lua_State *L, int self, cnet_cluster *cluster) {
  lua_Integer policy;
  if (cluster->policy != 0) return;
  lua_getfield(L, self, "schedulingPolicy");
  policy = lua_tointeger(L, -1);
  if (policy != CNET_SCHED_NONE && policy != CNET_SCHED_RR) {
    cnet_error_push_value(L, "Error", "ERR_INVALID_ARG_VALUE", "Bad cluster.schedulingPolicy: ", -1);
    cnet_error_throw(L);
  }
  cluster->policy = (int)policy;
  lua_pop(L, 1);
}

static int tick_setup(lua_State *L) { /* (settings) */
  lua_settop(L, 1);
  cnet_cluster_emit(L, "setup", 1);
  return 0;
}

void cnet_cluster_settings_set_up(lua_State *L, int options) {
  int self = lua_gettop(L) + 1, settings = self + 1;
  cnet_cluster *cluster = cnet_cluster_push(L);
  freeze_policy(L, self, cluster);
  lua_createtable(L, 0, 4);
  set_script(L, settings);
  lua_newtable(L);
  lua_setfield(L, settings, "execArgv");
  lua_pushboolean(L, 0);
  lua_setfield(L, settings, "silent");
  lua_getfield(L, self, "settings");
  copy_fields(L, lua_gettop(L), settings);
  if (options) copy_fields(L, options, settings);
  lua_settop(L, settings);
  cnet_set_value(L, self, "settings", settings);
  cnet_emitter_push_listener(L, tick_setup, 0);
  lua_pushvalue(L, settings);
  cnet_tick(L, cluster->emitter.object.rt, 1);
  lua_remove(L, self);
}

static int cluster_setup_primary(lua_State *L) {
  static const char names[] = "exec args";
  cnet_cluster_take_arguments(L);
  lua_settop(L, 1);
  if (!lua_isnil(L, 1) && !lua_istable(L, 1)) return cnet_error_arg_type(L, "argument", "settings", "a table", 1);
  cnet_strict_options(L, cnet_runtime_open(L), 1, "cluster.setupPrimary", names, cnet_spawn_option_names);
  cnet_cluster_settings_set_up(L, 1);
  return 0;
}

/* ---- a worker's process ---- */

/* Pushes the environment of a worker: ours, with the variables at index env, if that is a table. */
static void push_environment(lua_State *L, int env, lua_Integer id) {
  int table = lua_gettop(L) + 1;
  char **own;
  lua_newtable(L);
  for (own = environ; own && *own; own++) {
    const char *equals = strchr(*own, '=');
    if (!equals) continue;
    lua_pushlstring(L, *own, (size_t)(equals - *own));
    lua_pushstring(L, equals + 1);
    lua_rawset(L, table);
  }
  copy_fields(L, env, table);
  lua_pushfstring(L, "%I", (LUAI_UACINT)id);
  lua_setfield(L, table, "NODE_UNIQUE_ID");
}

void cnet_cluster_settings_push_process(lua_State *L, int settings, int env, lua_Integer id) {
  int exec = lua_gettop(L) + 1, args = exec + 1, options = exec + 2;
  lua_getfield(L, settings, "exec");
  if (lua_getfield(L, settings, "args") != LUA_TNIL && !lua_istable(L, args))
    cnet_error_arg_type(L, "property", "settings.args", "a table", args);
  lua_newtable(L);
  copy_fields(L, settings, options);
  push_environment(L, env, id);
  lua_setfield(L, options, "env");
  cnet_child_process_fork(L, exec, lua_isnil(L, args) ? 0 : args, options);
  lua_replace(L, exec);
  lua_settop(L, exec);
}

/* ---- the fields ---- */

static int policy_of_environment(void) {
  const char *name = getenv("NODE_CLUSTER_SCHED_POLICY");
  return name && strcmp(name, "none") == 0 ? CNET_SCHED_NONE : CNET_SCHED_RR;
}

void cnet_cluster_settings_set(lua_State *L, int self) {
  lua_newtable(L);
  lua_setfield(L, self, "settings");
  cnet_set_integer(L, self, "SCHED_NONE", CNET_SCHED_NONE);
  cnet_set_integer(L, self, "SCHED_RR", CNET_SCHED_RR);
  cnet_set_integer(L, self, "schedulingPolicy", policy_of_environment());
  cnet_emitter_push_listener(L, cluster_setup_primary, 0);
  cnet_set_value(L, self, "setupPrimary", lua_gettop(L));
  lua_setfield(L, self, "setupMaster");
}
