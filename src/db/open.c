/* Opening a connection, with the parameters of the options or those of another connection. */

#include "internal.h"

PGconn *db_open(const struct db *db, const PGconn *beside, bool first, struct db_refusal *why)
{
    /* What stands before dbname gives way to what a conninfo string in dbname says; what stands
     * after it wins (libpq, PQconnectdbParams with expand_dbname). */
    const char *keys[16];
    const char *values[16];
    size_t n = db_liveness_defaults(db->options.dbname, keys, values);
#define PARAMETER(key, value) (keys[n] = (key), values[n] = (value), n++)
    PARAMETER("fallback_application_name", "pgsweep");
    PARAMETER("dbname", db->options.dbname);
    /* Of several servers the one that the other connection has found. */
    const char *address = beside ? PQhostaddr(beside) : NULL;
    PARAMETER("host", beside ? PQhost(beside) : db->options.host);
    PARAMETER("hostaddr", address && *address ? address : NULL);
    PARAMETER("port", beside ? PQport(beside) : db->options.port);
    PARAMETER("user", db->options.user);
    PARAMETER("password", db->password);
    PARAMETER("client_encoding", "UTF8");
    PARAMETER(NULL, NULL);
#undef PARAMETER
    PGconn *conn = db_dial(keys, values, first, why);
    if (conn && PQstatus(conn) == CONNECTION_OK)
        PQsetnonblocking(conn, 1);
    return conn;
}

PGconn *db_open_beside(const struct db *db)
{
    struct db_refusal why;
    return db_open(db, db->conn, false, &why);
}
