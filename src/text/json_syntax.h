/* Is a text JSON, as RFC 8259 has it?
 *
 * Wing text. The library that reads messages takes much that is none: what Node refuses is refused before. */
#ifndef CNET_JSON_SYNTAX_H
#define CNET_JSON_SYNTAX_H

#include <stdbool.h>
#include <stddef.h>

/* If it is none, *at is where it leaves the grammar: size, if there should be more. */
bool cnet_json_syntax_check(const char *text, size_t size, size_t *at);

#endif
