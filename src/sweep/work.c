/* What one transaction does to the rows in hand, as a list of statements in their order: written
 * once for chunks and for single rows. Everything is locked before it is read. */
#include <string.h>

#include "internal.h"
#include "pgsweep/effects_file_rules.h"
#include "pgsweep/effects_objects.h"
#include "pgsweep/mem.h"
#include "pgsweep/state_queue.h"
#include "pgsweep/state_runs.h"

static const char *const record_words[] = {"run id", "tables", "their numbers in the plan"};
static const char *const counters_words[] = {"tables", "their numbers in the plan"};
static const char *const cascaded_words[] = {"its table", "table of the candidates"};
static const char *const check_words[] = {"tables of the plan", "its fingerprint"};
static const char *const queue_words[] = {"run id",
                                          "policy",
                                          "where the name was found",
                                          "kind",
                                          "root of directories",
                                          "what stays in directories",
                                          "store",
                                          "bucket of a value that names none",
                                          "what its key must begin with"};

static struct work_step *add_made(struct sweep *sweep, const char *name,
                                  const struct plan_node *about, PQExpBuffer made)
{
    return work_step(sweep, name, about, buffer_take(sweep->report, made));
}

/* Near the server the counting is done here, from command tags. */
static bool counts_in_sql(const struct sweep *sweep)
{
    return !sweep->pace.near || sweep->plan->by_row;
}

/* A SELECT, or a DELETE or UPDATE with RETURNING, whose rows count for node. */
static struct work_step *add_counting(struct sweep *sweep, const char *name,
                                      const struct plan_node *node, PQExpBuffer rows)
{
    char *text = buffer_take(sweep->report, rows);
    struct work_step *step =
        work_step(sweep, name, node, run_counted_sql(sweep->report, node->index, text));
    step->node = node;
    return step;
}

/* A DELETE or UPDATE whose rows count for node. */
static struct work_step *add_counted(struct sweep *sweep, const char *name,
                                     const struct plan_node *node, PQExpBuffer change)
{
    if (counts_in_sql(sweep)) {
        appendPQExpBufferStr(change, "\nRETURNING 1");
        return add_counting(sweep, name, node, change);
    }
    struct work_step *step = add_made(sweep, name, node, change);
    step->node = node;
    step->plain = true;
    return step;
}

/* Something could keep the rows without an error: fails if any is left. */
static void add_look_left(struct sweep *sweep, const struct plan_node *node,
                          const struct plan_edge *edge)
{
    if (!node->obstacle)
        return;
    PQExpBuffer rows = createPQExpBuffer();
    plan_append_reached(rows, sweep->plan, node, edge);
    char *text = buffer_take(sweep->report, rows);
    struct work_step *step =
        work_step(sweep, "look_left", node,
                  template_fill(sweep->report, SWEEP_SQL, "look_left",
                                TEMPLATE_SLOTS({"table", node->table.ident}, {"rows", text})));
    step->takes_keys = plan_takes_keys(node);
    step->expects = EXPECTS_NONE_LEFT;
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
        add_look_left(sweep, node, plan_step_edge(node, i));
    }
}

/* The values that select finds enter the queue. */
static void add_queue(struct sweep *sweep, const struct plan_node *node, PQExpBuffer select,
                      bool takes_keys, const char *source, const char *root,
                      const struct plan_object *object)
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
    if (root)
        step->extra[5] = file_rules_write(sweep->report, &sweep->report->policy->files);
    else
        objects_binding(sweep->report, &step->extra[6], &step->extra[7]);
    if (object && object->prefix_count > 0)
        step->extra[8] = db_array(sweep->report, object->prefixes, object->prefix_count);
    step->extra_count = QUEUE_PARAMS;
    step->extra_words = queue_words;
}

static void add_objects(struct sweep *sweep, const struct plan_node *node)
{
    for (size_t i = 0; i < node->object_count; i++) {
        PQExpBuffer select = createPQExpBuffer();
        plan_append_objects(select, sweep->plan, node, i);
        add_queue(sweep, node, select, plan_takes_keys(node),
                  mem_printf(sweep->report, "%s.%s", node->label, node->objects[i].name), NULL,
                  &node->objects[i]);
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
              plan->directory_root, NULL);
}

static bool is_parent(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 1; i < plan->node_count; i++)
        for (size_t e = 0; e < plan->nodes[i]->edge_count; e++)
            if (plan->nodes[i]->edges[e].parent == node)
                return true;
    return false;
}

static bool links_to_shared(const struct plan *plan, const struct plan_node *node)
{
    for (size_t i = 0; i < plan->shared_count; i++)
        for (size_t k = 0; k < plan->shared[i]->link_count; k++)
            if (plan->shared[i]->links[k].child == node)
                return true;
    return false;
}

