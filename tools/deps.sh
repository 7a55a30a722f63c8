#!/usr/bin/env bash
# Installs what is missing to build, test, lint and measure pgsweep on Debian 12 or newer.
#   tools/deps.sh [build|test|lint|bench]...      (without arguments: build and test)
# Looks first, and says nothing when all is there. Installs with apt-get as root or with `sudo -n`;
# where neither is possible it prints the command to run and exits with 2.
set -euo pipefail

# Each group: lines of "package: a command that succeeds when what is needed from it is there".
declare -A wants
wants[build]='
gcc: command -v gcc
make: command -v make
pkg-config: command -v pkg-config
libpq-dev: pkg-config --exists libpq
libtalloc-dev: pkg-config --exists talloc
libyaml-dev: pkg-config --exists yaml-0.1
libjansson-dev: pkg-config --exists jansson
libcurl4-openssl-dev: pkg-config --exists libcurl
libexpat1-dev: pkg-config --exists expat'
server='
postgresql: has_server'
wants[test]="${wants[build]}$server"'
postgresql-client: command -v psql
check: pkg-config --exists check
python3: test -x /usr/bin/python3
python3-pytest: has_module pytest
python3-pytest-xdist: has_module xdist
python3-psycopg2: has_module psycopg2
mandoc: command -v mandoc
zsh: command -v zsh
fish: command -v fish
pgbouncer: test -x /usr/sbin/pgbouncer
systemd: command -v systemd-analyze
nodejs: command -v node
npm: command -v node'
wants[lint]='
clang: command -v clang
clang-format-14: command -v clang-format-14
clang-tidy: command -v clang-tidy
cppcheck: command -v cppcheck
shellcheck: command -v shellcheck
python3: command -v python3
libclang-rt-14-dev: has_clang_runtime'
wants[bench]="${wants[build]}$server"'
postgresql-client: command -v psql
tmpreaper: command -v tmpreaper'

has_server() {
    compgen -G '/usr/lib/postgresql/*/bin/initdb' || test -x "$(pg_config --bindir)/initdb"
}

# Debian's own interpreter, whatever python3 comes first on the PATH.
has_module() {
    /usr/bin/python3 -c 'import sys, importlib.util as u; sys.exit(u.find_spec(sys.argv[1]) is None)' "$1"
}

has_clang_runtime() {
    compgen -G '/usr/lib/llvm-*/lib/clang/*/lib/linux/libclang_rt.asan*.a'
}

missing=()
find_missing() {
    local group line package probe
    missing=()
    for group in "$@"; do
        while IFS= read -r line; do
            [[ $line ]] || continue
            package=${line%%: *}
            probe=${line#*: }
            # The probes are the fixed strings above: splitting them into words is wanted.
            # shellcheck disable=SC2086
            if ! $probe >/dev/null 2>&1; then
                missing+=("$package")
            fi
        done <<<"${wants[$group]}"
    done
}

groups=("$@")
[[ $# -gt 0 ]] || groups=(build test)
for group in "${groups[@]}"; do
    case $group in
    build | test | lint | bench) ;;
    *)
        echo "usage: tools/deps.sh [build|test|lint|bench]..." >&2
        exit 2
        ;;
    esac
done

find_missing "${groups[@]}"
[[ ${#missing[@]} -gt 0 ]] || exit 0

as_root=()
if ! command -v apt-get >/dev/null; then
    echo "deps: not a Debian system; install the equivalents of: ${missing[*]}" >&2
    exit 2
elif [[ $(id -u) -ne 0 ]]; then
    if command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
        as_root=(sudo -n)
    else
        echo "deps: some packages are missing; please run as root:" >&2
        echo "    apt-get update && apt-get install -y --no-install-recommends ${missing[*]}" >&2
        exit 2
    fi
fi

# One installer at a time; what another one has installed meanwhile is not installed again.
exec 9</var/lib/dpkg
flock 9
find_missing "${groups[@]}"
[[ ${#missing[@]} -gt 0 ]] || exit 0
echo "deps: installing ${missing[*]}" >&2

# A server package must not create or start a cluster of its own: the tests start theirs.
# Where postgresql-common is already set up, its owner's choice stands.
conf=/etc/postgresql-common/createcluster.conf
if [[ " ${missing[*]} " == *" postgresql "* && ! -e $conf ]]; then
    "${as_root[@]}" mkdir -p "${conf%/*}"
    echo 'create_main_cluster = false' | "${as_root[@]}" tee "$conf" >/dev/null
fi

install_missing() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive UCF_FORCE_CONFFOLD=1 apt-get install -y -q \
        --no-install-recommends -o DPkg::Lock::Timeout=600 "${missing[@]}" </dev/null 9>&-
}
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# The package lists may be absent or out of date: fetch them, but only then.
if ! install_missing >"$log" 2>&1; then
    {
        "${as_root[@]}" apt-get update -q -o DPkg::Lock::Timeout=600 </dev/null 9>&- &&
            install_missing
    } >"$log" 2>&1 || {
        cat "$log" >&2
        echo "deps: error: apt-get could not install: ${missing[*]}" >&2
        exit 2
    }
fi
find_missing "${groups[@]}"
if [[ ${#missing[@]} -gt 0 ]]; then
    echo "deps: error: installed, but still not usable: ${missing[*]}" >&2
    exit 2
fi
