#include "process/child_process.h"

#include <signal.h>
#include <stdlib.h>

#include "core/error.h"
#include "core/pins.h"
#include "core/protect.h"
#include "core/signals.h"
#include "core/strict.h"
#include "core/ticks.h"
#include "event/abort.h"
#include "process/ipc.h"
#include "process/spawn_options.h"

enum { SLOT_STDIO = CNET_SLOT_FIRST_TARGET, SLOT_FILE, SLOT_ARGS };

/* The running process: malloc'd and apart, for libuv may still call it. */
typedef struct {
  cnet_event event;
  cnet_disposable disposable;
  uv_process_t handle;
  cnet_runtime *rt;
  const void *pin; /* of the ChildProcess */
  int64_t code;
  int signal;
  bool over; /* it has exited: its pid may be another process's by now */
} running;

CNET_RIGHT_BEFORE(running, disposable, handle);

typedef struct {
  cnet_emitter emitter;
  running *running; /* NULL once it has exited, or could not be started */
  int pid;
  bool exited, killed;
  int kill_signal;  /* of the options signal and timeout */
  lua_Integer code; /* -1 and a signal, or below 0 a libuv error */
  const char *signal;
  int closes_needed, closes_got; /* its exit, its channel's end, each of its outputs: then 'close' */
  cnet_timer timer;              /* of the option timeout, until 'close' */
} child_process;

static child_process *self_child(lua_State *L) { return cnet_class_self(L, CNET_CHILD_PROCESS); }

static cnet_runtime *runtime_of(const child_process *p) { return p->emitter.object.rt; }

/* ---- the end ---- */

/* (code, signal) as the events have them: one of the two is nil */
static void push_outcome(lua_State *L, const child_process *p) {
  if (p->signal) {
    lua_pushnil(L);
    lua_pushstring(L, p->signal);
  } else {
    lua_pushinteger(L, p->code);
    lua_pushnil(L);
  }
}

static void stop_timeout(lua_State *L, child_process *p) {
  cnet_timer_stop(&p->timer);
  cnet_unpin(L, runtime_of(p), &p->timer);
}

static void close_one(lua_State *L, int self) {
  child_process *p = lua_touserdata(L, self);
  if (++p->closes_got != p->closes_needed) return;
  stop_timeout(L, p);
  push_outcome(L, p);
  cnet_emit(L, self, "close", 2);
}

static int listener_output_closed(lua_State *L) { /* upvalue 2: the ChildProcess */
  lua_settop(L, 0);
  lua_pushvalue(L, lua_upvalueindex(2));
  close_one(L, 1);
  return 0;
}

static int tick_close_one(lua_State *L) {
  lua_settop(L, 1);
  close_one(L, 1);
  return 0;
}

/* Outputs that nobody has read are read to their end, so that they close. */
static int tick_flush(lua_State *L) {
  lua_Integer i, n;
  lua_settop(L, 1);
  if (cnet_class_slot(L, 1, SLOT_STDIO) != LUA_TTABLE) return 0;
  lua_getfield(L, 2, "n");
  n = lua_tointeger(L, -1);
  for (i = 2; i <= n; i++) {
    lua_settop(L, 2);
    if (lua_rawgeti(L, 2, i) != LUA_TUSERDATA) continue;
    if (lua_getfield(L, 3, "readable"), !lua_toboolean(L, -1)) continue;
    lua_getfield(L, 3, "resume");
    lua_pushvalue(L, 3);
    lua_call(L, 1, 0);
  }
  return 0;
}

static void tick_self(lua_State *L, child_process *p, lua_CFunction fn, int self) {
  cnet_emitter_push_listener(L, fn, 0);
  lua_pushvalue(L, self);
  cnet_tick(L, runtime_of(p), 1);
}

static void destroy_stdin(lua_State *L, int self) {
  int top = lua_gettop(L);
  if (cnet_class_slot(L, self, SLOT_STDIO) == LUA_TTABLE && lua_rawgeti(L, -1, 1) == LUA_TUSERDATA)
    cnet_stream_destroy(L, &cnet_socket_at(L, top + 2)->stream, top + 2, 0);
  lua_settop(L, top);
}