/* Rows can be added to those of the node although what they refer to is locked: no constraint makes
 * the other session wait, or it refers to a row that was added itself. */
static bool may_grow(const struct plan_node *node)
{
    bool grows = node->recursive;
    for (size_t i = 0; i < node->edge_count; i++)
        grows = grows || node->edges[i].stated;
    return grows;
}

/* Locks rows that go, where something of them is used later in the transaction: names of objects,
 * links to shared rows, or rows that refer to them (one that another session adds would go by a
 * declared cascade, whatever the policy says about it). */
static void add_locks(struct sweep *sweep, const struct plan_node *node)
{
    bool grows = may_grow(node);
    bool used = is_parent(sweep->plan, node) || node->object_count > 0 ||
                links_to_shared(sweep->plan, node);
    bool locked =
        sweep->plan->looks_beyond && !node->orphan; /* before the conditions were evaluated again */
    if (node->action != ACTION_DELETE || !used || (locked && !grows))
        return;
    size_t steps = grows ? 1 : plan_step_count(node);
    for (size_t i = 0; i < steps; i++) {
        PQExpBuffer sql = createPQExpBuffer();
        plan_append_lock_step(sql, sweep->plan, node,
                              grows && steps < node->edge_count ? NULL : plan_step_edge(node, i));
        struct work_step *step = add_made(sweep, "lock_rows", node, sql);
        step->takes_keys = plan_takes_keys(node);
        if (!grows)
            continue;
        step->locks = node;
        if (counts_in_sql(sweep)) {
            PQExpBuffer rows = createPQExpBuffer();
            plan_append_lock_rows(rows, sweep->plan, node);
            char *text = buffer_take(sweep->report, rows);
            step->statement.sql =
                run_counted_sql(sweep->report, work_locked_number(sweep, node), text);
        }
    }
}

/* Fails if rows were deleted that had not been locked before. */
static void add_assert_locked(struct sweep *sweep)
{
    size_t count = sweep->work.count;
    for (size_t i = 0; i < count && counts_in_sql(sweep); i++) {
        const struct plan_node *node = sweep->work.steps[i].locks;
        if (!node)
            continue;
        char *sql =
            run_assert_locked_sql(sweep->report, node->index, work_locked_number(sweep, node));
        work_step(sweep, "assert_locked", node, sql)->expects = EXPECTS_LOCKED;
    }
}

/* Dependents from the top down, as a writer who adds to them would lock them. */
static void add_dependent_locks(struct sweep *sweep, const struct plan_node *const *nodes,
                                size_t count)
{
    for (size_t i = count; i > 0; i--)
        add_locks(sweep, nodes[i - 1]);
}

/* Parameters that stay the same, which the caller fills in. */
static const char **add_extra(struct sweep *sweep, struct work_step *step, int count,
                              const char *const *words)
{
    step->extra = mem_array(sweep->report, const char *, (size_t)count);
    step->extra_count = count;
    step->extra_words = words;
    return step->extra;
}

/* Before the candidates are deleted: how many rows the session has deleted, of them and of what
 * goes by foreign keys. */
static void add_note_counters(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    const char **oids = mem_array(sweep->report, const char *, plan->node_count);
    const char **numbers = mem_array(sweep->report, const char *, plan->node_count);
    size_t count = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        if (i == 0 || plan->nodes[i]->cascades) {
            oids[count] = plan->nodes[i]->table.oid;
            numbers[count++] = mem_printf(sweep->report, "%zu", i);
        }
    const char **extra = add_extra(
        sweep, work_step(sweep, "note_counters", NULL, run_note_counters_sql(sweep->report)), 2,
        counters_words);
    extra[0] = db_array(sweep->report, oids, count);
    extra[1] = db_array(sweep->report, numbers, count);
}

/* After they are deleted: what went with them. */
static void add_count_cascaded(struct sweep *sweep)
{
    for (size_t i = 1; i < sweep->plan->node_count; i++) {
        const struct plan_node *node = sweep->plan->nodes[i];
        if (!node->cascades)
            continue;
        struct work_step *step = work_step(sweep, "count_cascaded", node,
                                           run_count_cascaded_sql(sweep->report, node->index));
        const char **extra = add_extra(sweep, step, 2, cascaded_words);
        step->node = node;
        step->expects = EXPECTS_COUNTERS;
        extra[0] = node->table.oid;
        extra[1] = sweep->plan->nodes[0]->table.oid;
    }
}

static void add_root(struct sweep *sweep)
{
    PQExpBuffer change = createPQExpBuffer();
    const struct plan_node *root = sweep->plan->nodes[0];
    char *sql = template_fill(
        sweep->report, SWEEP_SQL, "delete_root",
        TEMPLATE_SLOTS({"root", root->table.ident}, {"keys", statements_keys_sql(sweep, 1)}));
    appendPQExpBufferStr(change, sql);
    if (plan_has_cascades(sweep->plan))
        add_note_counters(sweep);
    add_counted(sweep, "delete_root", root, change)->takes_keys = true;
    add_count_cascaded(sweep);
}

