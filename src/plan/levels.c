/* Tables whose rows refer to rows of the same table: conditions that follow these references over
 * any number of rows. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"

static const char file[] = "sql/reach.sql";

static bool is_listed(const char *const *list, size_t count, const char *name)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], name) == 0)
            return true;
    return false;
}

/* ", alias.column": those that are not in the list yet, which grows. */
static void append_new(PQExpBuffer out, const char *alias, const char ***list, size_t *count,
                       const char *const *columns, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (is_listed(*list, *count, columns[i]))
            continue;
        appendPQExpBuffer(out, "%s%s.%s", *count ? ", " : "", alias, columns[i]);
        size_t k = mem_grow(NULL, list, count);
        (*list)[k] = columns[i];
    }
}

void reach_append_level(PQExpBuffer out, const char *alias, const struct plan_node *node,
                        const struct plan_edge *edges, size_t n)
{
    const char **list = NULL;
    size_t count = 0;
    for (size_t k = 0; k < node->key_count; k++)
        append_new(out, alias, &list, &count, &node->key[k]->ident, 1);
    for (size_t i = 0; i < n; i++)
        if (edges[i].parent == node)
            append_new(out, alias, &list, &count, edges[i].referred, edges[i].width);
    talloc_free(list);
}

/* Where the row alias is, and what all its references compare. */
static void append_referring(PQExpBuffer out, const char *alias, const struct plan_node *node)
{
    const char **list = NULL;
    size_t count = 0;
    append_new(out, alias, &list, &count, (const char *const[]){"tableoid"}, 1);
    for (size_t i = 0; i < node->edge_count; i++)
        append_new(out, alias, &list, &count, node->edges[i].columns, node->edges[i].width);
    talloc_free(list);
}

/* SELECT of columns FROM the table of the node AS row WHERE the conditions; destroys both buffers.
 */
static void append_select(PQExpBuffer out, const struct plan_node *node, const char *row,
                          PQExpBuffer columns, PQExpBuffer conditions)
{
    fragment_append(out, file, "select",
                    TEMPLATE_SLOTS({"columns", columns->data}, {"table", node->table.ident},
                                   {"alias", row}, {"conditions", conditions->data}));
    destroyPQExpBuffer(columns);
    destroyPQExpBuffer(conditions);
}

/* One level: the rows that the rows a of the query above, known, refer to (up), or those that refer
 * to them; by an index each. Owned by ctx. */
static char *next_level(const void *ctx, const struct plan_node *node, const char *known,
                        const char *row, bool up)
{
    PQExpBuffer level = createPQExpBuffer();
    for (size_t i = 0; i < node->edge_count; i++) {
        const struct plan_edge *edge = &node->edges[i];
        if (edge->parent != node)
            continue;
        PQExpBuffer columns = createPQExpBuffer();
        PQExpBuffer match = createPQExpBuffer();
        if (up)
            append_referring(columns, row, node);
        else
            reach_append_level(columns, row, node, node->edges, node->edge_count);
        reach_append_match_set(match, edge, up ? "a" : row, up ? row : "a", "a");
        appendPQExpBufferStr(level, level->len > 0 ? "\nUNION ALL\n" : "");
        append_select(level, node, row, columns, match);
    }
    return template_fill(
        ctx, file, "next_level",
        TEMPLATE_SLOTS({"row", row}, {"known", known}, {"level", buffer_take(ctx, level)}));
}

/* The first rows of those that reach_append_down finds; owned by ctx. */
static char *first_rows(const void *ctx, const struct plan *plan, const struct plan_node *node,
                        const char *row, enum anchor anchor)
{
    PQExpBuffer first = createPQExpBuffer();
    for (size_t i = 0; i < node->edge_count; i++) {
        if (node->edges[i].parent == node)
            continue;
        PQExpBuffer columns = createPQExpBuffer();
        PQExpBuffer conditions = createPQExpBuffer();
        reach_append_level(columns, row, node, node->edges, node->edge_count);
        reach_append_edge(conditions, plan, &node->edges[i], row, anchor);
        appendPQExpBufferStr(first, first->len > 0 ? "\nUNION\n" : "");
        append_select(first, node, row, columns, conditions);
    }
    return buffer_take(ctx, first);
}

