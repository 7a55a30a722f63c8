/* The object queue: what enters it, in the transaction that deletes the rows, and what leaves it.
 */
#define _GNU_SOURCE
#include <jansson.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

void queue_append_insert(PQExpBuffer out, const char *select, int first)
{
    void *scratch = talloc_new(NULL);
    const char *number[QUEUE_PARAMS];
    for (int i = 0; i < QUEUE_PARAMS; i++)
        number[i] = mem_printf(scratch, "%d", first + i);
    appendPQExpBufferStr(
        out, template_fill(scratch, QUEUE, "insert",
                           TEMPLATE_SLOTS({"run", number[0]}, {"policy", number[1]},
                                          {"source", number[2]}, {"kind", number[3]},
                                          {"root", number[4]}, {"rules", number[5]},
                                          {"endpoint", number[6]}, {"bucket", number[7]},
                                          {"prefixes", number[8]}, {"select", select})));
    talloc_free(scratch);
}

/* No key is below this: it has a segment "..". */
static const char NO_KEY[] = "../";

const char **queue_prefixes(const void *ctx, const char *json, size_t *count)
{
    json_t *list = json ? json_loads(json, 0, NULL) : NULL;
    const char **prefixes = mem_array(ctx, const char *, json_array_size(list) + 1);
    *count = 0;
    for (size_t i = 0; i < json_array_size(list); i++)
        if (json_is_string(json_array_get(list, i)))
            prefixes[(*count)++] = mem_strdup(ctx, json_string_value(json_array_get(list, i)));
    /* Somebody wrote an array without a text: that allows nothing, where NULL would allow
     * everything. */
    if (json && *count == 0)
        prefixes[(*count)++] = NO_KEY;
    json_decref(list);
    return prefixes;
}

bool queue_remove(struct state *state, const void *ctx, const char *const *ids, size_t count,
                  struct error *err)
{
    const char *params[] = {db_array(ctx, ids, count)};
    return count == 0 || gate_query(state->gate, ctx, template_fill(ctx, QUEUE, "done", NULL), 1,
                                    params, NULL, err);
}

char *queue_letter_key(const void *ctx)
{
    return template_fill(ctx, QUEUE, "letter_key", NULL);
}

bool queue_note_failed(struct state *state, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err)
{
    const char *bury =
        template_fill(ctx, QUEUE, "bury", TEMPLATE_SLOTS({"key", queue_letter_key(ctx)}));
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, errors, count)};
    struct db_rows *rows;
    if (!gate_query(state->gate, ctx, template_fill(ctx, QUEUE, "again", NULL), 2, params, NULL,
                    err))
        return false;
    params[1] = mem_printf(ctx, "%d", QUEUE_ATTEMPTS);
    if (!gate_query(state->gate, ctx, bury, 2, params, &rows, err))
        return false;
    *dead = db_rows_affected(rows);
    return true;
}

bool queue_note_held(struct state *state, const void *ctx, const char *const *ids,
                     const char *const *reasons, size_t count, const char *as, struct error *err)
{
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, reasons, count), as};
    return count == 0 || gate_query(state->gate, ctx, template_fill(ctx, QUEUE, "note_held", NULL),
                                    3, params, NULL, err);
}

bool queue_due_objects(struct state *state, const void *ctx, const char *policy,
                       const struct queue_store *store, const char *after, int count,
                       struct db_rows **rows, struct error *err)
{
    const char *params[] = {policy, store->endpoint, store->buckets, after,
                            mem_printf(ctx, "%d", count)};
    return db_query(state->db, ctx, template_fill(ctx, QUEUE, "due_objects", NULL), 5, params, rows,
                    err);
}

bool queue_due_directories(struct state *state, const void *ctx, const char *policy,
                           const char *after, int count, struct db_rows **rows, struct error *err)
{
    const char *params[] = {policy, after, mem_printf(ctx, "%d", count)};
    return db_query(state->db, ctx, template_fill(ctx, QUEUE, "due_directories", NULL), 3, params,
                    rows, err);
}

bool queue_elsewhere(struct state *state, const void *ctx, const char *policy,
                     const struct queue_store *store, struct db_rows **rows, struct error *err)
{
    const char *params[] = {policy, store->endpoint, store->buckets};
    return db_query(state->db, ctx, template_fill(ctx, QUEUE, "elsewhere", NULL), 3, params, rows,
                    err);
}

bool queue_bind(struct state *state, const void *ctx, const char *policy, const char *endpoint,
                const char *bucket, int64_t *bound, struct error *err)
{
    const char *params[] = {policy, endpoint, bucket};
    struct db_rows *rows;
    if (!gate_query(state->gate, ctx, template_fill(ctx, QUEUE, "bind_queue", NULL), 3, params,
                    &rows, err) ||
        !gate_query(state->gate, ctx, template_fill(ctx, QUEUE, "bind_sources", NULL), 3, params,
                    NULL, err))
        return false;
    *bound = db_rows_affected(rows);
    return true;
}

bool queue_policies(struct db *db, const void *ctx, const char *name, struct db_rows **rows,
                    struct error *err)
{
    return db_query(db, ctx, template_fill(ctx, QUEUE, "queue_policies", NULL), 1, &name, rows,
                    err);
}

/* How many entries wait, and how many of them are due. */
static bool count_waiting(struct state *state, const void *ctx, const char *kind,
                          const char *policy, int64_t *waiting, int64_t *due, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {kind, policy};
    if (!db_query(state->db, ctx, template_fill(ctx, QUEUE, "waiting", NULL), 2, params, &rows,
                  err))
        return false;
    *waiting = db_rows_int(rows, 0, 0);
    *due = db_rows_int(rows, 0, 1);
    talloc_free(rows);
    return true;
}

bool queue_drain_alone(struct state *state, struct report *report, const char *kind,
                       const char *policy, queue_drainer *drain, void *arg, int64_t *waiting,
                       struct error *err)
{
    bool got = false;
    int64_t due = 0;
    struct lease_facts facts;
    const char *lock = mem_printf(state, "queue of %s", kind);
    if (!count_waiting(state, report, kind, policy, waiting, &due, err))
        return false;
    if (due == 0)
        return true;
    if (!lease_try(state, report, lock, &facts, &got, err))
        return false;
    bool ok = !got || drain(arg, err);
    if (!got)
        report_remark(report, "another run is draining the %s queue", kind);
    if (got)
        lease_end(state, lock);
    return ok && count_waiting(state, report, kind, policy, waiting, &due, err);
}
