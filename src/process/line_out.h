/* Lines that go out over a handle, in their order.
 *
 * Wing process. What the kernel takes at once is written at once: a process may end right after it has sent something.
 * While it takes no more, short lines are gathered, and go out together when a write is done. */
#ifndef CNET_LINE_OUT_H
#define CNET_LINE_OUT_H

#include "core/block.h"
#include "handle/requests.h"

typedef struct {
  cnet_handle *const *handle; /* whose it is sets it to NULL once it is closed */
  cnet_request_done done;     /* of each write */
  cnet_given batch;           /* lines that wait, while a write is under way */
  unsigned writes;            /* that libuv has not done yet: whoever begins one, or is told of its end, counts */
} cnet_line_out;

/* Writes the line for the object at index self. If that takes its time, *async is set and, with a callback at index
 * callback (0: none), done gets a table that has it as `callback`; without one it gets no table. 0, or a libuv error.
 */
int cnet_line_out_write(lua_State *L, cnet_line_out *out, int self, cnet_block *line, int callback, bool *async);
/* Gives libuv what has been gathered: before any other write to the handle, and whenever one is done. */
void cnet_line_out_submit(lua_State *L, cnet_line_out *out, int self);
/* How many bytes wait. */
size_t cnet_line_out_size(const cnet_line_out *out);
void cnet_line_out_free(cnet_line_out *out);

#endif
