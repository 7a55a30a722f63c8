/* Exact counts, in one read-only snapshot, with the plan's own predicates. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* Candidates and what spares them, in one scan. Every row of the answer: which guard (0: none),
 * the label, how many. The first guard that spares a row is the one it is counted under. */
static char *candidates_sql(const void *ctx, const struct plan *plan)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT t.pgsweep_guard, CASE t.pgsweep_guard WHEN 0 THEN NULL");
    for (size_t i = 0; i < plan->guard_count; i++)
        if (plan->guards[i].by)
            appendPQExpBuffer(sql, " WHEN %zu THEN coalesce(%s::pg_catalog.text, '(null)')", i + 1,
                              plan->guards[i].by);
    appendPQExpBufferStr(sql, " END AS label, pg_catalog.count(*) AS rows FROM (SELECT t.*, CASE");
    for (size_t i = 0; i < plan->guard_count; i++)
        appendPQExpBuffer(sql, " WHEN %s IS NOT FALSE THEN %zu", plan->guards[i].sql, i + 1);
    appendPQExpBuffer(sql, "%s 0%s AS pgsweep_guard FROM %s AS t WHERE t.%s < $1::%s",
                      plan->guard_count ? " ELSE" : " WHEN true THEN", " END",
                      plan->nodes[0]->table.ident, plan->age->ident, plan->age->type);
    if (plan->where_sql)
        appendPQExpBuffer(sql, " AND %s", plan->where_sql);
    appendPQExpBufferStr(sql, ") AS t GROUP BY 1, 2 ORDER BY 1, 3 DESC, 2");
    return buffer_take(ctx, sql);
}

static char *plain_sql(const void *ctx, const struct plan *plan)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT 0, NULL, pg_catalog.count(*) FROM %s AS t WHERE ",
                      plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    return buffer_take(ctx, sql);
}

static bool count_candidates(const void *ctx, struct db *db, const struct plan *plan,
                             struct plan_counts *counts, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {plan->cutoff_value};
    char *sql = plan->guard_count > 0 ? candidates_sql(ctx, plan) : plain_sql(ctx, plan);
    if (!db_query(db, ctx, sql, 1, params, &rows, err))
        return false;
    int n = db_rows_count(rows);
    counts->spared = mem_array(ctx, struct plan_spared, (size_t)n + 1);
    for (int i = 0; i < n; i++) {
        int64_t guard = db_rows_int(rows, i, 0);
        if (guard == 0) {
            counts->eligible += db_rows_int(rows, i, 2);
            continue;
        }
        struct plan_spared *spared = &counts->spared[counts->spared_count++];
        spared->guard = plan->guards[guard - 1].name;
        spared->label = db_rows_get(rows, i, 1);
        spared->rows = db_rows_int(rows, i, 2);
    }
    return true;
}

static bool count_total(const void *ctx, struct db *db, const struct plan *plan,
                        struct plan_counts *counts, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {plan->cutoff_value};
    PQExpBuffer buffer = createPQExpBuffer();
    appendPQExpBuffer(buffer, "SELECT pg_catalog.count(*) FROM %s AS t", plan->nodes[0]->table.ident);
    /* The cutoff must appear for its parameter to have a type. */
    appendPQExpBuffer(buffer, " WHERE ($1::%s IS NOT NULL)", plan->age->type);
    if (plan->where_sql)
        appendPQExpBuffer(buffer, " AND %s", plan->where_sql);
    char *sql = buffer_take(ctx, buffer);
    if (!db_query(db, ctx, sql, 1, params, &rows, err))
        return false;
    counts->total = db_rows_int(rows, 0, 0);
    return true;
}

