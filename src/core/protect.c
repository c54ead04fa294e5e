#include "core/protect.h"

#include "core/blame.h"
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

/* An error under uv.run(): a text for luv, which knows no error objects. */
static int describe_error(lua_State *L) {
  luaL_tolstring(L, 1, NULL);
  luaL_traceback(L, L, lua_tostring(L, -1), 1);
  return 1;
}

/* The message handler while somebody wants to hear of errors: finds out whether he is to hear of this one, and calls
 * net.run's own. */
static int on_error(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  lua_settop(L, 1);
  cnet_blame_look(L, rt);
  if (!rt->turn.running) return rt->blame.blamed ? 1 : describe_error(L);
  cnet_runtime_push(L);
  if (lua_getiuservalue(L, 2, CNET_RUNTIME_HANDLER) == LUA_TFUNCTION) {
    lua_pushvalue(L, 1);
    lua_call(L, 1, 1);
  } else {
    lua_settop(L, 1);
  }
  return 1;
}

void cnet_protect_init(lua_State *L, cnet_runtime *rt) {
  cnet_runtime_push(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins.table);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks.table);
  lua_pushcclosure(L, trampoline, UP_TICKS);
  rt->entry = luaL_ref(L, LUA_REGISTRYINDEX);
  cnet_runtime_push(L);
  lua_pushcclosure(L, on_error, 1);
  rt->blame.on_error = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Keeps the error value on top of the stack without allocating. */
static void keep_error(const cnet_runtime *rt) {
  lua_State *L = rt->L;
  cnet_runtime_push(L);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, CNET_RUNTIME_ERROR);
  lua_pop(L, 1);
}

/* For net.run. */
static void park_error(cnet_runtime *rt, cnet_raised raised) {
  keep_error(rt);
  rt->turn.failed = true;
  rt->turn.raised = raised;
}

/* What the body wrote before it raised, and one body more, if it is not NULL. */
static void finish_after_error(cnet_runtime *rt, cnet_body body) {
  entry last = {rt, body, rt, false};
  if (!rt->flush && !body) return;
  lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(rt->L, &last);
  if (lua_pcall(rt->L, 1, 0, 0) != LUA_OK) lua_pop(rt->L, 1); /* no memory left to keep what the kernel did not take */
}

/* ---- errors that somebody answers for ---- */

static void end_body(lua_State *L, void *arg) {
  cnet_runtime *rt = arg;
  cnet_blame_take(L, rt);
  rt->blame.ops->end(L, lua_gettop(L));
}

/* What he raises is nobody's: it leaves net.run, and the object ends all the same. */
static void tell_body(lua_State *L, void *arg) {
  cnet_runtime *rt = arg;
  enum { RUNTIME = 1, OBJECT, ERROR };
  if (rt->flush) rt->flush(L, rt); /* what was written before the error */
  lua_settop(L, 0);
  cnet_runtime_push(L);
  lua_getiuservalue(L, RUNTIME, CNET_RUNTIME_BLAMED);
  lua_getiuservalue(L, RUNTIME, CNET_RUNTIME_ERROR);
  lua_pushboolean(L, 0);
  lua_setiuservalue(L, RUNTIME, CNET_RUNTIME_ERROR);
  rt->blame.telling = true;
  rt->blame.ops->tell(L, OBJECT, ERROR);
  rt->blame.telling = false;
  end_body(L, arg);
}

/* lua_pcall has failed, and the error is on top. While somebody answers for the error, he is told, and
 * the ticks go on. False: the error that is on top then is nobody's. */
static bool go_on_after_error(cnet_runtime *rt, entry *e, int handler, cnet_raised *raised, bool *ends) {
  lua_State *L = rt->L;
  *raised = CNET_NOT_RAISED;
  *ends = false;
  for (;;) {
    if (!e->body || *raised == CNET_NOT_RAISED) *raised = e->body ? CNET_RAISED_BY_CALLBACK : CNET_RAISED_BY_TICK;
    cnet_blame_look_after(rt);
    *ends = rt->blame.telling;
    rt->blame.telling = false;
    if (!rt->blame.blamed) return false;
    keep_error(rt);
    rt->blame.blamed = false;
    e->body = tell_body;
    e->arg = rt;
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt->entry);
    lua_pushlightuserdata(L, e);
    if (lua_pcall(L, 1, 0, handler) == LUA_OK) return true;
  }
}

/* ---- the door ---- */

static int raise_text(lua_State *L) { return lua_error(L); }

/* luv tells the text on top as it tells the errors of its own callbacks, and as a rule ends the process. */
static void leave_to_luv(lua_State *L, const cnet_runtime *rt) {
  enum { NO_TRACEBACK = 2 }; /* the text has one */
  lua_pushcfunction(L, raise_text);
  lua_insert(L, -2);
  rt->luv.pcall(L, 1, 0, NO_TRACEBACK);
}

/* The rest of entering, after an error: handler is the index of the message handler. */
__attribute__((noinline)) static void leave_with_error(cnet_runtime *rt, entry *e, int handler) {
  cnet_raised raised;
  bool ends;
  if (go_on_after_error(rt, e, handler, &raised, &ends)) return;
  if (!rt->turn.running && rt->luv.guard) {
    leave_to_luv(rt->L, rt);
  } else {
    park_error(rt, raised);
    cnet_runtime_stop(rt);
  }
  finish_after_error(rt, ends ? end_body : NULL);
}

/* The same on luv's loop: uv.run() may be what runs it, and net.run's handler need not be in the frame that we are in:
 * a callback of luv's may have called uv.run once more. */
static bool enter_on_luv(cnet_runtime *rt, cnet_phase phase, entry *e) {
  lua_State *L = rt->L;
  int top = lua_gettop(L), handler = top + 1;
  if (!lua_checkstack(L, LUA_MINSTACK)) return false;
  if (!rt->turn.running && e->body &&
      rt->ticks.head != rt->ticks.tail) { /* what the script has queued before uv.run() */
    entry ticks = {rt, NULL, NULL, false};
    enter_on_luv(rt, phase, &ticks);
  }
  rt->turn.phase = phase;
  rt->turn.in_body = rt->turn.ever_ran = true;
  if (rt->blame.answering > 0) {
    lua_rawgeti(L, LUA_REGISTRYINDEX, rt->blame.on_error);
  } else if (!rt->turn.running) {
    lua_pushcfunction(L, describe_error);
  } else {
    cnet_runtime_push(L);
    if (lua_getiuservalue(L, -1, CNET_RUNTIME_HANDLER) == LUA_TNIL) handler = 0;
    lua_replace(L, -2);
  }
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(L, e);
  if (lua_pcall(L, 1, 0, handler) != LUA_OK) leave_with_error(rt, e, handler);
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
  if (lua_pcall(L, 1, 0, rt->turn.handler) != LUA_OK) leave_with_error(rt, &e, rt->turn.handler);
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
