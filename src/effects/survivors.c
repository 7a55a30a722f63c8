/* Which objects do rows that stay still name? The last look before objects are deleted. The
 * database finds the values that may name one of them; what a value does name, the store's rules
 * say. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/clock.h"
#include "pgsweep/clock.h"
#include "pgsweep/mem.h"
#include "pgsweep/stop.h"
#include "pgsweep/stop.h"
#include "pgsweep/template.h"

#define SURVIVORS "sql/survivors.sql"

/* Values and keys are compared by this many characters at their ends first, or fewer where a key is
 * shorter. */
enum { TAIL_MAX = 32 };

struct look {
    void *ctx;
    struct db *db;
    const struct store_config *config;
    struct queue_item **items; /* those that name objects, by key */
    size_t count;
    const char *wanted; /* an array: what the database looks for */
    const char *keys;   /* an array: the spellings of the keys alone */
    size_t
        tail; /* so many characters at the end has each of these, at least, before a "?" or "#" */
    bool *depths; /* by number of segments: some key has so many */
    size_t depth_count;
    const char *since; /* NULL: all rows */
};

static int compare_keys(const void *a, const void *b)
{
    const struct queue_item *x = *(struct queue_item *const *)a,
                            *y = *(struct queue_item *const *)b;
    return strcmp(x->where.key, y->where.key);
}

/* The form of a key that does not depend on how a URL escapes it: no punctuation, lower case; what
 * is not ASCII as it is, or all of it escaped. The template "end_of_path" does the same to the path
 * of a URL. */
static char *plain_form(const void *ctx, const char *key, bool escape)
{
    char *text = mem_array(ctx, char, 3 * strlen(key) + 1);
    char *out = text;
    for (const char *p = key; *p; p++) {
        unsigned char c = (unsigned char)*p;
        if (c >= 0x80 && escape) {
            *out++ = "0123456789abcdef"[c >> 4];
            *out++ = "0123456789abcdef"[c & 15];
        } else if (c >= 0x80 || isalnum(c)) {
            *out++ = (char)(c < 0x80 ? tolower(c) : c);
        }
    }
    return text;
}

static bool is_ascii(const char *text)
{
    while (*text && !((unsigned char)*text & 0x80))
        text++;
    return !*text;
}

/* As many segments as this text has are looked at at the end of a path. */
static void note_depth(struct look *look, const char *text)
{
    size_t depth = 1;
    for (; *text; text++)
        depth += *text == '/';
    while (look->depth_count <= depth)
        mem_grow(look->ctx, &look->depths, &look->depth_count);
    look->depths[depth] = true;
}

