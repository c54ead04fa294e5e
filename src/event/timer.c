#include "event/timer.h"

#include <float.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/args.h"
#include "core/class.h"
#include "core/error.h"
#include "core/pins.h"
#include "core/protect.h"

#define TIMEOUT_MAX 2147483647.0

struct cnet_timers {
  cnet_runtime *rt;
  cnet_disposable disposable;
  uv_timer_t handle;
  cnet_timer_lists lists;
  uint64_t next_expiry, now; /* `now` of the turn: one that was stopped goes on with it */
  int refs;                  /* of timers: there is no memory for as many as an int cannot count */
  cnet_timer *running;       /* its `done` is due */
  bool entered;
  cnet_immediates immediates;
};

typedef struct cnet_timers timers_t;
CNET_RIGHT_BEFORE(timers_t, disposable, handle);

/* ---- the one uv_timer_t ---- */

static void on_timer(uv_timer_t *handle);
static void run_timers(cnet_runtime *rt);

static void on_dispose(uv_handle_t *handle) {
  timers_t *timers = CNET_CONTAINER(timers_t, handle, handle);
  cnet_timer_list_free_all(&timers->lists);
  free(timers);
}

static timers_t *timers_of(lua_State *L, cnet_runtime *rt) {
  timers_t *timers = rt->timers.state;
  cnet_runtime_check(L, rt);
  if (timers) return timers;
  timers = calloc(1, sizeof *timers);
  if (!timers) luaL_error(L, "not enough memory");
  timers->disposable.dispose = on_dispose;
  timers->rt = rt;
  timers->next_expiry = UINT64_MAX;
  cnet_link_init(&timers->immediates.queue);
  cnet_link_init(&timers->immediates.outstanding);
  uv_timer_init(rt->loop, &timers->handle);
  uv_unref((uv_handle_t *)&timers->handle);
  cnet_runtime_adopt(rt, (uv_handle_t *)&timers->handle);
  rt->timers.state = timers;
  rt->timers.run = run_timers;
  return timers;
}

cnet_immediates *cnet_timer_immediates(lua_State *L, cnet_runtime *rt) { return &timers_of(L, rt)->immediates; }

/* As Node's getLibuvNow: a callback that took long does not make the timers it starts due early. */
static uint64_t fresh_now(const timers_t *timers) {
  uv_update_time(timers->rt->loop);
  return uv_now(timers->rt->loop);
}

static void count_ref(timers_t *timers, int change) {
  timers->refs += change;
  if (timers->refs > 0) {
    uv_ref((uv_handle_t *)&timers->handle);
  } else {
    uv_unref((uv_handle_t *)&timers->handle);
  }
}

/* Puts the timer at the end of its list, and the list into the heap if it is not there. Cannot fail. */
static void append(timers_t *timers, cnet_timer *timer, uint64_t start) {
  cnet_timer_list *list = timer->list;
  cnet_link_remove(&timer->link);
  timer->start = start;
  if (list->position == 0) {
    cnet_timer_list_queue(&timers->lists, list, start + list->ms);
    if (timers->next_expiry > list->expiry) {
      uv_timer_start(&timers->handle, on_timer, list->ms, 0);
      timers->next_expiry = list->expiry;
    }
  }
  cnet_link_append(&list->timers, &timer->link);
}

static void arm(timers_t *timers, cnet_timer *timer) {
  if (!timer->armed) {
    timer->armed = true;
    if (timer->ref) count_ref(timers, 1);
  }
  append(timers, timer, fresh_now(timers));
}

static void disarm(timers_t *timers, cnet_timer *timer) {
  cnet_link_remove(&timer->link);
  if (timer->armed && timer->ref) count_ref(timers, -1);
  timer->armed = false;
}

static bool try_start(timers_t *timers, cnet_timer *timer, uint32_t ms) {
  cnet_timer_list *list = cnet_timer_list_hold(&timers->lists, ms);
  if (!list) return false;
  cnet_timer_stop(timer);
  timer->rt = timers->rt;
  timer->list = list;
  arm(timers, timer);
  return true;
}

void cnet_timer_start(lua_State *L, cnet_runtime *rt, cnet_timer *timer, lua_Number ms) {
  uint32_t whole = ms >= 1 ? (uint32_t)(ms > TIMEOUT_MAX ? TIMEOUT_MAX : ms) : 1;
  if (!try_start(timers_of(L, rt), timer, whole)) luaL_error(L, "not enough memory");
}

