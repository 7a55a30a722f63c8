/* Draining queued working directories: after the commit that deleted their rows, between transactions. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

enum { BATCH = 1000, TOLD = 5 };

/* A root of queued directories, looked at once. */
struct place {
    const char *root;
    bool missing;      /* not on this host: its directories wait for the host that has them */
    const char *error; /* why what a killed run left in its trash is still there; NULL: it is not */
};

struct entry {
    const char *id;
    const char *name;
    const char *root;
    bool in_use;
};

struct removal {
    struct effects *effects;
    struct report *report;
    const char *policy;
    const char *after; /* ids up to here were dealt with: a batch is never looked at twice */
    void *outer;
    struct place *places; /* of outer */
    size_t place_count;
    void *ctx; /* of the batch in hand */
    struct entry *entries;
    size_t count;
    const char **done, **failed, **errors; /* ids, and what went wrong */
    size_t done_count, failed_count;
};

static bool fetch(struct removal *r, struct error *err)
{
    static const char sql[] =
        "SELECT id, value, root FROM pgsweep.object_queue WHERE kind = 'directory' AND state = 'queued'"
        "   AND next_attempt <= pg_catalog.now() AND ($1::pg_catalog.text IS NULL OR policy = $1)"
        "   AND id > $2::pg_catalog.int8 ORDER BY id LIMIT $3::pg_catalog.int8";
    const char *params[] = {r->policy, r->after, mem_printf(r->ctx, "%d", BATCH)};
    struct db_rows *rows;
    if (!db_query(r->effects->db, r->ctx, sql, 3, params, &rows, err))
        return false;
    r->count = (size_t)db_rows_count(rows);
    r->done_count = r->failed_count = 0;
    r->done = mem_array(r->ctx, const char *, r->count + 1);
    r->failed = mem_array(r->ctx, const char *, r->count + 1);
    r->errors = mem_array(r->ctx, const char *, r->count + 1);
    r->entries = mem_array(r->ctx, struct entry, r->count + 1);
    for (size_t i = 0; i < r->count; i++)
        r->entries[i] = (struct entry){.id = db_rows_get(rows, (int)i, 0), .name = db_rows_get(rows, (int)i, 1),
                                       .root = db_rows_get(rows, (int)i, 2)};
    return true;
}

/* Columns that may name a directory, and how to compare in their own type: so that an index is used. A
 * table or column that is gone names nothing. */
