/* Shared rows: which of them lose their last reference, in a prediction and in a transaction. */
#include <stdio.h>

#include "internal.h"

/* The rows in hand are kept in settings that end with the transaction: pgsweep.o<node>_<key column>. */
static void append_setting(PQExpBuffer out, const struct plan_node *orphan, size_t column)
{
    appendPQExpBuffer(out, "'pgsweep.o%d_%zu'", orphan->index, column);
}

/* The setting as an array of the column's type: empty when nothing was put there in this transaction. */
static void append_array(PQExpBuffer out, const struct plan_node *orphan, size_t column)
{
    appendPQExpBufferStr(out, "coalesce(nullif(pg_catalog.current_setting(");
    append_setting(out, orphan, column);
    appendPQExpBuffer(out, ", true), ''), '{}')::%s[]", orphan->key[column]->type);
}

/* The condition that the row alias is one of those in hand. */
static void append_in_hand(PQExpBuffer out, const struct plan_node *orphan, const char *alias)
{
    reach_append_key(out, alias, orphan->key, orphan->key_count);
    /* A subquery, so that the setting is read and parsed once and not for each row. */
    if (orphan->key_count == 1) {
        appendPQExpBufferStr(out, " = ANY ((SELECT ");
        append_array(out, orphan, 0);
        appendPQExpBuffer(out, ")::%s[])", orphan->key[0]->type);
        return;
    }
    appendPQExpBufferStr(out, " IN (SELECT * FROM ROWS FROM (");
    for (size_t i = 0; i < orphan->key_count; i++) {
        appendPQExpBufferStr(out, i ? ", pg_catalog.unnest(" : "pg_catalog.unnest(");
        append_array(out, orphan, i);
        appendPQExpBufferChar(out, ')');
    }
    appendPQExpBufferStr(out, ") AS k)");
}

/* What the rows in hand refer to, as an array that the server makes once for the statement. */
static void append_link_in_hand(PQExpBuffer out, const struct plan *plan, const struct plan_edge *link, const char *alias,
                                const char *from, enum leaf leaf)
{
    appendPQExpBuffer(out, "%s.%s OPERATOR(pg_catalog.=) ANY (ARRAY(SELECT %s.%s FROM %s AS %s WHERE ", alias,
                      link->referred[0], from, link->columns[0], link->table, from);
    reach_append(out, plan, link->child, from, leaf);
    reach_append_not_empty(out, link, from);
    appendPQExpBufferStr(out, "))");
}

/* The condition that a row that goes links to the row alias. */
static void append_link(PQExpBuffer out, const struct plan *plan, const struct plan_edge *link, const char *alias,
                        enum leaf leaf)
{
    char from[24];
    snprintf(from, sizeof from, link->child->index == 0 ? "t" : "l%d", link->child->index);
    if (link->child->index == 0 && leaf == LEAF_CORRELATED) {
        reach_append_match(out, link, from, alias);
        return;
    }
    if (leaf_is_in_hand(leaf) && link->plain && link->width == 1 && !link->scope && !link->referred_scope) {
        append_link_in_hand(out, plan, link, alias, from, leaf);
        return;
    }
    appendPQExpBuffer(out, "EXISTS (SELECT FROM %s AS %s WHERE ", link->table, from);
    reach_append(out, plan, link->child, from, leaf);
    appendPQExpBufferStr(out, " AND ");
    reach_append_match(out, link, from, alias);
    appendPQExpBufferStr(out, leaf_is_mid(leaf) ? " OFFSET 0)" : ")");
}

/* Through any link, or only those from rows of one group: of those that hang on one shared table, or on the root.
 * In the middle of a transaction the links of what is in hand may be gone. */
static void append_linked(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, enum leaf leaf, const struct plan_node *const *group)
{
    const char *separator = "(";
    for (size_t i = 0; i < orphan->link_count; i++) {
        if (group && orphan->links[i].child->orphan != *group)
            continue;
        appendPQExpBufferStr(out, separator);
        append_link(out, plan, &orphan->links[i], alias, leaf);
        separator = " OR ";
    }
    if (leaf_is_mid(leaf)) {
        appendPQExpBufferStr(out, separator);
        append_in_hand(out, orphan, alias);
    }
    appendPQExpBufferChar(out, ')');
}

/* For every reference from another table "AND NOT EXISTS (...)". Where it is predicted, references that go themselves
 * do not count. */
static void append_unused(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                          const char *alias, enum leaf leaf)
{
    for (size_t i = 0; i < orphan->use_count; i++) {
        const struct plan_edge *use = &orphan->uses[i];
        char from[24];
        snprintf(from, sizeof from, "u%d", orphan->index);
        appendPQExpBuffer(out, " AND NOT EXISTS (SELECT FROM %s AS %s WHERE ", use->table, from);
        reach_append_match(out, use, from, alias);
        if (leaf_is_predicted(leaf) && use->child) {
            appendPQExpBufferStr(out, " AND ");
            reach_append_table(out, plan, &use->child->table, NULL, false, from,
                               leaf == LEAF_LATER ? LEAF_GOING : leaf);
            appendPQExpBufferStr(out, " IS NOT TRUE");
        }
        appendPQExpBufferChar(out, ')');
    }
}

/* " OR "-joined: the row child refers to the row parent of the same shared table. */
static void append_self(PQExpBuffer out, const struct plan_node *orphan, const char *child, const char *parent)
{
    appendPQExpBufferChar(out, '(');
    for (size_t i = 0; i < orphan->self_count; i++) {
        appendPQExpBufferStr(out, i ? " OR (" : "(");
        reach_append_match(out, &orphan->self[i], child, parent);
        appendPQExpBufferChar(out, ')');
    }
    appendPQExpBufferChar(out, ')');
}

