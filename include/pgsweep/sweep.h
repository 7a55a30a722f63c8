/*
 * The sweep: carries a plan out, chunk by chunk. It decides how far to go and what to do when
 * something fails; what is changed passes through state, what happened goes into the report. */
#ifndef PGSWEEP_SWEEP_H
#define PGSWEEP_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/db.h"
#include "pgsweep/state.h"
#include "pgsweep/error.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"

/* The limits of a run. */
struct sweep_budget {
    int64_t chunk_rows;     /* candidates per transaction; 0: as many as the chunk time allows */
    int64_t max_rows;       /* candidates; 0: no limit */
    int64_t max_runtime_ms; /* 0: no limit */
    int64_t pause_ms;       /* between chunks */
    int64_t max_failed;     /* candidates that fail in a row, before the run ends */
    int retries;            /* tries of one chunk after transient errors */
    int64_t retry_for_ms; /* how long a lost connection is tried to be made again; at least once */
    bool verbose;         /* log each deleted key */
    bool allow_missing_index; /* also when the plan is made again during the run */
};

/* How long the server should work on one chunk when chunk_rows is 0. With 20 ms a concurrent UPDATE
 * of the same rows is held up for that long at most; longer chunks gain little speed. If the server
 * is far away, five times as long as the chunk's round trips take, up to 100 ms. */
enum {
    SWEEP_CHUNK_MS = 20,
    SWEEP_FAR_CHUNK_MS = 100,
    SWEEP_RETRIES = 8,
    SWEEP_RETRY_FOR_MS = 120000,
    SWEEP_MAX_FAILED = 1000
};

/* How long a transaction that holds rows waits for a row of another session. Then it lets go of all
 * and steps over that row: together with the chunk's own time that is what others wait at most. */
enum { SWEEP_LOCK_WAIT_MS = 10 };

/* A statement of a run, for people to read. */
struct sweep_statement {
    const char
        *when; /* "first chunk", "each later chunk", "last chunk", "each chunk", "each candidate" */
    const char *name;       /* as the server's log shows it */
    const char *why;        /* a sentence */
    const char *sql;        /* without a semicolon */
    const char *parameters; /* "$1 cutoff, $2 rows of the chunk"; NULL: none */
};

/* The statements of a run in the order in which they are sent, BEGIN and COMMIT included; returns
 * how many. Those of a server nearby: a distant one gets the same, wrapped so that they count their
 * rows in SQL and one round trip is enough. The list and its texts are owned by ctx. */
size_t sweep_statements(const void *ctx, const struct plan *plan, const struct sweep_budget *budget,
                        struct sweep_statement **statements);

/* Checks what the policy says about waiting, as far as the database has to: its own condition, the
 * time zone of its window. Sets the report's limit and not_begun where the window is closed or the
 * stop file exists: a live run must not begin then. The plan must have been built on db. */
bool sweep_check_throttle(struct db *db, const struct plan *plan, struct report *report,
                          struct error *err);

/* Sweeps until nothing eligible is left, a limit is reached, a signal asks to stop, or an error
 * ends it. The lock must be held and the run's record begun. Fills the report; false, with err set,
 * when the run could not go on (what was committed before that stays and is in the report). */
bool sweep_run(struct db *db, struct state *state, const struct plan *plan,
               const struct sweep_budget *budget, struct progress *progress, struct report *report,
               struct error *err);

#endif
