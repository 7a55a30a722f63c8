/* Sets up a session before the first statement of a run: pins everything that could change the
 * meaning of a statement, whatever the role, the database or the server have set. The settings are
 * in src/sql/session.sql. */
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

/* The statement of that name. It lives until it or db is freed. */
static char *session_sql(struct db *db, const char *name)
{
    return template_fill(db, SESSION, name, NULL);
}

/* Runs one of these statements, with at most one parameter, and ignores its result. */
static bool run_statement(struct db *db, const char *name, const char *param, struct error *err)
{
    char *sql = session_sql(db, name);
    bool ok = db_query(db, db, sql, param ? 1 : 0, param ? &param : NULL, NULL, err);
    talloc_free(sql);
    return ok;
}

/* Statements before the settings, for a role whose own timeout is too short for the rest; and
 * perhaps for these too. */
static bool ask_patiently(struct db *db, const void *ctx, struct db_question *questions,
                          size_t count, struct error *err)
{
    enum { TRIES = 50 };
    for (int i = 0; i < TRIES; i++) {
        error_clear(err);
        if (db_ask(db, ctx, questions, count, err))
            return true;
        if (!sqlstate_is(err, SQLSTATE_QUERY_CANCELED))
            return false;
    }
    return error_hint(err, "The role's statement_timeout is too short even to change it.");
}

/* Finds out whether the session is ours alone: before that nothing may be set in it. */
static bool find_owner(struct db *db, struct error *err)
{
    const char *pretend = getenv("PGSWEEP_TEST_SESSION"); /* for the tests: "pooled" */
    void *scratch = talloc_new(db);
    struct db_question probe = {.sql = template_fill(scratch, SESSION, "probe", NULL)};
    db->pooled = false;
    bool ok = ask_patiently(db, scratch, &probe, 1, err);
    if (ok)
        db->pooled =
            !db_session_is_own(db, probe.rows) || (pretend && strcmp(pretend, "pooled") == 0);
    talloc_free(scratch);
    return ok;
}

/* Takes away the role's time limit and, on the first connection, reads what the session keeps of
 * the role's own settings. */
static bool read_session_defaults(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_question questions[] = {
        {.sql = template_fill(scratch, SESSION, "lift_timeout", NULL)},
        {.sql = template_fill(scratch, SESSION, "read_defaults", NULL)}};
    bool first = !db->search_path;
    bool ok = ask_patiently(db, scratch, questions, first ? 2 : 1, err);
    if (ok && first) {
        db->search_path = mem_strdup(db, db_rows_get(questions[1].rows, 0, 0));
        db->synchronous_commit = mem_strdup(db, db_rows_get(questions[1].rows, 0, 1));
    }
    talloc_free(scratch);
    return ok;
}

/* Under session_replication_role = replica no foreign key acts and no trigger fires: what a
 * deletion leaves behind would be orphans, without an error. "local" is left as it is: with it, all
 * triggers fire as usual. */
static bool ensure_triggers_act(struct db *db, const struct db_rows *role, struct error *err)
{
    if (strcmp(db_rows_get(role, 0, 0), "replica") != 0 ||
        run_statement(db, "set_replication_role", NULL, err))
        return true;
    if (!sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE))
        return false;
    error_clear(err);
    return db_refuse_replica(db, err);
}

/* With these the server notices in time that a client is gone, so that the lock of a dead one does
 * not keep the next run out. A server whose system cannot do one of them answers with an error and
 * goes without. */
enum { DB_LIVENESS_STATEMENTS = 2 };
static void liveness_questions(const void *ctx, struct db_question *questions)
{
    static const char *const names[DB_LIVENESS_STATEMENTS] = {"watch_network", "watch_client"};
    for (size_t i = 0; i < DB_LIVENESS_STATEMENTS; i++)
        questions[i] = (struct db_question){.sql = template_fill(ctx, SESSION, names[i], NULL)};
}

/* Pins the settings, has the server notice a dead client, and looks whether triggers act. */
static bool apply_settings(struct db *db, struct error *err)
{
    enum { SETTINGS, LIVENESS, ROLE = LIVENESS + DB_LIVENESS_STATEMENTS, QUESTIONS };
    void *scratch = talloc_new(db);
    const char *params[DB_SETTING_PARAMS];
    struct db_question questions[QUESTIONS];
    liveness_questions(scratch, questions + LIVENESS);
    questions[SETTINGS] = (struct db_question){
        .sql = template_fill(scratch, SESSION, "set_up",
                             TEMPLATE_SLOTS({"transaction", "false"}, {"shared", NULL})),
        .nparams = db_setting_params(db, scratch, params),
        .params = params};
    questions[ROLE] =
        (struct db_question){.sql = template_fill(scratch, SESSION, "replication_role", NULL)};
    (void)db_ask(db, scratch, questions, QUESTIONS, err);
    bool ok = questions[SETTINGS].rows && questions[ROLE].rows && !db_is_lost(db);
    if (ok) {
        error_clear(err);
        ok = ensure_triggers_act(db, questions[ROLE].rows, err);
    } else if (!db_is_lost(db) && questions[SETTINGS].rows) {
        error_clear(err);
        error_copy(err, questions[ROLE].error);
    }
    talloc_free(scratch);
    return ok;
}

bool db_session_setup(struct db *db, struct error *err)
{
    PQsetNoticeReceiver(db->conn, ignore_notice, NULL);
    int version = PQserverVersion(db->conn);
    /* For the tests of this check, which have no old server. */
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
    return read_session_defaults(db, err) && apply_settings(db, err);
}

/* Changes one setting of the session. If the session is shared, the next transaction begins with
 * the setting. */
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
