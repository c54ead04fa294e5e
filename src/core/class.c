#include "core/class.h"

#include <string.h>

#include "core/error.h"
#include "core/received.h"

_Static_assert((int)CNET_CLASSES <= (int)CNET_CLASS_LIMIT, "the runtime has a place for each class");

/* Upvalues of __index and __newindex: the runtime, the class's table, the properties. */
enum { UP_CLASS = 2, UP_PROPERTIES = 3 };

static const char tables_key = 0; /* registry: class id + 1 -> the class's table */

/* ---- members ---- */

static const cnet_member *find_property(lua_State *L, int key) {
  const cnet_member *property = NULL;
  lua_pushvalue(L, key);
  if (lua_rawget(L, lua_upvalueindex(UP_PROPERTIES)) == LUA_TLIGHTUSERDATA) property = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return property;
}

static int object_index(lua_State *L) {
  const cnet_member *property;
  if (lua_type(L, 1) != LUA_TUSERDATA) return 0;
  if (lua_getiuservalue(L, 1, CNET_FIELDS) == LUA_TTABLE) {
    lua_pushvalue(L, 2);
    if (lua_rawget(L, -2) != LUA_TNIL) return 1;
  }
  lua_pushvalue(L, 2);
  if (lua_rawget(L, lua_upvalueindex(UP_CLASS)) != LUA_TNIL) return 1; /* nearly every call: a method of the class */
  lua_settop(L, 2);
  lua_pushvalue(L, 2);
  if (lua_gettable(L, lua_upvalueindex(UP_CLASS)) != LUA_TNIL) return 1;
  lua_settop(L, 2);
  property = find_property(L, 2);
  if (!property) return 0;
  lua_settop(L, 1);
  return property->get(L);
}

int cnet_class_refuse(lua_State *L, const char *property, const char *instead) {
  lua_pushfstring(L, "Cannot assign to read-only property '%s'", property);
  if (instead) lua_pushfstring(L, "%s: call %s instead", lua_tostring(L, -1), instead);
  cnet_error_push_text(L, "TypeError", "ERR_INVALID_STATE");
  return cnet_error_throw(L);
}

static int object_newindex(lua_State *L) {
  const cnet_member *property = find_property(L, 2);
  if (property && property->set) return property->set(L);
  if (property) return cnet_class_refuse(L, property->name, NULL);
  if (lua_type(L, 1) != LUA_TUSERDATA) return 0;
  cnet_class_push_fields(L, 1);
  lua_insert(L, 2);
  lua_rawset(L, 2);
  return 0;
}

/* ---- construction ---- */

static int class_call(lua_State *L) {
  cnet_runtime_check(L, cnet_runtime_of(L));
  luaL_checkany(L, 1); /* a script may have taken __call out of the metatable */
  lua_remove(L, 1);
  return lua_tocfunction(L, lua_upvalueindex(2))(L);
}

static int class_tostring(lua_State *L) {
  lua_pushvalue(L, lua_upvalueindex(1));
  return 1;
}

static int object_tostring(lua_State *L) {
  lua_pushfstring(L, "%s (%p)", lua_tostring(L, lua_upvalueindex(2)), lua_topointer(L, 1));
  return 1;
}

/* Pushes the class's table, or nil. */
static int push_table(lua_State *L, cnet_class_id id) {
  int type;
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &tables_key) != LUA_TTABLE) return LUA_TNIL;
  type = lua_rawgeti(L, -1, (lua_Integer)id + 1);
  lua_remove(L, -2);
  return type;
}

static void add_property_rows(lua_State *L, const cnet_member *m) {
  for (; m && m->name; m++) {
    if (m->method) continue;
    lua_pushlightuserdata(L, (void *)m);
    lua_setfield(L, -2, m->name);
  }
}

static void add_properties(lua_State *L, const cnet_class *class) {
  const cnet_member *const *more;
  if (class->parent) add_properties(L, class->parent);
  add_property_rows(L, class->members);
  for (more = class->more; more && *more; more++) add_property_rows(L, *more);
}

/* Pushes fn as a closure over the runtime and nothing else. */
static void push_method(lua_State *L, lua_CFunction fn) {
  cnet_runtime_push(L);
  lua_pushcclosure(L, fn, 1);
}

