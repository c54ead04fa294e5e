#include "protect.h"

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
  if (e->body) e->body(L, e->arg);
  for (;;) {
    if (rt->tick_head != rt->tick_tail) {
      lua_settop(L, 0);
      cnet_ticks_run(L, rt, lua_upvalueindex(UP_TICKS));
    }
    if (!rt->flush) return 0;
    rt->flush(L, rt);
  }
}

void cnet_protect_init(lua_State *L, cnet_runtime *rt) {
  cnet_runtime_push(L);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks);
  lua_pushcclosure(L, trampoline, UP_TICKS);
  rt->entry = luaL_ref(L, LUA_REGISTRYINDEX);
}

/* Keeps the error value on top of the stack for net.run, without allocating. */
static void park_error(cnet_runtime *rt) {
  lua_State *L = rt->L;
  cnet_runtime_push(L);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, 1);
  lua_pop(L, 1);
  rt->failed = true;
}

/* What the body wrote before it raised. */
static void flush_after_error(cnet_runtime *rt) {
  entry nothing = {rt, NULL, NULL, false};
  if (!rt->flush) return;
  lua_rawgeti(rt->L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(rt->L, &nothing);
  if (lua_pcall(rt->L, 1, 0, 0) != LUA_OK) lua_pop(rt->L, 1); /* no memory left to keep what the kernel did not take */
}

static bool enter(cnet_runtime *rt, cnet_phase phase, cnet_body body, void *arg) {
  lua_State *L = rt->L;
  entry e = {rt, body, arg, false};
  rt->phase = phase;
  rt->in_body = true;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->entry);
  lua_pushlightuserdata(L, &e);
  if (lua_pcall(L, 1, 0, rt->handler) != LUA_OK) {
    park_error(rt);
    cnet_runtime_stop(rt);
    flush_after_error(rt);
  }
  rt->in_body = false;
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
  } else if (rt->stopped || list->head) {
    cnet_events_append(list, event);
  } else {
    deliver_one(rt, phase, list, event);
  }
}

void cnet_deliver(cnet_runtime *rt, cnet_event *event, int status) {
  event->status = status;
  deliver(rt, CNET_PHASE_POLL, &rt->deferred, event);
}

void cnet_deliver_close(cnet_runtime *rt, cnet_event *event) { deliver(rt, CNET_PHASE_CLOSING, &rt->closes, event); }

bool cnet_protect_replay(cnet_runtime *rt, cnet_phase phase, cnet_event_list *list) {
  bool any = false;
  while (list->head && !rt->stopped) {
    cnet_event *event = list->head;
    list->head = event->next;
    if (!list->head) list->tail = NULL;
    any = true;
    deliver_one(rt, phase, list, event);
  }
  return any;
}