void cnet_timer_refresh(cnet_timer *timer) {
  if (timer->list && !timer->rt->closed) arm(timer->rt->timers.state, timer);
}

void cnet_timer_stop(cnet_timer *timer) {
  cnet_timer_list *list = timer->list;
  timers_t *timers;
  if (!list) return;
  timer->list = NULL;
  if (timer->rt->closed) return;
  timers = timer->rt->timers.state;
  if (timers->running == timer) timers->running = NULL;
  if (timer->armed) {
    disarm(timers, timer);
    /* As in Node: the list that an unref'd timer leaves empty stays, since one like it is likely to come. */
    if (timer->ref && list->position > 0 && cnet_link_empty(&list->timers))
      cnet_timer_list_unqueue(&timers->lists, list);
  }
  cnet_timer_list_release(&timers->lists, list);
}

bool cnet_timer_is_active(const cnet_timer *timer) { return timer->link.next != NULL; }

void cnet_timer_set_ref(cnet_timer *timer, bool ref) {
  if (timer->ref == ref) return;
  timer->ref = ref;
  if (timer->armed && !timer->rt->closed) count_ref(timer->rt->timers.state, ref ? 1 : -1);
}

/* ---- timers fire ---- */

/* The timer that is due next in this turn, NULL if none is. It is still in its list. */
static cnet_timer *next_due(timers_t *timers) {
  cnet_timer_list *list;
  while ((list = cnet_timer_list_first(&timers->lists)) && list->expiry <= timers->now) {
    cnet_timer *timer = (cnet_timer *)list->timers.next;
    if (cnet_link_empty(&list->timers)) {
      cnet_timer_list_unqueue(&timers->lists, list);
    } else if (timer->start + list->ms <= timers->now) {
      return timer;
    } else {
      cnet_timer_list_delay_first(&timers->lists, timer->start + list->ms);
    }
  }
  return NULL;
}

static void finish(timers_t *timers) {
  cnet_timer *timer = timers->running;
  timers->running = NULL;
  if (timer) timer->done(timer);
}

static void fire_body(lua_State *L, void *arg) {
  cnet_timer *timer = arg;
  timers_t *timers = timer->rt->timers.state;
  timers->entered = true;
  if (timer->done) {
    cnet_link_remove(&timer->link);
    timers->running = timer;
  } else {
    disarm(timers, timer);
  }
  timer->fire(L, timer);
  finish(timers);
}

/* Goes on with the turn that `now` began: also called by net.run for the rest of a turn that was stopped. */
static void run_timers(cnet_runtime *rt) {
  timers_t *timers = rt->timers.state;
  cnet_timer_list *list;
  cnet_timer *timer;
  timers->next_expiry = UINT64_MAX;
  timers->entered = true;
  while (!rt->turn.stopped && timers->entered && (timer = next_due(timers))) {
    timers->entered = false; /* and stays so if Lua has no stack left for the call: the timer is tried again */
    cnet_protect(rt, CNET_PHASE_TIMERS, fire_body, timer);
    finish(timers);
  }
  list = cnet_timer_list_first(&timers->lists);
  if (list) {
    uint64_t now = uv_now(rt->loop);
    uv_timer_start(&timers->handle, on_timer, list->expiry > now ? list->expiry - now : 1, 0);
    timers->next_expiry = list->expiry;
  }
}

/* Before the loop goes on: from libuv 1.45 on a stopped turn still ends with its timers, and those that were put off
 * then would be due only after what the next turn polls. */
static void rearm_timers(cnet_runtime *rt) {
  uv_timer_start(&rt->timers.state->handle, on_timer, 0, 0);
  rt->timers.rearm = NULL;
}

static void on_timer(uv_timer_t *handle) {
  timers_t *timers = CNET_CONTAINER(timers_t, handle, handle);
  cnet_runtime *rt = timers->rt;
  if (rt->closed) return;
  if (cnet_runtime_stop_if_held(rt) || rt->turn.hold_timers) {
    uv_timer_start(handle, on_timer, 1, 0); /* 0 would be due in this turn again, for ever */
    rt->timers.rearm = rearm_timers;
    return;
  }
  timers->now = fresh_now(timers);
  run_timers(rt);
}

