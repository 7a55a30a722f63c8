/* A transaction's work as steps of a batch: parameters, results, and what a failed expectation
 * means. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_runs.h"

int work_locked_number(const struct sweep *sweep, const struct plan_node *node)
{
    return (int)sweep->plan->node_count + node->index;
}

int work_begin(const struct sweep *sweep, struct db_step *steps)
{
    const struct statements *s = &sweep->statements;
    for (int i = 0; i < s->begin_count; i++)
        steps[i] = (struct db_step){.statement = i == 0 ? &db_begin : &s->begin[i]};
    return s->begin_count;
}

void work_note_table(const struct sweep *sweep, int failed, const struct error *why,
                     struct chunk *chunk)
{
    bool locks_table = failed >= 0 && failed < sweep->statements.begin_count;
    if ((locks_table && sqlstate_is(why, SQLSTATE_LOCK_NOT_AVAILABLE)) ||
        sqlstate_is(why, SQLSTATE_GAVE_WAY))
        chunk->table_locked = true;
}

bool work_takes_number(const struct work_step *step)
{
    return step->expects == EXPECTS_ROOT || step->expects == EXPECTS_COUNTERS;
}

int work_add(struct sweep *sweep, const void *ctx, const char *const *keys, int64_t rows,
             struct db_step *steps)
{
    size_t key_count = sweep->plan->key_count;
    const char *number = mem_printf(ctx, "%lld", (long long)rows);
    for (size_t i = 0; i < sweep->work.count; i++) {
        const struct work_step *from = &sweep->work.steps[i];
        const char **params =
            mem_array(ctx, const char *, key_count + (size_t)from->extra_count + 2);
        int n = 0;
        if (from->takes_cutoff)
            params[n++] = sweep->plan->cutoff_value;
        if (from->takes_keys)
            for (size_t k = 0; k < key_count; k++)
                params[n++] = keys[k];
        for (int k = 0; k < from->extra_count; k++)
            params[n++] = from->extra[k];
        if (work_takes_number(from))
            params[n++] = number;
        steps[i] = (struct db_step){.statement = &from->statement, .nparams = n, .params = params};
    }
    return work_end(steps, (int)sweep->work.count);
}

int work_end(struct db_step *steps, int n)
{
    /* COMMIT stands behind a synchronisation point, so that it is never skipped: after a failure it
     * ends the transaction all the same, and says ROLLBACK. */
    steps[n - 1].sync = true;
    steps[n] = (struct db_step){.statement = &db_commit, .sync = true};
    return n + 1;
}

int work_add_counted_end(struct sweep *sweep, const void *ctx, const int64_t *rows,
                         struct db_step *steps)
{
    const char **params = mem_array(ctx, const char *, RUN_RECORD_PARAMS);
    int count = run_counted_params(ctx, sweep->report, rows, params);
    steps[0] = (struct db_step){
        .statement = &sweep->statements.record_counted, .nparams = count, .params = params};
    steps[1] = work_check_step(sweep, ctx);
    return work_end(steps, 2);
}

struct db_step work_check_step(const struct sweep *sweep, const void *ctx)
{
    const char **params = mem_array(ctx, const char *, 2);
    params[0] = sweep->plan->relations;
    params[1] = sweep->plan->fingerprint;
    return (struct db_step){.statement = &sweep->statements.check, .nparams = 2, .params = params};
}

void work_count(const struct sweep *sweep, const struct db_step *steps, struct chunk *chunk,
                int64_t *added)
{
    for (size_t i = 0; i < sweep->work.count; i++) {
        const struct work_step *step = &sweep->work.steps[i];
        if (step->node && steps[i].rows)
            added[step->node->index] +=
                step->plain ? db_rows_affected(steps[i].rows) : db_rows_int(steps[i].rows, 0, 0);
        if (step->queues_object && steps[i].rows)
            chunk->queued += db_rows_affected(steps[i].rows);
        if (step->queues_directory && steps[i].rows)
            chunk->directories += db_rows_affected(steps[i].rows);
    }
}

const struct work_step *work_unlocked(const struct sweep *sweep, const struct db_step *steps,
                                      const int64_t *added)
{
    for (size_t i = 0; i < sweep->work.counted; i++) {
        const struct work_step *step = &sweep->work.steps[i];
        if (step->locks && steps[i].rows &&
            added[step->locks->index] > db_rows_int(steps[i].rows, 0, 0))
            return step;
    }
    return NULL;
}

static void explain_kept(const struct plan_node *node, int64_t rows, struct error *err)
{
    const char *what = node->index != 0 && !plan_deletes(node) ? "changed" : "deleted";
    error_set(err, SWEEP_SOME_FAILED, "%s kept %s of %s from being %s",
              node->obstacle ? node->obstacle : "a trigger or rule",
              rows == 1 && node->index == 0 ? "the row" : "some rows", node->table.label, what);
    error_hint(err, "A trigger that returns NULL, or a rule, keeps a row without an error. Change "
                    "it, or let the policy "
                    "spare such rows with a guard.");
    error_sqlstate(err, sqlstate_code(SQLSTATE_ASSERT_FAILURE));
}

/* Tried again: the next attempt sees what was added. */
static void explain_added(const struct plan_node *node, const char *table, struct error *err)
{
    error_set(err, SWEEP_SOME_FAILED,
              "another session added rows of %s that refer to rows of this transaction, or that "
              "they refer to",
              node ? node->table.label : table);
    error_sqlstate(err, sqlstate_code(SQLSTATE_SERIALIZATION_FAILURE));
}

void work_explain(const struct sweep *sweep, const struct work_step *step, int64_t rows,
                  struct chunk *chunk, struct error *err)
{
    const struct plan_node *about = step->about;
    switch (step->expects) {
    case EXPECTS_NOTHING:
        break;
    case EXPECTS_ROOT:
        explain_kept(sweep->plan->nodes[0], rows, err);
        break;
    case EXPECTS_NONE_LEFT:
        explain_kept(about, rows, err);
        break;
    case EXPECTS_LOCKED:
    case EXPECTS_NONE_ADDED:
        explain_added(about, "a table", err);
        break;
    case EXPECTS_COUNTERS:
        chunk->uncounted = true;
        break;
    case EXPECTS_PLAN:
        chunk->plan_changed = true;
        break;
    }
}

const struct work_step *work_step_at(const struct sweep *sweep, int step)
{
    static const struct work_step none = {.expects = EXPECTS_NOTHING};
    return step >= 0 && step < (int)sweep->work.count ? &sweep->work.steps[step] : &none;
}
