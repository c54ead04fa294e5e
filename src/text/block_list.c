#include "text/block_list.h"

#include <lauxlib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/error.h"
#include "text/json_reader.h"
#include "text/private_ranges.h"
#include "text/rule_text.h"
#include "text/socket_address.h"

enum { RULES = CNET_USERVALUES + 1 }; /* user value: the userdata that holds the rules, so that Lua frees it */

typedef struct {
  cnet_object object;
  cnet_rule_list rules;
} block_list;

/* ---- for the other modules ---- */

bool cnet_block_list_test(lua_State *L, cnet_runtime *rt, int index) {
  return cnet_class_test(L, rt, index, CNET_BLOCK_LIST) != NULL;
}

void cnet_block_list_check_option(lua_State *L, cnet_runtime *rt, int index, const char *name) {
  const char *kind = strchr(name, '.') ? "property" : "argument";
  if (!cnet_block_list_test(L, rt, index)) cnet_error_arg_type(L, kind, name, "an instance of net.BlockList", index);
}

bool cnet_block_list_blocks(lua_State *L, int index, const char *ip, int family) {
  const block_list *self = lua_touserdata(L, index);
  cnet_ip parsed;
  return cnet_ip_parse(ip, strlen(ip), family, &parsed) && cnet_rule_list_blocks(&self->rules, &parsed);
}

/* ---- rules come and go ---- */

/* Room for so many more. Making it may run finalizers of the script, and they may change this very list. */
static void reserve(lua_State *L, int index, size_t more) {
  block_list *self = lua_touserdata(L, index);
  while (!cnet_rule_list_has_room(&self->rules, more)) {
    uint32_t capacity = cnet_rule_list_next_capacity(&self->rules, more);
    void *block;
    if (capacity == 0) luaL_error(L, "too many rules");
    block = lua_newuserdatauv(L, cnet_rule_list_block_size(capacity), 0);
    if (capacity > self->rules.capacity) {
      cnet_rule_list_move(&self->rules, block, capacity);
      lua_setiuservalue(L, index, RULES);
    } else {
      lua_pop(L, 1);
    }
  }
}

static void add_rule(lua_State *L, const cnet_rule *rule) {
  block_list *self = lua_touserdata(L, 1);
  reserve(L, 1, 1);
  cnet_rule_list_add(&self->rules, rule);
}

static void remove_rule(lua_State *L, const cnet_rule *rule) {
  block_list *self = lua_touserdata(L, 1);
  cnet_rule_list_remove(&self->rules, rule);
}

/* ---- arguments ---- */

/* Pads the arguments with nil, so that none is missing. */
static void check_self(lua_State *L) {
  cnet_class_self(L, CNET_BLOCK_LIST);
  lua_settop(L, 4);
}

static cnet_rule read_address(lua_State *L) { /* self, address, family */
  cnet_rule r = {.kind = CNET_RULE_ADDRESS};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "address", 3, &r.first);
  r.last = r.first;
  return r;
}

static cnet_rule read_range(lua_State *L) { /* self, start, end, family */
  cnet_rule r = {.kind = CNET_RULE_RANGE};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "start", 4, &r.first);
  cnet_ip_check(L, cnet_runtime_of(L), 3, "end", 4, &r.last);
  return r;
}

static cnet_rule read_subnet(lua_State *L) { /* self, network, prefix, family */
  cnet_rule r = {.kind = CNET_RULE_SUBNET};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "network", 4, &r.first);
  r.prefix = (unsigned char)cnet_check_unsigned(L, 3, "argument", "prefix", r.first.family == 4 ? 32 : 128);
  r.last = r.first;
  return r;
}

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* Is it a decimal integer as Node would write it? Of one too large for a double to hold, Node writes another. */
static bool is_decimal(const char *text, const char *end) {
  const char *first = text + (text < end && *text == '-');
  const char *c = first;
  char written[32];
  while (c < end && is_digit(*c)) c++;
  if (first == end || c < end || (*first == '0' && end - text > 1) || end - first > 21) return false;
  snprintf(written, sizeof written, "%.0f", strtod(text, NULL));
  return strcmp(written, text) == 0;
}

