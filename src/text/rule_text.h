/* The texts of a net.BlockList's rules: "Subnet: IPv4 10.0.0.0/8".
 *
 * Wing text. */
#ifndef CNET_RULE_TEXT_H
#define CNET_RULE_TEXT_H

#include "text/rule_list.h"

typedef struct {
  cnet_rule_kind kind;
  int family;        /* 4 or 6 */
  const char *first; /* the address, the range's start, the network */
  size_t first_length;
  const char *last; /* of a range */
  size_t last_length;
  int prefix; /* of a subnet */
} cnet_rule_text;

/* Finds a rule in the text as Node does: anywhere, and IPv6's words in any case. The addresses are not looked at. */
bool cnet_rule_text_find(const char *text, size_t length, cnet_rule_text *out);
/* Pushes the rule's text. */
void cnet_rule_text_push(lua_State *L, const cnet_rule *rule);

#endif
