#include "process/line_out.h"

#include <stdlib.h>
#include <string.h>

enum { BATCH = 65536, LONGEST_GATHERED = BATCH / 4, LONGEST_COPIED = 65536 };

void cnet_line_out_submit(lua_State *L, cnet_line_out *out, int self) {
  if (out->batch.size == 0 || !*out->handle) return;
  if (cnet_handle_write_given(L, out->handle, self, &out->batch, out->done) == 0) {
    out->writes++;
  } else {
    out->batch.size = 0; /* the handle is closed or broken: whose it is will hear of that */
  }
}

/* What is allocated here is not Lua's, so that no finalizer comes between. */
static bool gather(cnet_line_out *out, const cnet_block *line) {
  if (!*out->handle || line->size > BATCH - out->batch.size) return false;
  if (!out->batch.bytes) out->batch.bytes = malloc(BATCH);
  if (!out->batch.bytes) return false;
  memcpy(out->batch.bytes + out->batch.size, line->at, line->size);
  out->batch.size += line->size;
  return true;
}

/* Writes the last bytes of the line, of which the kernel has taken the others. */
static int write_rest(lua_State *L, cnet_line_out *out, int self, const cnet_block *line, size_t rest, int callback) {
  const char *bytes = line->at + line->size - rest;
  int value = lua_gettop(L) + 1, status;
  if (callback) lua_createtable(L, 1, 1);
  if (rest > LONGEST_COPIED) {
    lua_pushvalue(L, line->index);
  } else {
    bytes = lua_pushlstring(L, bytes, rest);
  }
  if (callback) {
    lua_rawseti(L, value, 1);
    lua_pushvalue(L, callback);
    lua_setfield(L, value, "callback");
  }
  status = *out->handle ? cnet_handle_write_later(L, out->handle, self, value, bytes, rest, out->done) : UV_ECANCELED;
  if (status == 0) out->writes++;
  lua_settop(L, value - 1);
  return status;
}

/* Behind what waits. */
static int write_behind(lua_State *L, cnet_line_out *out, int self, const cnet_block *line, int callback) {
  bool gathers = !callback && line->size <= LONGEST_GATHERED, gathered = false;
  if (!gathers || line->size > BATCH - out->batch.size) cnet_line_out_submit(L, out, self);
  if (gathers) gathered = gather(out, line);
  if (!gathered) return write_rest(L, out, self, line, line->size, callback);
  if (out->writes == 0) cnet_line_out_submit(L, out, self); /* there was no memory for it before */
  return 0;
}

int cnet_line_out_write(lua_State *L, cnet_line_out *out, int self, const cnet_block *line, int callback, bool *async) {
  ssize_t sent;
  int status;
  if (cnet_line_out_size(out) > 0) {
    status = write_behind(L, out, self, line, callback);
  } else {
    sent = cnet_handle_write_now(*out->handle, line->at, line->size);
    *async = sent >= 0 && (size_t)sent < line->size;
    if (!*async) return sent < 0 ? (int)sent : 0;
    status = write_rest(L, out, self, line, line->size - (size_t)sent, callback);
  }
  *async = status == 0;
  return status;
}

size_t cnet_line_out_size(const cnet_line_out *out) { return cnet_handle_write_queue(*out->handle) + out->batch.size; }

void cnet_line_out_free(cnet_line_out *out) {
  free(out->batch.bytes);
  out->batch = (cnet_given){NULL, 0};
}