/* The slash of "network/prefix" at index, if that is its form. */
static const char *check_cidr(lua_State *L, int index) {
  size_t length;
  const char *text = lua_tolstring(L, index, &length), *end = text + length, *slash = end;
  while (slash > text && slash[-1] != '/') slash--;
  if (slash == text)
    cnet_error_arg_value(L, "argument", "cidr", index, "must contain a prefix length (e.g. \"10.0.0.0/8\")");
  if (!is_decimal(slash, end))
    cnet_error_arg_value(L, "argument", "cidr", index, "prefix length must be a valid integer");
  return slash - 1;
}

static cnet_rule read_cidr(lua_State *L) { /* self, "network/prefix" */
  const char *text, *slash;
  check_self(L);
  if (lua_type(L, 2) != LUA_TSTRING) cnet_error_arg_type(L, "argument", "cidr", "of type string", 2);
  text = lua_tostring(L, 2);
  slash = check_cidr(L, 2);
  lua_settop(L, 2);
  lua_pushlstring(L, text, (size_t)(slash - text));
  lua_stringtonumber(L, slash + 1);
  lua_pushstring(L, memchr(text, ':', (size_t)(slash - text)) ? "ipv6" : "ipv4");
  lua_remove(L, 2);
  return read_subnet(L);
}

/* ---- net.BlockList ---- */

static int method_add_address(lua_State *L) {
  cnet_rule r = read_address(L);
  add_rule(L, &r);
  return 0;
}

static int method_add_range(lua_State *L) {
  cnet_rule r = read_range(L);
  if (cnet_rule_is_backwards(&r)) return cnet_error_arg_value(L, "argument", "start", 2, "must come before end");
  add_rule(L, &r);
  return 0;
}

static int method_add_subnet(lua_State *L) {
  cnet_rule r = read_subnet(L);
  add_rule(L, &r);
  return 0;
}

static int method_add_cidr(lua_State *L) {
  cnet_rule r = read_cidr(L);
  add_rule(L, &r);
  return 0;
}

/* Pushes the method and the running method's self. */
static void push_method(lua_State *L, lua_CFunction method) {
  cnet_runtime_push(L);
  lua_pushcclosure(L, method, 1);
  lua_pushvalue(L, 1);
}

/* Raises ERR_INVALID_ARG_TYPE for the element on top: "addresses[2]", counted as Lua does. */
static int throw_element_type(lua_State *L, const char *array, lua_Integer i) {
  int element = lua_gettop(L);
  lua_pushfstring(L, "%s[%I]", array, (LUAI_UACINT)i);
  return cnet_error_arg_type(L, "argument", lua_tostring(L, -1), "of type string", element);
}

/* Of the table at index 2, which may be one with metamethods. */
static lua_Integer check_length(lua_State *L) {
  lua_Integer n = luaL_len(L, 2);
  if (n > INT32_MAX) luaL_error(L, "the array is too long");
  return n > 0 ? n : 0;
}

static lua_Integer check_array(lua_State *L, const char *name) {
  check_self(L);
  if (!lua_istable(L, 2)) cnet_error_arg_type(L, "argument", name, "of type table", 2);
  return check_length(L);
}

/* All or none. Their texts and the room come first: both may run the script's functions. */
static int method_add_addresses(lua_State *L) { /* self, addresses, family */
  block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  cnet_rule rule = {.kind = CNET_RULE_ADDRESS};
  lua_Integer i, n = check_array(L, "addresses");
  cnet_ip *ips;
  if (!lua_isnil(L, 3) && lua_type(L, 3) != LUA_TSTRING)
    return cnet_error_arg_type(L, "argument", "family", "of type string", 3);
  for (i = 0; i < n; i++) { /* before there is room for them: a __len may say anything */
    if (lua_geti(L, 2, i + 1) != LUA_TSTRING && !cnet_class_test(L, cnet_runtime_of(L), -1, CNET_SOCKET_ADDRESS))
      return throw_element_type(L, "addresses", i + 1);
    lua_pop(L, 1);
  }
  ips = lua_newuserdatauv(L, (size_t)n * sizeof *ips, 0);
  for (i = 0; i < n; i++) {
    lua_geti(L, 2, i + 1);
    cnet_ip_check(L, cnet_runtime_of(L), lua_gettop(L), "addresses", 3, &ips[i]);
    lua_pop(L, 1);
  }
  reserve(L, 1, (size_t)n);
  for (i = 0; i < n; i++) {
    rule.first = rule.last = ips[i];
    cnet_rule_list_add(&self->rules, &rule);
  }
  return 0;
}

