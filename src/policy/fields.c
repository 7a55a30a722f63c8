/* The table of keys. A new key of the policy language is a new row here. */
#include "fields.h"

#include <string.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"

/* Tables: a key and its properties on one line where they fit. */
/* clang-format off */

const char *const policy_action_names[] = {"delete", "detach", "reassign", "keep",
                                          "delete_orphans", "ignore", NULL};
const char *const policy_transaction_names[] = {"chunk", "row", NULL};
const char *const policy_unlisted_names[] = {"refuse", "cascade", NULL};
const char *const policy_triggers_names[] = {"refuse", "allow", NULL};

const char *const policy_lock_waiters_names[] = {"give_way", "ignore", NULL};
const char *const policy_pressure_names[] = {"ignore", "wait", NULL};

const char *const policy_kind_names[] = {"rows", "files", NULL};
const char *const policy_in_use_names[] = {"keep", "delete", NULL};
const char *const policy_clock_names[] = {"check", "trust", NULL};
const char *const policy_age_by_names[] = {"mtime", "atime", "ctime", "btime", NULL};
const char *const policy_protect_case_names[] = {"default", "ignore", "match", NULL};
const char *const policy_special_names[] = {"keep", "delete", NULL};
const char *const policy_system_root_names[] = {"refuse", "allow", NULL};

#define AT(type, member) .offset = offsetof(struct type, member)

static const struct field guard_fields[] = {
    {.key = "name", .kind = FIELD_NAME, AT(policy_guard, name), .required = true},
    {.key = "unless", .kind = FIELD_CONDITION, AT(policy_guard, unless), .required = true},
    {.key = "by", .kind = FIELD_CONDITION, AT(policy_guard, by)},
    {.key = NULL},
};

static const struct field reference_fields[] = {
    {.key = "table", .kind = FIELD_TEXT, AT(policy_reference, table), .required = true},
    {.key = "refers_to", .kind = FIELD_TEXT, AT(policy_reference, refers_to), .required = true},
    {.key = "columns", .kind = FIELD_SET, AT(policy_reference, columns), .required = true,
     .count_offset = offsetof(struct policy_reference, column_count)},
    {.key = NULL},
};

static const struct field object_fields[] = {
    {.key = "column", .kind = FIELD_TEXT, AT(policy_object, column), .required = true},
    {.key = "path", .kind = FIELD_TEXT, AT(policy_object, path)},
    {.key = "prefix", .kind = FIELD_NAMES, AT(policy_object, prefixes), .short_form = true,
     .count_offset = offsetof(struct policy_object, prefix_count)},
    {.key = NULL},
};

#define OBJECTS_FIELD(of)                                                                          \
    {                                                                                              \
        .key = "objects", .kind = FIELD_LIST, AT(of, objects), .fields = object_fields,            \
        .short_form = true, .count_offset = offsetof(struct of, object_count),                     \
        .size = sizeof(struct policy_object)                                                       \
    }

static const struct field dependent_fields[] = {
    {.key = "table", .kind = FIELD_TEXT, AT(policy_dependent, table), .required = true},
    {.key = "constraint", .kind = FIELD_TEXT, AT(policy_dependent, constraint)},
    {.key = "action", .kind = FIELD_WORD, AT(policy_dependent, action), .required = true,
     .words = policy_action_names},
    {.key = "set", .kind = FIELD_SET, AT(policy_dependent, set),
     .count_offset = offsetof(struct policy_dependent, set_count)},
    {.key = "via", .kind = FIELD_TEXT, AT(policy_dependent, via)},
    {.key = "to", .kind = FIELD_TEXT, AT(policy_dependent, to)},
    OBJECTS_FIELD(policy_dependent),
    {.key = "count_as", .kind = FIELD_TEXT, AT(policy_dependent, count_as)},
    {.key = "reason", .kind = FIELD_TEXT, AT(policy_dependent, reason)},
    {.key = "optional", .kind = FIELD_FLAG, AT(policy_dependent, optional)},
    {.key = NULL},
};

#define MAX_ROWS_FIELD {.key = "max_rows", .kind = FIELD_COUNT, AT(policy, max_rows)}
#define MAX_RUNTIME_FIELD {.key = "max_runtime", .kind = FIELD_INTERVAL, AT(policy, max_runtime)}
#define PAUSE_FIELD {.key = "pause", .kind = FIELD_INTERVAL, AT(policy, pause)}

