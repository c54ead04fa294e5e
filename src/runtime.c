#include "runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "error.h"
#include "interrupt.h"
#include "protect.h"

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
#define MEMORY_OF(handle) (CNET_HANDLE_OWNER(own_handle, uv, handle)->memory)

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

/* ---- pins ---- */

void cnet_pin(lua_State *L, cnet_runtime *rt, const void *key, int index) {
  index = lua_absindex(L, index);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  lua_pushvalue(L, index);
  lua_rawsetp(L, -2, key);
  lua_pop(L, 1);
}

void cnet_unpin(lua_State *L, cnet_runtime *rt, const void *key) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  if (lua_rawgetp(L, -1, key) != LUA_TNIL) {
    lua_pushnil(L);
    lua_rawsetp(L, -3, key);
  }
  lua_pop(L, 2);
}

int cnet_pin_push(lua_State *L, cnet_runtime *rt, const void *key) {
  int type;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  type = lua_rawgetp(L, -1, key);
  lua_remove(L, -2);
  return type;
}

int cnet_pin_place(lua_State *L, cnet_runtime *rt, int place, int index) {
  index = lua_absindex(L, index);
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  lua_pushvalue(L, index);
  if (place == 0) place = rt->free_count > 0 ? rt->free_places[rt->free_count - 1] : rt->last_place + 1;
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
  /* given out only now: rawseti may have raised */
  if (rt->free_count > 0 && place == rt->free_places[rt->free_count - 1]) {
    rt->free_count--;
  } else if (place > rt->last_place) {
    rt->last_place = place;
  }
  return place;
}

void cnet_unpin_place(lua_State *L, cnet_runtime *rt, int place) {
  int *more;
  if (place == 0) return;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  lua_pushnil(L);
  lua_rawseti(L, -2, place);
  lua_pop(L, 1);
  if (rt->free_count == rt->free_size) {
    more = realloc(rt->free_places, (size_t)(2 * rt->free_size + 16) * sizeof *more);
    if (!more) return; /* the place is not used again */
    rt->free_places = more;
    rt->free_size = 2 * rt->free_size + 16;
  }
  rt->free_places[rt->free_count++] = place;
}

int cnet_pin_push_place(lua_State *L, cnet_runtime *rt, int place) {
  int type;
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->pins);
  type = lua_rawgeti(L, -1, place);
  lua_remove(L, -2);
  return type;
}

/* ---- ticks ----
 * A queue in a table, two slots for each tick: the function, and its argument. Several arguments are packed into a
 * table of our own, so a single argument that is a table is packed too. */

static void tick_put(lua_State *L, cnet_runtime *rt) {
  lua_rawgeti(L, LUA_REGISTRYINDEX, rt->ticks); /* fn, argument, queue */
  lua_insert(L, -3);
  lua_rawseti(L, -3, rt->tick_tail + 1);
  lua_rawseti(L, -2, rt->tick_tail);
  rt->tick_tail += 2;
  lua_pop(L, 1);
  if (rt->guard && !rt->in_body) cnet_runtime_want_ticker(rt);
}

void cnet_tick(lua_State *L, cnet_runtime *rt, int nargs) {
  if (nargs == 0) {
    lua_pushboolean(L, 0); /* false alone stands for no argument */
  } else if (nargs > 1 || lua_istable(L, -1) || lua_isboolean(L, -1) || lua_isnil(L, -1)) {
    int i, first = lua_gettop(L) - nargs + 1;
    lua_createtable(L, nargs, 1);
    lua_insert(L, first);
    for (i = nargs; i > 0; i--) lua_rawseti(L, first, i);
    lua_pushinteger(L, nargs);
    lua_setfield(L, first, "n");
  }
  tick_put(L, rt);
}

void cnet_tick_object(lua_State *L, cnet_runtime *rt, lua_CFunction fn, int index) {
  index = lua_absindex(L, index);
  lua_pushcfunction(L, fn);
  lua_pushvalue(L, index);
  tick_put(L, rt);
}

