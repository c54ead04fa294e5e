/* net.run and its kin: a turn of the loop, and where one that was stopped goes on.
 *
 * Wing core, over protect: it calls into Lua. */
#ifndef CNET_LOOP_H
#define CNET_LOOP_H

#include <lua.h>

/* Registers net.run, net.stop, net.backendFd, net.backendTimeout, net.nextTick in the table on top. */
void cnet_loop_register(lua_State *L);

#endif
