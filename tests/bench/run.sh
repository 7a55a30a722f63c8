#!/usr/bin/env bash
# Measures pgsweep side by side with the alternatives, on a throwaway server; never fails on time.
#   tests/bench/run.sh [PART]...       without arguments every part: tests/bench/*.sh but this one
# SCALE: share of the full size (1; 0.1 is a quick look). ROUNDS (3). BUILD: the build directory.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
cd "$root"
export BUILD="${BUILD:-build}" SCALE="${SCALE:-1}" ROUNDS="${ROUNDS:-3}"
unset MAKEFLAGS MFLAGS MAKELEVEL
tools/deps.sh bench
mkdir -p "$BUILD"
flock "$BUILD" make -s -j2 BUILD="$BUILD" all
PGSWEEP_BIN=$(cd "$BUILD" && pwd)/pgsweep
export PGSWEEP_BIN

parts=("$@")
if [[ $# -eq 0 ]]; then
    for file in tests/bench/*.sh; do
        name=${file##*/}
        [[ $name == run.sh ]] || parts+=("${name%.sh}")
    done
fi
code=0
for part in "${parts[@]}"; do
    if [[ ! -x tests/bench/$part.sh ]]; then
        echo "bench: error: no part \"$part\"" >&2
        exit 2
    fi
    "tests/bench/$part.sh" || code=$?
done
exit "$code"
