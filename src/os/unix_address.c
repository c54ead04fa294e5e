#include "os/unix_address.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>
#include <uv.h>

int cnet_unix_check_path(const char *path, size_t length) {
  if (length == 0 || length >= sizeof(((struct sockaddr_un *)0)->sun_path)) return UV_EINVAL;
  return path[0] != '\0' && memchr(path, '\0', length) ? UV_EINVAL : 0;
}

socklen_t cnet_unix_address(const char *path, size_t length, struct sockaddr_un *out) {
  memset(out, 0, sizeof *out);
  out->sun_family = AF_UNIX;
  memcpy(out->sun_path, path, length);
  if (path[0] != '\0') length++; /* an abstract one may have NULs, and ends by its length alone */
  return (socklen_t)(offsetof(struct sockaddr_un, sun_path) + length);
}

int cnet_unix_open(const char *path, size_t length, cnet_unix_use use) {
  struct sockaddr_un address;
  socklen_t size = cnet_unix_address(path, length, &address);
  int status, fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return uv_translate_sys_error(errno);
  if (use(fd, (struct sockaddr *)&address, size) == 0) return fd;
  status = uv_translate_sys_error(errno);
  close(fd);
  return status;
}
