/* The loop over chunks and passes. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/effects_directories.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/mem.h"
#include "pgsweep/state.h"
#include "pgsweep/state_dead_letters.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/stop.h"

/* After the first pass, rows that were locked or became eligible meanwhile are tried again: as long
 * as some go, and after this many passes in which none did, or so many in all, no more. */
enum { IDLE_PASSES = 3, PASSES_MAX = 20, PASS_PAUSE_MS = 250 };

/* Keys that wait in the queue when this many have come together; the rest goes at the end. */
enum { DRAIN_EVERY = 50000 };

#define UNDRAINED "the queue could not be drained: %s"

static bool drain_queue(struct sweep *sweep, void *arg, struct error *err)
{
    struct report *report = sweep->report;
    const char *policy = report->policy->name;
    (void)arg;
    bool ok =
        sweep_settle(sweep, err) &&
        (!sweep->plan->has_objects || objects_drain(sweep->state, report, policy, NULL, err)) &&
        (!sweep->plan->directory ||
         directories_drain(sweep->state, report, policy, &report->policy, 1, err));
    /* Told even if a second try with a new plan succeeds: what the first one has touched is not due
     * in the second. */
    if (!ok && db_failure_class(sweep->db, err) == DB_FAILURE_FATAL)
        report_note_undrained(report, UNDRAINED, error_text(report, err, "; "));
    return ok;
}

/* Neither the object store nor the file system is a reason to stop: what they refuse stays queued.
 * On the way a lost connection is the next chunk's trouble; at the end it is made again. */
static void drain(struct sweep *sweep, bool end)
{
    struct error err = ERROR_INIT;
    const struct report_objects before = sweep->report->objects;
    if ((!sweep->plan->has_objects && !sweep->plan->directory) ||
        (!end && (sweep->queue.undrained < DRAIN_EVERY || sweep->queue.store_fails)))
        return;
    sweep->queue.undrained = 0;
    sweep->report->undrained = false;
    bool ok = end ? sweep_insist(sweep, drain_queue, NULL, &err) : drain_queue(sweep, NULL, &err);
    if (!ok && !sweep->report->undrained && (end || !db_is_lost(sweep->db)))
        report_note_undrained(sweep->report, UNDRAINED, error_text(sweep->report, &err, "; "));
    error_clear(&err);
    const struct report_objects *after = &sweep->report->objects;
    sweep->queue.store_fails = after->failed > before.failed && after->deleted == before.deleted;
    if (end && stop_requested() && after->waiting > 0)
        sweep->report->signal = stop_signal();
}

/* Between chunks: may the next one begin? */
static bool may_go_on(struct sweep *sweep)
{
    const struct sweep_budget *budget = sweep->budget;
    struct report *report = sweep->report;
    if (stop_requested()) {
        report->signal = stop_signal();
        return false;
    }
    if (budget->max_rows > 0 && sweep->pace.taken >= budget->max_rows) {
        report->limit = "max-rows";
        return false;
    }
    if (budget->max_runtime_ms > 0 &&
        clock_now_ms() - sweep->pace.started_ms >= budget->max_runtime_ms) {
        report->limit = "max-runtime";
        return false;
    }
    if (sweep_all_fail(sweep)) {
        report->limit = "max-failed";
        report_remark(
            report,
            "%lld candidates in a row failed and not one went: something may be wrong with all of "
            "them; the rest was not tried",
            (long long)sweep->set_aside.in_a_row);
        return false;
    }
    return true;
}

static enum chunk_outcome try_chunk(struct sweep *sweep, struct chunk *chunk)
{
    if (sweep->suspects.control_due)
        return control_chunk(sweep, chunk);
    if (sweep->plan->strategy == STRATEGY_RANGE && !sweep->locked.row_by_row &&
        sweep->position.pass == 1)
        return range_chunk(sweep, chunk);
    return sweep->plan->by_row ? rows_chunk(sweep, chunk) : locked_chunk(sweep, chunk);
}

/* A chunk has taken effect. */
static void chunk_done(struct sweep *sweep, struct chunk *chunk, struct pace_spent spent)
{
    chunk_committed(sweep, chunk);
    if (sweep->suspects.control_due)
        sweep->suspects.control_due = false;
    else if (sweep->pace.singly > 0)
        sweep->pace.singly--;
    else
        pace_adjust(sweep, spent);
}

