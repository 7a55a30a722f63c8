/* The set of candidates, and the rows that are old enough but spared. */
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "rowset.h"

static const char file[] = "sql/rows.sql";

static char *candidate(const struct rowset *set)
{
    PQExpBuffer out = createPQExpBuffer();
    if (set->anchor == ANCHOR_ELIGIBLE)
        plan_append_candidate(out, set->plan);
    else
        plan_append_keys(out, set->plan, set->anchor == ANCHOR_KEYS ? 1 : 2);
    return buffer_take(set->ctx, out);
}

/* The label by which a guard's rows are counted. What type it has is not known here: where users
 * have casts to text, it is made as by the output function of its type. */
static char *label_of(const struct rowset *set, const char *by)
{
    if (!set->plan->nodes[0]->table.has_text_casts)
        return mem_printf(set->ctx, "coalesce((%s)::pg_catalog.text, '(null)')", by);
    return mem_printf(set->ctx,
                      "CASE WHEN (%s) IS NULL THEN '(null)' ELSE pg_catalog.format('%%s', %s) END",
                      by, by);
}

static char *add_line(const struct rowset *set, char *text, const char *line)
{
    return mem_printf(set->ctx, "%s%s%s", text ? text : "", text ? "\n" : "", line);
}

/* Guards that are about the row and what it has, not about the rows below it. */
static char *guards(const struct rowset *set, bool labels)
{
    const struct plan *plan = set->plan;
    char *text = NULL;
    for (size_t i = 0; i < plan->guard_count; i++) {
        const struct plan_guard *guard = &plan->guards[i];
        if (labels && guard->by)
            text = add_line(set, text,
                            mem_printf(set->ctx,
                                       "WHEN pgsweep_g.pgsweep_guard OPERATOR(pg_catalog.=) %zu"
                                       " THEN %s",
                                       i + 1, label_of(set, guard->by)));
        if (!labels && !guard->below)
            text = add_line(set, text,
                            mem_printf(set->ctx, "WHEN %s IS NOT FALSE THEN %zu",
                                       condition_indented(set->ctx, guard->sql, strlen("WHEN ")),
                                       i + 1));
    }
    /* CASE wants one WHEN. */
    return text || labels ? text : mem_strdup(set->ctx, "WHEN false THEN 0");
}

static char *label(const struct rowset *set)
{
    char *labels = guards(set, true);
    return labels ? template_fill(set->ctx, file, "label", TEMPLATE_SLOTS({"labels", labels}))
                  : mem_strdup(set->ctx, "NULL::pg_catalog.text");
}

static char *old_enough(const struct rowset *set)
{
    const struct plan_column *age = set->plan->age;
    return mem_printf(set->ctx, "t.%s %s $1::%s", age->ident, age->below, age->value_type);
}

/* What keeps the planner from expecting next to no candidate, in a prediction. */
static char *floor_of(const struct rowset *set, const char *more, const char *rows)
{
    const struct plan_node *root = set->plan->nodes[0];
    if (set->anchor != ANCHOR_ELIGIBLE)
        return NULL;
    return template_fill(
        set->ctx, file, "floor",
        TEMPLATE_SLOTS(
            {"columns", mem_printf(set->ctx, "%s%s", rowset_columns(set, root, "t", false), more)},
            {"table", root->table.ident}, {"rows", rows}));
}

static void add_old(struct rowset *set, const char *old)
{
    const struct plan *plan = set->plan;
    const struct plan_node *root = plan->nodes[0];
    rowset_append(
        set, old,
        template_fill(
            set->ctx, file, "old_root",
            TEMPLATE_SLOTS({"columns", rowset_columns(set, root, "t", false)},
                           {"label", label(set)}, {"guards", guards(set, false)},
                           {"table", root->table.ident}, {"old", old_enough(set)},
                           {"where", condition_indented(set->ctx, plan->where_sql, strlen("AND "))},
                           {"floor", floor_of(set, ", 0, NULL::pg_catalog.text", "3000")})));
}

