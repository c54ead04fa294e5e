#include "process/channel.h"

#include <string.h>

#include "core/error.h"
#include "core/ticks.h"
#include "event/emitter.h"
#include "handle/requests.h"
#include "text/json_reader.h"

static cnet_channel *self_channel(lua_State *L) { return cnet_class_self(L, CNET_CHANNEL); }

static cnet_runtime *runtime_of(const cnet_channel *c) { return c->object.rt; }

/* ---- messages come in ---- */

static bool is_command(lua_State *L, int message, const char *command) {
  bool is;
  message = lua_absindex(L, message);
  if (!lua_istable(L, message)) return false;
  lua_pushliteral(L, "cmd");
  is = lua_rawget(L, message) == LUA_TSTRING && strcmp(lua_tostring(L, -1), command) == 0;
  lua_pop(L, 1);
  return is;
}

/* A handle that Node's parent sends again comes as a raw one, with the first envelope for its message. */
static void receive_handle(lua_State *L, cnet_channel *c, int envelope, int native) {
  if (!cnet_native_test(L, runtime_of(c), native)) {
    cnet_channel_acknowledge(L, c, 1, false);
    return;
  }
  cnet_channel_acknowledge(L, c, 1, true);
  while (lua_getfield(L, envelope, "msg") == LUA_TTABLE && is_command(L, lua_gettop(L), "NODE_HANDLE"))
    lua_replace(L, envelope);
  lua_pop(L, 1);
  c->ops->on_handle(L, 1, envelope, native);
}

static int tick_message(lua_State *L) { /* (channel, message, net.Native) */
  cnet_channel *c = cnet_channel_at(L, 1);
  lua_settop(L, 3);
  if (is_command(L, 2, "NODE_HANDLE")) {
    receive_handle(L, c, 2, 3);
  } else if (is_command(L, 2, "NODE_HANDLE_ACK")) {
    cnet_channel_on_acknowledged(L, c, 1, true);
  } else if (is_command(L, 2, "NODE_HANDLE_NACK")) {
    cnet_channel_on_acknowledged(L, c, 1, false);
  } else {
    c->ops->on_message(L, 1, 2);
  }
  return 0;
}

/* Pushes the net.Native that came first, nil if none is there. A handle comes with its line's first byte, so they are
 * in the lines' order. */
static void push_received(lua_State *L, int channel) {
  lua_Integer i = 1;
  if (cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_RECEIVED) == LUA_TNIL) return;
  lua_rawgeti(L, -1, 1);
  for (; lua_rawgeti(L, -2, i + 1) != LUA_TNIL; i++) lua_rawseti(L, -3, i);
  lua_rawseti(L, -3, i);
  lua_remove(L, -2);
}

static bool is_blank(const char *line, size_t size) {
  while (size > 0 && (*line == ' ' || *line == '\t' || *line == '\r')) {
    line++;
    size--;
  }
  return size == 0;
}

/* A line has come. An empty one, which Node may send, is nothing. */
static void on_line(lua_State *L, cnet_channel *c, int channel, const char *line, size_t size) {
  int message = lua_gettop(L) + 2;
  if (is_blank(line, size)) return;
  lua_pushvalue(L, channel);
  if (cnet_json_read(L, line, size)) {
    if (is_command(L, message, "NODE_HANDLE")) {
      push_received(L, channel);
    } else {
      lua_pushnil(L);
    }
    cnet_channel_tick(L, c, tick_message, 3);
  } else {
    cnet_channel_fail(L, c, channel);
  }
  lua_settop(L, message - 2);
}

/* ---- bytes come in ---- */

static void take_handles(lua_State *L, cnet_channel *c, int channel) {
  while (c->handle && cnet_handle_has_received(c->handle)) {
    cnet_native *n = cnet_native_push(L, runtime_of(c));
    if (!c->handle) return; /* a finalizer has ended the channel */
    if (!cnet_handle_receive(c->handle, &n->handle)) luaL_error(L, "not enough memory");
    cnet_class_slot_table(L, channel, CNET_SLOT_CHANNEL_RECEIVED);
    lua_insert(L, -2);
    lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
    lua_pop(L, 1);
  }
}

