/* The graph of what refers to the root: nodes and edges, from references and the policy's rules. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* A referring table below this size (in 8 KiB pages) is read whole faster than anyone notices. */
enum { SMALL_TABLE_PAGES = 1024 };

struct graph {
    struct plan *plan;
    struct db *db;
    struct plan_table *listed; /* the policy's dependents, resolved; oid NULL: not there */
    bool *used;
    size_t before_orphans; /* how many nodes hang on the root */
    char *refusals; /* YAML lines that would settle what is not listed */
    char *detail;
};

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

static bool can_be_null(const struct plan_edge *edge)
{
    for (size_t i = 0; i < edge->width; i++)
        if (!edge->not_null[i])
            return true;
    return false;
}

/* Collects what the operator has to decide, with the line that would do it. */
static void refuse(struct graph *g, const struct reference *ref, bool by_constraint)
{
    const struct plan_edge *edge = &ref->edge;
    bool self = strcmp(ref->table_oid, edge->parent->table.oid) == 0;
    const char *action = self ? (can_be_null(edge) ? "detach" : "keep")
                         : edge->on_delete == 'c' ? "delete" : can_be_null(edge) ? "detach" : "keep";
    g->detail = talloc_asprintf_append(
        g->detail, "%s%s refers to %s (constraint %s, ON DELETE %s)", *g->detail ? "\n" : "",
        edge->table, self ? "itself" : edge->parent->table.label, edge->constraint,
        plan_on_delete_name(edge->on_delete));
    char *only = by_constraint ? mem_printf(g->plan, ", constraint: '%s'", edge->constraint)
                               : mem_strdup(g->plan, "");
    g->refusals = talloc_asprintf_append(g->refusals, "\n  - { table: '%s'%s, action: %s }  # or: %s%skeep",
                                         edge->table, only, action, self ? "" : "delete, ",
                                         can_be_null(edge) ? "detach, " : "");
}

static struct plan_node *add_node(struct plan *plan, enum policy_action action)
{
    struct plan_node *node = mem_new(plan, struct plan_node);
    size_t i = mem_grow(plan, &plan->nodes, &plan->node_count);
    node->index = (int)i;
    node->action = action;
    plan->nodes[i] = node;
    return node;
}

/* The policy's rule for a reference, or -1: one for its constraint before one for its table. */
static int rule_for(const struct graph *g, const char *oid, const char *constraint)
{
    int general = -1;
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++) {
        const struct policy_dependent *d = &g->plan->policy->dependents[i];
        if (!g->listed[i].oid || strcmp(g->listed[i].oid, oid) != 0 ||
            d->action == ACTION_DELETE_ORPHANS)
            continue;
        if (!d->constraint.value)
            general = (int)i;
        else if (strcmp(d->constraint.value, constraint) == 0)
            return (int)i;
    }
    return general;
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

/* That the value can be put into the column: as its type reads it. */
static bool check_value(struct db *db, const struct plan_node *node, const struct plan_column *column,
                        const char *value, const char *origin, struct error *err)
{
    if (!value && column->not_null)
        return error_set(err, SWEEP_USAGE, "%s: column %s of %s may not be null", origin, column->ident,
                         node->table.label);
    char *probe = mem_printf(db, "SELECT $1::%s IS NULL", column->type);
    bool ok = db_query(db, probe, probe, 1, &value, NULL, err);
    talloc_free(probe);
    return ok || error_prefix(err, "%s: column %s of %s", origin, column->ident, node->table.label);
}

