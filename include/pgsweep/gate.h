/* The write gate: every statement that writes passes here, and is refused in a dry run. */
#ifndef PGSWEEP_GATE_H
#define PGSWEEP_GATE_H

#include <stdbool.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"

struct gate;

/* Opens the gate (or keeps it shut: dry_run). Owned by ctx. */
struct gate *gate_open(const void *ctx, struct db *db, bool dry_run);

/* The connection behind it. */
struct db *gate_db(const struct gate *gate);

/* False, with SWEEP_INTERNAL, in a dry run: that it is asked at all is a mistake of the program. */
bool gate_check(const struct gate *gate, struct error *err);

/* db_batch through the gate. */
bool gate_batch(struct gate *gate, const void *ctx, struct db_step *steps, int count, int *failed,
                struct error *err);

/* db_query through the gate. */
bool gate_query(struct gate *gate, const void *ctx, const char *sql, int nparams,
                const char *const *params, struct db_rows **rows, struct error *err);

#endif
