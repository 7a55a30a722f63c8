/* One run of a policy at a time, on any host: a session-level advisory lock. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"

static const char LOCK[] = "sql/lock.sql";

/* "pgsw" in the upper half, a hash of the policy's name in the lower (FNV-1a, 32 bits). */
int64_t run_lock_key(const char *policy)
{
    uint32_t hash = 2166136261u;
    for (const char *p = policy; *p; p++)
        hash = (hash ^ (uint32_t)(unsigned char)*p) * 16777619u;
    return (int64_t)(((uint64_t)0x70677377u << 32) | hash);
}

char *run_application_name(const void *ctx, const char *policy, const char *run_id)
{
    enum { SHOWN = 63 }; /* NAMEDATALEN - 1 */
    int room = SHOWN - (int)(strlen("pgsweep//") + strlen(run_id));
    return mem_printf(ctx, "pgsweep/%.*s/%s", room > 0 ? room : 0, policy, run_id);
}

static bool find_holder(struct db *db, const void *ctx, const char *policy, struct db_rows **rows,
                        struct error *err)
{
    char *key = mem_printf(ctx, "%lld", (long long)run_lock_key(policy));
    const char *params[] = {key};
    return db_query(db, ctx, template_fill(ctx, LOCK, "holder", NULL), 1, params, rows, err);
}

static bool refuse(struct db *db, const char *policy, struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool known = find_holder(db, scratch, policy, &rows, err) && db_rows_count(rows) > 0;
    error_set(err, SWEEP_LOCKED, "another run of policy %s is under way in %s", policy,
              db_where(db));
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

void run_unlock(struct db *db, const char *policy)
{
    struct error ignored = ERROR_INIT;
    if (!db_is_lost(db))
        (void)db_unlock(db, run_lock_key(policy), &ignored);
    error_clear(&ignored);
}

/* Ends the session that this run lost, if the server still has it. */
static bool end_lost_session(struct db *db, const char *policy, const char *run_id,
                             struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool ok = find_holder(db, scratch, policy, &rows, err);
    if (ok && db_rows_count(rows) > 0) {
        char *own = run_application_name(scratch, policy, run_id);
        const char *params[] = {db_rows_get(rows, 0, 0)};
        if (strcmp(db_rows_get(rows, 0, 1), own) == 0)
            ok = db_query(db, scratch, template_fill(scratch, LOCK, "end_session", NULL), 1, params,
                          NULL, err);
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
