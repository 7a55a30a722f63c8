/* Predicates: which root rows are candidates, and which dependent rows hang on them. One builder for
 * counting, dry run and deletion. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* (a, b) or, for one, a; each with alias in front. */
static void append_list(PQExpBuffer out, const char *alias, const char *const *columns, size_t n,
                        bool brackets)
{
    if (brackets && n > 1)
        appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < n; i++)
        appendPQExpBuffer(out, "%s%s.%s", i ? ", " : "", alias, columns[i]);
    if (brackets && n > 1)
        appendPQExpBufferChar(out, ')');
}

void plan_append_candidate(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBuffer(out, "t.%s < $1::%s", plan->age->ident, plan->age->type);
    if (plan->where_sql)
        appendPQExpBuffer(out, " AND %s", plan->where_sql);
    /* IS FALSE: a guard that cannot be decided spares. */
    for (size_t i = 0; i < plan->guard_count; i++)
        appendPQExpBuffer(out, " AND %s IS FALSE", plan->guards[i].sql);
}

/* SELECT * FROM the key arrays in the parameters from first on, in the order given. */
static void append_unnest(PQExpBuffer out, const struct plan *plan, int first, const size_t *order)
{
    appendPQExpBufferStr(out, "SELECT * FROM ROWS FROM (");
    for (size_t i = 0; i < plan->key_count; i++) {
        size_t k = order ? order[i] : i;
        appendPQExpBuffer(out, "%spg_catalog.unnest($%d::%s[])", i ? ", " : "", first + (int)k,
                          plan->key[k]->type);
    }
    appendPQExpBufferStr(out, ") AS k");
}

void plan_append_keys(PQExpBuffer out, const struct plan *plan, int first)
{
    if (plan->key_count == 1) {
        appendPQExpBuffer(out, "t.%s = ANY ($%d::%s[])", plan->key[0]->ident, first,
                          plan->key[0]->type);
        return;
    }
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < plan->key_count; i++)
        appendPQExpBuffer(out, "%st.%s", i ? ", " : "", plan->key[i]->ident);
    appendPQExpBufferStr(out, ") IN (");
    append_unnest(out, plan, first, NULL);
    appendPQExpBufferChar(out, ')');
}

/* Which part of the key each referred column is; false when the reference is not to the key. */
static bool key_order(const struct plan *plan, const struct plan_edge *edge, size_t *order)
{
    if (edge->width != plan->key_count)
        return false;
    for (size_t i = 0; i < edge->width; i++) {
        size_t k = 0;
        while (k < plan->key_count && strcmp(plan->key[k]->ident, edge->referred[i]) != 0)
            k++;
        if (k == plan->key_count)
            return false;
        order[i] = k;
    }
    return true;
}

static void append_correlated(PQExpBuffer out, const struct plan_edge *edge, const char *alias)
{
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(out, "%s%s.%s = t.%s", i ? " AND " : "", alias, edge->columns[i],
                          edge->referred[i]);
    appendPQExpBufferChar(out, ')');
}

/* The reference of an edge to the root. */
static void append_root_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                             const char *alias, enum leaf leaf)
{
    size_t order[32];
    if (leaf == LEAF_CORRELATED) {
        append_correlated(out, edge, alias);
        return;
    }
    bool by_key = leaf == LEAF_KEYS && plan->key_count <= 32 && key_order(plan, edge, order);
    append_list(out, alias, edge->columns, edge->width, true);
    if (by_key && edge->width == 1) {
        appendPQExpBuffer(out, " = ANY ($1::%s[])", plan->key[0]->type);
        return;
    }
    appendPQExpBufferStr(out, " IN (");
    if (by_key) {
        append_unnest(out, plan, 1, order);
    } else {
        appendPQExpBufferStr(out, "SELECT ");
        append_list(out, "t", edge->referred, edge->width, false);
        appendPQExpBuffer(out, " FROM %s AS t WHERE ", edge->parent->table.ident);
        if (leaf == LEAF_KEYS)
            plan_append_keys(out, plan, 1);
        else
            plan_append_candidate(out, plan);
    }
    appendPQExpBufferChar(out, ')');
}

