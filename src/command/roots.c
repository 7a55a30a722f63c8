/* Checks the roots and protections of a policy for files before the first file is deleted. */
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

/* Whether the path is the directory itself or below it. Both paths are cleaned. */
static bool is_inside(const char *path, const char *directory)
{
    size_t length = strlen(directory);
    return strncmp(path, directory, length) == 0 && (!path[length] || path[length] == '/');
}

/* A tree that belongs to two roots would be swept twice, and a dry run would count it twice. */
static bool check_overlaps(const struct policy *policy, char *const *clean, struct error *err)
{
    for (size_t inner = 0; inner < policy->root_count; inner++)
        for (size_t outer = 0; outer < policy->root_count; outer++)
            if (outer != inner && is_inside(clean[inner], clean[outer]))
                return error_set(err, SWEEP_USAGE,
                                 "%s: the root \"%s\" is inside the root \"%s\" (%s)",
                                 policy->roots[inner].origin, shown(clean, clean[inner]),
                                 shown(clean, clean[outer]), policy->roots[outer].origin);
    return true;
}

static bool bad_pattern(const struct setting *pattern, const char *why, struct error *err)
{
    char *text = shown(NULL, pattern->value);
    error_set(err, SWEEP_USAGE, "%s: the pattern \"%s\" %s", pattern->origin, text, why);
    talloc_free(text);
    return false;
}

/* Refuses a full path, however it is spelled, where a path below the root is expected. */
static bool check_full_path(const struct setting *pattern, char *const *clean, size_t count,
                            struct error *err)
{
    struct error ignored = ERROR_INIT;
    char *path = files_clean_root(clean, pattern->value, &ignored);
    error_clear(&ignored);
    for (size_t i = 0; path && i < count; i++)
        if (is_inside(path, clean[i])) {
            const char *rest = path + strlen(clean[i]);
            bad_pattern(pattern, "begins with the root, so it would match nothing", err);
            return error_hint(err,
                              "Patterns are relative to the root: write \"%s\", or protect a "
                              "directory by its path (--protect-dir, protect_dirs).",
                              shown(clean, *rest ? rest : "*"));
        }
    return true;
}

/* Whether the directory has an entry that the first component of the pattern names. */
static bool has_first(const void *ctx, const char *directory, const char *pattern)
{
    const char *first = pattern + strspn(pattern, "/");
    const char *path = mem_printf(ctx, "%s/%.*s", directory, (int)strcspn(first, "/"), first);
    return access(path, F_OK) == 0;
}

/* Refuses "/srv/out/keep" if the host has a /srv: as a path of the host it would protect
 * nothing. */
static bool check_elsewhere(const struct setting *pattern, char *const *clean, size_t count,
                            struct report *report, struct error *err)
{
    const char *text = pattern->value;
    const char *rest = text[0] == '/' ? strchr(text + 1, '/') : NULL;
    bool below = false;
    if (text[0] != '/' || !has_first(clean, "", text))
        return true;
    if (rest && rest[1]) {
        bad_pattern(pattern, "looks like a full path outside the root, so it would match nothing",
                    err);
        return error_hint(err,
                          "Patterns are relative to the root: if it is meant below the root, write "
                          "\"%s\" without the first slash; otherwise protect a directory by its "
                          "path (--protect-dir, protect_dirs).",
                          shown(clean, text + 1));
    }
    for (size_t i = 0; i < count; i++)
        below = below || has_first(clean, clean[i], text);
    if (!below)
        report_remark(report,
                      "the pattern \"%s\" is relative to the root, where nothing has that name now",
                      shown(clean, text));
    return true;
}

/* Refuses a pattern that can match nothing: it would protect nothing, and nobody would notice. */
static bool check_pattern(const struct setting *pattern, char *const *clean, size_t count,
                          struct report *report, struct error *err)
{
    const char *advice;
    if (!check_full_path(pattern, clean, count, err))
        return false;
    const char *why = files_refuse_pattern(clean, pattern->value, &advice);
    if (why) {
        bad_pattern(pattern, why, err);
        return error_hint(err, "%s", advice);
    }
    return check_elsewhere(pattern, clean, count, report, err);
}

static bool check_directory(const struct setting *directory, struct report *report,
                            struct error *err)
{
    const char *given = directory->value;
    char *path = shown(report, given);
    if (given[0] != '/') {
        error_set(err, SWEEP_USAGE, "%s: the protected directory \"%s\" is not an absolute path",
                  directory->origin, path);
        return error_hint(err,
                          "Give the full path%s; to protect a name at any depth, give a pattern "
                          "(--protect, protect).",
                          given[0] == '~' ? " (\"~\" is not expanded)" : "");
    }
    if (access(given, F_OK) == 0 || errno != ENOENT)
        return true;
    if (strpbrk(given, "*?[")) {
        error_set(err, SWEEP_USAGE,
                  "%s: the protected directory \"%s\" looks like a pattern, and no directory has "
                  "that name",
                  directory->origin, path);
        return error_hint(err,
                          "Give a pattern as --protect or protect; it is relative to the root.");
    }
    report_remark(report, "the protected directory %s does not exist", path);
    return true;
}

bool command_check_protections(const struct policy_file_rules *rules, const char *const *roots,
                               size_t count, struct report *report, struct error *err)
{
    char **clean = mem_array(report, char *, count + 1);
    for (size_t i = 0; i < count; i++)
        if (!(clean[i] = files_clean_root(clean, roots[i], err)))
            return false;
    for (size_t i = 0; i < rules->protect_count; i++)
        if (!check_pattern(&rules->protect[i], clean, count, report, err))
            return false;
    for (size_t i = 0; i < rules->protect_dir_count; i++)
        if (!check_directory(&rules->protect_dirs[i], report, err))
            return false;
    return true;
}

bool command_check_roots(const struct policy *policy, const struct files_options *how,
                         struct report *report, size_t *found, struct error *err)
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
            report_remark(report, "%s does not exist: skipped", name);
        *found += !missing;
    }
    report->file_roots = names;
    return check_overlaps(policy, clean, err) &&
           command_check_protections(&policy->files, (const char *const *)clean, policy->root_count,
                                     report, err);
}
