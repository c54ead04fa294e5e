/* A handle that listens: bind, listen, accept.
 *
 * Wing handle. */
#ifndef CNET_HANDLE_LISTEN_H
#define CNET_HANDLE_LISTEN_H

#include "handle/handle.h"

int cnet_handle_bind(cnet_handle *h, const char *ip, int port, unsigned flags, bool reuse_port);
/* The path may be abstract (a leading NUL). UV_EINVAL if it is too long. */
int cnet_handle_bind_path(cnet_handle *h, const char *path, size_t length);
/* Lets others than its owner connect to a bound Unix socket: mode is of UV_READABLE and UV_WRITABLE. */
int cnet_handle_chmod(cnet_handle *h, int mode);
int cnet_handle_listen(cnet_handle *h, int backlog);
/* Inside on_connection: the client that waits. NULL with *status set if it is gone. */
cnet_handle *cnet_handle_accept(cnet_handle *server, int *status);

#endif