/* ---- calls from Lua ---- */

void cnet_timer_push_call(lua_State *L, int first) {
  int i, n = lua_gettop(L) - first + 1;
  if (!lua_isfunction(L, 1)) cnet_error_arg_type(L, "argument", "callback", "of type function", 1);
  if (n <= 0) {
    lua_pushvalue(L, 1);
    return;
  }
  lua_createtable(L, n + 1, 1);
  lua_pushvalue(L, 1);
  lua_rawseti(L, -2, 1);
  for (i = 0; i < n; i++) {
    lua_pushvalue(L, first + i);
    lua_rawseti(L, -2, i + 2);
  }
  lua_pushinteger(L, n + 1);
  lua_setfield(L, -2, "n");
}

void cnet_timer_run_call(lua_State *L) {
  int i, n, call = lua_gettop(L);
  if (lua_isfunction(L, call)) {
    lua_call(L, 0, 0);
  } else if (lua_istable(L, call)) {
    lua_getfield(L, call, "n");
    n = (int)lua_tointeger(L, -1); /* what cnet_timer_push_call had on the stack */
    lua_pop(L, 1);
    luaL_checkstack(L, n, "too many arguments");
    for (i = 1; i <= n; i++) lua_rawgeti(L, call, i);
    lua_call(L, n - 1, 0);
  }
}

static void warn_overflow(lua_State *L, int index, const char *consequence) {
  lua_Number ms = lua_tonumber(L, index);
  char text[32] = "Infinity";
  if (ms <= DBL_MAX) snprintf(text, sizeof text, "%.14g", (double)ms);
  fprintf(stderr, "TimeoutOverflowWarning: %s does not fit into a 32-bit signed integer.\n%s\n", text, consequence);
}

/* Node warns of these two once, though of an overflow each time. */
static void warn_once(atomic_flag *warned, const char *name, const char *what, lua_Number ms) {
  char text[32] = "NaN";
  if (atomic_flag_test_and_set(warned)) return;
  if (ms < -DBL_MAX) {
    strcpy(text, "-Infinity");
  } else if (!isnan(ms)) {
    snprintf(text, sizeof text, "%.14g", (double)ms);
  }
  fprintf(stderr, "%s: %s is %s.\nTimeout duration was set to 1.\n", name, text, what);
}

lua_Number cnet_timer_delay(lua_State *L, int index) {
  static atomic_flag negative = ATOMIC_FLAG_INIT, not_a_number = ATOMIC_FLAG_INIT;
  lua_Number ms = lua_isnoneornil(L, index) ? 1 : cnet_to_number(L, index);
  if (ms >= 1 && ms <= TIMEOUT_MAX) return ms;
  if (ms > TIMEOUT_MAX) {
    warn_overflow(L, index, "Timeout duration was set to 1.");
  } else if (isnan(ms)) {
    warn_once(&not_a_number, "TimeoutNaNWarning", "not a number", ms);
  } else if (ms < 0) {
    warn_once(&negative, "TimeoutNegativeWarning", "a negative number", ms);
  }
  return 1;
}

