/* Shared tables (delete_orphans): what links to their rows, what keeps one, what hangs on it, and
 * the order in which they are come to. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* References to shared tables that nothing hangs on by: sorted out once all nodes are known. */
struct pending {
    struct reference *refs;
    size_t count;
};

static bool add_table(struct graph *g, size_t rule, struct error *err)
{
    struct plan *plan = g->plan;
    const struct policy_dependent *d = &plan->policy->dependents[rule];
    struct plan_node *node = graph_add_node(plan, ACTION_DELETE_ORPHANS);
    g->used[rule] = true;
    node->table = g->listed[rule];
    node->label = node->table.label;
    node->rule = d;
    node->orphan = node;
    if (!catalog_key(node, err))
        return error_prefix(err, "%s", d->table.origin);
    return rule_apply(plan, g->db, node, err);
}

/* A node that rows are deleted from and that hangs on the root, by its table. */
static bool is_covered(const struct plan *plan, const char *oid)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (!plan->nodes[i]->orphan && plan->nodes[i]->action == ACTION_DELETE &&
            strcmp(plan->nodes[i]->table.oid, oid) == 0)
            return true;
    return false;
}

/* Do the rows that refer hang on the shared table, or do they keep its rows? What goes with the
 * root anyway keeps them until then; so does what a rule keeps. */
static bool hangs(struct graph *g, const struct reference *ref)
{
    int rule = rule_for(g, ref);
    enum policy_action action;
    if (is_covered(g->plan, ref->edge.table_oid))
        return false;
    if (rule < 0)
        return graph_follows(g->plan, ref, &action) &&
               strcmp(ref->edge.table_oid, ref->edge.parent->table.oid) != 0;
    action = g->plan->policy->dependents[rule].action;
    g->used[rule] = true;
    return action != ACTION_KEEP && action != ACTION_IGNORE;
}

static bool take_references(struct graph *g, struct plan_node *orphan, struct pending *pending,
                            struct error *err)
{
    struct reference *refs;
    size_t count;
    size_t first = g->plan->node_count;
    if (!references_read(g, orphan, &refs, &count, err))
        return false;
    partition_note(g->plan, refs, count);
    for (size_t i = 0; i < count; i++) {
        if (!hangs(g, &refs[i])) {
            size_t p = mem_grow(g->plan, &pending->refs, &pending->count);
            pending->refs[p] = refs[i];
        } else if (!graph_take(g, &refs[i], err)) {
            return false;
        }
    }
    return graph_visit_from(g, first, err);
}

static struct plan_edge *add_edge(struct plan *plan, struct plan_edge **list, size_t *count,
                                  const struct plan_edge *edge)
{
    size_t i = mem_grow(plan, list, count);
    (*list)[i] = *edge;
    return &(*list)[i];
}

/* A reference links from wherever the policy deletes rows of its table: not from via's alone, since
 * another's may be the last. */
static void take_pending(struct graph *g, const struct reference *ref)
{
    struct plan *plan = g->plan;
    struct plan_node *orphan = ref->edge.parent;
    if (strcmp(ref->edge.table_oid, orphan->table.oid) == 0) {
        add_edge(plan, &orphan->self, &orphan->self_count, &ref->edge)->child = orphan;
    } else {
        struct plan_edge *use = add_edge(plan, &orphan->uses, &orphan->use_count, &ref->edge);
        for (size_t i = 0; i < plan->node_count; i++) {
            struct plan_node *node = plan->nodes[i];
            if (!order_is_deleted(node) || strcmp(node->table.oid, ref->edge.table_oid) != 0)
                continue;
            use->child = node;
            add_edge(plan, &orphan->links, &orphan->link_count, &ref->edge)->child = node;
        }
        /* Rows of a table that the policy does not mention would keep shared rows for ever. */
        if (!use->child && !use->stated && rule_for(g, ref) < 0)
            graph_refuse(g, ref);
    }
}

static bool deletes_from(const struct plan *plan, const char *oid)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (order_is_deleted(plan->nodes[i]) && strcmp(plan->nodes[i]->table.oid, oid) == 0)
            return true;
    return false;
}

