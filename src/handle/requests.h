/* What a handle is asked for and what takes its time: write, send, shutdown, connect.
 *
 * Wing handle. */
#ifndef CNET_HANDLE_REQUESTS_H
#define CNET_HANDLE_REQUESTS_H

#include "handle/handle.h"

/* Called once when a request is over; `value` is the index of what was pinned with it (nil without). */
typedef void (*cnet_request_done)(lua_State *L, int self, int value, int status);

typedef struct {
  char *bytes;
  size_t size;
} cnet_given;

/* How many of the bytes the kernel takes at once, or a libuv error; nothing may be queued. */
ssize_t cnet_handle_write_now(cnet_handle *h, const char *bytes, size_t size);
/* The next cnet_handle_write gives this status without writing: the kernel tells an error once, and it was told to
 * cnet_handle_write_now. */
void cnet_handle_keep_error(cnet_handle *h, int status);
/* Writes what the kernel takes at once of the string, or array of strings, at index data, and the rest
 * asynchronously: then *async is set, and done is called for the object at index self. */
int cnet_handle_write(lua_State *L, cnet_handle *h, int self, int data, cnet_request_done done, bool *async);
/* Writes the bytes, which the value at index value keeps, asynchronously: 0 and done is called, or a libuv error. *h is
 * looked at once more when all is allocated: a finalizer may have closed it, and set it to NULL. */
int cnet_handle_write_later(lua_State *L, cnet_handle *const *h, int self, int value, const char *bytes, size_t size,
                            cnet_request_done done);
/* The same with bytes of malloc's. If it returns 0 the request has them, and *given is empty. */
int cnet_handle_write_given(lua_State *L, cnet_handle *const *h, int self, cnet_given *given, cnet_request_done done);
int cnet_handle_shutdown(lua_State *L, cnet_handle *h, int self, cnet_request_done done);
/* Writes the string at index data, or the first one of the array there, to an ipc pipe, with `sent` beside its first
 * byte. The caller keeps `sent` open until done. */
int cnet_handle_send(lua_State *L, cnet_handle *h, int self, int data, cnet_handle *sent, cnet_request_done done);
/* Connects; the value on top, which is popped, is pinned with the request. */
int cnet_handle_connect(lua_State *L, cnet_handle *h, int self, const char *ip, int port, cnet_request_done done);
int cnet_handle_connect_path(lua_State *L, cnet_handle *h, int self, const char *path, size_t length,
                             cnet_request_done done);

#endif
