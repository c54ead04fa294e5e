/* What a worker of a cluster does with the clients that its primary hands to it.
 *
 * Wing cluster, above cluster_wire. A server that is paused takes none. A primary of cnet's is told, and keeps its
 * clients. One of Node's knows of no pause, but gives a worker nothing before it has answered for the client before: so
 * the worker does not answer for a client that comes in a pause until the pause is over. */
#ifndef CNET_WORKER_CLIENTS_H
#define CNET_WORKER_CLIENTS_H

#include "cluster/wire.h"

/* The primary has a client for the server whose share has the message's key. */
void cnet_worker_clients_act(lua_State *L, int worker, int message, int native);
/* The server of the share at index share is paused, or goes on. */
void cnet_worker_clients_pause(lua_State *L, int share, bool paused);
/* The share ends: another worker is to have the clients that wait for the end of the pause. */
void cnet_worker_clients_refuse(lua_State *L, int share);

#endif
