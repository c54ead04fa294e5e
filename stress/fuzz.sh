#!/bin/sh
# What parses input, under libFuzzer with AddressSanitizer and UndefinedBehaviorSanitizer: addresses, BlockList, encodings,
# and the messages of a channel. Five minutes for each, or 12 s with `--quick`; a TARGET alone, too. See fuzz/fuzz.c.
#
#   sh stress/fuzz.sh [--quick] [TARGET...]
#
# An input that fails is kept in build-stress/fuzz; `FUZZ_SCRIPT=stress/fuzz/TARGET.lua build-stress/fuzz/fuzz FILE` runs
# it again.
set -eu
. "$(dirname "$0")/../tools/setup.sh"

here=build-stress/fuzz

# Fuzzes one target for some seconds. It begins with the lines of stress/fuzz/TARGET.txt, and what it found before.
run() {
  target=$1
  inputs=$here/$target
  mkdir -p "$inputs"
  n=0
  while IFS= read -r line; do
    n=$((n + 1))
    printf '%b' "$line" >"$inputs/seed-$n"
  done <"stress/fuzz/$target.txt"
  # leaks are looked for in the end: after each input it would take a hundred times as long
  if FUZZ_SCRIPT=stress/fuzz/$target.lua ASAN_OPTIONS=detect_leaks=1 nice "$here/fuzz" -max_total_time="$2" \
    -detect_leaks=0 -timeout=10 -rss_limit_mb=1024 -max_len=2000 -print_final_stats=1 -artifact_prefix="$inputs-" \
    "$inputs" >"$here/$target.log" 2>&1; then
    sed -n "s/^stat::number_of_executed_units: */$target: good, executions: /p" "$here/$target.log"
  else
    echo "$target: FAILED"
    tail -n 40 "$here/$target.log"
    return 1
  fi
}

if [ "${1:-}" = --one ]; then # by xargs
  run "$3" "$2"
  exit
fi

seconds=300
if [ "${1:-}" = --quick ]; then
  seconds=12
  shift
fi
need clang libclang-rt-14-dev || true
if ! command -v clang >/dev/null; then
  echo "there is no clang here, and none can be had: the parsers were not tried" >&2
  exit 1
fi
[ $# -gt 0 ] || set -- addresses block_lists encodings messages

mkdir -p "$here"
# shellcheck disable=SC2046
clang -std=c11 -D_GNU_SOURCE -g -O1 -Wall -Wextra -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all \
  -fno-omit-frame-pointer -Isrc $(pkg-config --cflags lua5.4 libuv) $(find src -name '*.c') stress/fuzz/fuzz.c -o "$here/fuzz" \
  $(pkg-config --libs lua5.4 libuv)
printf '%s\n' "$@" | xargs -P "$(nproc)" -n 1 sh stress/fuzz.sh --one "$seconds"
