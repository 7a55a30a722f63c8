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
    run_append_record(sql, next);
    appendPQExpBuffer(sql, ") SELECT %s FROM gone",
                      sweep->budget->verbose ? "*" : "pg_catalog.count(*)");
    return take(sweep, names[from][to], sql);
}

/* Parameters: cutoff, [cursor], how many. Locks the next candidates; cursor and key of each. */
static struct db_statement build_lock(struct sweep *sweep, bool from)
{
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
    appendPQExpBuffer(sql, " LIMIT $%d::pg_catalog.int8 FOR UPDATE OF t SKIP LOCKED",
                      2 + (from ? (int)plan->cursor_count : 0));
    return take(sweep, from ? "lock_next" : "lock_first", sql);
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

static struct db_statement build_delete(struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "DELETE FROM %s AS t WHERE ", sweep->plan->nodes[0]->table.ident);
    plan_append_keys(sql, sweep->plan, 1);
    return take(sweep, "delete_root", sql);
}

static void build_dependent(struct sweep *sweep, const struct plan_node *node, size_t e)
{
    struct statements *s = &sweep->statements;
    size_t i = mem_grow(sweep->report, &s->dependents, &s->dependent_count);
    struct dependent_step *step = &s->dependents[i];
    step->node = node;
    PQExpBuffer act = createPQExpBuffer();
    plan_append_step(act, sweep->plan, node, &node->edges[e]);
    step->act = take(sweep, mem_printf(sweep->report, "act_%d_%zu", node->index, e), act);
    PQExpBuffer lock = createPQExpBuffer();
    plan_append_lock_step(lock, sweep->plan, node, &node->edges[e]);
    step->lock = take(sweep, mem_printf(sweep->report, "lock_%d_%zu", node->index, e), lock);
    if (node->action != ACTION_DETACH)
        return;
    step->set_count = (int)node->rule->set_count;
    step->set_values = mem_array(sweep->report, const char *, node->rule->set_count + 1);
    for (size_t k = 0; k < node->rule->set_count; k++)
        step->set_values[k] = node->rule->set[k].value;
}

void statements_build(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    size_t count;
    for (int from = 0; from < 2; from++) {
        s->bound[from] = build_bound(sweep, from);
        s->lock[from] = build_lock(sweep, from);
        for (int to = 0; to < 2; to++)
            s->range[from][to] = build_range(sweep, from, to);
    }
    s->verify = build_verify(sweep);
    s->delete_root = build_delete(sweep);
    const struct plan_node **nodes = plan_execution_order(sweep->report, sweep->plan, &count);
    for (size_t i = 0; i < count; i++)
        for (size_t e = 0; e < nodes[i]->edge_count; e++)
            build_dependent(sweep, nodes[i], e);
}
