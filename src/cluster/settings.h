/* How a cluster's primary starts its workers: cluster.settings and cluster.setupPrimary.
 *
 * Wing cluster, above cluster and child_process. */
#ifndef CNET_CLUSTER_SETTINGS_H
#define CNET_CLUSTER_SETTINGS_H

#include <lua.h>

/* setupPrimary with the table at index options (0: none): makes new settings of the defaults, those there are and the
 * options, and pushes them. */
void cnet_cluster_settings_set_up(lua_State *L, int options);
/* Starts the process of a worker as the settings say, with the variables at index env (a table or nil) added to the
 * environment, and pushes the ChildProcess. */
void cnet_cluster_settings_push_process(lua_State *L, int settings, int env, lua_Integer id);
/* Sets the fields of the cluster object at index self that belong to it. */
void cnet_cluster_settings_set(lua_State *L, int self);

#endif
