/* net.BoundSocket: a socket with a local address that neither listens nor connects yet.
 *
 * Wing handle, above native. One server:listen or one net.Socket{handle = ...} takes its handle over; sent to another
 * process, it leaves in a net.Native as every handle does. Nothing pins it: one that is forgotten is closed. */
#ifndef CNET_BOUND_SOCKET_H
#define CNET_BOUND_SOCKET_H

#include "handle/native.h"

typedef struct cnet_bound_socket cnet_bound_socket;

/* The object at index if it is one; else NULL. */
cnet_bound_socket *cnet_bound_socket_test(lua_State *L, cnet_runtime *rt, int index);
/* Is its handle gone: taken, sent or closed? */
bool cnet_bound_socket_is_spent(const cnet_bound_socket *b);
/* Is it bound to a path? */
bool cnet_bound_socket_is_pipe(const cnet_bound_socket *b);
/* Takes the handle away: it is the caller's. Raises ERR_SOCKET_HANDLE_ADOPTED if it is gone. */
cnet_handle *cnet_bound_socket_take(lua_State *L, cnet_bound_socket *b);
/* Pushes the path that the one at index is bound to, nil if it is an address. */
void cnet_bound_socket_push_path(lua_State *L, int index);
/* Pushes one over the handle that came from another process, which it takes; nil, and the handle is closed, if that has
 * no address. */
void cnet_bound_socket_push_over(lua_State *L, cnet_native *native);

/* Registers net.BoundSocket in the table on top. */
void cnet_bound_socket_register(lua_State *L);

#endif
