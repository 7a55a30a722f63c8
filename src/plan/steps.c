/* The statements that act on dependents, up to their WHERE. */
#include <string.h>

#include "internal.h"

bool plan_takes_keys(const struct plan_node *node)
{
    return node->orphan == NULL;
}

/* SET: the reference to NULL or to the new key, then what the policy sets besides. The parameters have no casts, since an
 * explicit cast cuts off what does not fit; without one, the column's type is assigned. */
static void append_update(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                          const struct plan_edge *edge)
{
    int next = plan_takes_keys(node) ? (int)plan->key_count + 1 : 1;
    const char *comma = "";
    appendPQExpBuffer(out, "UPDATE %s AS d SET ", node->table.ident);
    if (node->action == ACTION_REASSIGN) {
        appendPQExpBuffer(out, "%s = $%d", edge->columns[0], next++);
        comma = ", ";
    }
    for (size_t i = 0; node->action == ACTION_DETACH && i < edge->width; i++) {
        const char *value = rule_detached(edge, i);
        if (!value)
            continue;
        appendPQExpBuffer(out, "%s%s = %s", comma, edge->columns[i], value);
        comma = ", ";
    }
    for (size_t i = 0; i < node->set_count; i++)
        appendPQExpBuffer(out, ", %s = $%d", node->set[i].ident, next++);
}

int plan_step_values(const struct plan_node *node, const char **values)
{
    int n = 0;
    if (node->action == ACTION_REASSIGN)
        values[n++] = node->rule->to.value;
    for (size_t i = 0; i < node->set_count; i++)
        values[n++] = node->set[i].value;
    return n;
}

size_t plan_step_count(const struct plan_node *node)
{
    return node->recursive ? 1 : node->edge_count;
}

const struct plan_edge *plan_step_edge(const struct plan_node *node, size_t i)
{
    return node->recursive ? NULL : &node->edges[i];
}

static void append_where(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         const struct plan_edge *edge)
{
    if (edge)
        reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
    else
        reach_append(out, plan, node, "d", LEAF_KEYS);
}

void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge)
{
    if (node->action == ACTION_DELETE)
        appendPQExpBuffer(out, "DELETE FROM %s AS d", node->table.ident);
    else
        append_update(out, plan, node, edge);
    appendPQExpBufferStr(out, " WHERE ");
    append_where(out, plan, node, edge);
}

bool plan_counts_apart(const struct plan *plan, const struct plan_node *node)
{
    if (order_is_deleted(node))
        return false;
    bool apart = node->edge_count > 1;
    for (size_t i = 0; i < plan->node_count; i++)
        apart = apart || (order_is_deleted(plan->nodes[i]) && strcmp(plan->nodes[i]->table.oid, node->table.oid) == 0);
    return apart;
}

void plan_append_count_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node)
{
    PQExpBuffer deleted = createPQExpBuffer();
    appendPQExpBuffer(out, "SELECT FROM %s AS d WHERE ", node->table.ident);
    reach_append(out, plan, node, "d", LEAF_KEYS_BESIDE);
    appendPQExpBufferStr(out, " AND ");
    reach_append(out, plan, node, "d", LEAF_LATER);
    appendPQExpBufferStr(out, " IS NOT TRUE");
    if (reach_append_table(deleted, plan, node->table.oid, node, false, "d", LEAF_GOING))
        appendPQExpBuffer(out, " AND %s IS NOT TRUE", deleted->data);
    destroyPQExpBuffer(deleted);
}

void plan_append_lock_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                           const struct plan_edge *edge)
{
    appendPQExpBuffer(out, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS d WHERE ",
                      node->table.ident);
    append_where(out, plan, node, edge);
    appendPQExpBufferStr(out, " FOR UPDATE OF d) AS locked");
}

void plan_append_directories(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBuffer(out, "SELECT t.%s::pg_catalog.text AS value FROM %s AS t WHERE t.%s IS NOT NULL AND ",
                      plan->directory->ident, plan->nodes[0]->table.ident, plan->directory->ident);
    plan_append_keys(out, plan, 1);
}
