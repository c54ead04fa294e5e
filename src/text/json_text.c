#include "text/json_text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "text/encoding.h"

#define ALL(byte) (UINT64_MAX / 255 * (byte))

/* Is there anything but plain ASCII in the eight bytes? A byte's highest bit tells: of itself above 127, of the
 * difference below a space, at the quote and at the backslash. What a difference borrows from the next byte can only
 * add to what is found. */
static bool is_plain(const char *text) {
  uint64_t bytes, quote, backslash;
  memcpy(&bytes, text, sizeof bytes);
  quote = bytes ^ ALL('"');
  backslash = bytes ^ ALL('\\');
  return ((bytes | (bytes - ALL(' ')) | (quote - ALL(1)) | (backslash - ALL(1))) & ALL(128)) == 0;
}

static bool is_ordinary(char c) { return (unsigned char)c >= ' ' && (unsigned char)c < 0x80 && c != '"' && c != '\\'; }

size_t cnet_json_run(const char *text, size_t size) {
  size_t i = 0, n;
  bool whole = true;
  while (whole) {
    while (size - i >= 8 && is_plain(text + i)) i += 8;
    while (i < size && is_ordinary(text[i])) i++;
    if (i == size || (unsigned char)text[i] < 0x80) return i;
    n = cnet_utf8_part(text + i, size - i, &whole);
    if (whole) i += n;
  }
  return i;
}
