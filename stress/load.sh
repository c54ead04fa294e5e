#!/bin/sh
# Load held: 10,000 connections at once for a minute, then 1,000,000 one after another. `--quick` takes a few of them;
# `--server node` or `--server luv` tries these instead of cnet, and tells what it finds without failing. See load.lua.
set -eu
. "$(dirname "$0")/../tools/setup.sh"
build build >/dev/null
ulimit -n "$(ulimit -Hn)"
LUA_CPATH_5_4="build/?.so;;" exec lua5.4 stress/load.lua "$@"
