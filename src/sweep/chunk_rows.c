/* One transaction for each candidate: a whole chunk of them is sent in one go, so that the distance
 * to the server is paid once for the chunk and not for each row. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/gate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

/* A candidate of the chunk and what became of it. */
struct row {
    const char **key;
    struct db_step *steps; /* its transaction, from BEGIN to COMMIT */
    int count;
    int work; /* where the work begins among the steps */
    bool again;
    bool locked; /* another session has locked something of it */
};

/* Rows that are sent in one go: each may wait for a lock, and so much waiting is enough. */
enum { ROWS_AT_ONCE = 500 };

static bool list(struct sweep *sweep, struct chunk *chunk, struct db_rows **rows)
{
    enum bound_by from = cursor_bound(&sweep->position.cursor, sweep->plan);
    const char **params = mem_array(chunk->ctx, const char *, sweep->position.cursor.columns + 2);
    int n = 0;
    params[n++] = sweep->plan->cutoff_value;
    n = cursor_add(params, n, &sweep->position.cursor);
    params[n++] = mem_printf(chunk->ctx, "%lld", (long long)chunk->asked);
    /* Where candidates are rare it reads many rows to find them. */
    db_give_way(sweep->db, true);
    bool ok = db_execute(sweep->db, chunk->ctx, &sweep->statements.list[from], n, params, rows,
                         &chunk->error);
    db_give_way(sweep->db, false);
    return ok;
}

/* The steps of one row's transaction. */
static void build_row(struct sweep *sweep, const void *ctx, struct row *row, struct db_step *steps)
{
    const struct statements *s = &sweep->statements;
    int keys = (int)sweep->plan->key_count;
    const char **arrays = mem_array(ctx, const char *, keys);
    const char **verify = mem_array(ctx, const char *, keys + 1);
    int n = 0;
    verify[0] = sweep->plan->cutoff_value;
    for (int k = 0; k < keys; k++)
        verify[k + 1] = arrays[k] = db_array(ctx, &row->key[k], 1);
    n = work_begin(sweep, steps);
    steps[n++] = (struct db_step){.statement = &s->lock_row, .nparams = keys, .params = arrays};
    for (size_t i = 0; i < s->lock_dependent_count; i++)
        steps[n++] = (struct db_step){
            .statement = &s->lock_dependents[i], .nparams = keys, .params = arrays};
    steps[n++] =
        (struct db_step){.statement = &s->verify_row, .nparams = keys + 1, .params = verify};
    row->work = n;
    row->steps = steps;
    row->count = n + work_add(sweep, ctx, arrays, 1, steps + n);
}

static size_t steps_per_row(const struct sweep *sweep)
{
    return BEGIN_STEPS_MAX + 2 + sweep->statements.lock_dependent_count + sweep->work.count + 1;
}

/* "moc_files 3, moc_parts 40": what went with a row. */
static char *counts_text(const void *ctx, const struct plan *plan, const int64_t *added)
{
    char *text = mem_strdup(ctx, "");
    for (size_t i = 1; i < plan->node_count; i++)
        if (added[i] > 0)
            text = mem_check(talloc_asprintf_append(text, "%s%s %s %lld", *text ? ", " : " with ",
                                                    policy_action_names[plan->nodes[i]->action],
                                                    plan->nodes[i]->label, (long long)added[i]));
    return text;
}

static void row_committed(struct sweep *sweep, struct chunk *chunk, const struct row *row)
{
    int64_t *added = mem_array(chunk->ctx, int64_t, sweep->plan->node_count);
    work_count(sweep, row->steps + row->work, chunk, added);
    for (size_t i = 0; i < sweep->plan->node_count; i++)
        chunk->added[i] += added[i];
    chunk->transactions++;
    if (!sweep->budget->verbose)
        return;
    progress_clear(sweep->progress);
    report_log(sweep->report, "deleted %s %s%s", sweep->plan->nodes[0]->label,
               key_text(chunk->ctx, sweep->plan, row->key),
               counts_text(chunk->ctx, sweep->plan, added));
}

/* The first step of the row that has no result, or -1. */
static int first_failed(const struct row *row)
{
    for (int i = 0; i < row->count - 1; i++)
        if (!row->steps[i].rows)
            return i;
    return -1;
}

