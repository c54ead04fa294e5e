/* What runs when the callback that is running has returned, as after process.nextTick.
 *
 * Layer 0, over the runtime. */
#ifndef CNET_TICKS_H
#define CNET_TICKS_H

#include "runtime.h"

/* Queues a tick: pops a function and its nargs arguments. */
void cnet_tick(lua_State *L, cnet_runtime *rt, int nargs);
/* Queues an internal tick: fn is called with the object at index. Allocates nothing but queue space. */
void cnet_tick_object(lua_State *L, cnet_runtime *rt, lua_CFunction fn, int index);
/* Runs ticks until none are left or the runtime is stopped; the queue is at index queue. Inside protect only. */
void cnet_ticks_run(lua_State *L, cnet_runtime *rt, int queue);

#endif
