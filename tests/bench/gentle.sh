#!/usr/bin/env bash
# What another session feels beside a sweep: the latency of its UPDATEs and SELECTs on the rows of the same table, idle, beside
# pgsweep as it comes (both strategies), beside one monolithic DELETE, and beside a loop of DELETE ... LIMIT; each from the same
# copy of the same data, ratios to the idle server of the same round. Then what locks cost: rows and children that others keep
# locked, ALTER TABLE during a run and a dry run, two policies side by side. Called by tests/bench/run.sh.
# SCALE, ROUNDS, PGSWEEP_BIN: as there. RATE: transactions per second of the other sessions (300). METHODS: which to measure.
# LIMIT: seconds after which a run of pgsweep is ended (120); what is measured is at least that then.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCALE:=1}" "${ROUNDS:=3}" "${RATE:=300}" "${LIMIT:=120}" "${PGSWEEP_BIN:=$root/build/pgsweep}"
: "${METHODS:=idle range mono loop idle_parents locked cascade children rows alter deadlocks}"
loop_rows=5000 idle_seconds=4

settings=("shared_buffers = '768MB'" "max_wal_size = '16GB'" "checkpoint_timeout = '1h'"
    "autovacuum = off" "wal_buffers = '64MB'")
# shellcheck source=tests/bench/server.bash
. "$root/tests/bench/server.bash"
pgbench=$("$root/tools/throwaway-pg.sh" bindir)/pgbench

scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { printf "%d", n * s }'; }
items=$(scaled 2000000)
parents=$(scaled 400000)

# Half of the rows are older than the policies' 30 days, in the order of their age, as a log grows.
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
                       created_at timestamptz NOT NULL, line text NOT NULL);
INSERT INTO children SELECT i, (i + 1) / 2, now() - interval '60 days' + i * (interval '60 days' / (2 * $parents)),
       'line ' || md5(i::text)
  FROM generate_series(1, 2 * $parents) AS i;
CREATE INDEX ON children (parent_id);
CREATE INDEX ON children (created_at);
CREATE EXTENSION pg_prewarm;
SQL
    sql -d base -c "VACUUM (FREEZE, ANALYZE)"
    "$PGSWEEP_BIN" init -q -d base
    cutoff=$(sql -d base -c "SELECT now() - interval '30 days'")
    mkdir "$place/policies"
    printf 'table: items\nage: created_at\nretain: 29 days\n' >"$place/policies/items.yaml"
    printf 'table: parents\nage: created_at\nretain: 29 days\ndependents:\n  - { table: children, action: delete }\n' \
        >"$place/policies/parents.yaml"
    printf 'table: children\nage: created_at\nretain: 29 days\n' >"$place/policies/children.yaml"
    cat >"$place/items.sql" <<SQL
\\set id random(1, $items)
\\set other random(1, $items)
UPDATE items SET note = 'changed' WHERE id = :id;
SELECT note FROM items WHERE id = :other;
SQL
    cat >"$place/parents.sql" <<SQL
\\set id random(1, $parents)
\\set other random(1, 2 * $parents)
UPDATE parents SET note = 'changed' WHERE id = :id;
SELECT line FROM children WHERE id = :other;
SQL
}

# A database "work" as the base is, in memory, with nothing left to write.
fresh() {
    sql -d postgres -c "DROP DATABASE IF EXISTS work WITH (FORCE)" -c "CREATE DATABASE work TEMPLATE base STRATEGY FILE_COPY"
    sql -d work -c "SELECT pg_prewarm(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace
                    AND relname ~ '^(items|parents|children)'" >/dev/null
    sql -d work -c CHECKPOINT
}

# sweep POLICY [ARG...]; rows that others keep locked are no fault here.
sweep() {
    local code=0
    timeout "$LIMIT" "$PGSWEEP_BIN" "$@" -q -d work --policy-dir "$place/policies" --cutoff "$cutoff" \
        >"$place/out" 2>"$place/warnings" || code=$?
    [[ $code -ne 124 ]] || echo "bench: $* was ended after $LIMIT s" >&2
    [[ $code -le 1 || $code -eq 124 ]] || { cat "$place/warnings" >&2; return 1; }
}
loop() {
    sql -d work >/dev/null <<SQL
DO \$\$ DECLARE n bigint; BEGIN LOOP
    DELETE FROM items WHERE id IN (SELECT id FROM items WHERE created_at < '$cutoff' LIMIT $loop_rows);
    GET DIAGNOSTICS n = ROW_COUNT; COMMIT; EXIT WHEN n = 0;
END LOOP; END \$\$
SQL
}
work() {
    case $1 in
    idle | idle_parents) sleep "$idle_seconds" ;;
    range) sweep items ;;
    mono) sql -d work -c "DELETE FROM items WHERE created_at < '$cutoff'" ;;
    loop) loop ;;
    locked) sweep parents ;;
    cascade) sql -d work -c "DELETE FROM parents WHERE created_at < '$cutoff'" ;;
    esac
}

