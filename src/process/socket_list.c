#include "process/socket_list.h"

#include <string.h>

#include "core/error.h"
#include "server/holders.h"

enum {
  SLOT_SENT = CNET_SLOT_CHANNEL_FIRST_FREE, /* keys of servers whose sockets went out */
  SLOT_GOT,                                 /* key -> the list of what came */
  SLOT_QUESTIONS,                           /* array of {reply =, key =, callback =} that are not answered yet */
};

/* The sockets that came over a channel with one key, and are here. */
typedef struct {
  cnet_object object;
  cnet_socket_group group;
  bool notify; /* the sender waits for the last to be closed */
} socket_list;

enum { SLOT_LIST_CHANNEL = 1, SLOT_LIST_KEY };

/* Sends {cmd =, key = the value at index key, count = unless it is below 0}. */
static void send_count(lua_State *L, int channel, const char *cmd, int key, lua_Integer count) {
  lua_createtable(L, 0, 3);
  lua_pushstring(L, cmd);
  lua_setfield(L, -2, "cmd");
  lua_pushvalue(L, key);
  lua_setfield(L, -2, "key");
  if (count >= 0) {
    lua_pushinteger(L, count);
    lua_setfield(L, -2, "count");
  }
  if (!cnet_channel_at(L, channel)->ended) cnet_channel_send(L, channel, lua_gettop(L), 0, false, 0, true);
  lua_pop(L, 1);
}

/* ---- the sender asks ---- */

static void push_closed_before_reply(lua_State *L) {
  cnet_error_push(L, "Error", "ERR_CHILD_CLOSED_BEFORE_REPLY", "Child closed before reply received");
}

static bool is_gone(lua_State *L, int channel) {
  cnet_channel *c = cnet_channel_at(L, channel);
  bool gone;
  cnet_class_slot(L, channel, CNET_SLOT_CHANNEL_TARGET);
  gone = c->owner->is_gone(L, lua_gettop(L));
  lua_pop(L, 1);
  return gone;
}

static void add_question(lua_State *L, int channel, const char *reply, int key, int callback) {
  cnet_class_slot_table(L, channel, SLOT_QUESTIONS);
  lua_createtable(L, 0, 3);
  lua_pushstring(L, reply);
  lua_setfield(L, -2, "reply");
  lua_pushvalue(L, key);
  lua_setfield(L, -2, "key");
  lua_pushvalue(L, callback);
  lua_setfield(L, -2, "callback");
  lua_rawseti(L, -2, (lua_Integer)lua_rawlen(L, -2) + 1);
  lua_pop(L, 1);
}

/* ask(what, callback) of server/holders.h; upvalues: 2 the channel, 3 the key */
static int ask(lua_State *L) {
  bool count = strcmp(lua_tostring(L, 1), "count") == 0;
  lua_settop(L, 2);
  lua_pushvalue(L, lua_upvalueindex(2));
  lua_pushvalue(L, lua_upvalueindex(3));
  if (is_gone(L, 3)) return 0;
  if (cnet_channel_at(L, 3)->connected) {
    send_count(L, 3, count ? "NODE_SOCKET_GET_COUNT" : "NODE_SOCKET_NOTIFY_CLOSE", 4, -1);
    add_question(L, 3, count ? "NODE_SOCKET_COUNT" : "NODE_SOCKET_ALL_CLOSED", 4, 2);
  } else {
    lua_pushvalue(L, 2);
    push_closed_before_reply(L);
    lua_call(L, 1, 0);
  }
  lua_pushboolean(L, 1);
  return 1;
}

void cnet_socket_list_send(lua_State *L, int channel, int server) {
  int key = lua_gettop(L) + 1;
  cnet_server_push_key(L, server);
  cnet_class_slot_table(L, channel, SLOT_SENT);
  lua_pushvalue(L, key);
  if (lua_rawget(L, -2) == LUA_TNIL) {
    lua_pushvalue(L, key);
    lua_pushboolean(L, 1);
    lua_rawset(L, key + 1);
    lua_pushvalue(L, channel);
    lua_pushvalue(L, key);
    cnet_emitter_push_listener(L, ask, 2);
    cnet_server_add_holder(L, server);
  }
  lua_settop(L, key);
}

static bool is_answer(lua_State *L, int question, const char *reply, int key) {
  bool is;
  lua_getfield(L, question, "reply");
  lua_getfield(L, question, "key");
  is = strcmp(lua_tostring(L, -2), reply) == 0 && lua_rawequal(L, -1, key);
  lua_pop(L, 2);
  return is;
}

/* Pops a table of questions and answers each: with the error at index err, or (err 0) with nil and the value at index
 * count. */
static void answer(lua_State *L, int err, int count) {
  lua_Integer i;
  int questions = lua_gettop(L);
  for (i = 1; lua_rawgeti(L, questions, i) != LUA_TNIL; i++) {
    lua_getfield(L, -1, "callback");
    if (err) {
      lua_pushvalue(L, err);
      lua_call(L, 1, 0);
    } else {
      lua_pushnil(L);
      lua_pushvalue(L, count);
      lua_call(L, 2, 0);
    }
    lua_settop(L, questions);
  }
  lua_settop(L, questions - 1);
}

