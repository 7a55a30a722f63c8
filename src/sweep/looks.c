/* The last look before COMMIT, for references that no constraint stands behind: another session may
 * add a row that refers to one that is deleted here, or that still needs it. What PostgreSQL would
 * check itself is not looked at. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* The values of the rows of node that go. */
static void remember(struct sweep *sweep, const struct plan_node *node,
                     const struct plan_edge *edge, bool of_parent)
{
    void *ctx = sweep->report;
    const bool root = node->index == 0;
    PQExpBuffer values = createPQExpBuffer();
    PQExpBuffer rows = createPQExpBuffer();
    size_t i = mem_grow(ctx, &sweep->work.looks, &sweep->work.look_count);
    struct work_look *look = &sweep->work.looks[i];
    *look = (struct work_look){mem_printf(ctx, "r%zu", i), edge, !of_parent};
    plan_append_look_values(values, edge, of_parent, root ? "t" : "d");
    if (root)
        appendPQExpBufferStr(rows, statements_keys_sql(sweep, 1));
    else
        plan_append_reached(rows, sweep->plan, node, of_parent ? NULL : edge);
    char *value_list = buffer_take(ctx, values);
    char *row_text = buffer_take(ctx, rows);
    struct work_step *step =
        work_step(sweep, "remember", node,
                  template_fill(ctx, SWEEP_SQL, "remember",
                                TEMPLATE_SLOTS({"setting", look->setting}, {"values", value_list},
                                               {"table", node->table.ident},
                                               {"row", root ? "t" : "d"}, {"rows", row_text})));
    step->takes_keys = plan_takes_keys(node);
}

void looks_remember(struct sweep *sweep, const struct plan_node *node)
{
    const struct plan *plan = sweep->plan;
    bool shared = node->action == ACTION_DELETE_ORPHANS && node->index != 0;
    if (node->action != ACTION_DELETE && !shared)
        return;
    /* It goes with the last of several rows: of those one may be added. */
    for (size_t i = 0; i < node->edge_count; i++)
        if (node->edges[i].stated && node->edges[i].shared && !node->recursive)
            remember(sweep, node, &node->edges[i], false);
    for (size_t i = 0; shared && i < node->use_count; i++)
        if (node->uses[i].stated)
            remember(sweep, node, &node->uses[i], true);
    for (size_t i = 1; !shared && i < plan->node_count; i++) {
        const struct plan_node *child = plan->nodes[i];
        for (size_t e = 0; e < child->edge_count && child->action != ACTION_IGNORE; e++)
            if (child->edges[e].parent == node && child->edges[e].stated &&
                !child->edges[e].shared && child != node)
                remember(sweep, node, &child->edges[e], true);
    }
}

void looks_add(struct sweep *sweep)
{
    void *ctx = sweep->report;
    for (size_t i = 0; i < sweep->work.look_count; i++) {
        const struct work_look *look = &sweep->work.looks[i];
        PQExpBuffer match = createPQExpBuffer();
        plan_append_look(match, look->edge, look->for_parent);
        char *text = buffer_take(ctx, match);
        const char *table = look->for_parent ? look->edge->parent->table.ident : look->edge->table;
        work_step(sweep, "look_added", look->for_parent ? look->edge->parent : look->edge->child,
                  template_fill(ctx, SWEEP_SQL, "look_added",
                                TEMPLATE_SLOTS({"setting", look->setting}, {"table", table},
                                               {"match", text})))
            ->expects = EXPECTS_NONE_ADDED;
    }
}