# beside NAME SCRIPT: what work NAME does to the latency of the script. Transactions count that began while it was on; their
# milliseconds include what they waited for their turn, as those of users do. Percentile and maximum go to NAME.p99 and .max.
beside() {
    local from to pid
    fresh
    rm -f "$place"/latency.*
    (cd "$place" && exec "$pgbench" -n -M prepared -c 4 -j 1 -R "$RATE" -T 3600 -l --log-prefix=latency -f "$2" work) \
        >/dev/null 2>&1 &
    pid=$!
    sleep 1
    from=${EPOCHREALTIME/./}
    work "$1"
    to=${EPOCHREALTIME/./}
    sleep 0.5
    # It writes its log when it ends by itself: its sessions are ended.
    until sql -d work -c "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'pgbench'" >/dev/null &&
        ! kill -0 "$pid" 2>/dev/null; do sleep 0.1; done
    wait "$pid" || true
    echo $(((to - from) / 1000)) >>"$place/$1.ms"
    awk -v from="$from" -v to="$to" '{ end = $5 * 1000000 + $6; if (end - $3 >= from && end - $3 <= to) print $3 / 1000 }' \
        "$place"/latency.* | sort -n >"$place/times"
    awk '{ v[NR] = $1 } END { i = int(NR * 0.99); print (NR ? v[i > 0 ? i : 1] : 0) }' "$place/times" >>"$place/$1.p99"
    tail -n 1 "$place/times" >>"$place/$1.max"
    wc -l <"$place/times" >>"$place/$1.count"
}

# hold SQL: a session that has run the SQL in an open transaction, until let_go.
hold() {
    coproc holder { sql -d work; }
    # shellcheck disable=SC2154
    holder_in=${holder[1]} holder_pid=$holder_PID
    printf 'BEGIN; %s;\nSELECT 1;\n' "$1" >&"$holder_in"
    local line
    while read -r line <&"${holder[0]}"; do [[ $line != 1 ]] || break; done
}
let_go() {
    printf 'ROLLBACK;\n\\q\n' >&"$holder_in"
    wait "$holder_pid" || true
}
timed() {
    local name=$1 started
    shift
    started=$(now_ms)
    "$@"
    echo $(($(now_ms) - started)) >>"$place/$name"
}
# What the lock of some rows adds to a run on so many.
locked_children() {
    fresh
    sql -d work -c "DELETE FROM parents WHERE id > 25000" -c "UPDATE parents SET created_at = '$cutoff'::timestamptz - interval '1 day'"
    timed children_free sweep parents
    fresh
    sql -d work -c "DELETE FROM parents WHERE id > 25000" -c "UPDATE parents SET created_at = '$cutoff'::timestamptz - interval '1 day'"
    hold "SELECT FROM children WHERE id % 5000 = 1 AND id <= 50000 FOR UPDATE"
    timed children_held sweep parents
    let_go
    paste "$place/children_held" "$place/children_free" | awk '{ print $1 - $2 }' >"$place/children.ms"
}
locked_rows() {
    fresh
    sql -d work -c "DELETE FROM items WHERE created_at < '$cutoff' AND id > 200000"
    timed rows_free sweep items
    fresh
    sql -d work -c "DELETE FROM items WHERE created_at < '$cutoff' AND id > 200000"
    hold "SELECT FROM items WHERE id % 10000 = 1 AND id <= 200000 FOR UPDATE"
    timed rows_held sweep items
    let_go
    paste "$place/rows_held" "$place/rows_free" | awk '{ print $1 - $2 }' >"$place/rows.ms"
}
# alter NAME ARG...: the longest that the lock of an ALTER TABLE has to be waited for, ten times a second, during the sweep with
# these arguments. It is the lock alone: a table that changes so often would be planned for again each time.
alter() {
    local name=$1 pid
    shift
    fresh
    sql -d work -c "INSERT INTO items SELECT id + $items, created_at, note FROM items" -c "ANALYZE items" \
        -c "CREATE TABLE over (n int)"
    sql -d work >"$place/alter" <<SQL &
DO \$\$ DECLARE began timestamptz; longest interval := '0'; BEGIN
    WHILE NOT EXISTS (SELECT FROM over) LOOP
        COMMIT; PERFORM pg_sleep(0.1); began := clock_timestamp();
        LOCK TABLE items IN ACCESS EXCLUSIVE MODE;
        longest := greatest(longest, clock_timestamp() - began); COMMIT;
    END LOOP;
    CREATE TABLE longest AS SELECT extract(epoch FROM longest) * 1000 AS ms;
END \$\$;
SELECT round(ms) FROM longest
SQL
    pid=$!
    sweep items "$@"
    sql -d work -c "INSERT INTO over VALUES (1)"
    wait "$pid"
    cat "$place/alter" >>"$place/$name"
}
deadlocks() {
    local pid
    fresh
    sweep children &
    pid=$!
    timeout "$LIMIT" "$PGSWEEP_BIN" parents -q -d work --policy-dir "$place/policies" --cutoff "$cutoff" >/dev/null 2>&1 || true
    wait "$pid" || true
    sleep 1
    sql -d work -c "SELECT deadlocks FROM pg_stat_database WHERE datname = 'work'" >>"$place/deadlocks"
}

