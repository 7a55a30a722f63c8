/* Code of users that fires while a run deletes and updates rows: triggers, rules, functions in the
 * definition of a table. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* How much of it a message names one by one. */
enum { NAMED_MAX = 10 };

/* The question: what happens to the rows of which table, and which columns are set. */
struct question {
    const char **tables, **events, **columns;
    size_t table_count, event_count, column_count;
};

static void ask_about(struct plan *plan, struct question *q, const struct plan_node *node,
                      const char *column)
{
    size_t i = mem_grow(plan, &q->tables, &q->table_count);
    q->tables[i] = node->table.oid;
    i = mem_grow(plan, &q->events, &q->event_count);
    q->events[i] = order_is_deleted(node) ? "d" : "u";
    i = mem_grow(plan, &q->columns, &q->column_count);
    q->columns[i] = column;
}

static void ask_about_node(struct plan *plan, struct question *q, const struct plan_node *node)
{
    ask_about(plan, q, node, NULL);
    if (order_is_deleted(node))
        return;
    for (size_t i = 0; i < node->set_count; i++)
        ask_about(plan, q, node, node->set[i].name);
    for (size_t e = 0; e < node->edge_count; e++)
        for (size_t c = 0; c < node->edges[e].width; c++)
            ask_about(plan, q, node, node->edges[e].names[c]);
}

static bool ask(struct plan *plan, struct db *db, struct db_rows **rows, struct error *err)
{
    struct question q = {.tables = NULL};
    for (size_t i = 0; i < plan->node_count; i++)
        if (i == 0 || plan_acts(plan->nodes[i]))
            ask_about_node(plan, &q, plan->nodes[i]);
    const char *params[] = {db_array(plan, q.tables, q.table_count),
                            db_array(plan, q.events, q.event_count),
                            db_array(plan, q.columns, q.column_count)};
    return db_query(db, plan, template_fill(plan, "sql/code.sql", "fires", NULL), 3, params, rows,
                    err);
}

static void note_obstacle(struct plan *plan, const struct db_rows *rows, int row)
{
    for (size_t i = 0; i < plan->node_count; i++) {
        struct plan_node *node = plan->nodes[i];
        const char *event = order_is_deleted(node) ? "d" : "u";
        if (!node->obstacle && strcmp(node->table.oid, db_rows_get(rows, row, 0)) == 0 &&
            strcmp(event, db_rows_get(rows, row, 1)) == 0)
            node->obstacle =
                mem_printf(plan, "%s %s", db_rows_get(rows, row, 4), db_rows_get(rows, row, 5));
    }
}

static void add_code(struct plan *plan, const struct db_rows *rows, int row)
{
    size_t i = mem_grow(plan, &plan->code, &plan->code_count);
    plan->code[i] = (struct plan_code){.table = db_rows_get(rows, row, 3),
                                       .kind = db_rows_get(rows, row, 4),
                                       .name = db_rows_get(rows, row, 5),
                                       .when = db_rows_get(rows, row, 6),
                                       .function = db_rows_get(rows, row, 7),
                                       .owner = db_rows_get(rows, row, 8),
                                       .table_owner = db_rows_get(rows, row, 9),
                                       .trusted = db_rows_bool(rows, row, 10)};
}

char *plan_code_text(const void *ctx, const struct plan_code *code)
{
    return mem_printf(ctx, "%s %s of %s (role %s), %s%s%s%s%s%s", code->kind, code->name,
                      code->table, code->table_owner, code->when,
                      code->function ? ": function " : "", code->function ? code->function : "",
                      code->function ? " (role " : "", code->function ? code->owner : "",
                      code->function ? ")" : "");
}

static size_t count_untrusted(const struct plan *plan)
{
    size_t n = 0;
    for (size_t i = 0; i < plan->code_count; i++)
        n += !plan->code[i].trusted;
    return n;
}

static char *untrusted_text(const struct plan *plan, size_t count)
{
    char *text = mem_strdup(plan, "");
    size_t n = 0;
    for (size_t i = 0; i < plan->code_count; i++)
        if (!plan->code[i].trusted && n++ < NAMED_MAX)
            text = mem_printf(plan, "%s%s%s", text, n > 1 ? "; " : "",
                              plan_code_text(plan, &plan->code[i]));
    return count > NAMED_MAX ? mem_printf(plan, "%s; and %zu more", text, count - NAMED_MAX) : text;
}

/* In a dry run nothing fires: it says what would stop the live run. */
static bool judge(struct plan *plan, bool live, struct error *err)
{
    const struct policy *policy = plan->policy;
    size_t count = count_untrusted(plan);
    if (count == 0 || policy->triggers == TRIGGERS_ALLOW)
        return true;
    char *allow = mem_printf(
        plan, "triggers: allow in the policy (or %s=allow), or --allow-triggers for one run",
        policy_variable(plan, policy->name, "triggers"));
    if (!live) {
        plan_note(plan,
                  "a live run is refused, because it would execute code of roles that are neither "
                  "superusers "
                  "nor %s; to "
                  "allow it: %s",
                  plan->role, allow);
        return true;
    }
    error_set(err, SWEEP_REFUSED,
              "policy %s would execute code of other roles with the rights of role %s: %s",
              policy->name, plan->role, untrusted_text(plan, count));
    error_detail(
        err, "PostgreSQL runs triggers, rules and functions of a table with the rights of whoever "
             "changes its rows.");
    return error_hint(err, "Read that code. If you trust its owners: %s.", allow);
}

bool code_build(struct plan *plan, struct db *db, bool live, struct error *err)
{
    struct db_rows *rows;
    if (!ask(plan, db, &rows, err))
        return false;
    for (int row = 0; row < db_rows_count(rows); row++) {
        if (db_rows_bool(rows, row, 2))
            note_obstacle(plan, rows, row);
        if (!db_rows_bool(rows, row, 11))
            add_code(plan, rows, row);
    }
    return judge(plan, live, err);
}
