/* What a failure means: a table of SQLSTATE classes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/stop.h"

/* The first row whose prefix matches decides. */
static const struct {
    const char *prefix;
    enum db_failure class;
} classes[] = {
    {"40000", DB_FAILURE_TRANSIENT}, /* transaction_rollback; also ROLLBACK in answer to COMMIT */
    {"40001", DB_FAILURE_TRANSIENT}, /* serialization_failure */
    {"40P01", DB_FAILURE_TRANSIENT}, /* deadlock_detected */
    {"55P03", DB_FAILURE_TRANSIENT}, /* lock_not_available: lock_timeout */
    {"57014", DB_FAILURE_TRANSIENT}, /* query_canceled: statement_timeout; see below */
    {DB_GAVE_WAY, DB_FAILURE_TRANSIENT},
    {"57P01", DB_FAILURE_CONNECTION}, /* admin_shutdown */
    {"57P02", DB_FAILURE_CONNECTION}, /* crash_shutdown */
    {"57P03", DB_FAILURE_CONNECTION}, /* cannot_connect_now */
    {"57P05", DB_FAILURE_CONNECTION}, /* idle_session_timeout */
    {"25P03", DB_FAILURE_CONNECTION}, /* idle_in_transaction_session_timeout */
    {"53300", DB_FAILURE_CONNECTION}, /* too_many_connections */
    {"08", DB_FAILURE_CONNECTION},
    {"0A", DB_FAILURE_FATAL}, /* feature_not_supported */
    {"25", DB_FAILURE_FATAL}, /* read-only transaction: the server became a standby */
    {"26", DB_FAILURE_FATAL}, /* our prepared statement is gone: there is a pooler in between */
    {"28", DB_FAILURE_FATAL}, /* authorization */
    {"3D", DB_FAILURE_FATAL},
    {"3F", DB_FAILURE_FATAL}, /* no such database, schema */
    {"42", DB_FAILURE_FATAL}, /* syntax, missing table, insufficient privilege */
    {"53", DB_FAILURE_FATAL}, /* disk full, out of memory */
    {"54", DB_FAILURE_FATAL},
    {"55", DB_FAILURE_FATAL},
    {"58", DB_FAILURE_FATAL},
    {"PS", DB_FAILURE_FATAL}, /* pgsweep.keep_locks: another run has taken over */
    {"XX", DB_FAILURE_FATAL}, /* i/o error, internal, corruption */
};

enum db_failure db_failure_of_sqlstate(const char *sqlstate)
{
    if (!*sqlstate)
        return DB_FAILURE_CONNECTION;
    /* The server uses one code for a timeout and for a cancel request; only we know whether we sent
     * one. */
    if (strcmp(sqlstate, "57014") == 0 && stop_requested())
        return DB_FAILURE_CANCELLED;
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++)
        if (strncmp(sqlstate, classes[i].prefix, strlen(classes[i].prefix)) == 0)
            return classes[i].class;
    return DB_FAILURE_ROW; /* class 22 data, 23 integrity, P0 a trigger's RAISE, anything else */
}

bool db_may_come_back(const struct db *db, const struct error *err)
{
    if (db && db_is_lost(db) && !db->refused)
        return true;
    /* An error without an SQLSTATE is pgsweep's own. */
    return *err->sqlstate && strcmp(err->sqlstate, DB_REFUSED_FOR_GOOD) != 0 &&
           db_failure_of_sqlstate(err->sqlstate) == DB_FAILURE_CONNECTION;
}

bool db_find_sqlstate(const char *message, char sqlstate[6])
{
    bool found = false;
    for (const char *p = message; (p = strstr(p, ":  ")) != NULL;) {
        p += 3;
        if (strspn(p, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") != 5 || strncmp(p + 5, ": ", 2) != 0)
            continue;
        char one[6] = {0};
        memcpy(one, p, 5);
        if (!found || db_failure_of_sqlstate(one) == DB_FAILURE_CONNECTION)
            memcpy(sqlstate, one, sizeof one);
        found = true;
    }
    return found;
}

enum db_failure db_failure_class(const struct db *db, const struct error *err)
{
    return db_is_lost(db) ? DB_FAILURE_CONNECTION : db_failure_of_sqlstate(err->sqlstate);
}

bool db_failed_for_lock(const struct error *err)
{
    return strcmp(err->sqlstate, "55P03") == 0 || strcmp(err->sqlstate, DB_GAVE_WAY) == 0;
}
