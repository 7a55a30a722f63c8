/* Which objects do rows that stay still name? The last look before objects are deleted. The database
 * finds the values that may name one of them; what a value does name, the store's rules say. */
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"

/* A value is compared as it stands, and where it holds a URL also by the last segment of its path, in a
 * form that does not depend on how it is percent-encoded: ASCII letters and digits in lower case, other
 * characters that are not ASCII as the hex digits of their escapes or as they stand. Who encodes even
 * letters and digits, is always looked at. */
static const char looking[] =
    "SELECT c FROM (SELECT %s::pg_catalog.text AS c FROM %s) AS s WHERE c = ANY ($1::pg_catalog.text[])"
    " UNION SELECT c FROM (SELECT %s::pg_catalog.text AS c FROM %s) AS s WHERE c LIKE '%%//%%' AND ("
    "  c ~* '%%(3[0-9]|[46][1-9a-f]|[57][0-9a])' OR"
    "  pg_catalog.regexp_replace(pg_catalog.lower(pg_catalog.regexp_replace(pg_catalog.regexp_replace("
    "   pg_catalog.regexp_replace(c, '[?#].*$', ''), '%%2f', '/', 'gi'), '^.*/', '') COLLATE \"C\"),"
    "   '%%[0-7][0-9a-f]|[\\u0001-\\u002f\\u003a-\\u0060\\u007b-\\u007f]', '', 'g') = ANY ($2::pg_catalog.text[]))";

/* The last segment of the key in that form. */
static char *last_segment(const void *ctx, const char *key, bool as_hex)
{
    const char *slash = strrchr(key, '/');
    char *text = mem_strdup(ctx, "");
    for (const char *p = slash ? slash + 1 : key; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 'A' && c <= 'Z')
            c = (unsigned char)(c - 'A' + 'a');
        if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 0x80 && !as_hex))
            text = mem_check(talloc_asprintf_append_buffer(text, "%c", c));
        else if (c >= 0x80)
            text = mem_check(talloc_asprintf_append_buffer(text, "%02x", c));
    }
    return text;
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
    const char *params[2];
    const char **named; /* objects that rows name, as s3://bucket/key */
    size_t count;
};

static bool look_in(struct look *look, const char *table, const char *column, struct error *err)
{
    struct db_rows *rows;
    char *sql = mem_printf(look->ctx, looking, column, table, column, table);
    if (!db_query(look->db, look->ctx, sql, 2, look->params, &rows, err))
        return error_prefix(err, "looking whether %s.%s still names an object", table, column);
    for (int i = 0; i < db_rows_count(rows); i++) {
        struct store_location where = store_resolve(look->ctx, look->config, db_rows_get(rows, i, 0));
        if (where.kind != STORE_OBJECT)
            continue;
        size_t k = mem_grow(look->ctx, &look->named, &look->count);
        look->named[k] = canonical(look->ctx, &where);
    }
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

bool survivors_mark(struct effects *effects, const void *ctx, const struct store_config *config,
                    struct queue_item *items, size_t count, struct error *err)
{
    struct look look = {.ctx = talloc_new(ctx), .db = effects->db, .config = config};
    const char **texts = mem_array(look.ctx, const char *, 3 * count + 1);
    const char **segments = mem_array(look.ctx, const char *, 2 * count + 1);
    size_t n = 0, m = 0;
    for (size_t i = 0; i < count; i++) {
        if (items[i].where.kind != STORE_OBJECT)
            continue;
        texts[n++] = items[i].value;
        texts[n++] = items[i].where.key;
        texts[n++] = canonical(look.ctx, &items[i].where);
        segments[m++] = last_segment(look.ctx, items[i].where.key, true);
        segments[m++] = last_segment(look.ctx, items[i].where.key, false);
    }
    look.params[0] = db_array(look.ctx, texts, n);
    look.params[1] = db_array(look.ctx, segments, m);
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
