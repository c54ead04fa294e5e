/* A libuv stream handle (TCP, pipe or terminal): open, read, move, close.
 *
 * Wing handle. It is malloc'd and apart from its object. The object owns it until it closes it, and forgets it then at
 * once, as Node does: a server may listen again before the old handle's close callback, which alone frees it. While it
 * is open its object is pinned. b:listen(a) lets two servers, or a socket and a server, hold one handle: it counts its
 * holders. What one of them has closed or listens with, the other one may still ask for something: libuv would abort.
 */
#ifndef CNET_HANDLE_H
#define CNET_HANDLE_H

#include "core/runtime.h"
#include "os/unix_address.h"

/* CNET_HANDLE_IPC: a pipe that carries handles besides its bytes. */
typedef enum { CNET_HANDLE_TCP, CNET_HANDLE_PIPE, CNET_HANDLE_TTY, CNET_HANDLE_IPC } cnet_handle_kind;

/* The life of a handle, in order. */
typedef enum {
  CNET_HANDLE_OPEN,         /* made; perhaps bound, or connected */
  CNET_HANDLE_LISTENS,      /* it takes clients */
  CNET_HANDLE_CLIENT_WAITS, /* the same; one of them came while no Lua may run */
  CNET_HANDLE_CLOSING,      /* a holder has closed it: nothing may be asked of it */
  CNET_HANDLE_CLOSED        /* libuv has done with it: it is freed once nobody holds it */
} cnet_handle_life;

typedef struct cnet_handle cnet_handle;

/* What a handle tells its owner, whose object is at index self. */
typedef struct {
  /* a client waits to be accepted, or status says why accepting failed */
  void (*on_connection)(lua_State *L, int self, int status);
  /* nread bytes at data, or a libuv error (UV_EOF at the end) */
  void (*on_read)(lua_State *L, int self, ssize_t nread, const char *data);
  /* of what was gathered, the string at index data is still to be written; or status says why it cannot be */
  void (*on_unsent)(lua_State *L, int self, int data, int status);
} cnet_handle_owner;

/* Called once when the handle is closed; flag is what cnet_handle_close was given. */
typedef void (*cnet_handle_closed)(lua_State *L, int self, int flag);

struct cnet_handle {
  cnet_event event; /* a connection put off, or the close */
  cnet_handle_closed on_closed;
  int closed_flag;
  int kept_error; /* see cnet_handle_keep_error */
  /* Each counts objects of some hundred bytes that are alive: no memory has 2^32 of them. */
  uint32_t holders;         /* servers and sockets: a script may let any number of them share it */
  uint32_t loans;           /* to writes that carry it to another process */
  uint32_t servers, pauses; /* servers that listen with it; how many of them are paused */
  cnet_event *connecting;   /* to a path: the request under way */
  /* what each message needs, next to what libuv needs for it */
  unsigned char kind, life; /* a cnet_handle_kind, a cnet_handle_life */
  bool reading;
  bool held;                     /* bytes came while no Lua may run: they are still in the kernel */
  bool no_delay : 1, pushes : 1; /* TCP_NODELAY: what its owner said, and that a long write has set it */
  bool owns_file : 1;            /* among the runtime's socket files */
  bool client_waits : 1;         /* while all servers are paused: one that libuv has accepted */
  bool gathered : 1;             /* bytes for it wait: see handle/gather.h */
  int fd;                        /* once it was asked for; see handle/gather.c */
  int place;                     /* of its object among the pins, 0 while it is not pinned */
  cnet_runtime *rt;
  const cnet_handle_owner *owner; /* NULL once forgotten */
  cnet_disposable disposable;
  union {
    uv_handle_t handle;
    uv_stream_t stream;
    uv_tcp_t tcp;
    uv_pipe_t pipe;
    uv_tty_t tty;
  } uv; /* last: only as much of it as the kind needs is there */
};

static inline bool cnet_handle_is_closing(const cnet_handle *h) { return h->life >= CNET_HANDLE_CLOSING; }

/* A new handle, nobody's yet; NULL with *status set if there is none. */
cnet_handle *cnet_handle_new(cnet_runtime *rt, cnet_handle_kind kind, int *status);
/* The kind of a descriptor: 0 and *kind, or UV_EINVAL. */
int cnet_handle_guess(int fd, cnet_handle_kind *kind);
/* What a descriptor is that cnet_handle_guess does not take: "FILE", "UDP" ... */
const char *cnet_handle_fd_type(int fd);
int cnet_handle_open(cnet_handle *h, int fd);
/* Opens a pipe on a new socket that is bound or connected to the abstract address. */
int cnet_handle_open_abstract(cnet_handle *h, const char *path, size_t length, cnet_unix_use use);
/* Makes the object at index self the owner, and pins it. */
void cnet_handle_own(lua_State *L, cnet_handle *h, int self, const cnet_handle_owner *owner);
/* The object at index self is the one that is pinned from here on: what the close callback gets. */
void cnet_handle_pin(lua_State *L, cnet_handle *h, int self);
/* Nothing keeps the object alive for the handle: a script that forgets it closes it. */
void cnet_handle_unpin(lua_State *L, cnet_handle *h);
/* Lets go of the object without closing: the handle is nobody's. */
void cnet_handle_disown(lua_State *L, cnet_handle *h);
/* Pushes the object that is pinned, nil if none is. */
void cnet_handle_push_object(lua_State *L, cnet_handle *h);
/* One more server holds the handle. */
void cnet_handle_share(cnet_handle *h);
/* libuv looks at the handle until it is given back, though it be closed. */
void cnet_handle_lend(cnet_handle *h);
void cnet_handle_give_back(cnet_handle *h);
/* The caller lets go of the handle and closes it. With a callback its object stays pinned until that has run. Returns
 * false if another holder has closed it already: the callback will not come. */
bool cnet_handle_close(lua_State *L, cnet_handle *h, cnet_handle_closed on_closed, int flag);
/* The same with a TCP reset; *status tells if that failed and it was closed the plain way. */
bool cnet_handle_close_reset(lua_State *L, cnet_handle *h, cnet_handle_closed on_closed, int flag, int *status);
/* Lets go of the handle, without Lua; the last holder closes it if it is open. */
void cnet_handle_abandon(cnet_handle *h);
/* The same in a finalizer, of an object that has this handle or NULL. Once the runtime is closed all handles are gone.
 */
void cnet_handle_finalize(const cnet_runtime *rt, cnet_handle **h);

int cnet_handle_read_start(cnet_handle *h);
int cnet_handle_read_stop(cnet_handle *h);
/* Inside on_read of an ipc pipe: is there another handle that came with the bytes? */
bool cnet_handle_has_received(cnet_handle *h);
/* The child that is given this has the other end of the pipe that the handle becomes. */
void cnet_handle_make_pipe(cnet_handle *h, uv_stdio_container_t *out);
/* Inside on_read of an ipc pipe: did a handle come with the bytes? *out is NULL if it is of no kind known here. */
bool cnet_handle_receive(cnet_handle *h, cnet_handle **out);
/* On another loop than the one the handle is on, a copy takes its place, and this one closes. NULL with *status set. */
cnet_handle *cnet_handle_move(cnet_handle *h, int *status);
/* Another handle over the same socket, open until it is closed itself; NULL with *status set. */
cnet_handle *cnet_handle_duplicate(cnet_handle *h, int *status);
int cnet_handle_fd(cnet_handle *h);
void cnet_handle_ref(cnet_handle *h, bool on);
static inline size_t cnet_handle_write_queue(const cnet_handle *h) { return h->uv.stream.write_queue_size; }

#endif
