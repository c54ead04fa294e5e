#include "core/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char runtime_key = 0;

/* Apart from the runtime's userdata: after an exit inside a callback libuv may still look at the loop, and on luv's
 * loop the handles are closed after the userdata is gone. */
typedef struct cnet_loop_memory memory_t;

/* A handle of the runtime itself. */
typedef struct {
  memory_t *memory;
  cnet_disposable disposable;
  union {
    uv_handle_t handle;
    uv_async_t async;
    uv_check_t check;
    uv_idle_t idle;
    uv_prepare_t prepare;
  } uv;
} own_handle;

CNET_RIGHT_BEFORE(own_handle, disposable, uv);
#define MEMORY_OF(handle) (CNET_CONTAINER(own_handle, uv, handle)->memory)

enum {
  WAKE,
  CHECK,
  IDLE,   /* immediates, and what else is for the next turn */
  TICKER, /* ticks and what a stop has left over, on luv's loop */
  NESTED, /* a loop inside of a callback, there */
  OWN_HANDLES
};

struct cnet_loop_memory {
  memory_t *next;
  cnet_runtime *rt;
  uv_loop_t loop; /* unless it is luv's */
  own_handle own[OWN_HANDLES];
  int open; /* how many of them */
};

/* ---- events ---- */

void cnet_events_append(cnet_event_list *list, cnet_event *event) {
  event->next = NULL;
  if (list->tail) {
    list->tail->next = event;
  } else {
    list->head = event;
  }
  list->tail = event;
}

static void events_drop(cnet_event_list *list) {
  while (list->head) {
    cnet_event *event = list->head;
    list->head = event->next;
    event->drop(event);
  }
  list->tail = NULL;
}

/* ---- the next turn ---- */

static void on_check(uv_check_t *check) {
  cnet_runtime *rt = MEMORY_OF(check)->rt;
  if (!rt->closed && !cnet_runtime_stop_if_held(rt)) rt->loop_ops->on_check(rt);
}

static void on_idle(uv_idle_t *idle) { (void)idle; /* its being active makes the loop not sleep in poll */ }

void cnet_runtime_want_check(cnet_runtime *rt, bool wanted, bool ref) {
  own_handle *own = rt->memory->own;
  rt->immediates.pending = wanted;
  rt->immediates.ref = ref;
  if (wanted || rt->turn.hold_timers || rt->events.closes.head || rt->events.posted.head) {
    uv_check_start(&own[CHECK].uv.check, on_check);
  } else {
    uv_check_stop(&own[CHECK].uv.check);
  }
  if ((wanted && ref) || rt->events.closes.head || rt->events.posted.head) {
    uv_idle_start(&own[IDLE].uv.idle, on_idle);
  } else {
    uv_idle_stop(&own[IDLE].uv.idle);
  }
}

void cnet_runtime_post(cnet_runtime *rt, cnet_event *event) {
  cnet_events_append(&rt->events.posted, event);
  cnet_runtime_want_check(rt, rt->immediates.pending, rt->immediates.ref);
}

void cnet_runtime_stop(cnet_runtime *rt) {
  if (!rt->turn.running) {
    if (rt->luv.guard) uv_stop(rt->loop); /* perhaps under uv.run() */
    return;
  }
  if (!rt->turn.stopped && rt->turn.in_loop) {
    rt->turn.resuming = true;
    rt->turn.resume_phase = rt->turn.phase;
  }
  rt->turn.stopped = true;
  if (rt->turn.in_loop) uv_stop(rt->loop);
}

static void on_ticker(uv_idle_t *ticker) {
  cnet_runtime *rt = MEMORY_OF(ticker)->rt;
  if (rt->closed || cnet_runtime_stop_if_held(rt)) return;
  uv_idle_stop(ticker);
  rt->loop_ops->on_ticker(rt);
}

/* uv.run() in a callback of ours: it could wait for ever for what that callback keeps from being told. */
static void on_prepare(uv_prepare_t *prepare) { cnet_runtime_stop_if_held(MEMORY_OF(prepare)->rt); }

