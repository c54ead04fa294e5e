#!/bin/sh
# What one message costs a server, counted: the difference between two runs of different lengths. Unlike times, this
# hardly changes from run to run. To be run after run.sh or gates.sh, which build what it needs.
#
#   LUA_CPATH="build-bench/?.so;;" sh bench/count.sh instructions|syscalls COMMAND [OPTION...]
#
# The options are the load generator's. Instructions are those of user space, system calls those of all threads.
set -eu
cd "$(dirname "$0")/.."

what=$1
command=$2
shift 2
few=500
many=2500
out=$(mktemp)
trap 'rm -f "$out"' EXIT

case $what in
  instructions) tool="valgrind -q --tool=callgrind --smc-check=all-non-file --callgrind-out-file=$out" ;;
  syscalls) tool="strace -f -c -o $out" ;;
  *) echo "count.sh: instructions or syscalls?" >&2; exit 2 ;;
esac

total() { # total MESSAGES [OPTION...]
  messages=$1
  shift
  if ! said=$(build-bench/load "$@" -k "$messages" "$tool $command"); then
    echo "count.sh: $command: $said" >&2
    return 1
  fi
  awk '$1 == "totals:" { print $2 } $NF == "total" { print $4 }' "$out"
}

short=$(total "$few" "$@")
long=$(total "$many" "$@")
awk -v short="$short" -v long="$long" -v messages=$((many - few)) 'BEGIN {
  if (short == "" || long == "") exit 1
  printf "%.2f\n", (long - short) / messages
}'
