#!/bin/sh
# No memory left, everywhere: each script of no_memory/ with an allocator that fails at every allocation in turn, Lua's
# and libuv's, under AddressSanitizer. `--quick` takes every 17th of them. See no_memory.c.
set -eu
cd "$(dirname "$0")/.."
step=1
[ "${1:-}" = --quick ] && step=17
mkdir -p build-stress
# shellcheck disable=SC2046
cc -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-omit-frame-pointer \
  -Isrc $(pkg-config --cflags lua5.4 libuv) $(find src -name '*.c') -shared -fPIC -fvisibility=hidden -Wl,-z,nodelete \
  -o build-stress/cnet.so $(pkg-config --libs libuv)
# shellcheck disable=SC2046
cc -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -fsanitize=address,undefined -fno-omit-frame-pointer \
  $(pkg-config --cflags lua5.4 libuv) stress/no_memory.c -rdynamic -o build-stress/no_memory $(pkg-config --libs lua5.4 libuv)
export LUA_CPATH_5_4="$PWD/build-stress/?.so" CNET_CPATH="$PWD/build-stress/?.so"
export ASAN_OPTIONS="detect_leaks=1:allocator_may_return_null=1"
ASAN_LIBRARY=$(cc -print-file-name=libasan.so)
export ASAN_LIBRARY
status=0
for script in ${SCRIPTS:-stress/no_memory/*.lua}; do
  for mode in once lasting; do
    for whose in "" -u; do
      # shellcheck disable=SC2086
      build-stress/no_memory -s "$step" -m "$mode" $whose "$script" 2>build-stress/err && continue
      status=1
      cat build-stress/at
      grep -v "never called net.run" build-stress/err || true
    done
  done
done
exit "$status"
