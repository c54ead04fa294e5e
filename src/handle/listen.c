#include "handle/listen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/protect.h"
#include "os/socket_file.h"
#include "text/address.h"

/* ---- bind ---- */

static int open_socket(cnet_handle *h, int domain, bool reusable) {
  int status = 0, on = 1, fd = socket(domain, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  /* to be set between socket() and bind(): libuv 1.44 has no way to ask for it */
  if (reusable && setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof on) != 0) status = uv_translate_sys_error(errno);
  if (status == 0) status = uv_tcp_open(&h->uv.tcp, fd);
  if (status < 0) close(fd);
  return status;
}

int cnet_handle_open_socket(cnet_handle *h, int family) {
  if (cnet_handle_is_closing(h) || h->kind != CNET_HANDLE_TCP) return UV_EBADF;
  return cnet_handle_fd(h) >= 0 ? 0 : open_socket(h, family == 6 ? AF_INET6 : AF_INET, false);
}

int cnet_handle_bind(cnet_handle *h, const char *ip, int port, unsigned flags, bool reuse_port) {
  struct sockaddr_storage address;
  int status = h->kind == CNET_HANDLE_TCP ? cnet_address_parse(ip, port, &address) : UV_EINVAL;
  if (cnet_handle_is_closing(h)) return UV_EBADF;
  if (status < 0) return status;
  if (reuse_port) status = open_socket(h, address.ss_family, true);
  if (status < 0) return status;
  return uv_tcp_bind(&h->uv.tcp, (const struct sockaddr *)&address, flags);
}

/* As uv_pipe_bind, but the file is ours to remove. */
static int bind_file(cnet_handle *h, const char *path, size_t length) {
  cnet_socket_file *file = cnet_socket_file_new(&h->rt->rooms, path, length);
  int status, fd = file ? cnet_unix_open(path, length, bind) : UV_ENOMEM;
  if (fd < 0) {
    free(file);
    return fd == UV_ENOENT ? UV_EACCES : fd; /* so that all systems say the same */
  }
  cnet_socket_file_add(&h->rt->rooms, file, h);
  h->owns_file = true;
  status = uv_pipe_open(&h->uv.pipe, fd);
  if (status == 0) return 0;
  cnet_socket_file_remove(&h->rt->rooms, h);
  h->owns_file = false;
  close(fd);
  return status;
}

int cnet_handle_bind_path(cnet_handle *h, const char *path, size_t length) {
  int status = h->kind == CNET_HANDLE_PIPE ? cnet_unix_check_path(path, length) : UV_EINVAL;
  if (status < 0) return status;
  if (path[0] == '\0') return cnet_handle_open_abstract(h, path, length, bind);
  return bind_file(h, path, length);
}

int cnet_handle_chmod(cnet_handle *h, int mode) { return uv_pipe_chmod(&h->uv.pipe, mode); }

/* ---- listen ---- */

typedef struct {
  cnet_handle *h;
  int status;
} connection;

static bool is_paused(const cnet_handle *h) { return h->pauses > 0 && h->pauses == h->servers; }

/* What cannot be accepted is told in a pause too. */
static void connection_body(lua_State *L, void *arg) {
  connection c = *(connection *)arg;
  if (c.status == 0 && is_paused(c.h)) {
    c.h->client_waits = true;
    return;
  }
  if (!c.h->owner || !c.h->owner->on_connection) return;
  cnet_protect_push_place(L, c.h->place);
  c.h->owner->on_connection(L, lua_gettop(L), c.status);
}

static void waiting_connection_body(lua_State *L, void *arg) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, event, arg);
  connection c = {h, h->event.status};
  if (h->life == CNET_HANDLE_CLIENT_WAITS) h->life = CNET_HANDLE_LISTENS;
  connection_body(L, &c);
}

static void waiting_connection_drop(cnet_event *event) { (void)event; /* the handle is closed with the loop */ }

/* A descriptor to give up when there are no more. */
typedef struct {
  bool open;
  int fd;
} spare;

