/* The graph of what refers to the root, from the catalog's foreign keys and the policy's rules. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"

/* A referring table below this size (in 8 KiB pages) is read whole faster than anyone notices. */
enum { SMALL_TABLE_PAGES = 1024 };

/* A foreign key as the catalog tells it. */
struct reference {
    struct plan_edge edge;
    const char *table_oid;
    const char *table; /* quoted, with its schema */
};

struct graph {
    struct plan *plan;
    struct db *db;
    struct plan_table *listed; /* the policy's dependents, resolved; oid NULL: not there */
    bool *used;
    char *refusals; /* YAML lines that would settle what is not listed; NULL: nothing */
    char *detail;
    char *circles; /* references that lead back to a table that is being deleted from */
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
            if (g->listed[j].oid && strcmp(g->listed[j].oid, g->listed[i].oid) == 0)
                return error_set(err, SWEEP_USAGE, "%s: table %s is listed twice", d->table.origin,
                                 g->listed[i].label);
    }
    return true;
}

/* One row for each column pair; rows of one constraint follow each other. */
static size_t read_reference(struct graph *g, const struct db_rows *rows, int row,
                             struct plan_node *parent, struct reference *ref)
{
    int end = row;
    const char *oid = db_rows_get(rows, row, 0);
    while (end < db_rows_count(rows) && strcmp(db_rows_get(rows, end, 0), oid) == 0)
        end++;
    size_t width = (size_t)(end - row);
    struct plan_edge *edge = &ref->edge;
    edge->parent = parent;
    edge->constraint = db_rows_get(rows, row, 1);
    edge->on_delete = db_rows_get(rows, row, 2)[0];
    edge->width = width;
    edge->columns = mem_array(g->plan, const char *, width);
    edge->names = mem_array(g->plan, const char *, width);
    edge->referred = mem_array(g->plan, const char *, width);
    edge->not_null = mem_array(g->plan, bool, width);
    for (size_t i = 0; i < width; i++) {
        int r = row + (int)i;
        edge->names[i] = db_rows_get(rows, r, 5);
        edge->columns[i] = db_quote_ident(g->db, g->plan, edge->names[i]);
        edge->referred[i] = db_quote_ident(g->db, g->plan, db_rows_get(rows, r, 6));
        edge->not_null[i] = db_rows_bool(rows, r, 7);
    }
    edge->indexed = db_rows_bool(rows, row, 8);
    edge->pages = db_rows_int(rows, row, 9);
    ref->table_oid = db_rows_get(rows, row, 3);
    ref->table = db_rows_get(rows, row, 4);
    return width;
}

static bool can_be_null(const struct plan_edge *edge)
{
    for (size_t i = 0; i < edge->width; i++)
        if (!edge->not_null[i])
            return true;
    return false;
}

/* Collects what the operator has to decide, with the line that would do it. */
static void refuse(struct graph *g, const struct reference *ref)
{
    const struct plan_edge *edge = &ref->edge;
    const char *action = edge->on_delete == 'c' ? "delete" : can_be_null(edge) ? "detach" : "keep";
    g->detail = talloc_asprintf_append(
        g->detail, "%s%s refers to %s (constraint %s, ON DELETE %s)", *g->detail ? "\n" : "", ref->table,
        edge->parent->table.label, edge->constraint, plan_on_delete_name(edge->on_delete));
    g->refusals = talloc_asprintf_append(
        g->refusals, "\n  - { table: '%s', action: %s }%*s# or: delete%s, keep, ignore (with a reason)",
        ref->table, action, 2, "", can_be_null(edge) ? ", detach" : "");
}

/* A reference among the rows that go: no entry of a policy settles in which order they could. */
static void note_circle(struct graph *g, const struct reference *ref)
{
    const struct plan_edge *edge = &ref->edge;
    bool self = strcmp(ref->table_oid, edge->parent->table.oid) == 0;
    g->circles = talloc_asprintf_append(
        g->circles, "%s%s refers to %s (constraint %s, ON DELETE %s)", *g->circles ? "\n" : "", ref->table,
        self ? "itself" : edge->parent->table.label, edge->constraint,
        plan_on_delete_name(edge->on_delete));
}

static struct plan_node *find_node(const struct plan *plan, const char *oid)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (strcmp(plan->nodes[i]->table.oid, oid) == 0)
            return plan->nodes[i];
    return NULL;
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

/* The policy's rule for a table, or -1. */
static int rule_for(const struct graph *g, const char *oid)
{
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++)
        if (g->listed[i].oid && strcmp(g->listed[i].oid, oid) == 0)
            return (int)i;
    return -1;
}