/* The rows of the chunk that cannot go; the sweep goes on behind them. */
static bool set_aside_failures(struct sweep *sweep, const struct chunk *chunk, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && i < chunk->failure_count && !sweep_all_fail(sweep); i++)
        ok = sweep_set_aside(sweep, &chunk->failures[i], err);
    return ok;
}

/* One chunk. *end: nothing is left in this pass. */
static bool sweep_chunk(struct sweep *sweep, bool *end, struct error *err)
{
    struct chunk *chunk = chunk_new(sweep);
    struct pace_start_of begun = pace_begin(sweep);
    enum chunk_outcome outcome = try_chunk(sweep, chunk);
    bool ok = true;
    if (outcome == CHUNK_ERROR) {
        ok = sweep_recover(sweep, chunk, err) && sweep_insist_on_plan(sweep, err) &&
             set_aside_failures(sweep, chunk, err);
        *end = chunk->committed && chunk->last; /* it turned out to have taken effect */
    } else if (outcome == CHUNK_DONE) {
        chunk_done(sweep, chunk, pace_end(sweep, begun));
        ok = set_aside_failures(sweep, chunk, err) &&
             (chunk->last || chunk->end.columns == 0 || circle_check(sweep, err));
        *end = chunk->last;
    } else {
        *end = true;
    }
    chunk_free(chunk);
    return ok;
}

/* Between two chunks: whether the next one may begin, after what there is to wait for. */
static bool may_begin(struct sweep *sweep, bool *may, struct error *err)
{
    *may = sweep->suspects.control_due ? !stop_requested() : may_go_on(sweep);
    if (!*may || sweep->suspects.control_due)
        return true;
    if (!throttle_hold(sweep, err))
        return false;
    *may = !sweep->report->limit && may_go_on(sweep);
    return true;
}

static bool sweep_pass(struct sweep *sweep, struct error *err)
{
    bool end = false, may;
    sweep->position.pass++;
    sweep->report->looked_up = false;
    sweep->pace.singly = 0;
    locked_begin_pass(sweep);
    sweep_walk_anew(sweep);
    while (!end) {
        if (!may_begin(sweep, &may, err))
            return false;
        if (!may)
            break;
        if (!sweep_chunk(sweep, &end, err))
            return false;
        if (sweep->suspects.proven && !sweep_confirm(sweep, err))
            return false;
        if (sweep->durability.rewound) {
            /* The cursor stands at the beginning again. */
            sweep->durability.rewound = false;
            end = false;
        }
        drain(sweep, false);
        durable_settle_in_time(sweep);
        if (!end)
            state_wait(sweep->state, sweep->budget->pause_ms);
    }
    /* Nothing goes behind the last suspects: that the control went through has to do. */
    return stop_requested() || sweep->suspects.control_due || sweep_confirm(sweep, err);
}

static bool count_remaining(struct sweep *sweep, void *arg, struct error *err)
{
    const struct report *report = sweep->report;
    stop_cancel_early(true);
    bool ok = !stop_requested() && plan_count_remaining(sweep->db, sweep->plan,
                                                        report->failed > 0 ? report->run_id : NULL,
                                                        REPORT_LEFT_MAX, arg, err);
    stop_cancel_early(false);
    return ok || stop_requested();
}

/* Candidates that are still there, apart from those that failed. */
static bool count_left(struct sweep *sweep, int64_t *left, struct error *err)
{
    *left = 0;
    bool ok = sweep_insist(sweep, count_remaining, left, err);
    if (stop_requested())
        sweep->report->signal = stop_signal();
    sweep->report->looked_up = ok && !stop_requested();
    return ok;
}

/* What a limit left is counted; one that was reached with the very last candidate has stopped
 * nothing. */
static bool check_limit(struct sweep *sweep, struct error *err)
{
    struct report *report = sweep->report;
    if (!report->limit || report->signal)
        return true;
    if (!count_left(sweep, &report->left, err))
        return false;
    if (report->left == 0)
        report->limit = report->limit_detail = NULL;
    return true;
}

