/* One runtime for each lua_State: the loop, the main thread, what libuv may still call, the tick queue, and what is
 * left over when the loop stops in the middle of a turn.
 *
 * Wing core: nothing of cnet lies below it. Whoever calls libuv holds a runtime; whoever is called by libuv comes back
 * into Lua through core/protect.h. */
#ifndef CNET_RUNTIME_H
#define CNET_RUNTIME_H

#include <lauxlib.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <uv.h>

#include "core/room.h"

/* One read buffer serves the whole loop: a chunk is copied into a Lua string before the next read. */
#define CNET_READ_BUFFER 65536

typedef struct cnet_runtime cnet_runtime;
typedef struct cnet_event cnet_event;
typedef void (*cnet_body)(lua_State *L, void *arg);

/* The part of a loop turn a callback belongs to; a stopped turn goes on with the part it was stopped in. */
typedef enum { CNET_PHASE_TIMERS, CNET_PHASE_POLL, CNET_PHASE_CHECK, CNET_PHASE_CLOSING } cnet_phase;

typedef enum { CNET_NOT_RAISED, CNET_RAISED_BY_CALLBACK, CNET_RAISED_BY_TICK } cnet_raised;

/* Something that happens once (a completion, a close): embedded in what it completes, so that keeping it until the
 * next net.run needs no memory. `deliver` runs inside protect and owns the event; `drop` frees it without Lua. */
struct cnet_event {
  cnet_event *next;
  cnet_body deliver;
  void (*drop)(cnet_event *event);
  int status;
};

typedef struct {
  cnet_event *head, *tail;
} cnet_event_list;

/* Stands right before every uv_handle_t of ours: how lua_close frees what the handle is in, unless it is NULL. */
typedef struct {
  void (*dispose)(uv_handle_t *handle);
} cnet_disposable;

/* The struct of this type that has the pointer's target as its field. */
#define CNET_CONTAINER(type, field, pointer) ((type *)(void *)((char *)(pointer)-offsetof(type, field)))
#define CNET_RIGHT_BEFORE(type, disposable, handle) \
  _Static_assert(offsetof(type, disposable) + sizeof(cnet_disposable) == offsetof(type, handle), "right before it")

/* What the callbacks of the runtime's own handles come to: core/loop.c, which lies above. */
typedef struct {
  void (*on_check)(cnet_runtime *rt);
  void (*on_ticker)(cnet_runtime *rt);
  void (*on_wake)(cnet_runtime *rt);
  void (*on_close)(cnet_runtime *rt);
} cnet_loop_ops;

enum { CNET_CLASS_LIMIT = 20 };

/* The turn of the loop that runs, or was stopped. */
typedef struct {
  bool running;       /* inside net.run */
  bool in_loop;       /* inside uv_run */
  bool in_body;       /* a callback runs: it may gather */
  bool stopped;       /* no Lua until net.run has returned */
  bool failed;        /* an error is parked */
  bool ever_ran;      /* net.run was called */
  bool resuming;      /* the last turn was stopped in resume_phase */
  bool hold_timers;   /* until the check phase of a resumed turn has passed */
  cnet_raised raised; /* what raised the error that net.run ended with */
  cnet_phase phase;   /* of the callback that runs, or ran last */
  cnet_phase resume_phase;
  int handler;        /* stack index of the message handler that is used, 0 for none: one of the two that follow */
  int script_handler; /* that of net.run's, 0 for none */
  int blame_handler;  /* that of the one that looks for who is to blame; see protect.c */
} cnet_turn;

/* See pins.h. The places given out are 1 .. last_place, but for those that are free. */
typedef struct {
  int table; /* registry reference */
  int last_place;
  int *free_places, free_count, free_size;
} cnet_pins;

/* See ticks.h. */
typedef struct {
  int table; /* registry reference */
  lua_Integer head, tail;
} cnet_tick_queue;

/* What happened and was not told yet. */
typedef struct {
  cnet_event_list deferred; /* completions that came while stopped */
  cnet_event_list closes;   /* close callbacks that came while stopped */
  cnet_event_list posted;   /* for the next turn of the loop */
  cnet_event_list due;      /* those of them that this turn delivers */
} cnet_events;

/* See immediate.h. */
typedef struct {
  void (*run)(cnet_runtime *rt);
  bool pending;
  bool left; /* of the turn that was stopped */
  bool ref;
} cnet_immediate_queue;

/* See timer.h. */
typedef struct {
  struct cnet_timers *state;
  void (*run)(cnet_runtime *rt);   /* the rest of a turn that was stopped */
  void (*rearm)(cnet_runtime *rt); /* NULL unless they came due while stopped */
} cnet_timer_queue;

/* On luv's loop: see shared_loop.h. */
typedef struct {
  uv_handle_t *guard;                                             /* a handle of luv's; NULL on a loop of our own */
  uv_handle_t *closing_next;                                      /* in a close callback: what libuv closes next */
  int (*pcall)(lua_State *L, int nargs, int nresults, int flags); /* how luv calls its callbacks */
} cnet_luv;

/* Whose error it is that was raised; see blame.h. */
typedef struct {
  int on_error;        /* registry reference: the message handler that looks for the owner */
  bool looked, blamed; /* an error has an owner */
  bool telling;        /* the owner hears of it */
  int answering;       /* how many there are that want to hear of errors */
  const struct cnet_blame_ops *ops;
} cnet_blame;

