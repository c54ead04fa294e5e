/* Lua values of JSON text, as RFC 8259 and JSON.parse have it: what Node refuses is refused.
 *
 * Wing text. Numbers without point and exponent are integers, as far as 64 bits go; the others are floats to the last
 * bit. null is nil; of two equal keys the last one counts. An object has a metatable with __jsontype = "object". What
 * is no UTF-8, and half a surrogate pair, becomes U+FFFD.
 *
 * Rejected: the libraries in Debian 12 that C can link, for none of them keeps what Lua and Node can say. In brackets:
 * how many ms they take to read 20 MB of small records, to write them, and to free their tree. From this text straight
 * to Lua's tables it is 200, and 130 back.
 * - jansson 2.14 (330, 215, 90) fails at integers beyond 64 bits, which Node writes up to 1e21, at 1e400, half
 * surrogates, a NUL in a key, and below 2048 levels.
 * - cJSON 1.7.15 (110, 260, 25) has doubles alone, and its strings end at a NUL.
 * - json-c 0.16 (200, 120, 315) silently makes 2^64 - 1 of a greater integer and cuts keys at a NUL; it takes NaN.
 * - yajl 2.1.0 (50, the events alone) writes 128 levels at most, and '?' for half a surrogate pair. It has had no
 * release since 2014: only distributions mend its faults (CVE-2017-16516, CVE-2022-24795, CVE-2023-33460).
 * - lua-cjson 2.1.0 (340, 175) makes floats of integers and writes 14 digits of them. So does dkjson (4200, 2800),
 * which is Lua, and takes much that is not JSON. */
#ifndef CNET_JSON_READER_H
#define CNET_JSON_READER_H

#include <lua.h>
#include <stdbool.h>
#include <stddef.h>

/* Pushes the value and returns true; or pushes an error and returns false. The text must stay while Lua allocates. */
bool cnet_json_read(lua_State *L, const char *text, size_t size);

#endif
