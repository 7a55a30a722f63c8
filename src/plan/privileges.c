/* What the role must be allowed to do, checked before anything is touched. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"

static bool refuse(const struct plan_table *table, struct db *db, const char *grant,
                   struct error *err)
{
    char *role = db_quote_ident(db, db, db_user(db));
    error_set(err, SWEEP_USAGE, "role %s may not do what the policy needs on %s", role,
              table->label);
    error_sqlstate(err, sqlstate_code(SQLSTATE_INSUFFICIENT_PRIVILEGE));
    error_hint(err, "%s TO %s;", grant, role);
    talloc_free(role);
    return false;
}

static bool may_set(const struct plan_table *table, const char *name)
{
    const struct plan_column *column = catalog_column(table, name);
    return !column || column->may_update;
}

/* The role may update what the node sets. */
static bool may_update(const struct plan_node *node)
{
    bool may = node->table.may_update;
    if (order_is_deleted(node))
        return may;
    for (size_t i = 0; i < node->set_count; i++)
        may = may && may_set(&node->table, node->set[i].name);
    for (size_t e = 0; e < node->edge_count; e++)
        for (size_t c = 0; c < node->edges[e].width; c++)
            if (node->action == ACTION_REASSIGN || rule_detached(&node->edges[e], c))
                may = may && may_set(&node->table, node->edges[e].names[c]);
    return may;
}

static bool check_table(const struct plan_node *node, struct db *db, bool live, struct error *err)
{
    const struct plan_table *table = &node->table;
    /* Locking a row takes the privilege to update it (manual: SELECT, "The Locking Clause"). */
    bool update = live && plan_acts(node);
    bool delete = live && (node->action == ACTION_DELETE || node->action == ACTION_DELETE_ORPHANS);
    if (!table->may_use_schema) {
        char *schema = mem_printf(db, "GRANT USAGE ON SCHEMA %.*s",
                                  (int)(strlen(table->ident) - strlen(strchr(table->ident, '.'))),
                                  table->ident);
        bool ok = refuse(table, db, schema, err);
        talloc_free(schema);
        return ok;
    }
    if (table->may_select && (!update || may_update(node)) && (!delete || table->may_delete))
        return true;
    char *grant = mem_printf(db, "GRANT SELECT%s%s ON %s", update ? ", UPDATE" : "",
                             delete ? ", DELETE" : "", table->ident);
    bool ok = refuse(table, db, grant, err);
    talloc_free(grant);
    return ok;
}

bool privileges_check(const struct plan *plan, struct db *db, bool live, struct error *err)
{
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->action != ACTION_IGNORE && !check_table(plan->nodes[i], db, live, err))
            return false;
    return true;
}
