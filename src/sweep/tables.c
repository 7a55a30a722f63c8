/* A table that another session has locked, or is about to: pgsweep gives way. It waits outside any
 * transaction, so that nothing waits for it meanwhile, and no candidate is blamed. */
#include "internal.h"
#include "pgsweep/state_lock.h"
#include "pgsweep/clock.h"

/* The pauses between two tries: a run is to go on soon after the other session is done. */
enum { PAUSE_BASE_MS = 100, PAUSE_CAP_MS = 2000 };

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

void table_wait(struct sweep *sweep, struct chunk *chunk)
{
    struct recovery *recovery = &sweep->recovery;
    keep_committed(sweep, chunk);
    sweep->position.high.known = false;
    const int64_t before = clock_now_ms();
    if (recovery->table_tries++ == 0)
        recovery->table_since_ms = before;
    sweep->report->retries++;
    state_wait(sweep->state, clock_backoff_ms(recovery->table_tries, PAUSE_BASE_MS, PAUSE_CAP_MS));
    throttle_note(sweep, WAIT_LOCK_WAITERS, clock_now_ms() - before, chunk->error.message);
}
