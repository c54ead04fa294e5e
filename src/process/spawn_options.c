#include "process/spawn_options.h"

#include <math.h>
#include <signal.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/signals.h"
#include "event/abort.h"
#include "server/server.h"
#include "socket/class.h"
#include "stream/readable.h"

extern char **environ;

#define MAX_SAFE_INTEGER 9007199254740991.0

enum { STANDARD = 3, MOST = 256 /* descriptors */ };

/* ---- strings ---- */

/* A string without a NUL, which the system would cut it at; a number counts as one. */
static const char *check_text(lua_State *L, int index, const char *name) {
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  if (!text) cnet_error_arg_type(L, "property", name, "of type string", index);
  if (strlen(text) != size) cnet_error_arg_value(L, "property", name, index, "must be a string without null bytes");
  return text;
}

/* Leaves an array of char * on the stack, of the strings in the array at index; NULL ends it. */
static char **push_vector(lua_State *L, int array) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, array);
  char **vector = lua_newuserdatauv(L, (size_t)(n + 1) * sizeof *vector, 0);
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, array, i);
    vector[i - 1] = (char *)lua_tostring(L, -1); /* the array keeps it */
    lua_pop(L, 1);
  }
  vector[n] = NULL;
  return vector;
}

/* Appends the strings of the array at index from, if it is one, to the array at index to. */
static void append(lua_State *L, int to, int from, const char *name) {
  lua_Integer i, n = (lua_Integer)lua_rawlen(L, to);
  for (i = 1; lua_geti(L, from, i) != LUA_TNIL; i++) {
    check_text(L, lua_gettop(L), name);
    lua_tostring(L, -1); /* a number becomes its text */
    lua_rawseti(L, to, n + i);
  }
  lua_pop(L, 1);
}

/* ---- options ---- */

/* Leaves the option on the stack, nil without options. */
static int option(lua_State *L, int options, const char *name) {
  if (options) return lua_getfield(L, options, name);
  lua_pushnil(L);
  return LUA_TNIL;
}

/* The interpreter that runs this, unless execPath names another program. */
static void read_file(lua_State *L, int options, cnet_spawn *out) {
  char path[4096];
  size_t size = sizeof path;
  int status;
  if (option(L, options, "execPath"), cnet_truthy(L, -1)) {
    if (lua_type(L, -1) != LUA_TSTRING)
      cnet_error_arg_type(L, "property", "options.execPath", "of type string", lua_gettop(L));
    out->uv.file = check_text(L, lua_gettop(L), "options.execPath");
    return;
  }
  lua_pop(L, 1);
  status = uv_exepath(path, &size);
  if (status < 0) {
    cnet_error_push_system(L, status, "uv_exepath");
    cnet_error_throw(L);
  }
  lua_pushlstring(L, path, size);
  out->uv.file = lua_tostring(L, -1);
}

/* The program, execArgv, the script, args. */
static void read_arguments(lua_State *L, int script, int args, int options, cnet_spawn *out) {
  lua_newtable(L);
  out->args = lua_gettop(L);
  lua_pushstring(L, out->uv.file);
  lua_rawseti(L, out->args, 1);
  if (option(L, options, "execArgv") != LUA_TNIL) {
    if (!lua_istable(L, -1)) cnet_error_arg_type(L, "property", "options.execArgv", "a table", lua_gettop(L));
    append(L, out->args, lua_gettop(L), "options.execArgv");
  }
  lua_pop(L, 1);
  check_text(L, script, "modulePath");
  lua_pushvalue(L, script);
  lua_rawseti(L, out->args, (lua_Integer)lua_rawlen(L, out->args) + 1);
  if (args) append(L, out->args, args, "args");
  out->uv.args = push_vector(L, out->args);
}

/* Appends "name=value" of the two values on top, which it pops, to the array at index pairs. */
static void append_pair(lua_State *L, int pairs) {
  int value = lua_gettop(L);
  if (lua_type(L, value - 1) != LUA_TSTRING)
    cnet_error_arg_type(L, "property", "options.env", "a table of strings by name", value - 1);
  check_text(L, value - 1, "options.env");
  luaL_tolstring(L, value, NULL);
  check_text(L, value + 1, "options.env");
  lua_pushvalue(L, value - 1);
  lua_pushliteral(L, "=");
  lua_pushvalue(L, value + 1);
  lua_concat(L, 3);
  lua_rawseti(L, pairs, (lua_Integer)lua_rawlen(L, pairs) + 1);
  lua_settop(L, value - 2);
}

/* Is the name at index one of ours? The child would take the first of two. */
static bool is_of_channel(lua_State *L, int name) {
  const char *text = lua_type(L, name) == LUA_TSTRING ? lua_tostring(L, name) : "";
  return strcmp(text, "NODE_CHANNEL_FD") == 0 || strcmp(text, "NODE_CHANNEL_SERIALIZATION_MODE") == 0;
}

