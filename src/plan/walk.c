/* What the sweep walks along: an index on the age, or the primary key. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char WALK[] = "sql/walk.sql";

/* More rows than this with one age make a step along an index on the age alone slow: each chunk
 * would sort all of them again. Fewer are not worth it either where all these chunks together would
 * sort more rows than the table has, which the walk along the key reads once. */
enum { MANY_EQUAL_AGES = 20000, FEW_EQUAL_AGES = 500, ROWS_PER_CHUNK = 500 };

/* Columns of age_indexes. */
enum { INDEX, COLUMNS, MOST_COMMON_ROWS, ROWS, KNOWN, PARTIAL };

static void use_cursor(struct plan *plan, enum plan_walk walk)
{
    plan->walk = walk;
    plan->cursor_count = 0;
    plan->cursor = mem_array(plan, const struct plan_column *, plan->key_count + 1);
    if (walk == WALK_AGE)
        plan->cursor[plan->cursor_count++] = plan->age;
    for (size_t i = 0; i < plan->key_count; i++)
        if (walk == WALK_KEY || plan->key[i] != plan->age)
            plan->cursor[plan->cursor_count++] = plan->key[i];
}

/* How PostgreSQL would take the walk's statement: the lines of its plan. */
static bool explain_walk(const struct plan *plan, struct db *db, void *scratch,
                         struct db_rows **rows, struct error *err)
{
    PQExpBuffer candidate = createPQExpBuffer();
    plan_append_candidate(candidate, plan);
    char *prepare = template_fill(
        scratch, WALK, "prepare",
        TEMPLATE_SLOTS({"type", plan->age->value_type}, {"root", plan->nodes[0]->table.ident},
                       {"candidate", buffer_take(scratch, candidate)},
                       {"order", mem_printf(scratch, "t.%s", plan->age->ident)}));
    char *explain = template_fill(
        scratch, WALK, "explain",
        TEMPLATE_SLOTS({"cutoff", db_quote_literal(db, scratch, plan->cutoff_value)}));
    struct error ignored = ERROR_INIT;
    bool ok =
        db_execute(db, scratch, &db_begin_read_only, 0, NULL, NULL, err) &&
        db_query(db, scratch, template_fill(scratch, WALK, "settings", NULL), 0, NULL, NULL, err) &&
        db_query(db, scratch, prepare, 0, NULL, NULL, err) &&
        db_query(db, scratch, template_fill(scratch, WALK, "prepared", NULL), 0, NULL, NULL, err);
    bool prepared = ok;
    ok = ok && db_query(db, scratch, explain, 0, NULL, rows, err);
    /* In this transaction: the next one may be in another session. */
    if (prepared && !db_is_lost(db) &&
        !(db_query(db, scratch, template_fill(scratch, WALK, "explained", NULL), 0, NULL, NULL,
                   &ignored) &&
          db_query(db, scratch, template_fill(scratch, WALK, "forget", NULL), 0, NULL, NULL,
                   &ignored)))
        error_clear(&ignored);
    db_rollback(db);
    return ok;
}

/* "Index Scan using a on b t": whether the line is about a scan of b, and whether that uses a. */
static bool is_scan(const char *line, const char *index, const char *table, bool *uses)
{
    const char *on = strstr(line, " on ");
    size_t length = strlen(table);
    const char *using = strstr(line, " using ");
    if (!on || strncmp(on + 4, table, length) != 0 ||
        (on[4 + length] != ' ' && on[4 + length] != '\0'))
        return false;
    using = using ? using + strlen(" using ") : NULL;
    *uses = using && using < on && (size_t)(on - using) == strlen(index) &&
            strncmp(using, index, strlen(index)) == 0;
    return true;
}

/* Every scan of the root's table, or of its partitions, uses the index; those that are never read
 * do not count. */
static bool all_use(const struct db_rows *shown, const struct db_rows *leaves)
{
    bool any = false;
    for (int i = 0; i < db_rows_count(shown); i++)
        for (int l = 0; l < db_rows_count(leaves); l++) {
            bool uses;
            if (!is_scan(db_rows_get(shown, i, 0), db_rows_get(leaves, l, 0),
                         db_rows_get(leaves, l, 1), &uses))
                continue;
            if (!uses)
                return false;
            any = true;
        }
    return any;
}

