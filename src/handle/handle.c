#include "handle/handle.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#include "core/pins.h"
#include "core/protect.h"
#include "os/socket_file.h"

CNET_RIGHT_BEFORE(cnet_handle, disposable, uv);

/* ---- life ---- */

static void dispose(uv_handle_t *uv) { free(CNET_CONTAINER(cnet_handle, uv, uv)); }

static size_t size_of(cnet_handle_kind kind) {
  size_t uv = kind == CNET_HANDLE_TCP   ? sizeof(uv_tcp_t)
              : kind == CNET_HANDLE_TTY ? sizeof(uv_tty_t)
                                        : sizeof(uv_pipe_t);
  return offsetof(cnet_handle, uv) + uv;
}

static int init_uv(cnet_handle *h) {
  if (h->kind == CNET_HANDLE_TCP) return uv_tcp_init(h->rt->loop, &h->uv.tcp);
  if (h->kind != CNET_HANDLE_TTY) return uv_pipe_init(h->rt->loop, &h->uv.pipe, h->kind == CNET_HANDLE_IPC);
  return 0; /* a terminal is made when it is opened */
}

cnet_handle *cnet_handle_new(cnet_runtime *rt, cnet_handle_kind kind, int *status) {
  cnet_handle *h = calloc(1, size_of(kind));
  if (!h) {
    *status = UV_ENOMEM;
    return NULL;
  }
  h->disposable.dispose = dispose;
  h->rt = rt;
  h->kind = (unsigned char)kind;
  h->holders = 1;
  h->fd = -1;
  *status = init_uv(h);
  if (*status < 0) {
    free(h);
    return NULL;
  }
  cnet_runtime_adopt(rt, &h->uv.handle);
  return h;
}

int cnet_handle_guess(int fd, cnet_handle_kind *kind) {
  uv_handle_type type = uv_guess_handle(fd);
  *kind = type == UV_TCP ? CNET_HANDLE_TCP : type == UV_TTY ? CNET_HANDLE_TTY : CNET_HANDLE_PIPE;
  return type == UV_TCP || type == UV_TTY || type == UV_NAMED_PIPE ? 0 : UV_EINVAL;
}

const char *cnet_handle_fd_type(int fd) {
  uv_handle_type type = uv_guess_handle(fd);
  return type == UV_FILE ? "FILE" : type == UV_UDP ? "UDP" : type == UV_TTY ? "TTY" : "UNKNOWN";
}

static int open_fd(cnet_handle *h, int fd) {
  if (h->kind == CNET_HANDLE_TCP) return uv_tcp_open(&h->uv.tcp, fd);
  if (h->kind != CNET_HANDLE_TTY) return uv_pipe_open(&h->uv.pipe, fd);
  return uv_tty_init(h->rt->loop, &h->uv.tty, fd, 0); /* which leaves the data as it is */
}

typedef struct {
  int fd;
  bool found;
} search;

static void look_at(uv_handle_t *handle, void *arg) {
  search *wanted = arg;
  uv_os_fd_t fd;
  if ((handle->type == UV_TCP || handle->type == UV_NAMED_PIPE) && uv_fileno(handle, &fd) == 0 && fd == wanted->fd)
    wanted->found = true;
}

/* Two handles of one descriptor: once one of them has closed it, libuv ends the process over the other. It sees by
 * itself only those that it polls. */
int cnet_handle_open(cnet_handle *h, int fd) {
  search wanted = {fd, false};
  uv_walk(h->rt->loop, look_at, &wanted);
  return wanted.found ? UV_EEXIST : open_fd(h, fd);
}

int cnet_handle_open_abstract(cnet_handle *h, const char *path, size_t length, cnet_unix_use use) {
  int status, fd = cnet_unix_open(path, length, use);
  if (fd < 0) return fd;
  status = uv_pipe_open(&h->uv.pipe, fd);
  if (status < 0) close(fd);
  return status;
}

void cnet_handle_pin(lua_State *L, cnet_handle *h, int self) { h->place = cnet_pin_place(L, h->rt, h->place, self); }

void cnet_handle_unpin(lua_State *L, cnet_handle *h) {
  int place = h->place;
  h->place = 0;
  cnet_unpin_place(L, h->rt, place);
}

void cnet_handle_disown(lua_State *L, cnet_handle *h) {
  h->owner = NULL;
  cnet_handle_unpin(L, h);
}

void cnet_handle_push_object(lua_State *L, cnet_handle *h) {
  if (h->place) {
    cnet_pin_push_place(L, h->rt, h->place);
  } else {
    lua_pushnil(L);
  }
}

void cnet_handle_own(lua_State *L, cnet_handle *h, int self, const cnet_handle_owner *owner) {
  if (h->rt->flush) h->rt->flush(L, h->rt); /* what another holder wrote: it hears of a failure */
  cnet_handle_pin(L, h, self);
  h->owner = owner;
}

