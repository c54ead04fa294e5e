/* net.Socket's options, timeout, addresses and counters: members of the class in socket/class.c.
 *
 * Wing socket. */
#ifndef CNET_SOCKET_OPTIONS_H
#define CNET_SOCKET_OPTIONS_H

#include "socket/socket.h"

extern const cnet_member cnet_socket_options_members[];

/* The option typeOfService, if it is there; raises Node's errors. */
void cnet_socket_read_type_of_service(lua_State *L, cnet_socket *s, int options);
/* Applies the saved noDelay, keepAlive and type of service to the handle. */
void cnet_socket_apply_options(cnet_socket *s);
/* Sets the kernel's buffers as the script has asked, before a connection: the window of TCP depends on it. Makes the
 * socket of the family, if need be. */
int cnet_socket_prepare_buffers(cnet_socket *s, int family);
/* Pushes the peer's {address, family, port}, or nil; what was read once is remembered. */
bool cnet_socket_push_peer(lua_State *L, cnet_socket *s, int self);

#endif
