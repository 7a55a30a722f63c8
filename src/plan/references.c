/* References to a table: foreign keys from the catalog, and those that the policy states. */
#include <string.h>

#include "internal.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"

static struct reference *add_reference(struct plan *plan, struct reference **list, size_t *count,
                                       size_t width)
{
    size_t i = mem_grow(plan, list, count);
    struct plan_edge *edge = &(*list)[i].edge;
    edge->width = width;
    edge->columns = mem_array(plan, const char *, width);
    edge->names = mem_array(plan, const char *, width);
    edge->referred = mem_array(plan, const char *, width);
    edge->not_null = mem_array(plan, bool, width);
    edge->text = mem_array(plan, bool, width);
    return &(*list)[i];
}

/* One row for each column pair; rows of one constraint follow each other. Returns the next row. */
static int take_foreign_key(struct plan *plan, struct db *db, const struct db_rows *rows, int row,
                            struct plan_node *parent, struct reference **list, size_t *count)
{
    int end = row;
    const char *oid = db_rows_get(rows, row, 0);
    while (end < db_rows_count(rows) && strcmp(db_rows_get(rows, end, 0), oid) == 0)
        end++;
    struct reference *ref = add_reference(plan, list, count, (size_t)(end - row));
    struct plan_edge *edge = &ref->edge;
    edge->parent = parent;
    edge->constraint = db_rows_get(rows, row, 1);
    edge->on_delete = db_rows_get(rows, row, 2)[0];
    for (size_t i = 0; i < edge->width; i++) {
        int r = row + (int)i;
        edge->names[i] = db_rows_get(rows, r, 5);
        edge->columns[i] = db_quote_ident(db, plan, edge->names[i]);
        edge->referred[i] = db_quote_ident(db, plan, db_rows_get(rows, r, 6));
        edge->not_null[i] = db_rows_bool(rows, r, 7);
    }
    edge->indexed = db_rows_bool(rows, row, 8);
    edge->pages = db_rows_int(rows, row, 9);
    edge->table = db_rows_get(rows, row, 4);
    ref->table_oid = db_rows_get(rows, row, 3);
    return end;
}

static bool check_stated(const struct policy_reference *from, const struct db_rows *rows,
                         struct error *err)
{
    for (int r = 0; r < db_rows_count(rows); r++) {
        const char *origin = from->columns[r].origin;
        if (!db_rows_bool(rows, r, 5))
            return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", origin,
                             from->table.value, db_rows_get(rows, r, 3));
        if (!db_rows_bool(rows, r, 6))
            return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", origin,
                             from->refers_to.value, db_rows_get(rows, r, 4));
    }
    return true;
}

/* That the columns can be compared. */
static bool check_types(struct plan *plan, struct db *db, const struct plan_edge *edge, struct error *err)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBuffer(sql, "SELECT FROM %s AS a, %s AS b WHERE ", edge->table, edge->parent->table.ident);
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(sql, "%sa.%s = b.%s", i ? " AND " : "", edge->columns[i], edge->referred[i]);
    char *text = buffer_take(plan, sql);
    bool ok = db_check(db, text, err);
    talloc_free(text);
    return ok || error_prefix(err, "%s: the columns of the reference", edge->constraint);
}

static bool take_stated(struct plan *plan, struct db *db, const struct policy_reference *from,
                        struct plan_node *parent, struct reference **list, size_t *count,
                        struct error *err)
{
    size_t n = from->column_count;
    const char **columns = mem_array(plan, const char *, n + 1);
    const char **referred = mem_array(plan, const char *, n + 1);
    struct db_rows *rows;
    for (size_t i = 0; i < n; i++) {
        columns[i] = from->columns[i].column;
        referred[i] = from->columns[i].value ? from->columns[i].value : "";
    }
    const char *params[] = {from->table.value, from->refers_to.value, db_array(plan, columns, n),
                            db_array(plan, referred, n)};
    if (!catalog_ask(plan, db, "sql/catalog_stated_reference.sql", 4, params, &rows, err))
        return error_prefix(err, "%s", from->table.origin);
    /* A table that this schema lacks is looked at where the policy lists it. */
    if (db_rows_count(rows) == 0 || strcmp(db_rows_get(rows, 0, 1), parent->table.oid) != 0)
        return true;
    if (!check_stated(from, rows, err))
        return false;
    struct reference *ref = add_reference(plan, list, count, n);
    struct plan_edge *edge = &ref->edge;
    edge->parent = parent;
    edge->constraint = from->table.origin;
    edge->on_delete = 'a';
    edge->stated = true;
    for (size_t i = 0; i < n; i++) {
        edge->names[i] = columns[i];
        edge->columns[i] = db_quote_ident(db, plan, columns[i]);
        edge->referred[i] = db_quote_ident(db, plan, referred[i]);
        edge->not_null[i] = db_rows_bool(rows, (int)i, 7);
        edge->text[i] = db_rows_bool(rows, (int)i, 8);
    }
    edge->indexed = db_rows_bool(rows, 0, 9);
    edge->shared = !db_rows_bool(rows, 0, 10);
    edge->pages = db_rows_int(rows, 0, 11);
    edge->table = db_rows_get(rows, 0, 2);
    ref->table_oid = db_rows_get(rows, 0, 0);
    return check_types(plan, db, edge, err);
}

/* A table may be missing only where the policy says so of the dependent. */
static bool may_lack(const struct policy *policy, const char *table)
{
    for (size_t i = 0; i < policy->dependent_count; i++)
        if (policy->dependents[i].optional && strcmp(policy->dependents[i].table.value, table) == 0)
            return true;
    return false;
}

bool references_check(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    for (size_t i = 0; i < policy->reference_count; i++) {
        const struct policy_reference *from = &policy->references[i];
        const struct setting *tables[] = {&from->table, &from->refers_to};
        if (from->column_count == 0)
            return error_set(err, SWEEP_USAGE, "%s: \"columns\" of the reference is empty", from->table.origin);
        for (int t = 0; t < 2; t++) {
            struct db_rows *rows;
            if (!catalog_ask(plan, db, "sql/catalog_table.sql", 1, &tables[t]->value, &rows, err))
                return error_prefix(err, "%s", tables[t]->origin);
            if (db_rows_count(rows) == 0 && !may_lack(policy, tables[t]->value))
                return catalog_no_table(db, tables[t], err);
        }
    }
    return true;
}

bool references_read(struct plan *plan, struct db *db, struct plan_node *parent,
                     struct reference **references, size_t *count, struct error *err)
{
    struct db_rows *rows;
    const char *params[] = {parent->table.oid};
    *references = NULL;
    *count = 0;
    if (!catalog_ask(plan, db, "sql/catalog_foreign_keys.sql", 1, params, &rows, err))
        return false;
    for (int row = 0; row < db_rows_count(rows);)
        row = take_foreign_key(plan, db, rows, row, parent, references, count);
    for (size_t i = 0; i < plan->policy->reference_count; i++)
        if (!take_stated(plan, db, &plan->policy->references[i], parent, references, count, err))
            return false;
    return true;
}