/* Passes until the database says that nothing is left that could go now. */
static bool sweep_passes(struct sweep *sweep, struct error *err)
{
    struct report *report = sweep->report;
    int64_t left = 0;
    int idle = 0;
    sweep->position.pass = 0;
    sweep->durability.rewound = false;
    bool ok = sweep_pass(sweep, err);
    while (ok && !report->signal && !report->limit && report->failed <= SWEEP_FAILED_KEYS_MAX) {
        int64_t before = report->deleted[0] + report->failed;
        ok = count_left(sweep, &left, err);
        if (!ok || left == 0 || idle >= IDLE_PASSES - 1 || sweep->position.pass >= PASSES_MAX)
            break;
        state_wait(sweep->state, PASS_PAUSE_MS * (int64_t)idle);
        ok = sweep_pass(sweep, err);
        idle = report->deleted[0] + report->failed == before ? idle + 1 : 0;
    }
    report->left_locked = ok && !report->signal && !report->limit ? left : 0;
    return ok && (report->left_locked == 0 || sweep_insist(sweep, locked_name, NULL, err));
}

static bool record_spared(struct sweep *sweep, void *arg, struct error *err)
{
    (void)arg;
    stop_cancel_early(true);
    bool ok = !stop_requested() && spared_record(sweep->state, sweep->plan, err);
    stop_cancel_early(false);
    if (!ok && stop_requested())
        error_clear(err); /* no chunk is going to begin */
    return ok || stop_requested();
}

static bool settle(struct sweep *sweep, void *arg, struct error *err)
{
    (void)arg;
    return sweep_settle(sweep, err);
}

/* Round trips are cheap when the server is on this machine or next to it. */
static bool is_near(const struct db *db)
{
    enum { NEAR_MICROSECONDS = 700 };
    const char *pretend = getenv("PGSWEEP_TEST_DISTANCE"); /* for the tests: "near" or "far" */
    return pretend ? strcmp(pretend, "near") == 0 : db_round_trip_us(db) < NEAR_MICROSECONDS;
}

bool sweep_run(struct db *db, struct state *state, const struct plan *plan,
               const struct sweep_budget *budget, struct progress *progress, struct report *report,
               struct error *err)
{
    struct sweep *sweep = mem_new(report, struct sweep);
    *sweep = (struct sweep){.db = db,
                            .gate = state_gate(state),
                            .state = state,
                            .plan = plan,
                            .budget = budget,
                            .progress = progress,
                            .report = report,
                            .pace = {.started_ms = clock_now_ms()},
                            .durability = {.settled_ms = clock_now_ms()}};
    /* A chunk does not wait for the disk, unless there is time for it: what follows a commit and
     * cannot be undone does. */
    sweep->pace.near = is_near(db);
    if (!db_set_async(db, budget->pause_ms == 0, err) || !sweep_take_plan(sweep, plan, err))
        return false;
    pace_start(sweep);
    throttle_start(sweep);
    bool ok = sweep_insist(sweep, record_spared, NULL, err);
    do
        /* Nothing is reported as gone before it is known to stay gone. */
        ok = ok && sweep_passes(sweep, err) && sweep_insist(sweep, settle, NULL, err);
    while (ok && sweep->durability.rewound && !stop_requested());
    ok = ok && check_limit(sweep, err);
    if (!ok && stop_requested())
        report->signal = stop_signal();
    if (sweep->set_aside.parked > 0)
        report_remark(
            report,
            "%lld rows have failed %d times and are parked for a person (pgsweep dlq list %s)",
            (long long)sweep->set_aside.parked, LETTER_RETRIES + 1, report->policy->name);
    if (ok)
        drain(sweep, true);
    else if (db_is_lost(db))
        durable_tell(sweep);
    /* A signal that came while it was drained has stopped something only if something is left. */
    if (ok && stop_requested() && report->objects.waiting + report->directories.waiting > 0)
        report->signal = stop_signal();
    progress_clear(progress);
    struct error ignored = ERROR_INIT;
    if (!db_set_async(db, false, &ignored))
        error_clear(&ignored); /* the connection is lost: the next one begins so */
    return ok;
}
