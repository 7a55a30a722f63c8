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

static bool note_source(struct effects *effects, const struct report *report, const char *kind,
                        const char *table, const char *column, struct error *err)
{
    static const char sql[] = "INSERT INTO pgsweep.object_sources (policy, kind, table_ident, column_ident)"
                              " VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING";
    const char *params[] = {report->policy->name, kind, table, column};
    return effects_query(effects, report, sql, 4, params, NULL, err);
}

bool queue_note_sources(struct effects *effects, const struct report *report, struct error *err)
{
    const struct plan *plan = report->plan;
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        for (size_t k = 0; k < node->object_count; k++)
            if (!note_source(effects, report, "object", node->table.ident, node->objects[k], err))
                return false;
    }
    return !plan->directory || note_source(effects, report, "directory", plan->nodes[0]->table.ident,
                                           plan->directory->ident, err);
}

bool queue_sources(struct db *db, const void *ctx, const char *kind, struct db_rows **rows, struct error *err)
{
    /* Tables and columns that are gone cannot name anything. */
    static const char sql[] =
        "SELECT DISTINCT o.table_ident, o.column_ident FROM pgsweep.object_sources AS o"
        "  JOIN pg_catalog.pg_attribute AS a ON a.attrelid = pg_catalog.to_regclass(o.table_ident)"
        "   AND a.attnum > 0 AND NOT a.attisdropped"
        "   AND o.column_ident = '\"' || pg_catalog.replace(a.attname, '\"', '\"\"') || '\"'"
        " WHERE o.kind = $1";
    return db_query(db, ctx, sql, 1, &kind, rows, err);
}
