/* What a rule of the policy says about a reference and its table, checked against the schema. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

const char *rule_detached(const struct plan_edge *edge, size_t i)
{
    if (!edge->set_on_delete[i] || (edge->not_null[i] && !edge->by_default))
        return NULL;
    return edge->by_default ? "DEFAULT" : "NULL";
}

bool rule_can_detach(const struct plan_edge *edge)
{
    size_t set = 0;
    for (size_t i = 0; i < edge->width; i++)
        set += rule_detached(edge, i) != NULL;
    return edge->all_or_none ? set == edge->width : set > 0;
}

int rule_for(const struct graph *g, const struct reference *ref)
{
    int general = -1;
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++) {
        const struct policy_dependent *d = &g->plan->policy->dependents[i];
        if (!g->listed[i].oid || strcmp(g->listed[i].oid, ref->edge.table_oid) != 0 ||
            d->action == ACTION_DELETE_ORPHANS)
            continue;
        if (!d->constraint.value)
            general = (int)i;
        else if (name_set_has(&ref->constraints, d->constraint.value))
            return (int)i;
    }
    return general;
}

/* That the value can be put into the column, as an UPDATE by hand would: converted by assignment,
 * never cut off. */
static bool check_value(struct db *db, const struct plan_node *node,
                        const struct plan_column *column, const char *value, const char *origin,
                        struct error *err)
{
    if (!value && column->not_null)
        return error_set(err, SWEEP_USAGE, "%s: column %s of %s may not be null", origin,
                         column->ident, node->table.label);
    char *probe =
        template_fill(db, "sql/catalog.sql", "fits",
                      TEMPLATE_SLOTS({"table", node->table.ident}, {"column", column->ident}));
    struct db_question question = {.sql = probe, .nparams = 1, .params = &value};
    bool ok = db_ask_one_state(db, probe, &question, 1, 0, err);
    talloc_free(probe);
    /* A dry run may do without the privilege to update; whoever lacks it for a live run is told by
     * privileges_check. */
    if (!ok && sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE)) {
        error_clear(err);
        ok = true;
    }
    return ok || error_prefix(err, "%s: column %s of %s", origin, column->ident, node->table.label);
}

/* What becomes of a row along a reference to a row of its own table. */
static bool check_self(struct plan_node *node, const struct plan_edge *edge, const char *origin,
                       struct error *err)
{
    if (strcmp(node->table.oid, edge->parent->table.oid) != 0)
        return true;
    const char *why = edge->parent->action == ACTION_DELETE_ORPHANS
                          ? "be in use when the one that it refers to is not"
                      : edge->shared ? "refer to several at once"
                                     : NULL;
    if (why) {
        error_set(err, SWEEP_USAGE, "%s: %s refers to itself (%s), and a row may %s", origin,
                  node->table.label, edge->constraint, why);
        return error_hint(err, "Choose detach or keep for this reference.");
    }
    return catalog_key(node, err) ||
           error_prefix(err, "%s: it refers to itself (%s)", origin, edge->constraint);
}

bool rule_check(struct db *db, struct plan_node *node, const struct plan_edge *edge,
                struct error *err)
{
    const struct policy_dependent none = {0};
    const struct policy_dependent *rule = node->rule ? node->rule : &none;
    const char *origin = rule->table.origin ? rule->table.origin : "the policy";
    if (node->action == ACTION_DETACH && node->rule && !rule_can_detach(edge)) {
        error_set(err, SWEEP_USAGE,
                  "%s: %s cannot be detached: no column of its reference (%s) may be null", origin,
                  node->table.label, edge->constraint);
        return error_hint(err,
                          "Choose %s. Or, if these rows should stay and refer to nothing: ALTER "
                          "TABLE %s ALTER COLUMN %s "
                          "DROP NOT NULL;",
                          edge->on_delete == 'c' ? "delete, as the constraint does, or keep"
                                                 : "keep or delete",
                          node->table.ident, edge->columns[0]);
    }
    if (node->action == ACTION_REASSIGN && edge->width != 1)
        return error_set(err, SWEEP_USAGE,
                         "%s: %s cannot be reassigned: its reference (%s) has several columns",
                         origin, node->table.label, edge->constraint);
    if (node->action == ACTION_REASSIGN &&
        !check_value(db, node, catalog_column(&node->table, edge->names[0]), rule->to.value,
                     rule->to.origin, err))
        return false;
    if (node->action == ACTION_IGNORE && strchr("cnd", edge->on_delete)) {
        error_set(
            err, SWEEP_USAGE,
            "%s: %s cannot be ignored: constraint %s says ON DELETE %s, so its rows would change",
            origin, node->table.label, edge->constraint, plan_on_delete_name(edge->on_delete));
        return error_hint(err, "Say what should happen to them: delete, detach or keep.");
    }
    return node->action != ACTION_DELETE || check_self(node, edge, origin, err);
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
                          node->table.ident, *name == '"' ? name : db_quote_ident(db, plan, name));
    }
    if (!check_value(db, node, column, value, origin, err))
        return false;
    size_t i = mem_grow(plan, &node->set, &node->set_count);
    node->set[i] = (struct plan_assignment){column->ident, column->name, value};
    return true;
}

bool rule_apply(struct plan *plan, struct db *db, struct plan_node *node, struct error *err)
{
    const struct policy_dependent *rule = node->rule;
    for (size_t i = 0; rule && i < rule->set_count; i++)
        if (!add_assignment(node, plan, db, &rule->set[i], err))
            return false;
    for (size_t i = 0; rule && i < rule->object_count; i++)
        if (!rule_add_object(plan, db, node, &rule->objects[i], err))
            return false;
    return true;
}
