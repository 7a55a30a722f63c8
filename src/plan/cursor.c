/* What a sweep walks along: the cursor columns, and the condition that a row lies before or after a cursor. */
#include "internal.h"

void plan_append_cursor(PQExpBuffer out, const struct plan *plan, bool order_by)
{
    for (size_t i = 0; i < plan->cursor_count; i++)
        appendPQExpBuffer(out, "%st.%s%s", i ? ", " : "", plan->cursor[i]->ident,
                          order_by ? "" : "::pg_catalog.text");
}

void plan_append_bound(PQExpBuffer out, const struct plan *plan, const char *comparison, int first,
                       size_t columns)
{
    const char *plain = comparison[0] == '>' ? ">=" : "<=";
    if (columns == 1) {
        appendPQExpBuffer(out, " AND t.%s %s $%d::%s", plan->cursor[0]->ident, comparison, first,
                          plan->cursor[0]->type);
        return;
    }
    appendPQExpBufferStr(out, " AND (");
    plan_append_cursor(out, plan, true);
    appendPQExpBuffer(out, ") %s (", comparison);
    for (size_t i = 0; i < columns; i++)
        appendPQExpBuffer(out, "%s$%d::%s", i ? ", " : "", first + (int)i, plan->cursor[i]->type);
    /* The plain bound on the leading column keeps the planner's estimate honest. */
    appendPQExpBuffer(out, ")\nAND t.%s %s $%d::%s", plan->cursor[0]->ident, plain, first,
                      plan->cursor[0]->type);
}
