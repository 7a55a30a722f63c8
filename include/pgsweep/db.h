/*
 * The database connection: the only module that calls libpq. It knows sessions, statements and
 * results; it knows nothing of policies or plans. */
#ifndef PGSWEEP_DB_H
#define PGSWEEP_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pgsweep/error.h"

/* The oldest server that pgsweep supports, as server_version_num. */
enum { DB_OLDEST_SERVER = 120000 };

/* Session settings that depend on what is run; all in milliseconds, 0 for none. */
struct db_limits {
    int64_t lock_timeout_ms;
    int64_t statement_timeout_ms;
    int64_t idle_in_transaction_ms;
};

/* How to connect: what psql's options of the same names mean; NULL or empty leaves the choice to
 * libpq (environment, service file, password file, defaults). */
struct db_options {
    const char *dbname; /* a name, a conninfo string or a URI */
    const char *host;
    const char *port;
    const char *user;
    bool never_prompt;            /* -w */
    bool always_prompt;           /* -W */
    const char *application_name; /* what pg_stat_activity shows */
    bool echo;                    /* print every statement on standard error */
    struct db_limits limits;
};

struct db;

/* True when the environment or the options name a database to connect to (dbname, host, service).
 */
bool db_is_configured(const struct db_options *options);

/* Connects and sets the session up (see src/sql/session.sql): fixed search_path that
 * starts with pg_catalog and ends with pg_temp, TimeZone UTC, ISO dates, jit off, row_security off.
 * options is copied. Fails with SWEEP_UNREACHABLE (no connection; the SQLSTATE says whether the
 * server refused it) or SWEEP_USAGE (malformed conninfo, server too old). The connection is owned
 * by ctx and closed when it is freed. */
bool db_connect(const void *ctx, const struct db_options *options, struct db **db,
                struct error *err);

/* Tries once to connect again with the same options and set the session up again. The prepared
 * statements are prepared again as they are used. */
bool db_reconnect(struct db *db, struct error *err);

/* Changes application_name (at most 63 bytes are shown by the server), also for reconnections. */
bool db_set_application_name(struct db *db, const char *name, struct error *err);

/* Changes search_path, also for reconnections. path: quoted names with commas between them,
 * pg_catalog first, pg_temp last. */
bool db_set_search_path(struct db *db, const char *path, struct error *err);

/* While async, a COMMIT does not wait for the disk, also on reconnections: after a crash of the
 * server the last of them may be undone (none out of order). Any later commit that waits makes all
 * earlier ones durable. (Manual: "Asynchronous Commit".) */
bool db_set_async(struct db *db, bool async, struct error *err);
bool db_is_async(const struct db *db);

/* Plans every execution of a prepared statement for its parameters, also on reconnections: a
 * generic plan of a partitioned table locks every partition with every execution. */
bool db_set_custom_plans(struct db *db, bool custom, struct error *err);

/* Forgets the prepared statements of this connection, so that others may take their names. */
bool db_forget_statements(struct db *db, struct error *err);

/* What a commit that waits, waits for: the value of synchronous_commit. */
const char *db_synchronous_commit(const struct db *db);

/* Prints what is sent from now on, or no longer does. */
void db_set_echo(struct db *db, bool echo);

bool db_is_lost(const struct db *db);        /* the connection is broken */
bool db_in_transaction(const struct db *db); /* an open transaction, failed or not */
/* How far away the server is: the shortest time in microseconds that the answer to a db_query took
 * on this connection. Among the first statements of a session are some that cost the server next to
 * nothing. */
int64_t db_round_trip_us(const struct db *db);
/* How many times this program has waited for answers, on all connections: db_query and its like
 * wait once, db_batch twice where it prepares statements. */
int64_t db_round_trips(const struct db *db);
int db_server_version(const struct db *db);   /* as server_version_num: 150004 */
int db_backend_pid(const struct db *db);      /* of the current connection */
const char *db_database(const struct db *db); /* its name; owned by db */
const char *db_user(const struct db *db);     /* the login role; owned by db */
const char *db_where(const struct db *db);    /* "database X on host:port", for messages */

