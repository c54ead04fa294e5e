#include "text/rule_text.h"

static const char *const kind_names[] = {
    [CNET_RULE_ADDRESS] = "Address: ", [CNET_RULE_RANGE] = "Range: ", [CNET_RULE_SUBNET] = "Subnet: "};

void cnet_rule_text_push(lua_State *L, const cnet_rule *rule) {
  const char *name = kind_names[rule->kind], *family = rule->first.family == 6 ? "IPv6" : "IPv4";
  char first[CNET_IP_TEXT], last[CNET_IP_TEXT];
  cnet_ip_write(&rule->first, first);
  cnet_ip_write(&rule->last, last);
  if (rule->kind == CNET_RULE_ADDRESS) {
    lua_pushfstring(L, "%s%s %s", name, family, first);
  } else if (rule->kind == CNET_RULE_RANGE) {
    lua_pushfstring(L, "%s%s %s-%s", name, family, first, last);
  } else {
    lua_pushfstring(L, "%s%s %s/%d", name, family, first, (int)rule->prefix);
  }
}
