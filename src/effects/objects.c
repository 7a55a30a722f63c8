/* Draining the object queue: after the rows are gone for good, and between transactions only. A key
 * leaves the queue when its object is gone, is still in use, or has become a dead letter. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/store.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

/* A batch is in memory, and looked for in all rows, at a time. A wave of it is with the store at a
 * time: before each but the first, the rows that are new since then are looked at. */
enum { BATCH = 50000, WAVE = 4000, TOLD = 5 };

struct drain {
    struct state *state;
    struct report *report;
    const struct store_config *config;
    struct store *store;
    const char *policy; /* NULL: of all policies */
    struct queue_store here;
    const struct object_bounds *stated; /* NULL: nothing beside what is noted */
    struct object_bounds recorded;
    const char *after; /* the last id of the batches before: none is looked at twice */
    void *ctx;         /* of the batch in hand */
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

static struct entries entries_new(const struct drain *d, size_t most)
{
    return (struct entries){.ids = mem_array(d->ctx, const char *, most + 1),
                            .texts = mem_array(d->ctx, const char *, most + 1),
                            .places = mem_array(d->ctx, const char *, most + 1)};
}

static void entries_add(struct entries *entries, const struct queue_item *item, const char *text,
                        const char *place)
{
    entries->ids[entries->count] = item->id;
    entries->texts[entries->count] = text;
    entries->places[entries->count++] = place;
}

static bool fetch(struct drain *d, struct error *err)
{
    struct db_rows *rows;
    if (!queue_due_objects(d->state, d->ctx, d->policy, &d->here, d->after, BATCH, &rows, err))
        return false;
    d->count = (size_t)db_rows_count(rows);
    d->items = mem_array(d->ctx, struct queue_item, d->count + 1);
    for (size_t i = 0; i < d->count; i++) {
        struct queue_item *item = &d->items[i];
        *item = (struct queue_item){.id = db_rows_get(rows, (int)i, QUEUE_OBJECT_ID),
                                    .value = db_rows_get(rows, (int)i, QUEUE_OBJECT_VALUE),
                                    .policy = db_rows_get(rows, (int)i, QUEUE_OBJECT_POLICY),
                                    .state = db_rows_get(rows, (int)i, QUEUE_OBJECT_STATE),
                                    .last_error = db_rows_get(rows, (int)i, QUEUE_OBJECT_ERROR)};
        item->where = store_resolve_in(d->ctx, d->config,
                                       db_rows_get(rows, (int)i, QUEUE_OBJECT_BUCKET), item->value);
        item->source = db_rows_get(rows, (int)i, QUEUE_OBJECT_SOURCE);
        item->prefixes = queue_prefixes(d->ctx, db_rows_get(rows, (int)i, QUEUE_OBJECT_PREFIXES),
                                        &item->prefix_count);
        char *breach = bounds_breach(d->ctx, item, &d->recorded, d->stated);
        if (breach) {
            item->outside = true;
            item->where = (struct store_location){.kind = STORE_FOREIGN, .reason = breach};
        }
    }
    return true;
}

static void tell_stays(struct drain *d, int64_t *counter, const struct queue_item *item,
                       const char *why)
{
    if (++*counter <= TOLD)
        report_remark(d->report, "object \"%s\" is not deleted: %s",
                      object_shown(d->ctx, item->value), why);
}

/* Notes the failures; those that were tried often enough become dead letters. */
static bool note_failed(struct drain *d, const struct entries *failed, struct error *err)
{
    int64_t gone = 0;
    if (failed->count == 0)
        return true;
    if (!queue_note_failed(d->state, d->ctx, failed->ids, failed->texts, failed->count, &gone, err))
        return false;
    d->report->objects.dead += gone;
    d->report->objects.failed += (int64_t)failed->count - gone;
    char *fate = gone == 0
                     ? "stay queued"
                     : mem_printf(d->ctx, "stay queued, but for %lld that are dead letters now",
                                  (long long)gone);
    report_remark(
        d->report, "%lld object%s could not be deleted from %s, and %s; the first, \"%s\": %s",
        (long long)failed->count, failed->count == 1 ? "" : "s",
        store_config_describe(d->ctx, d->config), fate,
        text_escape(d->ctx, failed->places[0], strlen(failed->places[0])), failed->texts[0]);
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

/* Has the objects deleted that nothing speaks for any more, and sorts their entries by what became
 * of them. */
static void ask_store(struct drain *d, struct queue_item **asked, size_t n, struct entries *done,
                      struct entries *failed)
{
    struct store_object *objects = mem_array(d->ctx, struct store_object, n + 1);
    struct store_result *results = mem_array(d->ctx, struct store_result, n + 1);
    size_t deleted = 0;
    for (size_t i = 0; i < n; i++)
        objects[i] =
            (struct store_object){.bucket = asked[i]->where.bucket, .key = asked[i]->where.key};
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

/* What does not go to the store. */
struct settled {
    struct entries done, foreign, held;
};

/* An entry that stays queued: it is counted, reported, and noted unless that is known already. */
static void settle_kept(struct drain *d, struct queue_item *item, struct settled *settled)
{
    struct report_objects *sums = &d->report->objects;
    bool object = item->where.kind == STORE_OBJECT;
    const char *why = object ? item->why : item->where.reason;
    bool known = why && item->last_error && strcmp(why, item->last_error) == 0;
    tell_stays(d,
               object          ? &sums->held
               : item->outside ? &sums->outside
                               : &sums->foreign,
               item, why);
    if (item->outside && !known && d->report->log)
        report_log(d->report, "kept object %s: %s", object_shown(d->ctx, item->value), why);
    if (!known || strcmp(item->state, object ? "queued" : "foreign") != 0)
        entries_add(object ? &settled->held : &settled->foreign, item, why, NULL);
}

/* Settles what does not go to the store: *free has the rest, *n of them. */
static bool settle_others(struct drain *d, struct queue_item **items, size_t count,
                          struct queue_item **free, size_t *n, struct error *err)
{
    struct settled settled = {entries_new(d, count), entries_new(d, count), entries_new(d, count)};
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        struct queue_item *item = items[i];
        bool object = item->where.kind == STORE_OBJECT;
        if (object && item->verdict == VERDICT_FREE) {
            free[(*n)++] = item;
        } else if (item->where.kind == STORE_NOTHING ||
                   (object && item->verdict == VERDICT_IN_USE)) {
            entries_add(&settled.done, item, NULL, NULL);
            d->report->objects.in_use += object;
        } else {
            settle_kept(d, item, &settled);
        }
    }
    const struct entries *foreign = &settled.foreign, *held = &settled.held, *done = &settled.done;
    return queue_note_held(d->state, d->ctx, foreign->ids, foreign->texts, foreign->count,
                           "foreign", err) &&
           queue_note_held(d->state, d->ctx, held->ids, held->texts, held->count, "queued", err) &&
           queue_remove(d->state, d->ctx, done->ids, done->count, err);
}

/* One wave through the store, right after the look. *go_on: the store is not in trouble. */
static bool settle_wave(struct drain *d, struct queue_item **wave, size_t count, const char *since,
                        bool *go_on, struct error *err)
{
    struct entries done = entries_new(d, count), failed = entries_new(d, count);
    struct queue_item **free = mem_array(d->ctx, struct queue_item *, count + 1);
    const struct report_objects before = d->report->objects;
    size_t n;
    bool ok = (!since || survivors_mark(d->state, d->ctx, d->config, wave, count, since, err)) &&
              settle_others(d, wave, count, free, &n, err);
    if (ok)
        ask_store(d, free, n, &done, &failed);
    *go_on = done.count > 0 || failed.count == 0;
    ok = ok && queue_remove(d->state, d->ctx, done.ids, done.count, err) &&
         note_failed(d, &failed, err);
    if (!ok)
        d->report->objects = before; /* it is still queued, and counts when it leaves the queue */
    return ok;
}

static bool drain_batch(struct drain *d, bool *go_on, struct error *err)
{
    const char *since = NULL;
    struct queue_item **items = mem_array(d->ctx, struct queue_item *, d->count + 1);
    struct queue_item **free = mem_array(d->ctx, struct queue_item *, d->count + 1);
    const struct report_objects before = d->report->objects;
    size_t n = 0;
    for (size_t i = 0; i < d->count; i++)
        items[i] = &d->items[i];
    bool ok = survivors_snapshot(d->state, d->ctx, &since, err) &&
              survivors_mark(d->state, d->ctx, d->config, items, d->count, NULL, err) &&
              settle_others(d, items, d->count, free, &n, err);
    if (!ok)
        d->report->objects = before;
    for (size_t i = 0; ok && *go_on && i < n && !stop_requested(); i += WAVE)
        ok =
            settle_wave(d, free + i, n - i < WAVE ? n - i : WAVE, i > 0 ? since : NULL, go_on, err);
    return ok;
}

/* What was noted about the columns of all policies. */
static bool read_bounds(struct drain *d, const void *ctx, struct error *err)
{
    struct source *sources;
    size_t count;
    if (!sources_read(state_db(d->state), ctx, "object", &sources, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        bounds_add(ctx, &d->recorded, sources[i].policy, sources[i].noted, sources[i].prefixes,
                   sources[i].prefix_count);
    return true;
}

static bool drain_all(struct drain *d, struct error *err)
{
    bool ok = true, go_on = true, more = true;
    void *outer = talloc_new(d->report);
    d->after = "0";
    ok = read_bounds(d, outer, err);
    /* A wave of which nothing went: the store is in trouble, and later runs try again. */
    while (ok && go_on && more && !stop_requested()) {
        d->ctx = talloc_new(d->report);
        ok = fetch(d, err);
        more = ok && d->count == BATCH;
        if (ok && d->count > 0) {
            d->after = mem_strdup(outer, d->items[d->count - 1].id);
            ok = drain_batch(d, &go_on, err);
        }
        talloc_free(d->ctx);
    }
    talloc_free(outer);
    return ok;
}

/* What was queued while no store was configured belongs to the one that the policy has now. */
static bool bind_policy(struct drain *d, struct error *err)
{
    size_t count;
    const char *bucket = store_config_buckets(d->config, &count)[0];
    const char *endpoint = store_config_place(d->config);
    int64_t bound = 0;
    if (!d->policy)
        return true;
    if (!queue_bind(d->state, d->report, d->policy, endpoint, bucket, &bound, err))
        return false;
    if (bound > 0)
        report_remark(
            d->report,
            "%lld objects were queued while no store was configured; from now on they belong to "
            "bucket %s at %s",
            (long long)bound, bucket, endpoint);
    return true;
}

/* Counts and reports what belongs to another store or bucket, and stays as it is. */
static bool tell_elsewhere(struct drain *d, struct error *err)
{
    struct db_rows *rows;
    if (!queue_elsewhere(d->state, d->report, d->policy, &d->here, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++) {
        const char *endpoint = db_rows_get(rows, i, 0);
        d->report->objects.elsewhere += db_rows_int(rows, i, 2);
        if (i < TOLD && endpoint)
            report_remark(
                d->report,
                "%s objects stay queued: they were queued for bucket %s at %s, and this is %s; "
                "after a correction, "
                "\"pgsweep objects rebind POLICY\" moves them",
                db_rows_get(rows, i, 2), db_rows_get(rows, i, 1), endpoint,
                store_config_describe(d->report, d->config));
        else if (i < TOLD)
            report_remark(d->report,
                          "%s objects stay queued: they were queued while no store was configured; "
                          "a run of policy %s, "
                          "or "
                          "\"pgsweep objects drain %s\", decides that they belong to the store "
                          "that is configured then",
                          db_rows_get(rows, i, 2), db_rows_get(rows, i, 3),
                          db_rows_get(rows, i, 3));
    }
    talloc_free(rows);
    return true;
}

/* One line: a remark has no room for more. */
static void tell_unusable(struct report *report, const struct error *why)
{
    report_note_undrained(report, "%s; the keys stay queued.%s%s%s%s", why->message,
                          why->detail ? " " : "", why->detail ? why->detail : "",
                          why->hint ? " " : "", why->hint ? why->hint : "");
}

static bool drain(void *arg, struct error *err)
{
    struct drain *d = arg;
    struct report *report = d->report;
    struct store_config *config = NULL;
    struct error why = ERROR_INIT;
    bool ok = true;
    enum store_setup setup = store_config_load(report, NULL, &config, &why);
    d->config = config;
    /* These say what the queue holds, so the last drain of a run has the numbers. */
    report->objects.foreign = report->objects.outside = report->objects.elsewhere =
        report->objects.held = 0;
    if (setup == STORE_NOT_CONFIGURED) {
        report_note_undrained(
            report, "no object store is configured (PGSWEEP_S3_BUCKET): the keys stay queued");
    } else if (setup == STORE_MISCONFIGURED || !store_new(report, config, &d->store, &why)) {
        tell_unusable(report, &why);
    } else {
        size_t count;
        char *const *buckets = store_config_buckets(config, &count);
        d->here = (struct queue_store){store_config_place(config),
                                       db_array(report, (const char *const *)buckets, count)};
        ok = bind_policy(d, err) && tell_elsewhere(d, err) && drain_all(d, err);
    }
    error_clear(&why);
    talloc_free(d->store);
    talloc_free(config);
    return ok;
}

bool objects_drain(struct state *state, struct report *report, const char *policy,
                   const struct object_bounds *stated, struct error *err)
{
    struct drain d = {.state = state, .report = report, .policy = policy, .stated = stated};
    return queue_drain_alone(state, report, "object", policy, drain, &d, &report->objects.waiting,
                             err);
}

void objects_binding(const void *ctx, const char **endpoint, const char **bucket)
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

bool objects_note_sources(struct state *state, const struct report *report, struct error *err)
{
    const char *endpoint, *bucket;
    objects_binding(report, &endpoint, &bucket);
    return sources_note(state, report, endpoint, bucket, err);
}

bool objects_check_settings(struct error *err)
{
    return store_check_aliases(err);
}
