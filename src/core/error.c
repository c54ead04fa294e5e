#include "core/error.h"

#include <lauxlib.h>
#include <stdarg.h>
#include <stdint.h>
#include <uv.h>

#include "core/received.h"
#include "core/runtime.h"

static const char metatable_key = 0;

/* ---- making one ---- */

/* Pops the message and pushes an error that has it. */
static void push_bare(lua_State *L, const char *name) {
  lua_createtable(L, 0, 8);
  lua_insert(L, -2);
  lua_setfield(L, -2, "message");
  lua_pushstring(L, name);
  lua_setfield(L, -2, "name");
  lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
  lua_setmetatable(L, -2);
}

static void set_string(lua_State *L, const char *key, const char *value) {
  lua_pushstring(L, value);
  lua_setfield(L, -2, key);
}

void cnet_error_push_text(lua_State *L, const char *name, const char *code) {
  push_bare(L, name);
  set_string(L, "code", code);
}

void cnet_error_push(lua_State *L, const char *name, const char *code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  lua_pushvfstring(L, format, arguments);
  va_end(arguments);
  cnet_error_push_text(L, name, code);
}

void cnet_error_push_value(lua_State *L, const char *name, const char *code, const char *before, int index) {
  cnet_received_push_plain(L, index); /* before anything else is pushed: the index may be none */
  lua_pushstring(L, before);
  lua_insert(L, -2);
  lua_concat(L, 2);
  cnet_error_push_text(L, name, code);
}

/* "script.lua:12: " of the nearest Lua function on the stack, or "". */
static void push_position(lua_State *L) {
  lua_Debug ar;
  int level;
  for (level = 0; lua_getstack(L, level, &ar); level++) {
    lua_getinfo(L, "Sl", &ar);
    if (ar.currentline > 0) {
      lua_pushfstring(L, "%s:%d: ", ar.short_src, ar.currentline);
      return;
    }
  }
  lua_pushliteral(L, "");
}

int cnet_error_throw(lua_State *L) {
  push_position(L);
  lua_setfield(L, -2, "position");
  return lua_error(L);
}

/* ---- system errors ---- */

static void set_system(lua_State *L, int status, const char *code, const char *syscall) {
  lua_pushinteger(L, status);
  lua_setfield(L, -2, "errno");
  set_string(L, "code", code);
  set_string(L, "syscall", syscall);
}

static void push_code(lua_State *L, int status) {
  char name[64];
  lua_pushstring(L, uv_err_name_r(status, name, sizeof name));
}

void cnet_error_push_system(lua_State *L, int status, const char *syscall) {
  cnet_error_push_endpoint(L, status, syscall, 0, 0, NULL);
}

/* Pushes the port, an integer if it is whole. */
static void push_port(lua_State *L, lua_Number port) {
  lua_Integer whole;
  if (lua_numbertointeger(port, &whole) && (lua_Number)whole == port) {
    lua_pushinteger(L, whole);
  } else {
    lua_pushnumber(L, port);
  }
}

/* Pushes " address:port", " address" or "". Not by a format: an abstract socket's name has a NUL in it. */
static void push_where(lua_State *L, int address, lua_Number port) {
  if (!address && port <= 0) {
    lua_pushliteral(L, "");
    return;
  }
  lua_pushliteral(L, " ");
  if (address) {
    lua_pushvalue(L, address);
  } else {
    lua_pushliteral(L, "null");
  }
  if (port > 0) {
    lua_pushliteral(L, ":");
    push_port(L, port);
    lua_concat(L, 2);
  } else {
    lua_pushliteral(L, "");
  }
  lua_concat(L, 3);
}

/* Pops the message; code is the index of the code, whose place the error takes. */
static void push_with_endpoint(lua_State *L, int status, int code, const char *syscall, int address, lua_Number port) {
  push_bare(L, "Error");
  set_system(L, status, lua_tostring(L, code), syscall);
  if (address) {
    lua_pushvalue(L, address);
    lua_setfield(L, -2, "address");
  }
  if (port != 0) {
    push_port(L, port);
    lua_setfield(L, -2, "port");
  }
  lua_replace(L, code);
  lua_settop(L, code);
}

