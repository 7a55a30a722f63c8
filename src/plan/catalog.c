/* The tables and columns of a plan. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* Columns of the answer from number 8 on: the operators of a column of the primary key; what else
 * is compared, an age, is of PostgreSQL's own types. */
static void read_comparison(struct plan_column *column, const struct db_rows *rows, int row)
{
    static const char *const own[] = {"OPERATOR(pg_catalog.<)", "OPERATOR(pg_catalog.<=)",
                                      "OPERATOR(pg_catalog.=)", "OPERATOR(pg_catalog.>=)",
                                      "OPERATOR(pg_catalog.>)"};
    const char **places[] = {&column->below, &column->at_most, &column->equal, &column->at_least,
                             &column->above};
    for (int i = 0; i < 5; i++) {
        const char *told = db_rows_get(rows, row, 8 + i);
        *places[i] = told ? told : own[i];
    }
    const char *operand = db_rows_get(rows, row, 13);
    column->operand = operand ? operand : "";
}

static bool read_columns(struct plan *plan, struct db *db, struct plan_table *table,
                         struct error *err)
{
    struct catalog_range range;
    if (!catalog_columns(plan, db, table->oid, &range, err))
        return false;
    table->column_count = (size_t)(range.end - range.first);
    table->columns = mem_array(plan, struct plan_column, table->column_count + 1);
    for (int row = range.first; row < range.end; row++) {
        struct plan_column *column = &table->columns[row - range.first];
        column->name = db_rows_get(range.rows, row, 1);
        column->ident = db_quote_ident(db, plan, column->name);
        column->type = db_rows_get(range.rows, row, 2);
        column->not_null = db_rows_bool(range.rows, row, 3);
        column->base_type = (unsigned)db_rows_int(range.rows, row, 4);
        column->key_position = (int)db_rows_int(range.rows, row, 5);
        column->object_shape = db_rows_get(range.rows, row, 6);
        column->value_type = db_rows_get(range.rows, row, 7);
        read_comparison(column, range.rows, row);
        column->may_update = db_rows_bool(range.rows, row, 14);
        column->output = db_rows_get(range.rows, row, 15);
        table->has_text_casts = db_rows_bool(range.rows, row, 16);
        column->lacks_arrays = db_rows_bool(range.rows, row, 17);
    }
    return true;
}

/* pg_class.relkind in words. */
static const char *kind_name(char kind)
{
    return kind == 'v'                  ? "a view"
           : kind == 'm'                ? "a materialized view"
           : kind == 'f'                ? "a foreign table"
           : kind == 'i' || kind == 'I' ? "an index"
           : kind == 'S'                ? "a sequence"
                                        : "no ordinary table";
}

/* PostgreSQL names the schema; the GRANT that is missing is for us to name. */
static bool no_lookup(struct db *db, const char *name, struct error *err)
{
    const char *dot = strrchr(name, '.');
    if (sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE) && dot) {
        char *role = db_quote_ident(db, db, db_user(db));
        error_hint(err, "GRANT USAGE ON SCHEMA %.*s TO %s;", (int)(dot - name), name, role);
        talloc_free(role);
    }
    return false;
}

bool catalog_table(struct plan *plan, struct db *db, const char *name, struct plan_table *table,
                   bool *found, struct error *err)
{
    const struct db_rows *rows;
    int row;
    if (!catalog_find(plan, db, name, &rows, &row, err))
        return no_lookup(db, name, err);
    *found = row >= 0;
    if (!*found)
        return true;
    char *schema = db_quote_ident(db, plan, db_rows_get(rows, row, 2));
    table->oid = db_rows_get(rows, row, 1);
    table->label = db_rows_get(rows, row, 3);
    table->name = db_rows_get(rows, row, 4);
    table->ident = mem_printf(plan, "%s.%s", schema, db_quote_ident(db, plan, table->name));
    table->kind = db_rows_get(rows, row, 5)[0];
    table->estimated_rows = db_rows_int(rows, row, 6);
    table->may_use_schema = db_rows_bool(rows, row, 8);
    table->may_select = db_rows_bool(rows, row, 9);
    table->may_update = db_rows_bool(rows, row, 10);
    table->may_delete = db_rows_bool(rows, row, 11);
    table->may_lock = db_rows_bool(rows, row, 12);
    if (table->kind != 'r' && table->kind != 'p') {
        error_set(err, SWEEP_USAGE, "%s is %s, not a table", table->label, kind_name(table->kind));
        return error_hint(err, "Name the table that the rows are stored in.");
    }
    if (db_rows_bool(rows, row, 7))
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
        if (column->lacks_arrays)
            return error_set(
                err, SWEEP_USAGE,
                "column %s in the primary key of table %s is an array, which cannot be swept by",
                column->ident, table->label);
        node->key[column->key_position - 1] = column;
        node->key_count++;
    }
    if (node->key_count > 0)
        return true;
    error_set(err, SWEEP_USAGE, "table %s has no primary key", table->label);
    error_detail(err, "Without one, its rows cannot be identified.");
    return error_hint(err, "ALTER TABLE %s ADD PRIMARY KEY (...);", table->ident);
}

bool catalog_no_table(struct db *db, const struct setting *name, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {name->value};
    struct error ignored = ERROR_INIT;
    error_set(err, SWEEP_USAGE, "%s: there is no table %s in %s", name->origin, name->value,
              db_where(db));
    char *sql = template_fill(db, "sql/catalog.sql", "similar", NULL);
    bool ok = db_query(db, db, sql, 1, params, &rows, &ignored);
    talloc_free(sql);
    error_clear(&ignored);
    if (!ok)
        return false;
    if (db_rows_count(rows) > 0)
        error_hint(err,
                   "Is it %s? Write its name as SQL does (with the schema, with \"double quotes\" "
                   "around capitals).",
                   db_rows_get(rows, 0, 0));
    else
        error_hint(err, "Check -d and the role's search_path, or name the table with its schema.");
    talloc_free(rows);
    return false;
}