static const char sources_sql[] =
    "SELECT DISTINCT s.table_ident, s.column_ident,"
    "       CASE WHEN a.atttypid IN ('text'::pg_catalog.regtype, 'varchar'::pg_catalog.regtype)"
    "              THEN ' = ANY ($1::pg_catalog.text[])'"
    "            WHEN a.atttypid IN ('int2'::pg_catalog.regtype, 'int4'::pg_catalog.regtype, 'int8'::pg_catalog.regtype)"
    "              THEN ' = ANY (ARRAY(SELECT v::pg_catalog.int8 FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v"
    "                    WHERE v ~ ''^-?[0-9]{1,18}$''))'"
    "            WHEN a.atttypid = 'uuid'::pg_catalog.regtype"
    "              THEN ' = ANY (ARRAY(SELECT v::pg_catalog.uuid FROM pg_catalog.unnest($1::pg_catalog.text[]) AS v"
    "                    WHERE v ~* ''^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$''))'"
    "            ELSE '::pg_catalog.text = ANY ($1::pg_catalog.text[])' END"
    "  FROM pgsweep.object_sources AS s"
    "  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(s.table_ident)"
    "   AND '\"' || pg_catalog.replace(a.attname::pg_catalog.text, '\"', '\"\"') || '\"' = s.column_ident AND a.attnum > 0 AND NOT a.attisdropped"
    " WHERE s.kind = 'directory'";

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A directory that a surviving row names too stays. */
static bool mark_in_use(struct removal *r, struct error *err)
{
    const char **names = mem_array(r->ctx, const char *, r->count + 1);
    struct db_rows *sources;
    for (size_t i = 0; i < r->count; i++)
        names[i] = r->entries[i].name;
    const char *params[] = {db_array(r->ctx, names, r->count)};
    if (!db_query(r->effects->db, r->ctx, sources_sql, 0, NULL, &sources, err))
        return false;
    for (int s = 0; s < db_rows_count(sources); s++) {
        const char *column = db_rows_get(sources, s, 1);
        struct db_rows *rows;
        char *sql = mem_printf(r->ctx, "SELECT DISTINCT %s::pg_catalog.text FROM %s WHERE %s%s", column,
                               db_rows_get(sources, s, 0), column, db_rows_get(sources, s, 2));
        if (!db_query(r->effects->db, r->ctx, sql, 1, params, &rows, err))
            return error_prefix(err, "looking whether %s.%s still names a directory",
                                db_rows_get(sources, s, 0), column);
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

/* The root of an entry; when it is met first, what a killed run left in its trash is finished. */
static const struct place *find_place(struct removal *r, const char *root)
{
    struct files_options options = {.root = root};
    struct files_report report = {0};
    struct error why = ERROR_INIT;
    for (size_t i = 0; i < r->place_count; i++)
        if (strcmp(r->places[i].root, root) == 0)
            return &r->places[i];
    size_t i = mem_grow(r->outer, &r->places, &r->place_count);
    struct place *place = &r->places[i];
    *place = (struct place){.root = mem_strdup(r->outer, root)};
    place->missing = access(root, F_OK) != 0 && errno == ENOENT;
    if (place->missing)
        report_remark(r->report, "%s does not exist on this host: its working directories stay queued", root);
    else if (!files_finish_trash(&options, &report, &why))
        place->error = mem_strdup(r->outer, why.message);
    else if (report.failed > 0)
        place->error = strerror(report.errors[0].code);
    r->report->directories.bytes_freed += report.bytes_freed;
    error_clear(&why);
    return place;
}

static void add_failed(struct removal *r, const struct entry *entry, const char *error)
{
    char *name = text_escape(r->ctx, entry->name, strlen(entry->name));
    if (r->report->directories.failed + (int64_t)r->failed_count == 0)
        report_remark(r->report, "working directory %s/%s could not be removed and stays queued: %s",
                      entry->root, name, error);
    r->failed[r->failed_count] = entry->id;
    r->errors[r->failed_count++] = mem_strdup(r->ctx, error);
}

static bool refuse(struct removal *r, const struct entry *entry, const char *reason, struct error *err)
{
    const char *params[] = {entry->id, reason};
    if (r->report->directories.refused++ < TOLD)
        report_remark(r->report, "working directory \"%s\" is not removed: %s",
                      text_escape(r->ctx, entry->name, strlen(entry->name)), reason);
    return effects_query(r->effects, r->ctx,
                         "UPDATE pgsweep.object_queue SET state = 'foreign', last_error = $2"
                         " WHERE id = $1::pg_catalog.int8", 2, params, NULL, err);
}

/* Files that are in use now will not be for ever: the directory is tried again. */
static bool is_busy(const struct files_report *report)
{
    return report->kept[FILES_KEPT_OPEN] + report->kept[FILES_KEPT_LOCKED] + report->kept[FILES_KEPT_CHANGED] +
           report->kept[FILES_KEPT_MOVED] > 0;
}

/* One directory. False only when the database failed. */
static bool remove_one(struct removal *r, const struct entry *entry, struct error *err)
{
    struct report_directories *sums = &r->report->directories;
    struct files_options options = {.root = entry->root, .in_use = true};
    struct files_report report = {0};
    struct error why = ERROR_INIT;
    enum files_tree_outcome outcome = FILES_TREE_KEPT;
    const char *reason = NULL;
    const struct place *place = find_place(r, entry->root);
    bool ok = true;
    if (place->missing)
        return true;
    if (entry->in_use) {
        sums->in_use++;
        r->done[r->done_count++] = entry->id;
        return true;
    }
    bool looked = files_remove_tree(&options, entry->name, &outcome, &reason, &report, &why);
    sums->bytes_freed += report.bytes_freed;
    if (!looked) {
        add_failed(r, entry, why.message);
    } else if (report.failed > 0) {
        add_failed(r, entry, strerror(report.errors[0].code));
    } else if (report.stopped) {
        ; /* it stays queued, and the next run goes on with it */
    } else if (outcome == FILES_TREE_REFUSED) {
        ok = refuse(r, entry, reason, err);
    } else if (outcome == FILES_TREE_KEPT && is_busy(&report)) {
        add_failed(r, entry, "something in it is in use");
    } else if (outcome == FILES_TREE_MISSING && place->error) {
        add_failed(r, entry, place->error);
    } else {
        if (outcome == FILES_TREE_KEPT)
            sums->kept++;
        else
            sums->removed++;
        r->done[r->done_count++] = entry->id;
    }
    error_clear(&why);
    return ok;
}

/* Writes down what became of the batch: a directory that is gone and still queued does no harm. */
static bool settle(struct removal *r, struct error *err)
{
    int64_t dead = 0;
    const char *params[] = {db_array(r->ctx, r->done, r->done_count)};
    if (r->done_count > 0 &&
        !effects_query(r->effects, r->ctx, "DELETE FROM pgsweep.object_queue WHERE id = ANY ($1::pg_catalog.int8[])",
                       1, params, NULL, err))
        return false;
    if (r->failed_count > 0 &&
        !queue_note_failed(r->effects, r->ctx, r->failed, r->errors, NULL, r->failed_count, &dead, err))
        return false;
    r->report->directories.dead += dead;
    r->report->directories.failed += (int64_t)r->failed_count - dead;
    return true;
}

static bool drain(struct effects *effects, struct report *report, const char *policy, struct error *err)
{
    struct removal r = {.effects = effects, .report = report, .policy = policy, .after = "0"};
    bool more = true;
    bool ok = true;
    r.outer = talloc_new(report);
    while (ok && more && !stop_requested()) {
        r.ctx = talloc_new(report);
        ok = fetch(&r, err);
        more = ok && r.count == BATCH;
        if (r.count > 0)
            r.after = mem_strdup(r.outer, r.entries[r.count - 1].id);
        ok = ok && (r.count == 0 || mark_in_use(&r, err));
        for (size_t i = 0; ok && i < r.count && !stop_requested(); i++)
            ok = remove_one(&r, &r.entries[i], err);
        ok = ok && settle(&r, err);
        talloc_free(r.ctx);
    }
    talloc_free(r.outer);
    return ok;
}

bool queue_drain_directories(struct effects *effects, struct report *report, const char *policy,
                             struct error *err)
{
    return effects_allowed(effects, err) &&
           queue_drain_alone(effects, report, "directory", policy, drain, &report->directories.waiting, err);
}
