#include "server/connections.h"

#include "core/args.h"
#include "core/blame.h"
#include "core/error.h"
#include "core/pins.h"
#include "core/ticks.h"
#include "handle/listen.h"
#include "handle/options.h"
#include "text/block_list.h"

enum { REMOTE_REF_MS = 0x7fffffff };

static cnet_server *self_server(lua_State *L) { return cnet_class_self(L, CNET_SERVER); }

/* ---- leaving ---- */

static int tick_emit_close(lua_State *L) {
  cnet_emit(L, 1, "close", 0);
  return 0;
}

bool cnet_server_is_drained(const cnet_server *s) {
  return !cnet_server_is_listening(s) && s->group.count == 0 && s->closing_holders == 0;
}

void cnet_server_emit_close_if_drained(lua_State *L, cnet_server *s, int self) {
  if (cnet_server_is_drained(s)) cnet_tick_object(L, cnet_server_runtime(s), tick_emit_close, self);
}

static void on_socket_left(lua_State *L, int self) {
  cnet_server_emit_close_if_drained(L, cnet_server_at(L, self), self);
}

void cnet_server_init_connections(cnet_server *s) { s->group.on_left = on_socket_left; }

/* ---- accepting ---- */

static void set_endpoint(lua_State *L, int table, const char *prefix, const cnet_address *address) {
  if (address->family == 0) return;
  lua_pushfstring(L, "%sAddress", prefix);
  lua_pushstring(L, address->ip);
  lua_rawset(L, table);
  lua_pushfstring(L, "%sPort", prefix);
  lua_pushinteger(L, address->port);
  lua_rawset(L, table);
  lua_pushfstring(L, "%sFamily", prefix);
  lua_pushstring(L, cnet_address_family_name(address->family));
  lua_rawset(L, table);
}

/* Who was let go, read before the handle is closed. */
typedef struct {
  bool tcp;
  cnet_address local, remote;
} dropped;

static dropped look_at(cnet_handle *client) {
  dropped d = {.tcp = client->kind == CNET_HANDLE_TCP};
  cnet_handle_sockname(client, &d.local);
  cnet_handle_peername(client, &d.remote);
  return d;
}

/* As in Node there is nothing to tell of a client of a Unix socket: the limit is the only reason there. */
static void tell_of_drop(lua_State *L, int self, const dropped *who, const char *reason) {
  int data = lua_gettop(L) + 1;
  if (who->tcp) {
    lua_createtable(L, 0, 7);
    set_endpoint(L, data, "local", &who->local);
    set_endpoint(L, data, "remote", &who->remote);
    lua_pushstring(L, reason);
    lua_setfield(L, data, "reason");
  }
  cnet_emit(L, self, "drop", who->tcp ? 1 : 0);
}

/* The limit is reached: the client is let go. */
static void drop(lua_State *L, cnet_handle *client, int self) {
  dropped who = look_at(client);
  cnet_handle_abandon(client); /* closed in this turn, once the listeners have run */
  tell_of_drop(L, self, &who, "maxConnections");
}