/* It has exited, or could not be started; an event tells it next. */
static void finish(lua_State *L, child_process *p, int self) {
  p->exited = true;
  destroy_stdin(L, self);
  tick_self(L, p, tick_flush, self);
  tick_self(L, p, tick_close_one, self); /* even if a listener raises */
}

static void dispose(uv_handle_t *handle) { free(CNET_CONTAINER(running, handle, handle)); }

static void exit_body(lua_State *L, void *arg) {
  running *r = CNET_CONTAINER(running, event, arg);
  child_process *p;
  int self;
  cnet_pin_push(L, r->rt, r->pin);
  p = lua_touserdata(L, -1);
  p->running = NULL;
  p->code = (lua_Integer)r->code;
  p->signal = r->signal ? cnet_signal_name(r->signal) : NULL;
  if (r->signal && !p->signal) p->signal = "SIGUNKNOWN"; /* a real-time signal */
  cnet_unpin(L, r->rt, r->pin);
  uv_close((uv_handle_t *)&r->handle, dispose);
  self = lua_gettop(L);
  finish(L, p, self);
  push_outcome(L, p);
  cnet_emit(L, self, "exit", 2);
}

static void exit_drop(cnet_event *event) { (void)event; /* the handle is closed with the loop */ }

static void on_exit_of(uv_process_t *handle, int64_t code, int number) {
  running *r = CNET_CONTAINER(running, handle, handle);
  r->over = true;
  r->code = code;
  r->signal = number;
  r->event.deliver = exit_body;
  r->event.drop = exit_drop;
  cnet_deliver_signal(r->rt, &r->event);
}

static void after_end(lua_State *L, int self) { close_one(L, self); }

static bool is_gone(lua_State *L, int self) { return ((child_process *)lua_touserdata(L, self))->exited; }

static const cnet_channel_owner channel_owner = {after_end, is_gone};

bool cnet_child_process_is_dead(lua_State *L, int self) { return is_gone(L, self); }

/* ---- the beginning ---- */

static int tick_spawn(lua_State *L) {
  lua_settop(L, 1);
  cnet_emit(L, 1, "spawn", 0);
  return 0;
}

/* Pushes the arguments without the program. */
static void push_arguments(lua_State *L, int self) {
  lua_Integer i;
  lua_newtable(L);
  cnet_class_slot(L, self, SLOT_ARGS);
  for (i = 2; lua_rawgeti(L, -1, i) != LUA_TNIL; i++) lua_rawseti(L, -3, i - 1);
  lua_pop(L, 2);
}

/* It could not be started: 'error'. Its pipes end, and the channel, and then comes 'close'. */
static int tick_failed(lua_State *L) {
  child_process *p = lua_touserdata(L, 1);
  lua_settop(L, 1);
  finish(L, p, 1);
  cnet_class_slot(L, 1, SLOT_FILE);
  cnet_spawn_push_error(L, (int)p->code, 2); /* the libuv error of start */
  push_arguments(L, 1);
  lua_setfield(L, 3, "spawnargs");
  cnet_emit(L, 1, "error", 1);
  return 0;
}

static int start(lua_State *L, child_process *p, int self, uv_process_options_t *options) {
  running *r;
  int status;
  cnet_pin(L, runtime_of(p), p, self); /* first, for it may raise */
  r = calloc(1, sizeof *r);
  if (!r) {
    cnet_unpin(L, runtime_of(p), p);
    return UV_ENOMEM;
  }
  r->disposable.dispose = dispose;
  r->rt = runtime_of(p);
  r->pin = p;
  options->exit_cb = on_exit_of;
  status = uv_spawn(r->rt->loop, &r->handle, options);
  cnet_runtime_adopt(r->rt, (uv_handle_t *)&r->handle);
  if (status < 0) {
    cnet_unpin(L, r->rt, p);
    uv_close((uv_handle_t *)&r->handle, dispose);
    return status;
  }
  p->running = r;
  p->pid = uv_process_get_pid(&r->handle);
  return 0;
}

/* Makes sockets of the pipes at index pipes to the child's standard descriptors, and the channel of the one for it. A
 * socket that is there already is the child's now, and is read no more here. */
