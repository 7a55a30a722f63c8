#!/bin/bash
# Measures the file sweep against find -delete, rm -rf, systemd-tmpfiles and tmpreaper: 200,000 empty
# files, flat and in 2,000 directories, all expired. Rounds are interleaved. Printed are median seconds, and
# the median of what each round's time is of that of find in the same round, so that a busy minute
# touches both.
#
#   tests/bench/files.sh [rounds]     (default: ROUNDS, else 5)
#   FILES=200000 DIRS=2000 SHAPES="flat tree" WORK=/dir   size and place
#   SCALE=0.1             the same, as a share of that size
#   BIG=0                 without the last part: 100,000 and 1,000,000 files flat, cost per file and peak
#                         memory of the whole program beside find
# On a fresh ext4 in a loop-mounted image where that is possible (root), else in a directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-${ROUNDS:-5}}
SCALE=${SCALE:-1}
scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN {printf "%d", n * s}'; }
FILES=${FILES:-$(scaled 200000)} DIRS=${DIRS:-$(scaled 2000)} SHAPES=${SHAPES:-flat tree}
work=${WORK:-$(mktemp -d /tmp/pgsweep-bench.XXXXXX)}
mkdir -p "$work"
root=$work/mnt/root
mounted=

cleanup() {
    [ -z "$mounted" ] || umount "$work/mnt" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

BUILD=${BUILD:-build}
PGSWEEP_BIN=${PGSWEEP_BIN:-$(cd "$here/../.." && realpath "$BUILD")/pgsweep}
export -n PGSWEEP_BIN # no setting of pgsweep: it would be refused
unset PGHOST PGHOSTADDR PGPORT PGUSER PGDATABASE PGSERVICE TEMP_DIR # no database takes part
mkdir "$work/policies"
printf 'kind: files\nretain: 7 days\nin_use: delete\n' >"$work/policies/plain.yaml"
printf 'kind: files\nretain: 7 days\nin_use: keep\n' >"$work/policies/careful.yaml"

mkdir -p "$work/mnt"
truncate -s 2G "$work/image"
if [ "$(id -u)" = 0 ] && mkfs.ext4 -q -F -N 1300000 "$work/image" 2>/dev/null &&
    mount -o loop "$work/image" "$work/mnt" 2>/dev/null; then
    mounted=1
    echo "on a fresh ext4 (loop mount)"
else
    rm -f "$work/image"
    echo "in $work (no loop mount here): $(stat -f -c %T "$work")"
fi

# Names as render workers make them, in an order unrelated to their inodes' directory order.
make_files() { # shape count
    rm -rf "$root"
    /usr/bin/python3 - "$root" "$1" "$2" "$DIRS" <<'PY'
import os, sys, time
root, shape, count, dirs = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
old = time.time() - 10 * 86400
os.makedirs(root)
places = [root] if shape == "flat" else [f"{root}/job-{i:05d}" for i in range(dirs)]
for place in places:
    os.makedirs(place, exist_ok=True)
flags = os.O_CREAT | os.O_WRONLY | os.O_EXCL
for i in range(count):
    path = f"{places[i % len(places)]}/frame_{i:08d}.tmp"
    os.close(os.open(path, flags, 0o600))
    os.utime(path, (old, old))
if shape != "flat":
    for place in places:
        os.utime(place, (old, old))
os.utime(root, (old, old))
PY
}

timed() { # prints seconds
    local before after
    before=$(date +%s.%N)
    "$@" >"$work/out" 2>"$work/err" || { cat "$work/err" >&2; echo "failed: $*" >&2; exit 1; }
    after=$(date +%s.%N)
    echo "$after - $before" | bc -l
}

# What the times of one tool are of those of another, round by round, as a median.
ratio() { paste "$1" "$2" | awk '{print $1 / $2}' >"$work/ratios" && median "$work/ratios"; }

median() { sort -g "$1" | awk '{v[NR]=$1} END {print (NR % 2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

tmpfiles_d() { printf 'e %s - - - mM:7d\n' "$root" >"$work/bench.conf"; systemd-tmpfiles --clean "$work/bench.conf"; }

# The command as it is used; "plain" does not ask whether a file is in use, as the others do not.
sweep() { "$PGSWEEP_BIN" "$1" --policy-dir "$work/policies" --root "$root" --quiet "${@:2}"; }

run_tool() {
    case $1 in
    find) timed find "$root" -mindepth 1 -mtime +7 -delete ;;
    rm) timed rm -rf "$root" ;;
    systemd-tmpfiles) timed tmpfiles_d ;;
    tmpreaper) timed tmpreaper --mtime --mtime-dir --runtime=0 7d "$root" ;;
    pgsweep) timed sweep plain ;;
    pgsweep-in-use) timed sweep careful ;;
    find-scan) timed find "$root" -mindepth 1 -mtime +7 ;;
    pgsweep-dry) timed sweep plain --dry-run ;;
    esac
}

