/* net.AbortController and its AbortSignal, an emitter that also has the listener methods of an EventTarget.
 *
 * Wing event, above emitter. */
#ifndef CNET_ABORT_H
#define CNET_ABORT_H

#include "event/emitter.h"

/* Is the value at index an AbortSignal? */
bool cnet_abort_test(lua_State *L, cnet_runtime *rt, int index);
/* Raises ERR_INVALID_ARG_TYPE if it is none; name is "signal" (an argument) or "options.signal" (a property). */
void cnet_abort_check(lua_State *L, cnet_runtime *rt, int index, const char *name);
/* These take an index that is a signal. */
bool cnet_abort_is_aborted(lua_State *L, int index);
void cnet_abort_push_reason(lua_State *L, int index);
/* Pushes the AbortError that what was aborted reports: code ABORT_ERR, its cause the signal's reason. */
void cnet_abort_push_error(lua_State *L, int index);
/* Pops a listener (see cnet_emitter_push_listener) and adds it for one 'abort', or removes it. The listener finds the
 * signal by cnet_emitter_push_self. */
void cnet_abort_add(lua_State *L, int index);
void cnet_abort_remove(lua_State *L, int index);
/* Pops a listener and adds it for one 'abort'; it is removed again at the event of the emitter at index emitter,
 * which a signal that lives longer would keep alive otherwise. */
void cnet_abort_add_until(lua_State *L, int index, int emitter, const char *event);

/* Registers net.AbortController and net.AbortSignal in the table on top. */
void cnet_abort_register(lua_State *L);

#endif
