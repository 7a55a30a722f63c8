/* Where policies come from and what overrides them: built in, directories, environment, options. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "fields.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"
#include "pgsweep/trust.h"

enum { FILE_MAX_BYTES = 1 << 20 };

/* Reads a whole file; *text is NULL, with true returned, when there is none. */
static bool read_file(const void *ctx, const char *path, char **text, size_t *length,
                      struct error *err)
{
    int fd;
    *text = NULL;
    if (!trust_open("policy file", path, TRUST_OWN_DIRECTORY, &fd, err))
        return false;
    FILE *file = fd >= 0 ? fdopen(fd, "r") : NULL;
    if (fd >= 0 && !file) {
        close(fd);
        return error_set(err, SWEEP_USAGE, "cannot read policy file %s: %s", path, strerror(errno));
    }
    if (!file)
        return true;
    char *data = mem_check(talloc_size(ctx, FILE_MAX_BYTES + 2));
    *length = fread(data, 1, FILE_MAX_BYTES + 1, file);
    bool failed = ferror(file) != 0;
    int saved = errno;
    fclose(file);
    if (failed) {
        talloc_free(data);
        return error_set(err, SWEEP_USAGE, "cannot read policy file %s: %s", path, strerror(saved));
    }
    data[*length] = '\0';
    *text = data;
    return true;
}

/* A directory that was asked for must be there: never another policy in its file's place. */
static bool check_directory(const char *dir, struct error *err)
{
    DIR *stream = opendir(dir);
    if (stream) {
        closedir(stream);
        return true;
    }
    return error_set(err, SWEEP_USAGE, "cannot read policy directory %s: %s", dir, strerror(errno));
}

/* "jobs.yml" and "Jobs.yaml" would be passed over, and another policy "jobs" be taken in their
 * place. */
static bool check_no_misnamed(const char *name, const char *dir, struct error *err)
{
    static const char *const ends[] = {".yaml", ".yml", ".json"};
    DIR *stream = opendir(dir);
    size_t length = strlen(name);
    bool ok = true;
    for (struct dirent *entry; ok && stream && (entry = readdir(stream));)
        for (size_t i = 0; ok && i < sizeof ends / sizeof *ends; i++)
            if (strncasecmp(entry->d_name, name, length) == 0 &&
                strcasecmp(entry->d_name + length, ends[i]) == 0) {
                bool exact = strcmp(entry->d_name + length, ".yaml") == 0 &&
                             strncmp(entry->d_name, name, length) == 0;
                ok = exact ? error_set(err, SWEEP_USAGE, "%s/%s is a link to nothing", dir,
                                       entry->d_name)
                           : error_set(err, SWEEP_USAGE,
                                       "%s/%s is not read: the file of policy %s is called %s.yaml",
                                       dir, entry->d_name, name, name);
                error_hint(err, "Rename it, or take it away. Nothing was deleted.");
            }
    if (stream)
        closedir(stream);
    return ok;
}

static bool from_directory(const void *ctx, const char *name, const char *dir,
                           struct policy **policy, struct error *err)
{
    char *text;
    size_t length = 0;
    void *scratch = talloc_new(ctx);
    char *path = mem_printf(scratch, "%s/%s.yaml", dir, name);
    bool ok = read_file(scratch, path, &text, &length, err);
    if (ok && text)
        ok = policy_parse(ctx, name, path, text, length, policy, err);
    else if (ok)
        ok = check_no_misnamed(name, dir, err);
    talloc_free(scratch);
    return ok;
}

static bool built_in(const void *ctx, const char *name, struct policy **policy, struct error *err)
{
    void *scratch = talloc_new(ctx);
    const char *text = embedded_text(mem_printf(scratch, "policies/%s.yaml", name));
    const char *source = mem_printf(scratch, "built-in policy %s", name);
    bool ok = !text || policy_parse(ctx, name, source, text, strlen(text), policy, err);
    talloc_free(scratch);
    return ok;
}

struct setting policy_temp_dir(void)
{
    const char *value = getenv(POLICY_TEMP_VARIABLE);
    if (value && *value)
        return (struct setting){value, "environment variable " POLICY_TEMP_VARIABLE};
    return (struct setting){POLICY_TEMP_DIR, "the default"};
}

struct setting policy_working_root(const struct policy *policy)
{
    if (policy->kind != KIND_ROWS || !policy->directory.value)
        return (struct setting){NULL, NULL};
    return policy->directory_root.value ? policy->directory_root : policy_temp_dir();
}

