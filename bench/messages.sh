#!/usr/bin/env bash
# What messages to a child and back cost cnet, next to Node: the CPU time of parent and child together, and the time that
# passes, for each message. Five pairs of runs, each against one with fewer messages, so that the start does not count;
# the ratios are the medians.
#
#   bash bench/messages.sh [KIND...]     kinds: text records small (messages_cnet.lua says what they are)
#
# NODE is the Node to compare with.
set -euo pipefail
export LC_ALL=C
# shellcheck source=bench/setup.sh disable=SC1091
. "$(dirname "$0")/setup.sh"

build_bench >&2
TIMEFORMAT='%R %U %S'

spent() { # spent COMMAND...: the seconds that pass, and those of CPU
  { time "$@" >&3 2>&4; } 3>&1 4>&2 2>&1 | awk '{ print $1, $2 + $3 }'
}

kinds=${*:-text records small}
for kind in $kinds; do
  few=1 many=4
  [ "$kind" = small ] && few=1000 many=101000
  for _ in 1 2 3 4 5; do
    echo "$(spent lua5.4 bench/messages_cnet.lua "$kind" $few) $(spent lua5.4 bench/messages_cnet.lua "$kind" $many)" \
      "$(spent "${NODE:-node}" bench/messages_node.js "$kind" $few)" \
      "$(spent "${NODE:-node}" bench/messages_node.js "$kind" $many)"
  done | awk -v kind="$kind" -v n=$((many - few)) '
    function median(list, i, j, below) { # of five
      for (i = 1; i <= 5; i++) {
        below = 0
        for (j = 1; j <= 5; j++) below += list[j] < list[i] || (list[j] == list[i] && j < i)
        if (below == 2) return list[i]
      }
    }
    {
      time[NR] = ($3 - $1) / ($7 - $5); cpu[NR] = ($4 - $2) / ($8 - $6)
      cnet[NR] = ($4 - $2) / n * 1e6; node[NR] = ($8 - $6) / n * 1e6
    }
    END {
      printf "%-8s CPU %.2f of that of Node (%.1f and %.1f us for each message), rate %.2f times that of Node\n", kind,
        median(cpu), median(cnet), median(node), 1 / median(time)
    }'
done
