/* Puts a plan together: root, key, age, cutoff, graph, conditions, strategy. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/text.h"

static bool build_root(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    struct plan_node *root = mem_new(plan, struct plan_node);
    size_t i = mem_grow(plan, &plan->nodes, &plan->node_count);
    bool found;
    plan->nodes[i] = root;
    root->action = ACTION_DELETE;
    if (!catalog_table(plan, db, policy->table.value, &root->table, &found, err))
        return error_prefix(err, "%s", policy->table.origin);
    root->label = root->table.label;
    return found || catalog_no_table(db, &policy->table, err);
}

static bool build_key(struct plan *plan, struct error *err)
{
    struct plan_node *root = plan->nodes[0];
    bool ok = catalog_key(root, err);
    plan->key = root->key;
    plan->key_count = root->key_count;
    return ok;
}

static bool build_age(struct plan *plan, struct error *err)
{
    const struct policy *policy = plan->policy;
    const struct plan_table *table = &plan->nodes[0]->table;
    const char *names[512];
    size_t count = 0;
    plan->age = catalog_column(table, policy->age.value);
    if (plan->age)
        return true;
    for (size_t i = 0; i < table->column_count && count < 512; i++)
        names[count++] = table->columns[i].name;
    const char *nearest = text_nearest(policy->age.value, names, count);
    error_set(err, SWEEP_USAGE, "%s: table %s has no column \"%s\"", policy->age.origin,
              table->label, policy->age.value);
    if (nearest)
        return error_hint(err, "Did you mean \"%s\"?", nearest);
    return error_hint(err, "Name the timestamp column with the age of a row as \"age\".");
}

/* regproc, regprocedure, regoper, regoperator, regclass, regtype, regconfig, regdictionary,
 * regcollation: their numbers in pg_type are fixed. */
static bool has_a_name_by_path(const struct plan_column *column)
{
    static const unsigned types[] = {24, 2202, 2203, 2204, 2205, 2206, 3734, 3769, 4191};
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (column->base_type == types[i])
            return true;
    return false;
}

/* The column that names working directories. Where this host has no such root there is nothing to
 * do. */
static bool build_directory(struct plan *plan, struct error *err)
{
    const struct policy *policy = plan->policy;
    const struct setting *column = &policy->directory;
    const struct setting root = policy_working_root(policy);
    if (!column->value)
        return true;
    plan->directory = catalog_column(&plan->nodes[0]->table, column->value);
    if (!plan->directory)
        return error_set(err, SWEEP_USAGE, "%s: table %s has no column \"%s\"", column->origin,
                         plan->nodes[0]->table.label, column->value);
    if (has_a_name_by_path(plan->directory)) {
        error_set(err, SWEEP_USAGE,
                  "%s: column \"%s\" is of type %s, whose text depends on the search path",
                  column->origin, column->value, plan->directory->type);
        return error_hint(err, "Name working directories by a column of text, numbers or UUIDs.");
    }
    if (root.value[0] != '/')
        return error_set(err, SWEEP_USAGE,
                         "%s: the root of working directories, \"%s\", is not an absolute path",
                         root.origin, root.value);
    plan->directory_root = mem_strdup(plan, root.value);
    if (access(root.value, F_OK) != 0 && errno == ENOENT)
        plan->directory = NULL;
    return true;
}

static bool build_strategy(struct plan *plan)
{
    bool steps = plan->nodes[0]->object_count > 0 || plan->directory;
    for (size_t i = 1; i < plan->node_count; i++)
        steps = steps || plan_acts(plan->nodes[i]);
    bool each = plan->policy->transaction == TRANSACTION_ROW;
    plan->by_row = each && !plan_has_below(plan);
    plan->strategy = STRATEGY_LOCKED;
    if (each && !plan->by_row)
        plan->strategy_reason = "one transaction for each candidate and the rows below it";
    else if (plan->by_row)
        plan->strategy_reason = "one transaction for each candidate";
    else if (steps)
        plan->strategy_reason = "dependents, objects or directories go with the candidates";
    else if (plan->looks_beyond)
        plan->strategy_reason = "a condition looks beyond the candidate's own row";
    else {
        plan->strategy = STRATEGY_RANGE;
        plan->strategy_reason = "every condition is about the candidate's own row";
    }
    return true;
}

