/* What is known to be on the server's disk. A commit does not wait for it, unless something that
 * cannot be undone follows. */
#include <string.h>

#include "internal.h"
#include "pgsweep/state_runs.h"
#include "pgsweep/clock.h"

/* So often at least, so that a crash of the server costs little. */
enum { SETTLE_EVERY_MS = 1000 };

void durable_note(struct sweep *sweep)
{
    sweep->durability.pending = 0;
    sweep->durability.settled_ms = clock_now_ms();
    memcpy(sweep->durability.rows, sweep->report->deleted,
           sweep->plan->node_count * sizeof *sweep->durability.rows);
}

bool sweep_settle(struct sweep *sweep, struct error *err)
{
    if (sweep->durability.pending > 0 && !run_make_durable(sweep->state, sweep->report, err))
        return false;
    durable_note(sweep);
    return true;
}

void durable_settle_in_time(struct sweep *sweep)
{
    struct error ignored = ERROR_INIT;
    if (clock_now_ms() - sweep->durability.settled_ms >= SETTLE_EVERY_MS &&
        !sweep_settle(sweep, &ignored))
        error_clear(&ignored); /* the next chunk meets the same trouble, and deals with it */
}

void durable_tell(struct sweep *sweep)
{
    struct report *report = sweep->report;
    if (sweep->durability.pending == 0)
        return;
    report_remark(
        report,
        "%lld rows more were deleted, but the server was lost before they were known to be on "
        "its disk: they may have come back",
        (long long)(report->deleted[0] - sweep->durability.rows[0]));
    memcpy(report->deleted, sweep->durability.rows,
           sweep->plan->node_count * sizeof *sweep->durability.rows);
}
