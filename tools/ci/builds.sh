# shellcheck shell=bash
# The kinds of build: where each is, with which compiler and options, and how its tests run. Sourced.

KINDS=(release clang asan tsan)

is_kind() { [[ " ${KINDS[*]} " == *" $1 "* ]]; }

describe_kinds() {
  cat <<'EOF'
  release  build/        g++, optimised
  clang    build-clang/  clang++ 14, warnings are errors
  asan     build-asan/   clang++ 14, AddressSanitizer and UndefinedBehaviorSanitizer; the fuzzers
  tsan     build-tsan/   clang++ 14, ThreadSanitizer
EOF
}

directory() {
  if [[ $1 == release ]]; then echo "$ROOT/build"; else echo "$ROOT/build-$1"; fi
}

install_for() {
  install_missing "${BUILD_PACKAGES[@]}"
  [[ $1 == release ]] || install_missing "${CHECK_PACKAGES[@]}"
}

# Without these ccache leaves whatever uses a precompiled header alone.
export CCACHE_SLOPPINESS=${CCACHE_SLOPPINESS:-pch_defines,time_macros}

# Line numbers in reports, and fast enough to run the whole suite.
SANITIZED=(-Doptimization=1 -Ddebug=false -Dcpp_args=-gline-tables-only -Db_lundef=false)

# configure KIND WERROR: sets the directory up unless it is. One that was set up by hand is used as it
# is; one that was set up here with other options is made anew. WERROR is sticky for release, so that
# running the tests after CI does not compile everything again.
configure() {
  local kind=$1 werror=$2 dir cxx=clang++-14 cc=clang-14 options
  dir=$(directory "$kind")
  case $kind in
    release) cxx=g++ cc=gcc options=(--buildtype=release) ;;
    clang) options=(--werror -Doptimization=0 -Ddebug=false) ;;
    asan) options=(--werror "${SANITIZED[@]}" '-Db_sanitize=address,undefined' -Dfuzz=true) ;;
    tsan) options=(--werror "${SANITIZED[@]}" -Db_sanitize=thread) ;;
  esac
  local ccache='' stamp="$cxx ${options[*]}"
  command -v ccache > /dev/null && ccache='ccache '
  if [[ -f $dir/dev-options && $(< "$dir/dev-options") != "$stamp" ]] ||
    [[ -d $dir/meson-private && ! -f $dir/build.ninja ]]; then
    rm -rf "$dir"
  fi
  if [[ ! -f $dir/build.ninja ]]; then
    say "configuring ${dir#"$ROOT/"}"
    CXX=$ccache$cxx CC=$ccache$cc in_brief meson setup "$dir" "$ROOT" "${options[@]}"
    echo "$stamp" > "$dir/dev-options"
  fi
  if [[ $kind == release && $werror == true ]] &&
    ! grep -q '"name": "werror", "value": true' "$dir/meson-info/intro-buildoptions.json"; then
    in_brief meson configure "$dir" -Dwerror=true
  fi
}

# compile KIND [TARGET...]
compile() {
  local kind=$1 quiet=() start=$SECONDS dir
  dir=$(directory "$kind")
  shift
  [[ -t 1 ]] || quiet=(--quiet)
  say "building ${dir#"$ROOT/"}${*:+ ($*)}"
  ninja -C "$dir" -j "$JOBS" ${quiet[@]+"${quiet[@]}"} "$@" || return 1
  echo "built in $((SECONDS - start)) s"
}

# run_tests KIND [NAME...]: runs them, and prints each, the output of those that failed, and the
# counts.
run_tests() {
  local kind=$1 dir log start=$SECONDS status=0 options=() prefix=()
  dir=$(directory "$kind")
  log=$dir/meson-logs/dev.json
  shift
  case $kind in
    release) options=(--timeout-multiplier 4) ;;
    *) options=(--timeout-multiplier 20 --no-suite check) ;;
  esac
  # ThreadSanitizer of this age cannot start where addresses are randomised more than this.
  if [[ $kind == tsan && $(cat /proc/sys/vm/mmap_rnd_bits 2> /dev/null || echo 0) -gt 28 ]]; then
    prefix=(setarch -R)
  fi
  rm -f "$log"
  export ASAN_OPTIONS=allow_addr2line=1:abort_on_error=1
  export UBSAN_OPTIONS=allow_addr2line=1:abort_on_error=1:halt_on_error=1:print_stacktrace=1
  export TSAN_OPTIONS=allow_addr2line=1:halt_on_error=1:second_deadlock_stack=1
  say "testing ${dir#"$ROOT/"}"
  ${prefix[@]+"${prefix[@]}"} meson test -C "$dir" --no-rebuild --print-errorlogs --logbase dev \
    --num-processes "$JOBS" "${options[@]}" "$@" || status=$?
  summarise "$log" "$status" $((SECONDS - start))
}

# One line of the log is one test.
summarise() {
  local log=$1 status=$2 seconds=$3 total=0 passed=0 skipped=0
  if [[ -f $log ]]; then
    total=$(wc -l < "$log")
    passed=$(grep -cE '"result": "(OK|EXPECTEDFAIL)"' "$log" || true)
    skipped=$(grep -c '"result": "SKIP"' "$log" || true)
  fi
  local failed=$((total - passed - skipped))
  # The harness itself may fail, with no test to show for it.
  ((status == 0 || failed > 0)) || failed=1
  echo
  echo "$total tests in $seconds s"
  if ((skipped)); then sed -nE 's/^\{"name": "([^"]*)".*"result": "SKIP".*/skipped: \1/p' "$log"; fi
  count_line "$passed" "$failed"
}

# Runs a command and shows its output only if it fails.
in_brief() {
  local output
  output=$("$@" 2>&1) || {
    echo "$output" >&2
    die "$1 $2 failed"
  }
}
