/* What the files of the db room share. */
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
    char *password;            /* what a person typed; NULL when none was asked for */
    char *where;
    char *search_path;        /* pinned at the first connection */
    char *synchronous_commit; /* what a commit waits for: as the role has it, but at least the local
                                 disk */
    bool async;               /* commits do not wait at present */
    bool custom_plans;        /* every execution is planned for its parameters */
    const struct db_statement **prepared; /* on this connection */
    size_t prepared_count;
    int64_t round_trips;  /* how many answers were waited for */
    int64_t fastest_us;   /* the shortest time that an answer took on this connection; 0: there was
                             none yet */
    bool broken;          /* requests and replies no longer match: as good as lost */
    bool refused;         /* there is no connection, because the server refused it */
    const char *given_up; /* why nothing is waited for any more; NULL: it is */
    /* For statements that give way (watch.c). */
    PGconn *watcher; /* the second connection; NULL: there is none */
    bool gives_way, watching;
    bool looks;             /* the server has begun to look */
    int64_t watch_since_ms; /* when it was asked to */
    bool unwatched;         /* there is no second connection to be had */
    char *unwatched_why;    /* NULL: each long statement was watched */
    bool gave_way;          /* the last statement was cancelled for that */
    /* Of a connection whose server session is, or may be, shared with others (pooled.c). */
    bool pooled;
    char *role;                       /* what SET ROLE would say by default */
    char *locale[DB_LOCALE_SETTINGS]; /* what the role has */
    struct db_statement settings;     /* sets them for one transaction */
    struct db_step opening;           /* see db_set_opening; no statement: there is none */
    int64_t opened_ms;                /* when it was sent last */
};

struct db_rows {
    PGresult *result;
};

/* Wraps a result so that talloc frees it. */
struct db_rows *db_rows_wrap(const void *ctx, PGresult *result);

/* Fills err from a failed result (may be NULL: then from the connection): with the server's DETAIL,
 * HINT and CONTEXT, as far as they are shown. Returns false. */
bool db_result_error(const struct db *db, const PGresult *result, struct error *err);

/* False where the DETAIL of errors of this kind carries the values of a whole row. */
bool db_detail_is_shown(const char *sqlstate);

/* The lines of a CONTEXT without those that quote something, which may be SQL that a function made
 * of values: "PL/pgSQL function keep() line 3 at RAISE" stays. Owned by ctx. */
char *db_shown_context(const void *ctx, const char *context);

/* Sets up a fresh connection: version check, search path, settings. */
bool db_session_setup(struct db *db, struct error *err);

/* No trigger acts, and the role may not change that: sets err. */
bool db_refuse_replica(const struct db *db, struct error *err);

/* Is the server's session ours alone? Looks at answer, the first row of "probe". */
bool db_session_is_own(const struct db *db, const struct db_rows *answer);

/* Instead of settings for the session, where it is not: reads what the role has, and makes sure
 * that a transaction may last longer than one statement. */
bool db_pooled_setup(struct db *db, struct error *err);

/* db_batch where every transaction has to begin with the settings. */
bool db_pooled_batch(struct db *db, const void *ctx, struct db_step *steps, int count, int *failed,
                     struct error *err);

/* Without a transaction that may write, the opening is sent as often as this. */
enum { DB_OPENING_DUE_MS = 2 * 1000 };

/* db_query, outside of a transaction: in one of its own. */
bool db_pooled_query(struct db *db, const void *ctx, const char *sql, int nparams,
                     const char *const *params, struct db_rows **rows, struct error *err);

/* The questions, a synchronisation point after each group of them. */
bool db_pooled_ask(struct db *db, const void *ctx, struct db_question *questions, size_t count,
                   size_t group, struct error *err);

/* What is sent now has to be in a transaction that sets what it needs. */
bool db_needs_settings(const struct db *db);

/* db_batch as it is: what is sent is what the steps say. Unnamed statements on a pooled connection.
 */
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

/* A request to cancel on its way, in a thread of its own: the network may swallow it. */
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

/* The statement under way takes long: if it is one that gives way, it is watched from now on until
 * db_watch_end. */
void db_watch_begin(struct db *db);
void db_watch_end(struct db *db);

/* Waits until PQgetResult does not block: something has come, or the connection is lost. A signal
 * that cancels sends the server a request to. False: db_is_lost, and nothing more is to be asked of
 * libpq (a second signal, or the server did not answer in time). */
bool db_await(struct db *db);

/* PQgetResult that waits like that; NULL also when the connection was given up. */
PGresult *db_next(struct db *db);

/* The last result of a command that stands for itself. sent: what the PQsend function returned. */
PGresult *db_only(struct db *db, int sent);

/* Closes the connection without waiting for anybody. */
void db_close(struct db *db);

/* The parameters with which a dead peer is noticed in time, without those that the user has set in
 * the connection string dbname (or a database's name, or NULL), a service or the environment. Room
 * for DB_LIVENESS_PARAMS; returns how many. */
enum { DB_LIVENESS_PARAMS = 5 };
size_t db_liveness_defaults(const char *dbname, const char **keys, const char **values);

/* target_session_attrs is set: only some servers will do, and which is which may change. */
bool db_is_choosy(const char *dbname);

/* Runs a function beside the main thread, to which all signals go. */
bool db_start_thread(pthread_t *thread, void *(*run)(void *), void *arg);

/* Waits for its end. False: it goes on. */
bool db_join_thread(pthread_t thread, int64_t timeout_ms);

/* Finds an SQLSTATE in a message of libpq with PQERRORS_VERBOSE: "FATAL:  53300: sorry". Of several
 * servers: one that may come back counts. False: there is none. */
bool db_find_sqlstate(const char *message, char sqlstate[6]);

/* Connects (PQconnectdbParams) with these parameters, which are copied, and gives up when a second
 * signal comes, whatever the network or the look-up of a name does; at the first one if it is the
 * first connection. NULL: it was given up. */
PGconn *db_dial(const char *const *keys, const char *const *values, bool first,
                struct db_refusal *why);

/* Prints a statement and its parameters when --echo asks for it. */
void db_echo(const struct db *db, const char *sql, int nparams, const char *const *params);

#endif
