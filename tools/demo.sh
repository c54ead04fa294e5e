#!/bin/sh
# Builds cnet, starts the echo server of examples/ on a free port, lets the client of examples/ talk to it, and stops it.
set -eu
. "$(dirname "$0")/setup.sh"

# shellcheck disable=SC2086
need $build_packages
build build

LUA_CPATH="$PWD/build/?.so;;"
export LUA_CPATH
log=$(mktemp)
lua5.4 examples/echo_server.lua 0 >"$log" 2>&1 &
server=$!
trap 'kill "$server" 2>/dev/null || true; rm -f "$log"' EXIT
trap 'exit 1' INT TERM

echo '$ lua5.4 examples/echo_server.lua 0 &'
tries=0
until [ -s "$log" ]; do # its first line says which port it got
  tries=$((tries + 1))
  if [ "$tries" -gt 100 ] || ! kill -0 "$server"; then
    cat "$log"
    echo "the server did not start" >&2
    exit 1
  fi
  sleep 0.1
done
port=$(sed -n '1s/.*[^0-9]\([0-9][0-9]*\)[^0-9]*$/\1/p' "$log")
cat "$log"

echo "\$ echo 'Hello from Lua' | lua5.4 examples/echo_client.lua $port"
answer=$(echo 'Hello from Lua' | timeout 10 lua5.4 examples/echo_client.lua "$port")
echo "$answer"
case $answer in
  *'Hello from Lua'*) echo "The server answered." ;;
  *) echo "The server did not answer." >&2; exit 1 ;;
esac
