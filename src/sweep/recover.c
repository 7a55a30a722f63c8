/* Acts on what follows from a failure: the only place that does. What follows is decided in
 * failure.c and lost.c. Nothing here tries the work again: that is for the loops over chunks
 * (sweep.c) and over the tries of an act (insist.c). */
#include <string.h>

#include "decide.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/gate.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

/* The run ends with the failure. */
static bool stop_with(struct error *why, struct error *err)
{
    error_move(err, why);
    if (err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED; /* something may have been deleted before */
    return false;
}

/* The same; what a chunk of single rows has committed counts. Where a new plan was to cure a
 * failure and cannot be made for a reason that has no SQLSTATE, that failure's class tells. */
static bool stop_failed(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    if (chunk->fatal)
        chunk_committed(sweep, chunk);
    stop_with(&chunk->error, err);
    if (sweep->replan.due && !*err->sqlstate && *sweep->replan.cause)
        error_sqlstate(err, sweep->replan.cause);
    return false;
}

static bool stop_table_locked(struct chunk *chunk, struct error *err)
{
    error_move(err, &chunk->error);
    err->code = SWEEP_SOME_FAILED;
    error_prefix(err, "another session keeps a lock on a table that this run needs");
    return error_hint(err, "pg_locks and pg_stat_activity name the session; run again when it is "
                           "done.");
}

/* The connection can be made again, and is lost again: no candidate is to blame for that. */
static bool stop_lost(const struct sweep *sweep, struct error *lost, const char *what,
                      struct error *err)
{
    error_move(err, lost);
    err->code = SWEEP_UNREACHABLE;
    error_prefix(err, "the connection was lost %s", what);
    return error_hint(
        err, "It could be made again each time: the log of the server says why it was lost. %s",
        sweep->suspects.count > 0 ? "No dead letter was written."
                                  : "What was committed before stays; the next run goes on.");
}

/* So many candidates each cost the connection that the run does not look for more. */
static bool stop_enough_lost(const struct sweep *sweep, struct error *lost, struct error *err)
{
    error_move(err, lost);
    err->code = SWEEP_UNREACHABLE;
    error_prefix(err,
                 "%d candidates each cost the connection to the server, and one more does; the run "
                 "ends, so that "
                 "the server has peace",
                 sweep->suspects.set_aside);
    return error_hint(
        err,
        "They are dead letters (pgsweep dlq list %s). The log of the server says why the "
        "connection was lost; the next run goes on.",
        sweep->report->policy->name);
}

static bool stop(struct sweep *sweep, struct chunk *chunk, enum stop_because because,
                 struct error *err)
{
    switch (because) {
    case BECAUSE_TABLE_LOCKED:
        return stop_table_locked(chunk, err);
    case BECAUSE_CONTROL_LOST:
        return stop_lost(sweep, &chunk->error, "over a transaction that deletes nothing, too", err);
    case BECAUSE_LOST_BEFORE:
        return stop_lost(sweep, &chunk->error, "again and again, before it came to a candidate",
                         err);
    case BECAUSE_ALL_SUSPECT:
        return stop_lost(
            sweep, &chunk->error,
            mem_printf(chunk->ctx, "over each of %d candidates in a row", SUSPECTS_MAX + 1), err);
    case BECAUSE_ENOUGH_LOST:
        return stop_enough_lost(sweep, &chunk->error, err);
    default:
        return stop_failed(sweep, chunk, err);
    }
}

static void halve(struct sweep *sweep, const struct chunk *chunk)
{
    sweep->pace.exact = true;
    sweep->pace.rows = chunk->asked > 1 ? chunk->asked / 2 : 1;
    sweep->position.high.known = false;
    sweep->recovery.tries = 0;
}

/* The only candidate of the chunk, with the reason, which moves there. */
static struct failure take_failure(struct sweep *sweep, const void *ctx, struct chunk *chunk)
{
    return failure_new(ctx, sweep->plan, sweep_failing_key(sweep, chunk), &chunk->error);
}

/* Whoever has the chunk in hand writes the dead letter, once the sweep goes on behind it: writing
 * it may find that the sweep has to begin again. */
static void set_aside(struct sweep *sweep, struct chunk *chunk)
{
    size_t i = mem_grow(chunk->ctx, &chunk->failures, &chunk->failure_count);
    chunk->failures[i] = take_failure(sweep, chunk->ctx, chunk);
    chunk_skip(sweep, chunk);
}

/* A control follows: does a transaction without candidates cost the connection too? */
static void suspect(struct sweep *sweep, struct chunk *chunk)
{
    struct suspects *suspects = &sweep->suspects;
    error_prefix(&chunk->error, "deleting it cost the connection to the server");
    suspects->rows[suspects->count++] = take_failure(sweep, sweep->report, chunk);
    suspects->control_due = true;
    sweep->recovery.losses = 0;
    sweep->pace.taken++;
    chunk_skip(sweep, chunk);
}

static void one_by_one(struct sweep *sweep, const struct chunk *chunk)
{
    sweep->recovery.losses = 0;
    sweep->pace.singly = chunk->asked;
    sweep->pace.exact = true;
}

/* The rows around the locked ones of a range: the others together (by_range), or each by itself. */
static void go_around_locked(struct sweep *sweep, bool by_range)
{
    sweep->locked.step_over = by_range;
    sweep->locked.row_by_row = !by_range;
    sweep->position.high.known = by_range;
    locked_look_ahead(sweep);
}

/* The candidates of the chunk wait for a row that nothing found before: one that a trigger changes,
 * say, or one that was locked since. */
static void step_over(struct sweep *sweep, const struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->key_count; i++)
        locked_note(sweep, chunk->keys[i], NULL);
    locked_in_the_way(sweep, false);
    sweep->pace.rows = locked_grain(sweep);
    sweep->locked.row_by_row = false;
    chunk_skip(sweep, chunk);
}

