/* Estimates instead of counts, from the planner's statistics: for tables where an exact count takes
 * too long. Candidates are estimated with the predicate of the count, dependents in proportion to
 * what they refer to. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char file[] = "sql/estimate.sql";

/* "Seq Scan on t  (cost=0.00..35.50 rows=850 width=0)": the first line is about the whole
 * statement. */
static int64_t rows_of_plan(const struct db_rows *plan)
{
    static const char word[] = " rows=";
    const char *line = db_rows_count(plan) > 0 ? db_rows_get(plan, 0, 0) : NULL;
    const char *found = line ? strstr(line, word) : NULL;
    return found ? strtoll(found + strlen(word), NULL, 10) : -1;
}

static bool estimate(const void *ctx, struct db *db, const struct plan *plan, const char *select,
                     int64_t *rows, struct error *err)
{
    struct db_rows *answer;
    const char *params[] = {plan->cutoff_value};
    char *sql = template_fill(ctx, file, "explain", TEMPLATE_SLOTS({"rows", select}));
    if (!db_query(db, ctx, sql, 1, params, &answer, err))
        return false;
    *rows = rows_of_plan(answer);
    return true;
}

bool estimate_old_enough(const void *ctx, struct db *db, const struct plan *plan, int64_t *rows,
                         struct error *err)
{
    return estimate(
        ctx, db, plan,
        template_fill(ctx, file, "old_enough",
                      TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident},
                                     {"age", plan->age->ident}, {"below", plan->age->below},
                                     {"type", plan->age->value_type})),
        rows, err);
}

static char *candidates_sql(const void *ctx, const struct plan *plan)
{
    PQExpBuffer candidate = createPQExpBuffer();
    plan_append_candidate(candidate, plan);
    return template_fill(ctx, file, "candidates",
                         TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident},
                                        {"candidate", buffer_take(ctx, candidate)}));
}

/* What is known of the nodes so far. */
struct estimates {
    const void *ctx;
    struct db *db;
    const struct plan *plan;
    double *rows;  /* of the whole table, by node index */
    double *going; /* negative: not estimated yet */
    bool *started;
};

/* The rows of the table of node that refer to anything through edge. */
static bool estimate_referring(struct estimates *e, const struct plan_node *node,
                               const struct plan_edge *edge, double *rows, struct error *err)
{
    PQExpBuffer not_null = createPQExpBuffer();
    int64_t answer = 0;
    for (size_t i = 0; i < edge->width; i++)
        if (!edge->not_null[i])
            appendPQExpBuffer(not_null, "%sd.%s IS NOT NULL", not_null->len > 0 ? "\nAND " : "",
                              edge->columns[i]);
    char *condition = buffer_take(e->ctx, not_null);
    *rows = e->rows[node->index];
    if (!*condition)
        return true;
    bool ok = estimate(
        e->ctx, e->db, e->plan,
        template_fill(e->ctx, file, "referring",
                      TEMPLATE_SLOTS({"table", node->table.ident},
                                     {"type", e->plan->age->value_type}, {"not_null", condition})),
        &answer, err);
    *rows = (double)answer;
    return ok;
}

/* How large a part of the table goes. */
static double share(const struct estimates *e, const struct plan_node *node)
{
    double rows = e->rows[node->index], going = e->going[node->index];
    return rows < 1 || going > rows ? 1 : going / rows;
}

static bool estimate_node(struct estimates *e, const struct plan_node *node, struct error *err);

/* A shared row goes when all its references do: with k references to each row, the share to the
 * power of k. */
static bool estimate_shared(struct estimates *e, const struct plan_node *node, struct error *err)
{
    double sum = 0, rows = e->rows[node->index];
    for (size_t i = 0; i < node->link_count; i++) {
        const struct plan_node *child = node->links[i].child;
        if (!child || child == node)
            continue;
        if (!estimate_node(e, child, err))
            return false;
        double part = share(e, child), referring = e->rows[child->index], product = part;
        int64_t each = rows >= 1 ? (int64_t)(referring / rows) : 0;
        for (int64_t k = 2; k <= each && part < 1 && product * rows >= 0.5; k++)
            product *= part;
        sum += product * (referring < rows ? referring : rows);
    }
    e->going[node->index] = sum < rows ? sum : rows;
    return true;
}

