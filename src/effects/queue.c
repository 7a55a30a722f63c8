/* The object queue: what enters it, in the transaction that deletes the rows. */
#include "internal.h"
#include "pgsweep/mem.h"

void queue_append_insert(PQExpBuffer out, const char *select, int first)
{
    appendPQExpBuffer(out, "INSERT INTO pgsweep.object_queue (run_id, policy, source, kind, root, value)"
                           " SELECT $%d::pg_catalog.text, $%d::pg_catalog.text, $%d::pg_catalog.text,"
                           " $%d::pg_catalog.text, $%d::pg_catalog.text, v.value FROM (%s) AS v",
                      first, first + 1, first + 2, first + 3, first + 4, select);
}

bool queue_note_sources(struct effects *effects, const struct report *report, struct error *err)
{
    static const char sql[] =
        "INSERT INTO pgsweep.object_sources (policy, kind, table_ident, column_ident)"
        " SELECT $1, s.kind, s.table_ident, s.column_ident FROM ROWS FROM (pg_catalog.unnest($2::pg_catalog.text[]),"
        "  pg_catalog.unnest($3::pg_catalog.text[]), pg_catalog.unnest($4::pg_catalog.text[]))"
        "  AS s(kind, table_ident, column_ident) ON CONFLICT DO NOTHING";
    const struct plan *plan = report->plan;
    size_t most = 1, n = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        most += plan->nodes[i]->object_count;
    const char **kinds = mem_array(report, const char *, most);
    const char **tables = mem_array(report, const char *, most);
    const char **columns = mem_array(report, const char *, most);
    for (size_t i = 0; i < plan->node_count; i++)
        for (size_t k = 0; k < plan->nodes[i]->object_count; k++, n++) {
            kinds[n] = "object";
            tables[n] = plan->nodes[i]->table.ident;
            columns[n] = plan->nodes[i]->objects[k].ident;
        }
    if (plan->directory) {
        kinds[n] = "directory";
        tables[n] = plan->nodes[0]->table.ident;
        columns[n++] = plan->directory->ident;
    }
    const char *params[] = {report->policy->name, db_array(report, kinds, n), db_array(report, tables, n),
                            db_array(report, columns, n)};
    return n == 0 || effects_query(effects, report, sql, 4, params, NULL, err);
}

bool queue_sources(struct db *db, const void *ctx, const char *kind, struct db_rows **rows, struct error *err)
{
    /* Tables and columns that are gone cannot name anything. */
    static const char sql[] =
        "SELECT DISTINCT o.table_ident, o.column_ident, pg_catalog.format_type(a.atttypid, NULL) FROM pgsweep.object_sources AS o"
        "  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(o.table_ident)"
        "   AND a.attnum > 0 AND NOT a.attisdropped"
        "   AND o.column_ident = '\"' || pg_catalog.replace(a.attname, '\"', '\"\"') || '\"'"
        " WHERE o.kind = $1";
    return db_query(db, ctx, sql, 1, &kind, rows, err);
}

bool queue_note_failed(struct effects *effects, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err)
{
    static const char again_sql[] =
        "UPDATE pgsweep.object_queue AS q SET attempts = q.attempts + 1, last_error = f.error,"
        " next_attempt = pg_catalog.now() + least(interval '1 min' * 2.0 ^ least(q.attempts, 20), interval '1 day')"
        " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) AS f(id, error)"
        " WHERE q.id = f.id";
    static const char dead_sql[] =
        "WITH gone AS (DELETE FROM pgsweep.object_queue AS q WHERE q.id = ANY ($1::pg_catalog.int8[])"
        "  AND q.attempts >= $2::pg_catalog.int4 RETURNING *)"
        " INSERT INTO pgsweep.dead_letters (policy, kind, key, root, state, attempts, error, run_id)"
        " SELECT DISTINCT ON (policy, kind, k.key) policy, kind, k.key, root, 'parked', attempts,"
        "        coalesce(last_error, ''), run_id FROM gone, LATERAL (SELECT " QUEUE_LETTER_KEY ") AS k(key)"
        " ON CONFLICT (policy, kind, pgsweep.key_digest(key)) DO UPDATE SET state = 'parked',"
        " attempts = excluded.attempts, error = excluded.error, last_at = pg_catalog.now()";
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, errors, count)};
    struct db_rows *rows;
    if (!effects_query(effects, ctx, again_sql, 2, params, NULL, err))
        return false;
    params[1] = mem_printf(ctx, "%d", QUEUE_ATTEMPTS);
    if (!effects_query(effects, ctx, dead_sql, 2, params, &rows, err))
        return false;
    *dead = db_rows_affected(rows);
    return true;
}

bool queue_mark_foreign(struct effects *effects, const void *ctx, const char *const *ids, const char *const *reasons,
                        size_t count, struct error *err)
{
    static const char sql[] =
        "UPDATE pgsweep.object_queue AS q SET state = 'foreign', last_error = f.reason"
        " FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.int8[]), pg_catalog.unnest($2::pg_catalog.text[])) AS f(id, reason)"
        " WHERE q.id = f.id";
    const char *params[] = {db_array(ctx, ids, count), db_array(ctx, reasons, count)};
    return count == 0 || effects_query(effects, ctx, sql, 2, params, NULL, err);
}

/* How many entries wait, and how many of them are due. */
static bool count_waiting(struct effects *effects, const void *ctx, const char *kind, const char *policy,
                          int64_t *waiting, int64_t *due, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {kind, policy};
    if (!db_query(effects->db, ctx,
                  "SELECT pg_catalog.count(*), pg_catalog.count(*) FILTER (WHERE next_attempt <= pg_catalog.now())"
                  "  FROM pgsweep.object_queue WHERE kind = $1 AND state = 'queued'"
                  "   AND ($2::pg_catalog.text IS NULL OR policy = $2)", 2, params, &rows, err))
        return false;
    *waiting = db_rows_int(rows, 0, 0);
    *due = db_rows_int(rows, 0, 1);
    talloc_free(rows);
    return true;
}

bool queue_drain_alone(struct effects *effects, struct report *report, const char *kind, const char *policy,
                       queue_drainer *drain, int64_t *waiting, struct error *err)
{
    bool got = false;
    int64_t due = 0;
    int64_t key = run_lock_key(mem_printf(report, "queue of %s", kind));
    if (!count_waiting(effects, report, kind, policy, waiting, &due, err))
        return false;
    if (due == 0)
        return true;
    if (!db_try_lock(effects->db, key, &got, err))
        return false;
    bool ok = !got || drain(effects, report, policy, err);
    if (!got)
        report_remark(report, "another run is draining the %s queue", kind);
    struct error ignored = ERROR_INIT;
    if (got && !db_is_lost(effects->db) && !db_unlock(effects->db, key, &ignored))
        error_clear(&ignored); /* the lock ends with the session */
    return ok && count_waiting(effects, report, kind, policy, waiting, &due, err);
}
