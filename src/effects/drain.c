/* Draining the object queue: after the rows are gone for good, and between transactions only. A key
 * leaves the queue when its object is gone, is still in use, or has become a dead letter. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"
#include "pgsweep/text.h"

/* At most this many keys are in memory at a time. */
enum { BATCH = 10000, FOREIGN_TOLD = 5 };

struct drain {
    struct effects *effects;
    struct report *report;
    const struct store_config *config;
    struct store *store;
    void *ctx; /* of the batch in hand */
    struct queue_item *items;
    size_t count;
};

static bool fetch(struct drain *d, const char *policy, struct error *err)
{
    static const char sql[] =
        "SELECT id, policy, value FROM pgsweep.object_queue"
        " WHERE kind = 'object' AND state = 'queued' AND next_attempt <= pg_catalog.now()"
        "   AND ($1::pg_catalog.text IS NULL OR policy = $1) ORDER BY id LIMIT $2::pg_catalog.int8";
    const char *params[] = {policy, mem_printf(d->ctx, "%d", BATCH)};
    struct db_rows *rows;
    if (!db_query(d->effects->db, d->ctx, sql, 2, params, &rows, err))
        return false;
    d->count = (size_t)db_rows_count(rows);
    d->items = mem_array(d->ctx, struct queue_item, d->count + 1);
    for (size_t i = 0; i < d->count; i++) {
        struct queue_item *item = &d->items[i];
        item->id = db_rows_get(rows, (int)i, 0);
        item->policy = db_rows_get(rows, (int)i, 1);
        item->value = db_rows_get(rows, (int)i, 2);
        item->where = store_resolve(d->ctx, d->config, item->value);
    }
    return true;
}

static bool remove_items(struct drain *d, const char **ids, size_t count, struct error *err)
{
    const char *params[] = {db_array(d->ctx, ids, count)};
    return count == 0 || effects_query(d->effects, d->ctx,
                                       "DELETE FROM pgsweep.object_queue WHERE id = ANY ($1::pg_catalog.int8[])",
                                       1, params, NULL, err);
}

/* The value of a foreign object for a person: no user name or password, no query string (signatures). */
static char *shown(const void *ctx, const char *value)
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

static bool mark_foreign(struct drain *d, const struct queue_item *const *items, size_t count, struct error *err)
{
    static const char sql[] =
        "UPDATE pgsweep.object_queue AS q SET state = 'foreign', last_error = f.reason"
        " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) AS f(id, reason)"
        " WHERE q.id = f.id";
    const char **ids = mem_array(d->ctx, const char *, count + 1);
    const char **reasons = mem_array(d->ctx, const char *, count + 1);
    for (size_t i = 0; i < count; i++) {
        ids[i] = items[i]->id;
        reasons[i] = items[i]->where.reason;
        if (++d->report->objects.foreign <= FOREIGN_TOLD)
            report_remark(d->report, "object \"%s\" is not deleted: %s", shown(d->ctx, items[i]->value),
                          items[i]->where.reason);
    }
    const char *params[] = {db_array(d->ctx, ids, count), db_array(d->ctx, reasons, count)};
    return count == 0 || effects_query(d->effects, d->ctx, sql, 2, params, NULL, err);
}

/* Notes the failures; those that were tried often enough become dead letters. */
static bool note_failed(struct drain *d, const char **ids, const char **errors, const char **places, size_t count,
                        struct error *err)
{
    int64_t gone = 0;
    if (count == 0)
        return true;
    if (!queue_note_failed(d->effects, d->ctx, ids, errors, places, count, &gone, err))
        return false;
    d->report->objects.dead += gone;
    d->report->objects.failed += (int64_t)count - gone;
    report_remark(d->report, "%lld objects could not be deleted and stay queued; the first: %s",
                  (long long)count, errors[0]);
    return true;
}

static int compare_objects(const void *a, const void *b)
{
    const struct store_object *x = a, *y = b;
    int order = strcmp(x->bucket, y->bucket);
    return order ? order : strcmp(x->key, y->key);
}

/* Several rows may have named the same object. */
static int64_t count_objects(struct store_object *objects, size_t count)
{
    int64_t n = 0;
    qsort(objects, count, sizeof *objects, compare_objects);
    for (size_t i = 0; i < count; i++)
        n += i == 0 || compare_objects(&objects[i - 1], &objects[i]) != 0;
    return n;
}