void cnet_error_push_listen(lua_State *L, int status, int address, int port) {
  char text[256];
  int code;
  push_code(L, status);
  code = lua_gettop(L);
  lua_pushfstring(L, "listen %s: %s", lua_tostring(L, code), uv_strerror_r(status, text, sizeof text));
  push_where(L, address, port);
  lua_concat(L, 2);
  push_with_endpoint(L, status, code, "listen", address, port);
}

void cnet_error_push_endpoint(lua_State *L, int status, const char *syscall, int address, lua_Number port,
                              const char *details) {
  int code;
  push_code(L, status);
  code = lua_gettop(L);
  lua_pushfstring(L, "%s %s", syscall, lua_tostring(L, code));
  push_where(L, address, port);
  lua_pushfstring(L, details ? " - Local (%s)" : "", details);
  lua_concat(L, 3);
  push_with_endpoint(L, status, code, syscall, address, port);
}

void cnet_error_push_lookup(lua_State *L, int status, const char *hostname) {
  int code;
  if (status == UV_EAI_NONAME || status == UV_EAI_NODATA || status == UV_EAI_MEMORY) {
    lua_pushliteral(L, "ENOTFOUND");
  } else {
    push_code(L, status);
  }
  code = lua_gettop(L);
  lua_pushfstring(L, "getaddrinfo %s %s", lua_tostring(L, code), hostname);
  push_bare(L, "Error");
  set_system(L, status, lua_tostring(L, code), "getaddrinfo");
  set_string(L, "hostname", hostname);
  lua_replace(L, code);
}

void cnet_error_push_aggregate(lua_State *L) {
  int errors = lua_gettop(L) - 1;
  push_bare(L, "AggregateError");
  lua_rawgeti(L, errors, 1);
  lua_getfield(L, -1, "code");
  lua_setfield(L, -3, "code");
  lua_pop(L, 1);
  lua_insert(L, errors);
  lua_setfield(L, errors, "errors");
}

void cnet_error_push_abort(lua_State *L) { cnet_error_push(L, "AbortError", "ABORT_ERR", "The operation was aborted"); }

/* ---- errors about arguments ---- */

/* What was received is below the words that go before it. */
static int throw_received(lua_State *L, const char *name, const char *code) {
  lua_insert(L, -2);
  lua_concat(L, 2);
  cnet_error_push_text(L, name, code);
  return cnet_error_throw(L);
}

int cnet_error_arg_type(lua_State *L, const char *kind, const char *name, const char *expected, int index) {
  cnet_received_push_typed(L, index);
  lua_pushfstring(L, "The \"%s\" %s must be %s. Received ", name, kind, expected);
  return throw_received(L, "TypeError", "ERR_INVALID_ARG_TYPE");
}

int cnet_error_arg_value(lua_State *L, const char *kind, const char *name, int index, const char *reason) {
  cnet_received_push_inspected(L, index, 128);
  lua_pushfstring(L, "The %s '%s' %s. Received ", kind, name, reason);
  return throw_received(L, "TypeError", "ERR_INVALID_ARG_VALUE");
}

int cnet_error_out_of_range(lua_State *L, const char *name, const char *range, int index) {
  cnet_received_push_ranged(L, index);
  lua_pushfstring(L, "The value of \"%s\" is out of range. It must be %s. Received ", name, range);
  return throw_received(L, "RangeError", "ERR_OUT_OF_RANGE");
}

/* ---- what is an error ---- */

int cnet_error_test(lua_State *L, int index) {
  int type = lua_type(L, index), is;
  if (type != LUA_TTABLE && type != LUA_TUSERDATA) return 0;
  if (type == LUA_TUSERDATA && luaL_getmetafield(L, index, "__index") == LUA_TNIL) return 0;
  if (type == LUA_TUSERDATA) lua_pop(L, 1);
  is = lua_getfield(L, index, "message") == LUA_TSTRING;
  lua_pop(L, 1);
  return is;
}

