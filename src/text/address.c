#include "text/address.h"

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <uv.h>

#include "core/error.h"
#include "core/runtime.h"

/* ---- what is an IP address ---- */

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

static bool is_hex(char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }

/* Four numbers of 0 to 255 without leading zeros, up to the end */
static bool is_ipv4(const char *text, const char *end) {
  int parts, value, digits;
  for (parts = 0; parts < 4; parts++) {
    if (parts > 0 && (text == end || *text++ != '.')) return false;
    value = 0;
    for (digits = 0; text < end && is_digit(*text) && digits < 4; digits++) {
      if (digits > 0 && value == 0) return false;
      value = value * 10 + (*text++ - '0');
    }
    if (digits == 0 || digits > 3 || value > 255) return false;
  }
  return text == end;
}

static bool is_zone(const char *text, const char *end) {
  if (text == end) return false;
  for (; text < end; text++)
    if (!is_hex(*text) && !(*text >= 'g' && *text <= 'z') && !(*text >= 'G' && *text <= 'Z') && *text != '.' &&
        *text != ':' && *text != '-')
      return false;
  return true;
}

/* Groups of one to four hexadecimal digits, at most one "::", perhaps an IPv4 address in place of the last two. */
static bool is_ipv6(const char *text, const char *end) {
  const char *zone = memchr(text, '%', (size_t)(end - text));
  int groups = 0;
  bool gap = false;
  if (zone) {
    if (!is_zone(zone + 1, end)) return false;
    end = zone;
  }
  if (end - text >= 2 && text[0] == ':' && text[1] == ':') {
    gap = true;
    text += 2;
  }
  while (text < end) {
    const char *start = text;
    if (groups == 8) return false;
    while (text < end && is_hex(*text) && text - start < 5) text++;
    if (text < end && *text == '.') {
      groups += 2;
      return is_ipv4(start, end) && (gap ? groups <= 7 : groups == 8);
    }
    if (text == start || text - start > 4) return false;
    groups++;
    if (text == end) break;
    if (*text++ != ':' || text == end) return false;
    if (*text == ':') {
      if (gap) return false;
      gap = true;
      text++;
    }
  }
  return gap ? groups <= 7 : groups == 8;
}

int cnet_is_ip(const char *text, size_t length) {
  if (is_ipv4(text, text + length)) return 4;
  return is_ipv6(text, text + length) ? 6 : 0;
}

bool cnet_is_link_local(const char *ip) {
  struct in6_addr address;
  return uv_inet_pton(AF_INET6, ip, &address) == 0 && IN6_IS_ADDR_LINKLOCAL(&address);
}

/* ---- sockaddr <-> text ---- */

/* libuv finds a zone by its name only, and takes no notice of one it does not find; it may be a number. */
static uint32_t zone_number(const char *ip) {
  const char *zone = strchr(ip, '%');
  uint64_t n = 0;
  if (!zone) return 0;
  while (is_digit(*++zone) && n <= UINT32_MAX) n = n * 10 + (uint64_t)(*zone - '0');
  return *zone == '\0' && n <= UINT32_MAX ? (uint32_t)n : 0;
}

int cnet_address_parse(const char *ip, int port, struct sockaddr_storage *out) {
  struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)out;
  int status;
  memset(out, 0, sizeof *out);
  if (!strchr(ip, ':')) return uv_ip4_addr(ip, port, (struct sockaddr_in *)out);
  status = uv_ip6_addr(ip, port, in6);
  if (status == 0 && in6->sin6_scope_id == 0) in6->sin6_scope_id = zone_number(ip);
  return status;
}

void cnet_address_read(const struct sockaddr *from, cnet_address *out) {
  memset(out, 0, sizeof *out);
  if (from->sa_family == AF_INET) {
    const struct sockaddr_in *in = (const struct sockaddr_in *)from;
    out->family = 4;
    out->port = ntohs(in->sin_port);
    uv_ip4_name(in, out->ip, sizeof out->ip);
  } else if (from->sa_family == AF_INET6) {
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)from;
    char name[IF_NAMESIZE];
    size_t length;
    out->family = 6;
    out->port = ntohs(in6->sin6_port);
    uv_ip6_name(in6, out->ip, sizeof out->ip);
    length = strlen(out->ip);
    if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr) && in6->sin6_scope_id && if_indextoname(in6->sin6_scope_id, name))
      snprintf(out->ip + length, sizeof out->ip - length, "%%%s", name);
  }
}

