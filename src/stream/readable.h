/* The reading half of a stream: chunks, flow, 'data', 'readable', 'end', the encoding.
 *
 * Wing stream, beside stream/writable.c, above stream/stream.c's shared state. Follows Node's
 * lib/internal/streams/readable.js. */
#ifndef CNET_READABLE_H
#define CNET_READABLE_H

#include "stream/stream.h"

/* What the handle read: the size bytes at data. Returns false when the handle should read no more for now. */
bool cnet_readable_push(lua_State *L, cnet_stream *s, int self, const char *data, size_t size);
/* The end of what the handle reads. */
void cnet_readable_push_end(lua_State *L, cnet_stream *s, int self);
/* read(n): pushes a string, or nil. n below 0 asks for all there is. */
bool cnet_readable_read(lua_State *L, cnet_stream *s, int self, double n);
bool cnet_readable_is_paused(const cnet_stream *s);
bool cnet_readable_is_readable(const cnet_stream *s);
void cnet_readable_resume(lua_State *L, cnet_stream *s, int self);
void cnet_readable_pause(lua_State *L, cnet_stream *s, int self);
/* The class hook: 'data' and 'readable' listeners change the flow. */
void cnet_readable_on_listeners(lua_State *L, int self, int name, cnet_listener_change change);

/* Members of net.Socket. */
int cnet_readable_method_read(lua_State *L);
int cnet_readable_method_unshift(lua_State *L);
int cnet_readable_method_pause(lua_State *L);
int cnet_readable_method_resume(lua_State *L);
int cnet_readable_method_is_paused(lua_State *L);
int cnet_readable_method_set_encoding(lua_State *L);

#endif
