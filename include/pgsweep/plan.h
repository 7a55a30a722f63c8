/*
 * A plan: a policy compiled against the live catalog. Ordered steps and the SQL of each, no side
 * effects. Dry run and live run use the same plan, the same predicates and the same cutoff. */
#ifndef PGSWEEP_PLAN_H
#define PGSWEEP_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/buffer.h"
#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/policy.h"

struct plan_column {
    const char *name;
    const char *ident;      /* quoted */
    const char *type;       /* for people: as format_type writes it */
    const char *value_type; /* for casts of values: schema.type, without a length; of a domain, its
                               base type */
    /* How it is compared: OPERATOR(schema.op), of the operator class of the primary key's index; of
     * other columns PostgreSQL's own. operand: ::schema.type, what the column and the value are
     * cast to for them, or empty. */
    const char *below, *at_most, *equal, *at_least, *above;
    const char *operand;
    const char *output; /* what makes its text: schema.function; NULL: ::text */
    bool not_null;
    unsigned base_type;       /* oid; of a domain, that of its base type */
    int key_position;         /* 1-based place in the primary key, or 0 */
    const char *object_shape; /* see plan_object_read_shape */
    bool may_update;
    bool lacks_arrays; /* there are no arrays of its base type: it is an array itself */
};

struct plan_table {
    const char *oid;   /* as text */
    const char *ident; /* "public"."jobs", quoted: for SQL */
    const char *label; /* public.jobs, quoted only where needed: for people and records */
    const char *name;  /* jobs */
    char kind;         /* r: table, p: partitioned */
    int64_t estimated_rows;
    bool may_use_schema, may_select, may_update,
        may_delete;      /* may_update: some column, which is enough to lock its rows */
    bool has_text_casts; /* the database has casts of users to text */
    bool may_lock; /* by LOCK TABLE in ROW EXCLUSIVE MODE: takes a privilege on the whole table */
    struct plan_column *columns;
    size_t column_count;
};

/* One reference from a table to the table of a node: a foreign key, or one that the policy states.
 */
struct plan_edge {
    struct plan_node *parent; /* the table referred to */
    struct plan_node *child; /* the referring table; NULL when the policy does not delete from it */
    const char *table;       /* the referring table, quoted with its schema */
    const char *table_oid;   /* of it */
    const char *constraint;  /* its name, or where the policy states the reference */
    char on_delete; /* as in pg_constraint: a no action, r restrict, c cascade, n set null, d
                       default */
    bool stated;    /* by the policy: an empty text refers to nothing */
    bool shared; /* several parent rows may be referred to at once: it goes with the last of them */
    const char **columns;  /* quoted, in the referring table */
    const char **referred; /* quoted, in the parent's table */
    const char **names;    /* columns, not quoted */
    /* How PostgreSQL compares each pair: "referred referred_cast operator column column_cast
     * collation". */
    const char **operators;      /* OPERATOR(schema.=): left the referred column */
    const char **referred_casts; /* ::schema.type, or empty */
    const char **column_casts;   /* the same for the referencing column */
    const char **collations;     /* COLLATE schema.name where the columns' differ, else empty */
    bool plain; /* of every pair, "column OPERATOR(pg_catalog.=) ANY (array of the referred column's
                   type)" means the same */
    bool *not_null;
    bool *set_on_delete; /* what ON DELETE SET NULL and SET DEFAULT set; of other references, all
                            columns */
    bool all_or_none;    /* MATCH FULL: all columns are null, or none */
    bool by_default;     /* detached as SET DEFAULT does: to the columns' defaults */
    const char *scope;   /* array of oids: rows of these partitions refer; NULL: of all */
    const char *referred_scope; /* the same for the rows referred to */
    bool *text;                 /* the column holds text, which may be empty */
    size_t width;
    bool indexed;  /* the referring side, in every partition */
    int64_t pages; /* size of the referring table, or of its partitions that lack an index */
};

/* column = value in rows that stay; the value is a parameter of the column's type, converted by
 * assignment. */
