/* The rights that a role of its own needs for a policy, as GRANT statements: no more than a run of
 * the plan uses. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char GRANTS[] = "sql/grants.sql";

/* What is done to a table. */
struct wanted {
    const char *oid;
    bool delete;
    struct name_set update; /* columns, quoted */
};

struct grants {
    void *ctx;
    const struct plan *plan;
    struct wanted *tables;
    size_t table_count;
    struct name_set schemas; /* quoted */
    struct name_set lines;   /* GRANTs without the role */
    struct name_set hidden;  /* tables with row-level security */
};

static struct wanted *want(struct grants *g, const char *oid)
{
    for (size_t i = 0; i < g->table_count; i++)
        if (strcmp(g->tables[i].oid, oid) == 0)
            return &g->tables[i];
    size_t i = mem_grow(g->ctx, &g->tables, &g->table_count);
    g->tables[i] = (struct wanted){.oid = mem_strdup(g->ctx, oid)};
    return &g->tables[i];
}

static void want_columns(struct grants *g, struct wanted *w, const struct plan_edge *edge)
{
    for (size_t c = 0; c < edge->width; c++)
        if (edge->child->action == ACTION_REASSIGN || rule_detached(edge, c))
            name_set_add(g->ctx, &w->update, edge->columns[c]);
}

static void want_node(struct grants *g, const struct plan_node *node)
{
    struct wanted *w = want(g, node->table.oid);
    if (order_is_deleted(node)) {
        /* Locking a row takes the privilege to update one of its columns (manual: SELECT, "The
         * Locking Clause"). */
        w->delete = true;
        if (node->key_count > 0)
            name_set_add(g->ctx, &w->update, node->key[0]->ident);
        else
            name_set_add(g->ctx, &w->update, node->edges[0].columns[0]);
    } else if (plan_acts(node)) {
        for (size_t i = 0; i < node->set_count; i++)
            name_set_add(g->ctx, &w->update, node->set[i].ident);
        for (size_t e = 0; e < node->edge_count; e++)
            want_columns(g, w, &node->edges[e]);
    }
    for (size_t i = 0; i < node->use_count; i++)
        want(g, node->uses[i].table_oid);
}

/* The schema of OPERATOR(schema.op), where it is not built in. */
static void want_operators(struct grants *g, const struct plan_edge *edges, size_t count)
{
    for (size_t e = 0; e < count; e++)
        for (size_t c = 0; c < edges[e].width; c++) {
            const char *schema = strchr(edges[e].operators[c], '(') + 1;
            const char *dot = strrchr(schema, '.');
            name_set_add(g->ctx, &g->schemas,
                         mem_printf(g->ctx, "%.*s", (int)(dot - schema), schema));
        }
}

/* "a AND b AND ...": every expression of the policy's text once, as columns of a row. */
static char *conditions(const struct plan *plan, void *ctx)
{
    char *text = mem_strdup(ctx, "");
    if (plan->where_sql)
        text = mem_printf(ctx, "%s", plan->where_sql);
    for (size_t i = 0; i < plan->policy->guard_count; i++) {
        text = mem_printf(ctx, "%s%s%s", text, *text ? ",\n" : "", plan->guards[i].sql);
        if (plan->guards[i].by)
            text = mem_printf(ctx, "%s,\n%s", text, plan->guards[i].by);
    }
    if (plan->policy->throttle.wait_while.value) {
        PQExpBuffer own = createPQExpBuffer();
        condition_append(own, plan->policy->throttle.wait_while.value, NULL, 0);
        text = mem_printf(ctx, "%s%s%s", text, *text ? ",\n" : "", own->data);
        destroyPQExpBuffer(own);
    }
    return *text ? mem_printf(ctx, "ROW(%s)::pg_catalog.text", text) : NULL;
}

static bool read_conditions(struct grants *g, struct db *db, struct error *err)
{
    struct db_rows *rows;
    char *condition = conditions(g->plan, g->ctx);
    if (!condition)
        return true;
    char *view = template_fill(
        g->ctx, GRANTS, "view",
        TEMPLATE_SLOTS({"condition", condition}, {"root", g->plan->nodes[0]->table.ident}));
    bool ok =
        db_query(db, g->ctx, template_fill(g->ctx, GRANTS, "begin", NULL), 0, NULL, NULL, err) &&
        db_query(db, g->ctx, view, 0, NULL, NULL, err) &&
        db_query(db, g->ctx, template_fill(g->ctx, GRANTS, "read", NULL), 0, NULL, &rows, err);
    db_rollback(db);
    for (int i = 0; ok && i < db_rows_count(rows); i++) {
        const char *kind = db_rows_get(rows, i, 0);
        const char *schema = db_rows_get(rows, i, 2);
        if (schema)
            name_set_add(g->ctx, &g->schemas, schema);
        if (kind && strcmp(kind, "table") == 0)
            want(g, db_rows_get(rows, i, 3));
        else if (kind)
            name_set_add(
                g->ctx, &g->lines,
                mem_printf(g->ctx, "GRANT EXECUTE ON FUNCTION %s", db_rows_get(rows, i, 1)));
    }
    return ok;
}

