/* What follows from a failed chunk: again, smaller, set aside, or the end. A lost connection:
 * lost.c. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/gate.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_dead_letters.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

enum { BACKOFF_BASE_MS = 100, BACKOFF_CAP_MS = 10000 };

void sweep_back_off(struct sweep *sweep, int attempt)
{
    sweep->report->retries++;
    state_wait(sweep->state, clock_backoff_ms(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
}

int sweep_tries_allowed(const struct sweep *sweep, const struct error *why)
{
    /* What ran into the statement's timeout took so long that it is not done over and over again.
     */
    bool slow = sqlstate_is(why, SQLSTATE_QUERY_CANCELED);
    return sweep->recovery.impatient || slow ? 1 : sweep->budget->retries;
}

static bool give_up(struct chunk *chunk, struct error *err)
{
    error_move(err, &chunk->error);
    if (err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED; /* something may have been deleted before */
    return false;
}

const char **sweep_failing_key(struct sweep *sweep, const struct chunk *chunk)
{
    const struct plan *plan = sweep->plan;
    if (chunk->key_count == 1)
        return chunk->keys[0];
    if (chunk->end.columns != plan->cursor_count)
        return NULL;
    /* In a range the cursor's last columns are the key; one of them may be the age itself. */
    const char **values = mem_array(chunk->ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        for (size_t i = 0; i < plan->cursor_count; i++)
            if (plan->cursor[i] == plan->key[k])
                values[k] = chunk->end.values[i];
    return values;
}

const char **key_copy(const void *ctx, const struct plan *plan, const char *const *key)
{
    const char **copy = mem_array(ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        copy[k] = mem_strdup(ctx, key[k]);
    return copy;
}

struct failure failure_new(const void *ctx, const struct plan *plan, const char *const *key,
                           struct error *why)
{
    struct failure failure = {key_copy(ctx, plan, key), error_new(ctx)};
    error_move(failure.why, why);
    return failure;
}

bool key_is(const struct plan *plan, const char *const *a, const char *const *b)
{
    for (size_t k = 0; k < plan->key_count; k++)
        if (strcmp(a[k], b[k]) != 0)
            return false;
    return true;
}

bool sweep_failed_before(const struct sweep *sweep, const char *const *key)
{
    for (size_t i = 0; i < sweep->set_aside.count; i++)
        if (key_is(sweep->plan, sweep->set_aside.keys[i], key))
            return true;
    return false;
}

static void remember_failed(struct sweep *sweep, const char *const *key)
{
    if (sweep->set_aside.count >= SWEEP_FAILED_KEYS_MAX)
        return;
    size_t i = mem_grow(sweep->report, &sweep->set_aside.keys, &sweep->set_aside.count);
    sweep->set_aside.keys[i] = key_copy(sweep->report, sweep->plan, key);
}

bool sweep_all_fail(const struct sweep *sweep)
{
    return sweep->set_aside.in_a_row >= sweep->budget->max_failed;
}

bool sweep_insist(struct sweep *sweep, sweep_act *act, void *arg, struct error *err)
{
    bool done = false, ok = true;
    sweep->recovery.tries = 0;
    while (ok && !done) {
        struct chunk *none = chunk_new(sweep);
        done = act(sweep, arg, &none->error);
        if (!done)
            ok = sweep_failed(sweep, none, err);
        chunk_free(none);
        if (stop_requested())
            break;
    }
    sweep->recovery.tries = 0;
    return ok;
}

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
    remember_failed(sweep, failure->key);
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

void sweep_skip(struct sweep *sweep, const struct chunk *chunk)
{
    cursor_reset(&sweep->position.cursor);
    sweep->position.cursor = cursor_copy(sweep->report, &chunk->end);
    sweep->position.high.known = false;
    sweep->recovery.tries = 0;
    sweep->recovery.losses = 0;
    if (sweep->pace.singly > 0)
        sweep->pace.singly--;
}

/* A single candidate cannot go: it is reported, and the sweep goes on behind it. */
static bool set_aside(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct failure failure = {sweep_failing_key(sweep, chunk), &chunk->error};
    if (!failure.key)
        return give_up(chunk, err);
    sweep_skip(sweep,
               chunk); /* first: writing the letter may find that the sweep has to begin again */
    return sweep_set_aside(sweep, &failure, err);
}

/* A candidate of this chunk cannot go: look for it by halving. */
static bool isolate(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    bool known = chunk->end.columns > 0 || chunk->key_count > 0 || chunk->last;
    if (!known)
        return give_up(chunk, err); /* not even finding the candidates worked */
    if (chunk->asked <= 1 && (sweep->pace.exact || chunk->key_count == 1))
        return set_aside(sweep, chunk, err);
    sweep->pace.exact = true;
    sweep->pace.rows = chunk->asked > 1 ? chunk->asked / 2 : 1;
    sweep->position.high.known = false;
    sweep->recovery.tries = 0;
    return true;
}

static bool again(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    bool known = chunk->end.columns > 0 || chunk->key_count > 0 || chunk->last;
    if (known && locked_is(&chunk->error)) {
        locked_failed(sweep, chunk);
        return true;
    }
    if (++sweep->recovery.tries > sweep_tries_allowed(sweep, &chunk->error)) {
        sweep->recovery.impatient = true;
        return isolate(sweep, chunk, err);
    }
    sweep_back_off(sweep, sweep->recovery.tries);
    return true;
}

/* More rows than a transaction may delete: the end of the range is looked up again, exactly; if
 * that was not enough, the chunk is locked row by row, up to its number. */
static bool bound_again(struct sweep *sweep)
{
    db_rollback(sweep->db);
    sweep->locked.row_by_row = sweep->pace.exact;
    sweep->pace.exact = true;
    sweep->position.high.known = false;
    return true;
}

/* True for errors that come from a changed schema: a table, column, function or operator that is
 * not there any more, or a result that has another type than before. A new plan says it better, if
 * it does not cure it. */
static bool may_be_cured(const struct sweep *sweep, const struct error *why)
{
    return !sweep->replan.under_way && sweep->replan.times == 0 &&
           (sqlstate_is_of(why, SQLSTATE_CLASS_SYNTAX) ||
            sqlstate_is(why, SQLSTATE_FEATURE_NOT_SUPPORTED));
}

static bool recompile(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    if (chunk->fatal) {
        chunk->end = (struct cursor){NULL, 0}; /* some of its rows are left */
        chunk->candidates = chunk->added[0];
        chunk_committed(sweep, chunk);
    }
    db_rollback(sweep->db);
    bool ok = sweep_recompile(sweep, err);
    if (!ok && !*err->sqlstate && !chunk->plan_changed)
        error_sqlstate(err, chunk->error.sqlstate);
    return ok;
}

/* What was left to a foreign key refuses the candidates: is that key another one by now? The plan
 * is looked at at the end of a transaction, which this one did not reach. */
static bool key_has_changed(struct sweep *sweep, const struct chunk *chunk)
{
    if (!plan_has_cascades(sweep->plan) || !sqlstate_is_of(&chunk->error, SQLSTATE_CLASS_INTEGRITY))
        return false;
    struct error err = ERROR_INIT;
    struct db_step check = work_check_step(sweep, chunk->ctx);
    db_rollback(sweep->db);
    bool changed = !gate_batch(sweep->gate, chunk->ctx, &check, 1, NULL, &err) &&
                   sqlstate_is(&err, SQLSTATE_INVALID_TEXT_REPRESENTATION);
    error_clear(&err);
    return changed;
}

/* The session does not count what it deletes (somebody has switched track_counts off): from here on
 * each dependent's rows are deleted by a statement, whose command tag tells their number. */
static bool count_otherwise(struct sweep *sweep, struct error *err)
{
    db_rollback(sweep->db);
    sweep->replan.by_statement = true;
    return sweep_recompile(sweep, err);
}

bool sweep_failed(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    if (chunk->uncounted)
        return count_otherwise(sweep, err);
    if (chunk->plan_changed || may_be_cured(sweep, &chunk->error) || key_has_changed(sweep, chunk))
        return recompile(sweep, chunk, err);
    if (chunk->too_many)
        return bound_again(sweep);
    /* What has no candidates in hand waits for tables only. */
    if (chunk->table_locked || (chunk->asked == 0 && db_failed_for_lock(&chunk->error)))
        return sweep_wait_for_table(sweep, chunk, err);
    if (chunk->fatal) {
        chunk_committed(sweep, chunk);
        return give_up(chunk, err);
    }
    enum db_failure class = db_failure_class(sweep->db, &chunk->error);
    bool lost = class == DB_FAILURE_CONNECTION;
    if (!lost)
        db_rollback(sweep->db);
    if (stop_forced() || class == DB_FAILURE_CANCELLED) {
        if (!lost)
            return true; /* the loop sees the signal and ends */
    }
    switch (class) {
    case DB_FAILURE_TRANSIENT:
        return again(sweep, chunk, err);
    case DB_FAILURE_CONNECTION:
        return sweep_reconnect(sweep, chunk, err);
    case DB_FAILURE_ROW:
        return isolate(sweep, chunk, err);
    default:
        return give_up(chunk, err);
    }
}
