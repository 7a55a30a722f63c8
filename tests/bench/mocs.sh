#!/usr/bin/env bash
# The policy mocs against the same work by hand, side by side, round by round, each from the same copy of the
# same data: a shell loop with one psql for each MOC (on a sample), one psql that is fed a script with a
# transaction for each MOC, and the whole sequence of statements run once. Called by tests/bench/run.sh.
# SCALE, ROUNDS, PGSWEEP_BIN: as there. MOCS (10000 * SCALE), SAMPLE: MOCs of the shell loop. METHODS: which to measure.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCALE:=1}" "${ROUNDS:=3}" "${PGSWEEP_BIN:=$root/build/pgsweep}"
mocs=${MOCS:-$(awk -v s="$SCALE" 'BEGIN { printf "%d", 10000 * s }')}
sample=${SAMPLE:-$((mocs < 500 ? mocs : 500))}
: "${METHODS:=pgsweep loop script set}"

settings=("shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "autovacuum = off"
    "wal_buffers = '64MB'")
# shellcheck source=tests/bench/server.bash
. "$root/tests/bench/server.bash"

# Each MOC: 5 files, 2 lists of 20 bricks, 3 images of its own; as many MOCs again are not deleted.
prepare() {
    sql -c "CREATE DATABASE base" >/dev/null
    sql -d base -f "$root/tests/integration/sql/mocs.sql" -c "DROP TABLE moc_gallery_albums, gallery_albums, upload_sessions"
    sql -d base <<SQL
INSERT INTO moc_instructions SELECT i, 'MOC ' || i, 'thumb/' || md5(i::text) || '.png',
       CASE WHEN i <= $mocs THEN now() - interval '60 days' + i * interval '1 second' END
  FROM generate_series(1, 2 * $mocs) AS i;
INSERT INTO moc_files (moc_id, s3_key) SELECT m, 'files/' || m || '/' || f || '.pdf'
  FROM generate_series(1, 2 * $mocs) AS m, generate_series(1, 5) AS f;
INSERT INTO moc_parts_lists (moc_id) SELECT m FROM generate_series(1, 2 * $mocs) AS m, generate_series(1, 2);
INSERT INTO moc_parts (parts_list_id) SELECT id FROM moc_parts_lists, generate_series(1, 20);
INSERT INTO gallery_images SELECT m * 3 + k, 'img/' || m || '-' || k || '.png', 'img/' || m || '-' || k || '-t.png'
  FROM generate_series(1, 2 * $mocs) AS m, generate_series(0, 2) AS k;
INSERT INTO moc_gallery_images SELECT m, m * 3 + k FROM generate_series(1, 2 * $mocs) AS m, generate_series(0, 2) AS k;
CREATE EXTENSION pg_prewarm;
SQL
    sql -d base -c "VACUUM (FREEZE, ANALYZE)"
    "$PGSWEEP_BIN" init -q -d base
}

fresh() {
    sql -d postgres -c "DROP DATABASE IF EXISTS work WITH (FORCE)" -c "CREATE DATABASE work TEMPLATE base STRATEGY FILE_COPY"
    sql -d work -c "SELECT pg_prewarm(oid) FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'i')" >/dev/null
    sql -d work -c CHECKPOINT
}

# What a person would write for the MOCs that a condition on their id selects, keys collected first.
statements() {
    cat <<SQL
BEGIN;
CREATE TEMP TABLE IF NOT EXISTS images (id bigint) ON COMMIT DELETE ROWS;
INSERT INTO images SELECT gallery_image_id FROM moc_gallery_images WHERE moc_id $1;
SELECT thumbnail_url FROM moc_instructions WHERE id $1
 UNION ALL SELECT s3_key FROM moc_files WHERE moc_id $1;
UPDATE moc_parts SET parts_list_id = NULL, status = 'available'
 WHERE parts_list_id IN (SELECT id FROM moc_parts_lists WHERE moc_id $1);
DELETE FROM moc_files WHERE moc_id $1;
DELETE FROM moc_parts_lists WHERE moc_id $1;
DELETE FROM moc_gallery_images WHERE moc_id $1;
DELETE FROM moc_instructions WHERE id $1;
DELETE FROM gallery_images AS g USING images AS i WHERE g.id = i.id
   AND NOT EXISTS (SELECT FROM moc_gallery_images AS l WHERE l.gallery_image_id = g.id)
 RETURNING g.image_url, g.thumbnail_url;
COMMIT;
SQL
}

