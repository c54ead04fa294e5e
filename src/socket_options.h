/* net.Socket's options, timeout, addresses and counters: members of the class in socket.c, beside it in layer 3. */
#ifndef CNET_SOCKET_OPTIONS_H
#define CNET_SOCKET_OPTIONS_H

#include "socket.h"

/* The rows of the class's table. */
#define CNET_SOCKET_OPTIONS_MEMBERS                                                                                    \
  {"setNoDelay", cnet_socket_method_set_no_delay, NULL, NULL},                                                         \
      {"setKeepAlive", cnet_socket_method_set_keep_alive, NULL, NULL},                                                 \
      {"setTimeout", cnet_socket_method_set_timeout, NULL, NULL}, {"address", cnet_socket_method_address, NULL, NULL}, \
      {"ref", cnet_socket_method_ref, NULL, NULL}, {"unref", cnet_socket_method_unref, NULL, NULL},                    \
      {"localAddress", NULL, cnet_socket_get_local_address, NULL},                                                     \
      {"localPort", NULL, cnet_socket_get_local_port, NULL},                                                           \
      {"localFamily", NULL, cnet_socket_get_local_family, NULL},                                                       \
      {"remoteAddress", NULL, cnet_socket_get_remote_address, NULL},                                                   \
      {"remotePort", NULL, cnet_socket_get_remote_port, NULL},                                                         \
      {"remoteFamily", NULL, cnet_socket_get_remote_family, NULL},                                                     \
      {"bytesRead", NULL, cnet_socket_get_bytes_read, NULL},                                                           \
      {"bytesWritten", NULL, cnet_socket_get_bytes_written, NULL},                                                     \
      {"bufferSize", NULL, cnet_socket_get_buffer_size, NULL}, {                                                       \
    "timeout", NULL, cnet_socket_get_timeout, NULL                                                                     \
  }

int cnet_socket_method_set_no_delay(lua_State *L);
int cnet_socket_method_set_keep_alive(lua_State *L);
int cnet_socket_method_set_timeout(lua_State *L);
int cnet_socket_method_address(lua_State *L);
int cnet_socket_method_ref(lua_State *L);
int cnet_socket_method_unref(lua_State *L);
int cnet_socket_get_local_address(lua_State *L);
int cnet_socket_get_local_port(lua_State *L);
int cnet_socket_get_local_family(lua_State *L);
int cnet_socket_get_remote_address(lua_State *L);
int cnet_socket_get_remote_port(lua_State *L);
int cnet_socket_get_remote_family(lua_State *L);
int cnet_socket_get_bytes_read(lua_State *L);
int cnet_socket_get_bytes_written(lua_State *L);
int cnet_socket_get_buffer_size(lua_State *L);
int cnet_socket_get_timeout(lua_State *L);

/* Applies the saved noDelay and keepAlive to the handle. */
void cnet_socket_apply_options(cnet_socket *s);
/* Pushes the peer's {address, family, port}, or nil; what was read once is remembered. */
bool cnet_socket_push_peer(lua_State *L, cnet_socket *s, int self);
/* Stops and frees the timeout's timer. */
void cnet_socket_drop_timer(lua_State *L, cnet_socket *s);

#endif
