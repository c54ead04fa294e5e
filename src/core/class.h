/* Classes as data: a table of members makes a class of userdata, with methods, properties and read-only ones.
 *
 * Wing core. Methods stand in the class's own table (net.Socket), where a script may add and replace; properties stand
 * in a private table that no script can reach. An object looks into its own fields, then its class and the parents
 * (net.EventEmitter), then the properties. */
#ifndef CNET_CLASS_H
#define CNET_CLASS_H

#include "core/runtime.h"

/* User values of every object. The fields, which each look-up of a method asks for, are next to the object. */
enum { CNET_LISTENERS = 1, CNET_SLOTS = 2, CNET_FIELDS = 3, CNET_USERVALUES = 3 };

typedef enum {
  CNET_EVENT_EMITTER,
  CNET_SERVER,
  CNET_SOCKET,
  CNET_PROCESS,
  CNET_TIMEOUT,
  CNET_IMMEDIATE,
  CNET_ABORT_CONTROLLER,
  CNET_ABORT_SIGNAL,
  CNET_BLOCK_LIST,
  CNET_SOCKET_ADDRESS,
  CNET_NATIVE,
  CNET_BOUND_SOCKET,
  CNET_CHANNEL,
  CNET_SOCKET_LIST,
  CNET_CHILD_PROCESS,
  CNET_CLUSTER,
  CNET_WORKER,
  CNET_CLUSTER_HANDLE,
  CNET_CLASSES
} cnet_class_id;

/* A row has either a method, or a getter and, if it can be assigned, a setter (self, name, value). */
typedef struct {
  const char *name;
  lua_CFunction method;
  lua_CFunction get;
  lua_CFunction set;
} cnet_member;

/* Listeners of an emitter came or went; name is a stack index, 0 for all events. */
typedef enum {
  CNET_LISTENER_ADDED,
  CNET_LISTENER_PREPENDED,
  CNET_LISTENER_REMOVED,
  CNET_LISTENERS_CLEARED
} cnet_listener_change;

typedef struct cnet_class {
  cnet_class_id id;
  const char *name; /* "net.Server" */
  const struct cnet_class *parent;
  const cnet_member *members;
  const cnet_member *const *more; /* further tables of members, up to NULL; NULL: none */
  lua_CFunction construct;        /* net.Server(...) gets the arguments alone; NULL: scripts cannot make one */
  lua_CFunction gc;
  lua_CFunction tostring;
  lua_CFunction close; /* local x <close> */
  void (*on_listeners)(lua_State *L, int self, int name, cnet_listener_change change);
  /* The event that is emitted most, NULL for none: while it has one listener alone, that stands in this user value too,
   * which spares the look-up by name (cnet_emit_hot). For a C function see cnet_stand_in. */
  const char *hot_event;
  int hot_listener;
  const char *events; /* for net.strict: their names, but for those that every emitter has; NULL: any */
} cnet_class;

/* The first field of every object. */
typedef struct {
  cnet_runtime *rt;
  const cnet_class *class; /* NULL until it is dressed */
} cnet_object;

/* Defines the class once for each state, the parent before the child, and pushes its table (net.Server). */
void cnet_class_define(lua_State *L, const cnet_class *class);
/* Pushes a new object, zeroed but for its runtime, with `uservalues` user values (at least CNET_USERVALUES). It is of
 * no class until cnet_class_dress: its state must be consistent first. Raises once the runtime is closed. */
void *cnet_class_new(lua_State *L, cnet_runtime *rt, size_t size, int uservalues);
/* Makes the object on top one of the class. */
void cnet_class_dress(lua_State *L, const cnet_class *class);
/* The object at index if it is one of the class or of a child; else NULL. Needs the caller's runtime. */
void *cnet_class_test(lua_State *L, cnet_runtime *rt, int index, cnet_class_id id);
/* The class of the object at index, NULL if it is none of ours. */
const cnet_class *cnet_class_of(lua_State *L, cnet_runtime *rt, int index);
/* The setter of a property that cannot be assigned raises with this; `instead` is a call that does it, or NULL. */
int cnet_class_refuse(lua_State *L, const char *property, const char *instead);
/* The setter of such a property, in one line. */
#define CNET_CLASS_REFUSE(setter, property, instead) \
  static int setter(lua_State *L) { return cnet_class_refuse(L, property, instead); }
/* The `self` of a running method; raises if it is none, or if the runtime is closed. */
void *cnet_class_self(lua_State *L, cnet_class_id id);
/* Is the method still the one of the class's members, or has a script replaced it? */
bool cnet_class_has_method(lua_State *L, const cnet_class *class, const char *name);
/* What allocates may run the script's finalizers, and these may use the very object: what was asked of it before is to
 * be asked again, and a table that is made here is the one that a finalizer has made, if it has. */

/* Pushes the object's table in the user value, made if need be with places for so many names and elements. */
void cnet_class_push_table(lua_State *L, int index, int which, int places);
/* Pushes the script's own fields of the object, made if need be. */
void cnet_class_push_fields(lua_State *L, int index);
/* Pushes the object's slot table (internal values), made if need be; `cnet_class_slot` pushes one of its values. */
void cnet_class_push_slots(lua_State *L, int index);
int cnet_class_slot(lua_State *L, int index, int slot);
/* Pushes the table that is in the slot, made if need be: then it returns true. */
bool cnet_class_slot_table(lua_State *L, int index, int slot);
/* Pops a value into a slot. nil into a table that was never made makes none. */
void cnet_class_set_slot(lua_State *L, int index, int slot);

#endif
