#include "process/process.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "core/interrupt.h"
#include "core/protect.h"
#include "core/signals.h"
#include "process/ipc.h"
#include "socket/class.h"
#include "socket/socket.h"

static const char process_key = 0; /* registry: the object */

enum { SLOT_STDIN = CNET_SLOT_FIRST_TARGET };

enum { SIGNAL_LIMIT = 128 };

/* Made when its signal is first watched, and kept until lua_close. */
typedef struct {
  cnet_disposable disposable;
  uv_signal_t handle;
  cnet_runtime *rt;
  const cnet_signal *row;
  bool active;
} watcher;

CNET_RIGHT_BEFORE(watcher, disposable, handle);

typedef struct {
  cnet_emitter emitter;
  watcher *watchers[CNET_SIGNALS_MAX];
  bool exiting;
} process;

/* ---- the action a signal had before ----
 * libuv would leave the default one behind: SIGPIPE, once watched, would kill, and Ctrl-C no longer reach lua. */

static atomic_flag actions_lock = ATOMIC_FLAG_INIT;
static struct {
  int users;
  struct sigaction before;
} actions[SIGNAL_LIMIT];

static void lock_actions(void) {
  while (atomic_flag_test_and_set(&actions_lock)) {
  }
}

static void unlock_actions(void) { atomic_flag_clear(&actions_lock); }

static void keep_action(int number) {
  lock_actions();
  if (actions[number].users++ == 0) {
    sigaction(number, NULL, &actions[number].before);
    if (number == SIGINT) cnet_interrupt_see_through(&actions[number].before);
  }
  unlock_actions();
}

/* Somebody else who watches the signal through libuv is left alone. */
static void restore_action(int number) {
  struct sigaction now;
  lock_actions();
  if (--actions[number].users == 0 && sigaction(number, NULL, &now) == 0 && !(now.sa_flags & SA_SIGINFO) &&
      now.sa_handler == SIG_DFL)
    sigaction(number, &actions[number].before, NULL);
  unlock_actions();
}

/* ---- signals come in ---- */

typedef struct {
  cnet_event event;
  const cnet_signal *row;
} signal_event;

static void drop_event(cnet_event *event) { free(event); }

static void deliver(lua_State *L, void *arg) {
  const cnet_signal *row = ((signal_event *)arg)->row;
  free(arg);
  cnet_process_push(L);
  lua_pushstring(L, row->name);
  lua_pushinteger(L, row->number);
  cnet_emit(L, lua_gettop(L) - 2, row->name, 2);
}

static void on_signal(uv_signal_t *handle, int number) {
  const watcher *w = CNET_CONTAINER(watcher, handle, handle);
  signal_event *event;
  (void)number;
  if (w->rt->closed || !w->active) return;
  event = malloc(sizeof *event);
  if (!event) return; /* like a signal that came twice before anyone looked */
  event->event.deliver = deliver;
  event->event.drop = drop_event;
  event->row = w->row;
  cnet_deliver_signal(w->rt, &event->event);
}

/* ---- a signal's event gets listeners, and loses them ---- */

static void forget(watcher *w) {
  if (!w->active) return;
  w->active = false;
  restore_action(w->row->number);
  if (w->row->number == SIGINT) cnet_interrupt_listener_gone(w->rt);
}

static void dispose(uv_handle_t *handle) {
  watcher *w = CNET_CONTAINER(watcher, handle, handle);
  forget(w);
  free(w);
}

static int make_watcher(cnet_runtime *rt, process *self, int i) {
  watcher *w = self->watchers[i];
  int status;
  if (w) return 0;
  w = calloc(1, sizeof *w);
  if (!w) return UV_ENOMEM;
  status = uv_signal_init(rt->loop, &w->handle);
  if (status < 0) {
    free(w);
    return status;
  }
  uv_unref((uv_handle_t *)&w->handle);
  w->disposable.dispose = dispose;
  cnet_runtime_adopt(rt, (uv_handle_t *)&w->handle);
  w->rt = rt;
  w->row = &cnet_signals[i];
  self->watchers[i] = w;
  return 0;
}

static int watch(cnet_runtime *rt, process *self, int i) {
  int number = cnet_signals[i].number;
  int status = make_watcher(rt, self, i);
  if (status < 0) return status;
  if (number == SIGINT) cnet_interrupt_listener_came(rt);
  keep_action(number);
  status = uv_signal_start(&self->watchers[i]->handle, on_signal, number);
  self->watchers[i]->active = true;
  if (status < 0) forget(self->watchers[i]);
  return status;
}

