#!/bin/sh
# Lua 5.4.4's string.rep refuses to make a string of 2^31 bytes, which `..` makes.
#
# Version:   Lua 5.4.4 (Debian 12: lua5.4 5.4.4-3+deb12u1), on a 64-bit machine.
# Behaviour: string.rep raises "resulting string too large" for 2^31 bytes, whatever the memory. Two halves of 2^30
#            bytes that string.rep made, joined with `..`, are a string of 2^31 bytes.
# Seen:      2026-11-30
#              rep: false, resulting string too large
#              joined: 2147483648
# Surprise:  a length in Lua is a 64-bit integer, and the message sounds like the limit of strings; it is the limit of
#            the function, which is that of the C type int, and concatenation does not have it.
# Needs:     3 GB of memory for some seconds.
# Status:    0 the same as above, 1 something else came out, 2 could not be tried.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

free=$(awk '$1 == "MemAvailable:" { print int($2 / 1024) }' /proc/meminfo)
if [ "$free" -lt 3500 ]; then
  echo "$free MB of memory are free, and 3500 are wanted: nothing was tried" >&2
  exit 2
fi
version=5.4.4-3+deb12u1
if ! (cd "$tmp" && apt-get download "lua5.4=$version") >"$tmp/log" 2>&1; then
  cat "$tmp/log" >&2
  echo "could not download lua5.4 $version (is this Debian 12, with its lists up to date?): nothing was tried" >&2
  exit 2
fi
dpkg-deb -x "$tmp"/*.deb "$tmp/root"

cat >"$tmp/program.lua" <<'LUA'
local ok, message = pcall(string.rep, "x", 1 << 31)
print(("rep: %s, %s"):format(ok, ok and "made" or message))
local half = string.rep("x", 1 << 30)
print("joined: " .. #(half .. half))
LUA
cat >"$tmp/expected" <<'END'
rep: false, resulting string too large
joined: 2147483648
END
"$tmp/root/usr/bin/lua5.4" "$tmp/program.lua" >"$tmp/seen"
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
