/* A run of a policy for rows: the struct that the files of this room share. */
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
    bool recording;         /* the record of the run may exist */
    bool begun;             /* the sweep has begun: from here on the run does not start again */
    const char *last_id;    /* the id of this run before it started again; NULL: it did not */
    const char *spared_run; /* the id of a live run, or a placeholder where statements are only
                               printed; otherwise NULL */
};

/* Settles the dead letters and writes the end of the run into its record. If the connection is
 * lost, tries again with a new one for at most the run's retry_for. The record is finished even if
 * the dead letters cannot be settled. False, with err set, if any part failed. */
bool command_record_end(struct run *run, struct state *state, struct error *err);

#endif
