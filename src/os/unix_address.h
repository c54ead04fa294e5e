/* Unix socket addresses where libuv 1.44 falls short: it cuts a long path, and ends an abstract one at its first byte.
 *
 * Wing os. */
#ifndef CNET_UNIX_ADDRESS_H
#define CNET_UNIX_ADDRESS_H

#include <stddef.h>
#include <sys/socket.h>
#include <sys/un.h>

typedef int (*cnet_unix_use)(int fd, const struct sockaddr *address, socklen_t size); /* bind or connect */

/* Is it a path that an address can have, or an abstract one (a leading NUL)? 0 or UV_EINVAL. */
int cnet_unix_check_path(const char *path, size_t length);
/* The address of a path that was checked; returns its size. */
socklen_t cnet_unix_address(const char *path, size_t length, struct sockaddr_un *out);
/* A new socket, bound or connected to the address: its descriptor, or a libuv error. */
int cnet_unix_open(const char *path, size_t length, cnet_unix_use use);

#endif
