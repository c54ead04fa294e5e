/* Whose listener an error comes from: net.Server's 'handlerError' is for those of its sockets.
 *
 * Wing core, under protect. While somebody wants to know (rt->blame.answering), every listener is called by a C
 * function of this room, whose first argument is the object that it listens to. An error that nothing in Lua catches is
 * met, before the stack is unwound, by the message handler of the one lua_pcall, which looks for the innermost of these
 * frames. Nothing has to be kept right while a script catches errors by itself, and while nobody wants to know a
 * listener costs one comparison more. Rejected: a lua_pcall around each listener, which would take errors from the
 * script's own pcall; and an object that is remembered while its listener runs, which a caught error leaves behind. */
#ifndef CNET_BLAME_H
#define CNET_BLAME_H

#include "core/runtime.h"

/* What those above know of the objects. */
typedef struct cnet_blame_ops {
  /* Does somebody answer for errors of listeners of the object at index object? Neither raises nor allocates. */
  bool (*answers)(lua_State *L, int object);
  /* Tells him of the error at index err. */
  void (*tell)(lua_State *L, int object, int err);
  /* Ends the object, whose error was told. */
  void (*end)(lua_State *L, int object);
} cnet_blame_ops;

/* One more wants to know, or one less. */
void cnet_blame_add(cnet_runtime *rt, int change);
/* Which message handler the lua_pcall of protect.c needs. */
void cnet_blame_choose_handler(cnet_runtime *rt);
/* Calls the function below the nargs arguments on top, which all are popped, as a listener of the object at the
 * absolute index object. */
void cnet_blame_call_framed(lua_State *L, int object, int nargs);
static inline void cnet_blame_call(lua_State *L, const cnet_runtime *rt, int object, int nargs) {
  if (rt->blame.answering == 0) {
    lua_call(L, nargs, 0);
  } else {
    cnet_blame_call_framed(L, object, nargs);
  }
}

/* Inside a message handler: is somebody to answer for the error? Then rt->blame.blamed says so. */
void cnet_blame_look(lua_State *L, cnet_runtime *rt);
/* The same after lua_pcall has failed. Its message handler has not looked if there is no memory, or if nobody wanted to
 * know when the callback began. */
void cnet_blame_look_after(cnet_runtime *rt);
/* Pushes the object that is blamed; it is forgotten after that. */
void cnet_blame_take(lua_State *L, cnet_runtime *rt);

#endif
