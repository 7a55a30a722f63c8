/* What a session looks like before the first statement of a run: everything that could change the
 * meaning of a statement is set here, whatever the role, the database or the server have. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* The path that the role would have is kept, so that a policy's names mean what they mean in psql,
 * but pinned: pg_catalog first, so that no object in another schema takes the place of a built-in;
 * temporary objects last. (Manual: "Writing SECURITY DEFINER Functions Safely" gives the rule.) */
static const char read_defaults[] =
    "SELECT pg_catalog.array_to_string(ARRAY['pg_catalog'] || ARRAY("
    "  SELECT pg_catalog.quote_ident(s)"
    "    FROM pg_catalog.unnest(pg_catalog.current_schemas(false)) WITH ORDINALITY AS u(s, n)"
    "   WHERE s NOT LIKE 'pg\\_%' ORDER BY n) || ARRAY['pg_temp'], ', '),"
    /* What is reported as gone must not come back with a crash of the server. */
    " CASE pg_catalog.current_setting('synchronous_commit') WHEN 'off' THEN 'local'"
    "      ELSE pg_catalog.current_setting('synchronous_commit') END";

static const char set_up[] =
    "SELECT pg_catalog.set_config(name, value, false) FROM (VALUES"
    " ('search_path', $1::pg_catalog.text),"
    " ('application_name', $2),"
    " ('lock_timeout', $3),"
    " ('statement_timeout', $4),"
    " ('idle_in_transaction_session_timeout', $5),"
    " ('TimeZone', 'UTC'),"
    " ('standard_conforming_strings', 'on')," /* as condition_check reads strings */
    " ('DateStyle', 'ISO, YMD'),"
    " ('IntervalStyle', 'postgres'),"
    " ('bytea_output', 'hex'),"
    " ('extra_float_digits', '1'),"
    " ('default_transaction_isolation', 'read committed'),"
    " ('default_transaction_deferrable', 'off'),"
    " ('default_transaction_read_only', 'off'),"
    " ('row_security', 'off'),"  /* a policy that would hide rows is an error, not a short count */
    " ('jit', 'off'),"           /* a generic keyset plan pays the JIT on every execution */
    " ('synchronous_commit', $6),"
    " ('client_min_messages', 'warning'),"
    " ('transform_null_equals', 'off')"
    ") AS s(name, value)";

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static bool read_session_defaults(struct db *db, struct error *err)
{
    struct db_rows *rows;
    if (db->search_path)
        return true;
    if (!db_query(db, db, read_defaults, 0, NULL, &rows, err))
        return false;
    db->search_path = mem_strdup(db, db_rows_get(rows, 0, 0));
    db->synchronous_commit = mem_strdup(db, db_rows_get(rows, 0, 1));
    talloc_free(rows);
    return true;
}

static bool apply_settings(struct db *db, struct error *err)
{
    char *lock = mem_printf(db, "%lld", (long long)db->limits.lock_timeout_ms);
    char *statement = mem_printf(db, "%lld", (long long)db->limits.statement_timeout_ms);
    char *idle = mem_printf(db, "%lld", (long long)db->limits.idle_in_transaction_ms);
    const char *params[] = {db->search_path, db->options.application_name, lock, statement, idle,
                            db->async ? "off" : db->synchronous_commit};
    bool ok = db_query(db, db, set_up, 6, params, NULL, err);
    talloc_free(lock);
    talloc_free(statement);
    talloc_free(idle);
    return ok;
}

bool db_session_setup(struct db *db, struct error *err)
{
    PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    int version = PQserverVersion(db->conn);
    /* For the tests of this very check: no old server is at hand there. */
    const char *pretend = getenv("PGSWEEP_TEST_SERVER_VERSION");
    if (pretend)
        version = atoi(pretend);
    if (version < DB_OLDEST_SERVER) {
        error_set(err, SWEEP_USAGE, "the server of %s is PostgreSQL %d.%d; pgsweep needs %d or later",
                  db->where, version / 10000, version % 10000, DB_OLDEST_SERVER / 10000);
        return error_hint(err, "Upgrade the server; versions before %d are out of support.",
                          DB_OLDEST_SERVER / 10000);
    }
    db_cancel_register(db->conn);
    /* First of all, for a role whose own timeout is too short for the rest. */
    return db_script(db, "SET statement_timeout = 0", err) && read_session_defaults(db, err) &&
           apply_settings(db, err);
}

bool db_set_application_name(struct db *db, const char *name, struct error *err)
{
    talloc_free((void *)db->options.application_name);
    db->options.application_name = mem_strdup(db, name);
    const char *params[] = {name};
    return db_query(db, db, "SELECT pg_catalog.set_config('application_name', $1, false)", 1, params,
                    NULL, err);
}

bool db_set_limits(struct db *db, const struct db_limits *limits, struct error *err)
{
    db->limits = *limits;
    return apply_settings(db, err);
}

bool db_set_async(struct db *db, bool async, struct error *err)
{
    db->async = async;
    const char *params[] = {async ? "off" : db->synchronous_commit};
    return db_query(db, db, "SELECT pg_catalog.set_config('synchronous_commit', $1, false)", 1, params,
                    NULL, err);
}

const char *db_synchronous_commit(const struct db *db)
{
    return db->synchronous_commit;
}
