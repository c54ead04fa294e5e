#include "handle/requests.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "core/pins.h"
#include "core/protect.h"
#include "handle/options.h"
#include "text/address.h"

/* ---- requests ---- */

typedef struct {
  cnet_event event; /* first: an event is its request */
  cnet_runtime *rt;
  cnet_request_done done;
  char *given;       /* what is written, and freed with the request */
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

/* One that could not be pinned, for the next. */
typedef struct {
  request *spare;
} state;

static void close_state(void *s) { free(((state *)s)->spare); }

static const cnet_room room = {sizeof(state), close_state};

/* Pins the object at index self and the value at index value until the request is over. Raises without memory. */
static request *new_request(lua_State *L, cnet_runtime *rt, int self, int value, cnet_request_done done) {
  state *s = cnet_runtime_room(L, rt, &room);
  request *r = s->spare ? s->spare : malloc(sizeof *r);
  if (!r) luaL_error(L, "not enough memory");
  s->spare = r; /* until it is pinned, which may raise */
  memset(r, 0, sizeof *r);
  r->rt = rt;
  r->done = done;
  r->event.deliver = request_body;
  r->event.drop = request_drop;
  r->uv.any.data = r;
  cnet_pin(L, rt, r, self);
  cnet_pin(L, rt, &r->done, value);
  s->spare = NULL;
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
  free(r->given);
  r->given = NULL;
  if (r->sent && !r->rt->closed) cnet_handle_give_back(r->sent);
  finish_request(r, status);
}

static void on_shutdown(uv_shutdown_t *uv, int status) { finish_request(uv->data, status); }

static void on_connect(uv_connect_t *uv, int status) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, uv, uv->handle);
  h->connecting = NULL;
  finish_request(uv->data, status);
}

/* ---- writing ---- */

enum { FEW_BUFFERS = 16 };

/* Not by uv_buf_init, which takes no more than 4 GiB. */
static uv_buf_t buffer_of(const char *bytes, size_t size) {
  uv_buf_t buffer;
  buffer.base = (char *)bytes;
  buffer.len = size;
  return buffer;
}

