/* A primary's side of a cluster: it forks workers, listens for them, and tells of them.
 *
 * Wing cluster, above child_process, round_robin and shared_handle. Node's internal/cluster/primary. */
#ifndef CNET_CLUSTER_PRIMARY_H
#define CNET_CLUSTER_PRIMARY_H

#include <lua.h>

/* Sets the fields of the cluster object at index self. */
void cnet_cluster_primary_set(lua_State *L, int self);

#endif
