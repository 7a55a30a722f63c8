/* What a sweep walks along: the cursor columns, and the condition that a row lies before or after a
 * cursor. */
#include "internal.h"
#include "pgsweep/mem.h"

static void append_as_text(PQExpBuffer out, const struct plan_column *column, const char *value)
{
    if (column->output)
        /* The output function of an enum takes no domain over one. */
        appendPQExpBuffer(out, "pg_catalog.textin(%s((%s)::%s))", column->output, value,
                          column->value_type);
    else
        appendPQExpBuffer(out, "%s::pg_catalog.text", value);
}

void plan_append_text(PQExpBuffer out, const char *alias, const struct plan_column *column)
{
    char *value = mem_printf(NULL, "%s.%s", alias, column->ident);
    append_as_text(out, column, value);
    talloc_free(value);
}

void plan_append_cursor(PQExpBuffer out, const struct plan *plan, bool order_by)
{
    for (size_t i = 0; i < plan->cursor_count; i++) {
        appendPQExpBufferStr(out, i ? ", " : "");
        if (order_by)
            appendPQExpBuffer(out, "t.%s", plan->cursor[i]->ident);
        else
            plan_append_text(out, "t", plan->cursor[i]);
    }
}

void plan_append_last(PQExpBuffer out, const struct plan *plan)
{
    for (size_t i = 0; i < plan->cursor_count; i++) {
        char *last =
            mem_printf(NULL, "(pg_catalog.array_agg(t.%s))[pg_catalog.count(*)::pg_catalog.int4]",
                       plan->cursor[i]->ident);
        appendPQExpBufferStr(out, i ? ",\n" : "");
        append_as_text(out, plan->cursor[i], last);
        talloc_free(last);
    }
}

void plan_append_key_arrays(PQExpBuffer out, const struct plan *plan)
{
    for (size_t i = 0; i < plan->key_count; i++) {
        appendPQExpBuffer(out, "%spg_catalog.array_agg(", i ? ",\n" : "");
        plan_append_text(out, "t", plan->key[i]);
        appendPQExpBufferStr(out, ")::pg_catalog.text");
    }
}

static void append_comparison(PQExpBuffer out, const struct plan_column *column,
                              const char *operator, int parameter)
{
    compare_append_column(out, "t", column);
    appendPQExpBuffer(out, " %s ", operator);
    compare_append_value(out, column, parameter);
}

/* All columns at once: an index range. */
static void append_rows(PQExpBuffer out, const struct plan *plan, bool after, int first,
                        size_t columns)
{
    appendPQExpBufferChar(out, '(');
    plan_append_cursor(out, plan, true);
    appendPQExpBuffer(out, ") %s (", after ? plan->cursor[0]->above : plan->cursor[0]->at_most);
    for (size_t i = 0; i < columns; i++) {
        appendPQExpBufferStr(out, i ? ", " : "");
        compare_append_value(out, plan->cursor[i], first + (int)i);
    }
    appendPQExpBufferChar(out, ')');
}

/* The same where the columns' operators are of several schemas. */
static void append_expanded(PQExpBuffer out, const struct plan *plan, bool after, int first,
                            size_t columns)
{
    for (size_t i = 0; i < columns; i++) {
        const struct plan_column *column = plan->cursor[i];
        bool last = i + 1 == columns;
        appendPQExpBufferChar(out, '(');
        append_comparison(out, column,
                          after  ? column->above
                          : last ? column->at_most
                                 : column->below,
                          first + (int)i);
        if (last)
            break;
        appendPQExpBufferStr(out, " OR ");
        append_comparison(out, column, column->equal, first + (int)i);
        appendPQExpBufferStr(out, " AND ");
    }
    for (size_t i = 0; i < columns; i++)
        appendPQExpBufferChar(out, ')');
}

void plan_append_bound(PQExpBuffer out, const struct plan *plan, bool after, int first,
                       size_t columns)
{
    const struct plan_column *leading = plan->cursor[0];
    appendPQExpBufferStr(out, " AND ");
    if (columns == 1) {
        append_comparison(out, leading, after ? leading->above : leading->at_most, first);
        return;
    }
    (compare_as_rows(plan->cursor, columns) ? append_rows : append_expanded)(out, plan, after,
                                                                             first, columns);
    /* The plain bound on the leading column keeps the planner's estimate honest. */
    appendPQExpBufferStr(out, "\nAND ");
    append_comparison(out, leading, after ? leading->at_least : leading->at_most, first);
}