struct plan_assignment {
    const char *ident;
    const char *name;
    const char *value; /* NULL: NULL */
};

/* How a column holds the names of stored objects. */
enum plan_object_shape {
    OBJECT_TEXT, /* one text */
    OBJECT_LIST, /* an array of texts */
    OBJECT_JSON, /* json or jsonb: the texts that a path finds */
};

/* A column that names stored objects. */
struct plan_object {
    const char *ident; /* quoted */
    const char *name;
    const char *path; /* of OBJECT_JSON; else "" */
    enum plan_object_shape shape;
    const char **prefixes; /* a key that begins with none of these is never deleted */
    size_t prefix_count;   /* 0: the policy states nothing */
};

/* A table that the policy touches: the root, or a dependent. */
struct plan_node {
    int index; /* in plan->nodes; 0 is the root */
    struct plan_table table;
    const char *label; /* of its own: public.jobs, or "public.jobs (constraint)" where the rule is
                          for one */
    enum policy_action action;
    const struct policy_dependent *rule; /* NULL for the root and for "unlisted: cascade" */
    struct plan_node *parent;            /* the first one found: for the tree that people see */
    struct plan_edge *edges;             /* to nodes that are deleted */
    size_t edge_count;
    struct plan_assignment *set; /* for detach and reassign */
    size_t set_count;
    struct plan_object *objects;
    size_t object_count;
    const char *obstacle; /* a trigger or rule that can keep rows from going without an error
                             ("trigger x"), or NULL */
    bool cascades;  /* its rows are deleted by the foreign key of its one edge, when the candidates
                     * are: no statement deletes them, and the session's own counter says how many
                     * they were */
    int order;      /* deletes run from high to low: a node after all that refer to it */
    bool recursive; /* deleted from along references to the node's own rows, too */
    /* Shared rows (ACTION_DELETE_ORPHANS) and what hangs on them. */
    struct plan_node
        *orphan; /* the shared table that this node hangs on, or itself; NULL: the root */
    struct plan_edge
        *links; /* references to this table of rows that go: via's, and others of the policy */
    size_t link_count;
    struct plan_edge *uses; /* every reference that keeps a row of this table from going */
    size_t use_count;
    struct plan_edge *self; /* references of this table's rows to each other: of a shared table all;
                             * of the root those that are deleted along (a row goes only where
                             * everything below it is a candidate too) */
    size_t self_count;
    int turn; /* of a shared table: its place in plan->shared, from 1 */
    const struct plan_column *
        *key; /* its primary key; of the root, shared tables and recursive nodes */
    size_t key_count;
};

struct plan_guard {
    const char *name;
    const char *sql; /* in brackets; $1 is the cutoff */
    const char *by;  /* SQL text expression or NULL */
    bool letters;    /* the guard that leaves parked and discarded dead letters alone */
    const struct plan_node *kept;   /* it spares rows that have such dependents; or NULL */
    const struct plan_node *target; /* rows that have the one others are reassigned to; or NULL */
    bool beyond;                    /* not known to read the candidate's own row only */
    bool freeable; /* deletions of the run itself may end what it spares: see plan_append_held */
    bool below; /* the guard of rows below which is no candidate: the last one, as it builds on the
                   others */
};

/* A table that is a partition or child of another, at any depth: oids as text. */
struct plan_inheritance {
    const char *child, *parent;
};

/* Code of users that the run makes PostgreSQL execute: a trigger, a rule, or the function of an
 * index, a constraint, a generated column or a default. */
struct plan_code {
    const char *table; /* its label */
    const char *kind;  /* "trigger", "rule", "index", "constraint", "column", "cast" */
    const char *name;  /* quoted where needed */
    const char *when;  /* "before delete for each row", "instead of update"; of others "update" */
    const char *function; /* "app.audit()"; NULL: the code stands in the table's own rule */
    const char *owner;    /* of the function, quoted where needed; NULL: as function */
    const char *table_owner;
    bool trusted; /* both owners are superusers or the role that runs */
};

