/* The statements of a sweep: the plan's predicates put into the templates of src/sql/sweep.sql. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan_locked.h"
#include "pgsweep/state_runs.h"

/* Numbers of parameters, and what they are in words. */
struct numbering {
    int next;
    char *words;
};

/* The number of the next parameter, or of the first of so many. */
static int number(struct numbering *n, const void *ctx, size_t count, const char *what)
{
    int first = n->next;
    n->next += (int)count;
    if (count > 1)
        what = mem_printf(ctx, "to $%d %s", n->next - 1, what);
    if (count > 0)
        n->words = mem_printf(ctx, "%s%s$%d %s", n->words ? n->words : "", n->words ? ", " : "",
                              first, what);
    return first;
}

/* "keys of the candidates (id)": with the columns of the key. */
static char *key_words(const struct sweep *sweep, const char *what)
{
    char *names = mem_strdup(sweep->report, "");
    for (size_t i = 0; i < sweep->plan->key_count; i++)
        names =
            mem_printf(sweep->report, "%s%s%s", names, i ? ", " : "", sweep->plan->key[i]->name);
    return mem_printf(sweep->report, "%s (%s)", what, names);
}

static char *taken(const void *ctx, PQExpBuffer buffer)
{
    char *text = buffer_take(ctx, buffer);
    while (*text == ' ')
        text++;
    return strncmp(text, "AND ", 4) == 0 ? text + 4 : text;
}

static char *candidate_sql(const struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    plan_append_candidate(sql, sweep->plan);
    return taken(sweep->report, sql);
}

static char *cursor_sql(const struct sweep *sweep, bool order_by)
{
    PQExpBuffer sql = createPQExpBuffer();
    plan_append_cursor(sql, sweep->plan, order_by);
    return taken(sweep->report, sql);
}

/* The key columns of t as text, with a comma in front of each but the first. */
static char *key_sql(const struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    for (size_t i = 0; i < sweep->plan->key_count; i++) {
        appendPQExpBufferStr(sql, i ? ", " : "");
        plan_append_text(sql, "t", sweep->plan->key[i]);
    }
    return buffer_take(sweep->report, sql);
}

/* Their arrays, and the cursor of the last: of several rows t. */
static char *key_arrays_sql(const struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    plan_append_key_arrays(sql, sweep->plan);
    return buffer_take(sweep->report, sql);
}

static char *last_sql(const struct sweep *sweep)
{
    PQExpBuffer sql = createPQExpBuffer();
    plan_append_last(sql, sweep->plan);
    return buffer_take(sweep->report, sql);
}

char *statements_keys_sql(const struct sweep *sweep, int first)
{
    PQExpBuffer sql = createPQExpBuffer();
    plan_append_keys(sql, sweep->plan, first);
    return buffer_take(sweep->report, sql);
}

/* The condition of one bound; NULL: none. */
static char *bound_sql(const struct sweep *sweep, bool after, enum bound_by by, struct numbering *n)
{
    const struct plan *plan = sweep->plan;
    size_t columns = by == BY_NOTHING ? 0 : by == BY_AGE ? 1 : plan->cursor_count;
    const char *what = after ? "last candidate of the chunk before" : "last candidate of the chunk";
    PQExpBuffer names = createPQExpBuffer();
    PQExpBuffer sql = createPQExpBuffer();
    for (size_t i = 0; i < columns; i++)
        appendPQExpBuffer(names, "%s%s", i ? ", " : "", plan->cursor[i]->name);
    char *words = mem_printf(sweep->report, "%s (%s)", what, names->data);
    destroyPQExpBuffer(names);
    int first = number(n, sweep->report, columns, words);
    if (columns > 0)
        plan_append_bound(sql, plan, after, first, columns);
    char *text = taken(sweep->report, sql);
    return columns > 0 ? text : NULL;
}

static const char *const from_names[BOUNDS] = {"_first", "_next", "_after_age"};
static const char *const to_names[BOUNDS] = {"_last", "", "_to_age"};