void cnet_runtime_want_ticker(cnet_runtime *rt, bool wanted) {
  uv_idle_t *ticker = &rt->memory->own[TICKER].uv.idle;
  if (!wanted) {
    uv_idle_stop(ticker);
  } else if (!rt->closed) {
    uv_idle_start(ticker, on_ticker);
  }
}

/* ---- the end ---- */

/* Calls fn for every handle of ours; on luv's loop the others are luv's. */
typedef struct {
  const cnet_runtime *rt;
  uv_walk_cb fn;
  void *arg;
} walk;

static void walk_one(uv_handle_t *handle, void *arg) {
  const walk *w = arg;
  const uv_handle_t *guard = w->rt->luv.guard;
  if (!guard || (handle->data == guard->data && handle != guard)) w->fn(handle, w->arg);
}

static void walk_ours(const cnet_runtime *rt, uv_walk_cb fn, void *arg) {
  walk w = {rt, fn, arg};
  uv_walk(rt->loop, walk_one, &w);
}

static void on_dispose(uv_handle_t *handle) {
  const cnet_disposable *of_handle = (const cnet_disposable *)(const void *)handle - 1;
  if (of_handle->dispose) of_handle->dispose(handle);
}

static void close_handle(uv_handle_t *handle, void *arg) {
  (void)arg;
  if (!uv_is_closing(handle)) uv_close(handle, on_dispose);
}

/* lua_close inside a callback: libuv is on the C stack below us and must not be entered again. */
static void close_descriptor(uv_handle_t *handle, void *arg) {
  uv_os_fd_t fd;
  (void)arg;
  if ((handle->type == UV_TCP || handle->type == UV_NAMED_PIPE) && uv_fileno(handle, &fd) == 0 && fd > 2) close(fd);
}

/* What is left to the exit stays reachable, so that leak checkers see that it is no leak. */
static _Atomic(memory_t *) left_to_the_exit;

static void leave_to_the_exit(memory_t *memory) {
  memory->next = atomic_load(&left_to_the_exit);
  while (!atomic_compare_exchange_weak(&left_to_the_exit, &memory->next, memory)) {
  }
}

static void count_open(uv_handle_t *handle, void *arg) {
  int *count = arg;
  if (uv_is_active(handle) && uv_has_ref(handle) && !uv_is_closing(handle)) ++*count;
}

static void warn_if_forgotten(cnet_runtime *rt) {
  int open = rt->left_open || (!rt->luv.guard && rt->loop->active_reqs.count > 0) ? 1 : 0;
  if (rt->turn.ever_ran) return;
  walk_ours(rt, count_open, &open);
  if (open > 0 || rt->ticks.head != rt->ticks.tail)
    fprintf(stderr, "cnet: the script ended with something still open, and never called net.run()%s\n",
            rt->luv.guard ? " or uv.run()" : "");
}

static void close_loop(uv_loop_t *loop) {
  while (uv_loop_close(loop) == UV_EBUSY) uv_run(loop, UV_RUN_ONCE);
}

/* lua_close inside of a close callback on luv's loop: libuv does not come back to the others that it was about to
 * close, and luv would wait for them for ever. */
static void give_back_closing(cnet_runtime *rt) {
  uv_handle_t **last = &rt->loop->closing_handles;
  while (*last) last = &(*last)->next_closing;
  *last = rt->luv.closing_next;
}

