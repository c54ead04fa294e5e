#include "core/signals.h"

#include <signal.h>
#include <stddef.h>
#include <strings.h>

const cnet_signal cnet_signals[] = {
    {"SIGHUP", SIGHUP},       {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGILL", SIGILL},     {"SIGTRAP", SIGTRAP},
    {"SIGABRT", SIGABRT},     {"SIGIOT", SIGABRT},  {"SIGBUS", SIGBUS},   {"SIGFPE", SIGFPE},     {"SIGKILL", SIGKILL},
    {"SIGUSR1", SIGUSR1},     {"SIGSEGV", SIGSEGV}, {"SIGUSR2", SIGUSR2}, {"SIGPIPE", SIGPIPE},   {"SIGALRM", SIGALRM},
    {"SIGTERM", SIGTERM},     {"SIGCHLD", SIGCHLD}, {"SIGCONT", SIGCONT}, {"SIGSTOP", SIGSTOP},   {"SIGTSTP", SIGTSTP},
    {"SIGTTIN", SIGTTIN},     {"SIGTTOU", SIGTTOU}, {"SIGURG", SIGURG},   {"SIGXCPU", SIGXCPU},   {"SIGXFSZ", SIGXFSZ},
    {"SIGVTALRM", SIGVTALRM}, {"SIGPROF", SIGPROF}, {"SIGIO", SIGIO},     {"SIGWINCH", SIGWINCH}, {"SIGSYS", SIGSYS},
#ifdef SIGPOLL
    {"SIGPOLL", SIGPOLL},
#endif
#ifdef SIGSTKFLT
    {"SIGSTKFLT", SIGSTKFLT},
#endif
#ifdef SIGPWR
    {"SIGPWR", SIGPWR},
#endif
#ifdef SIGINFO
    {"SIGINFO", SIGINFO},
#endif
};

const int cnet_signals_count = sizeof cnet_signals / sizeof *cnet_signals;

_Static_assert(sizeof cnet_signals / sizeof *cnet_signals <= CNET_SIGNALS_MAX, "more signals than CNET_SIGNALS_MAX");

int cnet_signal_number(const char *name) {
  int i;
  for (i = 0; i < cnet_signals_count; i++)
    if (strcasecmp(name, cnet_signals[i].name) == 0) return cnet_signals[i].number;
  return 0;
}

const char *cnet_signal_name(int number) {
  int i;
  for (i = 0; i < cnet_signals_count; i++)
    if (cnet_signals[i].number == number) return cnet_signals[i].name;
  return NULL;
}
