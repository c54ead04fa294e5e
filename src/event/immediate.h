/* net.setImmediate and net.clearImmediate: a queue that runs in the check phase of each turn of the loop.
 *
 * Wing event, above event/timer.h, with which it shares its state and how a callback and its arguments are kept. */
#ifndef CNET_IMMEDIATE_H
#define CNET_IMMEDIATE_H

#include <lua.h>

/* Registers the two in the table on top. */
void cnet_immediate_register(lua_State *L);

#endif
