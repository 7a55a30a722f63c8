/* Private to the db room: what its files share. */
#ifndef PGSWEEP_DB_INTERNAL_H
#define PGSWEEP_DB_INTERNAL_H

#include <libpq-fe.h>
#include <pthread.h>

#include "pgsweep/db.h"

/* Settings of the role's own that change what a policy's text means: see "pooled_defaults". */
enum { DB_LOCALE_SETTINGS = 4 };

struct db {
    PGconn *conn;
    struct db_options options; /* strings owned by this struct */
    char *password;            /* the password that a person typed; NULL: none was asked for */
    char *where;
    char *search_path;                    /* pinned at the first connection */
    char *synchronous_commit;             /* the setting of the role, but at least "local" */
    bool async;                           /* commits do not wait now */
    bool custom_plans;                    /* each execution is planned for its own parameters */
    const struct db_statement **prepared; /* on this connection */
    size_t prepared_count;
    int64_t round_trips; /* number of round trips */
    int64_t fastest_us;  /* the shortest round trip on this connection; 0: none yet */
    bool broken;  /* requests and replies no longer match: the connection is treated as lost */
    bool refused; /* the server refused the connection */
    const char *given_up; /* why the connection was given up; NULL: it was not */
    /* For statements that give way (watch.c). */
    PGconn *watcher; /* the second connection; NULL: there is none */
    bool gives_way, watching;
    bool looks;             /* the server has begun to look */
    int64_t watch_since_ms; /* when it was asked to */
    bool unwatched;         /* a second connection could not be opened */
    char *unwatched_why;    /* NULL: each long statement was watched */
    bool gave_way;          /* the last statement was cancelled because it gave way */
    /* For a connection whose server session is or may be shared with other clients (pooled.c). */
    bool pooled;
    char *role;                       /* the role to which SET ROLE is reset */
    char *locale[DB_LOCALE_SETTINGS]; /* the settings of the role */
    struct db_statement settings;     /* applies the settings to one transaction */
    struct db_step opening;           /* see db_set_opening; no statement: there is none */
    int64_t opened_ms;                /* when it was last sent */
};

struct db_rows {
    PGresult *result;
};

/* Wraps a result so that talloc frees it. */
struct db_rows *db_rows_wrap(const void *ctx, PGresult *result);

/* Fills err from a failed result, or from the connection if result is NULL, with the parts of the
 * server's DETAIL, HINT and CONTEXT that may be shown. Returns false. */
bool db_result_error(const struct db *db, const PGresult *result, struct error *err);

/* False if the DETAIL of errors of this kind contains the values of a whole row. */
bool db_detail_is_shown(const char *sqlstate);

/* The lines of a CONTEXT without those that quote something, which may be SQL that a function built
 * from values. "PL/pgSQL function keep() line 3 at RAISE" stays. Owned by ctx. */
char *db_shown_context(const void *ctx, const char *context);

/* Sets up a new connection: version check, search path, settings. */
bool db_session_setup(struct db *db, struct error *err);

/* Sets err: no trigger fires in this session, and the role may not change that. Returns false. */
bool db_refuse_replica(const struct db *db, struct error *err);

/* Whether the server's session is ours alone. answer: the first row of "probe". */
bool db_session_is_own(const struct db *db, const struct db_rows *answer);

/* Sets up a session that may be shared: reads the settings of the role, and makes sure that a
 * transaction can have more than one statement. */
bool db_pooled_setup(struct db *db, struct error *err);

/* db_batch for connections on which every transaction has to begin with the settings. */
bool db_pooled_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
                     struct error *err);

/* Without a transaction that may write, the opening is sent as often as this. */
enum { DB_OPENING_DUE_MS = 2 * 1000 };

/* db_query in a transaction of its own. */
bool db_pooled_query(struct db *db, const void *ctx, const char *sql, int nparams,
                     const char *const *params, struct db_rows **rows, struct error *err);

/* Asks the questions, with a synchronisation point after each group of them. */
bool db_pooled_ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                   size_t group, struct error *err);

/* Whether the next statement has to be in a transaction that begins with the settings. */
bool db_needs_settings(const struct db *db);

/* db_batch without additions: sends exactly the steps. Statements are unnamed on a pooled
 * connection. */
bool db_send_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
                   struct error *err);

