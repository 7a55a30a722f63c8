/* The working directory of one job as a whole, and the trash it goes through. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "pgsweep/text.h"
#include "walk.h"

/* The trash of a root: fd -1 when there is none, and none can be made. */
struct trash {
    int fd;
    char *path;
};

static bool refuse_trash(struct error *err, const struct trash *trash, const char *why)
{
    char *shown = text_escape(NULL, trash->path, strlen(trash->path));
    error_set(err, SWEEP_REFUSED, "the trash directory \"%s\" %s", shown, why);
    error_detail(err, "Only a directory that nobody else can write to is safe to rename into.");
    error_hint(err, "Look at what it is, and remove it; pgsweep makes its own.");
    talloc_free(shown);
    return false;
}

/* Opens the trash, made when it is not there and create is set. That it cannot be made (a full disk)
 * is no failure; one that is not ours alone is. */
static bool open_trash(const void *ctx, const struct files_root *root, bool create,
                       struct trash *trash, struct error *err)
{
    struct fsys sys = {0};
    struct statx stx;
    trash->fd = -1;
    trash->path = mem_printf(ctx, "%s/%s", root->path, FILES_TRASH_NAME);
    if (create && mkdirat(root->fd, FILES_TRASH_NAME, 0700) != 0 && errno != EEXIST)
        return true;
    int fd = fsys_open_child(&sys, root->fd, FILES_TRASH_NAME);
    if (fd < 0) {
        switch (errno) {
        case ENOENT:
            return true;
        case ELOOP:
        case ENOTDIR:
            return refuse_trash(err, trash, "is not a directory");
        case EXDEV:
            return refuse_trash(err, trash, "is on another file system");
        default:
            return refuse_trash(err, trash, "cannot be opened");
        }
    }
    const char *why = NULL;
    if (!fsys_stat(fd, "", &stx) || fsys_crosses(&sys, fd, &stx, root->fd, &root->id))
        why = "is on another file system";
    else if (stx.stx_uid != geteuid())
        why = "belongs to another user";
    else if (stx.stx_mode & 077)
        why = "is open to other users";
    if (why) {
        close(fd);
        return refuse_trash(err, trash, why);
    }
    trash->fd = fd;
    return true;
}

/* Away with it when it is empty; when it is not, that is for the next run. */
static void close_trash(const struct files_root *root, struct trash *trash, bool remove)
{
    if (trash->fd >= 0)
        close(trash->fd);
    if (remove && trash->fd >= 0)
        unlinkat(root->fd, FILES_TRASH_NAME, AT_REMOVEDIR);
    trash->fd = -1;
}

/* Renames without replacing what may be there by now; where the file system cannot promise that, an
 * empty directory is all that rename(2) would replace. */
static bool move(int from, int to, const char *name)
{
    if (renameat2(from, name, to, name, RENAME_NOREPLACE) == 0)
        return true;
    return (errno == EINVAL || errno == ENOSYS) && renameat(from, name, to, name) == 0;
}

static void wipe(const struct files_options *o, const struct files_root *root, int fd,
                 const char *base_path, const char *name, struct files_report *report)
{
    struct walk *w = walk_new(NULL, o, root, report, fd, base_path, name);
    walk_run(w);
    talloc_free(w);
}

/* Would a wipe leave anything? A dry one, of which nobody hears, knows. */
static bool would_go(const struct files_options *o, const struct files_root *root,
                     const char *name)
{
    struct files_report report = {0};
    struct files_options quiet = *o;
    quiet.dry_run = true;
    quiet.max_deletions = 0;
    quiet.on_event = NULL;
    quiet.on_step = NULL;
    wipe(&quiet, root, root->fd, root->path, name, &report);
    return report.failed == 0 && files_kept(&report) == 0 && !report.stopped &&
           !report.limit_reached;
}

/* What the rules promise to keep. */
static int64_t count_owed(const struct files_report *report)
{
    return report->kept[FILES_KEPT_PROTECTED] + report->kept[FILES_KEPT_FRESH] + report->kept[FILES_KEPT_FUTURE] +
           report->kept[FILES_KEPT_NO_TIME];
}

/* Wipes name in the trash. What is protected is the user's: it goes back to where it was. */
static void wipe_in_trash(const struct files_options *o, const struct files_root *root,
                          const struct trash *trash, const char *name,
                          struct files_report *report)
{
    int64_t before = count_owed(report);
    wipe(o, root, trash->fd, trash->path, name, report);
    if (o->dry_run || count_owed(report) == before)
        return;
    if (!move(trash->fd, root->fd, name)) {
        char *path = mem_printf(NULL, "%s/%s", trash->path, name);
        int saved = errno;
        tally_error(o, report, path, 'd', saved, "bring back");
        talloc_free(path);
    }
}

