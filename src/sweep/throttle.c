/* Waiting between two chunks, outside any transaction, as long as the policy's "throttle" asks for
 * it; and ending there. What there is to wait for is found out in throttle_look.c. */
#include <string.h>

#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/stop.h"
#include "throttle.h"

/* The database is looked at no more often than the first while chunks go through: a chunk may take
 * 20 ms, and a look 1 ms of the server. The second is for a run that waits. */
enum { LOOK_EVERY_MS = 1000, WAIT_STEP_MS = 500 };

/* Looks, and what it is owned by; act of sweep_insist. */
struct attempt {
    void *ctx;
    struct throttle_found *found;
};

static bool look(struct sweep *sweep, void *arg, struct error *err)
{
    struct attempt *attempt = arg;
    struct throttle *throttle = sweep->throttle;
    if (throttle->plan != sweep->plan)
        throttle_look_at_plan(throttle->look, sweep->plan);
    throttle->plan = sweep->plan;
    stop_cancel_early(true); /* the policy's own condition may take long */
    bool ok =
        throttle_look(throttle->look, sweep->db, attempt->ctx, sweep->report, attempt->found, err);
    stop_cancel_early(false);
    return ok;
}

/* The same until it works. It is no chunk: what counts the tries and losses of one stays. */
static bool insist(struct sweep *sweep, struct attempt *attempt, struct error *err)
{
    const int tries = sweep->recovery.tries, losses = sweep->recovery.losses;
    if (!sweep_insist(sweep, look, attempt, err))
        return false;
    sweep->recovery.tries = tries;
    sweep->recovery.losses = losses;
    return true;
}

bool throttle_checkpoint(struct checkpoints *last, const struct checkpoints *now, bool *under_way)
{
    if (!now->known)
        return false;
    bool asked = last->known && now->requested > last->requested;
    bool done = now->done_ms != last->done_ms;
    bool writes = now->written != last->written;
    *under_way = last->known && !done && (asked || (*under_way && writes));
    *last = *now;
    return *under_way;
}

/* All that holds, as one line; NULL: nothing. */
static char *reasons(const void *ctx, const struct throttle_found *found)
{
    char *text = NULL;
    for (int i = 0; i < REPORT_WAITS; i++)
        if (found->waits[i])
            text = mem_printf(ctx, "%s%s%s: %s", text ? text : "", text ? "; " : "",
                              report_wait_names[i], found->waits[i]);
    return text;
}

/* Adds the time until now to the reasons that held since the last look. */
static void count_wait(struct sweep *sweep, const struct throttle_found *found)
{
    struct report *report = sweep->report;
    struct throttle *throttle = sweep->throttle;
    int64_t now = clock_now_ms();
    int64_t ms = now - throttle->counted_ms;
    throttle->counted_ms = now;
    report->waited_ms += ms;
    for (int i = 0; i < REPORT_WAITS; i++)
        if (found->waits[i])
            throttle_add_wait(report, (enum report_wait)i, ms, found->waits[i]);
}

static void end_at(struct sweep *sweep, const char *limit, const char *detail)
{
    sweep->report->limit = limit;
    sweep->report->limit_detail = mem_strdup(sweep->report, detail);
}

/* One step of the wait. False: it is over, for something else is due. */
static bool wait_step(struct sweep *sweep, const struct throttle_found *found, const char *why)
{
    struct throttle *throttle = sweep->throttle;
    const int64_t max_runtime_ms = sweep->budget->max_runtime_ms;
    const int64_t now = clock_now_ms();
    struct error ignored = ERROR_INIT;
    if (throttle->since_ms == 0) {
        throttle->since_ms = throttle->counted_ms = now;
        /* It may take long: what was deleted is to be on the disk meanwhile. */
        if (!sweep_settle(sweep, &ignored))
            error_clear(&ignored); /* the next look meets the same trouble, and deals with it */
    }
    if (throttle->max_wait_ms > 0 && now - throttle->since_ms >= throttle->max_wait_ms) {
        end_at(sweep, "max-wait", why);
        return false;
    }
    if (max_runtime_ms > 0 && now - sweep->pace.started_ms >= max_runtime_ms)
        return false;
    progress_wait(sweep->progress, sweep->report, why);
    state_wait(sweep->state, WAIT_STEP_MS);
    count_wait(sweep, found);
    return !stop_requested();
}

void throttle_start(struct sweep *sweep)
{
    struct throttle *throttle = mem_new(sweep->report, struct throttle);
    const struct policy *policy = sweep->report->policy;
    throttle->look = throttle_look_new(throttle, policy, sweep->plan, db_server_version(sweep->db));
    throttle->plan = sweep->plan;
    throttle->max_wait_ms =
        policy_limit(&policy->throttle.max_wait, LIMIT_TIME, POLICY_MAX_WAIT).value;
    sweep->throttle = throttle;
}

bool throttle_hold(struct sweep *sweep, struct error *err)
{
    struct throttle *throttle = sweep->throttle;
    bool ok = true, goes_on = true;
    if (clock_now_ms() < throttle->next_ms)
        return true;
    throttle->since_ms = 0;
    while (ok && goes_on) {
        struct throttle_found found;
        struct attempt attempt = {talloc_new(throttle), &found};
        found = (struct throttle_found){.limit = NULL};
        ok = insist(sweep, &attempt, err);
        if (ok &&
            throttle_checkpoint(&throttle->checkpoints, &found.checkpoints, &throttle->checkpoint))
            found.waits[WAIT_CHECKPOINTS] = "a checkpoint that was asked for is being written";
        char *why = ok ? reasons(attempt.ctx, &found) : NULL;
        if (ok && found.limit)
            end_at(sweep, found.limit, found.detail);
        goes_on = ok && !found.limit && why && !stop_requested() && wait_step(sweep, &found, why);
        talloc_free(attempt.ctx);
    }
    if (throttle->since_ms > 0) {
        progress_clear(sweep->progress);
        sweep->recovery.table_tries = 0; /* it has not tried to lock a table meanwhile */
    }
    throttle->next_ms = clock_now_ms() + LOOK_EVERY_MS;
    return ok;
}

/* The policy's own condition must be understood before anything is touched. */
static bool check_own(struct db *db, const struct policy *policy, const char *own,
                      struct error *err)
{
    const struct setting *setting = &policy->throttle.wait_while;
    if (!own || db_check(db, own, err))
        return true;
    if (db_is_lost(db))
        return false;
    error_prefix(err, "%s: wait_while is not understood", setting->origin);
    error_detail(err, "Condition: %s", setting->value);
    return error_hint(err, "It stands alone: it has no row t, and names are looked up in the "
                           "policy's search_path.");
}

bool sweep_check_throttle(struct db *db, const struct plan *plan, struct report *report,
                          struct error *err)
{
    const struct policy *policy = plan->policy;
    void *scratch = talloc_new(report);
    struct throttle_found found;
    const struct throttle_look *all =
        throttle_look_new(scratch, policy, plan, db_server_version(db));
    struct throttle_look *ends = throttle_look_new(scratch, policy, NULL, 0);
    bool ok =
        check_own(db, policy, all->own, err) && throttle_look_once(ends, db, scratch, &found, err);
    if (ok && found.limit && report->dry_run) {
        report_remark(report, "a live run would not begin now because of %s: %s", found.limit,
                      found.detail);
    } else if (ok && found.limit) {
        report->limit = found.limit;
        report->limit_detail = mem_strdup(report, found.detail);
        report->not_begun = true;
    }
    talloc_free(scratch);
    return ok;
}
