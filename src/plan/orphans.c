/* Shared rows: which of them lose their last reference, in a prediction and in a transaction. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

static const char file[] = "sql/orphans.sql";

/* The rows in hand are kept in settings that end with the transaction: pgsweep.o<node>_<key
 * column>. */
static void append_setting(PQExpBuffer out, const struct plan_node *orphan, size_t column)
{
    appendPQExpBuffer(out, "'pgsweep.o%d_%zu'", orphan->index, column);
}

/* The setting as an array of the column's type: empty when nothing was put there in this
 * transaction. */
static void append_array(PQExpBuffer out, const struct plan_node *orphan, size_t column)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer setting = createPQExpBuffer();
    append_setting(setting, orphan, column);
    fragment_append(out, file, "array_in_hand",
                    TEMPLATE_SLOTS({"setting", buffer_take(ctx, setting)},
                                   {"type", orphan->key[column]->value_type}));
    talloc_free(ctx);
}

/* alias.key of the shared table; owned by ctx. */
static char *key_of(const void *ctx, const struct plan_node *orphan, const char *alias)
{
    PQExpBuffer out = createPQExpBuffer();
    reach_append_columns(out, alias, orphan->key, orphan->key_count);
    return buffer_take(ctx, out);
}

/* The condition that the row alias is one that the query selects. */
static void append_in_query(PQExpBuffer out, const struct plan_node *orphan, const char *alias,
                            const char *query)
{
    compare_append_in(out, alias, orphan->key, orphan->key_count, query);
}

/* The condition that the row alias is one of those in hand. */
static void append_in_hand(PQExpBuffer out, const struct plan_node *orphan, const char *alias)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer arrays = createPQExpBuffer();
    for (size_t i = 0; i < orphan->key_count; i++) {
        appendPQExpBufferStr(arrays, i ? ",\n" : "");
        appendPQExpBufferStr(arrays, orphan->key_count > 1 ? "pg_catalog.unnest(" : "");
        append_array(arrays, orphan, i);
        appendPQExpBufferStr(arrays, orphan->key_count > 1 ? ")" : "");
    }
    char *text = buffer_take(ctx, arrays);
    if (orphan->key_count == 1) {
        PQExpBuffer key = createPQExpBuffer();
        PQExpBuffer cast = createPQExpBuffer();
        compare_append_column(key, alias, orphan->key[0]);
        compare_append_array(cast, orphan->key[0], "");
        fragment_append(out, file, "in_hand",
                        TEMPLATE_SLOTS({"key", buffer_take(ctx, key)},
                                       {"equal", orphan->key[0]->equal}, {"array", text},
                                       {"cast", buffer_take(ctx, cast)}));
    } else {
        append_in_query(out, orphan, alias,
                        template_fill(ctx, file, "all_in_hand", TEMPLATE_SLOTS({"arrays", text})));
    }
    talloc_free(ctx);
}

/* What the rows in hand refer to, as an array that the server makes once for the statement. */
static void append_link_in_hand(PQExpBuffer out, const struct plan *plan,
                                const struct plan_edge *link, const char *alias, const char *from,
                                enum anchor anchor)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    reach_append(rows, plan, link->child, from, anchor);
    reach_append_not_empty(rows, link, from);
    fragment_append(out, "sql/reach.sql", "in_array",
                    TEMPLATE_SLOTS({"column", mem_printf(ctx, "%s.%s", alias, link->referred[0])},
                                   {"value", mem_printf(ctx, "%s.%s", from, link->columns[0])},
                                   {"table", link->table}, {"alias", from},
                                   {"conditions", buffer_take(ctx, rows)}));
    talloc_free(ctx);
}

