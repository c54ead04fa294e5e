/* The primary binds a handle that all workers get: the kernel decides who accepts a connection (SCHED_NONE).
 *
 * Wing cluster, above cluster_query. It is a table. */
#ifndef CNET_SHARED_HANDLE_H
#define CNET_SHARED_HANDLE_H

#include <lua.h>
#include <stdbool.h>

/* Pushes the table for what the query asks for; or nothing, returning an error. */
int cnet_shared_handle_open(lua_State *L, int query);
/* The worker has the handle from now on, whose net.Native is pushed. */
void cnet_shared_handle_add(lua_State *L, int self, int worker);
/* The worker has let go of it. Returns true if it was the last: then it is closed. */
bool cnet_shared_handle_remove(lua_State *L, int self, int worker);

#endif
