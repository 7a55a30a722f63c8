/* The policy's conditions, checked against the schema and turned into SQL of the plan. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"

static const char CONDITIONS[] = "sql/conditions.sql";

/* What PostgreSQL says about a condition, in terms of the policy. */
static bool explain(const struct plan *plan, struct db *db, const char *what,
                    const struct setting *condition, struct error *err)
{
    const char *name = plan->policy->name;
    bool misfit = sqlstate_is_of(err, SQLSTATE_CLASS_SYNTAX) &&
                  !sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE);
    error_prefix(err, "%s: %s %s", condition->origin, what,
                 db_failed_for_lock(err) ? "could not be checked" : "does not fit the schema");
    if (sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE)) {
        error_hint(err, "Grant SELECT on that table to role %s.", db_user(db));
        return false;
    }
    error_detail(err, "Condition: %s%s%s", condition->value, err->hint ? "\nPostgreSQL: " : "",
                 err->hint ? err->hint : "");
    if (misfit && !policy_is_built_in(plan->policy))
        error_hint(err, "Say in %s how this schema expresses it. pgsweep does not guess.",
                   plan->policy->source);
    else if (misfit)
        error_hint(err,
                   "Say in a policy of your own how this schema expresses it: "
                   "\"pgsweep show %s > DIR/%s.yaml\", edit the condition there, and run with "
                   "--policy-dir DIR. pgsweep does not guess.",
                   name, name);
    return false;
}

/* Sets *sql (owned by the plan) and says what its tokens tell about the condition. */
static bool build_one(struct plan *plan, struct db *db, const char *what,
                      const struct setting *condition, bool boolean, const char **sql,
                      struct condition_facts *facts, struct error *err)
{
    if (!condition_check(plan, condition, facts, err))
        return false;
    PQExpBuffer text = createPQExpBuffer();
    bool ok = cutoff_append_condition(text, plan, db, what, condition, boolean, err);
    *sql = buffer_take(plan, text);
    if (!ok)
        return false;
    char *probe = condition_probe(plan, *sql, boolean);
    ok = db_check(db, probe, err);
    talloc_free(probe);
    return ok || explain(plan, db, what, condition, err);
}

static bool build_guard(struct plan *plan, struct db *db, const struct policy_guard *from,
                        struct plan_guard *guard, struct reads *reads, struct error *err)
{
    struct condition_facts facts;
    char *what = mem_printf(plan, "guard \"%s\"", from->name);
    guard->name = from->name;
    if (!build_one(plan, db, what, &from->unless, true, &guard->sql, &facts, err) ||
        !reads_ask(plan, db, guard->sql, &facts, reads, err))
        return false;
    guard->beyond = reads->beyond;
    return !from->by.value || build_one(plan, db, what, &from->by, false, &guard->by, &facts, err);
}

/* A dependent that keeps its candidate is a guard: "it has such rows". */
static void build_keep(struct plan *plan, const struct plan_node *node, struct plan_guard *guard)
{
    PQExpBuffer sql = createPQExpBuffer();
    PQExpBuffer rows = createPQExpBuffer();
    reach_append(rows, plan, node, "d", ANCHOR_CORRELATED);
    appendPQExpBufferChar(sql, '(');
    reach_append_exists(sql, node->table.ident, "d", rows, false);
    appendPQExpBufferChar(sql, ')');
    guard->name = mem_printf(plan, "has %s", node->table.name);
    guard->kept = node;
    guard->beyond = true;
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
    appendPQExpBuffer(sql, ".%s%s %s %s::%s%s %s", edge->referred[0], edge->referred_casts[0],
                      edge->operators[0], db_quote_literal(db, plan, node->rule->to.value),
                      catalog_column(&node->table, edge->names[0])->value_type,
                      edge->column_casts[0], edge->collations[0]);
    if (!root) {
        appendPQExpBufferStr(sql, "\nAND ");
        reach_append(sql, plan, edge->parent, "n", ANCHOR_CORRELATED);
        plan->looks_beyond = true;
    }
    appendPQExpBufferStr(sql, root ? ", false)" : "))");
    guard->name = mem_printf(plan, "takes over %s", node->table.name);
    guard->target = root ? NULL : edge->parent;
    guard->beyond = !root;
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
        for (size_t e = 0; node->action == ACTION_REASSIGN && !node->orphan && e < node->edge_count;
             e++) {
            size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
            build_target(plan, db, node, &node->edges[e], &plan->guards[g]);
        }
    }
}

