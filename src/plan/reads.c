/* What a condition of the policy reads: PostgreSQL is asked how it understands it, for the text alone does not tell. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char CONDITIONS[] = "sql/conditions.sql";

/* The lines of an EXPLAIN as one text. */
static char *lines(const void *ctx, const struct db_rows *rows)
{
    PQExpBuffer text = createPQExpBuffer();
    for (int i = 0; i < db_rows_count(rows); i++)
        appendPQExpBuffer(text, "%s\n", db_rows_get(rows, i, 0));
    return buffer_take(ctx, text);
}

/* In the transaction that db_rollback ends: the EXPLAIN, then the tables. False when PostgreSQL could not tell. */
static bool look(const struct plan *plan, struct db *db, const char *name, const char *sql, void *scratch,
                 struct db_rows **shown, struct db_rows **tables, struct error *err)
{
    char *text = template_fill(scratch, CONDITIONS, name,
                               TEMPLATE_SLOTS({"condition", sql}, {"root", plan->nodes[0]->table.ident}));
    bool ok = db_execute(db, scratch, &db_begin_read_only, 0, NULL, NULL, err) &&
              db_query(db, scratch, text, 0, NULL, shown, err) &&
              db_query(db, scratch, template_fill(scratch, CONDITIONS, "tables_read", NULL), 0, NULL, tables, err);
    db_rollback(db);
    return ok;
}

static bool is_opaque(struct db *db, const char *shown, const struct condition_facts *facts, void *scratch,
                      bool *opaque, struct error *err)
{
    struct condition_words words;
    struct db_rows *rows;
    *opaque = true;
    if (!condition_words(scratch, shown, &words))
        return true;
    const char *params[] = {db_array(scratch, words.calls, words.call_count),
                            db_array(scratch, facts->calls, facts->call_count),
                            db_array(scratch, words.operators, words.operator_count),
                            db_array(scratch, words.words, words.word_count)};
    if (!db_query(db, scratch, template_fill(scratch, CONDITIONS, "opaque", NULL), 4, params, &rows, err))
        return false;
    *opaque = db_rows_bool(rows, 0, 0);
    return true;
}

/* own: the root's table was locked in any case, and is read besides only where there is a subquery. */
static void take_tables(const struct plan *plan, const struct db_rows *tables, bool own, struct reads *reads)
{
    for (int i = 0; i < db_rows_count(tables); i++) {
        const char *oid = db_rows_get(tables, i, 0);
        if (own && strcmp(oid, plan->nodes[0]->table.oid) == 0)
            continue;
        size_t t = mem_grow(plan, &reads->tables, &reads->count);
        reads->tables[t] = mem_strdup(plan, oid);
        /* A foreign table may be one of this database after all. */
        reads->anything = reads->anything || db_rows_bool(tables, i, 1);
        reads->beyond = true;
    }
}

bool reads_ask(struct plan *plan, struct db *db, const char *sql, const struct condition_facts *facts,
               struct reads *reads, struct error *err)
{
    void *scratch = talloc_new(plan);
    struct db_rows *shown, *tables;
    bool own = false;
    bool opaque = true;
    *reads = (struct reads){.beyond = facts->subquery};
    bool ok = look(plan, db, "look", sql, scratch, &shown, &tables, err);
    if (!ok && strcmp(err->sqlstate, "42703") == 0) {
        error_clear(err);
        own = !facts->subquery;
        ok = look(plan, db, "look_at_table", sql, scratch, &shown, &tables, err);
    }
    if (ok) {
        take_tables(plan, tables, own, reads);
        ok = is_opaque(db, lines(scratch, shown), facts, scratch, &opaque, err);
    } else if (!db_is_lost(db)) {
        error_clear(err);
        ok = true;
    }
    reads->anything = reads->anything || opaque;
    reads->beyond = reads->beyond || opaque;
    plan->looks_beyond = plan->looks_beyond || reads->beyond;
    talloc_free(scratch);
    return ok;
}
