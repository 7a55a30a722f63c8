/* What keys of objects must begin with: whether that can be right, and where a policy states
 * nothing. */
#include <string.h>

#include "fields.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* Why no key that may be deleted begins with this, or why it is hardly what was meant; NULL: it is
 * fine. */
static const char *problem(const char *prefix)
{
    size_t length = strlen(prefix);
    if (strstr(prefix, "://"))
        return "is a URL: state the beginning of the key alone, without its bucket";
    if (strncmp(prefix, "./", 2) == 0 || strncmp(prefix, "../", 3) == 0 || strstr(prefix, "/./") ||
        strstr(prefix, "/../"))
        return "has a segment \".\" or \"..\": no key with one is deleted";
    if (length > 0 && prefix[length - 1] == '*')
        return "is compared as text, and is no pattern: leave out the \"*\"";
    return NULL;
}

bool field_check_prefixes(const struct setting *prefixes, size_t count, struct error *err)
{
    for (size_t i = 0; i < count; i++) {
        const char *why = problem(prefixes[i].value);
        if (!why && count > 1 && !*prefixes[i].value)
            why = "is among others, and would make them needless";
        if (!why)
            continue;
        void *scratch = talloc_new(NULL);
        error_set(err, SWEEP_USAGE, "%s: the prefix \"%s\" %s", prefixes[i].origin,
                  text_escape(scratch, prefixes[i].value, strlen(prefixes[i].value)), why);
        talloc_free(scratch);
        return error_hint(
            err, "Write the beginning of keys, such as \"files/\". \"\" alone states that any "
                 "object may be deleted.");
    }
    return true;
}

/* "table.column" of those that state nothing, with commas between them. */
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
                      "%s: no prefix is stated, so any object of the configured buckets that a row "
                      "names may be deleted; "
                      "state what keys begin with (objects: [{ column: COLUMN, prefix: files/ }], "
                      "object_prefixes, or %s), "
                      "or prefix: '' where that is meant",
                      list, policy_variable(ctx, policy->name, "object_prefixes"));
}