static void unwatch(watcher *w) {
  uv_signal_stop(&w->handle);
  forget(w);
}

/* Watches the signal if its event has listeners, else not. What cannot be watched takes no listeners. */
static void update(lua_State *L, process *self, int index, int i) {
  cnet_runtime *rt = self->emitter.object.rt;
  const char *name = cnet_signals[i].name;
  bool wanted = cnet_emitter_count(L, index, name) > 0;
  watcher *w = self->watchers[i];
  int status;
  if (wanted == (w && w->active)) return;
  if (!wanted) {
    unwatch(w);
    return;
  }
  status = watch(rt, self, i);
  if (status == 0) return;
  lua_pushvalue(L, index);
  lua_pushstring(L, name);
  cnet_emitter_call(L, "removeAllListeners", 2);
  cnet_error_push_system(L, status, "uv_signal_start");
  cnet_error_throw(L);
}

static void on_listeners(lua_State *L, int index, int name, cnet_listener_change change) {
  process *self = lua_touserdata(L, index);
  const char *text = name != 0 && lua_type(L, name) == LUA_TSTRING ? lua_tostring(L, name) : "";
  int i;
  (void)change;
  for (i = 0; i < cnet_signals_count; i++)
    if (name == 0 || strcmp(text, cnet_signals[i].name) == 0) update(L, self, index, i);
  cnet_ipc_follow_listeners(L, index);
  cnet_ipc_on_listeners(L, index);
}

/* ---- members ---- */

/* A net.Socket over descriptor 0, made when first asked for. As in Node it reads nothing until somebody listens. */
static int get_stdin(lua_State *L) {
  process *self = cnet_class_self(L, CNET_PROCESS);
  cnet_runtime *rt = self->emitter.object.rt;
  cnet_handle_kind kind;
  cnet_native *native;
  cnet_socket *s;
  int status;
  if (cnet_class_slot(L, 1, SLOT_STDIN) != LUA_TNIL) return 1;
  if (cnet_ipc_fd(L, 1) == 0) return luaL_error(L, "net.process.stdin: descriptor 0 is the channel to the parent");
  status = cnet_handle_guess(0, &kind);
  if (status < 0)
    return luaL_error(L, "net.process.stdin: standard input is no pipe, socket or terminal; use io.stdin");
  native = cnet_native_push(L, rt);
  native->handle = cnet_handle_new(rt, kind, &status);
  if (native->handle) status = cnet_handle_open(native->handle, 0);
  if (status < 0) {
    cnet_native_close(native);
    cnet_error_push_system(L, status, "open");
    return cnet_error_throw(L);
  }
  s = cnet_socket_wrap(L, native);
  s->stream.wstate |= CNET_W_OFF | CNET_W_ENDING | CNET_W_FINISHED;
  lua_pushvalue(L, -1);
  cnet_class_set_slot(L, 1, SLOT_STDIN);
  return 1;
}

static int get_pid(lua_State *L) {
  cnet_class_self(L, CNET_PROCESS);
  lua_pushinteger(L, uv_os_getpid());
  return 1;
}

static lua_Integer check_code(lua_State *L, int index) {
  int whole;
  lua_Integer code = lua_tointegerx(L, index, &whole);
  if (lua_isnoneornil(L, index)) return 0;
  if (whole) return code;
  if (lua_type(L, index) != LUA_TNUMBER) return cnet_error_arg_type(L, "argument", "code", "of type number", index);
  return cnet_error_out_of_range(L, "code", "an integer", index);
}

/* As os.exit(code, true) does; inside a callback the runtime knows that libuv is on the stack. */
int cnet_process_exit(lua_State *L, lua_Integer code) {
  process *self;
  int index = lua_gettop(L) + 1;
  cnet_process_push(L);
  self = lua_touserdata(L, index);
  if (!self->exiting) {
    self->exiting = true;
    lua_pushinteger(L, code);
    cnet_emit(L, index, "exit", 1);
  }
  self->emitter.object.rt->turn.ever_ran = true; /* whatever is still open, the script means to end */
  lua_close(L);
  exit((int)(code & 255));
}