measure() {
    case $1 in
    idle | range | mono | loop) beside "$1" "$place/items.sql" ;;
    idle_parents | locked | cascade) beside "$1" "$place/parents.sql" ;;
    children) locked_children ;;
    rows) locked_rows ;;
    alter) alter alter_run && alter alter_dry --dry-run ;;
    deadlocks) deadlocks ;;
    esac
}

median() {
    [[ -s $place/$1 ]] || { echo '-'; return; }
    sort -n "$place/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'
}
# latency NAME METHOD IDLE [TARGET]: the ratio is the median of those of the rounds.
latency() {
    [[ -s $place/$2.p99 && -s $place/$3.p99 ]] || return 0
    paste "$place/$2.p99" "$place/$3.p99" | awk '{ print ($2 > 0) ? $1 / $2 : 0 }' >"$place/$2.ratio"
    awk -v name="$1" -v p="$(median "$2.p99")" -v max="$(median "$2.max")" -v ms="$(median "$2.ms")" -v n="$(median "$2.count")" \
        -v ratio="$(median "$2.ratio")" -v target="${4-}" 'BEGIN {
            met = (target == "") ? "" : "<= " target "  " (ratio <= target + 0 ? "met" : "MISSED")
            printf "%-44s %9.1f %9.1f %9.1f %8d %8d  %s\n", name, p, ratio, max, ms, n, met }'
}
# figure NAME FILE UNIT TARGET
figure() {
    local value
    value=$(median "$2")
    [[ $value != - ]] || return 0
    printf '%-70s %8s %-3s %s\n' "$1" "$value" "$3" \
        "$(awk -v v="$value" -v t="$4" 'BEGIN { print "<= " t, (v + 0 <= t + 0 ? "met" : "MISSED") }')"
}

prepare
for ((round = 1; round <= ROUNDS; round++)); do
    for method in $METHODS; do
        measure "$method"
    done
done

echo "pgsweep beside others, PostgreSQL $(sql -c "SHOW server_version"), fsync on, ${settings[*]}"
echo "$((items / 2)) expired of $items items; $((parents / 2)) expired of $parents parents with 2 children each; the others: 4 sessions,"
echo "$RATE transactions of an UPDATE and a SELECT per second, on rows at random; medians of $ROUNDS rounds, $(nproc) processors," \
    "load average $(cut -d' ' -f1 /proc/loadavg)"
printf '%-44s %9s %9s %9s %8s %8s  %s\n' 'latency in ms' 'p99' 'to idle' 'longest' 'took' 'samples' 'target'
latency 'idle' idle idle
latency 'pgsweep, range' range idle 2
latency 'one monolithic DELETE' mono idle
latency "loop of DELETE ... IN (... LIMIT $loop_rows)" loop idle
latency 'idle, parents and children' idle_parents idle_parents
latency 'pgsweep, locked, one dependent table' locked idle_parents 2
latency 'one monolithic DELETE that cascades' cascade idle_parents
figure '10 locked children of 50,000 add' children.ms ms 1000
figure '20 locked rows of 200,000 add, range' rows.ms ms 1000
figure "longest wait of ALTER TABLE, run on $((2 * items)) rows" alter_run ms 250
figure "longest wait of ALTER TABLE, dry run on $((2 * items)) rows" alter_dry ms 250
figure 'deadlocks of two policies, on parents and on children' deadlocks '' 1
