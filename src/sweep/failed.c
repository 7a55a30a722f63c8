/* Which candidates cannot go, and why. Their dead letters: aside.c. */
#include "internal.h"
#include "pgsweep/mem.h"

struct failure failure_new(const void *ctx, const struct plan *plan, const char *const *key,
                           struct error *why)
{
    struct failure failure = {key_copy(ctx, plan, key), error_new(ctx)};
    error_move(failure.why, why);
    return failure;
}

const char **sweep_failing_key(struct sweep *sweep, const struct chunk *chunk)
{
    const struct plan *plan = sweep->plan;
    if (chunk->key_count == 1)
        return chunk->keys[0];
    if (chunk->end.columns != plan->cursor_count)
        return NULL;
    /* In a range the cursor's last columns are the key; one of them may be the age itself. */
    const char **values = mem_array(chunk->ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        for (size_t i = 0; i < plan->cursor_count; i++)
            if (plan->cursor[i] == plan->key[k])
                values[k] = chunk->end.values[i];
    return values;
}

bool sweep_failed_before(const struct sweep *sweep, const char *const *key)
{
    for (size_t i = 0; i < sweep->set_aside.count; i++)
        if (key_is(sweep->plan, sweep->set_aside.keys[i], key))
            return true;
    return false;
}

void sweep_remember_failed(struct sweep *sweep, const char *const *key)
{
    if (sweep->set_aside.count >= SWEEP_FAILED_KEYS_MAX)
        return;
    size_t i = mem_grow(sweep->report, &sweep->set_aside.keys, &sweep->set_aside.count);
    sweep->set_aside.keys[i] = key_copy(sweep->report, sweep->plan, key);
}

bool sweep_all_fail(const struct sweep *sweep)
{
    return sweep->set_aside.in_a_row >= sweep->budget->max_failed;
}