/* The condition that a row that goes links to the row alias. */
static void append_link(PQExpBuffer out, const struct plan *plan, const struct plan_edge *link,
                        const char *alias, enum anchor anchor)
{
    char from[24];
    snprintf(from, sizeof from, link->child->index == 0 ? "t" : "l%d", link->child->index);
    if (link->child->index == 0 && anchor == ANCHOR_CORRELATED) {
        reach_append_match(out, link, from, alias);
        return;
    }
    if (anchor_is_in_hand(anchor) && link->plain && link->width == 1 && !link->scope &&
        !link->referred_scope) {
        append_link_in_hand(out, plan, link, alias, from, anchor);
        return;
    }
    PQExpBuffer rows = createPQExpBuffer();
    reach_append(rows, plan, link->child, from, anchor);
    appendPQExpBufferStr(rows, "\nAND ");
    reach_append_match(rows, link, from, alias);
    reach_append_exists(out, link->table, from, rows, anchor_is_mid(anchor));
}

/* Through any link, or only those from rows of one group: of those that hang on one shared table,
 * or on the root. or_in_hand: those in hand too, whose links may be gone. */
static void append_linked(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, enum anchor anchor,
                          const struct plan_node *const *group, bool or_in_hand)
{
    void *ctx = talloc_new(NULL);
    struct alternatives ways = {.ctx = ctx};
    for (size_t i = 0; i < orphan->link_count; i++) {
        if (group && orphan->links[i].child->orphan != *group)
            continue;
        PQExpBuffer way = createPQExpBuffer();
        append_link(way, plan, &orphan->links[i], alias, anchor);
        alternatives_add(&ways, way);
    }
    if (or_in_hand) {
        PQExpBuffer way = createPQExpBuffer();
        append_in_hand(way, orphan, alias);
        alternatives_add(&ways, way);
    }
    alternatives_append(out, &ways);
    talloc_free(ctx);
}

/* For every reference from another table "\nAND NOT EXISTS (...)". Where it is predicted,
 * references that go themselves do not count. */
static void append_unused(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, enum anchor anchor)
{
    for (size_t i = 0; i < orphan->use_count; i++) {
        const struct plan_edge *use = &orphan->uses[i];
        char from[24];
        snprintf(from, sizeof from, "u%d", orphan->index);
        PQExpBuffer rows = createPQExpBuffer();
        PQExpBuffer going = createPQExpBuffer();
        reach_append_match(rows, use, from, alias);
        if (anchor_is_predicted(anchor) && use->child &&
            reach_append_table(going, plan, &use->child->table, NULL, false, from,
                               anchor == ANCHOR_LATER ? ANCHOR_GOING : anchor))
            fragment_and_not_true(rows, going->data);
        destroyPQExpBuffer(going);
        appendPQExpBufferStr(out, "\nAND NOT ");
        reach_append_exists(out, use->table, from, rows, false);
    }
}

/* The row child refers to the row parent of the same shared table, one way or another. */
static void append_self(PQExpBuffer out, const struct plan_node *orphan, const char *child,
                        const char *parent)
{
    void *ctx = talloc_new(NULL);
    struct alternatives ways = {.ctx = ctx};
    for (size_t i = 0; i < orphan->self_count; i++) {
        PQExpBuffer way = createPQExpBuffer();
        reach_append_match(way, &orphan->self[i], child, parent);
        alternatives_add(&ways, way);
    }
    alternatives_append(out, &ways);
    talloc_free(ctx);
}

/* The rows that those of the recursive query name refer to; owned by ctx. */
static char *referred(const void *ctx, const struct plan_node *orphan, const char *name)
{
    PQExpBuffer match = createPQExpBuffer();
    append_self(match, orphan, "c", "p");
    PQExpBuffer same = createPQExpBuffer();
    compare_append_same(same, "c", name, orphan->key, orphan->key_count);
    return template_fill(ctx, file, "referred",
                         TEMPLATE_SLOTS({"columns", key_of(ctx, orphan, "p")}, {"set", name},
                                        {"table", orphan->table.ident},
                                        {"same", buffer_take(ctx, same)},
                                        {"match", buffer_take(ctx, match)}));
}

