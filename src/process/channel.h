/* The wire between a parent and its child, as Node has it: a pipe with a JSON value in each line, and handles beside.
 *
 * Wing process, above json_reader and json_writer. One handle at a time is on its way: until the other side has acknowledged
 * it, whatever is sent waits, so that the order is kept. What a handle means (a server, a socket) and what becomes of a
 * message is told by ops. Scripts see a channel as net.process.channel and ChildProcess.channel. */
#ifndef CNET_CHANNEL_H
#define CNET_CHANNEL_H

#include "handle/native.h"

enum {
  CNET_SLOT_CHANNEL_TARGET = 1, /* net.process, or the ChildProcess: who speaks over the channel */
  CNET_SLOT_CHANNEL_PIECES,     /* of a line that has not ended */
  CNET_SLOT_CHANNEL_RECEIVED,   /* the net.Natives whose lines have not come yet */
  CNET_SLOT_CHANNEL_QUEUE,      /* parcels that wait for an acknowledgement */
  CNET_SLOT_CHANNEL_AWAITED,    /* the parcel that is to be acknowledged */
  CNET_SLOT_CHANNEL_FIRST_FREE  /* from here on of the rooms above */
};

/* What is to be known of a handle that goes out. */
typedef struct {
  const char *type; /* "net.Socket", ... */
  bool owned;       /* the channel closes it once it has arrived */
  bool retry;       /* it may be sent again if it has not */
} cnet_packed;

/* Indices are the stack's. They run inside a tick, but for pack. */
typedef struct {
  /* A handle is to go out, the value at index handle: pushes its net.Native, and the key of its socket list or nil, and
   * returns 1. Pushes nothing if there is none: 0, and the message goes alone; or a libuv error. */
  int (*pack)(lua_State *L, int channel, int handle, bool keep_open, cnet_packed *out);
  /* A message came. */
  void (*on_message)(lua_State *L, int channel, int message);
  /* A handle came, acknowledged already. */
  void (*on_handle)(lua_State *L, int channel, int envelope, int native);
  /* Something is wrong: an error is on top, to be popped. */
  void (*on_error)(lua_State *L, int channel);
  /* The other side has closed the channel, or is gone: on_end follows in a tick. */
  void (*on_closed)(lua_State *L, int channel);
  /* The channel has come to its end, from either side. Once. */
  void (*on_end)(lua_State *L, int channel);
} cnet_channel_ops;

/* What the rooms above keep with a channel. */
typedef struct {
  /* The channel has ended, and the object at index self speaks no more: as in Node before 'disconnect' if the other
   * side has ended it, else after it. */
  void (*after_end)(lua_State *L, int self);
  /* Has the process at the other side exited? */
  bool (*is_gone)(lua_State *L, int self);
} cnet_channel_owner;

typedef struct {
  cnet_object object;
  const cnet_channel_ops *ops;
  const cnet_channel_owner *owner;
  /* of a module above: internal messages that are not of the channel's own; native is 0 if none came */
  void (*on_internal)(lua_State *L, int self, int message, int native);
  cnet_handle *handle; /* NULL once closed */
  bool connected;      /* false from disconnect on */
  bool awaiting;       /* an acknowledgement */
  bool ended;
  bool ended_there;        /* by the other side */
  bool ref, ref_is_set;    /* does it keep the loop alive; has a script said so */
  bool keep;               /* it does, whoever listens */
  bool retry;              /* what waits for it may be sent again */
  unsigned tries;          /* how often it was */
  unsigned writes;         /* that libuv has not done yet */
  lua_Integer first, last; /* of the queue */
} cnet_channel;

static inline cnet_channel *cnet_channel_at(lua_State *L, int index) {
  return (cnet_channel *)lua_touserdata(L, index);
}

/* Pushes a channel over the open ipc pipe of the net.Native at index native, which it takes, for the object at index
 * target. It begins to read. */
cnet_channel *cnet_channel_push(lua_State *L, int native, int target, const cnet_channel_ops *ops,
                                const cnet_channel_owner *owner);
/* Sends the message at index message with the handle of the value at index handle (0: none), behind what waits. The
 * callback at index callback (0: none) is called once, with nil or an error; without one an error goes to on_error,
 * unless quiet. Returns false if the other side falls behind. Raises for what cannot be sent. */
bool cnet_channel_send(lua_State *L, int channel, int message, int handle, bool keep_open, int callback, bool quiet);
/* Ends the channel once what waits for an acknowledgement is out. */
void cnet_channel_disconnect(lua_State *L, int channel);
/* Should it keep the loop alive? Nothing changes once a script has said so itself, or if it is kept. */
void cnet_channel_want_ref(lua_State *L, int channel, bool ref);
/* Goes over to the runtime's loop, which is another one by now. 0 or a libuv error. */
int cnet_channel_move(cnet_channel *c);

/* Makes the class known. */
void cnet_channel_register(lua_State *L);

#endif
