/* How the texts of errors show a value that was received, in Node's ways and with Lua's types.
 *
 * Wing core. A number is shown as Lua's tostring does, but for NaN, Infinity and -Infinity. Each pushes a string. */
#ifndef CNET_RECEIVED_H
#define CNET_RECEIVED_H

#include <lua.h>
#include <stddef.h>

/* As tostring. */
void cnet_received_push_plain(lua_State *L, int index);
/* Where the type is wrong: "type number (1)", "type string ('x')", "nil". */
void cnet_received_push_typed(lua_State *L, int index);
/* Where the value is wrong: "1", "'x'", "nil". Of a text the first `most` characters. */
void cnet_received_push_inspected(lua_State *L, int index, size_t most);
/* Where it is out of a range: the same, and whole numbers beyond 2^32 as "4_294_967_297". */
void cnet_received_push_ranged(lua_State *L, int index);

#endif
