#include "process.h"

#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "error.h"
#include "interrupt.h"
#include "protect.h"
#include "socket.h"

static const char process_key = 0; /* registry: the object */

typedef struct {
  const char *name;
  int number;
} signal_row;

/* As in Node, two names of one number are two events. */
static const signal_row signals[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGILL", SIGILL},     {"SIGTRAP", SIGTRAP},
    {"SIGABRT", SIGABRT},     {"SIGIOT", SIGABRT},  {"SIGBUS", SIGBUS},   {"SIGFPE", SIGFPE},     {"SIGKILL", SIGKILL},
    {"SIGUSR1", SIGUSR1},     {"SIGSEGV", SIGSEGV}, {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE},   {"SIGALRM", SIGALRM},
    {"SIGTERM", SIGTERM},     {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT}, {"SIGSTOP", SIGSTOP},   {"SIGTSTP", SIGTSTP},
    {"SIGTTIN", SIGTTIN},     {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},   {"SIGXCPU", SIGXCPU},   {"SIGXFSZ", SIGXFSZ},
    {"SIGVTALRM", SIGVTALRM}, {"SIGPROF", SIGPROF}, {"SIGIO", SIGIO},     {"SIGWINCH", SIGWINCH}, {"SIGSYS", SIGSYS},
#ifdef SIGPOLL
    {"SIGPOLL", SIGPOLL},
#endif
#ifdef SIGSTKFLT
    {"SIGSTKFLT", SIGSTKFLT},
#endif
#ifdef SIGPWR
    {"SIGPWR", SIGPWR},
#endif
#ifdef SIGINFO
    {"SIGINFO", SIGINFO},
#endif
};

enum { SLOT_STDIN = 1 };

enum { SIGNALS = sizeof signals / sizeof *signals, SIGNAL_LIMIT = 128 };

/* Made when its signal is first watched, and kept until lua_close. */
typedef struct {
  cnet_disposable disposable; /* handle.data points here */
  uv_signal_t handle;
  cnet_runtime *rt;
  const signal_row *row;
  bool active;
} watcher;

typedef struct {
  cnet_emitter emitter;
  watcher *watchers[SIGNALS];
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
  const signal_row *row;
} signal_event;

static void drop_event(cnet_event *event) { free(event); }

static void deliver(lua_State *L, void *arg) {
  const signal_row *row = ((signal_event *)arg)->row;
  free(arg);
  cnet_process_push(L);
  lua_pushstring(L, row->name);
  lua_pushinteger(L, row->number);
  cnet_emit(L, lua_gettop(L) - 2, row->name, 2);
}

static void on_signal(uv_signal_t *handle, int number) {
  const watcher *w = handle->data;
  signal_event *event;
  (void)number;
  if (w->rt->closed || !w->active) return;
  event = malloc(sizeof *event);
  if (!event) return; /* like a signal that came twice before anyone looked */
  event->event.deliver = deliver;
  event->event.drop = drop_event;
  event->row = w->row;
  cnet_deliver(w->rt, &event->event, 0);
}

/* ---- a signal's event gets listeners, and loses them ---- */

static void forget(watcher *w) {
  if (!w->active) return;
  w->active = false;
  restore_action(w->row->number);
  if (w->row->number == SIGINT) cnet_interrupt_listener_gone(w->rt);
}

static void dispose(uv_handle_t *handle) {
  watcher *w = handle->data;
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
  w->handle.data = w;
  w->rt = rt;
  w->row = &signals[i];
  self->watchers[i] = w;
  return 0;
}

static int watch(cnet_runtime *rt, process *self, int i) {
  int number = signals[i].number;
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
  const char *name = signals[i].name;
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
  for (i = 0; i < SIGNALS; i++)
    if (name == 0 || strcmp(text, signals[i].name) == 0) update(L, self, index, i);
}

/* ---- members ---- */

static int prepend(lua_State *L, const char *method) {
  cnet_class_self(L, CNET_PROCESS);
  lua_settop(L, 3);
  lua_pushvalue(L, 1);
  lua_pushvalue(L, 2);
  lua_pushvalue(L, 3);
  cnet_emitter_call(L, method, 3);
  on_listeners(L, 1, 2, CNET_LISTENER_ADDED);
  lua_settop(L, 1);
  return 1;
}

