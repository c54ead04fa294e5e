/* net.EventEmitter: on, once, off, emit ...
 *
 * Wing event. The listeners live in the object's user value, so that a cycle through a closure is ordinary garbage. An
 * internal listener is a C function over the runtime that asks cnet_emitter_push_self whose event it hears. */
#ifndef CNET_EMITTER_H
#define CNET_EMITTER_H

#include "core/class.h"

/* Every object that is an emitter begins with this. */
typedef struct {
  cnet_object object;
  lua_Number max_listeners; /* below 0: the default of 10 */
  bool watched;             /* somebody has listened to 'newListener' or 'removeListener' */
} cnet_emitter;

extern const cnet_class cnet_emitter_class;

/* What a constructor of an emitter's object sets. */
static inline void cnet_emitter_init(cnet_emitter *emitter) { emitter->max_listeners = -1; }

/* Emits with the nargs arguments on top, which it pops; tells whether anyone listened. An 'error' that nobody hears
 * is raised. `self` is an absolute index. */
bool cnet_emit(lua_State *L, int self, const char *event, int nargs);
/* The same for the class's hot event, with one argument. */
bool cnet_emit_hot(lua_State *L, int self, const cnet_class *class);
/* Adds the function on top, which it pops, as a listener: what class hooks and 'newListener' see, sees it. */
void cnet_emitter_on(lua_State *L, int self, const char *event);
void cnet_emitter_once(lua_State *L, int self, const char *event);
/* Removes the function on top, which it pops. */
void cnet_emitter_off(lua_State *L, int self, const char *event);
/* Calls a method of net.EventEmitter itself, with the nargs arguments on top, self being the first; leaves one result.
 */
void cnet_emitter_call(lua_State *L, const char *method, int nargs);
lua_Integer cnet_emitter_count(lua_State *L, int self, const char *event);
/* Pushes the emitter whose event the running internal listener hears, and returns it. A script can get hold of such a
 * listener and call it: raises unless there is an emitter of this class. */
void *cnet_emitter_push_self(lua_State *L, cnet_class_id id);
/* Pushes an internal listener: fn over the runtime, the same function value each time if `extra` is 0; else a new
 * closure with the extra values on top, which it pops, as further upvalues. */
/* Pushes what stands for the C function at index fn where it is the only listener of its class's hot event: an object
 * that the bytes go to past Lua, or nil. */
typedef void cnet_stand_in(lua_State *L, int fn);
void cnet_emitter_set_stand_in(lua_State *L, cnet_stand_in *stand_in);
void cnet_emitter_push_listener(lua_State *L, lua_CFunction fn, int extra);

/* Registers net.EventEmitter and net.errorMonitor in the table on top. */
void cnet_emitter_register(lua_State *L);

#endif
