/*
 * Effects: the only way in which pgsweep changes the world. Every statement that writes passes the
 * gate of this module, which is shut in a dry run; so does the run record in the state schema. */
#ifndef PGSWEEP_EFFECTS_H
#define PGSWEEP_EFFECTS_H

#include <stdbool.h>

#include "pgsweep/db.h"
#include "pgsweep/error.h"
#include "pgsweep/report.h"

struct effects;

/* Opens the gate (or keeps it shut: dry_run). Owned by ctx. */
struct effects *effects_open(const void *ctx, struct db *db, bool dry_run);

/* db_batch through the gate. In a dry run it refuses with SWEEP_INTERNAL: that it is called at all
 * is a mistake of the program. */
bool effects_batch(struct effects *effects, const void *ctx, struct db_step *steps, int count,
                   int *failed, struct error *err);

struct files_options;

/* Fills in what the rules say; the arrays are owned by ctx, the texts borrowed. What needs a clock,
 * the system's users or a file system (retain, owner, min_free) is left to the caller. */
void file_rules_apply(const void *ctx, const struct policy_file_rules *rules,
                      struct files_options *options);

/* The rules of working directories as text that file_rules_read takes, in ASCII; NULL: nothing but
 * the defaults. Owned by ctx. */
char *file_rules_write(const void *ctx, const struct policy_file_rules *rules);

/* The opposite. False when the text is damaged. */
bool file_rules_read(const void *ctx, const char *text, struct policy_file_rules *rules);

/* Keeps what other rules keep, too. Retentions are left to the caller. */
void file_rules_tighten(const void *ctx, struct policy_file_rules *rules,
                        const struct policy_file_rules *more);

/* The version of the state schema that this program needs. */
enum { STATE_VERSION = 2 };

/* Checks that the state schema is there, new enough, and usable by the role; SWEEP_USAGE with the
 * way out ("pgsweep init", the GRANT) when not. */
bool state_check(struct db *db, struct error *err);

/* Creates or upgrades the state schema in one transaction; grants its use to role when not NULL. */
bool state_init(struct db *db, const char *role, struct error *err);

/* The GRANTs that let the role (its name, not quoted) use the state schema, without the last
 * semicolon; owned by ctx. */
char *state_grants_sql(const void *ctx, struct db *db, const char *role);

/* The SQL that state_init runs, owned by ctx; role as there. db may be NULL when role is NULL. */
char *state_init_sql(const void *ctx, struct db *db, const char *role);

/* The advisory lock of a policy or a queue: its key in this database. */
int64_t run_lock_key(const char *name);

/* The application_name of a run, "pgsweep/POLICY/RUN-ID", owned by ctx. The server cuts it after 63
 * bytes: a policy's name is shortened to what leaves the run's id whole, since a run finds its own
 * lost session by it. */
char *run_application_name(const void *ctx, const char *policy, const char *run_id);

/* Takes the lock of a policy (the name must live as long as the effects); SWEEP_LOCKED when another
 * run holds it, with who that is. Through a pooler the lock is a lease, which a run that was killed
 * cannot give back: it is waited for as long as it is not renewed, at most 70 seconds. */
bool run_lock(struct effects *effects, const char *policy, struct error *err);

/* Gives the lock back at the end of a run. The server would do so when the session ends, but that
 * may be some time after this process has ended, and a run right after this one must not be
 * refused. Failures do not matter. */
void run_unlock(struct effects *effects, const char *policy);

/* Takes the lock again after the connection was lost. A session of this very run that the server
 * has not given up yet is terminated first. Waits up to wait_ms. */
bool run_lock_again(struct effects *effects, const char *policy, const char *run_id,
                    int64_t wait_ms, struct error *err);

/* What a transaction fails with when another run has taken over the lock of this one. */
#define RUN_LOCK_LOST "PS001"

/* Waits between transactions, and keeps the lease alive; every wait of a second or more has to be
 * done so. Ends early on a signal. A lease that is lost, the next transaction finds out. */
void effects_wait(struct effects *effects, int64_t ms);

/* A new run id: time and randomness, "20261121T030000-1f2e3d4c", owned by ctx. */
char *run_new_id(const void *ctx);

/* Marks runs of the policy that never finished as interrupted and adds a remark about each to the
 * report. Call with the lock held. */
bool run_note_unfinished(struct effects *effects, struct report *report, struct error *err);

/* Inserts the run's record. Sets report->started and recorded. */
bool run_begin(struct effects *effects, struct report *report, struct error *err);

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
void run_record_refused(struct db *db, const struct run_refusal *refusal);

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
bool run_make_durable(struct effects *effects, const struct report *report, struct error *err);

