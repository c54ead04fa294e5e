#!/usr/bin/env bash
# watch.sh PID FILE INTERVAL COUNT: looks at FILE, where the busted of watch.lua writes the spec that it runs, every
# INTERVAL seconds. A spec that is there COUNT times in a row hangs: it is named, and the programs that it waits for are
# killed. If that does not move it, busted gets a SIGINT, which Lua makes an error of, so that the other specs go on (but
# lua5.4 does so once only: the second one ends it). If it is still there a while later, it hangs in C, and busted is
# killed. A spec that ends the process is named too.
trap '' INT TERM HUP # what ends busted must not end us before the spec is named
busted=$1 file=$2 interval=$3 count=$4
seen='' times=0

say() { printf '\n# %s: %s\n' "$1" "$seen"; }

kill_children() { # kill_children PID
  local child children
  read -r -a children < <(cat "/proc/$1/task/"*/children 2>/dev/null | tr '\n' ' ')
  for child in "${children[@]}"; do
    kill_children "$child"
    kill -KILL "$child" 2>/dev/null
  done
}

while sleep "$interval"; do
  now=''
  { read -r now <"$file"; } 2>/dev/null || [ -e "$file" ] || exit 0
  if ! kill -0 "$busted" 2>/dev/null; then
    seen=${now:-$seen}
    say 'busted ended in the middle of'
    break
  fi
  [ -n "$now" ] || continue # it is being written
  if [ "$now" != "$seen" ]; then
    seen=$now times=0
    continue
  fi
  times=$((times + 1))
  if [ "$times" -eq "$count" ]; then
    say 'this spec hangs'
    kill_children "$busted"
  elif [ "$times" -eq $((count + 2)) ]; then
    kill -INT "$busted"
  elif [ "$times" -ge $((count + count / 3 + 4)) ]; then
    say 'this spec hangs, and nothing but a kill ends it'
    kill_children "$busted"
    kill -KILL "$busted"
    break
  fi
done
rm -f "$file"
