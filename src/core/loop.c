#include "core/loop.h"

#include <string.h>

#include "core/blame.h"
#include "core/error.h"
#include "core/interrupt.h"
#include "core/protect.h"
#include "core/ticks.h"

/* ---- the check phase: immediates, then the close callbacks a stopped turn left over ---- */

static void on_check(cnet_runtime *rt) {
  rt->turn.hold_timers = false;
  if (rt->timers.rearm) rt->timers.rearm(rt);
  if (rt->events.posted.head) {
    /* what is posted while these run waits for the next turn */
    rt->events.due = rt->events.posted;
    rt->events.posted.head = rt->events.posted.tail = NULL;
    cnet_protect_replay(rt, CNET_PHASE_POLL, &rt->events.due);
    if (rt->events.due.head) {
      rt->events.due.tail->next = rt->events.posted.head;
      if (rt->events.posted.tail) rt->events.due.tail = rt->events.posted.tail;
      rt->events.posted = rt->events.due;
      rt->events.due.head = rt->events.due.tail = NULL;
    }
  }
  if (!rt->turn.stopped && rt->immediates.pending) rt->immediates.run(rt);
  if (!rt->turn.stopped) cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->events.closes);
  cnet_runtime_want_check(rt, rt->immediates.pending, rt->immediates.ref);
}

/* ---- run and stop ---- */

/* After an error Node calls what stands behind in that phase first, and the ticks only after that. */
static bool go_on_before_ticks(cnet_runtime *rt, cnet_raised raised) {
  switch (rt->turn.resume_phase) {
    case CNET_PHASE_TIMERS:
      rt->timers.run(rt);
      return false;
    case CNET_PHASE_POLL:
      return cnet_protect_replay(rt, CNET_PHASE_POLL, &rt->events.deferred);
    case CNET_PHASE_CHECK:
      if (!rt->immediates.left && raised == CNET_RAISED_BY_TICK)
        return cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->events.closes);
      rt->immediates.run(rt);
      return false;
    default:
      return cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->events.closes);
  }
}

/* Goes on where the last turn was stopped, up to where uv_run begins: with the timers. Tells whether anything was done:
 * net.run("once") need not wait then. */
static bool resume(cnet_runtime *rt) {
  bool any = rt->ticks.head != rt->ticks.tail;
  cnet_raised raised = rt->turn.raised;
  rt->turn.raised = CNET_NOT_RAISED;
  if (raised && rt->turn.resuming) any = go_on_before_ticks(rt, raised) || any;
  if (rt->turn.stopped) return true;
  cnet_protect(rt, CNET_PHASE_POLL, NULL, NULL); /* the ticks */
  any = cnet_protect_replay(rt, CNET_PHASE_POLL, &rt->events.deferred) || any;
  if (rt->turn.stopped || !rt->turn.resuming) return any;
  if (rt->turn.resume_phase == CNET_PHASE_POLL) {
    rt->turn.hold_timers = true; /* until the rest of that turn, poll, check and closing, has passed */
  } else if (rt->turn.resume_phase == CNET_PHASE_TIMERS) {
    rt->timers.run(rt);
  } else {
    if (rt->turn.resume_phase == CNET_PHASE_CHECK && rt->immediates.pending) rt->immediates.run(rt);
    if (!rt->turn.stopped) any = cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->events.closes) || any;
  }
  if (!rt->turn.stopped) rt->turn.resuming = false;
  if (rt->timers.rearm && !rt->turn.hold_timers) rt->timers.rearm(rt);
  cnet_runtime_want_check(rt, rt->immediates.pending, rt->immediates.ref);
  return any;
}

/* On luv's loop uv.run may come next, or is running: it must find what net.run would begin with. */
static void on_ticker(cnet_runtime *rt) {
  resume(rt);
  cnet_runtime_want_check(rt, rt->immediates.pending, rt->immediates.ref);
}

static bool something_alive(cnet_runtime *rt) { return cnet_runtime_has_left(rt) || uv_loop_alive(rt->loop); }

static bool in_finalizer(lua_State *L) {
  lua_Debug ar;
  int level;
  if (lua_gc(L, LUA_GCISRUNNING) < 0) return true; /* since Lua 5.4.4; also in a coroutine that a finalizer resumed */
  for (level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "n", &ar);
    if (ar.name && strcmp(ar.name, "__gc") == 0 && strcmp(ar.namewhat, "metamethod") == 0) return true;
  }
  return false;
}

/* The handler, or nil, is on top of the main thread's stack. Not everybody who wants it can see that. */
static void set_handler(cnet_runtime *rt) {
  cnet_runtime_push(rt->L);
  lua_pushvalue(rt->L, -2);
  lua_setiuservalue(rt->L, -2, CNET_RUNTIME_HANDLER);
  lua_pop(rt->L, 1);
}

