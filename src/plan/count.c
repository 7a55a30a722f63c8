/* Exact counts, in one read-only snapshot, with the plan's own predicates: one statement for all
 * that goes. */
#include <stdlib.h>
#include <stdio.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/plan_locked.h"
#include "pgsweep/template.h"
#include "rowset.h"

static const char file[] = "sql/count.sql";

/* Columns and kinds of the answer, as the template says. */
enum { KIND, NUMBER, USE, LABEL, ROWS };
enum { SPARED, GOING, KEPT, KEPT_BY };

static char *candidate_text(const void *ctx, const struct plan *plan)
{
    PQExpBuffer out = createPQExpBuffer();
    plan_append_candidate(out, plan);
    return buffer_take(ctx, out);
}

static char *add_count(struct rowset *set, char *counts, const char *next)
{
    return counts ? mem_printf(set->ctx, "%s\nUNION ALL\n%s", counts, next)
                  : mem_strdup(set->ctx, next);
}

static char *count_rows(struct rowset *set, int kind, int number, size_t use, const char *name,
                        const char *not_elsewhere)
{
    return template_fill(set->ctx, file, "count_rows",
                         TEMPLATE_SLOTS({"kind", mem_printf(set->ctx, "%d", kind)},
                                        {"number", mem_printf(set->ctx, "%d", number)},
                                        {"use", mem_printf(set->ctx, "%zu", use)}, {"set", name},
                                        {"not_elsewhere", not_elsewhere}));
}

/* Candidates and what spares them. */
static char *candidate_counts(struct rowset *set, char *counts)
{
    const struct plan *plan = set->plan;
    const struct plan_node *root = plan->nodes[0];
    const char *going = rowset_of(set, root);
    const char *old = rowset_name(set, "old", root);
    if (plan->guard_count > 0)
        counts =
            add_count(set, counts,
                      template_fill(set->ctx, file, "count_spared", TEMPLATE_SLOTS({"old", old})));
    for (size_t i = 0; i < plan->guard_count; i++)
        if (plan->guards[i].below)
            counts = add_count(
                set, counts,
                template_fill(set->ctx, file, "count_blocked",
                              TEMPLATE_SLOTS({"guard", mem_printf(set->ctx, "%zu", i + 1)},
                                             {"old", old}, {"going", going})));
    return add_count(set, counts, count_rows(set, GOING, 0, 0, going, NULL));
}

/* Shared rows that lose a reference and stay. */
static char *kept_counts(struct rowset *set, char *counts, const struct plan_node *node)
{
    char *not_going =
        template_fill(set->ctx, "sql/rows.sql", "is_not_in",
                      TEMPLATE_SLOTS({"set", rowset_of(set, node)}, {"row", "b.pgsweep_row"},
                                     {"table", "b.pgsweep_table"}));
    counts = add_count(
        set, counts,
        count_rows(set, KEPT, node->index, 0, rowset_name(set, "linked", node), not_going));
    for (size_t i = 0; i < node->use_count; i++)
        counts = add_count(
            set, counts, count_rows(set, KEPT_BY, node->index, i, rowset_kept(set, node, i), NULL));
    return counts;
}

static char *counts_sql(const void *ctx, const struct plan *plan, bool dependents)
{
    struct rowset set = {.ctx = talloc_new(ctx),
                         .plan = plan,
                         .anchor = ANCHOR_ELIGIBLE,
                         .sql = createPQExpBuffer()};
    set.done = mem_array(set.ctx, bool, plan->node_count);
    char *counts = candidate_counts(&set, NULL);
    for (size_t i = 1; dependents && i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (!plan_acts(node))
            continue;
        const char *name = rowset_of(&set, node);
        const char *elsewhere =
            rowset_not_going(&set, &node->table, "b", true, node, order_is_deleted(node));
        counts = add_count(&set, counts, count_rows(&set, GOING, (int)i, 0, name, elsewhere));
        if (node->action == ACTION_DELETE_ORPHANS)
            counts = kept_counts(&set, counts, node);
    }
    char *sets = buffer_take(set.ctx, set.sql);
    char *sql =
        template_fill(ctx, file, "counts", TEMPLATE_SLOTS({"sets", sets}, {"counts", counts}));
    talloc_free(set.ctx);
    return sql;
}

static void take_row(const void *ctx, const struct plan *plan, struct plan_counts *counts,
                     const struct db_rows *rows, int i)
{
    int64_t number = db_rows_int(rows, i, NUMBER);
    int64_t found = db_rows_int(rows, i, ROWS);
    int64_t kind = db_rows_int(rows, i, KIND);
    if (kind == GOING) {
        counts->by_node[number] = found;
    } else if (kind == KEPT) {
        counts->kept_by_node[number] = found;
    } else if (found > 0 && kind == SPARED) {
        size_t s = mem_grow(ctx, &counts->spared, &counts->spared_count);
        counts->spared[s] =
            (struct plan_spared){plan->guards[number - 1].name, db_rows_get(rows, i, LABEL), found};
    } else if (found > 0 && kind == KEPT_BY) {
        const struct plan_edge *use = &plan->nodes[number]->uses[db_rows_int(rows, i, USE)];
        size_t k = mem_grow(ctx, &counts->kept, &counts->kept_count);
        counts->kept[k] = (struct plan_kept){(int)number, use->table, use->constraint, found};
    }
}

