/* Rows and tables that another session has locked. A locked row is no failure: its candidate is
 * stepped over, tried again by a later pass, and told at the end. A locked table is waited for. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

/* To look for locked rows first costs about as much as a chunk that is given up. So only the chunk
 * does that which has met one; where they are met again so soon, the next so many do too. */
enum { SOON_CHUNKS = 2, LOOK_AHEAD_CHUNKS = 8 };

/* So many candidates in a row are found one by one that wait for a lock; then, until one goes, more
 * are stepped over with each try: all may be waiting for the same row. */
enum { IN_THE_WAY_MAX = 16, GRAIN_BITS_MAX = 20 };

bool locked_is(const struct error *err)
{
    return strcmp(err->sqlstate, "55P03") == 0;
}

void locked_begin_pass(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->locked_count; i++)
        talloc_free(sweep->locked[i].key);
    sweep->locked_count = 0;
    sweep->in_the_way = 0;
    sweep->since_locked = SOON_CHUNKS;
    sweep->step_over = false;
    sweep->looks_ahead = sweep->pass > 1 ? LOOK_AHEAD_CHUNKS : 0;
}

void locked_look_ahead(struct sweep *sweep)
{
    bool soon = sweep->pass > 1 || sweep->since_locked <= SOON_CHUNKS;
    sweep->looks_ahead = soon ? LOOK_AHEAD_CHUNKS : 1;
    sweep->since_locked = 0;
}

void locked_note(struct sweep *sweep, const char *const *key, const char *table)
{
    if (sweep->locked_count >= REPORT_LOCKED_MAX)
        return;
    size_t i = mem_grow(sweep->report, &sweep->locked, &sweep->locked_count);
    sweep->locked[i] =
        (struct locked_key){key_copy(sweep->report, sweep->plan, key), table};
}

/* Whose row keeps the candidate. What no pass has met was passed over with the candidates that are
 * locked themselves, unless there were more than are noted. */
static const char *locked_table(const struct sweep *sweep, const char *const *key)
{
    for (size_t i = 0; i < sweep->locked_count; i++)
        if (key_is(sweep->plan, sweep->locked[i].key, key))
            return sweep->locked[i].table;
    return sweep->locked_count < REPORT_LOCKED_MAX ? sweep->plan->nodes[0]->table.label : NULL;
}

bool locked_name(struct sweep *sweep, void *arg, struct error *err)
{
    struct report *report = sweep->report;
    void *scratch = talloc_new(report);
    struct db_rows *rows;
    (void)arg;
    stop_cancel_early(true);
    bool ok = !stop_requested() &&
              plan_name_remaining(scratch, sweep->db, sweep->plan,
                                  report->failed > 0 ? report->run_id : NULL, REPORT_LOCKED_MAX,
                                  &rows, err);
    stop_cancel_early(false);
    for (int i = 0; ok && i < db_rows_count(rows); i++) {
        const char **key = key_from_row(scratch, sweep->plan, rows, i, 0);
        report_add_locked(report, key_text(scratch, sweep->plan, key), locked_table(sweep, key));
    }
    talloc_free(scratch);
    return ok || stop_requested();
}

void locked_take(struct sweep *sweep, struct chunk *chunk, const struct db_rows *rows)
{
    const struct plan *plan = sweep->plan;
    int n = db_rows_count(rows);
    chunk->keys = mem_array(chunk->ctx, const char **, (size_t)n + 1);
    chunk->key_count = 0;
    for (int i = 0; i < n; i++) {
        const char **key = key_from_row(chunk->ctx, plan, rows, i, 0);
        int64_t node = db_rows_int(rows, i, (int)plan->key_count);
        if (node == 0)
            chunk->keys[chunk->key_count++] = key;
        else
            locked_note(sweep, key, plan->nodes[node]->table.label);
    }
    sweep->looks_ahead--;
    if (chunk->key_count < (size_t)n && sweep->looks_ahead > 0)
        sweep->looks_ahead = LOOK_AHEAD_CHUNKS;
}

