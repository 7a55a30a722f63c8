/* The statements that act on dependents, up to their WHERE. */
#include <stdio.h>
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
        apart = apart || (order_is_deleted(plan->nodes[i]) && order_same_rows(plan, &plan->nodes[i]->table, &node->table));
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
    if (reach_append_table(deleted, plan, &node->table, node, false, "d", LEAF_GOING))
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

void plan_append_reached(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         const struct plan_edge *edge)
{
    appendPQExpBuffer(out, "%s AS d WHERE ", node->table.ident);
    append_where(out, plan, node, edge);
}

void plan_append_lock_rows(PQExpBuffer out, const struct plan *plan, const struct plan_node *node)
{
    /* Nothing but a query of its own may lock rows: the one around counts them. */
    appendPQExpBufferStr(out, "SELECT FROM ");
    plan_append_reached(out, plan, node, node->edge_count == 1 ? plan_step_edge(node, 0) : NULL);
    appendPQExpBufferStr(out, "\nFOR UPDATE OF d");
}

bool plan_deletes(const struct plan_node *node)
{
    return order_is_deleted(node);
}

/* The name of a column's type, as SQL writes it. */
static const char *type_of(const struct plan_table *table, const char *ident)
{
    for (size_t i = 0; i < table->column_count; i++)
        if (strcmp(table->columns[i].ident, ident) == 0)
            return table->columns[i].type;
    return "pg_catalog.text";
}

void plan_append_look_values(PQExpBuffer out, const struct plan_edge *edge, bool of_parent, const char *alias)
{
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(out, "%s%s.%s::pg_catalog.text", i ? ", " : "", alias,
                          of_parent ? edge->referred[i] : edge->columns[i]);
}

void plan_append_look(PQExpBuffer out, const struct plan_edge *edge, bool for_parent)
{
    for (size_t i = 0; i < edge->width; i++) {
        const char *type = for_parent ? type_of(&edge->child->table, edge->columns[i])
                                      : type_of(&edge->parent->table, edge->referred[i]);
        char value[64];
        snprintf(value, sizeof value, "(r.v OPERATOR(pg_catalog.->>) %zu)", i);
        appendPQExpBufferStr(out, i ? "\nAND " : "");
        if (for_parent)
            appendPQExpBuffer(out, "a.%s%s %s %s::%s%s", edge->referred[i], edge->referred_casts[i], edge->operators[i],
                              value, type, edge->column_casts[i]);
        else
            appendPQExpBuffer(out, "%s::%s%s %s a.%s%s", value, type, edge->referred_casts[i], edge->operators[i],
                              edge->columns[i], edge->column_casts[i]);
        appendPQExpBuffer(out, "%s%s", *edge->collations[i] ? " " : "", edge->collations[i]);
        if (for_parent && edge->text[i])
            appendPQExpBuffer(out, "\nAND %s OPERATOR(pg_catalog.<>) ''", value);
    }
    if (!for_parent)
        reach_append_not_empty(out, edge, "a");
}