static bool check_action(const struct plan_node *node, const struct plan_edge *edge,
                         struct error *err)
{
    const struct policy_dependent *rule = node->rule;
    if (node->action == ACTION_DETACH && !can_be_null(edge)) {
        error_set(err, SWEEP_USAGE, "%s: %s cannot be detached: no column of constraint %s may be null",
                  rule->table.origin, node->table.label, edge->constraint);
        return error_hint(err, "ALTER TABLE %s ALTER COLUMN %s DROP NOT NULL; or choose another action.",
                          node->table.ident, edge->columns[0]);
    }
    if (node->action == ACTION_IGNORE && strchr("cnd", edge->on_delete)) {
        error_set(err, SWEEP_USAGE,
                  "%s: %s cannot be ignored: constraint %s says ON DELETE %s, so its rows would change",
                  rule->table.origin, node->table.label, edge->constraint,
                  plan_on_delete_name(edge->on_delete));
        return error_hint(err, "Say what should happen to them: delete, detach or keep.");
    }
    return true;
}

/* That the value can be put into the column: as its type reads it. */
static bool check_value(struct db *db, const struct plan_node *node, const struct plan_column *column,
                        const struct policy_assignment *set, struct error *err)
{
    if (!set->value && column->not_null)
        return error_set(err, SWEEP_USAGE, "%s: column %s of %s may not be null", set->origin,
                         column->ident, node->table.label);
    char *probe = mem_printf(db, "SELECT $1::%s IS NULL", column->type);
    bool ok = db_query(db, probe, probe, 1, &set->value, NULL, err);
    talloc_free(probe);
    return ok || error_prefix(err, "%s: column %s of %s", set->origin, column->ident, node->table.label);
}

static bool check_set(struct db *db, const struct plan_node *node, struct error *err)
{
    for (size_t i = 0; node->rule && i < node->rule->set_count; i++) {
        const struct policy_assignment *set = &node->rule->set[i];
        const struct plan_column *column = catalog_column(&node->table, set->column);
        if (!column) {
            error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", set->origin,
                      node->table.label, set->column);
            return error_hint(err, "ALTER TABLE %s ADD COLUMN %s text; or set another column.",
                              node->table.ident, set->column);
        }
        if (!check_value(db, node, column, set, err))
            return false;
    }
    return true;
}

/* What the columns alone do not tell about a detachment (a column that is set twice, or generated) the
 * server finds as it parses the statement. */
static bool check_detachments(struct plan *plan, struct db *db, struct error *err)
{
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        for (size_t e = 0; node->action == ACTION_DETACH && e < node->edge_count; e++) {
            PQExpBuffer sql = createPQExpBuffer();
            plan_append_step(sql, plan, node, &node->edges[e]);
            char *text = buffer_take(plan, sql);
            if (!db_check(db, text, err))
                return error_prefix(err, "%s: %s cannot be detached", node->rule->table.origin,
                                    node->table.label);
            talloc_free(text);
        }
    }
    return true;
}

/* Takes one foreign key into the plan, or notes that nobody decided about it. */
static bool take_reference(struct graph *g, const struct reference *ref, struct error *err)
{
    struct plan *plan = g->plan;
    int rule = rule_for(g, ref->table_oid);
    bool cascade = plan->policy->unlisted == UNLISTED_CASCADE && ref->edge.on_delete == 'c';
    struct plan_node *node = find_node(plan, ref->table_oid);
    if (node == ref->edge.parent || (node && node->index == 0)) {
        note_circle(g, ref);
        return true;
    }
    if (!node && rule < 0 && !cascade) {
        refuse(g, ref);
        return true;
    }
    if (!node) {
        node = add_node(plan, rule < 0 ? ACTION_DELETE : plan->policy->dependents[rule].action);
        node->parent = ref->edge.parent;
        bool found = true;
        if (rule >= 0) {
            node->table = g->listed[rule];
            node->rule = &plan->policy->dependents[rule];
            g->used[rule] = true;
        } else if (!catalog_table(plan, g->db, ref->table, &node->table, &found, err) || !found) {
            return found ? false : error_set(err, SWEEP_USAGE, "table %s has gone", ref->table);
        }
        if (!check_set(g->db, node, err))
            return false;
    }
    if (!check_action(node, &ref->edge, err))
        return false;
    size_t e = mem_grow(plan, &node->edges, &node->edge_count);
    node->edges[e] = ref->edge;
    return true;
}

static bool visit(struct graph *g, struct plan_node *parent, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {parent->table.oid};
    if (!db_query(g->db, g->plan, embedded_text("sql/catalog_foreign_keys.sql"), 1, params, &rows,
                  err))
        return false;
    for (int row = 0; row < db_rows_count(rows);) {
        struct reference ref = {0};
        row += (int)read_reference(g, rows, row, parent, &ref);
        if (!take_reference(g, &ref, err))
            return false;
    }
    return true;
}

