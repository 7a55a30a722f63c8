/* References to a table: foreign keys from the catalog, and those that the policy states. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

static struct reference *add_reference(struct plan *plan, struct reference **list, size_t *count,
                                       size_t width)
{
    size_t i = mem_grow(plan, list, count);
    struct plan_edge *edge = &(*list)[i].edge;
    edge->width = width;
    edge->columns = mem_array(plan, const char *, width);
    edge->names = mem_array(plan, const char *, width);
    edge->referred = mem_array(plan, const char *, width);
    edge->not_null = mem_array(plan, bool, width);
    edge->set_on_delete = mem_array(plan, bool, width);
    edge->text = mem_array(plan, bool, width);
    edge->operators = mem_array(plan, const char *, width);
    edge->referred_casts = mem_array(plan, const char *, width);
    edge->column_casts = mem_array(plan, const char *, width);
    edge->collations = mem_array(plan, const char *, width);
    edge->plain = true;
    return &(*list)[i];
}

/* What the template "comparison" tells of pair i, from column first on. */
static void take_comparison(struct plan_edge *edge, size_t i, const struct db_rows *rows, int row,
                            int first)
{
    const char *operator= db_rows_get(rows, row, first);
    const char *collation = db_rows_get(rows, row, first + 3);
    /* Types that have no "=" in common: check_types tells. */
    edge->operators[i] = operator? operator: "OPERATOR(pg_catalog.=)";
    edge->referred_casts[i] = operator? db_rows_get(rows, row, first + 1) : "";
    edge->column_casts[i] = operator? db_rows_get(rows, row, first + 2) : "";
    edge->collations[i] = collation ? collation : "";
    edge->plain = edge->plain && db_rows_bool(rows, row, first + 4);
}

/* The row after those of one constraint: one for each column pair. */
static int next_constraint(const struct db_rows *rows, int row)
{
    int end = row;
    while (end < db_rows_count(rows) &&
           strcmp(db_rows_get(rows, end, 0), db_rows_get(rows, row, 0)) == 0)
        end++;
    return end;
}

static void take_foreign_key(struct plan *plan, struct db *db, const struct db_rows *rows, int row,
                             struct reference *ref)
{
    struct plan_edge *edge = &ref->edge;
    edge->constraint = db_rows_get(rows, row, 1);
    edge->on_delete = db_rows_get(rows, row, 2)[0];
    edge->table = db_rows_get(rows, row, 4);
    edge->table_oid = db_rows_get(rows, row, 3);
    name_set_add(plan, &ref->constraints, edge->constraint);
    for (size_t i = 0; i < edge->width; i++) {
        int r = row + (int)i;
        edge->names[i] = db_rows_get(rows, r, 5);
        edge->columns[i] = db_quote_ident(db, plan, edge->names[i]);
        edge->referred[i] = db_quote_ident(db, plan, db_rows_get(rows, r, 6));
        edge->not_null[i] = db_rows_bool(rows, r, 7);
        edge->set_on_delete[i] = db_rows_bool(rows, r, 9);
        take_comparison(edge, i, rows, r, 11);
    }
    edge->all_or_none = strcmp(db_rows_get(rows, row, 10), "f") == 0;
}

static bool is_listed(const struct graph *g, const char *oid)
{
    for (size_t i = 0; i < g->plan->policy->dependent_count; i++)
        if (g->listed[i].oid && strcmp(g->listed[i].oid, oid) == 0)
            return true;
    return strcmp(g->plan->nodes[0]->table.oid, oid) == 0;
}

/* A partition's own key is one of the table that the policy lists; where it lists none, of the
 * partitioned table. */
static void place(const struct graph *g, struct reference *ref)
{
    struct table_name table = {ref->edge.table_oid, ref->edge.table};
    partition_leaves(g->plan, table.oid, &ref->leaves, NULL);
    if (!partition_parent(g->plan, table.oid, &table))
        ref->leaves.count = 0;
    table = (struct table_name){ref->edge.table_oid, ref->edge.table};
    while (!is_listed(g, table.oid) && partition_parent(g->plan, table.oid, &table))
        ;
    ref->edge.table = table.label;
    ref->edge.table_oid = table.oid;
}

