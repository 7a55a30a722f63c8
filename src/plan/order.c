/* The order in which nodes are acted on. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

bool plan_acts(const struct plan_node *node)
{
    return node->action != ACTION_KEEP && node->action != ACTION_IGNORE;
}

bool order_is_deleted(const struct plan_node *node)
{
    return node->action == ACTION_DELETE || node->action == ACTION_DELETE_ORPHANS;
}

char *plan_tables_to_lock(const void *ctx, const struct plan *plan, bool changed)
{
    char *list = NULL;
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        const struct plan_table *table = &node->table;
        bool changes = i == 0 || plan_acts(node);
        if (changes != changed || !(changed ? table->may_lock : table->may_select))
            continue;
        /* Of a partitioned table the statements lock the partitions that they need. */
        list = mem_printf(ctx, "%s%s%s%s", list ? list : "", list ? ", " : "",
                          table->kind == 'p' ? "ONLY " : "", table->ident);
    }
    return list;
}

bool order_same_rows(const struct plan *plan, const struct plan_table *a,
                     const struct plan_table *b)
{
    if (strcmp(a->oid, b->oid) == 0)
        return true;
    for (size_t i = 0; i < plan->inheritance_count; i++) {
        const struct plan_inheritance *pair = &plan->inheritance[i];
        if ((strcmp(pair->child, a->oid) == 0 && strcmp(pair->parent, b->oid) == 0) ||
            (strcmp(pair->child, b->oid) == 0 && strcmp(pair->parent, a->oid) == 0))
            return true;
    }
    return false;
}

bool order_relate(struct plan *plan, struct db *db, struct error *err)
{
    struct db_rows *rows;
    const char **oids = mem_array(plan, const char *, plan->node_count);
    for (size_t i = 0; i < plan->node_count; i++)
        oids[i] = plan->nodes[i]->table.oid;
    const char *params[] = {db_array(plan, oids, plan->node_count)};
    char *sql = template_fill(plan, "sql/plan.sql", "inheritance", NULL);
    if (!db_query(db, plan, sql, 1, params, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++) {
        size_t pair = mem_grow(plan, &plan->inheritance, &plan->inheritance_count);
        plan->inheritance[pair] =
            (struct plan_inheritance){db_rows_get(rows, i, 0), db_rows_get(rows, i, 1)};
    }
    return true;
}

/* Depth first; *path grows to the circle when one is found. */
static bool find_circle(const struct plan *plan, const struct plan_node *node, int *state,
                        char **path)
{
    if (state[node->index] == 2)
        return false;
    if (state[node->index] == 1) {
        *path = mem_strdup(plan, node->table.label);
        return true;
    }
    state[node->index] = 1;
    for (size_t e = 0; e < node->edge_count; e++) {
        const struct plan_edge *edge = &node->edges[e];
        if (edge->parent == node || !order_is_deleted(edge->parent))
            continue;
        if (find_circle(plan, edge->parent, state, path)) {
            *path = mem_check(talloc_asprintf_append(*path, ", which %s refers to (%s)",
                                                     node->table.label, edge->constraint));
            return true;
        }
    }
    state[node->index] = 2;
    return false;
}

static bool refuse_circles(const struct plan *plan, struct error *err)
{
    int *state = mem_array(plan, int, plan->node_count);
    char *path = NULL;
    for (size_t i = 0; i < plan->node_count; i++) {
        if (!order_is_deleted(plan->nodes[i]) || !find_circle(plan, plan->nodes[i], state, &path))
            continue;
        error_set(err, SWEEP_REFUSED,
                  "policy %s: the references between the tables that it deletes from "
                  "form a circle, which no order of deletion satisfies",
                  plan->policy->name);
        error_detail(err, "%s", path);
        return error_hint(
            err,
            "Break it: give one of these references the action "
            "detach or, where its constraint is initially deferred and its row goes in the same "
            "transaction anyway, ignore (an entry with \"constraint:\" is for that reference "
            "alone).");
    }
    return true;
}

bool order_build(struct plan *plan, struct error *err)
{
    if (!refuse_circles(plan, err))
        return false;
    /* Without circles, as many rounds as there are nodes lift each above all that it refers to. */
    for (size_t round = 0; round < plan->node_count; round++)
        for (size_t i = 1; i < plan->node_count; i++) {
            struct plan_node *node = plan->nodes[i];
            for (size_t e = 0; e < node->edge_count; e++)
                if (node->edges[e].parent != node && node->order <= node->edges[e].parent->order)
                    node->order = node->edges[e].parent->order + 1;
        }
    return true;
}

int order_compare(const struct plan_node *a, const struct plan_node *b)
{
    int turn_a = a->orphan ? a->orphan->turn : 0;
    int turn_b = b->orphan ? b->orphan->turn : 0;
    if (turn_a != turn_b)
        return turn_a - turn_b;
    return a->order != b->order ? b->order - a->order : a->index - b->index;
}

static int compare_acts(const void *a, const void *b)
{
    const struct plan_node *x = *(const struct plan_node *const *)a;
    const struct plan_node *y = *(const struct plan_node *const *)b;
    if (order_is_deleted(x) != order_is_deleted(y))
        return order_is_deleted(x) ? 1 : -1;
    return order_compare(x, y);
}

const struct plan_node **plan_execution_order(const void *ctx, const struct plan *plan,
                                              const struct plan_node *orphan, size_t *count)
{
    const struct plan_node **nodes = mem_array(ctx, const struct plan_node *, plan->node_count);
    *count = 0;
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (plan_acts(node) && node->action != ACTION_DELETE_ORPHANS && node->orphan == orphan)
            nodes[(*count)++] = node;
    }
    qsort(nodes, *count, sizeof *nodes, compare_acts);
    return nodes;
}
