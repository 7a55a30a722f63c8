/* Partitioned tables: what a table is a part of, what it consists of, and which partitions lack a
 * foreign key that their siblings have. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* Columns of the template "inheritance". */
enum { CHILD, PARENT, IS_PARTITION, CHILD_KIND, CHILD_LABEL, PARENT_LABEL };

/* Partitions and children, at any depth. */
static void add_below(struct plan *plan, const char *oid, struct name_set *family)
{
    const struct db_rows *rows = catalog_inheritance(plan);
    for (int row = 0; row < db_rows_count(rows); row++)
        if (strcmp(db_rows_get(rows, row, PARENT), oid) == 0) {
            name_set_add(plan, family, db_rows_get(rows, row, CHILD));
            add_below(plan, db_rows_get(rows, row, CHILD), family);
        }
}

bool partition_parent(const struct plan *plan, const char *oid, struct table_name *parent)
{
    const struct db_rows *rows = catalog_inheritance(plan);
    for (int row = 0; row < db_rows_count(rows); row++)
        if (strcmp(db_rows_get(rows, row, CHILD), oid) == 0 &&
            db_rows_bool(rows, row, IS_PARTITION)) {
            *parent = (struct table_name){db_rows_get(rows, row, PARENT),
                                          db_rows_get(rows, row, PARENT_LABEL)};
            return true;
        }
    return false;
}

void partition_family(struct plan *plan, const char *oid, struct name_set *whole,
                      struct name_set *parts)
{
    struct table_name table = {oid, NULL};
    name_set_add(plan, whole, oid);
    while (partition_parent(plan, table.oid, &table))
        name_set_add(plan, whole, table.oid);
    add_below(plan, oid, parts);
}

void partition_leaves(struct plan *plan, const char *oid, struct name_set *leaves,
                      struct name_set *labels)
{
    const struct db_rows *rows = catalog_inheritance(plan);
    for (int row = 0; row < db_rows_count(rows); row++) {
        const char *child = db_rows_get(rows, row, CHILD);
        bool own = strcmp(child, oid) == 0,
             below = strcmp(db_rows_get(rows, row, PARENT), oid) == 0;
        if (!db_rows_bool(rows, row, IS_PARTITION) || (!own && !below))
            continue;
        if (strcmp(db_rows_get(rows, row, CHILD_KIND), "p") != 0) {
            name_set_add(plan, leaves, child);
            if (labels)
                name_set_add(plan, labels, db_rows_get(rows, row, CHILD_LABEL));
        } else if (below) {
            partition_leaves(plan, child, leaves, labels);
        }
    }
}

static bool same_columns(const struct plan_edge *a, const struct plan_edge *b)
{
    bool same = a->width == b->width;
    for (size_t i = 0; same && i < a->width; i++)
        same = strcmp(a->names[i], b->names[i]) == 0 && strcmp(a->referred[i], b->referred[i]) == 0;
    return same;
}

bool partition_merge(struct plan *plan, struct reference *into, const struct reference *from)
{
    struct plan_edge *a = &into->edge;
    const struct plan_edge *b = &from->edge;
    bool same = same_columns(a, b) && !a->stated && strcmp(a->table_oid, b->table_oid) == 0 &&
                a->on_delete == b->on_delete && into->leaves.count > 0 && from->leaves.count > 0 &&
                into->referred_leaves.count == from->referred_leaves.count;
    for (size_t i = 0; same && i < a->width; i++)
        same = strcmp(a->operators[i], b->operators[i]) == 0 &&
               strcmp(a->collations[i], b->collations[i]) == 0;
    for (size_t i = 0; same && i < from->referred_leaves.count; i++)
        same = name_set_has(&into->referred_leaves, from->referred_leaves.list[i]);
    if (!same)
        return false;
    for (size_t i = 0; i < a->width; i++)
        a->not_null[i] = a->not_null[i] || b->not_null[i];
    for (size_t i = 0; i < from->leaves.count; i++)
        name_set_add(plan, &into->leaves, from->leaves.list[i]);
    for (size_t i = 0; i < from->constraints.count; i++)
        name_set_add(plan, &into->constraints, from->constraints.list[i]);
    a->plain = a->plain && b->plain;
    return true;
}

