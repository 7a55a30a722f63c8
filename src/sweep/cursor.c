/* Positions in the walk, and keys of candidates. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

struct cursor cursor_from_row(const void *ctx, const struct db_rows *rows, int row, int first,
                              size_t columns)
{
    struct cursor cursor = {mem_array(ctx, const char *, columns), columns};
    for (size_t i = 0; i < columns; i++)
        cursor.values[i] = mem_strdup(cursor.values, db_rows_get(rows, row, first + (int)i));
    return cursor;
}

struct cursor cursor_copy(const void *ctx, const struct cursor *from)
{
    struct cursor cursor = {NULL, from->columns};
    if (from->columns == 0)
        return cursor;
    cursor.values = mem_array(ctx, const char *, from->columns);
    for (size_t i = 0; i < from->columns; i++)
        cursor.values[i] = mem_strdup(cursor.values, from->values[i]);
    return cursor;
}

enum bound_by cursor_bound(const struct cursor *cursor, const struct plan *plan)
{
    return cursor->columns == 0                    ? BY_NOTHING
           : cursor->columns == plan->cursor_count ? BY_ALL
                                                   : BY_AGE;
}

int cursor_add(const char **params, int n, const struct cursor *cursor)
{
    for (size_t i = 0; i < cursor->columns; i++)
        params[n++] = cursor->values[i];
    return n;
}

void cursor_reset(struct cursor *cursor)
{
    talloc_free(cursor->values);
    *cursor = (struct cursor){NULL, 0};
}

const char **key_from_row(const void *ctx, const struct plan *plan, const struct db_rows *rows,
                          int row, int first)
{
    const char **values = mem_array(ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        values[k] = db_rows_get(rows, row, first + (int)k);
    return values;
}

const char **key_arrays(const void *ctx, const struct plan *plan, const char *const *const *keys,
                        size_t count)
{
    const char **arrays = mem_array(ctx, const char *, plan->key_count);
    const char **column = mem_array(ctx, const char *, count + 1);
    for (size_t k = 0; k < plan->key_count; k++) {
        for (size_t i = 0; i < count; i++)
            column[i] = keys[i][k];
        arrays[k] = db_array(ctx, column, count);
    }
    return arrays;
}

char *key_text(const void *ctx, const struct plan *plan, const char *const *values)
{
    char *text = mem_strdup(ctx, "(");
    for (size_t k = 0; k < plan->key_count; k++)
        text = mem_check(talloc_asprintf_append(text, "%s%s", k ? ", " : "", plan->key[k]->name));
    text = mem_check(talloc_strdup_append(text, ")=("));
    for (size_t k = 0; k < plan->key_count; k++) {
        char *shown = text_escape(ctx, values[k], strlen(values[k]));
        text = mem_check(talloc_asprintf_append(text, "%s%s", k ? ", " : "", shown));
        talloc_free(shown);
    }
    return mem_check(talloc_strdup_append(text, ")"));
}

const char **key_copy(const void *ctx, const struct plan *plan, const char *const *key)
{
    const char **copy = mem_array(ctx, const char *, plan->key_count);
    for (size_t k = 0; k < plan->key_count; k++)
        copy[k] = mem_strdup(ctx, key[k]);
    return copy;
}

bool key_is(const struct plan *plan, const char *const *a, const char *const *b)
{
    for (size_t k = 0; k < plan->key_count; k++)
        if (strcmp(a[k], b[k]) != 0)
            return false;
    return true;
}
