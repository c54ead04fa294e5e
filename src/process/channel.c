#include "process/channel.h"

#include <stdio.h>
#include <string.h>

#include "core/error.h"
#include "core/ticks.h"
#include "event/emitter.h"
#include "handle/requests.h"
#include "text/json_reader.h"
#include "text/json_writer.h"

/* A parcel is a table: [1] the line, and by name what belongs to it: callback, quiet, handle and keep_open as they were
 * given to send; text, the message's; native, owned and retry, once a handle is packed. */

enum { MAX_TRIES = 3, BEHIND = 2 * 65536 /* bytes that may wait before send returns false */ };

static cnet_channel *self_channel(lua_State *L) { return cnet_class_self(L, CNET_CHANNEL); }

static cnet_runtime *runtime_of(const cnet_channel *c) { return c->object.rt; }

/* ---- what keeps the loop alive ---- */

static void update_ref(cnet_channel *c) {
  bool ref = c->ref_is_set ? c->ref : c->ref || c->keep || c->awaiting;
  if (c->handle) cnet_handle_ref(c->handle, ref);
}

void cnet_channel_want_ref(lua_State *L, int channel, bool ref) {
  cnet_channel *c = cnet_channel_at(L, channel);
  if (!c->ref_is_set) c->ref = ref;
  update_ref(c);
}

/* ---- telling ---- */

/* Queues a tick that calls fn with the nargs values on top, which it pops; fn is over the runtime. */
static void tick(lua_State *L, cnet_channel *c, lua_CFunction fn, int nargs) {
  cnet_emitter_push_listener(L, fn, 0);
  lua_insert(L, -nargs - 1);
  cnet_tick(L, runtime_of(c), nargs);
}

static int tick_error(lua_State *L) { /* (channel, error) */
  lua_settop(L, 2);
  cnet_channel_at(L, 1)->ops->on_error(L, 1);
  return 0;
}

static bool is_set(lua_State *L, int parcel, const char *name) {
  bool is;
  lua_getfield(L, parcel, name);
  is = lua_toboolean(L, -1);
  lua_pop(L, 1);
  return is;
}

/* The parcel at index parcel is done with the error on top, which is popped, or with nil there. */
static void report(lua_State *L, cnet_channel *c, int channel, int parcel) {
  int err = lua_gettop(L);
  bool quiet = is_set(L, parcel, "quiet");
  if (lua_getfield(L, parcel, "callback") == LUA_TFUNCTION) {
    lua_pushvalue(L, err);
    cnet_tick(L, runtime_of(c), 1);
  } else if (!lua_isnil(L, err) && !quiet) {
    lua_pushvalue(L, channel);
    lua_pushvalue(L, err);
    tick(L, c, tick_error, 2);
  }
  lua_settop(L, err - 1);
}

static void report_status(lua_State *L, cnet_channel *c, int channel, int parcel, int status) {
  if (status < 0) {
    cnet_error_push_system(L, status, "write");
  } else {
    lua_pushnil(L);
  }
  report(L, c, channel, parcel);
}

static void report_closed(lua_State *L, cnet_channel *c, int channel, int parcel) {
  cnet_error_push(L, "Error", "ERR_IPC_CHANNEL_CLOSED", "Channel closed");
  report(L, c, channel, parcel);
}

/* ---- the end ---- */

static void close_handle(lua_State *L, cnet_channel *c) {
  cnet_handle *h = c->handle;
  c->handle = NULL;
  if (h) cnet_handle_close(L, h, NULL, 0);
}

/* The handle of a parcel that is the channel's to close; what was given as a net.Native is its owner's. */
static void close_native(lua_State *L, cnet_channel *c, int parcel) {
  cnet_native *n;
  if (!is_set(L, parcel, "owned")) return;
  lua_getfield(L, parcel, "native");
  n = cnet_native_test(L, runtime_of(c), -1);
  if (n) cnet_native_close(n);
  lua_pop(L, 1);
}

/* Takes the first parcel of the queue, or nil. */
static int push_next(lua_State *L, cnet_channel *c, int channel) {
  int type, queue = lua_gettop(L) + 1;
  cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_QUEUE);
  if (c->first == c->last) {
    lua_pushnil(L);
  } else {
    lua_rawgeti(L, queue, c->first);
    lua_pushnil(L);
    lua_rawseti(L, queue, c->first++);
  }
  type = lua_type(L, -1);
  lua_remove(L, queue);
  return type;
}

