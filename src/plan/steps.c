/* The statements that act on dependents, up to their WHERE. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan_locked.h"

static const char file[] = "sql/steps.sql";

bool plan_takes_keys(const struct plan_node *node)
{
    return node->orphan == NULL;
}

/* SET: the reference to NULL or to the new key, then what the policy sets besides. The parameters
 * have no casts, since an explicit cast cuts off what does not fit; without one, the column's type
 * is assigned. */
static void append_set(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                       const struct plan_edge *edge)
{
    int next = plan_takes_keys(node) ? (int)plan->key_count + 1 : 1;
    const char *comma = "";
    if (node->action == ACTION_REASSIGN) {
        appendPQExpBuffer(out, "%s = $%d", edge->columns[0], next++); /* no SQL: an assignment */
        comma = ",\n";
    }
    for (size_t i = 0; node->action == ACTION_DETACH && i < edge->width; i++) {
        const char *value = rule_detached(edge, i);
        if (!value)
            continue;
        appendPQExpBuffer(out, "%s%s = %s", comma, edge->columns[i], value);
        comma = ",\n";
    }
    for (size_t i = 0; i < node->set_count; i++)
        appendPQExpBuffer(out, ",\n%s = $%d", node->set[i].ident, next++); /* no SQL */
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

void plan_append_reached(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         const struct plan_edge *edge)
{
    if (edge)
        reach_append_edge(out, plan, edge, "d", ANCHOR_KEYS);
    else
        reach_append(out, plan, node, "d", ANCHOR_KEYS);
}

/* A template that is about the rows of node which the step reaches. */
static void append_rows(PQExpBuffer out, const char *name, const struct plan *plan,
                        const struct plan_node *node, const struct plan_edge *edge)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    plan_append_reached(rows, plan, node, edge);
    fragment_append(out, file, name,
                    TEMPLATE_SLOTS({"table", node->table.ident}, {"rows", buffer_take(ctx, rows)}));
    talloc_free(ctx);
}

void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge)
{
    if (node->action == ACTION_DELETE) {
        append_rows(out, "delete", plan, node, edge);
        return;
    }
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    PQExpBuffer set = createPQExpBuffer();
    plan_append_reached(rows, plan, node, edge);
    append_set(set, plan, node, edge);
    fragment_append(out, file, "update",
                    TEMPLATE_SLOTS({"table", node->table.ident}, {"set", buffer_take(ctx, set)},
                                   {"rows", buffer_take(ctx, rows)}));
    talloc_free(ctx);
}

bool plan_counts_apart(const struct plan *plan, const struct plan_node *node)
{
    if (order_is_deleted(node))
        return false;
    bool apart = node->edge_count > 1;
    for (size_t i = 0; i < plan->node_count; i++)
        apart = apart || (order_is_deleted(plan->nodes[i]) &&
                          order_same_rows(plan, &plan->nodes[i]->table, &node->table));
    return apart;
}

void plan_append_count_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    PQExpBuffer later = createPQExpBuffer();
    PQExpBuffer deleted = createPQExpBuffer();
    reach_append(rows, plan, node, "d", ANCHOR_KEYS_BESIDE);
    reach_append(later, plan, node, "d", ANCHOR_LATER);
    fragment_and_not_true(rows, buffer_take(ctx, later));
    if (reach_append_table(deleted, plan, &node->table, node, false, "d", ANCHOR_GOING))
        fragment_and_not_true(rows, deleted->data);
    destroyPQExpBuffer(deleted);
    fragment_append(out, file, "rows",
                    TEMPLATE_SLOTS({"table", node->table.ident}, {"rows", buffer_take(ctx, rows)}));
    talloc_free(ctx);
}

void plan_append_lock_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                           const struct plan_edge *edge)
{
    append_rows(out, "lock", plan, node, edge);
}

