/* What a session looks like before the first statement of a run: everything that could change the
 * meaning of a statement is set here, whatever the role, the database or the server have. The
 * settings are in src/sql/session.sql. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
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

static bool apply_settings(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    const char *params[DB_SETTING_PARAMS];
    int n = db_setting_params(db, scratch, params);
    char *sql = template_fill(scratch, SESSION, "set_up",
                              TEMPLATE_SLOTS({"transaction", "false"}, {"shared", NULL}));
    bool ok = db_query(db, scratch, sql, n, params, NULL, err);
    talloc_free(scratch);
    return ok;
}

/* A statement before the settings, for a role whose own timeout is too short for the rest; and
 * perhaps for this too. Its answer is owned by db. */
static bool ask_patiently(struct db *db, const char *name, struct db_rows **rows, struct error *err)
{
    enum { TRIES = 50 };
    for (int i = 0; i < TRIES; i++) {
        error_clear(err);
        char *sql = session_sql(db, name);
        bool ok = db_query(db, db, sql, 0, NULL, rows, err);
        talloc_free(sql);
        if (ok)
            return true;
        if (!sqlstate_is(err, SQLSTATE_QUERY_CANCELED))
            return false;
    }
    return error_hint(err, "The role's statement_timeout is too short even to change it.");
}

/* Nothing may be set in a session before it is known to be ours alone. */
static bool find_owner(struct db *db, struct error *err)
{
    struct db_rows *rows;
    const char *pretend = getenv("PGSWEEP_TEST_SESSION"); /* for the tests: "pooled" */
    db->pooled = false;
    if (!ask_patiently(db, "probe", &rows, err))
        return false;
    db->pooled = !db_session_is_own(db, rows) || (pretend && strcmp(pretend, "pooled") == 0);
    talloc_free(rows);
    return true;
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
    if (!sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE))
        return false;
    error_clear(err);
    return db_refuse_replica(db, err);
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
    if (!find_owner(db, err))
        return false;
    if (db->pooled)
        return db_pooled_setup(db, err);
    return ask_patiently(db, "lift_timeout", NULL, err) && read_session_defaults(db, err) &&
           apply_settings(db, err) && db_set_liveness(db, err) && ensure_triggers_act(db, err);
}

/* Changes one setting of the session; on one that is shared, the next transaction begins with it.
 */
static bool change(struct db *db, const char *name, const char *value, struct error *err)
{
    return db->pooled || run_statement(db, name, value, err);
}

bool db_set_application_name(struct db *db, const char *name, struct error *err)
{
    talloc_free((void *)db->options.application_name);
    db->options.application_name = mem_strdup(db, name);
    return change(db, "set_application_name", name, err);
}

bool db_set_search_path(struct db *db, const char *path, struct error *err)
{
    talloc_free(db->search_path);
    db->search_path = mem_strdup(db, path);
    return change(db, "set_search_path", path, err);
}

bool db_set_async(struct db *db, bool async, struct error *err)
{
    db->async = async;
    return change(db, "set_synchronous_commit", async ? "off" : db->synchronous_commit, err);
}

bool db_set_custom_plans(struct db *db, bool custom, struct error *err)
{
    db->custom_plans = custom;
    return change(db, "set_plan_cache_mode", db_plan_cache_mode(db), err);
}

bool db_forget_statements(struct db *db, struct error *err)
{
    db->prepared_count = 0;
    return db->pooled || run_statement(db, "forget_statements", NULL, err);
}

bool db_is_async(const struct db *db)
{
    return db->async;
}

const char *db_synchronous_commit(const struct db *db)
{
    return db->synchronous_commit;
}

bool db_set_liveness(struct db *db, struct error *err)
{
    static const char *const names[DB_LIVENESS_STATEMENTS] = {"watch_network", "watch_client"};
    struct db_question questions[DB_LIVENESS_STATEMENTS];
    void *scratch = talloc_new(db);
    for (size_t i = 0; i < DB_LIVENESS_STATEMENTS; i++)
        questions[i] =
            (struct db_question){.sql = template_fill(scratch, "sql/session.sql", names[i], NULL)};
    /* A server whose system cannot do one of them goes without. */
    bool ok = db_ask(db, scratch, questions, DB_LIVENESS_STATEMENTS, err) || !db_is_lost(db);
    if (ok)
        error_clear(err);
    talloc_free(scratch);
    return ok;
}
