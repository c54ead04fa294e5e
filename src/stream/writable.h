/* The writing half of a stream: the queue, cork, the high water mark, callbacks, 'drain' and 'finish'.
 *
 * Wing stream, beside stream/readable.c, above stream/stream.c's shared state. Follows Node's
 * lib/internal/streams/writable.js. */
#ifndef CNET_WRITABLE_H
#define CNET_WRITABLE_H

#include "stream/stream.h"

/* The write in flight is done; err is an index, or 0. */
void cnet_writable_on_write(lua_State *L, cnet_stream *s, int self, int err);
/* The writing side is shut down. */
void cnet_writable_on_final(lua_State *L, cnet_stream *s, int self, int err);
/* Writes the bytes at index chunk; callback is an index or 0. Returns what write() returns. */
bool cnet_writable_write(lua_State *L, cnet_stream *s, int self, int chunk, int callback);
/* Writes now what small writes were gathered: before what could overtake it, lose it or ask what became of it. */
void cnet_writable_flush(lua_State *L, cnet_stream *s);
/* cnet_writable_write, past what gathers small writes. */
bool cnet_writable_write_through(lua_State *L, cnet_stream *s, int self, int chunk, int callback);
/* end_: chunk and callback are indexes or 0. */
void cnet_writable_end(lua_State *L, cnet_stream *s, int self, int chunk, int callback);
/* Calls a callback of one of its methods in a tick, with the error at index err. */
void cnet_writable_tick_callback(lua_State *L, cnet_stream *s, int self, int callback, int err);
bool cnet_writable_is_writable(const cnet_stream *s);
int cnet_writable_tick_error_buffer(lua_State *L);
/* The socket connects again: what still waits of its last life is not written any more, and its callbacks hear so. */
void cnet_writable_renew(lua_State *L, cnet_stream *s, int self);
/* The write in flight is one of a life that is over: its callbacks get the error at index err, each in a tick. */
void cnet_writable_give_up(lua_State *L, cnet_stream *s, int self, int err);
/* Bytes that wait in the stream, and were not handed to the handle. */
size_t cnet_writable_buffered(const cnet_stream *s);

/* Members of net.Socket, which asks for `self` as a stream. */
int cnet_writable_method_cork(lua_State *L);
int cnet_writable_method_uncork(lua_State *L);

#endif