/* The query name, of rows that meet the conditions and what they refer to; destroys the conditions.
 * Owned by ctx. */
static char *set_of(const void *ctx, const struct plan_node *orphan, const char *name,
                    PQExpBuffer conditions)
{
    return template_fill(ctx, file, name,
                         TEMPLATE_SLOTS({"columns", key_of(ctx, orphan, "b")},
                                        {"table", orphan->table.ident},
                                        {"conditions", buffer_take(ctx, conditions)},
                                        {"referred", referred(ctx, orphan, name)}));
}

/* What may go with others of its table: the query "linked", rows that lose a link and what they
 * refer to. */
static char *linked(const void *ctx, const struct plan *plan, const struct plan_node *orphan,
                    enum anchor anchor, const struct plan_node *const *group)
{
    PQExpBuffer rows = createPQExpBuffer();
    append_linked(rows, plan, orphan, "b", anchor, group, anchor_is_mid(anchor));
    return set_of(ctx, orphan, "linked", rows);
}

/* The row alias is in hand or, where that is predicted, in the query "linked". */
static void append_member(PQExpBuffer out, const struct plan_node *orphan, const char *alias,
                          enum anchor anchor)
{
    if (anchor_is_in_hand(anchor)) {
        append_in_hand(out, orphan, alias);
        return;
    }
    append_in_query(out, orphan, alias, "SELECT * FROM linked");
}

/* "\nAND NOT (conditions)", which may start with AND; destroys the conditions. */
static void append_and_not(PQExpBuffer out, PQExpBuffer conditions)
{
    const char *first = conditions->data;
    if (strncmp(first, "\nAND ", strlen("\nAND ")) == 0)
        first += strlen("\nAND ");
    appendPQExpBufferStr(out, "\nAND NOT (");
    template_append(out, first, strlen("AND NOT ("));
    appendPQExpBufferChar(out, ')');
    destroyPQExpBuffer(conditions);
}

/* "blocked": the members that a row outside uses, and what those refer to. */
static char *blocked(const void *ctx, const struct plan *plan, const struct plan_node *orphan,
                     enum anchor anchor)
{
    PQExpBuffer rows = createPQExpBuffer();
    PQExpBuffer unused = createPQExpBuffer();
    PQExpBuffer inside = createPQExpBuffer();
    PQExpBuffer outside = createPQExpBuffer();
    append_self(outside, orphan, "c", "b");
    append_member(inside, orphan, "c", anchor);
    append_and_not(outside, inside);
    append_unused(unused, plan, orphan, "b", anchor);
    appendPQExpBufferStr(unused, "\nAND NOT ");
    reach_append_exists(unused, orphan->table.ident, "c", outside, false);
    append_member(rows, orphan, "b", anchor);
    append_and_not(rows, unused);
    return set_of(ctx, orphan, "blocked", rows);
}

/* The row alias is in the query "linked" and, where certain, not in "blocked". */
static void append_in_linked(PQExpBuffer out, const struct plan *plan,
                             const struct plan_node *orphan, const char *alias, enum anchor anchor,
                             const struct plan_node *const *group, bool certain)
{
    void *ctx = talloc_new(NULL);
    char *sets =
        mem_printf(ctx, "WITH RECURSIVE %s%s%s", linked(ctx, plan, orphan, anchor, group),
                   certain ? ",\n" : "", certain ? blocked(ctx, plan, orphan, anchor) : "");
    append_in_query(out, orphan, alias,
                    template_fill(ctx, file, certain ? "all_unblocked" : "all_linked",
                                  TEMPLATE_SLOTS({"sets", sets})));
    talloc_free(ctx);
}

