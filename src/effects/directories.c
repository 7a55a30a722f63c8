/* Draining queued working directories: after the commit that deleted their rows, between
 * transactions. */
#define _GNU_SOURCE
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/policy.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"
#include "pgsweep/text.h"

static const char DIRECTORIES[] = "sql/directories.sql";

enum { BATCH = 1000, TOLD = 5 };

struct entry {
    const char *id;
    const char *name;
    const char *root;
    const char *rules; /* "": none */
    const char *policy;
    bool in_use;
};

/* Entries that were not done with, and why. */
struct entries {
    const char **ids, **reasons;
    size_t count;
};

struct removal {
    struct state *state;
    struct report *report;
    const char *policy;
    const char *after; /* ids up to here were dealt with: a batch is never looked at twice */
    void *outer;
    struct places *places;
    void *ctx; /* of the batch in hand */
    struct entry *entries;
    size_t count;
    const char **done; /* ids */
    size_t done_count;
    struct entries failed;
    struct entries busy; /* in use now, which it will not be for ever */
    struct entries refused;
};

/* What became of a directory. */
enum fate {
    GONE,
    KEPT,
    NAMED /* by a row that stays */,
    STAYS_QUEUED,
    ELSEWHERE,
    BUSY,
    FAILED,
    REFUSED
};

static struct entries entries_new(const struct removal *r)
{
    return (struct entries){.ids = mem_array(r->ctx, const char *, r->count + 1),
                            .reasons = mem_array(r->ctx, const char *, r->count + 1)};
}

static bool fetch(struct removal *r, struct error *err)
{
    struct db_rows *rows;
    if (!queue_due_directories(r->state, r->ctx, r->policy, r->after, BATCH, &rows, err))
        return false;
    r->count = (size_t)db_rows_count(rows);
    r->done_count = 0;
    r->done = mem_array(r->ctx, const char *, r->count + 1);
    r->failed = entries_new(r);
    r->busy = entries_new(r);
    r->refused = entries_new(r);
    r->entries = mem_array(r->ctx, struct entry, r->count + 1);
    for (size_t i = 0; i < r->count; i++)
        r->entries[i] = (struct entry){.id = db_rows_get(rows, (int)i, QUEUE_DIRECTORY_ID),
                                       .name = db_rows_get(rows, (int)i, QUEUE_DIRECTORY_NAME),
                                       .root = db_rows_get(rows, (int)i, QUEUE_DIRECTORY_ROOT),
                                       .rules = db_rows_get(rows, (int)i, QUEUE_DIRECTORY_RULES),
                                       .policy = db_rows_get(rows, (int)i, QUEUE_DIRECTORY_POLICY)};
    return true;
}

/* The names as values of a column's own type: so that its index is used. A name that is none is
 * left out. */
static const struct {
    const char *type;
    const char *names; /* a template */
} typed_names[] = {{"text", "texts"},        {"character varying", "texts"},
                   {"smallint", "integers"}, {"integer", "integers"},
                   {"bigint", "integers"},   {"uuid", "uuids"}};

