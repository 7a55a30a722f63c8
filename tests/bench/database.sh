#!/usr/bin/env bash
# The database part of the measurements: pgsweep against one monolithic DELETE and the usual loop, in one
# run, round by round, each from the same copy of the same data. Called by tests/bench/run.sh.
# SCALE, ROUNDS, PGSWEEP_BIN: as there. CHUNK: what --chunk is given (auto). METHODS: which to measure.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCALE:=1}" "${ROUNDS:=3}" "${CHUNK:=auto}" "${PGSWEEP_BIN:=$root/build/pgsweep}"
: "${METHODS:=mono loop range range_snapshot cascade locked}"
loop_rows=5000

settings=("shared_buffers = '768MB'" "max_wal_size = '16GB'" "checkpoint_timeout = '1h'"
    "autovacuum = off" "wal_buffers = '64MB'")
# shellcheck source=tests/bench/server.bash
. "$root/tests/bench/server.bash"

# Half of the rows are older than the policies' 30 days, in the order of their age, as a log grows.
items=$(awk -v s="$SCALE" 'BEGIN { printf "%d", 2000000 * s }')
parents=$(awk -v s="$SCALE" 'BEGIN { printf "%d", 1000000 * s }')
prepare() {
    sql -c "CREATE DATABASE base" >/dev/null
    sql -d base <<SQL
CREATE TABLE items (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO items SELECT i, now() - interval '60 days' + i * (interval '60 days' / $items), 'item ' || md5(i::text)
  FROM generate_series(1, $items) AS i;
CREATE INDEX ON items (created_at);
CREATE TABLE parents (id bigint PRIMARY KEY, created_at timestamptz NOT NULL, note text NOT NULL);
INSERT INTO parents SELECT i, now() - interval '60 days' + i * (interval '60 days' / $parents), 'parent ' || md5(i::text)
  FROM generate_series(1, $parents) AS i;
CREATE INDEX ON parents (created_at);
CREATE TABLE children (id bigint PRIMARY KEY, parent_id bigint NOT NULL REFERENCES parents ON DELETE CASCADE,
                       line text NOT NULL);
INSERT INTO children SELECT i, (i + 1) / 2, 'line ' || md5(i::text) FROM generate_series(1, 2 * $parents) AS i;
CREATE INDEX ON children (parent_id);
CREATE EXTENSION pg_prewarm;
SQL
    sql -d base -c "VACUUM (FREEZE, ANALYZE)"
    "$PGSWEEP_BIN" init -q -d base
    # The run's record, kept for each chunk: how fast it was, from the first to the last. Other changes of the
    # record are no chunks: the last one comes after the look at what is left.
    sql -d base <<'SQL'
CREATE TABLE curve (at timestamptz, rows bigint);
CREATE FUNCTION note_chunk() RETURNS trigger LANGUAGE plpgsql AS
$$ BEGIN INSERT INTO curve SELECT clock_timestamp(), sum(value::bigint) FROM jsonb_each_text(new.deleted); RETURN NULL; END $$;
CREATE TRIGGER note_chunk AFTER UPDATE ON pgsweep.runs FOR EACH ROW
    WHEN (old.deleted IS DISTINCT FROM new.deleted) EXECUTE FUNCTION note_chunk();
SQL
    cutoff=$(sql -d base -c "SELECT now() - interval '30 days'")
    mkdir -p "$place/policies"
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

# Milliseconds of a command go to the file of its name.
timed() {
    local name=$1 started ended
    shift
    started=$(now_ms)
    "$@"
    ended=$(now_ms)
    echo $((ended - started)) >>"$place/$name"
}

sweep() {
    local policy=$1 peak='' line
    shift
    "$PGSWEEP_BIN" "$policy" -q -d work --policy-dir "$place/policies" --cutoff "$cutoff" --chunk "$CHUNK" "$@" &
    local pid=$!
    # The high-water mark of its memory only grows: the last look before it ends is near the peak.
    while line=$(grep VmHWM "/proc/$pid/status" 2>/dev/null); do
        peak=${line//[^0-9]/}
        sleep 0.05
    done
    wait "$pid"
    echo "${peak:-0}" >>"$place/memory"
}

loop() {
    # One transaction for each DELETE, in one session, until none is left.
    sql -d work >/dev/null <<SQL
DO \$\$ DECLARE n bigint; BEGIN LOOP
    DELETE FROM items WHERE id IN (SELECT id FROM items WHERE created_at < '$cutoff' LIMIT $loop_rows);
    GET DIAGNOSTICS n = ROW_COUNT; COMMIT; EXIT WHEN n = 0;
END LOOP; END \$\$
SQL
}

# The time of the last tenth of the rows over that of the first tenth, from the chunks' records.
note_curve() {
    sql -d work -c "WITH c AS (SELECT at, rows FROM curve WHERE rows > 0),
        m AS (SELECT max(rows) AS rows FROM c),
        first AS (SELECT max(at) - min(at) AS t, max(c.rows) - min(c.rows) AS n FROM c, m WHERE c.rows <= m.rows * 0.1),
        last AS (SELECT max(at) - min(at) AS t, max(c.rows) - min(c.rows) AS n FROM c, m WHERE c.rows >= m.rows * 0.9)
        SELECT round(((extract(epoch FROM last.t) / nullif(last.n, 0)) / nullif(extract(epoch FROM first.t) / nullif(first.n, 0), 0))::numeric, 3)
          FROM first, last" >>"$place/$1"
    sql -d work -c "SELECT deleted, chunks FROM pgsweep.runs" >"$place/run_$1"
}

# An old snapshot: nothing that is deleted meanwhile can be cleaned up by anybody.
with_snapshot() {
    coproc holder { sql -d work; }
    # shellcheck disable=SC2154
    local in=${holder[1]} out=${holder[0]} pid=$holder_PID
    printf 'BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM curve;\n' >&"$in"
    read -r _ <&"$out"
    "$@"
    printf 'ROLLBACK;\n\\q\n' >&"$in"
    wait "$pid" || true
}

check_gone() {
    local left
    left=$(sql -d work -c "SELECT count(*) FROM $1 WHERE created_at < '$cutoff'")
    [[ $left -eq 0 ]] || echo "bench: $left rows of $1 are left" >&2
}

measure() {
    fresh
    case $1 in
    mono) timed mono sql -d work -c "DELETE FROM items WHERE created_at < '$cutoff'" ;;
    loop) timed loop loop ;;
    range) timed range sweep items && note_curve tenths ;;
    range_snapshot) with_snapshot timed range_snapshot sweep items && note_curve tenths_snapshot ;;
    cascade) timed cascade sql -d work -c "DELETE FROM parents WHERE created_at < '$cutoff'" ;;
    locked) timed locked sweep parents && note_curve tenths_locked ;;
    esac
    case $1 in
    cascade | locked) check_gone parents ;;
    *) check_gone items ;;
    esac
}

