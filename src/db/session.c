/* What a session looks like before the first statement of a run: everything that could change the
 * meaning of a statement is set here, whatever the role, the database or the server have. The
 * settings are in src/sql/session.sql. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char SESSION[] = "sql/session.sql";

static void ignore_notice(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

/* The statement of that name; it lives until the caller frees db or it. */
static char *session_sql(struct db *db, const char *name)
{
    return template_fill(db, SESSION, name, NULL);
}

/* One of these statements, with at most one parameter and no answer of interest. */
static bool run_statement(struct db *db, const char *name, const char *param, struct error *err)
{
    char *sql = session_sql(db, name);
    bool ok = db_query(db, db, sql, param ? 1 : 0, param ? &param : NULL, NULL, err);
    talloc_free(sql);
    return ok;
}

static bool read_session_defaults(struct db *db, struct error *err)
{
    struct db_rows *rows;
    if (db->search_path)
        return true;
    char *sql = session_sql(db, "read_defaults");
    bool ok = db_query(db, db, sql, 0, NULL, &rows, err);
    talloc_free(sql);
    if (!ok)
        return false;
    db->search_path = mem_strdup(db, db_rows_get(rows, 0, 0));
    db->synchronous_commit = mem_strdup(db, db_rows_get(rows, 0, 1));
    talloc_free(rows);
    return true;
}

static const char *plan_cache_mode(const struct db *db)
{
    return db->custom_plans ? "force_custom_plan" : "auto";
}

static bool apply_settings(struct db *db, struct error *err)
{
    char *lock = mem_printf(db, "%lld", (long long)db->options.limits.lock_timeout_ms);
    char *statement = mem_printf(db, "%lld", (long long)db->options.limits.statement_timeout_ms);
    char *idle = mem_printf(db, "%lld", (long long)db->options.limits.idle_in_transaction_ms);
    const char *params[] = {db->search_path, db->options.application_name, lock, statement, idle,
                            db->async ? "off" : db->synchronous_commit, plan_cache_mode(db)};
    char *sql = session_sql(db, "set_up");
    bool ok = db_query(db, db, sql, 7, params, NULL, err);
    talloc_free(sql);
    talloc_free(lock);
    talloc_free(statement);
    talloc_free(idle);
    return ok;
}

/* First of all, for a role whose own timeout is too short for the rest; and perhaps for this too.
 */
static bool lift_timeout(struct db *db, struct error *err)
{
    enum { TRIES = 50 };
    for (int i = 0; i < TRIES; i++) {
        error_clear(err);
        if (run_statement(db, "lift_timeout", NULL, err))
            return true;
        if (strcmp(err->sqlstate, "57014") != 0)
            return false;
    }
    return error_hint(err, "The role's statement_timeout is too short even to change it.");
}

/* Under session_replication_role = replica no foreign key acts and no trigger fires: what a
 * deletion leaves behind would be orphans, and no error would say so. "local" is left alone: all of
 * them fire there as usual. */
static bool ensure_triggers_act(struct db *db, struct error *err)
{
    struct db_rows *rows;
    char *sql = session_sql(db, "replication_role");
    bool ok = db_query(db, sql, sql, 0, NULL, &rows, err);
    bool replica = ok && strcmp(db_rows_get(rows, 0, 0), "replica") == 0;
    talloc_free(sql);
    if (!replica || run_statement(db, "set_replication_role", NULL, err))
        return ok;
    if (strcmp(err->sqlstate, "42501") != 0)
        return false;
    error_clear(err);
    error_set(err, SWEEP_REFUSED,
              "session_replication_role is \"replica\" for role %s in %s: no foreign key would act "
              "and no "
              "trigger would fire",
              db_user(db), db->where);
    return error_hint(
        err, "Nothing was touched. Remove the setting (ALTER ROLE or ALTER DATABASE ... RESET "
             "session_replication_role; PGOPTIONS), or run as a role that may change it.");
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
        error_set(err, SWEEP_USAGE,
                  "the server of %s is PostgreSQL %d.%d; pgsweep needs %d or later", db->where,
                  version / 10000, version % 10000, DB_OLDEST_SERVER / 10000);
        return error_hint(err, "Upgrade the server; versions before %d are out of support.",
                          DB_OLDEST_SERVER / 10000);
    }
    db_cancel_register(db->conn);
    return lift_timeout(db, err) && read_session_defaults(db, err) &&
           apply_settings(db, err) && ensure_triggers_act(db, err);
}

bool db_set_application_name(struct db *db, const char *name, struct error *err)
{
    talloc_free((void *)db->options.application_name);
    db->options.application_name = mem_strdup(db, name);
    return run_statement(db, "set_application_name", name, err);
}

bool db_set_search_path(struct db *db, const char *path, struct error *err)
{
    talloc_free(db->search_path);
    db->search_path = mem_strdup(db, path);
    return run_statement(db, "set_search_path", path, err);
}

bool db_set_async(struct db *db, bool async, struct error *err)
{
    db->async = async;
    return run_statement(db, "set_synchronous_commit", async ? "off" : db->synchronous_commit, err);
}

bool db_set_custom_plans(struct db *db, bool custom, struct error *err)
{
    db->custom_plans = custom;
    return run_statement(db, "set_plan_cache_mode", plan_cache_mode(db), err);
}

bool db_forget_statements(struct db *db, struct error *err)
{
    db->prepared_count = 0;
    return run_statement(db, "forget_statements", NULL, err);
}

bool db_is_async(const struct db *db)
{
    return db->async;
}

const char *db_synchronous_commit(const struct db *db)
{
    return db->synchronous_commit;
}
