/* The session behind a pooler: whether there is one in front, what the role has, and keeping the
 * opening alive. */
#include <netinet/in.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SESSION[] = "sql/session.sql";

/* Settings that the role has, and that another client of the pooler may have changed: without those
 * that "set_up" pins to one value for all. */
static const char *const role_settings[] = {
    "role",       "search_path", "synchronous_commit", "default_text_search_config", "lc_monetary",
    "lc_numeric", "lc_time"};
enum { ROLE_SETTINGS = sizeof role_settings / sizeof *role_settings };

/* The port of our end of a TCP connection; -1: it is a local socket; 0: unknown. */
static int local_port(int fd)
{
    struct sockaddr_storage address;
    socklen_t size = sizeof address;
    if (getsockname(fd, (struct sockaddr *)&address, &size) != 0)
        return 0;
    switch (address.ss_family) {
    case AF_UNIX:
        return -1;
    case AF_INET:
        return ntohs(((const struct sockaddr_in *)&address)->sin_port);
    case AF_INET6:
        return ntohs(((const struct sockaddr_in6 *)&address)->sin6_port);
    default:
        return 0;
    }
}

/* Nobody stands in between where the server names our own end of the connection as its other end. A
 * pooler may pass the number of a server process on; it has other ports. What changes ports without
 * pooling (a tunnel, address translation) is taken for a pooler, which costs some speed only. */
bool db_session_is_own(const struct db *db, const struct db_rows *answer)
{
    enum { PID, CLIENT_PORT, SERVER_PORT };
    int port = local_port(PQsocket(db->conn));
    bool local = !db_rows_get(answer, 0, CLIENT_PORT) || db_rows_int(answer, 0, CLIENT_PORT) < 0;
    if (db_rows_int(answer, 0, PID) != PQbackendPID(db->conn))
        return false;
    if (port < 0)
        return local && PQport(db->conn) &&
               strcmp(PQport(db->conn), db_rows_get(answer, 0, SERVER_PORT)) == 0;
    return port > 0 && !local && db_rows_int(answer, 0, CLIENT_PORT) == port;
}

bool db_keep_open(struct db *db, struct error *err)
{
    struct db_step step = {.statement = &db_begin};
    struct db_step end = {.statement = &db_commit};
    if (!db->pooled || !db->opening.statement || db_is_lost(db) || db_in_transaction(db) ||
        clock_now_ms() - db->opened_ms < DB_OPENING_DUE_MS)
        return true;
    void *scratch = talloc_new(db);
    step.sync = true;
    struct db_step steps[] = {step, end};
    bool ok = db_batch(db, scratch, steps, 2, NULL, err);
    talloc_free(scratch);
    return ok;
}

static bool no_transactions(const struct db *db, struct error *err)
{
    error_clear(err);
    error_set(err, SWEEP_USAGE,
              "the pooler in front of %s gives every statement another session: it allows no "
              "transactions",
              db->where);
    return error_hint(err, "Nothing was touched. Connect to the server itself, or to a pool with "
                           "pool_mode = transaction or session.");
}

/* Reads what the role has, whatever other clients have set; the transaction stays open. */
static bool read_defaults(struct db *db, void *scratch, struct error *err)
{
    struct db_statement defaults[ROLE_SETTINGS];
    struct db_statement path = {.sql = template_fill(scratch, SESSION, "read_defaults", NULL)};
    struct db_statement shared = {.sql = template_fill(scratch, SESSION, "shared_defaults", NULL)};
    struct db_statement patient = {.sql = template_fill(scratch, SESSION, "patient", NULL)};
    struct db_step steps[ROLE_SETTINGS + 4] = {{.statement = &db_begin_read_only},
                                               {.statement = &patient}};
    int n = 2;
    for (int i = 0; i < ROLE_SETTINGS; i++) {
        defaults[i] = (struct db_statement){
            .sql = template_fill(scratch, SESSION, "role_default",
                                 TEMPLATE_SLOTS({"setting", role_settings[i]}))};
        steps[n++] = (struct db_step){.statement = &defaults[i]};
    }
    steps[n++] = (struct db_step){.statement = &path};
    steps[n++] = (struct db_step){.statement = &shared};
    if (!db_send_batch(db, scratch, steps, n, NULL, err))
        return err->message && strstr(err->message, "statement pooling") ? no_transactions(db, err)
                                                                         : false;
    if (db->search_path)
        return true;
    db->search_path = mem_strdup(db, db_rows_get(steps[n - 2].rows, 0, 0));
    db->synchronous_commit = mem_strdup(db, db_rows_get(steps[n - 2].rows, 0, 1));
    db->role = mem_strdup(db, db_rows_get(steps[n - 1].rows, 0, 0));
    for (int i = 0; i < DB_LOCALE_SETTINGS; i++)
        db->locale[i] = mem_strdup(db, db_rows_get(steps[n - 1].rows, 0, i + 1));
    return true;
}

/* Are we still in the transaction that the statement before has begun? */
static bool check_transaction(struct db *db, void *scratch, struct error *err)
{
    struct db_rows *rows;
    if (!db_in_transaction(db))
        return no_transactions(db, err);
    char *sql = template_fill(scratch, SESSION, "in_transaction", NULL);
    return db_query(db, scratch, sql, 0, NULL, &rows, err) &&
           (db_rows_bool(rows, 0, 0) || no_transactions(db, err));
}

bool db_pooled_setup(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    bool ok = read_defaults(db, scratch, err) && check_transaction(db, scratch, err);
    db_rollback(db);
    talloc_free((void *)db->settings.sql);
    char *shared = template_fill(scratch, SESSION, "shared", NULL);
    db->settings = (struct db_statement){
        .name = "settings",
        .sql = template_fill(db, SESSION, "set_up",
                             TEMPLATE_SLOTS({"transaction", "true"}, {"shared", shared}))};
    /* May the role set all of it? */
    struct db_step empty[] = {{.statement = &db_begin_read_only, .sync = true},
                              {.statement = &db_end}};
    ok = ok && db_pooled_batch(db, scratch, empty, 2, NULL, err);
    if (!ok && sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE) && err->message &&
        strstr(err->message, "session_replication_role"))
        ok = db_refuse_replica(db, err);
    talloc_free(scratch);
    return ok;
}