static const struct field limit_fields[] = {
    MAX_ROWS_FIELD,
    MAX_RUNTIME_FIELD,
    {.key = "max_failed", .kind = FIELD_COUNT, AT(policy, max_failed)},
    PAUSE_FIELD,
    {.key = "count_timeout", .kind = FIELD_INTERVAL, AT(policy, count_timeout)},
    {.key = "retry_for", .kind = FIELD_INTERVAL, AT(policy, retry_for)},
    {.key = NULL},
};

static const struct field file_limit_fields[] = {
    MAX_ROWS_FIELD,
    MAX_RUNTIME_FIELD,
    PAUSE_FIELD,
    {.key = NULL},
};

static const struct field throttle_fields[] = {
    {.key = "replica_lag", .kind = FIELD_LIMIT, AT(policy, throttle.replica_lag),
     .takes = LIMIT_TIME | LIMIT_BYTES},
    {.key = "slot_wal", .kind = FIELD_LIMIT, AT(policy, throttle.slot_wal),
     .takes = LIMIT_BYTES},
    {.key = "ignore_replicas", .kind = FIELD_NAMES, AT(policy, throttle.ignore_replicas),
     .short_form = true, .count_offset = offsetof(struct policy, throttle.ignore_replica_count)},
    {.key = "lock_waiters", .kind = FIELD_WORD, AT(policy, throttle.lock_waiters),
     .words = policy_lock_waiters_names},
    {.key = "active_sessions", .kind = FIELD_LIMIT, AT(policy, throttle.active_sessions),
     .takes = LIMIT_NUMBER},
    {.key = "snapshot_age", .kind = FIELD_LIMIT, AT(policy, throttle.snapshot_age),
     .takes = LIMIT_TIME | LIMIT_NUMBER},
    {.key = "checkpoints", .kind = FIELD_WORD, AT(policy, throttle.checkpoints),
     .words = policy_pressure_names},
    {.key = "autovacuum", .kind = FIELD_WORD, AT(policy, throttle.autovacuum),
     .words = policy_pressure_names},
    {.key = "wait_while", .kind = FIELD_SQL, AT(policy, throttle.wait_while)},
    {.key = "pause_file", .kind = FIELD_PATH, AT(policy, throttle.pause_file)},
    {.key = "max_wait", .kind = FIELD_LIMIT, AT(policy, throttle.max_wait),
     .takes = LIMIT_TIME},
    {.key = "stop_file", .kind = FIELD_PATH, AT(policy, throttle.stop_file)},
    {.key = "window", .kind = FIELD_WINDOW, AT(policy, throttle.window)},
    {.key = NULL},
};

static const struct field alert_fields[] = {
    {.key = "failed_share", .kind = FIELD_SHARE, AT(policy, alert_failed_share)},
    {.key = "dead_letters", .kind = FIELD_COUNT, AT(policy, alert_dead_letters)},
    {.key = NULL},
};

/* Which files may go: the same keys for the roots of a policy of kind files and for working
 * directories. */
#define FILE_RULE_FIELDS                                                                           \
    {.key = "age_by",                                                                              \
     .kind = FIELD_WORDS,                                                                          \
     AT(policy, files.age_by),                                                                     \
     .words = policy_age_by_names},                                                                \
        {.key = "in_use",                                                                          \
         .kind = FIELD_WORD,                                                                       \
         AT(policy, files.in_use),                                                                 \
         .words = policy_in_use_names},                                                            \
        {.key = "protect",                                                                         \
         .kind = FIELD_NAMES,                                                                      \
         AT(policy, files.protect),                                                                \
         .count_offset = offsetof(struct policy, files.protect_count),                             \
         .adds = true},                                                                            \
        {.key = "protect_dirs",                                                                    \
         .kind = FIELD_NAMES,                                                                      \
         AT(policy, files.protect_dirs),                                                           \
         .count_offset = offsetof(struct policy, files.protect_dir_count),                         \
         .adds = true},                                                                            \
        {.key = "protect_case",                                                                    \
         .kind = FIELD_WORD,                                                                       \
         AT(policy, files.protect_case),                                                           \
         .words = policy_protect_case_names},                                                      \
    {                                                                                              \
        .key = "system_root", .kind = FIELD_WORD, AT(policy, files.system_root),                   \
        .words = policy_system_root_names                                                          \
    }

static const struct field directory_fields[] = {
    {.key = "directory", .kind = FIELD_TEXT, AT(policy, directory)},
    {.key = "root", .kind = FIELD_TEXT, AT(policy, directory_root)},
    {.key = "retain", .kind = FIELD_KEEP, AT(policy, files.retain)},
    FILE_RULE_FIELDS,
    {.key = NULL},
};

