#!/bin/sh
# Runs the specs: installs what is missing, builds build/cnet.so, starts busted. Arguments go to busted.
set -eu
. "$(dirname "$0")/setup.sh"

# shellcheck disable=SC2086
need $test_packages
build build
exec busted "$@"
