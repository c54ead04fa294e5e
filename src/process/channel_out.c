#include "process/channel_out.h"

#include <stdio.h>

#include "core/args.h"
#include "core/error.h"
#include "core/ticks.h"
#include "event/emitter.h"
#include "text/json_writer.h"

/* A parcel is a table: [1] the line, and by name what belongs to it: callback, quiet, handle and keep_open as they were
 * given to send; text, the message's; native, owned and retry, once a handle is packed. */

enum { MAX_TRIES = 3, BEHIND = 2 * 65536 /* bytes that may wait before send returns false */ };

static cnet_runtime *runtime_of(const cnet_channel *c) { return c->object.rt; }

/* ---- what keeps the loop alive ---- */

void cnet_channel_update_ref(cnet_channel *c) {
  bool ref = c->ref_is_set ? c->ref : c->ref || c->keep || c->awaiting;
  if (c->handle) cnet_handle_ref(c->handle, ref);
}

void cnet_channel_want_ref(lua_State *L, int channel, bool ref) {
  cnet_channel *c = cnet_channel_at(L, channel);
  if (!c->ref_is_set) c->ref = ref;
  cnet_channel_update_ref(c);
}

/* ---- telling ---- */

void cnet_channel_tick(lua_State *L, cnet_channel *c, lua_CFunction fn, int nargs) {
  cnet_emitter_push_listener(L, fn, 0);
  lua_insert(L, -nargs - 1);
  cnet_tick(L, runtime_of(c), nargs);
}

static int tick_error(lua_State *L) { /* (channel, error) */
  lua_settop(L, 2);
  cnet_channel_at(L, 1)->ops->on_error(L, 1);
  return 0;
}

void cnet_channel_fail(lua_State *L, cnet_channel *c, int channel) {
  lua_pushvalue(L, channel);
  lua_insert(L, -2);
  cnet_channel_tick(L, c, tick_error, 2);
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
    lua_pushvalue(L, err);
    cnet_channel_fail(L, c, channel);
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

void cnet_channel_end(lua_State *L, cnet_channel *c, int channel, bool flush) {
  if (flush) cnet_line_out_submit(L, &c->out, channel);
  if (c->ended) return;
  c->out.batch.size = 0;
  c->ended = true;
  c->connected = c->awaiting = false;
  drop_parcels(L, c, channel);
  lua_pushnil(L);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_RECEIVED);
  if (flush && c->out.writes > 0) {
    cnet_handle_read_stop(c->handle);
  } else {
    close_handle(L, c);
  }
  lua_pushvalue(L, channel);
  cnet_channel_tick(L, c, tick_end, 1);
}

void cnet_channel_disconnect(lua_State *L, int channel) {
  cnet_channel *c = cnet_channel_at(L, channel);
  c->connected = false;
  if (!c->awaiting) cnet_channel_end(L, c, channel, true);
}

/* ---- writing ---- */

static bool is_awaited(lua_State *L, const cnet_channel *c, int channel, int parcel) {
  bool is;
  cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  is = c->awaiting && lua_rawequal(L, -1, parcel);
  lua_pop(L, 1);
  return is;
}

void cnet_channel_on_written(lua_State *L, int channel, int parcel, int status) {
  cnet_channel *c = cnet_channel_at(L, channel);
  c->out.writes--;
  cnet_line_out_submit(L, &c->out, channel);
  if (c->ended && c->out.writes == 0) close_handle(L, c);
  if (!lua_istable(L, parcel)) return; /* nobody wants to know */
  if (status < 0) {                    /* the channel's end tells it to who gave no callback */
    lua_pushboolean(L, 1);
    lua_setfield(L, parcel, "quiet");
  }
  report_status(L, c, channel, parcel, status);
  /* a handle that was closed before it was written: nobody will acknowledge it, and what comes after it is to go on */
  if (status < 0 && !c->ended && is_awaited(L, c, channel, parcel)) cnet_channel_on_acknowledged(L, c, channel, true);
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
  cnet_line_out_submit(L, &c->out, channel);
  if (!c->handle) return UV_ECANCELED;
  lua_getfield(L, parcel, "native");
  n = cnet_native_test(L, runtime_of(c), -1);
  lua_pop(L, 1);
  status =
      n && n->handle ? cnet_handle_send(L, c->handle, channel, parcel, n->handle, cnet_channel_on_written) : UV_EBADF;
  if (status < 0) return status;
  c->out.writes++;
  c->awaiting = true;
  lua_pushvalue(L, parcel);
  cnet_class_set_slot(L, channel, CNET_SLOT_CHANNEL_AWAITED);
  cnet_channel_update_ref(c);
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
  int status = cnet_handle_write(L, c->handle, channel, parcel, cnet_channel_on_written, &async);
  if (status == 0 && async) {
    c->out.writes++;
  } else {
    report_status(L, c, channel, parcel, status);
  }
}

