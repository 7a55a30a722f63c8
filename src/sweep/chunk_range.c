/* The range strategy: delete everything eligible between two cursors, with the whole condition in
 * the DELETE itself, and look up the end of the next chunk in the same round trip as the commit. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/gate.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_runs.h"

/* A range between two ages may hold some rows more than were asked for; not more than this. */
static int64_t row_limit(const struct sweep *sweep, const struct chunk *chunk)
{
    return sweep->pace.exact ? chunk->asked : sweep->pace.rows_max;
}

/* The step that finds the end of the chunk that follows from. */
static struct db_step bound_step(struct sweep *sweep, const void *ctx, const struct cursor *from,
                                 int64_t rows)
{
    const struct statements *s = &sweep->statements;
    enum bound_by by = cursor_bound(from, sweep->plan);
    const char **params = mem_array(ctx, const char *, from->columns + 2);
    int n = 0;
    params[n++] = sweep->plan->cutoff_value;
    n = cursor_add(params, n, from);
    params[n++] = mem_printf(ctx, "%lld", (long long)rows);
    return (struct db_step){.statement = sweep->pace.exact ? &s->bound[by] : &s->bound_age[by],
                            .nparams = n,
                            .params = params};
}

/* The deletion, without the rows that others have locked if the chunk before met one; with_record:
 * and the run's record, in one statement. */
static struct db_step range_step(struct sweep *sweep, const struct chunk *chunk, bool with_record)
{
    const void *ctx = chunk->ctx;
    const struct plan *plan = sweep->plan;
    enum bound_by from = cursor_bound(&sweep->position.cursor, plan);
    enum bound_by to = cursor_bound(&sweep->position.high.cursor, plan);
    const char **params =
        mem_array(ctx, const char *,
                  sweep->position.cursor.columns + sweep->position.high.cursor.columns + 4);
    int n = 0;
    params[n++] = plan->cutoff_value;
    n = cursor_add(params, n, &sweep->position.cursor);
    n = cursor_add(params, n, &sweep->position.high.cursor);
    if (!with_record)
        return (struct db_step){.statement = sweep->locked.step_over
                                                 ? &sweep->statements.unlocked[from][to]
                                                 : &sweep->statements.plain[from][to],
                                .nparams = n,
                                .params = params};
    params[n++] = sweep->report->run_id;
    params[n++] = plan->nodes[0]->label;
    params[n++] = mem_printf(ctx, "%lld", (long long)row_limit(sweep, chunk));
    return (struct db_step){
        .statement = &sweep->statements.range[from][to], .nparams = n, .params = params};
}

static struct db_step record_step(struct sweep *sweep, const void *ctx, int64_t rows)
{
    const char **params = mem_array(ctx, const char *, RUN_RECORD_PARAMS);
    int n = run_counted_params(ctx, sweep->report, &rows, params);
    return (struct db_step){
        .statement = &sweep->statements.record_counted, .nparams = n, .params = params};
}

/* Takes the answer of a bound step as the end of the next chunk. */
static void note_bound(struct sweep *sweep, const struct db_rows *rows, int64_t asked)
{
    sweep->position.high.rows = asked;
    sweep->position.high.known = true;
    sweep->position.high.is_end = db_rows_count(rows) == 0;
    cursor_reset(&sweep->position.high.cursor);
    if (!sweep->position.high.is_end)
        sweep->position.high.cursor = cursor_from_row(
            sweep->report, rows, 0, 0, sweep->pace.exact ? sweep->plan->cursor_count : 1);
}