static void take_pipes(lua_State *L, child_process *p, int self, int pipes, const cnet_spawn *spawn) {
  int i, stdio, top = lua_gettop(L);
  lua_createtable(L, spawn->stdio_count, 1);
  stdio = top + 1;
  lua_pushinteger(L, spawn->stdio_count);
  lua_setfield(L, stdio, "n");
  for (i = 0; i < spawn->stdio_count; i++) {
    if (lua_rawgeti(L, pipes, i + 1) != LUA_TUSERDATA) {
      lua_pop(L, 1);
    } else if (i == spawn->ipc) {
      p->closes_needed++;
      cnet_ipc_open(L, self, stdio + 1, &channel_owner);
      cnet_ipc_keep(L, self);
    } else if (!cnet_native_test(L, runtime_of(p), stdio + 1)) {
      cnet_spawn_stop_reading(L, stdio + 1);
    } else {
      cnet_spawn_push_socket(L, stdio + 1, i > 0);
      if (i > 0) {
        p->closes_needed++;
        lua_pushvalue(L, self);
        cnet_emitter_push_listener(L, listener_output_closed, 1);
        cnet_emitter_on(L, lua_gettop(L) - 1, "close");
      }
      lua_rawseti(L, stdio, i + 1);
    }
    lua_settop(L, stdio);
  }
  cnet_class_set_slot(L, self, SLOT_STDIO);
}

/* Closes the pipes at index pipes: nothing was started. */
static void drop_pipes(lua_State *L, int pipes, const cnet_spawn *spawn) {
  int i, top = lua_gettop(L);
  for (i = 0; i < spawn->stdio_count; i++) {
    cnet_native *native;
    lua_rawgeti(L, pipes, i + 1);
    native = cnet_native_test(L, cnet_runtime_open(L), top + 1);
    if (native) cnet_native_close(native);
    lua_settop(L, top);
  }
}

static bool is_told_by_event(int status) {
  return status == UV_EACCES || status == UV_EAGAIN || status == UV_EMFILE || status == UV_ENFILE ||
         status == UV_ENOENT;
}

/* ---- the options signal and timeout ---- */

/* Sends the signal, if the process is there: 0 or a libuv error. */
static int send_signal(child_process *p, int number) {
  int status = p->running && !p->running->over ? uv_process_kill(&p->running->handle, number) : UV_ESRCH;
  if (status == 0) p->killed = true;
  return status;
}

static int listener_abort(lua_State *L) { /* upvalues: 2 the ChildProcess, 3 the signal */
  child_process *p = lua_touserdata(L, lua_upvalueindex(2));
  lua_settop(L, 0);
  if (send_signal(p, p->kill_signal) != 0) return 0;
  lua_pushvalue(L, lua_upvalueindex(2));
  cnet_abort_push_error(L, lua_upvalueindex(3));
  cnet_emit(L, 1, "error", 1);
  return 0;
}

static void follow_signal(lua_State *L, child_process *p, int self, const cnet_spawn *spawn) {
  p->kill_signal = spawn->kill_signal;
  if (!spawn->signal) return;
  lua_pushvalue(L, self);
  lua_pushvalue(L, spawn->signal);
  cnet_emitter_push_listener(L, listener_abort, 2);
  if (cnet_abort_is_aborted(L, spawn->signal)) {
    cnet_tick(L, runtime_of(p), 0);
  } else {
    /* what could not be started never exits; Node leaves its listener there */
    cnet_abort_add_until(L, spawn->signal, self, p->running ? "exit" : "close");
  }
}

static void on_timeout(lua_State *L, cnet_timer *timer) {
  child_process *p = CNET_CONTAINER(child_process, timer, timer);
  send_signal(p, p->kill_signal);
  stop_timeout(L, p);
}

/* As in Node, it keeps the loop alive, and runs on after the exit, or where nothing could be started, until 'close'. */
static void start_timeout(lua_State *L, child_process *p, int self, const cnet_spawn *spawn) {
  if (spawn->timeout <= 0) return;
  p->timer.fire = on_timeout;
  p->timer.ref = true;
  cnet_pin(L, runtime_of(p), &p->timer, self);
  cnet_timer_start(L, runtime_of(p), &p->timer, spawn->timeout);
}

