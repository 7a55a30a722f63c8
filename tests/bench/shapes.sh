#!/usr/bin/env bash
# How the cost of each shape of a schema grows: each at a tenth of a size and at that size, and the ratio of the two.
# In proportion is 10; what costs the same whatever lies beside it is 1. Called by tests/bench/run.sh.
# SCALE, PGSWEEP_BIN: as there. SHAPES: which to measure. LIMIT: seconds after which one is given up (600).
# shellcheck disable=SC2034  # sizes and descriptions are found by the name of their shape
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
: "${SCALE:=1}" "${PGSWEEP_BIN:=$root/build/pgsweep}" "${LIMIT:=600}"
: "${SHAPES:=orphans_dry orphans_live tokens_beside grandchild self_detach survivors_one survivors_many
    missing_index partitioned_index many_tables leaves leaves_locks}"
settings=("shared_buffers = '512MB'" "max_wal_size = '8GB'" "checkpoint_timeout = '1h'" "autovacuum = off"
    "wal_buffers = '64MB'" "max_locks_per_transaction = 1024")
# shellcheck source=tests/bench/server.bash
. "$root/tests/bench/server.bash"
mkdir "$place/policies"
old="now() - interval '60 days'"

scaled() { awk -v n="$1" -v s="$SCALE" 'BEGIN { n = n * s; printf "%d", (n < 20) ? 20 : n }'; }

# policy NAME: a policy file from standard input.
policy() { cat >"$place/policies/$1.yaml"; }

# load: SQL from standard input, in an empty database "work".
load() {
    sql -d postgres -c "DROP DATABASE IF EXISTS work WITH (FORCE)" -c "CREATE DATABASE work"
    sql -d work >/dev/null
    sql -d work -c "VACUUM ANALYZE" -c CHECKPOINT
    "$PGSWEEP_BIN" init -q -d work
}

# sweep ARG...: sets "result" to its milliseconds, and to what went wrong.
sweep() {
    local started code=0
    started=$(now_ms)
    timeout "$LIMIT" "$PGSWEEP_BIN" "$@" -q -d work --policy-dir "$place/policies" >/dev/null 2>"$place/err" || code=$?
    result=$(($(now_ms) - started))
    [[ $code -ne 124 ]] || result=">${LIMIT}000"
    [[ $code -eq 0 || $code -eq 124 ]] || note="exit code $code"
}

# Each shape has a size, says what it is, and measures itself at the size that it is given.

# MOCs that share images, two MOCs to an image.
load_orphans() {
    {
        cat "$root/tests/integration/sql/mocs.sql"
        echo "INSERT INTO moc_instructions SELECT i, 'm', NULL, $old FROM generate_series(1, $1) i;
              INSERT INTO gallery_images SELECT i, 'i/' || i, NULL FROM generate_series(1, $1 / 2) i;
              INSERT INTO moc_gallery_images SELECT i, 1 + i % ($1 / 2) FROM generate_series(1, $1) i;"
    } | load
}
size_orphans_dry=400000
about_orphans_dry='MOCs that share images, dry run'
orphans_dry() { load_orphans "$1"; sweep mocs --dry-run; }
size_orphans_live=50000
about_orphans_live='MOCs that share images, live'
orphans_live() { load_orphans "$1"; sweep mocs; }

size_tokens_beside=400000
about_tokens_beside='20,000 tokens beside so many entities, live'
tokens_beside() {
    local tokens
    tokens=$(scaled 20000)
    load <<SQL
CREATE TABLE entities (id bigint PRIMARY KEY);
CREATE TABLE relationships (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, product_id int, entity_id bigint);
CREATE INDEX ON relationships (product_id, entity_id); CREATE INDEX ON relationships (entity_id);
CREATE TABLE tokens (token text PRIMARY KEY, entity_id bigint, product_id int, created_at timestamptz NOT NULL,
    submitted_at timestamptz);
CREATE INDEX ON tokens (created_at); CREATE INDEX ON tokens (entity_id); CREATE INDEX ON tokens (product_id, entity_id);
INSERT INTO entities SELECT generate_series(1, $tokens + $1);
INSERT INTO tokens SELECT 'old' || i, i, 1, $old FROM generate_series(1, $tokens) i;
INSERT INTO tokens SELECT 'new' || i, $tokens + i, 1, now() FROM generate_series(1, $1) i;
INSERT INTO relationships (product_id, entity_id) SELECT 1, generate_series(1, $tokens + $1);
SQL
    sweep tokens
}