/* The last bytes of a line have come. */
static void end_line(lua_State *L, cnet_channel *c, int channel, const char *bytes, size_t size) {
  if (c->in.size == 0) {
    on_line(L, c, channel, bytes, size);
    return;
  }
  cnet_line_in_add(L, &c->in, bytes, size);
  size = c->in.size;
  c->in.size = 0; /* whatever on_line raises */
  on_line(L, c, channel, c->in.bytes, size);
  cnet_line_in_drop(L, &c->in);
}

static void on_read(lua_State *L, int channel, ssize_t nread, const char *data) {
  cnet_channel *c = cnet_channel_at(L, channel);
  const char *from = data, *to, *stop;
  if (c->ended) return;
  if (nread < 0) { /* at its end, or reset by a peer that died with something unread: the same */
    c->ended_there = true;
    cnet_channel_end(L, c, channel, false);
    c->ops->on_closed(L, channel);
    return;
  }
  take_handles(L, c, channel);
  stop = data + nread;
  while ((to = memchr(from, '\n', (size_t)(stop - from))) != NULL) {
    end_line(L, c, channel, from, (size_t)(to - from));
    from = to + 1;
  }
  if (from < stop) cnet_line_in_add(L, &c->in, from, (size_t)(stop - from));
}

static const cnet_handle_owner handle_owner = {NULL, on_read, NULL};

/* ---- the class ---- */

static int set_ref(lua_State *L, bool ref) {
  cnet_channel *c = self_channel(L);
  c->ref_is_set = true;
  c->ref = ref;
  cnet_channel_update_ref(c);
  return 0;
}

static int method_ref(lua_State *L) { return set_ref(L, true); }

static int method_unref(lua_State *L) { return set_ref(L, false); }

static int get_fd(lua_State *L) {
  cnet_channel *c = self_channel(L);
  if (!c->handle) return 0;
  lua_pushinteger(L, cnet_handle_fd(c->handle));
  return 1;
}

static int channel_gc(lua_State *L) {
  cnet_channel *c = lua_touserdata(L, 1);
  cnet_handle_finalize(c->object.rt, &c->handle);
  c->ended = true; /* lua_close: a script's finalizer may come after this one, and send */
  c->connected = c->awaiting = false;
  cnet_line_in_free(L, &c->in);
  cnet_line_out_free(&c->out);
  return 0;
}

static int channel_tostring(lua_State *L) {
  cnet_channel *c = lua_touserdata(L, 1);
  lua_pushfstring(L, "net.Channel (%s)", c->ended ? "closed" : c->connected ? "open" : "closing");
  return 1;
}

static const cnet_member members[] = {{"ref", method_ref, NULL, NULL},
                                      {"unref", method_unref, NULL, NULL},
                                      {"fd", NULL, get_fd, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const cnet_class channel_class = {
    .id = CNET_CHANNEL, .name = "net.Channel", .members = members, .gc = channel_gc, .tostring = channel_tostring};

cnet_channel *cnet_channel_push(lua_State *L, int native, int target, const cnet_channel_ops *ops,
                                const cnet_channel_owner *owner) {
  cnet_native *n = lua_touserdata(L, native);
  cnet_channel *c = cnet_class_new(L, n->object.rt, sizeof *c, CNET_USERVALUES);
  int channel = lua_gettop(L);
  c->ops = ops;
  c->owner = owner;
  c->first = c->last = 1;
  c->out = (cnet_line_out){.handle = &c->handle, .done = cnet_channel_on_written};
  c->connected = true;
  cnet_class_dress(L, &channel_class);
  lua_pushvalue(L, target);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_TARGET);
  c->handle = cnet_native_take(n);
  cnet_handle_own(L, c->handle, channel, &handle_owner);
  cnet_handle_read_start(c->handle);
  cnet_channel_update_ref(c);
  return c;
}

int cnet_channel_move(cnet_channel *c) {
  int status;
  cnet_handle *copy;
  if (c->out.writes > 0 || c->awaiting) return UV_EBUSY;
  copy = cnet_handle_move(c->handle, &status);
  if (!copy) return status;
  c->handle = copy;
  cnet_handle_read_start(c->handle);
  cnet_channel_update_ref(c);
  return 0;
}

void cnet_channel_register(lua_State *L) {
  cnet_class_define(L, &channel_class);
  lua_pop(L, 1);
}
