/* Rows that another session has locked. A locked row is no failure: its candidate is
 * stepped over, tried again by a later pass, and reported at the end. (Tables: tables.c.) */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan_locked.h"
#include "pgsweep/stop.h"

/* To look for locked rows first costs about as much as a chunk that is given up. So only the chunk
 * does that which has met one; where they are met again so soon, the next so many do too. */
enum { SOON_CHUNKS = 2, LOOK_AHEAD_CHUNKS = 8 };

/* So many candidates in a row are found one by one that wait for a lock; then, until one goes, more
 * are stepped over with each try: all may be waiting for the same row. */
enum { IN_THE_WAY_MAX = 16, GRAIN_BITS_MAX = 20 };

bool locked_is(const struct error *err)
{
    return sqlstate_is(err, SQLSTATE_LOCK_NOT_AVAILABLE);
}

void locked_begin_pass(struct sweep *sweep)
{
    for (size_t i = 0; i < sweep->locked.count; i++)
        talloc_free(sweep->locked.keys[i].key);
    sweep->locked.count = 0;
    sweep->locked.in_the_way = 0;
    sweep->locked.since = SOON_CHUNKS;
    sweep->locked.step_over = false;
    sweep->locked.looks_ahead = sweep->position.pass > 1 ? LOOK_AHEAD_CHUNKS : 0;
}

void locked_look_ahead(struct sweep *sweep)
{
    bool soon = sweep->position.pass > 1 || sweep->locked.since <= SOON_CHUNKS;
    sweep->locked.looks_ahead = soon ? LOOK_AHEAD_CHUNKS : 1;
    sweep->locked.since = 0;
}

void locked_note(struct sweep *sweep, const char *const *key, const char *table)
{
    if (sweep->locked.count >= REPORT_LOCKED_MAX)
        return;
    size_t i = mem_grow(sweep->report, &sweep->locked.keys, &sweep->locked.count);
    sweep->locked.keys[i] = (struct locked_key){key_copy(sweep->report, sweep->plan, key), table};
}

/* Whose row keeps the candidate. What no pass has met was passed over with the candidates that are
 * locked themselves, unless there were more than are noted. */
static const char *locked_table(const struct sweep *sweep, const char *const *key)
{
    for (size_t i = 0; i < sweep->locked.count; i++)
        if (key_is(sweep->plan, sweep->locked.keys[i].key, key))
            return sweep->locked.keys[i].table;
    return sweep->locked.count < REPORT_LOCKED_MAX ? sweep->plan->nodes[0]->table.label : NULL;
}

bool locked_name(struct sweep *sweep, void *arg, struct error *err)
{
    struct report *report = sweep->report;
    void *scratch = talloc_new(report);
    struct db_rows *rows;
    (void)arg;
    stop_cancel_early(true);
    bool ok = !stop_requested() && plan_name_remaining(scratch, sweep->db, sweep->plan,
                                                       report->failed > 0 ? report->run_id : NULL,
                                                       REPORT_LOCKED_MAX, &rows, err);
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
    sweep->locked.looks_ahead--;
    if (chunk->key_count < (size_t)n && sweep->locked.looks_ahead > 0)
        sweep->locked.looks_ahead = LOOK_AHEAD_CHUNKS;
}

void locked_in_the_way(struct sweep *sweep, bool all)
{
    sweep->locked.in_the_way++;
    if (all && sweep->locked.in_the_way < IN_THE_WAY_MAX)
        sweep->locked.in_the_way = IN_THE_WAY_MAX;
}

int64_t locked_grain(const struct sweep *sweep)
{
    int64_t over = sweep->locked.in_the_way - IN_THE_WAY_MAX;
    return over <= 0 ? 1 : (int64_t)1 << (over < GRAIN_BITS_MAX ? over : GRAIN_BITS_MAX);
}
