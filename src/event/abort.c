#include "event/abort.h"

#include <string.h>

#include "core/error.h"
#include "core/strict.h"
#include "core/ticks.h"

enum { SIGNAL_REASON = 1, SIGNAL_ONABORT = 2 }; /* slots of a signal */
enum { CONTROLLER_SIGNAL = 1 };                 /* slot of a controller */

typedef struct {
  cnet_emitter emitter;
  bool aborted;
} abort_signal;

typedef struct {
  cnet_object object;
} abort_controller;

/* ---- for the other modules ---- */

bool cnet_abort_test(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_ABORT_SIGNAL) != NULL;
}

void cnet_abort_check(lua_State *L, cnet_runtime *rt, int index, const char *name) {
  const char *kind = strchr(name, '.') ? "property" : "argument";
  if (!cnet_abort_test(L, rt, index)) cnet_error_arg_type(L, kind, name, "an instance of AbortSignal", index);
}

bool cnet_abort_is_aborted(lua_State *L, int index) {
  const abort_signal *self = lua_touserdata(L, index);
  return self->aborted;
}

void cnet_abort_push_reason(lua_State *L, int index) { cnet_class_slot(L, index, SIGNAL_REASON); }

void cnet_abort_push_error(lua_State *L, int index) {
  index = lua_absindex(L, index);
  cnet_error_push_abort(L);
  cnet_abort_push_reason(L, index);
  lua_setfield(L, -2, "cause");
}

void cnet_abort_add(lua_State *L, int index) { cnet_emitter_once(L, lua_absindex(L, index), "abort"); }

void cnet_abort_remove(lua_State *L, int index) { cnet_emitter_off(L, lua_absindex(L, index), "abort"); }

static int forget_signal(lua_State *L) { /* upvalues: 2 the signal, 3 its listener */
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  cnet_abort_remove(L, 1);
  return 0;
}

void cnet_abort_add_until(lua_State *L, int index, int emitter, const char *event) {
  lua_pushvalue(L, -1);
  cnet_abort_add(L, index);
  lua_pushvalue(L, index);
  lua_insert(L, -2);
  cnet_emitter_push_listener(L, forget_signal, 2);
  cnet_emitter_once(L, emitter, event);
}

/* ---- 'abort' ---- */

static int raise_again(lua_State *L) {
  lua_settop(L, 1);
  return lua_error(L);
}

/* As an EventTarget does: every listener is called, whatever those before it did, and an error of one is raised by a
 * tick of its own. Not by cnet_emit: a script's error must not keep a socket from hearing that it is aborted. */
static void dispatch(lua_State *L, cnet_runtime *rt, int self) {
  int event, listeners;
  lua_Integer i, n;
  luaL_checkstack(L, 12, NULL);
  lua_createtable(L, 0, 2);
  lua_pushliteral(L, "abort");
  lua_setfield(L, -2, "type");
  lua_pushvalue(L, self);
  lua_setfield(L, -2, "target");
  event = lua_gettop(L);
  lua_pushvalue(L, self);
  lua_pushliteral(L, "abort");
  cnet_emitter_call(L, "rawListeners", 2);
  listeners = lua_gettop(L);
  if (!lua_istable(L, listeners)) return;
  n = (lua_Integer)lua_rawlen(L, listeners);
  for (i = 1; i <= n; i++) {
    lua_pushvalue(L, self);
    lua_rawseti(L, LUA_REGISTRYINDEX, rt->self);
    lua_rawgeti(L, listeners, i);
    lua_pushvalue(L, event);
    if (lua_pcall(L, 1, 0, 0) != LUA_OK) {
      lua_pushcfunction(L, raise_again);
      lua_insert(L, -2);
      cnet_tick(L, rt, 1);
    }
  }
  lua_pushboolean(L, 0);
  lua_rawseti(L, LUA_REGISTRYINDEX, rt->self); /* a signal that has aborted is not kept */
}

/* ---- AbortSignal ---- */

static int get_aborted(lua_State *L) {
  const abort_signal *self = cnet_class_self(L, CNET_ABORT_SIGNAL);
  lua_pushboolean(L, self->aborted);
  return 1;
}

static int get_reason(lua_State *L) {
  cnet_class_self(L, CNET_ABORT_SIGNAL);
  cnet_abort_push_reason(L, 1);
  return 1;
}

static int method_throw_if_aborted(lua_State *L) {
  const abort_signal *self = cnet_class_self(L, CNET_ABORT_SIGNAL);
  if (!self->aborted) return 0;
  cnet_abort_push_reason(L, 1);
  return lua_error(L);
}

/* Listens in the place where `onabort` was first set. */
static int on_abort(lua_State *L) {
  cnet_emitter_push_self(L, CNET_ABORT_SIGNAL);
  if (cnet_class_slot(L, -1, SIGNAL_ONABORT) != LUA_TFUNCTION) return 0;
  lua_pushvalue(L, 1);
  lua_call(L, 1, 0);
  return 0;
}

static int get_onabort(lua_State *L) {
  cnet_class_self(L, CNET_ABORT_SIGNAL);
  cnet_class_slot(L, 1, SIGNAL_ONABORT);
  return 1;
}

