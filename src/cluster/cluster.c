#include "cluster/cluster.h"

static const char cluster_key = 0; /* registry: the object */

static const char events[] = "disconnect exit fork listening message online setup";

static const cnet_class cluster_class = {
    .id = CNET_CLUSTER, .name = "cnet.cluster", .parent = &cnet_emitter_class, .events = events};

cnet_cluster *cnet_cluster_push(lua_State *L) {
  cnet_cluster *cluster;
  cnet_runtime *rt;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &cluster_key) != LUA_TNIL) return lua_touserdata(L, -1);
  lua_pop(L, 1);
  rt = cnet_runtime_open(L);
  cnet_class_define(L, &cluster_class);
  lua_pop(L, 1);
  cluster = cnet_class_new(L, rt, sizeof *cluster, CNET_USERVALUES);
  cnet_emitter_init(&cluster->emitter);
  cnet_class_dress(L, &cluster_class);
  lua_pushvalue(L, -1);
  lua_rawsetp(L, LUA_REGISTRYINDEX, &cluster_key);
  return cluster;
}

void cnet_cluster_push_table(lua_State *L, int slot) {
  cnet_cluster_push(L);
  cnet_class_slot_table(L, -1, slot);
  lua_remove(L, -2);
}

void cnet_cluster_take_arguments(lua_State *L) {
  cnet_cluster_push(L);
  if (lua_rawequal(L, 1, -1)) lua_remove(L, 1);
  lua_pop(L, 1);
}

void cnet_cluster_emit(lua_State *L, const char *event, int nargs) {
  int self = lua_gettop(L) - nargs + 1;
  cnet_cluster_push(L);
  lua_insert(L, self);
  cnet_emit(L, self, event, nargs);
  lua_remove(L, self);
}