/* Rows that a person has to look at first, or said should stay. A dry run asks if it can. That the
 * answer stays true while a live run is on, each transaction checks. */
static bool build_letters(struct plan *plan, struct db *db, struct error *err)
{
    const char *params[] = {plan->policy->name};
    enum { READABLE, ANY, QUESTIONS };
    struct db_question questions[QUESTIONS] = {
        [READABLE].sql = template_fill(plan, CONDITIONS, "letters_readable", NULL),
        [ANY] = {.sql = template_fill(plan, CONDITIONS, "letters_any", NULL),
                 .nparams = 1,
                 .params = params}};
    bool ok = db_ask(db, plan, questions, QUESTIONS, err);
    if (db_is_lost(db) || !questions[READABLE].rows)
        return false;
    if (!db_rows_bool(questions[READABLE].rows, 0, 0)) {
        error_clear(err);
        return true; /* a live run ends here by itself, with what to do about it */
    }
    if (!ok)
        return false;
    plan->obeys_letters = db_rows_bool(questions[ANY].rows, 0, 0);
    if (!plan->obeys_letters)
        return true;
    PQExpBuffer digest = createPQExpBuffer();
    plan_append_digest(digest, plan);
    size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
    plan->guards[g] = (struct plan_guard){.name = "dead letter", .letters = true, .beyond = true};
    plan->guards[g].sql =
        template_fill(plan, CONDITIONS, "letter_guard",
                      TEMPLATE_SLOTS({"policy", db_quote_literal(db, plan, plan->policy->name)},
                                     {"digest", buffer_take(plan, digest)}));
    return true;
}

/* A row goes together with all that is below it. What the run's own deletions make free there stays
 * all the same. */
static void build_below(struct plan *plan)
{
    if (!plan_has_below(plan))
        return;
    PQExpBuffer sql = createPQExpBuffer();
    below_append_guard(sql, plan);
    size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
    plan->guards[g] =
        (struct plan_guard){.below = true, .beyond = true, .freeable = plan->spared_run != NULL};
    plan->guards[g].name =
        mem_printf(plan, "has %s below it that stay", plan->nodes[0]->table.name);
    plan->guards[g].sql = buffer_take(plan, sql);
    plan->looks_beyond = true;
}

bool conditions_build(struct plan *plan, struct db *db, const struct plan_request *request,
                      struct error *err)
{
    const struct policy *policy = plan->policy;
    struct condition_facts facts;
    struct reads where;
    struct reads *reads = mem_array(plan, struct reads, policy->guard_count + 1);
    if (policy->where.value &&
        (!build_one(plan, db, "\"where\"", &policy->where, true, &plan->where_sql, &facts, err) ||
         !reads_ask(plan, db, plan->where_sql, &facts, &where, err)))
        return false;
    for (size_t i = 0; i < policy->guard_count; i++) {
        size_t g = mem_grow(plan, &plan->guards, &plan->guard_count);
        if (!build_guard(plan, db, &policy->guards[i], &plan->guards[g], &reads[i], err))
            return false;
    }
    build_implied(plan, db);
    if (!freeable_note(plan, db, policy->where.value ? &where : NULL, reads, request->run_id,
                       err) ||
        !build_letters(plan, db, err))
        return false;
    build_below(plan);
    return true;
}
