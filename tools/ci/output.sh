# shellcheck shell=bash
# How tools/dev and tools/ci/run speak. Sourced.

# Colours only for people.
if [[ -t 1 ]]; then
  BOLD=$'\e[1m' RED=$'\e[31m' PLAIN=$'\e[0m'
else
  BOLD='' RED='' PLAIN=''
fi

say() { echo "${BOLD}==> $*${PLAIN}"; }
complain() { echo "${RED}tools/dev: $*${PLAIN}" >&2; }
die() {
  complain "$*"
  exit 1
}

# The last line of test, check and ci: count_line PASSED FAILED. Fails if anything failed or nothing
# ran.
count_line() {
  (($1 + $2)) || complain "nothing ran"
  echo "$1 passed, $2 failed"
  (($1 > 0 && $2 == 0))
}
