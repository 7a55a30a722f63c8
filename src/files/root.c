/* Opens the root of a sweep, refuses an unsafe one, and finds the identities of protected
 * directories. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

/* The path of a protected directory may contain links: its identity is that of the directory that
 * it leads to. */
static bool find_protected(const void *ctx, const struct files_options *o, struct files_root *root,
                           struct error *err)
{
    root->protected = mem_array(ctx, struct file_id, o->protect_dir_count + 1);
    for (size_t i = 0; i < o->protect_dir_count; i++) {
        struct statx stx;
        const char *path = o->protect_dirs[i];
        if (statx(AT_FDCWD, path, AT_NO_AUTOMOUNT, STATX_BASIC_STATS, &stx) == 0) {
            root->protected[root->protected_count++] = fsys_id(&stx);
            continue;
        }
        if (errno == ENOENT)
            continue;
        int saved = errno;
        char *shown = text_escape(NULL, path, strlen(path));
        error_set(err, SWEEP_USAGE, "cannot access the protected directory \"%s\"", shown);
        error_detail(err, "%s", strerror(saved));
        error_hint(err, "pgsweep could not recognise the directory in a sweep; run as a user who "
                        "can access it, or leave it out.");
        talloc_free(shown);
        return false;
    }
    return true;
}

static bool is_protected(const struct files_root *root, struct file_id id)
{
    for (size_t i = 0; i < root->protected_count; i++)
        if (fsys_same(root->protected[i], id))
            return true;
    return false;
}

static bool refuse(struct error *err, const char *path, const char *why, const char *hint)
{
    char *shown = text_escape(NULL, path, strlen(path));
    error_set(err, SWEEP_USAGE, "the root \"%s\" %s", shown, why);
    error_hint(err, "%s", hint);
    talloc_free(shown);
    return false;
}

/* Neither the root nor a directory above it may be protected, and the root must not be another path
 * to "/". */
static bool check_parents(const struct files_root *root, struct error *err)
{
    struct statx stx;
    struct statx top;
    int fd = fcntl(root->fd, F_DUPFD_CLOEXEC, 0);
    if (fd < 0 || !fsys_stat(fd, "", &stx) || !fsys_stat(AT_FDCWD, "/", &top))
        goto cannot;
    if (fsys_same(fsys_id(&stx), fsys_id(&top))) {
        close(fd);
        return refuse(err, root->path, "is the whole file system",
                      "Give a directory that holds nothing but temporary files.");
    }
    for (;;) {
        struct file_id here = fsys_id(&stx);
        if (is_protected(root, here)) {
            close(fd);
            return refuse(err, root->path, "is a protected directory or is inside one",
                          "Give another root, or remove the directory from the protected ones.");
        }
        int up = openat(fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
        int saved = errno;
        close(fd);
        errno = saved;
        fd = up;
        if (fd < 0 || !fsys_stat(fd, "", &stx))
            goto cannot;
        if (fsys_same(here, fsys_id(&stx)))
            break;
    }
    close(fd);
    return true;
cannot:
    if (fd >= 0)
        close(fd);
    refuse(err, root->path, "cannot be checked",
           "Check the permissions of its parent directories.");
    return error_detail(err, "%s", strerror(errno));
}

static bool refuse_open(const char *path, int code, struct error *err)
{
    if (code == ELOOP) {
        refuse(err, path, "is or passes through a symbolic link", "Give the path without links.");
        char *real = realpath(path, NULL);
        if (real) {
            char *shown = text_escape(NULL, real, strlen(real));
            error_hint(err, "If you mean the directory that it leads to, give its path: \"%s\".",
                       shown);
            talloc_free(shown);
            free(real);
        }
        return false;
    }
    if (code == ENOTDIR)
        return refuse(err, path, "is not a directory", "Give the directory to sweep.");
    refuse(err, path, "cannot be opened", "Run as a user who may read and write the directory.");
    return error_detail(err, "%s", strerror(code));
}

bool root_open(const void *ctx, const struct files_options *o, struct files_root *root,
               struct error *err)
{
    struct fsys sys = {.no_openat2 = o->no_openat2};
    struct statx stx;
    *root = (struct files_root){.fd = -1};
    root->path = files_clean_root(ctx, o->root, err);
    if (!root->path || !find_protected(ctx, o, root, err))
        return false;
    root->fd = fsys_open_absolute(&sys, root->path, false);
    if (root->fd < 0)
        return errno == ENOENT ? true : refuse_open(root->path, errno, err);
    if (!fsys_stat(root->fd, "", &stx)) {
        refuse_open(root->path, errno, err);
        root_close(root);
        return false;
    }
    root->id = fsys_id(&stx);
    if (!check_parents(root, err)) {
        root_close(root);
        return false;
    }
    return true;
}

void root_close(struct files_root *root)
{
    if (root->fd >= 0)
        close(root->fd);
    root->fd = -1;
}

bool files_check_root(const struct files_options *options, bool *missing, struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_root root;
    bool ok = root_open(ctx, options, &root, err) && root_check_system(options, &root, err);
    if (ok && missing)
        *missing = root.fd < 0;
    root_close(&root);
    talloc_free(ctx);
    return ok;
}
