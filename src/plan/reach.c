/* Predicates: which root rows are candidates, which dependent rows hang on them, which shared rows
 * go with them. One builder for counting, dry run and deletion. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

static const char file[] = "sql/reach.sql";

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

void plan_append_digest(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBufferStr(out, "pg_catalog.sha256(pg_catalog.convert_to(ARRAY[");
    for (size_t k = 0; k < plan->key_count; k++) {
        appendPQExpBufferStr(out, k ? ", " : "");
        plan_append_text(out, "t", plan->key[k]);
    }
    appendPQExpBufferStr(out, "]::pg_catalog.text, pg_catalog.getdatabaseencoding()))");
}

/* before, the condition (its lines indented by column) and after. */
static void append_condition(PQExpBuffer out, const char *before, size_t column,
                             const char *condition, const char *after)
{
    appendPQExpBufferStr(out, before);
    template_append(out, condition, column);
    appendPQExpBufferStr(out, after);
}

/* Older than the cutoff. */
static void append_old(PQExpBuffer out, const struct plan *plan)
{
    appendPQExpBuffer(out, "t.%s %s $1::%s", plan->age->ident, plan->age->below,
                      plan->age->value_type);
}

void candidate_append(PQExpBuffer out, const struct plan *plan, bool letters, bool below)
{
    append_old(out, plan);
    if (plan->where_sql)
        append_condition(out, "\nAND ", 4, plan->where_sql, "");
    /* A guard that cannot be decided spares: NOT of it is no more true than IS FALSE, but an index
     * may be used for what it says. Of what lies beyond the row the planner would make a join,
     * though, which reads the other table for each chunk. */
    for (size_t i = 0; i < plan->guard_count; i++) {
        const struct plan_guard *guard = &plan->guards[i];
        if ((guard->letters && !letters) || (guard->below && !below))
            continue;
        if (guard->beyond)
            append_condition(out, "\nAND ", 4, guard->sql, " IS FALSE");
        else
            append_condition(out, "\nAND NOT ", 8, guard->sql, "");
    }
    if (!plan->spared_run)
        return;
    /* A scalar subquery is an index probe for each row; the planner would make a scan per chunk of
     * NOT EXISTS. */
    appendPQExpBuffer(out,
                      "\nAND (SELECT true\n       FROM pgsweep.spared AS s"
                      "\n      WHERE s.run_id OPERATOR(pg_catalog.=) '%s'\n        AND s.digest "
                      "OPERATOR(pg_catalog.=)\n            ",
                      plan->spared_run);
    plan_append_digest(out, plan);
    appendPQExpBufferStr(out, ") IS NULL");
}