static void drop_parcels(lua_State *L, cnet_channel *c, int channel) {
  int parcel = lua_gettop(L) + 1;
  if (cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED) == LUA_TTABLE) close_native(L, c, parcel);
  lua_settop(L, parcel - 1);
  lua_pushnil(L);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  while (push_next(L, c, channel) != LUA_TNIL) {
    close_native(L, c, parcel);
    lua_pushboolean(L, 1);
    lua_setfield(L, parcel, "quiet");
    report_closed(L, c, channel, parcel);
    lua_settop(L, parcel - 1);
  }
  lua_settop(L, parcel - 1);
}

static int tick_end(lua_State *L) {
  lua_settop(L, 1);
  cnet_channel_at(L, 1)->ops->on_end(L, 1);
  return 0;
}

/* `flush`: what libuv has not written yet may still go out. */
static void end(lua_State *L, cnet_channel *c, int channel, bool flush) {
  if (c->ended) return;
  c->ended = true;
  c->connected = c->awaiting = false;
  drop_parcels(L, c, channel);
  lua_pushnil(L);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_RECEIVED);
  if (flush && c->writes > 0) {
    cnet_handle_read_stop(c->handle);
  } else {
    close_handle(L, c);
  }
  lua_pushvalue(L, channel);
  tick(L, c, tick_end, 1);
}

void cnet_channel_disconnect(lua_State *L, int channel) {
  cnet_channel *c = cnet_channel_at(L, channel);
  c->connected = false;
  if (!c->awaiting) end(L, c, channel, true);
}

/* ---- writing ---- */

static void on_acknowledged(lua_State *L, cnet_channel *c, int channel, bool received);

static bool is_awaited(lua_State *L, const cnet_channel *c, int channel, int parcel) {
  bool is;
  cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  is = c->awaiting && lua_rawequal(L, -1, parcel);
  lua_pop(L, 1);
  return is;
}

static void on_written(lua_State *L, int channel, int parcel, int status) {
  cnet_channel *c = cnet_channel_at(L, channel);
  c->writes--;
  if (status < 0) { /* the channel's end tells it to who gave no callback */
    lua_pushboolean(L, 1);
    lua_setfield(L, parcel, "quiet");
  }
  report_status(L, c, channel, parcel, status);
  /* a handle that was closed before it was written: nobody will acknowledge it, and what comes after it is to go on */
  if (status < 0 && !c->ended && is_awaited(L, c, channel, parcel)) on_acknowledged(L, c, channel, true);
  if (c->ended && c->writes == 0) close_handle(L, c);
}

/* Sets the parcel's line, of its text and what pack has pushed. */
static void write_envelope(lua_State *L, int parcel, const char *type, int key) {
  lua_pushfstring(L, "{\"cmd\":\"NODE_HANDLE\",\"type\":\"%s\",\"msg\":", type);
  lua_getfield(L, parcel, "text");
  if (lua_isnil(L, key)) {
    lua_pushliteral(L, "");
  } else {
    lua_pushliteral(L, ",\"key\":");
    cnet_json_push(L, key);
    lua_concat(L, 2);
  }
  lua_pushliteral(L, "}\n");
  lua_concat(L, 4);
  lua_rawseti(L, parcel, 1);
}

/* Packs the parcel's handle, if that is not done: 1, or 0 if there is none to send, or a libuv error. */
static int pack(lua_State *L, cnet_channel *c, int channel, int parcel) {
  cnet_packed packed = {"", false, false};
  int status, top = lua_gettop(L);
  if (is_set(L, parcel, "native")) return 1;
  if (lua_getfield(L, parcel, "handle") == LUA_TNIL) {
    lua_settop(L, top);
    return 0;
  }
  status = c->ops->pack(L, channel, top + 1, is_set(L, parcel, "keep_open"), &packed);
  if (status > 0) {
    write_envelope(L, parcel, packed.type, top + 3);
    lua_pushvalue(L, top + 2);
    lua_setfield(L, parcel, "native");
    lua_pushboolean(L, packed.owned);
    lua_setfield(L, parcel, "owned");
    lua_pushboolean(L, packed.retry);
    lua_setfield(L, parcel, "retry");
  }
  lua_settop(L, top);
  return status;
}

/* Sends the packed parcel, and waits for it to be acknowledged. */
static int send_handle(lua_State *L, cnet_channel *c, int channel, int parcel) {
  cnet_native *n;
  int status;
  lua_getfield(L, parcel, "native");
  n = cnet_native_test(L, runtime_of(c), -1);
  lua_pop(L, 1);
  status = n && n->handle ? cnet_handle_send(L, c->handle, channel, parcel, n->handle, on_written) : UV_EBADF;
  if (status < 0) return status;
  c->writes++;
  c->awaiting = true;
  lua_pushvalue(L, parcel);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  update_ref(c);
  return 0;
}

