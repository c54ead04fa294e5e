/* Preloaded into a random program, and so into its children: what would harm the machine fails, whatever the program
 * asks for. Connections leave neither the machine nor the folder, signals reach own children only, nothing is run but
 * lua5.4, and a child ends with its parent.
 *
 * Descriptors that a program may take by their numbers are opened at FIRST_FD and after. */
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

enum { FIRST_FD = 230 };

/* The next function of this name, as one of another type. */
static void *next(const char *name) { return dlsym(RTLD_NEXT, name); }

static bool is_near(const struct sockaddr *address) {
  static const unsigned char mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xFF, 0xFF};
  const struct in6_addr *six = &((const struct sockaddr_in6 *)address)->sin6_addr;
  uint32_t four = ((const struct sockaddr_in *)address)->sin_addr.s_addr;
  if (address->sa_family == AF_INET6) {
    if (IN6_IS_ADDR_LOOPBACK(six) || IN6_IS_ADDR_UNSPECIFIED(six)) return true;
    if (memcmp(six, mapped, sizeof mapped) != 0) return false;
    memcpy(&four, six->s6_addr + 12, 4);
  } else if (address->sa_family == AF_UNIX) {
    return ((const struct sockaddr_un *)address)->sun_path[0] != '/';
  } else if (address->sa_family != AF_INET) {
    return true;
  }
  return four == 0 || ntohl(four) >> 24 == 127;
}

int connect(int fd, const struct sockaddr *address, socklen_t size) {
  int (*real)(int, const struct sockaddr *, socklen_t);
  *(void **)&real = next("connect");
  if (is_near(address)) return real(fd, address, size);
  errno = ENETUNREACH;
  return -1;
}

int bind(int fd, const struct sockaddr *address, socklen_t size) {
  int (*real)(int, const struct sockaddr *, socklen_t);
  *(void **)&real = next("bind");
  if (address->sa_family != AF_UNIX || is_near(address)) return real(fd, address, size);
  errno = EACCES;
  return -1;
}

int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **out) {
  int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
  struct addrinfo asked;
  *(void **)&real = next("getaddrinfo");
  memset(&asked, 0, sizeof asked);
  if (hints) asked = *hints;
  if (name && strcmp(name, "localhost") != 0) asked.ai_flags |= AI_NUMERICHOST; /* nobody is asked */
  return real(name, service, &asked, out);
}

int kill(pid_t pid, int number) {
  int (*real)(pid_t, int);
  siginfo_t info;
  *(void **)&real = next("kill");
  if (pid > 1 && (number == 0 || waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0))
    return real(pid, number);
  errno = EPERM;
  return -1;
}

static bool may_run(const char *file) {
  size_t n = strlen(file);
  return n >= 6 && strcmp(file + n - 6, "lua5.4") == 0;
}

int execvp(const char *file, char *const arguments[]) {
  int (*real)(const char *, char *const[]);
  *(void **)&real = next("execvp");
  if (may_run(file)) return real(file, arguments);
  errno = ENOENT;
  return -1;
}

/* ---- descriptors to take ---- */

static int place = FIRST_FD;

static void put(int fd) {
  if (fd < 0) return;
  fcntl(fd, F_DUPFD_CLOEXEC, place++);
  close(fd);
}

static void open_some(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t size = sizeof address;
  int listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), client, pair[2];
  if (bind(listening, (struct sockaddr *)&address, size) == 0 && listen(listening, 5) == 0 &&
      getsockname(listening, (struct sockaddr *)&address, &size) == 0) {
    client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(client, (struct sockaddr *)&address, size) == 0) put(accept(listening, NULL, NULL));
    put(client);
  }
  put(listening);
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0) {
    put(pair[0]);
    put(pair[1]);
  }
  if (pipe2(pair, O_CLOEXEC) == 0) {
    put(pair[0]);
    put(pair[1]);
  }
  put(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  put(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)); /* bound to nothing */
  put(open("/dev/null", O_RDWR | O_CLOEXEC));
  put(open("/proc/self/stat", O_RDONLY | O_CLOEXEC)); /* a file */
}

/* A port where somebody listens who has no more room: its number is in the environment. It is never closed. */
static void listen_silently(void) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_ANY)};
  socklen_t size = sizeof address;
  char port[8];
  int i, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (bind(fd, (struct sockaddr *)&address, size) != 0 || listen(fd, 0) != 0 ||
      getsockname(fd, (struct sockaddr *)&address, &size) != 0)
    return;
  snprintf(port, sizeof port, "%d", ntohs(address.sin_port));
  setenv("FENCE_SILENT_PORT", port, 1);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  for (i = 0; i < 3; i++) {
    int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    connect(client, (struct sockaddr *)&address, size);
  }
}

__attribute__((constructor)) static void begin(void) {
  if (getenv("NODE_CHANNEL_FD")) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
  } else {
    open_some();
    listen_silently();
  }
}