lua_Number cnet_timer_check_duration(lua_State *L, int index, const char *name) {
  lua_Number ms = lua_tonumber(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", name, "of type number", index);
  if (!(ms >= 0) || ms > DBL_MAX) return cnet_error_out_of_range(L, name, "a non-negative finite number", index);
  if (ms <= TIMEOUT_MAX) return ms;
  warn_overflow(L, index, "Timer duration was truncated to 2147483647.");
  return TIMEOUT_MAX;
}

/* ---- Timeout ---- */

typedef struct {
  cnet_object object;
  cnet_timer timer;
  uint32_t ms;
  bool repeat, cleared;
} timeout;

static void fire_timeout(lua_State *L, cnet_timer *timer) {
  timeout *self = CNET_CONTAINER(timeout, timer, timer);
  if (self->repeat) timer->start = fresh_now(timer->rt->timers.state);
  cnet_pin_push(L, timer->rt, self);
  lua_getiuservalue(L, -1, CNET_TIMER_CALL);
  cnet_timer_run_call(L);
}

/* Node's finally: an interval goes on even after an error, a timeout is over unless it was refreshed. */
static void done_timeout(cnet_timer *timer) {
  timeout *self = CNET_CONTAINER(timeout, timer, timer);
  if (self->repeat) {
    append(timer->rt->timers.state, timer, timer->start);
  } else if (!cnet_timer_is_active(timer)) {
    cnet_runtime *rt = timer->rt;
    cnet_timer_stop(timer);
    cnet_unpin(rt->L, rt, self);
  }
}

static void start_timeout(lua_State *L, timeout *self, int index) {
  cnet_runtime *rt = self->object.rt;
  timers_t *timers = timers_of(L, rt);
  cnet_pin(L, rt, self, index);
  if (try_start(timers, &self->timer, self->ms)) return;
  cnet_unpin(L, rt, self);
  luaL_error(L, "not enough memory");
}

static void clear_timeout(lua_State *L, timeout *self, int index) {
  index = lua_absindex(L, index);
  lua_pushnil(L);
  lua_setiuservalue(L, index, CNET_TIMER_CALL);
  if (!self->timer.armed) return;
  self->cleared = true;
  cnet_timer_stop(&self->timer);
  cnet_unpin(L, self->object.rt, self);
}

static int method_refresh(lua_State *L) {
  timeout *self = cnet_class_self(L, CNET_TIMEOUT);
  if (self->timer.list) {
    cnet_timer_refresh(&self->timer);
  } else if (!self->cleared) {
    start_timeout(L, self, 1);
  }
  lua_settop(L, 1);
  return 1;
}

static int method_ref(lua_State *L) {
  timeout *self = cnet_class_self(L, CNET_TIMEOUT);
  cnet_timer_set_ref(&self->timer, true);
  lua_settop(L, 1);
  return 1;
}

static int method_unref(lua_State *L) {
  timeout *self = cnet_class_self(L, CNET_TIMEOUT);
  cnet_timer_set_ref(&self->timer, false);
  lua_settop(L, 1);
  return 1;
}

static int method_has_ref(lua_State *L) {
  const timeout *self = cnet_class_self(L, CNET_TIMEOUT);
  lua_pushboolean(L, self->timer.ref);
  return 1;
}

static int method_close(lua_State *L) {
  clear_timeout(L, cnet_class_self(L, CNET_TIMEOUT), 1);
  lua_settop(L, 1);
  return 1;
}

static const cnet_member timeout_members[] = {
    {"refresh", method_refresh, NULL, NULL}, {"ref", method_ref, NULL, NULL},     {"unref", method_unref, NULL, NULL},
    {"hasRef", method_has_ref, NULL, NULL},  {"close", method_close, NULL, NULL}, {NULL, NULL, NULL, NULL}};

static const cnet_class timeout_class = {
    .id = CNET_TIMEOUT, .name = "Timeout", .members = timeout_members, .close = method_close};

static int new_timeout(lua_State *L, bool repeat) {
  cnet_runtime *rt = cnet_runtime_of(L);
  timeout *self;
  uint32_t ms;
  cnet_runtime_check(L, rt);
  if (lua_gettop(L) < 2) lua_settop(L, 2);
  cnet_timer_push_call(L, 3);
  ms = (uint32_t)cnet_timer_delay(L, 2);
  self = cnet_class_new(L, rt, sizeof *self, CNET_USERVALUES);
  self->timer.fire = fire_timeout;
  self->timer.done = done_timeout;
  self->timer.ref = true;
  self->ms = ms;
  self->repeat = repeat;
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, CNET_TIMER_CALL);
  cnet_class_dress(L, &timeout_class);
  start_timeout(L, self, -1);
  return 1;
}

static int net_set_timeout(lua_State *L) { return new_timeout(L, false); }

static int net_set_interval(lua_State *L) { return new_timeout(L, true); }

static int net_clear_timeout(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  timeout *self = cnet_class_test(L, rt, 1, CNET_TIMEOUT);
  cnet_runtime_check(L, rt);
  if (self) clear_timeout(L, self, 1);
  return 0;
}

void cnet_timer_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"setTimeout", net_set_timeout},
                                       {"setInterval", net_set_interval},
                                       {"clearTimeout", net_clear_timeout},
                                       {"clearInterval", net_clear_timeout},
                                       {NULL, NULL}};
  cnet_class_define(L, &timeout_class);
  lua_pop(L, 1);
  cnet_runtime_set_functions(L, functions);
}