const char *const policy_override_keys[] = {
    "retain", "chunk", "max_rows", "max_runtime", "max_failed", "pause", "count_timeout", "age_by",
    "in_use", "protect", "protect_dirs", "protect_case", "system_root", "special", "owner",
    "min_free", "object_prefixes", "triggers", "search_path", "retry_for",
    /* "none" comes before what it does not switch off */
    "throttle", "replica_lag", "slot_wal", "ignore_replicas", "lock_waiters", "active_sessions",
    "snapshot_age", "checkpoints", "autovacuum", "wait_while", "pause_file", "max_wait",
    "stop_file", "window", NULL};

static bool bad_word(const struct field *field, const char *word, const char *known,
                     const char *origin, struct error *err)
{
    return error_set(err, SWEEP_USAGE, "%s: \"%s\" is none of %s for %s", origin, word, known,
                     field->key);
}

static bool override_words(struct policy *policy, const struct field *field, const char *value,
                           const char *origin, struct error *err)
{
    void *at = (char *)policy + field->offset;
    unsigned mask = 0;
    size_t count;
    char *known;
    char **words = field_split(policy, value, &count);
    for (size_t i = 0; i < count; i++) {
        int word;
        if (!field_read_word(policy, field, words[i], &word, &known))
            return bad_word(field, words[i], known, origin, err);
        mask |= 1U << word;
    }
    *(unsigned *)at = mask;
    return true;
}

static void override_names(struct policy *policy, const struct field *field, char *const *values,
                           size_t more, const char *origin)
{
    struct setting **list = (struct setting **)(void *)((char *)policy + field->offset);
    size_t *count = (size_t *)(void *)((char *)policy + field->count_offset);
    size_t n = field->adds ? *count : 0;
    struct setting *joined = mem_array(policy, struct setting, n + more + 1);
    for (size_t i = 0; i < n; i++)
        joined[i] = (*list)[i];
    for (size_t i = 0; i < more; i++)
        joined[n++] = (struct setting){mem_strdup(policy, values[i]), mem_strdup(policy, origin)};
    *list = joined;
    *count = n;
}

/* What is about working directories means nothing without any. */
static bool check_directories(const struct policy *policy, const struct field *field,
                              const char *origin, struct error *err)
{
    size_t start = offsetof(struct policy, files);
    bool about_files = field->offset >= start && field->offset < start + sizeof policy->files;
    if (policy->kind == KIND_FILES || !about_files || policy->directory.value)
        return true;
    error_set(err, SWEEP_USAGE, "%s: policy %s removes no files: it has no %s", origin,
              policy->name, field->key);
    return error_hint(err, "In a policy about rows this goes with the key \"files\": the working "
                           "directories of deleted rows.");
}

/* The same about stored objects. */
static bool check_has_objects(const struct policy *policy, const struct field *field,
                              const char *origin, struct error *err)
{
    size_t columns = policy->object_count;
    for (size_t i = 0; i < policy->dependent_count; i++)
        columns += policy->dependents[i].object_count;
    return columns > 0 || field->offset != offsetof(struct policy, object_prefixes) ||
           policy->kind != KIND_ROWS ||
           error_set(err, SWEEP_USAGE, "%s: no column of policy %s names objects: it has no %s",
                     origin, policy->name, field->key);
}

/* A group as a whole can only be switched off. */
static bool override_group(struct policy *policy, const struct field *field, const char *value,
                           const char *origin, struct error *err)
{
    if (strcmp(value, "none") != 0) {
        error_set(err, SWEEP_USAGE, "%s: %s can only be \"none\" here, not \"%s\"", origin,
                  field->key, value);
        return error_hint(err, "Its keys have options and variables of their own.");
    }
    field->none(policy, mem_strdup(policy, origin));
    return true;
}

