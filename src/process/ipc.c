#include "process/ipc.h"

#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "process/handoff.h"
#include "process/socket_list.h"

/* The channel of the object, NULL if it has none or it has ended; pushes it, or what is there instead. */
static cnet_channel *push_channel(lua_State *L, int self) {
  return cnet_class_slot(L, self, CNET_SLOT_IPC) == LUA_TUSERDATA ? cnet_channel_at(L, -1) : NULL;
}

static cnet_runtime *runtime_of(lua_State *L, int self) { return ((cnet_object *)lua_touserdata(L, self))->rt; }

static void push_target(lua_State *L, int channel) { cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_TARGET); }

/* Queues a tick that calls fn with the nargs values on top, which it pops. */
static void tick(lua_State *L, cnet_runtime *rt, lua_CFunction fn, int nargs) {
  cnet_emitter_push_listener(L, fn, 0);
  lua_insert(L, -nargs - 1);
  cnet_tick(L, rt, nargs);
}

/* ---- messages ---- */

/* Messages that wait for a listener: an array of {message, handle}, of which the first ones are delivered already. */

static void keep_message(lua_State *L, int self, int message) {
  lua_createtable(L, 2, 0);
  lua_pushvalue(L, message);
  lua_rawseti(L, -2, 1);
  lua_pushvalue(L, message + 1);
  lua_rawseti(L, -2, 2);
  cnet_class_slot_table(L, self, CNET_SLOT_IPC_WAITING);
  lua_insert(L, -2);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* Delivers what waits; if a listener raises or stops the loop, the next tick goes on. */
static int tick_waiting(lua_State *L) {
  lua_Integer next;
  bool queued = false;
  lua_settop(L, 1);
  while (!runtime_of(L, 1)->turn.stopped && cnet_emitter_count(L, 1, "message") > 0 &&
         cnet_class_slot(L, 1, CNET_SLOT_IPC_WAITING) != LUA_TNIL) {
    next = cnet_get_integer(L, 2, "taken") + 1;
    lua_rawgeti(L, 2, next);
    if (next == (lua_Integer)lua_rawlen(L, 2)) {
      lua_pushnil(L);
      cnet_class_set_slot(L, 1, CNET_SLOT_IPC_WAITING);
    } else {
      cnet_set_integer(L, 2, "taken", next);
      lua_pushboolean(L, 0);
      lua_rawseti(L, 2, next);
      if (!queued) {
        queued = true;
        lua_pushvalue(L, 1);
        tick(L, runtime_of(L, 1), tick_waiting, 1);
      }
    }
    lua_rawgeti(L, 3, 1);
    lua_rawgeti(L, 3, 2);
    cnet_emit(L, 1, "message", 2);
    lua_settop(L, 1);
  }
  return 0;
}

/* Emits 'message' with (message, handle) at index message and the next one; behind what waits, if anything does. */
static void emit_message(lua_State *L, int self, int message) {
  bool behind = cnet_class_slot(L, self, CNET_SLOT_IPC_WAITING) != LUA_TNIL;
  lua_pop(L, 1);
  if (behind || cnet_emitter_count(L, self, "message") == 0) {
    keep_message(L, self, message);
  } else {
    lua_pushvalue(L, message);
    lua_pushvalue(L, message + 1);
    cnet_emit(L, self, "message", 2);
  }
}

void cnet_ipc_on_listeners(lua_State *L, int self) {
  if (cnet_class_slot(L, self, CNET_SLOT_IPC_WAITING) != LUA_TNIL && cnet_emitter_count(L, self, "message") > 0) {
    lua_pushvalue(L, self);
    tick(L, runtime_of(L, self), tick_waiting, 1);
  }
  lua_pop(L, 1);
}

void cnet_ipc_follow_listeners(lua_State *L, int self) {
  bool heard = cnet_emitter_count(L, self, "message") + cnet_emitter_count(L, self, "disconnect") > 0;
  if (push_channel(L, self)) cnet_channel_want_ref(L, lua_gettop(L), heard);
  lua_pop(L, 1);
}

/* An object whose cmd begins with NODE_, and has more: between the two sides, and no message of the script's. */
static bool is_internal(lua_State *L, int message) {
  bool is = false;
  if (lua_istable(L, message)) {
    lua_pushliteral(L, "cmd");
    is =
        lua_rawget(L, message) == LUA_TSTRING && lua_rawlen(L, -1) > 5 && strncmp(lua_tostring(L, -1), "NODE_", 5) == 0;
    lua_pop(L, 1);
  }
  return is;
}

/* ---- what the channel tells ---- */

static void on_internal(lua_State *L, int channel, int self, int message, int native) {
  cnet_channel *c = cnet_channel_at(L, channel);
  if (!cnet_socket_list_on_message(L, channel, message) && c->on_internal) c->on_internal(L, self, message, native);
  if (cnet_emitter_count(L, self, "internalMessage") == 0) return;
  lua_pushvalue(L, message);
  if (native) lua_pushvalue(L, native);
  cnet_emit(L, self, "internalMessage", native ? 2 : 1);
}

static void on_message(lua_State *L, int channel, int message) {
  int self = lua_gettop(L) + 1;
  push_target(L, channel);
  if (is_internal(L, message)) {
    on_internal(L, channel, self, message, 0);
  } else {
    lua_pushvalue(L, message);
    lua_pushnil(L);
    emit_message(L, self, self + 1);
  }
}

static int tick_emit_message(lua_State *L) { /* (self, message, handle) */
  lua_settop(L, 3);
  emit_message(L, 1, 2);
  return 0;
}

/* The message follows in a tick: after the 'listening' of a server that came. */
static void on_handle(lua_State *L, int channel, int envelope, int native) {
  int self = lua_gettop(L) + 1;
  push_target(L, channel);
  lua_getfield(L, envelope, "msg");
  cnet_handoff_unpack(L, channel, envelope, native);
  if (is_internal(L, self + 1)) {
    on_internal(L, channel, self, self + 1, lua_isnil(L, self + 2) ? 0 : self + 2);
  } else {
    tick(L, runtime_of(L, self), tick_emit_message, 3);
  }
}

static void on_error(lua_State *L, int channel) {
  push_target(L, channel);
  lua_insert(L, -2);
  cnet_emit(L, lua_gettop(L) - 1, "error", 1);
}

static int tick_after_end(lua_State *L) { /* (channel, self) */
  cnet_channel_at(L, 1)->owner->after_end(L, 2);
  return 0;
}

static void on_closed(lua_State *L, int channel) {
  push_target(L, channel);
  cnet_channel_at(L, channel)->owner->after_end(L, lua_gettop(L));
  lua_pop(L, 1);
}

static void on_end(lua_State *L, int channel) {
  int self = lua_gettop(L) + 1;
  push_target(L, channel);
  lua_pushboolean(L, 0);
  cnet_class_set_slot(L, self, CNET_SLOT_IPC);
  if (!cnet_channel_at(L, channel)->ended_there) {
    lua_pushvalue(L, channel);
    lua_pushvalue(L, self);
    tick(L, runtime_of(L, self), tick_after_end, 2); /* even if a listener raises */
  }
  cnet_socket_list_on_end(L, channel);
  cnet_emit(L, self, "disconnect", 0);
}

static const cnet_channel_ops channel_ops = {cnet_handoff_pack, on_message, on_handle, on_error, on_closed, on_end};

/* ---- for the other modules ---- */

void cnet_ipc_open(lua_State *L, int self, int native, const cnet_channel_owner *owner) {
  cnet_channel_push(L, native, self, &channel_ops, owner);
  cnet_class_set_slot(L, self, CNET_SLOT_IPC);
}

bool cnet_ipc_is_connected(lua_State *L, int self) {
  cnet_channel *c = push_channel(L, self);
  lua_pop(L, 1);
  return c && c->connected;
}

int cnet_ipc_fd(lua_State *L, int self) {
  cnet_channel *c = push_channel(L, self);
  lua_pop(L, 1);
  return c && c->handle ? cnet_handle_fd(c->handle) : -1;
}

cnet_channel *cnet_ipc_channel(lua_State *L, int self) {
  cnet_channel *c = push_channel(L, self);
  lua_pop(L, 1);
  return c && c->handle ? c : NULL;
}

bool cnet_ipc_send(lua_State *L, int self, int message, int native) {
  bool there = cnet_ipc_is_connected(L, self);
  if (!there) return false;
  push_channel(L, self);
  cnet_channel_send(L, lua_gettop(L), message, native, false, 0, true);
  lua_pop(L, 1);
  return true;
}

void cnet_ipc_on_internal(lua_State *L, int self, cnet_ipc_internal fn) {
  cnet_channel *c = push_channel(L, self);
  if (c) c->on_internal = fn;
  lua_pop(L, 1);
}

void cnet_ipc_keep(lua_State *L, int self) {
  cnet_channel *c = push_channel(L, self);
  if (c) {
    c->keep = true;
    cnet_channel_want_ref(L, lua_gettop(L), c->ref);
  }
  lua_pop(L, 1);
}

void cnet_ipc_disconnect(lua_State *L, int self) {
  if (cnet_ipc_is_connected(L, self)) {
    push_channel(L, self);
    cnet_channel_disconnect(L, lua_gettop(L));
    lua_pop(L, 1);
  } else {
    cnet_error_push(L, "Error", "ERR_IPC_DISCONNECTED", "IPC channel is already disconnected");
    cnet_emit(L, self, "error", 1);
  }
}

/* ---- members: those of objects that have, or had, a channel ---- */

/* The object, which is a ChildProcess or net.process. */
static cnet_runtime *check_self(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  if (!cnet_class_test(L, rt, 1, CNET_CHILD_PROCESS)) cnet_class_self(L, CNET_PROCESS);
  cnet_runtime_check(L, rt);
  return rt;
}

static int tick_error(lua_State *L) { /* (self, error) */
  lua_settop(L, 2);
  cnet_emit(L, 1, "error", 1);
  return 0;
}

static void fail_closed(lua_State *L, cnet_runtime *rt, int callback) {
  lua_pushvalue(L, callback ? callback : 1);
  cnet_error_push(L, "Error", "ERR_IPC_CHANNEL_CLOSED", "Channel closed");
  if (callback) {
    cnet_tick(L, rt, 1);
  } else {
    tick(L, rt, tick_error, 2);
  }
}

static void check_message(lua_State *L, int message) {
  int type = lua_type(L, message);
  if (type == LUA_TNIL) {
    cnet_error_push(L, "TypeError", "ERR_MISSING_ARGS", "The \"message\" argument must be specified");
    cnet_error_throw(L);
  }
  if (type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TNUMBER && type != LUA_TBOOLEAN)
    cnet_error_arg_type(L, "argument", "message", "one of type string, table, number, or boolean", message);
}

/* send(message[, handle[, options]][, callback]) */
static int method_send(lua_State *L) {
  cnet_runtime *rt = check_self(L);
  static const char names[] = "keepOpen";
  bool keep_open = false, good = false;
  int callback, handle;
  lua_settop(L, 5);
  callback = lua_isfunction(L, 3) ? 3 : lua_isfunction(L, 4) ? 4 : lua_isfunction(L, 5) ? 5 : 0;
  handle = callback != 3 && cnet_truthy(L, 3) ? 3 : 0;
  if (callback != 3 && callback != 4 && !lua_isnil(L, 4)) {
    if (!lua_istable(L, 4)) return cnet_error_arg_type(L, "argument", "options", "of type table", 4);
    cnet_strict_options(L, rt, 4, "send", names, "");
    lua_getfield(L, 4, "keepOpen");
    keep_open = cnet_truthy(L, -1);
  }
  if (!cnet_ipc_is_connected(L, 1)) {
    fail_closed(L, rt, callback);
  } else {
    check_message(L, 2);
    if (handle) cnet_handoff_check(L, rt, handle);
    push_channel(L, 1);
    good = cnet_channel_send(L, lua_gettop(L), 2, handle, keep_open, callback, false);
  }
  lua_pushboolean(L, good);
  return 1;
}

static int method_disconnect(lua_State *L) {
  check_self(L);
  lua_settop(L, 1);
  cnet_ipc_disconnect(L, 1);
  return 0;
}

/* A program that nobody has forked has none of these, as in Node: the function, or nil. */
static int get_function(lua_State *L, lua_CFunction fn) {
  check_self(L);
  if (cnet_class_slot(L, 1, CNET_SLOT_IPC) == LUA_TNIL &&
      !cnet_class_test(L, cnet_runtime_of(L), 1, CNET_CHILD_PROCESS))
    return 0;
  cnet_emitter_push_listener(L, fn, 0);
  return 1;
}

static int get_send(lua_State *L) { return get_function(L, method_send); }

static int get_disconnect(lua_State *L) { return get_function(L, method_disconnect); }

static int set_function(lua_State *L) { /* (self, name, value): a script's own in its place */
  check_self(L);
  lua_settop(L, 3);
  cnet_class_push_fields(L, 1);
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

static int get_connected(lua_State *L) {
  check_self(L);
  lua_settop(L, 1);
  if (cnet_class_slot(L, 1, CNET_SLOT_IPC) == LUA_TNIL &&
      !cnet_class_test(L, cnet_runtime_of(L), 1, CNET_CHILD_PROCESS))
    return 0;
  lua_pushboolean(L, cnet_ipc_is_connected(L, 1));
  return 1;
}

static int get_channel(lua_State *L) {
  check_self(L);
  return push_channel(L, 1) ? 1 : 0;
}

const cnet_member cnet_ipc_members[] = {{"send", NULL, get_send, set_function},
                                        {"disconnect", NULL, get_disconnect, set_function},
                                        {"connected", NULL, get_connected, NULL},
                                        {"channel", NULL, get_channel, NULL},
                                        {NULL, NULL, NULL, NULL}};
