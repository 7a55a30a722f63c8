/* What the catalog was asked for a plan: questions about many things at once, in few round trips,
 * kept for as long as the plan. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* The table of a name; row -1: there is none. */
struct known_table {
    const char *name;
    const struct db_rows *rows;
    int row;
};

/* Rows that belong together: the columns of one table. */
struct known_columns {
    const char *oid;
    struct catalog_range range;
};

struct catalog {
    const struct db_rows *foreign_keys, *inheritance;
    const struct db_rows *stated; /* NULL until it is asked for */
    struct known_table *tables;
    size_t table_count;
    struct known_columns *columns;
    size_t columns_count;
};

static bool ask(struct plan *plan, struct db *db, const char *file, const char *name, int nparams,
                const char *const *params, const struct db_rows **rows, struct error *err)
{
    struct db_rows *got;
    char *sql = template_fill(plan, file, name, NULL);
    bool ok = db_query(db, plan, sql, nparams, params, &got, err);
    talloc_free(sql);
    *rows = ok ? got : NULL;
    return ok;
}

/* One of several names cannot be read, or its schema may not be: reported when that one is asked
 * for by itself. What is not about the names is reported at once: the plan as a whole is tried
 * again (plan_build). */
static bool tell_later(const struct db *db, struct error *err)
{
    enum db_failure class = db_failure_class(db, err);
    if (class == DB_FAILURE_CONNECTION || class == DB_FAILURE_TRANSIENT ||
        class == DB_FAILURE_CANCELLED)
        return false;
    error_clear(err);
    return true;
}

static struct known_table *find_table(const struct plan *plan, const char *name)
{
    struct catalog *catalog = plan->catalog;
    for (size_t i = 0; i < catalog->table_count; i++)
        if (strcmp(catalog->tables[i].name, name) == 0)
            return &catalog->tables[i];
    return NULL;
}

static struct known_columns *find_columns(const struct plan *plan, const char *oid)
{
    struct catalog *catalog = plan->catalog;
    for (size_t i = 0; i < catalog->columns_count; i++)
        if (strcmp(catalog->columns[i].oid, oid) == 0)
            return &catalog->columns[i];
    return NULL;
}

static bool ask_columns(struct plan *plan, struct db *db, const char *const *oids, size_t count,
                        struct error *err)
{
    const struct db_rows *rows;
    struct catalog *catalog = plan->catalog;
    char *params[] = {db_array(plan, oids, count)};
    bool ok =
        ask(plan, db, "sql/catalog.sql", "columns", 1, (const char *const *)params, &rows, err);
    talloc_free(params[0]);
    for (int row = 0; ok && row < db_rows_count(rows); row++) {
        const char *oid = db_rows_get(rows, row, 0);
        size_t i = catalog->columns_count;
        if (i == 0 || strcmp(catalog->columns[i - 1].oid, oid) != 0) {
            i = mem_grow(catalog, &catalog->columns, &catalog->columns_count);
            catalog->columns[i] = (struct known_columns){oid, {rows, row, row}};
        }
        catalog->columns[catalog->columns_count - 1].range.end = row + 1;
    }
    return ok;
}

/* rows: the answer about these names, which come once each. */
static void take_tables(struct plan *plan, const char *const *names, size_t count,
                        const struct db_rows *rows)
{
    struct catalog *catalog = plan->catalog;
    for (size_t n = 0; n < count; n++) {
        size_t i = mem_grow(catalog, &catalog->tables, &catalog->table_count);
        catalog->tables[i] = (struct known_table){mem_strdup(catalog, names[n]), rows, -1};
        for (int row = 0; row < db_rows_count(rows); row++)
            if (strcmp(db_rows_get(rows, row, 0), names[n]) == 0)
                catalog->tables[i].row = row;
    }
}

static bool ask_tables(struct plan *plan, struct db *db, const char *const *names, size_t count,
                       struct error *err)
{
    const struct db_rows *rows;
    char *params[] = {db_array(plan, names, count)};
    bool ok =
        ask(plan, db, "sql/catalog.sql", "tables", 1, (const char *const *)params, &rows, err);
    talloc_free(params[0]);
    if (ok)
        take_tables(plan, names, count, rows);
    return ok;
}

