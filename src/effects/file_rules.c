/* Which files may go, from the words of a policy to the options of a sweep; and as text, for the
 * queue. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "internal.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static const char **values_of(const void *ctx, const struct setting *settings, size_t count)
{
    const char **values = mem_array(ctx, const char *, count + 1);
    for (size_t i = 0; i < count; i++)
        values[i] = settings[i].value;
    return values;
}

void file_rules_apply(const void *ctx, const struct policy_file_rules *rules,
                      struct files_options *options)
{
    options->age_by = rules->age_by;
    options->in_use = rules->in_use == IN_USE_KEEP;
    options->protect = values_of(ctx, rules->protect, rules->protect_count);
    options->protect_count = rules->protect_count;
    options->protect_dirs = values_of(ctx, rules->protect_dirs, rules->protect_dir_count);
    options->protect_dir_count = rules->protect_dir_count;
    options->protect_case = (enum files_case)rules->protect_case;
    options->allow_system_root = rules->system_root == SYSTEM_ROOT_ALLOW;
}

/* Names need not be UTF-8, which JSON and the database want. */
static json_t *write_names(const struct setting *names, size_t count)
{
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++) {
        char *escaped = text_escape(NULL, names[i].value, strlen(names[i].value));
        json_array_append_new(list, json_string(escaped));
        talloc_free(escaped);
    }
    return list;
}

char *file_rules_write(const void *ctx, const struct policy_file_rules *rules)
{
    if (!rules->retain.value && !rules->age_by && !rules->in_use && !rules->protect_count &&
        !rules->protect_dir_count && !rules->protect_case && !rules->system_root)
        return NULL;
    json_t *doc =
        json_pack("{s:s*, s:I, s:i, s:o, s:o, s:i, s:i}", "retain", rules->retain.value, "age_by",
                  (json_int_t)rules->age_by, "in_use", (int)rules->in_use, "protect",
                  write_names(rules->protect, rules->protect_count), "protect_dirs",
                  write_names(rules->protect_dirs, rules->protect_dir_count), "protect_case",
                  rules->protect_case, "system_root", (int)rules->system_root);
    char *text = json_dumps(doc, JSON_COMPACT);
    char *copy = mem_strdup(ctx, text);
    json_decref(doc);
    free(text);
    return copy;
}

static void read_names(const void *ctx, const json_t *list, struct setting **names, size_t *count)
{
    size_t n = json_array_size(list);
    *names = mem_array(ctx, struct setting, n + 1);
    *count = 0;
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        if (text)
            (*names)[(*count)++] = (struct setting){text_unescape(ctx, text), "the queue"};
    }
}

bool file_rules_read(const void *ctx, const char *text, struct policy_file_rules *rules)
{
    json_int_t age_by = 0;
    int in_use = 0;
    int system_root = 0;
    const char *retain = NULL;
    const json_t *protect = NULL;
    const json_t *dirs = NULL;
    json_t *doc = json_loads(text, 0, NULL);
    *rules = (struct policy_file_rules){0};
    bool ok =
        doc && json_unpack(doc, "{s?s, s:I, s:i, s:o, s:o, s:i, s:i}", "retain", &retain, "age_by",
                           &age_by, "in_use", &in_use, "protect", &protect, "protect_dirs", &dirs,
                           "protect_case", &rules->protect_case, "system_root", &system_root) == 0;
    if (ok) {
        rules->retain = (struct setting){mem_strdup(ctx, retain), "the queue"};
        rules->age_by = (unsigned)age_by;
        rules->in_use = (enum policy_in_use)in_use;
        rules->system_root = (enum policy_system_root)system_root;
        read_names(ctx, protect, &rules->protect, &rules->protect_count);
        read_names(ctx, dirs, &rules->protect_dirs, &rules->protect_dir_count);
    }
    json_decref(doc);
    return ok;
}

static void join(const void *ctx, struct setting **list, size_t *count, const struct setting *more,
                 size_t more_count)
{
    struct setting *joined = mem_array(ctx, struct setting, *count + more_count + 1);
    if (*count > 0)
        memcpy(joined, *list, *count * sizeof *joined);
    if (more_count > 0)
        memcpy(joined + *count, more, more_count * sizeof *joined);
    *list = joined;
    *count += more_count;
}

/* How much is protected: with case ignored most, with case matched least. */
static int strictness(int protect_case)
{
    return protect_case == FILES_CASE_IGNORE ? 2 : protect_case == FILES_CASE_DEFAULT ? 1 : 0;
}

static unsigned times_of(const struct policy_file_rules *rules)
{
    return rules->age_by ? rules->age_by : FILES_AGE_BIT(FILES_AGE_MTIME);
}

void file_rules_tighten(const void *ctx, struct policy_file_rules *rules,
                        const struct policy_file_rules *more)
{
    join(ctx, &rules->protect, &rules->protect_count, more->protect, more->protect_count);
    join(ctx, &rules->protect_dirs, &rules->protect_dir_count, more->protect_dirs,
         more->protect_dir_count);
    rules->age_by = times_of(rules) | times_of(more);
    if (more->in_use == IN_USE_KEEP)
        rules->in_use = IN_USE_KEEP;
    if (more->system_root == SYSTEM_ROOT_REFUSE)
        rules->system_root = SYSTEM_ROOT_REFUSE;
    if (strictness(more->protect_case) > strictness(rules->protect_case))
        rules->protect_case = more->protect_case;
}
