/* What the files of the db room share. */
#ifndef PGSWEEP_DB_INTERNAL_H
#define PGSWEEP_DB_INTERNAL_H

#include <libpq-fe.h>

#include "pgsweep/db.h"

struct db {
    PGconn *conn;
    struct db_options options; /* strings owned by this struct */
    char *password;            /* what a person typed; NULL when none was asked for */
    char *where;
    char *search_path; /* pinned at the first connection */
    char *synchronous_commit; /* what a commit waits for: as the role has it, but at least the local
                                 disk */
    bool async;               /* commits do not wait at present */
    bool custom_plans;        /* every execution is planned for its parameters */
    const struct db_statement **prepared; /* on this connection */
    size_t prepared_count;
    int64_t round_trips; /* how many answers were waited for */
    int64_t fastest_us; /* the shortest time that an answer took on this connection; 0: there was
                           none yet */
    bool broken; /* requests and replies no longer match: as good as lost */
};

struct db_rows {
    PGresult *result;
};

/* Wraps a result so that talloc frees it. */
struct db_rows *db_rows_wrap(const void *ctx, PGresult *result);

/* Fills err from a failed result (may be NULL: then from the connection): with the server's DETAIL,
 * HINT and CONTEXT, as far as they are told. Returns false. */
bool db_result_error(const struct db *db, const PGresult *result, struct error *err);

/* False where the DETAIL of errors of this kind carries the values of a whole row. */
bool db_detail_is_told(const char *sqlstate);

/* The lines of a CONTEXT without those that quote something, which may be SQL that a function made
 * of values: "PL/pgSQL function keep() line 3 at RAISE" stays. Owned by ctx. */
char *db_told_context(const void *ctx, const char *context);

/* Sets up a fresh connection: version check, search path, settings. */
bool db_session_setup(struct db *db, struct error *err);

/* db_failure_class for a connection that is not lost. */
enum db_failure db_failure_of_sqlstate(const char *sqlstate);

/* Makes the connection the one that the signal handler cancels (NULL: none). */
void db_cancel_register(PGconn *conn);

/* Prints a statement and its parameters when --echo asks for it. */
void db_echo(const struct db *db, const char *sql, int nparams, const char *const *params);

#endif
