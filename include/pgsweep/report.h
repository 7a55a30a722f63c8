/*
 * The report: the account of a run, and every way of telling it. It is filled by the sweep and
 * changes nothing anywhere else. */
#ifndef PGSWEEP_REPORT_H
#define PGSWEEP_REPORT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "pgsweep/error.h"
#include "pgsweep/plan.h"

struct files_report;
struct files_room;
struct output;

/* A candidate that could not go. */
struct report_failure {
    const char *key;   /* "(id)=(42)" */
    struct error *why; /* with the server's detail and hint, as far as they are shown */
};

/* A candidate that is left because of a row that another session has locked. */
struct report_locked {
    const char *key;   /* "(id)=(42)" */
    const char *table; /* of that row: the candidate's own, or one whose rows hang on it; NULL: it
                          is not known which */
};

/* How many of those are listed one by one. */
enum { REPORT_LOCKED_MAX = 20 };

/* Stored objects of the run, and those of earlier ones that it took along. */
struct report_objects {
    int64_t queued; /* keys that entered the queue with their rows */
    int64_t deleted;
    int64_t in_use;    /* not deleted: a row that stays names the object */
    int64_t foreign;   /* not deleted: not in a configured bucket; those of earlier runs too */
    int64_t outside;   /* not deleted: the key is outside the prefixes that the policy states; those
                          of earlier runs too */
    int64_t elsewhere; /* not deleted: queued for another store or bucket than the configured one,
                          or for none */
    int64_t held;      /* not deleted: it is not known whether a row names the object */
    int64_t failed;    /* will be tried again */
    int64_t dead;      /* tried often enough: a dead letter now */
    int64_t waiting;   /* in the queue when the run ended; -1: not known */
};

/* Working directories of deleted rows. */
struct report_directories {
    int64_t queued;
    int64_t removed;         /* or not there any more */
    int64_t kept;            /* something in them is protected or too young, and stays */
    int64_t files_protected; /* that many, in these */
    int64_t files_young;
    int64_t in_use;    /* a row that stays has the same directory */
    int64_t refused;   /* not a name that may be acted on */
    int64_t elsewhere; /* below a root that is not the policy's own on this host */
    int64_t busy;      /* something in them is in use; will be tried again */
    int64_t failed;    /* will be tried again */
    int64_t dead;      /* tried often enough: a dead letter now */
    int64_t waiting;   /* in the queue when the run ended */
    int64_t bytes_freed;
};

/* How many failures are listed one by one; further ones are only counted. */
enum { REPORT_FAILURES_MAX = 100 };

/* What is left is counted up to here: more is "very many" to anybody. */
enum { REPORT_LEFT_MAX = 1000000 };

/* Whose WAL it is that was written while the run was on. */
enum report_wal {
    WAL_UNKNOWN,
    WAL_OF_RUN,   /* of the session of the run alone */
    WAL_OF_SERVER /* of all sessions: the run has written at most that much */
};
extern const char *const report_wal_names[]; /* as in pgsweep.runs; NULL: not known */

/* What the run leaves in the files of a table or partition. -1: not known. */
struct report_space_table {
    const char *table;
    bool partition;
    int64_t deleted; /* rows; of a partition as far as the statistics say */
    int64_t dead;    /* rows that the run deleted or changed and VACUUM has not removed */
    bool vacuumed;   /* VACUUM has been there since the run began */
    bool autovacuum; /* it will come by itself */
    int64_t bytes;   /* of the table with its TOAST table, without indexes, when the run began, by
                        statistics */
    int64_t rows;    /* in it then, by statistics */
};

/* A hint says how the disk gets the space back where a run has freed so much of a table: below
 * that, new rows use it soon. */
enum { SPACE_LARGE_BYTES = 64 * 1024 * 1024, SPACE_LARGE_PERCENT = 20 };

/* What the run cost in WAL, and leaves in the files of its tables. */
struct report_space {
    enum report_wal wal_of;
    int64_t wal_bytes;
    struct report_space_table *tables; /* in which rows were deleted or changed; NULL: not known */
    size_t table_count;
    const char *holder; /* has kept a snapshot since before the run: VACUUM can free nothing */
    /* As it was when the run began, as text; NULL: not known. */
    const char *backend, *wal_position, *session_wal, *began, *tables_then;
};

/* What a run waits for between chunks. */
enum report_wait {
    WAIT_REPLICA_LAG,
    WAIT_SLOT_WAL,
    WAIT_LOCK_WAITERS,
    WAIT_ACTIVE_SESSIONS,
    WAIT_SNAPSHOT_AGE,
    WAIT_CHECKPOINTS,
    WAIT_AUTOVACUUM,
    WAIT_CONDITION,
    WAIT_PAUSE_FILE,
    REPORT_WAITS
};
extern const char *const report_wait_names[]; /* the keys of "throttle"; ends with NULL */

