#!/usr/bin/env bash
# Runs the tests and ends with the line "N passed, N failed[, N skipped]"; `make check` calls it.
#   tests/run.sh                              installs what is missing, builds, runs every test
#   tests/run.sh --unit                       only the unit tests
#   tests/run.sh --fuzz                       only the fuzz tests, a few seconds each (FUZZ_SECONDS, 3)
#   tests/run.sh --golden                     writes tests/golden anew: the SQL of each policy, for review
#   tests/run.sh --integration [ARG...]       only tests/integration and tests/fault; ARGs go to pytest
#   tests/run.sh --hostile [ARG...]           the same in databases full of hostile overloads (tests/README.md)
# BUILD: the build directory (build). TEST_JOBS: parallel pytest workers (2). What make understands
# (CC, CFLAGS, SANITIZE=1...) may be in the environment.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export BUILD="${BUILD:-build}"
which=all
case ${1-} in
--unit | --fuzz | --integration | --golden)
    which=${1#--}
    shift
    ;;
--hostile)
    which=integration # pytest has an option of that name
    ;;
'') ;;
*)
    sed -n '2,/^set -e/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
# make's own variables would tie the build below to the make that called this script.
unset MAKEFLAGS MFLAGS MAKELEVEL PYTHONPATH PYTHONHOME
export PYTHONDONTWRITEBYTECODE=1

passed=0 failed=0 skipped=0
results=$(mktemp -d "${TMPDIR:-/tmp}/pgsweep-run.XXXXXX")
trap 'rm -rf "$results"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

finish() {
    local summary="$passed passed, $failed failed"
    [[ $skipped -eq 0 ]] || summary+=", $skipped skipped"
    echo "$summary"
    [[ $failed -eq 0 && $passed -gt 0 ]] || exit 1
    exit 0
}

# check gives each unit test 4 seconds, which a busy machine may not have for it.
export CK_DEFAULT_TIMEOUT="${CK_DEFAULT_TIMEOUT:-600}"

# Two runs in one directory build one after the other, and share what was built.
build() {
    mkdir -p "$BUILD"
    flock "$BUILD" make -j2 BUILD="$BUILD" "$@"
}

run_unit_test() {
    local name=$1 program=$2 code=0 line
    # The program's own summary, and its exit code: one that crashes has at best half of the first.
    timeout -k 5 3600 "$program" </dev/null >"$results/unit" 2>&1 || code=$?
    line=$(grep -aE '^[0-9]+%: Checks: [0-9]+, Failures: [0-9]+, Errors: [0-9]+' "$results/unit" | tail -n 1 || true)
    if [[ $line =~ Checks:\ ([0-9]+),\ Failures:\ ([0-9]+),\ Errors:\ ([0-9]+) ]]; then
        local checks=${BASH_REMATCH[1]} bad=$((BASH_REMATCH[2] + BASH_REMATCH[3]))
        if [[ $checks -eq 0 ]] || [[ $code -ne 0 && $bad -eq 0 ]]; then
            bad=$((bad + 1)) checks=$((checks + 1))
        fi
        passed=$((passed + checks - bad))
        failed=$((failed + bad))
        echo "$name: $((checks - bad)) passed, $bad failed"
    else
        local bad=1
        failed=$((failed + 1))
        echo "$name: no result"
    fi
    if [[ $bad -gt 0 ]]; then
        cat "$results/unit"
        echo "$name: exit code $code"
    fi
}

unit_tests() {
    local source name
    if ! build unit-tests; then
        echo "unit tests: the build failed"
        failed=$((failed + 1))
        return 0
    fi
    for source in tests/unit/test_*.c; do
        [[ -e $source ]] || continue
        name=${source##*/}
        name=${name%.c}
        run_unit_test "$name" "$BUILD/unit/$name"
    done
}

fuzz_tests() {
    local source name program
    if ! build fuzz-tests; then
        echo "fuzz tests: the build failed"
        failed=$((failed + 1))
        return 0
    fi
    for source in tests/fuzz/fuzz_*.c; do
        name=${source##*/}
        name=${name%.c}
        # In a directory of its own: that is where it leaves the input that it fails with.
        mkdir -p "$results/$name"
        program=$(realpath "$BUILD/fuzz/$name")
        if (cd "$results/$name" && timeout -k 5 3600 "$program") </dev/null >"$results/fuzz" 2>&1; then
            passed=$((passed + 1))
            echo "$name: $(tail -n 1 "$results/fuzz")"
        else
            failed=$((failed + 1))
            cat "$results/fuzz"
            echo "$name: failed; the input:"
            od -c "$results/$name/fuzz-failure" 2>/dev/null || true
        fi
    done
}

# Prints "passed failed skipped" of a junit file.
count_junit() {
    /usr/bin/python3 - "$1" <<'PYTHON'
import sys
import xml.etree.ElementTree as tree
root = tree.parse(sys.argv[1]).getroot()
suites = [root] if root.tag == "testsuite" else root.findall("testsuite")
# A test may have both a failure and an error (in its teardown): it is one test.
cases = [case for suite in suites for case in suite.iter("testcase")]
bad = {(c.get("classname"), c.get("name")) for c in cases
       if c.find("failure") is not None or c.find("error") is not None}
skipped = sum(c.find("skipped") is not None for c in cases)
total = {(c.get("classname"), c.get("name")) for c in cases}
print(len(total) - len(bad) - skipped, len(bad), skipped)
PYTHON
}

integration_tests() {
    local code=0 good=0 bad=0 left=0 binary=$BUILD/pgsweep
    if ! build all; then
        echo "the build failed"
        failed=$((failed + 1))
        return 0
    fi
    [[ $binary == /* ]] || binary=$root/$binary
    PGSWEEP_BIN=$binary timeout -k 30 "${TEST_TIMEOUT:-14400}" \
        /usr/bin/python3 -m pytest -q -n "${TEST_JOBS:-2}" --junitxml="$results/junit.xml" \
        -c tests/pytest.ini --rootdir=tests "$@" </dev/null || code=$?
    if [[ -s $results/junit.xml ]]; then
        read -r good bad left < <(count_junit "$results/junit.xml")
    fi
    # pytest's 1 means that tests failed; anything else that it could not do its work.
    if [[ $code -ne 0 && $bad -eq 0 ]]; then
        echo "pytest: exit code $code"
        bad=1
    fi
    passed=$((passed + good))
    failed=$((failed + bad))
    skipped=$((skipped + left))
}

if ! tools/deps.sh build test; then
    echo "the tools that the tests need are missing"
    failed=1
    finish
fi
if [[ $which == golden ]]; then
    PGSWEEP_RENEW_GOLDEN=1 integration_tests tests/integration/test_show_sql.py -k golden
    git -C "$root" --no-pager diff --stat -- tests/golden || true
    finish
fi
[[ $which != all && $which != unit ]] || unit_tests
[[ $which != all && $which != fuzz ]] || fuzz_tests
if [[ $which == all || $which == integration ]]; then
    # Without a path of one's own: everything.
    paths=(tests/integration tests/fault)
    for argument in "$@"; do
        if [[ $argument != -* && -e ${argument%%::*} ]]; then
            paths=()
        fi
    done
    integration_tests "${paths[@]}" "$@"
fi
finish
