/* From a YAML tree to struct policy, by the table of fields.c. */
#include <string.h>

#include "fields.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "yaml.h"

struct reader {
    const void *ctx; /* owner of everything that is read */
    const char *source;
    struct error *err;
};

static bool read_fields(struct reader *r, const struct yaml_node *map, const struct field *fields,
                        const char *what, char *base);

static const char *origin(struct reader *r, int line)
{
    return mem_printf(r->ctx, "%s:%d", r->source, line);
}

static bool expected(struct reader *r, const struct yaml_node *node, const char *key,
                     const char *wanted)
{
    return error_set(r->err, SWEEP_USAGE, "%s:%d: %s must be %s, not %s", r->source, node->line,
                     key, wanted, yaml_kind_name(node));
}

static bool unknown_key(struct reader *r, const struct yaml_node *map, size_t i,
                        const struct field *fields, const char *what)
{
    const char *known[64];
    size_t count = 0;
    char *list = mem_strdup(r->ctx, "");
    for (const struct field *field = fields; field->key; field++) {
        known[count++] = field->key;
        list = talloc_asprintf_append(list, "%s%s", count > 1 ? ", " : "", field->key);
    }
    const char *nearest = text_nearest(map->keys[i], known, count);
    error_set(r->err, SWEEP_USAGE, "%s:%d: unknown key \"%s\" in %s", r->source, map->key_lines[i],
              map->keys[i], what);
    if (nearest)
        return error_hint(r->err, "Did you mean \"%s\"? Known keys: %s.", nearest, list);
    return error_hint(r->err, "Known keys: %s.", list);
}

static bool read_flag(struct reader *r, const struct yaml_node *node, const char *key, bool *flag)
{
    bool yes = node->text && text_same_word(node->text, "true");
    bool no = node->text && text_same_word(node->text, "false");
    if (node->quoted || (!yes && !no))
        return error_set(r->err, SWEEP_USAGE, "%s:%d: %s must be true or false", r->source,
                         node->line, key);
    *flag = yes;
    return true;
}

static bool bad_word(struct reader *r, const struct yaml_node *node, const struct field *field,
                     const char *text, const char *known)
{
    return error_set(r->err, SWEEP_USAGE, "%s:%d: %s must be one of %s, not \"%s\"", r->source,
                     node->line, field->key, known, text ? text : "null");
}

static bool read_word(struct reader *r, const struct yaml_node *node, const struct field *field,
                      int *value)
{
    char *known;
    return field_read_word(r->ctx, field, node->text, value, &known) ||
           bad_word(r, node, field, node->text, known);
}

/* "a", "a, b" or [a, b]. */
static bool read_words(struct reader *r, const struct yaml_node *node, const struct field *field,
                       unsigned *mask)
{
    size_t count = 1;
    if (node->kind == YAML_LIST) {
        for (size_t i = 0; i < node->count; i++) {
            if (node->items[i]->kind != YAML_SCALAR)
                return expected(r, node->items[i], field->key, "a list of words");
            if (!read_words(r, node->items[i], field, mask))
                return false;
        }
        return node->count > 0 ||
               error_set(r->err, SWEEP_USAGE, "%s:%d: %s must not be an empty list", r->source,
                         node->line, field->key);
    }
    if (node->kind != YAML_SCALAR)
        return expected(r, node, field->key, "a word or a list of words");
    char **words = node->text ? field_split(r->ctx, node->text, &count) : NULL;
    for (size_t i = 0; i < count; i++) {
        int bit;
        char *known;
        const char *word = words ? words[i] : NULL;
        if (!field_read_word(r->ctx, field, word, &bit, &known))
            return bad_word(r, node, field, word, known);
        *mask |= 1U << bit;
    }
    return true;
}

static bool read_scalar(struct reader *r, const struct yaml_node *node, const struct field *field,
                        char *base)
{
    if (node->kind != YAML_SCALAR)
        return expected(r, node, field->key, "a single value");
    if (field->kind == FIELD_FLAG)
        return read_flag(r, node, field->key, (bool *)(void *)(base + field->offset));
    if (field->kind == FIELD_WORD)
        return read_word(r, node, field, (int *)(void *)(base + field->offset));
    if (!node->text) {
        if (field->required)
            return error_set(r->err, SWEEP_USAGE, "%s:%d: %s must not be null", r->source,
                             node->line, field->key);
        return true;
    }
    if (!*node->text && !field->may_be_empty)
        return error_set(r->err, SWEEP_USAGE, "%s:%d: %s must not be empty", r->source, node->line,
                         field->key);
    if (field->kind == FIELD_NAME) {
        *(const char **)(void *)(base + field->offset) = mem_strdup(r->ctx, node->text);
        return true;
    }
    struct setting *setting = (struct setting *)(void *)(base + field->offset);
    setting->value = mem_strdup(r->ctx, node->text);
    setting->origin = origin(r, node->line);
    return field_check(r->ctx, field, setting, r->err);
}

