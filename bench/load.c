/* The load generator: starts echo servers, talks to them in turn in short slices, checks every byte that comes back.
 *
 *   load [-m echo|churn|idle] [-c CONNECTIONS] [-s SIZE] [-d DEPTH] [-w WARM_MS] [-r ROUNDS] [-t SLICE_MS]
 *        [-k MESSAGES] COMMAND...
 *
 * A COMMAND is a server that prints the port it listens on. The servers run on the first CPU, this program on the last.
 *   echo   SIZE bytes on each of CONNECTIONS connections, DEPTH of them on the way at a time; at the end each
 *          connection is shut down and the server has to end it too, with not a byte more
 *   churn  each message on a connection of its own, CONNECTIONS of them at a time
 *   idle   what CONNECTIONS connections cost in memory: when they are made, and after one message on each
 * Prints a line of KEY=VALUE for each server, or server=N broken=WHY; exit status 1 if one is broken. Ratios are to the
 * first server, and higher is better. -k: no rounds, but exactly so many messages to each server.
 *
 * Machines are noisy, so no figure stands alone: a round gives each server a slice of a few milliseconds, and ratios
 * are taken within the round; the median of them is printed. After a slice the server is left to fall asleep before its
 * CPU time is read. Rounds in which the kernel or the hypervisor took a CPU away are left out, if enough others remain.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PERIOD 65521 /* of the bytes that are sent: a prime, so that lost, doubled and swapped pieces never match */
#define CHUNK 262144
#define EVENTS 1024
#define PATIENCE 10000 /* ms */
#define BUCKETS (64 * 64)

typedef struct {
  int fd;
  uint32_t shift;                  /* where in the pattern the connection begins: each elsewhere */
  uint64_t wanted, sent, received; /* bytes */
  uint64_t answered;               /* messages */
  uint64_t *begun;                 /* when the messages on the way were asked for: a ring of DEPTH */
} connection;

typedef struct {
  const char *command, *broken;
  pid_t pid;
  struct sockaddr_in address;
  int epoll, count;
  connection *connections;
  double *rate, *cpu; /* of each round */
  bool *clean;
  uint64_t latency[BUCKETS], latencies;
} server;

static enum { ECHO, CHURN, IDLE } mode = ECHO;
static int connections = 1, depth = 1, rounds = 100;
static uint64_t size = 64, warm_ms = 100, slice_ms = 10, messages;
static int server_cpu = -1, own_cpu = -1;
static server *servers;
static int server_count;
static unsigned char pattern[PERIOD + CHUNK], buffer[CHUNK];

static void kill_servers(void) {
  for (int i = 0; i < server_count; i++) {
    if (servers[i].pid > 0) kill(-servers[i].pid, SIGKILL);
  }
}

static void on_signal(int number) {
  kill_servers();
  _exit(128 + number);
}

static void die(const char *what) {
  fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
  kill_servers();
  exit(2);
}

static void *zeroed(size_t count, size_t width) {
  void *memory = calloc(count, width);
  if (!memory) die("calloc");
  return memory;
}

static uint64_t nanoseconds(clockid_t clock) {
  struct timespec t;
  if (clock_gettime(clock, &t) != 0) return 0;
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static uint64_t now(void) { return nanoseconds(CLOCK_MONOTONIC); }

static void *broken(server *s, const char *format, uint64_t a, uint64_t b) {
  static char text[256];
  if (s->broken) return NULL;
  snprintf(text, sizeof text, format, (unsigned long long)a, (unsigned long long)b);
  s->broken = strdup(text);
  return NULL;
}

/* ---- the machine ---- */

static void pin(int cpu) {
  cpu_set_t set;
  if (cpu < 0) return;
  CPU_ZERO(&set);
  CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) die("sched_setaffinity");
}

static void take_cpus(void) {
  cpu_set_t set;
  int first = -1, last = -1;
  if (sched_getaffinity(0, sizeof set, &set) != 0) die("sched_getaffinity");
  for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
    if (!CPU_ISSET(cpu, &set)) continue;
    if (first < 0) first = cpu;
    last = cpu;
  }
  if (first == last) {
    fprintf(stderr, "load: one CPU only, so the servers and the load share it\n");
    return;
  }
  server_cpu = first;
  own_cpu = last;
  pin(own_cpu);
}

