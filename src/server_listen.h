/* server:listen(...): from its arguments to 'listening' or 'error'.
 *
 * Layer 4, above server_connections. */
#ifndef CNET_SERVER_LISTEN_H
#define CNET_SERVER_LISTEN_H

#include "server_connections.h"

int cnet_server_method_listen(lua_State *L);
/* Listens on a handle that came from another process, and takes it; 'listening' follows in a tick. A libuv error. */
int cnet_server_listen_on(lua_State *L, cnet_server *s, int self, cnet_native *native);
/* Stops listening, if it does: the sockets stay. 'close' follows once they are gone. */
void cnet_server_close(lua_State *L, cnet_server *s, int self);

#endif
