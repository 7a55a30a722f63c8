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

/* At most this many keys are in memory at a time, and looked for in the tables together. */
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

/* Entries of the queue that share a fate; of the batch in hand. */
struct entries {
    const char **ids;
    const char **texts;  /* why; NULL where the fate says it all */
    const char **places; /* s3://bucket/key, where it is known */
    size_t count;
};

static struct entries entries_new(const struct drain *d)
{
    return (struct entries){.ids = mem_array(d->ctx, const char *, d->count + 1),
                            .texts = mem_array(d->ctx, const char *, d->count + 1),
                            .places = mem_array(d->ctx, const char *, d->count + 1)};
}

static void entries_add(struct entries *entries, const struct queue_item *item, const char *text, const char *place)
{
    entries->ids[entries->count] = item->id;
    entries->texts[entries->count] = text;
    entries->places[entries->count++] = place;
}

static bool fetch(struct drain *d, const char *policy, struct error *err)
{
    static const char sql[] =
        "SELECT id, value FROM pgsweep.object_queue"
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
        item->value = db_rows_get(rows, (int)i, 1);
        item->where = store_resolve(d->ctx, d->config, item->value);
    }
    return true;
}

static bool remove_done(struct drain *d, const struct entries *done, struct error *err)
{
    const char *params[] = {db_array(d->ctx, done->ids, done->count)};
    return done->count == 0 || effects_query(d->effects, d->ctx,
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

static void tell_foreign(struct drain *d, const struct queue_item *item)
{
    if (++d->report->objects.foreign <= FOREIGN_TOLD)
        report_remark(d->report, "object \"%s\" is not deleted: %s", shown(d->ctx, item->value), item->where.reason);
}

/* Notes the failures; those that were tried often enough become dead letters. */
static bool note_failed(struct drain *d, const struct entries *failed, struct error *err)
{
    int64_t gone = 0;
    if (failed->count == 0)
        return true;
    if (!queue_note_failed(d->effects, d->ctx, failed->ids, failed->texts, failed->count, &gone, err))
        return false;
    d->report->objects.dead += gone;
    d->report->objects.failed += (int64_t)failed->count - gone;
    char *fate = gone == 0 ? "stay queued" : mem_printf(d->ctx, "stay queued, but for %lld that are dead letters now",
                                                       (long long)gone);
    report_remark(d->report, "%lld object%s could not be deleted from %s, and %s; the first, \"%s\": %s",
                  (long long)failed->count, failed->count == 1 ? "" : "s", store_config_describe(d->ctx, d->config),
                  fate, text_escape(d->ctx, failed->places[0], strlen(failed->places[0])), failed->texts[0]);
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

/* Has the objects deleted that nothing speaks for any more, and sorts their entries by what became of them. */
static void ask_store(struct drain *d, struct queue_item **asked, size_t n, struct entries *done, struct entries *failed)
{
    struct store_object *objects = mem_array(d->ctx, struct store_object, n + 1);
    struct store_result *results = mem_array(d->ctx, struct store_result, n + 1);
    size_t deleted = 0;
    for (size_t i = 0; i < n; i++)
        objects[i] = (struct store_object){.bucket = asked[i]->where.bucket, .key = asked[i]->where.key};
    if (n > 0)
        store_delete(d->store, d->ctx, objects, n, results);
    for (size_t i = 0; i < n; i++) {
        if (results[i].outcome == STORE_DELETED) {
            entries_add(done, asked[i], NULL, NULL);
            objects[deleted++] = objects[i];
        } else if (results[i].outcome != STORE_STOPPED) { /* what a signal stopped stays as it is */
            entries_add(failed, asked[i], results[i].error,
                        mem_printf(d->ctx, "s3://%s/%s", objects[i].bucket, objects[i].key));
        }
    }
    d->report->objects.deleted += count_objects(objects, deleted);
}

/* One batch through the store. *progress: something left the queue. */
static bool settle_batch(struct drain *d, bool *progress, struct error *err)
{
    struct entries done = entries_new(d), foreign = entries_new(d), failed = entries_new(d);
    struct queue_item **asked = mem_array(d->ctx, struct queue_item *, d->count + 1);
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++) {
        struct queue_item *item = &d->items[i];
        if (item->where.kind == STORE_FOREIGN) {
            entries_add(&foreign, item, item->where.reason, NULL);
            tell_foreign(d, item);
        } else if (item->where.kind == STORE_NOTHING || item->in_use) {
            entries_add(&done, item, NULL, NULL);
            d->report->objects.in_use += item->in_use;
        } else {
            asked[n++] = item;
        }
    }
    ask_store(d, asked, n, &done, &failed);
    *progress = done.count + foreign.count > 0;
    return queue_mark_foreign(d->effects, d->ctx, foreign.ids, foreign.texts, foreign.count, err) && remove_done(d, &done, err) && note_failed(d, &failed, err);
}

static bool drain_batch(struct drain *d, const char *policy, bool *progress, struct error *err)
{
    *progress = false;
    return fetch(d, policy, err) &&
           (d->count == 0 || (survivors_mark(d->effects, d->ctx, d->config, d->items, d->count, err) &&
                              settle_batch(d, progress, err)));
}

static bool drain_all(struct drain *d, const char *policy, struct error *err)
{
    bool ok = true;
    bool progress = true;
    /* A batch of which nothing left the queue: it is empty, or the store is in trouble, and later runs try again. */
    while (ok && progress && !stop_requested()) {
        const struct report_objects before = d->report->objects;
        d->ctx = talloc_new(d->report);
        ok = drain_batch(d, policy, &progress, err);
        if (!ok)
            d->report->objects = before; /* it is still queued, and counts when it leaves the queue */
        talloc_free(d->ctx);
    }
    return ok;
}

/* One line: a remark has no room for more. */
static void tell_unusable(struct report *report, const struct error *why)
{
    report_remark(report, "%s; the keys stay queued.%s%s%s%s", why->message, why->detail ? " " : "",
                  why->detail ? why->detail : "", why->hint ? " " : "", why->hint ? why->hint : "");
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
        tell_unusable(report, &why);
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
