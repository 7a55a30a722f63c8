/* References that the policy says nothing about: refused, with the lines that would decide. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

void graph_refuse(struct graph *g, const struct reference *ref)
{
    size_t i = mem_grow(g->plan, &g->undecided, &g->undecided_count);
    g->undecided[i] = *ref;
}

/* The table, or the whole that it is a partition of. */
static const char *top_of(const struct plan *plan, const char *oid)
{
    struct table_name table = {oid, NULL};
    while (partition_parent(plan, table.oid, &table))
        ;
    return table.oid;
}

/* For each foreign key: the referencing and the referred table, and its columns. */
struct key {
    const char *from, *to, *columns;
    bool cascades;
};

static size_t list_keys(struct plan *plan, struct key **keys)
{
    const struct db_rows *rows = catalog_foreign_keys(plan);
    const char *oid = "";
    size_t count = 0;
    for (int row = 0; row < db_rows_count(rows); row++) {
        const char *column = db_rows_get(rows, row, 5);
        if (count > 0 && strcmp(db_rows_get(rows, row, 0), oid) == 0) {
            (*keys)[count - 1].columns =
                mem_printf(plan, "%s\n%s", (*keys)[count - 1].columns, column);
            continue;
        }
        oid = db_rows_get(rows, row, 0);
        size_t i = mem_grow(plan, keys, &count);
        (*keys)[i] = (struct key){top_of(plan, db_rows_get(rows, row, 3)),
                                  top_of(plan, db_rows_get(rows, row, 8)), column,
                                  db_rows_get(rows, row, 2)[0] == 'c'};
    }
    return count;
}

/* The tables that the policy deletes from, and those that it may once the cascades to them are
 * listed too. */
static void list_deleted(struct graph *g, const struct key *keys, size_t count,
                         struct name_set *deleted)
{
    struct plan *plan = g->plan;
    for (size_t i = 0; i < plan->node_count; i++)
        if (order_is_deleted(plan->nodes[i]))
            name_set_add(plan, deleted, top_of(plan, plan->nodes[i]->table.oid));
    for (size_t before = 0; before < deleted->count;) {
        before = deleted->count;
        for (size_t k = 0; k < count; k++)
            if (keys[k].cascades && name_set_has(deleted, keys[k].to))
                name_set_add(plan, deleted, keys[k].from);
    }
}

/* A rule for the table as a whole would decide about other keys of it, too. */
static bool needs_constraint(struct graph *g, const struct key *keys, size_t count,
                             const struct name_set *deleted, const struct reference *ref)
{
    const char *table = top_of(g->plan, ref->edge.table_oid);
    const char *first = NULL;
    for (size_t k = 0; k < count; k++) {
        if (strcmp(keys[k].from, table) != 0 || !name_set_has(deleted, keys[k].to))
            continue;
        const char *key = mem_printf(g->plan, "%s\n%s", keys[k].to, keys[k].columns);
        if (first && strcmp(first, key) != 0)
            return true;
        first = key;
    }
    return strcmp(ref->edge.table_oid, g->plan->nodes[0]->table.oid) == 0;
}

/* text within 'single quotes' of YAML. */
static const char *yaml_quoted(struct plan *plan, const char *text)
{
    PQExpBuffer out = createPQExpBuffer();
    for (; *text; text++)
        appendPQExpBuffer(out, *text == '\'' ? "''" : "%c", *text);
    return buffer_take(plan, out);
}

/* The action that comes closest to what the constraint does, then the others that can be chosen. */
static void append_line(PQExpBuffer out, struct graph *g, const struct reference *ref,
                        bool by_constraint)
{
    const struct plan_edge *edge = &ref->edge;
    /* Of the policy's own table, rows go only with others of it. */
    bool root =
        strcmp(edge->table_oid, g->plan->nodes[0]->table.oid) == 0 && edge->parent->index != 0;
    bool shared = edge->parent->action == ACTION_DELETE_ORPHANS;
    bool self = strcmp(edge->table_oid, edge->parent->table.oid) == 0;
    bool can_detach = rule_can_detach(edge);
    bool detach = can_detach && (!shared || edge->on_delete == 'n' || edge->on_delete == 'd');
    const char *action = edge->on_delete == 'c' && !root ? "delete" : detach ? "detach" : "keep";
    const char *others[] = {"delete", "detach", "keep"};
    const bool possible[] = {!root && !(shared && self), can_detach, true};
    const char *separator = "  # or: ";
    appendPQExpBuffer(out, "\n  - { table: '%s'", yaml_quoted(g->plan, edge->table));
    if (by_constraint)
        appendPQExpBuffer(out, ", constraint: '%s'", yaml_quoted(g->plan, edge->constraint));
    appendPQExpBuffer(out, ", action: %s }", action);
    for (size_t i = 0; i < 3; i++)
        if (possible[i] && strcmp(others[i], action) != 0) {
            appendPQExpBuffer(out, "%s%s", separator, others[i]);
            separator = ", ";
        }
}

static void append_detail(PQExpBuffer out, const struct reference *ref)
{
    const struct plan_edge *edge = &ref->edge;
    bool self = strcmp(edge->table_oid, edge->parent->table.oid) == 0;
    appendPQExpBuffer(out, "%s%s refers to %s (constraint %s, ON DELETE %s)",
                      out->len > 0 ? "\n" : "", edge->table,
                      self ? "itself" : edge->parent->table.label, edge->constraint,
                      plan_on_delete_name(edge->on_delete));
}

bool policy_is_built_in(const struct policy *policy)
{
    return strncmp(policy->source, "built-in", strlen("built-in")) == 0;
}

bool graph_check_undecided(struct graph *g, struct error *err)
{
    const struct policy *policy = g->plan->policy;
    struct key *keys = NULL;
    struct name_set deleted = {0};
    PQExpBuffer detail = createPQExpBuffer(), lines = createPQExpBuffer();
    size_t count = g->undecided_count > 0 ? list_keys(g->plan, &keys) : 0;
    list_deleted(g, keys, count, &deleted);
    for (size_t i = 0; i < g->undecided_count; i++) {
        append_detail(detail, &g->undecided[i]);
        append_line(lines, g, &g->undecided[i],
                    needs_constraint(g, keys, count, &deleted, &g->undecided[i]));
    }
    if (g->undecided_count > 0) {
        error_set(err, SWEEP_REFUSED,
                  "policy %s does not say what happens to rows that refer to those it deletes",
                  policy->name);
        error_detail(err, "%s", detail->data);
        /* The file is the operator's own: "show X > X.yaml" would empty it. */
        if (policy_is_built_in(policy))
            error_hint(err,
                       "Decide in a policy of your own (\"pgsweep show %s > DIR/%s.yaml\", then "
                       "--policy-dir DIR), under dependents:%s",
                       policy->name, policy->name, lines->data);
        else
            error_hint(err, "Decide in %s, under dependents:%s", policy->source, lines->data);
    }
    destroyPQExpBuffer(detail);
    destroyPQExpBuffer(lines);
    return g->undecided_count == 0;
}