static void add_blocked(struct rowset *set, const char *old, const char *blocked)
{
    const struct plan_node *root = set->plan->nodes[0];
    char *rows = NULL;
    for (size_t i = 0; i < root->self_count; i++)
        rows = rowset_union(
            set, rows,
            template_fill(
                set->ctx, file, "blocked_root",
                TEMPLATE_SLOTS({"columns", rowset_columns(set, root, "b", true)}, {"old", old},
                               {"table", root->table.ident},
                               {"match", rowset_match(set, &root->self[i], "c", "b", "b")})));
    rows = rowset_union(set, rows,
                        rowset_next_level(set, root, blocked, root->self, root->self_count, true));
    rowset_append(set, blocked, rows);
}

void rowset_add_candidates(struct rowset *set)
{
    const struct plan_node *root = set->plan->nodes[0];
    const char *name = rowset_name(set, "going", root);
    const char *old = rowset_name(set, "old", root);
    char *unblocked = NULL;
    if (set->anchor != ANCHOR_ELIGIBLE || set->plan->guard_count == 0) {
        rowset_append(set, name,
                      template_fill(set->ctx, file, "going_root",
                                    TEMPLATE_SLOTS(
                                        {"columns", rowset_columns(set, root, "t", false)},
                                        {"table", root->table.ident}, {"candidate", candidate(set)},
                                        {"floor", floor_of(set, "", "1000")})));
        return;
    }
    add_old(set, old);
    if (plan_has_below(set->plan)) {
        const char *blocked = rowset_name(set, "blocked", root);
        add_blocked(set, old, blocked);
        unblocked = template_fill(set->ctx, file, "is_not_in",
                                  TEMPLATE_SLOTS({"set", blocked}, {"row", "b.pgsweep_row"},
                                                 {"table", "b.pgsweep_table"}));
    }
    rowset_append(set, name,
                  template_fill(set->ctx, file, "unspared_root",
                                TEMPLATE_SLOTS({"old", old}, {"unblocked", unblocked})));
}

/* What the row counts as where this guard is the first that spares it: its number; with a label if
 * any guard has one. */
static char *counted_as(const struct rowset *set, size_t guard, bool labels)
{
    const char *by = set->plan->guards[guard].by;
    if (!labels)
        return mem_printf(set->ctx, "%zu", guard + 1);
    return by ? mem_printf(set->ctx, "ARRAY['%zu', %s]", guard + 1, label_of(set, by))
              : mem_printf(set->ctx, "ARRAY['%zu', NULL]", guard + 1);
}

char *rowset_candidates_by_guard(const void *ctx, const struct plan *plan, const char *name)
{
    static const char counts[] = "sql/count.sql";
    const struct rowset set = {.ctx = talloc_new(ctx), .plan = plan, .anchor = ANCHOR_ELIGIBLE};
    bool labels = guards(&set, true) != NULL;
    char *whens = NULL;
    for (size_t i = 0; i < plan->guard_count; i++)
        whens =
            add_line(&set, whens,
                     mem_printf(set.ctx, "WHEN %s IS NOT FALSE THEN %s",
                                condition_indented(set.ctx, plan->guards[i].sql, strlen("WHEN ")),
                                counted_as(&set, i, labels)));
    char *guard = template_fill(
        set.ctx, counts, "guard",
        TEMPLATE_SLOTS({"guards", whens}, {"none", labels ? "ARRAY['0', NULL]" : "0"}));
    char *sql = template_fill(
        ctx, counts, name,
        TEMPLATE_SLOTS(
            {"number", labels ? "(g.pgsweep_guard)[1]::pg_catalog.int4" : "g.pgsweep_guard"},
            {"label", labels ? "(g.pgsweep_guard)[2]" : "NULL::pg_catalog.text"}, {"guard", guard},
            {"table", plan->nodes[0]->table.ident}, {"old", old_enough(&set)},
            {"where", condition_indented(set.ctx, plan->where_sql, strlen("AND "))}));
    talloc_free(set.ctx);
    return sql;
}