static int unpack_arguments(lua_State *L) {
  int i, n, pack = lua_gettop(L);
  lua_getfield(L, pack, "n");
  n = (int)lua_tointeger(L, -1);
  lua_pop(L, 1);
  luaL_checkstack(L, n + 1, "too many arguments");
  for (i = 1; i <= n; i++) lua_rawgeti(L, pack, i);
  lua_remove(L, pack);
  return n;
}

void cnet_ticks_run(lua_State *L, cnet_runtime *rt, int queue) {
  while (rt->tick_head != rt->tick_tail && !rt->stopped) {
    int nargs = 1;
    lua_rawgeti(L, queue, rt->tick_head);
    lua_rawgeti(L, queue, rt->tick_head + 1);
    lua_pushnil(L);
    lua_rawseti(L, queue, rt->tick_head);
    lua_pushnil(L);
    lua_rawseti(L, queue, rt->tick_head + 1);
    rt->tick_head += 2;
    if (rt->tick_head == rt->tick_tail) rt->tick_head = rt->tick_tail = 1;
    if (lua_istable(L, -1)) {
      nargs = unpack_arguments(L);
    } else if (lua_isboolean(L, -1)) {
      lua_pop(L, 1);
      nargs = 0;
    }
    lua_call(L, nargs, 0);
  }
}

static int net_next_tick(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  if (!lua_isfunction(L, 1)) return cnet_error_arg_type(L, "argument", "callback", "of type function", 1);
  cnet_tick(L, rt, lua_gettop(L) - 1);
  return 0;
}

/* ---- the check phase: immediates, then the close callbacks a stopped turn left over ---- */

static void on_check(uv_check_t *check) {
  cnet_runtime *rt = MEMORY_OF(check)->rt;
  if (rt->closed || cnet_runtime_holds(rt)) return;
  rt->hold_timers = false;
  if (rt->rearm_timers) rt->rearm_timers(rt);
  if (rt->posted.head) {
    /* what is posted while these run waits for the next turn */
    rt->due = rt->posted;
    rt->posted.head = rt->posted.tail = NULL;
    cnet_protect_replay(rt, CNET_PHASE_POLL, &rt->due);
    if (rt->due.head) {
      rt->due.tail->next = rt->posted.head;
      if (rt->posted.tail) rt->due.tail = rt->posted.tail;
      rt->posted = rt->due;
      rt->due.head = rt->due.tail = NULL;
    }
  }
  if (!rt->stopped && rt->immediates_pending) rt->run_immediates(rt);
  if (!rt->stopped) cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->closes);
  cnet_runtime_want_check(rt, rt->immediates_pending, rt->immediates_ref);
}

static void on_idle(uv_idle_t *idle) { (void)idle; /* its being active makes the loop not sleep in poll */ }

void cnet_runtime_want_check(cnet_runtime *rt, bool wanted, bool ref) {
  own_handle *own = rt->memory->own;
  rt->immediates_pending = wanted;
  rt->immediates_ref = ref;
  if (wanted || rt->hold_timers || rt->closes.head || rt->posted.head) {
    uv_check_start(&own[CHECK].uv.check, on_check);
  } else {
    uv_check_stop(&own[CHECK].uv.check);
  }
  if ((wanted && ref) || rt->closes.head || rt->posted.head) {
    uv_idle_start(&own[IDLE].uv.idle, on_idle);
  } else {
    uv_idle_stop(&own[IDLE].uv.idle);
  }
}

void cnet_runtime_post(cnet_runtime *rt, cnet_event *event) {
  cnet_events_append(&rt->posted, event);
  cnet_runtime_want_check(rt, rt->immediates_pending, rt->immediates_ref);
}

/* ---- run and stop ---- */

