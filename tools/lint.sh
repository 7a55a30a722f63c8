#!/usr/bin/env bash
# What the compiler does not check: which room may include which, sizes of files and functions,
# names in SQL without a schema, circles of files, clang-tidy, cppcheck, shellcheck, and that no file names a package registry.
#   tools/lint.sh [--quick]      --quick: without clang-tidy and cppcheck
# Installs what is missing. Says nothing but the findings and a last line; exits with 1 on findings.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"

# The rooms of src, each with the rooms whose headers it may include (itself always).
declare -A may=(
    [base]=''
    [db]='base'
    [policy]='base db'
    [plan]='base db policy'
    [store]='base'
    [files]='base'
    [report]='base db policy plan files'
    [gate]='base db'
    [state]='base db policy plan report gate'
    [effects]='base db policy plan report store files gate state'
    [sweep]='base db policy plan report gate state effects'
    [cli]='base'
    [command]='base db policy plan store files report gate state effects sweep cli'
    [main]='base db policy plan store files report gate state effects sweep cli command'
)
# Headers of the base room; any other header NAME.h or NAME_part.h belongs to the room NAME.
base_headers=' buffer clock embedded error exit_codes instant mem output stop template text trust '
# What only one room may include: the server and the object store are reached from one place each.
declare -A only_from=([libpq-fe.h]=db [libpq-events.h]=db [curl/curl.h]=store)
file_lines=500
function_lines=80
line_columns=100

findings=$(mktemp)
trap 'rm -f "$findings"' EXIT
report() { tee -a "$findings"; }

# The room that owns include/pgsweep/NAME.h.
room_of_header() {
    if [[ $base_headers == *" $1 "* ]]; then
        echo base
    else
        echo "${1%%_*}"
    fi
}