extern const cnet_class cnet_child_process_class;

void cnet_child_process_fork(lua_State *L, int script, int args, int options) {
  cnet_runtime *rt = cnet_runtime_open(L);
  child_process *p;
  cnet_spawn spawn;
  int status, self, top = lua_gettop(L);
  p = cnet_class_new(L, rt, sizeof *p, CNET_USERVALUES);
  self = top + 1;
  cnet_emitter_init(&p->emitter);
  p->closes_needed = 1;
  cnet_class_dress(L, &cnet_child_process_class);
  cnet_spawn_read_fork(L, script, args, options, &spawn);
  lua_pushstring(L, spawn.uv.file);
  cnet_class_set_slot(L, self, SLOT_FILE);
  lua_pushvalue(L, spawn.args);
  cnet_class_set_slot(L, self, SLOT_ARGS);
  status = start(L, p, self, &spawn.uv);
  p->code = status;
  if (status < 0 && !is_told_by_event(status)) {
    drop_pipes(L, spawn.pipes, &spawn);
    cnet_error_push_system(L, status, "spawn");
    cnet_error_throw(L);
  }
  tick_self(L, p, status < 0 ? tick_failed : tick_spawn, self);
  if (status == UV_EMFILE || status == UV_ENFILE) {
    drop_pipes(L, spawn.pipes, &spawn);
  } else {
    take_pipes(L, p, self, spawn.pipes, &spawn);
    follow_signal(L, p, self, &spawn);
  }
  start_timeout(L, p, self, &spawn);
  lua_settop(L, self);
}

/* fork(script[, args][, options]) */
static int child_process_fork(lua_State *L) {
  int args = 0, options = 0;
  cnet_runtime_check(L, cnet_runtime_of(L));
  lua_settop(L, 3);
  if (lua_type(L, 1) != LUA_TSTRING) return cnet_error_arg_type(L, "argument", "modulePath", "of type string", 1);
  if (lua_istable(L, 2)) {
    /* one table alone: an array of arguments, or options; an empty one is either */
    bool is_array = lua_rawlen(L, 2) > 0 || (lua_pushnil(L), lua_next(L, 2) == 0);
    lua_settop(L, 3);
    if (is_array || !lua_isnil(L, 3)) {
      args = 2;
    } else {
      options = 2;
    }
  } else if (!lua_isnil(L, 2)) {
    return cnet_error_arg_type(L, "argument", "args", "a table", 2);
  }
  if (!options && !lua_isnil(L, 3)) {
    if (!lua_istable(L, 3)) return cnet_error_arg_type(L, "argument", "options", "of type table", 3);
    options = 3;
  }
  if (options) cnet_strict_options(L, cnet_runtime_of(L), options, "child_process.fork", cnet_spawn_option_names, "");
  cnet_child_process_fork(L, 1, args, options);
  return 1;
}

/* ---- methods ---- */

/* kill([signal]): whether it could be sent */
static int method_kill(lua_State *L) {
  child_process *p = self_child(L);
  int status = send_signal(p, cnet_spawn_check_signal(L, 2));
  if (status == UV_EINVAL || status == UV_ENOSYS) {
    cnet_error_push_system(L, status, "kill");
    return cnet_error_throw(L);
  }
  if (status != 0 && status != UV_ESRCH) {
    lua_settop(L, 1);
    cnet_error_push_system(L, status, "kill");
    cnet_emit(L, 1, "error", 1);
  }
  lua_pushboolean(L, status == 0);
  return 1;
}

static int method_ref(lua_State *L) {
  child_process *p = self_child(L);
  if (p->running) uv_ref((uv_handle_t *)&p->running->handle);
  return 0;
}

static int method_unref(lua_State *L) {
  child_process *p = self_child(L);
  if (p->running) uv_unref((uv_handle_t *)&p->running->handle);
  return 0;
}

static int child_close(lua_State *L) { /* __close, as Node's Symbol.dispose */
  child_process *p = self_child(L);
  if (!p->killed) send_signal(p, SIGTERM);
  return 0;
}

