/* Removes the working directory of one job as a whole, through the trash. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

/* Renames without replacing an existing entry. If the file system does not support that, rename(2)
 * would replace an empty directory at most. */
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

static struct files_options quiet_look(const struct files_options *o)
{
    struct files_options quiet = *o;
    quiet.dry_run = true;
    quiet.max_deletions = 0;
    quiet.on_event = NULL;
    quiet.on_step = NULL;
    return quiet;
}

/* Whether a wipe would leave nothing: tried as a dry run that is not reported. */
static bool would_go(const struct files_options *o, const struct files_root *root, const char *name)
{
    struct files_report report = {0};
    struct files_options quiet = quiet_look(o);
    if (o->shared->users)
        users_refresh(o->shared->users, false);
    wipe(&quiet, root, root->fd, root->path, name, &report);
    return report.failed == 0 && files_kept(&report) == 0 && !report.stopped &&
           !report.limit_reached;
}

static void bring_back(const struct files_options *o, const struct files_root *root,
                       const struct trash *trash, const char *name, struct files_report *report)
{
    if (!move(trash->fd, root->fd, name)) {
        int saved = errno;
        char *path = mem_printf(NULL, "%s/%s", trash->path, name);
        tally_error(o, report, path, 'd', saved, "bring back");
        talloc_free(path);
    }
}

/* The number of entries that the rules keep. */
static int64_t count_owed(const struct files_report *report)
{
    return report->kept[FILES_KEPT_PROTECTED] + report->kept[FILES_KEPT_FRESH] +
           report->kept[FILES_KEPT_FUTURE] + report->kept[FILES_KEPT_NO_TIME];
}

/* Wipes name in the trash. Protected files go back to where they were. */
static void wipe_in_trash(const struct files_options *o, const struct files_root *root,
                          const struct trash *trash, const char *name, struct files_report *report)
{
    int64_t before = count_owed(report);
    wipe(o, root, trash->fd, trash->path, name, report);
    if (!o->dry_run && count_owed(report) > before)
        bring_back(o, root, trash, name, report);
}

static bool is_tree(const char *name)
{
    return files_refuse_name(name) == NULL;
}

void tree_bring_back(const struct files_options *o, const struct files_root *root,
                     const struct trash *t, struct files_report *report)
{
    void *ctx = mem_check(talloc_new(NULL));
    size_t count;
    char **names = left_list(ctx, t->fd, is_tree, &count);
    for (size_t i = 0; i < count; i++) {
        struct files_report look = {0};
        struct files_options quiet = quiet_look(o);
        wipe(&quiet, root, t->fd, t->path, names[i], &look);
        if (count_owed(&look) > 0)
            bring_back(o, root, t, names[i], report);
    }
    talloc_free(ctx);
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
    /* Another directory had taken the name between the check and the rename. */
    move(trash->fd, root->fd, name);
    return false;
}

/* Removes the directory that was found. */
static void remove_found(const struct files_options *o, const struct files_root *root,
                         const char *name, struct file_id id, struct files_report *report)
{
    struct trash *trash = &o->shared->trash;
    struct statx stx;
    if (o->dry_run || !would_go(o, root, name)) {
        wipe(o, root, root->fd, root->path, name, report);
        return;
    }
    bool renamed = false;
    if (trash_make(trash, root)) {
        if (fsys_stat(trash->fd, name, &stx)) /* an earlier call could not remove all of it */
            wipe_in_trash(o, root, trash, name, report);
        renamed = move_to_trash(root, trash, name, id);
    }
    if (renamed)
        wipe_in_trash(o, root, trash, name, report);
    else
        wipe(o, root, root->fd, root->path, name, report);
}

/* The options with shared state of their own if the caller has none. */
static struct files_options with_shared(const void *ctx, const struct files_options *options)
{
    struct files_options o = *options;
    if (!o.shared)
        o.shared = files_shared_new(ctx);
    return o;
}

/* The number of entries kept so far, over all roots. */
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
    struct files_options o = with_shared(ctx, options);
    struct files_root root;
    struct statx stx;
    const char *why = NULL;
    int64_t stays = count_stays(report);
    bool ok = root_open(ctx, &o, &root, err);
    *outcome = FILES_TREE_MISSING;
    if (!ok)
        goto done;
    why = files_refuse_name(name);
    if (!why && root.fd >= 0) {
        if (fsys_stat(root.fd, name, &stx)) {
            why = refuse_type(stx.stx_mode);
            if (!why) {
                remove_found(&o, &root, name, fsys_id(&stx), report);
                *outcome = FILES_TREE_REMOVED;
            }
        } else if (errno != ENOENT) {
            count_unseen(&o, &root, name, errno, report);
        }
    }
    if (why)
        *outcome = FILES_TREE_REFUSED;
    else if (count_stays(report) > stays)
        *outcome = FILES_TREE_KEPT;
done:
    if (reason)
        *reason = why;
    root_close(&root);
    talloc_free(ctx);
    return ok;
}

static void finish(const struct files_options *o, const struct files_root *root,
                   struct trash *trash, struct files_report *report)
{
    void *ctx = mem_check(talloc_new(NULL));
    size_t count;
    char **names = left_list(ctx, trash->fd, is_tree, &count);
    for (size_t i = 0; i < count && !report->limit_reached && !report->stopped; i++)
        wipe_in_trash(o, root, trash, names[i], report);
    talloc_free(ctx);
    if (o->dry_run)
        trash_leave(trash);
    else
        trash_close(trash);
}

/* Finishes in the trashes of killed runs, which are found by their names and recognised by their
 * records. */
static void finish_left(const void *ctx, const struct files_options *o,
                        const struct files_root *root, struct files_report *report)
{
    struct files_report unused = {0};
    struct walk *w = walk_new(ctx, o, root, &unused, root->fd, root->path, NULL);
    size_t count;
    char **names = left_list(ctx, root->fd, trash_has_name, &count);
    for (size_t i = 0; i < count && !report->limit_reached && !report->stopped; i++) {
        struct trash left;
        if (left_open(w, &left, names[i]) != TRASH_LEFT)
            continue;
        if (!o->dry_run && trash_slot_is_gone(&left))
            unlinkat(left.fd, TRASH_SLOT, 0);
        finish(o, root, &left, report);
    }
    report->set_aside += unused.set_aside;
}

bool files_finish_trash(const struct files_options *options, struct files_report *report,
                        struct error *err)
{
    void *ctx = mem_check(talloc_new(NULL));
    struct files_options o = with_shared(ctx, options);
    struct files_root root;
    bool ok = root_open(ctx, &o, &root, err);
    if (ok && root.fd >= 0) {
        if (o.shared->trash.fd >= 0)
            finish(&o, &root, &o.shared->trash, report);
        finish_left(ctx, &o, &root, report);
    }
    root_close(&root);
    talloc_free(ctx);
    return ok;
}