void plan_append_held(PQExpBuffer out, const struct plan *plan)
{
    const char *separator = "\nAND (";
    append_old(out, plan);
    if (plan->where_sql && !plan->where_freeable)
        append_condition(out, "\nAND ", 4, plan->where_sql, "");
    if (plan->where_freeable) {
        append_condition(out, separator, 5, plan->where_sql, " IS NOT TRUE");
        separator = "\n     OR ";
    }
    for (size_t i = 0; i < plan->guard_count; i++) {
        if (!plan->guards[i].freeable)
            continue;
        append_condition(out, separator, strlen(separator) - 1, plan->guards[i].sql,
                         " IS NOT FALSE");
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

/* The keys of the rows in hand, as a query: the rows of the arrays in the parameters from first on,
 * in the order given. */
static char *key_rows(const void *ctx, const struct plan *plan, int first, const size_t *order)
{
    PQExpBuffer arrays = createPQExpBuffer();
    for (size_t i = 0; i < plan->key_count; i++) {
        size_t k = order ? order[i] : i;
        appendPQExpBuffer(arrays, "%spg_catalog.unnest($%d::%s[])", i ? ",\n" : "", first + (int)k,
                          plan->key[k]->value_type);
    }
    return template_fill(ctx, file, "keys", TEMPLATE_SLOTS({"arrays", buffer_take(ctx, arrays)}));
}

void plan_append_keys(PQExpBuffer out, const struct plan *plan, int first)
{
    void *ctx = talloc_new(NULL);
    if (plan->key_count == 1)
        compare_append_in_array(out, "t", plan->key[0], mem_printf(ctx, "$%d", first));
    else
        compare_append_in(out, "t", plan->key, plan->key_count, key_rows(ctx, plan, first, NULL));
    talloc_free(ctx);
}

/* Which part of the root's key each referred column is; false when the reference is not to the key.
 */
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

/* $1, or $2 where the cutoff is $1. */
static int first_key(enum anchor anchor)
{
    return anchor == ANCHOR_KEYS ? 1 : 2;
}

/* The condition that t, a row of the root, is one at the anchor. */
static void append_root(PQExpBuffer out, const struct plan *plan, enum anchor anchor)
{
    if (anchor_is_in_hand(anchor)) {
        plan_append_keys(out, plan, first_key(anchor));
        return;
    }
    if (anchor == ANCHOR_LATER) {
        appendPQExpBufferStr(out, "NOT (");
        plan_append_keys(out, plan, first_key(anchor));
        appendPQExpBufferStr(out, ")\nAND ");
    }
    plan_append_candidate(out, plan);
}

/* A stated reference may be to several rows at once: then a row goes only with the last of them. */
static void append_last(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                        const char *alias, const char *parent, enum anchor anchor)
{
    if (!edge->shared || anchor == ANCHOR_CORRELATED)
        return;
    PQExpBuffer rows = createPQExpBuffer();
    PQExpBuffer going = createPQExpBuffer();
    reach_append_match(rows, edge, alias, parent);
    reach_append(going, plan, edge->parent, parent, anchor == ANCHOR_LATER ? ANCHOR_GOING : anchor);
    fragment_and_not_true(rows, going->data);
    destroyPQExpBuffer(going);
    appendPQExpBufferStr(out, "\nAND NOT ");
    reach_append_exists(out, edge->parent->table.ident, parent, rows, false);
}

void reach_append_exists(PQExpBuffer out, const char *table, const char *alias,
                         PQExpBuffer conditions, bool row_by_row)
{
    fragment_append(
        out, file, row_by_row ? "exists_row_by_row" : "exists",
        TEMPLATE_SLOTS({"table", table}, {"alias", alias}, {"conditions", conditions->data}));
    destroyPQExpBuffer(conditions);
}

/* The columns, which a plain reference compares, have the values of a row of the query. */
static void append_in_plain(PQExpBuffer out, const char *columns, const char *query)
{
    fragment_append(out, file, "in_query",
                    TEMPLATE_SLOTS({"columns", columns}, {"equal", "OPERATOR(pg_catalog.=)"},
                                   {"query", query}));
}

/* What the rows in hand lead to, as arrays, which an index is asked for, also where several such
 * conditions are joined by OR; the server never reads a whole table because it expects many rows.
 */
static void append_in_arrays(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                             const char *alias, const char *parent, enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer buffer = createPQExpBuffer();
    reach_append(buffer, plan, edge->parent, parent, anchor);
    const char *rows = buffer_take(ctx, buffer);
    const char *table = edge->parent->table.ident;
    for (size_t i = 0; i < edge->width; i++) {
        appendPQExpBufferStr(out, i ? "\nAND " : "");
        fragment_append(
            out, file, "in_array",
            TEMPLATE_SLOTS({"column", mem_printf(ctx, "%s.%s", alias, edge->columns[i])},
                           {"value", mem_printf(ctx, "%s.%s", parent, edge->referred[i])},
                           {"table", table}, {"alias", parent}, {"conditions", rows}));
    }
    if (edge->width > 1) {
        /* Each column has a value that leads to the rows; now all of them to the same one. */
        PQExpBuffer columns = createPQExpBuffer();
        PQExpBuffer values = createPQExpBuffer();
        reach_append_list(columns, alias, edge->columns, edge->width, true);
        reach_append_list(values, parent, edge->referred, edge->width, false);
        char *query =
            template_fill(ctx, file, "select",
                          TEMPLATE_SLOTS({"columns", buffer_take(ctx, values)}, {"table", table},
                                         {"alias", parent}, {"conditions", rows}));
        appendPQExpBufferStr(out, "\nAND ");
        append_in_plain(out, buffer_take(ctx, columns), query);
    }
    talloc_free(ctx);
}

/* The row alias refers to a row of the parent's table at the anchor. OFFSET 0 keeps the look-ups of
 * single rows from being turned into one of all rows that the anchor selects, which may be every
 * candidate. */
static void append_through(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                           const char *alias, const char *parent, enum anchor anchor)
{
    if ((anchor_is_in_hand(anchor) || anchor == ANCHOR_CORRELATED) && edge->plain && !edge->scope &&
        !edge->referred_scope) {
        append_in_arrays(out, plan, edge, alias, parent, anchor);
        reach_append_not_empty(out, edge, alias);
        return;
    }
    PQExpBuffer rows = createPQExpBuffer();
    reach_append_match(rows, edge, alias, parent);
    appendPQExpBufferStr(rows, "\nAND ");
    reach_append(rows, plan, edge->parent, parent, anchor);
    if (anchor == ANCHOR_LATER && edge->parent->index != 0) {
        /* A row between may refer to several: it goes with the first. */
        PQExpBuffer now = createPQExpBuffer();
        if (reach_append_table(now, plan, &edge->parent->table, NULL, false, parent,
                               ANCHOR_KEYS_BESIDE))
            fragment_and_not_true(rows, now->data);
        destroyPQExpBuffer(now);
    }
    reach_append_exists(out, edge->parent->table.ident, parent, rows, anchor_is_mid(anchor));
}

void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum anchor anchor)
{
    char parent[24];
    size_t order[32];
    bool root = edge->parent->index == 0;
    snprintf(parent, sizeof parent, root ? "t" : "p%d", edge->parent->index);
    if (root && anchor == ANCHOR_CORRELATED) {
        reach_append_match(out, edge, alias, "t");
        return;
    }
    if (root && edge->plain && anchor_is_in_hand(anchor) && plan->key_count <= 32 &&
        key_order(plan, edge, order)) {
        void *ctx = talloc_new(NULL);
        PQExpBuffer columns = createPQExpBuffer();
        reach_append_list(columns, alias, edge->columns, edge->width, true);
        const char *list = buffer_take(ctx, columns);
        if (edge->width == 1)
            appendPQExpBuffer(out, "%s OPERATOR(pg_catalog.=) ANY ($%d::%s[])", list,
                              first_key(anchor), plan->key[0]->value_type);
        else
            append_in_plain(out, list, key_rows(ctx, plan, first_key(anchor), order));
        talloc_free(ctx);
        reach_append_not_empty(out, edge, alias);
    } else {
        append_through(out, plan, edge, alias, parent, anchor);
    }
    append_last(out, plan, edge, alias, parent, anchor);
}

void reach_append_edges(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                        const char *alias, enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    struct alternatives ways = {.ctx = ctx};
    for (size_t i = 0; i < node->edge_count; i++) {
        if (node->edges[i].parent == node)
            continue;
        PQExpBuffer way = createPQExpBuffer();
        reach_append_edge(way, plan, &node->edges[i], alias, anchor);
        alternatives_add(&ways, way);
    }
    alternatives_append(out, &ways);
    talloc_free(ctx);
}

void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum anchor anchor)
{
    if (node->index == 0)
        append_root(out, plan, anchor);
    else if (node->action == ACTION_DELETE_ORPHANS)
        orphan_append(out, plan, node, alias, anchor);
    else if (node->recursive)
        (anchor_is_mid(anchor) ? reach_append_up : reach_append_down)(out, plan, node, alias,
                                                                      anchor);
    else
        reach_append_edges(out, plan, node, alias, anchor);
}

