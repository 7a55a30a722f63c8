/* What sets of rows are put together from. */
#include <ctype.h>
#include <string.h>

#include "pgsweep/mem.h"
#include "rowset.h"

static const char file[] = "sql/rows.sql";

/* Which columns of a table are compared with those of others. */
struct names {
    const char **list;
    size_t count;
};

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

void rowset_append(struct rowset *set, const char *name, const char *rows)
{
    appendPQExpBufferStr(set->sql, set->sql->len == 0 ? "WITH RECURSIVE " : ",\n");
    appendPQExpBufferStr(set->sql, template_fill(set->ctx, file, "set",
                                                 TEMPLATE_SLOTS({"name", name}, {"rows", rows})));
}

char *rowset_match(const struct rowset *set, const struct plan_edge *edge, const char *child,
                   const char *parent, const char *which)
{
    PQExpBuffer out = createPQExpBuffer();
    reach_append_match_set(out, edge, child, parent, which);
    return buffer_take(set->ctx, out);
}

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

char *rowset_union(const struct rowset *set, const char *queries, const char *next)
{
    return mem_printf(set->ctx, "%s%s%s", queries ? queries : "", queries ? "\nUNION\n" : "", next);
}
