#!/bin/sh
# Random programs: each seed makes one, of some 2500 calls, a process of its own under AddressSanitizer, LeakSanitizer
# and UndefinedBehaviorSanitizer. See random_programs.lua.
#
#   sh stress/random_programs.sh                    the seeds 1 to 440, more than a million calls; some 8 minutes, 2 cores
#   sh stress/random_programs.sh --quick            the seeds 1 to 30
#   sh stress/random_programs.sh --seeds FROM TO    these
#   sh stress/random_programs.sh SEED               this one, with what it left in build-stress/random/SEED: `trace`
#
# A seed fixes what the program does, but not what the kernel does first: one that failed may need to run more often.
set -eu
. "$(dirname "$0")/../tools/setup.sh"

LIMIT=120 # s, for each; then it is aborted, and the report shows where it was

# Runs the program of a seed; prints what is wrong with it, or its last line.
run_one() {
  seed=$1
  here=$random/$seed
  rm -rf "$here"
  mkdir -p "$here"
  status=0
  : | ( # descriptor 0 is a pipe or nothing, and none is above 255
    cd "$here"
    ulimit -c 0
    ulimit -n 256
    if [ $((seed % 2)) -eq 0 ]; then exec </dev/null; fi
    LD_PRELOAD="$libasan $random/fence.so" exec timeout -s ABRT -k 5 "$LIMIT" lua5.4 "$root/stress/random_programs.lua" "$seed"
  ) >"$here/out" 2>"$here/err" || status=$?
  last=$(grep -a '^calls ' "$here/out" | tail -n 1)
  why=
  for report in "$here"/report* "$here"/failed*; do
    [ -e "$report" ] && why="$report: $(grep -am 1 -E 'ERROR|rror:|^[^ =]' "$report")"
  done
  if [ -z "$why" ] && [ "${last##* }" != "$status" ]; then
    why="it ended with status $status, in the middle: $(tail -n 1 "$here/err")"
  fi
  if [ -n "$why" ]; then
    echo "seed $seed FAILED: $why"
    echo "  again: sh stress/random_programs.sh $seed"
    return
  fi
  echo "seed $seed: $last"
  [ -n "${KEEP:-}" ] || rm -rf "$here"
}

if [ "${1:-}" = --one ]; then # by xargs
  run_one "$2"
  exit
fi

from=1
to=440
case ${1:-} in
  "") ;;
  --quick) to=30 ;;
  --seeds) from=$2 to=$3 ;;
  *) from=$1 to=$1 KEEP=1 ;;
esac

build build-asan -DCNET_SANITIZE=ON -DCNET_WERROR=ON >/dev/null
root=$PWD
random=$root/build-stress/random
mkdir -p "$random"
cc -std=c11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -shared -fPIC stress/random_programs/fence.c -o "$random/fence.so"
libasan=$(cc -print-file-name=libasan.so)
export root random libasan KEEP CNET_CPATH="$root/build-asan/?.so"
export ASAN_OPTIONS="detect_leaks=1:exitcode=99:handle_abort=1:log_path=report"
export UBSAN_OPTIONS="print_stacktrace=1:abort_on_error=1" LSAN_OPTIONS=print_suppressions=0

# run it with `nice` where others work too
seq "$from" "$to" | xargs -P "$(nproc)" -n 1 sh stress/random_programs.sh --one | tee "$random/log" | grep FAILED -A 1 || true
awk '/ calls / { calls += $4; reads += $6; forks += $8; good++ } / FAILED/ { bad++ }
  END { printf "%d programs, %d calls, %d reads and writes of fields, %d children: %d failed\n", good + bad, calls, reads,
    forks, bad; exit bad > 0 || good == 0 }' "$random/log"