/* One reply answers all who have asked the same. */
static void on_reply(lua_State *L, int channel, const char *reply, int key, int count) {
  lua_Integer i, taken = 0, left = 0;
  int old, answered, rest;
  cnet_class_slot_table(L, channel, SLOT_QUESTIONS);
  lua_newtable(L);
  lua_newtable(L);
  rest = lua_gettop(L);
  answered = rest - 1;
  old = rest - 2;
  for (i = 1; lua_rawgeti(L, old, i) != LUA_TNIL; i++) {
    if (is_answer(L, rest + 1, reply, key)) {
      lua_rawseti(L, answered, ++taken);
    } else {
      lua_rawseti(L, rest, ++left);
    }
  }
  lua_settop(L, rest);
  cnet_class_set_slot(L, channel, SLOT_QUESTIONS);
  answer(L, 0, count);
  lua_settop(L, old - 1);
}

void cnet_socket_list_on_end(lua_State *L, int channel) {
  push_closed_before_reply(L);
  cnet_class_slot_table(L, channel, SLOT_QUESTIONS);
  lua_pushnil(L);
  cnet_class_set_slot(L, channel, SLOT_QUESTIONS);
  answer(L, lua_gettop(L) - 1, 0);
  lua_pop(L, 1);
}

/* ---- the receiver answers ---- */

static void all_closed(lua_State *L, int list) {
  int channel = lua_gettop(L) + 1;
  cnet_class_slot(L, list, SLOT_LIST_CHANNEL);
  cnet_class_slot(L, list, SLOT_LIST_KEY);
  send_count(L, channel, "NODE_SOCKET_ALL_CLOSED", channel + 1, -1);
  lua_settop(L, channel - 1);
}

static void on_socket_left(lua_State *L, int list) {
  socket_list *l = lua_touserdata(L, list);
  if (l->group.count > 0 || !l->notify) return;
  l->notify = false;
  all_closed(L, list);
}

static const cnet_class list_class = {.id = CNET_SOCKET_LIST, .name = "net.SocketList"};

/* Pushes the list of the key at index key, made if need be. */
static socket_list *push_list(lua_State *L, int channel, int key) {
  cnet_runtime *rt = cnet_channel_at(L, channel)->object.rt;
  socket_list *l;
  int lists = lua_gettop(L) + 1;
  cnet_class_slot_table(L, channel, SLOT_GOT);
  lua_pushvalue(L, key);
  if (lua_rawget(L, lists) == LUA_TNIL) {
    lua_pop(L, 1);
    l = cnet_class_new(L, rt, sizeof *l, CNET_USERVALUES);
    l->group.on_left = on_socket_left;
    cnet_class_dress(L, &list_class);
    lua_pushvalue(L, channel);
    cnet_class_set_slot(L, lists + 1, SLOT_LIST_CHANNEL);
    lua_pushvalue(L, key);
    cnet_class_set_slot(L, lists + 1, SLOT_LIST_KEY);
    lua_pushvalue(L, key);
    lua_pushvalue(L, lists + 1);
    lua_rawset(L, lists);
  }
  lua_remove(L, lists);
  return lua_touserdata(L, lists);
}

void cnet_socket_list_add(lua_State *L, int channel, int key, int socket) {
  socket_list *l = push_list(L, channel, key);
  cnet_socket_join(L, cnet_socket_at(L, socket), socket, &l->group, lua_gettop(L));
  lua_pop(L, 1);
}

/* Node answers only for keys it knows, and the owner would wait for ever: here an unknown one has no sockets. */
static void on_question(lua_State *L, int channel, const char *cmd, int key) {
  socket_list *l = push_list(L, channel, key);
  if (strcmp(cmd, "NODE_SOCKET_GET_COUNT") == 0) {
    send_count(L, channel, "NODE_SOCKET_COUNT", key, l->group.count);
  } else if (l->group.count == 0) {
    all_closed(L, lua_gettop(L));
  } else {
    l->notify = true;
  }
  lua_pop(L, 1);
}

bool cnet_socket_list_on_message(lua_State *L, int channel, int message) {
  int top = lua_gettop(L);
  const char *cmd;
  lua_getfield(L, message, "cmd");
  lua_getfield(L, message, "key");
  cmd = lua_tostring(L, top + 1);
  if (lua_isnil(L, top + 2)) cmd = ""; /* nothing to answer to */
  if (strcmp(cmd, "NODE_SOCKET_GET_COUNT") == 0 || strcmp(cmd, "NODE_SOCKET_NOTIFY_CLOSE") == 0) {
    on_question(L, channel, cmd, top + 2);
  } else if (strcmp(cmd, "NODE_SOCKET_COUNT") == 0 || strcmp(cmd, "NODE_SOCKET_ALL_CLOSED") == 0) {
    lua_getfield(L, message, "count");
    on_reply(L, channel, cmd, top + 2, top + 3);
  } else {
    cmd = NULL;
  }
  lua_settop(L, top);
  return cmd != NULL;
}

void cnet_socket_list_register(lua_State *L) {
  cnet_class_define(L, &list_class);
  lua_pop(L, 1);
}
