/* What the files of the effects room share. */
#ifndef PGSWEEP_EFFECTS_INTERNAL_H
#define PGSWEEP_EFFECTS_INTERNAL_H

#include "pgsweep/effects.h"
#include "pgsweep/store.h"

struct effects {
    struct db *db;
    bool dry_run;
    struct db_statement commit_waits; /* see run_make_durable */
    struct db_statement touch;
};

/* Sets the statements that are sent again and again (src/effects/runs.c). */
void run_statements(struct effects *effects);

/* False, with SWEEP_INTERNAL, in a dry run. */
bool effects_allowed(const struct effects *effects, struct error *err);

/* db_query through the gate. */
bool effects_query(struct effects *effects, const void *ctx, const char *sql, int nparams,
                   const char *const *params, struct db_rows **rows, struct error *err);

/* A key of the object queue that is due. */
struct queue_item {
    const char *id;
    const char *value;
    struct store_location where;
    bool in_use; /* a row names it */
};

/* The columns that name objects ("object") or directories ("directory") and still exist: table, column, the
 * column's type ("bigint"). */
bool queue_sources(struct db *db, const void *ctx, const char *kind, struct db_rows **rows, struct error *err);

/* Sets in_use of the items whose object a row names, in whatever spelling. */
bool survivors_mark(struct effects *effects, const void *ctx, const struct store_config *config,
                    struct queue_item *items, size_t count, struct error *err);

/* What is queued is tried this often, then it becomes a dead letter. */
enum { QUEUE_ATTEMPTS = 10 };

/* One more attempt failed for these entries of the queue: they wait longer and longer, and those that
 * were tried often enough become dead letters (*dead). */
bool queue_note_failed(struct effects *effects, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err);

/* These entries are none to act on, and why: they leave the queue's round, and stay for a person to look at. */
bool queue_mark_foreign(struct effects *effects, const void *ctx, const char *const *ids, const char *const *reasons,
                        size_t count, struct error *err);

/* Calls drain, if entries of the kind are due and no other session is at it; then counts the ones left. */
typedef bool queue_drainer(struct effects *effects, struct report *report, const char *policy,
                           struct error *err);
bool queue_drain_alone(struct effects *effects, struct report *report, const char *kind, const char *policy,
                       queue_drainer *drain, int64_t *waiting, struct error *err);

#endif