static void read_foreign_keys(struct graph *g, struct plan_node *parent, struct reference **list,
                              size_t *count)
{
    const struct db_rows *rows = catalog_foreign_keys(g->plan);
    struct name_set whole = {0}, parts = {0};
    int end;
    partition_family(g->plan, parent->table.oid, &whole, &parts);
    for (int row = 0; row < db_rows_count(rows); row = end) {
        const char *referred = db_rows_get(rows, row, 8);
        bool part = name_set_has(&parts, referred);
        bool merged = false;
        end = next_constraint(rows, row);
        if (!part && !name_set_has(&whole, referred))
            continue;
        struct reference *ref = add_reference(g->plan, list, count, (size_t)(end - row));
        ref->edge.parent = parent;
        take_foreign_key(g->plan, g->db, rows, row, ref);
        place(g, ref);
        if (part)
            partition_leaves(g->plan, referred, &ref->referred_leaves, NULL);
        for (size_t i = 0; !merged && i + 1 < *count; i++)
            merged = partition_merge(g->plan, &(*list)[i], ref);
        *count -= merged;
    }
}

static bool check_stated(const struct policy_reference *from, struct catalog_range range,
                         struct error *err)
{
    for (int r = range.first; r < range.end; r++) {
        const char *origin = from->columns[r - range.first].origin;
        if (!db_rows_bool(range.rows, r, 6))
            return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", origin,
                             from->table.value, db_rows_get(range.rows, r, 4));
        if (!db_rows_bool(range.rows, r, 7))
            return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", origin,
                             from->refers_to.value, db_rows_get(range.rows, r, 5));
    }
    return true;
}

/* That the columns can be compared. */
static bool check_types(struct plan *plan, struct db *db, const struct plan_edge *edge,
                        struct error *err)
{
    PQExpBuffer match = createPQExpBuffer();
    reach_append_match(match, edge, "a", "b");
    char *pairs = buffer_take(plan, match);
    char *text =
        template_fill(plan, "sql/references.sql", "comparable",
                      TEMPLATE_SLOTS({"table", edge->table}, {"parent", edge->parent->table.ident},
                                     {"match", pairs}));
    talloc_free(pairs);
    bool ok = db_check(db, text, err);
    talloc_free(text);
    return ok || error_prefix(err, "%s: the columns of the reference", edge->constraint);
}

static void fill_stated(struct plan *plan, struct db *db, const char *origin,
                        struct catalog_range range, struct reference *ref)
{
    const struct db_rows *rows = range.rows;
    struct plan_edge *edge = &ref->edge;
    edge->constraint = origin;
    name_set_add(plan, &ref->constraints, origin);
    edge->on_delete = 'a';
    edge->stated = true;
    for (size_t i = 0; i < edge->width; i++) {
        int r = range.first + (int)i;
        edge->names[i] = db_rows_get(rows, r, 4);
        edge->columns[i] = db_quote_ident(db, plan, edge->names[i]);
        edge->referred[i] = db_quote_ident(db, plan, db_rows_get(rows, r, 5));
        edge->not_null[i] = db_rows_bool(rows, r, 8);
        edge->text[i] = db_rows_bool(rows, r, 9);
        edge->set_on_delete[i] = true;
        take_comparison(edge, i, rows, r, 11);
    }
    edge->shared = !db_rows_bool(rows, range.first, 10);
    edge->table = db_rows_get(rows, range.first, 3);
    ref->edge.table_oid = db_rows_get(rows, range.first, 1);
}

static bool take_stated(struct plan *plan, struct db *db, size_t reference,
                        struct plan_node *parent, struct reference **list, size_t *count,
                        struct error *err)
{
    const struct policy_reference *from = &plan->policy->references[reference];
    struct catalog_range range;
    if (!catalog_stated(plan, db, reference, &range, err))
        return false;
    /* A table that this schema lacks is looked at where the policy lists it. */
    if (range.first == range.end ||
        strcmp(db_rows_get(range.rows, range.first, 2), parent->table.oid) != 0)
        return true;
    if (!check_stated(from, range, err))
        return false;
    struct reference *ref = add_reference(plan, list, count, (size_t)(range.end - range.first));
    ref->edge.parent = parent;
    fill_stated(plan, db, from->table.origin, range, ref);
    return check_types(plan, db, &ref->edge, err);
}