check_includes() {
    local file room line header owner
    while IFS=: read -r file line header; do
        case $file in
        src/main.c) room=main ;;
        src/*) room=${file#src/} room=${room%%/*} ;;
        *) room=${file##*/} room=$(room_of_header "${room%.h}") ;;
        esac
        if [[ -z ${may[$room]+known} ]]; then
            echo "$file: room \"$room\" is not in the table of tools/lint.sh"
            continue
        fi
        if [[ $header == pgsweep/* ]]; then
            owner=${header#pgsweep/}
            owner=$(room_of_header "${owner%.h}")
            if [[ $owner != "$room" && " ${may[$room]} " != *" $owner "* ]]; then
                echo "$file:$line: $room may not include $header (of $owner)"
            fi
        elif [[ $header == */internal.h || $header == ../* ]]; then
            echo "$file:$line: $header is another room's own header"
        elif [[ -n ${only_from[$header]+known} && ${only_from[$header]} != "$room" ]]; then
            echo "$file:$line: only ${only_from[$header]} may include $header"
        fi
    done < <(grep -rnoE '^#[[:space:]]*include[[:space:]]*[<"][^>"]+' --include='*.[ch]' src include |
        sed -E 's/:#[[:space:]]*include[[:space:]]*[<"]/:/')
}

# A function starts at a line in the first column that ends a signature and is followed by "{" alone.
check_sizes() {
    find src include -name '*.[ch]' -print0 | sort -z |
        xargs -0 awk -v file_max="$file_lines" -v function_max="$function_lines" -v columns_max="$line_columns" '
            FNR == 1 { if (previous) long_file(); start = 0 }
            length > columns_max {
                printf "%s:%d: a line of %d columns (at most %d)\n", FILENAME, FNR, length, columns_max
            }
            { previous = FILENAME; lines = FNR }
            /^\{/ { start = FNR }
            /^\}/ && start {
                if (FNR - start - 1 > function_max)
                    printf "%s:%d: a function of %d lines (at most %d)\n", FILENAME, start, FNR - start - 1, function_max
                start = 0
            }
            function long_file() {
                if (lines > file_max)
                    printf "%s:%d: a file of %d lines (at most %d)\n", previous, lines, lines, file_max
            }
            END { if (previous) long_file() }'
}

# The format is what the tool writes: make format.
check_format() {
    if command -v clang-format-14 >/dev/null; then
        find src include tests -name '*.[ch]' -print0 | sort -z |
            xargs -0 -n 40 clang-format-14 --dry-run --Werror 2>&1 | sed -nE 's/: error: .*/: not as make format writes it/p' |
            sort -u -t: -k1,1 || true
    else
        echo "clang-format-14 is missing: tools/deps.sh lint"
    fi
}

# Builds take their packages from where the machine is configured to take them.
check_words() {
    local hosts='(deb|security|archive|ftp)[.](debian|ubuntu)[.](org|com)|registry[.]npmjs[.]org|pypi[.]org|files[.]pythonhosted[.]org|registry[.]yarnpkg[.]com|proxy[.]golang[.]org|crates[.]io|rubygems[.]org'
    git ls-files -z --cached --others --exclude-standard 2>/dev/null |
        xargs -0 grep -nIE "$hosts" 2>/dev/null | grep -v '^tools/lint.sh:' || true
}

# What a merge leaves where it could not decide.
check_merged() {
    git grep -nE '^(<{7}|>{7}) ' 2>/dev/null | sed -E 's/^([^:]*:[0-9]+):.*/\1: a merge that was left unresolved/' || true
}

# The array may move while its index is computed: C says nothing about which comes first.
check_growth() {
    grep -rnE '\[mem_grow\(' --include='*.c' src | sed 's/$/: mem_grow inside an index/' || true
}

# What a failure means is said in one place (include/pgsweep/db_sqlstate.h has the names of the codes).
check_sqlstates() {
    grep -rnE '"(0[0-9A-Z]|2[0-9A-Z]|3[0-9BDF]|4[0-24]|5[3-8]|P0|PG|PS|XX)[0-9A-Z]{3}"|sqlstate, "' --include='*.[ch]' src include |
        grep -vE '^src/(db/failure|base/error)\.c:' | sed 's/$/: an SQLSTATE has a name in db_sqlstate.h/' || true
}

# A word that was retired has another one in its place (tools/retired-words).
check_retired() {
    python3 tools/retired.py || true
}

# No name in generated SQL is looked up through the search path.
check_qualified() {
    local rooms=(plan gate state effects sweep db command policy)
    find "${rooms[@]/#/src/}" src/sql -name "*.c" -print0 -o -name "*.sql" -print0 | sort -z | xargs -0 python3 tools/qualified.py || true
}

# Files of a room that use each other in a circle can only be read together.
check_circles() {
    python3 tools/circles.py || true
}

# What decides does nothing: no database, no report, no clock, no signal.
check_deciders() {
    grep -nE -e '->(db|gate|state|report|progress|throttle)\b' -e '#include "pgsweep/' \
        -e '\b(db|gate|state|run|report|clock|stop|progress|throttle)_[a-z_]+\(' src/sweep/failure.c src/sweep/lost.c |
        grep -v 'db_failed_for_lock(' | sed -E 's/^([^:]+:[0-9]+):.*/\1: it decides only: let recover.c act/' || true
}

# A promise that no test keeps is a wish.
check_promises() {
    local name
    # shellcheck disable=SC2016
    while read -r name; do
        grep -rqE "(def |START_TEST\\()$name\\b" --include='*.py' --include='*.c' tests ||
            echo "SECURITY.md: there is no test $name"
    done < <(grep -oE '`(test_[A-Za-z0-9_]+|unit:[a-z0-9_]+)`' SECURITY.md | tr -d '`' | sed 's/^unit://' | sort -u)
}

shell_scripts() {
    find tools tests packaging .ci -type f -not -path '*/node_modules/*' -print0 2>/dev/null |
        while IFS= read -r -d '' file; do
            if [[ $file == *.bash ]] || head -n 1 "$file" | tr -d '\0' 2>/dev/null | grep -qE '^#!.*\b(ba)?sh$'; then
                printf '%s\0' "$file"
            fi
        done
}

check_shell() {
    shell_scripts | xargs -0 -r shellcheck -f gcc || true
}

read -r -a flags < <(pkg-config --cflags libpq talloc yaml-0.1 jansson libcurl expat 2>/dev/null || true)
flags+=(-std=c11 -Iinclude '-DPGSWEEP_VERSION="lint"' -DPGSWEEP_BUILT=0 -D_POSIX_C_SOURCE=200809L
    -isystem "$(pkg-config --variable=includedir libpq 2>/dev/null || true)/internal")

check_tidy() {
    # One job per processor; clang-tidy's own count of suppressed warnings is no finding.
    # shellcheck disable=SC2016
    find src -name '*.c' -print0 | sort -z |
        xargs -0 -P "$(nproc)" -n 3 bash -c '
            n=$1; shift; flags=("${@:1:n}"); shift "$n"
            clang-tidy --quiet "$@" -- "${flags[@]}" 2>/dev/null
            exit 0' tidy "${#flags[@]}" "${flags[@]}" |
        grep -E '(error|warning): ' | sed "s|^$root/||" || true
}

check_cppcheck() {
    cppcheck --quiet --std=c11 --enable=warning,performance,portability --inline-suppr \
        --suppress=missingIncludeSystem --suppress=nullPointerOutOfMemory --suppress=autoVariables --error-exitcode=1 \
        --template='{file}:{line}: {severity}: {message} [{id}]' -j "$(nproc)" \
        -Iinclude '-DPGSWEEP_VERSION="lint"' -DPGSWEEP_BUILT=0 src 2>&1 || true
}

"$root/tools/deps.sh" build lint
# Texts for people go through text_tell, report_log or error_print, which escape what a terminal obeys.
check_terminal() {
    grep -rnE 'fprintf\(stderr' --include='*.c' src |
        grep -vE '^src/(base/(error|mem|template|text)|db/query|report/progress)\.c:' |
        sed 's/:[^:]*$/: names may be in it: use text_tell, report_log or error_print/' || true
}

check_includes | report
check_terminal | report
check_sizes | report
check_format | report
check_words | report
check_merged | report
check_growth | report
check_qualified | report
check_sqlstates | report
check_retired | report
check_circles | report
check_deciders | report
check_promises | report
check_shell | report
if [[ ${1-} != --quick ]]; then
    check_cppcheck | report
    check_tidy | report
fi
if [[ -s $findings ]]; then
    echo "lint: $(grep -cE ':[0-9]+:|^[^ ]+: ' "$findings") findings"
    exit 1
fi
echo "lint: clean"
