/* The state schema: creating, upgrading and checking it. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/template.h"

static const char INIT[] = "sql/init.sql";

static char *grants(const void *ctx, const char *quoted_role)
{
    return template_fill(ctx, INIT, "grant", TEMPLATE_SLOTS({"role", quoted_role}));
}

char *state_grants_sql(const void *ctx, struct db *db, const char *role)
{
    return grants(ctx, db_quote_ident(db, ctx, role));
}

char *state_init_sql(const void *ctx, struct db *db, const char *role)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, embedded_text("sql/state.sql"));
    if (role) {
        char *quoted = db_quote_ident(db, ctx, role);
        /* Of its owner's own rights nothing is taken: this very script uses them. */
        if (strcmp(role, db_user(db)) != 0)
            appendPQExpBuffer(sql, "\n%s;\n",
                              template_fill(ctx, INIT, "revoke", TEMPLATE_SLOTS({"role", quoted})));
        appendPQExpBuffer(sql, "%s;\n", grants(ctx, quoted));
    }
    return buffer_take(ctx, sql);
}

static bool check_version(const struct db_rows *rows, struct error *err)
{
    int64_t version = db_rows_count(rows) == 1 ? db_rows_int(rows, 0, 0) : 0;
    if (version == STATE_VERSION)
        return true;
    error_set(err, SWEEP_USAGE,
              "the state schema is of version %lld; this pgsweep needs version %d",
              (long long)version, STATE_VERSION);
    return error_hint(err, version < STATE_VERSION ? "Run \"pgsweep init\" to upgrade it."
                                                   : "Upgrade pgsweep on this host.");
}

bool state_init(struct db *db, const char *role, struct error *err)
{
    void *scratch = talloc_new(db);
    char *lock = mem_printf(scratch, "%lld", (long long)run_lock_key("init"));
    char *begin = template_fill(scratch, INIT, "begin", TEMPLATE_SLOTS({"lock", lock}));
    bool ok = db_execute(db, scratch, &db_begin, 0, NULL, NULL, err) && db_script(db, begin, err) &&
              trust_check_state(db, err) && db_script(db, state_init_sql(scratch, db, role), err) &&
              db_execute(db, scratch, &db_commit, 0, NULL, NULL, err);
    if (!ok)
        db_rollback(db);
    if (!ok && err->code != SWEEP_REFUSED) {
        error_prefix(err, "the state schema could not be created");
        if (sqlstate_is(err, SQLSTATE_INSUFFICIENT_PRIVILEGE)) {
            char *quoted = db_quote_ident(db, scratch, db_user(db));
            char *database = db_quote_ident(db, scratch, db_database(db));
            error_hint(
                err, "Run it as the owner of the database, or: GRANT CREATE ON DATABASE %s TO %s;",
                database, quoted);
        }
    }
    /* A schema of a later version is left as it is: say so, and do not claim it to be ours. */
    struct db_rows *version;
    ok = ok &&
         db_query(db, scratch, template_fill(scratch, INIT, "version", NULL), 0, NULL, &version,
                  err) &&
         check_version(version, err);
    talloc_free(scratch);
    return ok;
}

static bool no_state(struct db *db, struct error *err)
{
    error_set(err, SWEEP_USAGE, "the state schema \"pgsweep\" is missing in %s", db_where(db));
    return error_hint(
        err,
        "Run \"pgsweep init\" once as the database's owner (\"pgsweep init --role %s\" "
        "grants its use), or preview with --dry-run, which needs no state.",
        db_user(db));
}

static bool not_granted(struct db *db, struct error *err)
{
    char *quoted = db_quote_ident(db, db, db_user(db));
    error_set(err, SWEEP_USAGE, "role %s may not use the state schema \"pgsweep\"", quoted);
    char *line = grants(db, quoted);
    for (char *p = line; *p; p++)
        if (*p == '\n')
            *p = ' ';
    error_hint(err, "%s; or, as its owner: pgsweep init --role %s", line, db_user(db));
    talloc_free(line);
    talloc_free(quoted);
    return false;
}

/* Its answer, or why there is none. */
static const struct db_rows *answer(const struct db_question *question, struct error *err)
{
    if (!question->rows)
        error_move(err, question->error);
    return question->rows;
}

bool state_check(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    enum { SCHEMA, TABLES, VERSION, QUESTIONS };
    struct db_question questions[QUESTIONS] = {
        [SCHEMA].sql = template_fill(scratch, INIT, "schema", NULL),
        [TABLES].sql = template_fill(scratch, INIT, "tables", NULL),
        [VERSION].sql = template_fill(scratch, INIT, "version", NULL)};
    bool ok = db_ask(db, scratch, questions, QUESTIONS, err) || !db_is_lost(db);
    if (ok) {
        /* Where the schema is not there, the others fail; the first answer that is no good tells
         * why. */
        error_clear(err);
        const struct db_rows *schema = answer(&questions[SCHEMA], err), *tables = NULL,
                             *version = NULL;
        ok = schema && (db_rows_bool(schema, 0, 0) || no_state(db, err)) &&
             (db_rows_bool(schema, 0, 1) || not_granted(db, err)) &&
             (tables = answer(&questions[TABLES], err)) &&
             (db_rows_count(tables) > 0 || no_state(db, err)) &&
             (db_rows_bool(tables, 0, 0) || not_granted(db, err)) &&
             (version = answer(&questions[VERSION], err)) && check_version(version, err);
    }
    talloc_free(scratch);
    return ok;
}
