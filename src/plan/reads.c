/* What a condition of the policy reads: PostgreSQL is asked how it understands it, for the text
 * alone does not tell. */
#include <jansson.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char CONDITIONS[] = "sql/conditions.sql";

/* All texts of what EXPLAIN shows, a line for each. */
static void collect_texts(PQExpBuffer out, json_t *shown)
{
    if (json_is_string(shown))
        appendPQExpBuffer(out, "%s\n", json_string_value(shown));
    for (size_t i = 0; i < json_array_size(shown); i++)
        collect_texts(out, json_array_get(shown, i));
    for (void *i = json_object_iter(shown); i; i = json_object_iter_next(shown, i))
        collect_texts(out, json_object_iter_value(i));
}

/* In one transaction: the EXPLAIN, then the tables. False when PostgreSQL could not say. */
static bool look(const struct plan *plan, struct db *db, const char *name, const char *sql,
                 void *scratch, json_t **shown, struct db_rows **tables, struct error *err)
{
    char *text =
        template_fill(scratch, CONDITIONS, name,
                      TEMPLATE_SLOTS({"condition", sql}, {"root", plan->nodes[0]->table.ident},
                                     {"key", plan->key[0]->ident}));
    struct db_question questions[] = {
        {.sql = text}, {.sql = template_fill(scratch, CONDITIONS, "tables_read", NULL)}};
    bool ok = db_ask_one_state(db, scratch, questions, 2, 0, err);
    if (ok) {
        *shown = json_loads(db_rows_get(questions[0].rows, 0, 0), 0, NULL);
        *tables = questions[1].rows;
    }
    return ok;
}

/* shown: NULL where it could not be read. */
static bool is_opaque(struct db *db, json_t *shown, const struct condition_facts *facts,
                      void *scratch, bool *opaque, struct error *err)
{
    struct condition_words words;
    struct db_rows *rows;
    PQExpBuffer texts = createPQExpBuffer();
    collect_texts(texts, shown);
    *opaque = true;
    if (!condition_words(scratch, buffer_take(scratch, texts), &words) || !shown)
        return true;
    const char *params[] = {db_array(scratch, words.calls, words.call_count),
                            db_array(scratch, facts->calls, facts->call_count),
                            db_array(scratch, words.operators, words.operator_count),
                            db_array(scratch, words.words, words.word_count)};
    if (!db_query(db, scratch, template_fill(scratch, CONDITIONS, "opaque", NULL), 4, params, &rows,
                  err))
        return false;
    *opaque = db_rows_bool(rows, 0, 0);
    return true;
}

/* Letters, digits and underscores: such a name means itself, in quotes and without. */
static bool is_plain(const char *name)
{
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_\"") ==
           strlen(name);
}

static void append_unquoted(PQExpBuffer out, const char *text)
{
    for (; *text; text++)
        if (*text != '"')
            appendPQExpBufferChar(out, *text);
}

/* The condition that EXPLAIN shows, "(a)" or "((a) AND (b))", has part (in brackets) among those
 * that must all hold. */
static bool has_part(const char *condition, const char *part)
{
    size_t length = strlen(part);
    int depth = 0;
    if (strcmp(condition, part) == 0)
        return true;
    for (const char *p = condition; *p; p++) {
        const char *end = p + length;
        if (*p == '\'')
            return false; /* a literal may hold anything */
        if (depth == 1 && strncmp(p, part, length) == 0 &&
            (p == condition + 1 || strncmp(p - 5, " AND ", 5) == 0) &&
            (strcmp(end, ")") == 0 || strncmp(end, " AND ", 5) == 0))
            return strstr(condition, " OR ") == NULL;
        depth += *p == '(' ? 1 : *p == ')' ? -1 : 0;
    }
    return false;
}

/* The scan reads only rows that refer to t by the edge. */
static bool scan_is_own(void *scratch, json_t *scan, const struct plan_edge *edge)
{
    static const char *const places[] = {"Index Cond", "Recheck Cond", "Filter"};
    const char *alias = json_string_value(json_object_get(scan, "Alias"));
    bool own = alias && is_plain(alias);
    for (size_t c = 0; own && c < edge->width; c++) {
        bool found = false;
        own = is_plain(edge->columns[c]) && is_plain(edge->referred[c]);
        for (size_t i = 0; own && i < sizeof places / sizeof *places * 2; i++) {
            const char *condition = json_string_value(json_object_get(scan, places[i / 2]));
            PQExpBuffer unquoted = createPQExpBuffer();
            PQExpBuffer part = createPQExpBuffer();
            char *child = mem_printf(scratch, "%s.%s", alias, edge->columns[c]);
            char *parent = mem_printf(scratch, "t.%s", edge->referred[c]);
            append_unquoted(unquoted, condition ? condition : "");
            append_unquoted(part, mem_printf(scratch, "(%s = %s)", i % 2 ? child : parent,
                                             i % 2 ? parent : child));
            found = found || has_part(unquoted->data, part->data);
            destroyPQExpBuffer(unquoted);
            destroyPQExpBuffer(part);
        }
        own = own && found;
    }
    return own;
}

