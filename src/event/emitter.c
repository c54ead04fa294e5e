#include "event/emitter.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "core/args.h"
#include "core/blame.h"
#include "core/error.h"
#include "core/strict.h"

/* The listeners' table: an event's name -> its function, or an array of them; 1..n -> the names in the order they
 * were first used. (A number as a name becomes a string, so the two never meet.) */

static const char error_monitor = 0;
static const char listeners_key = 0; /* registry: internal listener's C function -> its closure */

/* A listeners' table begins with room for 'data', 'end', 'error' and 'close'. */
enum { DEFAULT_MAX_LISTENERS = 10, USUAL_EVENTS = 4 };

/* Upvalues of a once wrapper. */
enum { ONCE_EMITTER = 2, ONCE_NAME, ONCE_FUNCTION, ONCE_FIRED };

static int once_wrapper(lua_State *L);

static bool is_once(lua_State *L, int index) { return lua_tocfunction(L, index) == once_wrapper; }

/* Pushes the function the script gave: what a once wrapper wraps, or the listener itself. */
static void push_unwrapped(lua_State *L, int index) {
  if (is_once(L, index)) {
    lua_getupvalue(L, index, ONCE_FUNCTION);
  } else {
    lua_pushvalue(L, index);
  }
}

/* Makes the value at index a valid event name, in place. */
static void check_name(lua_State *L, int index) {
  int type = lua_type(L, index);
  if (type == LUA_TNUMBER) {
    int whole;
    lua_Integer n = lua_tointegerx(L, index, &whole);
    if (whole) { /* 1.0 is "1", as in JavaScript */
      lua_pushinteger(L, n);
      lua_replace(L, index);
    }
    lua_tostring(L, index);
  } else if (type == LUA_TNIL || type == LUA_TNONE) {
    cnet_error_arg_type(L, "argument", "eventName", "of type string", index);
  }
}

static void check_listener(lua_State *L, int index) {
  if (!lua_isfunction(L, index)) cnet_error_arg_type(L, "argument", "listener", "of type function", index);
}

/* Pushes the entry of an event: nil, a function or an array. Pushes one value in all. */
static int push_entry(lua_State *L, int self, int name) {
  int type;
  if (lua_getiuservalue(L, self, CNET_LISTENERS) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_pushnil(L);
    return LUA_TNIL;
  }
  lua_pushvalue(L, name);
  type = lua_rawget(L, -2);
  lua_replace(L, -2);
  return type;
}

static lua_Integer entry_count(lua_State *L, int self, int name) {
  int type = push_entry(L, self, name);
  lua_Integer n = type == LUA_TFUNCTION ? 1 : type == LUA_TTABLE ? (lua_Integer)lua_rawlen(L, -1) : 0;
  lua_pop(L, 1);
  return n;
}

typedef struct {
  cnet_stand_in *stand_in;
} state;

static const cnet_room room = {sizeof(state), NULL};

void cnet_emitter_set_stand_in(lua_State *L, cnet_stand_in *stand_in) {
  state *s = cnet_runtime_room(L, cnet_runtime_open(L), &room);
  s->stand_in = stand_in;
}

/* Pushes what stands in the hot listener's user value for the C function at index fn. */
static void push_stand_in(lua_State *L, const cnet_runtime *rt, int fn) {
  const state *s = cnet_rooms_find(&rt->rooms, &room);
  if (s && s->stand_in) {
    s->stand_in(L, fn);
  } else {
    lua_pushnil(L);
  }
}

static void push_listeners_table(lua_State *L, int self) {
  cnet_class_push_table(L, self, CNET_LISTENERS, USUAL_EVENTS);
}