static struct db_statement filled(const struct sweep *sweep, const char *name, const char *suffix,
                                  const struct numbering *n, const struct template_slot *slots)
{
    void *ctx = sweep->report;
    return (struct db_statement){.name = mem_printf(ctx, "%s%s", name, suffix),
                                 .sql = template_fill(ctx, SWEEP_SQL, name, slots),
                                 .why = template_why(ctx, SWEEP_SQL, name),
                                 .parameters = n->words};
}

/* Parameters: cutoff, [cursor], how many. The cursor of the candidate that many further on. */
static struct db_statement build_bound(struct sweep *sweep, enum bound_by from)
{
    struct numbering n = {.next = 1};
    number(&n, sweep->report, 1, "cutoff");
    char *after = bound_sql(sweep, true, from, &n);
    char *rows =
        mem_printf(sweep->report, "$%d", number(&n, sweep->report, 1, "rows of the chunk"));
    return filled(sweep, "bound", from_names[from], &n,
                  TEMPLATE_SLOTS({"cursor", cursor_sql(sweep, false)},
                                 {"root", sweep->plan->nodes[0]->table.ident},
                                 {"candidate", candidate_sql(sweep)}, {"after", after},
                                 {"order", cursor_sql(sweep, true)}, {"rows", rows}));
}

/* The same for the age alone. */
static struct db_statement build_bound_age(struct sweep *sweep, enum bound_by from)
{
    void *ctx = sweep->report;
    const struct plan_column *age = sweep->plan->cursor[0];
    struct numbering n = {.next = 1};
    number(&n, ctx, 1, "cutoff");
    char *after = bound_sql(sweep, true, from, &n);
    char *rows = mem_printf(ctx, "$%d", number(&n, ctx, 1, "rows of the chunk"));
    PQExpBuffer cursor = createPQExpBuffer();
    plan_append_text(cursor, "t", age);
    return filled(
        sweep, "bound_age", from_names[from], &n,
        TEMPLATE_SLOTS(
            {"cursor", buffer_take(ctx, cursor)}, {"root", sweep->plan->nodes[0]->table.ident},
            {"old", mem_printf(ctx, "t.%s %s $1::%s", age->ident, age->below, age->value_type)},
            {"after", after}, {"order", mem_printf(ctx, "t.%s", age->ident)}, {"rows", rows}));
}

/* The DELETE of a range. Parameters: cutoff, [cursor from], [cursor to]. */
static struct db_statement build_range(struct sweep *sweep, const char *name, enum bound_by from,
                                       enum bound_by to)
{
    struct numbering n = {.next = 1};
    number(&n, sweep->report, 1, "cutoff");
    char *after = bound_sql(sweep, true, from, &n);
    char *up_to = bound_sql(sweep, false, to, &n);
    return filled(
        sweep, name, mem_printf(sweep->report, "%s%s", from_names[from], to_names[to]), &n,
        TEMPLATE_SLOTS({"root", sweep->plan->nodes[0]->table.ident},
                       {"candidate", candidate_sql(sweep)}, {"after", after}, {"up_to", up_to}));
}

/* The same with the run record, whose parameters follow, in one statement and so in one round trip;
 * a row for each deleted one in verbose mode, else one row with their number. */
static struct db_statement build_range_recorded(struct sweep *sweep, enum bound_by from,
                                                enum bound_by to)
{
    void *ctx = sweep->report;
    bool verbose = sweep->budget->verbose;
    struct numbering n = {.next = 1};
    number(&n, ctx, 1, "cutoff");
    char *after = bound_sql(sweep, true, from, &n);
    char *up_to = bound_sql(sweep, false, to, &n);
    int record = number(&n, ctx, 1, "run id");
    number(&n, ctx, 1, "table");
    number(&n, ctx, 1, "rows that a transaction may delete");
    return filled(sweep, "range_recorded", mem_printf(ctx, "%s%s", from_names[from], to_names[to]),
                  &n,
                  TEMPLATE_SLOTS({"root", sweep->plan->nodes[0]->table.ident},
                                 {"candidate", candidate_sql(sweep)}, {"after", after},
                                 {"up_to", up_to}, {"returning", verbose ? key_sql(sweep) : "1"},
                                 {"record", run_record_gone_sql(ctx, record)},
                                 {"result", verbose ? "*" : "pg_catalog.count(*)"}));
}

