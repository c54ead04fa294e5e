#include "core/protect.h"

#include "core/ticks.h"

typedef struct {
  cnet_runtime *rt;
  cnet_body body;
  void *arg;
  bool entered;
} entry;

/* Upvalues: what a body needs at each call stands here, for the registry is further away. */
enum { UP_RUNTIME = 1, UP_PINS = CNET_PROTECT_PINS, UP_TICKS };

static int trampoline(lua_State *L) {
  entry *e = lua_touserdata(L, 1);
  cnet_runtime *rt = e->rt;
  e->entered = true;
  lua_settop(L, 0);
  if (e->body) {
    e->body(L, e->arg);
    e->body = NULL; /* what raises now is a tick */
  }
  for (;;) { /* Node has written by the time its ticks run */
    if (rt->flush) rt->flush(L, rt);
    if (rt->ticks.head == rt->ticks.tail) {
      rt->ticks.head = rt->ticks.tail = 1;
      return 0;
    }
    if (rt->turn.stopped) return 0;
    lua_settop(L, 0);
    cnet_ticks_run(L, rt, lua_upvalueindex(UP_TICKS));
  }
}

void cnet_protect_init(lua_State *L, cnet_runtime *rt) {
  cnet_runtime_push(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks.table);
  lua_pushcclosure(L, trampoline, UP_TICKS);
  rt->entry = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Keeps the error value on top of the stack for net.run, without allocating. */
static void park_error(cnet_runtime *rt, const entry *e) {
  lua_State *L = rt->L;
  cnet_runtime_push(L);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, CNET_RUNTIME_ERROR);
  lua_pop(L, 1);
  rt->turn.failed = true;
  rt->turn.raised = e->body ? CNET_RAISED_BY_CALLBACK : CNET_RAISED_BY_TICK;
}

/* What the body wrote before it raised. */
static void flush_after_error(cnet_runtime *rt) {
  entry nothing = {rt, NULL, NULL, false};
  if (!rt->flush) return;
  lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(rt->L, &nothing);
  if (lua_pcall(rt->L, 1, 0, 0) != LUA_OK) lua_pop(rt->L, 1); /* no memory left to keep what the kernel did not take */
}

/* An error under uv.run(): a text for luv, which knows no error objects. */
static int describe_error(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, lua_tostring(L, -1), 1);
  return 1;
}

static int raise_text(lua_State *L) { return lua_error(L); }

/* luv tells the text on top as it tells the errors of its own callbacks, and as a rule ends the process. */
static void leave_to_luv(lua_State *L, const cnet_runtime *rt) {
  enum { NO_TRACEBACK = 2 }; /* the text has one */
  lua_pushcfunction(L, raise_text);
  lua_insert(L, -2);
  rt->luv.pcall(L, 1, 0, NO_TRACEBACK);
}

/* The same on luv's loop: uv.run() may be what runs it, and net.run's handler need not be in the frame that we are in:
 * a callback of luv's may have called uv.run once more. */
static bool enter_on_luv(cnet_runtime *rt, cnet_phase phase, entry *e) {
  lua_State *L = rt->L;
  int top = lua_gettop(L);
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  if (!rt->turn.running && e->body &&
      rt->ticks.head != rt->ticks.tail) { /* what the script has queued before uv.run() */
    entry ticks = {rt, NULL, NULL, false};
    enter_on_luv(rt, phase, &ticks);
  }
  rt->turn.phase = phase;
  rt->turn.in_body = rt->turn.ever_ran = true;
  if (!rt->turn.running) {
    lua_pushcfunction(L, describe_error);
  } else {
    cnet_runtime_push(L);
    lua_getiuservalue(L, -1, CNET_RUNTIME_HANDLER);
    lua_replace(L, -2);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(L, e);
  if (lua_pcall(L, 1, 0, rt->turn.running && !rt->turn.handler ? 0 : top + 1) != LUA_OK) {
    if (rt->turn.running) {
      park_error(rt, e);
      cnet_runtime_stop(rt);
    } else {
      leave_to_luv(L, rt);
    }
    flush_after_error(rt);
  }
  lua_settop(L, top);
  rt->turn.in_body = false;
  return e->entered;
}

static bool enter(cnet_runtime *rt, cnet_phase phase, cnet_body body, void *arg) {
  lua_State *L = rt->L;
  entry e = {rt, body, arg, false};
  if (rt->luv.guard) return enter_on_luv(rt, phase, &e);
  rt->turn.phase = phase;
  rt->turn.in_body = true;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(L, &e);
  if (lua_pcall(L, 1, 0, rt->turn.handler) != LUA_OK) {
    park_error(rt, &e);
    cnet_runtime_stop(rt);
    flush_after_error(rt);
  }
  rt->turn.in_body = false;
  return e.entered;
}

void cnet_protect(cnet_runtime *rt, cnet_phase phase, cnet_body body, void *arg) { enter(rt, phase, body, arg); }

static void deliver_one(cnet_runtime *rt, cnet_phase phase, cnet_event_list *list, cnet_event *event) {
  if (!enter(rt, phase, event->deliver, event)) {
    /* Lua had no stack or memory left even for the call: the event is as it was, and comes first next time. */
    event->next = list->head;
    list->head = event;
    if (!list->tail) list->tail = event;
  }
}

static void deliver(cnet_runtime *rt, cnet_phase phase, cnet_event_list *list, cnet_event *event) {
  if (rt->closed) {
    event->drop(event);
  } else if (cnet_runtime_stop_if_held(rt) || list->head) {
    cnet_events_append(list, event);
    if (rt->luv.guard) cnet_runtime_want_ticker(rt, true);
  } else {
    deliver_one(rt, phase, list, event);
  }
}

void cnet_deliver(cnet_runtime *rt, cnet_event *event, int status) {
  event->status = status;
  deliver(rt, CNET_PHASE_POLL, &rt->events.deferred, event);
}

/* On luv's loop not from where libuv goes through what it has read of its pipe: a script that ended there would take
 * the rest with it, and libuv does not close a handle that it has still to tell of a signal. */
void cnet_deliver_signal(cnet_runtime *rt, cnet_event *event) {
  if (rt->luv.guard && !rt->closed) {
    event->status = 0;
    cnet_runtime_post(rt, event);
  } else {
    cnet_deliver(rt, event, 0);
  }
}

void cnet_deliver_close(cnet_runtime *rt, cnet_event *event) {
  deliver(rt, CNET_PHASE_CLOSING, &rt->events.closes, event);
}

bool cnet_protect_replay(cnet_runtime *rt, cnet_phase phase, cnet_event_list *list) {
  bool any = false;
  while (list->head && !rt->turn.stopped) {
    cnet_event *event = list->head;
    list->head = event->next;
    if (!list->head) list->tail = NULL;
    any = true;
    deliver_one(rt, phase, list, event);
  }
  return any;
}