/* Two names of one method are one function. */
static void add_methods(lua_State *L, const cnet_member *rows) {
  const cnet_member *m, *same;
  for (m = rows; m && m->name; m++) {
    if (!m->method) continue;
    for (same = rows; same->method != m->method; same++) {
    }
    if (same == m) {
      push_method(L, m->method);
    } else {
      lua_getfield(L, -1, same->name);
    }
    lua_setfield(L, -2, m->name);
  }
}

/* Pushes the class's table with its methods, and the metatable that makes it callable and knows the parent. */
static void push_new_table(lua_State *L, const cnet_class *class) {
  const cnet_member *const *more;
  lua_newtable(L);
  add_methods(L, class->members);
  for (more = class->more; more && *more; more++) add_methods(L, *more);
  lua_newtable(L);
  if (class->parent) {
    push_table(L, class->parent->id);
    lua_setfield(L, -2, "__index");
  }
  if (class->construct) {
    cnet_runtime_push(L);
    lua_pushcfunction(L, class->construct);
    lua_pushcclosure(L, class_call, 2);
    lua_setfield(L, -2, "__call");
  }
  lua_pushstring(L, class->name);
  lua_pushcclosure(L, class_tostring, 1);
  lua_setfield(L, -2, "__tostring");
  lua_setmetatable(L, -2);
}

/* The class's table is on top: makes the metatable of its objects. */
static void make_metatable(lua_State *L, cnet_runtime *rt, const cnet_class *class) {
  lua_newtable(L);
  cnet_runtime_push(L);
  lua_pushvalue(L, -3);
  lua_newtable(L);
  add_properties(L, class); /* runtime, class table, properties */
  lua_pushvalue(L, -3);
  lua_pushvalue(L, -3);
  lua_pushvalue(L, -3);
  lua_pushcclosure(L, object_index, 3);
  lua_setfield(L, -5, "__index");
  lua_pushcclosure(L, object_newindex, 3);
  lua_setfield(L, -2, "__newindex");
  cnet_runtime_push(L);
  lua_pushstring(L, class->name);
  lua_pushcclosure(L, class->tostring ? class->tostring : object_tostring, 2);
  lua_setfield(L, -2, "__tostring");
  lua_pushstring(L, class->name);
  lua_setfield(L, -2, "__name");
  lua_pushboolean(L, 0);
  lua_setfield(L, -2, "__metatable"); /* a script that called __gc itself could not be survived otherwise */
  if (class->gc) {
    push_method(L, class->gc);
    lua_setfield(L, -2, "__gc");
  }
  if (class->close) {
    push_method(L, class->close);
    lua_setfield(L, -2, "__close");
  }
  rt->classes[class->id] = class;
  lua_rawsetp(L, LUA_REGISTRYINDEX, class);
}

void cnet_class_define(lua_State *L, const cnet_class *class) {
  cnet_runtime *rt = cnet_runtime_open(L);
  if (push_table(L, class->id) == LUA_TTABLE) return;
  lua_pop(L, 1);
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &tables_key) != LUA_TTABLE) {
    lua_pop(L, 1);
    lua_newtable(L);
    lua_pushvalue(L, -1);
    lua_rawsetp(L, LUA_REGISTRYINDEX, &tables_key);
  }
  push_new_table(L, class);
  make_metatable(L, rt, class);
  lua_pushvalue(L, -1);
  lua_rawseti(L, -3, (lua_Integer) class->id + 1);
  lua_remove(L, -2);
}

/* ---- objects ---- */

void *cnet_class_new(lua_State *L, cnet_runtime *rt, size_t size, int uservalues) {
  cnet_object *object;
  cnet_runtime_check(L, rt);
  object = lua_newuserdatauv(L, size, uservalues);
  memset(object, 0, size);
  object->rt = rt;
  return object;
}

void cnet_class_dress(lua_State *L, const cnet_class *class) {
  ((cnet_object *)lua_touserdata(L, -1))->class = class;
  lua_rawgetp(L, LUA_REGISTRYINDEX, class);
  lua_setmetatable(L, -2);
}

/* A userdata is one of ours if it begins as ours do: with this runtime, and with a class that it has. That costs half
 * of what its metatable would. */
static cnet_object *object_at(lua_State *L, const cnet_runtime *rt, int index) {
  cnet_object *object = lua_touserdata(L, index);
  /* a light userdata has no size */
  return object && lua_rawlen(L, index) >= sizeof *object && object->rt == rt ? object : NULL;
}