size_grandchild=500000
about_grandchild='grandchild along two paths, with objects, beside so many rows, live'
grandchild() {
    load <<SQL
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL); CREATE INDEX ON t (at);
CREATE TABLE a (id bigint PRIMARY KEY, t_id bigint REFERENCES t); CREATE INDEX ON a (t_id);
CREATE TABLE b (id bigint PRIMARY KEY, t_id bigint REFERENCES t); CREATE INDEX ON b (t_id);
CREATE TABLE g (id bigint PRIMARY KEY, a_id bigint REFERENCES a, b_id bigint REFERENCES b, key text);
INSERT INTO t SELECT i, CASE WHEN i <= $(scaled 2000) THEN $old ELSE now() END FROM generate_series(1, $1) i;
INSERT INTO a SELECT id, id FROM t; INSERT INTO b SELECT id, id FROM t;
INSERT INTO g SELECT id, CASE WHEN id % 2 = 0 THEN id END, CASE WHEN id % 2 = 1 THEN id END, 'k/' || id FROM t;
CREATE INDEX ON g (a_id); CREATE INDEX ON g (b_id);
SQL
    policy grandchild <<'YAML'
table: t
age: at
retain: 7 days
dependents:
  - { table: a, action: delete }
  - { table: b, action: delete }
  - { table: g, action: delete, objects: [key] }
YAML
    sweep grandchild
}

size_self_detach=20000
about_self_detach='self-reference with detach and a guard, live'
self_detach() {
    load <<SQL
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, up bigint REFERENCES t);
CREATE INDEX ON t (at); CREATE INDEX ON t (up);
CREATE TABLE held (t_id bigint PRIMARY KEY);
INSERT INTO t SELECT i, $old, nullif(i / 2, 0) FROM generate_series(1, $1) i;
INSERT INTO held SELECT i FROM generate_series(7, $1, 100) i;
SQL
    policy self_detach <<'YAML'
table: t
age: at
retain: 7 days
guards:
  - { name: held, unless: EXISTS (SELECT FROM held h WHERE h.t_id = t.id) }
dependents:
  - { table: t, action: detach }
YAML
    sweep self_detach
}

# Nobody listens there: what is measured is the look for rows that still name the objects.
survivors() {
    local -x PGSWEEP_S3_BUCKET=b PGSWEEP_S3_ENDPOINT=http://127.0.0.1:9 AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y
    load <<SQL
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL, key text); CREATE INDEX ON t (at);
CREATE INDEX ON t (key);
INSERT INTO t SELECT i, now(), 'https://b.s3.amazonaws.com/live/' || i FROM generate_series(1, $2) i;
INSERT INTO t SELECT -i, $old, 'gone/' || i FROM generate_series(1, $1) i;
SQL
    policy survivors <<'YAML'
table: t
age: at
retain: 7 days
objects: [key]
YAML
    sweep survivors
}
size_survivors_one=1000000
about_survivors_one='one object beside so many rows that name others, live'
survivors_one() { survivors 1 "$1"; }
size_survivors_many=100000
about_survivors_many='so many objects beside as many rows that name others, live'
survivors_many() { survivors "$1" "$1"; }

# The run refuses (exit code 4): what is measured is how long that takes.
unindexed() {
    policy unindexed <<'YAML'
table: t
age: at
retain: 7 days
dependents:
  - { table: c, action: delete }
YAML
    sweep unindexed
}
size_missing_index=3000000
about_missing_index='500 rows, dependents of this size without an index: refused'
missing_index() {
    load <<SQL
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL); CREATE TABLE c (t_id bigint REFERENCES t);
INSERT INTO t SELECT i, $old FROM generate_series(1, 500) i;
INSERT INTO c SELECT 1 + i % 500 FROM generate_series(1, $1) i;
SQL
    unindexed
}
size_partitioned_index=3000000
about_partitioned_index='the same, partitioned and never analysed: refused'
partitioned_index() {
    load <<SQL
CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);
INSERT INTO t SELECT i, $old FROM generate_series(1, 500) i;
SQL
    sql -d work <<SQL
