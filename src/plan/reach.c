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

void reach_append_columns(PQExpBuffer out, const char *alias, const struct plan_column *const *key, size_t n)
{
    for (size_t i = 0; i < n; i++)
        appendPQExpBuffer(out, "%s%s.%s", i ? ", " : "", alias, key[i]->ident);
}

void reach_append_key(PQExpBuffer out, const char *alias, const struct plan_column *const *key, size_t n)
{
    if (n > 1)
        appendPQExpBufferChar(out, '(');
    reach_append_columns(out, alias, key, n);
    if (n > 1)
        appendPQExpBufferChar(out, ')');
}

void reach_append_not_empty(PQExpBuffer out, const struct plan_edge *edge, const char *alias)
{
    for (size_t i = 0; i < edge->width; i++)
        if (edge->text[i])
            appendPQExpBuffer(out, " AND %s.%s::pg_catalog.text <> ''", alias, edge->columns[i]);
}

void plan_append_digest(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBufferStr(out, "pg_catalog.sha256(pg_catalog.convert_to(ARRAY[");
    for (size_t k = 0; k < plan->key_count; k++)
        appendPQExpBuffer(out, "%st.%s::pg_catalog.text", k ? ", " : "", plan->key[k]->ident);
    appendPQExpBufferStr(out, "]::pg_catalog.text, pg_catalog.getdatabaseencoding()))");
}

void candidate_append(PQExpBuffer out, const struct plan *plan, bool letters, bool below)
{
    appendPQExpBuffer(out, "t.%s < $1::%s", plan->age->ident, plan->age->type);
    if (plan->where_sql)
        appendPQExpBuffer(out, "\nAND %s", plan->where_sql);
    /* A guard that cannot be decided spares: NOT of it is no more true than IS FALSE, but an index may be used for what it says.
     * Of what lies beyond the row the planner would make a join, though, which reads the other table for each chunk. */
    for (size_t i = 0; i < plan->guard_count; i++)
        if ((letters || !plan->guards[i].letters) && (below || !plan->guards[i].below))
            appendPQExpBuffer(out, plan->guards[i].beyond ? "\nAND %s IS FALSE" : "\nAND NOT %s", plan->guards[i].sql);
    if (!plan->spared_run)
        return;
    /* A scalar subquery is an index probe for each row; the planner would make a scan per chunk of NOT EXISTS. */
    appendPQExpBuffer(out, "\nAND (SELECT true\n       FROM pgsweep.spared AS s"
                           "\n      WHERE s.run_id OPERATOR(pg_catalog.=) '%s'\n        AND s.digest OPERATOR(pg_catalog.=) ",
                      plan->spared_run);
    plan_append_digest(out, plan);
    appendPQExpBufferStr(out, ") IS NULL");
}

void plan_append_held(PQExpBuffer out, const struct plan *plan)
{
    const char *separator = "\nAND (";
    appendPQExpBuffer(out, "t.%s < $1::%s", plan->age->ident, plan->age->type);
    if (plan->where_sql && !plan->where_freeable)
        appendPQExpBuffer(out, "\nAND %s", plan->where_sql);
    if (plan->where_freeable) {
        appendPQExpBuffer(out, "%s%s IS NOT TRUE", separator, plan->where_sql);
        separator = "\n     OR ";
    }
    for (size_t i = 0; i < plan->guard_count; i++) {
        if (!plan->guards[i].freeable)
            continue;
        appendPQExpBuffer(out, "%s%s IS NOT FALSE", separator, plan->guards[i].sql);
        separator = "\n     OR ";
    }
    appendPQExpBufferChar(out, ')');
}

void plan_append_candidate(PQExpBuffer out, const struct plan *plan)
{
    candidate_append(out, plan, true, true);
}