void cnet_runtime_stop(cnet_runtime *rt) {
  if (!rt->running) {
    if (rt->guard) uv_stop(rt->loop); /* perhaps under uv.run() */
    return;
  }
  if (!rt->stopped && rt->in_loop) {
    rt->resuming = true;
    rt->resume_phase = rt->phase;
  }
  rt->stopped = true;
  if (rt->in_loop) uv_stop(rt->loop);
}

/* Goes on where the last turn was stopped, up to where uv_run begins: with the timers. Tells whether anything was done:
 * net.run("once") need not wait then. */
static bool resume(cnet_runtime *rt) {
  bool any = rt->tick_head != rt->tick_tail;
  cnet_protect(rt, CNET_PHASE_POLL, NULL, NULL); /* the ticks */
  any = cnet_protect_replay(rt, CNET_PHASE_POLL, &rt->deferred) || any;
  if (rt->stopped || !rt->resuming) return any;
  if (rt->resume_phase == CNET_PHASE_POLL) {
    rt->hold_timers = true; /* until the rest of that turn, poll, check and closing, has passed */
  } else if (rt->resume_phase == CNET_PHASE_TIMERS) {
    rt->run_timers(rt);
  } else {
    if (rt->resume_phase == CNET_PHASE_CHECK && rt->immediates_pending) rt->run_immediates(rt);
    if (!rt->stopped) any = cnet_protect_replay(rt, CNET_PHASE_CLOSING, &rt->closes) || any;
  }
  if (!rt->stopped) rt->resuming = false;
  if (rt->rearm_timers && !rt->hold_timers) rt->rearm_timers(rt);
  cnet_runtime_want_check(rt, rt->immediates_pending, rt->immediates_ref);
  return any;
}

static bool something_left(const cnet_runtime *rt) {
  return rt->deferred.head || rt->closes.head || rt->posted.head || rt->tick_head != rt->tick_tail;
}

static bool something_alive(cnet_runtime *rt) { return something_left(rt) || uv_loop_alive(rt->loop); }

/* On luv's loop uv.run may come next, or is running: it must find what net.run would begin with. */
static void on_ticker(uv_idle_t *ticker) {
  cnet_runtime *rt = MEMORY_OF(ticker)->rt;
  if (rt->closed || cnet_runtime_holds(rt)) return;
  uv_idle_stop(ticker);
  resume(rt);
  cnet_runtime_want_check(rt, rt->immediates_pending, rt->immediates_ref);
}

/* uv.run() in a callback of ours: it could wait for ever for what that callback keeps from being told. */
static void on_prepare(uv_prepare_t *prepare) { cnet_runtime_holds(MEMORY_OF(prepare)->rt); }

void cnet_runtime_want_ticker(cnet_runtime *rt) {
  if (!rt->closed) uv_idle_start(&rt->memory->own[TICKER].uv.idle, on_ticker);
}

static bool in_finalizer(lua_State *L) {
  lua_Debug ar;
  int level;
  if (lua_gc(L, LUA_GCISRUNNING) < 0) return true; /* since Lua 5.4.4; also in a coroutine that a finalizer resumed */
  for (level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "n", &ar);
    if (ar.name && strcmp(ar.name, "__gc") == 0 && strcmp(ar.namewhat, "metamethod") == 0) return true;
  }
  return false;
}

/* The handler, or nil, is on top of the main thread's stack. */
static void set_up_on_luv(cnet_runtime *rt) {
  cnet_runtime_push(rt->L);
  lua_pushvalue(rt->L, -2);
  lua_setiuservalue(rt->L, -2, CNET_RUNTIME_HANDLER);
  lua_pop(rt->L, 1);
  uv_idle_stop(&rt->memory->own[TICKER].uv.idle);
}

