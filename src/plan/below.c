/* The rows below a candidate: references of the root's rows to each other that the policy deletes
 * along. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/template.h"

static const char file[] = "sql/below.sql";

bool plan_has_below(const struct plan *plan)
{
    return plan->nodes[0]->self_count > 0;
}

/* The key, then the columns that the references refer to. */
static char *columns(const void *ctx, const struct plan_node *root, const char *alias)
{
    PQExpBuffer out = createPQExpBuffer();
    reach_append_level(out, alias, root, root->self, root->self_count);
    return buffer_take(ctx, out);
}

static char *match(const void *ctx, const struct plan_edge *edge, const char *parent)
{
    PQExpBuffer out = createPQExpBuffer();
    reach_append_match(out, edge, "d", parent);
    return buffer_take(ctx, out);
}

/* The rows that refer to the row parent, along each of the references. */
static char *children(const void *ctx, const struct plan_node *root, const char *parent,
                      const char *joined)
{
    char *text = NULL;
    for (size_t i = 0; i < root->self_count; i++) {
        char *one = template_fill(ctx, file, "children",
                                  TEMPLATE_SLOTS({"columns", columns(ctx, root, "d")},
                                                 {"table", root->table.ident},
                                                 {"match", match(ctx, &root->self[i], parent)}));
        text = text ? mem_printf(ctx, "%s\n%s\n%s", text, joined, one) : one;
    }
    return text;
}

static char *grandchildren(const void *ctx, const struct plan_node *root)
{
    return template_fill(ctx, file, "grandchildren",
                         TEMPLATE_SLOTS({"lookups", children(ctx, root, "c", "UNION ALL")}));
}

/* The row t is the row b of what was found. */
static char *same_key(const void *ctx, const struct plan_node *root)
{
    PQExpBuffer out = createPQExpBuffer();
    compare_append_same(out, "t", "b", root->key, root->key_count);
    return buffer_take(ctx, out);
}

/* Everything that makes a candidate but the guard of the rows below it. */
static char *candidate(const void *ctx, const struct plan *plan)
{
    PQExpBuffer out = createPQExpBuffer();
    candidate_append(out, plan, true, false);
    return buffer_take(ctx, out);
}

void below_append_guard(PQExpBuffer out, const struct plan *plan)
{
    const struct plan_node *root = plan->nodes[0];
    void *ctx = talloc_new(NULL);
    if (plan_has_below(plan))
        appendPQExpBufferStr(
            out, template_fill(ctx, file, "guard",
                               TEMPLATE_SLOTS({"children", children(ctx, root, "t", "UNION")},
                                              {"grandchildren", grandchildren(ctx, root)},
                                              {"candidate", candidate(ctx, plan)},
                                              {"table", root->table.ident},
                                              {"key", same_key(ctx, root)})));
    talloc_free(ctx);
}

static char *keys(const void *ctx, const struct plan *plan)
{
    PQExpBuffer out = createPQExpBuffer();
    plan_append_keys(out, plan, 1);
    return buffer_take(ctx, out);
}

/* The key columns of alias. */
static char *key_columns(const void *ctx, const struct plan_node *root, const char *alias)
{
    char *list = mem_strdup(ctx, "");
    for (size_t i = 0; i < root->key_count; i++)
        list = mem_printf(ctx, "%s%s%s.%s", list, i ? ", " : "", alias, root->key[i]->ident);
    return list;
}

static char *answer(const void *ctx, const struct plan *plan)
{
    PQExpBuffer out = createPQExpBuffer();
    plan_append_key_arrays(out, plan);
    return buffer_take(ctx, out);
}

void plan_append_below(PQExpBuffer out, const struct plan *plan)
{
    const struct plan_node *root = plan->nodes[0];
    void *ctx = talloc_new(NULL);
    appendPQExpBufferStr(
        out, template_fill(
                 ctx, file, "lock_below",
                 TEMPLATE_SLOTS(
                     {"columns", columns(ctx, root, "t")}, {"table", root->table.ident},
                     {"keys", keys(ctx, plan)}, {"grandchildren", grandchildren(ctx, root)},
                     {"answer", answer(ctx, plan)}, {"order", key_columns(ctx, root, "b")},
                     {"key_columns", key_columns(ctx, root, "t")}, {"key", same_key(ctx, root)})));
    talloc_free(ctx);
}

char *plan_below_why(const void *ctx)
{
    return template_why(ctx, file, "lock_below");
}
