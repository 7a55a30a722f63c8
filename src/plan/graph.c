/* The graph of what refers to the root: nodes and edges, from references and the policy's rules. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

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

bool graph_build(struct plan *plan, struct db *db, const struct plan_request *request,
                 struct error *err)
{
    struct graph g = {.plan = plan, .db = db};
    for (size_t i = 0; i < plan->policy->object_count; i++)
        if (!rule_add_object(plan, db, plan->nodes[0], &plan->policy->objects[i], err))
            return false;
    return resolve_listed(&g, err) && references_check(plan, db, err) &&
           graph_visit_from(&g, 0, err) && shared_build(&g, err) && graph_check(&g, request, err);
}