/* A statement. It is prepared on first use on each connection and must outlive the connection.
 * Text from a policy only ever gets to the server through one of these (extended protocol). */
struct db_statement {
    const char *name;       /* unique within the process, for the server's log */
    const char *sql;        /* parameters as $1, $2... with explicit casts */
    const char *why;        /* what it is for, in a sentence, for people; may be NULL */
    const char *parameters; /* "$1 cutoff, $2 how many rows", for people; may be NULL */
};

/* Rows of one result. Freed with talloc_free, or with their context. */
struct db_rows;
int db_rows_count(const struct db_rows *rows);
int db_rows_columns(const struct db_rows *rows);
/* The name of a column; owned by rows. */
const char *db_rows_name(const struct db_rows *rows, int column);
/* The value as text, or NULL for NULL; owned by rows. */
const char *db_rows_get(const struct db_rows *rows, int row, int column);
/* The value as a number; 0 for NULL. */
int64_t db_rows_int(const struct db_rows *rows, int row, int column);
bool db_rows_bool(const struct db_rows *rows, int row, int column);
/* How many rows the statement touched or returned, from its command tag. */
int64_t db_rows_affected(const struct db_rows *rows);

/* Runs one SQL text with text parameters (values may be NULL for NULL), unprepared. rows may be
 * NULL when they are of no interest. A failure carries the server's message as detail and its
 * SQLSTATE; the error's code is SWEEP_UNREACHABLE for a lost connection, else SWEEP_USAGE. */
bool db_query(struct db *db, const void *ctx, const char *sql, int nparams,
              const char *const *params, struct db_rows **rows, struct error *err);

/* One of several questions that travel together. */
struct db_question {
    const char *sql;
    int nparams;
    const char *const *params;
    struct db_rows *rows; /* result: NULL when it failed or was skipped */
    struct error
        *error; /* result: of one that failed itself (not of one skipped); freed with ctx */
};

/* Sends all questions unprepared and reads the answers, in one network round trip. Each is a
 * transaction of its own, so that a failure is that question's alone. False when any failed; err is
 * then the first failure. Results are owned by ctx. */
bool db_ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
            struct error *err);

/* The same in one read-only transaction, which sees one state of the database and leaves nothing
 * behind; a failure skips the questions after it. timeout_ms: the limit for each statement of it,
 * instead of the session's; 0: the session's. */
bool db_ask_one_state(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                      int64_t timeout_ms, struct error *err);

/* The same as db_query for a prepared statement. */
bool db_execute(struct db *db, const void *ctx, const struct db_statement *statement, int nparams,
                const char *const *params, struct db_rows **rows, struct error *err);

/* Has the server parse and analyse one statement without running or keeping it: finds its errors.
 */
bool db_check(struct db *db, const char *sql, struct error *err);

/* The same for several statements, in one round trip. failed: which of them is the first that fails
 * (count, when the connection was lost). */
bool db_check_each(struct db *db, const char *const *sql, size_t count, size_t *failed,
                   struct error *err);

/* The same, and says which types (oids) the server takes its parameters $1... to have: into types,
 * up to count. */
bool db_infer(struct db *db, const char *sql, unsigned *types, size_t count, struct error *err);

/* Runs a script of several statements without parameters (our own text only, never a policy's), in
 * a transaction that was begun before. */
bool db_script(struct db *db, const char *sql, struct error *err);

/* One member of a batch. */
struct db_step {
    const struct db_statement *statement;
    int nparams;
    const char *const *params;
    bool sync; /* out: a synchronisation point follows; a failure skips only up to the next one */
    struct db_rows *rows; /* result: NULL when the step failed or was skipped */
    const char *tag;      /* result: the command tag ("COMMIT"), owned by rows */
    struct error
        *error; /* result: of a step that failed itself (not of one skipped); freed with ctx */
};

/* Sends all steps in one go and reads their results (libpq pipeline mode): one network round trip.
 * False when any step failed; err is then the first failure, and *failed (may be NULL) its index
 * (count, when the connection was lost before a step could be told). Results are owned by ctx. */
bool db_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
              struct error *err);

