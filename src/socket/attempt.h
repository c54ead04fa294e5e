/* Attempts to connect: to one address, or to several in turn, as RFC 8305 and Node do it.
 *
 * Wing socket, on net.Socket; socket/connector.c decides which addresses to try. One connect() is a table, the plan:
 * socket, host, port, localAddress, localPort, life (the socket's), attempt (the last one begun), and for several
 * attempts timeout (ms), addresses, current, errors, timer. One attempt is a table too: plan, address, and unless it is
 * a path port and family; index and over among several. */
#ifndef CNET_ATTEMPT_H
#define CNET_ATTEMPT_H

#include "socket/socket.h"

/* Pushes an attempt of the plan, at the index that it returns; family is 4 or 6, or 0 for a path. */
int cnet_attempt_push(lua_State *L, int plan, const char *address, int family);
/* Does the socket still wait for what the plan leads to? Not once it is destroyed, though it connects again. */
bool cnet_attempt_is_awaited(lua_State *L, const cnet_socket *s, int plan);
/* Makes the one attempt at index attempt. */
void cnet_attempt_one(lua_State *L, cnet_socket *s, int self, int plan, int attempt);
/* Tries the list of {address=, family=} at index addresses, until one answers. */
void cnet_attempt_all(lua_State *L, cnet_socket *s, int self, int plan, int addresses);

/* connectTimeout: if the plan has led to no connection after ms, the socket fails with ETIMEDOUT. The timer keeps the
 * loop alive: nothing else may, under a lookup of the script's own. */
void cnet_attempt_start_timeout(lua_State *L, cnet_socket *s, int self, int plan, lua_Number ms);

#endif
