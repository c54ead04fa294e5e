# shellcheck shell=sh
# Read by run.sh and gates.sh. Goes to the root of the checkout and defines
#   build_bench    installs the Debian packages that are missing, and builds an optimized cnet.so, the load generator
#                  and the reference server into build-bench
# shellcheck source=tools/setup.sh disable=SC1091
. "$(dirname "$0")/../tools/setup.sh"

build_bench() {
  # shellcheck disable=SC2086,SC2154
  need $build_packages valgrind strace
  build build-bench -DCMAKE_BUILD_TYPE=Release
  set -- -std=c11 -D_GNU_SOURCE -O2 -Wall -Wextra -Wshadow -Wpedantic ${CI:+-Werror}
  cc "$@" bench/load.c -o build-bench/load
  # shellcheck disable=SC2046
  cc "$@" bench/echo_raw.c -o build-bench/echo_raw $(pkg-config --cflags --libs libuv)
  LUA_CPATH="$PWD/build-bench/?.so;;"
  export LUA_CPATH
}
