/* The range strategy: delete everything eligible between two cursors, with the whole condition in the
 * DELETE itself, and look up the end of the next chunk in the same round trip. */
#include "internal.h"
#include "pgsweep/mem.h"

static int add_cursor(const struct plan *plan, const char **params, int n, const struct cursor *cursor)
{
    for (size_t i = 0; cursor->values && i < plan->cursor_count; i++)
        params[n++] = cursor->values[i];
    return n;
}

/* The step that finds the end of the chunk that follows from. */
static struct db_step bound_step(struct sweep *sweep, const void *ctx, const struct cursor *from,
                                 int64_t rows)
{
    const struct plan *plan = sweep->plan;
    const char **params = mem_array(ctx, const char *, plan->cursor_count + 2);
    int n = 0;
    params[n++] = plan->cutoff_value;
    n = add_cursor(plan, params, n, from);
    params[n++] = mem_printf(ctx, "%lld", (long long)rows);
    return (struct db_step){.statement = &sweep->statements.bound[from->values != NULL],
                            .nparams = n, .params = params};
}

static struct db_step range_step(struct sweep *sweep, const void *ctx)
{
    const struct plan *plan = sweep->plan;
    const char **params = mem_array(ctx, const char *, 2 * plan->cursor_count + 3);
    int n = 0;
    bool to = !sweep->high_is_end;
    params[n++] = plan->cutoff_value;
    n = add_cursor(plan, params, n, &sweep->cursor);
    if (to)
        n = add_cursor(plan, params, n, &sweep->high);
    params[n++] = sweep->report->run_id;
    params[n++] = plan->nodes[0]->label;
    return (struct db_step){.statement = &sweep->statements.range[sweep->cursor.values != NULL][to],
                            .nparams = n, .params = params};
}

/* Takes the answer of a bound step as the end of the next chunk. */
static void note_bound(struct sweep *sweep, const struct db_rows *rows, int64_t asked)
{
    sweep->high_rows = asked;
    sweep->high_known = true;
    sweep->high_is_end = db_rows_count(rows) == 0;
    talloc_free(sweep->high.values);
    sweep->high.values = NULL;
    if (!sweep->high_is_end)
        sweep->high = cursor_from_row(sweep->report, sweep->plan, rows, 0, 0);
}

static bool find_bound(struct sweep *sweep, struct chunk *chunk)
{
    struct db_rows *rows;
    int64_t asked = pace_rows(sweep);
    struct db_step step = bound_step(sweep, chunk->ctx, &sweep->cursor, asked);
    if (!db_execute(sweep->db, chunk->ctx, step.statement, step.nparams, step.params, &rows,
                    &chunk->error))
        return false;
    note_bound(sweep, rows, asked);
    return true;
}

/* Counts what was deleted, and keeps the keys for the log. */
static void take_deleted(struct sweep *sweep, struct chunk *chunk, const struct db_rows *rows)
{
    const struct plan *plan = sweep->plan;
    if (!sweep->budget->verbose) {
        chunk->added[0] = db_rows_int(rows, 0, 0);
        return;
    }
    int n = db_rows_count(rows);
    chunk->added[0] = n;
    chunk->keys = mem_array(chunk->ctx, const char **, (size_t)n + 1);
    for (int i = 0; i < n; i++)
        chunk->keys[chunk->key_count++] = key_from_row(chunk->ctx, plan, rows, i, 0);
}

enum chunk_outcome range_chunk(struct sweep *sweep, struct chunk *chunk)
{
    if (!sweep->high_known && !find_bound(sweep, chunk))
        return CHUNK_ERROR;
    chunk->asked = sweep->high_rows;
    if (sweep->high_is_end)
        chunk->last = true;
    else
        chunk->end = cursor_copy(chunk->ctx, sweep->plan, &sweep->high);
    struct db_step steps[4] = {{.statement = &db_begin}, range_step(sweep, chunk->ctx),
                               {.statement = &db_commit, .sync = true}};
    int count = 3;
    /* max_rows may leave less for the next chunk than the usual size. */
    int64_t left = sweep->budget->max_rows - sweep->taken - chunk->asked;
    int64_t next = sweep->budget->max_rows > 0 && left < sweep->rows ? left : sweep->rows;
    if (!chunk->last && next > 0)
        steps[count++] = bound_step(sweep, chunk->ctx, &chunk->end, next);
    int failed;
    chunk->commit_sent = true;
    bool ok = effects_batch(sweep->effects, chunk->ctx, steps, count, &failed, &chunk->error);
    if (steps[1].rows)
        take_deleted(sweep, chunk, steps[1].rows);
    /* The chunk stands once its COMMIT is confirmed, whatever became of the look-up behind it. */
    if (!db_committed(&steps[2])) {
        chunk->commit_sent = db_is_lost(sweep->db);
        if (ok)
            error_set(&chunk->error, SWEEP_INTERNAL, "COMMIT was answered with \"%s\"", steps[2].tag);
        if (ok)
            error_sqlstate(&chunk->error, "40000");
        return CHUNK_ERROR;
    }
    chunk->transactions = 1;
    chunk->candidates = chunk->added[0];
    sweep->high_known = false;
    if (count == 4 && steps[3].rows)
        note_bound(sweep, steps[3].rows, next);
    error_clear(&chunk->error);
    return CHUNK_DONE;
}