/* Lets CONNECTIONS descriptors be open, here and in the servers, or lowers CONNECTIONS. */
static void take_descriptors(void) {
  struct rlimit limit;
  rlim_t spare = 100, need = (rlim_t)connections + spare;
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= need) return;
  struct rlimit wish = {need, limit.rlim_max > need ? limit.rlim_max : need};
  if (setrlimit(RLIMIT_NOFILE, &wish) == 0) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= need) return;
  connections = (int)(limit.rlim_cur - spare);
  fprintf(stderr, "load: only %d connections: more descriptors are not to be had (ulimit -Hn)\n", connections);
}

/* The number in the column after the label in a file of /proc. */
static uint64_t proc(const char *path, const char *label, int column) {
  char line[512];
  unsigned long long value = 0;
  FILE *file = fopen(path, "r");
  if (!file) return 0;
  while (fgets(line, sizeof line, file)) {
    if (strncmp(line, label, strlen(label)) != 0) continue;
    char *word = strtok(line + strlen(label), " \t");
    while (word && --column > 0) word = strtok(NULL, " \t");
    if (word) value = strtoull(word, NULL, 10);
    break;
  }
  fclose(file);
  return value;
}

static uint64_t proc_status(const server *s, const char *label) {
  char path[64];
  snprintf(path, sizeof path, "/proc/%d/status", (int)s->pid);
  return proc(path, label, 1);
}

/* How often a CPU was taken from the server or from this program. */
static uint64_t disturbances(const server *s) {
  struct rusage usage;
  char label[2][16];
  snprintf(label[0], sizeof label[0], "cpu%d ", server_cpu);
  snprintf(label[1], sizeof label[1], "cpu%d ", own_cpu);
  getrusage(RUSAGE_SELF, &usage);
  return (uint64_t)usage.ru_nivcsw + proc_status(s, "nonvoluntary_ctxt_switches:") + proc("/proc/stat", label[0], 8) +
         proc("/proc/stat", label[1], 8);
}

static uint64_t cpu_time(const server *s) {
  clockid_t clock;
  return clock_getcpuclockid(s->pid, &clock) == 0 ? nanoseconds(clock) : 0;
}

/* The server's CPU time once it sleeps. */
static uint64_t settled_cpu_time(const server *s) {
  uint64_t before, after = cpu_time(s);
  do {
    before = after;
    usleep(500);
    after = cpu_time(s);
  } while (after != before);
  return after;
}

/* ---- the servers ---- */

static void start(server *s) {
  int out[2];
  char line[64] = "";
  pid_t parent = getpid();
  if (pipe(out) != 0) die("pipe");
  s->pid = fork();
  if (s->pid < 0) die("fork");
  if (s->pid == 0) {
    char *exec = zeroed(strlen(s->command) + sizeof "exec ", 1);
    setpgid(0, 0);
    signal(SIGINT, SIG_DFL);
    signal(SIGTERM, SIG_DFL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(1);
    pin(server_cpu);
    dup2(out[1], STDOUT_FILENO);
    close(out[0]);
    close(out[1]);
    sprintf(exec, "exec %s", s->command);
    execl("/bin/sh", "sh", "-c", exec, (char *)NULL);
    _exit(127);
  }
  close(out[1]);
  struct pollfd readable = {.fd = out[0], .events = POLLIN};
  if (poll(&readable, 1, 6 * PATIENCE) == 1 && read(out[0], line, sizeof line - 1) < 0) die("read");
  s->address.sin_family = AF_INET;
  s->address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  s->address.sin_port = htons((uint16_t)atoi(line));
  if (!s->address.sin_port) broken(s, "does not start: printed no port", 0, 0);
  s->epoll = epoll_create1(EPOLL_CLOEXEC);
}

static void stop(server *s) {
  kill(-s->pid, SIGTERM);
  for (int i = 0; i < PATIENCE / 10; i++) {
    if (waitpid(s->pid, NULL, WNOHANG) == s->pid) {
      s->pid = 0;
      return;
    }
    usleep(10000);
  }
  kill(-s->pid, SIGKILL);
  waitpid(s->pid, NULL, 0);
  s->pid = 0;
}

/* ---- a connection ---- */

static void open_connection(server *s, connection *c) {
  static uint32_t serial;
  int yes = 1;
  uint64_t *begun = c->begun ? c->begun : zeroed((size_t)depth, sizeof *begun);
  *c = (connection){.begun = begun, .shift = serial * 7919u % PERIOD};
  c->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (c->fd < 0) die("socket");
  setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  if (mode == CHURN) { /* from many addresses, or the ports would run out */
    struct sockaddr_in from = {.sin_family = AF_INET};
    from.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 0x100u + serial % 200 + (serial / 200 % 10 << 8));
    setsockopt(c->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &yes, sizeof yes);
    if (bind(c->fd, (struct sockaddr *)&from, sizeof from) != 0) die("bind");
  }
  serial++;
  if (connect(c->fd, (struct sockaddr *)&s->address, sizeof s->address) != 0) {
    broken(s, "refuses a connection", 0, 0);
    return;
  }
  struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLET, .data.ptr = c};
  if (epoll_ctl(s->epoll, EPOLL_CTL_ADD, c->fd, &event) != 0) die("epoll_ctl");
}

