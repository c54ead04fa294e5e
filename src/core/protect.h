/* The one door into Lua: the one lua_pcall through which every libuv callback enters.
 *
 * Wing core, above the runtime. The whole body of a callback runs inside, not just the listener: an allocation outside
 * a pcall can longjmp through libuv. An error is parked, the loop stopped, and net.run raises it again. */
#ifndef CNET_PROTECT_H
#define CNET_PROTECT_H

#include "core/runtime.h"

/* Runs body(L, arg), then the tick queue. Must not be called while the runtime is stopped or closed. */
void cnet_protect(cnet_runtime *rt, cnet_phase phase, cnet_body body, void *arg);
/* Inside a body, where it is cheaper than cnet_pin_push: pushes what is pinned under the key. */
enum { CNET_PROTECT_PINS = 2 };
static inline int cnet_protect_push_pinned(lua_State *L, const void *key) {
  return lua_rawgetp(L, lua_upvalueindex(CNET_PROTECT_PINS), key);
}
static inline int cnet_protect_push_place(lua_State *L, int place) {
  return lua_rawgeti(L, lua_upvalueindex(CNET_PROTECT_PINS), place);
}
/* Delivers what happens once: now, or, while the runtime is stopped, first thing in the next net.run. */
void cnet_deliver(cnet_runtime *rt, cnet_event *event, int status);
/* The same for what libuv was told by a signal: the signal itself, or the end of a child. */
void cnet_deliver_signal(cnet_runtime *rt, cnet_event *event);
/* The same for the close callback of a handle, which belongs to the closing phase. */
void cnet_deliver_close(cnet_runtime *rt, cnet_event *event);
/* Delivers queued events until the list is empty or the runtime stops; tells whether there were any. */
bool cnet_protect_replay(cnet_runtime *rt, cnet_phase phase, cnet_event_list *list);

/* Makes the closure that bodies run in; the runtime has its pins and ticks. */
void cnet_protect_init(lua_State *L, cnet_runtime *rt);

#endif
