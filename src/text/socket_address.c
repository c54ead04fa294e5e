#include "text/socket_address.h"

#include <math.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"
#include "core/strict.h"
#include "text/address.h"

enum { MAPPED = 12 }; /* bytes before the IPv4 address in an IPv4-mapped one */

#define MAX_FLOWLABEL 0xfffff
#define NO_NUMBER UINT64_MAX

typedef struct {
  cnet_object object;
  cnet_ip ip;
  int port;
  lua_Integer flowlabel;
} socket_address;

/* ---- IP addresses ---- */

static void set_ipv4(cnet_ip *ip, const void *bytes) {
  static const unsigned char prefix[MAPPED] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  memcpy(ip->bytes, prefix, MAPPED);
  memcpy(ip->bytes + MAPPED, bytes, CNET_IP_BYTES - MAPPED);
  ip->family = 4;
}

/* Not by uv_ip6_addr, which looks the zone up and cuts long addresses that have one. */
bool cnet_ip_parse(const char *text, size_t length, int family, cnet_ip *out) {
  unsigned char bytes[CNET_IP_BYTES];
  if (memchr(text, '\0', length) || uv_inet_pton(family == 6 ? AF_INET6 : AF_INET, text, bytes) != 0) return false;
  if (family == 6) {
    memcpy(out->bytes, bytes, sizeof bytes);
    out->family = 6;
  } else {
    set_ipv4(out, bytes);
  }
  out->port = 0;
  out->flowlabel = 0;
  return true;
}

void cnet_ip_write(const cnet_ip *ip, char text[CNET_IP_TEXT]) {
  bool is_ipv4 = ip->family == 4;
  text[0] = '\0';
  uv_inet_ntop(is_ipv4 ? AF_INET : AF_INET6, ip->bytes + (is_ipv4 ? MAPPED : 0), text, CNET_IP_TEXT);
}

/* ---- arguments ---- */

/* 4, 6, or 0 for what names no family. ASCII only: tolower is the locale's. */
static int read_family(lua_State *L, int index) {
  size_t length;
  const char *text;
  if (lua_isnil(L, index)) return 4;
  if (lua_type(L, index) != LUA_TSTRING) return 0;
  text = lua_tolstring(L, index, &length);
  if (length != 4 || (text[0] | 0x20) != 'i' || (text[1] | 0x20) != 'p' || (text[2] | 0x20) != 'v') return 0;
  return text[3] == '4' ? 4 : text[3] == '6' ? 6 : 0;
}

static bool parse_string(lua_State *L, int index, int family, cnet_ip *out) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length);
  return family != 0 && cnet_ip_parse(text, length, family, out);
}

bool cnet_ip_argument(lua_State *L, cnet_runtime *rt, int index, const char *name, int family, cnet_ip *out) {
  const socket_address *address = cnet_class_test(L, rt, index, CNET_SOCKET_ADDRESS);
  if (address) {
    *out = address->ip;
    out->port = (uint16_t)address->port;
    out->flowlabel = (uint32_t)address->flowlabel;
    return true;
  }
  if (lua_type(L, index) != LUA_TSTRING) cnet_error_arg_type(L, "argument", name, "of type string", index);
  if (!lua_isnil(L, family) && lua_type(L, family) != LUA_TSTRING)
    cnet_error_arg_type(L, "argument", "family", "of type string", family);
  return parse_string(L, index, read_family(L, family), out);
}

static int throw_invalid_address(lua_State *L) {
  cnet_error_push(L, "Error", "ERR_INVALID_ADDRESS", "Invalid socket address");
  return cnet_error_throw(L);
}

static int check_family(lua_State *L, int index) {
  int family = read_family(L, index);
  if (family == 0) cnet_error_arg_value(L, "property", "options.family", index, "is invalid");
  return family;
}

void cnet_ip_check(lua_State *L, cnet_runtime *rt, int index, const char *name, int family, cnet_ip *out) {
  if (cnet_ip_argument(L, rt, index, name, family, out)) return;
  check_family(L, family);
  throw_invalid_address(L);
}

lua_Integer cnet_check_unsigned(lua_State *L, int index, const char *kind, const char *name, lua_Integer max) {
  double n = lua_tonumber(L, index);
  index = lua_absindex(L, index);
  if (lua_type(L, index) != LUA_TNUMBER) cnet_error_arg_type(L, kind, name, "of type number", index);
  if (!isfinite(n) || n != floor(n)) cnet_error_out_of_range(L, name, "an integer", index);
  if (n < 0 || n > (double)max) {
    lua_pushfstring(L, ">= 0 && <= %I", (LUAI_UACINT)max);
    cnet_error_out_of_range(L, name, lua_tostring(L, -1), index);
  }
  return (lua_Integer)n;
}

/* ---- construction ---- */

static const cnet_class socket_address_class;

