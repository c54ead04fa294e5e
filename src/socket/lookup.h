/* Name lookup off the loop's thread: getaddrinfo on libuv's thread pool.
 *
 * Wing socket. */
#ifndef CNET_LOOKUP_H
#define CNET_LOOKUP_H

#include "core/runtime.h"

/* Pops a function and calls it once from the loop: (err), or (nil, list) with {address=, family=4|6} in the order of
 * the resolver. family is 0 (any), 4 or 6; hints are AI_ flags. A host with a NUL in it must not come here: callers
 * have asked cnet_check_host, which raises ERR_INVALID_ARG_VALUE for it. */
void cnet_lookup(lua_State *L, cnet_runtime *rt, const char *host, int family, int hints);

#endif