void orphan_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                   const char *alias, enum anchor anchor)
{
    /* In a guard of the candidate around, who else is a candidate is not known yet: it spares
     * rather too many. */
    bool certain = anchor_is_predicted(anchor);
    if (anchor_is_in_hand(anchor)) {
        append_in_hand(out, orphan, alias);
    } else if (orphan->self_count > 0) {
        append_in_linked(out, plan, orphan, alias, anchor, NULL, certain);
    } else {
        append_linked(out, plan, orphan, alias, anchor, NULL, anchor_is_mid(anchor));
        if (certain)
            append_unused(out, plan, orphan, alias, anchor);
    }
}

/* set_config(...) of each key column of the rows that follow, as an array; owned by ctx. */
static char *settings(const void *ctx, const struct plan_node *orphan)
{
    PQExpBuffer out = createPQExpBuffer();
    for (size_t i = 0; i < orphan->key_count; i++) {
        appendPQExpBufferStr(out, i ? ",\npg_catalog.set_config(" : "pg_catalog.set_config(");
        append_setting(out, orphan, i);
        appendPQExpBuffer(
            out,
            ", coalesce(pg_catalog.textin(pg_catalog.array_out(pg_catalog.array_agg(k%zu))), '{}'),"
            " true)",
            i);
    }
    return buffer_take(ctx, out);
}

/* s.key AS k0, ...: what settings takes; owned by ctx. */
static char *numbered_key(const void *ctx, const struct plan_node *orphan)
{
    PQExpBuffer out = createPQExpBuffer();
    for (size_t i = 0; i < orphan->key_count; i++)
        appendPQExpBuffer(out, "%ss.%s AS k%zu", i ? ", " : "", orphan->key[i]->ident, i);
    return buffer_take(ctx, out);
}

bool plan_collects(const struct plan_node *orphan, const struct plan_node *group)
{
    for (size_t i = 0; i < orphan->link_count; i++)
        if (orphan->links[i].child->orphan == group)
            return true;
    return false;
}

void plan_append_collect(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                         const struct plan_node *group)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    if (orphan->self_count > 0) {
        append_in_linked(rows, plan, orphan, "s", ANCHOR_KEYS, &group, false);
        if (group) {
            appendPQExpBufferStr(rows, "\n OR ");
            append_in_hand(rows, orphan, "s");
        }
    } else {
        append_linked(rows, plan, orphan, "s", ANCHOR_KEYS, &group, group != NULL);
    }
    fragment_append(
        out, file, "collect",
        TEMPLATE_SLOTS({"settings", settings(ctx, orphan)}, {"columns", numbered_key(ctx, orphan)},
                       {"table", orphan->table.ident}, {"conditions", buffer_take(ctx, rows)},
                       {"order", key_of(ctx, orphan, "s")}));
    talloc_free(ctx);
}

void plan_append_narrow(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer rows = createPQExpBuffer();
    append_in_hand(rows, orphan, "s");
    if (orphan->self_count > 0) {
        char *sets = mem_printf(ctx, "WITH RECURSIVE %s", blocked(ctx, plan, orphan, ANCHOR_KEYS));
        PQExpBuffer in = createPQExpBuffer();
        append_in_query(in, orphan, "s",
                        template_fill(ctx, file, "all_blocked", TEMPLATE_SLOTS({"sets", sets})));
        append_and_not(rows, in);
    } else {
        append_unused(rows, plan, orphan, "s", ANCHOR_KEYS);
    }
    fragment_append(
        out, file, "narrow",
        TEMPLATE_SLOTS({"settings", settings(ctx, orphan)}, {"columns", numbered_key(ctx, orphan)},
                       {"table", orphan->table.ident}, {"conditions", buffer_take(ctx, rows)}));
    talloc_free(ctx);
}

void plan_append_delete_orphans(PQExpBuffer out, const struct plan_node *orphan)
{
    PQExpBuffer rows = createPQExpBuffer();
    append_in_hand(rows, orphan, "d");
    fragment_append(out, "sql/steps.sql", "delete",
                    TEMPLATE_SLOTS({"table", orphan->table.ident}, {"rows", rows->data}));
    destroyPQExpBuffer(rows);
}
