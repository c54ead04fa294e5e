/* What a net.Socket is: a stream over a handle.
 *
 * Wing socket: glue between the two halves of a stream (stream) and a handle (handle). The class is in socket/class.c;
 * what sets options and tells addresses in socket/options.c, what connects in socket/connector.c. */
#ifndef CNET_SOCKET_H
#define CNET_SOCKET_H

#include "event/timer.h"
#include "handle/native.h"
#include "stream/stream.h"

enum { CNET_SOCKET_OWNER = CNET_USERVALUES + 1, CNET_SOCKET_DATA, CNET_SOCKET_USERVALUES = CNET_SOCKET_DATA };

enum {
  CNET_SLOT_PEER = CNET_SLOT_FIRST_SOCKET, /* the peer's address once it was read */
  CNET_SLOT_ATTEMPTED,                     /* autoSelectFamilyAttemptedAddresses */
  CNET_SLOT_BLOCK_LIST,                    /* addresses that it must not connect to */
  CNET_SLOT_PLAN,                          /* the connect() that connectTimeout watches; see socket/attempt.h */
  CNET_SLOT_BOUND_PATH,                    /* of the net.BoundSocket whose handle it took, if that was bound to one */
  CNET_SLOT_WAITING,                       /* what is written once the connection is there: as ops.write gets it */
};

typedef struct cnet_socket cnet_socket;

enum { CNET_KEEP_ALIVE_DEFAULT = -1 }; /* an interval or a count that was not asked for */

/* The sockets of one server, or of one sender of sockets, that are here and not destroyed yet. */
typedef struct {
  unsigned count;
  cnet_socket *first;
  /* one socket less; the object that owns the group is at index owner */
  void (*on_left)(lua_State *L, int owner);
} cnet_socket_group;

struct cnet_socket {
  cnet_stream stream; /* whose last fields, as the next ones, are for each message */
  bool connecting, write_after_fin;
  cnet_handle *handle;
  cnet_timer *timer;                  /* made by the first setTimeout */
  uint64_t bytes_read, bytes_written; /* what went through the handle */
  uint64_t last_active;               /* the loop's ms */
  size_t last_write_queue;
  size_t pending_bytes;     /* of the write that waits for the connection */
  cnet_socket_group *group; /* of the server that accepted it, or of the process that sent it */
  cnet_socket *next, *previous;
  cnet_timer *connect_timer; /* of connectTimeout, while connecting */
  lua_Number timeout;        /* ms; below 0: never set */
  bool reset_and_close, aborted;
  bool final_waits; /* for the connection, with what ends the writing side */
  bool end_kept;    /* ended before it ever connected: the peer is told once it does */
  uint32_t life;    /* how often it was destroyed and began to connect again; only ever compared with a recent one */
  bool bound;       /* it was made over a net.BoundSocket: it connects by that one's handle, and at once */
  bool unrefed;     /* as the script said of the handle, or of the next one */
  bool no_delay, keep_alive;
  bool collected;        /* its __gc has run, and will not run again; a finalizer older than it may still have it */
  short type_of_service; /* below 0: the system's */
  int keep_alive_delay;  /* s */
  int keep_alive_interval, keep_alive_count; /* s; or CNET_KEEP_ALIVE_DEFAULT */
  int buffer_sizes[2]; /* of the kernel, by cnet_buffer, as the script has asked; 0: as the system has them */
};

extern const cnet_class cnet_socket_class;

/* Joins a group whose owner's object is at index owner: its on_left is called once the socket leaves it. */
void cnet_socket_join(lua_State *L, cnet_socket *s, int self, cnet_socket_group *group, int owner);
static inline cnet_socket *cnet_socket_at(lua_State *L, int index) { return (cnet_socket *)lua_touserdata(L, index); }

/* Pushes a new socket without a handle. */
cnet_socket *cnet_socket_new(lua_State *L, cnet_runtime *rt, size_t high_water_mark);
/* Gives the socket a new handle to connect with. */
void cnet_socket_set_handle(lua_State *L, cnet_socket *s, int self, cnet_handle *h);
/* There was activity: the timeout begins anew. */
void cnet_socket_touch(lua_State *L, cnet_socket *s, int self);
/* Leaves its server's group; the second tells nobody, and whether it was in one. */
void cnet_socket_leave(lua_State *L, cnet_socket *s, int self);
bool cnet_socket_unlink(cnet_socket *s);
/* The socket is destroyed and connects again: takes away what has waited for the connection in vain. */
void cnet_socket_forget_waiting(lua_State *L, cnet_socket *s, int self);
/* Removes all that listens to the event with fn, an internal listener. */
void cnet_socket_forget_listener(lua_State *L, int self, const char *event, lua_CFunction fn);
/* The connection is there: what was ended before it ends now. */
void cnet_socket_end_if_kept(lua_State *L, cnet_socket *s, int self);
/* Calls the internal listener fn at the next 'connect'. */
void cnet_socket_once_connected(lua_State *L, int self, lua_CFunction fn);

/* Starts *timer, one of the socket's, made if need be; the socket is pinned under it until it fires. */
void cnet_socket_start_timer(lua_State *L, cnet_socket *s, int self, cnet_timer **timer,
                             void (*fire)(lua_State *L, cnet_timer *timer), lua_Number ms);
/* Stops and frees one of the timers, and both; the last for a finalizer, without Lua. */
void cnet_socket_drop_timer(lua_State *L, cnet_socket *s, cnet_timer **timer);
void cnet_socket_drop_timers(lua_State *L, cnet_socket *s);
void cnet_socket_free_timers(cnet_socket *s);

#endif