/* Parameters: cutoff, [cursor], how many. The next candidates: cursor and key of each, or
 * (together) all keys as arrays and the cursor of the last. */
static struct db_statement build_next(struct sweep *sweep, const char *name, enum bound_by from,
                                      bool together)
{
    char *cursor = together ? last_sql(sweep) : cursor_sql(sweep, false);
    char *keys = together ? key_arrays_sql(sweep) : key_sql(sweep);
    struct numbering n = {.next = 1};
    number(&n, sweep->report, 1, "cutoff");
    char *after = bound_sql(sweep, true, from, &n);
    char *rows =
        mem_printf(sweep->report, "$%d", number(&n, sweep->report, 1, "rows of the chunk"));
    return filled(sweep, name, from_names[from], &n,
                  TEMPLATE_SLOTS({"cursor", cursor}, {"keys", keys},
                                 {"root", sweep->plan->nodes[0]->table.ident},
                                 {"candidate", candidate_sql(sweep)}, {"after", after},
                                 {"order", cursor_sql(sweep, true)}, {"rows", rows}));
}

/* Parameters: key arrays of one row. Fails unless the row is there and can be locked at once. */
static struct db_statement build_lock_row(struct sweep *sweep)
{
    struct numbering n = {.next = 1};
    int keys =
        number(&n, sweep->report, sweep->plan->key_count, key_words(sweep, "key of the candidate"));
    return filled(sweep, "lock_row", "", &n,
                  TEMPLATE_SLOTS({"root", sweep->plan->nodes[0]->table.ident},
                                 {"keys", statements_keys_sql(sweep, keys)}));
}

/* Parameters: cutoff, key arrays. The keys that still are candidates, now that they are locked; or,
 * of one row, fails unless it still is one. */
static struct db_statement build_verify(struct sweep *sweep, const char *name, bool keys_out)
{
    struct numbering n = {.next = 1};
    number(&n, sweep->report, 1, "cutoff");
    char *keys = statements_keys_sql(sweep, number(&n, sweep->report, sweep->plan->key_count,
                                                   key_words(sweep, "keys of the candidates")));
    const char *root = sweep->plan->nodes[0]->table.ident;
    if (!keys_out)
        return filled(
            sweep, name, "", &n,
            TEMPLATE_SLOTS({"root", root}, {"keys", keys}, {"candidate", candidate_sql(sweep)}));
    return filled(sweep, name, "", &n,
                  TEMPLATE_SLOTS({"key_arrays", key_arrays_sql(sweep)}, {"root", root},
                                 {"keys", keys}, {"candidate", candidate_sql(sweep)}));
}

/* Where a condition reads other tables, the dependents are locked before the condition is looked at
 * again, so that nothing it saw can change before the commit. */
static void build_lock_dependents(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    size_t count;
    const struct plan_node **nodes = plan_execution_order(sweep->report, sweep->plan, NULL, &count);
    s->lock_dependents = NULL;
    s->lock_dependent_count = 0;
    /* From the top down, as a writer who adds to them would lock them. */
    for (size_t i = count; sweep->plan->looks_beyond && i-- > 0;)
        for (size_t e = 0; e < plan_step_count(nodes[i]); e++) {
            size_t k = mem_grow(sweep->report, &s->lock_dependents, &s->lock_dependent_count);
            struct numbering n = {.next = 1};
            PQExpBuffer sql = createPQExpBuffer();
            number(&n, sweep->report, sweep->plan->key_count,
                   key_words(sweep, "keys of the candidates"));
            plan_append_lock_step(sql, sweep->plan, nodes[i], plan_step_edge(nodes[i], e));
            s->lock_dependents[k] =
                filled(sweep, "lock_dependents", mem_printf(sweep->report, "_%zu", k), &n,
                       TEMPLATE_SLOTS({"statement", taken(sweep->report, sql)}));
        }
}

