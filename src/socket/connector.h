/* How a socket connects: the forms of connect, name lookup, one attempt, or several by RFC 8305 as Node makes them.
 *
 * Wing socket, on net.Socket, to which it adds the method connect. */
#ifndef CNET_CONNECTOR_H
#define CNET_CONNECTOR_H

#include <lua.h>

/* Registers net.connect, net.createConnection, the defaults of autoSelectFamily, and net.Socket.connect. */
void cnet_connector_register(lua_State *L);

#endif
