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

#endif
