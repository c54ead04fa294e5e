/* What JSON's texts have in common, written or read.
 *
 * Wing text. */
#ifndef CNET_JSON_TEXT_H
#define CNET_JSON_TEXT_H

#include <stddef.h>

/* How many bytes from here on stand for themselves in a JSON string: whole characters, but for the quote, the
 * backslash and controls. */
size_t cnet_json_run(const char *text, size_t size);

#endif
