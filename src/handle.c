#include "handle.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "pins.h"
#include "protect.h"

#define HANDLE_OF(e) ((cnet_handle *)((char *)(e)-offsetof(cnet_handle, event)))
#define OWNER_OF(handle) CNET_HANDLE_OWNER(cnet_handle, uv, handle)
CNET_RIGHT_BEFORE(cnet_handle, disposable, uv);

/* ---- life ---- */

static void dispose(uv_handle_t *uv) { free(OWNER_OF(uv)); }

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
  cnet_handle_pin(L, h, self);
  h->owner = owner;
}

void cnet_handle_share(cnet_handle *h) { h->holders++; }

/* ---- close ---- */

static void free_if_unheld(cnet_handle *h) {
  if (h->uv_closed && h->holders == 0 && h->loans == 0) free(h);
}

static void closed_body(lua_State *L, void *arg) {
  cnet_handle *h = HANDLE_OF(arg);
  cnet_handle_closed on_closed = h->on_closed;
  int flag = h->closed_flag;
  cnet_protect_push_place(L, h->place);
  cnet_handle_unpin(L, h);
  h->uv_closed = true;
  free_if_unheld(h);
  on_closed(L, lua_gettop(L), flag);
}

static void closed_drop(cnet_event *event) { free(HANDLE_OF(event)); }

static void forget_body(lua_State *L, void *arg) {
  cnet_handle *h = HANDLE_OF(arg);
  (void)L;
  h->uv_closed = true;
  free_if_unheld(h);
}

static void on_closed(uv_handle_t *uv) {
  cnet_handle *h = OWNER_OF(uv);
  cnet_runtime *rt = h->rt;
  if (rt->closed) {
    free(h);
  } else if (h->on_closed || rt->in_body) { /* in a body that has called uv.run the handle may be in use */
    h->event.deliver = h->on_closed ? closed_body : forget_body;
    h->event.drop = closed_drop;
    if (rt->guard) {
      uv_handle_t *before = rt->closing_next;
      rt->closing_next = uv->next_closing;
      cnet_deliver_close(rt, &h->event);
      rt->closing_next = before;
    } else {
      cnet_deliver_close(rt, &h->event);
    }
  } else {
    h->uv_closed = true;
    free_if_unheld(h);
  }
}

/* What closing and resetting share; tells whether libuv is still to be told. */
static bool let_go(lua_State *L, cnet_handle *h, cnet_handle_closed closed, int flag) {
  if (h->rt->flush) h->rt->flush(L, h->rt);
  h->holders--;
  if (h->closing) { /* another holder closed it */
    free_if_unheld(h);
    return false;
  }
  h->owner = NULL;
  h->closing = true;
  h->on_closed = closed;
  h->closed_flag = flag;
  if (!closed) cnet_handle_unpin(L, h);
  return true;
}

static void close_uv(cnet_handle *h) {
  if (h->uv.handle.type == UV_UNKNOWN_HANDLE) { /* a terminal that was never opened */
    h->uv_closed = true;
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
  if (h->rt->flush) h->rt->flush(NULL, h->rt); /* lua_close inside a callback that wrote */
  if (--h->holders > 0) return;
  h->owner = NULL;
  if (h->closing) {
    free_if_unheld(h);
  } else if (!h->rt->closed) {
    if (uv_is_active(&h->uv.handle) && uv_has_ref(&h->uv.handle)) h->rt->left_open = true;
    h->closing = true;
    close_uv(h);
  }
}

void cnet_handle_finalize(const cnet_runtime *rt, cnet_handle **h) {
  if (*h && !rt->closed) cnet_handle_abandon(*h);
  *h = NULL;
}

/* ---- listening ---- */

/* The option must be set between socket() and bind(): libuv 1.44 has no way to ask for it. */
static int open_reusable(cnet_handle *h, int family) {
  int status = 0, on = 1, fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  if (setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) status = uv_translate_sys_error(errno);
  if (status == 0) status = uv_tcp_open(&h->uv.tcp, fd);
  if (status < 0) close(fd);
  return status;
}

int cnet_handle_bind(cnet_handle *h, const char *ip, int port, unsigned flags, bool reuse_port) {
  struct sockaddr_storage address;
  int status = h->kind == CNET_HANDLE_TCP ? cnet_address_parse(ip, port, &address) : UV_EINVAL;
  if (status < 0) return status;
  if (reuse_port) status = open_reusable(h, address.ss_family);
  if (status < 0) return status;
  return uv_tcp_bind(&h->uv.tcp, (const struct sockaddr *)&address, flags);
}

/* libuv 1.44 cuts a long path and ends an abstract one at its first byte: what it cannot do is done here. */
static int check_path(const char *path, size_t length) {
  if (length == 0 || length >= sizeof(((struct sockaddr_un *)0)->sun_path)) return UV_EINVAL;
  return path[0] != '\0' && memchr(path, '\0', length) ? UV_EINVAL : 0;
}

static socklen_t abstract_address(const char *path, size_t length, struct sockaddr_un *out) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path, path, length);
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

