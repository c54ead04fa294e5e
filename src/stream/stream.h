/* What the two halves of a stream share: their state, and the life that ends in destroy, 'error' and 'close'.
 *
 * Wing stream. The names are those of Node's lib/internal/streams, so that the two can be read side by side:
 * stream/readable.c and stream/writable.c are its readable and writable, this is its destroy. Strings, callbacks and
 * errors that wait are kept in the object's slots. What a stream needs of the world (reading, writing, shutting down)
 * is asked through cnet_stream_ops of what lies above, net.Socket. */
#ifndef CNET_STREAM_H
#define CNET_STREAM_H

#include "core/args.h"
#include "event/emitter.h"
#include "text/encoding.h"

enum {
  CNET_SLOT_READ_BUFFER = 1, /* strings at r_first .. r_last */
  CNET_SLOT_WRITE_BUFFER,    /* two slots for each write: string, callback or false */
  CNET_SLOT_WRITE_CALLBACK,  /* of the write in flight: a function, or an array of them (false: none) */
  CNET_SLOT_TICK_INFO,       /* {callback, count} of writes that were done at once */
  CNET_SLOT_ON_FINISHED,     /* array of end_'s callbacks */
  CNET_SLOT_ERRORED,
  CNET_SLOT_PIPES,        /* array of destinations */
  CNET_SLOT_AWAIT_DRAIN,  /* set of destinations that are full */
  CNET_SLOT_FIRST_SOCKET, /* from here on net.Socket's own */
};

/* Of both halves */
enum {
  CNET_DESTROYED = 1 << 0,
  CNET_CLOSED = 1 << 1,
  CNET_CLOSE_EMITTED = 1 << 2,
  CNET_ERRORED = 1 << 3,
  CNET_ERROR_EMITTED = 1 << 4,
  /* Of the reading half */
  CNET_R_ENDED = 1 << 5,
  CNET_R_END_EMITTED = 1 << 6,
  CNET_R_READING = 1 << 7,
  CNET_R_SYNC = 1 << 8,
  CNET_R_NEED_READABLE = 1 << 9,
  CNET_R_EMITTED_READABLE = 1 << 10,
  CNET_R_READABLE_LISTENING = 1 << 11,
  CNET_R_RESUME_SCHEDULED = 1 << 12,
  CNET_R_READING_MORE = 1 << 13,
  CNET_R_DATA_LISTENING = 1 << 14,
  CNET_R_DECODER = 1 << 15,
  CNET_R_HAS_FLOWING = 1 << 16,
  CNET_R_FLOWING = 1 << 17,
  CNET_R_HAS_PAUSED = 1 << 18,
  CNET_R_PAUSED = 1 << 19,
  CNET_R_OFF = 1 << 20,         /* made with readable = false */
  CNET_R_AWAIT_DRAIN = 1 << 21, /* a pipe's destination is full: CNET_SLOT_AWAIT_DRAIN is set */
  CNET_R_DID_READ = 1 << 22,
  CNET_R_EOF_UNHEARD = 1 << 23, /* the end's 'readable' waits for a listener */
  CNET_R_MULTI_PIPES = 1 << 24  /* it went to several destinations at once, and since then none alone was full */
};

/* Of the writing half */
enum {
  CNET_W_SYNC = 1 << 0,
  CNET_W_FINAL_CALLED = 1 << 1,
  CNET_W_NEED_DRAIN = 1 << 2,
  CNET_W_ENDING = 1 << 3,
  CNET_W_FINISHED = 1 << 4,
  CNET_W_WRITING = 1 << 5,
  CNET_W_BUFFER_PROCESSING = 1 << 6,
  CNET_W_PREFINISHED = 1 << 7,
  CNET_W_ALL_NOOP = 1 << 8,
  CNET_W_ON_FINISHED = 1 << 9,
  CNET_W_WRITE_CALLBACK = 1 << 10,
  CNET_W_EXPECT_CALLBACK = 1 << 11,
  CNET_W_TICK_INFO = 1 << 12,
  CNET_W_AFTER_WRITE_PENDING = 1 << 13,
  CNET_W_BUFFERED = 1 << 14,
  CNET_W_OFF = 1 << 15 /* made with writable = false */
};

typedef struct cnet_stream cnet_stream;

/* What a stream asks of what lies above it; `self` is its object's index. */
typedef struct {
  const cnet_class *class; /* its hot event is 'data' */
  /* Begins to read, if it does not; answers with cnet_readable_push. */
  void (*read)(lua_State *L, cnet_stream *s, int self);
  /* The bytes are for the stream at index destination, and no listener sees them: writes what it takes of them at once,
   * past Lua, and returns how many; the rest is then given to write. */
  size_t (*pass)(lua_State *L, int destination, const char *data, size_t size);
  /* Takes the string at index chunk, to be written when the running callback returns; false: not now, or not this. */
  bool (*gather)(lua_State *L, cnet_stream *s, int self, int chunk);
  /* Writes the string, or the array of strings, at index data; answers once with cnet_writable_on_write. */
  void (*write)(lua_State *L, cnet_stream *s, int self, int data);
  /* Ends the writing side; answers once with cnet_writable_on_final. */
  void (*final)(lua_State *L, cnet_stream *s, int self);
  /* Lets go of the handle; err is an index or 0; answers once with cnet_stream_on_destroyed. */
  void (*destroy)(lua_State *L, cnet_stream *s, int self, int err);
  /* A tick of the writing half, for a destroyed stream: the callbacks that wait get an error. */
  lua_CFunction tick_error_buffer;
} cnet_stream_ops;

/* What each message needs stands together, last: with a thousand connections the lines of the cache that a message
 * touches are what it costs. */
struct cnet_stream {
  cnet_emitter emitter;
  cnet_decoder decoder;
  bool allow_half_open;
  lua_Integer r_first, r_last, w_first, w_last; /* a buffer that is never empty goes on for ever */
  size_t r_offset;                              /* bytes of the first buffered string that were read already */
  const cnet_stream_ops *ops;
  unsigned state, wstate;
  uint32_t corked;    /* no more than UINT32_MAX: the script that corks as often never uncorks */
  uint32_t pendingcb; /* each of a write that is kept in memory */
  size_t r_length, r_high_water_mark;
  size_t w_length, w_high_water_mark, w_writing; /* w_writing: bytes of the write in flight */
  unsigned char default_encoding;                /* of write() without one: a cnet_encoding */
  /* What went past Lua of the chunk whose rest is written next. It counts as waiting with that rest, as in Node, or a
   * pipe would go on reading beyond the mark. */
  unsigned w_passed;
};

enum { CNET_DEFAULT_HIGH_WATER_MARK = 65536 };

/* A fresh stream, of the options that its class has read. */
void cnet_stream_init(cnet_stream *s, const cnet_stream_ops *ops, size_t high_water_mark);
static inline cnet_runtime *cnet_stream_runtime(const cnet_stream *s) { return s->emitter.object.rt; }
/* Is there an error at this index? 0 is no index; what JavaScript counts as false is no error. */
static inline bool cnet_is_error(lua_State *L, int index) { return index != 0 && cnet_truthy(L, index); }

/* destroy(err): err is an index, or 0. */
void cnet_stream_destroy(lua_State *L, cnet_stream *s, int self, int err);
void cnet_stream_on_destroyed(lua_State *L, cnet_stream *s, int self, int err);
/* Destroys with the error on top, which it pops. */
void cnet_stream_destroy_top(lua_State *L, cnet_stream *s, int self);
/* Remembers the first error, at index err. */
void cnet_stream_set_errored(lua_State *L, cnet_stream *s, int self, int err);

#endif