/* More rows than a transaction may delete: the end of the range is looked up again, exactly; if
 * that was not enough, the chunk is locked row by row, up to its number. */
static void bound_exactly(struct sweep *sweep)
{
    sweep->locked.row_by_row = sweep->pace.exact;
    sweep->pace.exact = true;
    sweep->position.high.known = false;
}

/* The new plan begins at the first candidate again; what the chunk committed counts. */
static void replan(struct sweep *sweep, struct chunk *chunk)
{
    if (chunk->fatal) {
        chunk->end = (struct cursor){NULL, 0}; /* some of its rows are left */
        chunk->candidates = chunk->added[0];
        chunk_committed(sweep, chunk);
    }
    recompile_is_due(sweep, chunk->plan_changed ? "" : chunk->error.sqlstate);
}

/* What the failure means, with the connection as it is now. */
static void classify(const struct sweep *sweep, struct failed *failed)
{
    failed->class = db_failure_class(sweep->db, &failed->chunk->error);
    failed->lost = db_is_lost(sweep->db);
}

/* Is the foreign key that refuses the candidates another one by now? The plan is looked at at the
 * end of a transaction, which this one did not reach. */
static void look_at_key(struct sweep *sweep, struct failed *failed)
{
    struct error err = ERROR_INIT;
    struct db_step check = work_check_step(sweep, failed->chunk->ctx);
    failed->key_looked = true;
    failed->key_changed = !gate_batch(sweep->gate, failed->chunk->ctx, &check, 1, NULL, &err) &&
                          sqlstate_is(&err, SQLSTATE_INVALID_TEXT_REPRESENTATION);
    error_clear(&err);
    classify(sweep, failed); /* the look may have lost the connection */
}

/* A signal has come; where the connection is lost too, its last commits are in doubt. */
static void end(const struct sweep *sweep, const struct failed *failed)
{
    if (failed->class == DB_FAILURE_CONNECTION && sweep->durability.pending > 0)
        report_remark(sweep->report,
                      "the connection was lost before the last %lld transactions were known to be "
                      "on disk",
                      (long long)sweep->durability.pending);
}

/* What to do about rows and tables that other sessions have locked. */
static void act_on_lock(struct sweep *sweep, struct chunk *chunk, enum next next)
{
    throttle_look_now(sweep);
    switch (next) {
    case NEXT_LEAVE_OUT:
    case NEXT_ROW_BY_ROW:
        go_around_locked(sweep, next == NEXT_LEAVE_OUT);
        break;
    case NEXT_LOOK_FIRST:
        sweep->position.high.known = false;
        locked_look_ahead(sweep);
        break;
    case NEXT_STEP_OVER:
        step_over(sweep, chunk);
        break;
    default:
        table_wait(sweep, chunk);
        break;
    }
}

/* Acts on what was decided. False, with err set: the run ends. */
static bool act(struct sweep *sweep, struct chunk *chunk, struct failed *failed,
                struct decision decision, struct error *err)
{
    sweep->recovery.impatient = sweep->recovery.impatient || decision.impatient;
    switch (decision.next) {
    case NEXT_STOP:
        return stop(sweep, chunk, decision.because, err);
    case NEXT_END:
        end(sweep, failed);
        break;
    case NEXT_AGAIN:
        break;
    case NEXT_RETRY:
        sweep_back_off(sweep, ++sweep->recovery.tries);
        break;
    case NEXT_SMALLER:
        if (locked_is(&chunk->error))
            throttle_look_now(sweep);
        halve(sweep, chunk);
        break;
    case NEXT_ONE_BY_ONE:
        one_by_one(sweep, chunk);
        break;
    case NEXT_SET_ASIDE:
        set_aside(sweep, chunk);
        break;
    case NEXT_SUSPECT:
        suspect(sweep, chunk);
        break;
    case NEXT_LEAVE_OUT:
    case NEXT_ROW_BY_ROW:
    case NEXT_LOOK_FIRST:
    case NEXT_STEP_OVER:
    case NEXT_WAIT_FOR_TABLE:
        act_on_lock(sweep, chunk, decision.next);
        break;
    case NEXT_REPLAN:
        replan(sweep, chunk);
        break;
    case NEXT_COUNT_BY_STATEMENT:
        sweep->replan.by_statement = true;
        recompile_is_due(sweep, "");
        break;
    case NEXT_BOUND_EXACTLY:
        bound_exactly(sweep);
        break;
    case NEXT_LOOK_AT_KEY:
        look_at_key(sweep, failed);
        break;
    case NEXT_RECONNECT:
        sweep->recovery.losses++;
        return sweep_reconnect(sweep, chunk, err);
    }
    return true;
}

/* What was seen when it failed. */
static struct failed look_at(const struct sweep *sweep, const struct chunk *chunk)
{
    struct failed failed = {.chunk = chunk,
                            .stop_requested = stop_requested(),
                            .stop_forced = stop_forced(),
                            .now_ms = clock_now_ms()};
    classify(sweep, &failed);
    return failed;
}

bool sweep_recover(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct failed failed = look_at(sweep, chunk);
    struct decision decision = failure_next(sweep, &failed);
    bool ok = true;
    chunk->failure_count = 0; /* what is not in the report is tried again */
    if (decision.next != NEXT_RECONNECT)
        db_rollback(sweep->db);
    while ((ok = act(sweep, chunk, &failed, decision, err))) {
        if (decision.next == NEXT_LOOK_AT_KEY)
            decision = failure_next(sweep, &failed);
        else if (decision.next == NEXT_RECONNECT)
            decision = loss_next(sweep, chunk);
        else
            break;
    }
    return ok;
}