static void read_environment(lua_State *L, int options, cnet_spawn *out) {
  int env, pairs;
  char **own;
  option(L, options, "env");
  env = lua_gettop(L);
  lua_newtable(L);
  pairs = env + 1;
  if (lua_istable(L, env)) {
    lua_pushnil(L);
    while (lua_next(L, env)) {
      if (is_of_channel(L, lua_gettop(L) - 1)) {
        lua_pop(L, 1);
      } else {
        lua_pushvalue(L, -2);
        lua_insert(L, -2);
        append_pair(L, pairs);
      }
    }
  } else if (lua_isnil(L, env)) {
    for (own = environ; own && *own; own++) {
      lua_pushstring(L, *own);
      lua_rawseti(L, pairs, (lua_Integer)lua_rawlen(L, pairs) + 1);
    }
  } else {
    cnet_error_arg_type(L, "property", "options.env", "a table", env);
  }
  lua_pushliteral(L, "NODE_CHANNEL_FD");
  lua_pushinteger(L, out->ipc);
  append_pair(L, pairs);
  lua_pushliteral(L, "NODE_CHANNEL_SERIALIZATION_MODE");
  lua_pushliteral(L, "json");
  append_pair(L, pairs);
  out->uv.env = push_vector(L, pairs);
}

/* The whole number of `low` to `high` at the index, whose errors name it; `range` says the two in words. */
static lua_Integer check_integer(lua_State *L, int index, const char *kind, const char *name, lua_Number low,
                                 lua_Number high, const char *range) {
  lua_Number n = lua_tonumber(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) cnet_error_arg_type(L, kind, name, "of type number", index);
  if (!isfinite(n) || n != floor(n)) cnet_error_out_of_range(L, name, "an integer", index);
  if (!(n >= low && n <= high)) cnet_error_out_of_range(L, name, range, index);
  return (lua_Integer)n;
}

static bool read_id(lua_State *L, int options, const char *name, unsigned *out) {
  if (option(L, options, name) == LUA_TNIL) {
    lua_pop(L, 1);
    return false;
  }
  lua_pushfstring(L, "options.%s", name);
  /* as the system's ids are: -1 is the highest */
  *out = (unsigned)check_integer(L, lua_gettop(L) - 1, "property", lua_tostring(L, -1), INT32_MIN, INT32_MAX,
                                 ">= -2147483648 && <= 2147483647");
  lua_pop(L, 2);
  return true;
}

int cnet_spawn_check_signal(lua_State *L, int index) {
  int whole = 0, number = 0;
  lua_Integer n = lua_type(L, index) == LUA_TNUMBER ? lua_tointegerx(L, index, &whole) : 0;
  if (lua_isnoneornil(L, index)) return SIGTERM;
  if (whole && n == 0) return 0;
  if (whole && n > 0 && n < 256 && cnet_signal_name((int)n)) number = (int)n;
  if (lua_type(L, index) == LUA_TSTRING) number = cnet_signal_number(lua_tostring(L, index));
  if (number > 0) return number;
  cnet_error_push_value(L, "TypeError", "ERR_UNKNOWN_SIGNAL", "Unknown signal: ", index);
  return cnet_error_throw(L);
}

/* signal, killSignal, timeout */
static void read_end(lua_State *L, int options, cnet_spawn *out) {
  if (option(L, options, "timeout") != LUA_TNIL &&
      check_integer(L, lua_gettop(L), "argument", "timeout", 0, MAX_SAFE_INTEGER, ">= 0 && <= 9007199254740991") > 0)
    out->timeout = cnet_timer_delay(L, lua_gettop(L));
  lua_pop(L, 1);
  option(L, options, "killSignal");
  out->kill_signal = cnet_spawn_check_signal(L, lua_gettop(L));
  lua_pop(L, 1);
  if (option(L, options, "signal") == LUA_TNIL) {
    lua_pop(L, 1);
  } else {
    out->signal = lua_gettop(L); /* left on the stack */
    cnet_abort_check(L, cnet_runtime_open(L), out->signal, "options.signal");
  }
}

