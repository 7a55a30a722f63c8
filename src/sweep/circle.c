/* A walk that comes back to where it was before would never end: the operators of the key
 * contradict each other. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static bool is_same(const struct cursor *a, const struct cursor *b)
{
    if (a->columns != b->columns)
        return false;
    for (size_t i = 0; i < a->columns; i++)
        if (strcmp(a->values[i], b->values[i]) != 0)
            return false;
    return true;
}

static char *cursor_text(const void *ctx, const struct sweep *sweep)
{
    char *text = mem_strdup(ctx, "");
    for (size_t i = 0; i < sweep->position.cursor.columns; i++) {
        char *shown = text_escape(ctx, sweep->position.cursor.values[i],
                                  strlen(sweep->position.cursor.values[i]));
        text = mem_printf(ctx, "%s%s%s = %s", text, i ? ", " : "", sweep->plan->cursor[i]->name,
                          shown);
    }
    return text;
}

static bool tell(const struct sweep *sweep, struct error *err)
{
    void *ctx = talloc_new(NULL);
    error_set(err, SWEEP_SOME_FAILED,
              "the sweep of %s does not move on: after %lld transactions it is again at %s",
              sweep->plan->nodes[0]->table.label, (long long)sweep->report->chunks,
              cursor_text(ctx, sweep));
    talloc_free(ctx);
    return error_hint(
        err, "Every row has its place in the order of the key. Check the operators of the types of "
             "these columns "
             "(\\do, \\dAo), their collations, and the index of the primary key (REINDEX).");
}

void sweep_walk_anew(struct sweep *sweep)
{
    cursor_reset(&sweep->position.cursor);
    cursor_reset(&sweep->position.circle.mark);
    sweep->position.circle = (struct circle){.reach = 1};
}

bool circle_check(struct sweep *sweep, struct error *err)
{
    struct circle *circle = &sweep->position.circle;
    if (is_same(&circle->mark, &sweep->position.cursor))
        return tell(sweep, err);
    if (++circle->steps < circle->reach)
        return true;
    cursor_reset(&circle->mark);
    *circle = (struct circle){.mark = cursor_copy(sweep->report, &sweep->position.cursor),
                              .reach = 2 * circle->reach};
    return true;
}
