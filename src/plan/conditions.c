/* The policy's conditions, checked against the schema and turned into SQL of the plan. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* What PostgreSQL says about a condition, in terms of the policy. */
static bool explain(const struct plan *plan, struct db *db, const char *what,
                    const struct setting *condition, struct error *err)
{
    const char *name = plan->policy->name;
    bool misfit = strncmp(err->sqlstate, "42", 2) == 0 && strcmp(err->sqlstate, "42501") != 0;
    error_prefix(err, "%s: %s does not fit the schema", condition->origin, what);
    if (strcmp(err->sqlstate, "42501") == 0) {
        error_hint(err, "Grant SELECT on that table to role %s.", db_user(db));
        return false;
    }
    error_detail(err, "Condition: %s", condition->value);
    if (misfit)
        error_hint(err,
                   "Say in a policy of your own how this schema expresses it: "
                   "\"pgsweep show %s > DIR/%s.yaml\", edit the condition there, and run with "
                   "--policy-dir DIR. pgsweep does not guess.", name, name);
    return false;
}

/* Sets *sql (owned by the plan) and notes whether the condition reads more than the row t. */
static bool build_one(struct plan *plan, struct db *db, const char *what,
                      const struct setting *condition, bool boolean, const char **sql,
                      struct condition_facts *facts, struct error *err)
{
    char *cutoff = mem_printf(plan, "$1::%s", plan->age->type);
    if (!condition_check(plan, condition, facts, err))
        return false;
    PQExpBuffer text = createPQExpBuffer();
    condition_append(text, condition->value, cutoff);
    *sql = buffer_take(plan, text);
    /* Where it is going to stand: an aggregate, say, is no condition. */
    char *probe = mem_printf(plan, "SELECT FROM %s AS t WHERE t.%s < %s AND %s%s",
                             plan->nodes[0]->table.ident, plan->age->ident, cutoff, *sql,
                             boolean ? " IS FALSE" : "::pg_catalog.text IS NULL");
    bool ok = db_check(db, probe, err);
    talloc_free(probe);
    return ok || explain(plan, db, what, condition, err);
}

/* A function that is not a built-in may read any table. */
static bool calls_unknown(struct db *db, const struct condition_facts *facts, bool *unknown,
                          struct error *err)
{
    struct db_rows *rows;
    *unknown = false;
    if (facts->call_count == 0)
        return true;
    char *names = db_array(db, facts->calls, facts->call_count);
    const char *params[] = {names};
    bool ok = db_query(db, names,
                       "SELECT EXISTS (SELECT FROM pg_catalog.pg_proc AS p"
                       " WHERE p.proname = ANY ($1::pg_catalog.text[])"
                       " AND p.pronamespace <> 'pg_catalog'::pg_catalog.regnamespace)",
                       1, params, &rows, err);
    if (ok)
        *unknown = db_rows_bool(rows, 0, 0);
    talloc_free(names);
    return ok;
}

static bool note_reach(struct plan *plan, struct db *db, const struct condition_facts *facts,
                       struct error *err)
{
    bool unknown;
    if (!calls_unknown(db, facts, &unknown, err))
        return false;
    plan->looks_beyond = plan->looks_beyond || facts->subquery || unknown;
    return true;
}

static bool build_guard(struct plan *plan, struct db *db, const struct policy_guard *from,
                        struct plan_guard *guard, struct error *err)
{
    struct condition_facts facts;
    char *what = mem_printf(plan, "guard \"%s\"", from->name);
    guard->name = from->name;
    if (!build_one(plan, db, what, &from->unless, true, &guard->sql, &facts, err) ||
        !note_reach(plan, db, &facts, err))
        return false;
    return !from->by.value || build_one(plan, db, what, &from->by, false, &guard->by, &facts, err);
}

/* A dependent that keeps its candidate is a guard: "it has such rows". */
static void build_keep(struct plan *plan, const struct plan_node *node, struct plan_guard *guard)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "(EXISTS (SELECT FROM %s AS d WHERE ", node->table.ident);
    reach_append(sql, plan, node, "d", LEAF_CORRELATED);
    appendPQExpBufferStr(sql, "))");
    guard->name = mem_printf(plan, "has %s", node->table.name);
    guard->sql = buffer_take(plan, sql);
    plan->looks_beyond = true;
}

