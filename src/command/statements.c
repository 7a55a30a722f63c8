/* The statements of a run, printed for a person who wants to read the SQL before it is run. */
#include <stdio.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/plan.h"
#include "pgsweep/state_spared.h"
#include "pgsweep/sweep.h"
#include "pgsweep/text.h"

enum { WIDTH = 116 };

/* Text as SQL comments, broken between words. */
static void print_comment(const char *given, FILE *out)
{
    char *line =
        text_line(NULL, given); /* what follows a line break would be no comment any more */
    const char *text = line;
    while (*text) {
        size_t length = strlen(text);
        if (length > WIDTH) {
            length = WIDTH;
            while (length > 0 && text[length] != ' ')
                length--;
            if (length == 0)
                length = strcspn(text, " ");
        }
        fprintf(out, "-- %.*s\n", (int)length, text);
        text += length;
        text += strspn(text, " ");
    }
    talloc_free(line);
}

static void print_statement(const struct sweep_statement *s, FILE *out)
{
    fprintf(out, "\n-- %s (%s)\n", s->name, s->when);
    if (s->why)
        print_comment(s->why, out);
    if (s->parameters)
        print_comment(s->parameters, out);
    char *shown = text_lines(NULL, s->sql);
    fprintf(out, "%s;\n", shown);
    talloc_free(shown);
}

static void print_heading(const void *ctx, const struct plan *plan, FILE *out)
{
    fprintf(out, "-- policy %s: the statements of a run, in their order; none of them was run\n",
            plan->policy->name);
    bool same = strcmp(plan->cutoff, plan->cutoff_value) == 0;
    print_comment(mem_printf(ctx, "table %s, cutoff %s%s%s", plan->nodes[0]->table.label,
                             plan->cutoff, same ? "" : ": compared with ",
                             same ? "" : plan->cutoff_value),
                  out);
    print_comment(mem_printf(ctx, "strategy: %s (%s), along %s (%s)",
                             plan->strategy == STRATEGY_RANGE ? "range" : "locked",
                             plan->strategy_reason,
                             plan->walk == WALK_AGE ? "age and key" : "the key", plan->walk_reason),
                  out);
    if (plan->spared_run)
        fprintf(out, "-- %s stands for the id of the run\n", plan->spared_run);
}

void statements_print(struct db *db, const struct plan *plan, const struct sweep_budget *budget,
                      FILE *out)
{
    void *ctx = talloc_new(NULL);
    char *why;
    struct sweep_statement before = {.when = "dry run", .name = "count", .parameters = "$1 cutoff"};
    print_heading(ctx, plan, out);
    before.sql = plan_count_sql(ctx, plan, true, &why);
    before.why = why;
    print_statement(&before, out);
    before.when = "before the first chunk";
    before.sql = plan_count_sql(ctx, plan, false, &why);
    before.why = why;
    print_statement(&before, out);
    before.name = "record_spared";
    before.sql = spared_record_sql(ctx, db, plan, &why);
    before.why = why;
    if (before.sql)
        print_statement(&before, out);
    struct sweep_statement *statements;
    size_t count = sweep_statements(ctx, plan, budget, &statements);
    for (size_t i = 0; i < count; i++)
        print_statement(&statements[i], out);
    talloc_free(ctx);
}
