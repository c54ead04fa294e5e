#include "server/listen_handle.h"

#include <string.h>

#include "handle/listen.h"

static void set_address(cnet_listen_handle_place *at, const char *address, size_t length) {
  at->address = address;
  at->length = length;
}

/* The handle if it could be bound or opened; else it is closed. */
static cnet_handle *keep_if_good(cnet_handle *h, int status) {
  if (status == 0) return h;
  if (h) cnet_handle_abandon(h);
  return NULL;
}

static cnet_handle *bind_ip(cnet_runtime *rt, const cnet_listen_options *o, const char *ip, int *status) {
  unsigned flags = o->ipv6_only && strchr(ip, ':') ? UV_TCP_IPV6ONLY : 0;
  cnet_handle *h = cnet_handle_new(rt, CNET_HANDLE_TCP, status);
  if (h) *status = cnet_handle_bind(h, ip, o->port, flags, o->reuse_port);
  return keep_if_good(h, *status);
}

/* ip NULL: every address, IPv6's with IPv4's mapped into it, or IPv4's alone where there is no IPv6 */
static cnet_handle *bind_port(cnet_runtime *rt, const cnet_listen_options *o, const char *ip,
                              cnet_listen_handle_place *at, int *status) {
  cnet_handle *h;
  at->port = o->port;
  set_address(at, ip ? ip : "::", ip ? strlen(ip) : 2);
  h = bind_ip(rt, o, at->address, status);
  if (h || ip || o->ipv6_only) return h;
  set_address(at, "0.0.0.0", 7);
  return bind_ip(rt, o, at->address, status);
}

static cnet_handle *bind_path(cnet_runtime *rt, const cnet_listen_options *o, cnet_listen_handle_place *at,
                              int *status) {
  cnet_handle *h = cnet_handle_new(rt, CNET_HANDLE_PIPE, status);
  set_address(at, o->path, o->path_length);
  at->port = -1;
  if (h) *status = cnet_handle_bind_path(h, o->path, o->path_length);
  return keep_if_good(h, *status);
}

static cnet_handle *open_fd(cnet_runtime *rt, int fd, int *status) {
  cnet_handle_kind kind;
  cnet_handle *h;
  *status = cnet_handle_guess(fd, &kind);
  if (*status < 0 || kind == CNET_HANDLE_TTY) {
    *status = UV_EINVAL;
    return NULL;
  }
  h = cnet_handle_new(rt, kind, status);
  if (h) *status = cnet_handle_open(h, fd);
  return keep_if_good(h, *status);
}

/* Another server's or a socket's handle, which both hold from then on. A Unix one Node opens anew by its descriptor,
 * and finds that it is open. */
static cnet_handle *share(cnet_handle *h, cnet_listen_handle_place *at, int *status) {
  *status = h->kind == CNET_HANDLE_TCP ? 0 : UV_EEXIST;
  if (*status < 0) return NULL;
  at->port = -1;
  cnet_handle_share(h);
  return h;
}

cnet_handle *cnet_listen_handle_open(cnet_runtime *rt, const cnet_listen_options *o, const char *ip,
                                     cnet_handle *shared, cnet_listen_handle_place *at, int *status) {
  memset(at, 0, sizeof *at);
  if (shared) return share(shared, at, status);
  if (o->kind == CNET_LISTEN_FD) return open_fd(rt, o->fd, status);
  if (o->kind == CNET_LISTEN_PATH) return bind_path(rt, o, at, status);
  return bind_port(rt, o, ip, at, status);
}