/* Those names that were not asked for yet, once each; their number. */
static size_t unknown_names(const struct plan *plan, const char *const *names, size_t count,
                            const char **unknown)
{
    size_t n = 0;
    for (size_t i = 0; i < count; i++) {
        bool again = find_table(plan, names[i]) != NULL;
        for (size_t j = 0; j < n; j++)
            again = again || strcmp(unknown[j], names[i]) == 0;
        if (!again)
            unknown[n++] = names[i];
    }
    return n;
}

/* The columns of the tables of these names. */
static bool expect_columns(struct plan *plan, struct db *db, const char *const *names, size_t count,
                           struct error *err)
{
    const char **oids = mem_array(plan, const char *, count + 1);
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct known_table *table = find_table(plan, names[i]);
        const char *oid = table->row < 0 ? NULL : db_rows_get(table->rows, table->row, 1);
        bool again = !oid || find_columns(plan, oid);
        for (size_t j = 0; !again && j < found; j++)
            again = strcmp(oids[j], oid) == 0;
        if (!again)
            oids[found++] = oid;
    }
    bool ok = found == 0 || ask_columns(plan, db, oids, found, err);
    talloc_free(oids);
    return ok;
}

bool catalog_expect(struct plan *plan, struct db *db, const char *const *names, size_t count,
                    struct error *err)
{
    const char **unknown = mem_array(plan, const char *, count + 1);
    size_t n = unknown_names(plan, names, count, unknown);
    bool ok = n == 0 || ask_tables(plan, db, unknown, n, err);
    if (ok)
        ok = expect_columns(plan, db, unknown, n, err);
    else
        ok = tell_later(db, err);
    talloc_free(unknown);
    return ok;
}

bool catalog_find(struct plan *plan, struct db *db, const char *name, const struct db_rows **rows,
                  int *row, struct error *err)
{
    const struct known_table *table = find_table(plan, name);
    if (!table && !ask_tables(plan, db, &name, 1, err))
        return false;
    table = find_table(plan, name);
    *rows = table->rows;
    *row = table->row;
    return true;
}

bool catalog_columns(struct plan *plan, struct db *db, const char *oid, struct catalog_range *range,
                     struct error *err)
{
    const struct known_columns *columns = find_columns(plan, oid);
    if (!columns && !ask_columns(plan, db, &oid, 1, err))
        return false;
    columns = find_columns(plan, oid);
    *range = columns ? columns->range : (struct catalog_range){0}; /* a table may have no columns */
    return true;
}

/* The tables that the policy names. */
static size_t policy_names_of_tables(const struct policy *policy, const char **names)
{
    size_t count = 0;
    names[count++] = policy->table.value;
    for (size_t i = 0; i < policy->dependent_count; i++) {
        names[count++] = policy->dependents[i].table.value;
        if (policy->dependents[i].via.value)
            names[count++] = policy->dependents[i].via.value;
    }
    for (size_t i = 0; i < policy->reference_count; i++) {
        names[count++] = policy->references[i].table.value;
        names[count++] = policy->references[i].refers_to.value;
    }
    return count;
}

/* The template "comparison". p_base, f_base: the cast of a column to the base type of its domain,
 * or none, as SQL. */
static char *fill_comparison(const void *ctx, const char *p_base, const char *f_base)
{
    return template_fill(ctx, "sql/references.sql", "comparison",
                         TEMPLATE_SLOTS({"p_base", p_base}, {"f_base", f_base}));
}