/* The row cannot go: it is set aside once the rest of the chunk is in the report. */
static void row_failed(struct sweep *sweep, struct chunk *chunk, const struct row *row,
                       struct error *why)
{
    size_t i = mem_grow(chunk->ctx, &chunk->failures, &chunk->failure_count);
    chunk->failures[i] = failure_new(chunk->ctx, sweep->plan, row->key, why);
}

static bool is_committed(const struct row *row)
{
    return first_failed(row) < 0 && db_committed(&row->steps[row->count - 1]);
}

/* What became of a row whose transaction is over. False when the run cannot go on. */
static bool judge(struct sweep *sweep, struct chunk *chunk, struct row *row, struct error *err)
{
    const struct db_step *commit = &row->steps[row->count - 1];
    int step = first_failed(row);
    row->again = false;
    if (is_committed(row)) {
        row_committed(sweep, chunk, row);
        return true;
    }
    struct error *why = step < 0 ? commit->error : row->steps[step].error;
    bool number = why && sqlstate_is(why, SQLSTATE_INVALID_TEXT_REPRESENTATION);
    if (step == sweep->statements.begin_count && number)
        return true; /* locked by another session, or gone: a later pass looks again */
    if (step == row->work - 1 && number) {
        chunk->spared++;
        return true;
    }
    struct error copy = ERROR_INIT;
    if (why) {
        error_copy(&copy, why);
        copy.code = SWEEP_SOME_FAILED;
    } else {
        error_set(&copy, SWEEP_SOME_FAILED, "the COMMIT did not take effect");
        error_sqlstate(&copy, sqlstate_code(SQLSTATE_TRANSACTION_ROLLBACK));
    }
    if (number)
        work_explain(sweep, work_step_at(sweep, step - row->work), 1, chunk, &copy);
    work_note_table(sweep, step, &copy, chunk);
    if (chunk->plan_changed || chunk->table_locked) {
        error_move(err, &copy);
        return false;
    }
    enum db_failure class = db_failure_class(sweep->db, &copy);
    bool ok = true;
    row->locked = locked_is(&copy);
    if (row->locked) {
        locked_note(sweep, row->key, NULL);
    } else if (class == DB_FAILURE_TRANSIENT &&
               chunk->row_tries < sweep_tries_allowed(sweep, &copy)) {
        row->again = true;
    } else if (class == DB_FAILURE_ROW || class == DB_FAILURE_TRANSIENT) {
        sweep->recovery.impatient = sweep->recovery.impatient || class == DB_FAILURE_TRANSIENT;
        row_failed(sweep, chunk, row, &copy);
    } else if (class != DB_FAILURE_CANCELLED) {
        error_move(err, &copy);
        ok = false;
    }
    error_clear(&copy);
    return ok;
}

/* Sends the transactions of all rows that are due, and judges them. */
static bool send_rows(struct sweep *sweep, struct chunk *chunk, struct row *rows, size_t count)
{
    size_t per_row = steps_per_row(sweep);
    struct db_step *steps = mem_array(chunk->ctx, struct db_step, count * per_row);
    int n = 0;
    for (size_t i = 0; i < count; i++) {
        if (!rows[i].again)
            continue;
        build_row(sweep, chunk->ctx, &rows[i], steps + n);
        n += rows[i].count;
    }
    chunk->commit_sent = true;
    bool ok = gate_batch(sweep->gate, chunk->ctx, steps, n, NULL, &chunk->error);
    if (db_is_lost(sweep->db)) {
        /* What was answered before is known, and goes into the log; the run's record tells of the
         * rest. */
        for (size_t i = 0; i < count; i++)
            if (rows[i].again && is_committed(&rows[i]))
                row_committed(sweep, chunk, &rows[i]);
        return false;
    }
    chunk->commit_sent = false;
    if (!ok)
        error_clear(&chunk->error); /* it is some row's: each is judged by itself */
    for (size_t i = 0; i < count; i++)
        if (rows[i].again && !judge(sweep, chunk, &rows[i], &chunk->error))
            return false;
    return true;
}

static bool any_again(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].again)
            return true;
    return false;
}

/* Finds the rows of the chunk of which another session has locked something: they are passed over.
 * The locks of this look are given back; what is locked after it, each row meets by itself. */
