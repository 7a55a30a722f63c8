/* The loop over chunks and passes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

/* After the first pass, rows that were locked are tried again, this many times. */
enum { PASSES = 3, PASS_PAUSE_MS = 500 };

/* What is left is counted up to here: more is "very many" to anybody. */
enum { LEFT_MAX = 1000000 };

struct cursor cursor_from_row(const void *ctx, const struct plan *plan, const struct db_rows *rows,
                              int row, int first)
{
    struct cursor cursor = {mem_array(ctx, const char *, plan->cursor_count)};
    for (size_t i = 0; i < plan->cursor_count; i++)
        cursor.values[i] = mem_strdup(cursor.values, db_rows_get(rows, row, first + (int)i));
    return cursor;
}

struct cursor cursor_copy(const void *ctx, const struct plan *plan, const struct cursor *from)
{
    struct cursor cursor = {NULL};
    if (!from->values)
        return cursor;
    cursor.values = mem_array(ctx, const char *, plan->cursor_count);
    for (size_t i = 0; i < plan->cursor_count; i++)
        cursor.values[i] = mem_strdup(cursor.values, from->values[i]);
    return cursor;
}

const char **key_from_row(const void *ctx, const struct plan *plan, const struct db_rows *rows, int row,
                          int first)
{
    const char **values = mem_array(ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        values[k] = db_rows_get(rows, row, first + (int)k);
    return values;
}

char *key_text(const void *ctx, const struct plan *plan, const char *const *values)
{
    char *text = mem_strdup(ctx, "(");
    for (size_t k = 0; k < plan->key_count; k++)
        text = mem_check(talloc_asprintf_append(text, "%s%s", k ? ", " : "", plan->key[k]->name));
    text = mem_check(talloc_strdup_append(text, ")=("));
    for (size_t k = 0; k < plan->key_count; k++) {
        char *shown = text_escape(ctx, values[k], strlen(values[k]));
        text = mem_check(talloc_asprintf_append(text, "%s%s", k ? ", " : "", shown));
        talloc_free(shown);
    }
    return mem_check(talloc_strdup_append(text, ")"));
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
    report->chunks += chunk->transactions; /* as its record in pgsweep.runs says too */
    report->spared_late += chunk->spared;
    report->objects.queued += chunk->queued;
    report->directories.queued += chunk->directories;
    sweep->undrained += chunk->queued + chunk->directories;
    sweep->taken += chunk->candidates;
    sweep->tries = 0;
    sweep->skip_locked = false;
    if (chunk->end.values) {
        talloc_free(sweep->cursor.values);
        sweep->cursor = cursor_copy(report, sweep->plan, &chunk->end);
    }
    log_chunk(sweep, chunk);
    progress_show(sweep->progress, report);
}

/* Keys that wait in the queue when this many have come together; the rest goes at the end. */
enum { DRAIN_EVERY = 4000 };

/* Neither the object store nor the file system is a reason to stop: what they refuse stays queued. */
static void drain(struct sweep *sweep, bool end)
{
    struct error err = ERROR_INIT;
    const char *policy = sweep->report->policy->name;
    if (!end && sweep->undrained < DRAIN_EVERY)
        return;
    sweep->undrained = 0;
    if ((sweep->plan->has_objects && !queue_drain(sweep->effects, sweep->report, policy, &err)) ||
        (sweep->plan->directory && !queue_drain_directories(sweep->effects, sweep->report, policy, &err)))
        report_remark(sweep->report, "the queue could not be drained: %s", err.message);
    error_clear(&err);
}

/* Between chunks: may the next one begin? */
static bool may_go_on(struct sweep *sweep)
{
    const struct sweep_budget *budget = sweep->budget;
    struct report *report = sweep->report;
    if (stop_requested()) {
        report->signal = stop_signal();
        return false;
    }
    if (budget->max_rows > 0 && sweep->taken >= budget->max_rows) {
        report->limit = "max-rows";
        return false;
    }
    if (budget->max_runtime_ms > 0 && clock_now_ms() - sweep->started_ms >= budget->max_runtime_ms) {
        report->limit = "max-runtime";
        return false;
    }
    return true;
}

static struct chunk *chunk_new(struct sweep *sweep)
{
    void *ctx = talloc_new(sweep->report);
    struct chunk *chunk = mem_new(ctx, struct chunk);
    chunk->ctx = ctx;
    chunk->added = mem_array(ctx, int64_t, sweep->plan->node_count);
    return chunk;
}

static void chunk_free(struct chunk *chunk)
{
    error_clear(&chunk->error);
    talloc_free(chunk->ctx);
}

/* One chunk. *end: nothing is left in this pass. */
static bool sweep_chunk(struct sweep *sweep, bool *end, struct error *err)
{
    struct chunk *chunk = chunk_new(sweep);
    int64_t before = clock_now_ms();
    bool range = sweep->plan->strategy == STRATEGY_RANGE && !sweep->skip_locked && sweep->pass == 1;
    enum chunk_outcome outcome = range                ? range_chunk(sweep, chunk)
                                 : sweep->plan->by_row ? rows_chunk(sweep, chunk)
                                                       : locked_chunk(sweep, chunk);
    bool ok = true;
    if (outcome == CHUNK_ERROR) {
        ok = sweep_failed(sweep, chunk, err);
        *end = chunk->committed && chunk->last; /* it turned out to have taken effect */
    } else if (outcome == CHUNK_DONE) {
        chunk_committed(sweep, chunk);
        pace_adjust(sweep, clock_now_ms() - before);
        *end = chunk->last;
    } else {
        *end = true;
    }
    chunk_free(chunk);
    return ok;
}

static bool sweep_pass(struct sweep *sweep, struct error *err)
{
    bool end = false;
    sweep->pass++;
    talloc_free(sweep->cursor.values);
    sweep->cursor.values = NULL;
    while (!end && may_go_on(sweep)) {
        if (!sweep_chunk(sweep, &end, err))
            return false;
        drain(sweep, false);
        if (!end && sweep->budget->pause_ms > 0)
            clock_sleep_ms(sweep->budget->pause_ms);
    }
    return true;
}

/* Candidates that are still there, apart from those that failed. */
static bool count_left(struct sweep *sweep, int64_t *left, struct error *err)
{
    int64_t remaining = 0;
    bool counted = false, ok = true;
    sweep->tries = 0;
    while (ok && !counted && !stop_requested()) {
        struct chunk *none = chunk_new(sweep);
        stop_cancel_early(true);
        counted = plan_count_remaining(sweep->db, sweep->plan, sweep->report->failed + LEFT_MAX,
                                       &remaining, &none->error);
        stop_cancel_early(false);
        if (!counted)
            ok = sweep_failed(sweep, none, err);
        chunk_free(none);
    }
    if (stop_requested())
        sweep->report->signal = stop_signal();
    *left = remaining > sweep->report->failed ? remaining - sweep->report->failed : 0;
    return ok;
}

/* A limit that was reached with the very last candidate has stopped nothing. */
static bool check_limit(struct sweep *sweep, struct error *err)
{
    struct report *report = sweep->report;
    int64_t left;
    if (!report->limit || report->signal || sweep->taken < report->counts.eligible)
        return true;
    if (!count_left(sweep, &left, err))
        return false;
    if (left == 0)
        report->limit = NULL;
    return true;
}

bool sweep_run(struct db *db, struct effects *effects, const struct plan *plan,
               const struct sweep_budget *budget, struct progress *progress, struct report *report,
               struct error *err)
{
    struct sweep *sweep = mem_new(report, struct sweep);
    *sweep = (struct sweep){.db = db, .effects = effects, .plan = plan, .budget = budget,
                            .progress = progress, .report = report, .started_ms = clock_now_ms()};
    statements_build(sweep);
    work_build(sweep);
    pace_start(sweep);
    if (plan->strategy == STRATEGY_LOCKED)
        sweep->skipped = true; /* it never waits for a lock, so it may have passed rows over */
    bool ok = sweep_pass(sweep, err);
    int64_t left = 0;
    if (report->deleted[0] + report->failed < report->counts.eligible)
        sweep->skipped = true; /* a trigger or a concurrent change kept rows: look which */
    while (ok && sweep->skipped && !report->signal && !report->limit &&
           report->failed <= SWEEP_FAILED_KEYS_MAX) {
        ok = count_left(sweep, &left, err);
        if (!ok || left == 0 || sweep->pass >= PASSES)
            break;
        clock_sleep_ms(PASS_PAUSE_MS * (sweep->pass - 1));
        ok = sweep_pass(sweep, err);
    }
    ok = ok && check_limit(sweep, err);
    if (!ok && stop_requested())
        report->signal = stop_signal();
    report->left_locked = ok && !report->signal && !report->limit ? left : 0;
    if (ok)
        drain(sweep, true);
    /* A signal that came while it was drained has stopped something only if something is left. */
    if (ok && stop_requested() && report->objects.waiting + report->directories.waiting > 0)
        report->signal = stop_signal();
    progress_clear(progress);
    return ok;
}
