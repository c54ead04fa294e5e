#!/bin/sh
# Teardown: states that a host closes while all is open, under AddressSanitizer with LeakSanitizer; errors that jump
# through C; states on several threads, under ThreadSanitizer. `--quick` makes fewer states. See teardown.c.
set -eu
cd "$(dirname "$0")/.."
states=400
[ "${1:-}" = --quick ] && states=40
mkdir -p build-stress/thread
both() { # both FOLDER FLAG...: the module and the host
  folder=$1
  shift
  # shellcheck disable=SC2046
  cc -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra "$@" -fno-omit-frame-pointer -Isrc $(pkg-config --cflags lua5.4 libuv) \
    $(find src -name '*.c') -shared -fPIC -fvisibility=hidden -Wl,-z,nodelete -o "$folder/cnet.so" $(pkg-config --libs libuv)
  # shellcheck disable=SC2046
  cc -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra "$@" -fno-omit-frame-pointer $(pkg-config --cflags lua5.4 libuv) \
    stress/teardown.c -rdynamic -pthread -o "$folder/teardown" $(pkg-config --libs lua5.4 libuv)
}
both build-stress -fsanitize=address,undefined
both build-stress/thread -fsanitize=thread
export ASAN_OPTIONS="detect_leaks=1:quarantine_size_mb=4" UBSAN_OPTIONS="print_stacktrace=1:halt_on_error=1"
# libuv closes by a bare system call, which ThreadSanitizer does not see: a descriptor's number that another thread gets
# next would look like a race of the two calls that made it.
printf '%s\n' called_from_lib:libuv.so called_from_lib:liblua5.4.so 'race:^cnet_handle_write_now$' \
  >build-stress/thread/suppressions
export TSAN_OPTIONS="suppressions=$PWD/build-stress/thread/suppressions die_after_fork=0"
status=0
run() { # run FOLDER ARGUMENT...
  folder=$1
  shift
  LUA_CPATH_5_4="$PWD/$folder/?.so" "$folder/teardown" "$@" 2>build-stress/err && ! grep -q "Sanitizer" build-stress/err &&
    return
  status=1
  echo "teardown $*: FAILED"
  cat build-stress/err
}
run build-stress -n $((states / 2)) stress/teardown/open.lua
run build-stress -n "$states" stress/teardown/errors.lua
run build-stress -n $((states / 4)) stress/teardown/processes.lua
run build-stress -n $((states / 4)) stress/teardown/talk.lua
run build-stress -n $((states / 20)) -t 4 stress/teardown/open.lua
run build-stress/thread -n $((states / 10)) -t 2 stress/teardown/talk.lua
run build-stress/thread -n $((states / 20)) -t 4 stress/teardown/open.lua
run build-stress/thread -n $((states / 20)) -t 4 stress/teardown/errors.lua
rm -f /tmp/cnet-teardown-*
exit "$status"