static void push_object(lua_State *L, cnet_runtime *rt, const cnet_ip *ip, int port, lua_Integer flowlabel) {
  socket_address *self = cnet_class_new(L, rt, sizeof *self, CNET_USERVALUES);
  self->ip = *ip;
  self->port = port;
  self->flowlabel = flowlabel;
  cnet_class_dress(L, &socket_address_class);
}

/* Node has no label for IPv4, and aborts for one that is too long. */
static lua_Integer check_flowlabel(lua_State *L, int index, int family) {
  lua_Integer label = 0;
  if (!lua_isnil(L, index)) label = cnet_check_unsigned(L, index, "property", "options.flowlabel", UINT32_MAX);
  if (family == 4) return 0;
  if (label > MAX_FLOWLABEL) cnet_check_unsigned(L, index, "property", "options.flowlabel", MAX_FLOWLABEL);
  return label;
}

/* The default address is IPv4's only if the family is "ipv4" to the letter, as in Node: "IPv4" needs an address. */
static void set_default_address(lua_State *L, int address, int family) {
  bool is_ipv4 = lua_isnil(L, family) || strcmp(lua_tostring(L, family), "ipv4") == 0;
  lua_pushstring(L, is_ipv4 ? "127.0.0.1" : "::");
  lua_replace(L, address);
}

static int construct(lua_State *L) {
  enum { OPTIONS = 1, FAMILY, ADDRESS, PORT, FLOWLABEL };
  static const char names[] = "address family port flowlabel";
  cnet_runtime *rt = cnet_runtime_open(L);
  lua_Integer flowlabel;
  int family, port;
  cnet_ip ip;
  lua_settop(L, OPTIONS);
  if (lua_isnil(L, OPTIONS)) {
    lua_newtable(L);
    lua_replace(L, OPTIONS);
  }
  if (!lua_istable(L, OPTIONS) && !cnet_class_test(L, rt, OPTIONS, CNET_SOCKET_ADDRESS))
    return cnet_error_arg_type(L, "argument", "options", "of type table", OPTIONS);
  cnet_strict_options(L, rt, OPTIONS, "net.SocketAddress", names, "");
  lua_getfield(L, OPTIONS, "family");
  lua_getfield(L, OPTIONS, "address");
  lua_getfield(L, OPTIONS, "port");
  lua_getfield(L, OPTIONS, "flowlabel");
  family = check_family(L, FAMILY);
  if (lua_isnil(L, ADDRESS)) set_default_address(L, ADDRESS, FAMILY);
  if (lua_type(L, ADDRESS) != LUA_TSTRING)
    return cnet_error_arg_type(L, "property", "options.address", "of type string", ADDRESS);
  port = lua_isnil(L, PORT) ? 0 : cnet_check_port(L, PORT, "options.port", true);
  flowlabel = check_flowlabel(L, FLOWLABEL, family);
  if (!parse_string(L, ADDRESS, family, &ip)) return throw_invalid_address(L);
  push_object(L, rt, &ip, port, flowlabel);
  return 1;
}

/* ---- SocketAddress.parse ---- */

static unsigned digit_of(char c) {
  if (c >= '0' && c <= '9') return (unsigned)(c - '0');
  c |= 0x20;
  return c >= 'a' && c <= 'f' ? (unsigned)(c - 'a' + 10) : 99;
}

/* A number of an IPv4 address in a URL: decimal, 0x hexadecimal or 0 octal. */
static uint64_t read_number(const char *text, const char *end) {
  unsigned base = 10;
  uint64_t n = 0;
  if (text == end) return NO_NUMBER;
  if (end - text > 1 && text[0] == '0') {
    base = (text[1] | 0x20) == 'x' ? 16 : 8;
    text += base == 16 ? 2 : 1;
  }
  for (; text < end; text++) {
    if (digit_of(*text) >= base) return NO_NUMBER;
    if (n <= UINT32_MAX) n = n * base + digit_of(*text);
  }
  return n;
}

/* An IPv4 address as URLs have it, which is what Node's parse takes: the last number fills what the others leave. */
static bool read_url_ipv4(const char *text, const char *end, cnet_ip *out) {
  uint32_t address = 0;
  uint64_t n;
  int parts;
  if (end > text && end[-1] == '.') end--;
  for (parts = 1; parts <= 4; parts++) {
    const char *dot = memchr(text, '.', (size_t)(end - text));
    n = read_number(text, dot ? dot : end);
    if (n > UINT32_MAX || (dot && n > 255)) return false;
    if (!dot) {
      if (n >> (8 * (5 - parts))) return false;
      address = htonl(address | (uint32_t)n);
      set_ipv4(out, &address);
      return true;
    }
    address |= (uint32_t)n << (32 - 8 * parts);
    text = dot + 1;
  }
  return false;
}

