/* The roots and protections of a policy for files: all looked at before the first file goes. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "internal.h"
#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static char *shown(const void *ctx, const char *path)
{
    return text_escape(ctx, path, strlen(path));
}

/* Is the path the directory itself, or below it? Both are cleaned. */
static bool is_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (!path[length] || path[length] == '/');
}

/* A tree that two roots share would be swept twice, and be counted twice by a dry run. */
static bool check_overlaps(const struct policy *policy, char *const *clean, struct error *err)
{
    for (size_t inner = 0; inner < policy->root_count; inner++)
        for (size_t outer = 0; outer < policy->root_count; outer++)
            if (outer != inner && is_inside(clean[inner], clean[outer]))
                return error_set(err, SWEEP_USAGE, "%s: the root \"%s\" is inside the root \"%s\" (%s)",
                                 policy->roots[inner].origin, shown(clean, clean[inner]), shown(clean, clean[outer]),
                                 policy->roots[outer].origin);
    return true;
}

/* A pattern that can match nothing would protect nothing, and nobody would notice. */
static bool check_pattern(const struct policy *policy, const struct setting *pattern, char *const *clean,
                          struct error *err)
{
    const char *text = pattern->value;
    if (!text[strspn(text, "/")])
        return error_set(err, SWEEP_USAGE, "%s: the pattern \"%s\" matches nothing", pattern->origin, text);
    for (size_t i = 0; i < policy->root_count; i++)
        if (is_inside(text, clean[i])) {
            const char *rest = text + strlen(clean[i]);
            error_set(err, SWEEP_USAGE, "%s: the pattern \"%s\" begins with the root, and would match nothing",
                      pattern->origin, shown(clean, text));
            return error_hint(err, "Patterns count from the root: write \"%s\", or give a directory to protect "
                              "(--protect-dir, protect_dirs).", shown(clean, *rest ? rest : "*"));
        }
    return true;
}

static bool check_directory(const struct setting *directory, struct report *report, struct error *err)
{
    char *path = shown(report, directory->value);
    if (directory->value[0] != '/') {
        error_set(err, SWEEP_USAGE, "%s: the protected directory \"%s\" is not an absolute path", directory->origin, path);
        return error_hint(err, "Give it with its full path; for a name at any depth give a pattern (--protect, protect).");
    }
    if (access(directory->value, F_OK) != 0 && errno == ENOENT)
        report_remark(report, "the protected directory %s does not exist", path);
    return true;
}

static bool check_protections(const struct policy *policy, char *const *clean, struct report *report, struct error *err)
{
    for (size_t i = 0; i < policy->protect_count; i++)
        if (!check_pattern(policy, &policy->protect[i], clean, err))
            return false;
    for (size_t i = 0; i < policy->protect_dir_count; i++)
        if (!check_directory(&policy->protect_dirs[i], report, err))
            return false;
    return true;
}

bool command_check_roots(const struct policy *policy, const struct files_options *how, struct report *report,
                         size_t *found, struct error *err)
{
    struct files_options options = *how;
    char **clean = mem_array(report, char *, policy->root_count + 1);
    char *names = mem_strdup(report, "");
    *found = 0;
    for (size_t i = 0; i < policy->root_count; i++) {
        bool missing = false;
        char *name = shown(report, policy->roots[i].value);
        options.root = policy->roots[i].value;
        clean[i] = files_clean_root(clean, options.root, err);
        if (!clean[i] || !files_check_root(&options, &missing, err))
            return error_prefix(err, "%s", policy->roots[i].origin);
        names = mem_check(talloc_asprintf_append(names, "%s%s", i ? ", " : "", name));
        if (missing)
            report_remark(report, "%s does not exist: nothing to do there", name);
        *found += !missing;
    }
    report->file_roots = names;
    return check_overlaps(policy, clean, err) && check_protections(policy, clean, report, err);
}