/* The emitter does not tell the class of what is prepended, since that does not start the flow of a stream. */
static int method_prepend_listener(lua_State *L) { return prepend(L, "prependListener"); }

static int method_prepend_once_listener(lua_State *L) { return prepend(L, "prependOnceListener"); }

/* A net.Socket over descriptor 0, made when first asked for. As in Node it reads nothing until somebody listens. */
static int get_stdin(lua_State *L) {
  process *self = cnet_class_self(L, CNET_PROCESS);
  cnet_runtime *rt = self->emitter.object.rt;
  cnet_handle_kind kind;
  cnet_handle *h;
  cnet_socket *s;
  int status;
  if (cnet_class_slot(L, 1, SLOT_STDIN) != LUA_TNIL) return 1;
  status = cnet_handle_guess(0, &kind);
  if (status < 0)
    return luaL_error(L, "net.process.stdin: standard input is no pipe, socket or terminal; use io.stdin");
  h = cnet_handle_new(rt, kind, &status);
  if (h) status = cnet_handle_open(h, 0);
  if (status < 0) {
    if (h) cnet_handle_abandon(h);
    cnet_error_push_system(L, status, "open");
    return cnet_error_throw(L);
  }
  s = cnet_socket_wrap(L, rt, h);
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
static int method_exit(lua_State *L) {
  process *self = cnet_class_self(L, CNET_PROCESS);
  int code = (int)(check_code(L, 2) & 255);
  if (!self->exiting) {
    self->exiting = true;
    lua_settop(L, 2);
    if (lua_isnil(L, 2)) {
      lua_pushinteger(L, 0);
    } else {
      lua_pushinteger(L, lua_tointeger(L, 2));
    }
    cnet_emit(L, 1, "exit", 1);
  }
  self->emitter.object.rt->ever_ran = true; /* whatever is still open, the script means to end */
  lua_close(L);
  exit(code);
}

static const cnet_member members[] = {{"pid", NULL, get_pid, NULL},
                                      {"stdin", NULL, get_stdin, NULL},
                                      {"exit", method_exit, NULL, NULL},
                                      {"prependListener", method_prepend_listener, NULL, NULL},
                                      {"prependOnceListener", method_prepend_once_listener, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

/* lua_close inside a callback leaves the handles to the exit, but frees the loop that libuv's signal handler writes to:
 * no signal must reach it any more. */
static int process_gc(lua_State *L) {
  process *self = cnet_class_test(L, cnet_runtime_of(L), 1, CNET_PROCESS);
  int i;
  if (!self || self->emitter.object.rt->closed) return 0;
  for (i = 0; i < SIGNALS; i++)
    if (self->watchers[i] && self->watchers[i]->active) unwatch(self->watchers[i]);
  return 0;
}

static const cnet_class process_class = {.id = CNET_PROCESS,
                                         .name = "net.process",
                                         .parent = &cnet_emitter_class,
                                         .members = members,
                                         .gc = process_gc,
                                         .on_listeners = on_listeners};

/* lua_close unloads the libraries that require loaded, and exit still has to run after it. Done while the path that
 * require used is sure to name the file. */
static void stay_loaded(void) {
  Dl_info info;
  if (dladdr((void *)&process_key, &info) != 0 && info.dli_fname) dlopen(info.dli_fname, RTLD_LAZY | RTLD_NOLOAD);
}

void cnet_process_push(lua_State *L) { lua_rawgetp(L, LUA_REGISTRYINDEX, &process_key); }

void cnet_process_register(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  process *self;
  cnet_process_push(L);
  if (lua_isnil(L, -1)) {
    cnet_class_define(L, &process_class);
    lua_pop(L, 2);
    self = cnet_class_new(L, rt, sizeof *self, CNET_USERVALUES);
    cnet_emitter_init(&self->emitter);
    cnet_class_dress(L, rt, &process_class);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &process_key);
    stay_loaded();
  }
  lua_setfield(L, -2, "process");
}
