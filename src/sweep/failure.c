/* What follows from a failed chunk or act: again, smaller, set aside, or the end. Decides only
 * (decide.h); recover.c acts. What follows once a lost connection is there again: lost.c. */
#include <string.h>

#include "decide.h"

/* How long a table may be locked without a break before the run ends. */
enum { TABLE_PATIENCE_MS = 120 * 1000 };

static struct decision then(enum next next)
{
    return (struct decision){.next = next};
}

bool chunk_is_known(const struct chunk *chunk)
{
    return chunk->end.columns > 0 || chunk->key_count > 0 || chunk->last;
}

bool chunk_has_key(const struct sweep *sweep, const struct chunk *chunk)
{
    return chunk->key_count == 1 || chunk->end.columns == sweep->plan->cursor_count;
}

int sweep_tries_allowed(const struct sweep *sweep, const struct error *why)
{
    /* What ran into the statement's timeout took so long that it is not done over and over again.
     */
    bool slow = sqlstate_is(why, SQLSTATE_QUERY_CANCELED);
    return sweep->recovery.impatient || slow ? 1 : sweep->budget->retries;
}

/* Errors that come from a changed schema: a table, column, function or operator that is not there
 * any more, or a result that has another type than before. A new plan says it better, if it does
 * not cure it. */
static bool new_plan_may_cure(const struct sweep *sweep, const struct error *why)
{
    return sweep->replan.times == 0 && (sqlstate_is_of(why, SQLSTATE_CLASS_SYNTAX) ||
                                        sqlstate_is(why, SQLSTATE_FEATURE_NOT_SUPPORTED));
}

/* What was left to a foreign key refuses the candidates. */
static bool foreign_key_refuses(const struct sweep *sweep, const struct error *why)
{
    return sqlstate_is_of(why, SQLSTATE_CLASS_INTEGRITY) && plan_has_cascades(sweep->plan);
}

/* The chunk waits for a table. One whose transactions took effect in part has just had it. */
static struct decision table_next(const struct sweep *sweep, const struct failed *failed)
{
    const struct recovery *recovery = &sweep->recovery;
    bool long_ago = recovery->table_tries > 0 && failed->chunk->transactions == 0 &&
                    failed->now_ms - recovery->table_since_ms >= TABLE_PATIENCE_MS;
    return long_ago ? (struct decision){NEXT_STOP, BECAUSE_TABLE_LOCKED, false}
                    : then(NEXT_WAIT_FOR_TABLE);
}

/* Rows of the chunk are locked by another session: no fault of theirs. */
static struct decision locked_next(const struct sweep *sweep, const struct chunk *chunk)
{
    const struct locked_rows *locked = &sweep->locked;
    if (sweep->plan->strategy == STRATEGY_RANGE && sweep->position.pass == 1 && !locked->row_by_row)
        /* The rows around the locked ones now, and them later. */
        return then(locked->step_over || sweep->budget->verbose ? NEXT_ROW_BY_ROW : NEXT_LEAVE_OUT);
    if (sweep->statements.finds_locked && !chunk->looked_ahead)
        return then(NEXT_LOOK_FIRST);
    return then(chunk->asked <= locked_grain(sweep) && chunk->end.columns > 0 ? NEXT_STEP_OVER
                                                                              : NEXT_SMALLER);
}

/* A candidate of the chunk cannot go: it is looked for by halving. */
static struct decision isolate_next(const struct sweep *sweep, const struct chunk *chunk)
{
    if (!chunk_is_known(chunk))
        return then(NEXT_STOP); /* not even finding the candidates worked */
    if (chunk->asked > 1 || (!sweep->pace.exact && chunk->key_count != 1))
        return then(NEXT_SMALLER);
    return then(chunk_has_key(sweep, chunk) ? NEXT_SET_ASIDE : NEXT_STOP);
}

static struct decision transient_next(const struct sweep *sweep, const struct chunk *chunk)
{
    if (chunk_is_known(chunk) && locked_is(&chunk->error))
        return locked_next(sweep, chunk);
    if (sweep->recovery.tries < sweep_tries_allowed(sweep, &chunk->error))
        return then(NEXT_RETRY);
    struct decision decision = isolate_next(sweep, chunk);
    decision.impatient = true;
    return decision;
}

/* By what the server says, as its SQLSTATE's class has it. */
static struct decision class_next(const struct sweep *sweep, const struct failed *failed)
{
    switch (failed->class) {
    case DB_FAILURE_CONNECTION:
        /* Without a COMMIT there is nothing to find out. */
        return then(failed->stop_requested && !failed->chunk->commit_sent ? NEXT_END
                                                                          : NEXT_RECONNECT);
    case DB_FAILURE_CANCELLED:
        return then(NEXT_END);
    case DB_FAILURE_TRANSIENT:
        return failed->stop_forced ? then(NEXT_END) : transient_next(sweep, failed->chunk);
    case DB_FAILURE_ROW:
        return failed->stop_forced ? then(NEXT_END) : isolate_next(sweep, failed->chunk);
    default:
        return then(failed->stop_forced ? NEXT_END : NEXT_STOP);
    }
}

/* The plan could not be made again: a failure that passes by itself is waited for; any other says
 * that the policy does not fit the tables any more. */
static struct decision replan_next(const struct sweep *sweep, const struct failed *failed)
{
    if (!failed->lost && failed->class != DB_FAILURE_TRANSIENT)
        return then(NEXT_STOP);
    if (db_failed_for_lock(&failed->chunk->error))
        return table_next(sweep, failed);
    return class_next(sweep, failed);
}

struct decision failure_next(const struct sweep *sweep, const struct failed *failed)
{
    const struct chunk *chunk = failed->chunk;
    if (sweep->replan.due)
        return replan_next(sweep, failed);
    if (chunk->uncounted)
        return then(NEXT_COUNT_BY_STATEMENT);
    if (chunk->plan_changed || failed->key_changed || new_plan_may_cure(sweep, &chunk->error))
        return then(NEXT_REPLAN);
    if (!failed->key_looked && foreign_key_refuses(sweep, &chunk->error))
        return then(NEXT_LOOK_AT_KEY);
    if (chunk->too_many)
        return then(NEXT_BOUND_EXACTLY);
    /* What has no candidates in hand waits for tables only. */
    if (chunk->table_locked || (chunk->asked == 0 && db_failed_for_lock(&chunk->error)))
        return table_next(sweep, failed);
    if (chunk->fatal)
        return then(NEXT_STOP);
    return class_next(sweep, failed);
}
