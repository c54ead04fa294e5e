#include "socket/pipe.h"

#include "core/error.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "socket/socket.h"
#include "stream/readable.h"

/* One pipe is a table, the link: source, destination, its listeners by name, ondrain once it was needed, cleaned. Each
 * listener is a closure over the runtime and the link. */

enum { LINK = 2 }; /* the upvalue */

static const char *const listener_names[] = {"onunpipe", "ondata", "onend", "onerror", "onclose", "onfinish", NULL};

/* Pushes what the link has under the name. */
static int push_part(lua_State *L, int link, const char *name) { return lua_getfield(L, link, name); }

/* Calls a method of the object at index object with the nargs arguments on top; leaves its first result. */
static void call_method(lua_State *L, int object, const char *method, int nargs) {
  luaL_checkstack(L, 8, NULL);
  lua_getfield(L, object, method);
  lua_insert(L, -nargs - 1);
  lua_pushvalue(L, object);
  lua_insert(L, -nargs - 1);
  lua_call(L, nargs + 1, 1);
}

/* destination:method(event, listener), or source:... */
static void change_listener(lua_State *L, int object, const char *method, const char *event, int link,
                            const char *name) {
  lua_pushstring(L, event);
  push_part(L, link, name);
  call_method(L, object, method, 2);
  lua_pop(L, 1);
}

/* Leaves link, source and destination at 1, 2 and 3, and what the listener was called with above. */
static cnet_stream *enter(lua_State *L) {
  luaL_checkstack(L, 12, NULL);
  lua_pushvalue(L, lua_upvalueindex(LINK));
  lua_insert(L, 1);
  push_part(L, 1, "source");
  lua_insert(L, 2);
  push_part(L, 1, "destination");
  lua_insert(L, 3);
  return lua_touserdata(L, 2);
}

