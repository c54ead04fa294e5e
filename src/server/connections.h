/* What a net.Server holds, and its connections: accepting, counting, letting go.
 *
 * Wing server, the lowest of the server's rooms: server/holders.c knows of connections in other processes,
 * server/listening.c begins to listen, server/server.c is the class. */
#ifndef CNET_SERVER_CONNECTIONS_H
#define CNET_SERVER_CONNECTIONS_H

#include "socket/class.h"

enum {
  CNET_SLOT_SERVER_PATH = 1,
  CNET_SLOT_SERVER_BLOCK_LIST,
  CNET_SLOT_SERVER_MAX_CONNECTIONS,
  CNET_SLOT_SERVER_HOLDERS, /* array of functions that ask the processes that hold sockets of the server */
  CNET_SLOT_SERVER_KEY,     /* by which those processes know the server */
  CNET_SLOT_SERVER_SHARE    /* in a worker of a cluster: what it listens by; see server/listening.h */
};

typedef struct {
  cnet_emitter emitter;
  cnet_handle *handle;
  cnet_socket_group group;
  cnet_socket_options accept;
  lua_Integer listening_id; /* each listen and close: what was begun before is void */
  bool beginning;           /* a host is looked up, or a primary asked, to listen */
  bool collected;           /* its __gc has run, and will not run again; a finalizer older than it may still have it */
  bool remote;              /* it listens without a handle: another process accepts for it */
  cnet_timer remote_ref;    /* meanwhile: what a handle would do to keep the loop alive */
  bool unref, drop_max_connection, paused;
  bool hears_errors;          /* 'handlerError' has a listener */
  unsigned closing_holders;   /* that have not said yet that all sockets of a closed server are closed */
  lua_Number max_connections; /* infinite: no limit */
} cnet_server;

static inline cnet_runtime *cnet_server_runtime(const cnet_server *s) { return s->emitter.object.rt; }
static inline cnet_server *cnet_server_at(lua_State *L, int index) { return (cnet_server *)lua_touserdata(L, index); }

/* What a fresh server starts with. */
void cnet_server_init_connections(cnet_server *s);
/* Gives the server its handle, listening: connections come in from here on. */
void cnet_server_own(lua_State *L, cnet_server *s, int self, cnet_handle *h);
/* Lets the server listen without a handle: connections come by cnet_server_adopt. */
void cnet_server_own_remote(lua_State *L, cnet_server *s, int self);
static inline bool cnet_server_is_listening(const cnet_server *s) { return s->handle || s->remote; }
/* Connections come in no more. The handle, if there is one, is closed. */
void cnet_server_disown(lua_State *L, cnet_server *s);
/* The server takes no clients, or goes on; its handle knows of it, if it has one. */
void cnet_server_set_paused(lua_State *L, cnet_server *s, bool paused);
/* Does listening keep the loop alive? */
void cnet_server_set_ref(cnet_server *s, bool on);
/* Is the server neither listening nor holding a connection? */
bool cnet_server_is_drained(const cnet_server *s);
/* 'close', in a tick, if it is drained. */
void cnet_server_emit_close_if_drained(lua_State *L, cnet_server *s, int self);

/* A client that another process accepted for the server; 'drop' if the server is full. */
void cnet_server_adopt(lua_State *L, int self, cnet_native *client);
/* Is the server at its maxConnections? */
bool cnet_server_is_full(const cnet_server *s);

/* closeAllConnections, closeIdleConnections */
extern const cnet_member cnet_server_connections_members[];

#endif
