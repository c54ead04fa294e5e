/* net.useLuv(): cnet's handles live on luv's loop, beside luv's own.
 *
 * Wing process, above ipc, for the channel of a forked child goes over too. */
#ifndef CNET_SHARED_LOOP_H
#define CNET_SHARED_LOOP_H

#include <lua.h>

/* Registers net.useLuv in the table on top. */
void cnet_shared_loop_register(lua_State *L);

#endif