/* Is the client whose socket is on top one that the server's blockList names? */
static bool is_blocked(lua_State *L, int self, cnet_socket *socket) {
  cnet_address address;
  bool blocked;
  if (cnet_class_slot(L, self, CNET_SLOT_SERVER_BLOCK_LIST) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  blocked = socket->handle && cnet_handle_peername(socket->handle, &address) == 0 && address.family != 0 &&
            cnet_block_list_blocks(L, -1, address.ip, address.family);
  lua_pop(L, 1);
  return blocked;
}

bool cnet_server_is_full(const cnet_server *s) { return s->group.count >= s->max_connections; }

static int emit_connection(lua_State *L) { /* (server, socket) */
  cnet_emit(L, 1, "connection", 1);
  return 0;
}

/* The socket of a new client is on top, which answers for its 'connection'. */
static void welcome(lua_State *L, int self) {
  cnet_socket *socket = cnet_socket_at(L, -1);
  if (is_blocked(L, self, socket)) {
    dropped who = look_at(socket->handle);
    cnet_stream_destroy(L, &socket->stream, lua_gettop(L), 0);
    tell_of_drop(L, self, &who, "blockList");
  } else {
    int client = lua_gettop(L);
    lua_pushcfunction(L, emit_connection);
    lua_pushvalue(L, self);
    lua_pushvalue(L, client);
    cnet_blame_call(L, cnet_stream_runtime(&socket->stream), client, 2);
  }
}

void cnet_server_adopt(lua_State *L, int self, cnet_native *client) {
  cnet_server *s = cnet_server_at(L, self);
  if (cnet_server_is_full(s)) {
    drop(L, cnet_native_take(client), self);
    return;
  }
  cnet_socket_adopt(L, client, self, &s->group, &s->accept);
  welcome(L, self);
}

static void on_connection(lua_State *L, int self, int status) {
  cnet_server *s = cnet_server_at(L, self);
  if (status == 0) {
    if (cnet_server_is_full(s)) {
      cnet_handle *client = cnet_handle_accept(s->handle, &status);
      if (client) drop(L, client, self);
      return;
    }
    if (cnet_socket_accept(L, s->handle, self, &s->group, &s->accept, &status)) {
      welcome(L, self);
      return;
    }
  }
  cnet_error_push_system(L, status, "accept");
  cnet_emit(L, self, "error", 1);
}

static const cnet_handle_owner handle_owner = {on_connection, NULL, NULL};

static int tick_take_waiting(lua_State *L) {
  cnet_server *s = lua_touserdata(L, 1);
  if (s->handle && cnet_handle_take_waiting(s->handle)) on_connection(L, 1, 0);
  return 0;
}

/* The handle's servers may all have been paused, and one is not now: a client that waited comes in a tick, to the
 * server that all clients of the handle come to. */
static void go_on(lua_State *L, cnet_handle *h) {
  if (!h->client_waits || cnet_handle_is_closing(h)) return; /* where a socket closes it, the socket is pinned */
  cnet_handle_push_object(L, h);
  if (!lua_isnil(L, -1)) cnet_tick_object(L, h->rt, tick_take_waiting, -1);
  lua_pop(L, 1);
}

void cnet_server_own(lua_State *L, cnet_server *s, int self, cnet_handle *h) {
  s->handle = h;
  cnet_handle_own(L, h, self, &handle_owner);
  cnet_handle_add_server(h, s->paused);
  go_on(L, h);
}

/* The timer only counts for the loop: it never has anything to do. */
static void on_remote_ref(lua_State *L, cnet_timer *timer) {
  (void)L;
  cnet_timer_refresh(timer);
}

void cnet_server_own_remote(lua_State *L, cnet_server *s, int self) {
  cnet_runtime *rt = cnet_server_runtime(s);
  s->remote_ref.fire = on_remote_ref;
  s->remote_ref.ref = true;
  cnet_timer_start(L, rt, &s->remote_ref, REMOTE_REF_MS);
  cnet_pin(L, rt, &s->remote_ref, self);
  s->remote = true;
}

void cnet_server_disown(lua_State *L, cnet_server *s) {
  cnet_handle *h = s->handle;
  s->handle = NULL;
  if (h) {
    cnet_handle_remove_server(h, s->paused);
    cnet_handle_close(L, h, NULL, 0);
  }
  if (!s->remote) return;
  s->remote = false;
  cnet_timer_stop(&s->remote_ref);
  cnet_unpin(L, cnet_server_runtime(s), &s->remote_ref);
}

void cnet_server_set_ref(cnet_server *s, bool on) {
  if (s->handle) cnet_handle_ref(s->handle, on);
  if (s->remote) cnet_timer_set_ref(&s->remote_ref, on);
}

void cnet_server_set_paused(lua_State *L, cnet_server *s, bool paused) {
  if (s->paused == paused) return;
  if (s->handle && !paused) go_on(L, s->handle); /* first: without memory for the tick the pause goes on */
  s->paused = paused;
  if (s->handle) cnet_handle_set_paused(s->handle, paused);
}

/* ---- the connections there are ---- */

/* Destroys the sockets that were idle since the loop's time `since`. */
static void close_connections(lua_State *L, cnet_server *s, uint64_t since) {
  cnet_socket *socket, *next;
  for (socket = s->group.first; socket; socket = next) {
    next = socket->next;
    if (socket->last_active > since || !socket->handle) continue;
    cnet_handle_push_object(L, socket->handle);
    if (lua_touserdata(L, -1) == socket) cnet_stream_destroy(L, &socket->stream, lua_gettop(L), 0);
    lua_pop(L, 1);
  }
}

static int method_close_all_connections(lua_State *L) {
  close_connections(L, self_server(L), UINT64_MAX);
  lua_settop(L, 1);
  return 1;
}

static int method_close_idle_connections(lua_State *L) {
  cnet_server *s = self_server(L);
  uint64_t now = uv_now(cnet_server_runtime(s)->loop);
  lua_Number ms = lua_tonumber(L, 2);
  if (lua_type(L, 2) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", "msecs", "of type number", 2);
  if (!(ms >= 0)) return cnet_error_out_of_range(L, "msecs", "a non-negative number", 2);
  if (ms <= (lua_Number)now) close_connections(L, s, now - (uint64_t)ms);
  lua_settop(L, 1);
  return 1;
}

const cnet_member cnet_server_connections_members[] = {
    {"closeAllConnections", method_close_all_connections, NULL, NULL},
    {"closeIdleConnections", method_close_idle_connections, NULL, NULL},
    {NULL, NULL, NULL, NULL}};
