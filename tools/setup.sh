# Read by the scripts beside it and by .ci/run. Goes to the root of the checkout and defines
#   need PACKAGE...          installs the Debian packages that are missing (as root, or with sudo)
#   build DIR [OPTION...]    builds DIR/cnet.so with cmake
cd "$(dirname "$0")/.." || exit 1

build_packages="gcc libc6-dev make cmake pkg-config lua5.4 liblua5.4-dev libuv1-dev"
test_packages="$build_packages lua-busted"

is_installed() {
  dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null | grep -q '^installed'
}

need() {
  missing=
  for package in "$@"; do
    is_installed "$package" || missing="$missing $package"
  done
  if [ -z "$missing" ]; then
    return 0
  fi
  if ! command -v apt-get >/dev/null; then
    echo "cannot install Debian's$missing here: trying with what is there" >&2
    return 0
  fi
  as_root=
  if [ "$(id -u)" -ne 0 ]; then
    as_root=sudo
  fi
  $as_root apt-get update -q || echo "apt-get update failed: trying with the lists that are there" >&2
  # shellcheck disable=SC2086
  $as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $missing </dev/null
}

build() {
  build_dir=$1
  shift
  cmake -S . -B "$build_dir" "$@" && cmake --build "$build_dir" -j 2
}
