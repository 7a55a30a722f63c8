/* Which conditions a run's own deletions may make spare less: those that may read what the run
 * deletes or changes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char CONDITIONS[] = "sql/conditions.sql";

/* The tables in question, and what each is a partition or child of. */
struct families {
    const struct plan *plan;
    struct db_rows *rows;     /* member, ancestor */
    struct db_rows *triggers; /* tables that triggers of those that are acted on may change; a row
                                 with NULL: any */
};

/* A row of one may be a row of the other: they have an ancestor (or themselves) in common. */
static bool are_kin(const struct families *f, const char *a, const char *b)
{
    int n = db_rows_count(f->rows);
    if (strcmp(a, b) == 0)
        return true;
    for (int i = 0; i < n; i++)
        for (int j = 0; strcmp(db_rows_get(f->rows, i, 0), a) == 0 && j < n; j++)
            if (strcmp(db_rows_get(f->rows, j, 0), b) == 0 &&
                strcmp(db_rows_get(f->rows, i, 1), db_rows_get(f->rows, j, 1)) == 0)
                return true;
    return false;
}

/* The node is the kept one (or the target), or a reference leads from there to it: the rows of a
 * path go with t. */
static bool is_on_path(const struct plan_node *from, const struct plan_node *node)
{
    if (from == node)
        return true;
    for (size_t e = 0; from->index != 0 && e < from->edge_count; e++)
        if (from->edges[e].parent != from && is_on_path(from->edges[e].parent, node))
            return true;
    return false;
}

/* A trigger may change rows of the table. */
static bool is_triggered(const struct families *f, const char *oid)
{
    for (int i = 0; i < db_rows_count(f->triggers); i++) {
        const char *changed = db_rows_get(f->triggers, i, 0);
        if (!changed || are_kin(f, oid, changed))
            return true;
    }
    return false;
}

/* Rows of the table are deleted or changed by a node that is not on the path (NULL: by any). */
static bool is_acted_on(const struct families *f, const char *oid, const struct plan_node *path)
{
    for (size_t i = 0; i < f->plan->node_count; i++) {
        const struct plan_node *node = f->plan->nodes[i];
        if ((i == 0 || plan_acts(node)) && are_kin(f, oid, node->table.oid) &&
            (i == 0 || !path || !is_on_path(path, node)))
            return true;
    }
    return false;
}

static bool reads_are_freeable(const struct families *f, const struct reads *reads)
{
    bool freeable = reads->anything || is_triggered(f, f->plan->nodes[0]->table.oid);
    for (size_t i = 0; i < reads->count && !freeable; i++)
        freeable = is_acted_on(f, reads->tables[i].oid, reads->tables[i].own) ||
                   is_triggered(f, reads->tables[i].oid);
    return freeable;
}

/* A row that refers to t over others keeps it until it, or one of those between, goes by another
 * way. */
static bool path_is_freeable(const struct families *f, const struct plan_node *from)
{
    bool freeable = false;
    for (size_t i = 0; i < f->plan->node_count && !freeable; i++) {
        const struct plan_node *node = f->plan->nodes[i];
        freeable = is_on_path(from, node) && (is_triggered(f, node->table.oid) ||
                                              (i > 0 && is_acted_on(f, node->table.oid, from)));
    }
    return freeable;
}

static void add(const void *ctx, const char ***oids, size_t *count, const char *oid)
{
    size_t i = mem_grow(ctx, oids, count);
    (*oids)[i] = oid;
}

static bool ask_families(struct plan *plan, struct db *db, const struct reads *where,
                         const struct reads *guards, struct families *f, struct error *err)
{
    const char **oids = NULL;
    size_t count = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        add(plan, &oids, &count, plan->nodes[i]->table.oid);
    for (size_t g = 0; g <= plan->policy->guard_count; g++) {
        const struct reads *reads = g > 0 ? &guards[g - 1] : where;
        for (size_t i = 0; reads && i < reads->count; i++)
            add(plan, &oids, &count, reads->tables[i].oid);
    }
    for (int i = 0; i < db_rows_count(f->triggers); i++)
        if (db_rows_get(f->triggers, i, 0))
            add(plan, &oids, &count, db_rows_get(f->triggers, i, 0));
    const char *params[] = {db_array(plan, oids, count)};
    return db_query(db, plan, template_fill(plan, CONDITIONS, "families", NULL), 1, params,
                    &f->rows, err);
}

static bool ask_triggers(struct plan *plan, struct db *db, struct families *f, struct error *err)
{
    const char **gone = NULL, **updated = NULL;
    size_t gone_count = 0, updated_count = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (node->action == ACTION_DELETE || node->action == ACTION_DELETE_ORPHANS)
            add(plan, &gone, &gone_count, node->table.oid);
        else if (plan_acts(node))
            add(plan, &updated, &updated_count, node->table.oid);
    }
    const char *params[] = {db_array(plan, gone, gone_count),
                            db_array(plan, updated, updated_count)};
    return db_query(db, plan, template_fill(plan, CONDITIONS, "triggers", NULL), 2, params,
                    &f->triggers, err);
}

bool freeable_note(struct plan *plan, struct db *db, const struct reads *where,
                   const struct reads *guards, const char *run_id, struct error *err)
{
    struct families f = {.plan = plan};
    bool any = false;
    if ((!where && plan->guard_count == 0) || !run_id)
        return true;
    if (!ask_triggers(plan, db, &f, err) || !ask_families(plan, db, where, guards, &f, err))
        return false;
    plan->where_freeable = where && reads_are_freeable(&f, where);
    any = plan->where_freeable;
    for (size_t g = 0; g < plan->guard_count; g++) {
        struct plan_guard *guard = &plan->guards[g];
        if (g < plan->policy->guard_count)
            guard->freeable = reads_are_freeable(&f, &guards[g]);
        else if (guard->kept)
            guard->freeable = path_is_freeable(&f, guard->kept);
        else if (guard->target)
            guard->freeable = path_is_freeable(&f, guard->target);
        any = any || guard->freeable;
    }
    if (any)
        plan->spared_run = mem_strdup(plan, run_id);
    return true;
}
