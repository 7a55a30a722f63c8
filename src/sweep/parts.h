/* struct sweep: what the engine knows while it carries out a plan. Each part is about one question,
 * and names the files that change it. Private. */
#ifndef PGSWEEP_SWEEP_PARTS_H
#define PGSWEEP_SWEEP_PARTS_H

#include "pgsweep/db.h"
#include "pgsweep/gate.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/state.h"
#include "pgsweep/sweep.h"
#include "statements.h"

/* A position in the walk: the values of the plan's cursor columns, or of the first of them alone:
 * then everything of that age is behind it. columns 0: before the first. */
struct cursor {
    const char **values;
    size_t columns;
};

/* A place that the walk has passed. It is moved to where the walk is after 1, 2, 4, 8... further
 * chunks: a circle of any length is found before the walk has gone through it three times. */
struct circle {
    struct cursor mark;
    int64_t steps; /* chunks since the mark was set */
    int64_t reach; /* after so many it is set anew */
};

/* Range: the end of the next chunk, looked up ahead. */
struct range_end {
    struct cursor cursor; /* where the chunk ends */
    bool known;           /* it has been looked up, for this chunk */
    bool is_end;          /* known, and there is none: the next chunk is the last */
    int64_t rows;         /* how many candidates it was looked up to take */
};

/* How far has the walk come? (sweep.c, chunk.c, circle.c, chunk_range.c) */
struct position {
    int pass;             /* which walk over the candidates; the first is 1 */
    struct cursor cursor; /* the last candidate that was dealt with */
    struct circle circle;
    struct range_end high;
};

/* How much does the next chunk take? (pace.c) */
enum { PACE_SIZES = 20 };

struct pace {
    int64_t rows;     /* size of the next chunk */
    int64_t rows_max; /* the size that rows may grow to */
    int64_t singly;   /* so many candidates are taken one by one, for one of them costs the
                         connection */
    int64_t taken;    /* candidates dealt with, for max_rows */
    int64_t started_ms;
    int64_t fixed_us; /* what a chunk costs whatever its size, as far as that is known */
    int64_t chunks;   /* that were measured */
    struct pace_sample {
        int64_t rows, us, chunk;
    } samples[PACE_SIZES]; /* the last chunk of 1, 2 to 3, 4 to 7... rows */
    bool exact;            /* range: chunks must be cut between two rows */
    bool near;             /* a round trip costs next to nothing */
};

/* A candidate that was passed over because another session has locked it or what hangs on it. */
struct locked_key {
    const char **key;
    const char *table; /* whose row is locked; NULL: not known */
};

/* Which rows do other sessions have locked? (locked.c) */
struct locked_rows {
    bool step_over;          /* range: the next chunk leaves out the rows that are locked */
    bool row_by_row;         /* range: the next chunk is locked row by row */
    int64_t since;           /* chunks since one was given up over a locked row */
    int64_t looks_ahead;     /* so many chunks look for locked rows before they touch any */
    int64_t in_the_way;      /* failures in a row over locks that nothing had found before */
    struct locked_key *keys; /* some of the candidates that were passed over, the latest pass */
    size_t count;
};

/* How often has the work in hand failed, without a candidate to blame? (recover.c, tables.c) */
struct recovery {
    int tries;              /* of the chunk in hand, after transient errors */
    bool impatient;         /* waiting did not help: until something goes, do not wait long again */
    int table_tries;        /* since another session keeps a table of the plan locked, */
    int64_t table_since_ms; /* which is since then */
    int losses;             /* how often the chunk in hand has cost the connection */
};

/* A candidate that cannot go, and why. */
struct failure {
    const char *const *key;
    struct error *why;
};

/* When more candidates than this cost the connection, and nothing goes between them, the fault is
 * not theirs. */
enum { SUSPECTS_MAX = 5 };

/* Which candidates have cost the connection, and is it their fault? (recover.c, aside.c) */
struct suspects {
    struct failure rows[SUSPECTS_MAX]; /* nothing has gone since */
    size_t count;
    bool control_due; /* a candidate cost it: is it the candidate, or would anything? */
    bool proven;      /* since then others went: it is the candidate */
    int set_aside;    /* candidates that are dead letters because they cost it */
};

/* Which candidates cannot go? (aside.c, failed.c) */
struct set_aside {
    const char ***keys; /* so that a later pass leaves them alone */
    size_t count;
    int64_t in_a_row; /* candidates that failed for the first time, since one went */
    int64_t parked;   /* candidates that failed for the last time */
};

/* When was the plan made again? (recompile.c) */
struct replan {
    int times;         /* since a row was deleted */
    bool due;          /* it does not hold any more: nothing is done before there is a new one */
    char cause[6];     /* the SQLSTATE that the new one may cure; "": none */
    bool by_statement; /* the session did not count what it deleted: no dependent is left to its
                          foreign key any more */
};

/* What would a crash of the server undo? (durable.c, reconnect.c) */
struct durability {
    int64_t *rows;      /* by node index: known to be gone for good */
    int64_t settled_ms; /* when that was found out */
    int64_t pending;    /* transactions that are not known to be on disk yet */
    bool rewound;       /* commits were undone by a crash of the server: the sweep began again */
    int rewinds;        /* how often */
};

/* What waits in the queue for what cannot be undone? (sweep.c) */
struct queue_watch {
    int64_t undrained; /* keys queued since the queue was last drained */
    bool store_fails;  /* the last drain could delete nothing: not tried again before the end */
};

struct throttle;

struct sweep {
    /* What it works with. */
    struct db *db;
    struct gate *gate;
    struct state *state;
    const struct plan *plan;
    const struct sweep_budget *budget;
    struct progress *progress;
    struct throttle *throttle;
    struct report *report;
    struct statements statements;
    struct work work;
    /* What it knows. */
    struct position position;
    struct pace pace;
    struct locked_rows locked;
    struct recovery recovery;
    struct suspects suspects;
    struct set_aside set_aside;
    struct replan replan;
    struct durability durability;
    struct queue_watch queue;
};

#endif
