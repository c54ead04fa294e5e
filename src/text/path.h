/* Paths of files as text: Node's path.resolve and path.relative, against the working directory.
 *
 * Wing text. A worker of a cluster names Unix sockets by absolute paths, since its primary may work elsewhere; the
 * primary shortens them, since a socket's path has little room. */
#ifndef CNET_PATH_H
#define CNET_PATH_H

#include <lua.h>

/* Pushes the absolute path, without "." and ".."; as it is if there is no working directory. */
void cnet_path_push_absolute(lua_State *L, int path);
/* Pushes the path relative to the working directory, or as it is if that is no longer. */
void cnet_path_push_shortest(lua_State *L, int path);

#endif