#define KIND_FIELD {.key = "kind", .kind = FIELD_WORD, AT(policy, kind), .words = policy_kind_names}
#define DESCRIPTION_FIELD                                                                          \
    {                                                                                              \
        .key = "description", .kind = FIELD_TEXT, AT(policy, description), .may_be_empty = true    \
    }
#define CLOCK_FIELD                                                                                \
    {                                                                                              \
        .key = "clock", .kind = FIELD_WORD, AT(policy, clock), .words = policy_clock_names         \
    }
#define RETAIN_FIELD {.key = "retain", .kind = FIELD_INTERVAL, AT(policy, retain), .required = true}
#define CHUNK_FIELD {.key = "chunk", .kind = FIELD_CHUNK, AT(policy, chunk)}
#define LIMITS_FIELD(inner) {.key = "limits", .kind = FIELD_GROUP, .fields = (inner)}
#define ALERTS_FIELD {.key = "alerts", .kind = FIELD_GROUP, .fields = alert_fields}

static const struct field row_fields[] = {
    KIND_FIELD,
    DESCRIPTION_FIELD,
    {.key = "table", .kind = FIELD_TEXT, AT(policy, table), .required = true},
    {.key = "age", .kind = FIELD_TEXT, AT(policy, age), .required = true},
    {.key = "time_zone", .kind = FIELD_TEXT, AT(policy, time_zone)},
    RETAIN_FIELD,
    CLOCK_FIELD,
    {.key = "where", .kind = FIELD_CONDITION, AT(policy, where)},
    {.key = "count_total", .kind = FIELD_FLAG, AT(policy, count_total)},
    {.key = "guards", .kind = FIELD_LIST, AT(policy, guards), .fields = guard_fields,
     .count_offset = offsetof(struct policy, guard_count), .size = sizeof(struct policy_guard)},
    {.key = "references", .kind = FIELD_LIST, AT(policy, references), .fields = reference_fields,
     .count_offset = offsetof(struct policy, reference_count),
     .size = sizeof(struct policy_reference)},
    OBJECTS_FIELD(policy),
    {.key = "object_prefixes", .kind = FIELD_NAMES, AT(policy, object_prefixes), .short_form = true,
     .count_offset = offsetof(struct policy, object_prefix_count)},
    {.key = "dependents", .kind = FIELD_LIST, AT(policy, dependents), .fields = dependent_fields,
     .count_offset = offsetof(struct policy, dependent_count),
     .size = sizeof(struct policy_dependent)},
    {.key = "unlisted", .kind = FIELD_WORD, AT(policy, unlisted), .words = policy_unlisted_names},
    {.key = "transaction", .kind = FIELD_WORD, AT(policy, transaction),
     .words = policy_transaction_names},
    {.key = "triggers", .kind = FIELD_WORD, AT(policy, triggers), .words = policy_triggers_names},
    {.key = "search_path", .kind = FIELD_NAMES, AT(policy, search_path),
     .count_offset = offsetof(struct policy, search_path_count)},
    {.key = "files", .kind = FIELD_GROUP, .fields = directory_fields},
    CHUNK_FIELD,
    LIMITS_FIELD(limit_fields),
    {.key = "throttle", .kind = FIELD_GROUP, .fields = throttle_fields,
     .none = policy_throttle_none},
    ALERTS_FIELD,
    {.key = NULL},
};

static const struct field file_fields[] = {
    KIND_FIELD,
    DESCRIPTION_FIELD,
    {.key = "roots",
     .kind = FIELD_NAMES,
     AT(policy, roots),
     .count_offset = offsetof(struct policy, root_count)},
    RETAIN_FIELD,
    CLOCK_FIELD,
    FILE_RULE_FIELDS,
    {.key = "special",
     .kind = FIELD_WORD,
     AT(policy, files.special),
     .words = policy_special_names},
    {.key = "owner",
     .kind = FIELD_NAMES,
     AT(policy, files.owners),
     .count_offset = offsetof(struct policy, files.owner_count),
     .short_form = true},
    {.key = "min_free", .kind = FIELD_ROOM, AT(policy, files.min_free)},
    {.key = "active", .kind = FIELD_TEXT, AT(policy, active)},
    CHUNK_FIELD,
    LIMITS_FIELD(file_limit_fields),
    ALERTS_FIELD,
    {.key = NULL},
};

