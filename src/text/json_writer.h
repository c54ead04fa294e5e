/* Lua values as JSON text.
 *
 * Wing text. Integers are written whole, floats to their last bit and with a point or an exponent, so that they are
 * floats where they arrive. A table whose keys are positive integers, not too far apart, is an array, and so is an
 * empty one, unless its metatable says __jsontype = "object", as that of each object that was read does; a table.pack
 * is one too. Tables are read raw, but for a metamethod __tojson, which returns JSON text, as dkjson has it. */
#ifndef CNET_JSON_WRITER_H
#define CNET_JSON_WRITER_H

#include "core/block.h"

/* Adds the value at index; raises for what JSON does not have. */
void cnet_json_write(cnet_block *out, int index);
/* Pushes the text of the value at index. */
void cnet_json_push(lua_State *L, int index);
/* Pushes what stands for null in a table that is to be written: the light userdata NULL. */
void cnet_json_push_null(lua_State *L);

#endif
