/* What the files of the plan room share. */
#ifndef PGSWEEP_PLAN_INTERNAL_H
#define PGSWEEP_PLAN_INTERNAL_H

#include "pgsweep/plan.h"

/* Asks for all that the policy names, in three round trips; the functions below find the answers there. */
bool catalog_read_ahead(struct plan *plan, struct db *db, struct error *err);

/* Runs the embedded query of that name, unless the same was asked before. rows belong to the plan. */
bool catalog_ask(struct plan *plan, struct db *db, const char *name, int nparams, const char *const *params,
                 struct db_rows **rows, struct error *err);

/* The table of that name, with its columns. *found is false when there is none. */
bool catalog_table(struct plan *plan, struct db *db, const char *name, struct plan_table *table,
                   bool *found, struct error *err);

/* The column of that name (exactly, or as a quoted identifier), or NULL. */
const struct plan_column *catalog_column(const struct plan_table *table, const char *name);

/* Sets the error for a table that is not there, with what it may have meant. */
bool catalog_no_table(struct db *db, const struct setting *name, struct error *err);

/* A reference as the catalog or the policy tells it, before anybody decided what to do about it. */
struct reference {
    struct plan_edge edge;
    const char *table_oid; /* of the referring table */
};

/* All references to the table of parent: foreign keys (also to its partitions and children), then the
 * ones that the policy states. */
bool references_read(struct plan *plan, struct db *db, struct plan_node *parent,
                     struct reference **references, size_t *count, struct error *err);

/* That the tables of the references which the policy states are there. */
bool references_check(struct plan *plan, struct db *db, struct error *err);

/* Orders the nodes; a circle is refused with its path. */
bool order_build(struct plan *plan, struct error *err);

/* The primary key of a table, in its order. */
const struct plan_column **catalog_key(const void *ctx, const struct plan_table *table,
                                       size_t *count);

/* Finds what refers to the root, directly or not, and makes nodes and edges of it. */
bool graph_build(struct plan *plan, struct db *db, const struct plan_request *request,
                 struct error *err);

/* Checks where, guards and keep actions against the schema and puts their SQL into the plan. */
bool conditions_build(struct plan *plan, struct db *db, struct error *err);

/* Reads the database's clock and sets cutoff and cutoff_value. */
bool cutoff_build(struct plan *plan, struct db *db, const char *by_hand, struct error *err);

/* Checks that the role may do what the plan needs; names the GRANT that is missing. */
bool privileges_check(const struct plan *plan, struct db *db, bool live, struct error *err);

/* Where the root row stands in a predicate about a dependent row. */
enum leaf {
    LEAF_KEYS,       /* one of the keys in the array parameters $1... */
    LEAF_ELIGIBLE,   /* any candidate; $1 is the cutoff */
    LEAF_CORRELATED, /* the row t of the query around */
};

/* The condition that the row alias of node refers, through any edge, to a root row at the leaf. */
void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum leaf leaf);

/* "the row alias of the shared table goes": in hand and, by LEAF_ELIGIBLE, with its last reference. */
void orphan_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                   const char *alias, enum leaf leaf);

/* (a.x, a.y) or a.x: columns with an alias in front. */
void reach_append_list(PQExpBuffer out, const char *alias, const char *const *columns, size_t n,
                       bool brackets);

/* The same through one edge. */
void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum leaf leaf);

/* Adds a line of advice. */
void plan_note(struct plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
