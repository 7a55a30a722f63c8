/* The statements of a plan, and the work of one transaction, in the order in which they are sent.
 * Private. */
#ifndef PGSWEEP_SWEEP_STATEMENTS_H
#define PGSWEEP_SWEEP_STATEMENTS_H

#include "pgsweep/db.h"
#include "pgsweep/plan.h"

/* How a statement is bounded by a cursor: an index into the tables of statements. */
enum bound_by { BY_NOTHING, BY_ALL, BY_AGE, BOUNDS };

/* How many statements a transaction begins with at most, before it locks the first row. */
enum { BEGIN_STEPS_MAX = 4 };

struct statements {
    struct db_statement bound[BOUNDS];     /* the end of a chunk, exactly */
    struct db_statement bound_age[BOUNDS]; /* the same, between two ages */
    struct db_statement range[BOUNDS]
                             [BOUNDS]; /* [from][to]: deletes and records, in one statement */
    struct db_statement plain[BOUNDS][BOUNDS];    /* deletes only */
    struct db_statement unlocked[BOUNDS][BOUNDS]; /* deletes what no other session has locked */
    struct db_statement record_counted;           /* records what was counted here */
    struct db_statement record; /* records what the statements of a transaction counted */
    struct db_statement check;  /* fails when the plan does not hold any more */
    struct db_statement begin[BEGIN_STEPS_MAX]; /* BEGIN, locks of tables, limit_waits */
    int begin_count;
    const struct db_statement *limit_waits; /* the last of them: how long it waits for a row */
    struct db_statement lock[BOUNDS];       /* the next candidates, locked */
    struct db_statement list[BOUNDS];       /* the next candidates, not locked */
    struct db_statement lock_row; /* fails when the row is gone or locked by another session */
    struct db_statement
        lock_below; /* the rows in hand and those below them; only where the plan has such */
    struct db_statement find_locked; /* the keys, with the table that has locked rows of each */
    bool finds_locked;               /* there is something to find */
    struct db_statement verify;
    struct db_statement verify_row; /* fails when the row is no candidate any more */
    struct db_statement *lock_dependents;
    size_t lock_dependent_count;
};

/* What a statement fails for that looks whether all is as it should be. */
enum work_expects {
    EXPECTS_NOTHING,
    EXPECTS_ROOT,       /* all candidates are deleted; their number is its parameter */
    EXPECTS_NONE_LEFT,  /* no row is left that a trigger or rule may have kept */
    EXPECTS_LOCKED,     /* no row was deleted that had not been locked before */
    EXPECTS_NONE_ADDED, /* nobody added a row that a stated reference is about */
    EXPECTS_COUNTERS, /* the session counts what it deletes; how many candidates is its parameter */
    EXPECTS_PLAN,     /* the tables are what they were when the plan was made */
};

/* One statement of a transaction's work. */
struct work_step {
    struct db_statement statement;
    const struct plan_node *about; /* whose rows it reads or changes; NULL: none in particular */
    const struct plan_node *node;  /* whose rows its result counts; NULL: none */
    bool plain;                    /* its command tag says how many rows, not its result */
    bool takes_cutoff;             /* the cutoff comes first, */
    bool takes_keys;               /* then the key arrays */
    bool queues_object;            /* its row count is objects that entered the queue, */
    bool queues_directory;         /* or working directories */
    const struct plan_node
        *locks; /* its result says how many rows of that node it locked; they may be more by now */
    enum work_expects expects;
    const char **extra;             /* parameters that are the same in every transaction, */
    const char *const *extra_words; /* in words; NULL: values that the policy sets */
    int extra_count;
};

/* Values that are remembered in a setting of the transaction, for the last look before COMMIT. */
struct work_look {
    const char *setting;
    const struct plan_edge *edge;
    bool for_parent; /* looks for rows that the remembered ones refer to, not for rows that refer to
                        them */
};

struct work {
    struct work_step *steps;
    size_t count;
    size_t counted; /* steps before this one change rows; what looks at them and records them
                       follows */
    struct work_look *looks;
    size_t look_count;
};

#endif
