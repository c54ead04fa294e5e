/* luaopen_cnet: makes the net table out of what each module registers; and the modules beside it. */
#include <lauxlib.h>

#include "cluster/child.h"
#include "cluster/cluster.h"
#include "cluster/primary.h"
#include "core/error.h"
#include "core/loop.h"
#include "core/runtime.h"
#include "core/strict.h"
#include "core/version.h"
#include "event/abort.h"
#include "event/emitter.h"
#include "event/immediate.h"
#include "event/timer.h"
#include "handle/bound_socket.h"
#include "handle/native.h"
#include "process/channel.h"
#include "process/child_process.h"
#include "process/process.h"
#include "process/shared_loop.h"
#include "process/socket_list.h"
#include "server/listening.h"
#include "server/server.h"
#include "socket/class.h"
#include "socket/connector.h"
#include "socket/pipe.h"
#include "text/address.h"
#include "text/block_list.h"

#define CNET_EXPORT __attribute__((visibility("default")))

CNET_EXPORT int luaopen_cnet(lua_State *L);
CNET_EXPORT int luaopen_cnet_child_process(lua_State *L);
CNET_EXPORT int luaopen_cnet_cluster(lua_State *L);

int luaopen_cnet(lua_State *L) {
  luaL_checkversion(L);
  cnet_version_check(L);
  cnet_runtime_open(L);
  lua_newtable(L);
  cnet_version_register(L);
  cnet_error_register(L);
  cnet_loop_register(L);
  cnet_address_register(L);
  cnet_emitter_register(L);
  cnet_timer_register(L);
  cnet_block_list_register(L);
  cnet_immediate_register(L);
  cnet_abort_register(L);
  cnet_native_register(L);
  cnet_bound_socket_register(L);
  cnet_socket_register(L);
  cnet_connector_register(L);
  cnet_pipe_register(L);
  cnet_server_register(L);
  cnet_channel_register(L);
  cnet_socket_list_register(L);
  cnet_process_register(L);
  cnet_shared_loop_register(L);
  cnet_strict_register(L);
  cnet_cluster_child_begin(L); /* a worker may never ask for cnet.cluster */
  return 1;
}

/* A module beside cnet, which it loads: require "cnet" then gives the same table. */
static void open_beside(lua_State *L) {
  luaL_requiref(L, "cnet", luaopen_cnet, 0);
  lua_pop(L, 1);
}

int luaopen_cnet_child_process(lua_State *L) {
  open_beside(L);
  lua_newtable(L);
  cnet_child_process_register(L);
  return 1;
}

int luaopen_cnet_cluster(lua_State *L) {
  cnet_runtime *rt;
  open_beside(L);
  luaL_requiref(L, "cnet.child_process", luaopen_cnet_child_process, 0);
  lua_settop(L, 0);
  rt = cnet_runtime_open(L);
  cnet_cluster_push(L);
  if (lua_getfield(L, 1, "isPrimary") == LUA_TNIL) {
    (cnet_server_primary(rt) ? cnet_cluster_child_set : cnet_cluster_primary_set)(L, 1);
  }
  lua_settop(L, 1);
  return 1;
}
