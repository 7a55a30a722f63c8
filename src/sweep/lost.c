/* What follows once a lost connection is there again. When the same candidates cost it again and
 * again, the one that does is looked for, in few steps: each time it may be the whole server that
 * crashes. Decides only (decide.h); recover.c acts, reconnect.c makes the connection again. */
#include "decide.h"

/* Once may be chance. After so many times a chunk is done candidate by candidate, and one of these
 * suspected. */
enum { LOSSES = 2 };

static struct decision stop(enum stop_because because)
{
    return (struct decision){.next = NEXT_STOP, .because = because};
}

static struct decision then(enum next next)
{
    return (struct decision){.next = next};
}

/* What there is to suspect has a key; else the connection is lost before it comes to a candidate.
 */
static bool has_candidate(const struct sweep *sweep, const struct chunk *chunk)
{
    return chunk_is_known(chunk) && (chunk->asked > 1 || chunk_has_key(sweep, chunk));
}

struct decision loss_next(const struct sweep *sweep, const struct chunk *chunk)
{
    const struct suspects *suspects = &sweep->suspects;
    if (sweep->recovery.losses < LOSSES)
        return then(NEXT_AGAIN);
    if (suspects->control_due)
        return stop(BECAUSE_CONTROL_LOST);
    if (!has_candidate(sweep, chunk))
        return sweep->recovery.losses <= sweep->budget->retries ? then(NEXT_AGAIN)
                                                                : stop(BECAUSE_LOST_BEFORE);
    if (suspects->set_aside >= LOST_ROWS_MAX)
        return stop(BECAUSE_ENOUGH_LOST);
    if (sweep->pace.singly == 0 || chunk->asked > 1)
        return then(NEXT_ONE_BY_ONE);
    /* That a candidate is at fault is not said before it is known that not everything costs it. */
    return suspects->count < SUSPECTS_MAX ? then(NEXT_SUSPECT) : stop(BECAUSE_ALL_SUSPECT);
}
