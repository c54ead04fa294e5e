/* A handle on its way: it came from another process, or waits to go to one, and is no server's or socket's.
 *
 * Wing handle, above handle. Scripts see it where Node shows them a raw handle ('message' of a "net.Native"), and may
 * give it to server:listen or net.Socket{handle = ...}, which take it over. */
#ifndef CNET_NATIVE_H
#define CNET_NATIVE_H

#include "core/class.h"
#include "handle/handle.h"

typedef struct {
  cnet_object object;
  cnet_handle *handle; /* NULL once it is taken or closed */
} cnet_native;

/* Pushes a new one without a handle: the handle is made when its owner is there. */
cnet_native *cnet_native_push(lua_State *L, cnet_runtime *rt);
/* The object at index if it is one; else NULL. */
cnet_native *cnet_native_test(lua_State *L, cnet_runtime *rt, int index);
/* Takes the handle away, NULL if it has none: it is the caller's. */
cnet_handle *cnet_native_take(cnet_native *n);
void cnet_native_close(cnet_native *n);

/* Makes the class known. */
void cnet_native_register(lua_State *L);

#endif