static void append_down_in_array(PQExpBuffer out, const char *alias, const struct plan_column *key,
                                 const char *all)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer column = createPQExpBuffer();
    compare_append_column(column, alias, key);
    fragment_append(
        out, file, "down_in_array",
        TEMPLATE_SLOTS({"key", buffer_take(ctx, column)}, {"equal", key->equal}, {"all_down", all},
                       {"cast", *key->operand ? mem_printf(ctx, "%s[]", key->operand) : ""}));
    talloc_free(ctx);
}

/* What a reference compares that PostgreSQL cannot hash: "id of type money". */
static bool cannot_hash(const struct plan_node *node, const char *why, struct error *err)
{
    void *ctx = talloc_new(NULL);
    char *columns = mem_strdup(ctx, "");
    for (size_t k = 0; k < node->key_count; k++)
        columns = mem_printf(ctx, "%s%s%s of type %s", columns, k ? ", " : "", node->key[k]->name,
                             node->key[k]->type);
    error_set(err, SWEEP_USAGE,
              "%s refers to itself, and its rows cannot be compared by the columns of its key (%s)",
              node->table.label, columns);
    error_detail(err, "The server says: %s.", why);
    talloc_free(ctx);
    return error_hint(
        err, "References within a table are followed by hashing. PostgreSQL does not hash bit, "
             "bit varying and money: "
             "give the columns another type.");
}

bool levels_check(const struct plan *plan, struct db *db, struct error *err)
{
    for (size_t i = 0; i < plan->node_count; i++) {
        const struct plan_node *node = plan->nodes[i];
        if (!node->recursive && node->self_count == 0)
            continue;
        void *ctx = talloc_new(NULL);
        PQExpBuffer columns = createPQExpBuffer();
        struct error told = ERROR_INIT;
        if (node->recursive)
            reach_append_level(columns, "a", node, node->edges, node->edge_count);
        else
            reach_append_level(columns, "a", node, node->self, node->self_count);
        char *sql = template_fill(
            ctx, file, "can_hash",
            TEMPLATE_SLOTS({"columns", buffer_take(ctx, columns)}, {"table", node->table.ident}));
        bool ok = db_query(db, ctx, sql, 0, NULL, NULL, &told);
        talloc_free(ctx);
        if (!ok && sqlstate_is(&told, SQLSTATE_FEATURE_NOT_SUPPORTED))
            cannot_hash(node, told.message, err);
        else if (!ok)
            error_move(err, &told);
        error_clear(&told);
        if (!ok)
            return false;
    }
    return true;
}

void reach_append_down(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                       const char *alias, enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    char *known = mem_printf(ctx, "r%d", node->index);
    char *row = mem_printf(ctx, "c%d", node->index);
    PQExpBuffer columns = createPQExpBuffer();
    reach_append_columns(columns, known, node->key, node->key_count);
    char *all = template_fill(
        ctx, file, "all_down",
        TEMPLATE_SLOTS({"known", known}, {"first", first_rows(ctx, plan, node, row, anchor)},
                       {"next_level", next_level(ctx, node, known, row, false)},
                       {"columns", buffer_take(ctx, columns)}));
    if (anchor_is_in_hand(anchor) && node->key_count == 1)
        append_down_in_array(out, alias, node->key[0], all);
    else
        compare_append_in(out, alias, node->key, node->key_count, all);
    talloc_free(ctx);
}

void reach_append_up(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                     const char *alias, enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    char *known = mem_printf(ctx, "r%d", node->index);
    char *row = mem_printf(ctx, "c%d", node->index);
    PQExpBuffer columns = createPQExpBuffer();
    PQExpBuffer conditions = createPQExpBuffer();
    append_referring(columns, alias, node);
    reach_append_edges(conditions, plan, node, row, anchor);
    fragment_append(out, file, "up",
                    TEMPLATE_SLOTS({"known", known}, {"columns", buffer_take(ctx, columns)},
                                   {"next_level", next_level(ctx, node, known, row, true)},
                                   {"row", row}, {"conditions", buffer_take(ctx, conditions)}));
    talloc_free(ctx);
}