static void open_spare(spare *s) {
  s->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
  s->open = s->fd >= 0;
}

static void close_spare(void *state) {
  spare *s = state;
  if (s->open) close(s->fd);
  s->open = false;
}

static const cnet_room room = {sizeof(spare), close_spare};

/* Without a descriptor to spare libuv closes the clients that wait, which keeps it from asking for them again and
 * again. It needs one in reserve for that, and where it has lost it, it never returns: then the clients are let go
 * here, by a descriptor freed for a moment. */
static void let_clients_go(cnet_handle *h) {
  spare *s = cnet_rooms_get(&h->rt->rooms, &room);
  int client, listener = cnet_handle_fd(h), fd = fcntl(listener, F_DUPFD_CLOEXEC, 0);
  if (fd >= 0) { /* there is one again */
    close(fd);
    return;
  }
  if (!s || !s->open) return;
  close_spare(s);
  while ((client = accept4(listener, NULL, NULL, SOCK_CLOEXEC)) >= 0) close(client);
  open_spare(s);
}

static void on_connection(uv_stream_t *uv, int status) {
  cnet_handle *h = CNET_CONTAINER(cnet_handle, uv, uv);
  connection c = {h, status};
  if (status == UV_EMFILE || status == UV_ENFILE) let_clients_go(h);
  if (h->rt->closed || !h->owner) return;
  if (status == 0 && is_paused(h)) {
    h->client_waits = true;
  } else if (!cnet_runtime_stop_if_held(h->rt)) {
    cnet_protect(h->rt, CNET_PHASE_POLL, connection_body, &c);
  } else if (h->life == CNET_HANDLE_LISTENS) { /* libuv polls the listener no more until the client is accepted */
    h->life = CNET_HANDLE_CLIENT_WAITS;
    h->event.deliver = waiting_connection_body;
    h->event.drop = waiting_connection_drop;
    cnet_deliver(h->rt, &h->event, status);
  }
}

void cnet_handle_add_server(cnet_handle *h, bool paused) {
  h->servers++;
  if (paused) h->pauses++;
}

void cnet_handle_remove_server(cnet_handle *h, bool paused) {
  h->servers--;
  if (paused) h->pauses--;
}

void cnet_handle_set_paused(cnet_handle *h, bool paused) {
  if (paused) {
    h->pauses++;
  } else {
    h->pauses--;
  }
}

bool cnet_handle_take_waiting(cnet_handle *h) {
  if (!h->client_waits || is_paused(h) || cnet_handle_is_closing(h)) return false;
  h->client_waits = false;
  return true;
}

/* Once more, for another server: libuv would poll for the next client, and end the process over one that it has in
 * hand. */
static int listen_again(cnet_handle *h, int backlog) {
  return listen(cnet_handle_fd(h), backlog) == 0 ? 0 : uv_translate_sys_error(errno);
}

static int begin_to_listen(cnet_handle *h, int backlog) {
  if (cnet_handle_is_closing(h)) return UV_EBADF;
  return h->life == CNET_HANDLE_OPEN ? uv_listen(&h->uv.stream, backlog, on_connection) : listen_again(h, backlog);
}

int cnet_handle_listen(cnet_handle *h, int backlog) {
  spare *s = cnet_rooms_get(&h->rt->rooms, &room);
  int status = s ? begin_to_listen(h, backlog) : UV_ENOMEM;
  if (s && !s->open) open_spare(s);
  if (status == 0 && h->life == CNET_HANDLE_OPEN) h->life = CNET_HANDLE_LISTENS;
  return status;
}

cnet_handle *cnet_handle_accept(cnet_handle *server, int *status) {
  cnet_handle *h = cnet_handle_new(server->rt, server->kind, status);
  if (!h) return NULL;
  *status = uv_accept(&server->uv.stream, &h->uv.stream);
  if (*status == 0) return h;
  cnet_handle_abandon(h);
  return NULL;
}