static bool is_flag(lua_State *L, int link, const char *name) {
  bool is;
  push_part(L, link, name);
  is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

/* ---- the destinations that are full ---- */

/* Pushes the list of destinations. */
static void push_pipes(lua_State *L, int source) { cnet_class_slot_table(L, source, CNET_SLOT_PIPES); }

static void set_awaiting(lua_State *L, int source, int destination, bool on) {
  cnet_stream *s = lua_touserdata(L, source);
  if (!on && !(s->state & CNET_R_AWAIT_DRAIN)) return;
  cnet_class_slot_table(L, source, CNET_SLOT_AWAIT_DRAIN);
  s->state |= CNET_R_AWAIT_DRAIN;
  lua_pushvalue(L, destination);
  if (on) {
    lua_pushboolean(L, 1);
  } else {
    lua_pushnil(L);
  }
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static bool is_awaiting(lua_State *L, int source) {
  bool any = false;
  if (cnet_class_slot(L, source, CNET_SLOT_AWAIT_DRAIN) == LUA_TTABLE) {
    lua_pushnil(L);
    any = lua_next(L, -2);
    if (any) lua_pop(L, 2);
  }
  lua_pop(L, 1);
  return any;
}

static void drained(lua_State *L, cnet_stream *source) {
  set_awaiting(L, 2, 3, false);
  if (!is_awaiting(L, 2) && (source->state & CNET_R_DATA_LISTENING)) cnet_readable_resume(L, source, 2);
}

static int ondrain(lua_State *L) {
  drained(L, enter(L));
  return 0;
}

static void pause_source(lua_State *L, cnet_stream *source) {
  if (!is_flag(L, 1, "cleaned")) {
    push_pipes(L, 2);
    if (lua_rawlen(L, -1) == 1) source->state &= ~(unsigned)CNET_R_MULTI_PIPES;
    lua_pop(L, 1);
    set_awaiting(L, 2, 3, true);
    cnet_readable_pause(L, source, 2);
  }
  if (push_part(L, 1, "ondrain") == LUA_TNIL) {
    lua_pushvalue(L, 1);
    cnet_emitter_push_listener(L, ondrain, 1);
    lua_setfield(L, 1, "ondrain");
    change_listener(L, 3, "on", "drain", 1, "ondrain");
  }
  lua_pop(L, 1);
}

/* ---- listeners ---- */

static int write_chunk(lua_State *L) { /* (link, source, destination, chunk) */
  call_method(L, 3, "write", 1);
  if (lua_isboolean(L, -1) && !lua_toboolean(L, -1)) {
    lua_settop(L, 3);
    pause_source(L, lua_touserdata(L, 2));
  }
  return 0;
}

/* The destination's write has raised the error on top. That is the end of this destination, not of the source; where
 * nothing can be destroyed, the error goes on. */
static int destroy_destination(lua_State *L) {
  if (lua_getfield(L, 3, "destroy") == LUA_TNIL) {
    lua_pop(L, 1);
    return lua_error(L);
  }
  lua_pop(L, 1);
  call_method(L, 3, "destroy", 1);
  return 0;
}

static int ondata(lua_State *L) { /* (chunk) */
  int i;
  enter(L);
  lua_settop(L, 4);
  lua_pushcfunction(L, write_chunk);
  for (i = 1; i <= 4; i++) lua_pushvalue(L, i);
  if (lua_pcall(L, 4, 0, 0) != LUA_OK) return destroy_destination(L);
  return 0;
}

/* What stands for the 'data' listener fn of ours where it is alone: the destination, if bytes can go there past Lua. */
static void push_stand_in(lua_State *L, int fn) {
  if (lua_tocfunction(L, fn) != ondata) {
    lua_pushnil(L);
    return;
  }
  lua_getupvalue(L, fn, LINK);
  lua_getfield(L, -1, "destination");
  lua_replace(L, -2);
  if (cnet_class_test(L, cnet_runtime_open(L), -1, CNET_SOCKET)) return;
  lua_pop(L, 1);
  lua_pushnil(L);
}

static int onend(lua_State *L) {
  enter(L);
  call_method(L, 3, "end_", 0);
  return 0;
}

static void unpipe_from(lua_State *L, int source, int destination);

static int unpipe_listener(lua_State *L) {
  enter(L);
  unpipe_from(L, 2, 3);
  return 0;
}

static int onclose(lua_State *L) {
  enter(L);
  change_listener(L, 3, "removeListener", "finish", 1, "onfinish");
  unpipe_from(L, 2, 3);
  return 0;
}

static int onfinish(lua_State *L) {
  enter(L);
  change_listener(L, 3, "removeListener", "close", 1, "onclose");
  unpipe_from(L, 2, 3);
  return 0;
}

/* The destination fails: it is left, and if nobody else hears of it the error is as loud as it would have been. */
static int onerror(lua_State *L) { /* (err) */
  cnet_stream *stream;
  enter(L);
  lua_settop(L, 4);
  unpipe_from(L, 2, 3);
  change_listener(L, 3, "removeListener", "error", 1, "onerror");
  lua_pushliteral(L, "error");
  call_method(L, 3, "listenerCount", 1);
  if (lua_tointeger(L, -1) > 0) return 0;
  stream = cnet_class_test(L, cnet_runtime_of(L), 3, CNET_SOCKET);
  if (stream && !(stream->state & CNET_ERROR_EMITTED)) {
    cnet_stream_destroy(L, stream, 3, 4);
  } else {
    lua_pushliteral(L, "error");
    lua_pushvalue(L, 4);
    call_method(L, 3, "emit", 2);
  }
  return 0;
}

static void clean_up(lua_State *L, cnet_stream *source) {
  bool was_full;
  change_listener(L, 3, "removeListener", "close", 1, "onclose");
  change_listener(L, 3, "removeListener", "finish", 1, "onfinish");
  was_full = push_part(L, 1, "ondrain") != LUA_TNIL;
  lua_pop(L, 1);
  if (was_full) change_listener(L, 3, "removeListener", "drain", 1, "ondrain");
  change_listener(L, 3, "removeListener", "error", 1, "onerror");
  change_listener(L, 3, "removeListener", "unpipe", 1, "onunpipe");
  change_listener(L, 2, "removeListener", "end", 1, "onend");
  change_listener(L, 2, "removeListener", "data", 1, "ondata");
  lua_pushboolean(L, 1);
  lua_setfield(L, 1, "cleaned");
  if (was_full && (is_awaiting(L, 2) || (source->state & CNET_R_MULTI_PIPES))) drained(L, source);
}

static int onunpipe(lua_State *L) { /* (source, info) */
  cnet_stream *source = enter(L);
  lua_settop(L, 5);
  if (!lua_rawequal(L, 4, 2) || !lua_istable(L, 5) || is_flag(L, 5, "hasUnpiped")) return 0;
  lua_pushboolean(L, 1);
  lua_setfield(L, 5, "hasUnpiped");
  clean_up(L, source);
  return 0;
}

/* ---- pipe ---- */

static const lua_CFunction listeners[] = {onunpipe, ondata, onend, onerror, onclose, onfinish};

/* Pushes the link of source 1 and destination 2. */
static void push_link(lua_State *L, bool ends) {
  int i, link;
  lua_createtable(L, 0, 10);
  link = lua_gettop(L);
  lua_pushvalue(L, 1);
  lua_setfield(L, link, "source");
  lua_pushvalue(L, 2);
  lua_setfield(L, link, "destination");
  for (i = 0; listener_names[i]; i++) {
    lua_CFunction fn = listeners[i] == onend && !ends ? unpipe_listener : listeners[i];
    lua_pushvalue(L, link);
    cnet_emitter_push_listener(L, fn, 1);
    lua_setfield(L, link, listener_names[i]);
  }
}

/* Before anything is changed; what it cannot do besides shows when it is to do it, as in Node. */
static void check_destination(lua_State *L, int index) {
  int type = lua_type(L, index);
  bool emitter = type == LUA_TUSERDATA || type == LUA_TTABLE;
  if (emitter) {
    emitter = lua_getfield(L, index, "on") != LUA_TNIL;
    lua_pop(L, 1);
  }
  if (!emitter) cnet_error_arg_type(L, "argument", "destination", "an emitter with write and end_", index);
}

/* pipe(destination, {end = false}) */
static int method_pipe(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  cnet_runtime *rt = cnet_runtime_of(L);
  static const char names[] = "end end_";
  bool ends = true;
  lua_settop(L, 3);
  check_destination(L, 2);
  cnet_strict_options(L, rt, 3, "socket:pipe", names, "");
  if (lua_istable(L, 3)) {
    if (lua_getfield(L, 3, "end") == LUA_TNIL) {
      lua_pop(L, 1);
      lua_getfield(L, 3, "end_");
    }
    ends = !lua_isboolean(L, -1) || lua_toboolean(L, -1);
    lua_pop(L, 1);
  }
  push_pipes(L, 1);
  if (lua_rawlen(L, -1) == 1) s->state |= CNET_R_MULTI_PIPES;
  lua_pushvalue(L, 2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_settop(L, 2);
  push_link(L, ends); /* 3 */
  if (s->state & CNET_R_END_EMITTED) {
    push_part(L, 3, "onend");
    cnet_tick(L, rt, 0);
  } else {
    change_listener(L, 1, "once", "end", 3, "onend");
  }
  change_listener(L, 2, "on", "unpipe", 3, "onunpipe");
  change_listener(L, 1, "on", "data", 3, "ondata");
  change_listener(L, 2, "prependListener", "error", 3, "onerror");
  change_listener(L, 2, "once", "close", 3, "onclose");
  change_listener(L, 2, "once", "finish", 3, "onfinish");
  lua_pushliteral(L, "pipe");
  lua_pushvalue(L, 1);
  call_method(L, 2, "emit", 2);
  lua_settop(L, 3);
  if (lua_getfield(L, 2, "writableNeedDrain") == LUA_TBOOLEAN && lua_toboolean(L, -1)) {
    lua_settop(L, 3);
    lua_insert(L, 1); /* link, source, destination: as a listener has them */
    pause_source(L, s);
    lua_settop(L, 3);
    return 1;
  }
  if (!(s->state & CNET_R_FLOWING)) cnet_readable_resume(L, s, 1);
  lua_settop(L, 2);
  return 1;
}

/* ---- unpipe ---- */

static void tell_unpiped(lua_State *L, int source, int destination) {
  lua_pushliteral(L, "unpipe");
  lua_pushvalue(L, source);
  lua_createtable(L, 0, 1);
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "hasUnpiped");
  call_method(L, destination, "emit", 3);
  lua_pop(L, 1);
}

static void unpipe_from(lua_State *L, int source, int destination) {
  int top = lua_gettop(L), pipes = top + 1;
  lua_Integer i, n;
  bool found = false;
  push_pipes(L, source);
  n = (lua_Integer)lua_rawlen(L, pipes);
  for (i = 1; i <= n && !found; i++) {
    lua_rawgeti(L, pipes, i);
    found = lua_rawequal(L, -1, destination);
    lua_pop(L, 1);
  }
  if (found) {
    for (i--; i <= n; i++) {
      lua_rawgeti(L, pipes, i + 1);
      lua_rawseti(L, pipes, i);
    }
    if (n == 1) cnet_readable_pause(L, lua_touserdata(L, source), source);
    tell_unpiped(L, source, destination);
  }
  lua_settop(L, top);
}

/* unpipe([destination]): without one, all of them */
static int method_unpipe(lua_State *L) {
  cnet_stream *s = cnet_class_self(L, CNET_SOCKET);
  lua_Integer i, n;
  lua_settop(L, 2);
  push_pipes(L, 1);
  n = (lua_Integer)lua_rawlen(L, 3);
  if (n > 0 && !lua_isnil(L, 2)) {
    unpipe_from(L, 1, 2);
  } else if (n > 0) {
    lua_pushnil(L);
    cnet_class_set_slot(L, 1, CNET_SLOT_PIPES);
    cnet_readable_pause(L, s, 1);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, 3, i);
      tell_unpiped(L, 1, 4);
      lua_settop(L, 3);
    }
  }
  lua_settop(L, 1);
  return 1;
}

void cnet_pipe_register(lua_State *L) {
  static const luaL_Reg methods[] = {{"pipe", method_pipe}, {"unpipe", method_unpipe}, {NULL, NULL}};
  cnet_emitter_set_stand_in(L, push_stand_in);
  cnet_class_define(L, &cnet_socket_class);
  cnet_runtime_set_functions(L, methods);
  lua_pop(L, 1);
}