static bool read_list(struct reader *r, const struct yaml_node *node, const struct field *field,
                      char *base)
{
    if (node->kind != YAML_LIST)
        return expected(r, node, field->key, "a list");
    char *elements = mem_check(talloc_zero_size(r->ctx, node->count * field->size + 1));
    for (size_t i = 0; i < node->count; i++) {
        if (field->short_form && node->items[i]->kind == YAML_SCALAR && node->items[i]->text) {
            if (!read_scalar(r, node->items[i], field->fields, elements + i * field->size))
                return false;
            continue;
        }
        if (node->items[i]->kind != YAML_MAP)
            return expected(r, node->items[i], field->key,
                            field->short_form ? "a list of names or mappings"
                                              : "a list of mappings");
        if (!read_fields(r, node->items[i], field->fields, field->key, elements + i * field->size))
            return false;
    }
    *(void **)(void *)(base + field->offset) = elements;
    *(size_t *)(void *)(base + field->count_offset) = node->count;
    return true;
}

static bool set_names(struct reader *r, const struct field *field, char *base, char *const *parts,
                      size_t count, int line)
{
    struct setting *names = mem_array(r->ctx, struct setting, count + 1);
    for (size_t i = 0; i < count; i++)
        names[i] = (struct setting){parts[i], origin(r, line)};
    *(struct setting **)(void *)(base + field->offset) = names;
    *(size_t *)(void *)(base + field->count_offset) = count;
    return true;
}

static bool read_names(struct reader *r, const struct yaml_node *node, const struct field *field,
                       char *base)
{
    if (field->short_form && node->kind == YAML_SCALAR && node->text) {
        size_t count;
        char **parts = field_split(r->ctx, node->text, &count);
        return set_names(r, field, base, parts, count, node->line);
    }
    if (node->kind != YAML_LIST)
        return expected(r, node, field->key, "a list of names");
    struct setting *names = mem_array(r->ctx, struct setting, node->count + 1);
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i]->kind != YAML_SCALAR || !node->items[i]->text)
            return expected(r, node->items[i], field->key, "a list of names");
        names[i].value = mem_strdup(r->ctx, node->items[i]->text);
        names[i].origin = origin(r, node->items[i]->line);
    }
    *(struct setting **)(void *)(base + field->offset) = names;
    *(size_t *)(void *)(base + field->count_offset) = node->count;
    return true;
}

static bool read_set(struct reader *r, const struct yaml_node *node, const struct field *field,
                     char *base)
{
    if (node->kind != YAML_MAP)
        return expected(r, node, field->key, "a mapping of column to value");
    struct policy_assignment *set = mem_array(r->ctx, struct policy_assignment, node->count + 1);
    for (size_t i = 0; i < node->count; i++) {
        if (node->items[i]->kind != YAML_SCALAR)
            return expected(r, node->items[i], node->keys[i], "a single value");
        set[i].column = mem_strdup(r->ctx, node->keys[i]);
        set[i].value = mem_strdup(r->ctx, node->items[i]->text);
        set[i].origin = origin(r, node->items[i]->line);
    }
    *(struct policy_assignment **)(void *)(base + field->offset) = set;
    *(size_t *)(void *)(base + field->count_offset) = node->count;
    return true;
}

static bool read_field(struct reader *r, const struct yaml_node *node, const struct field *field,
                       char *base)
{
    bool nothing = node->kind == YAML_SCALAR && !node->text;
    switch (field->kind) {
    case FIELD_LIST:
        return nothing || read_list(r, node, field, base);
    case FIELD_NAMES:
        return nothing || read_names(r, node, field, base);
    case FIELD_WORDS:
        return read_words(r, node, field, (unsigned *)(void *)(base + field->offset));
    case FIELD_SET:
        return nothing || read_set(r, node, field, base);
    case FIELD_GROUP:
        if (nothing)
            return true;
        if (field->none && node->kind == YAML_SCALAR && strcmp(node->text, "none") == 0) {
            field->none((struct policy *)(void *)base, origin(r, node->line));
            return true;
        }
        if (node->kind != YAML_MAP)
            return expected(r, node, field->key, field->none ? "a mapping or none" : "a mapping");
        return read_fields(r, node, field->fields, field->key, base);
    default:
        return read_scalar(r, node, field, base);
    }
}

static bool read_fields(struct reader *r, const struct yaml_node *map, const struct field *fields,
                        const char *what, char *base)
{
    for (size_t i = 0; i < map->count; i++) {
        const struct field *field = fields;
        while (field->key && strcmp(field->key, map->keys[i]) != 0)
            field++;
        if (!field->key)
            return unknown_key(r, map, i, fields, what);
        if (!read_field(r, map->items[i], field, base))
            return false;
    }
    for (const struct field *field = fields; field->key; field++) {
        bool given = !field->required;
        for (size_t i = 0; i < map->count && !given; i++)
            given = strcmp(map->keys[i], field->key) == 0;
        if (!given)
            return error_set(r->err, SWEEP_USAGE, "%s:%d: \"%s\" is missing in %s", r->source,
                             map->line, field->key, what);
    }
    return true;
}

