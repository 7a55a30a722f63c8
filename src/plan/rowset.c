/* Sets of rows as common table expressions: along references, from the candidates or the rows in
 * hand. */
#include "rowset.h"

#include "pgsweep/mem.h"

static const char file[] = "sql/rows.sql";

/* text, if any, AND the row alias is not in the set of node. */
static char *and_not_in(struct rowset *set, char *text, const struct plan_node *node,
                        const char *alias, bool from_set)
{
    const char *row = mem_printf(set->ctx, "%s.%s", alias, from_set ? "pgsweep_row" : "ctid");
    const char *table =
        mem_printf(set->ctx, "%s.%s", alias, from_set ? "pgsweep_table" : "tableoid");
    char *one = template_fill(
        set->ctx, file, "is_not_in",
        TEMPLATE_SLOTS({"set", rowset_of(set, node)}, {"row", row}, {"table", table}));
    return text ? mem_printf(set->ctx, "%s\nAND %s", text, one) : one;
}

char *rowset_not_going(struct rowset *set, const struct plan_table *table, const char *alias,
                       bool from_set, const struct plan_node *but, bool before)
{
    char *text = NULL;
    for (size_t i = 0; i < set->plan->node_count; i++) {
        const struct plan_node *node = set->plan->nodes[i];
        if (node != but && order_is_deleted(node) &&
            order_same_rows(set->plan, &node->table, table) &&
            !(before && order_compare(node, but) > 0))
            text = and_not_in(set, text, node, alias, from_set);
    }
    return text;
}

/* A stated reference may be to several rows at once: those that go have to be all of them. */
static char *last(struct rowset *set, const struct plan_edge *edge)
{
    char *not_going = NULL;
    for (size_t i = 0; edge->shared && i < edge->child->edge_count; i++) {
        const struct plan_edge *other = &edge->child->edges[i];
        if (other == edge ||
            (other->parent != edge->parent &&
             order_same_rows(set->plan, &other->parent->table, &edge->parent->table)))
            not_going = and_not_in(set, not_going, other->parent, "p", false);
    }
    if (!edge->shared)
        return NULL;
    return template_fill(set->ctx, file, "last",
                         TEMPLATE_SLOTS({"parent", edge->parent->table.ident},
                                        {"match", rowset_match(set, edge, "d", "p", NULL)},
                                        {"not_going", not_going}));
}

/* The rows of a dependent, through each of its references, and what refers to them within their
 * table. */
static void add_dependent(struct rowset *set, const struct plan_node *node, const char *name)
{
    char *rows = NULL;
    struct plan_edge *self = mem_array(set->ctx, struct plan_edge, node->edge_count + 1);
    size_t self_count = 0;
    for (size_t i = 0; i < node->edge_count; i++) {
        const struct plan_edge *edge = &node->edges[i];
        if (edge->parent == node) {
            self[self_count++] = *edge;
            continue;
        }
        rows = rowset_union(
            set, rows,
            template_fill(set->ctx, file, "by_reference",
                          TEMPLATE_SLOTS({"columns", rowset_columns(set, node, "d", false)},
                                         {"table", node->table.ident},
                                         {"set", rowset_of(set, edge->parent)},
                                         {"match", rowset_match(set, edge, "d", "p", "p")},
                                         {"last", last(set, edge)})));
    }
    if (self_count > 0)
        rows = rowset_union(set, rows, rowset_next_level(set, node, name, self, self_count, false));
    rowset_append(set, name, rows);
}

const char *rowset_of(struct rowset *set, const struct plan_node *node)
{
    const char *name = rowset_name(set, order_is_deleted(node) ? "going" : "losing", node);
    if (set->done[node->index])
        return name;
    set->done[node->index] = true;
    if (node->index == 0)
        rowset_add_candidates(set);
    else if (node->action == ACTION_DELETE_ORPHANS)
        rowset_add_shared(set, node);
    else
        add_dependent(set, node, name);
    return name;
}