static bool check_unused(struct graph *g, struct error *err)
{
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++) {
        if (g->used[i] || !g->listed[i].oid)
            continue;
        error_set(err, SWEEP_USAGE, "%s: no foreign key of %s refers to a table that this policy deletes from",
                  g->plan->policy->dependents[i].table.origin, g->listed[i].label);
        return error_hint(err, "Take the entry out, or add the foreign key to the schema.");
    }
    return true;
}

static bool check_circles(struct graph *g, struct error *err)
{
    if (!*g->circles)
        return true;
    error_set(err, SWEEP_REFUSED, "the references between the rows that policy %s deletes form a circle",
              g->plan->policy->name);
    error_detail(err, "%s", g->circles);
    return error_hint(err, "Nothing was deleted. pgsweep does not delete along such a reference yet, and no "
                           "entry under dependents changes that.");
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

/* Repeatedly lifts a node above everything it refers to; more rounds than nodes mean a cycle. */
static bool order_nodes(struct plan *plan, struct error *err)
{
    bool changed = true;
    for (size_t round = 0; changed; round++) {
        changed = false;
        for (size_t i = 1; i < plan->node_count; i++) {
            struct plan_node *node = plan->nodes[i];
            for (size_t e = 0; e < node->edge_count; e++) {
                if (node->order > node->edges[e].parent->order)
                    continue;
                node->order = node->edges[e].parent->order + 1;
                changed = true;
                if (round > plan->node_count)
                    return error_set(err, SWEEP_REFUSED,
                                     "the references between %s and %s form a circle: no order of "
                                     "deletion satisfies them",
                                     node->table.label, node->edges[e].parent->table.label);
            }
        }
    }
    return true;
}

static bool check_indexes(struct plan *plan, const struct plan_request *request, struct error *err)
{
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        for (size_t e = 0; e < node->edge_count; e++) {
            const struct plan_edge *edge = &node->edges[e];
            if (edge->indexed)
                continue;
            char *columns = mem_strdup(plan, edge->columns[0]);
            for (size_t c = 1; c < edge->width; c++)
                columns = talloc_asprintf_append(columns, ", %s", edge->columns[c]);
            char *create = mem_printf(plan, "CREATE INDEX CONCURRENTLY ON %s (%s);",
                                      node->table.ident, columns);
            if (edge->pages < SMALL_TABLE_PAGES || !request->live || request->allow_missing_index) {
                plan_note(plan, "no index on %s (%s), where constraint %s refers from: every deletion "
                          "reads the whole table; %s", node->table.label, columns, edge->constraint,
                          create);
                continue;
            }
            error_set(err, SWEEP_REFUSED,
                      "%s is large and has no index on (%s), where constraint %s refers from",
                      node->table.label, columns, edge->constraint);
            error_detail(err, "Each deleted row of %s would read the whole of %s.",
                         edge->parent->table.label, node->table.label);
            return error_hint(err, "%s Or run with --allow-missing-index.", create);
        }
    }
    return true;
}

bool graph_build(struct plan *plan, struct db *db, const struct plan_request *request,
                 struct error *err)
{
    struct graph g = {.plan = plan, .db = db};
    g.refusals = mem_strdup(plan, "");
    g.detail = mem_strdup(plan, "");
    g.circles = mem_strdup(plan, "");
    if (!resolve_listed(&g, err))
        return false;
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->action == ACTION_DELETE && !visit(&g, plan->nodes[i], err))
            return false;
    return check_circles(&g, err) && check_refusals(&g, err) && check_unused(&g, err) && order_nodes(plan, err) &&
           check_detachments(plan, db, err) && check_indexes(plan, request, err);
}

static int compare_order(const void *a, const void *b)
{
    const struct plan_node *x = *(const struct plan_node *const *)a;
    const struct plan_node *y = *(const struct plan_node *const *)b;
    bool detach_x = x->action == ACTION_DETACH;
    bool detach_y = y->action == ACTION_DETACH;
    if (detach_x != detach_y)
        return detach_x ? -1 : 1;
    return x->order != y->order ? y->order - x->order : x->index - y->index;
}

const struct plan_node **plan_execution_order(const void *ctx, const struct plan *plan,
                                              size_t *count)
{
    const struct plan_node **nodes = mem_array(ctx, const struct plan_node *, plan->node_count);
    *count = 0;
    for (size_t i = 1; i < plan->node_count; i++)
        if (plan->nodes[i]->action == ACTION_DELETE || plan->nodes[i]->action == ACTION_DETACH)
            nodes[(*count)++] = plan->nodes[i];
    qsort(nodes, *count, sizeof *nodes, compare_order);
    return nodes;
}