int cnet_error_raise_unhandled(lua_State *L) {
  int value = lua_gettop(L);
  if (cnet_error_test(L, value)) return lua_error(L);
  lua_pushliteral(L, "Unhandled error. (");
  if (lua_type(L, value) == LUA_TSTRING) {
    cnet_received_push_inspected(L, value, SIZE_MAX);
  } else {
    cnet_received_push_plain(L, value);
  }
  lua_pushliteral(L, ")");
  lua_concat(L, 3);
  cnet_error_push_text(L, "Error", "ERR_UNHANDLED_ERROR");
  lua_pushvalue(L, value);
  lua_setfield(L, -2, "context");
  return lua_error(L);
}

/* ---- net.Error ---- */

/* net.Error(message, fields): a copy of the fields, which may also name and number it */
static int net_error(lua_State *L) {
  lua_settop(L, 3);
  lua_remove(L, 1); /* net.Error itself */
  if (lua_isnil(L, 1)) {
    lua_pushliteral(L, "");
  } else {
    luaL_tolstring(L, 1, NULL);
  }
  push_bare(L, "Error");
  if (lua_isnil(L, 2)) return 1;
  if (!lua_istable(L, 2)) return cnet_error_arg_type(L, "argument", "fields", "of type table", 2);
  lua_pushnil(L);
  while (lua_next(L, 2)) {
    lua_pushvalue(L, -2);
    lua_insert(L, -2);
    lua_rawset(L, -4);
  }
  return 1;
}

static int error_tostring(lua_State *L) {
  if (!lua_istable(L, 1)) return luaL_error(L, "net.Error expected");
  lua_settop(L, 1);
  if (lua_getfield(L, 1, "position") != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "");
  }
  if (lua_getfield(L, 1, "message") != LUA_TSTRING) {
    lua_pop(L, 1);
    lua_pushliteral(L, "");
  }
  lua_concat(L, 2);
  if (lua_rawlen(L, -1) == 0) { /* one that a script made */
    lua_getfield(L, 1, "name");
    lua_getfield(L, 1, "code");
    lua_pushfstring(L, "%s%s%s%s", lua_isstring(L, -2) ? lua_tostring(L, -2) : "Error", lua_isstring(L, -1) ? " [" : "",
                    lua_isstring(L, -1) ? lua_tostring(L, -1) : "", lua_isstring(L, -1) ? "]" : "");
  }
  return 1;
}

static int error_concat(lua_State *L) {
  lua_settop(L, 2);
  luaL_tolstring(L, 1, NULL);
  luaL_tolstring(L, 2, NULL);
  lua_concat(L, 2);
  return 1;
}

static int error_class_tostring(lua_State *L) {
  lua_pushliteral(L, "net.Error");
  return 1;
}

void cnet_error_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"__tostring", error_tostring}, {"__concat", error_concat}, {NULL, NULL}};
  static const luaL_Reg class_functions[] = {{"__call", net_error}, {"__tostring", error_class_tostring}, {NULL, NULL}};
  if (lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key) == LUA_TNIL) {
    lua_createtable(L, 0, 4);
    luaL_setfuncs(L, functions, 0);
    lua_pushliteral(L, "net.Error");
    lua_setfield(L, -2, "__name");
    lua_createtable(L, 0, 0);
    lua_createtable(L, 0, 3);
    luaL_setfuncs(L, class_functions, 0);
    lua_setmetatable(L, -2);
    lua_pushvalue(L, -1);
    lua_setfield(L, -3, "__index"); /* what a script adds to net.Error, every error has */
    lua_setfield(L, -2, "class");
    lua_rawsetp(L, LUA_REGISTRYINDEX, &metatable_key);
    lua_rawgetp(L, LUA_REGISTRYINDEX, &metatable_key);
    lua_remove(L, -2);
  }
  lua_getfield(L, -1, "class");
  lua_setfield(L, -3, "Error");
  lua_pop(L, 1);
}
