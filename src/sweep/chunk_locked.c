/* The locked strategy: lock the next candidates, look again now that they cannot change, delete
 * what hangs on them and then them, all in one transaction. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/gate.h"
#include "pgsweep/mem.h"

/* The chunk's transaction, in the order of its steps. */
struct locked {
    struct sweep *sweep;
    struct chunk *chunk;
    struct db_rows *locked; /* one row: how many, the key arrays, the last one's cursor */
    const char **keys;      /* array parameters: one for each key column */
    int64_t rows;           /* candidates in the arrays */
    bool grown;             /* with the rows below them */
};

static bool lock_candidates(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    const char **params =
        mem_array(l->chunk->ctx, const char *, sweep->position.cursor.columns + 2);
    int n = 0;
    params[n++] = sweep->plan->cutoff_value;
    n = cursor_add(params, n, &sweep->position.cursor);
    params[n++] = mem_printf(l->chunk->ctx, "%lld", (long long)l->chunk->asked);
    struct db_step steps[BEGIN_STEPS_MAX + 1];
    int lock = work_begin(sweep, steps), failed = 0;
    steps[lock] = (struct db_step){
        .statement = &sweep->statements.lock[cursor_bound(&sweep->position.cursor, sweep->plan)],
        .nparams = n,
        .params = params};
    /* Where candidates are rare it reads many rows to find them. */
    db_give_way(sweep->db, true);
    bool ok = gate_batch(sweep->gate, l->chunk->ctx, steps, lock + 1, &failed, &l->chunk->error);
    db_give_way(sweep->db, false);
    if (!ok) {
        work_note_table(sweep, failed, &l->chunk->error, l->chunk);
        return false;
    }
    l->locked = steps[lock].rows;
    return true;
}

/* The keys one by one, out of the arrays, without those that failed in an earlier pass. What is
 * below a candidate belongs to it all the same: where that cannot go, it cannot either. */
static void take_each(struct locked *l)
{
    struct chunk *chunk = l->chunk;
    const struct plan *plan = l->sweep->plan;
    const char ***columns = mem_array(chunk->ctx, const char **, plan->key_count);
    size_t n = 0, kept = 0;
    for (size_t k = 0; k < plan->key_count; k++)
        db_array_split(chunk->ctx, l->keys[k], &columns[k], &n);
    chunk->keys = mem_array(chunk->ctx, const char **, n + 1);
    for (size_t i = 0; i < n; i++) {
        const char **key = mem_array(chunk->keys, const char *, plan->key_count);
        for (size_t k = 0; k < plan->key_count; k++)
            key[k] = columns[k][i];
        if (!l->grown && sweep_failed_before(l->sweep, key))
            continue;
        for (size_t k = 0; k < plan->key_count; k++)
            columns[k][kept] = key[k];
        chunk->keys[kept++] = key;
    }
    chunk->key_count = kept;
    l->rows = (int64_t)kept;
    for (size_t k = 0; kept < n && k < plan->key_count; k++)
        l->keys[k] = db_array(chunk->ctx, columns[k], kept);
}

/* Takes the number of candidates and their key arrays as they come: most transactions need no
 * single key. */
static void take_keys(struct locked *l, const struct db_rows *rows)
{
    struct chunk *chunk = l->chunk;
    const struct sweep *sweep = l->sweep;
    l->rows = db_rows_int(rows, 0, 0);
    l->keys = mem_array(chunk->ctx, const char *, sweep->plan->key_count);
    for (size_t k = 0; k < sweep->plan->key_count; k++)
        l->keys[k] = l->rows > 0 ? db_rows_get(rows, 0, 1 + (int)k) : "{}";
    chunk->keys = NULL;
    chunk->key_count = 0;
    if (l->rows == 1 || sweep->set_aside.count > 0 || sweep->budget->verbose)
        take_each(l);
}

/* Steps over the candidates of which another session has locked something, and locks what hangs on
 * the others. */
static bool step_over_locked(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    struct chunk *chunk = l->chunk;
    struct db_step step = {.statement = &sweep->statements.find_locked,
                           .nparams = (int)sweep->plan->key_count,
                           .params = l->keys};
    if (!gate_batch(sweep->gate, chunk->ctx, &step, 1, NULL, &chunk->error))
        return false;
    chunk->looked_ahead = true;
    locked_take(sweep, chunk, step.rows);
    l->rows = (int64_t)chunk->key_count;
    l->keys = key_arrays(chunk->ctx, sweep->plan, (const char *const *const *)chunk->keys,
                         chunk->key_count);
    return true;
}

