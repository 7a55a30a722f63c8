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

static struct db_statement take_bounded(struct sweep *sweep, const char *what, enum bound_by from,
                                        enum bound_by to, PQExpBuffer sql)
{
    return take(sweep, mem_printf(sweep->report, "%s_%d%d", what, (int)from, (int)to), sql);
}

/* The condition of one bound; *next is the number of the next parameter. */
static void append_bound(struct sweep *sweep, PQExpBuffer sql, const char *comparison, enum bound_by by,
                         int *next)
{
    size_t columns = by == BY_NOTHING ? 0 : by == BY_AGE ? 1 : sweep->plan->cursor_count;
    if (columns > 0)
        plan_append_bound(sql, sweep->plan, comparison, *next, columns);
    *next += (int)columns;
}

/* Parameters: cutoff, [cursor], how many. The cursor of the candidate that many further on. */
static struct db_statement build_bound(struct sweep *sweep, enum bound_by from)
{
    const struct plan *plan = sweep->plan;
    int next = 2;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT ");
    plan_append_cursor(sql, plan, false);
    appendPQExpBuffer(sql, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    append_bound(sweep, sql, ">", from, &next);
    appendPQExpBufferStr(sql, " ORDER BY ");
    plan_append_cursor(sql, plan, true);
    appendPQExpBuffer(sql, " OFFSET $%d::pg_catalog.int8 - 1 LIMIT 1", next);
    return take_bounded(sweep, "bound", from, BY_ALL, sql);
}

/* The same for the age alone, which the index holds: no row is looked at. Rows that no condition has
 * been asked about count too, so a chunk may come out smaller. */
static struct db_statement build_bound_age(struct sweep *sweep, enum bound_by from)
{
    const struct plan *plan = sweep->plan;
    const char *age = plan->cursor[0]->ident;
    int next = 2;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT t.%s::pg_catalog.text FROM %s AS t WHERE t.%s < $1::%s", age,
                      plan->nodes[0]->table.ident, age, plan->cursor[0]->type);
    append_bound(sweep, sql, ">", from, &next);
    appendPQExpBuffer(sql, " ORDER BY t.%s OFFSET $%d::pg_catalog.int8 - 1 LIMIT 1", age, next);
    return take_bounded(sweep, "bound_age", from, BY_AGE, sql);
}

/* The DELETE of a range. Parameters: cutoff, [cursor from], [cursor to]. */
static int append_range(struct sweep *sweep, PQExpBuffer sql, enum bound_by from, enum bound_by to)
{
    int next = 2;
    appendPQExpBuffer(sql, "DELETE FROM %s AS t WHERE ", sweep->plan->nodes[0]->table.ident);
    plan_append_candidate(sql, sweep->plan);
    append_bound(sweep, sql, ">", from, &next);
    append_bound(sweep, sql, "<=", to, &next);
    return next;
}

static struct db_statement build_plain(struct sweep *sweep, enum bound_by from, enum bound_by to)
{
    PQExpBuffer sql = createPQExpBuffer();
    append_range(sweep, sql, from, to);
    return take_bounded(sweep, "range", from, to, sql);
}

/* The same with the run record, whose parameters follow, in one statement and so in one round trip; a
 * row for each deleted one in verbose mode, else one row with their number. */
static struct db_statement build_range(struct sweep *sweep, enum bound_by from, enum bound_by to)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "WITH gone AS (");
    int next = append_range(sweep, sql, from, to);
    appendPQExpBufferStr(sql, " RETURNING ");
    if (sweep->budget->verbose)
        append_key(sql, sweep->plan);
    else
        appendPQExpBufferStr(sql, "1");
    appendPQExpBufferStr(sql, "), noted AS (");
    run_append_record_gone(sql, next);
    appendPQExpBuffer(sql, ") SELECT %s FROM gone",
                      sweep->budget->verbose ? "*" : "pg_catalog.count(*)");
    return take_bounded(sweep, "range_recorded", from, to, sql);
}

/* Parameters: cutoff, [cursor], how many. The next candidates: cursor and key of each. */
static struct db_statement build_next(struct sweep *sweep, enum bound_by from, bool lock)
{
    const struct plan *plan = sweep->plan;
    int next = 2;
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, "SELECT ");
    plan_append_cursor(sql, plan, false);
    appendPQExpBufferStr(sql, ", ");
    append_key(sql, plan);
    appendPQExpBuffer(sql, " FROM %s AS t WHERE ", plan->nodes[0]->table.ident);
    plan_append_candidate(sql, plan);
    append_bound(sweep, sql, ">", from, &next);
    appendPQExpBufferStr(sql, " ORDER BY ");
    plan_append_cursor(sql, plan, true);
    appendPQExpBuffer(sql, " LIMIT $%d::pg_catalog.int8%s", next, lock ? " FOR UPDATE OF t SKIP LOCKED" : "");
    return take_bounded(sweep, lock ? "lock" : "list", from, BY_NOTHING, sql);
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
        for (size_t e = 0; e < plan_step_count(nodes[i]); e++) {
            size_t k = mem_grow(sweep->report, &s->lock_dependents, &s->lock_dependent_count);
            PQExpBuffer sql = createPQExpBuffer();
            plan_append_lock_step(sql, sweep->plan, nodes[i], plan_step_edge(nodes[i], e));
            s->lock_dependents[k] = take(sweep, mem_printf(sweep->report, "lock_dependents_%zu", k), sql);
        }
}

static struct db_statement build_record(struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    run_append_record_counted(sql);
    return take(sweep, "record_counted", sql);
}

static struct db_statement build_numbers(struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    run_append_numbers(sql, sweep->plan);
    return take(sweep, "numbers", sql);
}

void statements_build(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    for (enum bound_by from = BY_NOTHING; from < BOUNDS; from++) {
        s->bound[from] = build_bound(sweep, from);
        s->bound_age[from] = build_bound_age(sweep, from);
        s->lock[from] = build_next(sweep, from, true);
        s->list[from] = build_next(sweep, from, false);
        for (enum bound_by to = BY_NOTHING; to < BOUNDS; to++) {
            s->range[from][to] = build_range(sweep, from, to);
            s->plain[from][to] = build_plain(sweep, from, to);
        }
    }
    s->record = build_record(sweep);
    s->numbers = build_numbers(sweep);
    s->lock_row = build_lock_row(sweep);
    s->verify = build_verify(sweep);
    s->verify_row = build_verify_row(sweep);
    build_lock_dependents(sweep);
}
