#include "server/errors.h"

#include "core/blame.h"

void cnet_server_errors_on_listeners(lua_State *L, int self, int name, cnet_listener_change change) {
  cnet_server *s = lua_touserdata(L, self);
  bool hears = cnet_emitter_count(L, self, "handlerError") > 0;
  (void)name;
  (void)change;
  if (s->hears_errors == hears || s->collected) return;
  s->hears_errors = hears;
  cnet_blame_add(cnet_server_runtime(s), hears ? 1 : -1);
}

void cnet_server_errors_finalize(cnet_server *s) {
  if (s->hears_errors) cnet_blame_add(cnet_server_runtime(s), -1);
  s->hears_errors = false;
}

static bool is_of_class(const cnet_object *object, cnet_class_id id) {
  const cnet_class *class = object ? object->class : NULL;
  while (class && class->id != id) class = class->parent;
  return class != NULL;
}

/* Pushes the owner of the object at index object, and returns it if that is a server. */
static cnet_server *push_server(lua_State *L, int object) {
  if (!is_of_class(lua_touserdata(L, object), CNET_SOCKET)) {
    lua_pushnil(L);
    return NULL;
  }
  lua_getiuservalue(L, object, CNET_SOCKET_OWNER);
  return is_of_class(lua_touserdata(L, -1), CNET_SERVER) ? lua_touserdata(L, -1) : NULL;
}

static bool answers(lua_State *L, int object) {
  const cnet_server *s = push_server(L, object);
  lua_pop(L, 1);
  return s && s->hears_errors;
}

/* If the last listener went while the stack was unwound, by a variable that was closed, the error is as loud as ever.
 */
static void tell(lua_State *L, int object, int err) {
  const cnet_server *s = push_server(L, object);
  int server = lua_gettop(L);
  lua_pushvalue(L, err);
  if (!s || !s->hears_errors) {
    lua_error(L);
    return;
  }
  lua_pushvalue(L, object);
  cnet_emit(L, server, "handlerError", 2);
}

static void end(lua_State *L, int object) { cnet_stream_destroy(L, lua_touserdata(L, object), object, 0); }

void cnet_server_errors_register(lua_State *L) {
  static const cnet_blame_ops ops = {answers, tell, end};
  cnet_runtime_open(L)->blame.ops = &ops;
}
