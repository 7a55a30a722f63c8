/* The graph of what refers to the root: nodes and edges, from references and the policy's rules. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

const char *plan_on_delete_name(char on_delete)
{
    switch (on_delete) {
    case 'c':
        return "CASCADE";
    case 'n':
        return "SET NULL";
    case 'd':
        return "SET DEFAULT";
    case 'r':
        return "RESTRICT";
    default:
        return "NO ACTION";
    }
}

static bool same_constraint(const struct policy_dependent *a, const struct policy_dependent *b)
{
    if (!a->constraint.value || !b->constraint.value)
        return a->constraint.value == b->constraint.value;
    return strcmp(a->constraint.value, b->constraint.value) == 0;
}

static bool resolve_listed(struct graph *g, struct error *err)
{
    const struct policy *policy = g->plan->policy;
    g->listed = mem_array(g->plan, struct plan_table, policy->dependent_count + 1);
    g->used = mem_array(g->plan, bool, policy->dependent_count + 1);
    for (size_t i = 0; i < policy->dependent_count; i++) {
        const struct policy_dependent *d = &policy->dependents[i];
        bool found;
        if (!catalog_table(g->plan, g->db, d->table.value, &g->listed[i], &found, err))
            return error_prefix(err, "%s", d->table.origin);
        if (!found && !d->optional)
            return catalog_no_table(g->db, &d->table, err);
        for (size_t j = 0; found && j < i; j++)
            if (g->listed[j].oid && strcmp(g->listed[j].oid, g->listed[i].oid) == 0 &&
                same_constraint(&policy->dependents[j], d))
                return error_set(err, SWEEP_USAGE, "%s: table %s is listed twice", d->table.origin,
                                 g->listed[i].label);
    }
    return true;
}

/* Collects what the operator has to decide, with the line that would do it. */
static void refuse(struct graph *g, const struct reference *ref, bool by_constraint)
{
    const struct plan_edge *edge = &ref->edge;
    bool self = strcmp(ref->edge.table_oid, edge->parent->table.oid) == 0;
    bool root = strcmp(ref->edge.table_oid, g->plan->nodes[0]->table.oid) == 0; /* a younger one stays */
    const char *action = edge->on_delete == 'c' && !root ? "delete" : rule_can_detach(edge) ? "detach" : "keep";
    g->detail = talloc_asprintf_append(
        g->detail, "%s%s refers to %s (constraint %s, ON DELETE %s)", *g->detail ? "\n" : "",
        edge->table, self ? "itself" : edge->parent->table.label, edge->constraint,
        plan_on_delete_name(edge->on_delete));
    char *only = by_constraint ? mem_printf(g->plan, ", constraint: '%s'", edge->constraint)
                               : mem_strdup(g->plan, "");
    g->refusals = talloc_asprintf_append(g->refusals, "\n  - { table: '%s'%s, action: %s }  # or: %s%skeep",
                                         edge->table, only, action, root ? "" : "delete, ",
                                         rule_can_detach(edge) ? "detach, " : "");
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

/* A table that refers both to what hangs on the root and to what hangs on a shared table has a node for
 * each: they are acted on at different times. */
static struct plan_node *find_node(const struct plan *plan, const char *oid,
                                   const struct policy_dependent *rule, const struct plan_node *orphan)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->rule == rule && strcmp(plan->nodes[i]->table.oid, oid) == 0 &&
            (i == 0 || plan->nodes[i]->orphan == orphan))
            return plan->nodes[i];
    return NULL;
}

/* Is there another node of that label? Counts are kept by it. */
static bool find_label(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i] != node && strcmp(plan->nodes[i]->label, node->label) == 0)
            return true;
    return false;
}

static struct plan_node *make_node(struct graph *g, const struct reference *ref, int rule,
                                   struct error *err)
{
    struct plan *plan = g->plan;
    struct plan_node *node =
        graph_add_node(plan, rule < 0 ? ACTION_DELETE : plan->policy->dependents[rule].action);
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
    node->label = node->rule && node->rule->constraint.value
                      ? mem_printf(plan, "%s (%s)", node->table.label, node->rule->constraint.value)
                      : node->table.label;
    if (find_label(plan, node))
        node->label = mem_printf(plan, "%s (of %s)", node->label, node->orphan ? node->orphan->table.label
                                                                               : plan->nodes[0]->table.label);
    return rule_apply(plan, g->db, node, err) ? node : NULL;
}

bool graph_take(struct graph *g, const struct reference *ref, struct error *err)
{
    struct plan *plan = g->plan;
    int rule = rule_for(g, ref->edge.table_oid, ref->edge.constraint);
    bool root = strcmp(ref->edge.table_oid, plan->nodes[0]->table.oid) == 0;
    bool cascade = plan->policy->unlisted == UNLISTED_CASCADE && ref->edge.on_delete == 'c' && !root;
    const struct policy_dependent *which = rule < 0 ? NULL : &plan->policy->dependents[rule];
    /* What the policy does not state needs no decision where it is the policy that states the reference. */
    if (!which && (ref->edge.stated || !cascade)) {
        if (!ref->edge.stated)
            refuse(g, ref, root);
        return true;
    }
    struct plan_node *node = find_node(plan, ref->edge.table_oid, which, ref->edge.parent->orphan);
    if (!node || (node->index == 0 && which))
        node = make_node(g, ref, rule, err);
    if (!node)
        return false;
    if (node->index == 0) {
        refuse(g, ref, true);
        return true;
    }
    if (!rule_check(g->db, node, &ref->edge, err))
        return false;
    size_t e = mem_grow(plan, &node->edges, &node->edge_count);
    node->edges[e] = ref->edge;
    node->edges[e].child = node;
    node->recursive = node->recursive || ref->edge.parent == node;
    return true;
}

static bool visit(struct graph *g, struct plan_node *parent, struct error *err)
{
    struct reference *refs;
    size_t count;
    if (!references_read(g->plan, g->db, parent, &refs, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!graph_take(g, &refs[i], err))
            return false;
    return true;
}

bool graph_visit_from(struct graph *g, size_t first, struct error *err)
{
    for (size_t i = first; i < g->plan->node_count; i++)
        if (g->plan->nodes[i]->action == ACTION_DELETE && !visit(g, g->plan->nodes[i], err))
            return false;
    return true;
}

bool graph_build(struct plan *plan, struct db *db, const struct plan_request *request,
                 struct error *err)
{
    struct graph g = {.plan = plan, .db = db};
    g.refusals = mem_strdup(plan, "");
    g.detail = mem_strdup(plan, "");
    for (size_t i = 0; i < plan->policy->object_count; i++)
        if (!rule_add_object(plan, db, plan->nodes[0], &plan->policy->objects[i], err))
            return false;
    return resolve_listed(&g, err) && references_check(plan, db, err) && graph_visit_from(&g, 0, err) &&
           shared_build(&g, err) && graph_check(&g, request, err);
}
