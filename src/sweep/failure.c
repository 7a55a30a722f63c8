/* What follows from a failed chunk: again, smaller, set aside, reconnect, or the end. */
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

enum { BACKOFF_BASE_MS = 100, BACKOFF_CAP_MS = 10000, LOCK_WAIT_MS = 30000 };

static void wait_before(struct sweep *sweep, int attempt)
{
    sweep->report->retries++;
    clock_sleep_ms(clock_backoff_ms(attempt, BACKOFF_BASE_MS, BACKOFF_CAP_MS));
}

static bool give_up(struct chunk *chunk, struct error *err)
{
    error_move(err, &chunk->error);
    if (err->code == SWEEP_USAGE)
        err->code = SWEEP_SOME_FAILED; /* something may have been deleted before */
    return false;
}

/* The key of the one candidate that the chunk consisted of; NULL when it is not known. */
static const char **failing_key(struct sweep *sweep, const struct chunk *chunk)
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
    for (size_t i = 0; i < sweep->failed_count; i++) {
        size_t k = 0;
        while (k < sweep->plan->key_count && strcmp(sweep->failed[i][k], key[k]) == 0)
            k++;
        if (k == sweep->plan->key_count)
            return true;
    }
    return false;
}

static void remember_failed(struct sweep *sweep, const char *const *key)
{
    if (sweep->failed_count >= SWEEP_FAILED_KEYS_MAX)
        return;
    size_t i = mem_grow(sweep->report, &sweep->failed, &sweep->failed_count);
    sweep->failed[i] = mem_array(sweep->report, const char *, sweep->plan->key_count);
    for (size_t k = 0; k < sweep->plan->key_count; k++)
        sweep->failed[i][k] = mem_strdup(sweep->report, key[k]);
}

bool sweep_set_aside(struct sweep *sweep, const char *const *key, const struct error *why,
                     struct error *err)
{
    struct report *report = sweep->report;
    const char *table = sweep->plan->nodes[0]->table.label;
    char *text = key_text(report, sweep->plan, key);
    bool parked = false;
    report_add_failure(report, text, why);
    remember_failed(sweep, key);
    sweep->taken++;
    if (!letter_note(sweep->effects, report, key, why, &parked, err))
        return error_prefix(err, "the dead letter of %s %s could not be written", table, text);
    if (parked)
        report_remark(report, "%s %s failed %d times and is parked: pgsweep dlq", table, text,
                      LETTER_RETRIES + 1);
    if (sweep->budget->verbose) {
        progress_clear(sweep->progress);
        report_log(report, "failed %s %s: %s", table, text,
                   text_escape(report, why->message, strlen(why->message)));
    }
    return true;
}

/* A single candidate cannot go: it is reported, and the sweep goes on behind it. */
static bool set_aside(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    const char **key = failing_key(sweep, chunk);
    if (!key)
        return give_up(chunk, err);
    if (!sweep_set_aside(sweep, key, &chunk->error, err))
        return false;
    cursor_reset(&sweep->cursor);
    sweep->cursor = cursor_copy(sweep->report, &chunk->end);
    sweep->high_known = false;
    sweep->tries = 0;
    sweep->impatient = false;
    return true;
}

/* A candidate of this chunk cannot go: look for it by halving. */
static bool isolate(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    bool known = chunk->end.columns > 0 || chunk->key_count > 0 || chunk->last;
    if (!known)
        return give_up(chunk, err); /* not even finding the candidates worked */
    if (chunk->asked <= 1 && (sweep->exact || chunk->key_count == 1))
        return set_aside(sweep, chunk, err);
    sweep->exact = true;
    sweep->rows = chunk->asked > 1 ? chunk->asked / 2 : 1;
    sweep->high_known = false;
    sweep->tries = 0;
    return true;
}

static bool again(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    bool locked = strcmp(chunk->error.sqlstate, "55P03") == 0;
    if (locked && sweep->plan->strategy == STRATEGY_RANGE && !sweep->skip_locked && sweep->pass == 1) {
        /* Somebody holds rows of this range: take the ones around them now, and them later. */
        sweep->skip_locked = true;
        sweep->skipped = true;
        sweep->high_known = false;
        return true;
    }
    if (++sweep->tries > (sweep->impatient ? 1 : sweep->budget->retries)) {
        sweep->impatient = true;
        return isolate(sweep, chunk, err);
    }
    wait_before(sweep, sweep->tries);
    return true;
}

/* The server crashed and took the last commits with it: what the record says is what is gone, and the
 * sweep begins again, for rows behind the cursor have come back. */
