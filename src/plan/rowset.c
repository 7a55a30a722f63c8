/* Sets of rows as common table expressions: along references, from the candidates or the rows in
 * hand. */
#include "rowset.h"

#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char file[] = "sql/rows.sql";

/* Which columns of a table are compared with those of others. */
struct names {
    const char **list;
    size_t count;
};

char *rowset_name(const struct rowset *set, const char *what, const struct plan_node *node)
{
    char table[33];
    size_t n = 0;
    for (const char *p = node->table.name; *p && n + 1 < sizeof table; p++)
        table[n++] = (isalnum((unsigned char)*p) && (unsigned char)*p < 128)
                         ? (char)tolower((unsigned char)*p)
                         : '_';
    table[n] = '\0';
    return mem_printf(set->ctx, "%s_%d_%s", what, node->index, table);
}

static void add_names(const struct rowset *set, struct names *names, const char *const *columns,
                      size_t count)
{
    for (size_t i = 0; i < count; i++) {
        bool known = false;
        for (size_t j = 0; j < names->count && !known; j++)
            known = strcmp(names->list[j], columns[i]) == 0;
        if (known)
            continue;
        size_t k = mem_grow(set->ctx, &names->list, &names->count);
        names->list[k] = columns[i];
    }
}

/* Both sides of references within the table. */
static void add_self(const struct rowset *set, struct names *names, const struct plan_node *node)
{
    for (size_t i = 0; i < node->self_count; i++) {
        add_names(set, names, node->self[i].columns, node->self[i].width);
        add_names(set, names, node->self[i].referred, node->self[i].width);
    }
}

static struct names needed(const struct rowset *set, const struct plan_node *node)
{
    const struct plan *plan = set->plan;
    struct names names = {0};
    if (set->consumer && set->consumer->parent == node)
        add_names(set, &names, set->consumer->referred, set->consumer->width);
    for (size_t i = 1; i < plan->node_count; i++) {
        const struct plan_node *other = plan->nodes[i];
        for (size_t e = 0; plan_acts(other) && e < other->edge_count; e++)
            if (other->edges[e].parent == node)
                add_names(set, &names, other->edges[e].referred, other->edges[e].width);
        for (size_t l = 0; l < other->link_count; l++)
            if (other->links[l].child == node)
                add_names(set, &names, other->links[l].columns, other->links[l].width);
    }
    for (size_t i = 0; i < node->use_count; i++)
        add_names(set, &names, node->uses[i].referred, node->uses[i].width);
    add_self(set, &names, node);
    return names;
}

char *rowset_columns(const struct rowset *set, const struct plan_node *node, const char *alias,
                     bool from_set)
{
    struct names names = needed(set, node);
    char *text = from_set
                     ? mem_printf(set->ctx, "%s.pgsweep_table, %s.pgsweep_row", alias, alias)
                     : mem_printf(set->ctx, "%s.tableoid AS pgsweep_table, %s.ctid AS pgsweep_row",
                                  alias, alias);
    for (size_t i = 0; i < names.count; i++)
        text = mem_check(talloc_asprintf_append(text, ", %s.%s", alias, names.list[i]));
    return text;
}

char *rowset_match(const struct rowset *set, const struct plan_edge *edge, const char *child,
                   const char *parent, const char *which)
{
    PQExpBuffer out = createPQExpBuffer();
    reach_append_match_set(out, edge, child, parent, which);
    return buffer_take(set->ctx, out);
}

void rowset_append(struct rowset *set, const char *name, const char *rows)
{
    appendPQExpBufferStr(set->sql, set->sql->len == 0 ? "WITH RECURSIVE " : ",\n");
    appendPQExpBufferStr(set->sql, template_fill(set->ctx, file, "set",
                                                 TEMPLATE_SLOTS({"name", name}, {"rows", rows})));
}

char *rowset_union(const struct rowset *set, const char *queries, const char *next)
{
    return mem_printf(set->ctx, "%s%s%s", queries ? queries : "", queries ? "\nUNION\n" : "", next);
}

static char *lookup(const struct rowset *set, const struct plan_node *node,
                    const struct plan_edge *edge, bool up)
{
    const char *alias = up ? "p" : "d";
    return template_fill(
        set->ctx, file, "lookup",
        TEMPLATE_SLOTS({"columns", rowset_columns(set, node, alias, false)},
                       {"table", node->table.ident}, {"alias", alias},
                       {"match", rowset_match(set, edge, up ? "c" : "d", up ? "p" : "c", "c")}));
}

