/* The files that Unix servers make: each is removed when its server closes, unless another has taken its path.
 *
 * Wing os. libuv removes by the name alone, which may be a newer server's by then, or another file's after a chdir. As
 * long as the server's socket is open its file's inode is given to no other: removing comes before closing. */
#ifndef CNET_SOCKET_FILE_H
#define CNET_SOCKET_FILE_H

#include "core/room.h"

typedef struct cnet_socket_file cnet_socket_file;

/* For a path that is about to be bound; NULL if there is no memory. */
cnet_socket_file *cnet_socket_file_new(cnet_rooms *rooms, const char *path, size_t length);
/* It was bound: the file that is there is the owner's. Or free() it. */
void cnet_socket_file_add(cnet_rooms *rooms, cnet_socket_file *file, const void *owner);
/* Removes the owner's file, if it is still there. What is left is removed with the runtime. */
void cnet_socket_file_remove(cnet_rooms *rooms, const void *owner);

#endif
