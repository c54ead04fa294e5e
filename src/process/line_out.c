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

/* Pushes what a write is pinned with: nil, or with a callback a table that is to have the bytes too. */
static void push_holder(lua_State *L, int callback) {
  if (!callback) {
    lua_pushnil(L);
    return;
  }
  lua_createtable(L, 1, 1);
  lua_pushvalue(L, callback);
  lua_setfield(L, -2, "callback");
}

/* Writes bytes of the value on top, which goes into the holder below it. */
static int write_held(lua_State *L, cnet_line_out *out, int self, const char *bytes, size_t size) {
  int holder = lua_gettop(L) - 1, status;
  if (!*out->handle) return UV_ECANCELED;
  if (lua_istable(L, holder)) {
    lua_rawseti(L, holder, 1);
  } else {
    lua_replace(L, holder);
  }
  status = cnet_handle_write_later(L, out->handle, self, holder, bytes, size, out->done);
  if (status == 0) out->writes++;
  return status;
}

/* Behind what waits; the holder is on top. */
static int write_behind(lua_State *L, cnet_line_out *out, int self, const cnet_block *line, int callback) {
  const char *bytes = line->at;
  bool gathers = !callback && line->size <= LONGEST_GATHERED, gathered = false;
  if (!gathers || line->size > BATCH - out->batch.size) cnet_line_out_submit(L, out, self);
  if (gathers) gathered = gather(out, line);
  if (gathered) {
    if (out->writes == 0) cnet_line_out_submit(L, out, self); /* there was no memory for it before */
    return 0;
  }
  if (line->size > LONGEST_COPIED) {
    lua_pushvalue(L, line->index);
  } else {
    bytes = lua_pushlstring(L, bytes, line->size);
  }
  return write_held(L, out, self, bytes, line->size);
}

/* Writes the last bytes of the line, of which the kernel has taken the others. A finalizer that sends would tear the
 * line, so nothing is allocated that may run one: the line's own userdata is kept. The holder is on top. */
static int write_begun(lua_State *L, cnet_line_out *out, int self, cnet_block *line, size_t rest) {
  line->kept = true;
  lua_pushvalue(L, line->index);
  return write_held(L, out, self, line->at + line->size - rest, rest);
}

int cnet_line_out_write(lua_State *L, cnet_line_out *out, int self, cnet_block *line, int callback, bool *async) {
  ssize_t sent;
  int top = lua_gettop(L), status;
  push_holder(L, callback); /* first: a finalizer may send meanwhile, or end the channel */
  if (!*out->handle) {
    status = UV_ECANCELED;
  } else if (cnet_line_out_size(out) > 0) {
    status = write_behind(L, out, self, line, callback);
  } else {
    sent = cnet_handle_write_now(*out->handle, line->at, line->size);
    *async = sent >= 0 && (size_t)sent < line->size;
    if (!*async) {
      lua_settop(L, top);
      return sent < 0 ? (int)sent : 0;
    }
    status = write_begun(L, out, self, line, line->size - (size_t)sent);
  }
  *async = status == 0;
  lua_settop(L, top);
  return status;
}

size_t cnet_line_out_size(const cnet_line_out *out) { return cnet_handle_write_queue(*out->handle) + out->batch.size; }

void cnet_line_out_free(cnet_line_out *out) {
  free(out->batch.bytes);
  out->batch = (cnet_given){NULL, 0};
}
