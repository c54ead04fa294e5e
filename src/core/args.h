/* Readers for arguments and option tables: JavaScript's truth and numbers, ports, callbacks.
 *
 * Wing core. */
#ifndef CNET_ARGS_H
#define CNET_ARGS_H

#include <limits.h>
#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Takes nil arguments from the end, down to index `first`: a trailing nil is an absent argument, and what stands before
 * it may be the callback. */
void cnet_trim_nils(lua_State *L, int first);
/* JavaScript's truth: nil, false, 0, NaN and "" are false. */
bool cnet_truthy(lua_State *L, int index);
/* JavaScript's Number(value): NaN for what is none; "" and blanks are 0; 0x, 0o, 0b and Infinity are known. */
double cnet_to_number(lua_State *L, int index);
/* ~~x */
int cnet_trunc32(double x);
/* A number that is not below 0 as a size; one that no size can have is the largest of which Lua has an integer. */
size_t cnet_to_size(lua_Number n);
/* A number of elements, which is not below 0, as lua_createtable and lua_checkstack take it. What does not fit is more
 * than there can be: these two refuse it by themselves. */
static inline int cnet_places(lua_Integer n) { return n < INT_MAX ? (int)n : INT_MAX; }
/* Is it a path rather than a port: a string that is no number of 0 or more? */
bool cnet_is_pipe_name(lua_State *L, int index);
/* A port of 0 (1 unless allow_zero) to 65535, as a number or a numeric string; else ERR_SOCKET_BAD_PORT. */
int cnet_check_port(lua_State *L, int index, const char *name, bool allow_zero);
/* The name of a host to listen on: ERR_INVALID_ARG_TYPE unless it is a string, and ERR_INVALID_ARG_VALUE if it has a
 * NUL: the resolver would end there and find another host. */
const char *cnet_check_host(lua_State *L, int index);
/* The same of another text, as the argument or property that its error names. */
const char *cnet_check_text(lua_State *L, int index, const char *kind, const char *name);
/* ERR_INVALID_ARG_TYPE unless it is a function. */
void cnet_check_function(lua_State *L, int index, const char *name);

/* Fields of a table of ours: what is no string is NULL, and what is no number 0. The table keeps the string alive. */
const char *cnet_get_string(lua_State *L, int table, const char *name);
lua_Integer cnet_get_integer(lua_State *L, int table, const char *name);
/* The same for a port, a family, a libuv error: a table that came from another process may have anything there, and
 * what is no int is the nearest one, so that it stays as wrong as it was. */
int cnet_get_int(lua_State *L, int table, const char *name);
void cnet_set_integer(lua_State *L, int table, const char *name, lua_Integer n);
/* Sets the field to the value at index value. */
void cnet_set_value(lua_State *L, int table, const char *name, int value);

/* A script's options: is the field true, as JavaScript has it? */
bool cnet_option_true(lua_State *L, int options, const char *name);
/* Leaves the field on the stack and returns true if it is a number, or pops it if it is absent; else raises. */
bool cnet_option_number(lua_State *L, int options, const char *name);
/* A field in ms, as whole seconds; 0 if it is absent or negative. */
int cnet_option_seconds(lua_State *L, int options, const char *name);

#endif