static bool find_bound(struct sweep *sweep, struct chunk *chunk)
{
    struct db_rows *rows;
    int64_t asked = pace_rows(sweep, 0);
    struct db_step step = bound_step(sweep, chunk->ctx, &sweep->position.cursor, asked);
    /* Where candidates are rare it reads many rows to find them. */
    db_give_way(sweep->db, true);
    bool ok = db_execute(sweep->db, chunk->ctx, step.statement, step.nparams, step.params, &rows,
                         &chunk->error);
    db_give_way(sweep->db, false);
    if (!ok)
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

/* The steps behind the record: check of the plan, COMMIT, and the end of the next chunk where there
 * is one. */
static int end_steps(struct sweep *sweep, struct chunk *chunk, struct db_step *steps, int64_t *next)
{
    int n = 0;
    *next = pace_rows(sweep, chunk->asked);
    steps[n++] = work_check_step(sweep, chunk->ctx);
    n = work_end(steps, n);
    if (!chunk->last && *next > 0)
        steps[n++] = bound_step(sweep, chunk->ctx, &chunk->end, *next);
    return n;
}

/* More rows than a transaction may delete: they became eligible after the end of the range had been
 * looked up, or more have one age than the statistics say. */
static void note_too_many(struct chunk *chunk)
{
    chunk->too_many = true;
    error_set(&chunk->error, SWEEP_INTERNAL,
              "a range held more rows than one transaction may delete");
    error_sqlstate(&chunk->error, sqlstate_code(SQLSTATE_SERIALIZATION_FAILURE));
}

/* Which of our own looks has failed. */
static void explain(struct chunk *chunk, int failed, int commit)
{
    if (!sqlstate_is(&chunk->error, SQLSTATE_INVALID_TEXT_REPRESENTATION))
        return;
    if (failed == commit - 1)
        chunk->plan_changed = true;
    else if (strstr(chunk->error.message, RUN_TOO_MANY))
        note_too_many(chunk);
}

/* A transaction that could not even begin ends with COMMIT, too: the server says no more than that
 * there was none. */
static bool has_committed(const struct db_step *steps, int commit)
{
    for (int i = 0; i < commit; i++)
        if (!steps[i].rows)
            return false;
    return db_committed(&steps[commit]);
}

/* Sends what ends in COMMIT and perhaps a look-up (commit: the COMMIT's place). The chunk stands
 * once its COMMIT is confirmed, whatever became of the look-up behind it. */
static bool send_commit(struct sweep *sweep, struct chunk *chunk, struct db_step *steps, int count,
                        int commit, int64_t next)
{
    int failed = 0;
    chunk->commit_sent = true;
    bool ok = gate_batch(sweep->gate, chunk->ctx, steps, count, &failed, &chunk->error);
    if (!has_committed(steps, commit)) {
        chunk->commit_sent = db_is_lost(sweep->db);
        if (ok) {
            error_set(&chunk->error, SWEEP_INTERNAL, "COMMIT was answered with \"%s\"",
                      steps[commit].tag);
            error_sqlstate(&chunk->error, sqlstate_code(SQLSTATE_TRANSACTION_ROLLBACK));
        } else if (!chunk->commit_sent) {
            explain(chunk, failed, commit);
        }
        return false;
    }
    chunk->transactions = 1;
    sweep->position.high.known = false;
    if (count > commit + 1 && steps[commit + 1].rows)
        note_bound(sweep, steps[commit + 1].rows, next);
    error_clear(&chunk->error);
    return true;
}

/* A distant server: everything in one round trip. */
static bool send_at_once(struct sweep *sweep, struct chunk *chunk)
{
    int64_t next;
    struct db_step steps[6] = {{.statement = &db_begin},
                               {.statement = sweep->statements.limit_waits},
                               range_step(sweep, chunk, true)};
    int count = 3 + end_steps(sweep, chunk, steps + 3, &next);
    bool ok = send_commit(sweep, chunk, steps, count, 4, next);
    if (ok)
        take_deleted(sweep, chunk, steps[2].rows);
    return ok;
}

/* A near server: a plain DELETE is cheaper than one that returns its rows to be counted. */
static bool send_in_two(struct sweep *sweep, struct chunk *chunk)
{
    int64_t next;
    struct db_step begin[3] = {{.statement = &db_begin},
                               {.statement = sweep->statements.limit_waits},
                               range_step(sweep, chunk, false)};
    if (!gate_batch(sweep->gate, chunk->ctx, begin, 3, NULL, &chunk->error))
        return false;
    int64_t rows = db_rows_affected(begin[2].rows);
    if (rows > row_limit(sweep, chunk)) {
        note_too_many(chunk);
        return false;
    }
    struct db_step steps[4] = {record_step(sweep, chunk->ctx, rows)};
    int count = 1 + end_steps(sweep, chunk, steps + 1, &next);
    if (!send_commit(sweep, chunk, steps, count, 2, next))
        return false;
    chunk->added[0] = rows;
    return true;
}

enum chunk_outcome range_chunk(struct sweep *sweep, struct chunk *chunk)
{
    if (!sweep->position.high.known && !find_bound(sweep, chunk))
        return CHUNK_ERROR;
    chunk->asked = sweep->position.high.rows;
    if (sweep->position.high.is_end)
        chunk->last = true;
    else
        chunk->end = cursor_copy(chunk->ctx, &sweep->position.high.cursor);
    /* Where locked rows are met again and again they are left out from the first. */
    sweep->locked.step_over =
        sweep->locked.step_over || (sweep->locked.looks_ahead > 0 && !sweep->budget->verbose);
    if (sweep->locked.looks_ahead > 0)
        sweep->locked.looks_ahead--;
    bool near = (sweep->pace.near || sweep->locked.step_over) && !sweep->budget->verbose;
    if (!(near ? send_in_two(sweep, chunk) : send_at_once(sweep, chunk)))
        return CHUNK_ERROR;
    chunk->candidates = chunk->added[0];
    return CHUNK_DONE;
}
