/* net.Socket's options, timeout, addresses and counters: members of the class in socket.c, beside it in layer 3. */
#ifndef CNET_SOCKET_OPTIONS_H
#define CNET_SOCKET_OPTIONS_H

#include "socket.h"

extern const cnet_member cnet_socket_options_members[];

/* Applies the saved noDelay and keepAlive to the handle. */
void cnet_socket_apply_options(cnet_socket *s);
/* Pushes the peer's {address, family, port}, or nil; what was read once is remembered. */
bool cnet_socket_push_peer(lua_State *L, cnet_socket *s, int self);
/* Starts *timer, one of the socket's, made if need be; the socket is pinned under it until it fires. */
void cnet_socket_start_timer(lua_State *L, cnet_socket *s, int self, cnet_timer **timer,
                             void (*fire)(lua_State *L, cnet_timer *timer), lua_Number ms);
/* connectTimeout is over. */
void cnet_socket_stop_connect_timer(lua_State *L, cnet_socket *s);
/* Stops and frees both timers; the second for a finalizer, without Lua. */
void cnet_socket_drop_timers(lua_State *L, cnet_socket *s);
void cnet_socket_free_timers(cnet_socket *s);

#endif
