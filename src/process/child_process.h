/* cnet.child_process: fork, and the ChildProcess that it gives.
 *
 * Wing process, above ipc. */
#ifndef CNET_CHILD_PROCESS_H
#define CNET_CHILD_PROCESS_H

#include <lua.h>
#include <stdbool.h>

/* Forks as child_process.fork does, with the script at index script and the tables at indices args and options (0:
 * none), and pushes the ChildProcess. Raises for bad arguments. */
void cnet_child_process_fork(lua_State *L, int script, int args, int options);
/* Has the ChildProcess at index self exited? */
bool cnet_child_process_is_dead(lua_State *L, int self);

/* Registers fork and ChildProcess in the table on top. */
void cnet_child_process_register(lua_State *L);

#endif
