/* A run of a policy for rows, as the files of this room that carry it out share it. */
#ifndef PGSWEEP_COMMAND_RUN_H
#define PGSWEEP_COMMAND_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "internal.h"
#include "pgsweep/state.h"
#include "pgsweep/plan.h"
#include "pgsweep/report.h"
#include "pgsweep/sweep.h"

struct run {
    const struct cli_options *options;
    struct policy *policy;
    struct db *db;
    struct plan *plan;
    struct report *report;
    struct sweep_budget budget;
    int64_t count_timeout_ms;
    bool recording;         /* the record of the run may have been begun */
    bool begun;             /* the sweep has begun: what follows is not done a second time */
    const char *last_id;    /* of this run, before it began anew; NULL: it did not */
    const char *spared_run; /* of a live run, or what stands for its id where statements are
                               printed; else NULL */
};

/* Settles the dead letters and writes the end of the run into its record, with a new connection
 * where the old one is lost, for as long as the run's retry_for. The record is finished even where
 * the letters cannot be settled. False, with err set: not all of it could be done. */
bool command_record_end(struct run *run, struct state *state, struct error *err);

#endif