/* '{1,2}'::pg_catalog.oid[] */
static const char *scope(struct plan *plan, const struct name_set *leaves)
{
    char *array = db_array(plan, leaves->list, leaves->count);
    for (char *in = array, *out = array; (*out = *in); in++)
        out += *in != '"';
    return mem_printf(plan, "'%s'::pg_catalog.oid[]", array);
}

void partition_scope(struct plan *plan, struct reference *ref)
{
    struct name_set all = {0};
    struct plan_edge *edge = &ref->edge;
    partition_leaves(plan, edge->table_oid, &all, NULL);
    if (ref->leaves.count > 0 && ref->leaves.count < all.count)
        edge->scope = scope(plan, &ref->leaves);
    if (ref->referred_leaves.count > 0)
        edge->referred_scope = scope(plan, &ref->referred_leaves);
    edge->plain = edge->plain && !edge->scope && !edge->referred_scope;
}

static struct table_name top_of(const struct plan *plan, const struct plan_edge *edge)
{
    struct table_name top = {edge->table_oid, edge->table};
    while (partition_parent(plan, top.oid, &top))
        ;
    return top;
}

static void add_uncovered(struct plan *plan, const struct plan_edge *edge, const char *label,
                          const char *whole)
{
    size_t i = mem_grow(plan, &plan->uncovered, &plan->uncovered_count);
    struct plan_edge *lacking = &plan->uncovered[i];
    *lacking = *edge;
    lacking->table = label;
    lacking->scope = NULL;
    plan_note(plan,
              "%s lacks the foreign key (%s) to %s that other partitions of %s have: those of its "
              "rows that "
              "refer to deleted rows stay, and refer to nothing",
              label, edge->columns[0], edge->parent->table.label, whole);
}

bool plan_count_uncovered(struct db *db, const struct plan *plan, const struct plan_edge *edge,
                          int64_t *rows, struct error *err)
{
    PQExpBuffer goes = createPQExpBuffer();
    void *scratch = talloc_new(plan);
    reach_append_edge(goes, plan, edge, "d", ANCHOR_ELIGIBLE);
    char *sql = template_fill(scratch, "sql/references.sql", "uncovered",
                              TEMPLATE_SLOTS({"partition", edge->table}, {"goes", goes->data}));
    destroyPQExpBuffer(goes);
    struct db_question question = {.sql = sql, .nparams = 1, .params = &plan->cutoff_value};
    db_give_way(db, true);
    bool ok = db_ask_one_state(db, scratch, &question, 1, 0, err);
    db_give_way(db, false);
    *rows = ok ? db_rows_int(question.rows, 0, 0) : 0;
    talloc_free(scratch);
    return ok;
}

/* One note for each partitioned table and columns. */
static void note_uncovered(struct plan *plan, const struct reference *refs, size_t count,
                           size_t which)
{
    const struct plan_edge *edge = &refs[which].edge;
    struct table_name top = top_of(plan, edge);
    struct name_set covered = {0}, leaves = {0}, labels = {0};
    for (size_t i = 0; i < count; i++) {
        if (!same_columns(&refs[i].edge, edge) ||
            strcmp(top_of(plan, &refs[i].edge).oid, top.oid) != 0)
            continue;
        if (i < which || refs[i].leaves.count == 0)
            return; /* reported already; or a key of all partitions is there besides */
        for (size_t l = 0; l < refs[i].leaves.count; l++)
            name_set_add(plan, &covered, refs[i].leaves.list[l]);
    }
    partition_leaves(plan, top.oid, &leaves, &labels);
    for (size_t i = 0; i < leaves.count && i < labels.count; i++)
        if (!name_set_has(&covered, leaves.list[i]))
            add_uncovered(plan, edge, labels.list[i], top.label);
}

void partition_note(struct plan *plan, const struct reference *refs, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (refs[i].leaves.count > 0)
            note_uncovered(plan, refs, count, i);
}
