/* The wire between a parent and its child, as Node has it: a pipe with a JSON value in each line, and handles beside.
 *
 * Wing process, above channel_out, which has its state. One handle at a time is on its way: until the other side has
 * acknowledged it, whatever is sent waits, so that the order is kept. What a handle means (a server, a socket) and what
 * becomes of a message is told by ops. Scripts see a channel as net.process.channel and ChildProcess.channel. */
#ifndef CNET_CHANNEL_H
#define CNET_CHANNEL_H

#include "process/channel_out.h"

/* Pushes a channel over the open ipc pipe of the net.Native at index native, which it takes, for the object at index
 * target. It begins to read. */
cnet_channel *cnet_channel_push(lua_State *L, int native, int target, const cnet_channel_ops *ops,
                                const cnet_channel_owner *owner);
/* Goes over to the runtime's loop, which is another one by now. 0 or a libuv error. */
int cnet_channel_move(cnet_channel *c);

/* Makes the class known. */
void cnet_channel_register(lua_State *L);

#endif
