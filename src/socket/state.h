/* What a net.Socket says of itself: the properties that tell its state. Members of the class in socket/class.c.
 *
 * Wing socket. */
#ifndef CNET_SOCKET_STATE_H
#define CNET_SOCKET_STATE_H

#include "socket/socket.h"

extern const cnet_member cnet_socket_state_members[];

#endif