const char *cnet_address_family_name(int family) { return family == 6 ? "IPv6" : "IPv4"; }

void cnet_address_push(lua_State *L, const cnet_address *address) {
  lua_createtable(L, 0, 3);
  lua_pushstring(L, address->ip);
  lua_setfield(L, -2, "address");
  lua_pushstring(L, cnet_address_family_name(address->family));
  lua_setfield(L, -2, "family");
  lua_pushinteger(L, address->port);
  lua_setfield(L, -2, "port");
}

/* ---- addresses where a path belongs ---- */

enum { PORT_DIGITS = 5, SHOWN = 60 };

/* The length of the IP address that the text is, or that it is with a port behind it, which begins at *port then: NULL
 * without one. 0 if it is neither. */
static size_t address_length(const char *text, size_t length, const char **port) {
  const char *end = text + length, *digits = end;
  size_t host;
  *port = NULL;
  if (cnet_is_ip(text, length)) return length;
  while (digits > text && end - digits <= PORT_DIGITS && is_digit(digits[-1])) digits--;
  if (digits == end || end - digits > PORT_DIGITS || digits == text || digits[-1] != ':') return 0;
  *port = digits;
  host = (size_t)(digits - 1 - text);
  if (is_ipv4(text, text + host)) return host;
  return host > 2 && text[0] == '[' && text[host - 1] == ']' && is_ipv6(text + 1, text + host - 1) ? host : 0;
}

/* Pushes `method(port, "host")`: the port is that of the text, or the number at index next, or the word. */
static void push_call(lua_State *L, const char *method, const char *host, size_t length, const char *port, int next) {
  bool bracketed = length > 0 && host[0] == '[', shown = length <= SHOWN && !memchr(host, '\0', length);
  lua_Integer n;
  int whole;
  lua_pushstring(L, method);
  lua_pushliteral(L, "(");
  n = lua_tointegerx(L, next, &whole);
  if (port) {
    lua_pushstring(L, port);
  } else if (lua_type(L, next) == LUA_TNUMBER && whole) {
    lua_pushfstring(L, "%I", (LUAI_UACINT)n);
  } else {
    lua_pushliteral(L, "port");
  }
  lua_pushstring(L, shown ? ", \"" : ", host");
  lua_pushlstring(L, host + (bracketed ? 1 : 0), !shown ? 0 : length - (bracketed ? 2 : 0));
  lua_pushstring(L, shown ? "\")" : ")");
  lua_concat(L, 6);
}

void cnet_address_check_path(lua_State *L, int path, int next, const char *method, bool numbered) {
  size_t length, host;
  const char *port, *text;
  if (lua_type(L, path) != LUA_TSTRING) return;
  text = lua_tolstring(L, path, &length);
  host = address_length(text, length, &port);
  if (host == 0 && !(numbered && lua_type(L, next) == LUA_TNUMBER)) return;
  push_call(L, method, text, host ? host : length, port, next);
  if (host) {
    lua_pushfstring(L, "is an address: call %s, or %s{ path = ... } for a file of this name", lua_tostring(L, -1),
                    method);
  } else {
    lua_pushfstring(L, "must come before the host: call %s", lua_tostring(L, -1));
  }
  cnet_error_arg_value(L, "argument", host ? "path" : "port", path, lua_tostring(L, -1));
}

/* ---- net.isIP ---- */

/* As in Node an object counts by its text; what is no object or text is no address. */
static int family_of_argument(lua_State *L) {
  int type = lua_type(L, 1), family;
  size_t length;
  const char *text;
  if (type != LUA_TSTRING && type != LUA_TTABLE && type != LUA_TUSERDATA) return 0;
  text = luaL_tolstring(L, 1, &length);
  family = cnet_is_ip(text, length);
  lua_pop(L, 1);
  return family;
}

static int net_is_ip(lua_State *L) {
  lua_pushinteger(L, family_of_argument(L));
  return 1;
}

static int net_is_ipv4(lua_State *L) {
  lua_pushboolean(L, family_of_argument(L) == 4);
  return 1;
}

static int net_is_ipv6(lua_State *L) {
  lua_pushboolean(L, family_of_argument(L) == 6);
  return 1;
}

void cnet_address_register(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"isIP", net_is_ip}, {"isIPv4", net_is_ipv4}, {"isIPv6", net_is_ipv6}, {NULL, NULL}};
  cnet_runtime_set_functions(L, functions);
}
