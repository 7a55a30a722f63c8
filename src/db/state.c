/* What is known of a connection without asking the server. */

#include "internal.h"

bool db_is_lost(const struct db *db)
{
    return db->broken || PQstatus(db->conn) != CONNECTION_OK;
}

bool db_in_transaction(const struct db *db)
{
    PGTransactionStatusType status = PQtransactionStatus(db->conn);
    return status == PQTRANS_INTRANS || status == PQTRANS_INERROR;
}

int64_t db_round_trip_us(const struct db *db)
{
    return db->fastest_us;
}

int64_t db_round_trips(const struct db *db)
{
    return db->round_trips;
}

int db_server_version(const struct db *db)
{
    return PQserverVersion(db->conn);
}

int db_backend_pid(const struct db *db)
{
    return PQbackendPID(db->conn);
}

const char *db_database(const struct db *db)
{
    return PQdb(db->conn);
}

const char *db_user(const struct db *db)
{
    return PQuser(db->conn);
}

const char *db_where(const struct db *db)
{
    return db->where;
}

bool db_is_pooled(const struct db *db)
{
    return db->pooled;
}

bool db_needs_settings(const struct db *db)
{
    return db->pooled && !db_in_transaction(db);
}
