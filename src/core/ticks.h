/* What runs when the callback that is running has returned, as after process.nextTick.
 *
 * Wing core, over the runtime. */
#ifndef CNET_TICKS_H
#define CNET_TICKS_H

#include "core/runtime.h"

/* Queues a tick: pops a function and its nargs arguments. */
void cnet_tick(lua_State *L, cnet_runtime *rt, int nargs);
/* Queues an internal tick: fn is called with the object at index. Allocates nothing but queue space. */
void cnet_tick_object(lua_State *L, cnet_runtime *rt, lua_CFunction fn, int index);
/* The ticks queued from place `from` on come before those from place `to` on: a place is a value of rt->ticks.tail, and
 * holds while something is gathered (rt->flush). Allocates nothing. */
void cnet_ticks_move(lua_State *L, cnet_runtime *rt, lua_Integer from, lua_Integer to);
/* Runs the ticks that are queued, not those that they queue, until the runtime is stopped; the queue is at index queue.
 * Inside protect only. */
void cnet_ticks_run(lua_State *L, cnet_runtime *rt, int queue);

#endif
