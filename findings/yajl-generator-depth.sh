#!/bin/sh
# yajl 2.1.0 cannot write again what it has read: json_verify accepts a nesting that json_reformat refuses.
#
# Version:   yajl 2.1.0 (Debian 12: libyajl2, yajl-tools 2.1.0-3+deb12u2).
# Behaviour: the parser has no such limit at this depth, but the generator stops (yajl_max_depth_exceeded) when the
#            128th array or object is opened inside the others. json_reformat, which connects the two, then says "parse
#            error: client cancelled parse via callback return value".
# Seen:      2026-11-30
#              127 arrays: verify 0, reformat 0
#              128 arrays: verify 0, reformat 1
#              1000 arrays: verify 0, reformat 1
#              parse error: client cancelled parse via callback return value
# Surprise:  two tools of one package disagree on whether a text is good, and the one that refuses it blames the
#            parser, which had no objection. The limit belongs to the generator alone, and although its header calls it
#            YAJL_MAX_DEPTH and sets it to 128, 127 is the deepest that is written.
# Status:    0 the same as above, 1 something else came out, 2 could not be tried.
set -eu
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT

version=2.1.0-3+deb12u2
if ! (cd "$tmp" && apt-get download "libyajl2=$version" "yajl-tools=$version") >"$tmp/log" 2>&1; then
  cat "$tmp/log" >&2
  echo "could not download yajl $version (is this Debian 12, with its lists up to date?): nothing was tried" >&2
  exit 2
fi
for package in "$tmp"/*.deb; do
  dpkg-deb -x "$package" "$tmp/root"
done
LD_LIBRARY_PATH=$(dirname "$(find "$tmp/root" -name libyajl.so.2)")
export LD_LIBRARY_PATH

status() { # TOOL, reads the text in $tmp/text; prints the tool's exit status
  code=0
  "$tmp/root/usr/bin/$1" <"$tmp/text" >/dev/null 2>"$tmp/error" || code=$?
  echo "$code"
}

for depth in 127 128 1000; do
  {
    printf "%${depth}s" '' | tr ' ' '['
    printf "%${depth}s" '' | tr ' ' ']'
  } >"$tmp/text"
  echo "$depth arrays: verify $(status json_verify), reformat $(status json_reformat)"
done >"$tmp/seen"
head -n 1 "$tmp/error" >>"$tmp/seen"

cat >"$tmp/expected" <<'END'
127 arrays: verify 0, reformat 0
128 arrays: verify 0, reformat 1
1000 arrays: verify 0, reformat 1
parse error: client cancelled parse via callback return value
END
cat "$tmp/seen"
diff "$tmp/expected" "$tmp/seen"
