/* A change that a command makes once, whatever becomes of the connection. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char DLQ[] = "sql/dlq.sql";

/* Did the transaction take effect? One that is still in progress ends when the server notices that
 * its client has gone. */
static bool ask_once(const struct attempt *attempt, const char *id, bool *committed,
                     struct error *err)
{
    struct db_rows *rows;
    if (!db_reconnect(attempt->db, err))
        return false;
    if (!db_query(attempt->db, attempt->ctx,
                  template_fill(attempt->ctx, DLQ, "change_outcome", NULL), 1, &id, &rows, err)) {
        /* The server does not know the transaction: after a failover it may be one that never got
         * there. */
        bool unknown = sqlstate_is(err, SQLSTATE_INVALID_PARAMETER_VALUE);
        *committed = false;
        return unknown;
    }
    const char *outcome = db_rows_get(rows, 0, 0);
    *committed = outcome && strcmp(outcome, "committed") == 0;
    if (!outcome || strcmp(outcome, "in progress") != 0)
        return true;
    error_set(err, SWEEP_UNREACHABLE, "the transaction of a lost connection is still in progress");
    error_sqlstate(err, sqlstate_code(SQLSTATE_CONNECTION_FAILURE));
    return false;
}

/* After the answer to COMMIT was lost (err says how). True: it had taken effect. */
static bool find_out(const struct attempt *attempt, const char *id, struct error *err)
{
    bool committed = false;
    struct error why = ERROR_INIT;
    while (!ask_once(attempt, id, &committed, &why)) {
        if (!command_again(attempt->again, attempt->db, attempt->options->quiet, &why)) {
            error_move(err, &why);
            error_prefix(err, "the connection was lost at the commit, and whether the change took "
                              "effect is not known");
            err->code = SWEEP_UNREACHABLE;
            return false;
        }
        error_clear(&why);
    }
    error_clear(&why);
    if (committed)
        error_clear(err);
    else
        error_sqlstate(
            err,
            sqlstate_code(
                SQLSTATE_CONNECTION_FAILURE)); /* there is a connection again: the change is not */
    return committed;
}

bool command_change(const struct attempt *attempt, const char *sql, int nparams,
                    const char *const *params, struct db_rows **rows, struct error *err)
{
    struct db *db = attempt->db;
    struct db_rows *number;
    struct db_step commit = {.statement = &db_commit};
    if (!db_execute(db, attempt->ctx, &db_begin, 0, NULL, NULL, err) ||
        !db_query(db, attempt->ctx, template_fill(attempt->ctx, DLQ, "change_id", NULL), 0, NULL,
                  &number, err) ||
        !db_query(db, attempt->ctx, sql, nparams, params, rows, err)) {
        db_rollback(db);
        return false;
    }
    bool ok = db_batch(db, attempt->ctx, &commit, 1, NULL, err);
    if (!ok && db_is_lost(db))
        return find_out(attempt, db_rows_get(number, 0, 0), err);
    return ok && (db_committed(&commit) ||
                  error_set(err, SWEEP_SOME_FAILED, "the server did not commit the change"));
}
