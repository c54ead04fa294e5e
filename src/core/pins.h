/* Pins keep alive what libuv can still call: pinned exactly while a handle is open or a request is in flight.
 *
 * Wing core, over the runtime. */
#ifndef CNET_PINS_H
#define CNET_PINS_H

#include "core/runtime.h"

void cnet_pin(lua_State *L, cnet_runtime *rt, const void *key, int index);
void cnet_unpin(lua_State *L, cnet_runtime *rt, const void *key);
/* The same at a place, a number that is found faster than a key: gives one out (0 is none), and takes it back. */
int cnet_pin_place(lua_State *L, cnet_runtime *rt, int place, int index);
void cnet_unpin_place(lua_State *L, cnet_runtime *rt, int place);
int cnet_pin_push_place(lua_State *L, cnet_runtime *rt, int place);
/* Pushes what is pinned under the key (nil if nothing is); returns its type. */
int cnet_pin_push(lua_State *L, cnet_runtime *rt, const void *key);

#endif
