/* The lists of timers of one duration, found by that duration, and the heap that orders them by when the first timer
 * of each is due, then by which list was there first.
 *
 * Wing core, below event/timer.c. No Lua and no libuv: links and arithmetic. */
#ifndef CNET_TIMER_LIST_H
#define CNET_TIMER_LIST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A circular list with a head of its own; an item's next is NULL while it is in none. */
typedef struct cnet_link {
  struct cnet_link *next, *prev;
} cnet_link;

void cnet_link_init(cnet_link *list);
bool cnet_link_empty(const cnet_link *list);
void cnet_link_append(cnet_link *list, cnet_link *item);
void cnet_link_remove(cnet_link *item);

typedef struct cnet_timer_list {
  struct cnet_timer_list *chain; /* in its bucket */
  cnet_link timers;              /* in the order they were started */
  uint64_t expiry, id;           /* its order in the heap */
  uint32_t ms;
  size_t users;    /* timers that hold it */
  size_t position; /* in the heap, from 1; 0: not in it */
} cnet_timer_list;

typedef struct {
  cnet_timer_list **heap;    /* from 1; room for every list there is, so that queueing one cannot fail */
  cnet_timer_list **buckets; /* by duration */
  size_t queued, lists, capacity;
  uint64_t next_id;
} cnet_timer_lists;

/* The list for a duration, made if need be, with one more user; NULL if there is no memory. */
cnet_timer_list *cnet_timer_list_hold(cnet_timer_lists *lists, uint32_t ms);
/* One user less; what nobody holds and is not in the heap is freed. */
void cnet_timer_list_release(cnet_timer_lists *lists, cnet_timer_list *list);
/* The list that is due first, NULL if there is none. */
cnet_timer_list *cnet_timer_list_first(const cnet_timer_lists *lists);
/* Puts a list into the heap that is not there, as the youngest. */
void cnet_timer_list_queue(cnet_timer_lists *lists, cnet_timer_list *list, uint64_t expiry);
/* The first list is not due before `expiry`: moves it back, as the youngest. */
void cnet_timer_list_delay_first(cnet_timer_lists *lists, uint64_t expiry);
/* Takes a list out of the heap, and frees it if nobody holds it. */
void cnet_timer_list_unqueue(cnet_timer_lists *lists, cnet_timer_list *list);
/* Frees all lists, for lua_close. */
void cnet_timer_list_free_all(cnet_timer_lists *lists);

#endif