/* A table may be missing only where the policy says so of the dependent. */
static bool may_lack(const struct policy *policy, const char *table)
{
    for (size_t i = 0; i < policy->dependent_count; i++)
        if (policy->dependents[i].optional && strcmp(policy->dependents[i].table.value, table) == 0)
            return true;
    return false;
}

bool references_check(struct plan *plan, struct db *db, struct error *err)
{
    const struct policy *policy = plan->policy;
    for (size_t i = 0; i < policy->reference_count; i++) {
        const struct policy_reference *from = &policy->references[i];
        const struct setting *tables[] = {&from->table, &from->refers_to};
        if (from->column_count == 0)
            return error_set(err, SWEEP_USAGE, "%s: \"columns\" of the reference is empty",
                             from->table.origin);
        for (int t = 0; t < 2; t++) {
            const struct db_rows *rows;
            int row;
            if (!catalog_find(plan, db, tables[t]->value, &rows, &row, err))
                return error_prefix(err, "%s", tables[t]->origin);
            if (row < 0 && !may_lack(policy, tables[t]->value))
                return catalog_no_table(db, tables[t], err);
        }
    }
    return true;
}

bool references_read(struct graph *g, struct plan_node *parent, struct reference **references,
                     size_t *count, struct error *err)
{
    *references = NULL;
    *count = 0;
    read_foreign_keys(g, parent, references, count);
    for (size_t i = 0; i < *count; i++)
        partition_scope(g->plan, &(*references)[i]);
    for (size_t i = 0; i < g->plan->policy->reference_count; i++)
        if (!take_stated(g->plan, g->db, i, parent, references, count, err))
            return false;
    return true;
}

static void add_reference_columns(struct plan *plan, const struct plan_edge *edge, size_t number,
                                  const char **lists[3], size_t counts[3])
{
    for (size_t c = 0; c < edge->width; c++) {
        const char *values[] = {mem_printf(plan, "%zu", number), edge->table_oid, edge->names[c]};
        for (int v = 0; v < 3; v++) {
            size_t at = mem_grow(plan, &lists[v], &counts[v]);
            lists[v][at] = values[v];
        }
    }
}

/* The references of all nodes, in one list. */
static size_t list_edges(struct plan *plan, struct plan_edge ***edges)
{
    size_t count = 0;
    for (size_t i = 0; i < plan->node_count; i++) {
        struct plan_node *node = plan->nodes[i];
        struct plan_edge *lists[] = {node->edges, node->links, node->uses, node->self};
        size_t counts[] = {node->edge_count, node->link_count, node->use_count, node->self_count};
        for (int l = 0; l < 4; l++)
            for (size_t e = 0; e < counts[l]; e++) {
                size_t at = mem_grow(plan, edges, &count);
                (*edges)[at] = &lists[l][e];
            }
    }
    return count;
}

bool references_read_indexes(struct plan *plan, struct db *db, struct error *err)
{
    struct plan_edge **edges = NULL;
    struct db_rows *rows;
    const char **lists[3] = {0};
    const char *params[3];
    size_t counts[3] = {0};
    size_t count = list_edges(plan, &edges);
    for (size_t i = 0; i < count; i++) {
        edges[i]->indexed = true; /* a table without partitions has nothing to read */
        add_reference_columns(plan, edges[i], i, lists, counts);
    }
    for (int v = 0; v < 3; v++)
        params[v] = db_array(plan, lists[v], counts[v]);
    char *sql = template_fill(plan, "sql/references.sql", "indexes", NULL);
    if (count > 0 && !db_query(db, plan, sql, 3, params, &rows, err))
        return false;
    for (int row = 0; count > 0 && row < db_rows_count(rows); row++) {
        struct plan_edge *edge = edges[db_rows_int(rows, row, 0)];
        edge->indexed = db_rows_bool(rows, row, 1);
        edge->pages = db_rows_int(rows, row, 2);
    }
    return true;
}

const char *plan_on_delete_name(char on_delete)
{
    switch (on_delete) {
    case 'c':
        return "CASCADE";
    case 'n':
        return "SET NULL";
    case 'd':
        return "SET DEFAULT";
    case 'r':
        return "RESTRICT";
    default:
        return "NO ACTION";
    }
}
