/* The end of a live run: its dead letters, and its record. */
#include "pgsweep/clock.h"
#include "pgsweep/state_dead_letters.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/stop.h"
#include "run.h"

/* Dead letters after the run, and what their number means. */
static bool settle_letters(struct run *run, struct state *state, struct error *err)
{
    struct report *report = run->report;
    if (report->letter_depth >= 0)
        return true;
    if (!letter_close_settled(state, run->plan, err) ||
        (run->plan->spared_run && !spared_forget(state, run->plan, err)) ||
        !letter_depth(run->db, run->policy->name, &report->letter_depth, err))
        return false;
    report_check_alerts(report);
    report_close(report);
    return true;
}

/* The run is over all the same, so that its record says so: the tables that the policy's dead
 * letters are about may have changed, or be gone. */
static bool finish_unsettled(struct run *run, struct state *state, struct error *why)
{
    struct error ignored = ERROR_INIT;
    db_rollback(run->db);
    if (!run->report->error.message) {
        error_copy(&run->report->error, why);
        run->report->error.code = SWEEP_SOME_FAILED;
        report_close(run->report);
    }
    bool finished = run_finish(state, run->report, &ignored);
    error_clear(&ignored);
    return finished;
}

bool command_record_end(struct run *run, struct state *state, struct error *err)
{
    struct again again = {.retry_for_ms = run->budget.retry_for_ms};
    bool recorded = false;
    for (int attempt = 1;; attempt++) {
        bool reachable = !db_is_lost(run->db) || db_reconnect(run->db, err);
        bool settled = reachable && settle_letters(run, state, err);
        if (settled && run_finish(state, run->report, err))
            return true;
        bool transient = db_failure_class(run->db, err) == DB_FAILURE_TRANSIENT;
        if (transient ? attempt > run->budget.retries || stop_requested()
                      : !command_again(&again, run->db, true, err)) {
            if (reachable && !settled && !db_is_lost(run->db))
                recorded = finish_unsettled(run, state, err);
            break;
        }
        error_clear(err);
        if (transient)
            clock_sleep_ms(clock_backoff_ms(attempt, 100, 10000));
    }
    if (err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED;
    return error_prefix(err, "what is reported is gone, but %s",
                        recorded ? "the dead letters of the policy could not be looked at again"
                                 : "the end of the run could not be recorded");
}