/* Checks a key that is valid with one action only. */
static bool check_dependent(struct reader *r, const struct policy_dependent *d)
{
    const struct {
        const char *key;
        bool given;
        enum policy_action action;
        bool needed;
    } keys[] = {
        {"to", d->to.value != NULL, ACTION_REASSIGN, true},
        {"via", d->via.value != NULL, ACTION_DELETE_ORPHANS, true},
        {"reason", d->reason.value != NULL, ACTION_IGNORE, true},
    };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++) {
        const char *action = policy_action_names[keys[i].action];
        if (keys[i].given && d->action != keys[i].action)
            return error_set(r->err, SWEEP_USAGE, "%s: \"%s\" is valid with action %s only",
                             d->table.origin, keys[i].key, action);
        if (!keys[i].given && keys[i].needed && d->action == keys[i].action)
            return error_set(r->err, SWEEP_USAGE, "%s: action %s needs \"%s\"", d->table.origin,
                             action, keys[i].key);
    }
    bool stays = d->action != ACTION_DELETE && d->action != ACTION_DELETE_ORPHANS;
    if (d->set_count > 0 && d->action != ACTION_DETACH && d->action != ACTION_REASSIGN)
        return error_set(r->err, SWEEP_USAGE,
                         "%s: \"set\" is valid with actions detach and reassign only",
                         d->table.origin);
    if (d->object_count > 0 && stays)
        return error_set(
            r->err, SWEEP_USAGE,
            "%s: \"objects\" is valid with actions that delete rows only; this one keeps them",
            d->table.origin);
    return true;
}

static bool check_objects(struct reader *r, const struct policy_object *objects, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!field_check_prefixes(objects[i].prefixes, objects[i].prefix_count, r->err))
            return false;
    return true;
}

static bool check_prefixes(struct reader *r, const struct policy *policy)
{
    size_t columns = policy->object_count;
    bool ok = check_objects(r, policy->objects, policy->object_count);
    for (size_t i = 0; ok && i < policy->dependent_count; i++) {
        columns += policy->dependents[i].object_count;
        ok = check_objects(r, policy->dependents[i].objects, policy->dependents[i].object_count);
    }
    if (ok && policy->object_prefix_count > 0 && columns == 0)
        ok = error_set(r->err, SWEEP_USAGE,
                       "%s: object_prefixes: no column of the policy names objects",
                       policy->object_prefixes[0].origin);
    return ok && field_check_prefixes(policy->object_prefixes, policy->object_prefix_count, r->err);
}

/* Checks rules that involve several fields. */
static bool check_whole(struct reader *r, const struct policy *policy)
{
    for (size_t i = 0; i < policy->guard_count; i++) {
        const struct policy_guard *guard = &policy->guards[i];
        for (size_t j = 0; j < i; j++)
            if (strcmp(policy->guards[j].name, guard->name) == 0)
                return error_set(r->err, SWEEP_USAGE, "%s: two guards are called \"%s\"",
                                 guard->unless.origin, guard->name);
    }
    const struct setting *given = policy->directory_root.value      ? &policy->directory_root
                                  : policy->files.retain.value      ? &policy->files.retain
                                  : policy->files.protect_count     ? &policy->files.protect[0]
                                  : policy->files.protect_dir_count ? &policy->files.protect_dirs[0]
                                                                    : NULL;
    if (policy->kind == KIND_ROWS && given && !policy->directory.value)
        return error_set(r->err, SWEEP_USAGE,
                         "%s: \"files\" needs \"directory\": the column that names a row's "
                         "working directory",
                         given->origin);
    for (size_t i = 0; i < policy->dependent_count; i++)
        if (!check_dependent(r, &policy->dependents[i]))
            return false;
    return check_prefixes(r, policy);
}

/* Reads the kind of the policy, which decides which other keys are valid. */
static bool read_kind(struct reader *r, const struct yaml_node *root, struct policy *policy)
{
    for (size_t i = 0; i < root->count; i++)
        if (strcmp(root->keys[i], "kind") == 0)
            return read_field(r, root->items[i], field_find(KIND_ROWS, "kind"), (char *)policy);
    return true;
}

bool policy_parse(const void *ctx, const char *name, const char *source, const char *text,
                  size_t length, struct policy **out, struct error *err)
{
    struct yaml_node *root = NULL;
    void *scratch = talloc_new(ctx);
    struct policy *policy = mem_new(ctx, struct policy);
    struct reader r = {.ctx = policy, .source = mem_strdup(policy, source), .err = err};
    policy->name = mem_strdup(policy, name);
    policy->source = r.source;
    bool ok = yaml_parse(scratch, source, text, length, &root, err);
    if (ok && root->kind != YAML_MAP)
        ok = expected(&r, root, "a policy", "a mapping");
    ok = ok && read_kind(&r, root, policy) &&
         read_fields(&r, root, policy_fields_of(policy->kind), "the policy", (char *)policy) &&
         check_whole(&r, policy);
    talloc_free(scratch);
    if (!ok) {
        talloc_free(policy);
        return false;
    }
    if (!policy->chunk.value)
        policy->chunk = (struct setting){"auto", "the default"};
    if (!policy->time_zone.value)
        policy->time_zone = (struct setting){"UTC", "the default"};
    *out = policy;
    return true;
}