struct cnet_runtime {
  uv_loop_t *loop;
  lua_State *L;   /* the main thread; a coroutine that called us may be gone */
  bool open;      /* the loop exists and Lua may be called */
  bool closed;    /* lua_close has reached us: no Lua from here on */
  bool left_open; /* lua_close has found a socket or server open */
  int self;       /* registry reference: the object whose internal listener runs; see emitter.h */
  int entry;      /* registry reference: what bodies run in; see protect.h */
  const cnet_loop_ops *loop_ops;
  struct cnet_loop_memory *memory; /* the loop, and the handles of the runtime itself */
  uv_async_t *wake;                /* Ctrl-C */
  char *read_buffer;
  /* Sends what is gathered, NULL while nothing is; without Lua if L is NULL. See gather.h. */
  void (*flush)(lua_State *L, cnet_runtime *rt);
  void *gathered; /* its room's state, once it was made: each message needs it */
  cnet_turn turn;
  cnet_pins pins;
  cnet_tick_queue ticks;
  cnet_events events;
  cnet_immediate_queue immediates;
  cnet_timer_queue timers;
  cnet_luv luv;
  cnet_blame blame;
  cnet_rooms rooms;                                   /* what each room has of its own */
  const struct cnet_class *classes[CNET_CLASS_LIMIT]; /* by id; see class.h */
};

/* User values of the runtime's userdata: an error on its way to net.run, net.run's message handler, the read buffer. */
enum {
  CNET_RUNTIME_ERROR = 1,
  CNET_RUNTIME_HANDLER,
  CNET_RUNTIME_BUFFER,
  CNET_RUNTIME_LISTENER, /* see blame.c: the object whose listener was called last, and the one that is blamed */
  CNET_RUNTIME_BLAMED,
  CNET_RUNTIME_USERVALUES = CNET_RUNTIME_BLAMED
};

/* The runtime of this state, made when first asked for. Leaves nothing on the stack. */
cnet_runtime *cnet_runtime_open(lua_State *L);
/* Pushes the runtime's userdata: the first upvalue of every function of cnet. */
void cnet_runtime_push(lua_State *L);
/* The runtime of the running C function (its first upvalue). */
static inline cnet_runtime *cnet_runtime_of(lua_State *L) {
  return (cnet_runtime *)lua_touserdata(L, lua_upvalueindex(1));
}
/* The state of the room; raises if there is no memory for it, or the runtime is closed. */
void *cnet_runtime_room(lua_State *L, cnet_runtime *rt, const cnet_room *room);
/* Raises an error once lua_close has closed the runtime. */
void cnet_runtime_check(lua_State *L, const cnet_runtime *rt);
/* Sets functions with the runtime as their first upvalue in the table on top. */
void cnet_runtime_set_functions(lua_State *L, const luaL_Reg *functions);

/* Every uv_handle_t of ours, once libuv has initialized it. On luv's loop luv looks at the data of all handles. */
static inline void cnet_runtime_adopt(const cnet_runtime *rt, uv_handle_t *handle) {
  handle->data = rt->luv.guard ? rt->luv.guard->data : NULL;
}
/* Asked by every callback of libuv: must it keep out of Lua? Between the end of net.run and its return, and if a
 * callback of ours has called uv.run. What comes meanwhile waits, and the loop is told to end. */
static inline bool cnet_runtime_stop_if_held(const cnet_runtime *rt) {
  if (!rt->turn.stopped && !rt->turn.in_body) return false;
  uv_stop(rt->loop);
  return true;
}
/* Has the runtime something to tell, without libuv? */
static inline bool cnet_runtime_has_left(const cnet_runtime *rt) {
  return rt->events.deferred.head || rt->events.closes.head || rt->events.posted.head ||
         rt->ticks.head != rt->ticks.tail;
}
/* Is nothing open but `handles` handles? Nothing is under way then either. */
bool cnet_runtime_has_open_only(cnet_runtime *rt, int handles);
/* Leaves the loop of its own for this one, where `guard` is a handle of luv's. Nothing may be open but what `move`
 * moves, which is called with the new loop in place. Does not raise: 0, or a libuv error and nothing has changed. */
int cnet_runtime_share(cnet_runtime *rt, uv_loop_t *loop, uv_handle_t *guard, int (*move)(void *arg), void *arg);
/* The end of the state: closes all handles of ours. Calls no Lua. */
void cnet_runtime_close(cnet_runtime *rt);

/* Makes net.run return once the current callback is done. */
void cnet_runtime_stop(cnet_runtime *rt);
/* On luv's loop: goes on as soon as may be with what is left over, or no more. */
void cnet_runtime_want_ticker(cnet_runtime *rt, bool wanted);
/* Delivers an event in the next turn of the loop, which it keeps alive until then. */
void cnet_runtime_post(cnet_runtime *rt, cnet_event *event);
/* Starts or stops what drives immediates: `ref` tells whether they keep the loop alive. */
void cnet_runtime_want_check(cnet_runtime *rt, bool wanted, bool ref);

void cnet_events_append(cnet_event_list *list, cnet_event *event);

#endif
