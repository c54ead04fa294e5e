/* A handle that listens: bind, listen, accept.
 *
 * Wing handle. */
#ifndef CNET_HANDLE_LISTEN_H
#define CNET_HANDLE_LISTEN_H

#include "handle/handle.h"

/* Gives the handle of a TCP socket its descriptor, if it has none yet: libuv does so when it binds or connects. */
int cnet_handle_open_socket(cnet_handle *h, int family);
int cnet_handle_bind(cnet_handle *h, const char *ip, int port, unsigned flags, bool reuse_port);
/* The path may be abstract (a leading NUL). UV_EINVAL if it is too long. */
int cnet_handle_bind_path(cnet_handle *h, const char *path, size_t length);
/* Lets others than its owner connect to a bound Unix socket: mode is of UV_READABLE and UV_WRITABLE. */
int cnet_handle_chmod(cnet_handle *h, int mode);
int cnet_handle_listen(cnet_handle *h, int backlog);
/* A server listens with the handle from now on, or no more; `paused` says whether it is paused. While all of a handle's
 * servers are, it gives out no client: libuv then takes one from the kernel, which waits, and polls no more. */
void cnet_handle_add_server(cnet_handle *h, bool paused);
void cnet_handle_remove_server(cnet_handle *h, bool paused);
/* One of its servers is paused from now on, or no more. */
void cnet_handle_set_paused(cnet_handle *h, bool paused);
/* Is there a client that waited for the end of the pause? The caller accepts it, as inside on_connection. */
bool cnet_handle_take_waiting(cnet_handle *h);
/* Inside on_connection: the client that waits. NULL with *status set if it is gone. */
cnet_handle *cnet_handle_accept(cnet_handle *server, int *status);

#endif