median() {
    [[ -s $place/$1 ]] || { echo '-'; return; }
    sort -n "$place/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}

# row NAME MEDIAN-FILE [BASE-FILE [TARGET]]
row() {
    local ms base ratio='-'
    ms=$(median "$2")
    [[ $ms != - ]] || return 0
    base=$(median "${3-none}")
    [[ $base == - ]] || ratio=$(awk -v a="$ms" -v b="$base" 'BEGIN { printf "%.2f", a / b }')
    verdict "$ratio" "${4-}"
    printf '%-46s %9s ms %8s %10s  %s\n' "$1" "$ms" "$ratio" "${4:+<= $4}" "$met"
}
verdict() {
    met=''
    [[ ! $2 ]] || met=$(awk -v r="$1" -v t="$2" 'BEGIN { print r + 0 <= t + 0 ? "met" : "MISSED" }')
}
ratio_row() {
    local ratio
    ratio=$(median "$2")
    [[ $ratio != - ]] || return 0
    verdict "$ratio" "$3"
    printf '%-46s %12s %8s %10s  %s\n' "$1" "" "$ratio" "<= $3" "$met"
}

prepare
for ((round = 1; round <= ROUNDS; round++)); do
    for method in $METHODS; do
        measure "$method"
    done
done

version=$(sql -c "SHOW server_version")
echo "pgsweep on PostgreSQL $version, fsync on, ${settings[*]}"
echo "$((items / 2)) expired of $items rows; $((parents / 2)) expired of $parents parents with 2 children each"
echo "medians of $ROUNDS rounds, --chunk $CHUNK, $(nproc) processors"
printf '%-46s %12s %8s %10s\n' '' 'median' 'ratio' 'target'
row 'one monolithic DELETE' mono mono
row "loop of DELETE ... IN (... LIMIT $loop_rows)" loop mono
row 'pgsweep, range' range mono 1.5
row 'pgsweep, range, an old snapshot held' range_snapshot mono
ratio_row 'range: last tenth against first' tenths 1.2
ratio_row 'range: the same, an old snapshot held' tenths_snapshot 1.2
row 'one monolithic DELETE that cascades' cascade cascade
row 'pgsweep, locked, one dependent table' locked cascade 1.5
ratio_row 'locked: last tenth against first' tenths_locked 1.2
if [[ -s $place/memory ]]; then
    peak=$(sort -n "$place/memory" | tail -n 1)
    verdict "$peak" 16384
    printf '%-46s %8s KiB %19s  %s\n' 'peak memory of pgsweep, any run' "$peak" '<= 16384' "$met"
fi
for file in "$place"/run_*; do
    [[ ! -e $file ]] || echo "${file##*/run_}: $(cat "$file") chunks"
done