/* What rows are reassigned to must not go itself, and take them with it. */
static void build_target(struct plan *plan, struct db *db, const struct plan_node *node,
                         const struct plan_edge *edge, struct plan_guard *guard)
{
    PQExpBuffer sql = createPQExpBuffer();
    bool root = edge->parent->index == 0;
    if (root)
        appendPQExpBufferStr(sql, "coalesce(t");
    else
        appendPQExpBuffer(sql, "(EXISTS (SELECT FROM %s AS n WHERE n", edge->parent->table.ident);
    appendPQExpBuffer(sql, ".%s = %s::%s", edge->referred[0],
                      db_quote_literal(db, plan, node->rule->to.value),
                      catalog_column(&node->table, edge->names[0])->type);
    if (!root) {
        appendPQExpBufferStr(sql, " AND ");
        reach_append(sql, plan, edge->parent, "n", LEAF_CORRELATED);
        plan->looks_beyond = true;
    }
    appendPQExpBufferStr(sql, root ? ", false)" : "))");
    guard->name = mem_printf(plan, "takes over %s", node->table.name);
    guard->sql = buffer_take(plan, sql);
}

/* Guards that follow from what the policy does with dependents. */
static void build_implied(struct plan *plan, struct db *db)
{
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (node->action == ACTION_KEEP) {
            size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
            build_keep(plan, node, &plan->guards[g]);
        }
        /* What hangs on a shared table is no question of a single candidate. */
        for (size_t e = 0; node->action == ACTION_REASSIGN && !node->orphan && e < node->edge_count; e++) {
            size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
            build_target(plan, db, node, &node->edges[e], &plan->guards[g]);
        }
    }
}

/* Rows that a person has to look at first, or said should stay: only where there are such. */
static bool build_letters(struct plan *plan, struct db *db, struct error *err)
{
    static const char there[] =
        "SELECT coalesce(pg_catalog.has_schema_privilege(pg_catalog.to_regnamespace('pgsweep')::pg_catalog.oid, 'USAGE'), false)"
        "   AND coalesce(pg_catalog.has_table_privilege(pg_catalog.to_regclass('pgsweep.dead_letters')::pg_catalog.oid, 'SELECT'), false)";
    static const char any[] =
        "SELECT EXISTS (SELECT FROM pgsweep.dead_letters AS l WHERE l.policy = $1 AND l.kind = 'row'"
        " AND l.state IN ('parked', 'discarded'))";
    const char *params[] = {plan->policy->name};
    struct db_rows *rows;
    if (!db_query(db, plan, there, 0, NULL, &rows, err))
        return false;
    if (!db_rows_bool(rows, 0, 0))
        return true;
    if (!db_query(db, plan, any, 1, params, &rows, err))
        return false;
    if (!db_rows_bool(rows, 0, 0))
        return true;
    char *policy = db_quote_literal(db, plan, plan->policy->name);
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "(EXISTS (SELECT FROM pgsweep.dead_letters AS l WHERE l.policy = %s AND l.kind = 'row'"
                           " AND l.state IN ('parked', 'discarded') AND l.key = ARRAY[", policy);
    for (size_t k = 0; k < plan->key_count; k++)
        appendPQExpBuffer(sql, "%st.%s::pg_catalog.text", k ? ", " : "", plan->key[k]->ident);
    appendPQExpBufferStr(sql, "]))");
    size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
    plan->guards[g] = (struct plan_guard){.name = "dead letter", .sql = buffer_take(plan, sql), .letters = true};
    return true;
}

bool conditions_build(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    struct condition_facts facts;
    if (policy->where.value &&
        (!build_one(plan, db, "\"where\"", &policy->where, true, &plan->where_sql, &facts, err) ||
         !note_reach(plan, db, &facts, err)))
        return false;
    for (size_t i = 0; i < policy->guard_count; i++) {
        size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
        if (!build_guard(plan, db, &policy->guards[i], &plan->guards[g], err))
            return false;
    }
    build_implied(plan, db);
    return build_letters(plan, db, err);
}
