/* What a killed run left in its trash: recognised by its record, and swept by the rules that hold
 * for everything. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "pgsweep/mem.h"
#include "walk.h"

static bool is_wanted(int dirfd, const char *name, bool (*wanted)(const char *name))
{
    struct statx stx;
    if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0)
        return false;
    return !wanted || (wanted(name) && fsys_stat(dirfd, name, &stx) && S_ISDIR(stx.stx_mode));
}

char **left_list(const void *ctx, int dirfd, bool (*wanted)(const char *name), size_t *count)
{
    char **names = NULL;
    const struct dirent *d;
    int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOATIME);
    if (fd < 0 && errno == EPERM)
        fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = fd < 0 ? NULL : fdopendir(fd);
    *count = 0;
    if (!dir) {
        if (fd >= 0)
            close(fd);
        return NULL;
    }
    while ((d = readdir(dir)) != NULL)
        if (is_wanted(dirfd, d->d_name, wanted)) {
            size_t i = mem_grow(ctx, &names, count);
            names[i] = mem_strdup(ctx, d->d_name);
        }
    closedir(dir);
    return names;
}

/* The directory of the record below base, if it still is the one. -1: it is not. */
static int open_below(struct walk *w, const char *base, const struct trash_record *r)
{
    char path[PATH_MAX];
    struct statx stx;
    int length = snprintf(path, sizeof path, "%s%s%s", base, *r->path ? "/" : "", r->path);
    if (length < 0 || (size_t)length >= sizeof path)
        return -1;
    int fd = fsys_open_absolute(&w->sys, path, false);
    if (fd >= 0 && !(fsys_stat(fd, "", &stx) && fsys_same(fsys_id(&stx), r->from))) {
        close(fd);
        fd = -1;
    }
    return fd;
}

/* The directory that the file in the slot was in, if it is still there: in the root, or in the
 * trash as part of a job directory. -1: it is not known, or it is not there. */
static int open_origin(struct walk *w, const struct trash *t)
{
    if (!t->record->path_known || !*t->record->name)
        return -1;
    int fd = open_below(w, w->root->path, t->record);
    return fd >= 0 ? fd : open_below(w, t->path, t->record);
}

/* The run was killed around the removal of one file. Either it had found that it was the one to
 * remove: then it stays in the trash as one of the files there. Or it had not looked at it yet:
 * then it goes back to where it was. */
static void settle_slot(struct walk *w, struct trash *t)
{
    int dirfd = t->slot.ino == 0 || trash_slot_is_gone(t) ? -1 : open_origin(w, t);
    if (dirfd >= 0) {
        slot_give_back(w, t->fd, TRASH_SLOT, dirfd, t->record->name);
        close(dirfd);
    }
}

/* Files that waited for a look into /proc when the run was killed go back, all to one directory.
 * Where it is not known they stay in the trash as files there. */
static void settle_held(struct walk *w, struct trash *t)
{
    size_t count = 0;
    void *ctx = mem_check(talloc_new(NULL));
    t->held_fd = fsys_open_child(&w->sys, t->fd, TRASH_HELD);
    int dirfd = t->held_fd < 0 ? -1 : open_origin(w, t);
    char **names = dirfd < 0 ? NULL : left_list(ctx, t->held_fd, NULL, &count);
    for (size_t i = 0; i < count; i++)
        slot_give_back(w, t->held_fd, names[i], dirfd, names[i]);
    if (dirfd >= 0)
        close(dirfd);
    unlinkat(t->fd, TRASH_HELD, AT_REMOVEDIR);
    talloc_free(ctx);
}

enum trash_kind left_open(struct walk *w, struct trash *t, const char *name)
{
    if (w->shared->trash.fd >= 0 && strcmp(name, w->shared->trash.name) == 0)
        return TRASH_IN_HAND;
    enum trash_kind kind = trash_open_left(t, w->root, name);
    if (kind == TRASH_LEFT && !w->dry_run) {
        settle_held(w, t);
        settle_slot(w, t);
    }
    t->slot = (struct file_id){0}; /* a file as any other, to be judged before it goes */
    return kind;
}

bool left_sweep(struct walk *w, const char *name)
{
    struct trash t;
    struct files_options options = *w->options;
    enum trash_kind kind = left_open(w, &t, name);
    if (kind != TRASH_LEFT)
        return kind == TRASH_IN_HAND;
    options.shared = w->shared;
    struct walk *inner = walk_new(NULL, &options, w->root, w->report, t.fd, t.path, NULL);
    inner->in_left = true;
    while (inner->depth > 0)
        walk_step(inner);
    closer_end(inner);
    w->ended = w->ended || inner->ended;
    talloc_free(inner);
    if (w->dry_run) {
        trash_leave(&t);
        return true;
    }
    tree_bring_back(&options, w->root, &t, w->report);
    trash_close(&t);
    return true;
}
