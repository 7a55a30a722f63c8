/* Sets of rows as common table expressions (src/sql/rows.sql): what goes, table by table. */
#ifndef PGSWEEP_PLAN_ROWSET_H
#define PGSWEEP_PLAN_ROWSET_H

#include "internal.h"

/* A WITH clause in the making. Each set has the rows of one table: pgsweep_table and pgsweep_row
 * (its tableoid and ctid), and the columns that are compared with others. */
struct rowset {
    void *ctx;
    const struct plan *plan;
    enum anchor anchor; /* ANCHOR_ELIGIBLE: all that a run is going to delete; ANCHOR_KEYS: what
                       goes with the rows in hand */
    PQExpBuffer sql;    /* "WITH RECURSIVE ..." */
    bool *done;         /* by node index: its set is there */
    const struct plan_edge
        *consumer; /* the reference that the statement itself compares; NULL: none */
};

/* The name of a set: what (going, losing, linked, blocked, kept...) and the node's number and
 * table. Owned by set->ctx. */
char *rowset_name(const struct rowset *set, const char *what, const struct plan_node *node);

/* The name of the set of rows that go, or lose a reference; appends it and what it rests on, unless
 * it is there. */
const char *rowset_of(struct rowset *set, const struct plan_node *node);

/* Appends a set of that name. */
void rowset_append(struct rowset *set, const char *name, const char *rows);

/* "alias.tableoid AS pgsweep_table, ..." and the columns that sets which rest on node compare.
 * from_set: alias is a set. */
char *rowset_columns(const struct rowset *set, const struct plan_node *node, const char *alias,
                     bool from_set);

/* The queries, joined by UNION; NULL gives the next one. Both are owned by set->ctx. */
char *rowset_union(const struct rowset *set, const char *queries, const char *next);

/* The rows of node's table that rows of the set name refer to (up) or that refer to them, along the
 * count references of edges, which are within that table. */
char *rowset_next_level(const struct rowset *set, const struct plan_node *node, const char *name,
                        const struct plan_edge *edges, size_t count, bool up);

/* "NOT EXISTS (...)", joined by AND: the row alias of the table of that oid is in no set of rows
 * that go; of nodes that are in the WITH clause. before: only those that a transaction comes to
 * before that node. NULL: there is no such set. */
char *rowset_not_going(struct rowset *set, const struct plan_table *table, const char *alias,
                       bool from_set, const struct plan_node *but, bool before);

/* "The row child refers to the row parent", written with the operators of the constraint. which:
 * the alias that is a set and not a table; NULL: none. */
char *rowset_match(const struct rowset *set, const struct plan_edge *edge, const char *child,
                   const char *parent, const char *which);

/* The set of a shared table in a prediction: in its own file. */
void rowset_add_shared(struct rowset *set, const struct plan_node *node);

/* The set of the rows of a shared table that its reference number use keeps. */
const char *rowset_kept(const struct rowset *set, const struct plan_node *node, size_t use);

/* The set of candidates, and what spares the others: in its own file. */
void rowset_add_candidates(struct rowset *set);

/* That template of sql/count.sql: counts the candidates, and the others by what spares them. Owned
 * by ctx. */
char *rowset_candidates_by_guard(const void *ctx, const struct plan *plan, const char *name);

#endif
