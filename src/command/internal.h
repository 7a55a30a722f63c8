/* What the commands share. */
#ifndef PGSWEEP_COMMAND_INTERNAL_H
#define PGSWEEP_COMMAND_INTERNAL_H

#include "pgsweep/command.h"
#include "pgsweep/db.h"
#include "pgsweep/files.h"
#include "pgsweep/policy.h"
#include "pgsweep/report.h"
#include "pgsweep/sweep.h"

/* The policy named on the command line with everything that overrides it; SWEEP_USAGE, with the
 * nearest name, when there is none. Owned by ctx. */
bool command_load_policy(const void *ctx, const struct cli_options *options, struct policy **policy,
                         struct error *err);

/* Refuses variables of the environment that look like settings of pgsweep and are none
 * (SWEEP_USAGE); those that can only be about another policy than this one (NULL: about none) give
 * a warning on standard error. */
bool command_check_environment(const void *ctx, const struct cli_options *options,
                               const char *policy, struct error *err);

/* Whether there is a policy of that name; its file may be broken. */
bool command_is_policy(const void *ctx, const struct cli_options *options, const char *name);

/* Adds what a failed run means: who is in the way, and that nothing (more) was deleted. */
void command_explain_failure(const struct report *report, struct error *err);

/* After a signal, before anything was deleted: a failure that is no more than the end of a wait for
 * the database becomes a remark of a stopped run. False: it is another one. db: or NULL. */
bool command_note_stopped(const struct cli_options *options, struct report *report,
                          const struct db *db, struct error *err);

/* Records a live run that was refused before it began (err: SWEEP_USAGE or SWEEP_REFUSED; else
 * nothing is done), where there is a state schema. policy NULL: its file is broken. report, db:
 * NULL where it did not come to one. Says nothing. */
void command_record_refusal(const struct cli_options *options, const struct policy *policy,
                            const struct report *report, struct db *db, const struct error *err);

/* For how long files in working directories stay: as the policy says of them, or as long as its
 * rows; in a form that can be understood without a database. */
bool command_settle_retention(struct policy *policy, struct db *db, struct error *err);

/* Refuses options that do not go with a policy for rows, or not with each other (SWEEP_USAGE). */
bool command_check_row_options(const struct cli_options *options, const struct policy *policy,
                               struct error *err);

/* How long a statement of pgsweep may take, and how long it waits for a lock. */
extern const struct db_limits command_limits;

/* The connection that the command line asks for, with these limits. Owned by ctx. */
bool command_connect(const void *ctx, const struct cli_options *options,
                     const char *application_name, const struct db_limits *limits, struct db **db,
                     struct error *err);

/* How long the database is to be tried when it is away, in milliseconds; 0: once. */
bool command_retry_for(const struct setting *retry_for, int64_t *ms, struct error *err);

/* A run or a command that may have to begin anew. */
struct again {
    bool conflicts; /* also after a deadlock or a conflict with other transactions */
    int64_t retry_for_ms;
    int64_t end_ms; /* of the tries; counts from the first failure */
    int attempts;   /* that failed */
};

/* Decides whether what failed is to be done again, and waits before it. db: the connection, or NULL
 * when there is none. False: it failed for good, or a signal came, or the time is over. */
bool command_again(struct again *again, const struct db *db, bool quiet, const struct error *why);

/* One try of a command. */
struct attempt {
    const struct cli_options *options;
    void *ctx; /* freed after the try */
    struct db *db;
    struct again *again;
};

/* What a command does with the connection. It prints nothing before it has succeeded: after a
 * failure that passes by itself it is done again from its beginning. */
typedef bool command_work(const struct attempt *attempt, void *arg, struct error *err);

/* Connects and does the work, again and again for up to retry_for while the database is away. */
bool command_patiently(const struct cli_options *options, const struct setting *retry_for,
                       const char *application_name, command_work *work, void *arg,
                       struct error *err);

/* --retry-for, for a command without a policy. */
struct setting command_retry_option(const struct cli_options *options);

/* Makes a change with one statement, in a transaction of its own, and makes it once: where the
 * answer to its COMMIT is lost, the database is asked what became of the transaction. rows: what
 * the statement returned. False after a lost connection: it did not take effect, or nobody can tell
 * (then err says so). */
bool command_change(const struct attempt *attempt, const char *sql, int nparams,
                    const char *const *params, struct db_rows **rows, struct error *err);

/* Looks at all roots, patterns and protected directories of the policy; SWEEP_USAGE, with where it
 * was given, when one is unsafe or could not mean what was meant. *found: how many of the roots
 * exist. Fills in report->file_roots, and remarks on what does not exist. */
bool command_check_roots(const struct policy *policy, const struct files_options *how,
                         struct report *report, size_t *found, struct error *err);

/* Looks at the patterns and directories that are to be protected below these roots; SWEEP_USAGE,
 * with where it was given and what to write, for one that would protect nothing or hardly means
 * what was meant. Remarks on what does not exist. */
bool command_check_protections(const struct policy_file_rules *rules, const char *const *roots,
                               size_t count, struct report *report, struct error *err);

/* Opens the log and the metrics file that the options ask for: before anything is deleted. */
bool command_open_outputs(const struct cli_options *options, struct report *report,
                          struct error *err);

/* Refuses a run whose clocks cannot be right (see clock.h), unless the policy or an option says
 * that they are. The host's own; then the database's, with its time (owned by db) and whether it is
 * a standby; then, for files, whether everything in a root looks expired because the clock is
 * wrong. A command that deletes nothing is not refused. */
bool command_check_host_clock(const struct cli_options *options, const struct policy *policy,
                              struct error *err);
bool command_check_database_clock(const struct cli_options *options, const struct policy *policy,
                                  struct db *db, const char **now, bool *standby,
                                  struct error *err);
bool command_check_idle_roots(const struct cli_options *options, const struct policy *policy,
                              const struct files_options *how, struct error *err);

/* True when each deleted row or file is to be logged. */
bool command_logs_each(const struct cli_options *options);

/* Prints rows of the state schema: as JSON, or for people as a table or, upright, a line for each
 * column. */
void rows_print(void *ctx, const struct db_rows *rows, bool json, bool upright);

/* {"ids": [...]}: the first column of the rows. */
void rows_print_ids(const struct db_rows *rows);

/* pgsweep objects drain [POLICY]: one try. report: of all tries together. */
bool command_drain(const struct attempt *attempt, struct report *report, const char *policy,
                   struct error *err);

/* pgsweep POLICY for a policy of kind files. Returns the exit code. */
int command_sweep_files(const struct cli_options *options, struct policy *policy,
                        struct error *err);

/* Whether a superuser is to be warned; SWEEP_USAGE when PGSWEEP_SUPERUSER says neither "warn" nor
 * "allow". */
bool command_warns_superuser(bool *warns, struct error *err);

/* The warning, on standard error. */
void command_warn_superuser(const struct plan *plan);

/* pgsweep show POLICY --sql. Returns the exit code. */
int command_show_sql(const struct cli_options *options, struct policy *policy, struct error *err);

/* Prints the statements of a run of the plan in their order, for people; sends none. */
void statements_print(struct db *db, const struct plan *plan, const struct sweep_budget *budget,
                      FILE *out);

/* Ends a run: closes the report (ok: it came to its end; else err says why not, and gets the run's
 * id in front), prints it, its alerts and its metrics as the options say, and returns the exit
 * code. */
int command_tell(const struct cli_options *options, struct report *report, bool ok,
                 struct error *err);

#endif