void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum leaf leaf)
{
    char parent[24];
    if (edge->parent->index == 0) {
        append_root_edge(out, plan, edge, alias, leaf);
        return;
    }
    snprintf(parent, sizeof parent, "p%d", edge->parent->index);
    append_list(out, alias, edge->columns, edge->width, true);
    appendPQExpBufferStr(out, " IN (SELECT ");
    append_list(out, parent, edge->referred, edge->width, false);
    appendPQExpBuffer(out, " FROM %s AS %s WHERE ", edge->parent->table.ident, parent);
    reach_append(out, plan, edge->parent, parent, leaf);
    appendPQExpBufferChar(out, ')');
}

void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum leaf leaf)
{
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < node->edge_count; i++) {
        appendPQExpBufferStr(out, i ? " OR " : "");
        reach_append_edge(out, plan, &node->edges[i], alias, leaf);
    }
    appendPQExpBufferChar(out, ')');
}

void plan_append_cursor(PQExpBuffer out, const struct plan *plan, bool order_by)
{
    for (size_t i = 0; i < plan->cursor_count; i++)
        appendPQExpBuffer(out, "%st.%s%s", i ? ", " : "", plan->cursor[i]->ident,
                          order_by ? "" : "::pg_catalog.text");
}

void plan_append_bound(PQExpBuffer out, const struct plan *plan, const char *comparison, int first)
{
    size_t n = plan->cursor_count;
    const char *plain = comparison[0] == '>' ? ">=" : "<=";
    appendPQExpBufferStr(out, n > 1 ? " AND (" : " AND ");
    plan_append_cursor(out, plan, true);
    appendPQExpBuffer(out, "%s %s %s", n > 1 ? ")" : "", comparison, n > 1 ? "(" : "");
    for (size_t i = 0; i < n; i++)
        appendPQExpBuffer(out, "%s$%d::%s", i ? ", " : "", first + (int)i, plan->cursor[i]->type);
    /* The plain bound on the leading column keeps the planner's estimate honest. */
    if (n > 1)
        appendPQExpBuffer(out, ") AND t.%s %s $%d::%s", plan->cursor[0]->ident, plain, first,
                          plan->cursor[0]->type);
}

static void append_detach(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                          const struct plan_edge *edge)
{
    appendPQExpBuffer(out, "UPDATE %s AS d SET ", node->table.ident);
    bool first = true;
    for (size_t i = 0; i < edge->width; i++) {
        if (!edge->not_null[i])
            appendPQExpBuffer(out, "%s%s = NULL", first ? "" : ", ", edge->columns[i]);
        first = first && edge->not_null[i];
    }
    for (size_t i = 0; i < node->rule->set_count; i++) {
        const struct plan_column *column = catalog_column(&node->table, node->rule->set[i].column);
        appendPQExpBuffer(out, ", %s = $%d::%s", column->ident, (int)(plan->key_count + i) + 1,
                          column->type);
    }
    appendPQExpBufferStr(out, " WHERE ");
    reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
}

/* A row that is detached from several parents at once is counted by the last of its updates only: the
 * result of each is what no later one will touch again. */
static void append_detach_once(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                               size_t e)
{
    appendPQExpBufferStr(out, "WITH detached AS (");
    append_detach(out, plan, node, &node->edges[e]);
    appendPQExpBufferStr(out, " RETURNING (");
    for (size_t later = e + 1; later < node->edge_count; later++) {
        appendPQExpBufferStr(out, later > e + 1 ? " OR " : "");
        reach_append_edge(out, plan, &node->edges[later], "d", LEAF_KEYS);
    }
    appendPQExpBufferStr(out, ") IS TRUE AS again) SELECT FROM detached WHERE NOT again");
}

void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge)
{
    size_t e = (size_t)(edge - node->edges);
    if (node->action == ACTION_DETACH && e + 1 < node->edge_count) {
        append_detach_once(out, plan, node, e);
    } else if (node->action == ACTION_DETACH) {
        append_detach(out, plan, node, edge);
    } else {
        appendPQExpBuffer(out, "DELETE FROM %s AS d WHERE ", node->table.ident);
        reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
    }
}

void plan_append_lock_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                           const struct plan_edge *edge)
{
    appendPQExpBuffer(out, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS d WHERE ",
                      node->table.ident);
    reach_append_edge(out, plan, edge, "d", LEAF_KEYS);
    appendPQExpBufferStr(out, " FOR UPDATE OF d) AS locked");
}