void plan_append_unparked(PQExpBuffer out, const struct plan *plan)
{
    candidate_append(out, plan, false, true);
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

/* Rows of some partitions only. A set of rows carries where they are in a column of its own. */
static void append_scope(PQExpBuffer out, const char *scope, const char *alias, const char *set)
{
    if (scope)
        appendPQExpBuffer(out, " AND %s.%s OPERATOR(pg_catalog.=) ANY (%s)", alias,
                          set && strcmp(set, alias) == 0 ? "pgsweep_table" : "tableoid", scope);
}

void reach_append_match_set(PQExpBuffer out, const struct plan_edge *edge, const char *alias, const char *other,
                            const char *set)
{
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(out, "%s%s.%s%s %s %s.%s%s%s%s", i ? " AND " : "", other, edge->referred[i],
                          edge->referred_casts[i], edge->operators[i], alias, edge->columns[i], edge->column_casts[i],
                          *edge->collations[i] ? " " : "", edge->collations[i]);
    append_scope(out, edge->scope, alias, set);
    append_scope(out, edge->referred_scope, other, set);
    reach_append_not_empty(out, edge, alias);
}

void reach_append_match(PQExpBuffer out, const struct plan_edge *edge, const char *alias, const char *other)
{
    reach_append_match_set(out, edge, alias, other, NULL);
}

bool leaf_is_in_hand(enum leaf leaf)
{
    return leaf == LEAF_KEYS || leaf == LEAF_KEYS_BESIDE;
}

bool leaf_is_mid(enum leaf leaf)
{
    return leaf == LEAF_GOING || leaf == LEAF_LATER;
}

bool leaf_is_predicted(enum leaf leaf)
{
    return leaf == LEAF_ELIGIBLE || leaf_is_mid(leaf);
}

/* $1, or $2 where the cutoff is $1. */
static int first_key(enum leaf leaf)
{
    return leaf == LEAF_KEYS ? 1 : 2;
}

/* The condition that t, a row of the root, is one at the leaf. */
static void append_root(PQExpBuffer out, const struct plan *plan, enum leaf leaf)
{
    if (leaf_is_in_hand(leaf)) {
        plan_append_keys(out, plan, first_key(leaf));
        return;
    }
    if (leaf == LEAF_LATER) {
        appendPQExpBufferStr(out, "NOT (");
        plan_append_keys(out, plan, first_key(leaf));
        appendPQExpBufferStr(out, ") AND ");
    }
    plan_append_candidate(out, plan);
}

/* A stated reference may be to several rows at once: then a row goes only with the last of them. */
static void append_last(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge, const char *alias,
                        const char *parent, enum leaf leaf)
{
    if (!edge->shared || leaf == LEAF_CORRELATED)
        return;
    appendPQExpBuffer(out, " AND NOT EXISTS (SELECT FROM %s AS %s WHERE ", edge->parent->table.ident, parent);
    reach_append_match(out, edge, alias, parent);
    appendPQExpBufferStr(out, " AND (");
    reach_append(out, plan, edge->parent, parent, leaf == LEAF_LATER ? LEAF_GOING : leaf);
    appendPQExpBufferStr(out, ") IS NOT TRUE)");
}

/* "ARRAY(SELECT parent.column FROM ...)": what the rows in hand lead to. The server makes the array once for the
 * statement and takes it to an index, also where several such conditions are joined by OR; it never reads a whole table
 * because it expects many rows. */
static void append_array(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge, size_t column,
                         const char *parent, enum leaf leaf)
{
    appendPQExpBuffer(out, "ARRAY(SELECT %s.%s FROM %s AS %s WHERE ", parent, edge->referred[column],
                      edge->parent->table.ident, parent);
    reach_append(out, plan, edge->parent, parent, leaf);
    appendPQExpBufferChar(out, ')');
}

static void append_in_arrays(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge, const char *alias,
                             const char *parent, enum leaf leaf)
{
    for (size_t i = 0; i < edge->width; i++) {
        appendPQExpBuffer(out, "%s%s.%s OPERATOR(pg_catalog.=) ANY (", i ? " AND " : "", alias, edge->columns[i]);
        append_array(out, plan, edge, i, parent, leaf);
        appendPQExpBufferChar(out, ')');
    }
    if (edge->width == 1)
        return;
    /* Each column has a value that leads to the rows; now all of them to the same one. */
    appendPQExpBufferStr(out, " AND ");
    reach_append_list(out, alias, edge->columns, edge->width, true);
    appendPQExpBufferStr(out, " IN (SELECT ");
    reach_append_list(out, parent, edge->referred, edge->width, false);
    appendPQExpBuffer(out, " FROM %s AS %s WHERE ", edge->parent->table.ident, parent);
    reach_append(out, plan, edge->parent, parent, leaf);
    appendPQExpBufferChar(out, ')');
}

/* The row alias refers to a row of the parent's table at the leaf. OFFSET 0 keeps the look-ups of single rows from being
 * turned into one of all rows that the leaf selects, which may be every candidate. */
static void append_through(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge, const char *alias,
                           const char *parent, enum leaf leaf)
{
    if ((leaf_is_in_hand(leaf) || leaf == LEAF_CORRELATED) && edge->plain && !edge->scope && !edge->referred_scope) {
        append_in_arrays(out, plan, edge, alias, parent, leaf);
        reach_append_not_empty(out, edge, alias);
        return;
    }
    appendPQExpBuffer(out, "EXISTS (SELECT FROM %s AS %s WHERE ", edge->parent->table.ident, parent);
    reach_append_match(out, edge, alias, parent);
    appendPQExpBufferStr(out, " AND ");
    reach_append(out, plan, edge->parent, parent, leaf);
    if (leaf == LEAF_LATER && edge->parent->index != 0) {
        /* A row between may refer to several: it goes with the first. */
        PQExpBuffer now = createPQExpBuffer();
        if (reach_append_table(now, plan, &edge->parent->table, NULL, false, parent, LEAF_KEYS_BESIDE))
            appendPQExpBuffer(out, " AND %s IS NOT TRUE", now->data);
        destroyPQExpBuffer(now);
    }
    appendPQExpBufferStr(out, leaf_is_mid(leaf) ? " OFFSET 0)" : ")");
}

void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum leaf leaf)
{
    char parent[24];
    size_t order[32];
    bool root = edge->parent->index == 0;
    snprintf(parent, sizeof parent, root ? "t" : "p%d", edge->parent->index);
    if (root && leaf == LEAF_CORRELATED) {
        reach_append_match(out, edge, alias, "t");
        return;
    }
    if (root && edge->plain && leaf_is_in_hand(leaf) && plan->key_count <= 32 && key_order(plan, edge, order)) {
        reach_append_list(out, alias, edge->columns, edge->width, true);
        if (edge->width == 1) {
            appendPQExpBuffer(out, " = ANY ($%d::%s[])", first_key(leaf), plan->key[0]->type);
        } else {
            appendPQExpBufferStr(out, " IN (");
            append_unnest(out, plan, first_key(leaf), order);
            appendPQExpBufferChar(out, ')');
        }
        reach_append_not_empty(out, edge, alias);
    } else {
        append_through(out, plan, edge, alias, parent, leaf);
    }
    append_last(out, plan, edge, alias, parent, leaf);
}

