#!/usr/bin/env bash
# A tour of pgsweep on a throwaway PostgreSQL with sample data: dry run, live run, and a second live
# run that finds nothing, for both built-in policies. Installs what is missing, builds, checks the
# effect of each step in SQL, and leaves nothing behind. BUILD: the build directory (build).
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
cd "$root"
export BUILD="${BUILD:-build}"
unset MAKEFLAGS MFLAGS MAKELEVEL

place=''
clean_up() {
    local code=$?
    trap - EXIT
    [[ -z $place ]] || tools/throwaway-pg.sh stop "$place" || true
    exit "$code"
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

bold='' plain=''
if [[ -t 1 ]]; then
    bold=$'\e[1m' plain=$'\e[0m'
fi

say() { printf '\n%s%s%s\n' "$bold" "$*" "$plain"; }

# Prints a command as one would type it, and runs it.
show() {
    printf '\n%s$ %s%s\n' "$bold" "$*" "$plain"
    "$@"
}

value() { psql -X -A -t -q -v ON_ERROR_STOP=1 -c "$1"; }

# check WHAT SQL: the SQL must give true.
check() {
    if [[ $(value "$2") == t ]]; then
        echo "  checked: $1"
    else
        echo "demo: error: not so: $1" >&2
        exit 1
    fi
}

tools/deps.sh build test
mkdir -p "$BUILD"
flock "$BUILD" make -s -j2 BUILD="$BUILD" all
bin=$(cd "$BUILD" && pwd)
PATH=$bin:$PATH

say "A throwaway PostgreSQL with a sample application"
place=$(mktemp -d /tmp/pgsweep-demo.XXXXXX)
# Nothing of the caller's own connection settings reaches the demo.
for name in $(compgen -e | grep -E '^(PG|PGSWEEP_)' || true); do
    unset "$name"
done
exports=$(tools/throwaway-pg.sh start --while $$ "$place")
eval "$exports"
value "CREATE DATABASE demo"
export PGDATABASE=demo
# The only role here, of a server that goes with the demo.
export PGSWEEP_SUPERUSER=allow
for file in tests/integration/sql/jobs.sql tests/integration/sql/auth.sql tools/demo/jobs.sql tools/demo/accounts.sql; do
    psql -X -q -v ON_ERROR_STOP=1 -f "$file" >/dev/null
done
value "CREATE SCHEMA demo;
       CREATE TABLE demo.jobs AS SELECT * FROM jobs;
       CREATE TABLE demo.users AS SELECT u.*, EXISTS (SELECT FROM session s WHERE s.user_id = u.id
           AND s.updated_at >= now() AT TIME ZONE 'UTC' - interval '30 days') AS active FROM \"user\" u"
value "SELECT format('  a render queue: %s jobs of the last 30 days, %s log lines',
                     (SELECT count(*) FROM jobs), (SELECT count(*) FROM job_logs))"
value "SELECT format('  an app: %s users (%s anonymous), %s sessions, %s accounts',
                     count(*), count(*) FILTER (WHERE is_anonymous),
                     (SELECT count(*) FROM session), (SELECT count(*) FROM account)) FROM \"user\""

say "1. Once per database: the schema in which pgsweep records its runs"
show pgsweep init

say "2. Jobs that finished more than 7 days ago: first only a look"
show pgsweep jobs --dry-run
check "the dry run changed nothing" "SELECT (SELECT count(*) FROM jobs) = 20000"

say "3. The same for good"
show pgsweep jobs
check "every job that is still active is there" "SELECT NOT EXISTS (SELECT FROM demo.jobs d
    WHERE (status IS NULL OR status IN ('queued', 'rendering', 'processing'))
      AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = d.id))"
check "every job of the last 7 days is there" "SELECT NOT EXISTS (SELECT FROM demo.jobs d
    WHERE created_at >= now() - interval '7 days' AND NOT EXISTS (SELECT FROM jobs j WHERE j.id = d.id))"
check "no finished job older than that is left" "SELECT NOT EXISTS (SELECT FROM jobs
    WHERE created_at < now() - interval '7 days' AND status IN ('finished', 'failed', 'cancelled'))"
check "no log line without its job" "SELECT (SELECT count(*) FROM job_logs) = 3 * (SELECT count(*) FROM jobs)"

say "4. A second run finds nothing"
jobs=$(value "SELECT count(*) FROM jobs")
show pgsweep jobs
check "nothing was deleted" "SELECT count(*) = $jobs FROM jobs"

say "5. Anonymous accounts, 30 days old, without a session in the last 30 days"
show pgsweep anonymous --dry-run
check "the dry run changed nothing" "SELECT count(*) = 5000 FROM \"user\""
show pgsweep anonymous
check "every registered user is there" "SELECT count(*) = 2500 FROM \"user\" WHERE NOT is_anonymous"
check "every anonymous user who was active lately is there" "SELECT NOT EXISTS (SELECT FROM demo.users d
    WHERE active AND NOT EXISTS (SELECT FROM \"user\" u WHERE u.id = d.id))"
check "no abandoned one is left" "SELECT NOT EXISTS (SELECT FROM demo.users d JOIN \"user\" u USING (id)
    WHERE d.is_anonymous AND NOT active AND d.created_at < now() AT TIME ZONE 'UTC' - interval '30 days')"
users=$(value "SELECT count(*) FROM \"user\"")
show pgsweep anonymous
check "nothing was deleted" "SELECT count(*) = $users FROM \"user\""

tools/throwaway-pg.sh stop "$place"

say "What you saw"
cat <<END
  A dry run counts exactly what a live run deletes, and changes nothing. A live run deletes
  chunk by chunk, with what depends on each row, spares what is still in use and says so.
  A second run finds nothing. The server of this demo is gone now, with its data.

Try it on your own database (the first command only reads):
  $BUILD/pgsweep jobs --dry-run -d "host=... dbname=... user=..."
  $BUILD/pgsweep init -d "..."      # once, as a role that may create a schema
  $BUILD/pgsweep jobs -d "..."
  $BUILD/pgsweep show jobs          # the policy; copy it, edit it, and use --policy-dir
END
