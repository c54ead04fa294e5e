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
  if (on && (delay == 0 || interval == 0 || count == 0)) { /* the system's values stay, all of them */
    int one = 1;
    return setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &one, sizeof one) == 0 ? 0 : uv_translate_sys_error(errno);
  }
  status = uv_tcp_keepalive(&h->uv.tcp, on, (unsigned)delay); /* with a second between probes, and ten of them */
  if (status < 0 || !on) return status;
  if (interval > 0 && setsockopt(fd, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval) != 0)
    return uv_translate_sys_error(errno);
  if (count > 0 && setsockopt(fd, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count) != 0)
    return uv_translate_sys_error(errno);
  return 0;
}

/* An IPv6 socket has both: the IPv4 one serves mapped addresses, and may be refused. */
int cnet_handle_set_tos(cnet_handle *h, int tos) {
  cnet_address address;
  int fd = cnet_handle_fd(h), status = fd < 0 ? UV_EBADF : cnet_handle_sockname(h, &address);
  if (status < 0) return status; /* EBADF, as in Node, before a socket that connects has a descriptor */
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
  int fd = cnet_handle_fd(h), status = fd < 0 ? UV_EBADF : cnet_handle_sockname(h, &address);
  bool six;
  if (status < 0) return status;
  six = address.family == 6;
  if (getsockopt(fd, six ? IPPROTO_IPV6 : IPPROTO_IP, six ? IPV6_TCLASS : IP_TOS, tos, &size) != 0)
    return uv_translate_sys_error(errno);
  return 0;
}

int cnet_handle_buffer_size(cnet_handle *h, cnet_buffer which, int *size) {
  if (cnet_handle_fd(h) < 0) return UV_EBADF;
  return (which == CNET_RECV_BUFFER ? uv_recv_buffer_size : uv_send_buffer_size)(&h->uv.handle, size);
}

/* POSIX: Linux's way. Other systems have getpeereid, without the pid. */
int cnet_handle_credentials(cnet_handle *h, cnet_credentials *out) {
  struct ucred peer;
  struct sockaddr_storage address;
  socklen_t size = sizeof address;
  int fd = cnet_handle_fd(h);
  if (getsockname(fd, (struct sockaddr *)&address, &size) != 0 || address.ss_family != AF_UNIX) return UV_ENOTSUP;
  size = sizeof peer;
  if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) != 0) return uv_translate_sys_error(errno);
  out->pid = peer.pid;
  out->uid = peer.uid;
  out->gid = peer.gid;
  return 0;
}
