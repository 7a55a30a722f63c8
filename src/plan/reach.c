/* Predicates: which root rows are candidates, which dependent rows hang on them, which shared rows go
 * with them. One builder for counting, dry run and deletion. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

void reach_append_list(PQExpBuffer out, const char *alias, const char *const *columns, size_t n,
                       bool brackets)
{
    if (brackets && n > 1)
        appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < n; i++)
        appendPQExpBuffer(out, "%s%s.%s", i ? ", " : "", alias, columns[i]);
    if (brackets && n > 1)
        appendPQExpBufferChar(out, ')');
}

static void append_predicate(PQExpBuffer out, const struct plan *plan, bool letters)
{
    appendPQExpBuffer(out, "t.%s < $1::%s", plan->age->ident, plan->age->type);
    if (plan->where_sql)
        appendPQExpBuffer(out, " AND %s", plan->where_sql);
    /* IS FALSE: a guard that cannot be decided spares. */
    for (size_t i = 0; i < plan->guard_count; i++)
        if (letters || !plan->guards[i].letters)
            appendPQExpBuffer(out, " AND %s IS FALSE", plan->guards[i].sql);
}

void plan_append_candidate(PQExpBuffer out, const struct plan *plan)
{
    append_predicate(out, plan, true);
}

void plan_append_unparked(PQExpBuffer out, const struct plan *plan)
{
    append_predicate(out, plan, false);
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

/* Which part of the root's key each referred column is; false when the reference is not to the key. */
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

/* alias refers to the row other of the edge's parent, column by column. */
static void append_match(PQExpBuffer out, const struct plan_edge *edge, const char *alias,
                         const char *other)
{
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(out, "%s%s.%s = %s.%s", i ? " AND " : "", alias, edge->columns[i], other,
                          edge->referred[i]);
}

/* The condition that the row alias of the edge's parent is one in hand. */
static void append_parent(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                          const char *alias, enum leaf leaf)
{
    if (edge->parent->index != 0)
        reach_append(out, plan, edge->parent, alias, leaf);
    else if (leaf == LEAF_KEYS)
        plan_append_keys(out, plan, 1);
    else
        plan_append_candidate(out, plan);
}

/* What a stated reference lacks: '' refers to nothing, and a row that several parents share goes only
 * with the last of them. */
static void append_stated(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                          const char *alias, const char *parent, enum leaf leaf)
{
    for (size_t i = 0; i < edge->width; i++)
        if (edge->text[i])
            appendPQExpBuffer(out, " AND %s.%s::pg_catalog.text <> ''", alias, edge->columns[i]);
    if (!edge->shared || leaf == LEAF_CORRELATED)
        return;
    appendPQExpBuffer(out, " AND NOT EXISTS (SELECT FROM %s AS %s WHERE ", edge->parent->table.ident,
                      parent);
    append_match(out, edge, alias, parent);
    appendPQExpBufferStr(out, " AND (");
    append_parent(out, plan, edge, parent, leaf);
    appendPQExpBufferStr(out, ") IS NOT TRUE)");
}

void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum leaf leaf)
{
    char parent[24];
    size_t order[32];
    bool root = edge->parent->index == 0;
    snprintf(parent, sizeof parent, root ? "t" : "p%d", edge->parent->index);
    if (root && leaf == LEAF_CORRELATED) {
        appendPQExpBufferChar(out, '(');
        append_match(out, edge, alias, "t");
        append_stated(out, plan, edge, alias, parent, leaf);
        appendPQExpBufferChar(out, ')');
        return;
    }
    bool by_key = root && leaf == LEAF_KEYS && plan->key_count <= 32 && key_order(plan, edge, order);
    reach_append_list(out, alias, edge->columns, edge->width, true);
    if (by_key && edge->width == 1) {
        appendPQExpBuffer(out, " = ANY ($1::%s[])", plan->key[0]->type);
    } else {
        appendPQExpBufferStr(out, " IN (");
        if (by_key) {
            append_unnest(out, plan, 1, order);
        } else {
            appendPQExpBufferStr(out, "SELECT ");
            reach_append_list(out, parent, edge->referred, edge->width, false);
            appendPQExpBuffer(out, " FROM %s AS %s WHERE ", edge->parent->table.ident, parent);
            append_parent(out, plan, edge, parent, leaf);
        }
        appendPQExpBufferChar(out, ')');
    }
    append_stated(out, plan, edge, alias, parent, leaf);
}

void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum leaf leaf)
{
    if (node->action == ACTION_DELETE_ORPHANS) {
        orphan_append(out, plan, node, alias, leaf);
        return;
    }
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < node->edge_count; i++) {
        appendPQExpBufferStr(out, i ? " OR (" : "(");
        reach_append_edge(out, plan, &node->edges[i], alias, leaf);
        appendPQExpBufferChar(out, ')');
    }
    appendPQExpBufferChar(out, ')');
}

void plan_append_cursor(PQExpBuffer out, const struct plan *plan, bool order_by)
{
    for (size_t i = 0; i < plan->cursor_count; i++)
        appendPQExpBuffer(out, "%st.%s%s", i ? ", " : "", plan->cursor[i]->ident,
                          order_by ? "" : "::pg_catalog.text");
}

void plan_append_bound(PQExpBuffer out, const struct plan *plan, const char *comparison, int first,
                       size_t columns)
{
    const char *plain = comparison[0] == '>' ? ">=" : "<=";
    if (columns == 1) {
        appendPQExpBuffer(out, " AND t.%s %s $%d::%s", plan->cursor[0]->ident, comparison, first,
                          plan->cursor[0]->type);
        return;
    }
    appendPQExpBufferStr(out, " AND (");
    plan_append_cursor(out, plan, true);
    appendPQExpBuffer(out, ") %s (", comparison);
    for (size_t i = 0; i < columns; i++)
        appendPQExpBuffer(out, "%s$%d::%s", i ? ", " : "", first + (int)i, plan->cursor[i]->type);
    /* The plain bound on the leading column keeps the planner's estimate honest. */
    appendPQExpBuffer(out, ") AND t.%s %s $%d::%s", plan->cursor[0]->ident, plain, first,
                      plan->cursor[0]->type);
}