/* As in Node the first one that is no network raises, once those before it are there; what has not even the form of one
 * raises before. */
static int method_add_cidrs(lua_State *L) {
  lua_Integer i, n = check_array(L, "cidrs");
  lua_settop(L, 2);
  lua_newtable(L);
  for (i = 1; i <= n; i++) {
    if (lua_geti(L, 2, i) != LUA_TSTRING) return throw_element_type(L, "cidrs", i);
    check_cidr(L, 4);
    lua_rawseti(L, 3, i);
  }
  for (i = 1; i <= n; i++) {
    push_method(L, method_add_cidr);
    lua_rawgeti(L, 3, i);
    lua_call(L, 2, 0);
  }
  return 0;
}

static int method_remove_address(lua_State *L) {
  cnet_rule r = read_address(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_range(lua_State *L) {
  cnet_rule r = read_range(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_subnet(lua_State *L) {
  cnet_rule r = read_subnet(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_cidr(lua_State *L) {
  cnet_rule r = read_cidr(L);
  remove_rule(L, &r);
  return 0;
}

static int method_clear(lua_State *L) {
  block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, RULES);
  cnet_rule_list_clear(&self->rules);
  return 0;
}

/* What is no address is not blocked, whereas a rule for it is an error. */
static int method_check(lua_State *L) {
  cnet_ip ip;
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  check_self(L);
  lua_pushboolean(
      L, cnet_ip_argument(L, cnet_runtime_of(L), 2, "address", 3, &ip) && cnet_rule_list_blocks(&self->rules, &ip));
  return 1;
}

/* Of a copy: a finalizer of the script may change the list meanwhile. */
static int get_rules(lua_State *L) {
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  cnet_rule *copy = NULL;
  uint32_t count, i;
  for (count = UINT32_MAX; count != self->rules.count;) {
    lua_settop(L, 1);
    count = self->rules.count;
    copy = lua_newuserdatauv(L, count * sizeof *copy, 0);
  }
  cnet_rule_list_copy(&self->rules, copy);
  lua_newtable(L);
  for (i = 0; i < count; i++) {
    cnet_rule_text_push(L, &copy[i]);
    lua_rawseti(L, -2, (lua_Integer)i + 1);
  }
  return 1;
}

static int get_size(lua_State *L) {
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  lua_pushinteger(L, (lua_Integer)self->rules.count);
  return 1;
}

static int function_is_block_list(lua_State *L) {
  lua_pushboolean(L, cnet_block_list_test(L, cnet_runtime_of(L), 1));
  return 1;
}

/* ---- fromJSON ---- */

static int throw_data_type(lua_State *L) {
  return cnet_error_arg_type(L, "argument", "data", "of type string or string[]", 2);
}

/* How many strings are in the JSON text of a list of nothing else? -1 if it is something else. */
static lua_Integer count_strings(const char *text, const char *end) {
  lua_Integer n = 0;
  int lists = 0;
  for (; text < end; text++) {
    if (*text == '[') {
      if (lists++ > 0) return -1;
    } else if (*text == '"') {
      for (n++, text++; *text != '"'; text++) text += *text == '\\';
    } else if (!strchr(" \t\r\n,]", *text)) {
      return -1;
    }
  }
  return lists > 0 ? n : -1;
}

/* The error on top tells why the text is not JSON. */
static int throw_not_json(lua_State *L) {
  const char *reason;
  lua_getfield(L, -1, "name");
  lua_getfield(L, -2, "message");
  reason = lua_isstring(L, -1) ? strstr(lua_tostring(L, -1), ": ") : NULL;
  if (reason && strcmp(lua_tostring(L, -2), "SyntaxError") == 0) {
    cnet_error_push(L, "SyntaxError", NULL, "The data is not valid JSON%s", reason);
  } else {
    lua_settop(L, -3);
  }
  return cnet_error_throw(L);
}

/* Pushes the list of the JSON text at index 2. */
static lua_Integer push_decoded(lua_State *L) {
  size_t length;
  const char *text = lua_tolstring(L, 2, &length);
  lua_Integer n;
  if (!cnet_json_read(L, text, length)) return throw_not_json(L);
  n = count_strings(text, text + length);
  if (n >= 0) return n;
  lua_replace(L, 2);
  return throw_data_type(L);
}

/* Pushes a copy of the strings of the table at index 2. */
static lua_Integer push_strings(lua_State *L) {
  lua_Integer i, n = check_length(L);
  lua_newtable(L);
  for (i = 1; i <= n; i++) {
    if (lua_geti(L, 2, i) != LUA_TSTRING) return throw_data_type(L);
    lua_rawseti(L, 3, i);
  }
  return n;
}

/* Adds the rule in the text on top, which it pops; text in which there is none is passed over, as in Node. */
static void add_text(lua_State *L) {
  static const lua_CFunction methods[] = {[CNET_RULE_ADDRESS] = method_add_address,
                                          [CNET_RULE_RANGE] = method_add_range,
                                          [CNET_RULE_SUBNET] = method_add_subnet};
  int text = lua_gettop(L);
  cnet_rule_text found;
  if (cnet_rule_text_find(lua_tostring(L, text), lua_rawlen(L, text), &found)) {
    push_method(L, methods[found.kind]);
    lua_pushlstring(L, found.first, found.first_length);
    if (found.kind == CNET_RULE_RANGE) lua_pushlstring(L, found.last, found.last_length);
    if (found.kind == CNET_RULE_SUBNET) lua_pushinteger(L, found.prefix);
    lua_pushstring(L, found.family == 6 ? "ipv6" : "ipv4");
    lua_call(L, lua_gettop(L) - text - 1, 0);
  }
  lua_settop(L, text - 1);
}

/* The rules before one that is wrong are there when it raises, as in Node. */
static int method_from_json(lua_State *L) { /* self, a list of rules or the JSON text of one */
  lua_Integer i, n;
  check_self(L);
  lua_settop(L, 2);
  if (lua_type(L, 2) == LUA_TSTRING) {
    n = push_decoded(L);
  } else if (lua_istable(L, 2)) {
    n = push_strings(L);
  } else {
    return throw_data_type(L);
  }
  for (i = 1; i <= n; i++) {
    lua_rawgeti(L, 3, i);
    add_text(L);
  }
  return 0;
}

/* ---- the class ---- */

static int construct(lua_State *L);

static const cnet_member members[] = {{"addAddress", method_add_address, NULL, NULL},
                                      {"addAddresses", method_add_addresses, NULL, NULL},
                                      {"addCIDRs", method_add_cidrs, NULL, NULL},
                                      {"fromJSON", method_from_json, NULL, NULL},
                                      {"addRange", method_add_range, NULL, NULL},
                                      {"addSubnet", method_add_subnet, NULL, NULL},
                                      {"addCIDR", method_add_cidr, NULL, NULL},
                                      {"removeAddress", method_remove_address, NULL, NULL},
                                      {"removeRange", method_remove_range, NULL, NULL},
                                      {"removeSubnet", method_remove_subnet, NULL, NULL},
                                      {"removeCIDR", method_remove_cidr, NULL, NULL},
                                      {"clear", method_clear, NULL, NULL},
                                      {"check", method_check, NULL, NULL},
                                      {"rules", NULL, get_rules, NULL},
                                      {"size", NULL, get_size, NULL},
                                      {"toJSON", get_rules, NULL, NULL},
                                      {NULL, NULL, NULL, NULL}};

static const cnet_class block_list_class = {
    .id = CNET_BLOCK_LIST, .name = "net.BlockList", .members = members, .construct = construct};

static int construct(lua_State *L) {
  cnet_runtime *rt = cnet_runtime_open(L);
  block_list *self = cnet_class_new(L, rt, sizeof *self, RULES);
  cnet_rule_list_clear(&self->rules);
  self->rules.seed = uv_hrtime() ^ (uint64_t)(uintptr_t)self;
  cnet_class_dress(L, &block_list_class);
  return 1;
}

void cnet_block_list_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"isBlockList", function_is_block_list}, {NULL, NULL}};
  cnet_socket_address_register(L);
  cnet_class_define(L, &block_list_class);
  cnet_runtime_set_functions(L, functions);
  cnet_private_ranges_push(L);
  lua_setfield(L, -2, "PRIVATE_RANGES");
  lua_setfield(L, -2, "BlockList");
}
