/* Messages as JSON text, by the dkjson library, which is loaded when it is first needed.
 *
 * Wing text. dkjson keeps integers integers; it is the library that Debian and LuaRocks both have and that needs no
 * compiler. What it would write wrongly is prepared here: floats keep their last bit, {n = 3} is no array of three, and
 * text that is not UTF-8 is refused. */
#ifndef CNET_JSON_H
#define CNET_JSON_H

#include <lua.h>
#include <stdbool.h>

/* Loads the library; raises an error that says how to install it if it is missing. */
void cnet_json_load(lua_State *L);
/* Pushes the text of the value at index; raises for what JSON cannot have. */
void cnet_json_encode(lua_State *L, int index);
/* Pushes the value of the text at index and returns true; or pushes an error and returns false. */
bool cnet_json_decode(lua_State *L, int index);
/* Pushes what stands for null in a table that is to be encoded. */
void cnet_json_push_null(lua_State *L);

#endif