/* How the candidates are counted. */
enum how {
    HOW_PLAIN,    /* nothing spares one, nothing hangs on one: an index may answer alone */
    HOW_BY_GUARD, /* one scan, by what spares each row that is old enough */
    HOW_SETS,     /* with what goes besides, or what stays because of it */
};

static enum how how_to_count(const struct plan *plan, bool dependents)
{
    for (size_t i = 1; dependents && i < plan->node_count; i++)
        if (plan_acts(plan->nodes[i]))
            return HOW_SETS;
    return plan->guard_count == 0 ? HOW_PLAIN : plan_has_below(plan) ? HOW_SETS : HOW_BY_GUARD;
}

static char *plain_sql(const void *ctx, const struct plan *plan)
{
    return template_fill(ctx, file, "candidates",
                         TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident},
                                        {"candidate", candidate_text(ctx, plan)}));
}

static const char *const templates[] = {
    [HOW_PLAIN] = "candidates", [HOW_BY_GUARD] = "candidates_by_guard", [HOW_SETS] = "counts"};

char *plan_count_sql(const void *ctx, const struct plan *plan, bool dependents, char **why)
{
    enum how how = how_to_count(plan, dependents);
    if (why)
        *why = template_why(ctx, file, templates[how]);
    return how == HOW_PLAIN      ? plain_sql(ctx, plan)
           : how == HOW_BY_GUARD ? rowset_candidates_by_guard(ctx, plan, templates[how])
                                 : counts_sql(ctx, plan, dependents);
}

static char *total_sql(const void *ctx, const struct plan *plan)
{
    return template_fill(
        ctx, file, "total",
        TEMPLATE_SLOTS({"table", plan->nodes[0]->table.ident}, {"type", plan->age->value_type},
                       {"where", condition_indented(ctx, plan->where_sql, strlen("AND "))}));
}

/* NULL: the role may lock none. */
static char *lock_sql(const void *ctx, const struct plan *plan)
{
    char *list = NULL;
    for (size_t i = 0; i < plan->node_count; i++)
        if (plan->nodes[i]->table.may_select)
            list = mem_printf(ctx, "%s%s%s", list ? list : "", list ? ", " : "",
                              plan->nodes[i]->table.ident);
    return list ? template_fill(ctx, file, "lock_counted", TEMPLATE_SLOTS({"tables", list})) : NULL;
}

bool plan_count(const void *ctx, struct db *db, const struct plan *plan, bool dependents,
                int64_t timeout_ms, struct plan_counts *counts, struct error *err)
{
    const char *params[] = {plan->cutoff_value};
    struct db_question all[3] = {{.sql = lock_sql(ctx, plan)}};
    struct db_question *questions = &all[all[0].sql ? 1 : 0];
    questions[0] = (struct db_question){
        .sql = plan_count_sql(ctx, plan, dependents, NULL), .nparams = 1, .params = params};
    bool total = plan->policy->count_total;
    if (total)
        questions[1] =
            (struct db_question){.sql = total_sql(ctx, plan), .nparams = 1, .params = params};
    size_t asked = (size_t)(questions - all) + (total ? 2 : 1);
    *counts = (struct plan_counts){.total = -1};
    counts->by_node = mem_array(ctx, int64_t, plan->node_count);
    counts->kept_by_node = mem_array(ctx, int64_t, plan->node_count);
    db_give_way(db, true);
    bool ok = db_ask_one_state(db, ctx, all, asked, timeout_ms, err);
    db_give_way(db, false);
    if (!ok)
        return false;
    if (total)
        counts->total = db_rows_int(questions[1].rows, 0, 0);
    if (how_to_count(plan, dependents) == HOW_PLAIN)
        counts->by_node[0] = db_rows_int(questions[0].rows, 0, 0);
    else
        for (int i = 0; i < db_rows_count(questions[0].rows); i++)
            take_row(ctx, plan, counts, questions[0].rows, i);
    counts->eligible = counts->by_node[0];
    return true;
}

static char *not_failed(void *scratch, struct db *db, const struct plan *plan, const char *run_id)
{
    PQExpBuffer digest = createPQExpBuffer();
    plan_append_digest(digest, plan);
    return template_fill(
        scratch, file, "not_failed",
        TEMPLATE_SLOTS({"policy", db_quote_literal(db, scratch, plan->policy->name)},
                       {"run_id", db_quote_literal(db, scratch, run_id)},
                       {"digest", buffer_take(scratch, digest)}));
}

