/* What a worker asks its primary to listen on: the fields of a "queryServer" message, and the handle that they mean.
 *
 * Wing cluster, above json. Workers of Node and of cnet that ask for the same thing must ask in the same words: the
 * primary knows by them that they share it. */
#ifndef CNET_CLUSTER_QUERY_H
#define CNET_CLUSTER_QUERY_H

#include "handle/handle.h"
#include "server/listen_options.h"

/* Sets what the options ask for in the message at index message; ip NULL: every address. */
void cnet_query_set(lua_State *L, int message, const cnet_listen_options *o, const char *ip);
/* Pushes "address:port:addressType:fd", by which a query is told from others. */
void cnet_query_push_place(lua_State *L, int message);
/* The handle that the query at index message asks for, bound, but not listening; NULL with *status set. */
cnet_handle *cnet_query_open(lua_State *L, cnet_runtime *rt, int message, int *status);

#endif