static void read_rest(lua_State *L, int options, cnet_spawn *out) {
  unsigned id;
  if (option(L, options, "serialization") != LUA_TNIL &&
      !(lua_type(L, -1) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "json") == 0))
    cnet_error_arg_value(L, "property", "options.serialization", lua_gettop(L), "must be 'json' or nil");
  lua_pop(L, 1);
  if (option(L, options, "cwd") != LUA_TNIL) {
    out->uv.cwd = cnet_check_text(L, lua_gettop(L), "property", "options.cwd"); /* left on the stack */
  } else {
    lua_pop(L, 1);
  }
  if (option(L, options, "detached") != LUA_TNIL && !lua_isboolean(L, -1))
    cnet_error_arg_type(L, "property", "options.detached", "of type boolean", lua_gettop(L));
  if (lua_toboolean(L, -1)) out->uv.flags |= UV_PROCESS_DETACHED;
  lua_pop(L, 1);
  if (read_id(L, options, "uid", &id)) {
    out->uv.flags |= UV_PROCESS_SETUID;
    out->uv.uid = (uv_uid_t)id;
  }
  if (read_id(L, options, "gid", &id)) {
    out->uv.flags |= UV_PROCESS_SETGID;
    out->uv.gid = (uv_gid_t)id;
  }
}

/* ---- standard descriptors ---- */

static void make_pipe(lua_State *L, cnet_spawn *out, int i, cnet_handle_kind kind) {
  cnet_runtime *rt = cnet_runtime_open(L);
  int status;
  cnet_native *native = cnet_native_push(L, rt);
  native->handle = cnet_handle_new(rt, kind, &status);
  if (!native->handle) {
    cnet_error_push_system(L, status, "spawn");
    cnet_error_throw(L);
  }
  lua_rawseti(L, out->pipes, i + 1);
  cnet_handle_make_pipe(native->handle, &out->uv.stdio[i]);
}

static void give_fd(cnet_spawn *out, int i, int fd) {
  out->uv.stdio[i].flags = UV_INHERIT_FD;
  out->uv.stdio[i].data.fd = fd;
}

static void bad_stdio(lua_State *L, int value) { cnet_error_arg_value(L, "argument", "stdio", value, "is invalid"); }

static void bad_stdio_word(lua_State *L, const char *word) {
  cnet_error_push(L, "TypeError", "ERR_INVALID_SYNC_FORK_INPUT", "Asynchronous forks do not support string input: '%s'",
                  word);
  cnet_error_throw(L);
}

/* The descriptor of a socket, a server, a net.Native or {fd = n}; -1 if it is none. */
static int fd_at(lua_State *L, int value) {
  cnet_runtime *rt = cnet_runtime_open(L);
  cnet_socket *socket = cnet_class_test(L, rt, value, CNET_SOCKET);
  cnet_server *server = cnet_class_test(L, rt, value, CNET_SERVER);
  cnet_native *native = cnet_native_test(L, rt, value);
  cnet_handle *h = socket ? socket->handle : server ? server->handle : native ? native->handle : NULL;
  int fd = -1;
  if (h) return cnet_handle_fd(h);
  if (lua_istable(L, value)) {
    lua_Integer n = lua_getfield(L, value, "fd") == LUA_TNUMBER && lua_isinteger(L, -1) ? lua_tointeger(L, -1) : -1;
    if (n >= 0 && n <= INT32_MAX) fd = (int)n;
    lua_pop(L, 1);
  }
  return fd;
}

/* What the child's descriptor i is to be, the value at index. */
static void read_stdio_value(lua_State *L, int value, int i, cnet_spawn *out) {
  const char *word = lua_type(L, value) == LUA_TSTRING ? lua_tostring(L, value) : NULL;
  int fd, whole = 0;
  lua_Integer n = lua_type(L, value) == LUA_TNUMBER ? lua_tointegerx(L, value, &whole) : 0;
  out->uv.stdio[i].flags = UV_IGNORE;
  if (lua_isnil(L, value)) word = i < STANDARD ? "pipe" : "ignore";
  if (n < 0) word = "pipe"; /* as in Node */
  if (word && strcmp(word, "ipc") == 0) {
    if (out->ipc >= 0) {
      cnet_error_push(L, "Error", "ERR_IPC_ONE_PIPE", "Child process can have only one IPC pipe");
      cnet_error_throw(L);
    }
    out->ipc = i;
    make_pipe(L, out, i, CNET_HANDLE_IPC);
  } else if (word && (strcmp(word, "pipe") == 0 || strcmp(word, "overlapped") == 0)) {
    make_pipe(L, out, i, CNET_HANDLE_PIPE);
  } else if (word && strcmp(word, "inherit") == 0) {
    give_fd(out, i, i);
  } else if (!word || strcmp(word, "ignore") != 0) {
    if (word) bad_stdio_word(L, word);
    fd = whole && n <= INT32_MAX ? (int)n : fd_at(L, value);
    if (fd < 0) bad_stdio(L, value);
    give_fd(out, i, fd);
    if (!cnet_class_test(L, cnet_runtime_open(L), value, CNET_SOCKET)) return;
    lua_pushvalue(L, value);
    lua_rawseti(L, out->pipes, i + 1);
  }
}