/* " UNION" and the rows that those of the recursive query name refer to. */
static void append_referred(PQExpBuffer out, const struct plan_node *orphan, const char *name)
{
    appendPQExpBufferStr(out, " UNION SELECT ");
    reach_append_columns(out, "p", orphan->key, orphan->key_count);
    appendPQExpBuffer(out, " FROM %s JOIN %s AS c ON ", name, orphan->table.ident);
    reach_append_key(out, "c", orphan->key, orphan->key_count);
    appendPQExpBufferStr(out, " = ");
    reach_append_key(out, name, orphan->key, orphan->key_count);
    appendPQExpBuffer(out, " JOIN %s AS p ON ", orphan->table.ident);
    append_self(out, orphan, "c", "p");
}

/* What may go with others of its table: the query "linked", rows that lose a link and what they refer to. */
static void append_closure(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan, enum leaf leaf,
                           const struct plan_node *const *group)
{
    appendPQExpBufferStr(out, "WITH RECURSIVE linked AS (SELECT ");
    reach_append_columns(out, "b", orphan->key, orphan->key_count);
    appendPQExpBuffer(out, " FROM %s AS b WHERE ", orphan->table.ident);
    append_linked(out, plan, orphan, "b", leaf, group);
    append_referred(out, orphan, "linked");
    appendPQExpBufferChar(out, ')');
}

/* The row alias is in hand or, where that is predicted, in the query "linked". */
static void append_member(PQExpBuffer out, const struct plan_node *orphan, const char *alias, enum leaf leaf)
{
    if (leaf_is_in_hand(leaf)) {
        append_in_hand(out, orphan, alias);
        return;
    }
    reach_append_key(out, alias, orphan->key, orphan->key_count);
    appendPQExpBufferStr(out, " IN (SELECT * FROM linked)");
}

/* "blocked": the members that a row outside uses, and what those refer to. */
static void append_blocked(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan, enum leaf leaf)
{
    appendPQExpBufferStr(out, "blocked AS (SELECT ");
    reach_append_columns(out, "b", orphan->key, orphan->key_count);
    appendPQExpBuffer(out, " FROM %s AS b WHERE ", orphan->table.ident);
    append_member(out, orphan, "b", leaf);
    appendPQExpBufferStr(out, " AND NOT (true");
    append_unused(out, plan, orphan, "b", leaf);
    appendPQExpBuffer(out, " AND NOT EXISTS (SELECT FROM %s AS c WHERE ", orphan->table.ident);
    append_self(out, orphan, "c", "b");
    appendPQExpBufferStr(out, " AND NOT (");
    append_member(out, orphan, "c", leaf);
    appendPQExpBufferStr(out, ")))");
    append_referred(out, orphan, "blocked");
    appendPQExpBufferChar(out, ')');
}

void orphan_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                   const char *alias, enum leaf leaf)
{
    /* In a guard of the candidate around, who else is a candidate is not known yet: it spares rather too many. */
    bool certain = leaf_is_predicted(leaf);
    if (leaf_is_in_hand(leaf)) {
        append_in_hand(out, orphan, alias);
    } else if (orphan->self_count > 0) {
        reach_append_key(out, alias, orphan->key, orphan->key_count);
        appendPQExpBufferStr(out, " IN (");
        append_closure(out, plan, orphan, leaf, NULL);
        if (certain) {
            appendPQExpBufferStr(out, ", ");
            append_blocked(out, plan, orphan, leaf);
        }
        appendPQExpBuffer(out, " SELECT * FROM linked%s)", certain ? " EXCEPT SELECT * FROM blocked" : "");
    } else {
        appendPQExpBufferChar(out, '(');
        append_linked(out, plan, orphan, alias, leaf, NULL);
        if (certain)
            append_unused(out, plan, orphan, alias, leaf);
        appendPQExpBufferChar(out, ')');
    }
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
    append_remember(out, orphan);
    if (orphan->self_count > 0) {
        reach_append_key(out, "s", orphan->key, orphan->key_count);
        appendPQExpBufferStr(out, " IN (");
        append_closure(out, plan, orphan, LEAF_KEYS, &group);
        appendPQExpBufferStr(out, " SELECT * FROM linked)");
    } else {
        append_linked(out, plan, orphan, "s", LEAF_KEYS, &group);
    }
    if (group) {
        appendPQExpBufferStr(out, " OR ");
        append_in_hand(out, orphan, "s");
    }
    /* In the order of the key, so that two sweeps cannot wait for each other in a circle. */
    appendPQExpBufferStr(out, " ORDER BY ");
    reach_append_columns(out, "s", orphan->key, orphan->key_count);
    appendPQExpBufferStr(out, " FOR UPDATE OF s) AS shared");
}

void plan_append_narrow(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan)
{
    append_remember(out, orphan);
    append_in_hand(out, orphan, "s");
    if (orphan->self_count > 0) {
        appendPQExpBufferStr(out, " AND ");
        reach_append_key(out, "s", orphan->key, orphan->key_count);
        appendPQExpBufferStr(out, " NOT IN (WITH RECURSIVE ");
        append_blocked(out, plan, orphan, LEAF_KEYS);
        appendPQExpBufferStr(out, " SELECT * FROM blocked)");
    } else {
        append_unused(out, plan, orphan, "s", LEAF_KEYS);
    }
    appendPQExpBufferStr(out, ") AS shared");
}

void plan_append_delete_orphans(PQExpBuffer out, const struct plan_node *orphan)
{
    appendPQExpBuffer(out, "DELETE FROM %s AS d WHERE ", orphan->table.ident);
    append_in_hand(out, orphan, "d");
}