static bool check_action(struct db *db, const struct plan_node *node, const struct plan_edge *edge,
                         struct error *err)
{
    const struct policy_dependent none = {0};
    const struct policy_dependent *rule = node->rule ? node->rule : &none;
    const char *origin = rule->table.origin ? rule->table.origin : "the policy";
    if (node->action == ACTION_DETACH && !can_be_null(edge)) {
        error_set(err, SWEEP_USAGE, "%s: %s cannot be detached: no column of its reference (%s) may be null",
                  origin, node->table.label, edge->constraint);
        return error_hint(err, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL; or choose another action.",
                          node->table.ident, edge->columns[0]);
    }
    if (node->action == ACTION_REASSIGN && edge->width != 1)
        return error_set(err, SWEEP_USAGE, "%s: %s cannot be reassigned: its reference (%s) has several columns",
                         origin, node->table.label, edge->constraint);
    if (node->action == ACTION_REASSIGN &&
        !check_value(db, node, catalog_column(&node->table, edge->names[0]), rule->to.value,
                     rule->to.origin, err))
        return false;
    if (node->action == ACTION_IGNORE && strchr("cnd", edge->on_delete)) {
        error_set(err, SWEEP_USAGE,
                  "%s: %s cannot be ignored: constraint %s says ON DELETE %s, so its rows would change",
                  origin, node->table.label, edge->constraint, plan_on_delete_name(edge->on_delete));
        return error_hint(err, "Say what should happen to them: delete, detach or keep.");
    }
    if (node->action == ACTION_DELETE && strcmp(node->table.oid, edge->parent->table.oid) == 0) {
        error_set(err, SWEEP_USAGE, "%s: %s refers to itself (%s), and a row may be younger than the one that "
                  "it refers to", origin, node->table.label, edge->constraint);
        return error_hint(err, "Choose detach or keep for this reference.");
    }
    return true;
}

static bool add_assignment(struct plan_node *node, struct plan *plan, struct db *db,
                           const struct policy_assignment *set, struct error *err)
{
    const char *name = set->column;
    const char *value = set->value;
    const char *origin = set->origin;
    const struct plan_column *column = catalog_column(&node->table, name);
    if (!column) {
        error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", origin, node->table.label, name);
        return error_hint(err, "ALTER TABLE %s ADD COLUMN %s text; or set another column.",
                          node->table.ident, name);
    }
    if (!check_value(db, node, column, value, origin, err))
        return false;
    size_t i = mem_grow(plan, &node->set, &node->set_count);
    node->set[i] = (struct plan_assignment){column->ident, column->type, column->name, value};
    return true;
}

static bool add_object(struct plan_node *node, struct plan *plan, const struct setting *name,
                       struct error *err)
{
    const struct plan_column *column = catalog_column(&node->table, name->value);
    if (!column)
        return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", name->origin,
                         node->table.label, name->value);
    size_t names = node->object_count;
    mem_grow(plan, &node->object_names, &names);
    size_t i = mem_grow(plan, &node->objects, &node->object_count);
    node->objects[i] = column->ident;
    node->object_names[i] = column->name;
    plan->has_objects = true;
    return true;
}

/* What the rule says about the columns of its table. */
static bool apply_rule(struct plan *plan, struct db *db, struct plan_node *node, struct error *err)
{
    const struct policy_dependent *rule = node->rule;
    for (size_t i = 0; rule && i < rule->set_count; i++)
        if (!add_assignment(node, plan, db, &rule->set[i], err))
            return false;
    for (size_t i = 0; rule && i < rule->object_count; i++)
        if (!add_object(node, plan, &rule->objects[i], err))
            return false;
    return true;
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
        add_node(plan, rule < 0 ? ACTION_DELETE : plan->policy->dependents[rule].action);
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
    return apply_rule(plan, g->db, node, err) ? node : NULL;
}

/* Takes one reference into the plan, or notes that nobody decided about it. */
static bool take_reference(struct graph *g, const struct reference *ref, struct error *err)
{
    struct plan *plan = g->plan;
    int rule = rule_for(g, ref->table_oid, ref->edge.constraint);
    bool cascade = plan->policy->unlisted == UNLISTED_CASCADE && ref->edge.on_delete == 'c' &&
                   strcmp(ref->table_oid, ref->edge.parent->table.oid) != 0;
    const struct policy_dependent *which = rule < 0 ? NULL : &plan->policy->dependents[rule];
    /* What the policy does not state needs no decision where it is the policy that states the reference. */
    if (!which && (ref->edge.stated || !cascade)) {
        if (!ref->edge.stated)
            refuse(g, ref, strcmp(ref->table_oid, plan->nodes[0]->table.oid) == 0);
        return true;
    }
    struct plan_node *node = find_node(plan, ref->table_oid, which, ref->edge.parent->orphan);
    if (!node || (node->index == 0 && which))
        node = make_node(g, ref, rule, err);
    if (!node)
        return false;
    if (node->index == 0) {
        refuse(g, ref, true);
        return true;
    }
    if (!check_action(g->db, node, &ref->edge, err))
        return false;
    size_t e = mem_grow(plan, &node->edges, &node->edge_count);
    node->edges[e] = ref->edge;
    node->edges[e].child = node;
    return true;
}

