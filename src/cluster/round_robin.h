/* The primary listens for its workers, and hands each connection to the next one that is free.
 *
 * Wing cluster, above cluster_query and cluster_wire. A worker is offered one client at a time and is free again once
 * it has answered. What it refuses, being full, is offered to another one first, and to itself only after a rest: Node
 * sends it to and fro all the time. No client is lost with a worker that ends without an answer. */
#ifndef CNET_ROUND_ROBIN_H
#define CNET_ROUND_ROBIN_H

#include "core/class.h"

/* Pushes the object that listens as the query asks, with the key at index key; or nothing, returning an error. */
int cnet_round_robin_open(lua_State *L, int key, int query);
/* Fills the answer to a worker's query. */
void cnet_round_robin_answer(lua_State *L, int self, int answer);
/* The worker serves connections from now on. */
void cnet_round_robin_add(lua_State *L, int self, int worker);
/* The worker takes no clients for a while, or goes on. While all of its workers do so nobody is accepted. */
void cnet_round_robin_pause(lua_State *L, int self, int worker, bool paused);
/* The worker serves it no more. Returns true if it was the last: then it is closed. */
bool cnet_round_robin_remove(lua_State *L, int self, int worker);

/* Makes the class known. */
void cnet_round_robin_define(lua_State *L);

#endif