enum plan_strategy { STRATEGY_RANGE, STRATEGY_LOCKED };

/* What the sweep walks along. */
enum plan_walk {
    WALK_AGE, /* (age, key): an index leads with the age column */
    WALK_KEY, /* key: no such index, or too many equal ages */
};

struct plan {
    const struct policy *policy;
    struct plan_node **nodes; /* nodes[0] is the root */
    size_t node_count;
    struct plan_node **shared; /* the shared tables, each after those whose rows refer to it */
    size_t shared_count;
    const struct plan_column **key; /* the primary key, in its order */
    size_t key_count;
    const struct plan_column *age;
    const struct plan_column **cursor; /* what is walked along: age and key, or key */
    size_t cursor_count;
    const char *where_sql;     /* in brackets; NULL when every old row is a candidate */
    struct plan_guard *guards; /* the policy's, then one per dependent with action keep */
    size_t guard_count;
    bool by_row;                          /* one transaction for each candidate */
    const struct plan_column *directory;  /* names a row's working directory; NULL: none */
    const char *directory_root;           /* absolute; NULL when directory is */
    struct plan_inheritance *inheritance; /* among the plan's tables */
    size_t inheritance_count;
    bool has_objects;  /* some table names stored objects */
    bool looks_beyond; /* a condition or guard is not known to read the candidate's own row only */
    bool where_freeable; /* as in plan_guard: a row that does not satisfy it may come to satisfy it
                          */
    const char *spared_run; /* the live run whose rows in pgsweep.spared are no candidates; NULL: no
                               condition is freeable */
    enum plan_strategy strategy;
    const char *strategy_reason;
    enum plan_walk walk;
    const char *walk_reason;
    bool few_equal_ages; /* by the statistics: a chunk may be cut between two ages, key unseen */
    const char *cutoff;  /* timestamp with time zone, UTC, for people and records */
    const char *cutoff_value; /* what is compared with the age column: parameter $1 */
    const char *cutoff_local; /* the same moment by the clocks of the policy's time_zone, */
    const char *cutoff_date;  /* and its date there */
    struct catalog *catalog;  /* what the catalog was asked */
    const char *relations;    /* oids of its tables, their partitions and heirs, as an array */
    bool obeys_letters;       /* there are parked or discarded dead letters, and a guard for them */
    const char *fingerprint;  /* of what it rests on, from before the catalog was read for it */
    bool partitioned;         /* a table of the plan is */
    struct plan_edge *uncovered; /* what partitions would refer by if they had the foreign key of
                                    their siblings; table: */
    size_t uncovered_count;      /* the partition */
    const char *role;            /* that runs, quoted where needed */
    bool superuser;              /* it is one */
    struct plan_code *code;      /* what fires */
    size_t code_count;
    const char **notes; /* advice found on the way; one line each */
    size_t note_count;
};

/* What the caller of plan_build wants to know or to allow. */
struct plan_request {
    bool live;          /* the plan is going to be carried out: privileges are checked for that */
    const char *cutoff; /* --cutoff, or NULL */
    bool allow_missing_index; /* run although a large referring table has no index on its reference
                               */
    bool by_statement;  /* no dependent is left to its foreign key: the session does not count what
                           that  deletes */
    const char *run_id; /* of a live run; NULL: no row is spared because a run wrote it down */
};

/* Compiles the policy. Errors: SWEEP_USAGE for what does not fit the schema or the role, with the
 * policy's file and line or the GRANT to run; SWEEP_REFUSED for what a safeguard stops (a table
 * that refers to one of the policy's and is not listed; a missing index). Owned by ctx. */
bool plan_build(const void *ctx, struct db *db, const struct policy *policy,
                const struct plan_request *request, struct plan **plan, struct error *err);

/* "trigger audit of public.jobs (role app), after delete for each row: function app.audit() (role
 * app)"; owned by ctx. */
char *plan_code_text(const void *ctx, const struct plan_code *code);