tools="find rm pgsweep pgsweep-in-use"
command -v systemd-tmpfiles >/dev/null && tools="$tools systemd-tmpfiles"
command -v tmpreaper >/dev/null && tools="$tools tmpreaper"

for shape in $SHAPES; do
    rm -f "$work"/time.*
    for ((round = 1; round <= rounds; round++)); do
        # Another order in each round: no tool always follows the same one.
        for tool in $(tr ' ' '\n' <<<"$tools" | shuf); do
            make_files "$shape" "$FILES"
            sync
            find "$root" -mtime +7 >/dev/null # warm for all alike
            if [ "$tool" = find ]; then
                for _ in 1 2 3; do
                    for scan in $(printf 'find-scan\npgsweep-dry\n' | shuf); do
                        run_tool "$scan" >>"$work/time.$scan"
                    done
                done
            fi
            run_tool "$tool" >>"$work/time.$tool"
            mkdir -p "$root" && left=$(find "$root" -type f | wc -l)
            [ "$left" = 0 ] || echo "note: $tool left $left files" >&2
        done
    done
    echo
    echo "$shape: $FILES files$([ "$shape" = flat ] || echo " in $DIRS directories"), $rounds rounds, median seconds"
    for tool in $tools; do
        printf '  %-18s %8.3f   %.2f of find -delete\n' "$tool" "$(median "$work/time.$tool")" \
            "$(ratio "$work/time.$tool" "$work/time.find")"
    done
    printf '  %-18s %8.3f\n' "find scan" "$(median "$work/time.find-scan")"
    printf '  %-18s %8.3f   %.2f of find (no -delete)\n' "pgsweep --dry-run" \
        "$(median "$work/time.pgsweep-dry")" "$(ratio "$work/time.pgsweep-dry" "$work/time.find-scan")"
done

# Runs a command and prints seconds; its peak memory goes into $work/rss (KiB).
watched() {
    timed /usr/bin/python3 -c 'import subprocess, sys, time
process, peak = subprocess.Popen(sys.argv[2:]), "0"
while process.poll() is None:
    try:
        status = open(f"/proc/{process.pid}/status").read()
    except OSError:
        break
    peak = next((l.split()[1] for l in status.splitlines() if l.startswith("VmHWM")), peak)
    time.sleep(0.02)
open(sys.argv[1], "w").write(peak)
sys.exit(process.wait())' "$work/rss" "$@"
}

if [ "${BIG:-1}" != 0 ]; then
    echo
    echo "flat, cost per file and peak memory, pgsweep with the in-use test"
    for count in $(scaled 100000) $(scaled 1000000); do
        for tool in find pgsweep; do
            command=(find "$root" -mindepth 1 -mtime +7 -delete)
            [ $tool = find ] ||
                command=("$PGSWEEP_BIN" careful --policy-dir "$work/policies" --root "$root" --quiet)
            make_files flat "$count"
            sync
            find "$root" -mtime +7 >/dev/null
            seconds=$(watched "${command[@]}")
            awk -v t="$tool" -v n="$count" -v s="$seconds" -v k="$(cat "$work/rss")" 'BEGIN {
                printf "  %-8s %8d files %8.3f s   %.2f us per file   %.1f MiB peak\n", t, n, s, s / n * 1e6, k / 1024}'
        done
    done
fi
