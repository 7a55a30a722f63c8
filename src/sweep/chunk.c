/* A chunk: what it did, and what the sweep knows once it has taken effect or is passed over. */
#include "internal.h"
#include "pgsweep/mem.h"

struct chunk *chunk_new(struct sweep *sweep)
{
    void *ctx = talloc_new(sweep->report);
    struct chunk *chunk = mem_new(ctx, struct chunk);
    chunk->ctx = ctx;
    chunk->added = mem_array(ctx, int64_t, sweep->plan->node_count);
    return chunk;
}

void chunk_free(struct chunk *chunk)
{
    error_clear(&chunk->error);
    talloc_free(chunk->ctx);
}

static void log_chunk(struct sweep *sweep, const struct chunk *chunk)
{
    if (!sweep->budget->verbose || sweep->plan->by_row)
        return;
    const char *table = sweep->plan->nodes[0]->table.label;
    progress_clear(sweep->progress);
    for (size_t i = 0; i < chunk->key_count; i++)
        report_log(sweep->report, "deleted %s %s", table,
                   key_text(chunk->ctx, sweep->plan, chunk->keys[i]));
}

void chunk_committed(struct sweep *sweep, struct chunk *chunk)
{
    struct report *report = sweep->report;
    for (size_t i = 0; i < sweep->plan->node_count; i++)
        report->deleted[i] += chunk->added[i];
    chunk->committed = true;
    if (chunk->added[0] > 0) {
        sweep->set_aside.in_a_row = 0;
        sweep->recovery.impatient = false;
        sweep->locked.in_the_way = 0;
        sweep->suspects.proven = sweep->suspects.count > 0;
        sweep->replan.times = 0;
    }
    report->chunks += chunk->transactions; /* as its record in pgsweep.runs says too */
    report->spared_late += chunk->spared;
    report->objects.queued += chunk->queued;
    report->directories.queued += chunk->directories;
    sweep->queue.undrained += chunk->queued + chunk->directories;
    sweep->pace.taken += chunk->candidates;
    sweep->recovery.tries = 0;
    sweep->recovery.table_tries = 0;
    sweep->recovery.losses = 0;
    sweep->locked.row_by_row = false;
    sweep->locked.step_over = false;
    sweep->locked.since++;
    sweep->durability.pending += chunk->transactions;
    if (chunk->transactions > 0 && !db_is_async(sweep->db))
        durable_note(sweep); /* it has waited for the disk, and so have all before it */
    if (chunk->end.columns > 0) {
        cursor_reset(&sweep->position.cursor);
        sweep->position.cursor = cursor_copy(report, &chunk->end);
    }
    log_chunk(sweep, chunk);
    progress_show(sweep->progress, report);
}

void chunk_skip(struct sweep *sweep, const struct chunk *chunk)
{
    cursor_reset(&sweep->position.cursor);
    sweep->position.cursor = cursor_copy(sweep->report, &chunk->end);
    sweep->position.high.known = false;
    sweep->recovery.tries = 0;
    sweep->recovery.losses = 0;
    if (sweep->pace.singly > 0)
        sweep->pace.singly--;
}
