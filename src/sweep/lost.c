/* What follows when the connection is lost: connect again and find out what took effect. When the
 * same candidates cost it again and again, the one that does is looked for, in few steps: each time
 * it may be the whole server that crashes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/stop.h"

enum { LOCK_WAIT_MS = 30000 };

/* Once may be chance. After so many times a chunk is done candidate by candidate, and one of these
 * suspected. */
enum { LOSSES = 2 };

/* So many candidates that cost it in one run: the server deserves a rest, and a person's look. */
enum { LOST_ROWS_MAX = 10 };

/* So often the server may lose commits in crashes before the run ends. */
enum { REWINDS_MAX = 3 };

/* The server crashed and took the last commits with it: what the record says is what is gone, and
 * the sweep begins again, for rows behind the cursor have come back. */
static bool rewind_to(struct sweep *sweep, int64_t chunks, const int64_t *deleted,
                      struct error *err)
{
    struct report *report = sweep->report;
    report_remark(
        report,
        "the server lost the last %lld transactions in a crash; their rows were swept again",
        (long long)(report->chunks - chunks));
    report->chunks = chunks;
    memcpy(report->deleted, deleted, sweep->plan->node_count * sizeof *deleted);
    report->spared_late = 0; /* they are looked at again */
    sweep->pace.taken = deleted[0] + report->failed + (int64_t)sweep->suspects.count;
    sweep->durability.rewound = true;
    sweep->durability.pending = 0;
    sweep->recovery.losses = 0;
    sweep->pace.singly = 0;
    sweep_walk_anew(sweep);
    return ++sweep->durability.rewinds <= REWINDS_MAX ||
           error_set(err, SWEEP_UNREACHABLE, "the server lost transactions in a crash %d times",
                     sweep->durability.rewinds);
}

/* Did the chunk whose COMMIT was sent take effect? Its number in the run's record says so. */
static bool find_out(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct report *report = sweep->report;
    int64_t chunks = 0;
    int64_t *deleted = mem_array(chunk->ctx, int64_t, sweep->plan->node_count);
    if (!run_read_back(sweep->state, report, &chunks, deleted, err))
        return false;
    if (chunks == report->chunks)
        return true;
    if (chunks < report->chunks)
        return rewind_to(sweep, chunks, deleted, err);
    chunk->transactions = chunks - report->chunks;
    for (size_t i = 0; i < sweep->plan->node_count; i++)
        chunk->added[i] = deleted[i] - report->deleted[i];
    report_remark(report,
                  "the connection was lost at the commit of transaction %lld; it had taken effect",
                  (long long)chunks);
    if (sweep->plan->by_row)
        chunk->end = (struct cursor){
            NULL, 0}; /* some of its rows may be left: list them again from the same place */
    chunk->candidates = chunk->added[0] + chunk->spared;
    chunk_committed(sweep, chunk);
    return true;
}

/* What the record says is to stay so; and from now on commits wait for the disk, so that a crash
 * that this sweep itself brings about undoes nothing. If even that fails, the next chunk will
 * notice. */
static void make_sure(struct sweep *sweep)
{
    struct error ignored = ERROR_INIT;
    if (!sweep_settle(sweep, &ignored) || !db_set_async(sweep->db, false, &ignored))
        error_clear(&ignored);
}

/* After a failover the name may lead to a standby that is not promoted yet. */
static bool check_primary(struct db *db, struct error *err)
{
    bool standby = false;
    if (!db_is_standby(db, &standby, err))
        return false;
    if (!standby)
        return true;
    error_set(err, SWEEP_UNREACHABLE, "%s is a standby now", db_where(db));
    error_sqlstate(
        err, sqlstate_code(SQLSTATE_CANNOT_CONNECT_NOW)); /* as a server that is not ready yet */
    return false;
}

/* One attempt. */
static bool resume(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct report *report = sweep->report;
    if (!db_reconnect(sweep->db, err) || !check_primary(sweep->db, err) ||
        !run_lock_again(sweep->state, report->policy->name, report->run_id, LOCK_WAIT_MS, err))
        return false;
    sweep->position.high.known = false;
    return find_out(sweep, chunk, err);
}

