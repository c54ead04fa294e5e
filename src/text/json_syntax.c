#include "text/json_syntax.h"

#include <ctype.h>
#include <string.h>

enum { DEEPEST = 30000 }; /* the library would end for want of Lua's stack */

typedef struct {
  const char *at, *stop;
  int depth;
  unsigned char in_object[DEEPEST / 8 + 1]; /* a bit for each level */
} reader;

static bool is_at(const reader *r, char c) { return r->at < r->stop && *r->at == c; }

static bool take(reader *r, char c) {
  if (!is_at(r, c)) return false;
  r->at++;
  return true;
}

static void skip_blanks(reader *r) {
  while (is_at(r, ' ') || is_at(r, '\t') || is_at(r, '\n') || is_at(r, '\r')) r->at++;
}

static bool take_word(reader *r, const char *word) {
  while (*word && take(r, *word)) word++;
  return *word == '\0';
}

static bool take_digits(reader *r) {
  const char *from = r->at;
  while (r->at < r->stop && isdigit((unsigned char)*r->at)) r->at++;
  return r->at > from;
}

static bool take_number(reader *r) {
  take(r, '-');
  if (!take(r, '0') && !take_digits(r)) return false;
  if (take(r, '.') && !take_digits(r)) return false;
  if (!take(r, 'e') && !take(r, 'E')) return true;
  if (!take(r, '+')) take(r, '-');
  return take_digits(r);
}

static bool take_escape(reader *r) {
  int digits = 4;
  if (r->at == r->stop) return false;
  if (!take(r, 'u')) {
    if (!*r->at || !strchr("\"\\/bfnrt", *r->at)) return false;
    r->at++;
    return true;
  }
  while (digits > 0 && r->at < r->stop && isxdigit((unsigned char)*r->at)) {
    r->at++;
    digits--;
  }
  return digits == 0;
}

static bool take_string(reader *r) {
  if (!take(r, '"')) return false;
  while (!take(r, '"')) {
    if (r->at == r->stop || (unsigned char)*r->at < ' ') return false;
    if (!take(r, '\\')) {
      r->at++;
    } else if (!take_escape(r)) {
      return false;
    }
  }
  return true;
}

static bool take_scalar(reader *r) {
  if (is_at(r, '"')) return take_string(r);
  if (is_at(r, 't')) return take_word(r, "true");
  if (is_at(r, 'f')) return take_word(r, "false");
  if (is_at(r, 'n')) return take_word(r, "null");
  return take_number(r);
}

/* ---- what holds values ---- */

static bool in_object(const reader *r) { return r->in_object[r->depth / 8] & 1u << r->depth % 8; }

static bool enter(reader *r, bool object) {
  if (r->depth == DEEPEST) return false;
  r->depth++;
  r->in_object[r->depth / 8] &= (unsigned char)~(1u << r->depth % 8);
  if (object) r->in_object[r->depth / 8] |= (unsigned char)(1u << r->depth % 8);
  r->at++;
  skip_blanks(r);
  return true;
}

/* After a value: leaves all that ends here. */
static void leave(reader *r) {
  skip_blanks(r);
  while (r->depth > 0 && take(r, in_object(r) ? '}' : ']')) {
    r->depth--;
    skip_blanks(r);
  }
}

static bool take_key(reader *r) {
  skip_blanks(r);
  if (!take_string(r)) return false;
  skip_blanks(r);
  return take(r, ':');
}

/* Takes a value, or goes into it: then `inside` is what it begins with. */
static bool take_value(reader *r, bool *inside) {
  skip_blanks(r);
  *inside = is_at(r, '{') || is_at(r, '[');
  if (!*inside) return take_scalar(r);
  if (!enter(r, is_at(r, '{'))) return false;
  if (is_at(r, in_object(r) ? '}' : ']')) *inside = false;
  return !*inside || !in_object(r) || take_key(r);
}

bool cnet_json_syntax_check(const char *text, size_t size, size_t *at) {
  reader r;
  bool good, inside;
  r.at = text;
  r.stop = text + size;
  r.depth = 0;
  do {
    good = take_value(&r, &inside);
    if (!good || inside) continue;
    leave(&r);
    if (r.depth == 0) break;
    good = take(&r, ',') && (!in_object(&r) || take_key(&r));
  } while (good);
  *at = (size_t)(r.at - text);
  return good && r.at == r.stop;
}