/* Appends the GRANTs that the role (its name, not quoted) needs for dry and live runs of the plan,
 * one per line, without those on the state schema. Leaves nothing in the database, but needs the
 * privilege to make a temporary view. */
bool plan_grants(PQExpBuffer out, const struct plan *plan, struct db *db, const char *role,
                 struct error *err);

/* That nothing in the state schema, if there is one, could run code of a role without trust:
 * SWEEP_REFUSED, with what it is and what to do. Reads the catalog alone; nothing else is to touch
 * the schema before. plan_build has looked, too. */
bool trust_check_state(struct db *db, struct error *err);

/* A statement that fails unless the plan's tables are what they were when the plan was made (and
 * unless there are dead letters to obey exactly if there were), and what it is for; owned by ctx.
 * Parameters: plan->relations, plan->fingerprint. In the last statement but the COMMIT of a
 * transaction that has changed the tables it is free of races: what would add a foreign key waits
 * for that transaction. */
char *plan_check_sql(const void *ctx, const struct plan *plan);
char *plan_check_why(const void *ctx);

/* The predicate of a candidate, for a root row called t; parameter $1 is cutoff_value. The one
 * predicate of count, dry run and deletion. */
void plan_append_candidate(PQExpBuffer out, const struct plan *plan);

/* The same but for the guard that spares parked dead letters. */
void plan_append_unparked(PQExpBuffer out, const struct plan *plan);

/* The condition that a root row t is old enough and held back by a freeable condition: what a run
 * writes down before its first chunk, for its own deletions may make such a row a candidate. For
 * plans with spared_run only; $1 is the cutoff. */
void plan_append_held(PQExpBuffer out, const struct plan *plan);

/* The digest of the key of a root row t (bytea): what pgsweep.key_digest returns for the texts of
 * its columns. */
void plan_append_digest(PQExpBuffer out, const struct plan *plan);

/* alias.column as text, by no cast of a user. */
void plan_append_text(PQExpBuffer out, const char *alias, const struct plan_column *column);

/* The cursor columns as a text select list (t.age::text, ...) or, with order_by, for ORDER BY. */
void plan_append_cursor(PQExpBuffer out, const struct plan *plan, bool order_by);

/* The cursor columns of the last of several rows t, as a text select list of aggregates. */
void plan_append_last(PQExpBuffer out, const struct plan *plan);

/* The key columns of several rows t as a select list of aggregates: one array for each, as text. */
void plan_append_key_arrays(PQExpBuffer out, const struct plan *plan);

/* " AND" and the condition that a root row t lies after, or else at most at, the cursor whose
 * values are the parameters from number first on. columns: how many of the cursor's columns count;
 * 1 takes all rows of one age together. */
void plan_append_bound(PQExpBuffer out, const struct plan *plan, bool after, int first,
                       size_t columns);

/* The condition that a root row t is one of the keys in the array parameters from number first on.
 */
void plan_append_keys(PQExpBuffer out, const struct plan *plan, int first);

/* The policy deletes along references of the root's rows to each other. */
bool plan_has_below(const struct plan *plan);

/* SELECT of how many rows are in hand and below these, and of their keys (see
 * plan_append_key_arrays), locked in the order of the key. Parameters: the key arrays. What another
 * session adds below while this waits for locks is found by sending it again with its own answer:
 * repeat until the number of rows is the same twice; then nothing can be added. */
void plan_append_below(PQExpBuffer out, const struct plan *plan);

/* Why that is sent, owned by ctx. */
char *plan_below_why(const void *ctx);

/* Some rows go by foreign keys, when the candidates are deleted (see plan_node.cascades). */
bool plan_has_cascades(const struct plan *plan);

/* How many statements act on the rows of node: one for each edge, or one for all that a recursive
 * node reaches. plan_step_edge: the edge of statement number i, NULL for that one. */
size_t plan_step_count(const struct plan_node *node);
const struct plan_edge *plan_step_edge(const struct plan_node *node, size_t i);

