/* Where policies come from and what overrides them: built in, directories, environment, options. */
#define _GNU_SOURCE
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fields.h"
#include "pgsweep/embedded.h"
#include "pgsweep/mem.h"
#include "pgsweep/trust.h"

enum { NAME_MAX_LENGTH = 31, FILE_MAX_BYTES = 1 << 20 };

bool policy_name_valid(const char *name)
{
    if (!islower((unsigned char)name[0]) || strlen(name) > NAME_MAX_LENGTH)
        return false;
    return name[strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-")] == '\0';
}

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

bool policy_override(struct policy *policy, const char *key, const char *value, const char *origin,
                     struct error *err)
{
    const struct field *field = field_find(policy->kind, key);
    if (!field && field_find(policy->kind == KIND_FILES ? KIND_ROWS : KIND_FILES, key))
        return error_set(err, SWEEP_USAGE, "%s: a policy of kind %s has no %s", origin,
                         policy_kind_names[policy->kind], key);
    if (!field)
        return error_set(err, SWEEP_INTERNAL, "no policy key \"%s\"", key);
    struct setting setting = {mem_strdup(policy, value), mem_strdup(policy, origin)};
    if (!field_check(policy, field, &setting, err))
        return false;
    *(struct setting *)(void *)((char *)policy + field->offset) = setting;
    return true;
}

/* PGSWEEP_NAME_KEY, with NAME and KEY in capitals and "-" as "_". */
static bool from_environment(struct policy *policy, struct error *err)
{
    static const char *const keys[] = {"retain", "chunk", "max_rows", "max_runtime", "max_failed", "pause",
                                       "count_timeout"};
    bool ok = true;
    for (size_t i = 0; ok && i < sizeof keys / sizeof *keys; i++) {
        char *variable = mem_printf(policy, "PGSWEEP_%s_%s", policy->name, keys[i]);
        for (char *p = variable; *p; p++)
            *p = *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        const char *value = getenv(variable);
        if (value)
            ok = policy_override(policy, keys[i], value,
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
    if (policy_dir && (!check_directory(policy_dir, err) ||
                       !from_directory(ctx, name, policy_dir, policy, err)))
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