static int method_exit(lua_State *L) {
  cnet_class_self(L, CNET_PROCESS);
  return cnet_process_exit(L, check_code(L, 2));
}

static const cnet_member members[] = {{"pid", NULL, get_pid, NULL},
                                      {"stdin", NULL, get_stdin, NULL},
                                      {"exit", method_exit, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

/* lua_close inside a callback leaves the handles to the exit, but frees the loop that libuv's signal handler writes to:
 * no signal must reach it any more. */
static int process_gc(lua_State *L) {
  process *self = cnet_class_test(L, cnet_runtime_of(L), 1, CNET_PROCESS);
  int i;
  if (!self || self->emitter.object.rt->closed) return 0;
  for (i = 0; i < cnet_signals_count; i++)
    if (self->watchers[i] && self->watchers[i]->active) unwatch(self->watchers[i]);
  return 0;
}

static const cnet_member *const more[] = {cnet_ipc_members, NULL};

static const char events[] = "disconnect exit internalMessage message"; /* and signals */

static int process_tostring(lua_State *L) {
  lua_pushfstring(L, "net.process (%d)", (int)uv_os_getpid());
  return 1;
}

static const cnet_class process_class = {.id = CNET_PROCESS,
                                         .events = events,
                                         .tostring = process_tostring,
                                         .name = "net.process",
                                         .parent = &cnet_emitter_class,
                                         .members = members,
                                         .more = more,
                                         .gc = process_gc,
                                         .on_listeners = on_listeners};

/* lua_close unloads the libraries that require loaded, and exit still has to run after it. Done while the path that
 * require used is sure to name the file. */
static void stay_loaded(void) {
  Dl_info info;
  if (dladdr((void *)&process_key, &info) != 0 && info.dli_fname) dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

void cnet_process_push(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &process_key); }

/* ---- a child that was forked ---- */

static void after_end(lua_State *L, int self) {
  (void)L;
  (void)self;
}

static bool is_gone(lua_State *L, int self) { /* there is no telling apart a parent that left from one that is dead */
  (void)L;
  (void)self;
  return false;
}

static const cnet_channel_owner channel_owner = {after_end, is_gone};

/* The descriptor of the channel, -1 if nobody has forked this process for one. Taken out of the environment: programs
 * that are started from here are none of the parent's. */
static int take_channel_fd(lua_State *L) {
  const char *text = getenv("NODE_CHANNEL_FD"), *mode = getenv("NODE_CHANNEL_SERIALIZATION_MODE");
  char *stop;
  long fd;
  cnet_handle_kind kind;
  if (!text) return -1;
  fd = strtol(text, &stop, 10);
  if (*stop != '\0' || stop == text || fd < 0 || fd > INT32_MAX) fd = -1;
  if (fd >= 0 && (cnet_handle_guess((int)fd, &kind) < 0 || kind != CNET_HANDLE_PIPE)) fd = -1;
  if (fd >= 0 && mode && strcmp(mode, "json") != 0)
    luaL_error(L, "cnet: the parent speaks '%s' over its channel: fork with serialization = 'json'", mode);
  unsetenv("NODE_CHANNEL_FD");
  unsetenv("NODE_CHANNEL_SERIALIZATION_MODE");
  return (int)fd;
}

static void open_channel(lua_State *L, int self) {
  cnet_runtime *rt = ((process *)lua_touserdata(L, self))->emitter.object.rt;
  int status, fd = take_channel_fd(L);
  cnet_native *native;
  if (fd < 0) return;
  fcntl(fd, F_SETFD, FD_CLOEXEC);
  native = cnet_native_push(L, rt);
  native->handle = cnet_handle_new(rt, CNET_HANDLE_IPC, &status);
  if (native->handle) status = cnet_handle_open(native->handle, fd);
  if (status == 0) cnet_ipc_open(L, self, lua_gettop(L), &channel_owner);
  lua_settop(L, self);
}

void cnet_process_register(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  process *self;
  cnet_process_push(L);
  if (lua_isnil(L, -1)) {
    cnet_class_define(L, &process_class);
    lua_pop(L, 2);
    self = cnet_class_new(L, rt, sizeof *self, CNET_USERVALUES);
    cnet_emitter_init(&self->emitter);
    cnet_class_dress(L, &process_class);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &process_key);
    open_channel(L, lua_gettop(L));
    stay_loaded();
  }
  lua_setfield(L, -2, "process");
}
