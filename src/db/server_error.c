/* Which parts of a server's error are shown in the report, the log, dead letters and the run's
 * record. All of these are kept longer than the rows that they are about. SECURITY.md has the
 * rule. */
#include <string.h>

#include "internal.h"
#include "pgsweep/db_sqlstate.h"
#include "pgsweep/mem.h"

/* The start of the line that contains p. */
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

/* A field of the server's error; NULL: it has none. */
static const char *field(const PGresult *result, int code)
{
    return result ? PQresultErrorField(result, code) : NULL;
}

/* The server's message or, if there is none, libpq's message about the connection. */
static const char *message_of(const struct db *db, const PGresult *result)
{
    const char *message = field(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!message || !*message)
        message = result ? PQresultErrorMessage(result) : "";
    if (!*message)
        message = db->given_up ? db->given_up : PQerrorMessage(db->conn);
    return *message ? message : "no result";
}

/* Adds the parts of the detail and the context that may be shown. */
static void add_detail(struct error *err, const char *detail, const char *context)
{
    detail = detail && db_detail_is_shown(err->sqlstate) ? detail : "";
    char *where = db_shown_context(NULL, context ? context : "");
    if (*detail || *where)
        error_detail(err, "%s%s%s%s", detail, *detail && *where ? "\n" : "",
                     *where ? "context: " : "", where);
    talloc_free(where);
}

bool db_result_error(const struct db *db, const PGresult *result, struct error *err)
{
    const char *sqlstate = field(result, PG_DIAG_SQLSTATE);
    const char *hint = field(result, PG_DIAG_MESSAGE_HINT);
    bool lost = db_is_lost(db);
    bool gave_way =
        db->gave_way && sqlstate && strcmp(sqlstate, sqlstate_code(SQLSTATE_QUERY_CANCELED)) == 0;
    error_set(err, lost ? SWEEP_UNREACHABLE : SWEEP_USAGE, "%s",
              gave_way ? "the statement gave way to a session that waited for a lock on one of its "
                         "tables"
                       : message_of(db, result));
    error_sqlstate(err, gave_way   ? sqlstate_code(SQLSTATE_GAVE_WAY)
                        : sqlstate ? sqlstate
                        : lost     ? sqlstate_code(SQLSTATE_CONNECTION_FAILURE)
                                   : "");
    add_detail(err, field(result, PG_DIAG_MESSAGE_DETAIL), field(result, PG_DIAG_CONTEXT));
    if (hint)
        error_hint(err, "%s", hint);
    return false;
}
