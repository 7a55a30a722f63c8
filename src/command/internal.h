/* Functions that the commands share. */
#ifndef PGSWEEP_COMMAND_INTERNAL_H
#define PGSWEEP_COMMAND_INTERNAL_H

#include "pgsweep/command.h"
#include "pgsweep/db.h"
#include "pgsweep/files.h"
#include "pgsweep/policy.h"
#include "pgsweep/report.h"
#include "pgsweep/sweep.h"

/* Loads the policy named on the command line with everything that overrides it. If there is none:
 * SWEEP_USAGE, with the nearest name. Owned by ctx. */
bool command_load_policy(const void *ctx, const struct cli_options *options, struct policy **policy,
                         struct error *err);

/* Refuses environment variables that look like settings of pgsweep but are not (SWEEP_USAGE). One
 * that can only be about another policy than this one (NULL: no policy) gives a warning on standard
 * error. */
bool command_check_environment(const void *ctx, const struct cli_options *options,
                               const char *policy, struct error *err);

/* Whether there is a policy of that name; its file may be broken. */
bool command_is_policy(const void *ctx, const struct cli_options *options, const char *name);

/* Adds to err what the failure means for the user: which session is in the way, and that nothing
 * (more) was deleted. */
void command_explain_failure(const struct report *report, struct error *err);

/* After a signal and before anything was deleted: if the failure is only that a wait for the
 * database was ended, turns it into a remark of a stopped run. False: it is another failure. db may
 * be NULL. */
bool command_note_stopped(const struct cli_options *options, struct report *report,
                          const struct db *db, struct error *err);

/* Records a live run that was refused before it began (err: SWEEP_USAGE or SWEEP_REFUSED; otherwise
 * does nothing), if there is a state schema. policy is NULL if its file is broken; report and db
 * are NULL if the run ended before it had them. Prints nothing. */
void command_record_refusal(const struct cli_options *options, const struct policy *policy,
                            const struct report *report, struct db *db, const struct error *err);

/* Settles the retention of files in working directories: their own, or that of the rows, in a form
 * that needs no database to understand. */
bool command_settle_retention(struct policy *policy, struct db *db, struct error *err);

/* Refuses options that are not valid for a policy about rows, or not with each other
 * (SWEEP_USAGE). */
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
    int64_t end_ms; /* the end of the retries, which are timed from the first failure; 0: no failure
                       yet */
    int attempts;   /* failed attempts */
};

/* Decides whether to retry what failed, and waits before the retry. db: the connection, or NULL if
 * there is none. False: the failure is permanent, a signal came, or the time is over. */
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

/* Checks all roots, patterns and protected directories of the policy. If one is unsafe or probably
 * a mistake: SWEEP_USAGE, with the place where it was given. *found: how many of the roots exist.
 * Fills report->file_roots, and adds a remark about each one that does not exist. */
bool command_check_roots(const struct policy *policy, const struct files_options *how,
                         struct report *report, size_t *found, struct error *err);

/* Checks the patterns and directories that are protected below these roots. If one would protect
 * nothing or is probably a mistake: SWEEP_USAGE, with the place where it was given and what to
 * write. Adds a remark about each one that does not exist. */
bool command_check_protections(const struct policy_file_rules *rules, const char *const *roots,
                               size_t count, struct report *report, struct error *err);

/* Opens the log and the metrics file that the options ask for. To be called before anything is
 * deleted. */
bool command_open_outputs(const struct cli_options *options, struct report *report,
                          struct error *err);

/* These three refuse a run whose clocks cannot be right (see clock.h), unless the policy or an
 * option trusts them: the host's own clock; the database's clock, with its time (owned by db) and
 * whether it is a standby; and, for files, whether everything in a root looks expired because the
 * clock is wrong. A command that deletes nothing is not refused. */
bool command_check_host_clock(const struct cli_options *options, const struct policy *policy,
                              struct error *err);
bool command_check_database_clock(const struct cli_options *options, const struct policy *policy,
                                  struct db *db, const char **now, bool *standby,
                                  struct error *err);
bool command_check_idle_roots(const struct cli_options *options, const struct policy *policy,
                              const struct files_options *how, struct error *err);

/* Whether each deleted row or file is to be logged. */
bool command_logs_each(const struct cli_options *options);

/* Prints rows of the state schema: as JSON, or for people as a table or (upright) with one line per
 * column. */
void rows_print(void *ctx, const struct db_rows *rows, bool json, bool upright);

/* Prints the first column of the rows as {"ids": [...]}. */
void rows_print_ids(const struct db_rows *rows);

/* pgsweep objects drain [POLICY]: one try. report: of all tries together. */
bool command_drain(const struct attempt *attempt, struct report *report, const char *policy,
                   struct error *err);

/* pgsweep POLICY for a policy of kind files. Returns the exit code. */
int command_sweep_files(const struct cli_options *options, struct policy *policy,
                        struct error *err);

/* *warns: whether a superuser is to be warned. SWEEP_USAGE if PGSWEEP_SUPERUSER is neither "warn"
 * nor "allow". */
bool command_warns_superuser(bool *warns, struct error *err);

/* Prints the warning on standard error. */
void command_warn_superuser(const struct plan *plan);

/* pgsweep show POLICY --sql. Returns the exit code. */
int command_show_sql(const struct cli_options *options, struct policy *policy, struct error *err);

/* Prints the statements of a run of the plan in their order, for people, and sends none. */
void statements_print(struct db *db, const struct plan *plan, const struct sweep_budget *budget,
                      FILE *out);

/* Ends a run: closes the report (ok: the run completed; otherwise err says why not, and the run's
 * id is put in front of its message), prints the report, its alerts and its metrics as the options
 * ask, and returns the exit code. */
int command_tell(const struct cli_options *options, struct report *report, bool ok,
                 struct error *err);

#endif
