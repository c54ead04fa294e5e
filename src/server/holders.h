/* A server's connections that were sent to other processes: they are asked when the server counts or closes.
 *
 * Wing server, above server_connections. What asks is a function that the sender of a socket hands over. */
#ifndef CNET_SERVER_HOLDERS_H
#define CNET_SERVER_HOLDERS_H

#include "server/connections.h"

/* A process holds sockets of the server from now on, which the function on top, which it pops, asks it about:
 * ask("count" or "close", callback) returns whether the process is still there; if so it calls callback(err, count)
 * once. */
void cnet_server_add_holder(lua_State *L, int self);
/* Pushes the key by which the processes that hold sockets of the server know it: no other server has it. */
void cnet_server_push_key(lua_State *L, int self);
/* Asks them to say when all their sockets of the server are closed: it is not drained before. */
void cnet_server_await_holders(lua_State *L, cnet_server *s, int self);

/* getConnections, connections */
extern const cnet_member cnet_server_holders_members[];

#endif
