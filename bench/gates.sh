#!/bin/sh
# What an echo may cost at most, counted so that a busy machine does not matter: exit status 1 above a ceiling.
# The counts are those of an optimized build with 50 connections, libraries and Lua included.
set -eu
instructions_of_an_echo=2750 # of user space, for 64 bytes that come back
syscalls_of_an_echo=2.1
syscalls_of_16_writes=2.1 # a request of 1 KiB, answered by 16 writes of 64 bytes
# shellcheck source=bench/setup.sh disable=SC1091
. "$(dirname "$0")/setup.sh"

build_bench >&2
status=0

gate() { # gate TITLE CEILING ARGUMENT_OF_COUNT...
  title=$1
  ceiling=$2
  shift 2
  figure=$(sh bench/count.sh "$@") || figure=none
  verdict=$(awk -v figure="$figure" -v ceiling="$ceiling" 'BEGIN {
    print (figure + 0 > 0 ? (figure + 0 > ceiling + 0 ? "TOO MUCH" : "ok") : "NOT MEASURED")
  }')
  printf '%-40s %10s, at most %8s: %s\n' "$title" "$figure" "$ceiling" "$verdict"
  [ "$verdict" = ok ] || status=1
}

cnet="lua5.4 bench/echo_cnet.lua"
gate "instructions per echo of 64 B" "$instructions_of_an_echo" instructions "$cnet" -c 50
gate "system calls per echo of 64 B" "$syscalls_of_an_echo" syscalls "$cnet" -c 50
gate "system calls per 16 writes of 64 B" "$syscalls_of_16_writes" syscalls "$cnet split" -c 50 -s 1024
exit "$status"