static void rewind_to(struct sweep *sweep, int64_t chunks, const int64_t *deleted)
{
    struct report *report = sweep->report;
    report_remark(report, "the server lost the last %lld transactions in a crash; their rows were swept again",
                  (long long)(report->chunks - chunks));
    report->chunks = chunks;
    memcpy(report->deleted, deleted, sweep->plan->node_count * sizeof *deleted);
    sweep->taken = deleted[0] + report->failed + report->spared_late;
    sweep->rewound = true;
    sweep->pending = 0;
    cursor_reset(&sweep->cursor);
}

/* Did the chunk whose COMMIT was sent take effect? Its number in the run's record says so. */
static bool find_out(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct report *report = sweep->report;
    int64_t chunks = 0;
    int64_t *deleted = mem_array(chunk->ctx, int64_t, sweep->plan->node_count);
    if (!run_read_back(sweep->effects, report, &chunks, deleted, err))
        return false;
    if (chunks == report->chunks)
        return true;
    if (chunks < report->chunks) {
        rewind_to(sweep, chunks, deleted);
        return true;
    }
    chunk->transactions = chunks - report->chunks;
    for (size_t i = 0; i < sweep->plan->node_count; i++)
        chunk->added[i] = deleted[i] - report->deleted[i];
    report_remark(report, "the connection was lost at the commit of transaction %lld; it had taken effect",
                  (long long)chunks);
    if (sweep->plan->by_row)
        chunk->end = (struct cursor){NULL, 0}; /* some of its rows may be left: list them again from the same place */
    chunk->candidates = chunk->added[0] + chunk->spared;
    chunk_committed(sweep, chunk);
    return true;
}

static bool reconnect(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    struct report *report = sweep->report;
    struct error lost = ERROR_INIT;
    if (stop_requested() && !chunk->commit_sent) {
        /* Nothing to find out: the loop sees the signal and ends. */
        if (sweep->pending > 0)
            report_remark(report, "the connection was lost before the last %lld transactions were known to be "
                          "on disk", (long long)sweep->pending);
        return true;
    }
    error_move(&lost, &chunk->error);
    if (++sweep->tries > sweep->budget->retries) {
        /* The connection itself can be made; it is this chunk that costs it, again and again. */
        error_move(err, &lost);
        err->code = SWEEP_UNREACHABLE;
        return error_prefix(err, "the connection was lost %d times at the same chunk", sweep->tries);
    }
    for (int attempt = 1; attempt <= sweep->budget->retries && !stop_forced(); attempt++) {
        wait_before(sweep, attempt);
        error_clear(err);
        if (!db_reconnect(sweep->db, err) ||
            !run_lock_again(sweep->db, report->policy->name, report->run_id, LOCK_WAIT_MS, err)) {
            /* Somebody else holds the lock by now, or the server refuses us for good. */
            if (err->code == SWEEP_LOCKED || (err->code != SWEEP_UNREACHABLE && !db_is_lost(sweep->db)))
                break;
            continue;
        }
        sweep->high_known = false;
        if (find_out(sweep, chunk, err)) {
            /* What the record says is to stay so. If even this fails, the next chunk will notice. */
            (void)sweep_settle(sweep, &lost);
            error_clear(&lost);
            error_clear(err);
            return true;
        }
        if (!db_is_lost(sweep->db))
            break;
    }
    if (!err->message)
        error_move(err, &lost);
    else if (err->code == SWEEP_UNREACHABLE || db_is_lost(sweep->db)) {
        err->code = SWEEP_UNREACHABLE;
        error_prefix(err, "the connection was lost and could not be made again");
    }
    error_clear(&lost);
    return false;
}

bool sweep_failed(struct sweep *sweep, struct chunk *chunk, struct error *err)
{
    if (chunk->fatal) {
        chunk_committed(sweep, chunk);
        return give_up(chunk, err);
    }
    enum db_failure class = db_failure_class(sweep->db, &chunk->error);
    bool lost = class == DB_FAILURE_CONNECTION;
    if (!lost)
        db_rollback(sweep->db);
    if (stop_forced() || class == DB_FAILURE_CANCELLED) {
        if (!lost)
            return true; /* the loop sees the signal and ends */
    }
    switch (class) {
    case DB_FAILURE_TRANSIENT:
        return again(sweep, chunk, err);
    case DB_FAILURE_CONNECTION:
        return reconnect(sweep, chunk, err);
    case DB_FAILURE_ROW:
        return isolate(sweep, chunk, err);
    default:
        return give_up(chunk, err);
    }
}