/* Sets the entry of an event to the value on top, which it pops. */
static void set_entry(lua_State *L, int self, int name) {
  const cnet_object *object = lua_touserdata(L, self);
  const cnet_class *class = object->class;
  if (class->hot_event && lua_type(L, name) == LUA_TSTRING && strcmp(lua_tostring(L, name), class->hot_event) == 0) {
    if (lua_isfunction(L, -1) && !lua_iscfunction(L, -1)) {
      lua_pushvalue(L, -1);
    } else if (lua_isfunction(L, -1)) {
      push_stand_in(L, object->rt, lua_gettop(L));
    } else {
      lua_pushnil(L);
    }
    lua_setiuservalue(L, self, class->hot_listener);
  }
  push_listeners_table(L, self);
  lua_insert(L, -2);
  lua_pushvalue(L, name);
  lua_insert(L, -2);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

/* Forgets an event that has no listeners left. */
static void drop_event(lua_State *L, int self, int name) {
  lua_Integer i, n;
  push_listeners_table(L, self);
  n = (lua_Integer)lua_rawlen(L, -1);
  for (i = 1; i <= n; i++) {
    bool same;
    lua_rawgeti(L, -1, i);
    same = lua_rawequal(L, -1, name);
    lua_pop(L, 1);
    if (same) break;
  }
  for (; i <= n; i++) {
    lua_rawgeti(L, -1, i + 1);
    lua_rawseti(L, -2, i);
  }
  lua_pushnil(L);
  set_entry(L, self, name);
  lua_pop(L, 1);
}

/* ---- emit ---- */

/* Remembers the emitter whose event the listener that is about to run hears; 0: none, nor keeps it alive. */
static void set_heard(lua_State *L, cnet_runtime *rt, int self) {
  if (self) {
    lua_pushvalue(L, self);
  } else {
    lua_pushboolean(L, 0);
  }
  lua_rawseti(L, LUA_REGISTRYINDEX, rt->self);
}

/* Calls the function at index fn, with the nargs values from `first` on. */
static void call_listener(lua_State *L, cnet_runtime *rt, int self, int fn, int first, int nargs) {
  int i;
  bool foreign = !lua_iscfunction(L, fn);
  if (!foreign) set_heard(L, rt, self); /* it may be one of ours, and ask whose event this is */
  lua_pushvalue(L, fn);
  for (i = 0; i < nargs; i++) lua_pushvalue(L, first + i);
  cnet_blame_call(L, rt, self, nargs);
  if (!foreign) set_heard(L, rt, 0);
}

/* The name and then nargs arguments are on top; all are popped. Removing a listener while the event is emitted does
 * not change who hears it: the listeners are copied to the stack first. */
static bool emit(lua_State *L, cnet_runtime *rt, int self, int nargs) {
  int name = lua_gettop(L) - nargs, first = name + 1, entry, type;
  luaL_checkstack(L, nargs + 8, "too many arguments");
  type = push_entry(L, self, name);
  entry = lua_gettop(L);
  if (type == LUA_TFUNCTION) {
    call_listener(L, rt, self, entry, first, nargs);
  } else if (type == LUA_TTABLE) {
    int i, n = cnet_places((lua_Integer)lua_rawlen(L, entry));
    luaL_checkstack(L, cnet_places((lua_Integer)n + nargs + 4), "too many listeners");
    for (i = 1; i <= n; i++) lua_rawgeti(L, entry, i);
    for (i = 1; i <= n; i++) call_listener(L, rt, self, entry + i, first, nargs);
  }
  lua_settop(L, name - 1);
  return type != LUA_TNIL;
}

static int raise_unhandled(lua_State *L) {
  lua_settop(L, 1);
  return cnet_error_raise_unhandled(L);
}

/* An 'error': the monitors hear it first, and it is raised if nobody else does. */
static bool emit_error(lua_State *L, cnet_runtime *rt, int self, int nargs) {
  int name = lua_gettop(L) - nargs, i;
  lua_pushlightuserdata(L, (void *)&error_monitor);
  if (push_entry(L, self, lua_gettop(L)) != LUA_TNIL) {
    lua_pop(L, 1);
    luaL_checkstack(L, nargs, "too many arguments");
    for (i = 1; i <= nargs; i++) lua_pushvalue(L, name + i);
    emit(L, rt, self, nargs);
  } else {
    lua_pop(L, 2);
  }
  if (push_entry(L, self, name) == LUA_TNIL) {
    if (nargs == 0) lua_pushnil(L);
    lua_settop(L, name + 1);
    lua_pushcfunction(L, raise_unhandled);
    lua_insert(L, -2);
    cnet_blame_call(L, rt, self, 1);
  }
  lua_pop(L, 1);
  return emit(L, rt, self, nargs);
}

bool cnet_emit(lua_State *L, int self, const char *event, int nargs) {
  cnet_runtime *rt = ((cnet_object *)lua_touserdata(L, self))->rt;
  luaL_checkstack(L, 8, NULL);
  lua_pushstring(L, event);
  if (nargs > 0) lua_insert(L, -nargs - 1);
  if (strcmp(event, "error") == 0) return emit_error(L, rt, self, nargs);
  return emit(L, rt, self, nargs);
}

bool cnet_emit_hot(lua_State *L, int self, const cnet_class *class) {
  if (lua_getiuservalue(L, self, class->hot_listener) != LUA_TFUNCTION) {
    lua_pop(L, 1);
    return cnet_emit(L, self, class->hot_event, 1);
  }
  lua_insert(L, -2);
  cnet_blame_call(L, ((cnet_object *)lua_touserdata(L, self))->rt, self, 1);
  return true;
}

static int method_emit(lua_State *L) {
  bool heard, error;
  cnet_class_self(L, CNET_EVENT_EMITTER);
  check_name(L, 2);
  error = lua_type(L, 2) == LUA_TSTRING && strcmp(lua_tostring(L, 2), "error") == 0;
  heard = (error ? emit_error : emit)(L, cnet_runtime_of(L), 1, lua_gettop(L) - 2);
  lua_pushboolean(L, heard);
  return 1;
}

void *cnet_emitter_push_self(lua_State *L, cnet_class_id id) {
  cnet_runtime *rt = cnet_runtime_of(L);
  void *object;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->self);
  object = cnet_class_test(L, rt, -1, id);
  if (!object) luaL_error(L, "an internal listener was called by hand");
  return object;
}

