/* What a cluster's primary and its workers write to each other: {cmd = "NODE_CLUSTER", act or ack, ..., seq = n}.
 *
 * Wing cluster, above worker: both sides talk over the Worker's process. An answer has the seq of what it answers as
 * its `ack`. */
#ifndef CNET_CLUSTER_WIRE_H
#define CNET_CLUSTER_WIRE_H

#include "cluster/worker.h"

/* A message came, in a tick: stack indices; native is 0 if no handle came with it. */
typedef void (*cnet_wire_act)(lua_State *L, int worker, int message, int native);

/* Up to a NULL. Acts that are not there are ignored, as Node does. */
typedef struct cnet_wire_row {
  const char *act;
  cnet_wire_act run;
} cnet_wire_row;

/* The worker's process hears messages from now on. */
void cnet_wire_open(lua_State *L, int worker, const cnet_wire_row *acts);
/* Pushes a message with this act. */
void cnet_wire_push(lua_State *L, const char *act);
/* Sends the message at index message, which gets its cmd and seq, and the net.Native at index native (0: none), whose
 * handle must be kept until there is an answer. The function at index callback (0: none) is called once: with the
 * answer and its net.Native or nil, or, once the channel has ended, with nothing. Returns false, and keeps nothing, if
 * the channel has ended already. */
bool cnet_wire_send(lua_State *L, int worker, int message, int native, int callback);
/* The worker's channel has ended: no answer comes any more. */
void cnet_wire_end(lua_State *L, int worker);

#endif