/* After a lost connection: how many chunks of the run are recorded, which is how many took effect,
 * and the rows by node as recorded. */
bool run_read_back(struct effects *effects, const struct report *report, int64_t *chunks,
                   int64_t *deleted, struct error *err);

/* INSERT INTO the object queue of what select (a SELECT of one text column called value) finds.
 * Parameters from number first on: run id, policy, source, kind ("object", "directory"), root (of
 * directories, else NULL), rules (file_rules_write of directories, else NULL), endpoint and bucket
 * (queue_binding), prefixes of keys (an array; NULL: none stated). */
enum { QUEUE_PARAMS = 9 };
void queue_append_insert(PQExpBuffer out, const char *select, int first);

/* The store and bucket that the environment names: objects that are queued now belong to them. NULL
 * where it names none, or where it cannot be understood; a drain says so. Owned by ctx. */
void queue_binding(const void *ctx, const char **endpoint, const char **bucket);

/* False where PGSWEEP_S3_ALIASES cannot be right: a row that names an object by such a URL would
 * not protect it. */
bool queue_check_settings(struct error *err);

/* The key of the dead letter of an entry of the queue, as SQL over its columns: the whole value,
 * and what else distinguishes it from others of the same value. Owned by ctx. */
char *queue_letter_key(const void *ctx);

/* Writes down which columns name objects and directories, for the look before an object is deleted.
 */
bool queue_note_sources(struct effects *effects, const struct report *report, struct error *err);

/* What keys of a column must begin with. */
struct queue_bound {
    const char *policy;
    const char *column;    /* without quotes: public.t.c, or as the policy has it, t.c */
    const char **prefixes; /* none: not stated */
    size_t prefix_count;
};

struct queue_bounds {
    struct queue_bound *all;
    size_t count;
};

/* Adds what the policy states about its columns. Owned by ctx. */
void queue_bounds_add(const void *ctx, struct queue_bounds *bounds, const struct policy *policy);

/* Deletes the objects whose keys are queued and due (policy NULL: of all policies), and adds to the
 * report's objects. What the store refuses stays queued, with a remark: that is no error, but
 * report_objects_failed counts. So does a key outside of what the entry, the column as the latest
 * run noted it, or stated (NULL: nothing more) allow. Objects that were queued for another store or
 * bucket stay as they are. Must not be called inside a transaction. False: the database failed. */
bool queue_drain(struct effects *effects, struct report *report, const char *policy,
                 const struct queue_bounds *stated, struct error *err);

/* The same for the working directories that are queued. present: the policies as this host has them
 * now, with their retention settled. Only what is queued below the root that its own policy among
 * these names is removed, by whichever is stricter of the rules in the queue and of the policy's;
 * the rest stays queued. What is in use or protected stays; a name that could lead out of its root
 * is refused and reported. */
bool queue_drain_directories(struct effects *effects, struct report *report, const char *policy,
                             const struct policy *const *present, size_t present_count,
                             struct error *err);

/* The statement by which a run writes down which rows it spares, and a sentence of what it is for;
 * owned by ctx. NULL: there is none. Parameter: the cutoff. */
char *spared_record_sql(const void *ctx, struct db *db, const struct plan *plan, char **why);

/* Writes down which rows the run spares, where its own deletions could make them candidates
 * (plan->spared_run); else does nothing. On the server's disk when it returns true. May be called
 * again. */
bool spared_record(struct effects *effects, const struct plan *plan, struct error *err);

/* Removes what runs of the policy wrote down, this one and earlier ones. Call with the lock held.
 */
bool spared_forget(struct effects *effects, const struct plan *plan, struct error *err);

/* A candidate could not go: one more attempt for its dead letter (of this run: one, however often
 * it is noted). attempts: of all runs; parked: that was the last. key: the values of the plan's key
 * columns. On the server's disk when it returns true. */
bool letter_note(struct effects *effects, const struct report *report, const char *const *key,
                 const struct error *why, int64_t *attempts, bool *parked, struct error *err);

/* Closes letters of the policy whose row is gone or no candidate any more. */
bool letter_close_settled(struct effects *effects, const struct plan *plan, struct error *err);

/* How many letters of the policy wait or are parked. */
bool letter_depth(struct db *db, const char *policy, int64_t *depth, struct error *err);

/* A row is tried once, and again by this many later runs; then its letter is parked. */
enum { LETTER_RETRIES = 3 };

/* Reads, after the last transaction of a run that deleted something, how much WAL was written since
 * it began and what it leaves in the files of its tables, into report->space. One round trip, no
 * lock; what cannot be read stays unknown. */
void space_look(struct effects *effects, struct report *report);

/* Writes the end of the run into its record. */
bool run_finish(struct effects *effects, const struct report *report, struct error *err);

#endif
