/* What one transaction does to the rows in hand, as a list of statements in their order: written once
 * for chunks and for single rows. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

static const char *const record_words[] = {"run id", "tables", "their numbers in the plan"};
static const char *const queue_words[] = {"run id", "policy", "where the name was found", "kind", "root of directories", "store",
                                         "bucket of a value that names none"};

/* Adds a statement, whose why stands in the template of that name. Its parameters, in words, follow when the list is
 * complete. */
static struct work_step *add_step(struct sweep *sweep, const char *name, const struct plan_node *about, const char *sql)
{
    struct work *work = &sweep->work;
    size_t i = mem_grow(sweep->report, &work->steps, &work->count);
    struct work_step *step = &work->steps[i];
    step->statement.name = mem_printf(sweep->report, "work_%zu_%s", i, name);
    step->statement.sql = sql;
    step->statement.why = template_why(sweep->report, SWEEP_SQL, name);
    step->about = about;
    return step;
}

static struct work_step *add_made(struct sweep *sweep, const char *name, const struct plan_node *about, PQExpBuffer made)
{
    return add_step(sweep, name, about, buffer_take(sweep->report, made));
}

/* A SELECT, or a DELETE or UPDATE with RETURNING, whose rows count for node. */
static struct work_step *add_counting(struct sweep *sweep, const char *name, const struct plan_node *node,
                                      PQExpBuffer rows)
{
    char *text = buffer_take(sweep->report, rows);
    struct work_step *step = add_step(sweep, name, node, run_counted_sql(sweep->report, node->index, text));
    step->node = node;
    return step;
}

/* A DELETE or UPDATE whose rows count for node. Near the server its command tag counts them. */
static struct work_step *add_counted(struct sweep *sweep, const char *name, const struct plan_node *node,
                                     PQExpBuffer change)
{
    if (!sweep->near || sweep->plan->by_row) {
        appendPQExpBufferStr(change, "\nRETURNING 1");
        return add_counting(sweep, name, node, change);
    }
    struct work_step *step = add_made(sweep, name, node, change);
    step->node = node;
    step->plain = true;
    return step;
}

/* Everything that is to be done to the rows of node, and how many they are. */
static void add_acts(struct sweep *sweep, const struct plan_node *node)
{
    bool apart = plan_counts_apart(sweep->plan, node);
    if (apart) {
        PQExpBuffer rows = createPQExpBuffer();
        plan_append_count_step(rows, sweep->plan, node);
        struct work_step *step = add_counting(sweep, "count", node, rows);
        step->takes_cutoff = true;
        step->takes_keys = true;
    }
    for (size_t i = 0; i < plan_step_count(node); i++) {
        PQExpBuffer change = createPQExpBuffer();
        plan_append_step(change, sweep->plan, node, plan_step_edge(node, i));
        struct work_step *step = apart ? add_made(sweep, "change", node, change)
                                       : add_counted(sweep, "change", node, change);
        step->takes_keys = plan_takes_keys(node);
        step->extra = mem_array(sweep->report, const char *, node->set_count + 1);
        step->extra_count = plan_step_values(node, step->extra);
    }
}

/* The values that select finds enter the queue. */
static void add_queue(struct sweep *sweep, const struct plan_node *node, PQExpBuffer select, bool takes_keys,
                      const char *source, const char *root)
{
    PQExpBuffer sql = createPQExpBuffer();
    char *text = buffer_take(sweep->report, select);
    queue_append_insert(sql, text, takes_keys ? (int)sweep->plan->key_count + 1 : 1);
    talloc_free(text);
    struct work_step *step = add_made(sweep, root ? "queue_directories" : "queue", node, sql);
    step->takes_keys = takes_keys;
    step->queues_object = root == NULL;
    step->queues_directory = root != NULL;
    step->extra = mem_array(sweep->report, const char *, QUEUE_PARAMS);
    step->extra[0] = sweep->report->run_id;
    step->extra[1] = sweep->report->policy->name;
    step->extra[2] = source;
    step->extra[3] = root ? "directory" : "object";
    step->extra[4] = root;
    if (!root)
        queue_binding(sweep->report, &step->extra[5], &step->extra[6]);
    step->extra_count = QUEUE_PARAMS;
    step->extra_words = queue_words;
}

