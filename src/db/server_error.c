/* What of a server's error is shown: in the report, the log, dead letters and the run's record, all
 * of which are kept longer than the rows that they are about. The rule is in SECURITY.md. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* The detail of these is the whole row that was refused ("Failing row contains (...)"). */
static const char *const with_rows[] = {
    "23502", /* not_null_violation */
    "23514", /* check_violation, also of a partition's bounds */
    "44000", /* with_check_option_violation */
};

bool db_detail_is_shown(const char *sqlstate)
{
    for (size_t i = 0; i < sizeof with_rows / sizeof *with_rows; i++)
        if (strcmp(sqlstate, with_rows[i]) == 0)
            return false;
    return true;
}

/* The start of the line that p is in. */
static const char *line_start(const char *text, const char *p)
{
    while (p > text && p[-1] != '\n')
        p--;
    return p;
}

char *db_shown_context(const void *ctx, const char *context)
{
    const char *first = strchr(context, '"');
    if (!first)
        return mem_strdup(ctx, context);
    const char *before = line_start(context, first);
    const char *after = strchr(strrchr(context, '"'), '\n');
    after = after ? after + 1 : "";
    int length = before > context ? (int)(before - context) - 1 : 0;
    return mem_printf(ctx, "%.*s%s%s", length, context, length > 0 && *after ? "\n" : "", after);
}

bool db_result_error(const struct db *db, const PGresult *result, struct error *err)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    const char *detail = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL) : NULL;
    const char *hint = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_HINT) : NULL;
    const char *context = result ? PQresultErrorField(result, PG_DIAG_CONTEXT) : NULL;
    bool lost = db_is_lost(db);
    if (db->gave_way && sqlstate && strcmp(sqlstate, "57014") == 0) {
        sqlstate = DB_GAVE_WAY;
        message = "the statement gave way to a session that waited for a lock on one of its tables";
    }
    if (!message || !*message)
        message = result ? PQresultErrorMessage(result) : "";
    if (!*message)
        message = db->given_up ? db->given_up : PQerrorMessage(db->conn);
    error_set(err, lost ? SWEEP_UNREACHABLE : SWEEP_USAGE, "%s", *message ? message : "no result");
    error_sqlstate(err, sqlstate ? sqlstate : lost ? "08006" : "");
    detail = detail && db_detail_is_shown(err->sqlstate) ? detail : "";
    char *where = db_shown_context(NULL, context ? context : "");
    if (*detail || *where)
        error_detail(err, "%s%s%s%s", detail, *detail && *where ? "\n" : "",
                     *where ? "context: " : "", where);
    if (hint)
        error_hint(err, "%s", hint);
    talloc_free(where);
    return false;
}