/* Finds what the policy calls via among the links. */
static bool take_via(struct graph *g, struct plan_node *orphan, struct error *err)
{
    const struct policy_dependent *d = orphan->rule;
    struct plan_table via = {0};
    bool found;
    if (!catalog_table(g->plan, g->db, d->via.value, &via, &found, err))
        return error_prefix(err, "%s", d->via.origin);
    if (!found)
        return catalog_no_table(g->db, &d->via, err);
    for (size_t i = orphan->link_count; i > 0; i--)
        if (strcmp(orphan->links[i - 1].child->table.oid, via.oid) == 0)
            orphan->parent = orphan->links[i - 1].child;
    if (orphan->parent)
        return true;
    if (!deletes_from(g->plan, via.oid))
        return error_set(err, SWEEP_USAGE, "%s: via: the policy does not delete from %s",
                         d->via.origin, via.label);
    error_set(err, SWEEP_USAGE, "%s: %s has no reference to %s", d->via.origin, via.label,
              orphan->table.label);
    return error_hint(
        err, "If the schema does not declare it, state it in the policy's \"references\".");
}

/* Gives orphan its turn after the shared tables whose rows, or what hangs on them, link to it.
 * Depth first; *path grows to the circle when there is one. */
static bool take_turn(struct plan *plan, struct plan_node *orphan, bool *open, char **path)
{
    if (orphan->turn)
        return true;
    if (open[orphan->index]) {
        *path = mem_strdup(plan, orphan->table.label);
        return false;
    }
    open[orphan->index] = true;
    for (size_t i = 0; i < orphan->link_count; i++) {
        const struct plan_edge *link = &orphan->links[i];
        if (!link->child->orphan || take_turn(plan, link->child->orphan, open, path))
            continue;
        *path = mem_check(talloc_asprintf_append(*path, ", which keeps rows of %s (%s of %s)",
                                                 orphan->table.label, link->constraint,
                                                 link->child->table.label));
        return false;
    }
    size_t i = mem_grow(plan, &plan->shared, &plan->shared_count);
    plan->shared[i] = orphan;
    orphan->turn = (int)i + 1;
    return true;
}

static bool order_tables(struct plan *plan, struct error *err)
{
    bool *open = mem_array(plan, bool, plan->node_count);
    char *path = NULL;
    for (size_t i = 0; i < plan->node_count; i++) {
        if (plan->nodes[i]->action != ACTION_DELETE_ORPHANS ||
            take_turn(plan, plan->nodes[i], open, &path))
            continue;
        error_set(
            err, SWEEP_REFUSED,
            "policy %s: shared tables reference each other in a circle, so that no order shows "
            "which of them lost their last reference",
            plan->policy->name);
        error_detail(err, "%s", path);
        return error_hint(err, "Break it: give one of these references an entry of its own, with "
                               "\"constraint:\" and the action detach.");
    }
    return true;
}

/* A shared table, or what it is linked by, may be missing where the policy says so. */
static bool is_there(struct graph *g, const struct policy_dependent *d,
                     const struct plan_table *table, bool *there, struct error *err)
{
    struct plan_table via = {0};
    *there = table->oid != NULL;
    if (!*there || !d->optional)
        return true;
    return catalog_table(g->plan, g->db, d->via.value, &via, there, err) ||
           error_prefix(err, "%s", d->via.origin);
}

bool shared_build(struct graph *g, struct error *err)
{
    struct plan *plan = g->plan;
    struct pending pending = {0};
    size_t first = plan->node_count;
    for (size_t i = 0; i < plan->policy->dependent_count; i++) {
        const struct policy_dependent *d = &plan->policy->dependents[i];
        bool there;
        if (d->action != ACTION_DELETE_ORPHANS)
            continue;
        if (!is_there(g, d, &g->listed[i], &there, err) || (there && !add_table(g, i, err)))
            return false;
        g->used[i] = true;
    }
    size_t end = plan->node_count;
    for (size_t i = first; i < end; i++)
        if (!take_references(g, plan->nodes[i], &pending, err))
            return false;
    for (size_t i = 0; i < pending.count; i++)
        take_pending(g, &pending.refs[i]);
    for (size_t i = first; i < end; i++)
        if (!take_via(g, plan->nodes[i], err))
            return false;
    return order_tables(plan, err);
}