static bool step_over_locked(struct sweep *sweep, struct chunk *chunk)
{
    struct db_step steps[BEGIN_STEPS_MAX + 2];
    int find = work_begin(sweep, steps), failed = 0;
    steps[find] = (struct db_step){.statement = &sweep->statements.find_locked,
                                   .nparams = (int)sweep->plan->key_count,
                                   .params = key_arrays(chunk->ctx, sweep->plan,
                                                        (const char *const *const *)chunk->keys,
                                                        chunk->key_count)};
    steps[find + 1] = (struct db_step){.statement = &db_commit};
    if (!gate_batch(sweep->gate, chunk->ctx, steps, find + 2, &failed, &chunk->error)) {
        work_note_table(sweep, failed, &chunk->error, chunk);
        return false;
    }
    chunk->looked_ahead = true;
    locked_take(sweep, chunk, steps[find].rows);
    return true;
}

/* The rows of the chunk that are to be tried: not those that failed before, nor those that are
 * known to be locked. */
static bool take_rows(struct sweep *sweep, struct chunk *chunk, const struct db_rows *found,
                      struct row **rows)
{
    int n = db_rows_count(found);
    chunk->keys = mem_array(chunk->ctx, const char **, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        const char **key =
            key_from_row(chunk->ctx, sweep->plan, found, i, (int)sweep->plan->cursor_count);
        if (!sweep_failed_before(sweep, key))
            chunk->keys[chunk->key_count++] = key;
    }
    if (chunk->key_count > 0 && sweep->locked.looks_ahead > 0 && sweep->statements.finds_locked &&
        !step_over_locked(sweep, chunk))
        return false;
    *rows = mem_array(chunk->ctx, struct row, chunk->key_count + 1);
    for (size_t i = 0; i < chunk->key_count; i++)
        (*rows)[i] = (struct row){.key = chunk->keys[i], .again = true};
    return true;
}

/* What follows from rows that are locked: the next chunk looks first; where not one could go, fewer
 * are tried. */
static void note_locked(struct sweep *sweep, const struct chunk *chunk, const struct row *rows)
{
    bool locked = false;
    for (size_t i = 0; i < chunk->key_count; i++)
        locked = locked || rows[i].locked;
    if (!locked)
        return;
    locked_look_ahead(sweep);
    if (chunk->added[0] == 0)
        locked_in_the_way(sweep, chunk->looked_ahead || !sweep->statements.finds_locked);
}

/* Sends the rows until each has gone, or is known to stay for now. */
static bool settle_rows(struct sweep *sweep, struct chunk *chunk, struct row *rows)
{
    for (; any_again(rows, chunk->key_count); chunk->row_tries++) {
        if (chunk->row_tries > 0) {
            if (stop_requested())
                break;
            sweep_back_off(sweep, chunk->row_tries);
        }
        if (!send_rows(sweep, chunk, rows, chunk->key_count)) {
            /* What was committed before the failure stands. */
            chunk->fatal = !db_is_lost(sweep->db);
            return false;
        }
    }
    return true;
}

enum chunk_outcome rows_chunk(struct sweep *sweep, struct chunk *chunk)
{
    const struct plan *plan = sweep->plan;
    struct db_rows *found;
    struct row *rows;
    int64_t grain = locked_grain(sweep);
    chunk->asked = grain > 1 ? grain : pace_rows(sweep, 0);
    if (grain == 1 && chunk->asked > ROWS_AT_ONCE)
        chunk->asked = ROWS_AT_ONCE;
    if (!list(sweep, chunk, &found)) {
        work_note_table(sweep, 0, &chunk->error, chunk); /* it locks no row */
        return CHUNK_ERROR;
    }
    int n = db_rows_count(found);
    if (n == 0)
        return CHUNK_END;
    if (!take_rows(sweep, chunk, found, &rows))
        return CHUNK_ERROR;
    chunk->end = cursor_from_row(chunk->ctx, found, n - 1, 0, plan->cursor_count);
    chunk->last = n < chunk->asked;
    /* None went for so long: one of them tells whether it is worth while to try the others. */
    if (grain > 1 && chunk->key_count > 1)
        chunk->key_count = 1;
    if (!settle_rows(sweep, chunk, rows))
        return CHUNK_ERROR;
    note_locked(sweep, chunk, rows);
    if (grain > 1 && chunk->added[0] > 0) {
        chunk->end = cursor_from_row(chunk->ctx, found, 0, 0, plan->cursor_count);
        chunk->last = false;
    }
    chunk->candidates = chunk->added[0] + chunk->spared;
    return CHUNK_DONE;
}