/* What acts on the rows of node that refer, through edge, to the rows in hand: a DELETE or UPDATE.
 * Parameters: the key arrays $1... (none for a node that hangs on a shared table: see
 * plan_takes_keys), then plan_step_values. */
void plan_append_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                      const struct plan_edge *edge);

/* True where the rows that the steps of node touch are more than it should count: a row that loses
 * several references is counted once, with the last of them, and one that is going to be deleted is
 * not counted as detached. */
bool plan_counts_apart(const struct plan *plan, const struct plan_node *node);

/* Those rows, for such a node: a SELECT to be sent before its steps. Parameters: the cutoff, then
 * the key arrays. */
void plan_append_count_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node);

/* The values that the rows of node are given, into values (room for set_count + 1); returns how
 * many. */
int plan_step_values(const struct plan_node *node, const char **values);

/* The list of a LOCK TABLE: the tables that a chunk changes, or those that it only reads, in the
 * order of the plan, without those that the role may not lock. NULL: none; owned by ctx. */
char *plan_tables_to_lock(const void *ctx, const struct plan *plan, bool changed);

/* A SELECT that locks the rows that plan_append_step would act on, and returns how many. */
void plan_append_lock_step(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                           const struct plan_edge *edge);

/* The same lock for all rows of a node, whatever they refer by, as a SELECT of the rows and not of
 * their number. */
void plan_append_lock_rows(PQExpBuffer out, const struct plan *plan, const struct plan_node *node);

/* The condition that a row d is one that the step acts on; of a shared table (edge NULL), that it
 * is in hand. */
void plan_append_reached(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         const struct plan_edge *edge);

/* For the last look before COMMIT, where no constraint stands behind a reference: the values of a
 * row alias that other rows refer to (of_parent) or that it refers by, as texts; and the condition
 * that a row a refers to one with the values in the JSON array r.v (or, for_parent, that one with
 * those values refers to the row a). */
void plan_append_look_values(PQExpBuffer out, const struct plan_edge *edge, bool of_parent,
                             const char *alias);
void plan_append_look(PQExpBuffer out, const struct plan_edge *edge, bool for_parent);

/* True when statements about node take the key arrays as parameters. */
bool plan_takes_keys(const struct plan_node *node);

/* The shape of an object column as the server names it ("text", "list", "json"; NULL: none of
 * these). False: a column of that type, with or without a path, names no objects. */
bool plan_object_read_shape(const char *told, const char *path, enum plan_object_shape *shape);

/* The SQL expression for it, of the oid of a type (an SQL expression). Owned by ctx. */
char *plan_object_shape_sql(const void *ctx, const char *type);

/* SQL for the set of texts that a column (an SQL expression) of that shape holds, to stand behind
 * LATERAL; NULL for OBJECT_TEXT. strict: what the path finds and is no text is an error, so that
 * the row stays and a person looks. Owned by ctx. */
char *plan_object_texts(const void *ctx, const struct plan_object *object, const char *column,
                        bool strict);

/* SELECT of the values of one object column of node (the root too) among the rows in hand; ends in
 * its WHERE. Parameters: the key arrays, if the node takes them. */
void plan_append_objects(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         size_t object);

/* The same for the column that names working directories. */
void plan_append_directories(PQExpBuffer out, const struct plan *plan);

/* The keys (of one column) of all rows that a guard of the policy spares, whatever their age: what
 * is still active. Owned by ctx. SWEEP_USAGE when the key has several columns. */
bool plan_active_keys(const void *ctx, struct db *db, const struct plan *plan, const char ***keys,
                      size_t *count, struct error *err);

/* The rows of a shared table are remembered between the statements of one transaction, in settings
 * of the session that end with it. collect: those that rows in hand refer to, locked; the rows in
 * hand of the root and what hangs on it (group NULL; parameters: key arrays), or those of another
 * shared table and what hangs on that. narrow: those of them that nothing refers to any more;
 * delete: these. */