/* The row alias, of a table that has the rows of the root, is one of the root's at the anchor. */
static void append_is_root(PQExpBuffer out, const struct plan *plan, const char *alias,
                           enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    const char *table = plan->nodes[0]->table.ident;
    PQExpBuffer rows = createPQExpBuffer();
    if (anchor_is_mid(anchor)) {
        compare_append_same(rows, "t", alias, plan->key, plan->key_count);
        appendPQExpBufferStr(rows, "\nAND ");
        append_root(rows, plan, anchor);
        reach_append_exists(out, table, "t", rows, true);
    } else {
        PQExpBuffer values = createPQExpBuffer();
        reach_append_columns(values, "t", plan->key, plan->key_count);
        append_root(rows, plan, anchor);
        compare_append_in(
            out, alias, plan->key, plan->key_count,
            template_fill(ctx, file, "select",
                          TEMPLATE_SLOTS({"columns", buffer_take(ctx, values)}, {"table", table},
                                         {"alias", "t"}, {"conditions", buffer_take(ctx, rows)})));
    }
    talloc_free(ctx);
}

bool reach_append_table(PQExpBuffer out, const struct plan *plan, const struct plan_table *table,
                        const struct plan_node *self, bool before, const char *alias,
                        enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    struct alternatives ways = {.ctx = ctx};
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (!order_is_deleted(node) || node == self ||
            !order_same_rows(plan, &node->table, table) ||
            (before && order_compare(node, self) > 0))
            continue;
        PQExpBuffer way = createPQExpBuffer();
        /* A partition has some of its parent's rows. */
        if (strcmp(node->table.oid, table->oid) != 0) {
            PQExpBuffer same = createPQExpBuffer();
            appendPQExpBuffer(same,
                              "same.ctid OPERATOR(pg_catalog.=) %s.ctid"
                              "\nAND same.tableoid OPERATOR(pg_catalog.=) %s.tableoid",
                              alias, alias);
            reach_append_exists(way, node->table.ident, "same", same, false);
            appendPQExpBufferStr(way, "\nAND ");
        }
        if (i > 0)
            reach_append(way, plan, node, alias, anchor);
        else
            append_is_root(way, plan, alias, anchor);
        alternatives_add(&ways, way);
    }
    bool any = alternatives_append(out, &ways);
    talloc_free(ctx);
    return any;
}