void plan_append_lock_rows(PQExpBuffer out, const struct plan *plan, const struct plan_node *node)
{
    append_rows(out, "lock_rows", plan, node,
                node->edge_count == 1 ? plan_step_edge(node, 0) : NULL);
}

bool plan_is_locked_with(const struct plan_node *node)
{
    bool shared = node->action == ACTION_DELETE_ORPHANS;
    return node->index > 0 && plan_acts(node) &&
           (shared ? plan_collects(node, NULL) : plan_takes_keys(node));
}

void plan_append_find_locked(PQExpBuffer out, const struct plan *plan, const struct plan_node *node)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    reach_append(rows, plan, node, "d", ANCHOR_CORRELATED);
    /* What an UPDATE that changes no key takes: who only refers to the row is not in the way. */
    const char *lock = order_is_deleted(node) ? "FOR UPDATE" : "FOR NO KEY UPDATE";
    fragment_append(out, "sql/sweep.sql", "find_locked_rows",
                    TEMPLATE_SLOTS({"table", node->table.ident}, {"rows", buffer_take(ctx, rows)},
                                   {"lock", lock}, {"number", mem_printf(ctx, "%d", node->index)}));
    talloc_free(ctx);
}

void plan_append_directories(PQExpBuffer out, const struct plan *plan)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer keys = createPQExpBuffer();
    PQExpBuffer text = createPQExpBuffer();
    plan_append_keys(keys, plan, 1);
    plan_append_text(text, "t", plan->directory);
    fragment_append(
        out, file, "directories",
        TEMPLATE_SLOTS({"column", plan->directory->ident}, {"text", buffer_take(ctx, text)},
                       {"table", plan->nodes[0]->table.ident}, {"keys", buffer_take(ctx, keys)}));
    talloc_free(ctx);
}

bool plan_deletes(const struct plan_node *node)
{
    return order_is_deleted(node);
}

/* The column that a reference names. */
static const struct plan_column *column_of(const struct plan_table *table, const char *ident)
{
    size_t i = 0;
    while (i + 1 < table->column_count && strcmp(table->columns[i].ident, ident) != 0)
        i++;
    return &table->columns[i];
}

void plan_append_look_values(PQExpBuffer out, const struct plan_edge *edge, bool of_parent,
                             const char *alias)
{
    const struct plan_table *table = of_parent ? &edge->parent->table : &edge->child->table;
    for (size_t i = 0; i < edge->width; i++) {
        appendPQExpBufferStr(out, i ? ", " : "");
        plan_append_text(out, alias,
                         column_of(table, of_parent ? edge->referred[i] : edge->columns[i]));
    }
}

void plan_append_look(PQExpBuffer out, const struct plan_edge *edge, bool for_parent)
{
    for (size_t i = 0; i < edge->width; i++) {
        const char *type = for_parent
                               ? column_of(&edge->child->table, edge->columns[i])->value_type
                               : column_of(&edge->parent->table, edge->referred[i])->value_type;
        char value[64];
        snprintf(value, sizeof value, "(r.v OPERATOR(pg_catalog.->>) %zu)", i);
        appendPQExpBufferStr(out, i ? "\nAND " : "");
        if (for_parent)
            appendPQExpBuffer(out, "a.%s%s %s %s::%s%s", edge->referred[i], edge->referred_casts[i],
                              edge->operators[i], value, type, edge->column_casts[i]);
        else
            appendPQExpBuffer(out, "%s::%s%s %s a.%s%s", value, type, edge->referred_casts[i],
                              edge->operators[i], edge->columns[i], edge->column_casts[i]);
        appendPQExpBuffer(out, "%s%s", *edge->collations[i] ? " " : "", edge->collations[i]);
        if (for_parent && edge->text[i])
            appendPQExpBuffer(out, "\nAND %s OPERATOR(pg_catalog.<>) ''", value);
    }
    if (!for_parent)
        reach_append_not_empty(out, edge, "a");
}
