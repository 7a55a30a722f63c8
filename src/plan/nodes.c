/* The nodes of the graph of tables: finding, adding and visiting them. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* A table that refers both to what hangs on the root and to what hangs on a shared table has a node
 * for each: they are acted on at different times. */
static struct plan_node *find_node(const struct plan *plan, const char *oid,
                                   enum policy_action action, const struct policy_dependent *rule,
                                   const struct plan_node *orphan)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->rule == rule && strcmp(plan->nodes[i]->table.oid, oid) == 0 &&
            plan->nodes[i]->action == action && (i == 0 || plan->nodes[i]->orphan == orphan))
            return plan->nodes[i];
    return NULL;
}

/* Another node of that label, or NULL. Counts are kept by it. */
static struct plan_node *find_label(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i] != node && strcmp(plan->nodes[i]->label, node->label) == 0)
            return plan->nodes[i];
    return NULL;
}

static void set_label(struct plan *plan, struct plan_node *node, const struct reference *ref)
{
    const char *constraint = node->rule ? node->rule->constraint.value : NULL;
    node->label =
        constraint ? mem_printf(plan, "%s (%s)", node->table.label, constraint) : node->table.label;
    /* Of one table, followed as its constraints say: deleted rows have the table's name for
     * themselves. */
    struct plan_node *other = find_label(plan, node);
    if (other && !node->rule && node->action == ACTION_DELETE && other->action == ACTION_DETACH &&
        !other->rule)
        other->label = mem_printf(plan, "%s (%s)", other->table.label, other->edges[0].constraint);
    else if (other && !node->rule)
        node->label = mem_printf(plan, "%s (%s)", node->table.label, ref->edge.constraint);
    if (find_label(plan, node))
        node->label =
            mem_printf(plan, "%s (of %s)", node->label,
                       node->orphan ? node->orphan->table.label : plan->nodes[0]->table.label);
}

static struct plan_node *make_node(struct graph *g, const struct reference *ref, int rule,
                                   enum policy_action action, struct error *err)
{
    struct plan *plan = g->plan;
    struct plan_node *node = graph_add_node(plan, action);
    bool found = true;
    node->parent = ref->edge.parent;
    node->orphan = ref->edge.parent->orphan;
    if (rule >= 0) {
        node->table = g->listed[rule];
        node->rule = &plan->policy->dependents[rule];
        g->used[rule] = true;
    } else if (!catalog_table(plan, g->db, ref->edge.table, &node->table, &found, err)) {
        return NULL;
    } else if (!found) {
        error_set(err, SWEEP_USAGE, "table %s has gone", ref->edge.table);
        return NULL;
    }
    set_label(plan, node, ref);
    return rule_apply(plan, g->db, node, err) ? node : NULL;
}

static void add_edge(struct plan_node *node, const struct reference *ref, bool by_default)
{
    size_t e = mem_grow(node, &node->edges, &node->edge_count);
    node->edges[e] = ref->edge;
    node->edges[e].child = node;
    node->edges[e].by_default = by_default;
    node->recursive = node->recursive || ref->edge.parent == node;
}

/* Rows of the policy's own table that go with those of it that they refer to: no dependents, but
 * candidates whose turn is the same. */
static bool take_self(struct graph *g, const struct reference *ref, int rule, struct error *err)
{
    struct plan_node *root = g->plan->nodes[0];
    const struct policy_dependent *which = rule < 0 ? NULL : &g->plan->policy->dependents[rule];
    if (which && (which->object_count > 0 || which->set_count > 0))
        return error_set(
            err, SWEEP_USAGE,
            "%s: %s is the policy's own table: its objects are named by the policy's own "
            "\"objects\", and nothing is set in rows that are deleted",
            which->table.origin, root->table.label);
    if (ref->edge.shared || ref->edge.scope || ref->edge.referred_scope) {
        error_set(err, SWEEP_USAGE, "%s: rows of %s cannot be deleted along %s: it is %s",
                  which ? which->table.origin : g->plan->policy->source, root->table.label,
                  ref->edge.constraint,
                  ref->edge.shared ? "to several rows at once"
                                   : "a reference of some of its partitions only");
        return error_hint(err, "Choose detach or keep for this reference.");
    }
    if (which)
        g->used[rule] = true;
    size_t i = mem_grow(root, &root->self, &root->self_count);
    root->self[i] = ref->edge;
    root->self[i].child = root;
    return true;
}