/* The names that the column has, as text. Parameter: the names in question. */
static char *survivors_sql(const void *ctx, const struct source *source)
{
    for (size_t i = 0; i < sizeof typed_names / sizeof *typed_names; i++)
        if (strcmp(typed_names[i].type, source->type) == 0)
            return template_fill(
                ctx, DIRECTORIES, "still_named",
                TEMPLATE_SLOTS(
                    {"column", source->column}, {"table", source->table}, {"cast", ""},
                    {"names", template_fill(ctx, DIRECTORIES, typed_names[i].names, NULL)}));
    if (source->has_text_casts)
        return template_fill(ctx, DIRECTORIES, "still_named_printed",
                             TEMPLATE_SLOTS({"column", source->column}, {"table", source->table}));
    return template_fill(ctx, DIRECTORIES, "still_named",
                         TEMPLATE_SLOTS({"column", source->column}, {"table", source->table},
                                        {"cast", "::pg_catalog.text"},
                                        {"names", template_fill(ctx, DIRECTORIES, "texts", NULL)}));
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A directory that a surviving row names too stays. */
static bool mark_in_use(struct removal *r, struct error *err)
{
    const char **names = mem_array(r->ctx, const char *, r->count + 1);
    struct source *sources;
    size_t source_count;
    for (size_t i = 0; i < r->count; i++)
        names[i] = r->entries[i].name;
    const char *params[] = {db_array(r->ctx, names, r->count)};
    if (!sources_read(state_db(r->state), r->ctx, "directory", &sources, &source_count, err))
        return false;
    for (size_t s = 0; s < source_count; s++) {
        if (sources[s].state != SOURCE_THERE)
            return error_set(err, SWEEP_SOME_FAILED, "%s",
                             source_trouble(r->ctx, state_db(r->state), &sources[s]));
        const char *table = sources[s].table;
        const char *column = sources[s].column;
        const char *sql = survivors_sql(r->ctx, &sources[s]);
        struct db_rows *rows;
        if (!db_query(state_db(r->state), r->ctx, sql, 1, params, &rows, err))
            return error_prefix(err, "looking whether %s.%s still names a directory", table,
                                column);
        size_t count = (size_t)db_rows_count(rows);
        const char **found = mem_array(r->ctx, const char *, count + 1);
        for (size_t i = 0; i < count; i++)
            found[i] = db_rows_get(rows, (int)i, 0);
        qsort(found, count, sizeof *found, compare_text);
        for (size_t k = 0; count > 0 && k < r->count; k++)
            if (bsearch(&r->entries[k].name, found, count, sizeof *found, compare_text))
                r->entries[k].in_use = true;
    }
    return true;
}

static void add_entry(struct entries *list, const struct entry *entry, const char *reason)
{
    list->ids[list->count] = entry->id;
    list->reasons[list->count++] = reason;
}

/* The first one of its kind is reported, the others are counted: so_far, and those of this batch.
 */
static void stays_queued(struct removal *r, struct entries *list, int64_t so_far,
                         const struct entry *entry, const char *reason)
{
    if (so_far + (int64_t)list->count == 0)
        report_remark(r->report,
                      "working directory %s/%s could not be removed and stays queued: %s",
                      text_escape(r->ctx, entry->root, strlen(entry->root)),
                      text_escape(r->ctx, entry->name, strlen(entry->name)), reason);
    add_entry(list, entry, reason);
}

static void refuse(struct removal *r, const struct entry *entry, const char *reason)
{
    if (r->report->directories.refused++ < TOLD)
        report_remark(r->report, "working directory \"%s\" is not removed: %s",
                      text_escape(r->ctx, entry->name, strlen(entry->name)), reason);
    add_entry(&r->refused, entry, reason);
}

/* What is the case now, and will not be for ever. */
static bool is_busy(const struct files_report *report)
{
    return report->kept[FILES_KEPT_OPEN] + report->kept[FILES_KEPT_LOCKED] +
               report->kept[FILES_KEPT_CHANGED] + report->kept[FILES_KEPT_MOVED] +
               report->kept[FILES_KEPT_OTHER_FS] >
           0;
}

/* Removes the directory as far as it may go. *reason: why it is FAILED, BUSY or REFUSED. */
static enum fate remove_directory(struct removal *r, const struct place *place,
                                  const struct entry *entry, const char **reason)
{
    struct first_error first = {.ctx = r->ctx, .text = NULL};
    struct report_directories *sums = &r->report->directories;
    struct files_options options = place->how;
    struct files_report report = {0};
    struct error why = ERROR_INIT;
    enum files_tree_outcome outcome = FILES_TREE_KEPT;
    if (place->unusable) {
        *reason = place->unusable;
        return FAILED;
    }
    options.on_event = places_note_error;
    options.on_event_arg = &first;
    bool looked = files_remove_tree(&options, entry->name, &outcome, reason, &report, &why);
    sums->bytes_freed += report.bytes_freed;
    sums->files_protected += report.kept[FILES_KEPT_PROTECTED];
    sums->files_young += report.kept[FILES_KEPT_FRESH] + report.kept[FILES_KEPT_FUTURE] +
                         report.kept[FILES_KEPT_NO_TIME];
    if (!looked) {
        *reason = mem_strdup(r->ctx, why.message);
        error_clear(&why);
        return FAILED;
    }
    if (report.failed > 0) {
        *reason = first.text;
        return FAILED;
    }
    if (report.kept[FILES_KEPT_UNTESTED] > 0) {
        *reason = "it cannot be found out whether a process has its files open";
        return FAILED;
    }
    if (report.stopped)
        return STAYS_QUEUED; /* the next run goes on with it */
    switch (outcome) {
    case FILES_TREE_REFUSED:
        return REFUSED;
    case FILES_TREE_KEPT:
        *reason = report.kept[FILES_KEPT_OTHER_FS] > 0 ? "a file system is mounted in it"
                                                       : "something in it is in use";
        return is_busy(&report) ? BUSY : KEPT;
    case FILES_TREE_MISSING: /* perhaps it is what a killed run left in the trash */
        *reason = place->error;
        return place->error ? FAILED : GONE;
    case FILES_TREE_REMOVED:
    default:
        return GONE;
    }
}

static void settle_one(struct removal *r, const struct entry *entry)
{
    struct report_directories *sums = &r->report->directories;
    const struct place *place = places_find(r->places, entry->policy, entry->root, entry->rules);
    const char *reason = NULL;
    enum fate fate = place->missing     ? STAYS_QUEUED
                     : place->elsewhere ? ELSEWHERE
                     : entry->in_use    ? NAMED
                                        : remove_directory(r, place, entry, &reason);
    switch (fate) {
    case STAYS_QUEUED:
        return;
    case ELSEWHERE:
        sums->elsewhere++;
        return;
    case REFUSED:
        refuse(r, entry, reason);
        return;
    case FAILED:
        stays_queued(r, &r->failed, sums->failed + sums->dead, entry, reason);
        return;
    case BUSY:
        stays_queued(r, &r->busy, sums->busy, entry, reason);
        return;
    case NAMED:
        sums->in_use++;
        break;
    case KEPT:
        sums->kept++;
        break;
    case GONE:
        sums->removed++;
        break;
    }
    r->done[r->done_count++] = entry->id;
}

/* One more attempt for these; *waiting: those that are no dead letters yet. */
static bool note_entries(struct removal *r, const struct entries *list, int64_t *waiting,
                         struct error *err)
{
    int64_t dead = 0;
    if (list->count > 0 &&
        !queue_note_failed(r->state, r->ctx, list->ids, list->reasons, list->count, &dead, err))
        return false;
    r->report->directories.dead += dead;
    *waiting += (int64_t)list->count - dead;
    return true;
}

/* Writes down what became of the batch: a directory that is gone and still queued does no harm. */
static bool settle(struct removal *r, struct error *err)
{
    struct report_directories *sums = &r->report->directories;
    return queue_remove(r->state, r->ctx, r->done, r->done_count, err) &&
           queue_note_held(r->state, r->ctx, r->refused.ids, r->refused.reasons, r->refused.count,
                           "foreign", err) &&
           note_entries(r, &r->failed, &sums->failed, err) &&
           note_entries(r, &r->busy, &sums->busy, err);
}

static bool drain(void *arg, struct error *err)
{
    struct removal *r = arg;
    struct report *report = r->report;
    bool more = true;
    bool ok = true;
    r->outer = talloc_new(report);
    report->directories.elsewhere =
        0; /* says what the queue holds: the last drain has the number */
    while (ok && more && !stop_requested()) {
        r->ctx = talloc_new(report);
        ok = fetch(r, err);
        more = ok && r->count == BATCH;
        if (r->count > 0)
            r->after = mem_strdup(r->outer, r->entries[r->count - 1].id);
        ok = ok && (r->count == 0 || mark_in_use(r, err));
        for (size_t i = 0; ok && i < r->count && !stop_requested(); i++)
            settle_one(r, &r->entries[i]);
        ok = ok && settle(r, err);
        talloc_free(r->ctx);
    }
    places_finish(r->places);
    talloc_free(r->outer);
    return ok;
}

bool directories_drain(struct state *state, struct report *report, const char *policy,
                       const struct policy *const *present, size_t present_count, struct error *err)
{
    struct places places = {.ctx = talloc_new(report),
                            .report = report,
                            .present = present,
                            .present_count = present_count};
    struct removal r = {
        .state = state, .report = report, .policy = policy, .after = "0", .places = &places};
    bool ok = gate_check(state_gate(state), err) &&
              queue_drain_alone(state, report, "directory", policy, drain, &r,
                                &report->directories.waiting, err);
    talloc_free(places.ctx);
    return ok;
}