/* Renames the directory (id) into the trash. False: it stays where it was. */
static bool move_to_trash(const struct files_root *root, const struct trash *trash,
                          const char *name, struct file_id id)
{
    struct statx stx;
    if (!move(root->fd, trash->fd, name))
        return false;
    if (fsys_stat(trash->fd, name, &stx) && fsys_same(fsys_id(&stx), id))
        return true;
    /* Something else had taken the name between the check and the rename. */
    move(trash->fd, root->fd, name);
    return false;
}

/* Removes the directory that was found to be there. */
static bool remove_found(const void *ctx, const struct files_options *o,
                         const struct files_root *root, const char *name, struct file_id id,
                         struct files_report *report, struct error *err)
{
    struct trash trash;
    bool renamed = false;
    if (o->dry_run || !would_go(o, root, name)) {
        wipe(o, root, root->fd, root->path, name, report);
        return true;
    }
    if (!open_trash(ctx, root, true, &trash, err))
        return false;
    if (trash.fd >= 0) {
        struct statx stx;
        if (fsys_stat(trash.fd, name, &stx)) /* a killed run may have left one of that name */
            wipe_in_trash(o, root, &trash, name, report);
        renamed = move_to_trash(root, &trash, name, id);
    }
    if (renamed)
        wipe_in_trash(o, root, &trash, name, report);
    else
        wipe(o, root, root->fd, root->path, name, report);
    close_trash(root, &trash, !o->keep_trash);
    return true;
}

/* What stays so far, all roots together. */
static int64_t count_stays(const struct files_report *report)
{
    return files_kept(report) + report->kept[FILES_KEPT_NOT_EMPTY] + report->failed;
}

static const char *refuse_type(unsigned mode)
{
    if (S_ISLNK(mode))
        return "it is a symbolic link, not a directory";
    return S_ISDIR(mode) ? NULL : "it is not a directory";
}

static void count_unseen(const struct files_options *o, const struct files_root *root,
                         const char *name, int error, struct files_report *report)
{
    char *path = mem_printf(NULL, "%s/%s", root->path, name);
    report->scanned++;
    report->failed++;
    tally_error(o, report, path, '?', error, "examine");
    talloc_free(path);
}

bool files_remove_tree(const struct files_options *options, const char *name,
                       enum files_tree_outcome *outcome, const char **reason,
                       struct files_report *report, struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_root root;
    struct statx stx;
    const char *why = NULL;
    int64_t stays = count_stays(report);
    bool ok = root_open(ctx, options, &root, err);
    *outcome = FILES_TREE_MISSING;
    if (!ok)
        goto done;
    why = files_refuse_name(name);
    if (!why && root.fd >= 0) {
        if (fsys_stat(root.fd, name, &stx)) {
            why = refuse_type(stx.stx_mode);
            if (!why) {
                ok = remove_found(ctx, options, &root, name, fsys_id(&stx), report, err);
                *outcome = FILES_TREE_REMOVED;
            }
        } else if (errno != ENOENT) {
            count_unseen(options, &root, name, errno, report);
        }
    }
    if (why)
        *outcome = FILES_TREE_REFUSED;
    else if (!ok || count_stays(report) > stays)
        *outcome = FILES_TREE_KEPT;
done:
    if (reason)
        *reason = why;
    root_close(&root);
    talloc_free(ctx);
    return ok;
}

/* The names of the directories in the trash. They are taken down first, because wiping changes what
 * is being listed. */
static char **list_trash(const void *ctx, const struct trash *trash, size_t *count)
{
    char **names = NULL;
    struct statx stx;
    const struct dirent *d;
    int fd = openat(trash->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    while ((d = readdir(dir)) != NULL) {
        if (strcmp(d->d_name, ".") == 0 || strcmp(d->d_name, "..") == 0)
            continue;
        if (!fsys_stat(trash->fd, d->d_name, &stx) || !S_ISDIR(stx.stx_mode))
            continue;
        size_t i = mem_grow(ctx, &names, count);
        names[i] = mem_strdup(ctx, d->d_name);
    }
    closedir(dir);
    return names;
}

bool files_finish_trash(const struct files_options *options, struct files_report *report,
                        struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_root root;
    struct trash trash = {.fd = -1};
    size_t count = 0;
    bool ok = root_open(ctx, options, &root, err);
    if (ok && root.fd >= 0)
        ok = open_trash(ctx, &root, false, &trash, err);
    if (ok && trash.fd >= 0) {
        char **names = list_trash(ctx, &trash, &count);
        for (size_t i = 0; i < count && !report->limit_reached && !report->stopped; i++)
            wipe_in_trash(options, &root, &trash, names[i], report);
        close_trash(&root, &trash, !options->dry_run);
    }
    root_close(&root);
    talloc_free(ctx);
    return ok;
}