const cnet_class *cnet_class_of(lua_State *L, cnet_runtime *rt, int index) {
  const cnet_object *object = object_at(L, rt, index);
  int i;
  for (i = 0; object && i < CNET_CLASSES; i++)
    if (object->class && object->class == rt->classes[i]) return object->class;
  return NULL;
}

void *cnet_class_test(lua_State *L, cnet_runtime *rt, int index, cnet_class_id id) {
  cnet_object *object = object_at(L, rt, index);
  const cnet_class *class;
  if (!object || !object->class) return NULL;
  if (object->class == rt->classes[id]) return object;
  for (class = cnet_class_of(L, rt, index); class; class = class->parent)
    if (class->id == id) return object;
  return NULL;
}

static void bad_self(lua_State *L, const cnet_runtime *rt, cnet_class_id id) {
  const char *name = rt->classes[id] ? rt->classes[id]->name : "cnet object";
  cnet_received_push_typed(L, 1);
  cnet_error_push(L, "TypeError", "ERR_INVALID_THIS", "%s expected as self, got %s (called with '.' instead of ':'?)",
                  name, lua_tostring(L, -1));
  cnet_error_throw(L);
}

void *cnet_class_self(lua_State *L, cnet_class_id id) {
  cnet_runtime *rt = cnet_runtime_of(L);
  void *object = cnet_class_test(L, rt, 1, id);
  if (!object) bad_self(L, rt, id);
  if (!rt->open || rt->closed) cnet_runtime_check(L, rt);
  return object;
}

bool cnet_class_has_method(lua_State *L, const cnet_class *class, const char *name) {
  const cnet_member *member = class->members;
  bool same;
  while (strcmp(member->name, name) != 0) member++;
  push_table(L, class->id);
  lua_pushstring(L, name);
  same = lua_rawget(L, -2) == LUA_TFUNCTION && lua_tocfunction(L, -1) == member->method;
  lua_pop(L, 2);
  return same;
}

void cnet_class_push_table(lua_State *L, int index, int which, int places) {
  index = lua_absindex(L, index);
  if (lua_getiuservalue(L, index, which) == LUA_TTABLE) return;
  lua_createtable(L, places, places);
  if (lua_getiuservalue(L, index, which) != LUA_TTABLE) { /* and no finalizer has made it meanwhile */
    lua_pushvalue(L, -2);
    lua_setiuservalue(L, index, which);
    lua_pop(L, 1);
  } else {
    lua_replace(L, -2);
  }
  lua_replace(L, -2);
}

void cnet_class_push_fields(lua_State *L, int index) { cnet_class_push_table(L, index, CNET_FIELDS, 0); }

void cnet_class_push_slots(lua_State *L, int index) { cnet_class_push_table(L, index, CNET_SLOTS, 0); }

bool cnet_class_slot_table(lua_State *L, int index, int slot) {
  index = lua_absindex(L, index);
  if (cnet_class_slot(L, index, slot) == LUA_TTABLE) return false;
  cnet_class_push_slots(L, index);
  lua_newtable(L);
  lua_replace(L, -3);
  if (lua_rawgeti(L, -1, slot) == LUA_TTABLE) { /* a finalizer has made it meanwhile */
    lua_replace(L, -3);
    lua_pop(L, 1);
    return false;
  }
  lua_pop(L, 1);
  lua_pushvalue(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
  return true;
}

int cnet_class_slot(lua_State *L, int index, int slot) {
  int type = lua_getiuservalue(L, index, CNET_SLOTS);
  if (type != LUA_TTABLE) {
    if (type == LUA_TNIL) return LUA_TNIL;
    lua_pop(L, 1);
    lua_pushnil(L);
    return LUA_TNIL;
  }
  type = lua_rawgeti(L, -1, slot);
  lua_remove(L, -2);
  return type;
}

void cnet_class_set_slot(lua_State *L, int index, int slot) {
  index = lua_absindex(L, index);
  if (lua_isnil(L, -1)) {
    int type = lua_getiuservalue(L, index, CNET_SLOTS);
    lua_pop(L, 1);
    if (type != LUA_TTABLE) {
      lua_pop(L, 1);
      return;
    }
  }
  cnet_class_push_slots(L, index);
  lua_insert(L, -2);
  lua_rawseti(L, -2, slot);
  lua_pop(L, 1);
}
