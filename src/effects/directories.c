/* Draining queued working directories: after the commit that deleted their rows, between transactions. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"

enum { BATCH = 1000 };

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
    void *ctx;
    struct entry *entries;
    size_t count;
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
    r->entries = mem_array(r->ctx, struct entry, r->count + 1);
    for (size_t i = 0; i < r->count; i++)
        r->entries[i] = (struct entry){.id = db_rows_get(rows, (int)i, 0), .name = db_rows_get(rows, (int)i, 1),
                                       .root = db_rows_get(rows, (int)i, 2)};
    return true;
}

/* A directory that a surviving row names too stays. */
static bool mark_in_use(struct removal *r, struct error *err)
{
    const char **names = mem_array(r->ctx, const char *, r->count + 1);
    struct db_rows *sources;
    for (size_t i = 0; i < r->count; i++)
        names[i] = r->entries[i].name;
    const char *params[] = {db_array(r->ctx, names, r->count)};
    if (!queue_sources(r->effects->db, r->ctx, "directory", &sources, err))
        return false;
    for (int s = 0; s < db_rows_count(sources); s++) {
        const char *column = db_rows_get(sources, s, 1);
        struct db_rows *rows;
        char *sql = mem_printf(r->ctx, "SELECT DISTINCT %s::pg_catalog.text FROM %s"
                                       " WHERE %s::pg_catalog.text = ANY ($1::pg_catalog.text[])",
                               column, db_rows_get(sources, s, 0), column);
        if (!db_query(r->effects->db, r->ctx, sql, 1, params, &rows, err))
            return error_prefix(err, "looking whether %s.%s still names a directory",
                                db_rows_get(sources, s, 0), column);
        for (int i = 0; i < db_rows_count(rows); i++)
            for (size_t k = 0; k < r->count; k++)
                if (strcmp(r->entries[k].name, db_rows_get(rows, i, 0)) == 0)
                    r->entries[k].in_use = true;
    }
    return true;
}

static bool note(struct removal *r, const char *sql, const char *id, const char *error, struct error *err)
{
    const char *params[] = {id, error};
    return effects_query(r->effects, r->ctx, sql, error ? 2 : 1, params, NULL, err);
}

static const char done_sql[] = "DELETE FROM pgsweep.object_queue WHERE id = $1::pg_catalog.int8";
static const char refused_sql[] = "UPDATE pgsweep.object_queue SET state = 'foreign', last_error = $2"
                                  " WHERE id = $1::pg_catalog.int8";
static const char again_sql[] =
    "UPDATE pgsweep.object_queue SET attempts = attempts + 1, last_error = $2,"
    " next_attempt = pg_catalog.now() + least(interval '1 min' * 2.0 ^ least(attempts, 20), interval '1 day')"
    " WHERE id = $1::pg_catalog.int8";

/* One directory. False only when the database failed. */
static bool remove_one(struct removal *r, const struct entry *entry, struct error *err)
{
    struct report_directories *sums = &r->report->directories;
    struct files_options options = {.root = entry->root, .in_use = true};
    struct files_report report = {0};
    struct error why = ERROR_INIT;
    enum files_tree_outcome outcome = FILES_TREE_KEPT;
    const char *reason = NULL;
    if (entry->in_use) {
        sums->in_use++;
        return note(r, done_sql, entry->id, NULL, err);
    }
    bool ok = files_remove_tree(&options, entry->name, &outcome, &reason, &report, &why);
    sums->bytes_freed += report.bytes_freed;
    if (!ok || report.failed > 0) {
        const char *text = ok ? strerror(report.errors[0].code) : why.message;
        if (sums->failed++ == 0)
            report_remark(r->report, "working directory %s/%s could not be removed and stays queued: %s",
                          entry->root, entry->name, text);
        ok = note(r, again_sql, entry->id, text, err);
    } else if (outcome == FILES_TREE_REFUSED) {
        sums->refused++;
        report_remark(r->report, "working directory \"%s\" is not removed: its name %s", entry->name, reason);
        ok = note(r, refused_sql, entry->id, reason, err);
    } else {
        if (outcome == FILES_TREE_KEPT)
            sums->kept++;
        else
            sums->removed++;
        ok = note(r, done_sql, entry->id, NULL, err);
    }
    error_clear(&why);
    return ok;
}

static bool count_waiting(struct removal *r, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {r->policy};
    if (!db_query(r->effects->db, r->report,
                  "SELECT pg_catalog.count(*) FROM pgsweep.object_queue WHERE kind = 'directory'"
                  " AND state = 'queued' AND ($1::pg_catalog.text IS NULL OR policy = $1)", 1, params, &rows, err))
        return false;
    r->report->directories.waiting = db_rows_int(rows, 0, 0);
    talloc_free(rows);
    return true;
}

/* What a killed run left in the trash of the roots is finished first. */
static void finish_trash(struct removal *r)
{
    const char *last = "";
    for (size_t i = 0; i < r->count; i++) {
        struct files_options options = {.root = r->entries[i].root};
        struct files_report report = {0};
        struct error ignored = ERROR_INIT;
        if (strcmp(last, r->entries[i].root) != 0 && !files_finish_trash(&options, &report, &ignored))
            report_remark(r->report, "trash of %s: %s", r->entries[i].root, ignored.message);
        last = r->entries[i].root;
        error_clear(&ignored);
    }
}

bool queue_drain_directories(struct effects *effects, struct report *report, const char *policy,
                             struct error *err)
{
    struct removal r = {.effects = effects, .report = report, .policy = policy, .after = "0"};
    void *outer = talloc_new(report);
    bool ok = effects_allowed(effects, err);
    bool more = true;
    while (ok && more && !stop_requested()) {
        r.ctx = talloc_new(report);
        ok = fetch(&r, err);
        more = ok && r.count == BATCH;
        if (ok && r.count > 0) {
            finish_trash(&r);
            r.after = mem_strdup(outer, r.entries[r.count - 1].id);
            ok = mark_in_use(&r, err);
        }
        for (size_t i = 0; ok && i < r.count && !stop_requested(); i++)
            ok = remove_one(&r, &r.entries[i], err);
        talloc_free(r.ctx);
    }
    ok = ok && count_waiting(&r, err);
    talloc_free(outer);
    return ok;
}
