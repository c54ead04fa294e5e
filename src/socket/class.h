/* The class net.Socket: what makes a socket, and its methods.
 *
 * Wing socket, over socket/socket.c. */
#ifndef CNET_SOCKET_CLASS_H
#define CNET_SOCKET_CLASS_H

#include "socket/socket.h"

typedef struct {
  bool allow_half_open, pause_on_create, no_delay, keep_alive;
  int keep_alive_delay; /* s */
  size_t high_water_mark;
} cnet_socket_options;

/* Accepts the client that waits at the handle and pushes its socket, with the server's object at index server. NULL,
 * with *status set and nothing pushed, if the client is gone. */
cnet_socket *cnet_socket_accept(lua_State *L, cnet_handle *listener, int server, cnet_socket_group *group,
                                const cnet_socket_options *options, int *status);
/* Pushes the socket of a client that was accepted elsewhere, and takes its handle. */
cnet_socket *cnet_socket_adopt(lua_State *L, cnet_native *client, int server, cnet_socket_group *group,
                               const cnet_socket_options *options);
/* Another process is to have the connection: the handle, reading no more, is the caller's, and the socket is without
 * one, neither destroyed nor closed. NULL if it has none, or connects. */
cnet_handle *cnet_socket_detach(lua_State *L, cnet_socket *s, int self);
/* Pushes a socket over an open handle of a kind it can read and write, which it takes. It does not read yet. */
cnet_socket *cnet_socket_wrap(lua_State *L, cnet_native *native);

/* The socket is destroyed and connects again: what was asked for in its last life and not done is not done now. */
void cnet_socket_forget_last_life(lua_State *L, cnet_socket *s, int self);

/* Registers net.Socket and net.Stream in the table on top. */
void cnet_socket_register(lua_State *L);

/* What net.Socket, and connect, may be given. */
extern const char cnet_socket_option_names[];

#endif