/* ---- adding ---- */

static void hook(lua_State *L, int self, int name, cnet_listener_change change) {
  const cnet_class *class = ((cnet_object *)lua_touserdata(L, self))->class;
  if (class->on_listeners) class->on_listeners(L, self, name, change);
}

static lua_Number max_listeners(lua_State *L, int self) {
  const cnet_emitter *emitter = lua_touserdata(L, self);
  return emitter->max_listeners < 0 ? DEFAULT_MAX_LISTENERS : emitter->max_listeners;
}

/* Warns once for each list of listeners that has outgrown the limit; the list is on top. */
static void warn_if_many(lua_State *L, int self, int name) {
  lua_Number limit = max_listeners(L, self);
  lua_Integer n = (lua_Integer)lua_rawlen(L, -1);
  if (limit <= 0 || (lua_Number)n <= limit) return;
  if (lua_getfield(L, -1, "warned") == LUA_TNIL) {
    lua_pushboolean(L, 1);
    lua_setfield(L, -3, "warned");
    luaL_getmetafield(L, self, "__name");
    luaL_tolstring(L, name, NULL);
    fprintf(stderr,
            "MaxListenersExceededWarning: Possible EventEmitter memory leak detected. %lld %s listeners added to [%s]. "
            "MaxListeners is %.14g. Use emitter:setMaxListeners() to increase limit\n",
            (long long)n, lua_tostring(L, -1), lua_tostring(L, -2), (double)limit);
    lua_pop(L, 2);
  }
  lua_pop(L, 1);
}

/* Inserts the function at index fn into the array on top. */
static void insert_listener(lua_State *L, int fn, bool front) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, -1);
  if (front) {
    for (i = n; i >= 1; i--) {
      lua_rawgeti(L, -1, i);
      lua_rawseti(L, -2, i + 1);
    }
    n = 0;
  }
  lua_pushvalue(L, fn);
  lua_rawseti(L, -2, n + 1);
}

static bool has_listeners(lua_State *L, int self, const char *event) { return cnet_emitter_count(L, self, event) > 0; }

static void emit_change(lua_State *L, int self, const char *event, int name, int fn) {
  if (!((cnet_emitter *)lua_touserdata(L, self))->watched || !has_listeners(L, self, event)) return;
  lua_pushstring(L, event);
  lua_pushvalue(L, name);
  push_unwrapped(L, fn);
  emit(L, ((cnet_object *)lua_touserdata(L, self))->rt, self, 2);
}

