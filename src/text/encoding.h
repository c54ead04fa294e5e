/* Encodings: text written as bytes, and bytes read as text.
 *
 * Wing text. A Lua string is bytes, so utf8, latin1 (binary) and ascii text is written as it stands, and latin1 is read
 * as it came; hex and base64 are converted both ways. Read as utf8, no character is split over two chunks, and what is
 * no UTF-8 becomes U+FFFD, as Node's StringDecoder does it; read as ascii, the high bit is dropped. */
#ifndef CNET_ENCODING_H
#define CNET_ENCODING_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

typedef enum { CNET_UTF8, CNET_LATIN1, CNET_ASCII, CNET_HEX, CNET_BASE64, CNET_BASE64URL } cnet_encoding;

/* Names are Node's, in any case; the value at index must be one of them, else ERR_UNKNOWN_ENCODING. */
cnet_encoding cnet_check_encoding(lua_State *L, int index);
/* The same for an optional one: what JavaScript counts as false (nil, false, 0, "") is the default. */
cnet_encoding cnet_opt_encoding(lua_State *L, int index, cnet_encoding fallback);
/* The name that readableEncoding shows. */
const char *cnet_encoding_name(cnet_encoding encoding);
/* Pushes the bytes of the text at index. Hex ends at the first pair that is none; base64 ends at '=' and
 * skips what else is none. */
void cnet_encoding_push_bytes(lua_State *L, int index, cnet_encoding encoding);

/* Holds back what is not whole yet: a part of a character, or of a group of three bytes. */
typedef struct {
  unsigned char encoding, held, missing;
  char bytes[4];
} cnet_decoder;

void cnet_decoder_init(cnet_decoder *d, cnet_encoding encoding);
/* Pushes the text of the bytes, as far as it is whole. */
void cnet_decoder_push(lua_State *L, cnet_decoder *d, const char *data, size_t size);
/* Pushes the text of what was held back, or "". */
void cnet_decoder_push_end(lua_State *L, cnet_decoder *d);
/* How many bytes of a UTF-8 character stand at text, at least 1; *whole tells whether it is all of one. */
size_t cnet_utf8_part(const char *text, size_t size, bool *whole);
/* Pushes the text of the bytes at index, which are all there is. */
void cnet_encoding_push_text(lua_State *L, int index, cnet_encoding encoding);

#endif