char *rowset_next_level(const struct rowset *set, const struct plan_node *node, const char *name,
                        const struct plan_edge *edges, size_t count, bool up)
{
    if (count == 1 && !up && !edges[0].indexed)
        return template_fill(
            set->ctx, file, "next_level_without_index",
            TEMPLATE_SLOTS({"columns", rowset_columns(set, node, "d", false)}, {"set", name},
                           {"table", node->table.ident},
                           {"match", rowset_match(set, &edges[0], "d", "c", "c")}));
    char *lookups = NULL;
    for (size_t i = 0; i < count; i++) {
        char *one = lookup(set, node, &edges[i], up);
        lookups = lookups ? mem_printf(set->ctx, "%s\nUNION ALL\n%s", lookups, one) : one;
    }
    return template_fill(set->ctx, file, "next_level",
                         TEMPLATE_SLOTS({"set", name}, {"lookups", lookups}));
}

/* text, if any, AND the row alias is not in the set of node. */
static char *and_not_in(struct rowset *set, char *text, const struct plan_node *node,
                        const char *alias, bool from_set)
{
    const char *row = mem_printf(set->ctx, "%s.%s", alias, from_set ? "pgsweep_row" : "ctid");
    const char *table =
        mem_printf(set->ctx, "%s.%s", alias, from_set ? "pgsweep_table" : "tableoid");
    char *one = template_fill(
        set->ctx, file, "is_not_in",
        TEMPLATE_SLOTS({"set", rowset_of(set, node)}, {"row", row}, {"table", table}));
    return text ? mem_printf(set->ctx, "%s\nAND %s", text, one) : one;
}

char *rowset_not_going(struct rowset *set, const struct plan_table *table, const char *alias,
                       bool from_set, const struct plan_node *but, bool before)
{
    char *text = NULL;
    for (size_t i = 0; i < set->plan->node_count; i++) {
        const struct plan_node *node = set->plan->nodes[i];
        if (node != but && order_is_deleted(node) &&
            order_same_rows(set->plan, &node->table, table) &&
            !(before && order_compare(node, but) > 0))
            text = and_not_in(set, text, node, alias, from_set);
    }
    return text;
}

/* A stated reference may be to several rows at once: those that go have to be all of them. */
static char *last(struct rowset *set, const struct plan_edge *edge)
{
    char *not_going = NULL;
    for (size_t i = 0; edge->shared && i < edge->child->edge_count; i++) {
        const struct plan_edge *other = &edge->child->edges[i];
        if (other == edge ||
            (other->parent != edge->parent &&
             order_same_rows(set->plan, &other->parent->table, &edge->parent->table)))
            not_going = and_not_in(set, not_going, other->parent, "p", false);
    }
    if (!edge->shared)
        return NULL;
    return template_fill(set->ctx, file, "last",
                         TEMPLATE_SLOTS({"parent", edge->parent->table.ident},
                                        {"match", rowset_match(set, edge, "d", "p", NULL)},
                                        {"not_going", not_going}));
}

/* The rows of a dependent, through each of its references, and what refers to them within their
 * table. */
static void add_dependent(struct rowset *set, const struct plan_node *node, const char *name)
{
    char *rows = NULL;
    struct plan_edge *self = mem_array(set->ctx, struct plan_edge, node->edge_count + 1);
    size_t self_count = 0;
    for (size_t i = 0; i < node->edge_count; i++) {
        const struct plan_edge *edge = &node->edges[i];
        if (edge->parent == node) {
            self[self_count++] = *edge;
            continue;
        }
        rows = rowset_union(
            set, rows,
            template_fill(set->ctx, file, "by_reference",
                          TEMPLATE_SLOTS({"columns", rowset_columns(set, node, "d", false)},
                                         {"table", node->table.ident},
                                         {"set", rowset_of(set, edge->parent)},
                                         {"match", rowset_match(set, edge, "d", "p", "p")},
                                         {"last", last(set, edge)})));
    }
    if (self_count > 0)
        rows = rowset_union(set, rows, rowset_next_level(set, node, name, self, self_count, false));
    rowset_append(set, name, rows);
}

const char *rowset_of(struct rowset *set, const struct plan_node *node)
{
    const char *name = rowset_name(set, order_is_deleted(node) ? "going" : "losing", node);
    if (set->done[node->index])
        return name;
    set->done[node->index] = true;
    if (node->index == 0)
        rowset_add_candidates(set);
    else if (node->action == ACTION_DELETE_ORPHANS)
        rowset_add_shared(set, node);
    else
        add_dependent(set, node, name);
    return name;
}
