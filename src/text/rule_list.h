/* The rules of a net.BlockList in their order, and a table by which an address finds the ones that match it.
 *
 * Wing text. No Lua: the owner gives the memory, in blocks, and so nothing here can fail. Checking an address takes one
 * look into the table for each length of network in use, and a walk through the ranges. */
#ifndef CNET_RULE_LIST_H
#define CNET_RULE_LIST_H

#include "text/socket_address.h"

/* In the order in which a list shows its rules. */
typedef enum { CNET_RULE_ADDRESS, CNET_RULE_SUBNET, CNET_RULE_RANGE, CNET_RULE_KINDS } cnet_rule_kind;

typedef struct {
  unsigned char kind;
  unsigned char prefix; /* of a subnet */
  cnet_ip first, last;  /* the address, the range, the network */
} cnet_rule;

enum { CNET_IP_BITS = 8 * CNET_IP_BYTES };

/* Nodes are known by their index in the block, which stays when they move to a larger one. */
typedef struct {
  struct cnet_rule_node *nodes;
  uint32_t *chains; /* behind the nodes: as many, each the first node of a chain */
  uint32_t capacity, used, count, spare;
  uint32_t newest[CNET_RULE_KINDS], oldest[CNET_RULE_KINDS];
  uint32_t lengths[CNET_IP_BITS + 1]; /* how many addresses and subnets have that many bits */
  uint64_t seed;
} cnet_rule_list;

/* Empties the list, which lets go of its block. */
void cnet_rule_list_clear(cnet_rule_list *list);
/* Has it room for so many rules more? */
bool cnet_rule_list_has_room(const cnet_rule_list *list, size_t more);
/* The capacity of the next block, for so many rules more; 0: there can be no such block. */
uint32_t cnet_rule_list_next_capacity(const cnet_rule_list *list, size_t more);
size_t cnet_rule_list_block_size(uint32_t capacity);
/* Moves into a block of a larger capacity. */
void cnet_rule_list_move(cnet_rule_list *list, void *block, uint32_t capacity);

/* Needs room. An address that is there already is not added again, but written as it is now. */
void cnet_rule_list_add(cnet_rule_list *list, const cnet_rule *rule);
/* Removes the newest of the rules that are the same. */
void cnet_rule_list_remove(cnet_rule_list *list, const cnet_rule *rule);
bool cnet_rule_list_blocks(const cnet_rule_list *list, const cnet_ip *ip);
/* Copies the rules, of each kind the newest first. */
void cnet_rule_list_copy(const cnet_rule_list *list, cnet_rule *out);
/* Do range's ends go backwards? Those of two families have an order only if one is IPv4-mapped. */
bool cnet_rule_is_backwards(const cnet_rule *range);

#endif
