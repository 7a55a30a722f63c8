/* One run of a policy at a time, on any host. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

static const char LOCK[] = "sql/lock.sql";

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

static bool refuse(struct db *db, const char *policy, const struct lease_facts *facts,
                   struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool known =
        facts->session && find_holder(db, scratch, policy, &rows, err) && db_rows_count(rows) > 0;
    error_clear(err);
    error_set(err, SWEEP_LOCKED, "another run of policy %s is under way in %s", policy,
              db_where(db));
    if (known)
        error_detail(err, "Held by %s on %s, started %s, role %s, server process %s.",
                     db_rows_get(rows, 0, 1), db_rows_get(rows, 0, 3),
                     db_rows_get(rows, 0, 2) ? db_rows_get(rows, 0, 2) : "at an unknown time",
                     db_rows_get(rows, 0, 4), db_rows_get(rows, 0, 0));
    else if (facts->application)
        error_detail(err, "Held by %s on %s, started %s, role %s, through a connection pooler.",
                     facts->application, facts->host, facts->since, facts->role);
    error_hint(err, "Nothing was deleted. Wait for it to finish; the next run takes what is left.");
    talloc_free(scratch);
    return false;
}

/* A run that was killed cannot give its lease back. One that is alive renews it. */
static bool outlive(struct state *state, const char *policy, const struct lease_facts *first,
                    struct error *err)
{
    enum { LOOK_EVERY_MS = 200, LONGEST_MS = 70 * 1000 };
    int64_t end = clock_now_ms() + LONGEST_MS;
    bool got = false;
    text_tell("warning",
              "policy %s: waiting for the lease of %s on %s to end, in at most %lld s: it holds "
              "the lock, if it is still alive",
              policy, first->application, first->host,
              (long long)(first->ends_in_ms > 0 ? first->ends_in_ms / 1000 + 1 : 60));
    for (;;) {
        void *scratch = talloc_new(state);
        struct lease_facts facts;
        clock_sleep_ms(LOOK_EVERY_MS);
        bool ok = lease_try(state, scratch, policy, &facts, &got, err);
        bool alive =
            !got && (facts.session || !facts.expires || strcmp(facts.expires, first->expires) != 0);
        if (ok && !got && (alive || stop_requested() || clock_now_ms() >= end))
            ok = refuse(state->db, policy, &facts, err);
        talloc_free(scratch);
        if (!ok || got)
            return ok;
    }
}

bool run_lock(struct state *state, const char *policy, struct error *err)
{
    void *scratch = talloc_new(state);
    struct lease_facts facts;
    bool got = false;
    bool ok = lease_try(state, scratch, policy, &facts, &got, err);
    if (ok && !got)
        ok = facts.session || !facts.expires || !facts.leased
                 ? refuse(state->db, policy, &facts, err)
                 : outlive(state, policy, &facts, err);
    talloc_free(scratch);
    return ok;
}

void run_unlock(struct state *state, const char *policy)
{
    lease_end(state, policy);
}

/* Ends the session that this run lost, if the server still has it. */
static bool end_lost_session(struct db *db, const char *policy, const char *run_id,
                             struct error *err)
{
    void *scratch = talloc_new(db);
    char *own = run_application_name(scratch, policy, run_id);
    const char *params[] = {own};
    bool ok = db_query(db, scratch, template_fill(scratch, LOCK, "end_session", NULL), 1, params,
                       NULL, err);
    talloc_free(scratch);
    return ok;
}

bool run_lock_again(struct state *state, const char *policy, const char *run_id, int64_t wait_ms,
                    struct error *err)
{
    int64_t end = clock_now_ms() + wait_ms;
    for (;;) {
        void *scratch = talloc_new(state);
        char *before = run_application_name(scratch, policy, run_id);
        struct lease_facts facts;
        bool got = false;
        bool ok = lease_try_again(state, scratch, policy, before, &facts, &got, err);
        bool others = facts.application && !facts.session && !facts.locked;
        if (ok && !got)
            ok = end_lost_session(state->db, policy, run_id, err);
        if (ok && !got && (others || clock_now_ms() >= end || stop_forced()))
            ok = refuse(state->db, policy, &facts, err);
        talloc_free(scratch);
        if (!ok || got)
            return ok;
        clock_sleep_ms(50);
    }
}