static void watch(lua_State *L, int self, int name) {
  const char *event = lua_type(L, name) == LUA_TSTRING ? lua_tostring(L, name) : "";
  if (event[0] != 'n' && event[0] != 'r') return;
  if (strcmp(event, "newListener") == 0 || strcmp(event, "removeListener") == 0)
    ((cnet_emitter *)lua_touserdata(L, self))->watched = true;
}

/* Adds the function at index fn, which may be a once wrapper. */
static void add(lua_State *L, int self, int name, int fn, bool front) {
  int top = lua_gettop(L), all = top + 1, list = top + 2, old = top + 3, type;
  luaL_checkstack(L, 16, NULL);
  emit_change(L, self, "newListener", name, fn);
  watch(L, self, name);
  push_listeners_table(L, self);
  lua_pushvalue(L, name);
  type = lua_rawget(L, all);
  if (type == LUA_TFUNCTION) { /* a finalizer may change it, where this allocates */
    lua_createtable(L, 2, 0);
    lua_replace(L, list);
    lua_pushvalue(L, name);
    type = lua_rawget(L, all);
  }
  if (type == LUA_TTABLE) {
    insert_listener(L, fn, front);
    warn_if_many(L, self, name);
  } else if (type == LUA_TFUNCTION) {
    lua_pushvalue(L, front ? fn : old);
    lua_rawseti(L, list, 1);
    lua_pushvalue(L, front ? old : fn);
    lua_rawseti(L, list, 2);
    lua_pushvalue(L, list);
    set_entry(L, self, name);
    lua_settop(L, list);
    warn_if_many(L, self, name);
  } else {
    lua_pushvalue(L, fn);
    set_entry(L, self, name);
    lua_pushvalue(L, name);
    lua_rawseti(L, all, (lua_Integer)lua_rawlen(L, all) + 1);
  }
  lua_settop(L, top);
}

/* ---- removing ---- */

/* The place of the last entry that is the function at index fn, or a once wrapper around it; 0 if there is none. */
static lua_Integer find_listener(lua_State *L, int list, int fn) {
  lua_Integer i;
  for (i = (lua_Integer)lua_rawlen(L, list); i >= 1; i--) {
    bool same;
    lua_rawgeti(L, list, i);
    same = lua_rawequal(L, -1, fn);
    if (!same && is_once(L, -1)) {
      lua_getupvalue(L, -1, ONCE_FUNCTION);
      same = lua_rawequal(L, -1, fn);
      lua_pop(L, 1);
    }
    lua_pop(L, 1);
    if (same) return i;
  }
  return 0;
}

/* Takes entry i out of the array at index list; what is left of two stands alone again, as in Node, where a list that
 * outgrows the limit anew is then warned of anew. */
static void take_out(lua_State *L, int self, int name, int list, lua_Integer i) {
  lua_Integer n = (lua_Integer)lua_rawlen(L, list);
  for (; i <= n; i++) {
    lua_rawgeti(L, list, i + 1);
    lua_rawseti(L, list, i);
  }
  if (n > 2) return;
  lua_rawgeti(L, list, 1);
  set_entry(L, self, name);
}

/* Removes the function at index fn; tells whether it was there. */
static bool remove_listener(lua_State *L, int self, int name, int fn) {
  int top = lua_gettop(L), type;
  bool found = false;
  luaL_checkstack(L, 16, NULL);
  type = push_entry(L, self, name);
  if (type == LUA_TFUNCTION) {
    int entry = lua_gettop(L);
    found = lua_rawequal(L, entry, fn);
    if (!found && is_once(L, entry)) {
      lua_getupvalue(L, entry, ONCE_FUNCTION);
      found = lua_rawequal(L, -1, fn);
    }
    if (found) drop_event(L, self, name);
  } else if (type == LUA_TTABLE) {
    lua_Integer i = find_listener(L, top + 1, fn);
    found = i != 0;
    if (found) take_out(L, self, name, top + 1, i);
  }
  lua_settop(L, top);
  if (found) emit_change(L, self, "removeListener", name, fn);
  return found;
}

