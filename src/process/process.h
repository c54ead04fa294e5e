/* net.process: the running process as an EventEmitter: pid, exit(code), signals as events by name, and, if another
 * process has forked this one, the channel to it.
 *
 * Wing process, above ipc. A signal is watched exactly while its event has listeners; afterwards the action that was
 * there before is back. Signal actions belong to the whole process: two Lua states share a count of who watches. */
#ifndef CNET_PROCESS_H
#define CNET_PROCESS_H

#include "event/emitter.h"

/* Pushes net.process; its events are emitted with cnet_emit. */
void cnet_process_push(lua_State *L);
/* net.process.exit(code): does not return. */
int cnet_process_exit(lua_State *L, lua_Integer code);
/* Registers net.process in the table on top. */
void cnet_process_register(lua_State *L);

#endif