void locked_in_the_way(struct sweep *sweep, bool all)
{
    sweep->in_the_way++;
    if (all && sweep->in_the_way < IN_THE_WAY_MAX)
        sweep->in_the_way = IN_THE_WAY_MAX;
}

int64_t locked_grain(const struct sweep *sweep)
{
    int64_t over = sweep->in_the_way - IN_THE_WAY_MAX;
    return over <= 0 ? 1 : (int64_t)1 << (over < GRAIN_BITS_MAX ? over : GRAIN_BITS_MAX);
}

/* "public.items by process 4711 (psql, AccessExclusiveLock)", owned by ctx; NULL: nobody is seen. */
static char *holders(struct sweep *sweep, const void *ctx)
{
    const struct plan *plan = sweep->plan;
    const char *params[] = {plan->relations};
    struct error ignored = ERROR_INIT;
    struct db_rows *rows;
    char *text = NULL;
    if (!db_query(sweep->db, ctx, template_fill(ctx, SWEEP_SQL, "table_holders", NULL), 1, params,
                  &rows, &ignored)) {
        error_clear(&ignored);
        return NULL;
    }
    for (int i = 0; i < db_rows_count(rows); i++) {
        const char *application = db_rows_get(rows, i, 3);
        text = mem_printf(ctx, "%s%s%s by process %s (%s%s%s)", text ? text : "", text ? ", " : "",
                          db_rows_get(rows, i, 0), db_rows_get(rows, i, 1), application,
                          *application ? ", " : "", db_rows_get(rows, i, 2));
    }
    return text;
}

/* Somebody has locked a table, or nothing tells what the run is waiting for. */
static bool wait_for_table(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    if (++sweep->tries <= sweep->budget->retries) {
        sweep_back_off(sweep, sweep->tries);
        return true;
    }
    char *who = holders(sweep, chunk->ctx);
    if (who) {
        error_set(err, SWEEP_SOME_FAILED, "a table stayed locked over %d tries: %s",
                  sweep->budget->retries + 1, who);
        error_sqlstate(err, "55P03");
    } else {
        error_move(err, &chunk->error);
        err->code = SWEEP_SOME_FAILED;
    }
    return error_hint(err, "What was committed stays. Run again when that session has ended its "
                           "transaction; the next run goes on.");
}

/* The candidates of the chunk wait for a row that nothing found before: one that a trigger changes,
 * say, or one that was locked since. */
static bool step_over(struct sweep *sweep, struct chunk *chunk)
{
    for (size_t i = 0; i < chunk->key_count; i++)
        locked_note(sweep, chunk->keys[i], NULL);
    locked_in_the_way(sweep, false);
    sweep->rows = locked_grain(sweep);
    sweep->skip_locked = false;
    sweep_skip(sweep, chunk);
    return true;
}

bool locked_failed(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    bool known = chunk->end.columns > 0 || chunk->key_count > 0 || chunk->last;
    throttle_look_now(sweep);
    if (chunk->untouched || !known)
        return wait_for_table(sweep, chunk, err);
    if (sweep->plan->strategy == STRATEGY_RANGE && sweep->pass == 1 && !sweep->skip_locked) {
        /* Take the rows around the locked ones now, and them later. */
        bool by_range = !sweep->step_over && !sweep->budget->verbose;
        sweep->step_over = by_range;
        sweep->skip_locked = !by_range;
        sweep->high_known = by_range;
        return true;
    }
    sweep->high_known = false;
    if (sweep->statements.finds_locked && !chunk->looked_ahead) {
        locked_look_ahead(sweep);
        return true;
    }
    if (chunk->asked <= locked_grain(sweep) && chunk->end.columns > 0)
        return step_over(sweep, chunk);
    sweep->exact = true;
    sweep->rows = chunk->asked > 1 ? chunk->asked / 2 : 1;
    return true;
}
