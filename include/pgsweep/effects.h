/*
 * Effects: the only way in which pgsweep changes the world. Every statement that writes passes the
 * gate of this module, which is shut in a dry run; so does the run record in the state schema.
 */
#ifndef PGSWEEP_EFFECTS_H
#define PGSWEEP_EFFECTS_H

#include <stdbool.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct effects;

/* Opens the gate (or keeps it shut: dry_run). Owned by ctx. */
struct effects *effects_open(const void *ctx, struct db *db, bool dry_run);

/* db_batch through the gate. In a dry run it refuses with SWEEP_INTERNAL: that it is called at all is
 * a mistake of the program. */
bool effects_batch(struct effects *effects, const void *ctx, struct db_step *steps, int count,
                   int *failed, struct error *err);

/* The version of the state schema that this program needs. */
enum { STATE_VERSION = 1 };

/* Checks that the state schema is there, new enough, and usable by the role; SWEEP_USAGE with the way
 * out ("pgsweep init", the GRANT) when not. */
bool state_check(struct db *db, struct error *err);

/* Creates or upgrades the state schema in one transaction; grants its use to role when not NULL. */
bool state_init(struct db *db, const char *role, struct error *err);

/* The SQL that state_init runs, owned by ctx; role as there. db may be NULL when role is NULL. */
char *state_init_sql(const void *ctx, struct db *db, const char *role);

/* The advisory lock of a policy: its key in this database. */
int64_t run_lock_key(const char *policy);

/* Takes the lock; when another session holds it, SWEEP_LOCKED with who that is. */
bool run_lock(struct db *db, const char *policy, struct error *err);

/* Takes the lock again after the connection was lost. A session of this very run that the server has
 * not given up yet is terminated first. Waits up to wait_ms. */
bool run_lock_again(struct db *db, const char *policy, const char *run_id, int64_t wait_ms,
                    struct error *err);

/* A new run id: time and randomness, "20261121T030000-1f2e3d4c", owned by ctx. */
char *run_new_id(const void *ctx);

/* Marks runs of the policy that never finished as interrupted and adds a remark about each to the
 * report. Call with the lock held. */
bool run_note_unfinished(struct effects *effects, struct report *report, struct error *err);

/* Inserts the run's record. Sets report->started. */
bool run_begin(struct effects *effects, struct report *report, struct error *err);

/* A step that records the chunk in its transaction: chunk number, rows by table (deleted as in the
 * report plus added, both by node index). Memory owned by ctx. */
struct db_step run_record_step(struct effects *effects, const void *ctx, const struct report *report,
                               const int64_t *added);

/* For a statement that deletes and records in one: appends "UPDATE pgsweep.runs ..." with the deleted
 * rows of the root raised by (SELECT count(*) FROM gone). Parameters from number first on:
 * run_record_params fills them. */
enum { RUN_RECORD_PARAMS = 4 };
void run_append_record(PQExpBuffer out, int first);
void run_record_params(const void *ctx, const struct report *report, const char **params);

/* After a lost connection: how many chunks of the run are recorded, which is how many took effect,
 * and the rows by table as recorded. */
bool run_read_back(struct effects *effects, const struct report *report, int64_t *chunks,
                   int64_t *deleted, struct error *err);

/* Writes the end of the run into its record. */
bool run_finish(struct effects *effects, const struct report *report, struct error *err);

#endif