static bool visit(struct graph *g, struct plan_node *parent, struct error *err)
{
    struct reference *refs;
    size_t count;
    if (!references_read(g->plan, g->db, parent, &refs, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!take_reference(g, &refs[i], err))
            return false;
    return true;
}

static bool visit_from(struct graph *g, size_t first, struct error *err)
{
    for (size_t i = first; i < g->plan->node_count; i++)
        if (g->plan->nodes[i]->action == ACTION_DELETE && !visit(g, g->plan->nodes[i], err))
            return false;
    return true;
}

/* A node that rows are deleted from and that hangs on the root, by its table. */
static struct plan_node *covered_node(const struct graph *g, const char *oid)
{
    for (size_t i = 0; i < g->before_orphans; i++)
        if (g->plan->nodes[i]->action == ACTION_DELETE && strcmp(g->plan->nodes[i]->table.oid, oid) == 0)
            return g->plan->nodes[i];
    return NULL;
}

/* A reference to a shared table: it keeps its row from going, links it to what goes, or hangs on it. */
static bool take_shared_reference(struct graph *g, struct plan_node *orphan, const char *via_oid,
                                  struct reference *ref, struct error *err)
{
    struct plan_node *covered = covered_node(g, ref->table_oid);
    int rule = rule_for(g, ref->table_oid, ref->edge.constraint);
    bool hangs = !covered && rule >= 0 && strcmp(ref->table_oid, orphan->table.oid) != 0 &&
                 g->plan->policy->dependents[rule].action != ACTION_KEEP &&
                 g->plan->policy->dependents[rule].action != ACTION_IGNORE;
    if (hangs)
        return take_reference(g, ref, err);
    ref->edge.child = covered;
    size_t u = mem_grow(g->plan, &orphan->uses, &orphan->use_count);
    orphan->uses[u] = ref->edge;
    if (!ref->edge.indexed)
        plan_note(g->plan, "no index on %s (%s): finding out whether a row of %s is still used reads the whole table",
                  ref->edge.table, ref->edge.columns[0], orphan->table.label);
    /* Not the rows of via alone: it may be another of the policy's tables whose reference is the last. */
    if (covered || strcmp(ref->table_oid, via_oid) == 0) {
        size_t l = mem_grow(g->plan, &orphan->links, &orphan->link_count);
        orphan->links[l] = ref->edge;
    }
    return true;
}

static bool take_orphans(struct graph *g, size_t rule, struct error *err)
{
    struct plan *plan = g->plan;
    const struct policy_dependent *d = &plan->policy->dependents[rule];
    struct plan_table via = {0};
    struct reference *refs;
    size_t count;
    bool found;
    g->used[rule] = true;
    if (!catalog_table(plan, g->db, d->via.value, &via, &found, err))
        return error_prefix(err, "%s", d->via.origin);
    if (!found)
        return d->optional || catalog_no_table(g->db, &d->via, err);
    struct plan_node *from = covered_node(g, via.oid);
    if (!from)
        return error_set(err, SWEEP_USAGE, "%s: via: the policy does not delete from %s", d->via.origin,
                         via.label);
    struct plan_node *node = add_node(plan, ACTION_DELETE_ORPHANS);
    node->table = g->listed[rule];
    node->label = node->table.label;
    node->rule = d;
    node->parent = from;
    node->orphan = node;
    node->key = catalog_key(plan, &node->table, &node->key_count);
    if (node->key_count == 0)
        return error_set(err, SWEEP_USAGE, "%s: table %s has no primary key", d->table.origin, node->table.label);
    size_t first = plan->node_count;
    if (!apply_rule(plan, g->db, node, err) || !references_read(plan, g->db, node, &refs, &count, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (!take_shared_reference(g, node, via.oid, &refs[i], err))
            return false;
    bool linked = false;
    for (size_t i = 0; i < node->link_count; i++)
        linked = linked || node->links[i].child == from;
    if (!linked) {
        error_set(err, SWEEP_USAGE, "%s: %s has no reference to %s", d->via.origin, via.label, node->table.label);
        return error_hint(err, "If the schema does not declare it, state it in the policy's \"references\".");
    }
    return visit_from(g, first, err);
}

static bool check_unused(struct graph *g, struct error *err)
{
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++) {
        const struct policy_dependent *d = &g->plan->policy->dependents[i];
        if (g->used[i] || !g->listed[i].oid)
            continue;
        error_set(err, SWEEP_USAGE, "%s: no reference%s%s of %s leads to a table that this policy deletes from",
                  d->table.origin, d->constraint.value ? " " : "",
                  d->constraint.value ? d->constraint.value : "", g->listed[i].label);
        return error_hint(err, "Take the entry out, or state the reference in the policy's \"references\".");
    }
    return true;
}

static bool check_refusals(struct graph *g, struct error *err)
{
    if (!*g->detail)
        return true;
    const struct policy *policy = g->plan->policy;
    error_set(err, SWEEP_REFUSED,
              "policy %s does not say what happens to rows that refer to those it deletes",
              policy->name);
    error_detail(err, "%s", g->detail);
    return error_hint(err,
                      "Nothing was deleted. Decide in a policy of your own (\"pgsweep show %s > "
                      "DIR/%s.yaml\", then --policy-dir DIR), under dependents:%s",
                      policy->name, policy->name, g->refusals);
}

/* What the columns alone do not tell about rows that stay (a column that is set twice, or generated) the
 * server finds as it parses the statement. */
static bool check_updates(struct plan *plan, struct db *db, struct error *err)
{
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        bool updates = node->action == ACTION_DETACH || node->action == ACTION_REASSIGN;
        for (size_t e = 0; updates && e < node->edge_count; e++) {
            PQExpBuffer sql = createPQExpBuffer();
            plan_append_step(sql, plan, node, &node->edges[e], true);
            char *text = buffer_take(plan, sql);
            if (!db_check(db, text, err))
                return error_prefix(err, "%s: %s cannot be updated", node->rule->table.origin,
                                    node->table.label);
            talloc_free(text);
        }
    }
    return true;
}

static bool check_index(struct plan *plan, const struct plan_node *node, const struct plan_edge *edge,
                        const struct plan_request *request, struct error *err)
{
    char *columns = mem_strdup(plan, edge->columns[0]);
    for (size_t c = 1; c < edge->width; c++)
        columns = talloc_asprintf_append(columns, ", %s", edge->columns[c]);
    char *create = mem_printf(plan, "CREATE INDEX CONCURRENTLY ON %s (%s);", node->table.ident, columns);
    if (edge->pages < SMALL_TABLE_PAGES || !request->live || request->allow_missing_index) {
        plan_note(plan, "no index on %s (%s), where %s refers from: every deletion reads the whole table; %s",
                  node->table.label, columns, edge->constraint, create);
        return true;
    }
    error_set(err, SWEEP_REFUSED, "%s is large and has no index on (%s), where %s refers from",
              node->table.label, columns, edge->constraint);
    error_detail(err, "Each deleted row of %s would read the whole of %s.", edge->parent->table.label,
                 node->table.label);
    return error_hint(err, "%s Or run with --allow-missing-index.", create);
}

static bool check_indexes(struct plan *plan, const struct plan_request *request, struct error *err)
{
    for (size_t i = 1; i < plan->node_count; i++)
        for (size_t e = 0; e < plan->nodes[i]->edge_count; e++)
            if (!plan->nodes[i]->edges[e].indexed &&
                !check_index(plan, plan->nodes[i], &plan->nodes[i]->edges[e], request, err))
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
        if (!add_object(plan->nodes[0], plan, &plan->policy->objects[i], err))
            return false;
    if (!resolve_listed(&g, err) || !references_check(plan, db, err) || !visit_from(&g, 0, err))
        return false;
    g.before_orphans = plan->node_count;
    for (size_t i = 0; i < plan->policy->dependent_count; i++)
        if (plan->policy->dependents[i].action == ACTION_DELETE_ORPHANS && g.listed[i].oid &&
            !take_orphans(&g, i, err))
            return false;
    return check_refusals(&g, err) && check_unused(&g, err) && order_build(plan, err) &&
           check_updates(plan, db, err) && check_indexes(plan, request, err);
}