static void request(connection *c, uint64_t time) {
  c->begun[c->wanted / size % (uint64_t)depth] = time;
  c->wanted += size;
}

static void flush(server *s, connection *c) {
  while (c->sent < c->wanted && !s->broken) {
    uint64_t length = c->wanted - c->sent < CHUNK ? c->wanted - c->sent : CHUNK;
    ssize_t n = send(c->fd, pattern + (c->sent + c->shift) % PERIOD, length, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (n < 0 && errno == EAGAIN) return;
    if (n < 0) broken(s, "connection lost after %llu bytes", c->received, 0);
    if (n > 0) c->sent += (uint64_t)n;
  }
}

static void check(server *s, connection *c, size_t length) {
  const unsigned char *expected = pattern + (c->received + c->shift) % PERIOD;
  if (c->received + length > c->sent) {
    broken(s, "WRONG BYTES: %llu came, %llu were sent", c->received + length, c->sent);
  } else if (memcmp(buffer, expected, length) != 0) {
    size_t at = 0;
    while (buffer[at] == expected[at]) at++;
    broken(s, "WRONG BYTES: byte %llu of a connection is not what was sent", c->received + at, 0);
  }
  c->received += length;
}

/* Reads and checks all that is there; returns whether anything was. */
static bool receive(server *s, connection *c) {
  uint64_t before = c->received;
  ssize_t n;
  do {
    n = recv(c->fd, buffer, sizeof buffer, MSG_DONTWAIT);
    if (n > 0) check(s, c, (size_t)n);
    if (n == 0 || (n < 0 && errno != EAGAIN)) broken(s, "connection lost after %llu bytes", c->received, 0);
  } while (n == sizeof buffer && !s->broken);
  return c->received > before;
}

/* The other end has to end too when this one does, with nothing more to say. */
static void close_connection(server *s, connection *c, bool politely) {
  struct pollfd readable = {.fd = c->fd, .events = POLLIN};
  if (politely && !s->broken) {
    shutdown(c->fd, SHUT_WR);
    if (poll(&readable, 1, PATIENCE) != 1) {
      broken(s, "does not end a connection", 0, 0);
    } else if (recv(c->fd, buffer, 1, MSG_DONTWAIT) != 0) {
      broken(s, "WRONG BYTES: more than %llu came", c->received, 0);
    }
  }
  close(c->fd);
}

/* ---- latencies: 64 buckets for each power of two, so to within 1.6 % ---- */

static void count_latency(server *s, uint64_t ns) {
  int power = ns < 64 ? 0 : 57 - __builtin_clzll(ns);
  s->latency[(uint64_t)power * 64 + (ns >> power)]++;
  s->latencies++;
}

static double latency(const server *s, double quantile) {
  uint64_t sum = 0, wanted = (uint64_t)(quantile * (double)s->latencies);
  for (uint64_t i = 0; i < BUCKETS; i++) {
    sum += s->latency[i];
    if (sum > wanted) return i < 128 ? (double)i : (double)((i % 64 + 64) << (i / 64 - 1));
  }
  return 0;
}

/* ---- slices and rounds ---- */

/* As many messages as there is time for, LIMIT at most, from the newest connection on, until all are answered. Returns
 * their number, and how long it took. */
static uint64_t slice(server *s, uint64_t ms, uint64_t limit, uint64_t *elapsed) {
  struct epoll_event events[EVENTS];
  uint64_t begin = now(), end = begin + ms * 1000000u, last = begin, issued = 0, answered = 0;
  int busy = 0;
  for (int i = s->count; i-- > 0 && issued < limit && !s->broken;) {
    connection *c = &s->connections[i];
    if (mode == CHURN) open_connection(s, c);
    for (int k = 0; k < depth && issued < limit; k++, issued++) request(c, begin);
    flush(s, c);
    busy++;
  }
  while (busy > 0 && !s->broken) {
    int n = epoll_wait(s->epoll, events, EVENTS, PATIENCE);
    if (n == 0) broken(s, "no answer for %llu s", PATIENCE / 1000, 0);
    for (int i = 0; i < n && !s->broken; i++) {
      connection *c = events[i].data.ptr;
      flush(s, c);
      if (!receive(s, c)) continue;
      last = now();
      for (; c->answered < c->received / size; c->answered++, answered++) {
        count_latency(s, last - c->begun[c->answered % (uint64_t)depth]);
        if (mode == CHURN || last >= end || issued == limit) continue;
        request(c, last);
        issued++;
      }
      flush(s, c);
      if (c->received < c->wanted) continue;
      if (mode == CHURN) close_connection(s, c, false);
      if (mode == CHURN && last < end && issued < limit) {
        open_connection(s, c);
        request(c, now());
        issued++;
        flush(s, c);
      } else {
        busy--;
      }
    }
  }
  *elapsed = last - begin;
  return answered;
}

static void open_connections(server *s, int count) {
  uint64_t elapsed;
  s->connections = zeroed((size_t)count, sizeof *s->connections);
  if (mode == CHURN) s->count = count; /* they come and go */
  while (s->count < count && !s->broken) {
    open_connection(s, &s->connections[s->count++]);
    /* an echo now and then: nobody's backlog overflows, and all are accepted */
    if (s->count % 100 == 0 || s->count == count) slice(s, 0, 1, &elapsed);
  }
}

static void close_connections(server *s) {
  for (int i = 0; i < s->count && mode != CHURN; i++) close_connection(s, &s->connections[i], true);
}

static void run_round(server *s, int round) {
  uint64_t elapsed, noise = disturbances(s), cpu = settled_cpu_time(s);
  uint64_t count = slice(s, slice_ms, UINT64_MAX, &elapsed);
  if (s->broken) return;
  cpu = settled_cpu_time(s) - cpu;
  s->clean[round] = disturbances(s) == noise;
  s->rate[round] = (double)count * 1e9 / (double)elapsed;
  s->cpu[round] = (double)cpu / (double)count;
}

static void forget_latencies(server *s) {
  memset(s->latency, 0, sizeof s->latency);
  s->latencies = 0;
}

static void run_rounds(void) {
  uint64_t elapsed;
  for (int i = 0; i < server_count; i++) {
    servers[i].rate = zeroed((size_t)rounds, sizeof(double));
    servers[i].cpu = zeroed((size_t)rounds, sizeof(double));
    servers[i].clean = zeroed((size_t)rounds, sizeof(bool));
    if (!servers[i].broken) slice(&servers[i], warm_ms, UINT64_MAX, &elapsed);
    forget_latencies(&servers[i]);
  }
  for (int round = 0; round < rounds; round++) { /* in turn from another one, and there and back */
    for (int i = 0; i < server_count; i++) {
      int turn = (i + round / 2) % server_count;
      server *s = &servers[round % 2 ? server_count - 1 - turn : turn];
      if (!s->broken) run_round(s, round);
    }
  }
}

/* ---- figures ---- */

static int compare(const void *a, const void *b) {
  double x = *(const double *)a, y = *(const double *)b;
  return (x > y) - (x < y);
}

static double median(double *values, int count) {
  qsort(values, (size_t)count, sizeof *values, compare);
  return count ? (values[count / 2] + values[(count - 1) / 2]) / 2 : 0;
}

static void print_rounds(const server *s, const server *reference) {
  double *values[4];
  int clean = 0, used = 0;
  for (int i = 0; i < rounds; i++) clean += s->clean[i] && reference->clean[i];
  for (int i = 0; i < 4; i++) values[i] = zeroed((size_t)rounds, sizeof(double));
  for (int i = 0; i < rounds; i++) {
    if (clean >= rounds / 4 && clean >= 5 && !(s->clean[i] && reference->clean[i])) continue;
    values[0][used] = s->cpu[i];
    values[1][used] = s->rate[i];
    values[2][used] = reference->cpu[i] / s->cpu[i];
    values[3][used++] = s->rate[i] / reference->rate[i];
  }
  printf("cpu=%.0f rate=%.0f cpu_ratio=%.4f rate_ratio=%.4f rounds=%d clean=%d", median(values[0], used),
         median(values[1], used), median(values[2], used), median(values[3], used), rounds, clean);
  const char *names[] = {"p50", "p99", "p999"};
  const double quantiles[] = {0.5, 0.99, 0.999};
  for (int i = 0; i < 3; i++) {
    double own = latency(s, quantiles[i]);
    printf(" %s=%.0f %s_ratio=%.4f", names[i], own, names[i], latency(reference, quantiles[i]) / own);
  }
}

/* Memory is told apart from what a server needs to run at all by a few connections that come first. */
static void print_idle(server *s) {
  static const char *labels[] = {"fresh", "used"};
  uint64_t elapsed, resident;
  open_connections(s, 5);
  slice(s, 0, 5, &elapsed);
  settled_cpu_time(s);
  resident = proc_status(s, "VmRSS:");
  s->count = 0;
  open_connections(s, connections);
  printf("connections=%d", connections);
  for (int i = 0; i < 2; i++) {
    if (i == 1) slice(s, 0, (uint64_t)connections, &elapsed);
    settled_cpu_time(s);
    printf(" %s=%.0f", labels[i], ((double)proc_status(s, "VmRSS:") - (double)resident) * 1024 / connections);
  }
}

static void read_options(int argc, char **argv) {
  for (int o; (o = getopt(argc, argv, "m:c:s:d:w:r:t:k:")) != -1;) {
    uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
    if (o == 'm') mode = *optarg == 'c' ? CHURN : *optarg == 'i' ? IDLE : ECHO;
    if (o == 'c') connections = (int)number;
    if (o == 's') size = number;
    if (o == 'd') depth = (int)number;
    if (o == 'w') warm_ms = number;
    if (o == 'r') rounds = (int)number;
    if (o == 't') slice_ms = number;
    if (o == 'k') messages = number;
    if (o == '?' || (o != 'm' && number == 0)) exit(2);
  }
}

int main(int argc, char **argv) {
  uint64_t random = 88172645463325252u, elapsed;
  bool good = true;
  read_options(argc, argv);
  servers = zeroed((size_t)(argc - optind), sizeof *servers);
  server_count = argc - optind;
  signal(SIGINT, on_signal);
  signal(SIGTERM, on_signal);
  for (size_t i = 0; i < sizeof pattern; i++) {
    random = random * 6364136223846793005u + 1442695040888963407u;
    pattern[i] = i < PERIOD ? (unsigned char)(random >> 56) : pattern[i - PERIOD];
  }
  take_cpus();
  take_descriptors();
  for (int i = 0; i < server_count; i++) {
    server *s = &servers[i];
    s->command = argv[optind + i];
    start(s);
    if (mode != IDLE) open_connections(s, connections);
    if (messages && !s->broken) slice(s, 0xffffffff, messages, &elapsed);
  }
  if (mode != IDLE && !messages) run_rounds();
  for (int i = 0; i < server_count; i++) {
    server *s = &servers[i];
    printf("server=%d ", i + 1);
    if (mode == IDLE && !s->broken) print_idle(s);
    close_connections(s);
    if (!s->broken && mode != IDLE && !messages) print_rounds(s, &servers[0]);
    if (s->broken) printf(" broken=%s", s->broken);
    good = good && !s->broken;
    printf("\n");
    fflush(stdout);
    stop(s);
  }
  return good ? 0 : 1;
}
