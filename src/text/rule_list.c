#include "text/rule_list.h"

#include <string.h>

#define NONE UINT32_MAX
#define MOST_RULES (UINT32_C(1) << 30)

enum { FIRST_CAPACITY = 8, RANGE_BITS = CNET_IP_BITS + 1 };

typedef struct cnet_rule_node {
  cnet_rule rule;
  uint32_t next;         /* in its chain, or among the spare ones */
  uint32_t newer, older; /* of the same kind */
} node;

/* ---- addresses ---- */

/* Do the first `bits` bits agree? */
static bool same_bits(const cnet_ip *a, const cnet_ip *b, unsigned bits) {
  unsigned whole = bits / 8, rest = bits % 8;
  if (memcmp(a->bytes, b->bytes, whole) != 0) return false;
  return rest == 0 || (a->bytes[whole] ^ b->bytes[whole]) >> (8 - rest) == 0;
}

static int compare(const cnet_ip *a, const cnet_ip *b) { return memcmp(a->bytes, b->bytes, CNET_IP_BYTES); }

/* IPv6 addresses stand in an order with IPv4 ones only if they are IPv4-mapped: the first 96 bits tell. */
static bool has_order(const cnet_ip *a, const cnet_ip *b) { return a->family == b->family || same_bits(a, b, 96); }

bool cnet_rule_is_backwards(const cnet_rule *range) {
  return has_order(&range->first, &range->last) && compare(&range->first, &range->last) > 0;
}

static bool is_in_range(const cnet_rule *range, const cnet_ip *ip) {
  return has_order(ip, &range->first) && has_order(ip, &range->last) && compare(ip, &range->first) >= 0 &&
         compare(ip, &range->last) <= 0;
}

/* How many of the 128 bits an address must have in common with the rule's. */
static unsigned bits_of(const cnet_rule *rule) {
  if (rule->kind == CNET_RULE_RANGE) return RANGE_BITS;
  if (rule->kind == CNET_RULE_ADDRESS) return CNET_IP_BITS;
  return rule->first.family == 4 ? rule->prefix + 96u : rule->prefix;
}

static bool is_same_end(const cnet_ip *a, const cnet_ip *b) {
  return a->family == b->family && a->port == b->port && a->flowlabel == b->flowlabel && compare(a, b) == 0;
}

/* An address is the same also if it is written as IPv4-mapped IPv6; the others must be the same in all. */
static bool is_same(const cnet_rule *a, const cnet_rule *b) {
  if (a->kind != b->kind) return false;
  if (a->kind == CNET_RULE_ADDRESS) return compare(&a->first, &b->first) == 0;
  return a->prefix == b->prefix && is_same_end(&a->first, &b->first) && is_same_end(&a->last, &b->last);
}

/* ---- the table ---- */

static uint64_t mix(uint64_t n) {
  n = (n ^ n >> 33) * UINT64_C(0xff51afd7ed558ccd);
  n = (n ^ n >> 33) * UINT64_C(0xc4ceb9fe1a85ec53);
  return n ^ n >> 33;
}

/* The chain of what has these bits of the address. The seed is the list's own: a peer whose addresses a script blocks
 * could else choose them so that all are in one chain. */
static uint32_t *chain_of(const cnet_rule_list *list, const cnet_ip *ip, unsigned bits) {
  unsigned char bytes[CNET_IP_BYTES] = {0};
  uint64_t halves[2];
  unsigned whole = bits / 8;
  if (bits >= CNET_IP_BITS) {
    memcpy(bytes, ip->bytes, CNET_IP_BYTES);
  } else {
    memcpy(bytes, ip->bytes, whole);
    bytes[whole] = (unsigned char)(ip->bytes[whole] & 0xff00u >> bits % 8);
  }
  memcpy(halves, bytes, sizeof halves);
  halves[0] = mix(mix(list->seed ^ bits ^ halves[0]) ^ halves[1]);
  return &list->chains[halves[0] & (list->capacity - 1)];
}

static void put_into_chain(cnet_rule_list *list, uint32_t n) {
  const cnet_rule *rule = &list->nodes[n].rule;
  uint32_t *chain = chain_of(list, &rule->first, bits_of(rule));
  list->nodes[n].next = *chain;
  *chain = n;
}

/* The link that leads to the newest rule that is the same; else to NONE. */
static uint32_t *find(const cnet_rule_list *list, const cnet_rule *rule) {
  uint32_t *link = chain_of(list, &rule->first, bits_of(rule));
  while (*link != NONE && !is_same(&list->nodes[*link].rule, rule)) link = &list->nodes[*link].next;
  return link;
}

/* ---- the block ---- */