void cnet_runtime_close(cnet_runtime *rt) {
  if (!rt->open || rt->closed) return;
  rt->closed = true;
  warn_if_forgotten(rt);
  if (rt->flush) rt->flush(NULL, rt);
  free(rt->pins.free_places);
  events_drop(&rt->events.deferred);
  events_drop(&rt->events.closes);
  events_drop(&rt->events.posted);
  events_drop(&rt->events.due);
  if (rt->loop_ops) rt->loop_ops->on_close(rt);
  cnet_rooms_close(&rt->rooms); /* before the descriptors: see os/socket_file.h */
  rt->gathered = NULL;
  if (rt->turn.in_loop && !rt->luv.guard) {
    walk_ours(rt, close_descriptor, NULL);
    leave_to_the_exit(rt->memory);
    return;
  }
  walk_ours(rt, close_handle, NULL);
  if (rt->luv.closing_next) give_back_closing(rt);
  if (rt->luv.guard) return; /* luv runs its loop until all of its handles are closed, and so frees what ours are in */
  close_loop(rt->loop);
  free(rt->memory);
}

static int runtime_gc(lua_State *L) {
  cnet_runtime_close(lua_touserdata(L, 1));
  return 0;
}

/* ---- the beginning ---- */

void cnet_runtime_push(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &runtime_key); }

void cnet_runtime_check(lua_State *L, const cnet_runtime *rt) {
  if (!rt || !rt->open || rt->closed) luaL_error(L, "cnet is closed: the Lua state is closing");
}

static void ignore_sigpipe(void) {
  struct sigaction now;
  if (sigaction(SIGPIPE, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) && now.sa_handler == SIG_DFL)
    signal(SIGPIPE, SIG_IGN);
}

/* A daemon may have closed its standard descriptors: libuv must not get their numbers, and Node opens them too. */
static void open_standard_descriptors(void) {
  int fd;
  for (fd = 0; fd <= 2; fd++)
    if (fcntl(fd, F_GETFD) == -1 && errno == EBADF && open("/dev/null", O_RDWR) != fd) return;
}

static void on_wake(uv_async_t *wake) {
  cnet_runtime *rt = MEMORY_OF(wake)->rt;
  rt->loop_ops->on_wake(rt);
}

/* The handles that the runtime itself has on the loop. */
static int open_handles(memory_t *memory, uv_loop_t *loop) {
  own_handle *own = memory->own;
  int i, status = uv_async_init(loop, &own[WAKE].uv.async, on_wake);
  if (status < 0) return status;
  uv_check_init(loop, &own[CHECK].uv.check);
  uv_idle_init(loop, &own[IDLE].uv.idle);
  uv_idle_init(loop, &own[TICKER].uv.idle);
  uv_prepare_init(loop, &own[NESTED].uv.prepare);
  for (i = 0; i < OWN_HANDLES; i++) {
    own[i].memory = memory;
    cnet_runtime_adopt(memory->rt, &own[i].uv.handle);
  }
  uv_unref(&own[CHECK].uv.handle);
  uv_unref(&own[WAKE].uv.handle);
  uv_unref(&own[NESTED].uv.handle);
  memory->open = OWN_HANDLES;
  return 0;
}

static void use_memory(cnet_runtime *rt, memory_t *memory) {
  rt->memory = memory;
  rt->wake = &memory->own[WAKE].uv.async;
}

static void open_loop(lua_State *L, cnet_runtime *rt) {
  int status;
  memory_t *memory = calloc(1, sizeof *memory);
  if (!memory) luaL_error(L, "not enough memory");
  memory->rt = rt;
  open_standard_descriptors();
  status = uv_loop_init(&memory->loop);
  if (status == 0) {
    status = open_handles(memory, &memory->loop);
    if (status < 0) uv_loop_close(&memory->loop);
  }
  if (status < 0) {
    free(memory);
    luaL_error(L, "cnet: no event loop: %s", uv_strerror(status));
  }
  rt->loop = &memory->loop;
  use_memory(rt, memory);
  rt->open = true;
}

/* ---- luv's loop ---- */

static void count(uv_handle_t *handle, void *arg) {
  (void)handle;
  ++*(int *)arg;
}

bool cnet_runtime_has_open_only(cnet_runtime *rt, int handles) {
  int n = 0;
  uv_walk(rt->loop, count, &n);
  return n == OWN_HANDLES + handles && rt->loop->active_reqs.count == 0 && !rt->events.deferred.head &&
         !rt->events.closes.head && !rt->events.posted.head;
}

