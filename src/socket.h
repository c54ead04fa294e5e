/* net.Socket: a stream over a handle.
 *
 * Layer 3: glue between the two halves of a stream (layer 2) and a handle (layer 1). What sets options and tells
 * addresses is in socket_options.c, what connects in connector.c; both are members of this class. */
#ifndef CNET_SOCKET_H
#define CNET_SOCKET_H

#include "native.h"
#include "stream.h"
#include "timer.h"

enum { CNET_SOCKET_OWNER = CNET_USERVALUES + 1, CNET_SOCKET_DATA, CNET_SOCKET_USERVALUES = CNET_SOCKET_DATA };

enum {
  CNET_SLOT_PEER = CNET_SLOT_FIRST_SOCKET, /* the peer's address once it was read */
  CNET_SLOT_ATTEMPTED,                     /* autoSelectFamilyAttemptedAddresses */
  CNET_SLOT_BLOCK_LIST,                    /* addresses that it must not connect to */
  CNET_SLOT_PLAN,                          /* the connect() that connectTimeout watches; see attempt.h */
};

typedef struct cnet_socket cnet_socket;

/* The sockets of one server, or of one sender of sockets, that are here and not destroyed yet. */
typedef struct {
  unsigned count;
  cnet_socket *first;
  /* one socket less; the object that owns the group is at index owner */
  void (*on_left)(lua_State *L, int owner);
} cnet_socket_group;

struct cnet_socket {
  cnet_stream stream;
  cnet_handle *handle;
  cnet_socket_group *group; /* of the server that accepted it, or of the process that sent it */
  cnet_socket *next, *previous;
  cnet_timer *connect_timer;          /* of connectTimeout, while connecting */
  short type_of_service;              /* below 0: the system's */
  cnet_timer *timer;                  /* made by the first setTimeout */
  lua_Number timeout;                 /* ms; below 0: never set */
  uint64_t bytes_read, bytes_written; /* what went through the handle */
  uint64_t last_active;               /* the loop's ms */
  size_t pending_bytes;               /* of the write that waits for the connection */
  size_t last_write_queue;
  bool connecting, write_after_fin, reset_and_close, aborted;
  bool unrefed; /* as the script said of the handle, or of the next one */
  bool no_delay, keep_alive;
  bool collected;       /* its __gc has run, and will not run again; a finalizer older than it may still have it */
  int keep_alive_delay; /* s */
  int keep_alive_interval, keep_alive_count;
};

extern const cnet_class cnet_socket_class;

typedef struct {
  bool allow_half_open, pause_on_create, no_delay, keep_alive;
  int keep_alive_delay; /* s */
  size_t high_water_mark;
} cnet_socket_options;

/* Accepts the client that waits at the handle and pushes its socket, with the server's object at index server. NULL,
 * with *status set and nothing pushed, if the client is gone. */
cnet_socket *cnet_socket_accept(lua_State *L, cnet_handle *listener, int server, cnet_socket_group *group,
                                const cnet_socket_options *options, int *status);
/* Pushes the socket of a client that was accepted elsewhere, and takes its handle. */
cnet_socket *cnet_socket_adopt(lua_State *L, cnet_native *client, int server, cnet_socket_group *group,
                               const cnet_socket_options *options);
/* Another process is to have the connection: the handle, reading no more, is the caller's, and the socket is without
 * one, neither destroyed nor closed. NULL if it has none, or connects. */
cnet_handle *cnet_socket_detach(lua_State *L, cnet_socket *s, int self);
/* Joins a group whose owner's object is at index owner: its on_left is called once the socket leaves it. */
void cnet_socket_join(lua_State *L, cnet_socket *s, int self, cnet_socket_group *group, int owner);
/* Pushes a socket over an open handle of a kind it can read and write, which it takes. It does not read yet. */
cnet_socket *cnet_socket_wrap(lua_State *L, cnet_native *native);
static inline cnet_socket *cnet_socket_at(lua_State *L, int index) { return (cnet_socket *)lua_touserdata(L, index); }

/* Gives the socket a new handle to connect with. */
void cnet_socket_set_handle(lua_State *L, cnet_socket *s, int self, cnet_handle *h);
/* There was activity: the timeout begins anew. */
void cnet_socket_touch(lua_State *L, cnet_socket *s, int self);
/* The connection is there. */
void cnet_socket_on_connected(lua_State *L, cnet_socket *s, int self);
/* Leaves its server's group. */
void cnet_socket_leave(lua_State *L, cnet_socket *s, int self);

/* Registers net.Socket and net.Stream in the table on top. */
void cnet_socket_register(lua_State *L);

/* What net.Socket, and connect, may be given. */
extern const char cnet_socket_option_names[];

#endif