/* clang-format on */

const struct field *policy_fields_of(enum policy_kind kind)
{
    return kind == KIND_FILES ? file_fields : row_fields;
}

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

const struct field *field_find(enum policy_kind kind, const char *key)
{
    return find_in(policy_fields_of(kind), key);
}

static bool is_share(const char *text)
{
    size_t digits = strspn(text, "0123456789.");
    char *end;
    double share = strtod(text, &end);
    return digits > 0 && end == text + digits && strcmp(end, "%") == 0 && share >= 0 &&
           share <= 100;
}

double policy_share(const struct setting *share)
{
    return strtod(share->value, NULL);
}

void policy_min_free(const struct setting *min_free, double *share, int64_t *bytes)
{
    (void)field_read_room(min_free->value, share, bytes);
}

char *policy_age_by_text(const void *ctx, unsigned age_by)
{
    char *text = NULL;
    for (int i = 0; policy_age_by_names[i]; i++)
        if ((age_by ? age_by : 1) & (1U << i))
            text = text ? mem_check(talloc_asprintf_append(text, ",%s", policy_age_by_names[i]))
                        : mem_strdup(ctx, policy_age_by_names[i]);
    return text;
}

bool field_read_word(const void *ctx, const struct field *field, const char *text, int *value,
                     char **known)
{
    char *list = mem_strdup(ctx, "");
    for (int i = 0; field->words[i]; i++) {
        if (text && strcmp(text, field->words[i]) == 0) {
            *value = i;
            talloc_free(list);
            return true;
        }
        list = mem_check(talloc_asprintf_append(list, "%s%s", i ? ", " : "", field->words[i]));
    }
    *known = list;
    return false;
}

char **field_split(const void *ctx, const char *text, size_t *count)
{
    char **parts = NULL;
    *count = 0;
    for (const char *p = text;; p++) {
        char *part = mem_strdup(ctx, "");
        p += strspn(p, " \t");
        while (*p && *p != ',') {
            p += p[0] == '\\' && p[1] == ',';
            part = mem_check(talloc_strndup_append(part, p++, 1));
        }
        for (size_t end = strlen(part); end > 0 && (part[end - 1] == ' ' || part[end - 1] == '\t');)
            part[--end] = '\0';
        size_t i = mem_grow(ctx, &parts, count);
        parts[i] = part;
        if (!*p)
            return parts;
    }
}

bool field_check(const void *ctx, const struct field *field, const struct setting *value,
                 struct error *err)
{
    int64_t n;
    double share;
    switch (field->kind) {
    case FIELD_CONDITION:
        return condition_check(ctx, value, NULL, err);
    case FIELD_INTERVAL:
        return interval_check(value, field->key, err);
    case FIELD_KEEP:
        return strcmp(value->value, POLICY_RETAIN_NONE) == 0 ||
               interval_check(value, field->key, err);
    case FIELD_CHUNK:
        if (strcmp(value->value, "auto") == 0 || text_to_count(value->value, POLICY_CHUNK_MAX, &n))
            return true;
        return error_set(err, SWEEP_USAGE,
                         "%s: chunk must be \"auto\" or a number of rows from 1 to %d, not \"%s\"",
                         value->origin, POLICY_CHUNK_MAX, value->value);
    case FIELD_SHARE:
        if (is_share(value->value))
            return true;
        return error_set(err, SWEEP_USAGE,
                         "%s: %s must be a percentage from 0%% to 100%%, not \"%s\"", value->origin,
                         field->key, value->value);
    case FIELD_ROOM:
        if (field_read_room(value->value, &share, &n))
            return true;
        error_set(err, SWEEP_USAGE, "%s: %s \"%s\" is not understood", value->origin, field->key,
                  value->value);
        return error_hint(
            err,
            "Write a share of the file system, such as 20%%, or bytes with a unit, such as 50 GiB "
            "(KiB, MiB, GiB, TiB, kB, MB, GB, TB).");
    case FIELD_COUNT:
        if (text_to_count(value->value, POLICY_ROWS_MAX, &n))
            return true;
        return error_set(err, SWEEP_USAGE,
                         "%s: %s must be a whole number of rows above 0, not \"%s\"", value->origin,
                         field->key, value->value);
    case FIELD_LIMIT:
    case FIELD_WINDOW:
    case FIELD_PATH:
    case FIELD_SQL:
        return field_check_throttle(ctx, field, value, err);
    default:
        return true;
    }
}
