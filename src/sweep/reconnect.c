/* Makes a lost connection again, and finds out what took effect. What follows then is decided in
 * lost.c. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

enum { LOCK_WAIT_MS = 30000 };

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

/* Nothing was achieved by connecting again and again. */
static bool give_up(const struct sweep *sweep, struct error *lost, struct error *err)
{
    if (!err->message)
        error_move(err, lost);
    else if (db_is_lost(sweep->db))
        error_prefix(err, "the connection was lost and could not be made again");
    if (db_is_lost(sweep->db))
        err->code = SWEEP_UNREACHABLE;
    return false;
}

bool sweep_reconnect(struct sweep *sweep, struct chunk *chunk, struct error *err)
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
    return give_up(sweep, &chunk->error, err);
}
