/* The rows that a run spares although its own deletions could make them candidates, in
 * pgsweep.spared. */
#ifndef PGSWEEP_STATE_SPARED_H
#define PGSWEEP_STATE_SPARED_H

#include <stdbool.h>

#include "pgsweep/error.h"
#include "pgsweep/plan.h"

struct state;

/* The statement by which a run writes down which rows it spares, and a sentence of what it is for;
 * owned by ctx. NULL: there is none. Parameter: the cutoff. */
char *spared_record_sql(const void *ctx, struct db *db, const struct plan *plan, char **why);

/* Writes down which rows the run spares, where its own deletions could make them candidates
 * (plan->spared_run); else does nothing. On the server's disk when it returns true. May be called
 * again. */
bool spared_record(struct state *state, const struct plan *plan, struct error *err);

/* Removes what runs of the policy wrote down, this one and earlier ones. Call with the lock held.
 */
bool spared_forget(struct state *state, const struct plan *plan, struct error *err);

#endif
