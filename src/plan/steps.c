/* The statements that act on dependents, up to their WHERE. */
#include "internal.h"

bool plan_takes_keys(const struct plan_node *node)
{
    return node->orphan == NULL;
}

/* SET: the reference to NULL or to the new key, then what the policy sets besides. */
static void append_update(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                          const struct plan_edge *edge)
{
    int next = plan_takes_keys(node) ? (int)plan->key_count + 1 : 1;
    const char *comma = "";
    appendPQExpBuffer(out, "UPDATE %s AS d SET ", node->table.ident);
    if (node->action == ACTION_REASSIGN) {
        appendPQExpBuffer(out, "%s = $%d::%s", edge->columns[0], next++,
                          catalog_column(&node->table, edge->names[0])->type);
        comma = ", ";
    }
    for (size_t i = 0; node->action == ACTION_DETACH && i < edge->width; i++) {
        if (edge->not_null[i])
            continue;
        appendPQExpBuffer(out, "%s%s = NULL", comma, edge->columns[i]);
        comma = ", ";
    }
    for (size_t i = 0; i < node->set_count; i++)
        appendPQExpBuffer(out, ", %s = $%d::%s", node->set[i].ident, next++, node->set[i].type);
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

void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge, bool returning)
{
    if (node->action == ACTION_DELETE)
        appendPQExpBuffer(out, "DELETE FROM %s AS d", node->table.ident);
    else
        append_update(out, plan, node, edge);
    appendPQExpBufferStr(out, " WHERE ");
    reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
    if (!returning)
        return;
    /* A row that stays and refers to rows in hand in several ways is counted by the last of its updates. */
    size_t later = (size_t)(edge - node->edges) + 1;
    if (node->action == ACTION_DELETE || later >= node->edge_count) {
        appendPQExpBufferStr(out, " RETURNING true AS counts");
        return;
    }
    for (const char *sep = " RETURNING ("; later < node->edge_count; later++, sep = " OR ") {
        appendPQExpBufferStr(out, sep);
        reach_append_edge(out, plan, &node->edges[later], "d", LEAF_KEYS);
    }
    appendPQExpBufferStr(out, ") IS NOT TRUE AS counts");
}

void plan_append_lock_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                           const struct plan_edge *edge)
{
    appendPQExpBuffer(out, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS d WHERE ",
                      node->table.ident);
    reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
    appendPQExpBufferStr(out, " FOR UPDATE OF d) AS locked");
}

void plan_append_objects(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         size_t object)
{
    const char *alias = node->index == 0 ? "t" : "d";
    appendPQExpBuffer(out, "SELECT %s.%s::pg_catalog.text AS value FROM %s AS %s WHERE %s.%s::pg_catalog.text <> '' AND ",
                      alias, node->objects[object], node->table.ident, alias, alias,
                      node->objects[object]);
    if (node->index == 0)
        plan_append_keys(out, plan, 1);
    else
        reach_append(out, plan, node, alias, LEAF_KEYS);
}

void plan_append_directories(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBuffer(out, "SELECT t.%s::pg_catalog.text AS value FROM %s AS t WHERE t.%s IS NOT NULL AND ",
                      plan->directory->ident, plan->nodes[0]->table.ident, plan->directory->ident);
    plan_append_keys(out, plan, 1);
}