static void set_line(lua_State *L, int parcel) {
  lua_getfield(L, parcel, "text");
  lua_pushliteral(L, "\n");
  lua_concat(L, 2);
  lua_rawseti(L, parcel, 1);
}

static void send_line(lua_State *L, cnet_channel *c, int channel, int parcel) {
  bool async;
  int status = cnet_handle_write(L, c->handle, channel, parcel, on_written, &async);
  if (status == 0 && async) {
    c->writes++;
  } else {
    report_status(L, c, channel, parcel, status);
  }
}

static bool enqueue(lua_State *L, cnet_channel *c, int channel, int parcel);

/* What allocates comes first: it may run the script's finalizers, which may end the channel, or send a handle over it.
 */
static void transmit(lua_State *L, cnet_channel *c, int channel, int parcel) {
  int status = pack(L, c, channel, parcel);
  if (status == 0) set_line(L, parcel);
  if (status < 0) {
    report_status(L, c, channel, parcel, status);
  } else if (c->ended) {
    close_native(L, c, parcel);
    report_closed(L, c, channel, parcel);
  } else if (c->awaiting) {
    enqueue(L, c, channel, parcel);
  } else if (status == 0) {
    send_line(L, c, channel, parcel);
  } else {
    c->retry = is_set(L, parcel, "retry");
    c->tries = 0;
    status = send_handle(L, c, channel, parcel);
    if (status < 0) {
      close_native(L, c, parcel);
      report_status(L, c, channel, parcel, status);
    }
  }
}

static void set_field(lua_State *L, int parcel, const char *name, int value) {
  if (!value) return;
  lua_pushvalue(L, value);
  lua_setfield(L, parcel, name);
}

static bool enqueue(lua_State *L, cnet_channel *c, int channel, int parcel) {
  cnet_class_slot_table(L, channel, CNET_SLOT_CHANNEL_QUEUE);
  lua_pushvalue(L, parcel);
  lua_rawseti(L, -2, c->last++);
  lua_pop(L, 1);
  return c->last - c->first == 1;
}

bool cnet_channel_send(lua_State *L, int channel, int message, int handle, bool keep_open, int callback, bool quiet) {
  cnet_channel *c = cnet_channel_at(L, channel);
  int parcel;
  bool good = false;
  lua_newtable(L);
  parcel = lua_gettop(L);
  set_field(L, parcel, "handle", handle);
  set_field(L, parcel, "callback", callback);
  lua_pushboolean(L, quiet);
  lua_setfield(L, parcel, "quiet");
  lua_pushboolean(L, keep_open);
  lua_setfield(L, parcel, "keep_open");
  cnet_json_push(L, message);
  lua_setfield(L, parcel, "text");
  if (c->ended) {
    report_closed(L, c, channel, parcel);
  } else if (c->awaiting) {
    good = enqueue(L, c, channel, parcel);
  } else {
    transmit(L, c, channel, parcel);
    good = c->handle && cnet_handle_write_queue(c->handle) < BEHIND;
  }
  lua_settop(L, parcel - 1);
  return good;
}

/* ---- acknowledgements ---- */

/* They pass by what waits. */
static void acknowledge(lua_State *L, cnet_channel *c, int channel, bool received) {
  bool async;
  int parcel = lua_gettop(L) + 1;
  lua_createtable(L, 1, 1);
  lua_pushboolean(L, 1);
  lua_setfield(L, parcel, "quiet");
  if (received) {
    lua_pushliteral(L, "{\"cmd\":\"NODE_HANDLE_ACK\"}\n");
  } else {
    lua_pushliteral(L, "{\"cmd\":\"NODE_HANDLE_NACK\"}\n");
  }
  lua_rawseti(L, parcel, 1);
  if (!c->ended && cnet_handle_write(L, c->handle, channel, parcel, on_written, &async) == 0 && async) c->writes++;
  lua_settop(L, parcel - 1);
}