static int once_wrapper(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  int nargs = lua_gettop(L);
  lua_Debug ar;
  if (lua_toboolean(L, lua_upvalueindex(ONCE_FIRED))) return 0;
  luaL_checkstack(L, 8, NULL);
  lua_pushvalue(L, lua_upvalueindex(ONCE_EMITTER));
  lua_pushvalue(L, lua_upvalueindex(ONCE_NAME));
  lua_getstack(L, 0, &ar);
  lua_getinfo(L, "f", &ar); /* this very wrapper */
  remove_listener(L, nargs + 1, nargs + 2, nargs + 3);
  hook(L, nargs + 1, nargs + 2, CNET_LISTENER_REMOVED); /* as in Node, even if a listener before it has removed it */
  lua_pushboolean(L, 1);
  lua_replace(L, lua_upvalueindex(ONCE_FIRED));
  lua_settop(L, nargs + 1);
  lua_rawseti(L, LUA_REGISTRYINDEX, rt->self);
  lua_pushvalue(L, lua_upvalueindex(ONCE_FUNCTION));
  lua_insert(L, 1);
  lua_call(L, nargs, LUA_MULTRET);
  return lua_gettop(L);
}

/* Replaces the function on top by a once wrapper around it. */
static void wrap_once(lua_State *L, int self, int name) {
  cnet_runtime_push(L);
  lua_pushvalue(L, self);
  lua_pushvalue(L, name);
  lua_pushvalue(L, -4);
  lua_pushboolean(L, 0);
  lua_pushcclosure(L, once_wrapper, ONCE_FIRED);
  lua_replace(L, -2);
}

/* Removes all listeners of the event that are there by now. As in Node it is one removal to whoever changes with the
 * listeners; but where somebody hears of it, it is one for each, the last one first. */
static void clear_event(lua_State *L, int self, int name) {
  int top = lua_gettop(L), i, n = 1;
  luaL_checkstack(L, 16, NULL);
  if (push_entry(L, self, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return;
  }
  if (!has_listeners(L, self, "removeListener")) {
    drop_event(L, self, name);
    lua_settop(L, top);
    return;
  }
  if (lua_istable(L, -1)) {
    n = (int)lua_rawlen(L, -1);
    luaL_checkstack(L, n, "too many listeners");
    for (i = 1; i <= n; i++) lua_rawgeti(L, top + 1, i);
    lua_remove(L, top + 1);
  }
  for (i = n; i >= 1; i--) {
    remove_listener(L, self, name, top + i);
    hook(L, self, name, CNET_LISTENER_REMOVED);
  }
  lua_settop(L, top);
}

static void clear_all(lua_State *L, int self) {
  int top = lua_gettop(L), names, remove_listener_name;
  lua_Integer i, n;
  bool told = has_listeners(L, self, "removeListener");
  push_listeners_table(L, self);
  n = (lua_Integer)lua_rawlen(L, -1);
  lua_createtable(L, cnet_places(n), 0);
  names = lua_gettop(L);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, names - 1, i);
    lua_rawseti(L, names, i);
  }
  lua_pushliteral(L, "removeListener");
  remove_listener_name = lua_gettop(L);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, names, i);
    if (!lua_rawequal(L, -1, remove_listener_name)) {
      clear_event(L, self, lua_gettop(L));
      if (told) hook(L, self, lua_gettop(L), CNET_LISTENERS_CLEARED); /* Node clears them one by one then */
    }
    lua_pop(L, 1);
  }
  clear_event(L, self, remove_listener_name);
  lua_settop(L, top);
}

/* ---- methods ---- */

static int add_method(lua_State *L, bool once, bool front) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_class_self(L, CNET_EVENT_EMITTER);
  check_name(L, 2);
  check_listener(L, 3);
  cnet_strict_event(L, rt, 1, 2);
  lua_settop(L, 3);
  if (once) wrap_once(L, 1, 2);
  add(L, 1, 2, 3, front);
  hook(L, 1, 2, front ? CNET_LISTENER_PREPENDED : CNET_LISTENER_ADDED);
  lua_settop(L, 1);
  return 1;
}

static int method_on(lua_State *L) { return add_method(L, false, false); }

static int method_once(lua_State *L) { return add_method(L, true, false); }

static int method_prepend_listener(lua_State *L) { return add_method(L, false, true); }

static int method_prepend_once_listener(lua_State *L) { return add_method(L, true, true); }

