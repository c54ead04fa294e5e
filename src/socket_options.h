/* net.Socket's options, timeout, addresses and counters: members of the class in socket.c, beside it in layer 3. */
#ifndef CNET_SOCKET_OPTIONS_H
#define CNET_SOCKET_OPTIONS_H

#include "socket.h"

extern const cnet_member cnet_socket_options_members[];

/* Applies the saved noDelay and keepAlive to the handle. */
void cnet_socket_apply_options(cnet_socket *s);
/* Pushes the peer's {address, family, port}, or nil; what was read once is remembered. */
bool cnet_socket_push_peer(lua_State *L, cnet_socket *s, int self);
/* connectTimeout: after ms the socket that still connects fails with ETIMEDOUT. */
void cnet_socket_start_connect_timer(lua_State *L, cnet_socket *s, int self, lua_Number ms);
void cnet_socket_stop_connect_timer(lua_State *L, cnet_socket *s);
/* Stops and frees both timers; the second for a finalizer, without Lua. */
void cnet_socket_drop_timers(lua_State *L, cnet_socket *s);
void cnet_socket_free_timers(cnet_socket *s);

#endif
