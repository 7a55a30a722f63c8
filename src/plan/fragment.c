/* SQL conditions in the making: lists of them, alternatives, and where their lines start. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

void fragment_append(PQExpBuffer out, const char *file, const char *name,
                     const struct template_slot *slots)
{
    char *text = template_fill(NULL, file, name, slots);
    appendPQExpBufferStr(out, text);
    talloc_free(text);
}

void fragment_and_not_true(PQExpBuffer out, const char *conditions)
{
    appendPQExpBufferStr(out, "\nAND (");
    template_append(out, conditions, strlen("AND ("));
    appendPQExpBufferStr(out, ") IS NOT TRUE");
}

char *condition_indented(const void *ctx, const char *condition, size_t column)
{
    if (!condition)
        return NULL;
    PQExpBuffer out = createPQExpBuffer();
    template_append(out, condition, column);
    return buffer_take(ctx, out);
}

void alternatives_add(struct alternatives *alternatives, PQExpBuffer one)
{
    char *text = buffer_take(alternatives->ctx, one);
    size_t i = mem_grow(alternatives->ctx, &alternatives->list, &alternatives->count);
    alternatives->list[i] = text;
}

bool alternatives_append(PQExpBuffer out, const struct alternatives *alternatives)
{
    const size_t count = alternatives->count;
    if (count == 1)
        appendPQExpBufferStr(out, alternatives->list[0]);
    for (size_t i = 0; i < count && count > 1; i++) {
        const char *one = alternatives->list[i];
        bool several = strstr(one, "\nAND ") != NULL;
        /* What starts with AND comes below the first condition. */
        size_t column = strlen(i == 0 ? "AND (" : "     OR ") + 1;
        appendPQExpBufferStr(out, i == 0 ? "(" : "\n     OR ");
        appendPQExpBufferStr(out, several ? "(" : "");
        template_append(out, one, several ? column : strlen("AND ("));
        appendPQExpBufferStr(out, several ? ")" : "");
    }
    if (count > 1)
        appendPQExpBufferChar(out, ')');
    return count > 0;
}
