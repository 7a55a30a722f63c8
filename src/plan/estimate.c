/* Estimates instead of counts, from the planner's statistics: for tables where an exact count takes too long. The
 * predicates are those of the count. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char file[] = "sql/estimate.sql";

/* "Seq Scan on t  (cost=0.00..35.50 rows=850 width=0)": the first line is about the whole statement. */
static int64_t rows_of_plan(const struct db_rows *plan)
{
    static const char word[] = " rows=";
    const char *line = db_rows_count(plan) > 0 ? db_rows_get(plan, 0, 0) : NULL;
    const char *found = line ? strstr(line, word) : NULL;
    return found ? strtoll(found + strlen(word), NULL, 10) : -1;
}

static bool estimate(const void *ctx, struct db *db, const struct plan *plan, const char *select, int64_t *rows,
                     struct error *err)
{
    struct db_rows *answer;
    const char *params[] = {plan->cutoff_value};
    char *sql = template_fill(ctx, file, "explain", TEMPLATE_SLOTS({"rows", select}));
    if (!db_query(db, ctx, sql, 1, params, &answer, err))
        return false;
    *rows = rows_of_plan(answer);
    return true;
}

static char *candidates_sql(const void *ctx, const struct plan *plan)
{
    PQExpBuffer candidate = createPQExpBuffer();
    plan_append_candidate(candidate, plan);
    return template_fill(ctx, file, "candidates",
                         TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident}, {"candidate", buffer_take(ctx, candidate)}));
}

static char *dependents_sql(const void *ctx, const struct plan *plan, const struct plan_node *node)
{
    PQExpBuffer reached = createPQExpBuffer();
    reach_append(reached, plan, node, "d", LEAF_ELIGIBLE);
    return template_fill(ctx, file, "dependents",
                         TEMPLATE_SLOTS({"table", node->table.ident}, {"reached", buffer_take(ctx, reached)}));
}

static bool estimate_all(const void *ctx, struct db *db, const struct plan *plan, struct plan_counts *counts,
                         struct error *err)
{
    char *total = template_fill(ctx, file, "total",
                                TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident}, {"type", plan->age->type},
                                               {"where", plan->where_sql}));
    char *old_enough = template_fill(ctx, file, "old_enough",
                                     TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident}, {"age", plan->age->ident},
                                                    {"type", plan->age->type}));
    if (!estimate(ctx, db, plan, old_enough, &counts->old_enough, err))
        return false;
    if (plan->policy->count_total && !estimate(ctx, db, plan, total, &counts->total, err))
        return false;
    if (!estimate(ctx, db, plan, candidates_sql(ctx, plan), &counts->eligible, err))
        return false;
    counts->by_node[0] = counts->eligible;
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (plan_acts(node) && !estimate(ctx, db, plan, dependents_sql(ctx, plan, node), &counts->by_node[i], err))
            return false;
    }
    return true;
}

bool plan_estimate(const void *ctx, struct db *db, const struct plan *plan, struct plan_counts *counts, struct error *err)
{
    if (!db_execute(db, ctx, &db_begin_read_only, 0, NULL, NULL, err))
        return false;
    bool ok = estimate_all(ctx, db, plan, counts, err);
    db_rollback(db);
    return ok;
}

bool plan_has_statistics(struct db *db, const struct plan_node *node, bool *has, struct error *err)
{
    struct db_rows *answer;
    void *scratch = talloc_new(db);
    const char *params[] = {node->table.oid};
    bool ok = db_query(db, scratch, template_fill(scratch, file, "has_statistics", NULL), 1, params, &answer, err);
    if (ok)
        *has = db_rows_bool(answer, 0, 0);
    talloc_free(scratch);
    return ok;
}