/* Parameters: key arrays. The keys, each with the table that has locked rows of it; 0: none. */
static struct db_statement build_find_locked(struct sweep *sweep)
{
    const struct plan *plan = sweep->plan;
    struct numbering n = {.next = 1};
    PQExpBuffer tables = createPQExpBuffer();
    char *keys = statements_keys_sql(sweep, number(&n, sweep->report, plan->key_count,
                                                   key_words(sweep, "keys of the candidates")));
    for (size_t i = 1; i < plan->node_count; i++) {
        if (!plan_is_locked_with(plan->nodes[i]))
            continue;
        appendPQExpBufferStr(tables, tables->len > 0 ? "\n" : "");
        plan_append_find_locked(tables, plan, plan->nodes[i]);
    }
    return filled(sweep, "find_locked", "", &n,
                  TEMPLATE_SLOTS({"key", key_sql(sweep)}, {"root", plan->nodes[0]->table.ident},
                                 {"keys", keys}, {"tables", taken(sweep->report, tables)}));
}

static bool has_rows_to_find(const struct plan *plan)
{
    for (size_t i = 1; i < plan->node_count; i++)
        if (plan_is_locked_with(plan->nodes[i]))
            return true;
    return false;
}

/* Parameters: key arrays. */
static struct db_statement build_lock_below(struct sweep *sweep)
{
    struct numbering n = {.next = 1};
    PQExpBuffer sql = createPQExpBuffer();
    number(&n, sweep->report, sweep->plan->key_count, key_words(sweep, "keys of the candidates"));
    plan_append_below(sql, sweep->plan);
    return (struct db_statement){.name = "lock_below",
                                 .sql = taken(sweep->report, sql),
                                 .why = plan_below_why(sweep->report),
                                 .parameters = n.words};
}

/* LOCK TABLE without NOWAIT would wait inside the transaction, behind an ALTER TABLE that waits for
 * another session's transaction. */
static void build_begin(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    static const char *const names[] = {"lock_read", "lock_changed"};
    s->begin_count = 0;
    s->begin[s->begin_count++] = db_begin;
    for (int changed = 1; changed >= 0; changed--) {
        struct numbering none = {.next = 1};
        char *tables = plan_tables_to_lock(sweep->report, sweep->plan, changed);
        if (tables)
            s->begin[s->begin_count++] =
                filled(sweep, names[changed], "", &none, TEMPLATE_SLOTS({"tables", tables}));
    }
    struct numbering none = {.next = 1};
    const char *wait = mem_printf(sweep->report, "%d", SWEEP_LOCK_WAIT_MS);
    s->limit_waits = &s->begin[s->begin_count];
    s->begin[s->begin_count++] =
        filled(sweep, "limit_waits", "", &none, TEMPLATE_SLOTS({"milliseconds", wait}));
}

void statements_build(struct sweep *sweep)
{
    struct statements *s = &sweep->statements;
    build_begin(sweep);
    for (enum bound_by from = BY_NOTHING; from < BOUNDS; from++) {
        s->bound[from] = build_bound(sweep, from);
        s->bound_age[from] = build_bound_age(sweep, from);
        s->lock[from] = build_next(sweep, "lock", from, true);
        s->list[from] = build_next(sweep, "list", from, false);
        for (enum bound_by to = BY_NOTHING; to < BOUNDS; to++) {
            s->range[from][to] = build_range_recorded(sweep, from, to);
            s->plain[from][to] = build_range(sweep, "range", from, to);
            s->unlocked[from][to] = build_range(sweep, "range_unlocked", from, to);
        }
    }
    s->record = run_record(sweep->report);
    s->record_counted = run_record_counted(sweep->report);
    s->check = (struct db_statement){.name = "check_plan",
                                     .sql = plan_check_sql(sweep->report, sweep->plan),
                                     .why = plan_check_why(sweep->report),
                                     .parameters = "$1 tables of the plan, $2 its fingerprint"};
    s->lock_row = build_lock_row(sweep);
    s->finds_locked = has_rows_to_find(sweep->plan);
    if (s->finds_locked)
        s->find_locked = build_find_locked(sweep);
    if (plan_has_below(sweep->plan))
        s->lock_below = build_lock_below(sweep);
    s->verify = build_verify(sweep, "verify", true);
    s->verify_row = build_verify(sweep, "verify_row", false);
    build_lock_dependents(sweep);
}
