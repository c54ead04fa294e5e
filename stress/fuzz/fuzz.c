/* What libFuzzer calls: each input goes to the function that the script in FUZZ_SCRIPT returns, and an error of it is a
 * crash. cnet is linked in, since the sanitizers' and libFuzzer's code must be in the program itself. The other end of
 * the channel of net.process is here: tell(bytes) writes to it, told() reads what came; decode and encode are
 * the functions of encoding.c. Started by fuzz.sh. */
#include <fcntl.h>
#include <lauxlib.h>
#include <lualib.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "text/encoding.h"

int luaopen_cnet(lua_State *L);
int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { COLLECT_EVERY = 1000 /* inputs */ };

static lua_State *L;
static int channel[2];

static int tell(lua_State *state) {
  size_t size;
  const char *bytes = luaL_checklstring(state, 1, &size);
  if (write(channel[1], bytes, size) != (ssize_t)size) return luaL_error(state, "the channel is full");
  return 0;
}

static int told(lua_State *state) {
  char bytes[65536];
  ssize_t n = read(channel[1], bytes, sizeof bytes);
  lua_pushlstring(state, bytes, n > 0 ? (size_t)n : 0);
  return 1;
}

/* decode(encoding, part, ...): what a socket makes of bytes that come in these parts */
static int decode(lua_State *state) {
  cnet_decoder decoder;
  int i, n = lua_gettop(state);
  cnet_decoder_init(&decoder, cnet_check_encoding(state, 1));
  for (i = 2; i <= n; i++) {
    size_t size;
    const char *bytes = luaL_checklstring(state, i, &size);
    cnet_decoder_push(state, &decoder, bytes, size);
  }
  cnet_decoder_push_end(state, &decoder);
  lua_concat(state, lua_gettop(state) - n);
  return 1;
}

/* encode(encoding, text): what write() makes of the text */
static int encode(lua_State *state) {
  luaL_checkstring(state, 2);
  cnet_encoding_push_bytes(state, 2, cnet_check_encoding(state, 1));
  return 1;
}

static void fail(const char *what) {
  fprintf(stderr, "%s: %s\n", what, lua_tostring(L, -1));
  abort();
}

int LLVMFuzzerInitialize(int *argc, char ***argv) {
  const char *script = getenv("FUZZ_SCRIPT");
  char number[12];
  (void)argc;
  (void)argv;
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, channel) != 0) return 1;
  snprintf(number, sizeof number, "%d", channel[0]);
  setenv("NODE_CHANNEL_FD", number, 1);
  L = luaL_newstate();
  luaL_openlibs(L);
  luaL_requiref(L, "cnet", luaopen_cnet, 1);
  lua_setglobal(L, "net");
  lua_register(L, "tell", tell);
  lua_register(L, "told", told);
  lua_register(L, "decode", decode);
  lua_register(L, "encode", encode);
  if (luaL_dofile(L, script ? script : "") != LUA_OK) fail("script");
  return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
  static unsigned count;
  lua_pushvalue(L, -1);
  lua_pushlstring(L, (const char *)data, size);
  if (lua_pcall(L, 1, 0, 0) != LUA_OK) fail("error");
  if (++count % COLLECT_EVERY == 0) lua_gc(L, LUA_GCCOLLECT);
  return 0;
}
