#include "socket/lookup.h"

#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/error.h"
#include "core/pins.h"
#include "core/protect.h"
#include "text/address.h"

typedef struct {
  cnet_event event; /* first: an event is its request */
  cnet_runtime *rt;
  uv_getaddrinfo_t uv;
  struct addrinfo *found;
  char host[]; /* for the error's message */
} request;

static void free_request(cnet_event *event) {
  request *r = (request *)event;
  uv_freeaddrinfo(r->found);
  free(r);
}

/* What is pinned while the name is looked up: a userdata whose user value is the function. It owns the request whenever
 * Lua may raise, before it is given to libuv and after it is done; in between libuv does. */
typedef struct {
  request *r;
  bool on_its_way;
} request_box;

static int box_gc(lua_State *L) {
  request_box *box = lua_touserdata(L, 1);
  if (box->r && box->on_its_way) {
    uv_cancel((uv_req_t *)&box->r->uv); /* lua_close: what no thread has begun is not waited for */
  } else if (box->r) {
    free_request(&box->r->event);
  }
  box->r = NULL;
  return 0;
}

static request_box *push_box(lua_State *L, int fn) {
  request_box *box = lua_newuserdatauv(L, sizeof *box, 1);
  memset(box, 0, sizeof *box);
  luaL_newmetatable(L, "cnet.lookup");
  lua_pushcfunction(L, box_gc); /* each time: the first may have made the metatable and run out of memory here */
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  lua_pushvalue(L, fn);
  lua_setiuservalue(L, -2, 1);
  return box;
}

static void push_list(lua_State *L, const struct addrinfo *found) {
  lua_Integer n = 0;
  cnet_address address;
  lua_newtable(L);
  for (; found; found = found->ai_next) {
    cnet_address_read(found->ai_addr, &address);
    if (address.family == 0) continue;
    lua_createtable(L, 0, 2);
    lua_pushstring(L, address.ip);
    lua_setfield(L, -2, "address");
    lua_pushinteger(L, address.family);
    lua_setfield(L, -2, "family");
    lua_rawseti(L, -2, ++n);
  }
}

/* Pushes err and list. */
static void push_result(lua_State *L, const request *r) {
  int status = r->event.status;
  if (status == 0 && !r->found) status = UV_EAI_NODATA;
  if (status < 0) {
    cnet_error_push_lookup(L, status, r->host);
    lua_pushnil(L);
  } else {
    lua_pushnil(L);
    push_list(L, r->found);
  }
}

static void deliver(lua_State *L, void *arg) {
  request *r = arg;
  request_box *box;
  cnet_pin_push(L, r->rt, r);
  box = lua_touserdata(L, -1);
  box->on_its_way = false;
  cnet_unpin(L, r->rt, r);
  lua_getiuservalue(L, -1, 1);
  push_result(L, r);
  box->r = NULL;
  free_request(&r->event);
  lua_call(L, 2, 0);
}

static void on_found(uv_getaddrinfo_t *uv, int status, struct addrinfo *found) {
  request *r = uv->data;
  r->found = found;
  cnet_deliver(r->rt, &r->event, status);
}

void cnet_lookup(lua_State *L, cnet_runtime *rt, const char *host, int family, int hints) {
  struct addrinfo wanted = {.ai_flags = hints,
                            .ai_family = family == 4   ? AF_INET
                                         : family == 6 ? AF_INET6
                                                       : AF_UNSPEC,
                            .ai_socktype = SOCK_STREAM};
  size_t size = strlen(host) + 1;
  int fn = lua_gettop(L), status;
  request_box *box = push_box(L, fn);
  request *r = box->r = calloc(1, sizeof *r + size);
  if (!r) luaL_error(L, "not enough memory");
  memcpy(r->host, host, size);
  r->rt = rt;
  r->uv.data = r;
  r->event.deliver = deliver;
  r->event.drop = free_request;
  cnet_pin(L, rt, r, fn + 1);
  box->on_its_way = true; /* from here on nothing raises */
  status = uv_getaddrinfo(rt->loop, &r->uv, on_found, host, NULL, &wanted);
  if (status < 0) { /* a name that cannot be one: told in the next turn, too */
    r->event.status = status;
    cnet_runtime_post(rt, &r->event);
  }
  lua_settop(L, fn - 1);
}
