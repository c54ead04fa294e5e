/* net.strict(true), or CNET_STRICT=1: a name that Node would ignore, of an event or an option, is an error that
 * suggests the right one.
 *
 * Wing core, above class. The names stand beside what knows them, as a text with blanks between: events in a
 * cnet_class, options where they are read. */
#ifndef CNET_STRICT_H
#define CNET_STRICT_H

#include "core/class.h"

bool cnet_strict_is_on(const cnet_runtime *rt);
void cnet_strict_check_event(lua_State *L, int self, int name);
void cnet_strict_check_options(lua_State *L, int options, const char *what, const char *names, const char *more);

/* The event's name at index name, which a script gave to the emitter at index self. */
static inline void cnet_strict_event(lua_State *L, const cnet_runtime *rt, int self, int name) {
  if (cnet_strict_is_on(rt)) cnet_strict_check_event(L, self, name);
}

/* The keys of what a script gave as options, if it is a table, are to be among the names, or those in `more`. `what`
 * was given them: "net.connect". */
static inline void cnet_strict_options(lua_State *L, const cnet_runtime *rt, int options, const char *what,
                                       const char *names, const char *more) {
  if (cnet_strict_is_on(rt)) cnet_strict_check_options(L, options, what, names, more);
}

/* Registers net.strict in the table on top. */
void cnet_strict_register(lua_State *L);

#endif
