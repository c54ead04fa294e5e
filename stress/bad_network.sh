#!/bin/sh
# Bad network: resets, half-open and slow clients, no descriptors, floods. `--quick` takes fewer of them; `--server node`
# or `--server luv` tries these instead of cnet, and then tells what it finds without failing. See bad_network.lua.
set -eu
. "$(dirname "$0")/../tools/setup.sh"
build build >/dev/null
ulimit -n "$(ulimit -Hn)"
LUA_CPATH_5_4="build/?.so;;" exec lua5.4 stress/bad_network.lua "$@"