/* Fills one buffer for each string at index data, an array unless it is a string itself; returns their size. */
static size_t fill_buffers(lua_State *L, int data, uv_buf_t *buffers, unsigned n) {
  unsigned i;
  size_t size, total = 0;
  for (i = 0; i < n; i++) {
    const char *text;
    if (lua_istable(L, data)) {
      lua_rawgeti(L, data, (lua_Integer)i + 1);
      text = lua_tolstring(L, -1, &size);
      lua_pop(L, 1); /* the array keeps it */
    } else {
      text = lua_tolstring(L, data, &size);
    }
    buffers[i] = buffer_of(text, size);
    total += size;
  }
  return total;
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

enum { LONG_WRITE = 16384 };

/* Nagle's algorithm, on unless noDelay is asked for, is there for short writes. The tail of a long one it holds back
 * until the peer has acknowledged what is on its way: streams cost twice the CPU, and may stand still for 40 ms. */
static void push_if_long(cnet_handle *h, size_t size) {
  bool is_long = size >= LONG_WRITE;
  if (is_long != h->pushes && !h->no_delay && h->kind == CNET_HANDLE_TCP) cnet_handle_set_pushes(h, is_long);
}

/* send itself costs 4 to 9 % less CPU for each message than uv_try_write. */
ssize_t cnet_handle_write_now(cnet_handle *h, const char *bytes, size_t size) {
  uv_buf_t buffer = buffer_of(bytes, size);
  ssize_t sent;
  if (h->kind != CNET_HANDLE_TCP) {
    sent = uv_try_write(&h->uv.stream, &buffer, 1);
    return sent == UV_EAGAIN ? 0 : sent;
  }
  if (h->fd < 0) h->fd = cnet_handle_fd(h);
  push_if_long(h, size);
  do {
    sent = send(h->fd, bytes, size, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  if (sent >= 0) return sent;
  return errno == EAGAIN || errno == EWOULDBLOCK || errno == ENOBUFS ? 0 : uv_translate_sys_error(errno);
}

void cnet_handle_keep_error(cnet_handle *h, int status) { h->kept_error = status; }

static int take_kept_error(cnet_handle *h) {
  int status = h->kept_error;
  h->kept_error = 0;
  return status;
}

/* Libuv has an int for what is written at once: Linux takes no more than INT_MAX bytes in one call. */
int cnet_handle_write(lua_State *L, cnet_handle *h, int self, int data, cnet_request_done done, bool *async) {
  uv_buf_t few[FEW_BUFFERS], *buffers = few;
  /* fits: a table has room for fewer than 2^32 elements */
  unsigned i, n = lua_istable(L, data) ? (unsigned)lua_rawlen(L, data) : 1;
  int status, top = lua_gettop(L);
  request *r;
  *async = false;
  if (h->kept_error < 0) return take_kept_error(h);
  if (n > FEW_BUFFERS) buffers = lua_newuserdatauv(L, n * sizeof *buffers, 0);
  push_if_long(h, fill_buffers(L, data, buffers, n));
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

static int write_later(cnet_handle *h, request *r, const char *bytes, size_t size) {
  uv_buf_t buffer = {.base = (char *)bytes, .len = size};
  return h ? uv_write(&r->uv.write, &h->uv.stream, &buffer, 1, on_write) : UV_ECANCELED;
}

int cnet_handle_write_later(lua_State *L, cnet_handle *const *h, int self, int value, const char *bytes, size_t size,
                            cnet_request_done done) {
  request *r = new_request(L, (*h)->rt, self, value, done);
  int status = write_later(*h, r, bytes, size);
  return status < 0 ? drop_request(L, r, status) : 0;
}

int cnet_handle_write_given(lua_State *L, cnet_handle *const *h, int self, cnet_given *given, cnet_request_done done) {
  request *r;
  int status;
  lua_pushnil(L);
  r = new_request(L, (*h)->rt, self, lua_gettop(L), done);
  lua_pop(L, 1);
  status = given->size > 0 ? write_later(*h, r, given->bytes, given->size) : UV_ECANCELED; /* by a finalizer */
  if (status < 0) return drop_request(L, r, status);
  r->given = given->bytes;
  *given = (cnet_given){NULL, 0};
  return 0;
}

int cnet_handle_shutdown(lua_State *L, cnet_handle *h, int self, cnet_request_done done) {
  request *r;
  int status;
  if (h->life != CNET_HANDLE_OPEN) return UV_ENOTCONN;
  r = new_request(L, h->rt, self, self, done);
  status = uv_shutdown(&r->uv.shutdown, &h->uv.stream, on_shutdown);
  return status < 0 ? drop_request(L, r, status) : 0;
}

int cnet_handle_send(lua_State *L, cnet_handle *h, int self, int data, cnet_handle *sent, cnet_request_done done) {
  uv_buf_t buffer;
  request *r;
  int status;
  if (cnet_handle_fd(sent) < 0) return UV_EBADF;
  if (h->rt->flush) h->rt->flush(L, h->rt); /* what was written to it goes before what its new owner writes */
  if (sent->pushes) cnet_handle_set_pushes(sent, false);
  fill_buffers(L, data, &buffer, 1);
  r = new_request(L, h->rt, self, data, done);
  status = uv_write2(&r->uv.write, &h->uv.stream, &buffer, 1, &sent->uv.stream, on_write);
  if (status < 0) return drop_request(L, r, status);
  r->sent = sent;
  cnet_handle_lend(sent);
  return 0;
}

/* ---- connecting ---- */

int cnet_handle_connect(lua_State *L, cnet_handle *h, int self, const char *ip, int port, cnet_request_done done) {
  struct sockaddr_storage address;
  int status = h->kind == CNET_HANDLE_TCP ? cnet_address_parse(ip, port, &address) : UV_EINVAL;
  request *r = NULL;
  if (status == 0) {
    r = new_request(L, h->rt, self, lua_gettop(L), done);
    status = cnet_handle_is_closing(h)
                 ? UV_EBADF
                 : uv_tcp_connect(&r->uv.connect, &h->uv.tcp, (struct sockaddr *)&address, on_connect);
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

/* Connects the socket that the handle has: it is bound, or connected before. */
static int connect_fd(cnet_handle *h, const char *path, size_t length) {
  struct sockaddr_un address;
  socklen_t size = cnet_unix_address(path, length, &address);
  return connect(cnet_handle_fd(h), (struct sockaddr *)&address, size) == 0 ? 0 : uv_translate_sys_error(errno);
}

/* A second connect while the first is under way: libuv would lose the first request, and its loop would never end. The
 * first one ends unheard, and the second one as libuv would have it: with what the kernel says, which is an error. */
static void connect_again(cnet_handle *h, request *r, const char *path, size_t length) {
  ((request *)h->connecting)->done = on_superseded;
  r->event.status = connect_fd(h, path, length);
  cnet_runtime_post(h->rt, &r->event);
}

int cnet_handle_connect_path(lua_State *L, cnet_handle *h, int self, const char *path, size_t length,
                             cnet_request_done done) {
  int status = h->kind == CNET_HANDLE_PIPE ? cnet_unix_check_path(path, length) : UV_EINVAL;
  request *r;
  if (status < 0) {
    lua_pop(L, 1);
    return status;
  }
  r = new_request(L, h->rt, self, lua_gettop(L), done);
  lua_pop(L, 1);
  if (cnet_handle_is_closing(h)) return drop_request(L, r, UV_EBADF);
  if (path[0] == '\0') { /* done at once, told in the next turn, as libuv does with other paths */
    status = cnet_handle_fd(h) < 0 ? cnet_handle_open_abstract(h, path, length, connect) : connect_fd(h, path, length);
    if (status == UV_EISCONN) return drop_request(L, r, status);
    r->event.status = status;
    cnet_runtime_post(h->rt, &r->event);
  } else if (h->connecting) {
    connect_again(h, r, path, length);
  } else {
    h->connecting = &r->event;
    uv_pipe_connect(&r->uv.connect, &h->uv.pipe, path, on_connect);
  }
  return 0;
}