loop() {
    local id
    for ((id = 1; id <= sample; id++)); do
        sql -d work -c "$(statements "= $id")" >/dev/null
    done
}
script() { sql -d work -f "$place/script.sql" >/dev/null; }
set_based() {
    sql -d work -c "$(statements "IN (SELECT id FROM moc_instructions WHERE deleted_at < now() - interval '30 days')" |
        sed 's/^DELETE FROM moc_instructions .*/DELETE FROM moc_instructions WHERE deleted_at < now() - interval '"'30 days'"';/')" >/dev/null
}
# Without a store it warns that the keys stay queued; that is told only when it fails.
sweep() { "$PGSWEEP_BIN" mocs -q -d work "$@" 2>"$place/warnings" || { cat "$place/warnings" >&2; return 1; }; }

# Microseconds for each MOC go to the file of the method's name.
timed() {
    local name=$1 count=$2 started
    shift 2
    started=$(now_ms)
    "$@"
    echo $((($(now_ms) - started) * 1000 / count)) >>"$place/$name"
}

check() {
    local got want
    got=$(sql -d work -c "SELECT (SELECT count(*) FROM moc_instructions), (SELECT count(*) FROM moc_files),
        (SELECT count(*) FROM gallery_images), (SELECT count(*) FROM moc_parts WHERE status = 'available')")
    want="$((2 * mocs - $2))|$((5 * (2 * mocs - $2)))|$((3 * (2 * mocs - $2)))|$((40 * $2))"
    [[ $got == "$want" ]] || { echo "bench: $1 left $got rows, not $want" >&2; exit 1; }
}

measure() {
    fresh
    case $1 in
    pgsweep) timed pgsweep "$mocs" sweep && check pgsweep "$mocs" ;;
    loop) timed loop "$sample" loop && check loop "$sample" ;;
    script) timed script "$mocs" script && check script "$mocs" ;;
    set) timed set "$mocs" set_based && check set "$mocs" ;;
    esac
}

median() { sort -n "$place/$1" | awk '{ v[NR] = $1 } END { print NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2 }'; }
row() {
    local us ratio target=''
    [[ -s $place/$2 ]] || return 0
    us=$(median "$2")
    ratio=$(awk -v a="$us" -v b="$(median pgsweep)" 'BEGIN { printf "%.2f", a / b }')
    [[ -z ${3-} ]] || target=$(awk -v r="$ratio" -v t="$3" 'BEGIN { print ">= " t, (r + 0 >= t + 0 ? "met" : "MISSED") }')
    printf '%-54s %9s us %9s  %s\n' "$1" "$us" "$ratio" "$target"
}

prepare
statements "= @" >"$place/one.sql"
awk -v n="$mocs" '{ line[NR] = $0 } END { for (id = 1; id <= n; id++) for (i = 1; i <= NR; i++) {
    text = line[i]; gsub(/@/, id, text); print text } }' "$place/one.sql" >"$place/script.sql"
for ((round = 1; round <= ROUNDS; round++)); do
    for method in $METHODS; do
        measure "$method"
    done
done

# Round trips to a server 5 ms away, from connecting to the end.
fresh
far=$((mocs < 1000 ? mocs : 1000))
started=$(now_ms)
trips=$(PGDATABASE=work /usr/bin/python3 "$root/tests/fault/pgproxy.py" --latency-ms 2.5 \
    "$PGSWEEP_BIN" mocs -q --max-rows "$far" 2>&1 | sed -n 's/^pgproxy: \([0-9]*\) round trips.*/\1/p')
far_ms=$(($(now_ms) - started))

echo "pgsweep mocs on PostgreSQL $(sql -c "SHOW server_version"), fsync on, ${settings[*]}"
echo "$mocs expired of $((2 * mocs)) MOCs: 5 files, 2 lists, 40 bricks, 3 images each; medians of $ROUNDS rounds, $(nproc) processors"
printf '%-54s %12s %9s  %s\n' '' 'per MOC' 'ratio' 'target'
row 'pgsweep mocs, one transaction per MOC' pgsweep
row "shell loop, one psql per MOC (sample of $sample)" loop 3
row 'one psql fed BEGIN...COMMIT per MOC' script
row 'the statements once for all MOCs' set
awk -v t="$trips" -v n="$far" -v ms="$far_ms" 'BEGIN { printf "%-54s %9.2f    %9s  %s\n",
    "round trips per MOC, 5 ms away (" n " MOCs, " ms " ms)", t / n, "", "<= 2 " (t / n <= 2 ? "met" : "MISSED") }'
