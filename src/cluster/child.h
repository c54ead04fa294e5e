/* A worker's side of a cluster: its servers listen through the primary.
 *
 * Wing cluster, above cluster_query and cluster_wire. Node's internal/cluster/child. */
#ifndef CNET_CLUSTER_CHILD_H
#define CNET_CLUSTER_CHILD_H

#include <lua.h>

/* Makes the process a worker if a primary has forked it: NODE_UNIQUE_ID is in the environment, which it is taken out
 * of, and net.process has its channel. To be called once net.process is there, and more often without harm. */
void cnet_cluster_child_begin(lua_State *L);
/* Sets the fields of the cluster object at index self. */
void cnet_cluster_child_set(lua_State *L, int self);

#endif
