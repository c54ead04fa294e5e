/* Socket addresses: sockaddr <-> text, and what is an IP address.
 *
 * Wing text. */
#ifndef CNET_ADDRESS_H
#define CNET_ADDRESS_H

#include <lua.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/socket.h>

typedef struct {
  char ip[INET6_ADDRSTRLEN + 1 + IF_NAMESIZE];
  int port;
  int family; /* 4 or 6; 0 if it is neither */
} cnet_address;

/* 4, 6, or 0 if the text is no IP address: as strict as Node's net.isIP. */
int cnet_is_ip(const char *text, size_t length);
/* Is it an IPv6 address of fe80::/10, with a %zone or without? */
bool cnet_is_link_local(const char *ip);
/* Makes the socket address of a numeric ip, perhaps with a %zone (an interface's name or number; one that is neither is
 * none); 0 or a libuv error. */
int cnet_address_parse(const char *ip, int port, struct sockaddr_storage *out);
/* The zone is shown as Node does: of a link-local address only. */
void cnet_address_read(const struct sockaddr *from, cnet_address *out);
/* Pushes {address=, family="IPv4"|"IPv6", port=}. */
void cnet_address_push(lua_State *L, const cnet_address *address);
const char *cnet_address_family_name(int family);

/* The string at index path stands where a method, as "listen", wants a path, with the argument `next` after it. An IP
 * address, or one with a port, is a mistake there: raises ERR_INVALID_ARG_VALUE, with what the call should be. With
 * `numbered` any string before a number is. */
void cnet_address_check_path(lua_State *L, int path, int next, const char *method, bool numbered);

/* Registers net.isIP, net.isIPv4 and net.isIPv6 in the table on top. */
void cnet_address_register(lua_State *L);

#endif
