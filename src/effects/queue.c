/* The object queue: what enters it, in the transaction that deletes the rows. */
#include "internal.h"
#include "pgsweep/mem.h"

void queue_append_insert(PQExpBuffer out, const char *select, int first)
{
    appendPQExpBuffer(out, "INSERT INTO pgsweep.object_queue (run_id, policy, source, value)"
                           " SELECT $%d::pg_catalog.text, $%d::pg_catalog.text, $%d::pg_catalog.text,"
                           " v.value FROM (%s) AS v", first, first + 1, first + 2, select);
}

bool queue_note_sources(struct effects *effects, const struct report *report, struct error *err)
{
    static const char sql[] = "INSERT INTO pgsweep.object_sources (policy, table_ident, column_ident)"
                              " VALUES ($1, $2, $3) ON CONFLICT DO NOTHING";
    for (size_t i = 0; i < report->plan->node_count; i++) {
        const struct plan_node *node = report->plan->nodes[i];
        for (size_t k = 0; k < node->object_count; k++) {
            const char *params[] = {report->policy->name, node->table.ident, node->objects[k]};
            if (!effects_query(effects, report, sql, 3, params, NULL, err))
                return false;
        }
    }
    return true;
}
