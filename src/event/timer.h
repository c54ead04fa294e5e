/* Timers and immediates with Node's order: timers of one duration stand in one list, and the lists in a heap by when
 * their first timer is due, so that what was started first fires first. One uv_timer_t drives them all.
 *
 * Wing event. Other modules embed a cnet_timer in what it belongs to; net.setTimeout is built on the same. */
#ifndef CNET_TIMER_H
#define CNET_TIMER_H

#include "core/class.h"
#include "core/runtime.h"
#include "core/timer_list.h"

typedef struct cnet_timer cnet_timer;

/* Zeroed but for `fire` and `ref` before the first start. The memory must stay, and stay where it is, until
 * cnet_timer_stop: whoever starts it keeps its owner alive (cnet_pin), and the owner's __gc or close stops it. */
struct cnet_timer {
  cnet_link link;        /* in its list; next is NULL while in none */
  cnet_timer_list *list; /* held from start to stop, so that refresh needs no memory */
  cnet_runtime *rt;
  uint64_t start;
  void (*fire)(lua_State *L, cnet_timer *timer); /* runs inside protect, once for each start or refresh */
  void (*done)(cnet_timer *timer);               /* after fire, even if it raised; NULL: timer is not touched again */
  bool ref;                                      /* keeps the loop alive while active */
  bool armed;                                    /* counted, if it is ref */
};

/* (Re)starts the timer; raises if there is no memory for it, and has changed nothing then. Below 1 ms is 1 ms. */
void cnet_timer_start(lua_State *L, cnet_runtime *rt, cnet_timer *timer, lua_Number ms);
/* Begins its time anew, also after it has fired; nothing if it was never started or is stopped. Cheap, never raises. */
void cnet_timer_refresh(cnet_timer *timer);
/* Harmless on one that is not active; needed, even after it has fired, before its memory goes. */
void cnet_timer_stop(cnet_timer *timer);
bool cnet_timer_is_active(const cnet_timer *timer);
void cnet_timer_set_ref(cnet_timer *timer, bool ref);

/* The ms of net.setTimeout at an index: 1 for what no timer can have, with Node's warning, and for nil. */
lua_Number cnet_timer_delay(lua_State *L, int index);
/* Checks a duration as socket:setTimeout does: ERR_INVALID_ARG_TYPE, ERR_OUT_OF_RANGE, and too long is the longest. */
lua_Number cnet_timer_check_duration(lua_State *L, int index, const char *name);

/* ---- for event/immediate.c ---- */

typedef struct {
  cnet_link queue, outstanding; /* for the next turn; of this turn */
  int count, refs;              /* of immediates: there is no memory for as many as an int cannot count */
  bool failed;                  /* the last one that ran raised an error */
} cnet_immediates;

cnet_immediates *cnet_timer_immediates(lua_State *L, cnet_runtime *rt);

/* A timer's user value for what it calls: the function, or {function, arguments..., n = how many}; nil once cleared. A
 * timer has no listeners, so the place is free. */
enum { CNET_TIMER_CALL = CNET_LISTENERS };
/* Checks the callback, argument 1, and pushes it and the arguments from index `first` on as that value. */
void cnet_timer_push_call(lua_State *L, int first);
/* Calls the value on top. */
void cnet_timer_run_call(lua_State *L);

/* Registers net.setTimeout, setInterval, clearTimeout, clearInterval. */
void cnet_timer_register(lua_State *L);

#endif
