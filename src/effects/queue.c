/* The object queue: what enters it, in the transaction that deletes the rows, and what leaves it.
 */
#define _GNU_SOURCE
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

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

void queue_binding(const void *ctx, const char **endpoint, const char **bucket)
{
    struct store_config *config = NULL;
    struct error why = ERROR_INIT;
    *endpoint = *bucket = NULL;
    if (store_config_load_place(ctx, NULL, &config, &why) == STORE_READY) {
        size_t count;
        *endpoint = store_config_place(config);
        *bucket = store_config_buckets(config, &count)[0];
    }
    error_clear(&why);
}

bool queue_check_settings(struct error *err)
{
    return store_check_aliases(err);
}

char *queue_shown(const void *ctx, const char *value)
{
    const char *start = strstr(value, "//");
    size_t length = strcspn(value, start ? "?#" : "");
    char *text = mem_check(talloc_strndup(ctx, value, length));
    if (start && (size_t)(start - value) < length) {
        size_t head = (size_t)(start - value) + 2;
        const char *end = text + head + strcspn(text + head, "/");
        const char *at = memrchr(text + head, '@', (size_t)(end - text) - head);
        if (at)
            text = mem_printf(ctx, "%.*s%s", (int)head, text, at + 1);
    }
    return text_escape(ctx, text, strlen(text));
}

bool queue_remove(struct effects *effects, const void *ctx, const char *const *ids, size_t count,
                  struct error *err)
{
    const char *params[] = {db_array(ctx, ids, count)};
    return count == 0 || effects_query(effects, ctx, template_fill(ctx, QUEUE, "done", NULL), 1,
                                       params, NULL, err);
}

char *queue_letter_key(const void *ctx)
{
    return template_fill(ctx, QUEUE, "letter_key", NULL);
}

bool queue_note_failed(struct effects *effects, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err)
{
    const char *bury =
        template_fill(ctx, QUEUE, "bury", TEMPLATE_SLOTS({"key", queue_letter_key(ctx)}));
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, errors, count)};
    struct db_rows *rows;
    if (!effects_query(effects, ctx, template_fill(ctx, QUEUE, "again", NULL), 2, params, NULL,
                       err))
        return false;
    params[1] = mem_printf(ctx, "%d", QUEUE_ATTEMPTS);
    if (!effects_query(effects, ctx, bury, 2, params, &rows, err))
        return false;
    *dead = db_rows_affected(rows);
    return true;
}

bool queue_note_held(struct effects *effects, const void *ctx, const char *const *ids,
                     const char *const *reasons, size_t count, const char *state, struct error *err)
{
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, reasons, count), state};
    return count == 0 || effects_query(effects, ctx, template_fill(ctx, QUEUE, "note_held", NULL),
                                       3, params, NULL, err);
}

/* How many entries wait, and how many of them are due. */
static bool count_waiting(struct effects *effects, const void *ctx, const char *kind,
                          const char *policy, int64_t *waiting, int64_t *due, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {kind, policy};
    if (!db_query(effects->db, ctx, template_fill(ctx, QUEUE, "waiting", NULL), 2, params, &rows,
                  err))
        return false;
    *waiting = db_rows_int(rows, 0, 0);
    *due = db_rows_int(rows, 0, 1);
    talloc_free(rows);
    return true;
}

bool queue_drain_alone(struct effects *effects, struct report *report, const char *kind,
                       const char *policy, queue_drainer *drain, int64_t *waiting,
                       struct error *err)
{
    bool got = false;
    int64_t due = 0;
    struct lease_facts facts;
    const char *lock = mem_printf(effects, "queue of %s", kind);
    if (!count_waiting(effects, report, kind, policy, waiting, &due, err))
        return false;
    if (due == 0)
        return true;
    if (!lease_try(effects, report, lock, &facts, &got, err))
        return false;
    bool ok = !got || drain(effects, report, policy, err);
    if (!got)
        report_remark(report, "another run is draining the %s queue", kind);
    if (got)
        lease_end(effects, lock);
    return ok && count_waiting(effects, report, kind, policy, waiting, &due, err);
}