/* Opens the handle on a new socket that is bound or connected to the abstract address. */
static int open_abstract(cnet_handle *h, const char *path, size_t length,
                         int (*use)(int, const struct sockaddr *, socklen_t)) {
  struct sockaddr_un address;
  socklen_t size = abstract_address(path, length, &address);
  int status = 0, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  if (use(fd, (struct sockaddr *)&address, size) != 0) status = uv_translate_sys_error(errno);
  if (status == 0) status = uv_pipe_open(&h->uv.pipe, fd);
  if (status < 0) close(fd);
  return status;
}

int cnet_handle_bind_path(cnet_handle *h, const char *path, size_t length) {
  int status = h->kind == CNET_HANDLE_PIPE ? check_path(path, length) : UV_EINVAL;
  if (status < 0) return status;
  if (path[0] == '\0') return open_abstract(h, path, length, bind);
  return uv_pipe_bind(&h->uv.pipe, path);
}

typedef struct {
  cnet_handle *h;
  int status;
} connection;

static void connection_body(lua_State *L, void *arg) {
  connection c = *(connection *)arg;
  if (!c.h->owner || !c.h->owner->on_connection) return;
  cnet_protect_push_place(L, c.h->place);
  c.h->owner->on_connection(L, lua_gettop(L), c.status);
}

static void waiting_connection_body(lua_State *L, void *arg) {
  cnet_handle *h = HANDLE_OF(arg);
  connection c = {h, h->event.status};
  h->connection_waits = false;
  connection_body(L, &c);
}

static void waiting_connection_drop(cnet_event *event) { (void)event; /* the handle is closed with the loop */ }

/* Without a descriptor to spare libuv closes the clients that wait, which keeps it from asking for them again and
 * again. It needs one in reserve for that, and where it has lost it, it never returns: then the clients are let go
 * here, by a descriptor freed for a moment. */
static void let_clients_go(cnet_handle *h) {
  int client, listener = cnet_handle_fd(h), spare = fcntl(listener, F_DUPFD_CLOEXEC, 0);
  if (spare >= 0) { /* there is one again */
    close(spare);
    return;
  }
  if (h->rt->spare_fd < 0) return;
  close(h->rt->spare_fd);
  while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) close(client);
  h->rt->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
}

static void on_connection(uv_stream_t *uv, int status) {
  cnet_handle *h = OWNER_OF(uv);
  connection c = {h, status};
  if (status == UV_EMFILE || status == UV_ENFILE) let_clients_go(h);
  if (h->rt->closed || !h->owner) return;
  if (!cnet_runtime_holds(h->rt)) {
    cnet_protect(h->rt, CNET_PHASE_POLL, connection_body, &c);
  } else if (!h->connection_waits) { /* libuv polls the listener no more until the client is accepted */
    h->connection_waits = true;
    h->event.deliver = waiting_connection_body;
    h->event.drop = waiting_connection_drop;
    cnet_deliver(h->rt, &h->event, status);
  }
}

int cnet_handle_listen(cnet_handle *h, int backlog) { return uv_listen(&h->uv.stream, backlog, on_connection); }

cnet_handle *cnet_handle_accept(cnet_handle *server, int *status) {
  cnet_handle *h = cnet_handle_new(server->rt, server->kind, status);
  if (!h) return NULL;
  *status = uv_accept(&server->uv.stream, &h->uv.stream);
  if (*status == 0) return h;
  cnet_handle_abandon(h);
  return NULL;
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
  cnet_handle *h = OWNER_OF(uv);
  bool holds = cnet_runtime_holds(h->rt);
  (void)suggested;
  if (holds) h->held = true;
  *out = holds || (h->rt->hold_timers && !h->held) ? uv_buf_init(NULL, 0)
                                                   : uv_buf_init(h->rt->read_buffer, CNET_READ_BUFFER);
}

