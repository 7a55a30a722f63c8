/* Values and names as SQL writes them: arrays, identifiers, literals. */
#define _GNU_SOURCE
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

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
    char *r = mem_strdup(ctx, text); /* what is read becomes what is written, which is shorter */
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