/* Others may add rows below until all that these refer to is locked: not as often as this. */
enum { BELOW_LOOKS_MAX = 100 };

/* Takes along what is below the candidates, locked. What another session adds meanwhile is found by
 * looking again: where nothing was found twice, nothing can be added, for what it would refer to is
 * locked. */
static bool take_below(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    int64_t before = -1;
    l->grown = true;
    for (int looks = 0; before != l->rows; looks++) {
        if (looks == BELOW_LOOKS_MAX) {
            error_set(&l->chunk->error, SWEEP_SOME_FAILED,
                      "the rows below a candidate are others each time");
            error_sqlstate(&l->chunk->error, sqlstate_code(SQLSTATE_SERIALIZATION_FAILURE));
            return false;
        }
        struct db_step step = {.statement = &sweep->statements.lock_below,
                               .nparams = (int)sweep->plan->key_count,
                               .params = l->keys};
        if (!gate_batch(sweep->gate, l->chunk->ctx, &step, 1, NULL, &l->chunk->error))
            return false;
        before = l->rows;
        take_keys(l, step.rows);
    }
    l->chunk->candidates = l->rows;
    return true;
}

/* With what is below them the candidates are more than --max-rows leaves. */
static bool is_over_limit(const struct locked *l)
{
    const struct sweep *sweep = l->sweep;
    return l->grown && sweep->budget->max_rows > 0 &&
           sweep->pace.taken + l->rows > sweep->budget->max_rows;
}

/* One candidate at a time; one that is too many with what is below it is left, and the report says
 * so. */
static enum chunk_outcome pass_over(struct locked *l)
{
    struct chunk *chunk = l->chunk;
    db_rollback(l->sweep->db);
    if (chunk->asked > 1) {
        l->sweep->pace.singly = 2; /* this one counts too */
        chunk->end = (struct cursor){NULL, 0};
        chunk->last = false;
    } else {
        l->sweep->report->limit = "max-rows";
    }
    chunk->candidates = 0;
    return CHUNK_DONE;
}

/* Looks again under a fresh snapshot, now that the rows (and the dependents that a condition may
 * read) are locked. */
static bool verify(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    const struct statements *s = &sweep->statements;
    int keys = (int)sweep->plan->key_count;
    struct db_step *steps = mem_array(l->chunk->ctx, struct db_step, s->lock_dependent_count + 1);
    int n = 0;
    for (size_t i = 0; i < s->lock_dependent_count; i++)
        steps[n++] = (struct db_step){
            .statement = &s->lock_dependents[i], .nparams = keys, .params = l->keys};
    const char **params = mem_array(l->chunk->ctx, const char *, keys + 1);
    params[0] = sweep->plan->cutoff_value;
    memcpy(params + 1, l->keys, (size_t)keys * sizeof *params);
    steps[n++] = (struct db_step){.statement = &s->verify, .nparams = keys + 1, .params = params};
    if (!gate_batch(sweep->gate, l->chunk->ctx, steps, n, NULL, &l->chunk->error))
        return false;
    int64_t before = l->rows;
    take_keys(l, steps[n - 1].rows);
    l->chunk->spared = before - l->rows;
    return true;
}

/* A look that failed, as one of our own expectations: its cast of a text to a number. */
static void explain(struct locked *l, const struct work_step *step)
{
    if (sqlstate_is(&l->chunk->error, SQLSTATE_INVALID_TEXT_REPRESENTATION))
        work_explain(l->sweep, step, l->rows, l->chunk, &l->chunk->error);
}

/* Near: the rows are counted here, from command tags, which is cheaper than in SQL; the numbers go
 * back with the record. */
static bool work_near(struct locked *l, struct db_step *steps, int *count)
{
    struct sweep *sweep = l->sweep;
    struct chunk *chunk = l->chunk;
    int failed = 0;
    if (!gate_batch(sweep->gate, chunk->ctx, steps, (int)sweep->work.counted, &failed,
                    &chunk->error)) {
        explain(l, work_step_at(sweep, failed));
        return false;
    }
    work_count(sweep, steps, chunk, chunk->added);
    const struct work_step root = {.expects = EXPECTS_ROOT};
    const struct work_step unlocked = {.expects = EXPECTS_LOCKED};
    const struct work_step *wrong = work_unlocked(sweep, steps, chunk->added) ? &unlocked : NULL;
    if (chunk->added[0] != l->rows)
        wrong = &root;
    if (wrong) {
        work_explain(sweep, wrong, l->rows, chunk, &chunk->error);
        return false;
    }
    *count = work_add_counted_end(sweep, chunk->ctx, chunk->added, steps);
    return true;
}

