/* What stops a graph that is complete: what nobody decided about, rules that lead nowhere, updates
 * that cannot work, missing indexes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* A referring table below this size (in 8 KiB pages) is read whole faster than anyone notices. */
enum { SMALL_TABLE_PAGES = 1024 };

static bool check_unused(struct graph *g, struct error *err)
{
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++) {
        const struct policy_dependent *d = &g->plan->policy->dependents[i];
        if (g->used[i] || !g->listed[i].oid)
            continue;
        error_set(err, SWEEP_USAGE,
                  "%s: no reference%s%s of %s leads to a table that this policy deletes from",
                  d->table.origin, d->constraint.value ? " " : "",
                  d->constraint.value ? d->constraint.value : "", g->listed[i].label);
        return error_hint(
            err, "Take the entry out, or state the reference in the policy's \"references\".");
    }
    return true;
}

/* What the columns alone do not tell about rows that stay (a column that is set twice, or
 * generated) the server finds as it parses the statements. */
static bool check_updates(struct plan *plan, struct db *db, struct error *err)
{
    const char **statements = NULL;
    const struct plan_node **nodes = NULL;
    size_t count = 0, node_count = 0, failed;
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        bool updates = node->action == ACTION_DETACH || node->action == ACTION_REASSIGN;
        for (size_t e = 0; updates && e < node->edge_count; e++) {
            PQExpBuffer sql = createPQExpBuffer();
            size_t at = mem_grow(plan, &statements, &count);
            plan_append_step(sql, plan, node, &node->edges[e]);
            statements[at] = buffer_take(plan, sql);
            at = mem_grow(plan, &nodes, &node_count);
            nodes[at] = node;
        }
    }
    if (count == 0 || db_check_each(db, statements, count, &failed, err))
        return true;
    if (failed == count)
        return false;
    return error_prefix(err, "%s: %s cannot be updated",
                        nodes[failed]->rule ? nodes[failed]->rule->table.origin
                                            : plan->policy->source,
                        nodes[failed]->table.label);
}

/* That the row is there that others are reassigned to. */
static bool check_target(struct db *db, const struct plan_node *node, const struct plan_edge *edge,
                         struct error *err)
{
    const struct setting *to = &node->rule->to;
    struct db_rows *rows;
    char *value =
        mem_printf(db, "$1::%s", catalog_column(&node->table, edge->names[0])->value_type);
    char *sql = template_fill(
        db, "sql/catalog.sql", "is_there",
        TEMPLATE_SLOTS({"table", edge->parent->table.ident}, {"column", edge->referred[0]},
                       {"column_cast", edge->referred_casts[0]}, {"operator", edge->operators[0]},
                       {"value", value}, {"value_cast", edge->column_casts[0]},
                       {"collation", edge->collations[0]}));
    bool ok = db_query(db, sql, sql, 1, &to->value, &rows, err);
    if (ok && !db_rows_bool(rows, 0, 0)) {
        ok = error_set(err, SWEEP_USAGE,
                       "%s: to: no row of %s has %s = %s, so that %s cannot be reassigned to it",
                       to->origin, edge->parent->table.label, edge->referred[0], to->value,
                       node->table.label);
        error_hint(err, "Name one that is there and is going to stay.");
    }
    talloc_free(sql);
    talloc_free(value);
    return ok;
}

bool graph_check_targets(const struct plan *plan, struct db *db, struct error *err)
{
    for (size_t i = 1; i < plan->node_count; i++)
        for (size_t e = 0;
             plan->nodes[i]->action == ACTION_REASSIGN && e < plan->nodes[i]->edge_count; e++)
            if (!check_target(db, plan->nodes[i], &plan->nodes[i]->edges[e], err))
                return false;
    return true;
}

static bool check_index(struct plan *plan, const struct plan_node *node,
                        const struct plan_edge *edge, const struct plan_request *request,
                        struct error *err)
{
    char *columns = mem_strdup(plan, edge->columns[0]);
    for (size_t c = 1; c < edge->width; c++)
        columns = talloc_asprintf_append(columns, ", %s", edge->columns[c]);
    char *create =
        mem_printf(plan, "CREATE INDEX CONCURRENTLY ON %s (%s);", node->table.ident, columns);
    if (edge->pages < SMALL_TABLE_PAGES || !request->live || request->allow_missing_index) {
        plan_note(
            plan,
            "no index on %s (%s), where %s refers from: every deletion reads the whole table; %s",
            node->table.label, columns, edge->constraint, create);
        return true;
    }
    error_set(err, SWEEP_REFUSED, "%s is large and has no index on (%s), where %s refers from",
              node->table.label, columns, edge->constraint);
    error_detail(err, "Each deleted row of %s would read the whole of %s.",
                 edge->parent->table.label, node->table.label);
    return error_hint(err, "%s Or run with --allow-missing-index.", create);
}

/* Not refused: the rows of a shared table are few beside those that link to them. */
static void note_shared(struct plan *plan, const struct plan_node *orphan)
{
    for (size_t e = 0; e < orphan->use_count + orphan->self_count; e++) {
        const struct plan_edge *edge =
            e < orphan->use_count ? &orphan->uses[e] : &orphan->self[e - orphan->use_count];
        if (!edge->indexed)
            plan_note(plan,
                      "no index on %s (%s): finding out whether a row of %s is still used reads "
                      "the whole table",
                      edge->table, edge->columns[0], orphan->table.label);
    }
}

static bool check_indexes(struct plan *plan, const struct plan_request *request, struct error *err)
{
    const struct plan_node *root = plan->nodes[0];
    for (size_t e = 0; e < root->self_count; e++)
        if (!root->self[e].indexed && !check_index(plan, root, &root->self[e], request, err))
            return false;
    for (size_t i = 1; i < plan->node_count; i++)
        for (size_t e = 0; e < plan->nodes[i]->edge_count; e++)
            if (!plan->nodes[i]->edges[e].indexed &&
                !check_index(plan, plan->nodes[i], &plan->nodes[i]->edges[e], request, err))
                return false;
    for (size_t i = 1; i < plan->node_count; i++)
        note_shared(plan, plan->nodes[i]);
    return true;
}

bool graph_check(struct graph *g, const struct plan_request *request, struct error *err)
{
    return graph_check_undecided(g, err) && check_unused(g, err) && order_build(g->plan, err) &&
           check_updates(g->plan, g->db, err) && references_read_indexes(g->plan, g->db, err) &&
           check_indexes(g->plan, request, err);
}
