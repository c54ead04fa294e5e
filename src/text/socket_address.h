/* net.SocketAddress, and the IP addresses that it and net.BlockList are about.
 *
 * Wing text. An address is kept as 16 bytes, IPv4 as IPv4-mapped IPv6, so that one comparison serves both families. */
#ifndef CNET_SOCKET_ADDRESS_H
#define CNET_SOCKET_ADDRESS_H

#include "core/class.h"

enum { CNET_IP_BYTES = 16, CNET_IP_TEXT = 46 };

typedef struct {
  unsigned char bytes[CNET_IP_BYTES];
  unsigned char family; /* 4 or 6: how it was written */
  uint16_t port;        /* of a SocketAddress, and its flow label: no part of the address, but a rule is only */
  uint32_t flowlabel;   /* removed with those that it was added with, as in Node */
} cnet_ip;

/* Reads an address of that family; a %zone counts for nothing. */
bool cnet_ip_parse(const char *text, size_t length, int family, cnet_ip *out);
void cnet_ip_write(const cnet_ip *ip, char text[CNET_IP_TEXT]);

/* The address at index, a SocketAddress or a string with the family ("ipv4", "ipv6" or nil) at index family. Raises
 * ERR_INVALID_ARG_TYPE; false if the string is no address of the family, or the family none. */
bool cnet_ip_argument(lua_State *L, cnet_runtime *rt, int index, const char *name, int family, cnet_ip *out);
/* The same, but ERR_INVALID_ADDRESS and ERR_INVALID_ARG_VALUE instead of false. */
void cnet_ip_check(lua_State *L, cnet_runtime *rt, int index, const char *name, int family, cnet_ip *out);
/* An integer of 0 to max; else ERR_INVALID_ARG_TYPE or ERR_OUT_OF_RANGE. */
lua_Integer cnet_check_unsigned(lua_State *L, int index, const char *kind, const char *name, lua_Integer max);

/* Registers net.SocketAddress in the table on top. */
void cnet_socket_address_register(lua_State *L);

#endif
