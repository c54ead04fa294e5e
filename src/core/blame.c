#include "core/blame.h"

/* From where the error is raised: each level is looked for from the innermost one on, and a listener that calls itself
 * until the stack is full has 200,000 of them. */
enum { DEEPEST = 200 };

void cnet_blame_choose_handler(cnet_runtime *rt) {
  rt->turn.handler = rt->blame.answering > 0 ? rt->turn.blame_handler : rt->turn.script_handler;
}

void cnet_blame_add(cnet_runtime *rt, int change) {
  rt->blame.answering += change;
  cnet_blame_choose_handler(rt);
}

/* Sets the user value of the runtime to the value on top, which it pops. Allocates nothing. */
static void set_value(lua_State *L, int which) {
  cnet_runtime_push(L);
  lua_insert(L, -2);
  lua_setiuservalue(L, -2, which);
  lua_pop(L, 1);
}

static void push_value(lua_State *L, int which) {
  cnet_runtime_push(L);
  lua_getiuservalue(L, -1, which);
  lua_replace(L, -2);
}

static const cnet_runtime *runtime(lua_State *L) {
  const cnet_runtime *rt;
  cnet_runtime_push(L);
  rt = lua_touserdata(L, -1);
  lua_pop(L, 1);
  return rt;
}

static int frame(lua_State *L) { /* (object, fn, ...) */
  int nargs = lua_gettop(L) - 2;
  push_value(L, CNET_RUNTIME_LISTENER);
  lua_insert(L, 2);
  if (runtime(L)->blame.ops->answers(L, 1)) {
    lua_pushvalue(L, 1);
    set_value(L, CNET_RUNTIME_LISTENER);
  }
  lua_call(L, nargs, 0);
  set_value(L, CNET_RUNTIME_LISTENER);
  return 0;
}

void cnet_blame_call_framed(lua_State *L, int object, int nargs) {
  luaL_checkstack(L, 4, NULL);
  lua_pushcfunction(L, frame);
  lua_insert(L, -nargs - 2);
  lua_pushvalue(L, object);
  lua_insert(L, -nargs - 2);
  lua_call(L, nargs + 2, 0);
}

/* The object is on top, and is popped. */
static void blame(lua_State *L, cnet_runtime *rt) {
  rt->blame.blamed = rt->blame.ops->answers(L, lua_gettop(L));
  if (rt->blame.blamed) {
    set_value(L, CNET_RUNTIME_BLAMED);
  } else {
    lua_pop(L, 1);
  }
}

/* Where the frames are too far away, or gone: who was called last, though it may have caught an error and returned. */
static void blame_last(lua_State *L, cnet_runtime *rt) {
  push_value(L, CNET_RUNTIME_LISTENER);
  if (lua_isuserdata(L, -1)) {
    blame(L, rt);
  } else {
    lua_pop(L, 1);
  }
}

void cnet_blame_look(lua_State *L, cnet_runtime *rt) {
  lua_Debug ar;
  int level;
  rt->blame.looked = true;
  if (rt->blame.blamed || rt->blame.telling || rt->blame.answering == 0) return;
  for (level = 1; level <= DEEPEST; level++) {
    bool is_frame;
    if (!lua_getstack(L, level, &ar)) return;
    lua_getinfo(L, "f", &ar);
    is_frame = lua_tocfunction(L, -1) == frame;
    lua_pop(L, 1);
    if (!is_frame) continue;
    lua_getlocal(L, &ar, 1);
    blame(L, rt);
    if (rt->blame.blamed) return;
  }
  blame_last(L, rt);
}

void cnet_blame_look_after(cnet_runtime *rt) {
  if (!rt->blame.looked && !rt->blame.telling && rt->blame.answering > 0) blame_last(rt->L, rt);
  rt->blame.looked = false;
  lua_pushboolean(rt->L, 0);
  set_value(rt->L, CNET_RUNTIME_LISTENER);
}

void cnet_blame_take(lua_State *L, cnet_runtime *rt) {
  rt->blame.blamed = false;
  push_value(L, CNET_RUNTIME_BLAMED);
  lua_pushboolean(L, 0);
  set_value(L, CNET_RUNTIME_BLAMED);
}