static void on_read(uv_stream_t *uv, ssize_t nread, const uv_buf_t *buffer) {
  cnet_handle *h = OWNER_OF(uv);
  reading r = {h, nread, buffer->base};
  bool holds = cnet_runtime_holds(h->rt);
  if (holds && nread == UV_EOF) uv_read_start(uv, on_alloc, on_read); /* so that poll tells of it again */
  if (nread == 0 || nread == UV_ENOBUFS || holds || h->rt->closed) return;
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

/* ---- requests ---- */

typedef struct {
  cnet_event event; /* first: an event is its request */
  cnet_runtime *rt;
  cnet_request_done done;
  cnet_handle *sent; /* on its way: libuv looks at it until the write is over, though it be closed */
  union {
    uv_req_t any;
    uv_write_t write;
    uv_shutdown_t shutdown;
    uv_connect_t connect;
  } uv;
} request;

static void request_body(lua_State *L, void *arg) {
  request *r = arg;
  cnet_runtime *rt = r->rt;
  cnet_request_done done = r->done;
  int status = r->event.status, self;
  cnet_protect_push_pinned(L, r);
  cnet_protect_push_pinned(L, &r->done);
  self = lua_gettop(L) - 1;
  cnet_unpin(L, rt, r);
  cnet_unpin(L, rt, &r->done);
  free(r);
  done(L, self, self + 1, status);
}

static void request_drop(cnet_event *event) { free(event); }

/* Pins the object at index self and the value at index value until the request is over. Raises without memory. */
static request *new_request(lua_State *L, cnet_runtime *rt, int self, int value, cnet_request_done done) {
  request *r = rt->spare_request ? rt->spare_request : malloc(sizeof *r);
  if (!r) luaL_error(L, "not enough memory");
  rt->spare_request = r; /* until it is pinned, which may raise */
  memset(r, 0, sizeof *r);
  r->rt = rt;
  r->done = done;
  r->event.deliver = request_body;
  r->event.drop = request_drop;
  r->uv.any.data = r;
  cnet_pin(L, rt, r, self);
  cnet_pin(L, rt, &r->done, value);
  rt->spare_request = NULL;
  return r;
}

static int drop_request(lua_State *L, request *r, int status) {
  cnet_unpin(L, r->rt, r);
  cnet_unpin(L, r->rt, &r->done);
  free(r);
  return status;
}

static void finish_request(request *r, int status) { cnet_deliver(r->rt, &r->event, status); }

static void on_write(uv_write_t *uv, int status) {
  request *r = uv->data;
  if (r->sent && !r->rt->closed) {
    r->sent->loans--;
    free_if_unheld(r->sent);
  }
  finish_request(r, status);
}

static void on_shutdown(uv_shutdown_t *uv, int status) { finish_request(uv->data, status); }

static void on_connect(uv_connect_t *uv, int status) {
  cnet_handle *h = OWNER_OF(uv->handle);
  h->connecting = NULL;
  finish_request(uv->data, status);
}

/* ---- writing ---- */

enum { FEW_BUFFERS = 16 };

/* Fills one buffer for each string at index data, an array unless it is a string itself. */
static void fill_buffers(lua_State *L, int data, uv_buf_t *buffers, unsigned n) {
  unsigned i;
  size_t size;
  for (i = 0; i < n; i++) {
    const char *text;
    if (lua_istable(L, data)) {
      lua_rawgeti(L, data, (lua_Integer)i + 1);
      text = lua_tolstring(L, -1, &size);
      lua_pop(L, 1); /* the array keeps it */
    } else {
      text = lua_tolstring(L, data, &size);
    }
    buffers[i] = uv_buf_init((char *)text, (unsigned)size);
  }
}

/* Leaves out what was written; returns the first buffer with something left. */
static unsigned skip_written(uv_buf_t *buffers, unsigned n, size_t written) {
  unsigned i = 0;
  while (i < n && written >= buffers[i].len) written -= buffers[i++].len;
  if (i < n) {
    buffers[i].base += written;
    buffers[i].len -= written;
  }
  return i;
}

/* send itself costs 4 to 9 % less CPU for each message than uv_try_write. */
ssize_t cnet_handle_write_now(cnet_handle *h, const char *bytes, size_t size) {
  uv_buf_t buffer = uv_buf_init((char *)bytes, (unsigned)size);
  ssize_t sent;
  if (h->kind != CNET_HANDLE_TCP) {
    sent = uv_try_write(&h->uv.stream, &buffer, 1);
    return sent == UV_EAGAIN ? 0 : sent;
  }
  if (h->fd < 0) h->fd = cnet_handle_fd(h);
  do {
    sent = send(h->fd, bytes, size, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : uv_translate_sys_error(errno);
}

int cnet_handle_write(lua_State *L, cnet_handle *h, int self, int data, cnet_request_done done, bool *async) {
  uv_buf_t few[FEW_BUFFERS], *buffers = few;
  unsigned i, n = lua_istable(L, data) ? (unsigned)lua_rawlen(L, data) : 1;
  int status, top = lua_gettop(L);
  request *r;
  *async = false;
  if (n > FEW_BUFFERS) buffers = lua_newuserdatauv(L, n * sizeof *buffers, 0);
  fill_buffers(L, data, buffers, n);
  status = uv_try_write(&h->uv.stream, buffers, n);
  if (status < 0 && status != UV_EAGAIN && status != UV_ENOSYS) {
    lua_settop(L, top);
    return status;
  }
  i = skip_written(buffers, n, status > 0 ? (size_t)status : 0);
  status = 0;
  if (i < n) {
    r = new_request(L, h->rt, self, data, done);
    status = uv_write(&r->uv.write, &h->uv.stream, buffers + i, n - i, on_write);
    if (status < 0) {
      drop_request(L, r, status);
    } else {
      *async = true;
    }
  }
  lua_settop(L, top);
  return status;
}

int cnet_handle_shutdown(lua_State *L, cnet_handle *h, int self, cnet_request_done done) {
  request *r = new_request(L, h->rt, self, self, done);
  int status = uv_shutdown(&r->uv.shutdown, &h->uv.stream, on_shutdown);
  return status < 0 ? drop_request(L, r, status) : 0;
}

/* ---- handles that go from process to process ---- */

int cnet_handle_send(lua_State *L, cnet_handle *h, int self, int data, cnet_handle *sent, cnet_request_done done) {
  uv_buf_t buffer;
  request *r;
  int status;
  if (cnet_handle_fd(sent) < 0) return UV_EBADF;
  if (h->rt->flush) h->rt->flush(L, h->rt); /* what was written to it goes before what its new owner writes */
  fill_buffers(L, data, &buffer, 1);
  r = new_request(L, h->rt, self, data, done);
  status = uv_write2(&r->uv.write, &h->uv.stream, &buffer, 1, &sent->uv.stream, on_write);
  if (status < 0) return drop_request(L, r, status);
  r->sent = sent;
  sent->loans++;
  return 0;
}

static void set_nonblocking(int fd) {
  int flags = fcntl(fd, F_GETFL);
  if (flags >= 0 && !(flags & O_NONBLOCK)) fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

/* What is received belongs to the sender's socket too: libuv leaves it blocking if the sender did, and accept or write
 * would then stop the process. */
bool cnet_handle_receive(cnet_handle *h, cnet_handle **out) {
  uv_handle_type type;
  int status;
  *out = NULL;
  if (uv_pipe_pending_count(&h->uv.pipe) == 0) return false;
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
  if (*status == 0) return copy;
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
  h->closing = true;
  close_uv(h);
  return copy;
}

/* ---- connecting ---- */

int cnet_handle_connect(lua_State *L, cnet_handle *h, int self, const char *ip, int port, cnet_request_done done) {
  struct sockaddr_storage address;
  int status = h->kind == CNET_HANDLE_TCP ? cnet_address_parse(ip, port, &address) : UV_EINVAL;
  request *r = NULL;
  if (status == 0) {
    r = new_request(L, h->rt, self, lua_gettop(L), done);
    status = uv_tcp_connect(&r->uv.connect, &h->uv.tcp, (struct sockaddr *)&address, on_connect);
    if (status < 0) drop_request(L, r, status);
  }
  lua_pop(L, 1);
  return status;
}

static void on_superseded(lua_State *L, int self, int value, int status) {
  (void)L;
  (void)self;
  (void)value;
  (void)status;
}

/* A second connect while the first is under way: libuv would lose the first request, and its loop would never end. The
 * first one ends unheard, and the second one as libuv would have it: with what the kernel says, which is an error. */
static void connect_again(cnet_handle *h, request *r, const char *path, size_t length) {
  struct sockaddr_un address;
  socklen_t size = abstract_address(path, length, &address);
  ((request *)h->connecting)->done = on_superseded;
  r->event.status =
      connect(cnet_handle_fd(h), (struct sockaddr *)&address, size) == 0 ? 0 : uv_translate_sys_error(errno);
  cnet_runtime_post(h->rt, &r->event);
}

int cnet_handle_connect_path(lua_State *L, cnet_handle *h, int self, const char *path, size_t length,
                             cnet_request_done done) {
  int status = h->kind == CNET_HANDLE_PIPE ? check_path(path, length) : UV_EINVAL;
  request *r;
  if (status < 0) {
    lua_pop(L, 1);
    return status;
  }
  r = new_request(L, h->rt, self, lua_gettop(L), done);
  lua_pop(L, 1);
  if (path[0] == '\0' && cnet_handle_fd(h) >= 0) return drop_request(L, r, UV_EISCONN);
  if (path[0] == '\0') { /* done at once, told in the next turn, as libuv does with other paths */
    r->event.status = open_abstract(h, path, length, connect);
    cnet_runtime_post(h->rt, &r->event);
  } else if (h->connecting) {
    connect_again(h, r, path, length);
  } else {
    h->connecting = &r->event;
    uv_pipe_connect(&r->uv.connect, &h->uv.pipe, path, on_connect);
  }
  return 0;
}

/* ---- the rest ---- */

int cnet_handle_sockname(cnet_handle *h, cnet_address *out) {
  struct sockaddr_storage address;
  int size = sizeof address, status;
  memset(out, 0, sizeof *out);
  if (h->kind != CNET_HANDLE_TCP) return UV_EINVAL;
  status = uv_tcp_getsockname(&h->uv.tcp, (struct sockaddr *)&address, &size);
  if (status == 0) cnet_address_read((struct sockaddr *)&address, out);
  return status;
}

int cnet_handle_peername(cnet_handle *h, cnet_address *out) {
  struct sockaddr_storage address;
  int size = sizeof address, status;
  memset(out, 0, sizeof *out);
  if (h->kind != CNET_HANDLE_TCP) return UV_EINVAL;
  status = uv_tcp_getpeername(&h->uv.tcp, (struct sockaddr *)&address, &size);
  if (status == 0) cnet_address_read((struct sockaddr *)&address, out);
  return status;
}

int cnet_handle_set_nodelay(cnet_handle *h, bool on) {
  return h->kind == CNET_HANDLE_TCP ? uv_tcp_nodelay(&h->uv.tcp, on) : 0;
}

int cnet_handle_set_keepalive(cnet_handle *h, bool on, int delay, int interval, int count) {
  int fd = cnet_handle_fd(h), status;
  if (h->kind != CNET_HANDLE_TCP) return 0;
  /* libuv sets TCP_KEEPIDLE too, and 0 is not allowed there: without a delay the system's stays */
  if (on && delay <= 0) {
    int one = 1;
    status = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 ? 0 : uv_translate_sys_error(errno);
  } else {
    status = uv_tcp_keepalive(&h->uv.tcp, on, (unsigned)delay);
  }
  if (status == 0 && on && interval > 0) setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
  if (status == 0 && on && count > 0) setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
  return status;
}

/* An IPv6 socket has both: the IPv4 one serves mapped addresses, and may be refused. */
int cnet_handle_set_tos(cnet_handle *h, int tos) {
  cnet_address address;
  int fd = cnet_handle_fd(h), status = cnet_handle_sockname(h, &address);
  if (status < 0) return status;
  if (address.family == 6) {
    if (setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, &tos, sizeof tos) != 0) return uv_translate_sys_error(errno);
    setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos);
    return 0;
  }
  return setsockopt(fd, IPPROTO_IP, IP_TOS, &tos, sizeof tos) == 0 ? 0 : uv_translate_sys_error(errno);
}

int cnet_handle_get_tos(cnet_handle *h, int *tos) {
  cnet_address address;
  socklen_t size = sizeof *tos;
  int status = cnet_handle_sockname(h, &address), level = address.family == 6 ? IPPROTO_IPV6 : IPPROTO_IP;
  if (status < 0) return status;
  if (getsockopt(cnet_handle_fd(h), level, address.family == 6 ? IPV6_TCLASS : IP_TOS, tos, &size) != 0)
    return uv_translate_sys_error(errno);
  return 0;
}

int cnet_handle_fd(cnet_handle *h) {
  uv_os_fd_t fd;
  return !h->closing && uv_fileno(&h->uv.handle, &fd) == 0 ? fd : -1;
}

void cnet_handle_ref(cnet_handle *h, bool on) {
  if (h->closing) return;
  if (on) {
    uv_ref(&h->uv.handle);
  } else {
    uv_unref(&h->uv.handle);
  }
}

size_t cnet_handle_write_queue(cnet_handle *h) { return uv_stream_get_write_queue_size(&h->uv.stream); }