/* As in Node, what is no function takes the handler away. */
static int set_onabort(lua_State *L) {
  bool was, is = lua_isfunction(L, 3);
  cnet_class_self(L, CNET_ABORT_SIGNAL);
  lua_settop(L, 3);
  was = cnet_class_slot(L, 1, SIGNAL_ONABORT) == LUA_TFUNCTION;
  lua_pop(L, 1);
  if (!is) {
    lua_pushnil(L);
    lua_replace(L, 3);
  }
  cnet_class_set_slot(L, 1, SIGNAL_ONABORT);
  if (was == is) return 0;
  cnet_emitter_push_listener(L, on_abort, 0);
  if (is) {
    cnet_emitter_on(L, 1, "abort");
  } else {
    cnet_emitter_off(L, 1, "abort");
  }
  return 0;
}

static void check_event(lua_State *L) {
  cnet_class_self(L, CNET_ABORT_SIGNAL);
  if (lua_isnoneornil(L, 2) || lua_isnoneornil(L, 3)) {
    cnet_error_push(L, "TypeError", "ERR_MISSING_ARGS", "The \"type\" and \"listener\" arguments must be specified");
    cnet_error_throw(L);
  }
  if (!lua_isfunction(L, 3)) cnet_error_arg_type(L, "argument", "listener", "of type function", 3);
  lua_settop(L, 4);
  luaL_tolstring(L, 2, NULL);
  lua_replace(L, 2);
}

/* A listener that is there already is not added again. */
static int method_add_event_listener(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  bool once = false, there;
  check_event(L);
  cnet_strict_event(L, rt, 1, 2);
  if (lua_istable(L, 4)) {
    lua_getfield(L, 4, "once");
    once = lua_toboolean(L, -1);
  }
  lua_settop(L, 3);
  for (int i = 1; i <= 3; i++) lua_pushvalue(L, i);
  cnet_emitter_call(L, "listenerCount", 3);
  there = lua_tointeger(L, -1) > 0;
  lua_settop(L, 3);
  if (there) return 0;
  (once ? cnet_emitter_once : cnet_emitter_on)(L, 1, lua_tostring(L, 2));
  return 0;
}

static int method_remove_event_listener(lua_State *L) {
  check_event(L);
  lua_settop(L, 3);
  cnet_emitter_off(L, 1, lua_tostring(L, 2));
  return 0;
}

static int construct_signal(lua_State *L) {
  cnet_error_push(L, "TypeError", "ERR_ILLEGAL_CONSTRUCTOR", "Illegal constructor");
  return cnet_error_throw(L);
}

static const cnet_member signal_members[] = {{"aborted", NULL, get_aborted, NULL},
                                             {"reason", NULL, get_reason, NULL},
                                             {"onabort", NULL, get_onabort, set_onabort},
                                             {"throwIfAborted", method_throw_if_aborted, NULL, NULL},
                                             {"addEventListener", method_add_event_listener, NULL, NULL},
                                             {"removeEventListener", method_remove_event_listener, NULL, NULL},
                                             {NULL, NULL, NULL, NULL}};

static const char events[] = "abort";

static const cnet_class signal_class = {.id = CNET_ABORT_SIGNAL,
                                        .events = events,
                                        .name = "AbortSignal",
                                        .parent = &cnet_emitter_class,
                                        .members = signal_members,
                                        .construct = construct_signal};

/* ---- AbortController ---- */

static int get_signal(lua_State *L) {
  cnet_class_self(L, CNET_ABORT_CONTROLLER);
  cnet_class_slot(L, 1, CONTROLLER_SIGNAL);
  return 1;
}

/* The reason Node gives is a DOMException, whose code is a number. */
static void push_default_reason(lua_State *L) {
  cnet_error_push(L, "AbortError", "ABORT_ERR", "This operation was aborted");
  lua_pushinteger(L, 20);
  lua_setfield(L, -2, "code");
}

static int method_abort(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  abort_signal *signal;
  cnet_class_self(L, CNET_ABORT_CONTROLLER);
  lua_settop(L, 2);
  cnet_class_slot(L, 1, CONTROLLER_SIGNAL);
  signal = lua_touserdata(L, 3);
  if (signal->aborted) return 0;
  if (lua_isnil(L, 2)) {
    push_default_reason(L);
  } else {
    lua_pushvalue(L, 2);
  }
  cnet_class_set_slot(L, 3, SIGNAL_REASON);
  signal->aborted = true;
  dispatch(L, rt, 3);
  return 0;
}

static const cnet_member controller_members[] = {
    {"signal", NULL, get_signal, NULL}, {"abort", method_abort, NULL, NULL}, {NULL, NULL, NULL, NULL}};

static int construct_controller(lua_State *L);

static const cnet_class controller_class = {.id = CNET_ABORT_CONTROLLER,
                                            .name = "AbortController",
                                            .members = controller_members,
                                            .construct = construct_controller};

static int construct_controller(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  abort_signal *signal;
  cnet_class_new(L, rt, sizeof(abort_controller), CNET_USERVALUES);
  signal = cnet_class_new(L, rt, sizeof *signal, CNET_USERVALUES);
  cnet_emitter_init(&signal->emitter);
  cnet_class_dress(L, &signal_class);
  cnet_class_set_slot(L, -2, CONTROLLER_SIGNAL);
  cnet_class_dress(L, &controller_class);
  return 1;
}

void cnet_abort_register(lua_State *L) {
  cnet_class_define(L, &signal_class);
  lua_setfield(L, -2, "AbortSignal");
  cnet_class_define(L, &controller_class);
  lua_setfield(L, -2, "AbortController");
}