static int method_remove_listener(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_class_self(L, CNET_EVENT_EMITTER);
  check_name(L, 2);
  check_listener(L, 3);
  cnet_strict_event(L, rt, 1, 2);
  lua_settop(L, 3);
  remove_listener(L, 1, 2, 3);
  hook(L, 1, 2, CNET_LISTENER_REMOVED);
  lua_settop(L, 1);
  return 1;
}

static int method_remove_all_listeners(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_class_self(L, CNET_EVENT_EMITTER);
  lua_settop(L, 2);
  if (lua_isnil(L, 2)) {
    clear_all(L, 1);
    hook(L, 1, 0, CNET_LISTENERS_CLEARED);
  } else {
    check_name(L, 2);
    cnet_strict_event(L, rt, 1, 2);
    clear_event(L, 1, 2);
    hook(L, 1, 2, CNET_LISTENERS_CLEARED);
  }
  lua_settop(L, 1);
  return 1;
}

static int method_listener_count(lua_State *L) {
  lua_Integer n = 0;
  cnet_class_self(L, CNET_EVENT_EMITTER);
  check_name(L, 2);
  cnet_strict_event(L, cnet_runtime_of(L), 1, 2);
  lua_settop(L, 3);
  if (lua_isnil(L, 3)) {
    lua_pushinteger(L, entry_count(L, 1, 2));
    return 1;
  }
  if (push_entry(L, 1, 2) == LUA_TFUNCTION) {
    push_unwrapped(L, 4);
    n = lua_rawequal(L, 4, 3) || lua_rawequal(L, 5, 3);
  } else if (lua_istable(L, 4)) {
    lua_Integer i, all = (lua_Integer)lua_rawlen(L, 4);
    for (i = 1; i <= all; i++) {
      lua_rawgeti(L, 4, i);
      push_unwrapped(L, 5);
      n += lua_rawequal(L, 5, 3) || lua_rawequal(L, 6, 3);
      lua_settop(L, 4);
    }
  }
  lua_pushinteger(L, n);
  return 1;
}

static int list_method(lua_State *L, bool unwrap) {
  int type;
  cnet_class_self(L, CNET_EVENT_EMITTER);
  check_name(L, 2);
  lua_settop(L, 2);
  lua_newtable(L);
  type = push_entry(L, 1, 2);
  if (type == LUA_TFUNCTION) {
    if (unwrap) push_unwrapped(L, 4);
    lua_rawseti(L, 3, 1);
  } else if (type == LUA_TTABLE) {
    lua_Integer i, n = (lua_Integer)lua_rawlen(L, 4);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, 4, i);
      if (unwrap) push_unwrapped(L, 5);
      lua_rawseti(L, 3, i);
      lua_settop(L, 4);
    }
  }
  lua_settop(L, 3);
  return 1;
}

static int method_listeners(lua_State *L) { return list_method(L, true); }

static int method_raw_listeners(lua_State *L) { return list_method(L, false); }

static int method_event_names(lua_State *L) {
  cnet_class_self(L, CNET_EVENT_EMITTER);
  lua_settop(L, 1);
  lua_newtable(L);
  if (lua_getiuservalue(L, 1, CNET_LISTENERS) == LUA_TTABLE) {
    lua_Integer i, n = (lua_Integer)lua_rawlen(L, 3);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, 3, i);
      lua_rawseti(L, 2, i);
    }
  }
  lua_settop(L, 2);
  return 1;
}

