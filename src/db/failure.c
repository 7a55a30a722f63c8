/* What a failure means: a table of SQLSTATE classes. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/stop.h"

/* The codes of the SQLSTATEs that pgsweep acts on. */
static const char *const codes[SQLSTATES] = {
    [SQLSTATE_ASSERT_FAILURE] = "P0004",
    [SQLSTATE_CANNOT_CONNECT_NOW] = "57P03",
    [SQLSTATE_CONNECTION_FAILURE] = "08006",
    [SQLSTATE_CONNECTION_REFUSED] = "08004",
    [SQLSTATE_CONNECTION_UNABLE] = "08001",
    [SQLSTATE_FEATURE_NOT_SUPPORTED] = "0A000",
    [SQLSTATE_GAVE_WAY] = "PGS01",
    [SQLSTATE_INSUFFICIENT_PRIVILEGE] = "42501",
    [SQLSTATE_INVALID_PARAMETER_VALUE] = "22023",
    [SQLSTATE_INVALID_TEXT_REPRESENTATION] = "22P02",
    [SQLSTATE_LOCK_LOST] = "PS001",
    [SQLSTATE_LOCK_NOT_AVAILABLE] = "55P03",
    [SQLSTATE_QUERY_CANCELED] = "57014",
    [SQLSTATE_READ_ONLY_TRANSACTION] = "25006",
    [SQLSTATE_SERIALIZATION_FAILURE] = "40001",
    [SQLSTATE_TRANSACTION_ROLLBACK] = "40000",
    [SQLSTATE_UNDEFINED_COLUMN] = "42703",
    [SQLSTATE_UNTRANSLATABLE_CHARACTER] = "22P05",
    [SQLSTATE_WATCH_LOOKS] = "PGS02",
};

static const char *const class_codes[SQLSTATE_CLASSES] = {
    [SQLSTATE_CLASS_DATA] = "22",
    [SQLSTATE_CLASS_INTEGRITY] = "23",
    [SQLSTATE_CLASS_ROLLBACK] = "40",
    [SQLSTATE_CLASS_SYNTAX] = "42",
};

const char *sqlstate_code(enum sqlstate sqlstate)
{
    return codes[sqlstate];
}

bool sqlstate_is(const struct error *err, enum sqlstate sqlstate)
{
    return strcmp(err->sqlstate, codes[sqlstate]) == 0;
}

bool sqlstate_is_of(const struct error *err, enum sqlstate_class class)
{
    return strncmp(err->sqlstate, class_codes[class], strlen(class_codes[class])) == 0;
}

/* The first row whose prefix matches decides. */
static const struct {
    const char *prefix;
    enum db_failure class;
} classes[] = {
    {"40000", DB_FAILURE_TRANSIENT},  /* transaction_rollback: a COMMIT answered with ROLLBACK, too
                                       */
    {"40001", DB_FAILURE_TRANSIENT},  /* serialization_failure */
    {"40P01", DB_FAILURE_TRANSIENT},  /* deadlock_detected */
    {"55P03", DB_FAILURE_TRANSIENT},  /* lock_not_available: lock_timeout */
    {"57014", DB_FAILURE_TRANSIENT},  /* query_canceled: statement_timeout; see below */
    {"PGS01", DB_FAILURE_TRANSIENT},  /* pgsweep's own: the statement gave way */
    {"57P01", DB_FAILURE_CONNECTION}, /* admin_shutdown */
    {"57P02", DB_FAILURE_CONNECTION}, /* crash_shutdown */
    {"57P03", DB_FAILURE_CONNECTION}, /* cannot_connect_now */
    {"57P05", DB_FAILURE_CONNECTION}, /* idle_session_timeout */
    {"25P03", DB_FAILURE_CONNECTION}, /* idle_in_transaction_session_timeout */
    {"53300", DB_FAILURE_CONNECTION}, /* too_many_connections */
    {"08", DB_FAILURE_CONNECTION},    {"0A", DB_FAILURE_FATAL}, /* feature_not_supported */
    {"25", DB_FAILURE_FATAL}, /* read-only transaction: the server became a standby */
    {"26", DB_FAILURE_FATAL}, /* our prepared statement is gone: there is a pooler in between */
    {"28", DB_FAILURE_FATAL}, /* authorization */
    {"3D", DB_FAILURE_FATAL},         {"3F", DB_FAILURE_FATAL}, /* no such database, schema */
    {"42", DB_FAILURE_FATAL}, /* syntax, missing table, insufficient privilege */
    {"53", DB_FAILURE_FATAL}, /* disk full, out of memory */
    {"54", DB_FAILURE_FATAL},         {"55", DB_FAILURE_FATAL}, {"58", DB_FAILURE_FATAL},
    {"PS", DB_FAILURE_FATAL}, /* pgsweep.keep_locks: another run has taken over */
    {"XX", DB_FAILURE_FATAL}, /* i/o error, internal, corruption */
};

enum db_failure db_failure_of_sqlstate(const char *sqlstate)
{
    if (!*sqlstate)
        return DB_FAILURE_CONNECTION;
    /* The server uses one code for a timeout and for a cancel request; only we know whether we sent
     * one. */
    if (strcmp(sqlstate, codes[SQLSTATE_QUERY_CANCELED]) == 0 && stop_requested())
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
    return *err->sqlstate && !sqlstate_is(err, SQLSTATE_CONNECTION_REFUSED) &&
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
    return sqlstate_is(err, SQLSTATE_LOCK_NOT_AVAILABLE) || sqlstate_is(err, SQLSTATE_GAVE_WAY);
}

/* The detail of these is the whole row that was refused ("Failing row contains (...)"). */
static const char *const with_rows[] = {
    "23502", /* not_null_violation */
    "23514", /* check_violation, also of a partition's bounds */
    "44000", /* with_check_option_violation */
};

bool db_detail_is_shown(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof with_rows / sizeof *with_rows; i++)
        if (strcmp(sqlstate, with_rows[i]) == 0)
            return false;
    return true;
}