static void add_objects(struct sweep *sweep, const struct plan_node *node)
{
    for (size_t i = 0; i < node->object_count; i++) {
        PQExpBuffer select = createPQExpBuffer();
        plan_append_objects(select, sweep->plan, node, i);
        add_queue(sweep, node, select, plan_takes_keys(node),
                  mem_printf(sweep->report, "%s.%s", node->label, node->objects[i].name), NULL);
    }
}

static void add_directories(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    if (!plan->directory)
        return;
    PQExpBuffer select = createPQExpBuffer();
    plan_append_directories(select, plan);
    add_queue(sweep, plan->nodes[0], select, true,
              mem_printf(sweep->report, "%s.%s", plan->nodes[0]->label, plan->directory->name),
              plan->directory_root);
}

static bool is_parent(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 1; i < plan->node_count; i++)
        for (size_t e = 0; e < plan->nodes[i]->edge_count; e++)
            if (plan->nodes[i]->edges[e].parent == node)
                return true;
    return false;
}

/* Locks the rows that go and that others may refer to: one that another session adds behind our back would
 * go by a declared cascade, whatever the policy says about it. */
static void add_locks(struct sweep *sweep, const struct plan_node *node)
{
    if (node->action != ACTION_DELETE || !is_parent(sweep->plan, node))
        return;
    for (size_t i = 0; i < plan_step_count(node); i++) {
        PQExpBuffer sql = createPQExpBuffer();
        plan_append_lock_step(sql, sweep->plan, node, plan_step_edge(node, i));
        add_made(sweep, "lock_rows", node, sql)->takes_keys = plan_takes_keys(node);
    }
}

/* What hangs on the root, or on a shared table: objects first, while their rows are there. */
static void add_dependents(struct sweep *sweep, const struct plan_node *orphan)
{
    size_t count;
    const struct plan_node **nodes = plan_execution_order(sweep->report, sweep->plan, orphan, &count);
    /* From the top down, as a writer who adds to them would lock them. */
    for (size_t i = count; i > 0; i--)
        add_locks(sweep, nodes[i - 1]);
    for (size_t i = 0; i < count; i++)
        add_objects(sweep, nodes[i]);
    for (size_t i = 0; i < count; i++)
        add_acts(sweep, nodes[i]);
}

static void add_root(struct sweep *sweep)
{
    PQExpBuffer change = createPQExpBuffer();
    const struct plan_node *root = sweep->plan->nodes[0];
    char *sql = template_fill(sweep->report, SWEEP_SQL, "delete_root",
                              TEMPLATE_SLOTS({"root", root->table.ident}, {"keys", statements_keys_sql(sweep, 1)}));
    appendPQExpBufferStr(change, sql);
    add_counted(sweep, "delete_root", root, change)->takes_keys = true;
}

/* Remembers the shared rows that those in hand refer to: of the root and what hangs on it (NULL), or of a shared
 * table. */
static void add_collects(struct sweep *sweep, const struct plan_node *group)
{
    for (size_t i = 0; i < sweep->plan->shared_count; i++) {
        if (!plan_collects(sweep->plan->shared[i], group))
            continue;
        PQExpBuffer sql = createPQExpBuffer();
        plan_append_collect(sql, sweep->plan, sweep->plan->shared[i], group);
        add_made(sweep, "collect", sweep->plan->shared[i], sql)->takes_keys = group == NULL;
    }
}

static void add_orphans(struct sweep *sweep, const struct plan_node *orphan)
{
    PQExpBuffer narrow = createPQExpBuffer();
    PQExpBuffer change = createPQExpBuffer();
    plan_append_narrow(narrow, sweep->plan, orphan);
    add_made(sweep, "narrow", orphan, narrow);
    add_collects(sweep, orphan);
    add_objects(sweep, orphan);
    add_dependents(sweep, orphan);
    plan_append_delete_orphans(change, orphan);
    add_counted(sweep, "delete_orphans", orphan, change);
}

/* What looks at the rows and records them in one go with the rest, for a distant server and for single rows. */
static void add_end(struct sweep *sweep)
{
    sweep->work.counted = sweep->work.count;
    add_step(sweep, "assert", sweep->plan->nodes[0], run_assertion_sql(sweep->report, 0))->asserts = true;
    struct work_step *step = add_step(sweep, "record", NULL, sweep->statements.record.sql);
    step->extra = mem_array(sweep->report, const char *, RUN_RECORD_PARAMS);
    step->extra_count = run_record_params(sweep->report, sweep->report, step->extra);
    step->extra_words = record_words;
}

