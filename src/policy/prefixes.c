/* The prefixes that keys of objects must have: whether a prefix can be right, and which columns
 * have none. */
#include <string.h>

#include "fields.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* Why no key that may be deleted can have this prefix, or why it is probably a mistake; NULL: it is
 * fine. */
static const char *problem(const char *prefix)
{
    size_t length = strlen(prefix);
    if (strstr(prefix, "://"))
        return "is a URL: give only the beginning of the key, without the bucket";
    if (strncmp(prefix, "./", 2) == 0 || strncmp(prefix, "../", 3) == 0 || strstr(prefix, "/./") ||
        strstr(prefix, "/../"))
        return "has a segment \".\" or \"..\": keys with such a segment are never deleted";
    if (length > 0 && prefix[length - 1] == '*')
        return "is compared as text and is not a pattern: leave out the \"*\"";
    return NULL;
}

bool field_check_prefixes(const struct setting *prefixes, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *why = problem(prefixes[i].value);
        if (!why && count > 1 && !*prefixes[i].value)
            why = "is empty: it would allow every key and make the other prefixes useless";
        if (!why)
            continue;
        void *scratch = talloc_new(NULL);
        error_set(err, SWEEP_USAGE, "%s: the prefix \"%s\" %s", prefixes[i].origin,
                  text_escape(scratch, prefixes[i].value, strlen(prefixes[i].value)), why);
        talloc_free(scratch);
        return error_hint(err, "Write the beginning of keys, such as \"files/\". \"\" as the only "
                               "prefix means that any object may be deleted.");
    }
    return true;
}

/* Appends "table.column" of the columns without a prefix, separated by commas. */
static char *add_unbounded(char *list, const char *table, const struct policy_object *objects,
                           size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (objects[i].prefix_count == 0)
            list = mem_check(talloc_asprintf_append(list, "%s%s.%s", *list ? ", " : "", table,
                                                    objects[i].column.value));
    return list;
}

char *policy_unbounded(const void *ctx, const struct policy *policy)
{
    if (policy->kind != KIND_ROWS || policy->object_prefix_count > 0)
        return NULL;
    char *list = add_unbounded(mem_strdup(ctx, ""), policy->table.value, policy->objects,
                               policy->object_count);
    for (size_t i = 0; i < policy->dependent_count; i++)
        list = add_unbounded(list, policy->dependents[i].table.value, policy->dependents[i].objects,
                             policy->dependents[i].object_count);
    if (!*list)
        return NULL;
    return mem_printf(ctx,
                      "%s: no prefix is set, so any object of the configured buckets that a row "
                      "names may be deleted; set a prefix (objects: [{ column: COLUMN, prefix: "
                      "files/ }], object_prefixes, or %s), or prefix: '' if that is intended",
                      list, policy_variable(ctx, policy->name, "object_prefixes"));
}