/* The conditions of the statements about what is left; owned by ctx. */
struct remaining {
    const char *table, *candidate, *not_failed;
};

static struct remaining remaining_of(void *ctx, struct db *db, const struct plan *plan,
                                     const char *failed_in)
{
    return (struct remaining){plan->nodes[0]->table.ident, candidate_text(ctx, plan),
                              failed_in ? not_failed(ctx, db, plan, failed_in) : NULL};
}

static bool ask_remaining(const void *ctx, struct db *db, const struct plan *plan, const char *sql,
                          int64_t limit, struct db_rows **rows, struct error *err)
{
    char number[24];
    snprintf(number, sizeof number, "%lld", (long long)limit);
    const char *params[] = {plan->cutoff_value, number};
    db_give_way(db, true);
    bool ok = db_query(db, ctx, sql, 2, params, rows, err);
    db_give_way(db, false);
    return ok;
}

bool plan_count_remaining(struct db *db, const struct plan *plan, const char *failed_in,
                          int64_t limit, int64_t *rows, struct error *err)
{
    struct db_rows *answer;
    void *scratch = talloc_new(db);
    struct remaining of = remaining_of(scratch, db, plan, failed_in);
    char *sql = template_fill(scratch, file, "remaining",
                              TEMPLATE_SLOTS({"table", of.table}, {"candidate", of.candidate},
                                             {"not_failed", of.not_failed}));
    bool ok = ask_remaining(scratch, db, plan, sql, limit, &answer, err);
    if (ok)
        *rows = db_rows_int(answer, 0, 0);
    talloc_free(scratch);
    return ok;
}

bool plan_name_remaining(const void *ctx, struct db *db, const struct plan *plan,
                         const char *failed_in, int64_t limit, struct db_rows **rows,
                         struct error *err)
{
    void *scratch = talloc_new(db);
    struct remaining of = remaining_of(scratch, db, plan, failed_in);
    PQExpBuffer order = createPQExpBuffer();
    char *key = mem_strdup(scratch, "");
    for (size_t k = 0; k < plan->key_count; k++)
        key = mem_printf(scratch, "%s%st.%s::pg_catalog.text", key, k ? ", " : "",
                         plan->key[k]->ident);
    plan_append_cursor(order, plan, true);
    char *sql = template_fill(
        scratch, file, "remaining_keys",
        TEMPLATE_SLOTS({"key", key}, {"table", of.table}, {"candidate", of.candidate},
                       {"not_failed", of.not_failed}, {"order", buffer_take(scratch, order)}));
    bool ok = ask_remaining(ctx, db, plan, sql, limit, rows, err);
    talloc_free(scratch);
    return ok;
}

/* The guards of the policy, joined by OR. Without one nothing tells active from finished: then
 * every row is active. */
static char *active_guards(const void *ctx, const struct plan *plan)
{
    char *text = NULL;
    for (size_t i = 0; i < plan->guard_count; i++)
        if (!plan->guards[i].letters && !plan->guards[i].below)
            text = mem_printf(ctx, "%s%s%s IS NOT FALSE", text ? text : "", text ? " OR " : "",
                              plan->guards[i].sql);
    return text ? text : mem_strdup(ctx, "true");
}

bool plan_active_keys(const void *ctx, struct db *db, const struct plan *plan, const char ***keys,
                      size_t *count, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {plan->cutoff_value};
    const struct setting *named = &plan->policy->directory;
    const struct plan_column *column = plan->key[0];
    if (named->value)
        column = catalog_column(&plan->nodes[0]->table,
                                named->value); /* plan_build saw that it is there */
    else if (plan->key_count != 1)
        return error_set(err, SWEEP_USAGE,
                         "policy %s: the key of %s has several columns and names no directory",
                         plan->policy->name, plan->nodes[0]->table.label);
    PQExpBuffer text = createPQExpBuffer();
    plan_append_text(text, "t", column);
    char *sql = template_fill(
        ctx, file, "active",
        TEMPLATE_SLOTS({"column", column->ident}, {"text", buffer_take(ctx, text)},
                       {"table", plan->nodes[0]->table.ident}, {"type", plan->age->value_type},
                       {"guards", active_guards(ctx, plan)}));
    db_give_way(db, true);
    bool ok = db_query(db, ctx, sql, 1, params, &rows, err);
    db_give_way(db, false);
    if (!ok)
        return false;
    *count = (size_t)db_rows_count(rows);
    *keys = mem_array(ctx, const char *, *count + 1);
    for (size_t i = 0; i < *count; i++)
        (*keys)[i] = db_rows_get(rows, (int)i, 0);
    return true;
}