/* Every scan of the node's table below shown reads only such rows. */
static bool scans_are_own(void *scratch, struct db *db, json_t *shown, const struct plan_node *node)
{
    const char *schema = json_string_value(json_object_get(shown, "Schema"));
    const char *table = json_string_value(json_object_get(shown, "Relation Name"));
    const char *key;
    size_t i;
    json_t *value;
    bool own = true;
    if (schema && table) {
        char *ident = mem_printf(scratch, "%s.%s", db_quote_ident(db, scratch, schema),
                                 db_quote_ident(db, scratch, table));
        own = strcmp(ident, node->table.ident) != 0 || scan_is_own(scratch, shown, &node->edges[0]);
    }
    json_array_foreach(shown, i, value) own = own && scans_are_own(scratch, db, value, node);
    json_object_foreach(shown, key, value) own = own && scans_are_own(scratch, db, value, node);
    return own;
}

/* The columns are of the same built-in type, so that "=" between them is what the reference means
 * by it. */
static bool is_simple(const struct plan *plan, const struct plan_node *node)
{
    enum { FIRST_USER_TYPE = 16384 };
    const struct plan_edge *edge = &node->edges[0];
    for (size_t c = 0; c < edge->width; c++) {
        const struct plan_column *child = catalog_column(&node->table, edge->columns[c]);
        const struct plan_column *parent =
            catalog_column(&plan->nodes[0]->table, edge->referred[c]);
        if (!child || !parent || child->base_type != parent->base_type ||
            child->base_type >= FIRST_USER_TYPE)
            return false;
    }
    return true;
}

/* The node through which alone rows of the table go, if they go with the t that they refer to and
 * the condition reads those only: it reads nothing that goes before t does. */
static const struct plan_node *own_node(const struct plan *plan, struct db *db, const char *oid,
                                        json_t *shown, void *scratch)
{
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (strcmp(node->table.oid, oid) == 0 && plan_acts(node) && node->edge_count == 1 &&
            !node->recursive && node->table.kind == 'r' && node->edges[0].parent->index == 0 &&
            is_simple(plan, node) && scans_are_own(scratch, db, shown, node))
            return node;
    }
    return NULL;
}

/* own: the root's table was locked in any case, and is read besides only where there is a subquery.
 */
static void take_tables(const struct plan *plan, struct db *db, const struct db_rows *tables,
                        json_t *shown, bool own, void *scratch, struct reads *reads)
{
    for (int i = 0; i < db_rows_count(tables); i++) {
        const char *oid = db_rows_get(tables, i, 0);
        if (own && strcmp(oid, plan->nodes[0]->table.oid) == 0)
            continue;
        size_t t = mem_grow(plan, &reads->tables, &reads->count);
        reads->tables[t] =
            (struct read_table){mem_strdup(plan, oid), own_node(plan, db, oid, shown, scratch)};
        /* A foreign table may be one of this database after all. */
        reads->anything = reads->anything || db_rows_bool(tables, i, 1);
        reads->beyond = true;
    }
}

bool reads_ask(struct plan *plan, struct db *db, const char *sql,
               const struct condition_facts *facts, struct reads *reads, struct error *err)
{
    void *scratch = talloc_new(plan);
    json_t *shown = NULL;
    struct db_rows *tables;
    bool own = false;
    bool opaque = true;
    *reads = (struct reads){.beyond = facts->subquery};
    bool ok = look(plan, db, "look", sql, scratch, &shown, &tables, err);
    if (!ok && sqlstate_is(err, SQLSTATE_UNDEFINED_COLUMN)) {
        error_clear(err);
        own = !facts->subquery;
        ok = look(plan, db, "look_at_table", sql, scratch, &shown, &tables, err);
    }
    if (ok) {
        take_tables(plan, db, tables, shown, own, scratch, reads);
        ok = is_opaque(db, shown, facts, scratch, &opaque, err);
    } else if (!db_is_lost(db)) {
        error_clear(err);
        ok = true;
    }
    reads->anything = reads->anything || opaque;
    reads->beyond = reads->beyond || opaque;
    plan->looks_beyond = plan->looks_beyond || reads->beyond;
    json_decref(shown);
    talloc_free(scratch);
    return ok;
}