void cnet_rule_list_clear(cnet_rule_list *list) {
  uint64_t seed = list->seed;
  int kind;
  memset(list, 0, sizeof *list);
  list->seed = seed;
  list->spare = NONE;
  for (kind = 0; kind < CNET_RULE_KINDS; kind++) list->newest[kind] = list->oldest[kind] = NONE;
}

bool cnet_rule_list_has_room(const cnet_rule_list *list, size_t more) { return list->capacity - list->count >= more; }

size_t cnet_rule_list_block_size(uint32_t capacity) { return (size_t)capacity * (sizeof(node) + sizeof(uint32_t)); }

uint32_t cnet_rule_list_next_capacity(const cnet_rule_list *list, size_t more) {
  uint32_t capacity = list->capacity ? 2 * list->capacity : FIRST_CAPACITY;
  while (capacity <= MOST_RULES && capacity - list->count < more) capacity *= 2;
  return capacity > MOST_RULES || cnet_rule_list_block_size(1) > SIZE_MAX / capacity ? 0 : capacity;
}

void cnet_rule_list_move(cnet_rule_list *list, void *block, uint32_t capacity) {
  node *nodes = block;
  uint32_t n;
  int kind;
  if (list->used > 0) memcpy(nodes, list->nodes, list->used * sizeof *nodes);
  list->nodes = nodes;
  list->chains = (uint32_t *)(nodes + capacity);
  list->capacity = capacity;
  for (n = 0; n < capacity; n++) list->chains[n] = NONE;
  for (kind = 0; kind < CNET_RULE_KINDS; kind++)
    for (n = list->oldest[kind]; n != NONE; n = nodes[n].newer) put_into_chain(list, n);
}

/* ---- rules come and go ---- */

static uint32_t take_spare(cnet_rule_list *list) {
  uint32_t n = list->spare;
  if (n == NONE) return list->used++;
  list->spare = list->nodes[n].next;
  return n;
}

void cnet_rule_list_add(cnet_rule_list *list, const cnet_rule *rule) {
  uint32_t n, same = rule->kind == CNET_RULE_ADDRESS ? *find(list, rule) : NONE;
  node *added;
  if (same != NONE) {
    list->nodes[same].rule = *rule;
    return;
  }
  n = take_spare(list);
  added = &list->nodes[n];
  added->rule = *rule;
  added->newer = NONE;
  added->older = list->newest[rule->kind];
  *(added->older == NONE ? &list->oldest[rule->kind] : &list->nodes[added->older].newer) = n;
  list->newest[rule->kind] = n;
  put_into_chain(list, n);
  if (rule->kind != CNET_RULE_RANGE) list->lengths[bits_of(rule)]++;
  list->count++;
}

void cnet_rule_list_remove(cnet_rule_list *list, const cnet_rule *rule) {
  uint32_t *link, n;
  node *gone;
  if (list->count == 0) return;
  link = find(list, rule);
  n = *link;
  if (n == NONE) return;
  gone = &list->nodes[n];
  *link = gone->next;
  *(gone->older == NONE ? &list->oldest[rule->kind] : &list->nodes[gone->older].newer) = gone->newer;
  *(gone->newer == NONE ? &list->newest[rule->kind] : &list->nodes[gone->newer].older) = gone->older;
  gone->next = list->spare;
  list->spare = n;
  if (rule->kind != CNET_RULE_RANGE) list->lengths[bits_of(rule)]--;
  list->count--;
}

/* ---- questions ---- */

static bool has_network(const cnet_rule_list *list, const cnet_ip *ip, unsigned bits) {
  uint32_t n;
  for (n = *chain_of(list, ip, bits); n != NONE; n = list->nodes[n].next) {
    const cnet_rule *rule = &list->nodes[n].rule;
    if (bits_of(rule) == bits && same_bits(ip, &rule->first, bits)) return true;
  }
  return false;
}

bool cnet_rule_list_blocks(const cnet_rule_list *list, const cnet_ip *ip) {
  unsigned bits;
  uint32_t n;
  for (bits = 0; bits <= CNET_IP_BITS; bits++)
    if (list->lengths[bits] > 0 && has_network(list, ip, bits)) return true;
  for (n = list->newest[CNET_RULE_RANGE]; n != NONE; n = list->nodes[n].older)
    if (is_in_range(&list->nodes[n].rule, ip)) return true;
  return false;
}

void cnet_rule_list_copy(const cnet_rule_list *list, cnet_rule *out) {
  uint32_t n;
  int kind;
  for (kind = 0; kind < CNET_RULE_KINDS; kind++)
    for (n = list->newest[kind]; n != NONE; n = list->nodes[n].older) *out++ = list->nodes[n].rule;
}
