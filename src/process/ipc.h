/* What net.process (in a child) and a ChildProcess (in its parent) have in common: send, disconnect, 'message'.
 *
 * Wing process, above channel and handoff. Both keep their channel in slot CNET_SLOT_IPC of their object. */
#ifndef CNET_IPC_H
#define CNET_IPC_H

#include "event/emitter.h"
#include "process/channel.h"

/* Slots of both objects: the channel, false once it has ended; messages that wait for a listener. */
enum { CNET_SLOT_IPC = 1, CNET_SLOT_IPC_WAITING, CNET_SLOT_FIRST_TARGET };

/* Messages of another module, whose cmd begins with NODE_: a tick calls it with the object, the message, and the
 * net.Native that came with it (0: none). */
typedef void (*cnet_ipc_internal)(lua_State *L, int self, int message, int native);

/* Opens the channel of the object at index self over the open ipc pipe of the net.Native at index native. */
void cnet_ipc_open(lua_State *L, int self, int native, const cnet_channel_owner *owner);
/* Whether messages can be sent. */
bool cnet_ipc_is_connected(lua_State *L, int self);
/* The channel's descriptor, -1 without one. */
int cnet_ipc_fd(lua_State *L, int self);
/* NULL if it has none, or none any more. */
cnet_channel *cnet_ipc_channel(lua_State *L, int self);
/* Sends an internal message, the table at index message, with the net.Native at index native (0: none), behind what
 * waits; what goes wrong is not told. Returns false if nothing can be sent. A net.Native that is sent is left as it
 * is: its handle must be kept until the other side has answered. */
bool cnet_ipc_send(lua_State *L, int self, int message, int native);
/* disconnect() of the object at index self. */
void cnet_ipc_disconnect(lua_State *L, int self);
/* Who gets internal messages that are not of the channel's own. */
void cnet_ipc_on_internal(lua_State *L, int self, cnet_ipc_internal fn);
/* The channel keeps the loop alive, listeners or not: the process is a worker of a cluster. */
void cnet_ipc_keep(lua_State *L, int self);
/* In a child: the channel keeps the loop alive while somebody listens to it. Its parent's does by itself. */
void cnet_ipc_follow_listeners(lua_State *L, int self);
/* A listener came: messages that waited for one are delivered. */
void cnet_ipc_on_listeners(lua_State *L, int self);

/* send, disconnect, connected, channel */
extern const cnet_member cnet_ipc_members[];

#endif