void cnet_handle_share(cnet_handle *h) { h->holders++; }

void cnet_handle_lend(cnet_handle *h) { h->loans++; }

/* ---- close ---- */

static void free_if_unheld(cnet_handle *h) {
  if (h->life == CNET_HANDLE_CLOSED && h->holders == 0 && h->loans == 0) free(h);
}

void cnet_handle_give_back(cnet_handle *h) {
  h->loans--;
  free_if_unheld(h);
}

static void closed_body(lua_State *L, void *arg) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, event, arg);
  cnet_handle_closed on_closed = h->on_closed;
  int flag = h->closed_flag;
  cnet_protect_push_place(L, h->place);
  cnet_handle_unpin(L, h);
  h->life = CNET_HANDLE_CLOSED;
  free_if_unheld(h);
  on_closed(L, lua_gettop(L), flag);
}

static void closed_drop(cnet_event *event) { free(CNET_CONTAINER(cnet_handle, event, event)); }

static void forget_body(lua_State *L, void *arg) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, event, arg);
  (void)L;
  h->life = CNET_HANDLE_CLOSED;
  free_if_unheld(h);
}

static void on_closed(uv_handle_t *uv) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, uv, uv);
  cnet_runtime *rt = h->rt;
  if (rt->closed) {
    free(h);
  } else if (h->on_closed || rt->turn.in_body) { /* in a body that has called uv.run the handle may be in use */
    h->event.deliver = h->on_closed ? closed_body : forget_body;
    h->event.drop = closed_drop;
    if (rt->luv.guard) {
      uv_handle_t *before = rt->luv.closing_next;
      rt->luv.closing_next = uv->next_closing;
      cnet_deliver_close(rt, &h->event);
      rt->luv.closing_next = before;
    } else {
      cnet_deliver_close(rt, &h->event);
    }
  } else {
    h->life = CNET_HANDLE_CLOSED;
    free_if_unheld(h);
  }
}

/* What closing and resetting share; tells whether libuv is still to be told. */
static bool let_go(lua_State *L, cnet_handle *h, cnet_handle_closed closed, int flag) {
  if (h->rt->flush) h->rt->flush(L, h->rt);
  h->holders--;
  if (cnet_handle_is_closing(h)) { /* another holder closed it */
    free_if_unheld(h);
    return false;
  }
  h->owner = NULL;
  h->life = CNET_HANDLE_CLOSING;
  h->fd = -1;
  h->on_closed = closed;
  h->closed_flag = flag;
  if (!closed) cnet_handle_unpin(L, h);
  return true;
}

static void close_uv(cnet_handle *h) {
  if (h->owns_file) cnet_socket_file_remove(&h->rt->rooms, h);
  h->owns_file = false;
  if (h->uv.handle.type == UV_UNKNOWN_HANDLE) { /* a terminal that was never opened */
    h->life = CNET_HANDLE_CLOSED;
    free_if_unheld(h);
  } else {
    uv_close(&h->uv.handle, on_closed);
  }
}

bool cnet_handle_close(lua_State *L, cnet_handle *h, cnet_handle_closed closed, int flag) {
  bool ours = let_go(L, h, closed, flag);
  if (ours) close_uv(h);
  return ours;
}

bool cnet_handle_close_reset(lua_State *L, cnet_handle *h, cnet_handle_closed closed, int flag, int *status) {
  *status = 0;
  if (!let_go(L, h, closed, flag)) return false;
  *status = uv_tcp_close_reset(&h->uv.tcp, on_closed);
  if (*status < 0) close_uv(h);
  return true;
}

void cnet_handle_abandon(cnet_handle *h) {
  if (--h->holders > 0) return;
  if (h->gathered) h->rt->flush(NULL, h->rt); /* lua_close inside a callback that wrote */
  h->owner = NULL;
  if (cnet_handle_is_closing(h)) {
    free_if_unheld(h);
  } else if (!h->rt->closed) {
    if (uv_is_active(&h->uv.handle) && uv_has_ref(&h->uv.handle)) h->rt->left_open = true;
    h->life = CNET_HANDLE_CLOSING;
    h->fd = -1;
    close_uv(h);
  }
}

void cnet_handle_finalize(const cnet_runtime *rt, cnet_handle **h) {
  if (*h && !rt->closed) cnet_handle_abandon(*h);
  *h = NULL;
}

/* ---- reading ---- */

typedef struct {
  cnet_handle *h;
  ssize_t nread;
  const char *data;
} reading;

static void read_body(lua_State *L, void *arg) {
  reading r = *(reading *)arg;
  if (!r.h->owner || !r.h->owner->on_read) return;
  cnet_protect_push_place(L, r.h->place);
  r.h->owner->on_read(L, lua_gettop(L), r.nread, r.data);
}

