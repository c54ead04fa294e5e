/* A host that makes Lua states, runs a script in each and closes them while all that the script opened is open. Each
 * state must close in time, give back its descriptors and its memory; the sanitizers tell of the rest. Started by
 * teardown.sh.
 *
 *   teardown [-n STATES] [-t THREADS] SCRIPT
 *
 * Each thread makes STATES states, one after the other. A script has: state, its number; jump(...), which raises its
 * first argument by longjmp through C; nap(ms). What it returns, if a function, is called by the host until it returns
 * without an error. Names that begin with "slow" take the resolver 20 ms, and are not found. */
#include <dirent.h>
#include <lauxlib.h>
#include <lualib.h>
#include <netdb.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { THREADS_MAX = 16, LONGEST_STATE = 20 /* s */, SLOW = 20 /* ms */ };

static const char *script;
static long states = 100;
static atomic_long finished, errors_raised, lookups;
static atomic_bool bad;

static void nap(long ms) {
  struct timespec time = {ms / 1000, ms % 1000 * 1000000};
  nanosleep(&time, NULL);
}

/* In place of the system's: no name of this trial needs it. */
int getaddrinfo(const char *name, const char *service, const struct addrinfo *hints, struct addrinfo **found) {
  (void)service, (void)hints, (void)found;
  atomic_fetch_add(&lookups, 1);
  if (name && strncmp(name, "slow", 4) == 0) nap(SLOW);
  return EAI_NONAME;
}

static int l_nap(lua_State *L) {
  nap((long)luaL_checkinteger(L, 1));
  return 0;
}

static int l_jump(lua_State *L) {
  lua_settop(L, 1);
  return lua_error(L);
}

static int prepare(lua_State *L) {
  luaL_openlibs(L);
  lua_register(L, "nap", l_nap);
  lua_register(L, "jump", l_jump);
  lua_pushvalue(L, 1);
  lua_setglobal(L, "state");
  return 0;
}

static void complain(lua_State *L) {
  fprintf(stderr, "%s: %s\n", script, luaL_tolstring(L, -1, NULL));
  atomic_store(&bad, true);
}

static void run(long number) {
  lua_State *L = luaL_newstate();
  long rounds = 0;
  if (!L) exit(2);
  lua_pushcfunction(L, prepare);
  lua_pushinteger(L, number);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK || luaL_loadfile(L, script) != LUA_OK || lua_pcall(L, 0, 1, 0) != LUA_OK)
    complain(L);
  while (lua_isfunction(L, 1)) {
    lua_settop(L, 1);
    lua_pushvalue(L, 1);
    if (lua_pcall(L, 0, 0, 0) == LUA_OK) break;
    if (lua_type(L, -1) == LUA_TSTRING && strncmp(lua_tostring(L, -1), "BAD", 3) == 0) complain(L);
    atomic_fetch_add(&errors_raised, 1);
    if (++rounds > 100000) {
      fprintf(stderr, "%s: no end of errors\n", script);
      atomic_store(&bad, true);
      break;
    }
  }
  lua_close(L);
  atomic_fetch_add(&finished, 1);
}

static void *thread(void *first) {
  long i;
  for (i = 0; i < states && !atomic_load(&bad); i++) run((long)(size_t)first + i);
  return NULL;
}

/* A state that does not end is told by the shell: the process is killed. */
static void *watchdog(void *arg) {
  long before = -1;
  (void)arg;
  for (;;) {
    long now = atomic_load(&finished);
    if (now == before) {
      fprintf(stderr, "%s: state %ld hangs\n", script, now);
      abort();
    }
    before = now;
    nap(LONGEST_STATE * 1000);
  }
  return NULL;
}

static int descriptors(void) {
  int n = 0;
  DIR *folder = opendir("/proc/self/fd");
  while (folder && readdir(folder)) n++;
  if (folder) closedir(folder);
  return n;
}

static long resident(void) { /* KiB */
  long pages = 0, skipped;
  FILE *file = fopen("/proc/self/statm", "r");
  if (file && fscanf(file, "%ld %ld", &skipped, &pages) != 2) pages = 0;
  if (file) fclose(file);
  return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

int main(int argc, char **argv) {
  pthread_t threads[THREADS_MAX], dog;
  int option, before, after, count = 1, i;
  long rss;
  while ((option = getopt(argc, argv, "n:t:")) != -1) {
    if (option == 'n') states = atol(optarg);
    if (option == 't') count = atoi(optarg);
  }
  if (optind >= argc || count < 1 || count > THREADS_MAX) return 2;
  script = argv[optind];
  if (pthread_create(&dog, NULL, watchdog, NULL) != 0) return 2;
  run(0); /* libuv opens its own at the first */
  before = descriptors();
  rss = resident();
  for (i = 0; i < count; i++)
    if (pthread_create(&threads[i], NULL, thread, (void *)(size_t)(1 + i * states)) != 0) return 2;
  for (i = 0; i < count; i++) pthread_join(threads[i], NULL);
  after = descriptors();
  if (after != before) {
    fprintf(stderr, "%s: %d descriptors before, %d after\n", script, before, after);
    atomic_store(&bad, true);
  }
  printf("%s: %ld states on %d thread%s, %ld errors through C, %ld lookups, resident %+ld KiB: %s\n", script,
         atomic_load(&finished), count, count > 1 ? "s" : "", atomic_load(&errors_raised), atomic_load(&lookups),
         resident() - rss, atomic_load(&bad) ? "BAD" : "good");
  return atomic_load(&bad) ? 1 : 0;
}
