/* socket:pipe(destination) and unpipe: what is read here is written there, with backpressure.
 *
 * Wing socket, on net.Socket, to which it adds the two methods. The destination is anything with write and end_ that is
 * an emitter. Follows Node's Readable.prototype.pipe. */
#ifndef CNET_PIPE_H
#define CNET_PIPE_H

#include <lua.h>

void cnet_pipe_register(lua_State *L);

#endif
