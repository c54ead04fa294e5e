/* What goes out over a channel, messages and handles, and its end.
 *
 * Wing process, above json_writer and line_out. A parcel is what is sent; channel.h tells of the whole. */
#ifndef CNET_CHANNEL_OUT_H
#define CNET_CHANNEL_OUT_H

#include "handle/native.h"
#include "process/line_in.h"
#include "process/line_out.h"

enum {
  CNET_SLOT_CHANNEL_TARGET = 1, /* net.process, or the ChildProcess: who speaks over the channel */
  CNET_SLOT_CHANNEL_SPARE,      /* where the last line was written, for the next one */
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
  bool ended_there;     /* by the other side */
  bool ref, ref_is_set; /* does it keep the loop alive; has a script said so */
  bool keep;            /* it does, whoever listens */
  bool retry;           /* what waits for it may be sent again */
  unsigned tries;       /* how often it was */
  cnet_line_in in;      /* a line that has not ended */
  cnet_line_out out;
  lua_Integer first, last; /* of the queue */
} cnet_channel;

static inline cnet_channel *cnet_channel_at(lua_State *L, int index) {
  return (cnet_channel *)lua_touserdata(L, index);
}

/* Sends the message at index message with the handle of the value at index handle (0: none), behind what waits. The
 * callback at index callback (0: none) is called once, with nil or an error; without one an error goes to on_error,
 * unless quiet. Returns false if the other side falls behind. Raises for what cannot be sent. */
bool cnet_channel_send(lua_State *L, int channel, int message, int handle, bool keep_open, int callback, bool quiet);
/* Ends the channel once what waits for an acknowledgement is out. */
void cnet_channel_disconnect(lua_State *L, int channel);
/* Should it keep the loop alive? Nothing changes once a script has said so itself, or if it is kept. */
void cnet_channel_want_ref(lua_State *L, int channel, bool ref);

/* For channel.c. Queues a tick that calls fn with the nargs values on top, which it pops; fn is over the runtime. */
void cnet_channel_tick(lua_State *L, cnet_channel *c, lua_CFunction fn, int nargs);
/* Queues a tick that tells of the error on top, which it pops. */
void cnet_channel_fail(lua_State *L, cnet_channel *c, int channel);
void cnet_channel_update_ref(cnet_channel *c);
/* `flush`: what libuv has not written yet may still go out. */
void cnet_channel_end(lua_State *L, cnet_channel *c, int channel, bool flush);
/* Acknowledges a handle, or tells that none came. It passes by what waits. */
void cnet_channel_acknowledge(lua_State *L, cnet_channel *c, int channel, bool received);
/* The other side has done so. */
void cnet_channel_on_acknowledged(lua_State *L, cnet_channel *c, int channel, bool received);
/* A write is done, of a parcel or of lines that nobody asks about. */
void cnet_channel_on_written(lua_State *L, int channel, int parcel, int status);

#endif