/* The handle on its way is acknowledged, or has not arrived: what waits goes out, up to the next handle. */
static void on_acknowledged(lua_State *L, cnet_channel *c, int channel, bool received) {
  int parcel = lua_gettop(L) + 1;
  if (!c->awaiting) return; /* a surplus one, which Node may send */
  c->awaiting = false;
  cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  if (!received && c->retry && c->tries++ < MAX_TRIES) {
    lua_pushnil(L);
    lua_setfield(L, parcel, "callback"); /* called already */
    if (send_handle(L, c, channel, parcel) == 0) return;
  } else if (!received && c->retry) {
    fprintf(stderr, "cnet: SentHandleNotReceivedWarning: Handle did not reach the receiving process correctly\n");
  }
  close_native(L, c, parcel);
  lua_settop(L, parcel - 1);
  lua_pushnil(L);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  while (!c->awaiting && !c->ended && push_next(L, c, channel) != LUA_TNIL) {
    transmit(L, c, channel, parcel);
    lua_settop(L, parcel - 1);
  }
  lua_settop(L, parcel - 1);
  update_ref(c);
  if (!c->connected && !c->awaiting) end(L, c, channel, true);
}

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
    acknowledge(L, c, 1, false);
    return;
  }
  acknowledge(L, c, 1, true);
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
    on_acknowledged(L, c, 1, true);
  } else if (is_command(L, 2, "NODE_HANDLE_NACK")) {
    on_acknowledged(L, c, 1, false);
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

/* The line on top, which is popped, has come. An empty one, which Node may send, is nothing. */
static void on_line(lua_State *L, cnet_channel *c, int channel) {
  int line = lua_gettop(L);
  if (strspn(lua_tostring(L, line), " \t\r") == lua_rawlen(L, line)) {
    lua_settop(L, line - 1);
    return;
  }
  lua_pushvalue(L, channel);
  if (cnet_json_read(L, lua_tostring(L, line), lua_rawlen(L, line))) {
    if (is_command(L, line + 2, "NODE_HANDLE")) {
      push_received(L, channel);
    } else {
      lua_pushnil(L);
    }
    tick(L, c, tick_message, 3);
  } else {
    tick(L, c, tick_error, 2);
  }
  lua_settop(L, line - 1);
}

/* ---- bytes come in ---- */

static void add_piece(lua_State *L, int channel, const char *data, size_t size) {
  cnet_class_slot_table(L, channel, CNET_SLOT_CHANNEL_PIECES);
  lua_pushlstring(L, data, size);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* Replaces the line's last part, on top, by the whole line. */
static void join_pieces(lua_State *L, int channel) {
  int part = lua_gettop(L), pieces = part + 1;
  lua_Integer i, n;
  luaL_Buffer b;
  if (cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_PIECES) != LUA_TNIL) {
    n = (lua_Integer)lua_rawlen(L, pieces);
    luaL_buffinit(L, &b);
    for (i = 1; i <= n; i++) {
      lua_rawgeti(L, pieces, i);
      luaL_addvalue(&b);
    }
    lua_pushvalue(L, part);
    luaL_addvalue(&b);
    luaL_pushresult(&b);
    lua_replace(L, part);
    lua_pushnil(L);
    cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_PIECES);
  }
  lua_settop(L, part);
}

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

static void on_read(lua_State *L, int channel, ssize_t nread, const char *data) {
  cnet_channel *c = cnet_channel_at(L, channel);
  const char *from = data, *to, *stop;
  if (c->ended) return;
  if (nread < 0) { /* at its end, or reset by a peer that died with something unread: the same */
    c->ended_there = true;
    end(L, c, channel, false);
    c->ops->on_closed(L, channel);
    return;
  }
  take_handles(L, c, channel);
  stop = data + nread;
  while ((to = memchr(from, '\n', (size_t)(stop - from))) != NULL) {
    lua_pushlstring(L, from, (size_t)(to - from));
    join_pieces(L, channel);
    on_line(L, c, channel);
    from = to + 1;
  }
  if (from < stop) add_piece(L, channel, from, (size_t)(stop - from));
}

static const cnet_handle_owner handle_owner = {NULL, on_read, NULL};

/* ---- the class ---- */

static int set_ref(lua_State *L, bool ref) {
  cnet_channel *c = self_channel(L);
  c->ref_is_set = true;
  c->ref = ref;
  update_ref(c);
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
  c->connected = true;
  cnet_class_dress(L, &channel_class);
  lua_pushvalue(L, target);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_TARGET);
  c->handle = cnet_native_take(n);
  cnet_handle_own(L, c->handle, channel, &handle_owner);
  cnet_handle_read_start(c->handle);
  update_ref(c);
  return c;
}

int cnet_channel_move(cnet_channel *c) {
  int status;
  cnet_handle *copy;
  if (c->writes > 0 || c->awaiting) return UV_EBUSY;
  copy = cnet_handle_move(c->handle, &status);
  if (!copy) return status;
  c->handle = copy;
  cnet_handle_read_start(c->handle);
  update_ref(c);
  return 0;
}

void cnet_channel_register(lua_State *L) {
  cnet_class_define(L, &channel_class);
  lua_pop(L, 1);
}
