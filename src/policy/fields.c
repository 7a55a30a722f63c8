/* The table of keys. A new key of the policy language is a new row here. */
#include "fields.h"

#include <string.h>

#include "pgsweep/text.h"

const char *const policy_action_names[] = {"delete", "detach", "keep", "ignore", NULL};
const char *const policy_unlisted_names[] = {"refuse", "cascade", NULL};

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field guard_fields[] = {
    {.key = "name", .kind = FIELD_NAME, AT(policy_guard, name), .required = true},
    {.key = "unless", .kind = FIELD_CONDITION, AT(policy_guard, unless), .required = true},
    {.key = "by", .kind = FIELD_CONDITION, AT(policy_guard, by)},
    {.key = NULL},
};

static const struct field dependent_fields[] = {
    {.key = "table", .kind = FIELD_TEXT, AT(policy_dependent, table), .required = true},
    {.key = "action", .kind = FIELD_WORD, AT(policy_dependent, action), .required = true,
     .words = policy_action_names},
    {.key = "set", .kind = FIELD_SET, AT(policy_dependent, set),
     .count_offset = offsetof(struct policy_dependent, set_count)},
    {.key = "reason", .kind = FIELD_TEXT, AT(policy_dependent, reason)},
    {.key = "optional", .kind = FIELD_FLAG, AT(policy_dependent, optional)},
    {.key = NULL},
};

static const struct field limit_fields[] = {
    {.key = "max_rows", .kind = FIELD_COUNT, AT(policy, max_rows)},
    {.key = "max_runtime", .kind = FIELD_INTERVAL, AT(policy, max_runtime)},
    {.key = "pause", .kind = FIELD_INTERVAL, AT(policy, pause)},
    {.key = NULL},
};

const struct field policy_fields[] = {
    {.key = "description", .kind = FIELD_TEXT, AT(policy, description)},
    {.key = "table", .kind = FIELD_TEXT, AT(policy, table), .required = true},
    {.key = "age", .kind = FIELD_TEXT, AT(policy, age), .required = true},
    {.key = "time_zone", .kind = FIELD_TEXT, AT(policy, time_zone)},
    {.key = "retain", .kind = FIELD_INTERVAL, AT(policy, retain), .required = true},
    {.key = "where", .kind = FIELD_CONDITION, AT(policy, where)},
    {.key = "count_total", .kind = FIELD_FLAG, AT(policy, count_total)},
    {.key = "guards", .kind = FIELD_LIST, AT(policy, guards), .fields = guard_fields,
     .count_offset = offsetof(struct policy, guard_count), .size = sizeof(struct policy_guard)},
    {.key = "dependents", .kind = FIELD_LIST, AT(policy, dependents), .fields = dependent_fields,
     .count_offset = offsetof(struct policy, dependent_count),
     .size = sizeof(struct policy_dependent)},
    {.key = "unlisted", .kind = FIELD_WORD, AT(policy, unlisted), .words = policy_unlisted_names},
    {.key = "chunk", .kind = FIELD_CHUNK, AT(policy, chunk)},
    {.key = "limits", .kind = FIELD_GROUP, .fields = limit_fields},
    {.key = NULL},
};

static const struct field *find_in(const struct field *fields, const char *key)
{
    for (const struct field *field = fields; field->key; field++) {
        if (strcmp(field->key, key) == 0)
            return field;
        const struct field *inner = field->kind == FIELD_GROUP ? find_in(field->fields, key) : NULL;
        if (inner)
            return inner;
    }
    return NULL;
}

const struct field *field_find(const char *key)
{
    return find_in(policy_fields, key);
}

bool field_check(const void *ctx, const struct field *field, const struct setting *value,
                 struct error *err)
{
    int64_t n;
    switch (field->kind) {
    case FIELD_CONDITION:
        return condition_check(ctx, value, NULL, err);
    case FIELD_INTERVAL:
        return interval_check(value, field->key, err);
    case FIELD_CHUNK:
        if (strcmp(value->value, "auto") == 0 || text_to_count(value->value, POLICY_CHUNK_MAX, &n))
            return true;
        return error_set(err, SWEEP_USAGE,
                         "%s: chunk must be \"auto\" or a number of rows from 1 to %d, not \"%s\"",
                         value->origin, POLICY_CHUNK_MAX, value->value);
    case FIELD_COUNT:
        if (text_to_count(value->value, POLICY_ROWS_MAX, &n))
            return true;
        return error_set(err, SWEEP_USAGE, "%s: %s must be a whole number of rows above 0, not \"%s\"",
                         value->origin, field->key, value->value);
    default:
        return true;
    }
}
