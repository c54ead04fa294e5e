/* server:listen(...): from its arguments to 'listening' or 'error'.
 *
 * Wing server, above server_connections. */
#ifndef CNET_SERVER_LISTEN_H
#define CNET_SERVER_LISTEN_H

#include "server/connections.h"
#include "server/listen_options.h"

/* How a worker of a cluster listens: its primary listens for it, or gives it a handle. cluster/child.c hands them down
 * in a worker. A share is the worker's record of one listening, a value that only it reads, but
 * for its field `sockname`: an address, of a server without a handle on a port. */
typedef struct {
  /* Asks the primary to let the server at index self listen on what the options say; ip NULL: on every address. Pops
   * the function on top and calls it with the answer, outside of this call: (share, status, net.Native or nil). */
  void (*ask)(lua_State *L, int self, const cnet_listen_options *o, const char *ip);
  /* The share at index share has ended, or was never used. */
  void (*leave)(lua_State *L, int share);
  /* Its server takes no clients, or goes on: the primary is to know. */
  void (*pause)(lua_State *L, int share, bool paused);
} cnet_primary_ops;

void cnet_server_set_primary(lua_State *L, const cnet_primary_ops *ops);
/* NULL but in a worker. */
const cnet_primary_ops *cnet_server_primary(const cnet_runtime *rt);
int cnet_server_method_listen(lua_State *L);
/* Listens on a handle that came from another process, and takes it; 'listening' follows in a tick. A libuv error. */
int cnet_server_listen_on(lua_State *L, cnet_server *s, int self, cnet_native *native);
/* Stops listening, if it does: the sockets stay. 'close' follows once they are gone. */
void cnet_server_close(lua_State *L, cnet_server *s, int self);

#endif
