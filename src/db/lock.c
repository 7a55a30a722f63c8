/* Session-level advisory locks, and whether the server is a standby. */

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static bool call_with_key(struct db *db, const char *name, int64_t key, bool *answer,
                          struct error *err)
{
    struct db_rows *rows;
    char *text = mem_printf(db, "%lld", (long long)key);
    const char *params[] = {text};
    char *sql = template_fill(text, "sql/session.sql", name, NULL);
    bool ok = db_query(db, text, sql, 1, params, &rows, err);
    if (ok)
        *answer = db_rows_bool(rows, 0, 0);
    talloc_free(text);
    return ok;
}

bool db_is_standby(struct db *db, bool *standby, struct error *err)
{
    struct db_rows *rows;
    char *sql = template_fill(db, "sql/session.sql", "in_recovery", NULL);
    bool ok = db_query(db, sql, sql, 0, NULL, &rows, err);
    if (ok)
        *standby = db_rows_bool(rows, 0, 0);
    talloc_free(sql);
    return ok;
}

bool db_try_lock(struct db *db, int64_t key, bool *got, struct error *err)
{
    return call_with_key(db, "try_lock", key, got, err);
}

bool db_unlock(struct db *db, int64_t key, struct error *err)
{
    bool held;
    return call_with_key(db, "unlock", key, &held, err);
}
