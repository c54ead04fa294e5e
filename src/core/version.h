/* Which cnet this is, and on which libuv it runs.
 *
 * Wing core. A release changes CNET_VERSION, and nothing else here. */
#ifndef CNET_VERSION_H
#define CNET_VERSION_H

#include <lua.h>

#define CNET_VERSION "scm"

/* Raises unless the libuv that is loaded is one that cnet, as it was built, can run on: names both. */
void cnet_version_check(lua_State *L);
/* Sets net._VERSION, and what print(net) shows, for the table on top. */
void cnet_version_register(lua_State *L);

#endif
