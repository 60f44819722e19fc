# shellcheck shell=bash
# The Debian packages that Lamina is built with. Sourced.

BUILD_PACKAGES=(g++ meson ninja-build pkg-config python3 liburing-dev libxxhash-dev catch2
  libcli11-dev nlohmann-json3-dev libfmt-dev libbenchmark-dev)
CHECK_PACKAGES=(git clang-14 libclang-rt-14-dev clang-format-14)

# install_missing PACKAGE...
install_missing() {
  local package missing=()
  if ! command -v dpkg-query > /dev/null; then
    complain "this is not Debian: install by other means what these packages hold: $*"
    return
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null) == installed ]] ||
      missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  if ((EUID != 0)); then
    die "these packages are missing, and installing them needs root:
  apt-get install ${missing[*]}"
  fi
  say "installing ${missing[*]}"
  local log
  log=$(mktemp)
  if ! apt_get update > "$log" 2>&1 || ! apt_get install "${missing[@]}" >> "$log" 2>&1; then
    tail -n 20 "$log" >&2
    rm -f "$log"
    die "cannot install ${missing[*]}: is a package mirror reachable? (the log's end is above)"
  fi
  rm -f "$log"
}

apt_get() {
  local verb=$1
  shift
  DEBIAN_FRONTEND=noninteractive apt-get "$verb" -y --no-install-recommends \
    -o DPkg::Lock::Timeout=120 -o Acquire::Retries=2 "$@"
}
