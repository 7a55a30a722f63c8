/* The columns that name stored objects and directories: noting them, and finding them again. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

/* What the keys of a column must begin with, as an array; NULL: nothing is stated. Rules for
 * several foreign keys of one table may name a column twice: then any of them allows a key. */
static const char *prefixes_of_column(const void *ctx, const struct plan *plan, const char *oid,
                                      const struct plan_object *column)
{
    const char **all = NULL;
    size_t n = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        for (size_t k = 0; k < plan->nodes[i]->object_count; k++) {
            const struct plan_object *o = &plan->nodes[i]->objects[k];
            if (strcmp(plan->nodes[i]->table.oid, oid) != 0 ||
                strcmp(o->ident, column->ident) != 0 || strcmp(o->path, column->path) != 0)
                continue;
            if (o->prefix_count == 0)
                return NULL;
            for (size_t p = 0; p < o->prefix_count; p++) {
                size_t at = mem_grow(ctx, &all, &n);
                all[at] = o->prefixes[p];
            }
        }
    return db_array(ctx, all, n);
}

bool sources_note(struct state *state, const struct report *report, const char *endpoint,
                  const char *bucket, struct error *err)
{
    const struct plan *plan = report->plan;
    size_t most = 1, n = 0;
    for (size_t i = 0; i < plan->node_count; i++)
        most += plan->nodes[i]->object_count;
    enum { KIND, OID, TABLE, COLUMN, PATH, PREFIXES, ARRAYS };
    const char **lists[ARRAYS];
    for (int a = 0; a < ARRAYS; a++)
        lists[a] = mem_array(report, const char *, most);
    for (size_t i = 0; i < plan->node_count; i++)
        for (size_t k = 0; k < plan->nodes[i]->object_count; k++, n++) {
            lists[KIND][n] = "object";
            lists[OID][n] = plan->nodes[i]->table.oid;
            lists[TABLE][n] = plan->nodes[i]->table.ident;
            lists[COLUMN][n] = plan->nodes[i]->objects[k].ident;
            lists[PATH][n] = plan->nodes[i]->objects[k].path;
            lists[PREFIXES][n] =
                prefixes_of_column(report, plan, lists[OID][n], &plan->nodes[i]->objects[k]);
        }
    if (plan->directory) {
        lists[KIND][n] = "directory";
        lists[OID][n] = plan->nodes[0]->table.oid;
        lists[TABLE][n] = plan->nodes[0]->table.ident;
        lists[COLUMN][n] = plan->directory->ident;
        lists[PATH][n++] = "";
    }
    const char *params[3 + ARRAYS] = {report->policy->name, endpoint, bucket};
    for (int a = 0; a < ARRAYS; a++)
        params[3 + a] = db_array(report, lists[a], n);
    return n == 0 ||
           gate_query(state->gate, report, template_fill(report, QUEUE, "note_sources", NULL),
                      3 + ARRAYS, params, NULL, err);
}

enum column {
    ID,
    POLICY,
    TABLE_NOTED,
    COLUMN_NOTED,
    PATH_NOTED,
    ENDPOINT,
    BUCKET,
    TABLE_NOW,
    COLUMN_NOW,
    SHAPE,
    TYPE,
    STATE,
    HEAP,
    PREFIXES_NOTED,
    TEXT_CASTS
};

/* False where it is gone: it cannot name anything. */
static bool read_source(const void *ctx, const struct db_rows *rows, int i, bool objects,
                        struct source *source)
{
    const char *state = db_rows_get(rows, i, STATE);
    *source = (struct source){.id = db_rows_get(rows, i, ID),
                              .policy = db_rows_get(rows, i, POLICY),
                              .noted = mem_printf(ctx, "%s.%s", db_rows_get(rows, i, TABLE_NOTED),
                                                  db_rows_get(rows, i, COLUMN_NOTED)),
                              .table = db_rows_get(rows, i, TABLE_NOW),
                              .column = db_rows_get(rows, i, COLUMN_NOW),
                              .type = db_rows_get(rows, i, TYPE),
                              .endpoint = db_rows_get(rows, i, ENDPOINT),
                              .bucket = db_rows_get(rows, i, BUCKET),
                              .is_heap = db_rows_bool(rows, i, HEAP),
                              .has_text_casts = db_rows_bool(rows, i, TEXT_CASTS),
                              .state = strcmp(state, "there") == 0    ? SOURCE_THERE
                                       : strcmp(state, "denied") == 0 ? SOURCE_DENIED
                                                                      : SOURCE_LOST};
    source->prefixes =
        queue_prefixes(ctx, db_rows_get(rows, i, PREFIXES_NOTED), &source->prefix_count);
    source->object = (struct plan_object){
        .ident = source->column, .name = source->column, .path = db_rows_get(rows, i, PATH_NOTED)};
    if (objects && source->state == SOURCE_THERE &&
        !plan_object_read_shape(db_rows_get(rows, i, SHAPE), source->object.path,
                                &source->object.shape))
        source->state = SOURCE_LOST;
    return strcmp(state, "gone") != 0;
}

bool sources_read(struct db *db, const void *ctx, const char *kind, struct source **sources,
                  size_t *count, struct error *err)
{
    char *sql = template_fill(ctx, QUEUE, "sources",
                              TEMPLATE_SLOTS({"shape", plan_object_shape_sql(ctx, "f.atttypid")}));
    struct db_rows *rows;
    *count = 0;
    if (!db_query(db, ctx, sql, 1, &kind, &rows, err))
        return false;
    *sources = mem_array(ctx, struct source, db_rows_count(rows) + 1);
    for (int i = 0; i < db_rows_count(rows); i++)
        *count += read_source(ctx, rows, i, strcmp(kind, "object") == 0, &(*sources)[*count]);
    return true;
}

char *source_trouble(const void *ctx, struct db *db, const struct source *source)
{
    if (source->state == SOURCE_DENIED)
        return mem_printf(
            ctx,
            "whether a row still names it cannot be seen: this role may not read %s.%s: GRANT "
            "SELECT ON %s TO %s; or, "
            "where that column names none any more: pgsweep objects forget %s",
            source->table, source->column, source->table, db_quote_ident(db, ctx, db_user(db)),
            source->id);
    if (source->table)
        return mem_printf(
            ctx,
            "whether a row still names it cannot be seen: %s is of type %s now; run policy %s, "
            "or, where that "
            "column names none any more: pgsweep objects forget %s",
            source->noted, source->type, source->policy, source->id);
    return mem_printf(ctx,
                      "whether a row still names it cannot be seen: the column %s is gone; where "
                      "no other column has "
                      "taken its place: pgsweep objects forget %s",
                      source->noted, source->id);
}
