#include "text/rule_text.h"

#include <string.h>

static const char *const kind_names[] = {
    [CNET_RULE_ADDRESS] = "Address: ", [CNET_RULE_RANGE] = "Range: ", [CNET_RULE_SUBNET] = "Subnet: "};

/* ---- parts ---- */

typedef struct {
  const char *at, *end;
} reader;

static bool is_digit(char c) { return c >= '0' && c <= '9'; }

/* ASCII only: tolower is the locale's. */
static char lower(char c) { return c >= 'A' && c <= 'Z' ? (char)(c | 0x20) : c; }

static bool is_ipv6_char(char c) { return is_digit(c) || (lower(c) >= 'a' && lower(c) <= 'f') || c == ':' || c == '.'; }

static bool skip_word(reader *r, const char *word, bool any_case) {
  const char *at = r->at;
  for (; *word; word++, at++)
    if (at == r->end || (any_case ? lower(*at) != lower(*word) : *at != *word)) return false;
  r->at = at;
  return true;
}

/* Skips one to `most` of these characters. */
static bool skip_run(reader *r, bool (*is_one)(char), int most) {
  const char *start = r->at;
  while (r->at < r->end && r->at - start < most && is_one(*r->at)) r->at++;
  return r->at > start;
}

static bool skip_address(reader *r, int family) {
  int i;
  if (family == 6) return skip_run(r, is_ipv6_char, CNET_IP_TEXT - 1);
  for (i = 0; i < 4; i++)
    if ((i > 0 && !skip_word(r, ".", false)) || !skip_run(r, is_digit, 3)) return false;
  return true;
}

/* ---- reading ---- */

/* Is there a rule of that kind and family right here? */
static bool read_here(reader r, cnet_rule_kind kind, int family, cnet_rule_text *out) {
  if (!skip_word(&r, kind_names[kind], family == 6) || !skip_word(&r, family == 6 ? "IPv6 " : "IPv4 ", family == 6))
    return false;
  out->kind = kind;
  out->family = family;
  out->first = r.at;
  if (!skip_address(&r, family)) return false;
  out->first_length = (size_t)(r.at - out->first);
  if (kind == CNET_RULE_RANGE) {
    if (!skip_word(&r, "-", false)) return false;
    out->last = r.at;
    if (!skip_address(&r, family)) return false;
    out->last_length = (size_t)(r.at - out->last);
  } else if (kind == CNET_RULE_SUBNET) {
    const char *digit = r.at + 1;
    if (!skip_word(&r, "/", false) || !skip_run(&r, is_digit, family == 6 ? 3 : 2)) return false;
    for (out->prefix = 0; digit < r.at; digit++) out->prefix = 10 * out->prefix + (*digit - '0');
  }
  return true;
}

static bool find_word(reader r, const char *word) {
  for (; r.at < r.end; r.at++)
    if (skip_word(&r, word, false)) return true;
  return false;
}

bool cnet_rule_text_find(const char *text, size_t length, cnet_rule_text *out) {
  static const cnet_rule_kind kinds[] = {CNET_RULE_SUBNET, CNET_RULE_ADDRESS, CNET_RULE_RANGE};
  int family, i;
  for (family = 4; family <= 6; family += 2) {
    reader r = {text, text + length};
    if (!find_word(r, family == 6 ? "IPv6" : "IPv4")) continue;
    for (i = 0; i < CNET_RULE_KINDS; i++)
      for (r.at = text; r.at < r.end; r.at++)
        if (read_here(r, kinds[i], family, out)) return true;
  }
  return false;
}

/* ---- writing ---- */

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
