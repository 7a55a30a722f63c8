/* What the files of the plan room share. */
#ifndef PGSWEEP_PLAN_INTERNAL_H
#define PGSWEEP_PLAN_INTERNAL_H

#include "pgsweep/plan.h"
#include "pgsweep/template.h"

/* Oids of the types that an age column may have; they never change (pg_type.dat). */
enum { TYPE_DATE = 1082, TYPE_TIMESTAMP = 1114, TYPE_TIMESTAMPTZ = 1184 };

/* Asks for all foreign keys, and for the tables that the policy names; the functions below find the
 * answers there. */
bool catalog_open(struct plan *plan, struct db *db, struct error *err);

/* Asks for these tables and their columns at once, so that catalog_table finds them. */
bool catalog_expect(struct plan *plan, struct db *db, const char *const *names, size_t count,
                    struct error *err);

/* Rows of an answer: from first up to, not including, end. */
struct catalog_range {
    const struct db_rows *rows;
    int first, end;
};

/* Answers to the templates of the same names in sql/catalog.sql and sql/references.sql.
 * catalog_find: row is -1 where there is no such table. catalog_stated: the columns of the policy's
 * reference of that number. */
bool catalog_find(struct plan *plan, struct db *db, const char *name, const struct db_rows **rows,
                  int *row, struct error *err);
bool catalog_columns(struct plan *plan, struct db *db, const char *oid, struct catalog_range *range,
                     struct error *err);
bool catalog_stated(struct plan *plan, struct db *db, size_t reference, struct catalog_range *range,
                    struct error *err);
const struct db_rows *catalog_foreign_keys(const struct plan *plan);
const struct db_rows *catalog_inheritance(const struct plan *plan);

/* The table of that name, with its columns. *found is false when there is none. */
bool catalog_table(struct plan *plan, struct db *db, const char *name, struct plan_table *table,
                   bool *found, struct error *err);

/* The column of that name (exactly, or as a quoted identifier), or NULL. */
const struct plan_column *catalog_column(const struct plan_table *table, const char *name);

/* Sets the error for a table that is not there, with what it may have meant. */
bool catalog_no_table(struct db *db, const struct setting *name, struct error *err);

/* A set of names or oids, in the order in which they came. */
struct name_set {
    const char **list;
    size_t count;
};
void name_set_add(const void *ctx, struct name_set *names, const char *name);
bool name_set_has(const struct name_set *names, const char *name);

/* A reference as the catalog or the policy tells it, before anybody decided what to do about it. */
struct reference {
    struct plan_edge edge;
    struct name_set constraints; /* their names: several where partitions have keys of their own */
    struct name_set
        leaves; /* the partitions that have the key, where it is theirs and not their whole's */
    struct name_set referred_leaves; /* the partitions that are referred to, where it is not the
                                        parent as a whole */
};

struct graph;

/* All references to the table of parent: foreign keys (also to its partitions and children), then
 * the ones that the policy states. A key of a partition counts as one of the partitioned table,
 * unless the policy lists the partition. */
bool references_read(struct graph *g, struct plan_node *parent, struct reference **references,
                     size_t *count, struct error *err);

/* A table that another one is a partition of. */
struct table_name {
    const char *oid, *label;
};
bool partition_parent(const struct plan *plan, const char *oid, struct table_name *parent);

/* whole: the table and all that it is a partition of; parts: its partitions and children, at any
 * depth. */
void partition_family(struct plan *plan, const char *oid, struct name_set *whole,
                      struct name_set *parts);

/* The oids (and labels, unless NULL) of the partitions of a table that hold rows; of a partition
 * that has none: itself. Nothing for a table that is neither. */
void partition_leaves(struct plan *plan, const char *oid, struct name_set *leaves,
                      struct name_set *labels);

/* Makes one reference of two that partitions have each for themselves; false when they are not
 * alike. */
bool partition_merge(struct plan *plan, struct reference *into, const struct reference *from);

/* Limits the reference to the partitions that it is declared for, unless these are all. */
void partition_scope(struct plan *plan, struct reference *ref);

/* Notes the partitions that lack a key which others of their table have. */
void partition_note(struct plan *plan, const struct reference *refs, size_t count);

/* Finds out whether indexes serve the references of the plan, on the side that refers. */
bool references_read_indexes(struct plan *plan, struct db *db, struct error *err);

/* That the tables of the references which the policy states are there. */
bool references_check(struct plan *plan, struct db *db, struct error *err);

/* A graph in the making. */
struct graph {
    struct plan *plan;
    struct db *db;
    struct plan_table *listed;   /* the policy's dependents, resolved; oid NULL: not there */
    bool *used;                  /* which of them a reference led to */
    struct reference *undecided; /* what the policy says nothing about */
    size_t undecided_count;
};

