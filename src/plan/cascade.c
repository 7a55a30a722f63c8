/* Dependents that need no statement of their own: when the candidates are deleted, a foreign key
 * deletes these rows too. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* An edge from the table of node: something is read from its rows, or decided by them. */
static bool starts_at(const struct plan_edge *edges, size_t count, const struct plan_node *node)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(edges[i].table_oid, node->table.oid) == 0)
            return true;
    return false;
}

/* No other node has rows of this table, refers to them, or is looked up through them. */
static bool is_alone(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *other = plan->nodes[i];
        if (other == node)
            continue;
        if (order_same_rows(plan, &other->table, &node->table) ||
            starts_at(other->links, other->link_count, node) ||
            starts_at(other->uses, other->use_count, node))
            return false;
        for (size_t e = 0; e < other->edge_count; e++)
            if (other->edges[e].parent == node)
                return false;
    }
    return true;
}

bool cascade_suffices(const struct plan *plan, const struct plan_node *node)
{
    /* A single candidate gains nothing; where conditions are evaluated under lock, the dependents
     * are locked before. */
    if (plan->by_row || plan->looks_beyond || plan_has_below(plan))
        return false;
    if (node->index == 0 || node->action != ACTION_DELETE || node->orphan || node->recursive ||
        node->edge_count != 1)
        return false;
    const struct plan_edge *edge = &node->edges[0];
    if (edge->parent != plan->nodes[0] || edge->stated || edge->shared || edge->on_delete != 'c' ||
        edge->scope || edge->referred_scope)
        return false;
    /* Rows that something is read from are locked and read first: they are deleted by a statement
     * as well. */
    return node->object_count == 0 && !node->obstacle && is_alone(plan, node);
}

/* Of the nodes that it would suffice for, those of which the catalog says that it does. */
static bool ask(struct plan *plan, struct db *db, const char *const *oids, size_t count,
                struct error *err)
{
    struct db_rows *rows;
    const char **all = mem_array(plan, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        all[i] = plan->nodes[i]->table.oid;
    const char *params[] = {plan->nodes[0]->table.oid, db_array(plan, oids, count),
                            db_array(plan, all, plan->node_count)};
    if (!db_query(db, plan, template_fill(plan, "sql/plan.sql", "cascades", NULL), 3, params, &rows,
                  err))
        return false;
    for (int row = 0; row < db_rows_count(rows); row++)
        for (size_t i = 0; i < plan->node_count; i++)
            if (strcmp(plan->nodes[i]->table.oid, db_rows_get(rows, row, 0)) == 0)
                plan->nodes[i]->cascades = true;
    return true;
}

bool plan_has_cascades(const struct plan *plan)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->cascades)
            return true;
    return false;
}

bool cascade_build(struct plan *plan, struct db *db, const struct plan_request *request,
                   struct error *err)
{
    const char **oids = mem_array(plan, const char *, plan->node_count);
    size_t count = 0;
    for (size_t i = 0; i < plan->node_count && !request->by_statement; i++)
        if (cascade_suffices(plan, plan->nodes[i]))
            oids[count++] = plan->nodes[i]->table.oid;
    return count == 0 || ask(plan, db, oids, count, err);
}
