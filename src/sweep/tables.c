/* A table that another session has locked, or is about to: pgsweep gives way. It waits outside any
 * transaction, so that nothing waits for it meanwhile, and no candidate is blamed. */
#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/state_lock.h"

/* How long a table may be locked without a break before the run ends; and the pauses between two
 * tries: a run is to go on soon after the other session is done. */
enum { PATIENCE_MS = 120 * 1000, PAUSE_BASE_MS = 100, PAUSE_CAP_MS = 2000 };

/* Rows in transactions of their own: some may have gone before the table was locked. */
static void keep_committed(struct sweep *sweep, struct chunk *chunk)
{
    if (chunk->transactions == 0)
        return;
    chunk->end = (struct cursor){NULL, 0}; /* the others are listed again */
    chunk->candidates = chunk->added[0];
    chunk->last = false;
    chunk_committed(sweep, chunk);
}

bool sweep_wait_for_table(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    db_rollback(sweep->db);
    keep_committed(sweep, chunk);
    sweep->position.high.known = false;
    if (sweep->recovery.table_tries++ == 0)
        sweep->recovery.table_since_ms = clock_now_ms();
    if (clock_now_ms() - sweep->recovery.table_since_ms >= PATIENCE_MS) {
        error_move(err, &chunk->error);
        err->code = SWEEP_SOME_FAILED;
        error_prefix(err, "another session keeps a lock on a table that this run needs");
        return error_hint(err, "pg_locks and pg_stat_activity name the session; run again when "
                               "it is done.");
    }
    sweep->report->retries++;
    const int64_t before = clock_now_ms();
    state_wait(sweep->state,
               clock_backoff_ms(sweep->recovery.table_tries, PAUSE_BASE_MS, PAUSE_CAP_MS));
    throttle_note(sweep, WAIT_LOCK_WAITERS, clock_now_ms() - before, chunk->error.message);
    throttle_look_now(sweep);
    return true;
}