static bool connect_again(struct sweep *sweep, struct chunk *chunk, struct error *lost,
                          struct error *err)
{
    int64_t end_ms = clock_now_ms() + sweep->budget->retry_for_ms;
    bool last = false;
    for (int attempt = 1; !last && !stop_forced(); attempt++) {
        sweep_back_off(sweep, attempt + sweep->recovery.losses / 2);
        error_clear(err);
        last = stop_requested() || clock_now_ms() >= end_ms;
        if (resume(sweep, chunk, err)) {
            make_sure(sweep);
            error_clear(err);
            return true;
        }
        /* Somebody else holds the lock by now, the record is gone, or the server refuses us for
         * good. */
        if (!db_may_come_back(sweep->db, err))
            break;
    }
    if (!err->message)
        error_move(err, lost);
    else if (db_is_lost(sweep->db))
        error_prefix(err, "the connection was lost and could not be made again");
    if (db_is_lost(sweep->db))
        err->code = SWEEP_UNREACHABLE;
    return false;
}

/* The connection can be made again, and is lost again: no candidate is to blame for that. */
static bool give_up(struct sweep *sweep, struct error *lost, struct error *err, const char *what)
{
    error_move(err, lost);
    err->code = SWEEP_UNREACHABLE;
    error_prefix(err, "the connection was lost %s", what);
    return error_hint(
        err, "It could be made again each time: the log of the server says why it was lost. %s",
        sweep->suspects.count > 0 ? "No dead letter was written."
                                  : "What was committed before stays; the next run goes on.");
}

/* Goes on behind a candidate that drops the connection. That it is at fault is not said before it
 * is known that not everything costs it. */
static bool suspect(struct sweep *sweep, struct chunk *chunk, struct error *lost, struct error *err)
{
    const char **key = sweep_failing_key(sweep, chunk);
    if (sweep->suspects.count == SUSPECTS_MAX)
        return give_up(
            sweep, lost, err,
            mem_printf(chunk->ctx, "over each of %d candidates in a row", SUSPECTS_MAX + 1));
    error_prefix(lost, "deleting it cost the connection to the server");
    sweep->suspects.rows[sweep->suspects.count++] =
        failure_new(sweep->report, sweep->plan, key, lost);
    sweep_skip(sweep, chunk);
    sweep->pace.taken++;
    sweep->suspects.control_due = true;
    return true;
}

/* So many candidates each cost the connection that the run does not look for more. */
static bool end_of_patience(struct sweep *sweep, struct error *lost, struct error *err)
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

/* The chunk in hand has cost the connection, which is there again. */
static bool judge_loss(struct sweep *sweep, struct chunk *chunk, struct error *lost,
                       struct error *err)
{
    bool known = chunk->key_count > 0 || chunk->end.columns > 0 || chunk->last;
    if (sweep->recovery.losses < LOSSES)
        return true;
    if (sweep->suspects.control_due)
        return give_up(sweep, lost, err, "over a transaction that deletes nothing, too");
    if (!known || (chunk->asked <= 1 && !sweep_failing_key(sweep, chunk)))
        return sweep->recovery.losses <= sweep->budget->retries ||
               give_up(sweep, lost, err, "again and again, before it came to a candidate");
    if (sweep->suspects.set_aside >= LOST_ROWS_MAX)
        return end_of_patience(sweep, lost, err);
    sweep->recovery.losses = 0;
    if (sweep->pace.singly > 0 && chunk->asked <= 1)
        return suspect(sweep, chunk, lost, err);
    sweep->pace.singly = chunk->asked;
    sweep->pace.exact = true;
    return true;
}

bool sweep_reconnect(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct error lost = ERROR_INIT;
    if (stop_requested() && !chunk->commit_sent) {
        /* Nothing to find out: the loop sees the signal and ends. */
        if (sweep->durability.pending > 0)
            report_remark(sweep->report,
                          "the connection was lost before the last %lld transactions were known "
                          "to be on disk",
                          (long long)sweep->durability.pending);
        return true;
    }
    sweep->recovery.losses++;
    error_move(&lost, &chunk->error);
    bool ok = connect_again(sweep, chunk, &lost, err) && judge_loss(sweep, chunk, &lost, err);
    error_clear(&lost);
    return ok;
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