/* Columns of other policies are looked at before an object goes. */
static bool read_sources(struct grants *g, struct db *db, struct error *err)
{
    struct db_rows *rows;
    if (!g->plan->has_objects && !g->plan->directory)
        return true;
    if (!db_query(db, g->ctx, template_fill(g->ctx, GRANTS, "state", NULL), 0, NULL, &rows, err))
        return false;
    if (!db_rows_bool(rows, 0, 0))
        return true;
    if (!db_query(db, g->ctx, template_fill(g->ctx, GRANTS, "sources", NULL), 0, NULL, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++)
        want(g, db_rows_get(rows, i, 0));
    return true;
}

static char *table_grant(const struct grants *g, const struct wanted *w, const char *ident)
{
    char *text = mem_printf(g->ctx, "GRANT SELECT%s", w->delete ? ", DELETE" : "");
    for (size_t i = 0; i < w->update.count; i++)
        text = mem_printf(g->ctx, "%s%s%s", text, i ? ", " : ", UPDATE (", w->update.list[i]);
    return mem_printf(g->ctx, "%s%s ON %s", text, w->update.count ? ")" : "", ident);
}

static bool read_tables(struct grants *g, struct db *db, struct error *err)
{
    struct db_rows *rows;
    const char **oids = mem_array(g->ctx, const char *, g->table_count + 1);
    for (size_t i = 0; i < g->table_count; i++)
        oids[i] = g->tables[i].oid;
    const char *params[] = {db_array(g->ctx, oids, g->table_count)};
    if (!db_query(db, g->ctx, template_fill(g->ctx, GRANTS, "tables", NULL), 1, params, &rows, err))
        return false;
    for (int i = 0; i < db_rows_count(rows); i++) {
        const char *oid = db_rows_get(rows, i, 0), *ident = db_rows_get(rows, i, 1);
        if (!oid) {
            name_set_add(g->ctx, &g->schemas, db_rows_get(rows, i, 3));
            continue;
        }
        name_set_add(g->ctx, &g->lines, table_grant(g, want(g, oid), ident));
        if (db_rows_bool(rows, i, 2))
            name_set_add(g->ctx, &g->hidden, ident);
    }
    return true;
}

/* A comment: the run goes on without that right, and waits for less. */
static void append_throttle(PQExpBuffer out, const struct policy *policy, const char *role)
{
    const struct policy_throttle *t = &policy->throttle;
    const unsigned any = LIMIT_TIME | LIMIT_BYTES | LIMIT_NUMBER;
    if (policy_limit(&t->replica_lag, any, POLICY_REPLICA_LAG).unit != LIMIT_NONE ||
        policy_limit(&t->active_sessions, any, POLICY_LIMIT_NONE).unit != LIMIT_NONE ||
        policy_limit(&t->snapshot_age, any, POLICY_LIMIT_NONE).unit == LIMIT_TIME)
        appendPQExpBuffer(out,
                          "-- to wait for standbys and for other sessions (throttle): "
                          "GRANT pg_read_all_stats TO %s;\n",
                          role);
}

bool plan_grants(PQExpBuffer out, const struct plan *plan, struct db *db, const char *role,
                 struct error *err)
{
    struct grants g = {.ctx = talloc_new(plan), .plan = plan};
    char *quoted = db_quote_ident(db, g.ctx, role);
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->action != ACTION_IGNORE) {
            want_node(&g, plan->nodes[i]);
            want_operators(&g, plan->nodes[i]->edges, plan->nodes[i]->edge_count);
            want_operators(&g, plan->nodes[i]->uses, plan->nodes[i]->use_count);
        }
    bool ok = read_conditions(&g, db, err) && read_sources(&g, db, err) && read_tables(&g, db, err);
    if (ok) {
        appendPQExpBuffer(out, "GRANT CONNECT ON DATABASE %s TO %s;\n",
                          db_quote_ident(db, g.ctx, db_database(db)), quoted);
        for (size_t i = 0; i < g.schemas.count; i++)
            if (strcmp(g.schemas.list[i], "pg_catalog") != 0)
                appendPQExpBuffer(out, "GRANT USAGE ON SCHEMA %s TO %s;\n", g.schemas.list[i],
                                  quoted);
        for (size_t i = 0; i < g.lines.count; i++)
            appendPQExpBuffer(out, "%s TO %s;\n", g.lines.list[i], quoted);
        for (size_t i = 0; i < g.hidden.count; i++)
            appendPQExpBuffer(out, "ALTER ROLE %s BYPASSRLS; -- %s has row-level security\n",
                              quoted, g.hidden.list[i]);
        append_throttle(out, plan->policy, quoted);
    }
    talloc_free(g.ctx);
    return ok;
}
