/* Draining the object queue: after the rows are gone for good, and between transactions only. A key
 * leaves the queue when its object is gone, is still in use, or has become a dead letter. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"

/* At most this many keys are in memory at a time. */
enum { BATCH = 4000 };

struct item {
    const char *id;
    const char *policy;
    const char *value;
    struct store_location where;
    bool in_use;
};

struct drain {
    struct effects *effects;
    struct report *report;
    const struct store_config *config;
    struct store *store;
    void *ctx; /* of the batch in hand */
    struct item *items;
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
    d->items = mem_array(d->ctx, struct item, d->count + 1);
    for (size_t i = 0; i < d->count; i++) {
        struct item *item = &d->items[i];
        item->id = db_rows_get(rows, (int)i, 0);
        item->policy = db_rows_get(rows, (int)i, 1);
        item->value = db_rows_get(rows, (int)i, 2);
        item->where = store_resolve(d->ctx, d->config, item->value);
    }
    return true;
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The spellings of an object that a surviving row is looked for with. */
enum { FORMS = 3 };
static void forms_of(struct drain *d, const struct item *item, const char **forms)
{
    forms[0] = item->value;
    forms[1] = item->where.key;
    forms[2] = mem_printf(d->ctx, "s3://%s/%s", item->where.bucket, item->where.key);
}

/* Which of the texts does a column still hold? found is sorted. */
static bool look_in(struct drain *d, const char *table, const char *column, const char *array,
                    const char ***found, size_t *count, struct error *err)
{
    char *sql = mem_printf(d->ctx, "SELECT DISTINCT %s::pg_catalog.text FROM %s"
                                   " WHERE %s::pg_catalog.text = ANY ($1::pg_catalog.text[])",
                           column, table, column);
    const char *params[] = {array};
    struct db_rows *rows;
    if (!db_query(d->effects->db, d->ctx, sql, 1, params, &rows, err))
        return error_prefix(err, "looking whether %s.%s still names an object", table, column);
    for (int i = 0; i < db_rows_count(rows); i++) {
        size_t k = mem_grow(d->ctx, found, count);
        (*found)[k] = db_rows_get(rows, i, 0);
    }
    return true;
}

/* Marks the items that a row still names: the last look before their deletion. */
static bool mark_in_use(struct drain *d, struct error *err)
{
    const char **texts = mem_array(d->ctx, const char *, d->count * FORMS + 1);
    const char **found = NULL;
    size_t count = 0;
    size_t n = 0;
    struct db_rows *sources;
    for (size_t i = 0; i < d->count; i++)
        if (d->items[i].where.kind == STORE_OBJECT) {
            forms_of(d, &d->items[i], texts + n);
            n += FORMS;
        }
    if (n == 0)
        return true;
    /* Columns of tables that are gone cannot name anything. */
    if (!db_query(d->effects->db, d->ctx,
                  "SELECT DISTINCT table_ident, column_ident FROM pgsweep.object_sources"
                  " WHERE kind = 'object' AND pg_catalog.to_regclass(table_ident) IS NOT NULL", 0, NULL, &sources, err))
        return false;
    char *array = db_array(d->ctx, texts, n);
    for (int i = 0; i < db_rows_count(sources); i++)
        if (!look_in(d, db_rows_get(sources, i, 0), db_rows_get(sources, i, 1), array, &found, &count, err))
            return false;
    if (count == 0)
        return true;
    qsort(found, count, sizeof *found, compare_text);
    for (size_t i = 0; i < d->count; i++) {
        const char *forms[FORMS];
        if (d->items[i].where.kind != STORE_OBJECT)
            continue;
        forms_of(d, &d->items[i], forms);
        for (int f = 0; f < FORMS; f++)
            if (bsearch(&forms[f], found, count, sizeof *found, compare_text))
                d->items[i].in_use = true;
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

static bool mark_foreign(struct drain *d, const struct item *item, struct error *err)
{
    const char *params[] = {item->id, item->where.reason};
    d->report->objects.foreign++;
    if (d->report->objects.foreign <= 5)
        report_remark(d->report, "object \"%s\" is not deleted: %s", item->value, item->where.reason);
    return effects_query(d->effects, d->ctx,
                         "UPDATE pgsweep.object_queue SET state = 'foreign', last_error = $2"
                         " WHERE id = $1::pg_catalog.int8", 2, params, NULL, err);
}

/* Notes the failures; those that were tried often enough become dead letters. */
static bool note_failed(struct drain *d, const char **ids, const char **errors, size_t count,
                        struct error *err)
{
    int64_t gone = 0;
    if (count == 0)
        return true;
    if (!queue_note_failed(d->effects, d->ctx, ids, errors, count, &gone, err))
        return false;
    d->report->objects.dead += gone;
    d->report->objects.failed += (int64_t)count - gone;
    report_remark(d->report, "%lld objects could not be deleted and stay queued; the first: %s",
                  (long long)count, errors[0]);
    return true;
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
    size_t n = 0, done_count = 0, failed_count = 0;
    for (size_t i = 0; i < d->count; i++) {
        const struct item *item = &d->items[i];
        if (item->where.kind == STORE_FOREIGN) {
            if (!mark_foreign(d, item, err))
                return false;
            *progress = true;
        } else if (item->where.kind == STORE_NOTHING || item->in_use) {
            sums->in_use += item->in_use;
            done[done_count++] = item->id;
        } else {
            object_ids[n] = item->id;
            objects[n++] = (struct store_object){.bucket = item->where.bucket, .key = item->where.key};
        }
    }
    if (n > 0)
        store_delete(d->store, d->ctx, objects, n, results);
    for (size_t i = 0; i < n; i++) {
        if (results[i].outcome == STORE_DELETED) {
            sums->deleted++;
            done[done_count++] = object_ids[i];
        } else {
            failed[failed_count] = object_ids[i];
            errors[failed_count++] = results[i].error ? results[i].error : "unknown error";
        }
    }
    *progress = *progress || done_count > 0;
    return remove_items(d, done, done_count, err) && note_failed(d, failed, errors, failed_count, err);
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
        ok = ok && (empty || (mark_in_use(d, err) && delete_batch(d, &progress, err)));
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
