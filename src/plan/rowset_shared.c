/* The set of shared rows that lose their last reference, in a prediction. */
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/template.h"
#include "rowset.h"

static const char file[] = "sql/rows.sql";

/* Rows that lose a reference, and what they refer to within their table. */
static const char *add_linked(struct rowset *set, const struct plan_node *node)
{
    const char *name = rowset_name(set, "linked", node);
    char *rows = NULL;
    for (size_t i = 0; i < node->link_count; i++)
        rows = rowset_union(
            set, rows,
            template_fill(
                set->ctx, file, "by_link",
                TEMPLATE_SLOTS({"columns", rowset_columns(set, node, "b", false)},
                               {"table", node->table.ident},
                               {"set", rowset_of(set, node->links[i].child)},
                               {"match", rowset_match(set, &node->links[i], "l", "b", "l")})));
    if (node->self_count > 0)
        rows = rowset_union(set, rows,
                            rowset_next_level(set, node, name, node->self, node->self_count, true));
    rowset_append(set, name, rows);
    return name;
}

/* Those of the set linked that a row refers to which not_going says stays. */
static char *kept_by(struct rowset *set, const char *linked, const struct plan_edge *use,
                     const char *not_going)
{
    return template_fill(set->ctx, file, "kept_by",
                         TEMPLATE_SLOTS({"linked", linked}, {"table", use->table},
                                        {"match", rowset_match(set, use, "u", "b", "b")},
                                        {"not_going", not_going}));
}

const char *rowset_kept(const struct rowset *set, const struct plan_node *node, size_t use)
{
    return rowset_name(set, mem_printf(set->ctx, "kept_by_%zu", use + 1), node);
}

/* "NOT EXISTS": the row b is not in the set. */
static char *b_not_in(struct rowset *set, const char *name)
{
    return template_fill(
        set->ctx, file, "is_not_in",
        TEMPLATE_SLOTS({"set", name}, {"row", "b.pgsweep_row"}, {"table", "b.pgsweep_table"}));
}

/* A set for each reference from other tables that keeps rows; the sets' names, as conditions on b,
 * joined by AND. */
static char *add_kept(struct rowset *set, const struct plan_node *node, const char *linked,
                      char **kept)
{
    char *conditions = NULL;
    *kept = NULL;
    for (size_t i = 0; i < node->use_count; i++) {
        const struct plan_edge *use = &node->uses[i];
        const char *name = rowset_kept(set, node, i);
        char *not_going =
            use->child ? rowset_not_going(set, &use->child->table, "u", false, NULL, false) : NULL;
        rowset_append(set, name, kept_by(set, linked, use, not_going));
        char *one = b_not_in(set, name);
        conditions = conditions ? mem_printf(set->ctx, "%s\nAND %s", conditions, one) : one;
        *kept = rowset_union(
            set, *kept, template_fill(set->ctx, file, "all_kept", TEMPLATE_SLOTS({"set", name})));
    }
    return conditions;
}

void rowset_add_shared(struct rowset *set, const struct plan_node *node)
{
    const char *linked = add_linked(set, node);
    char *kept;
    char *not_kept = add_kept(set, node, linked, &kept);
    if (node->self_count > 0) {
        /* What a kept row refers to within the table, or one that nothing is taken from, stays too.
         */
        const char *blocked = rowset_name(set, "blocked", node);
        const char *member = template_fill(
            set->ctx, file, "is_not_in",
            TEMPLATE_SLOTS({"set", linked}, {"row", "u.ctid"}, {"table", "u.tableoid"}));
        for (size_t i = 0; i < node->self_count; i++)
            kept = rowset_union(set, kept, kept_by(set, linked, &node->self[i], member));
        kept = rowset_union(
            set, kept, rowset_next_level(set, node, blocked, node->self, node->self_count, true));
        rowset_append(set, blocked, kept);
        not_kept = b_not_in(set, blocked);
    }
    rowset_append(set, rowset_name(set, "going", node),
                  template_fill(set->ctx, file, "unkept",
                                TEMPLATE_SLOTS({"linked", linked}, {"not_kept", not_kept})));
}
