/* Columns that name stored objects: which types can, and the texts that they hold. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

#define OBJECTS "sql/objects.sql"

bool plan_object_read_shape(const char *told, const char *path, enum plan_object_shape *shape)
{
    static const char *const names[] = {"text", "list", "json"};
    for (size_t i = 0; told && i < sizeof names / sizeof *names; i++)
        if (strcmp(told, names[i]) == 0) {
            *shape = (enum plan_object_shape)i;
            return (*shape == OBJECT_JSON) == (*path != '\0');
        }
    return false;
}

/* A string literal that means the same whatever standard_conforming_strings says. */
static char *literal(const void *ctx, const char *text)
{
    PQExpBuffer out = createPQExpBuffer();
    appendPQExpBufferStr(out, strchr(text, '\\') ? " E'" : "'");
    for (; *text; text++) {
        if (*text == '\'' || *text == '\\')
            appendPQExpBufferChar(out, *text);
        appendPQExpBufferChar(out, *text);
    }
    appendPQExpBufferChar(out, '\'');
    return buffer_take(ctx, out);
}

char *plan_object_texts(const void *ctx, const struct plan_object *object, const char *column,
                        bool strict)
{
    if (object->shape == OBJECT_TEXT)
        return NULL;
    if (object->shape == OBJECT_LIST)
        return mem_printf(ctx, "pg_catalog.unnest(%s::pg_catalog.text[])", column);
    return template_fill(ctx, OBJECTS, strict ? "json_texts_strict" : "json_texts",
                         TEMPLATE_SLOTS({"column", column}, {"path", literal(ctx, object->path)}));
}

char *plan_object_shape_sql(const void *ctx, const char *type)
{
    return template_fill(ctx, OBJECTS, "shape", TEMPLATE_SLOTS({"type", type}));
}

/* Why the column cannot name objects, and what to do about it. */
static bool refuse(const struct plan_node *node, const struct policy_object *object,
                   const char *told, const char *type, struct error *err)
{
    const char *column = object->column.value;
    if (told && strcmp(told, "json") == 0) {
        error_set(err, SWEEP_USAGE, "%s: %s.%s is of type %s: say which of its texts name objects",
                  object->column.origin, node->table.label, column, type);
        return error_hint(
            err, "objects: [{ column: %s, path: '$.files[*].key' }] takes an SQL/JSON path.",
            column);
    }
    if (told && object->path.value)
        return error_set(err, SWEEP_USAGE,
                         "%s: %s.%s is of type %s: only json and jsonb have a path",
                         object->path.origin, node->table.label, column, type);
    error_set(err, SWEEP_USAGE, "%s: %s.%s is of type %s, which does not name stored objects",
              object->column.origin, node->table.label, column, type);
    return error_hint(err,
                      "Name a column of text, an array of text, or json or jsonb with a path.");
}

static bool check_path(struct db *db, const struct policy_object *object, struct error *err)
{
    if (!object->path.value)
        return true;
    char *sql = template_fill(db, OBJECTS, "check_path", NULL);
    bool ok = db_query(db, sql, sql, 1, &object->path.value, NULL, err);
    talloc_free(sql);
    return ok || error_prefix(err, "%s: \"%s\" is no SQL/JSON path", object->path.origin,
                              object->path.value);
}

bool rule_add_object(struct plan *plan, struct db *db, struct plan_node *node,
                     const struct policy_object *object, struct error *err)
{
    const struct plan_column *column = catalog_column(&node->table, object->column.value);
    if (!column)
        return error_set(err, SWEEP_USAGE, "%s: %s has no column \"%s\"", object->column.origin,
                         node->table.label, object->column.value);
    struct plan_object found = {.ident = column->ident,
                                .name = column->name,
                                .path = object->path.value ? object->path.value : ""};
    if (!plan_object_read_shape(column->object_shape, found.path, &found.shape))
        return refuse(node, object, column->object_shape, column->type, err);
    if (!check_path(db, object, err))
        return false;
    const struct policy *policy = plan->policy;
    const struct setting *stated =
        object->prefix_count > 0 ? object->prefixes : policy->object_prefixes;
    found.prefix_count =
        object->prefix_count > 0 ? object->prefix_count : policy->object_prefix_count;
    found.prefixes = mem_array(plan, const char *, found.prefix_count + 1);
    for (size_t p = 0; p < found.prefix_count; p++)
        found.prefixes[p] = stated[p].value;
    size_t i = mem_grow(plan, &node->objects, &node->object_count);
    node->objects[i] = found;
    plan->has_objects = true;
    return true;
}

void plan_append_objects(PQExpBuffer out, const struct plan *plan, const struct plan_node *node,
                         size_t object)
{
    const struct plan_object *from = &node->objects[object];
    const char *row = node->index == 0 ? "t" : "d";
    void *scratch = talloc_new(plan);
    PQExpBuffer rows = createPQExpBuffer();
    if (node->index == 0)
        plan_append_keys(rows, plan, 1);
    else
        reach_append(rows, plan, node, row, ANCHOR_KEYS);
    char *texts =
        plan_object_texts(scratch, from, mem_printf(scratch, "%s.%s", row, from->ident), true);
    char *condition = buffer_take(scratch, rows);
    const char *table = node->table.ident;
    appendPQExpBufferStr(
        out, texts ? template_fill(scratch, OBJECTS, "set_values",
                                   TEMPLATE_SLOTS({"table", table}, {"row", row}, {"texts", texts},
                                                  {"rows", condition}))
                   : template_fill(scratch, OBJECTS, "text_values",
                                   TEMPLATE_SLOTS({"table", table}, {"row", row},
                                                  {"column", from->ident}, {"rows", condition})));
    talloc_free(scratch);
}
