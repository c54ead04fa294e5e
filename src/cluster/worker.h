/* cluster.Worker: a worker of the cluster, as its primary sees it and as it sees itself.
 *
 * Wing cluster, above cluster and ipc. How it disconnects and is killed differs between the two: cluster/primary.c and
 * cluster/child.c add those methods to the class. Its fields (id, process, state, exitedAfterDisconnect) are the
 * script's too: what must be right stands in slots. */
#ifndef CNET_WORKER_H
#define CNET_WORKER_H

#include "event/emitter.h"

enum {
  CNET_SLOT_WORKER_PROCESS = 1,
  CNET_SLOT_WORKER_WAITING /* seq of a message -> what is called with the answer; see cluster/wire.c */
};

typedef struct {
  cnet_emitter emitter;
  const struct cnet_wire_row *acts; /* see cluster/wire.c */
  bool leaving;                     /* it was told to disconnect, or does so */
} cnet_worker;

/* Makes the class known, and pushes its table. */
void cnet_worker_define(lua_State *L);
/* Pushes a worker without a process. */
cnet_worker *cnet_worker_push(lua_State *L, lua_Integer id, const char *state);
/* The worker's process is the one at index process, whose 'error' and 'message' are its own from then on. */
void cnet_worker_attach(lua_State *L, int worker, int process);
static inline cnet_worker *cnet_worker_at(lua_State *L, int index) { return (cnet_worker *)lua_touserdata(L, index); }

void cnet_worker_push_process(lua_State *L, int worker);
bool cnet_worker_is_connected(lua_State *L, int worker);
bool cnet_worker_is_dead(lua_State *L, int worker);
/* Its field exitedAfterDisconnect: read as a boolean, and set. */
bool cnet_worker_exits_after_disconnect(lua_State *L, int worker);
void cnet_worker_set_exits_after_disconnect(lua_State *L, int worker, bool on);
void cnet_worker_set_state(lua_State *L, int worker, const char *state);
bool cnet_worker_has_state(lua_State *L, int worker, const char *state);

#endif
