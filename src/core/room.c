#include "core/room.h"

#include <stdlib.h>

struct cnet_room_state {
  struct cnet_room_state *next;
  const cnet_room *room;
  max_align_t data[];
};

void *cnet_rooms_find(const cnet_rooms *rooms, const cnet_room *room) {
  struct cnet_room_state *state = rooms->first;
  while (state && state->room != room) state = state->next;
  return state ? state->data : NULL;
}

void *cnet_rooms_get(cnet_rooms *rooms, const cnet_room *room) {
  struct cnet_room_state *state;
  void *found = cnet_rooms_find(rooms, room);
  if (found) return found;
  state = rooms->closed ? NULL : calloc(1, sizeof *state + room->size);
  if (!state) return NULL;
  state->room = room;
  state->next = rooms->first;
  rooms->first = state;
  return state->data;
}

void cnet_rooms_close(cnet_rooms *rooms) {
  rooms->closed = true;
  while (rooms->first) {
    struct cnet_room_state *state = rooms->first;
    rooms->first = state->next;
    if (state->room->close) state->room->close(state->data);
    free(state);
  }
}