/* "[", an IPv6 address, "]" */
static bool read_url_ipv6(const char *text, const char *end, cnet_ip *out) {
  char copy[CNET_IP_TEXT];
  size_t length = (size_t)(end - text);
  if (length < 2 || length - 2 >= sizeof copy || end[-1] != ']' || memchr(text, '%', length)) return false;
  length -= 2;
  memcpy(copy, text + 1, length);
  copy[length] = '\0';
  return cnet_is_ip(copy, length) == 6 && cnet_ip_parse(copy, length, 6, out);
}

/* ":" and a port, which may be missing as in a URL; nothing is port 0. -1 if it is no port. */
static int read_port(const char *text, const char *end) {
  int port = 0;
  if (text == end) return 0;
  if (*text++ != ':') return -1;
  for (; text < end; text++) {
    if (digit_of(*text) > 9) return -1;
    port = port * 10 + (int)digit_of(*text);
    if (port > 65535) return -1;
  }
  return port;
}

/* Node goes by way of a URL, and so loses port 80 and takes "user@1.2.3.4/path": that is a fault and not followed. */
static int function_parse(lua_State *L) {
  size_t length;
  const char *text, *end, *host_end;
  cnet_ip ip;
  int port;
  lua_settop(L, 1);
  if (lua_type(L, 1) != LUA_TSTRING) return cnet_error_arg_type(L, "argument", "input", "of type string", 1);
  text = lua_tolstring(L, 1, &length);
  end = text + length;
  host_end = memchr(text, *text == '[' ? ']' : ':', length);
  host_end = !host_end ? end : *host_end == ']' ? host_end + 1 : host_end;
  port = read_port(host_end, end);
  if (port < 0 || !(*text == '[' ? read_url_ipv6 : read_url_ipv4)(text, host_end, &ip)) return 0;
  push_object(L, cnet_runtime_of(L), &ip, port, 0);
  return 1;
}

static int function_is_socket_address(lua_State *L) {
  lua_pushboolean(L, cnet_class_test(L, cnet_runtime_of(L), 1, CNET_SOCKET_ADDRESS) != NULL);
  return 1;
}

/* ---- net.SocketAddress ---- */

static int get_address(lua_State *L) {
  const socket_address *self = cnet_class_self(L, CNET_SOCKET_ADDRESS);
  char text[CNET_IP_TEXT];
  cnet_ip_write(&self->ip, text);
  lua_pushstring(L, text);
  return 1;
}

static int get_port(lua_State *L) {
  const socket_address *self = cnet_class_self(L, CNET_SOCKET_ADDRESS);
  lua_pushinteger(L, self->port);
  return 1;
}

static int get_family(lua_State *L) {
  const socket_address *self = cnet_class_self(L, CNET_SOCKET_ADDRESS);
  lua_pushstring(L, self->ip.family == 6 ? "ipv6" : "ipv4");
  return 1;
}

static int get_flowlabel(lua_State *L) {
  const socket_address *self = cnet_class_self(L, CNET_SOCKET_ADDRESS);
  lua_pushinteger(L, self->flowlabel);
  return 1;
}

static int method_to_json(lua_State *L) {
  static const cnet_member fields[] = {{"address", NULL, get_address, NULL},
                                       {"port", NULL, get_port, NULL},
                                       {"family", NULL, get_family, NULL},
                                       {"flowlabel", NULL, get_flowlabel, NULL}};
  size_t i;
  cnet_class_self(L, CNET_SOCKET_ADDRESS);
  lua_settop(L, 1);
  lua_createtable(L, 0, 4);
  for (i = 0; i < sizeof fields / sizeof *fields; i++) {
    fields[i].get(L);
    lua_setfield(L, 2, fields[i].name);
  }
  return 1;
}

static int address_tostring(lua_State *L) {
  const socket_address *self = lua_touserdata(L, 1);
  char text[CNET_IP_TEXT];
  cnet_ip_write(&self->ip, text);
  lua_pushfstring(L, self->ip.family == 6 ? "net.SocketAddress ([%s]:%d)" : "net.SocketAddress (%s:%d)", text,
                  self->port);
  return 1;
}

static const cnet_member members[] = {{"address", NULL, get_address, NULL},   {"port", NULL, get_port, NULL},
                                      {"family", NULL, get_family, NULL},     {"flowlabel", NULL, get_flowlabel, NULL},
                                      {"toJSON", method_to_json, NULL, NULL}, {NULL, NULL, NULL, NULL}};

static const cnet_class socket_address_class = {.id = CNET_SOCKET_ADDRESS,
                                                .name = "net.SocketAddress",
                                                .members = members,
                                                .construct = construct,
                                                .tostring = address_tostring};

void cnet_socket_address_register(lua_State *L) {
  static const luaL_Reg functions[] = {
      {"parse", function_parse}, {"isSocketAddress", function_is_socket_address}, {NULL, NULL}};
  cnet_class_define(L, &socket_address_class);
  cnet_runtime_set_functions(L, functions);
  lua_setfield(L, -2, "SocketAddress");
}
