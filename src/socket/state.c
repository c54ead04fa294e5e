#include "socket/state.h"

#include "core/args.h"
#include "stream/readable.h"
#include "stream/writable.h"

static cnet_socket *self_socket(lua_State *L) { return cnet_class_self(L, CNET_SOCKET); }

#define BOOLEAN_PROPERTY(name, expression)    \
  static int name(lua_State *L) {             \
    cnet_socket *s = self_socket(L);          \
    lua_pushboolean(L, (expression) ? 1 : 0); \
    return 1;                                 \
  }
#define INTEGER_PROPERTY(name, expression)         \
  static int name(lua_State *L) {                  \
    cnet_socket *s = self_socket(L);               \
    lua_pushinteger(L, (lua_Integer)(expression)); \
    return 1;                                      \
  }

BOOLEAN_PROPERTY(get_connecting, s->connecting)
BOOLEAN_PROPERTY(get_pending, !s->handle || s->connecting)
BOOLEAN_PROPERTY(get_destroyed, s->stream.state &CNET_DESTROYED)
BOOLEAN_PROPERTY(get_closed, s->stream.state &CNET_CLOSED)
BOOLEAN_PROPERTY(get_readable, cnet_readable_is_readable(&s->stream))
BOOLEAN_PROPERTY(get_writable, cnet_writable_is_writable(&s->stream))
BOOLEAN_PROPERTY(get_readable_ended, s->stream.state &CNET_R_END_EMITTED)
BOOLEAN_PROPERTY(get_readable_aborted, !(s->stream.state & CNET_R_OFF) &&
                                           (s->stream.state & (CNET_DESTROYED | CNET_ERRORED)) &&
                                           !(s->stream.state & CNET_R_END_EMITTED))
BOOLEAN_PROPERTY(get_readable_did_read, s->stream.state &CNET_R_DID_READ)
BOOLEAN_PROPERTY(get_writable_ended, s->stream.wstate &CNET_W_ENDING)
BOOLEAN_PROPERTY(get_writable_finished, s->stream.wstate &CNET_W_FINISHED)
BOOLEAN_PROPERTY(get_writable_need_drain,
                 (s->stream.wstate & (CNET_W_ENDING | CNET_W_NEED_DRAIN)) == CNET_W_NEED_DRAIN &&
                     !(s->stream.state & CNET_DESTROYED))
BOOLEAN_PROPERTY(get_allow_half_open, s->stream.allow_half_open)
INTEGER_PROPERTY(get_readable_length, s->stream.r_length)
INTEGER_PROPERTY(get_readable_high_water_mark, s->stream.r_high_water_mark)
INTEGER_PROPERTY(get_writable_length, s->stream.w_length)
INTEGER_PROPERTY(get_writable_high_water_mark, s->stream.w_high_water_mark)
INTEGER_PROPERTY(get_writable_corked, s->stream.corked)

static int set_allow_half_open(lua_State *L) {
  self_socket(L)->stream.allow_half_open = cnet_truthy(L, 3);
  return 0;
}

/* What Node lets a script overwrite, though the socket does not follow. */
CNET_CLASS_REFUSE(set_connecting, "connecting", "socket:connect() or socket:destroy()")
CNET_CLASS_REFUSE(set_destroyed, "destroyed", "socket:destroy()")
CNET_CLASS_REFUSE(set_server, "server", "socket:destroy() to leave the server, or child:send() to hand the socket on,")
CNET_CLASS_REFUSE(set_readable, "readable", "socket:pause() or socket:destroy()")
CNET_CLASS_REFUSE(set_readable_flowing, "readableFlowing", "socket:pause() or socket:resume()")
CNET_CLASS_REFUSE(set_writable, "writable", "socket:end_()")

static int get_readable_flowing(lua_State *L) {
  cnet_socket *s = self_socket(L);
  if (!(s->stream.state & CNET_R_HAS_FLOWING)) return 0;
  lua_pushboolean(L, (s->stream.state & CNET_R_FLOWING) != 0);
  return 1;
}

static int get_readable_encoding(lua_State *L) {
  cnet_socket *s = self_socket(L);
  if (!(s->stream.state & CNET_R_DECODER)) return 0;
  lua_pushstring(L, cnet_encoding_name((cnet_encoding)s->stream.decoder.encoding));
  return 1;
}

static int get_errored(lua_State *L) {
  cnet_socket *s = self_socket(L);
  cnet_writable_flush(L, &s->stream);
  if (!(s->stream.state & CNET_ERRORED)) return 0;
  cnet_class_slot(L, 1, CNET_SLOT_ERRORED);
  return 1;
}

static int get_ready_state(lua_State *L) {
  cnet_socket *s = self_socket(L);
  bool readable = cnet_readable_is_readable(&s->stream), writable = cnet_writable_is_writable(&s->stream);
  lua_pushstring(L, s->connecting          ? "opening"
                    : readable && writable ? "open"
                    : readable             ? "readOnly"
                    : writable             ? "writeOnly"
                                           : "closed");
  return 1;
}

static int get_server(lua_State *L) {
  self_socket(L);
  lua_getiuservalue(L, 1, CNET_SOCKET_OWNER);
  return cnet_class_test(L, cnet_runtime_of(L), -1, CNET_SERVER) ? 1 : 0;
}

static int get_handle(lua_State *L) { /* what listen{_handle = ...} takes: the socket stands for its handle */
  cnet_socket *s = self_socket(L);
  if (!s->handle) return 0;
  lua_settop(L, 1);
  return 1;
}

static int get_attempted(lua_State *L) {
  self_socket(L);
  cnet_class_slot(L, 1, CNET_SLOT_ATTEMPTED);
  return 1;
}

const cnet_member cnet_socket_state_members[] = {{"connecting", NULL, get_connecting, set_connecting},
                                                 {"pending", NULL, get_pending, NULL},
                                                 {"readyState", NULL, get_ready_state, NULL},
                                                 {"destroyed", NULL, get_destroyed, set_destroyed},
                                                 {"closed", NULL, get_closed, NULL},
                                                 {"errored", NULL, get_errored, NULL},
                                                 {"server", NULL, get_server, set_server},
                                                 {"_handle", NULL, get_handle, NULL},
                                                 {"allowHalfOpen", NULL, get_allow_half_open, set_allow_half_open},
                                                 {"autoSelectFamilyAttemptedAddresses", NULL, get_attempted, NULL},
                                                 {"readable", NULL, get_readable, set_readable},
                                                 {"readableEnded", NULL, get_readable_ended, NULL},
                                                 {"readableAborted", NULL, get_readable_aborted, NULL},
                                                 {"readableDidRead", NULL, get_readable_did_read, NULL},
                                                 {"readableFlowing", NULL, get_readable_flowing, set_readable_flowing},
                                                 {"readableLength", NULL, get_readable_length, NULL},
                                                 {"readableHighWaterMark", NULL, get_readable_high_water_mark, NULL},
                                                 {"readableEncoding", NULL, get_readable_encoding, NULL},
                                                 {"writable", NULL, get_writable, set_writable},
                                                 {"writableEnded", NULL, get_writable_ended, NULL},
                                                 {"writableFinished", NULL, get_writable_finished, NULL},
                                                 {"writableLength", NULL, get_writable_length, NULL},
                                                 {"writableHighWaterMark", NULL, get_writable_high_water_mark, NULL},
                                                 {"writableNeedDrain", NULL, get_writable_need_drain, NULL},
                                                 {"writableCorked", NULL, get_writable_corked, NULL},
                                                 {NULL, NULL, NULL, NULL}};