/* Adds an empty node. */
struct plan_node *graph_add_node(struct plan *plan, enum policy_action action);

/* Takes one reference into the plan as its rule says, or notes that nobody decided about it. */
bool graph_take(struct graph *g, const struct reference *ref, struct error *err);

/* Does the policy follow a reference that it does not list, as its constraint says (unlisted:
 * cascade)? action: what that is. */
bool graph_follows(const struct plan *plan, const struct reference *ref,
                   enum policy_action *action);

/* The policy is no file of the operator's, which "show X > X.yaml" would empty. */
bool policy_is_built_in(const struct policy *policy);

/* Notes that nobody decided about the reference; graph_check_undecided refuses, with the lines that
 * would decide. */
void graph_refuse(struct graph *g, const struct reference *ref);
bool graph_check_undecided(struct graph *g, struct error *err);

/* Follows the references to the deleted ones among the nodes from number first on. */
bool graph_visit_from(struct graph *g, size_t first, struct error *err);

/* Adds the shared tables, what hangs on them, and the order in which they lose their last
 * references. */
bool shared_build(struct graph *g, struct error *err);

/* Refuses what a complete graph must not have; orders its nodes. */
bool graph_check(struct graph *g, const struct plan_request *request, struct error *err);

/* That the rows are there that others are reassigned to. */
bool graph_check_targets(const struct plan *plan, struct db *db, struct error *err);

/* That references within a table can be followed: PostgreSQL can hash what they compare.
 * SWEEP_USAGE where it cannot. */
bool levels_check(const struct plan *plan, struct db *db, struct error *err);

/* The policy's rule for a reference, or -1: one for its constraint before one for its table. Rules
 * for shared tables are about no reference. */
int rule_for(const struct graph *g, const struct reference *ref);

/* A detached row loses the reference: some column may be null (of MATCH FULL: all). */
bool rule_can_detach(const struct plan_edge *edge);

/* What column i of a detached row is set to: "NULL", "DEFAULT" or, where it stays as it is, NULL.
 */
const char *rule_detached(const struct plan_edge *edge, size_t i);

/* That the action of the node's rule can be carried out along the reference. */
bool rule_check(struct db *db, struct plan_node *node, const struct plan_edge *edge,
                struct error *err);

/* What the node's rule says about columns of its table: values to set, names of objects. */
bool rule_apply(struct plan *plan, struct db *db, struct plan_node *node, struct error *err);
bool rule_add_object(struct plan *plan, struct db *db, struct plan_node *node,
                     const struct policy_object *object, struct error *err);

/* Orders the nodes; a circle is refused with its path. */
bool order_build(struct plan *plan, struct error *err);

/* Sets the key of the node: the primary key of its table, in its order. SWEEP_USAGE when there is
 * none that can be used. */
bool catalog_key(struct plan_node *node, struct error *err);

/* Finds what refers to the root, directly or not, and makes nodes and edges of it. */
bool graph_build(struct plan *plan, struct db *db, const struct plan_request *request,
                 struct error *err);

/* Appends the condition with each :cutoff as a value of the type that PostgreSQL expects there: the
 * instant, or the local time or date of time_zone. boolean: it is a condition, not a label. what
 * names it in messages. SWEEP_USAGE where the type cannot be inferred and matters. */
bool cutoff_append_condition(PQExpBuffer out, const struct plan *plan, struct db *db,
                             const char *what, const struct setting *condition, bool boolean,
                             struct error *err);

/* "SELECT ..." with an expression in the place where it is going to stand: an aggregate, say, is no
 * condition. Owned by plan. */
char *condition_probe(const struct plan *plan, const char *sql, bool boolean);

/* Checks where, guards and keep actions against the schema and puts their SQL into the plan. */
bool conditions_build(struct plan *plan, struct db *db, const struct plan_request *request,
                      struct error *err);

/* What a condition of the policy reads, as far as PostgreSQL tells. */
struct reads {
    bool beyond;               /* not known to read the row t only */
    bool anything;             /* it may read any table, */
    struct read_table *tables; /* else these */
    size_t count;
};

struct read_table {
    const char *oid;
    const struct plan_node
        *own; /* of it only those rows that this node deletes or changes with t; or NULL */
};

/* Asks PostgreSQL, in a READ ONLY transaction, how it understands the condition, which sql
 * expresses and facts describe. What it cannot say is taken for the worst. False: the connection is
 * lost, or the catalog cannot be read. */
bool reads_ask(struct plan *plan, struct db *db, const char *sql,
               const struct condition_facts *facts, struct reads *reads, struct error *err);

/* Finds out which conditions the run's own deletions may make spare less, and notes it in where and
 * guards. where (NULL: there is none) and guards (one for each of the policy's) tell what they
 * read. run_id: as in the request. */
