/* Ctrl-C while net.run runs and no SIGINT listener of net.process is there: net.run raises "interrupted!".
 *
 * Wing core. Like lua's own handler it interrupts Lua code by a hook; it also wakes a loop that sleeps. */
#ifndef CNET_INTERRUPT_H
#define CNET_INTERRUPT_H

#include <signal.h>

#include "core/runtime.h"

/* Takes SIGINT over for this runtime, unless another state's net.run has it. */
void cnet_interrupt_arm(cnet_runtime *rt);
/* Puts the handler back that was there. */
void cnet_interrupt_disarm(cnet_runtime *rt);
/* net.process has got a SIGINT listener: until that is gone, Ctrl-C is the listener's. */
void cnet_interrupt_listener_came(cnet_runtime *rt);
void cnet_interrupt_listener_gone(cnet_runtime *rt);
/* If the action is our own, replaces it by the one that was there before. */
void cnet_interrupt_see_through(struct sigaction *action);
/* What rt->wake wakes the loop for. */
void cnet_interrupt_on_wake(cnet_runtime *rt);

#endif
