/* net.Server: listens, accepts, counts its connections, closes when the last is gone.
 *
 * Wing server, on sockets and handles. */
#ifndef CNET_SERVER_H
#define CNET_SERVER_H

#include "server/connections.h"

extern const cnet_class cnet_server_class;

/* Pushes a new server that listens on the handle that came from another process, which it takes; nil if that cannot
 * be listened on. */
void cnet_server_push_over(lua_State *L, cnet_native *native);

/* Registers net.Server and net.createServer in the table on top. */
void cnet_server_register(lua_State *L);

#endif