/* Sets *usable if the partial index holds every candidate. */
static bool ask_partial(const struct plan *plan, struct db *db, const char *index, bool *usable,
                        struct error *err)
{
    void *scratch = talloc_new(plan);
    const char *params[] = {index};
    struct db_rows *shown, *leaves;
    bool ok = db_query(db, scratch, template_fill(scratch, WALK, "leaves", NULL), 1, params,
                       &leaves, err) &&
              explain_walk(plan, db, scratch, &shown, err);
    *usable = ok && all_use(shown, leaves);
    if (!ok && !db_is_lost(db)) {
        error_clear(err); /* whatever is wrong with it, it says nothing for the index */
        ok = true;
    }
    talloc_free(scratch);
    return ok;
}

/* The row of the first index that can be used; -1: none. */
static bool find_index(const struct plan *plan, struct db *db, const struct db_rows *rows,
                       int *found, struct error *err)
{
    *found = -1;
    for (int i = 0; i < db_rows_count(rows) && *found < 0; i++) {
        bool usable = !db_rows_bool(rows, i, PARTIAL);
        if (!usable && !ask_partial(plan, db, db_rows_get(rows, i, INDEX), &usable, err))
            return false;
        if (usable)
            *found = i;
    }
    return true;
}

/* rows 0: not known. */
static bool is_sorted_too_often(int64_t sorted, int64_t rows)
{
    return rows > 0 && (double)sorted * (double)sorted / ROWS_PER_CHUNK > (double)rows;
}

/* Before version 13 PostgreSQL cannot go on from what the index has ordered already: all that is
 * old enough is sorted for each chunk. Where ages alone bound the chunks nothing is. */
static bool sorts_all(const struct plan *plan, const struct db *db)
{
    return db_server_version(db) < 130000 &&
           !(plan->few_equal_ages && plan->strategy == STRATEGY_RANGE);
}

/* Sets *reason where the index, that of row i, does not order rows of one age, and sorting them
 * costs too much; else to NULL. */
static bool judge_sorting(const struct plan *plan, struct db *db, const struct db_rows *indexes,
                          int i, const char **reason, struct error *err)
{
    int64_t equal_ages = db_rows_int(indexes, i, MOST_COMMON_ROWS), old_enough = 0;
    int64_t rows = db_rows_int(indexes, i, ROWS);
    bool several = db_rows_int(indexes, i, COLUMNS) > 1;
    /* Of an upper bound (age, key) an index scan knows the end by the age alone: each DELETE of a
     * range would read on to the end of its age, whatever the index orders. */
    bool ordered = several && compare_as_rows(plan->cursor, plan->cursor_count) &&
                   plan->strategy != STRATEGY_RANGE;
    *reason = NULL;
    if (!ordered && (equal_ages > MANY_EQUAL_AGES || is_sorted_too_often(equal_ages, rows))) {
        *reason = "many rows have the same age, and the index on it does not order them";
        return true;
    }
    if (several || db_rows_bool(indexes, i, PARTIAL) || !sorts_all(plan, db))
        return true;
    if (!estimate_old_enough(plan, db, plan, &old_enough, err))
        return false;
    if (is_sorted_too_often(old_enough, rows))
        *reason = "this version of PostgreSQL would sort all old rows for each chunk, as the index "
                  "does not order rows of one age";
    return true;
}

bool walk_build(struct plan *plan, struct db *db, struct error *err)
{
    const struct plan_table *table = &plan->nodes[0]->table;
    const char *params[] = {table->oid, plan->age->name};
    struct db_rows *rows;
    int i;
    if (!db_query(db, plan, template_fill(plan, WALK, "age_indexes", NULL), 2, params, &rows,
                  err) ||
        !find_index(plan, db, rows, &i, err))
        return false;
    if (i < 0) {
        use_cursor(plan, WALK_KEY);
        plan->walk_reason = mem_printf(plan, "no index leads with %s", plan->age->name);
        plan_note(plan,
                  "no index leads with %s.%s: the sweep reads the whole table once, in key order; "
                  "CREATE INDEX CONCURRENTLY ON %s (%s);",
                  table->label, plan->age->name, table->ident, plan->age->ident);
        return true;
    }
    use_cursor(plan, WALK_AGE);
    /* The end of a chunk is looked up by the age alone only where the index answers that by itself.
     */
    plan->few_equal_ages = !db_rows_bool(rows, i, PARTIAL) && db_rows_bool(rows, i, KNOWN) &&
                           db_rows_int(rows, i, MOST_COMMON_ROWS) <= FEW_EQUAL_AGES;
    const char *sorting = NULL;
    if (!judge_sorting(plan, db, rows, i, &sorting, err))
        return false;
    if (sorting) {
        use_cursor(plan, WALK_KEY);
        plan->few_equal_ages = false;
    }
    plan->walk_reason =
        sorting ? sorting : mem_printf(plan, "index %s", db_rows_get(rows, i, INDEX));
    return true;
}
