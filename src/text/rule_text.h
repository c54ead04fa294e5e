/* The texts of a net.BlockList's rules: "Subnet: IPv4 10.0.0.0/8".
 *
 * Wing text. */
#ifndef CNET_RULE_TEXT_H
#define CNET_RULE_TEXT_H

#include "text/rule_list.h"

/* Pushes the rule's text. */
void cnet_rule_text_push(lua_State *L, const cnet_rule *rule);

#endif
