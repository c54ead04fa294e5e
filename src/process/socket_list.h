/* Sockets that were sent over a channel: who sent them may ask how many are left, and when the last is closed.
 *
 * Wing process, above channel. A list has a key, the sender's word for the server that had accepted the sockets. */
#ifndef CNET_SOCKET_LIST_H
#define CNET_SOCKET_LIST_H

#include "process/channel.h"
#include "socket/socket.h"

/* The sender: a socket of the server at index server goes to the channel's other side. Pushes the key of its list. */
void cnet_socket_list_send(lua_State *L, int channel, int server);
/* The receiver: the socket at index socket came, with the key at index key. */
void cnet_socket_list_add(lua_State *L, int channel, int key, int socket);
/* A NODE_SOCKET_ message of either side; returns false if it is none. */
bool cnet_socket_list_on_message(lua_State *L, int channel, int message);
/* The channel has ended: what was asked over it gets no answer. */
void cnet_socket_list_on_end(lua_State *L, int channel);

/* Makes the class known. */
void cnet_socket_list_register(lua_State *L);

#endif