static bool build(const void *ctx, struct db *db, const struct policy *policy,
                  const struct plan_request *request, struct plan **out, struct error *err)
{
    struct plan *plan = mem_new(ctx, struct plan);
    plan->policy = policy;
    bool ok = trust_set_path(plan, db, policy, err) && catalog_open(plan, db, err) &&
              build_root(plan, db, err) && trust_check_path(plan, db, err) &&
              build_key(plan, err) && build_age(plan, err) &&
              cutoff_build(plan, db, request->cutoff, err) && graph_build(plan, db, request, err) &&
              order_relate(plan, db, err) && privileges_check(plan, db, request->live, err) &&
              graph_check_targets(plan, db, err) && levels_check(plan, db, err) &&
              conditions_build(plan, db, request, err) && build_directory(plan, err) &&
              build_strategy(plan) && walk_build(plan, db, err) &&
              code_build(plan, db, request->live, err);
    if (!ok || !cascade_build(plan, db, request, err)) {
        talloc_free(plan);
        return false;
    }
    *out = plan;
    return true;
}

/* Tries of a plan, while somebody changes the schema all the time; and of one that others get in
 * the way of. */
enum { TRIES = 8, TRANSIENT_TRIES = 4 };

/* The plan could not be made, but perhaps it can be now: others were in the way (a deadlock, a
 * lock, a time limit), or the catalog has changed since before, so that the answers may be about
 * two states of it. */
static bool may_try_again(void *scratch, struct db *db, const char *before, int *failures,
                          const struct error *why)
{
    struct error ignored = ERROR_INIT;
    char *now = NULL;
    if (db_is_lost(db) || stop_requested())
        return false;
    if (*why->sqlstate && db_failure_class(db, why) == DB_FAILURE_TRANSIENT) {
        /* What ran into the statement's timeout took so long that it is not done over and over
         * again. */
        if (++*failures >= (sqlstate_is(why, SQLSTATE_QUERY_CANCELED) ? 2 : TRANSIENT_TRIES))
            return false;
        clock_sleep_ms(clock_backoff_ms(*failures, 100, 1000));
        return !stop_requested();
    }
    bool changed =
        before && fingerprint_database(scratch, db, &now, &ignored) && strcmp(before, now) != 0;
    error_clear(&ignored);
    return changed;
}

/* The fingerprint is the one of the catalog that the plan was made from: either nothing in the
 * whole database changed from before that until the fingerprint was read, or nothing of the plan's
 * tables since the try before. */
bool plan_build(const void *ctx, struct db *db, const struct policy *policy,
                const struct plan_request *request, struct plan **out, struct error *err)
{
    void *scratch = talloc_new(ctx);
    char *before = NULL, *after = NULL, *tried = NULL;
    bool certain = !request->live;
    bool ok = true;
    int failures = 0;
    for (int i = 0; i < TRIES; i++) {
        before = NULL;
        ok = (!request->live || fingerprint_database(scratch, db, &before, err)) &&
             build(ctx, db, policy, request, out, err) && fingerprint_read(*out, db, &after, err);
        if (ok && !certain)
            certain =
                strcmp(before, after) == 0 || (tried && strcmp(tried, (*out)->fingerprint) == 0);
        if (ok ? certain : i == TRIES - 1 || !may_try_again(scratch, db, before, &failures, err))
            break;
        error_clear(err);
        tried = ok ? mem_strdup(scratch, (*out)->fingerprint) : NULL;
    }
    talloc_free(scratch);
    return ok &&
           (certain || error_set(err, SWEEP_SOME_FAILED,
                                 "%s: the tables of this policy change while its plan is made",
                                 policy->table.origin));
}
