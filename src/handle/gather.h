/* Small writes of one callback, gathered so that they leave together when it returns: many of them are one syscall.
 *
 * Wing handle, above handle. One handle's bytes at a time wait, in a buffer of the runtime; a write to another one
 * sends them first. Whoever could lose or overtake them (a write of another kind, an end, a close) calls rt->flush
 * before. */
#ifndef CNET_GATHER_H
#define CNET_GATHER_H

#include "handle/handle.h"

/* Takes the bytes to be sent when the running callback returns. False if they must be written in the plain way:
 * outside of callbacks, behind a write that is under way, when they are many; then nothing of the handle waits. */
bool cnet_gather(lua_State *L, cnet_handle *h, const char *data, size_t size, size_t high_water_mark);

#endif