static int net_run(lua_State *L) {
  static const char *const names[] = {"default", "once", "nowait", NULL};
  static const uv_run_mode modes[] = {UV_RUN_DEFAULT, UV_RUN_ONCE, UV_RUN_NOWAIT};
  cnet_runtime *rt = cnet_runtime_of(L);
  int top, handler = lua_isfunction(L, 1) ? 1 : 2;
  uv_run_mode mode = UV_RUN_DEFAULT;
  cnet_runtime_check(L, rt);
  if (handler == 2) {
    int i = 0;
    const char *name = lua_isnoneornil(L, 1) ? "default" : lua_tostring(L, 1);
    while (names[i] && !(name && strcmp(names[i], name) == 0)) i++;
    if (!names[i]) return cnet_error_arg_value(L, "argument", "mode", 1, "must be one of 'default', 'once', 'nowait'");
    mode = modes[i];
    if (!lua_isnoneornil(L, 2) && !lua_isfunction(L, 2))
      return cnet_error_arg_type(L, "argument", "handler", "of type function", 2);
  }
  if (rt->turn.running || rt->turn.in_body)
    return luaL_error(L, "net.run() is running already: call it outside of callbacks");
  if (in_finalizer(L)) return luaL_error(L, "net.run() cannot be called in a finalizer");
  if (!rt->entry) cnet_protect_init(L, rt);
  lua_settop(L, 2);
  top = lua_gettop(rt->L);
  if (!lua_checkstack(rt->L, LUA_MINSTACK + 3)) return luaL_error(L, "stack overflow");
  lua_pushvalue(L, handler);
  if (L != rt->L) lua_xmove(L, rt->L, 1);
  rt->turn.script_handler = lua_isfunction(rt->L, -1) ? lua_gettop(rt->L) : 0;
  set_handler(rt);
  lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->blame.on_error);
  rt->turn.blame_handler = lua_gettop(rt->L);
  cnet_blame_choose_handler(rt);
  if (rt->luv.guard) cnet_runtime_want_ticker(rt, false);
  rt->turn.running = rt->turn.ever_ran = true;
  rt->turn.stopped = rt->turn.failed = false;
  cnet_interrupt_arm(rt);
  if (resume(rt) && mode == UV_RUN_ONCE) mode = UV_RUN_NOWAIT;
  if (!rt->turn.stopped) {
    rt->turn.in_loop = true;
    uv_run(rt->loop, mode);
    rt->turn.in_loop = false;
  }
  cnet_interrupt_disarm(rt);
  rt->turn.running = rt->turn.stopped = false;
  rt->turn.handler = rt->turn.script_handler = rt->turn.blame_handler = 0;
  lua_pushnil(rt->L);
  set_handler(rt);
  lua_settop(rt->L, rt->L == L ? 2 : top);
  if (rt->luv.guard && cnet_runtime_has_left(rt)) cnet_runtime_want_ticker(rt, true);
  if (rt->turn.failed) {
    rt->turn.failed = false;
    cnet_runtime_push(L);
    lua_getiuservalue(L, -1, CNET_RUNTIME_ERROR);
    lua_pushboolean(L, 0);
    lua_setiuservalue(L, -3, CNET_RUNTIME_ERROR);
    return lua_error(L);
  }
  lua_pushboolean(L, something_alive(rt));
  return 1;
}

static int net_stop(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  cnet_runtime_stop(rt);
  return 0;
}

static int net_backend_fd(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  lua_pushinteger(L, uv_backend_fd(rt->loop));
  return 1;
}

static int net_backend_timeout(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  bool waiting;
  cnet_runtime_check(L, rt);
  waiting = cnet_runtime_has_left(rt);
  if (!waiting) uv_update_time(rt->loop);
  /* libuv says 0 when nothing is alive: a host that polled with that would spin */
  lua_pushinteger(L, waiting ? 0 : uv_loop_alive(rt->loop) ? uv_backend_timeout(rt->loop) : -1);
  return 1;
}

static int net_next_tick(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  if (!lua_isfunction(L, 1)) return cnet_error_arg_type(L, "argument", "callback", "of type function", 1);
  cnet_tick(L, rt, lua_gettop(L) - 1);
  return 0;
}

/* ---- registration ---- */

static const cnet_loop_ops loop_ops = {on_check, on_ticker, cnet_interrupt_on_wake, cnet_interrupt_disarm};

void cnet_loop_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", net_run},
                                       {"stop", net_stop},
                                       {"backendFd", net_backend_fd},
                                       {"backendTimeout", net_backend_timeout},
                                       {"nextTick", net_next_tick},
                                       {NULL, NULL}};
  cnet_runtime_open(L)->loop_ops = &loop_ops;
  cnet_runtime_set_functions(L, functions);
}
