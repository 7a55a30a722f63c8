/* Sets candidates aside: a dead letter for each, once in a run. */
#include "internal.h"
#include "pgsweep/state_dead_letters.h"

/* A dead letter to write, and what became of it. */
struct letter {
    const struct failure *failure;
    int64_t attempts;
    bool parked;
};

static bool write_letter(struct sweep *sweep, void *arg, struct error *err)
{
    struct letter *letter = arg;
    return letter_note(sweep->state, sweep->report, letter->failure->key, letter->failure->why,
                       &letter->attempts, &letter->parked, err);
}

bool sweep_set_aside(struct sweep *sweep, const struct failure *failure, struct error *err)
{
    struct report *report = sweep->report;
    const char *table = sweep->plan->nodes[0]->table.label;
    struct letter letter = {.failure = failure};
    /* After a crash of the server the sweep may come by again. */
    if (sweep_failed_before(sweep, failure->key))
        return true;
    char *text = key_text(report, sweep->plan, failure->key);
    report_add_failure(report, text, failure->why);
    sweep_remember_failed(sweep, failure->key);
    sweep->pace.taken++;
    if (!sweep_insist(sweep, write_letter, &letter, err))
        return error_prefix(err, "the dead letter of %s %s could not be written", table, text);
    /* One that failed in an earlier run too tells nothing about the others. */
    sweep->set_aside.in_a_row += letter.attempts == 1;
    sweep->set_aside.parked += letter.parked;
    if (sweep->budget->verbose) {
        progress_clear(sweep->progress);
        report_log(report, "failed %s %s: %s", table, text, error_text(report, failure->why, "; "));
    }
    return true;
}

bool sweep_confirm(struct sweep *sweep, struct error *err)
{
    for (size_t i = 0; i < sweep->suspects.count; i++) {
        sweep->pace.taken--; /* it was counted when it was passed over */
        if (!sweep_set_aside(sweep, &sweep->suspects.rows[i], err))
            return false;
        sweep->suspects.set_aside++;
    }
    sweep->suspects.count = 0;
    sweep->suspects.proven = false;
    return true;
}
