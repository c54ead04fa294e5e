/* What fork was asked to start: the program, its arguments, its environment, its standard descriptors and its channel.
 *
 * Wing process, above native. It reads the options and makes the pipes; process/child_process.c starts the program. */
#ifndef CNET_SPAWN_OPTIONS_H
#define CNET_SPAWN_OPTIONS_H

#include "socket/socket.h"

/* What libuv is given belongs to Lua values that are left on the stack. */
typedef struct {
  uv_process_options_t uv;
  int args;        /* index of the array of arguments, the program first */
  int pipes;       /* index of a table: i + 1 -> the net.Native of the child's descriptor i, or a socket given for it */
  int stdio_count; /* descriptors of the child */
  int ipc;         /* which of them is the channel */
  int signal;      /* index of the AbortSignal, 0 for none */
  int kill_signal; /* what it, or the timeout, sends */
  lua_Number timeout; /* ms, 0 for none */
} cnet_spawn;

/* Reads fork's arguments; args and options may be 0. Raises Node's errors. */
void cnet_spawn_read_fork(lua_State *L, int script, int args, int options, cnet_spawn *out);
/* Pushes the socket over the pipe of the net.Native at index native, which it takes; readable tells which end it is. */
void cnet_spawn_push_socket(lua_State *L, int native, bool readable);
/* The socket at index socket is a descriptor of the child now, which reads from it. */
void cnet_spawn_stop_reading(lua_State *L, int socket);
/* The number of the signal at index, a name or a number; SIGTERM for none. Raises ERR_UNKNOWN_SIGNAL. */
int cnet_spawn_check_signal(lua_State *L, int index);
/* Pushes the error of a program, its name at index file, that could not be started. */
void cnet_spawn_push_error(lua_State *L, int status, int file);

/* The names of fork's options. */
extern const char cnet_spawn_option_names[];

#endif