bool plan_collects(const struct plan_node *orphan, const struct plan_node *group);
void plan_append_collect(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan,
                         const struct plan_node *group);
void plan_append_narrow(PQExpBuffer out, const struct plan *plan, const struct plan_node *orphan);
void plan_append_delete_orphans(PQExpBuffer out, const struct plan_node *orphan);

/* Exact counts, taken with the plan's own predicate. */
struct plan_spared {
    const char *guard;
    const char *label; /* what "by" says, or NULL */
    int64_t rows;
};

/* Shared rows that lose a reference and stay, by the references that keep them: one may be kept by
 * several. */
struct plan_kept {
    int node;       /* the shared table: index of its node */
    const char *by; /* the referencing table, quoted with its schema */
    const char *constraint;
    int64_t rows;
};

struct plan_counts {
    int64_t total;      /* rows that satisfy where, whatever their age; -1 when not asked for */
    int64_t eligible;   /* candidates that would go */
    int64_t old_enough; /* estimates only: rows older than the cutoff, whatever condition and guards
                           say of them */
    int64_t *by_node;   /* rows that would be deleted or detached, by node index; dry run only */
    struct plan_spared *spared; /* by guard, most rows first within one guard */
    size_t spared_count;
    int64_t
        *kept_by_node; /* of a shared table: rows that lose a reference and stay; dry run only */
    struct plan_kept *kept; /* by node, most rows first; only references that keep any */
    size_t kept_count;
};

/* Counts in one READ ONLY transaction, that is one snapshot. dependents: also the rows that hang on
 * the candidates. timeout_ms: no statement of it takes longer (SQLSTATE 57014). Owned by ctx. */
bool plan_count(const void *ctx, struct db *db, const struct plan *plan, bool dependents,
                int64_t timeout_ms, struct plan_counts *counts, struct error *err);

/* The statement that counts, and a sentence of what it is for; owned by ctx. Parameter: the cutoff.
 */
char *plan_count_sql(const void *ctx, const struct plan *plan, bool dependents, char **why);

/* Estimates total, old_enough, eligible and by_node (room for all nodes) from statistics, without
 * reading a table. What spares rows is not estimated. A negative number: the planner gave none. */
bool plan_estimate(const void *ctx, struct db *db, const struct plan *plan,
                   struct plan_counts *counts, struct error *err);

/* Which tables have no statistics, by node index: an estimate of them is a guess. Only those that
 * the policy acts on. */
bool plan_without_statistics(const void *ctx, struct db *db, const struct plan *plan, bool *without,
                             struct error *err);

/* Counts the rows that would refer to nothing: those of a partition without the foreign key (edge:
 * of plan->uncovered). */
bool plan_count_uncovered(struct db *db, const struct plan *plan, const struct plan_edge *edge,
                          int64_t *rows, struct error *err);

/* Counts the candidates that are there now, at most limit. failed_in: without those that have a
 * dead letter of that run; NULL: all. */
bool plan_count_remaining(struct db *db, const struct plan *plan, const char *failed_in,
                          int64_t limit, int64_t *rows, struct error *err);

/* Nodes that are acted on, in execution order: those whose rows stay first, then deleted ones, each
 * after all that refer to it. orphan NULL: what hangs on the root (without it); else what hangs on
 * that shared table (without it). Owned by ctx. */
const struct plan_node **plan_execution_order(const void *ctx, const struct plan *plan,
                                              const struct plan_node *orphan, size_t *count);

/* True when rows of the node are deleted. */
bool plan_deletes(const struct plan_node *node);

/* True when the action changes rows: anything but keep and ignore. */
bool plan_acts(const struct plan_node *node);

/* Parses an interval with the database; milliseconds. what and setting go into the message. */
bool plan_interval_ms(struct db *db, const struct setting *setting, const char *what, int64_t *ms,
                      struct error *err);

/* "cascade", "no action"...: pg_constraint's letter as SQL writes it. */
const char *plan_on_delete_name(char on_delete);

#endif