/* "public.files: Locks ...": which table a statement is about, and what its parameters are. */
static void explain(struct sweep *sweep, struct work_step *step)
{
    char *words = mem_strdup(sweep->report, "");
    int n = 1;
    if (step->about)
        step->statement.why = mem_printf(sweep->report, "%s: %s", step->about->label, step->statement.why);
    if (step->takes_cutoff)
        words = mem_printf(sweep->report, "$%d cutoff", n++);
    for (size_t k = 0; step->takes_keys && k < sweep->plan->key_count; k++, n++)
        words = mem_printf(sweep->report, "%s%s$%d keys of the candidates (%s)", words, n > 1 ? ", " : "", n,
                           sweep->plan->key[k]->name);
    for (int k = 0; k < step->extra_count; k++, n++)
        words = mem_printf(sweep->report, "%s%s$%d %s", words, n > 1 ? ", " : "", n,
                           step->extra_words ? step->extra_words[k] : "value that the policy sets");
    if (step->asserts)
        words = mem_printf(sweep->report, "$%d how many candidates", n);
    step->statement.parameters = *words ? words : NULL;
}

void work_build(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    add_collects(sweep, NULL);
    add_objects(sweep, plan->nodes[0]);
    add_directories(sweep);
    add_dependents(sweep, NULL);
    add_root(sweep);
    for (size_t i = 0; i < plan->shared_count; i++)
        add_orphans(sweep, plan->shared[i]);
    add_end(sweep);
    for (size_t i = 0; i < sweep->work.count; i++)
        explain(sweep, &sweep->work.steps[i]);
}

int work_add(struct sweep *sweep, const void *ctx, const char *const *keys, int64_t rows,
             struct db_step *steps)
{
    size_t key_count = sweep->plan->key_count;
    const char *number = mem_printf(ctx, "%lld", (long long)rows);
    for (size_t i = 0; i < sweep->work.count; i++) {
        const struct work_step *from = &sweep->work.steps[i];
        const char **params = mem_array(ctx, const char *, key_count + (size_t)from->extra_count + 2);
        int n = 0;
        if (from->takes_cutoff)
            params[n++] = sweep->plan->cutoff_value;
        if (from->takes_keys)
            for (size_t k = 0; k < key_count; k++)
                params[n++] = keys[k];
        for (int k = 0; k < from->extra_count; k++)
            params[n++] = from->extra[k];
        if (from->asserts)
            params[n++] = number;
        steps[i] = (struct db_step){.statement = &from->statement, .nparams = n, .params = params};
    }
    return work_end(steps, (int)sweep->work.count);
}

int work_end(struct db_step *steps, int n)
{
    /* COMMIT stands behind a synchronisation point, so that it is never skipped: after a failure it
     * ends the transaction all the same, and says ROLLBACK. */
    steps[n - 1].sync = true;
    steps[n] = (struct db_step){.statement = &db_commit, .sync = true};
    return n + 1;
}

int work_add_counted_end(struct sweep *sweep, const void *ctx, const int64_t *rows, struct db_step *steps)
{
    const char **params = mem_array(ctx, const char *, RUN_RECORD_PARAMS);
    int count = run_counted_params(ctx, sweep->report, rows, params);
    steps[0] = (struct db_step){.statement = &sweep->statements.record_counted, .nparams = count, .params = params};
    return work_end(steps, 1);
}

void work_count(const struct sweep *sweep, const struct db_step *steps, struct chunk *chunk, int64_t *added)
{
    for (size_t i = 0; i < sweep->work.count; i++) {
        const struct work_step *step = &sweep->work.steps[i];
        if (step->node && steps[i].rows)
            added[step->node->index] += step->plain ? db_rows_affected(steps[i].rows)
                                                    : db_rows_int(steps[i].rows, 0, 0);
        if (step->queues_object && steps[i].rows)
            chunk->queued += db_rows_affected(steps[i].rows);
        if (step->queues_directory && steps[i].rows)
            chunk->directories += db_rows_affected(steps[i].rows);
    }
}

void work_kept(const struct sweep *sweep, int64_t rows, struct error *err)
{
    error_set(err, SWEEP_SOME_FAILED, "a trigger or rule kept %s of %s from being deleted",
              rows == 1 ? "the row" : "some rows", sweep->plan->nodes[0]->table.label);
    error_sqlstate(err, "P0004");
}

void work_explain(const struct sweep *sweep, int step, int64_t rows, struct error *err)
{
    if (step >= 0 && step < (int)sweep->work.count && sweep->work.steps[step].asserts)
        work_kept(sweep, rows, err);
}
