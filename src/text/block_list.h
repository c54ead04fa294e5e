/* net.BlockList: rules for IP addresses, and what other modules ask of one.
 *
 * Wing text. */
#ifndef CNET_BLOCK_LIST_H
#define CNET_BLOCK_LIST_H

#include "core/class.h"

/* Is the value at index a BlockList? */
bool cnet_block_list_test(lua_State *L, cnet_runtime *rt, int index);
/* ERR_INVALID_ARG_TYPE unless it is one; name is "options.blockList". */
void cnet_block_list_check_option(lua_State *L, cnet_runtime *rt, int index, const char *name);
/* Does the BlockList at index block the address? family is 4 or 6, as cnet_address has it. Text that is no address of
 * the family is not blocked. Calls no Lua and raises nothing. */
bool cnet_block_list_blocks(lua_State *L, int index, const char *ip, int family);

/* Registers net.BlockList and net.SocketAddress in the table on top. */
void cnet_block_list_register(lua_State *L);

#endif
