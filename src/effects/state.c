/* The state schema: creating, upgrading and checking it. */
#include <string.h>

#include "internal.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"

char *state_init_sql(const void *ctx, struct db *db, const char *role)
{
    PQExpBuffer sql = createPQExpBuffer();
    appendPQExpBufferStr(sql, embedded_text("sql/state.sql"));
    if (role) {
        char *quoted = db_quote_ident(db, ctx, role);
        appendPQExpBuffer(sql,
                          "\nGRANT USAGE ON SCHEMA pgsweep TO %s;\n"
                          "GRANT SELECT ON pgsweep.state TO %s;\n"
                          "GRANT SELECT, INSERT, UPDATE, DELETE ON pgsweep.runs, pgsweep.object_queue,"
                          " pgsweep.object_sources, pgsweep.dead_letters, pgsweep.spared TO %s;\n",
                          quoted, quoted, quoted);
    }
    return buffer_take(ctx, sql);
}

static bool check_version(struct db *db, void *scratch, struct error *err)
{
    struct db_rows *rows;
    if (!db_query(db, scratch, "SELECT version FROM pgsweep.state", 0, NULL, &rows, err))
        return false;
    int64_t version = db_rows_count(rows) == 1 ? db_rows_int(rows, 0, 0) : 0;
    if (version == STATE_VERSION)
        return true;
    error_set(err, SWEEP_USAGE, "the state schema is of version %lld; this pgsweep needs version %d",
              (long long)version, STATE_VERSION);
    return error_hint(err, version < STATE_VERSION ? "Run \"pgsweep init\" to upgrade it."
                                                   : "Upgrade pgsweep on this host.");
}

bool state_init(struct db *db, const char *role, struct error *err)
{
    void *scratch = talloc_new(db);
    /* Two of them at once would trip over each other's IF NOT EXISTS. */
    char *sql = mem_printf(scratch, "BEGIN;\nSELECT pg_catalog.pg_advisory_xact_lock(%lld);\n%s\nCOMMIT;",
                           (long long)run_lock_key("init"), state_init_sql(scratch, db, role));
    bool ok = db_script(db, sql, err);
    if (!ok) {
        db_rollback(db);
        error_prefix(err, "the state schema could not be created");
        if (strcmp(err->sqlstate, "42501") == 0) {
            char *quoted = db_quote_ident(db, scratch, db_user(db));
            char *database = db_quote_ident(db, scratch, db_database(db));
            error_hint(err, "Run it as the owner of the database, or: GRANT CREATE ON DATABASE %s TO %s;",
                       database, quoted);
        }
    }
    /* A schema of a later version is left as it is: say so, and do not claim it to be ours. */
    ok = ok && check_version(db, scratch, err);
    talloc_free(scratch);
    return ok;
}

static const char probe[] =
    "SELECT pg_catalog.to_regnamespace('pgsweep') IS NOT NULL AS present,"
    "       CASE WHEN pg_catalog.to_regnamespace('pgsweep') IS NOT NULL"
    "            THEN pg_catalog.has_schema_privilege('pgsweep', 'USAGE') END AS usable";

static const char probe_tables[] =
    "SELECT pg_catalog.has_table_privilege('pgsweep.state', 'SELECT')"
    "   AND pg_catalog.has_table_privilege('pgsweep.runs', 'SELECT')"
    "   AND pg_catalog.has_table_privilege('pgsweep.runs', 'INSERT')"
    "   AND pg_catalog.has_table_privilege('pgsweep.runs', 'UPDATE')"
    "   AND pg_catalog.has_table_privilege('pgsweep.object_queue', 'INSERT')"
    "   AND pg_catalog.has_table_privilege('pgsweep.object_queue', 'DELETE')"
    "   AND pg_catalog.has_table_privilege('pgsweep.object_sources', 'INSERT')"
    "   AND pg_catalog.has_table_privilege('pgsweep.dead_letters', 'INSERT')"
    /* Not there before version 2, which is for check_version to say. */
    "   AND coalesce(pg_catalog.has_table_privilege(s.oid, 'INSERT')"
    "                AND pg_catalog.has_table_privilege(s.oid, 'SELECT')"
    "                AND pg_catalog.has_table_privilege(s.oid, 'DELETE'), true)"
    " FROM (SELECT pg_catalog.to_regclass('pgsweep.spared')::pg_catalog.oid AS oid"
    "        WHERE pg_catalog.to_regclass('pgsweep.state') IS NOT NULL"
    "                AND pg_catalog.to_regclass('pgsweep.runs') IS NOT NULL"
    "                AND pg_catalog.to_regclass('pgsweep.object_queue') IS NOT NULL"
    "                AND pg_catalog.to_regclass('pgsweep.object_sources') IS NOT NULL"
    "                AND pg_catalog.to_regclass('pgsweep.dead_letters') IS NOT NULL) AS s";

static bool no_state(struct db *db, struct error *err)
{
    error_set(err, SWEEP_USAGE, "the state schema \"pgsweep\" is missing in %s", db_where(db));
    return error_hint(err, "Run \"pgsweep init\" once as the database's owner (\"pgsweep init --role %s\" "
                           "grants its use), or preview with --dry-run, which needs no state.",
                      db_user(db));
}

static bool not_granted(struct db *db, struct error *err)
{
    char *quoted = db_quote_ident(db, db, db_user(db));
    error_set(err, SWEEP_USAGE, "role %s may not use the state schema \"pgsweep\"", quoted);
    error_hint(err, "GRANT USAGE ON SCHEMA pgsweep TO %s; GRANT SELECT ON pgsweep.state TO %s; "
                    "GRANT SELECT, INSERT, UPDATE, DELETE ON pgsweep.runs, pgsweep.object_queue, "
                    "pgsweep.object_sources, pgsweep.dead_letters, pgsweep.spared TO %s; "
                    "or, as its owner: pgsweep init --role %s",
               quoted, quoted, quoted, db_user(db));
    talloc_free(quoted);
    return false;
}

bool state_check(struct db *db, struct error *err)
{
    void *scratch = talloc_new(db);
    struct db_rows *rows;
    bool ok = db_query(db, scratch, probe, 0, NULL, &rows, err);
    if (ok && !db_rows_bool(rows, 0, 0))
        ok = no_state(db, err);
    else if (ok && !db_rows_bool(rows, 0, 1))
        ok = not_granted(db, err);
    ok = ok && db_query(db, scratch, probe_tables, 0, NULL, &rows, err);
    if (ok && db_rows_count(rows) == 0)
        ok = no_state(db, err);
    else if (ok && !db_rows_bool(rows, 0, 0))
        ok = not_granted(db, err);
    ok = ok && check_version(db, scratch, err);
    talloc_free(scratch);
    return ok;
}
