/* A stream that was destroyed begins another life: net.Socket connects again.
 *
 * Wing stream, above both halves. Node's undestroy, and what that leaves behind: nothing of the life before is read or
 * written in the next one, and the listeners of both hear both. */
#ifndef CNET_RENEWAL_H
#define CNET_RENEWAL_H

#include "stream/stream.h"

/* A stream that was not destroyed keeps what is buffered, as in Node. */
void cnet_stream_renew(lua_State *L, cnet_stream *s, int self);

#endif