static bool work_and_commit(struct locked *l)
{
    static const struct work_step check = {.expects = EXPECTS_PLAN};
    struct sweep *sweep = l->sweep;
    struct chunk *chunk = l->chunk;
    struct db_step *steps = mem_array(chunk->ctx, struct db_step, sweep->work.count + 1);
    int n = work_add(sweep, chunk->ctx, l->keys, l->rows, steps);
    int failed = 0;
    if (sweep->pace.near && !work_near(l, steps, &n))
        return false;
    chunk->commit_sent = true;
    bool ok = gate_batch(sweep->gate, chunk->ctx, steps, n, &failed, &chunk->error);
    if (ok && db_committed(&steps[n - 1])) {
        if (!sweep->pace.near)
            work_count(sweep, steps, chunk, chunk->added);
        chunk->transactions = 1;
        return true;
    }
    chunk->commit_sent = db_is_lost(sweep->db);
    if (ok) {
        error_set(&chunk->error, SWEEP_INTERNAL, "COMMIT was answered with \"%s\"",
                  steps[n - 1].tag);
        error_sqlstate(&chunk->error, sqlstate_code(SQLSTATE_TRANSACTION_ROLLBACK));
    } else if (!sweep->pace.near) {
        explain(l, work_step_at(sweep, failed));
    } else if (failed == 1) {
        explain(l, &check);
    }
    return false;
}

enum chunk_outcome locked_chunk(struct sweep *sweep, struct chunk *chunk)
{
    struct locked l = {.sweep = sweep, .chunk = chunk};
    chunk->asked = sweep->plan->policy->transaction == TRANSACTION_ROW ? 1 : pace_rows(sweep, 0);
    if (!lock_candidates(&l))
        return CHUNK_ERROR;
    int64_t n = db_rows_int(l.locked, 0, 0);
    if (n == 0) {
        db_rollback(sweep->db);
        return CHUNK_END;
    }
    chunk->end = cursor_from_row(chunk->ctx, l.locked, 0, 1 + (int)sweep->plan->key_count,
                                 sweep->plan->cursor_count);
    chunk->last = n < chunk->asked;
    take_keys(&l, l.locked);
    if (l.rows > 0 && sweep->locked.looks_ahead > 0 && sweep->statements.finds_locked &&
        !step_over_locked(&l))
        return CHUNK_ERROR;
    chunk->candidates = l.rows;
    if (l.rows > 0 && plan_has_below(sweep->plan)) {
        if (!take_below(&l))
            return CHUNK_ERROR;
        if (is_over_limit(&l))
            return pass_over(&l);
    }
    /* Locking has looked at the row's own columns again; what lies beyond it takes a fresh
     * snapshot. */
    if (l.rows > 0 && sweep->plan->looks_beyond && !verify(&l))
        return CHUNK_ERROR;
    if (l.rows == 0) {
        db_rollback(sweep->db);
        return CHUNK_DONE;
    }
    return work_and_commit(&l) ? CHUNK_DONE : CHUNK_ERROR;
}

enum chunk_outcome control_chunk(struct sweep *sweep, struct chunk *chunk)
{
    struct locked l = {.sweep = sweep, .chunk = chunk};
    struct db_step begin[BEGIN_STEPS_MAX];
    int count = work_begin(sweep, begin), failed = 0;
    size_t keys = sweep->plan->key_count;
    l.keys = mem_array(chunk->ctx, const char *, keys);
    for (size_t k = 0; k < keys; k++)
        l.keys[k] = db_array(chunk->ctx, NULL, 0);
    bool ok = gate_batch(sweep->gate, chunk->ctx, begin, count, &failed, &chunk->error);
    if (!ok)
        work_note_table(sweep, failed, &chunk->error, chunk);
    ok = ok && work_and_commit(&l);
    if (!ok && (db_is_lost(sweep->db) || chunk->table_locked))
        return CHUNK_ERROR;
    if (!ok) {
        /* Whatever else is wrong with it, the connection has outlived it. */
        db_rollback(sweep->db);
        error_clear(&chunk->error);
    }
    return CHUNK_DONE;
}
