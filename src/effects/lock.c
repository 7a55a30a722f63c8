/* One run of a policy at a time, on any host: a session-level advisory lock. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

/* "pgsw" in the upper half, a hash of the policy's name in the lower (FNV-1a, 32 bits). */
int64_t run_lock_key(const char *policy)
{
    uint32_t hash = 2166136261u;
    for (const char *p = policy; *p; p++)
        hash = (hash ^ (uint32_t)(unsigned char)*p) * 16777619u;
    return (int64_t)(((uint64_t)0x70677377u << 32) | hash);
}

/* The holder, as far as the role may see it, with its run record where there is one. */
static const char holder_sql[] =
    "SELECT l.pid, coalesce(a.application_name, ''),"
    "       coalesce(r.started, a.backend_start)::pg_catalog.timestamptz(0)::pg_catalog.text,"
    "       coalesce(r.host, a.client_hostname, pg_catalog.host(a.client_addr), 'the database server'),"
    "       coalesce(r.role, a.usename, '')"
    "  FROM pg_catalog.pg_locks AS l"
    "  LEFT JOIN pg_catalog.pg_stat_activity AS a ON a.pid = l.pid"
    "  LEFT JOIN pgsweep.runs AS r ON a.application_name = 'pgsweep/' || r.policy || '/' || r.run_id"
    " WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1"
    "   AND l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d"
    "                      WHERE d.datname = pg_catalog.current_database())"
    "   AND l.classid = ($1::pg_catalog.int8 >> 32)::pg_catalog.oid"
    "   AND l.objid = ($1::pg_catalog.int8 & 4294967295)::pg_catalog.oid";

static bool find_holder(struct db *db, const void *ctx, const char *policy, struct db_rows **rows,
                        struct error *err)
{
    char *key = mem_printf(ctx, "%lld", (long long)run_lock_key(policy));
    const char *params[] = {key};
    return db_query(db, ctx, holder_sql, 1, params, rows, err);
}

static bool refuse(struct db *db, const char *policy, struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool known = find_holder(db, scratch, policy, &rows, err) && db_rows_count(rows) > 0;
    error_set(err, SWEEP_LOCKED, "another run of policy %s is under way in %s", policy, db_where(db));
    if (known)
        error_detail(err, "Held by %s on %s, started %s, role %s, server process %s.",
                     db_rows_get(rows, 0, 1), db_rows_get(rows, 0, 3),
                     db_rows_get(rows, 0, 2) ? db_rows_get(rows, 0, 2) : "at an unknown time",
                     db_rows_get(rows, 0, 4), db_rows_get(rows, 0, 0));
    error_hint(err, "Nothing was deleted. Wait for it to finish; the next run takes what is left.");
    talloc_free(scratch);
    return false;
}

bool run_lock(struct db *db, const char *policy, struct error *err)
{
    bool got = false;
    if (!db_try_lock(db, run_lock_key(policy), &got, err))
        return false;
    return got || refuse(db, policy, err);
}

/* Ends the session that this run lost, if the server still has it. */
static bool end_lost_session(struct db *db, const char *policy, const char *run_id,
                             struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool ok = find_holder(db, scratch, policy, &rows, err);
    if (ok && db_rows_count(rows) > 0) {
        char *own = mem_printf(scratch, "pgsweep/%s/%s", policy, run_id);
        const char *params[] = {db_rows_get(rows, 0, 0)};
        if (strcmp(db_rows_get(rows, 0, 1), own) == 0)
            ok = db_query(db, scratch, "SELECT pg_catalog.pg_terminate_backend($1::pg_catalog.int4)",
                          1, params, NULL, err);
    }
    talloc_free(scratch);
    return ok;
}

bool run_lock_again(struct db *db, const char *policy, const char *run_id, int64_t wait_ms,
                    struct error *err)
{
    int64_t end = clock_now_ms() + wait_ms;
    for (;;) {
        bool got = false;
        if (!db_try_lock(db, run_lock_key(policy), &got, err))
            return false;
        if (got)
            return true;
        if (!end_lost_session(db, policy, run_id, err))
            return false;
        if (clock_now_ms() >= end || stop_forced())
            return refuse(db, policy, err);
        clock_sleep_ms(50);
    }
}
