/* What keys of objects must begin with: stated by the policy, written down with the columns and
 * with each entry of the queue. A key is deleted only where all of them allow it. */
#include <string.h>

#include "internal.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* A name as it stands where the queue says which column a value is from: without quotes. */
static char *unquoted(const void *ctx, const char *name)
{
    char *text = mem_strdup(ctx, name);
    char *out = text;
    for (const char *p = name; *p; p++)
        if (*p != '"' || (p > name && p[-1] == '"' && p[1] && p[1] != '.'))
            *out++ = *p;
    *out = '\0';
    return text;
}

void bounds_add(const void *ctx, struct object_bounds *bounds, const char *policy,
                const char *column, const char **prefixes, size_t count)
{
    size_t i = mem_grow(ctx, &bounds->all, &bounds->count);
    bounds->all[i] = (struct object_bound){.policy = mem_strdup(ctx, policy),
                                           .column = unquoted(ctx, column),
                                           .prefixes = prefixes,
                                           .prefix_count = count};
}

static void add_objects(const void *ctx, struct object_bounds *bounds, const struct policy *policy,
                        const char *table, const struct policy_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct policy_object *o = &objects[i];
        const struct setting *stated = o->prefix_count > 0 ? o->prefixes : policy->object_prefixes;
        size_t n = o->prefix_count > 0 ? o->prefix_count : policy->object_prefix_count;
        const char **prefixes = mem_array(ctx, const char *, n + 1);
        for (size_t p = 0; p < n; p++)
            prefixes[p] = mem_strdup(ctx, stated[p].value);
        bounds_add(ctx, bounds, policy->name, mem_printf(ctx, "%s.%s", table, o->column.value),
                   prefixes, n);
    }
}

void bounds_add_policy(const void *ctx, struct object_bounds *bounds, const struct policy *policy)
{
    add_objects(ctx, bounds, policy, policy->table.value, policy->objects, policy->object_count);
    for (size_t i = 0; i < policy->dependent_count; i++)
        add_objects(ctx, bounds, policy, policy->dependents[i].table.value,
                    policy->dependents[i].objects, policy->dependents[i].object_count);
}

/* Whether the queue's word for a column, "public.t.c" or "public.t (constraint).c", means this one,
 * "t.c". */
static bool is_from(const char *source, const char *column)
{
    const char *open = strstr(source, " ("), *close = open ? strrchr(open, ')') : NULL;
    char *plain = close ? mem_printf(NULL, "%.*s%s", (int)(open - source), source, close + 1)
                        : mem_strdup(NULL, source);
    size_t length = strlen(plain), tail = strlen(column);
    bool same = length >= tail && strcmp(plain + length - tail, column) == 0 &&
                (length == tail || plain[length - tail - 1] == '.');
    talloc_free(plain);
    return same;
}

/* "files/", "thumbs/" */
static char *add_shown(char *list, const char *const *prefixes, size_t count)
{
    for (size_t i = 0; i < count; i++)
        list =
            mem_check(talloc_asprintf_append(list, "%s\"%s\"", *list ? ", " : "",
                                             text_escape(list, prefixes[i], strlen(prefixes[i]))));
    return list;
}

/* NULL: the bounds allow the key. Else the prefixes that it would have to begin with. Where the
 * column is none that is known of the policy, those of all its columns count. */
static char *find_breach(const void *ctx, const struct object_bounds *bounds,
                         const struct queue_item *item)
{
    bool known = false, allowed = true;
    char *shown = mem_strdup(ctx, "");
    for (size_t i = 0; i < bounds->count; i++)
        known = known || (strcmp(bounds->all[i].policy, item->policy) == 0 &&
                          is_from(item->source, bounds->all[i].column));
    for (size_t i = 0, n = 0; i < bounds->count; i++) {
        const struct object_bound *b = &bounds->all[i];
        if (strcmp(b->policy, item->policy) != 0 || (known && !is_from(item->source, b->column)))
            continue;
        bool below = b->prefix_count == 0 ||
                     store_key_is_below(item->where.key, b->prefixes, b->prefix_count);
        allowed = n++ == 0 ? below : allowed || below;
        shown = add_shown(shown, b->prefixes, b->prefix_count);
    }
    return allowed ? NULL : shown;
}

char *bounds_breach(const void *ctx, const struct queue_item *item,
                    const struct object_bounds *recorded, const struct object_bounds *stated)
{
    char *shown = NULL;
    if (item->where.kind != STORE_OBJECT)
        return NULL;
    if (item->prefix_count > 0 &&
        !store_key_is_below(item->where.key, item->prefixes, item->prefix_count))
        shown = add_shown(mem_strdup(ctx, ""), item->prefixes, item->prefix_count);
    if (!shown)
        shown = find_breach(ctx, recorded, item);
    if (!shown && stated)
        shown = find_breach(ctx, stated, item);
    if (!shown)
        return NULL;
    return mem_printf(
        ctx, "its key \"%s\" is outside what policy %s may delete (keys that begin with %s)",
        text_escape(ctx, item->where.key, strlen(item->where.key)), item->policy, shown);
}
