/* Session-level advisory locks, quoting, and the text form of arrays. */
#define _GNU_SOURCE
#include <string.h>

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

char *db_array(const void *ctx, const char *const *values, size_t count)
{
    size_t room = 3;
    for (size_t i = 0; i < count; i++)
        room += values[i] ? strlen(values[i]) * 2 + 3 : 5;
    char *out = mem_array(ctx, char, room);
    char *w = out;
    *w++ = '{';
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            *w++ = ',';
        if (!values[i]) {
            w = stpcpy(w, "NULL");
            continue;
        }
        *w++ = '"';
        for (const char *p = values[i]; *p; p++) {
            if (*p == '"' || *p == '\\')
                *w++ = '\\';
            *w++ = *p;
        }
        *w++ = '"';
    }
    *w++ = '}';
    *w = '\0';
    return out;
}

void db_array_split(const void *ctx, const char *text, const char ***values, size_t *count)
{
    char *r = mem_strdup(ctx, text); /* written in place: the result is shorter than the input */
    bool more = r[0] == '{' && r[1] != '}';
    *values = NULL;
    *count = 0;
    for (r++; more; r++) {
        bool quoted = *r == '"';
        r += quoted;
        char *w = r;
        size_t i = mem_grow(ctx, values, count);
        (*values)[i] = w;
        for (; *r && (quoted ? *r != '"' : *r != ',' && *r != '}'); r++) {
            r += *r == '\\' && r[1];
            *w++ = *r;
        }
        r += quoted && *r;
        more = *r == ',';
        *w = '\0';
    }
}

char *db_quote_ident(struct db *db, const void *ctx, const char *text)
{
    char *quoted = mem_check(PQescapeIdentifier(db->conn, text, strlen(text)));
    char *copy = mem_strdup(ctx, quoted);
    PQfreemem(quoted);
    return copy;
}

char *db_quote_literal(struct db *db, const void *ctx, const char *text)
{
    char *quoted = mem_check(PQescapeLiteral(db->conn, text, strlen(text)));
    char *copy = mem_strdup(ctx, quoted);
    PQfreemem(quoted);
    return copy;
}
