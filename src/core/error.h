/* net.Error: Node's error objects, from a libuv status or an ERR_ code, with Node's messages.
 *
 * Wing core. An error is a table with the metatable of net.Error: name, message, code and, for system errors, errno,
 * syscall, address, port, path, hostname. An error thrown for the caller's arguments also has `position`, with which
 * its tostring begins. */
#ifndef CNET_ERROR_H
#define CNET_ERROR_H

#include <lua.h>

/* Pushes an error; name is "Error", "TypeError", "RangeError" ... and the message is lua_pushfstring's. */
void cnet_error_push(lua_State *L, const char *name, const char *code, const char *format, ...);
/* Pops the message and pushes an error that has it: text of a script's may have a NUL, where a format would end. */
void cnet_error_push_text(lua_State *L, const char *name, const char *code);
/* The message is `before` and the value at index, as tostring shows it. */
void cnet_error_push_value(lua_State *L, const char *name, const char *code, const char *before, int index);
/* Adds the caller's position to the error on top and raises it. */
int cnet_error_throw(lua_State *L);

/* "read ECONNRESET": code, errno, syscall. */
void cnet_error_push_system(lua_State *L, int status, const char *syscall);
/* "listen EADDRINUSE: address already in use 127.0.0.1:80": also address (the string at that index, 0 for none) and
 * port; a port of 0 is left out, -1 (a path) is shown as a field only. */
void cnet_error_push_listen(lua_State *L, int status, int address, int port);
/* "connect ECONNREFUSED 127.0.0.1:80[ - Local (127.0.0.1:99)]"; the address likewise; the port is shown as a script
 * gave it, though it be none; details may be NULL. */
void cnet_error_push_endpoint(lua_State *L, int status, const char *syscall, int address, lua_Number port,
                              const char *details);
/* "getaddrinfo ENOTFOUND name", with hostname. */
void cnet_error_push_lookup(lua_State *L, int status, const char *hostname);
/* Pops a message, and replaces the array of errors below it, one at least, by the AggregateError of them. */
void cnet_error_push_aggregate(lua_State *L);
/* AbortError, code ABORT_ERR. */
void cnet_error_push_abort(lua_State *L);

/* Errors about an argument of the running function; kind is "argument" or "property". They raise.
 * The "name" argument must be <expected>. Received ... */
int cnet_error_arg_type(lua_State *L, const char *kind, const char *name, const char *expected, int index);
/* The argument 'name' <reason>. Received ... */
int cnet_error_arg_value(lua_State *L, const char *kind, const char *name, int index, const char *reason);
/* The value of "name" is out of range. It must be <range>. Received ... */
int cnet_error_out_of_range(lua_State *L, const char *name, const char *range, int index);

/* Does the value count as an Error: has it a string `message`? */
int cnet_error_test(lua_State *L, int index);
/* Pops the value of an 'error' event nobody listens to and raises it, or ERR_UNHANDLED_ERROR with its context. */
int cnet_error_raise_unhandled(lua_State *L);

/* Registers net.Error in the table on top. */
void cnet_error_register(lua_State *L);

#endif