static int net_run(lua_State *L) {
  static const char *const names[] = {"default", "once", "nowait", NULL};
  static const uv_run_mode modes[] = {UV_RUN_DEFAULT, UV_RUN_ONCE, UV_RUN_NOWAIT};
  cnet_runtime *rt = cnet_runtime_of(L);
  int top, handler = lua_isfunction(L, 1) ? 1 : 2;
  uv_run_mode mode = UV_RUN_DEFAULT;
  cnet_runtime_check(L, rt);
  if (handler == 2) {
    int i = 0;
    const char *name = lua_isnoneornil(L, 1) ? "default" : lua_tostring(L, 1);
    while (names[i] && !(name && strcmp(names[i], name) == 0)) i++;
    if (!names[i]) return cnet_error_arg_value(L, "argument", "mode", 1, "must be one of 'default', 'once', 'nowait'");
    mode = modes[i];
    if (!lua_isnoneornil(L, 2) && !lua_isfunction(L, 2))
      return cnet_error_arg_type(L, "argument", "handler", "of type function", 2);
  }
  if (rt->running || rt->in_body) return luaL_error(L, "net.run() is running already: call it outside of callbacks");
  if (in_finalizer(L)) return luaL_error(L, "net.run() cannot be called in a finalizer");
  if (!rt->entry) cnet_protect_init(L, rt);
  lua_settop(L, 2);
  top = lua_gettop(rt->L);
  if (!lua_checkstack(rt->L, LUA_MINSTACK + 2)) return luaL_error(L, "stack overflow");
  lua_pushvalue(L, handler);
  if (L != rt->L) lua_xmove(L, rt->L, 1);
  rt->handler = lua_isfunction(rt->L, -1) ? lua_gettop(rt->L) : 0;
  if (rt->guard) set_up_on_luv(rt);
  rt->running = rt->ever_ran = true;
  rt->stopped = rt->failed = false;
  cnet_interrupt_arm(rt);
  if (resume(rt) && mode == UV_RUN_ONCE) mode = UV_RUN_NOWAIT;
  if (!rt->stopped) {
    rt->in_loop = true;
    uv_run(rt->loop, mode);
    rt->in_loop = false;
  }
  cnet_interrupt_disarm(rt);
  rt->running = rt->stopped = false;
  rt->handler = 0;
  lua_settop(rt->L, rt->L == L ? 2 : top);
  if (rt->guard && something_left(rt)) cnet_runtime_want_ticker(rt);
  if (rt->failed) {
    rt->failed = false;
    cnet_runtime_push(L);
    lua_getiuservalue(L, -1, CNET_RUNTIME_ERROR);
    lua_pushboolean(L, 0);
    lua_setiuservalue(L, -3, CNET_RUNTIME_ERROR);
    return lua_error(L);
  }
  lua_pushboolean(L, something_alive(rt));
  return 1;
}

static int net_stop(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  cnet_runtime_stop(rt);
  return 0;
}

static int net_backend_fd(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  cnet_runtime_check(L, rt);
  lua_pushinteger(L, uv_backend_fd(rt->loop));
  return 1;
}

static int net_backend_timeout(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_of(L);
  bool waiting;
  cnet_runtime_check(L, rt);
  waiting = rt->tick_head != rt->tick_tail || rt->deferred.head || rt->closes.head || rt->posted.head;
  if (!waiting) uv_update_time(rt->loop);
  /* libuv says 0 when nothing is alive: a host that polled with that would spin */
  lua_pushinteger(L, waiting ? 0 : uv_loop_alive(rt->loop) ? uv_backend_timeout(rt->loop) : -1);
  return 1;
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
  const uv_handle_t *guard = w->rt->guard;
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
  if (handle->type == UV_NAMED_PIPE && !uv_is_closing(handle)) {
    char path[256];
    size_t size = sizeof path - 1;
    bool bound = !uv_is_readable((uv_stream_t *)handle) && !uv_is_writable((uv_stream_t *)handle);
    if (bound && uv_pipe_getsockname((uv_pipe_t *)handle, path, &size) == 0 && size > 0 && path[0] != '\0') {
      path[size] = '\0';
      unlink(path);
    }
  }
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
  int open = rt->left_open || (!rt->guard && rt->loop->active_reqs.count > 0) ? 1 : 0;
  if (rt->ever_ran) return;
  walk_ours(rt, count_open, &open);
  if (open > 0 || rt->tick_head != rt->tick_tail)
    fprintf(stderr, "cnet: the script ended with something still open, and never called net.run()%s\n",
            rt->guard ? " or uv.run()" : "");
}