/* Through any edge that leads out of the table. */
static void append_edges(PQExpBuffer out, const struct plan *plan, const struct plan_node *node, const char *alias,
                         enum leaf leaf)
{
    const char *separator = "(";
    for (size_t i = 0; i < node->edge_count; i++) {
        if (node->edges[i].parent == node)
            continue;
        appendPQExpBuffer(out, "%s(", separator);
        reach_append_edge(out, plan, &node->edges[i], alias, leaf);
        appendPQExpBufferChar(out, ')');
        separator = " OR ";
    }
    appendPQExpBufferChar(out, ')');
}

static bool is_listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* ", alias.column": those that are not in the list yet, which grows. */
static void append_new(PQExpBuffer out, const char *alias, const char ***list, size_t *count, const char *const *columns,
                       size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_listed(*list, *count, columns[i]))
            continue;
        appendPQExpBuffer(out, "%s%s.%s", *count ? ", " : "", alias, columns[i]);
        (*list)[mem_grow(NULL, list, count)] = columns[i];
    }
}

void reach_append_level(PQExpBuffer out, const char *alias, const struct plan_node *node, const struct plan_edge *edges,
                        size_t n)
{
    const char **list = NULL;
    size_t count = 0;
    for (size_t k = 0; k < node->key_count; k++)
        append_new(out, alias, &list, &count, &node->key[k]->ident, 1);
    for (size_t i = 0; i < n; i++)
        if (edges[i].parent == node)
            append_new(out, alias, &list, &count, edges[i].referred, edges[i].width);
    talloc_free(list);
}

/* Where the row alias is, and what all its references compare. */
static void append_referring(PQExpBuffer out, const char *alias, const struct plan_node *node)
{
    const char **list = NULL;
    size_t count = 0;
    append_new(out, alias, &list, &count, (const char *const[]){"tableoid"}, 1);
    for (size_t i = 0; i < node->edge_count; i++)
        append_new(out, alias, &list, &count, node->edges[i].columns, node->edges[i].width);
    talloc_free(list);
}

/* One level: the rows that the rows a of the query above refer to (up), or those that refer to them; by an index each. */
static void append_level(PQExpBuffer out, const struct plan_node *node, const char *row, bool up)
{
    const char *separator = "";
    for (size_t i = 0; i < node->edge_count; i++) {
        const struct plan_edge *edge = &node->edges[i];
        if (edge->parent != node)
            continue;
        appendPQExpBuffer(out, "%sSELECT ", separator);
        if (up)
            append_referring(out, row, node);
        else
            reach_append_level(out, row, node, node->edges, node->edge_count);
        appendPQExpBuffer(out, " FROM %s AS %s WHERE ", node->table.ident, row);
        reach_append_match_set(out, edge, up ? "a" : row, up ? row : "a", "a");
        separator = " UNION ALL ";
    }
}

