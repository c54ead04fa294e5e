#include "core/timer_list.h"

#include <stdlib.h>

/* ---- links ---- */

void cnet_link_init(cnet_link *list) { list->next = list->prev = list; }

bool cnet_link_empty(const cnet_link *list) { return list->next == list; }

void cnet_link_append(cnet_link *list, cnet_link *item) {
  item->prev = list->prev;
  item->next = list;
  list->prev->next = item;
  list->prev = item;
}

void cnet_link_remove(cnet_link *item) {
  if (!item->next) return;
  item->prev->next = item->next;
  item->next->prev = item->prev;
  item->next = item->prev = NULL;
}

/* ---- the heap ---- */

static bool goes_before(const cnet_timer_list *a, const cnet_timer_list *b) {
  return a->expiry != b->expiry ? a->expiry < b->expiry : a->id < b->id;
}

static void place(cnet_timer_lists *lists, cnet_timer_list *list, size_t position) {
  lists->heap[position] = list;
  list->position = position;
}

static void move_up(cnet_timer_lists *lists, cnet_timer_list *list, size_t position) {
  while (position > 1 && goes_before(list, lists->heap[position / 2])) {
    place(lists, lists->heap[position / 2], position);
    position /= 2;
  }
  place(lists, list, position);
}

static void move_down(cnet_timer_lists *lists, cnet_timer_list *list, size_t position) {
  size_t child;
  while ((child = 2 * position) <= lists->queued) {
    if (child < lists->queued && goes_before(lists->heap[child + 1], lists->heap[child])) child++;
    if (!goes_before(lists->heap[child], list)) break;
    place(lists, lists->heap[child], position);
    position = child;
  }
  place(lists, list, position);
}

cnet_timer_list *cnet_timer_list_first(const cnet_timer_lists *lists) {
  return lists->queued > 0 ? lists->heap[1] : NULL;
}

void cnet_timer_list_queue(cnet_timer_lists *lists, cnet_timer_list *list, uint64_t expiry) {
  list->expiry = expiry;
  list->id = lists->next_id++;
  move_up(lists, list, ++lists->queued);
}

void cnet_timer_list_delay_first(cnet_timer_lists *lists, uint64_t expiry) {
  cnet_timer_list *list = lists->heap[1];
  list->expiry = expiry;
  list->id = lists->next_id++;
  move_down(lists, list, 1);
}

/* ---- by duration ---- */

static cnet_timer_list **bucket_of(const cnet_timer_lists *lists, uint32_t ms) {
  return &lists->buckets[(ms * 2654435761u) & (lists->capacity - 1)];
}

static void put_in_bucket(cnet_timer_lists *lists, cnet_timer_list *list) {
  cnet_timer_list **bucket = bucket_of(lists, list->ms);
  list->chain = *bucket;
  *bucket = list;
}

static bool grow(cnet_timer_lists *lists) {
  size_t i, old = lists->capacity, capacity = old ? 2 * old : 8;
  cnet_timer_list **buckets, **old_buckets = lists->buckets;
  cnet_timer_list **heap = realloc(lists->heap, (capacity + 1) * sizeof *heap);
  if (!heap) return false;
  lists->heap = heap;
  buckets = calloc(capacity, sizeof *buckets);
  if (!buckets) return false;
  lists->buckets = buckets;
  lists->capacity = capacity;
  for (i = 0; i < old; i++) {
    cnet_timer_list *list, *next;
    for (list = old_buckets[i]; list; list = next) {
      next = list->chain;
      put_in_bucket(lists, list);
    }
  }
  free(old_buckets);
  return true;
}

cnet_timer_list *cnet_timer_list_hold(cnet_timer_lists *lists, uint32_t ms) {
  cnet_timer_list *list = lists->capacity ? *bucket_of(lists, ms) : NULL;
  while (list && list->ms != ms) list = list->chain;
  if (!list) {
    if (lists->lists == lists->capacity && !grow(lists)) return NULL;
    list = calloc(1, sizeof *list);
    if (!list) return NULL;
    list->ms = ms;
    cnet_link_init(&list->timers);
    put_in_bucket(lists, list);
    lists->lists++;
  }
  list->users++;
  return list;
}

static void free_if_unused(cnet_timer_lists *lists, cnet_timer_list *list) {
  cnet_timer_list **link;
  if (list->users > 0 || list->position > 0) return;
  link = bucket_of(lists, list->ms);
  while (*link != list) link = &(*link)->chain;
  *link = list->chain;
  lists->lists--;
  free(list);
}

void cnet_timer_list_release(cnet_timer_lists *lists, cnet_timer_list *list) {
  list->users--;
  free_if_unused(lists, list);
}

void cnet_timer_list_unqueue(cnet_timer_lists *lists, cnet_timer_list *list) {
  size_t position = list->position;
  cnet_timer_list *last = lists->heap[lists->queued--];
  list->position = 0;
  if (last != list && position > 1 && goes_before(last, lists->heap[position / 2])) {
    move_up(lists, last, position);
  } else if (last != list) {
    move_down(lists, last, position);
  }
  free_if_unused(lists, list);
}

void cnet_timer_list_free_all(cnet_timer_lists *lists) {
  size_t i;
  for (i = 0; i < lists->capacity; i++) {
    cnet_timer_list *list, *next;
    for (list = lists->buckets[i]; list; list = next) {
      next = list->chain;
      free(list);
    }
  }
  free(lists->buckets);
  free(lists->heap);
}
