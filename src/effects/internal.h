/* What the files of the effects room share. */
#ifndef PGSWEEP_EFFECTS_INTERNAL_H
#define PGSWEEP_EFFECTS_INTERNAL_H

#include "pgsweep/effects.h"

struct effects {
    struct db *db;
    bool dry_run;
};

/* False, with SWEEP_INTERNAL, in a dry run. */
bool effects_allowed(const struct effects *effects, struct error *err);

/* db_query through the gate. */
bool effects_query(struct effects *effects, const void *ctx, const char *sql, int nparams,
                   const char *const *params, struct db_rows **rows, struct error *err);

/* What is queued is tried this often, then it becomes a dead letter. */
enum { QUEUE_ATTEMPTS = 10 };

/* One more attempt failed for these entries of the queue: they wait longer and longer, and those that
 * were tried often enough become dead letters (*dead). */
bool queue_note_failed(struct effects *effects, const void *ctx, const char *const *ids,
                       const char *const *errors, size_t count, int64_t *dead, struct error *err);

/* Calls drain, if entries of the kind are due and no other session is at it; then counts the ones left. */
typedef bool queue_drainer(struct effects *effects, struct report *report, const char *policy,
                           struct error *err);
bool queue_drain_alone(struct effects *effects, struct report *report, const char *kind, const char *policy,
                       queue_drainer *drain, int64_t *waiting, struct error *err);

#endif
