#include "event/immediate.h"

#include "core/pins.h"
#include "core/protect.h"
#include "event/timer.h"

typedef struct {
  cnet_object object;
  cnet_link link;
  bool ref;
  cnet_immediates *queues;
} immediate;

static void want_check(cnet_runtime *rt, const cnet_immediates *queues) {
  cnet_runtime_want_check(rt, queues->count > 0, queues->refs > 0);
}

static void set_ref(immediate *self, bool ref) {
  ref = ref && self->link.next;
  if (self->ref != ref) self->queues->refs += ref ? 1 : -1;
  self->ref = ref;
}

static void take_out(lua_State *L, immediate *self) {
  set_ref(self, false);
  cnet_link_remove(&self->link);
  self->queues->count--;
  cnet_unpin(L, self->object.rt, self);
}

/* ---- in the check phase ---- */

typedef struct {
  cnet_immediates *queues;
  bool entered;
} turn;

static void body(lua_State *L, void *arg) {
  turn *t = arg;
  immediate *self = CNET_CONTAINER(immediate, link, t->queues->outstanding.next);
  t->entered = true;
  cnet_pin_push(L, self->object.rt, self);
  take_out(L, self);
  lua_getiuservalue(L, -1, CNET_TIMER_CALL);
  lua_pushnil(L);
  lua_setiuservalue(L, -3, CNET_TIMER_CALL);
  cnet_timer_run_call(L);
}

static void move_all(cnet_link *to, cnet_link *from) {
  while (!cnet_link_empty(from)) {
    cnet_link *item = from->next;
    cnet_link_remove(item);
    cnet_link_append(to, item);
  }
}

/* What is queued meanwhile waits for the next turn. What a stop or an error leaves over comes first in the next
 * net.run. If it was the last one that raised, Node runs the new ones in the same turn; after a stop they wait. */
static void run_immediates(cnet_runtime *rt) {
  cnet_immediates *queues = cnet_timer_immediates(rt->L, rt);
  turn t = {queues, true};
  bool resumed = rt->turn.running && !rt->turn.in_loop;
  if (cnet_link_empty(&queues->outstanding)) {
    if (resumed && !queues->failed) return;
    move_all(&queues->outstanding, &queues->queue);
  }
  while (!rt->turn.stopped && t.entered && !cnet_link_empty(&queues->outstanding)) {
    t.entered = false; /* and stays so if Lua has no stack left for the call: it is tried again */
    cnet_protect(rt, CNET_PHASE_CHECK, body, &t);
  }
  queues->failed = rt->turn.failed;
  rt->immediates.left = !cnet_link_empty(&queues->outstanding);
  want_check(rt, queues);
}

/* ---- Immediate ---- */

static int change_ref(lua_State *L, bool ref) {
  immediate *self = cnet_class_self(L, CNET_IMMEDIATE);
  set_ref(self, ref);
  want_check(self->object.rt, self->queues);
  lua_settop(L, 1);
  return 1;
}

static int method_ref(lua_State *L) { return change_ref(L, true); }

static int method_unref(lua_State *L) { return change_ref(L, false); }

static int method_has_ref(lua_State *L) {
  const immediate *self = cnet_class_self(L, CNET_IMMEDIATE);
  lua_pushboolean(L, self->ref);
  return 1;
}

static int net_clear_immediate(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  immediate *self = cnet_class_test(L, rt, 1, CNET_IMMEDIATE);
  cnet_runtime_check(L, rt);
  if (!self || !self->link.next) return 0;
  take_out(L, self);
  want_check(rt, self->queues);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, CNET_TIMER_CALL);
  return 0;
}

static const cnet_member members[] = {{"ref", method_ref, NULL, NULL},
                                      {"unref", method_unref, NULL, NULL},
                                      {"hasRef", method_has_ref, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const cnet_class immediate_class = {
    .id = CNET_IMMEDIATE, .name = "Immediate", .members = members, .close = net_clear_immediate};

static int net_set_immediate(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_immediates *queues = cnet_timer_immediates(L, rt);
  immediate *self;
  cnet_timer_push_call(L, 2);
  self = cnet_class_new(L, rt, sizeof *self, CNET_USERVALUES);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, CNET_TIMER_CALL);
  cnet_class_dress(L, &immediate_class);
  cnet_pin(L, rt, self, -1);
  self->queues = queues;
  cnet_link_append(&queues->queue, &self->link);
  queues->count++;
  set_ref(self, true);
  rt->immediates.run = run_immediates;
  want_check(rt, queues);
  return 1;
}

void cnet_immediate_register(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"setImmediate", net_set_immediate}, {"clearImmediate", net_clear_immediate}, {NULL, NULL}};
  cnet_class_define(L, &immediate_class);
  lua_pop(L, 1);
  cnet_runtime_set_functions(L, functions);
}
