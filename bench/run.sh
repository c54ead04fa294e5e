#!/bin/sh
# How fast cnet is, next to libuv itself, luv, Node and cqueues: installs the tools that are missing, builds, measures.
# The options are those of bench/main.lua, which says what is measured: sh bench/run.sh --help
set -eu
# shellcheck source=bench/setup.sh disable=SC1091
. "$(dirname "$0")/setup.sh"

build_bench >&2
exec lua5.4 bench/main.lua "$@"
