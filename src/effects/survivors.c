/* Which objects do rows that stay still name? The last look before objects are deleted. The database
 * finds the values that may name one of them; what a value does name, the store's rules say. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* What all values c that name the same object have in common (store_spellings): a key as it stands; of a URL
 * the path, up to the query string. Where that has percent escapes, only what does not depend on them:
 * letters, digits and what is not ASCII. Who encodes even letters and digits is always looked at. Regular
 * expressions come last: a scan pays for this in each of its rows. */
#define COMMON                                                                                                \
    "CASE WHEN pg_catalog.strpos(c, '//') = 0 THEN c"                                                         \
    " WHEN pg_catalog.strpos(c, '%') = 0 AND pg_catalog.strpos(c, '///') = 0 THEN"                            \
    "  pg_catalog.split_part(pg_catalog.split_part(pg_catalog.substr(c, pg_catalog.strpos(c, '//') + 2 +"     \
    "   pg_catalog.length(pg_catalog.split_part(c, '/', 3))), '?', 1), '#', 1)"                               \
    " WHEN c ~* '%(3[0-9]|[46][1-9a-f]|[57][0-9a])' THEN '%'"                                                 \
    " ELSE pg_catalog.regexp_replace(pg_catalog.lower(pg_catalog.regexp_replace(c,"                           \
    "   '^[^/]*///?[^/]*|[?#].*$', '', 'g')),"                                                                \
    "   '%[0-7][0-9a-f]|[\\u0001-\\u002f\\u003a-\\u0060\\u007b-\\u007f]', '', 'g') END"

/* One scan of the table, and a hash join with what is looked for. */
static char *looking(const void *ctx, const char *table, const char *column)
{
    return mem_printf(ctx, "SELECT DISTINCT c FROM (SELECT %s::pg_catalog.text COLLATE \"C\" AS c FROM %s) AS present"
                      " JOIN (SELECT '%s' UNION SELECT %s FROM (SELECT v COLLATE \"C\" AS c"
                      "  FROM pg_catalog.unnest($1::pg_catalog.text[]) AS u(v)) AS wanted) AS w(common)"
                      " ON w.common = %s", column, table, "%", COMMON, COMMON);
}

static char *canonical(const void *ctx, const struct store_location *where)
{
    return mem_printf(ctx, "s3://%s/%s", where->bucket, where->key);
}

static int compare_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

struct look {
    void *ctx;
    struct db *db;
    const struct store_config *config;
    const char *wanted; /* an array: all spellings of all objects */
    const char **named; /* objects that rows name, as s3://bucket/key */
    size_t count;
};

static bool look_in(struct look *look, const char *table, const char *column, struct error *err)
{
    struct db_rows *rows;
    if (!db_query(look->db, look->ctx, looking(look->ctx, table, column), 1, &look->wanted, &rows, err))
        return error_prefix(err, "looking whether %s.%s still names an object", table, column);
    for (int i = 0; i < db_rows_count(rows); i++) {
        struct store_location where = store_resolve(look->ctx, look->config, db_rows_get(rows, i, 0));
        if (where.kind != STORE_OBJECT)
            continue;
        size_t k = mem_grow(look->ctx, &look->named, &look->count);
        look->named[k] = canonical(look->ctx, &where);
    }
    talloc_free(rows);
    return true;
}

static bool look_everywhere(struct look *look, struct error *err)
{
    struct db_rows *sources;
    if (!queue_sources(look->db, look->ctx, "object", &sources, err))
        return false;
    for (int i = 0; i < db_rows_count(sources); i++)
        if (!look_in(look, db_rows_get(sources, i, 0), db_rows_get(sources, i, 1), err))
            return false;
    if (look->named)
        qsort(look->named, look->count, sizeof *look->named, compare_text);
    return true;
}

/* All spellings of all objects among the items; their number goes to *count. */
static const char *spell(void *ctx, const struct store_config *config, const struct queue_item *items, size_t count,
                         size_t *n)
{
    const char **all = mem_array(ctx, const char *, (STORE_SPELLINGS_MAX + 1) * count + 1);
    void *scratch = talloc_new(ctx);
    *n = 0;
    for (size_t i = 0; i < count; i++) {
        char *spellings[STORE_SPELLINGS_MAX];
        if (items[i].where.kind != STORE_OBJECT)
            continue;
        size_t found = store_spellings(scratch, config, &items[i].where, spellings);
        all[(*n)++] = items[i].value;
        for (size_t k = 0; k < found; k++)
            all[(*n)++] = spellings[k];
    }
    const char *array = db_array(ctx, all, *n);
    talloc_free(all);
    talloc_free(scratch);
    return array;
}

bool survivors_mark(struct effects *effects, const void *ctx, const struct store_config *config,
                    struct queue_item *items, size_t count, struct error *err)
{
    struct look look = {.ctx = talloc_new(ctx), .db = effects->db, .config = config};
    size_t n;
    look.wanted = spell(look.ctx, config, items, count, &n);
    bool ok = n == 0 || look_everywhere(&look, err);
    for (size_t i = 0; ok && look.count > 0 && i < count; i++) {
        if (items[i].where.kind != STORE_OBJECT)
            continue;
        const char *name = canonical(look.ctx, &items[i].where);
        items[i].in_use = bsearch(&name, look.named, look.count, sizeof *look.named, compare_text) != NULL;
    }
    talloc_free(look.ctx);
    return ok;
}
