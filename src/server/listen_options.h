/* What server:listen(...) was asked to listen on: the forms of its arguments, in Node's order of precedence.
 *
 * Wing server. It reads arguments and decides; server/server.c acts. */
#ifndef CNET_LISTEN_OPTIONS_H
#define CNET_LISTEN_OPTIONS_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum { CNET_LISTEN_HANDLE, CNET_LISTEN_FD, CNET_LISTEN_PORT, CNET_LISTEN_PATH } cnet_listen_kind;

/* Strings belong to Lua values that cnet_listen_parse leaves on the stack. */
typedef struct {
  cnet_listen_kind kind;
  int options;  /* index of the options table; 0 if there was none */
  int handle;   /* index of the server or socket whose handle is meant */
  int callback; /* index; 0 if there is none */
  int fd, port, backlog;
  const char *host; /* NULL: every address */
  const char *path;
  size_t path_length;
  bool ipv6_only, exclusive, reuse_port, readable_all, writable_all;
} cnet_listen_options;

enum { CNET_DEFAULT_BACKLOG = 511 };

/* Finds the callback among the arguments from 2 to the top: the last one, if it is a function; else 0. */
int cnet_listen_callback(lua_State *L);
/* Reads the arguments from index 2 on. is_handle tells whether a value stands for a handle. Raises Node's errors. */
void cnet_listen_parse(lua_State *L, bool (*is_handle)(lua_State *L, int index), cnet_listen_options *out);

#endif
