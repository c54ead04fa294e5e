/* A handle's two addresses, and its socket options.
 *
 * Wing handle. */
#ifndef CNET_HANDLE_OPTIONS_H
#define CNET_HANDLE_OPTIONS_H

#include "handle/handle.h"
#include "text/address.h"

int cnet_handle_sockname(cnet_handle *h, cnet_address *out);
int cnet_handle_peername(cnet_handle *h, cnet_address *out);
int cnet_handle_set_nodelay(cnet_handle *h, bool on);
/* TCP_NODELAY for the writes to come, though its owner did not ask for it; without effect if that is set anyway. */
void cnet_handle_set_pushes(cnet_handle *h, bool on);
/* delay and interval in seconds. One of the three that is 0 leaves all the system's values as they are; an interval or
 * a count below 0 is libuv's: 1 and 10. */
int cnet_handle_set_keepalive(cnet_handle *h, bool on, int delay, int interval, int count);
/* IP_TOS, or IPV6_TCLASS, of 0 to 255. */
int cnet_handle_set_tos(cnet_handle *h, int tos);
int cnet_handle_get_tos(cnet_handle *h, int *tos);
typedef enum { CNET_RECV_BUFFER, CNET_SEND_BUFFER } cnet_buffer;
/* What the kernel buffers of what came, or of what goes: sets it to *size, or with 0 asks for it. */
int cnet_handle_buffer_size(cnet_handle *h, cnet_buffer which, int *size);
/* Who was at the other end of a Unix socket when the two were connected; UV_ENOTSUP of anything else. */
typedef struct {
  lua_Integer pid, uid, gid;
} cnet_credentials;
int cnet_handle_credentials(cnet_handle *h, cnet_credentials *out);

#endif
