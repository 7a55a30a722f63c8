/* Tables and columns, read from the catalog: what a plan will ask for, in few round trips. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"

/* An answer of the catalog, kept for as long as the plan. */
struct catalog_answer {
    const char *sql;
    const char *key; /* the parameters */
    struct db_rows *rows;
    struct catalog_answer *next;
};

static char *answer_key(const void *ctx, int nparams, const char *const *params)
{
    char *key = mem_strdup(ctx, "");
    for (int i = 0; i < nparams; i++)
        key = mem_check(talloc_asprintf_append(key, "%s\n", params[i]));
    return key;
}

static void remember(struct plan *plan, const char *sql, const char *key, struct db_rows *rows)
{
    struct catalog_answer *answer = mem_new(plan, struct catalog_answer);
    *answer = (struct catalog_answer){sql, key, rows, plan->answers};
    plan->answers = answer;
}

bool catalog_ask(struct plan *plan, struct db *db, const char *name, int nparams, const char *const *params,
                 struct db_rows **rows, struct error *err)
{
    const char *sql = embedded_text(name);
    char *key = answer_key(plan, nparams, params);
    for (const struct catalog_answer *answer = plan->answers; answer; answer = answer->next)
        if (answer->sql == sql && strcmp(answer->key, key) == 0) {
            *rows = answer->rows;
            return true;
        }
    if (!db_query(db, plan, sql, nparams, params, rows, err))
        return false;
    remember(plan, sql, key, *rows);
    return true;
}