struct report_waited {
    int64_t ms;       /* of several reasons at a time each has all of it */
    const char *last; /* what it was the last time, for people; NULL: it never was */
};

enum report_outcome {
    OUTCOME_RUNNING,
    OUTCOME_DONE,    /* everything eligible is gone (dry run: was counted) */
    OUTCOME_PARTIAL, /* finished; some items failed or were locked */
    OUTCOME_LIMIT,   /* stopped at a limit: max_rows, max_runtime, a window... */
    OUTCOME_STOPPED, /* by a signal */
    OUTCOME_ERROR,   /* ended by an error */
};
extern const char *const report_outcome_names[];

/* What report->counts holds. */
enum report_count_kind {
    COUNTED_NOT, /* nothing, or what was counted before the count was stopped */
    COUNTED_EXACTLY,
    COUNTED_ROUGHLY, /* estimates from statistics */
};
extern const char *const report_count_kind_names[];

struct report {
    const char *run_id;
    const struct policy *policy;
    const struct plan *plan; /* NULL when it did not come to one */
    bool dry_run;
    enum report_outcome outcome;
    int exit_code;
    bool recorded;       /* the run has a record in pgsweep.runs */
    const char *started; /* the database's clock, timestamp with time zone */
    int64_t duration_ms;
    enum report_count_kind counted;
    const char *count_limit;   /* live: the limit that stopped the count ("30 s"); NULL: none */
    struct plan_counts counts; /* a negative number: not counted */
    int64_t *deleted;          /* rows deleted or detached, by node index; NULL without a plan */
    int64_t spared_late;       /* candidates that were none any more when they were locked */
    int64_t failed;
    struct report_failure *failures;
    size_t failure_count;
    struct report_locked *locked; /* some of those that are left because they are locked */
    size_t locked_count;
    int64_t
        left_locked; /* candidates that other sessions kept locked; roots that other sweeps held */
    bool looked_up;  /* after the last transaction it was asked, or known, what is still there */
    int64_t left;    /* candidates that a limit left, counted after the last transaction, up to
                        REPORT_LEFT_MAX */
    int64_t chunks;  /* transactions that were committed */
    int64_t retries;
    int64_t waited_ms; /* between chunks, because "throttle" said so */
    struct report_waited waited[REPORT_WAITS];
    struct report_objects objects;
    struct report_directories directories;
    struct report_space space;
    bool undrained; /* objects or directories wait, and could not be dealt with at all */
    const struct files_report *files; /* of a policy of kind files; NULL: of rows */
    const struct files_room *rooms;   /* with min_free: of each root of the policy; else NULL */
    const char *file_roots;           /* where, and older than what: for the heading */
    const char *file_cutoff;
    int64_t letter_depth; /* dead letters of the policy that wait or are parked; -1: not known */
    const char **alerts;
    size_t alert_count;
    const char *limit;        /* which limit stopped the run; NULL: none */
    const char *limit_detail; /* about that limit: "it is 07:12 in UTC"; NULL: nothing */
    bool not_begun;         /* the limit was there when the run started: nothing was done at all */
    int signal;             /* that stopped the run; 0: none */
    struct error error;     /* that ended the run */
    FILE *log;              /* where log lines go; NULL: standard error */
    struct output *metrics; /* where the metrics go; NULL: nowhere */
    const char **remarks;   /* what happened on the way and a person should know */
    size_t remark_count;
};

/* A zeroed report owned by ctx. */
struct report *report_new(const void *ctx, const struct policy *policy, bool dry_run);

/* An empty report of the same run, which begins anew; it takes the log and the metrics file over.
 */
struct report *report_anew(const void *ctx, struct report *before);

/* Gives the report its plan and room for the counts by node; nothing is counted yet. */
void report_set_plan(struct report *report, const struct plan *plan);

/* Forgets what was counted: no number is known. */
void report_uncount(struct report *report);

/* How many candidates the run is going to take: those that are eligible, and at most max_rows.
 * Negative: not known. *at_most: it is max_rows, and how many are eligible is not known. */
int64_t report_goal(const struct report *report, bool *at_most);

/* "2 s: 2 s for lock_waiters (...)", owned by ctx: how long the run waited, and why. */
char *report_waited_text(const void *ctx, const struct report *report);

/* Records a candidate that could not go. */
void report_add_failure(struct report *report, const char *key, const struct error *err);

/* Names a candidate that is left because rows of the table are locked. */
void report_add_locked(struct report *report, const char *key, const char *table);

