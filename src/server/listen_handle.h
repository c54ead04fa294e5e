/* Opens the handle that a listen asks for, bound and ready for cnet_handle_listen.
 *
 * Wing server, on handles and listen_options. */
#ifndef CNET_LISTEN_HANDLE_H
#define CNET_LISTEN_HANDLE_H

#include "handle/handle.h"
#include "server/listen_options.h"

/* Where it was tried, for the message of an error. The address may be NULL; the port is -1 where there is none. */
typedef struct {
  const char *address;
  size_t length;
  int port;
} cnet_listen_handle_place;

/* NULL, with *status set, if there is none. ip is the address that the host's name led to, NULL without a host; shared
 * is the handle that is meant, NULL unless the options say that one is. Strings of *at live as long as the options'. */
cnet_handle *cnet_listen_handle_open(cnet_runtime *rt, const cnet_listen_options *o, const char *ip,
                                     cnet_handle *shared, cnet_listen_handle_place *at, int *status);

#endif
