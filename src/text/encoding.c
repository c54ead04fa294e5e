#include "text/encoding.h"

#include <lauxlib.h>
#include <string.h>

#include "core/args.h"
#include "core/error.h"

/* ---- names ---- */

static const struct {
  const char *name;
  cnet_encoding encoding;
} names[] = {{"utf8", CNET_UTF8},     {"latin1", CNET_LATIN1}, {"ascii", CNET_ASCII},         {"hex", CNET_HEX},
             {"base64", CNET_BASE64}, {"utf-8", CNET_UTF8},    {"base64url", CNET_BASE64URL}, {"binary", CNET_LATIN1}};

enum { NAMES = sizeof names / sizeof *names };

static bool same_name(const char *a, const char *b) {
  for (; *a && *b; a++, b++)
    if ((*a >= 'A' && *a <= 'Z' ? *a + ('a' - 'A') : *a) != *b) return false;
  return *a == *b;
}

cnet_encoding cnet_check_encoding(lua_State *L, int index) {
  size_t i, length = 0;
  const char *name = lua_type(L, index) == LUA_TSTRING ? lua_tolstring(L, index, &length) : NULL;
  for (i = 0; name && i < NAMES; i++)
    if (length == strlen(names[i].name) && same_name(name, names[i].name)) return names[i].encoding;
  cnet_error_push_value(L, "TypeError", "ERR_UNKNOWN_ENCODING", "Unknown encoding: ", index);
  cnet_error_throw(L);
  return CNET_UTF8;
}

cnet_encoding cnet_opt_encoding(lua_State *L, int index, cnet_encoding fallback) {
  return cnet_truthy(L, index) ? cnet_check_encoding(L, index) : fallback;
}

const char *cnet_encoding_name(cnet_encoding encoding) {
  size_t i = 0;
  while (i < NAMES - 1 && names[i].encoding != encoding) i++;
  return names[i].name;
}

/* ---- text to bytes ---- */