static bool count_node(const void *ctx, struct db *db, const struct plan *plan,
                       const struct plan_node *node, int64_t *count, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {plan->cutoff_value};
    PQExpBuffer buffer = createPQExpBuffer();
    appendPQExpBuffer(buffer, "SELECT pg_catalog.count(*) FROM %s AS d WHERE ", node->table.ident);
    reach_append(buffer, plan, node, "d", LEAF_ELIGIBLE);
    /* Once each: as deleted where it is deleted first, and not as detached besides. */
    PQExpBuffer elsewhere = createPQExpBuffer();
    if (reach_append_table(elsewhere, plan, node->table.oid, node, order_is_deleted(node), "d", LEAF_ELIGIBLE))
        appendPQExpBuffer(buffer, " AND %s IS NOT TRUE", elsewhere->data);
    destroyPQExpBuffer(elsewhere);
    char *sql = buffer_take(ctx, buffer);
    if (!db_query(db, ctx, sql, 1, params, &rows, err))
        return false;
    *count = db_rows_int(rows, 0, 0);
    return true;
}

static bool count_all(const void *ctx, struct db *db, const struct plan *plan, bool dependents,
                      struct plan_counts *counts, struct error *err)
{
    if (plan->policy->count_total && !count_total(ctx, db, plan, counts, err))
        return false;
    if (!count_candidates(ctx, db, plan, counts, err))
        return false;
    counts->by_node[0] = counts->eligible;
    for (size_t i = 1; dependents && i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (plan_acts(node) && !count_node(ctx, db, plan, node, &counts->by_node[i], err))
            return false;
    }
    return true;
}

bool plan_count(const void *ctx, struct db *db, const struct plan *plan, bool dependents,
                struct plan_counts *counts, struct error *err)
{
    *counts = (struct plan_counts){.total = -1};
    counts->by_node = mem_array(ctx, int64_t, plan->node_count);
    if (!db_execute(db, ctx, &db_begin_read_only, 0, NULL, NULL, err))
        return false;
    bool ok = count_all(ctx, db, plan, dependents, counts, err);
    db_rollback(db);
    return ok;
}

bool plan_count_remaining(struct db *db, const struct plan *plan, int64_t limit, int64_t *rows,
                          struct error *err)
{
    struct db_rows *answer;
    void *scratch = talloc_new(db);
    const char *params[] = {plan->cutoff_value, mem_printf(scratch, "%lld", (long long)limit)};
    PQExpBuffer buffer = createPQExpBuffer();
    appendPQExpBuffer(buffer, "SELECT pg_catalog.count(*) FROM (SELECT FROM %s AS t WHERE ",
                      plan->nodes[0]->table.ident);
    plan_append_candidate(buffer, plan);
    appendPQExpBufferStr(buffer, " LIMIT $2::pg_catalog.int8) AS r");
    char *sql = buffer_take(scratch, buffer);
    bool ok = db_query(db, scratch, sql, 2, params, &answer, err);
    if (ok)
        *rows = db_rows_int(answer, 0, 0);
    talloc_free(scratch);
    return ok;
}

bool plan_active_keys(const void *ctx, struct db *db, const struct plan *plan, const char ***keys,
                      size_t *count, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {plan->cutoff_value};
    const char *separator = " AND (";
    const struct setting *named = &plan->policy->directory;
    const struct plan_column *column = plan->key[0];
    if (named->value)
        column = catalog_column(&plan->nodes[0]->table, named->value); /* plan_build saw that it is there */
    else if (plan->key_count != 1)
        return error_set(err, SWEEP_USAGE, "policy %s: the key of %s has several columns and names no directory",
                         plan->policy->name, plan->nodes[0]->table.label);
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT t.%s::pg_catalog.text FROM %s AS t WHERE $1::%s IS NOT NULL AND t.%s IS NOT NULL",
                      column->ident, plan->nodes[0]->table.ident, plan->age->type, column->ident);
    for (size_t i = 0; i < plan->guard_count; i++) {
        if (plan->guards[i].letters)
            continue;
        appendPQExpBuffer(sql, "%s%s IS NOT FALSE", separator, plan->guards[i].sql);
        separator = " OR ";
    }
    /* Without a guard nothing tells active from finished: then every row is active. */
    if (separator[1] == 'O')
        appendPQExpBufferChar(sql, ')');
    char *text = buffer_take(ctx, sql);
    if (!db_query(db, ctx, text, 1, params, &rows, err))
        return false;
    *count = (size_t)db_rows_count(rows);
    *keys = mem_array(ctx, const char *, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*keys)[i] = db_rows_get(rows, (int)i, 0);
    return true;
}
