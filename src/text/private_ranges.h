/* net.BlockList.PRIVATE_RANGES.
 *
 * Wing text. */
#ifndef CNET_PRIVATE_RANGES_H
#define CNET_PRIVATE_RANGES_H

#include <lua.h>

/* Pushes the networks that nobody reaches from elsewhere, an array that is frozen, as in Node: a script that changed it
 * would change it for all that rely on it. */
void cnet_private_ranges_push(lua_State *L);

#endif