CREATE TABLE c (t_id bigint REFERENCES t, n bigint) PARTITION BY HASH (n);
SELECT format('CREATE TABLE c%s PARTITION OF c FOR VALUES WITH (MODULUS 4, REMAINDER %s)', i, i) FROM generate_series(0, 3) i \gexec
INSERT INTO c SELECT 1 + i % 500, i FROM generate_series(1, $1) i;
SQL
    unindexed
}

size_many_tables=450
about_many_tables='so many referring tables, all empty, dry run'
many_tables() {
    local -i i
    {
        echo "CREATE TABLE t (id bigint PRIMARY KEY, at timestamptz NOT NULL);"
        for ((i = 1; i <= $1; i++)); do
            echo "CREATE TABLE c$i (id bigint PRIMARY KEY, t_id bigint REFERENCES t ON DELETE CASCADE, other_id bigint"
            echo "    REFERENCES $([[ $i -gt 1 ]] && echo "c$((i / 2 > 0 ? i / 2 : 1))" || echo t) ON DELETE CASCADE);"
            echo "CREATE INDEX ON c$i (t_id); CREATE INDEX ON c$i (other_id);"
        done
    } | load
    printf 'table: t\nage: at\nretain: 7 days\nunlisted: cascade\n' | policy many_tables
    sweep many_tables --dry-run
}

# A root of so many leaves, half of which hold what has expired.
load_leaves() {
    load <<SQL
CREATE TABLE t (id bigint, at timestamptz NOT NULL, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
CREATE TABLE noted (locks bigint);
SELECT format('CREATE TABLE t%s PARTITION OF t FOR VALUES FROM (%L) TO (%L)', i,
       date_trunc('day', now()) + (i - $1 / 2) * interval '1 day', date_trunc('day', now()) + (i - $1 / 2 + 1) * interval '1 day')
  FROM generate_series(0, $1) i \gexec
CREATE INDEX ON t (at);
INSERT INTO t SELECT i, now() - (1 + i % ($1 / 2 - 1)) * interval '1 day' FROM generate_series(1, $1 * 200) i;
CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \$\$BEGIN
    INSERT INTO noted SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'relation'; RETURN NULL; END\$\$;
$2
SQL
    printf 'table: t\nage: at\nretain: 7 days\n' | policy leaves
}
size_leaves=400
about_leaves='a root with so many leaves, 200 rows each, live'
leaves() { load_leaves "$1" ""; sweep leaves; }
size_leaves_locks=400
about_leaves_locks='the same: median of locks per DELETE'
leaves_locks() {
    load_leaves "$1" "CREATE TRIGGER note AFTER DELETE ON t FOR EACH STATEMENT EXECUTE FUNCTION note();"
    sweep leaves --chunk 1000
    result=$(sql -d work -c "SELECT percentile_disc(0.5) WITHIN GROUP (ORDER BY locks) FROM noted")
}

version=$(sql -c "SHOW server_version")
echo "pgsweep on PostgreSQL $version, SCALE $SCALE, $(nproc) processors; ms (or what is named), one run each"
printf '%-70s %9s %9s %9s %7s %6s\n' '' 'size' 'at 1/10' 'at size' 'ratio' '<= 12'
for shape in $SHAPES; do
    size_name=size_$shape about_name=about_$shape note='' result=''
    size=$(scaled "${!size_name}")
    "$shape" $((size / 10 > 4 ? size / 10 : 4))
    small=$result
    "$shape" "$size"
    ratio=$(awk -v a="${result#>}" -v b="${small#>}" 'BEGIN { printf "%.1f", (b > 0) ? a / b : 0 }')
    met=$(awk -v r="$ratio" 'BEGIN { print (r <= 12) ? "met" : "MISSED" }')
    printf '%-70s %9s %9s %9s %7s %6s  %s\n' "${!about_name}" "$size" "$small" "$result" "$ratio" "$met" "$note"
done