/* How many characters there are before a query string or fragment would begin. */
static size_t characters(const char *text)
{
    size_t n = 0;
    for (; *text && *text != '?' && *text != '#'; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void prepare(struct look *look, struct queue_item **items, size_t count)
{
    look->items = mem_array(look->ctx, struct queue_item *, count + 1);
    for (size_t i = 0; i < count; i++)
        if (items[i]->where.kind == STORE_OBJECT)
            look->items[look->count++] = items[i];
    qsort(look->items, look->count, sizeof *look->items, compare_keys);

    void *scratch = talloc_new(look->ctx);
    const char **wanted = NULL, **keys = NULL;
    size_t n = 0, key_count = 0, k = mem_grow(scratch, &wanted, &n);
    wanted[k] = "%";
    look->tail = TAIL_MAX;
    for (size_t i = 0; i < look->count; i++) {
        char **spellings;
        size_t found = store_spellings(scratch, look->config, &look->items[i]->where, &spellings);
        for (size_t s = 0; s < found; s++) {
            note_depth(look, spellings[s]);
            size_t tail = characters(spellings[s]);
            look->tail = tail < look->tail ? tail : look->tail;
            k = mem_grow(scratch, &keys, &key_count);
            keys[k] = spellings[s];
            k = mem_grow(scratch, &wanted, &n);
            wanted[k] = spellings[s];
            for (int escape = 0; escape < (is_ascii(spellings[s]) ? 1 : 2); escape++) {
                k = mem_grow(scratch, &wanted, &n);
                wanted[k] = plain_form(scratch, spellings[s], escape);
            }
        }
    }
    look->wanted = db_array(look->ctx, wanted, n);
    look->keys = db_array(look->ctx, keys, key_count);
    talloc_free(scratch);
}

/* The ends of a path that are looked at: for each number of segments that some key has. */
static char *ends_of_path(const struct look *look, const char *name)
{
    char *ends = mem_strdup(look->ctx, "");
    for (size_t depth = 1; depth < look->depth_count; depth++)
        if (look->depths[depth]) {
            char *less = mem_printf(look->ctx, "%zu", depth - 1);
            ends = mem_check(talloc_asprintf_append(
                ends, "%s%s", *ends ? ",\n" : "",
                template_fill(look->ctx, SURVIVORS, name, TEMPLATE_SLOTS({"less", less}))));
        }
    return ends;
}

/* One scan of the table, and a hash join with what is looked for. */
static char *look_sql(const struct look *look, const struct source *source)
{
    void *ctx = look->ctx;
    char *texts =
        plan_object_texts(ctx, &source->object, mem_printf(ctx, "t.%s", source->column), false);
    const char *since = look->since && source->is_heap
                            ? mem_printf(ctx, "'%s'::pg_catalog.xid", look->since)
                            : NULL;
    char *values =
        texts ? template_fill(
                    ctx, SURVIVORS, "set_values",
                    TEMPLATE_SLOTS({"table", source->table}, {"texts", texts}, {"since", since}))
              : template_fill(ctx, SURVIVORS, "text_values",
                              TEMPLATE_SLOTS({"table", source->table}, {"column", source->column},
                                             {"since", since}));
    return template_fill(ctx, SURVIVORS, "look",
                         TEMPLATE_SLOTS({"ends", ends_of_path(look, "end_of_path")},
                                        {"escaped_ends", ends_of_path(look, "escaped_end_of_path")},
                                        {"values", values},
                                        {"tail", mem_printf(ctx, "%zu", look->tail)}));
}

/* The first item whose key is not before this one. */
static size_t find_key(const struct look *look, const char *key)
{
    size_t low = 0, high = look->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(look->items[middle]->where.key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Sets the verdict of the items with that key; bucket NULL: in whatever bucket. */
static void judge(const struct look *look, const char *bucket, const char *key,
                  enum verdict verdict, const char *why)
{
    for (size_t i = find_key(look, key);
         i < look->count && strcmp(look->items[i]->where.key, key) == 0; i++) {
        struct queue_item *item = look->items[i];
        if ((bucket && strcmp(item->where.bucket, bucket) != 0) || item->verdict == VERDICT_IN_USE)
            continue;
        item->verdict = verdict;
        if (verdict == VERDICT_HELD && !item->why)
            item->why = mem_strdup(look->items, why);
    }
}

/* What a value that the database found says about the items. */
static void judge_value(const struct look *look, const struct source *source, const char *value)
{
    bool bound = source->endpoint != NULL;
    void *scratch = talloc_new(look->ctx);
    size_t buckets;
    const char *first = store_config_buckets(look->config, &buckets)[0];
    struct store_location at =
        store_resolve_in(scratch, look->config, bound ? source->bucket : first, value);
    char *why = mem_printf(scratch, "a row of %s may name it: \"%s\"", source->table,
                           object_shown(scratch, value));
    if (at.kind == STORE_OBJECT && !at.relative)
        judge(look, at.bucket, at.key, VERDICT_IN_USE, NULL);
    else if (at.kind == STORE_OBJECT && !bound)
        judge(look, NULL, at.key, VERDICT_HELD,
              mem_printf(scratch,
                         "%s; in which bucket, the next run of policy %s that has a store decides",
                         why, source->policy));
    else if (at.kind == STORE_OBJECT &&
             strcmp(source->endpoint, store_config_place(look->config)) == 0)
        judge(look, at.bucket, at.key, VERDICT_IN_USE, NULL);
    for (const char *tail = at.path; tail; tail = strchr(tail, '/') ? strchr(tail, '/') + 1 : NULL)
        judge(look, NULL, tail, VERDICT_HELD,
              mem_printf(scratch, "%s; PGSWEEP_S3_ALIASES can say which bucket that is", why));
    talloc_free(scratch);
}

/* Nothing can be said about this column. Its policy's objects stay; so do all, where it could be
 * read by another role. */
static void judge_all(const struct look *look, const struct source *source)
{
    char *why = source_trouble(look->ctx, look->db, source);
    for (size_t i = 0; i < look->count; i++)
        if (look->items[i]->verdict == VERDICT_FREE &&
            (source->state == SOURCE_DENIED ||
             strcmp(look->items[i]->policy, source->policy) == 0)) {
            look->items[i]->verdict = VERDICT_HELD;
            look->items[i]->why = mem_strdup(look->items, why);
        }
}

static bool same_values(const struct source *a, const struct source *b)
{
    return a->state == SOURCE_THERE && b->state == SOURCE_THERE &&
           strcmp(a->table, b->table) == 0 && strcmp(a->column, b->column) == 0 &&
           strcmp(a->object.path, b->object.path) == 0;
}

/* It may read the whole table, and gives way to whoever waits for that: then it begins anew. */
static bool read_values(struct look *look, const struct source *source, struct db_rows **rows,
                        struct error *err)
{
    enum { TRIES = 10, BASE_MS = 100, CAP_MS = 10000 };
    const char *params[] = {look->wanted, look->keys};
    bool ok = false;
    for (int attempt = 1; !ok; attempt++) {
        error_clear(err);
        db_give_way(look->db, true);
        ok = db_query(look->db, look->ctx, look_sql(look, source), 2, params, rows, err);
        db_give_way(look->db, false);
        if (!ok && (!db_failed_for_lock(err) || attempt == TRIES || stop_requested()))
            return false;
        if (!ok)
            clock_sleep_ms(clock_backoff_ms(attempt, BASE_MS, CAP_MS));
    }
    return true;
}

static bool look_everywhere(struct look *look, struct error *err)
{
    struct source *sources;
    size_t count;
    struct db_rows *rows = NULL;
    if (!sources_read(look->db, look->ctx, "object", &sources, &count, err))
        return false;
    for (size_t s = 0; s < count; s++) {
        if (sources[s].state != SOURCE_THERE) {
            judge_all(look, &sources[s]);
            continue;
        }
        /* Several policies may use one column; it is read once. */
        if (!rows || !same_values(&sources[s - 1], &sources[s])) {
            talloc_free(rows);
            if (!read_values(look, &sources[s], &rows, err))
                return error_prefix(err, "looking whether %s.%s still names an object",
                                    sources[s].table, sources[s].column);
        }
        for (int i = 0; i < db_rows_count(rows); i++)
            judge_value(look, &sources[s], db_rows_get(rows, i, 0));
    }
    talloc_free(rows);
    return true;
}

bool survivors_snapshot(struct state *state, const void *ctx, const char **snapshot,
                        struct error *err)
{
    struct db_rows *rows;
    if (!db_query(state_db(state), ctx, template_fill(ctx, SURVIVORS, "snapshot", NULL), 0, NULL,
                  &rows, err))
        return false;
    *snapshot = db_rows_get(rows, 0, 0);
    return true;
}

bool survivors_mark(struct state *state, const void *ctx, const struct store_config *config,
                    struct queue_item **items, size_t count, const char *since, struct error *err)
{
    struct look look = {
        .ctx = talloc_new(ctx), .db = state_db(state), .config = config, .since = since};
    prepare(&look, items, count);
    bool ok = look.count == 0 || look_everywhere(&look, err);
    talloc_steal(ctx, look.items); /* has the reasons */
    talloc_free(look.ctx);
    return ok;
}