/* While the runtime is stopped there is no buffer: the bytes stay in the kernel, and poll tells of them again. */
static void on_alloc(uv_handle_t *uv, size_t suggested, uv_buf_t *out) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, uv, uv);
  bool holds = cnet_runtime_stop_if_held(h->rt);
  (void)suggested;
  if (holds) h->held = true;
  *out = holds || (h->rt->turn.hold_timers && !h->held) ? uv_buf_init(NULL, 0)
                                                        : uv_buf_init(h->rt->read_buffer, CNET_READ_BUFFER);
}

/* Before 1.52 libuv makes up the end of a stream when poll told of data and of a hangup together and the data did not
 * fill the buffer. Behind that data may stand more (a terminal gives one line for each read), or an error (the peer's
 * reset). An end that was read comes with the buffer, one that was made up comes with none. */
static bool is_made_up(ssize_t nread, const uv_buf_t *buffer) { return nread == UV_EOF && !buffer->base; }

static void on_read(uv_stream_t *uv, ssize_t nread, const uv_buf_t *buffer) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, uv, uv);
  reading r = {h, nread, buffer->base};
  bool holds = cnet_runtime_stop_if_held(h->rt), made_up = is_made_up(nread, buffer);
  if (made_up || (holds && nread == UV_EOF)) uv_read_start(uv, on_alloc, on_read); /* so that poll tells of it again */
  if (nread == 0 || nread == UV_ENOBUFS || made_up || holds || h->rt->closed) return;
  h->held = false;
  cnet_protect(h->rt, CNET_PHASE_POLL, read_body, &r);
}

int cnet_handle_read_start(cnet_handle *h) {
  int status = uv_read_start(&h->uv.stream, on_alloc, on_read);
  if (status == UV_EALREADY) status = 0;
  h->reading = true;
  return status;
}

int cnet_handle_read_stop(cnet_handle *h) {
  h->reading = false;
  return uv_read_stop(&h->uv.stream);
}

/* ---- handles that go from process to process ---- */

static void set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

bool cnet_handle_has_received(cnet_handle *h) { return uv_pipe_pending_count(&h->uv.pipe) > 0; }

void cnet_handle_make_pipe(cnet_handle *h, uv_stdio_container_t *out) {
  out->flags = UV_CREATE_PIPE | UV_READABLE_PIPE | UV_WRITABLE_PIPE;
  out->data.stream = &h->uv.stream;
}

/* What is received belongs to the sender's socket too: libuv leaves it blocking if the sender did, and accept or write
 * would then stop the process. */
bool cnet_handle_receive(cnet_handle *h, cnet_handle **out) {
  uv_handle_type type;
  int status;
  *out = NULL;
  if (!cnet_handle_has_received(h)) return false;
  type = uv_pipe_pending_type(&h->uv.pipe);
  *out = cnet_handle_new(h->rt, type == UV_TCP ? CNET_HANDLE_TCP : CNET_HANDLE_PIPE, &status);
  if (!*out) return false;
  status = uv_accept(&h->uv.stream, &(*out)->uv.stream);
  if (status == 0 && (type == UV_TCP || type == UV_NAMED_PIPE)) {
    set_nonblocking(cnet_handle_fd(*out));
  } else {
    cnet_handle_abandon(*out);
    *out = NULL;
  }
  return true;
}

cnet_handle *cnet_handle_duplicate(cnet_handle *h, int *status) {
  cnet_handle *copy;
  int fd = fcntl(cnet_handle_fd(h), F_DUPFD_CLOEXEC, 0);
  if (fd < 0) {
    *status = uv_translate_sys_error(errno);
    return NULL;
  }
  copy = cnet_handle_new(h->rt, h->kind, status);
  if (copy) *status = open_fd(copy, fd);
  if (*status == 0) {
    copy->no_delay = h->no_delay;
    copy->pushes = h->pushes;
    return copy;
  }
  close(fd);
  if (copy) cnet_handle_abandon(copy);
  return NULL;
}

cnet_handle *cnet_handle_move(cnet_handle *h, int *status) {
  cnet_handle *copy = cnet_handle_duplicate(h, status);
  if (!copy) return NULL;
  copy->owner = h->owner;
  copy->place = h->place;
  h->place = 0;
  h->owner = NULL;
  h->holders--;
  h->life = CNET_HANDLE_CLOSING;
  h->fd = -1;
  close_uv(h);
  return copy;
}

/* ---- the rest ---- */

int cnet_handle_fd(cnet_handle *h) {
  uv_os_fd_t fd;
  return !cnet_handle_is_closing(h) && uv_fileno(&h->uv.handle, &fd) == 0 ? fd : -1;
}

void cnet_handle_ref(cnet_handle *h, bool on) {
  if (cnet_handle_is_closing(h)) return;
  if (on) {
    uv_ref(&h->uv.handle);
  } else {
    uv_unref(&h->uv.handle);
  }
}