bool policy_override(struct policy *policy, const char *key, const char *value, const char *origin,
                     struct error *err)
{
    const struct field *field = field_find(policy->kind, key);
    char *known;
    if (!field && field_find(policy->kind == KIND_FILES ? KIND_ROWS : KIND_FILES, key))
        return error_set(err, SWEEP_USAGE, "%s: a policy of kind %s has no %s", origin,
                         policy_kind_names[policy->kind], key);
    if (!field)
        return error_set(err, SWEEP_INTERNAL, "no policy key \"%s\"", key);
    if (!check_directories(policy, field, origin, err) ||
        !check_has_objects(policy, field, origin, err))
        return false;
    void *at = (char *)policy + field->offset;
    if (field->kind == FIELD_GROUP)
        return override_group(policy, field, value, origin, err);
    if (field->kind == FIELD_WORD)
        return field_read_word(policy, field, value, at, &known) ||
               bad_word(field, value, known, origin, err);
    if (field->kind == FIELD_WORDS)
        return override_words(policy, field, value, origin, err);
    if (field->kind == FIELD_NAMES) {
        size_t count;
        char **values = field_split(policy, value, &count);
        if (!*value) {
            error_set(err, SWEEP_USAGE, "%s: %s must not be empty", origin, field->key);
            return error_hint(err, "Give a value, or unset it.");
        }
        override_names(policy, field, values, count, origin);
        return field_check_prefixes(policy->object_prefixes, policy->object_prefix_count, err);
    }
    struct setting setting = {mem_strdup(policy, value), mem_strdup(policy, origin)};
    if (!field_check(policy, field, &setting, err))
        return false;
    *(struct setting *)at = setting;
    return true;
}

bool policy_override_list(struct policy *policy, const char *key, const char *const *values,
                          size_t count, const char *origin, struct error *err)
{
    const struct field *field = field_find(policy->kind, key);
    if (!field)
        return policy_override(policy, key, "", origin, err); /* says why */
    if (!check_directories(policy, field, origin, err))
        return false;
    override_names(policy, field, (char *const *)(const void *)values, count, origin);
    return true;
}

static bool from_environment(struct policy *policy, struct error *err)
{
    bool ok = true;
    for (size_t i = 0; ok && policy_override_keys[i]; i++) {
        char *variable = policy_variable(policy, policy->name, policy_override_keys[i]);
        const char *value = getenv(variable);
        if (value)
            ok = policy_override(policy, policy_override_keys[i], value,
                                 mem_printf(policy, "environment variable %s", variable), err);
    }
    return ok;
}

bool policy_load(const void *ctx, const char *name, const char *policy_dir, struct policy **policy,
                 struct error *err)
{
    *policy = NULL;
    if (!policy_name_valid(name))
        return true;
    if (policy_dir &&
        (!check_directory(policy_dir, err) || !from_directory(ctx, name, policy_dir, policy, err)))
        return false;
    if (!*policy && !from_directory(ctx, name, POLICY_SYSTEM_DIR, policy, err))
        return false;
    if (!*policy && !built_in(ctx, name, policy, err))
        return false;
    return !*policy || from_environment(*policy, err);
}

static void add_name(const void *ctx, const char ***names, size_t *count, const char *file)
{
    size_t length = strlen(file);
    if (length < 6 || strcmp(file + length - 5, ".yaml") != 0)
        return;
    char *name = mem_printf(ctx, "%.*s", (int)(length - 5), file);
    for (size_t i = 0; i < *count; i++)
        if (strcmp((*names)[i], name) == 0)
            return;
    if (policy_name_valid(name)) {
        size_t i = mem_grow(ctx, names, count);
        (*names)[i] = name;
    }
}

static bool add_directory(const void *ctx, const char *dir, bool must_exist, const char ***names,
                          size_t *count, struct error *err)
{
    DIR *stream = opendir(dir);
    if (!stream) {
        if (errno == ENOENT && !must_exist)
            return true;
        return error_set(err, SWEEP_USAGE, "cannot read policy directory %s: %s", dir,
                         strerror(errno));
    }
    for (struct dirent *entry; (entry = readdir(stream));)
        add_name(ctx, names, count, entry->d_name);
    closedir(stream);
    return true;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

bool policy_names(const void *ctx, const char *policy_dir, const char ***names, size_t *count,
                  struct error *err)
{
    *names = NULL;
    *count = 0;
    for (const struct embedded_file *file = embedded_files; file->path; file++)
        if (strncmp(file->path, "policies/", 9) == 0)
            add_name(ctx, names, count, file->path + 9);
    if (!add_directory(ctx, POLICY_SYSTEM_DIR, false, names, count, err))
        return false;
    if (policy_dir && !add_directory(ctx, policy_dir, true, names, count, err))
        return false;
    if (*count > 0)
        qsort((void *)*names, *count, sizeof **names, compare_names);
    return true;
}
