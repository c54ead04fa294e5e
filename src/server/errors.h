/* 'handlerError': the errors that listeners of a server's sockets let out, and its sockets' errors that nobody hears.
 *
 * Wing server, above server_connections. Who is to blame for an error is found out in blame.c, for whom this room
 * answers.
 */
#ifndef CNET_SERVER_ERRORS_H
#define CNET_SERVER_ERRORS_H

#include "server/connections.h"

/* Listeners of the server at index self came or went: does it want to hear of errors? */
void cnet_server_errors_on_listeners(lua_State *L, int self, int name, cnet_listener_change change);
/* The server is gone. */
void cnet_server_errors_finalize(cnet_server *s);

/* Makes the room known to blame.c. */
void cnet_server_errors_register(lua_State *L);

#endif
