/* The reference: the echo server on libuv alone, with one buffer for all reads and uv_try_write before uv_write.
 *
 *   echo_raw [echo|split|pipe|swap]
 *
 * Prints the port it listens on. split: answers in pieces of 64 bytes. pipe: the same as echo. swap: a broken server,
 * which swaps two bytes in one answer of a thousand: the load generator has to find out. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PIECE 64

typedef struct {
  uv_write_t request;
  char rest[];
} queued_write;

static char buffer[65536];
static enum { AS_IS, IN_PIECES, SWAPPED } mode = AS_IS;

static void on_closed(uv_handle_t *handle) { free(handle); }

static void close_stream(uv_stream_t *stream) {
  if (!uv_is_closing((uv_handle_t *)stream)) uv_close((uv_handle_t *)stream, on_closed);
}

static void on_written(uv_write_t *request, int status) {
  if (status < 0) close_stream(request->handle);
  free(request);
}

static void on_shutdown(uv_shutdown_t *request, int status) {
  (void)status;
  close_stream(request->handle);
  free(request);
}

static void answer(uv_stream_t *stream, char *data, size_t length) {
  uv_buf_t buf = uv_buf_init(data, (unsigned)length);
  int written = uv_try_write(stream, &buf, 1);
  if (written < 0) written = 0; /* the queue is not empty, or uv_write will tell */
  if ((size_t)written == length) return;
  length -= (size_t)written;
  queued_write *queued = malloc(sizeof *queued + length);
  if (!queued) abort();
  memcpy(queued->rest, data + written, length);
  buf = uv_buf_init(queued->rest, (unsigned)length);
  if (uv_write(&queued->request, stream, &buf, 1, on_written) < 0) free(queued);
}

static void on_end(uv_stream_t *stream) {
  uv_shutdown_t *request = malloc(sizeof *request);
  if (!request) abort();
  if (uv_shutdown(request, stream, on_shutdown) < 0) {
    free(request);
    close_stream(stream);
  }
}

static void swap_bytes(char *data, ssize_t length) {
  static int answers;
  if (++answers % 1000 != 0 || length < 2) return;
  char first = data[0];
  data[0] = data[length - 1];
  data[length - 1] = first;
}

static void on_read(uv_stream_t *stream, ssize_t length, const uv_buf_t *buf) {
  if (length == UV_EOF) {
    on_end(stream);
  } else if (length < 0) {
    close_stream(stream);
  } else if (mode == IN_PIECES) {
    for (ssize_t at = 0; at < length; at += PIECE) {
      answer(stream, buf->base + at, (size_t)(length - at < PIECE ? length - at : PIECE));
    }
  } else if (length > 0) {
    if (mode == SWAPPED) swap_bytes(buf->base, length);
    answer(stream, buf->base, (size_t)length);
  }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf) {
  (void)handle;
  (void)suggested;
  *buf = uv_buf_init(buffer, sizeof buffer);
}

static void on_connection(uv_stream_t *server, int status) {
  if (status < 0) return;
  uv_tcp_t *socket = malloc(sizeof *socket);
  if (!socket) abort();
  uv_tcp_init(server->loop, socket);
  if (uv_accept(server, (uv_stream_t *)socket) < 0) {
    close_stream((uv_stream_t *)socket);
    return;
  }
  uv_tcp_nodelay(socket, 1);
  uv_read_start((uv_stream_t *)socket, on_alloc, on_read);
}

int main(int argc, char **argv) {
  uv_loop_t *loop = uv_default_loop();
  uv_tcp_t server;
  struct sockaddr_in address;
  int length = sizeof address;
  if (argc > 1) mode = strcmp(argv[1], "split") == 0 ? IN_PIECES : strcmp(argv[1], "swap") == 0 ? SWAPPED : AS_IS;
  signal(SIGPIPE, SIG_IGN);
  uv_ip4_addr("127.0.0.1", 0, &address);
  uv_tcp_init(loop, &server);
  if (uv_tcp_bind(&server, (struct sockaddr *)&address, 0) < 0) return 1;
  if (uv_listen((uv_stream_t *)&server, 511, on_connection) < 0) return 1;
  uv_tcp_getsockname(&server, (struct sockaddr *)&address, &length);
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  return uv_run(loop, UV_RUN_DEFAULT);
}
