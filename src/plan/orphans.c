/* Shared rows: which of them lose their last reference, in a prediction and in a transaction. */
#include <string.h>

#include "internal.h"

/* The rows in hand are kept in settings that end with the transaction: pgsweep.o<node>_<key column>. */
static void append_setting(PQExpBuffer out, const struct plan_node *orphan, size_t column)
{
    appendPQExpBuffer(out, "'pgsweep.o%d_%zu'", orphan->index, column);
}

/* The condition that the row alias is one of those in hand. */
static void append_in_hand(PQExpBuffer out, const struct plan_node *orphan, const char *alias)
{
    /* A subquery, so that the setting is read and parsed once and not for each row. */
    if (orphan->key_count == 1) {
        appendPQExpBuffer(out, "%s.%s = ANY ((SELECT pg_catalog.current_setting(", alias,
                          orphan->key[0]->ident);
        append_setting(out, orphan, 0);
        appendPQExpBuffer(out, ")::%s[])::%s[])", orphan->key[0]->type, orphan->key[0]->type);
        return;
    }
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < orphan->key_count; i++)
        appendPQExpBuffer(out, "%s%s.%s", i ? ", " : "", alias, orphan->key[i]->ident);
    appendPQExpBufferStr(out, ") IN (SELECT * FROM ROWS FROM (");
    for (size_t i = 0; i < orphan->key_count; i++) {
        appendPQExpBufferStr(out, i ? ", pg_catalog.unnest(pg_catalog.current_setting("
                                    : "pg_catalog.unnest(pg_catalog.current_setting(");
        append_setting(out, orphan, i);
        appendPQExpBuffer(out, ")::%s[])", orphan->key[i]->type);
    }
    appendPQExpBufferStr(out, ") AS k)");
}

/* The condition that a row in hand of the linking table refers to the row alias. */
static void append_linked(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, enum leaf leaf)
{
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < orphan->link_count; i++) {
        const struct plan_edge *link = &orphan->links[i];
        const char *from = link->child->index == 0 ? "t" : "l";
        appendPQExpBufferStr(out, i ? " OR " : "");
        reach_append_list(out, alias, link->referred, link->width, true);
        appendPQExpBufferStr(out, " IN (SELECT ");
        reach_append_list(out, from, link->columns, link->width, false);
        appendPQExpBuffer(out, " FROM %s AS %s WHERE ", link->table, from);
        if (link->child->index != 0)
            reach_append(out, plan, link->child, from, leaf);
        else if (leaf == LEAF_KEYS)
            plan_append_keys(out, plan, 1);
        else
            plan_append_candidate(out, plan);
        for (size_t c = 0; c < link->width; c++)
            if (link->text[c])
                appendPQExpBuffer(out, " AND %s.%s::pg_catalog.text <> ''", from, link->columns[c]);
        appendPQExpBufferChar(out, ')');
    }
    appendPQExpBufferChar(out, ')');
}

/* " AND NOT EXISTS (...)" for every reference; predicted: references that go themselves do not count. */
static void append_unused(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, bool predicted)
{
    for (size_t i = 0; i < orphan->use_count; i++) {
        const struct plan_edge *use = &orphan->uses[i];
        const char *from = use->child && use->child->index == 0 ? "t" : "u";
        appendPQExpBuffer(out, " AND NOT EXISTS (SELECT FROM %s AS %s WHERE ", use->table, from);
        for (size_t c = 0; c < use->width; c++)
            appendPQExpBuffer(out, "%s%s.%s = %s.%s", c ? " AND " : "", from, use->columns[c], alias,
                              use->referred[c]);
        if (predicted && use->child) {
            appendPQExpBufferStr(out, " AND (");
            if (use->child->index == 0)
                plan_append_candidate(out, plan);
            else
                reach_append(out, plan, use->child, from, LEAF_ELIGIBLE);
            appendPQExpBufferStr(out, ") IS NOT TRUE");
        }
        appendPQExpBufferChar(out, ')');
    }
}

void orphan_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                   const char *alias, enum leaf leaf)
{
    if (leaf == LEAF_KEYS) {
        append_in_hand(out, orphan, alias);
        return;
    }
    appendPQExpBufferChar(out, '(');
    append_linked(out, plan, orphan, alias, leaf);
    append_unused(out, plan, orphan, alias, true);
    appendPQExpBufferChar(out, ')');
}

/* SELECT set_config(...) of the key columns of what follows, as arrays, and how many there are. */
static void append_remember(PQExpBuffer out, const struct plan_node *orphan)
{
    appendPQExpBufferStr(out, "SELECT pg_catalog.count(*)");
    for (size_t i = 0; i < orphan->key_count; i++) {
        appendPQExpBufferStr(out, ", pg_catalog.set_config(");
        append_setting(out, orphan, i);
        appendPQExpBuffer(out, ", coalesce(pg_catalog.array_agg(k%zu)::pg_catalog.text, '{}'), true)", i);
    }
    appendPQExpBufferStr(out, " FROM (SELECT ");
    for (size_t i = 0; i < orphan->key_count; i++)
        appendPQExpBuffer(out, "%ss.%s AS k%zu", i ? ", " : "", orphan->key[i]->ident, i);
    appendPQExpBuffer(out, " FROM %s AS s WHERE ", orphan->table.ident);
}

void plan_append_collect(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan)
{
    append_remember(out, orphan);
    append_linked(out, plan, orphan, "s", LEAF_KEYS);
    /* In the order of the key, so that two sweeps cannot wait for each other in a circle. */
    appendPQExpBufferStr(out, " ORDER BY ");
    for (size_t i = 0; i < orphan->key_count; i++)
        appendPQExpBuffer(out, "%ss.%s", i ? ", " : "", orphan->key[i]->ident);
    appendPQExpBufferStr(out, " FOR UPDATE OF s) AS shared");
}

void plan_append_narrow(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan)
{
    append_remember(out, orphan);
    append_in_hand(out, orphan, "s");
    append_unused(out, plan, orphan, "s", false);
    appendPQExpBufferStr(out, ") AS shared");
}

void plan_append_delete_orphans(PQExpBuffer out, const struct plan_node *orphan, bool returning)
{
    appendPQExpBuffer(out, "DELETE FROM %s AS d WHERE ", orphan->table.ident);
    append_in_hand(out, orphan, "d");
    if (returning)
        appendPQExpBufferStr(out, " RETURNING true AS counts");
}