/* The rows of a node go, or lose a reference, in proportion to the rows that they refer to. So the
 * cost is one question for each reference, whatever the shape of the graph. */
static bool estimate_node(struct estimates *e, const struct plan_node *node, struct error *err)
{
    double stays = 1, rows = e->rows[node->index];
    if (e->started[node->index])
        return true;
    e->started[node->index] = true;
    e->going[node->index] = 0; /* while a circle is followed */
    if (node->action == ACTION_DELETE_ORPHANS) {
        if (!estimate_shared(e, node, err))
            return false;
    }
    for (size_t i = 0; node->action != ACTION_DELETE_ORPHANS && i < node->edge_count; i++) {
        const struct plan_node *parent = node->edges[i].parent;
        double referring;
        if (parent == node)
            continue;
        if (!estimate_node(e, parent, err) ||
            !estimate_referring(e, node, &node->edges[i], &referring, err))
            return false;
        stays *= 1 - (rows < 1 || referring > rows ? 1 : referring / rows) * share(e, parent);
    }
    if (node->action != ACTION_DELETE_ORPHANS)
        e->going[node->index] = rows * (1 - stays);
    return true;
}

static bool estimate_dependents(const void *ctx, struct db *db, const struct plan *plan,
                                struct plan_counts *counts, struct error *err)
{
    struct estimates e = {.ctx = ctx, .db = db, .plan = plan};
    e.rows = mem_array(ctx, double, plan->node_count);
    e.going = mem_array(ctx, double, plan->node_count);
    e.started = mem_array(ctx, bool, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        int64_t rows = 0;
        char *sql =
            template_fill(ctx, file, "referring",
                          TEMPLATE_SLOTS({"table", node->table.ident},
                                         {"type", plan->age->value_type}, {"not_null", NULL}));
        if ((i == 0 || plan_acts(node)) && !estimate(ctx, db, plan, sql, &rows, err))
            return false;
        e.rows[i] = (double)rows;
    }
    e.started[0] = true;
    e.going[0] = (double)counts->eligible;
    for (size_t i = 1; i < plan->node_count; i++) {
        if (!plan_acts(plan->nodes[i]))
            continue;
        if (!estimate_node(&e, plan->nodes[i], err))
            return false;
        counts->by_node[i] = (int64_t)(e.going[i] + 0.5);
    }
    return true;
}

static bool estimate_all(const void *ctx, struct db *db, const struct plan *plan,
                         struct plan_counts *counts, struct error *err)
{
    char *total = template_fill(
        ctx, file, "total",
        TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident}, {"type", plan->age->value_type},
                       {"where", condition_indented(ctx, plan->where_sql, strlen("AND "))}));
    if (!estimate_old_enough(ctx, db, plan, &counts->old_enough, err) ||
        (plan->policy->count_total && !estimate(ctx, db, plan, total, &counts->total, err)) ||
        !estimate(ctx, db, plan, candidates_sql(ctx, plan), &counts->eligible, err))
        return false;
    counts->by_node[0] = counts->eligible;
    return estimate_dependents(ctx, db, plan, counts, err);
}

bool plan_estimate(const void *ctx, struct db *db, const struct plan *plan,
                   struct plan_counts *counts, struct error *err)
{
    if (!db_execute(db, ctx, &db_begin_read_only, 0, NULL, NULL, err))
        return false;
    bool ok = estimate_all(ctx, db, plan, counts, err);
    db_rollback(db);
    return ok;
}

bool plan_without_statistics(const void *ctx, struct db *db, const struct plan *plan, bool *without,
                             struct error *err)
{
    struct db_rows *answer;
    size_t count = 0;
    const char **oids = mem_array(ctx, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        if (i == 0 || plan_acts(plan->nodes[i]))
            oids[count++] = plan->nodes[i]->table.oid;
    const char *params[] = {db_array(ctx, oids, count)};
    if (!db_query(db, ctx, template_fill(ctx, file, "without_statistics", NULL), 1, params, &answer,
                  err))
        return false;
    for (size_t i = 0; i < plan->node_count; i++) {
        without[i] = false;
        for (int row = 0; row < db_rows_count(answer); row++)
            if (strcmp(db_rows_get(answer, row, 0), plan->nodes[i]->table.oid) == 0)
                without[i] = true;
    }
    return true;
}