/* Adds a remark, unless it has been made already. */
void report_remark(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same about a queue that could not be drained: the exit code is 1 then. */
void report_note_undrained(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds alerts for what the policy's limits say: too many failed, too many dead letters. */
void report_check_alerts(struct report *report);

/* The difference between the candidates that were counted before the run and those of which the
 * report says what became of them: the sum that makes its numbers add up. Positive: they were
 * renewed, spared or deleted by others before the run came to them; negative: so many became
 * eligible after the count. False: it is not known, as either was not counted. */
bool report_changed(const struct report *report, int64_t *rows);

/* Candidates that were dealt with, one way or the other. */
int64_t report_processed(const struct report *report);

/* The name under which the policy counts the rows of the node, and the rows of all nodes of that
 * name; NULL when it has none, or an earlier node has the same. */
const char *report_counted(const struct report *report, size_t node, int64_t *sum);

/* Makes sure, before a run, that the metrics can be written to this file (see output.h).
 * SWEEP_REFUSED or SWEEP_USAGE if not. */
bool report_open_metrics(struct report *report, const char *path, struct error *err);

/* Writes the report as Prometheus metrics to the file that was opened, atomically (a new file that
 * replaces the old one). The time of the last success is carried over from the old file when this
 * run was none. False when the file cannot be written. */
bool report_write_metrics(const struct report *report, struct error *err);

/* Objects that were not deleted although no row names them, or because that is not known. */
int64_t report_objects_failed(const struct report *report);

/* Working directories that did not go as they should have. Not those in use or protected: that is
 * as it should be. */
int64_t report_directories_failed(const struct report *report);

/* Which share of the rows of the table was deleted (0 to 1), and about how many bytes of its files
 * they took. -1: not known. */
double report_space_share(const struct report_space_table *table);
int64_t report_space_freed(const struct report_space_table *table);

/* Enough for a hint (SPACE_LARGE_BYTES and SPACE_LARGE_PERCENT). */
bool report_space_is_large(const struct report_space_table *table);

/* How much of the table came free, when it can be used again, and how the disk gets it back; NULL
 * where that is not much. Owned by ctx. */
char *report_space_hint(const void *ctx, const struct report *report,
                        const struct report_space_table *table);

/* Dead rows of all tables; -1: not known. */
int64_t report_space_dead(const struct report *report);

/* Sets outcome and exit code from what the report holds. */
void report_close(struct report *report);

/* How a report is printed. */
enum report_format { REPORT_TEXT, REPORT_JSON };
extern const char *const report_format_names[]; /* ends with NULL */

/* Prints the report: for a dry run the plan tree with counts, for a live run the summary; or one
 * JSON document. Errors are not part of the text form (main prints them on standard error). */
void report_print(const struct report *report, enum report_format format, FILE *out);

/* The parts of the above. */
void report_print_tree(const struct report *report, FILE *out);
void report_print_summary(const struct report *report, FILE *out);
void report_print_files(const struct report *report, FILE *out);
void report_print_space(const struct report *report, FILE *out);
void report_print_json(const struct report *report, FILE *out);

/* Progress of a live run on standard error. */
struct progress {
    bool terminal;      /* one line, redrawn; otherwise a line now and then */
    bool quiet;         /* nothing at all */
    int64_t started_ms; /* monotonic */
    int64_t shown_ms;
    int64_t waits_ms; /* since when the run waits, but for short breaks; 0: it never has */
    int64_t wait_ms;  /* when it waited last */
    int64_t told_ms;  /* when the log last said that it waits; 0: never */
    bool drawn;
};

/* Starts it; quiet as asked, terminal as standard error is one. */
void progress_start(struct progress *progress, bool quiet);

/* How far a run is that began elapsed_ms ago: "12 of 20 rows (60%), 5 rows/s, 2 s left", owned by
 * ctx. */
char *progress_text(const void *ctx, const struct report *report, int64_t elapsed_ms);

/* Tells how far the run is, if it is time to. */
void progress_show(struct progress *progress, const struct report *report);

/* Tells that the run waits, and why: on a terminal in the line, and in the log at most once a
 * minute. Quiet: in a log file only. */
void progress_wait(struct progress *progress, const struct report *report, const char *why);

/* Takes the line off the terminal, for other output. */
void progress_clear(struct progress *progress);

/* Log lines are appended to this file from now on. SWEEP_USAGE when it cannot be opened,
 * SWEEP_REFUSED when others could have chosen what it is (see output.h). */
bool report_open_log(struct report *report, const char *path, struct error *err);

/* Closes it, if there is one. False when not all of it could be written. */
bool report_close_log(struct report *report);

/* A log line: time, run id, policy, text. */
void report_log(const struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#endif
