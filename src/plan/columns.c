/* Lists and comparisons of the columns of a reference, which the predicates are built from. */
#include <string.h>

#include "internal.h"

/* Rows of some partitions only. A set of rows carries where they are in a column of its own. */
static void append_scope(PQExpBuffer out, const char *scope, const char *alias, const char *set)
{
    if (scope)
        appendPQExpBuffer(out, "\nAND %s.%s OPERATOR(pg_catalog.=) ANY (%s)", alias,
                          set && strcmp(set, alias) == 0 ? "pgsweep_table" : "tableoid", scope);
}

void reach_append_columns(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                          size_t n)
{
    for (size_t i = 0; i < n; i++)
        appendPQExpBuffer(out, "%s%s.%s", i ? ", " : "", alias, key[i]->ident);
}

void reach_append_key(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                      size_t n)
{
    if (n > 1)
        appendPQExpBufferChar(out, '(');
    reach_append_columns(out, alias, key, n);
    if (n > 1)
        appendPQExpBufferChar(out, ')');
}

void reach_append_match(PQExpBuffer out, const struct plan_edge *edge, const char *alias,
                        const char *other)
{
    reach_append_match_set(out, edge, alias, other, NULL);
}

void reach_append_match_set(PQExpBuffer out, const struct plan_edge *edge, const char *alias,
                            const char *other, const char *set)
{
    for (size_t i = 0; i < edge->width; i++)
        appendPQExpBuffer(out, "%s%s.%s%s %s %s.%s%s%s%s", i ? "\nAND " : "", other,
                          edge->referred[i], edge->referred_casts[i], edge->operators[i], alias,
                          edge->columns[i], edge->column_casts[i], *edge->collations[i] ? " " : "",
                          edge->collations[i]);
    append_scope(out, edge->scope, alias, set);
    append_scope(out, edge->referred_scope, other, set);
    reach_append_not_empty(out, edge, alias);
}

void reach_append_not_empty(PQExpBuffer out, const struct plan_edge *edge, const char *alias)
{
    for (size_t i = 0; i < edge->width; i++)
        if (edge->text[i])
            appendPQExpBuffer(out, "\nAND %s.%s::pg_catalog.text OPERATOR(pg_catalog.<>) ''", alias,
                              edge->columns[i]);
}

bool anchor_is_in_hand(enum anchor anchor)
{
    return anchor == ANCHOR_KEYS || anchor == ANCHOR_KEYS_BESIDE;
}

bool anchor_is_mid(enum anchor anchor)
{
    return anchor == ANCHOR_GOING || anchor == ANCHOR_LATER;
}

bool anchor_is_predicted(enum anchor anchor)
{
    return anchor == ANCHOR_ELIGIBLE || anchor_is_mid(anchor);
}
