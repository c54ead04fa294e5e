/* What a room of cnet (a .c and its .h) keeps for each runtime: its own, made when it is first asked for, and freed
 * with the runtime.
 *
 * Wing core: nothing of cnet lies below it. */
#ifndef CNET_ROOM_H
#define CNET_ROOM_H

#include <stdbool.h>
#include <stddef.h>

typedef struct {
  size_t size;                /* of the state, which begins as zeros */
  void (*close)(void *state); /* frees what it has; NULL if that is nothing */
} cnet_room;

/* Of one runtime; zeroed at first. */
typedef struct {
  struct cnet_room_state *first;
  bool closed;
} cnet_rooms;

/* The state of the room, NULL if it was never made. A room is known by its address. */
void *cnet_rooms_find(const cnet_rooms *rooms, const cnet_room *room);
/* The same, made if need be; NULL if there is no memory for it, or all are closed. */
void *cnet_rooms_get(cnet_rooms *rooms, const cnet_room *room);
void cnet_rooms_close(cnet_rooms *rooms);

#endif
