/* The locked strategy: lock the next candidates, look again now that they cannot change, delete what
 * hangs on them and then them, all in one transaction. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* The chunk's transaction, in the order of its steps. */
struct locked {
    struct sweep *sweep;
    struct chunk *chunk;
    struct db_rows *locked; /* cursor columns, then key columns */
    const char **keys;      /* array parameters: one for each key column */
    int64_t rows;           /* candidates in the arrays */
};

static bool lock_candidates(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    const struct plan *plan = sweep->plan;
    bool from = sweep->cursor.values != NULL;
    const char **params = mem_array(l->chunk->ctx, const char *, plan->cursor_count + 2);
    int n = 0;
    params[n++] = plan->cutoff_value;
    for (size_t i = 0; from && i < plan->cursor_count; i++)
        params[n++] = sweep->cursor.values[i];
    params[n++] = mem_printf(l->chunk->ctx, "%lld", (long long)l->chunk->asked);
    struct db_step steps[] = {
        {.statement = &db_begin},
        {.statement = &sweep->statements.lock[from], .nparams = n, .params = params}};
    if (!effects_batch(sweep->effects, l->chunk->ctx, steps, 2, NULL, &l->chunk->error))
        return false;
    l->locked = steps[1].rows;
    return true;
}

static bool has_failed_before(const struct sweep *sweep, const char *key)
{
    for (size_t i = 0; i < sweep->failed_count; i++)
        if (strcmp(sweep->failed[i], key) == 0)
            return true;
    return false;
}

/* Makes the array parameters from the key columns of rows, from column first on, without the keys that
 * failed in an earlier pass, and the texts of the keys. */
static void take_keys(struct locked *l, const struct db_rows *rows, int first)
{
    const struct plan *plan = l->sweep->plan;
    size_t n = (size_t)db_rows_count(rows);
    const char **columns[64];
    for (size_t k = 0; k < plan->key_count; k++)
        columns[k] = mem_array(l->chunk->ctx, const char *, n + 1);
    l->chunk->keys = mem_array(l->chunk->ctx, const char *, n + 1);
    l->chunk->key_count = 0;
    bool texts = l->sweep->budget->verbose || l->sweep->failed_count > 0 || n == 1;
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const char *values[64];
        for (size_t k = 0; k < plan->key_count; k++)
            values[k] = db_rows_get(rows, (int)i, first + (int)k);
        char *text = texts ? key_text(l->chunk->ctx, plan, values) : NULL;
        if (text && has_failed_before(l->sweep, text))
            continue;
        for (size_t k = 0; k < plan->key_count; k++)
            columns[k][kept] = values[k];
        if (text)
            l->chunk->keys[l->chunk->key_count++] = text;
        kept++;
    }
    l->rows = (int64_t)kept;
    l->keys = mem_array(l->chunk->ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        l->keys[k] = db_array(l->chunk->ctx, columns[k], kept);
}

/* Looks again under a fresh snapshot. Where a condition reads other tables, the dependents that it may
 * read are locked first, so that nothing it saw can change before the commit. */
static bool verify(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    const struct statements *s = &sweep->statements;
    const struct plan *plan = sweep->plan;
    struct db_step *steps = mem_array(l->chunk->ctx, struct db_step, s->dependent_count + 1);
    int n = 0;
    for (size_t i = 0; plan->looks_beyond && i < s->dependent_count; i++)
        steps[n++] = (struct db_step){.statement = &s->dependents[i].lock,
                                      .nparams = (int)plan->key_count, .params = l->keys};
    const char **params = mem_array(l->chunk->ctx, const char *, plan->key_count + 1);
    params[0] = plan->cutoff_value;
    memcpy(params + 1, l->keys, plan->key_count * sizeof *params);
    steps[n++] = (struct db_step){.statement = &s->verify, .nparams = (int)plan->key_count + 1,
                                  .params = params};
    if (!effects_batch(sweep->effects, l->chunk->ctx, steps, n, NULL, &l->chunk->error))
        return false;
    int64_t before = l->rows;
    take_keys(l, steps[n - 1].rows, 0);
    l->chunk->spared = before - l->rows;
    return true;
}

static bool delete_all(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    const struct statements *s = &sweep->statements;
    size_t keys = sweep->plan->key_count;
    struct db_step *steps = mem_array(l->chunk->ctx, struct db_step, s->dependent_count + 1);
    for (size_t i = 0; i < s->dependent_count; i++) {
        const struct dependent_step *d = &s->dependents[i];
        const char **params = mem_array(l->chunk->ctx, const char *, keys + (size_t)d->set_count);
        memcpy(params, l->keys, keys * sizeof *params);
        for (int k = 0; k < d->set_count; k++)
            params[keys + (size_t)k] = d->set_values[k];
        steps[i] = (struct db_step){.statement = &d->act, .nparams = (int)keys + d->set_count,
                                    .params = params};
    }
    steps[s->dependent_count] = (struct db_step){.statement = &s->delete_root,
                                                 .nparams = (int)keys, .params = l->keys};
    int n = (int)s->dependent_count + 1;
    if (!effects_batch(sweep->effects, l->chunk->ctx, steps, n, NULL, &l->chunk->error))
        return false;
    for (size_t i = 0; i < s->dependent_count; i++)
        l->chunk->added[s->dependents[i].node->index] += db_rows_affected(steps[i].rows);
    l->chunk->added[0] = db_rows_affected(steps[n - 1].rows);
    if (l->chunk->added[0] == l->rows)
        return true;
    /* Dependents without their row, or rows that stay behind: neither is what the policy says. */
    error_set(&l->chunk->error, SWEEP_SOME_FAILED,
              "DELETE removed %lld of %lld rows of %s: a trigger or rule kept the others",
              (long long)l->chunk->added[0], (long long)l->rows, sweep->plan->nodes[0]->table.label);
    error_sqlstate(&l->chunk->error, "P0004");
    return false;
}

static bool commit(struct locked *l)
{
    struct sweep *sweep = l->sweep;
    struct db_step steps[] = {
        run_record_step(sweep->effects, l->chunk->ctx, sweep->report, l->chunk->added),
        {.statement = &db_commit}};
    l->chunk->commit_sent = true;
    bool ok = effects_batch(sweep->effects, l->chunk->ctx, steps, 2, NULL, &l->chunk->error);
    if (ok && db_committed(&steps[1]))
        return true;
    l->chunk->commit_sent = db_is_lost(sweep->db);
    if (ok) {
        error_set(&l->chunk->error, SWEEP_INTERNAL, "COMMIT was answered with \"%s\"", steps[1].tag);
        error_sqlstate(&l->chunk->error, "40000");
    }
    return false;
}

enum chunk_outcome locked_chunk(struct sweep *sweep, struct chunk *chunk)
{
    struct locked l = {.sweep = sweep, .chunk = chunk};
    chunk->asked = pace_rows(sweep);
    if (!lock_candidates(&l))
        return CHUNK_ERROR;
    int n = db_rows_count(l.locked);
    if (n == 0) {
        db_rollback(sweep->db);
        return CHUNK_END;
    }
    chunk->end = cursor_from_row(chunk->ctx, sweep->plan, l.locked, n - 1, 0);
    chunk->last = n < chunk->asked;
    take_keys(&l, l.locked, (int)sweep->plan->cursor_count);
    chunk->candidates = l.rows;
    if (l.rows > 0 && !verify(&l))
        return CHUNK_ERROR;
    if (l.rows == 0) {
        db_rollback(sweep->db);
        return CHUNK_DONE;
    }
    return delete_all(&l) && commit(&l) ? CHUNK_DONE : CHUNK_ERROR;
}
