/* The statements of a sweep: the plan's predicates put together into what is sent. */
#include "internal.h"
#include "pgsweep/mem.h"

static struct db_statement take(struct sweep *sweep, const char *name, PQExpBuffer sql)
{
    return (struct db_statement){.name = name, .sql = buffer_take(sweep->report, sql)};
}

/* The key columns of t as text, with a comma in front of each but the first. */
static void append_key(PQExpBuffer sql, const struct plan *plan)
{
    for (size_t i = 0; i < plan->key_count; i++)
        appendPQExpBuffer(sql, "%st.%s::pg_catalog.text", i ? ", " : "", plan->key[i]->ident);
}

/* Parameters: cutoff, [cursor], how many. The cursor of the candidate that many further on. */
static struct db_statement build_bound(struct sweep *sweep, bool from)
{
    const struct plan *plan = sweep->plan;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT ");
    plan_append_cursor(sql, plan, false);
    appendPQExpBuffer(sql, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    if (from)
        plan_append_bound(sql, plan, ">", 2);
    appendPQExpBufferStr(sql, " ORDER BY ");
    plan_append_cursor(sql, plan, true);
    appendPQExpBuffer(sql, " OFFSET $%d::pg_catalog.int8 - 1 LIMIT 1",
                      2 + (from ? (int)plan->cursor_count : 0));
    return take(sweep, from ? "bound_next" : "bound_first", sql);
}

/* Parameters: cutoff, [cursor from], [cursor to], the run record's. Deletes a range and records it; a
 * row for each deleted one in verbose mode, else one row with their number. */
static struct db_statement build_range(struct sweep *sweep, bool from, bool to)
{
    static const char *const names[2][2] = {{"range_all", "range_first"}, {"range_last", "range_next"}};
    const struct plan *plan = sweep->plan;
    int next = 2;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "WITH gone AS (DELETE FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    if (from) {
        plan_append_bound(sql, plan, ">", next);
        next += (int)plan->cursor_count;
    }
    if (to) {
        plan_append_bound(sql, plan, "<=", next);
        next += (int)plan->cursor_count;
    }
    appendPQExpBufferStr(sql, " RETURNING ");
    if (sweep->budget->verbose)
        append_key(sql, plan);
    else
        appendPQExpBufferStr(sql, "1");
    appendPQExpBufferStr(sql, "), noted AS (");
    run_append_record_gone(sql, next);
    appendPQExpBuffer(sql, ") SELECT %s FROM gone",
                      sweep->budget->verbose ? "*" : "pg_catalog.count(*)");
    return take(sweep, names[from][to], sql);
}

/* Parameters: cutoff, [cursor], how many. The next candidates: cursor and key of each. */
static struct db_statement build_next(struct sweep *sweep, bool from, bool lock)
{
    static const char *const names[2][2] = {{"list_first", "lock_first"}, {"list_next", "lock_next"}};
    const struct plan *plan = sweep->plan;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT ");
    plan_append_cursor(sql, plan, false);
    appendPQExpBufferStr(sql, ", ");
    append_key(sql, plan);
    appendPQExpBuffer(sql, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    if (from)
        plan_append_bound(sql, plan, ">", 2);
    appendPQExpBufferStr(sql, " ORDER BY ");
    plan_append_cursor(sql, plan, true);
    appendPQExpBuffer(sql, " LIMIT $%d::pg_catalog.int8%s", 2 + (from ? (int)plan->cursor_count : 0),
                      lock ? " FOR UPDATE OF t SKIP LOCKED" : "");
    return take(sweep, names[from][lock], sql);
}

/* Parameters: key arrays of one row. Fails unless the row is there and can be locked at once. */
static struct db_statement build_lock_row(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT CASE WHEN pg_catalog.count(*) = 1 THEN 1"
                           " ELSE ('locked ' || pg_catalog.count(*))::pg_catalog.int4 END"
                           " FROM (SELECT FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_keys(sql, plan, 1);
    appendPQExpBufferStr(sql, " FOR UPDATE OF t SKIP LOCKED) AS locked");
    return take(sweep, "lock_row", sql);
}

/* Parameters: cutoff, key arrays of one row. Fails unless it still is a candidate. */
static struct db_statement build_verify_row(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT CASE WHEN pg_catalog.count(*) = 1 THEN 1"
                           " ELSE ('candidates ' || pg_catalog.count(*))::pg_catalog.int4 END FROM %s AS t WHERE ",
                      plan->nodes[0]->table.ident);
    plan_append_keys(sql, plan, 2);
    appendPQExpBufferStr(sql, " AND ");
    plan_append_candidate(sql, plan);
    return take(sweep, "verify_row", sql);
}

/* Parameters: cutoff, key arrays. The keys that still are candidates, now that they are locked. */
static struct db_statement build_verify(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT ");
    append_key(sql, plan);
    appendPQExpBuffer(sql, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_keys(sql, plan, 2);
    appendPQExpBufferStr(sql, " AND ");
    plan_append_candidate(sql, plan);
    return take(sweep, "verify", sql);
}

/* Where a condition reads other tables, the dependents are locked before the condition is looked at
 * again, so that nothing it saw can change before the commit. */
static void build_lock_dependents(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    size_t count;
    const struct plan_node **nodes = plan_execution_order(sweep->report, sweep->plan, NULL, &count);
    for (size_t i = 0; sweep->plan->looks_beyond && i < count; i++)
        for (size_t e = 0; e < nodes[i]->edge_count; e++) {
            size_t k = mem_grow(sweep->report, &s->lock_dependents, &s->lock_dependent_count);
            PQExpBuffer sql = createPQExpBuffer();
            plan_append_lock_step(sql, sweep->plan, nodes[i], &nodes[i]->edges[e]);
            s->lock_dependents[k] = take(sweep, mem_printf(sweep->report, "lock_dependents_%zu", k), sql);
        }
}

void statements_build(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    for (int from = 0; from < 2; from++) {
        s->bound[from] = build_bound(sweep, from);
        s->lock[from] = build_next(sweep, from, true);
        s->list[from] = build_next(sweep, from, false);
        for (int to = 0; to < 2; to++)
            s->range[from][to] = build_range(sweep, from, to);
    }
    s->lock_row = build_lock_row(sweep);
    s->verify = build_verify(sweep);
    s->verify_row = build_verify_row(sweep);
    build_lock_dependents(sweep);
}
