/* How the columns of a key are compared: with the operators that the catalog names for them, of
 * whatever schema. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

static const char file[] = "sql/reach.sql";

static bool is_one(const char *const *texts, size_t n)
{
    for (size_t i = 1; i < n; i++)
        if (strcmp(texts[0], texts[i]) != 0)
            return false;
    return true;
}

/* Is there one name for the operators of all columns, so that a comparison of rows may use it? The
 * names are parallel for all operators of a column, but for those of operator classes that nobody
 * should write. */
bool compare_as_rows(const struct plan_column *const *columns, size_t n)
{
    const char *const *all[] = {NULL, NULL, NULL};
    void *ctx = talloc_new(NULL);
    bool one = true;
    for (int k = 0; k < 3; k++) {
        const char **names = mem_array(ctx, const char *, n + 1);
        for (size_t i = 0; i < n; i++)
            names[i] = k == 0   ? columns[i]->equal
                       : k == 1 ? columns[i]->above
                                : columns[i]->at_most;
        all[k] = names;
        one = one && is_one(all[k], n);
    }
    for (size_t i = 0; i < n; i++)
        one = one && !*columns[i]->operand;
    talloc_free(ctx);
    return one;
}

void compare_append_value(PQExpBuffer out, const struct plan_column *column, int parameter)
{
    appendPQExpBuffer(out, "$%d::%s%s", parameter, column->value_type, column->operand);
}

void compare_append_array(PQExpBuffer out, const struct plan_column *column, const char *array)
{
    appendPQExpBuffer(out, "%s::%s[]%s%s", array, column->value_type, column->operand,
                      *column->operand ? "[]" : "");
}

void compare_append_column(PQExpBuffer out, const char *alias, const struct plan_column *column)
{
    appendPQExpBuffer(out, "%s.%s%s", alias, column->ident, column->operand);
}

void compare_append_same(PQExpBuffer out, const char *a, const char *b,
                         const struct plan_column *const *key, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        appendPQExpBufferStr(out, i ? "\nAND " : "");
        compare_append_column(out, a, key[i]);
        appendPQExpBuffer(out, " %s ", key[i]->equal);
        compare_append_column(out, b, key[i]);
    }
}

void compare_append_in_array(PQExpBuffer out, const char *alias, const struct plan_column *column,
                             const char *array)
{
    compare_append_column(out, alias, column);
    appendPQExpBuffer(out, " %s ANY (", column->equal);
    compare_append_array(out, column, array);
    appendPQExpBufferChar(out, ')');
}

/* Column by column, as columns k1, k2... of the query. */
static void append_in_by_column(PQExpBuffer out, const char *alias,
                                const struct plan_column *const *key, size_t n, const char *query)
{
    void *ctx = talloc_new(NULL);
    PQExpBuffer names = createPQExpBuffer();
    PQExpBuffer match = createPQExpBuffer();
    for (size_t i = 0; i < n; i++) {
        appendPQExpBuffer(names, "%sk%zu", i ? ", " : "", i + 1);
        appendPQExpBufferStr(match, i ? "\nAND " : "");
        compare_append_column(match, alias, key[i]);
        appendPQExpBuffer(match, " %s k.k%zu%s", key[i]->equal, i + 1, key[i]->operand);
    }
    fragment_append(out, file, "in_query_by_column",
                    TEMPLATE_SLOTS({"query", query}, {"names", buffer_take(ctx, names)},
                                   {"match", buffer_take(ctx, match)}));
    talloc_free(ctx);
}

void compare_append_in(PQExpBuffer out, const char *alias, const struct plan_column *const *key,
                       size_t n, const char *query)
{
    if (!compare_as_rows(key, n)) {
        append_in_by_column(out, alias, key, n, query);
        return;
    }
    void *ctx = talloc_new(NULL);
    PQExpBuffer columns = createPQExpBuffer();
    reach_append_key(columns, alias, key, n);
    fragment_append(out, file, "in_query",
                    TEMPLATE_SLOTS({"columns", buffer_take(ctx, columns)}, {"equal", key[0]->equal},
                                   {"query", query}));
    talloc_free(ctx);
}
