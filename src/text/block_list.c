#include "text/block_list.h"

#include <string.h>

#include "core/error.h"
#include "text/socket_address.h"

enum { RULES = CNET_USERVALUES + 1 }; /* user value: the userdata that holds the rules, so that Lua frees it */

typedef enum { RULE_ADDRESS, RULE_RANGE, RULE_SUBNET } rule_kind;

typedef struct {
  unsigned char kind;
  unsigned char prefix; /* of a subnet */
  cnet_ip first, last;  /* the address, the range, the network */
} rule;

typedef struct {
  cnet_object object;
  rule *rules; /* the oldest first */
  size_t count, capacity;
} block_list;

/* ---- what a rule matches ---- */

/* Do the first `bits` bits agree? */
static bool same_bits(const cnet_ip *a, const cnet_ip *b, int bits) {
  int whole = bits / 8, rest = bits % 8;
  if (memcmp(a->bytes, b->bytes, (size_t)whole) != 0) return false;
  return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

static int compare(const cnet_ip *a, const cnet_ip *b) { return memcmp(a->bytes, b->bytes, CNET_IP_BYTES); }

/* IPv6 addresses stand in an order with IPv4 ones only if they are IPv4-mapped: the first 96 bits tell. */
static bool has_order(const cnet_ip *a, const cnet_ip *b) { return a->family == b->family || same_bits(a, b, 96); }

/* The network's length in 128 bits */
static int bits_of(const rule *r) { return r->first.family == 4 ? r->prefix + 96 : r->prefix; }

static bool matches(const rule *r, const cnet_ip *ip) {
  switch ((rule_kind)r->kind) {
    case RULE_ADDRESS:
      return compare(ip, &r->first) == 0;
    case RULE_RANGE:
      return has_order(ip, &r->first) && has_order(ip, &r->last) && compare(ip, &r->first) >= 0 &&
             compare(ip, &r->last) <= 0;
    case RULE_SUBNET:
      return same_bits(ip, &r->first, bits_of(r));
  }
  return false;
}

static bool blocks(const block_list *self, const cnet_ip *ip) {
  size_t i;
  for (i = 0; i < self->count; i++)
    if (matches(&self->rules[i], ip)) return true;
  return false;
}

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
  return cnet_ip_parse(ip, strlen(ip), family, &parsed) && blocks(self, &parsed);
}

/* ---- rules come and go ---- */

/* Room for one more. Making it may run finalizers of the script, and they may change this very list. */
static void reserve(lua_State *L, int index) {
  block_list *self = lua_touserdata(L, index);
  while (self->count == self->capacity) {
    size_t capacity = self->capacity ? 2 * self->capacity : 8;
    rule *rules = lua_newuserdatauv(L, capacity * sizeof *rules, 0);
    if (self->count == self->capacity && self->count < capacity) {
      if (self->count > 0) memcpy(rules, self->rules, self->count * sizeof *rules);
      self->rules = rules;
      self->capacity = capacity;
      lua_setiuservalue(L, index, RULES);
    } else {
      lua_pop(L, 1);
    }
  }
}

static void add_rule(lua_State *L, const rule *r) {
  block_list *self = lua_touserdata(L, 1);
  reserve(L, 1);
  self->rules[self->count++] = *r;
}

/* Two rules of the same text, but for the bits of a network that do not count. */
static bool same_rule(const rule *a, const rule *b) {
  if (a->kind != b->kind || a->prefix != b->prefix || a->first.family != b->first.family) return false;
  if (a->kind == RULE_SUBNET) return same_bits(&a->first, &b->first, bits_of(a));
  return a->last.family == b->last.family && compare(&a->first, &b->first) == 0 && compare(&a->last, &b->last) == 0;
}

/* All that are the same go: a list may have a rule more than once. */
static void remove_rule(lua_State *L, const rule *r) {
  block_list *self = lua_touserdata(L, 1);
  size_t i, kept = 0;
  for (i = 0; i < self->count; i++)
    if (!same_rule(&self->rules[i], r)) self->rules[kept++] = self->rules[i];
  self->count = kept;
}

/* ---- arguments ---- */

/* Pads the arguments with nil, so that none is missing. */
static void check_self(lua_State *L) {
  cnet_class_self(L, CNET_BLOCK_LIST);
  lua_settop(L, 4);
}

static rule read_address(lua_State *L) { /* self, address, family */
  rule r = {.kind = RULE_ADDRESS};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "address", 3, &r.first);
  r.last = r.first;
  return r;
}

static rule read_range(lua_State *L) { /* self, start, end, family */
  rule r = {.kind = RULE_RANGE};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "start", 4, &r.first);
  cnet_ip_check(L, cnet_runtime_of(L), 3, "end", 4, &r.last);
  return r;
}

static rule read_subnet(lua_State *L) { /* self, network, prefix, family */
  rule r = {.kind = RULE_SUBNET};
  check_self(L);
  cnet_ip_check(L, cnet_runtime_of(L), 2, "network", 4, &r.first);
  r.prefix = (unsigned char)cnet_check_unsigned(L, 3, "argument", "prefix", r.first.family == 4 ? 32 : 128);
  r.last = r.first;
  return r;
}

