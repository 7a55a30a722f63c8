/* The record of a run, in pgsweep.runs. */
#ifndef PGSWEEP_STATE_RUNS_H
#define PGSWEEP_STATE_RUNS_H

#include <stdbool.h>
#include <stdint.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct state;

/* A new run id: time and randomness, "20261121T030000-1f2e3d4c", owned by ctx. */
char *run_new_id(const void *ctx);

/* Marks runs of the policy that never finished as interrupted and adds a remark about each to the
 * report. Call with the lock held. */
bool run_note_unfinished(struct state *state, struct report *report, struct error *err);

/* Inserts the run's record. Sets report->started and recorded. */
bool run_begin(struct state *state, struct report *report, struct error *err);

/* A live run that was refused before it began. */
struct run_refusal {
    const char *run_id;
    const char *name;            /* of the policy */
    const struct policy *policy; /* NULL: it could not be read */
    const char *cutoff;          /* NULL: it did not come to one */
    const struct error *why;
};

/* Records it, where the state schema is there and this role may. Nothing is said where that fails:
 * what matters is the refusal itself. */
void run_record_refused(struct state *state, const struct run_refusal *refusal);

/* How statements of one transaction pass numbers on to its last one, the run's record, without a
 * round trip: in settings that end with the transaction. Wraps rows (a SELECT, or a DELETE or
 * UPDATE with RETURNING) so that it returns one row with their number, and adds that to the node's.
 * Owned by ctx, as all that follows. */
char *run_counted_sql(const void *ctx, int node, const char *rows);

/* Rows that a foreign key deletes along with the candidates have no command tag: they are what the
 * session's own counter of rows deleted from their table grows by. The first statement notes the
 * counters (parameters: oids of the tables, their nodes; node 0 is the candidates'); the second,
 * after the candidates are deleted, returns the growth for node and makes it the node's number
 * (parameters: oid of its table, oid of the candidates' table, how many candidates). It fails
 * unless the counter of the candidates' table has grown by exactly these: then the session does not
 * count. */
char *run_note_counters_sql(const void *ctx);
char *run_count_cascaded_sql(const void *ctx, int node);

/* A statement that fails unless the number of the node equals parameter $1: a last look before
 * COMMIT. */
char *run_assertion_sql(const void *ctx, int node);

/* A statement that fails when the number of the node is greater than the one counted under
 * "locked". */
char *run_assert_locked_sql(const void *ctx, int node, int locked);

/* Room for the parameters of the statements that record a transaction: one more chunk, and rows by
 * table. */
enum { RUN_RECORD_PARAMS = 3 };

/* The statement that records the numbers in the settings. Parameters: run_record_params (there is
 * room for RUN_RECORD_PARAMS), which returns how many. */
struct db_statement run_record(const void *ctx);
int run_record_params(const void *ctx, const struct report *report, const char **params);

/* The same for numbers that the caller counted: rows by node index. */
struct db_statement run_record_counted(const void *ctx);
int run_counted_params(const void *ctx, const struct report *report, const int64_t *rows,
                       const char **params);

/* For a single statement that deletes rows of the root as "gone" and records that: the UPDATE of
 * the run's record. Parameters from number first on: run id, the root's label, how many rows there
 * may be at most: with more it fails, with RUN_TOO_MANY in the message. */
#define RUN_TOO_MANY "pgsweep: more rows than "
char *run_record_gone_sql(const void *ctx, int first);

/* Makes all that the run has committed so far durable: one commit that waits for the disk. */
bool run_make_durable(struct state *state, const struct report *report, struct error *err);

/* After a lost connection: how many chunks of the run are recorded, which is how many took effect,
 * and the rows by node as recorded. */
bool run_read_back(struct state *state, const struct report *report, int64_t *chunks,
                   int64_t *deleted, struct error *err);

/* Writes the end of the run into its record. */
bool run_finish(struct state *state, const struct report *report, struct error *err);

#endif