bool catalog_open(struct plan *plan, struct db *db, struct error *err)
{
    enum { FOREIGN_KEYS, INHERITANCE, TABLES, QUESTIONS };
    const struct policy *policy = plan->policy;
    void *scratch = talloc_new(plan);
    size_t most = 1 + 2 * policy->dependent_count + 2 * policy->reference_count;
    const char **names = mem_array(scratch, const char *, most);
    const char **unknown = mem_array(scratch, const char *, most);
    struct catalog *catalog = plan->catalog = mem_new(plan, struct catalog);
    size_t count = unknown_names(plan, names, policy_names_of_tables(policy, names), unknown);
    const char *params[] = {db_array(scratch, unknown, count)};
    char *comparison = fill_comparison(scratch, "''", "''");
    struct db_question questions[QUESTIONS] = {
        [FOREIGN_KEYS].sql = template_fill(scratch, "sql/references.sql", "foreign_keys",
                                           TEMPLATE_SLOTS({"comparison", comparison})),
        [INHERITANCE].sql = template_fill(scratch, "sql/references.sql", "inheritance", NULL),
        [TABLES] = {.sql = template_fill(scratch, "sql/catalog.sql", "tables", NULL),
                    .nparams = 1,
                    .params = params}};
    bool ok = db_ask(db, catalog, questions, QUESTIONS, err);
    catalog->foreign_keys = questions[FOREIGN_KEYS].rows;
    catalog->inheritance = questions[INHERITANCE].rows;
    if (ok) {
        take_tables(plan, unknown, count, questions[TABLES].rows);
        ok = expect_columns(plan, db, unknown, count, err);
    } else if (catalog->foreign_keys && catalog->inheritance) {
        ok = tell_later(db, err);
    }
    talloc_free(scratch);
    return ok;
}

const struct db_rows *catalog_foreign_keys(const struct plan *plan)
{
    return plan->catalog->foreign_keys;
}

/* The template "fit" for the operand of q on one side. */
static char *fill_fit(struct plan *plan, const char *operand, const char *type)
{
    return template_fill(plan, "sql/references.sql", "fit",
                         TEMPLATE_SLOTS({"operand", operand}, {"type", type}));
}

static bool ask_stated(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    const char **lists[5] = {0};
    size_t counts[5] = {0};
    for (size_t i = 0; i < policy->reference_count; i++) {
        const struct policy_reference *from = &policy->references[i];
        for (size_t c = 0; c < from->column_count; c++) {
            const char *values[] = {mem_printf(plan, "%zu", i), from->table.value,
                                    from->refers_to.value, from->columns[c].column,
                                    from->columns[c].value ? from->columns[c].value : ""};
            for (int v = 0; v < 5; v++) {
                size_t at = mem_grow(plan, &lists[v], &counts[v]);
                lists[v][at] = values[v];
            }
        }
    }
    const char *params[5];
    for (int v = 0; v < 5; v++)
        params[v] = db_array(plan, lists[v], counts[v]);
    char *sql = template_fill(
        plan, "sql/references.sql", "stated",
        TEMPLATE_SLOTS({"comparison", fill_comparison(plan, "coalesce(pd.own_cast, '')",
                                                      "coalesce(fd.own_cast, '')")},
                       {"p_fit", fill_fit(plan, "q.oprleft", "base.p_type")},
                       {"f_fit", fill_fit(plan, "q.oprright", "base.f_type")}));
    struct db_rows *rows;
    bool ok = db_query(db, plan, sql, 5, params, &rows, err);
    plan->catalog->stated = ok ? rows : NULL;
    return ok;
}

bool catalog_stated(struct plan *plan, struct db *db, size_t reference, struct catalog_range *range,
                    struct error *err)
{
    if (!plan->catalog->stated && !ask_stated(plan, db, err))
        return error_prefix(err, "%s", plan->policy->references[reference].table.origin);
    const struct db_rows *rows = plan->catalog->stated;
    *range = (struct catalog_range){rows, 0, 0};
    while (range->first < db_rows_count(rows) &&
           db_rows_int(rows, range->first, 0) != (int64_t)reference)
        range->first++;
    range->end = range->first;
    while (range->end < db_rows_count(rows) &&
           db_rows_int(rows, range->end, 0) == (int64_t)reference)
        range->end++;
    return true;
}

const struct db_rows *catalog_inheritance(const struct plan *plan)
{
    return plan->catalog->inheritance;
}