static bool enqueue(lua_State *L, cnet_channel *c, int channel, int parcel);

/* What allocates comes first: it may run the script's finalizers, which may end the channel, or send a handle over it.
 */
static void transmit(lua_State *L, cnet_channel *c, int channel, int parcel) {
  int status;
  cnet_line_out_submit(L, &c->out, channel);
  status = pack(L, c, channel, parcel);
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

static bool enqueue(lua_State *L, cnet_channel *c, int channel, int parcel) {
  cnet_class_slot_table(L, channel, CNET_SLOT_CHANNEL_QUEUE);
  lua_pushvalue(L, parcel);
  lua_rawseti(L, -2, c->last++);
  lua_pop(L, 1);
  return c->last - c->first == 1;
}

static void push_parcel(lua_State *L, int callback, bool quiet) {
  int parcel;
  lua_createtable(L, 1, 2);
  parcel = lua_gettop(L);
  if (callback) cnet_set_value(L, parcel, "callback", callback);
  lua_pushboolean(L, quiet);
  lua_setfield(L, parcel, "quiet");
}

static bool keeps_up(const cnet_channel *c) { return c->handle && cnet_line_out_size(&c->out) < BEHIND; }

static void write_line(lua_State *L, cnet_channel *c, int channel, cnet_block *line, int callback, bool quiet) {
  bool async;
  int status = cnet_line_out_write(L, &c->out, channel, line, callback, &async);
  if (async || (status == 0 && !callback)) return;
  push_parcel(L, callback, quiet);
  if (status == UV_ECANCELED && c->ended) { /* by a finalizer */
    report_closed(L, c, channel, line->index + 1);
  } else {
    report_status(L, c, channel, line->index + 1, status);
  }
}

/* Sends the text with a handle, or behind one that is to be acknowledged. */
static bool send_parcel(lua_State *L, cnet_channel *c, int channel, const cnet_block *text, int handle, bool keep_open,
                        int callback, bool quiet) {
  int parcel = lua_gettop(L) + 1;
  push_parcel(L, callback, quiet);
  if (handle) cnet_set_value(L, parcel, "handle", handle);
  lua_pushboolean(L, keep_open);
  lua_setfield(L, parcel, "keep_open");
  lua_pushlstring(L, text->at, text->size);
  lua_setfield(L, parcel, "text");
  cnet_block_spare(L, channel, CNET_SLOT_CHANNEL_SPARE, text);
  if (c->ended) {
    report_closed(L, c, channel, parcel);
    return false;
  }
  if (c->awaiting) return enqueue(L, c, channel, parcel);
  transmit(L, c, channel, parcel);
  return keeps_up(c);
}

bool cnet_channel_send(lua_State *L, int channel, int message, int handle, bool keep_open, int callback, bool quiet) {
  cnet_channel *c = cnet_channel_at(L, channel);
  cnet_block line;
  int top = lua_gettop(L);
  bool good;
  cnet_block_take(L, channel, CNET_SLOT_CHANNEL_SPARE, &line);
  cnet_json_write(&line, message);
  cnet_block_reserve(&line, 1);
  if (handle || c->ended || c->awaiting) {
    good = send_parcel(L, c, channel, &line, handle, keep_open, callback, quiet);
  } else {
    cnet_block_literal(&line, "\n");
    write_line(L, c, channel, &line, callback, quiet);
    cnet_block_spare(L, channel, CNET_SLOT_CHANNEL_SPARE, &line);
    good = keeps_up(c);
  }
  lua_settop(L, top);
  return good;
}

/* ---- acknowledgements ---- */

void cnet_channel_acknowledge(lua_State *L, cnet_channel *c, int channel, bool received) {
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
  if (!c->ended && cnet_handle_write(L, c->handle, channel, parcel, cnet_channel_on_written, &async) == 0 && async)
    c->out.writes++;
  lua_settop(L, parcel - 1);
}

/* The handle on its way is acknowledged, or has not arrived: what waits goes out, up to the next handle. */
void cnet_channel_on_acknowledged(lua_State *L, cnet_channel *c, int channel, bool received) {
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
  cnet_channel_update_ref(c);
  if (!c->connected && !c->awaiting) cnet_channel_end(L, c, channel, true);
}
