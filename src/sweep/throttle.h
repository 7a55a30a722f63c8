/* What the files about waiting between chunks share. Private. */
#ifndef PGSWEEP_SWEEP_THROTTLE_H
#define PGSWEEP_SWEEP_THROTTLE_H

#include "internal.h"

/* Numbers of the server about checkpoints. */
struct checkpoints {
    bool known;
    int64_t requested;
    int64_t written;
    int64_t done_ms;
};

/* What a look has found. Texts are owned by the context that was given. */
struct throttle_found {
    const char *waits[REPORT_WAITS]; /* what the run has to wait for; NULL: not for this */
    const char *limit;               /* what ends the run: "window" or "stop-file"; NULL: nothing */
    const char *detail;              /* about that; NULL: nothing */
    struct checkpoints checkpoints;
};

/* What is looked at, resolved from the policy. */
struct throttle_look {
    const struct policy *policy;
    const char *params[11];
    struct db_statement statement; /* sql NULL: the policy asks nothing of the database */
    const char *own;               /* the statement with the policy's own condition; or NULL */
};

/* Waiting between two chunks. */
struct throttle {
    struct throttle_look *look;
    const struct plan *plan;        /* whose tables are looked at */
    int64_t next_ms;                /* when to look again */
    int64_t max_wait_ms;            /* 0: no limit */
    int64_t since_ms;               /* when the wait in hand began; 0: there is none */
    int64_t counted_ms;             /* until when it is in the report */
    struct checkpoints checkpoints; /* as of the last look */
    bool checkpoint;                /* one that was asked for is under way */
};

/* Adds the time of a wait to its reason in the report. */
void throttle_add_wait(struct report *report, enum report_wait wait, int64_t ms, const char *what);

/* Builds the look for a policy on the tables of the plan; plan NULL: only at what may end the run.
 * Owned by ctx, which must outlive the connection. */
struct throttle_look *throttle_look_new(const void *ctx, const struct policy *policy,
                                        const struct plan *plan, int server_version);

/* The tables of this plan from now on. */
void throttle_look_at_plan(struct throttle_look *look, const struct plan *plan);

/* Looks: at files, and in the database in a round trip, or two with a condition of the
 * policy's own. What the role may not see goes into the
 * report as a remark (report may be NULL). False, with err set, when the database could not be
 * asked, or the policy's own condition failed. */
bool throttle_look(const struct throttle_look *look, struct db *db, const void *ctx,
                   struct report *report, struct throttle_found *found, struct error *err);

/* The same once, of a look that was built without a plan: what would end the run. */
bool throttle_look_once(const struct throttle_look *look, struct db *db, const void *ctx,
                        struct throttle_found *found, struct error *err);

/* Whether a checkpoint that was asked for is being written: one was asked for since the last look,
 * or *under_way and since then buffers were written and it is not done. Then keeps now as last. */
bool throttle_checkpoint(struct checkpoints *last, const struct checkpoints *now, bool *under_way);

#endif
