/* What goes along with a message: servers, sockets and raw handles become handles, and servers and sockets again.
 *
 * Wing process, above socket_list. */
#ifndef CNET_HANDOFF_H
#define CNET_HANDOFF_H

#include "process/channel.h"

/* Raises ERR_INVALID_HANDLE_TYPE unless the value at index handle is a server, a socket, a net.BoundSocket with an
 * address or a net.Native; ERR_WORKER_HANDLE_NOT_TRANSFERABLE if that net.BoundSocket is used up. */
void cnet_handoff_check(lua_State *L, cnet_runtime *rt, int handle);
/* See cnet_channel_ops.pack. */
int cnet_handoff_pack(lua_State *L, int channel, int handle, bool keep_open, cnet_packed *out);
/* Pushes the server, socket, net.BoundSocket or net.Native that the envelope and the net.Native at index native stand
 * for; nil if it is none. A server listens already. */
void cnet_handoff_unpack(lua_State *L, int channel, int envelope, int native);

#endif
