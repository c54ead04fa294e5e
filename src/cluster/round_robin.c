#include "cluster/round_robin.h"

#include "cluster/query.h"
#include "cluster/wire.h"
#include "core/args.h"
#include "event/timer.h"
#include "handle/listen.h"
#include "handle/native.h"
#include "handle/options.h"

enum {
  SLOT_KEY = 1,
  SLOT_WORKERS, /* worker -> true, or false while it is paused */
  SLOT_FREE,    /* array of workers: who waited longest comes first */
  SLOT_RESTING, /* array of workers that have refused a client */
  SLOT_CLIENTS, /* queue of the net.Natives that no worker has yet */
  SLOT_OFFERED  /* worker -> true, while it has not answered */
};

enum { REST_MS = 20 };

typedef struct {
  cnet_object object;
  cnet_handle *handle; /* NULL once closed */
  cnet_timer rest;
  unsigned workers, paused;
  bool holds;              /* all of them are paused */
  lua_Integer first, last; /* of the clients; none if last < first */
} round_robin;

static const cnet_class round_robin_class;

static round_robin *round_robin_at(lua_State *L, int index) { return lua_touserdata(L, index); }

/* ---- arrays of workers ---- */

static void append(lua_State *L, int self, int slot, int worker) {
  cnet_class_slot(L, self, slot);
  lua_pushvalue(L, worker);
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* Takes out entry i of the array at index list. */
static void take_out(lua_State *L, int list, lua_Integer i) {
  for (; lua_rawgeti(L, list, i + 1) != LUA_TNIL; i++) lua_rawseti(L, list, i);
  lua_rawseti(L, list, i);
}

/* Pushes the first worker of the array, which it leaves; nothing if there is none. */
static bool take_first(lua_State *L, int self, int slot) {
  int list = lua_gettop(L) + 1;
  cnet_class_slot(L, self, slot);
  if (lua_rawgeti(L, list, 1) == LUA_TNIL) {
    lua_settop(L, list - 1);
    return false;
  }
  take_out(L, list, 1);
  lua_remove(L, list);
  return true;
}

static void remove_worker(lua_State *L, int self, int slot, int worker) {
  int list = lua_gettop(L) + 1;
  lua_Integer i;
  cnet_class_slot(L, self, slot);
  for (i = 1; lua_rawgeti(L, list, i) != LUA_TNIL; i++) {
    bool same = lua_rawequal(L, -1, worker);
    lua_pop(L, 1);
    if (!same) continue;
    take_out(L, list, i);
    break;
  }
  lua_settop(L, list - 1);
}

typedef enum { NO_MEMBER, PAUSED, SERVES } membership;

static membership member(lua_State *L, int self, int worker) {
  membership is;
  cnet_class_slot(L, self, SLOT_WORKERS);
  lua_pushvalue(L, worker);
  is = lua_rawget(L, -2) == LUA_TNIL ? NO_MEMBER : lua_toboolean(L, -1) ? SERVES : PAUSED;
  lua_pop(L, 2);
  return is;
}

/* Sets the worker's entry in the table of the slot to the value on top, which it pops. */
static void set_entry(lua_State *L, int self, int slot, int worker) {
  cnet_class_slot(L, self, slot);
  lua_insert(L, -2);
  lua_pushvalue(L, worker);
  lua_insert(L, -2);
  lua_rawset(L, -3);
  lua_pop(L, 1);
}

static void set_offered(lua_State *L, int self, int worker, bool offered) {
  if (offered) {
    lua_pushboolean(L, 1);
  } else {
    lua_pushnil(L);
  }
  set_entry(L, self, SLOT_OFFERED, worker);
}

static bool is_offered(lua_State *L, int self, int worker) {
  bool is;
  cnet_class_slot(L, self, SLOT_OFFERED);
  lua_pushvalue(L, worker);
  is = lua_rawget(L, -2) != LUA_TNIL;
  lua_pop(L, 2);
  return is;
}

/* ---- clients ---- */

static void put_client(lua_State *L, int self, int client, lua_Integer place) {
  cnet_class_slot(L, self, SLOT_CLIENTS);
  lua_pushvalue(L, client);
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
}

/* Pushes the client that waited longest. */
static void take_client(lua_State *L, int self) {
  round_robin *r = round_robin_at(L, self);
  cnet_class_slot(L, self, SLOT_CLIENTS);
  lua_rawgeti(L, -1, r->first);
  lua_pushnil(L);
  lua_rawseti(L, -3, r->first++);
  lua_remove(L, -2);
}

/* A client that a worker was to have is the first in the queue again; it is let go if nobody listens any more. */
static void put_back(lua_State *L, int self, int client) {
  round_robin *r = round_robin_at(L, self);
  if (r->handle) {
    put_client(L, self, client, --r->first);
  } else {
    cnet_native_close(lua_touserdata(L, client));
  }
}

/* ---- clients go to workers ---- */

static void distribute(lua_State *L, int self);

static void on_rest_is_over(lua_State *L, cnet_timer *timer) {
  round_robin *r = CNET_CONTAINER(round_robin, rest, timer);
  int self = lua_gettop(L) + 1;
  if (!r->handle) return;
  cnet_handle_push_object(L, r->handle);
  while (take_first(L, self, SLOT_RESTING)) {
    append(L, self, SLOT_FREE, self + 1);
    lua_pop(L, 1);
  }
  distribute(L, self);
  lua_settop(L, self - 1);
}

static void let_rest(lua_State *L, int self, int worker) {
  round_robin *r = round_robin_at(L, self);
  append(L, self, SLOT_RESTING, worker);
  if (!cnet_timer_is_active(&r->rest)) cnet_timer_start(L, r->object.rt, &r->rest, REST_MS);
}

/* (answer), or nothing if the worker has ended; upvalues: 2 self, 3 worker, 4 client */
static int listener_answer(lua_State *L) {
  enum { ANSWER = 1, SELF, WORKER, CLIENT };
  bool accepted = lua_istable(L, ANSWER) && cnet_option_true(L, ANSWER, "accepted");
  int i;
  lua_settop(L, ANSWER);
  for (i = SELF; i <= CLIENT; i++) lua_pushvalue(L, lua_upvalueindex(i));
  if (accepted) {
    cnet_native_close(lua_touserdata(L, CLIENT));
  } else {
    put_back(L, SELF, CLIENT);
  }
  if (!round_robin_at(L, SELF)->handle) return 0;
  set_offered(L, SELF, WORKER, false);
  if (member(L, SELF, WORKER) == SERVES) {
    if (accepted) {
      append(L, SELF, SLOT_FREE, WORKER);
    } else {
      let_rest(L, SELF, WORKER);
    }
  }
  distribute(L, SELF);
  return 0;
}

/* Returns false if the worker cannot be reached: it is about to be removed. */
static bool offer(lua_State *L, int self, int worker, int client) {
  int top = lua_gettop(L);
  bool sent;
  cnet_wire_push(L, "newconn");
  cnet_class_slot(L, self, SLOT_KEY);
  lua_setfield(L, top + 1, "key");
  lua_pushvalue(L, self);
  lua_pushvalue(L, worker);
  lua_pushvalue(L, client);
  cnet_emitter_push_listener(L, listener_answer, 3);
  set_offered(L, self, worker, true);
  sent = cnet_wire_send(L, worker, top + 1, client, top + 2);
  lua_settop(L, top);
  return sent;
}

static void distribute(lua_State *L, int self) {
  round_robin *r = round_robin_at(L, self);
  int top = lua_gettop(L);
  luaL_checkstack(L, 16, NULL);
  while (r->first <= r->last && take_first(L, self, SLOT_FREE)) {
    take_client(L, self);
    if (!offer(L, self, top + 1, top + 2)) put_back(L, self, top + 2);
    lua_settop(L, top);
  }
}

/* As in Node nobody is told of a client that could not be accepted. */
static void on_connection(lua_State *L, int self, int status) {
  round_robin *r = round_robin_at(L, self);
  int top = lua_gettop(L);
  if (status == 0) {
    cnet_native *client = cnet_native_push(L, r->object.rt);
    client->handle = cnet_handle_accept(r->handle, &status);
    if (client->handle) {
      put_client(L, self, top + 1, ++r->last);
      distribute(L, self);
    }
  }
  lua_settop(L, top);
}

static const cnet_handle_owner handle_owner = {on_connection, NULL, NULL};

/* Nobody is accepted while all workers are paused: the queue would hold ever more clients whom nobody serves. */
static void settle_pause(lua_State *L, int self) {
  round_robin *r = round_robin_at(L, self);
  bool holds = r->workers > 0 && r->paused == r->workers;
  if (!r->handle || r->holds == holds) return;
  r->holds = holds;
  cnet_handle_set_paused(r->handle, holds);
  if (cnet_handle_take_waiting(r->handle)) on_connection(L, self, 0);
}

/* ---- beginning and end ---- */

int cnet_round_robin_open(lua_State *L, int key, int query) {
  static const int tables[] = {SLOT_WORKERS, SLOT_FREE, SLOT_RESTING, SLOT_CLIENTS, SLOT_OFFERED};
  cnet_runtime *rt = cnet_runtime_open(L);
  lua_Integer backlog = cnet_get_integer(L, query, "backlog");
  round_robin *r = cnet_class_new(L, rt, sizeof *r, CNET_USERVALUES);
  int self = lua_gettop(L), status;
  size_t i;
  r->first = 1;
  r->rest.fire = on_rest_is_over;
  cnet_class_dress(L, &round_robin_class);
  lua_pushvalue(L, key);
  cnet_class_set_slot(L, self, SLOT_KEY);
  for (i = 0; i < sizeof tables / sizeof *tables; i++) {
    lua_newtable(L);
    cnet_class_set_slot(L, self, tables[i]);
  }
  r->handle = cnet_query_open(L, rt, query, &status);
  if (r->handle)
    status = cnet_handle_listen(r->handle, backlog > 0 && backlog < 65536 ? (int)backlog : CNET_DEFAULT_BACKLOG);
  if (status == 0) {
    cnet_handle_own(L, r->handle, self, &handle_owner);
    cnet_handle_add_server(r->handle, false);
    return 0;
  }
  if (r->handle) cnet_handle_abandon(r->handle);
  r->handle = NULL;
  lua_settop(L, self - 1);
  return status;
}

void cnet_round_robin_answer(lua_State *L, int self, int answer) {
  cnet_address address;
  if (cnet_handle_sockname(round_robin_at(L, self)->handle, &address) < 0) return; /* a path */
  cnet_address_push(L, &address);
  lua_setfield(L, answer, "sockname");
}

void cnet_round_robin_add(lua_State *L, int self, int worker) {
  if (member(L, self, worker) != NO_MEMBER) return;
  lua_pushboolean(L, 1);
  set_entry(L, self, SLOT_WORKERS, worker);
  round_robin_at(L, self)->workers++;
  append(L, self, SLOT_FREE, worker);
  settle_pause(L, self);
  distribute(L, self);
}

void cnet_round_robin_pause(lua_State *L, int self, int worker, bool paused) {
  round_robin *r = round_robin_at(L, self);
  if (member(L, self, worker) != (paused ? SERVES : PAUSED)) return;
  lua_pushboolean(L, !paused);
  set_entry(L, self, SLOT_WORKERS, worker);
  if (paused) {
    r->paused++;
    remove_worker(L, self, SLOT_FREE, worker);
    remove_worker(L, self, SLOT_RESTING, worker);
  } else {
    r->paused--;
    if (!is_offered(L, self, worker)) append(L, self, SLOT_FREE, worker);
  }
  settle_pause(L, self);
  distribute(L, self);
}

static void end(lua_State *L, int self) {
  round_robin *r = round_robin_at(L, self);
  cnet_timer_stop(&r->rest);
  while (r->first <= r->last) {
    take_client(L, self);
    cnet_native_close(lua_touserdata(L, -1));
    lua_pop(L, 1);
  }
  cnet_handle_close(L, r->handle, NULL, 0);
  r->handle = NULL;
}

bool cnet_round_robin_remove(lua_State *L, int self, int worker) {
  round_robin *r = round_robin_at(L, self);
  membership was = member(L, self, worker);
  if (was == NO_MEMBER) return false;
  if (was == PAUSED) r->paused--;
  lua_pushnil(L);
  set_entry(L, self, SLOT_WORKERS, worker);
  set_offered(L, self, worker, false);
  remove_worker(L, self, SLOT_FREE, worker);
  remove_worker(L, self, SLOT_RESTING, worker);
  if (--r->workers > 0) {
    settle_pause(L, self);
    return false;
  }
  end(L, self);
  return true;
}

static int round_robin_gc(lua_State *L) {
  round_robin *r = lua_touserdata(L, 1);
  cnet_handle_finalize(r->object.rt, &r->handle);
  cnet_timer_stop(&r->rest);
  return 0;
}

static const cnet_class round_robin_class = {
    .id = CNET_CLUSTER_HANDLE, .name = "cluster.RoundRobin", .gc = round_robin_gc};

void cnet_round_robin_define(lua_State *L) {
  cnet_class_define(L, &round_robin_class);
  lua_pop(L, 1);
}