/* The same question about each of several things. What fails is asked again, and explained, in its turn. */
static bool ask_each(struct plan *plan, struct db *db, const char *name, const char *const *values, size_t count,
                     struct db_rows **rows, struct error *err)
{
    const char *sql = embedded_text(name);
    if (!db_query_each(db, plan, sql, values, count, rows, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (rows[i])
            remember(plan, sql, answer_key(plan, 1, &values[i]), rows[i]);
    return true;
}

bool catalog_read_ahead(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    const char **names = mem_array(plan, const char *, 1 + 2 * policy->dependent_count);
    const char **oids = mem_array(plan, const char *, 1 + 2 * policy->dependent_count);
    struct db_rows **rows = mem_array(plan, struct db_rows *, 1 + 2 * policy->dependent_count);
    size_t count = 0, found = 0;
    names[count++] = policy->table.value;
    for (size_t i = 0; i < policy->dependent_count; i++) {
        names[count++] = policy->dependents[i].table.value;
        if (policy->dependents[i].via.value)
            names[count++] = policy->dependents[i].via.value;
    }
    if (!ask_each(plan, db, "sql/catalog_table.sql", names, count, rows, err))
        return false;
    for (size_t i = 0; i < count; i++)
        if (rows[i] && db_rows_count(rows[i]) == 1)
            oids[found++] = db_rows_get(rows[i], 0, 0);
    return ask_each(plan, db, "sql/catalog_columns.sql", oids, found, rows, err) &&
           ask_each(plan, db, "sql/catalog_foreign_keys.sql", oids, found, rows, err);
}

static bool read_columns(struct plan *plan, struct db *db, struct plan_table *table, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {table->oid};
    if (!catalog_ask(plan, db, "sql/catalog_columns.sql", 1, params, &rows, err))
        return false;
    table->column_count = (size_t)db_rows_count(rows);
    table->columns = mem_array(plan, struct plan_column, table->column_count + 1);
    for (size_t i = 0; i < table->column_count; i++) {
        struct plan_column *column = &table->columns[i];
        column->name = db_rows_get(rows, (int)i, 0);
        column->ident = db_quote_ident(db, plan, column->name);
        column->type = db_rows_get(rows, (int)i, 1);
        column->not_null = db_rows_bool(rows, (int)i, 2);
        column->base_type = (unsigned)db_rows_int(rows, (int)i, 3);
        column->key_position = (int)db_rows_int(rows, (int)i, 4);
    }
    return true;
}

/* pg_class.relkind in words. */
static const char *kind_name(char kind)
{
    return kind == 'v' ? "a view" : kind == 'm' ? "a materialized view" : kind == 'f' ? "a foreign table"
         : kind == 'i' || kind == 'I' ? "an index" : kind == 'S' ? "a sequence" : "no ordinary table";
}

/* PostgreSQL names the schema; the GRANT that is missing is for us to name. */
static bool no_lookup(struct db *db, const char *name, struct error *err)
{
    const char *dot = strrchr(name, '.');
    if (strcmp(err->sqlstate, "42501") == 0 && dot) {
        char *role = db_quote_ident(db, db, db_user(db));
        error_hint(err, "GRANT USAGE ON SCHEMA %.*s TO %s;", (int)(dot - name), name, role);
        talloc_free(role);
    }
    return false;
}

bool catalog_table(struct plan *plan, struct db *db, const char *name, struct plan_table *table,
                   bool *found, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {name};
    if (!catalog_ask(plan, db, "sql/catalog_table.sql", 1, params, &rows, err))
        return no_lookup(db, name, err);
    *found = db_rows_count(rows) == 1;
    if (!*found)
        return true;
    char *schema = db_quote_ident(db, plan, db_rows_get(rows, 0, 1));
    table->oid = db_rows_get(rows, 0, 0);
    table->label = db_rows_get(rows, 0, 2);
    table->name = db_rows_get(rows, 0, 3);
    table->ident = mem_printf(plan, "%s.%s", schema, db_quote_ident(db, plan, table->name));
    table->kind = db_rows_get(rows, 0, 4)[0];
    table->estimated_rows = db_rows_int(rows, 0, 5);
    table->may_use_schema = db_rows_bool(rows, 0, 8);
    table->may_select = db_rows_bool(rows, 0, 9);
    table->may_update = db_rows_bool(rows, 0, 10);
    table->may_delete = db_rows_bool(rows, 0, 11);
    if (table->kind != 'r' && table->kind != 'p') {
        error_set(err, SWEEP_USAGE, "%s is %s, not a table", table->label, kind_name(table->kind));
        return error_hint(err, "Name the table that the rows are stored in.");
    }
    if (db_rows_bool(rows, 0, 7))
        return error_set(err, SWEEP_USAGE,
                         "%s has inheritance children, whose rows its primary key does not cover",
                         table->label);
    return read_columns(plan, db, table, err);
}

const struct plan_column *catalog_column(const struct plan_table *table, const char *name)
{
    size_t length = strlen(name);
    bool quoted = length > 2 && name[0] == '"' && name[length - 1] == '"';
    for (size_t i = 0; i < table->column_count; i++) {
        const struct plan_column *column = &table->columns[i];
        if (strcmp(column->name, name) == 0 || (quoted && strcmp(column->ident, name) == 0))
            return column;
    }
    return NULL;
}

bool catalog_key(struct plan_node *node, struct error *err)
{
    const struct plan_table *table = &node->table;
    node->key = mem_array(node, const struct plan_column *, table->column_count + 1);
    node->key_count = 0;
    for (size_t i = 0; i < table->column_count; i++) {
        const struct plan_column *column = &table->columns[i];
        if (column->key_position == 0)
            continue;
        /* Keys travel as arrays, and PostgreSQL has no arrays of arrays. */
        size_t length = strlen(column->type);
        if (length > 2 && strcmp(column->type + length - 2, "[]") == 0)
            return error_set(err, SWEEP_USAGE, "column %s in the primary key of table %s is an array, which cannot be swept by",
                             column->ident, table->label);
        node->key[column->key_position - 1] = column;
        node->key_count++;
    }
    if (node->key_count > 0)
        return true;
    error_set(err, SWEEP_USAGE, "table %s has no primary key", table->label);
    error_detail(err, "Without one, nothing tells its rows apart.");
    return error_hint(err, "ALTER TABLE %s ADD PRIMARY KEY (...);", table->ident);
}

bool catalog_no_table(struct db *db, const struct setting *name, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {name->value};
    struct error ignored = ERROR_INIT;
    error_set(err, SWEEP_USAGE, "%s: there is no table %s in %s", name->origin, name->value,
              db_where(db));
    if (!db_query(db, db, embedded_text("sql/catalog_similar.sql"), 1, params, &rows, &ignored)) {
        error_clear(&ignored);
        return false;
    }
    if (db_rows_count(rows) > 0)
        error_hint(err, "Is it %s? Write its name as SQL does (with the schema, with \"double quotes\" "
                        "around capitals).", db_rows_get(rows, 0, 0));
    else
        error_hint(err, "Check -d and the role's search_path, or name the table with its schema.");
    talloc_free(rows);
    return false;
}
