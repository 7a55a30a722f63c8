#!/bin/bash
# Measures the file sweep against find -delete, rm -rf, systemd-tmpfiles and tmpreaper: 200,000 empty
# files, flat and in 2,000 directories, all expired; rounds are interleaved, medians and ratios printed.
#
#   tests/bench/files.sh [rounds]                 (default 5)
#   FILES=200000 DIRS=2000 SHAPES="flat tree" WORK=/dir   size and place
#   SWEEP='pgsweep tempfiles --retain 7d --root'  the command to measure; the root is appended
#   SWEEP_IN_USE=... SWEEP_DRY=...                the same with the in-use test, and as a dry run
#   BIG=1                                         also 100,000 and 1,000,000 files flat: cost per file
#                                                 and peak memory
# On a fresh ext4 in a loop-mounted image where that is possible (root), else in a directory.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
rounds=${1:-5}
FILES=${FILES:-200000} DIRS=${DIRS:-2000} SHAPES=${SHAPES:-flat tree}
work=${WORK:-$(mktemp -d /tmp/pgsweep-bench.XXXXXX)}
mkdir -p "$work"
root=$work/mnt/root
mounted=

cleanup() {
    [ -z "$mounted" ] || umount "$work/mnt" 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT

if [ -z "${SWEEP:-}" ]; then
    "$here/../files/build.sh" "$work/driver"
    SWEEP="$work/driver sweep"
    SWEEP_ARGS="--older 604800"
    SWEEP_IN_USE="$work/driver sweep" SWEEP_IN_USE_ARGS="--older 604800 --in-use"
    SWEEP_DRY="$work/driver sweep" SWEEP_DRY_ARGS="--older 604800 --dry-run"
fi

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

median() { sort -g "$1" | awk '{v[NR]=$1} END {print (NR % 2) ? v[(NR+1)/2] : (v[NR/2]+v[NR/2+1])/2}'; }

tmpfiles_d() { printf 'e %s - - - mM:7d\n' "$root" >"$work/bench.conf"; systemd-tmpfiles --clean "$work/bench.conf"; }

run_tool() {
    # shellcheck disable=SC2086
    case $1 in
    find) timed find "$root" -mindepth 1 -mtime +7 -delete ;;
    rm) timed rm -rf "$root" ;;
    systemd-tmpfiles) timed tmpfiles_d ;;
    tmpreaper) timed tmpreaper --mtime --mtime-dir --runtime=0 7d "$root" ;;
    sweep) timed $SWEEP "$root" ${SWEEP_ARGS:-} ;;
    sweep-in-use) timed $SWEEP_IN_USE "$root" ${SWEEP_IN_USE_ARGS:-} ;;
    find-scan) timed find "$root" -mindepth 1 -mtime +7 ;;
    sweep-dry) timed $SWEEP_DRY "$root" ${SWEEP_DRY_ARGS:-} ;;
    esac
}

tools="find rm sweep"
[ -z "${SWEEP_IN_USE:-}" ] || tools="$tools sweep-in-use"
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
            if [ "$tool" = find ] && [ -n "${SWEEP_DRY:-}" ]; then
                for scan in $(printf 'find-scan\nsweep-dry\n' | shuf); do
                    run_tool "$scan" >>"$work/time.$scan"
                done
            fi
            run_tool "$tool" >>"$work/time.$tool"
            mkdir -p "$root" && left=$(find "$root" -type f | wc -l)
            [ "$left" = 0 ] || echo "note: $tool left $left files" >&2
        done
    done
    echo
    echo "$shape: $FILES files$([ "$shape" = flat ] || echo " in $DIRS directories"), $rounds rounds, median seconds"
    base=$(median "$work/time.find")
    for tool in $tools; do
        m=$(median "$work/time.$tool")
        awk -v t="$tool" -v m="$m" -v b="$base" 'BEGIN {printf "  %-18s %8.3f   %.2f of find -delete\n", t, m, m / b}'
    done
    if [ -s "$work/time.find-scan" ]; then
        base=$(median "$work/time.find-scan")
        m=$(median "$work/time.sweep-dry")
        awk -v m="$m" -v b="$base" 'BEGIN {printf "  %-18s %8.3f\n  %-18s %8.3f   %.2f of find (no -delete)\n", "find scan", b, "sweep --dry-run", m, m / b}'
    fi
done

if [ -n "${BIG:-}" ]; then
    echo
    echo "flat, cost per file and peak memory of the sweep"
    for count in 100000 1000000; do
        make_files flat "$count"
        sync
        find "$root" -mtime +7 >/dev/null
        # shellcheck disable=SC2086
        seconds=$(timed /usr/bin/python3 -c 'import subprocess, sys, time
process, peak = subprocess.Popen(sys.argv[2:]), "0"
while process.poll() is None:
    try:
        status = open(f"/proc/{process.pid}/status").read()
    except OSError:
        break
    peak = next((l.split()[1] for l in status.splitlines() if l.startswith("VmHWM")), peak)
    time.sleep(0.02)
open(sys.argv[1], "w").write(peak)
sys.exit(process.wait())' "$work/rss" ${SWEEP_IN_USE:-$SWEEP} "$root" ${SWEEP_IN_USE_ARGS:-${SWEEP_ARGS:-}})
        awk -v n="$count" -v s="$seconds" -v k="$(cat "$work/rss")" \
            'BEGIN {printf "  %8d files %8.3f s   %.2f us per file   %.1f MiB peak\n", n, s, s / n * 1e6, k / 1024}'
    done
fi
