/* The SQLSTATEs that pgsweep acts on, by the names that PostgreSQL gives them (manual: appendix
 * "PostgreSQL Error Codes"). The codes themselves are in src/db/failure.c and nowhere else. */
#ifndef PGSWEEP_DB_SQLSTATE_H
#define PGSWEEP_DB_SQLSTATE_H

#include <stdbool.h>

#include "pgsweep/error.h"

enum sqlstate {
    SQLSTATE_ASSERT_FAILURE,
    SQLSTATE_CANNOT_CONNECT_NOW,
    SQLSTATE_CONNECTION_FAILURE,
    SQLSTATE_CONNECTION_REFUSED, /* a server is there, and trying again is no use (TLS, no password)
                                  */
    SQLSTATE_CONNECTION_UNABLE,  /* no server answers */
    SQLSTATE_FEATURE_NOT_SUPPORTED,
    SQLSTATE_GAVE_WAY, /* pgsweep's own: the statement gave way to another session (src/db/watch.c)
                        */
    SQLSTATE_INSUFFICIENT_PRIVILEGE,
    SQLSTATE_INVALID_PARAMETER_VALUE,
    SQLSTATE_INVALID_TEXT_REPRESENTATION, /* also of pgsweep's own assertions: they cast a text to a
                                             number */
    SQLSTATE_LOCK_LOST, /* pgsweep's own: another run has taken the lock over (pgsweep.keep_locks)
                         */
    SQLSTATE_LOCK_NOT_AVAILABLE,
    SQLSTATE_QUERY_CANCELED,
    SQLSTATE_READ_ONLY_TRANSACTION,
    SQLSTATE_SERIALIZATION_FAILURE, /* on a standby: a conflict with recovery */
    SQLSTATE_TRANSACTION_ROLLBACK,
    SQLSTATE_UNDEFINED_COLUMN,
    SQLSTATE_UNTRANSLATABLE_CHARACTER,
    SQLSTATE_WATCH_LOOKS, /* pgsweep's own: the notice that the watch has begun (src/db/watch.c) */
    SQLSTATES
};

/* Classes of SQLSTATEs: what their codes begin with. */
enum sqlstate_class {
    SQLSTATE_CLASS_DATA,
    SQLSTATE_CLASS_INTEGRITY,
    SQLSTATE_CLASS_ROLLBACK, /* of a transaction: deadlocks, conflicts with others */
    SQLSTATE_CLASS_SYNTAX,   /* syntax errors, missing objects, missing privileges */
    SQLSTATE_CLASSES
};

/* The code, of five characters. */
const char *sqlstate_code(enum sqlstate sqlstate);

/* Whether the error has this SQLSTATE, or one of this class. */
bool sqlstate_is(const struct error *err, enum sqlstate sqlstate);
bool sqlstate_is_of(const struct error *err, enum sqlstate_class class);

#endif