static void close_loop(uv_loop_t *loop) {
  while (uv_loop_close(loop) == UV_EBUSY) uv_run(loop, UV_RUN_ONCE);
}

/* lua_close inside of a close callback on luv's loop: libuv does not come back to the others that it was about to
 * close, and luv would wait for them for ever. */
static void give_back_closing(cnet_runtime *rt) {
  uv_handle_t **last = &rt->loop->closing_handles;
  while (*last) last = &(*last)->next_closing;
  *last = rt->closing_next;
}

void cnet_runtime_close(cnet_runtime *rt) {
  if (!rt->open || rt->closed) return;
  rt->closed = true;
  warn_if_forgotten(rt);
  if (rt->flush) rt->flush(NULL, rt);
  free(rt->gathered);
  free(rt->spare_request);
  free(rt->free_places);
  events_drop(&rt->deferred);
  events_drop(&rt->closes);
  events_drop(&rt->posted);
  events_drop(&rt->due);
  cnet_interrupt_disarm(rt); /* a tick may run before the loop is entered */
  if (rt->in_loop && !rt->guard) {
    walk_ours(rt, close_descriptor, NULL);
    leave_to_the_exit(rt->memory);
    return;
  }
  if (rt->spare_fd >= 0) close(rt->spare_fd);
  walk_ours(rt, close_handle, NULL);
  if (rt->closing_next) give_back_closing(rt);
  if (rt->guard) return; /* luv runs its loop until all of its handles are closed, and so frees what ours are in */
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

static void on_wake(uv_async_t *wake) { cnet_interrupt_on_wake(MEMORY_OF(wake)->rt); }

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
  rt->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
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
  return n == OWN_HANDLES + handles && rt->loop->active_reqs.count == 0 && !rt->deferred.head && !rt->closes.head &&
         !rt->posted.head;
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
  rt->guard = guard;
  memory = new_guest(rt, &status);
  if (memory && move) status = move(arg);
  if (status < 0) {
    for (i = 0; memory && i < OWN_HANDLES; i++) close_handle(&memory->own[i].uv.handle, NULL);
    rt->loop = old_loop;
    rt->guard = NULL;
    return status;
  }
  use_memory(rt, memory);
  uv_prepare_start(&memory->own[NESTED].uv.prepare, on_prepare);
  for (i = 0; i < OWN_HANDLES; i++) close_handle(&old->own[i].uv.handle, NULL);
  close_loop(old_loop);
  free(old);
  cnet_runtime_want_check(rt, rt->immediates_pending, rt->immediates_ref);
  if (something_left(rt)) cnet_runtime_want_ticker(rt);
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
  rt->tick_head = rt->tick_tail = 1;
  rt->default_auto_select_family = true;
  rt->default_attempt_timeout = 250;
  lua_newtable(L);
  rt->pins = luaL_ref(L, LUA_REGISTRYINDEX);
  lua_newtable(L);
  rt->ticks = luaL_ref(L, LUA_REGISTRYINDEX);
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

void cnet_runtime_set_functions(lua_State *L, const luaL_Reg *functions) {
  cnet_runtime_push(L);
  luaL_setfuncs(L, functions, 1);
}

void cnet_runtime_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"run", net_run},
                                       {"stop", net_stop},
                                       {"backendFd", net_backend_fd},
                                       {"backendTimeout", net_backend_timeout},
                                       {"nextTick", net_next_tick},
                                       {NULL, NULL}};
  cnet_runtime_set_functions(L, functions);
}