static int hex_value(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

static void push_from_hex(lua_State *L, const char *text, size_t size) {
  luaL_Buffer out;
  char *bytes = luaL_buffinitsize(L, &out, size / 2 + 1);
  size_t i, n = 0;
  for (i = 0; i + 1 < size; i += 2) {
    int high = hex_value(text[i]), low = hex_value(text[i + 1]);
    if (high < 0 || low < 0) break;
    bytes[n++] = (char)(high << 4 | low);
  }
  luaL_pushresultsize(&out, n);
}

/* Both alphabets, whichever was asked for */
static int base64_value(char c) {
  if (c >= 'A' && c <= 'Z') return c - 'A';
  if (c >= 'a' && c <= 'z') return c - 'a' + 26;
  if (c >= '0' && c <= '9') return c - '0' + 52;
  if (c == '+' || c == '-') return 62;
  if (c == '/' || c == '_') return 63;
  return -1;
}

static void push_from_base64(lua_State *L, const char *text, size_t size) {
  luaL_Buffer out;
  char *bytes = luaL_buffinitsize(L, &out, size / 4 * 3 + 3);
  size_t i, n = 0;
  unsigned bits = 0, count = 0;
  for (i = 0; i < size; i++) {
    int value = base64_value(text[i]);
    if (text[i] == '=') break;
    if (value < 0) continue;
    bits = (bits << 6 | (unsigned)value) & 0xFFFFFF;
    count += 6;
    if (count >= 8) {
      count -= 8;
      bytes[n++] = (char)(bits >> count & 0xFF);
    }
  }
  luaL_pushresultsize(&out, n);
}

void cnet_encoding_push_bytes(lua_State *L, int index, cnet_encoding encoding) {
  size_t size;
  const char *text = lua_tolstring(L, index, &size);
  switch (encoding) {
    case CNET_HEX:
      push_from_hex(L, text, size);
      break;
    case CNET_BASE64:
    case CNET_BASE64URL:
      push_from_base64(L, text, size);
      break;
    default:
      lua_pushvalue(L, index);
  }
}

/* ---- bytes to text ---- */

static void add_hex(luaL_Buffer *out, const unsigned char *data, size_t size) {
  static const char digits[] = "0123456789abcdef";
  size_t i;
  for (i = 0; i < size; i++) {
    luaL_addchar(out, digits[data[i] >> 4]);
    luaL_addchar(out, digits[data[i] & 15]);
  }
}

static void add_ascii(luaL_Buffer *out, const unsigned char *data, size_t size) {
  size_t i;
  for (i = 0; i < size; i++) luaL_addchar(out, (char)(data[i] & 0x7F));
}

static void add_base64(luaL_Buffer *out, const unsigned char *data, size_t size, bool url) {
  static const char common[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  char alphabet[64];
  size_t i;
  memcpy(alphabet, common, 62);
  memcpy(alphabet + 62, url ? "-_" : "+/", 2);
  for (i = 0; i < size; i += 3) {
    size_t left = size - i;
    unsigned bits =
        (unsigned)data[i] << 16 | (left > 1 ? (unsigned)data[i + 1] << 8 : 0) | (left > 2 ? data[i + 2] : 0);
    luaL_addchar(out, alphabet[bits >> 18]);
    luaL_addchar(out, alphabet[bits >> 12 & 63]);
    if (left > 1) luaL_addchar(out, alphabet[bits >> 6 & 63]);
    if (left > 2) luaL_addchar(out, alphabet[bits & 63]);
    if (left == 1 && !url) luaL_addlstring(out, "==", 2);
    if (left == 2 && !url) luaL_addchar(out, '=');
  }
}

size_t cnet_utf8_part(const char *text, size_t size, bool *whole) {
  const unsigned char *data = (const unsigned char *)text;
  unsigned char lead = data[0], low = 0x80, high = 0xBF;
  size_t need, i;
  *whole = true;
  if (lead < 0x80) return 1;
  *whole = false;
  need = lead >= 0xC2 && lead <= 0xDF ? 2 : lead >= 0xE0 && lead <= 0xEF ? 3 : lead >= 0xF0 && lead <= 0xF4 ? 4 : 0;
  if (need == 0) return 1;
  if (lead == 0xE0) low = 0xA0;  /* no longer form than needed */
  if (lead == 0xED) high = 0x9F; /* no surrogates */
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F; /* no more than U+10FFFF */
  for (i = 1; i < need; i++) {
    if (i == size || data[i] < low || data[i] > high) return i;
    low = 0x80;
    high = 0xBF;
  }
  *whole = true;
  return need;
}

/* Each part that is no whole character becomes one U+FFFD. */
static void add_utf8(luaL_Buffer *out, const unsigned char *data, size_t size) {
  size_t i = 0, start = 0;
  while (i < size) {
    bool whole;
    size_t n = cnet_utf8_part((const char *)data + i, size - i, &whole);
    if (!whole) {
      luaL_addlstring(out, (const char *)data + start, i - start);
      luaL_addlstring(out, "\xEF\xBF\xBD", 3);
      start = i + n;
    }
    i += n;
  }
  luaL_addlstring(out, (const char *)data + start, size - start);
}

static void add_text(luaL_Buffer *out, const cnet_decoder *d, const char *bytes, size_t size) {
  const unsigned char *data = (const unsigned char *)bytes;
  switch ((cnet_encoding)d->encoding) {
    case CNET_UTF8:
      add_utf8(out, data, size);
      break;
    case CNET_LATIN1:
      luaL_addlstring(out, bytes, size);
      break;
    case CNET_ASCII:
      add_ascii(out, data, size);
      break;
    case CNET_HEX:
      add_hex(out, data, size);
      break;
    default:
      add_base64(out, data, size, d->encoding == CNET_BASE64URL);
  }
}

void cnet_decoder_init(cnet_decoder *d, cnet_encoding encoding) {
  memset(d, 0, sizeof *d);
  d->encoding = (unsigned char)encoding;
}

/* How many bytes at the end of the data begin what is not whole; and how many it misses. */
static size_t held_at_end(cnet_decoder *d, const char *data, size_t size) {
  size_t n;
  d->missing = 0;
  if (d->encoding == CNET_BASE64 || d->encoding == CNET_BASE64URL) {
    n = size % 3;
    d->missing = (unsigned char)(n ? 3 - n : 0);
    return n;
  }
  if (d->encoding != CNET_UTF8) return 0;
  for (n = 1; n <= 4 && n <= size; n++) {
    unsigned char c = (unsigned char)data[size - n];
    size_t need = (c & 0xE0) == 0xC0 ? 2 : (c & 0xF0) == 0xE0 ? 3 : (c & 0xF8) == 0xF0 ? 4 : 0;
    if ((c & 0xC0) == 0x80) continue;
    if (need <= n) return 0;
    d->missing = (unsigned char)(need - n);
    return n;
  }
  return 0;
}

/* Completes what is held with the first bytes of the data; returns how many it took. */
static size_t complete(cnet_decoder *d, const char *data, size_t size) {
  size_t n = 0;
  while (n < size && d->missing > 0) {
    if (d->encoding == CNET_UTF8 && ((unsigned char)data[n] & 0xC0) != 0x80) {
      d->missing = 0; /* a new character begins: what is held will never be one */
      break;
    }
    d->bytes[d->held++] = data[n++];
    d->missing--;
  }
  return n;
}

void cnet_decoder_push(lua_State *L, cnet_decoder *d, const char *data, size_t size) {
  luaL_Buffer out;
  size_t taken, held;
  luaL_buffinit(L, &out);
  if (d->held > 0) {
    taken = complete(d, data, size);
    data += taken;
    size -= taken;
    if (d->missing == 0) {
      add_text(&out, d, d->bytes, d->held);
      d->held = 0;
    }
  }
  if (size > 0) {
    held = held_at_end(d, data, size);
    add_text(&out, d, data, size - held);
    memcpy(d->bytes, data + size - held, held);
    d->held = (unsigned char)held;
  }
  luaL_pushresult(&out);
}

void cnet_decoder_push_end(lua_State *L, cnet_decoder *d) {
  luaL_Buffer out;
  luaL_buffinit(L, &out);
  add_text(&out, d, d->bytes, d->held);
  d->held = d->missing = 0;
  luaL_pushresult(&out);
}

void cnet_encoding_push_text(lua_State *L, int index, cnet_encoding encoding) {
  cnet_decoder decoder;
  size_t size;
  const char *bytes = lua_tolstring(L, index, &size);
  cnet_decoder_init(&decoder, encoding);
  cnet_decoder_push(L, &decoder, bytes, size);
  cnet_decoder_push_end(L, &decoder);
  lua_concat(L, 2);
}
