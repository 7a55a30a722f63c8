/* The rules of the sweep as pure functions: ages, names, spelling. No system calls. */
#define _GNU_SOURCE
#include <limits.h>
#include <string.h>

#include "pgsweep/files.h"
#include "pgsweep/mem.h"
#include "pgsweep/text.h"

static const struct {
    const char *word;
    const char *meaning;
} kept_reasons[] = {
#define FILES_KEPT_ROW(name, word, meaning) {word, meaning},
    FILES_KEPT_REASONS(FILES_KEPT_ROW)
#undef FILES_KEPT_ROW
};

const char *files_kept_word(enum files_kept reason)
{
    return reason < FILES_KEPT_COUNT ? kept_reasons[reason].word : "?";
}

const char *files_kept_meaning(enum files_kept reason)
{
    return reason < FILES_KEPT_COUNT ? kept_reasons[reason].meaning : "?";
}

int64_t files_deleted(const struct files_report *report)
{
    return report->deleted_files + report->deleted_links + report->deleted_directories +
           report->deleted_special;
}

int64_t files_kept(const struct files_report *report)
{
    int64_t sum = 0;
    for (int i = 0; i < FILES_KEPT_COUNT; i++)
        if (i != FILES_KEPT_NOT_EMPTY)
            sum += report->kept[i];
    return sum;
}

bool files_is_before(struct timespec a, struct timespec b)
{
    return a.tv_sec != b.tv_sec ? a.tv_sec < b.tv_sec : a.tv_nsec < b.tv_nsec;
}

enum files_kept files_judge_age(struct timespec t, struct timespec cutoff, struct timespec now)
{
    /* The future is checked first: a time in the future is never expired, even if the cutoff is
     * later. */
    if (files_is_before(now, t))
        return FILES_KEPT_FUTURE;
    return files_is_before(t, cutoff) ? FILES_NOT_KEPT : FILES_KEPT_FRESH;
}

const char *files_refuse_name(const char *name)
{
    if (!name || !*name)
        return "the name is empty";
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return "the name is \".\" or \"..\"";
    if (strlen(name) > NAME_MAX)
        return "the name is longer than 255 bytes";
    if (strncmp(name, FILES_OWN_PREFIX, strlen(FILES_OWN_PREFIX)) == 0)
        return "the name is reserved for pgsweep's own files";
    for (const unsigned char *p = (const unsigned char *)name; *p; p++) {
        if (*p == '/')
            return "the name contains a slash";
        /* No worker creates such a directory name; it means that the id is damaged or forged. */
        if (*p < 0x20 || *p == 0x7f)
            return "the name contains a control character";
    }
    return NULL;
}

/* Appends the component (length bytes at part) to out; false when it is "..". */
static bool append_component(char *out, const char *part, size_t length)
{
    if (length == 0 || (length == 1 && part[0] == '.'))
        return true;
    if (length == 2 && part[0] == '.' && part[1] == '.')
        return false;
    size_t at = strlen(out);
    out[at] = '/';
    memcpy(out + at + 1, part, length);
    out[at + 1 + length] = '\0';
    return true;
}

char *files_clean_root(const void *ctx, const char *root, struct error *err)
{
    char *out = NULL;
    char *shown = text_escape(NULL, root ? root : "", root ? strlen(root) : 0);
    if (!root || root[0] != '/') {
        error_set(err, SWEEP_USAGE, "the root \"%s\" is not an absolute path", shown);
        error_hint(err, "Give the directory to sweep with its full path, such as /tmp/nexrender.");
        goto done;
    }
    if (strlen(root) >= PATH_MAX) {
        error_set(err, SWEEP_USAGE, "the path of the root is longer than %d bytes", PATH_MAX - 1);
        error_hint(err, "Give the directory to sweep with a shorter path.");
        goto done;
    }
    out = mem_array(ctx, char, strlen(root) + 2);
    for (const char *p = root; *p;) {
        size_t length = strcspn(p, "/");
        if (!append_component(out, p, length)) {
            error_set(err, SWEEP_USAGE, "the root \"%s\" contains \"..\"", shown);
            error_hint(err, "Give the directory to sweep with its plain full path.");
            goto refuse;
        }
        p += length + (p[length] == '/');
    }
    if (*out)
        goto done;
    error_set(err, SWEEP_USAGE, "the root \"%s\" is the whole file system", shown);
    error_hint(err, "Give a directory that holds nothing but temporary files.");
refuse:
    talloc_free(out);
    out = NULL;
done:
    talloc_free(shown);
    return out;
}