/* Remembers the shared rows that those in hand refer to: of the root and what hangs on it (NULL),
 * or of a shared table. */
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

/* The root and what hangs on it: locks, shared rows, what is remembered, then the changes. */
static void add_root_group(struct sweep *sweep)
{
    size_t count;
    const struct plan_node **nodes = plan_execution_order(sweep->report, sweep->plan, NULL, &count);
    add_dependent_locks(sweep, nodes, count);
    add_collects(sweep, NULL);
    looks_remember(sweep, sweep->plan->nodes[0]);
    add_objects(sweep, sweep->plan->nodes[0]);
    add_directories(sweep);
    for (size_t i = 0; i < count; i++) {
        looks_remember(sweep, nodes[i]);
        add_objects(sweep, nodes[i]);
    }
    for (size_t i = 0; i < count; i++)
        if (!nodes[i]->cascades)
            add_acts(sweep, nodes[i]);
    add_root(sweep);
}

/* A shared table and what hangs on it. */
static void add_orphans(struct sweep *sweep, const struct plan_node *orphan)
{
    size_t count;
    const struct plan_node **nodes =
        plan_execution_order(sweep->report, sweep->plan, orphan, &count);
    PQExpBuffer narrow = createPQExpBuffer();
    PQExpBuffer change = createPQExpBuffer();
    plan_append_narrow(narrow, sweep->plan, orphan);
    add_made(sweep, "narrow", orphan, narrow);
    add_dependent_locks(sweep, nodes, count);
    add_collects(sweep, orphan);
    looks_remember(sweep, orphan);
    add_objects(sweep, orphan);
    for (size_t i = 0; i < count; i++) {
        looks_remember(sweep, nodes[i]);
        add_objects(sweep, nodes[i]);
    }
    for (size_t i = 0; i < count; i++)
        add_acts(sweep, nodes[i]);
    plan_append_delete_orphans(change, orphan);
    add_counted(sweep, "delete_orphans", orphan, change);
    add_look_left(sweep, orphan, NULL);
}

/* What looks at the rows and records them in one go with the rest, for a distant server and for
 * single rows. */
static void add_end(struct sweep *sweep)
{
    add_assert_locked(sweep);
    sweep->work.counted = sweep->work.count;
    work_step(sweep, "assert", sweep->plan->nodes[0], run_assertion_sql(sweep->report, 0))
        ->expects = EXPECTS_ROOT;
    struct work_step *step = work_step(sweep, "record", NULL, sweep->statements.record.sql);
    step->extra = mem_array(sweep->report, const char *, RUN_RECORD_PARAMS);
    step->extra_count = run_record_params(sweep->report, sweep->report, step->extra);
    step->extra_words = record_words;
    step = work_step(sweep, "check_plan", NULL, sweep->statements.check.sql);
    step->expects = EXPECTS_PLAN;
    step->extra = mem_array(sweep->report, const char *, 2);
    step->extra[0] = sweep->plan->relations;
    step->extra[1] = sweep->plan->fingerprint;
    step->extra_count = 2;
    step->extra_words = check_words;
}

/* "public.files: Locks ...": which table a statement is about, and what its parameters are. */
static void explain(struct sweep *sweep, struct work_step *step)
{
    char *words = mem_strdup(sweep->report, "");
    int n = 1;
    if (step->about)
        step->statement.why =
            mem_printf(sweep->report, "%s: %s", step->about->label, step->statement.why);
    if (step->takes_cutoff)
        words = mem_printf(sweep->report, "$%d cutoff", n++);
    for (size_t k = 0; step->takes_keys && k < sweep->plan->key_count; k++, n++)
        words = mem_printf(sweep->report, "%s%s$%d keys of the candidates (%s)", words,
                           n > 1 ? ", " : "", n, sweep->plan->key[k]->name);
    for (int k = 0; k < step->extra_count; k++, n++)
        words = mem_printf(sweep->report, "%s%s$%d %s", words, n > 1 ? ", " : "", n,
                           step->extra_words ? step->extra_words[k] : "value that the policy sets");
    if (work_takes_number(step))
        words =
            mem_printf(sweep->report, "%s%s$%d how many candidates", words, n > 1 ? ", " : "", n);
    step->statement.parameters = *words ? words : NULL;
}

void work_build(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    sweep->work = (struct work){.count = 0};
    add_root_group(sweep);
    for (size_t i = 0; i < plan->shared_count; i++)
        add_orphans(sweep, plan->shared[i]);
    looks_add(sweep);
    add_end(sweep);
    for (size_t i = 0; i < sweep->work.count; i++)
        explain(sweep, &sweep->work.steps[i]);
}