bool freeable_note(struct plan *plan, struct db *db, const struct reads *where,
                   const struct reads *guards, const char *run_id, struct error *err);

/* Reads the database's clock and sets cutoff and cutoff_value. */
bool cutoff_build(struct plan *plan, struct db *db, const char *by_hand, struct error *err);

/* How many rows the planner expects to be older than the cutoff; negative: it does not say. */
bool estimate_old_enough(const void *ctx, struct db *db, const struct plan *plan, int64_t *rows,
                         struct error *err);

/* Chooses what the sweep walks along; the strategy is known. */
bool walk_build(struct plan *plan, struct db *db, struct error *err);

/* Checks that the role may do what the plan needs; names the GRANT that is missing. */
bool privileges_check(const struct plan *plan, struct db *db, bool live, struct error *err);

/* Where the root row stands in a predicate about a dependent row. */
enum anchor {
    ANCHOR_KEYS,        /* one of the keys in the array parameters $1... */
    ANCHOR_KEYS_BESIDE, /* the same from $2 on: $1 is the cutoff */
    ANCHOR_ELIGIBLE,    /* any candidate; $1 is the cutoff */
    ANCHOR_GOING, /* the same in the middle of a transaction, which has deleted some of its rows in
                   hand */
    ANCHOR_LATER, /* any candidate but those keys, there too; parameters as for ANCHOR_KEYS_BESIDE
                   */
    ANCHOR_CORRELATED, /* the row t of the query around */
};

/* One of the rows in hand; asked in the middle of a transaction; a candidate that is foreseen to
 * go, then or before. */
bool anchor_is_in_hand(enum anchor anchor);
bool anchor_is_mid(enum anchor anchor);
bool anchor_is_predicted(enum anchor anchor);

/* Conditions are built as lists: each further one starts a line with AND, and goes on in lines that
 * are indented relative to that AND (so do those of the first one, whose AND or WHERE the caller
 * has written). See template.h. */

/* Appends a template that is filled. */
void fragment_append(PQExpBuffer out, const char *file, const char *name,
                     const struct template_slot *slots);

/* "\nAND (conditions) IS NOT TRUE". */
void fragment_and_not_true(PQExpBuffer out, const char *conditions);

/* A condition of its own (the text of a policy, a guard) whose further lines are indented by column
 * more: by 4 as it goes into a list. Owned by ctx; NULL gives NULL. */
char *condition_indented(const void *ctx, const char *condition, size_t column);

/* Lists of conditions that OR is going to join. */
struct alternatives {
    const void *ctx; /* owns the texts */
    char **list;
    size_t count;
};

/* Adds one, and destroys the buffer. */
void alternatives_add(struct alternatives *alternatives, PQExpBuffer one);

/* All of them, in brackets where there are several; returns false, and appends nothing, for none.
 */
bool alternatives_append(PQExpBuffer out, const struct alternatives *alternatives);

/* Comparisons of keys and values: src/plan/compare.c. */

/* The operators of all columns have the same names and schema, so that rows of them may be compared
 * as such. */
bool compare_as_rows(const struct plan_column *const *columns, size_t n);

/* The column, and a parameter or array that it is compared with, cast to what its operators are
 * declared for. */
void compare_append_column(PQExpBuffer out, const char *alias, const struct plan_column *column);
void compare_append_value(PQExpBuffer out, const struct plan_column *column, int parameter);
void compare_append_array(PQExpBuffer out, const struct plan_column *column, const char *array);

/* The rows a and b have the same key. */
void compare_append_same(PQExpBuffer out, const char *a, const char *b,
                         const struct plan_column *const *key, size_t n);

/* The column of the row alias is in the array, which is cast to its type. */
void compare_append_in_array(PQExpBuffer out, const char *alias, const struct plan_column *column,
                             const char *array);

/* The key of the row alias is one that the query selects. */
void compare_append_in(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                       size_t n, const char *query);

/* "EXISTS (...)": a row of the table meets the conditions, which it destroys. row_by_row: never
 * made one join of all rows. */
void reach_append_exists(PQExpBuffer out, const char *table, const char *alias,
                         PQExpBuffer conditions, bool row_by_row);

/* The condition that the row alias of node goes (or, detached or reassigned, loses a reference),
 * through any edge, with a root row at the anchor. The alias of a row of the root is t. */
void reach_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                  const char *alias, enum anchor anchor);

/* The same through any edge that leads out of the table. */
void reach_append_edges(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                        const char *alias, enum anchor anchor);

/* The same for a recursive node: down from the first rows over all that refer to them; up from one
 * row, which is asked whether it, or one that it refers to, goes. */
void reach_append_down(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                       const char *alias, enum anchor anchor);
void reach_append_up(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                     const char *alias, enum anchor anchor);

