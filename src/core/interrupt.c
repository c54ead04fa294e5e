#include "core/interrupt.h"

#include <stdatomic.h>

#include "core/protect.h"

/* A signal handler can only reach what is global: the runtime that was armed first has the signal. */
static _Atomic(cnet_runtime *) armed;
static volatile sig_atomic_t pending;
static struct sigaction previous;
static atomic_int listeners; /* Lua states whose net.process listens to SIGINT */

static void raise_interrupted(lua_State *L, lua_Debug *ar) {
  (void)ar;
  lua_sethook(L, NULL, 0, 0);
  if (!pending) return;
  pending = 0;
  luaL_error(L, "interrupted!");
}

static void on_sigint(int signum) {
  cnet_runtime *rt = atomic_load(&armed);
  (void)signum;
  if (!rt) return;
  sigaction(SIGINT, &previous, NULL); /* a second Ctrl-C does what it did before net.run */
  pending = 1;
  lua_sethook(rt->L, raise_interrupted, LUA_MASKCALL | LUA_MASKRET | LUA_MASKLINE | LUA_MASKCOUNT, 1);
  uv_async_send(rt->wake);
}

void cnet_interrupt_arm(cnet_runtime *rt) {
  cnet_runtime *none = NULL;
  struct sigaction action = {.sa_handler = on_sigint};
  struct sigaction now;
  if (atomic_load(&listeners) > 0) return;
  sigaction(SIGINT, NULL, &now);
  if (now.sa_handler == SIG_IGN && !(now.sa_flags & SA_SIGINFO)) return; /* a background job stays deaf */
  if (!atomic_compare_exchange_strong(&armed, &none, rt)) return;
  pending = 0;
  sigemptyset(&action.sa_mask);
  sigaction(SIGINT, &action, &previous);
}

void cnet_interrupt_disarm(cnet_runtime *rt) {
  struct sigaction now;
  if (atomic_load(&armed) != rt) return;
  sigaction(SIGINT, NULL, &now);
  if (now.sa_handler == on_sigint) sigaction(SIGINT, &previous, NULL);
  atomic_store(&armed, NULL);
  if (lua_gethook(rt->L) == raise_interrupted) lua_sethook(rt->L, NULL, 0, 0);
}

void cnet_interrupt_listener_came(cnet_runtime *rt) {
  atomic_fetch_add(&listeners, 1);
  cnet_interrupt_disarm(rt);
}

void cnet_interrupt_listener_gone(cnet_runtime *rt) {
  if (atomic_fetch_sub(&listeners, 1) == 1 && rt->turn.running && !rt->closed) cnet_interrupt_arm(rt);
}

void cnet_interrupt_see_through(struct sigaction *action) {
  if (!(action->sa_flags & SA_SIGINFO) && action->sa_handler == on_sigint) *action = previous;
}

static void interrupted_body(lua_State *L, void *arg) {
  (void)arg;
  luaL_error(L, "interrupted!");
}

void cnet_interrupt_on_wake(cnet_runtime *rt) {
  if (!pending || rt->closed || cnet_runtime_stop_if_held(rt)) return;
  pending = 0;
  lua_sethook(rt->L, NULL, 0, 0);
  cnet_protect(rt, CNET_PHASE_POLL, interrupted_body, NULL);
}