/* While it gives way, a statement that takes long is cancelled by the server as soon as another
 * session waits for a lock on a table because of it; it then fails with SQLSTATE_GAVE_WAY. A second
 * connection looks who waits, from the time on when the statement has taken a tenth of a second;
 * where none is to be had nobody looks. For statements that may be sent again later. */
void db_give_way(struct db *db, bool give_way);

/* Why a long statement that was to give way was not watched: the first reason since db_connect;
 * NULL: all were. Owned by db. */
const char *db_unwatched(const struct db *db);

/* True where another session's lock on a table was in the way, or would have had to wait. */
bool db_failed_for_lock(const struct error *err);

/* BEGIN/COMMIT/ROLLBACK, as statements to put into batches. */
extern const struct db_statement db_begin;           /* READ WRITE, READ COMMITTED */
extern const struct db_statement db_begin_read_only; /* READ ONLY, REPEATABLE READ: one snapshot */
extern const struct db_statement db_commit;

/* Is the server's session shared with others, or may it be? Where a pooler or proxy stands in
 * between (or what looks like one), every statement runs in a transaction of its own or in one that
 * the caller has begun with one of the statements above. Each begins with the settings, which end
 * with it; prepared statements have no names. */
bool db_is_pooled(const struct db *db);

/* On such a connection: a further statement that every transaction begins with that may write (a
 * failure of it is one of BEGIN), and that is sent by itself before one that only reads when it has
 * not been sent for a while. What it points to must live on; NULL: none. */
void db_set_opening(struct db *db, const struct db_step *opening);

/* Between transactions: sends it, if that is due. Call it in every wait, every second or more
 * often. False: it failed. */
bool db_keep_open(struct db *db, struct error *err);

/* True when the step is a COMMIT that took effect (its tag says COMMIT, not ROLLBACK). */
bool db_committed(const struct db_step *step);

/* Ends an open transaction without keeping it. Quiet about failures: a lost connection has rolled
 * back by itself. */
void db_rollback(struct db *db);

/* text as a quoted identifier ("user"), or as a string literal ('it''s', for SQL that is shown to a
 * person), quoted by libpq; owned by ctx. */
char *db_quote_ident(struct db *db, const void *ctx, const char *text);
char *db_quote_literal(struct db *db, const void *ctx, const char *text);

/* Builds the text form of a one-dimensional array from count values ({"a","b"}; NULL is NULL).
 * Manual: chapter "Arrays", "Array Input and Output Syntax". Owned by ctx. */
char *db_array(const void *ctx, const char *const *values, size_t count);

/* Takes such a text apart again, as the server writes it for an array of text without NULLs; sets
 * *values to *count values, owned by ctx. */
void db_array_split(const void *ctx, const char *text, const char ***values, size_t *count);

/* What a failure means for the work in hand. */
enum db_failure {
    DB_FAILURE_TRANSIENT,  /* try the same again, on this connection */
    DB_FAILURE_CONNECTION, /* reconnect, then find out what took effect */
    DB_FAILURE_ROW,        /* some row cannot go: isolate it */
    DB_FAILURE_FATAL,      /* the run cannot go on: privilege, missing table, disk full... */
    DB_FAILURE_CANCELLED,  /* a person cancelled the query */
};

/* Classifies by SQLSTATE (manual: appendix "PostgreSQL Error Codes"). An error without one is a
 * connection failure: no failure is ever read as success. */
enum db_failure db_failure_class(const struct db *db, const struct error *err);

/* True when the failure is one that passes by itself: the database is away, and may be back soon. A
 * wrong password or a database that does not exist does not pass. db may be NULL: there is no
 * connection. */
bool db_may_come_back(const struct db *db, const struct error *err);

/* Whether the server is in recovery: a standby, or one that is not promoted yet. */
bool db_is_standby(struct db *db, bool *standby, struct error *err);

/* Session-level advisory lock. got says whether this session holds it now. */
bool db_try_lock(struct db *db, int64_t key, bool *got, struct error *err);
bool db_unlock(struct db *db, int64_t key, struct error *err);

#endif