/* Pushes a decimal integer; false if it is none, or not written as Node would write it. */
static bool push_decimal(lua_State *L, const char *text, const char *end) {
  const char *first = text + (text < end && *text == '-');
  const char *c = first;
  while (c < end && *c >= '0' && *c <= '9') c++;
  if (first == end || c < end || (*first == '0' && end - text > 1)) return false;
  return lua_stringtonumber(L, text) != 0;
}

static rule read_cidr(lua_State *L) { /* self, "network/prefix" */
  size_t length;
  const char *text, *end, *slash;
  check_self(L);
  if (lua_type(L, 2) != LUA_TSTRING) cnet_error_arg_type(L, "argument", "cidr", "of type string", 2);
  text = lua_tolstring(L, 2, &length);
  end = text + length;
  for (slash = end; slash > text && slash[-1] != '/'; slash--) continue;
  if (slash == text)
    cnet_error_arg_value(L, "argument", "cidr", 2, "must contain a prefix length (e.g. \"10.0.0.0/8\")");
  lua_settop(L, 2);
  lua_pushlstring(L, text, (size_t)(slash - 1 - text));
  if (!push_decimal(L, slash, end))
    cnet_error_arg_value(L, "argument", "cidr", 2, "prefix length must be a valid integer");
  lua_pushstring(L, memchr(text, ':', (size_t)(slash - text)) ? "ipv6" : "ipv4");
  lua_remove(L, 2);
  return read_subnet(L);
}

/* ---- net.BlockList ---- */

static int method_add_address(lua_State *L) {
  rule r = read_address(L);
  add_rule(L, &r);
  return 0;
}

static int method_add_range(lua_State *L) {
  rule r = read_range(L);
  if (has_order(&r.first, &r.last) && compare(&r.first, &r.last) > 0)
    return cnet_error_arg_value(L, "argument", "start", 2, "must come before end");
  add_rule(L, &r);
  return 0;
}

static int method_add_subnet(lua_State *L) {
  rule r = read_subnet(L);
  add_rule(L, &r);
  return 0;
}

static int method_add_cidr(lua_State *L) {
  rule r = read_cidr(L);
  add_rule(L, &r);
  return 0;
}

static int method_remove_address(lua_State *L) {
  rule r = read_address(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_range(lua_State *L) {
  rule r = read_range(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_subnet(lua_State *L) {
  rule r = read_subnet(L);
  remove_rule(L, &r);
  return 0;
}

static int method_remove_cidr(lua_State *L) {
  rule r = read_cidr(L);
  remove_rule(L, &r);
  return 0;
}

static int method_clear(lua_State *L) {
  block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  lua_pushnil(L);
  lua_setiuservalue(L, 1, RULES);
  self->rules = NULL;
  self->count = self->capacity = 0;
  return 0;
}

/* What is no address is not blocked, whereas a rule for it is an error. */
static int method_check(lua_State *L) {
  cnet_ip ip;
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  check_self(L);
  lua_pushboolean(L, cnet_ip_argument(L, cnet_runtime_of(L), 2, "address", 3, &ip) && blocks(self, &ip));
  return 1;
}

static void push_text(lua_State *L, const rule *r) {
  const char *family = r->first.family == 4 ? "IPv4" : "IPv6";
  char first[CNET_IP_TEXT], last[CNET_IP_TEXT];
  cnet_ip_write(&r->first, first);
  cnet_ip_write(&r->last, last);
  if (r->kind == RULE_ADDRESS) {
    lua_pushfstring(L, "Address: %s %s", family, first);
  } else if (r->kind == RULE_RANGE) {
    lua_pushfstring(L, "Range: %s %s-%s", family, first, last);
  } else {
    lua_pushfstring(L, "Subnet: %s %s/%d", family, first, (int)r->prefix);
  }
}

/* The newest first. A finalizer of the script may change the list meanwhile. */
static int get_rules(lua_State *L) {
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  lua_Integer n = 0;
  size_t i;
  lua_newtable(L);
  for (i = self->count; i > 0; i--) {
    rule r;
    if (i > self->count) continue;
    r = self->rules[i - 1];
    push_text(L, &r);
    lua_rawseti(L, -2, ++n);
  }
  return 1;
}

static int get_size(lua_State *L) {
  const block_list *self = cnet_class_self(L, CNET_BLOCK_LIST);
  lua_pushinteger(L, (lua_Integer)self->count);
  return 1;
}

static int function_is_block_list(lua_State *L) {
  lua_pushboolean(L, cnet_block_list_test(L, cnet_runtime_of(L), 1));
  return 1;
}

static int construct(lua_State *L);

static const cnet_member members[] = {{"addAddress", method_add_address, NULL, NULL},
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
  cnet_class_new(L, rt, sizeof(block_list), RULES);
  cnet_class_dress(L, rt, &block_list_class);
  return 1;
}

void cnet_block_list_register(lua_State *L) {
  static const luaL_Reg functions[] = {{"isBlockList", function_is_block_list}, {NULL, NULL}};
  cnet_socket_address_register(L);
  cnet_class_define(L, &block_list_class);
  cnet_runtime_set_functions(L, functions);
  lua_setfield(L, -2, "BlockList");
}