/* The rows of a result, which is taken over; or fills err. */
bool db_take_result(struct db *db, const void *ctx, PGresult *result, struct db_rows **rows,
                    struct error *err);

/* In pipeline mode: the result of a step (failed_before: of an earlier one up to the
 * synchronisation point), and what the synchronisation point says. */
void db_read_step(struct db *db, const void *ctx, struct db_step *step, bool *failed_before,
                  struct error *err);
bool db_read_sync(struct db *db, bool *failed_before, struct error *err);

/* False: the connection is not in order any more. */
bool db_leave_pipeline(struct db *db, struct error *err);

/* The statement has been prepared on this connection. */
bool db_is_prepared(const struct db *db, const struct db_statement *statement);

extern const struct db_statement db_end; /* ROLLBACK, for batches */

/* The parameters of "set_up", in the order of their numbers; owned by ctx. Returns how many. */
int db_setting_params(const struct db *db, const void *ctx, const char **params);
enum { DB_SETTING_PARAMS = 8 + DB_LOCALE_SETTINGS };

/* The value of plan_cache_mode. */
const char *db_plan_cache_mode(const struct db *db);

/* db_failure_class for a connection that is not lost. */
enum db_failure db_failure_of_sqlstate(const char *sqlstate);

/* A cancel request that is being sent, in a thread of its own because the network may block it. */
struct db_cancel {
    pthread_t thread;
    PGcancel *what;
    bool under_way;
};
void db_begin_cancel(PGconn *conn, struct db_cancel *cancel);
void db_end_cancel(const struct db_cancel *cancel);

/* Why there is no connection: the SQLSTATE of the server that refused it,
 * SQLSTATE_CONNECTION_REFUSED or SQLSTATE_CONNECTION_UNABLE. */
struct db_refusal {
    char sqlstate[6];
};

/* A connection as the options say, or to the server and with the parameters of another one. first:
 * see db_dial, as for what it returns. */
PGconn *db_open(const struct db *db, const PGconn *beside, bool first, struct db_refusal *why);

/* Another connection to the same server, with the same parameters; it may have failed. NULL: the
 * wait for it was given up. The caller closes it. */
PGconn *db_open_beside(const struct db *db);

/* To be called when the current statement takes long: if it is one that gives way, it is watched
 * until db_watch_end. */
void db_watch_begin(struct db *db);
void db_watch_end(struct db *db);

/* Waits until PQgetResult does not block: a result has come, or the connection is lost. A
 * cancelling signal sends the server a cancel request. False: db_is_lost, and libpq must not be
 * used any more (a second signal came, or the server did not answer in time). */
bool db_await(struct db *db);

/* PQgetResult after db_await; NULL also if the connection was given up. */
PGresult *db_next(struct db *db);

/* The last result of a single command. sent: what the PQsend function returned. */
PGresult *db_only(struct db *db, int sent);

/* Closes the connection without waiting. */
void db_close(struct db *db);

/* The connection parameters that make libpq notice a dead peer in time, without those that the user
 * has set in the connection string dbname (or a database's name, or NULL), a service or the
 * environment. keys and values have room for DB_LIVENESS_PARAMS; returns how many. */
enum { DB_LIVENESS_PARAMS = 5 };
size_t db_liveness_defaults(const char *dbname, const char **keys, const char **values);

/* Whether target_session_attrs is set: only certain servers are acceptable, and which ones may
 * change. */
bool db_is_choosy(const char *dbname);

/* Runs a function in a second thread; signals go to the main thread only. */
bool db_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* Waits for the thread to end. False: it is still running. */
bool db_join_thread(pthread_t thread, int64_t timeout_ms);

/* Finds an SQLSTATE in a message of libpq with PQERRORS_VERBOSE: "FATAL:  53300: sorry". If there
 * are several servers, one that may come back counts. False: there is no SQLSTATE. */
bool db_find_sqlstate(const char *message, char sqlstate[6]);

/* Connects (PQconnectdbParams) with these parameters, which are copied. Gives up at a second
 * signal, or at the first one if this is the first connection, even while the network or a name
 * look-up blocks. NULL: it gave up. */
PGconn *db_dial(const char *const *keys, const char *const *values, bool first,
                struct db_refusal *why);

/* Prints a statement and its parameters when --echo asks for it. */
void db_echo(const struct db *db, const char *sql, int nparams, const char *const *params);

#endif