/* The tables that refer to those of a level of the graph are looked up together. */
static bool look_ahead(struct graph *g, size_t first, size_t end, struct error *err)
{
    struct name_set names = {0};
    struct reference *refs;
    size_t count;
    if (g->plan->policy->unlisted != UNLISTED_CASCADE)
        return true;
    for (size_t i = first; i < end; i++) {
        if (g->plan->nodes[i]->action != ACTION_DELETE)
            continue;
        if (!references_read(g, g->plan->nodes[i], &refs, &count, err))
            return false;
        for (size_t r = 0; r < count; r++)
            name_set_add(g->plan, &names, refs[r].edge.table);
    }
    return catalog_expect(g->plan, g->db, names.list, names.count, err);
}

static bool visit(struct graph *g, struct plan_node *parent, struct error *err)
{
    struct reference *refs;
    size_t count;
    if (!references_read(g, parent, &refs, &count, err))
        return false;
    partition_note(g->plan, refs, count);
    for (size_t i = 0; i < count; i++)
        if (!graph_take(g, &refs[i], err))
            return false;
    return true;
}

struct plan_node *graph_add_node(struct plan *plan, enum policy_action action)
{
    struct plan_node *node = mem_new(plan, struct plan_node);
    size_t i = mem_grow(plan, &plan->nodes, &plan->node_count);
    node->index = (int)i;
    node->action = action;
    plan->nodes[i] = node;
    return node;
}

bool graph_follows(const struct plan *plan, const struct reference *ref, enum policy_action *action)
{
    const struct plan_edge *edge = &ref->edge;
    if (plan->policy->unlisted != UNLISTED_CASCADE || edge->stated)
        return false;
    *action = edge->on_delete == 'c' ? ACTION_DELETE : ACTION_DETACH;
    return edge->on_delete == 'c' || edge->on_delete == 'd' ||
           (edge->on_delete == 'n' && rule_can_detach(edge));
}

bool graph_take(struct graph *g, const struct reference *ref, struct error *err)
{
    struct plan *plan = g->plan;
    int rule = rule_for(g, ref);
    const struct policy_dependent *which = rule < 0 ? NULL : &plan->policy->dependents[rule];
    bool root = strcmp(ref->edge.table_oid, plan->nodes[0]->table.oid) == 0;
    enum policy_action action = which ? which->action : ACTION_DELETE;
    /* What the policy does not state needs no decision where it is the policy that states the
     * reference. */
    if (!which && ref->edge.stated)
        return true;
    bool self = root && ref->edge.parent->index == 0;
    if (!which &&
        (!graph_follows(plan, ref, &action) || (root && !self && action == ACTION_DELETE))) {
        graph_refuse(g, ref);
        return true;
    }
    if (self && action == ACTION_DELETE)
        return take_self(g, ref, rule, err);
    struct plan_node *node =
        find_node(plan, ref->edge.table_oid, action, which, ref->edge.parent->orphan);
    if (!node || node->index == 0)
        node = make_node(g, ref, rule, action, err);
    if (!node || !rule_check(g->db, node, &ref->edge, err))
        return false;
    add_edge(node, ref, !which && ref->edge.on_delete == 'd');
    return true;
}

bool graph_visit_from(struct graph *g, size_t first, struct error *err)
{
    for (size_t end; first < g->plan->node_count; first = end) {
        end = g->plan->node_count;
        if (!look_ahead(g, first, end, err))
            return false;
        for (size_t i = first; i < end; i++)
            if (g->plan->nodes[i]->action == ACTION_DELETE && !visit(g, g->plan->nodes[i], err))
                return false;
    }
    return true;
}
