/* Access to the rows of a result. */
#include <stdlib.h>

#include "internal.h"
#include "pgsweep/mem.h"

static int rows_destructor(struct db_rows *rows)
{
    PQclear(rows->result);
    return 0;
}

struct db_rows *db_rows_wrap(const void *ctx, PGresult *result)
{
    struct db_rows *rows = mem_new(ctx, struct db_rows);
    rows->result = result;
    talloc_set_destructor(rows, rows_destructor);
    return rows;
}

int db_rows_count(const struct db_rows *rows)
{
    return PQntuples(rows->result);
}

int db_rows_columns(const struct db_rows *rows)
{
    return PQnfields(rows->result);
}

const char *db_rows_name(const struct db_rows *rows, int column)
{
    return PQfname(rows->result, column);
}

const char *db_rows_get(const struct db_rows *rows, int row, int column)
{
    return PQgetisnull(rows->result, row, column) ? NULL : PQgetvalue(rows->result, row, column);
}

int64_t db_rows_int(const struct db_rows *rows, int row, int column)
{
    const char *text = db_rows_get(rows, row, column);
    return text ? strtoll(text, NULL, 10) : 0;
}

bool db_rows_bool(const struct db_rows *rows, int row, int column)
{
    const char *text = db_rows_get(rows, row, column);
    return text && text[0] == 't';
}

int64_t db_rows_affected(const struct db_rows *rows)
{
    const char *tuples = PQcmdTuples(rows->result);
    return *tuples ? strtoll(tuples, NULL, 10) : 0;
}