/* One batch through the store. *progress: something left the queue. */
static bool delete_batch(struct drain *d, bool *progress, struct error *err)
{
    struct report_objects *sums = &d->report->objects;
    struct store_object *objects = mem_array(d->ctx, struct store_object, d->count + 1);
    struct store_result *results = mem_array(d->ctx, struct store_result, d->count + 1);
    const char **object_ids = mem_array(d->ctx, const char *, d->count + 1);
    const char **done = mem_array(d->ctx, const char *, d->count + 1);
    const char **failed = mem_array(d->ctx, const char *, d->count + 1);
    const char **errors = mem_array(d->ctx, const char *, d->count + 1);
    const char **places = mem_array(d->ctx, const char *, d->count + 1);
    const struct queue_item **foreign = mem_array(d->ctx, const struct queue_item *, d->count + 1);
    size_t n = 0, done_count = 0, failed_count = 0, foreign_count = 0;
    for (size_t i = 0; i < d->count; i++) {
        const struct queue_item *item = &d->items[i];
        if (item->where.kind == STORE_FOREIGN) {
            foreign[foreign_count++] = item;
        } else if (item->where.kind == STORE_NOTHING || item->in_use) {
            sums->in_use += item->in_use;
            done[done_count++] = item->id;
        } else {
            object_ids[n] = item->id;
            objects[n++] = (struct store_object){.bucket = item->where.bucket, .key = item->where.key};
        }
    }
    struct store_object *deleted = mem_array(d->ctx, struct store_object, n + 1);
    size_t deleted_count = 0;
    if (n > 0)
        store_delete(d->store, d->ctx, objects, n, results);
    for (size_t i = 0; i < n; i++) {
        if (results[i].outcome == STORE_DELETED) {
            deleted[deleted_count++] = objects[i];
            done[done_count++] = object_ids[i];
        } else {
            failed[failed_count] = object_ids[i];
            places[failed_count] = mem_printf(d->ctx, "s3://%s/%s", objects[i].bucket, objects[i].key);
            errors[failed_count++] = results[i].error ? results[i].error : "unknown error";
        }
    }
    sums->deleted += count_objects(deleted, deleted_count);
    *progress = done_count + foreign_count > 0;
    return mark_foreign(d, foreign, foreign_count, err) && remove_items(d, done, done_count, err) && note_failed(d, failed, errors, places, failed_count, err);
}

static bool drain_all(struct drain *d, const char *policy, struct error *err)
{
    bool ok = true;
    bool progress = true;
    /* A batch in which nothing could be deleted: the store is in trouble, and later runs try again. */
    while (ok && progress && !stop_requested()) {
        d->ctx = talloc_new(d->report);
        progress = false;
        ok = fetch(d, policy, err);
        bool empty = ok && d->count == 0;
        ok = ok && (empty || (survivors_mark(d->effects, d->ctx, d->config, d->items, d->count, err) && delete_batch(d, &progress, err)));
        talloc_free(d->ctx);
        if (empty)
            break;
    }
    return ok;
}

static bool drain_locked(struct effects *effects, struct report *report, const char *policy,
                         struct error *err)
{
    struct drain d = {.effects = effects, .report = report};
    struct store_config *config = NULL;
    struct error why = ERROR_INIT;
    bool ok = true;
    enum store_setup setup = store_config_load(report, NULL, &config, &why);
    d.config = config;
    if (setup == STORE_NOT_CONFIGURED)
        report_remark(report, "no object store is configured (PGSWEEP_S3_BUCKET): the keys stay queued");
    else if (setup == STORE_MISCONFIGURED || !store_new(report, config, &d.store, &why))
        report_remark(report, "the object store cannot be used, the keys stay queued: %s", why.message);
    else
        ok = drain_all(&d, policy, err);
    error_clear(&why);
    talloc_free(d.store);
    talloc_free(config);
    return ok;
}

bool queue_drain(struct effects *effects, struct report *report, const char *policy, struct error *err)
{
    return queue_drain_alone(effects, report, "object", policy, drain_locked, &report->objects.waiting, err);
}