/* The same through any node but self that deletes rows which the table has too, the root included
 * (as candidates): of the table, its parents or partitions. before: only those that a transaction
 * comes to earlier than to self. Nothing is appended, and false returned, when there is none. */
bool reach_append_table(PQExpBuffer out, const struct plan *plan, const struct plan_table *table,
                        const struct plan_node *self, bool before, const char *alias,
                        enum anchor anchor);

/* alias.key, ...: the key of the node, and the columns that others of its table refer to along
 * edges (of which those to other tables are left aside). */
void reach_append_level(PQExpBuffer out, const char *alias, const struct plan_node *node,
                        const struct plan_edge *edges, size_t n);

/* "the row alias of the shared table goes": in hand or, where it is predicted, with its last
 * reference. */
void orphan_append(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                   const char *alias, enum anchor anchor);

/* Rows are deleted from the node's table. */
bool order_is_deleted(const struct plan_node *node);

/* Finds out which tables of the plan are partitions or children of others. */
bool order_relate(struct plan *plan, struct db *db, struct error *err);

/* A row of one may be a row of the other: the same table, or a partition and its parent. */
bool order_same_rows(const struct plan *plan, const struct plan_table *a,
                     const struct plan_table *b);

/* Compares deleted nodes by when a transaction comes to them. */
int order_compare(const struct plan_node *a, const struct plan_node *b);

/* plan_append_candidate without the guard of dead letters, or without that of the rows below. */
void candidate_append(PQExpBuffer out, const struct plan *plan, bool letters, bool below);

/* "has younger TABLE", as a condition on a candidate t: something below it, along the references
 * that the policy deletes along within its own table, is no candidate. Appends nothing where there
 * are no such references. */
void below_append_guard(PQExpBuffer out, const struct plan *plan);

/* "a.x = b.y AND ...": the row alias refers through the edge to the row other, and not by an empty
 * text. */
void reach_append_match(PQExpBuffer out, const struct plan_edge *edge, const char *alias,
                        const char *other);

/* The same, where one of the two aliases, set, is not the table but a set of its rows (see
 * rowset.h). */
void reach_append_match_set(PQExpBuffer out, const struct plan_edge *edge, const char *alias,
                            const char *other, const char *set);

/* "\nAND ...": the reference of the row alias is no empty text, which refers to nothing where the
 * policy states it. */
void reach_append_not_empty(PQExpBuffer out, const struct plan_edge *edge, const char *alias);

/* a.k1, a.k2: the columns of a key; reach_append_key: with brackets where there are several. */
void reach_append_columns(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                          size_t n);
void reach_append_key(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                      size_t n);

/* (a.x, a.y) or a.x: columns with an alias in front. */
void reach_append_list(PQExpBuffer out, const char *alias, const char *const *columns, size_t n,
                       bool brackets);

/* The same through one edge. */
void reach_append_edge(PQExpBuffer out, const struct plan *plan, const struct plan_edge *edge,
                       const char *alias, enum anchor anchor);

/* The fingerprint of the whole database, owned by ctx; of the plan's tables (into the plan), with
 * the one of the database at the same moment (owned by the plan). */
bool fingerprint_database(void *ctx, struct db *db, char **fingerprint, struct error *err);
bool fingerprint_read(struct plan *plan, struct db *db, char **of_database, struct error *err);

/* Has names be looked up as the policy says in search_path, if it does. SWEEP_USAGE for a schema
 * that is not there or may not be used. */
bool trust_set_path(const void *ctx, struct db *db, const struct policy *policy, struct error *err);

/* That no role without trust has put something where names are looked up, or may do so:
 * SWEEP_REFUSED, with the statements that end it. The same for the state schema, where this role
 * may use it. Nothing of the policy's text is given to the server before. Fills role and superuser.
 * The root must have its table. */
bool trust_check_path(struct plan *plan, struct db *db, struct error *err);

/* Finds the code that fires, what of it can keep rows from going without an error (into the nodes),
 * and refuses a live run that would execute code of roles without trust, unless the policy allows
 * it. */
bool code_build(struct plan *plan, struct db *db, bool live, struct error *err);

/* As far as policy and plan go, the rows of node may be left to its foreign key: it is ON DELETE
 * CASCADE and leads to the root, nothing is read from these rows under lock, and nothing else in
 * the plan is about them. Decides only. */
bool cascade_suffices(const struct plan *plan, const struct plan_node *node);

/* Sets cascades of the nodes that may be left to it where the catalog agrees: only that key leads
 * from the table to the root, it acts at once, no trigger, rule, policy of row security or
 * inheritance changes what it does, and the session counts the rows. What that rests on is part of
 * the fingerprint, but for the counting, which each transaction checks. */
bool cascade_build(struct plan *plan, struct db *db, const struct plan_request *request,
                   struct error *err);

/* Adds a line of advice. */
void plan_note(struct plan *plan, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
