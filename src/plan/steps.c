/* The statements that act on dependents, up to their WHERE. */
#include "internal.h"

bool plan_takes_keys(const struct plan_node *node)
{
    return node->orphan == NULL;
}

static void append_update(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                          const struct plan_edge *edge)
{
    int first = plan_takes_keys(node) ? (int)plan->key_count + 1 : 1;
    const char *comma = "";
    appendPQExpBuffer(out, "UPDATE %s AS d SET ", node->table.ident);
    for (size_t i = 0; node->action == ACTION_DETACH && i < edge->width; i++) {
        if (edge->not_null[i])
            continue;
        appendPQExpBuffer(out, "%s%s = NULL", comma, edge->columns[i]);
        comma = ", ";
    }
    for (size_t i = 0; i < node->set_count; i++) {
        appendPQExpBuffer(out, "%s%s = $%d::%s", comma, node->set[i].ident, first + (int)i,
                          node->set[i].type);
        comma = ", ";
    }
}

void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge)
{
    if (node->action == ACTION_DELETE)
        appendPQExpBuffer(out, "DELETE FROM %s AS d", node->table.ident);
    else
        append_update(out, plan, node, edge);
    appendPQExpBufferStr(out, " WHERE ");
    reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
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
