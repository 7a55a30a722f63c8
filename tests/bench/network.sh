#!/usr/bin/env bash
# The database at a distance: pgsweep (both strategies) and the loop that a user would write, through a forwarder that
# delivers everything later (delay.c), round by round, each from the same copy of the same data. The whole is timed, from
# connecting to the report; the rows per second of pgsweep are those of its record (from the first chunk to the end), because
# a start is some 40 round trips, however much there is to delete. Called by tests/bench/run.sh.
# SCALE, ROUNDS, PGSWEEP_BIN: as there. DELAYS: milliseconds one way (0 1 5). METHODS: which to measure. CHUNK (auto).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCALE:=1}" "${ROUNDS:=3}" "${CHUNK:=auto}" "${PGSWEEP_BIN:=$root/build/pgsweep}"
: "${DELAYS:=0 1 5}" "${METHODS:=range locked loop loop_cascade}"
loop_rows=5000

settings=("shared_buffers = '768MB'" "max_wal_size = '16GB'" "checkpoint_timeout = '1h'"
    "autovacuum = off" "wal_buffers = '64MB'")
# shellcheck source=tests/bench/server.bash
. "$root/tests/bench/server.bash"
"${CC:-cc}" -O2 -o "$place/delay" "$root/tests/bench/delay.c"

scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { printf "%d", n * s }'; }
items=$(scaled 500000)
parents=$(scaled 150000)

prepare() {
    sql -c "CREATE DATABASE base" >/dev/null
    sql -d base <<SQL
CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO items SELECT i, now() - interval '60 days' + i * (interval '60 days' / (2 * $items)), 'item ' || md5(i::text)
  FROM generate_series(1, 2 * $items) AS i;
CREATE INDEX ON items (created_at);
CREATE TABLE parents (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO parents SELECT i, now() - interval '60 days' + i * (interval '60 days' / (2 * $parents)), 'parent ' || md5(i::text)
  FROM generate_series(1, 2 * $parents) AS i;
CREATE INDEX ON parents (created_at);
CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint NOT NULL REFERENCES parents ON DELETE CASCADE,
                       line text NOT NULL);
INSERT INTO children SELECT i, (i + 1) / 2, 'line ' || md5(i::text) FROM generate_series(1, 4 * $parents) AS i;
CREATE INDEX ON children (parent_id);
CREATE EXTENSION pg_prewarm;
SQL
    sql -d base -c "VACUUM (FREEZE, ANALYZE)"
    "$PGSWEEP_BIN" init -q -d base
    cutoff=$(sql -d base -c "SELECT now() - interval '30 days'")
    mkdir "$place/policies"
    printf 'table: items\nage: created_at\nretain: 29 days\n' >"$place/policies/items.yaml"
    printf 'table: parents\nage: created_at\nretain: 29 days\ndependents:\n  - { table: children, action: delete }\n' \
        >"$place/policies/parents.yaml"
}

# A database "work" as the base is, in memory, with nothing left to write.
fresh() {
    sql -d postgres -c "DROP DATABASE IF EXISTS work WITH (FORCE)" -c "CREATE DATABASE work TEMPLATE base STRATEGY FILE_COPY"
    sql -d work -c "SELECT pg_prewarm(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                    AND relname ~ '^(items|parents|children)'" >/dev/null
    sql -d work -c CHECKPOINT
}

sweep() {
    # shellcheck disable=SC2154
    "$place/delay" "$1" "$place/trips" "$PGSWEEP_BIN" "$2" -q -d work --policy-dir "$place/policies" \
        --cutoff "$cutoff" --chunk "$CHUNK"
}

# One session that sends the same DELETE until it finds nothing: one round trip and one transaction each.
loop_session() {
    local said in out pid
    coproc psql_loop { psql -X -d work -v ON_ERROR_STOP=1; }
    # shellcheck disable=SC2154
    in=${psql_loop[1]} out=${psql_loop[0]} pid=$psql_loop_PID
    while :; do
        echo "DELETE FROM $1 WHERE id IN (SELECT id FROM $1 WHERE created_at < '$cutoff' LIMIT $loop_rows);" >&"$in"
        read -r said <&"$out"
        [[ $said != "DELETE 0" ]] || break
    done
    echo '\q' >&"$in"
    wait "$pid" || true
}
export -f loop_session
loop() { cutoff=$cutoff loop_rows=$loop_rows "$place/delay" "$1" "$place/trips" bash -c "loop_session $2"; }

# measure METHOD DELAY: milliseconds and round trips go to the files of that name.
measure() {
    local started took table=items
    fresh
    case $1 in locked | loop_cascade) table=parents ;; esac
    started=$(now_ms)
    case $1 in
    range | locked) sweep "$2" "$table" ;;
    loop | loop_cascade) loop "$2" "$table" ;;
    esac
    took=$(($(now_ms) - started))
    echo "$took" >>"$place/$1.$2"
    case $1 in
    range | locked) sql -d work -c "SELECT round(1000 * extract(epoch FROM finished - started)) FROM pgsweep.runs" ;;
    *) echo "$took" ;;
    esac >>"$place/$1.$2.deleting"
    cat "$place/trips" >>"$place/$1.$2.trips"
    [[ $(sql -d work -c "SELECT count(*) FROM $table WHERE created_at < '$cutoff'") -eq 0 ]] ||
        { echo "bench: $1 left rows" >&2; exit 1; }
}

median() {
    [[ -s $place/$1 ]] || { echo '-'; return; }
    sort -n "$place/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# row METHOD NAME ROWS [TARGET]: a line for each delay; the ratio is its throughput over that without delay.
row() {
    local delay ms trips deleting base
    base=$(median "$1.${DELAYS%% *}.deleting")
    for delay in $DELAYS; do
        ms=$(median "$1.$delay")
        trips=$(median "$1.$delay.trips")
        deleting=$(median "$1.$delay.deleting")
        [[ $ms != - ]] || continue
        awk -v name="$2" -v d="$delay" -v all="$ms" -v ms="$deleting" -v base="$base" -v n="$3" -v trips="$trips" \
            -v target="${4-}" 'BEGIN {
                share = 100 * base / ms
                met = (target == "" || d + 0 == 0) ? "" : ">= " target " %  " (share >= target + 0 ? "met" : "MISSED")
                printf "%-46s %4s ms %8d ms %9d %7.0f %% %10.2f  %s\n", name, d, all, n / ms * 1000, share, trips * 1000 / n, met }'
    done
}

prepare
for ((round = 1; round <= ROUNDS; round++)); do
    for method in $METHODS; do
        for delay in $DELAYS; do
            measure "$method" "$delay"
        done
    done
done

echo "pgsweep at a distance, PostgreSQL $(sql -c "SHOW server_version"), fsync on, ${settings[*]}"
echo "$items expired of $((2 * items)) items; $parents expired of $((2 * parents)) parents with 2 children each"
echo "medians of $ROUNDS rounds, --chunk $CHUNK, $(nproc) processors, load average $(cut -d' ' -f1 /proc/loadavg)"
printf '%-46s %7s %11s %9s %9s %10s  %s\n' '' 'one way' 'median' 'rows/s' 'of 0 ms' 'trips/1000' 'target'
row range 'pgsweep, range' "$items" 80
row locked 'pgsweep, locked, one dependent table' "$parents" 80
row loop "loop of DELETE ... IN (... LIMIT $loop_rows)" "$items"
row loop_cascade "the same, parents, cascading" "$parents"
