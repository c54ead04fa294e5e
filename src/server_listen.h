/* server:listen(...): from its arguments to 'listening' or 'error'.
 *
 * Layer 4, above server_connections. */
#ifndef CNET_SERVER_LISTEN_H
#define CNET_SERVER_LISTEN_H

#include "server_connections.h"

int cnet_server_method_listen(lua_State *L);
/* Stops listening, if it does: the sockets stay. 'close' follows once they are gone. */
void cnet_server_close(lua_State *L, cnet_server *s, int self);

#endif
