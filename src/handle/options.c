#include "handle/options.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

/* ---- addresses ---- */

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

/* ---- options ---- */

int cnet_handle_set_nodelay(cnet_handle *h, bool on) {
  if (h->kind != CNET_HANDLE_TCP) return 0;
  h->no_delay = on;
  h->pushes = false;
  return uv_tcp_nodelay(&h->uv.tcp, on);
}

void cnet_handle_set_pushes(cnet_handle *h, bool on) {
  int fd = cnet_handle_fd(h), value = 0;
  socklen_t size = sizeof value;
  if (on && getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, &size) == 0 && value) {
    h->no_delay = true; /* the socket came from elsewhere with it */
    return;
  }
  value = on;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &value, sizeof value);
  h->pushes = on;
}

int cnet_handle_set_keepalive(cnet_handle *h, bool on, int delay, int interval, int count) {
  int fd = cnet_handle_fd(h), status;
  if (h->kind != CNET_HANDLE_TCP) return 0;
  /* libuv sets TCP_KEEPIDLE too, and 0 is not allowed there: without a delay the system's stays */
  if (on && delay <= 0) {
    int one = 1;
    status = setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 ? 0 : uv_translate_sys_error(errno);
  } else {
    status = uv_tcp_keepalive(&h->uv.tcp, on, (unsigned)delay); /* not looked at where it is below 0: off */
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