/* "pipe", "inherit", "ignore" stand for the three standard descriptors, and the channel follows. */
static void push_stdio_array(lua_State *L, const char *word) {
  int i;
  lua_createtable(L, STANDARD + 1, 0);
  for (i = 1; i <= STANDARD; i++) {
    lua_pushstring(L, word);
    lua_rawseti(L, -2, i);
  }
  lua_pushliteral(L, "ipc");
  lua_rawseti(L, -2, STANDARD + 1);
}

static void push_stdio(lua_State *L, int options) {
  const char *word;
  bool silent = option(L, options, "silent") != LUA_TNIL && cnet_truthy(L, -1);
  lua_pop(L, 1);
  if (option(L, options, "stdio") == LUA_TTABLE) return;
  if (lua_type(L, -1) != LUA_TSTRING) {
    word = silent ? "pipe" : "inherit";
  } else {
    word = lua_tostring(L, -1);
    if (strcmp(word, "pipe") != 0 && strcmp(word, "inherit") != 0 && strcmp(word, "ignore") != 0 &&
        strcmp(word, "overlapped") != 0)
      bad_stdio(L, lua_gettop(L));
  }
  push_stdio_array(L, word);
  lua_remove(L, -2);
}

/* The highest index of the array, which may have holes. */
static int count_stdio(lua_State *L, int stdio) {
  lua_Integer n = STANDARD;
  lua_pushnil(L);
  while (lua_next(L, stdio)) {
    lua_pop(L, 1);
    if (!lua_isinteger(L, -1) || lua_tointeger(L, -1) < 1 || lua_tointeger(L, -1) > MOST) bad_stdio(L, stdio);
    if (lua_tointeger(L, -1) > n) n = lua_tointeger(L, -1);
  }
  return (int)n;
}

static void check_ipc(lua_State *L, int stdio, int count) {
  int i;
  for (i = 1; i <= count; i++) {
    bool is = lua_rawgeti(L, stdio, i) == LUA_TSTRING && strcmp(lua_tostring(L, -1), "ipc") == 0;
    lua_pop(L, 1);
    if (is) return;
  }
  cnet_error_push(L, "Error", "ERR_CHILD_PROCESS_IPC_REQUIRED",
                  "Forked processes must have an IPC channel, missing value 'ipc' in options.stdio");
  cnet_error_throw(L);
}

static void read_stdio(lua_State *L, int options, cnet_spawn *out) {
  int i, stdio;
  push_stdio(L, options);
  stdio = lua_gettop(L);
  out->stdio_count = count_stdio(L, stdio);
  out->ipc = -1;
  check_ipc(L, stdio, out->stdio_count);
  lua_newtable(L);
  out->pipes = lua_gettop(L);
  out->uv.stdio = lua_newuserdatauv(L, (size_t)out->stdio_count * sizeof *out->uv.stdio, 0);
  for (i = 0; i < out->stdio_count; i++) {
    lua_rawgeti(L, stdio, i + 1);
    read_stdio_value(L, lua_gettop(L), i, out);
    lua_pop(L, 1);
  }
  out->uv.stdio_count = out->stdio_count;
}

/* ---- for process/child_process.c ---- */

const char cnet_spawn_option_names[] =
    "cwd detached env execArgv execPath gid killSignal silent serialization signal stdio timeout uid";

void cnet_spawn_read_fork(lua_State *L, int script, int args, int options, cnet_spawn *out) {
  luaL_checkstack(L, 40, NULL);
  memset(out, 0, sizeof *out);
  read_file(L, options, out);
  read_arguments(L, script, args, options, out);
  read_stdio(L, options, out);
  read_environment(L, options, out);
  read_rest(L, options, out);
  read_end(L, options, out);
}

void cnet_spawn_push_socket(lua_State *L, int native, bool readable) {
  cnet_socket *s = cnet_socket_wrap(L, lua_touserdata(L, native));
  if (readable) {
    cnet_readable_read(L, &s->stream, lua_gettop(L), 0);
    lua_pop(L, 1);
  } else {
    s->stream.state |= CNET_R_OFF | CNET_R_ENDED | CNET_R_END_EMITTED;
  }
}

void cnet_spawn_stop_reading(lua_State *L, int socket) {
  cnet_socket *s = cnet_socket_at(L, socket);
  if (s->handle) cnet_handle_read_stop(s->handle);
  cnet_readable_pause(L, &s->stream, socket);
}

void cnet_spawn_push_error(lua_State *L, int status, int file) {
  int top = lua_gettop(L);
  lua_pushfstring(L, "spawn %s", lua_tostring(L, file));
  cnet_error_push_system(L, status, lua_tostring(L, -1));
  lua_pushvalue(L, file);
  lua_setfield(L, -2, "path");
  lua_replace(L, top + 1);
  lua_settop(L, top + 1);
}