static int method_set_max_listeners(lua_State *L) {
  cnet_emitter *emitter = cnet_class_self(L, CNET_EVENT_EMITTER);
  lua_Number n;
  if (lua_type(L, 2) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", "setMaxListeners", "of type number", 2);
  n = lua_tonumber(L, 2);
  if (!(n >= 0)) return cnet_error_out_of_range(L, "setMaxListeners", ">= 0", 2);
  emitter->max_listeners = n;
  lua_settop(L, 1);
  return 1;
}

static int method_get_max_listeners(lua_State *L) {
  lua_Number n;
  cnet_class_self(L, CNET_EVENT_EMITTER);
  n = max_listeners(L, 1);
  lua_pushnumber(L, n);
  if (n == floor(n) && n < 1e15) {
    lua_pop(L, 1);
    lua_pushinteger(L, (lua_Integer)n);
  }
  return 1;
}

/* ---- for the other modules ---- */

static void add_internal(lua_State *L, int self, const char *event, bool once) {
  int fn = lua_gettop(L), name = fn + 1;
  lua_pushstring(L, event);
  if (once) {
    lua_pushvalue(L, fn);
    wrap_once(L, self, name);
    lua_replace(L, fn);
  }
  add(L, self, name, fn, false);
  hook(L, self, name, CNET_LISTENER_ADDED);
  lua_settop(L, fn - 1);
}

void cnet_emitter_on(lua_State *L, int self, const char *event) { add_internal(L, self, event, false); }

void cnet_emitter_once(lua_State *L, int self, const char *event) { add_internal(L, self, event, true); }

void cnet_emitter_off(lua_State *L, int self, const char *event) {
  int fn = lua_gettop(L);
  lua_pushstring(L, event);
  remove_listener(L, self, fn + 1, fn);
  hook(L, self, fn + 1, CNET_LISTENER_REMOVED);
  lua_settop(L, fn - 1);
}

lua_Integer cnet_emitter_count(lua_State *L, int self, const char *event) {
  lua_Integer n;
  lua_pushstring(L, event);
  n = entry_count(L, self, lua_gettop(L));
  lua_pop(L, 1);
  return n;
}

void cnet_emitter_push_listener(lua_State *L, lua_CFunction fn, int extra) {
  if (extra > 0) {
    cnet_runtime_push(L);
    lua_insert(L, -extra - 1);
    lua_pushcclosure(L, fn, extra + 1);
    return;
  }
  lua_rawgetp(L, LUA_REGISTRYINDEX, &listeners_key);
  lua_pushcfunction(L, fn);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pop(L, 1);
    cnet_runtime_push(L);
    lua_pushcclosure(L, fn, 1);
    lua_pushcfunction(L, fn);
    lua_pushvalue(L, -2);
    lua_rawset(L, -4);
  }
  lua_remove(L, -2);
}

/* ---- the class ---- */

static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  cnet_emitter *emitter = cnet_class_new(L, rt, sizeof *emitter, CNET_USERVALUES);
  cnet_emitter_init(emitter);
  cnet_class_dress(L, &cnet_emitter_class);
  return 1;
}

static const cnet_member members[] = {{"on", method_on, NULL, NULL},
                                      {"addListener", method_on, NULL, NULL},
                                      {"once", method_once, NULL, NULL},
                                      {"prependListener", method_prepend_listener, NULL, NULL},
                                      {"prependOnceListener", method_prepend_once_listener, NULL, NULL},
                                      {"off", method_remove_listener, NULL, NULL},
                                      {"removeListener", method_remove_listener, NULL, NULL},
                                      {"removeAllListeners", method_remove_all_listeners, NULL, NULL},
                                      {"emit", method_emit, NULL, NULL},
                                      {"listenerCount", method_listener_count, NULL, NULL},
                                      {"listeners", method_listeners, NULL, NULL},
                                      {"rawListeners", method_raw_listeners, NULL, NULL},
                                      {"eventNames", method_event_names, NULL, NULL},
                                      {"setMaxListeners", method_set_max_listeners, NULL, NULL},
                                      {"getMaxListeners", method_get_max_listeners, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

const cnet_class cnet_emitter_class = {
    .id = CNET_EVENT_EMITTER, .name = "net.EventEmitter", .members = members, .construct = construct};

void cnet_emitter_call(lua_State *L, const char *method, int nargs) {
  cnet_class_define(L, &cnet_emitter_class);
  lua_getfield(L, -1, method);
  lua_remove(L, -2);
  lua_insert(L, -nargs - 1);
  lua_call(L, nargs, 1);
}

void cnet_emitter_register(lua_State *L) {
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &listeners_key) == LUA_TNIL) {
    lua_newtable(L);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &listeners_key);
  }
  lua_pop(L, 1);
  cnet_class_define(L, &cnet_emitter_class);
  lua_setfield(L, -2, "EventEmitter");
  lua_pushlightuserdata(L, (void *)&error_monitor);
  lua_setfield(L, -2, "errorMonitor");
}