static void release(uv_handle_t *handle) {
  memory_t *memory = MEMORY_OF(handle);
  if (--memory->open == 0) free(memory);
}

/* The runtime's memory on luv's loop; NULL with *status set. It is freed once its handles are closed. */
static memory_t *new_guest(cnet_runtime *rt, int *status) {
  int i;
  memory_t *memory = calloc(1, sizeof *memory);
  *status = UV_ENOMEM;
  if (!memory) return NULL;
  memory->rt = rt;
  for (i = 0; i < OWN_HANDLES; i++) memory->own[i].disposable.dispose = release;
  *status = open_handles(memory, rt->loop);
  if (*status == 0) return memory;
  free(memory);
  return NULL;
}

int cnet_runtime_share(cnet_runtime *rt, uv_loop_t *loop, uv_handle_t *guard, int (*move)(void *arg), void *arg) {
  uv_loop_t *old_loop = rt->loop;
  memory_t *old = rt->memory, *memory;
  int i, status;
  rt->loop = loop;
  rt->luv.guard = guard;
  memory = new_guest(rt, &status);
  if (memory && move) status = move(arg);
  if (status < 0) {
    for (i = 0; memory && i < OWN_HANDLES; i++) close_handle(&memory->own[i].uv.handle, NULL);
    rt->loop = old_loop;
    rt->luv.guard = NULL;
    return status;
  }
  use_memory(rt, memory);
  uv_prepare_start(&memory->own[NESTED].uv.prepare, on_prepare);
  for (i = 0; i < OWN_HANDLES; i++) close_handle(&old->own[i].uv.handle, NULL);
  close_loop(old_loop);
  free(old);
  cnet_runtime_want_check(rt, rt->immediates.pending, rt->immediates.ref);
  if (cnet_runtime_has_left(rt)) cnet_runtime_want_ticker(rt, true);
  return 0;
}

cnet_runtime *cnet_runtime_open(lua_State *L) {
  cnet_runtime *rt;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &runtime_key) == LUA_TUSERDATA) {
    rt = lua_touserdata(L, -1);
    lua_pop(L, 1);
    return rt;
  }
  lua_pop(L, 1);
  rt = lua_newuserdatauv(L, sizeof *rt, CNET_RUNTIME_USERVALUES);
  memset(rt, 0, sizeof *rt);
  lua_rawgeti(L, LUA_REGISTRYINDEX, LUA_RIDX_MAINTHREAD);
  rt->L = lua_tothread(L, -1);
  lua_pop(L, 1);
  rt->ticks.head = rt->ticks.tail = 1;
  lua_newtable(L);
  rt->pins.table = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  rt->ticks.table = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_pushboolean(L, 0);
  rt->self = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  lua_pushcfunction(L, runtime_gc);
  lua_setfield(L, -2, "__gc");
  lua_setmetatable(L, -2);
  /* In Lua's memory, where the collector's pace counts it. A small program is otherwise gone through for every second
   * chunk of 64 KiB that is read, which costs twice the copying of the chunk. */
  rt->read_buffer = lua_newuserdatauv(L, CNET_READ_BUFFER, 0);
  lua_setiuservalue(L, -2, CNET_RUNTIME_BUFFER);
  open_loop(L, rt);
  ignore_sigpipe();
  lua_rawsetp(L, LUA_REGISTRYINDEX, &runtime_key);
  return rt;
}

void *cnet_runtime_room(lua_State *L, cnet_runtime *rt, const cnet_room *room) {
  void *state;
  cnet_runtime_check(L, rt);
  state = cnet_rooms_get(&rt->rooms, room);
  if (!state) luaL_error(L, "not enough memory");
  return state;
}

void cnet_runtime_set_functions(lua_State *L, const luaL_Reg *functions) {
  cnet_runtime_push(L);
  luaL_setfuncs(L, functions, 1);
}
