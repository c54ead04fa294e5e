/* cnet.cluster: the object that the module is, an emitter, with what its rooms keep of the cluster.
 *
 * Wing cluster, the lowest of the cluster's rooms: cluster/primary.c or cluster/child.c fills it. Its functions can be
 * called with a dot, as Node's, or with a colon. */
#ifndef CNET_CLUSTER_H
#define CNET_CLUSTER_H

#include "event/emitter.h"

enum {
  CNET_SLOT_CLUSTER_SHARES = 1, /* key -> what workers listen by */
  CNET_SLOT_CLUSTER_MEMBERS,    /* primary: id -> worker, from fork until it has exited and its channel has ended */
  CNET_SLOT_CLUSTER_CALLBACKS,  /* primary: to be called once there are no members left */
  CNET_SLOT_CLUSTER_ASKED,      /* worker: shares that wait for the primary's answer -> true */
  CNET_SLOT_CLUSTER_WORKER,     /* worker: itself */
  CNET_SLOT_CLUSTER_PLACES      /* worker: what it listens on -> the indices that are in use there */
};

enum { CNET_SCHED_NONE = 1, CNET_SCHED_RR = 2 };

typedef struct {
  cnet_emitter emitter;
  lua_Integer seq; /* of the next message to whomever */
  lua_Integer last_id;
  lua_Integer last_order; /* worker: of the shares, by when the primary was asked for them */
  int policy;             /* how connections get to workers; 0 until the first setup has frozen it */
} cnet_cluster;

/* Pushes the object, made if need be. */
cnet_cluster *cnet_cluster_push(lua_State *L);
/* Pushes the table in a slot of the object, made if need be. */
void cnet_cluster_push_table(lua_State *L, int slot);
/* A function of the module is called: leaves its arguments alone, without the object if that came first. */
void cnet_cluster_take_arguments(lua_State *L);
/* Emits with the nargs arguments on top, which it pops. */
void cnet_cluster_emit(lua_State *L, const char *event, int nargs);

#endif
