/* net.Server: listens, accepts, counts its connections, closes when the last is gone.
 *
 * Layer 4, on sockets and handles. */
#ifndef CNET_SERVER_H
#define CNET_SERVER_H

#include "socket.h"

extern const cnet_class cnet_server_class;

/* Registers net.Server and net.createServer in the table on top. */
void cnet_server_register(lua_State *L);

#endif