/* The rows that refer to others of their table, over any number of them: from the first ones down. */
static void append_down(PQExpBuffer out, const struct plan *plan, const struct plan_node *node, const char *alias,
                        enum leaf leaf)
{
    const char *separator = "";
    bool array = leaf_is_in_hand(leaf) && node->key_count == 1;
    char known[24], row[24];
    snprintf(known, sizeof known, "r%d", node->index);
    snprintf(row, sizeof row, "c%d", node->index);
    reach_append_key(out, alias, node->key, node->key_count);
    appendPQExpBuffer(out, "%s (WITH RECURSIVE %s AS (", array ? " = ANY (ARRAY" : " IN", known);
    for (size_t i = 0; i < node->edge_count; i++) {
        if (node->edges[i].parent == node)
            continue;
        appendPQExpBuffer(out, "%sSELECT ", separator);
        reach_append_level(out, row, node, node->edges, node->edge_count);
        appendPQExpBuffer(out, " FROM %s AS %s WHERE ", node->table.ident, row);
        reach_append_edge(out, plan, &node->edges[i], row, leaf);
        separator = " UNION ";
    }
    appendPQExpBuffer(out, " UNION SELECT %s.* FROM %s AS a CROSS JOIN LATERAL (", row, known);
    append_level(out, node, row, false);
    appendPQExpBuffer(out, " OFFSET 0) AS %s) SELECT ", row);
    reach_append_columns(out, known, node->key, node->key_count);
    appendPQExpBuffer(out, " FROM %s%s", known, array ? "))" : ")");
}

/* The same for one row: it, or one above it, refers to a row that goes. */
static void append_up(PQExpBuffer out, const struct plan *plan, const struct plan_node *node, const char *alias,
                      enum leaf leaf)
{
    char known[24], row[24];
    snprintf(known, sizeof known, "r%d", node->index);
    snprintf(row, sizeof row, "c%d", node->index);
    appendPQExpBuffer(out, "EXISTS (WITH RECURSIVE %s AS (SELECT ", known);
    append_referring(out, alias, node);
    appendPQExpBuffer(out, " UNION SELECT %s.* FROM %s AS a CROSS JOIN LATERAL (", row, known);
    append_level(out, node, row, true);
    appendPQExpBuffer(out, " OFFSET 0) AS %s) SELECT FROM %s AS %s WHERE ", row, known, row);
    append_edges(out, plan, node, row, leaf);
    appendPQExpBufferChar(out, ')');
}

void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum leaf leaf)
{
    if (node->index == 0)
        append_root(out, plan, leaf);
    else if (node->action == ACTION_DELETE_ORPHANS)
        orphan_append(out, plan, node, alias, leaf);
    else if (node->recursive)
        (leaf_is_mid(leaf) ? append_up : append_down)(out, plan, node, alias, leaf);
    else
        append_edges(out, plan, node, alias, leaf);
}

/* The row alias, of a table that has the rows of the root, is one of the root's at the leaf. */
static void append_is_root(PQExpBuffer out, const struct plan *plan, const char *alias, enum leaf leaf)
{
    if (leaf_is_mid(leaf)) {
        appendPQExpBuffer(out, "EXISTS (SELECT FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
        reach_append_key(out, "t", plan->key, plan->key_count);
        appendPQExpBufferStr(out, " = ");
        reach_append_key(out, alias, plan->key, plan->key_count);
        appendPQExpBufferStr(out, " AND ");
        append_root(out, plan, leaf);
        appendPQExpBufferStr(out, " OFFSET 0)");
        return;
    }
    reach_append_key(out, alias, plan->key, plan->key_count);
    appendPQExpBufferStr(out, " IN (SELECT ");
    reach_append_columns(out, "t", plan->key, plan->key_count);
    appendPQExpBuffer(out, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    append_root(out, plan, leaf);
    appendPQExpBufferChar(out, ')');
}

bool reach_append_table(PQExpBuffer out, const struct plan *plan, const struct plan_table *table,
                        const struct plan_node *self, bool before, const char *alias, enum leaf leaf)
{
    const char *separator = "((";
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (!order_is_deleted(node) || node == self || !order_same_rows(plan, &node->table, table) ||
            (before && order_compare(node, self) > 0))
            continue;
        appendPQExpBufferStr(out, separator);
        separator = ") OR (";
        /* A partition has some of its parent's rows. */
        if (strcmp(node->table.oid, table->oid) != 0)
            appendPQExpBuffer(out, "EXISTS (SELECT FROM %s AS same WHERE same.ctid OPERATOR(pg_catalog.=) %s.ctid"
                                   " AND same.tableoid OPERATOR(pg_catalog.=) %s.tableoid) AND ",
                              node->table.ident, alias, alias);
        if (i > 0)
            reach_append(out, plan, node, alias, leaf);
        else
            append_is_root(out, plan, alias, leaf);
    }
    if (*separator == '(')
        return false;
    appendPQExpBufferStr(out, "))");
    return true;
}
