#!/bin/sh
# libuv 1.44.2 removes a bound pipe's file by the relative name it was given, wherever that leads by then.
#
# Version:   libuv 1.44.2 (Debian 12: libuv1, libuv1-dev 1.44.2-1+deb12u1).
# Behaviour: uv_pipe_bind() with a relative name makes a socket file in the working directory. uv_close() unlinks that
#            same name. If the program has changed its directory between the two, its own file stays, and an ordinary
#            file of the same name in the new directory goes.
# Seen:      2026-11-30
#              libuv 1.44.2
#              the pipe's file: there
#              the other file: gone
# Surprise:  uv_close() cleans up after uv_pipe_bind(), so one expects it to remove what was made. It neither keeps the
#            absolute path nor looks whether the file is a socket at all. A program that binds first and changes its
#            directory afterwards, as a daemon does, leaves the socket file behind. A server of Node.js 26.12.1, which
#            has libuv 1.52.1 inside, did the same on that day; this script tries 1.44.2 only.
# Status:    0 the same as above, 1 something else came out, 2 could not be tried.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

version=1.44.2-1+deb12u1
if ! (cd "$tmp" && apt-get download "libuv1=$version" "libuv1-dev=$version") >"$tmp/log" 2>&1; then
  cat "$tmp/log" >&2
  echo "could not download libuv $version (is this Debian 12, with its lists up to date?): nothing was tried" >&2
  exit 2
fi
for package in "$tmp"/*.deb; do
  dpkg-deb -x "$package" "$tmp/root"
done
library=$(find "$tmp/root" -name libuv.so.1)

cat >"$tmp/program.c" <<'C'
#include <stdio.h>
#include <unistd.h>
#include <uv.h>

static const char *state(const char *path) {
  return access(path, F_OK) == 0 ? "there" : "gone";
}

int main(void) {
  uv_loop_t loop;
  uv_pipe_t pipe;
  if (uv_loop_init(&loop) != 0 || uv_pipe_init(&loop, &pipe, 0) != 0) {
    return 2;
  }
  if (chdir("bound") != 0 || uv_pipe_bind(&pipe, "name") != 0 || chdir("../other") != 0) {
    return 2;
  }
  FILE *file = fopen("name", "w");
  if (file == NULL || fclose(file) != 0) {
    return 2;
  }
  uv_close((uv_handle_t *)&pipe, NULL);
  uv_run(&loop, UV_RUN_DEFAULT);
  printf("libuv %s\n", uv_version_string());
  printf("the pipe's file: %s\n", state("../bound/name"));
  printf("the other file: %s\n", state("name"));
  return uv_loop_close(&loop) == 0 ? 0 : 2;
}
C
cc -I"$tmp/root/usr/include" -o "$tmp/program" "$tmp/program.c" "$library" || {
  echo "could not compile the program: nothing was tried" >&2
  exit 2
}

cat >"$tmp/expected" <<'END'
libuv 1.44.2
the pipe's file: there
the other file: gone
END
mkdir "$tmp/bound" "$tmp/other"
(cd "$tmp" && LD_LIBRARY_PATH=$(dirname "$library") ./program) >"$tmp/seen"
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
