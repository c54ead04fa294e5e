#include "handle/gather.h"

#include <string.h>

#include "core/ticks.h"
#include "handle/requests.h"

/* Longer ones gain nothing from being copied. */
enum { LONGEST = 4096, CAPACITY = 16384 };

typedef struct {
  cnet_handle *handle;
  size_t size;
  lua_Integer tick; /* the place that a tick would have had that was queued when the first of them was written */
  char bytes[CAPACITY];
} gathered;

static const cnet_room room = {sizeof(gathered), NULL};

/* The end of a callback, or somebody who cannot wait for it. What comes of a write that fails comes in a tick, which
 * Node queues inside write(). */
static void flush(lua_State *L, cnet_runtime *rt) {
  gathered *g = rt->gathered;
  cnet_handle *h = g->handle;
  size_t size = g->size;
  lua_Integer tick = g->tick, last = rt->ticks.tail;
  /* Behind what waits: a finalizer may have written while the rest of the last ones was being kept. */
  ssize_t sent = cnet_handle_write_queue(h) > 0 ? 0 : cnet_handle_write_now(h, g->bytes, size);
  rt->flush = NULL;
  g->handle = NULL;
  g->size = 0;
  h->gathered = false;
  if (sent == (ssize_t)size || !h->owner || !L) return;
  luaL_checkstack(L, 10, NULL);
  lua_pushlstring(L, g->bytes + (sent > 0 ? sent : 0), size - (size_t)(sent > 0 ? sent : 0));
  cnet_handle_push_object(L, h);
  if (h->owner && h->owner->on_unsent) { /* else a finalizer has closed it, or given it away */
    h->owner->on_unsent(L, lua_gettop(L), lua_gettop(L) - 1, sent < 0 ? (int)sent : 0); /* a libuv error */
    cnet_ticks_move(L, rt, last, tick);
  }
  lua_pop(L, 2);
}

bool cnet_gather(lua_State *L, cnet_handle *h, const char *data, size_t size, size_t high_water_mark) {
  cnet_runtime *rt = h->rt;
  gathered *g;
  if (!rt->turn.in_body) return false;
  g = rt->gathered ? rt->gathered : (rt->gathered = cnet_rooms_get(&rt->rooms, &room));
  if (!g) return false;
  if (rt->flush && (g->handle != h || g->size + size > CAPACITY || g->size + size >= high_water_mark || size > LONGEST))
    flush(L, rt);
  if (size > LONGEST || size == 0 || size >= high_water_mark || h->life != CNET_HANDLE_OPEN || h->kept_error < 0 ||
      cnet_handle_write_queue(h) > 0)
    return false;
  if (g->size == 0) g->tick = rt->ticks.tail;
  memcpy(g->bytes + g->size, data, size);
  g->size += size;
  g->handle = h;
  h->gathered = true;
  rt->flush = flush;
  return true;
}