/* ---- properties ---- */

static int get_pid(lua_State *L) {
  child_process *p = self_child(L);
  if (!p->pid) return 0;
  lua_pushinteger(L, p->pid);
  return 1;
}

static int get_exit_code(lua_State *L) {
  child_process *p = self_child(L);
  if (!p->exited || p->signal) return 0;
  lua_pushinteger(L, p->code);
  return 1;
}

static int get_signal_code(lua_State *L) {
  child_process *p = self_child(L);
  if (!p->exited || !p->signal) return 0;
  lua_pushstring(L, p->signal);
  return 1;
}

static int get_killed(lua_State *L) {
  lua_pushboolean(L, self_child(L)->killed);
  return 1;
}

static int get_slot(lua_State *L, int slot) {
  self_child(L);
  cnet_class_slot(L, 1, slot);
  return 1;
}

static int get_spawnfile(lua_State *L) { return get_slot(L, SLOT_FILE); }

static int get_spawnargs(lua_State *L) { return get_slot(L, SLOT_ARGS); }

static int get_stdio(lua_State *L) { return get_slot(L, SLOT_STDIO); }

static int get_stream(lua_State *L, int i) {
  if (get_slot(L, SLOT_STDIO) && !lua_istable(L, -1)) return 0;
  lua_rawgeti(L, -1, i);
  return 1;
}

static int get_stdin(lua_State *L) { return get_stream(L, 1); }

static int get_stdout(lua_State *L) { return get_stream(L, 2); }

static int get_stderr(lua_State *L) { return get_stream(L, 3); }

/* ---- the class ---- */

static int child_gc(lua_State *L) {
  child_process *p = lua_touserdata(L, 1);
  cnet_timer_stop(&p->timer);
  p->running = NULL; /* pinned while it runs: only the end of the state comes here before its exit */
  return 0;
}

static int child_tostring(lua_State *L) {
  child_process *p = lua_touserdata(L, 1);
  if (p->signal) {
    lua_pushfstring(L, "ChildProcess (%d, killed by %s)", p->pid, p->signal);
  } else if (p->exited) {
    lua_pushfstring(L, "ChildProcess (%d, exited with %d)", p->pid, (int)p->code);
  } else {
    lua_pushfstring(L, "ChildProcess (%d)", p->pid);
  }
  return 1;
}

static void on_listeners(lua_State *L, int self, int name, cnet_listener_change change) {
  (void)name;
  (void)change;
  cnet_ipc_on_listeners(L, self);
}

static const cnet_member members[] = {
    {"kill", method_kill, NULL, NULL},        {"ref", method_ref, NULL, NULL},
    {"unref", method_unref, NULL, NULL},      {"pid", NULL, get_pid, NULL},
    {"exitCode", NULL, get_exit_code, NULL},  {"signalCode", NULL, get_signal_code, NULL},
    {"killed", NULL, get_killed, NULL},       {"spawnfile", NULL, get_spawnfile, NULL},
    {"spawnargs", NULL, get_spawnargs, NULL}, {"stdio", NULL, get_stdio, NULL},
    {"stdin", NULL, get_stdin, NULL},         {"stdout", NULL, get_stdout, NULL},
    {"stderr", NULL, get_stderr, NULL},       {NULL, NULL, NULL, NULL}};

static const cnet_member *const more[] = {cnet_ipc_members, NULL};

static const char events[] = "close disconnect exit internalMessage message spawn";

const cnet_class cnet_child_process_class = {.id = CNET_CHILD_PROCESS,
                                             .events = events,
                                             .name = "ChildProcess",
                                             .parent = &cnet_emitter_class,
                                             .members = members,
                                             .more = more,
                                             .gc = child_gc,
                                             .tostring = child_tostring,
                                             .close = child_close,
                                             .on_listeners = on_listeners};

void cnet_child_process_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"fork", child_process_fork}, {NULL, NULL}};
  cnet_class_define(L, &cnet_child_process_class);
  lua_setfield(L, -2, "ChildProcess");
  cnet_runtime_set_functions(L, functions);
}
